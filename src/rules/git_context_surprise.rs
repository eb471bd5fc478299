use super::{Check, Findings, declare_rule};
use crate::build::{Context, Tool};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::ignore::{self, IgnoreFile};
use crate::dockerfile::{Copy, Dockerfile, Instruction, Kind, clean_source, is_glob, is_remote};
use crate::edit::{EditSet, Span};
use crate::facts::{self, Entry, Text};
use crate::links::{Folder, Target};
use crate::view::{StepView, WorkflowView};
use crate::workflow::Step;
use std::sync::Arc;

declare_rule! {
    /// A build clones the repository, though files of the runner or an ignore file are meant to count.
    ///
    /// Without `context` the builder clones the commit itself. What earlier steps made on the
    /// runner is not in the clone, so that a `COPY` of it fails; and ignore files are applied to
    /// folders only, so that files they leave out are copied all the same, and a change to them
    /// runs everything behind that copy again.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM nginx:1.29
    /// COPY dist /usr/share/nginx/html
    /// #- package.json
    /// {"scripts": {"build": "vite build"}}
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - run: npm ci && npm run build
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:latest
    /// ```
    ///
    /// ```yaml,good
    /// #- Dockerfile
    /// FROM nginx:1.29
    /// COPY dist /usr/share/nginx/html
    /// #- package.json
    /// {"scripts": {"build": "vite build"}}
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - run: npm ci && npm run build
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    /// ```
    ///
    /// An error where a file is copied that is not in the repository and that an earlier step may
    /// make; a warning where the whole context is copied and the ignore file leaves out files that
    /// every repository tracks: its notes and its workflows. What git does not track
    /// is in no clone, so that `.git` and `node_modules` in an ignore file do no harm.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: other files may enter the image. Offered where a step checks out the repository.
    pub(crate) static GIT_CONTEXT_SURPRISE = {
        name: "git-context-surprise",
        level: Level::Warning,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.runs_here_only() {
        return;
    }
    for build in view.builds.iter().filter(|it| is_judged(it)) {
        let [place] = build.places.as_slice() else { continue };
        let (Folder::Git(folder), Some(path)) = (&place.context, &place.dockerfile) else { continue };
        let Some(dockerfile) = view.dockerfile(path) else { continue };
        let copies = copies(dockerfile, &place.target);
        let at: Arc<str> = path.as_str().into();
        if let Some((instruction, source)) = made_before(view, build, folder, &copies) {
            let message = format!("the builder clones the repository, where `{source}` is not");
            let finding = findings.report(build.build.span, message).level(Level::Error);
            finding.note_in(at, instruction.span, "it is copied here").maybe_fix(|| fix(view, build));
        } else if let Some(found) = not_ignored(view, path, folder, &copies) {
            let message = format!("the builder clones the repository, where no ignore file counts: `{}` is copied too", found.file);
            let finding = findings.report(build.build.span, message).note_in(at, found.copy.span, "the whole context is copied here");
            finding.note_in(found.path.as_str().into(), found.pattern, "this line does nothing").maybe_fix(|| fix(view, build));
        }
    }
}

fn is_judged(build: &StepView<'_>) -> bool {
    build.build.tool == Tool::BuildPushAction && !build.build.dry && !build.build.opaque && matches!(build.build.context, Context::Git(_))
}

/// The copies from the context in stages that are built.
fn copies<'d>(dockerfile: &'d Dockerfile, target: &Target) -> Vec<(&'d Instruction, &'d Copy)> {
    let instructions = target.stages(dockerfile).into_iter().flatten().flat_map(|it| &it.instructions);
    let copy = |it: &'d Instruction| match &it.kind {
        Kind::Copy(copy) if copy.from_context() && !copy.heredoc && !copy.special => Some((it, copy)),
        _ => None,
    };
    instructions.filter_map(copy).collect()
}

