use super::{Check, Finding, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Base, Dockerfile, Image, Kind, split_reference};
use crate::edit::Span;
use crate::view::DockerfileView;
use crate::volatility::Cost;
use std::collections::{BTreeMap, BTreeSet};

declare_rule! {
    /// The base image has no fixed version.
    ///
    /// The builder asks for the digest behind a tag at the start of a build. When the tag moves,
    /// the first key of the chain changes and every layer is rebuilt, at a moment that nobody
    /// chose; and what is built then is another image. No tag means `latest`.
    ///
    /// ```dockerfile,bad
    /// FROM node
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM node:22.11-bookworm-slim
    /// ```
    ///
    /// The same holds for an image that is only named to copy from it, `COPY --from=composer`: what is
    /// copied may be another with every release, and all layers below it are rebuilt then.
    ///
    /// A tag that only names a major version, a channel such as `stable` or a variant such as
    /// `alpine`, an image whose name says its release (`static-debian12`) or that has none, and an
    /// image on which nothing is run that takes long, are an information only. Names that can only be those of the
    /// project's own images, and templates, are left alone.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: the version to pin is not in the file, and a registry is never asked.
    pub(crate) static FLOATING_BASE_IMAGE = {
        name: "floating-base-image",
        level: Level::Warning,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let effects = effects(view.dockerfile);
    let mut bases: BTreeSet<&str> = BTreeSet::new();
    for plan in view.plans() {
        let Base::Image(image) = &view.dockerfile.stages[plan.stage].base else { continue };
        bases.insert(&image.text);
        let effect = effects.get(plan.stage).copied().unwrap_or(NO_LAYERS);
        drop(report(view, image, effect, findings));
    }
    for (image, others) in sources(view).into_iter().filter(|(it, _)| !bases.contains(it.text.as_str())) {
        let Some(finding) = report(view, &image, COPIED, findings) else { continue };
        drop(others.into_iter().fold(finding, |finding, it| finding.note(it, "this takes files of it as well")));
    }
}

/// Reports an image if what it names moves. `effect` is what another one costs.
fn report<'f, 'a>(view: &DockerfileView<'_>, image: &Image, effect: &str, findings: &'f mut Findings<'a>) -> Option<Finding<'f, 'a>> {
    // Whoever builds may choose the image; a named context may stand for it.
    if !image.arguments.is_empty() || view.may_be_context(&image.text) || !is_reference(&image.text) || is_local(image) {
        return None;
    }
    let (_, tag, digest) = split_reference(&image.text);
    if digest.is_some() {
        return None;
    }
    let finding = match tag {
        None => findings.report(image.span, format!("`{}` has no tag, so that every new `latest` {effect}", image.text)),
        Some("latest") => findings.report(image.span, format!("every new `{}` {effect}", image.text)),
        Some(tag) if moves(tag) || is_variant(image, tag) => {
            findings.report(image.span, format!("`{}` moves with every release, which {effect}", image.text)).level(Level::Info)
        }
        Some(_) => return None,
    };
    let is_told = tag.is_none_or(|it| it == "latest") && names_release(&image.text);
    Some(if CHEAP.contains(&effect) || is_told { finding.level(Level::Info) } else { finding })
}

/// The images that copies and mounts take files from, each where it is named first, with the other places.
fn sources(view: &DockerfileView<'_>) -> Vec<(Image, Vec<Span>)> {
    let mut places: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for (_, step) in view.plans().flat_map(Plan::own) {
        let of_flags = step.instruction.flags.iter().filter(|it| it.name == "from").filter_map(|it| it.value.as_ref());
        let of_mounts = match &step.instruction.kind {
            Kind::Run(run) => run.mounts.as_slice(),
            _ => &[],
        };
        let of_mounts = of_mounts.iter().flat_map(|it| &it.fields).filter(|it| it.name == "from").filter_map(|it| it.value.as_ref());
        for name in of_flags.chain(of_mounts).filter(|it| view.dockerfile.stage(&it.text).is_none()) {
            places.entry(&name.text).or_default().push(name.span(Span::new(0, name.text.len())));
        }
    }
    let image = |text: &str, span: Span| Image { span, text: text.to_owned(), expanded: Some(text.to_owned()), arguments: Vec::new() };
    let first = |(text, spans): (&str, Vec<Span>)| spans.split_first().map(|(first, others)| (image(text, *first), others.to_vec()));
    places.into_iter().filter_map(first).collect()
}

/// What is said of a base image that no layer stands on.
const NO_LAYERS: &str = "makes another image";

/// What is said of one on which nothing is run.
const COPIES: &str = "copies all files again";

/// What is said of one on which nothing is run but what takes a moment.
const QUICK: &str = "runs what takes a moment again";

/// What is said of one on which something is run.
const REBUILT: &str = "rebuilds all layers";

/// What costs next to nothing.
const CHEAP: [&str; 3] = [NO_LAYERS, COPIES, QUICK];

/// What is said of an image that files are copied from: they may be the same in the next one.
const COPIED: &str = "may change what is copied from it";

/// What another base image costs, for the stage that names it, by number: the layers on it, in this
/// stage or one that starts from it, or those behind a copy from it.
fn effects(dockerfile: &Dockerfile) -> Vec<&'static str> {
    let stages = &dockerfile.stages;
    // The stage that names the image under each stage; stages start from earlier ones only.
    let mut roots: Vec<usize> = Vec::with_capacity(stages.len());
    let mut effects = vec![NO_LAYERS; stages.len()];
    for stage in stages {
        let root = match stage.base {
            Base::Stage(base) => roots.get(base).copied().unwrap_or(base),
            Base::Image(_) | Base::Scratch => stage.index,
        };
        roots.push(root);
        for copied in dockerfile.sources_of(stage).into_iter().filter_map(|it| roots.get(it).copied()).filter(|it| *it != root) {
            if CHEAP.contains(&effects[copied]) {
                effects[copied] = COPIED;
            }
        }
        let has = |wanted: fn(&Kind) -> bool| stage.instructions.iter().any(|it| wanted(&it.kind));
        if has(|it| matches!(it, Kind::Run(run) if run.reading.cost >= Cost::Download)) {
            effects[root] = REBUILT;
        } else if CHEAP.contains(&effects[root]) {
            if has(|it| matches!(it, Kind::Run(_))) {
                effects[root] = QUICK;
            } else if effects[root] == NO_LAYERS && has(|it| matches!(it, Kind::Copy(_))) {
                effects[root] = COPIES;
            }
        }
    }
    effects
}

