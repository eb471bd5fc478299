use super::{Check, Findings, declare_rule};
use crate::build::{Build, Context, Tool};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::{self, Entry, Text};
use crate::file::Kind;
use crate::links::{self, Folder};
use crate::snapshot::Snapshot;
use crate::value::Value;
use crate::view::{CalledWorkflow, StepView, TargetBuild, TargetsView, WorkflowView, display, in_lower_case, is_fixed};
use crate::workflow::{BuildStep, Event, Input, Job, Step};
use std::collections::BTreeSet;

declare_rule! {
    /// The Dockerfile of a build step does not exist.
    ///
    /// The build fails before it begins. Where the path starts depends on the context: with a
    /// folder as `context` the input `file` starts at the root of the repository, not at the
    /// context; with the repository itself as context it starts there.
    ///
    /// ```yaml,bad
    /// #- api/Dockerfile
    /// FROM scratch
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: ./api
    ///           file: Dockerfile
    /// ```
    ///
    /// ```yaml,good
    /// #- api/Dockerfile
    /// FROM scratch
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: ./api
    ///           file: api/Dockerfile
    /// ```
    ///
    /// A workflow that others call is looked at as those of the repository call it; where one of them
    /// names the path, it is reported there:
    ///
    /// ```yaml,bad
    /// #- api/Dockerfile
    /// FROM scratch
    /// #- .github/workflows/build.yml
    /// on:
    ///   workflow_call:
    ///     inputs:
    ///       folder: {type: string, required: true}
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: ${{ inputs.folder }}
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   api:
    ///     uses: ./.github/workflows/build.yml
    ///     with:
    ///       folder: apis
    /// ```
    ///
    /// Not reported are builds whose Dockerfile may be made or fetched by a step before, calls from
    /// other repositories, other repositories and branches, submodules, and builds whose conditions choose
    /// legs of the matrix or ask for files. Targets of
    /// bake and services of compose are looked at in their own files; an information only where no
    /// workflow builds them, at the root of the repository.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: another file is built. Offered where the repository has one Dockerfile that can be
    /// meant.
    pub(crate) static MISSING_DOCKERFILE = {
        name: "missing-dockerfile",
        level: Level::Error,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_at_root() {
        return;
    }
    // Called from elsewhere, it and what it calls run in another repository.
    if view.workflow.trigger(&Event::WorkflowCall).is_some() {
        check_as_called(view, findings);
        return;
    }
    check_calls(view, findings);
    for build in view.builds.iter().filter(|it| is_docker(it)) {
        let Some(path) = missing(view, build) else { continue };
        let name = display(view.snapshot, &path);
        let span = place_of(build.build);
        let candidate = candidate(view, build, &path);
        let mut finding = findings.report(span, format!("`{name}` does not exist"));
        if let (Some(value), Context::Folder(folder), Some(meant)) = (&build.build.dockerfile, &build.build.context, &candidate)
            && in_context(build, value).as_ref() == Some(meant)
        {
            finding = finding.note(folder.span, "the path of the Dockerfile starts where the build does, not in this context");
        }
        finding.maybe_fix(|| fix(view, build, &candidate?));
    }
}

/// What is missing because of what a job gives the workflow of the repository that it calls.
fn check_calls(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for called in view.called().iter().filter(|it| !it.view.workflow.broken) {
        for build in called.view.builds.iter().filter(|it| is_docker(it)) {
            let Some(input) = given(called, build.build) else { continue };
            let Some(path) = missing(&called.view, build).filter(|it| seen.insert((input.span, it.clone()))) else { continue };
            let message = format!("`{}` does not exist", display(view.snapshot, &path));
            findings.report(input.value.span, message).note_in(called.view.path.clone(), place_of(build.build), "this build asks for it");
        }
    }
}

/// What is missing in a call by a workflow of the repository, which does not say where it is.
fn check_as_called(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for called in view.as_called() {
        for build in called.view.builds.iter().filter(|it| is_docker(it) && given(&called, it.build).is_none()) {
            let span = place_of(build.build);
            let Some(path) = missing(&called.view, build).filter(|_| seen.insert(span)) else { continue };
            let message = format!("`{}` does not exist", display(view.snapshot, &path));
            findings.report(span, message).note_in(called.caller.clone(), called.call.action.span, "in this call");
        }
    }
}

/// The input of a call that says where the Dockerfile of a build is.
fn given<'a>(called: &CalledWorkflow<'a>, build: &Build) -> Option<&'a Input> {
    let named = build.dockerfile.as_ref().filter(|it| !it.is_blank());
    let context = match &build.context {
        Context::Folder(value) if named.is_none() => Some(value),
        Context::Git(Some(value)) => Some(value),
        _ => None,
    };
    named.into_iter().chain(context).find_map(|it| called.given(it))
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| is_told(it) && view.is_placed(it)) {
        // What nobody is known to build may be an example, or be moved before it is built; at the root
        // of the repository it is neither.
        let (is_called, is_at_root) = (build.call.is_some(), links::base(&view.path) == view.snapshot.root(&view.path));
        let span = place_of(&build.build);
        let stands_here = place_value(&build.build).is_some_and(|it| view.stands_here(it, |it| place_value(it).into_iter().collect()));
        let stands_here = stands_here && (is_called || (is_at_root && span != build.build.span));
        let Some(path) = missing_of_target(view, build).filter(|_| stands_here && seen.insert(span)) else { continue };
        let level = if is_called { Level::Error } else { Level::Info };
        drop(findings.report(span, format!("`{}` does not exist", display(view.snapshot, &path))).level(level));
    }
}

