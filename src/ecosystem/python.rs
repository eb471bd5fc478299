//! Package managers of Python: pip, uv, poetry, pipenv.
//!
//! Facts: docs/facts.md B.8; <https://pip.pypa.io/en/stable/reference/requirements-file-format/>,
//! <https://docs.astral.sh/uv/concepts/projects/>, <https://python-poetry.org/docs/cli/#install>.

use super::arguments::{Flags, Means, Tool, Verb, frozen, switch, valued, verb};
use super::manifest::{Collector, locate_text, toml, variables_in};
use super::{Action, Child, FileState, Listing, Manager, NamedPath, Obstacle, Role, application_root, folders, up_to_root};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{is_below, join, parent};
use std::collections::BTreeSet;
use toml::Value;

const NONE: &[Flags] = &[];

const PIP: &[Flags] = &[
    switch("--no-cache-dir --no-cache", Means::NoCache),
    switch("-q --quiet -qq -qqq -v --verbose -U --upgrade --no-deps --pre --user --no-index --require-hashes --no-input --isolated --debug", Means::Nothing),
    switch("--disable-pip-version-check --no-warn-script-location --break-system-packages --prefer-binary --no-compile --compile", Means::Nothing),
    switch("--no-build-isolation --ignore-installed -I --force-reinstall --no-python-version-warning --no-warn-conflicts --no-color -y --yes", Means::Nothing),
    switch("--use-pep517 --no-use-pep517 --root-user-action=ignore --progress-bar=off --system --strict --exact --no-sources", Means::Nothing),
    switch("--compile-bytecode --no-progress --offline --native-tls --verify-hashes --no-verify-hashes --reinstall --refresh --no-build", Means::Nothing),
    valued("-i --index-url --extra-index-url --default-index --index --trusted-host --timeout --default-timeout --retries --proxy --log", Means::Nothing),
    valued("--no-binary --only-binary --upgrade-strategy --progress-bar --root-user-action --platform --python-version --implementation", Means::Nothing),
    valued("--abi --use-feature --use-deprecated --exists-action --resolution --prerelease --index-strategy --keyring-provider", Means::Nothing),
    valued("--link-mode --color --allow-insecure-host --config-settings -C --global-option --only-group --group --extra", Means::Nothing),
    valued("-r --requirement --requirements", Means::Path(Role::Requirements)),
    valued("-c --constraint --constraints --build-constraint -b --override", Means::Path(Role::Constraints)),
    valued("-e --editable -f --find-links", Means::Source),
    valued("-t --target --prefix --root --cache-dir --src", Means::Path(Role::Output)),
];

const PIP_VERBS: &[Verb] = &[
    frozen("install", Action::InstallDependencies, NONE),
    frozen("download|wheel", Action::InstallDependencies, &[valued("-d --dest -w --wheel-dir", Means::Path(Role::Output))]),
    frozen("uninstall", Action::InstallNamed, NONE),
    frozen("cache purge|cache remove", Action::Clean, NONE),
    frozen("config set|config list|check|list|freeze|show|debug", Action::Other, NONE),
];

const UV: &[Flags] = &[
    switch("--locked --check", Means::Frozen),
    switch("--frozen", Means::FrozenUnchecked),
    switch("--no-cache -n --no-cache-dir", Means::NoCache),
    switch("--no-install-project", Means::NoProject),
    switch("--no-install-workspace", Means::NoWorkspace),
    switch("--no-dev --dev --only-dev --all-extras --no-default-groups --all-groups --all-packages --no-editable --inexact --exact", Means::Nothing),
    switch("--compile-bytecode --no-progress --offline --native-tls --no-python-downloads --managed-python --no-managed-python", Means::Nothing),
    switch("-q --quiet -v --verbose --no-build --no-binary --no-build-isolation --no-index --reinstall --refresh --active --no-sources", Means::Nothing),
    valued("--extra --no-extra --group --no-group --only-group --package --no-install-package --python -p --index-url --extra-index-url", Means::Nothing),
    valued("--default-index --index --link-mode --python-preference --color --resolution --prerelease --index-strategy", Means::Nothing),
    valued("--keyring-provider --allow-insecure-host --no-build-package --no-binary-package --config-setting -C", Means::Nothing),
    valued("--cache-dir", Means::Path(Role::Output)),
    valued("--directory --project", Means::Path(Role::Folder)),
];

const UV_VERBS: &[Verb] = &[
    verb("sync", Action::InstallDependencies, NONE),
    frozen("pip install", Action::InstallDependencies, PIP),
    frozen("pip sync", Action::InstallDependencies, PIP),
    frozen("pip uninstall", Action::InstallNamed, PIP),
    frozen("tool install|tool upgrade", Action::InstallNamed, &[switch("--force -U --upgrade", Means::Nothing), valued("--with --from", Means::Nothing)]),
    frozen("python install", Action::InstallNamed, &[switch("--default --preview", Means::Nothing)]),
    verb("add|remove|lock", Action::InstallNamed, NONE),
    frozen("cache clean|cache prune", Action::Clean, &[switch("--ci --force", Means::Nothing)]),
    frozen("self version|python list|python find", Action::Other, NONE),
    frozen("venv", Action::Other, &[switch("--seed --allow-existing --clear --relocatable", Means::Nothing)]),
];

const POETRY: &[Flags] = &[
    switch("--no-root", Means::NoProject),
    switch("--no-cache", Means::NoCache),
    switch("-n --no-interaction --no-ansi --ansi -q --quiet -v -vv -vvv --verbose --no-plugins", Means::Nothing),
    switch("--no-dev --sync --all-extras -E --remove-untracked --compile --no-directory --all-groups", Means::Nothing),
    valued("--only --with --without --extras -E", Means::Nothing),
    valued("-C --directory -P --project", Means::Path(Role::Folder)),
];

const POETRY_VERBS: &[Verb] = &[
    frozen("install|sync", Action::InstallDependencies, NONE),
    verb("add|remove|update|lock", Action::InstallNamed, NONE),
    frozen("self add|self update", Action::InstallNamed, NONE),
    frozen("cache clear", Action::Clean, &[switch("--all", Means::Nothing)]),
    frozen("config", Action::Other, &[switch("--local", Means::Source)]),
];

