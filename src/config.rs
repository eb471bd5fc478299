//! Configuration: the file `.layerwise.yaml`, and the same keys from the editor's settings.
//!
//! A wrong key or value is left out, reported, and never in the way of the others.

use crate::diagnostic::{Diagnostic, FileSpan, Level};
use crate::edit::Span;
use crate::facts::{self, Text};
use crate::file::CONFIGURATION;
use crate::snapshot::Snapshot;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

/// The name that problems of a configuration file are reported under.
pub const RULE: &str = "configuration";

/// A key of the configuration. Configuration file, editor settings and their descriptions are all
/// made from [`KEYS`].
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// What its value looks like.
    pub shape: Shape,
}

/// What the value of a key looks like.
pub enum Shape {
    /// A mapping from names of rules to levels.
    Levels,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A text.
    Text,
}

/// Every key there is.
pub static KEYS: &[Key] = &[
    Key { name: "rules", description: "The level of each rule, by its name. `off` silences a rule.", shape: Shape::Levels },
    Key { name: "builder", description: "The builder that the images are built with.", shape: Shape::Choice(&["buildkit", "classic", "buildah", "kaniko"]) },
    Key { name: "exclude", description: "Files that are not checked, as patterns of `.gitignore`, relative to the configuration file.", shape: Shape::Texts },
    Key { name: "volatile-args", description: "Build arguments whose value changes with every commit; `*` stands for any text.", shape: Shape::Texts },
    Key { name: "minimum-buildkit", description: "The oldest version of BuildKit that has to build the images, such as \"0.20\".", shape: Shape::Text },
];

const LEVELS: &[&str] = &["off", "hint", "info", "warning", "error"];

/// What builds the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Builder {
    /// BuildKit, in docker, buildx or alone.
    #[default]
    Buildkit,
    /// The builder that docker had before.
    Classic,
    /// Buildah and podman.
    Buildah,
    /// Kaniko.
    Kaniko,
}

impl Builder {
    fn of(word: &str) -> Option<Builder> {
        Some(match word {
            "buildkit" => Builder::Buildkit,
            "classic" => Builder::Classic,
            "buildah" => Builder::Buildah,
            "kaniko" => Builder::Kaniko,
            _ => return None,
        })
    }
}

/// Something in a configuration that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to it, outer ones first; empty for the whole.
    pub keys: Vec<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What one source of configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    rules: BTreeMap<String, Level>,
    builder: Option<Builder>,
    exclude: Vec<String>,
    volatile_args: Vec<String>,
    minimum_buildkit: Option<(u32, u32)>,
}

impl Settings {
    /// Reads settings from the value of a configuration file or of the editor.
    pub fn read(value: &Value, known_rules: &[&str]) -> (Settings, Vec<Problem>) {
        let mut reader = Reader { known_rules, settings: Settings::default(), problems: Vec::new() };
        match value {
            Value::Null => {}
            Value::Object(map) => map.iter().for_each(|(key, value)| reader.key(key, value)),
            _ => reader.problem(&[], "the configuration is not a mapping".into()),
        }
        (reader.settings, reader.problems)
    }

    /// Reads the text of a configuration file.
    pub fn parse(text: &str, known_rules: &[&str]) -> (Settings, Vec<Problem>) {
        match serde_yaml::from_str::<Value>(text) {
            Ok(value) => Settings::read(&value, known_rules),
            Err(err) => (Settings::default(), vec![Problem { keys: Vec::new(), message: format!("not read: {err}") }]),
        }
    }
}

