//! Where package managers keep what they download, as whom they run, and which cache mounts a RUN has.
//!
//! The folders are those of docs/facts.md B.8. Where a variable, a configuration file or an image of
//! which nothing is known may move one, it is not known.

use super::context::File;
use super::plan::{Plan, Step, base_directory};
use super::{Kind, Mount, Run};
use crate::ecosystem::{self, Action, Manager};
use crate::facts::{self, join};
use crate::shell::{Command, Word};
use crate::syntax::dockerfile::Flag;

/// As whom a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As USER names it, without the group.
    pub name: String,
    /// Whether it is root.
    pub root: bool,
    /// Its home; `None` where that is not known.
    pub home: Option<String>,
    /// Its number; `None` where that is not known.
    pub uid: Option<u32>,
    /// The number of its group; `None` where that is not known.
    pub gid: Option<u32>,
}

/// What is lost if the content of a cache is not in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Downloads that are fetched again where they are missing; what is installed stands elsewhere.
    Downloads,
    /// The packages themselves: later commands of the manager take them from there.
    Packages,
    /// The index that later installs rely on.
    Index,
}

/// A folder in which a manager keeps what it downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheFolder {
    /// Absolute path of the image.
    pub path: String,
    /// Whether writers exclude each other.
    pub locked: bool,
    /// What is in it.
    pub keeps: Keeps,
}

/// A cache mount of a RUN.
#[derive(Debug, Clone)]
pub struct CacheMount<'p> {
    /// The flag.
    pub flag: &'p Flag,
    /// Its fields.
    pub mount: &'p Mount,
    /// Where it is mounted: absolute path of the image; `None` where a variable decides.
    pub target: Option<String>,
}

impl CacheMount<'_> {
    /// Whether two builds may write to it at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self.mount.get("sharing"), None | Some("shared"))
    }

    /// Whether it is at or above the folder `path`.
    pub fn covers(&self, path: &str) -> bool {
        self.target.as_deref().is_some_and(|it| facts::is_below(path, it))
    }
}

/// Images that are no official ones of Docker Hub, run as root and leave `HOME` alone, by their
/// Dockerfiles.
const ROOT_IMAGES: &[&str] = &[
    "denoland/deno",
    "ghcr.io/astral-sh/uv",
    "lukemathwalker/cargo-chef",
    "mcr.microsoft.com/dotnet/sdk",
    "nvidia/cuda",
    "oven/bun",
    "registry.access.redhat.com/ubi8/ubi",
    "registry.access.redhat.com/ubi9/ubi",
];

/// Wrappers that run a command as somebody else.
const OTHER_USER: &[&str] = &["sudo", "doas", "gosu", "su-exec"];

/// The value of a variable, as far as the file tells.
enum Value {
    Unset,
    Set(String),
    Unknown,
}