const PIPENV: &[Flags] = &[
    switch("--deploy --ignore-pipfile", Means::Frozen),
    switch("--system --dev -d --verbose -v --quiet -q --clear --pre --skip-lock --site-packages --keep-outdated", Means::Nothing),
    valued("--categories --python --pypi-mirror --extra-pip-args -i --index", Means::Nothing),
];

const PIPENV_VERBS: &[Verb] = &[
    verb("install", Action::InstallDependencies, NONE),
    frozen("sync", Action::InstallDependencies, NONE),
    verb("lock|update|uninstall", Action::InstallNamed, NONE),
];

/// Commands of the package managers of Python.
pub(super) const TOOLS: &[Tool] = &[
    Tool { manager: Manager::Pip, programs: "pip", verbs: PIP_VERBS, flags: PIP, default: None, otherwise: Action::Other },
    Tool { manager: Manager::Uv, programs: "uv", verbs: UV_VERBS, flags: UV, default: None, otherwise: Action::Build },
    Tool { manager: Manager::Poetry, programs: "poetry", verbs: POETRY_VERBS, flags: POETRY, default: None, otherwise: Action::Build },
    Tool { manager: Manager::Pipenv, programs: "pipenv", verbs: PIPENV_VERBS, flags: PIPENV, default: None, otherwise: Action::Build },
];

/// Variables of the managers that name no file that is read.
const KNOWN_VARIABLES: &[&str] = &[
    "PIP_NO_CACHE_DIR",
    "PIP_DISABLE_PIP_VERSION_CHECK",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_ROOT_USER_ACTION",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_CACHE_DIR",
    "PIP_NO_INPUT",
    "PIP_BREAK_SYSTEM_PACKAGES",
    "PIP_PREFER_BINARY",
    "PIP_NO_COMPILE",
    "PIP_PROGRESS_BAR",
    "PIP_USER",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_NO_BINARY",
    "PIP_ONLY_BINARY",
    "PIP_NO_WARN_SCRIPT_LOCATION",
    "PIP_VERSION",
    "PIPENV_VENV_IN_PROJECT",
    "PIPENV_NOSPIN",
    "PIPENV_HIDE_EMOJIS",
    "PIPENV_VERSION",
    "PIPENV_IGNORE_VIRTUALENVS",
    "UV_COMPILE_BYTECODE",
    "UV_LINK_MODE",
    "UV_CACHE_DIR",
    "UV_NO_CACHE",
    "UV_SYSTEM_PYTHON",
    "UV_PYTHON_DOWNLOADS",
    "UV_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
    "UV_FROZEN",
    "UV_LOCKED",
    "UV_HTTP_TIMEOUT",
    "UV_NO_PROGRESS",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_PYTHON_INSTALL_DIR",
    "UV_PYTHON_PREFERENCE",
    "UV_TOOL_BIN_DIR",
    "UV_TOOL_DIR",
    "UV_NO_DEV",
    "UV_VERSION",
    "UV_NATIVE_TLS",
    "UV_BREAK_SYSTEM_PACKAGES",
    "UV_CONCURRENT_DOWNLOADS",
    "UV_LIBC",
    "UV_INSTALL_DIR",
    "UV_UNMANAGED_INSTALL",
    "POETRY_VERSION",
    "POETRY_HOME",
    "POETRY_NO_INTERACTION",
    "POETRY_CACHE_DIR",
    "POETRY_VIRTUALENVS_CREATE",
    "POETRY_VIRTUALENVS_IN_PROJECT",
    "POETRY_VIRTUALENVS_PATH",
    "POETRY_INSTALLER_MAX_WORKERS",
    "POETRY_INSTALLER_PARALLEL",
    "POETRY_VENV",
    "POETRY_VIRTUALENVS_OPTIONS_NO_PIP",
    "POETRY_VIRTUALENVS_OPTIONS_NO_SETUPTOOLS",
];

/// How many requirement files may include one another.
const MAX_REQUIREMENTS: usize = 200;

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    collector.check_variables(&["PIP_", "UV_", "POETRY_", "PIPENV_"], KNOWN_VARIABLES)?;
    collector.touches_outside();
    environments(collector)?;
    module_folders(collector)?;
    for path in collector.step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(collector.folder, &path.path)));
    }
    let step = collector.step;
    let display = step.display.as_str();
    match (step.manager, step.action) {
        (_, Action::Clean) => Ok(()),
        (Manager::Poetry, Action::Other) if step.has(Means::Source) => Err(collector.obstacle("`poetry config --local` writes `poetry.toml`")),
        (Manager::Uv, Action::Other) if display.ends_with(" venv") => environment(collector),
        (_, Action::Other) => Ok(()),
        (Manager::Uv, Action::InstallNamed) if display.contains(" tool ") => named(collector, &step.operands),
        (Manager::Uv, Action::InstallNamed | Action::InstallDependencies) if display.contains(" pip ") => {
            uv_settings(collector)?;
            pip(collector)
        }
        (Manager::Uv, Action::InstallNamed) if display.contains(" python ") => python_versions(collector),
        (Manager::Uv, Action::InstallDependencies) if display.contains(" sync") && !display.contains(" pip ") => uv_sync(collector),
        (Manager::Pip | Manager::Uv, Action::InstallDependencies) => pip(collector),
        (Manager::Pip, Action::InstallNamed) => pip(collector),
        (Manager::Poetry, Action::InstallNamed) if display.contains(" self ") => named(collector, &step.operands),
        (Manager::Poetry, Action::InstallDependencies) => poetry(collector),
        (Manager::Pipenv, Action::InstallDependencies) => pipenv(collector),
        _ => Err(collector.obstacle(format!("`{display}` rewrites the manifest or the lockfile"))),
    }
}

