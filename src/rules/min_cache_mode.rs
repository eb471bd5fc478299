use super::{Check, Finding, Findings, declare_rule};
use crate::build::Build;
use crate::cache::{Backend, CacheEntry};
use crate::config::Config;
use crate::diagnostic::{Fix, Level};
use crate::dockerfile::plan::{Step, has_word};
use crate::dockerfile::{Kind, Stage};
use crate::ecosystem::Manager;
use crate::links::Place;
use crate::shell::Command;
use crate::snapshot::Snapshot;
use crate::view::{DockerfileView, TargetsView, View, WorkflowView, beside, is_costly};
use crate::volatility::Volatility;
use crate::workflow::repair::CacheEdit;
use std::collections::BTreeSet;
use std::sync::Arc;

declare_rule! {
    /// Only the final stage of a Dockerfile with several stages is cached.
    ///
    /// `cache-to` exports the layers of the resulting image unless it says `mode=max`. Stages that
    /// the image only copies from are then missing: as soon as anything changes, everything that
    /// they fetch and compile is done again.
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
    ///           cache-from: type=gha
    ///           cache-to: type=gha
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
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// A Dockerfile whose other stages download and compile nothing loses nothing, and is not reported; nor is
    /// `mode=min` that somebody wrote down. An information only where the other stages copy the
    /// sources before everything that they run: as long as nothing changes the image is found without
    /// them, and after any change there is nothing of them to go on from; or where what they download goes
    /// into a cache mount, which no export has; or where all that would be of use are a few packages of `apk`. All stages take more room: GitHub keeps 10 GB for a
    /// repository, and takes 200 uploads a minute. A cache in a registry has no such bounds.
    ///
    /// ## Fix safety
    ///
    /// Only a cache option changes.
    pub(crate) static MIN_CACHE_MODE = {
        name: "min-cache-mode",
        level: Level::Warning,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged() {
        let exports = without_mode(build.build);
        let Some(lost) = lost_stage(view.snapshot, &build.places, findings.config()).filter(|_| !exports.is_empty()) else { continue };
        for entry in exports {
            let pairs = wanted(entry, findings.asks_for_lenience(build.build.push));
            let edit = || view.edits().set_attributes(entry, pairs);
            lost.report(findings, entry).maybe_fix(|| fix(view.path.clone(), edit()?));
        }
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged() {
        let exports: Vec<&CacheEntry> = without_mode(&build.build).into_iter().filter(|it| view.has(it) && !seen.contains(&it.span)).collect();
        if exports.is_empty() {
            continue;
        }
        let Some(lost) = lost_stage(view.snapshot, std::slice::from_ref(&build.place), findings.config()) else { continue };
        for entry in exports {
            seen.insert(entry.span);
            let pairs = wanted(entry, findings.asks_for_lenience(build.push));
            let edit = || view.set_attributes(entry, pairs);
            lost.report(findings, entry).maybe_fix(|| fix(view.path.clone(), edit()?));
        }
    }
}

/// What the entry lacks: all stages are more layers than GitHub may take.
fn wanted(entry: &CacheEntry, asks_for_lenience: bool) -> &'static [(&'static str, &'static str)] {
    let is_lenient = asks_for_lenience && entry.backend == Backend::Gha && entry.attribute("ignore-error").is_none();
    if is_lenient { &[("mode", "max"), ("ignore-error", "true")] } else { &[("mode", "max")] }
}

fn fix(path: Arc<str>, edit: CacheEdit) -> Option<Fix> {
    Some(Fix::cache_options("Export the layers of all stages", path, edit))
}

/// The exports of a build that have no mode; none where another one has all stages, which makes up
/// for it.
fn without_mode(build: &Build) -> Vec<&CacheEntry> {
    let is_whole = |it: &CacheEntry| it.opaque || it.mode().is_none_or(|it| it != "min") && it.backend != Backend::Inline;
    if build.exports.iter().any(is_whole) {
        return Vec::new();
    }
    build.exports.iter().filter(|it| has_no_mode(it)).collect()
}

fn has_no_mode(entry: &CacheEntry) -> bool {
    let can = matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::Local | Backend::S3 | Backend::Azblob);
    can && !entry.opaque && !entry.is_joined() && entry.attribute("mode").is_none()
}

/// A stage that downloads or compiles something and that no layer of the image comes from.
struct Lost<'a> {
    /// Its Dockerfile.
    path: String,
    stage: &'a Stage,
    /// Something of that is of use after a change of the sources.
    keeps: bool,
}