/// Whether `text` can name an image; a template names none before it is filled in. Names begin with a letter
/// or a digit (<https://github.com/distribution/reference/blob/main/reference.go>): `./base` means something to another
/// front end.
fn is_reference(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphanumeric()) && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"./-_:@".contains(&it))
}

/// Whether the name of an image says of what release it is, as in `static-debian12` and `ubi9`, or that
/// there are none: then there may be no better tag.
fn names_release(image: &str) -> bool {
    const ROLLING: &[&str] = &["archlinux", "kali-rolling", "wolfi-base", "tumbleweed"];
    let name = split_reference(image).0;
    let name = name.rsplit('/').next().unwrap_or(name);
    let is_release = |it: &str| it.starts_with(|it: char| it.is_ascii_alphabetic()) && it.ends_with(|it: char| it.is_ascii_digit());
    ROLLING.contains(&name) || name.split('-').any(is_release)
}

/// Whether an image can only be one that was built here: names without a namespace belong to Docker
/// Hub's official images.
fn is_local(image: &Image) -> bool {
    image.official().is_some_and(|it| !OFFICIAL.split_ascii_whitespace().any(|official| official == it))
}

/// Docker Hub's official images, retired ones included
/// (<https://github.com/docker-library/official-images/tree/master/library>).
const OFFICIAL: &str = "adminer aerospike almalinux alpine alt amazoncorretto amazonlinux api-firewall arangodb archlinux backdrop bash bonita buildpack-deps \
    busybox caddy cassandra celery centos chronograf cirros clearlinux clefos clickhouse clojure composer consul convertigo couchbase couchdb crate crux dart debian \
    django docker docker-dev drupal eclipse-mosquitto eclipse-temurin eggdrop elasticsearch elixir emqx erlang euleros express-gateway fedora flink fluentd friendica \
    fsharp gazebo gcc geonetwork ghost glassfish golang gradle groovy haproxy haskell haxe hello-seattle hello-world hitch hola-mundo hylang ibm-semeru-runtimes ibmjava influxdb \
    iojs irssi java jenkins jetty jobber joomla jruby julia kaazing-gateway kapacitor kibana known kong krakend lightstreamer liquibase logstash mageia mariadb \
    matomo maven mediawiki memcached monica mongo mongo-express mono mysql nats nats-streaming neo4j neurodebian nextcloud nginx node notary nuodb nuxeo odoo \
    open-liberty openjdk opensuse oraclelinux orientdb owncloud percona perl photon php php-zendserver phpmyadmin piwik plone postfixadmin postgres pypy python \
    r-base rabbitmq rails rakudo-star rapidoid redis redmine registry rethinkdb rocket.chat rockylinux ros ruby rust sapmachine satosa scratch sentry silverpeas \
    sl solr sonarqube sourcemage spark spiped storm swarm swift swipl teamspeak telegraf thrift tomcat tomee traefik ubuntu ubuntu-debootstrap ubuntu-upstart \
    unit varnish vault websphere-liberty wordpress xwiki yourls znc zookeeper";

