use super::{Check, Findings, declare_rule};
use crate::build::Tool;
use crate::diagnostic::Level;
use crate::links::baked::Baked;
use crate::view::{StepView, WorkflowView};

declare_rule! {
    /// A script uses GitHub's cache without the token for it.
    ///
    /// Actions are given the address of the cache and a token; scripts are not. Without them
    /// Buildx leaves `type=gha` out and says nothing, so that the build starts empty in every run.
    /// `docker/build-push-action` and `docker/bake-action` have both; for a script
    /// `crazy-max/ghaction-github-runtime` exposes them to all later steps of the job.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - run: docker buildx build --cache-from type=gha --cache-to type=gha,mode=max .
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
    ///       - uses: crazy-max/ghaction-github-runtime@v3
    ///       - run: docker buildx build --cache-from type=gha --cache-to type=gha,mode=max .
    /// ```
    ///
    /// A token that comes in another way is looked for: an `env` entry, `token=` in the option, a
    /// script that takes it from elsewhere. Actions of this repository before the build may expose
    /// it, and services other than GitHub have rules of their own. Docker's own builder, where a step has
    /// chosen it (`driver: docker`), would not export with a token either.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: a token that all later steps can read is not to be handed out unseen.
    pub(crate) static CACHE_WITHOUT_RUNTIME_TOKEN = {
        name: "cache-without-runtime-token",
        level: Level::Warning,
        fixes: false,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_on_github() {
        return;
    }
    let mut seen: Vec<usize> = Vec::new();
    for build in view.judged().filter(|it| it.lacks_token(view) && !it.is_kept_in_docker()) {
        let Some(entry) = build.build.exports.iter().chain(&build.build.imports).find(|it| it.needs_token()) else {
            check_files(view, build, &mut seen, findings);
            continue;
        };
        // Legs of a loop are several builds of one command.
        if seen.contains(&entry.span.start) {
            continue;
        }
        seen.push(entry.span.start);
        findings.report(entry.span, "scripts have no token for GitHub's cache, so that Buildx leaves this option out");
    }
}

/// The options of a bake or compose file that a script builds.
fn check_files(view: &WorkflowView<'_>, build: &StepView<'_>, seen: &mut Vec<usize>, findings: &mut Findings<'_>) {
    let is_call = matches!(build.build.tool, Tool::Bake | Tool::Compose);
    let Some(calls) = view.calls(build).filter(|_| is_call && !build.build.opaque) else { return };
    let entries = |it: &Baked| it.build.exports.iter().chain(&it.build.imports).find(|it| it.needs_token()).cloned();
    let found = calls.iter().find_map(|call| call.targets.iter().find_map(|it| Some((call, &it.name, entries(it)?))));
    let Some((call, name, entry)) = found else { return };
    let Some((path, span)) = call.file_of(build, &entry) else { return };
    if seen.contains(&build.build.span.start) {
        return;
    }
    seen.push(build.build.span.start);
    let message = format!("scripts have no token for GitHub's cache, so that Buildx builds `{name}` without it");
    findings.report(build.build.span, message).note_in(path.into(), span, "this option is left out");
}

#[cfg(test)]
mod tests {
    use super::CACHE_WITHOUT_RUNTIME_TOKEN as RULE;
    use crate::rules::testing::{check, check_without_fix, marked, steps};

    const MESSAGE: &str = "warning: scripts have no token for GitHub's cache, so that Buildx leaves this option out";
    const BUILD: &str = "- uses: docker/setup-buildx-action@v4\n- run: docker buildx build --cache-to type=gha,mode=max .";

    #[test]
    fn scripts_have_no_token() {
        check_without_fix(&RULE, &marked(&steps(BUILD), "type=gha,mode=max", MESSAGE));
        let imports = steps("- run: docker buildx build --cache-from=type=gha,scope=app .");
        check(&RULE, &marked(&imports, "type=gha,scope=app", MESSAGE));
        let bake = steps("- run: docker buildx bake --set '*.cache-to=type=gha'");
        check(&RULE, &marked(&bake, "type=gha", MESSAGE));
    }

    #[test]
    fn a_token_may_be_exposed_before() {
        for step in [
            "uses: crazy-max/ghaction-github-runtime@v3",
            "uses: actions/github-script@v8\n  with: {script: \"core.exportVariable('ACTIONS_RUNTIME_TOKEN', process.env.ACTIONS_RUNTIME_TOKEN)\"}",
            "uses: ./.github/actions/expose",
            "run: echo \"ACTIONS_RUNTIME_TOKEN=$TOKEN\" >> $GITHUB_ENV",
        ] {
            check(&RULE, &steps(&format!("- {step}\n{BUILD}")));
        }
        let other = format!("- uses: actions/github-script@v8\n  with: {{script: 'core.info(1)'}}\n{BUILD}");
        check(&RULE, &marked(&steps(&other), "type=gha,mode=max", MESSAGE));
    }

    #[test]
    fn a_token_may_be_passed() {
        check(&RULE, &steps(&BUILD.replace("mode=max", "mode=max,token=$TOKEN,url=$URL")));
        check(&RULE, &steps(&format!("{BUILD}\n  env: {{ACTIONS_RUNTIME_TOKEN: '${{{{ secrets.TOKEN }}}}'}}")));
        check(&RULE, &steps(BUILD).replace("jobs:", "env: {ACTIONS_RESULTS_URL: 'http://cache'}\njobs:"));
    }

    const COMPOSE: &str = "#- ci.compose.yaml\nservices:\n  tests:\n    build:\n      context: .\n      cache_to: [\"type=gha,mode=max\"]\n";

    #[test]
    fn files_that_a_script_builds_have_options_too() {
        let noted = |text: &str| marked(text, "type=gha,mode=max", "note: this option is left out");
        let message = "warning: scripts have no token for GitHub's cache, so that Buildx builds `tests` without it";
        for command in [
            "docker compose -f ci.compose.yaml up",
            "docker-compose -f ci.compose.yaml up",
            "docker compose -f ci.compose.yaml run",
            "docker compose -f ci.compose.yaml build",
        ] {
            let text = format!("{}{}", noted(COMPOSE), steps(&format!("- run: {command} --build --exit-code-from tests tests")));
            check_without_fix(&RULE, &marked(&text, command, message));
        }
        let bake = "#- docker-bake.hcl\ntarget \"tests\" {\n  cache-from = [\"type=gha,mode=max\"]\n}\n";
        check_without_fix(&RULE, &marked(&format!("{}{}", noted(bake), steps("- run: docker buildx bake tests")), "docker buildx bake", message));
    }

    #[test]
    fn files_that_are_not_built_or_have_no_such_option_are_silent() {
        let up = |command: &str| format!("{COMPOSE}{}", steps(&format!("- run: docker compose -f ci.compose.yaml {command}")));
        for command in ["up tests", "down", "build other", "up --build $SERVICES"] {
            check(&RULE, &up(command));
        }
        check(&RULE, &up("up --build").replace("type=gha", "type=registry,ref=o/app"));
        check(&RULE, &up("up --build").replace("- run", "- uses: crazy-max/ghaction-github-runtime@v3\n      - run"));
        check(&RULE, &up("up --build").replace("- run: docker", "- uses: nick-fields/retry@v3\n        with:\n          command: docker"));
    }

    #[test]
    fn other_caches_and_actions_are_silent() {
        check(&RULE, &steps("- run: docker buildx build --cache-to type=registry,ref=org/app:cache ."));
        check(&RULE, &steps("- uses: docker/build-push-action@v7\n  with: {cache-to: type=gha}"));
        check(&RULE, &steps("- uses: docker/bake-action@v7\n  with: {set: '*.cache-to=type=gha'}"));
    }

    #[test]
    fn a_builder_that_was_chosen_and_cannot_export_is_silent() {
        let bake = "#- docker-bake.hcl\ntarget \"tests\" {\n  cache-to = [\"type=gha,mode=max\"]\n}\n";
        let with = |driver: &str| steps(&format!("- uses: docker/setup-buildx-action@v4\n  with: {{driver: {driver}}}\n- run: docker buildx bake tests"));
        check(&RULE, &format!("{bake}{}", with("docker")));
        let message = "warning: scripts have no token for GitHub's cache, so that Buildx builds `tests` without it";
        let noted = marked(bake, "type=gha,mode=max", "note: this option is left out");
        check(&RULE, &marked(&format!("{noted}{}", with("docker-container")), "docker buildx bake", message));
    }

    #[test]
    fn other_services_and_builders_are_silent() {
        check(&RULE, &steps(BUILD).replace(".github", ".gitea"));
        check(&RULE, &steps("- run: depot build --cache-to type=gha ."));
    }
}
