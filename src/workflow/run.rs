//! Builds in scripts: `docker build`, `docker buildx build`, `docker buildx bake`,
//! `docker compose build`, and what understands the same flags.

use super::build::{self, BuildStep};
use super::read::Names;
use super::script::Variables;
use super::{Run, Step};
use crate::build::{Context, Tool};
use crate::cache;
use crate::edit::Span;
use crate::shell::{Command, Join, Word};
use crate::value::{Passage, Value};

/// The builds of a script, in order.
pub(super) fn builds(step: &Step, index: usize, before: &[Step], names: &Names<'_>) -> Vec<BuildStep> {
    let Some(run) = &step.run else { return Vec::new() };
    let names = names.below(&step.env);
    let mut variables = Variables::new(&names, run);
    let mut folders = Folders::new(run);
    let mut res = Vec::new();
    for command in &run.script.commands {
        folders.enter(run, command);
        let folder = folders.current().and_then(|it| build::in_repository(before, it));
        res.extend(build(step, index, run, command, &variables, folder));
        folders.follow(run, command, &variables);
        variables.follow(&run.passage, command);
    }
    res
}

/// The folder that a script is in, at each depth of subshells.
struct Folders {
    /// Relative to the workspace; `None` where it is not known.
    stack: Vec<Option<String>>,
    /// Where the command before ended.
    end: usize,
}

/// Deeper subshells than any script has share a folder.
const MAX_DEPTH: usize = 64;

impl Folders {
    fn new(run: &Run) -> Folders {
        Folders { stack: vec![run.folder.clone()], end: 0 }
    }

    fn current(&self) -> Option<&str> {
        self.stack.last().and_then(|it| it.as_deref())
    }

    /// Goes to the depth of a command. A bracket that closes between two commands ends a subshell
    /// even where the next one begins at once.
    fn enter(&mut self, run: &Run, command: &Command) {
        let depth = command.depth.min(MAX_DEPTH);
        let between = Span::new(self.end, command.span.start).of(run.passage.text());
        let closed = between.matches(')').count().min(self.stack.len().saturating_sub(1));
        self.stack.truncate((self.stack.len() - closed).clamp(1, depth + 1));
        while self.stack.len() <= depth {
            self.stack.push(self.stack.last().cloned().flatten());
        }
        self.end = command.span.end;
    }

    fn follow(&mut self, run: &Run, command: &Command, variables: &Variables<'_>) {
        let Some(invocation) = command.invocation() else { return };
        let Some(current) = self.stack.last_mut() else { return };
        match invocation.program() {
            Some("cd" | "pushd") => {
                let to = invocation.arguments().iter().find(|it| !it.text.starts_with('-') || it.text == "-");
                let certain = !matches!(command.joined, Join::Or | Join::Pipe);
                let value = to.filter(|_| certain).map(|it| build::workspace_relative(&variables.word(&run.passage, it)).value());
                *current = value.and_then(|it| enter(current.as_deref(), &it));
            }
            Some("popd") => *current = None,
            _ => {}
        }
    }
}

/// Longer paths are no paths of a system.
const MAX_FOLDER: usize = 4096;

/// A folder below another. The script's `..` may lead out of `folder`, but not out of the
/// workspace.
fn enter(folder: Option<&str>, value: &Value) -> Option<String> {
    let text = value.known()?;
    if text.starts_with(['/', '~', '-']) || text.is_empty() {
        return None;
    }
    build::clean(&format!("{}/{text}", folder?)).filter(|it| it.len() <= MAX_FOLDER)
}