impl Lost<'_> {
    fn report<'f, 'a>(&self, findings: &'f mut Findings<'a>, entry: &CacheEntry) -> Finding<'f, 'a> {
        let message = format!("without `mode=max` the layers of stage `{}` are not cached", self.stage.label());
        let level = if self.keeps { Level::Warning } else { Level::Info };
        findings.report(entry.span, message).level(level).note_in(self.path.as_str().into(), self.stage.from.span, "the image only copies from this stage")
    }
}

/// The last stage that is lost; one with something that outlives a change of the sources before any other.
fn lost_stage<'a>(snapshot: &'a Snapshot, places: &[Place], config: &Config) -> Option<Lost<'a>> {
    let lost = places.iter().flat_map(|it| lost_stages(snapshot, it, config));
    // Of several Dockerfiles the first.
    let is_later = |it: &Lost<'_>, best: &Lost<'_>| it.path == best.path && it.stage.index > best.stage.index;
    let is_better = |it: &Lost<'_>, best: &Lost<'_>| if it.keeps == best.keeps { is_later(it, best) } else { it.keeps };
    lost.reduce(|best, it| if is_better(&it, &best) { it } else { best })
}

/// The stages that are lost in a build of one place.
fn lost_stages<'a>(snapshot: &'a Snapshot, place: &Place, config: &Config) -> Vec<Lost<'a>> {
    let Some((path, stages)) = beside(snapshot, place) else { return Vec::new() };
    if stages.is_empty() {
        return Vec::new();
    }
    let Some(View::Dockerfile(plans)) = View::new(snapshot, path, config) else { return Vec::new() };
    stages.into_iter().map(|stage| Lost { path: path.to_owned(), stage, keeps: outlives_sources(&plans, stage) }).collect()
}

/// Whether something that the stage downloads or compiles has a key without the sources; also where
/// that is not known.
fn outlives_sources(view: &DockerfileView<'_>, stage: &Stage) -> bool {
    let Some(plan) = view.plans().find(|it| it.stage == stage.index) else { return true };
    let above = plan.volatilities_above();
    let is_quiet = |index: usize, step: &Step<'_>| above[index].max(plan.own_volatility(step)) < Volatility::Often;
    plan.own().any(|(index, step)| is_costly(step.instruction) && !fills_a_mount(step) && !is_tiny(step) && is_quiet(index, step))
}

/// Whether a step does no more than to add a few packages of Alpine, which takes seconds: less than to
/// export all stages.
fn is_tiny(step: &Step<'_>) -> bool {
    const FEW: usize = 3;
    let Kind::Run(run) = &step.instruction.kind else { return false };
    let packages = |it: &Command| match it.words.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().as_slice() {
        ["apk", words @ ..] if words.contains(&"add") => Some(words.iter().filter(|it| **it != "add" && !it.starts_with('-')).count()),
        ["apk", "update"] => Some(0),
        _ => None,
    };
    let counts: Option<Vec<usize>> = run.script.commands.iter().map(packages).collect();
    let is_toolchain = ["build-base", "gcc", "clang", "llvm", "python3", "openjdk", "nodejs", "rust", "go"].iter().any(|it| has_word(&run.command.text, it));
    counts.is_some_and(|it| !it.is_empty() && it.iter().sum::<usize>() <= FEW) && !is_toolchain && run.script.opaque.is_none()
}

/// Whether all that a step downloads goes into a cache mount, which is in no layer.
fn fills_a_mount(step: &Step<'_>) -> bool {
    let Kind::Run(run) = &step.instruction.kind else { return false };
    let is_mounted = run.mounts.iter().any(|it| it.get("type") == Some("cache"));
    // Go has its modules in one folder; others copy from their caches.
    is_mounted && step.dependency_install().is_some_and(|it| it.manager == Manager::Go)
}

#[cfg(test)]
mod tests {
    use super::MIN_CACHE_MODE as RULE;
    use crate::rules::testing::{build_action, build_step, check, check_fix, check_without_fix, marked, steps};

    const STAGES: &str = "#- Dockerfile\nFROM golang:1.25.3 AS builder\nRUN go build\nFROM scratch\nCOPY --from=builder /app /app\n";
    const MESSAGE: &str = "warning: without `mode=max` the layers of stage `builder` are not cached";

    /// A workflow beside a Dockerfile of two stages, with a finding at `entry`.
    fn found(workflow: &str, entry: &str) -> String {
        let dockerfile = marked(STAGES, "FROM golang:1.25.3 AS builder", "note: the image only copies from this stage");
        dockerfile + &marked(workflow, entry, MESSAGE)
    }

