//! Syntax to model.

use super::read::{Known, Names, Reader};
use super::{
    Action, Call, Concurrency, DeclaredInput, Defaults, Event, Filter, Given, Input, InputKind, Job, Permissions, Run, Runner, RunnerKind, Step, Trigger,
    Variable, Workflow, action, build, expression, matrix, metadata, scope, script,
};
use crate::edit::Span;
use crate::facts;
use crate::shell;
use crate::syntax::yaml::{Entry, Kind, Node, Scalar, Source};
use crate::value::{Leg, Part, Passage, Value};

/// No workflow that GitHub accepts has more; keeps aliases from growing without bound.
const MAX_JOBS: usize = 1000;
/// More legs of a matrix and a call together are not told apart.
const MAX_LEGS: usize = 512;
/// As many steps as GitHub runs of one job.
const MAX_STEPS: usize = 1000;

/// Lowers a workflow that other workflows of its repository call with `calls`. `text` is the text that
/// `source` was read from.
///
/// What all calls give is not taken for what an input always is: the next caller may be of another
/// repository. It is what the input is in the legs of those calls.
pub fn lower(text: &str, source: &Source, calls: &[Given]) -> Workflow {
    let broken = !source.errors.is_empty();
    let Some(root) = source.root() else { return Workflow { broken, ..Workflow::default() } };
    let mut names = Names::default();
    let reader = Reader::new(&names);
    let mut res = Workflow {
        name: value(&reader, root.get("name")),
        env: variables(&reader, root.get("env")),
        defaults: defaults(&reader, root),
        permissions: root.get("permissions").map(permissions),
        concurrency: concurrency(&reader, root),
        cache_mode: value(&reader, root.get("cache-mode")),
        triggers: root.get("on").map(triggers).unwrap_or_default(),
        jobs: Vec::new(),
        broken,
        is_action: false,
        names: scope::Names::default(),
    };
    names.add_env(&res.env);
    let calls = action::legs_of_workflow(&res, calls);
    for (name, texts) in action::texts(res.triggers.iter().flat_map(|it| &it.inputs), &calls) {
        names.set_given(name, texts);
    }
    let file = File { text, source };
    let jobs = root.get("jobs").map(Node::entries).unwrap_or_default();
    for entry in jobs.iter().filter(|it| it.key != "<<").take(MAX_JOBS) {
        let job = file.job(entry, &res, &names, &calls);
        // Only jobs further down can see them: those in front are rarely the ones that wait.
        for output in &job.outputs {
            names.set_job_output(&job.id, &output.name, Known::of(&output.value).of_other_job());
            if let Some(listed) = build::listed(&job, &output.value) {
                names.set_listed(&format!("needs.{}.outputs.{}", job.id, output.name), listed);
            }
        }
        res.jobs.push(job);
    }
    res
}

/// Lowers a composite action, whose calls are given `calls`; `None` for an action of another kind.
///
/// What a job has done before it calls the action is not known here: a step of the repository's own
/// that may have done anything stands for it.
pub fn lower_action(text: &str, source: &Source, calls: &[Given]) -> Option<Workflow> {
    let root = source.root()?;
    let runs = root.entry("runs").filter(|it| it.value.get("using").and_then(Node::text).is_some_and(|it| it.eq_ignore_ascii_case("composite")))?;
    let inputs = root.get("inputs").map(declared_inputs).unwrap_or_default();
    let legs = action::legs(&inputs, calls);
    let mut names = Names::default();
    for input in &inputs {
        let key = expression::input_key(&input.name, input.kind);
        if let Some(value) = legs.first().and_then(|it| it.get(&key)).filter(|value| legs.iter().all(|it| it.get(&key) == Some(value))) {
            names.set_input(&input.name, value);
        }
    }
    for (name, texts) in action::texts(&inputs, &legs) {
        names.set_given(name, texts);
    }
    let name = value(&Reader::new(&names), root.get("name"));
    let trigger = Trigger { inputs, ..trigger("workflow_call", runs.key_span, None) };
    let mut job = Job {
        span: runs.span,
        id: name.as_ref().and_then(Value::known).unwrap_or_else(|| "action".to_owned()),
        id_span: runs.key_span,
        name: None,
        needs: Vec::new(),
        condition: None,
        runner: None,
        env: Vec::new(),
        defaults: Defaults::default(),
        permissions: None,
        concurrency: None,
        cache_mode: None,
        matrix: None,
        calls: legs,
        container: None,
        call: None,
        outputs: Vec::new(),
        steps: vec![Step::of_caller(runs.key_span)],
        builds: Vec::new(),
    };
    File { text, source }.steps(&runs.value, &Defaults::default(), &mut names, &mut job);
    let broken = !source.errors.is_empty();
    Some(Workflow { name, triggers: vec![trigger], jobs: vec![job], broken, is_action: true, ..Workflow::default() })
}

