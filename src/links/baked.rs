//! What one call of bake builds: the targets of its files, with what the call itself says of them
//! (docs/facts.md F.3).

use super::base;
use crate::bake::{Bake, Target};
use crate::build::{Build, BuildArgument, Context, Tool};
use crate::cache::CacheEntry;
use crate::facts;
use crate::value::{Part, Value};
use crate::workflow::{BuildStep, Override};
use std::collections::BTreeSet;

/// The files that bake reads where none is named, in its order.
const DEFAULT_FILES: &[&str] = &["docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"];
/// Compose files that it reads before them.
const COMPOSE_FILES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// The bake files that a call in the workflow at `path` reads, in order; `has` says whether a file
/// is there. `None` where one of them cannot be told, or is of another kind.
pub fn files(step: &BuildStep, path: &str, has: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    if step.build.tool != Tool::Bake || matches!(step.build.context, Context::Foreign(_) | Context::Git(Some(_))) {
        return None;
    }
    let folder = facts::join(base(path), step.build.folder.as_deref()?);
    if step.files.is_empty() {
        let here = |names: &[&str]| names.iter().map(|it| facts::join(&folder, it)).filter(|it| has(it)).collect::<Vec<_>>();
        // Services are targets too.
        return Some(here(DEFAULT_FILES)).filter(|it| !it.is_empty() && here(COMPOSE_FILES).is_empty());
    }
    let named = step.files.iter().filter(|it| !is_of_metadata(it));
    named.map(|it| Some(facts::join(&folder, it.known()?.trim_start_matches("cwd://"))).filter(|it| is_bake(it))).collect()
}

/// Whether a file is one that the metadata action writes: names and labels of the image, which make
/// no layers.
fn is_of_metadata(file: &Value) -> bool {
    file.parts.iter().any(|it| matches!(it, Part::Expression { source, known: None, .. } if source.contains(".outputs.bake-file")))
}

/// Whether a file can be one of bake, whatever its name.
pub fn is_bake(path: &str) -> bool {
    path.ends_with(".hcl") || path.ends_with(".json")
}

/// A target as one call of bake builds it.
#[derive(Debug, Clone)]
pub struct Baked {
    /// Its name.
    pub name: String,
    /// What it builds. Its relative paths start where those of the workflow do.
    pub build: Build,
    /// Another target of the call uses it, whose cache holds what this one's does.
    pub is_part: bool,
}

/// The targets that a call builds of its files; `None` where an expression decides which.
pub fn targets(files: &[&Bake], step: &BuildStep) -> Option<Vec<Baked>> {
    let names: Vec<String> = step.targets.iter().map(Value::known).collect::<Option<_>>()?;
    let merged = Bake::merge(files.iter().copied());
    let is_pattern = |it: &String| it.contains(['*', '?', '[']);
    if merged.broken || names.iter().any(is_pattern) || merged.groups.iter().any(|it| it.opaque) {
        return None;
    }
    let mut res: Vec<Baked> = merged.select(&names).into_iter().map(|it| baked(it, step)).collect();
    let used: BTreeSet<String> =
        res.iter().flat_map(|it| &it.build.contexts).filter_map(|(_, it)| Some(it.known()?.strip_prefix("target:")?.to_owned())).collect();
    res.iter_mut().for_each(|it| it.is_part = used.contains(&it.name));
    Some(res)
}

fn baked(target: &Target, step: &BuildStep) -> Baked {
    let mut build = Build { folder: step.build.folder.clone(), ..target.build.clone() };
    let own: Vec<&Override> = step.overrides.iter().filter(|it| it.is_for(&target.name)).collect();
    build.imports = entries(&own, "cache-from", &build.imports, &step.build.imports);
    build.exports = entries(&own, "cache-to", &build.exports, &step.build.exports);
    build.platforms = values(&own, "platform", &build.platforms);
    build.tags = values(&own, "tags", &build.tags);
    for line in own {
        let value = line.value.clone();
        match line.key.split_once('.') {
            Some(("args", name)) => {
                build.arguments.retain(|it| it.name != name);
                build.arguments.push(BuildArgument { span: line.span, name: name.to_owned(), value: Some(value) });
            }
            Some(("contexts", name)) => {
                build.contexts.retain(|(it, _)| it != name);
                build.contexts.push((name.to_owned(), value));
            }
            Some(_) => {}
            None => match line.key.as_str() {
                "context" => build.context = line.context(),
                "dockerfile" => build.dockerfile = Some(value),
                "target" => build.target = Some(value),
                "no-cache" => build.no_cache = value.known().as_deref() == Some("true"),
                _ => {}
            },
        }
    }
    Baked { name: target.name.clone(), build, is_part: false }
}

/// The lines for an attribute that is a list, and what of the target's own is left: all lines are
/// taken together, and the last one says whether they are added to it.
fn lines<'o, 'a>(own: &'o [&'a Override], key: &'o str) -> (impl Iterator<Item = &'a Override> + 'o, bool) {
    let found = own.iter().copied().filter(move |it| it.key == key);
    let keeps = own.iter().rev().find(|it| it.key == key).is_none_or(|it| it.append);
    (found, keeps)
}

fn values(own: &[&Override], key: &str, target: &[Value]) -> Vec<Value> {
    let (lines, keeps) = lines(own, key);
    let kept = target.iter().filter(|_| keeps).cloned();
    kept.chain(lines.map(|it| it.value.clone())).collect()
}