/// Whether the file says where the Dockerfile is, in the workspace as it is checked out.
fn is_told(build: &TargetBuild<'_>) -> bool {
    let is_folder = matches!(&build.build.context, Context::Folder(it) if is_fixed(it));
    let is_plain = build.step.is_none_or(|(job, step)| is_plain_checkout(job, step));
    is_folder && is_plain && !build.build.inline && build.build.dockerfile.as_ref().is_none_or(is_fixed)
}

fn missing_of_target(view: &TargetsView<'_>, build: &TargetBuild<'_>) -> Option<String> {
    let path = build.place.dockerfile.as_ref()?;
    let is_missing = |it: &str| Some(view.snapshot.text(it)? == Text::Missing);
    let is_lower_missing = in_lower_case(path).map_or(Some(true), |it| is_missing(&it));
    let missing = is_missing(path)? && is_lower_missing? && is_listed(view.snapshot, &view.path, path)?;
    missing.then(|| path.clone())
}

/// Whether it is built by what looks for a `Dockerfile`; Podman and its like look for others too.
fn is_docker(build: &StepView<'_>) -> bool {
    let tool = match build.build.tool {
        Tool::BuildPushAction => true,
        Tool::Command => build.build.name.starts_with("docker"),
        _ => false,
    };
    // That a compose file is no Dockerfile is another rule's matter, whether it is there or not.
    let name = build.build.dockerfile.as_ref().and_then(Value::known).unwrap_or_default();
    let described = matches!(Kind::of(name.trim()), Kind::Compose | Kind::Bake);
    tool && !described && !build.build.dry && !build.build.opaque
}

/// Where the value stands that leads to the file.
fn place_of(build: &Build) -> Span {
    place_value(build).map_or(build.span, |it| it.span)
}

/// The value that leads to the file.
fn place_value(build: &Build) -> Option<&Value> {
    let named = build.dockerfile.as_ref().filter(|it| !it.is_blank());
    named.or_else(|| build.context.folder().filter(|it| !it.span.is_empty()))
}

