use super::volatile_arg_before_run::command;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::dockerfile::caches::CacheMount;
use crate::dockerfile::mounts::{Hinders, is_cache_of};
use crate::dockerfile::plan::{Plan, Step};
use crate::ecosystem::{Action, Manager};
use crate::edit::{Edit, EditSet, Span};
use crate::shell;
use crate::view::DockerfileView;

declare_rule! {
    /// A cache mount is of no use, since the command does not use it or empties it.
    ///
    /// `--no-cache-dir` and the like turn the cache off that the mount is there for, and a cleanup
    /// at the end of the command empties it for all builds. Both were made for caches that end up
    /// in the image; a mount never does.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    ///     apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    ///     apt-get update && apt-get install -y git
    /// ```
    ///
    /// Images of Debian and Ubuntu have a hook, `/etc/apt/apt.conf.d/docker-clean`, that removes
    /// packages from `/var/cache/apt` after every install; with it, a mount there stays empty. This
    /// is an `info`, since only the download of the packages is repeated.
    ///
    /// ```dockerfile,good
    /// FROM python:3.13-slim
    /// COPY requirements.txt .
    /// RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt && rm -rf /tmp/build
    /// ```
    ///
    /// ## Fix safety
    ///
    /// A flag or a cleanup is taken away only if all it concerns lies in the mount, and the cleanup
    /// is a plain member of a list joined by `&&`. To let apt keep its packages changes a file of
    /// the image, so that this is no safe fix.
    pub(crate) static DEFEATED_CACHE_MOUNT = {
        name: "defeated-cache-mount",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            if !report_hindrances(view, plan, index, findings) {
                report_variable(plan, index, step, findings);
            }
        }
        report_docker_clean(view, plan, findings);
    }
}

/// Flags and cleanups of one RUN are one finding; whether there was one.
fn report_hindrances(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, findings: &mut Findings<'_>) -> bool {
    let Kind::Run(run) = &plan.steps[index].instruction.kind else { return false };
    let mounts = plan.cache_mounts(index, run);
    let (flags, targets): (Vec<Span>, Vec<&str>) = mounts.iter().filter_map(|it| Some((it.flag.span, it.target.as_deref()?))).unzip();
    let hindrances = plan.hindrances(index, run, &targets);
    let Some(first) = hindrances.first() else { return false };
    let message = match first.does {
        Hinders::Unused => format!("`{}` leaves the cache mount of this command unused", first.text),
        Hinders::Emptied => format!("`{}` empties the cache mount of this command", shell::beginning(&first.text, 50)),
    };
    let mut finding = findings.report(first.span, message);
    for other in &hindrances[1..] {
        finding = finding.note(other.span, "this works against it as well");
    }
    if let Some(flag) = flags.get(first.target) {
        finding = finding.note(*flag, "the cache is mounted here");
    }
    drop(match view.prove(plan.stage, |it| it.spare_caches(&view.source, index)) {
        Ok(proven) => finding.fix(view.mounting("Leave the cache in the mount", proven)),
        Err(refusal) => finding.refused(&refusal),
    });
    true
}

/// A variable that turns off the cache that a mount is there for.
fn report_variable(plan: &Plan<'_>, index: usize, step: &Step<'_>, findings: &mut Findings<'_>) {
    let Kind::Run(run) = &step.instruction.kind else { return };
    let mounts = plan.cache_mounts(index, run);
    for install in step.installs.iter().filter(|it| it.installs()) {
        let Some(name) = plan.disabling_variable(index, install) else { continue };
        let is_own = |it: &&CacheMount<'_>| it.target.as_deref().is_some_and(|it| is_cache_of(install.manager, it));
        let Some(mount) = mounts.iter().find(is_own) else { continue };
        let set = plan.steps[..index].iter().rev().find(|it| match &it.instruction.kind {
            Kind::Env(variables) | Kind::Arg(variables) => variables.iter().any(|it| it.name == name),
            _ => false,
        });
        let finding = findings.report(mount.flag.span, format!("`{name}` leaves this cache mount unused"));
        drop(match set {
            Some(set) => finding.note(set.instruction.span, format!("`{name}` is set here")),
            None => finding,
        });
        return;
    }
}

