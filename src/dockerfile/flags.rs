//! Edits of the flags of copies that are proven not to change what the build produces.
//!
//! [`FlagEdit`] has a private field and is made here only, as [`super::moves::Move`] is there:
//! whoever holds one has the proof.
//!
//! - `COPY x /d` and `RUN chown -R u:g /d` make what `COPY --chown=u:g x /d` makes, if nothing
//!   else is in `/d` (docs/facts.md B.7, first row). Both set the owner of links themselves. That `chown`
//!   takes set-user-ID bits away is left aside: no repository holds such a bit.
//! - `COPY --link x /d` makes what `COPY x /d` makes, if no folder above `/d` is anything but a
//!   folder of root with mode 0755, or is not there (docs/facts.md B.7, third row).

use super::moves::{Refusal, Writer};
use super::plan::{Plan, Step};
use super::{Copy, Kind, Run};
use crate::ecosystem::{self, APPLICATION_FOLDERS, Manager};
use crate::edit::{Edit, EditSet, Span};
use crate::effects::Place;
use crate::facts;
use crate::shell::{Command, Word};

/// An edit of flags that is proven to leave the image's files and configuration as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagEdit(EditSet);

impl FlagEdit {
    /// The edits that do it.
    pub fn into_edits(self) -> EditSet {
        self.0
    }
}

/// A `chown -R` that is all a RUN does.
struct Chown<'a> {
    run: &'a Run,
    owner: &'a str,
    folder: String,
    /// The word `-R`.
    flag: Span,
}

/// Programs that make users and groups: they write to `/etc`, `/home` and `/var`, and to what
/// their words name.
const USER_TOOLS: &[&str] = &["useradd", "adduser", "groupadd", "addgroup", "usermod", "groupmod"];

/// Folders that are there, with root as owner, in every image whose working directory is known.
const PARENTS: &[&str] = &["/", "/srv"];

