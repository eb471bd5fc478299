//! What the cache key of an instruction is made of, and how often each part of it changes.
//!
//! The chain of keys (docs/facts.md A.1): the key of an instruction holds the key of the one before it,
//! so that whatever changes often makes everything below it run again.

use super::context::{Context, Passed};
use super::plan::{Plan, Step, has_word, matches_wildcard};
use super::{Base, Copy, Kind, Run, clean_source, is_glob};
use crate::ecosystem;
use crate::facts::{self, Entry};
use crate::shell::{Command, Word};
use crate::volatility::{Cost, Volatility};

/// How often a copy from the build context has another content.
pub fn copy_volatility(context: &Context<'_>, copy: &Copy) -> Volatility {
    if copy.from.is_some() {
        // The content decides, not the chain of the other stage (docs/facts.md A.1.5).
        return Volatility::Sometimes;
    }
    copy.sources.iter().map(|it| source_volatility(context, &it.text)).max().unwrap_or(Volatility::Rarely)
}

/// How often one source of a copy has another content.
pub fn source_volatility(context: &Context<'_>, source: &str) -> Volatility {
    if super::is_remote(source) {
        return Volatility::Sometimes;
    }
    let path = clean_source(source);
    if matches!(path.as_str(), "" | "*" | "**") {
        return Volatility::Often;
    }
    let name = facts::name(&path);
    match context.entry(&path) {
        Some(Some(Entry::File)) => file_volatility(&path),
        Some(Some(_)) => folder_volatility(&path),
        _ if looks_like_folder(source, name) => folder_volatility(&path),
        _ if is_glob(&path) => glob_volatility(context, &path),
        _ => file_volatility(&path),
    }
}

/// How often what a pattern selects changes: what it selects today, where that is known, and
/// otherwise what it looks like. A file that a pattern begins to name and that is not there (`symfony.*`, for a
/// lockfile that the project may have one day) is no source.
fn glob_volatility(context: &Context<'_>, pattern: &str) -> Volatility {
    let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let entries = if is_glob(folder) || name.contains('[') { None } else { context.list(folder) };
    let may_be_missing = entries.is_some() && !name.starts_with('*');
    let selected = entries.into_iter().flatten().filter(|(it, _)| matches_wildcard(name, it));
    let each = selected.map(|(it, entry)| {
        let path = facts::join(&format!("/{folder}"), &it)[1..].to_owned();
        if entry == Entry::File { file_volatility(&path) } else { folder_volatility(&path) }
    });
    each.max().unwrap_or_else(|| if may_be_missing { Volatility::Sometimes } else { file_volatility(pattern) })
}

fn looks_like_folder(source: &str, name: &str) -> bool {
    const FILES: &[&str] = &[
        "dockerfile",
        "containerfile",
        "makefile",
        "gemfile",
        "rakefile",
        "procfile",
        "pipfile",
        "license",
        "gradlew",
        "mvnw",
        "configure",
        "justfile",
        "build",
        "version",
        "readme",
        "entrypoint",
        "docker-entrypoint",
        "start",
        "run",
        "crontab",
    ];
    source.ends_with('/') || (!name.contains(['.', '*', '$']) && !FILES.contains(&name.to_ascii_lowercase().as_str()))
}

/// Folders of configuration and of pinned inputs change less often than sources.
fn folder_volatility(path: &str) -> Volatility {
    const QUIET: &[&str] = &[
        ".cargo",
        ".config",
        ".docker",
        ".mvn",
        ".yarn",
        "build",
        "certs",
        "conf",
        "conf.d",
        "config",
        "configs",
        "dependencies",
        "deploy",
        "docker",
        "etc",
        "fonts",
        "gradle",
        "licenses",
        "nginx",
        "overlay",
        "packaging",
        "patches",
        "prisma",
        "requirements",
        "root",
        "rootfs",
        "scripts",
        "third_party",
        "vendor",
        "wheels",
    ];
    // `docker/startup` and the like belong to the image; `docker/app/src` is an application after all.
    const OF_IMAGE: &[&str] = &[".docker", "config", "configs", "conf", "deploy", "docker", "etc", "nginx", "overlay", "packaging", "rootfs"];
    const APPLICATIONS: &[&str] =
        &["api", "app", "apps", "backend", "client", "frontend", "lib", "libs", "packages", "pkg", "server", "source", "sources", "src", "web"];
    let path = path.to_ascii_lowercase();
    let (folder, name) = (facts::parent(&path), facts::name(&path));
    let of_image = folder.split('/').any(|it| OF_IMAGE.contains(&it)) && !path.split('/').any(|it| APPLICATIONS.contains(&it));
    let of_others = folder.split('/').any(|it| matches!(it, "vendor" | "third_party"));
    // `.yarn/releases`, `gradle/wrapper`: what the package manager brings itself.
    let of_manager = folder.split('/').any(|it| matches!(it, ".cargo" | ".mvn" | ".yarn" | "gradle"));
    if QUIET.contains(&name) || of_image || of_others || of_manager { Volatility::Sometimes } else { Volatility::Often }
}

