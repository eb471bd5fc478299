//! Package managers of Node: npm, Yarn, pnpm, bun, and corepack, which installs them.
//!
//! Facts: docs/facts.md B.5.4 and B.8; <https://docs.npmjs.com/cli/using-npm/scripts>.

use super::arguments::{Flags, Means, Tool, Verb, frozen, switch, valued, verb};
use super::manifest::{Collector, json, locate, locate_text, variables_in};
use super::{Action, Listing, Manager, Obstacle, Role, folders, up_to_root};
use crate::effects::Place;
use crate::facts::{join, parent};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

const NONE: &[Flags] = &[];

const NPM: &[Flags] = &[
    switch("--ignore-scripts --ignore-scripts=true", Means::NoScripts),
    switch("-g --global --location=global", Means::Global),
    switch("--no-package-lock --package-lock=false", Means::FrozenUnchecked),
    switch("--no-audit --audit=false --no-fund --fund=false --no-progress --progress=false --silent -s --quiet -q --verbose -d --no-color", Means::Nothing),
    switch("--force -f --legacy-peer-deps --strict-peer-deps --prefer-offline --prefer-online --offline --no-optional --no-bin-links", Means::Nothing),
    switch("--production --production=true --production=false --only=production --only=prod --omit=dev --omit=optional --include=dev", Means::Nothing),
    switch(
        "--no-save --save=false --foreground-scripts --yes -y --no-update-notifier --update-notifier=false --unsafe-perm --unsafe-perm=true",
        Means::Nothing,
    ),
    switch("--workspaces -ws --include-workspace-root --install-links=false --no-shrinkwrap --engine-strict --allow-root -E --save-exact", Means::Nothing),
    switch("-S --save -D --save-dev -P --save-prod -O --save-optional -B --save-bundle --save-peer", Means::Nothing),
    valued("--omit --include --only --loglevel --registry --cache-min --fetch-retries --fetch-timeout --fetch-retry-mintimeout", Means::Nothing),
    valued("--fetch-retry-maxtimeout --maxsockets --network-timeout --audit-level --os --cpu --libc --install-strategy -w --workspace", Means::Nothing),
    valued("--proxy --https-proxy --noproxy --fetch-retry-factor", Means::Nothing),
    valued("--cache", Means::Path(Role::Output)),
    valued("--prefix -C", Means::Path(Role::Folder)),
];

const NPM_VERBS: &[Verb] = &[
    frozen("ci|clean-install|ic|install-clean|isntall-clean", Action::InstallDependencies, NONE),
    verb("install|i|add|in|ins|inst|isntall|install-test|it", Action::InstallDependencies, NONE),
    frozen("cache clean|cache clear|cache rm|cache verify", Action::Clean, NONE),
    frozen("config set|set|config get|config list|ping|root|prefix|bin|help", Action::Other, NONE),
];

const YARN: &[Flags] = &[
    switch("--ignore-scripts --mode=skip-build --mode=skip-builds", Means::NoScripts),
    switch("--frozen-lockfile --immutable --pure-lockfile", Means::Frozen),
    switch("--no-lockfile", Means::FrozenUnchecked),
    switch("--production --production=true --production=false --prod --silent -s --verbose --non-interactive --no-progress --prefer-offline", Means::Nothing),
    switch("--offline --ignore-engines --ignore-optional --ignore-platform --check-files --force --json --inline-builds --no-bin-links", Means::Nothing),
    switch("--check-cache --immutable-cache --link-duplicates --disable-pnp --no-node-version-check --no-default-rc --flat --audit", Means::Nothing),
    valued("--network-timeout --network-concurrency --registry --mutex --otp --emoji --scripts-prepend-node-path", Means::Nothing),
    valued("--modules-folder --cache-folder --preferred-cache-folder --global-folder --prefix --link-folder", Means::Path(Role::Output)),
    valued("--cwd", Means::Path(Role::Folder)),
];

const YARN_VERBS: &[Verb] = &[
    verb("install", Action::InstallDependencies, NONE),
    verb("workspaces focus", Action::InstallDependencies, &[switch("--all -A", Means::Nothing)]),
    frozen("global add", Action::InstallNamed, &[switch("--exact -E", Means::Nothing)]),
    verb("add", Action::InstallNamed, &[switch("-D --dev -P --peer -O --optional -E --exact -T --tilde", Means::Nothing)]),
    frozen("cache clean|cache clear", Action::Clean, &[switch("--all --mirror", Means::Nothing)]),
    frozen("config set|config get|config list", Action::Other, &[switch("-g --global -H --home", Means::Global)]),
];

const PNPM: &[Flags] = &[
    switch("--ignore-scripts --ignore-scripts=true", Means::NoScripts),
    switch("--frozen-lockfile --frozen-lockfile=true", Means::Frozen),
    switch("--no-lockfile --lockfile=false", Means::FrozenUnchecked),
    switch("-g --global", Means::Global),
    switch(
        "--prod -P --production --prod=true --dev -D --no-optional --offline --prefer-offline --silent -s --no-color --ignore-workspace-root-check",
        Means::Nothing,
    ),
    switch(
        "-r --recursive --shamefully-hoist --shamefully-hoist=true --strict-peer-dependencies --no-strict-peer-dependencies --aggregate-output",
        Means::Nothing,
    ),
    switch(
        "--strict-peer-dependencies=false --reporter=append-only --reporter=silent --reporter=default --force --unsafe-perm --no-verify-store-integrity",
        Means::Nothing,
    ),
    switch(
        "--prefer-frozen-lockfile=false --ignore-pnpmfile --side-effects-cache --no-side-effects-cache --stream --use-stderr --engine-strict",
        Means::Nothing,
    ),
    switch("-w --workspace-root --include-workspace-root", Means::Nothing),
    valued("--filter -F --filter-prod --loglevel --reporter --registry --network-concurrency --child-concurrency --node-linker", Means::Nothing),
    valued("--fetch-retries --fetch-timeout --fetch-retry-mintimeout --fetch-retry-maxtimeout --package-import-method --public-hoist-pattern", Means::Nothing),
    valued("--hoist-pattern --cpu --os --libc", Means::Nothing),
    valued("--store-dir --virtual-store-dir --modules-dir --cache-dir --state-dir --global-dir --global-bin-dir", Means::Path(Role::Output)),
    valued("-C --dir", Means::Path(Role::Folder)),
];