fn build(step: &Step, index: usize, run: &Run, command: &Command, variables: &Variables<'_>, folder: Option<String>) -> Option<BuildStep> {
    let invocation = command.invocation()?;
    let found = recognise(invocation.program()?, invocation.arguments())?;
    let (head, arguments) = invocation.words.split_at(1 + found.at);
    let span = Span::new(head.first()?.span.start, head.last()?.span.end);
    let name: Vec<&str> = head.iter().map(|it| it.text.as_str()).collect();
    let mut res = BuildStep::empty(step, index, found.tool, run.passage.source(span), name.join(" "));
    res.build.folder = folder;
    res.flags_at = flags_at(run, command, span);
    let globals = Flags::read(found.globals, &run.passage, variables, found.valued);
    let flags = Flags::read(arguments, &run.passage, variables, VALUED);
    res.build.opaque = globals.opaque || flags.opaque || arguments.iter().any(|it| is_array(&it.text));
    match found.tool {
        Tool::Bake => bake(&mut res, &flags),
        Tool::Compose => compose(&mut res, &globals, &flags),
        _ => plain(&mut res, command, &flags),
    }
    if matches!(found.tool, Tool::Bake | Tool::Compose) {
        let given = std::mem::replace(&mut res.environment, variables.environment(&run.passage, command));
        res.environment.extend(given);
    }
    let builder = globals.last(&["--builder"]).or_else(|| flags.last(&["--builder"]));
    res.builder = builder.map(Passage::value);
    res.build.dry = flags.is_on("--check")
        || flags.last(&["--call"]).is_some_and(|it| it.known() != Some("build"))
        || flags.last(&["--print"]).is_some()
        || flags.is_on("--dry-run")
        || globals.is_on("--dry-run");
    Some(res)
}

/// Where flags can be put in: right behind the words that ask for the build, if the file has them
/// as they are run.
fn flags_at(run: &Run, command: &Command, head: Span) -> Option<usize> {
    let verbatim = run.passage.slice(head).is_verbatim();
    (verbatim && command.depth == 0 && run.script.is_plain()).then(|| run.passage.source(head).end)
}

/// `"${FLAGS[@]}"`, `$@`: any number of words.
fn is_array(text: &str) -> bool {
    text.contains("[@]") || text.contains("[*]") || text == "$@" || text == "$*"
}

struct Found<'a> {
    tool: Tool,
    /// How many words behind the program name the kind of build.
    at: usize,
    /// Flags in front of the subcommand.
    globals: &'a [Word],
    /// Those of them that take the next word.
    valued: &'static [&'static str],
}

const DOCKER_VALUED: &[&str] = &["--context", "-c", "--host", "-H", "--config", "--log-level", "-l", "--builder", "--tlscacert", "--tlscert", "--tlskey"];
const COMPOSE_VALUED: &[&str] =
    &["--file", "-f", "--project-name", "-p", "--profile", "--env-file", "--project-directory", "--parallel", "--progress", "--ansi"];

/// Tells a build from its words.
fn recognise<'a>(program: &str, arguments: &'a [Word]) -> Option<Found<'a>> {
    match program {
        "docker" | "podman" | "nerdctl" => docker(arguments),
        "buildx" => buildx(arguments, 0),
        "docker-compose" | "podman-compose" => compose_command(arguments, 0),
        "buildah" => subcommand(arguments, 0, DOCKER_VALUED)
            .and_then(|(at, name)| matches!(name, "build" | "bud" | "build-using-dockerfile").then(|| found(Tool::Command, at, &[], DOCKER_VALUED))),
        "depot" => subcommand(arguments, 0, DOCKER_VALUED).and_then(|(at, name)| match name {
            "build" => Some(found(Tool::Command, at, &[], DOCKER_VALUED)),
            "bake" => Some(found(Tool::Bake, at, &[], DOCKER_VALUED)),
            _ => None,
        }),
        _ => None,
    }
}

fn found<'a>(tool: Tool, at: usize, globals: &'a [Word], valued: &'static [&'static str]) -> Found<'a> {
    Found { tool, at: at + 1, globals, valued }
}

fn docker(arguments: &[Word]) -> Option<Found<'_>> {
    let (at, name) = subcommand(arguments, 0, DOCKER_VALUED)?;
    match name {
        "build" => Some(found(Tool::Command, at, arguments.get(..at)?, DOCKER_VALUED)),
        "image" | "builder" => {
            let (at, name) = subcommand(arguments, at + 1, DOCKER_VALUED)?;
            (name == "build").then(|| found(Tool::Command, at, &[], DOCKER_VALUED))
        }
        "buildx" => buildx(arguments, at + 1),
        "compose" => compose_command(arguments, at + 1),
        _ => None,
    }
}

fn buildx(arguments: &[Word], from: usize) -> Option<Found<'_>> {
    let (at, name) = subcommand(arguments, from, DOCKER_VALUED)?;
    let globals = arguments.get(from..at)?;
    match name {
        "build" | "b" => Some(found(Tool::Command, at, globals, DOCKER_VALUED)),
        "bake" | "f" => Some(found(Tool::Bake, at, globals, DOCKER_VALUED)),
        _ => None,
    }
}

