//! Which steps of a build run again when another build has filled the cache.
//!
//! Every step gets a key, made as BuildKit makes it (docs/facts.md A.1): what it does, the key of what it
//! stands on, and the content of what it copies or mounts. A step runs again if the earlier build
//! has no equal key. So a change needs no case of its own: it is two builds that differ.

use super::key::Keys;
use super::plan::base_directory;
use super::selection::{Checksum, Files};
use super::{Base, Copy, Dockerfile, Instruction, Kind, Mount, Run, Stage, clean_source, is_remote};
use crate::edit::Span;
use crate::facts;
use crate::syntax::dockerfile::{self as syntax, Quotes, Variable};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A build: a Dockerfile with what is passed to it.
#[derive(Debug, Clone)]
pub struct Build<'a> {
    /// The text of the Dockerfile.
    pub text: &'a str,
    /// What it means.
    pub dockerfile: &'a Dockerfile,
    /// The stage that is asked for; the last one if none is.
    pub target: Option<&'a str>,
    /// The build arguments that are passed.
    pub arguments: BTreeMap<String, String>,
    /// The build context.
    pub files: Files,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It runs.
    Runs,
    /// It runs unless something that is not known, such as what a command writes, is as it was.
    Unknown,
    /// The cache has it.
    Cached,
}

/// A step of a build, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The number of its stage.
    pub stage: usize,
    /// The number of its instruction in the stage.
    pub instruction: usize,
    /// What becomes of it.
    pub fate: Fate,
}

/// The steps of `after` in the order of the file, when `before` has run on an empty cache. Only
/// stages that the target needs have steps, and only instructions that make a layer, if `keys` is
/// [`Keys::Graph`].
pub fn rebuild(before: &Build<'_>, after: &Build<'_>, keys: Keys) -> Vec<Outcome> {
    let mut arena = Arena::default();
    keys_of(before, keys, &mut arena);
    let earlier = arena.keys.len();
    let later = keys_of(after, keys, &mut arena);
    let matches = arena.matches(earlier);
    later.into_iter().map(|it| Outcome { stage: it.stage, instruction: it.instruction, fate: matches.best(it.key) }).collect()
}

/// The number of a key in its arena.
type KeyId = usize;

/// The key of a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// What it does.
    operation: String,
    /// What it does it to.
    inputs: Vec<Input>,
}

impl Key {
    /// The key of what the step stands on; none for a base, or a copy onto nothing.
    fn below(&self) -> Option<KeyId> {
        self.inputs.iter().find_map(|it| if let Input::Chain(id) = it { Some(*id) } else { None })
    }
}

/// What a key says of an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Input {
    /// The key of the step that made it.
    Chain(KeyId),
    /// What it holds.
    Content(Content),
}

/// The content of files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Content {
    /// Files of the build context.
    Files(Checksum),
    /// This.
    Known(String),
    /// What the step of that key left at these paths.
    Output(KeyId, String),
    /// It is not known; the number tells one from another.
    Unknown(usize),
}

/// The keys of two builds. Equal keys are one; the inputs of a key come before it.
#[derive(Debug, Default)]
struct Arena {
    keys: Vec<Key>,
    ids: HashMap<Key, KeyId>,
    unknown: usize,
}

impl Arena {
    fn add(&mut self, operation: String, inputs: Vec<Input>) -> KeyId {
        let key = Key { operation, inputs };
        *self.ids.entry(key.clone()).or_insert_with(|| {
            self.keys.push(key);
            self.keys.len() - 1
        })
    }

    fn unknown(&mut self) -> Content {
        self.unknown += 1;
        Content::Unknown(self.unknown)
    }

    /// Compares all keys with those of the earlier build, which are the first `earlier` ones.
    fn matches(&self, earlier: usize) -> Matches {
        // By operation and what they stand on, so that few are compared with one another.
        let mut places: HashMap<(&str, Option<KeyId>), Vec<KeyId>> = HashMap::new();
        for (id, key) in self.keys[..earlier].iter().enumerate() {
            places.entry((&key.operation, key.below())).or_default().push(id);
        }
        let mut res = Matches { equal: Vec::new() };
        for (id, key) in self.keys.iter().enumerate() {
            let below: Vec<Option<KeyId>> = match key.below() {
                Some(below) => res.equal[below].iter().map(|it| Some(it.0)).collect(),
                None => vec![None],
            };
            let candidates = below.into_iter().filter_map(|it| places.get(&(key.operation.as_str(), it))).flatten();
            let equal = candidates.map(|it| (*it, self.compare(id, *it, &res))).filter(|it| it.1 != Fate::Runs).collect();
            res.equal.push(equal);
        }
        res
    }

