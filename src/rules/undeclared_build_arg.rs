use super::{Check, Findings, declare_rule};
use crate::build::{BuildArgument, Tool};
use crate::config;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::{Dockerfile, Frontend};
use crate::edit::{Edit, EditSet, Span};
use crate::file::Model;
use crate::links::Place;
use crate::snapshot::Snapshot;
use crate::view::{TargetsView, WorkflowView, display};
use std::cell::LazyCell;
use std::collections::BTreeMap;

declare_rule! {
    /// A build argument is passed that the Dockerfile does not declare.
    ///
    /// The builder ignores it: it is in no cache key and reaches no instruction. Mostly the name is
    /// misspelt, or the Dockerfile no longer uses it, and what is built is not what was meant.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// ARG NODE_VERSION=22.11
    /// FROM node:$NODE_VERSION
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           build-args: NODE_VERSON=22.12
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// ARG NODE_VERSION=22.11
    /// FROM node:$NODE_VERSION
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           build-args: NODE_VERSION=22.12
    /// ```
    ///
    /// Arguments that the builder itself knows, such as proxies and `BUILDKIT_INLINE_CACHE`, need no
    /// declaration. Where the legs of a matrix build several Dockerfiles, one that declares it is
    /// enough. Targets of bake files are left alone, which share arguments on purpose.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: the value reaches the build. Offered where one declared name is close to it.
    pub(crate) static UNDECLARED_BUILD_ARG = {
        name: "undeclared-build-arg",
        level: Level::Info,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

/// Arguments that BuildKit takes without a declaration
/// (<https://docs.docker.com/reference/dockerfile/#predefined-args>).
const PREDEFINED: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH"];

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut reported: Vec<Span> = Vec::new();
    // Looks at the whole repository, and is seldom asked for.
    let has_triggers = LazyCell::new(|| has_triggers(view.snapshot, &view.path));
    for step in view.builds.iter().filter(|it| !it.build.dry && !it.build.inline && it.build.tool != Tool::Bake) {
        let Some(dockerfiles) = dockerfiles(&step.places, |it| view.dockerfile(it)) else { continue };
        for argument in &step.build.arguments {
            let declared = dockerfiles.iter().any(|(_, it)| it.declared().any(|it| it == argument.name));
            if declared || is_predefined(&argument.name) || reported.contains(&argument.span) || *has_triggers {
                continue;
            }
            reported.push(argument.span);
            let message = message(view.snapshot, &argument.name, &dockerfiles);
            findings.report(argument.span, message).maybe_fix(|| fix(view, argument, &dockerfiles));
        }
    }
}

/// An argument of a file that several targets have is meant for all of them.
fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut places: BTreeMap<Span, (&str, Option<Vec<Place>>)> = BTreeMap::new();
    for (target, build) in view.targets.iter().flat_map(|target| target.builds.iter().map(move |it| (target, it))) {
        let is_known = !build.build.opaque && !build.build.inline && view.is_placed(build);
        for argument in target.build.arguments.iter().filter(|it| !it.span.is_empty()) {
            let (_, places) = places.entry(argument.span).or_insert((&argument.name, Some(Vec::new())));
            match places {
                Some(known) if is_known => known.push(build.place.clone()),
                _ => *places = None,
            }
        }
    }
    let has_triggers = LazyCell::new(|| has_triggers(view.snapshot, &view.path));
    for (span, (name, places)) in places.into_iter().filter(|(_, (name, _))| !is_predefined(name)) {
        let Some(dockerfiles) = places.and_then(|it| dockerfiles(&it, |it| view.dockerfile(it))) else { continue };
        if !dockerfiles.iter().any(|(_, it)| it.declared().any(|it| it == name)) && !*has_triggers {
            findings.report(span, message(view.snapshot, name, &dockerfiles));
        }
    }
}

/// Whether an image of the repository has triggers: the Dockerfiles that start from it may be there
/// for nothing else, and the arguments that are passed to them are then for the triggers
/// (`cypress/factory`).
fn has_triggers(snapshot: &Snapshot, path: &str) -> bool {
    let root = snapshot.root(path);
    snapshot.files().any(|(path, file)| match &file.model {
        Model::Dockerfile(dockerfile) => snapshot.root(path) == root && dockerfile.has_triggers(),
        _ => false,
    })
}