impl Plan<'_> {
    /// Gives the copies that the RUN `run` changes the owner of that owner themselves, and takes the
    /// RUN away. A folder that was there before keeps a `chown` of its own, above the copies.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn own_copies(&self, source: &str, run: usize) -> Result<FlagEdit, Refusal> {
        let chown = self.chown(run)?;
        if !chown.owner.split_once(':').is_some_and(|(user, group)| is_owner(user) && is_owner(group)) {
            return Err(self.refused(run, "`chown` leaves the group as it is, and `--chown` would not"));
        }
        self.check_base(run, &chown.folder)?;
        let (copies, made) = self.content(run, &chown.folder)?;
        let Some(&first) = copies.first() else { return Err(self.refused(run, "no copy brings these files")) };
        self.check_between(first, run)?;
        if !made && !PARENTS.contains(&facts::parent(&chown.folder)) {
            return Err(self.refused(first, "this may make the folder above, whose owner would change too"));
        }
        if !is_root(&self.steps[first]) || !is_root(&self.steps[run]) {
            return Err(self.refused(run, "it may run as another user than root"));
        }
        self.write_owner(source, run, &chown, &copies, made).map(FlagEdit)
    }

    /// The same edit where it cannot be proven, as a suggestion; `None` where something is sure to
    /// stand in the way.
    pub fn suggest_owner(&self, source: &str, run: usize) -> Option<EditSet> {
        let chown = self.chown(run).ok()?;
        let brings = |step: &Step<'_>| step.effects.writes.iter().any(|it| is_tree_below(it, &chown.folder));
        let own = (0..run).filter(|it| self.steps[*it].stage == self.steps[run].stage && brings(&self.steps[*it]));
        let copies: Vec<usize> = own.filter(|it| self.plain_copy(*it).is_some()).collect();
        self.check_between(*copies.first()?, run).ok()?;
        let made = self.steps[..*copies.first()?].iter().any(|it| it.state.directory.as_deref() == Some(&chown.folder))
            || self.steps[*copies.first()?].state.directory.as_deref() == Some(&chown.folder);
        self.write_owner(source, run, &chown, &copies, made).ok()
    }

    fn refused(&self, index: usize, reason: impl Into<String>) -> Refusal {
        Refusal::at(self.steps[index].instruction.span, reason)
    }

    fn chown(&self, index: usize) -> Result<Chown<'_>, Refusal> {
        let step = &self.steps[index];
        let refusal = || self.refused(index, "this does more than change the owner of one folder");
        let Kind::Run(run) = &step.instruction.kind else { return Err(refusal()) };
        let plain = run.shell_form && !run.heredoc && step.instruction.flags.is_empty() && !step.state.foreign_shell && run.script.is_plain();
        let [command] = &run.script.commands[..] else { return Err(refusal()) };
        let words: Option<Vec<&str>> = command.words.iter().map(Word::literal).collect();
        let only = command.assignments.is_empty() && command.redirects.is_empty();
        match words.as_deref() {
            Some(["chown", "-R" | "--recursive", owner, folder]) if plain && only => {
                let folder = step.state.path(folder, self.dockerfile.escape).ok_or_else(refusal)?;
                Ok(Chown { run, owner, folder, flag: command.words[1].span })
            }
            _ => Err(refusal()),
        }
    }

    /// Whether the base image is known, and known to have nothing there.
    fn check_base(&self, run: usize, folder: &str) -> Result<(), Refusal> {
        let base = self.steps.first().and_then(|it| it.state.directory.as_deref());
        let is_own = |base: &str| base != "/" && (facts::is_below(base, folder) || facts::is_below(folder, base));
        let usual = APPLICATION_FOLDERS.contains(&folder) || (PARENTS.contains(&facts::parent(folder)) && !folder.starts_with("/docker-entrypoint"));
        let empty = base.is_some_and(|it| !is_own(it)) && usual && ecosystem::application_root(folder) == Some(folder);
        if empty { Ok(()) } else { Err(self.refused(run, format!("the base image may have files in `{folder}`"))) }
    }

    /// The copies that bring all there is in `folder`, and whether a WORKDIR made the folder before.
    fn content(&self, run: usize, folder: &str) -> Result<(Vec<usize>, bool), Refusal> {
        let mut copies = Vec::new();
        let mut made = false;
        let place = Place::tree(folder);
        for (index, step) in self.steps[..run].iter().enumerate() {
            let touches = step.effects.writes.iter().any(|it| it.touches(&place));
            match &step.instruction.kind {
                Kind::Workdir(path) => match step.state.path(path, self.dockerfile.escape) {
                    Some(path) if path == folder => made |= copies.is_empty(),
                    // A folder above is made as it is made in any case.
                    Some(path) if !facts::is_below(&path, folder) => {}
                    _ => return Err(self.refused(index, format!("this makes a folder below `{folder}`"))),
                },
                Kind::Copy(_) if touches => match self.plain_copy(index) {
                    Some(destination) if facts::is_below(destination, folder) && step.stage == self.steps[run].stage => copies.push(index),
                    _ => return Err(self.refused(index, "this brings files whose owner is not known")),
                },
                Kind::Run(it) if touches && !self.spares(index, it, folder) => return Err(self.refused(index, format!("this may write to `{folder}`"))),
                Kind::Run(_) | Kind::Copy(_) => {}
                Kind::Env(_) | Kind::Arg(_) | Kind::Label(_) | Kind::User(_) | Kind::Shell(_) | Kind::Config { .. } => {}
                _ => return Err(self.refused(index, format!("this may write to `{folder}`"))),
            }
        }
        Ok((copies, made))
    }

    /// The destination of a copy that takes files of the context and does nothing else to them.
    fn plain_copy(&self, index: usize) -> Option<&str> {
        let Kind::Copy(copy) = &self.steps[index].instruction.kind else { return None };
        let Copy { add: false, from: None, link: false, chown: None, parents: false, heredoc: false, special: false, .. } = copy else { return None };
        self.destination(index)
    }

    /// Whether all commands of a RUN are known to leave `folder` alone.
    fn spares(&self, index: usize, run: &Run, folder: &str) -> bool {
        let plain = run.script.is_plain() && run.shell_form && !run.special && !run.heredoc && !self.steps[index].state.foreign_shell;
        let spared = |command: &Command| {
            let named = command.words.iter().any(|it| it.computed || it.text.contains(folder)) || command.words.iter().any(|it| !it.variables.is_empty());
            // `useradd -b /` makes homes there.
            let above = command.words.iter().any(|it| it.text.starts_with('/') && facts::is_below(folder, &facts::join("/", &it.text)));
            let is_user_tool = !above && command.program().is_some_and(|it| USER_TOOLS.contains(&it));
            let of_system = || {
                ecosystem::recognise(command).is_some_and(|it| {
                    let system = matches!(it.manager, Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper);
                    let elsewhere = |path: &str| path.starts_with('/') && !facts::is_below(path, folder) && !facts::is_below(folder, path);
                    let known = it.unknown.is_empty() && it.paths.iter().all(|it| elsewhere(&it.path));
                    known && (it.manager == Manager::Shell || (system && APPLICATION_FOLDERS.contains(&folder)))
                })
            };
            !named && command.redirects.is_empty() && (is_user_tool || of_system())
        };
        plain && run.script.commands.iter().all(spared)
    }

    /// Whether nothing between the first copy and the RUN can see whose the files are, or says who
    /// the users are.
    fn check_between(&self, first: usize, run: usize) -> Result<(), Refusal> {
        for (index, step) in self.steps.iter().enumerate().take(run).skip(first) {
            let quiet = match &step.instruction.kind {
                Kind::Copy(_) => !step.effects.writes.iter().any(|it| it.touches(&Place::File("/etc/passwd".into()))),
                Kind::Env(_) | Kind::Arg(_) | Kind::Label(_) | Kind::Config { .. } | Kind::User(_) | Kind::Workdir(_) => true,
                _ => false,
            };
            if !quiet || step.stage != self.steps[run].stage {
                return Err(self.refused(index, "this runs before the owner is changed"));
            }
        }
        Ok(())
    }

    fn write_owner(&self, source: &str, run: usize, chown: &Chown<'_>, copies: &[usize], made: bool) -> Result<EditSet, Refusal> {
        let overlap = || self.refused(run, "the lines of the instructions overlap");
        let instruction = self.steps[run].instruction;
        let first = self.steps[*copies.first().ok_or_else(overlap)?].instruction;
        let mut writer = Writer::new(source, first.owned.start);
        let comments = Span::new(instruction.owned.start, instruction.lines.start).of(source);
        if made {
            // The same line without `-R` and the blank behind it.
            let flag = chown.run.command.span(chown.flag);
            let before = Span::new(instruction.lines.start, flag.start).of(source);
            let after = Span::new(flag.end, instruction.lines.end).of(source).strip_prefix(' ').ok_or_else(overlap)?;
            writer.add(format!("{comments}{before}{after}").trim_end_matches(['\r', '\n']));
        } else if !comments.is_empty() {
            writer.add(comments.trim_end_matches(['\r', '\n']));
        }
        let mut edits = vec![Edit::delete(writer.hole(instruction.owned))];
        if let Some(insert) = writer.inserted() {
            edits.push(insert);
        }
        for index in copies {
            let copy = self.steps[*index].instruction;
            edits.push(Edit::insert(copy.span.start + copy.keyword.len(), format!(" --chown={}", chown.owner)));
        }
        EditSet::new(edits).map_err(|_| overlap())
    }

    /// Makes a copy a linked one, whose layer does not depend on those below.
    ///
    /// # Errors
    /// The first thing that may make another image of it.
    pub fn link_copy(&self, index: usize) -> Result<FlagEdit, Refusal> {
        let step = &self.steps[index];
        let refused = |reason: &str| Err(self.refused(index, reason));
        let Kind::Copy(copy) = &step.instruction.kind else { return refused("this is no copy") };
        if copy.link || copy.special || step.instruction.flags.iter().any(|it| it.name == "chmod") {
            return refused("`--chmod` turns `--link` off");
        }
        if copy.chown.as_deref().is_some_and(|it| it != "root" && !it.bytes().all(|it| it.is_ascii_digit() || it == b':')) {
            return refused("a linked copy cannot look up a name");
        }
        let Some(destination) = self.destination(index).filter(|it| ecosystem::application_root(it).is_some()) else {
            return refused("the folder belongs to the system, and may be a link");
        };
        let root = ecosystem::application_root(destination).unwrap_or(destination);
        self.check_base(index, root)?;
        if !PARENTS.contains(&facts::parent(root)) {
            return refused("the folder above may not be one of root's");
        }
        // `COPY f /d` makes a file of that name where nothing is, and one in the folder where it is.
        let into_folder = matches!(copy.destination.text.as_str(), "" | ".") || copy.destination.text.ends_with('/') || copy.sources.len() > 1;
        let is_made = |it: &Step<'_>| it.state.directory.as_deref().is_some_and(|it| facts::is_below(it, destination));
        if !into_folder && self.steps[..=index].iter().any(is_made) {
            return refused("the destination is a folder already, which a linked copy does not see");
        }
        for (earlier, it) in self.steps[..index].iter().enumerate() {
            let touches = it.effects.writes.iter().any(|it| it.touches(&Place::tree(root)));
            let harmless = match &it.instruction.kind {
                Kind::Workdir(_) => is_root(it),
                Kind::Run(run) => self.spares(earlier, run, root),
                _ => false,
            };
            if touches && !harmless {
                return Err(self.refused(earlier, format!("this may change the folders above `{destination}`")));
            }
        }
        let at = step.instruction.span.start + step.instruction.keyword.len();
        EditSet::new(vec![Edit::insert(at, " --link")]).map(FlagEdit).or_else(|_| refused("the edit does not fit"))
    }
}

fn is_root(step: &Step<'_>) -> bool {
    matches!(step.state.user.as_deref(), Some("root" | "0" | "root:root" | "0:0"))
}

fn is_tree_below(place: &Place, folder: &str) -> bool {
    matches!(place, Place::Tree { root, .. } if facts::is_below(root, folder))
}

/// Whether a user or group can stand in a flag as it is.
fn is_owner(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-')
}