/// Whether a tag only says how the newest version is built: `alpine`, `slim`, and names of Debian and
/// Ubuntu releases for an official image that is neither.
fn is_variant(image: &Image, tag: &str) -> bool {
    const RELEASES: &[&str] = &["jessie", "stretch", "buster", "bullseye", "bookworm", "trixie", "bionic", "focal", "jammy", "noble"];
    const OF_RELEASES: &[&str] = &["debian", "ubuntu", "buildpack-deps", "neurodebian", "ros"];
    let release_is_variant = image.official().is_some_and(|it| !OF_RELEASES.contains(&it));
    tag.split('-').all(|it| matches!(it, "alpine" | "slim") || release_is_variant && RELEASES.contains(&it))
}

/// Whether a tag names a major version or a channel.
fn moves(tag: &str) -> bool {
    const CHANNELS: &[&str] = &[
        "latest", "stable", "edge", "nightly", "lts", "current", "mainline", "main", "master", "rolling", "dev", "beta", "next", "devel", "sid", "testing",
        "unstable",
    ];
    let first = tag.split('-').next().unwrap_or(tag);
    CHANNELS.contains(&first) || first.strip_prefix('v').unwrap_or(first).bytes().all(|it| it.is_ascii_digit()) && !first.is_empty() && first.len() < 4
}

#[cfg(test)]
mod tests {
    use super::FLOATING_BASE_IMAGE as RULE;
    use crate::rules::testing::check;

    #[test]
    fn no_tag_and_latest_are_warnings() {
        check(&RULE, "FROM ubuntu\n     ^^^^^^ warning: `ubuntu` has no tag, so that every new `latest` rebuilds all layers\nRUN make\n");
        check(&RULE, "FROM ubuntu:latest\n     ^^^^^^^^^^^^^ warning: every new `ubuntu:latest` rebuilds all layers\nRUN make\n");
        check(
            &RULE,
            "FROM registry:5000/app AS x\n     ^^^^^^^^^^^^^^^^^ warning: `registry:5000/app` has no tag, so that every new `latest` rebuilds all layers\nRUN make\n",
        );
    }

    #[test]
    fn a_variant_alone_is_an_information() {
        check(&RULE, "FROM nginx:alpine\n     ^^^^^^^^^^^^ info: `nginx:alpine` moves with every release, which rebuilds all layers\nRUN make\n");
        check(
            &RULE,
            "FROM python:slim-bookworm\n     ^^^^^^^^^^^^^^^^^^^^ info: `python:slim-bookworm` moves with every release, which rebuilds all layers\nRUN make\n",
        );
        for image in ["84codes/crystal:latest-ubuntu-24.04", "ghcr.io/a/b:latest-alpine"] {
            let marks = "^".repeat(image.len());
            check(&RULE, &format!("FROM {image}\n     {marks} info: `{image}` moves with every release, which rebuilds all layers\nRUN make\n"));
        }
        check(&RULE, "FROM debian:bookworm\nRUN make\n");
        check(&RULE, "FROM example.org/base:bookworm\nRUN make\n");
    }

