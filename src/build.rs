//! A build description: what a workflow step, a bake target or a compose service says of one build,
//! whatever language it says it in. [`crate::links`] finds the files that it names.

use crate::cache::CacheEntry;
use crate::edit::Span;
use crate::value::Passage;
pub use crate::value::{Leg, Part, Value};
use std::collections::BTreeMap;

/// How a build is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// `docker/build-push-action` and forks with its inputs.
    BuildPushAction,
    /// `docker/bake-action`, or `docker buildx bake` in `run:`; the build's own description is in
    /// a bake or compose file.
    Bake,
    /// `docker build`, `docker buildx build`, `podman build` … in `run:`.
    Command,
    /// `docker compose build` in `run:`.
    Compose,
    /// A target of a bake file.
    BakeTarget,
    /// A service of a compose file.
    ComposeService,
}

/// What the builder gets as its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// A folder.
    Folder(Value),
    /// This repository at the commit, as the builder itself clones it: no ignore file, no file
    /// that git does not track. The folder inside it, where one is given.
    Git(Option<Value>),
    /// Something else: another repository, an archive, standard input, a folder that this repository is only a part of.
    Foreign(Value),
}

impl Context {
    /// What is written for it; nothing for the whole repository.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Context::Folder(value) | Context::Foreign(value) | Context::Git(Some(value)) => Some(value),
            Context::Git(None) => None,
        }
    }

    /// The folder of this repository that is written; nothing for the whole, and for something else.
    pub fn folder(&self) -> Option<&Value> {
        self.value().filter(|_| !matches!(self, Context::Foreign(_)))
    }
}

/// A build argument that is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArgument {
    /// The whole `NAME=value`.
    pub span: Span,
    /// Its name.
    pub name: String,
    /// Its value; `None` where it is taken from the environment.
    pub value: Option<Value>,
}

/// One build. An attribute that is not written has its empty value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The place to report at: the `uses:` value, the command, the target's name.
    pub span: Span,
    /// The whole step, target or service.
    pub whole: Span,
    /// How it is written.
    pub tool: Tool,
    /// What to call it: the step's name, the target's name, the command.
    pub name: String,
    /// Its context.
    pub context: Context,
    /// The Dockerfile, where one is named.
    pub dockerfile: Option<Value>,
    /// Whether the Dockerfile is written here (`dockerfile-inline`, `-f -`), so that no file is read.
    pub inline: bool,
    /// The folder that relative paths start from, relative to the root of the repository;
    /// `None` where it is not known. For a bake target or a compose service: of its own file.
    pub folder: Option<String>,
    /// The stage that is built; the last one where none is named.
    pub target: Option<Value>,
    /// Build arguments, in order; the last of a name wins.
    pub arguments: Vec<BuildArgument>,
    /// Platforms.
    pub platforms: Vec<Value>,
    /// Names and tags of the image.
    pub tags: Vec<Value>,
    /// Cache imports, in order.
    pub imports: Vec<CacheEntry>,
    /// Cache exports, in order.
    pub exports: Vec<CacheEntry>,
    /// `no-cache`, or `no-cache-filters`.
    pub no_cache: bool,
    /// Whether the image is pushed: `None` where an expression decides.
    pub push: Option<bool>,
    /// Named contexts: name, and where it comes from.
    pub contexts: Vec<(String, Value)>,
    /// The step builds nothing: `call: check`, `--check`, `--print`, `if: false`.
    pub dry: bool,
    /// An input holds something that makes the whole unknown: an expression in the place of all
    /// arguments, an array of flags.
    pub opaque: bool,
}

/// What one description says of a build to which others add: a service of compose files, for bake.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The name of the build.
    pub name: String,
    /// Where the name stands.
    pub span: Span,
    /// The whole description.
    pub whole: Span,
    /// What it says.
    pub attributes: Attributes,
    /// Something of it cannot be told.
    pub open: bool,
}

/// The attributes of a build that are written, by the names that bake has for them.
pub type Attributes = BTreeMap<&'static str, Attribute>;

/// An attribute as it is written.
#[derive(Debug, Clone)]
pub enum Attribute {
    /// A text, or a truth value.
    Text(Passage),
    /// A list, which may be empty.
    List(Vec<Passage>),
    /// Names with their values.
    Pairs(Vec<Pair>),
}

impl Attribute {
    /// Whether nothing is written behind its name.
    pub fn is_empty(&self) -> bool {
        match self {
            Attribute::Text(passage) => passage.is_empty(),
            Attribute::List(items) => items.is_empty(),
            Attribute::Pairs(pairs) => pairs.is_empty(),
        }
    }
}

/// A name with its value.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Where both stand.
    pub span: Span,
    /// The name.
    pub name: String,
    /// The value; `None` where it is taken from the environment.
    pub value: Option<Passage>,
}
