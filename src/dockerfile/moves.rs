//! Moves of instructions that are proven not to change what the build produces.
//!
//! Two instructions may change places if neither reads what the other writes and both do not write
//! the same place (Bernstein's conditions, [`Effects::conflicts`]). A move of one instruction is a
//! row of such swaps. [`Move`] has a private field and is made here only: whoever holds one has the
//! proof.

use super::plan::Plan;
use super::{Kind, clean_source, is_glob, line_start};
use crate::edit::{Edit, EditSet, Span};
use crate::effects::{Conflict, Place};
use crate::facts;
use crate::shell::Join;
use crate::volatility::Volatility;
use std::collections::BTreeMap;

/// A reordering that is proven to leave the image's files and configuration as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move(EditSet);

impl Move {
    /// The edits that do it.
    pub fn into_edits(self) -> EditSet {
        self.0
    }

    /// Both moves at once, if they touch different places of the file.
    pub fn and(self, other: Move) -> Option<Move> {
        if self.0.collides(&other.0) {
            return None;
        }
        EditSet::new(self.0.iter().chain(other.0.iter()).cloned().collect()).ok().map(Move)
    }
}

/// Why a move is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What stands in the way, in the Dockerfile.
    pub span: Span,
    /// The file of the build context that stands in the way, by its absolute path, and where in it.
    pub file: Option<(String, Span)>,
    /// Said of it: "this writes …", "`package.json` runs …".
    pub reason: String,
}

impl Refusal {
    /// A refusal because of something in the Dockerfile.
    pub fn at(span: Span, reason: impl Into<String>) -> Refusal {
        Refusal { span, file: None, reason: reason.into() }
    }
}