fn file_volatility(path: &str) -> Volatility {
    const SOURCES: &[&str] = &[
        "c", "cc", "cjs", "clj", "cpp", "cs", "css", "ex", "exs", "go", "h", "hpp", "hs", "html", "java", "js", "jsx", "kt", "mjs", "php", "py", "rb", "rs",
        "scala", "scss", "svelte", "swift", "ts", "tsx", "vue",
    ];
    // Manifests that are programs, and files that every project of a kind has and nobody touches.
    const QUIET: &[&str] = &["setup.py", "build.rs", "manage.py", "wsgi.py", "asgi.py", "mix.exs", "conanfile.py", "project.clj", "Package.swift"];
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    // `vite.config.ts` and the like are configuration; one script out of a folder of them is a tool.
    let quiet = name.contains("config") || name.starts_with('.') || QUIET.contains(&name) || is_folder_of_scripts(folder);
    // `main.*` is sources, but `go.*` is a manifest and its lockfile.
    let is_manifest = ecosystem::manifests().chain(QUIET.iter().copied()).any(|it| it.rsplit_once('.').is_some_and(|it| it.0 == stem));
    let whole_kind = is_glob(name) && extension == "*" && !is_manifest;
    if (SOURCES.contains(&extension) && !quiet) || whole_kind || is_built_package(folder, extension) { Volatility::Often } else { Volatility::Sometimes }
}

/// Whether a file is what a build outside of the image has made of the sources: `target/app.jar`.
fn is_built_package(folder: &str, extension: &str) -> bool {
    // In a `libs` of another place lie libraries of others.
    let is_of_build = matches!(facts::name(folder), "target" | "dist") || format!("/{folder}").ends_with("/build/libs");
    is_of_build && matches!(extension, "jar" | "war" | "ear" | "whl" | "nupkg")
}

fn is_folder_of_scripts(folder: &str) -> bool {
    matches!(facts::name(folder), "bin" | "hack" | "script" | "scripts" | "tools")
}

/// In more bytes of commands than this the folders that copies take are not looked for.
const MAX_SEARCHED: usize = 16 << 10;

/// Names of folders that hold installed packages.
pub const PACKAGES: &[&str] = &["node_modules", "vendor", ".venv", "venv", "site-packages", "bundle", ".m2", ".gradle", ".nuget", "mod"];

/// How often the value of a build argument changes, and what says so.
#[derive(Debug, Clone)]
pub enum ArgumentVolatility<'a> {
    /// It does not, or seldom.
    Quiet,
    /// A build passes a value that is another on every commit or run.
    Passed(&'a Passed),
    /// Its name says that it names a commit, a run or a time, and no build is known that says otherwise.
    Named,
}

/// How often the value of the build argument `name` changes. A default that says something pins
/// the value; `unknown`, `dev` and the like only stand in for what is passed.
pub fn argument_volatility<'a>(context: &'a Context<'_>, name: &str, default: Option<&str>) -> ArgumentVolatility<'a> {
    let pinned = default.is_some_and(|it| it.bytes().filter(u8::is_ascii_digit).count() > 1);
    let volatile = || context.passed(name).filter(|it| it.variance.is_per_commit());
    if let Some(passed) = volatile().find(|it| it.cached).or_else(|| volatile().next()) {
        return ArgumentVolatility::Passed(passed);
    }
    let named = (is_volatile_name(name) && !pinned) || context.volatile_names.iter().any(|it| wildcard(it, name));
    // If the builds are known and none passes it, or all pass something quiet, its value stays.
    match context.passes(name) {
        Some(false) => ArgumentVolatility::Quiet,
        Some(true) if !context.passed(name).any(|it| it.variance.is_unknown()) => ArgumentVolatility::Quiet,
        _ if named => ArgumentVolatility::Named,
        _ => ArgumentVolatility::Quiet,
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any text; case does not matter.
fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase().into_bytes(), name.to_ascii_lowercase().into_bytes());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on if what follows the last star does not fit: one more byte for the star.
    let mut retry = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            retry = Some((at_pattern, at_text));
        } else if pattern.get(at_pattern) == Some(&text[at_text]) {
            at_pattern += 1;
            at_text += 1;
        } else if let Some((star, eaten)) = retry {
            (at_pattern, at_text) = (star, eaten + 1);
            retry = Some((star, eaten + 1));
        } else {
            return false;
        }
    }
    pattern[at_pattern..].iter().all(|it| *it == b'*')
}

