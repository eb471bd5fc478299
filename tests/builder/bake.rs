//! What a call of bake builds of files made at random, beside what `buildx bake --print` says.

use layerwise::build::{BuildArgument, Context};
use layerwise::cache::CacheEntry;
use layerwise::config::Config;
use layerwise::file::{File, Kind};
use layerwise::links::baked::Baked;
use layerwise::snapshot::Host;
use layerwise::value::Value;
use layerwise::view::View;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a target builds, by attribute; nothing for one of which a part is not known.
type Target = BTreeMap<&'static str, Option<Vec<String>>>;

/// Files and the names that bake is asked for.
#[derive(Debug)]
pub struct Call {
    pub files: Vec<(&'static str, String)>,
    /// They are named, in this order; else they are those that bake looks for.
    is_named: bool,
    names: Vec<&'static str>,
}

/// What was found of a call.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Bake refuses the files.
    Refused,
    /// The model does not say what is built.
    Unknown,
    /// Both say the same.
    Same,
    /// The same, also of a target that a compose file and a bake file make together.
    SameOfBoth,
}

/// Numbers that choose; they shrink to zero.
struct Choices<'a>(std::slice::Iter<'a, usize>);

impl Choices<'_> {
    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.next().unwrap_or(&0) % from.len()]
    }

    /// Some of `from`, in order.
    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        from.iter().copied().filter(|_| self.of(&[false, false, true])).collect()
    }

    /// Some lines, each of another attribute: one that stands twice is refused.
    fn attributes<'t>(&mut self, lines: &[&'t str]) -> Vec<&'t str> {
        let mut seen = BTreeSet::new();
        self.some(lines).into_iter().filter(|it| seen.insert(it.split([' ', ':']).next())).collect()
    }
}

/// Targets, each of which may inherit from those before it.
const NAMES: &[&str] = &["d", "e", "my_app", "a", "b", "c", "default"];
/// Services.
const SERVICES: &[&str] = &["d", "e", "my.app", "a"];

impl Call {
    /// The call that numbers choose.
    pub fn of(choices: &[usize]) -> Call {
        let mut choices = Choices(choices.iter());
        let composes = choices.some(&["compose.yaml", "docker-compose.yml", "docker-compose.yaml"]);
        let mut files: Vec<_> = composes.into_iter().map(|it| (it, compose(&mut choices))).collect();
        let has = |name: &&str| files.iter().any(|(_, text)| text.contains(&format!("\n  {name}:\n")));
        let services: Vec<&str> = SERVICES.iter().copied().filter(has).map(|it| if it == "my.app" { "my_app" } else { it }).collect();
        let n_composes = files.len();
        files.push(("docker-bake.hcl", bake(&mut choices, &services)));
        // Bake refuses names that nothing has.
        files[n_composes].1 += "target \"a\" {}\ntarget \"b\" {}\ntarget \"c\" {}\n";
        for name in choices.some(&["docker-bake.override.json", "docker-bake.override.hcl"]) {
            files.push((name, if name.ends_with(".hcl") { bake(&mut choices, &services) } else { json(&mut choices, &services) }));
        }
        let is_named = choices.of(&[false, true]);
        if is_named {
            let by = choices.of(&[0, 1, 2, 3]) % files.len();
            files.rotate_left(by);
        }
        let mut names = vec![&[][..], &["a"], &["b"], &["group"], &["a", "c"], &["p-x"], &["default"]];
        if services.contains(&"d") {
            names.extend([&["d"][..], &["d", "a"], &["c", "d"]]);
        }
        if services.contains(&"my_app") {
            names.extend([&["my.app"][..], &["my_app", "b"]]);
        }
        Call { files, is_named, names: choices.of(&names).to_vec() }
    }

    /// Whether a service and a target of a bake file with attributes of its own are one of those that are built.
    fn is_of_both(&self, built: &BTreeMap<String, Target>) -> bool {
        let stands = |text: &String| self.files.iter().any(|(_, it)| it.contains(text.as_str()));
        let of_both = |name: &String| {
            let is_target = stands(&format!("target \"{name}\" {{\n")) || stands(&format!("{{\"target\": {{\"{name}\""));
            is_target && stands(&format!("\n  {}:\n", name.replace('_', ".")))
        };
        built.keys().any(of_both)
    }