    /// How sure it is that two keys of one operation are equal; `res` has all keys before `later`.
    fn compare(&self, later: KeyId, earlier: KeyId, res: &Matches) -> Fate {
        let (later, earlier) = (&self.keys[later], &self.keys[earlier]);
        if later.inputs.len() != earlier.inputs.len() {
            return Fate::Runs;
        }
        let inputs = later.inputs.iter().zip(&earlier.inputs).map(|pair| match pair {
            (Input::Chain(later), Input::Chain(earlier)) => res.get(*later, *earlier),
            (Input::Content(Content::Known(later)), Input::Content(Content::Known(earlier))) if later != earlier => Fate::Runs,
            (Input::Content(Content::Files(later)), Input::Content(Content::Files(earlier))) if later.kept != earlier.kept => Fate::Runs,
            (Input::Content(Content::Unknown(_)), Input::Content(_)) => Fate::Unknown,
            (Input::Content(later), Input::Content(earlier)) if later == earlier => Fate::Cached,
            (Input::Content(_), Input::Content(_)) => Fate::Unknown,
            (Input::Chain(_), Input::Content(_)) | (Input::Content(_), Input::Chain(_)) => Fate::Runs,
        });
        inputs.min().unwrap_or(Fate::Cached)
    }
}

/// The keys of the earlier build that each key is, or may be, equal to.
struct Matches {
    equal: Vec<Vec<(KeyId, Fate)>>,
}

impl Matches {
    fn get(&self, later: KeyId, earlier: KeyId) -> Fate {
        if later == earlier {
            return Fate::Cached;
        }
        self.equal[later].iter().find(|it| it.0 == earlier).map_or(Fate::Runs, |it| it.1)
    }

    fn best(&self, later: KeyId) -> Fate {
        self.equal[later].iter().map(|it| it.1).max().unwrap_or(Fate::Runs)
    }
}

/// A step with its key.
struct Keyed {
    stage: usize,
    instruction: usize,
    key: KeyId,
}

/// The state of a stage between two instructions.
#[derive(Debug, Clone)]
struct State {
    /// The steps that made its files, the base first; none where it starts from nothing.
    layers: Vec<Layer>,
    /// Environment and build arguments, in the order in which they were set last.
    environment: Vec<(String, String)>,
    /// Whether a variable that is not there may come from an image.
    from_image: bool,
    directory: String,
    user: String,
    shell: Vec<String>,
}

/// What a step did to the files of its stage.
#[derive(Debug, Clone)]
struct Layer {
    key: KeyId,
    /// The only path that it can have changed, with all below and the folders above; `None` if any.
    path: Option<String>,
}

impl State {
    fn chain(&self) -> Vec<Input> {
        self.layers.last().map(|it| Input::Chain(it.key)).into_iter().collect()
    }

    fn set(&mut self, name: &str, value: String) {
        // The last one to be set is the last in the list, and so in the key of a command.
        self.environment.retain(|it| it.0 != name);
        self.environment.push((name.to_owned(), value));
    }

    fn lookup(&self, name: &str) -> Variable {
        match self.environment.iter().find(|it| it.0 == name) {
            Some((_, value)) => Variable::Set(value.clone()),
            None if self.from_image => Variable::Unknown,
            None => Variable::Unset,
        }
    }

    /// What the stage holds at `source`, as of the last step that can have changed it.
    fn output(&self, source: &str, excludes: &[String]) -> Option<(KeyId, String)> {
        let path = clean_source(source);
        let fixed = match path.find(['*', '?', '[']) {
            None => path.as_str(),
            Some(at) => &path[..path[..at].rfind('/').unwrap_or(0)],
        };
        let fixed = format!("/{fixed}");
        let touches = |it: &&Layer| it.path.as_ref().is_none_or(|it| facts::is_below(it, &fixed) || facts::is_below(&fixed, it));
        let layer = self.layers.iter().rev().find(touches).or(self.layers.first())?;
        Some((layer.key, format!("{path} {excludes:?}")))
    }
}

/// Makes the keys of one build.
struct Walk<'b, 'a> {
    build: &'b Build<'a>,
    keys: Keys,
    arena: &'b mut Arena,
    globals: Vec<(String, String)>,
    /// How each stage ends; `None` for those that are not needed.
    ends: Vec<Option<State>>,
    steps: Vec<Keyed>,
}

