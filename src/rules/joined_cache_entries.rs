use super::{Check, Findings, declare_rule};
use crate::build::Build;
use crate::cache::CacheEntry;
use crate::diagnostic::Level;
use crate::view::{TargetsView, WorkflowView};
use std::collections::BTreeSet;

declare_rule! {
    /// Several caches stand on one line.
    ///
    /// `cache-from` and `cache-to` are lists of lines. A comma leads to the next attribute of the
    /// same entry, so that of several types on one line the last one wins, with the attributes of
    /// all of them.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=gha,type=registry,ref=org/app:cache
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: |
    ///             type=gha
    ///             type=registry,ref=org/app:cache
    /// ```
    ///
    /// Image references without a type may be joined by commas.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: which attributes belong to which entry is not to be seen.
    pub(crate) static JOINED_CACHE_ENTRIES = {
        name: "joined-cache-entries",
        level: Level::Error,
        fixes: false,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.builds.iter().filter(|it| !it.build.dry) {
        joined(build.build).for_each(|it| report(it, findings));
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged() {
        joined(&build.build).filter(|it| view.has(it) && seen.insert(it.span)).for_each(|it| report(it, findings));
    }
}

fn joined(build: &Build) -> impl Iterator<Item = &CacheEntry> {
    build.imports.iter().chain(&build.exports).filter(|it| it.is_joined())
}

fn report(entry: &CacheEntry, findings: &mut Findings<'_>) {
    let mut types = entry.attributes.iter().filter(|it| it.name == "type").map(|it| it.value.pattern());
    let (Some(first), Some(last)) = (types.next(), types.next_back()) else { return };
    // The same type twice is one entry that says it twice.
    if first != last {
        findings.report(entry.span, format!("`type={last}` takes the place of `type={first}`: a line is one entry"));
    }
}

#[cfg(test)]
mod tests {
    use super::JOINED_CACHE_ENTRIES as RULE;
    use crate::rules::testing::{build_step, check, check_without_fix, marked, steps};

    #[test]
    fn the_last_type_wins() {
        for side in ["cache-from", "cache-to"] {
            let text = build_step(&format!("{side}: type=gha,type=registry,ref=org/app:cache"));
            let message = "error: `type=registry` takes the place of `type=gha`: a line is one entry";
            check_without_fix(&RULE, &marked(&text, "type=gha,type=registry,ref=org/app:cache", message));
        }
    }

    #[test]
    fn a_line_of_several_is_found() {
        let text = build_step("cache-to: |\n  type=gha\n  type=inline,type=local,dest=/tmp/a");
        check(&RULE, &marked(&text, "type=inline,type=local,dest=/tmp/a", "error: `type=local` takes the place of `type=inline`: a line is one entry"));
        let command = steps("- run: docker buildx build --cache-to type=inline,type=local,dest=/tmp/a .");
        check(&RULE, &marked(&command, "type=inline,type=local,dest=/tmp/a", "error: `type=local` takes the place of `type=inline`: a line is one entry"));
    }

    #[test]
    fn lists_that_are_written_right_are_silent() {
        for with in [
            "cache-from: |\n  type=gha\n  type=registry,ref=org/app:cache",
            "cache-from: org/app:cache,org/app:latest",
            "cache-from: type=registry,ref=org/app:cache",
            "cache-from: type=gha,type=gha",
            "cache-from: '\"type=gha\",\"scope=a\"'",
            "cache-from: ${{ inputs.cache }}",
            "cache-from: type=gha,type=registry\ncall: check",
        ] {
            check(&RULE, &build_step(with));
        }
    }

    #[test]
    fn lists_of_bake_and_compose_are_entries_too() {
        let message = "error: `type=registry` takes the place of `type=gha`: a line is one entry";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  cache-from = [\"type=gha,type=registry,ref=o/a\"]\n}\n";
        check_without_fix(&RULE, &marked(bake, "type=gha,type=registry,ref=o/a", message));
        check(&RULE, "#- compose.yaml\nservices:\n  app:\n    build:\n      cache_from: [type=gha, 'type=registry,ref=o/a']\n");
    }
}