    /// Compares what is built.
    ///
    /// # Errors
    ///
    /// How the two differ.
    pub fn judge(&self) -> Result<Found, String> {
        let folder = tempfile::tempdir().map_err(|it| it.to_string())?;
        for (name, text) in &self.files {
            std::fs::write(folder.path().join(name), text).map_err(|it| it.to_string())?;
        }
        let Some(printed) = printed(folder.path(), &self.arguments())? else { return Ok(Found::Refused) };
        let Some(modelled) = self.modelled() else { return Ok(Found::Unknown) };
        let names = |it: &BTreeMap<String, Target>| it.keys().cloned().collect::<BTreeSet<_>>();
        let mut wrong = Vec::new();
        if names(&printed) != names(&modelled) {
            wrong.push(format!("bake builds {:?}, the model says {:?}", names(&printed), names(&modelled)));
        }
        for (name, modelled) in &modelled {
            for (attribute, value) in modelled.iter().filter(|it| it.1.is_some()) {
                let told = printed.get(name).and_then(|it| it.get(attribute));
                if told.is_some_and(|it| it != value) {
                    wrong.push(format!("{attribute} of {name}: bake says {told:?}, the model {value:?}"));
                }
            }
        }
        match wrong.is_empty() {
            true if self.is_of_both(&printed) => Ok(Found::SameOfBoth),
            true => Ok(Found::Same),
            false => Err(format!("{}\n{self:#?}", wrong.join("\n"))),
        }
    }

    fn arguments(&self) -> Vec<&str> {
        let files = self.files.iter().filter(|_| self.is_named).flat_map(|it| ["-f", it.0]);
        files.chain(self.names.iter().copied()).collect()
    }

    fn modelled(&self) -> Option<BTreeMap<String, Target>> {
        let mut host = Host::default();
        host.set_roots(["/r".to_owned()]);
        let path = "/r/.github/workflows/ci.yml";
        let run = format!("docker buildx bake {}", self.arguments().join(" "));
        let workflow = format!("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v6\n      - run: {run}\n");
        host.set(path, File::new(Kind::Workflow, &workflow, None));
        for (name, text) in &self.files {
            let path = format!("/r/{name}");
            host.set(&path, File::new(Kind::of(&path), text, None));
        }
        let snapshot = host.snapshot();
        let Some(View::Workflow(view)) = View::new(&snapshot, path, &Config::default()) else { return None };
        let call = view.call(view.builds.first()?)?;
        Some(call.targets.iter().map(|it| (it.name.clone(), modelled(it))).collect())
    }
}

fn bake(choices: &mut Choices<'_>, services: &[&str]) -> String {
    let mut res = format!("variable \"V\" {{ default = \"{}\" }}\n", choices.of(&["v1", "v1", "v2"]));
    for _ in 0..choices.of(&[0, 1, 2]) {
        let name = choices.of(&["default", "group"]);
        let members: Vec<&str> = ["a", "b", "c", "group"].iter().chain(services).copied().collect();
        res += &format!("group \"{name}\" {{ targets = {:?} }}\n", choices.some(&members));
    }
    for _ in 0..choices.of(&[1, 2, 3, 4]) {
        let name = choices.of(NAMES);
        let attributes = [
            "context = \"x\"",
            "context = \"${V}\"",
            "dockerfile = \"D\"",
            "dockerfile = \"sub/D\"",
            "target = V",
            "args = { A = \"1\", B = V }",
            "args = { A = null, C = \"${V}-c\" }",
            "tags = [\"o/t:1\"]",
            "tags = [\"o/t:${V}\", \"o/u\"]",
            "platforms = [\"linux/amd64\"]",
            "platforms = [\"linux/arm64\", \"linux/amd64\"]",
            "cache-from = [\"type=gha,scope=s\"]",
            "cache-from = [\"type=registry,ref=o/c\"]",
            "cache-to = [\"type=gha,scope=s,mode=max\"]",
            "cache-to = [\"type=inline\"]",
            "no-cache = true",
            "no-cache = false",
            "contexts = { base = \"target:b\" }",
        ];
        let mut lines: Vec<String> = choices.attributes(&attributes).iter().map(|it| (*it).to_owned()).collect();
        let inherits = choices.some(&parents(name, services));
        if !inherits.is_empty() {
            lines.push(format!("inherits = {inherits:?}"));
        }
        res += &format!("target \"{name}\" {{\n  {}\n}}\n", lines.join("\n  "));
    }
    if choices.of(&[false, false, true]) {
        res += "target \"p\" {\n  name = \"p-${n}\"\n  matrix = { n = [\"x\", \"y\"] }\n  context = n\n  inherits = [\"a\"]\n}\n";
    }
    res
}

