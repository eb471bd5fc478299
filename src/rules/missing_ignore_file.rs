use super::copy_before_install::list;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::Kind;
use crate::dockerfile::context::{Context, Ignore};
use crate::dockerfile::plan::has_word;
use crate::edit::{Edit, EditSet, Span};
use crate::facts::{self, Entry};
use crate::view::DockerfileView;

declare_rule! {
    /// The whole build context is copied, and no ignore file leaves anything out.
    ///
    /// Without a `.dockerignore`, the copy's cache key holds every file of the folder: `.git`, whose
    /// files differ in every clone, installed dependencies, the output of local builds, editor
    /// files. A change of any of them runs everything below the copy again, and all of it ends up
    /// in the image.
    ///
    /// ```dockerfile,bad
    /// #- node_modules/a/index.js
    /// module.exports = 1
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// ```
    ///
    /// ```dockerfile,good
    /// #- .dockerignore
    /// .git
    /// node_modules
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// ```
    ///
    /// Settings of an editor alone are an information only. An ignore file of podman and buildah,
    /// `.containerignore`, counts.
    ///
    /// Where the builder clones the repository itself (the default of `docker/build-push-action`),
    /// no ignore file is applied, and this rule is silent.
    ///
    /// ## Fix safety
    ///
    /// What is ignored is no longer in the image, so that the fix is not applied unseen. It names
    /// only what is there now and that the Dockerfile does not name.
    pub(crate) static MISSING_IGNORE_FILE = {
        name: "missing-ignore-file",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// What changes without the image changing, where the Dockerfile does not use it.
const CHURN: &[&str] = &[
    ".git",
    "node_modules",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    "target",
    ".gradle",
    ".idea",
    ".vscode",
    ".DS_Store",
    "coverage",
    ".nyc_output",
    ".next",
    ".nuxt",
    ".turbo",
    ".terraform",
];

/// Those of [`CHURN`] that people edit.
const EDITORS: &[&str] = &[".idea", ".vscode", ".DS_Store"];

/// The name that podman and buildah look for first.
const CONTAINER_IGNORE: &str = ".containerignore";

/// Whether a command runs behind the instruction at `copy`, in its stage or one that starts from it.
fn runs_below(view: &DockerfileView<'_>, copy: Span) -> bool {
    view.plans().any(|plan| {
        let below = plan.steps.iter().skip_while(|it| it.instruction.span != copy);
        plan.steps.iter().any(|it| it.instruction.span == copy && matches!(it.instruction.kind, Kind::Run(_)))
            || below.skip(1).any(|it| matches!(it.instruction.kind, Kind::Run(_)))
    })
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    // One context with an ignore file, or one that the builder clones, shows that the author knows.
    if !view.contexts.iter().all(|it| !it.git && matches!(it.ignore, Ignore::None) && it.folder.is_some()) {
        return;
    }
    let context = view.context();
    if context.entry(CONTAINER_IGNORE) == Some(Some(Entry::File)) {
        return;
    }
    let copies = view.plans().flat_map(|plan| plan.own()).filter(|(_, it)| match &it.instruction.kind {
        Kind::Copy(copy) => copy.whole_context(),
        Kind::Run(run) => run.mounts.iter().any(|it| it.binds_context() && it.source().is_none_or(|it| it == ".")),
        _ => false,
    });
    // The first is enough: one ignore file mends all.
    let Some((_, step)) = copies.min_by_key(|(_, it)| it.instruction.span.start) else { return };
    let Some(churn) = churn(view, context) else { return };
    let names: Vec<&str> = churn.iter().map(String::as_str).collect();
    let at = step.instruction.span;
    let finding = match names.is_empty() {
        true => findings.report(at, "there is no `.dockerignore`, so that every file of the folder is a part of the cache key"),
        false if runs_below(view, at) => {
            findings.report(at, format!("there is no `.dockerignore`, so that any change of {} runs everything below again", list(&names)))
        }
        false => findings.report(at, format!("there is no `.dockerignore`, so that any change of {} copies all of it again", list(&names))),
    };
    // Settings of editors are few and change seldom.
    let costly = names.iter().any(|it| !EDITORS.contains(it));
    drop(if costly { finding } else { finding.level(Level::Info) }.maybe_fix(|| fix(context, &churn)));
}

/// What of [`CHURN`] is in the context and not named in the Dockerfile; `None` where the folder is
/// not known yet.
fn churn(view: &DockerfileView<'_>, context: &Context<'_>) -> Option<Vec<String>> {
    let tree = context.tree.as_ref().filter(|it| it.exists)?;
    let uses_git = || view.dockerfile.instructions().any(|(_, it)| matches!(&it.kind, Kind::Run(run) if has_word(&run.command.text, "git")));
    let there = CHURN.iter().filter(|it| tree.entries.contains_key(**it) && !(**it == ".git" && uses_git()));
    Some(there.filter(|it| !copies(view, it)).map(|it| (*it).to_owned()).collect())
}

/// Whether a COPY names the path, or something below it.
fn copies(view: &DockerfileView<'_>, path: &str) -> bool {
    view.dockerfile.instructions().any(|(_, it)| match &it.kind {
        Kind::Copy(copy) => copy.from.is_none() && copy.sources.iter().any(|it| crate::dockerfile::clean_source(&it.text).split('/').next() == Some(path)),
        _ => false,
    })
}

fn fix(context: &Context<'_>, churn: &[String]) -> Option<Fix> {
    if churn.is_empty() {
        return None;
    }
    let path = facts::join(context.folder.as_deref()?, ".dockerignore");
    let text: String = churn.iter().map(|it| format!("{it}\n")).collect();
    let edits = EditSet::new(vec![Edit::insert(0, text)]).ok()?;
    Some(Fix::unproven("Create a `.dockerignore`", vec![FileEdits { path: path.into(), edits, create: true }]))
}

#[cfg(test)]
mod tests {
    use super::MISSING_IGNORE_FILE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix};

    #[test]
    fn what_is_there_and_unused_is_named() {
        check_unsafe_fix(
            &RULE,
            "
#- .git/HEAD
ref: refs/heads/main
#- node_modules/a/index.js
#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY . .
^^^^^^^^ warning: there is no `.dockerignore`, so that any change of `.git` and `node_modules` runs everything below again
RUN make
",
            "
#- .dockerignore
.git
node_modules
",
        );
    }

    #[test]
    fn a_folder_without_churn_is_an_information() {
        check(
            &RULE,
            "
#- index.js
#- Dockerfile
FROM node:22.11
COPY . /app
^^^^^^^^^^^ info: there is no `.dockerignore`, so that every file of the folder is a part of the cache key
",
        );
    }

    #[test]
    fn nothing_runs_below_the_last_copy() {
        check(
            &RULE,
            "
#- .git/HEAD
#- Dockerfile
FROM node:22.11
RUN make
COPY . /app
^^^^^^^^^^^ warning: there is no `.dockerignore`, so that any change of `.git` copies all of it again
CMD [\"node\", \"/app\"]
",
        );
    }

    #[test]
    fn settings_of_an_editor_alone_are_an_information() {
        check(
            &RULE,
            "
#- .vscode/settings.json
#- Dockerfile
FROM node:22.11
COPY . /app
^^^^^^^^^^^ info: there is no `.dockerignore`, so that any change of `.vscode` runs everything below again
RUN make -C /app
",
        );
    }

    #[test]
    fn an_image_that_gets_git_may_ask_it() {
        check(
            &RULE,
            "
#- .git/HEAD
#- Dockerfile
FROM node:22.11-alpine
RUN apk add git
COPY . /app
^^^^^^^^^^^ info: there is no `.dockerignore`, so that every file of the folder is a part of the cache key
RUN make -C /app
",
        );
    }

    #[test]
    fn the_ignore_file_of_podman_counts() {
        check(&RULE, "#- .git/HEAD\n#- .containerignore\n.git\n#- Dockerfile\nFROM node:22.11\nCOPY . /app\n");
    }

    #[test]
    fn an_ignore_file_for_the_dockerfile_counts() {
        check(&RULE, "#- .git/HEAD\n#- Dockerfile.dockerignore\n.git\n#- Dockerfile\nFROM node:22.11\nCOPY . /app\n");
        check(&RULE, "#- .git/HEAD\n#- .dockerignore\n.git\n#- Dockerfile\nFROM node:22.11\nCOPY . /app\n");
    }

    #[test]
    fn a_copy_of_named_folders_needs_none() {
        check(&RULE, "#- .git/HEAD\n#- src/a.js\n#- Dockerfile\nFROM node:22.11\nCOPY src /app\nCOPY --from=x . /y\n");
    }
}
