//! What the outputs of `docker/metadata-action` vary with.

use super::Step;
use super::read::{Known, Names};
use crate::value::Passage;
use crate::volatility::{Axis, Variance};

/// A line of the action's `tags` input.
struct Tag {
    /// The action's own, or the one that is given; the highest makes the version.
    priority: u32,
    variance: Variance,
    /// It gives a tag on every push to a branch, so that those of lower priority never make the
    /// version there.
    on_branches: bool,
}

/// Takes in the outputs of a step that runs the action.
pub(super) fn learn(step: &Step, names: &mut Names<'_>) {
    if !step.runs("docker/metadata-action") {
        return;
    }
    let lines = step.input("tags").map(|it| it.list(false)).unwrap_or_default();
    let tags: Vec<Tag> = lines.iter().filter(|it| !it.text().starts_with('#')).filter_map(tag).collect();
    let tags = if tags.is_empty() { defaults() } else { tags };
    let all = tags.iter().fold(Variance::constant(), |res, it| res.join(&it.variance));
    let images = step.input("images").map(|it| it.value.variance()).unwrap_or_default();
    // `created` is the time, `revision` the commit.
    let labels = Variance::over(Axis::Commit).join(&Variance::over(Axis::Run));
    let version = version(tags);
    if let Some(id) = &step.id {
        let constant = ["title", "description", "url", "source", "licenses", "vendor", "documentation", "authors"];
        let labels = [("version", version.clone()), ("revision", Variance::over(Axis::Commit)), ("created", Variance::over(Axis::Run))];
        for (label, variance) in labels.into_iter().chain(constant.map(|it| (it, Variance::constant()))) {
            names.set_step_output(id, &format!("label.{label}"), Known::varying(variance));
        }
    }
    let outputs = [
        ("version", version),
        ("tags", all.clone().join(&images)),
        ("tag-names", all.clone()),
        ("labels", labels.clone()),
        ("annotations", labels.clone()),
        ("json", labels.join(&all)),
    ];
    for (name, variance) in outputs {
        names.set_variable(&format!("DOCKER_METADATA_OUTPUT_{}", name.to_uppercase().replace('-', "_")), Known::varying(variance.clone()));
        if let Some(id) = &step.id {
            names.set_step_output(id, name, Known::varying(variance));
        }
    }
}

/// What the action does without a `tags` input.
fn defaults() -> Vec<Tag> {
    vec![
        Tag { priority: 1000, variance: Variance::over(Axis::Event), on_branches: false },
        Tag { priority: 600, variance: Variance::over(Axis::Ref), on_branches: true },
    ]
}

fn version(mut tags: Vec<Tag>) -> Variance {
    tags.sort_by_key(|it| std::cmp::Reverse(it.priority));
    let shadowing = tags.iter().position(|it| it.on_branches).unwrap_or(tags.len());
    tags.iter().take(shadowing + 1).fold(Variance::constant(), |res, it| res.join(&it.variance))
}

/// Reads `type=ref,event=branch,priority=…`. Priorities are those of the action's documentation.
fn tag(line: &Passage) -> Option<Tag> {
    let fields = line.fields()?;
    let attribute = |name: &str| {
        let pairs = fields.iter().filter_map(|(_, it)| it.split_once('='));
        pairs.filter(|(key, _)| key.trim().text() == name).map(|(_, value)| value.trim()).next_back()
    };
    let kind = attribute("type").map_or_else(|| Some("raw".to_owned()), |it| it.known().map(str::to_owned))?;
    let text = attribute("value").or_else(|| attribute("pattern"));
    let templated = text.as_ref().map(template_variance).unwrap_or_default();
    let always = attribute("enable").is_none();
    let event = attribute("event").and_then(|it| it.known().map(str::to_owned));
    let (priority, variance, on_branches) = match kind.as_str() {
        "schedule" => (1000, Variance::over(Axis::Event).join(&templated), false),
        "semver" | "pep440" => (900, Variance::over(Axis::Ref), false),
        "match" => (800, Variance::over(Axis::Ref), false),
        "edge" => (700, Variance::constant(), false),
        "ref" => (600, Variance::over(Axis::Ref), event.as_deref() == Some("branch")),
        "raw" => (200, templated, true),
        "sha" => (100, Variance::over(Axis::Commit), true),
        _ => return None,
    };
    let priority = attribute("priority").and_then(|it| it.known()?.parse().ok()).unwrap_or(priority);
    Some(Tag { priority, variance, on_branches: on_branches && always })
}

