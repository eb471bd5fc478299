//! Edits of cache mounts that are proven to leave the image alone.
//!
//! What a RUN writes below a cache mount never gets into the image, and what stood there is hidden
//! from it (docs/facts.md A.3, RUN). So a mount may be added where nothing but regenerable downloads is
//! lost by it (class E1 of docs/facts.md B.2), and nobody needs what it hides. [`MountEdit`] has private
//! fields and is made here only: whoever holds one has the proof.

use super::caches::{CacheFolder, CacheMount, Keeps, downloads, is_own_build};
use super::moves::Refusal;
use super::plan::Plan;
use super::{Base, Instruction, Kind, Run};
use crate::ecosystem::{self, Action, Manager, quiet};
use crate::edit::{Edit, EditSet, Span};
use crate::facts;
use crate::shell::{Command, Join, Word};
use crate::syntax::dockerfile::MountField;

/// An edit of cache mounts, and of flags and cleanups that work against them, that leaves the
/// image's files and configuration as they are, but for downloads that can be fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEdit {
    edits: EditSet,
    differs: Vec<String>,
}

impl MountEdit {
    /// The edits that do it.
    pub fn into_edits(self) -> EditSet {
        self.edits
    }

    /// Folders of downloads whose content in the image is another then; empty if the image stays the
    /// same.
    pub fn differs(&self) -> &[String] {
        &self.differs
    }
}

/// Something in a RUN that keeps a cache mount from being of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Where it stands in the Dockerfile.
    pub span: Span,
    /// As it is written: `--no-cache-dir`, `rm -rf /root/.npm`.
    pub text: String,
    /// What it does.
    pub does: Hinders,
    /// Which of the folders that are mounted it works against: the number of the first.
    pub target: usize,
    command: usize,
    /// The words to take away; all of the command if there are none.
    words: Vec<usize>,
    /// Why it cannot be taken away.
    obstacle: Option<&'static str>,
}

/// How a cache mount is kept from being of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hinders {
    /// A flag turns the cache off.
    Unused,
    /// A command empties it.
    Emptied,
}

/// Parts of the paths of caches by which a mount shows whose it is.
const TAILS: &[(Manager, &[&str])] = &[
    (Manager::Apt, &["var/cache/apt", "var/lib/apt"]),
    (Manager::Apk, &["var/cache/apk", "etc/apk/cache"]),
    (Manager::Dnf, &["var/cache/dnf", "var/cache/libdnf5", "var/cache/yum", "var/cache/tdnf"]),
    (Manager::Zypper, &["var/cache/zypp"]),
    (Manager::Npm, &[".npm"]),
    (Manager::Yarn, &[".cache/yarn", ".yarn", "yarn/cache"]),
    (Manager::Pnpm, &["pnpm/store", ".pnpm-store", "pnpm"]),
    (Manager::Bun, &[".bun/install/cache"]),
    (Manager::Pip, &[".cache/pip"]),
    (Manager::Uv, &[".cache/uv"]),
    (Manager::Poetry, &[".cache/pypoetry"]),
    (Manager::Pipenv, &[".cache/pipenv"]),
    (Manager::Composer, &[".composer", "composer/cache", ".cache/composer"]),
    (Manager::Go, &["go/pkg/mod", ".cache/go-build"]),
    (Manager::Cargo, &["cargo/registry", ".cargo/registry", "cargo/git", ".cargo/git"]),
    (Manager::Maven, &[".m2"]),
    (Manager::Gradle, &[".gradle/caches", ".gradle/wrapper", ".gradle"]),
    (Manager::Dotnet, &[".nuget"]),
];

/// Whether a mount at `path` is meant to be the cache of a manager, by its path alone.
pub fn is_cache_of(manager: Manager, path: &str) -> bool {
    let tails = TAILS.iter().filter(|(it, _)| *it == manager).flat_map(|it| it.1);
    let whole = format!("{path}/");
    tails.clone().any(|it| whole.contains(&format!("/{it}/"))) || (path.ends_with("/.cache") && tails.clone().any(|it| it.starts_with(".cache/")))
}

/// More instructions than those of any real file are not searched for who reads a cache.
const MAX_READERS: usize = 5000;

