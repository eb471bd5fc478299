use super::{Check, Findings, declare_rule, freshness};
use crate::build::{Build, Context, Tool};
use crate::config::Config;
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::dockerfile::moves::Refusal;
use crate::dockerfile::{Dockerfile, Instruction, Kind, Stage};
use crate::edit::{EditSet, Span};
use crate::facts::{self, Text};
use crate::file;
use crate::links::locations::{Location, Side};
use crate::links::{Folder, Place, Target};
use crate::shell::Command;
use crate::value::{Leg, Value};
use crate::view::{Call, Likeness, Run, Start, StepView, Use, View, WorkflowView};
use crate::volatility::Cost;
use crate::workflow::expression::is_input_key;
use crate::workflow::repair::{CacheEdit, TargetOptions, outside_of_pull_requests};
use crate::workflow::{Builder, Event, Job, Line, RunnerKind, Step, Trigger, Workflow};
use std::borrow::Cow;
use std::collections::BTreeMap;

declare_rule! {
    /// A build in a workflow has no cache.
    ///
    /// A hosted runner is a new machine for every job, and its builder starts empty. Without
    /// `cache-from` and `cache-to` every layer is built again in every run, whatever changed.
    ///
    /// ```yaml,bad
    /// #- Dockerfile
    /// FROM node:22.11
    /// COPY package.json package-lock.json ./
    /// RUN npm ci
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: actions/checkout@v6
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           context: .
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app,ignore-error=true
    /// ```
    ///
    /// An information only where the build is rare or its part is not known: `docker build` in a
    /// script, targets of bake, services of compose, a workflow that is started by hand, or called by one of those or by nobody in the repository, a Dockerfile that cannot be told, or
    /// one that neither downloads nor compiles anything, a builder that was chosen and can export no cache (`driver: docker`); and where the workflow also runs on a
    /// schedule, which is how images are built again to get new packages, or only when the Dockerfile
    /// changes. For targets of bake the options are lines of `set:` in the step, and not in the bake file, which is
    /// for builds by hand as well: there Docker's own builder refuses to export a cache. A folder that `actions/cache` keeps for
    /// layers counts as a cache where something in the job may use it. Not reported are builds
    /// whose cache options are commented out, as somebody did not want them, and builds of releases and tags, which had better not use a cache that others can
    /// write; builders that keep their layers, runners of one's own; `no-cache`; a `cache-mode`
    /// that forbids it; and Dockerfiles that run nothing. The cache of GitHub holds 10 GB for a
    /// repository: images that are larger, or many branches, do better with a cache in a registry.
    ///
    /// ## Fix safety
    ///
    /// Only cache options are added. Where no step sets up Buildx, whose absence keeps the cache
    /// from working, that step is added as well; this is unsafe, as later steps may expect the
    /// image in Docker. It is unsafe as well where the workflow runs on a schedule, as layers of the
    /// cache have the packages of the day they were built, and where the build upgrades all packages
    /// (`apk upgrade`) or fetches what moves (the warnings of `moving-fetch`), which it would do no more. There is no fix where somebody who may
    /// not write to the repository can start the workflow on the main branch, whose cache is not
    /// theirs to write: `pull_request_target`, `issue_comment`, `workflow_run`; and none where only pull
    /// requests build, which read no cache of each other; nor where a step has chosen Docker's own builder
    /// (`driver: docker`), with which the next build finds the image. Pull requests export nothing. Layers that hold
    /// secrets would be in the cache.
    pub(crate) static MISSING_BUILD_CACHE = {
        name: "missing-build-cache",
        level: Level::Warning,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    if view.workflow.broken || !view.is_on_github() {
        return;
    }
    let mut dated = Dated { view, config: findings.config(), known: BTreeMap::new() };
    for build in view.judged().filter(|it| has_no_cache(it) && !follows_another(view, it) && !is_commented_out(view, it)) {
        let levels = [level_of_runs(view, build), level_of_builder(view, build), level_of_dockerfiles(view, build)];
        let Some(level) = levels.into_iter().collect::<Option<Vec<_>>>().and_then(|it| it.into_iter().min()) else { continue };
        let finding = findings.report(build.build.span, "nothing of this build is cached, so that every run builds all layers again");
        let finding = finding.level(level);
        match dated.first(build) {
            Some(refusal) => finding.unproven(&refusal).maybe_fix(|| fix(view, build, true)),
            None => finding.maybe_fix(|| fix(view, build, false)),
        };
    }
}

/// What builds do that a kept layer would do no more, by Dockerfile.
struct Dated<'v, 'a> {
    view: &'v WorkflowView<'a>,
    config: &'v Config,
    known: BTreeMap<String, Vec<(Span, String)>>,
}

impl Dated<'_, '_> {
    /// The first of it in the stages that a build reaches.
    fn first(&mut self, build: &StepView<'_>) -> Option<Refusal> {
        places(self.view, build).iter().find_map(|place| {
            let path = place.dockerfile.as_ref()?;
            let dockerfile = self.view.dockerfile(path)?;
            let found = self.known.entry(path.clone()).or_insert_with(|| match View::new(self.view.snapshot, path, self.config) {
                Some(View::Dockerfile(view)) => freshness::dated(&view),
                _ => Vec::new(),
            });
            let reached = reached(dockerfile, &place.target);
            let is_reached = |at: Span| reached.iter().flat_map(|it| &it.instructions).any(|it| it.span.contains(at));
            let (span, reason) = found.iter().find(|it| is_reached(it.0))?;
            Some(Refusal { file: Some((path.clone(), *span)), ..Refusal::at(*span, reason.clone()) })
        })
    }
}

fn has_no_cache(build: &StepView<'_>) -> bool {
    let options = build.build;
    let inline_cache = options.arguments.iter().any(|it| it.name == "BUILDKIT_INLINE_CACHE");
    // A Dockerfile that the script writes itself is a line or two on top of an image.
    let written_here = options.inline || matches!(&options.context, Context::Foreign(it) if it.known().as_deref() == Some("-"));
    let none = options.imports.is_empty() && options.exports.is_empty() && !options.no_cache && !options.opaque && !inline_cache && !written_here;
    none && build.may_write_cache()
        && matches!(options.tool, Tool::BuildPushAction | Tool::Command | Tool::Bake | Tool::Compose)
        && !has_cache_of_its_own(build)
}

/// Whether a build before it in the job has left the layers in the builder: the one that has to be
/// given a cache is that one.
fn follows_another(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    let place = |it: &StepView<'_>| it.places.iter().map(|it| (it.dockerfile.clone(), it.context.clone())).collect::<Vec<_>>();
    let written = |it: &StepView<'_>| (it.build.dockerfile.as_ref().map(Value::pattern), it.build.context.value().map(Value::pattern).unwrap_or_default());
    let same = |it: &StepView<'_>| match build.dockerfile() {
        Some(_) => place(it) == place(build),
        None => written(it) == written(build),
    };
    view.builds.iter().filter(|it| it.index < build.index && it.job.id == build.job.id && !it.build.dry).any(|it| it.builder == build.builder && same(it))
}

/// Whether somebody has taken the options out: a comment in the step, or behind it, has them.
fn is_commented_out(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    let Some(step) = build.job.steps.get(build.step.step) else { return false };
    let end = build.job.steps.get(build.step.step + 1).map_or_else(|| end_of_comments(&view.source, step), |it| it.span.start);
    let own = view.yaml.comments.iter().filter(|it| step.span.start <= it.start && it.start < end.max(step.span.end));
    own.map(|it| it.of(&view.source).trim_start_matches(['#', ' ', '-'])).any(|it| it.starts_with("cache-from") || it.starts_with("cache-to"))
}

/// Where the comments end that follow on the last step of a job and are not left of its keys.
fn end_of_comments(source: &str, step: &Step) -> usize {
    let column = step.span.start - source[..step.span.start].rfind('\n').map_or(0, |it| it + 1);
    let end = step.span.end;
    let end = if source[..end].ends_with('\n') { end } else { source[end..].find('\n').map_or(source.len(), |it| end + it + 1) };
    let is_behind = |line: &&str| {
        let text = line.trim_start();
        text.is_empty() || (text.starts_with('#') && line.len() - text.len() >= column)
    };
    end + source[end..].split_inclusive('\n').take_while(is_behind).map(str::len).sum::<usize>()
}

