use super::copy_before_install::list;
use super::{Check, Findings, churn, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::context::{Context, Ignore};
use crate::edit::{Edit, EditSet};
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
    /// RUN npm ci
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
    /// RUN npm ci
    /// ```
    ///
    /// Settings of an editor and of workflows alone are an information only. A folder that the image
    /// does not make itself, `node_modules` without an install, is not named: it may be meant. An
    /// ignore file of podman and buildah, `.containerignore`, counts.
    ///
    /// Where the builder clones the repository itself (the default of `docker/build-push-action`),
    /// no ignore file is applied, and this rule is silent.
    ///
    /// ## Fix safety
    ///
    /// What is ignored is no longer in the image, so that the fix is not applied unseen. It names
    /// only what is there now and that nothing is seen to use: no Dockerfile of the folder names it,
    /// and for `.git`, no command, script or manifest that makes a version of it.
    pub(crate) static MISSING_IGNORE_FILE = {
        name: "missing-ignore-file",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// The name that podman and buildah look for first.
const CONTAINER_IGNORE: &str = ".containerignore";

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    // One context with an ignore file, or one that the builder clones, shows that the author knows.
    if !view.contexts.iter().all(|it| !it.git && matches!(it.ignore, Ignore::None) && it.folder.is_some()) {
        return;
    }
    let context = view.context();
    if context.entry(CONTAINER_IGNORE) == Some(Some(Entry::File)) {
        return;
    }
    // The first is enough: one ignore file mends all.
    let Some(at) = churn::first_whole_copy(view) else { return };
    let Some(mut names) = churn::churn(view, context) else { return };
    // Which of them it is built with is a guess.
    if view.callers.is_empty() {
        names.retain(|name| view.contexts.iter().all(|it| it.entry(name).flatten().is_some()));
    }
    let finding = match names.is_empty() {
        true => findings.report(at, "there is no `.dockerignore`, so that every file of the folder is a part of the cache key"),
        false if churn::runs_below(view, at) => {
            findings.report(at, format!("there is no `.dockerignore`, so that any change of {} runs everything below again", list(&names)))
        }
        false => findings.report(at, format!("there is no `.dockerignore`, so that any change of {} copies all of it again", list(&names))),
    };
    let finding = if churn::is_quiet(&names) { finding.level(Level::Info) } else { finding }.maybe_fix(|| fix(context, &names));
    drop(match missing(context) {
        Some(path) => finding.elsewhere(path),
        None => finding,
    });
}

/// The file that is missing.
fn missing(context: &Context<'_>) -> Option<String> {
    Some(facts::join(context.folder.as_deref()?, ".dockerignore"))
}

fn fix(context: &Context<'_>, churn: &[&str]) -> Option<Fix> {
    if churn.is_empty() {
        return None;
    }
    let path = missing(context)?;
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
RUN npm install && make
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
    fn what_lies_in_one_of_the_folders_that_may_be_meant_is_not_named() {
        check(
            &RULE,
            "
#- .git/HEAD
#- package.json
{}
#- site/index.html
#- site/Dockerfile
FROM nginx:1.27
COPY . /usr/share/nginx/html
^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: there is no `.dockerignore`, so that every file of the folder is a part of the cache key
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
    fn dependencies_that_nothing_installs_are_meant() {
        check(
            &RULE,
            "
#- node_modules/a/index.js
#- Dockerfile
FROM node:22.11
COPY . /app
^^^^^^^^^^^ info: there is no `.dockerignore`, so that every file of the folder is a part of the cache key
CMD [\"node\", \"/app\"]
",
        );
    }

    #[test]
    fn what_another_dockerfile_names_is_used() {
        check(
            &RULE,
            "
#- .git/HEAD
#- build/ci.Dockerfile
FROM alpine:3.20
COPY .git /src/.git
#- Dockerfile
FROM node:22.11
COPY . /app
^^^^^^^^^^^ info: there is no `.dockerignore`, so that every file of the folder is a part of the cache key
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
