//! Builds a case before and after its fix, compares, changes something and counts.

use crate::conditions::{Files, ROOT};
use crate::docker::{Build, Image};
use crate::image;
use crate::progress::Step;
use crate::workspace::{Case, Change, parse};
use layerwise::dockerfile::{Base, Dockerfile, Kind};
use layerwise::facts;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Folders that only keep what can be had again (E1 of the equivalence classes): where a fix mounts a cache over one, what
/// was left there is no longer in the image.
const CACHES: &[&str] = &[
    "root/.cache",
    "root/.npm",
    "root/.m2/repository",
    "root/.gradle/caches",
    "root/.nuget/packages",
    "root/.local/share/pnpm/store",
    "root/.bun/install/cache",
    "usr/local/share/.cache",
    "usr/local/cargo/registry",
    "go/pkg/mod",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
];

/// Variables that say where a manager keeps what can be had again, and where below that.
const CACHE_VARIABLES: &[(&str, &str)] = &[
    ("PIP_CACHE_DIR", ""),
    ("UV_CACHE_DIR", ""),
    ("POETRY_CACHE_DIR", ""),
    ("PIPENV_CACHE_DIR", ""),
    ("XDG_CACHE_HOME", ""),
    ("npm_config_cache", ""),
    ("YARN_CACHE_FOLDER", ""),
    ("PNPM_HOME", "store"),
    ("COMPOSER_CACHE_DIR", ""),
    ("GOMODCACHE", ""),
    ("GOCACHE", ""),
    ("NUGET_PACKAGES", ""),
];

/// What a case came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Steps that ran again after the change, before and after the fix; nothing where that is not what the fix is for.
    pub ran: Option<(usize, usize)>,
}

/// Why a case fails.
#[derive(Debug, Clone)]
pub enum Failure {
    /// What is to be fixed does not build: nothing can be said.
    Refused(String),
    /// The fix changes the image, breaks the build or is of no use.
    Wrong(String),
}

/// Judges a case in an empty folder. `replace` says which image stands in for another, if
/// one does. The word
/// keeps its cache apart from those of others.
///
/// # Errors
/// [`Failure`], with all that is needed to see why.
pub fn judge(case: &Case, folder: &Path, replace: Option<fn(&str) -> String>, word: &str) -> Result<Verdict, Failure> {
    let before = Side::new(case, &case.before, folder.join("before"), replace);
    let after = Side::new(case, &case.after, folder.join("after"), replace);
    for side in [&before, &after] {
        side.write(case, None).map_err(Failure::Refused)?;
    }
    let wrong = |what: String| Failure::Wrong(format!("{}: {}\n{what}\n{}", case.rule, case.title, shown(case)));
    for target in &before.targets {
        let name = |it: &str| format!("fixes-{word}:{it}");
        let old = before.build(target).export(&name("before")).map_err(Failure::Refused)?;
        let new = after.build(target).export(&name("after")).map_err(|it| wrong(format!("the fixed one does not build:\n{it}")))?;
        let mut differences = compare(case, &old, &new);
        // Real tools write down when they ran.
        if replace.is_none() && !differences.is_empty() {
            let again = Build { no_cache: true, ..before.build(target) }.export(&name("again")).map_err(Failure::Refused)?;
            let unstable: BTreeSet<String> = image::differences(&old.files, &again.files).into_iter().map(|it| it.0).collect();
            let is_stable = |path: &str| {
                let same_outside = old.files.get(path).zip(new.files.get(path)).is_some_and(|(old, new)| old.is_alike(new));
                !(unstable.contains(path) && same_outside || CACHES.iter().any(|it| below(path, it)))
            };
            differences.retain(|it| is_stable(&it.0));
        }
        if !differences.is_empty() {
            return Err(wrong(differences.into_iter().map(|(path, what)| format!("/{path} {what}\n")).collect()));
        }
    }
    count(case, &before, &after, word).map(|ran| Verdict { ran }).map_err(wrong)
}

