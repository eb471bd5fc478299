use super::{Check, Findings, declare_rule};
use crate::build::{Build, Tool};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::facts;
use crate::links::locations::{Location, Side};
use crate::view::{Call, Likeness, Site, StepView, TargetBuild, TargetsView, Use, WorkflowView};
use crate::workflow::repair::CacheEdit;
use crate::workflow::{Event, Filter, Trigger, Workflow, expression};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

declare_rule! {
    /// Builds of different images export to one cache.
    ///
    /// A location holds the cache of one build: what is exported replaces what was there. Of
    /// builds that share one, which is easy without a `scope`, the last wins; the others start
    /// empty in the next run.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           file: api.Dockerfile
    ///           push: true
    ///           tags: org/api
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           file: web.Dockerfile
    ///           push: true
    ///           tags: org/web
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           file: api.Dockerfile
    ///           push: true
    ///           tags: org/api
    ///           cache-from: type=gha,scope=api
    ///           cache-to: type=gha,mode=max,scope=api
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           file: web.Dockerfile
    ///           push: true
    ///           tags: org/web
    ///           cache-from: type=gha,scope=web
    ///           cache-to: type=gha,mode=max,scope=web
    /// ```
    ///
    /// Builds of one image share their cache rightly: to test it and to push it, for example. So
    /// does one build for several platforms. The cache of GitHub is one for each branch and pull
    /// request, so that builds that never run on the same one do not meet, and those that run on
    /// tags lose nothing; a registry and a bucket are one for all. Builds of which something is not known, or whose conditions ask for the
    /// event or the branch and are not met by all that starts the workflow, are not reported. Targets of one call of bake, and services of compose, are builds too, reported in
    /// their file, other than those that another one of them uses, whose cache holds all of theirs; an information only
    /// where nobody is known to build them together. A workflow that others call, or a composite action, is
    /// looked at as those of the repository call it for several images.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change, on both sides. There is no fix where another build imports the
    /// cache.
    pub(crate) static SHARED_CACHE_SCOPE = {
        name: "shared-cache-scope",
        level: Level::Warning,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

/// No more notes than somebody reads.
const MAX_NOTES: usize = 5;
/// More builds of this file, or of other files, than that are not looked at; keeps the work of checking all files of
/// a repository from growing with its square.
const MAX_OTHERS: usize = 20;

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen: Vec<Location> = Vec::new();
    let calls = LazyCell::new(|| if view.workflow.is_reusable() || view.workflow.is_action { view.sites() } else { Vec::new() });
    for build in view.judged().filter(|it| !it.build.opaque && it.may_write_cache()) {
        if matches!(build.build.tool, Tool::Bake | Tool::Compose) {
            check_call(view, build, findings);
            continue;
        }
        for entry in build.build.exports.iter().filter(|it| is_writer(it)) {
            let fresh: Vec<Location> = build.locations(entry, &view.path).into_iter().filter(|it| !seen.contains(it)).collect();
            if is_read_by_nobody(view, entry) {
                continue;
            }
            let rival = fresh.iter().find_map(|it| rivals(view, build, entry, it).map(|others| (it.clone(), others)));
            let Some((location, others)) = rival else {
                check_as_called(view, &calls, build, entry, findings);
                continue;
            };
            let span = entry.key().map_or(entry.span, |it| it.span);
            let message = format!("another build exports to {} too, and each replaces the cache of the other", entry.describe());
            let mut finding = findings.report(span, message);
            for (other, entry) in &others {
                finding = finding.note_in(other.path.clone(), entry.span, "this build does");
            }
            finding.maybe_fix(|| fix(view, &location));
            seen.push(location);
        }
    }
}

/// The calls of the workflow or action in the repository, with which the build makes images of which each replaces
/// the cache of the others.
fn check_as_called(view: &WorkflowView<'_>, calls: &[Site<'_>], build: &StepView<'_>, entry: &CacheEntry, findings: &mut Findings<'_>) {
    // An action that calls another one runs where its own callers do.
    let told = |it: &Site<'_>| !it.workflow.is_action && (entry.backend != Backend::Gha || !is_on_tags_only(it.workflow));
    let conditions: Vec<Vec<String>> = calls.iter().map(|it| asked(it.conditions(), it.workflow)).collect();
    for (index, (call, own)) in calls.iter().zip(&conditions).enumerate().filter(|(_, it)| told(it.0)) {
        let beside = |it: &Site<'_>| it.path == call.path;
        let may_meet = |it: &Site<'_>| beside(it) || (told(it) && (entry.backend != Backend::Gha || callers_meet(call, it)));
        let near = calls.iter().zip(&conditions).skip(index).filter(|(it, asks)| may_meet(it) && !may_exclude(asks, own)).map(|it| it.0);
        let Some(other) = near.take(MAX_OTHERS).find(|it| replace_each_other(view, build, entry, call, it)) else { continue };
        let what = if view.workflow.is_action { "action" } else { "workflow" };
        let message = format!("other calls of this {what} export to {} too, and each replaces the cache of the other", entry.describe());
        let mut places = vec![(call.path, call.action.span), (other.path, other.action.span)];
        places.dedup();
        let finding = findings.report(entry.key().map_or(entry.span, |it| it.span), message);
        drop(places.into_iter().fold(finding, |finding, (path, span)| finding.note_in(path.clone(), span, "for the image of this call")));
        return;
    }
}

/// Whether the export is made on tags only: GitHub keeps a cache for each of them, which no other run reads.
fn is_read_by_nobody(view: &WorkflowView<'_>, entry: &CacheEntry) -> bool {
    entry.backend == Backend::Gha && view.runs_on_tags_only()
}

fn is_on_tags_only(workflow: &Workflow) -> bool {
    workflow.triggers.iter().all(Trigger::runs_on_tags)
}

/// Whether the build makes different images in two calls, or in two legs of one, that go to one location.
fn replace_each_other(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry, a: &Site<'_>, b: &Site<'_>) -> bool {
    let (first, second) = (a.uses(build, &view.path), b.uses(build, &view.path));
    let location = |it: &Use<'_>| it.described.location(entry, it.path, it.leg);
    let is_rival = |own: &Use<'_>, other: &Use<'_>| {
        let here = location(own);
        matches!(here, Location::At(_)) && here == location(other) && view.likeness(own, other) == Likeness::Different
    };
    let seconds = || second.iter().take(MAX_OTHERS);
    // What differs by a matrix of its own is another rule's matter.
    first.iter().take(MAX_OTHERS).any(|(inputs, own)| seconds().any(|(others, other)| inputs != others && is_rival(own, other)))
}