impl Plan<'_> {
    fn refusal(&self, index: usize, reason: impl Into<String>) -> Refusal {
        Refusal::at(self.steps[index].instruction.span, reason)
    }

    /// Why the step's effects are not known, if that is so, at the place that says it.
    fn opaque(&self, index: usize) -> Option<Refusal> {
        let step = &self.steps[index];
        let obstacle = step.obstacle.as_ref()?;
        let mut res = self.refusal(index, obstacle.reason.clone());
        match (&obstacle.file, &step.instruction.kind) {
            (Some(path), _) => {
                let folder = self.context.folder.as_deref();
                let source = self.provider(path, index).map(|it| it.1);
                res.file = folder.zip(source).map(|(folder, source)| (facts::join(folder, &source), obstacle.at.unwrap_or_default()));
            }
            (None, Kind::Run(run)) => res.span = obstacle.at.map_or(res.span, |it| run.command.span(it)),
            (None, _) => {}
        }
        Some(res)
    }

    fn conflict(&self, index: usize, conflict: &Conflict) -> Refusal {
        self.opaque(index).unwrap_or_else(|| self.refusal(index, format!("this {conflict}")))
    }

    /// Moves the instruction `run` above the copy `copy`, together with the instructions between
    /// them that it cannot do without, and copies first the files that it needs from the copies it
    /// moves across.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn hoist(&self, source: &str, run: usize, copy: usize) -> Result<Move, Refusal> {
        self.arrange(source, run, copy).map(Move)
    }

    /// The same move where it cannot be proven, as a suggestion: it rests on what most often holds.
    /// `None` if something else stands in the way.
    pub fn suggest_hoist(&self, source: &str, run: usize, copy: usize) -> Option<EditSet> {
        self.usual().arrange(source, run, copy).ok()
    }

    fn arrange(&self, source: &str, run: usize, copy: usize) -> Result<EditSet, Refusal> {
        if let Some(refusal) = self.opaque(run) {
            return Err(refusal);
        }
        self.check_stages(copy, run)?;
        // From the last to the first.
        let mut group = vec![run];
        let mut carried: BTreeMap<usize, Vec<Carried>> = BTreeMap::new();
        for index in (copy..run).rev() {
            match self.cross(index, &group)? {
                Crossing::Free => {}
                // A copy of nothing but what is needed moves as it is written.
                Crossing::Carry(files) if index != copy && self.brings_only(index, &files) => group.push(index),
                Crossing::Carry(files) => {
                    for (member, file) in files {
                        carried.entry(member).or_default().push(file);
                    }
                }
                Crossing::Join(refusal) if index == copy => return Err(refusal),
                // Nothing is won by moving what changes as often as the copy that is crossed.
                Crossing::Join(refusal) if !self.may_join(index) => return Err(refusal),
                Crossing::Join(_) => group.push(index),
            }
        }
        group.reverse();
        self.write_hoist(source, copy, &group, &carried)
    }

    /// Whether an instruction may move along with one that depends on it.
    fn may_join(&self, index: usize) -> bool {
        let step = &self.steps[index];
        match &step.instruction.kind {
            Kind::Copy(_) => self.own_volatility(step) < Volatility::Often,
            Kind::Onbuild | Kind::Unknown => false,
            _ => step.obstacle.is_none(),
        }
    }

    /// Whether the copy `index` brings these files and nothing else, all of them plain files.
    fn brings_only(&self, index: usize, files: &[(usize, Carried)]) -> bool {
        // `COPY a /b` where `/b` is needed as a file: then it brings that file.
        let is_needed = |place: &Place| match place {
            Place::File(path) | Place::Tree { root: path, .. } => files.iter().any(|(_, it)| it.path == *path),
            _ => false,
        };
        self.may_join(index) && self.steps[index].effects.writes.iter().all(is_needed)
    }

    /// Instructions of several stages are one chain only if nobody else starts from, or looks
    /// into, the stages that the move changes.
    fn check_stages(&self, first: usize, last: usize) -> Result<(), Refusal> {
        let stages: Vec<usize> = self.steps[first..=last].iter().map(|it| it.stage).collect();
        let Some((&top, &bottom)) = stages.first().zip(stages.last()) else { return Ok(()) };
        if top == bottom {
            return Ok(());
        }
        for stage in &self.dockerfile.stages {
            let uses: Vec<usize> = self.dockerfile.sources_of(stage).into_iter().filter(|it| (top..bottom).contains(it)).collect();
            let own = stages.contains(&stage.index) && uses.len() == 1;
            if !uses.is_empty() && !own {
                return Err(Refusal::at(stage.from.span, format!("the stage `{}` is used here as well", self.dockerfile.stages[uses[0]].label())));
            }
        }
        let named = self.context.targets.iter().flatten().filter_map(|it| self.dockerfile.stage(it));
        if named.map(|it| it.index).any(|it| (top..bottom).contains(&it)) || self.context.passed.is_none() {
            let from = &self.dockerfile.stages[bottom].from;
            return Err(Refusal::at(from.span, "the stage it starts from may be built by itself"));
        }
        Ok(())
    }

    /// Whether all of `group` (last first) can cross the instruction `index`, which stands before it.
    fn cross(&self, index: usize, group: &[usize]) -> Result<Crossing, Refusal> {
        let crossed = &self.steps[index];
        let mut files = Vec::new();
        for &member in group {
            for conflict in crossed.effects.conflicts(&self.steps[member].effects) {
                match self.carry(index, member, &conflict)? {
                    Some(carried) => files.extend(carried.into_iter().map(|it| (member, it))),
                    None => return Ok(Crossing::Join(self.conflict(index, &conflict))),
                }
            }
        }
        Ok(if files.is_empty() { Crossing::Free } else { Crossing::Carry(files) })
    }

    /// The files that `member` needs from the copy `index`, if that is all there is to `conflict`.
    fn carry(&self, index: usize, member: usize, conflict: &Conflict) -> Result<Option<Vec<Carried>>, Refusal> {
        let step = &self.steps[index];
        let Kind::Copy(copy) = &step.instruction.kind else { return Ok(None) };
        let needs = &self.steps[member].needs;
        let (Conflict::Needs(Place::File(path)) | Conflict::Needs(Place::Tree { root: path, .. })) = conflict else { return Ok(None) };
        if !(needs.files.contains(path) || needs.trees.contains(path)) || copy.from.is_some() {
            return Ok(None);
        }
        let Some(source) = self.source_in(index, path) else {
            // The copy does not bring this file, so that moving across it changes nothing.
            return Ok(if self.lacks(index, path) { Some(Vec::new()) } else { None });
        };
        // An earlier copy may have brought the very same file already.
        if self.provider(path, index).is_some_and(|(_, it)| it == source) {
            return Ok(Some(Vec::new()));
        }
        if copy.link {
            return Err(self.refusal(index, "a linked copy makes the folders above it anew"));
        }
        if source.contains(|c: char| c.is_whitespace() || "*?[]\"'\\$`{},".contains(c)) {
            return Err(self.refusal(index, format!("`{source}` cannot be named in a COPY without quoting")));
        }
        Ok(Some(vec![Carried { copy: index, path: path.clone(), source }]))
    }

    /// Whether the copy surely does not bring `path`.
    fn lacks(&self, index: usize, path: &str) -> bool {
        let Some(destination) = self.destination(index) else { return false };
        let Some(relative) = facts::relative(path, destination) else { return true };
        self.sources(index).iter().all(|source| {
            let inside = facts::join(&format!("/{source}"), relative)[1..].to_owned();
            !is_glob(source) && !source.contains('$') && self.context.file(&inside) == super::context::File::Absent
        })
    }

    fn write_hoist(&self, source: &str, copy: usize, group: &[usize], carried: &BTreeMap<usize, Vec<Carried>>) -> Result<EditSet, Refusal> {
        let first = self.steps[copy].instruction;
        let mut writer = Writer::new(source, first.owned.start);
        let mut brought: Vec<&str> = Vec::new();
        for &member in group {
            let files: Vec<&Carried> = carried.get(&member).into_iter().flatten().filter(|it| !brought.contains(&it.path.as_str())).collect();
            brought.extend(files.iter().map(|it| it.path.as_str()));
            let needs = &self.steps[member].needs;
            let ordered = needs.files.iter().chain(&needs.trees).filter_map(|path| files.iter().find(|it| it.path == *path)).copied();
            let lines = self.steps[member].instruction.owned;
            writer.keep_gap(lines);
            for line in self.copies(ordered)? {
                writer.add(&line);
            }
            writer.take(lines);
        }
        writer.finish().ok_or_else(|| self.refusal(copy, "the lines of the two instructions overlap"))
    }

    /// COPY instructions that bring the files, one for each folder.
    fn copies<'c>(&self, files: impl Iterator<Item = &'c Carried>) -> Result<Vec<String>, Refusal> {
        let mut folders: Vec<(usize, String, Vec<String>)> = Vec::new();
        for file in files {
            let step = &self.steps[file.copy];
            let (Kind::Copy(copy), Some(whole)) = (&step.instruction.kind, self.destination(file.copy)) else { continue };
            let relative = facts::relative(&file.path, whole).unwrap_or("");
            let folder = relative.rsplit_once('/').map_or("", |it| it.0);
            let written = &copy.destination.text;
            let target = match (folder, written.as_str()) {
                // `COPY a /b`: the destination is the file itself.
                ("", it) if file.path == whole => it.to_owned(),
                ("", ".") => "./".to_owned(),
                ("", it) if it.ends_with('/') => it.to_owned(),
                ("", it) => format!("{it}/"),
                (folder, ".") => format!("{folder}/"),
                (folder, it) => format!("{}/{folder}/", it.trim_end_matches('/')),
            };
            let source = name_like(copy.sources.first().map_or("", |it| &it.text), &file.source);
            match folders.iter_mut().find(|(index, it, _)| *index == file.copy && *it == target) {
                Some((.., sources)) => sources.push(source),
                None => folders.push((file.copy, target, vec![source])),
            }
        }
        let mut lines = Vec::new();
        for (index, target, sources) in folders {
            if target.contains(char::is_whitespace) {
                return Err(self.refusal(index, "its destination cannot be named without quoting"));
            }
            let flags = self.steps[index].instruction.flags.iter().filter(|it| matches!(it.name.as_str(), "chown" | "chmod"));
            let flags: String = flags.map(|it| format!("--{}={} ", it.name, it.value.as_ref().map_or("", |it| &it.text))).collect();
            let keyword = if self.steps[index].instruction.keyword_is_lower { "copy" } else { "COPY" };
            lines.push(format!("{keyword} {flags}{} {target}", sources.join(" ")));
        }
        Ok(lines)
    }

    /// Moves the instruction `moved` down to directly above `below`, together with those between
    /// them that depend on it.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn sink(&self, source: &str, moved: usize, below: usize) -> Result<Move, Refusal> {
        self.sink_all(source, moved, &[], below)
    }

    /// The same for several instructions of one stage: `moved`, and `others` below it.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn sink_all(&self, source: &str, moved: usize, others: &[usize], below: usize) -> Result<Move, Refusal> {
        let mut group = vec![moved];
        for index in moved + 1..below {
            if others.contains(&index) {
                group.push(index);
                continue;
            }
            let step = &self.steps[index];
            let conflict = group.iter().find_map(|it| self.steps[*it].effects.conflicts(&step.effects).into_iter().next());
            let Some(conflict) = conflict else { continue };
            let joins = matches!(step.instruction.kind, Kind::Env(_) | Kind::Label(_) | Kind::Arg(_) | Kind::Config { .. });
            if !joins || step.stage != self.steps[moved].stage {
                return Err(self.opaque(index).unwrap_or_else(|| self.refusal(index, format!("this {}", said_of_later(&conflict)))));
            }
            group.push(index);
        }
        let end = self.steps.get(below).filter(|it| it.stage == self.steps[moved].stage);
        let place = match end {
            Some(step) => step.instruction.owned.start,
            None => self.steps[below - 1].instruction.lines.end,
        };
        let mut writer = Writer::new(source, place);
        for member in group {
            let lines = self.steps[member].instruction.owned;
            writer.keep_gap(lines);
            writer.take(lines);
        }
        writer.finish().map(Move).ok_or_else(|| self.refusal(moved, "the lines of the two instructions overlap"))
    }

    /// Joins the shell-form RUN `later` to the RUN `earlier` above it: `earlier && later`. What
    /// stands between the two is crossed by the later one.
    ///
    /// # Errors
    /// What keeps the two from being one command (docs/facts.md B.4), or stands in the way.
    pub fn merge(&self, source: &str, earlier: usize, later: usize) -> Result<Move, Refusal> {
        let (first, second) = (&self.steps[earlier], &self.steps[later]);
        if first.stage != second.stage {
            return Err(self.refusal(later, "the two are in different stages"));
        }
        for crossed in earlier + 1..later {
            if let Some(conflict) = self.steps[crossed].effects.conflicts(&second.effects).first() {
                return Err(self.conflict(crossed, conflict));
            }
        }
        for index in [earlier, later] {
            let step = &self.steps[index];
            let Kind::Run(run) = &step.instruction.kind else { return Err(self.refusal(index, "this is no RUN")) };
            let plain = run.shell_form && !run.heredoc && !run.special && run.mounts.is_empty() && step.instruction.flags.is_empty();
            // A `#` would turn what is joined into a comment; `||` would bind differently.
            // Behind `;` the failure of what is joined before it would go unseen.
            let simple = run.script.opaque.is_none()
                && !run.command.text.contains('#')
                && !run.command.text.trim_end().ends_with([';', '&', '\\'])
                && run.script.commands.iter().all(|it| {
                    it.joined != Join::Or
                        && (index == earlier || it.joined != Join::Then)
                        && !it.words.is_empty()
                        && !matches!(
                            it.words[0].text.as_str(),
                            "cd" | "pushd" | "set" | "trap" | "umask" | "export" | "alias" | "exec" | "exit" | "." | "source" | "eval" | "unset" | "shopt"
                        )
                });
            if !plain || !simple || step.state.foreign_shell || starts_with_heredoc(run, source) {
                return Err(self.refusal(index, "this is not a plain list of commands"));
            }
        }
        let Kind::Run(run) = &second.instruction.kind else { return Err(self.refusal(later, "this is no RUN")) };
        let body = run.command.span(Span::new(0, run.command.text.len()));
        // Comments between the two instructions would end up inside one, so that there must be none.
        if second.instruction.owned.start != second.instruction.lines.start {
            return Err(self.refusal(later, "a comment stands between the two"));
        }
        let escape = self.dockerfile.escape;
        let ending = line_ending(source, first.instruction.lines.start);
        let joint = format!(" && {escape}{ending}    ");
        let edits = if later == earlier + 1 {
            // From the end of the first command to the first word of the second.
            vec![Edit::replace(Span::new(first.instruction.span.end, body.start), joint)]
        } else {
            let hole = Writer::new(source, 0).hole(second.instruction.lines);
            vec![Edit::insert(first.instruction.span.end, joint + body.of(source)), Edit::delete(hole)]
        };
        EditSet::new(edits).map(Move).map_err(|_| self.refusal(later, "the lines of the two instructions overlap"))
    }

    /// Takes away the ARG `index`, whose one variable no later command can read: not in the planned
    /// stage, nor in those that start from it.
    ///
    /// # Errors
    /// A command that may read the variable, or what would be lost besides.
    pub fn drop_argument(&self, source: &str, index: usize) -> Result<Move, Refusal> {
        let instruction = self.steps[index].instruction;
        let Kind::Arg(variables) = &instruction.kind else { return Err(self.refusal(index, "this is no ARG")) };
        if variables.len() != 1 {
            return Err(self.refusal(index, "this declares other arguments as well"));
        }
        if instruction.owned.start != instruction.lines.start {
            return Err(self.refusal(index, "a comment belongs to this"));
        }
        self.check_unread(index)?;
        for stage in &self.dockerfile.stages {
            if stage.index == self.stage || !self.dockerfile.chain(stage.index).iter().any(|(_, it)| std::ptr::eq(*it, instruction)) {
                continue;
            }
            let below = Plan::new(self.dockerfile, self.context.clone(), stage.index);
            if let Some(same) = below.steps.iter().position(|it| std::ptr::eq(it.instruction, instruction)) {
                below.check_unread(same)?;
            }
        }
        let hole = Writer::new(source, 0).hole(instruction.lines);
        EditSet::new(vec![Edit::delete(hole)]).map(Move).map_err(|_| self.refusal(index, "the lines overlap"))
    }

    /// Whether no later step can read what the step `index` writes.
    fn check_unread(&self, index: usize) -> Result<(), Refusal> {
        let written = &self.steps[index].effects;
        let conflicts = (index + 1..self.steps.len()).find_map(|later| Some((later, written.conflicts(&self.steps[later].effects).into_iter().next()?)));
        match conflicts {
            Some((later, conflict)) => Err(self.opaque(later).unwrap_or_else(|| self.refusal(later, format!("this {}", said_of_later(&conflict))))),
            None => Ok(()),
        }
    }
}

