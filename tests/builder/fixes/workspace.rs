//! Workspaces, the safe fixes in them, and what each fix should be of use for.

use crate::conditions::{Files, ROOT, settle};
use layerwise::check::{self, Outcome};
use layerwise::config::Config;
use layerwise::diagnostic::{Diagnostic, Fix, Level, Safety};
use layerwise::dockerfile::{Dockerfile, Instruction, Kind, clean_source, ignore, is_glob, is_remote};
use layerwise::facts::{self, Text};
use layerwise::file::{File, Kind as FileKind, Model};
use layerwise::snapshot::Host;
use layerwise::view::View;
use std::sync::Arc;

/// A safe fix of a Dockerfile or of its ignore file.
#[derive(Debug, Clone)]
pub struct Case {
    /// The rules that found something, the first one first.
    pub rule: String,
    /// What the fix is called.
    pub title: String,
    /// The workspace as it was found.
    pub before: Files,
    /// The workspace with the fix.
    pub after: Files,
    /// The Dockerfile, by its absolute path.
    pub dockerfile: String,
    /// The folder of the build context.
    pub context: String,
    /// What a build may ask for: `None` is the last stage.
    pub targets: Vec<Option<String>>,
    /// What the finding says that changes often, the likeliest first. Nothing where the fix is no matter of how often a
    /// step runs.
    pub changes: Vec<Change>,
}

/// A change after which the fixed Dockerfile is to run fewer steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Another text in a file of the context.
    File(String),
    /// Another value of a build argument.
    Argument(String),
    /// Another text in place of this one, in the Dockerfile.
    Text(String),
}

/// Parses a Dockerfile.
pub fn parse(text: &str) -> Dockerfile {
    match File::new(FileKind::Dockerfile, text, None).model {
        Model::Dockerfile(it) => (*it).clone(),
        _ => Dockerfile::default(),
    }
}

/// Every safe fix in a workspace by itself, and all of them together.
pub fn cases(files: &Files) -> Vec<Case> {
    let mut host = Host::default();
    host.set_roots([ROOT.to_owned()]);
    for (path, text) in files {
        host.learn_text(path, Text::Known(text.as_str().into()));
    }
    let paths: Vec<Arc<str>> = files.keys().map(|it| it.as_str().into()).filter(|it: &Arc<str>| FileKind::of(it).is_checked()).collect();
    let outcome = settle(&mut host, files, &paths);
    let mut res = Vec::new();
    for diagnostic in &outcome.diagnostics {
        for fix in diagnostic.fixes.iter().filter(|it| it.safety() == Safety::Safe) {
            res.extend(case(&host, files, diagnostic, fix));
        }
    }
    if res.len() > 1 {
        res.extend(together(&mut host, files, &paths, &outcome, &res));
    }
    res
}

fn case(host: &Host, files: &Files, diagnostic: &Diagnostic, fix: &Fix) -> Option<Case> {
    let dockerfile = [&diagnostic.at.path].into_iter().chain(fix.files().iter().map(|it| &it.path)).find(|it| FileKind::of(it) == FileKind::Dockerfile)?;
    let mut after = files.clone();
    for file in fix.files() {
        let text = file.edits.apply(files.get(&*file.path).map_or("", String::as_str));
        after.insert(file.path.to_string(), text);
    }
    make(host, diagnostic.rule, fix.title(), files, after, dockerfile, &diagnostic.at)
}

fn together(host: &mut Host, files: &Files, paths: &[Arc<str>], outcome: &Outcome, single: &[Case]) -> Option<Case> {
    let fixed = check::fix(&mut Host::of(&host.snapshot()), Safety::Safe, Level::Hint, |host| settle(host, files, paths));
    let mut after = files.clone();
    after.extend(fixed.changes.iter().map(|it| (it.path.to_string(), it.after.to_string())));
    let first = &single[0];
    // What is the work of one fix alone is judged already.
    if single.iter().any(|it| it.after == after) || single.iter().any(|it| it.dockerfile != first.dockerfile) {
        return None;
    }
    let mut rules: Vec<&str> = single.iter().map(|it| it.rule.as_str()).collect();
    rules.dedup();
    let at = &outcome.diagnostics.iter().find(|it| it.rule == first.rule)?.at;
    make(host, &rules.join(" + "), "all safe fixes", files, after, &first.dockerfile, at)
}

