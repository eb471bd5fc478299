//! The same workspace through both doors: the command line and the server find the same, at the same
//! places, and offer the same edits.

mod support;

use layerwise::cli::{Console, Task, run};
use layerwise::workspace;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use support::{APP, Client, DOCKERFILE, Folder, apply, capabilities, range};

/// Rule, line, column, end line and end column, message; all counted from zero.
type Finding = (String, [u64; 4], String);

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// What the command line finds in each file, and the texts that its fixes make.
fn through_the_command_line(folder: &Folder) -> BTreeMap<String, (BTreeSet<Finding>, BTreeSet<String>)> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let here = workspace::from_system(folder.path()).unwrap();
    let mut console = Console { folder: here, input: &mut std::io::empty(), output: &mut out, messages: &mut err, color: false, progress: false };
    let arguments = ["layerwise", "check", "--format", "json"].map(Into::into);
    assert!(matches!(run(arguments, &mut console), Ok(Task::Done(_))), "{}", String::from_utf8_lossy(&err));
    let json: Value = serde_json::from_slice(&out).unwrap();
    let mut res: BTreeMap<String, (BTreeSet<Finding>, BTreeSet<String>)> = BTreeMap::new();
    for it in json["diagnostics"].as_array().unwrap() {
        let path = it["path"].as_str().unwrap();
        let at = |end: &str, part: &str| number(&it["range"][end][part]) - 1;
        let place = [at("start", "line"), at("start", "column"), at("end", "line"), at("end", "column")];
        let (found, fixed) = res.entry(path.to_owned()).or_default();
        found.insert((it["rule"].as_str().unwrap().to_owned(), place, it["message"].as_str().unwrap().to_owned()));
        for fix in it["fixes"].as_array().unwrap() {
            let edits = fix["edits"].as_array().unwrap();
            if edits.iter().all(|it| it["path"] == path) {
                let mut text = folder.read(path);
                for edit in edits.iter().rev() {
                    text.replace_range(number(&edit["start"]) as usize..number(&edit["end"]) as usize, edit["text"].as_str().unwrap());
                }
                fixed.insert(text);
            }
        }
    }
    res
}

/// What the server finds in a file once nothing new comes, and the texts that its fixes make.
async fn through_the_server(
    client: &mut Client,
    uri: &str,
    text: &str,
    expected: &BTreeSet<Finding>,
    expected_fixed: &BTreeSet<String>,
) -> (BTreeSet<Finding>, BTreeSet<String>) {
    let findings = |report: &Value| -> BTreeSet<Finding> {
        let found = report["diagnostics"].as_array().unwrap().iter().map(|it| {
            let (start, end) = (&it["range"]["start"], &it["range"]["end"]);
            let place = [number(&start["line"]), number(&start["character"]), number(&end["line"]), number(&end["character"])];
            (it["code"].as_str().unwrap().to_owned(), place, it["message"].as_str().unwrap().to_owned())
        });
        found.collect()
    };
    // What is on disk comes in bit by bit; the last report is the one that has to agree.
    let report = client.report_where(uri, |it| findings(it) == *expected).await;
    // Folders are read in the background, and a fix that needs one is there when it has come in.
    let mut fixed = BTreeSet::new();
    for _ in 0..MAX_REQUESTS {
        let actions = client.actions(uri, range((0, 0), (u32::MAX >> 1, 0)), json!(["quickfix"])).await;
        let fixes = actions.iter().filter(|it| !it["title"].as_str().unwrap().starts_with("Ignore"));
        let changes = fixes.map(|it| it["edit"]["documentChanges"].as_array().unwrap()).filter(|it| it.len() == 1 && it[0]["textDocument"]["uri"] == uri);
        fixed = changes.map(|it| apply(text, &it[0]["edits"])).collect();
        if fixed == *expected_fixed {
            break;
        }
    }
    (findings(&report), fixed)
}

/// Many more requests than the reading of a folder takes.
const MAX_REQUESTS: usize = 2000;

fn check(files: &[(&str, &str)]) {
    let folder = Folder::new(files);
    let expected = through_the_command_line(&folder);
    support::run(async {
        let mut capabilities = capabilities();
        // Columns of the command line are characters.
        capabilities["general"]["positionEncodings"] = json!(["utf-32"]);
        let mut client = Client::start(&folder, capabilities).await;
        for (path, text) in files {
            let Some((found, fixed)) = expected.get(*path) else { continue };
            let uri = folder.uri(path);
            let language = if path.ends_with(".yml") { "yaml" } else { "dockerfile" };
            client.open(&uri, language, text).await;
            let (server_found, server_fixed) = through_the_server(&mut client, &uri, text, found, fixed).await;
            assert_eq!(server_found, *found, "{path}");
            assert_eq!(server_fixed, *fixed, "{path}");
        }
    });
    assert!(!expected.is_empty());
}

const WORKFLOW: &str = "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v5\n      - uses: docker/setup-buildx-action@v3\n      - uses: docker/build-push-action@v6\n        with:\n          context: .\n";

#[test]
fn an_application() {
    check(APP);
}

#[test]
fn an_application_and_its_workflow() {
    let mut files = APP.to_vec();
    files.push((".github/workflows/ci.yml", WORKFLOW));
    check(&files);
}

#[test]
fn no_ignore_file_and_a_configuration() {
    let mut files: Vec<_> = APP.iter().filter(|(path, _)| *path != ".dockerignore").copied().collect();
    files.push((".layerwise.yaml", "rules:\n  copy-before-install: error\n"));
    files.push(("sub/Dockerfile", DOCKERFILE));
    check(&files);
}