fn keys_of(build: &Build<'_>, keys: Keys, arena: &mut Arena) -> Vec<Keyed> {
    let mut walk = Walk { build, keys, arena, globals: Vec::new(), ends: Vec::new(), steps: Vec::new() };
    walk.read_globals();
    let reachable = build.dockerfile.reachable(build.target);
    for stage in &build.dockerfile.stages {
        let end = reachable.contains(&stage.index).then(|| walk.stage(stage));
        walk.ends.push(end);
    }
    walk.steps
}

impl Walk<'_, '_> {
    fn read_globals(&mut self) {
        for instruction in &self.build.dockerfile.globals {
            let Kind::Arg(variables) = &instruction.kind else { continue };
            for variable in variables {
                let passed = self.build.arguments.get(&variable.name).cloned();
                let value = passed.or_else(|| variable.value.as_ref().map(|it| self.expand_with(it, Quotes::Removed, |name| self.global(name))));
                self.globals.extend(value.map(|it| (variable.name.clone(), it)));
            }
        }
    }

    /// The value of a global argument.
    fn global(&self, name: &str) -> Variable {
        match self.globals.iter().rev().find(|it| it.0 == name) {
            Some((_, value)) => Variable::Set(value.clone()),
            // The platform, which is the same for both builds.
            None if is_platform_argument(name) => Variable::Set(format!("${name}")),
            None => Variable::Unset,
        }
    }

    /// `text` with variables replaced. Where a value is not known, the text and the values of all
    /// that it names stand for the result: equal if they are.
    fn expand_with(&self, text: &str, quotes: Quotes, lookup: impl Fn(&str) -> Variable) -> String {
        let escape = self.build.dockerfile.escape;
        let mut values = Vec::new();
        let expanded = syntax::expand(text, escape, quotes, |name| {
            let value = lookup(name);
            if let Variable::Set(value) = &value {
                values.push(format!(" {name}={value:?}"));
            }
            value
        });
        expanded.unwrap_or_else(|| text.to_owned() + &values.concat())
    }

    fn expand(&self, state: &State, text: &str) -> String {
        self.expand_with(text, Quotes::Removed, |name| state.lookup(name))
    }

    fn stage(&mut self, stage: &Stage) -> State {
        let mut state = self.start(stage);
        for (index, instruction) in stage.instructions.iter().enumerate() {
            let layers = state.layers.len();
            self.instruction(&mut state, instruction);
            if self.keys != Keys::Graph && state.layers.len() == layers {
                let operation = self.metadata(&state, instruction);
                self.push(&mut state, operation, Vec::new(), Some(String::new()));
            }
            if let Some(layer) = state.layers.get(layers) {
                self.steps.push(Keyed { stage: stage.index, instruction: index, key: layer.key });
            }
        }
        state
    }

    /// What an instruction without a layer says, for builders in whose chain it stands.
    fn metadata(&self, state: &State, instruction: &Instruction) -> String {
        let text = instruction.span.of(self.build.text);
        format!("{} {}", instruction.keyword, self.expand(state, text))
    }

    /// The state behind `FROM`.
    fn start(&mut self, stage: &Stage) -> State {
        let reference = match &stage.base {
            Base::Stage(index) => match &self.ends[*index] {
                Some(state) => return state.clone(),
                None => format!("stage {index}"),
            },
            Base::Image(image) => self.expand_with(&image.text, Quotes::Removed, |name| self.global(name)),
            Base::Scratch => String::new(),
        };
        let directory = match &stage.base {
            // That of an image is not known, but it is the same where the image is.
            Base::Image(image) => base_directory(image).unwrap_or("/$").to_owned(),
            Base::Scratch | Base::Stage(_) => "/".to_owned(),
        };
        let mut state = State {
            layers: Vec::new(),
            environment: Vec::new(),
            from_image: !matches!(stage.base, Base::Scratch),
            directory,
            user: String::new(),
            shell: ["/bin/sh", "-c"].map(str::to_owned).to_vec(),
        };
        let mut inputs = Vec::new();
        if self.keys == Keys::Whole {
            inputs.push(Input::Content(Content::Known(format!("{:?}", self.build.arguments))));
        }
        if state.from_image {
            // Two names may be one image.
            inputs.push(Input::Content(Content::Output(KeyId::MAX, reference)));
        }
        if !inputs.is_empty() {
            let key = self.arena.add("FROM".to_owned(), inputs);
            state.layers.push(Layer { key, path: None });
        }
        state
    }