const PNPM_VERBS: &[Verb] = &[
    verb("install|i", Action::InstallDependencies, NONE),
    frozen("fetch", Action::InstallDependencies, NONE),
    verb("add", Action::InstallNamed, NONE),
    frozen("store prune", Action::Clean, NONE),
    frozen("config set|config get|set|store path|root|bin", Action::Other, NONE),
];

const BUN: &[Flags] = &[
    switch("--ignore-scripts", Means::NoScripts),
    switch("--frozen-lockfile", Means::Frozen),
    switch("--no-save", Means::FrozenUnchecked),
    switch("-g --global", Means::Global),
    switch("--no-cache", Means::NoCache),
    switch(
        "--production -p --prod --silent --verbose --no-progress --no-summary --force -f --omit=dev --omit=optional --omit=peer --no-verify",
        Means::Nothing,
    ),
    valued("--omit --backend --registry --concurrent-scripts --network-concurrency --linker --filter", Means::Nothing),
    valued("-c --config", Means::Path(Role::File)),
    valued("--cache-dir", Means::Path(Role::Output)),
    valued("--cwd", Means::Path(Role::Folder)),
];

const BUN_VERBS: &[Verb] = &[
    verb("install|i", Action::InstallDependencies, NONE),
    frozen("ci", Action::InstallDependencies, NONE),
    verb("add|a", Action::InstallNamed, &[switch("-d -D --dev --development --optional --peer -E --exact", Means::Nothing)]),
    frozen("pm cache rm|pm cache", Action::Clean, NONE),
];

const COREPACK_VERBS: &[Verb] = &[
    frozen("enable|disable", Action::InstallNamed, NONE),
    frozen("prepare|install|up|use", Action::InstallNamed, NONE),
    frozen("cache clean|cache clear", Action::Clean, NONE),
];

/// Commands of the package managers of Node.
pub(super) const TOOLS: &[Tool] = &[
    Tool { manager: Manager::Npm, programs: "npm", verbs: NPM_VERBS, flags: NPM, default: None, otherwise: Action::Build },
    Tool { manager: Manager::Yarn, programs: "yarn yarnpkg", verbs: YARN_VERBS, flags: YARN, default: Some("install"), otherwise: Action::Build },
    Tool { manager: Manager::Pnpm, programs: "pnpm", verbs: PNPM_VERBS, flags: PNPM, default: None, otherwise: Action::Build },
    Tool { manager: Manager::Bun, programs: "bun", verbs: BUN_VERBS, flags: BUN, default: None, otherwise: Action::Build },
    Tool {
        manager: Manager::Corepack,
        programs: "corepack",
        verbs: COREPACK_VERBS,
        flags: &[switch("--activate -g --global --all --json", Means::Nothing), valued("--install-directory -o", Means::Path(Role::Output))],
        default: None,
        otherwise: Action::Other,
    },
];

/// Variables of the managers that name no file and no folder.
const KNOWN_VARIABLES: &[&str] = &[
    "npm_config_loglevel",
    "npm_config_update_notifier",
    "npm_config_fund",
    "npm_config_audit",
    "npm_config_registry",
    "npm_config_cache",
    "npm_config_production",
    "npm_config_ignore_scripts",
    "npm_config_legacy_peer_deps",
    "npm_config_progress",
    "npm_config_color",
    "npm_config_prefer_offline",
    "npm_config_store_dir",
    "npm_config_unsafe_perm",
    "npm_config_yes",
    "npm_config_platform",
    "npm_config_arch",
    "npm_config_build_from_source",
    "npm_config_optional",
    "npm_config_omit",
    "npm_config_include",
    "npm_config_fetch_retries",
    "npm_config_fetch_timeout",
    "npm_config_strict_ssl",
    "npm_config_engine_strict",
    "NPM_VERSION",
    "NPM_TOKEN",
    "NPM_AUTH_TOKEN",
    "YARN_VERSION",
    "YARN_CACHE_FOLDER",
    "YARN_ENABLE_TELEMETRY",
    "YARN_ENABLE_GLOBAL_CACHE",
    "YARN_GLOBAL_FOLDER",
    "YARN_NODE_LINKER",
    "YARN_HTTP_TIMEOUT",
    "YARN_REGISTRY",
    "YARN_PRODUCTION",
    "PNPM_HOME",
    "PNPM_VERSION",
    "BUN_INSTALL",
    "BUN_INSTALL_BIN",
    "BUN_VERSION",
    "BUN_INSTALL_CACHE_DIR",
    "BUN_RUNTIME_TRANSPILER_CACHE_PATH",
];

/// Scripts of the project that an install runs.
const SCRIPTS: &[&str] = &["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare", "dependencies", "pnpm:devPreinstall"];

/// Packages whose own install script is known to read or write the project it is installed in.
const INTRUSIVE: &[&str] =
    &["@prisma/client", "prisma", "husky", "yorkie", "simple-git-hooks", "lefthook", "pre-commit", "pre-push", "ghooks", "msw", "nx", "puppeteer", "detox"];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    collector.check_variables(&["npm_config_", "YARN_", "PNPM_", "BUN_"], KNOWN_VARIABLES)?;
    collector.touches_outside();
    output_paths(collector);
    match (collector.step.manager, collector.step.action) {
        (Manager::Corepack, _) => corepack(collector),
        (_, Action::InstallDependencies) => dependencies(collector),
        (_, Action::InstallNamed) => named(collector),
        (_, Action::Other) => configuration(collector),
        _ => Ok(()),
    }
}

fn output_paths(collector: &mut Collector<'_>) {
    for path in collector.step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(collector.folder, &path.path)));
    }
}

fn corepack(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let names_version = step.operands.iter().any(|it| it.text.contains('@'));
    if step.display.ends_with("use") || step.display.ends_with("up") {
        return Err(collector.obstacle(format!("`{}` rewrites `package.json`", step.display)));
    }
    if step.action == Action::InstallNamed && !names_version && !["enable", "disable"].iter().any(|it| step.display.ends_with(it)) {
        let path = join(collector.folder, "package.json");
        collector.require(&path)?;
    }
    Ok(())
}

fn configuration(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    // Yarn berry and `--location project` write beside the manifest.
    let in_project = step.operands.iter().any(|it| it.text == "project") || step.manager == Manager::Yarn && !step.has(Means::Global);
    if in_project && step.display.ends_with("set") {
        return Err(collector.obstacle(format!("`{}` may write into the project", step.display)));
    }
    Ok(())
}