/// Whether a name says that the value names a commit, a run or a moment. Names of versions are not
/// among them: most are set by hand (docs/facts.md B.6). A name that says that it is there to defeat
/// the cache is meant to stand where it stands.
pub fn is_volatile_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words: Vec<&str> = name.split('_').filter(|it| !it.is_empty()).collect();
    // Any other word names another project, whose commit is pinned.
    if !words.iter().all(|it| COMMIT_WORDS.contains(it) || MOMENT_WORDS.contains(it) || OWN_WORDS.contains(it)) {
        return false;
    }
    let has = |list: &[&str]| words.iter().any(|it| list.contains(it));
    let of_build = has(&["BUILD", "RUN", "CI", "PIPELINE", "JOB", "RELEASE", "CREATED", "COMMIT", "DEPLOY"]);
    name == "VCS_REF" || has(COMMIT_WORDS) || (of_build && has(MOMENT_WORDS)) || matches!(words[..], ["TIMESTAMP" | "DATE" | "DATETIME"])
}

/// Whether a volatile name names a moment, and no commit.
pub fn is_moment_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let of_commit = name.split('_').any(|it| COMMIT_WORDS.contains(&it) && !it.starts_with("BUILD"));
    is_volatile_name(&name) && !of_commit && name.split('_').any(|it| it == "AT" || MOMENTS.contains(&it))
}

/// Words that can only name a moment.
pub const MOMENTS: &[&str] = &["DATE", "TIME", "DATETIME", "TIMESTAMP", "BUILDDATE", "BUILDTIME", "BUILDDATETIME"];

/// Words that name a commit, or a build, by themselves.
const COMMIT_WORDS: &[&str] = &[
    "COMMIT",
    "SHA",
    "SHA1",
    "REVISION",
    "REV",
    "HASH",
    "GITSHA",
    "GITHASH",
    "GITCOMMIT",
    "GITREV",
    "VCSREF",
    "BUILDTIME",
    "BUILDDATE",
    "BUILDDATETIME",
    "BUILDNUMBER",
    "BUILDID",
];
/// Words that name a moment or a count, of a build or a run if another word says so.
const MOMENT_WORDS: &[&str] = &["DATE", "TIME", "DATETIME", "TIMESTAMP", "NUMBER", "NUM", "ID", "ISO", "UTC", "AT"];
/// Words that say whose it is: the project's own.
const OWN_WORDS: &[&str] = &[
    "API",
    "APP",
    "APPLICATION",
    "BACKEND",
    "BITBUCKET",
    "BUILD",
    "BUILDKITE",
    "CI",
    "CIRCLE",
    "CREATED",
    "CURRENT",
    "DEPLOY",
    "DOCKER",
    "DRONE",
    "ENV",
    "FRONTEND",
    "FULL",
    "GIT",
    "GITHUB",
    "GITLAB",
    "HEAD",
    "HEROKU",
    "IMAGE",
    "JENKINS",
    "JOB",
    "LAST",
    "LONG",
    "NEXT",
    "NUXT",
    "PIPELINE",
    "PROJECT",
    "PUBLIC",
    "REACT",
    "REF",
    "RELEASE",
    "REPO",
    "RUN",
    "SERVER",
    "SERVICE",
    "SHORT",
    "SLUG",
    "SOURCE",
    "SRC",
    "THE",
    "TRAVIS",
    "VCS",
    "VERCEL",
    "VITE",
    "WEB",
    "SCM",
];

/// How a builder makes cache keys (docs/facts.md A.2, second table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keys {
    /// BuildKit: only what makes a file system has a key; image configuration is free.
    #[default]
    Graph,
    /// The classic builder, buildah and podman: every instruction is a step, and a changed one makes
    /// all later ones run again.
    Chain,
    /// kaniko: as [`Keys::Chain`], and the values of all build arguments are in the first key.
    Whole,
}

