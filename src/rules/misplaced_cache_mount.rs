use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::caches::{Account, CacheFolder, CacheMount, downloads};
use crate::dockerfile::mounts::{cache_id, is_cache_of};
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Kind, Run};
use crate::ecosystem::{self, Manager};
use crate::facts::{self, is_below};
use crate::view::DockerfileView;

declare_rule! {
    /// A cache mount stands where the command does not look for it, or belongs to another user.
    ///
    /// Package managers keep their cache in the home of the user that runs them, or where a variable
    /// says. A mount anywhere else stays empty, and the downloads end up in the image. A mount
    /// without `uid` belongs to root: another user cannot write to it, so that the command fails, or
    /// does without a cache.
    ///
    /// ```dockerfile,bad
    /// FROM node:22.11-slim
    /// USER node
    /// WORKDIR /home/node/app
    /// COPY package.json package-lock.json ./
    /// RUN --mount=type=cache,target=/root/.npm npm ci
    /// #- package.json
    /// {}
    /// #- package-lock.json
    /// {}
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM node:22.11-slim
    /// USER node
    /// WORKDIR /home/node/app
    /// COPY package.json package-lock.json ./
    /// RUN --mount=type=cache,target=/home/node/.npm,uid=1000,gid=1000 npm ci
    /// ```
    ///
    /// Silent where user, home or the place of the cache are not known, and where a cache that
    /// root fills is only read by another user.
    ///
    /// ```dockerfile,good
    /// FROM registry.example.com/node:22
    /// RUN --mount=type=cache,target=/home/app/.npm npm ci
    /// ```
    ///
    /// ## Fix safety
    ///
    /// A mount moves if all commands are known and no later instruction takes anything from the
    /// cache, which is then no longer in the image; the title says so. It gets an owner if the
    /// number of the user is known: `USER` says it, an earlier `useradd` does, or the image is known.
    pub(crate) static MISPLACED_CACHE_MOUNT = {
        name: "misplaced-cache-mount",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let mounts = plan.cache_mounts(index, run);
            if mounts.is_empty() || changes_user(run) {
                continue;
            }
            if !report_place(view, plan, index, &mounts, findings) && !report_home(plan, index, &mounts, findings) {
                report_owner(view, plan, index, &mounts, findings);
            }
        }
    }
}

fn changes_user(run: &Run) -> bool {
    run.script.commands.iter().any(|it| {
        it.words.first().is_some_and(|it| matches!(facts::name(&it.text), "sudo" | "doas" | "gosu" | "su-exec" | "su" | "runuser" | "setpriv" | "chroot"))
    })
}

/// A mount that is not where its manager keeps its cache; whether there is one.
fn report_place(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, mounts: &[CacheMount<'_>], findings: &mut Findings<'_>) -> bool {
    let Some((install, mount, folder)) = plan.steps[index].installs.iter().find_map(|it| misplaced(plan, index, it, mounts)) else { return false };
    let target = mount.target.as_deref().unwrap_or_default();
    let message = format!("`{}` has its cache in `{}`, so that this mount at `{target}` stays empty", install.display, folder.path);
    let mut finding = findings.report(mount.flag.span, message);
    if let Some(user) = user_instruction(plan, index) {
        finding = finding.note(user, "this decides whose home it is");
    }
    drop(match view.prove(plan.stage, |it| it.move_mount(&view.source, index, mount, &folder)) {
        Ok(proven) => finding.fix(view.mounting("Mount the cache where it is", proven)),
        Err(refusal) => finding.refused(&refusal),
    });
    true
}

/// A mount that is meant for the command's manager, and the folder that it misses.
fn misplaced<'p>(
    plan: &Plan<'_>,
    index: usize,
    install: &'p ecosystem::Step,
    mounts: &'p [CacheMount<'p>],
) -> Option<(&'p ecosystem::Step, &'p CacheMount<'p>, CacheFolder)> {
    let system = matches!(install.manager, Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper);
    if system || !downloads(install) {
        return None;
    }
    let folders = plan.cache_folders(index, install)?;
    let target = |it: &CacheMount<'_>| it.target.clone().unwrap_or_default();
    let serves = |mount: &CacheMount<'_>, folder: &CacheFolder| is_below(&folder.path, &target(mount)) || is_below(&target(mount), &folder.path);
    // A mount for one of several folders may lie beside the others.
    let is_astray = |mount: &&CacheMount<'_>| {
        mount.target.is_some()
            && is_cache_of(install.manager, &target(mount))
            && !folders.iter().any(|it| serves(mount, it) || is_below(&target(mount), facts::parent(&it.path)))
    };
    let mount = mounts.iter().find(is_astray)?;
    let alike = folders.iter().find(|it| facts::name(&it.path) == facts::name(&target(mount)));
    let folder = alike.or(folders.first())?.clone();
    let is_served = mounts.iter().any(|it| serves(it, &folder));
    (!is_served).then_some((install, mount, folder))
}