/// What a value with the action's own `{{…}}` templates varies with.
fn template_variance(value: &Passage) -> Variance {
    let mut res = value.value().variance();
    let text = value.text();
    let axes: &[(&str, Axis)] = &[
        ("{{sha", Axis::Commit),
        ("{{commit_date", Axis::Commit),
        ("{{branch", Axis::Ref),
        ("{{tag", Axis::Ref),
        ("{{base_ref", Axis::Ref),
        ("{{version", Axis::Ref),
    ];
    let squeezed: String = text.chars().filter(|it| !it.is_whitespace()).collect();
    axes.iter().filter(|(name, _)| squeezed.contains(name)).for_each(|(_, axis)| res.add(axis.clone()));
    squeezed.split("{{date").skip(1).for_each(|it| res.add(date_axis(it)));
    res
}

/// What a date varies with, by what follows its name in the template: `'YYYYMMDD'}}`. The letters
/// are those of Moment.js.
fn date_axis(template: &str) -> Axis {
    const DAYS: &str = "YyMQDdWwGgEo";
    let format = template.split("}}").next().unwrap_or_default();
    let is_day = |it: char| !it.is_alphabetic() || DAYS.contains(it);
    if format.chars().any(char::is_alphabetic) && format.chars().all(is_day) { Axis::Day } else { Axis::Run }
}

#[cfg(test)]
mod tests {
    use crate::volatility::{Axis, Variance};
    use crate::workflow::{lowered, with_steps};

    fn output(tags: &str, name: &str) -> Variance {
        let tags: String = tags.lines().map(|it| format!("\n      {it}")).collect();
        let text = with_steps(&format!(
            "- id: meta\n  uses: docker/metadata-action@v5\n  with:\n    images: o/app\n    tags: |{tags}\n- uses: x/y@v1\n  with: {{v: '${{{{ steps.meta.outputs.{name} }}}}'}}"
        ));
        lowered(&text).jobs[0].steps[1].inputs[0].value.variance()
    }

    #[test]
    fn the_version_is_made_by_the_tag_of_highest_priority() {
        assert!(!output("type=ref,event=branch\ntype=sha", "version").is_per_commit());
        assert!(output("type=ref,event=branch\ntype=sha,priority=1000", "version").is_per_commit());
        assert!(output("type=semver,pattern={{version}}\ntype=sha", "version").is_per_commit());
        assert!(output("# none\ntype=raw,value={{date 'YYYYMMDD'}}", "version").has(&Axis::Day));
        assert!(output("type=raw,value={{date 'YYYYMMDD-HHmmss'}}", "version").has(&Axis::Run));
        assert!(output("type=raw,value={{date}}", "version").has(&Axis::Run));
        assert!(output("type=raw,value=latest", "version").is_constant());
        assert!(!output("", "version").is_per_commit());
        assert!(output("latest", "version").is_constant());
    }

    #[test]
    fn labels_change_with_every_commit_and_tags_with_what_is_asked_for() {
        assert!(output("type=raw,value=latest", "labels").is_per_commit());
        assert!(output("type=raw,value=latest", "json").is_per_commit());
        assert!(output("type=raw,value=latest", "tags").is_constant());
        assert!(output("type=ref,event=pr\ntype=sha", "tags").is_per_commit());
        assert!(output("type=sha", "no-such").is_unknown());
    }
}
