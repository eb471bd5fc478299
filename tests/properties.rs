//! What holds for files that nobody wrote: mistakes typed into examples.

#[path = "support/conditions.rs"]
mod conditions;

use conditions::{Files, demand, examples};
use layerwise::edit::{Edit, Span};
use layerwise::facts;
use proptest::prelude::*;
use std::sync::LazyLock;
use std::{env, fs};

/// The examples of the rules' pages, and the Dockerfiles that the parser is tested with, each beside
/// manifests.
static WORKSPACES: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let mut res = examples();
    for entry in fs::read_dir("tests/parser/fixtures").unwrap() {
        // One of them is not UTF-8.
        let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
        let files = [
            ("Dockerfile", text.as_str()),
            ("package.json", "{\"name\": \"app\"}\n"),
            ("package-lock.json", "{\"name\": \"app\", \"lockfileVersion\": 3, \"packages\": {}}\n"),
            ("requirements.txt", "flask==3.1.0\n"),
            (".dockerignore", "node_modules\n"),
        ];
        res.push(files.iter().map(|(path, text)| (facts::join(conditions::ROOT, path), (*text).to_owned())).collect());
    }
    res
});

/// What is typed: what means something in one of the languages, and what breaks it.
const PIECES: &[&str] = &[
    "x",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\\\n",
    "\\",
    "\"",
    "'",
    "#",
    "# layerwise: ignore[copy-before-install]\n",
    "$",
    "${X:-y}",
    "=",
    ",",
    "[",
    "]",
    "{",
    "}",
    ":",
    "- ",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<EOF\n",
    "EOF\n",
    "\u{feff}",
    "é😀",
    "\0",
    "FROM a AS b\n",
    "FROM b\n",
    "COPY . .\n",
    "COPY --from=0 /a /b\n",
    "COPY package*.json ./\n",
    "RUN npm ci\n",
    "RUN apt-get update\n",
    "RUN apt-get install -y git\n",
    "RUN pip install -r requirements.txt\n",
    "RUN --mount=type=bind,target=. npm ci\n",
    "ARG SHA\n",
    "ENV A=$SHA\n",
    "ONBUILD ",
    "WORKDIR /app\n",
    "USER node\n",
    "SHELL [\"bash\", \"-c\"]\n",
    "# escape=`\n",
    "${{ github.sha }}",
    "${{ matrix.x }}",
    "cache-to: type=gha,mode=max\n",
    "cache-from: type=gha\n",
    "      - uses: docker/build-push-action@v6\n",
    "        with: {context: .}\n",
    "      - run: docker build .\n",
];

/// A change: where, how much goes, and what comes.
type Change = (usize, usize, usize);

/// The edit of a change of `text`, at character boundaries.
fn edit(text: &str, (at, length, piece): Change) -> Edit {
    let boundary = |at: usize| (0..=at.min(text.len())).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
    let start = boundary(at % (text.len() + 1));
    // Most changes delete nothing, or little.
    let end = boundary(start + [0, 0, 0, 1, 3, 17, 60][length % 7]).max(start);
    Edit::replace(Span::new(start, end), PIECES[piece % PIECES.len()])
}

/// How many cases each test tries; more with `LAYERWISE_CASES`.
fn cases() -> ProptestConfig {
    let cases = env::var("LAYERWISE_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(200);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn every_example_holds_as_it_is() {
    for files in WORKSPACES.iter() {
        files.keys().for_each(|path| demand(files, path, &[]));
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_typed_into_an_example_breaks_nothing(
        workspace in any::<prop::sample::Index>(),
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 0..6),
    ) {
        let files = workspace.get(&WORKSPACES);
        let path = file.get(&files.keys().collect::<Vec<_>>()).to_string();
        let mut text = files[&path].clone();
        let mut edits = Vec::new();
        for change in changes {
            let edit = edit(&text, change);
            text.replace_range(edit.delete.start..edit.delete.end, &edit.insert);
            edits.push(edit);
        }
        demand(files, &path, &edits);
    }
}
