use super::{Check, Finding, Findings, declare_rule};
use crate::build::Tool;
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::edit::Span;
use crate::links::locations::Location;
use crate::view::{LegCollision, StepView, Use, WorkflowView};
use crate::volatility::Axis;
use crate::workflow::Matrix;
use crate::workflow::matrix::Key;
use std::collections::BTreeMap;

declare_rule! {
    /// The legs of a matrix build different images and export to one cache.
    ///
    /// A location holds the cache of one build: what is exported replaces what was there. The legs
    /// finish in any order, the last one wins, and in the next run all the others start empty. Put
    /// what the legs differ in into the scope.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     strategy:
    ///       matrix:
    ///         arch: [amd64, arm64]
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           platforms: linux/${{ matrix.arch }}
    ///           cache-from: type=gha,scope=app
    ///           cache-to: type=gha,mode=max,scope=app
    /// ```
    ///
    /// ```yaml,fixed
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     strategy:
    ///       matrix:
    ///         arch: [amd64, arm64]
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           platforms: linux/${{ matrix.arch }}
    ///           cache-from: type=gha,scope=app-${{ matrix.arch }}
    ///           cache-to: type=gha,mode=max,scope=app-${{ matrix.arch }}
    /// ```
    ///
    /// Keys of the matrix that change nothing of the build, such as names and tags of the result,
    /// do not count. One build for several platforms needs one scope only. What runs on tags only is
    /// not reported, as no other run reads the cache that GitHub keeps for a tag. Of bake and compose the targets are
    /// compared as each leg builds them, also of files that differ by leg; where the files name the place it is the
    /// call that is reported, since each file by itself does well.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change. There is no fix where another build imports the cache, and none in bake and compose
    /// files.
    pub(crate) static MATRIX_BLIND_CACHE_SCOPE = {
        name: "matrix-blind-cache-scope",
        level: Level::Warning,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.judged().filter(|it| !it.build.opaque) {
        let Some(matrix) = build.job.matrix.as_ref().filter(|it| it.is_plural()) else { continue };
        // A condition on the matrix may leave one leg only.
        if build.conditions().iter().any(|it| it.contains("matrix.") || it.contains("strategy.")) {
            continue;
        }
        if matches!(build.build.tool, Tool::Bake | Tool::Compose) && matrix.legs.is_some() {
            check_call(view, build, matrix, findings);
            continue;
        }
        for entry in build.build.exports.iter().filter(|it| is_shared_place(view, it) && !depends_on_leg(view, build, it)) {
            let Some(key) = blind_to(view, build, matrix, entry) else { continue };
            report(findings, entry.key().map_or(entry.span, |it| it.span), entry, key).maybe_fix(|| fix(view, build, entry));
        }
    }
}

fn report<'f, 'a>(findings: &'f mut Findings<'a>, span: Span, entry: &CacheEntry, key: &Key) -> Finding<'f, 'a> {
    let message = format!("the legs of the matrix export to {}, where each replaces the cache of the others", entry.describe());
    findings.report(span, message).note(key.span, format!("`{}` makes them build different images", key.name))
}

/// Legs that have bake or compose build different things and export them to one place. Where the files say so, the
/// call is what brings them together: by itself each of them does well.
fn check_call(view: &WorkflowView<'_>, build: &StepView<'_>, matrix: &Matrix, findings: &mut Findings<'_>) {
    let affecting = build.job.affecting_keys(build.step);
    if affecting.is_empty() {
        return;
    }
    // In a file nobody can tell when a condition holds.
    let is_sure = |it: &&LegCollision| if it.in_files.is_empty() { !depends_on_leg(view, build, &it.entry) } else { !it.entry.conditional };
    for collision in view.collisions_of_legs(build).iter().filter(|it| is_shared_place(view, &it.entry)).filter(is_sure) {
        let entry = &collision.entry;
        let Some(key) = telling_key(matrix, &affecting, entry) else { continue };
        if collision.in_files.is_empty() {
            let span = entry.key().map_or(entry.span, |it| it.span);
            report(findings, span, entry, key).maybe_fix(|| fix(view, build, entry));
        } else {
            let finding = report(findings, build.build.span, entry, key);
            let places = collision.in_files.iter();
            drop(places.fold(finding, |finding, (path, span)| finding.note_in(path.as_str().into(), *span, "this export goes there")));
        }
    }
}

/// Whether all legs see one place, and later runs see it too: a folder is another one on each
/// runner, and a tag has a cache of its own at GitHub.
fn is_shared_place(view: &WorkflowView<'_>, entry: &CacheEntry) -> bool {
    let shared = match entry.backend {
        Backend::Gha => !view.runs_on_tags_only(),
        Backend::Registry | Backend::S3 | Backend::Azblob => true,
        Backend::Inline | Backend::Local | Backend::Unknown => false,
    };
    shared && !entry.is_joined()
}

/// Whether the expression around the entry asks for the leg, so that not every leg exports.
fn depends_on_leg(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> bool {
    let Some(step) = build.job.steps.get(build.step.step).filter(|_| entry.conditional) else { return false };
    let line = build.step.overrides.iter().map(|it| it.span).find(|it| it.contains(entry.span));
    let around = line.or_else(|| step.inputs.iter().map(|it| it.span).find(|it| it.contains(entry.span))).unwrap_or(step.span);
    around.of(&view.source).contains("matrix.")
}

/// A key of the matrix that the build depends on, and that the place does not.
fn blind_to<'a>(view: &WorkflowView<'_>, build: &StepView<'_>, matrix: &'a Matrix, entry: &CacheEntry) -> Option<&'a Key> {
    match &matrix.legs {
        Some(_) => blind_legs(view, build, matrix, entry),
        None => blind_expression(build, matrix, entry),
    }
}

