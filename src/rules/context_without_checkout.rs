use super::{Check, Findings, declare_rule};
use crate::build::{Context, Tool};
use crate::diagnostic::Level;
use crate::links::Folder;
use crate::value::Value;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Runner, Step};

declare_rule! {
    /// A build has a folder as its context, and nothing has put files there.
    ///
    /// The workspace of a hosted runner is empty until a step checks out the repository. The build
    /// ends with "failed to read dockerfile". Without `context` no checkout is needed: the builder
    /// then clones the repository itself.
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
    ///           context: .
    /// ```
    ///
    /// ```yaml,good
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
    /// ```
    ///
    /// Files may come from more than a checkout: a `git clone`, a download, an artifact, a cache,
    /// any script or action that is not known to leave the workspace alone. Runners of one's own
    /// may have files of an earlier job.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: whether the checkout is missing or the context is one too many is not to be seen.
    pub(crate) static CONTEXT_WITHOUT_CHECKOUT = {
        name: "context-without-checkout",
        level: Level::Error,
        fixes: false,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken {
        return;
    }
    for build in view.builds.iter().filter(|it| is_judged(it) && is_empty(it)) {
        let Some(folder) = context(build) else { continue };
        let span = if folder.span.is_empty() { build.build.span } else { folder.span };
        findings.report(span, "no step before this one brings files, so that the context is empty");
    }
}

fn is_judged(build: &StepView<'_>) -> bool {
    let tool = matches!(build.build.tool, Tool::BuildPushAction | Tool::Command);
    let hosted = build.job.runner.as_ref().is_some_and(Runner::is_always_hosted);
    tool && hosted && build.job.container.is_none() && !build.build.dry && !build.build.inline
}

/// The folder that is the context, where it is known and lies in the workspace.
fn context<'b>(build: &'b StepView<'_>) -> Option<&'b Value> {
    let in_workspace = build.places.iter().all(|it| matches!(it.context, Folder::Disk(_)));
    match &build.build.context {
        Context::Folder(value) if in_workspace => Some(value),
        _ => None,
    }
}

/// Whether nothing before the build, and nothing in its own script, can have brought a file.
fn is_empty(build: &StepView<'_>) -> bool {
    let brings = |it: &Step| it.is_checkout() || it.may_make_files();
    !build.job.has_sources(build.step.step) && !build.own_step().is_some_and(|it| it.run.is_some() && brings(it))
}

#[cfg(test)]
mod tests {
    use super::CONTEXT_WITHOUT_CHECKOUT as RULE;
    use crate::rules::testing::{check, check_without_fix, marked, steps};

    const MESSAGE: &str = "error: no step before this one brings files, so that the context is empty";

    fn after(step: &str) -> String {
        steps(&format!("- {step}\n- uses: docker/build-push-action@v7\n  with:\n    context: ./api"))
    }

    #[test]
    fn an_empty_workspace_is_no_context() {
        for step in ["uses: docker/setup-buildx-action@v4", "uses: docker/login-action@v4", "uses: actions/setup-node@v6", "run: echo a=b >> $GITHUB_OUTPUT"] {
            check_without_fix(&RULE, &marked(&after(step), "./api", MESSAGE));
        }
    }

    #[test]
    fn commands_need_files_too() {
        check(&RULE, &marked(&steps("- run: docker build --push -t org/app ./api"), "./api", MESSAGE));
        check(&RULE, &steps("- run: git clone https://example.com/a api && docker build ./api"));
        check(&RULE, &steps("- run: |\n    printf 'FROM scratch' > Dockerfile\n    docker build .").replace("printf", "make"));
        check(&RULE, &steps("- run: docker build - < Dockerfile.in"));
        check(&RULE, &steps("- run: docker build https://github.com/org/app.git"));
    }

    #[test]
    fn files_may_come_from_more_than_a_checkout() {
        for step in [
            "uses: actions/checkout@v6",
            "uses: nschloe/action-cached-lfs-checkout@v1",
            "uses: actions/download-artifact@v5",
            "uses: actions/cache@v5\n  with: {path: api, key: a}",
            "uses: ./.github/actions/prepare",
            "uses: some/action@v1",
            "run: git clone https://example.com/api",
            "run: curl -O https://example.com/api.tar && tar xf api.tar",
            "run: ./prepare.sh",
        ] {
            check(&RULE, &after(step));
        }
    }

    #[test]
    fn an_input_that_no_call_gives_is_the_default_of_the_action() {
        let build = "      - uses: docker/build-push-action@v7\n        with:\n          context: ${{ inputs.context }}\n";
        let called = format!("on: {{workflow_call: {{inputs: {{context: {{type: string}}}}}}}}\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n{build}");
        let caller = |with: &str| format!("#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n{with}");
        check(&RULE, &format!("#- .github/workflows/build.yml\n{called}{}", caller("")));
        let marked = marked(&called, "${{ inputs.context }}", MESSAGE);
        check_without_fix(&RULE, &format!("#- .github/workflows/build.yml\n{marked}{}", caller("    with: {context: ./api}\n")));
    }

    #[test]
    fn contexts_that_need_no_workspace_are_silent() {
        for with in [
            "push: true",
            "context: '{{defaultContext}}:api'",
            "context: https://github.com/org/app.git",
            "context: ${{ inputs.context }}",
            "context: ${{ env.NOT_SET }}",
            "context: /opt/app",
            "context: .\n    call: check",
        ] {
            check(&RULE, &steps(&format!("- uses: docker/build-push-action@v7\n  with:\n    {with}")));
        }
    }

    #[test]
    fn runners_that_may_keep_files_are_silent() {
        let text = after("uses: docker/login-action@v4");
        check(&RULE, &text.replace("ubuntu-latest", "self-hosted"));
        check(&RULE, &text.replace("ubuntu-latest", "${{ inputs.runner }}"));
        let called = text.replace("ubuntu-latest", "${{ inputs.runner }}").replace("on: push", "on: {workflow_call: {inputs: {runner: {type: string}}}}");
        let caller = "#- .github/workflows/main.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/ci.yml\n    with: {runner: ubuntu-latest}\n";
        check(&RULE, &format!("{called}{caller}"));
        check(&RULE, &text.replace("    steps:", "    container: org/image:1\n    steps:"));
    }

    #[test]
    fn an_action_is_called_where_somebody_may_have_checked_out() {
        check(&RULE, &crate::rules::testing::build_action("context: .", &["a"]));
    }
}
