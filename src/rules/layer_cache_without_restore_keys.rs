use super::{Check, Findings, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{EditSet, Span};
use crate::file::Model;
use crate::value::{Part, Value};
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Input, Step};

declare_rule! {
    /// Layers are saved under a key that no later run asks for.
    ///
    /// A key with the commit or the number of the run in it is new in every run, so that nothing
    /// is ever found under it. `restore-keys` with the part in front of it finds what an earlier
    /// run has saved.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: actions/cache@v5
    ///         with:
    ///           path: /tmp/.buildx-cache
    ///           key: ${{ runner.os }}-buildx-${{ github.sha }}
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=local,src=/tmp/.buildx-cache
    ///           cache-to: type=local,dest=/tmp/.buildx-cache-new,mode=max
    ///       - run: rm -rf /tmp/.buildx-cache && mv /tmp/.buildx-cache-new /tmp/.buildx-cache
    /// ```
    ///
    /// ```yaml,good
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: actions/cache@v5
    ///         with:
    ///           path: /tmp/.buildx-cache
    ///           key: ${{ runner.os }}-buildx-${{ github.sha }}
    ///           restore-keys: ${{ runner.os }}-buildx-
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           cache-from: type=local,src=/tmp/.buildx-cache
    ///           cache-to: type=local,dest=/tmp/.buildx-cache-new,mode=max
    ///       - run: rm -rf /tmp/.buildx-cache && mv /tmp/.buildx-cache-new /tmp/.buildx-cache
    /// ```
    ///
    /// A key that hands layers on to another job of the same run is not reported, nor is a step
    /// that only saves. `restore-keys` that no key of the repository begins with find nothing either.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: a step other than the build changes.
    pub(crate) static LAYER_CACHE_WITHOUT_RESTORE_KEYS = {
        name: "layer-cache-without-restore-keys",
        level: Level::Warning,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for build in view.judged().filter(|it| !it.build.imports.is_empty()) {
        for step in build.keepers().into_iter().filter(|it| !it.runs("actions/cache/save")) {
            let Some(key) = cold_key(view, step).filter(|it| !seen.contains(&it.value.span) && !is_handed_on(view, build, it)) else { continue };
            seen.push(key.value.span);
            let finding = findings.report(key.value.span, "this key is new in every run, so that no layers are ever restored");
            let finding = finding.note(build.build.span, "this build starts empty");
            let finding = match step.input("restore-keys").filter(|it| !it.value.is_blank()) {
                Some(fallback) => finding.note(fallback.value.span, "no key begins so"),
                None => finding,
            };
            finding.maybe_fix(|| fix(view, step, key));
        }
    }
}

/// A key that is new in every run and all that is asked for, or all that can be found.
fn cold_key<'s>(view: &WorkflowView<'_>, step: &'s Step) -> Option<&'s Input> {
    let key = step.input("key").filter(|it| it.value.variance().is_per_commit())?;
    (!falls_back(view, step, &key.value.pattern())).then_some(key)
}

/// Whether the `restore-keys` of a step may find what was saved under its key, of this pattern, or under another key of
/// the repository.
pub(super) fn falls_back(view: &WorkflowView<'_>, step: &Step, key: &str) -> bool {
    let fallbacks: Vec<String> = step.lines("restore-keys").iter().map(|it| it.passage.value().pattern()).collect();
    let finds = |key: &str| fallbacks.iter().any(|it| may_begin(key, it));
    !fallbacks.is_empty() && (finds(key) || keys_elsewhere(view).any(|it| finds(&it.pattern())))
}

/// All keys that a step of the repository gives anything, under which it may save a folder.
fn keys_elsewhere<'v>(view: &'v WorkflowView<'_>) -> impl Iterator<Item = &'v Value> {
    let root = view.snapshot.root(&view.path);
    let files = view.snapshot.files().filter(move |(path, _)| view.snapshot.root(path) == root);
    let workflows = files.filter_map(|(_, file)| match &file.model {
        Model::Workflow(workflow) => Some(&workflow.model),
        _ => None,
    });
    workflows.flat_map(|it| &it.jobs).flat_map(|it| &it.steps).filter_map(|it| it.input("key")).map(|it| &it.value)
}

/// Whether a key may begin with a text, on some runner; expressions stand in both as they are written.
fn may_begin(key: &str, text: &str) -> bool {
    const SYSTEMS: &[&str] = &["Linux", "Windows", "macOS"];
    const SYSTEM: &str = "${{ runner.os }}";
    let on = |pattern: &str| SYSTEMS.iter().take(if pattern.contains(SYSTEM) { 3 } else { 1 }).map(|it| pattern.replace(SYSTEM, it)).collect::<Vec<_>>();
    let keys = on(key);
    on(text).iter().any(|text| keys.iter().any(|key| begins(key, text)))
}

/// Whether one pattern may begin with another: an expression may be anything, other than the same one at the same place.
fn begins(key: &str, text: &str) -> bool {
    let (mut key, mut text) = (key, text);
    loop {
        let literal = |it: &str| it.find("${{").unwrap_or(it.len());
        let length = literal(key).min(literal(text));
        if !key.as_bytes().iter().zip(text.as_bytes()).take(length).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
            return false;
        }
        // What was compared is equal but for the case of letters, so that it ends between letters in both.
        let (Some(key_rest), Some(text_rest)) = (key.get(length..), text.get(length..)) else { return true };
        if text_rest.is_empty() || (key_rest.is_empty() && !text_rest.starts_with("${{")) {
            return text_rest.is_empty();
        }
        let expression = |it: &str| it.find("}}").map_or(it.len(), |end| end + 2);
        match (key_rest.get(..expression(key_rest)), text_rest.get(..expression(text_rest))) {
            (Some(a), Some(b)) if a == b && a.starts_with("${{") => (key, text) = (&key_rest[a.len()..], &text_rest[b.len()..]),
            _ => return true,
        }
    }
}

