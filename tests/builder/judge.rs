//! Compares what the model predicts with what the builder did.

use crate::case::{Case, Inputs};
use crate::docker;
use crate::progress::{Place, Step};
use layerwise::dockerfile::key::Keys;
use layerwise::dockerfile::rebuild::{Build, Fate, Outcome, rebuild};
use layerwise::dockerfile::selection::{Files, Node};
use layerwise::dockerfile::{Base, Dockerfile, ignore};
use layerwise::file::{File, Kind, Model};
use std::path::Path;
use std::sync::Arc;

/// How many steps were compared, and how.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Cases whose two builds succeeded.
    pub cases: usize,
    /// Cases that the builder refuses, before or after the change.
    pub refused: usize,
    /// Steps of which the model said that they run, and they did.
    pub ran: usize,
    /// Steps of which the model said that the cache has them, and it had.
    pub cached: usize,
    /// Steps of which the model could not know.
    pub unknown: usize,
    /// Steps that the builder merged with an equal one, which it shows instead.
    pub unseen: usize,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.cases += other.cases;
        self.refused += other.refused;
        self.ran += other.ran;
        self.cached += other.cached;
        self.unknown += other.unknown;
        self.unseen += other.unseen;
    }
}

/// Builds both states of a case in `folder`, and compares.
///
/// # Errors
///
/// The steps that the model was wrong about.
pub fn judge(case: &Case, folder: &Path) -> Result<Tally, String> {
    let predicted = predict(case);
    let write = |inputs: &Inputs, earlier, touch| inputs.write(folder, earlier, touch).map_err(|it| format!("{}: {it}", folder.display()));
    write(&case.before, None, false)?;
    let refused = |message: String| if message.contains("ERROR: failed to build") { Ok(Tally { refused: 1, ..Tally::default() }) } else { Err(message) };
    if let Err(message) = docker::build(folder, &case.before) {
        return refused(message);
    }
    write(&case.after, Some(&case.before), case.touched)?;
    let shown = match docker::build(folder, &case.after) {
        Ok(shown) => shown,
        Err(message) => return refused(message),
    };
    let mut tally = Tally { cases: 1, ..Tally::default() };
    let mut wrong = Vec::new();
    for (place, text, fate) in predicted {
        let shown = shown.get(&place);
        match (shown.map(Step::ran), fate) {
            (None, _) => tally.unseen += 1,
            (_, Fate::Unknown) => tally.unknown += 1,
            (Some(true), Fate::Runs) => tally.ran += 1,
            (Some(false), Fate::Cached) => tally.cached += 1,
            (Some(_), Fate::Runs | Fate::Cached) => {
                wrong.push(format!("[{} {}] {text}: the model says {fate:?}, the builder shows {shown:?}", place.0, place.1))
            }
        }
    }
    if wrong.is_empty() { Ok(tally) } else { Err(format!("{}\n{case}", wrong.join("\n"))) }
}

/// The steps of the second build where the builder shows them, each with its text.
fn predict(case: &Case) -> Vec<(Place, String, Fate)> {
    let after = dockerfile(&case.after);
    let mut counted: Vec<usize> = after.stages.iter().map(|it| usize::from(matches!(it.base, Base::Image(_)))).collect();
    let mut shown = |it: &Outcome| {
        let stage = &after.stages[it.stage];
        counted[it.stage] += 1;
        let name = if after.stages.len() > 1 { stage.name.clone().unwrap_or_default() } else { String::new() };
        let text = stage.instructions[it.instruction].span.of(&case.after.dockerfile).to_owned();
        ((name, counted[it.stage]), text, it.fate)
    };
    outcomes(&case.before, &case.after, Keys::Graph).iter().map(&mut shown).collect()
}

/// What the model says of the steps of the second build.
pub fn outcomes(before: &Inputs, after: &Inputs, keys: Keys) -> Vec<Outcome> {
    let dockerfiles = [before, after].map(dockerfile);
    rebuild(&build(before, &dockerfiles[0]), &build(after, &dockerfiles[1]), keys)
}

fn dockerfile(inputs: &Inputs) -> Arc<Dockerfile> {
    match File::new(Kind::Dockerfile, &inputs.dockerfile, None).model {
        Model::Dockerfile(dockerfile) => dockerfile,
        other => panic!("no Dockerfile: {other:?}"),
    }
}

fn build<'a>(inputs: &'a Inputs, dockerfile: &'a Dockerfile) -> Build<'a> {
    let node = |(path, entry): (&String, &crate::case::Entry)| {
        let node = match &entry.content {
            None => Node::Folder { mode: entry.mode },
            Some(content) => Node::File { mode: entry.mode, content: content.clone() },
        };
        (path.clone(), node)
    };
    let ignore = ignore::parse(inputs.ignore_text()).unwrap();
    let files = Files::new(inputs.files.iter().map(node).collect(), &ignore);
    Build { text: &inputs.dockerfile, dockerfile, target: None, arguments: inputs.arguments.clone(), files }
}
