//! The server, end to end and in this process.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::*;

const FIXED: &str = "FROM node:22.11.0\nWORKDIR /app\nCOPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nCMD [\"node\", \".\"]\n";

fn edits_of(action: &Value) -> &Value {
    let changes = action["edit"]["documentChanges"].as_array().unwrap();
    &changes.last().unwrap()["edits"]
}

/// Whether all that the rules ask of the disk has come in: until then they say what they miss.
fn settled(report: &Value) -> bool {
    !report.to_string().contains("is not known")
}

#[test]
fn a_document_is_checked_when_it_is_opened_and_cleared_when_it_is_closed() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        assert_eq!(client.initialized["serverInfo"]["name"], "layerwise");
        assert_eq!(client.initialized["capabilities"]["positionEncoding"], "utf-16");
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        let report = client.report(&uri).await;
        let found = of_rule(&report, RULE);
        assert_eq!(found[0]["range"], range((2, 0), (2, 8)));
        assert_eq!(found[0]["severity"], 2);
        assert_eq!(found[0]["source"], "layerwise");
        assert_eq!(found[0]["relatedInformation"][0]["location"]["range"]["start"]["line"], 3);
        assert_eq!(report["version"], 1);
        client.notify("textDocument/didClose", json!({"textDocument": {"uri": uri}})).await;
        let report = client.report_where(&uri, |it| it.get("version").is_none()).await;
        assert_eq!(report["diagnostics"], json!([]));
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        assert!(has(&client.report(&uri).await, RULE));
        assert!(client.stop().await);
    });
}

#[test]
fn after_a_burst_of_changes_reports_come_in_order_and_the_last_is_of_the_last_version() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", "").await;
        // Typed letter by letter from the end, so that only all edits in their order make the text.
        let text: Vec<char> = DOCKERFILE.chars().collect();
        let versions = text.len() as i32 + 1;
        for (version, letter) in (2..).zip(text.iter().rev()) {
            client.change(&uri, version, json!([{"range": range((0, 0), (0, 0)), "text": letter.to_string()}])).await;
        }
        let mut last = 0;
        let report = loop {
            let report = client.report(&uri).await;
            let version = report["version"].as_i64().unwrap();
            assert!(version >= last, "{version} after {last}");
            last = version;
            if version == i64::from(versions) && has(&report, RULE) {
                break report;
            }
        };
        assert_eq!(of_rule(&report, RULE)[0]["range"], range((2, 0), (2, 8)));
    });
}

#[test]
fn edits_that_wait_together_are_made_in_their_order_each_in_its_document() {
    run(async {
        let folder = Folder::new(APP);
        let (one, two) = (folder.uri("Dockerfile"), folder.uri("other.Dockerfile"));
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&one, "dockerfile", "FROM node:22.11.0\nRUN npm ci\n").await;
        client.open(&two, "dockerfile", "FROM node:22.11.0\nRUN npm ci\n").await;
        // Each goes where there is something only because of the one before it.
        for (uri, version, line, text) in [(&one, 2, 1, "WORKDIR /app\n"), (&two, 2, 0, "# a\n# b\n"), (&one, 3, 2, "COPY . .\n"), (&two, 3, 3, "COPY . .\n")] {
            client.change(uri, version, json!([{"range": range((line, 0), (line, 0)), "text": text}])).await;
        }
        client.notify("textDocument/didClose", json!({"textDocument": {"uri": two}})).await;
        client.open(&two, "dockerfile", "FROM node:22.11.0\n\nCOPY . .\nRUN npm ci\n").await;
        client.change(&two, 2, json!([{"range": range((1, 0), (2, 0)), "text": ""}])).await;
        let report = client.report_where(&one, |it| it["version"] == 3 && has(it, RULE)).await;
        assert_eq!(of_rule(&report, RULE)[0]["range"], range((2, 0), (2, 8)));
        let report = client.report_where(&two, |it| it["version"] == 2 && has(it, RULE)).await;
        assert_eq!(of_rule(&report, RULE)[0]["range"], range((1, 0), (1, 8)));
    });
}

