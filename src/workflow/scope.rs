//! Names for cache scopes: what tells one build from the others, as text to write into the file.

use super::build::{BuildStep, Override};
use super::{DeclaredInput, Event, Job, Matrix, Trigger, Workflow};
use crate::build::Build;
use crate::value::{Leg, Part, Value};
use crate::volatility::{Axis, Variance};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// What the names of a workflow's builds are chosen by, found when the first name is asked for: each
/// name depends on all others.
#[derive(Debug, Clone, Default)]
pub struct Names(OnceLock<Vec<Named>>);

#[derive(Debug, Clone)]
struct Named {
    /// See [`candidates`].
    candidates: Vec<String>,
    /// See [`layers`].
    layers: Option<String>,
}

impl Workflow {
    /// A scope that no other build of the workflow has, other than those that build the same: the
    /// image's name, else the folder, the Dockerfile, the target or the job, and what the legs of
    /// a matrix differ in.
    pub fn scope_name(&self, job: &Job, step: &BuildStep) -> String {
        let names = candidates(self, job, step);
        let layers = layers(&step.build);
        let base = names.first().cloned().unwrap_or_else(|| job.id.clone());
        let is_other = |it: &&Named| it.layers.is_none() || it.layers != layers;
        let is_same = |it: &Named| it.candidates.first().is_some_and(|it| is_one_key(it, &base));
        let clashing: Vec<&Named> = self.named().iter().filter(|it| is_same(it)).filter(is_other).collect();
        let is_alone = |it: &str| !is_one_key(it, &base) && !clashing.iter().flat_map(|it| &it.candidates).any(|other| is_one_key(other, it));
        let base = match names.iter().find(|it| is_alone(it)).filter(|_| !clashing.is_empty()) {
            Some(second) => format!("{base}-{second}"),
            None => base,
        };
        let suffix = job.scope_suffix(step, &base).unwrap_or_default();
        base + &suffix
    }

    fn named(&self) -> &[Named] {
        let name = |(job, step): (&Job, &BuildStep)| Named { candidates: candidates(self, job, step), layers: layers(&step.build) };
        self.names.0.get_or_init(|| self.jobs.iter().flat_map(|job| job.builds.iter().map(move |it| (job, it))).map(name).collect())
    }
}

