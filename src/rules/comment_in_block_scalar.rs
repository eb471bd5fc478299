use super::{Check, Findings, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::view::WorkflowView;
use crate::workflow::{Action, Input, Line, Step};

declare_rule! {
    /// A comment stands inside a block scalar, where it is no comment.
    ///
    /// In YAML nothing behind `|` or `>` is a comment: `#` is a part of the text. The list that an
    /// action makes of the text then has an item with the comment in it, and the build fails, or
    /// is given an option that nobody meant.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///         with:
    ///           driver-opts: |
    ///             image=moby/buildkit:v0.27.0
    ///             network=host # to reach the registry
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///         with:
    ///           # to reach the registry
    ///           driver-opts: |
    ///             image=moby/buildkit:v0.27.0
    ///             network=host
    /// ```
    ///
    /// `docker/metadata-action` does take comments in its lists. A `#` without white space before
    /// it, or with a digit behind it, may well be meant, and is not reported; nor is one in a value
    /// that can be any text, such as a label.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: the option gets another value, the one that was meant.
    pub(crate) static COMMENT_IN_BLOCK_SCALAR = {
        name: "comment-in-block-scalar",
        level: Level::Error,
        fixes: true,
        check: Check::Workflow(check),
    }
}

/// Inputs that are lists of options, none of which has ` #` in it.
const OPTIONS: &[&str] = &[
    "allow",
    "build-contexts",
    "buildkitd-flags",
    "cache-from",
    "cache-to",
    "driver-opts",
    "files",
    "no-cache-filters",
    "outputs",
    "platforms",
    "ssh",
    "tags",
    "targets",
    "ulimit",
];
/// Inputs that are lists of names with values, which may have any text.
const TEXTS: &[&str] = &["add-hosts", "build-args", "secrets", "set"];

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for step in view.workflow.jobs.iter().flat_map(|it| &it.steps).filter(|it| it.action.as_ref().is_some_and(takes_no_comments)) {
        for input in step.inputs.iter().filter(|it| it.is_block()) {
            for line in input.lines() {
                let Some(comment) = line.comment.filter(|it| is_comment(view, input, &line, *it)) else { continue };
                // A comment in the place of a build argument only names an argument that no Dockerfile has.
                let level = if input.name == "build-args" && comment.start == line.span.start { Level::Warning } else { Level::Error };
                let message = format!("in a block scalar this is no comment, but a part of `{}`", input.name);
                findings.report(comment, message).level(level).maybe_fix(|| fix(view, step, input, &line, comment));
            }
        }
    }
}

/// Docker's own actions and forks of them; `docker/metadata-action` knows comments.
fn takes_no_comments(action: &Action) -> bool {
    action.is_build() || action.is_bake() || action.is("docker/setup-buildx-action") || action.is("docker/setup-qemu-action")
}

/// Whether what looks like a comment can be nothing else.
fn is_comment(view: &WorkflowView<'_>, input: &Input, line: &Line, comment: Span) -> bool {
    let before = Span::new(line.span.start, comment.start).of(&view.source);
    let own_line = before.is_empty();
    let known = OPTIONS.contains(&input.name.as_str()) || TEXTS.contains(&input.name.as_str());
    // `#12` is a number of something.
    let prose = comment.of(&view.source).trim_start_matches('#').starts_with(|it: char| it.is_whitespace() || it.is_alphabetic());
    let quoted = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
    // A value with a space in it may go on behind the `#`.
    let is_text = TEXTS.contains(&input.name.as_str()) && before.trim_end().contains(char::is_whitespace) && !before.trim_end().ends_with("}}");
    known && prose && !quoted && (own_line || !is_text)
}