/// A file that is copied, that the repository lacks, and that a step before may make.
fn made_before<'d>(view: &WorkflowView<'_>, build: &StepView<'_>, folder: &str, copies: &[(&'d Instruction, &Copy)]) -> Option<(&'d Instruction, String)> {
    let makes = |it: &Step| it.may_make_files() && !it.is_folder_cache() && !it.action.as_ref().is_some_and(|it| it.name.contains("setup-"));
    if !build.steps_before().iter().any(makes) {
        return None;
    }
    copies.iter().find_map(|(instruction, copy)| {
        let literal = |it: &str| !is_remote(it) && !it.contains('$') && !is_glob(it) && !it.starts_with("<<");
        let sources = copy.sources.iter().map(|it| it.text.as_str()).filter(|it| literal(it)).map(clean_source);
        let is_missing = |it: &String| !it.is_empty() && view.is_untracked(&facts::join(folder, it)) == Some(true);
        sources.into_iter().find(is_missing).map(|it| (*instruction, it))
    })
}

/// A file that is copied although an ignore file leaves it out.
struct NotIgnored<'d> {
    copy: &'d Instruction,
    file: String,
    /// The ignore file, and the line of it.
    path: String,
    pattern: Span,
}

fn not_ignored<'d>(view: &WorkflowView<'_>, dockerfile: &str, folder: &str, copies: &[(&'d Instruction, &Copy)]) -> Option<NotIgnored<'d>> {
    let (copy, _) = copies.iter().find(|(_, it)| it.whole_context() && it.excludes.is_empty())?;
    let (path, ignored) = ignore_file(view, dockerfile, folder)?;
    let tree = view.snapshot.facts.tree(folder)?;
    let files = tree.entries.iter().filter(|(path, it)| **it == Entry::File && is_tracked_by_all(path)).map(|(path, _)| path);
    let file = files.into_iter().find(|it| ignored.excludes(it))?.clone();
    let pattern = ignored.decided_by(&file)?.span;
    Some(NotIgnored { copy, file, path, pattern })
}

/// The ignore file that would count if the context were a folder.
fn ignore_file(view: &WorkflowView<'_>, dockerfile: &str, folder: &str) -> Option<(String, IgnoreFile)> {
    for candidate in [format!("{dockerfile}.dockerignore"), facts::join(folder, ".dockerignore")] {
        match view.snapshot.text(&candidate)? {
            Text::Known(text) => return Some((candidate, ignore::parse(&text).ok()?)),
            Text::Missing => {}
            Text::Unreadable => return None,
        }
    }
    None
}

/// Whether a file is one that changes often, that no image needs, and that is in the repository
/// wherever it is on disk.
fn is_tracked_by_all(path: &str) -> bool {
    let name = facts::name(path).to_ascii_lowercase();
    let at_top = !path.contains('/');
    let is_note = at_top && ["readme", "changelog", "contributing"].iter().any(|it| name.starts_with(it)) && name != "readme";
    path.starts_with(".github/") || is_note
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<Fix> {
    let plain = |it: &Step| it.runs("actions/checkout") && it.input("path").is_none();
    let is_root = matches!(build.build.context, Context::Git(None)) && build.steps_before().iter().any(plain);
    if !is_root || view.may_be_started_by_strangers() || build.may_have_other_sources() {
        return None;
    }
    let edits = EditSet::new(vec![view.set_input(build.own_step()?, "context", ".")?]).ok()?;
    Some(Fix::unproven("Build from the files of the runner", vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::GIT_CONTEXT_SURPRISE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix, marked, steps};

    const CACHE: &str = "cache-from: type=gha\n    cache-to: type=gha";
    const ACTION: &str = "docker/build-push-action@v7";

    fn job(before: &str, with: &str) -> String {
        steps(&format!("{before}- uses: docker/setup-buildx-action@v4\n- uses: {ACTION}\n  with:\n    {CACHE}{with}"))
    }

    fn files(dockerfile: &str, ignored: &str) -> String {
        format!("#- README.md\n# App\n#- src/main.js\n1\n#- .dockerignore\n{ignored}#- Dockerfile\n{dockerfile}")
    }

    const MADE: &str = "error: the builder clones the repository, where `dist` is not";

    #[test]
    fn files_of_the_runner_are_in_no_clone() {
        let dockerfile = files("FROM nginx:1.29\nCOPY dist /srv\n^^^^^^^^^^^^^^ note: it is copied here\n", "");
        let before = "- uses: actions/checkout@v6\n- run: npm run build\n";
        check_unsafe_fix(&RULE, &format!("{dockerfile}{}", marked(&job(before, ""), ACTION, MADE)), &job(before, "\n    context: ."));
        let artifact = "- uses: actions/download-artifact@v5\n  with: {path: dist}\n";
        check_without_fix(&RULE, &format!("{dockerfile}{}", marked(&job(artifact, ""), ACTION, MADE)));
    }

    #[test]
    fn files_that_are_in_the_clone_are_silent() {
        let before = "- uses: actions/checkout@v6\n- run: npm run build\n";
        for copy in [
            "COPY src /srv",
            "COPY README.md src ./",
            "COPY --from=base dist /srv",
            "COPY dis[t] /srv",
            "COPY $DIST /srv",
            "ADD https://example.com/dist /srv",
            "COPY <<EOF /srv\nx\nEOF",
        ] {
            check(&RULE, &format!("{}{}", files(&format!("FROM nginx:1.29\n{copy}\n"), ""), job(before, "")));
        }
        let dockerfile = files("FROM nginx:1.29 AS pages\nCOPY dist /srv\nFROM nginx:1.29\n", "");
        check(&RULE, &format!("{dockerfile}{}", job(before, "")));
        check(&RULE, &format!("{}#- .gitmodules\n[submodule \"d\"]\n  path = dist\n{}", files("FROM nginx:1.29\nCOPY dist /srv\n", ""), job(before, "")));
    }

    #[test]
    fn contexts_that_are_folders_are_silent() {
        let before = "- uses: actions/checkout@v6\n- run: npm run build\n";
        let dockerfile = files("FROM nginx:1.29\nCOPY dist /srv\n", "");
        for with in ["context: .", "context: ${{ inputs.context }}", "context: https://github.com/other/app.git", "call: check"] {
            check(&RULE, &format!("{dockerfile}{}", job(before, &format!("\n    {with}"))));
        }
        check(&RULE, &format!("{dockerfile}{}", job("- uses: actions/checkout@v6\n", "")));
        check(&RULE, &format!("{dockerfile}{}", job(before, "").replace("on: push", "on: workflow_call")));
    }

    #[test]
    fn an_ignore_file_does_not_count_in_a_clone() {
        let text = "FROM node:22.11\nCOPY . .\n^^^^^^^^ note: the whole context is copied here\n";
        let ignored = "*.md\n^^^^ note: this line does nothing\n";
        let message = "warning: the builder clones the repository, where no ignore file counts: `README.md` is copied too";
        let before = "- uses: actions/checkout@v6\n";
        check_unsafe_fix(&RULE, &format!("{}{}", files(text, ignored), marked(&job(before, ""), ACTION, message)), &job(before, "\n    context: ."));
    }

    #[test]
    fn ignore_files_that_do_no_harm_are_silent() {
        for ignored in ["", ".git\nnode_modules\n", "dist\n*.log\n.env\n", "*.md\n!README.md\n", "*.txt\n", "Dockerfile\n.dockerignore\n"] {
            check(&RULE, &format!("{}{}", files("FROM node:22.11\nCOPY . .\n", ignored), job("- uses: actions/checkout@v6\n", "")));
        }
        check(&RULE, &format!("{}{}", files("FROM node:22.11\nCOPY src .\n", "*.md\n"), job("- uses: actions/checkout@v6\n", "")));
        check(&RULE, &format!("{}{}", files("FROM node:22.11\nCOPY . .\n", "*.md\n"), job("- uses: actions/checkout@v6\n", "\n    context: .")));
    }
}
