//! Scopes for the targets of a call of bake, to be written into the call.
//!
//! What is exported takes the place of what was there, so that each target needs a scope of its own, and so does
//! each leg of a matrix that builds another image. The scopes go into the call and not into the bake file: the
//! file is for builds by hand too, for which Docker's own builder refuses to export a cache. They are written by
//! the names of the targets, not with `*`, which a target that joins them later would share with the others; but
//! where each leg of a matrix builds one target, `*` is that one.

use super::baking::Call;
use super::{StepView, WorkflowView};
use crate::build::Tool;
use crate::facts;
use crate::links::Reference;
use crate::links::baked::Baked;
use crate::links::locations::{Location, Side};
use crate::value::Leg;
use crate::workflow::{BuildStep, Job, expression, is_one_key};
use std::collections::{BTreeMap, BTreeSet};

/// More targets than that are no list of options that somebody reads.
const MAX_TARGETS: usize = 12;
/// No more legs of a job are looked at.
const MAX_LEGS: usize = 50;
/// A file with more builds gets no scopes, and in a repository with more calls a scope says which file it is of.
const MAX_CALLS: usize = 50;
/// The files that a call without any may read.
const FILES_OF_CALL: usize = 8;

/// Where targets of a call can keep their cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetScope {
    /// The name of a target, or `*` for the only one of each leg.
    pub pattern: String,
    /// A scope that no other target has.
    pub scope: String,
}

/// What one leg of a job builds.
struct Baking<'l> {
    leg: &'l Leg,
    /// The files that describe it.
    files: Vec<String>,
    /// The targets, each with what it is as a text, equal where the same is built; `None` where that is not known.
    targets: Vec<(String, Option<String>)>,
}

/// Scopes with what goes there.
type Products = BTreeMap<String, Option<String>>;

