use super::{Check, Finding, Findings, declare_rule};
use crate::build::Tool;
use crate::config;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::{Dockerfile, Frontend};
use crate::edit::{Edit, EditSet, Span};
use crate::links::{Place, Target};
use crate::snapshot::Snapshot;
use crate::view::{StepView, TargetsView, WorkflowView, display, is_fixed};
use crate::workflow::{BuildStep, Job, Step};
use std::collections::BTreeSet;

declare_rule! {
    /// The target of a build is no stage of its Dockerfile.
    ///
    /// The build ends with "target stage could not be found" before anything is built.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM node:22.11 AS dev
    /// RUN npm ci
    /// FROM dev AS prod
    /// RUN npm prune --omit=dev
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           target: prd
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// FROM node:22.11 AS dev
    /// RUN npm ci
    /// FROM dev AS prod
    /// RUN npm prune --omit=dev
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           target: prod
    /// ```
    ///
    /// Upper and lower case are the same; the number of a stage is no name. Not reported are
    /// targets and Dockerfiles that an expression decides, builds of another commit or repository,
    /// Dockerfiles that an earlier step may write, and those that another frontend reads.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: another stage is built. Offered where the name of a stage is near.
    pub(crate) static MISSING_TARGET = {
        name: "missing-target",
        level: Level::Error,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_at_root() {
        return;
    }
    check_calls(view, findings);
    if !view.runs_here_only() {
        return;
    }
    for build in view.builds.iter().filter(|it| is_judged(it)) {
        let Some(value) = build.build.target.as_ref().filter(|_| !is_rewritten(build.job, build.step)) else { continue };
        let missing = build.places.iter().find_map(|place| Missing::at(place, |it| view.dockerfile(it)));
        let Some(missing) = missing else { continue };
        missing.report(view.snapshot, value.span, findings).maybe_fix(|| fix(view, build, missing.near?));
    }
}

/// Targets that a job gives the workflow of the repository that it calls.
fn check_calls(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for called in view.called().iter().filter(|it| !it.view.workflow.broken) {
        for build in called.view.builds.iter().filter(|it| is_judged(it) && !is_rewritten(it.job, it.step)) {
            let Some(input) = build.build.target.as_ref().and_then(|it| called.given(it)) else { continue };
            let missing = build.places.iter().find_map(|place| Missing::at(place, |it| view.dockerfile(it)));
            if let Some(missing) = missing.filter(|_| seen.insert(input.span)) {
                drop(missing.report(view.snapshot, input.value.span, findings));
            }
        }
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    if view.is_broken() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| view.is_placed(it)) {
        let Some(value) = build.build.target.as_ref().filter(|it| is_fixed(it)) else { continue };
        let is_rewritten = build.step.is_some_and(|(job, step)| is_rewritten(job, step));
        let stands_here = view.stands_here(value, |it| it.target.iter().collect());
        let Some(missing) = Missing::at(&build.place, |it| view.dockerfile(it)).filter(|_| stands_here && !is_rewritten) else { continue };
        if seen.insert(value.span) {
            drop(missing.report(view.snapshot, value.span, findings));
        }
    }
}

fn is_judged(build: &StepView<'_>) -> bool {
    let tool = matches!(build.build.tool, Tool::BuildPushAction | Tool::Command);
    tool && !build.build.dry && !build.build.opaque && !build.may_have_other_sources() && !build.may_skip_legs()
}

/// A target that is no stage.
struct Missing<'a> {
    /// The Dockerfile that lacks it.
    path: String,
    dockerfile: &'a Dockerfile,
    name: String,
    /// The stage whose name is most like it.
    near: Option<&'a str>,
}

impl<'a> Missing<'a> {
    /// What is missing in a build that finds its files at `place`.
    fn at(place: &Place, dockerfile: impl Fn(&str) -> Option<&'a Dockerfile>) -> Option<Missing<'a>> {
        let Target::Named(name) = &place.target else { return None };
        let path = place.dockerfile.as_ref()?;
        let dockerfile = dockerfile(path).filter(|it| it.frontend != Frontend::Foreign && !it.stages.is_empty())?;
        let name = name.trim();
        let found = dockerfile.stages.iter().any(|it| it.name.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(name)));
        let near = nearest(dockerfile, name);
        (!found && !name.is_empty()).then(|| Missing { path: path.clone(), dockerfile, name: name.to_owned(), near })
    }

    fn report<'f, 'b>(&self, snapshot: &Snapshot, span: Span, findings: &'f mut Findings<'b>) -> Finding<'f, 'b> {
        let finding = findings.report(span, format!("`{}` has no stage `{}`", display(snapshot, &self.path), self.name));
        match self.near.and_then(|it| self.dockerfile.stages.iter().find(|stage| stage.name.as_deref() == Some(it))) {
            Some(stage) => finding.note_in(self.path.as_str().into(), stage.from.span, format!("this stage is `{}`", stage.label())),
            None => finding,
        }
    }
}

/// Whether a step before it, or its own script, may have written another Dockerfile.
fn is_rewritten(job: &Job, build: &BuildStep) -> bool {
    let writes = |text: &str| text.contains("ockerfile") || text.contains("ontainerfile");
    let by_script = |step: &Step| step.run.as_ref().is_some_and(|it| step.may_make_files() && writes(it.passage.text()));
    let by_action = |step: &Step| step.action.as_ref().is_some_and(|it| it.is_local() || it.name.contains("download-artifact"));
    job.before(build.step).iter().chain(job.steps.get(build.step)).any(|it| by_script(it) || by_action(it))
}