    fn push(&mut self, state: &mut State, operation: String, inputs: Vec<Input>, path: Option<String>) {
        let inputs = state.chain().into_iter().chain(inputs).collect();
        let key = self.arena.add(operation, inputs);
        state.layers.push(Layer { key, path });
    }

    fn instruction(&mut self, state: &mut State, instruction: &Instruction) {
        match &instruction.kind {
            Kind::Run(run) => self.run(state, instruction, run),
            Kind::Copy(copy) => self.copy(state, instruction, copy),
            Kind::Workdir(folder) => self.workdir(state, folder),
            Kind::Env(variables) => {
                // All values of one ENV are expanded with the state before it.
                let values: Vec<String> = variables.iter().map(|it| self.expand(state, it.value.as_deref().unwrap_or(""))).collect();
                variables.iter().zip(values).for_each(|(it, value)| state.set(&it.name, value));
            }
            Kind::Arg(variables) => {
                for variable in variables {
                    let passed = self.build.arguments.get(&variable.name).cloned();
                    let default = || variable.value.as_ref().map(|it| self.expand(state, it));
                    let global = || match self.global(&variable.name) {
                        Variable::Set(value) => Some(value),
                        Variable::Unset | Variable::Unknown => None,
                    };
                    if let Some(value) = passed.or_else(default).or_else(global) {
                        state.set(&variable.name, value);
                    }
                }
            }
            Kind::User(user) => state.user = self.expand(state, user),
            Kind::Shell(words) => state.shell.clone_from(words),
            Kind::Label(_) | Kind::Config { .. } | Kind::Onbuild | Kind::Unknown => {}
        }
    }

    fn workdir(&mut self, state: &mut State, folder: &str) {
        state.directory = facts::join(&state.directory, &self.expand(state, folder));
        if state.directory != "/" {
            // The folder gets this time.
            let epoch = self.build.arguments.get("SOURCE_DATE_EPOCH");
            let operation = format!("WORKDIR {:?} {:?} {epoch:?}", state.directory, state.user);
            let path = known_path(&state.directory);
            self.push(state, operation, Vec::new(), path);
        }
    }

    fn copy(&mut self, state: &mut State, instruction: &Instruction, copy: &Copy) {
        let flag = |name: &str| {
            let values = instruction.flags.iter().filter(|it| it.name == name);
            values.map(|it| it.value.as_ref().map_or(String::new(), |it| self.expand(state, &it.text))).collect::<Vec<_>>()
        };
        let destination = self.destination(state, &copy.destination.text);
        let sources: Vec<String> = copy.sources.iter().map(|it| self.expand(state, &it.text)).collect();
        // A linked copy that sets modes is a copy like any other.
        let linked = copy.link && flag("chmod").iter().all(String::is_empty) && self.keys == Keys::Graph;
        let names: Vec<String> = sources.iter().map(|it| if copy.parents { it.clone() } else { facts::name(&clean_source(it)).to_owned() }).collect();
        let settings = ["chown", "chmod", "exclude", "parents", "unpack"].map(flag);
        let operation = format!("COPY {} {linked} {names:?} {destination:?} {settings:?}", copy.add);
        let excludes = &settings[2];
        let mut inputs: Vec<Input> = Vec::new();
        if copy.heredoc {
            inputs.push(Input::Content(Content::Known(self.heredoc(state, instruction))));
        }
        let shares_base = !linked && self.is_base_of(state, copy.from.as_deref());
        for source in &sources {
            let content = match copy.from.as_deref() {
                // Content is not looked at in what the copy stands on itself.
                Some(_) if shares_base => continue,
                Some(from) => self.output(from, source, excludes),
                None if is_remote(source) || copy.parents => self.arena.unknown(),
                None => match self.build.files.copied(source, excludes) {
                    Some(content) => Content::Files(content),
                    None => self.arena.unknown(),
                },
            };
            inputs.push(Input::Content(content));
        }
        let path = known_path(&destination);
        if linked {
            let key = self.arena.add(operation, inputs);
            let below = state.chain();
            // What the copy made is laid on top; no step of its own, but what follows stands on it.
            state.layers.push(Layer { key, path: path.clone() });
            if !below.is_empty() {
                let merged = self.arena.add("LINK".to_owned(), below.into_iter().chain([Input::Chain(key)]).collect());
                state.layers.push(Layer { key: merged, path });
            }
        } else {
            self.push(state, operation, inputs, path);
        }
    }

    /// Whether the copy takes from what it stands on.
    fn is_base_of(&self, state: &State, from: Option<&str>) -> bool {
        from.and_then(|it| self.end_of(it)).is_some_and(|it| state.layers.last().is_some_and(|last| last.key == it))
    }

