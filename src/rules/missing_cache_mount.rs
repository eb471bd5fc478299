use super::{Check, Findings, declare_rule};
use crate::config::Builder as Profile;
use crate::diagnostic::Level;
use crate::dockerfile::caches::{CacheFolder, Keeps, downloads};
use crate::dockerfile::mounts::is_offline;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Frontend, Kind};
use crate::ecosystem::{self, Action, Manager};
use crate::view::{Caller, DockerfileView};
use crate::workflow::{Builder, RunnerKind};

declare_rule! {
    /// A package manager downloads everything again whenever its instruction runs.
    ///
    /// A layer is kept or lost as a whole: one new dependency, and all of them are downloaded again. A
    /// cache mount keeps what the package manager has downloaded, for this and for all other builds
    /// of the same builder, and keeps it out of the image.
    ///
    /// ```dockerfile,bad
    /// FROM python:3.13-slim
    /// COPY requirements.txt .
    /// RUN pip install --no-cache-dir -r requirements.txt
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM python:3.13-slim
    /// COPY requirements.txt .
    /// RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt
    /// ```
    ///
    /// A cache mount lives in the builder: on a hosted runner that is new for every job it is empty,
    /// unless something restores it. Where a builder is known to keep its state the finding is an
    /// `info`.
    ///
    /// Silent where the folder of the cache is not known: with a base image that may have another
    /// user or home, a variable or a setting that moves the cache, or Yarn 2 and later, whose cache
    /// may be a part of the project. Silent for managers of which nothing would be kept (apk, dnf,
    /// zypper), and for builders that know no cache mounts (the classic one, kaniko).
    ///
    /// ```dockerfile,good
    /// FROM registry.example.com/base:1.4
    /// COPY requirements.txt .
    /// RUN pip install -r requirements.txt
    /// ```
    ///
    /// ## Fix safety
    ///
    /// What the package manager has cached is no longer in the image: the title names the folders that
    /// differ. Nothing else changes. Flags that turn the cache off and cleanups of it are taken away with it. The
    /// fix is safe if all commands are known, and no later instruction takes anything from the
    /// cache: another install without network, a `COPY --from`, or, for managers that use packages
    /// where they are downloaded to (Go, Cargo, Maven, Gradle, NuGet), any later command.
    pub(crate) static MISSING_CACHE_MOUNT = {
        name: "missing-cache-mount",
        level: Level::Hint,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// Every proof looks through the whole file; no real file has more commands that want one.
const MAX_PROVEN: usize = 100;

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if !knows_mounts(view, findings) {
        return;
    }
    let state = State::of(view);
    let mut proofs = 0;
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            // What a mount is missing beside others is for the rules on mounts.
            if run.mounts.iter().any(|it| matches!(it.kind(), "cache" | "tmpfs")) {
                continue;
            }
            let wanted: Vec<(&ecosystem::Step, Vec<CacheFolder>)> =
                step.downloading().filter(|it| is_worth_it(plan, index, step, it)).filter_map(|it| Some((it, plan.cache_folders(index, it)?))).collect();
            let Some((first, _)) = wanted.first() else { continue };
            if wanted.iter().flat_map(|it| &it.1).any(|it| plan.is_occupied(index, run, it)) {
                continue;
            }
            let mut folders: Vec<CacheFolder> = Vec::new();
            for folder in wanted.iter().flat_map(|it| &it.1) {
                if !folders.contains(folder) {
                    folders.push(folder.clone());
                }
            }
            let span = if run.shell_form { run.command.span(first.span) } else { step.instruction.span };
            let mut finding = findings.report(span, message(first)).level(state.level());
            if let State::Empty(caller) = &state {
                finding = finding.note_in(caller.path.clone(), caller.build.build.span, "here the mount is empty: the runner is new for every job");
            }
            proofs += 1;
            if proofs > MAX_PROVEN {
                continue;
            }
            drop(match view.prove(plan.stage, |it| it.mount_caches(&view.source, index, &folders)) {
                Ok(proven) => finding.fix(view.mounting(&title(&wanted), proven)),
                Err(refusal) => {
                    finding.unproven(&refusal).maybe_fix(|| Some(view.suggestion(title(&wanted), plan.suggest_mounts(&view.source, index, &folders)?)))
                }
            });
        }
    }
}