    fn quiet(dockerfile: &str, with: &str) {
        check(&RULE, &format!("#- Dockerfile\n{dockerfile}{}", build_step(with)));
    }

    #[test]
    fn the_mode_is_added_in_every_style() {
        let cases = [
            ("cache-to: type=gha", "type=gha", "cache-to: type=gha,mode=max"),
            ("cache-to: \"type=gha,scope=a\" # why", "type=gha,scope=a", "cache-to: \"type=gha,scope=a,mode=max\" # why"),
            (
                "cache-to: |\n  type=registry,ref=org/app:cache\n  type=inline",
                "type=registry,ref=org/app:cache",
                "cache-to: |\n  type=registry,ref=org/app:cache,mode=max\n  type=inline",
            ),
            (
                "cache-to: ${{ github.event_name != 'pull_request' && 'type=gha' || '' }}",
                "type=gha",
                "cache-to: ${{ github.event_name != 'pull_request' && 'type=gha,mode=max' || '' }}",
            ),
            ("cache-to: org/app:cache", "org/app:cache", "cache-to: type=registry,ref=org/app:cache,mode=max"),
        ];
        for (before, entry, after) in cases {
            check_fix(&RULE, &found(&build_step(before), entry), &build_step(after));
        }
    }

    #[test]
    fn a_few_packages_are_little_to_lose() {
        let check_level = |packages: &str, level: &str| {
            let dockerfile = STAGES.replace("RUN go build", &format!("RUN apk add --no-cache {packages}\nCOPY . .\nRUN go build"));
            let dockerfile = marked(&dockerfile, "FROM golang:1.25.3 AS builder", "note: the image only copies from this stage");
            let workflow = marked(&build_step("cache-to: type=gha"), "type=gha", &MESSAGE.replace("warning", level));
            check(&RULE, &(dockerfile + &workflow));
        };
        check_level("libc6-compat git", "info");
        for packages in ["a b c d", "python3 make", "build-base"] {
            check_level(packages, "warning");
        }
    }

    #[test]
    fn an_image_that_is_pushed_is_not_lost_with_its_cache() {
        for (before, after) in [
            ("type=gha", "type=gha,mode=max,ignore-error=true"),
            ("type=gha,ignore-error=false", "type=gha,ignore-error=false,mode=max"),
            ("type=registry,ref=org/app:cache", "type=registry,ref=org/app:cache,mode=max"),
        ] {
            let step = |entry: &str| build_step(&format!("push: true\ncache-to: {entry}"));
            check_fix(&RULE, &found(&step(before), before), &step(after));
        }
        let text = build_step("push: true\ncache-to: type=gha");
        let off = "#- .layerwise.yaml\nrules: {fatal-cache-export: off}\n";
        check_fix(&RULE, &(off.to_owned() + &found(&text, "type=gha")), &text.replace("type=gha", "type=gha,mode=max"));
    }

    #[test]
    fn a_step_may_be_written_in_one_line() {
        let text = "- uses: docker/setup-buildx-action@v4\n- {uses: docker/build-push-action@v7, with: {cache-to: 'type=gha'}}";
        check_fix(&RULE, &found(&steps(text), "type=gha"), &steps(text).replace("type=gha", "type=gha,mode=max"));
    }

    #[test]
    fn lines_may_end_with_carriage_returns() {
        let text = build_step("cache-to: type=gha").replace('\n', "\r\n").replacen("\r\n", "\n", 1);
        check_fix(&RULE, &found(&text, "type=gha"), &text.replace("type=gha", "type=gha,mode=max"));
    }

    #[test]
    fn flags_of_a_command_are_options_too() {
        let text = steps("- uses: docker/setup-buildx-action@v4\n- run: docker buildx build --cache-to type=registry,ref=org/app:cache .");
        check_fix(&RULE, &found(&text, "type=registry,ref=org/app:cache"), &text.replace(":cache", ":cache,mode=max"));
    }

    #[test]
    fn the_target_decides_which_stages_are_built() {
        quiet("FROM a:1.0 AS builder\nRUN x\nFROM b:1.0 AS test\nRUN y\nFROM c:1.0\nCOPY --from=builder /x /x\n", "target: builder\ncache-to: type=gha");
        quiet("FROM a:1.0 AS base\nRUN x\nFROM base\nRUN y\n", "cache-to: type=gha");
        quiet("FROM a:1.0 AS unused\nRUN x\nFROM b:1.0\nRUN y\n", "cache-to: type=gha");
        quiet("FROM a:1.0 AS files\nCOPY x /x\nFROM b:1.0\nCOPY --from=files /x /x\nRUN y\n", "cache-to: type=gha");
        quiet("FROM a:1.0\nRUN x\n", "cache-to: type=gha");
    }