impl Plan<'_> {
    /// As whom the step runs; `None` where that is not known.
    pub fn account(&self, index: usize) -> Option<Account> {
        let state = &self.steps[index].state;
        let plain_image = self.is_plain_image();
        let user = match &state.user {
            Some(user) if user.contains('$') || user.trim().is_empty() => return None,
            Some(user) => user.trim_matches(['"', '\'']).to_owned(),
            None if plain_image => "root".to_owned(),
            None => return None,
        };
        let (name, group) = user.split_once(':').map_or((user.as_str(), None), |(name, group)| (name, Some(group)));
        let root = matches!(name, "root" | "0");
        let mut res = Account { name: name.to_owned(), root, home: None, uid: name.parse().ok(), gid: group.and_then(|it| it.parse().ok()) };
        if root {
            (res.uid, res.gid) = (Some(0), res.gid.or(Some(0)));
            res.home = plain_image.then(|| "/root".to_owned());
        } else {
            self.look_up(index, &mut res);
        }
        match self.variable(index, None, "HOME") {
            Value::Set(home) if home.starts_with('/') => res.home = Some(join("/", &home)),
            Value::Unset => {}
            Value::Set(_) | Value::Unknown => res.home = None,
        }
        Some(res)
    }

    /// Number and home of a user that the image or an earlier command makes.
    fn look_up(&self, index: usize, account: &mut Account) {
        if account.name == "node" && self.image().is_some_and(|it| it.official() == Some("node")) {
            // https://github.com/nodejs/docker-node/blob/main/docs/BestPractices.md#non-root-user
            (account.uid, account.gid, account.home) = (Some(1000), account.gid.or(Some(1000)), Some("/home/node".to_owned()));
            return;
        }
        let commands = self.steps[..index].iter().filter_map(|it| match &it.instruction.kind {
            Kind::Run(run) => Some(&run.script.commands),
            _ => None,
        });
        let Some(made) = commands.flatten().filter_map(|it| created(it, &account.name)).next_back() else { return };
        account.uid = account.uid.or(made.uid);
        account.gid = account.gid.or(made.gid);
        account.home = made.home;
    }

    /// Whether the stage starts from an image that runs as root and leaves `HOME` alone.
    pub fn is_plain_image(&self) -> bool {
        let plain = |it: &super::Image| base_directory(it).is_some() || it.parts().is_some_and(|(name, ..)| ROOT_IMAGES.contains(&name));
        self.image().is_none_or(plain)
    }

    fn variable(&self, index: usize, step: Option<&ecosystem::Step>, name: &str) -> Value {
        let own = step.into_iter().flat_map(|it| it.environment.iter().rev()).find(|(it, _)| it.eq_ignore_ascii_case(name));
        if let Some((_, value)) = own {
            return if value.contains(['$', '`']) { Value::Unknown } else { Value::Set(value.clone()) };
        }
        match self.steps[index].state.variables.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)) {
            None => Value::Unset,
            Some((_, scoped)) => scoped.value.clone().map_or(Value::Unknown, Value::Set),
        }
    }

    /// Whether a variable turns the cache of a command off, and which one.
    pub fn disabling_variable(&self, index: usize, step: &ecosystem::Step) -> Option<&'static str> {
        let name = match step.manager {
            Manager::Pip | Manager::Pipenv => "PIP_NO_CACHE_DIR",
            Manager::Uv => "UV_NO_CACHE",
            Manager::Composer => "COMPOSER_NO_CACHE",
            _ => return None,
        };
        match self.variable(index, Some(step), name) {
            Value::Unset => None,
            Value::Set(value) => (!matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false" | "off" | "no")).then_some(name),
            Value::Unknown => Some(name),
        }
    }

    /// The cache mounts of a RUN.
    pub fn cache_mounts<'p>(&'p self, index: usize, run: &'p Run) -> Vec<CacheMount<'p>> {
        let step = &self.steps[index];
        let flags = step.instruction.flags.iter().filter(|it| it.name == "mount");
        let caches = flags.zip(&run.mounts).filter(|(_, mount)| mount.kind() == "cache");
        caches.map(|(flag, mount)| CacheMount { flag, mount, target: mount.target().and_then(|it| self.mount_path(index, it)) }).collect()
    }

    /// Whether something is mounted over the place of a cache, in it or above it: a cache there would be hidden, or have
    /// no place in what cannot be written to.
    pub fn is_occupied(&self, index: usize, run: &Run, folder: &CacheFolder) -> bool {
        let targets = run.mounts.iter().filter_map(|it| it.target()).map(|it| self.mount_path(index, it));
        let meet = |target: &str| facts::is_below(target, &folder.path) || facts::is_below(&folder.path, target);
        targets.into_iter().any(|it| it.is_none_or(|it| meet(&it)))
    }

    /// Where a mount of the step goes. Variables that neither the file nor a plain image sets are
    /// empty there.
    fn mount_path(&self, index: usize, target: &str) -> Option<String> {
        let state = &self.steps[index].state;
        if target.contains("$HOME") && matches!(self.variable(index, None, "HOME"), Value::Unset) && self.is_plain_image() {
            return state.path(&target.replace("$HOME", ""), self.dockerfile.escape);
        }
        state.path(target, self.dockerfile.escape)
    }

    /// The folders that a command keeps what it downloads in; `None` where one of them is not known,
    /// or where a mount would be of no use.
    pub fn cache_folders(&self, index: usize, step: &ecosystem::Step) -> Option<Vec<CacheFolder>> {
        let is_of_other = step.unknown.iter().any(|(_, it)| OTHER_USER.contains(&facts::name(it)));
        if is_of_other || self.is_configured(index, step) || self.links_to_cache(index, step) {
            return None;
        }
        let place = |variables: &[(&str, &str)], default: &str| self.cache_path(index, step, variables, default);
        let folder = |keeps: Keeps, path: Option<String>| path.map(|path| CacheFolder { path, locked: false, keeps });
        let downloads = |path: Option<String>| folder(Keeps::Downloads, path);
        let packages = |path: Option<String>| folder(Keeps::Packages, path);
        let locked = |it: CacheFolder| CacheFolder { locked: true, ..it };
        let image = self.image().and_then(super::Image::official);
        let pip = || downloads(place(&[("PIP_CACHE_DIR", ""), ("XDG_CACHE_HOME", "pip")], "~/.cache/pip"));
        Some(match step.manager {
            // The packages themselves are removed by a hook of the images of Debian and Ubuntu
            // (docs/facts.md B.8, docker-clean).
            Manager::Apt => vec![CacheFolder { path: "/var/lib/apt/lists".to_owned(), locked: true, keeps: Keeps::Index }],
            Manager::Npm if self.configures(index, step, ".npmrc", "cache") => return None,
            Manager::Npm => vec![downloads(place(&[("npm_config_cache", "")], "~/.npm"))?],
            Manager::Pip => vec![pip()?],
            Manager::Pipenv => vec![downloads(place(&[("PIPENV_CACHE_DIR", ""), ("XDG_CACHE_HOME", "pipenv")], "~/.cache/pipenv"))?, pip()?],
            Manager::Uv => vec![downloads(place(&[("UV_CACHE_DIR", ""), ("XDG_CACHE_HOME", "uv")], "~/.cache/uv"))?],
            // Beside these two, virtual environments stand there.
            Manager::Poetry => {
                let root = place(&[("POETRY_CACHE_DIR", ""), ("XDG_CACHE_HOME", "pypoetry")], "~/.cache/pypoetry")?;
                vec![downloads(Some(join(&root, "cache")))?, downloads(Some(join(&root, "artifacts")))?]
            }
            Manager::Yarn if !self.is_classic(index, step) => return None,
            // Of root, the home is not what Yarn looks at.
            Manager::Yarn => {
                let default = if self.account(index)?.root { "/usr/local/share/.cache/yarn" } else { "~/.cache/yarn" };
                vec![locked(downloads(place(&[("YARN_CACHE_FOLDER", ""), ("XDG_CACHE_HOME", "yarn")], default))?)]
            }
            Manager::Pnpm if self.configures(index, step, ".npmrc", "store") => return None,
            Manager::Pnpm => {
                let variables = [("npm_config_store_dir", ""), ("PNPM_HOME", "store"), ("XDG_DATA_HOME", "pnpm/store")];
                vec![downloads(place(&variables, "~/.local/share/pnpm/store"))?]
            }
            Manager::Bun => vec![downloads(place(&[("BUN_INSTALL_CACHE_DIR", ""), ("BUN_INSTALL", "install/cache")], "~/.bun/install/cache"))?],
            Manager::Composer => {
                let default = if image == Some("composer") { "/tmp/cache" } else { "" };
                vec![downloads(place(&[("COMPOSER_CACHE_DIR", ""), ("COMPOSER_HOME", "cache")], default))?]
            }
            Manager::Go => {
                let default = if image == Some("golang") { "/go/pkg/mod" } else { "" };
                let mut res = vec![packages(place(&[("GOMODCACHE", ""), ("GOPATH", "pkg/mod")], default))?];
                if !step.display.starts_with("go mod") {
                    res.push(packages(place(&[("GOCACHE", ""), ("XDG_CACHE_HOME", "go-build")], "~/.cache/go-build"))?);
                }
                res
            }
            Manager::Cargo => {
                let of_rust = image == Some("rust") || self.image().and_then(super::Image::parts).is_some_and(|it| it.0 == "lukemathwalker/cargo-chef");
                let home = place(&[("CARGO_HOME", "")], if of_rust { "/usr/local/cargo" } else { "" })?;
                vec![packages(Some(join(&home, "registry")))?, packages(Some(join(&home, "git/db")))?]
            }
            Manager::Maven => vec![packages(place(&[], "~/.m2/repository"))?],
            Manager::Gradle if image == Some("gradle") => return None,
            Manager::Gradle => {
                let home = place(&[("GRADLE_USER_HOME", "")], "~/.gradle")?;
                vec![locked(packages(Some(join(&home, "caches")))?), locked(packages(Some(join(&home, "wrapper")))?)]
            }
            Manager::Dotnet => vec![packages(place(&[("NUGET_PACKAGES", "")], "~/.nuget/packages"))?],
            // apk links to its cache only where it is told to, dnf and zypper keep packages only where
            // they are told to, Bundler installs where it downloads to.
            Manager::Apk | Manager::Dnf | Manager::Zypper | Manager::Bundler | Manager::Corepack | Manager::Shell => return None,
        })
    }

    /// Whether what a command installs, or may install, are links to what it has downloaded, which has to be in the
    /// image then.
    fn links_to_cache(&self, index: usize, step: &ecosystem::Step) -> bool {
        let is_set = |name: &str, wanted: &str| match self.variable(index, Some(step), name) {
            Value::Unset => false,
            Value::Set(value) => value.eq_ignore_ascii_case(wanted),
            Value::Unknown => true,
        };
        let has_flag = |name: &str, wanted: &str| {
            let words: Vec<&str> = self.words(index, step).map(|it| it.text.as_str()).collect();
            words.windows(2).any(|it| it == [name, wanted]) || words.iter().any(|it| it.strip_prefix(name) == Some(&format!("={wanted}")))
        };
        match step.manager {
            // https://docs.astral.sh/uv/reference/settings/#link-mode
            Manager::Uv => {
                let of_project =
                    self.project_file(index, step, "pyproject.toml").flatten().is_some_and(|it| it.contains("link-mode") && it.contains("symlink"));
                of_project || is_set("UV_LINK_MODE", "symlink") || has_flag("--link-mode", "symlink") || self.configures(index, step, "uv.toml", "symlink")
            }
            // https://pnpm.io/global-virtual-store
            Manager::Pnpm => {
                let variables = ["npm_config_enable_global_virtual_store", "pnpm_config_enable_global_virtual_store"];
                variables.iter().any(|it| is_set(it, "true")) || self.configures(index, step, "pnpm-workspace.yaml", "enableGlobalVirtualStore")
            }
            // https://bun.com/docs/pm/cli/install#platform-specific-backends
            Manager::Bun => has_flag("--backend", "symlink") || self.configures(index, step, "bunfig.toml", "symlink"),
            _ => false,
        }
    }

    /// The first of the variables that is set, with the folder below it; else the default. Nothing
    /// where that is not known.
    fn cache_path(&self, index: usize, step: &ecosystem::Step, variables: &[(&str, &str)], default: &str) -> Option<String> {
        for (name, below) in variables {
            match self.variable(index, Some(step), name) {
                Value::Unset => {}
                Value::Set(value) if value.starts_with('/') => return Some(join(&join("/", &value), below)),
                Value::Set(_) | Value::Unknown => return None,
            }
        }
        if let Some(rest) = default.strip_prefix("~/") {
            return Some(join(&self.account(index)?.home?, rest));
        }
        (default.starts_with('/')).then(|| default.to_owned())
    }

    /// Whether a configuration file of the project has, or may have, a word.
    fn configures(&self, index: usize, step: &ecosystem::Step, file: &str, word: &str) -> bool {
        self.project_file(index, step, file).is_some_and(|it| it.is_none_or(|it| it.contains(word)))
    }

    /// The file of that name in the folder that a command works in: nothing where there is none,
    /// no text where it is not known.
    fn project_file(&self, index: usize, step: &ecosystem::Step, name: &str) -> Option<Option<std::sync::Arc<str>>> {
        let folder = step.folder(self.steps[index].state.directory.as_deref()?);
        let (_, source) = self.provider(&join(&folder, name), index)?;
        match self.context.file(&source) {
            File::Known(text) => Some(Some(text)),
            File::Absent => None,
            File::Present | File::Unknown => Some(None),
        }
    }

    /// Whether a flag, or an earlier command of the manager, says where the cache is.
    fn is_configured(&self, index: usize, step: &ecosystem::Step) -> bool {
        const FLAGS: &[&str] = &["--cache", "--store-dir", "--modules-cache", "--global-folder", "--gradle-user-home", "-Dmaven.repo.local", "--packages"];
        let by_flag = self.words(index, step).any(|word| FLAGS.iter().any(|it| word.text.starts_with(it)));
        let configures = |it: &ecosystem::Step| it.manager == step.manager && it.display.contains(" config");
        by_flag || self.steps[..=index].iter().any(|it| it.installs.iter().any(configures))
    }

    /// Whether Yarn is the classic one; the cache of later ones stands elsewhere.
    fn is_classic(&self, index: usize, step: &ecosystem::Step) -> bool {
        if step.action == Action::InstallNamed {
            return step.display.contains("global");
        }
        let later = |text: &str| text.match_indices("\"yarn@").any(|(at, it)| !text[at + it.len()..].starts_with('1'));
        let package = self.project_file(index, step, "package.json").flatten();
        package.is_some_and(|it| !later(&it))
            && self.project_file(index, step, ".yarnrc.yml").is_none()
            && !self.words(index, step).any(|it| it.text == "--immutable")
    }

    /// The words of a command.
    pub fn words(&self, index: usize, step: &ecosystem::Step) -> impl Iterator<Item = &Word> {
        let commands = match &self.steps[index].instruction.kind {
            Kind::Run(run) => run.script.commands.as_slice(),
            _ => &[],
        };
        let span = step.span;
        commands.iter().filter(move |it| it.span == span).flat_map(|it| &it.words)
    }
}