#[test]
fn positions_count_in_the_encoding_that_was_agreed_on() {
    for (offered, agreed, character) in [(json!(["utf-8", "utf-16"]), "utf-8", 14), (json!(["utf-16"]), "utf-16", 12), (json!(["utf-32"]), "utf-32", 11)] {
        run(async {
            let folder = Folder::new(APP);
            let uri = folder.uri("Dockerfile");
            let mut capabilities = capabilities();
            capabilities["general"]["positionEncodings"] = offered.clone();
            let mut client = Client::start(&folder, capabilities).await;
            assert_eq!(client.initialized["capabilities"]["positionEncoding"], agreed);
            client.open(&uri, "dockerfile", "FROM a\nRUN echo 😀x\nCOPY . .\nRUN npm ci\n").await;
            // Behind the smiley there is one letter; it goes away, and so does the next line with it.
            client.change(&uri, 2, json!([{"range": range((1, character - if agreed == "utf-8" { 1 } else { 0 }), (2, 8)), "text": "\n"}])).await;
            let report = client.report_where(&uri, |it| it["version"] == 2).await;
            assert!(!has(&report, RULE), "{report}");
            client.change(&uri, 3, json!([{"range": range((2, 0), (2, 0)), "text": "COPY . .\n"}])).await;
            let report = client.report_where(&uri, |it| it["version"] == 3).await;
            assert_eq!(of_rule(&report, RULE)[0]["range"], range((2, 0), (2, 8)));
        });
    }
}

#[test]
fn line_endings_of_all_kinds_keep_their_place() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", &DOCKERFILE.replace('\n', "\r\n")).await;
        let report = client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        assert_eq!(of_rule(&report, RULE)[0]["range"], range((2, 0), (2, 8)));
        let actions = client.actions(&uri, range((2, 0), (2, 0)), json!(["quickfix"])).await;
        let fix = actions.iter().find(|it| it["isPreferred"] == true).unwrap();
        assert_eq!(apply(&DOCKERFILE.replace('\n', "\r\n"), edits_of(fix)), FIXED.replace('\n', "\r\n"));
    });
}

#[test]
fn changes_that_do_not_fit_are_brought_inside() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", "FROM a\n").await;
        client.change(&uri, 2, json!([{"range": range((90, 9), (99, 9)), "text": "COPY . .\n"}])).await;
        client.change(&uri, 3, json!([{"range": range((4, 9), (2, 1)), "text": "RUN npm ci\n"}])).await;
        let report = client.report_where(&uri, |it| it["version"] == 3).await;
        assert_eq!(of_rule(&report, RULE)[0]["range"], range((1, 0), (1, 8)));
        // The whole text; and a version that goes backwards.
        client.change(&uri, 1, json!([{"text": "FROM a\n"}])).await;
        let report = client.report_where(&uri, |it| it["version"] == 1).await;
        assert!(!has(&report, RULE));
        // Documents that were never opened.
        client.change("file:///nowhere/Dockerfile", 2, json!([{"text": "x"}])).await;
        client.notify("textDocument/didClose", json!({"textDocument": {"uri": "file:///nowhere/Dockerfile"}})).await;
        assert_eq!(client.actions_of_unknown("file:///nowhere/Dockerfile").await, Value::Null);
        assert!(client.stop().await);
    });
}

impl Client {
    async fn actions_of_unknown(&mut self, uri: &str) -> Value {
        let params = json!({"textDocument": {"uri": uri}, "range": range((0, 0), (0, 0)), "context": {"diagnostics": []}});
        self.request("textDocument/codeAction", params).await["result"].clone()
    }
}

#[test]
fn messages_that_are_none_are_answered_and_the_server_lives_on() {
    run(async {
        let mut client = Client::silent();
        client.send("{").await;
        assert_eq!(client.wait(|it| it.get("error").is_some()).await["error"]["code"], -32700);
        client.send("[1]").await;
        assert_eq!(client.wait(|it| it.get("error").is_some()).await["error"]["code"], -32600);
        client.send_raw(b"Content-Length: 2\r\n\r\n\xff\xfe").await;
        assert_eq!(client.wait(|it| it.get("error").is_some()).await["error"]["code"], -32700);
        client.send_raw(b"What is this?\r\n\r\n").await;
        assert_eq!(client.wait(|it| it.get("error").is_some()).await["error"]["code"], -32700);
        let early = client.request("textDocument/hover", json!({})).await;
        assert_eq!(early["error"]["code"], -32002);
        let answer = client.request("initialize", json!({"capabilities": {}})).await;
        assert_eq!(answer["result"]["capabilities"]["positionEncoding"], "utf-16");
        client.notify("initialized", json!({})).await;
        assert_eq!(client.request("layerwise/nonsense", json!({})).await["error"]["code"], -32601);
        assert_eq!(client.request("textDocument/hover", json!({"x": 1})).await["error"]["code"], -32602);
        client.notify("textDocument/didOpen", json!({"textDocument": 3})).await;
        client.notify("$/unknown", json!({})).await;
        assert!(client.stop().await);
    });
}