/// Whether a step before or after it keeps layers or images in another way.
fn has_cache_of_its_own(build: &StepView<'_>) -> bool {
    const WORDS: &[&str] = &["docker-layer-caching", "docker-cache", "buildkit-cache-dance", "docker-image-cache"];
    build.job.steps.iter().any(|step| {
        let by_action = step.action.as_ref().is_some_and(|it| WORDS.iter().any(|word| it.name.to_ascii_lowercase().contains(word)));
        let keeps = |it: &Line| {
            let path = it.passage.text();
            path.contains("docker") || (path.contains("buildx") && !is_unused_folder(build.job, step, path))
        };
        let by_folder = step.is_folder_cache() && step.lines("path").iter().any(keeps);
        by_action || by_folder || step.has_command(&["docker", "load"])
    })
}

/// Whether a folder that a step keeps has no use in the job: layers are found there only where an option of a build or
/// a command names it, which what is not known, a script of the repository among it, may have.
fn is_unused_folder(job: &Job, keeper: &Step, path: &str) -> bool {
    let name = facts::name(path.trim_end_matches('/'));
    let is_layers = name.contains("buildx") && !path.contains(['$', '*']);
    let names = |it: &Step| it.run.as_ref().is_some_and(|it| it.passage.text().contains(name)) || it.inputs.iter().any(|it| it.passage.text().contains(name));
    let runs_unknown =
        |it: &Step| it.action.as_ref().is_some_and(|it| it.is_local()) || it.run.as_ref().is_some_and(|it| it.script.commands.iter().any(runs_file));
    let others = || job.steps.iter().filter(|it| it.span != keeper.span && !it.is_folder_cache());
    is_layers && !others().any(|it| names(it) || runs_unknown(it) || it.env.iter().any(|it| it.value.pattern().contains(name)))
}

/// Whether a command runs what stands in a file of the repository, or may: what it does is not known.
fn runs_file(command: &Command) -> bool {
    const RUNNERS: &[&str] = &["make", "just", "task", "npm", "yarn", "pnpm", "npx", "bash", "sh", "source", ".", "python", "python3", "node", "rake", "mage"];
    let Some(first) = command.words.first() else { return false };
    first.text.contains('/') || command.program().is_none_or(|it| RUNNERS.contains(&it))
}

/// How much it matters, by what starts it.
fn level_of_runs(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<Level> {
    if asks_for_release(&build.conditions()) || build.job.container.is_some() {
        return None;
    }
    let by_hand = |it: &Trigger| matches!(it.event, Event::WorkflowDispatch | Event::WorkflowCall);
    if view.workflow.triggers.iter().any(is_often) {
        Some(level_in(view, build, &view.path, view.workflow))
    } else {
        // What is called runs when its callers do.
        let triggers = view.triggers();
        let releases = triggers.iter().any(|it| it.1.runs_on_tags()) && !triggers.iter().any(|it| is_often(it.1));
        let is_seldom = |it: &Start<'_>| asks_for_release(&it.conditions) || level_in(view, build, it.path, it.workflow) == Level::Info;
        let matters = !view.workflow.is_action && view.starts().is_some_and(|it| !it.is_empty() && !it.iter().any(is_seldom));
        let level = if matters { Level::Warning } else { Level::Info };
        (view.workflow.triggers.iter().any(by_hand) && !publishes(&view.path) && !releases).then_some(level)
    }
}

fn asks_for_release(conditions: &[String]) -> bool {
    conditions.iter().any(|it| ["refs/tags", "release", "ref_type", "tag"].iter().any(|word| it.contains(word)))
}

fn is_often(trigger: &Trigger) -> bool {
    match trigger.event {
        Event::Push => !trigger.is_tags_only(),
        Event::PullRequest | Event::MergeGroup => true,
        _ => false,
    }
}

/// Whether a workflow publishes, by its name: it may leave the cache out on purpose, as others could have
/// written it.
fn publishes(path: &str) -> bool {
    ["release", "publish", "deploy"].iter().any(|it| facts::name(path).contains(it))
}

/// How much a build matters that the workflow at `path` runs.
fn level_in(view: &WorkflowView<'_>, build: &StepView<'_>, path: &str, workflow: &Workflow) -> Level {
    let mut often = workflow.triggers.iter().filter(|it| is_often(it)).peekable();
    let seldom = often.peek().is_none() || often.all(|it| runs_for_the_recipe(view, build, it));
    if publishes(path) || seldom || workflow.trigger(&Event::Schedule).is_some() { Level::Info } else { Level::Warning }
}

/// Whether only a change of the Dockerfile or of the workflow starts it, after which most of a
/// cache is of no use.
fn runs_for_the_recipe(view: &WorkflowView<'_>, build: &StepView<'_>, trigger: &Trigger) -> bool {
    let is_recipe = |it: &Value| {
        let pattern = it.pattern();
        // `Dockerfile-alpine` is one by its name as well.
        let by_name = facts::name(&pattern).starts_with("Dockerfile-") || file::Kind::of(&pattern) == file::Kind::Dockerfile;
        pattern.starts_with(".github/") || by_name || is_recipe_of(view, build, &pattern)
    };
    trigger.paths.as_ref().is_some_and(|it| !it.patterns.is_empty() && it.patterns.iter().all(is_recipe))
}

/// Whether a pattern of paths is that of the Dockerfile of a build, or of its context where that gives the build nothing
/// but the Dockerfile.
fn is_recipe_of(view: &WorkflowView<'_>, build: &StepView<'_>, pattern: &str) -> bool {
    let base = crate::links::base(&view.path);
    let is_file = |it: &String| facts::relative(it, base).is_some_and(|it| it == pattern);
    let folder = pattern.strip_suffix("/**").filter(|it| !it.is_empty() && !it.contains(['*', '?', '[', '!', '+']));
    let is_folder = |place: &Place| match (&place.context, &place.dockerfile) {
        (Folder::Disk(context) | Folder::Git(context), Some(dockerfile)) => {
            folder.is_some_and(|it| facts::join(base, it) == *context) && view.dockerfile(dockerfile).is_some_and(|it| !takes_context(it))
        }
        _ => false,
    };
    !build.places.is_empty() && build.places.iter().all(|it| it.dockerfile.as_ref().is_some_and(is_file) || is_folder(it))
}

/// Whether a Dockerfile takes anything from the context, or may.
fn takes_context(dockerfile: &Dockerfile) -> bool {
    dockerfile.instructions().any(|(_, it)| match &it.kind {
        Kind::Copy(copy) => copy.from_context(),
        Kind::Run(run) => run.mounts.iter().any(|it| it.binds_context()),
        Kind::Onbuild | Kind::Unknown => true,
        _ => false,
    })
}

fn is_scheduled(view: &WorkflowView<'_>) -> bool {
    view.triggers().iter().any(|it| it.1.event == Event::Schedule)
}

/// How much it matters, by who builds; nothing where the layers may be kept.
fn level_of_builder(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<Level> {
    let is_hosted = |it: &Job| it.runner.as_ref().is_some_and(|it| it.kind == RunnerKind::Hosted);
    // An action runs where those that call it do.
    let runs_elsewhere = if view.workflow.is_action {
        let sites = view.sites();
        !sites.is_empty() && !sites.iter().any(|it| it.workflow.is_action || is_hosted(it.job))
    } else {
        !is_hosted(build.job)
    };
    if runs_elsewhere {
        return None;
    }
    match (build.build.tool, build.builder) {
        (_, Builder::Unknown | Builder::Persistent(_)) => None,
        // `docker build` uses Docker's own builder whatever Buildx is set up to use.
        (Tool::Command, Builder::Container(_)) if build.build.name.contains("buildx") => Some(Level::Warning),
        (Tool::Command, _) => Some(Level::Info),
        _ if build.is_kept_in_docker() => Some(Level::Info),
        _ => Some(Level::Warning),
    }
}

/// How much it matters, by what is built. Targets of bake and services of compose are of one file, in which a cache for all
/// of them has to be thought out.
fn level_of_dockerfiles(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<Level> {
    if !matches!(build.build.tool, Tool::Bake | Tool::Compose) {
        return level_of_places(view, &build.places);
    }
    let calls = view.calls(build)?;
    let has_none = |it: &Build| it.imports.is_empty() && it.exports.is_empty() && !it.no_cache && !it.opaque;
    let places = places_of_targets(view, &calls);
    let level = level_of_places(view, &places).filter(|_| !places.is_empty())?;
    calls.iter().flat_map(|it| &it.targets).all(|it| has_none(&it.build)).then_some(level.min(Level::Info))
}

/// Where a build finds its files: each target of bake, each service of compose.
fn places<'b>(view: &WorkflowView<'_>, build: &'b StepView<'_>) -> Cow<'b, [Place]> {
    match build.build.tool {
        Tool::Bake | Tool::Compose => places_of_targets(view, &view.calls(build).unwrap_or_default()).into(),
        _ => (&build.places[..]).into(),
    }
}

fn places_of_targets(view: &WorkflowView<'_>, calls: &[Call<'_>]) -> Vec<Place> {
    let places = |call: &Call<'_>| call.targets.iter().filter(|it| !it.build.inline).map(|it| call.place(it, &view.path)).collect::<Vec<_>>();
    calls.iter().flat_map(places).collect()
}

