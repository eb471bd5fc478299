//! What each leg of a matrix has bake or compose build, and which legs send that to one cache.

use super::baking::Call;
use super::caching::{in_leg, platforms_on, product_of};
use super::called::inputs_of;
use super::{StepView, WorkflowView};
use crate::build::{Build, Tool};
use crate::cache::{Backend, CacheEntry};
use crate::edit::Span;
use crate::links::locations::Location;
use crate::links::{self, Described};
use crate::value::{Leg, Part, Value};
use crate::volatility::Axis;
use crate::workflow::{BuildStep, Job};
use std::collections::BTreeMap;

/// No more legs of a job are looked at.
const MAX_LEGS: usize = 50;
/// No more builds that go to one location are compared with each other.
const MAX_COMPARED: usize = 50;

/// Legs of a call that build different images and export them to one location.
pub struct LegCollision {
    /// The export of the first of them.
    pub entry: CacheEntry,
    /// Where both exports stand, if it is in bake or compose files: path and place, each once. Nothing where the call
    /// itself says it.
    pub in_files: Vec<(String, Span)>,
}

/// An export of a target in one leg.
struct Export {
    leg: usize,
    /// What a call of the workflow gives it.
    inputs: Leg,
    target: String,
    files: Vec<String>,
    product: String,
    entry: CacheEntry,
    place: Option<(String, Span)>,
}

impl Export {
    /// Whether the two replace each other: one target that is something else, or one of other files. Two targets of
    /// the same files collide in one leg as well, which is told of their file.
    fn is_rival(&self, other: &Export) -> bool {
        // What differs by call is another rule's matter.
        let by_matrix = self.leg != other.leg && self.inputs == other.inputs;
        by_matrix && self.product != other.product && (self.target == other.target || self.files != other.files)
    }
}

impl WorkflowView<'_> {
    /// The collisions of legs of a call of bake or compose, one for each export. What cannot be told in a leg
    /// collides with nothing.
    pub fn collisions_of_legs(&self, build: &StepView<'_>) -> Vec<LegCollision> {
        let legs = build.job.legs();
        if !matches!(build.build.tool, Tool::Bake | Tool::Compose) || legs.len() > MAX_LEGS {
            return Vec::new();
        }
        let mut writers: BTreeMap<Location, Vec<Export>> = BTreeMap::new();
        for (index, leg) in legs.iter().enumerate() {
            for (location, export) in self.exports_in_leg(build, index, leg) {
                let known = writers.entry(location).or_default();
                if known.len() < MAX_COMPARED {
                    known.push(export);
                }
            }
        }
        let mut res: Vec<LegCollision> = Vec::new();
        for exports in writers.values() {
            let pairs = exports.iter().enumerate().flat_map(|(index, it)| exports[index + 1..].iter().map(move |other| (it, other)));
            let Some((first, second)) = pairs.into_iter().find(|(a, b)| a.is_rival(b)) else { continue };
            if res.iter().any(|it| it.entry.span == first.entry.span && it.in_files.first() == first.place.as_ref()) {
                continue;
            }
            let mut in_files: Vec<(String, Span)> = [&first.place, &second.place].into_iter().flatten().cloned().collect();
            in_files.dedup();
            res.push(LegCollision { entry: first.entry.clone(), in_files });
        }
        res
    }

    /// The exports of a leg to places that all legs see. Those of a target that another one uses are left out, whose
    /// cache holds all of theirs.
    fn exports_in_leg(&self, build: &StepView<'_>, index: usize, leg: &Leg) -> Vec<(Location, Export)> {
        let Some(call) = Call::in_legs(self.snapshot, &self.path, std::slice::from_ref(leg), build.step).filter(|it| !it.is_open) else { return Vec::new() };
        let files: Vec<String> = call.files.iter().map(|it| it.0.clone()).collect();
        let mut res = Vec::new();
        for target in call.targets.iter().filter(|it| !it.is_part && !it.build.dry) {
            let Some(product) = self.product_in_leg(&target.build, (build.job, build.step), leg) else { continue };
            let described = Described { build: &target.build, step: build.described.step };
            for entry in target.build.exports.iter().filter(|it| is_seen_by_all(it)) {
                let location = described.location(entry, &self.path, Some(leg));
                if !matches!(location, Location::At(_)) {
                    continue;
                }
                let place = call.file_of(build, entry).map(|(path, span)| (path.to_owned(), span));
                let (target, files, product) = (target.name.clone(), files.clone(), product.clone());
                res.push((location, Export { leg: index, inputs: inputs_of(Some(leg)), target, files, product, entry: entry.clone(), place }));
            }
        }
        res
    }

    /// What a target is in a leg of a call of it, as a text: equal where the same is built. `None` where it is not
    /// known.
    pub(super) fn product_in_leg(&self, target: &Build, (job, step): (&Job, &BuildStep), leg: &Leg) -> Option<String> {
        let is_told = |it: &Value| {
            let is_open = it.variance().iter().any(|it| matches!(it, Axis::Unknown | Axis::Matrix(_)));
            !is_open || in_leg(it, Some(leg)).is_some() || it.parts.iter().all(|it| is_left_alone(it, step))
        };
        let lists = target.platforms.iter().chain(target.contexts.iter().map(|it| &it.1)).chain(target.arguments.iter().filter_map(|it| it.value.as_ref()));
        let mut values = target.context.value().into_iter().chain(&target.dockerfile).chain(&target.target).chain(lists);
        if target.opaque || target.inline || !values.all(is_told) {
            return None;
        }
        let platforms = platforms_on(target, Some(job), Some(leg));
        // A runner of one's own may be like the next one.
        let is_open = job.runner.iter().flat_map(|it| &it.labels).any(|it| it.known().is_none());
        if is_open && platforms.as_ref().is_none_or(Vec::is_empty) {
            return None;
        }
        let place = links::place(target, &self.path, Some(leg));
        let product = product_of(self.snapshot, target, &place, Some(leg), platforms);
        // Its paths start where bake is run.
        Some(format!("{:?} {:?} {product}", place.dockerfile, place.context))
    }
}

fn is_seen_by_all(entry: &CacheEntry) -> bool {
    let shared = matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::S3 | Backend::Azblob);
    shared && !entry.opaque && !entry.is_joined()
}

/// Whether a part is a variable of a bake file that a call leaves as it is, which then is the same in all such calls.
fn is_left_alone(part: &Part, step: &BuildStep) -> bool {
    let is_name = |it: &str| it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    match part {
        Part::Expression { source, known: None, .. } => is_name(source) && !step.environment.contains_key(source),
        _ => true,
    }
}