fn compose_command(arguments: &[Word], from: usize) -> Option<Found<'_>> {
    let (at, name) = subcommand(arguments, from, COMPOSE_VALUED)?;
    let asks = name == "build" || (matches!(name, "up" | "run" | "create") && arguments.iter().skip(at).any(|it| it.text == "--build"));
    asks.then_some(found(Tool::Compose, at, arguments.get(from..at)?, COMPOSE_VALUED))
}

/// The first word from `from` on that is no flag.
fn subcommand<'a>(arguments: &'a [Word], from: usize, valued: &[&str]) -> Option<(usize, &'a str)> {
    let mut at = from;
    loop {
        let text = arguments.get(at)?.literal()?;
        match text {
            _ if valued.contains(&text) => at += 2,
            _ if text.starts_with('-') => at += 1,
            _ => return Some((at, text)),
        }
    }
}

/// Flags of the build commands that take a value, in any of the tools.
const VALUED: &[&str] = &[
    "--add-host",
    "--allow",
    "--annotation",
    "--attest",
    "--build-arg",
    "--build-context",
    "--builder",
    "--cache-from",
    "--cache-to",
    "--call",
    "--cgroup-parent",
    "--cgroupns",
    "--cpu-period",
    "--cpu-quota",
    "--cpu-shares",
    "--cpuset-cpus",
    "--cpuset-mems",
    "--file",
    "--iidfile",
    "--isolation",
    "--label",
    "--memory",
    "--memory-swap",
    "--metadata-file",
    "--network",
    "--no-cache-filter",
    "--output",
    "--platform",
    "--policy",
    "--progress",
    "--provenance",
    "--sbom",
    "--secret",
    "--security-opt",
    "--shm-size",
    "--ssh",
    "--tag",
    "--target",
    "--ulimit",
    "--set",
    "--var",
    "--list",
    "--arch",
    "--authfile",
    "--build-arg-file",
    "--cap-add",
    "--cap-drop",
    "--cert-dir",
    "--creds",
    "--device",
    "--dns",
    "--env",
    "--format",
    "--from",
    "--ignorefile",
    "--jobs",
    "--logfile",
    "--manifest",
    "--os",
    "--runtime",
    "--timestamp",
    "--unsetenv",
    "--variant",
    "--volume",
    "--cache-ttl",
    "--project",
    "--save-tag",
    "--scale",
    "--timeout",
    "--wait-timeout",
    "--exit-code-from",
    "--attach",
    "--no-attach",
    "--pull-policy",
    "-f",
    "-t",
    "-o",
    "-m",
    "-c",
    "-v",
    "-e",
];

/// Flags of the build commands that stand alone, or have their value behind `=` only.
const ALONE: &[&str] = &[
    "--check",
    "--compress",
    "--debug",
    "--disable-content-trust",
    "--force-rm",
    "--load",
    "--no-cache",
    "--print",
    "--pull",
    "--push",
    "--quiet",
    "--rm",
    "--squash",
    "--squash-all",
    "--layers",
    "--tls-verify",
    "--save",
    "--lint",
    "--build",
    "--detach",
    "--with-dependencies",
    "--wait",
    "--no-start",
    "--force-recreate",
    "--no-deps",
    "--remove-orphans",
    "--abort-on-container-exit",
    "--quiet-pull",
    "--no-recreate",
    "--always-recreate-deps",
    "--identity-label",
    "--no-hosts",
    "--parallel",
    "--no-rm",
    "--no-color",
    "--no-log-prefix",
    "--timestamps",
    "--no-build",
    "--watch",
    "--menu",
    "--service-ports",
    "--use-aliases",
    "--no-TTY",
    "--interactive",
    "--compatibility",
    "--all-resources",
    "--verbose",
    "--dry-run",
    "--no-ansi",
    "--renew-anon-volumes",
    "--abort-on-container-failure",
    "--quiet-build",
    "-q",
    "-T",
    "-i",
    "-D",
    "-d",
    "-V",
];

/// The flags and the other words of a command.
#[derive(Default)]
struct Flags {
    /// Name as in [`VALUED`], and the value; the empty passage where there is none.
    flags: Vec<(String, Passage)>,
    words: Vec<Passage>,
    /// A word may be any number of words, or a flag is not known.
    opaque: bool,
}