/// Official images that are made of Debian or Ubuntu, where the tag does not say another base.
const DEBIAN: &[&str] = &[
    "debian",
    "ubuntu",
    "buildpack-deps",
    "node",
    "python",
    "golang",
    "rust",
    "ruby",
    "php",
    "openjdk",
    "eclipse-temurin",
    "perl",
    "elixir",
    "erlang",
    "nginx",
    "httpd",
    "pypy",
    "postgres",
    "redis",
    "mysql",
    "maven",
];

/// The packages that apt caches are removed by a hook of the image: once for each stage.
fn report_docker_clean(view: &DockerfileView<'_>, plan: &Plan<'_>, findings: &mut Findings<'_>) {
    if !has_docker_clean(plan) {
        return;
    }
    let mounted = plan.own().filter_map(|(index, step)| {
        let Kind::Run(run) = &step.instruction.kind else { return None };
        let installs = step.installs.iter().any(|it| it.manager == Manager::Apt && it.action == Action::InstallSystem);
        let mount = plan.cache_mounts(index, run).into_iter().find(|it| installs && it.target.as_deref().is_some_and(is_package_cache))?;
        Some((step, mount.flag.span))
    });
    let mounted: Vec<(&Step<'_>, Span)> = mounted.collect();
    let Some((step, span)) = mounted.first() else { return };
    let mut finding = findings
        .report(*span, "`docker-clean` of the image empties this cache mount after every install")
        .level(Level::Info)
        .note(step.instruction.span, format!("{} downloads all packages again", command(step)));
    for (_, other) in &mounted[1..] {
        finding = finding.note(*other, "so it is here");
    }
    drop(finding.maybe_fix(|| keep_packages(view, step).map(|it| view.suggestion("Let apt keep its packages", it))));
}

fn is_package_cache(target: &str) -> bool {
    matches!(target, "/var/cache/apt" | "/var/cache/apt/archives" | "/var/cache")
}

/// Whether the hook is there: in images of Debian and Ubuntu, unless an instruction sees to it.
fn has_docker_clean(plan: &Plan<'_>) -> bool {
    let Some(image) = plan.image() else { return false };
    let other_base = image
        .parts()
        .and_then(|it| it.1)
        .is_some_and(|tag| ["alpine", "ubi", "windows", "nanoserver", "oracle", "al2", "fedora"].iter().any(|it| tag.contains(it)));
    if other_base || !image.official().is_some_and(|it| DEBIAN.contains(&it)) {
        return false;
    }
    const SIGNS: &[&str] = &["docker-clean", "keep-cache", "Keep-Downloaded-Packages", "apt.conf"];
    let sees_to_it = |step: &Step<'_>| match &step.instruction.kind {
        Kind::Run(run) => {
            let masked = run.mounts.iter().filter_map(|it| it.target()).any(|it| it.contains("apt.conf"));
            masked || SIGNS.iter().any(|it| run.command.text.contains(it))
        }
        Kind::Copy(copy) => copy.destination.text.starts_with("/etc") || copy.destination.text == "/",
        Kind::Env(variables) | Kind::Arg(variables) => variables.iter().any(|it| it.name == "APT_CONFIG"),
        _ => false,
    };
    !plan.steps.iter().any(sees_to_it)
}

/// The lines of Docker's documentation that make apt keep what it downloads.
fn keep_packages(view: &DockerfileView<'_>, step: &Step<'_>) -> Option<EditSet> {
    let keyword = if step.instruction.keyword_is_lower { "run" } else { "RUN" };
    let line = format!(
        "{keyword} rm -f /etc/apt/apt.conf.d/docker-clean && echo 'Binary::apt::APT::Keep-Downloaded-Packages \"true\";' > /etc/apt/apt.conf.d/keep-cache"
    );
    let lines = step.instruction.owned;
    let ending = if Span::new(lines.start, lines.end).of(&view.source).contains("\r\n") { "\r\n" } else { "\n" };
    EditSet::new(vec![Edit::insert(lines.start, format!("{line}{ending}"))]).ok()
}

#[cfg(test)]
mod tests {
    use super::DEFEATED_CACHE_MOUNT as RULE;
    use crate::rules::testing::{check, check_fix, check_unsafe_fix, check_without_fix};

