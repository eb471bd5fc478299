//! The steps around a build: what they bring into the workspace, and how their inputs are edited.

use super::{StepView, WorkflowView};
use crate::cache::{Backend, CacheEntry};
use crate::edit::{Edit, EditSet, Span};
use crate::facts::{self, Entry, Text};
use crate::links;
use crate::shell::{Command, Word};
use crate::syntax::yaml::change::{self, New};
use crate::syntax::yaml::{Kind, Node};
use crate::value::{Part, Value};
use crate::volatility::Variance;
use crate::workflow::{Action, Builder, Event, Run, Step, Variable};

impl WorkflowView<'_> {
    /// Whether it only ever runs in this repository: GitHub runs what lies at the root, and what is
    /// called from elsewhere runs there.
    pub fn runs_here_only(&self) -> bool {
        self.is_at_root() && self.workflow.trigger(&Event::WorkflowCall).is_none()
    }

    /// Whether it lies at the root of its repository, where alone GitHub looks for what it runs.
    pub fn is_at_root(&self) -> bool {
        links::base(&self.path) == self.snapshot.root(&self.path)
    }

    /// Whether nothing that git tracks stands at `path`; `None` where that is not known (yet): what
    /// is behind a link or in a submodule is not.
    pub fn is_untracked(&self, path: &str) -> Option<bool> {
        let root = self.snapshot.root(&self.path);
        let tree = self.snapshot.facts.tree(root)?;
        let relative = facts::relative(path, root).filter(|it| !it.is_empty())?;
        let steps: Vec<&str> = relative.match_indices('/').map(|(at, _)| &relative[..at]).collect();
        let is_closed = |it: &&str| matches!(tree.entries.get(*it), Some(Entry::Link | Entry::Unlisted));
        if !tree.exists || tree.truncated || steps.iter().any(is_closed) {
            return None;
        }
        let in_module = match self.snapshot.text(&facts::join(root, ".gitmodules"))? {
            Text::Known(text) => submodules(&text).any(|it| relative == it || relative.strip_prefix(it).is_some_and(|it| it.starts_with('/'))),
            Text::Unreadable => true,
            Text::Missing => false,
        };
        if in_module { None } else { Some(!tree.entries.contains_key(relative)) }
    }

    /// Gives an input of a step a value: one that is there gets another, else it is added. `None`
    /// where that cannot be done exactly.
    pub fn set_input(&self, step: &Step, name: &str, value: &str) -> Option<Edit> {
        let node = self.node_of(step)?;
        let Some(with) = node.get("with").filter(|it| it.kind != Kind::Null) else {
            return change::insert_entry(&self.source, self.yaml, node, "with", New::Mapping(&[(name, value)]));
        };
        match with.entry(name).filter(|it| it.value.kind != Kind::Null) {
            Some(entry) => change::replace_text(&self.source, self.yaml, &entry.value, value),
            None => change::insert_entry(&self.source, self.yaml, with, name, New::Text(value)),
        }
    }

    /// Takes an input of a step away.
    pub fn remove_input(&self, step: &Step, name: &str) -> Option<EditSet> {
        let with = self.node_of(step)?.get("with")?;
        let edit = change::delete_entry(&self.source, self.yaml, with, with.entry(name)?)?;
        EditSet::new(vec![edit]).ok()
    }

    /// A value as it is written, without the expressions whose variance is not wanted, and without
    /// the separators that led to them.
    pub fn without(&self, value: &Value, unwanted: impl Fn(&Variance) -> bool) -> String {
        const SEPARATORS: &[char] = &['-', '_', '.'];
        let mut res = String::new();
        let mut cut = false;
        for part in &value.parts {
            match part {
                Part::Expression { known: None, variance, .. } if unwanted(variance) => {
                    res.truncate(res.trim_end_matches(SEPARATORS).len());
                    cut = true;
                }
                Part::Text(text) => {
                    let at_start = cut && (res.is_empty() || res.ends_with([':', '/']));
                    res.push_str(if at_start { text.trim_start_matches(SEPARATORS) } else { text });
                    cut = false;
                }
                Part::Expression { span, .. } => {
                    res.push_str(span.of(&self.source));
                    cut = false;
                }
            }
        }
        res
    }

    fn node_of(&self, step: &Step) -> Option<&Node> {
        let root = self.yaml.root().filter(|_| !step.shared)?;
        node_at(root, step.span)
    }
}

/// The folders of submodules, from the text of `.gitmodules`.
fn submodules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|it| it.trim().strip_prefix("path")).filter_map(|it| it.trim_start().strip_prefix('=')).map(str::trim)
}

fn node_at(root: &Node, span: Span) -> Option<&Node> {
    let mut node = root;
    while node.span != span {
        node = match &node.kind {
            Kind::Mapping(mapping) => &mapping.entries.iter().find(|it| it.value.span.contains(span))?.value,
            Kind::Sequence(sequence) => sequence.items.iter().find(|it| it.span.contains(span))?,
            _ => return None,
        };
    }
    Some(node)
}