/// A mount in the home of root for a user whose home is not known, but is surely another; whether
/// there is one.
fn report_home(plan: &Plan<'_>, index: usize, mounts: &[CacheMount<'_>], findings: &mut Findings<'_>) -> bool {
    let Some(account) = plan.account(index).filter(|it| !it.root) else { return false };
    let home_set = plan.steps[index].state.variables.contains_key("HOME");
    let Some(mount) = mounts.iter().find(|it| it.target.as_deref().is_some_and(|it| it.starts_with("/root/"))) else { return false };
    if home_set || account.home.as_deref().is_some_and(|it| is_below("/root", it)) {
        return false;
    }
    let finding = findings.report(mount.flag.span, format!("this cache mount is in the home of root, and the command runs as {}", shown(&account)));
    drop(match user_instruction(plan, index) {
        Some(user) => finding.note(user, "the user is set here"),
        None => finding,
    });
    true
}

/// Mounts that the user cannot write to.
fn report_owner(view: &DockerfileView<'_>, plan: &Plan<'_>, index: usize, mounts: &[CacheMount<'_>], findings: &mut Findings<'_>) {
    let Some(account) = plan.account(index).filter(|it| !it.root) else { return };
    let theirs = |it: &&CacheMount<'_>| {
        let owned = ["uid", "mode", "from"].iter().any(|name| it.mount.get(name).is_some());
        !owned && !it.mount.has("readonly") && !it.mount.has("ro") && !is_shared_with_others(plan, index, it)
    };
    let unowned: Vec<CacheMount<'_>> = mounts.iter().filter(theirs).cloned().collect();
    let Some(first) = unowned.first() else { return };
    let message = format!("this cache mount belongs to root, and the command runs as {}, who cannot write to it", shown(&account));
    let mut finding = findings.report(first.flag.span, message);
    for other in &unowned[1..] {
        finding = finding.note(other.flag.span, "this one as well");
    }
    if let Some(user) = user_instruction(plan, index) {
        finding = finding.note(user, "the user is set here");
    }
    drop(match view.prove(plan.stage, |it| it.own_mounts(&view.source, index, &unowned)) {
        Ok(proven) => finding.fix(view.mounting(&format!("Give the cache mount to {}", shown(&account)), proven)),
        Err(refusal) => finding.refused(&refusal),
    });
}

/// Whether another command of the file uses the same cache: then it may be filled for this one.
fn is_shared_with_others(plan: &Plan<'_>, index: usize, mount: &CacheMount<'_>) -> bool {
    let id = cache_id(mount);
    let own = plan.steps[index].instruction.span;
    let others = plan.dockerfile.instructions().filter(|(_, it)| it.span != own).filter_map(|(_, it)| match &it.kind {
        Kind::Run(run) => Some(&run.mounts),
        _ => None,
    });
    others.flatten().any(|it| it.kind() == "cache" && it.get("id").or(it.target()).is_some_and(|it| it == id))
}

fn shown(account: &Account) -> String {
    format!("`{}`", account.name)
}

fn user_instruction(plan: &Plan<'_>, index: usize) -> Option<crate::edit::Span> {
    plan.steps[..index].iter().rev().find(|it| matches!(it.instruction.kind, Kind::User(_))).map(|it| it.instruction.span)
}

