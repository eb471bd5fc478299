//! Comments that suppress findings: `# layerwise: ignore[rule, …] reason`.

use super::{Check, Rule, declare_rule};
use crate::config::Config;
use crate::diagnostic::{Diagnostic, FileEdits, FileSpan, Fix, Level};
use crate::edit::{Edit, EditSet, Span};
use crate::view::View;

declare_rule! {
    /// A comment suppresses a rule that finds nothing there.
    ///
    /// `# layerwise: ignore[rule] reason` directly above an instruction, or a node of a workflow,
    /// suppresses the rule for it and all below it; `# layerwise: ignore-file[rule] reason` at the
    /// top does so for the file. One that suppresses nothing hides that the cause is gone, and
    /// would hide the next finding.
    ///
    /// ```dockerfile,bad
    /// # layerwise: ignore[floating-base-image] the nightly build wants the newest
    /// FROM node:22.11-slim
    /// ```
    ///
    /// ```dockerfile,good
    /// # layerwise: ignore[floating-base-image] the nightly build wants the newest
    /// FROM node:latest
    /// ```
    ///
    /// ## Fix safety
    ///
    /// Removing a comment changes nothing else, but its reason is lost: the fix is not applied
    /// unseen.
    pub(crate) static UNUSED_SUPPRESSION = {
        name: "unused-suppression",
        level: Level::Warning,
        fixes: true,
        check: Check::Runner,
    }
}

/// A suppression comment.
struct Suppression {
    /// The comment.
    span: Span,
    /// What it covers.
    covers: Span,
    /// The rules it names, each with its place.
    rules: Vec<(String, Span)>,
}

/// Takes out what is suppressed, and adds what suppresses nothing.
pub(super) fn apply(view: &View<'_>, found: Vec<Diagnostic>, config: &Config) -> Vec<Diagnostic> {
    let suppressions = read(view);
    let mut used = vec![Vec::new(); suppressions.len()];
    let mut res: Vec<Diagnostic> = found
        .into_iter()
        .filter(|it| {
            let mut kept = true;
            for (index, suppression) in suppressions.iter().enumerate() {
                if suppression.covers.contains(it.at.span) && suppression.rules.iter().any(|(name, _)| name == it.rule) {
                    used[index].push(it.rule);
                    kept = false;
                }
            }
            kept
        })
        .collect();
    let level = config.level(UNUSED_SUPPRESSION.name, UNUSED_SUPPRESSION.level);
    if level == Level::Off {
        return res;
    }
    for (suppression, used) in suppressions.iter().zip(&used) {
        let unused: Vec<&(String, Span)> = suppression.rules.iter().filter(|(name, _)| !used.contains(&name.as_str()) && !is_off(config, name)).collect();
        for (name, span) in &unused {
            let message = match super::find(name) {
                Some(_) => format!("`{name}` finds nothing here to suppress"),
                None => format!("there is no rule `{name}`"),
            };
            let whole = unused.len() == suppression.rules.len();
            res.push(Diagnostic {
                rule: UNUSED_SUPPRESSION.name,
                level,
                at: FileSpan { path: view.path().clone(), span: *span },
                message,
                notes: Vec::new(),
                fixes: removal(view, suppression, *span, whole).into_iter().collect(),
                elsewhere: None,
            });
        }
    }
    res
}

/// A rule that is switched off finds nothing; its suppressions wait for it.
fn is_off(config: &Config, name: &str) -> bool {
    super::find(name).is_some_and(|it| config.level(name, it.level) == Level::Off)
}

/// Takes one name out of a comment, or the whole comment where no name is left.
fn removal(view: &View<'_>, suppression: &Suppression, name: Span, whole: bool) -> Option<Fix> {
    let source = view.source();
    let delete = if whole {
        let start = source[..suppression.span.start].rfind('\n').map_or(0, |it| it + 1);
        let end = source[suppression.span.end..].find('\n').map_or(source.len(), |it| suppression.span.end + it + 1);
        Span::new(start, end)
    } else {
        let rest = &source[name.end..suppression.span.end];
        let after = rest.len() - rest.trim_start_matches([',', ' ']).len();
        if after > 0 && !rest.trim_start().starts_with(']') {
            Span::new(name.start, name.end + after)
        } else {
            Span::new(source[..name.start].trim_end_matches([',', ' ']).len(), name.end)
        }
    };
    let edits = EditSet::new(vec![Edit::delete(delete)]).ok()?;
    Some(Fix::unproven("Remove the suppression", vec![FileEdits { path: view.path().clone(), edits, create: false }]))
}

/// A place in a suppression comment where the name of a rule stands, or is to stand.
pub struct Naming {
    /// What is there of the name.
    pub name: Span,
    /// Rules that the comment could suppress, and that it does not name elsewhere.
    pub rules: Vec<&'static Rule>,
    /// What the comment covers; nothing yet if it stands above nothing.
    pub covers: Option<Span>,
}