/// Nothing where nothing is run, or where that is not known yet.
fn level_of_places(view: &WorkflowView<'_>, places: &[Place]) -> Option<Level> {
    let known: Option<Vec<_>> = places.iter().map(|it| it.dockerfile.as_ref().map(|path| (path, &it.target))).collect();
    let Some(known) = known.filter(|it| !it.is_empty()) else { return Some(Level::Info) };
    let mut cost = None;
    for (path, target) in known {
        match (view.dockerfile(path), view.snapshot.text(path)) {
            (Some(dockerfile), _) => cost = cost.max(cost_of_commands(dockerfile, target)),
            (None, Some(Text::Unreadable)) => return Some(Level::Info),
            (None, _) => return None,
        }
    }
    Some(if cost? < Cost::Download { Level::Info } else { Level::Warning })
}

/// What the most expensive command costs that a build of the target runs; `None` where it runs none.
fn cost_of_commands(dockerfile: &Dockerfile, target: &Target) -> Option<Cost> {
    let stages = reached(dockerfile, target).into_iter();
    let cost = |it: &Instruction| match &it.kind {
        Kind::Run(run) => Some(run.reading.cost),
        _ => None,
    };
    stages.flat_map(|it| &it.instructions).filter_map(cost).max()
}

/// The stages that a build of the target makes, or may make.
fn reached<'d>(dockerfile: &'d Dockerfile, target: &Target) -> Vec<&'d Stage> {
    target.stages(dockerfile).unwrap_or_else(|| dockerfile.stages.iter().collect())
}

/// Options for the cache; `dated` is whether layers that are kept would be of another day than is meant.
fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, dated: bool) -> Option<Fix> {
    let step = build.job.steps.get(build.step.step)?;
    // All that call an action would share what is written there.
    if view.workflow.is_action || view.may_be_started_by_strangers() || build.is_kept_in_docker() {
        return None;
    }
    // A cache that no branch writes would help nobody.
    let runs = build.runs(view);
    if runs.iter().all(|it| it.is_closed()) {
        return None;
    }
    let options = |scope: &str| {
        let scope = view.as_written(build.job, scope);
        let plain = format!("type=gha,mode=max,scope={scope},ignore-error=true");
        // What pull requests write takes room from what all can read.
        let export = if runs.contains(&Run::PullRequest) { outside_of_pull_requests(&plain) } else { plain };
        (format!("type=gha,scope={scope}"), export, scope)
    };
    match build.build.tool {
        Tool::BuildPushAction => {
            let (import, export, scope) = options(&free_scope(view, build)?);
            if !scope.contains("inputs.") && differs_by_call(view, build) {
                return None;
            }
            let edit = view.edits().add(step, build.step, Some(&import), Some(&export))?;
            offer(view, build, &format!("cache the layers in the scope `{scope}`"), edit, dated)
        }
        // In a script the cache of GitHub is out of reach, unless a step has exposed it.
        Tool::Bake if step.run.is_none() || build.steps_before().iter().any(Step::exposes_runtime) => {
            let scopes: Vec<_> = view.target_scopes(build)?.into_iter().map(|it| (it.pattern, options(&it.scope))).collect();
            let lines: Vec<_> = scopes.iter().map(|(pattern, (import, export, _))| TargetOptions { pattern, import, export }).collect();
            let edit = view.edits().add_to_targets(step, build.step, &lines)?;
            let what = match scopes.as_slice() {
                [(_, (.., scope))] => format!("cache the layers in the scope `{scope}`"),
                _ => "cache the layers of each target in a scope of its own".to_owned(),
            };
            offer(view, build, &what, edit, dated)
        }
        // No flag of compose has a part in the cache, nor has GitHub's cache in other scripts.
        _ => None,
    }
}

/// The fix that an edit is, `what` being what it does.
fn offer(view: &WorkflowView<'_>, build: &StepView<'_>, what: &str, edit: CacheEdit, dated: bool) -> Option<Fix> {
    let mut title = what.to_owned();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let unproven = |title, edits| Some(Fix::unproven(title, vec![FileEdits { path: view.path.clone(), edits, create: false }]));
    if build.builder == Builder::Docker {
        let set_up = view.insert_step(build, "docker/setup-buildx-action@v4")?;
        let edits = EditSet::new(edit.into_edits().iter().cloned().chain([set_up]).collect()).ok()?;
        return unproven(format!("Set up Buildx and {what}"), edits);
    }
    if dated || is_scheduled(view) {
        return unproven(title, edit.into_edits());
    }
    Some(Fix::cache_options(title, view.path.clone(), edit))
}

/// No more legs of a job are compared.
const MAX_LEGS: usize = 50;

/// Whether calls of the workflow in this repository have the build make images of which each would replace the
/// cache of the others in one scope.
fn differs_by_call(view: &WorkflowView<'_>, build: &StepView<'_>) -> bool {
    // What differs by a matrix has its keys in the scope.
    let keys = |it: &Use<'_>| it.leg.into_iter().flatten().filter(|(key, _)| !is_input_key(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut first: BTreeMap<Leg, Use<'_>> = BTreeMap::new();
    build.uses(&view.path).into_iter().take(MAX_LEGS).any(|it| view.likeness(first.entry(keys(&it)).or_insert(it), &it) == Likeness::Different)
}

/// The name of the image as a scope, told apart from what another workflow may have under it.
fn free_scope(view: &WorkflowView<'_>, build: &StepView<'_>) -> Option<String> {
    let scope = view.scope_name(build)?;
    let taken = view.is_used(Side::Export, &Location::At(format!("gha:{scope}")), &[]);
    let file = facts::name(&view.path).split('.').next().unwrap_or_default();
    Some(if taken { format!("{scope}-{file}") } else { scope })
}