/// Changes what the finding says changes, and builds both again. Each gets a value of its own, so that none finds the steps
/// of the other in the cache.
fn count(case: &Case, before: &Side<'_>, after: &Side<'_>, word: &str) -> Result<Option<(usize, usize)>, String> {
    for change in &case.changes {
        let mut ran = [0, 0];
        let mut texts = String::new();
        for (index, side) in [before, after].into_iter().enumerate() {
            let value = format!("{word}-{index}");
            side.write(case, Some((change, &value)))?;
            for target in &side.targets {
                let mut build = side.build(target);
                if let Change::Argument(name) = change {
                    build.arguments.push((name.clone(), value.clone()));
                }
                for step in build.run()?.into_values().filter(Step::ran) {
                    ran[index] += 1;
                    texts.push_str(&format!("{} ran {}\n", ["before", "after"][index], step.text));
                }
            }
            side.write(case, None)?;
        }
        // An ignored file, for instance.
        if ran[0] == 0 {
            continue;
        }
        if ran[1] >= ran[0] {
            return Err(format!("after {change:?}, the fixed one runs {} steps, the other {}:\n{texts}", ran[1], ran[0]));
        }
        return Ok(Some((ran[0], ran[1])));
    }
    if case.changes.is_empty() { Ok(None) } else { Err(format!("nothing ran again, whatever changed: {:?}", case.changes)) }
}

/// The workspace before or after the fix, on disk.
struct Side<'a> {
    files: &'a Files,
    folder: PathBuf,
    targets: Vec<Option<String>>,
    images: Vec<(String, String)>,
    text: String,
    name: &'a str,
}

impl<'a> Side<'a> {
    fn new(case: &'a Case, files: &'a Files, folder: PathBuf, replace: Option<fn(&str) -> String>) -> Side<'a> {
        let name = facts::name(&case.dockerfile);
        let text = without_frontend(&files[&case.dockerfile]);
        let dockerfile = parse(&text);
        let images = replace.map(|it| images(&dockerfile).into_iter().map(|name| (name.clone(), it(&name))).collect()).unwrap_or_default();
        Side { files, folder, targets: case.targets.clone(), images, text, name }
    }

    /// The folder of the context. Its name is that of no other: the builder keeps contexts of one name in one place (see
    /// `context` in tests/builder/case.rs).
    fn context(&self) -> PathBuf {
        let names = [self.folder.parent(), Some(&self.folder)].map(|it| it.and_then(Path::file_name).unwrap_or_default().to_string_lossy());
        self.folder.join(names.join("-"))
    }

    /// Writes all files. The Dockerfile that is built stands outside the context, whose own copy of it is that before the
    /// fix: that a fixed Dockerfile is another file is known.
    fn write(&self, case: &Case, change: Option<(&Change, &str)>) -> Result<(), String> {
        let mut text = self.text.clone();
        if let Some((Change::Text(old), word)) = change {
            let name = old.split_once('=').map_or(old.as_str(), |it| it.0);
            text = text.replace(old, &format!("{name}={word}"));
        }
        write(&self.folder.join(self.name), &text)?;
        let ignore = format!("{}.dockerignore", case.dockerfile);
        if let Some(text) = self.files.get(&ignore) {
            write(&self.folder.join(format!("{}.dockerignore", self.name)), text)?;
        }
        for (path, text) in self.files {
            let Some(relative) = facts::relative(path, &case.context) else { continue };
            let mut text = if *path == case.dockerfile { case.before[path].clone() } else { text.clone() };
            if let Some((Change::File(changed), word)) = change
                && changed == path
            {
                text.push_str(&format!("{word}\n"));
            }
            write(&self.context().join(relative), &text)?;
        }
        Ok(())
    }

    fn build(&self, target: &Option<String>) -> Build {
        Build { dockerfile: self.folder.join(self.name), context: self.context(), target: target.clone(), images: self.images.clone(), ..Build::default() }
    }
}

/// Writes a file, scripts so that they can be run. Modes of files and folders are of several kinds, as a proof has to hold
/// for any.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let script = text.starts_with("#!") || path.file_name().is_some_and(|it| it == "gradlew" || it == "mvnw");
    let is_odd = |path: &Path| path.file_name().is_some_and(|it| it.len() % 2 == 1);
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(if is_odd(path) { mode | 0o020 } else { mode }));
    let done = path.parent().map_or(Ok(()), |folder| fs::create_dir_all(folder).and_then(|()| set(folder, 0o755)));
    let done = done.and_then(|()| fs::write(path, text)).and_then(|()| set(path, if script { 0o755 } else { 0o644 }));
    done.map_err(|it| format!("{}: {it}", path.display()))
}