/// Packages that the command line names.
fn named(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    if let Some(word) = step.operands.iter().find(|it| it.computed || is_local(&it.text) || it.text.starts_with('$')) {
        return Err(Obstacle::in_script(word.span, format!("`{}` may name a folder", word.text)));
    }
    let is_global = step.has(Means::Global) || step.display.ends_with("global add");
    if !is_global {
        return Err(collector.obstacle(format!("`{}` rewrites `package.json`", step.display)));
    }
    settings(collector)?;
    Ok(())
}

fn is_local(specifier: &str) -> bool {
    // `~5` is a range of versions.
    specifier.starts_with(['.', '/'])
        || specifier.starts_with("~/")
        || ["file:", "link:", "portal:", "exec:"].iter().any(|it| specifier.contains(it))
        || (specifier.ends_with(".tgz") || specifier.ends_with(".tar.gz")) && !specifier.contains("://")
}

/// What the settings beside the manifest say.
#[derive(Default)]
struct Settings {
    no_scripts: bool,
    yarn_berry: bool,
}

/// Settings files of the folder and of those above it.
fn settings(collector: &mut Collector<'_>) -> Result<Settings, Obstacle> {
    let mut res = Settings::default();
    for folder in up_to_root(collector.folder) {
        if let Some(text) = collector.optional(&join(&folder, ".npmrc"))? {
            variables_in(&text).into_iter().for_each(|it| collector.reads_variable(it));
            res.no_scripts |= text.lines().any(|it| it.replace(' ', "") == "ignore-scripts=true");
            npmrc(&join(&folder, ".npmrc"), &text)?;
        }
    }
    Ok(res)
}

/// Keys of `.npmrc` that name a file to read or a folder to write.
const NPMRC_PATHS: &[&str] = &[
    "cafile",
    "certfile",
    "keyfile",
    "prefix",
    "cache",
    "cache-dir",
    "store-dir",
    "virtual-store-dir",
    "modules-dir",
    "state-dir",
    "global-dir",
    "globalconfig",
    "userconfig",
    "node-options",
    "script-shell",
    "onload-script",
    "pnpmfile",
    "global-pnpmfile",
    "patches-dir",
    "git",
    "shell",
    "init-module",
    "lockfile-dir",
    "shared-workspace-lockfile",
    "workspaces",
    "workspace",
];

fn npmrc(path: &str, text: &str) -> Result<(), Obstacle> {
    let keys = text.lines().filter_map(|it| it.split_once('=')).map(|(key, _)| key.trim());
    match keys.into_iter().find(|key| NPMRC_PATHS.contains(&key.rsplit(':').next().unwrap_or(key))) {
        Some(key) => Err(Obstacle::in_file(path, locate_text(text, key), format!("what `{key}` of `.npmrc` reads or writes is not followed"))),
        None => Ok(()),
    }
}

/// One `package.json`.
struct Package {
    path: String,
    text: Arc<str>,
    value: Value,
}

/// Tools that install hooks of git: they change the folder, but need none of the sources.
const HOOK_TOOLS: &[&str] = &["husky", "lefthook", "simple-git-hooks", "pre-commit", "only-allow", "is-ci"];

impl Package {
    fn read(collector: &mut Collector<'_>, folder: &str) -> Result<Package, Obstacle> {
        let path = join(folder, "package.json");
        let text = collector.require(&path)?;
        let value = json(&path, &collector.shown(&path), &text)?;
        Ok(Package { path, text, value })
    }

    fn obstacle(&self, key: &[&str], reason: impl Into<String>) -> Obstacle {
        Obstacle::in_file(&self.path, locate(&self.text, key), reason)
    }

