//! Composite actions and reusable workflows of the repository: what a step or a job gives one that it
//! calls, and what that makes of its inputs.

use super::{Action, DeclaredInput, Event, Input, InputKind, Job, Step, Workflow, expression};
use crate::edit::Span;
use crate::value::Leg;
use std::collections::{BTreeMap, BTreeSet};

/// What a call gives: the inputs by name, in lower case, without a value where that is not known.
pub type Given = BTreeMap<String, Option<String>>;

/// More calls of one file or of one action or workflow than that are not told apart: with each that is
/// lowered again.
pub const MAX_CALLS: usize = 64;

/// More texts of one input are not told apart.
const MAX_TEXTS: usize = 16;
/// Bytes of all texts of one input.
const MAX_LENGTH: usize = 4096;

/// The name of an action that stands for what the calling job has done.
const CALLER: &str = "./";

impl Step {
    /// The step in front of those of a composite action.
    pub(super) fn of_caller(span: Span) -> Step {
        let action = Action { span, name: CALLER.to_owned(), reference: None, reference_span: Span::at(span.end), comment: None };
        Step {
            span: Span::at(span.start),
            id: None,
            name: None,
            condition: None,
            action: Some(action),
            inputs: Vec::new(),
            inputs_span: None,
            run: None,
            env: Vec::new(),
            shared: true,
        }
    }
}

/// The actions and the workflows of the repository that a workflow or an action calls, as folders and
/// as files relative to its root, with what each call gives.
pub fn calls(workflow: &Workflow) -> BTreeSet<(String, Given)> {
    let mut res = BTreeSet::new();
    for job in &workflow.jobs {
        for (action, inputs, _) in calls_of_job(workflow, job) {
            let Some(place) = super::build::clean(&action.name) else { continue };
            // Of very many it is not told what they give.
            let given = if res.len() < MAX_CALLS { given(job, inputs) } else { vec![inputs.iter().map(|it| (it.name.clone(), None)).collect()] };
            res.extend(given.into_iter().map(|it| (place.clone(), it)));
        }
    }
    res
}

/// The actions and the workflows of the repository that a job of `workflow` calls, with what it gives each,
/// and the step that does.
pub fn calls_of_job<'a>(workflow: &Workflow, job: &'a Job) -> impl Iterator<Item = (&'a Action, &'a [Input], Option<&'a Step>)> + use<'a> {
    let of_job = job.call.iter().map(|it| (&it.action, it.inputs.as_slice(), None));
    let steps = job.steps.iter().skip(usize::from(workflow.is_action)).filter(|it| !it.never_runs());
    let of_steps = steps.filter_map(|it| Some((it.action.as_ref()?, it.inputs.as_slice(), Some(it))));
    of_job.chain(of_steps).filter(|(action, ..)| action.is_local() && !job.never_runs())
}

/// What is given with `inputs`, in each leg of the job.
fn given(job: &Job, inputs: &[Input]) -> Vec<Given> {
    let none = [Leg::new()];
    let legs = if job.legs().is_empty() { &none } else { job.legs() };
    let value = |leg: &Leg| inputs.iter().map(|it| (it.name.clone(), it.value.in_leg(leg))).collect();
    legs.iter().map(value).collect()
}

/// The inputs of an action or a workflow in each call, defaults in the place of what is not given.
pub(super) fn legs(inputs: &[DeclaredInput], calls: &[Given]) -> Vec<Leg> {
    let value = |input: &DeclaredInput, call: &Given| match call.get(&input.name) {
        Some(given) => given.clone(),
        None => match (&input.default, input.kind) {
            (Some(default), _) => default.known(),
            (None, InputKind::Text) => Some(String::new()),
            (None, InputKind::Truth) => Some("false".to_owned()),
            (None, InputKind::Number) => Some("0".to_owned()),
        },
    };
    let leg = |call: &Given| inputs.iter().filter_map(|it| Some((expression::input_key(&it.name, it.kind), value(it, call)?))).collect();
    let res: BTreeSet<Leg> = calls.iter().map(leg).collect();
    if res.len() > MAX_CALLS { Vec::new() } else { res.into_iter().collect() }
}

/// The texts that calls give those inputs of which all calls say one, each once. None where they are so many or so
/// long that they are no lists that somebody wrote.
pub(super) fn texts<'i>(inputs: impl IntoIterator<Item = &'i DeclaredInput>, legs: &[Leg]) -> Vec<(&'i str, Vec<String>)> {
    let texts = |input: &'i DeclaredInput| {
        let key = expression::input_key(&input.name, input.kind);
        let all: BTreeSet<&String> = legs.iter().map(|it| it.get(&key)).collect::<Option<_>>()?;
        let is_short = all.len() <= MAX_TEXTS && all.iter().map(|it| it.len()).sum::<usize>() <= MAX_LENGTH;
        (is_short && !all.is_empty()).then(|| (input.name.as_str(), all.into_iter().cloned().collect()))
    };
    inputs.into_iter().filter(|it| it.kind == InputKind::Text).filter_map(texts).collect()
}

