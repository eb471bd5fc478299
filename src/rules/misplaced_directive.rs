use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{line_end, line_start};
use crate::edit::{Edit, EditSet, Span};
use crate::view::DockerfileView;

declare_rule! {
    /// A parser directive stands behind a comment, a blank line or an instruction, and is one itself.
    ///
    /// `# syntax=`, `# escape=` and `# check=` count only on the very first lines. Anything above
    /// turns them into comments without a word: the builder then reads the file with its own front
    /// end, which may know other flags, and the pinned version is not in effect.
    ///
    /// ```dockerfile,bad
    /// # The image of the server.
    /// # syntax=docker/dockerfile:1
    /// FROM alpine:3.20
    /// ```
    ///
    /// ```dockerfile,good
    /// # syntax=docker/dockerfile:1
    /// # The image of the server.
    /// FROM alpine:3.20
    /// ```
    ///
    /// Comments below the first instruction are left alone: there, they talk about directives.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: with the directive in effect the file may be read in another way.
    pub(crate) static MISPLACED_DIRECTIVE = {
        name: "misplaced-directive",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let dockerfile = view.dockerfile;
    let all = dockerfile.globals.iter().chain(dockerfile.stages.iter().map(|it| &it.from));
    let Some(first) = all.map(|it| it.span.start).min() else { return };
    for comment in dockerfile.comments.iter().filter(|it| it.start < first) {
        let Some(name) = directive(comment.of(&view.source)) else { continue };
        let finding = findings.report(*comment, format!("`{name}` counts on the first lines only, so that this is a comment"));
        finding.maybe_fix(|| to_the_top(view, *comment, name).map(|edits| view.suggestion("Move it to the top", edits)));
    }
}

/// The name of the directive that a comment would be, with a value that makes sense.
fn directive(comment: &str) -> Option<&'static str> {
    let (name, value) = comment.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    match name.to_ascii_lowercase().as_str() {
        // The reference of an image and nothing else: prose has blanks in it.
        "syntax" if value.contains('/') && !value.contains(char::is_whitespace) => Some("syntax"),
        "escape" if matches!(value, "`" | "\\") => Some("escape"),
        "check" if value.starts_with("skip=") || value.starts_with("error=") => Some("check"),
        _ => None,
    }
}

/// Moves the line of the comment above all others, behind directives that are there.
fn to_the_top(view: &DockerfileView<'_>, comment: Span, name: &str) -> Option<EditSet> {
    let source = &view.source;
    // Two of one name are an error.
    let above = source.get(..view.dockerfile.top)?;
    if above.lines().any(|it| directive(it.trim_start_matches('\u{feff}').trim()) == Some(name)) {
        return None;
    }
    let line = Span::new(line_start(source, comment.start), line_end(source, comment.end));
    let text = line.of(source);
    // A comment on the last line, or one behind blanks in front of everything else.
    if !text.ends_with('\n') || line.start < view.dockerfile.top {
        return None;
    }
    EditSet::new(vec![Edit::insert(view.dockerfile.top, text), Edit::delete(line)]).ok()
}

#[cfg(test)]
mod tests {
    use super::MISPLACED_DIRECTIVE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix};

    #[test]
    fn a_comment_above_makes_it_a_comment() {
        check_unsafe_fix(
            &RULE,
            "
# Copyright.

# syntax = docker/dockerfile:1.7
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `syntax` counts on the first lines only, so that this is a comment
FROM alpine:3.20
",
            "
# syntax = docker/dockerfile:1.7
# Copyright.

FROM alpine:3.20
",
        );
    }

    #[test]
    fn a_global_argument_ends_directives_too() {
        check(&RULE, "ARG A=1\n# syntax=docker/dockerfile:1\nFROM alpine:3.20\n");
        check(
            &RULE,
            "
# Windows.
# escape=`
^^^^^^^^^^ warning: `escape` counts on the first lines only, so that this is a comment
FROM alpine:3.20
",
        );
        check(
            &RULE,
            "
# a
# check=skip=all
^^^^^^^^^^^^^^^^ warning: `check` counts on the first lines only, so that this is a comment
FROM alpine:3.20
",
        );
    }

    #[test]
    fn it_goes_behind_those_that_are_there() {
        check_unsafe_fix(
            &RULE,
            "
# syntax=docker/dockerfile:1
# Windows.
# escape=`
^^^^^^^^^^ warning: `escape` counts on the first lines only, so that this is a comment
FROM alpine:3.20
",
            "
# syntax=docker/dockerfile:1
# escape=`
# Windows.
FROM alpine:3.20
",
        );
    }

    #[test]
    fn it_goes_above_one_that_is_being_typed() {
        check_unsafe_fix(
            &RULE,
            "
# syntax=
# escape=`
^^^^^^^^^^ warning: `escape` counts on the first lines only, so that this is a comment
FROM alpine:3.20
",
            "
# escape=`
# syntax=
FROM alpine:3.20
",
        );
    }

    #[test]
    fn a_directive_at_the_top_is_in_effect() {
        check(&RULE, "# syntax=docker/dockerfile:1\n# check=error=true\nFROM alpine:3.20\n");
        check(&RULE, "\u{feff}# syntax=docker/dockerfile:1\nFROM alpine:3.20\n");
    }

    #[test]
    fn prose_about_directives_is_none() {
        check(&RULE, "# Read me.\n# syntax = what the parser reads / checks\n# escape=no\n# check = me\n# syntax: docker/dockerfile:1\nFROM alpine:3.20\n");
        check(&RULE, "FROM alpine:3.20\n# syntax=docker/dockerfile:1\nRUN make\n");
    }

    #[test]
    fn a_file_without_instructions_is_silent() {
        check(&RULE, "# a\n# syntax=docker/dockerfile:1\n");
    }
}
