//! A file: what it is, its text and tree, and what it means.

use crate::bake::{self, Bake};
use crate::compose::{self, Compose};
use crate::dockerfile::{self, Dockerfile};
use crate::facts;
use crate::syntax::{self, yaml};
use crate::text::{Document, Language};
use crate::workflow::{self, Given, Workflow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// What a file is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A Dockerfile or Containerfile.
    Dockerfile,
    /// A workflow of GitHub, Gitea or Forgejo.
    Workflow,
    /// The description of an action: `action.yml`.
    Action,
    /// A compose file.
    Compose,
    /// A bake file in HCL or JSON.
    Bake,
    /// Our own configuration.
    Configuration,
    /// Anything else: it has a text, and no findings.
    Other,
}

/// The name of the configuration file.
pub const CONFIGURATION: &str = ".layerwise.yaml";

/// Endings of templates: their text is no Dockerfile yet.
const TEMPLATES: &[&str] =
    &["j2", "jinja", "jinja2", "njk", "tmpl", "tpl", "gotmpl", "template", "in", "erb", "ejs", "hbs", "mustache", "liquid", "m4", "envsubst", "dist"];

/// Endings of files about Dockerfiles that are none.
const DOCUMENTS: &[&str] =
    &["md", "mdx", "markdown", "qmd", "rst", "adoc", "html", "json", "yml", "yaml", "xml", "toml", "snap", "lock", "bak", "orig", "rej", "swp", "dockerignore"];

/// Endings of source code. `dockerfile.go` is a program; `Dockerfile.go` is the image of one.
const SOURCES: &[&str] = &[
    "go", "rs", "py", "js", "mjs", "cjs", "ts", "jsx", "tsx", "rb", "java", "kt", "cs", "c", "h", "cc", "cpp", "hpp", "php", "lua", "swift", "scala", "vim",
    "sh", "bash",
];

impl Kind {
    /// The kind that a path says.
    pub fn of(path: &str) -> Kind {
        let name = facts::name(path);
        let lower = name.to_ascii_lowercase();
        let yaml = lower.strip_suffix(".yml").or_else(|| lower.strip_suffix(".yaml"));
        if name == CONFIGURATION {
            return Kind::Configuration;
        }
        if yaml.is_some() && is_workflow_folder(facts::parent(path)) {
            return Kind::Workflow;
        }
        match yaml {
            Some("action") => return Kind::Action,
            Some(stem) if has_prefix(stem, "compose") || has_prefix(stem, "docker-compose") => return Kind::Compose,
            _ => {}
        }
        let bake = lower.strip_suffix(".hcl").or_else(|| lower.strip_suffix(".json"));
        if bake.is_some_and(|it| has_prefix(it, "docker-bake")) {
            return Kind::Bake;
        }
        if is_dockerfile(name, &lower) { Kind::Dockerfile } else { Kind::Other }
    }

    /// The kind of a file in the editor: by its path, else by the language that the editor says.
    pub fn in_editor(path: &str, language: &str) -> Kind {
        let kind = Kind::of(path);
        if kind != Kind::Other || is_never(path) {
            return kind;
        }
        match language {
            "dockerfile" | "containerfile" => Kind::Dockerfile,
            "github-actions-workflow" => Kind::Workflow,
            "github-action" => Kind::Action,
            "dockercompose" => Kind::Compose,
            "dockerbake" => Kind::Bake,
            _ => Kind::Other,
        }
    }

    /// The kind of a file that the user names: what is no YAML, JSON or HCL and no template is
    /// taken for a Dockerfile, whatever its name.
    pub fn named(path: &str) -> Kind {
        let kind = Kind::of(path);
        let lower = facts::name(path).to_ascii_lowercase();
        let other_language = [".yml", ".yaml", ".json", ".hcl", ".toml", ".md"].iter().any(|it| lower.ends_with(it));
        if kind == Kind::Other && !other_language && !is_never(path) { Kind::Dockerfile } else { kind }
    }

    /// Whether rules look at files of this kind.
    pub fn is_checked(self) -> bool {
        self != Kind::Other
    }