/// What changes from one build to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// The text of the step of this number, or, for a copy, what it copies.
    Step(usize),
    /// The value that is passed as a build argument.
    Argument(&'a str),
}

impl Plan<'_> {
    /// The steps that run again after a change, in order. Steps that make no layer have no key and
    /// never run; they are left out. Of the change, only its place is known: where both builds are
    /// known as a whole, [`super::rebuild`] is exact.
    pub fn invalidated(&self, change: Change<'_>, keys: Keys) -> Vec<usize> {
        let (first, name) = match change {
            Change::Step(index) => (index, None),
            Change::Argument(name) if keys == Keys::Whole => return (0..self.steps.len()).filter(|_| !name.is_empty()).collect(),
            Change::Argument(name) => match self.steps.iter().position(|it| declares(it, name)) {
                Some(index) => (index, Some(name)),
                // Nothing declares it: its value reaches nothing (docs/facts.md A.2).
                None => return Vec::new(),
            },
        };
        if keys != Keys::Graph {
            return (first..self.steps.len()).collect();
        }
        let changed = &self.steps[first];
        let mut names: Vec<String> = match (&changed.instruction.kind, name) {
            (_, Some(name)) => vec![name.to_owned()],
            (Kind::Env(variables) | Kind::Arg(variables), None) => {
                variables.iter().filter(|it| self.has_value(changed, it)).map(|it| it.name.clone()).collect()
            }
            _ => Vec::new(),
        };
        let own_key = matches!(change, Change::Step(_)) && has_key(changed);
        let mut res = if own_key { vec![first] } else { Vec::new() };
        for (index, step) in self.steps.iter().enumerate().skip(first + 1) {
            if let Kind::Env(variables) | Kind::Arg(variables) = &step.instruction.kind
                && step.instruction.expansions.iter().any(|it| names.contains(&it.name))
            {
                names.extend(variables.iter().map(|it| it.name.clone()));
            }
            if !has_key(step) {
                continue;
            }
            let chained = !is_linked(step) && !res.is_empty();
            if chained || self.own_key_changes(change, changed, &names, step) {
                res.push(index);
            }
        }
        res
    }

    /// Whether a change reaches the key of a later step other than through the steps between.
    fn own_key_changes(&self, change: Change<'_>, changed: &Step<'_>, names: &[String], step: &Step<'_>) -> bool {
        let expands = step.instruction.expansions.iter().any(|it| names.contains(&it.name));
        let run = match &step.instruction.kind {
            Kind::Run(run) => Some(run),
            _ => None,
        };
        if matches!(change, Change::Argument(_)) || matches!(changed.instruction.kind, Kind::Env(_) | Kind::Arg(_)) {
            // The whole environment is in the key of a command, whether it reads it or not.
            return expands || (run.is_some() && !names.is_empty());
        }
        match &changed.instruction.kind {
            Kind::User(_) => run.is_some() || matches!(step.instruction.kind, Kind::Workdir(_)),
            Kind::Workdir(_) => run.is_some() || uses_directory(step),
            Kind::Shell(words) => run.is_some_and(|it| it.shell_form) && words != &["/bin/sh", "-c"],
            _ => false,
        }
    }

    /// Whether a variable is in the environment at all: an argument without default that nobody
    /// passes is not.
    pub fn has_value(&self, step: &Step<'_>, variable: &super::Variable) -> bool {
        let is_argument = matches!(step.instruction.kind, Kind::Arg(_));
        !is_argument
            || variable.value.is_some()
            || self.context.passes(&variable.name) == Some(true)
            || matches!(self.dockerfile.global(&variable.name), crate::syntax::dockerfile::Variable::Set(_))
    }
}

fn declares(step: &Step<'_>, name: &str) -> bool {
    matches!(&step.instruction.kind, Kind::Arg(variables) if variables.iter().any(|it| it.name == name))
}

/// What a stage does with the sources.
#[derive(Default)]
struct Built<'a> {
    /// The folders that they are copied to.
    projects: Vec<String>,
    /// The commands below that may write anything.
    commands: Vec<&'a Run>,
}