    fn field(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    fn check_scripts(&self, shown: &str) -> Result<(), Obstacle> {
        let Some(scripts) = self.field(&["scripts"]).and_then(Value::as_object) else { return Ok(()) };
        match SCRIPTS.iter().find(|it| scripts.contains_key(**it)) {
            Some(name) => {
                let obstacle = self.obstacle(&["scripts", name], format!("`{shown}` runs a `{name}` script, which may read any file"));
                let hooks = scripts.get(*name).and_then(Value::as_str).is_some_and(|it| HOOK_TOOLS.iter().any(|tool| it.contains(tool)));
                Err(if hooks { obstacle } else { obstacle.for_sources() })
            }
            None => Ok(()),
        }
    }

    /// Dependencies, and replacements of them, that are on disk.
    fn check_local(&self, shown: &str) -> Result<(), Obstacle> {
        let tables: &[&[&str]] = &[
            &["dependencies"],
            &["devDependencies"],
            &["optionalDependencies"],
            &["peerDependencies"],
            &["overrides"],
            &["resolutions"],
            &["pnpm", "overrides"],
        ];
        for table in tables {
            let Some(value) = self.field(table) else { continue };
            if let Some((name, specifier)) = local_in(value) {
                let mut key = table.to_vec();
                key.push(&name);
                let obstacle = self.obstacle(&key, format!("`{shown}` takes `{name}` from `{specifier}`"));
                // A link needs no more than to point there; an archive is no source.
                let copies = specifier.starts_with("file:") && ![".tgz", ".tar.gz", ".tar"].iter().any(|it| specifier.ends_with(it));
                return Err(if copies { obstacle.for_sources() } else { obstacle });
            }
        }
        Ok(())
    }

    /// Whether one of the direct dependencies has this name.
    fn depends_on(&self, name: &str) -> bool {
        ["dependencies", "devDependencies", "optionalDependencies"].iter().any(|it| self.field(&[it, name]).is_some())
    }
}

/// The first entry whose text names a local path; overrides may be nested, so that deep ones are
/// looked at too. The depth is bounded by the parser of JSON.
fn local_in(value: &Value) -> Option<(String, String)> {
    value.as_object()?.iter().find_map(|(name, value)| match value {
        Value::String(text) if is_local(text) && !is_carried_patch(text) => Some((name.clone(), text.clone())),
        Value::Object(_) => local_in(value),
        _ => None,
    })
}

/// A patch of Yarn berry that lies where patches are carried from.
fn is_carried_patch(specifier: &str) -> bool {
    specifier.starts_with("patch:") && specifier.contains(".yarn/patches/")
}

/// Installs what the manifests name.
fn dependencies(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    if step.display.ends_with("fetch") {
        return fetch(collector);
    }
    check_ancestors(collector)?;
    let mut settings = settings(collector)?;
    let root = Package::read(collector, folder)?;
    let lock = lockfile(collector)?;
    if step.manager == Manager::Yarn {
        settings.yarn_berry = is_berry(collector, &root, lock.as_ref())?;
        if settings.yarn_berry { berry(collector)? } else { yarn_classic(collector)? }
    }
    if step.manager == Manager::Pnpm {
        pnpm_hook(collector)?;
    }
    if step.manager == Manager::Bun {
        bunfig(collector)?;
    }
    check_lock(collector, &settings, lock.as_ref())?;
    let members = members(collector, &root)?;
    patches(collector, &root)?;
    let no_scripts = skips_scripts(collector, &settings);
    for package in std::iter::once(&root).chain(&members) {
        let shown = collector.shown(&package.path);
        package.check_local(&shown)?;
        if !no_scripts {
            package.check_scripts(&shown)?;
            native_addon(collector, package)?;
        }
        collector.writes(Place::tree(join(parent(&package.path), "node_modules")));
    }
    for package in &members {
        check_member(collector, package)?;
    }
    if no_scripts { Ok(()) } else { check_intrusive(collector, &root, &members, lock.as_ref()) }
}

fn skips_scripts(collector: &Collector<'_>, settings: &Settings) -> bool {
    let reads_npmrc = matches!(collector.step.manager, Manager::Npm | Manager::Pnpm);
    collector.step.has(Means::NoScripts) || reads_npmrc && (settings.no_scripts || collector.is_on("npm_config_ignore_scripts"))
}

/// A folder above that is the root of a workspace makes the install one of that workspace.
fn check_ancestors(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let above = up_to_root(collector.folder);
    for folder in above.iter().skip(1) {
        for marker in ["pnpm-workspace.yaml", ".yarnrc.yml", ".yarnrc", "yarn.lock"] {
            let path = join(folder, marker);
            if collector.exists(&path)? {
                return Err(Obstacle::in_file(&path, None, format!("`{path}` makes the folder above a project too")));
            }
        }
        let path = join(folder, "package.json");
        if let Some(text) = collector.optional(&path)?
            && json(&path, &path, &text)?.get("workspaces").is_some()
        {
            return Err(Obstacle::in_file(&path, locate(&text, &["workspaces"]), format!("`{path}` makes the folder a member of a workspace")));
        }
    }
    Ok(())
}

/// The lockfile, with its text where it has one.
struct Lock {
    path: String,
    text: Option<Arc<str>>,
}

fn lockfile(collector: &mut Collector<'_>) -> Result<Option<Lock>, Obstacle> {
    let names: &[&str] = match collector.step.manager {
        // npm prefers the shrinkwrap.
        Manager::Npm => &["npm-shrinkwrap.json", "package-lock.json"],
        Manager::Yarn => &["yarn.lock"],
        Manager::Pnpm => &["pnpm-lock.yaml"],
        _ => &["bun.lock", "bun.lockb"],
    };
    let mut res = None;
    for name in names {
        let path = join(collector.folder, name);
        if collector.exists(&path)? && res.is_none() {
            let text = if *name == "bun.lockb" { None } else { Some(collector.require(&path)?) };
            res = Some(Lock { path, text });
        }
    }
    Ok(res)
}

/// The lockfile must neither be rewritten nor be missing where it is needed.
fn check_lock(collector: &mut Collector<'_>, settings: &Settings, lock: Option<&Lock>) -> Result<(), Obstacle> {
    let step = collector.step;
    match lock {
        Some(lock) if !step.frozen => Err(collector.obstacle(format!("`{}` may rewrite `{}`", step.display, collector.shown(&lock.path)))),
        Some(_) => Ok(()),
        None if step.has(Means::FrozenUnchecked) => Ok(()),
        None if step.frozen || settings.yarn_berry => Err(collector.obstacle(format!("`{}` finds no lockfile", step.display))),
        // Without a lockfile, the install makes one, and the context has none to put in its place.
        None => {
            let name = super::ecosystem(step.manager).lockfiles.first().copied().unwrap_or_default();
            collector.writes(Place::File(join(collector.folder, name)));
            Ok(())
        }
    }
}

/// Which Yarn it is: by the settings of berry, the version that the manifest asks for, and the form
/// of the lockfile.
fn is_berry(collector: &mut Collector<'_>, root: &Package, lock: Option<&Lock>) -> Result<bool, Obstacle> {
    if collector.exists(&join(collector.folder, ".yarnrc.yml"))? {
        return Ok(true);
    }
    if let Some(version) = root.field(&["packageManager"]).and_then(Value::as_str).and_then(|it| it.strip_prefix("yarn@")) {
        return Ok(!version.starts_with("1."));
    }
    match lock.and_then(|it| it.text.as_deref()) {
        Some(text) if text.contains("__metadata:") => Ok(true),
        Some(text) if text.contains("yarn lockfile v1") => Ok(false),
        _ => Err(collector.obstacle("neither `package.json` nor a lockfile says which Yarn this is")),
    }
}

fn yarn_classic(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let path = join(collector.folder, ".yarnrc");
    let Some(text) = collector.optional(&path)? else { return Ok(()) };
    for line in text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#')) {
        let key = line.split_whitespace().next().unwrap_or_default().trim_matches('"');
        match key {
            "yarn-path" if line.contains(".yarn/releases/") => drop(collector.tree(&join(collector.folder, ".yarn/releases"))?),
            "registry"
            | "network-timeout"
            | "lastUpdateCheck"
            | "disable-self-update-check"
            | "save-prefix"
            | "ignore-engines"
            | "--install.ignore-engines" => {}
            _ => return Err(Obstacle::in_file(&path, locate_text(&text, key), format!("what `{key}` of `.yarnrc` reads is not known"))),
        }
    }
    Ok(())
}