    /// Parses a text of this kind. Only Dockerfiles keep their tree; what is not read through one, or
    /// in pieces as YAML is, gets none.
    fn document(self, text: &str) -> Document {
        match self {
            Kind::Dockerfile => Document::new(Language::Dockerfile, text),
            _ => Document::plain(text),
        }
    }
}

fn is_workflow_folder(folder: &str) -> bool {
    facts::name(folder) == "workflows" && is_service_folder(facts::name(facts::parent(folder)))
}

/// Whether a service that runs workflows looks for them in folders of this name.
pub fn is_service_folder(name: &str) -> bool {
    matches!(name, ".github" | ".gitea" | ".forgejo")
}

/// Whether `stem` is `prefix`, or `prefix` and more behind a dot: `compose.override`.
fn has_prefix(stem: &str, prefix: &str) -> bool {
    stem.strip_prefix(prefix).is_some_and(|it| it.is_empty() || it.starts_with('.'))
}

/// A name that no language id can make ours: an ignore file, or a template.
fn is_never(path: &str) -> bool {
    let lower = facts::name(path).to_ascii_lowercase();
    let ending = lower.rsplit_once('.').map(|(_, it)| it);
    ending.is_some_and(|it| it == "dockerignore" || it == "containerignore" || TEMPLATES.contains(&it)) || lower.ends_with('~')
}

fn is_dockerfile(name: &str, lower: &str) -> bool {
    if is_never(lower) {
        return false;
    }
    if matches!(lower, "dockerfile" | "containerfile") {
        return true;
    }
    let Some((stem, ending)) = lower.rsplit_once('.') else { return false };
    if matches!(ending, "dockerfile" | "containerfile") {
        return true;
    }
    let prefixed = ["dockerfile", "containerfile"].iter().any(|it| has_prefix(stem, it));
    let is_source = SOURCES.contains(&ending) && name.starts_with(|it: char| it.is_ascii_lowercase());
    prefixed && !ending.is_empty() && !DOCUMENTS.contains(&ending) && !is_source
}

/// What a file means, lowered once when the file is made.
#[derive(Debug, Clone, Default)]
pub enum Model {
    /// A Dockerfile.
    Dockerfile(Arc<Dockerfile>),
    /// A workflow, or a composite action.
    Workflow(Arc<Yaml<Workflow>>),
    /// A compose file.
    Compose(Arc<Yaml<Compose>>),
    /// A bake file.
    Bake(Arc<Bake>),
    /// Nothing that rules look into.
    #[default]
    Other,
}

/// A model that was made of YAML, and the syntax that it was made of.
#[derive(Debug)]
pub struct Yaml<T> {
    /// The syntax.
    pub syntax: yaml::Source,
    /// The model.
    pub model: T,
}

impl<T> Yaml<T> {
    fn read(text: &str, before: &Remains, lower: impl FnOnce(&yaml::Source) -> Option<T>) -> Option<Arc<Yaml<T>>> {
        let none = yaml::Pieces::default();
        let pieces = if let Remains::Pieces(it) = before { it } else { &none };
        let syntax = yaml::parse(text, pieces);
        let model = lower(&syntax)?;
        Some(Arc::new(Yaml { syntax, model }))
    }
}

/// What is left of a model for that of the text after the next edit.
#[derive(Debug, Default)]
pub enum Remains {
    /// What a file in YAML was read in.
    Pieces(yaml::Pieces),
    /// The scripts of a Dockerfile.
    Scripts(dockerfile::Scripts),
    /// Nothing.
    #[default]
    Nothing,
}

impl Model {
    /// Reads what a document with this text means; an action or a workflow as it is called with `calls`. What
    /// remains of an earlier text of it is not read again.
    pub fn lower(kind: Kind, text: &str, document: &Document, calls: &[Given], before: &Remains) -> Model {
        match (kind, document.tree()) {
            (Kind::Dockerfile, Some(tree)) => {
                let none = dockerfile::Scripts::default();
                let scripts = if let Remains::Scripts(it) = before { it } else { &none };
                Model::Dockerfile(Arc::new(dockerfile::lower_after(text, syntax::dockerfile::read(text, tree), scripts)))
            }
            (Kind::Workflow, _) => Yaml::read(text, before, |it| Some(workflow::lower(text, it, calls))).map_or(Model::Other, Model::Workflow),
            (Kind::Action, _) => Yaml::read(text, before, |it| workflow::lower_action(text, it, calls)).map_or(Model::Other, Model::Workflow),
            (Kind::Compose, _) => Yaml::read(text, before, |it| Some(compose::lower(it))).map_or(Model::Other, Model::Compose),
            (Kind::Bake, _) => Model::Bake(Arc::new(bake::lower(text))),
            _ => Model::Other,
        }
    }