/// Moves the comment to a line of its own above the key.
fn fix(view: &WorkflowView<'_>, step: &Step, input: &Input, line: &Line, comment: Span) -> Option<Fix> {
    let source: &str = &view.source;
    // In folded text the next lines go on behind the `#`.
    if step.shared || !view.yaml.errors.is_empty() || comment.of(source).contains('\n') {
        return None;
    }
    let key_line = source[..input.name_span.start].rfind('\n').map_or(0, |it| it + 1);
    let indent = source.get(key_line..input.name_span.start).filter(|it| it.bytes().all(|it| it == b' '))?;
    let text = comment.of(source).trim_end();
    let ending = if source[..key_line].ends_with("\r\n") { "\r\n" } else { "\n" };
    let before = Span::new(line.span.start, comment.start).of(source);
    let removed = if before.is_empty() {
        let start = source[..comment.start].rfind('\n').map_or(0, |it| it + 1);
        let end = source[comment.end..].find('\n').map_or(source.len(), |it| comment.end + it + 1);
        Span::new(start, end)
    } else {
        Span::new(line.span.start + before.trim_end().len(), comment.end)
    };
    let edits = vec![Edit::insert(key_line, format!("{indent}{text}{ending}")), Edit::delete(removed)];
    let edits = EditSet::new(edits).ok()?;
    Some(Fix::unproven(format!("Move the comment above `{}`", input.name), vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::COMMENT_IN_BLOCK_SCALAR as RULE;
    use crate::rules::testing::{build_step, check, check_unsafe_fix, check_without_fix, marked, steps};

    fn found(fixture: &str, comment: &str, input: &str) -> String {
        marked(fixture, comment, &format!("error: in a block scalar this is no comment, but a part of `{input}`"))
    }

    #[test]
    fn the_comment_of_an_article_is_found_and_moved() {
        let before = steps(
            "- uses: docker/setup-buildx-action@v3\n  with:\n    driver-opts: |\n        image=moby/buildkit:master\n        network=host #optional, if needed\n- run: x",
        );
        let after = steps(
            "- uses: docker/setup-buildx-action@v3\n  with:\n    #optional, if needed\n    driver-opts: |\n        image=moby/buildkit:master\n        network=host\n- run: x",
        );
        check_unsafe_fix(&RULE, &found(&before, "#optional, if needed", "driver-opts"), &after);
    }

    #[test]
    fn a_line_of_its_own_goes_as_a_whole() {
        let before = build_step("push: true\ntags: |\n  # The one that is deployed.\n  org/app:1\n  org/app:2");
        let after = build_step("push: true\n# The one that is deployed.\ntags: |\n  org/app:1\n  org/app:2");
        check_unsafe_fix(&RULE, &found(&before, "# The one that is deployed.", "tags"), &after);
    }

    #[test]
    fn lines_may_end_with_carriage_returns() {
        let text = |it: &str| build_step(it).replace('\n', "\r\n").replacen("\r\n", "\n", 1);
        let before = text("cache-to: |\n  type=gha,mode=max # all\n  type=inline");
        check_unsafe_fix(&RULE, &found(&before, "# all", "cache-to"), &text("# all\ncache-to: |\n  type=gha,mode=max\n  type=inline"));
    }

    #[test]
    fn folded_text_has_no_comments_either() {
        check_without_fix(&RULE, &found(&build_step("platforms: >-\n  linux/amd64, # fast\n  linux/arm64"), "# fast", "platforms"));
    }

    #[test]
    fn values_that_may_be_any_text_need_an_end() {
        check(&RULE, &found(&build_step("build-args: |\n  VERSION=${{ github.ref_name }} # the tag"), "# the tag", "build-args"));
        check(&RULE, &found(&build_step("secrets: |\n  token=${{ secrets.TOKEN }} # read only"), "# read only", "secrets"));
        for line in ["TITLE=Fix #12", "TITLE=one # two three", "TITLE=\"a # b\"", "COLOUR=#ffffff", "TEXT=a b # c"] {
            let quiet = line != "TITLE=one # two three";
            let text = build_step(&format!("build-args: |\n  {line}"));
            if quiet { check(&RULE, &text) } else { check(&RULE, &found(&text, "# two three", "build-args")) }
        }
    }

    #[test]
    fn a_build_argument_of_that_name_does_no_harm() {
        let text = marked(
            &build_step("build-args: |\n  # Versions.\n  A=1"),
            "# Versions.",
            "warning: in a block scalar this is no comment, but a part of `build-args`",
        );
        check(&RULE, &text);
    }

    #[test]
    fn real_comments_are_silent() {
        for with in [
            "# Above.\ncache-to: |\n  type=gha,mode=max",
            "cache-to: type=gha,mode=max # behind",
            "tags: | # at the header\n  org/app:1",
            "tags: |\n  org/app:1\n# Below, at the key.\npush: true",
            "context: https://github.com/org/repository.git#main",
            "build-contexts: |\n  other=https://github.com/org/repository.git#main",
            "labels: |\n  org.opencontainers.image.description=One # two",
        ] {
            check(&RULE, &build_step(with));
        }
    }

    #[test]
    fn actions_that_know_comments_are_silent() {
        check(
            &RULE,
            &steps(
                "- uses: docker/metadata-action@v6\n  with:\n    tags: |\n      # Releases.\n      type=semver,pattern={{version}} # all\n- run: |\n    # A comment.\n    x",
            ),
        );
        check(&RULE, &steps("- uses: other/action@v1\n  with:\n    tags: |\n      # anything\n      x"));
    }
}