/// Whether it replaces what another job wrote. A folder is another one on each runner.
fn is_writer(entry: &CacheEntry) -> bool {
    let shared = matches!(entry.backend, Backend::Gha | Backend::Registry | Backend::S3 | Backend::Azblob);
    shared && !entry.opaque && !entry.conditional && !entry.is_joined()
}

/// Builds of other images that export to the same location and can run where this one does, each
/// with its export. Those of the same file come first.
fn rivals<'a>(view: &WorkflowView<'a>, build: &StepView<'_>, entry: &CacheEntry, location: &Location) -> Option<Vec<(Use<'a>, &'a CacheEntry)>> {
    if !matches!(location, Location::At(_)) {
        return None;
    }
    let own: Vec<Use<'_>> = build.uses(&view.path).into_iter().filter(|it| it.described.location(entry, &view.path, it.leg) == *location).collect();
    // Legs that replace each other's cache are another rule's matter, and need a place of their own first.
    if let Some((first, others)) = own.split_first()
        && others.iter().take(MAX_OTHERS - 1).any(|it| view.likeness(first, it) == Likeness::Different)
    {
        return None;
    }
    let same_file = |it: &Use<'_>| *it.path == view.path;
    let near = view.users(Side::Export, location).filter(|it| same_file(it) && it.index != build.index).take(MAX_OTHERS);
    let far = view.users(Side::Export, location).filter(|it| !same_file(it)).take(MAX_OTHERS);
    let mut res: Vec<(Use<'a>, &CacheEntry)> = Vec::new();
    for other in near.chain(far) {
        let exports = &other.described.build.exports;
        let Some(export) = exports.iter().find(|it| is_writer(it) && other.described.location(it, other.path, other.leg) == *location) else { continue };
        let known = res.iter().any(|(it, entry)| *it.path == *other.path && entry.span == export.span);
        if !known && own.iter().any(|it| is_rival(view, it, &other, entry.backend)) {
            res.push((other, export));
        }
        if res.len() == MAX_NOTES {
            break;
        }
    }
    (!res.is_empty()).then_some(res)
}

fn is_rival(view: &WorkflowView<'_>, own: &Use<'_>, other: &Use<'_>, backend: Backend) -> bool {
    let (Some((_, job, _)), Some((_, other_job, _))) = (own.described.step, other.described.step) else { return false };
    let (build, other_build) = (own.described.build, other.described.build);
    if other_build.opaque || other_build.dry || view.likeness(own, other) != Likeness::Different {
        return false;
    }
    let same_file = *own.path == *other.path;
    // An image that is built to be tested, and then to be pushed.
    let for_test = same_file
        && job.id == other_job.id
        && own.place().dockerfile == other.place().dockerfile
        && (build.push == Some(false) || other_build.push == Some(false));
    let conditions = |it: &Use<'_>| it.described.step.map(|(workflow, ..)| asked(it.conditions(), workflow)).unwrap_or_default();
    if for_test || may_exclude(&conditions(own), &conditions(other)) {
        return false;
    }
    same_file || backend != Backend::Gha || meet(view, own, other)
}

/// Whether the conditions may never hold on one branch: they ask for the event or the branch, and
/// not for the same.
fn may_exclude(a: &[String], b: &[String]) -> bool {
    const WORDS: &[&str] = &["github.event", "github.ref", "github.head_ref", "github.base_ref", "inputs.", "matrix."];
    let asks = |conditions: &[String]| conditions.iter().any(|it| WORDS.iter().any(|word| it.contains(word)));
    a != b && (asks(a) || asks(b))
}

/// The conditions that may not be met, whatever starts the workflow.
fn asked(conditions: Vec<String>, workflow: &Workflow) -> Vec<String> {
    let events = || workflow.triggers.iter().map(|it| &it.event);
    // What calls a workflow has an event of its own.
    let is_told = events().next().is_some() && events().all(|it| *it != Event::WorkflowCall);
    let always = |it: &String| is_told && events().all(|event| expression::is_met_during(it, event.name()));
    conditions.into_iter().filter(|it| !always(it)).collect()
}

/// Whether the workflows that two calls are in are started on one branch or pull request, without anybody's doing.
fn callers_meet(a: &Site<'_>, b: &Site<'_>) -> bool {
    a.workflow.triggers.iter().any(|a| b.workflow.triggers.iter().any(|b| triggers_meet(a, b)))
}

/// Whether the workflows of two builds are started on one branch or pull request, without anybody's doing.
fn meet(view: &WorkflowView<'_>, a: &Use<'_>, b: &Use<'_>) -> bool {
    let (a, b) = (view.sure_triggers(a), view.sure_triggers(b));
    a.iter().any(|a| b.iter().any(|b| triggers_meet(a, b)))
}

fn triggers_meet(a: &Trigger, b: &Trigger) -> bool {
    match (&a.event, &b.event) {
        // A cache that is written on a tag is read by nobody else.
        (Event::Push, Event::Push) if a.is_tags_only() || b.is_tags_only() => false,
        (Event::Push, Event::Push) | (Event::PullRequest, Event::PullRequest) | (Event::MergeGroup, Event::MergeGroup) => {
            overlap(a.branches.as_ref(), b.branches.as_ref())
        }
        (Event::Schedule, Event::Schedule) => true,
        _ => false,
    }
}

/// Whether a name may fit both lists of patterns; no list fits all.
fn overlap(a: Option<&Filter>, b: Option<&Filter>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let names = |it: &Filter| it.patterns.iter().map(|it| it.pattern()).collect::<Vec<_>>();
    let is_open = |it: &String| it.contains(['*', '?', '+', '[', '!']);
    let (a, b) = (names(a), names(b));
    a.iter().any(|it| is_open(it) || b.contains(it)) || b.iter().any(is_open)
}