fn make(host: &Host, rule: &str, title: &str, files: &Files, after: Files, path: &str, at: &layerwise::diagnostic::FileSpan) -> Option<Case> {
    let snapshot = host.snapshot();
    let Some(View::Dockerfile(view)) = View::new(&snapshot, path, &Config::default()) else { return None };
    let context = view.context().folder.clone().unwrap_or_else(|| facts::parent(path).to_owned());
    let mut targets = view.context().targets.clone();
    if targets.is_empty() {
        targets.push(None);
    }
    // Who knows no build must expect that a stage is asked for by name.
    if view.context().passed.is_none() {
        let last = view.dockerfile.reachable(None);
        targets.extend(view.dockerfile.stages.iter().filter(|it| !last.contains(&it.index)).filter_map(|it| it.name.clone()).map(Some));
    }
    let culprit = if *at.path == *path { instruction_at(view.dockerfile, at.span.start) } else { None };
    let mut case = Case {
        rule: rule.to_owned(),
        title: title.to_owned(),
        before: files.clone(),
        after,
        dockerfile: path.to_owned(),
        context,
        targets,
        changes: Vec::new(),
    };
    let sources = add_sources(&mut case, view.dockerfile);
    case.changes = match culprit.map(|it| (&it.kind, it)) {
        Some((Kind::Copy(copy), it)) if copy.from.is_none() => {
            let edits = case.edits(copy.sources.iter().map(|it| it.text.as_str()), &sources);
            // What an instruction above reads as well runs all below it again, whatever is done about the copy.
            let above = case.roots_above(view.dockerfile, it);
            let is_above = |it: &Change| matches!(it, Change::File(path) if above.iter().any(|root| facts::is_below(path, root)));
            let others: Vec<Change> = edits.iter().filter(|it| !is_above(it)).cloned().collect();
            if others.is_empty() { edits } else { others }
        }
        Some((Kind::Arg(variables), it)) => {
            let variable = variables.iter().find(|it| it.span.end > at.span.start).map_or(it.keyword.clone(), |it| it.name.clone());
            vec![Change::Argument(variable)]
        }
        Some((Kind::Env(variables), _)) => {
            let variable = variables.iter().find(|it| it.span.end > at.span.start)?;
            let value = variable.value.as_deref().unwrap_or_default();
            let argument = value.trim_matches('"').strip_prefix('$').map(|it| it.trim_matches(['{', '}']).to_owned());
            vec![argument.map_or_else(|| Change::Text(variable.span.of(&files[path]).to_owned()), Change::Argument)]
        }
        Some(_) => Vec::new(),
        None => case.newly_ignored(),
    };
    Some(case)
}

fn instruction_at(dockerfile: &Dockerfile, offset: usize) -> Option<&Instruction> {
    let all = dockerfile.globals.iter().chain(dockerfile.instructions().map(|it| it.1));
    all.into_iter().find(|it| it.span.start <= offset && offset <= it.span.end)
}