/// The file that is lowered: some of what is wanted stands in comments.
#[derive(Clone, Copy)]
struct File<'a> {
    text: &'a str,
    source: &'a Source,
}

impl File<'_> {
    fn job(self, entry: &Entry, workflow: &Workflow, names: &Names<'_>, calls: &[Leg]) -> Job {
        let node = &entry.value;
        let outer = &workflow.defaults;
        let matrix = matrix(node, names);
        let calls = legs_in_calls(node, names, calls);
        let mut names = names.below(&[]);
        names.add_matrix(matrix.as_ref());
        for (key, json) in node.get("strategy").and_then(|it| it.get("matrix")).map(matrix::keys_made).unwrap_or_default() {
            if let Some(listed) = names.listed(&json.to_string()) {
                names.set_listed(&format!("matrix.{key}"), listed);
            }
        }
        let env = variables(&Reader::new(&names), node.get("env"));
        names.add_env(&env);
        let reader = Reader::new(&names);
        let mut res = Job {
            span: entry.span,
            id: entry.key.to_string(),
            id_span: entry.key_span,
            name: value(&reader, node.get("name")),
            needs: needs(node),
            condition: condition(&reader, node.get("if")),
            runner: node.get("runs-on").map(|it| runner(&reader, it, matrix.as_ref(), &calls)),
            env,
            defaults: defaults(&reader, node),
            permissions: node.get("permissions").map(permissions),
            concurrency: concurrency(&reader, node),
            cache_mode: value(&reader, node.get("cache-mode")),
            matrix,
            calls,
            container: value(&reader, node.get("container").map(|it| it.get("image").unwrap_or(it))),
            call: node.get("uses").and_then(|it| self.action(it)).map(|action| Call { action, inputs: inputs(&reader, node.get("with")) }),
            steps: Vec::new(),
            builds: Vec::new(),
            outputs: Vec::new(),
        };
        let folder = res.defaults.folder.as_ref().or(outer.folder.as_ref());
        let shell = res.defaults.shell.as_ref().or(outer.shell.as_ref());
        let inherited = Defaults { shell: shell.cloned(), folder: folder.cloned() };
        self.steps(node, &inherited, &mut names, &mut res);
        // In what is called it is the caller's.
        let name = workflow.name.as_ref().filter(|_| !workflow.is_reusable()).and_then(Value::known);
        res.builds.iter_mut().for_each(|it| it.build.set_names(&entry.key, name.as_deref()));
        res.outputs = variables(&Reader::new(&names), node.get("outputs"));
        res
    }

    fn steps(self, node: &Node, inherited: &Defaults, names: &mut Names<'_>, job: &mut Job) {
        let items = node.get("steps").map(Node::items).unwrap_or_default();
        job.steps.reserve_exact(items.len().min(MAX_STEPS));
        for item in items.iter().take(MAX_STEPS) {
            let step = self.step(item, inherited, names);
            let index = job.steps.len();
            job.steps.push(step);
            let mut builds = build::of_step(job, index, names);
            let never = job.never_runs() || job.steps.get(index).is_some_and(Step::never_runs);
            builds.iter_mut().for_each(|it| it.build.dry |= never);
            job.builds.extend(builds);
            if let Some(step) = job.steps.last() {
                metadata::learn(step, names);
                script::learn(step, names);
            }
        }
        job.builds.shrink_to_fit();
    }

    fn step(self, item: &Node, inherited: &Defaults, names: &Names<'_>) -> Step {
        let env = variables(&Reader::new(names), item.get("env"));
        let names = names.below(&env);
        let reader = Reader::new(&names);
        let with = item.get("with");
        let action = item.get("uses").and_then(|it| self.action(it));
        Step {
            span: item.span,
            id: item.get("id").and_then(Node::text).map(str::to_owned),
            name: value(&reader, item.get("name")),
            condition: condition(&reader, item.get("if")),
            inputs: inputs(&reader, with),
            inputs_span: with.map(|it| it.span),
            run: match item.get("run") {
                Some(script) => run(&reader, inherited, item, script),
                None => action.as_ref().and_then(|it| retried(&reader, it, with?)),
            },
            action,
            env,
            shared: is_shared(item, 0),
        }
    }

    fn action(self, node: &Node) -> Option<Action> {
        let mapped = &node.scalar()?.value;
        let name = mapped.text.trim();
        let start = mapped.text.len() - mapped.text.trim_start().len();
        if name.is_empty() {
            return None;
        }
        let end = start + name.len();
        // A digest belongs to the image's name.
        let at = if name.starts_with("docker://") { None } else { name.rfind('@') };
        let reference = at.and_then(|it| name.get(it + 1..));
        Some(Action {
            span: mapped.span(Span::new(start, end)),
            name: at.and_then(|it| name.get(..it)).unwrap_or(name).to_owned(),
            reference: reference.map(str::to_owned),
            reference_span: mapped.span(Span::new(end - reference.map_or(0, str::len), end)),
            comment: self.version_behind(node.resolved().span),
        })
    }

    /// The version in a comment on the line where the span ends.
    fn version_behind(self, span: Span) -> Option<String> {
        let index = self.source.comments.partition_point(|it| it.start < span.end);
        let comment = self.source.comments.get(index)?;
        if Span::new(span.end, comment.start).of(self.text).contains(['\n', '\r']) {
            return None;
        }
        let mut words = comment.of(self.text).split(|it: char| it.is_whitespace() || matches!(it, '#' | '=' | '@' | ':' | ','));
        words.find(|it| it.strip_prefix('v').unwrap_or(it).starts_with(|it: char| it.is_ascii_digit())).map(str::to_owned)
    }
}