/// The place for a name at `offset`, where one is being typed: the comment need not be complete.
pub fn naming(view: &View<'_>, offset: usize) -> Option<Naming> {
    let source = view.source();
    let comment = view.comments().iter().find(|it| it.start <= offset && offset <= it.end && has_own_line(source, it))?;
    let (open, file) = opening(comment.of(source))?;
    let start = comment.end - open.len();
    let list = open.find(']').map_or(open, |end| &open[..end]);
    let at = offset.checked_sub(start).filter(|it| list.is_char_boundary(*it))?;
    let (before, after) = list.split_at(at);
    let others_before = before.rfind(',').map_or(0, |it| it + 1);
    let typed = before[others_before..].trim_start();
    if !typed.chars().all(is_of_name) {
        return None;
    }
    let rest = after.len() - after.trim_start_matches(is_of_name).len();
    let others: Vec<&str> = before[..others_before].split(',').chain(after[rest..].split(',')).map(str::trim).collect();
    let fits = |it: &Rule| match (&it.check, view) {
        (Check::Dockerfile(_) | Check::Both(..), View::Dockerfile(_)) => true,
        (Check::Workflow(_) | Check::Both(..) | Check::Builds(..), View::Workflow(_)) | (Check::Builds(..), View::Targets(_)) => true,
        (Check::Dockerfile(_) | Check::Workflow(_) | Check::Both(..) | Check::Builds(..) | Check::Runner, _) => false,
    };
    Some(Naming {
        name: Span::new(offset - typed.len(), offset + rest),
        rules: super::ALL.iter().copied().filter(|it| fits(it) && !others.contains(&it.name)).collect(),
        covers: if file { Some(Span::new(0, source.len())) } else { view.covered(comment.end) },
    })
}

/// Whether a letter may be part of a rule's name.
fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-'
}

fn has_own_line(source: &str, comment: &Span) -> bool {
    source[..comment.start].rsplit('\n').next().is_some_and(|it| it.trim_matches(['\u{feff}', ' ', '\t']).is_empty())
}

fn read(view: &View<'_>) -> Vec<Suppression> {
    let source = view.source();
    let mut res = Vec::new();
    for comment in view.comments() {
        let Some((rules, file)) = parse(comment.of(source), comment.start) else { continue };
        if !has_own_line(source, comment) {
            continue;
        }
        let covers = if file { Some(Span::new(0, source.len())) } else { view.covered(comment.end) };
        // A comment at the end covers nothing, and so is unused.
        res.push(Suppression { span: *comment, covers: covers.unwrap_or(Span::at(comment.end)), rules });
    }
    res
}

/// The rules that a comment names, each with its place, and whether it is for the whole file.
fn parse(comment: &str, start: usize) -> Option<(Vec<(String, Span)>, bool)> {
    let (rest, file) = opening(comment)?;
    let list = &rest[..rest.find(']')?];
    let mut at = start + comment.len() - rest.len();
    let mut rules = Vec::new();
    for part in list.split(',') {
        let name = part.trim();
        if !name.is_empty() {
            let start = at + part.len() - part.trim_start().len();
            rules.push((name.to_owned(), Span::new(start, start + name.len())));
        }
        at += part.len() + 1;
    }
    Some((rules, file))
}