    /// The syntax of a file in YAML.
    pub fn yaml(&self) -> Option<&yaml::Source> {
        match self {
            Model::Workflow(it) => Some(&it.syntax),
            Model::Compose(it) => Some(&it.syntax),
            Model::Dockerfile(_) | Model::Bake(_) | Model::Other => None,
        }
    }

    /// What the next text can make use of; all else is let go, unless somebody still looks at it.
    fn remains(self) -> Remains {
        match (&self, self.yaml()) {
            (Model::Dockerfile(it), _) => Remains::Scripts(it.scripts()),
            (_, Some(it)) => Remains::Pieces(it.pieces().clone()),
            _ => Remains::Nothing,
        }
    }

    /// Forgets what can be made again, of a file that is edited; of another, what only an edit needs.
    fn settled(mut self, is_edited: bool) -> Model {
        fn settle<T>(it: &mut Arc<Yaml<T>>, is_edited: bool) {
            if let Some(it) = Arc::get_mut(it) {
                if is_edited { it.syntax.slim() } else { it.syntax.settle() }
            }
        }
        match &mut self {
            Model::Workflow(it) => settle(it, is_edited),
            Model::Compose(it) => settle(it, is_edited),
            Model::Dockerfile(_) | Model::Bake(_) | Model::Other => {}
        }
        self
    }
}

/// A file: its text, tree and meaning.
#[derive(Debug, Clone)]
pub struct File {
    /// What it is.
    pub kind: Kind,
    /// Text and tree; only a file of the editor, whose text is edited, keeps its tree.
    pub document: Document,
    /// The editor's version of it: the editor owns the file, and the disk may not replace it.
    pub version: Option<i32>,
    /// What it means.
    pub model: Model,
    /// What the calls of an action or a workflow give it; none for other files.
    pub calls: Vec<Given>,
    /// What went wrong when it was lowered: a fault of ours. Its text is right all the same.
    pub fault: Option<String>,
    /// The text in one piece; that of a file on disk is made when first asked for.
    text: OnceLock<Arc<str>>,
}

impl File {
    /// A file with this text.
    pub fn new(kind: Kind, text: &str, version: Option<i32>) -> File {
        File::with(kind, kind.document(text), version, Vec::new(), Model::default())
    }

    /// The same file with another text, which the editor has given `version`.
    pub fn edited(self, document: Document, version: i32) -> File {
        drop((self.document, self.text));
        File::with(self.kind, document, Some(version), self.calls, self.model)
    }

    /// The same file, when the editor has given it back: nobody edits it any more.
    pub(crate) fn closed(&self) -> File {
        File { document: self.document.clone().without_tree(), version: None, ..self.clone() }
    }

    /// The same file, an action or a workflow that is called with `calls`.
    pub(crate) fn with_calls(&self, calls: Vec<Given>) -> File {
        File::with(self.kind, self.document.clone(), self.version, calls, self.model.clone())
    }

    fn with(kind: Kind, document: Document, version: Option<i32>, calls: Vec<Given>, before: Model) -> File {
        let before = before.remains();
        // The editor's changes are relative to the text before them: no fault may lose one.
        let text = document.source();
        let lowered = catch_unwind(AssertUnwindSafe(|| Model::lower(kind, &text, &document, &calls, &before)));
        let (model, fault) = match lowered {
            Ok(model) => (model.settled(version.is_some()), None),
            Err(panic) => (Model::default(), Some(panic_message(&*panic))),
        };
        if version.is_some() {
            let text = Arc::<str>::from(text).into();
            return File { kind, document, version, model, calls, fault, text };
        }
        drop(text);
        File { kind, document: document.without_tree(), version, model, calls, fault, text: OnceLock::new() }
    }

