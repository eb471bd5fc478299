//! The real builder judges the safe fixes: a fixed Dockerfile makes the same image, and a change that the finding speaks of
//! makes it run fewer steps.
//!
//! `tests/builder/fixes/run` starts it, beside an engine; plain `cargo test` leaves it out.

#[path = "../../support/conditions.rs"]
#[allow(dead_code, reason = "other tests demand more of a workspace")]
mod conditions;
mod docker;
mod generate;
mod image;
mod installs;
mod judge;
#[path = "../progress.rs"]
mod progress;
mod workspace;

use conditions::{Files, ROOT};
use judge::{Failure, Verdict, judge};
use layerwise::dockerfile::split_reference;
use layerwise::facts;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, process, thread};
use workspace::{Case, Change, cases};

/// A build mostly waits, so that some more than there are processors pay.
const WORKERS: usize = 4;

/// The image in place of others, with a tag for each whose configuration counts.
const SHIMS: &str = "layerwise-shims";

/// What the Dockerfiles of public images say, as far as it is of use to their package managers.
const CONFIGURED: &[(&str, &[&str])] = &[
    ("golang", &["WORKDIR /go", "ENV GOPATH=/go GOTOOLCHAIN=local PATH=/go/bin:$PATH"]),
    (
        "rust",
        &[
            "ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH",
            "RUN mkdir -p /usr/local/cargo && chmod a+w /usr/local/cargo",
        ],
    ),
    ("ruby", &["ENV GEM_HOME=/usr/local/bundle BUNDLE_APP_CONFIG=/usr/local/bundle PATH=/usr/local/bundle/bin:$PATH"]),
    ("composer", &["WORKDIR /app", "ENV COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_HOME=/tmp"]),
    ("php", &["WORKDIR /var/www/html"]),
    ("gradle", &["WORKDIR /home/gradle", "ENV GRADLE_HOME=/opt/gradle"]),
    ("bun", &["WORKDIR /home/bun/app"]),
];

/// What stands in for an image.
fn shims_for(image: &str) -> String {
    let (name, ..) = split_reference(image);
    let name = name.rsplit('/').next().unwrap_or(name);
    let tag = CONFIGURED.iter().find(|it| it.0 == name).map_or("plain", |it| it.0);
    format!("{SHIMS}:{tag}")
}

/// What came of the cases, by the rules whose findings are fixed.
#[derive(Default)]
struct Table(BTreeMap<String, Row>);

#[derive(Default)]
struct Row {
    cases: usize,
    refused: usize,
    equal: usize,
    counted: usize,
    before: usize,
    after: usize,
}

impl Table {
    fn add(&mut self, rule: &str, result: &Result<Verdict, Failure>) {
        let row = self.0.entry(rule.to_owned()).or_default();
        row.cases += 1;
        match result {
            Ok(Verdict { ran }) => {
                row.equal += 1;
                if let Some((before, after)) = ran {
                    row.counted += 1;
                    row.before += before;
                    row.after += after;
                }
            }
            Err(Failure::Refused(_)) => row.refused += 1,
            Err(Failure::Wrong(_)) => {}
        }
    }

    fn print(&self, title: &str) {
        println!("\n{title}");
        println!("| rule | cases | does not build | equal | changed | steps before | steps after |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for (rule, row) in &self.0 {
            println!("| {rule} | {} | {} | {} | {} | {} | {} |", row.cases, row.refused, row.equal, row.counted, row.before, row.after);
        }
    }
}

#[test]
fn safe_fixes_of_all_fixtures_keep_the_image() {
    prepare();
    let cases = without_doubles(fixtures().iter().flat_map(cases));
    assert!(cases.len() >= 100, "too few fixtures have a safe fix: {}", cases.len());
    let table = Mutex::new(Table::default());
    let failures = Mutex::new(Vec::new());
    let refused = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = in_folder(|folder| judge(case, folder, Some(shims_for), &word()));
                    table.lock().unwrap().add(&case.rule, &result);
                    match result {
                        Ok(_) => {}
                        Err(Failure::Refused(message)) => refused.lock().unwrap().push(format!("{message}\n{}", case.before[&case.dockerfile])),
                        Err(Failure::Wrong(message)) => failures.lock().unwrap().push(message),
                    }
                }
            });
        }
    });
    let table = table.into_inner().unwrap();
    table.print("Fixtures");
    let (failures, refused) = (failures.into_inner().unwrap(), refused.into_inner().unwrap());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // A fixture need not be a project that builds, but most are.
    assert!(refused.len() * 8 <= cases.len(), "too many fixtures do not build:\n{}", refused.join("\n\n"));
    let unjudged: Vec<&String> = table.0.iter().filter(|(rule, row)| !rule.contains(" + ") && row.equal == 0).map(|it| it.0).collect();
    assert!(unjudged.is_empty(), "nothing that these fix builds: {unjudged:?}\n{}", refused.join("\n\n"));
}