fn message(snapshot: &Snapshot, name: &str, dockerfiles: &[(String, &Dockerfile)]) -> String {
    let who = match dockerfiles {
        [(path, _)] => format!("`{}` does not declare", display(snapshot, path)),
        _ => "none of the Dockerfiles declares".to_owned(),
    };
    format!("{who} `{name}`, so that the value reaches nothing")
}

/// The Dockerfiles of all legs, with their paths; `None` where one is not known, or is read by
/// another front end, or has triggers that this build may not even see.
fn dockerfiles<'a>(places: &[Place], model: impl Fn(&str) -> Option<&'a Dockerfile>) -> Option<Vec<(String, &'a Dockerfile)>> {
    let mut res: Vec<(String, &Dockerfile)> = Vec::new();
    for place in places {
        let path = place.dockerfile.as_ref()?;
        let dockerfile = model(path)?;
        let followed = dockerfile.frontend != Frontend::Foreign && !dockerfile.stages.is_empty();
        if !followed || dockerfile.has_triggers() {
            return None;
        }
        if !res.iter().any(|(it, _)| it == path) {
            res.push((path.clone(), dockerfile));
        }
    }
    (!res.is_empty()).then_some(res)
}

fn is_predefined(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    // `TARGETARCH` and the like have a value wherever they are declared, and only there.
    let of_platform = ["TARGET", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"].iter().any(|it| name.starts_with(it));
    PREDEFINED.contains(&upper.as_str()) || upper.starts_with("BUILDKIT_") || of_platform || name.is_empty()
}

/// Writes the declared name that is close to the one that is passed.
fn fix(view: &WorkflowView<'_>, argument: &BuildArgument, dockerfiles: &[(String, &Dockerfile)]) -> Option<Fix> {
    // Only names of about its length: `NODE` need not mean `NODE_VERSION`.
    let near = |it: &&str| it.len().abs_diff(argument.name.len()) <= 2;
    let names: Vec<&str> = dockerfiles.iter().flat_map(|(_, it)| it.declared()).filter(near).collect();
    let folded: Vec<String> = names.iter().map(|it| it.to_lowercase()).collect();
    let candidates: Vec<&str> = folded.iter().map(String::as_str).collect();
    let nearest = config::nearest(&argument.name, &candidates)?;
    let meant = names.iter().find(|it| it.to_lowercase() == nearest)?;
    let written = Span::new(argument.span.start, argument.span.start + argument.name.len());
    if written.of(&view.source) != argument.name {
        return None;
    }
    let edits = EditSet::new(vec![Edit::replace(written, *meant)]).ok()?;
    Some(Fix::unproven(format!("Pass `{meant}`"), vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::UNDECLARED_BUILD_ARG as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked};

    fn workflow(arguments: &str) -> String {
        build_step(&format!("context: .\nbuild-args: {arguments}"))
    }

    #[test]
    fn what_is_no_name_is_not_meant() {
        let text = format!("#- Dockerfile\nFROM node:22.11\nARG VERSIO\0N\nRUN npm ci\n{}", workflow("VERSON=1"));
        check_without_fix(&RULE, &marked(&text, "VERSON=1", "info: `Dockerfile` does not declare `VERSON`, so that the value reaches nothing"));
    }

    #[test]
    fn a_misspelt_name_reaches_nothing() {
        let workflow = workflow("VERSON=1");
        let dockerfile = "#- Dockerfile\nFROM alpine:3.20\nARG VERSION\nRUN echo $VERSION\n";
        let marked = marked(&workflow, "VERSON=1", "info: `Dockerfile` does not declare `VERSON`, so that the value reaches nothing");
        check_unsafe_fix(&RULE, &format!("{dockerfile}{marked}"), &workflow.replace("VERSON", "VERSION"));
    }

    #[test]
    fn a_name_that_nothing_is_like_has_no_fix() {
        let workflow = workflow("COMMIT=1");
        let marked = marked(&workflow, "COMMIT=1", "info: `Dockerfile` does not declare `COMMIT`, so that the value reaches nothing");
        check_without_fix(&RULE, &format!("#- Dockerfile\nFROM alpine:3.20\nARG VERSION\n{marked}"));
    }

    #[test]
    fn a_declaration_anywhere_counts() {
        let workflow = workflow("A=1");
        check(&RULE, &format!("#- Dockerfile\nARG A\nFROM alpine:$A\n{workflow}"));
        check(&RULE, &format!("#- Dockerfile\nFROM alpine:3.20 AS a\nARG X=1 A=2\nFROM alpine:3.20\n{workflow}"));
    }

    #[test]
    fn what_the_builder_knows_needs_no_declaration() {
        for name in ["HTTP_PROXY", "https_proxy", "BUILDKIT_INLINE_CACHE", "SOURCE_DATE_EPOCH", "TARGETARCH"] {
            check(&RULE, &format!("#- Dockerfile\nFROM alpine:3.20\n{}", workflow(&format!("{name}=1"))));
        }
    }

    #[test]
    fn a_trigger_or_another_front_end_may_take_it() {
        let workflow = workflow("A=1");
        check(&RULE, &format!("#- Dockerfile\nFROM alpine:3.20\nONBUILD ARG A\n{workflow}"));
        check(&RULE, &format!("#- Dockerfile\nFROM org/factory\n#- factory.Dockerfile\nFROM alpine:3.20\nONBUILD ARG A\n{workflow}"));
        check(&RULE, &format!("#- Dockerfile\n# syntax=example.org/front-end\nFROM alpine:3.20\n{workflow}"));
    }

    #[test]
    fn a_dockerfile_that_is_not_there_is_silent() {
        check(&RULE, &workflow("A=1"));
    }

    #[test]
    fn one_leg_that_declares_it_is_enough() {
        let workflow = "#- .github/workflows/ci.yml\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n        app: [a, b]\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n          context: .\n          file: ${{ matrix.app }}/Dockerfile\n          build-args: A=1\n";
        check(&RULE, &format!("#- a/Dockerfile\nFROM alpine:3.20\nARG A\n#- b/Dockerfile\nFROM alpine:3.20\n{workflow}"));
        let marked = marked(workflow, "A=1", "info: none of the Dockerfiles declares `A`, so that the value reaches nothing");
        check(&RULE, &format!("#- a/Dockerfile\nFROM alpine:3.20\n#- b/Dockerfile\nFROM alpine:3.20\n{marked}"));
    }

    #[test]
    fn arguments_of_bake_and_compose_are_declared_too() {
        let dockerfile = "#- Dockerfile\nFROM a:1.0\nARG KNOWN\nRUN $KNOWN\n";
        let message = "info: `Dockerfile` does not declare `OTHER`, so that the value reaches nothing";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  args = {\n    KNOWN = \"1\"\n    OTHER = \"2\"\n  }\n}\n";
        check(&RULE, &(dockerfile.to_owned() + &marked(bake, "OTHER = \"2\"", message)));
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      args:\n        KNOWN: 1\n        OTHER: 2\n";
        check(&RULE, &(dockerfile.to_owned() + &marked(compose, "OTHER: 2", message)));
        check(&RULE, &(dockerfile.to_owned() + &compose.replace("    build:\n", "    build:\n      context: other\n")));
    }

    #[test]
    fn an_argument_that_several_targets_have_is_meant_for_one_of_them() {
        let files = "#- a.Dockerfile\nFROM a:1.0\nARG A\n#- b.Dockerfile\nFROM b:1.0\nARG B\n";
        let bake = "#- docker-bake.hcl\ngroup \"default\" { targets = [\"base\", \"b\"] }\ntarget \"base\" {\n  dockerfile = \"a.Dockerfile\"\n  args = {\n    A = \"1\"\n    B = \"1\"\n    C = \"1\"\n  }\n}\ntarget \"b\" {\n  inherits = [\"base\"]\n  dockerfile = \"b.Dockerfile\"\n}\n";
        check(&RULE, &(files.to_owned() + &marked(bake, "C = \"1\"", "info: none of the Dockerfiles declares `C`, so that the value reaches nothing")));
    }
}