impl Built<'_> {
    /// Whether a path of the stage is in a folder of sources.
    fn is_of_sources(&self, path: &str) -> bool {
        self.projects.iter().any(|it| it != "/" && facts::is_below(path, it))
    }

    /// Whether a compiler is told to put what it makes there: `go build -o /out/app`, `make DESTDIR=/out`.
    fn is_told(&self, path: &str) -> bool {
        const COMPILERS: &[&str] = &["go", "dotnet", "make", "ninja", "meson", "gcc", "g++", "cc", "clang", "clang++"];
        const FLAGS: &[&str] = &["-o", "--output", "DESTDIR", "--destdir"];
        let is_output = |words: &[Word]| match words {
            [flag, value] => FLAGS.contains(&flag.text.as_str()) && value.text.trim_end_matches('/') == path,
            _ => false,
        };
        let is_joined = |word: &Word| word.text.split_once('=').is_some_and(|(flag, value)| FLAGS.contains(&flag) && value.trim_end_matches('/') == path);
        let tells = |it: &Command| {
            let is_compiler = it.program().is_some_and(|it| COMPILERS.contains(&it));
            let in_front = || it.assignments.iter().any(|(name, value)| name == "DESTDIR" && value.text.trim_end_matches('/') == path);
            is_compiler && (it.words.windows(2).any(is_output) || it.words.iter().any(is_joined) || in_front())
        };
        self.commands.iter().flat_map(|it| &it.script.commands).any(tells)
    }
}

/// Whether a path is one of installed packages, which change with the lockfile.
fn is_of_packages(path: &str) -> bool {
    path.split('/').any(|it| PACKAGES.contains(&it))
}

/// Whether a step makes a layer, and so has a key.
fn has_key(step: &Step<'_>) -> bool {
    match &step.instruction.kind {
        Kind::Run(_) | Kind::Copy(_) | Kind::Unknown => true,
        Kind::Workdir(folder) => folder.trim_matches(['"', '\'']) != "/",
        _ => false,
    }
}

fn is_linked(step: &Step<'_>) -> bool {
    matches!(&step.instruction.kind, Kind::Copy(copy) if copy.link && !step.instruction.flags.iter().any(|it| it.name == "chmod"))
}

fn uses_directory(step: &Step<'_>) -> bool {
    match &step.instruction.kind {
        Kind::Copy(copy) => !copy.destination.text.starts_with('/'),
        Kind::Workdir(folder) => !folder.trim_start_matches(['"', '\'']).starts_with('/'),
        _ => false,
    }
}