/// The text without a `# syntax=` line, for which the builder would fetch another front end.
fn without_frontend(text: &str) -> String {
    let is_syntax = |line: &str| line.trim_start_matches(['\u{feff}', '#', ' ', '\t']).to_ascii_lowercase().starts_with("syntax=") && line.contains('#');
    text.split_inclusive('\n').enumerate().filter(|(index, line)| *index > 2 || !is_syntax(line)).map(|it| it.1).collect()
}

/// Names of images that a Dockerfile takes from elsewhere.
fn images(dockerfile: &Dockerfile) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    for stage in &dockerfile.stages {
        if let Base::Image(image) = &stage.base {
            res.insert(image.expanded.clone().unwrap_or_else(|| image.text.clone()));
        }
    }
    for (_, instruction) in dockerfile.instructions() {
        let names: Vec<&str> = match &instruction.kind {
            Kind::Copy(copy) => copy.from.as_deref().into_iter().collect(),
            Kind::Run(run) => run.mounts.iter().filter_map(|it| it.get("from")).collect(),
            _ => continue,
        };
        res.extend(names.into_iter().filter(|it| dockerfile.stage(it).is_none()).map(str::to_owned));
    }
    res
}

/// How the images differ, but for what the fix says: paths, each with what is different. The configuration has the empty
/// path.
fn compare(case: &Case, old: &Image, new: &Image) -> Vec<(String, String)> {
    let mounts = new_mounts(case);
    let rewritten = case.rewritten();
    let allowed = |path: &str| {
        // A mount takes the place of what was written below it, and of the folders made for it.
        let mounted = mounts.iter().any(|it| below(path, it) || below(it, path));
        let is_rewritten = rewritten.iter().any(|it| path == it || path.strip_suffix(it.as_str()).is_some_and(|it| it.ends_with('/')));
        mounted || is_rewritten
    };
    let mut res: Vec<(String, String)> = image::differences(&old.files, &new.files).into_iter().filter(|it| !allowed(&it.0)).collect();
    if old.configuration != new.configuration {
        res.push((String::new(), format!("has another configuration: it was {}, is {}", old.configuration, new.configuration)));
    }
    res
}

/// Caches that only the fixed Dockerfile mounts, as far as they are on the list; without leading `/`.
fn new_mounts(case: &Case) -> Vec<String> {
    let targets = |files: &Files| -> BTreeSet<String> {
        let dockerfile = parse(&files[&case.dockerfile]);
        let runs = dockerfile.instructions().filter_map(|(_, it)| match &it.kind {
            Kind::Run(run) => {
                Some(run.mounts.iter().filter(|it| it.kind() == "cache").filter_map(|it| it.target()).map(|it| it.trim_matches('/').to_owned()).collect())
            }
            _ => None,
        });
        runs.flat_map(|it: Vec<String>| it).collect()
    };
    let before = targets(&case.before);
    let home = |it: &str| it.strip_prefix("home/").and_then(|it| it.split_once('/')).map(|it| format!("root/{}", it.1));
    let named = named_caches(&parse(&case.before[&case.dockerfile]));
    let is_named = |it: &str| named.iter().any(|cache| below(it, cache));
    let listed = |it: &String| is_named(it) || CACHES.iter().any(|cache| below(it, cache) || home(it).is_some_and(|it| below(&it, cache)));
    targets(&case.after).into_iter().filter(|it| !before.contains(it) && listed(it)).collect()
}

/// Folders that the Dockerfile itself names as caches; without leading `/`.
fn named_caches(dockerfile: &Dockerfile) -> Vec<String> {
    let mut res = Vec::new();
    for (_, instruction) in dockerfile.instructions() {
        let Kind::Env(variables) = &instruction.kind else { continue };
        for variable in variables {
            let Some((_, suffix)) = CACHE_VARIABLES.iter().find(|it| it.0 == variable.name) else { continue };
            let folder = facts::join(variable.value.as_deref().unwrap_or_default().trim_matches('"'), suffix);
            res.extend(folder.strip_prefix('/').filter(|it| !it.is_empty()).map(str::to_owned));
        }
    }
    res
}

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

/// The files of a case, in the form of the fixtures.
fn shown(case: &Case) -> String {
    let mut res = String::new();
    for (path, text) in &case.before {
        res.push_str(&format!("#- {}\n{text}", facts::relative(path, ROOT).unwrap_or(path)));
    }
    for (path, text) in case.after.iter().filter(|(path, text)| case.before.get(*path) != Some(text)) {
        res.push_str(&format!("#= fixed: {}\n{text}", facts::relative(path, ROOT).unwrap_or(path)));
    }
    res
}
