use super::copy_before_install::list;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Frontend, Instruction, Kind, Mount, Run, clean_source};
use crate::edit::{Edit, EditSet, Span};
use crate::facts;
use crate::syntax::dockerfile::{Flag, mount_fields};
use crate::view::DockerfileView;

declare_rule! {
    /// The whole build context is mounted for an install that reads a few files of it.
    ///
    /// What a bind mount brings is a part of the cache key. With the whole context, every change of
    /// any file runs the install again. Mount the manifests and nothing else.
    ///
    /// ```dockerfile,bad
    /// #- go.mod
    /// module example.org/app
    /// #- go.sum
    /// #- Dockerfile
    /// FROM golang:1.23
    /// WORKDIR /src
    /// RUN --mount=type=bind,target=. go mod download
    /// RUN --mount=type=bind,target=. go build -o /bin/app .
    /// ```
    ///
    /// ```dockerfile,good
    /// #- go.mod
    /// module example.org/app
    /// #- go.sum
    /// #- Dockerfile
    /// FROM golang:1.23
    /// WORKDIR /src
    /// RUN --mount=type=bind,source=go.mod,target=go.mod --mount=type=bind,source=go.sum,target=go.sum go mod download
    /// RUN --mount=type=bind,target=. go build -o /bin/app .
    /// ```
    ///
    /// A command that builds needs the sources, and is left alone, as is a whole instruction that has
    /// one, and an install of which the manifests do not show what it reads.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: it names the files that are seen to be read, and leaves empty files in a folder that
    /// was not there before.
    pub(crate) static WHOLE_CONTEXT_MOUNT = {
        name: "whole-context-mount",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        let above = plan.volatilities_above();
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let Some((flag, mount)) = whole_mount(step.instruction, run) else { continue };
            let Some(install) = step.installs.iter().find(|it| it.installs()) else { continue };
            let Some(files) = plan.mounted_files(index).filter(|_| step.obstacle.is_none()) else { continue };
            // The same runs again anyway.
            if above[index] >= crate::volatility::Volatility::Often {
                continue;
            }
            let needed = match &files[..] {
                [] => "which needs none of it".to_owned(),
                [file] => format!("which reads `{file}` of it"),
                files => format!("which reads {} of it", list(&files.iter().map(String::as_str).collect::<Vec<_>>())),
            };
            let message = format!("any change to the build context runs `{}` again, {needed}", install.display);
            findings.report(flag.span, message).maybe_fix(|| fix(view, plan, step, flag, &mount, &files));
        }
    }
}

/// The mount that brings the whole context, if it is the only one that brings anything of it.
fn whole_mount<'i>(instruction: &'i Instruction, run: &Run) -> Option<(&'i Flag, Mount)> {
    let mounts = || instruction.flags.iter().filter(|it| it.name == "mount").map(|it| (it, Mount { fields: mount_fields(it) }));
    let of_context = run.mounts.iter().filter(|it| it.binds_context()).count();
    let whole = mounts().find(|(_, it)| it.binds_context() && it.source().is_none_or(|it| clean_source(it).is_empty() && !it.contains('$')));
    whole.filter(|_| of_context == 1)
}

fn fix(view: &DockerfileView<'_>, plan: &Plan<'_>, step: &Step<'_>, flag: &Flag, mount: &Mount, files: &[String]) -> Option<crate::diagnostic::Fix> {
    let escape = plan.dockerfile.escape;
    let target = mount.target()?;
    let folder = step.state.path(target, escape)?;
    // Relative targets stay relative to where they are.
    let prefix = if step.state.directory.as_deref() == Some(&folder) { String::new() } else { format!("{}/", target.trim_end_matches('/')) };
    let flags: Option<Vec<String>> = files
        .iter()
        .map(|it| {
            (!it.contains([',', '"', '$', ' '])).then(|| format!("--mount=type=bind,source={it},target={prefix}{}", facts::join("/", it)[1..].to_owned()))
        })
        .collect();
    let flags = flags?.join(" ");
    let edit = match flags.is_empty() {
        false => Edit::replace(flag.span, flags),
        // The flag goes with the blank behind it.
        true => Edit::delete(Span::new(flag.span.start, flag.span.end + usize::from(view.source.get(flag.span.end..)?.starts_with(' ')))),
    };
    let title = if files.is_empty() { "Mount nothing" } else { "Mount the manifests only" };
    Some(view.suggestion(title, EditSet::new(vec![edit]).ok()?))
}

#[cfg(test)]
mod tests {
    use super::WHOLE_CONTEXT_MOUNT as RULE;
    use crate::rules::testing::{check, check_unsafe_fix};

    const GO: &str = "#- go.mod\nmodule example.org/app\n#- go.sum\n";

    #[test]
    fn the_manifests_are_enough() {
        check_unsafe_fix(
            &RULE,
            "
#- go.mod
module example.org/app
#- go.sum
#- Dockerfile
FROM golang:1.23
WORKDIR /src
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=bind,target=. go mod download
                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to the build context runs `go mod download` again, which reads `go.mod` and `go.sum` of it
",
            "
FROM golang:1.23
WORKDIR /src
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=bind,source=go.mod,target=go.mod --mount=type=bind,source=go.sum,target=go.sum go mod download
",
        );
    }

    #[test]
    fn a_target_elsewhere_is_kept() {
        check_unsafe_fix(
            &RULE,
            "
#- requirements.txt
flask==3.1.0
#- Dockerfile
FROM python:3.13-slim
RUN --mount=source=.,target=/tmp/src pip install -r /tmp/src/requirements.txt
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to the build context runs `pip install -r /tmp/src/requirements.txt` again, which reads `requirements.txt` of it
",
            "
FROM python:3.13-slim
RUN --mount=type=bind,source=requirements.txt,target=/tmp/src/requirements.txt pip install -r /tmp/src/requirements.txt
",
        );
    }

    #[test]
    fn packages_of_the_system_need_nothing() {
        check_unsafe_fix(
            &RULE,
            "
FROM alpine:3.20
RUN --mount=type=bind,target=/src apk add git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: any change to the build context runs `apk add` again, which needs none of it
",
            "
FROM alpine:3.20
RUN apk add git
",
        );
    }

    #[test]
    fn a_build_needs_the_sources() {
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nRUN --mount=type=bind,target=. go build -o /bin/app .\n"));
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nRUN --mount=type=bind,target=. go mod download && make\n"));
    }

    #[test]
    fn an_install_of_the_project_needs_the_sources() {
        check(
            &RULE,
            "#- pyproject.toml\n[project]\nname = \"a\"\n#- Dockerfile\nFROM python:3.13\nWORKDIR /src\nRUN --mount=type=bind,target=. pip install .\n",
        );
    }

    #[test]
    fn what_is_mounted_by_name_or_from_elsewhere_is_silent() {
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nRUN --mount=type=bind,source=go.mod,target=go.mod go mod download\n"));
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nRUN --mount=from=x,target=. go mod download\n"));
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nRUN --mount=type=bind,source=$DIR,target=. go mod download\n"));
    }

    #[test]
    fn sources_above_run_it_again_anyway() {
        check(&RULE, &format!("{GO}#- Dockerfile\nFROM golang:1.23\nWORKDIR /src\nCOPY . /copy\nRUN --mount=type=bind,target=. go mod download\n"));
    }
}
