//! Cache locations: which builds of all loaded files write each, and which read it.
//!
//! A location is compared between builds, in each leg of their matrices. What cannot be compared
//! is kept as well, so that a rule knows when a missing reader or writer may be there after all.

use super::{Described, Reference, base, exchange};
use crate::cache::{Backend, CacheEntry};
use crate::facts;
use crate::file::{File, Model};
use crate::value::{Leg, Part, Value};
use crate::workflow::{Action, Workflow, expression};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// More uses of locations than any file has, legs of matrices included.
const MAX_USES: usize = 10_000;

/// The side of a build that a location is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// `cache-to`
    Export,
    /// `cache-from`
    Import,
}

/// A location as builds of different files see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// Known, but for expressions that are the same for all workflows of one commit.
    At(String),
    /// It may be any of this backend.
    Somewhere(Backend),
}

/// Where a part of a file is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// In another repository, or where it cannot be read.
    Unknown,
    /// In actions in these folders.
    Actions(BTreeSet<String>),
}

/// Who writes and who reads each location. Kept current file by file.
#[derive(Debug, Clone, Default)]
pub struct Locations {
    users: Arc<BTreeMap<(Side, Location), Vec<Reference>>>,
    /// Files of which a part is described elsewhere, where it may write and read anything.
    open: Arc<BTreeMap<Arc<str>, Elsewhere>>,
}

impl Locations {
    /// The builds that use a location, in order of path and place.
    pub fn users(&self, side: Side, location: &Location) -> &[Reference] {
        self.users.get(&(side, location.clone())).map_or(&[], Vec::as_slice)
    }

    /// All locations that a build uses, each once, in order.
    pub fn all(&self) -> BTreeSet<&Location> {
        self.users.keys().map(|(_, it)| it).collect()
    }

    /// Files that call what is described elsewhere, and may build images with a cache of its own.
    pub fn open(&self) -> impl Iterator<Item = (&Arc<str>, &Elsewhere)> {
        self.open.iter()
    }

    pub(super) fn replace(&mut self, path: &Arc<str>, old: &Said, new: &Said) {
        if old.elsewhere != new.elsewhere {
            let open = Arc::make_mut(&mut self.open);
            match &new.elsewhere {
                Some(elsewhere) => open.insert(path.clone(), elsewhere.clone()),
                None => open.remove(path),
            };
        }
        exchange(&mut self.users, &old.uses, &new.uses);
    }
}

/// What a file says of locations.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Said {
    uses: Uses,
    elsewhere: Option<Elsewhere>,
}

impl Said {
    pub(super) fn by(path: &Arc<str>, file: &File) -> Said {
        Said { uses: uses(path, file), elsewhere: elsewhere(path, file) }
    }
}

type Uses = BTreeSet<((Side, Location), Reference)>;

fn uses(path: &Arc<str>, file: &File) -> Uses {
    let mut res = Uses::new();
    let mut budget = MAX_USES;
    for (index, described) in file.builds().into_iter().enumerate() {
        for (leg, values) in described.legs() {
            let reference = Reference { path: path.clone(), build: index, leg };
            for key in described.uses(path, values) {
                if budget == 0 {
                    // What is left out may be anything.
                    let anything = |side: Side| ((side, Location::Somewhere(Backend::Unknown)), reference.clone());
                    res.extend([anything(Side::Export), anything(Side::Import)]);
                    return res;
                }
                budget -= 1;
                res.insert((key, reference.clone()));
            }
        }
    }
    res
}