/// Gives each image of the file that uses the location a scope of its own.
fn fix(view: &WorkflowView<'_>, location: &Location) -> Option<Fix> {
    let at = |build: &StepView<'_>, entry: &CacheEntry| entry.backend == Backend::Gha && build.locations(entry, &view.path).contains(location);
    let users: Vec<&StepView<'_>> = view.builds.iter().filter(|build| build.build.exports.iter().chain(&build.build.imports).any(|it| at(build, it))).collect();
    // A build that only imports would have to be told which of them it means.
    let only_imports = users.iter().any(|build| !build.build.exports.iter().any(|it| at(build, it)));
    if only_imports || view.is_read_elsewhere(std::slice::from_ref(location), &users) {
        return None;
    }
    let mut edit: Option<CacheEdit> = None;
    for build in users {
        let to = view.scope_name(build)?;
        let entries = build.build.exports.iter().chain(&build.build.imports).filter(|it| at(build, it));
        let mut froms: Vec<String> = entries.filter_map(CacheEntry::location).collect();
        froms.dedup();
        // Two that are written in different ways would be edited twice.
        let [from] = froms.as_slice() else { return None };
        if *from == format!("gha:{to}") {
            continue;
        }
        let moved = view.move_cache(build, from, &to)?;
        edit = Some(match edit {
            Some(known) => known.and(moved)?,
            None => moved,
        });
    }
    Some(Fix::cache_options("Give each image a scope of its own", view.path.clone(), edit?))
}

/// Targets of one call of bake or compose that export to one location, where the call itself says so.
fn check_call(view: &WorkflowView<'_>, build: &StepView<'_>, findings: &mut Findings<'_>) {
    let counts = |entry: &CacheEntry| !is_read_by_nobody(view, entry);
    let Some(call) = view.call(build) else {
        // Each leg may read files of its own.
        let _ = view.calls_in_legs(build).iter().any(|it| report_collision(build, it, counts, findings));
        return;
    };
    // What each leg builds goes where the expressions of the option say in that leg.
    let is_apart = build.step.targets.iter().any(|it| it.known().is_none());
    let is_told = |entry: &CacheEntry| entry.attributes.iter().all(|it| it.value.known().is_some());
    if report_collision(build, &call, |it| counts(it) && (!is_apart || is_told(it)), findings) || !is_apart {
        return;
    }
    for call in view.calls_in_legs(build) {
        if report_collision(build, &call, counts, findings) {
            return;
        }
    }
}

/// Reports the first collision of a call whose option stands in the call itself, if there is one.
fn report_collision(build: &StepView<'_>, call: &Call<'_>, counts: impl Fn(&CacheEntry) -> bool, findings: &mut Findings<'_>) -> bool {
    let targets = call.targets.iter().filter(|it| !it.is_part);
    let builds: Vec<(&str, &Build)> = targets.map(|it| (it.name.as_str(), &it.build)).collect();
    let found = collisions(&builds);
    // What stands in the file is reported there.
    let Some(found) = found.iter().find(|it| counts(it.entry) && call.file_of(build, it.entry).is_none()) else { return false };
    findings.report(found.entry.span, found.message());
    true
}

/// Targets of one call, or of a file that nobody is known to call, that export to one location.
fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    let all = || view.targets.iter().flat_map(|target| target.builds.iter().map(move |it| (target, it)));
    let calls: BTreeSet<Option<usize>> = all().map(|(_, it)| it.call).collect();
    // What a workflow builds comes before what somebody may build by hand.
    for call in calls.into_iter().rev() {
        let by_hand = all().filter(|(_, it)| call.is_none() && it.call.is_none() && !it.is_part).map(|(target, it)| (target.build.name.as_str(), &it.build));
        let is_on_tags = call.is_some() && all().any(|(_, it)| it.call == call && is_on_tags(view, it));
        let called = call.map_or(&[][..], |it| view.targets_of(it)).iter().filter(|it| !it.is_part).map(|it| (it.name.as_str(), &it.build));
        let builds: Vec<(&str, &Build)> = by_hand.chain(called).filter(|(_, it)| !it.dry && !it.opaque).collect();
        for collision in collisions(&builds) {
            let entry = collision.entry;
            if is_on_tags && entry.backend == Backend::Gha {
                continue;
            }
            let span = entry.key().map_or(entry.span, |it| it.span);
            if view.has(entry) && seen.insert(span) {
                let by_default = collision.names.iter().all(|name| view.targets.iter().any(|it| it.build.name == *name && it.is_default));
                let level = if call.is_some() || by_default { Level::Warning } else { Level::Info };
                drop(findings.report(span, collision.message()).level(level));
            }
        }
    }
}

/// Whether the workflow that a target is built in runs on tags only.
fn is_on_tags(view: &TargetsView<'_>, build: &TargetBuild<'_>) -> bool {
    let triggers = view.triggers(build);
    !triggers.is_empty() && triggers.iter().all(|it| it.runs_on_tags())
}

/// Two targets of different images that export to one location.
struct Collision<'b> {
    names: [&'b str; 2],
    /// The export of the first of them.
    entry: &'b CacheEntry,
}

impl Collision<'_> {
    fn message(&self) -> String {
        let [name, other] = self.names;
        format!("the targets `{name}` and `{other}` export to {}, and each replaces the cache of the other", self.entry.describe())
    }
}

/// The first collision of each location, in the order of the builds.
fn collisions<'b>(builds: &[(&'b str, &'b Build)]) -> Vec<Collision<'b>> {
    let mut writers: BTreeMap<String, Vec<(&str, &Build, &CacheEntry)>> = BTreeMap::new();
    for (name, build) in builds {
        for entry in build.exports.iter().filter(|it| is_writer(it)) {
            let Some(location) = entry.location() else { continue };
            let known = writers.entry(location).or_default();
            if known.len() < MAX_OTHERS && !known.iter().any(|(_, it, _)| std::ptr::eq(*it, *build)) {
                known.push((name, build, entry));
            }
        }
    }
    let first = |users: &Vec<(&'b str, &'b Build, &'b CacheEntry)>| {
        let mut pairs = users.iter().enumerate().flat_map(|(index, it)| users[index + 1..].iter().map(move |other| (it, other)));
        let ((name, _, entry), (other, ..)) = pairs.find(|((_, a, _), (_, b, _))| differ(a, b))?;
        Some(Collision { names: [*name, *other], entry })
    };
    writers.values().filter_map(first).collect()
}

/// Whether two targets build different things for certain.
fn differ(a: &Build, b: &Build) -> bool {
    let text = |it: &Option<crate::value::Value>, default: &str| it.as_ref().map_or_else(|| Some(default.to_owned()), |it| it.known());
    let folder = |it: &Build| match &it.context {
        crate::build::Context::Folder(value) => value.known().map(|it| facts::join("/", &it)),
        _ => None,
    };
    let differs = |a: Option<String>, b: Option<String>| matches!((a, b), (Some(a), Some(b)) if a != b);
    differs(folder(a), folder(b))
        || differs(text(&a.dockerfile, "Dockerfile"), text(&b.dockerfile, "Dockerfile"))
        || differs(text(&a.target, ""), text(&b.target, ""))
}