impl WorkflowView<'_> {
    /// A scope for each target that a call of bake builds. `None` where it cannot be told what that is, or what
    /// would tell the legs of its job apart.
    pub fn target_scopes(&self, build: &StepView<'_>) -> Option<Vec<TargetScope>> {
        let none = [Leg::new()];
        let legs = match build.job.legs() {
            [] if build.job.matrix.as_ref().is_some_and(|it| it.is_plural()) => return None,
            [] => &none,
            legs => legs,
        };
        if legs.len() > MAX_LEGS || self.builds.len() > MAX_CALLS || build.build.tool != Tool::Bake {
            return None;
        }
        let bakings = legs.iter().map(|leg| self.baking(build, leg)).collect::<Option<Vec<_>>>()?;
        let bases = by_leg(&bakings).or_else(|| by_name(&bakings)).filter(|it| it.len() <= MAX_TARGETS)?;
        let addition = self.addition(build, &bakings, &bases)?;
        let scope = |(pattern, base): (String, String)| {
            let named = format!("{base}{addition}");
            let fits = |suffix: &str| is_apart(&bakings, &pattern, &format!("{named}{suffix}"));
            let suffix = if fits("") { String::new() } else { build.job.scope_suffix(build.step, &named).filter(|it| fits(it))? };
            Some(TargetScope { scope: format!("{named}{suffix}"), pattern })
        };
        bases.into_iter().map(scope).collect()
    }

    fn baking<'l>(&self, build: &StepView<'_>, leg: &'l Leg) -> Option<Baking<'l>> {
        let call = Call::in_legs(self.snapshot, &self.path, std::slice::from_ref(leg), build.step).filter(|it| !it.is_open)?;
        let names_target = |it: &Baked| !it.name.is_empty() && it.name.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it));
        if call.targets.is_empty() || !call.targets.iter().all(names_target) {
            return None;
        }
        let product = |it: &Baked| (it.name.clone(), self.product_in_leg(&it.build, (build.job, build.step), leg));
        Some(Baking { leg, targets: call.targets.iter().map(product).collect(), files: call.files.into_iter().map(|it| it.0).collect() })
    }

    /// What has to be added to scopes that another build of the repository has, or would be given.
    fn addition(&self, build: &StepView<'_>, bakings: &[Baking<'_>], bases: &[(String, String)]) -> Option<String> {
        let names = scopes_in_legs(bakings, bases, "");
        let rivals: Vec<&StepView<'_>> = self.builds.iter().filter(|it| it.index != build.index && self.is_rival(it, &names)).collect();
        let mut own = String::new();
        if !rivals.is_empty() {
            own = format!("-{}", build.job.id);
        }
        if rivals.iter().any(|it| it.job.id == build.job.id) {
            own = format!("{own}-{}", build.step.step + 1);
        }
        let with_file = format!("{own}-{}", facts::name(&self.path).split('.').next().unwrap_or_default());
        let choices = if self.has_rivals_elsewhere(&names) { vec![with_file] } else { vec![own, with_file] };
        choices.into_iter().find(|it| !scopes_in_legs(bakings, bases, it).iter().any(|(scope, product)| self.is_taken(scope, product)))
    }

    /// Whether a build that is not known to make the same exports to a scope.
    fn is_taken(&self, scope: &str, product: &Option<String>) -> bool {
        let none = Leg::new();
        let location = format!("gha:{scope}");
        self.users(Side::Export, &Location::At(location.clone())).any(|it| {
            let Some((_, job, step)) = it.described.step.filter(|_| it.described.build.tool == Tool::Bake) else { return true };
            let calls = Call::each(self.snapshot, it.path, job, step);
            let goes_there = |it: &&Baked| it.build.exports.iter().any(|it| it.location().as_deref() == Some(&location));
            let targets: Vec<&Baked> = calls.iter().flatten().flat_map(|it| &it.targets).filter(goes_there).collect();
            product.is_none() || targets.is_empty() || targets.iter().any(|it| self.product_in_leg(&it.build, (job, step), &none) != *product)
        })
    }

    /// Whether another build of the file builds something else that would be given one of the names.
    fn is_rival(&self, other: &StepView<'_>, names: &Products) -> bool {
        match other.build.tool {
            _ if other.build.dry => false,
            Tool::BuildPushAction => names.keys().any(|it| is_one_key(it, &self.workflow.scope_name(other.job, other.step))),
            Tool::Bake => self.bakes_other(names, &self.path, (other.job, other.step)),
            _ => false,
        }
    }

    /// The same of builds of other files.
    fn has_rivals_elsewhere(&self, names: &Products) -> bool {
        let links = &self.snapshot.links;
        let root = self.snapshot.root(&self.path);
        let is_other = |it: &&Reference| *it.path != *self.path && self.snapshot.root(&it.path) == root && self.snapshot.runs(&it.path);
        let calls: BTreeSet<(&str, usize)> = links.calls().filter(is_other).map(|it| (&*it.path, it.build)).take(FILES_OF_CALL * MAX_CALLS).collect();
        let bakes_other = |(path, index): &(&str, usize)| {
            let call = self.snapshot.file(path).and_then(|it| it.builds().get(*index)?.step);
            let is_meant = |step: &BuildStep| step.build.tool == Tool::Bake && !step.build.dry;
            call.is_some_and(|(_, job, step)| is_meant(step) && self.bakes_other(names, path, (job, step)))
        };
        let tool = |it: &Reference| self.snapshot.file(&it.path).and_then(|file| Some(file.builds().get(it.build)?.build.tool));
        let is_meant = |it: &&Reference| is_other(it) && tool(it) == Some(Tool::BuildPushAction);
        let is_named = names.keys().any(|it| links.named(it).iter().take(MAX_CALLS).any(|it| is_meant(&it)));
        is_named || calls.len() > MAX_CALLS || calls.iter().any(bakes_other)
    }

    /// Whether a call in the workflow at `path` builds something else under one of the names.
    fn bakes_other(&self, names: &Products, path: &str, (job, step): (&Job, &BuildStep)) -> bool {
        if !Call::may_build(self.snapshot, path, job, step, &|target| names.keys().any(|it| is_one_key(it, target))) {
            return false;
        }
        let none = Leg::new();
        let calls = Call::each(self.snapshot, path, job, step);
        // One of which it is not known what it builds is given no scope.
        calls.iter().flatten().filter(|it| !it.is_open).flat_map(|it| &it.targets).any(|target| {
            let same = names.iter().find(|(name, _)| is_one_key(name, &target.name));
            same.is_some_and(|(_, product)| product.is_none() || *product != self.product_in_leg(&target.build, (job, step), &none))
        })
    }
}