#[test]
fn a_client_that_leaves_without_a_word_is_not_waited_for() {
    run(async {
        let folder = Folder::new(APP);
        let client = Client::start(&folder, capabilities()).await;
        assert!(!client.vanish().await);
    });
}

/// Capabilities of a client that asks for diagnostics.
fn pulling() -> Value {
    let mut capabilities = capabilities();
    capabilities["textDocument"]["diagnostic"] = json!({});
    capabilities["workspace"]["diagnostics"] = json!({"refreshSupport": true});
    capabilities
}

#[test]
fn a_client_that_asks_for_diagnostics_gets_none_unasked() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, pulling()).await;
        assert_eq!(client.initialized["capabilities"]["diagnosticProvider"]["interFileDependencies"], true);
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        let params = json!({"textDocument": {"uri": uri}});
        let answer = client.request("textDocument/diagnostic", params.clone()).await["result"].clone();
        assert_eq!(answer["kind"], "full");
        assert!(answer["items"].as_array().unwrap().iter().any(|it| it["code"] == RULE));
        // What is asked again and did not change is not sent again; facts from disk may still come in.
        let mut last = answer["resultId"].clone();
        loop {
            let again = client.request("textDocument/diagnostic", json!({"textDocument": {"uri": uri}, "previousResultId": last})).await["result"].clone();
            if again["kind"] == "unchanged" {
                break;
            }
            last = again["resultId"].clone();
        }
        // The ignore file goes: the same text has other findings now, and the client is told.
        std::fs::remove_file(folder.path().join(".dockerignore")).unwrap();
        client.notify("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": folder.uri(".dockerignore"), "type": 3}]})).await;
        // What the rules ask of the disk comes in rounds, each with a refresh of its own.
        loop {
            client.wait(|it| it["method"] == "workspace/diagnostic/refresh").await;
            let answer = client.request("textDocument/diagnostic", params.clone()).await["result"].clone();
            if answer["items"].as_array().unwrap().iter().any(|it| it["code"] == "missing-ignore-file") {
                break;
            }
        }
        let other = client.request("textDocument/diagnostic", json!({"textDocument": {"uri": "file:///nowhere"}})).await;
        assert_eq!(other["result"]["items"], json!([]));
        client.request("shutdown", Value::Null).await;
        assert!(client.nothing_published());
    });
}

impl Client {
    fn nothing_published(&self) -> bool {
        self.inbox_methods().iter().all(|it| it != "textDocument/publishDiagnostics")
    }
}

/// What a client that asks for diagnostics shows of one document.
struct Shown {
    uri: String,
    /// The questions that are not answered yet.
    open: BTreeSet<i64>,
    last: Value,
    items: Value,
}

impl Shown {
    async fn ask(&mut self, client: &mut Client) {
        let params = json!({"textDocument": {"uri": self.uri}, "previousResultId": self.last});
        self.open.insert(client.ask("textDocument/diagnostic", params).await);
    }

    /// Takes answers in, and asks again when told to, until nothing is open and the rule is found or not.
    async fn settle(&mut self, client: &mut Client, found: bool) {
        while !self.open.is_empty() || self.items.to_string().contains(RULE) != found {
            let message = client.wait(|it| it["method"] == "workspace/diagnostic/refresh" || it.get("method").is_none()).await;
            if message.get("method").is_some() {
                self.ask(client).await;
            } else if self.open.remove(&message["id"].as_i64().unwrap()) && message.get("result").is_some() {
                self.last = message["result"]["resultId"].clone();
                if message["result"]["kind"] == "full" {
                    self.items = message["result"]["items"].clone();
                }
            }
        }
    }
}