/// Legs that build different things and have one place.
fn blind_legs<'a>(view: &WorkflowView<'_>, build: &StepView<'_>, matrix: &'a Matrix, entry: &CacheEntry) -> Option<&'a Key> {
    let legs = build.uses(&view.path);
    let mut built: BTreeMap<Location, Vec<&Use<'_>>> = BTreeMap::new();
    for leg in &legs {
        let location = build.described.location(entry, &view.path, leg.leg);
        // A place that cannot be told may be another one in each leg.
        if matches!(location, Location::Somewhere(_)) {
            return None;
        }
        built.entry(location).or_default().push(leg);
    }
    let differ = |legs: &Vec<&Use<'_>>| {
        let first = legs.split_first().filter(|(_, rest)| !rest.is_empty()).map(|(first, rest)| (view.product(first), rest));
        first.is_some_and(|(product, rest)| rest.iter().any(|it| view.product(it) != product))
    };
    if !built.values().any(differ) {
        return None;
    }
    telling_key(matrix, &build.job.affecting_keys(build.step), entry)
}

/// The key of the matrix that makes the legs differ: the first that is no part of the place, else the first at all.
fn telling_key<'a>(matrix: &'a Matrix, affecting: &[String], entry: &CacheEntry) -> Option<&'a Key> {
    let varies = |it: &&Key| matrix.values(&it.name).is_some_and(|it| it.len() > 1) || nested_varies(matrix, &it.name);
    let in_place = entry.key().map(|it| it.value.pattern()).unwrap_or_default();
    let keys = || matrix.keys.iter().filter(|it| affecting.iter().any(|key| first(key) == it.name)).filter(varies);
    keys().find(|it| !in_place.contains(&format!("matrix.{}", it.name))).or_else(|| keys().next())
}

fn nested_varies(matrix: &Matrix, name: &str) -> bool {
    let legs = matrix.legs.as_deref().unwrap_or_default();
    let below = format!("{name}.");
    let of = |it: &crate::value::Leg| it.iter().filter(|(key, _)| key.starts_with(&below)).map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>();
    legs.first().is_some_and(|first| legs.iter().any(|it| of(it) != of(first)))
}

fn first(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}

