use super::{Check, Findings, declare_rule};
use crate::cache::{Backend, CacheEntry};
use crate::diagnostic::{Fix, Level};
use crate::links::locations::Side;
use crate::value::{Part, Value};
use crate::view::{StepView, TargetsView, WorkflowView};
use std::collections::BTreeSet;

declare_rule! {
    /// A cache is exported to the name of the image.
    ///
    /// The image is pushed, and then the cache is pushed to the same reference: what the name leads
    /// to is no longer an image that can be run.
    ///
    /// ```yaml,bad
    /// #- .github/workflows/ci.yml
    /// on:
    ///   push:
    ///     branches: [main]
    /// jobs:
    ///   build:
    ///     runs-on: ubuntu-latest
    ///     steps:
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=registry,ref=org/app:latest
    ///           cache-to: type=registry,ref=org/app:latest,mode=max
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
    ///       - uses: docker/setup-buildx-action@v4
    ///       - uses: docker/build-push-action@v7
    ///         with:
    ///           push: true
    ///           tags: org/app:latest
    ///           cache-from: type=registry,ref=org/app:buildcache
    ///           cache-to: type=registry,ref=org/app:buildcache,mode=max
    /// ```
    ///
    /// An import from the name of the image is right for an inline cache, and not reported. Names
    /// that expressions make are compared as far as they are written alike.
    ///
    /// ## Fix safety
    ///
    /// Only cache options change, on both sides. There is no fix where another build uses one of
    /// the two references.
    pub(crate) static CACHE_REF_IS_IMAGE_TAG = {
        name: "cache-ref-is-image-tag",
        level: Level::Error,
        fixes: true,
        check: Check::Builds(check, check_targets),
    }
}

fn check(view: &WorkflowView<'_>, findings: &mut Findings<'_>) {
    for build in view.builds.iter().filter(|it| !it.build.dry && it.build.push != Some(false)) {
        for entry in build.build.exports.iter().filter(|it| it.backend == Backend::Registry && !it.opaque && !it.is_joined()) {
            let Some((reference, tag)) = entry.key().and_then(|key| Some((key, same_name(build, entry)?))) else { continue };
            let finding = findings.report(reference.span, format!("the cache takes the place of the image `{}`", reference.value.pattern()));
            finding.note(tag.span, "the image is pushed here").maybe_fix(|| fix(view, build, entry));
        }
    }
}

fn check_targets(view: &TargetsView<'_>, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for (_, build) in view.judged().filter(|(_, it)| it.push != Some(false)) {
        for entry in build.build.exports.iter().filter(|it| it.backend == Backend::Registry && !it.opaque && !it.is_joined() && view.has(it)) {
            let is_name = |it: &&Value| entry.location().is_some_and(|location| entry.with_key(it).location() == Some(location));
            let (Some(reference), Some(tag)) = (entry.key(), build.build.tags.iter().find(is_name)) else { continue };
            let message = format!("the cache takes the place of the image `{}`", reference.value.pattern());
            if view.stands_here(tag, |it| it.tags.iter().collect()) && seen.insert(reference.span) {
                drop(findings.report(reference.span, message).note(tag.span, "the image is pushed here"));
            }
        }
    }
}

/// The tag that the cache is exported to, in any leg.
fn same_name<'b>(build: &StepView<'b>, entry: &CacheEntry) -> Option<&'b Value> {
    build.build.tags.iter().find(|tag| {
        let image = entry.with_key(tag);
        build.described.legs().into_iter().any(|(_, leg)| {
            let at = |it: &CacheEntry| {
                let mut settled = it.clone();
                for attribute in &mut settled.attributes {
                    // What one leg does not know stays as it is written.
                    if let Some(text) = leg.and_then(|it| attribute.value.in_leg(it)) {
                        attribute.value = Value::literal(text, attribute.value.span);
                    }
                }
                settled.location()
            };
            at(entry).is_some() && at(entry) == at(&image)
        })
    })
}

/// Another tag in the same repository, where the present one is no expression.
fn fix(view: &WorkflowView<'_>, build: &StepView<'_>, entry: &CacheEntry) -> Option<Fix> {
    let value = &entry.key()?.value;
    let repository = match value.parts.last()? {
        Part::Text(text) if text.contains([':', '/']) || value.parts.len() == 1 => without_tag(view.written(value)),
        _ => return None,
    };
    let to = format!("{repository}:buildcache");
    let moved = entry.with_key(&Value::literal(to.clone(), value.span));
    let (old, new) = (build.locations(entry, &view.path), build.locations(&moved, &view.path));
    let in_use = |side: Side| new.iter().any(|it| view.is_used(side, it, &[])) || old.iter().any(|it| view.is_used(side, it, &[build]));
    // In a matrix each leg needs a name of its own.
    let shared = new.len() < build.uses(&view.path).len();
    if shared || in_use(Side::Export) || in_use(Side::Import) {
        return None;
    }
    let edit = view.move_cache(build, &entry.location()?, &to)?;
    Some(Fix::cache_options(format!("Export to `{to}`"), view.path.clone(), edit))
}

/// A reference without what is behind the colon of its last part.
fn without_tag(reference: &str) -> &str {
    let last = reference.rfind('/').map_or(0, |it| it + 1);
    match reference[last..].find(':') {
        Some(at) => &reference[..last + at],
        None => reference,
    }
}

#[cfg(test)]
mod tests {
    use super::CACHE_REF_IS_IMAGE_TAG as RULE;
    use crate::rules::testing::{build_step, check, check_fix, check_without_fix, marked, steps};