/// Whether the builder and the front end know cache mounts: since 1.2 of the latter (docs/facts.md A.3,
/// "Parser directives").
fn knows_mounts(view: &DockerfileView<'_>, findings: &Findings<'_>) -> bool {
    let old = |tag: &str| tag.split(['-', '.']).take(2).collect::<Vec<_>>() == ["1", "0"] || tag.starts_with("1.1");
    let front_end = match &view.dockerfile.frontend {
        Frontend::Builtin => true,
        Frontend::Docker(tag) => !old(tag) || tag.starts_with("1.1") && tag.as_bytes().get(3).is_some_and(u8::is_ascii_digit),
        Frontend::Foreign => false,
    };
    front_end && matches!(findings.config().builder(), Profile::Buildkit | Profile::Buildah)
}

fn message(step: &ecosystem::Step) -> String {
    match step.action {
        Action::InstallSystem | Action::UpdateIndex => format!("`{}` fetches the whole index again whenever this runs: no cache mount keeps it", step.display),
        _ => format!("`{}` downloads everything again whenever this runs: no cache mount keeps it", step.display),
    }
}

fn title(wanted: &[(&ecosystem::Step, Vec<CacheFolder>)]) -> String {
    let mut names: Vec<&str> = wanted.iter().map(|it| ecosystem::ecosystem(it.0.manager).name).collect();
    names.dedup();
    format!("Mount the cache of {}", names.join(" and "))
}

/// Whether a mount would keep something worth keeping that is not kept otherwise.
fn is_worth_it(plan: &Plan<'_>, index: usize, step: &Step<'_>, install: &ecosystem::Step) -> bool {
    /// The managers themselves are small, and installed before all else.
    const SMALL: &[&str] = &["pip", "setuptools", "wheel", "uv", "pipenv", "virtualenv", "npm", "yarn", "pnpm", "corepack"];
    let is_small = |it: &crate::shell::Word| SMALL.contains(&it.text.split(['=', '<', '>', '~', '@']).next().unwrap_or(""));
    match install.manager {
        // With an update of its own the index is fetched for it; without, there is another rule.
        Manager::Apt => {
            let has = |action: Action| step.installs.iter().any(|it| it.manager == Manager::Apt && it.action == action);
            install.action == Action::UpdateIndex && has(Action::InstallSystem)
        }
        _ if install.action == Action::InstallNamed && install.operands.iter().all(is_small) => false,
        _ if plan.disabling_variable(index, install).is_some() || plan.words(index, install).any(|it| is_offline(&it.text)) => false,
        // What an earlier command has fetched is in the image, and the finding is there.
        manager => {
            let stores = plan.cache_folders(index, install).is_some_and(|it| it.iter().any(|it| it.keeps == Keeps::Packages));
            let before = |it: &ecosystem::Step| it.manager == manager && downloads(it);
            !(stores && plan.steps[..index].iter().any(|it| it.installs.iter().any(before)))
        }
    }
}

/// What becomes of cache mounts between builds.
enum State<'v, 'a> {
    /// A builder is known to keep them.
    Kept,
    /// All known builds run on machines that are new for every job: the first of them.
    Empty(&'v Caller<'a>),
    /// Not known.
    Unknown,
}

impl<'v, 'a> State<'v, 'a> {
    fn of(view: &'v DockerfileView<'a>) -> State<'v, 'a> {
        let steps = || view.callers.iter().filter_map(|it| Some((it, it.build.step?)));
        let restores = |workflow_job: &crate::workflow::Job| workflow_job.steps.iter().any(|it| it.runs("reproducible-containers/buildkit-cache-dance"));
        let is_kept = |job: &crate::workflow::Job, build| {
            let own_machine = job.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::SelfHosted);
            own_machine || matches!(job.builder(build), Builder::Persistent(_)) || restores(job)
        };
        let is_new = |job: &crate::workflow::Job, build| {
            let hosted = job.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::Hosted);
            hosted && !matches!(job.builder(build), Builder::Persistent(_) | Builder::Unknown)
        };
        if steps().any(|(_, (_, job, build))| is_kept(job, build)) {
            return State::Kept;
        }
        match view.callers.first() {
            Some(first) if view.callers.iter().all(|it| it.build.step.is_some_and(|(_, job, build)| is_new(job, build))) => State::Empty(first),
            _ => State::Unknown,
        }
    }

    fn level(&self) -> Level {
        if matches!(self, State::Kept) { Level::Info } else { Level::Hint }
    }
}