impl Flags {
    fn read(words: &[Word], script: &Passage, variables: &Variables<'_>, valued: &[&str]) -> Flags {
        let mut res = Flags::default();
        let mut words = words.iter();
        let mut only_words = false;
        while let Some(word) = words.next() {
            let passage = variables.word(script, word);
            let text = word.text.as_str();
            if only_words || !text.starts_with('-') || text == "-" {
                let quoted = script.slice(word.span).text().starts_with(['"', '\'']);
                res.opaque |= !quoted && passage.only_hole().is_some() && res.words.is_empty() && words.len() > 0;
                res.words.push(passage);
            } else if text == "--" {
                only_words = true;
            } else if text.starts_with("--") {
                let (name, value) = passage.split_once('=').map_or((passage.clone(), None), |(name, value)| (name, Some(value)));
                let Some(name) = name.known().map(str::to_owned) else {
                    res.opaque = true;
                    continue;
                };
                let takes = valued.contains(&name.as_str());
                res.opaque |= !takes && value.is_none() && !ALONE.contains(&name.as_str());
                let value = value.or_else(|| takes.then(|| words.next()).flatten().map(|it| variables.word(script, it)));
                res.flags.push((name, value.unwrap_or_else(|| Passage::new(passage.span()))));
            } else {
                res.short(&passage, valued, || words.next().map(|it| variables.word(script, it)));
            }
        }
        res
    }

    /// Flags of one letter, which may stand together; the first that takes a value has the rest.
    fn short(&mut self, passage: &Passage, valued: &[&str], next: impl FnOnce() -> Option<Passage>) {
        let text = passage.text();
        for (at, letter) in text.char_indices().skip(1) {
            let name = format!("-{letter}");
            if !valued.contains(&name.as_str()) {
                self.opaque |= !ALONE.contains(&name.as_str());
                self.flags.push((name, Passage::new(passage.span())));
                continue;
            }
            let rest = &text[at + letter.len_utf8()..];
            let start = text.len() - rest.strip_prefix('=').unwrap_or(rest).len();
            let value = if rest.is_empty() { next() } else { Some(passage.slice(Span::new(start, text.len()))) };
            self.flags.push((name, value.unwrap_or_else(|| Passage::new(passage.span()))));
            return;
        }
    }

    fn all<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a Passage> {
        self.flags.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value)
    }

    fn last<'a>(&'a self, names: &'a [&'a str]) -> Option<&'a Passage> {
        self.all(names).last()
    }

    /// Whether a flag stands there, and does not say `=false`.
    fn is_on(&self, name: &str) -> bool {
        self.last(&[name]).is_some_and(|it| it.known() != Some("false"))
    }

    fn list(&self, names: &[&str]) -> Vec<Passage> {
        let pieces = self.all(names).flat_map(|it| it.split(','));
        pieces.map(|it| it.trim()).filter(|it| !it.is_empty()).collect()
    }
}

fn plain(res: &mut BuildStep, command: &Command, flags: &Flags) {
    let build = &mut res.build;
    match flags.words.as_slice() {
        [place] => build.context = build::context(place),
        // Half-typed, or more than is understood.
        _ => {
            build.context = Context::Foreign(Value { span: build.span, parts: Vec::new() });
            build.opaque = true;
        }
    }
    let file = flags.last(&["--file", "-f"]);
    let from_input = |it: &Passage| it.known() == Some("-");
    let reads_file = command.redirects.iter().any(|it| it.operator == "<");
    build.inline = file.is_some_and(from_input) || (file.is_none() && flags.words.iter().any(from_input) && !reads_file);
    build.dockerfile = file.filter(|it| !from_input(it)).map(|it| build::workspace_relative(it).value());
    build.target = flags.last(&["--target"]).map(Passage::value);
    for record in flags.all(&["--build-arg"]) {
        build.opaque |= !build::push_argument(&mut build.arguments, record);
    }
    build.platforms = flags.list(&["--platform"]).iter().map(Passage::value).collect();
    build.tags = flags.all(&["--tag", "-t"]).map(Passage::value).collect();
    build.imports = flags.all(&["--cache-from"]).flat_map(cache::parse).collect();
    build.exports = flags.all(&["--cache-to"]).flat_map(cache::parse).collect();
    build.no_cache = flags.is_on("--no-cache") || flags.last(&["--no-cache-filter"]).is_some();
    let outputs: Vec<Passage> = flags.all(&["--output", "-o"]).cloned().collect();
    build.push = if flags.is_on("--push") { Some(true) } else { build::output_pushes(&outputs) };
    build.contexts = build::named_contexts(&flags.all(&["--build-context"]).cloned().collect::<Vec<_>>());
    res.load = Some(flags.is_on("--load"));
}