/// What a target may inherit from: the targets and services that are there and stand before it.
fn parents<'a>(name: &str, services: &[&'a str]) -> Vec<&'a str> {
    let is_there = |it: &&str| ["a", "b", "c"].contains(it) || services.contains(it);
    NAMES.iter().copied().take_while(|it| *it != name).filter(is_there).collect()
}

fn json(choices: &mut Choices<'_>, services: &[&str]) -> String {
    let name = choices.of(NAMES);
    let attributes = [
        "\"context\" : \"j\"",
        "\"dockerfile\" : \"J\"",
        "\"args\" : {\"A\": \"j\"}",
        "\"tags\" : [\"o/j\"]",
        "\"cache-from\" : [\"type=gha,scope=j\"]",
        "\"cache-to\" : [\"type=gha,scope=j\"]",
    ];
    let inherits = format!("\"inherits\" : {:?}", choices.some(&parents(name, services)));
    let lines: Vec<String> = choices.attributes(&attributes).iter().map(|it| (*it).to_owned()).chain([inherits]).collect();
    format!("{{\"target\": {{\"{name}\": {{{}}}}}}}", lines.join(", "))
}

fn compose(choices: &mut Choices<'_>) -> String {
    let mut res = String::from("services:\n");
    for name in SERVICES {
        if choices.of(&[true, false, false]) {
            continue;
        }
        let about = ["image: \"o/${I:-i}\"", "profiles: [debug]", "extends: d", "extends: {service: d}"];
        let extends_itself = |it: &&str| !(it.starts_with("extends") && (*name == "d" || !res.contains("\n  d:\n")));
        let about: Vec<&str> = choices.attributes(&about).into_iter().filter(extends_itself).collect();
        let attributes = [
            "context: .",
            "context: ./y",
            "dockerfile: D",
            "dockerfile: \"\"",
            "target: t",
            "args: {A: \"1\", B: \"${I:-i}\"}",
            "args: [A=1, B=2]",
            "args: [C]",
            "cache_from: [\"type=gha,scope=s\"]",
            "cache_from: [o/c]",
            "cache_to: [\"type=inline\"]",
            "cache_to: [\"type=gha,scope=t\"]",
            "cache_to: []",
            "platforms: [linux/amd64]",
            "platforms: []",
            "tags: [o/t]",
            "tags: []",
            "no_cache: true",
            "no_cache: false",
            "additional_contexts: {base: \"docker-image://o/b\"}",
            "additional_contexts: [base=other]",
            "x-bake: {tags: [o/x], no-cache: false}",
            "x-bake: {tags: \"o/x o/y\", platforms: linux/arm64, cache-from: [\"type=gha,scope=x\"]}",
            "x-bake: {cache-to: \"type=gha,scope=x\", contexts: {base: \"docker-image://o/x\", more: \"more\"}}",
        ];
        let lines = choices.attributes(&attributes);
        res += &format!("  {name}:\n");
        about.iter().for_each(|it| res += &format!("    {it}\n"));
        if !lines.is_empty() {
            res += &format!("    build:\n      {}\n", lines.join("\n      "));
        } else if choices.of(&[true, false]) || about.is_empty() {
            res += "    build: z\n";
        }
    }
    res += choices.of(&["", "  f: {image: o/f}\n"]);
    if res.ends_with("services:\n") {
        res += "  d:\n    build: d\n";
    }
    res
}