fn berry(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let folder = collector.folder;
    let path = join(folder, ".yarnrc.yml");
    if let Some(text) = collector.optional(&path)? {
        variables_in(&text).into_iter().for_each(|it| collector.reads_variable(it));
        let value: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|_| Obstacle::in_file(&path, None, "`.yarnrc.yml` is not valid YAML"))?;
        for key in ["yarnPath", "plugins"] {
            if value.get(key).is_some_and(|it| !is_carried_program(it)) {
                return Err(Obstacle::in_file(&path, locate_text(&text, key), format!("what `{key}` of `.yarnrc.yml` reads is not known")));
            }
        }
        if let Some(key) = ["cacheFolder", "patchFolder", "virtualFolder", "installStatePath", "pnpDataPath", "injectEnvironmentFiles", "httpsCaFilePath"]
            .iter()
            .find(|it| value.get(**it).is_some())
        {
            return Err(Obstacle::in_file(&path, locate_text(&text, key), format!("`{key}` of `.yarnrc.yml` moves what Yarn reads or writes")));
        }
    }
    collector.exists(&join(folder, ".env.yarn"))?;
    for name in [".yarn/releases", ".yarn/plugins", ".yarn/patches"] {
        collector.tree(&join(folder, name))?;
    }
    if collector.tree(&join(folder, ".yarn/cache"))? {
        return Err(Obstacle::in_file(&join(folder, ".yarn/cache"), None, "the packages themselves are kept in `.yarn/cache`"));
    }
    for name in [".pnp.cjs", ".pnp.loader.mjs", ".yarn/install-state.gz", ".yarn/build-state.yml"] {
        collector.writes(Place::File(join(folder, name)));
    }
    for name in [".yarn/cache", ".yarn/unplugged"] {
        collector.writes(Place::tree(join(folder, name)));
    }
    Ok(())
}

/// Whether programs of Yarn lie where they are carried from: a path, or a list of paths, or of
/// tables with a path.
fn is_carried_program(value: &serde_yaml::Value) -> bool {
    let is_carried = |it: &serde_yaml::Value| {
        let path = it.get("path").unwrap_or(it).as_str().unwrap_or_default().trim_start_matches("./");
        path.starts_with(".yarn/releases/") || path.starts_with(".yarn/plugins/")
    };
    value.as_sequence().map_or_else(|| is_carried(value), |list| list.iter().all(is_carried))
}

/// `.pnpmfile.cjs` is a program: it must not load others from the project.
fn pnpm_hook(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    for name in [".pnpmfile.cjs", ".pnpmfile.mjs", "pnpmfile.js"] {
        let path = join(collector.folder, name);
        let Some(text) = collector.optional(&path)? else { continue };
        let reaches_out = ["require(", "import ", "import(", "process.", "__dirname"];
        if let Some(what) = reaches_out.iter().find(|it| text.contains(**it)) {
            return Err(Obstacle::in_file(&path, locate_text(&text, what), format!("`{name}` may read any file")));
        }
    }
    Ok(())
}

fn bunfig(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let path = join(collector.folder, "bunfig.toml");
    let Some(text) = collector.optional(&path)? else { return Ok(()) };
    variables_in(&text).into_iter().for_each(|it| collector.reads_variable(it));
    match ["cafile", "dir", "globalDir", "globalBinDir", "cache"]
        .iter()
        .find(|key| text.lines().any(|it| it.split('=').next().is_some_and(|it| it.trim() == **key)))
    {
        Some(key) => Err(Obstacle::in_file(&path, locate_text(&text, key), format!("what `{key}` of `bunfig.toml` reads or writes is not followed"))),
        None => Ok(()),
    }
}

/// `pnpm fetch` needs the lockfile, patches and settings only.
fn fetch(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let folder = collector.folder;
    settings(collector)?;
    collector.require(&join(folder, "pnpm-lock.yaml"))?;
    pnpm_hook(collector)?;
    if let Some(root) = optional_package(collector, folder)? {
        patches(collector, &root)?;
    }
    pnpm_workspace(collector)?;
    collector.writes(Place::tree(join(folder, "node_modules")));
    Ok(())
}

fn optional_package(collector: &mut Collector<'_>, folder: &str) -> Result<Option<Package>, Obstacle> {
    let path = join(folder, "package.json");
    let Some(text) = collector.optional(&path)? else { return Ok(None) };
    let value = json(&path, &collector.shown(&path), &text)?;
    Ok(Some(Package { path, text, value }))
}

/// `pnpm-workspace.yaml`, if there is one; the patches that it names are needed.
fn pnpm_workspace(collector: &mut Collector<'_>) -> Result<Option<serde_yaml::Value>, Obstacle> {
    let path = join(collector.folder, "pnpm-workspace.yaml");
    let Some(text) = collector.optional(&path)? else { return Ok(None) };
    let value: serde_yaml::Value = serde_yaml::from_str(&text).map_err(|_| Obstacle::in_file(&path, None, "`pnpm-workspace.yaml` is not valid YAML"))?;
    if let Some(patched) = value.get("patchedDependencies").and_then(serde_yaml::Value::as_mapping) {
        for file in patched.values().filter_map(serde_yaml::Value::as_str) {
            patch(collector, file)?;
        }
    }
    if let Some(key) = ["pnpmfile", "configDependencies", "modulesDir", "virtualStoreDir", "storeDir"].iter().find(|it| value.get(**it).is_some()) {
        return Err(Obstacle::in_file(&path, locate_text(&text, key), format!("what `{key}` of `pnpm-workspace.yaml` does is not known")));
    }
    let local_override =
        value.get("overrides").and_then(serde_yaml::Value::as_mapping).is_some_and(|it| it.values().filter_map(serde_yaml::Value::as_str).any(is_local));
    if local_override {
        return Err(Obstacle::in_file(&path, locate_text(&text, "overrides"), "`pnpm-workspace.yaml` takes a package from a folder"));
    }
    Ok(Some(value))
}

fn patches(collector: &mut Collector<'_>, root: &Package) -> Result<(), Obstacle> {
    for table in [&["pnpm", "patchedDependencies"][..], &["patchedDependencies"]] {
        let Some(patched) = root.field(table).and_then(Value::as_object) else { continue };
        for file in patched.values().filter_map(Value::as_str) {
            patch(collector, file)?;
        }
    }
    Ok(())
}

fn patch(collector: &mut Collector<'_>, file: &str) -> Result<(), Obstacle> {
    if collector.exists(&join(collector.folder, file))? { Ok(()) } else { Err(collector.obstacle(format!("the patch `{file}` is not in the build context"))) }
}

/// Members of the workspace, by the patterns of the manager.
fn members(collector: &mut Collector<'_>, root: &Package) -> Result<Vec<Package>, Obstacle> {
    let patterns = if collector.step.manager == Manager::Pnpm { pnpm_patterns(collector)? } else { workspaces(root)? };
    let folder = collector.folder;
    let mut res = Vec::new();
    for member in folders::matching(collector, folder, &patterns)? {
        if member != folder && is_package(collector, &member)? {
            res.push(Package::read(collector, &member)?);
        }
    }
    Ok(res)
}