fn bake(res: &mut BuildStep, flags: &Flags) {
    res.build.context = Context::Folder(Value::literal(".", res.build.span));
    res.files = flags.all(&["--file", "-f"]).map(Passage::value).collect();
    let (places, targets): (Vec<_>, Vec<_>) = flags.words.iter().partition(|it| build::is_remote(it.text()));
    res.targets = targets.into_iter().map(Passage::value).collect();
    if let Some(place) = places.first() {
        res.build.context = build::context(place);
    }
    for line in flags.all(&["--set"]) {
        build::add_override(res, line);
    }
    for line in flags.all(&["--var"]) {
        build::add_variable(res, line);
    }
    res.build.no_cache |= flags.is_on("--no-cache");
    res.build.push = Some(flags.is_on("--push"));
    res.load = Some(flags.is_on("--load"));
}

fn compose(res: &mut BuildStep, globals: &Flags, flags: &Flags) {
    res.build.context = Context::Folder(Value::literal(".", res.build.span));
    res.files = globals.all(&["--file", "-f"]).map(Passage::value).collect();
    // What follows the service of `run` is a command for it.
    let n_services = if res.build.name.ends_with(" run") { 1 } else { flags.words.len() };
    res.targets = flags.words.iter().take(n_services).map(Passage::value).collect();
    res.project = globals.last(&["--project-directory"]).map(Passage::value);
    for record in flags.all(&["--build-arg"]) {
        res.build.opaque |= !build::push_argument(&mut res.build.arguments, record);
    }
    res.build.no_cache = flags.is_on("--no-cache");
    res.build.push = Some(flags.is_on("--push"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Build;
    use crate::cache::Backend;
    use crate::workflow::{lowered, with_steps};

    fn step(run: &str) -> String {
        let lines: String = run.lines().map(|it| format!("\n    {it}")).collect();
        with_steps(&format!("- run: |{lines}"))
    }

    fn builds(run: &str) -> Vec<BuildStep> {
        lowered(&step(run)).jobs[0].builds.clone()
    }

    fn one(run: &str) -> Build {
        let mut builds = builds(run);
        assert_eq!(builds.len(), 1, "{run}");
        builds.remove(0).build
    }

    fn folder(context: &Context) -> String {
        match context {
            Context::Folder(value) => value.pattern(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn commands_that_build_are_told_from_others() {
        let building = [
            "docker build .",
            "docker image build .",
            "docker buildx build .",
            "docker buildx --builder b build .",
            "docker --context x buildx b .",
            "sudo docker build .",
            "DOCKER_BUILDKIT=1 docker build .",
            "time env A=b docker build .",
            "podman build .",
            "buildah bud .",
            "depot build .",
            "set -e; docker pull x || true; docker build .",
            "if true; then docker build .; fi",
            "/usr/bin/docker build .",
        ];
        for run in building {
            let build = one(run);
            assert_eq!((build.tool, folder(&build.context).as_str()), (Tool::Command, "."), "{run}");
            assert!(!build.opaque, "{run}");
        }
        for run in [
            "docker run x build .",
            "docker compose up",
            "echo docker build .",
            "docker",
            "docker buildx",
            "docker push x",
            "# docker build .",
            "make docker-build",
            "docker buildx imagetools create x",
        ] {
            assert!(builds(run).is_empty(), "{run}");
        }
    }

    #[test]
    fn flags_are_read_in_all_their_forms() {
        let text = step(
            "docker buildx build \\\n  --file=docker/Dockerfile -t o/app:1 --tag \"o/app:$GITHUB_SHA\" \\\n  --target prod --build-arg A=1 --build-arg=B --build-arg 'C=x y' --platform linux/amd64,linux/arm64 \\\n  --cache-from type=gha,scope=a --cache-to=type=gha,mode=max,scope=a --build-context base=../base --push ./app",
        );
        let workflow = lowered(&text);
        let step = &workflow.jobs[0].builds[0];
        let build = &step.build;
        assert_eq!(build.span.of(&text), "docker buildx build");
        assert_eq!(build.name, "docker buildx build");
        assert_eq!(build.dockerfile.as_ref().unwrap().span.of(&text), "docker/Dockerfile");
        assert_eq!(build.tags.iter().map(|it| it.span.of(&text)).collect::<Vec<_>>(), ["o/app:1", "o/app:$GITHUB_SHA"]);
        assert!(build.tags[1].variance().is_per_commit());
        assert_eq!(build.target.as_ref().unwrap().known().as_deref(), Some("prod"));
        let arguments: Vec<_> = build.arguments.iter().map(|it| (it.name.as_str(), it.value.as_ref().map(|it| it.pattern()))).collect();
        assert_eq!(arguments, [("A", Some("1".into())), ("B", None), ("C", Some("x y".into()))]);
        assert_eq!(build.platforms.len(), 2);
        assert_eq!(build.platforms[1].span.of(&text), "linux/arm64");
        assert_eq!(build.imports[0].span.of(&text), "type=gha,scope=a");
        assert_eq!(build.exports[0].attributes[1].span.of(&text), "mode=max");
        assert_eq!(build.contexts[0].0, "base");
        assert_eq!(build.push, Some(true));
        assert_eq!(folder(&build.context), "./app");
        assert_eq!(build.folder.as_deref(), Some(""));
        assert!(!build.opaque && !build.dry && !build.inline);
        assert_eq!(step.flags_at.map(|it| &text[..it]).unwrap().rsplit('|').next().unwrap().trim(), "docker buildx build");
    }

    #[test]
    fn short_flags_may_stand_together() {
        let build = one("docker build -qf Dockerfile.dev -tapp . -o=type=registry");
        assert_eq!(build.dockerfile.unwrap().pattern(), "Dockerfile.dev");
        assert_eq!(build.tags[0].pattern(), "app");
        assert_eq!(build.push, Some(true));
    }

    #[test]
    fn a_script_is_followed_into_folders() {
        let cases = [
            ("docker build .", Some("")),
            ("cd app && docker build .", Some("app")),
            ("cd app\ncd ../web/.\ndocker build .", Some("web")),
            ("(cd app && docker pull x); docker build .", Some("")),
            ("(cd a && true); (cd b && docker build .)", Some("b")),
            ("cd \"$GITHUB_WORKSPACE/app\" && docker build .", Some("app")),
            ("cd ${{ github.workspace }}/app && docker build .", Some("app")),
            ("cd /tmp && docker build .", None),
            ("cd ../.. && docker build .", None),
            ("cd $(mktemp -d) && docker build .", None),
            ("cd -; docker build .", None),
            ("pushd app; popd; docker build .", None),
        ];
        for (run, expected) in cases {
            assert_eq!(one(run).folder.as_deref(), expected, "{run}");
        }
    }

    #[test]
    fn working_directories_of_step_job_and_workflow_are_where_a_script_starts() {
        let text = with_steps(
            "- run: docker build .\n- run: cd x && docker build .\n  working-directory: ./own/\n- uses: docker/build-push-action@v6\n  with: {context: .}",
        );
        let with_default = text.replace("    steps:", "    defaults: {run: {working-directory: app}}\n    steps:");
        let folders = |text: &str| lowered(text).jobs[0].builds.iter().map(|it| it.build.folder.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(folders(&text), ["", "own/x", ""]);
        assert_eq!(folders(&with_default), ["app", "own/x", ""]);
        assert_eq!(folders(&with_default.replace("on: push", "defaults: {run: {working-directory: outer}}")), ["app", "own/x", ""]);
    }

    #[test]
    fn variables_are_followed_through_env_and_assignments() {
        let text = with_steps(
            "- env: {IMAGE: o/app, SHA: '${{ github.sha }}'}\n  run: |\n    NAME=x\n    export TAG=\"$NAME-1\"\n    NOW=$(date +%s)\n    docker build -t $IMAGE:$TAG -t \"${IMAGE}:${SHA}\" --build-arg NOW=$NOW --build-arg REV=$(git rev-parse --short HEAD) --build-arg V=${V:-1} .",
        );
        let build = &lowered(&text).jobs[0].builds[0].build;
        assert_eq!(build.tags[0].known().as_deref(), Some("o/app:x-1"));
        assert!(build.tags[1].variance().is_per_commit());
        let variance = |index: usize| build.arguments[index].value.as_ref().unwrap().variance();
        assert!(variance(0).is_per_commit() && variance(1).is_per_commit());
        assert!(variance(2).is_unknown() && !variance(2).is_per_commit());
        assert_eq!(build.arguments[1].name, "REV");
        assert!(!build.opaque);
    }

    #[test]
    fn what_may_be_any_number_of_words_is_opaque() {
        let cases = [
            "docker build \"${ARGS[@]}\" .",
            "docker build $ARGS .",
            "docker build ${{ inputs.args }} .",
            "docker build --new-flag x .",
            "docker build --${{ inputs.x }} .",
            "docker build",
            "docker build a b",
            "docker build --build-arg ${{ inputs.x }} .",
        ];
        for run in cases {
            assert!(one(run).opaque, "{run}");
        }
        for run in ["docker build \"$DIR\"", "docker build $DIR", "docker build -t ${{ inputs.tag }} .", "docker build -t \"$TAG\" ."] {
            assert!(!one(run).opaque, "{run}");
        }
    }

    #[test]
    fn a_dockerfile_may_come_from_the_script() {
        for run in ["docker build -f - . <<EOF\nFROM x\nEOF", "docker build - <<EOF\nFROM x\nEOF", "echo FROM x | docker build -"] {
            assert!(one(run).inline, "{run}");
        }
        assert!(!one("docker build - < Dockerfile").inline);
        assert!(matches!(one("docker build https://github.com/o/r.git#main").context, Context::Foreign(_)));
    }

    #[test]
    fn a_check_builds_nothing() {
        for run in ["docker build --check .", "docker buildx build --call=outline .", "docker buildx bake --print"] {
            assert!(one(run).dry, "{run}");
        }
        assert!(!one("docker build --check=false .").dry);
        assert!(!one("docker build --call build .").dry);
    }

    #[test]
    fn bake_is_read_with_its_files_targets_and_overrides() {
        let step = builds("docker buildx bake -f docker-bake.hcl --file=x.json --set '*.cache-to=type=gha,mode=max' --set app.cache-from+=type=gha --set \"web.args.V=$V\" app web --push").remove(0);
        assert_eq!(step.build.tool, Tool::Bake);
        assert_eq!(step.files.iter().map(Value::pattern).collect::<Vec<_>>(), ["docker-bake.hcl", "x.json"]);
        assert_eq!(step.targets.iter().map(Value::pattern).collect::<Vec<_>>(), ["app", "web"]);
        let overrides: Vec<_> = step.overrides.iter().map(|it| (it.pattern.as_str(), it.key.as_str(), it.append)).collect();
        assert_eq!(overrides, [("*", "cache-to", false), ("app", "cache-from", true), ("web", "args.V", false)]);
        assert_eq!(step.build.exports[0].backend, Backend::Gha);
        assert_eq!(step.build.push, Some(true));
        assert!(!step.build.opaque);
    }

    #[test]
    fn compose_is_read_with_its_files_and_services() {
        let step = builds("cd deploy && docker compose -f compose.yaml --profile x build --build-arg A=1 --no-cache web").remove(0);
        assert_eq!(step.build.tool, Tool::Compose);
        assert_eq!(step.files[0].pattern(), "compose.yaml");
        assert_eq!(step.targets[0].pattern(), "web");
        assert_eq!(step.build.folder.as_deref(), Some("deploy"));
        assert!(step.build.no_cache && !step.build.opaque);
        assert_eq!(builds("docker-compose up -d --build").len(), 1);
        let step = builds("TAG=1 docker compose --compatibility --project-directory x run --rm --build app make test").remove(0);
        assert_eq!((step.project.unwrap().pattern(), step.build.folder.as_deref()), ("x".into(), Some("")));
        assert_eq!((step.targets.len(), step.environment.get("TAG")), (1, Some(&Some("1".to_owned()))));
    }

    #[test]
    fn flags_can_be_put_in_only_where_the_script_stands_as_it_is_run() {
        assert!(builds("docker build .")[0].flags_at.is_some());
        assert!(builds("if true; then docker build .; fi")[0].flags_at.is_none());
        let folded = lowered(&with_steps("- run: >\n    docker\n    build\n    ."));
        assert_eq!(folded.jobs[0].builds[0].flags_at, None);
        assert_eq!(folded.jobs[0].builds[0].build.name, "docker build");
    }

    #[test]
    fn other_shells_are_not_read() {
        assert!(lowered(&with_steps("- run: docker build .\n  shell: pwsh")).jobs[0].builds.is_empty());
        assert_eq!(lowered(&with_steps("- run: docker build .\n  shell: bash -e {0}")).jobs[0].builds.len(), 1);
    }
}
