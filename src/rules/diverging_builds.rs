use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{Dockerfile, Kind};
use crate::edit::Span;
use crate::links::locations::Location;
use crate::links::{Folder, Target};
use crate::value::Value;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Builder, RunnerKind};
use std::cell::OnceCell;
use std::collections::BTreeSet;

declare_rule! {
    /// One image is built twice, and the second build cannot use the layers of the first.
    ///
    /// A build argument that differs gives all instructions behind its `ARG` other cache keys: what
    /// was built to be tested is built once more to be pushed. Two jobs are two machines: what one
    /// has built the other only finds in a cache that both use.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM node:22.11
    /// ARG MODE
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           load: true
    ///           build-args: MODE=test
    ///           cache-from: type=gha
    ///       - run: docker run app npm test
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    ///           build-args: MODE=production
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max,ignore-error=true
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// FROM node:22.11
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// ARG MODE
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           load: true
    ///           build-args: MODE=test
    ///           cache-from: type=gha
    ///       - run: docker run app npm test
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    ///           build-args: MODE=production
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max,ignore-error=true
    /// ```
    ///
    /// Two images that are both pushed are variants, and meant to differ. Jobs are compared if they
    /// build the same for the same platform, with caches that have no location in common; where one
    /// has no cache at all, that is what is reported.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: which of the two is right is not to be seen.
    pub(crate) static DIVERGING_BUILDS = {
        name: "diverging-builds",
        level: Level::Info,
        fixes: false,
        check: Check::Workflow(check),
    }
}

/// More builds of a file than that are not compared with each other.
const MAX_BUILDS: usize = 100;

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let builds: Vec<&StepView<'_>> = view.judged().filter(|it| !it.build.opaque && !it.build.no_cache && !it.build.inline).take(MAX_BUILDS).collect();
    let twins: Vec<Option<Twin<'_, '_>>> = builds.iter().map(|it| Twin::new(view, it)).collect();
    for (index, build) in builds.iter().enumerate() {
        if let Some((span, first, name)) = builds[..index].iter().find_map(|it| fork(view, it, build)) {
            let message = format!("`{name}` differs from the build before, so that nothing behind its `ARG` is used again");
            drop(findings.report(span, message).note(first, "this build makes the image that is tested"));
            continue;
        }
        let first = twins[index].as_ref().and_then(|twin| twins[..index].iter().flatten().find(|it| it.is_twin(twin, view)));
        if let Some(Twin { build: first, .. }) = first {
            let message = format!("the job `{}` builds the same from another cache", first.job.id);
            drop(findings.report(build.build.span, message).note(first.build.span, "the same is built here"));
        }
    }
}

/// Where a build that is pushed parts from one of the same job that was made to be tested: the
/// argument, the first build, the argument's name.
fn fork(view: &WorkflowView<'_>, first: &StepView<'_>, build: &StepView<'_>) -> Option<(Span, Span, String)> {
    let tested_then_pushed = first.job.id == build.job.id && first.build.push == Some(false) && build.build.push != Some(false);
    let ([place], [other]) = (first.places.as_slice(), build.places.as_slice()) else { return None };
    let same_place = place.dockerfile == other.dockerfile && place.context == other.context && place.context != Folder::Unknown;
    if !tested_then_pushed || !same_place || first.builder != build.builder || first.step.step == build.step.step {
        return None;
    }
    let dockerfile = view.dockerfile(place.dockerfile.as_deref()?)?;
    let differs = |name: &str| {
        let (a, b) = (passed(first, name), passed(build, name));
        // What an expression or the environment decides may come out the same.
        a != b && a != Some(None) && b != Some(None)
    };
    let names = build.build.arguments.iter().chain(&first.build.arguments);
    let argument = names.into_iter().find(|it| differs(&it.name) && forks(dockerfile, &place.target, &it.name))?;
    let span = build.build.arguments.iter().rev().find(|it| it.name == argument.name).map_or(build.build.span, |it| it.span);
    Some((span, first.build.span, argument.name.clone()))
}