    fn found(text: &str, option: &str, tag: &str, name: &str) -> String {
        marked(&marked(text, option, &format!("error: the cache takes the place of the image `{name}`")), tag, "note: the image is pushed here")
    }

    #[test]
    fn the_cache_gets_a_tag_of_its_own() {
        let cases = [
            (
                "push: true\ntags: org/app:1\ncache-to: type=registry,ref=org/app:1,mode=max",
                "ref=org/app:1",
                "org/app:1",
                "org/app:1",
                "push: true\ntags: org/app:1\ncache-to: type=registry,ref=org/app:buildcache,mode=max",
            ),
            (
                "push: true\ntags: ghcr.io/${{ github.repository }}:main\ncache-to: 'type=registry,ref=ghcr.io/${{ github.repository }}:main'",
                "ref=ghcr.io/${{ github.repository }}:main",
                "ghcr.io/${{ github.repository }}:main",
                "ghcr.io/${{ github.repository }}:main",
                "push: true\ntags: ghcr.io/${{ github.repository }}:main\ncache-to: 'type=registry,ref=ghcr.io/${{ github.repository }}:buildcache'",
            ),
            (
                "push: true\ntags: localhost:5000/app\ncache-to: |\n  type=registry,ref=localhost:5000/app:latest",
                "ref=localhost:5000/app:latest",
                "localhost:5000/app",
                "localhost:5000/app:latest",
                "push: true\ntags: localhost:5000/app\ncache-to: |\n  type=registry,ref=localhost:5000/app:buildcache",
            ),
        ];
        for (before, option, tag, name, after) in cases {
            check_fix(&RULE, &found(&build_step(before), option, tag, name), &build_step(after));
        }
    }

    #[test]
    fn several_tags_may_be_meant() {
        let text = build_step("push: true\ntags: |\n  org/app:${{ github.sha }}\n  docker.io/org/app:latest\ncache-to: type=registry,ref=org/app");
        check(&RULE, &found(&text, "ref=org/app", "docker.io/org/app:latest", "org/app"));
    }

    #[test]
    fn expressions_that_are_written_alike_are_one_name() {
        let text = build_step("push: ${{ inputs.push }}\ntags: org/app:${{ inputs.tag }}\ncache-to: type=registry,ref=org/app:${{inputs.tag}}");
        check_without_fix(&RULE, &found(&text, "ref=org/app:${{inputs.tag}}", "org/app:${{ inputs.tag }}", "org/app:${{ inputs.tag }}"));
    }

    #[test]
    fn legs_of_a_matrix_have_names_each() {
        let text = |reference: &str| {
            build_step(&format!("push: true\ntags: org/app:${{{{ matrix.os }}}}\ncache-to: type=registry,ref={reference}"))
                .replace("    steps:", "    strategy: {matrix: {os: [alpine, debian]}}\n    steps:")
        };
        check_without_fix(&RULE, &found(&text("org/app:debian"), "ref=org/app:debian", "org/app:${{ matrix.os }}", "org/app:debian"));
        check(&RULE, &text("org/app:cache-${{ matrix.os }}"));
    }

    #[test]
    fn references_that_others_use_are_not_moved() {
        let text = build_step("push: true\ntags: org/app:1\ncache-to: type=registry,ref=org/app:1,mode=max");
        let other = build_step("cache-from: type=registry,ref=org/app:1").replace("ci.yml", "other.yml");
        check_without_fix(&RULE, &format!("{}{other}", found(&text, "ref=org/app:1", "org/app:1", "org/app:1")));
    }

    #[test]
    fn flags_of_a_command_are_options_too() {
        let text = steps("- run: docker buildx build --push -t org/app:1 --cache-to type=registry,ref=org/app:1 .");
        check_fix(
            &RULE,
            &found(&text, "ref=org/app:1", "org/app:1 ", "org/app:1").replace("^^^^^^^^^^ note", "^^^^^^^^^ note"),
            &text.replace("ref=org/app:1", "ref=org/app:buildcache"),
        );
    }

    #[test]
    fn other_names_and_backends_are_silent() {
        for with in [
            "push: true\ntags: org/app:1\ncache-to: type=registry,ref=org/app:cache",
            "push: true\ntags: org/app:1\ncache-to: type=registry,ref=ghcr.io/org/app:1",
            "push: true\ntags: org/app:1\ncache-from: type=registry,ref=org/app:1\ncache-to: type=inline",
            "push: true\ntags: ${{ steps.meta.outputs.tags }}\ncache-to: type=registry,ref=org/app:1",
            "push: false\ntags: org/app:1\ncache-to: type=registry,ref=org/app:1",
            "push: true\ntags: org/app:1\ncache-to: ${{ inputs.cache }}",
            "push: true\ntags: org/app:1\ncache-to: type=registry",
        ] {
            check(&RULE, &build_step(with));
        }
    }

    #[test]
    fn targets_of_bake_have_images_too() {
        let bake = "#- docker-bake.hcl\ntarget \"app\" {\n  tags = [\"org/app:1\"]\n  output = [\"type=registry\"]\n  cache-to = [\"type=registry,ref=org/app:1\"]\n}\n";
        let found =
            marked(&marked(bake, "org/app:1", "note: the image is pushed here"), "ref=org/app:1", "error: the cache takes the place of the image `org/app:1`");
        check(&RULE, &found);
        check(&RULE, &bake.replace("type=registry\"]\n  cache", "type=docker\"]\n  cache"));
        check(&RULE, &bake.replace("ref=org/app:1", "ref=org/app:cache"));
    }
}