/// Legs that an expression makes: the place has nothing of the matrix in it, and nothing unknown.
fn blind_expression<'a>(build: &StepView<'_>, matrix: &'a Matrix, entry: &CacheEntry) -> Option<&'a Key> {
    let variance = entry.key().map(|it| it.value.variance()).unwrap_or_default();
    if variance.iter().any(|it| matches!(it, Axis::Matrix(_) | Axis::Unknown)) {
        return None;
    }
    // The runner alone says little: several images build the same.
    let affecting = build.job.affecting_keys(build.step);
    let of_runner: Vec<String> =
        build.job.runner.iter().flat_map(|it| &it.labels).flat_map(|it| it.variance().iter().filter_map(matrix_key).collect::<Vec<_>>()).collect();
    let key = affecting.iter().find(|it| !of_runner.contains(it))?;
    matrix.keys.iter().find(|it| it.name == first(key))
}

fn matrix_key(axis: &Axis) -> Option<String> {
    match axis {
        Axis::Matrix(key) => Some(key.clone()),
        _ => None,
    }
}

fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> Option<Fix> {
    let scope = entry.key().map(|it| it.value.pattern()).unwrap_or_default();
    let suffix = build.job.scope_suffix(build.step, &scope).filter(|it| !it.is_empty())?;
    if view.is_read_elsewhere(&build.locations(entry, &view.path), &[build]) {
        return None;
    }
    let to = match (entry.key(), entry.backend) {
        (Some(key), Backend::Gha) => format!("{}{suffix}", view.written(&key.value)),
        (None, Backend::Gha) => view.scope_name(build)?,
        // A tag takes no slash, and a name without a tag would be another image.
        (Some(key), Backend::Registry) if has_tag(&key.value.pattern()) && is_tag(build, &suffix) => format!("{}{suffix}", view.written(&key.value)),
        _ => return None,
    };
    let edit = view.move_cache(build, &entry.location()?, &to)?;
    Some(Fix::cache_options(format!("Tell the legs apart: `{}`", view.as_written(build.job, &to)), view.path.clone(), edit))
}

fn has_tag(reference: &str) -> bool {
    reference.rsplit('/').next().is_some_and(|it| it.contains(':'))
}

/// Whether the keys of a suffix have values that can stand in a tag.
fn is_tag(build: &StepView<'_>, suffix: &str) -> bool {
    let Some(legs) = build.job.matrix.as_ref().and_then(|it| it.legs.as_ref()) else { return false };
    let used = |key: &str| suffix.contains(&format!("matrix.{key} "));
    legs.iter().flatten().filter(|(key, _)| used(key)).all(|(_, value)| value.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)))
}