struct Reader<'a> {
    known_rules: &'a [&'a str],
    settings: Settings,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, keys: &[&str], message: String) {
        self.problems.push(Problem { keys: keys.iter().map(|it| (*it).to_owned()).collect(), message });
    }

    fn key(&mut self, key: &str, value: &Value) {
        match key {
            "rules" => self.rules(value),
            "builder" => match value.as_str().and_then(Builder::of) {
                Some(builder) => self.settings.builder = Some(builder),
                None => self.wrong_word(&[key], value, &["buildkit", "classic", "buildah", "kaniko"]),
            },
            "exclude" => {
                let globs = self.texts(key, value);
                self.settings.exclude = self.valid_globs(globs);
            }
            "volatile-args" => self.settings.volatile_args = self.texts(key, value),
            "minimum-buildkit" => match value {
                Value::Null => {}
                Value::String(text) if version(text).is_some() => self.settings.minimum_buildkit = version(text),
                Value::Number(it) => self.problem(&[key], format!("`{it}` is a number, and not every version is one: write it in quotes, `\"0.20\"`")),
                _ => self.problem(&[key], format!("{} is not a version such as `\"0.20\"`", shown(value))),
            },
            _ => {
                let names: Vec<&str> = KEYS.iter().map(|it| it.name).collect();
                self.problem(&[key], format!("there is no key `{key}`{}", hint(key, &names)));
            }
        }
    }

    fn rules(&mut self, value: &Value) {
        let Some(map) = value.as_object() else {
            if !value.is_null() {
                self.problem(&["rules"], "`rules` is not a mapping from names to levels".into());
            }
            return;
        };
        for (name, level) in map {
            // To YAML 1.1, which editors may read settings by, an unquoted `off` is the truth value.
            let level_word = if level == &Value::Bool(false) { Some("off") } else { level.as_str() };
            if !self.known_rules.contains(&name.as_str()) {
                self.problem(&["rules", name], format!("there is no rule `{name}`{}", hint(name, self.known_rules)));
            } else if let Some(level) = level_word.and_then(Level::of) {
                self.settings.rules.insert(name.clone(), level);
            } else {
                self.wrong_word(&["rules", name], level, LEVELS);
            }
        }
    }

    fn wrong_word(&mut self, keys: &[&str], value: &Value, words: &[&str]) {
        if !value.is_null() {
            let list = words.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
            let near = value.as_str().map_or(String::new(), |it| hint(it, words));
            self.problem(keys, format!("{} is none of {list}{near}", shown(value)));
        }
    }

    fn texts(&mut self, key: &str, value: &Value) -> Vec<String> {
        match value {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items.iter().filter_map(|it| self.item(key, it)).collect(),
            _ => {
                self.problem(&[key], format!("`{key}` is not a list"));
                Vec::new()
            }
        }
    }

    fn item(&mut self, key: &str, value: &Value) -> Option<String> {
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.problem(&[key], format!("{} is not a text", shown(value)));
        }
        text
    }

    fn valid_globs(&mut self, globs: Vec<String>) -> Vec<String> {
        let (valid, wrong): (Vec<_>, Vec<_>) = globs.into_iter().partition(|it| GitignoreBuilder::new("").add_line(None, it).is_ok());
        for glob in wrong {
            self.problem(&["exclude"], format!("`{glob}` is not a pattern"));
        }
        valid
    }
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// `0.20`, `v0.20.1`: major and minor version.
fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split('.').next()?;
    let rest_is_number = rest.split('.').all(|it| it.parse::<u32>().is_ok());
    rest_is_number.then_some((major.parse().ok()?, minor.parse().ok()?))
}

/// `; did you mean …` where a candidate is near.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates) {
        Some(it) => format!("; did you mean `{it}`?"),
        None => String::new(),
    }
}

/// The candidate that a word was most likely meant to be. One with other letters than names have, as
/// it may stand in a broken file, is never meant: fixes write what this gives.
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let is_name = |it: &&&str| it.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.'));
    let candidates: Vec<&'a str> = candidates.iter().filter(is_name).copied().collect();
    // Longer words are no names, and the distance takes time in the square of the length.
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let start: String = word.iter().collect();
    if word.len() > 2
        && let Some(longer) = candidates.iter().find(|it| it.starts_with(&start))
    {
        return Some(longer);
    }
    let (distance, candidate) = candidates.iter().map(|it| (distance(&word, it), *it)).min()?;
    (distance <= 1 + word.len() / 4).then_some(candidate)
}