/// Settings change while questions are under way, some of which are taken back.
#[test]
fn a_client_that_asks_ends_with_what_holds_last_however_answers_and_changes_cross() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, pulling()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        let mut shown = Shown { uri, open: BTreeSet::new(), last: Value::Null, items: Value::Null };
        shown.ask(&mut client).await;
        shown.settle(&mut client, true).await;
        for round in 0..60 {
            // Each change alone and two in a row, the second of which takes back the first.
            let levels = [&["off"] as &[&str], &["warning", "off"], &["warning"], &["off", "warning"]][round % 4];
            for level in levels {
                for _ in 0..round % 3 {
                    shown.ask(&mut client).await;
                }
                client.notify("workspace/didChangeConfiguration", json!({"settings": {"rules": {RULE: level}}})).await;
                shown.ask(&mut client).await;
            }
            if let Some(taken_back) = shown.open.first().filter(|_| round % 5 == 0) {
                client.notify("$/cancelRequest", json!({"id": taken_back})).await;
            }
            shown.settle(&mut client, levels.last() == Some(&"warning")).await;
        }
        assert!(client.stop().await);
    });
}

#[test]
fn fixes_are_versioned_and_the_best_safe_one_is_preferred() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        let actions = client.actions(&uri, range((2, 3), (2, 3)), Value::Null).await;
        let preferred: Vec<_> = actions.iter().filter(|it| it["isPreferred"] == true && it["diagnostics"][0]["code"] == RULE).collect();
        assert_eq!(preferred.len(), 1);
        assert_eq!(preferred[0]["kind"], "quickfix");
        assert_eq!(preferred[0]["edit"]["documentChanges"][0]["textDocument"], json!({"uri": uri, "version": 1}));
        assert_eq!(apply(DOCKERFILE, edits_of(preferred[0])), FIXED);
        assert!(client.actions(&uri, range((0, 0), (0, 1)), Value::Null).await.iter().all(|it| it["diagnostics"][0]["code"] != RULE));
    });
}

#[test]
fn all_safe_fixes_are_one_action() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        let actions = client.actions(&uri, range((0, 0), (0, 0)), json!(["source.fixAll"])).await;
        assert_eq!(actions.len(), 1, "{actions:?}");
        assert_eq!(actions[0]["kind"], "source.fixAll.layerwise");
        let fixed = apply(DOCKERFILE, edits_of(&actions[0]));
        client.change(&uri, 2, json!([{"text": fixed}])).await;
        let report = client.report_where(&uri, |it| it["version"] == 2).await;
        assert!(!has(&report, RULE), "{fixed}");
        assert_eq!(client.actions(&uri, range((0, 0), (0, 0)), json!(["source.fixAll"])).await, Vec::<Value>::new());
    });
}

#[test]
fn a_finding_can_be_ignored_where_it_is() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        let actions = client.actions(&uri, range((2, 0), (2, 0)), json!(["quickfix"])).await;
        let ignore = actions.iter().find(|it| it["title"] == format!("Ignore `{RULE}` here")).unwrap();
        let text = apply(DOCKERFILE, edits_of(ignore));
        assert_eq!(text, DOCKERFILE.replace("COPY", &format!("# layerwise: ignore[{RULE}]\nCOPY")));
        client.change(&uri, 2, json!([{"text": text}])).await;
        assert!(!has(&client.report_where(&uri, |it| it["version"] == 2).await, RULE));
    });
}

#[test]
fn a_client_that_cannot_create_files_is_not_asked_to() {
    let files: Vec<_> = APP.iter().filter(|(path, _)| *path != ".dockerignore").copied().collect();
    for creates in [true, false] {
        run(async {
            let folder = Folder::new(&files);
            let uri = folder.uri("Dockerfile");
            let mut capabilities = capabilities();
            if !creates {
                capabilities["workspace"]["workspaceEdit"] = json!({});
            }
            let mut client = Client::start(&folder, capabilities).await;
            client.open(&uri, "dockerfile", DOCKERFILE).await;
            client.report_where(&uri, |it| has(it, "missing-ignore-file")).await;
            let actions = client.actions(&uri, range((0, 0), (9, 0)), json!(["quickfix"])).await;
            let fixes = actions.iter().filter(|it| it["edit"]["documentChanges"][0]["kind"] == "create").count();
            assert_eq!(fixes > 0, creates, "{actions:?}");
            let ignore = actions.iter().find(|it| it["title"] == "Ignore `missing-ignore-file` here").unwrap();
            assert_eq!(ignore["edit"].get("changes").is_some(), !creates);
        });
    }
}

