use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{Base, split_reference};
use crate::view::DockerfileView;

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
    /// A tag that only names a major version, or a channel such as `stable`, moves more seldom
    /// and is an information only.
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
    for plan in view.plans() {
        let stage = &view.dockerfile.stages[plan.stage];
        let Base::Image(image) = &stage.base else { continue };
        // Whoever builds may choose the image; a named context may stand for it.
        let named = view.callers.iter().any(|it| it.build.build.contexts.iter().any(|(name, _)| *name == image.text));
        if !image.arguments.is_empty() || image.text.is_empty() || named {
            continue;
        }
        let (_, tag, digest) = split_reference(&image.text);
        if digest.is_some() {
            continue;
        }
        match tag {
            None => drop(findings.report(image.span, format!("`{}` has no tag, so that every new `latest` rebuilds all layers", image.text))),
            Some("latest") => drop(findings.report(image.span, format!("every new `{}` rebuilds all layers", image.text))),
            Some(tag) if moves(tag) => {
                drop(findings.report(image.span, format!("`{}` moves with every release, which rebuilds all layers", image.text)).level(Level::Info))
            }
            Some(_) => {}
        }
    }
}

/// Whether a tag names a major version or a channel.
fn moves(tag: &str) -> bool {
    const CHANNELS: &[&str] =
        &["stable", "edge", "nightly", "lts", "current", "mainline", "main", "master", "rolling", "dev", "beta", "next", "devel", "sid", "testing", "unstable"];
    let first = tag.split('-').next().unwrap_or(tag);
    CHANNELS.contains(&first) || first.strip_prefix('v').unwrap_or(first).bytes().all(|it| it.is_ascii_digit()) && !first.is_empty() && first.len() < 4
}

#[cfg(test)]
mod tests {
    use super::FLOATING_BASE_IMAGE as RULE;
    use crate::rules::testing::check;

    #[test]
    fn no_tag_and_latest_are_warnings() {
        check(&RULE, "FROM ubuntu\n     ^^^^^^ warning: `ubuntu` has no tag, so that every new `latest` rebuilds all layers\n");
        check(&RULE, "FROM ubuntu:latest\n     ^^^^^^^^^^^^^ warning: every new `ubuntu:latest` rebuilds all layers\n");
        check(
            &RULE,
            "FROM registry:5000/app AS x\n     ^^^^^^^^^^^^^^^^^ warning: `registry:5000/app` has no tag, so that every new `latest` rebuilds all layers\n",
        );
    }

    #[test]
    fn a_major_version_is_an_information() {
        check(&RULE, "FROM node:22-alpine\n     ^^^^^^^^^^^^^^ info: `node:22-alpine` moves with every release, which rebuilds all layers\n");
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
        ] {
            check(&RULE, text);
        }
    }
}