    /// The whole text.
    pub fn text(&self) -> &Arc<str> {
        self.text.get_or_init(|| self.document.source().into())
    }

    /// Whether a part of it is no syntax of its kind.
    pub fn is_broken(&self) -> bool {
        match self.model.yaml() {
            Some(yaml) => !yaml.errors.is_empty(),
            None => self.document.tree().is_some_and(|it| it.root_node().has_error()),
        }
    }

    /// Where the line begins above which a comment about `offset` can stand: a comment inside a
    /// statement of a Dockerfile, or inside a scalar of YAML, would be a part of it.
    pub fn statement_line(&self, offset: usize) -> usize {
        let start = match self.model.yaml() {
            Some(yaml) => yaml.root().map_or(offset, |it| it.outermost_leaf(offset)),
            None => self.document.statement(offset),
        };
        self.text()[..self.text().floor_char_boundary(start)].rfind(['\n', '\r']).map_or(0, |it| it + 1)
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dockerfiles() {
        for path in [
            "/a/Dockerfile",
            "/a/dockerfile",
            "/Containerfile",
            "/Dockerfile.dev",
            "/dockerfile.prod",
            "/Dockerfile.go",
            "/api.Dockerfile",
            "/api.dockerfile",
            "/x.containerfile",
            "/Containerfile.test",
            "/DOCKERFILE",
        ] {
            assert_eq!(Kind::of(path), Kind::Dockerfile, "{path}");
        }
    }

    #[test]
    fn names_of_none() {
        for path in [
            "/Dockerfile.dockerignore",
            "/.dockerignore",
            "/Dockerfile.j2",
            "/Dockerfile.tmpl",
            "/Dockerfile.in",
            "/app.Dockerfile.template",
            "/dockerfile.go",
            "/dockerfile.sh",
            "/Dockerfile.md",
            "/docs/dockerfile.mdx",
            "/Dockerfile~",
            "/Dockerfile.",
            "/mydockerfile",
            "/Dockerfiles",
            "/workflows/ci.yml",
            "/.github/ci.yml",
            "/.github/workflows/sub/ci.yml",
            "/.github/workflows/ci.json",
            "/values.yaml",
            "/composer.json",
        ] {
            assert_eq!(Kind::of(path), Kind::Other, "{path}");
        }
    }

    #[test]
    fn names_of_the_rest() {
        for (path, kind) in [
            ("/r/.github/workflows/ci.yml", Kind::Workflow),
            ("/.gitea/workflows/ci.yaml", Kind::Workflow),
            ("/.forgejo/workflows/Dockerfile.yml", Kind::Workflow),
            ("/x/action.yml", Kind::Action),
            ("/compose.yaml", Kind::Compose),
            ("/docker-compose.override.yml", Kind::Compose),
            ("/docker-bake.hcl", Kind::Bake),
            ("/docker-bake.override.json", Kind::Bake),
            ("/.layerwise.yaml", Kind::Configuration),
        ] {
            assert_eq!(Kind::of(path), kind, "{path}");
        }
    }

    #[test]
    fn the_path_wins_over_the_language() {
        assert_eq!(Kind::in_editor("/.github/workflows/a.yml", "yaml"), Kind::Workflow);
        assert_eq!(Kind::in_editor("/Untitled-1", "dockerfile"), Kind::Dockerfile);
        assert_eq!(Kind::in_editor("/Dockerfile.j2", "dockerfile"), Kind::Other);
        assert_eq!(Kind::in_editor("/x.yml", "yaml"), Kind::Other);
        assert_eq!(Kind::in_editor("/ci.yml", "github-actions-workflow"), Kind::Workflow);
    }

    #[test]
    fn what_the_user_names_is_a_dockerfile() {
        assert_eq!(Kind::named("/build/app"), Kind::Dockerfile);
        assert_eq!(Kind::named("/values.yaml"), Kind::Other);
        assert_eq!(Kind::named("/Dockerfile.j2"), Kind::Other);
    }
}