/// What a build passes as an argument, the last of a name; `None` where it passes none, and inside
/// where its value is not known.
fn passed(build: &StepView<'_>, name: &str) -> Option<Option<String>> {
    let found = build.build.arguments.iter().rev().find(|it| it.name == name)?;
    Some(found.value.as_ref().and_then(Value::known))
}

/// Whether a stage that is built declares the argument in front of a command that runs.
fn forks(dockerfile: &Dockerfile, target: &Target, name: &str) -> bool {
    target.stages(dockerfile).into_iter().flatten().any(|stage| {
        let declares = |kind: &Kind| matches!(kind, Kind::Arg(variables) if variables.iter().any(|it| it.name == name));
        let declared = stage.instructions.iter().position(|it| declares(&it.kind));
        declared.is_some_and(|at| stage.instructions[at..].iter().any(|it| matches!(it.kind, Kind::Run(_))))
    })
}

/// A build that can be compared with those of other jobs. All builds of a file are compared with each
/// other, so that what that takes is found once for each, and only where it comes to that.
struct Twin<'v, 'a> {
    build: &'v StepView<'a>,
    /// All locations that it reads and writes.
    caches: BTreeSet<Location>,
    /// What it builds in each leg, as far as that is known.
    products: OnceCell<BTreeSet<String>>,
    conditions: Vec<String>,
}

impl<'v, 'a> Twin<'v, 'a> {
    /// `None` where its runner or builder may keep layers, or where it is not known what it builds
    /// from which cache.
    fn new(view: &WorkflowView<'a>, build: &'v StepView<'a>) -> Option<Twin<'v, 'a>> {
        let fresh = build.job.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::Hosted) && matches!(build.builder, Builder::Container(_));
        let known = build.places.iter().all(|it| it.dockerfile.is_some() && it.target != Target::Unknown);
        if !fresh || !known {
            return None;
        }
        let entries = build.build.imports.iter().chain(&build.build.exports);
        let caches: BTreeSet<Location> = entries.flat_map(|it| build.locations(it, &view.path)).collect();
        if caches.is_empty() || !caches.iter().all(|it| matches!(it, Location::At(_))) {
            return None;
        }
        Some(Twin { build, caches, products: OnceCell::new(), conditions: build.conditions() })
    }

    fn products(&self, view: &WorkflowView<'_>) -> &BTreeSet<String> {
        let found = || self.build.uses(&view.path).iter().map(|it| view.product(it)).filter(|it| !it.contains("${{")).collect();
        self.products.get_or_init(found)
    }

    /// Whether another job builds the same, each from a cache that the other has no part in.
    fn is_twin(&self, other: &Twin<'_, '_>, view: &WorkflowView<'_>) -> bool {
        self.build.job.id != other.build.job.id
            && self.conditions == other.conditions
            && self.caches.is_disjoint(&other.caches)
            && !self.products(view).is_disjoint(other.products(view))
            && !self.build.runs(view).is_disjoint(&other.build.runs(view))
    }
}

#[cfg(test)]
mod tests {
    use super::DIVERGING_BUILDS as RULE;
    use crate::rules::testing::{check, check_without_fix, marked, steps};

    const FILE: &str = "#- Dockerfile\nFROM node:22.11\nARG MODE\nRUN npm ci\nARG LATE\n";

    fn pair(first: &str, second: &str) -> String {
        let step = |with: &str| format!("- uses: docker/build-push-action@v7\n  with:\n    context: .\n    cache-from: type=gha\n{with}");
        let lines = |with: &str| with.lines().map(|it| format!("    {it}\n")).collect::<String>();
        steps(&format!("- uses: actions/checkout@v6\n- uses: docker/setup-buildx-action@v4\n{}{}", step(&lines(first)), step(&lines(second))))
    }