#[cfg(test)]
mod tests {
    use super::MATRIX_BLIND_CACHE_SCOPE as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked};

    fn workflow(matrix: &str, with: &str) -> String {
        build_step(with).replace("    steps:", &format!("    strategy: {{matrix: {matrix}}}\n    steps:"))
    }

    fn found(text: &str, place: &str, described: &str, key: &str) -> String {
        let text = marked(text, place, &format!("warning: the legs of the matrix export to {described}, where each replaces the cache of the others"));
        marked(&text, key, &format!("note: `{key}` makes them build different images"))
    }

    #[test]
    fn the_key_is_added_on_both_sides() {
        let cases = [
            ("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}", "arch", "app-${{ matrix.arch }}"),
            ("{service: [api, web]}", "context: ./${{ matrix.service }}", "service", "app-${{ matrix.service }}"),
            ("{v: [20, 22]}", "build-args: NODE=${{ matrix.v }}", "v", "app-${{ matrix.v }}"),
            ("{target: [a, b]}", "target: ${{ matrix.target }}", "target", "app-${{ matrix.target }}"),
            (
                "{include: [{platform: linux/amd64, arch: amd64}, {platform: linux/arm64, arch: arm64}]}",
                "platforms: ${{ matrix.platform }}",
                "platform",
                "app-${{ matrix.arch }}",
            ),
        ];
        for (matrix, with, key, scope) in cases {
            let text = |it: &str| workflow(matrix, &format!("{with}\ncache-from: type=gha,scope={it}\ncache-to: type=gha,mode=max,scope={it}"));
            let before = text("app").replace("mode=max,scope=app", "mode=max,SCOPE=app");
            check_fix(&RULE, &found(&before, "SCOPE=app", "the scope `app`", key), &text(scope).replace("mode=max,scope=", "mode=max,SCOPE="));
        }
    }

    #[test]
    fn the_default_scope_gets_a_name() {
        let text = workflow("{arch: [amd64, arm64]}", "tags: org/app:${{ matrix.arch }}\nplatforms: linux/${{ matrix.arch }}\ncache-to: type=gha");
        check_fix(&RULE, &found(&text, "type=gha", "the scope `buildkit`", "arch"), &text.replace("type=gha", "type=gha,scope=app-${{ matrix.arch }}"));
    }

    #[test]
    fn a_condition_on_the_leg_chooses_what_is_built() {
        let text = workflow("{os: [alpine, debian]}", "file: \"${{ matrix.os == 'alpine' && 'a' || 'b' }}.Dockerfile\"\ncache-to: type=gha,scope=app");
        check_fix(&RULE, &found(&text, "scope=app", "the scope `app`", "os"), &text.replace("scope=app", "scope=app-${{ matrix.os }}"));
        let same = workflow("{os: [ubuntu, debian]}", "file: \"${{ matrix.os == 'alpine' && 'a' || 'b' }}.Dockerfile\"\ncache-to: type=gha,scope=app");
        check(&RULE, &same);
        check(
            &RULE,
            &text.replace("scope=app", "\"scope=${{ matrix.os == 'alpine' && 'a' || 'b' }}\"").replace("cache-to: type=gha,\"", "cache-to: \"type=gha,"),
        );
    }

    #[test]
    fn keys_are_written_as_the_matrix_spells_them() {
        let matrix = "{os: [{osImage: a, isBig: x}, {osImage: b, isBig: x}], cpuArch: [amd64, arm64]}";
        let text = workflow(matrix, "file: ${{ matrix.os.osImage }}.Dockerfile\nplatforms: linux/${{ matrix.cpuArch }}\ncache-to: type=gha,scope=app");
        let after = "scope=app-${{ matrix.cpuArch }}-${{ matrix.os.osImage }}";
        check_fix(&RULE, &found(&text, "scope=app", "the scope `app`", "os"), &text.replace("scope=app", after));
    }

    #[test]
    fn a_key_that_is_there_is_not_enough_if_another_one_matters() {
        let text = workflow(
            "{os: [a, b], arch: [amd64, arm64]}",
            "file: ${{ matrix.os }}.Dockerfile\nplatforms: linux/${{ matrix.arch }}\ncache-to: type=gha,scope=${{ matrix.os }}",
        );
        check(&RULE, &found(&text, "scope=${{ matrix.os }}", "the scope `${{ matrix.os }}`", "arch"));
    }

    #[test]
    fn references_take_the_key_into_the_tag() {
        let text = workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=registry,ref=org/app:cache");
        check_fix(&RULE, &found(&text, "ref=org/app:cache", "the reference `org/app:cache`", "arch"), &text.replace(":cache", ":cache-${{ matrix.arch }}"));
        let slash = workflow("{platform: [linux/amd64, linux/arm64]}", "platforms: ${{ matrix.platform }}\ncache-to: type=registry,ref=org/app:cache");
        check_without_fix(&RULE, &found(&slash, "ref=org/app:cache", "the reference `org/app:cache`", "platform"));
    }

    #[test]
    fn a_matrix_from_an_expression_is_taken_for_several_legs() {
        let text = workflow("{image: '${{ fromJSON(needs.list.outputs.images) }}'}", "context: ${{ matrix.image }}\ncache-to: type=gha,scope=app");
        check(&RULE, &found(&text, "scope=app", "the scope `app`", "image"));
        check(
            &RULE,
            &workflow("{image: '${{ fromJSON(needs.list.outputs.images) }}'}", "context: ${{ matrix.image }}\ncache-to: type=gha,scope=${{ matrix.image }}"),
        );
    }

    #[test]
    fn runners_matter_by_their_architecture() {
        let on = |labels: &str| {
            workflow(&format!("{{machine: {labels}}}"), "cache-to: type=gha,scope=app")
                .replace("    runs-on: ubuntu-latest\n", "")
                .replace("    steps:", "    runs-on: ${{ matrix.machine }}\n    steps:")
        };
        check(&RULE, &found(&on("[ubuntu-24.04, ubuntu-24.04-arm]"), "scope=app", "the scope `app`", "machine"));
        check(&RULE, &on("[ubuntu-22.04, ubuntu-24.04]"));
    }

    #[test]
    fn what_runs_on_tags_only_is_silent() {
        let text = workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=gha,scope=app");
        check(&RULE, &text.replace("on: push", "on: {push: {tags: ['v*']}}"));
        check(&RULE, &text.replace("on: push", "on: {release: {types: [published]}}"));
        check(&RULE, &found(&text.replace("on: push", "on: {push: {tags: ['v*']}, workflow_dispatch: {}}"), "scope=app", "the scope `app`", "arch"));
    }

    #[test]
    fn legs_that_build_the_same_are_silent() {
        for (matrix, with) in [
            ("{tag: [a, b]}", "tags: 'org/app:${{ matrix.tag }}'\ncache-to: type=gha,scope=app"),
            ("{arch: [amd64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=gha,scope=app"),
            ("{v: [1, 2]}", "labels: v=${{ matrix.v }}\ncache-to: type=gha,scope=app"),
            ("{v: [1, 2]}", "platforms: linux/amd64,linux/arm64\ncache-to: type=gha,scope=app"),
        ] {
            check(&RULE, &workflow(matrix, with));
        }
        let undeclared = workflow("{v: [1, 2]}", "build-args: V=${{ matrix.v }}\ncache-to: type=gha,scope=app");
        check(&RULE, &format!("#- Dockerfile\nFROM a:1.0\nRUN x\n{undeclared}"));
    }

    #[test]
    fn scopes_that_vary_or_may_vary_are_silent() {
        for scope in ["app-${{ matrix.arch }}", "${{ env.PLATFORM_PAIR }}", "${{ steps.name.outputs.scope }}", "${{ inputs.scope }}-${{ strategy.job-index }}"]
        {
            check(&RULE, &workflow("{arch: [amd64, arm64]}", &format!("platforms: linux/${{{{ matrix.arch }}}}\ncache-to: type=gha,scope={scope}")));
        }
        check(&RULE, &workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=local,dest=/tmp/cache"));
        check(&RULE, &workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: ${{ matrix.cache }}"));
        check(&RULE, &workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=inline"));
    }

    #[test]
    fn a_step_for_one_leg_is_silent() {
        let text = workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=gha,scope=app");
        check(&RULE, &text.replace("- uses: docker/build", "- if: matrix.arch == 'amd64'\n        uses: docker/build"));
    }

    #[test]
    fn a_cache_that_others_import_is_not_moved() {
        let text = workflow("{arch: [amd64, arm64]}", "platforms: linux/${{ matrix.arch }}\ncache-to: type=gha,scope=app");
        let other = build_step("cache-from: type=gha,scope=app").replace("ci.yml", "other.yml");
        check_without_fix(&RULE, &format!("{}{other}", found(&text, "scope=app", "the scope `app`", "arch")));
    }

    const DOCKERFILE: &str = "#- Dockerfile\nFROM a:1.0\nARG V\nRUN x\n";

    /// A job with a matrix that runs bake, beside a bake file.
    fn bakes(matrix: &str, with: &str) -> String {
        workflow(matrix, with).replace("docker/build-push-action@v7", "docker/bake-action@v7")
    }

    fn target(name: &str, lines: &str) -> String {
        format!("target \"{name}\" {{\n  {lines}\n}}\n")
    }

    /// What is found where the options are those of files: at the call, with both places.
    fn found_at_call(text: &str, files: &[(&str, &str)], key: &str) -> String {
        let message = "warning: the legs of the matrix export to the scope `app`, where each replaces the cache of the others";
        let text = marked(&marked(text, "docker/bake-action@v7", message), key, &format!("note: `{key}` makes them build different images"));
        let file = |(name, text): &(&str, &str)| format!("#- {name}\n{}", marked(text, "type=gha,scope=app", "note: this export goes there"));
        format!("{DOCKERFILE}{}{text}", files.iter().map(file).collect::<String>())
    }

    #[test]
    fn lines_of_a_call_are_told_apart() {
        let file = format!("#- docker-bake.hcl\n{}", target("default", "args = { V = \"1\" }"));
        for (key, matrix, line, suffix) in [
            ("arch", "{arch: [amd64, arm64]}", "*.platform=linux/${{ matrix.arch }}", "-${{ matrix.arch }}"),
            ("v", "{v: [20, 22]}", "default.args.V=${{ matrix.v }}", "-${{ matrix.v }}"),
            ("v", "{v: [20, 22]}", "*.args.V=${{ matrix.v }}\n  default.tags=o/app:1", "-${{ matrix.v }}"),
        ] {
            let text =
                |scope: &str| bakes(matrix, &format!("set: |\n  {line}\n  *.cache-from=type=gha,scope={scope}\n  *.cache-to=type=gha,scope={scope},mode=max"));
            let before = text("app").replace("scope=app,mode", "SCOPE=app,mode");
            let message = "warning: the legs of the matrix export to the scope `app`, where each replaces the cache of the others";
            let before = marked(&marked(&before, "SCOPE=app", message), key, &format!("note: `{key}` makes them build different images"));
            check_fix(
                &RULE,
                &format!("{DOCKERFILE}{file}{before}"),
                &text(&format!("app{suffix}")).replace("cache-to=type=gha,scope", "cache-to=type=gha,SCOPE"),
            );
        }
    }

    #[test]
    fn a_line_that_is_not_for_pull_requests_is_told_apart_too() {
        let file = format!("#- docker-bake.hcl\n{}", target("default", "args = { V = \"1\" }"));
        let text = |scope: &str| {
            let line = format!("*.cache-to=${{{{ github.event_name != 'pull_request' && 'type=gha,scope={scope}' || '' }}}}");
            bakes("{arch: [amd64, arm64]}", &format!("set: |\n  *.platform=linux/${{{{ matrix.arch }}}}\n  {line}"))
        };
        let message = "warning: the legs of the matrix export to the scope `app`, where each replaces the cache of the others";
        let found = marked(&marked(&text("app"), "scope=app", message), "arch", "note: `arch` makes them build different images");
        check_without_fix(&RULE, &format!("{DOCKERFILE}{file}{found}"));
    }

    #[test]
    fn legs_that_use_one_bake_file_in_two_ways_collide() {
        let file = target("default", "cache-to = [\"type=gha,scope=app\"]");
        let text = bakes("{arch: [amd64, arm64]}", "set: '*.platform=linux/${{ matrix.arch }}'");
        check_without_fix(&RULE, &found_at_call(&text, &[("docker-bake.hcl", &file)], "arch"));
        let runners = bakes("{machine: [ubuntu-24.04, ubuntu-24.04-arm]}", "push: true").replace("    runs-on: ubuntu-latest\n", "");
        let runners = runners.replace("    steps:", "    runs-on: ${{ matrix.machine }}\n    steps:");
        check_without_fix(&RULE, &found_at_call(&runners, &[("docker-bake.hcl", &file)], "machine"));
    }

    #[test]
    fn files_of_different_legs_collide() {
        let text = bakes("{app: [a, b]}", "files: ${{ matrix.app }}.hcl");
        let file = |name: &str, value: &str| target(name, &format!("args = {{ V = \"{value}\" }}\n  cache-to = [\"type=gha,scope=app\"]"));
        let (a, b) = (file("default", "a"), file("default", "b"));
        check_without_fix(&RULE, &found_at_call(&text, &[("a.hcl", &a), ("b.hcl", &b)], "app"));
        let (a, b) = (
            format!("group \"default\" {{ targets = [\"x\"] }}\n{}", file("x", "a")),
            format!("group \"default\" {{ targets = [\"y\"] }}\n{}", file("y", "b")),
        );
        check_without_fix(&RULE, &found_at_call(&text, &[("a.hcl", &a), ("b.hcl", &b)], "app"));
        // What is built is the same.
        let quiet = |a: &str, b: &str, text: &str| check(&RULE, &format!("{DOCKERFILE}#- a.hcl\n{a}#- b.hcl\n{b}{text}"));
        quiet(&file("default", "a"), &file("default", "a"), &text);
        quiet(&file("default", "a"), &file("default", "b").replace("scope=app", "scope=b"), &text);
        quiet(&file("default", "a"), &target("default", "args = { V = \"b\" }"), &text);
        quiet(&file("default", "a"), &file("default", "b"), &text.replace("on: push", "on: {push: {tags: ['v*']}}"));
        quiet(&file("default", "a"), &file("default", "b"), &text.replace("- uses: docker/bake", "- if: matrix.app == 'a'\n        uses: docker/bake"));
        let unknown = file("default", "b").replace("scope=app", "scope=${S}");
        quiet(&file("default", "a"), &format!("variable \"S\" {{ default = null }}\n{unknown}"), &text);
        // One that another one uses leaves what it has in the cache of that one.
        let part =
            format!("{}{}", file("default", "b").replace("scope=app", "scope=b").replace("args", "contexts = { x = \"target:x\" }\n  args"), file("x", "b"));
        quiet(&file("default", "a"), &part, &text);
    }

    #[test]
    fn legs_of_bake_that_do_not_collide_are_silent() {
        let file = format!("{DOCKERFILE}#- docker-bake.hcl\n{}", target("default", "args = { V = \"1\" }\n  cache-to = [\"type=gha,scope=app\"]"));
        let quiet = |matrix: &str, with: &str| check(&RULE, &format!("{file}{}", bakes(matrix, with)));
        quiet("{arch: [amd64, arm64]}", "push: true");
        quiet("{arch: [amd64, arm64]}", "set: '*.tags=o/app:${{ matrix.arch }}'");
        quiet("{v: [1, 2]}", "set: '*.args.OTHER=${{ matrix.v }}'");
        quiet("{arch: [amd64, arm64]}", "set: |\n  *.platform=linux/${{ matrix.arch }}\n  *.cache-to=type=gha,scope=app-${{ matrix.arch }}");
        quiet("{arch: [amd64, arm64]}", "set: |\n  *.platform=linux/${{ matrix.arch }}\n  *.cache-to=type=local,dest=/tmp/x");
        let only = "${{ matrix.arch == 'amd64' && 'type=gha,scope=app' || '' }}";
        quiet("{arch: [amd64, arm64]}", &format!("set: |\n  *.platform=linux/${{{{ matrix.arch }}}}\n  *.cache-to={only}"));
        quiet("{arch: [amd64]}", "set: '*.platform=linux/${{ matrix.arch }}'");
        quiet("{arch: [amd64, arm64]}", "targets: ${{ inputs.target }}\nset: '*.platform=linux/${{ matrix.arch }}'");
        quiet("{v: [1, 2]}", "vars: V=${{ matrix.v }}");
        let runners = bakes("{machine: [ubuntu-24.04, ours]}", "push: true").replace("    runs-on: ubuntu-latest\n", "");
        check(&RULE, &format!("{file}{}", runners.replace("    steps:", "    runs-on: ${{ matrix.machine }}\n    steps:")));
        // Two targets of one file are another rule's matter.
        let two = format!("{}{}", target("x", "target = \"x\""), target("y", "target = \"y\""));
        check(
            &RULE,
            &format!("{DOCKERFILE}#- docker-bake.hcl\n{two}{}", bakes("{t: [x, y]}", "targets: ${{ matrix.t }}\nset: '*.cache-to=type=gha,scope=app'")),
        );
    }
}