/// Whether GitHub's cache takes two names for one: it makes no difference between upper and lower case
/// (ruby/setup-ruby#659, nektos/act#2497).
pub fn is_one_key(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// What a scope of the build is named after first of all: the image, else the folder, the
/// Dockerfile, the target or the job.
pub fn first_name(workflow: &Workflow, job: &Job, step: &BuildStep) -> String {
    candidates(workflow, job, step).into_iter().next().unwrap_or_else(|| job.id.clone())
}

impl Job {
    /// What has to be added to a scope so that the legs of the matrix do not share it:
    /// `-${{ matrix.arch }}`. The empty text where the scope tells them apart already or where all
    /// legs build the same, `None` where the job has no matrix.
    pub fn scope_suffix(&self, step: &BuildStep, scope: &str) -> Option<String> {
        let matrix = self.matrix.as_ref()?;
        let affecting = self.affecting_keys(step);
        let there = |key: &String| scope.contains(&format!("matrix.{key} "));
        let in_legs = matrix.legs.iter().flatten().flat_map(|it| it.keys().cloned());
        let keys: BTreeSet<String> = matrix.keys.iter().map(|it| it.name.clone()).chain(in_legs).chain(affecting.clone()).collect();
        let present: Vec<String> = keys.into_iter().filter(there).collect();
        if affecting.iter().all(|it| present.contains(it)) || tells_apart(matrix, &affecting, &present) {
            return Some(String::new());
        }
        let missing = || affecting.iter().filter(|it| !present.contains(it)).cloned().collect();
        let keys = best_key(matrix, &affecting, &present).map_or_else(|| needed(matrix, &affecting, &present, missing()), |it| vec![it]);
        Some(keys.iter().map(|it| format!("-${{{{ matrix.{it} }}}}")).collect())
    }

    /// The keys of the matrix that make the legs build different things: in context, file, target,
    /// platforms, arguments, named contexts or the runner; of bake, in its files and in what `set:` says of layers.
    pub fn affecting_keys(&self, step: &BuildStep) -> Vec<String> {
        let is_cache = |it: &Override| it.key.starts_with("cache-");
        let of_call = step.overrides.iter().filter(|it| it.makes_layers() && !is_cache(it)).map(|it| &it.value).chain(&step.files);
        let all = what_is_built(&step.build).into_iter().chain(of_call);
        let mut variance = all.fold(Variance::constant(), |res, it| res.join(&it.variance()));
        for label in self.runner.iter().flat_map(|it| &it.labels) {
            variance = variance.join(&label.variance());
        }
        let key = |it: &Axis| match it {
            Axis::Matrix(key) => Some(key.clone()),
            _ => None,
        };
        variance.iter().filter_map(key).collect()
    }
}

/// The values that say what is built, names of the result left out.
fn what_is_built(build: &Build) -> Vec<&Value> {
    build.context.value().into_iter().chain(&build.dockerfile).chain(options(build)).collect()
}

/// Those of them that are no paths.
fn options(build: &Build) -> Vec<&Value> {
    let arguments = build.arguments.iter().filter_map(|it| it.value.as_ref());
    let named = build.contexts.iter().map(|(_, it)| it);
    build.target.iter().chain(&build.platforms).chain(arguments).chain(named).collect()
}

/// The Dockerfile as it is written, else the one that is looked for.
fn dockerfile(build: &Build) -> String {
    let folder = || build.context.value().map_or_else(String::new, |it| path(&it.pattern()));
    match build.dockerfile.as_ref().filter(|it| !it.is_blank()) {
        Some(value) => path(&value.pattern()),
        None => path(&format!("{}/Dockerfile", folder())),
    }
}

/// A path without what says nothing.
fn path(text: &str) -> String {
    text.split('/').filter(|it| !matches!(*it, "" | ".")).collect::<Vec<_>>().join("/")
}

/// What decides the layers, as far as it is written: equal for builds that give the same ones. `None`
/// where something is not understood.
fn layers(build: &Build) -> Option<String> {
    let folder = build.context.value().map(|it| path(&it.pattern()));
    let options: Vec<String> = options(build).iter().map(|it| it.pattern()).collect();
    let arguments: Vec<&String> = build.arguments.iter().map(|it| &it.name).collect();
    (!build.opaque).then(|| format!("{:?} {:?} {folder:?} {:?} {options:?} {arguments:?}", build.tool, build.folder, dockerfile(build)))
}

/// Whether legs that differ in the affecting keys also differ in `keys`.
fn tells_apart(matrix: &Matrix, affecting: &[String], keys: &[String]) -> bool {
    let Some(legs) = &matrix.legs else { return false };
    let of = |leg: &Leg, keys: &[String]| keys.iter().map(|it| leg.get(it).cloned()).collect::<Vec<_>>();
    let names: BTreeSet<_> = legs.iter().map(|it| of(it, keys)).collect();
    let built: BTreeSet<_> = legs.iter().map(|it| (of(it, keys), of(it, affecting))).collect();
    names.len() == built.len()
}

/// The key that, with those that are there, tells apart what the affecting keys tell apart, and
/// reads best.
fn best_key(matrix: &Matrix, affecting: &[String], present: &[String]) -> Option<String> {
    let legs = matrix.legs.as_ref()?;
    let values = |key: &str| legs.iter().map(|it: &Leg| it.get(key).map_or("", String::as_str)).collect::<Vec<_>>();
    let fits = |key: &&String| {
        let keys: Vec<String> = present.iter().chain([*key]).cloned().collect();
        tells_apart(matrix, affecting, &keys)
    };
    let cost = |key: &&String| {
        let values = values(key);
        let odd = values.iter().any(|it| it.is_empty() || !it.chars().all(is_name_char));
        (odd, !affecting.contains(key), values.iter().map(|it| it.len()).sum::<usize>())
    };
    legs.first()?.keys().filter(fits).min_by_key(cost).cloned()
}

/// Those of the keys that the others do not stand for, such as the runner of an architecture.
fn needed(matrix: &Matrix, affecting: &[String], present: &[String], keys: Vec<String>) -> Vec<String> {
    let mut res = keys;
    for index in (0..res.len()).rev() {
        let others: Vec<String> = res.iter().enumerate().filter(|(it, _)| *it != index).map(|(_, key)| key.clone()).collect();
        let all: Vec<String> = present.iter().chain(&others).cloned().collect();
        if tells_apart(matrix, affecting, &all) {
            res = others;
        }
    }
    res
}

fn is_name_char(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.')
}

/// Names for a build, the best first.
fn candidates(workflow: &Workflow, job: &Job, step: &BuildStep) -> Vec<String> {
    let sure = sure_inputs(workflow);
    let build = &step.build;
    let image = build.tags.iter().find_map(|it| image_name(it, &sure)).or_else(|| metadata_image(job, build, &sure));
    let folder = build.context.folder().and_then(last_segment);
    let file = build.dockerfile.as_ref().and_then(file_name);
    let target = build.target.as_ref().filter(|it| is_stable(it, &sure)).map(|it| plain(&it.pattern()));
    let (id, name) = names_of_step(job, step);
    let number = format!("{}", step.step + 1);
    let names = [image, folder, file, target, Some(plain(&job.id)), id, name, Some(number)].into_iter().flatten();
    names.filter(|it| !it.is_empty() && names_each_leg(job, it)).collect()
}

/// The longest name of a step that names a scope, in bytes.
const MOST_NAME: usize = 40;

/// The id of the step that builds, and the words of its name.
fn names_of_step(job: &Job, build: &BuildStep) -> (Option<String>, Option<String>) {
    let step = job.steps.get(build.step);
    let id = step.and_then(|it| it.id.as_deref()).map(plain);
    let name = step.and_then(|it| it.name.as_ref()).and_then(Value::known).map(|name| {
        let words = name.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').filter(|it| !it.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    });
    // A sentence is no name.
    (id, name.filter(|it| it.len() <= MOST_NAME))
}

/// Whether the keys of the matrix that a name is made of can stand in a name, in each leg.
fn names_each_leg(job: &Job, name: &str) -> bool {
    let is_name = |it: &str| it.chars().all(is_name_char) && !it.chars().all(|it| it == '.');
    let legs = job.matrix.iter().filter(|_| name.contains("matrix.")).flat_map(|it| &it.legs).flatten();
    legs.flatten().filter(|(key, _)| name.contains(&format!("matrix.{key} "))).all(|(_, value)| is_name(value))
}

/// `app` of `ghcr.io/org/app:tag@sha256:…`.
fn image_name(tag: &Value, sure: &[String]) -> Option<String> {
    let mut name = Value { span: tag.span, parts: Vec::new() };
    let mut ended = false;
    for part in &tag.parts {
        let text = match part {
            Part::Text(text) => text.as_str(),
            Part::Expression { known: Some(text), .. } => text,
            Part::Expression { .. } if ended => continue,
            Part::Expression { .. } => {
                name.parts.push(part.clone());
                continue;
            }
        };
        for piece in text.split_inclusive(['/', ':', '@']) {
            if !ended {
                name.parts.push(Part::Text(piece.trim_end_matches([':', '@']).into()));
            }
            ended |= piece.ends_with([':', '@']);
            // What seemed to be a tag was the port of a registry.
            if piece.ends_with('/') {
                name.parts.clear();
                ended = false;
            }
        }
    }
    // An input that is all there is of it may have the tag in it, and further names.
    let is_whole = !ended && matches!(name.parts.as_slice(), [Part::Expression { source, known: None, .. }] if sure.contains(source));
    (!is_whole && is_stable(&name, sure)).then(|| plain(&name.pattern())).filter(|it| !it.is_empty())
}

/// The inputs of a workflow that are never empty, as expressions. Others may be, and so would be the
/// name that is made of them.
fn sure_inputs(workflow: &Workflow) -> Vec<String> {
    let declared = || workflow.triggers.iter().filter(|it| !it.inputs.is_empty());
    let is_sure = |it: &DeclaredInput| it.required || it.default.as_ref().is_some_and(|it| !it.is_blank());
    let everywhere = |name: &str| declared().all(|it| it.inputs.iter().any(|it| it.name == name && is_sure(it)));
    // Whatever else starts the workflow gives no inputs.
    let asks = |it: &Trigger| matches!(it.event, Event::WorkflowCall | Event::WorkflowDispatch);
    if !workflow.triggers.iter().all(asks) {
        return Vec::new();
    }
    declared().flat_map(|it| &it.inputs).filter(|it| everywhere(&it.name)).map(|it| format!("inputs.{}", it.name)).collect()
}

/// Whether a value is the same for every commit and run, so that it can name a scope; inputs that
/// are sure say which of several images it is.
fn is_stable(value: &Value, sure: &[String]) -> bool {
    value.parts.iter().all(|it| match it {
        Part::Text(_) | Part::Expression { known: Some(_), .. } => true,
        Part::Expression { source, .. } if sure.contains(source) => true,
        Part::Expression { source, variance, .. } => is_key(source) && variance.iter().all(|it| matches!(it, Axis::Matrix(_))),
    })
}

/// Whether an expression is a key of the matrix, and nothing is done with it.
fn is_key(source: &str) -> bool {
    source.strip_prefix("matrix.").is_some_and(|it| it.chars().all(is_name_char))
}

/// The image that the metadata step was given, where the tags come from one.
fn metadata_image(job: &Job, build: &Build, sure: &[String]) -> Option<String> {
    let step = build.tags.iter().flat_map(|it| &it.parts).find_map(|it| match it {
        Part::Expression { source, .. } => source.strip_prefix("steps.").and_then(|it| it.split('.').next()),
        Part::Text(_) => None,
    })?;
    let images = job.steps.iter().find(|it| it.id.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(step)))?.input("images")?;
    image_name(&images.list(true).first()?.value(), sure)
}

fn last_segment(value: &Value) -> Option<String> {
    let pattern = value.pattern();
    if !is_stable(value, &[]) {
        return None;
    }
    let last = match value.known() {
        Some(known) => known.trim_end_matches('/').rsplit('/').next()?.to_owned(),
        None => pattern.trim_start_matches("./").replace('/', "-"),
    };
    Some(plain(&last)).filter(|it| !it.is_empty())
}

/// `api` of `Dockerfile.api`, `docker/api/Dockerfile` and `api.Dockerfile`.
fn file_name(value: &Value) -> Option<String> {
    if !is_stable(value, &[]) {
        return None;
    }
    let pattern = value.pattern();
    let mut segments = pattern.rsplit('/');
    let file = segments.next()?;
    let rest = file.strip_prefix("Dockerfile.").or_else(|| file.strip_suffix(".Dockerfile")).or_else(|| file.strip_suffix(".dockerfile"));
    let name = rest.or_else(|| segments.next().filter(|it| !matches!(*it, "." | "..")))?;
    Some(plain(name)).filter(|it| !it.is_empty())
}

/// A text that can stand in a scope: no comma, no quote, no white space outside expressions.
fn plain(text: &str) -> String {
    let mut res = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        if rest.starts_with("${{") {
            let end = rest.find("}}").map_or(rest.len(), |it| it + 2);
            let (expression, behind) = rest.split_at(end);
            res.push_str(expression);
            rest = behind;
        } else {
            let end = rest.find("${{").unwrap_or(rest.len());
            let (literal, behind) = rest.split_at(end);
            res.extend(literal.chars().map(|it| if is_name_char(it) { it } else { '-' }));
            rest = behind;
        }
    }
    res.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use crate::workflow::{lowered, with_steps};

    fn names(text: &str) -> Vec<String> {
        let workflow = lowered(text);
        workflow.builds().map(|(job, it)| workflow.scope_name(&workflow.jobs[job], it)).collect()
    }

    fn of_step(with: &str) -> String {
        names(&with_steps(&format!("- uses: docker/build-push-action@v6\n  with: {{{with}}}"))).remove(0)
    }

    #[test]
    fn inputs_that_are_always_there_name_the_image_of_a_called_workflow() {
        let named = |on: &str, with: &str| {
            let text = with_steps(&format!("- uses: docker/build-push-action@v6\n  with: {{{with}}}"));
            names(&text.replacen("on: push", on, 1))[0].clone()
        };
        let call = |input: &str| format!("on: {{workflow_call: {{inputs: {{name: {{{input}}}}}}}}}");
        let image = "tags: 'org/${{ inputs.name }}:latest'";
        assert_eq!(named(&call("required: true, type: string"), image), "${{ inputs.name }}");
        assert_eq!(named(&call("default: app"), "target: '${{ inputs.name }}'"), "${{ inputs.name }}");
        for on in [&call("required: false"), &call("default: ''"), "on: {push: {}, workflow_call: {inputs: {name: {required: true}}}}"] {
            assert_eq!(named(on, image), "build", "{on}");
            assert_eq!(named(on, "target: '${{ inputs.name }}'"), "build", "{on}");
        }
    }

    #[test]
    fn an_input_that_is_all_of_the_tags_may_be_a_list_of_them() {
        let named = |tags: &str| {
            let text = with_steps(&format!("- uses: docker/build-push-action@v6\n  with: {{tags: '{tags}'}}"));
            names(&text.replacen("on: push", "on: {workflow_call: {inputs: {name: {required: true}}}}", 1))[0].clone()
        };
        for tags in ["${{ inputs.name }}", "org/${{ inputs.name }}", "org/app:1,${{ inputs.name }}"] {
            assert_eq!(named(tags), if tags.contains("app") { "app" } else { "build" }, "{tags}");
        }
        for tags in ["${{ inputs.name }}:1", "org/${{ inputs.name }}@sha256:0", "app-${{ inputs.name }}:${{ github.sha }}"] {
            assert!(named(tags).contains("inputs.name"), "{tags}");
        }
    }

    #[test]
    fn the_image_names_the_scope_before_the_folder() {
        let cases = [
            ("tags: 'ghcr.io/org/app:${{ github.sha }}'", "app"),
            ("tags: 'localhost:5000/app'", "app"),
            ("tags: 'app@sha256:0'", "app"),
            ("context: ./services/api", "api"),
            ("file: docker/api/Dockerfile", "api"),
            ("file: Dockerfile.web", "web"),
            ("target: prod", "prod"),
            ("tags: 'x/${{ github.repository }}:1', target: t", "t"),
            ("context: .", "build"),
        ];
        for (with, expected) in cases {
            assert_eq!(of_step(with), expected, "{with}");
        }
    }

    #[test]
    fn the_image_may_come_from_the_metadata_step() {
        let steps = "- uses: docker/metadata-action@v5\n  id: meta\n  with: {images: ghcr.io/org/app}\n- uses: docker/build-push-action@v6\n  with: {tags: '${{ steps.meta.outputs.tags }}'}";
        assert_eq!(names(&with_steps(steps)), ["app"]);
    }

    #[test]
    fn builds_of_one_image_are_told_apart() {
        let steps = "- uses: docker/build-push-action@v6\n  with: {tags: 'o/app:1', target: web}\n- uses: docker/build-push-action@v6\n  with: {tags: 'o/app:2', target: worker}";
        assert_eq!(names(&with_steps(steps)), ["app-web", "app-worker"]);
    }

    #[test]
    fn a_step_is_known_by_its_id_or_name_before_its_number() {
        let of = |first: &str, second: &str| {
            let step = |line: &str, target: &str| format!("- uses: docker/build-push-action@v6\n{line}  with: {{tags: o/app, build-args: V={target}}}\n");
            names(&with_steps(&format!("{}{}", step(first, "1"), step(second, "2"))))
        };
        assert_eq!(of("  id: web\n", "  name: Build the worker\n"), ["app-web", "app-build-the-worker"]);
        assert_eq!(of("  name: dev - build\n  id: dev\n", "  name: release - build\n"), ["app-dev", "app-release-build"]);
        assert_eq!(of("  name: Build\n", "  name: build\n"), ["app-1", "app-2"]);
        assert_eq!(of("  name: 构建\n", "  name: Builds the image that is for those who work on what comes next\n"), ["app-1", "app-2"]);
        assert_eq!(of("  name: Build ${{ github.sha }}\n", ""), ["app-1", "app-2"]);
    }

    #[test]
    fn names_differ_in_more_than_case() {
        let steps = "- uses: docker/build-push-action@v6\n  with: {context: ./App, target: web}\n- uses: docker/build-push-action@v6\n  with: {context: ./app, target: worker}";
        assert_eq!(names(&with_steps(steps)), ["App-web", "app-worker"]);
    }

    #[test]
    fn builds_of_the_same_share_a_scope() {
        let steps = "- uses: docker/build-push-action@v6\n  with: {tags: 'o/app:1', context: .}\n- uses: docker/build-push-action@v6\n  with: {tags: 'o/app:2', context: ., push: true}";
        assert_eq!(names(&with_steps(steps)), ["app", "app"]);
        let steps = "- uses: docker/build-push-action@v6\n  with: {context: ./api, file: ./api/Dockerfile}\n- uses: docker/build-push-action@v6\n  with: {context: api/, push: true}";
        assert_eq!(names(&with_steps(steps)), ["api", "api"]);
    }

    fn with_matrix(matrix: &str, with: &str) -> Vec<String> {
        let text = with_steps(&format!("- uses: docker/build-push-action@v6\n  with: {{{with}}}"));
        names(&text.replace("    steps:", &format!("    strategy: {{matrix: {{{matrix}}}}}\n    steps:")))
    }

    #[test]
    fn legs_are_told_apart_by_the_key_that_reads_best() {
        let cases = [
            ("arch: [amd64, arm64]", "tags: o/app, platforms: 'linux/${{ matrix.arch }}'", "app-${{ matrix.arch }}"),
            (
                "include: [{platform: linux/amd64, arch: amd64}, {platform: linux/arm64, arch: arm64}]",
                "tags: o/app, platforms: '${{ matrix.platform }}'",
                "app-${{ matrix.arch }}",
            ),
            ("platform: [linux/amd64, linux/arm64]", "tags: o/app, platforms: '${{ matrix.platform }}'", "app-${{ matrix.platform }}"),
            ("name: [a, b]", "tags: 'o/${{ matrix.name }}', context: '${{ matrix.name }}'", "${{ matrix.name }}"),
            ("v: [1, 2]", "tags: o/app", "app"),
            ("n: [a, b], p: [x, y]", "tags: 'o/${{ matrix.n }}', context: '${{ matrix.n }}', target: '${{ matrix.p }}'", "${{ matrix.n }}-${{ matrix.p }}"),
            ("include: [{n: a, id: 1}, {n: b, id: 2}]", "tags: 'o/${{ matrix.n }}', context: '${{ matrix.n }}'", "${{ matrix.n }}"),
            ("a: [x, y], b: [p, q]", "tags: o/app, target: '${{ matrix.a }}', build-args: 'B=${{ matrix.b }}'", "app-${{ matrix.a }}-${{ matrix.b }}"),
            (
                "v: [1, 2], p: [{arch: amd64, on: ubuntu-24.04}, {arch: arm64, on: ubuntu-24.04-arm}]",
                "tags: o/app, platforms: 'linux/${{ matrix.p.arch }}', build-args: 'V=${{ matrix.v }},ON=${{ matrix.p.on }}'",
                "app-${{ matrix.p.arch }}-${{ matrix.v }}",
            ),
            (
                "s: [{name: api, file: ./api/Dockerfile}, {name: web, file: ./web/Dockerfile}]",
                "tags: 'o/${{ matrix.s.name }}', file: '${{ matrix.s.file }}'",
                "${{ matrix.s.name }}",
            ),
            ("v: [a, b]", "tags: o/app, file: \"${{ matrix.v == 'a' && 'x/a.Dockerfile' || 'x/b.Dockerfile' }}\"", "app-${{ matrix.v }}"),
            (
                "s: [{name: api, folder: .}, {name: web, folder: ./web}]",
                "context: '${{ matrix.s.folder }}', target: '${{ matrix.s.name }}'",
                "${{ matrix.s.name }}",
            ),
            ("v: [a, b]", "file: \"${{ matrix.v == 'a' && 'x/a.Dockerfile' || 'x/b.Dockerfile' }}\"", "build-${{ matrix.v }}"),
            ("a: '${{ fromJSON(x) }}'", "tags: o/app, target: '${{ matrix.a }}'", "app-${{ matrix.a }}"),
        ];
        for (matrix, with, expected) in cases {
            assert_eq!(with_matrix(matrix, with), [expected], "{matrix}");
        }
    }

    #[test]
    fn a_scope_has_no_comma_and_no_quote() {
        assert_eq!(of_step("context: 'a, \"b'"), "a---b");
    }
}
