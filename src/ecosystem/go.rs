//! Go modules.
//!
//! Facts: docs/facts.md B.8; <https://go.dev/ref/mod>.

use super::arguments::{Flags, Means, Tool, frozen, switch, valued, verb};
use super::manifest::Collector;
use super::{Action, Manager, Obstacle, Role, application_root, up_to_root};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts::{is_below, join};

const NONE: &[Flags] = &[];

/// Commands of Go.
pub(super) const TOOLS: &[Tool] = &[Tool {
    manager: Manager::Go,
    programs: "go",
    verbs: &[
        frozen("mod download", Action::InstallDependencies, NONE),
        frozen("mod verify", Action::InstallDependencies, NONE),
        verb("mod tidy|mod vendor|mod edit|mod init|get|work sync|work init|work use", Action::Build, NONE),
        frozen("install", Action::InstallNamed, &[valued("-ldflags -tags -p -gcflags -asmflags", Means::Nothing)]),
        frozen("clean", Action::Clean, &[switch("-cache -modcache -testcache -fuzzcache -i -r", Means::Nothing)]),
        frozen("version", Action::Other, NONE),
        frozen("env", Action::Other, &[switch("-w -u -json", Means::Nothing)]),
    ],
    flags: &[
        switch("-x -v -json -trimpath -buildvcs=false", Means::Nothing),
        valued("-C", Means::Path(Role::Folder)),
        valued("-modfile", Means::Path(Role::File)),
    ],
    default: None,
    otherwise: Action::Build,
}];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    collector.touches_outside();
    caches_in_project(collector)?;
    if let Some(path) = step.paths.iter().find(|it| it.role == Role::File) {
        return Err(Obstacle::in_script(path.span, format!("what `{}` names is not followed", path.path)));
    }
    match step.action {
        Action::InstallDependencies => download(collector),
        Action::InstallNamed => install(collector),
        _ => Ok(()),
    }
}