/// What bake says it would build; `None` where it refuses.
fn printed(folder: &Path, names: &[&str]) -> Result<Option<BTreeMap<String, Target>>, String> {
    let mut command = Command::new("docker-buildx");
    command.args(["bake", "--print", "--progress=quiet"]).args(names).current_dir(folder).stdin(Stdio::null());
    let output = command.output().map_err(|it| format!("docker-buildx does not start: {it}"))?;
    if !output.status.success() {
        return Ok(None);
    }
    let json: Json = serde_json::from_slice(&output.stdout).map_err(|it| it.to_string())?;
    let targets = json["target"].as_object().cloned().unwrap_or_default();
    Ok(Some(targets.iter().map(|(name, it)| (name.clone(), of_json(it))).collect()))
}

fn of_json(target: &Json) -> Target {
    let text = |key: &str| target[key].as_str().map(|it| vec![clean(it)]).unwrap_or_default();
    let list = |key: &str| sorted(target[key].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned));
    let pairs = |key: &str| sorted(target[key].as_object().into_iter().flatten().map(|(name, it)| format!("{name}={}", it.as_str().unwrap_or_default())));
    let entry = |it: &Json| match it.as_object() {
        Some(attributes) => sorted(attributes.iter().map(|(name, it)| format!("{name}={}", it.as_str().unwrap_or_default()))).join(","),
        None => it.to_string(),
    };
    let entries = |key: &str| sorted(target[key].as_array().into_iter().flatten().map(entry));
    BTreeMap::from([
        ("context", Some(text("context"))),
        ("dockerfile", Some(text("dockerfile"))),
        ("target", Some(text("target"))),
        ("args", Some(pairs("args"))),
        ("contexts", Some(pairs("contexts"))),
        ("tags", Some(list("tags"))),
        ("platforms", Some(list("platforms"))),
        ("cache-from", Some(entries("cache-from"))),
        ("cache-to", Some(entries("cache-to"))),
        ("no-cache", Some(vec![target["no-cache"].as_bool().unwrap_or_default().to_string()])),
    ])
}

fn modelled(target: &Baked) -> Target {
    let build = &target.build;
    let known = |it: &Value| it.known();
    let list = |values: &[Value]| values.iter().map(known).collect::<Option<Vec<_>>>().map(sorted);
    let context = match &build.context {
        Context::Folder(value) | Context::Foreign(value) | Context::Git(Some(value)) => known(value).map(|it| vec![clean(&it)]),
        Context::Git(None) => None,
    };
    // The last of a name wins; one without a value is not passed.
    let mut arguments: BTreeMap<&str, &BuildArgument> = BTreeMap::new();
    arguments.extend(build.arguments.iter().map(|it| (it.name.as_str(), it)));
    let passed = arguments.values().filter_map(|it| Some((&it.name, it.value.as_ref()?)));
    let arguments = passed.map(|(name, value)| Some(format!("{name}={}", known(value)?))).collect::<Option<Vec<_>>>();
    let contexts = build.contexts.iter().map(|(name, value)| Some(format!("{name}={}", known(value)?))).collect::<Option<Vec<_>>>();
    let entries = |entries: &[CacheEntry]| entries.iter().map(entry).collect::<Option<Vec<_>>>().map(sorted);
    let text = |value: &Option<Value>, other: &[&str]| match value {
        Some(value) => known(value).map(|it| vec![clean(&it)]),
        None => Some(other.iter().map(|it| (*it).to_owned()).collect()),
    };
    BTreeMap::from([
        ("context", context),
        ("dockerfile", text(&build.dockerfile, &["Dockerfile"])),
        ("target", text(&build.target, &[])),
        ("args", arguments.map(sorted)),
        ("contexts", contexts.map(sorted)),
        ("tags", list(&build.tags)),
        ("platforms", list(&build.platforms)),
        ("cache-from", entries(&build.imports)),
        ("cache-to", entries(&build.exports)),
        ("no-cache", Some(vec![build.no_cache.to_string()])),
    ])
}

fn entry(entry: &CacheEntry) -> Option<String> {
    let mut pairs: BTreeMap<&str, String> = BTreeMap::from([("type", entry.backend.name().to_owned())]);
    for attribute in &entry.attributes {
        pairs.insert(&attribute.name, attribute.value.known()?);
    }
    Some(pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","))
}

fn sorted(items: impl IntoIterator<Item = String>) -> Vec<String> {
    items.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

/// A path without what says nothing.
fn clean(path: &str) -> String {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    if path.is_empty() { ".".to_owned() } else { path.to_owned() }
}
