//! Documents of any length, with the mistakes that real ones have.

use std::fmt::Write;

/// A language of the documents.
#[derive(Clone, Copy)]
pub enum Sort {
    Dockerfile,
    Workflow,
}

/// What benchmarks are called by.
pub const SORTS: [(Sort, &str); 2] = [(Sort::Dockerfile, "dockerfile"), (Sort::Workflow, "workflow")];

/// Lengths of documents, in lines.
pub const LENGTHS: [usize; 3] = [30, 300, 3000];

/// What stands once in every part of a document, where a letter can be typed.
const MARK: &str = "TYPED";

impl Sort {
    /// Where a document of this sort lies in a workspace.
    pub fn path(self) -> &'static str {
        match self {
            Sort::Dockerfile => "Dockerfile",
            Sort::Workflow => ".github/workflows/ci.yml",
        }
    }

    /// A document of exactly so many lines.
    pub fn document(self, lines: usize) -> String {
        let (head, part): (&str, fn(usize) -> String) = match self {
            Sort::Dockerfile => ("# syntax=docker/dockerfile:1\nARG NODE=22\n", stages),
            Sort::Workflow => ("name: ci\non: [push, pull_request]\nenv:\n  REGISTRY: registry.example.com\njobs:\n", job),
        };
        let mut res = head.to_owned();
        let mut left = lines - head.lines().count();
        for number in 0.. {
            let part = part(number);
            let length = part.lines().count();
            if length > left {
                break;
            }
            left -= length;
            res.push_str(&part);
        }
        for number in 0..left {
            writeln!(res, "# line {number} of the rest").expect("a string takes any text");
        }
        res
    }
}

/// Behind the mark in the middle of a document, in bytes.
pub fn middle(text: &str) -> usize {
    let marks: Vec<usize> = text.match_indices(MARK).map(|it| it.0).collect();
    marks[marks.len() / 2] + MARK.len()
}

fn stages(number: usize) -> String {
    format!(
        "FROM node:${{NODE}}-alpine AS build{number}
WORKDIR /app
ARG REVISION
ENV REVISION=$REVISION CI=true
COPY . .
RUN apk add --no-cache git python3 make g++
RUN npm ci
RUN npm run build && npm prune --omit=dev
RUN echo {MARK}{number} > version

FROM debian:13-slim AS run{number}
# What the server is linked with.
RUN apt-get update && apt-get install -y \\
    ca-certificates \\
    curl \\
 && rm -rf /var/lib/apt/lists/*
WORKDIR /srv
ENV PATH=/srv/bin:$PATH PORT=8080
COPY --from=build{number} /app/dist ./dist
COPY --from=build{number} /app/node_modules ./node_modules
USER 1000
EXPOSE 8080
HEALTHCHECK CMD curl --fail http://localhost:8080/
ENTRYPOINT [\"node\"]
CMD [\"dist/main.js\"]

"
    )
}

fn job(number: usize) -> String {
    format!(
        "  image{number}:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        platform: [linux/amd64, linux/arm64]
    steps:
      - uses: actions/checkout@v6
      - uses: docker/setup-buildx-action@v4
      - uses: docker/login-action@v4
        with: {{registry: \"${{{{ env.REGISTRY }}}}\", username: a, password: \"${{{{ secrets.TOKEN }}}}\"}}
      - name: Image {MARK}{number}
        uses: docker/build-push-action@v7
        with:
          context: service{number}
          platforms: ${{{{ matrix.platform }}}}
          push: ${{{{ github.event_name != 'pull_request' }}}}
          tags: ${{{{ env.REGISTRY }}}}/service{number}:${{{{ github.sha }}}}
          build-args: |
            REVISION=${{{{ github.sha }}}}
          cache-from: type=gha
          cache-to: type=gha
      - run: |
          docker run --rm ${{{{ env.REGISTRY }}}}/service{number}:${{{{ github.sha }}}} --version

"
    )
}