fn triggers(node: &Node) -> Vec<Trigger> {
    match &node.resolved().kind {
        Kind::Mapping(mapping) => mapping.entries.iter().map(|it| trigger(&it.key, it.key_span, Some(&it.value))).collect(),
        Kind::Sequence(sequence) => sequence.items.iter().filter_map(|it| Some(trigger(it.text()?, it.span, None))).collect(),
        Kind::Scalar(scalar) => vec![trigger(&scalar.value.text, node.span, None)],
        Kind::Alias(..) | Kind::Null => Vec::new(),
    }
}

/// A trigger, and what is said of it.
fn trigger(event: &str, span: Span, value: Option<&Node>) -> Trigger {
    let filter = |key: &str| value.and_then(|it| it.get(key)).map(filter);
    Trigger {
        span,
        event: Event::of(event),
        branches: filter("branches"),
        branches_ignore: filter("branches-ignore"),
        tags: filter("tags"),
        tags_ignore: filter("tags-ignore"),
        paths: filter("paths"),
        paths_ignore: filter("paths-ignore"),
        types: filter("types"),
        inputs: value.and_then(|it| it.get("inputs")).map(declared_inputs).unwrap_or_default(),
    }
}

fn filter(node: &Node) -> Filter {
    let literal = |it: &Node| Some(Value::literal(it.text()?, it.span));
    let patterns = match node.text() {
        Some(_) => literal(node).into_iter().collect(),
        None => node.items().iter().filter_map(literal).collect(),
    };
    Filter { span: node.span, patterns }
}

fn declared_inputs(node: &Node) -> Vec<DeclaredInput> {
    // An action computes its defaults where it is called, of which nothing is known here.
    let default = |it: &Entry| it.value.get("default").and_then(|it| Some(expression::value(&it.scalar()?.value, it.span, &expression::Nowhere)));
    let required = |it: &Entry| it.value.get("required").and_then(Node::text) == Some("true");
    let kind = |it: &Entry| match it.value.get("type").and_then(Node::text) {
        Some("boolean") => InputKind::Truth,
        Some("number") => InputKind::Number,
        _ => InputKind::Text,
    };
    let input = |it: &Entry| DeclaredInput { name: it.key.as_str().to_lowercase(), default: default(it), required: required(it), kind: kind(it) };
    node.entries().iter().map(input).collect()
}

