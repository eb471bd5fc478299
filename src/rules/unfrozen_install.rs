use super::{Check, Findings, declare_rule};
use crate::diagnostic::{Fix, Level};
use crate::dockerfile::context::File;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Frontend, Kind, Run};
use crate::ecosystem::{self, Action, Manager};
use crate::edit::{Edit, EditSet};
use crate::facts;
use crate::shell::{Command, Word};
use crate::view::DockerfileView;

declare_rule! {
    /// An install may choose other versions than the lockfile says.
    ///
    /// Such an install brings the lockfile up to date and writes it into the image. The same files
    /// can then make another layer, what is copied from it is another one too, and a fix that moves
    /// the install above the sources cannot be proven.
    ///
    /// ```dockerfile,bad
    /// #- package.json
    /// {"name": "app"}
    /// #- package-lock.json
    /// {"lockfileVersion": 3}
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm install
    /// ```
    ///
    /// ```dockerfile,good
    /// #- package.json
    /// {"name": "app"}
    /// #- package-lock.json
    /// {"lockfileVersion": 3}
    /// #- Dockerfile
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// ```
    ///
    /// A project without a lockfile has none on purpose. Settings that freeze the install count: `CI`
    /// for pnpm, Bun and Yarn 2 and later, `UV_LOCKED`, `BUNDLE_DEPLOYMENT` and their like. A lockfile
    /// that is in the context and that no copy brings before the install is reported as well.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: the install fails where manifest and lockfile do not agree.
    pub(crate) static UNFROZEN_INSTALL = {
        name: "unfrozen-install",
        level: Level::Info,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// Variables that keep an install from writing the lockfile.
const FREEZING: &[(Manager, &[&str])] = &[
    (Manager::Npm, &["npm_config_package_lock", "NPM_CONFIG_PACKAGE_LOCK"]),
    (Manager::Yarn, &["CI", "YARN_ENABLE_IMMUTABLE_INSTALLS"]),
    (Manager::Pnpm, &["CI", "npm_config_frozen_lockfile", "NPM_CONFIG_FROZEN_LOCKFILE"]),
    (Manager::Bun, &["CI"]),
    (Manager::Uv, &["UV_LOCKED", "UV_FROZEN"]),
    (Manager::Pipenv, &["PIPENV_IGNORE_PIPFILE"]),
    (Manager::Bundler, &["BUNDLE_FROZEN", "BUNDLE_DEPLOYMENT"]),
];

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let Some((install, lock)) = step.installs.iter().find_map(|it| Some((it, lockfile(plan, index, run, it)?))) else { continue };
            let at = run.command.span(install.span);
            let name = facts::name(&lock.path).to_owned();
            if !lock.is_brought {
                findings.report(at, format!("`{}` does not see `{name}`, which no copy brings before it", install.display));
                continue;
            }
            let frozen = Frozen::of(install.manager, &lock);
            let message = format!("`{}` may rewrite `{name}`, so that the same files can make another layer", install.display);
            findings.report(at, message).maybe_fix(|| fix(view, run, install, &frozen));
        }
    }
}

/// The lockfile that an install may rewrite, or does not see.
struct Lock {
    /// In the context.
    path: String,
    is_brought: bool,
    is_berry: bool,
}

fn lockfile(plan: &Plan<'_>, index: usize, run: &Run, install: &ecosystem::Step) -> Option<Lock> {
    let (_, variables) = FREEZING.iter().find(|(it, _)| *it == install.manager)?;
    if install.action != Action::InstallDependencies || install.frozen || is_frozen_elsewhere(plan, index, variables, install) {
        return None;
    }
    let step = &plan.steps[index];
    let folder = install.folder(step.state.directory.as_deref()?);
    // With a mount the manifests are no files of the image.
    if run.mounts.iter().any(|it| it.kind() == "bind") {
        return None;
    }
    let ecosystem = ecosystem::ecosystem(install.manager);
    for name in ecosystem.lockfiles {
        if let Some((_, path)) = plan.provider(&facts::join(&folder, name), index) {
            return Some(Lock { is_berry: is_berry(plan, install.manager, &path), path, is_brought: true });
        }
    }
    let beside = ecosystem.manifests.iter().find_map(|it| plan.provider(&facts::join(&folder, it), index)).map(|it| it.1)?;
    // Only if it is sure that the copies bring none.
    let lacks = |name: &str| {
        let path = facts::join(&folder, name);
        (0..index).all(|it| !plan.may_bring(it, &path) || matches!(plan.steps[it].instruction.kind, Kind::Run(_)))
    };
    ecosystem.lockfiles.iter().find_map(|name| {
        let path = facts::join(facts::parent(&format!("/{beside}")), name)[1..].to_owned();
        let is_there = matches!(plan.context.file(&path), File::Known(_) | File::Present);
        (is_there && ecosystem.lockfiles.iter().all(|it| lacks(it))).then_some(Lock { path, is_brought: false, is_berry: false })
    })
}

