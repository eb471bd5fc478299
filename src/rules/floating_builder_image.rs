use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::edit::Span;
use crate::view::{StepView, WorkflowView};
use crate::workflow::{Builder, Step};

declare_rule! {
    /// Layers of a cache are built by whatever BuildKit is the newest.
    ///
    /// `moby/buildkit:master` and `latest` are another BuildKit after every change there. A new one
    /// may make other cache keys, after which the cache is of no use, or behave otherwise from one
    /// run to the next.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on: push
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///         with:
    ///           driver-opts: image=moby/buildkit:master
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
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
    ///         with:
    ///           driver-opts: image=moby/buildkit:v0.32.2
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           cache-from: type=gha
    ///           cache-to: type=gha,mode=max
    /// ```
    ///
    /// Without the option BuildKit's stable release is used, which is not reported. Nor is a builder
    /// whose builds have no cache or push nothing: those may test BuildKit itself.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: somebody chose this BuildKit.
    pub(crate) static FLOATING_BUILDER_IMAGE = {
        name: "floating-builder-image",
        level: Level::Hint,
        fixes: false,
        check: Check::Workflow(check),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for build in view.judged().filter(|it| has_cache(it) && it.build.push != Some(false)) {
        let Builder::Container(step) = build.builder else { continue };
        let Some((span, tag)) = build.job.steps.get(step).and_then(floating) else { continue };
        if !seen.contains(&span) {
            seen.push(span);
            findings.report(span, format!("`{tag}` is another BuildKit from one day to the next, which may not know the layers of the cache"));
        }
    }
}

fn has_cache(build: &StepView<'_>) -> bool {
    !build.build.imports.is_empty() || !build.build.exports.is_empty()
}

/// The option of a step that sets up Buildx with a BuildKit that changes, with its tag.
fn floating(step: &Step) -> Option<(Span, String)> {
    step.lines("driver-opts").into_iter().flat_map(|it| it.passage.split(',')).find_map(|it| {
        let option = it.trim();
        let image = option.known()?.strip_prefix("image=")?.trim().trim_matches('"');
        let name = image.strip_prefix("docker.io/").unwrap_or(image);
        let tag = name.strip_prefix("moby/buildkit").and_then(|it| if it.is_empty() { Some("latest") } else { it.strip_prefix(':') })?;
        matches!(tag, "master" | "nightly" | "latest" | "master-rootless" | "rootless").then(|| (option.span(), tag.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::FLOATING_BUILDER_IMAGE as RULE;
    use crate::rules::testing::{check, check_without_fix, marked, steps};

    fn setup(options: &str, with: &str) -> String {
        steps(&format!(
            "- uses: docker/setup-buildx-action@v4\n  with:\n    driver-opts: {options}\n- uses: docker/build-push-action@v7\n  with:\n    push: true\n    {with}"
        ))
    }

    fn found(options: &str, option: &str, tag: &str) {
        let message = format!("hint: `{tag}` is another BuildKit from one day to the next, which may not know the layers of the cache");
        check_without_fix(&RULE, &marked(&setup(options, "cache-from: type=gha"), option, &message));
    }

    #[test]
    fn tags_that_change_are_found() {
        found("image=moby/buildkit:master", "image=moby/buildkit:master", "master");
        found("|\n      network=host\n      image=docker.io/moby/buildkit", "image=docker.io/moby/buildkit", "latest");
        found("'network=host,image=moby/buildkit:latest'", "image=moby/buildkit:latest", "latest");
    }

    #[test]
    fn releases_and_images_of_ones_own_are_silent() {
        for options in [
            "image=moby/buildkit:v0.32.2",
            "image=moby/buildkit:buildx-stable-1",
            "image=org/buildkit:master",
            "network=host",
            "image=${{ inputs.image }}",
            "image=moby/buildkit@sha256:0123",
        ] {
            check(&RULE, &setup(options, "cache-from: type=gha"));
        }
    }

    #[test]
    fn builders_without_a_cache_or_a_release_are_silent() {
        check(&RULE, &setup("image=moby/buildkit:master", "pull: true"));
        check(&RULE, &setup("image=moby/buildkit:master", "cache-from: type=gha").replace("push: true", "push: false"));
        check(&RULE, &setup("image=moby/buildkit:master", "cache-from: type=gha").replace("docker/build-push-action", "depot/build-push-action"));
    }
}
