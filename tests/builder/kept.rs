//! Cases that the model, or the one who wrote it, was once wrong about.

use crate::case::{Case, Entry, Inputs};
use crate::judge::{Tally, judge};
use std::collections::BTreeMap;

/// What changes between the two builds.
type Change = fn(&mut Inputs);

/// Names as sentences, with the Dockerfile; `NONCE` keeps the cases apart.
const KEPT: &[(&str, &str, Change)] = &[
    ("a value that is passed replaces that of an environment variable", "FROM busybox:1.36\nWORKDIR /NONCE\nENV V=1\nARG V\nRUN echo $V\n", |it| {
        drop(it.arguments.insert("V".into(), "2".into()))
    }),
    ("an environment variable below an argument hides it", "FROM busybox:1.36\nWORKDIR /NONCE\nARG V\nENV V=1\nRUN echo $V\n", |it| {
        drop(it.arguments.insert("V".into(), "2".into()))
    }),
    ("a builder that keeps the context does not see the new mode of a folder", "FROM busybox:1.36\nWORKDIR /NONCE\nCOPY src /src/\nRUN true\n", |it| {
        it.files.get_mut("src").unwrap().mode = 0o700
    }),
    ("the first step on nothing is looked up as if it were started", "FROM scratch\nWORKDIR /NONCE\nCOPY a.txt /\n", |it| {
        it.files.get_mut("a.txt").unwrap().content = Some("other".into())
    }),
    (
        "a mount of what the stage stands on is compared by content",
        "FROM busybox:1.36 AS one\nWORKDIR /NONCE\nCOPY a.txt /x/\nFROM one AS two\nRUN --mount=type=bind,from=one,source=/x,target=/m cat /m/a.txt\n",
        |it| it.files.get_mut("a.txt").unwrap().content = Some("other".into()),
    ),
    (
        "a mount of what only now is the step below is another input",
        "FROM busybox:1.36 AS one\nWORKDIR /NONCE\nCOPY a.txt /x/\nCOPY none* /y/\nFROM busybox:1.36 AS two\nWORKDIR /NONCE\nCOPY a.txt /x/\nRUN --mount=type=bind,from=one,source=/x,target=/m true\n",
        |it| it.dockerfile = it.dockerfile.replace("COPY none* /y/\n", ""),
    ),
    (
        "a copy out of what the stage stands on is not compared by content",
        "FROM busybox:1.36 AS one\nWORKDIR /NONCE\nCOPY a.txt /x/\nCOPY b.txt /y/\nFROM one AS two\nCOPY --from=one /x /z/\n",
        |it| it.files.get_mut("b.txt").unwrap().content = Some("other".into()),
    ),
    (
        "a step that changes what is not copied from its stage stops there",
        "FROM busybox:1.36 AS one\nWORKDIR /NONCE\nCOPY a.txt /x/\nCOPY b.txt /y/\nFROM busybox:1.36 AS two\nWORKDIR /NONCE-2\nCOPY --from=one /x /z/\nRUN true\n",
        |it| it.files.get_mut("b.txt").unwrap().content = Some("other".into()),
    ),
    (
        "another file with the same content under a mount is the same",
        "FROM busybox:1.36\nWORKDIR /NONCE\nRUN --mount=type=bind,source=a.txt,target=/m cat /m\n",
        |it| {
            let content = it.files["a.txt"].clone();
            it.files.insert("b.txt".into(), content);
            it.dockerfile = it.dockerfile.replace("source=a.txt", "source=b.txt");
        },
    ),
];

#[test]
fn the_model_predicts_the_cases_that_are_kept() {
    let mut tally = Tally::default();
    let mut wrong = String::new();
    for (name, dockerfile, change) in KEPT {
        match attempt(dockerfile, *change) {
            Ok(found) => tally.add(found),
            Err(message) => wrong += &format!("{name}: {message}\n"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert_eq!(tally.refused, 0);
}

fn attempt(dockerfile: &str, change: Change) -> Result<Tally, String> {
    let nonce = crate::nonce();
    let file = |path: &str| (path.to_owned(), Entry { mode: 0o644, content: Some(format!("{path} {nonce}\n")) });
    let mut files: BTreeMap<String, Entry> = ["a.txt", "b.txt", "src/c.txt"].into_iter().map(file).collect();
    files.insert("src".into(), Entry { mode: 0o755, content: None });
    let before = Inputs { dockerfile: dockerfile.replace("NONCE", &nonce), files, arguments: BTreeMap::new() };
    let mut after = before.clone();
    change(&mut after);
    let folder = tempfile::tempdir().map_err(|it| it.to_string())?;
    judge(&Case { before, after, touched: false }, folder.path())
}