fn matrix(job: &Node, names: &Names<'_>) -> Option<matrix::Matrix> {
    let node = job.get("strategy")?.get("matrix")?;
    let reader = Reader::new(names);
    let scalar = |it: &Scalar| reader.scalar(it, node.span).known().map(str::to_owned);
    Some(matrix::lower(node, &scalar, &|it| expression::evaluate(it, names).known?.text()))
}

/// The inputs of each call in each leg of the matrix that they make; none where there are too many.
fn legs_in_calls(job: &Node, names: &Names<'_>, calls: &[Leg]) -> Vec<Leg> {
    let mut res = Vec::new();
    for call in calls {
        let mut names = names.below(&[]);
        for (key, value) in call {
            names.set_input(expression::input_of_key(key).unwrap_or(key), value);
        }
        let matrix = matrix(job, &names).and_then(|it| it.legs).filter(|it| !it.is_empty());
        let legs = matrix.unwrap_or_else(|| vec![Leg::new()]);
        res.extend(legs.into_iter().map(|leg| leg.into_iter().chain(call.clone()).collect::<Leg>()));
        if res.len() > MAX_LEGS {
            return Vec::new();
        }
    }
    res
}

fn value(reader: &Reader<'_>, node: Option<&Node>) -> Option<Value> {
    node.and_then(|it| reader.passage(it)).map(|it| it.value())
}

fn variables(reader: &Reader<'_>, node: Option<&Node>) -> Vec<Variable> {
    let variable = |it: &Entry| {
        let value = reader.passage(&it.value).unwrap_or_else(|| Passage::new(it.value.span)).value();
        Variable { name: it.key.to_string(), name_span: it.key_span, value }
    };
    flat(node).into_iter().map(variable).collect()
}

/// The pairs of a mapping, those of merge keys first, so that the last of a name wins.
fn flat(node: Option<&Node>) -> Vec<&Entry> {
    let Some(node) = node else { return Vec::new() };
    let (merges, own): (Vec<_>, Vec<_>) = node.entries().iter().partition(|it| it.key == "<<");
    // One level: a merge key inside a merged mapping is so rare that its names may stay unknown.
    let merged = merges.iter().flat_map(|it| match it.value.items() {
        [] => it.value.entries().iter().collect::<Vec<_>>(),
        items => items.iter().rev().flat_map(Node::entries).collect(),
    });
    merged.filter(|it| it.key != "<<").chain(own).collect()
}

fn defaults(reader: &Reader<'_>, node: &Node) -> Defaults {
    let run = node.get("defaults").and_then(|it| it.get("run"));
    let part = |key: &str| value(reader, run.and_then(|it| it.get(key)));
    Defaults { shell: part("shell"), folder: part("working-directory") }
}

fn permissions(node: &Node) -> Permissions {
    let scopes = node.entries().iter().map(|it| (it.key.to_string(), it.value.text().unwrap_or_default().to_owned())).collect();
    Permissions { span: node.span, all: node.text().unwrap_or_default().to_owned(), scopes }
}

fn concurrency(reader: &Reader<'_>, node: &Node) -> Option<Concurrency> {
    let node = node.get("concurrency")?;
    let group = value(reader, Some(node)).or_else(|| value(reader, node.get("group")));
    Some(Concurrency { span: node.span, group, cancel: value(reader, node.get("cancel-in-progress")) })
}

fn needs(node: &Node) -> Vec<(String, Span)> {
    let named = |it: &Node| Some((it.text()?.to_owned(), it.span));
    node.get("needs")
        .map(|it| if it.text().is_some() { named(it).into_iter().collect() } else { it.items().iter().filter_map(named).collect() })
        .unwrap_or_default()
}

fn condition(reader: &Reader<'_>, node: Option<&Node>) -> Option<Value> {
    let node = node?;
    Some(reader.condition(node.scalar()?, node.resolved().span))
}

