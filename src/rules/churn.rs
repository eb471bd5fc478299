//! What lies in a build context, changes often, and no build needs.
//!
//! A file is named only if it is there and nothing is seen to use it: no COPY of any Dockerfile of
//! the folder names it, and, for what tools may ask, neither commands nor manifests do.

use crate::dockerfile::context::Context;
use crate::dockerfile::plan::has_word;
use crate::dockerfile::{Kind, Run, clean_source};
use crate::ecosystem::Manager;
use crate::edit::Span;
use crate::facts::{self, Entry, Text};
use crate::shell::Command;
use crate::view::DockerfileView;

/// Something that changes without the image changing, where no build uses it.
struct Churn {
    path: &'static str,
    /// What shows that a folder of that name is no part of the sources.
    shown_by: &'static [&'static str],
    made_by: MadeBy,
}

/// Who makes a folder in the image, so that the one in the context is not needed there.
enum MadeBy {
    /// Nobody: it serves those who work on the sources.
    Nobody,
    /// One of these package managers.
    Managers(&'static [Manager]),
    /// A build: any command that may write it.
    Build,
}

const fn aside(path: &'static str) -> Churn {
    Churn { path, shown_by: &[], made_by: MadeBy::Nobody }
}

const fn made(path: &'static str, shown_by: &'static [&'static str], made_by: MadeBy) -> Churn {
    Churn { path, shown_by, made_by }
}

const GIT: &str = ".git";
const PYTHON: &[Manager] = &[Manager::Pip, Manager::Uv, Manager::Poetry, Manager::Pipenv];

const ALL: &[Churn] = &[
    aside(GIT),
    made("node_modules", &[], MadeBy::Managers(&[Manager::Npm, Manager::Yarn, Manager::Pnpm, Manager::Bun])),
    made(".venv", &[], MadeBy::Managers(PYTHON)),
    made("venv", &[], MadeBy::Managers(PYTHON)),
    aside("__pycache__"),
    aside(".pytest_cache"),
    aside(".mypy_cache"),
    aside(".ruff_cache"),
    aside(".tox"),
    made("target", &[], MadeBy::Build),
    aside(".gradle"),
    aside(".idea"),
    aside(".vscode"),
    aside(".DS_Store"),
    // Packages and folders of sources have this name too.
    made("coverage", &["coverage/lcov.info", "coverage/lcov-report", "coverage/coverage-final.json", "coverage/clover.xml"], MadeBy::Nobody),
    aside(".nyc_output"),
    made(".next", &[], MadeBy::Build),
    made(".nuxt", &[], MadeBy::Build),
    aside(".turbo"),
    aside(".github"),
];

/// Those that people edit, which is seldom.
const SETTINGS: &[&str] = &[".idea", ".vscode", ".DS_Store", ".github"];

/// Names of files that say which tools ask git, or that run them.
const TELLING: &[&str] = &[
    "next.config.js",
    "next.config.mjs",
    "next.config.ts",
    "nuxt.config.ts",
    "vite.config.js",
    "vite.config.mts",
    "vite.config.ts",
    "vue.config.js",
    "webpack.config.js",
    "astro.config.mjs",
    "angular.json",
    "gulpfile.js",
    "Gruntfile.js",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "package.json",
    "Cargo.toml",
    "build.rs",
    "Makefile",
    "GNUmakefile",
    "makefile",
    "justfile",
    "Justfile",
    "Taskfile.yml",
    "Rakefile",
    "build.gradle",
    "build.gradle.kts",
    "pom.xml",
    "CMakeLists.txt",
    "meson.build",
    "mix.exs",
    "Directory.Build.props",
    ".goreleaser.yml",
    ".goreleaser.yaml",
];

/// Tools that make a version out of the history, and commands of git that scripts use for it.
const ASKS_GIT: &[&str] = &[
    "setuptools_scm",
    "setuptools-scm",
    "hatch-vcs",
    "hatch_vcs",
    "versioneer",
    "versioningit",
    "dunamai",
    "dynamic-versioning",
    "pbr",
    "vergen",
    "git_version",
    "git-version",
    "gitversion",
    "shadow-rs",
    "git-commit-id",
    "jgitver",
    "axion-release",
    "nerdbank",
    "minver",
    "simple-git",
    "isomorphic-git",
    "git describe",
    "git rev-parse",
    "git rev-list",
    "git log",
    "git show",
    "git status",
    "git diff",
    "git branch",
    "git tag",
    "git ls-files",
    "git submodule",
    ".git/",
    // A program that a script runs.
    "(\"git",
    "('git",
    "([\"git",
    "(['git",
    "(`git ",
];

/// More scripts or Dockerfiles than this are not looked into; then it is not known who uses what.
const MAX_READ: usize = 60;

/// What of a context changes without need. `None` where it is not known (yet).
pub(super) fn churn(view: &DockerfileView<'_>, context: &Context<'_>) -> Option<Vec<&'static str>> {
    let tree = context.tree.as_ref().filter(|it| it.exists)?;
    let there: Vec<&Churn> = ALL.iter().filter(|it| tree.entries.contains_key(it.path)).collect();
    let mut res = Vec::new();
    let mut others = None;
    for it in there {
        let shown = it.shown_by.is_empty() || it.shown_by.iter().any(|it| tree.entries.contains_key(*it));
        if !shown || context.excludes(it.path) == Some(true) || is_brought_back(context, it.path) || copies(view, it.path) || !is_made(view, it) {
            continue;
        }
        if others.is_none() {
            others = Some(other_dockerfiles(view, context)?);
        }
        // A Dockerfile that speaks of git may ask it without naming the folder.
        let named_elsewhere = others.iter().flatten().any(|text| names(text, it.path) || (it.path == GIT && has_word(text, "git")));
        if named_elsewhere || (it.path == GIT && asks_git(view, context)?) {
            continue;
        }
        res.push(it.path);
    }
    Some(res)
}

/// Whether only settings are among them, which are few and change seldom.
pub(super) fn is_quiet(names: &[&str]) -> bool {
    names.iter().all(|it| SETTINGS.contains(it))
}

/// Whether a pattern of the ignore file brings it, or a part of it, back on purpose.
fn is_brought_back(context: &Context<'_>, path: &str) -> bool {
    let crate::dockerfile::context::Ignore::File(_, ignore) = &context.ignore else { return false };
    ignore.patterns().iter().any(|it| it.negated && (it.text == path || it.text.starts_with(&format!("{path}/"))))
}

/// Whether a COPY, an ADD or a mount names the path, or something below it.
pub(super) fn copies(view: &DockerfileView<'_>, path: &str) -> bool {
    let is_in = |source: &str| clean_source(source).split('/').next() == Some(path);
    view.dockerfile.instructions().any(|(_, it)| match &it.kind {
        Kind::Copy(copy) => copy.from.is_none() && copy.sources.iter().any(|it| is_in(&it.text)),
        Kind::Run(run) => run.mounts.iter().filter(|it| it.binds_context()).filter_map(|it| it.source()).any(is_in),
        _ => false,
    })
}

/// Whether the image makes its own.
fn is_made(view: &DockerfileView<'_>, churn: &Churn) -> bool {
    let mut runs = view.plans().flat_map(|it| &it.steps).filter_map(|step| match &step.instruction.kind {
        Kind::Run(run) => Some((step, run)),
        _ => None,
    });
    match churn.made_by {
        MadeBy::Nobody => true,
        MadeBy::Managers(managers) => runs.any(|(step, _)| step.installs.iter().any(|it| it.installs() && managers.contains(&it.manager))),
        MadeBy::Build => runs.any(|(_, run)| run.reading.obstacle.is_some()),
    }
}

/// The texts of the other Dockerfiles that may be built with this folder: those in it. `None` where
/// one is not known (yet).
fn other_dockerfiles(view: &DockerfileView<'_>, context: &Context<'_>) -> Option<Vec<String>> {
    let tree = context.tree.as_ref()?;
    let folder = context.folder.as_deref()?;
    let is_other = |path: &&String| {
        let name = facts::name(path).to_ascii_lowercase();
        let is_dockerfile = name.starts_with("dockerfile") || name.ends_with(".dockerfile") || name.starts_with("containerfile");
        is_dockerfile && !name.ends_with("ignore") && facts::join(folder, path) != *view.path
    };
    texts(context, tree.entries.iter().filter(|(_, it)| **it == Entry::File).map(|(path, _)| path).filter(is_other).map(String::as_str))
}

/// Whether a text names the path as a word of its own.
fn names(text: &str, path: &str) -> bool {
    // `.git` is no word of `.gitignore`, nor of an address that ends in `x.git`.
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.match_indices(path).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + path.len()..].starts_with(is_part))
}