/// Adds files that no proof can depend on: those that the Dockerfile copies and the workspace lacks, and one more in
/// every folder that it copies. Gives the paths of the latter.
fn add_sources(case: &mut Case, dockerfile: &Dockerfile) -> Vec<String> {
    let mut wanted: Vec<String> = Vec::new();
    for (_, instruction) in dockerfile.instructions() {
        match &instruction.kind {
            Kind::Copy(copy) if copy.from.is_none() => {
                // A heredoc among the sources has no text that is a path.
                wanted.extend(copy.sources.iter().map(|it| it.text.to_string()).filter(|it| !is_remote(it) && !it.starts_with("<<")));
            }
            Kind::Run(run) => wanted.extend(run.mounts.iter().filter(|it| it.binds_context()).map(|it| it.source().unwrap_or_default().to_owned())),
            _ => {}
        }
    }
    let mut made = Vec::new();
    for source in wanted {
        let source = clean_source(&source);
        let path = facts::join(&case.context, &source);
        let is_folder = case.before.keys().any(|it| facts::is_below(it, &path) && *it != path);
        let path = match source.rsplit_once('/').map_or(source.as_str(), |it| it.1) {
            _ if source.contains('$') || case.before.contains_key(&path) => continue,
            name if is_glob(name) => facts::join(facts::parent(&path), &name.replace('*', "made").replace('?', "m")),
            name if !is_folder && !source.is_empty() && (name.contains('.') || name.starts_with(char::is_uppercase)) => path,
            _ => facts::join(&path, "made.txt"),
        };
        for files in [&mut case.before, &mut case.after] {
            files.entry(path.clone()).or_insert_with(|| "made\n".to_owned());
        }
        made.push(path);
    }
    made
}

impl Case {
    /// What instructions above `culprit`, in its own chain of stages, copy or mount from the context.
    fn roots_above(&self, dockerfile: &Dockerfile, culprit: &Instruction) -> Vec<String> {
        let stage = dockerfile.instructions().find(|it| it.1.span == culprit.span).map_or(0, |it| it.0);
        let mut res = Vec::new();
        for (_, instruction) in dockerfile.chain(stage).iter().filter(|it| it.1.span.start < culprit.span.start) {
            match &instruction.kind {
                Kind::Copy(copy) if copy.from.is_none() => res.extend(copy.sources.iter().map(|it| it.text.as_str())),
                Kind::Run(run) => res.extend(run.mounts.iter().filter(|it| it.binds_context()).map(|it| it.source().unwrap_or_default())),
                _ => {}
            }
        }
        res.into_iter().map(|it| facts::join(&self.context, &clean_source(it))).collect()
    }

    /// Edits of files that come from the given sources, and that the fix does not copy by themselves.
    fn edits<'a>(&self, sources: impl Iterator<Item = &'a str>, made: &[String]) -> Vec<Change> {
        let after = parse(&self.after[&self.dockerfile]);
        let mut named: Vec<String> = Vec::new();
        for (_, instruction) in after.instructions() {
            if let Kind::Copy(copy) = &instruction.kind {
                named.extend(copy.sources.iter().map(|it| facts::join(&self.context, &clean_source(&it.text))));
            }
        }
        let roots: Vec<String> = sources.map(|it| facts::join(&self.context, &clean_source(it))).collect();
        let comes = |path: &String| roots.iter().any(|root| facts::is_below(path, root) || (is_glob(root) && facts::parent(path) == facts::parent(root)));
        let is_source = |path: &&String| comes(path) && (roots.contains(path) || !named.contains(path)) && facts::is_below(path, &self.context);
        let others = self.before.keys().filter(|it| !made.contains(it) && **it != self.dockerfile && !it.ends_with(".dockerignore"));
        made.iter().chain(others).filter(is_source).map(|it| Change::File(it.clone())).collect()
    }

    /// Edits of files that only the fixed ignore file leaves out.
    fn newly_ignored(&self) -> Vec<Change> {
        let path = facts::join(&self.context, ".dockerignore");
        let rules = |files: &Files| ignore::parse(files.get(&path).map_or("", String::as_str)).unwrap_or_default();
        let (before, after) = (rules(&self.before), rules(&self.after));
        let new = self.before.keys().filter(|file| facts::relative(file, &self.context).is_some_and(|it| !before.excludes(it) && after.excludes(it)));
        new.map(|it| Change::File(it.clone())).collect()
    }

    /// The paths of the context that the fix itself writes: they differ on purpose.
    pub fn rewritten(&self) -> Vec<String> {
        let changed = self.after.iter().filter(|(path, text)| self.before.get(*path) != Some(text)).map(|it| it.0);
        changed.filter(|it| **it != self.dockerfile).filter_map(|it| facts::relative(it, &self.context)).map(str::to_owned).collect()
    }
}