    #[test]
    fn layers_of_a_stage_that_starts_from_it_count() {
        check(&RULE, "FROM alpine:latest AS a\n     ^^^^^^^^^^^^^ warning: every new `alpine:latest` rebuilds all layers\nFROM a AS b\nRUN x\n");
    }

    #[test]
    fn copies_alone_cost_nothing_worth_a_warning() {
        let found = |level: &str, effect: &str| format!("     ^^^^^ {level}: `nginx` has no tag, so that every new `latest` {effect}\n");
        check(&RULE, &format!("FROM nginx\n{}COPY . /usr/share/nginx/html\n", found("info", "copies all files again")));
        check(&RULE, &format!("FROM nginx AS a\n{}COPY a /\nFROM a\nRUN b\n", found("warning", "rebuilds all layers")));
        check(&RULE, &format!("FROM nginx AS a\n{}COPY a /\nFROM scratch\nCOPY --from=a /etc /\n", found("warning", "may change what is copied from it")));
    }

    #[test]
    fn commands_that_take_a_moment_are_no_warning() {
        let found = |level: &str, effect: &str| format!("     ^^^^^^^^ {level}: `postgres` has no tag, so that every new `latest` {effect}\n");
        let quick = "COPY seed.sql /docker-entrypoint-initdb.d/\nRUN chmod a+r /docker-entrypoint-initdb.d/*\n";
        check(&RULE, &format!("FROM postgres\n{}{quick}", found("info", "runs what takes a moment again")));
        check(&RULE, &format!("FROM postgres\n{}{quick}RUN apt-get install -y curl\n", found("warning", "rebuilds all layers")));
        check(&RULE, &format!("FROM postgres\n{}{quick}RUN ./seed.sh\n", found("warning", "rebuilds all layers")));
        check(&RULE, &format!("FROM postgres AS a\n{}{quick}FROM scratch\nCOPY --from=a /a /\n", found("warning", "may change what is copied from it")));
    }

    #[test]
    fn files_that_are_copied_from_it_may_change() {
        check(
            &RULE,
            "
FROM example.org/tool:latest AS tool
     ^^^^^^^^^^^^^^^^^^^^^^^ warning: every new `example.org/tool:latest` may change what is copied from it
FROM alpine:3.20
COPY --from=tool /tool /usr/bin/
",
        );
    }

    #[test]
    fn an_image_may_be_named_by_a_copy_alone() {
        check(
            &RULE,
            "
FROM php:8.3.14-fpm
COPY --from=composer /usr/bin/composer /usr/bin/
            ^^^^^^^^ warning: `composer` has no tag, so that every new `latest` may change what is copied from it
COPY --from=node:22 /usr/local/bin/node /usr/local/bin/
            ^^^^^^^ info: `node:22` moves with every release, which may change what is copied from it
RUN --mount=from=ghcr.io/astral-sh/uv:latest,source=/uv,target=/bin/uv uv sync
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: every new `ghcr.io/astral-sh/uv:latest` may change what is copied from it
RUN --mount=from=ghcr.io/astral-sh/uv:latest,source=/uv,target=/bin/uv uv run a
                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this takes files of it as well
",
        );
    }

    #[test]
    fn a_base_image_is_told_of_where_the_stage_begins() {
        check(
            &RULE,
            "FROM composer\n     ^^^^^^^^ warning: `composer` has no tag, so that every new `latest` rebuilds all layers\nRUN make\nFROM php:8.3.14\nCOPY --from=composer /a /a\n",
        );
    }

