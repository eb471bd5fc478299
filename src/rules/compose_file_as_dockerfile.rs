use super::{Check, Findings, declare_rule};
use crate::build::Tool;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::Text;
use crate::file::Kind;
use crate::value::Value;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Input, Step};

declare_rule! {
    /// A compose or bake file is given to a build step as its Dockerfile.
    ///
    /// The input `file` of `docker/build-push-action`, and the flag `-f` of `docker build`, name a
    /// Dockerfile. A compose file is parsed as one, and the build fails at its first line. What
    /// builds the services of a compose file, or the targets of a bake file, is
    /// `docker/bake-action` with its input `files`, or `docker compose build`.
    ///
    /// ```yaml,bad
    /// #- docker-compose.yml
    /// services:
    ///   web:
    ///     build: .
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           file: docker-compose.yml
    ///           push: true
    /// ```
    ///
    /// ```yaml,good
    /// #- docker-compose.yml
    /// services:
    ///   web:
    ///     build: .
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/bake-action@v7
    ///         with:
    ///           files: docker-compose.yml
    ///           push: true
    /// ```
    ///
    /// A Dockerfile may have any name: a file with a `FROM` in it is not reported.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: another action is used, which builds what the file describes. Tags and targets of
    /// the step are left out, as each service has its own.
    pub(crate) static COMPOSE_FILE_AS_DOCKERFILE = {
        name: "compose-file-as-dockerfile",
        level: Level::Error,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in &view.builds {
        if !matches!(build.build.tool, Tool::BuildPushAction | Tool::Command) || build.build.inline {
            continue;
        }
        let Some(file) = &build.build.dockerfile else { continue };
        let Some(name) = file.known() else { continue };
        let Some(kind) = description(view, build, name.trim()) else { continue };
        findings.report(file.span, format!("`{}` is a {kind} file, and is parsed as a Dockerfile", name.trim())).maybe_fix(|| fix(view, build, file));
    }
}

/// What the file is, if it is no Dockerfile: by its text, or by its name where there is no text.
fn description(view: &WorkflowView<'_>, build: &StepView<'_>, name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    if ![".yml", ".yaml", ".hcl", ".json"].iter().any(|it| lower.ends_with(it)) {
        return None;
    }
    let by_name = match Kind::of(name) {
        Kind::Compose => Some("compose"),
        Kind::Bake => Some("bake"),
        _ => None,
    };
    let Some(path) = build.dockerfile() else { return by_name };
    match view.snapshot.text(path)? {
        Text::Missing | Text::Unreadable => by_name,
        Text::Known(text) if has_from(&text) => None,
        Text::Known(text) if has_key(&text, "services:") => Some("compose"),
        Text::Known(text) if ["target \"", "group \"", "\"target\"", "variable \""].iter().any(|it| text.contains(it)) => Some("bake"),
        Text::Known(_) => by_name,
    }
}

fn has_from(text: &str) -> bool {
    text.lines().any(|it| it.trim_start().get(..5).is_some_and(|it| it.eq_ignore_ascii_case("from ")))
}

fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|it| it.starts_with(key))
}

/// Inputs that `docker/bake-action` has as well.
const KEPT: &[&str] = &["builder", "allow", "call", "github-token", "load", "no-cache", "provenance", "pull", "push", "sbom"];
/// Inputs whose lines become lines of `set`, with the key that they have there.
const SET: &[(&str, &str)] = &[("build-args", "args"), ("cache-from", "cache-from"), ("cache-to", "cache-to"), ("platforms", "platform")];

