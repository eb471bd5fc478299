//! Composer.
//!
//! Facts: docs/facts.md B.8; <https://getcomposer.org/doc/03-cli.md#install-i>,
//! <https://getcomposer.org/doc/articles/scripts.md>.

use super::arguments::{Flags, Means, Tool, frozen, switch, valued, verb};
use super::manifest::{Collector, json, locate};
use super::{Action, Manager, Obstacle, Role};
use crate::effects::Place;
use crate::facts::join;
use serde_json::Value;

const NONE: &[Flags] = &[];

const FLAGS: &[Flags] = &[
    switch("--no-scripts", Means::NoScripts),
    switch("--no-autoloader", Means::NoAutoloader),
    switch("--no-plugins", Means::NoPlugins),
    switch("-o --optimize-autoloader --classmap-authoritative -a --apcu-autoloader", Means::Optimise),
    switch("--no-cache", Means::NoCache),
    switch("-n --no-interaction --no-progress --no-dev --dev --prefer-dist --prefer-source --no-suggest --ansi --no-ansi -q --quiet", Means::Nothing),
    switch("-v -vv -vvv --verbose --ignore-platform-reqs --no-security-blocking --audit --download-only --profile", Means::Nothing),
    valued("--ignore-platform-req --audit-format --prefer-install", Means::Nothing),
    valued("-d --working-dir", Means::Path(Role::Folder)),
];

/// Commands of Composer.
pub(super) const TOOLS: &[Tool] = &[Tool {
    manager: Manager::Composer,
    programs: "composer composer.phar",
    verbs: &[
        frozen("install|i", Action::InstallDependencies, NONE),
        verb("update|u|upgrade|require|r|remove", Action::Build, NONE),
        frozen("global require", Action::InstallNamed, NONE),
        frozen("clear-cache|clearcache|cc", Action::Clean, NONE),
        frozen("config", Action::Other, &[switch("-g --global", Means::Global)]),
        frozen("self-update|selfupdate|diagnose", Action::Other, &[switch("--2 --1 --stable", Means::Nothing)]),
    ],
    flags: FLAGS,
    default: None,
    otherwise: Action::Build,
}];

/// Variables of Composer that name no file that is read.
const KNOWN_VARIABLES: &[&str] = &[
    "COMPOSER_ALLOW_SUPERUSER",
    "COMPOSER_HOME",
    "COMPOSER_CACHE_DIR",
    "COMPOSER_NO_INTERACTION",
    "COMPOSER_MEMORY_LIMIT",
    "COMPOSER_PROCESS_TIMEOUT",
    "COMPOSER_VERSION",
    "COMPOSER_NO_DEV",
    "COMPOSER_AUTH",
    "COMPOSER_MAX_PARALLEL_HTTP",
    "COMPOSER_DISABLE_XDEBUG_WARN",
    "COMPOSER_IPRESOLVE",
    "COMPOSER_FUND",
];

/// Events of an install that may have scripts.
const EVENTS: &[&str] = &[
    "pre-install-cmd",
    "post-install-cmd",
    "pre-autoload-dump",
    "post-autoload-dump",
    "pre-package-install",
    "post-package-install",
    "pre-operations-exec",
    "init",
    "command",
    "pre-file-download",
    "post-file-download",
    "pre-command-run",
    "pre-pool-create",
    "pre-dependencies-solving",
    "post-dependencies-solving",
];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    collector.check_variables(&["COMPOSER_"], KNOWN_VARIABLES)?;
    collector.touches_outside();
    match step.action {
        Action::InstallDependencies => install(collector),
        Action::Other if step.display.ends_with("config") && !step.has(Means::Global) => Err(collector.obstacle("`composer config` rewrites `composer.json`")),
        _ => Ok(()),
    }
}

fn install(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    let path = join(folder, "composer.json");
    let text = collector.require(&path)?;
    let value = json(&path, "composer.json", &text)?;
    let refuse = |key: &[&str], reason: String| Err(Obstacle::in_file(&path, locate(&text, key), reason));
    collector.exists(&join(folder, "auth.json"))?;
    let lock = join(folder, "composer.lock");
    let locked = collector.optional(&lock)?;
    if locked.is_none() {
        collector.writes(Place::File(lock.clone()));
    }
    let scripts = value.get("scripts").and_then(Value::as_object);
    if let Some(name) = EVENTS.iter().find(|it| scripts.is_some_and(|scripts| scripts.contains_key(**it)))
        && !step.has(Means::NoScripts)
    {
        return refuse(&["scripts", name], format!("`composer.json` runs a `{name}` script, which may read any file; `--no-scripts` leaves it out"));
    }
    if let Some(name) = plugin(&value)
        && !step.has(Means::NoPlugins)
    {
        return refuse(&["allow-plugins"], format!("the plugin `{name}` may read or write the project"));
    }
    if !step.has(Means::NoAutoloader)
        && let Some(what) = autoload_from_sources(&value, step.has(Means::Optimise))
    {
        return refuse(&[what], format!("the autoloader is made from the sources (`{what}`); `--no-autoloader` leaves it out"));
    }
    if let Some(kind) = local_repository(&value) {
        return refuse(&["repositories"], format!("`composer.json` has a repository of type `{kind}`"));
    }
    if let Some(text) = locked.filter(|it| is_local_lock(it)) {
        return Err(Obstacle::in_file(&lock, locate(&text, &["path"]), "`composer.lock` takes a package from a folder"));
    }
    let vendor = value.pointer("/config/vendor-dir").and_then(Value::as_str).unwrap_or("vendor");
    let programs = value.pointer("/config/bin-dir").and_then(Value::as_str);
    for name in std::iter::once(vendor).chain(programs) {
        if name.contains('$') {
            return refuse(&["config"], format!("the folder `{name}` is not known"));
        }
        collector.writes(Place::tree(join(folder, name)));
    }
    if value.pointer("/extra/installer-paths").is_some() {
        return refuse(&["installer-paths"], "`installer-paths` puts packages beside the sources".to_owned());
    }
    Ok(())
}

