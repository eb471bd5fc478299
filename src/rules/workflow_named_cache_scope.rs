use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::value::Part;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Event, Workflow};

declare_rule! {
    /// A cache scope is named after the workflow.
    ///
    /// The scope tells apart what GitHub keeps for several builds. `github.workflow` is the same
    /// for every build of the workflow, so that a second image, or a leg of a matrix, replaces the
    /// cache of the first one; it is another one as soon as the workflow is renamed; two workflows
    /// that build the same image cannot share; and a comma in the name breaks the option apart.
    /// `github.job` and `github.actor` are no better. Name what is cached: the image.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// name: Build
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
    ///           cache-from: type=gha,scope=${{ github.workflow }}
    ///           cache-to: type=gha,mode=max,scope=${{ github.workflow }}
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// name: Build
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
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app
    /// ```
    ///
    /// As long as the workflow builds one image this is fragile, not wrong, and an information
    /// only. A scope that also names the image is not reported.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change. The first build after it starts with an empty cache. There is no
    /// fix while another build uses the same scope, nor in a workflow that others call with inputs and
    /// whose image they do not name: `github.workflow` is the caller's there, and keeps their caches apart.
    pub(crate) static WORKFLOW_NAMED_CACHE_SCOPE = {
        name: "workflow-named-cache-scope",
        level: Level::Info,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged() {
        let mut entries = build.build.exports.iter().chain(&build.build.imports);
        let Some((entry, name)) = entries.find_map(|it| Some((it, workflow_name(it)?))) else { continue };
        let Some(scope) = entry.key() else { continue };
        let message = format!("the scope is named after `{name}`, not after the image that is cached");
        findings.report(scope.span, message).maybe_fix(|| fix(view, build, entry, name));
    }
}

/// What in the scope names the workflow, if nothing else in it is a name.
fn workflow_name(entry: &CacheEntry) -> Option<&str> {
    if entry.opaque || entry.backend != Backend::Gha {
        return None;
    }
    let parts = &entry.attribute("scope")?.parts;
    let name = parts.iter().find_map(|it| match it {
        Part::Expression { source, .. } if is_workflow(source) => Some(source.as_str()),
        _ => None,
    })?;
    parts.iter().all(is_no_name).then_some(name)
}

fn is_workflow(source: &str) -> bool {
    matches!(source, "github.workflow" | "github.workflow_ref" | "github.job" | "github.actor" | "github.triggering_actor")
}

/// Whether a part of a scope names no image: separators, words that fit any build, the platform.
fn is_no_name(part: &Part) -> bool {
    const WORDS: &[&str] = &["", "build", "buildx", "buildkit", "cache", "docker", "image", "layers", "amd64", "arm64", "linux"];
    match part {
        Part::Text(text) => text.split(|it: char| !it.is_ascii_alphanumeric()).all(|it| WORDS.contains(&it.to_ascii_lowercase().as_str())),
        Part::Expression { known: Some(_), .. } => false,
        Part::Expression { source, .. } => is_workflow(source) || source.starts_with("github.ref") || source.starts_with("runner."),
    }
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, named_after: &str) -> Option<Fix> {
    let from = entry.location()?;
    // A build that shares the scope has to be moved with this one, and to a name of its own if it
    // builds something else: that is a matter of `shared-cache-scope`.
    let shares =
        |it: &&StepView<'_>| it.index != build.index && it.build.exports.iter().chain(&it.build.imports).any(|it| it.location().as_deref() == Some(&from));
    if view.builds.iter().any(|it| shares(&it)) || view.is_read_elsewhere(&build.locations(entry, &view.path), &[build]) {
        return None;
    }
    let name = view.scope_name(build)?;
    if named_after.starts_with("github.workflow") && takes_inputs(view.workflow) && !name.contains("inputs.") {
        return None;
    }
    let title = format!("Name the scope after the image: `{name}`");
    Some(Fix::cache_options(title, view.path.clone(), view.move_cache(build, &from, &name)?))
}

/// Whether callers say what a workflow does.
fn takes_inputs(workflow: &Workflow) -> bool {
    workflow.trigger(&Event::WorkflowCall).is_some_and(|it| !it.inputs.is_empty())
}

#[cfg(test)]
mod tests {
    use super::WORKFLOW_NAMED_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, marked};

    const MESSAGE: &str = "info: the scope is named after `github.workflow`, not after the image that is cached";

    #[test]
    fn both_sides_get_the_name_of_the_image() {
        let text = "tags: org/app:1\ncache-from: type=gha,scope=${{github.workflow}}\ncache-to: 'type=gha,mode=max,scope=${{ github.workflow }}'";
        check_fix(
            &RULE,
            &marked(&build_step(text), "scope=${{ github.workflow }}", MESSAGE),
            &build_step("tags: org/app:1\ncache-from: type=gha,scope=app\ncache-to: 'type=gha,mode=max,scope=app'"),
        );
    }

    #[test]
    fn an_import_alone_has_a_scope_too() {
        let text = build_step("tags: org/app:1\ncache-from: |\n  type=gha,scope=${{ github.workflow }}\n");
        check_fix(&RULE, &marked(&text, "scope=${{ github.workflow }}", MESSAGE), &text.replace("${{ github.workflow }}", "app"));
    }

    #[test]
    fn jobs_and_actors_name_no_image() {
        for name in ["github.job", "github.actor"] {
            let text = format!("cache-to: |\n  type=gha,mode=max,scope=docker-${{{{ {name} }}}}\ncache-from: type=gha,scope=docker-${{{{ {name} }}}}");
            let message = format!("info: the scope is named after `{name}`, not after the image that is cached");
            check(&RULE, &marked(&build_step(&text), &format!("scope=docker-${{{{ {name} }}}}"), &message));
        }
    }

    #[test]
    fn what_keeps_callers_apart_stays_unless_the_image_does_too() {
        let called = |inputs: &str, tag: &str| {
            let scope = "type=gha,scope=${{ github.workflow }}";
            let text = build_step(&format!("tags: {tag}\ncontext: CONTEXT\ncache-to: {scope}\ncache-from: {scope}"));
            let context = if inputs.is_empty() { "." } else { "./${{ inputs.image }}" };
            text.replace("on: push", &format!("on:\n  workflow_call:\n{inputs}")).replace("CONTEXT", context)
        };
        let inputs = "    inputs:\n      image:\n        type: string\n        required: true\n";
        let mark = |text: &str| marked(text, "scope=${{ github.workflow }}", MESSAGE);
        crate::rules::testing::check_without_fix(&RULE, &mark(&called(inputs, "org/fixed:1")));
        for (inputs, tag, name) in [(inputs, "org/${{ inputs.image }}:1", "${{ inputs.image }}"), ("", "org/app:1", "app")] {
            let text = called(inputs, tag);
            check_fix(&RULE, &mark(&text), &text.replace("${{ github.workflow }}", name));
        }
    }

    #[test]
    fn a_scope_that_names_more_is_silent() {
        let scopes = [
            "app",
            "${{ github.workflow }}-api",
            "api-${{ github.workflow }}",
            "${{ github.workflow }}-${{ matrix.image }}",
            "${{ inputs.scope }}",
            "${{ github.repository }}",
        ];
        for scope in scopes {
            check(&RULE, &build_step(&format!("cache-from: type=gha,scope={scope}\ncache-to: type=gha,mode=max,scope={scope}")));
        }
        check(&RULE, &build_step("cache-to: type=registry,ref=org/app:${{ github.workflow }}"));
    }

    #[test]
    fn a_scope_that_others_use_is_not_moved_alone() {
        let text = build_step("file: a.Dockerfile\ncache-to: type=gha,scope=${{ github.workflow }}");
        let other = "      - uses: docker/build-push-action@v7\n        with:\n          file: b.Dockerfile\n          cache-to: 'type=gha,scope=${{ github.workflow }}'\n";
        let first = marked(&text, "scope=${{ github.workflow }}", MESSAGE);
        let both = first + &marked(other, "scope=${{ github.workflow }}", MESSAGE);
        crate::rules::testing::check_without_fix(&RULE, &both);
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        let text = build_step("cache-to: type=gha,scope=${{ github.workflow }}");
        check(&RULE, &text.replace("docker/build-push-action", "depot/build-push-action"));
    }
}