#[cfg(test)]
mod tests {
    use super::SHARED_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    /// One job with two builds.
    fn two(first: &str, second: &str) -> String {
        let step = |with: &str| format!("- uses: docker/build-push-action@v7\n  with: {{{with}}}");
        steps(&format!("- uses: docker/setup-buildx-action@v4\n{}\n{}", step(first), step(second)))
    }

    /// Marks the first `part` as shared, and the second as the other side.
    fn found(text: &str, part: &str, entry: &str, described: &str) -> String {
        let text = marked(text, part, &format!("warning: another build exports to {described} too, and each replaces the cache of the other"));
        let at = text.rfind(entry).unwrap();
        let line = text[..at].rfind('\n').unwrap() + 1;
        format!("{}{}", &text[..line], marked(&text[line..], entry, "note: this build does"))
    }

    #[test]
    fn the_targets_that_a_workflow_builds_are_named_before_others() {
        let target = |name: &str| format!("target \"{name}\" {{\n  inherits = [\"base\"]\n  context = \"{name}\"\n}}\n");
        let bake = format!(
            "#- docker-bake.hcl\ngroup \"default\" {{ targets = [\"a\", \"b\", \"c\", \"d\"] }}\ntarget \"base\" {{ cache-to = [\"type=gha\"] }}\n{}{}{}{}",
            target("a"),
            target("b"),
            target("c"),
            target("d")
        );
        let workflow = steps("- uses: docker/bake-action@v7\n  with: {targets: 'c,d'}");
        let message = |names: &str| format!("warning: the targets {names} export to the scope `buildkit`, and each replaces the cache of the other");
        check(&RULE, &marked(&bake, "type=gha", &message("`a` and `b`")));
        check(&RULE, &format!("{}{workflow}", marked(&bake, "type=gha", &message("`c` and `d`"))));
    }

    #[test]
    fn legs_that_share_a_place_are_told_of_once() {
        let file = |name: &str, matrix: &str| {
            let text = steps(
                "- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with: {context: '${{ matrix.app }}', cache-to: 'type=gha'}",
            );
            text.replace("ci.yml", name).replace("    steps:", &format!("    strategy: {{matrix: {{app: {matrix}}}}}\n    steps:"))
        };
        check(&RULE, &format!("{}{}", file("a.yml", "[api, web]"), file("b.yml", "[api, db]")));
        let one = file("a.yml", "[api]");
        let message = "warning: another build exports to the scope `buildkit` too, and each replaces the cache of the other";
        let (a, b) = (marked(&one, "type=gha", message), marked(&file("b.yml", "[db]"), "type=gha", message));
        let (a, b) = (marked(&a, "type=gha", "note: this build does"), marked(&b, "type=gha", "note: this build does"));
        check(&RULE, &format!("{a}{b}"));
    }

    #[test]
    fn targets_of_different_legs_go_where_each_leg_says() {
        let bake =
            "#- docker-bake.hcl\ngroup \"both\" { targets = [\"api\", \"web\"] }\ntarget \"api\" { context = \"api\" }\ntarget \"web\" { context = \"web\" }\n";
        let text = |legs: &str, scope: &str| {
            let job = steps(&format!(
                "- uses: docker/bake-action@v7\n  with:\n    targets: ${{{{ matrix.target }}}}\n    set: \"*.cache-to=type=gha,scope={scope}\""
            ));
            format!("{bake}{}", job.replace("    steps:", &format!("    strategy: {{matrix: {{target: {legs}}}}}\n    steps:")))
        };
        check(&RULE, &text("[api, web]", "${{ matrix.target }}"));
        let message = |place: &str| format!("warning: the targets `api` and `web` export to the scope `{place}`, and each replaces the cache of the other");
        let own = "type=gha,scope=${{ matrix.target }}";
        check(&RULE, &marked(&text("[api, both]", "${{ matrix.target }}"), own, &message("${{ matrix.target }}")));
        check(&RULE, &marked(&text("[api, web]", "all"), "type=gha,scope=all", &message("all")));
    }

    #[test]
    fn targets_that_a_job_before_lists_go_where_each_leg_says() {
        let bake = "#- docker-bake.hcl\ngroup \"default\" { targets = [\"api\", \"web\"] }\ntarget \"api\" { context = \"api\" }\ntarget \"web\" { context = \"web\" }\n";
        let text = |action: &str, matrix: &str, with: &str| {
            let list = format!(
                "  list:\n    runs-on: ubuntu-latest\n    outputs: {{all: '${{{{ steps.list.outputs.{matrix} }}}}'}}\n    steps:\n      - id: list\n        uses: docker/bake-action/subaction/{action}@v6\n"
            );
            let key = if matrix == "matrix" { "include" } else { "target" };
            let job = steps(&format!("- uses: docker/bake-action@v7\n  with:\n    targets: ${{{{ matrix.target }}}}\n{with}"));
            let job = job.replace(
                "    steps:",
                &format!("    needs: list\n    strategy: {{matrix: {{{key}: '${{{{ fromJSON(needs.list.outputs.all) }}}}'}}}}\n    steps:"),
            );
            format!("{bake}{}", job.replacen("jobs:\n", &format!("jobs:\n{list}"), 1))
        };
        let set = |scope: &str| format!("    set: \"*.cache-to=type=gha,scope={scope}\"");
        let message = "warning: the targets `api` and `web` export to the scope `all`, and each replaces the cache of the other";
        for (action, output) in [("list-targets", "targets"), ("matrix", "matrix")] {
            check(&RULE, &marked(&text(action, output, &set("all")), "type=gha,scope=all", message));
            check(&RULE, &text(action, output, &set("${{ matrix.target }}")));
        }
        // Something else is listed, or of other files.
        check(&RULE, &text("list-groups", "targets", &set("all")));
        check(&RULE, &text("list-targets", "names", &set("all")));
        let other = text("list-targets", "targets", &format!("    files: docker-bake.hcl\n{}", set("all")));
        check(&RULE, &other.replace("subaction/list-targets@v6\n", "subaction/list-targets@v6\n        with: {files: other.hcl}\n"));
    }