/// The same for cache entries, of which the step has read those of all lines.
fn entries(own: &[&Override], key: &str, target: &[CacheEntry], read: &[CacheEntry]) -> Vec<CacheEntry> {
    let (lines, keeps) = lines(own, key);
    let kept = target.iter().filter(|_| keeps).cloned();
    kept.chain(lines.flat_map(|line| read.iter().filter(|it| line.span.contains(it.span)).cloned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake;
    use crate::file::{File, Kind, Model};

    const FILE: &str = r#"
group "default" { targets = ["api", "web"] }
target "api" {
  context = "api"
  args = { V = "1", W = "1" }
  platforms = ["linux/amd64"]
  cache-from = ["type=gha,scope=own"]
  cache-to = ["type=gha,scope=own"]
}
target "web" { context = "web" }
"#;

    const PATH: &str = "/r/.github/workflows/ci.yml";

    fn step(with: &str) -> BuildStep {
        let lines: String = with.lines().map(|it| format!("          {it}\n")).collect();
        let text = format!("on: push\njobs:\n  a:\n    steps:\n      - uses: docker/bake-action@v7\n        with:\n{lines}");
        let Model::Workflow(workflow) = File::new(Kind::Workflow, &text, None).model else { panic!() };
        workflow.model.jobs[0].builds[0].clone()
    }

    /// The target `api` of a call with these lines of `set`.
    fn api(set: &str) -> Build {
        let set: String = set.lines().map(|it| format!("\n  {it}")).collect();
        targets(&[&bake::lower(FILE)], &step(&format!("files: x.hcl\nset: |{set}"))).unwrap().remove(0).build
    }

    fn patterns(values: &[Value]) -> Vec<String> {
        values.iter().map(Value::pattern).collect()
    }

    #[test]
    fn lines_of_a_call_take_the_place_of_what_the_target_says() {
        let build = api(
            "*.args.V=2\n*.platform=linux/arm64\napi.dockerfile=x.Dockerfile\nweb.target=other\napi.context=app\napi.tags=o/api:1\napi.contexts.base=docker-image://a",
        );
        let arguments: Vec<_> = build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().unwrap().pattern())).collect();
        assert_eq!(arguments, [("W", "1".to_owned()), ("V", "2".to_owned())]);
        assert_eq!(patterns(&build.platforms), ["linux/arm64"]);
        assert_eq!(build.dockerfile.unwrap().pattern(), "x.Dockerfile");
        assert_eq!(build.target, None);
        assert_eq!(
            build.context,
            Context::Folder(Value::literal(
                "app",
                match &build.context {
                    Context::Folder(it) => it.span,
                    _ => panic!(),
                }
            ))
        );
        assert_eq!(patterns(&build.tags), ["o/api:1"]);
        assert_eq!(build.contexts[0].0, "base");
        assert!(matches!(api("api.context=https://github.com/o/r.git").context, Context::Foreign(_)));
    }

    #[test]
    fn lists_are_replaced_or_added_to() {
        assert_eq!(patterns(&api("*.platform=a\n*.platform=b").platforms), ["a", "b"]);
        assert_eq!(patterns(&api("*.platform+=a").platforms), ["linux/amd64", "a"]);
        let locations = |build: &Build| build.exports.iter().filter_map(CacheEntry::location).collect::<Vec<_>>();
        assert_eq!(locations(&api("*.cache-to=type=gha,scope=x")), ["gha:x"]);
        assert_eq!(locations(&api("*.cache-to=type=gha,scope=x\napi.cache-to=type=gha,scope=y")), ["gha:x", "gha:y"]);
        assert_eq!(locations(&api("*.cache-to+=type=gha,scope=x")), ["gha:own", "gha:x"]);
        assert_eq!(locations(&api("web.cache-to=type=gha,scope=x")), ["gha:own"]);
        assert_eq!(api("*.cache-from=type=gha,scope=x").imports.len(), 1);
        assert!(api("api.no-cache=true").no_cache);
    }

    #[test]
    fn targets_that_an_expression_chooses_are_not_known() {
        let file = bake::lower(FILE);
        assert!(targets(&[&file], &step("files: x.hcl\ntargets: ${{ matrix.target }}")).is_none());
        assert!(targets(&[&file], &step("files: x.hcl\ntargets: 'a*'")).is_none());
        assert_eq!(targets(&[&file], &step("files: x.hcl\ntargets: web")).unwrap().len(), 1);
        assert!(targets(&[&bake::lower("{")], &step("files: x.hcl")).is_none());
    }

    #[test]
    fn files_are_those_that_are_named_else_those_that_are_there() {
        let found = |with: &str, there: &[&str]| files(&step(with), PATH, &|it| there.contains(&it));
        assert_eq!(found("files: docker/rpi.hcl", &[]).unwrap(), ["/r/docker/rpi.hcl"]);
        assert_eq!(found("files: |\n  ./docker-bake.hcl\n  cwd://${{ steps.meta.outputs.bake-file }}", &[]).unwrap(), ["/r/docker-bake.hcl"]);
        assert_eq!(found("files: cwd://x.json", &[]).unwrap(), ["/r/x.json"]);
        assert_eq!(found("targets: a", &["/r/docker-bake.override.hcl", "/r/docker-bake.hcl"]).unwrap(), ["/r/docker-bake.hcl", "/r/docker-bake.override.hcl"]);
        for (with, there) in [
            ("files: ${{ inputs.file }}", ["/r/docker-bake.hcl"]),
            ("files: compose.yml", ["/r/compose.yml"]),
            ("targets: a", ["/r/compose.yml"]),
            ("source: https://github.com/o/r.git", ["/r/docker-bake.hcl"]),
        ] {
            assert_eq!(found(with, &there), None, "{with}");
        }
        assert_eq!(found("targets: a", &["/r/docker-bake.hcl", "/r/compose.yml"]), None);
    }
}