/// Cases that differ in more than workflows, which no build reads.
fn without_doubles(cases: impl Iterator<Item = Case>) -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let read = |files: &Files| -> Files { files.iter().filter(|it| !it.0.contains("/.github/")).map(|it| (it.0.clone(), it.1.clone())).collect() };
    cases.filter(|it| seen.insert((it.rule.clone(), it.targets.clone(), read(&it.before), read(&it.after)))).collect()
}

#[test]
fn safe_fixes_of_generated_files_keep_the_image() {
    prepare();
    let count = number("LAYERWISE_FIX_CASES").unwrap_or(25);
    let seed = number("LAYERWISE_FIX_SEED").unwrap_or_else(now);
    println!("LAYERWISE_FIX_CASES={count} LAYERWISE_FIX_SEED={seed}");
    let table = Arc::new(Mutex::new(Table::default()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let table = table.clone();
            let share = count as usize / WORKERS + usize::from(worker < count as usize % WORKERS);
            thread::spawn(move || work(seed + worker as u64, share, &table))
        })
        .collect();
    let failures: Vec<String> = workers.into_iter().filter_map(|it| it.join().unwrap().err()).collect();
    let table = table.lock().unwrap();
    table.print("Generated");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let (all, refused) = table.0.values().fold((0, 0), |all, it| (all.0 + it.cases, all.1 + it.refused));
    assert!(refused * 3 <= all, "too many cases do not build");
}

/// Tries generated workspaces until so many have a safe fix; the smallest one whose fix is wrong, if there is one.
fn work(seed: u64, count: usize, table: &Mutex<Table>) -> Result<(), String> {
    let config = Config {
        cases: count as u32,
        max_global_rejects: u32::MAX,
        max_local_rejects: u32::MAX,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tried = runner.run(&generate::workspace(), |files| {
        let cases = cases(&files);
        if cases.is_empty() {
            return Err(TestCaseError::reject("no safe fix"));
        }
        for case in cases {
            let result = in_folder(|folder| judge(&case, folder, Some(shims_for), &word()));
            table.lock().unwrap().add(&case.rule, &result);
            match result {
                Ok(_) => {}
                Err(Failure::Refused(message)) if env::var_os("LAYERWISE_FIX_REFUSED").is_some() => println!("{message}\n{}", files[&case.dockerfile]),
                Err(Failure::Refused(_)) => {}
                Err(Failure::Wrong(message)) => return Err(TestCaseError::fail(message)),
            }
        }
        Ok(())
    });
    match tried {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, _)) => Err(format!("seed {seed}: {reason}")).inspect_err(|it| println!("{it}")),
        Err(TestError::Abort(reason)) => Err(format!("seed {seed}: given up: {reason}")),
    }
}

#[test]
fn safe_fixes_of_real_installs_keep_the_image() {
    let mut table = Table::default();
    let mut failures = Vec::new();
    for (manager, files) in installs::workspaces(installs::image) {
        let cases = cases(&files);
        assert!(!cases.is_empty(), "{manager}: nothing is fixed");
        for case in cases {
            let result = in_folder(|folder| judge(&case, folder, None, &word()));
            match &result {
                Err(Failure::Refused(message)) => println!("{manager} is left out, as its install does not run here:\n{message}"),
                Err(Failure::Wrong(message)) => failures.push(message.clone()),
                Ok(_) => {}
            }
            table.add(&format!("{manager}: {}", case.rule), &result);
        }
    }
    table.print("Real installs");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What would be wrong fixes: the judge has to see it.
#[test]
fn orders_that_matter_are_seen() {
    prepare();
    let wrong = [
        // A file that the install reads is forgotten.
        ("COPY . .\nRUN npm ci\n", "COPY package.json ./\nRUN npm ci\nCOPY . .\n", "/app/node_modules/npm.trace"),
        // A command that is not known reads the sources.
        ("COPY . .\nRUN make\n", "RUN make\nCOPY . .\n", "/app/make.trace"),
        // The user of what is written.
        ("USER node\nRUN mkdir /tmp/a\nUSER root\n", "USER root\nRUN mkdir /tmp/a\n", "/tmp/a"),
        ("COPY --chown=node:node . .\nRUN npm ci\n", "COPY . .\nRUN npm ci\n", "/app/package.json"),
        ("ENV A=1\nRUN make\n", "RUN make\nENV A=1\n", "/app/make.trace"),
        ("CMD [\"a\"]\nCMD [\"b\"]\n", "CMD [\"b\"]\nCMD [\"a\"]\n", "has another configuration"),
        ("COPY . .\nRUN npm ci\n", "COPY . .\nRUN npm ci\n", "the fixed one runs 2 steps, the other 2"),
    ];
    for (before, after, seen) in wrong {
        let file = |path: &str, text: &str| (facts::join(ROOT, path), text.to_owned());
        let files = |lines: &str| -> Files {
            let dockerfile = file("Dockerfile", &format!("FROM node:22.11\nWORKDIR /app\n{lines}"));
            [dockerfile, file("package.json", "{}\n"), file(".npmrc", "fund=false\n"), file("a.txt", "a\n")].into()
        };
        let case = Case {
            rule: "wrong".to_owned(),
            title: "Break it".to_owned(),
            before: files(before),
            after: files(after),
            dockerfile: facts::join(ROOT, "Dockerfile"),
            context: ROOT.to_owned(),
            targets: vec![None],
            changes: vec![Change::File(facts::join(ROOT, "a.txt"))],
        };
        match in_folder(|folder| judge(&case, folder, Some(shims_for), &word())) {
            Err(Failure::Wrong(message)) => assert!(message.contains(seen), "{message}"),
            other => panic!("{other:?} of\n{after}"),
        }
    }
}

/// The workspaces that the tests of the rules handed over.
fn fixtures() -> &'static [Files] {
    static FIXTURES: LazyLock<Vec<Files>> = LazyLock::new(|| {
        let folder = env::var("LAYERWISE_FIXTURES").expect("tests/builder/fixes/run gives a folder");
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|it| serde_json::from_slice(&fs::read(it).unwrap()).unwrap()).collect()
    });
    &FIXTURES
}