/// A folder without a manifest is no member.
fn is_package(collector: &mut Collector<'_>, folder: &str) -> Result<bool, Obstacle> {
    match collector.files.list(folder) {
        Listing::Known(children) => Ok(children.iter().any(|it| it.name == "package.json")),
        Listing::Absent => Ok(false),
        Listing::Unknown => Err(collector.obstacle(format!("what is in `{}` is not known", collector.shown(folder)))),
    }
}

fn pnpm_patterns(collector: &mut Collector<'_>) -> Result<Vec<String>, Obstacle> {
    let Some(value) = pnpm_workspace(collector)? else { return Ok(Vec::new()) };
    let packages = value.get("packages").and_then(serde_yaml::Value::as_sequence);
    Ok(packages.into_iter().flatten().filter_map(serde_yaml::Value::as_str).map(str::to_owned).collect())
}

fn workspaces(root: &Package) -> Result<Vec<String>, Obstacle> {
    let Some(value) = root.field(&["workspaces"]) else { return Ok(Vec::new()) };
    let list = value.get("packages").unwrap_or(value);
    let patterns = list.as_array().and_then(|it| it.iter().map(|it| it.as_str().map(str::to_owned)).collect());
    patterns.ok_or_else(|| root.obstacle(&["workspaces"], "the `workspaces` of `package.json` are not a list of patterns"))
}

/// The manager links the programs of members and makes them executable, which takes the files.
fn check_member(collector: &Collector<'_>, package: &Package) -> Result<(), Obstacle> {
    let key: &[&str] = if package.field(&["bin"]).is_some() { &["bin"] } else { &["directories", "bin"] };
    match package.field(key) {
        Some(_) => Err(package.obstacle(key, format!("the workspace links a program of `{}`", collector.shown(&package.path)))),
        None => Ok(()),
    }
}

/// npm compiles a project with a `binding.gyp`.
fn native_addon(collector: &mut Collector<'_>, package: &Package) -> Result<(), Obstacle> {
    let path = join(parent(&package.path), "binding.gyp");
    if collector.exists(&path)? {
        return Err(Obstacle::in_file(&path, None, format!("`{}` makes the install compile sources", collector.shown(&path))));
    }
    Ok(())
}

fn check_intrusive(collector: &Collector<'_>, root: &Package, members: &[Package], lock: Option<&Lock>) -> Result<(), Obstacle> {
    let direct: BTreeSet<&str> = INTRUSIVE.iter().copied().filter(|name| std::iter::once(root).chain(members).any(|it| it.depends_on(name))).collect();
    let locked = |name: &str| lock.and_then(|it| it.text.as_deref()).is_some_and(|text| is_locked(text, name));
    match INTRUSIVE.iter().find(|name| direct.contains(**name) || locked(name)) {
        Some(name) => Err(collector.obstacle(format!("the install script of `{name}` reads or writes the project"))),
        None => Ok(()),
    }
}