    /// A workflow that builds the folder that it is given, and one that calls it with these jobs.
    fn called(cache: &str, jobs: &str) -> String {
        let reusable = build_step(&format!("context: ${{{{ inputs.folder }}}}\n{cache}"));
        let reusable =
            reusable.replace("ci.yml", "build.yml").replace("on: push", "on: {workflow_call: {inputs: {folder: {type: string}, scope: {type: string}}}}");
        let files = "#- api/Dockerfile\nFROM a:1.0\n#- web/Dockerfile\nFROM a:1.0\n";
        let jobs: String = jobs.lines().map(|it| format!("  {it}\n")).collect();
        format!("{files}{reusable}#- .github/workflows/ci.yml\non: push\njobs:\n{jobs}")
    }

    const CALL: &str = "./.github/workflows/build.yml";

    #[test]
    fn calls_of_one_workflow_may_share_a_scope() {
        let message = "warning: other calls of this workflow export to the scope `buildkit` too, and each replaces the cache of the other";
        let note = "note: for the image of this call";
        let matrix = format!("all:\n  strategy: {{matrix: {{app: [api, web]}}}}\n  uses: {CALL}\n  with: {{folder: '${{{{ matrix.app }}}}'}}");
        check_without_fix(&RULE, &marked(&marked(&called("cache-to: type=gha,mode=max", &matrix), "type=gha,mode=max", message), CALL, note));
        let two = format!("api:\n  uses: {CALL}\n  with: {{folder: api}}\nweb:\n  uses: {CALL}\n  with: {{folder: web}}");
        let text = marked(&marked(&called("cache-to: type=gha,mode=max", &two), "type=gha,mode=max", message), CALL, note);
        let at = text.rfind(CALL).unwrap();
        let line = text[..at].rfind('\n').unwrap() + 1;
        check_without_fix(&RULE, &format!("{}{}", &text[..line], marked(&text[line..], CALL, note)));
    }

    #[test]
    fn calls_that_tell_their_scopes_apart_or_build_the_same_are_silent() {
        let call = |with: &str| format!("all:\n  strategy: {{matrix: {{app: [api, web]}}}}\n  uses: {CALL}\n  with: {{{with}}}");
        let app = "folder: '${{ matrix.app }}'";
        check(&RULE, &called("cache-to: type=gha,scope=${{ inputs.folder }}", &call(app)));
        check(&RULE, &called("cache-to: type=gha,scope=${{ inputs.scope }}", &call(&format!("{app}, scope: '${{{{ matrix.app }}}}'"))));
        check(&RULE, &called("cache-to: type=gha", &call("folder: api")));
        check(&RULE, &called("cache-to: type=gha", &call("folder: '${{ vars.FOLDER }}'")));
        check(&RULE, &called("cache-to: type=gha", &call(app)).replace("on: push\n", "on: {release: {types: [published]}}\n"));
    }

    /// An action that builds the folder that it is given, and a job of these steps that call it.
    fn called_action(cache: &str, on: &str, calls: &[&str]) -> String {
        let inputs = "inputs: {folder: {default: api}, scope: {default: image}}";
        let step = format!("    - uses: docker/build-push-action@v6\n      with:\n        context: ${{{{ inputs.folder }}}}\n        cache-to: {cache}\n");
        let action = format!("#- .github/actions/build/action.yml\nname: build\n{inputs}\nruns:\n  using: composite\n  steps:\n{step}");
        let files = "#- api/Dockerfile\nFROM a:1.0\n#- web/Dockerfile\nFROM a:1.0\n";
        let calls: String = calls.iter().map(|it| format!("      - {{uses: ./.github/actions/build, {it}}}\n")).collect();
        let setup = "      - uses: actions/checkout@v4\n      - uses: docker/setup-buildx-action@v3\n";
        let job = format!("  images:\n    runs-on: ubuntu-latest\n    steps:\n{setup}{calls}");
        format!("{files}{action}#- .github/workflows/ci.yml\non: {on}\njobs:\n{job}")
    }

    #[test]
    fn calls_of_one_action_may_share_a_scope() {
        const USED: &str = "./.github/actions/build";
        let message = "warning: other calls of this action export to the scope `image` too, and each replaces the cache of the other";
        let note = "note: for the image of this call";
        let cache = "type=gha,scope=${{ inputs.scope }}";
        let text = called_action(cache, "push", &["name: api", "with: {folder: web}"]);
        let text = marked(&marked(&text, "scope=${{ inputs.scope }}", message), USED, note);
        let line = text[..text.rfind(USED).unwrap()].rfind('\n').unwrap() + 1;
        check_without_fix(&RULE, &format!("{}{}", &text[..line], marked(&text[line..], USED, note)));
        check(&RULE, &called_action(cache, "push", &["name: api", "with: {folder: api}"]));
        check(&RULE, &called_action(cache, "push", &["name: api", "with: {folder: web, scope: web}"]));
        check(&RULE, &called_action(cache, "push", &["name: api", "with: {folder: '${{ vars.FOLDER }}'}"]));
        check(&RULE, &called_action(cache, "{push: {tags: ['v*']}}", &["name: api", "with: {folder: web}"]));
        let events = ["if: github.event_name == 'push'", "if: github.event_name != 'push', with: {folder: web}"];
        check(&RULE, &called_action(cache, "[push, pull_request]", &events));
    }

    #[test]
    fn each_image_gets_a_scope() {
        let text = two(
            "file: a.Dockerfile, tags: org/a, cache-from: 'type=gha', cache-to: 'type=gha,mode=max'",
            "file: b.Dockerfile, tags: org/b, cache-from: 'type=gha', cache-to: 'type=gha,mode=max'",
        );
        let after = two(
            "file: a.Dockerfile, tags: org/a, cache-from: 'type=gha,scope=a', cache-to: 'type=gha,mode=max,scope=a'",
            "file: b.Dockerfile, tags: org/b, cache-from: 'type=gha,scope=b', cache-to: 'type=gha,mode=max,scope=b'",
        );
        check_fix(&RULE, &found(&text, "type=gha,mode=max", "type=gha,mode=max", "the scope `buildkit`"), &after);
    }

    #[test]
    fn contexts_and_targets_make_images_too() {
        for (first, second) in [("context: ./a", "context: ./b"), ("target: a", "target: b"), ("platforms: linux/amd64", "platforms: linux/arm64")] {
            let text = two(&format!("{first}, push: true, cache-to: 'type=gha,scope=x'"), &format!("{second}, push: true, cache-to: 'type=gha,scope=x'"));
            check(&RULE, &found(&text, "scope=x", "type=gha,scope=x", "the scope `x`"));
        }
    }