    fn found(text: &str, option: &str) -> String {
        let message = "info: `MODE` differs from the build before, so that nothing behind its `ARG` is used again";
        marked(&marked(text, "docker/build-push-action@v7", "note: this build makes the image that is tested"), option, message)
    }

    #[test]
    fn an_argument_parts_the_builds() {
        let text = pair("load: true\nbuild-args: MODE=test", "push: true\nbuild-args: MODE=live");
        check_without_fix(&RULE, &format!("{FILE}{}", found(&text, "MODE=live")));
        let one = pair("load: true", "push: true\nbuild-args: MODE=live");
        check(&RULE, &format!("{FILE}{}", found(&one, "MODE=live")));
    }

    #[test]
    fn arguments_that_change_little_are_silent() {
        for (first, second) in [
            ("load: true\nbuild-args: LATE=a", "push: true\nbuild-args: LATE=b"),
            ("load: true\nbuild-args: OTHER=a", "push: true\nbuild-args: OTHER=b"),
            ("load: true\nbuild-args: MODE=a", "push: true\nbuild-args: MODE=a"),
            ("load: true\nbuild-args: MODE=${{ inputs.mode }}", "push: true\nbuild-args: MODE=a"),
            ("load: true", "push: true\nplatforms: linux/amd64,linux/arm64"),
        ] {
            check(&RULE, &format!("{FILE}{}", pair(first, second)));
        }
    }

    #[test]
    fn variants_are_meant_to_differ() {
        check(&RULE, &format!("{FILE}{}", pair("push: true\nbuild-args: MODE=a", "push: true\nbuild-args: MODE=b")));
        check(&RULE, &format!("{FILE}{}", pair("load: true\nbuild-args: MODE=a", "load: true\nbuild-args: MODE=b")));
        check(&RULE, &format!("{FILE}{}", pair("load: true\nfile: other.Dockerfile\nbuild-args: MODE=a", "push: true\nbuild-args: MODE=b")));
    }

    fn jobs(first: &str, second: &str) -> String {
        let job = |name: &str, with: &str| {
            let with: String = with.lines().map(|it| format!("          {it}\n")).collect();
            format!(
                "  {name}:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v6\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/build-push-action@v7\n        with:\n          context: .\n{with}"
            )
        };
        format!("#- .github/workflows/ci.yml\non: push\njobs:\n{}{}", job("test", first), job("release", second))
    }

    #[test]
    fn two_jobs_need_one_cache() {
        let text = jobs(
            "cache-from: type=gha,scope=test\ncache-to: type=gha,scope=test",
            "push: true\ncache-from: type=gha,scope=release\ncache-to: type=gha,scope=release",
        );
        let (first, second) = text.split_at(text.find("  release:").unwrap());
        let first = marked(first, "docker/build-push-action@v7", "note: the same is built here");
        let second = marked(second, "docker/build-push-action@v7", "info: the job `test` builds the same from another cache");
        check_without_fix(&RULE, &format!("{FILE}{first}{second}"));
    }

    #[test]
    fn jobs_that_share_or_differ_are_silent() {
        let cache = |scope: &str| format!("cache-from: type=gha,scope={scope}\ncache-to: type=gha,scope={scope}");
        for (first, second) in [
            (cache("app"), cache("app")),
            (cache("a"), "cache-from: |\n  type=gha,scope=a\n  type=gha,scope=b\ncache-to: type=gha,scope=b".to_owned()),
            (cache("a"), String::new()),
            (cache("a"), format!("platforms: linux/arm64\n{}", cache("b"))),
            (cache("a"), format!("file: other.Dockerfile\n{}", cache("b"))),
            (cache("a"), format!("build-args: MODE=live\n{}", cache("b"))),
            (cache("a"), "cache-from: ${{ inputs.cache }}".to_owned()),
            (format!("target: ${{{{ inputs.target }}}}\n{}", cache("a")), format!("target: ${{{{ inputs.target }}}}\n{}", cache("b"))),
        ] {
            check(&RULE, &format!("{FILE}{}", jobs(&first, &second)));
        }
    }
}