fn runner(reader: &Reader<'_>, node: &Node, matrix: Option<&matrix::Matrix>, calls: &[Leg]) -> Runner {
    let labels = match node.entries() {
        [] => node,
        _ => node.get("labels").unwrap_or(node),
    };
    let labels: Vec<Value> = match labels.items() {
        [] => value(reader, Some(labels)).into_iter().collect(),
        items => items.iter().filter_map(|it| value(reader, Some(it))).collect(),
    };
    let of = |leg: &Leg| runner_kind(labels.iter().map(|it| labels_in(it, leg)).collect::<Option<Vec<_>>>().map(|it| it.concat()));
    let in_legs = |legs: &[Leg]| match legs {
        [] => of(&Leg::new()),
        [first, rest @ ..] => {
            let kind = of(first);
            if rest.iter().all(|it| of(it) == kind) { kind } else { RunnerKind::Unknown }
        }
    };
    let kind = in_legs(matrix.and_then(|it| it.legs.as_deref()).unwrap_or_default());
    let of_calls = if kind == RunnerKind::Unknown && !calls.is_empty() { in_legs(calls) } else { kind };
    Runner { span: node.span, labels, kind: of_calls, by_calls: of_calls != kind }
}

/// The labels that a value is in a leg: one, or the list that JSON has.
fn labels_in(value: &Value, leg: &Leg) -> Option<Vec<String>> {
    let list = || match value.parts.as_slice() {
        [Part::Expression { source, .. }] => expression::list_in_leg(source, leg),
        _ => None,
    };
    value.in_leg(leg).map(|it| vec![it]).or_else(list)
}

fn runner_kind(labels: Option<Vec<String>>) -> RunnerKind {
    /// How the labels of vendors begin, from each vendor's own documentation.
    const VENDORS: &[(&str, &str)] = &[
        ("depot-", "Depot"),
        ("blacksmith-", "Blacksmith"),
        ("namespace-profile-", "Namespace"),
        ("nscloud-", "Namespace"),
        ("buildjet-", "BuildJet"),
        ("warp-", "WarpBuild"),
        ("ubicloud", "Ubicloud"),
        ("runs-on", "RunsOn"),
        ("cirun-", "Cirun"),
    ];
    const HOSTED: &[&str] = &["ubuntu-", "windows-", "macos-"];
    let Some(labels) = labels else { return RunnerKind::Unknown };
    let labels: Vec<String> = labels.iter().map(|it| it.trim().to_lowercase()).collect();
    if labels.iter().any(|it| it == "self-hosted") {
        return RunnerKind::SelfHosted;
    }
    let vendor = |label: &String| VENDORS.iter().find(|(prefix, _)| label.starts_with(prefix));
    if let Some((_, name)) = labels.iter().find_map(vendor) {
        return RunnerKind::Vendor(name);
    }
    match labels.as_slice() {
        // Larger runners are hosted too, but their labels are anything.
        [label] if HOSTED.iter().any(|it| label.starts_with(it)) => RunnerKind::Hosted,
        _ => RunnerKind::Unknown,
    }
}

/// Whether an edit below the node could change another place, or be changed by one.
fn is_shared(node: &Node, depth: usize) -> bool {
    // Deeper than a step can be.
    if depth > 8 || node.anchor.is_some() {
        return true;
    }
    match &node.kind {
        Kind::Alias(..) => true,
        Kind::Mapping(mapping) => mapping.entries.iter().any(|it| it.key == "<<" || is_shared(&it.value, depth + 1)),
        Kind::Sequence(sequence) => sequence.items.iter().any(|it| is_shared(it, depth + 1)),
        Kind::Scalar(_) | Kind::Null => false,
    }
}

fn inputs(reader: &Reader<'_>, node: Option<&Node>) -> Vec<Input> {
    let input = |it: &Entry| {
        let passage = reader.passage(&it.value).unwrap_or_else(|| Passage::new(it.value.span));
        let style = it.value.scalar().map(|it| it.style);
        Input { name: it.key.as_str().to_lowercase(), name_span: it.key_span, span: it.span, style, value: passage.value(), passage }
    };
    flat(node).into_iter().map(input).collect()
}

/// Whether a shell is of the POSIX family, which alone has the words that commands are found by: a name,
/// or a template that has one in front of `{0}` (`nix develop --command bash -e {0}`).
fn is_posix(shell: &str) -> bool {
    let is_shell = |it: &str| matches!(facts::name(it), "bash" | "sh");
    let words = shell.split_whitespace().take_while(|it| *it != "{0}");
    // A script in quotes is another one than the step's.
    words.clone().any(is_shell) && !words.clone().any(|it| it == "-c" || it.contains(['"', '\'']))
}