    #[test]
    fn a_build_argument_that_chooses_the_base_makes_an_image() {
        let text = two("build-args: V=1, push: true, cache-to: 'type=gha'", "build-args: V=2, push: true, cache-to: 'type=gha'");
        check(&RULE, &format!("#- Dockerfile\nARG V\nFROM a:$V\n{}", found(&text, "type=gha", "type=gha", "the scope `buildkit`")));
        check(&RULE, &format!("#- Dockerfile\nFROM a:1.0\nARG V\nRUN $V\n{text}"));
    }

    fn other_file(with: &str, on: &str) -> String {
        build_step(with).replace("ci.yml", "other.yml").replace("on: push", on)
    }

    #[test]
    fn builds_of_other_workflows_count_where_both_run() {
        let text = build_step("file: a.Dockerfile\ntags: org/a\ncache-to: type=gha,mode=max");
        let (at, described) = ("type=gha,mode=max", "the scope `buildkit`");
        for on in ["on: push", "on: [push, pull_request]", "on: {push: {branches: ['**']}}"] {
            let other = other_file("file: b.Dockerfile\ntags: org/b\ncache-to: 'type=gha'", on);
            let marks = |text: &str, at: &str| {
                marked(text, at, &format!("warning: another build exports to {described} too, and each replaces the cache of the other"))
            };
            let both = marks(&marked(&text, at, "note: this build does"), at);
            let both = both + &marks(&marked(&other, "type=gha", "note: this build does"), "type=gha");
            check(&RULE, &both);
        }
        for on in ["on: pull_request", "on: release", "on: {push: {tags: ['v*']}}", "on: workflow_dispatch", "on: workflow_call"] {
            check(&RULE, &format!("{text}{}", other_file("file: b.Dockerfile\ncache-to: 'type=gha'", on)));
        }
    }

    #[test]
    fn what_is_called_meets_what_its_callers_meet() {
        let text = build_step("file: a.Dockerfile\ntags: org/a\ncache-to: type=gha");
        let callee = other_file("file: b.Dockerfile\ntags: org/b\ncache-to: type=gha", "on: workflow_call");
        let caller = "#- .github/workflows/main.yml\non: push\njobs:\n  a:\n    uses: ./.github/workflows/other.yml\n";
        let marks = |text: &str| {
            let message = "warning: another build exports to the scope `buildkit` too, and each replaces the cache of the other";
            marked(&marked(text, "type=gha", "note: this build does"), "type=gha", message)
        };
        check(&RULE, &format!("{}{}{caller}", marks(&text), marks(&callee)));
        for other in ["on: release", "on: workflow_call", "on: pull_request"] {
            check(&RULE, &format!("{text}{callee}{}", caller.replace("on: push", other)));
        }
        check(&RULE, &format!("{text}{callee}{}", caller.replace("  a:\n", "  a:\n    if: github.event_name == 'push'\n")));
    }

    #[test]
    fn workflows_that_build_one_image_from_different_files_are_told_apart() {
        let text = build_step("file: a.Dockerfile\ntags: org/app\ncache-to: type=gha,scope=app");
        let other = other_file("file: b.Dockerfile\ntags: org/app:b\ncache-to: type=gha,scope=app", "on: push");
        let message = "warning: another build exports to the scope `app` too, and each replaces the cache of the other";
        let marks = |text: &str| marked(&marked(text, "type=gha,scope=app", "note: this build does"), "scope=app", message);
        check_fix(&RULE, &format!("{}{}", marks(&text), marks(&other)), &text.replace("scope=app", "scope=app-ci"));
    }

    #[test]
    fn what_runs_on_tags_only_loses_nothing() {
        let both = two("file: a.Dockerfile, cache-to: 'type=gha'", "file: b.Dockerfile, cache-to: 'type=gha'");
        for on in ["on: release", "on: {push: {tags: ['v*']}}", "on: {push: {tags: ['v*']}, release: {types: [published]}}"] {
            check(&RULE, &both.replace("on: push", on));
            let tags = other_file("file: b.Dockerfile\ncache-to: type=gha", on);
            check(
                &RULE,
                &format!("{}{tags}", build_step("file: a.Dockerfile\ncache-to: type=gha").replace("on: push", "on: {push: {branches: [main], tags: ['*']}}")),
            );
        }
    }

    #[test]
    fn a_workflow_below_the_root_shares_nothing() {
        let other = other_file("file: b.Dockerfile\ncache-to: type=gha", "on: push").replace("#- .github", "#- vendor/.github");
        check(&RULE, &format!("{}{other}", build_step("file: a.Dockerfile\ncache-to: type=gha")));
    }

    #[test]
    fn branches_keep_workflows_apart() {
        let text = build_step("file: a.Dockerfile\ncache-to: type=gha").replace("on: push", "on: {push: {branches: [main]}}");
        check(&RULE, &format!("{text}{}", other_file("file: b.Dockerfile\ncache-to: type=gha", "on: {push: {branches: [stable]}}")));
    }

    #[test]
    fn a_registry_is_one_for_all() {
        let text = build_step("file: a.Dockerfile\ncache-to: type=registry,ref=org/cache:x");
        let other = other_file("file: b.Dockerfile\ncache-to: 'type=registry,ref=docker.io/org/cache:x'", "on: release");
        let message = |place: &str| format!("warning: another build exports to the reference `{place}` too, and each replaces the cache of the other");
        let text = marked(&marked(&text, "type=registry,ref=org/cache:x", "note: this build does"), "ref=org/cache:x", &message("org/cache:x"));
        let other = marked(
            &marked(&other, "type=registry,ref=docker.io/org/cache:x", "note: this build does"),
            "ref=docker.io/org/cache:x",
            &message("docker.io/org/cache:x"),
        );
        check_without_fix(&RULE, &format!("{text}{other}"));
    }

    #[test]
    fn a_leg_of_a_matrix_may_share_with_another_job() {
        let matrix = build_step("file: ${{ matrix.image }}.Dockerfile\ncache-to: type=gha,scope=${{ matrix.image }}")
            .replace("    steps:", "    strategy: {matrix: {image: [a, b]}}\n    steps:");
        let other = "  more:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/build-push-action@v7\n        with: {file: c.Dockerfile, cache-to: 'type=gha,scope=b'}\n";
        let text = format!("{matrix}{other}");
        check(&RULE, &found(&text, "scope=${{ matrix.image }}", "type=gha,scope=b", "the scope `${{ matrix.image }}`"));
    }

