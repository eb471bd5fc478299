//! Any bytes as a Dockerfile, beside manifests and a workflow that builds it.

#![no_main]

#[path = "../../tests/support/conditions.rs"]
mod conditions;
mod input;

use libfuzzer_sys::fuzz_target;

const PATH: &str = "/w/Dockerfile";

const OTHERS: &[(&str, &str)] = &[
    ("/w/package.json", "{\"name\": \"app\", \"workspaces\": [\"packages/*\"]}\n"),
    ("/w/package-lock.json", "{\"name\": \"app\", \"lockfileVersion\": 3, \"packages\": {}}\n"),
    ("/w/packages/a/package.json", "{\"name\": \"a\"}\n"),
    ("/w/requirements.txt", "flask==3.1.0\n-r more.txt\n"),
    ("/w/more.txt", "-e .\n"),
    ("/w/go.mod", "module example.com/app\n\ngo 1.25\n"),
    ("/w/go.sum", "\n"),
    ("/w/.dockerignore", "node_modules\n!packages\n"),
    (
        "/w/.github/workflows/ci.yml",
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {context: ., build-args: \"SHA=${{ github.sha }}\"}\n",
    ),
];

fuzz_target!(|data: &[u8]| {
    if let Some((text, edits)) = input::read(data) {
        conditions::demand(&input::workspace(PATH, text, OTHERS), PATH, &edits);
    }
});
