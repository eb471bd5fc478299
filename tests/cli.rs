//! The command line, end to end and in this process.

mod support;

use layerwise::cli::{Console, Error, Status, Task, run};
use layerwise::workspace;
use serde_json::{Value, json};
use support::{APP, DOCKERFILE, Folder, RULE};

struct Output {
    status: Status,
    out: String,
    err: String,
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|err| panic!("{err}: {}\n{}", self.out, self.err))
    }
}

fn layerwise_in(folder: &str, arguments: &[&str], mut input: &[u8]) -> Output {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { folder: folder.to_owned(), input: &mut input, output: &mut out, messages: &mut err, color: false, progress: false };
    let status = match run(std::iter::once("layerwise").chain(arguments.iter().copied()).map(Into::into), &mut console) {
        Ok(Task::Done(status)) => status,
        Ok(Task::Serve) => panic!("no server was asked for"),
        Err(Error::Usage(message)) => {
            err.extend(message.bytes());
            Status::Failure
        }
        Err(err) => panic!("{err}"),
    };
    Output { status, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn layerwise(folder: &Folder, arguments: &[&str]) -> Output {
    layerwise_in(&workspace::from_system(folder.path()).unwrap(), arguments, b"")
}

/// Only what the tests are about.
const ONLY: &str = "--select=copy-before-install,missing-ignore-file";

#[test]
fn the_status_says_how_it_went() {
    let folder = Folder::new(APP);
    folder.write("clean/Dockerfile", "FROM scratch\n");
    for (arguments, status) in [
        (&["check", ONLY][..], Status::Findings),
        (&["check", ONLY, "--min-level", "error"], Status::Clean),
        (&["check", ONLY, "clean"], Status::Clean),
        (&["check", "--ignore", RULE, ONLY], Status::Clean),
        (&["check", "nowhere"], Status::Failure),
        (&["check", "package.json"], Status::Failure),
        (&["check", "--select", "copy-before-instal"], Status::Failure),
        (&["check", "--format", "xml"], Status::Failure),
        (&["check", "--unsafe-fixes"], Status::Failure),
        (&["check", "--config", "nowhere.yaml"], Status::Failure),
        (&["explain", "nothing"], Status::Failure),
        (&["nonsense"], Status::Failure),
        (&["--help"], Status::Clean),
        (&["--version"], Status::Clean),
        (&["rules"], Status::Clean),
    ] {
        let output = layerwise(&folder, arguments);
        assert_eq!(output.status, status, "{arguments:?}\n{}\n{}", output.out, output.err);
        assert_eq!(status == Status::Failure, !output.err.is_empty(), "{arguments:?}");
    }
    assert!(layerwise(&folder, &["check", "--select", "copy-before-instal"]).err.contains("did you mean `copy-before-install`"));
}

#[test]
fn json_is_as_promised() {
    let folder = Folder::new(APP);
    let output = layerwise(&folder, &["check", ONLY, "--format", "json"]);
    let json = output.json();
    assert_eq!((json["version"].as_str(), json["files"].as_u64()), (Some(env!("CARGO_PKG_VERSION")), Some(1)));
    let found = &json["diagnostics"][0];
    assert_eq!((found["rule"].as_str(), found["level"].as_str(), found["path"].as_str()), (Some(RULE), Some("warning"), Some("Dockerfile")));
    assert_eq!(found["range"]["start"], json!({"line": 3, "column": 1, "offset": 31}));
    assert_eq!(found["range"]["end"], json!({"line": 3, "column": 9, "offset": 39}));
    assert_eq!(found["notes"][0]["path"], "Dockerfile");
    assert_eq!(found["notes"][0]["range"]["start"]["line"], 4);
    assert_eq!(found["fixes"][0]["safety"], "safe");
    assert!(found["url"].as_str().unwrap().ends_with(RULE));
    let mut text = DOCKERFILE.to_owned();
    for edit in found["fixes"][0]["edits"].as_array().unwrap().iter().rev() {
        assert_eq!(edit["path"], "Dockerfile");
        let offset = |key: &str| edit[key].as_u64().unwrap() as usize;
        text.replace_range(offset("start")..offset("end"), edit["text"].as_str().unwrap());
    }
    assert!(text.find("RUN npm ci") < text.find("COPY . ."), "{text}");
    assert_eq!(output.out, layerwise(&folder, &["check", ONLY, "--format", "json"]).out);
}

#[test]
fn every_format_is_well_formed_and_names_the_place() {
    let folder = Folder::new(APP);
    let of = |format: &str| layerwise(&folder, &["check", ONLY, "--format", format]);
    let sarif = of("sarif").json();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "Dockerfile");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
    let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
    assert_eq!(rule["id"], RULE);
    let gitlab = of("gitlab").json();
    assert_eq!(gitlab[0]["location"], json!({"path": "Dockerfile", "lines": {"begin": 3, "end": 3}}));
    assert_eq!(gitlab[0]["severity"], "major");
    let github = of("github").out;
    assert!(github.starts_with("::warning title=Layerwise (copy-before-install),file=Dockerfile,line=3,endLine=3,col=1,endColumn=9::"), "{github}");
    let human = of("human").out;
    assert!(human.contains("--> Dockerfile:3:1") && human.contains("1 warning in 1 file") && human.contains("help: "), "{human}");
}

#[test]
fn findings_are_sorted_by_path_and_the_files_are_those_of_git() {
    let folder = Folder::new(APP);
    for path in ["b/Dockerfile", "a.Dockerfile", "ignored/Dockerfile", "node_modules/x/Dockerfile"] {
        folder.write(path, DOCKERFILE);
    }
    folder.write(".gitignore", "/ignored\n");
    let json = layerwise(&folder, &["check", "--select", RULE, "--format", "json"]).json();
    let paths: Vec<_> = json["diagnostics"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["Dockerfile", "a.Dockerfile", "b/Dockerfile"]);
    assert_eq!(json["files"], 3);
    // From below, and with a path that git ignores but the user names.
    let below = format!("{}/b", workspace::from_system(folder.path()).unwrap());
    let json = layerwise_in(&below, &["check", "--select", RULE, "--format", "json", "..", "../ignored/Dockerfile"], b"").json();
    let paths: Vec<_> = json["diagnostics"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["../Dockerfile", "../a.Dockerfile", "../ignored/Dockerfile", "Dockerfile"]);
}

#[test]
fn one_unreadable_file_does_not_stop_the_others() {
    let folder = Folder::new(APP);
    std::fs::write(folder.path().join("Dockerfile.latin"), b"FROM \xe9\n").unwrap();
    let output = layerwise(&folder, &["check", ONLY, "--format", "json", ".", "nowhere"]);
    assert_eq!(output.status, Status::Failure);
    assert_eq!(output.json()["diagnostics"][0]["rule"], RULE);
    assert!(output.err.contains("Dockerfile.latin: not UTF-8") && output.err.contains("nowhere: "), "{}", output.err);
}

#[test]
fn fixes_are_written_until_none_is_left() {
    let folder = Folder::new(APP);
    let output = layerwise(&folder, &["check", ONLY, "--fix"]);
    assert_eq!(output.status, Status::Clean, "{}", output.out);
    assert!(output.out.starts_with("1 fix applied\n"), "{}", output.out);
    let fixed = folder.read("Dockerfile");
    assert!(fixed.find("RUN npm ci") < fixed.find("COPY . ."), "{fixed}");
    assert_eq!(layerwise(&folder, &["check", ONLY, "--fix"]).status, Status::Clean);
    assert_eq!(folder.read("Dockerfile"), fixed);
}

#[test]
fn an_unsafe_fix_is_applied_only_if_it_is_asked_for() {
    let files: Vec<_> = APP.iter().filter(|(path, _)| *path != ".dockerignore").copied().collect();
    let folder = Folder::new(&files);
    let only = "--select=missing-ignore-file";
    assert_eq!(layerwise(&folder, &["check", only, "--fix"]).status, Status::Findings);
    assert!(!folder.path().join(".dockerignore").exists());
    let diff = layerwise(&folder, &["check", only, "--diff", "--unsafe-fixes"]);
    assert_eq!(diff.status, Status::Findings);
    assert!(diff.out.starts_with("--- /dev/null\n+++ b/.dockerignore\n@@ "), "{}", diff.out);
    assert!(!folder.path().join(".dockerignore").exists());
    assert_eq!(layerwise(&folder, &["check", only, "--fix", "--unsafe-fixes"]).status, Status::Clean);
    assert!(folder.read(".dockerignore").contains(".git"));
}

#[test]
fn a_hint_is_mended_only_if_its_rule_is_named() {
    let folder = Folder::new(APP);
    let text = "FROM node:22.11.0\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\n";
    folder.write("Dockerfile", text);
    let output = layerwise(&folder, &["check", "--fix", "--ignore", "missing-ignore-file"]);
    assert_eq!(folder.read("Dockerfile"), text);
    assert_eq!(output.out, "1 hint in 1 file; `--min-level hint` shows the hints\n");
    let output = layerwise(&folder, &["check", "--min-level", "hint", "--ignore", "missing-ignore-file"]);
    assert!(
        output.out.starts_with("hint[missing-cache-mount]: ") && output.out.ends_with("1 can be fixed safely with `--fix`; look at them with `--diff`\n"),
        "{}",
        output.out
    );
    layerwise(&folder, &["check", "--fix", "--select", "missing-cache-mount"]);
    assert!(folder.read("Dockerfile").contains("RUN --mount=type=cache,target=/root/.npm npm ci"));
}

#[test]
fn a_diff_changes_nothing() {
    let folder = Folder::new(APP);
    let output = layerwise(&folder, &["check", ONLY, "--diff"]);
    assert_eq!(output.status, Status::Findings);
    assert!(output.out.starts_with("--- a/Dockerfile\n+++ b/Dockerfile\n@@ -1,5 +1,6 @@\n"), "{}", output.out);
    assert_eq!(folder.read("Dockerfile"), DOCKERFILE);
}

#[test]
fn standard_input_stands_for_a_file() {
    let folder = Folder::new(APP);
    let here = workspace::from_system(folder.path()).unwrap();
    let arguments = ["check", ONLY, "--format", "json", "-", "--stdin-path", "Dockerfile"];
    let output = layerwise_in(&here, &arguments, DOCKERFILE.as_bytes());
    assert_eq!(output.json()["diagnostics"][0]["path"], "Dockerfile");
    assert_eq!(output.json()["files"], 1);
    let output = layerwise_in(&here, &arguments, b"FROM scratch\n");
    assert_eq!(output.status, Status::Clean, "the file on disk is not what is checked: {}", output.out);
    let fixed = layerwise_in(&here, &["check", ONLY, "--fix", "-"], DOCKERFILE.as_bytes());
    assert!(fixed.out.starts_with("FROM ") && fixed.out.find("RUN npm ci") < fixed.out.find("COPY . ."), "{}", fixed.out);
    assert_eq!(folder.read("Dockerfile"), DOCKERFILE);
    assert_eq!(layerwise_in(&here, &["check", "-"], b"\xff").status, Status::Failure);
    assert_eq!(layerwise_in(&here, &["check", "-", "--stdin-path", "values.yaml"], b"a: 1").status, Status::Failure);
}

#[test]
fn configuration_is_found_above_the_file_and_checked() {
    let folder = Folder::new(APP);
    folder.write(".layerwise.yaml", &format!("rules:\n  {RULE}: error\nexclude: [b/]\n"));
    folder.write("b/Dockerfile", DOCKERFILE);
    let json = layerwise(&folder, &["check", ONLY, "--format", "json"]).json();
    assert_eq!(json["diagnostics"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["diagnostics"][0]["level"], "error");
    folder.write(".layerwise.yaml", "ruls: {}\n");
    let json = layerwise(&folder, &["check", ONLY, "--format", "json", "Dockerfile"]).json();
    assert_eq!(json["diagnostics"][0]["path"], ".layerwise.yaml");
    assert!(json["diagnostics"][0]["message"].as_str().unwrap().contains("did you mean `rules`"));
    folder.write("other.yaml", &format!("rules: {{{RULE}: info}}\n"));
    let json = layerwise(&folder, &["check", ONLY, "--format", "json", "--config", "other.yaml", "Dockerfile"]).json();
    assert_eq!(json["diagnostics"][0]["level"], "info");
}

#[test]
fn rules_are_listed_and_explained() {
    let folder = Folder::new(&[]);
    let rules = layerwise(&folder, &["rules", "--format", "json"]).json();
    let rule = rules.as_array().unwrap().iter().find(|it| it["name"] == RULE).unwrap().clone();
    assert_eq!((rule["level"].as_str(), rule["fixes"].as_bool()), (Some("warning"), Some(true)));
    assert!(rule["summary"].as_str().unwrap().len() > 10);
    assert!(layerwise(&folder, &["explain"]).out.contains(RULE));
    let page = layerwise(&folder, &["explain", RULE]);
    assert!(page.out.starts_with(RULE) && !page.out.contains("```"), "{}", page.out);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_out_of_the_workspace_is_not_followed() {
    let outside = Folder::new(&[("Dockerfile", DOCKERFILE)]);
    let folder = Folder::new(APP);
    std::os::unix::fs::symlink(outside.path().join("Dockerfile"), folder.path().join("Dockerfile.link")).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("loop")).unwrap();
    let output = layerwise(&folder, &["check", ONLY, "--format", "json"]);
    assert_eq!((output.status, output.json()["files"].as_u64()), (Status::Findings, Some(1)), "{}", output.err);
    let named = layerwise(&folder, &["check", ONLY, "Dockerfile.link"]);
    assert_eq!(named.status, Status::Failure);
    assert!(named.err.contains("outside the workspace"), "{}", named.err);
}

#[cfg(unix)]
#[test]
fn a_dockerfile_behind_a_link_is_checked_and_fixed_once() {
    let build = "on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {context: .}\n";
    let with_link = |more: &[(&str, &str)]| {
        let text = "FROM debian:12.9\nRUN apt-get update\nRUN apt-get install -y jq\n";
        let folder = Folder::new(&[(".git/HEAD", "ref: refs/heads/main\n"), (".github/workflows/ci.yml", build), ("docker/Dockerfile", text)]);
        more.iter().for_each(|(path, text)| folder.write(path, text));
        std::os::unix::fs::symlink("docker/Dockerfile", folder.path().join("Dockerfile")).unwrap();
        folder
    };
    let found = |folder: &Folder| {
        let json = layerwise(folder, &["check", "--select=split-index-update", "--format", "json"]).json();
        json["diagnostics"].as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let folder = with_link(&[]);
    assert_eq!(found(&folder), ["docker/Dockerfile"]);
    let fixed = layerwise(&folder, &["check", "--select=split-index-update", "--fix"]);
    assert_eq!((fixed.status, fixed.err.as_str()), (Status::Clean, ""));
    assert!(folder.path().join("Dockerfile").is_symlink() && folder.read("docker/Dockerfile").contains("apt-get update && \\"));
    // By each name another context is built.
    assert_eq!(found(&with_link(&[("Dockerfile.dockerignore", "docs\n")])), ["Dockerfile", "docker/Dockerfile"]);
}

/// Two images in one scope, a cache that nobody reads, and one that an expression names.
const CACHES: &[(&str, &str)] = &[
    (".git/HEAD", "ref: refs/heads/main\n"),
    ("api.Dockerfile", "FROM scratch\n"),
    ("web.Dockerfile", "FROM scratch AS app\n"),
    (
        ".github/workflows/ci.yml",
        "on: {push: {branches: [main]}}\njobs:\n  api:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {file: api.Dockerfile, cache-from: type=gha, cache-to: type=gha}\n  web:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {file: web.Dockerfile, target: app, cache-to: type=gha}\n      - uses: docker/build-push-action@v7\n        with: {file: web.Dockerfile, cache-to: 'type=gha,scope=web'}\n      - uses: docker/build-push-action@v7\n        with: {file: web.Dockerfile, cache-from: 'type=gha,scope=${{ inputs.scope }}'}\n",
    ),
    (
        ".github/workflows/release.yml",
        "on: release\njobs:\n  web:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {file: web.Dockerfile, cache-from: 'type=gha,scope=release', cache-to: 'type=gha,scope=release'}\n",
    ),
    ("docker-bake.hcl", "target \"api\" {\n  dockerfile = \"api.Dockerfile\"\n  cache-from = [\"type=registry,ref=org/api:cache\"]\n}\n"),
];

#[test]
fn scopes_show_who_writes_and_who_reads() {
    let folder = Folder::new(CACHES);
    let output = layerwise(&folder, &["scopes"]);
    assert_eq!((output.status, output.err.as_str()), (Status::Clean, ""));
    let expected = "\
gha:buildkit: builds of different images replace each other's cache
  writes .github/workflows/ci.yml:6 api: api.Dockerfile, linux/amd64, on branches
  writes .github/workflows/ci.yml:11 web: web.Dockerfile, stage app, linux/amd64, on branches
  reads  .github/workflows/ci.yml:6 api: api.Dockerfile, linux/amd64, on branches

gha:release: only runs that nobody else can read from write it
  writes .github/workflows/release.yml:6 web: web.Dockerfile, linux/amd64, on tags
  reads  .github/workflows/release.yml:6 web: web.Dockerfile, linux/amd64, on tags

gha:web: written, and never read by a build of this repository
  writes .github/workflows/ci.yml:13 web: web.Dockerfile, linux/amd64, on branches

registry:org/api:cache: read, and never written by a build of this repository
  reads  docker-bake.hcl:1 api: api.Dockerfile

gha:?: an expression decides which one it is
  reads  .github/workflows/ci.yml:15 web: web.Dockerfile, linux/amd64, on branches
";
    assert_eq!(output.out, expected);
}

#[test]
fn scopes_are_there_as_json() {
    let folder = Folder::new(CACHES);
    let json = layerwise(&folder, &["scopes", ".", "--format", "json"]).json();
    let verdicts: Vec<_> = json["locations"].as_array().unwrap().iter().map(|it| (it["location"].as_str().unwrap(), it["verdict"].as_str().unwrap())).collect();
    let expected =
        [("gha:buildkit", "contested"), ("gha:release", "closed"), ("gha:web", "unread"), ("registry:org/api:cache", "unwritten"), ("gha:?", "unknown")];
    assert_eq!(verdicts, expected);
    let writer = &json["locations"][0]["writers"][1];
    assert_eq!(
        *writer,
        json!({
            "path": ".github/workflows/ci.yml", "line": 11, "job": "web", "name": "docker/build-push-action", "dockerfiles": ["web.Dockerfile"],
            "contexts": ["."], "targets": ["app"], "platforms": ["linux/amd64"], "runs": ["branches"]
        })
    );
}

#[test]
fn scopes_of_a_folder_without_caches_are_none() {
    let folder = Folder::new(APP);
    assert_eq!(layerwise(&folder, &["scopes"]).out, "no build uses a cache\n");
    assert_eq!(layerwise(&folder, &["scopes", "nowhere"]).status, Status::Failure);
    assert_eq!(layerwise(&folder, &["scopes", "-"]).status, Status::Failure);
    assert!(layerwise(&folder, &["scopes", "--help"]).out.contains("--format"));
    assert!(layerwise(&folder, &["--help"]).out.contains("Show every cache location"));
}
