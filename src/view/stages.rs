//! Which stages of a Dockerfile are in the image, and which it only copies from.

use super::{StepView, WorkflowView, model};
use crate::dockerfile::{Base, Dockerfile, Instruction, Kind, Stage};
use crate::links::Place;
use crate::snapshot::Snapshot;
use crate::volatility::Cost;

impl<'a> WorkflowView<'a> {
    /// The last stage that a build runs, that downloads or compiles something and that no layer of
    /// the image comes from, with the path of its Dockerfile.
    pub fn stage_beside_image(&self, build: &StepView<'_>) -> Option<(String, &'a Stage)> {
        build.places.iter().find_map(|it| last_beside(self.snapshot, it))
    }
}

/// The last of the stages that [`beside`] gives.
pub(super) fn last_beside<'a>(snapshot: &'a Snapshot, place: &Place) -> Option<(String, &'a Stage)> {
    let (path, stages) = beside(snapshot, place)?;
    Some((path.to_owned(), stages.into_iter().max_by_key(|it| it.index)?))
}

/// All stages of a build that finds its files at `place`, that download or compile something and that
/// no layer of the image comes from, with the path of their Dockerfile; `None` where the Dockerfile or
/// the target is not known.
pub fn beside<'a, 'p>(snapshot: &'a Snapshot, place: &'p Place) -> Option<(&'p str, Vec<&'a Stage>)> {
    let path = place.dockerfile.as_ref()?;
    let dockerfile = model(snapshot, path)?;
    let image = image_stages(dockerfile, place.target.name()?);
    let beside = place.target.stages(dockerfile)?.into_iter().filter(|it| !image.contains(&it.index));
    Some((path, beside.filter(|it| it.instructions.iter().any(is_costly)).collect()))
}

/// Whether an instruction downloads or compiles something.
pub fn is_costly(instruction: &Instruction) -> bool {
    matches!(&instruction.kind, Kind::Run(run) if run.reading.cost >= Cost::Download)
}

/// The target and the stages it starts from: their layers are the image's.
fn image_stages(dockerfile: &Dockerfile, target: Option<&str>) -> Vec<usize> {
    let mut res = Vec::new();
    let mut stage = target.map_or_else(|| dockerfile.stages.last(), |it| dockerfile.stage(it));
    while let Some(found) = stage {
        res.push(found.index);
        stage = match found.base {
            // Only earlier stages are named, so that this ends.
            Base::Stage(base) => dockerfile.stages.get(base),
            _ => None,
        };
    }
    res
}