/// What stands behind the bracket that a suppression comment opens, and whether it is for the whole
/// file.
fn opening(comment: &str) -> Option<(&str, bool)> {
    let rest = comment.strip_prefix('#')?.trim_start().strip_prefix("layerwise:")?.trim_start();
    let (file, rest) = match rest.strip_prefix("ignore-file") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix("ignore")?),
    };
    Some((rest.trim_start().strip_prefix('[')?, file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::file::{File, Kind};
    use crate::rules::testing::check;
    use crate::snapshot::Host;

    /// What is there of the name at `$0`, and the rules that may be named.
    fn named(kind: Kind, marked: &str) -> Option<(String, Vec<&'static str>)> {
        let offset = marked.find("$0").unwrap();
        let text = marked.replace("$0", "");
        let mut host = Host::default();
        host.set("/f", File::new(kind, &text, Some(1)));
        let naming = naming(&View::new(&host.snapshot(), "/f", &Config::default())?, offset)?;
        Some((naming.name.of(&text).to_owned(), naming.rules.iter().map(|it| it.name).collect()))
    }

    #[test]
    fn a_comment_names_several_rules() {
        let text = "  # layerwise: ignore[ a-b,c ] because";
        let (rules, file) = parse(&text[2..], 2).unwrap();
        assert!(!file);
        assert_eq!(rules.iter().map(|(name, span)| (name.as_str(), span.of(text))).collect::<Vec<_>>(), [("a-b", "a-b"), ("c", "c")]);
        assert_eq!(parse("# layerwise: ignored", 0), None);
        assert_eq!(parse("# layerwise: ignore[", 0), None);
        assert!(parse("#layerwise:ignore-file[x]", 0).unwrap().1);
    }

    #[test]
    fn a_name_is_asked_for_wherever_one_may_stand() {
        for (text, name) in [
            ("# layerwise: ignore[$0", ""),
            ("# layerwise: ignore[$0]\nFROM a\n", ""),
            ("FROM a\n  #layerwise:ignore [ $0\nRUN b\n", ""),
            ("# layerwise: ignore-file[$0", ""),
            ("# layerwise: ignore[early-arg,$0", ""),
            ("# layerwise: ignore[early-arg, $0", ""),
            ("# layerwise: ignore[ear$0\nFROM a\n", "ear"),
            ("# layerwise: ignore[ear$0 because", "ear"),
            ("# layerwise: ignore[ear$0ly-arg, unused-arg] because", "early-arg"),
            ("# layerwise: ignore[, un$0] because", "un"),
            ("\u{feff}# layerwise: ignore[$0\r\nFROM a\r\n", ""),
        ] {
            assert_eq!(named(Kind::Dockerfile, text).map(|it| it.0).as_deref(), Some(name), "{text:?}");
        }
        assert!(named(Kind::Workflow, "on: push\njobs:\n  # layerwise: ignore[$0\n  a: {}\n").is_some());
    }

    #[test]
    fn no_name_is_asked_for_anywhere_else() {
        for text in [
            "$0# layerwise: ignore[early-arg]",
            "# layerwise$0: ignore[early-arg]",
            "# layerwise: ignore$0[early-arg]",
            "# layerwise: ignore[early-arg]$0",
            "# layerwise: ignore[early-arg] since[$0",
            "# layerwise: ignore[early-arg since $0",
            "# layerwise: ignored[$0",
            "# somebody: ignore[$0",
            "# layerwise: ignore[é$0",
            "FROM a\nRUN b # layerwise: ignore[$0",
            "FROM a\nRUN <<X\n# layerwise: ignore[$0\nX\n",
            "# layerwise: ignore[early-arg]\nFROM a$0\n",
        ] {
            assert_eq!(named(Kind::Dockerfile, text), None, "{text:?}");
        }
        for text in ["jobs: # layerwise: ignore[$0\n", "run: |\n  # layerwise: ignore[$0\n", "a: \"# layerwise: ignore[$0\"\n"] {
            assert_eq!(named(Kind::Workflow, text), None, "{text:?}");
        }
        assert_eq!(named(Kind::Other, "# layerwise: ignore[$0\n"), None);
    }

    #[test]
    fn rules_are_offered_that_look_at_the_file_and_are_not_named_yet() {
        let (_, rules) = named(Kind::Dockerfile, "# layerwise: ignore[early-arg, $0, unused-arg] because\nFROM a\n").unwrap();
        for absent in ["early-arg", "unused-arg", "min-cache-mode", "unused-suppression"] {
            assert!(!rules.contains(&absent), "{absent}");
        }
        assert!(rules.contains(&"copy-before-install") && rules.contains(&"volatile-arg-before-run"));
        // The one under the cursor can be taken again.
        assert!(named(Kind::Dockerfile, "# layerwise: ignore[early-arg$0]\n").unwrap().1.contains(&"early-arg"));
        let (_, rules) = named(Kind::Workflow, "# layerwise: ignore[$0\non: push\n").unwrap();
        assert!(rules.contains(&"min-cache-mode") && rules.contains(&"volatile-arg-before-run") && !rules.contains(&"early-arg"));
        let (_, rules) = named(Kind::Compose, "# layerwise: ignore[$0\nservices: {a: {build: .}}\n").unwrap();
        assert!(rules.contains(&"min-cache-mode") && !rules.contains(&"volatile-arg-before-run") && !rules.contains(&"early-arg"));
    }

    #[test]
    fn what_is_suppressed_is_silent() {
        check(&super::super::floating_base_image::FLOATING_BASE_IMAGE, "# layerwise: ignore[floating-base-image] on purpose\nFROM node\n");
        check(&UNUSED_SUPPRESSION, "# layerwise: ignore[floating-base-image] on purpose\nFROM node\n");
        check(&UNUSED_SUPPRESSION, "# layerwise: ignore-file[floating-base-image]\n\nFROM node\n");
    }

    #[test]
    fn a_blank_line_ends_what_a_comment_covers() {
        check(
            &UNUSED_SUPPRESSION,
            "\
# layerwise: ignore[floating-base-image]
                    ^^^^^^^^^^^^^^^^^^^ warning: `floating-base-image` finds nothing here to suppress

FROM node
",
        );
    }

    #[test]
    fn an_unknown_rule_is_reported() {
        check(
            &UNUSED_SUPPRESSION,
            "\
# layerwise: ignore[floating-base-image, flaoting]
                                         ^^^^^^^^ warning: there is no rule `flaoting`
FROM node
",
        );
    }
}