/// Virtual environments inside the project that the command may install into: the one it is run
/// from, and those that the environment names.
fn environments(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let Some(root) = application_root(collector.folder) else { return Ok(()) };
    let mut found = folders_of_path(collector)?;
    for name in ["VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"] {
        match collector.variable(name) {
            Some(None) => return Err(collector.obstacle(format!("the value of `{name}` is not known"))),
            Some(Some(value)) => found.push(join(collector.folder, value)),
            None => {}
        }
    }
    if let Some(program) = &collector.step.program_path {
        found.push(parent(parent(&join(collector.folder, program))).to_owned());
    }
    for folder in found.into_iter().filter(|it| is_below(it, root)) {
        collector.reads(Place::tree(folder.as_str()));
        collector.writes(Place::tree(folder));
    }
    Ok(())
}

/// Folders whose `bin` is in `PATH`. The `PATH` of the base image, and what lies below a home or the
/// virtual environment that is looked at anyway, stays as it is written.
fn folders_of_path(collector: &Collector<'_>) -> Result<Vec<String>, Obstacle> {
    let unknown = || collector.obstacle("what is in `PATH` is not known");
    let Some(path) = collector.written_variable("PATH") else { return Ok(Vec::new()) };
    let mut res = Vec::new();
    for folder in path.ok_or_else(unknown)?.split(':') {
        let name = folder.trim_start_matches(['$', '{']);
        if !folder.contains('$') {
            res.extend(folder.strip_suffix("/bin").map(str::to_owned));
        } else if !["PATH", "HOME", "VIRTUAL_ENV"].iter().any(|it| name.starts_with(it)) {
            return Err(unknown());
        }
    }
    Ok(res)
}

/// Folders beside the installed packages that Python takes modules from: those of `PYTHONPATH`, and
/// the working directory with `-m`. What a copy brings there may run in the place of a module of
/// Python, and metadata there counts as an installed package
/// (<https://docs.python.org/3/library/sys_path_init.html>).
fn module_folders(collector: &Collector<'_>) -> Result<(), Obstacle> {
    let mut folders = Vec::new();
    if collector.step.display.starts_with("python") {
        folders.push(join(&collector.setting.directory, &collector.step.directory));
    }
    if let Some(path) = collector.written_variable("PYTHONPATH") {
        let unknown = || collector.obstacle("what is in `PYTHONPATH` is not known");
        for folder in path.ok_or_else(unknown)?.split(':').filter(|it| !matches!(*it, "$PYTHONPATH" | "${PYTHONPATH}")) {
            if folder.contains('$') {
                return Err(unknown());
            }
            folders.push(join(&collector.setting.directory, folder));
        }
    }
    folders.iter().try_for_each(|it| check_modules(collector, it))
}

fn check_modules(collector: &Collector<'_>, folder: &str) -> Result<(), Obstacle> {
    let children = match collector.files.list(folder) {
        Listing::Known(children) => children,
        Listing::Absent => return Ok(()),
        Listing::Unknown => return Err(collector.obstacle(format!("what is in `{}` is not known, where Python looks for modules", collector.shown(folder)))),
    };
    let stands_for_module = |it: &Child| {
        let module = it.name.strip_suffix(".py").unwrap_or(&it.name);
        // A folder without `__init__.py` gives way to a module further down the path.
        let is_module =
            if it.is_folder { collector.files.text(&join(folder, &format!("{}/__init__.py", it.name))) != FileState::Absent } else { module != it.name };
        let is_metadata = [".egg-info", ".dist-info", ".egg-link", ".egg"].iter().any(|end| it.name.ends_with(end));
        is_metadata || is_module && STANDARD_MODULES.split_ascii_whitespace().any(|it| it == module)
    };
    match children.iter().find(|it| stands_for_module(it)) {
        Some(it) => Err(collector.obstacle(format!("Python itself reads `{}`", collector.shown(&join(folder, &it.name))))),
        None => Ok(()),
    }
}

/// Modules that an installer may import: those of the standard library, what Python runs at its
/// start, and what installers are made of (<https://docs.python.org/3/py-modindex.html>).
const STANDARD_MODULES: &str = "abc argparse array ast asyncio atexit base64 binascii bisect builtins bz2 calendar cgi cmd code codecs \
    codeop collections colorsys compileall concurrent configparser contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime \
    dbm decimal difflib dis distutils doctest email encodings ensurepip enum errno fcntl filecmp fileinput fnmatch fractions ftplib functools \
    gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib imp importlib inspect io ipaddress itertools \
    json keyword lib2to3 linecache locale logging lzma mailbox marshal math mimetypes mmap modulefinder multiprocessing netrc ntpath numbers \
    opcode operator optparse os pathlib pdb pickle pickletools pip pipenv pkg_resources pkgutil platform plistlib poetry poplib posixpath pprint \
    profile pstats pty pwd py_compile pyclbr pydoc queue quopri random re readline reprlib resource runpy sched secrets select selectors setuptools \
    shelve shlex shutil signal site sitecustomize smtplib socket socketserver sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string \
    stringprep struct subprocess symtable sys sysconfig syslog tarfile tempfile termios textwrap threading time timeit token tokenize tomllib trace \
    traceback tracemalloc tty types typing unicodedata unittest urllib usercustomize uuid venv virtualenv warnings wave weakref webbrowser wheel \
    wsgiref xml xmlrpc zipapp zipfile zipimport zlib zoneinfo";

/// `uv venv` makes an environment and installs nothing into it.
fn environment(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    python_versions(collector)?;
    let target = match collector.step.operands.as_slice() {
        [] => ".venv",
        [word] => word.literal().ok_or_else(|| Obstacle::in_script(word.span, format!("which folder `{}` is, is not known", word.text)))?,
        [_, word, ..] => return Err(Obstacle::in_script(word.span, format!("`{}` is not followed", word.text))),
    };
    collector.writes(Place::tree(join(collector.folder, target)));
    Ok(())
}

/// Packages by name only.
fn named(collector: &Collector<'_>, words: &[crate::shell::Word]) -> Result<(), Obstacle> {
    match words.iter().find(|it| it.computed || it.glob && it.text.contains('/') || it.text.starts_with('$') || is_local(&it.text)) {
        Some(word) => Err(Obstacle::in_script(word.span, format!("`{}` of `{}` may name a folder", word.text, collector.step.display)).for_sources()),
        None => Ok(()),
    }
}

