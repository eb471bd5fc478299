use super::copy_before_install::list;
use super::{Check, Findings, churn, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::context::{Context, Ignore};
use crate::dockerfile::{Kind, clean_source};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::Text;
use crate::view::DockerfileView;

declare_rule! {
    /// The ignore file leaves in what changes often and no build needs.
    ///
    /// The whole context is copied, and with it `.git`, which is another one after every commit and
    /// in every clone, or the output of local builds and tests. Each change of those runs everything
    /// below the copy again.
    ///
    /// ```dockerfile,bad
    /// #- .git/HEAD
    /// ref: refs/heads/main
    /// #- .dockerignore
    /// node_modules
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN npm run build
    /// ```
    ///
    /// ```dockerfile,good
    /// #- .git/HEAD
    /// ref: refs/heads/main
    /// #- .dockerignore
    /// node_modules
    /// .git
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY . .
    /// RUN npm run build
    /// ```
    ///
    /// A copy of `.git` itself is reported too, where commands run below it. Pass what is wanted of
    /// it as a late build argument, or mount it for the one command that asks:
    /// `RUN --mount=type=bind,source=.git,target=.git git describe > version`.
    ///
    /// Named is only what is there and what nothing is seen to use: no Dockerfile of the folder names
    /// it, and for `.git`, no command, script or manifest asks for a version. What a pattern with `!`
    /// brings back is meant to be there. Settings of editors and workflows alone are a hint. Where the builder clones the repository itself, no ignore
    /// file is applied, and this rule is silent.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: what is ignored is no longer in the image.
    pub(crate) static WEAK_IGNORE_FILE = {
        name: "weak-ignore-file",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.contexts.iter().any(|it| it.git) {
        return;
    }
    check_ignore_file(view, findings);
    check_copies_of_git(view, findings);
}

fn check_ignore_file(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let context = view.context();
    let Ignore::File(path, ignore) = &context.ignore else { return };
    // Where several folders may be the context, all of them have to be this one.
    if view.contexts.iter().any(|it| it.folder != context.folder) {
        return;
    }
    // A file that lets in what it names is as strong as it gets.
    let lets_in = ignore.patterns().iter().any(|it| !it.negated && matches!(it.text.as_str(), "*" | "**"));
    let Some(at) = churn::first_whole_copy(view).filter(|_| !lets_in) else { return };
    let Some(names) = churn::churn(view, context).filter(|it| !it.is_empty()) else { return };
    let effect = if churn::runs_below(view, at) { "runs everything below again" } else { "copies all of it again" };
    let last = ignore.patterns().last().map_or(Span::at(0), |it| it.span);
    let level = if churn::is_quiet(&names) { Level::Hint } else { Level::Info };
    let finding = findings.report(at, format!("any change of {} {effect}, which no build is seen to use", list(&names))).note_in(
        path.as_str().into(),
        last,
        format!("nothing here leaves {} out", list(&names)),
    );
    finding.level(level).maybe_fix(|| fix(context, path, &names));
}

/// A copy of the history itself, above commands that run again for it.
fn check_copies_of_git(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (_, step) in plan.own() {
            let Kind::Copy(copy) = &step.instruction.kind else { continue };
            let source = copy.sources.iter().find(|it| copy.from.is_none() && matches!(clean_source(&it.text).split('/').next(), Some(".git")));
            let Some(source) = source.filter(|_| churn::runs_below(view, step.instruction.span)) else { continue };
            // Then the build fails, which is not for us to say.
            if plan.context.excludes_all(".git") {
                continue;
            }
            findings.report(source.span, "`.git` is another one after every commit and in every clone, which runs everything below again");
        }
    }
}

/// Adds lines at the end of the ignore file: the last pattern that matches decides.
fn fix(context: &Context<'_>, path: &str, names: &[&str]) -> Option<Fix> {
    let Some(Text::Known(text)) = context.facts?.text(path) else { return None };
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut added = String::new();
    if !text.is_empty() && !text.ends_with('\n') {
        added.push_str(ending);
    }
    names.iter().for_each(|it| added.extend([it, ending]));
    let edits = EditSet::new(vec![Edit::insert(text.len(), added)]).ok()?;
    let file = crate::facts::name(path);
    Some(Fix::unproven(format!("Leave {} out in `{file}`", list(names)), vec![FileEdits { path: path.into(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::WEAK_IGNORE_FILE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix};

    /// A folder with these files besides, and what is said of it, if anything.
    fn folder(files: &str, dockerfile: &str) -> String {
        format!("#- .dockerignore\nnode_modules\n{files}#- Dockerfile\n{dockerfile}")
    }

    #[test]
    fn the_history_is_left_in() {
        check_unsafe_fix(
            &RULE,
            "
#- .git/HEAD
#- .mypy_cache/x
#- .dockerignore
node_modules
# Tests.
tests
^^^^^ note: nothing here leaves `.git` and `.mypy_cache` out
#- Dockerfile
FROM python:3.13-slim
COPY . /app
^^^^^^^^^^^ info: any change of `.git` and `.mypy_cache` runs everything below again, which no build is seen to use
RUN make -C /app
",
            "
#- .dockerignore
node_modules
# Tests.
tests
.git
.mypy_cache
",
        );
    }

    #[test]
    fn settings_alone_are_a_hint() {
        check(
            &RULE,
            "
#- .github/dependabot.yml
#- .dockerignore
node_modules
^^^^^^^^^^^^ note: nothing here leaves `.github` out
#- Dockerfile
FROM alpine:3.20
COPY . /app
^^^^^^^^^^^ hint: any change of `.github` runs everything below again, which no build is seen to use
RUN make -C /app
",
        );
    }

    #[test]
    fn compilers_that_stamp_the_commit_need_the_history() {
        check(&RULE, &folder("#- .git/HEAD\n", "FROM golang:1.23\nCOPY . /app\nRUN cd /app && go build\n"));
        check(&RULE, &folder("#- .git/HEAD\n", "FROM example.org/dotnet/sdk:9.0\nCOPY . /app\nRUN dotnet publish\n"));
        check(
            &RULE,
            "
#- .git/HEAD
#- .dockerignore
node_modules
^^^^^^^^^^^^ note: nothing here leaves `.git` out
#- Dockerfile
FROM golang:1.23-alpine
COPY . /app
^^^^^^^^^^^ info: any change of `.git` runs everything below again, which no build is seen to use
RUN cd /app && go build
",
        );
    }

    #[test]
    fn what_is_left_out_is_silent() {
        for ignored in [".git", "**/.git", ".*", "*\n!src", ".git*", ".git/"] {
            check(&RULE, &format!("#- .git/HEAD\n#- .dockerignore\n{ignored}\n#- Dockerfile\nFROM alpine:3.20\nCOPY . /app\nRUN make\n"));
        }
    }

    #[test]
    fn what_is_brought_back_is_meant() {
        for ignore in [
            ".git\n!.git/HEAD\n",
            // What comes back is no file of the folder, though it takes a closer look to see it.
            "**/*\n!app**\n",
            "****\n![ab]pp\n",
        ] {
            check(&RULE, &format!("#- .git/HEAD\n#- .dockerignore\n{ignore}#- Dockerfile\nFROM alpine:3.20\nCOPY . /app\nRUN make\n"));
        }
    }

    #[test]
    fn a_command_that_asks_git_needs_it() {
        for command in ["git describe > v", "apk add git", "make && test -d .git"] {
            check(&RULE, &folder("#- .git/HEAD\n", &format!("FROM alpine:3.20\nCOPY . /app\nRUN {command}\n")));
        }
    }

    #[test]
    fn a_manifest_or_script_that_asks_git_needs_it() {
        for files in [
            "#- pyproject.toml\n[build-system]\nrequires = [\"setuptools\", \"setuptools_scm\"]\n",
            "#- Makefile\nVERSION = $(shell git describe --tags)\n",
            "#- Cargo.toml\n[build-dependencies]\nvergen = \"9\"\n",
            "#- scripts/build.sh\ngit rev-parse HEAD\n",
            "#- crates/app/build.rs\nCommand::new(\"git\").args([\"rev-parse\"]);\n",
            "#- ci.Dockerfile\nFROM alpine:3.20\nRUN apk add git\n",
        ] {
            check(&RULE, &folder(&format!("#- .git/HEAD\n{files}"), "FROM alpine:3.20\nCOPY . /app\nRUN ./scripts/build.sh\n"));
        }
    }

    #[test]
    fn an_address_of_a_repository_asks_nothing() {
        check(
            &RULE,
            "
#- .git/HEAD
#- package.json
{\"repository\": \"git+https://example.org/a/b.git\"}
#- .dockerignore
node_modules
^^^^^^^^^^^^ note: nothing here leaves `.git` out
#- Dockerfile
FROM node:22.11
COPY . /app
^^^^^^^^^^^ info: any change of `.git` runs everything below again, which no build is seen to use
RUN make
",
        );
    }

    #[test]
    fn folders_that_are_sources_too_are_silent() {
        check(&RULE, &folder("#- coverage/report.py\n", "FROM python:3.13\nCOPY . /app\nRUN make\n"));
        check(&RULE, &folder("#- venv/pyvenv.cfg\n", "FROM python:3.13\nCOPY . /app\nCMD [\"/app/venv/bin/python\"]\n"));
        check(&RULE, &folder("#- target/app.jar\n", "FROM eclipse-temurin:21\nCOPY . /app\nCMD [\"java\", \"-jar\", \"/app/target/app.jar\"]\n"));
    }

    #[test]
    fn a_copy_of_the_history_runs_all_again() {
        check(
            &RULE,
            "
#- .git/HEAD
#- Dockerfile
FROM golang:1.23
COPY .git ./.git
     ^^^^ info: `.git` is another one after every commit and in every clone, which runs everything below again
RUN git describe > /version
",
        );
        check(&RULE, "#- .git/HEAD\n#- Dockerfile\nFROM golang:1.23\nRUN make\nCOPY .git /src/.git\n");
        check(&RULE, "FROM golang:1.23\nCOPY --from=x .git /src/.git\nCOPY .github /a\nRUN make\n");
        check(&RULE, "FROM golang:1.23\nRUN --mount=type=bind,source=.git,target=.git git describe > /version\n");
    }

    #[test]
    fn a_copy_of_named_folders_is_silent() {
        check(&RULE, &folder("#- .git/HEAD\n#- src/a\n", "FROM alpine:3.20\nCOPY src /app\nRUN make\n"));
    }

    #[test]
    fn a_builder_that_clones_reads_no_ignore_file() {
        let workflow = crate::rules::testing::build_step("push: true");
        check(&RULE, &folder(&format!("#- .git/HEAD\n{workflow}"), "FROM alpine:3.20\nCOPY . /app\nRUN make\n"));
    }
}
