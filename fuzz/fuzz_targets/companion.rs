//! Any bytes as a file that says more of a build than its Dockerfile: bake files, compose files,
//! composite actions, ignore files, our configuration, manifests.

#![no_main]

#[path = "../../tests/support/conditions.rs"]
mod conditions;
mod input;

use libfuzzer_sys::fuzz_target;

/// What the text may be; the first byte of the input says which, as a letter from `a` on.
const PATHS: &[&str] = &[
    "/w/docker-bake.hcl",
    "/w/docker-bake.json",
    "/w/compose.yaml",
    "/w/.github/actions/build/action.yml",
    "/w/.dockerignore",
    "/w/.layerwise.yaml",
    "/w/package.json",
    "/w/requirements.txt",
];

const OTHERS: &[(&str, &str)] = &[
    (
        "/w/Dockerfile",
        "ARG SHA\nFROM node:22 AS build\nARG SHA\nWORKDIR /app\nCOPY . .\nRUN npm ci\nFROM python:3.13 AS tools\nCOPY . .\nRUN pip install -r requirements.txt\nFROM scratch AS run\nCOPY --from=build /app /app\n",
    ),
    ("/w/service/Dockerfile", "FROM alpine:3.22\nRUN apk add git\n"),
    ("/w/package-lock.json", "{\"name\": \"app\", \"lockfileVersion\": 3, \"packages\": {}}\n"),
    ("/w/packages/a/package.json", "{\"name\": \"a\"}\n"),
    ("/w/more.txt", "-e .\n"),
    ("/w/docker-bake.override.hcl", "target \"default\" {\n  cache-from = [\"type=gha\"]\n}\n"),
    (
        "/w/.github/workflows/ci.yml",
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    strategy: {matrix: {app: [a, b]}}\n    env: {TAG: \"${{ github.sha }}\"}\n    steps:\n      - uses: actions/checkout@v5\n      - uses: docker/setup-buildx-action@v3\n      - uses: ./.github/actions/build\n        with: {app: \"${{ matrix.app }}\", context: service}\n      - uses: docker/bake-action@v6\n        with: {source: ., set: \"*.cache-to=type=gha,mode=max\"}\n      - run: docker buildx bake -f docker-bake.json\n      - run: docker compose build\n      - uses: docker/build-push-action@v6\n        with: {context: ., cache-to: \"type=gha,mode=max\", cache-from: type=gha}\n",
    ),
];

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let path = PATHS[usize::from(which.wrapping_sub(b'a')) % PATHS.len()];
    if let Some((text, edits)) = input::read(data) {
        conditions::demand(&input::workspace(path, text, OTHERS), path, &edits);
    }
});