    #[test]
    fn stages_that_copy_the_sources_first_have_little_to_keep() {
        let info = MESSAGE.replace("warning", "info");
        let found = |stage: &str| {
            let dockerfile = format!("#- Dockerfile\nFROM golang:1.25.3 AS builder\n{stage}\nFROM scratch\nCOPY --from=builder /app /app\n");
            marked(&dockerfile, "FROM golang:1.25.3 AS builder", "note: the image only copies from this stage")
        };
        const MOUNTED: &str = "WORKDIR /src\nCOPY go.mod go.sum ./\nRUN --mount=type=cache,target=/go/pkg/mod go mod download\nCOPY . .\nRUN go build -o /app";
        let step = build_step("cache-to: type=gha");
        for stage in ["WORKDIR /src\nCOPY . .\nRUN go build -o /app", "RUN --mount=type=bind,target=. go build -o /app", MOUNTED] {
            check(&RULE, &format!("{}{}", found(stage), marked(&step, "type=gha", &info)));
        }
        for stage in ["RUN apk add build-base\nCOPY . .\nRUN go build -o /app", "COPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN go build -o /app"] {
            check(&RULE, &format!("{}{}", found(stage), marked(&step, "type=gha", MESSAGE)));
        }
    }

    #[test]
    fn one_of_several_dockerfiles_with_something_to_keep_is_enough() {
        let dockerfile =
            |name: &str, stage: &str| format!("#- {name}.Dockerfile\nFROM golang:1.25.3 AS {name}\n{stage}\nFROM scratch\nCOPY --from={name} /app /app\n");
        let step = build_step("file: ${{ matrix.name }}.Dockerfile\ncache-to: type=gha,scope=${{ matrix.name }}")
            .replace("    steps:", "    strategy: {matrix: {name: [first, second]}}\n    steps:");
        let second = marked(&dockerfile("second", "RUN go build"), "FROM golang:1.25.3 AS second", "note: the image only copies from this stage");
        let text = marked(&step, "type=gha,scope=${{ matrix.name }}", &MESSAGE.replace("builder", "second"));
        check(&RULE, &format!("{}{second}{text}", dockerfile("first", "COPY . .\nRUN go build")));
    }

    #[test]
    fn other_modes_and_backends_are_silent() {
        let stages = STAGES.trim_start_matches("#- Dockerfile\n");
        for entry in
            ["type=gha,mode=max", "type=gha,mode=min", "type=gha,mode=${{ inputs.mode }}", "type=inline", "${{ inputs.cache }}", "type=gha,type=inline", ""]
        {
            quiet(stages, &format!("cache-to: {entry}"));
        }
        quiet(stages, "cache-to: |\n  type=gha\n  type=registry,ref=org/app:cache,mode=max");
    }

    #[test]
    fn a_dockerfile_that_cannot_be_told_is_silent() {
        let stages = STAGES.trim_start_matches("#- Dockerfile\n");
        for with in [
            "file: missing.Dockerfile",
            "file: ${{ inputs.file }}",
            "target: ${{ inputs.target }}",
            "call: check",
            "context: https://github.com/other/repository.git",
        ] {
            quiet(stages, &format!("cache-to: type=gha\n{with}"));
        }
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        let text = build_step("cache-to: type=gha");
        let remote = text.replace("setup-buildx-action@v4\n", "setup-buildx-action@v4\n        with: {driver: remote, endpoint: 'tcp://a:1'}\n");
        check(&RULE, &format!("{STAGES}{remote}"));
        check(&RULE, &format!("{STAGES}{}", text.replace("docker/build-push-action", "depot/build-push-action")));
    }