    /// The key of the last step of another stage.
    fn end_of(&self, from: &str) -> Option<KeyId> {
        let stage = self.build.dockerfile.stage(from)?;
        Some(self.ends.get(stage.index)?.as_ref()?.layers.last()?.key)
    }

    /// What another stage, or an image, holds.
    fn output(&mut self, from: &str, source: &str, excludes: &[String]) -> Content {
        match self.build.dockerfile.stage(from).map(|it| self.ends.get(it.index)) {
            Some(Some(Some(end))) => match end.output(source, excludes) {
                Some((key, paths)) => Content::Output(key, paths),
                None => Content::Known("nothing".to_owned()),
            },
            // A stage further below, which BuildKit refuses.
            Some(_) => self.arena.unknown(),
            None => Content::Output(KeyId::MAX, format!("{from} {} {excludes:?}", clean_source(source))),
        }
    }

    /// The body of the heredocs, expanded where the marker says so.
    fn heredoc(&self, state: &State, instruction: &Instruction) -> String {
        let lines = instruction.lines.of(self.build.text);
        let (first, body) = lines.split_once('\n').unwrap_or((lines, ""));
        // Quotes around the marker keep the body as it is.
        let quoted = first.contains(['"', '\'']);
        if quoted { body.to_owned() } else { self.expand_with(body, Quotes::Kept, |name| state.lookup(name)) }
    }

    /// The destination as an absolute path; a `/` at its end stays.
    fn destination(&self, state: &State, text: &str) -> String {
        let text = self.expand(state, text);
        let path = facts::join(&state.directory, &text);
        if path != "/" && (text.is_empty() || text == "." || text.ends_with('/')) { path + "/" } else { path }
    }

    fn run(&mut self, state: &mut State, instruction: &Instruction, run: &Run) {
        let words = if run.heredoc {
            let text = Span::new(run_start(instruction), instruction.lines.end).of(self.build.text);
            state.shell.iter().cloned().chain([text.to_owned()]).collect()
        } else if run.shell_form {
            state.shell.iter().cloned().chain([run.command.text.to_string()]).collect()
        } else {
            serde_json::from_str(&run.command.text).unwrap_or_else(|_| vec![run.command.text.to_string()])
        };
        let others: Vec<String> = instruction.flags.iter().filter(|it| it.name != "mount").map(|it| self.flag_text(state, it)).collect();
        let mut mounts: Vec<MountKey> = run.mounts.iter().map(|it| self.mount(state, it)).collect();
        mounts.sort_by(|a, b| (a.is_secret, &a.target).cmp(&(b.is_secret, &b.target)));
        let mounts_root = number_inputs(state, &mut mounts);
        let texts: Vec<&str> = mounts.iter().map(|it| it.text.as_str()).collect();
        // The environment as a number: many commands below many variables would need much room.
        let environment = fingerprint(&state.environment);
        let operation = format!("RUN {words:?} {environment} {:?} {:?} {others:?} {texts:?}", state.directory, state.user);
        let below = match state.layers.last() {
            // The last mount of an input decides that it is compared by content, all of it here
            // (`getMountDeps` in solver/llbsolver/ops/exec.go of BuildKit).
            Some(root) if mounts_root && self.keys == Keys::Graph => vec![Input::Content(Content::Output(root.key, "/".to_owned()))],
            _ => state.chain(),
        };
        let contents = mounts.into_iter().filter_map(|it| it.content).map(Input::Content);
        let inputs = below.into_iter().chain(contents).collect();
        let key = self.arena.add(operation, inputs);
        state.layers.push(Layer { key, path: None });
    }

    fn flag_text(&self, state: &State, flag: &syntax::Flag) -> String {
        format!("{}={}", flag.name, flag.value.as_ref().map_or(String::new(), |it| self.expand(state, &it.text)))
    }