#[cfg(test)]
mod tests {
    use super::MISSING_CACHE_MOUNT as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_unsafe_fix, check_without_fix, marked, titles};

    #[test]
    fn a_cache_goes_to_the_mount() {
        let before = "
FROM node:22
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
    ^^^^^^ hint: `npm ci` downloads everything again whenever this runs: no cache mount keeps it
#- package.json
{}
#- package-lock.json
{}
";
        check_fix(
            &RULE,
            before,
            "
FROM node:22
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
",
        );
    }

    #[test]
    fn the_title_says_what_is_another_in_the_image() {
        let title = |run: &str| titles(&RULE, &format!("FROM python:3.13\nRUN {run}\n")).join("|");
        assert_eq!(title("pip install flask==3.1.0"), "Mount the cache of pip; in the image only `/root/.cache/pip` differs");
        assert_eq!(title("pip install --no-cache-dir flask==3.1.0"), "Mount the cache of pip");
        assert_eq!(title("apt-get update && apt-get install -y git"), "Mount the cache of apt; in the image only `/var/lib/apt/lists` differs");
        assert_eq!(
            title("pip install flask==3.1.0 && uv pip install flask==3.1.0"),
            "Mount the cache of pip and uv; in the image only `/root/.cache/pip` and `/root/.cache/uv` differ"
        );
    }

    #[test]
    fn another_user_has_another_home_and_owns_the_mount() {
        check_fix(
            &RULE,
            "
FROM node:22
USER node
RUN npm install -g serve@14
    ^^^^^^^^^^^^^^^^^^^^^^^ hint: `npm install` downloads everything again whenever this runs: no cache mount keeps it
",
            "
FROM node:22
USER node
RUN --mount=type=cache,target=/home/node/.npm,uid=1000,gid=1000 npm install -g serve@14
",
        );
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN groupadd -g 999 app && useradd -u 1001 -g 999 -m app
USER app
RUN pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
",
            "
FROM python:3.13
RUN groupadd -g 999 app && useradd -u 1001 -g 999 -m app
USER app
RUN --mount=type=cache,target=/home/app/.cache/pip,uid=1001,gid=999 pip install flask==3.1.0
",
        );
    }

    #[test]
    fn a_user_without_a_known_number_gets_no_mount() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