/// The Dockerfile that is not there in some leg, if all is known of all legs.
fn missing(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<String> {
    if build.may_skip_legs() {
        return None;
    }
    let is_path = |it: &Folder| matches!(it, Folder::Disk(_));
    if build.places.iter().any(|it| is_path(&it.context)) && !is_plain_checkout(build.job, build.step) {
        return None;
    }
    let mut res = None;
    for place in &build.places {
        let path = place.dockerfile.as_ref()?;
        match (view.snapshot.text(path)?, in_lower_case(path).map(|it| view.snapshot.text(&it))) {
            (Text::Missing, None | Some(Some(Text::Missing))) if is_listed(view.snapshot, &view.path, path)? => res = res.or_else(|| Some(path.clone())),
            (_, Some(None)) => return None,
            _ => {}
        }
    }
    res
}

/// Whether what stands below the root of the repository is known, so that what is not there is
/// missing: there is more than workflows, and no submodule on the way.
fn is_listed(snapshot: &Snapshot, own: &str, path: &str) -> Option<bool> {
    let root = snapshot.root(own);
    let tree = snapshot.facts.tree(root)?;
    let is_repository = tree.entries.keys().any(|it| !it.starts_with(".github") && !it.starts_with(".git/") && it != ".git");
    let modules = snapshot.text(&facts::join(root, ".gitmodules"))?;
    let relative = facts::relative(path, root);
    let in_module = match (&modules, relative) {
        (Text::Known(text), Some(relative)) => {
            let paths = text.lines().filter_map(|it| it.trim().strip_prefix("path")).filter_map(|it| it.trim_start().strip_prefix('='));
            paths.map(str::trim).any(|it| relative.strip_prefix(it).is_some_and(|it| it.starts_with('/')))
        }
        _ => false,
    };
    // A link may lead anywhere.
    let linked = relative.is_some_and(|it| it.match_indices('/').any(|(at, _)| matches!(tree.entries.get(&it[..at]), Some(Entry::Link | Entry::Unlisted))));
    Some(is_repository && relative.is_some() && !in_module && !linked)
}

/// Whether the workspace is this repository at the commit, and nothing has been added to it.
fn is_plain_checkout(job: &Job, build: &BuildStep) -> bool {
    let before = job.before(build.step);
    let plain = |it: &Step| {
        let given = |name: &str| it.input(name).is_some_and(|it| !it.value.is_blank() && !it.value.pattern().starts_with("${{ github."));
        it.runs("actions/checkout") && !given("ref") && !given("repository")
    };
    let is_checkout = |it: &Step| it.is_checkout();
    let own_script = job.steps.get(build.step).is_some_and(|it| it.run.as_ref().is_some_and(|it| it.script.commands.len() > 1));
    before.iter().any(plain) && !before.iter().any(|it| (is_checkout(it) && !plain(it)) || it.may_make_files()) && !own_script
}

/// The path that the value means when it starts at the context.
fn in_context(build: &StepView<'_>, value: &Value) -> Option<String> {
    match &build.places.first()?.context {
        Folder::Disk(folder) => Some(facts::join(folder, &value.known()?)),
        _ => None,
    }
}

/// The one Dockerfile that can be meant: the path from the context, else the only one of the
/// repository with that name.
fn candidate(view: &WorkflowView<'_>, build: &StepView<'_>, missing: &str) -> Option<String> {
    let root = view.snapshot.root(&view.path);
    let tree = view.snapshot.facts.tree(root)?;
    let exists = |path: &str| facts::relative(path, root).is_some_and(|it| tree.entries.get(it) == Some(&Entry::File));
    if let Some(path) = build.build.dockerfile.as_ref().and_then(|it| in_context(build, it)).filter(|it| exists(it)) {
        return Some(path);
    }
    let files = tree.entries.iter().filter(|(_, it)| **it == Entry::File).map(|(path, _)| path);
    let mut named = files.filter(|it| Kind::of(it) == Kind::Dockerfile && facts::name(it).eq_ignore_ascii_case(facts::name(missing)));
    let only = facts::join(root, named.next()?);
    // What another build builds is another image.
    (named.next().is_none() && !tree.truncated && view.snapshot.links.builds_of(&only).is_empty()).then_some(only)
}

/// Puts the path of another file in the place of the one that is named.
fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, path: &str) -> Option<Fix> {
    let value = build.build.dockerfile.as_ref().filter(|it| !it.is_blank())?;
    let step = build.job.steps.get(build.step.step).filter(|it| !it.shared)?;
    // The path starts where a cloned context does, else where the build is started.
    let start = match &build.places.first()?.context {
        Folder::Git(folder) => folder.clone(),
        _ => facts::join(links::base(&view.path), build.build.folder.as_deref()?),
    };
    let relative = facts::relative(path, &start).filter(|it| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_./".contains(&it)))?;
    // A checkout below the workspace has another path there.
    let moved = build.job.before(build.step.step).iter().any(|it| it.is_checkout() && it.input("path").is_some());
    if step.run.is_some() || moved || value.known().as_deref() != Some(view.written(value)) {
        return None;
    }
    let edits = EditSet::new(vec![Edit::replace(value.span, relative)]).ok()?;
    Some(Fix::unproven(format!("Build `{relative}`"), vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::MISSING_DOCKERFILE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix, marked, steps};

    const API: &str = "#- api/Dockerfile\nFROM scratch\n";

    fn job(with: &str) -> String {
        let with: String = with.lines().map(|it| format!("    {it}\n")).collect();
        steps(&format!("- uses: actions/checkout@v6\n- uses: docker/build-push-action@v7\n  with:\n{with}"))
    }

    #[test]
    fn what_another_build_builds_is_not_meant() {
        let builds = "- uses: actions/checkout@v6\n- uses: docker/build-push-action@v7\n  with:\n    context: api\n- uses: docker/build-push-action@v7\n  with:\n    context: web\n    file: web/Dockerfile";
        check_without_fix(&RULE, &format!("{API}{}", marked(&steps(builds), "web/Dockerfile", "error: `web/Dockerfile` does not exist")));
    }

    #[test]
    fn a_condition_may_leave_out_legs_whose_file_is_not_there() {
        let text = job("context: .\nfile: ${{ matrix.app }}/Dockerfile").replace("    steps:", "    strategy: {matrix: {app: [api, web]}}\n    steps:");
        let when = |condition: &str| text.replace("- uses: docker", &format!("- if: {condition}\n        uses: docker"));
        for condition in
            ["matrix.app == 'api'", "runner.os == 'Linux'", "hashFiles(format('{0}/Dockerfile', matrix.app)) != ''", "steps.look.outputs.exists == 'true'"]
        {
            check(&RULE, &format!("{API}{}", when(condition)));
        }
        let other = when("github.event_name == 'push'");
        check_without_fix(&RULE, &format!("{API}{}", marked(&other, "${{ matrix.app }}/Dockerfile", "error: `web/Dockerfile` does not exist")));
    }

    #[test]
    fn what_never_runs_misses_nothing() {
        let text = job("file: web/Dockerfile\ncontext: .");
        let called = "#- .github/workflows/build.yml\non: {workflow_call: {inputs: {file: {required: true}}}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v6\n      - {uses: docker/build-push-action@v7, with: {context: ., file: '${{ inputs.file }}'}}\n";
        let call = |condition: &str| {
            format!(
                "{API}{called}#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    if: {condition}\n    uses: ./.github/workflows/build.yml\n    with: {{file: web/Dockerfile}}\n"
            )
        };
        for condition in ["false", "${{ false }}"] {
            check(&RULE, &format!("{API}{}", text.replace("    steps:", &format!("    if: {condition}\n    steps:"))));
            check(&RULE, &format!("{API}{}", text.replace("- uses: docker", &format!("- if: {condition}\n        uses: docker"))));
            check(&RULE, &call(condition));
        }
    }

    /// It is called from other repositories too, and whether a file is there may be what the steps ask first.
    #[test]
    fn what_a_workflow_that_others_call_gives_on_is_not_known_to_be_missing() {
        let inner = "#- .github/workflows/inner.yml\non: {workflow_call: {inputs: {file: {required: true}}}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v6\n      - {uses: docker/build-push-action@v7, with: {context: ., file: '${{ inputs.file }}'}}\n";
        let outer = "#- .github/workflows/outer.yml\non: {workflow_call: {inputs: {file: {default: web/Dockerfile}}}}\njobs:\n  a:\n    uses: ./.github/workflows/inner.yml\n    with: {file: '${{ inputs.file }}'}\n";
        check(&RULE, &format!("{API}{inner}{outer}#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/outer.yml\n"));
    }

    #[test]
    fn the_path_does_not_start_at_the_context() {
        let text = job("context: ./api\nfile: Dockerfile");
        let fixture = marked(
            &marked(&text, "Dockerfile", "error: `Dockerfile` does not exist"),
            "./api",
            "note: the path of the Dockerfile starts where the build does, not in this context",
        );
        check_unsafe_fix(&RULE, &format!("{API}{fixture}"), &job("context: ./api\nfile: api/Dockerfile"));
    }

    #[test]
    fn the_only_file_of_that_name_is_meant() {
        let text = job("context: .\nfile: ./docker/Dockerfile");
        check_unsafe_fix(
            &RULE,
            &format!("{API}{}", marked(&text, "./docker/Dockerfile", "error: `docker/Dockerfile` does not exist")),
            &job("context: .\nfile: api/Dockerfile"),
        );
        let several = "#- api/Dockerfile\nFROM scratch\n#- web/Dockerfile\nFROM scratch\n";
        check_without_fix(&RULE, &format!("{several}{}", marked(&text, "./docker/Dockerfile", "error: `docker/Dockerfile` does not exist")));
    }

    #[test]
    fn a_cloned_context_has_its_files_below_it() {
        let text = job("file: docker/Dockerfile");
        check_unsafe_fix(
            &RULE,
            &format!("{API}{}", marked(&text, "docker/Dockerfile", "error: `docker/Dockerfile` does not exist")),
            &job("file: api/Dockerfile"),
        );
        check(&RULE, &format!("{API}{}", job("context: '{{defaultContext}}:api'\nfile: Dockerfile")));
    }

    #[test]
    fn the_default_may_be_missing() {
        check_without_fix(&RULE, &format!("{API}{}", marked(&job("context: ./web"), "./web", "error: `web/Dockerfile` does not exist")));
        check_without_fix(&RULE, &format!("{API}{}", marked(&job("push: true"), "docker/build-push-action@v7", "error: `Dockerfile` does not exist")));
        check(&RULE, &format!("#- web/dockerfile\nFROM scratch\n{}", job("context: ./web")));
    }

    #[test]
    fn a_dockerfile_in_lower_case_stands_in_for_one_that_is_named() {
        const LOWER: &str = "#- web/dockerfile\nFROM scratch\n";
        check(&RULE, &format!("{LOWER}{}", job("context: ./web\nfile: web/Dockerfile")));
        let compose = "#- compose.yaml\nservices:\n  web:\n    build: {context: ./web, dockerfile: Dockerfile}\n";
        check(&RULE, &format!("{LOWER}{compose}"));
        let called = job("context: .\nfile: ${{ inputs.file }}").replace("ci.yml", "build.yml");
        let called = called.replace("on: push", "on: {workflow_call: {inputs: {file: {required: true}}}}");
        let call = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n    with: {file: web/Dockerfile}\n";
        check(&RULE, &format!("{LOWER}{called}{call}"));
        let found = marked(call, "web/Dockerfile", "error: `web/Dockerfile` does not exist");
        let called = marked(&called, "${{ inputs.file }}", "note: this build asks for it");
        check_without_fix(&RULE, &format!("{API}{called}{found}"));
    }

    #[test]
    fn commands_are_asked_too() {
        let text = steps("- uses: actions/checkout@v6\n- run: docker build -f docker/Dockerfile .");
        check_without_fix(&RULE, &format!("{API}{}", marked(&text, "docker/Dockerfile", "error: `docker/Dockerfile` does not exist")));
        check(&RULE, &format!("{API}{}", steps("- uses: actions/checkout@v6\n- run: podman build .")));
        check(&RULE, &format!("{API}{}", steps("- uses: actions/checkout@v6\n- run: |\n    cp api/Dockerfile .\n    docker build .")));
    }

    #[test]
    fn every_leg_is_looked_at() {
        let text = |legs: &str| {
            job("context: .\nfile: ${{ matrix.app }}/Dockerfile").replace("    steps:", &format!("    strategy: {{matrix: {{app: {legs}}}}}\n    steps:"))
        };
        check(&RULE, &format!("{API}{}", text("[api]")));
        check(&RULE, &format!("{API}{}", marked(&text("[api, web]"), "${{ matrix.app }}/Dockerfile", "error: `web/Dockerfile` does not exist")));
        check(&RULE, &format!("{API}{}", text("'${{ fromJSON(x) }}'")));
    }

    #[test]
    fn files_that_a_step_may_make_or_fetch_are_silent() {
        let text = job("context: .\nfile: generated/Dockerfile");
        for step in ["run: ./generate.sh", "uses: actions/download-artifact@v5", "uses: ./.github/actions/generate"] {
            check(&RULE, &format!("{API}{}", text.replace("- uses: docker/build", &format!("- {step}\n      - uses: docker/build"))));
        }
        check(&RULE, &format!("{API}{}", text.replace("actions/checkout@v6", "actions/checkout@v6\n        with: {repository: other/repository}")));
        check(&RULE, &format!("{API}{}", text.replace("actions/checkout@v6", "actions/checkout@v6\n        with: {ref: other}")));
        check(&RULE, &format!("{API}{}", text.replace("actions/checkout@v6", "docker/login-action@v4")));
    }

    /// A workflow that is called, and one that calls it.
    fn called(with: &str, caller: &str) -> String {
        let inputs = "on: {workflow_call: {inputs: {folder: {type: string}, file: {type: string, default: Dockerfile}}}}";
        let reusable = job(with).replace("ci.yml", "build.yml").replace("on: push", inputs);
        format!("{API}{reusable}#- .github/workflows/ci.yml\non: push\njobs:\n  api:\n    uses: ./.github/workflows/build.yml\n{caller}")
    }

    #[test]
    fn a_call_may_name_the_path() {
        let missing = "error: `nope/Dockerfile` does not exist";
        let text = called("context: ${{ inputs.folder }}", "    with:\n      folder: nope\n");
        check_without_fix(&RULE, &marked(&marked(&text, "nope", missing), "${{ inputs.folder }}", "note: this build asks for it"));
        check(&RULE, &called("context: ${{ inputs.folder }}", "    with: {folder: api}\n"));
        let legs = "    strategy: {matrix: {app: [api, nope]}}\n    with:\n      folder: ./${{ matrix.app }}\n";
        let text = called("context: ${{ inputs.folder }}", legs);
        check(&RULE, &marked(&marked(&text, "./${{ matrix.app }}", missing), "${{ inputs.folder }}", "note: this build asks for it"));
        check(&RULE, &called("context: ${{ inputs.folder }}", &legs.replace("nope", "./api")));
        check(&RULE, &called("context: ${{ inputs.folder }}", "    with: {folder: '${{ vars.FOLDER }}'}\n"));
    }

    #[test]
    fn what_no_call_names_is_reported_in_the_called_workflow() {
        let text = called("context: api\nfile: ${{ inputs.file }}", "");
        let text = marked(&text, "${{ inputs.file }}", "error: `Dockerfile` does not exist");
        check(&RULE, &marked(&text, "./.github/workflows/build.yml", "note: in this call"));
        let text = marked(&called("context: web", ""), "web", "error: `web/Dockerfile` does not exist");
        check(&RULE, &marked(&text, "./.github/workflows/build.yml", "note: in this call"));
        check(&RULE, &called("context: api\nfile: ${{ inputs.file }}", "    with: {file: api/Dockerfile}\n"));
        check(&RULE, &called("context: web", "").replace("uses: ./.github/workflows/build.yml", "uses: other/repository/.github/workflows/build.yml@v1"));
    }

    #[test]
    fn other_repositories_are_silent() {
        check(&RULE, &format!("{API}{}", job("context: https://github.com/other/repository.git")));
        check(&RULE, &format!("{API}{}", job("push: true").replace("on: push", "on: workflow_call")));
        check(&RULE, &format!("{API}#- .gitmodules\n[submodule \"web\"]\n  path = web\n  url = https://example.com/web\n{}", job("context: web")));
        check(&RULE, &job("context: web"));
        check(&RULE, &format!("{API}{}", job("context: web").replace("#- .github", "#- vendor/other/.github")));
    }

    #[test]
    fn what_is_not_known_is_silent() {
        for with in ["file: ${{ inputs.file }}", "context: ${{ inputs.context }}", "call: check", "build-args: ${{ inputs.args }}", "file: docker-compose.yml"]
        {
            check(&RULE, &format!("{API}{}", job(with)));
        }
    }

    #[test]
    fn targets_of_bake_and_services_of_compose_name_dockerfiles_too() {
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  dockerfile = \"app.Dockerfile\"\n}\n";
        let compose = "#- compose.yaml\nservices:\n  app:\n    build: ./app\n";
        let other = "#- other/Dockerfile\nFROM a:1.0\n";
        check(&RULE, &(other.to_owned() + &marked(bake, "app.Dockerfile", "info: `app.Dockerfile` does not exist")));
        check(&RULE, &(other.to_owned() + &marked(compose, "./app", "info: `app/Dockerfile` does not exist")));
        let call = steps("- uses: actions/checkout@v6\n- run: docker compose build");
        check(&RULE, &(other.to_owned() + &marked(compose, "./app", "error: `app/Dockerfile` does not exist") + &call));
        let made = steps("- uses: actions/checkout@v6\n- run: make app\n- run: docker compose build");
        check(&RULE, &(other.to_owned() + compose + &made));
        check(&RULE, &(other.to_owned() + &compose.replace("compose.yaml", "examples/compose.yaml")));
        check(&RULE, &(other.to_owned() + &bake.replace("  dockerfile = \"app.Dockerfile\"\n", "")));
        check(&RULE, &("#- app/dockerfile\nFROM a:1.0\n".to_owned() + compose));
        for (from, to) in [
            ("./app", "${APP:-./app}"),
            ("compose.yaml", "compose.prod.yaml"),
            ("./app", "https://github.com/o/r.git"),
            ("./app", "{dockerfile_inline: FROM a}"),
        ] {
            check(&RULE, &(other.to_owned() + &compose.replace(from, to)));
        }
    }

    #[test]
    fn a_service_and_a_target_of_one_name_lead_to_one_file() {
        let call =
            |files: &str| format!("#- other/Dockerfile\nFROM a:1.0\n{}", steps(&format!("- uses: actions/checkout@v6\n- run: docker buildx bake {files} app")));
        let compose = "#- compose.yaml\nservices:\n  app:\n    build: ./app\n";
        let bake = |attribute: &str| format!("#- docker-bake.hcl\ntarget \"app\" {{\n  {attribute}\n}}\n");
        let dockerfile = bake("dockerfile = \"app.Dockerfile\"");
        let expected = format!("{compose}{}", marked(&dockerfile, "app.Dockerfile", "error: `app/app.Dockerfile` does not exist"));
        for files in ["", "-f docker-bake.hcl -f compose.yaml"] {
            check(&RULE, &(call(files) + &expected));
        }
        check(&RULE, &format!("{}{dockerfile}{compose}#- app/app.Dockerfile\nFROM a:1.0\n", call("")));
        // What the target does not say stands in the service.
        check(&RULE, &(call("") + &marked(compose, "./app", "error: `app/Dockerfile` does not exist") + &bake("target = \"t\"")));
        check(&RULE, &(call("") + compose + &marked(&bake("context = \"web\""), "web", "error: `web/Dockerfile` does not exist")));
        check(&RULE, &(call("") + compose + &bake("dockerfile-inline = \"FROM a\"")));
    }

    #[test]
    fn who_asks_bake_by_hand_gets_what_stands_beside_too() {
        let compose = "#- other/Dockerfile\nFROM a:1.0\n#- app/Dockerfile\nFROM a:1.0\n#- compose.yaml\nservices:\n  app:\n    build: ./app\n";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  dockerfile = \"a.Dockerfile\"\n}\n";
        check(&RULE, &(compose.to_owned() + &marked(bake, "a.Dockerfile", "info: `app/a.Dockerfile` does not exist")));
        check(&RULE, &format!("{compose}{bake}#- app/a.Dockerfile\nFROM a:1.0\n"));
        let later = "#- docker-bake.override.hcl\ntarget \"app\" {\n  dockerfile = \"b.Dockerfile\"\n}\n";
        check(&RULE, &format!("{bake}{later}#- b.Dockerfile\nFROM a:1.0\n"));
        // A file of the same form is not taken for the one with the cause.
        let call = steps("- uses: actions/checkout@v6\n- run: docker buildx bake app");
        check(&RULE, &format!("#- other/Dockerfile\nFROM a:1.0\n{bake}{}{call}", marked(later, "b.Dockerfile", "error: `b.Dockerfile` does not exist")));
    }

    #[test]
    fn each_leg_may_build_a_bake_file_of_its_own() {
        let workflow =
            steps("- uses: actions/checkout@v6\n- uses: docker/bake-action@v7\n  with:\n    source: .\n    files: ${{ matrix.dir }}/docker-bake.hcl\n    targets: ${{ matrix.dir }}")
                .replace("    steps:", "    strategy: {matrix: {dir: [a, b]}}\n    steps:");
        let bake = |name: &str| format!("#- {name}/docker-bake.hcl\ntarget \"{name}\" {{\n  dockerfile = \"{name}.Dockerfile\"\n}}\n");
        let missing = marked(&bake("b"), "b.Dockerfile", "error: `b.Dockerfile` does not exist");
        // Its paths start where the call is made.
        let files = "#- a.Dockerfile\nFROM a:1.0\n#- b/b.Dockerfile\nFROM a:1.0\n";
        check_without_fix(&RULE, &format!("{workflow}{}{missing}{files}", bake("a")));
        let other = workflow.replace("dir: [a, b]", "dir: [a]");
        check(&RULE, &format!("{other}{}{files}", bake("a")));
        check(&RULE, &format!("{}{}{}{files}", workflow.replace("${{ matrix.dir }}/", "${{ vars.DIR }}/"), bake("a"), bake("b")));
    }
}