    #[test]
    fn one_image_shares_its_cache_rightly() {
        let options = "tags: org/a, cache-from: 'type=gha', cache-to: 'type=gha'";
        check(&RULE, &two(&format!("load: true, {options}"), &format!("push: true, {options}")));
        check(&RULE, &two(&format!("target: test, load: true, {options}"), &format!("push: true, {options}")));
        check(&RULE, &two(&format!("platforms: linux/amd64, load: true, {options}"), &format!("platforms: 'linux/amd64,linux/arm64', push: true, {options}")));
        check(
            &RULE,
            &format!("{}{}", build_step("file: a.Dockerfile\ncache-to: type=gha"), other_file("file: ./a.Dockerfile\ncache-to: type=gha", "on: push")),
        );
    }

    #[test]
    fn scopes_of_their_own_are_silent() {
        check(&RULE, &two("file: a.Dockerfile, cache-to: 'type=gha,scope=a'", "file: b.Dockerfile, cache-to: 'type=gha,scope=b'"));
        check(&RULE, &two("file: a.Dockerfile, cache-to: 'type=gha'", "file: b.Dockerfile, cache-from: 'type=gha'"));
        check(&RULE, &two("file: a.Dockerfile, cache-to: 'type=inline'", "file: b.Dockerfile, cache-to: 'type=inline'"));
        check(&RULE, &two("file: a.Dockerfile, cache-to: 'type=local,dest=/a'", "file: b.Dockerfile, cache-to: 'type=local,dest=/a'"));
    }

    #[test]
    fn what_is_not_known_is_silent() {
        check(&RULE, &two("file: '${{ inputs.file }}', push: true, cache-to: 'type=gha'", "file: b.Dockerfile, push: true, cache-to: 'type=gha'"));
        check(&RULE, &two("file: a.Dockerfile, cache-to: '${{ inputs.cache }}'", "file: b.Dockerfile, cache-to: 'type=gha'"));
        check(&RULE, &two("file: a.Dockerfile, cache-to: 'type=gha,scope=${{ inputs.scope }}'", "file: b.Dockerfile, cache-to: 'type=gha'"));
        let conditions = two("file: a.Dockerfile, cache-to: 'type=gha'", "file: b.Dockerfile, cache-to: 'type=gha'");
        let conditions = conditions.replace("on: push", "on: [push, pull_request]");
        check(&RULE, &conditions.replacen("- uses: docker/build", "- if: github.event_name == 'push'\n        uses: docker/build", 1));
    }

    #[test]
    fn a_condition_that_all_events_meet_keeps_nothing_apart() {
        let both = two("file: a.Dockerfile, push: true, cache-to: 'type=gha'", "file: b.Dockerfile, push: true, cache-to: 'type=gha,mode=max'");
        let when = |on: &str, condition: &str| {
            let condition = format!("- if: {condition}\n        uses: docker/build");
            both.replace("on: push", &format!("on: {on}")).replacen("- uses: docker/build", &condition, 1)
        };
        for (on, condition) in [
            ("[push, pull_request]", "contains(fromJSON('[\"push\", \"pull_request\"]'), github.event_name)"),
            ("push", "github.event_name == 'push'"),
            ("[push, pull_request]", "github.event_name != 'release' || github.ref == 'refs/heads/main'"),
        ] {
            check(&RULE, &found(&when(on, condition), "type=gha", "type=gha,mode=max", "the scope `buildkit`"));
        }
        for (on, condition) in [
            ("[push, pull_request]", "contains(fromJSON('[\"push\"]'), github.event_name)"),
            ("[push, workflow_call]", "github.event_name == 'push'"),
            ("push", "github.event_name == 'push' && github.ref == 'refs/heads/main'"),
            ("push", "contains(fromJSON(inputs.events), github.event_name)"),
        ] {
            check(&RULE, &when(on, condition));
        }
    }

    #[test]
    fn a_workflow_that_several_files_call_may_share_a_scope() {
        let files = "#- api/Dockerfile\nFROM a:1.0\n#- web/Dockerfile\nFROM a:1.0\n";
        let callee = build_step("context: ${{ inputs.folder }}\ncache-to: type=gha").replace("ci.yml", "build.yml");
        let callee = callee.replace("on: push", "on: {workflow_call: {inputs: {folder: {type: string}}}}");
        let caller = |folder: &str, on: &str| {
            format!("#- .github/workflows/{folder}.yml\non: {on}\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n    with: {{folder: {folder}}}\n")
        };
        let message = "warning: other calls of this workflow export to the scope `buildkit` too, and each replaces the cache of the other";
        let noted = |text: &str| marked(text, "./.github/workflows/build.yml", "note: for the image of this call");
        for on in ["push", "{push: {branches: [main], paths: ['web/**']}}"] {
            let callers = noted(&caller("api", "push")) + &noted(&caller("web", on));
            check(&RULE, &format!("{files}{}{callers}", marked(&callee, "type=gha", message)));
        }
        for on in ["workflow_dispatch", "{push: {tags: ['v*']}}", "pull_request", "workflow_call"] {
            check(&RULE, &format!("{files}{callee}{}{}", caller("api", "push"), caller("web", on)));
        }
        let apart = callee.replace("type=gha", "type=gha,scope=${{ inputs.folder }}");
        check(&RULE, &format!("{files}{apart}{}{}", caller("api", "push"), caller("web", "push")));
        check(&RULE, &format!("{files}{callee}{}{}", caller("api", "push"), caller("web", "push").replace("folder: web", "folder: api")));
    }

    #[test]
    fn builders_that_keep_their_layers_are_silent() {
        let text = two("file: a.Dockerfile, cache-to: 'type=gha'", "file: b.Dockerfile, cache-to: 'type=gha'");
        check(&RULE, &text.replace("docker/build-push-action", "depot/build-push-action"));
    }

    #[test]
    fn a_cache_that_others_import_is_not_moved() {
        let text = two("file: a.Dockerfile, cache-to: 'type=gha'", "file: b.Dockerfile, cache-to: 'type=gha'");
        let reader = other_file("cache-from: type=gha", "on: push");
        check_without_fix(&RULE, &format!("{}{reader}", found(&text, "type=gha", "type=gha", "the scope `buildkit`")));
    }

    const BAKE: &str = "#- docker-bake.hcl\ngroup \"default\" {\n  targets = [\"api\", \"web\"]\n}\ntarget \"_cache\" {\n  cache-to = [\"type=gha,mode=max\"]\n}\ntarget \"api\" {\n  inherits = [\"_cache\"]\n  context = \"api\"\n}\ntarget \"web\" {\n  inherits = [\"_cache\"]\n  context = \"web\"\n}\n";