fn starts_with_heredoc(run: &super::Run, source: &str) -> bool {
    // The command of a heredoc is its body, which does not follow on the keyword's line.
    let start = run.command.offset(0);
    source.get(line_start(source, start)..start).is_none_or(|it| it.trim().is_empty())
}

fn said_of_later(conflict: &Conflict) -> String {
    match conflict {
        Conflict::Needs(place) => format!("may read {place}"),
        Conflict::Spoils(place) => format!("writes {place}, which the moved instruction reads"),
        Conflict::Races(place) => format!("writes {place} as well"),
    }
}

/// What crossing an instruction takes.
enum Crossing {
    /// Nothing.
    Free,
    /// Files have to be copied first: who needs which.
    Carry(Vec<(usize, Carried)>),
    /// It has to come along, or stands in the way.
    Join(Refusal),
}

/// A file that is copied before the copy that would bring it.
struct Carried {
    /// The copy that would bring it.
    copy: usize,
    /// Its path in the image.
    path: String,
    /// Its path in the context.
    source: String,
}

/// Names a file of the context the way the source it comes from is named: `./app` makes
/// `./app/requirements.txt`.
fn name_like(like: &str, source: &str) -> String {
    if like.starts_with("./") && !clean_source(like).is_empty() {
        format!("./{source}")
    } else if like.starts_with('/') && !clean_source(like).is_empty() {
        format!("/{source}")
    } else {
        source.to_owned()
    }
}