impl Described<'_> {
    /// The locations that the build uses in one leg.
    fn uses(&self, path: &str, leg: Option<&Leg>) -> Vec<(Side, Location)> {
        let of = |side: Side, entries: &[CacheEntry]| entries.iter().map(|it| (side, self.location(it, path, leg))).collect::<Vec<_>>();
        let mut res = of(Side::Export, &self.build.exports);
        res.extend(of(Side::Import, &self.build.imports));
        if self.build.arguments.iter().any(|it| it.name == INLINE) {
            res.push((Side::Export, Location::Somewhere(Backend::Registry)));
        }
        if self.build.opaque {
            res.extend([(Side::Export, Location::Somewhere(Backend::Unknown)), (Side::Import, Location::Somewhere(Backend::Unknown))]);
        }
        res
    }

    /// Where an entry of the build leads in one leg, comparable with the entries of other builds.
    /// `path` is that of its file.
    pub fn location(&self, entry: &CacheEntry, path: &str, leg: Option<&Leg>) -> Location {
        // What is inline is found under the image's own names.
        if entry.backend == Backend::Inline {
            return Location::Somewhere(Backend::Registry);
        }
        let settled = self.settled(entry, path, leg).and_then(|it| it.location());
        settled.map_or(Location::Somewhere(entry.backend), Location::At)
    }

    /// The entry with values that can be compared; `None` where there is one that cannot.
    fn settled(&self, entry: &CacheEntry, path: &str, leg: Option<&Leg>) -> Option<CacheEntry> {
        let mut res = entry.clone();
        for attribute in &mut res.attributes {
            attribute.value = Value::literal(self.comparable(&attribute.value, path, leg)?, attribute.value.span);
        }
        Some(res)
    }

    fn comparable(&self, value: &Value, path: &str, leg: Option<&Leg>) -> Option<String> {
        let mut res = String::new();
        for part in &value.parts {
            match part {
                Part::Text(text) => res.push_str(text),
                Part::Expression { known: Some(text), .. } => res.push_str(text),
                Part::Expression { source, .. } => {
                    let in_leg = leg.and_then(|it| expression::in_leg(source, it)).or_else(|| self.named(source, path));
                    res.push_str(&in_leg.or_else(|| is_common(source).then(|| format!("${{{{ {source} }}}}")))?);
                }
            }
        }
        Some(res)
    }

    /// What an expression is that names the workflow or the job.
    fn named(&self, source: &str, path: &str) -> Option<String> {
        // An action runs in the workflow and the job that call it.
        let (workflow, job, _) = self.step.filter(|(workflow, ..)| !workflow.is_action)?;
        match source {
            // In what is called it is the name of the caller.
            "github.workflow" if workflow.is_reusable() => None,
            "github.workflow" => match &workflow.name {
                Some(name) => name.known(),
                None => Some(path.to_owned()),
            },
            "github.job" => Some(job.id.clone()),
            _ => None,
        }
    }
}

/// The build argument that was the first spelling of `type=inline`.
pub(super) const INLINE: &str = "BUILDKIT_INLINE_CACHE";

