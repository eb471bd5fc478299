//! Any bytes as a workflow, beside the Dockerfiles that it may build.

#![no_main]

#[path = "../../tests/support/conditions.rs"]
mod conditions;
mod input;

use libfuzzer_sys::fuzz_target;

const PATH: &str = "/w/.github/workflows/ci.yml";

const OTHERS: &[(&str, &str)] = &[
    ("/w/Dockerfile", "ARG SHA\nFROM node:22 AS build\nARG SHA\nWORKDIR /app\nCOPY . .\nRUN npm ci\nFROM scratch AS run\nCOPY --from=build /app /app\n"),
    ("/w/service/Dockerfile", "FROM alpine:3.22\nRUN apk add git\n"),
    ("/w/package.json", "{\"name\": \"app\"}\n"),
    ("/w/compose.yaml", "services:\n  a:\n    build: .\n  b:\n    build: {context: service, cache_from: [type=gha]}\n"),
    ("/w/docker-bake.hcl", "target \"default\" {\n  context = \".\"\n  cache-to = [\"type=gha,mode=max\"]\n}\n"),
    (
        "/w/.github/workflows/other.yml",
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {context: service, cache-to: type=gha, cache-from: type=gha}\n",
    ),
];

fuzz_target!(|data: &[u8]| {
    if let Some((text, edits)) = input::read(data) {
        conditions::demand(&input::workspace(PATH, text, OTHERS), PATH, &edits);
    }
});