/// Module and build caches that the environment puts into the project, and files that it names.
fn caches_in_project(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    if collector.variable("GOFLAGS").is_some_and(|it| it.is_none_or(|it| it.contains("-modfile") || it.contains("-overlay"))) {
        return Err(collector.obstacle("what `GOFLAGS` names is not followed"));
    }
    if collector.variable("GOWORK").is_some_and(|it| it != Some("off")) {
        return Err(collector.obstacle("which workspace `GOWORK` names is not followed"));
    }
    let Some(root) = application_root(collector.folder) else { return Ok(()) };
    for name in ["GOPATH", "GOMODCACHE", "GOCACHE", "GOBIN"] {
        match collector.variable(name) {
            Some(None) => return Err(collector.obstacle(format!("the value of `{name}` is not known"))),
            Some(Some(folder)) if is_below(folder, root) => {
                collector.reads(Place::tree(folder));
                collector.writes(Place::tree(folder));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `go install path@version` builds outside of any module; without a version it builds the project.
fn install(collector: &Collector<'_>) -> Result<(), Obstacle> {
    let is_named = |text: &str| text.contains('@') && !text.starts_with(['.', '/', '$', '~']);
    match collector.step.operands.iter().find(|it| it.computed || !is_named(&it.text)) {
        Some(word) => Err(Obstacle::in_script(word.span, format!("`go install {}` builds the project", word.text)).for_sources()),
        None if collector.step.operands.is_empty() => Err(collector.obstacle("`go install` builds the project").for_sources()),
        None => Ok(()),
    }
}

fn download(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let mut module = None;
    for folder in up_to_root(collector.folder) {
        let work = join(&folder, "go.work");
        if let Some(text) = collector.optional(&work)? {
            return workspace(collector, &folder, &work, &text);
        }
        let path = join(&folder, "go.mod");
        if module.is_none()
            && let Some(text) = collector.optional(&path)?
        {
            module = Some((folder, path, text));
        }
    }
    match module {
        Some((folder, path, text)) => read_module(collector, &folder, &path, &text),
        None => Err(collector.obstacle("`go.mod` is not in the build context")),
    }
}

fn read_module(collector: &mut Collector<'_>, folder: &str, path: &str, text: &str) -> Result<(), Obstacle> {
    let lines = directives(text);
    check_replaced(collector, path, &lines)?;
    let has_sums = collector.exists(&join(folder, "go.sum"))?;
    if !has_sums && lines.iter().any(|it| it.verb == "require") {
        return Err(collector.obstacle(format!("`{}` may write `go.sum`", collector.step.display)));
    }
    Ok(())
}

fn check_replaced(collector: &Collector<'_>, path: &str, lines: &[Directive<'_>]) -> Result<(), Obstacle> {
    for line in lines.iter().filter(|it| it.verb == "replace") {
        let target = line.rest.split_once("=>").map_or("", |(_, it)| it.trim().trim_matches(['"', '`']));
        if target.starts_with(['.', '/']) {
            return Err(Obstacle::in_file(path, Some(line.span), format!("`{}` takes a module from `{target}`", collector.shown(path))));
        }
    }
    Ok(())
}

/// Modules of a workspace: each needs its own files.
fn workspace(collector: &mut Collector<'_>, folder: &str, path: &str, text: &str) -> Result<(), Obstacle> {
    let lines = directives(text);
    check_replaced(collector, path, &lines)?;
    collector.exists(&join(folder, "go.work.sum"))?;
    for line in lines.iter().filter(|it| it.verb == "use") {
        let member = join(folder, line.rest.trim_matches(['"', '`']));
        let path = join(&member, "go.mod");
        let text = collector.require(&path)?;
        read_module(collector, &member, &path, &text)?;
    }
    Ok(())
}

struct Directive<'a> {
    span: Span,
    verb: &'a str,
    rest: &'a str,
}

/// Lines of `go.mod` and `go.work`; those in a block get the verb of the block.
fn directives(text: &str) -> Vec<Directive<'_>> {
    let mut res = Vec::new();
    let mut block = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at + (line.len() - line.trim_start().len());
        at += line.len();
        let content = line.split("//").next().unwrap_or_default().trim();
        let span = Span::new(start, start + content.len());
        match block {
            _ if content.is_empty() => {}
            Some(_) if content == ")" => block = None,
            Some(verb) => res.push(Directive { span, verb, rest: content }),
            None => {
                let (verb, rest) = content.split_once([' ', '\t', '(']).unwrap_or((content, ""));
                if content.ends_with('(') {
                    block = Some(verb);
                } else {
                    res.push(Directive { span, verb, rest: rest.trim() });
                }
            }
        }
    }
    res
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_in, footprint_of, refusal};

    const MODULE: (&str, &str) = ("go.mod", "module x\n\ngo 1.22\n\nrequire (\n\ta v1.0.0 // indirect\n)\n");
    const SUMS: (&str, &str) = ("go.sum", "");

    #[test]
    fn download_needs_module_and_sums() {
        assert_eq!(footprint_of("go mod download", &[MODULE, SUMS, ("main.go", "")]), "needs go.mod go.sum; writes nothing");
        assert_eq!(footprint_of("go mod download -x && go mod verify", &[MODULE, SUMS]), "needs go.mod go.sum; writes nothing");
        assert_eq!(footprint_of("cd api && go mod download", &[("api/go.mod", "module x"), SUMS]), "needs api/go.mod; writes nothing");
        assert_eq!(footprint_of("go -C api mod download", &[("api/go.mod", "module x")]), "needs api/go.mod; writes nothing");
        assert_eq!(
            footprint_in("go mod download", &[MODULE, SUMS], &[("GOMODCACHE", "/app/.cache"), ("GOFLAGS", "-mod=mod")]),
            "needs go.mod go.sum; writes .cache/"
        );
    }

    #[test]
    fn a_module_on_disk_stands_in_the_way() {
        assert_eq!(
            refusal("go mod download", &[("go.mod", "module x\nreplace a => ../a\n"), SUMS]),
            "go.mod:replace a => ../a: `go.mod` takes a module from `../a`"
        );
        assert!(refusal("go mod download", &[("go.mod", "replace (\n a v1 => ./a // why\n)"), SUMS]).contains("from `./a`"));
        assert!(footprint_of("go mod download", &[("go.mod", "replace a => github.com/b/a v1.2.3"), SUMS]).starts_with("needs"));
        assert!(footprint_of("go mod download", &[("go.mod", "// replace a => ./a"), SUMS]).starts_with("needs"));
    }

    #[test]
    fn a_workspace_needs_its_modules() {
        let files = [("go.work", "go 1.22\nuse (\n\t./a\n\t./b\n)\n"), ("a/go.mod", "module a"), ("b/go.mod", "module b"), ("b/go.sum", ""), MODULE, SUMS];
        assert_eq!(footprint_of("go mod download", &files), "needs a/go.mod b/go.mod b/go.sum go.work; writes nothing");
        assert!(refusal("go mod download", &[("go.work", "use ./a")]).contains("`a/go.mod` is not in the build context"));
    }

    #[test]
    fn what_builds_or_rewrites_stands_in_the_way() {
        for script in [
            "go build ./...",
            "go test ./...",
            "go mod tidy",
            "go mod vendor",
            "go get x",
            "go generate",
            "go install ./cmd/x",
            "go install",
            "go mod download -modfile=x.mod",
            "go run .",
        ] {
            assert!(!refusal(script, &[MODULE, SUMS]).starts_with("not refused"), "{script}");
        }
        assert!(refusal("go mod download", &[MODULE]).contains("may write `go.sum`"));
        assert!(refusal("go mod download", &[]).contains("`go.mod` is not in the build context"));
        assert_eq!(footprint_of("go install github.com/a/b@v1.2.3 && go version", &[MODULE]), "needs nothing; writes nothing");
    }
}