/// How many letters have to be put in, taken out or changed.
fn distance(word: &[char], other: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.len()).collect();
    for (i, letter) in other.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, it) in word.iter().enumerate() {
            let change = diagonal + usize::from(*it != letter);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[word.len()]
}

/// What the command line says of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only these rules, whatever their configured level.
    pub select: Option<BTreeSet<String>>,
    /// Not these rules.
    pub ignore: BTreeSet<String>,
}

/// The configuration of one file.
#[derive(Debug, Clone, Default)]
pub struct Config {
    settings: Settings,
    choice: Choice,
    /// Folders and the patterns of files below them that are left out.
    exclude: Vec<(String, Gitignore)>,
}

impl Config {
    /// A configuration file stands in front of the editor's settings, key by key and rule by rule.
    fn merge(editor: &Settings, root: &str, file: Option<(&str, &Settings)>, choice: &Choice) -> Config {
        let mut settings = editor.clone();
        let mut exclude = vec![(root.to_owned(), matcher(&editor.exclude))];
        if let Some((folder, file)) = file {
            settings.rules.extend(file.rules.clone());
            settings.builder = file.builder.or(settings.builder);
            settings.minimum_buildkit = file.minimum_buildkit.or(settings.minimum_buildkit);
            settings.volatile_args.extend(file.volatile_args.iter().cloned());
            exclude.push((folder.to_owned(), matcher(&file.exclude)));
        }
        exclude.retain(|(_, it)| !it.is_empty());
        Config { settings, choice: choice.clone(), exclude }
    }

    /// The level of a rule whose own is `default`.
    pub fn level(&self, rule: &str, default: Level) -> Level {
        if self.choice.ignore.contains(rule) {
            return Level::Off;
        }
        let level = self.settings.rules.get(rule).copied().unwrap_or(default);
        match &self.choice.select {
            None => level,
            Some(selected) if !selected.contains(rule) => Level::Off,
            // Whoever asks for a rule by name wants to see what it finds.
            Some(_) => level.max(Level::Info),
        }
    }

    /// Whether the file at `path` is not to be checked.
    pub fn is_excluded(&self, path: &str) -> bool {
        self.exclude.iter().any(|(folder, patterns)| {
            facts::relative(path, folder).is_some_and(|it| !it.is_empty() && patterns.matched_path_or_any_parents(it, false).is_ignore())
        })
    }

    /// What builds the images.
    pub fn builder(&self) -> Builder {
        self.settings.builder.unwrap_or_default()
    }

    /// Patterns of the names of build arguments whose value changes with every commit.
    pub fn volatile_arguments(&self) -> &[String] {
        &self.settings.volatile_args
    }

    /// The oldest BuildKit that has to build the images: major and minor version.
    pub fn minimum_buildkit(&self) -> Option<(u32, u32)> {
        self.settings.minimum_buildkit
    }
}