#[test]
fn a_change_on_disk_is_noticed() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut capabilities = capabilities();
        capabilities["workspace"]["didChangeWatchedFiles"] = json!({"dynamicRegistration": true});
        let mut client = Client::start(&folder, capabilities).await;
        client.wait(|it| it["method"] == "client/registerCapability").await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && !has(it, "missing-ignore-file")).await;
        std::fs::remove_file(folder.path().join(".dockerignore")).unwrap();
        client.notify("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": folder.uri(".dockerignore"), "type": 3}]})).await;
        client.report_where(&uri, |it| has(it, "missing-ignore-file")).await;
    });
}

#[test]
fn an_open_buffer_counts_more_than_the_disk() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let config = folder.uri(".layerwise.yaml");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        client.open(&config, "yaml", &format!("rules:\n  {RULE}: off\n  unknown-rule: off\n")).await;
        client.report_where(&uri, |it| !has(it, RULE)).await;
        let report = client.report(&config).await;
        assert_eq!(of_rule(&report, "configuration")[0]["range"], range((2, 2), (2, 14)));
        client.notify("textDocument/didClose", json!({"textDocument": {"uri": config}})).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
    });
}

#[test]
fn settings_of_the_editor_count() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let settings = |level: &str| json!({"rules": {RULE: level}});
        let mut client = Client::start_with(json!({
            "capabilities": capabilities(),
            "rootUri": folder.uri(""),
            "initializationOptions": {"rules": {RULE: "error"}, "colour": 1},
        }))
        .await;
        let message = client.wait(|it| it["method"] == "window/showMessage").await;
        assert!(message["params"]["message"].as_str().unwrap().contains("no key `colour`"), "{message}");
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        let report = client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        assert_eq!(of_rule(&report, RULE)[0]["severity"], 1);
        client.notify("workspace/didChangeConfiguration", json!({"settings": {"layerwise": settings("off")}})).await;
        client.report_where(&uri, |it| !has(it, RULE)).await;
        client.stop().await;

        let mut capabilities = capabilities();
        capabilities["workspace"]["configuration"] = json!(true);
        let mut client = Client::silent();
        client.settings = settings("hint");
        let folders = json!([{"uri": folder.uri(""), "name": "x"}]);
        let options = settings("error");
        client.request("initialize", json!({"capabilities": capabilities, "workspaceFolders": folders, "initializationOptions": options})).await;
        client.notify("initialized", json!({})).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && of_rule(it, RULE)[0]["severity"] == 4).await;
        client.settings = settings("info");
        client.notify("workspace/didChangeConfiguration", json!({"settings": null})).await;
        client.report_where(&uri, |it| of_rule(it, RULE)[0]["severity"] == 3).await;
        // Settings that are taken back leave those of the first message.
        client.settings = Value::Null;
        client.notify("workspace/didChangeConfiguration", json!({"settings": {}})).await;
        client.report_where(&uri, |it| of_rule(it, RULE)[0]["severity"] == 1).await;
    });
}

#[test]
fn a_document_that_is_no_file_is_checked_without_the_disk() {
    run(async {
        let folder = Folder::new(APP);
        let mut client = Client::start(&folder, capabilities()).await;
        for uri in ["untitled:Untitled-1", "vscode-vfs://github/o/r/Dockerfile"] {
            client.open(uri, "dockerfile", DOCKERFILE).await;
            let report = client.report(uri).await;
            assert_eq!(report["version"], 1);
        }
        // Not ours by name nor by language: silence, and no fault.
        client.open(&folder.uri("values.yaml"), "yaml", "a: 1\n").await;
        client.open("file:///a/[id]/Dockerfile", "dockerfile", DOCKERFILE).await;
        client.report("file:///a/%5Bid%5D/Dockerfile").await;
        assert!(client.stop().await);
    });
}