#[cfg(test)]
mod tests {
    use super::MISSING_BUILD_CACHE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_unsafe_fix, check_without_fix, marked, steps};

    const DOCKERFILE: &str = "#- Dockerfile\nFROM a:1.0\nRUN x\n";
    const ACTION: &str = "docker/build-push-action@v7";

    fn found(workflow: &str, at: &str, level: &str) -> String {
        format!("{DOCKERFILE}{}", marked(workflow, at, &format!("{level}: nothing of this build is cached, so that every run builds all layers again")))
    }

    fn quiet(workflow: &str) {
        check(&RULE, &format!("{DOCKERFILE}{workflow}"));
    }

    #[test]
    fn both_options_are_added() {
        let text = build_step("tags: org/app:1");
        let after = build_step("tags: org/app:1\ncache-from: type=gha,scope=app\ncache-to: type=gha,mode=max,scope=app,ignore-error=true");
        check_fix(&RULE, &found(&text, ACTION, "warning"), &after);
    }

    #[test]
    fn without_buildx_it_is_set_up_as_well() {
        let text = steps("- uses: actions/checkout@v6\n# Builds.\n- name: Build\n  uses: docker/build-push-action@v7\n  with:\n    context: .");
        let after = steps(
            "- uses: actions/checkout@v6\n- uses: docker/setup-buildx-action@v4\n# Builds.\n- name: Build\n  uses: docker/build-push-action@v7\n  with:\n    context: .\n    cache-from: type=gha,scope=build\n    cache-to: type=gha,mode=max,scope=build,ignore-error=true",
        );
        check_unsafe_fix(&RULE, &found(&text, ACTION, "warning"), &after);
    }

    #[test]
    fn each_of_two_builds_gets_a_scope_of_its_own() {
        let both = "- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with: {context: a, tags: org/api}\n- uses: docker/build-push-action@v6\n  with: {context: b, tags: org/web}";
        let message = "warning: nothing of this build is cached, so that every run builds all layers again";
        let fixture = marked(&marked(&steps(both), ACTION, message), "docker/build-push-action@v6", message);
        let options = |scope: &str| format!(", cache-from: 'type=gha,scope={scope}', cache-to: 'type=gha,mode=max,scope={scope},ignore-error=true'}}");
        let after = steps(both).replace("org/api}", &format!("org/api{}", options("api"))).replace("org/web}", &format!("org/web{}", options("web")));
        check_fix(&RULE, &format!("#- a/Dockerfile\nFROM a:1.0\nRUN x\n#- b/Dockerfile\nFROM a:1.0\nRUN x\n{fixture}"), &after);
    }

    #[test]
    fn docker_s_own_builder_may_be_chosen_on_purpose() {
        let text = |driver: &str| {
            build_step("load: true").replace("setup-buildx-action@v4\n", &format!("setup-buildx-action@v4\n        with: {{driver: {driver}}}\n"))
        };
        check_without_fix(&RULE, &found(&text("docker"), ACTION, "info"));
        check(&RULE, &found(&text("docker-container"), ACTION, "warning"));
    }

    #[test]
    fn a_build_that_follows_another_one_finds_its_layers() {
        let first = "- uses: docker/setup-buildx-action@v4\n- uses: docker/build-push-action@v7\n  with: {load: true";
        let second = "}\n- uses: docker/build-push-action@v6\n  with: {push: true}";
        quiet(&steps(&format!("{first}, cache-from: type=gha, cache-to: type=gha{second}")));
        check(&RULE, &found(&steps(&format!("{first}{second}")), ACTION, "warning"));
        check(&RULE, &found(&steps("- run: |\n    docker build -t a:${{ github.sha }} .\n    docker build -t a:latest ."), "docker build", "info"));
    }

    #[test]
    fn commands_are_an_information_unless_buildx_runs_them() {
        check_without_fix(&RULE, &found(&steps("- run: docker build ."), "docker build", "info"));
        check(&RULE, &found(&steps("- uses: docker/setup-buildx-action@v4\n- run: docker build ."), "docker build", "info"));
        check(&RULE, &found(&steps("- uses: docker/setup-buildx-action@v4\n- run: docker buildx build --push ."), "docker buildx build", "warning"));
    }

    #[test]
    fn targets_of_bake_are_an_information() {
        const BAKE: &str =
            "#- docker-bake.hcl\ngroup \"default\" { targets = [\"api\", \"web\"] }\ntarget \"api\" {}\ntarget \"web\" {\n  target = \"web\"\n}\n";
        let step = |with: &str| steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with:\n    push: true\n{with}"));
        let found = |text: &str| {
            format!(
                "{DOCKERFILE}{BAKE}{}",
                marked(text, "docker/bake-action@v7", "info: nothing of this build is cached, so that every run builds all layers again")
            )
        };
        check(&RULE, &found(&step("")));
        check(&RULE, &found(&step("    set: api.args.V=1\n")));
        quiet(&format!("{BAKE}{}", step("    set: '*.cache-from=type=gha'\n")));
        quiet(&format!("{BAKE}{}", step("    set: |\n      api.cache-to=type=gha\n")));
        quiet(&format!("{BAKE}{}", step("    targets: ${{ inputs.targets }}\n")));
        quiet(&format!("{}{}", BAKE.replace("{}", "{\n  cache-from = [\"type=gha\"]\n}"), step("")));
        check(&RULE, &format!("#- Dockerfile\nFROM a:1.0\nCOPY . .\n{BAKE}{}", step("")));
    }

    const BAKED: &str = "info: nothing of this build is cached, so that every run builds all layers again";
    const BAKE: &str = "docker/bake-action@v7";

    /// A workflow whose step runs bake with these inputs.
    fn bakes(with: &str) -> String {
        let lines: String = with.lines().map(|it| format!("\n    {it}")).collect();
        steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: {BAKE}\n  with:{lines}"))
    }

    /// What a fix makes of a workflow beside a bake file.
    fn bake_fix(file: &str, before: &str, after: &str) {
        check_fix(&RULE, &format!("{DOCKERFILE}#- docker-bake.hcl\n{file}{}", marked(before, BAKE, BAKED)), after);
    }

    fn no_bake_fix(file: &str, before: &str) {
        check_without_fix(&RULE, &format!("{DOCKERFILE}#- docker-bake.hcl\n{file}{}", marked(before, BAKE, BAKED)));
    }

    /// Lines of `set:` for a target.
    fn lines(pattern: &str, scope: &str) -> String {
        format!("\n  {pattern}.cache-from=type=gha,scope={scope}\n  {pattern}.cache-to=type=gha,mode=max,scope={scope},ignore-error=true")
    }

    const TWO: &str = "group \"default\" { targets = [\"api\", \"web\"] }\ntarget \"api\" {}\ntarget \"web\" {\n  args = { V = \"1\" }\n}\n";

    #[test]
    fn each_target_of_bake_gets_a_scope_of_its_own() {
        let (api, web) = (lines("api", "api"), lines("web", "web"));
        bake_fix(TWO, &bakes("push: true"), &bakes(&format!("push: true\nset: |{api}{web}")));
        bake_fix(TWO, &bakes("targets: web\nset: '*.args.V=2' # why"), &bakes(&format!("targets: web\nset: | # why\n  *.args.V=2{web}")));
        bake_fix(TWO, &bakes("set: |\n  *.args.V=2\ntargets: web"), &bakes(&format!("set: |\n  *.args.V=2{web}\ntargets: web")));
        let bare = steps(&format!("- uses: docker/setup-buildx-action@v4\n- uses: {BAKE}"));
        bake_fix("target \"default\" {}\n", &bare, &bakes(&format!("set: |{}", lines("default", "default"))));
        // One that another one starts from is built by itself too.
        let linked = "target \"app\" {\n  contexts = { base = \"target:base\" }\n}\ntarget \"base\" {}\n";
        bake_fix(linked, &bakes("targets: app"), &bakes(&format!("targets: app\nset: |{}{}", lines("app", "app"), lines("base", "base"))));
    }

    #[test]
    fn pull_requests_do_not_export_what_bake_builds() {
        let on = |text: String| text.replace("on: push", "on: [push, pull_request]");
        let export = "api.cache-to=${{ github.event_name != 'pull_request' && 'type=gha,mode=max,scope=api,ignore-error=true' || '' }}";
        let after = format!("targets: api\nset: |\n  api.cache-from=type=gha,scope=api\n  {export}");
        bake_fix(TWO, &on(bakes("targets: api")), &on(bakes(&after)));
    }

    /// A workflow with a matrix.
    fn legs(matrix: &str, with: &str) -> String {
        bakes(with).replace("    steps:", &format!("    strategy: {{matrix: {matrix}}}\n    steps:"))
    }

    #[test]
    fn legs_of_a_matrix_that_bake_targets_are_told_apart() {
        let matrix = "{Target: [api, web]}";
        let after = format!("targets: ${{{{ matrix.Target }}}}\nset: |{}", lines("*", "${{ matrix.Target }}"));
        bake_fix(TWO, &legs(matrix, "targets: ${{ matrix.target }}").replace("matrix.target }}", "matrix.Target }}"), &legs(matrix, &after));
        let matrix = "{arch: [amd64, arm64]}";
        let with = "targets: api\nset: |\n  *.platform=linux/${{ matrix.arch }}";
        bake_fix(TWO, &legs(matrix, with), &legs(matrix, &format!("{with}{}", lines("api", "api-${{ matrix.arch }}"))));
        let matrix = "{target: [api, web], arch: [amd64, arm64]}";
        let with = "targets: ${{ matrix.target }}\nset: |\n  *.platform=linux/${{ matrix.arch }}";
        bake_fix(TWO, &legs(matrix, with), &legs(matrix, &format!("{with}{}", lines("*", "${{ matrix.target }}-${{ matrix.arch }}"))));
        // Of legs that build the same one is enough.
        let matrix = "{engine: [a, b]}";
        bake_fix(TWO, &legs(matrix, "targets: api"), &legs(matrix, &format!("targets: api\nset: |{}", lines("api", "api"))));
    }

    #[test]
    fn files_of_each_leg_have_targets_of_their_own() {
        let files = ["a", "b"].map(|it| format!("#- {it}.hcl\ntarget \"default\" {{\n  args = {{ V = \"{it}\" }}\n}}\n")).concat();
        let (matrix, with) = ("{app: [a, b]}", "files: ${{ matrix.app }}.hcl");
        let before = marked(&legs(matrix, with), BAKE, BAKED);
        let arguments = "#- Dockerfile\nFROM a:1.0\nARG V\nRUN x\n";
        let after = legs(matrix, &format!("{with}\nset: |{}", lines("*", "default-${{ matrix.app }}")));
        check_fix(&RULE, &format!("{arguments}{files}{before}"), &after);
        let more = files.replace("#- b.hcl\n", "#- b.hcl\ngroup \"default\" { targets = [\"default\", \"more\"] }\ntarget \"more\" {}\n");
        check_without_fix(&RULE, &format!("{arguments}{more}{before}"));
    }

    #[test]
    fn what_tells_the_legs_of_bake_apart_must_be_known() {
        let file = "variable \"V\" { default = \"1\" }\ntarget \"default\" {\n  args = { V = V }\n}\n";
        let dockerfile = |text: String| text.replace("- uses: docker/bake", "- env: {V: '${{ matrix.v }}'}\n        uses: docker/bake");
        no_bake_fix(file, &dockerfile(legs("{v: [1, 2]}", "push: true")));
        no_bake_fix(file, &legs("{v: [1, 2]}", "vars: 'V=${{ matrix.v }}'"));
        no_bake_fix(file, &legs("{v: [1, 2]}", "set: 'default.args.V=${{ steps.x.outputs.v }}'"));
        no_bake_fix(file, &legs("{v: '${{ fromJSON(needs.x.outputs.v) }}'}", "push: true"));
    }

    #[test]
    fn other_builds_of_the_same_target_count() {
        let job = |id: &str, with: &str| {
            format!(
                "  {id}:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/setup-buildx-action@v4\n      - uses: docker/bake-action@v6\n        with:{with}\n"
            )
        };
        let of = |scope: &str| lines("api", scope).replace("\n  ", "\n            ");
        let two = |second: &str, message: &str| {
            format!(
                "{}{}",
                bakes("targets: api"),
                if message.is_empty() { job("b", second) } else { marked(&job("b", second), "docker/bake-action@v6", message) }
            )
        };
        let step = |scope: &str| bakes(&format!("targets: api\nset: |{}", lines("api", scope)));
        let same = " {targets: api}";
        let after = |scope: &str, other: &str| format!("{}{}", step(scope), job("b", other));
        let escaped = |scope: &str| format!("api.cache-from=type=gha,scope={scope}\\napi.cache-to=type=gha,mode=max,scope={scope},ignore-error=true\\n");
        bake_fix(TWO, &two(same, BAKED), &after("api", &format!(" {{targets: api, set: \"{}\"}}", escaped("api"))));
        let other = "\n          targets: api\n          set: api.platform=linux/arm64";
        bake_fix(TWO, &two(other, BAKED), &after("api-build", &format!("{}{}", other.replace("set: ", "set: |\n            "), of("api-b"))));
        // A variable without a value is the same for both, unless one of them sets it.
        let variable = TWO.replace("target \"api\" {}", "variable \"V\" { default = null }\ntarget \"api\" {\n  args = { V = V }\n}");
        bake_fix(&variable, &two(same, BAKED), &after("api", &format!(" {{targets: api, set: \"{}\"}}", escaped("api"))));
        let set = " {targets: api, vars: V=1}";
        let all = format!("{}#- docker-bake.hcl\n{variable}{}", DOCKERFILE.replace("RUN", "ARG V\nRUN"), marked(&two(set, BAKED), BAKE, BAKED));
        check_fix(&RULE, &all, &after("api-build", &format!(" {{targets: api, vars: V=1, set: \"{}\"}}", escaped("api-b"))));
        let push = build_step("context: x\ntags: org/api\ncache-from: type=gha,scope=api\ncache-to: type=gha,mode=max,scope=api").replace("ci.yml", "more.yml");
        let all = format!("{DOCKERFILE}#- x/Dockerfile\nFROM a:1.0\n#- docker-bake.hcl\n{TWO}{}{push}", marked(&bakes("targets: api"), BAKE, BAKED));
        check_fix(&RULE, &all, &step("api-ci"));
    }

    #[test]
    fn commands_of_bake_need_the_token() {
        let run = |before: &str, command: &str| steps(&format!("{before}- uses: docker/setup-buildx-action@v4\n- run: {command}"));
        let token = "- uses: crazy-max/ghaction-github-runtime@v3\n";
        let found = |text: &str| format!("{DOCKERFILE}#- docker-bake.hcl\n{TWO}{}", marked(text, "docker buildx bake", BAKED));
        let flags = "--set web.cache-from=type=gha,scope=web --set web.cache-to=type=gha,mode=max,scope=web,ignore-error=true";
        let command = "docker buildx bake --push web";
        check_fix(&RULE, &found(&run(token, command)), &run(token, &command.replace("--push", &format!("{flags} --push"))));
        check_without_fix(&RULE, &found(&run("", command)));
        check_without_fix(&RULE, &found(&run(token, command).replace("on: push", "on: [push, pull_request]")));
        check_without_fix(&RULE, &found(&run(token, "if true; then docker buildx bake web; fi")));
    }

    #[test]
    fn options_of_bake_are_offered_as_others_are() {
        let events = |on: &str| bakes("targets: api").replace("on: push", on);
        for on in ["on: [push, pull_request_target]", "on: pull_request"] {
            no_bake_fix(TWO, &events(on));
        }
        let set = lines("api", "api");
        let alone = |text: String| text.replace("      - uses: docker/setup-buildx-action@v4\n", "");
        let all = |text: &str| format!("{DOCKERFILE}#- docker-bake.hcl\n{TWO}{}", marked(text, BAKE, BAKED));
        check_unsafe_fix(&RULE, &all(&alone(bakes("targets: api"))), &bakes(&format!("targets: api\nset: |{set}")));
        let daily = "on: {push: {branches: [main]}, schedule: [{cron: '0 3 * * *'}]}";
        check_unsafe_fix(&RULE, &all(&events(daily)), &bakes(&format!("targets: api\nset: |{set}")).replace("on: push", daily));
        // Bake's name of a service has no dots.
        for (service, target) in [("a.b", "a_b"), ("api", "api")] {
            let compose = format!("#- compose.yaml\nservices:\n  {service}: {{build: .}}\n");
            let files = format!("{DOCKERFILE}{compose}{}", marked(&bakes("push: true"), BAKE, BAKED));
            check_fix(&RULE, &files, &bakes(&format!("push: true\nset: |{}", lines(target, target))));
        }
    }

    #[test]
    fn builds_of_a_composite_action_are_an_information() {
        let action = crate::rules::testing::build_action("context: .\npush: true", &["a"]);
        check_without_fix(&RULE, &found(&action, ACTION, "info"));
        quiet(&action.replace("docker/setup-buildx-action@v4", "./.github/actions/setup"));
        quiet(&action.replace("push: true", "cache-to: ${{ inputs.cache }}"));
    }

    #[test]
    fn rare_builds_are_an_information_or_silent() {
        let on = |events: &str| build_step("push: true").replace("on: push", events);
        check(&RULE, &found(&on("on: workflow_dispatch"), ACTION, "info"));
        check(&RULE, &found(&on("on: workflow_call"), ACTION, "info"));
        check(&RULE, &found(&on("on: pull_request"), ACTION, "warning"));
        check(&RULE, &found(&on("on: [push, release]"), ACTION, "warning"));
        for events in
            ["on: release", "on: {push: {tags: ['v*']}}", "on: schedule", "on: pull_request_target", "on: issue_comment", "on: [release, workflow_dispatch]"]
        {
            quiet(&on(events));
        }
        quiet(&build_step("push: true").replace("- uses: docker/build", "- if: startsWith(github.ref, 'refs/tags/')\n        uses: docker/build"));
        let file = |name: &str| build_step("push: true").replace("ci.yml", name);
        check(&RULE, &found(&file("publish-image.yml"), ACTION, "info"));
    }

    #[test]
    fn a_schedule_is_there_to_get_new_packages() {
        let text = build_step("tags: org/app:1").replace("on: push", "on: {push: {branches: [main]}, schedule: [{cron: '0 3 * * *'}]}");
        let options = "tags: org/app:1\n          cache-from: type=gha,scope=app\n          cache-to: type=gha,mode=max,scope=app,ignore-error=true";
        check_unsafe_fix(&RULE, &found(&text, ACTION, "info"), &text.replace("tags: org/app:1", options));
    }

    #[test]
    fn pull_requests_only_read_the_cache_of_the_branch() {
        let text = build_step("tags: org/app:1").replace("on: push", "on: [push, pull_request]");
        let export = "${{ github.event_name != 'pull_request' && 'type=gha,mode=max,scope=app,ignore-error=true' || '' }}";
        let options = format!("tags: org/app:1\n          cache-from: type=gha,scope=app\n          cache-to: {export}");
        check_fix(&RULE, &found(&text, ACTION, "warning"), &text.replace("tags: org/app:1", &options));
        let alone = build_step("tags: org/app:1").replace("on: push", "on: pull_request");
        check_without_fix(&RULE, &found(&alone, ACTION, "warning"));
    }

    #[test]
    fn a_scope_of_a_matrix_is_kept_from_pull_requests() {
        for (with, behind, files) in [
            ("file: ${{ matrix.app }}.Dockerfile", ".Dockerfile\n", ["a.Dockerfile", "b.Dockerfile"]),
            ("context: ${{ matrix.app }}\ntags: org/${{ matrix.app }}:1", ":1\n", ["a/Dockerfile", "b/Dockerfile"]),
        ] {
            let text = build_step(with).replace("on: push", "on: [push, pull_request]");
            let text = text.replace("    steps:", "    strategy: {matrix: {app: [a, b]}}\n    steps:");
            let files = files.map(|it| format!("#- {it}\nFROM a:1.0\nRUN x\n")).concat();
            let export = "${{ github.event_name != 'pull_request' && format('type=gha,mode=max,scope={0},ignore-error=true', matrix.app) || '' }}";
            let options = format!("{behind}          cache-from: type=gha,scope=${{{{ matrix.app }}}}\n          cache-to: {export}\n");
            let fixed = text.replace(behind, &options);
            check_fix(&RULE, &format!("{files}{}", found(&text, ACTION, "warning").replace(DOCKERFILE, "")), &fixed);
        }
    }

    /// A reusable workflow without a cache, and one that calls it.
    fn called(on: &str) -> [String; 2] {
        let callee = build_step("tags: org/app:1").replace("on: push", "on: workflow_call").replace("ci.yml", "build.yml");
        [callee, format!("#- .github/workflows/main.yml\n{on}\njobs:\n  a:\n    uses: ./.github/workflows/build.yml\n")]
    }

    #[test]
    fn what_is_called_runs_when_its_callers_do() {
        let fixed = |export: &str| {
            let [callee, caller] = called("on: push");
            format!("{}{caller}", callee.replace("org/app:1", &format!("org/app:1\n          cache-from: type=gha,scope=app\n          cache-to: {export}")))
        };
        let [callee, caller] = called("on: push");
        let after = |export: &str| fixed(export).split("#- .github/workflows/main.yml").next().unwrap().to_owned();
        check_fix(&RULE, &format!("{}{caller}", found(&callee, ACTION, "warning")), &after("type=gha,mode=max,scope=app,ignore-error=true"));
        let [callee, caller] = called("on: [push, pull_request]");
        let kept = "${{ github.event_name != 'pull_request' && 'type=gha,mode=max,scope=app,ignore-error=true' || '' }}";
        check_fix(&RULE, &format!("{}{caller}", found(&callee, ACTION, "warning")), &after(kept));
        for on in ["on: [push, pull_request_target]", "on: pull_request"] {
            let [callee, caller] = called(on);
            check_without_fix(&RULE, &format!("{}{caller}", found(&callee, ACTION, "warning")));
        }
        for on in ["on: release", "on: {push: {tags: ['v*']}}"] {
            quiet(&called(on).concat());
        }
    }

    #[test]
    fn a_call_matters_as_much_as_what_it_runs_in() {
        let [callee, push] = called("on: push");
        let more = |name: &str, on: &str, job: &str| push.replace("main.yml", name).replace("on: push", on).replace("    uses:", &format!("{job}    uses:"));
        let level = |level: &str, callers: &[String]| check(&RULE, &format!("{}{}", found(&callee, ACTION, level), callers.concat()));
        let pull = more("pr.yml", "on: pull_request", "");
        level("warning", &[push.clone(), pull.clone()]);
        for other in [
            more("hand.yml", "on: workflow_dispatch", ""),
            more("tag.yml", "on: {push: {tags: ['v*']}}", ""),
            more("daily.yml", "on: {push: {branches: [main]}, schedule: [{cron: '0 3 * * *'}]}", ""),
            more("publish.yml", "on: push", ""),
            more("new.yml", "on: {push: {paths: [Dockerfile]}}", ""),
            more("if.yml", "on: push", "    if: startsWith(github.ref, 'refs/tags/')\n"),
            more("out.yml", "on: workflow_call", ""),
        ] {
            level("info", &[push.clone(), other]);
        }
        // It is called through another one.
        let between = more("between.yml", "on: workflow_call", "");
        let through = pull.replace("build.yml", "between.yml");
        level("warning", &[between.clone(), through.clone()]);
        level("info", &[between, through.replace("on: pull_request", "on: workflow_dispatch")]);
        let dispatch = callee.replace("on: workflow_call", "on: [workflow_call, workflow_dispatch]");
        check(&RULE, &format!("{}{push}", found(&dispatch, ACTION, "info")));
        let name = |name: &str| format!("{}{}", found(&callee.replace("build.yml", name), ACTION, "warning"), push.replace("build.yml", name));
        check(&RULE, &name("image.yml"));
        quiet(&format!("{callee}{push}").replace("build.yml", "publish.yml"));
    }

    #[test]
    fn a_caller_on_a_schedule_gets_new_packages_too() {
        let [callee, caller] = called("on: {push: {branches: [main]}, schedule: [{cron: '0 3 * * *'}]}");
        let options = "org/app:1\n          cache-from: type=gha,scope=app\n          cache-to: type=gha,mode=max,scope=app,ignore-error=true";
        check_unsafe_fix(&RULE, &format!("{}{caller}", found(&callee, ACTION, "info")), &callee.replace("org/app:1", options));
    }

    #[test]
    fn callers_say_where_it_runs() {
        let called = |default: &str, runners: &[&str], on: &str| {
            let callee = build_step("push: true").replace("ci.yml", "build.yml").replace("ubuntu-latest", "${{ inputs.runner }}");
            let callee = callee.replace("on: push", &format!("on:\n  workflow_call:\n    inputs:\n      runner: {{type: string{default}}}{on}"));
            let jobs: Vec<String> = runners
                .iter()
                .enumerate()
                .map(|(index, runner)| format!("  a{index}:\n    uses: ./.github/workflows/build.yml\n    with: {{{runner}}}\n"))
                .collect();
            (callee, format!("#- .github/workflows/main.yml\non: push\njobs:\n{}", jobs.concat()))
        };
        let default = ", default: ubuntu-latest";
        for (default, runners) in [("", &["runner: ubuntu-latest"][..]), (default, &["other: x"]), (default, &["runner: ubuntu-24.04", ""])] {
            let (callee, caller) = called(default, runners, "");
            check_fix_keeps(&callee, &caller);
        }
        let (callee, caller) = called(default, &["runner: ubuntu-24.04-arm", ""], "");
        check_without_fix(&RULE, &format!("{}{caller}", found(&callee, ACTION, "warning")));
        for (runners, on) in [
            (&["runner: self-hosted"][..], ""),
            (&["runner: depot-ubuntu-24.04"], ""),
            (&["runner: ubuntu-latest", "runner: blacksmith-4vcpu-ubuntu-2404"], ""),
            (&["runner: '${{ vars.RUNNER }}'"], ""),
            (&["runner: ubuntu-latest"], "\n  workflow_dispatch:"),
            (&[], ""),
        ] {
            let (callee, caller) = called(default, runners, on);
            quiet(&format!("{callee}{caller}"));
        }
    }

    #[test]
    fn lists_that_callers_give_are_those_of_the_build() {
        let called = |with: &str, given: &[&str]| {
            let callee = build_step(with).replace("ci.yml", "build.yml");
            let callee = callee.replace("on: push", "on: {workflow_call: {inputs: {list: {type: string}}}}");
            let job = |(index, it): (usize, &&str)| format!("  a{index}:\n    uses: ./.github/workflows/build.yml\n    with: {{list: '{it}'}}\n");
            (callee, format!("#- .github/workflows/main.yml\non: push\njobs:\n{}", given.iter().enumerate().map(job).collect::<String>()))
        };
        let reported = |(callee, caller): (String, String)| check(&RULE, &format!("{}{caller}", found(&callee, ACTION, "warning")));
        let quiet = |(callee, caller): (String, String)| check(&RULE, &format!("{DOCKERFILE}{callee}{caller}"));
        reported(called("build-args: ${{ inputs.list }}", &["A=1"]));
        reported(called("build-args: ${{ inputs.list }}", &["A=1", "A=2"]));
        reported(called("cache-to: ${{ inputs.list }}", &[""]));
        quiet(called("build-args: ${{ inputs.list }}", &["A=${{ github.sha }}"]));
        quiet(called("build-args: ${{ inputs.list }}", &["A=1", "${{ vars.X }}"]));
        quiet(called("cache-to: ${{ inputs.list }}", &["type=gha"]));
        quiet(called("cache-to: ${{ inputs.list }}", &["", "type=gha"]));
        quiet(called("build-args: ${{ inputs.list }}", &[]));
    }

    /// What is found in a called workflow, with a fix of it.
    fn check_fix_keeps(callee: &str, caller: &str) {
        let options = "push: true\n          cache-from: type=gha,scope=build\n          cache-to: type=gha,mode=max,scope=build,ignore-error=true";
        check_fix(&RULE, &format!("{}{caller}", found(callee, ACTION, "warning")), &callee.replace("push: true", options));
    }

    #[test]
    fn an_action_runs_where_its_callers_do() {
        let text = crate::rules::testing::build_action("push: true", &["app"]);
        check_without_fix(&RULE, &found(&text, ACTION, "info"));
        quiet(&text.replace("ubuntu-latest", "self-hosted"));
        quiet(&text.replace("ubuntu-latest", "namespace-profile-default"));
    }

    #[test]
    fn options_that_are_commented_out_were_not_wanted() {
        for (line, level) in [("# cache-from: type=gha", None), ("#cache-to: type=gha,mode=max", None), ("# caches nothing", Some("warning"))] {
            let inside = build_step(&format!("push: true\n{line}\npull: true"));
            let behind = format!("{}          {line}\n      - run: 'true'\n", build_step("push: true"));
            let next = format!("{}      - run: 'true'\n        {line}\n", build_step("push: true"));
            check(&RULE, &found(&next, ACTION, "warning"));
            let last = format!("{}\n          {line}\n", build_step("push: true").trim_end());
            let more = "  more:\n    runs-on: ubuntu-latest\n    steps: [{run: 'true'}]\n";
            let of_next_job = format!("{}  {line}\n{more}", build_step("push: true"));
            check(&RULE, &found(&of_next_job, ACTION, "warning"));
            let block = build_step(&format!("push: true\nlabels: |\n  a=b\n{line}"));
            for text in [inside, behind, format!("{last}{more}"), last, block] {
                match level {
                    Some(level) => check(&RULE, &found(&text, ACTION, level)),
                    None => quiet(&text),
                }
            }
        }
    }

    #[test]
    fn a_new_dockerfile_makes_a_cache_of_little_use() {
        let on = |paths: &str| build_step("push: true").replace("on: push", &format!("on: {{push: {{branches: [main], paths: [{paths}]}}}}"));
        check(&RULE, &found(&on("Dockerfile, .github/workflows/ci.yml"), ACTION, "info"));
        check(&RULE, &found(&on("Dockerfile, Dockerfile-alpine"), ACTION, "info"));
        check(&RULE, &found(&on("Dockerfile, 'src/**'"), ACTION, "warning"));
        check(&RULE, &found(&on("Dockerfiles/a"), ACTION, "warning"));
        let devcontainer = "push: true\ncontext: .devcontainer";
        let text = "push: true\nfile: docker/app.txt";
        for (paths, with, dockerfile, level) in [
            ("docker/app.txt", text, "#- docker/app.txt\nFROM a:1.0\nRUN make\n", "info"),
            ("docker/other.txt", text, "#- docker/app.txt\nFROM a:1.0\nRUN make\n", "warning"),
            ("'.devcontainer/**'", devcontainer, "#- .devcontainer/Dockerfile\nFROM a:1.0\nRUN make\n", "info"),
            ("'.devcontainer/**'", devcontainer, "#- .devcontainer/Dockerfile\nFROM a:1.0\nCOPY a /a\nRUN make\n", "warning"),
            ("'.devcontainer/**'", devcontainer, "#- .devcontainer/Dockerfile\nFROM a:1.0\nRUN --mount=target=/a make\n", "warning"),
            ("'src/**'", devcontainer, "#- .devcontainer/Dockerfile\nFROM a:1.0\nRUN make\n", "warning"),
        ] {
            check(&RULE, &found(&on(paths).replace("push: true", &with.replace('\n', "\n          ")), ACTION, level).replace(DOCKERFILE, dockerfile));
        }
        let more = on("Dockerfile").replace("on: {push", "on: {pull_request: {}, push");
        check(&RULE, &found(&more, ACTION, "warning"));
    }

    #[test]
    fn what_strangers_may_start_gets_no_fix() {
        for event in ["pull_request_target", "issue_comment", "workflow_run"] {
            check_without_fix(&RULE, &found(&build_step("push: true").replace("on: push", &format!("on: [push, {event}]")), ACTION, "warning"));
        }
    }

    #[test]
    fn cheap_commands_are_an_information() {
        let of = |dockerfile: &str, level: &str| found(&build_step("push: true"), ACTION, level).replace(DOCKERFILE, &format!("#- Dockerfile\n{dockerfile}"));
        check(&RULE, &of("FROM a:1.0\nCOPY app /app\nRUN chmod +x /app\n", "info"));
        check(&RULE, &of("FROM a:1.0\nRUN mkdir /x\nRUN apt-get update && apt-get install -y git\n", "warning"));
        check(&RULE, &of("FROM a:1.0 AS b\nRUN make\nFROM a:1.0\nCOPY --from=b /x /x\nRUN chmod +x /x\n", "warning"));
        check(&RULE, &of("FROM a:1.0 AS b\nRUN make\nFROM a:1.0\nRUN chmod +x /x\n", "info"));
    }

    #[test]
    fn a_dockerfile_in_lower_case_stands_in_for_one_that_is_not_there() {
        let of = |files: &str, with: &str, level: &str| found(&build_step(with), ACTION, level).replace(DOCKERFILE, files);
        for with in ["push: true", "file: Dockerfile"] {
            check(&RULE, &of("#- dockerfile\nFROM a:1.0\nRUN make\n", with, "warning"));
            check(&RULE, &of("#- Dockerfile\nFROM a:1.0\nRUN chmod +x /x\n#- dockerfile\nFROM a:1.0\nRUN make\n", with, "info"));
        }
    }

    #[test]
    fn what_is_meant_to_be_of_today_makes_the_fix_unsafe() {
        let before = build_step("tags: org/app:1");
        let after = build_step("tags: org/app:1\ncache-from: type=gha,scope=app\ncache-to: type=gha,mode=max,scope=app,ignore-error=true");
        let message = "warning: nothing of this build is cached, so that every run builds all layers again";
        let fixture = |head: &str, command: &str, note: &str| {
            let dockerfile = format!("#- Dockerfile\n{head}RUN {command}\n");
            let dockerfile = if note.is_empty() { dockerfile } else { marked(&dockerfile, &command[command.find("apk u").unwrap_or(0)..], note) };
            format!("{dockerfile}{}", marked(&before, ACTION, message))
        };
        for (command, note) in [
            ("apk upgrade --no-cache", "note: no safe fix: `apk upgrade` upgrades packages once, and the cached layer keeps those"),
            ("apk add git && apk upgrade", "note: no safe fix: `apk upgrade` upgrades packages once, and the cached layer keeps those"),
            ("dnf -y update", "note: no safe fix: `dnf update` upgrades packages once, and the cached layer keeps those"),
            ("git clone https://example.org/x", "note: no safe fix: this clones the newest commit once, and the cached layer keeps that one"),
        ] {
            check_unsafe_fix(&RULE, &fixture("FROM a:1.0\n", command, note), &after);
        }
        for (head, command) in [
            ("FROM a:1.0\n", "apk update && apk add --upgrade git"),
            ("FROM a:1.0\n", "dnf upgrade -y openssl"),
            ("FROM a:1.0\n", "pip install poetry"),
            ("FROM a:1.0\n", "git clone https://example.org/x --branch v1.0.0"),
            ("FROM a:1.0\nARG CACHE_BUSTER\n", "apk upgrade --no-cache"),
            ("FROM a:1.0 AS unused\nRUN apk upgrade\nFROM a:1.0\n", "apk add git"),
        ] {
            check_fix(&RULE, &fixture(head, command, ""), &after);
        }
    }

    #[test]
    fn workflows_below_the_root_are_never_run() {
        let text = build_step("push: true").replace("#- .github", "#- vendor/x/.github");
        check(&RULE, &format!("#- vendor/x/Dockerfile\nFROM a:1.0\nRUN x\n{text}"));
    }

    #[test]
    fn workflows_that_build_other_images_of_one_name_are_told_apart() {
        let text = build_step("context: a\ntags: org/app:a");
        let options =
            |scope: &str| format!("\n          cache-from: type=gha,scope={scope}\n          cache-to: type=gha,mode=max,scope={scope},ignore-error=true");
        let message = "warning: nothing of this build is cached, so that every run builds all layers again";
        let files = "#- a/Dockerfile\nFROM a:1.0\nRUN x\n#- b/Dockerfile\nFROM a:1.0\nRUN x\n";
        let other = build_step("context: b\ntags: org/app:b").replace("ci.yml", "more.yml");
        let fixture = format!("{files}{}{}", marked(&text, ACTION, message), marked(&other, ACTION, message));
        let cached = |text: &str, tag: &str, scope: &str| text.replace(tag, &format!("{tag}{}", options(scope)));
        check_fix(&RULE, &fixture, &format!("{}{}", cached(&text, "org/app:a", "app-ci"), cached(&other, "org/app:b", "app-more")));
    }

    #[test]
    fn an_expression_may_be_something_else_in_another_workflow() {
        let (before, after) = (build_step("context: ${{ env.FOLDER }}"), "context: ${{ env.FOLDER }}\n          cache-from: type=gha,scope=build");
        let other = before.replace("ci.yml", "more.yml").replace("on: push", "name: more\non: workflow_dispatch");
        let cached = |text: &str, file: &str| {
            text.replace("context: ${{ env.FOLDER }}", &format!("{after}-{file}\n          cache-to: type=gha,mode=max,scope=build-{file},ignore-error=true"))
        };
        let fixture = format!("{}{}", found(&before, ACTION, "info"), found(&other, ACTION, "info").replace(DOCKERFILE, ""));
        check_fix(&RULE, &fixture, &format!("{}{}", cached(&before, "ci"), cached(&other, "more")));
    }

    #[test]
    fn a_dockerfile_that_cannot_be_told_is_an_information() {
        check(&RULE, &found(&build_step("file: ${{ inputs.file }}"), ACTION, "info"));
    }

    #[test]
    fn a_dockerfile_that_runs_nothing_is_silent() {
        check(&RULE, &format!("#- Dockerfile\nFROM a:1.0\nCOPY x /x\n{}", build_step("push: true")));
        check(&RULE, &format!("#- Dockerfile\nFROM a:1.0 AS tools\nRUN x\nFROM b:1.0 AS final\nCOPY x /x\n{}", build_step("target: final")));
        check(&RULE, &build_step("push: true"));
    }

    #[test]
    fn what_has_a_cache_or_wants_none_is_silent() {
        for with in [
            "cache-from: type=gha",
            "cache-to: type=gha",
            "cache-to: ${{ inputs.cache }}",
            "no-cache: true",
            "call: check",
            "build-args: BUILDKIT_INLINE_CACHE=1",
            "build-args: ${{ inputs.args }}",
        ] {
            quiet(&build_step(with));
        }
        quiet(&steps("- uses: actions/cache@v5\n  with: {path: /tmp/docker.tar, key: a}\n- run: docker build ."));
        quiet(&build_step("push: true").replace("jobs:", "cache-mode: none\njobs:"));
        quiet(&steps("- uses: docker/bake-action@v7"));
        quiet(&steps("- uses: docker/setup-buildx-action@v4\n- uses: docker/bake-action@v7\n  with:\n    files: missing.hcl"));
        quiet(&steps("- uses: docker/setup-buildx-action@v4\n- run: |\n    printf 'FROM a:1.0\\nENV A=1\\n' | docker buildx build -t org/app --push -"));
    }

    #[test]
    fn a_folder_of_layers_that_nothing_names_is_no_cache() {
        const KEEPER: &str = "- uses: actions/cache@v5\n  with: {path: /tmp/.buildx-cache, key: a}\n- uses: docker/setup-buildx-action@v4\n";
        let build = "- uses: docker/build-push-action@v7\n  with: {push: true}";
        check(&RULE, &found(&steps(&format!("{KEEPER}{build}")), ACTION, "warning"));
        check(&RULE, &found(&steps(&format!("{KEEPER}- run: docker buildx build --push .")), "docker buildx build", "warning"));
        for (from, to) in [
            ("/tmp/.buildx-cache", "/var/lib/docker"),
            ("/tmp/.buildx-cache", "~/.docker/buildx"),
            ("- uses: docker/setup", "- run: tar -xf x -C /tmp/.buildx-cache\n- uses: docker/setup"),
            ("/tmp/.buildx-cache", "~/.cache/buildx*"),
            ("- uses: docker/setup", "- run: script/build.sh\n- uses: docker/setup"),
            ("- uses: docker/setup", "- run: make image\n- uses: docker/setup"),
            ("- uses: docker/setup", "- uses: ./.github/actions/layers\n- uses: docker/setup"),
            ("- uses: docker/setup", "- uses: org/layers@v1\n  with: {folder: /tmp/.buildx-cache}\n- uses: docker/setup"),
        ] {
            quiet(&steps(&format!("{}{build}", KEEPER.replace(from, to))));
        }
    }

    #[test]
    fn other_builders_and_runners_are_silent() {
        let text = build_step("push: true");
        for (from, to) in [
            ("runs-on: ubuntu-latest", "runs-on: self-hosted"),
            ("runs-on: ubuntu-latest", "runs-on: depot-ubuntu-24.04"),
            ("runs-on: ubuntu-latest", "runs-on: ${{ inputs.runner }}"),
            ("runs-on: ubuntu-latest", "runs-on: ubuntu-latest\n    container: node:22"),
            ("docker/build-push-action", "useblacksmith/build-push-action"),
            ("docker/setup-buildx-action@v4", "./.github/actions/setup"),
            (".github/workflows", ".forgejo/workflows"),
        ] {
            quiet(&text.replace(from, to));
        }
    }

    #[test]
    fn services_of_compose_are_an_information() {
        let compose = |build: &str| format!("#- compose.yaml\nservices:\n  db: {{image: postgres}}\n  app: {{build: {build}}}\n");
        for run in ["docker compose build", "docker-compose up -d --build app", "docker compose -f compose.yaml build app"] {
            let words: Vec<&str> =
                run.split(' ').filter(|it| !it.starts_with('-') && !it.ends_with(".yaml")).take(if run.starts_with("docker-") { 2 } else { 3 }).collect();
            let command = if run.contains("-f ") { "docker compose -f compose.yaml build".to_owned() } else { words.join(" ") };
            check(&RULE, &(compose(".") + &found(&steps(&format!("- run: {run}")), &command, "info")));
        }
        for build in ["{cache_from: ['o/app']}", "{dockerfile_inline: 'FROM a'}", "missing"] {
            quiet(&(compose(build) + &steps("- run: docker compose build")));
        }
        quiet(&(compose(".") + &steps("- run: docker compose build other")));
        quiet(&(compose(".") + &steps("- run: docker compose up -d app")));
        quiet(&steps("- run: docker compose build"));
    }
}