/// One target in each leg, others than in the next leg or of other files: named by a key of the matrix, or by what
/// it is called in all of them.
fn by_leg(bakings: &[Baking<'_>]) -> Option<Vec<(String, String)>> {
    let names: Vec<&str> = bakings.iter().map(|it| if let [(name, _)] = it.targets.as_slice() { Some(name.as_str()) } else { None }).collect::<Option<_>>()?;
    let first = bakings.first()?;
    let is_one = names.windows(2).all(|it| it[0] == it[1]);
    if is_one && bakings.iter().all(|it| it.files == first.files) {
        return None;
    }
    let is_name = |key: &&String| !expression::is_input_key(key) && bakings.iter().zip(&names).all(|(it, name)| it.leg.get(*key).is_some_and(|it| it == name));
    let key = first.leg.keys().find(is_name);
    let base = key.map(|it| format!("${{{{ matrix.{it} }}}}")).or_else(|| names.first().filter(|_| is_one).map(|it| (*it).to_owned()))?;
    Some(vec![("*".to_owned(), base)])
}

/// All targets by their names, where each leg has them in its files: bake takes no name that is not there.
fn by_name(bakings: &[Baking<'_>]) -> Option<Vec<(String, String)>> {
    let first = bakings.first()?;
    let names: BTreeSet<&String> = bakings.iter().flat_map(|it| it.targets.iter().map(|it| &it.0)).collect();
    bakings.iter().all(|it| it.files == first.files).then(|| names.into_iter().map(|it| (it.clone(), it.clone())).collect())
}

/// The scopes in all legs, with what goes there.
fn scopes_in_legs(bakings: &[Baking<'_>], bases: &[(String, String)], addition: &str) -> Products {
    let of_leg = |(baking, (pattern, base)): (&Baking<'_>, &(String, String))| {
        let targets = baking.targets.iter().filter(|(name, _)| pattern == "*" || pattern == name);
        let scope = format!("{}{addition}", resolved(base, baking.leg));
        targets.map(|(_, product)| (scope.clone(), product.clone())).collect::<Vec<_>>()
    };
    bakings.iter().flat_map(|it| bases.iter().map(move |base| (it, base))).flat_map(of_leg).collect()
}

/// Whether legs that build different things under a pattern have different scopes.
fn is_apart(bakings: &[Baking<'_>], pattern: &str, scope: &str) -> bool {
    let mut built: BTreeMap<String, &Option<String>> = BTreeMap::new();
    bakings.iter().all(|baking| {
        baking.targets.iter().filter(|(name, _)| pattern == "*" || pattern == name).all(|(_, product)| {
            let known = built.insert(resolved(scope, baking.leg).to_ascii_lowercase(), product);
            known.is_none_or(|it| it == product && product.is_some())
        })
    })
}

/// A text with the values of the keys of the matrix.
fn resolved(text: &str, leg: &Leg) -> String {
    let (mut res, mut done) = (String::new(), 0);
    for place in expression::find(text) {
        res += &text[done..place.span.start];
        let key = place.inside.of(text).trim().strip_prefix("matrix.");
        res += key.and_then(|it| leg.get(it)).map_or_else(|| place.span.of(text), String::as_str);
        done = place.span.end;
    }
    res + &text[done..]
}
