use super::{Check, Findings, declare_rule};
use crate::build::Build;
use crate::cache::Backend;
use crate::diagnostic::Level;
use crate::dockerfile::Stage;
use crate::edit::Span;
use crate::links::Target;
use crate::value::Value;
use crate::view::{StepView, TargetsView, WorkflowView};
use std::collections::BTreeSet;

declare_rule! {
    /// An inline cache is meant to hold stages that are not in the image.
    ///
    /// `type=inline` describes the layers of the image that is pushed, and no others. Stages that
    /// the image only copies from are not among them, and `mode=max` is accepted and ignored: as
    /// soon as anything changes, all that these stages fetch and compile is done again.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM golang:1.25.3 AS builder
    /// WORKDIR /src
    /// COPY go.mod go.sum ./
    /// RUN go mod download
    /// COPY . .
    /// RUN go build -o /app
    ///
    /// FROM scratch
    /// COPY --from=builder /app /app
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=registry,ref=org/app:latest
    ///           cache-to: type=inline,mode=max
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// FROM golang:1.25.3 AS builder
    /// WORKDIR /src
    /// COPY go.mod go.sum ./
    /// RUN go mod download
    /// COPY . .
    /// RUN go build -o /app
    ///
    /// FROM scratch
    /// COPY --from=builder /app /app
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=registry,ref=org/app:buildcache
    ///           cache-to: type=registry,ref=org/app:buildcache,mode=max
    /// ```
    ///
    /// A Dockerfile whose other stages download and compile nothing loses nothing, and is not
    /// reported; nor is a build that has another cache for its stages. Of a Dockerfile that cannot
    /// be told only `mode=max` is reported.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: where else the cache may lie depends on the registry.
    pub(crate) static INLINE_CACHE_FOR_STAGES = {
        name: "inline-cache-for-stages",
        level: Level::Info,
        fixes: false,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged().filter(|it| !it.build.no_cache) {
        let Some((span, wants_all)) = inline(build.build).filter(|_| !has_other_cache(build.build)) else { continue };
        match view.stage_beside_image(build) {
            Some((path, stage)) => report(findings, span, &path, stage),
            None if wants_all && !is_known(view, build) => {
                drop(findings.report(span, "an inline cache has the layers of the image only, and ignores `mode=max`"))
            }
            None => {}
        }
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| !it.build.no_cache) {
        let Some((span, _)) = inline(&build.build).filter(|_| !has_other_cache(&build.build)) else { continue };
        let stands_here = build.build.exports.iter().any(|it| it.span == span && view.has(it))
            || build.build.arguments.iter().filter(|it| it.span == span).filter_map(|it| it.value.as_ref()).any(|it| view.stands_here(it, values_of_arguments));
        if let Some((path, stage)) = view.stage_beside_image(build).filter(|_| stands_here && seen.insert(span)) {
            report(findings, span, &path, stage);
        }
    }
}

fn values_of_arguments(build: &Build) -> Vec<&Value> {
    build.arguments.iter().filter_map(|it| it.value.as_ref()).collect()
}

fn report(findings: &mut Findings<'_>, span: Span, path: &str, stage: &Stage) {
    let message = format!("an inline cache has the layers of the image only, not those of stage `{}`", stage.label());
    drop(findings.report(span, message).note_in(path.into(), stage.from.span, "the image only copies from this stage"));
}

/// The option that exports inline, and whether it asks for all stages.
fn inline(build: &Build) -> Option<(Span, bool)> {
    if let Some(entry) = build.exports.iter().find(|it| it.backend == Backend::Inline && !it.opaque && !it.is_joined()) {
        return Some((entry.span, entry.mode().as_deref() == Some("max")));
    }
    let is_on = |it: Option<String>| it.is_some_and(|it| it.trim() == "1" || it.trim() == "true");
    let argument = build.arguments.iter().rev().find(|it| it.name == "BUILDKIT_INLINE_CACHE")?;
    is_on(argument.value.as_ref()?.known()).then_some((argument.span, false))
}

/// Whether another cache may have the stages: one that is exported here, or one that is imported.
fn has_other_cache(build: &Build) -> bool {
    build.exports.iter().any(|it| it.backend != Backend::Inline) || build.imports.iter().any(|it| it.opaque || it.backend != Backend::Registry)
}

/// Whether all is known of what is built.
fn is_known(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    build.places.iter().all(|it| it.target != Target::Unknown && it.dockerfile.as_deref().is_some_and(|it| view.dockerfile(it).is_some()))
}

#[cfg(test)]
mod tests {
    use super::INLINE_CACHE_FOR_STAGES as RULE;
    use crate::rules::testing::{build_step, check, check_without_fix, marked, steps};

    const STAGES: &str = "#- Dockerfile\nFROM golang:1.25.3 AS builder\nRUN go build\nFROM scratch\nCOPY --from=builder /app /app\n";
    const MESSAGE: &str = "info: an inline cache has the layers of the image only, not those of stage `builder`";

    fn found(workflow: &str, option: &str) -> String {
        marked(STAGES, "FROM golang:1.25.3 AS builder", "note: the image only copies from this stage") + &marked(workflow, option, MESSAGE)
    }

    #[test]
    fn both_spellings_are_found() {
        for (with, option) in [
            ("cache-to: type=inline", "type=inline"),
            ("cache-to: type=inline,mode=max", "type=inline,mode=max"),
            ("cache-from: org/app:latest\ncache-to: type=inline", "type=inline"),
            ("build-args: |\n  A=b\n  BUILDKIT_INLINE_CACHE=1", "BUILDKIT_INLINE_CACHE=1"),
        ] {
            check_without_fix(&RULE, &found(&build_step(with), option));
        }
        let command = steps("- run: docker build --build-arg BUILDKIT_INLINE_CACHE=1 --cache-from org/app .");
        check(&RULE, &found(&command, "BUILDKIT_INLINE_CACHE=1"));
    }

    #[test]
    fn a_mode_that_is_ignored_is_found_without_a_dockerfile() {
        let text = build_step("file: ${{ inputs.file }}\ncache-to: type=inline,mode=max");
        check(&RULE, &marked(&text, "type=inline,mode=max", "info: an inline cache has the layers of the image only, and ignores `mode=max`"));
        check(&RULE, &build_step("file: ${{ inputs.file }}\ncache-to: type=inline"));
    }

    #[test]
    fn images_that_hold_all_they_build_are_silent() {
        for dockerfile in [
            "FROM a:1.0\nRUN make\n",
            "FROM a:1.0 AS base\nRUN make\nFROM base\nRUN make\n",
            "FROM a:1.0 AS files\nCOPY x /x\nFROM b:1.0\nCOPY --from=files /x /x\n",
        ] {
            check(&RULE, &format!("#- Dockerfile\n{dockerfile}{}", build_step("cache-to: type=inline,mode=max")));
        }
    }

    #[test]
    fn another_cache_for_the_stages_is_enough() {
        for with in [
            "cache-to: |\n  type=inline\n  type=registry,ref=org/app:cache,mode=max",
            "cache-from: type=gha\ncache-to: type=inline",
            "cache-from: ${{ inputs.cache }}\ncache-to: type=inline",
            "cache-to: ${{ inputs.cache }}",
            "build-args: BUILDKIT_INLINE_CACHE=0",
            "build-args: BUILDKIT_INLINE_CACHE=${{ inputs.inline }}",
            "cache-to: type=inline\ntarget: builder",
            "cache-to: type=inline\nno-cache: true",
        ] {
            check(&RULE, &format!("{STAGES}{}", build_step(with)));
        }
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        let text = build_step("cache-to: type=inline").replace("docker/build-push-action", "depot/build-push-action");
        check(&RULE, &format!("{STAGES}{text}"));
    }

    #[test]
    fn services_of_compose_export_inline_too() {
        let dockerfile = "#- Dockerfile\nFROM a:1.0 AS builder\n^^^^^^^^^^^^^^^^^^^^^ note: the image only copies from this stage\nRUN make\nFROM b:1.0\nCOPY --from=builder /x /x\n";
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      cache_from: ['o/app:latest']\n      args:\n        BUILDKIT_INLINE_CACHE: 1\n";
        let message = "info: an inline cache has the layers of the image only, not those of stage `builder`";
        check(&RULE, &(dockerfile.to_owned() + &marked(compose, "BUILDKIT_INLINE_CACHE: 1", message)));
    }
}