/// Whether a command downloads what its manager caches.
pub fn downloads(step: &ecosystem::Step) -> bool {
    match step.action {
        Action::InstallDependencies | Action::InstallNamed => !step.display.starts_with("rustup") && !step.display.ends_with("uninstall"),
        Action::Build => is_own_build(step),
        Action::InstallSystem | Action::UpdateIndex => step.manager == Manager::Apt,
        Action::Clean | Action::Other => false,
    }
}

/// Whether it is a build by the manager itself, which resolves and fetches first.
pub fn is_own_build(step: &ecosystem::Step) -> bool {
    const BUILDS: &[&str] = &["build", "install", "test", "package", "verify", "publish", "assemble", "bootJar", "shadowJar"];
    let by_name = BUILDS.iter().any(|it| step.display.split(' ').skip(1).any(|word| word == *it));
    step.action == Action::Build && by_name && matches!(step.manager, Manager::Go | Manager::Cargo | Manager::Maven | Manager::Gradle | Manager::Dotnet)
}

/// A user that a command makes.
struct Created {
    uid: Option<u32>,
    gid: Option<u32>,
    home: Option<String>,
}

/// The user `name`, if the command makes it: `useradd`, or `adduser` of Debian and busybox.
fn created(command: &Command, name: &str) -> Option<Created> {
    let program = command.program().filter(|it| matches!(*it, "useradd" | "adduser"))?;
    let words: Vec<&str> = command.words.iter().map(|it| it.text.as_str()).collect();
    if !words.contains(&name) {
        return None;
    }
    let value = |flags: &[&str]| {
        words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
            Some((flag, value)) if flags.contains(&flag) => Some(value),
            _ if flags.contains(word) => words.get(at + 1).copied(),
            _ => None,
        })
    };
    let home_flags: &[&str] = if program == "adduser" { &["-h", "--home"] } else { &["-d", "--home", "--home-dir"] };
    // For a user of the system, Debian's adduser makes a home that does not exist.
    let has_default_home = program == "useradd" || !words.contains(&"--system");
    let home = value(home_flags).map(str::to_owned).or_else(|| has_default_home.then(|| format!("/home/{name}"))).filter(|it| it.starts_with('/'));
    Some(Created {
        uid: value(&["-u", "--uid"]).and_then(|it| it.parse().ok()),
        gid: value(&["-g", "--gid"]).and_then(|it| it.parse().ok()),
        home: home.filter(|it| !it.contains('$')),
    })
}