/// Whether a build may ask git about the sources; `None` where that is not known (yet).
fn asks_git(view: &DockerfileView<'_>, context: &Context<'_>) -> Option<bool> {
    if stamps_commit(view) {
        return Some(true);
    }
    let in_commands = |text: &str| has_word(text, "git") || names(text, GIT);
    let commands = || {
        view.dockerfile.instructions().filter_map(|(_, it)| match &it.kind {
            Kind::Run(run) => Some(run),
            _ => None,
        })
    };
    if commands().any(|it| in_commands(&it.command.text)) {
        return Some(true);
    }
    let tree = context.tree.as_ref()?;
    let is_file = |path: &str| tree.entries.get(path) == Some(&Entry::File);
    // Scripts at the top, and those that commands name.
    let tells = |path: &str| TELLING.contains(&facts::name(path)) || (!path.contains('/') && path.ends_with(".sh"));
    let mut telling: Vec<&str> = tree.entries.keys().map(String::as_str).filter(|it| tells(it) && is_file(it)).take(MAX_READ + 1).collect();
    let words = commands().flat_map(|it| &it.script.commands).flat_map(|it| &it.words);
    for word in words {
        let path = clean_source(&word.text);
        if let Some((path, _)) = tree.entries.get_key_value(&path)
            && is_file(path)
            && !telling.contains(&path.as_str())
        {
            telling.push(path);
        }
    }
    let texts = texts(context, telling.into_iter())?;
    Some(texts.iter().any(|text| {
        let text = text.to_ascii_lowercase();
        ASKS_GIT.iter().any(|it| text.contains(it))
    }))
}