/// Whether a setting freezes the install: in the environment, in front of the command, or by an
/// earlier command.
fn is_frozen_elsewhere(plan: &Plan<'_>, index: usize, variables: &[&str], install: &ecosystem::Step) -> bool {
    let step = &plan.steps[index];
    let is_set = |name: &&str| step.state.variables.contains_key(*name) || install.environment.iter().any(|(it, _)| it == name);
    let freezes = |it: &Step<'_>| match &it.instruction.kind {
        Kind::Run(run) => ["frozen", "deployment", "immutable", "--locked", "package-lock"].iter().any(|it| run.command.text.contains(it)),
        _ => false,
    };
    variables.iter().any(is_set) || plan.steps[..=index].iter().any(freezes)
}

/// Whether the lockfile is one of Yarn 2 or later.
fn is_berry(plan: &Plan<'_>, manager: Manager, lock: &str) -> bool {
    manager == Manager::Yarn && matches!(plan.context.file(lock), File::Known(text) if text.contains("__metadata:"))
}

/// How an install is frozen.
enum Frozen {
    /// By another command.
    Command(&'static str),
    /// By a flag.
    Flag(&'static str),
    /// By a setting.
    Setting,
}

impl Frozen {
    fn of(manager: Manager, lock: &Lock) -> Frozen {
        match manager {
            Manager::Npm => Frozen::Command("ci"),
            Manager::Yarn if lock.is_berry => Frozen::Flag("--immutable"),
            Manager::Yarn | Manager::Pnpm | Manager::Bun => Frozen::Flag("--frozen-lockfile"),
            Manager::Uv => Frozen::Flag("--locked"),
            Manager::Pipenv => Frozen::Flag("--deploy"),
            _ => Frozen::Setting,
        }
    }
}

fn fix(view: &DockerfileView<'_>, run: &Run, install: &ecosystem::Step, frozen: &Frozen) -> Option<Fix> {
    let command = run.script.commands.iter().find(|it| it.span == install.span).filter(|_| run.shell_form)?;
    let verb = verb(command);
    let span = |word: &Word| run.command.is_verbatim(word.span).then(|| run.command.span(word.span));
    let (edit, title) = match frozen {
        Frozen::Command(name) => (Edit::replace(span(verb?)?, *name), format!("Install with `npm {name}`")),
        Frozen::Flag(flag) => {
            let behind = span(verb.or_else(|| command.invocation()?.words.first())?)?;
            (Edit::insert(behind.end, format!(" {flag}")), format!("Install with `{flag}`"))
        }
        Frozen::Setting => return None,
    };
    Some(view.suggestion(title, EditSet::new(vec![edit]).ok()?))
}

/// The word that says to install.
fn verb(command: &Command) -> Option<&Word> {
    let words = command.invocation()?.arguments();
    words.iter().find(|it| matches!(it.text.as_str(), "install" | "i" | "add" | "sync" | "in" | "ins" | "inst"))
}

#[cfg(test)]
mod tests {
    use super::UNFROZEN_INSTALL as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix};

    fn node(files: &str, lines: &str) -> String {
        format!("#- package.json\n{{}}\n{files}#- Dockerfile\nFROM node:22.11\nWORKDIR /app\nCOPY package.json *lock* ./\n{lines}\n")
    }

    #[test]
    fn a_lockfile_may_be_rewritten() {
        check_unsafe_fix(
            &RULE,
            "
#- web/package.json
{}
#- web/package-lock.json
{}
#- Dockerfile
FROM node:22.11
COPY web /app/web
RUN cd /app/web && npm i --omit=dev && npm cache clean --force
                   ^^^^^^^^^^^^^^^^ info: `npm i` may rewrite `package-lock.json`, so that the same files can make another layer
",
            "
FROM node:22.11
COPY web /app/web
RUN cd /app/web && npm ci --omit=dev && npm cache clean --force
",
        );
    }

    #[test]
    fn every_manager_has_its_own_flag() {
        for (lock, text, command, fixed) in [
            ("yarn.lock", "# yarn lockfile v1\n", "yarn", "yarn --frozen-lockfile"),
            ("yarn.lock", "__metadata:\n", "yarn install", "yarn install --immutable"),
            ("pnpm-lock.yaml", "lockfileVersion: 9\n", "pnpm i -P", "pnpm i --frozen-lockfile -P"),
            ("bun.lock", "{}\n", "bun install", "bun install --frozen-lockfile"),
        ] {
            let name = command.trim_end_matches(" -P");
            let fixture = node(
                &format!("#- {lock}\n{text}"),
                &format!(
                    "RUN {command}\n    {} info: `{}` may rewrite `{lock}`, so that the same files can make another layer",
                    "^".repeat(command.len()),
                    if name == "yarn" { "yarn install" } else { name }
                ),
            );
            check_unsafe_fix(&RULE, &fixture, &format!("FROM node:22.11\nWORKDIR /app\nCOPY package.json *lock* ./\nRUN {fixed}\n"));
        }
    }

    #[test]
    fn a_lockfile_that_is_not_copied_is_not_seen() {
        check_without_fix(
            &RULE,
            "
#- package.json
{}
#- package-lock.json
{}
#- Dockerfile
FROM node:22.11
WORKDIR /app
COPY package.json .
RUN npm install
    ^^^^^^^^^^^ info: `npm install` does not see `package-lock.json`, which no copy brings before it
COPY . .
",
        );
    }

    #[test]
    fn what_is_frozen_is_silent() {
        let lock = "#- pnpm-lock.yaml\nlockfileVersion: 9\n";
        for lines in [
            "RUN pnpm install --frozen-lockfile",
            "ENV CI=true\nRUN pnpm install",
            "RUN CI=1 pnpm install",
            "RUN pnpm config set frozen-lockfile true\nRUN pnpm install",
            "RUN pnpm add x",
            "RUN pnpm fetch",
        ] {
            check(&RULE, &node(lock, lines));
        }
        check(&RULE, &node("#- package-lock.json\n{}\n", "RUN npm ci"));
        check(&RULE, &node("#- package-lock.json\n{}\n", "RUN npm install -g npm"));
        check(&RULE, &node("#- package-lock.json\n{}\n", "RUN npm install --no-package-lock"));
    }

    #[test]
    fn a_project_without_lockfile_has_none_on_purpose() {
        check(&RULE, &node("", "RUN npm install"));
        check(&RULE, &node("#- .dockerignore\npackage-lock.json\n#- package-lock.json\n{}\n", "RUN npm install"));
        check(&RULE, &node("#- yarn.lock\n", "RUN npm install"));
    }

    #[test]
    fn settings_of_bundler_are_found() {
        let ruby = |lines: &str| format!("#- Gemfile\n#- Gemfile.lock\n#- Dockerfile\nFROM ruby:3.3\nWORKDIR /app\nCOPY Gemfile* ./\n{lines}\n");
        check_without_fix(
            &RULE,
            &ruby("RUN bundle install\n    ^^^^^^^^^^^^^^ info: `bundle install` may rewrite `Gemfile.lock`, so that the same files can make another layer"),
        );
        for lines in [
            "ENV BUNDLE_DEPLOYMENT=1\nRUN bundle install",
            "RUN bundle config set --local deployment true && bundle install",
            "RUN bundle config set frozen true\nRUN bundle install",
        ] {
            check(&RULE, &ruby(lines));
        }
    }
}