#[cfg(test)]
mod tests {
    use super::MISPLACED_CACHE_MOUNT as RULE;
    use crate::rules::testing::{check, check_fix, check_without_fix};

    #[test]
    fn a_mount_goes_to_the_home_of_the_user() {
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN adduser --uid 1001 --gid 1001 app
USER app
^^^^^^^^ note: this decides whose home it is
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-cache-dir flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `pip install` has its cache in `/home/app/.cache/pip`, so that this mount at `/root/.cache/pip` stays empty
",
            "
FROM python:3.13
RUN adduser --uid 1001 --gid 1001 app
USER app
RUN --mount=type=cache,target=/home/app/.cache/pip,uid=1001,gid=1001 pip install flask==3.1.0
",
        );
    }

    #[test]
    fn a_variable_says_where_the_cache_is() {
        check_fix(
            &RULE,
            "
FROM python:3.13
ENV PIP_CACHE_DIR=/var/cache/pip
RUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `pip install` has its cache in `/var/cache/pip`, so that this mount at `/root/.cache/pip` stays empty
",
            "
FROM python:3.13
ENV PIP_CACHE_DIR=/var/cache/pip
RUN --mount=type=cache,target=/var/cache/pip pip install flask==3.1.0
",
        );
    }

    #[test]
    fn the_last_of_several_targets_counts() {
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip,dst=~/.cache/pip pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `pip install` has its cache in `/root/.cache/pip`, so that this mount at `/~/.cache/pip` stays empty
",
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip,dst=/root/.cache/pip pip install flask==3.1.0
",
        );
    }

    #[test]
    fn nobody_expands_a_tilde_or_a_home_that_is_not_set() {
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN --mount=type=cache,target=~/.cache/pip pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `pip install` has its cache in `/root/.cache/pip`, so that this mount at `/~/.cache/pip` stays empty
RUN --mount=type=cache,target=$HOME/.cache/uv uv pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `uv pip install` has its cache in `/root/.cache/uv`, so that this mount at `/.cache/uv` stays empty
",
            "
FROM python:3.13
RUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0
RUN --mount=type=cache,target=/root/.cache/uv uv pip install flask==3.1.0
",
        );
    }

    #[test]
    fn the_official_images_have_homes_of_their_own_for_tools() {
        check_fix(
            &RULE,
            "
FROM rust:1.83 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cargo/registry cargo build --release
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `cargo build` has its cache in `/usr/local/cargo/registry`, so that this mount at `/root/.cargo/registry` stays empty
FROM debian:12.9
COPY --from=build /src/target/release/app /app
",
            "
FROM rust:1.83 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo build --release
FROM debian:12.9
COPY --from=build /src/target/release/app /app
",
        );
        check_without_fix(
            &RULE,
            "
FROM golang:1.23
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/go/pkg/mod go build ./...
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `go build` has its cache in `/go/pkg/mod`, so that this mount at `/root/go/pkg/mod` stays empty
RUN go test ./...
^^^^^^^^^^^^^^^^^ note: no fix: this takes the packages from `/go/pkg/mod`
",
        );
    }

    #[test]
    fn root_with_yarn_one_has_a_cache_elsewhere() {
        check_fix(
            &RULE,
            "
FROM node:22
WORKDIR /app
COPY package.json yarn.lock ./
RUN --mount=type=cache,target=/root/.cache/yarn,sharing=locked yarn install --frozen-lockfile
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `yarn install` has its cache in `/usr/local/share/.cache/yarn`, so that this mount at `/root/.cache/yarn` stays empty
#- package.json
{}
#- yarn.lock
",
            "
FROM node:22
WORKDIR /app
COPY package.json yarn.lock ./
RUN --mount=type=cache,target=/usr/local/share/.cache/yarn,sharing=locked yarn install --frozen-lockfile
",
        );
    }

    #[test]
    fn a_mount_of_another_user_gets_an_owner() {
        check_fix(
            &RULE,
            "
FROM python:3.13
USER 1000
^^^^^^^^^ note: the user is set here
RUN --mount=type=cache,target=/home/app/.cache/pip \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this cache mount belongs to root, and the command runs as `1000`, who cannot write to it
    --mount=type=cache,target=/home/app/.cache/uv \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this one as well
    pip install -r r.txt
",
            "
FROM python:3.13
USER 1000
RUN --mount=type=cache,target=/home/app/.cache/pip,uid=1000,gid=1000 \\
    --mount=type=cache,target=/home/app/.cache/uv,uid=1000,gid=1000 \\
    pip install -r r.txt
",
        );
        check_without_fix(
            &RULE,
            "
FROM registry.example.com/base:1
USER app
^^^^^^^^ note: the user is set here
RUN --mount=type=cache,target=/home/app/.npm npm ci
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no fix: the number of the user `app` is not known
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this cache mount belongs to root, and the command runs as `app`, who cannot write to it
",
        );
    }

    #[test]
    fn the_home_of_root_is_no_place_for_another() {
        check_without_fix(
            &RULE,
            "
FROM registry.example.com/base:1
USER app
^^^^^^^^ note: the user is set here
RUN --mount=type=cache,target=/root/.npm,mode=0777 npm ci
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this cache mount is in the home of root, and the command runs as `app`
",
        );
    }

    #[test]
    fn what_fits_or_is_not_known_is_silent() {
        for text in [
            "FROM python:3.13\nRUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0\n",
            "FROM python:3.13\nRUN --mount=type=cache,target=/root/.cache pip install flask==3.1.0\n",
            "FROM python:3.13\nRUN --mount=type=cache,target=/root/.cache/pip/http pip install flask==3.1.0\n",
            "FROM python:3.13\nUSER 1000\nRUN --mount=type=cache,target=/tmp/pip,mode=0777 pip install --cache-dir /tmp/pip flask==3.1.0\n",
            "FROM python:3.13\nENV HOME=/root\nUSER 1000\nRUN --mount=type=cache,target=/root/.cache/pip,uid=1000 pip install flask==3.1.0\n",
            "FROM python:3.13\nUSER 1000\nRUN --mount=type=cache,target=/root/.cache/pip sudo pip install flask==3.1.0\n",
            "FROM python:3.13\nARG WHO\nUSER $WHO\nRUN --mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0\n",
            "FROM registry.example.com/base:1\nRUN --mount=type=cache,target=/home/app/.cache/pip pip install flask==3.1.0\n",
            "FROM registry.example.com/base:1\nUSER root\nRUN --mount=type=cache,target=/home/app/.cache/pip pip install flask==3.1.0\n",
            "FROM python:3.13\nRUN --mount=type=cache,target=/home/app/data make\n",
            "FROM node:22\nRUN pnpm config set store-dir /pnpm/store\nRUN --mount=type=cache,target=/pnpm/store pnpm install --frozen-lockfile\n",
            "FROM node:22\nENV PNPM_HOME=/pnpm\nRUN --mount=type=cache,id=pnpm,target=/pnpm/store pnpm install --frozen-lockfile\n",
            "FROM golang:1.23\nRUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build go build ./...\n",
            "FROM rust:1.83\nRUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/usr/local/cargo/git cargo build\n",
            "FROM rust:1.83\nENV CARGO_HOME=/c\nRUN --mount=type=cache,target=/c/registry cargo build\n",
            "FROM node:22\nCOPY package.json .yarnrc.yml ./\nRUN --mount=type=cache,target=/root/.yarn/berry/cache yarn install --immutable\n#- package.json\n{}\n#- .yarnrc.yml\n",
        ] {
            check(&RULE, text);
        }
    }

    #[test]
    fn a_cache_that_root_fills_may_be_read_by_others() {
        check(
            &RULE,
            "FROM python:3.13\nRUN --mount=type=cache,target=/opt/models ./fetch.sh\nUSER 1000\nRUN --mount=type=cache,target=/opt/models cp /opt/models/a /home/a\n",
        );
    }
}