impl Step<'_> {
    /// The commands of a RUN that are known and download something.
    pub fn downloading(&self) -> impl Iterator<Item = &ecosystem::Step> {
        self.installs.iter().filter(|it| downloads(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::lower;

    /// The last step of the file's last stage, as a plan without a context has it.
    fn at_the_end<T>(text: &str, look: impl Fn(&Plan<'_>, usize) -> T) -> T {
        let document = crate::text::Document::new(crate::text::Language::Dockerfile, text);
        let source = crate::syntax::dockerfile::read(text, document.tree().unwrap());
        let dockerfile = lower(text, &source);
        let plan = Plan::new(&dockerfile, Default::default(), dockerfile.stages.len() - 1);
        look(&plan, plan.steps.len() - 1)
    }

    type Known = (String, Option<String>, Option<u32>, Option<u32>);

    fn account(text: &str) -> Option<Known> {
        at_the_end(&format!("{text}RUN x\n"), |plan, index| plan.account(index).map(|it| (it.name, it.home, it.uid, it.gid)))
    }

    fn folders(text: &str) -> Option<Vec<String>> {
        at_the_end(text, |plan, index| {
            let step = plan.steps[index].installs.last()?;
            plan.cache_folders(index, step).map(|it| it.into_iter().map(|it| it.path).collect())
        })
    }

    #[test]
    fn users_are_told_by_what_makes_them() {
        let known = |name: &str, home: Option<&str>, uid, gid| Some((name.to_owned(), home.map(str::to_owned), uid, gid));
        let cases = [
            ("FROM python:3.13\n", known("root", Some("/root"), Some(0), Some(0))),
            ("FROM python:3.13\nUSER root\n", known("root", Some("/root"), Some(0), Some(0))),
            ("FROM example.com/x:1\nUSER root\n", known("root", None, Some(0), Some(0))),
            ("FROM example.com/x:1\n", None),
            ("FROM python:3.13\nUSER $U\n", None),
            ("FROM python:3.13\nUSER 1000\n", known("1000", None, Some(1000), None)),
            ("FROM python:3.13\nUSER 1000:1001\n", known("1000", None, Some(1000), Some(1001))),
            ("FROM python:3.13\nUSER app\n", known("app", None, None, None)),
            ("FROM python:3.13\nENV HOME=/h\nUSER app\n", known("app", Some("/h"), None, None)),
            ("FROM node:22\nUSER node\n", known("node", Some("/home/node"), Some(1000), Some(1000))),
            ("FROM python:3.13\nUSER node\n", known("node", None, None, None)),
            ("FROM python:3.13\nRUN useradd -m -u 999 app\nUSER app\n", known("app", Some("/home/app"), Some(999), None)),
            ("FROM python:3.13\nRUN useradd --uid=999 --gid=998 --home-dir /srv/app app\nUSER app\n", known("app", Some("/srv/app"), Some(999), Some(998))),
            ("FROM alpine:3.20\nRUN adduser -D -u 999 -h /srv app\nUSER app\n", known("app", Some("/srv"), Some(999), None)),
            ("FROM debian:12.9\nRUN adduser --system --uid 999 app\nUSER app\n", known("app", None, Some(999), None)),
            ("FROM debian:12.9\nRUN useradd -u $ID app\nUSER app\n", known("app", Some("/home/app"), None, None)),
            ("FROM debian:12.9\nRUN useradd -u 5 other\nUSER app\n", known("app", None, None, None)),
        ];
        for (text, expected) in cases {
            assert_eq!(account(text), expected, "{text}");
        }
    }

    #[test]
    fn caches_are_where_variables_and_images_say() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("FROM python:3.13\nRUN pip install x\n", Some(&["/root/.cache/pip"])),
            ("FROM python:3.13\nENV XDG_CACHE_HOME=/c\nRUN pip install x\n", Some(&["/c/pip"])),
            ("FROM python:3.13\nRUN PIP_CACHE_DIR=/p pip install x\n", Some(&["/p"])),
            ("FROM python:3.13\nENV PIP_CACHE_DIR=relative\nRUN pip install x\n", None),
            ("FROM python:3.13\nARG PIP_CACHE_DIR\nRUN pip install x\n", None),
            ("FROM node:22\nENV NPM_CONFIG_CACHE=/n\nRUN npm ci\n", Some(&["/n"])),
            ("FROM node:22\nRUN pnpm install\n", Some(&["/root/.local/share/pnpm/store"])),
            ("FROM node:22\nENV PNPM_HOME=/pnpm\nRUN pnpm install\n", Some(&["/pnpm/store"])),
            ("FROM node:22\nRUN pnpm install --store-dir /s\n", None),
            ("FROM composer:2\nRUN composer install\n", Some(&["/tmp/cache"])),
            ("FROM php:8.4\nRUN composer install\n", None),
            ("FROM php:8.4\nENV COMPOSER_HOME=/c\nRUN composer install\n", Some(&["/c/cache"])),
            ("FROM golang:1.23\nRUN go mod download\n", Some(&["/go/pkg/mod"])),
            ("FROM golang:1.23\nENV GOPATH=/g\nRUN go build\n", Some(&["/g/pkg/mod", "/root/.cache/go-build"])),
            ("FROM debian:12.9\nRUN go build\n", None),
            ("FROM rust:1.83\nRUN cargo build\n", Some(&["/usr/local/cargo/registry", "/usr/local/cargo/git/db"])),
            ("FROM maven:3\nRUN mvn package\n", Some(&["/root/.m2/repository"])),
            ("FROM maven:3\nRUN mvn package -Dmaven.repo.local=/m\n", None),
            ("FROM eclipse-temurin:21\nRUN ./gradlew build\n", Some(&["/root/.gradle/caches", "/root/.gradle/wrapper"])),
            ("FROM gradle:8\nRUN gradle build\n", None),
            ("FROM alpine:3.20\nRUN apk add git\n", None),
            ("FROM debian:12.9\nRUN apt-get install git\n", Some(&["/var/lib/apt/lists"])),
        ];
        for (text, expected) in cases {
            let expected = expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(folders(text), expected, "{text}");
        }
    }

    #[test]
    fn only_what_fetches_packages_downloads() {
        let cases = [
            ("npm ci", true),
            ("pip install x", true),
            ("pip uninstall x", false),
            ("npm run build", false),
            ("cargo build", true),
            ("rustup target add x", false),
            ("go vet", false),
            ("mvn package", true),
            ("apk add x", false),
            ("apt-get update", true),
            ("npm cache clean", false),
        ];
        for (command, expected) in cases {
            let step = ecosystem::recognise(&crate::shell::parse(command).commands[0]).unwrap();
            assert_eq!(downloads(&step), expected, "{command}");
        }
    }
}
