//! What one call of bake or compose builds: the targets of its files, with what the call itself says
//! of them (docs/facts.md F.3, F.4).

use super::base;
use crate::bake::{Bake, Target};
use crate::build::{Build, BuildArgument, Context, Tool};
use crate::cache::CacheEntry;
use crate::compose::{self, Compose};
use crate::facts;
use crate::file::{File, Model};
use crate::value::{Leg, Part, Value};
use crate::volatility::{Axis, Variance};
use crate::workflow::{BuildStep, Override};
use std::collections::{BTreeMap, BTreeSet};

/// The files that bake reads where none is named, in its order.
const BAKE_FILES: &[&str] = &["docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"];
/// Compose files that it reads before them; compose itself takes the first of them that is there.
const COMPOSE_FILES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The files of which compose reads the first behind that one (cli/options.go of compose-go).
const COMPOSE_OVERRIDES: &[&str] = &["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// A file of a call.
#[derive(Debug, Clone, Copy)]
pub enum Description<'a> {
    /// A bake file.
    Bake(&'a Bake),
    /// A compose file.
    Compose(&'a Compose),
}

impl<'a> Description<'a> {
    /// What a file describes; `None` where it is no bake and no compose file.
    pub fn of(file: &'a File) -> Option<Description<'a>> {
        match &file.model {
            Model::Bake(bake) => Some(Description::Bake(bake)),
            Model::Compose(compose) => Some(Description::Compose(&compose.model)),
            _ => None,
        }
    }
}

/// The folder that a call in the workflow at `path` is made in; `None` where that is not known, or
/// another repository's.
fn folder(step: &BuildStep, path: &str) -> Option<String> {
    let is_foreign = matches!(step.build.context, Context::Foreign(_) | Context::Git(Some(_)));
    let folder = step.build.folder.as_deref().filter(|_| !is_foreign && is_call(step))?;
    Some(facts::join(base(path), folder)).filter(|_| !folder.starts_with('/'))
}

fn is_call(step: &BuildStep) -> bool {
    matches!(step.build.tool, Tool::Bake | Tool::Compose)
}

/// The files that a call names, other than those of the metadata action: names and labels of the
/// image, which make no layers. Compose has them from its environment where no flag names one.
fn named(step: &BuildStep, leg: Option<&Leg>) -> Vec<Option<String>> {
    let of_environment = step.environment.get("COMPOSE_FILE").filter(|_| step.build.tool == Tool::Compose && step.files.is_empty());
    match of_environment {
        Some(Some(files)) => files.split(':').map(|it| Some(it.to_owned())).collect(),
        Some(None) => vec![None],
        None => step.files.iter().filter(|it| !is_of_metadata(it)).map(|it| leg.map_or_else(|| it.known(), |leg| it.in_leg(leg))).collect(),
    }
}

/// The legs in which a call names other files than in others, in groups that name the same; `None` where it does not
/// depend on the leg.
pub fn legs_by_files(step: &BuildStep, legs: &[Leg]) -> Option<Vec<Vec<Leg>>> {
    if legs.is_empty() || step.files.iter().all(|it| is_of_metadata(it) || it.known().is_some()) {
        return None;
    }
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<Leg>> = BTreeMap::new();
    for leg in legs {
        groups.entry(named(step, Some(leg))).or_default().push(leg.clone());
    }
    (groups.len() > 1).then(|| groups.into_values().collect())
}

/// All files that a call in the workflow at `path` may read in a leg of its job, whether they are there or not.
pub fn candidates(step: &BuildStep, path: &str, legs: &[Leg]) -> Vec<String> {
    let groups = legs_by_files(step, legs).unwrap_or_else(|| vec![legs.iter().take(1).cloned().collect()]);
    let mut res: Vec<String> = groups.iter().flat_map(|it| candidates_in_leg(step, path, it.first())).collect();
    res.dedup();
    res
}

fn candidates_in_leg(step: &BuildStep, path: &str, leg: Option<&Leg>) -> Vec<String> {
    let Some(folder) = folder(step, path) else { return Vec::new() };
    let here = |names: &[&str]| names.iter().map(|it| facts::join(&folder, it)).collect::<Vec<_>>();
    match (step.build.tool, named(step, leg).as_slice()) {
        (Tool::Compose, []) => [here(COMPOSE_FILES), here(COMPOSE_OVERRIDES)].concat(),
        (_, []) => [here(COMPOSE_FILES), here(BAKE_FILES)].concat(),
        (tool, named) => named.iter().flatten().filter_map(|it| read(tool, &folder, it)).collect(),
    }
}

/// The files that a call in the workflow at `path` reads, in order; `has` says whether a file is there. `None`
/// where one of them cannot be told, or is another one in some of the legs.
pub fn files(step: &BuildStep, path: &str, legs: &[Leg], has: &dyn Fn(&str) -> bool) -> Option<Vec<String>> {
    if legs_by_files(step, legs).is_some() {
        return None;
    }
    let folder = folder(step, path)?;
    let named = named(step, legs.first());
    let here = |names: &[&str]| names.iter().map(|it| facts::join(&folder, it)).filter(|it| has(it)).collect::<Vec<_>>();
    let res = match (step.build.tool, named.is_empty()) {
        // Of all that is there compose takes one, and looks for it in the folders above as well.
        (Tool::Compose, true) => here(COMPOSE_FILES).into_iter().take(1).chain(here(COMPOSE_OVERRIDES).into_iter().take(1)).collect(),
        (_, true) => [here(COMPOSE_FILES), here(BAKE_FILES)].concat(),
        (tool, false) => named.into_iter().map(|it| read(tool, &folder, &it?)).collect::<Option<Vec<_>>>()?,
    };
    // An override alone is none of compose's files.
    let is_complete =
        step.build.tool == Tool::Bake || !step.files.is_empty() || !here(COMPOSE_FILES).is_empty() || step.environment.contains_key("COMPOSE_FILE");
    Some(res).filter(|it| !it.is_empty() && is_complete)
}

/// The path of a file that a call names.
fn read(tool: Tool, folder: &str, name: &str) -> Option<String> {
    let name = if tool == Tool::Bake { name.trim_start_matches("cwd://") } else { name };
    // An absolute path of the runner is not one of this disk.
    if name.starts_with('/') || name.starts_with('~') || name == "-" || name.contains("://") {
        return None;
    }
    Some(facts::join(folder, name)).filter(|it| is_compose(it) || (tool == Tool::Bake && is_bake(it)))
}

/// Whether a file is one that the metadata action writes.
fn is_of_metadata(file: &Value) -> bool {
    file.parts.iter().any(|it| matches!(it, Part::Expression { source, known: None, .. } if source.contains(".outputs.bake-file")))
}

/// Whether a file can be one of bake, whatever its name.
pub fn is_bake(path: &str) -> bool {
    path.ends_with(".hcl") || path.ends_with(".json")
}

/// Whether a file can be one of compose, whatever its name.
pub fn is_compose(path: &str) -> bool {
    path.ends_with(".yml") || path.ends_with(".yaml")
}

/// A target or a service as one call builds it.
#[derive(Debug, Clone)]
pub struct Baked {
    /// Its name.
    pub name: String,
    /// What it builds. Its relative paths start where those of the workflow do.
    pub build: Build,
    /// Another target of the call uses it, whose cache holds what this one's does.
    pub is_part: bool,
}

impl Baked {
    /// Whether it is the target or the service of this name, or has a part in it.
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.name == compose::target_name(name)
    }
}

fn bakes<'a>(files: &[(String, Description<'a>)]) -> impl Iterator<Item = &'a Bake> {
    files.iter().filter_map(|(_, it)| if let Description::Bake(bake) = it { Some(*bake) } else { None })
}