/// The inputs of a workflow in each way in which it is started, as far as the repository says: one leg
/// for each call, and one without inputs where something else starts it too. None where it is not called.
pub(super) fn legs_of_workflow(workflow: &Workflow, calls: &[Given]) -> Vec<Leg> {
    let Some(trigger) = workflow.trigger(&Event::WorkflowCall).filter(|_| !calls.is_empty()) else { return Vec::new() };
    let mut res = legs(&trigger.inputs, calls);
    if !res.is_empty() && workflow.triggers.len() > 1 {
        res.push(Leg::new());
    }
    res
}

/// The inputs that a workflow has in the calls of `job`, which is one of those that call it: one leg for
/// each leg of the job.
pub fn inputs_in_call(called: &Workflow, job: &Job) -> Vec<Leg> {
    job.call.as_ref().map(|it| inputs_given(called, job, &it.inputs)).unwrap_or_default()
}

/// The same of an action or a workflow that `job` or a step of it gives `inputs`.
pub fn inputs_given(called: &Workflow, job: &Job, inputs: &[Input]) -> Vec<Leg> {
    called.trigger(&Event::WorkflowCall).map(|it| legs(&it.inputs, &given(job, inputs))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheEntry;
    use crate::syntax::yaml;
    use crate::text::{Document, Language};
    use crate::workflow::{Builder, RunnerKind, lower, lower_action, lowered};

    fn action(text: &str, calls: &[Given]) -> Option<Workflow> {
        let document = Document::new(Language::Yaml, text);
        lower_action(text, &yaml::read(text, document.tree().unwrap()), calls)
    }

    const ACTION: &str = "name: Build image\ninputs:\n  Target: {required: true}\n  cache: {default: type=gha}\n  context: {default: .}\n  token: {default: '${{ github.token }}'}\nruns:\n  using: composite\n  steps:\n    - uses: docker/setup-buildx-action@v4\n    - uses: docker/build-push-action@v7\n      with:\n        context: ${{ inputs.context }}\n        target: ${{ inputs.target }}\n        cache-to: ${{ inputs.cache }}\n        tags: x:${{ inputs.token }}\n";

    fn given(pairs: &[(&str, Option<&str>)]) -> Given {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn steps_of_a_composite_action_build() {
        let workflow = action(ACTION, &[]).unwrap();
        let job = &workflow.jobs[0];
        assert_eq!((job.builds.len(), job.calls.len(), workflow.is_action), (1, 0, true));
        assert_eq!(job.builder(&job.builds[0]), Builder::Container(1));
        assert!(job.has_sources(0) || job.has_sources(1));
        assert_eq!(job.builds[0].build.span.of(ACTION), "docker/build-push-action@v7");
        assert!(job.builds[0].build.exports[0].opaque);
        for text in ["runs: {using: node24, main: index.js}", "runs: {using: docker, image: Dockerfile}", "name: x", "", "runs: {using: composite}"] {
            assert!(action(text, &[]).is_none_or(|it| it.builds().count() == 0), "{text}");
        }
    }

    #[test]
    fn inputs_are_what_all_calls_give() {
        let one = action(ACTION, &[given(&[("target", Some("app"))])]).unwrap();
        let build = &one.jobs[0].builds[0].build;
        assert_eq!(build.target.as_ref().unwrap().known().as_deref(), Some("app"));
        assert_eq!(build.exports.iter().map(CacheEntry::location).collect::<Vec<_>>(), [Some("gha:buildkit".to_owned())]);
        assert_eq!(build.tags[0].known(), None);
        let calls = [given(&[("target", Some("app"))]), given(&[("target", Some("web")), ("context", None)])];
        let two = action(ACTION, &calls).unwrap();
        let (build, legs) = (&two.jobs[0].builds[0].build, &two.jobs[0].calls);
        assert_eq!(build.target.as_ref().unwrap().known(), None);
        let targets: Vec<_> = legs.iter().map(|it| build.target.as_ref().unwrap().in_leg(it).unwrap()).collect();
        assert_eq!(targets, ["app", "web"]);
        assert!(!build.exports[0].opaque);
        let crate::build::Context::Folder(folder) = &build.context else { panic!() };
        assert_eq!(legs.iter().map(|it| folder.in_leg(it)).collect::<Vec<_>>(), [Some(".".to_owned()), None]);
    }

    #[test]
    fn calls_give_what_stands_there_in_each_leg() {
        let text = "jobs:\n  a:\n    strategy: {matrix: {app: [x, y]}}\n    steps:\n      - uses: ./.github/actions/build/\n        with: {Target: '${{ matrix.app }}', sha: '${{ github.sha }}'}\n      - uses: ./../out\n      - uses: other/action@v1\n";
        let found: Vec<_> = calls(&lowered(text)).into_iter().collect();
        let call = |app: &str| (".github/actions/build".to_owned(), given(&[("target", Some(app)), ("sha", None)]));
        assert_eq!(found, [call("x"), call("y")]);
    }

    fn called(text: &str, calls: &[Given]) -> Workflow {
        let document = Document::new(Language::Yaml, text);
        lower(text, &yaml::read(text, document.tree().unwrap()), calls)
    }

    const REUSABLE: &str = "on:\n  workflow_call:\n    inputs:\n      file: {type: string, default: Dockerfile}\n      scope: {type: string, required: true}\n      push: {type: boolean}\n      apps: {type: string, default: '[]'}\njobs:\n  a:\n    strategy:\n      matrix:\n        app: ${{ fromJSON(inputs.apps) }}\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n          file: ${{ inputs.push && 'x' || inputs.file }}\n          target: ${{ matrix.app }}\n          cache-to: type=gha,scope=${{ inputs.scope }}\n";

    /// File, target and scope of the build in each leg.
    fn in_legs(workflow: &Workflow) -> Vec<[Option<String>; 3]> {
        let job = &workflow.jobs[0];
        let build = &job.builds[0].build;
        let values = [build.dockerfile.as_ref(), build.target.as_ref(), build.exports[0].attribute("scope")];
        job.legs().iter().map(|leg| values.map(|it| it.unwrap().in_leg(leg))).collect()
    }

    #[test]
    fn a_workflow_builds_what_each_call_says() {
        let text = |it: &str| Some(it.to_owned());
        let calls = [given(&[("scope", Some("a")), ("apps", Some("[\"x\", \"y\"]"))]), given(&[("scope", Some("b")), ("file", None), ("push", Some("true"))])];
        let found = in_legs(&called(REUSABLE, &calls));
        let expected = [[text("Dockerfile"), text("x"), text("a")], [text("Dockerfile"), text("y"), text("a")], [text("x"), None, text("b")]];
        assert_eq!(found.len(), 3);
        assert!(expected.iter().all(|it| found.contains(it)), "{found:?}");
        // The next caller may give something else.
        let build = &called(REUSABLE, &calls[..1]).jobs[0].builds[0].build;
        assert_eq!(build.exports[0].attribute("scope").unwrap().known(), None);
    }

    #[test]
    fn calls_say_where_a_workflow_runs() {
        let runner = |text: &str, labels: &[&str]| {
            let calls: Vec<Given> = labels.iter().map(|it| given(&[("scope", Some(it))])).collect();
            let text = text.replace("    steps:", "    runs-on: ${{ inputs.scope }}\n    steps:");
            let runner = called(&text, &calls).jobs[0].runner.clone().unwrap();
            (runner.kind, runner.by_calls)
        };
        assert_eq!(runner(REUSABLE, &["ubuntu-latest", "ubuntu-24.04-arm"]), (RunnerKind::Hosted, true));
        assert_eq!(runner(REUSABLE, &["self-hosted"]), (RunnerKind::SelfHosted, true));
        assert_eq!(runner(REUSABLE, &["depot-ubuntu-24.04", "depot-ubuntu-22.04"]), (RunnerKind::Vendor("Depot"), true));
        assert_eq!(runner(REUSABLE, &["ubuntu-latest", "self-hosted"]), (RunnerKind::Unknown, false));
        assert_eq!(runner(REUSABLE, &[]), (RunnerKind::Unknown, false));
        assert_eq!(runner(&REUSABLE.replace("on:\n", "on:\n  push:\n"), &["self-hosted"]), (RunnerKind::Unknown, false));
    }

    const LISTS: &str = "on:\n  workflow_call:\n    inputs:\n      args: {type: string}\n      cache: {type: string, default: ''}\n      platforms: {type: string, default: linux/amd64}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with:\n          build-args: ${{ inputs.args }}\n          cache-from: ${{ inputs.cache }}\n          cache-to: |\n            ${{ inputs.cache }}\n            type=inline\n          platforms: ${{ inputs.platforms }}\n";

    /// The build of `LISTS`, called with these lists.
    fn listed(text: &str, calls: &[&[(&str, Option<&str>)]]) -> Job {
        called(text, &calls.iter().map(|it| given(it)).collect::<Vec<_>>()).jobs[0].clone()
    }

    /// The values of an argument in each leg.
    fn argument(job: &Job, name: &str) -> Option<Vec<Option<String>>> {
        let found = job.builds[0].build.arguments.iter().find(|it| it.name == name)?;
        Some(job.legs().iter().map(|it| found.value.as_ref()?.in_leg(it)).collect())
    }

    #[test]
    fn a_list_that_one_call_gives_is_known_as_a_whole() {
        let job =
            listed(LISTS, &[&[("args", Some("A=1\nB=x,y\n")), ("cache", Some("type=gha,scope=a\no/b:c")), ("platforms", Some("linux/amd64, linux/arm64"))]]);
        let build = &job.builds[0].build;
        let text = |it: &str| Some(vec![Some(it.to_owned())]);
        assert_eq!((argument(&job, "A"), argument(&job, "B"), argument(&job, "C")), (text("1"), text("x,y"), None));
        assert!(!build.opaque && build.imports.iter().all(|it| !it.conditional && !it.opaque));
        let locations = |it: &[CacheEntry]| it.iter().map(|it| it.location().unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(locations(&build.imports), ["gha:a", "registry:o/b:c"]);
        assert_eq!(locations(&build.exports[..1]), ["gha:a"]);
        assert_eq!(build.platforms.iter().map(|it| it.known().unwrap()).collect::<Vec<_>>(), ["linux/amd64", "linux/arm64"]);
        // What is not given has its default.
        let bare = listed(LISTS, &[&[("args", Some("A=1"))]]);
        let build = &bare.builds[0].build;
        assert_eq!((build.imports.len(), build.exports.len(), build.platforms[0].known().as_deref()), (0, 1, Some("linux/amd64")));
    }

    #[test]
    fn lists_of_several_calls_have_what_each_gives() {
        let of = |first: &str, second: &str| listed(LISTS, &[&[("args", Some(first))], &[("args", Some(second))]]);
        let job = of("A=1\nB=it's", "B=2\nA=1");
        assert!(!job.builds[0].build.opaque);
        assert_eq!(argument(&job, "A").unwrap(), [Some("1".into()), Some("1".into())]);
        assert_eq!(argument(&job, "B").unwrap(), [Some("it's".into()), Some("2".into())]);
        for (first, second) in [("A=1", "B=1"), ("A=1", "A=1\nB=1"), ("A=1", ""), ("A=1", "=1"), ("A", "A=1")] {
            assert!(of(first, second).builds[0].build.opaque, "{first} {second}");
        }
        let job = listed(LISTS, &[&[("cache", Some("type=gha,scope=a"))], &[("cache", Some("type=gha,scope=b\ntype=gha,scope=c"))], &[]]);
        let imports = &job.builds[0].build.imports;
        assert_eq!(imports.iter().filter_map(CacheEntry::location).collect::<Vec<_>>(), ["gha:a", "gha:b", "gha:c"]);
        assert!(imports.iter().all(|it| it.conditional));
    }

    #[test]
    fn lists_that_some_call_does_not_tell_are_unknown() {
        let is_opaque = |text: &str, calls: &[&[(&str, Option<&str>)]]| {
            let build = listed(text, calls).builds[0].build.clone();
            (build.opaque, build.imports[0].opaque)
        };
        let known = [("args", Some("A=1")), ("cache", Some("type=gha"))];
        assert_eq!(is_opaque(LISTS, &[&known]), (false, false));
        assert_eq!(is_opaque(LISTS, &[&known, &[("args", None), ("cache", None)]]), (true, true));
        assert_eq!(is_opaque(LISTS, &[]), (true, true));
        assert_eq!(is_opaque(&LISTS.replace("on:\n", "on:\n  workflow_dispatch:\n"), &[&known]), (true, true));
        let long = "x".repeat(MAX_LENGTH);
        assert_eq!(is_opaque(LISTS, &[&[("args", Some(&format!("A={long}"))), known[1]]]), (true, false));
    }

    #[test]
    fn lists_of_an_action_are_those_of_its_calls() {
        let text = "inputs: {args: {required: true}}\nruns:\n  using: composite\n  steps:\n    - uses: docker/build-push-action@v7\n      with: {build-args: '${{ inputs.args }}'}\n";
        let two = action(text, &[given(&[("args", Some("A=1"))]), given(&[("args", Some("A=2"))])]).unwrap();
        assert_eq!(argument(&two.jobs[0], "A").unwrap(), [Some("1".to_owned()), Some("2".to_owned())]);
        assert!(action(text, &[given(&[("args", Some("A=1"))]), given(&[("args", None)])]).unwrap().jobs[0].builds[0].build.opaque);
    }

    #[test]
    fn labels_may_be_a_list_of_json() {
        let runner = |label: &str, calls: &[&str]| {
            let calls: Vec<Given> = calls.iter().map(|it| given(&[("scope", Some(it))])).collect();
            called(&REUSABLE.replace("    steps:", &format!("    runs-on: {label}\n    steps:")), &calls).jobs[0].runner.clone().unwrap().kind
        };
        let list = "${{ fromJSON(inputs.scope) }}";
        assert_eq!(runner(list, &["[\"self-hosted\", \"x64\"]"]), RunnerKind::SelfHosted);
        assert_eq!(runner(list, &["[\"ubuntu-latest\"]", "\"ubuntu-24.04\""]), RunnerKind::Hosted);
        assert_eq!(runner(list, &["[\"ubuntu-latest\"]", "[\"self-hosted\"]"]), RunnerKind::Unknown);
        assert_eq!(runner(list, &["ubuntu-latest"]), RunnerKind::Unknown);
        assert_eq!(runner("${{ fromJSON('[\"ubuntu-latest\"]') }}", &[]), RunnerKind::Hosted);
        assert_eq!(runner("{group: x, labels: '${{ fromJSON(inputs.scope) }}'}", &["[\"ubuntu-latest\"]"]), RunnerKind::Hosted);
    }

    #[test]
    fn a_workflow_that_starts_in_other_ways_has_a_leg_for_those() {
        let both = REUSABLE.replace("on:\n", "on:\n  workflow_dispatch:\n");
        let found = in_legs(&called(&both, &[given(&[("scope", Some("a"))])]));
        assert_eq!(found.iter().map(|it| it[2].as_deref()).collect::<Vec<_>>(), [Some("a"), None]);
        assert!(called(REUSABLE, &[]).jobs[0].legs().is_empty());
        assert!(called(&REUSABLE.replace("workflow_call", "workflow_dispatch"), &[given(&[])]).jobs[0].legs().is_empty());
    }

    #[test]
    fn jobs_call_workflows_with_what_each_leg_gives() {
        let text = "jobs:\n  a:\n    strategy: {matrix: {app: [x, y]}}\n    uses: ./.github/workflows/build.yml\n    with: {file: '${{ matrix.app }}/Dockerfile'}\n    secrets: inherit\n  b:\n    uses: other/repository/.github/workflows/build.yml@v1\n";
        let found: Vec<_> = calls(&lowered(text)).into_iter().collect();
        let call = |file: &str| (".github/workflows/build.yml".to_owned(), given(&[("file", Some(file))]));
        assert_eq!(found, [call("x/Dockerfile"), call("y/Dockerfile")]);
    }

    #[test]
    fn what_never_runs_calls_nothing() {
        let text = "on: push\njobs:\n  a: {if: false, uses: ./.github/workflows/build.yml}\n  b:\n    steps:\n      - {uses: ./x, if: '${{ false }}'}\n      - uses: ./y\n";
        let found = calls(&super::super::lowered(text));
        assert_eq!(found.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn what_an_action_is_given_it_gives_on() {
        let outer = "inputs: {app: {}}\nruns:\n  using: composite\n  steps:\n    - uses: ./inner\n      with: {target: '${{ inputs.app }}-x'}\n";
        let found: Vec<_> = calls(&action(outer, &[given(&[("app", Some("a"))]), given(&[])]).unwrap()).into_iter().collect();
        assert_eq!(found, [("inner".to_owned(), given(&[("target", Some("-x"))])), ("inner".to_owned(), given(&[("target", Some("a-x"))]))]);
    }
}