    #[test]
    fn other_sources_of_a_copy_are_silent() {
        let loose = "#- docker-bake.hcl\nvariable \"dir\" {}\ntarget \"a\" {\n  dockerfile = \"${dir}/Dockerfile\"\n  contexts = { composer = \"target:${dir}\" }\n}\n#- Dockerfile\n";
        let named = "#- docker-bake.hcl\ntarget \"a\" {\n  contexts = { composer = \"docker-image://composer:2.8.3\" }\n}\n#- Dockerfile\n";
        let lower = "#- .github/workflows/ci.yml\non: push\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v7\n        with: {context: ., build-contexts: composer=docker-image://composer:2.8.3}\n#- dockerfile\n";
        for text in [
            "FROM php:8.3.14\nCOPY --from=composer:2.8.3 /a /a\n",
            "FROM php:8.3.14 AS composer\nRUN make\nFROM php:8.3.14\nCOPY --from=composer /a /a\n",
            "FROM php:8.3.14\nRUN make\nFROM php:8.3.14\nCOPY --from=0 /a /a\n",
            "FROM php:8.3.14\nCOPY --from=app-builder /a /a\n",
            "FROM php:8.3.14\nCOPY --from=composer@sha256:0000000000000000000000000000000000000000000000000000000000000000 /a /a\n",
            "FROM php:8.3.14\nRUN --mount=type=cache,target=/c,from=seed make\n",
            &format!("{named}FROM php:8.3.14\nCOPY --from=composer /a /a\n"),
            &format!("{lower}FROM php:8.3.14\nCOPY --from=composer /a /a\n"),
            &format!("{}FROM php:8.3.14\nCOPY --from=composer /a /a\n", named.replace("= {", "= merge({").replace("8.3\" }", "8.3\" }, {})")),
            &format!("{loose}FROM php:8.3.14\nCOPY --from=composer /a /a\n"),
            &format!("{}FROM php:8.3.14\nCOPY --from=composer /a /a\n", loose.replace("{}", "{ default = \"other\" }")),
        ] {
            check(&RULE, text);
        }
    }

    #[test]
    fn a_context_that_another_dockerfile_is_built_with_is_none_of_this_one() {
        check(
            &RULE,
            "#- docker-bake.hcl
target \"a\" {
  dockerfile = \"other.Dockerfile\"
  contexts = { composer = \"target:b\" }
}
#- Dockerfile
FROM php:8.3.14
COPY --from=composer /a /a
            ^^^^^^^^ warning: `composer` has no tag, so that every new `latest` may change what is copied from it
",
        );
    }

    #[test]
    fn settings_alone_leave_nothing_to_rebuild() {
        check(&RULE, "FROM nginx:latest\n     ^^^^^^^^^^^^ info: every new `nginx:latest` makes another image\nENV A=1\n");
    }

    #[test]
    fn an_image_that_only_the_project_makes_is_silent() {
        check(&RULE, "FROM my-base\nRUN make\n");
        check(&RULE, "FROM my-base:latest\nRUN make\n");
    }

    #[test]
    fn a_template_names_no_image() {
        check(&RULE, "FROM {{baseImage}}\nRUN make\n");
        check(&RULE, "FROM %%BASE%%\nRUN make\n");
    }

    #[test]
    fn a_major_version_is_an_information() {
        check(&RULE, "FROM node:22-alpine\n     ^^^^^^^^^^^^^^ info: `node:22-alpine` moves with every release, which rebuilds all layers\nRUN make\n");
    }

    #[test]
    fn a_name_that_says_the_release_is_an_information() {
        for image in ["gcr.io/distroless/static-debian12", "registry.access.redhat.com/ubi9:latest", "kalilinux/kali-rolling", "archlinux:latest"] {
            let message = match image.split_once(':') {
                Some(_) => format!("every new `{image}` rebuilds all layers"),
                None => format!("`{image}` has no tag, so that every new `latest` rebuilds all layers"),
            };
            check(&RULE, &format!("FROM {image}\n     {} info: {message}\nRUN make\n", "^".repeat(image.len())));
        }
    }

    #[test]
    fn what_is_pinned_or_chosen_elsewhere_is_silent() {
        for text in [
            "FROM node:22.11\n",
            "FROM node@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
            "FROM node:latest@sha256:0000000000000000000000000000000000000000000000000000000000000000\n",
            "FROM scratch\n",
            "ARG BASE\nFROM $BASE\n",
            "ARG TAG=latest\nFROM node:$TAG\n",
            "FROM debian:bookworm-20250101 AS base\nFROM base\n",
            "FROM ubuntu:24.04\n",
            "FROM debian:bookworm-slim\n",
            "# syntax=ghcr.io/example/dockerfile-x:v1\nFROM ./base-os AS base\nRUN make\nCOPY --from=./other /a /b\nCOPY --from=/c /a /b\n",
        ] {
            check(&RULE, text);
        }
    }
}