#[test]
fn the_answer_to_a_later_question_for_settings_counts_however_late_one_to_an_earlier_comes() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut capabilities = capabilities();
        capabilities["workspace"]["configuration"] = json!(true);
        let mut client = Client::silent();
        client.answers = false;
        let folders = json!([{"uri": folder.uri(""), "name": "x"}]);
        client.request("initialize", json!({"capabilities": capabilities, "workspaceFolders": folders})).await;
        client.notify("initialized", json!({})).await;
        client.notify("workspace/didChangeConfiguration", json!({"settings": null})).await;
        let first = client.wait(|it| it["method"] == "workspace/configuration").await;
        let second = client.wait(|it| it["method"] == "workspace/configuration").await;
        for (question, level) in [(second, "hint"), (first, "off")] {
            client.settings = json!({"rules": {RULE: level}});
            client.answer(&question).await;
        }
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && of_rule(it, RULE)[0]["severity"] == 4).await;
        // Asked after both answers were taken in.
        client.change(&uri, 2, json!([{"text": DOCKERFILE}])).await;
        let report = client.report_where(&uri, |it| it["version"] == 2).await;
        assert_eq!(of_rule(&report, RULE)[0]["severity"], 4);
        assert!(client.stop().await);
    });
}

#[test]
fn a_request_can_be_cancelled() {
    run_without_threads(async |release| {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        let params = json!({"textDocument": {"uri": uri}, "range": range((0, 0), (9, 0)), "context": {"diagnostics": []}});
        let request = client.ask("textDocument/codeAction", params).await;
        client.notify("$/cancelRequest", json!({"id": request})).await;
        let answer = client.wait(|it| it["id"] == request && it.get("method").is_none()).await;
        assert_eq!(answer["error"]["code"], -32800, "{answer}");
        // What was taken back stands in nobody's way.
        drop(release);
        assert!(has(&client.report(&uri).await, RULE));
        assert!(client.stop().await);
    });
}

#[test]
fn reading_a_workspace_is_shown_to_clients_that_show_it_once_it_takes_long() {
    run_without_threads(async |release| {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut plain = Client::start(&folder, capabilities()).await;
        let mut showing = capabilities();
        showing["window"] = json!({"workDoneProgress": true});
        let mut client = Client::start(&folder, showing).await;

        let create = client.wait(|it| it["method"] == "window/workDoneProgress/create").await;
        let begin = client.wait(|it| it["method"] == "$/progress").await;
        assert_eq!(begin["params"]["token"], create["params"]["token"]);
        assert_eq!(begin["params"]["value"], json!({"kind": "begin", "title": "Layerwise", "message": "reading workflows", "cancellable": false}));
        drop(release);
        let end = client.wait(|it| it["method"] == "$/progress").await;
        assert_eq!((&end["params"]["token"], &end["params"]["value"]["kind"]), (&create["params"]["token"], &json!("end")));
        assert!(client.stop().await);

        // The other one was there before, and waited as long.
        plain.open(&uri, "dockerfile", DOCKERFILE).await;
        plain.report(&uri).await;
        plain.request("shutdown", Value::Null).await;
        assert!(plain.inbox_methods().iter().all(|it| !it.contains("rogress")), "{:?}", plain.inbox_methods());
    });
}

#[test]
fn hover_tells_about_the_rule() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;
        let hover = client.request("textDocument/hover", json!({"textDocument": {"uri": uri}, "position": {"line": 2, "character": 2}})).await;
        assert!(hover["result"]["contents"]["value"].as_str().unwrap().contains(RULE), "{hover}");
    });
}

/// Capabilities of a client that completes.
fn completing() -> Value {
    let mut capabilities = capabilities();
    capabilities["textDocument"]["completion"] = json!({});
    capabilities
}

impl Client {
    async fn completions(&mut self, uri: &str, position: (u32, u32)) -> Value {
        let position = json!({"line": position.0, "character": position.1});
        self.request("textDocument/completion", json!({"textDocument": {"uri": uri}, "position": position})).await["result"].clone()
    }
}