/// The line ending in use at `offset`.
pub(super) fn line_ending(source: &str, offset: usize) -> &'static str {
    let line = source.get(offset..).or(Some(source)).and_then(|it| it.find('\n').map(|end| &it[..end]));
    match line.or_else(|| source.find('\n').map(|end| &source[..end])) {
        Some(line) if line.ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// Takes lines away and puts them, and new ones, at one place.
pub(super) struct Writer<'a> {
    source: &'a str,
    place: usize,
    ending: &'static str,
    inserted: String,
    /// What is taken away, in the order of the source, blank lines between included.
    taken: Vec<Span>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(source: &'a str, place: usize) -> Writer<'a> {
        Writer { source, place, ending: line_ending(source, place), inserted: String::new(), taken: Vec::new() }
    }

    pub(super) fn add(&mut self, line: &str) {
        self.inserted.push_str(line);
        self.inserted.push_str(self.ending);
    }

    /// Whether nothing but blank lines stands between what was taken last and `lines`.
    fn follows_on(&self, lines: Span) -> bool {
        self.taken.last().and_then(|it| self.source.get(it.end..lines.start)).is_some_and(|it| it.trim().is_empty())
    }

    /// Blank lines between instructions that move together go along.
    fn keep_gap(&mut self, lines: Span) {
        if self.follows_on(lines)
            && let Some(last) = self.taken.last_mut()
        {
            self.inserted.push_str(&self.source[last.end..lines.start]);
            last.end = lines.start;
        }
    }

    /// Moves whole lines.
    fn take(&mut self, lines: Span) {
        let text = lines.of(self.source);
        self.inserted.push_str(text);
        if !text.ends_with('\n') {
            self.inserted.push_str(self.ending);
        }
        match self.taken.last_mut() {
            Some(last) if last.end == lines.start => last.end = lines.end,
            _ => self.taken.push(lines),
        }
    }

    /// What to delete so that `lines` leave no blank line too many.
    pub(super) fn hole(&self, lines: Span) -> Span {
        let mut hole = lines;
        let (before, rest) = (&self.source[..lines.start], &self.source[lines.end..]);
        let up_to_line_before = before.strip_suffix("\r\n").or_else(|| before.strip_suffix('\n')).unwrap_or(before).len();
        if !lines.of(self.source).ends_with('\n') {
            // The last line of a file without a final line ending: the line before it becomes the last.
            hole.start = up_to_line_before;
            return hole;
        }
        // Of two blank lines that would meet, one goes.
        let blank_before = before.is_empty() || before.ends_with("\n\n") || before.ends_with("\n\r\n");
        match rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            Some(after) if blank_before => hole.end = self.source.len() - after.len(),
            None if blank_before && rest.is_empty() => hole.start = up_to_line_before,
            _ => {}
        }
        hole
    }

    /// What was added, without what is taken away.
    pub(super) fn inserted(self) -> Option<Edit> {
        (!self.inserted.is_empty()).then(|| Edit::insert(self.place, self.inserted))
    }

    fn finish(mut self) -> Option<EditSet> {
        let mut inserted = std::mem::take(&mut self.inserted);
        if self.place == self.source.len() && !self.source.ends_with('\n') && !self.source.is_empty() {
            // Behind a last line without line ending.
            inserted.truncate(inserted.len() - self.ending.len());
            inserted.insert_str(0, self.ending);
        }
        let holes = self.taken.iter().map(|it| Edit::delete(self.hole(*it)));
        EditSet::new(std::iter::once(Edit::insert(self.place, inserted)).chain(holes).collect()).ok()
    }
}
