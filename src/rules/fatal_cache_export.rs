use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::view::{TargetsView, WorkflowView};
use crate::workflow::repair::CacheEdit;
use std::collections::BTreeSet;
use std::sync::Arc;

declare_rule! {
    /// An image is not released if its cache cannot be exported.
    ///
    /// GitHub takes 200 uploads a minute of a repository, and a few more layers than that, a
    /// timeout or a full store end the export with an error. Unless the option says
    /// `ignore-error=true` the whole build has then failed, though the image is good.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max,ignore-error=true
    /// ```
    ///
    /// Asked of GitHub's cache with the layers of all stages only, and of builds that push an
    /// image: one that is built to be tested can be started again. A cache that is broken for good
    /// then shows in the build's log alone.
    ///
    /// ## Fix safety
    ///
    /// Only a cache option is added.
    pub(crate) static FATAL_CACHE_EXPORT = {
        name: "fatal-cache-export",
        level: Level::Info,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

const MESSAGE: &str = "if this cache cannot be exported, the image that is built counts as failed";

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged().filter(|it| it.build.push != Some(false)) {
        for entry in build.build.exports.iter().filter(|it| is_fatal(it)) {
            let edit = || view.edits().set_attributes(entry, &[("ignore-error", "true")]);
            findings.report(entry.span, MESSAGE).maybe_fix(|| fix(view.path.clone(), edit()?));
        }
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| it.push != Some(false)) {
        for entry in build.build.exports.iter().filter(|it| is_fatal(it) && view.has(it)) {
            if seen.insert(entry.span) {
                let edit = || view.set_attributes(entry, &[("ignore-error", "true")]);
                findings.report(entry.span, MESSAGE).maybe_fix(|| fix(view.path.clone(), edit()?));
            }
        }
    }
}

fn fix(path: Arc<str>, edit: CacheEdit) -> Option<Fix> {
    Some(Fix::cache_options("Go on without the cache", path, edit))
}

fn is_fatal(entry: &CacheEntry) -> bool {
    let is_plain = entry.backend == Backend::Gha && !entry.opaque && !entry.is_joined();
    is_plain && entry.mode().as_deref() == Some("max") && entry.attribute("ignore-error").is_none()
}

#[cfg(test)]
mod tests {
    use super::FATAL_CACHE_EXPORT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked};

    const MESSAGE: &str = "info: if this cache cannot be exported, the image that is built counts as failed";

    #[test]
    fn nothing_is_added_to_an_expression_without_an_end() {
        let text = build_step("push: true\ncache-to: type=gha,mode=max,scope=${{ github.sha");
        check_without_fix(&RULE, &marked(&text, "type=gha,mode=max,scope=${{ github.sha", MESSAGE));
    }

    #[test]
    fn the_option_is_added_in_every_style() {
        let cases = [
            ("cache-to: type=gha,mode=max", "type=gha,mode=max", "cache-to: type=gha,mode=max,ignore-error=true"),
            ("cache-to: 'type=gha,mode=max' # why", "type=gha,mode=max", "cache-to: 'type=gha,mode=max,ignore-error=true' # why"),
            (
                "cache-to: |\n  type=inline\n  type=gha,mode=max,scope=${{ matrix.app }}",
                "type=gha,mode=max,scope=${{ matrix.app }}",
                "cache-to: |\n  type=inline\n  type=gha,mode=max,scope=${{ matrix.app }},ignore-error=true",
            ),
            (
                "cache-to: ${{ github.ref_type == 'branch' && 'type=gha,mode=max' || '' }}",
                "type=gha,mode=max",
                "cache-to: ${{ github.ref_type == 'branch' && 'type=gha,mode=max,ignore-error=true' || '' }}",
            ),
        ];
        for (before, entry, after) in cases {
            check_fix(&RULE, &marked(&build_step(&format!("push: true\n{before}")), entry, MESSAGE), &build_step(&format!("push: true\n{after}")));
        }
    }

    #[test]
    fn an_image_that_is_pushed_at_times_is_released_then() {
        let text = build_step("push: ${{ github.event_name == 'push' }}\ncache-to: type=gha,mode=max");
        check(&RULE, &marked(&text, "type=gha,mode=max", MESSAGE));
    }

    #[test]
    fn builds_that_release_nothing_are_silent() {
        for with in ["", "push: false\n", "load: true\n", "outputs: type=local,dest=out\n"] {
            check(&RULE, &build_step(&format!("{with}cache-to: type=gha,mode=max")));
        }
    }

    #[test]
    fn exports_that_are_small_decided_or_elsewhere_are_silent() {
        for entry in [
            "type=gha",
            "type=gha,mode=min",
            "type=gha,mode=max,ignore-error=true",
            "type=gha,mode=max,ignore-error=false",
            "type=gha,mode=max,ignore-error=${{ inputs.lenient }}",
            "type=registry,ref=org/app:cache,mode=max",
            "type=gha,mode=${{ inputs.mode }}",
            "${{ inputs.cache }}",
            "type=gha,mode=max,type=inline",
        ] {
            check(&RULE, &build_step(&format!("push: true\ncache-to: {entry}")));
        }
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        let text = build_step("push: true\ncache-to: type=gha,mode=max");
        check(&RULE, &text.replace("docker/build-push-action", "depot/build-push-action"));
    }

    #[test]
    fn a_target_that_is_pushed_is_released() {
        let bake = |more: &str, entry: &str| format!("#- docker-bake.hcl\ntarget \"app\" {{\n{more}  cache-to = [\"{entry}\"]\n}}\n");
        let output = "  output = [\"type=registry\"]\n";
        let text = marked(&bake(output, "type=gha,mode=max"), "type=gha,mode=max", MESSAGE);
        check_fix(&RULE, &text, &bake(output, "type=gha,mode=max,ignore-error=true"));
        let call = |with: &str| {
            crate::rules::testing::steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with: {{targets: app{with}}}"))
        };
        check(&RULE, &(marked(&bake("", "type=gha,mode=max"), "type=gha,mode=max", MESSAGE) + &call(", push: true")));
        check(&RULE, &(bake("", "type=gha,mode=max") + &call("")));
        check(&RULE, &bake("", "type=gha,mode=max"));
    }
}