/// A plugin that is allowed to run.
fn plugin(value: &Value) -> Option<String> {
    match value.pointer("/config/allow-plugins")? {
        Value::Bool(true) => Some("*".to_owned()),
        Value::Object(plugins) => plugins.iter().find(|(_, allowed)| **allowed == Value::Bool(true)).map(|(name, _)| name.clone()),
        _ => None,
    }
}

/// PSR-4 is a table of folders, which takes no look at them; all else is.
fn autoload_from_sources(value: &Value, optimised: bool) -> Option<&'static str> {
    let kinds = ["classmap", "files", "psr-0"];
    let sections = ["autoload", "autoload-dev"];
    let listed = kinds.into_iter().find(|kind| sections.iter().any(|section| value.get(section).is_some_and(|it| it.get(kind).is_some())));
    let settings = ["optimize-autoloader", "classmap-authoritative"];
    let set = settings.into_iter().find(|it| value.pointer("/config").and_then(|config| config.get(it)) == Some(&Value::Bool(true)));
    listed.or(set).or(optimised.then_some("autoload"))
}

fn local_repository(value: &Value) -> Option<&str> {
    let repositories: Vec<&Value> = match value.get("repositories")? {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => return None,
    };
    let is_local = |it: &Value| it.get("url").and_then(Value::as_str).is_some_and(|it| !it.contains("://") && !it.starts_with("git@"));
    let local = repositories.into_iter().find(|it| matches!(it.get("type").and_then(Value::as_str), Some("path" | "artifact")) || is_local(it))?;
    local.get("type").and_then(Value::as_str).or(Some("local"))
}

fn is_local_lock(text: &str) -> bool {
    text.contains("\"type\": \"path\"")
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_of, refusal};

    const LOCK: (&str, &str) = ("composer.lock", "{}");

    fn project(text: &str) -> [(&'static str, &str); 2] {
        [("composer.json", text), LOCK]
    }

    #[test]
    fn the_manifest_and_the_lockfile_are_enough_without_scripts() {
        let needed = "needs composer.json composer.lock; writes vendor/";
        assert_eq!(footprint_of("composer install --no-dev --no-interaction", &project("{}")), needed);
        assert_eq!(footprint_of("composer install", &project(r#"{"autoload": {"psr-4": {"A\\": "src/"}}}"#)), needed);
        let full = r#"{"scripts": {"post-install-cmd": "x"}, "autoload": {"classmap": ["database"]}}"#;
        assert_eq!(footprint_of("composer install --no-scripts --no-autoloader", &project(full)), needed);
        assert_eq!(footprint_of("composer install", &[("composer.json", "{}")]), "needs composer.json; writes composer.lock vendor/");
        assert_eq!(
            footprint_of("composer i", &project(r#"{"config": {"vendor-dir": "lib", "bin-dir": "bin"}}"#)),
            "needs composer.json composer.lock; writes bin/ lib/"
        );
    }

    #[test]
    fn scripts_plugins_and_sources_stand_in_the_way() {
        for (text, reason) in [
            (r#"{"scripts": {"post-autoload-dump": "x"}}"#, "runs a `post-autoload-dump` script"),
            (r#"{"config": {"allow-plugins": {"symfony/flex": true}}}"#, "the plugin `symfony/flex`"),
            (r#"{"autoload": {"classmap": ["a"]}}"#, "(`classmap`)"),
            (r#"{"autoload": {"files": ["a.php"]}}"#, "(`files`)"),
            (r#"{"config": {"optimize-autoloader": true}}"#, "(`optimize-autoloader`)"),
            (r#"{"repositories": [{"type": "path", "url": "../a"}]}"#, "type `path`"),
            (r#"{"extra": {"installer-paths": {}}}"#, "beside the sources"),
            ("{", "not valid JSON"),
        ] {
            assert!(refusal("composer install", &project(text)).contains(reason), "{text}: {}", refusal("composer install", &project(text)));
        }
        assert!(refusal("composer install -o", &project("{}")).contains("--no-autoloader"));
        assert!(footprint_of("composer install", &project(r#"{"scripts": {"test": "x"}, "config": {"allow-plugins": {"a/b": false}}}"#)).starts_with("needs"));
        for script in ["composer update", "composer require x", "composer dump-autoload", "composer config x y", "composer run x"] {
            assert!(!refusal(script, &project("{}")).starts_with("not refused"), "{script}");
        }
    }
}