/// Whether a compiler puts the commit into what it makes without being asked: Go where git is
/// installed (<https://pkg.go.dev/cmd/go>, `-buildvcs`), and .NET since 8
/// (<https://learn.microsoft.com/dotnet/core/compatibility/sdk/8.0/source-link>).
fn stamps_commit(view: &DockerfileView<'_>) -> bool {
    view.plans().any(|plan| {
        // The small variant of the image has no git.
        let is_small = |tag: Option<&str>| tag.is_some_and(|it| it.contains("alpine"));
        let has_git = plan.image().is_none_or(|it| it.official() != Some("golang") || !it.parts().is_some_and(|it| is_small(it.1)));
        let stamps = |run: &Run, command: &Command| {
            let does = |verbs: &[&str]| command.words.iter().any(|it| verbs.contains(&it.text.as_str()));
            match command.program() {
                Some("go") => has_git && !run.command.text.contains("-buildvcs=false") && does(&["build", "install"]),
                Some("dotnet") => does(&["build", "publish", "pack"]),
                _ => false,
            }
        };
        plan.steps.iter().any(|step| match &step.instruction.kind {
            Kind::Run(run) => run.script.commands.iter().any(|it| stamps(run, it)),
            _ => false,
        })
    })
}

/// The texts of files of the context; `None` where one is not known (yet) or there are too many.
fn texts<'p>(context: &Context<'_>, paths: impl Iterator<Item = &'p str>) -> Option<Vec<String>> {
    let (facts, folder) = (context.facts?, context.folder.as_deref()?);
    let paths: Vec<&str> = paths.take(MAX_READ + 1).collect();
    if paths.len() > MAX_READ {
        return None;
    }
    // All are asked for before one that is not known ends it.
    let known: Vec<Option<&Text>> = paths.iter().map(|it| facts.text(&facts::join(folder, it))).collect();
    let text = |it: Option<&Text>| match it? {
        Text::Known(text) => Some(text.to_string()),
        Text::Missing => Some(String::new()),
        Text::Unreadable => None,
    };
    known.into_iter().map(text).collect()
}

/// Whether a command runs behind the instruction at `copy`, in its stage or one that starts from it.
pub(super) fn runs_below(view: &DockerfileView<'_>, copy: Span) -> bool {
    view.plans().any(|plan| {
        let below = plan.steps.iter().skip_while(|it| it.instruction.span != copy);
        plan.steps.iter().any(|it| it.instruction.span == copy && matches!(it.instruction.kind, Kind::Run(_)))
            || below.skip(1).any(|it| matches!(it.instruction.kind, Kind::Run(_)))
    })
}

/// The first instruction that takes the whole context.
pub(super) fn first_whole_copy(view: &DockerfileView<'_>) -> Option<Span> {
    let copies = view.plans().flat_map(|plan| plan.own()).filter(|(_, it)| match &it.instruction.kind {
        Kind::Copy(copy) => copy.whole_context(),
        Kind::Run(run) => run.mounts.iter().any(|it| it.binds_context() && it.source().is_none_or(|it| it == ".")),
        _ => false,
    });
    copies.map(|(_, it)| it.instruction.span).min_by_key(|it| it.start)
}
