//! Dockerfiles that nobody wrote, each with a copy of sources above an install or packages, and what may stand around.

use crate::conditions::{Files, ROOT};
use layerwise::facts;
use proptest::prelude::*;
use proptest::sample::select;

/// An ecosystem: base image, files of the project, commands that install.
struct Ecosystem {
    image: &'static str,
    files: &'static [(&'static str, &'static str)],
    installs: &'static [&'static str],
    ignored: &'static str,
}

const ECOSYSTEMS: &[Ecosystem] = &[
    Ecosystem {
        image: "node:22.11",
        files: &[
            ("package.json", "{\"name\": \"app\", \"version\": \"1.0.0\"}\n"),
            (
                "package-lock.json",
                "{\"name\": \"app\", \"version\": \"1.0.0\", \"lockfileVersion\": 3, \"packages\": {\"\": {\"name\": \"app\", \"version\": \"1.0.0\"}}}\n",
            ),
            (".npmrc", "fund=false\n"),
        ],
        installs: &["npm ci", "npm ci --omit=dev", "npm ci && npm cache clean --force", "npm ci && npm run build", "npm install", "npm ci --ignore-scripts"],
        ignored: "node_modules",
    },
    Ecosystem {
        image: "node:22.11",
        files: &[
            ("package.json", "{\"name\": \"app\", \"scripts\": {\"postinstall\": \"node patch.js\"}}\n"),
            ("package-lock.json", "{\"lockfileVersion\": 3, \"packages\": {}}\n"),
            ("patch.js", "\n"),
        ],
        installs: &["npm ci", "npm ci --ignore-scripts"],
        ignored: "node_modules",
    },
    Ecosystem {
        image: "node:22.11",
        files: &[("package.json", "{\"name\": \"app\"}\n"), ("yarn.lock", "# yarn lockfile v1\n")],
        installs: &["yarn install --frozen-lockfile", "yarn --frozen-lockfile", "yarn install"],
        ignored: "node_modules",
    },
    Ecosystem {
        image: "node:22.11",
        files: &[("package.json", "{\"name\": \"app\"}\n"), ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n")],
        installs: &["pnpm install --frozen-lockfile", "pnpm install --frozen-lockfile --prod"],
        ignored: "node_modules",
    },
    Ecosystem {
        image: "python:3.13",
        files: &[("requirements.txt", "-r base.txt\nflask==3.1.0\n"), ("base.txt", "click==8.1.8\n")],
        installs: &[
            "pip install -r requirements.txt",
            "pip install --no-cache-dir -r requirements.txt",
            "python -m pip install -r requirements.txt",
            "pip install .",
        ],
        ignored: ".venv",
    },
    Ecosystem {
        image: "python:3.13",
        files: &[("pyproject.toml", "[project]\nname = \"app\"\nversion = \"1\"\n"), ("uv.lock", "version = 1\n")],
        installs: &["uv sync --locked --no-install-project", "uv sync --locked", "uv sync --frozen --no-dev"],
        ignored: ".venv",
    },
    Ecosystem {
        image: "python:3.13",
        files: &[("pyproject.toml", "[tool.poetry]\nname = \"app\"\nversion = \"1\"\n"), ("poetry.lock", "\n")],
        installs: &["poetry install --no-root", "poetry install"],
        ignored: ".venv",
    },
    Ecosystem {
        image: "ruby:3.4",
        files: &[("Gemfile", "source \"https://rubygems.org\"\ngem \"rack\"\n"), ("Gemfile.lock", "GEM\n  specs:\n    rack (3.1.8)\n\nDEPENDENCIES\n  rack\n")],
        installs: &["bundle install", "bundle install --jobs 4"],
        ignored: "vendor",
    },
    Ecosystem {
        image: "composer:2.8",
        files: &[("composer.json", "{\"require\": {}}\n"), ("composer.lock", "{\"packages\": []}\n")],
        installs: &["composer install --no-scripts --no-autoloader", "composer install --no-dev"],
        ignored: "vendor",
    },
    Ecosystem {
        image: "golang:1.23",
        files: &[("go.mod", "module a\n\ngo 1.23\n"), ("go.sum", "")],
        installs: &["go mod download", "go mod download && go build ./..."],
        ignored: "bin",
    },
    Ecosystem {
        image: "rust:1.83",
        files: &[
            ("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            ("Cargo.lock", "version = 3\n"),
            ("src/main.rs", "fn main() {}\n"),
        ],
        installs: &["cargo fetch --locked", "cargo fetch"],
        ignored: "target",
    },
    Ecosystem {
        image: "debian:12.9",
        files: &[],
        installs: &[
            "apt-get update && apt-get install -y git",
            "apt-get update && apt-get install -y --no-install-recommends curl ca-certificates && rm -rf /var/lib/apt/lists/*",
            "apt-get update && apt-get install -y git && make",
        ],
        ignored: "build",
    },
    Ecosystem { image: "alpine:3.20", files: &[], installs: &["apk add --no-cache git", "apk add git make && rm -rf /var/cache/apk/*"], ignored: "build" },
];

/// Copies of what changes often.
const COPIES: &[&str] = &[
    "COPY . .",
    "COPY . /app",
    "COPY . /app/",
    "COPY ./ ./",
    "ADD . .",
    "COPY * ./",
    "COPY --chown=node:node . .",
    "COPY --chown=1000:1000 . /app/",
    "COPY --chmod=755 . .",
    "COPY --link . .",
    "COPY --exclude=docs . .",
    "COPY src /app/src",
    "COPY src src",
    "COPY lib src ./",
    "COPY . /opt/app",
    "COPY . /usr/src/app",
];

/// What may stand above the copy, below the install, or between the two.
const OTHERS: &[&str] = &[
    "WORKDIR /app",
    "WORKDIR /app",
    "WORKDIR /usr/src/app",
    "WORKDIR sub",
    "USER node",
    "USER 1000:1000",
    "USER root",
    "ENV NODE_ENV=production",
    "ENV A=1 B=2",
    "ENV PIP_INDEX_URL=a",
    "ENV PATH=/app/bin:$PATH",
    "ENV GIT_COMMIT=0a1b2c3d",
    "ARG GIT_SHA",
    "ARG GIT_SHA=unknown\nENV GIT_SHA=$GIT_SHA",
    "ARG BUILD_DATE\nLABEL date=$BUILD_DATE",
    "ARG VERSION=1",
    "LABEL a=b",
    "EXPOSE 80",
    "STOPSIGNAL SIGTERM",
    "CMD [\"app\"]",
    "ENTRYPOINT exec app",
    "HEALTHCHECK CMD wget localhost",
    "VOLUME /data",
    "SHELL [\"/bin/sh\", \"-ec\"]",
    "RUN make",
    "RUN echo $GIT_SHA > /version",
    "RUN echo a > /opt/a",
    "RUN mkdir -p /data && chown node /data",
    "RUN useradd app",
    "RUN mkdir -p /app && chown -R node:node /app",
    "RUN mkdir -p src && chmod -R 700 src",
    "RUN apt-get update && apt-get install -y git",
    "RUN apt-get update\nRUN apt-get install -y make",
    "RUN apk add --no-cache make",
    "RUN pip install flask==3.1.0",
    "RUN npm install -g pm2@5",
    "RUN --mount=type=cache,target=/root/.cache make",
    "RUN --mount=type=bind,source=src,target=/mnt make",
    "RUN <<EOF\necho a\nEOF",
    "COPY lib /opt/lib",
    "COPY lib ./lib",
    "COPY --chown=node:node src ./src",
    "COPY --chmod=700 src ./src",
    "COPY --link lib /linked",
    "COPY app.conf /etc/app.conf",
    "COPY --from=busybox:1.36 /bin/busybox /opt/busybox",
    "COPY <<EOF ./made.txt\na\nEOF",
    "FROM build AS next",
];

/// What may end the file.
const ENDS: &[&str] = &[
    "",
    "",
    "FROM alpine:3.20\nCOPY --from=build /app* /opt /all/",
    "FROM build AS last\nRUN make",
    "FROM alpine:3.20\nRUN --mount=from=build,target=/build make",
];

const IGNORES: &[&str] = &["@", "@", "@\n.git\n*.md", "*\n!src\n!lib\n!*.json\n!*.txt\n!app.conf", "@\nsrc\n!src/a.c", ""];

/// A program that tests/builder/fixes/shim stands in for.
pub fn programs() -> impl Iterator<Item = String> {
    let commands = ECOSYSTEMS.iter().flat_map(|it| it.installs).chain(OTHERS).chain(ENDS);
    commands.flat_map(|it| super::words(it)).collect::<Vec<_>>().into_iter()
}

/// A workspace that is still in its parts, so that a smaller one can be tried.
pub fn workspace() -> impl Strategy<Value = Files> {
    let other = || select(OTHERS);
    let parts = |most| proptest::collection::vec(other(), 0..most);
    let ecosystem = (0..ECOSYSTEMS.len()).prop_flat_map(|index| (Just(index), select(ECOSYSTEMS[index].installs)));
    (ecosystem, select(COPIES), select(IGNORES), (parts(4), parts(4), parts(3)), select(ENDS), any::<bool>()).prop_map(
        |((index, install), copy, ignore, (above, between, below), end, nested)| {
            let ecosystem = &ECOSYSTEMS[index];
            let mut lines = vec![format!("FROM {} AS build", ecosystem.image)];
            lines.extend(above.iter().map(|it| (*it).to_owned()));
            lines.push(copy.to_owned());
            lines.extend(between.iter().map(|it| (*it).to_owned()));
            lines.push(format!("RUN {install}"));
            lines.extend(below.iter().map(|it| (*it).to_owned()));
            lines.push(end.to_owned());
            let mut files = Files::new();
            // The folder of the context is that of the Dockerfile, in the root or below it.
            let folder = if nested { format!("{ROOT}/services/web") } else { ROOT.to_owned() };
            let mut add = |path: &str, text: &str| files.insert(facts::join(&folder, path), text.to_owned());
            add("Dockerfile", &format!("{}\n", lines.join("\n").trim_end()));
            for (path, text) in ecosystem.files {
                add(path, text);
            }
            for path in ["src/a.c", "src/b/c.c", "lib/d.c", "docs/e.md", "app.conf", "Makefile"] {
                add(path, "a\n");
            }
            if !ignore.is_empty() {
                add(".dockerignore", &format!("{}\n", ignore.replace('@', ecosystem.ignored)));
            }
            if nested {
                // So that it is known which folder is the context.
                files.insert(format!("{ROOT}/compose.yaml"), "services:\n  web:\n    build: services/web\n".to_owned());
            }
            files
        },
    )
}