    fn bake(with: &str) -> String {
        steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with:\n    files: docker-bake.hcl\n{with}"))
    }

    const TARGETS: &str = "warning: the targets `api` and `web` export to the scope `buildkit`, and each replaces the cache of the other";

    #[test]
    fn targets_of_a_bake_file_share_what_they_inherit() {
        let file = marked(BAKE, "type=gha,mode=max", TARGETS);
        check_without_fix(&RULE, &format!("{file}{}", bake("")));
        check_without_fix(&RULE, &file);
        check(&RULE, &format!("{BAKE}{}", bake("    targets: api")));
        check(&RULE, &format!("{BAKE}{}", bake("    set: |\n      api.cache-to=type=gha,scope=api\n")));
        check(&RULE, &format!("{BAKE}{}", bake("    targets: ${{ matrix.target }}")));
        let legs = bake("    targets: ${{ matrix.target }}").replace("    steps:", "    strategy: {matrix: {target: [api, web]}}\n    steps:");
        check(&RULE, &format!("{file}{legs}"));
        for on in ["on: release", "on: {push: {tags: ['v*']}}"] {
            check(&RULE, &format!("{BAKE}{}", bake("").replace("on: push", on)));
            let plain = BAKE.replace("\"type=gha,mode=max\"", "");
            check(&RULE, &format!("{plain}{}", bake("    set: |\n      *.cache-to=type=gha\n").replace("on: push", on)));
        }
        let registry = BAKE.replace("type=gha,mode=max", "type=registry,ref=a/b:cache");
        let message = TARGETS.replace("scope `buildkit`", "reference `a/b:cache`");
        let file = marked(&registry, "ref=a/b:cache", &message);
        check_without_fix(&RULE, &format!("{file}{}", bake("").replace("on: push", "on: release")));
    }

    #[test]
    fn targets_that_nobody_asks_for_by_default_are_an_information() {
        let file = BAKE.replace("[\"api\", \"web\"]", "[\"api\"]");
        check(&RULE, &marked(&file, "type=gha,mode=max", &TARGETS.replace("warning", "info")));
    }

    #[test]
    fn services_of_compose_share_an_anchor() {
        let compose = "#- compose.yaml\nx-cache: &cache\n  cache_to: ['type=gha,mode=max']\nservices:\n  api: {build: {context: api, <<: *cache}}\n  web: {build: {context: web, <<: *cache}}\n";
        let file = marked(compose, "type=gha,mode=max", TARGETS);
        check_without_fix(&RULE, &format!("{file}{}", steps("- run: docker compose build")));
        check(&RULE, &format!("{compose}{}", steps("- run: docker compose build web")));
        check(&RULE, &compose.replace("context: web", "context: api"));
    }

    #[test]
    fn a_bake_file_may_have_any_name_and_be_one_of_several() {
        let named = marked(BAKE, "type=gha,mode=max", TARGETS).replace("docker-bake.hcl", "images/all.hcl");
        let step = |files: &str| bake("").replace("files: docker-bake.hcl", &format!("files: {files}"));
        check_without_fix(&RULE, &format!("{named}{}", step("images/all.hcl")));
        let own = "#- own.hcl\ntarget \"web\" {\n  cache-to = [\"type=gha,scope=web\"]\n}\n";
        check(&RULE, &format!("{BAKE}{own}{}", step("docker-bake.hcl,own.hcl")));
        check(&RULE, &format!("{BAKE}{own}{}", step("own.hcl,docker-bake.hcl")));
        let file = marked(BAKE, "type=gha,mode=max", TARGETS);
        let meta = "|\n      docker-bake.hcl\n      cwd://${{ steps.meta.outputs.bake-file }}";
        check_without_fix(&RULE, &format!("{file}{}", step(meta)));
        check_without_fix(&RULE, &format!("{file}{}", bake("").replace("    files: docker-bake.hcl\n", "    push: true\n")));
        check(&RULE, &format!("{file}{}", step("${{ inputs.file }}")));
    }

    #[test]
    fn a_service_and_a_target_of_one_call_share_too() {
        let compose = "#- compose.yaml\nservices:\n  api:\n    build: {context: api, cache_to: ['type=gha,mode=max']}\n";
        let bake = "#- docker-bake.hcl\ntarget \"web\" {\n  context = \"web\"\n  cache-to = [\"type=gha,mode=max\"]\n}\n";
        let call = |targets: &str| steps(&format!("- run: docker buildx bake {targets}"));
        check_without_fix(&RULE, &format!("{}{bake}{}", marked(compose, "type=gha,mode=max", TARGETS), call("api web")));
        check(&RULE, &format!("{compose}{bake}{}", call("web")));
        check(&RULE, &format!("{compose}{bake}{}", call("$TARGETS")));
        let own = "target \"api\" {\n  cache-to = [\"type=gha,mode=max,scope=api\"]\n}\n";
        check(&RULE, &format!("{compose}{bake}{own}{}", call("api web")));
        // What one inherits from the service stands in the service.
        let heir = "#- docker-bake.hcl\ntarget \"web\" {\n  inherits = [\"api\"]\n  context = \"web\"\n}\n";
        check_without_fix(&RULE, &format!("{}{heir}{}", marked(compose, "type=gha,mode=max", TARGETS), call("api web")));
    }

    #[test]
    fn what_a_call_sets_decides_what_is_built() {
        check(&RULE, &format!("{BAKE}{}", bake("    set: |\n      *.context=.\n")));
        let file = marked(&BAKE.replace("context = \"web\"", "context = \"api\""), "type=gha,mode=max", TARGETS);
        let text = bake("    set: |\n      web.dockerfile=web.Dockerfile\n");
        check_without_fix(&RULE, &format!("{file}{text}"));
    }

    #[test]
    fn targets_that_another_one_uses_are_in_its_cache() {
        let file = BAKE.replace("  context = \"web\"\n", "  context = \"web\"\n  contexts = { base = \"target:api\" }\n");
        check(&RULE, &format!("{file}{}", bake("    targets: web")));
        check(&RULE, &format!("{file}{}", bake("")));
    }

    #[test]
    fn a_line_of_set_is_for_all_targets_that_it_fits() {
        let text = bake("    set: |\n      *.cache-to=type=gha\n");
        check(&RULE, &format!("{BAKE}{}", marked(&text, "type=gha", TARGETS)));
        check(&RULE, &format!("{BAKE}{}", bake("    set: |\n      api.cache-to=type=gha,scope=a\n      web.cache-to=type=gha,scope=b\n")));
    }
}