RUN useradd -m app
USER app
RUN pip install flask==3.1.0
^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: the number of the user `app` is not known
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
",
        );
    }

    #[test]
    fn variables_move_the_cache() {
        check_fix(
            &RULE,
            "
FROM python:3.13
ENV UV_CACHE_DIR=/opt/uv
COPY pyproject.toml uv.lock ./
RUN uv sync --locked --no-install-project
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ hint: `uv sync` downloads everything again whenever this runs: no cache mount keeps it
",
            "
FROM python:3.13
ENV UV_CACHE_DIR=/opt/uv
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/opt/uv uv sync --locked --no-install-project
",
        );
    }

    #[test]
    fn the_index_of_apt_is_cleaned_up_no_more() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update \\
    ^^^^^^^^^^^^^^ hint: `apt-get update` fetches the whole index again whenever this runs: no cache mount keeps it
    && apt-get install -y git \\
    && rm -rf /var/lib/apt/lists/*
RUN ./setup.sh
",
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update \\
    && apt-get install -y git
RUN ./setup.sh
",
        );
    }

    #[test]
    fn another_word_for_the_cleanup_and_a_heredoc_are_understood() {
        check_fix(
            &RULE,
            "
FROM debian:13.1
RUN <<EOF
set -e
apt-get update
^^^^^^^^^^^^^^ hint: `apt-get update` fetches the whole index again whenever this runs: no cache mount keeps it
apt-get install -y git
apt-get dist-clean
EOF
RUN ./setup.sh
",
            "
FROM debian:13.1
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked <<EOF
set -e
apt-get update
apt-get install -y git
EOF
RUN ./setup.sh
",
        );
    }

    #[test]
    fn a_program_is_no_path() {
        check_fix(
            &RULE,
            "
FROM node:22
ENV PNPM_HOME=/pnpm
RUN corepack enable && pnpm add -g serve@14
                       ^^^^^^^^^^^^^^^^^^^^ hint: `pnpm add` downloads everything again whenever this runs: no cache mount keeps it
",
            "
FROM node:22
ENV PNPM_HOME=/pnpm
RUN --mount=type=cache,target=/pnpm/store corepack enable && pnpm add -g serve@14
",
        );
    }

    #[test]
    fn two_managers_get_two_mounts() {
        check_fix(
            &RULE,
            "
FROM python:3.13
RUN apt-get update && apt-get install -y git && pip install flask==3.1.0
    ^^^^^^^^^^^^^^ hint: `apt-get update` fetches the whole index again whenever this runs: no cache mount keeps it
",
            "
FROM python:3.13
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked --mount=type=cache,target=/root/.cache/pip apt-get update && apt-get install -y git && pip install flask==3.1.0
",
        );
    }

    #[test]
    fn an_install_that_relies_on_the_index_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
    ^^^^^^^^^^^^^^ hint: `apt-get update` fetches the whole index again whenever this runs: no cache mount keeps it
RUN apt-get install -y curl
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this relies on the index in `/var/lib/apt/lists`
",
        );
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git
    ^^^^^^^^^^^^^^ hint: `apt-get update` fetches the whole index again whenever this runs: no cache mount keeps it
RUN ./setup.sh
^^^^^^^^^^^^^^ note: no safe fix: this may read `/var/lib/apt/lists`
",
        );
    }

    #[test]
    fn packages_that_are_used_where_they_are_stay_in_the_image() {
        check_without_fix(
            &RULE,
            "
FROM golang:1.23
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
    ^^^^^^^^^^^^^^^ hint: `go mod download` downloads everything again whenever this runs: no cache mount keeps it
COPY . .
RUN go build ./...
^^^^^^^^^^^^^^^^^^ note: no safe fix: this takes the packages from `/go/pkg/mod`
",
        );
        check_without_fix(
            &RULE,
            "
FROM mcr.microsoft.com/dotnet/sdk:9.0
WORKDIR /src
COPY a.csproj .
RUN dotnet restore
    ^^^^^^^^^^^^^^ hint: `dotnet restore` downloads everything again whenever this runs: no cache mount keeps it
COPY . .
RUN dotnet publish --no-restore
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this takes the packages from `/root/.nuget/packages`
",
        );
    }

    #[test]
    fn a_build_whose_result_alone_is_copied_gets_its_mounts() {
        check_fix(
            &RULE,
            "
FROM golang:1.23 AS build
WORKDIR /src
COPY . .
RUN go build -o /app
    ^^^^^^^^^^^^^^^^ hint: `go build` downloads everything again whenever this runs: no cache mount keeps it
FROM scratch
COPY --from=build /app /app
",
            "
FROM golang:1.23 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build go build -o /app
FROM scratch
COPY --from=build /app /app
",
        );
    }

    #[test]
    fn a_stage_that_copies_the_cache_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13 AS a
RUN pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
FROM python:3.13
COPY --from=a /root /root
^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this takes `/root` from the stage, with what is in `/root/.cache/pip`
",
        );
    }

    #[test]
    fn a_later_install_from_what_is_there_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
RUN pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
RUN pip install --no-index --find-links /x wheel
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this may install from what is cached
",
        );
    }

    #[test]
    fn a_command_that_is_not_known_makes_it_a_suggestion() {
        check_unsafe_fix(
            &RULE,
            "
FROM python:3.13
COPY requirements.txt build.sh ./
RUN pip install -r requirements.txt && ./build.sh
                                       ^^^^^^^^^^ note: no safe fix: `./build.sh` may do anything with the cache
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install -r requirements.txt` downloads everything again whenever this runs: no cache mount keeps it
",
            "
FROM python:3.13
COPY requirements.txt build.sh ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt && ./build.sh
",
        );
    }

    #[test]
    fn a_removal_of_the_folder_above_would_fail() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
RUN pip install flask==3.1.0 && rm -rf /root/.cache
                                ^^^^^^^^^^^^^^^^^^^ note: no safe fix: this removes more than the cache
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
",
        );
    }

    #[test]
    fn a_copy_to_the_folder_stands_in_the_way() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
COPY wheels /root/.cache/pip
^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this may copy files to `/root/.cache/pip`, which a mount hides
RUN pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
",
        );
    }

    #[test]
    fn a_hosted_runner_starts_with_an_empty_mount() {
        let workflow = marked(&build_step("context: ."), "docker/build-push-action@v7", "note: here the mount is empty: the runner is new for every job");
        let dockerfile = "#- Dockerfile
FROM python:3.13
RUN pip install flask==3.1.0
    ^^^^^^^^^^^^^^^^^^^^^^^^ hint: `pip install` downloads everything again whenever this runs: no cache mount keeps it
";
        check(&RULE, &format!("{workflow}{dockerfile}"));
        let own_machine = build_step("context: .").replace("ubuntu-latest", "[self-hosted, linux]");
        check(&RULE, &format!("{own_machine}{}", dockerfile.replace("hint:", "info:")));
    }

    #[test]
    fn where_the_cache_is_not_known_is_silent() {
        for text in [
            "FROM registry.example.com/base:1\nRUN pip install flask==3.1.0\n",
            "FROM python:3.13\nARG HOME\nRUN pip install flask==3.1.0\n",
            "FROM python:3.13\nENV PIP_NO_CACHE_DIR=1\nRUN pip install flask==3.1.0\n",
            "FROM python:3.13\nARG WHO\nUSER $WHO\nRUN pip install flask==3.1.0\n",
            "FROM python:3.13\nRUN sudo pip install flask==3.1.0\n",
            "FROM python:3.13\nRUN pip install --cache-dir /x flask==3.1.0\n",
            "FROM node:22\nRUN npm config set cache /x\nRUN npm install -g serve@14\n",
            "FROM ubuntu:24.04\nRUN go build ./...\n",
            "FROM ubuntu:24.04\nRUN cargo build --release\n",
            "FROM ruby:3.3\nRUN bundle install\n",
            "FROM alpine:3.20\nRUN apk add --no-cache git\n",
            "FROM fedora:41\nRUN dnf install -y git\n",
            "# syntax=example.com/front:1\nFROM python:3.13\nRUN pip install flask==3.1.0\n",
            "# syntax=docker/dockerfile:1.0\nFROM python:3.13\nRUN pip install flask==3.1.0\n",
            "FROM node:22\nWORKDIR /a\nCOPY package.json yarn.lock .yarnrc.yml ./\nRUN yarn install --immutable\n#- package.json\n{}\n#- yarn.lock\n#- .yarnrc.yml\n",
            "FROM node:22\nWORKDIR /a\nCOPY . .\nRUN npm ci\n#- package.json\n{}\n#- package-lock.json\n{}\n#- .npmrc\ncache=/x\n",
        ] {
            check(&RULE, text);
        }
    }

    /// Real uv: without the cache, all that was installed is gone.
    #[test]
    fn packages_that_are_links_to_the_cache_stay_in_the_image() {
        let uv = "FROM python:3.13\nCOPY --from=ghcr.io/astral-sh/uv:0.9.22 /uv /bin/uv\n";
        for text in [
            format!("{uv}ENV UV_LINK_MODE=symlink\nRUN uv pip install --system flask==3.0\n"),
            format!("{uv}RUN UV_LINK_MODE=symlink uv pip install --system flask==3.0\n"),
            format!("{uv}RUN uv pip install --system --link-mode symlink flask==3.0\n"),
            format!("{uv}RUN uv pip install --system --link-mode=symlink flask==3.0\n"),
            format!("{uv}COPY uv.toml ./\nRUN uv pip install --system flask==3.0\n#- uv.toml\nlink-mode = \"symlink\"\n"),
            "FROM oven/bun:1.2\nCOPY package.json bun.lock ./\nRUN bun install --backend symlink\n#- package.json\n{}\n#- bun.lock\n{}\n".to_owned(),
            "FROM node:22\nWORKDIR /a\nCOPY package.json pnpm-lock.yaml pnpm-workspace.yaml ./\nRUN pnpm install --frozen-lockfile\n#- package.json\n{}\n#- pnpm-lock.yaml\n#- pnpm-workspace.yaml\nenableGlobalVirtualStore: true\n".to_owned(),
        ] {
            check(&RULE, &text);
        }
        let message = "hint: `uv pip install` downloads everything again whenever this runs: no cache mount keeps it";
        check(&RULE, &marked(&format!("{uv}ENV UV_LINK_MODE=copy\nRUN uv pip install --system flask==3.0\n"), "uv pip install --system flask==3.0", message));
    }

    #[test]
    fn where_nothing_would_be_kept_is_silent() {
        for run in [
            "pip install --upgrade pip",
            "--mount=type=cache,target=/root/.cache/pip pip install flask==3.1.0",
            "--mount=type=cache,target=/x pip install --cache-dir=/x flask==3.1.0",
            "--mount=type=tmpfs,target=/root/.cache pip install flask==3.1.0",
            "--mount=type=bind,target=/root/.cache/pip pip install flask==3.1.0",
            "--mount=type=bind,target=/root pip install flask==3.1.0",
            "--mount=type=bind,source=wheels,target=/root/.cache/pip/wheels pip install flask==3.1.0",
            "--mount=type=bind,target=$ELSEWHERE pip install flask==3.1.0",
            "pip uninstall -y flask",
            "apt-get update",
            "apt-get install -y git",
            "make",
            "pip --version",
        ] {
            check(&RULE, &format!("FROM python:3.13\nRUN {run}\n"));
        }
    }

    #[test]
    fn builders_without_mounts_are_left_alone() {
        check(&RULE, "#- .layerwise.yaml\nbuilder: kaniko\n#- Dockerfile\nFROM python:3.13\nRUN pip install flask==3.1.0\n");
    }
}