fn nearest<'d>(dockerfile: &'d Dockerfile, name: &str) -> Option<&'d str> {
    let names: Vec<&str> = dockerfile.stages.iter().filter_map(|it| it.name.as_deref()).collect();
    config::nearest(name, &names)
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, name: &str) -> Option<Fix> {
    let value = build.build.target.as_ref()?;
    let step = build.own_step().filter(|it| !it.shared)?;
    if step.run.is_some() || value.known().as_deref() != Some(view.written(value)) {
        return None;
    }
    let edits = EditSet::new(vec![Edit::replace(value.span, name)]).ok()?;
    Some(Fix::unproven(format!("Build the stage `{name}`"), vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::MISSING_TARGET as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked, steps};

    const STAGES: &str = "#- Dockerfile\nFROM node:22 AS dev\nFROM dev AS prod\n";

    fn quiet(with: &str) {
        check(&RULE, &format!("{STAGES}{}", build_step(with)));
    }

    #[test]
    fn a_condition_may_leave_out_legs_whose_stage_is_not_there() {
        let text = build_step("context: .\ntarget: ${{ matrix.stage }}").replace("    steps:", "    strategy: {matrix: {stage: [app, web]}}\n    steps:");
        let text = format!("#- Dockerfile\nFROM scratch AS app\n{text}");
        check(&RULE, &text.replace("- uses: docker/build", "- if: matrix.stage == 'app'\n        uses: docker/build"));
        check_without_fix(&RULE, &marked(&text, "${{ matrix.stage }}", "error: `Dockerfile` has no stage `web`"));
    }

    #[test]
    fn the_nearest_stage_is_meant() {
        let text = build_step("target: prd");
        let stages = marked(STAGES, "FROM dev AS prod", "note: this stage is `prod`");
        check_unsafe_fix(&RULE, &format!("{stages}{}", marked(&text, "prd", "error: `Dockerfile` has no stage `prd`")), &text.replace("prd", "prod"));
    }

    #[test]
    fn a_name_that_is_near_to_none_has_no_fix() {
        check_without_fix(
            &RULE,
            &format!("{STAGES}{}", marked(&build_step("target: integration"), "integration", "error: `Dockerfile` has no stage `integration`")),
        );
    }

    #[test]
    fn a_number_is_no_name() {
        check_without_fix(&RULE, &format!("{STAGES}{}", marked(&build_step("target: '00'"), "00", "error: `Dockerfile` has no stage `00`")));
    }

    #[test]
    fn flags_of_a_command_are_looked_at() {
        let text = steps("- uses: actions/checkout@v6\n- run: docker build --target tests .");
        check_without_fix(&RULE, &format!("{STAGES}{}", marked(&text, "tests", "error: `Dockerfile` has no stage `tests`")));
    }

    #[test]
    fn every_leg_is_looked_at() {
        let text =
            |legs: &str| build_step("target: ${{ matrix.stage }}").replace("    steps:", &format!("    strategy: {{matrix: {{stage: {legs}}}}}\n    steps:"));
        check(&RULE, &format!("{STAGES}{}", text("[dev, prod]")));
        check(&RULE, &format!("{STAGES}{}", marked(&text("[dev, integration]"), "${{ matrix.stage }}", "error: `Dockerfile` has no stage `integration`")));
        check(&RULE, &format!("{STAGES}{}", text("'${{ fromJSON(x) }}'")));
    }

    #[test]
    fn stages_that_are_there_are_silent() {
        for with in ["target: dev", "target: PROD", "target: ''", "push: true"] {
            quiet(with);
        }
    }

    #[test]
    fn what_is_not_known_is_silent() {
        for with in [
            "target: ${{ inputs.target }}",
            "target: x\nfile: ${{ inputs.file }}",
            "target: x\nfile: other.Dockerfile",
            "target: x\ncontext: https://github.com/other/repository.git",
            "target: x\ncall: check",
        ] {
            quiet(with);
        }
        check(&RULE, &format!("{STAGES}{}", build_step("target: x").replace("on: push", "on: workflow_call")));
        check(&RULE, &format!("{}{}", STAGES.replace("FROM node:22", "# syntax=other/frontend\nFROM node:22"), build_step("target: x")));
    }

    #[test]
    fn dockerfiles_of_another_commit_or_of_a_script_are_silent() {
        for step in [
            "uses: actions/checkout@v6\n  with: {repository: other/repository}",
            "uses: actions/checkout@v6\n  with: {ref: other}",
            "run: cat more >> Dockerfile",
            "run: git clone https://example.com/other .",
        ] {
            check(&RULE, &format!("{STAGES}{}", steps(&format!("- {step}\n- uses: docker/build-push-action@v7\n  with:\n    context: .\n    target: x"))));
        }
    }

    #[test]
    fn targets_of_bake_and_services_of_compose_name_stages_too() {
        let dockerfile = "#- Dockerfile\nFROM a:1.0 AS production\n^^^^^^^^^^^^^^^^^^^^^^^^ note: this stage is `production`\n";
        let message = "error: `Dockerfile` has no stage `prodution`";
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  target = \"prodution\"\n}\n";
        check(&RULE, &(dockerfile.to_owned() + &marked(bake, "prodution", message)));
        let compose = "#- compose.yaml\nservices:\n  app:\n    build:\n      context: .\n      target: prodution\n";
        check(&RULE, &(dockerfile.to_owned() + &marked(compose, "prodution", message)));
        let plain = "#- Dockerfile\nFROM a:1.0 AS production\n";
        for (from, to) in
            [("prodution", "production"), ("compose.yaml", "compose.prod.yaml"), ("prodution", "${STAGE:-prodution}"), ("context: .", "context: other")]
        {
            check(&RULE, &(plain.to_owned() + &compose.replace(from, to)));
        }
        check(&RULE, &(plain.to_owned() + &bake.replace("docker-bake.hcl", "x/other.hcl")));
    }
}