/// Makes the image of shims, once.
fn prepare() {
    static MADE: LazyLock<()> = LazyLock::new(|| {
        let mut programs: BTreeSet<String> = generate::programs().collect();
        for text in fixtures().iter().flat_map(|it| it.iter()).filter(|it| it.0.contains("ockerfile")).map(|it| it.1) {
            programs.extend(words(text));
        }
        in_folder(|folder| shims(&programs, folder));
    });
    LazyLock::force(&MADE);
}

/// Whatever may be the name of a program; one too many does no harm.
fn words(text: &str) -> Vec<String> {
    let is_name = |it: &&str| it.starts_with(|c: char| c.is_ascii_lowercase()) && it.len() > 1;
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.+".contains(c))).filter(is_name).map(|it| it.trim_end_matches('.').to_owned()).collect()
}

/// Busybox with a shim under the name of every program that it lacks or that would go to the network, and with the users
/// of public images.
fn shims(programs: &BTreeSet<String>, folder: &Path) {
    const REPLACED: &[&str] = &["wget", "adduser", "addgroup", "useradd", "groupadd", "make"];
    const USERS: &[&str] = &["node", "app", "appuser", "django", "nginx", "deno", "bun", "gradle", "nonroot", "rails", "vscode"];
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builder/fixes/shim"), folder.join("shim")).unwrap();
    fs::write(folder.join("programs"), programs.iter().map(|it| format!("{it}\n")).collect::<String>()).unwrap();
    let dockerfile = format!(
        "FROM busybox:1.36 AS plain\nCOPY --chmod=755 shim /usr/local/bin/shim\nRUN --mount=type=bind,source=programs,target=/programs <<EOF\nset -e\n\
         for it in {}; do ln -s shim /usr/local/bin/$it; done\n\
         while read -r it; do command -v \"$it\" >/dev/null || ln -s shim \"/usr/local/bin/$it\"; done </programs\n\
         printf '#!/bin/sh\\nexec /bin/sh \"$@\"\\n' >/bin/bash && chmod 755 /bin/bash\n\
         mkdir -p /mnt /opt /srv /usr/bin /usr/lib /usr/local/share /usr/share /usr/src && ln -s /bin/busybox /usr/bin/env\n\
         for it in {}; do useradd $it; done\nEOF\n",
        REPLACED.join(" "),
        USERS.join(" "),
    );
    let configured = CONFIGURED.iter().map(|(name, lines)| format!("FROM plain AS {name}\n{}\n", lines.join("\n")));
    fs::write(folder.join("Dockerfile"), dockerfile + &configured.collect::<String>()).unwrap();
    for name in CONFIGURED.iter().map(|it| it.0).chain(["plain"]) {
        build_shims(name, folder);
    }
}

fn build_shims(stage: &str, folder: &Path) {
    let tag = format!("{SHIMS}:{stage}");
    let built = Command::new("docker")
        .args(["buildx", "build", "--quiet", "--network=host", "--load", "--target", stage, "--tag", &tag])
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Builds that are the first on an image, several at once, do not find again what they made of it.
    let first = folder.join(format!("first-{stage}"));
    fs::create_dir(&first).unwrap();
    fs::write(first.join("Dockerfile"), format!("FROM {tag}\nRUN true\n")).unwrap();
    docker::Build { dockerfile: first.join("Dockerfile"), context: first, ..docker::Build::default() }.run().unwrap();
}

fn in_folder<R>(work: impl FnOnce(&Path) -> R) -> R {
    work(tempfile::tempdir().unwrap().path())
}

/// A word that no other case has.
fn word() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}-{}", now(), process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}