    /// What a mount adds to the key of its command.
    fn mount(&mut self, state: &State, mount: &Mount) -> MountKey {
        let get = |name: &str| mount.get(name).map(|it| self.expand(state, it));
        let target = mount.target().map(|it| self.expand(state, it)).unwrap_or_default();
        let place = if target.starts_with('/') { target.clone() } else { facts::join(&state.directory, &target) };
        let source = mount.source().map(|it| self.expand(state, it)).unwrap_or_default();
        let kind = get("type").unwrap_or_else(|| "bind".to_owned());
        let from = get("from");
        let owner = ["uid", "gid", "mode"].map(get);
        let is_whole = clean_source(&source).is_empty();
        let mut text = format!("{kind} {place:?}");
        let mut content = None;
        let end = from.as_deref().and_then(|it| self.end_of(it));
        match kind.as_str() {
            "bind" => {
                text += if mount.has("rw") || mount.has("readwrite") { " rw" } else { "" };
                content = Some(match from {
                    Some(from) => self.output(&from, &source, &[]),
                    None => match self.build.files.mounted(&source) {
                        Some(content) => Content::Files(content),
                        None => self.arena.unknown(),
                    },
                });
            }
            "cache" => {
                // Where id and sharing are the usual ones, they are in the key; other ones are left out.
                let id = get("id").unwrap_or_else(|| facts::join("/", &target));
                let usual = id == place && matches!(get("sharing").as_deref(), None | Some("shared"));
                text += &format!(" {usual} {}", mount.has("ro") || mount.has("readonly"));
                content = match from {
                    Some(from) => Some(self.output(&from, &source, &[])),
                    None if is_whole && owner.iter().any(Option::is_some) => Some(Content::Known(format!("{owner:?}"))),
                    None => None,
                };
            }
            _ => {
                let fields: Vec<String> = mount.fields.iter().map(|it| format!("{}={:?}", it.name, get(&it.name))).collect();
                text = format!("{kind} {fields:?}");
            }
        }
        MountKey { is_secret: matches!(kind.as_str(), "secret" | "ssh"), target: place, text, content, end }
    }
}

/// What a mount adds to a key.
struct MountKey {
    is_secret: bool,
    target: String,
    text: String,
    content: Option<Content>,
    /// The last step of the stage that it comes from.
    end: Option<KeyId>,
}

/// Says which mounts come from one step: a command names its inputs by number, and each step is one
/// input, however many mounts it has. Tells whether one of them is what the command stands on.
fn number_inputs(state: &State, mounts: &mut [MountKey]) -> bool {
    let root = state.layers.last().map(|it| it.key);
    let mut inputs: Vec<KeyId> = root.into_iter().collect();
    for mount in &mut *mounts {
        let Some(end) = mount.end else { continue };
        if !inputs.contains(&end) {
            inputs.push(end);
        }
        let number = inputs.iter().position(|it| *it == end).unwrap_or_default();
        mount.text += &format!(" #{number}");
    }
    root.is_some() && mounts.iter().any(|it| it.end == root)
}