/// The script that an action runs until it succeeds.
fn retried(reader: &Reader<'_>, action: &Action, with: &Node) -> Option<Run> {
    const ACTIONS: &[&str] = &["nick-fields/retry", "nick-invision/retry", "Wandalen/wretry.action"];
    let is_moved = with.get("current_path").is_some();
    let command = with.get("command").filter(|_| ACTIONS.iter().any(|it| action.is(it)) && !is_moved)?;
    // What is said of the scripts of a job is not for actions, and the action has no folder of its own.
    run(reader, &Defaults::default(), with, command)
}

fn run(reader: &Reader<'_>, inherited: &Defaults, item: &Node, node: &Node) -> Option<Run> {
    let passage = reader.passage(node)?;
    let folder = value(reader, item.get("working-directory")).or_else(|| inherited.folder.clone());
    let shell_name = value(reader, item.get("shell")).or_else(|| inherited.shell.clone());
    let shell_name = shell_name.map_or(Some("bash".to_owned()), |it| it.known());
    let script = if shell_name.as_deref().is_none_or(is_posix) { shell::parse(passage.text()) } else { shell::Script::default() };
    let folder = match folder {
        None => Some(String::new()),
        Some(folder) => build::workspace_folder(&folder),
    };
    Some(Run { folder, passage, script, shell: shell_name })
}

#[cfg(test)]
mod tests {
    use crate::workflow::{lowered, with_steps};

    fn builds(steps: &str) -> usize {
        lowered(&with_steps(steps)).builds().count()
    }

    #[test]
    fn scripts_of_shells_behind_other_programs_are_read() {
        let with_shell = |shell: &str| builds(&format!("- run: docker build .\n  shell: {shell}"));
        for shell in ["bash", "sh", "/bin/bash -e {0}", "nix develop --fallback --command bash -e {0}", "'bash --noprofile --norc -eo pipefail {0}'"] {
            assert_eq!(with_shell(shell), 1, "{shell}");
        }
        for shell in ["pwsh", "python {0}", "fish {0}", "'bash -c \"tool {0}\"'", "shellcheck {0}", "wsl-bash {0}"] {
            assert_eq!(with_shell(shell), 0, "{shell}");
        }
    }

    #[test]
    fn scripts_that_are_tried_again_are_read() {
        let retry = |name: &str, with: &str| builds(&format!("- uses: {name}@v3\n  with:\n    command: |\n      cd app\n      docker build .\n{with}"));
        assert_eq!(retry("nick-fields/retry", "    timeout_minutes: 5\n"), 1);
        assert_eq!(retry("nick-fields/retry", "    shell: pwsh\n"), 0);
        assert_eq!(retry("other/action", ""), 0);
    }

    #[test]
    fn an_action_that_only_sets_up_builds_nothing() {
        let with = |input: &str| builds(&format!("- uses: useblacksmith/build-push-action@v2\n  with: {{{input}}}"));
        assert_eq!([with("setup-only: true"), with("setup-only: false"), with("push: true")], [0, 1, 1]);
    }

    #[test]
    fn paths_may_be_made_of_the_names_of_job_and_workflow() {
        let found = |on: &str, value: &str| {
            let text = with_steps(&format!("- uses: docker/build-push-action@v7\n  with:\n    file: {value}/Dockerfile\n    cache-to: type=gha,scope={value}"));
            let build = lowered(&format!("name: Images\n{}", text.replacen("on: push", on, 1))).jobs[0].builds[0].build.clone();
            (build.dockerfile.unwrap().known(), build.exports[0].attribute("scope").unwrap().known())
        };
        assert_eq!(found("on: push", "${{ github.job }}"), (Some("build/Dockerfile".into()), None));
        assert_eq!(found("on: push", "${{ github.workflow }}"), (Some("Images/Dockerfile".into()), None));
        assert_eq!(found("on: workflow_call", "${{ github.job }}"), (Some("build/Dockerfile".into()), None));
        assert_eq!(found("on: workflow_call", "${{ github.workflow }}"), (None, None));
    }
}