#[test]
fn completion_is_announced_to_clients_that_complete() {
    run(async {
        let folder = Folder::new(APP);
        let client = Client::start(&folder, capabilities()).await;
        assert_eq!(client.initialized["capabilities"]["completionProvider"], Value::Null);
        let client = Client::start(&folder, completing()).await;
        assert_eq!(client.initialized["capabilities"]["completionProvider"]["triggerCharacters"], json!(["[", ","]));
    });
}

#[test]
fn names_of_rules_are_completed_in_comments_that_suppress() {
    run(async {
        let folder = Folder::new(APP);
        let uri = folder.uri("Dockerfile");
        let mut client = Client::start(&folder, completing()).await;
        client.open(&uri, "dockerfile", &DOCKERFILE.replace("COPY", "# 🚀 is no such comment\n# layerwise: ignore[unused-arg,\nCOPY")).await;
        client.report_where(&uri, |it| has(it, RULE) && settled(it)).await;

        let mut items = client.completions(&uri, (3, 31)).await.as_array().unwrap().clone();
        items.sort_by_key(|it| it["sortText"].as_str().unwrap().to_owned());
        // What is found below comes first.
        assert_eq!(items[0]["label"], RULE);
        assert_eq!(items[0]["documentation"], "Dependencies are installed after the sources are copied");
        assert_eq!(items[0]["textEdit"], json!({"range": range((3, 31), (3, 31)), "newText": format!(" {RULE}")}));
        let labels: Vec<&str> = items.iter().map(|it| it["label"].as_str().unwrap()).collect();
        assert!(labels.contains(&"floating-base-image") && !labels.contains(&"unused-arg") && !labels.contains(&"min-cache-mode"));

        // A name that is there is replaced as a whole, wherever the cursor is in it.
        let items = client.completions(&uri, (3, 24)).await;
        assert_eq!(items[0]["textEdit"]["range"], range((3, 20), (3, 30)));
        for elsewhere in [(2, 5), (3, 5), (3, 19), (4, 4), (5, 8), (99, 0)] {
            assert_eq!(client.completions(&uri, elsewhere).await, Value::Null, "{elsewhere:?}");
        }
        assert!(client.stop().await);
    });
}

#[test]
fn nothing_is_completed_in_files_and_texts_that_are_not_ours() {
    run(async {
        let folder = Folder::new(APP);
        let mut client = Client::start(&folder, completing()).await;
        let text = "on: push\n# layerwise: ignore[\njobs:\n  a:\n    steps:\n      - run: |\n          # layerwise: ignore[\n";
        let workflow = folder.uri(".github/workflows/ci.yml");
        client.open(&workflow, "yaml", text).await;
        assert!(client.completions(&workflow, (1, 20)).await.as_array().is_some_and(|it| it.iter().any(|it| it["label"] == "min-cache-mode")));
        assert_eq!(client.completions(&workflow, (6, 30)).await, Value::Null);
        for (path, language) in [("values.yaml", "yaml"), ("notes.txt", "plaintext"), (".layerwise.yaml", "yaml")] {
            let uri = folder.uri(path);
            client.open(&uri, language, text).await;
            assert_eq!(client.completions(&uri, (1, 20)).await, Value::Null, "{path}");
        }
        assert_eq!(client.completions("file:///nowhere/Dockerfile", (1, 20)).await, Value::Null);
        assert!(client.stop().await);
    });
}

#[test]
fn folders_come_and_go() {
    run(async {
        let folder = Folder::new(APP);
        let other = Folder::new(APP);
        let uri = other.uri("Dockerfile");
        let mut client = Client::start(&folder, capabilities()).await;
        let event = |added: Value, removed: Value| json!({"event": {"added": added, "removed": removed}});
        let item = json!([{"uri": other.uri(""), "name": "other"}]);
        client.notify("workspace/didChangeWorkspaceFolders", event(item.clone(), json!([]))).await;
        client.open(&uri, "dockerfile", DOCKERFILE).await;
        client.report_where(&uri, |it| has(it, RULE) && !has(it, "missing-ignore-file")).await;
        client.notify("workspace/didChangeWorkspaceFolders", event(json!([]), item)).await;
        assert!(client.stop().await);
    });
}