impl Plan<'_> {
    /// How often the key of a step changes by inputs of its own, apart from the variables in scope.
    pub fn own_volatility(&self, step: &Step<'_>) -> Volatility {
        match &step.instruction.kind {
            Kind::Copy(copy) if copy.from.is_some() => copy_volatility(&self.context, copy).max(self.built_volatility(copy)),
            Kind::Copy(copy) => {
                let expanded = copy.sources.iter().map(|it| step.state.expand(&it.text, self.dockerfile.escape).unwrap_or_else(|| it.text.to_string()));
                expanded.map(|it| source_volatility(&self.context, &it)).max().unwrap_or(Volatility::Rarely)
            }
            Kind::Run(run) => {
                let bound = run.mounts.iter().filter(|it| it.binds_context());
                bound.map(|it| it.source().map_or(Volatility::Often, |it| source_volatility(&self.context, it))).max().unwrap_or_default()
            }
            _ => Volatility::Pinned,
        }
    }

    /// How often what a copy takes from another stage changes: with the sources, if it takes it from
    /// a folder that they are copied to there, or that a command below them names which may write anything.
    fn built_volatility(&self, copy: &Copy) -> Volatility {
        let Some(built) = self.built(copy) else { return Volatility::Pinned };
        // `make install DESTDIR=/out`
        let is_output = |path: &str| ecosystem::application_root(path).is_some_and(|root| built.commands.iter().any(|it| has_word(&it.command.text, root)));
        let changes = |path: &str| !is_of_packages(path) && (built.is_of_sources(path) || is_output(path));
        if copy.sources.iter().any(|it| changes(&facts::join("/", &it.text))) { Volatility::Often } else { Volatility::Sometimes }
    }

    /// Whether a copy brings what commands of another stage make of the sources, by what it is called: no manifest, no
    /// configuration and nothing that was installed.
    pub fn brings_built(&self, copy: &Copy) -> bool {
        let Some(built) = self.built(copy).filter(|it| !it.commands.is_empty()) else { return false };
        let changes = |path: &str, source: &str| {
            let inside = path.trim_start_matches('/');
            let volatility = if looks_like_folder(source, facts::name(path)) { folder_volatility(inside) } else { file_volatility(inside) };
            (built.is_of_sources(path) || built.is_told(path)) && !is_of_packages(path) && volatility >= Volatility::Often
        };
        copy.sources.iter().any(|it| changes(&facts::join("/", &it.text), &it.text))
    }

    /// What the stage that a copy takes from does with the sources; `None` if it takes from no stage.
    fn built(&self, copy: &Copy) -> Option<Built<'_>> {
        let stage = copy.from.as_deref().and_then(|it| self.dockerfile.stage(it))?;
        let mut folder = String::from("/");
        let mut res = Built::default();
        let mut text_left = MAX_SEARCHED;
        for (_, instruction) in self.dockerfile.chain(stage.index) {
            match &instruction.kind {
                Kind::Workdir(to) => folder = facts::join(&folder, to.trim_matches(['"', '\''])),
                Kind::Copy(brought) if copy_volatility(&self.context, brought) >= Volatility::Often => {
                    res.projects.push(facts::join(&folder, &brought.destination.text));
                }
                Kind::Run(run) if !res.projects.is_empty() && run.reading.obstacle.is_some() && run.command.text.len() <= text_left => {
                    text_left -= run.command.text.len();
                    res.commands.push(run);
                }
                _ => {}
            }
        }
        Some(res)
    }

    /// How often what stands above each step gives it a new key: copies and mounts. Variables are
    /// left out, since rules ask for each of them.
    pub fn volatilities_above(&self) -> Vec<Volatility> {
        let mut above = Volatility::default();
        let mut res = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            res.push(above);
            above = above.max(self.own_volatility(step));
        }
        res
    }

    /// The commands of the stage, in order, that cost something and run again on every change of the
    /// sources: those below a copy or a mount of them, or below an argument that names the commit.
    pub fn rerun_by_source_changes(&self) -> Vec<usize> {
        let mut volatile = false;
        let mut res = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            volatile |= self.own_volatility(step) >= Volatility::Often || self.declares_commit(step);
            if volatile && step.stage == self.stage && matches!(step.instruction.kind, Kind::Run(_)) && step.cost >= Cost::Download {
                res.push(index);
            }
        }
        res
    }

    fn declares_commit(&self, step: &Step<'_>) -> bool {
        let Kind::Arg(variables) = &step.instruction.kind else { return false };
        let is_volatile = |it: &super::Variable| argument_volatility(&self.context, &it.name, self.dockerfile.default_of(it).as_deref());
        variables.iter().any(|it| !matches!(is_volatile(it), ArgumentVolatility::Quiet))
    }

    /// The stage's image, at the start of the chain.
    pub fn image(&self) -> Option<&super::Image> {
        let mut stage = &self.dockerfile.stages[self.stage];
        while let Base::Stage(base) = stage.base {
            stage = &self.dockerfile.stages[base];
        }
        match &stage.base {
            Base::Image(image) => Some(image),
            Base::Scratch | Base::Stage(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_commits_runs_and_moments_are_volatile() {
        for name in [
            "GIT_SHA",
            "VCS_REF",
            "COMMIT",
            "COMMIT_SHA",
            "git_commit",
            "REVISION",
            "BUILD_DATE",
            "BUILDTIME",
            "BUILD_NUMBER",
            "BUILD_TIMESTAMP",
            "BUILD_DATETIME",
            "BUILDDATETIME",
            "CI_COMMIT_SHORT_SHA",
            "GITHUB_SHA",
            "GITHUB_RUN_ID",
            "SOURCE_COMMIT",
            "GIT_REV",
            "VITE_GIT_HASH",
            "NEXT_PUBLIC_COMMIT_SHA",
        ] {
            assert!(is_volatile_name(name), "{name}");
        }
    }

    #[test]
    fn names_of_versions_ids_and_cache_busters_are_not() {
        for name in [
            "NODE_VERSION",
            "VERSION",
            "UID",
            "USER_ID",
            "BUILD_UID",
            "CACHEBUST",
            "CACHE_DATE",
            "TARGETARCH",
            "BUILDPLATFORM",
            "GIT_VERSION",
            "SHARED",
            "PASSWORD_HASHER",
            "BUILD_TYPE",
            "RUST_VERSION",
            "TIMEZONE",
            "RUNTIME",
            "SHASUM",
            "LLVM_COMMIT",
            "PANGOLIN_COMMIT_HASH",
            "APP_ID",
            "PROJECT_ID",
            "BUILD_ENV",
            "GIT_REF",
            "DATE_FORMAT",
            "RELEASE",
            "GIT_BRANCH",
        ] {
            assert!(!is_volatile_name(name), "{name}");
        }
    }

    #[test]
    fn a_star_of_the_configuration_stands_for_any_text() {
        let cases = [("*", "", true), ("*_SHA", "GIT_SHA", true), ("a*b*c", "AxBxBC", true), ("A*B", "ABx", false), ("", "x", false), ("APP", "app", true)];
        for (pattern, text, fits) in cases {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn sources_change_more_often_than_manifests() {
        let context = Context::default();
        for source in [
            ".",
            "./",
            "src",
            "src/",
            "app",
            "*.py",
            "main.go",
            "./packages",
            "*",
            "docker/app/src",
            "docker/api/",
            "target/*.jar",
            "api/build/libs/api-1.0.jar",
            "dist/*.whl",
        ] {
            assert_eq!(source_volatility(&context, source), Volatility::Often, "{source}");
        }
        for source in [
            "package.json",
            "go.mod",
            "requirements.txt",
            "docker-entrypoint.sh",
            "Gemfile",
            "patches",
            "nginx.conf",
            "vite.config.ts",
            "package*.json",
            "prisma/",
            ".npmrc",
            "docker/startup/",
            "docker/services/logrotate",
            ".yarn/releases",
            ".yarn/plugins/",
            "gradle/wrapper",
            "gradle/wrapper/gradle-wrapper.jar",
            "docker/agent.jar",
            "libs/ojdbc.jar",
            "app.jar",
            "target/application.yml",
            "api/.mvn/wrapper/",
        ] {
            assert_eq!(source_volatility(&context, source), Volatility::Sometimes, "{source}");
        }
    }

    /// The keywords of the steps that run again if the line `changed` of the text does; lines count
    /// from 0.
    fn run_again(text: &str, changed: usize, keys: Keys) -> Vec<String> {
        let document = crate::text::Document::new(crate::text::Language::Dockerfile, text);
        let source = crate::syntax::dockerfile::read(text, document.tree().unwrap());
        let dockerfile = crate::dockerfile::lower(text, &source);
        let stage = dockerfile.stages.len() - 1;
        let plan = Plan::new(&dockerfile, Default::default(), stage);
        let line = |it: &Step<'_>| text[..it.instruction.span.start].matches('\n').count();
        let Some(index) = plan.steps.iter().position(|it| line(it) == changed) else { return Vec::new() };
        plan.invalidated(Change::Step(index), keys).into_iter().map(|it| plan.steps[it].instruction.span.of(text).to_owned()).collect()
    }

    /// Each row of the table in docs/facts.md A.2: a changed instruction, then RUN and COPY directly
    /// below it, and a COPY alone. `(instruction, does RUN run again, does a COPY below run again)`.
    const ROWS: &[(&str, bool, bool)] = &[
        ("RUN make", true, true),
        ("COPY a /a", true, true),
        ("ADD a /a", true, true),
        ("COPY --link a /a", true, true),
        ("ADD --link a /a", true, true),
        ("WORKDIR /x", true, true),
        ("ENV A=1", true, false),
        ("ARG A=1", true, false),
        ("ARG A", false, false),
        ("ARG HTTP_PROXY=1", true, false),
        ("USER app", true, false),
        ("SHELL [\"/bin/bash\", \"-c\"]", true, false),
        ("SHELL [\"/bin/sh\", \"-c\"]", false, false),
        ("LABEL a=1", false, false),
        ("EXPOSE 80", false, false),
        ("CMD [\"a\"]", false, false),
        ("ENTRYPOINT [\"a\"]", false, false),
        ("HEALTHCHECK CMD a", false, false),
        ("STOPSIGNAL TERM", false, false),
        ("VOLUME /v", false, false),
        ("MAINTAINER me", false, false),
        ("ONBUILD RUN a", false, false),
    ];

    #[test]
    fn a_changed_instruction_makes_later_commands_run_again_as_the_table_says() {
        for (instruction, run, copy) in ROWS {
            let again = run_again(&format!("FROM a\n{instruction}\nRUN late\n"), 1, Keys::Graph);
            assert_eq!(again.contains(&"RUN late".to_owned()), *run, "RUN below {instruction}");
            let again = run_again(&format!("FROM a\n{instruction}\nCOPY late /late\n"), 1, Keys::Graph);
            assert_eq!(again.contains(&"COPY late /late".to_owned()), *copy, "COPY below {instruction}");
        }
    }

    #[test]
    fn other_builders_run_everything_below_again() {
        for (instruction, ..) in ROWS {
            let again = run_again(&format!("FROM a\n{instruction}\nRUN late\n"), 1, Keys::Chain);
            assert!(again.contains(&"RUN late".to_owned()), "RUN below {instruction}");
        }
    }

    #[test]
    fn the_root_as_working_directory_makes_no_layer_but_is_where_commands_run() {
        assert_eq!(run_again("FROM a\nWORKDIR /\nCOPY late /late\n", 1, Keys::Graph), Vec::<String>::new());
        assert_eq!(run_again("FROM a\nWORKDIR /\nCOPY late late\n", 1, Keys::Graph), ["COPY late late"]);
        assert_eq!(run_again("FROM a\nWORKDIR /\nRUN late\n", 1, Keys::Graph), ["RUN late"]);
    }

    #[test]
    fn a_variable_reaches_a_copy_that_expands_it() {
        assert_eq!(run_again("FROM a\nENV A=1\nCOPY late /$A\n", 1, Keys::Graph), ["COPY late /$A"]);
        assert_eq!(run_again("FROM a\nARG A=1\nENV B=$A\nWORKDIR /$B\n", 1, Keys::Graph), ["WORKDIR /$B"]);
        assert_eq!(run_again("FROM a\nENV A=1\nWORKDIR /w\nCOPY late /late\n", 1, Keys::Graph), Vec::<String>::new());
    }

    #[test]
    fn a_linked_copy_stands_alone_but_what_follows_it_does_not() {
        assert_eq!(run_again("FROM a\nRUN x\nCOPY --link b /b\nCOPY c /c\n", 1, Keys::Graph), ["RUN x", "COPY c /c"]);
        assert_eq!(run_again("FROM a\nRUN x\nCOPY --link --chmod=644 b /b\n", 1, Keys::Graph), ["RUN x", "COPY --link --chmod=644 b /b"]);
    }

    #[test]
    fn a_user_owns_the_working_directory() {
        assert_eq!(run_again("FROM a\nUSER app\nWORKDIR /w\n", 1, Keys::Graph), ["WORKDIR /w"]);
    }

    #[test]
    fn the_exec_form_does_not_know_the_shell() {
        assert_eq!(run_again("FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nRUN [\"x\"]\n", 1, Keys::Graph), Vec::<String>::new());
    }

    #[test]
    fn a_stage_goes_on_where_the_stage_it_starts_from_ends() {
        assert_eq!(run_again("FROM a AS b\nARG A=1\nFROM b\nRUN late\n", 1, Keys::Graph), ["RUN late"]);
    }

    #[test]
    fn sources_run_all_costly_commands_below_them_again() {
        let cases = [
            ("COPY . .\nRUN make\n", 1),
            ("RUN make\nCOPY . .\n", 0),
            ("COPY . .\nRUN mkdir /a\n", 0),
            ("COPY package.json .\nRUN npm ci\n", 0),
            ("RUN --mount=type=bind,target=/src make\nRUN make\n", 2),
            ("ARG GIT_SHA\nRUN make\n", 1),
            ("ARG VERSION=1\nRUN make\n", 0),
        ];
        for (text, expected) in cases {
            let text = format!("FROM a\n{text}");
            let document = crate::text::Document::new(crate::text::Language::Dockerfile, &text);
            let source = crate::syntax::dockerfile::read(&text, document.tree().unwrap());
            let dockerfile = crate::dockerfile::lower(&text, &source);
            let plan = Plan::new(&dockerfile, Default::default(), 0);
            assert_eq!(plan.rerun_by_source_changes().len(), expected, "{text}");
        }
    }

    #[test]
    fn an_argument_that_no_instruction_declares_reaches_nothing() {
        for (text, expected) in
            [("ARG A=1\nFROM a\nRUN late\n", 0), ("FROM a\nRUN late\n", 0), ("ARG A=1\nFROM a\nARG A\nRUN late\n", 1), ("FROM a\nARG A\nRUN late\n", 1)]
        {
            let document = crate::text::Document::new(crate::text::Language::Dockerfile, text);
            let source = crate::syntax::dockerfile::read(text, document.tree().unwrap());
            let dockerfile = crate::dockerfile::lower(text, &source);
            let plan = Plan::new(&dockerfile, Default::default(), 0);
            assert_eq!(plan.invalidated(Change::Argument("A"), Keys::Graph).len(), expected, "{text}");
            assert_eq!(plan.invalidated(Change::Argument("A"), Keys::Whole).len(), plan.steps.len(), "{text}");
        }
    }
}