/// Whether an expression has one value in all workflows that run on one commit of one branch.
fn is_common(source: &str) -> bool {
    const COMMON: &[&str] = &[
        "github.actor",
        "github.base_ref",
        "github.event.repository.name",
        "github.head_ref",
        "github.ref",
        "github.ref_name",
        "github.repository",
        "github.repository_id",
        "github.repository_owner",
        "github.sha",
    ];
    COMMON.contains(&source) || ["vars.", "secrets."].iter().any(|it| source.starts_with(it) && source[it.len()..].bytes().all(is_name))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where what a job of the file does is described, if it is in another repository or in an action of
/// this one, and its name does not say that no image is built.
fn elsewhere(path: &str, file: &File) -> Option<Elsewhere> {
    const WORDS: &[&str] = &["docker", "build", "image", "container", "cache", "publish", "release", "push", "deploy"];
    let Model::Workflow(workflow) = &file.model else { return None };
    let workflow: &Workflow = &workflow.model;
    if workflow.broken || workflow.jobs.iter().any(|job| job.call.as_ref().is_some_and(|it| !it.action.is_local())) {
        return Some(Elsewhere::Unknown);
    }
    let may_build = |it: &&Action| it.is_local() && WORDS.iter().any(|word| it.name.to_ascii_lowercase().contains(word));
    let actions = workflow.jobs.iter().flat_map(|it| &it.steps).filter_map(|it| it.action.as_ref()).filter(may_build);
    let folders: BTreeSet<String> = actions.map(|it| facts::join(base(path), &it.name)).collect();
    (!folders.is_empty()).then_some(Elsewhere::Actions(folders))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Kind;

    fn workflow(with: &str) -> File {
        let with: String = with.lines().map(|it| format!("          {it}\n")).collect();
        let text = format!(
            "name: CI\non: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    strategy: {{matrix: {{arch: [amd64, arm64]}}}}\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n{with}"
        );
        File::new(Kind::Workflow, &text, None)
    }

    const PATH: &str = "/r/.github/workflows/ci.yml";

    /// Where the entries of a build lead, each location once.
    fn locations(with: &str) -> Vec<String> {
        let mut index = Locations::default();
        index.replace(&PATH.into(), &Said::default(), &Said::by(&PATH.into(), &workflow(with)));
        let shown = |it: &(Side, Location)| match it {
            (Side::Export, Location::At(text)) => format!("> {text}"),
            (Side::Import, Location::At(text)) => format!("< {text}"),
            (Side::Export, Location::Somewhere(backend)) => format!("> {backend:?}?"),
            (Side::Import, Location::Somewhere(backend)) => format!("< {backend:?}?"),
        };
        index.users.keys().map(shown).collect()
    }

    #[test]
    fn each_leg_has_its_location() {
        assert_eq!(locations("cache-to: type=gha,scope=a-${{ matrix.arch }}"), ["> gha:a-amd64", "> gha:a-arm64"]);
        assert_eq!(locations("cache-from: type=gha\ncache-to: type=gha,scope=buildkit"), ["> gha:buildkit", "< gha:buildkit"]);
    }

    #[test]
    fn a_condition_on_the_leg_tells_locations_apart() {
        assert_eq!(locations("cache-to: \"type=gha,scope=${{ matrix.arch == 'amd64' && 'x86' || 'arm' }}\""), ["> gha:arm", "> gha:x86"]);
    }

    #[test]
    fn what_is_the_same_everywhere_can_be_compared() {
        assert_eq!(locations("cache-from: type=gha,scope=${{ github.ref_name }}"), ["< gha:${{ github.ref_name }}"]);
        assert_eq!(locations("cache-from: type=gha,scope=${{ github.workflow }}-${{ github.job }}"), ["< gha:CI-build"]);
        assert_eq!(locations("cache-from: type=gha,scope=${{ vars.SCOPE }}"), ["< gha:${{ vars.scope }}"]);
    }

    #[test]
    fn what_is_not_known_may_be_anything_of_its_kind() {
        for scope in ["${{ inputs.scope }}", "${{ steps.a.outputs.b }}", "${{ matrix.other }}", "${{ env.UNKNOWN }}", "${{ runner.arch }}"] {
            assert_eq!(locations(&format!("cache-from: type=gha,scope={scope}")), ["< Gha?"], "{scope}");
        }
        assert_eq!(locations("cache-to: ${{ inputs.cache }}"), ["> Unknown?"]);
        assert_eq!(locations("cache-to: type=inline"), ["> Registry?"]);
        assert_eq!(locations("build-args: BUILDKIT_INLINE_CACHE=1"), ["> Registry?"]);
        assert_eq!(locations("build-args: ${{ inputs.args }}"), ["> Unknown?", "< Unknown?"]);
    }

    #[test]
    fn a_file_that_changes_takes_its_uses_with_it() {
        let path: Arc<str> = PATH.into();
        let said = |scope: &str| Said::by(&path, &workflow(&format!("cache-to: type=gha,scope={scope}")));
        let mut index = Locations::default();
        index.replace(&path, &Said::default(), &said("a"));
        let at = |scope: &str| Location::At(format!("gha:{scope}"));
        assert_eq!(index.users(Side::Export, &at("a")).len(), 2);
        index.replace(&path, &said("a"), &said("b"));
        assert!(index.users(Side::Export, &at("a")).is_empty());
        assert_eq!(index.users(Side::Export, &at("b")).len(), 2);
        index.replace(&path, &said("b"), &Said::default());
        assert!(index.users.is_empty());
    }

    #[test]
    fn calls_of_what_is_described_elsewhere_are_open() {
        let opens = |text: &str| elsewhere(PATH, &File::new(Kind::Workflow, text, None)).is_some();
        assert!(opens("on: push\njobs:\n  a:\n    uses: org/repository/.github/workflows/build.yml@v1\n"));
        assert!(opens("on: push\njobs:\n  a:\n    steps:\n      - uses: ./.github/actions/docker-build\n"));
        assert!(!opens("on: push\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n"));
        assert!(!opens("on: push\njobs:\n  a:\n    steps:\n      - uses: ./.github/actions/setup-node\n      - uses: docker/build-push-action@v7\n"));
    }

    #[test]
    fn a_file_with_too_many_uses_may_use_anything() {
        let entries: String = (0..MAX_USES).map(|it| format!("  type=gha,scope=s{it}\n")).collect();
        let found = uses(&PATH.into(), &workflow(&format!("cache-to: |\n{entries}")));
        assert!(found.len() <= MAX_USES + 2);
        assert!(found.iter().any(|(key, _)| *key == (Side::Import, Location::Somewhere(Backend::Unknown))));
    }
}