fn matcher(globs: &[String]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for glob in globs {
        // Wrong patterns were reported and left out when they were read.
        let _ = builder.add_line(None, glob);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// Where configuration comes from, and what was made of it.
#[derive(Debug, Default)]
pub struct Configs {
    /// Settings of the editor.
    pub editor: Settings,
    /// What the command line says of rules.
    pub choice: Choice,
    /// The folder and content of the configuration file that the command line names; others are
    /// not looked for then.
    pub fixed: Option<(String, Settings)>,
    /// Names that `rules` may have.
    pub known_rules: Vec<&'static str>,
    /// By folder of the configuration file, or by root where there is none.
    made: Mutex<BTreeMap<String, Made>>,
}

#[derive(Debug)]
struct Made {
    text: Option<Arc<str>>,
    config: Arc<Config>,
}

impl Configs {
    /// Configuration from files only. `known_rules` are the names that `rules` may have.
    pub fn new(known_rules: Vec<&'static str>) -> Configs {
        Configs { known_rules, ..Configs::default() }
    }

    /// The configuration of the file at `path`. While a configuration file is not known yet, it is
    /// taken not to be there, and wanted.
    pub fn of(&self, snapshot: &Snapshot, path: &str) -> Arc<Config> {
        let root = snapshot.root(path);
        if let Some((folder, settings)) = &self.fixed {
            return self.make(folder, None, || Config::merge(&self.editor, root, Some((folder, settings)), &self.choice));
        }
        match nearest_file(snapshot, path, root) {
            None => self.make(root, None, || Config::merge(&self.editor, root, None, &self.choice)),
            Some((folder, text)) => self.make(folder, Some(text.clone()), || {
                let (settings, _) = Settings::parse(&text, &self.known_rules);
                Config::merge(&self.editor, root, Some((folder, &settings)), &self.choice)
            }),
        }
    }

    /// The configuration files that were read so far.
    pub fn files(&self) -> Vec<String> {
        let made = self.made.lock().unwrap_or_else(|it| it.into_inner());
        made.iter().filter(|(_, it)| it.text.is_some()).map(|(folder, _)| facts::join(folder, CONFIGURATION)).collect()
    }

    fn make(&self, key: &str, text: Option<Arc<str>>, config: impl FnOnce() -> Config) -> Arc<Config> {
        // A poisoned lock only means that another thread panicked; what is in the map is whole.
        let mut made = self.made.lock().unwrap_or_else(|it| it.into_inner());
        match made.get(key) {
            Some(it) if it.text == text => it.config.clone(),
            _ => {
                let config = Arc::new(config());
                made.insert(key.to_owned(), Made { text, config: config.clone() });
                config
            }
        }
    }
}

/// The nearest configuration file from the folder of `path` up to `root`: its folder and text.
fn nearest_file<'a>(snapshot: &Snapshot, path: &'a str, root: &str) -> Option<(&'a str, Arc<str>)> {
    let mut folder = facts::parent(path);
    loop {
        if let Some(Text::Known(text)) = snapshot.text(&facts::join(folder, CONFIGURATION)) {
            return Some((folder, text));
        }
        if folder == root || folder == "/" || !facts::is_below(folder, root) {
            return None;
        }
        folder = facts::parent(folder);
    }
}

/// What is wrong in the configuration file at `path`.
pub fn check(path: &str, text: &str, known_rules: &[&str]) -> Vec<Diagnostic> {
    let (_, problems) = Settings::parse(text, known_rules);
    let path: Arc<str> = path.into();
    let diagnose = |problem: Problem| {
        let whole = problem.keys.is_empty();
        let span = if whole { unread(text) } else { locate(text, &problem.keys) };
        Diagnostic {
            rule: RULE,
            level: if whole { Level::Error } else { Level::Warning },
            at: FileSpan { path: path.clone(), span },
            message: problem.message,
            notes: Vec::new(),
            fixes: Vec::new(),
            elsewhere: None,
        }
    };
    problems.into_iter().map(diagnose).collect()
}

/// The place that reading stopped at: one character of it, or the first line.
fn unread(text: &str) -> Span {
    let error = serde_yaml::from_str::<Value>(text).err();
    let index = error.and_then(|it| it.location()).map(|it| it.index());
    match index.and_then(|at| Some((at, text.get(at..)?.chars().next()?))) {
        Some((at, letter)) if !letter.is_whitespace() => Span::new(at, at + letter.len_utf8()),
        _ => Span::new(0, text.lines().next().map_or(0, str::len)),
    }
}

/// Where the last of nested keys stands: each is looked for behind the one before it, as the first
/// thing of a line or behind what may stand before a key there.
fn locate(text: &str, keys: &[String]) -> Span {
    let mut span = Span::at(0);
    for key in keys {
        let rest = &text[span.end..];
        let found = rest.match_indices(key.as_str()).find(|(at, _)| {
            let line = &rest[rest[..*at].rfind('\n').map_or(0, |it| it + 1)..*at];
            let before = line.trim_start().trim_end_matches(['"', '\'']);
            let after = rest[at + key.len()..].trim_start_matches(['"', '\'', ' ']);
            (before.is_empty() || before.trim_end().ends_with(['{', ','])) && after.starts_with(':')
        });
        let Some((at, _)) = found else { break };
        span = Span::new(span.end + at, span.end + at + key.len());
    }
    if span.is_empty() { Span::new(0, text.lines().next().map_or(0, str::len)) } else { span }
}

/// The JSON schema of the configuration, for editors. `rules` are names, summaries and levels.
pub fn schema(rules: &[(&str, &str, Level)]) -> Value {
    let properties: serde_json::Map<String, Value> = KEYS
        .iter()
        .map(|key| {
            let mut value = match key.shape {
                Shape::Levels => json!({"type": "object", "additionalProperties": false, "properties": levels(rules)}),
                Shape::Choice(words) => json!({"type": "string", "enum": words}),
                Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
                Shape::Text => json!({"type": "string"}),
            };
            value["description"] = json!(key.description);
            (key.name.to_owned(), value)
        })
        .collect();
    json!({"$schema": "http://json-schema.org/draft-07/schema#", "title": "Layerwise", "type": "object", "additionalProperties": false, "properties": properties})
}

fn levels(rules: &[(&str, &str, Level)]) -> serde_json::Map<String, Value> {
    let level = |(name, summary, level): &(&str, &str, Level)| {
        ((*name).to_owned(), json!({"type": "string", "enum": LEVELS, "default": level.word(), "description": summary}))
    };
    rules.iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Host;
    use proptest::prelude::*;

    const RULES: &[&str] = &["copy-before-install", "unused-arg"];

    fn messages(text: &str) -> Vec<(String, String)> {
        check("/.layerwise.yaml", text, RULES).into_iter().map(|it| (it.at.span.of(text).to_owned(), it.message)).collect()
    }

    #[test]
    fn every_key_is_read() {
        let text = "rules:\n  unused-arg: off\n  copy-before-install: error\nbuilder: kaniko\nexclude: [vendor/]\nvolatile-args: [GIT_*]\nminimum-buildkit: \"0.20\"\n";
        let (settings, problems) = Settings::parse(text, RULES);
        assert_eq!(problems, []);
        let config = Config::merge(&Settings::default(), "/r", Some(("/r", &settings)), &Choice::default());
        assert_eq!(config.level("unused-arg", Level::Warning), Level::Off);
        assert_eq!(config.level("copy-before-install", Level::Warning), Level::Error);
        assert_eq!(config.level("other", Level::Hint), Level::Hint);
        assert_eq!(config.builder(), Builder::Kaniko);
        assert!(config.is_excluded("/r/vendor/x/Dockerfile"));
        assert!(!config.is_excluded("/r/Dockerfile"));
        assert!(!config.is_excluded("/else/vendor/Dockerfile"));
        assert_eq!(config.volatile_arguments(), ["GIT_*"]);
        assert_eq!(config.minimum_buildkit(), Some((0, 20)));
    }

    #[test]
    fn an_empty_file_is_no_problem() {
        for text in ["", "# nothing\n", "rules:\n", "exclude:\n", "builder:\n"] {
            assert_eq!(messages(text), [], "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let cases = [
            ("rule:\n  x: off\n", "rule", "there is no key `rule`; did you mean `rules`?"),
            ("rules:\n  unused-args: off\n", "unused-args", "there is no rule `unused-args`; did you mean `unused-arg`?"),
            ("rules:\n  unused-arg: warn\n", "unused-arg", "`warn` is none of `off`, `hint`, `info`, `warning`, `error`; did you mean `warning`?"),
            ("rules: {unused-arg: 3}\n", "unused-arg", "`3` is none of `off`, `hint`, `info`, `warning`, `error`"),
            ("builder: docker\n", "builder", "`docker` is none of `buildkit`, `classic`, `buildah`, `kaniko`"),
            ("minimum-buildkit: 0.20\n", "minimum-buildkit", "`0.2` is a number, and not every version is one: write it in quotes, `\"0.20\"`"),
            ("a: 1\nexclude: {}\n", "exclude", "`exclude` is not a list"),
            ("exclude: ['a{b']\n", "exclude", "`a{b` is not a pattern"),
            ("- a\n", "- a", "the configuration is not a mapping"),
        ];
        for (text, place, message) in cases {
            assert!(messages(text).contains(&(place.into(), message.into())), "{text:?}: {:?}", messages(text));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_error() {
        let found = check("/.layerwise.yaml", "rules: [\n", RULES);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Error);
    }

    #[test]
    fn the_file_stands_in_front_of_the_editor() {
        let (editor, _) = Settings::parse("rules: {unused-arg: error, copy-before-install: hint}\nbuilder: buildah\nexclude: [a]\n", RULES);
        let (file, _) = Settings::parse("rules: {unused-arg: info}\nexclude: [b]\n", RULES);
        let config = Config::merge(&editor, "/r", Some(("/r/sub", &file)), &Choice::default());
        assert_eq!(config.level("unused-arg", Level::Off), Level::Info);
        assert_eq!(config.level("copy-before-install", Level::Off), Level::Hint);
        assert_eq!(config.builder(), Builder::Buildah);
        assert!(config.is_excluded("/r/a"));
        assert!(config.is_excluded("/r/sub/b"));
        assert!(!config.is_excluded("/r/b"));
    }

    #[test]
    fn the_command_line_chooses_rules() {
        let choice = Choice { select: Some(["a".to_owned(), "b".to_owned()].into()), ignore: ["b".to_owned()].into() };
        let config = Config::merge(&Settings::default(), "/", None, &choice);
        assert_eq!(config.level("a", Level::Warning), Level::Warning);
        assert_eq!(config.level("a", Level::Off), Level::Info);
        assert_eq!(config.level("a", Level::Hint), Level::Info);
        assert_eq!(config.level("b", Level::Error), Level::Off);
        assert_eq!(config.level("c", Level::Error), Level::Off);
    }

    #[test]
    fn the_nearest_file_is_taken_and_not_one_above_the_root() {
        let mut host = Host::default();
        host.set_roots(["/w/r".into()]);
        let known = |text: &str| Text::Known(text.into());
        host.learn_text("/w/.layerwise.yaml", known("builder: kaniko\n"));
        let configs = Configs::new(RULES.to_vec());
        assert_eq!(configs.of(&host.snapshot(), "/w/r/a/Dockerfile").builder(), Builder::Buildkit);
        host.learn_text("/w/r/.layerwise.yaml", known("builder: classic\n"));
        assert_eq!(configs.of(&host.snapshot(), "/w/r/a/Dockerfile").builder(), Builder::Classic);
        host.learn_text("/w/r/a/.layerwise.yaml", known("builder: buildah\n"));
        assert_eq!(configs.of(&host.snapshot(), "/w/r/a/Dockerfile").builder(), Builder::Buildah);
        host.learn_text("/w/r/a/.layerwise.yaml", known("builder: kaniko\n"));
        assert_eq!(configs.of(&host.snapshot(), "/w/r/a/Dockerfile").builder(), Builder::Kaniko);
        assert_eq!(configs.of(&host.snapshot(), "/w/r/Dockerfile").builder(), Builder::Classic);
    }

    #[test]
    fn the_schema_has_every_key() {
        let schema = schema(&[("unused-arg", "Not used.", Level::Info)]);
        for key in KEYS {
            assert!(schema["properties"][key.name]["description"].is_string(), "{}", key.name);
        }
        assert_eq!(schema["properties"]["rules"]["properties"]["unused-arg"]["default"], "info");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(rules|builder|exclude|[a-z:\\-{}\\[\\]\"' \n&*é]){0,40}") {
            check("/c", &text, RULES);
        }
    }
}