/// Uses the action that builds such files. None where a line of the step cannot be moved whole.
fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, file: &Value) -> Option<Fix> {
    let step = build.job.steps.get(build.step.step)?;
    let action = step.action.as_ref().filter(|it| it.is("docker/build-push-action") && !it.is_pinned())?;
    if step.shared || !view.yaml.errors.is_empty() || file.known().as_deref() != Some(view.written(file)) {
        return None;
    }
    let lines: Vec<Lines> = step.inputs.iter().map(|it| Lines::of(view, it)).collect::<Option<_>>()?;
    let at = step.input("file")?;
    let indent = " ".repeat(Lines::of(view, at)?.indent);
    let ending = if view.source.contains("\r\n") { "\r\n" } else { "\n" };
    let mut edits = vec![Edit::replace(action.span, "docker/bake-action@v7"), Edit::replace(at.name_span, "files")];
    let mut set = String::new();
    for (input, lines) in step.inputs.iter().zip(&lines).filter(|(it, _)| it.name != "file" && !KEPT.contains(&it.name.as_str())) {
        edits.push(Edit::delete(lines.span));
        for line in settings(view, step, input) {
            set.push_str(&format!("{indent}  {line}{ending}"));
        }
    }
    if !set.is_empty() {
        edits.push(Edit::insert(Lines::of(view, at)?.span.end, format!("{indent}set: |{ending}{set}")));
    }
    let edits = EditSet::new(edits).ok()?;
    Some(Fix::unproven("Build it with `docker/bake-action`", vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

/// The lines of `set` that do what an input did for all targets.
fn settings(view: &WorkflowView<'_>, step: &Step, input: &Input) -> Vec<String> {
    let Some((_, key)) = SET.iter().find(|(name, _)| *name == input.name) else { return Vec::new() };
    let lines = step.lines(&input.name);
    // A second entry is added to the first one.
    let line = |(index, line): (usize, &crate::workflow::Line)| match *key {
        "args" => format!("*.args.{}", line.span.of(&view.source)),
        key if index > 0 => format!("*.{key}+={}", line.span.of(&view.source)),
        key => format!("*.{key}={}", line.span.of(&view.source)),
    };
    lines.iter().enumerate().map(line).collect()
}

/// The whole lines that an input takes.
struct Lines {
    span: Span,
    indent: usize,
}

impl Lines {
    fn of(view: &WorkflowView<'_>, input: &Input) -> Option<Lines> {
        let start = view.source[..input.span.start].rfind('\n').map_or(0, |it| it + 1);
        let before = view.source.get(start..input.span.start)?;
        let end = view.source.get(input.span.end..)?.find('\n').map_or(view.source.len(), |it| input.span.end + it + 1);
        let behind = view.source.get(input.span.end..end)?.trim();
        let whole = before.bytes().all(|it| it == b' ') && (behind.is_empty() || behind.starts_with('#')) && view.source[..end].ends_with('\n');
        whole.then_some(Lines { span: Span::new(start, end), indent: before.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::COMPOSE_FILE_AS_DOCKERFILE as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked, steps};

    const COMPOSE: &str = "#- docker-compose.yml\nservices:\n  web:\n    image: org/web\n    build: .\n";
    const MESSAGE: &str = "error: `docker-compose.yml` is a compose file, and is parsed as a Dockerfile";

    #[test]
    fn the_step_of_an_article_is_found_and_moved_to_bake() {
        let with = "push: true\nfile: docker-compose.yml\nload: false\nbuild-args: |\n  APP_VERSION=${{ github.sha }}\ntags: user/app:${{ github.sha }}\ncache-from: type=gha,scope=app\ncache-to: type=gha,scope=app";
        let set = "push: true\nfiles: docker-compose.yml\nset: |\n  *.args.APP_VERSION=${{ github.sha }}\n  *.cache-from=type=gha,scope=app\n  *.cache-to=type=gha,scope=app\nload: false";
        check_unsafe_fix(
            &RULE,
            &marked(&build_step(with), "docker-compose.yml", MESSAGE),
            &build_step(set).replace("docker/build-push-action@v7", "docker/bake-action@v7"),
        );
    }

    #[test]
    fn the_text_of_the_file_counts() {
        for (name, text, kind) in [
            ("stack.yaml", "services:\n  a: {build: .}\n", "compose"),
            ("images.hcl", "target \"a\" {\n}\n", "bake"),
            ("docker-bake.json", "{\"target\": {\"a\": {}}}\n", "bake"),
        ] {
            let message = format!("error: `{name}` is a {kind} file, and is parsed as a Dockerfile");
            check(&RULE, &format!("#- Dockerfile\nFROM a:1.0\n#- {name}\n{text}{}", marked(&build_step(&format!("context: .\nfile: {name}")), name, &message)));
        }
    }

    #[test]
    fn a_command_may_do_the_same() {
        let text = steps("- run: docker build -f docker-compose.yml .");
        check_without_fix(&RULE, &format!("{COMPOSE}{}", marked(&text, "docker-compose.yml", MESSAGE)));
    }

    #[test]
    fn a_step_that_cannot_be_moved_whole_has_no_fix() {
        let flow = steps("- uses: docker/build-push-action@v7\n  with: {file: docker-compose.yml, push: true}");
        check_without_fix(&RULE, &marked(&flow, "docker-compose.yml", MESSAGE));
        let pinned = build_step("file: docker-compose.yml")
            .replace("docker/build-push-action@v7", "docker/build-push-action@263435318d21b8e681c14492fe198d362a7d2c83 # v6.18.0");
        check_without_fix(&RULE, &marked(&pinned, "docker-compose.yml", MESSAGE));
    }

    #[test]
    fn dockerfiles_may_have_any_name() {
        check(&RULE, &format!("#- image.yml\nFROM scratch\n{}", build_step("file: image.yml")));
        check(&RULE, &format!("#- docker-compose.yml\n# syntax=docker/dockerfile:1\nfrom scratch\n{}", build_step("file: docker-compose.yml")));
        for file in ["Dockerfile", "docker/web.Dockerfile", "missing.yml", "${{ matrix.file }}", "compose"] {
            check(&RULE, &build_step(&format!("file: {file}")));
        }
    }

    #[test]
    fn bake_and_compose_take_such_files() {
        check(
            &RULE,
            &format!(
                "{COMPOSE}{}",
                steps("- uses: docker/bake-action@v7\n  with: {files: docker-compose.yml}\n- run: docker compose -f docker-compose.yml build")
            ),
        );
    }
}