impl Plan<'_> {
    /// Gives the RUN `index` cache mounts at these folders, and takes away what would work against
    /// them.
    ///
    /// # Errors
    /// What stands in the way, or keeps it from being proven.
    pub fn mount_caches(&self, source: &str, index: usize, folders: &[CacheFolder]) -> Result<MountEdit, Refusal> {
        self.check_need(index, folders)?;
        self.check_commands(index, folders)?;
        let (edits, differs) = self.add_mounts(source, index, folders)?;
        Ok(MountEdit { edits, differs })
    }

    /// The same edit where some command is not known, as a suggestion; `None` where it would take
    /// something away that is needed.
    pub fn suggest_mounts(&self, source: &str, index: usize, folders: &[CacheFolder]) -> Option<EditSet> {
        self.check_need(index, folders).ok()?;
        self.add_mounts(source, index, folders).ok().map(|it| it.0)
    }

    fn add_mounts(&self, source: &str, index: usize, folders: &[CacheFolder]) -> Result<(EditSet, Vec<String>), Refusal> {
        let run = self.run_of(index)?;
        let account = self.account(index);
        let owner = match account {
            Some(account) if account.root => String::new(),
            None if folders.iter().all(|it| it.keeps == Keeps::Index) => String::new(),
            Some(account) => match (account.uid, account.gid) {
                (Some(uid), gid) => format!(",uid={uid},gid={}", gid.unwrap_or(uid)),
                (None, _) => return Err(self.refuse(index, format!("the number of the user `{}` is not known", account.name))),
            },
            None => return Err(self.refuse(index, "the user is not known: the base image decides")),
        };
        let flag = |it: &CacheFolder| {
            let sharing = if it.locked { ",sharing=locked" } else { "" };
            format!(" --mount=type=cache,target={}{sharing}{owner}", it.path)
        };
        let mut edits = vec![Edit::insert(self.behind_keyword(index), folders.iter().map(flag).collect::<String>())];
        let paths: Vec<&str> = folders.iter().map(|it| it.path.as_str()).collect();
        let hindrances = self.hindrances(index, run, &paths);
        edits.extend(self.without(source, index, run, &hindrances)?);
        let edits = EditSet::new(edits).map_err(|_| self.refuse(index, "two of the edits meet"))?;
        Ok((edits, self.lost(index, run, folders, &hindrances)))
    }

    /// The folders whose content was in the image, and is not with a mount.
    fn lost(&self, index: usize, run: &Run, folders: &[CacheFolder], hindrances: &[Hindrance]) -> Vec<String> {
        let unused = |folder: &CacheFolder| {
            let mut users = self.steps[index].downloading().filter(|it| self.cache_folders(index, it).is_some_and(|it| it.contains(folder)));
            let is_off = |step: &ecosystem::Step| {
                let command = run.script.commands.iter().position(|it| it.span == step.span);
                hindrances.iter().any(|it| it.does == Hinders::Unused && Some(it.command) == command)
            };
            users.all(is_off)
        };
        folders.iter().filter(|it| !unused(it)).map(|it| it.path.clone()).collect()
    }

    /// Takes away what keeps the cache mounts of the RUN `index` from being of use.
    ///
    /// # Errors
    /// What cannot be taken away.
    pub fn spare_caches(&self, source: &str, index: usize) -> Result<MountEdit, Refusal> {
        let run = self.run_of(index)?;
        let targets: Vec<String> = self.cache_mounts(index, run).into_iter().filter_map(|it| it.target).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let edits = self.without(source, index, run, &self.hindrances(index, run, &targets))?;
        EditSet::new(edits).map(|edits| MountEdit { edits, differs: Vec::new() }).map_err(|_| self.refuse(index, "two of the edits meet"))
    }

    /// Locks these mounts of the RUN `index`, so that one build at a time writes to them. The content
    /// of a cache mount is no part of the image, nor is who waits for it.
    ///
    /// # Errors
    /// Where a mount cannot be written to as it stands.
    pub fn lock_mounts(&self, source: &str, index: usize, mounts: &[CacheMount<'_>]) -> Result<MountEdit, Refusal> {
        let edits: Result<Vec<Edit>, Refusal> = mounts.iter().map(|it| self.set_field(source, index, it, "sharing", "locked")).collect();
        EditSet::new(edits?).map(|edits| MountEdit { edits, differs: Vec::new() }).map_err(|_| self.refuse(index, "two of the edits meet"))
    }

    /// Gives these mounts to the user that runs the RUN `index`. A cache that it could not write to
    /// was of no use, and a cache is no part of the image.
    ///
    /// # Errors
    /// Where the number of the user is not known, or a mount cannot be written to as it stands.
    pub fn own_mounts(&self, source: &str, index: usize, mounts: &[CacheMount<'_>]) -> Result<MountEdit, Refusal> {
        let edits = self.owner_edits(source, index, mounts)?;
        EditSet::new(edits).map(|edits| MountEdit { edits, differs: Vec::new() }).map_err(|_| self.refuse(index, "two of the edits meet"))
    }

    fn owner_edits(&self, source: &str, index: usize, mounts: &[CacheMount<'_>]) -> Result<Vec<Edit>, Refusal> {
        let account = self.account(index).ok_or_else(|| self.refuse(index, "the user is not known"))?;
        let Some(uid) = account.uid else { return Err(self.refuse(index, format!("the number of the user `{}` is not known", account.name))) };
        let gid = account.gid.unwrap_or(uid);
        let mut edits = Vec::new();
        for mount in mounts {
            edits.push(self.add_field(source, index, mount, &format!(",uid={uid},gid={gid}"))?);
        }
        Ok(edits)
    }

    /// Puts a mount of the RUN `index` where its manager keeps its downloads, and gives it to the
    /// user that needs it.
    ///
    /// # Errors
    /// What stands in the way, or keeps it from being proven.
    pub fn move_mount(&self, source: &str, index: usize, mount: &CacheMount<'_>, folder: &CacheFolder) -> Result<MountEdit, Refusal> {
        let folders = [folder.clone()];
        let run = self.run_of(index)?;
        self.check_need(index, &folders)?;
        self.check_commands(index, &folders)?;
        let target = mount.mount.target_value().ok_or_else(|| self.refuse(index, "the mount has no target"))?;
        let mut edits = vec![Edit::replace(target.span(Span::new(0, target.text.len())), folder.path.clone())];
        if self.account(index).is_some_and(|it| !it.root) && mount.mount.get("uid").is_none() {
            edits.extend(self.owner_edits(source, index, std::slice::from_ref(mount))?);
        }
        let hindrances = self.hindrances(index, run, &[&folder.path]);
        edits.extend(self.without(source, index, run, &hindrances)?);
        let differs = self.lost(index, run, &folders, &hindrances);
        EditSet::new(edits).map(|edits| MountEdit { edits, differs }).map_err(|_| self.refuse(index, "two of the edits meet"))
    }

    /// Gives a mount of the RUN `index` an id of its own for each architecture. The cache of one
    /// build is no part of the image, but must stay the same for all that use it.
    ///
    /// # Errors
    /// Where `TARGETARCH` is not in scope, or the mount is not the only one of its id.
    pub fn separate_mount(&self, source: &str, index: usize, mount: &CacheMount<'_>) -> Result<MountEdit, Refusal> {
        if !self.steps[index].state.variables.contains_key("TARGETARCH") {
            return Err(self.refuse(index, "`TARGETARCH` is not declared here"));
        }
        let edit = self.separation(source, index, mount)?;
        EditSet::new(vec![edit]).map(|edits| MountEdit { edits, differs: Vec::new() }).map_err(|_| self.refuse(index, "two of the edits meet"))
    }

    /// The same where `TARGETARCH` has to be declared first, which commands may read.
    pub fn suggest_separation(&self, source: &str, index: usize, mount: &CacheMount<'_>) -> Option<EditSet> {
        let edit = self.separation(source, index, mount).ok()?;
        let lines = self.steps[index].instruction.owned;
        let keyword = if self.steps[index].instruction.keyword_is_lower { "arg" } else { "ARG" };
        let declared = Edit::insert(lines.start, format!("{keyword} TARGETARCH{}", super::moves::line_ending(source, lines.start)));
        EditSet::new(vec![declared, edit]).ok()
    }

    fn separation(&self, source: &str, index: usize, mount: &CacheMount<'_>) -> Result<Edit, Refusal> {
        let id = cache_id(mount);
        let is_same = |it: &super::Mount| it.kind() == "cache" && it.get("id").or(it.target()).is_some_and(|it| it == id || facts::join("/", it) == id);
        let runs = self.dockerfile.instructions().filter_map(|(_, it)| match &it.kind {
            Kind::Run(run) => Some(&run.mounts),
            _ => None,
        });
        if runs.flatten().filter(|it| is_same(it)).count() > 1 {
            return Err(self.refuse(index, format!("the cache `{id}` is used elsewhere as well")));
        }
        let name = match mount.mount.get("id") {
            Some(id) => id.to_owned(),
            None => id.trim_matches('/').replace('/', "-"),
        };
        self.set_field(source, index, mount, "id", &format!("{name}-$TARGETARCH"))
    }

    fn run_of(&self, index: usize) -> Result<&Run, Refusal> {
        match &self.steps[index].instruction.kind {
            Kind::Run(run) if run.special => Err(self.refuse(index, "this uses a flag that is not followed")),
            Kind::Run(_) if self.steps[index].state.foreign_shell => Err(self.refuse(index, "this goes to a shell that is not known")),
            Kind::Run(run) => Ok(run),
            _ => Err(self.refuse(index, "this is no RUN")),
        }
    }

    fn refuse(&self, index: usize, reason: impl Into<String>) -> Refusal {
        Refusal::at(self.steps[index].instruction.span, reason)
    }

    fn behind_keyword(&self, index: usize) -> usize {
        let instruction = self.steps[index].instruction;
        instruction.span.start + instruction.keyword.len()
    }

    /// Whether nobody needs what is in the image at these folders, or would be: neither this command
    /// nor a later one, in this stage or in those that use it.
    fn check_need(&self, index: usize, folders: &[CacheFolder]) -> Result<(), Refusal> {
        let run = self.run_of(index)?;
        if let Some(command) = run.script.commands.iter().find(|it| it.words.iter().any(|it| is_offline(&it.text))) {
            return Err(Refusal::at(run.command.span(command.span), "this may need what is in the image already"));
        }
        for folder in folders {
            self.check_hidden(index, folder)?;
        }
        // A cleanup at the end says that nobody needs it.
        let paths: Vec<&str> = folders.iter().map(|it| it.path.as_str()).collect();
        let emptied = self.hindrances(index, run, &paths);
        let is_emptied = |folder: &CacheFolder| {
            folder.keeps == Keeps::Index && emptied.iter().any(|it| it.does == Hinders::Emptied && it.obstacle.is_none() && self.hits(index, it, &folder.path))
        };
        let kept: Vec<&CacheFolder> = folders.iter().filter(|it| !is_emptied(it)).collect();
        self.check_readers(index, &kept)
    }

    fn hits(&self, index: usize, hindrance: &Hindrance, folder: &str) -> bool {
        let Kind::Run(run) = &self.steps[index].instruction.kind else { return false };
        let Some(command) = run.script.commands.get(hindrance.command) else { return false };
        let by_apt = run.reading.steps.iter().any(|it| it.span == command.span && it.manager == Manager::Apt && removes_index(it));
        by_apt || command.words.iter().any(|it| self.word_path(index, it).is_some_and(|it| facts::is_below(&it.0, folder)))
    }

    /// Whether a mount at the folder hides something that an earlier instruction put there to be used.
    fn check_hidden(&self, index: usize, folder: &CacheFolder) -> Result<(), Refusal> {
        for earlier in 0..index {
            let step = &self.steps[earlier];
            match &step.instruction.kind {
                Kind::Copy(_) if self.destination(earlier).is_none_or(|it| meet(it, &folder.path) && it != "/") => {
                    return Err(self.refuse(earlier, format!("this may copy files to `{}`, which a mount hides", folder.path)));
                }
                Kind::Run(run) if folder.keeps == Keeps::Packages && self.shares_manager(index, run) => {
                    return Err(self.refuse(earlier, format!("this leaves packages in `{}`, which a mount hides", folder.path)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn shares_manager(&self, index: usize, other: &Run) -> bool {
        self.steps[index].downloading().any(|it| other.reading.steps.iter().any(|other| other.manager == it.manager && other.action != Action::Other))
    }

    /// Whether no later instruction takes from the image what would be in the mount.
    fn check_readers(&self, index: usize, folders: &[&CacheFolder]) -> Result<(), Refusal> {
        if folders.is_empty() {
            return Ok(());
        }
        let stage = self.steps[index].stage;
        let own = self.steps[index].instruction.span;
        let mut looked_at = 0;
        for other in &self.dockerfile.stages {
            let goes_on = self.starts_from(other.index, stage);
            for instruction in &other.instructions {
                if instruction.span.start <= own.start {
                    continue;
                }
                looked_at += 1;
                if looked_at > MAX_READERS {
                    return Err(Refusal::at(instruction.span, "the file is too long to be searched for who reads the cache"));
                }
                let reason = self.copies_from(instruction, stage, folders).or_else(|| if goes_on { self.reads_of(index, instruction, folders) } else { None });
                if let Some(reason) = reason {
                    return Err(Refusal::at(instruction.span, reason));
                }
            }
        }
        Ok(())
    }

    /// Whether the stage `later` is, or starts from, the stage `base`.
    fn starts_from(&self, later: usize, base: usize) -> bool {
        let mut stage = later;
        loop {
            if stage == base {
                return true;
            }
            match self.dockerfile.stages[stage].base {
                // Lowering only refers to earlier stages, so that this ends.
                Base::Stage(next) => stage = next,
                _ => return false,
            }
        }
    }

    /// What a COPY or a mount takes from a stage with the cache in it, if it is the cache.
    fn copies_from(&self, instruction: &Instruction, stage: usize, folders: &[&CacheFolder]) -> Option<String> {
        let of_stage = |name: &str| self.dockerfile.stage(name).is_some_and(|it| self.starts_from(it.index, stage));
        let takes = |source: &str| {
            let fixed = source.split(['*', '?', '[']).next().unwrap_or("");
            let path = facts::join("/", fixed);
            let taken = folders.iter().find(|it| source.contains('$') || meet(&path, &it.path))?;
            Some(format!("this takes `{source}` from the stage, with what is in `{}`", taken.path))
        };
        match &instruction.kind {
            Kind::Copy(copy) if copy.from.as_deref().is_some_and(of_stage) => copy.sources.iter().find_map(|it| takes(&it.text)),
            Kind::Run(run) => {
                let mounts = run.mounts.iter().filter(|it| it.get("from").is_some_and(of_stage));
                mounts.map(|it| it.source().unwrap_or("/")).find_map(takes)
            }
            _ => None,
        }
    }

    /// Why a later instruction of the same chain may need what is in the folders.
    fn reads_of(&self, index: usize, instruction: &Instruction, folders: &[&CacheFolder]) -> Option<String> {
        let Kind::Run(run) = &instruction.kind else { return None };
        let no_network = instruction.flags.iter().any(|it| it.name == "network" && it.value.as_ref().is_some_and(|it| it.text == "none"));
        let steps = &run.reading.steps;
        let is_known = run.shell_form && unknown_command(run).is_none();
        for folder in folders {
            let reason = match folder.keeps {
                Keeps::Packages if self.shares_manager(index, run) => format!("this takes the packages from `{}`", folder.path),
                Keeps::Packages | Keeps::Index if !is_known => format!("this may read `{}`", folder.path),
                Keeps::Index if relies_on_index(steps) => format!("this relies on the index in `{}`", folder.path),
                _ if no_network && !is_known => format!("this has no network, and may read `{}`", folder.path),
                _ if self.names(index, run, &folder.path) => format!("this names `{}`", folder.path),
                _ if run.script.commands.iter().any(|it| it.words.iter().any(|it| is_offline(&it.text))) => "this may install from what is cached".to_owned(),
                _ => continue,
            };
            return Some(reason);
        }
        None
    }

    /// Whether a command other than a cleanup names the folder, or one above it.
    fn names(&self, index: usize, run: &Run, folder: &str) -> bool {
        let is_cleanup = |it: &Command| it.program() == Some("rm") || run.reading.steps.iter().any(|step| step.span == it.span && step.action == Action::Clean);
        let commands = run.script.commands.iter().filter(|it| !is_cleanup(it));
        // The name of a program is no path.
        let is_named = |it: &Command| it.words.first().is_some_and(|it| !it.text.contains('/'));
        let words = commands.flat_map(|it| it.words.iter().skip(usize::from(is_named(it))).chain(it.redirects.iter().map(|it| &it.target)));
        // A word without folders can only be one of those on the way; most words are none.
        let may_meet = |it: &&Word| it.glob || it.text.contains(['/', '~', '$', '.']) || folder.split('/').any(|part| part == it.text);
        words.filter(may_meet).filter_map(|it| self.word_path(index, it)).any(|it| meet(&it.0, folder) && it.0 != "/")
    }

    /// Whether all commands of the RUN are known not to mind the mounts.
    fn check_commands(&self, index: usize, folders: &[CacheFolder]) -> Result<(), Refusal> {
        let run = self.run_of(index)?;
        if !run.shell_form {
            return Err(self.refuse(index, "this is no list of commands"));
        }
        if let Some((span, what)) = unknown_command(run) {
            return Err(Refusal::at(run.command.span(span), what));
        }
        match folders.iter().find(|it| self.names(index, run, &it.path)) {
            Some(folder) => Err(self.refuse(index, format!("this names `{}`", folder.path))),
            None => Ok(()),
        }
    }

    /// The path that a word names, and whether it stands for what is in that folder and not for the
    /// folder itself; `None` where it names none that is known.
    fn word_path(&self, index: usize, word: &Word) -> Option<(String, bool)> {
        let text = word.text.as_str();
        if word.computed || text.starts_with('-') {
            return None;
        }
        let below_home = text.strip_prefix("~/").or_else(|| text.strip_prefix("$HOME/")).or_else(|| text.strip_prefix("${HOME}/"));
        let text = match below_home {
            Some(rest) => facts::join(&self.account(index)?.home?, rest),
            None if word.variables.is_empty() => text.to_owned(),
            None => return None,
        };
        let fixed = text.split(['*', '?', '[', '{']).next().unwrap_or("");
        let folder = if fixed.len() == text.len() { fixed } else { &fixed[..fixed.rfind('/').map_or(0, |it| it + 1)] };
        let start = self.steps[index].state.directory.as_deref();
        let path = if folder.starts_with('/') { facts::join("/", folder) } else { facts::join(start?, folder) };
        Some((path, fixed.len() < text.len()))
    }

    /// What in the RUN keeps mounts at `targets` from being of use (docs/facts.md B.9).
    pub fn hindrances(&self, index: usize, run: &Run, targets: &[&str]) -> Vec<Hindrance> {
        let mut res = Vec::new();
        for (number, command) in run.script.commands.iter().enumerate() {
            let step = run.reading.steps.iter().find(|it| it.span == command.span);
            if command.program() == Some("rm") {
                res.extend(self.removal(index, run, number, command, targets));
            } else if let Some(step) = step {
                res.extend(self.emptying(index, run, number, step, targets));
                res.extend(self.disabling(index, run, number, command, step, targets));
            }
        }
        res
    }

    /// `rm` of what is in a mount.
    fn removal(&self, index: usize, run: &Run, number: usize, command: &Command, targets: &[&str]) -> Option<Hindrance> {
        let mut inside = Vec::new();
        let mut beyond = false;
        let mut paths = 0;
        let mut target = None;
        for (at, word) in command.words.iter().enumerate().skip(1).filter(|(_, it)| !it.text.starts_with('-')) {
            paths += 1;
            let Some((path, _)) = self.word_path(index, word) else { continue };
            if let Some(mounted) = targets.iter().position(|it| facts::is_below(&path, it)) {
                inside.push(at);
                target = target.or(Some(mounted));
            } else if let Some(mounted) = targets.iter().position(|it| path != "/" && facts::is_below(it, &path)) {
                beyond = true;
                target = target.or(Some(mounted));
            }
        }
        let target = target?;
        Some(Hindrance {
            span: run.command.span(command.span),
            text: command.span.of(&run.command.text).to_owned(),
            does: Hinders::Emptied,
            target,
            command: number,
            words: if inside.len() == paths { Vec::new() } else { inside },
            obstacle: beyond.then_some("this removes more than the cache"),
        })
    }

    /// A command of the manager that empties its cache.
    fn emptying(&self, index: usize, run: &Run, number: usize, step: &ecosystem::Step, targets: &[&str]) -> Option<Hindrance> {
        let is_store_prune = step.manager == Manager::Pnpm && step.display.starts_with("pnpm store prune");
        // Without `--ci`, uv removes what nothing uses.
        let keeps_the_rest = step.display.starts_with("uv cache prune") && !self.words(index, step).any(|it| it.text == "--ci");
        if keeps_the_rest || (step.action != Action::Clean && !is_store_prune) {
            return None;
        }
        let hits = |target: &str| match step.manager {
            // `clean` leaves the index alone.
            Manager::Apt if !removes_index(step) => is_cache_of(Manager::Apt, target) && !target.starts_with("/var/lib"),
            Manager::Go => {
                let flagged = |flag: &str| self.words(index, step).any(|it| it.text == flag);
                (flagged("-modcache") && target.contains("pkg/mod")) || (flagged("-cache") && target.contains("go-build"))
            }
            Manager::Cargo => target.ends_with("/target"),
            Manager::Shell => false,
            _ => self.is_where_it_keeps(index, step, target),
        };
        let target = targets.iter().position(|it| hits(it))?;
        Some(Hindrance {
            span: run.command.span(step.span),
            text: step.span.of(&run.command.text).to_owned(),
            does: Hinders::Emptied,
            target,
            command: number,
            words: Vec::new(),
            obstacle: None,
        })
    }

    /// A flag that turns the cache off.
    fn disabling(&self, index: usize, run: &Run, number: usize, command: &Command, step: &ecosystem::Step, targets: &[&str]) -> Option<Hindrance> {
        // To others, a flag of that name means another cache: NuGet's is one of answers of servers.
        let by_flag = matches!(step.manager, Manager::Pip | Manager::Pipenv | Manager::Uv | Manager::Poetry | Manager::Apk | Manager::Composer | Manager::Bun);
        if !step.no_cache || !by_flag {
            return None;
        }
        let target = targets.iter().position(|it| self.is_where_it_keeps(index, step, it))?;
        let flag =
            command.words.iter().position(|it| matches!(it.text.as_str(), "--no-cache-dir" | "--no-cache") || (it.text == "-n" && step.manager == Manager::Uv));
        let span = flag.map_or(command.span, |it| command.words[it].span);
        Some(Hindrance {
            span: run.command.span(span),
            text: span.of(&run.command.text).to_owned(),
            does: Hinders::Unused,
            target,
            command: number,
            words: flag.into_iter().collect(),
            obstacle: if flag.is_none() { Some("the flag stands in one with others") } else { None },
        })
    }

    /// Whether a mount at `target` has the cache of a manager: where it keeps it, or, if that is not known, where one
    /// usually is. Without the flag or the cleanup, a cache that is elsewhere would be in the image.
    fn is_where_it_keeps(&self, index: usize, step: &ecosystem::Step, target: &str) -> bool {
        match self.cache_folders(index, step) {
            Some(folders) => folders.iter().any(|it| meet(&it.path, target)),
            None => is_cache_of(step.manager, target),
        }
    }

    /// The edits that take hindrances away.
    fn without(&self, source: &str, index: usize, run: &Run, hindrances: &[Hindrance]) -> Result<Vec<Edit>, Refusal> {
        let mut edits = Vec::new();
        for hindrance in hindrances {
            let refuse = |reason: &str| Refusal::at(hindrance.span, reason);
            if let Some(obstacle) = hindrance.obstacle {
                return Err(refuse(obstacle));
            }
            if !run.shell_form {
                return Err(refuse("this is no list of commands"));
            }
            let gone: Vec<usize> = hindrances.iter().filter(|it| it.words.is_empty()).map(|it| it.command).collect();
            let spans = match hindrance.words.as_slice() {
                [] => vec![whole_command(run, hindrance.command, &gone).map_err(refuse)?],
                words => words.iter().filter_map(|it| word_with_blank(run, hindrance.command, *it)).collect(),
            };
            for span in spans {
                let taken = run.command.span(span);
                if taken.of(source).lines().any(|it| it.trim_start().starts_with('#')) {
                    return Err(refuse("a comment stands beside this"));
                }
                edits.push(Edit::delete(taken));
            }
        }
        if edits.iter().any(|it| it.delete.is_empty()) {
            return Err(self.refuse(index, "the place of a command is not known"));
        }
        Ok(edits)
    }

    /// Sets a field of a mount.
    fn set_field(&self, source: &str, index: usize, mount: &CacheMount<'_>, name: &str, value: &str) -> Result<Edit, Refusal> {
        match mount.mount.fields.iter().rev().find(|it| it.name == name) {
            Some(MountField { value: Some(old), .. }) => Ok(Edit::replace(old.span(Span::new(0, old.text.len())), value)),
            Some(_) => Err(self.refuse(index, format!("`{name}` has no value"))),
            None => self.add_field(source, index, mount, &format!(",{name}={value}")),
        }
    }

    /// Adds to the last field of a mount.
    fn add_field(&self, source: &str, index: usize, mount: &CacheMount<'_>, text: &str) -> Result<Edit, Refusal> {
        let end = mount.mount.fields.last().map(|it| it.span.end).ok_or_else(|| self.refuse(index, "the mount has no fields"))?;
        // A quoted field ends with its quote.
        if source.get(end..).is_some_and(|it| it.starts_with('"')) && mount.flag.span.end != end + 1 {
            return Err(self.refuse(index, "a field of the mount is quoted"));
        }
        Ok(Edit::insert(end, text))
    }
}

/// The id of a mount: its own, or the path it is mounted at.
pub fn cache_id(mount: &CacheMount<'_>) -> String {
    mount.mount.get("id").map(str::to_owned).or_else(|| mount.target.clone()).unwrap_or_default()
}

/// Whether one of the paths lies at or below the other.
fn meet(one: &str, other: &str) -> bool {
    facts::is_below(one, other) || facts::is_below(other, one)
}

/// Whether a word is a flag by which a manager makes do with what it has.
pub fn is_offline(word: &str) -> bool {
    matches!(word, "--offline" | "--prefer-offline" | "--no-index" | "--find-links" | "-f=~" | "--cacheonly" | "--no-network" | "--no-download")
        || word.starts_with("--find-links=")
        || word == "-Dmaven.repo.local"
        || word.starts_with("-Dmaven.repo.local=")
}

/// Whether a cleanup of apt takes the index away as well.
fn removes_index(step: &ecosystem::Step) -> bool {
    step.display.ends_with("distclean") || step.display.ends_with("dist-clean")
}

fn relies_on_index(steps: &[ecosystem::Step]) -> bool {
    let first = steps.iter().find(|it| it.manager == Manager::Apt && matches!(it.action, Action::InstallSystem | Action::UpdateIndex));
    first.is_some_and(|it| it.action == Action::InstallSystem)
}

/// The first command that may do anything, and what is said of it.
fn unknown_command(run: &Run) -> Option<(Span, String)> {
    if let Some((span, what)) = run.script.opaque.filter(|(_, what)| !matches!(*what, "a condition" | "a loop")) {
        return Some((span, format!("the command has {what}, which is not followed")));
    }
    let is_known = |command: &Command| {
        let step = run.reading.steps.iter().find(|it| it.span == command.span);
        match (step, command.words.first()) {
            (_, None) => true,
            (Some(step), _) => step.action != Action::Build || downloads(step) || is_own_build(step),
            (None, Some(word)) => word.variables.is_empty() && (quiet::is_program(facts::name(&word.text)) || word.text == "export"),
        }
    };
    let unknown = run.script.commands.iter().find(|it| !is_known(it))?;
    let name = unknown.words.first().map_or("", |it| it.text.as_str());
    Some((unknown.span, format!("`{name}` may do anything with the cache")))
}

/// A word and the blank before it, in the text of the RUN.
fn word_with_blank(run: &Run, command: usize, word: usize) -> Option<Span> {
    let words = &run.script.commands.get(command)?.words;
    Some(Span::new(words.get(word.checked_sub(1)?)?.span.end, words.get(word)?.span.end))
}

/// A command with what joins it to the list, in the text of the RUN; `gone` are all commands that
/// go.
fn whole_command(run: &Run, number: usize, gone: &[usize]) -> Result<Span, &'static str> {
    let commands = &run.script.commands;
    let command = &commands[number];
    let strict = commands.first().is_some_and(|it| it.is_inert() && it.words.get(1).is_some_and(|it| it.text.starts_with("-e")));
    let is_simple = |it: &Command| it.depth == 0 && !matches!(it.joined, Join::Or | Join::Pipe);
    let next = commands.get(number + 1);
    if run.script.opaque.is_some() || !is_simple(command) || next.is_some_and(|it| !is_simple(it)) {
        return Err("this is not a plain member of a list of commands");
    }
    // A member that goes must not carry whether the members before it failed.
    let joins = |between: Span| match between.of(&run.command.text).trim() {
        "&&" => true,
        ";" => strict,
        "" => strict && between.of(&run.command.text).contains('\n'),
        _ => false,
    };
    let before = number.checked_sub(1).and_then(|it| commands.get(it));
    match (before, next) {
        (Some(before), _) if before.depth == 0 => {
            let fits = joins(Span::new(before.span.end, command.span.start));
            // With nothing in front of it that stays, the join would lead the list.
            let leads = (0..number).all(|it| gone.contains(&it));
            if fits && !leads { Ok(Span::new(before.span.end, command.span.end)) } else { Err("this cannot be taken out of the list of commands") }
        }
        (None, Some(next)) if joins(Span::new(command.span.end, next.span.start)) => Ok(Span::new(command.span.start, next.span.start)),
        _ => Err("this cannot be taken out of the list of commands"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_show_whose_they_are() {
        for (manager, path, expected) in [
            (Manager::Npm, "/root/.npm", true),
            (Manager::Npm, "/home/node/.npm/_cacache", true),
            (Manager::Npm, "/app/node_modules", false),
            (Manager::Pip, "/root/.cache", true),
            (Manager::Npm, "/root/.cache", false),
            (Manager::Pip, "/root/.cache/pipenv", false),
            (Manager::Go, "/root/go/pkg/mod", true),
            (Manager::Cargo, "/root/.cargo/registry", true),
            (Manager::Cargo, "/usr/local/cargo/git/db", true),
            (Manager::Apt, "/var/lib/apt/lists", true),
            (Manager::Apt, "/var/lib/aptitude", false),
            (Manager::Pnpm, "/pnpm/store", true),
        ] {
            assert_eq!(is_cache_of(manager, path), expected, "{manager:?} {path}");
        }
    }

    /// The list of commands without those of the numbers; `None` where one cannot be taken out.
    fn without(text: &str, gone: &[usize]) -> Option<String> {
        let text = format!("FROM a\nRUN {text}\n");
        let document = crate::text::Document::new(crate::text::Language::Dockerfile, &text);
        let source = crate::syntax::dockerfile::read(&text, document.tree().unwrap());
        let dockerfile = crate::dockerfile::lower(&text, &source);
        let Kind::Run(run) = &dockerfile.stages[0].instructions[0].kind else { return None };
        let spans: Result<Vec<Span>, _> = gone.iter().map(|it| whole_command(run, *it, gone)).collect();
        let edits = spans.ok()?.into_iter().map(|it| Edit::delete(run.command.span(it))).collect();
        let res = EditSet::new(edits).ok()?.apply(&text);
        Some(res["FROM a\nRUN ".len()..].trim_end().to_owned())
    }

    #[test]
    fn members_of_a_list_go_with_what_joins_them() {
        let cases: &[(&str, &[usize], Option<&str>)] = &[
            ("a && b", &[1], Some("a")),
            ("a && b", &[0], Some("b")),
            ("a && b && c", &[1], Some("a && c")),
            ("a && b && c", &[1, 2], Some("a")),
            ("a \\\n    && b \\\n    && c", &[1], Some("a \\\n    && c")),
            ("set -eux; a; b; c", &[2], Some("set -eux; a; c")),
            ("set -eux; a; b;", &[2], Some("set -eux; a;")),
            ("a; b", &[1], None),
            ("a || b", &[1], None),
            ("a && b || c", &[1], None),
            ("a | b", &[1], None),
            ("(a) && b", &[1], None),
            ("(a && b)", &[1], None),
            ("if a; then b; fi", &[1], None),
            ("a", &[0], None),
            ("a && b && c", &[0, 1], None),
            ("<<EOF\nset -e\na\nb\nEOF", &[2], Some("<<EOF\nset -e\na\nEOF")),
            ("<<EOF\na\nb\nEOF", &[1], None),
        ];
        for (text, gone, expected) in cases {
            assert_eq!(without(text, gone).as_deref(), *expected, "{text:?} without {gone:?}");
        }
    }
}