/// A path, unless a part of it is not known.
fn known_path(path: &str) -> Option<String> {
    (!path.contains('$')).then(|| facts::join("/", path))
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn run_start(instruction: &Instruction) -> usize {
    instruction.flags.last().map_or(instruction.span.start, |it| it.span.end)
}

/// Whether BuildKit itself sets a global argument of this name.
fn is_platform_argument(name: &str) -> bool {
    let rest = name.strip_prefix("TARGET").or_else(|| name.strip_prefix("BUILD"));
    rest.is_some_and(|it| matches!(it, "PLATFORM" | "OS" | "ARCH" | "VARIANT" | "OSVERSION" | "STAGE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::ignore;
    use crate::dockerfile::selection::Node;
    use crate::text::{Document, Language};

    /// Files of a context, each with its content.
    const FILES: &[(&str, &str)] = &[("a", "1"), ("b", "1"), ("src/main.c", "2"), ("src/notes.md", "3")];

    fn files(changes: &[(&str, &str)]) -> Files {
        let mut nodes = BTreeMap::from([("src".to_owned(), Node::Folder { mode: 0o755 })]);
        for (path, content) in FILES.iter().chain(changes) {
            nodes.insert((*path).to_owned(), Node::File { mode: 0o644, content: (*content).to_owned() });
        }
        Files::new(nodes, &ignore::parse("").unwrap())
    }

    fn lowered(text: &str) -> Dockerfile {
        let document = Document::new(Language::Dockerfile, text);
        crate::dockerfile::lower(text, &syntax::read(text, document.tree().unwrap()))
    }

    /// The fates of the steps of `after`, a letter each: `r`uns, `?`, `c`ached.
    fn fates(before: (&str, Files, &[(&str, &str)]), after: (&str, Files, &[(&str, &str)]), keys: Keys) -> String {
        let dockerfiles = [lowered(before.0), lowered(after.0)];
        let build = |(text, files, arguments): (&'static str, Files, &[(&str, &str)]), dockerfile| {
            let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Build { text, dockerfile, target: None, arguments, files }
        };
        // The texts live as long as the builds do.
        let texts = [before.0.to_owned().leak() as &str, after.0.to_owned().leak()];
        let first = build((texts[0], before.1, before.2), &dockerfiles[0]);
        let second = build((texts[1], after.1, after.2), &dockerfiles[1]);
        let letter = |it: Outcome| match it.fate {
            Fate::Runs => 'r',
            Fate::Unknown => '?',
            Fate::Cached => 'c',
        };
        rebuild(&first, &second, keys).into_iter().map(letter).collect()
    }

    /// After an edit of the Dockerfile.
    fn edited(before: &str, after: &str) -> String {
        fates((before, files(&[]), &[]), (after, files(&[]), &[]), Keys::Graph)
    }

    /// After changes of files.
    fn with_files(text: &str, changes: &[(&str, &str)]) -> String {
        fates((text, files(&[]), &[]), (text, files(changes), &[]), Keys::Graph)
    }

    /// After another build argument.
    fn with_arguments(text: &str, arguments: &[(&str, &str)]) -> String {
        fates((text, files(&[]), &[]), (text, files(&[]), arguments), Keys::Graph)
    }

    #[test]
    fn what_is_not_changed_is_cached() {
        let text = "ARG G=1\nFROM a AS one\nWORKDIR /w\nCOPY . .\nRUN --mount=type=cache,target=/c make\nFROM scratch\nCOPY --from=one /w /w\nADD https://example.com/x /x\n";
        assert_eq!(edited(text, text), "cccc?");
    }

    #[test]
    fn a_file_reaches_the_steps_that_select_it_and_those_that_stand_on_them() {
        let text = "FROM a\nCOPY a /\nCOPY --link src /s/\nRUN make\nCOPY b /\n";
        assert_eq!(with_files(text, &[("src/main.c", "other")]), "crrr");
        assert_eq!(with_files(text, &[("b", "other")]), "cccr");
        assert_eq!(with_files(text, &[("a", "other")]), "rcrr");
        assert_eq!(with_files(text, &[("c", "new")]), "cccc");
        assert_eq!(with_files("FROM a\nCOPY --exclude=*.md src /s/\nRUN --mount=target=/m,source=src make\n", &[("src/notes.md", "other")]), "cr");
    }

    #[test]
    fn a_copy_by_another_name_is_another_copy_but_a_mount_is_not() {
        assert_eq!(edited("FROM a\nCOPY a /x\n", "FROM a\nCOPY b /x\n"), "r");
        assert_eq!(edited("FROM a\nRUN --mount=source=a,target=/x make\n", "FROM a\nRUN --mount=source=b,target=/x make\n"), "c");
    }

    #[test]
    fn a_mount_of_the_step_below_is_no_input_of_its_own() {
        let mounts = "RUN --mount=from=one,source=/x,target=/m make\n";
        // All of what it stands on is compared by content.
        let upon = |copies: &str| format!("FROM a AS one\n{copies}FROM one\n{mounts}");
        assert_eq!(edited(&upon("COPY a /x/\nCOPY b /y/\n"), &upon("COPY a /x/\n")), "c?");
        assert_eq!(edited(&upon("COPY a /x/\n"), &upon("COPY a /x/\n")), "cc");
        // It only now comes to be the step below.
        let beside = |copies: &str| format!("FROM a AS one\n{copies}FROM a\nCOPY a /x/\n{mounts}");
        assert_eq!(edited(&beside("COPY a /x/\nCOPY b /y/\n"), &beside("COPY a /x/\n")), "ccr");
    }

    #[test]
    fn what_is_written_another_way_but_means_the_same_is_cached() {
        for (before, after) in [
            ("COPY a /x/", "ENV X=/x\nCOPY ./a $X/"),
            ("WORKDIR /w\nCOPY a x", "WORKDIR /w\nCOPY a /w/x"),
            ("RUN [\"a\",\"b\"]", "RUN [ \"a\", \"b\" ]"),
            ("RUN a \\\n  b", "RUN a \\\n# remark\n  b"),
            ("RUN a", "SHELL [\"/bin/sh\", \"-c\"]\nLABEL a=1\nCMD x\nRUN a"),
            ("ARG X=1\nRUN a", "ENV X=1\nRUN a"),
            ("RUN --mount=type=cache,target=/c,id=x a", "RUN --mount=type=cache,target=/c,id=y,sharing=private a"),
        ] {
            let [before, after] = [before, after].map(|it| format!("FROM scratch\n{it}\n"));
            let fates = edited(&before, &after);
            assert!(fates.bytes().all(|it| it == b'c'), "{after}: {fates}");
        }
    }

    #[test]
    fn what_changes_a_step_makes_it_run() {
        for (before, after) in [
            ("RUN a", "ENV X=1\nRUN a"),
            ("ENV A=1 B=2\nRUN a", "ENV B=2 A=1\nRUN a"),
            ("RUN a", "USER app\nRUN a"),
            ("RUN a", "RUN --network=none a"),
            ("RUN a", "RUN --mount=type=cache,target=/c a"),
            ("RUN --mount=type=cache,target=/c a", "RUN --mount=type=cache,target=/c,sharing=locked a"),
            ("COPY a /x", "COPY --chown=1 a /x"),
            ("COPY a /x", "COPY a /x/"),
            ("WORKDIR /w", "USER app\nWORKDIR /w"),
            ("COPY <<EOF /x\na\nEOF", "COPY <<EOF /x\nb\nEOF"),
            ("RUN <<EOF\na\nEOF", "RUN <<EOF\nb\nEOF"),
        ] {
            assert_eq!(edited(&format!("FROM scratch\n{before}\n"), &format!("FROM scratch\n{after}\n")), "r", "{after}");
        }
    }

    #[test]
    fn a_copy_from_a_stage_looks_at_what_is_copied() {
        let text = "FROM scratch AS one\nCOPY src /src/\nCOPY a /x/\nFROM scratch\nCOPY --from=one /src /src/\nCOPY --from=one /x/a /y/\n";
        // The last step that can have touched what is copied is the one that did not change.
        assert_eq!(with_files(text, &[("a", "other")]), "crc?");
        let text = "FROM a AS one\nCOPY a /x/\nRUN make\nFROM a\nCOPY --from=one /out /out\nRUN x\n";
        assert_eq!(with_files(text, &[("a", "other")]), "rr??");
        let text = "FROM a AS one\nCOPY a /x/\nFROM one\nRUN make\n";
        assert_eq!(with_files(text, &[("a", "other")]), "rr");
    }

    #[test]
    fn an_argument_reaches_all_commands_below_its_declaration() {
        let text = "FROM a\nRUN x\nARG V\nCOPY a /x\nRUN y\n";
        assert_eq!(with_arguments(text, &[("V", "1")]), "ccr");
        assert_eq!(with_arguments(text, &[("OTHER", "1")]), "ccc");
        assert_eq!(with_arguments("ARG V=1\nFROM a\nRUN x\n", &[("V", "2")]), "c");
        assert_eq!(with_arguments("ARG V=1\nFROM a\nARG V\nRUN x\n", &[("V", "2")]), "r");
        assert_eq!(with_arguments("ARG V=1\nFROM a\nARG V\nRUN x\n", &[("V", "1")]), "c");
        assert_eq!(with_arguments("ARG V=1\nFROM a:$V\nRUN x\n", &[("V", "2")]), "?");
        assert_eq!(with_arguments("FROM a\nENV V=1\nARG V\nRUN x\n", &[("V", "2")]), "r");
        assert_eq!(with_arguments("FROM a\nWORKDIR /w\nCOPY a /x\n", &[("SOURCE_DATE_EPOCH", "7")]), "rr");
    }

    #[test]
    fn a_stage_that_nothing_needs_has_no_steps() {
        assert_eq!(edited("FROM a\nRUN x\n", "FROM a AS one\nRUN y\nFROM a\nRUN x\n"), "c");
    }

    #[test]
    fn a_step_that_another_stage_had_is_cached() {
        assert_eq!(edited("FROM a AS one\nRUN x\nFROM a\nCOPY --from=one /x /x\n", "FROM a\nRUN x\n"), "c");
    }

    #[test]
    fn other_builders_have_every_instruction_in_the_chain() {
        let text = "FROM a\nLABEL a=1\nRUN x\n";
        let fates_with = |after: &str, arguments: &[(&str, &str)], keys| fates((text, files(&[]), &[]), (after, files(&[]), arguments), keys);
        assert_eq!(fates_with("FROM a\nLABEL a=2\nRUN x\n", &[], Keys::Chain), "rr");
        assert_eq!(fates_with(text, &[("X", "1")], Keys::Chain), "cc");
        assert_eq!(fates_with(text, &[("X", "1")], Keys::Whole), "rr");
    }

    #[test]
    fn a_long_file_of_equal_lines_is_no_trouble() {
        let text = format!("FROM a\n{}", "RUN x\n".repeat(3000));
        assert!(edited(&text, &text.replacen("RUN x", "RUN y", 1)).bytes().all(|it| it == b'r'));
    }
}