/// Whether a step of another job uses the same key.
fn is_handed_on(view: &WorkflowView<'_>, build: &StepView<'_>, key: &Input) -> bool {
    let pattern = key.value.pattern();
    let others = view.workflow.jobs.iter().filter(|it| it.id != build.job.id).flat_map(|it| &it.steps).filter(|it| it.is_folder_cache());
    others.filter_map(|it| it.input("key")).any(|it| it.value.pattern() == pattern)
}

fn fix(view: &WorkflowView<'_>, step: &Step, key: &Input) -> Option<Fix> {
    let prefix = prefix(view, key).filter(|it| !it.contains(['\n', '\'', '"']))?;
    let edits = EditSet::new(vec![view.set_input(step, "restore-keys", &prefix)?]).ok()?;
    Some(Fix::unproven("Restore what an earlier run has saved", vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

/// The key up to what changes, as it is written.
fn prefix(view: &WorkflowView<'_>, key: &Input) -> Option<String> {
    let mut res = String::new();
    for part in &key.value.parts {
        match part {
            Part::Text(text) => res.push_str(text),
            Part::Expression { known: None, variance, .. } if variance.is_per_commit() => break,
            Part::Expression { span, .. } => res.push_str(span.of(&view.source)),
        }
    }
    (!res.trim_matches(['-', '_', ' ']).is_empty()).then_some(res)
}

#[cfg(test)]
mod tests {
    use super::LAYER_CACHE_WITHOUT_RESTORE_KEYS as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix, marked, steps};

    const MESSAGE: &str = "warning: this key is new in every run, so that no layers are ever restored";

    fn job(action: &str, with: &str) -> String {
        let with: String = with.lines().map(|it| format!("    {it}\n")).collect();
        steps(&format!(
            "- uses: docker/setup-buildx-action@v4\n- uses: {action}\n  with:\n    path: |\n      /tmp/cache\n{with}- uses: docker/build-push-action@v7\n  with:\n    cache-from: type=local,src=/tmp/cache\n    cache-to: type=local,dest=/tmp/new\n- run: rm -rf /tmp/cache && mv /tmp/new /tmp/cache"
        ))
    }

    fn found(text: &str, key: &str) -> String {
        marked(&marked(text, key, MESSAGE), "docker/build-push-action@v7", "note: this build starts empty")
    }

    #[test]
    fn the_part_in_front_of_the_commit_is_asked_for() {
        for (key, prefix) in [
            ("layers-${{ github.sha }}", "layers-"),
            ("${{ runner.os }}-layers-${{ github.ref_name }}-${{ github.sha }}", "${{ runner.os }}-layers-${{ github.ref_name }}-"),
            ("layers-${{ github.run_id }}-${{ github.run_attempt }}", "layers-"),
        ] {
            let text = job("actions/cache@v5", &format!("key: {key}"));
            check_unsafe_fix(&RULE, &found(&text, key), &job("actions/cache@v5", &format!("key: {key}\nrestore-keys: {prefix}")));
        }
    }

    #[test]
    fn a_key_that_is_only_the_commit_has_no_prefix() {
        check_without_fix(&RULE, &found(&job("actions/cache/restore@v5", "key: ${{ github.sha }}"), "${{ github.sha }}"));
    }

    #[test]
    fn keys_that_are_asked_for_again_are_silent() {
        for with in [
            "key: layers-${{ github.sha }}\nrestore-keys: layers-",
            "key: layers-${{ github.sha }}\nrestore-keys: |\n  layers-${{ github.ref }}\n  layers-",
            "key: layers",
            "key: layers-${{ hashFiles('Dockerfile') }}",
            "key: layers-${{ github.ref }}",
            "key: ${{ inputs.key }}",
        ] {
            check(&RULE, &job("actions/cache@v5", with));
        }
    }

    #[test]
    fn a_fallback_that_no_key_begins_with_finds_nothing() {
        let with = |key: &str, fallback: &str| job("actions/cache@v5", &format!("key: {key}\nrestore-keys: {fallback}"));
        for (key, fallback) in [
            ("${{ runner.os }}-layers-${{ github.sha }}", "${{ runner.os }}-layer-cache-"),
            ("${{ runner.os }}-layers-${{ github.sha }}", "layers-"),
            ("layers-${{ github.ref }}-${{ github.sha }}", "layers-${{ github.ref }}/"),
            ("layers-${{ github.sha }}", "Layers_"),
        ] {
            let text = found(&with(key, fallback), key);
            let (above, below) = text.split_at(text.find("          restore-keys").unwrap());
            check(&RULE, &format!("{above}{}", marked(below, fallback, "note: no key begins so")));
        }
        for (key, fallback) in [
            ("${{ runner.os }}-layers-${{ github.sha }}", "Linux-layers-"),
            ("${{ matrix.os }}-layers-${{ github.sha }}", "layers-"),
            ("layers-${{ github.sha }}", "${{ env.X }}-layers"),
            ("Layers-${{ github.sha }}", "layers-"),
            ("layers-${{ github.ref }}-${{ github.sha }}", "layers-${{ github.ref }}-"),
            ("é-${{ github.sha }}", "é"),
        ] {
            check(&RULE, &with(key, fallback));
        }
        let saved = "#- .github/workflows/main.yml\non: push\njobs:\n  a:\n    steps:\n      - uses: actions/cache/save@v5\n        with: {path: /tmp/cache, key: 'main-${{ github.sha }}'}\n";
        check(&RULE, &format!("{saved}{}", with("layers-${{ github.sha }}", "main-")));
    }

    #[test]
    fn a_key_that_leads_to_another_job_is_silent() {
        let text = job("actions/cache@v5", "key: layers-${{ github.sha }}");
        let later = "  test:\n    needs: build\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/cache/restore@v5\n        with: {path: /tmp/cache, key: 'layers-${{ github.sha }}'}\n";
        check(&RULE, &format!("{text}\n{later}"));
    }

    #[test]
    fn steps_that_save_and_other_folders_are_silent() {
        check(&RULE, &job("actions/cache/save@v5", "key: layers-${{ github.sha }}"));
        let text = job("actions/cache@v5", "key: layers-${{ github.sha }}");
        check(&RULE, &text.replace("      /tmp/cache\n", "      ~/.npm\n"));
        check(&RULE, &text.replace("cache-from: type=local,src=/tmp/cache", "push: true"));
    }
}