    #[test]
    fn a_flag_goes() {
        check_fix(
            &RULE,
            "
FROM python:3.13
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
    pip install \\
    --no-cache-dir \\
    ^^^^^^^^^^^^^^ warning: `--no-cache-dir` leaves the cache mount of this command unused
    -r requirements.txt
",
            "
FROM python:3.13
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \\
    pip install \\
    -r requirements.txt
",
        );
    }

    #[test]
    fn the_mount_that_is_named_is_the_one_that_is_left_unused() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    --mount=type=cache,target=/root/.cache/uv \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
    apt-get update && apt-get install -y python3 && uv pip install --no-cache flask==3.0.3
                                                                   ^^^^^^^^^^ warning: `--no-cache` leaves the cache mount of this command unused
",
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    --mount=type=cache,target=/root/.cache/uv \\
    apt-get update && apt-get install -y python3 && uv pip install flask==3.0.3
",
        );
    }

    #[test]
    fn the_mount_that_is_named_is_the_one_that_is_emptied() {
        check(
            &RULE,
            "
FROM python:3.13
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=cache,target=/root/.npm \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
    pip install -r requirements.txt && npm install -g a@1 && rm -rf /root/.npm/*
                                                             ^^^^^^^^^^^^^^^^^^^ warning: `rm -rf /root/.npm/*` empties the cache mount of this command
",
        );
    }

    #[test]
    fn cleanups_of_the_mount_go_and_others_stay() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
 && apt-get install -y git \\
 && rm -rf /var/lib/apt/lists/* /tmp/* \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `rm -rf /var/lib/apt/lists/* /tmp/*` empties the cache mount of this command
 && echo done
",
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update \\
 && apt-get install -y git \\
 && rm -rf /tmp/* \\
 && echo done
",
        );
    }

    #[test]
    fn a_cleanup_by_the_manager_goes() {
        check_fix(
            &RULE,
            "
FROM node:22
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci && npm cache clean --force
                                                   ^^^^^^^^^^^^^^^^^^^^^^^ warning: `npm cache clean --force` empties the cache mount of this command
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
RUN --mount=type=cache,target=/root/.npm set -eux; npm cache clean --force; npm ci
                                                   ^^^^^^^^^^^^^^^^^^^^^^^ warning: `npm cache clean --force` empties the cache mount of this command
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
#- package.json
{}
#- package-lock.json
{}
",
            "
FROM node:22
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
RUN --mount=type=cache,target=/root/.npm set -eux; npm ci
",
        );
    }

    #[test]
    fn two_hindrances_are_one_finding() {
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-cache-dir flask==3.1.0 && rm -rf ~/.cache/pip
                                                           ^^^^^^^^^^^^^^ warning: `--no-cache-dir` leaves the cache mount of this command unused
                                                                                          ^^^^^^^^^^^^^^^^^^^ note: this works against it as well
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
",
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0
",
        );
    }

    #[test]
    fn what_else_is_removed_is_kept() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0 && rm -rf /root/.cache
                                                                           ^^^^^^^^^^^^^^^^^^^ warning: `rm -rf /root/.cache` empties the cache mount of this command
                                                                           ^^^^^^^^^^^^^^^^^^^ note: no fix: this removes more than the cache
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
",
        );
    }

    #[test]
    fn a_cleanup_that_hides_a_failure_stays() {
        check_without_fix(
            &RULE,
            "
FROM node:22
RUN --mount=type=cache,target=/root/.npm npm install -g serve@14; npm cache clean --force
                                                                  ^^^^^^^^^^^^^^^^^^^^^^^ warning: `npm cache clean --force` empties the cache mount of this command
                                                                  ^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: this cannot be taken out of the list of commands
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
RUN --mount=type=cache,target=/root/.npm (npm install -g serve@14) && npm cache clean --force
                                                                      ^^^^^^^^^^^^^^^^^^^^^^^ warning: `npm cache clean --force` empties the cache mount of this command
                                                                      ^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: this cannot be taken out of the list of commands
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
",
        );
    }

    #[test]
    fn a_comment_is_not_lost() {
        check_without_fix(
            &RULE,
            "
FROM node:22
RUN --mount=type=cache,target=/root/.npm npm install -g serve@14 \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the cache is mounted here
    # Smaller.
    && npm cache clean --force
       ^^^^^^^^^^^^^^^^^^^^^^^ warning: `npm cache clean --force` empties the cache mount of this command
       ^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: a comment stands beside this
",
        );
    }

    #[test]
    fn a_variable_turns_the_cache_off() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
ENV PIP_NO_CACHE_DIR=1
^^^^^^^^^^^^^^^^^^^^^^ note: `PIP_NO_CACHE_DIR` is set here
RUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `PIP_NO_CACHE_DIR` leaves this cache mount unused
",
        );
    }

    #[test]
    fn docker_clean_is_told_once_for_a_stage() {
        check_unsafe_fix(
            &RULE,
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && apt-get install -y git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: `docker-clean` of the image empties this cache mount after every install
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `apt-get install` downloads all packages again
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && apt-get install -y curl
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: so it is here
",
            "
FROM debian:12.9
RUN rm -f /etc/apt/apt.conf.d/docker-clean && echo 'Binary::apt::APT::Keep-Downloaded-Packages \"true\";' > /etc/apt/apt.conf.d/keep-cache
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && apt-get install -y git
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && apt-get install -y curl
",
        );
    }

    #[test]
    fn where_docker_clean_is_seen_to_or_not_there_is_silent() {
        const RUN: &str = "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && apt-get install -y git\n";
        for above in [
            "FROM debian:12.9\nRUN rm -f /etc/apt/apt.conf.d/docker-clean\n",
            "FROM debian:12.9 AS a\nRUN rm -f /etc/apt/apt.conf.d/docker-clean\nFROM a\n",
            "FROM debian:12.9\nCOPY apt.conf /etc/apt/apt.conf.d/\n",
            "FROM debian:12.9\nENV APT_CONFIG=/x\n",
            "FROM registry.example/base:1\n",
            "FROM node:22-alpine\n",
        ] {
            check(&RULE, &format!("{above}{RUN}"));
        }
        check(
            &RULE,
            "FROM debian:12.9\nRUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=bind,from=e,source=/e,target=/etc/apt/apt.conf.d/docker-clean apt-get update && apt-get install -y git\n",
        );
        check(&RULE, "FROM debian:12.9\nRUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update && apt-get install -y git\n");
    }

    #[test]
    fn what_does_not_concern_the_mount_is_silent() {
        for run in [
            "--mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0 && rm -rf /tmp/x",
            "--mount=type=cache,target=/root/.npm pip install --no-cache-dir flask==3.1.0",
            "--mount=type=cache,target=/root/.cache/pip apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*",
            "--mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update && apt-get install -y git && apt-get clean",
            "--mount=type=bind,target=/root/.cache/pip pip install --no-cache-dir flask==3.1.0",
            "--mount=type=cache,target=/root/.nuget/packages dotnet publish --no-cache a.csproj",
            "--mount=type=cache,target=/root/.cache/uv uv pip install flask==3.1.0 && uv cache prune",
            "--mount=type=cache,target=/go/pkg/mod go build ./... && go clean -testcache",
            "pip install --no-cache-dir flask==3.1.0 && rm -rf /root/.cache/pip",
            "--mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0 && rm -rf $HOME_OF_NOBODY/*",
            "--mount=type=cache,target=/root/.cache/pip rm -rf node_modules && pip install flask==3.1.0",
        ] {
            check(&RULE, &format!("FROM python:3.13\nRUN {run}\n"));
        }
        check(&RULE, "FROM python:3.13\nENV PIP_NO_CACHE_DIR=0\nRUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0\n");
    }

    /// A real build had the cache in the image with the flag or the cleanup gone.
    #[test]
    fn a_mount_beside_the_cache_is_not_what_the_flag_works_against() {
        let mount = "--mount=type=cache,target=/root/.cache/pip";
        for run in ["pip install --no-cache-dir flask==3.1.0", "pip install flask==3.1.0 && pip cache purge"] {
            check(&RULE, &format!("FROM python:3.13\nRUN adduser --uid 1001 --gid 1001 app\nUSER app\nRUN {mount} {run}\n"));
            check(&RULE, &format!("FROM python:3.13\nENV PIP_CACHE_DIR=/var/cache/pip\nRUN {mount} {run}\n"));
        }
    }
}