/// `uv python install` looks for the version to install.
fn python_versions(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    for name in [".python-version", ".python-versions", "pyproject.toml"] {
        collector.exists(&join(collector.folder, name))?;
    }
    Ok(())
}

/// Settings that `uv pip` looks for here and above: `uv.toml`, and a `pyproject.toml` with a table for uv
/// (<https://docs.astral.sh/uv/concepts/configuration-files/>).
fn uv_settings(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    for folder in up_to_root(collector.folder) {
        for (name, table) in [("uv.toml", ""), ("pyproject.toml", "tool.uv")] {
            let path = join(&folder, name);
            let is_needless = |text: &str| !text.contains(table);
            if matches!(collector.files.text(&path), FileState::Known(text) if is_needless(&text)) {
                continue;
            }
            if let Some(text) = collector.optional(&path)?
                && ["find-links", "file:", "./"].iter().any(|it| text.contains(it))
            {
                return Err(Obstacle::in_file(&path, None, format!("`{}` may name a folder of packages", collector.shown(&path))));
            }
        }
    }
    Ok(())
}

fn pip(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let mut pending: Vec<String> = Vec::new();
    if let Some(word) = step.values(Means::Source).find(|it| it.computed || !it.variables.is_empty() || is_local_source(&it.text)) {
        return Err(Obstacle::in_script(word.span, format!("`{}` installs `{}`, which takes sources", step.display, word.text)).for_sources());
    }
    if step.display.ends_with("sync") || step.display.contains("pip sync") {
        pending.extend(step.operands.iter().map(|it| it.text.to_string()));
    } else {
        named(collector, &step.operands)?;
    }
    let listed = step.paths.iter().filter(|it| matches!(it.role, Role::Requirements | Role::Constraints));
    pending.extend(listed.map(|it: &NamedPath| it.path.clone()));
    let mut pending: Vec<String> = pending.into_iter().filter(|it| !it.contains("://")).map(|it| join(collector.folder, &it)).collect();
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        if seen.len() > MAX_REQUIREMENTS {
            return Err(collector.obstacle("too many requirement files to follow"));
        }
        let text = collector.require(&path)?;
        variables_in(&text).into_iter().for_each(|it| collector.reads_variable(it));
        match path.rsplit('/').next() {
            Some("pyproject.toml") => pyproject_as_requirements(collector, &path, &text)?,
            Some("setup.py" | "setup.cfg") => return Err(Obstacle::in_file(&path, None, format!("`{}` is a program", collector.shown(&path)))),
            _ => pending.extend(requirements(collector, &path, &text)?),
        }
    }
    Ok(())
}

fn is_local_source(text: &str) -> bool {
    is_local(text) || !text.contains("://")
}

/// Whether a requirement names a file or folder. Behind `name @` is an address, which may be one.
pub(super) fn is_local(requirement: &str) -> bool {
    let target = requirement.split_once('@').map_or(requirement, |(_, it)| it.trim());
    let bare = requirement.split([';', '[']).next().unwrap_or_default().trim();
    requirement.starts_with(['.', '/', '~', '\\'])
        || target.starts_with("file:")
        || !requirement.contains("://") && (bare.contains('/') || [".whl", ".tar.gz", ".zip", ".tar.bz2"].iter().any(|it| bare.ends_with(it)))
}

/// Reads a file of requirements; gives the files that it includes.
fn requirements(collector: &Collector<'_>, path: &str, text: &str) -> Result<Vec<String>, Obstacle> {
    let mut included = Vec::new();
    for (span, line) in logical_lines(text) {
        let local =
            |what: &str| Err(Obstacle::in_file(path, Some(span), format!("`{}` installs `{what}`, which takes sources", collector.shown(path))).for_sources());
        match option(&line) {
            Some(("-r" | "--requirement" | "-c" | "--constraint", value)) => {
                if value.contains('$') {
                    return Err(Obstacle::in_file(path, Some(span), format!("which file `{value}` is, is not known")));
                }
                if !value.contains("://") {
                    included.push(join(parent(path), value));
                }
            }
            Some(("-e" | "--editable" | "-f" | "--find-links", value)) if is_local_source(value) => return local(value),
            Some(("-e" | "--editable" | "-f" | "--find-links", _)) => {}
            Some((name, _)) if KNOWN_OPTIONS.contains(&name) => {}
            Some((name, _)) => return Err(Obstacle::in_file(path, Some(span), format!("`{name}` in `{}` is not known", collector.shown(path)))),
            None if is_local(&line) || line.starts_with('$') => return local(&line),
            None => {}
        }
    }
    Ok(included)
}

/// Options of requirement files that name no local file.
const KNOWN_OPTIONS: &[&str] = &[
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
    "--pre",
    "--trusted-host",
    "--use-feature",
];

/// An option and its value, in all the ways it may be written.
fn option(line: &str) -> Option<(&str, &str)> {
    if !line.starts_with('-') {
        return None;
    }
    let end = line.find([' ', '=', '\t']).unwrap_or(line.len());
    let (name, value) = line.split_at(end);
    let value = value.trim_start_matches([' ', '=', '\t']).trim();
    // `-rfile`
    if !name.starts_with("--") && name.len() > 2 {
        return Some((name.get(..2)?, line.get(2..)?.trim()));
    }
    Some((name, value))
}

/// Lines with continuations joined and comments taken off.
fn logical_lines(text: &str) -> Vec<(Span, String)> {
    let mut res: Vec<(Span, String)> = Vec::new();
    let mut open: Option<(Span, String)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let span = Span::new(at, at + line.trim_end().len());
        at += line.len();
        let content = line.trim_end();
        let (content, continues) = match content.strip_suffix('\\') {
            Some(it) => (it, true),
            None => (content, false),
        };
        let (whole_span, mut whole) = open.take().unwrap_or((span, String::new()));
        whole.push_str(content);
        let whole_span = whole_span.join(span);
        if continues {
            open = Some((whole_span, whole));
        } else {
            push_line(whole_span, &whole, &mut res);
        }
    }
    if let Some((span, whole)) = open {
        push_line(span, &whole, &mut res);
    }
    res
}