fn composes<'a>(files: &[(String, Description<'a>)]) -> impl Iterator<Item = &'a Compose> {
    files.iter().filter_map(|(_, it)| if let Description::Compose(compose) = it { Some(*compose) } else { None })
}

/// The names of targets that a call asks for, in any leg of its job; `None` where an expression decides.
fn asked(step: &BuildStep, legs: &[Leg]) -> Option<Vec<String>> {
    let named = |it: &Value| match it.known() {
        Some(name) => Some(vec![name]),
        None if legs.is_empty() => None,
        None => legs.iter().map(|leg| it.in_leg(leg)).collect(),
    };
    let names = step.targets.iter().map(named).collect::<Option<Vec<_>>>()?.into_iter().flatten();
    let names: Vec<String> = names.filter(|it| !it.is_empty()).collect();
    (!names.iter().any(|it| it.contains(['*', '?', '[']))).then_some(names)
}

/// The targets that a call in the workflow at `path` builds of its files, in any leg of its job;
/// `None` where an expression decides which, or where there is no such service.
pub fn targets(files: &[(String, Description<'_>)], step: &BuildStep, path: &str, legs: &[Leg]) -> Option<Vec<Baked>> {
    made(files, step, path, Some(&asked(step, legs)?))
}

/// All targets that a call may build.
pub fn all_targets(files: &[(String, Description<'_>)], step: &BuildStep, path: &str) -> Option<Vec<Baked>> {
    made(files, step, path, None)
}

fn made(files: &[(String, Description<'_>)], step: &BuildStep, path: &str, names: Option<&[String]>) -> Option<Vec<Baked>> {
    let mut res = if step.build.tool == Tool::Compose { services(files, step, path, names)? } else { bake_targets(files, step, names)? };
    let used: BTreeSet<String> = res.iter().flat_map(|it| &it.build.contexts).filter_map(|(_, it)| needed(it)).collect();
    res.iter_mut().for_each(|it| it.is_part = used.contains(&it.name));
    Some(res)
}

/// The targets of bake and compose files; a service and a target of one name are one.
fn bake_targets(files: &[(String, Description<'_>)], step: &BuildStep, names: Option<&[String]>) -> Option<Vec<Baked>> {
    let merged = put_together(files)?;
    let names: Option<Vec<String>> = names.map(|it| it.iter().map(|it| compose::target_name(it)).collect());
    let is_there = |name: &String| merged.targets.iter().any(|it| it.name == *name) || merged.groups.iter().any(|it| it.name == *name);
    if merged.broken || (composes(files).next().is_some() && !names.iter().flatten().all(is_there)) {
        return None;
    }
    let selected = match names {
        Some(_) if merged.groups.iter().any(|it| it.opaque) => return None,
        Some(names) => merged.select(&names),
        None => merged.targets.iter().collect(),
    };
    Some(selected.into_iter().map(|it| baked(it, step)).collect())
}

/// What bake makes of the file at `path` where nobody names files: it reads those beside it as well. `None` where it
/// does not look for the file, where the file is all there is, or where something cannot be told. `file` gives what is there.
pub fn read_by_default<'a>(path: &str, file: &dyn Fn(&str) -> Option<Description<'a>>) -> Option<Bake> {
    if !BAKE_FILES.contains(&facts::name(path)) {
        return None;
    }
    let places = COMPOSE_FILES.iter().chain(BAKE_FILES).map(|it| facts::join(facts::parent(path), it));
    let files: Vec<(String, Description<'_>)> = places.filter_map(|it| Some((it.clone(), file(&it)?))).collect();
    put_together(&files).filter(|it| files.len() > 1 && !it.broken)
}

/// All bake and compose files of a call as one bake file. `None` where services may be described elsewhere.
fn put_together(files: &[(String, Description<'_>)]) -> Option<Bake> {
    let project = match composes(files).next() {
        Some(_) => Some(Bake::of_services(&Compose::merge(composes(files)).drafts()?)),
        None => None,
    };
    let mut res = Bake::merge(project.iter().chain(bakes(files)));
    let variables = replaced_variables(&res);
    res.targets.iter_mut().for_each(|it| settle(&mut it.build, &variables));
    Some(res)
}

/// The variables of which a later file has another default, which holds in all files, with that default.
fn replaced_variables(merged: &Bake) -> BTreeMap<String, Option<String>> {
    let mut all: BTreeMap<&str, &Option<String>> = BTreeMap::new();
    let mut res = BTreeMap::new();
    for variable in &merged.variables {
        if all.insert(&variable.name, &variable.default).is_some_and(|it| *it != variable.default) {
            res.insert(variable.name.clone(), None);
        }
    }
    res.iter_mut().for_each(|(name, it)| *it = all.get(name.as_str()).and_then(|it| (*it).clone()));
    res
}

/// The target or service that a named context is.
fn needed(context: &Value) -> Option<String> {
    let known = context.known()?;
    known.strip_prefix("target:").or_else(|| known.strip_prefix("service:")).map(str::to_owned)
}

/// The services of compose files as compose builds them.
fn services(files: &[(String, Description<'_>)], step: &BuildStep, path: &str, names: Option<&[String]>) -> Option<Vec<Baked>> {
    let merged = Compose::merge(composes(files)).without_bake();
    let with_needed = step.build.tool == Tool::Compose && !step.build.name.ends_with(" build");
    let selected = match names {
        Some(names) => merged.select(names, with_needed)?,
        None => merged.services.iter().collect(),
    };
    let folder = match &step.project {
        Some(project) => facts::join(&self::folder(step, path)?, &project.known().filter(|it| !it.starts_with('/'))?),
        None => facts::parent(&files.first()?.0).to_owned(),
    };
    let service = |it: &compose::Service| {
        let mut build = Build { folder: Some(folder.clone()), ..it.build.clone() };
        settle(&mut build, &step.environment);
        build.arguments.extend(step.build.arguments.iter().cloned());
        build.no_cache |= step.build.no_cache;
        overridden(&mut build, &it.name, step);
        Baked { name: it.name.clone(), build, is_part: false }
    };
    Some(selected.into_iter().map(service).collect())
}

fn baked(target: &Target, step: &BuildStep) -> Baked {
    let mut build = Build { folder: step.build.folder.clone(), ..target.build.clone() };
    settle(&mut build, &step.environment);
    // What a line of `set` says is for the targets that it fits; the option is for all.
    build.no_cache |= step.build.no_cache && !step.overrides.iter().any(|it| it.key == "no-cache");
    overridden(&mut build, &target.name, step);
    Baked { name: target.name.clone(), build, is_part: false }
}

/// Gives variables of a file the values that the environment of a call, or another file, sets.
fn settle(build: &mut Build, environment: &BTreeMap<String, Option<String>>) {
    if environment.is_empty() {
        return;
    }
    let entries = build.imports.iter_mut().chain(&mut build.exports).flat_map(|it| &mut it.attributes).map(|it| &mut it.value);
    let arguments = build.arguments.iter_mut().filter_map(|it| it.value.as_mut());
    let context = match &mut build.context {
        Context::Folder(value) | Context::Foreign(value) | Context::Git(Some(value)) => Some(value),
        Context::Git(None) => None,
    };
    let lists = build.platforms.iter_mut().chain(&mut build.tags).chain(build.contexts.iter_mut().map(|(_, it)| it));
    let all = entries.chain(arguments).chain(context).chain(lists).chain(&mut build.dockerfile).chain(&mut build.target);
    for part in all.flat_map(|it| &mut it.parts) {
        let Part::Expression { source, known, variance, .. } = part else { continue };
        let name = source.trim_start_matches("${").split([':', '-', '}', '?', '+']).next().unwrap_or_default();
        let is_variable = source == name || source.starts_with("${");
        let words = || source.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
        match environment.get(name).filter(|_| is_variable) {
            Some(value) => *known = value.clone(),
            // A function of it, or a default.
            None if words().any(|it| environment.contains_key(it)) => *known = None,
            None => continue,
        }
        if known.is_none() {
            variance.add(Axis::Unknown);
        } else {
            *variance = Variance::constant();
        }
    }
}

/// Takes in what the lines of a call say of a target.
fn overridden(build: &mut Build, name: &str, step: &BuildStep) {
    let own: Vec<&Override> = step.overrides.iter().filter(|it| it.is_for(name)).collect();
    build.imports = entries(&own, "cache-from", &build.imports, &step.build.imports);
    build.exports = entries(&own, "cache-to", &build.exports, &step.build.exports);
    build.platforms = values(&own, "platform", &build.platforms);
    build.tags = values(&own, "tags", &build.tags);
    if let Some(each) = &step.each {
        let entries = build.imports.iter_mut().chain(&mut build.exports).flat_map(|it| &mut it.attributes).map(|it| &mut it.value);
        for part in entries.chain(&mut build.platforms).chain(&mut build.tags).flat_map(|it| &mut it.parts) {
            if let Part::Expression { source, known, variance, .. } = part
                && source == each
            {
                (*known, *variance) = (Some(name.to_owned()), Variance::constant());
            }
        }
    }
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
    use crate::file::Kind;

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
        made_of(&bake::lower(FILE), &format!("files: x.hcl\nset: |{set}")).unwrap().remove(0).build
    }

    fn made_of(file: &Bake, with: &str) -> Option<Vec<Baked>> {
        targets(&[("/r/x.hcl".into(), Description::Bake(file))], &step(with), PATH, &[])
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
        assert!(api("api.no-cache=true").no_cache && !api("web.no-cache=true").no_cache);
        assert!(made_of(&bake::lower(FILE), "files: x.hcl\nno-cache: true").unwrap().iter().all(|it| it.build.no_cache));
    }

    #[test]
    fn targets_that_an_expression_chooses_are_not_known() {
        let file = bake::lower(FILE);
        assert!(made_of(&file, "files: x.hcl\ntargets: ${{ matrix.target }}").is_none());
        assert!(made_of(&file, "files: x.hcl\ntargets: 'a*'").is_none());
        assert_eq!(made_of(&file, "files: x.hcl\ntargets: web").unwrap().len(), 1);
        assert!(made_of(&bake::lower("{"), "files: x.hcl").is_none());
    }

    #[test]
    fn files_are_those_that_are_named_else_those_that_are_there() {
        let found = |with: &str, there: &[&str]| files(&step(with), PATH, &[], &|it| there.contains(&it));
        assert_eq!(found("files: docker/rpi.hcl", &[]).unwrap(), ["/r/docker/rpi.hcl"]);
        assert_eq!(found("files: |\n  ./docker-bake.hcl\n  cwd://${{ steps.meta.outputs.bake-file }}", &[]).unwrap(), ["/r/docker-bake.hcl"]);
        assert_eq!(found("files: cwd://x.json", &[]).unwrap(), ["/r/x.json"]);
        assert_eq!(found("targets: a", &["/r/docker-bake.override.hcl", "/r/docker-bake.hcl"]).unwrap(), ["/r/docker-bake.hcl", "/r/docker-bake.override.hcl"]);
        for (with, there) in [
            ("files: ${{ inputs.file }}", ["/r/docker-bake.hcl"]),
            ("files: x.toml", ["/r/x.toml"]),
            ("source: https://github.com/o/r.git", ["/r/docker-bake.hcl"]),
        ] {
            assert_eq!(found(with, &there), None, "{with}");
        }
        assert_eq!(found("targets: a", &["/r/docker-bake.hcl", "/r/compose.yml"]).unwrap(), ["/r/compose.yml", "/r/docker-bake.hcl"]);
        assert_eq!(found("files: |\n  compose.yml\n  x.hcl", &[]).unwrap(), ["/r/compose.yml", "/r/x.hcl"]);
        assert_eq!(found("targets: a", &["/r/compose.yml"]).unwrap(), ["/r/compose.yml"]);
    }

    /// What a call builds of files, which are compose files where they begin with `services`.
    fn together(with: &str, texts: &[&str]) -> Option<Vec<Baked>> {
        let is_compose = |it: &str| it.starts_with("services") || it.starts_with("include");
        let files: Vec<File> = texts.iter().map(|it| File::new(if is_compose(it) { Kind::Compose } else { Kind::Bake }, it, None)).collect();
        let files: Vec<_> = files.iter().enumerate().map(|(index, it)| (format!("/r/{index}"), Description::of(it).unwrap())).collect();
        targets(&files, &step(with), PATH, &[])
    }

    /// The same, by the names alone.
    fn names(with: &str, texts: &[&str]) -> Option<String> {
        Some(together(with, texts)?.iter().map(|it| it.name.clone()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_call_that_reads_bake_and_compose_files_builds_of_both() {
        let compose = "services:\n  db: {build: db, profiles: [x]}\n  proxy: {image: x}\n";
        let group = "group \"default\" { targets = [\"app\"] }\ntarget \"app\" {}\n";
        for (with, bake, expected) in [
            ("pull: true", group, Some("app")),
            ("targets: app", group, Some("app")),
            ("targets: db", group, Some("db")),
            ("targets: app,db", group, Some("db app")),
            ("targets: ${{ inputs.target }}", group, None),
            ("targets: proxy", group, None),
            // The group of all services, as compose has it.
            ("pull: true", "target \"default\" {}\n", Some("db")),
            ("pull: true", "target \"app\" {}\n", Some("db")),
            ("targets: db", "target \"db\" {}\n", Some("db")),
            ("targets: app", "target \"app\" { contexts = { a = \"target:db\" } }\n", Some("db app")),
            ("pull: true", "group \"default\" { targets = [\"db\"] }\n", Some("db")),
            ("pull: true", "target \"default\" {\n name = \"a-${v}\"\n matrix = { v = [1, 2] }\n}\n", Some("db")),
        ] {
            assert_eq!(names(with, &[compose, bake]).as_deref(), expected, "{with} {bake}");
        }
        assert_eq!(names("pull: true", &["include: [x.yml]\nservices: {a: {build: .}}\n", group]), None);
        assert_eq!(names("pull: true", &["services: {a: {image: x}}\n", "target \"a\" {}\n"]).as_deref(), Some(""));
    }

    #[test]
    fn a_service_and_a_target_of_one_name_are_one() {
        let compose =
            "services:\n  app:\n    image: o/app\n    build: {context: app, dockerfile: A, args: {A: 1, B: 1}, cache_from: [o/c], cache_to: [type=inline]}\n";
        let bake = "target \"base\" {\n  context = \"base\"\n  target = \"t\"\n  cache-to = [\"type=gha\"]\n  cache-from = [\"o/b\"]\n}\ntarget \"app\" {\n  inherits = [\"base\"]\n  dockerfile = \"B\"\n  args = { B = 2 }\n}\n";
        let second = "services:\n  app: {build: {target: s, cache_from: [o/d]}}\n";
        // Wherever the files stand: services come first.
        for texts in [[compose, second, bake], [bake, compose, second], [compose, bake, second]] {
            let build = together("targets: app", &texts).unwrap().remove(0).build;
            let Context::Folder(context) = &build.context else { panic!() };
            assert_eq!((context.pattern(), build.dockerfile.unwrap().pattern(), build.target.unwrap().pattern()), ("app".into(), "B".into(), "s".into()));
            let arguments: Vec<_> = build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().unwrap().pattern())).collect();
            assert_eq!(arguments, [("A", "1".to_owned()), ("B", "2".to_owned())]);
            let locations: Vec<_> = build.imports.iter().filter_map(CacheEntry::location).collect();
            assert_eq!(locations, ["registry:o/b", "registry:o/c", "registry:o/d"]);
            assert_eq!(build.exports.iter().map(|it| it.span.of(compose)).collect::<Vec<_>>(), ["type=inline"]);
            assert_eq!(patterns(&build.tags), ["o/app"]);
        }
        let inherits = "target \"x\" { inherits = [\"app\"] }";
        let heir = together("targets: x", &[compose, inherits]).unwrap().remove(0);
        assert_eq!((heir.build.dockerfile.unwrap().pattern(), patterns(&heir.build.tags)), ("A".into(), vec!["o/app".to_owned()]));
    }

    #[test]
    fn a_service_of_which_something_is_not_known_is_opaque_and_its_heirs_are() {
        let compose = "services:\n  a: {build: ., extends: {file: x.yml, service: a}}\n  b: {build: {args: [GITHUB_SHA, X]}}\n";
        let bake = "target \"c\" { inherits = [\"a\"] }\ntarget \"d\" { inherits = [\"b\"] }\n";
        let found: Vec<_> = ["a", "b", "c", "d"].iter().map(|it| together(&format!("targets: {it}"), &[compose, bake]).unwrap().remove(0).build).collect();
        assert_eq!(found.iter().map(|it| it.opaque).collect::<Vec<_>>(), [true, false, true, false]);
        let variances: Vec<_> = found[3].arguments.iter().map(|it| it.value.as_ref().unwrap().variance()).collect();
        assert!(variances[0].has(&Axis::Commit) && variances[1].is_unknown());
    }

    #[test]
    fn a_name_with_dots_has_none_in_bake() {
        let compose = "services:\n  my.app: {build: {context: app, additional_contexts: {a: 'service:my.base'}}}\n  my.base: {build: base}\n";
        let bake = "target \"my_app\" { target = \"t\" }";
        for with in ["targets: my.app", "targets: my_app"] {
            let found = together(with, &[compose, bake]).unwrap();
            assert_eq!(found.iter().map(|it| (it.name.as_str(), it.is_part)).collect::<Vec<_>>(), [("my_app", false), ("my_base", true)]);
            assert!(found[0].is("my.app") && found[0].is("my_app") && !found[0].is("my.base"));
        }
    }

    #[test]
    fn the_last_default_of_a_variable_holds_in_all_files() {
        let first = "variable \"V\" { default = \"1\" }\nvariable \"W\" { default = \"1\" }\ntarget \"a\" { tags = [V, \"${V}-${W}\", upper(V)] }";
        let second = "variable \"V\" { default = \"2\" }\nvariable \"W\" { default = \"1\" }\ntarget \"a\" { target = V }";
        let build = together("targets: a", &[first, second]).unwrap().remove(0).build;
        assert_eq!(build.tags.iter().map(Value::known).collect::<Vec<_>>(), [Some("2".into()), Some("2-1".into()), None]);
        assert_eq!(build.target.unwrap().known().as_deref(), Some("2"));
        let other = together("targets: a", &[second, first]).unwrap().remove(0).build;
        assert_eq!((other.tags[0].known().as_deref(), other.target.unwrap().known().as_deref()), (Some("1"), Some("1")));
    }

    #[test]
    fn files_may_be_others_in_each_leg() {
        let legs: Vec<Leg> = ["a", "b", "a"].iter().map(|it| Leg::from([("dir".to_owned(), (*it).to_owned())])).collect();
        let step = step("files: ${{ matrix.dir }}/docker-bake.hcl");
        assert_eq!(candidates(&step, PATH, &legs), ["/r/a/docker-bake.hcl", "/r/b/docker-bake.hcl"]);
        assert!(candidates(&step, PATH, &[]).is_empty());
        assert_eq!(files(&step, PATH, &legs, &|_| true), None);
        assert_eq!(files(&step, PATH, &legs[..1], &|_| true).unwrap(), ["/r/a/docker-bake.hcl"]);
        assert_eq!(legs_by_files(&step, &legs).unwrap(), [vec![legs[0].clone(), legs[2].clone()], vec![legs[1].clone()]]);
        assert_eq!(legs_by_files(&self::step("files: a.hcl"), &legs), None);
        assert_eq!(files(&self::step("files: a.hcl"), PATH, &legs, &|_| true).unwrap(), ["/r/a.hcl"]);
    }

    fn script(run: &str) -> BuildStep {
        let text = format!("on: push\njobs:\n  a:\n    env: {{TAG: job}}\n    steps:\n      - run: {run}\n");
        let Model::Workflow(workflow) = File::new(Kind::Workflow, &text, None).model else { panic!() };
        workflow.model.jobs[0].builds[0].clone()
    }

    #[test]
    fn compose_takes_the_first_of_its_files_and_an_override() {
        let found = |run: &str, there: &[&str]| files(&script(run), PATH, &[], &|it| there.contains(&it));
        let there = ["/r/compose.yml", "/r/docker-compose.yml", "/r/compose.override.yml", "/r/docker-bake.hcl", "/r/ci/compose.yaml"];
        assert_eq!(found("docker compose build", &there).unwrap(), ["/r/compose.yml", "/r/compose.override.yml"]);
        assert_eq!(found("cd ci && docker compose up --build -d", &there).unwrap(), ["/r/ci/compose.yaml"]);
        assert_eq!(found("docker-compose -f a.yml -f ci/b.yml build web", &there).unwrap(), ["/r/a.yml", "/r/ci/b.yml"]);
        assert_eq!(found("COMPOSE_FILE=a.yml:b.yml docker compose build", &there).unwrap(), ["/r/a.yml", "/r/b.yml"]);
        for run in ["COMPOSE_FILE=$X docker compose build", "docker compose -f - build", "docker compose -f $FILE build", "docker compose -f /tmp/a.yml build"]
        {
            assert_eq!(found(run, &there), None, "{run}");
        }
        assert_eq!(found("docker compose build", &["/r/compose.override.yml"]), None);
        assert_eq!(candidates(&script("docker compose build"), PATH, &[]).len(), 8);
    }

    fn composed(text: &str, run: &str) -> Option<Vec<Baked>> {
        let Model::Compose(file) = File::new(Kind::Compose, text, None).model else { panic!() };
        targets(&[("/r/ci/compose.yml".into(), Description::Compose(&file.model))], &script(run), PATH, &[])
    }

    #[test]
    fn services_start_from_the_folder_of_their_file_or_of_the_project() {
        let text = "services:\n  app: {build: {context: ../app, dockerfile: x.Dockerfile}}\n  web: {build: web}\n";
        let place = |run: &str| super::super::place(&composed(text, run).unwrap()[0].build, PATH, None).dockerfile.unwrap();
        assert_eq!(place("docker compose -f ci/compose.yml build app"), "/r/app/x.Dockerfile");
        assert_eq!(place("docker compose -f ci/compose.yml --project-directory deploy/x build app"), "/r/deploy/app/x.Dockerfile");
        assert_eq!(composed(text, "docker compose -f ci/compose.yml build").unwrap().len(), 2);
        assert!(composed(text, "docker compose -f ci/compose.yml build other").is_none());
        assert!(composed(text, "docker compose -f ci/compose.yml build $SERVICE").is_none());
    }

    #[test]
    fn the_environment_of_a_call_sets_variables() {
        let text = "services:\n  app: {build: {context: '${FOLDER:-app}', target: '${TAG-x}', args: {A: 1}}}\n";
        let build = |run: &str| composed(text, run).unwrap().remove(0).build;
        let folder = |build: &Build| match &build.context {
            Context::Folder(value) => value.known(),
            _ => panic!(),
        };
        let plain = build("docker compose build --build-arg B=2 --no-cache");
        assert_eq!((folder(&plain).as_deref(), plain.target.as_ref().unwrap().known().as_deref()), (Some("app"), Some("job")));
        assert_eq!((plain.arguments.len(), plain.no_cache), (2, true));
        assert_eq!(folder(&build("FOLDER=other docker compose build")).as_deref(), Some("other"));
        assert_eq!(folder(&build("FOLDER=$X docker compose build")), None);
    }
}