/// Whether a lockfile has a package, by the forms in which npm, Yarn, pnpm and bun write its name.
fn is_locked(text: &str, name: &str) -> bool {
    let forms = [
        format!("node_modules/{name}\""),
        format!("\"{name}\": {{"),
        format!("\"{name}\": ["),
        format!("\n{name}@"),
        format!("\n\"{name}@"),
        format!(" {name}@"),
        format!("'{name}@"),
        format!(" /{name}@"),
        format!("'/{name}@"),
        format!(" /{name}/"),
    ];
    forms.iter().any(|it| text.contains(it.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_of, refusal};

    const PACKAGE: (&str, &str) = ("package.json", r#"{"dependencies": {"a": "^1.0.0"}}"#);
    const LOCK: (&str, &str) = ("package-lock.json", r#"{"packages": {"node_modules/a": {}}}"#);

    fn package(text: &str) -> [(&'static str, &str); 2] {
        [("package.json", text), LOCK]
    }

    #[test]
    fn npm_ci_needs_manifest_and_lockfile() {
        assert_eq!(footprint_of("npm ci", &[PACKAGE, LOCK, ("src/index.js", "")]), "needs package-lock.json package.json; writes node_modules/");
        assert_eq!(
            footprint_of("npm ci --omit=dev --no-audit && npm cache clean --force", &[PACKAGE, LOCK]),
            "needs package-lock.json package.json; writes node_modules/"
        );
        assert_eq!(
            footprint_of("npm clean-install", &[PACKAGE, ("npm-shrinkwrap.json", "{}")]),
            "needs npm-shrinkwrap.json package.json; writes node_modules/"
        );
    }

    #[test]
    fn settings_are_carried_where_they_are() {
        assert_eq!(
            footprint_of("npm ci", &[PACKAGE, LOCK, (".npmrc", "//r/:_authToken=${NPM_TOKEN}")]),
            "needs .npmrc package-lock.json package.json; writes node_modules/"
        );
        assert_eq!(
            footprint_of("cd web && npm ci", &[("web/package.json", "{}"), ("web/package-lock.json", "{}"), (".npmrc", "")]),
            "needs .npmrc web/package-lock.json web/package.json; writes web/node_modules/"
        );
        assert_eq!(
            footprint_of("npm --prefix web ci", &[("web/package.json", "{}"), ("web/package-lock.json", "{}")]),
            "needs web/package-lock.json web/package.json; writes web/node_modules/"
        );
    }

    #[test]
    fn a_lifecycle_script_stands_in_the_way() {
        for name in ["preinstall", "install", "postinstall", "prepublish", "prepare"] {
            let text = format!(r#"{{"scripts": {{"{name}": "x"}}}}"#);
            assert_eq!(refusal("npm ci", &package(&text)), format!("package.json:\"{name}\": `package.json` runs a `{name}` script, which may read any file"));
            assert_eq!(footprint_of("npm ci --ignore-scripts", &package(&text)), "needs package-lock.json package.json; writes node_modules/");
        }
        let build = r#"{"scripts": {"build": "x", "test": "y", "postbuild": "z"}}"#;
        assert_eq!(footprint_of("npm ci", &package(build)), "needs package-lock.json package.json; writes node_modules/");
        let post = r#"{"scripts": {"postinstall": "x"}}"#;
        assert!(footprint_of("npm ci", &[("package.json", post), LOCK, (".npmrc", "ignore-scripts = true")]).starts_with("needs"));
        assert!(footprint_of("npm_config_ignore_scripts=true npm ci", &package(post)).starts_with("needs"));
    }

    #[test]
    fn what_may_rewrite_a_lockfile_stands_in_the_way() {
        assert_eq!(refusal("npm install", &[PACKAGE, LOCK]), "`npm install` may rewrite `package-lock.json`");
        assert_eq!(refusal("npm i --omit=dev", &[PACKAGE, LOCK]), "`npm i` may rewrite `package-lock.json`");
        assert_eq!(footprint_of("npm install", &[PACKAGE]), "needs package.json; writes node_modules/ package-lock.json");
        assert_eq!(footprint_of("npm install --no-package-lock", &[PACKAGE, LOCK]), "needs package-lock.json package.json; writes node_modules/");
        assert_eq!(refusal("npm ci", &[PACKAGE]), "`npm ci` finds no lockfile");
        assert_eq!(refusal("npm install left-pad", &[PACKAGE, LOCK]), "`npm install` rewrites `package.json`");
    }

    #[test]
    fn a_dependency_on_disk_stands_in_the_way() {
        for specifier in ["file:../a", "link:./a", "portal:./a", "./a", "a.tgz", "~/a"] {
            let text = format!(r#"{{"dependencies": {{"a": "{specifier}"}}}}"#);
            assert_eq!(refusal("npm ci", &package(&text)), format!("package.json:\"a\": `package.json` takes `a` from `{specifier}`"));
        }
        for specifier in ["^1", "git+https://x/y.git#z", "https://x/y.tgz", "npm:b@1", "github:x/y", "latest"] {
            let text = format!(r#"{{"dependencies": {{"a": "{specifier}"}}}}"#);
            assert!(footprint_of("npm ci", &package(&text)).starts_with("needs"), "{specifier}");
        }
        let nested = r#"{"overrides": {"a": {"b": "file:b"}}}"#;
        assert!(refusal("npm ci", &package(nested)).contains("takes `b`"));
    }

    #[test]
    fn members_of_a_workspace_are_carried() {
        let root = r#"{"workspaces": ["packages/*", "tools"]}"#;
        let files = [
            ("package.json", root),
            LOCK,
            ("packages/a/package.json", "{}"),
            ("packages/b/package.json", "{}"),
            ("packages/b/x.js", ""),
            ("packages/none/x.js", ""),
            ("tools/package.json", "{}"),
        ];
        assert_eq!(
            footprint_of("npm ci", &files),
            "needs package-lock.json package.json packages/a/package.json packages/b/package.json tools/package.json; \
             writes node_modules/ packages/a/node_modules/ packages/b/node_modules/ tools/node_modules/"
        );
        let with = |member: &'static str| [("package.json", root), LOCK, ("packages/a/package.json", member)];
        assert!(refusal("npm ci", &with(r#"{"scripts": {"prepare": "x"}}"#)).contains("`packages/a/package.json` runs a `prepare` script"));
        assert!(refusal("npm ci", &with(r#"{"bin": "cli.js"}"#)).contains("links a program of `packages/a/package.json`"));
        assert!(refusal("npm ci", &with(r#"{"dependencies": {"b": "file:../b"}}"#)).contains("takes `b`"));
        assert!(refusal("npm ci", &[("package.json", r#"{"workspaces": ["{a,b}"]}"#), LOCK]).contains("is not followed"));
        assert!(
            refusal("cd packages/a && npm ci", &[("package.json", root), LOCK, ("packages/a/package.json", "{}"), ("packages/a/package-lock.json", "{}")])
                .contains("member of a workspace")
        );
    }

    #[test]
    fn a_package_known_to_touch_the_project_stands_in_the_way() {
        assert!(refusal("npm ci", &package(r#"{"dependencies": {"@prisma/client": "5"}}"#)).contains("`@prisma/client` reads or writes the project"));
        assert!(refusal("npm ci", &[PACKAGE, ("package-lock.json", r#"{"packages": {"node_modules/husky": {}}}"#)]).contains("`husky`"));
        assert!(footprint_of("npm ci --ignore-scripts", &package(r#"{"dependencies": {"@prisma/client": "5"}}"#)).starts_with("needs"));
        assert!(
            footprint_of("npm ci", &[PACKAGE, ("package-lock.json", r#"{"packages": {"node_modules/a": {"peerDependencies": {"puppeteer": "*"}}}}"#)])
                .starts_with("needs")
        );
        assert!(refusal("npm ci", &[PACKAGE, LOCK, ("binding.gyp", "")]).contains("compile sources"));
    }

    #[test]
    fn what_is_not_known_stands_in_the_way() {
        assert!(refusal("npm ci", &[LOCK]).contains("`package.json` is not in the build context"));
        assert!(refusal("npm ci", &[("package.json", "{"), LOCK]).contains("not valid JSON"));
        assert!(refusal("npm ci --frobnicate", &[PACKAGE, LOCK]).contains("`--frobnicate` of `npm ci` is not known"));
        assert!(refusal("npm ci --prefix $DIR", &[PACKAGE, LOCK]).contains("`$DIR`"));
        assert!(refusal("npm_config_userconfig=x npm ci", &[PACKAGE, LOCK]).contains("npm_config_userconfig"));
        assert!(refusal("npm run build", &[PACKAGE, LOCK]).contains("may read or write anything"));
        assert!(refusal("npm ci && npm run build", &[PACKAGE, LOCK]).contains("`npm run` may read or write anything"));
        assert!(refusal("sudo npm ci", &[PACKAGE, LOCK]).contains("`sudo`"));
    }

    #[test]
    fn a_setting_that_names_a_file_stands_in_the_way() {
        assert_eq!(
            refusal("npm ci", &[PACKAGE, LOCK, (".npmrc", "cafile=ca.pem")]),
            ".npmrc:cafile: what `cafile` of `.npmrc` reads or writes is not followed"
        );
        assert!(refusal("npm ci", &[PACKAGE, LOCK, (".npmrc", "node-options = --require ./x.js")]).contains("node-options"));
        assert!(
            footprint_of("npm ci", &[PACKAGE, LOCK, (".npmrc", "@x:registry=https://r/\nengine-strict=true\nsave-exact=true")]).starts_with("needs .npmrc")
        );
        assert!(refusal("bun ci", &[PACKAGE, ("bun.lock", "{}"), ("bunfig.toml", "[install.cache]\ndir = \"x\"")]).contains("`dir`"));
    }

    #[test]
    fn global_packages_need_no_manifest() {
        assert_eq!(footprint_of("npm install -g pnpm@9", &[PACKAGE, LOCK]), "needs nothing; writes nothing");
        assert_eq!(footprint_of("npm i -g npm@latest && npm ci", &[PACKAGE, LOCK]), "needs package-lock.json package.json; writes node_modules/");
        assert_eq!(footprint_of("corepack enable", &[]), "needs nothing; writes nothing");
        assert_eq!(footprint_of("corepack prepare pnpm@9.1.0 --activate", &[]), "needs nothing; writes nothing");
        assert_eq!(footprint_of("corepack prepare", &[PACKAGE]), "needs package.json; writes nothing");
        assert!(refusal("npm i -g .", &[PACKAGE]).contains("may name a folder"));
        assert!(refusal("npm i -g $PKG", &[PACKAGE]).contains("may name a folder"));
    }

    #[test]
    fn yarn_classic_is_told_by_its_lockfile() {
        let lock = ("yarn.lock", "# yarn lockfile v1\n");
        assert_eq!(footprint_of("yarn install --frozen-lockfile", &[PACKAGE, lock]), "needs package.json yarn.lock; writes node_modules/");
        assert_eq!(
            footprint_of("yarn --frozen-lockfile --network-timeout 100000 && yarn cache clean", &[PACKAGE, lock]),
            "needs package.json yarn.lock; writes node_modules/"
        );
        assert_eq!(refusal("yarn", &[PACKAGE, lock]), "`yarn install` may rewrite `yarn.lock`");
        assert!(refusal("yarn --frozen-lockfile", &[PACKAGE]).contains("which Yarn"));
        assert!(refusal("yarn --frozen-lockfile", &[PACKAGE, lock, (".yarnrc", "yarn-offline-mirror \"./m\"")]).contains("yarn-offline-mirror"));
        assert_eq!(
            footprint_of(
                "yarn --frozen-lockfile",
                &[PACKAGE, lock, (".yarnrc", "yarn-path \".yarn/releases/yarn-1.22.cjs\""), (".yarn/releases/yarn-1.22.cjs", "")]
            ),
            "needs .yarnrc package.json yarn.lock .yarn/releases/; writes node_modules/"
        );
        assert!(refusal("yarn build", &[PACKAGE, lock]).contains("may read or write anything"));
        assert!(refusal("yarn add x", &[PACKAGE, lock]).contains("rewrites `package.json`"));
    }

    #[test]
    fn yarn_berry_brings_its_own_release_and_plugins() {
        let files = [
            PACKAGE,
            ("yarn.lock", "__metadata:\n  version: 8\n"),
            (".yarnrc.yml", "yarnPath: .yarn/releases/yarn-4.cjs\nnodeLinker: node-modules\n"),
            (".yarn/releases/yarn-4.cjs", ""),
        ];
        assert_eq!(
            footprint_of("yarn install --immutable", &files),
            "needs .yarnrc.yml package.json yarn.lock .yarn/releases/; \
             writes .pnp.cjs .pnp.loader.mjs .yarn/build-state.yml .yarn/cache/ .yarn/install-state.gz .yarn/unplugged/ node_modules/"
        );
        assert!(refusal("yarn install", &files).contains("may rewrite `yarn.lock`"));
        let mut cached = files.to_vec();
        cached.push((".yarn/cache/a.zip", ""));
        assert!(refusal("yarn install --immutable", &cached).contains("kept in `.yarn/cache`"));
        assert!(
            refusal("yarn install --immutable", &[PACKAGE, ("yarn.lock", "__metadata:"), (".yarnrc.yml", "yarnPath: tools/yarn.cjs")]).contains("`yarnPath`")
        );
    }

    #[test]
    fn pnpm_follows_its_workspace_and_patches() {
        let lock = ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
        assert_eq!(footprint_of("pnpm install --frozen-lockfile", &[PACKAGE, lock]), "needs package.json pnpm-lock.yaml; writes node_modules/");
        assert_eq!(footprint_of("pnpm i --frozen-lockfile --prod", &[PACKAGE, lock]), "needs package.json pnpm-lock.yaml; writes node_modules/");
        assert!(refusal("pnpm install", &[PACKAGE, lock]).contains("may rewrite `pnpm-lock.yaml`"));
        let files = [
            PACKAGE,
            lock,
            ("pnpm-workspace.yaml", "packages:\n  - 'apps/**'\n  - '!apps/old'\npatchedDependencies:\n  x@1: patches/x.patch\n"),
            ("apps/a/b/package.json", "{}"),
            ("apps/old/package.json", "{"),
            ("patches/x.patch", ""),
        ];
        assert_eq!(
            footprint_of("pnpm install --frozen-lockfile", &files),
            "needs apps/a/b/package.json package.json patches/x.patch pnpm-lock.yaml pnpm-workspace.yaml; writes apps/a/b/node_modules/ node_modules/"
        );
        assert_eq!(footprint_of("pnpm fetch", &files), "needs package.json patches/x.patch pnpm-lock.yaml pnpm-workspace.yaml; writes node_modules/");
        assert!(refusal("pnpm install --frozen-lockfile", &[PACKAGE, lock, (".pnpmfile.cjs", "require('./x')")]).contains("may read any file"));
        assert!(footprint_of("pnpm install --frozen-lockfile", &[PACKAGE, lock, (".pnpmfile.cjs", "module.exports = {}")]).contains(".pnpmfile.cjs"));
        assert!(
            refusal("pnpm install --frozen-lockfile", &[("package.json", r#"{"pnpm": {"patchedDependencies": {"x": "patches/y.patch"}}}"#), lock])
                .contains("`patches/y.patch`")
        );
    }

    #[test]
    fn bun_has_two_lockfiles() {
        assert_eq!(
            footprint_of("bun install --frozen-lockfile --production", &[PACKAGE, ("bun.lock", "{}"), ("bunfig.toml", "")]),
            "needs bun.lock bunfig.toml package.json; writes node_modules/"
        );
        assert!(footprint_of("bun ci", &[PACKAGE, ("bun.lockb", "")]).contains("bun.lockb"));
        assert!(refusal("bun install", &[PACKAGE, ("bun.lock", "{}")]).contains("may rewrite `bun.lock`"));
        assert!(refusal("bun run build", &[PACKAGE]).contains("may read or write anything"));
    }
}