fn push_line(span: Span, line: &str, res: &mut Vec<(Span, String)>) {
    let line = if line.trim_start().starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default() };
    if !line.trim().is_empty() {
        res.push((span, line.trim().to_owned()));
    }
}

/// `uv pip install -r pyproject.toml` reads the dependencies and no sources.
fn pyproject_as_requirements(collector: &Collector<'_>, path: &str, text: &str) -> Result<(), Obstacle> {
    let project = Project::read(collector, path, text)?;
    project.check_sources(collector)?;
    project.check_dynamic(collector)
}

/// A `pyproject.toml`.
struct Project {
    path: String,
    text: String,
    value: Value,
}

impl Project {
    fn read(collector: &Collector<'_>, path: &str, text: &str) -> Result<Project, Obstacle> {
        let value = toml(path, &collector.shown(path), text)?;
        Ok(Project { path: path.to_owned(), text: text.to_owned(), value })
    }

    fn field(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    fn obstacle(&self, at: &str, reason: String) -> Obstacle {
        Obstacle::in_file(&self.path, locate_text(&self.text, at), reason)
    }

    /// Metadata that only the sources can tell.
    fn check_dynamic(&self, collector: &Collector<'_>) -> Result<(), Obstacle> {
        let dynamic = self.field(&["project", "dynamic"]).and_then(Value::as_array).is_some_and(|it| !it.is_empty());
        if dynamic {
            let reason = format!("`{}` has `dynamic` metadata, which the sources tell", collector.shown(&self.path));
            return Err(self.obstacle("dynamic", reason));
        }
        Ok(())
    }

    /// Dependencies on disk.
    fn check_sources(&self, collector: &Collector<'_>) -> Result<(), Obstacle> {
        let sources = self.field(&["tool", "uv", "sources"]).and_then(Value::as_table);
        for (name, source) in sources.into_iter().flatten() {
            let is_path = |it: &Value| it.get("path").is_some();
            if is_path(source) || source.as_array().is_some_and(|it| it.iter().any(is_path)) {
                return Err(self.obstacle(name, format!("`{}` takes `{name}` from a folder", collector.shown(&self.path))).for_sources());
            }
        }
        self.check_indexes(collector, &["tool", "uv"])?;
        let lists = [&["project", "dependencies"][..], &["build-system", "requires"], &["tool", "uv", "dev-dependencies"]];
        let plain = lists.iter().filter_map(|it| self.field(it)).filter_map(Value::as_array).flatten();
        let tables = [&["project", "optional-dependencies"][..], &["dependency-groups"]];
        let grouped =
            tables.iter().filter_map(|it| self.field(it)).filter_map(Value::as_table).flat_map(|it| it.values()).filter_map(Value::as_array).flatten();
        match plain.chain(grouped).filter_map(Value::as_str).find(|it| is_local(it)) {
            Some(it) => Err(self.obstacle(it, format!("`{}` takes `{it}`", collector.shown(&self.path)))),
            None => Ok(()),
        }
    }

    /// Settings of uv that take packages from a folder.
    fn check_indexes(&self, collector: &Collector<'_>, table: &[&str]) -> Result<(), Obstacle> {
        let Some(settings) = self.field(table) else { return Ok(()) };
        let links = settings.get("find-links").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let indexes = settings.get("index").and_then(Value::as_array).into_iter().flatten().filter_map(|it| it.get("url")).filter_map(Value::as_str);
        match links.chain(indexes).find(|it| !it.contains("://") || it.starts_with("file:")) {
            Some(it) => Err(self.obstacle(it, format!("`{}` takes packages from `{it}`", collector.shown(&self.path)))),
            None => Ok(()),
        }
    }

    /// Whether uv installs the project itself: if it has a build system, unless it says otherwise.
    fn is_package(&self) -> bool {
        let said = self.field(&["tool", "uv", "package"]).and_then(Value::as_bool);
        said.unwrap_or_else(|| self.field(&["build-system"]).is_some())
    }
}

fn uv_sync(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    for folder in up_to_root(folder).iter().skip(1) {
        let path = join(folder, "pyproject.toml");
        if collector.exists(&path)? {
            return Err(Obstacle::in_file(&path, None, format!("`{path}` makes the folder above a project too")));
        }
    }
    for name in [".python-version", ".python-versions"] {
        collector.exists(&join(folder, name))?;
    }
    let settings = join(folder, "uv.toml");
    if let Some(text) = collector.optional(&settings)? {
        Project::read(collector, &settings, &text)?.check_indexes(collector, &[])?;
    }
    let unchecked = step.has(Means::FrozenUnchecked) || collector.is_on("UV_FROZEN");
    let lock = join(folder, "uv.lock");
    if !collector.exists(&lock)? {
        return Err(collector.obstacle(format!("`{}` finds no lockfile", step.display)));
    }
    if !step.frozen && !unchecked && !collector.is_on("UV_LOCKED") {
        return Err(collector.obstacle(format!("`{}` may rewrite `uv.lock`", step.display)));
    }
    let path = join(folder, "pyproject.toml");
    let text = collector.require(&path)?;
    let root = Project::read(collector, &path, &text)?;
    let members = uv_members(collector, &root)?;
    for project in std::iter::once(&root).chain(&members) {
        project.check_sources(collector)?;
        if !unchecked {
            project.check_dynamic(collector)?;
        }
    }
    let skips_members = step.has(Means::NoWorkspace);
    if root.is_package() && !skips_members && !step.has(Means::NoProject) {
        return Err(collector.obstacle(format!("`{}` installs the project itself without `--no-install-project`", step.display)));
    }
    if !skips_members && members.iter().any(Project::is_package) {
        return Err(collector.obstacle(format!("`{}` installs members of the workspace without `--no-install-workspace`", step.display)));
    }
    if collector.variable("UV_PROJECT_ENVIRONMENT").is_none() {
        collector.writes(Place::tree(join(folder, ".venv")));
    }
    Ok(())
}

fn uv_members(collector: &mut Collector<'_>, root: &Project) -> Result<Vec<Project>, Obstacle> {
    let strings = |key: &str| -> Vec<String> {
        let list = root.field(&["tool", "uv", "workspace", key]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut patterns = strings("members");
    patterns.extend(strings("exclude").into_iter().map(|it| format!("!{it}")));
    let mut res = Vec::new();
    for folder in folders::matching(collector, collector.folder, &patterns)? {
        let path = join(&folder, "pyproject.toml");
        if let Some(text) = collector.optional(&path)? {
            res.push(Project::read(collector, &path, &text)?);
        }
    }
    Ok(res)
}

fn poetry(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    let path = join(folder, "pyproject.toml");
    let text = collector.require(&path)?;
    let project = Project::read(collector, &path, &text)?;
    let settings = join(folder, "poetry.toml");
    if let Some(text) = collector.optional(&settings)?
        && ["path", "cache-dir", "data-dir"].iter().any(|key| text.lines().any(|it| it.split('=').next().is_some_and(|it| it.trim() == *key)))
    {
        return Err(Obstacle::in_file(&settings, None, "`poetry.toml` moves what Poetry writes"));
    }
    let lock = join(folder, "poetry.lock");
    if !collector.exists(&lock)? {
        collector.writes(Place::File(lock));
    }
    check_poetry_paths(&project)?;
    let is_package = project.field(&["tool", "poetry", "package-mode"]).and_then(Value::as_bool).unwrap_or(true);
    if is_package && !step.has(Means::NoProject) {
        return Err(collector.obstacle(format!("`{}` installs the project itself without `--no-root`", step.display)));
    }
    if let Some(plugin) = ["poetry-dynamic-versioning", "poetry-version-plugin", "poetry-monorepo-dependency-plugin"].iter().find(|it| text.contains(**it)) {
        return Err(project.obstacle(plugin, format!("`{plugin}` reads or rewrites the project")));
    }
    project.check_sources(collector)?;
    collector.writes(Place::tree(join(folder, ".venv")));
    Ok(())
}

fn check_poetry_paths(project: &Project) -> Result<(), Obstacle> {
    let groups = project.field(&["tool", "poetry", "group"]).and_then(Value::as_table);
    let grouped = groups.into_iter().flat_map(|it| it.values()).filter_map(|it| it.get("dependencies"));
    let tables = [&["tool", "poetry", "dependencies"][..], &["tool", "poetry", "dev-dependencies"]];
    let tables = tables.iter().filter_map(|it| project.field(it)).chain(grouped).filter_map(Value::as_table);
    let is_path = |it: &Value| it.get("path").is_some() || it.get("file").is_some();
    for (name, value) in tables.flatten() {
        if is_path(value) || value.as_array().is_some_and(|it| it.iter().any(is_path)) {
            return Err(project.obstacle(name, format!("`pyproject.toml` takes `{name}` from a folder")).for_sources());
        }
    }
    Ok(())
}

fn pipenv(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    let folder = collector.folder;
    let path = join(folder, "Pipfile");
    let text = collector.require(&path)?;
    variables_in(&text).into_iter().for_each(|it| collector.reads_variable(it));
    let pipfile = Project::read(collector, &path, &text)?;
    let tables = pipfile.value.as_table().into_iter().flat_map(|it| it.values()).filter_map(Value::as_table);
    for (name, value) in tables.flatten() {
        if ["path", "file", "editable"].iter().any(|it| value.get(it).is_some()) && value.get("git").is_none() {
            return Err(pipfile.obstacle(name, format!("`Pipfile` takes `{name}` from a folder")).for_sources());
        }
    }
    let lock = join(folder, "Pipfile.lock");
    if !collector.exists(&lock)? {
        return Err(collector.obstacle(format!("`{}` finds no lockfile", step.display)));
    }
    if !step.frozen {
        return Err(collector.obstacle(format!("`{}` may rewrite `Pipfile.lock`", step.display)));
    }
    // Pipenv loads it into its environment.
    collector.exists(&join(folder, ".env"))?;
    collector.writes(Place::tree(join(folder, ".venv")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_in, footprint_of, refusal, refusal_in};

    const UV_PROJECT: (&str, &str) = ("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\"a>=1\"]\n");
    const UV_PACKAGE: (&str, &str) = ("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\n[build-system]\nrequires = [\"hatchling\"]\n");
    const UV_LOCK: (&str, &str) = ("uv.lock", "version = 1\n");

    #[test]
    fn settings_of_uv_hold_for_its_pip_too() {
        let plain = ("pyproject.toml", "[project]\nname = \"a\"\n");
        let table = ("pyproject.toml", "[tool.uv.pip]\nextra-index-url = [\"https://example.org\"]\n");
        assert_eq!(footprint_of("uv pip install --system flask", &[plain]), "needs nothing; writes nothing");
        assert_eq!(footprint_of("uv pip install --system flask", &[table, ("uv.toml", "")]), "needs pyproject.toml uv.toml; writes nothing");
        assert!(footprint_of("uv pip install --system -r r.txt", &[table, ("r.txt", "a\n")]).starts_with("needs pyproject.toml r.txt;"));
        assert!(refusal("uv pip install --system flask", &[("uv.toml", "find-links = [\"./wheels\"]\n")]).contains("may name a folder of packages"));
    }

    #[test]
    fn pip_needs_the_requirement_files() {
        let file = ("requirements.txt", "a==1\nb>=2  # why\nc @ git+https://x/y.git\n--index-url https://x\n");
        for script in [
            "pip install -r requirements.txt",
            "pip3 install --no-cache-dir -r requirements.txt",
            "pip3.12 install -rrequirements.txt",
            "python -m pip install --upgrade pip && python3 -m pip install --requirement=requirements.txt",
            "uv pip install --system -r requirements.txt",
            "uv pip sync requirements.txt",
            "pip install -q --no-cache-dir -r ./requirements.txt gunicorn==20 'uvicorn[standard]'",
        ] {
            assert_eq!(footprint_of(script, &[file]), "needs requirements.txt; writes nothing", "{script}");
        }
    }

    #[test]
    fn included_files_are_followed() {
        let files = [
            ("req/dev.txt", "-r base.txt\n-c ../constraints.txt\n"),
            ("req/base.txt", "--requirement=more.txt\n"),
            ("req/more.txt", "a \\\n  --hash=sha256:x\n"),
            ("constraints.txt", "b==1\n-rreq/dev.txt"),
        ];
        assert_eq!(footprint_of("pip install -r req/dev.txt", &files), "needs constraints.txt req/base.txt req/dev.txt req/more.txt; writes nothing");
        assert!(refusal("pip install -r req/dev.txt", &files[..3]).contains("`constraints.txt` is not in the build context"));
    }

    #[test]
    fn a_requirement_that_takes_sources_stands_in_the_way() {
        for line in
            ["-e .", "--editable=./lib", ".", "./lib", "lib/x", "x.whl", "x @ file:///app/x", "-f ./wheels", "../x[extra]", "/app/x", "$X", "-r $X", "--frob x"]
        {
            let text = format!("a==1\n{line}\n");
            let reason = refusal("pip install -r requirements.txt", &[("requirements.txt", &text)]);
            assert!(!reason.starts_with("not refused"), "{line}");
            assert!(reason.starts_with(&format!("requirements.txt:{line}")), "{reason}");
        }
        for line in [
            "-e git+https://x/y#egg=z",
            "-f https://x/wheels",
            "x @ https://x/y.whl",
            "a[b]>=1; python_version < '3'",
            "# -e .",
            "a # ./b",
            "--pre",
            "https://x/y.tar.gz",
        ] {
            assert!(footprint_of("pip install -r r.txt", &[("r.txt", line)]).starts_with("needs"), "{line}");
        }
        for script in [
            "pip install .",
            "pip install -e .",
            "pip install '.[dev]'",
            "pip install dist/*.whl",
            "pip install $X",
            "pip install -r $X",
            "pip install ./x",
            "pip install --frob x",
            "pip install -f wheels x",
        ] {
            assert!(!refusal(script, &[("requirements.txt", "")]).starts_with("not refused"), "{script}");
        }
    }

    #[test]
    fn packages_go_outside_the_project_unless_told_otherwise() {
        let file = ("requirements.txt", "a");
        assert_eq!(footprint_of("pip install --target lib -r requirements.txt", &[file]), "needs requirements.txt; writes lib/");
        assert_eq!(footprint_of("pip install -t /opt/x -r requirements.txt", &[file]), "needs requirements.txt; writes /opt/x/");
        assert_eq!(footprint_of("/app/.venv/bin/pip install -r requirements.txt", &[file]), "needs requirements.txt; writes .venv/");
        assert_eq!(footprint_of("venv/bin/pip install -r requirements.txt", &[file]), "needs requirements.txt; writes venv/");
        assert_eq!(footprint_in("pip install -r requirements.txt", &[file], &[("PATH", "/app/venv/bin:/usr/bin")]), "needs requirements.txt; writes venv/");
        assert_eq!(
            footprint_in("pip install -r requirements.txt", &[file], &[("VIRTUAL_ENV", "/opt/venv"), ("PIP_NO_CACHE_DIR", "1")]),
            "needs requirements.txt; writes nothing"
        );
        assert_eq!(footprint_in("pip install -r requirements.txt", &[file], &[("PATH", "/app/.venv/bin:$PATH")]), "needs requirements.txt; writes .venv/");
        assert_eq!(
            footprint_of("python3 -m venv venv && export PATH=\"/app/venv/bin:$PATH\" && pip install -r requirements.txt", &[file]),
            "needs requirements.txt; writes venv/"
        );
        assert_eq!(footprint_of("uv venv /opt/venv && uv pip install -r requirements.txt", &[file]), "needs requirements.txt; writes /opt/venv/");
        assert!(refusal_in("pip install -r requirements.txt", &[file], &[("PATH", "$X/bin:$PATH")]).contains("`PATH`"));
        assert!(refusal_in("pip install -r requirements.txt", &[file], &[("PIP_CONSTRAINT", "c.txt")]).contains("PIP_CONSTRAINT"));
        assert!(refusal("export PIP_TARGET=x && pip install -r requirements.txt", &[file]).contains("PIP_TARGET"));
    }

    #[test]
    fn uv_sync_needs_lockfile_and_manifest() {
        let needed = "needs pyproject.toml uv.lock; writes .venv/";
        assert_eq!(footprint_of("uv sync --locked", &[UV_PROJECT, UV_LOCK]), needed);
        assert_eq!(footprint_of("uv sync --frozen --no-install-project --no-dev", &[UV_PACKAGE, UV_LOCK]), needed);
        assert_eq!(footprint_in("uv sync", &[UV_PROJECT, UV_LOCK], &[("UV_LOCKED", "1")]), needed);
        assert_eq!(
            footprint_in("uv sync --locked", &[UV_PROJECT, UV_LOCK], &[("UV_PROJECT_ENVIRONMENT", "/opt/venv")]),
            "needs pyproject.toml uv.lock; writes nothing"
        );
        assert_eq!(
            footprint_of("uv sync --locked", &[UV_PROJECT, UV_LOCK, (".python-version", "3.12")]),
            "needs .python-version pyproject.toml uv.lock; writes .venv/"
        );
        assert_eq!(footprint_of("uv pip install --system -r pyproject.toml", &[UV_PROJECT]), "needs pyproject.toml; writes nothing");
    }

    #[test]
    fn uv_sync_stays_where_sources_or_the_lockfile_come_in() {
        assert_eq!(refusal("uv sync", &[UV_PROJECT, UV_LOCK]), "`uv sync` may rewrite `uv.lock`");
        assert_eq!(refusal("uv sync --locked", &[UV_PROJECT]), "`uv sync` finds no lockfile");
        assert_eq!(refusal("uv sync --locked", &[UV_PACKAGE, UV_LOCK]), "`uv sync` installs the project itself without `--no-install-project`");
        let dynamic = ("pyproject.toml", "[project]\nname = \"x\"\ndynamic = [\"version\"]\n");
        assert!(refusal("uv sync --locked", &[dynamic, UV_LOCK]).contains("`dynamic` metadata"));
        assert!(footprint_of("uv sync --frozen", &[dynamic, UV_LOCK]).starts_with("needs"));
        let path = ("pyproject.toml", "[project]\nname = \"x\"\n[tool.uv.sources]\na = { path = \"../a\" }\n");
        assert!(refusal("uv sync --frozen", &[path, UV_LOCK]).contains("takes `a` from a folder"));
        assert!(refusal("uv sync --frozen", &[UV_PROJECT, UV_LOCK, ("uv.toml", "find-links = [\"./wheels\"]")]).contains("takes packages from `./wheels`"));
        assert!(refusal("uv sync --locked", &[("pyproject.toml", "["), UV_LOCK]).contains("not valid TOML"));
        assert!(refusal("uv add x", &[UV_PROJECT, UV_LOCK]).contains("rewrites"));
        assert!(refusal("uv run x", &[UV_PROJECT, UV_LOCK]).contains("may read or write anything"));
        assert!(refusal("cd web && uv sync --locked", &[UV_PROJECT, ("web/pyproject.toml", ""), ("web/uv.lock", "")]).contains("folder above"));
    }

    #[test]
    fn members_of_a_uv_workspace_are_carried() {
        let root = (
            "pyproject.toml",
            "[project]\nname = \"x\"\n[tool.uv.workspace]\nmembers = [\"packages/*\"]\nexclude = [\"packages/old\"]\n[tool.uv.sources]\na = { workspace = true }\n",
        );
        let files = [root, UV_LOCK, ("packages/a/pyproject.toml", UV_PACKAGE.1), ("packages/old/pyproject.toml", "[")];
        assert!(refusal("uv sync --locked --no-install-project", &files).contains("--no-install-workspace"));
        assert_eq!(footprint_of("uv sync --locked --no-install-workspace", &files), "needs packages/a/pyproject.toml pyproject.toml uv.lock; writes .venv/");
    }

    #[test]
    fn modules_beside_the_installed_ones_stand_in_the_way() {
        let list = ("requirements.txt", "a==1");
        let run = "pip install -r requirements.txt";
        let as_module = "python3 -m pip install -r requirements.txt";
        for name in ["logging.py", "sitecustomize.py", "json/__init__.py", "x.egg-info/PKG-INFO"] {
            assert!(refusal(as_module, &[list, (name, "")]).contains("Python itself reads"), "{name}");
            assert!(footprint_of(run, &[list, (name, "")]).starts_with("needs requirements.txt"), "{name}");
            assert!(refusal_in(run, &[list, (name, "")], &[("PYTHONPATH", "/opt/x:/app")]).contains("Python itself reads"), "{name}");
        }
        for name in ["main.py", "json/a.txt", "logging.txt", "app/logging.py"] {
            assert!(footprint_of(as_module, &[list, (name, "")]).starts_with("needs requirements.txt"), "{name}");
            assert!(footprint_in(run, &[list, (name, "")], &[("PYTHONPATH", "/app:$PYTHONPATH")]).starts_with("needs requirements.txt"), "{name}");
        }
        assert!(refusal_in(run, &[list], &[("PYTHONPATH", "$MODULES")]).contains("what is in `PYTHONPATH` is not known"));
    }

    #[test]
    fn poetry_installs_the_project_unless_told_not_to() {
        let project = ("pyproject.toml", "[tool.poetry]\nname = \"x\"\n[tool.poetry.dependencies]\npython = \"^3\"\na = { version = \"1\" }\n");
        let lock = ("poetry.lock", "");
        let needed = "needs poetry.lock pyproject.toml; writes .venv/";
        assert_eq!(footprint_of("poetry install --no-root --only main --no-interaction --no-ansi", &[project, lock]), needed);
        assert_eq!(footprint_of("poetry config virtualenvs.create false && poetry install --no-root", &[project, lock]), needed);
        assert_eq!(footprint_of("poetry install --no-root", &[project]), "needs pyproject.toml; writes .venv/ poetry.lock");
        assert!(refusal("poetry install", &[project, lock]).contains("without `--no-root`"));
        assert_eq!(footprint_of("poetry install", &[("pyproject.toml", "[tool.poetry]\npackage-mode = false\n"), lock]), needed);
        let path = ("pyproject.toml", "[tool.poetry.group.dev.dependencies]\na = { path = \"../a\" }\n");
        assert!(refusal("poetry install --no-root", &[path, lock]).contains("takes `a` from a folder"));
        assert!(refusal("poetry install --no-root", &[project, lock, ("poetry.toml", "[virtualenvs]\npath = \"x\"\n")]).contains("moves what Poetry writes"));
        assert!(footprint_of("poetry install --no-root", &[project, lock, ("poetry.toml", "[virtualenvs]\nin-project = true\n")]).contains("poetry.toml"));
        assert!(refusal("poetry lock", &[project, lock]).contains("rewrites"));
        assert!(refusal("poetry config --local virtualenvs.create false", &[]).contains("poetry.toml"));
    }

    #[test]
    fn pipenv_needs_deploy_or_sync() {
        let files = [("Pipfile", "[packages]\na = \"*\"\nb = { git = \"https://x\", editable = true }\n"), ("Pipfile.lock", "{}")];
        assert_eq!(footprint_of("pipenv install --system --deploy", &files), "needs Pipfile Pipfile.lock; writes .venv/");
        assert_eq!(footprint_of("pipenv sync", &files), "needs Pipfile Pipfile.lock; writes .venv/");
        assert!(refusal("pipenv install", &files).contains("may rewrite"));
        assert!(refusal("pipenv install x", &files).contains("rewrites the manifest or the lockfile"));
        assert!(refusal("pipenv sync", &[("Pipfile", "[packages]\na = { path = \".\" }\n"), ("Pipfile.lock", "")]).contains("takes `a`"));
    }
}
