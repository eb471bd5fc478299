//! Composite actions of the repository: what a step gives one that it calls, and what that makes of
//! its inputs.

use super::{DeclaredInput, Job, Step, Workflow, expression};
use crate::edit::Span;
use crate::value::Leg;
use std::collections::{BTreeMap, BTreeSet};

/// What a call gives an action: its inputs by name, in lower case, without a value where that is
/// not known.
pub type Given = BTreeMap<String, Option<String>>;

/// More calls of one file or of one action than that are not told apart: with each the action is
/// lowered again.
pub const MAX_CALLS: usize = 64;

/// The name of an action that stands for what the calling job has done.
const CALLER: &str = "./";

impl Step {
    /// The step in front of those of a composite action.
    pub(super) fn of_caller(span: Span) -> Step {
        let action = super::Action { span, name: CALLER.to_owned(), reference: None, reference_span: Span::at(span.end), comment: None };
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

/// The actions of the repository that a workflow or an action calls, as folders relative to its root,
/// with what each call gives.
pub fn calls(workflow: &Workflow) -> BTreeSet<(String, Given)> {
    let mut res = BTreeSet::new();
    for job in &workflow.jobs {
        for step in job.steps.iter().skip(usize::from(workflow.is_action)) {
            let Some(folder) = step.action.as_ref().filter(|it| it.is_local()).and_then(|it| super::build::clean(&it.name)) else { continue };
            // Of very many it is not told what they give.
            let given = if res.len() < MAX_CALLS { given(job, step) } else { vec![step.inputs.iter().map(|it| (it.name.clone(), None)).collect()] };
            res.extend(given.into_iter().map(|it| (folder.clone(), it)));
        }
    }
    res
}

/// What a step gives, in each leg of its job.
fn given(job: &Job, step: &Step) -> Vec<Given> {
    let none = [Leg::new()];
    let legs = if job.legs().is_empty() { &none } else { job.legs() };
    let value = |leg: &Leg| step.inputs.iter().map(|it| (it.name.clone(), it.value.in_leg(leg))).collect();
    legs.iter().map(value).collect()
}

/// The inputs of an action in each call, defaults in the place of what is not given.
pub(super) fn legs(inputs: &[DeclaredInput], calls: &[Given]) -> Vec<Leg> {
    let value = |input: &DeclaredInput, call: &Given| match call.get(&input.name) {
        Some(given) => given.clone(),
        None => match &input.default {
            // What is computed in a default is not followed.
            Some(default) => default.known().filter(|it| !it.contains("${{")),
            None => Some(String::new()),
        },
    };
    let leg = |call: &Given| inputs.iter().filter_map(|it| Some((expression::input_key(&it.name), value(it, call)?))).collect();
    let res: BTreeSet<Leg> = calls.iter().map(leg).collect();
    if res.len() > MAX_CALLS { Vec::new() } else { res.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheEntry;
    use crate::syntax::yaml;
    use crate::text::{Document, Language};
    use crate::workflow::{Builder, lower_action, lowered};

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

    #[test]
    fn what_an_action_is_given_it_gives_on() {
        let outer = "inputs: {app: {}}\nruns:\n  using: composite\n  steps:\n    - uses: ./inner\n      with: {target: '${{ inputs.app }}-x'}\n";
        let found: Vec<_> = calls(&action(outer, &[given(&[("app", Some("a"))]), given(&[])]).unwrap()).into_iter().collect();
        assert_eq!(found, [("inner".to_owned(), given(&[("target", Some("-x"))])), ("inner".to_owned(), given(&[("target", Some("a-x"))]))]);
    }
}