    #[test]
    fn the_entry_of_a_bake_file_is_mended_where_it_stands() {
        let bake = |entry: &str| {
            format!(
                "#- docker-bake.hcl\ntarget \"base\" {{\n  cache-to = [{entry}]\n}}\ntarget \"app\" {{\n  inherits = [\"base\"]\n}}\ntarget \"web\" {{\n  inherits = [\"base\"]\n}}\n"
            )
        };
        for (before, at, after) in [
            ("\"type=gha\"", "type=gha", "\"type=gha,mode=max\""),
            ("{ type = \"gha\", scope = \"a\" }", "type = \"gha\", scope = \"a\"", "{ type = \"gha\", scope = \"a\", mode = \"max\" }"),
            (
                "\"type=registry,ref=o/app:cache-${VERSION}\"",
                "type=registry,ref=o/app:cache-${VERSION}",
                "\"type=registry,ref=o/app:cache-${VERSION},mode=max\"",
            ),
        ] {
            let workflow = steps("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with: {targets: 'app,web'}");
            check_fix(&RULE, &(found(&bake(before), at) + &workflow), &bake(after));
        }
    }

    #[test]
    fn the_entry_of_a_compose_file_is_mended_where_it_stands() {
        let compose =
            |entry: &str| format!("#- compose.yaml\nservices:\n  app:\n    image: o/app\n    build:\n      context: .\n      cache_to:\n        - {entry}\n");
        check_fix(
            &RULE,
            &found(&compose("type=registry,ref=o/app:cache # why"), "type=registry,ref=o/app:cache"),
            &compose("type=registry,ref=o/app:cache,mode=max # why"),
        );
        check_fix(&RULE, &(found(&compose("type=gha"), "type=gha") + &steps("- run: docker compose build app")), &compose("type=gha,mode=max"));
    }

    #[test]
    fn the_entry_of_a_json_file_is_mended_where_it_stands() {
        let bake = "#- docker-bake.json\n{\"target\": {\"app\": {\"cache-to\": [\"type=gha\"]}}}\n";
        check_fix(&RULE, &found(bake, "type=gha"), &bake.replace("type=gha", "type=gha,mode=max"));
        let object = "#- docker-bake.json\n{\"target\": {\"app\": {\"cache-to\": [{\"type\": \"gha\"}]}}}\n";
        check_without_fix(&RULE, &found(object, "\"type\": \"gha\""));
    }

    #[test]
    fn what_a_call_says_of_a_target_counts() {
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  cache-to = [\"type=gha\"]\n}\n";
        for with in [
            "set: '*.cache-to=type=gha,mode=max'",
            "set: 'app.cache-to+=type=gha,mode=max'",
            "set: app.target=builder",
            "call: check",
            "set: ${{ inputs.set }}",
        ] {
            let workflow = steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with:\n    targets: app\n    {with}"));
            let others = if with == "call: check" { found(bake, "type=gha") } else { format!("{STAGES}{bake}") };
            check(&RULE, &(others + &workflow));
        }
        let kept = steps(
            "- uses: docker/setup-buildx-action@v4\n  with: {driver: remote, endpoint: 'tcp://a:1'}\n- uses: docker/bake-action@v7\n  with: {targets: app}",
        );
        check(&RULE, &format!("{STAGES}{bake}{kept}"));
    }

    #[test]
    fn an_entry_of_a_bake_file_can_be_suppressed() {
        for comment in [
            "  # layerwise: ignore[min-cache-mode] small\n  cache-to = [\"type=gha\"]\n",
            "  cache-to = [\n    # layerwise: ignore[min-cache-mode] small\n    \"type=gha\",\n  ]\n",
        ] {
            check(&RULE, &format!("{STAGES}#- docker-bake.hcl\ntarget \"app\" {{\n{comment}}}\n"));
        }
        check(
            &RULE,
            &format!("{STAGES}#- compose.yaml\nservices:\n  app:\n    build:\n      # layerwise: ignore[min-cache-mode] small\n      cache_to: [type=gha]\n"),
        );
    }

    #[test]
    fn a_composite_action_builds_what_its_calls_ask_for() {
        let action = |entry: &str, targets: &[&str]| build_action(&format!("context: .\ntarget: ${{{{ inputs.target }}}}\ncache-to: {entry}"), targets);
        for targets in [&["''"][..], &["builder", "''"]] {
            check_fix(
                &RULE,
                &found(&action("type=gha", targets), "type=gha"),
                action("type=gha,mode=max", targets).split("#- .github/workflows").next().unwrap(),
            );
        }
        check(&RULE, &format!("{STAGES}{}", action("type=gha", &["builder"])));
        check(&RULE, &format!("{STAGES}{}", action("type=gha", &["'${{ github.ref_name }}'"])));
        let given = build_action("cache-to: ${{ inputs.target }}", &["type=gha"]);
        check_without_fix(&RULE, &found(&given, "${{ inputs.target }}"));
    }
}