impl StepView<'_> {
    /// The step that builds.
    pub fn own_step(&self) -> Option<&Step> {
        self.job.steps.get(self.step.step)
    }

    /// The steps before it.
    pub fn steps_before(&self) -> &[Step] {
        self.job.before(self.step.step)
    }

    /// Whether a step has chosen Docker's own builder for it, which can export no cache but the inline one: on
    /// purpose, as images that are built there are at hand for the next build.
    pub fn is_kept_in_docker(&self) -> bool {
        let chooses = |it: &Step| it.runs("docker/setup-buildx-action") && it.known("driver").is_some_and(|it| it.trim() == "docker");
        self.builder == Builder::Docker && self.steps_before().iter().any(chooses)
    }

    /// Whether it is built by a script that nothing gives the token for GitHub's cache: Buildx leaves options for that
    /// out then. What an action runs has the token of the action.
    pub fn lacks_token(&self, view: &WorkflowView<'_>) -> bool {
        let Some(own) = self.own_step().filter(|it| it.run.is_some() && it.action.is_none()) else { return false };
        let passes = |it: &[Variable]| it.iter().any(|it| it.name.starts_with("ACTIONS_"));
        let by_script = |it: &Step| it.run.as_ref().is_some_and(|it| it.passage.text().contains("ACTIONS_"));
        let exposes = |it: &Step| {
            it.exposes_runtime() || by_script(it) || it.action.as_ref().is_some_and(|it| it.is_local() || it.name.to_ascii_lowercase().contains("runtime"))
        };
        let has_token = passes(&view.workflow.env) || passes(&self.job.env) || passes(&own.env) || by_script(own) || self.steps_before().iter().any(exposes);
        !has_token
    }

    /// Whether a step before it may have put another commit or another repository in the place of
    /// this one.
    pub fn may_have_other_sources(&self) -> bool {
        let given = |step: &Step, name: &str| step.input(name).is_some_and(|it| !it.value.is_blank() && !it.value.pattern().starts_with("${{ github."));
        let is_other = |it: &&Step| it.is_checkout() && (!it.runs("actions/checkout") || given(it, "ref") || given(it, "repository"));
        let own_script = self.own_step().is_some_and(|it| it.run.is_some() && it.is_checkout());
        own_script || self.steps_before().iter().any(|it| is_other(&it))
    }

    /// The steps of the job that keep one of the folders in which its layers are from one run to the
    /// next (`actions/cache`).
    pub fn keepers(&self) -> Vec<&Step> {
        let entries = self.build.imports.iter().chain(&self.build.exports).filter(|it| it.backend == Backend::Local && !it.opaque);
        let folders: Vec<String> = entries.filter_map(CacheEntry::folder).collect();
        let keeps = |step: &&Step| {
            let paths = step.lines("path").into_iter().map(|it| it.passage.value().pattern());
            step.is_folder_cache() && paths.into_iter().any(|path| folders.iter().any(|it| is_within(it, &path)))
        };
        self.job.steps.iter().filter(keeps).collect()
    }

    /// Whether its own script or another step of the job may take a folder elsewhere: a command does, another
    /// step names it, or it is not known what that does.
    pub fn may_move(&self, folder: &str) -> bool {
        let names = |it: &Step| names_in_script(it, folder) || names_in_input(it, folder) || it.action.as_ref().is_some_and(Action::is_local);
        // The own step names it as the place of the export.
        self.job.steps.iter().filter_map(|it| it.run.as_ref()).any(|it| moves(it, folder)) || self.other_steps().any(names)
    }

    /// Whether another step of the job, other than those that save and restore folders, has to do
    /// with a folder: its text names it, or it is not known what it does.
    pub fn is_touched(&self, folder: &str) -> bool {
        self.other_steps().filter(|it| !it.is_folder_cache()).any(|step| {
            let is = |what: &dyn Fn(&Action) -> bool| step.action.as_ref().is_some_and(what);
            names_in_script(step, folder) || (names_in_input(step, folder) && !is(&|it| it.is_build() || it.is_bake())) || is(&Action::is_local)
        })
    }

    /// The steps of the job other than its own.
    fn other_steps(&self) -> impl Iterator<Item = &Step> {
        let own = self.step.step;
        self.job.steps.iter().enumerate().filter(move |(index, _)| *index != own).map(|it| it.1)
    }
}

fn names_in_script(step: &Step, text: &str) -> bool {
    step.run.as_ref().is_some_and(|it| it.passage.value().pattern().contains(text))
}

fn names_in_input(step: &Step, text: &str) -> bool {
    step.inputs.iter().any(|it| it.value.pattern().contains(text))
}

/// Programs that take what is in one folder to another.
const MOVERS: &[&str] = &["mv", "cp", "rsync", "ln", "tar"];

/// Whether a command of a script takes a folder elsewhere, what it lies in, or a part of it; what a variable of
/// the shell stands for may be that.
fn moves(run: &Run, folder: &str) -> bool {
    let is_folder = |it: &Word| {
        let path = run.passage.slice(it.span).value().pattern();
        let path = path.trim_matches(['"', '\'']).trim_end_matches('*');
        !it.variables.is_empty() || it.computed || path.contains(folder) || is_within(folder, path.trim_end_matches("/."))
    };
    let commands = run.script.commands.iter().filter_map(Command::invocation);
    let mut movers = commands.filter(|it| it.program().is_some_and(|it| MOVERS.contains(&it)));
    movers.any(|it| it.arguments().iter().any(is_folder))
}

/// Whether a folder is `path` or lies in it, both as they are written.
fn is_within(folder: &str, path: &str) -> bool {
    let even = |it: &str| it.trim().trim_start_matches("./").trim_end_matches('/').to_owned();
    let (folder, path) = (even(folder), even(path));
    folder.strip_prefix(path.as_str()).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}
