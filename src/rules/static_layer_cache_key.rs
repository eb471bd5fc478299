use super::layer_cache_without_restore_keys::falls_back;
use super::{Check, Findings, declare_rule};
use crate::diagnostic::{FileEdits, Fix, Level};
use crate::edit::{EditSet, Span};
use crate::value::Leg;
use crate::view::{Run, StepView, WorkflowView};
use crate::volatility::Axis;
use crate::workflow::{Input, Step, expression};

declare_rule! {
    /// Layers are saved once and never again.
    ///
    /// What `actions/cache` has saved under a key is never changed. With a key that is the same in
    /// every run the layers of the first one are restored for ever, and those of later runs are not
    /// saved. A key that is new in every run, and `restore-keys` that fit an earlier one, keep the
    /// layers current; `type=gha` needs neither.
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
    ///           key: ${{ runner.os }}-buildx
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
    /// A key with `hashFiles` in it is another one as soon as these files change, which is coarse
    /// but works; it is not reported, nor is a key that is not wholly known. A job that only
    /// restores saves nothing in any case.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: a step other than the build changes. Each run then saves layers of its own.
    pub(crate) static STATIC_LAYER_CACHE_KEY = {
        name: "static-layer-cache-key",
        level: Level::Error,
        fixes: true,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for build in view.judged().filter(|it| !it.build.exports.is_empty()) {
        for step in build.keepers().into_iter().filter(|it| !it.runs("actions/cache/restore")) {
            let Some(key) = step.input("key").filter(|it| is_static(view, build, it) && !seen.contains(&it.value.span)) else { continue };
            seen.push(key.value.span);
            let runs = if key.value.variance().has(&Axis::Ref) { "every run of a branch" } else { "every run" };
            let finding = findings.report(key.value.span, format!("what is saved under a key is never replaced, and this key is the same in {runs}"));
            finding.note(build.build.span, "the layers of this build are saved").maybe_fix(|| fix(view, step, key));
        }
    }
}

/// Whether a later run of the same branch has the same key.
fn is_static(view: &WorkflowView<'_>, build: &StepView<'_>, key: &Input) -> bool {
    let variance = key.value.variance();
    // What each call of an action or a workflow of the repository gives is the same in every run.
    let is_given = |leg: &Leg, name: &str| leg.keys().any(|it| expression::input_of_key(it) == Some(name));
    let calls = &build.job.calls;
    let stays = |it: &Axis| match it {
        Axis::Workflow | Axis::Matrix(_) | Axis::Ref => true,
        Axis::Input(name) => !calls.is_empty() && calls.iter().all(|leg| is_given(leg, name)),
        _ => false,
    };
    // A tag is built once.
    let once = variance.has(&Axis::Ref) && build.runs(view).iter().all(|it| *it == Run::Tag);
    !key.value.is_blank() && variance.iter().all(stays) && !once
}

fn fix(view: &WorkflowView<'_>, step: &Step, key: &Input) -> Option<Fix> {
    let written = view.written(&key.value);
    if !step.runs("actions/cache") || written.contains(['\n', '\'', '"']) {
        return None;
    }
    let stem = written.trim_end_matches('-');
    let mut edits = vec![view.set_input(step, "key", &format!("{stem}-${{{{ github.sha }}}}"))?];
    let new = format!("{}-${{{{ github.sha }}}}", key.value.pattern().trim_end_matches('-'));
    if !falls_back(view, step, &new) {
        edits.push(view.set_input(step, "restore-keys", &format!("{stem}-"))?);
    }
    let edits = EditSet::new(edits).ok()?;
    Some(Fix::unproven("Save the layers of every commit", vec![FileEdits { path: view.path.clone(), edits, create: false }]))
}

#[cfg(test)]
mod tests {
    use super::STATIC_LAYER_CACHE_KEY as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix, marked, steps};

    const MESSAGE: &str = "error: what is saved under a key is never replaced, and this key is the same in every run";

    fn job(action: &str, with: &str) -> String {
        let with: String = with.lines().map(|it| format!("    {it}\n")).collect();
        steps(&format!(
            "- uses: docker/setup-buildx-action@v4\n- uses: {action}\n  with:\n    path: /tmp/cache\n{with}- uses: docker/build-push-action@v7\n  with:\n    cache-from: type=local,src=/tmp/cache\n    cache-to: type=local,dest=/tmp/new\n- run: rm -rf /tmp/cache && mv /tmp/new /tmp/cache"
        ))
    }

    fn found(text: &str, key: &str) -> String {
        marked(&marked(text, key, MESSAGE), "docker/build-push-action@v7", "note: the layers of this build are saved")
    }

    #[test]
    fn what_all_calls_of_an_action_give_is_the_same_in_every_run() {
        let action = "#- .github/actions/build/action.yml\ninputs: {app: {required: true}}\nruns:\n  using: composite\n  steps:\n    - uses: actions/cache@v5\n      with:\n        path: /tmp/cache\n        key: layers-${{ inputs.app }}\n    - uses: docker/build-push-action@v7\n      with: {cache-from: 'type=local,src=/tmp/cache', cache-to: 'type=local,dest=/tmp/cache'}\n";
        let call = |app: &str| {
            format!(
                "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - {{uses: ./.github/actions/build, with: {{app: {app}}}}}\n"
            )
        };
        check(&RULE, action);
        check(&RULE, &format!("{action}{}", call("'${{ github.sha }}'")));
        check(&RULE, &format!("{}{}", found(action, "layers-${{ inputs.app }}"), call("api")));
    }

    #[test]
    fn the_key_gets_a_part_for_each_commit() {
        for (before, key, after) in [
            ("key: buildx", "buildx\n", "key: buildx-${{ github.sha }}\nrestore-keys: buildx-"),
            (
                "key: ${{ runner.os }}-layers-${{ matrix.app }} # why",
                "${{ runner.os }}-layers-${{ matrix.app }}",
                "key: ${{ runner.os }}-layers-${{ matrix.app }}-${{ github.sha }} # why\nrestore-keys: ${{ runner.os }}-layers-${{ matrix.app }}-",
            ),
            ("key: layers-\nrestore-keys: other-", "layers-", "key: layers-${{ github.sha }}\nrestore-keys: layers-"),
            ("key: layers-\nrestore-keys: lay", "layers-", "key: layers-${{ github.sha }}\nrestore-keys: lay"),
        ] {
            let text = job("actions/cache@v5", before);
            // The word stands in names of actions too.
            let text = text.replace("docker/setup-buildx-action@v4", "docker/setup-qemu-action@v4");
            let after = job("actions/cache@v5", after).replace("docker/setup-buildx-action@v4", "docker/setup-qemu-action@v4");
            check_unsafe_fix(&RULE, &found(&text, key.trim_end()), &after);
        }
    }

    #[test]
    fn a_key_of_a_branch_is_the_same_in_all_its_runs() {
        let text = found(&job("actions/cache@v5", "key: layers-${{ github.ref }}"), "layers-${{ github.ref }}");
        check(&RULE, &text.replace("in every run", "in every run of a branch"));
        check(&RULE, &job("actions/cache@v5", "key: layers-${{ github.ref }}").replace("on: push", "on: {push: {tags: ['v*']}}"));
    }

    #[test]
    fn a_step_that_only_saves_has_a_key_too() {
        check_without_fix(&RULE, &found(&job("actions/cache/save@v5", "key: layers"), "layers"));
        check(&RULE, &job("actions/cache/restore@v5", "key: layers"));
    }

    #[test]
    fn keys_that_change_are_silent() {
        for key in [
            "layers-${{ github.sha }}",
            "layers-${{ github.run_id }}",
            "layers-${{ hashFiles('Dockerfile') }}",
            "layers-${{ steps.date.outputs.week }}",
            "layers-${{ inputs.key }}",
            "${{ env.UNKNOWN }}",
            "''",
        ] {
            check(&RULE, &job("actions/cache@v5", &format!("key: {key}")));
        }
    }

    #[test]
    fn other_folders_and_builds_are_silent() {
        let text = job("actions/cache@v5", "key: layers");
        check(&RULE, &text.replace("path: /tmp/cache", "path: ~/.npm"));
        check(&RULE, &text.replace("path: /tmp/cache", "path: /tmp/cache-of-another"));
        check(&RULE, &text.replace("cache-to: type=local,dest=/tmp/new", "push: true"));
        check(&RULE, &text.replace("type=local,src=/tmp/cache", "type=gha").replace("type=local,dest=/tmp/new", "type=gha"));
    }
}
