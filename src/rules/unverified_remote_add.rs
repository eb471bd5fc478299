use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{Frontend, Kind, is_remote};
use crate::view::DockerfileView;

declare_rule! {
    /// A file is fetched by ADD, and nothing says what it has to be.
    ///
    /// The server is asked on every build, and another answer runs everything below again. With
    /// `--checksum` a file that was fetched once needs no request at all, and one that changes
    /// fails the build instead of changing the image. For a repository, name the commit.
    ///
    /// ```dockerfile,bad
    /// FROM alpine:3.20
    /// ADD https://example.org/tool-1.2.tgz /opt/
    /// RUN tar -xzf /opt/tool-1.2.tgz -C /opt
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM alpine:3.20
    /// ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.org/tool-1.2.tgz /opt/
    /// RUN tar -xzf /opt/tool-1.2.tgz -C /opt
    /// ```
    ///
    /// An address that only a build argument gives is left alone, and so is a repository of which one
    /// gives the commit.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: the checksum is not in the file, and a server is never asked.
    pub(crate) static UNVERIFIED_REMOTE_ADD = {
        name: "unverified-remote-add",
        level: Level::Info,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Copy(copy) = &step.instruction.kind else { continue };
            let has_checksum = step.instruction.flags.iter().any(|it| it.name == "checksum");
            if !copy.add || has_checksum {
                continue;
            }
            let Some(source) = copy.sources.iter().find(|it| is_remote(&it.text) && !is_pinned(&it.text)) else { continue };
            let runs_below = plan.own().any(|(later, it)| later > index && matches!(it.instruction.kind, Kind::Run(_)));
            let effect = if runs_below { "runs everything below again" } else { "makes another layer" };
            let what = if is_repository(&source.text) { "a new commit" } else { "another answer" };
            findings.report(source.span, format!("the server is asked on every build, and {what} {effect}"));
        }
    }
}

/// Whether a source is a repository that git fetches, as BuildKit tells it apart from a file
/// (<https://docs.docker.com/reference/dockerfile/#adding-files-from-a-git-repository>).
fn is_repository(source: &str) -> bool {
    let address = source.split(['#', '?']).next().unwrap_or(source);
    ["git://", "git@", "ssh://"].iter().any(|it| source.starts_with(it)) || address.ends_with(".git")
}

/// Whether the source itself says what it has to be: a commit behind `#` or in a query. What a
/// variable stands for is not known.
fn is_pinned(source: &str) -> bool {
    if source.split(['#', '?']).next().is_some_and(|it| it.trim_start_matches("https://").trim_start_matches("http://").starts_with('$')) {
        return true;
    }
    let fragment = source.split_once('#').map_or("", |it| it.1);
    let reference = fragment.split(':').next().unwrap_or("");
    let is_commit = |it: &str| it.len() == 40 && it.bytes().all(|it| it.is_ascii_hexdigit());
    is_repository(source) && (is_commit(reference) || reference.contains('$') || source.contains("checksum=") || source.contains("commit="))
}

#[cfg(test)]
mod tests {
    use super::UNVERIFIED_REMOTE_ADD as RULE;
    use crate::rules::testing::check;

    #[test]
    fn a_file_may_change() {
        check(
            &RULE,
            "
FROM alpine:3.20
ADD https://example.org/a.tgz /a/
    ^^^^^^^^^^^^^^^^^^^^^^^^^ info: the server is asked on every build, and another answer makes another layer
",
        );
    }

    #[test]
    fn a_branch_of_a_repository_moves() {
        check(
            &RULE,
            "
FROM alpine:3.20
ADD https://example.org/a.git#main /a
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: the server is asked on every build, and a new commit runs everything below again
RUN make -C /a
",
        );
    }

    #[test]
    fn one_finding_is_enough_for_an_instruction() {
        check(
            &RULE,
            "
FROM alpine:3.20
ADD local https://example.org/a https://example.org/b /a/
          ^^^^^^^^^^^^^^^^^^^^^ info: the server is asked on every build, and another answer makes another layer
",
        );
    }

    #[test]
    fn a_checksum_or_a_commit_is_enough() {
        let commit = "24454f830cdb571e2c4ad15481119c43b3cafd48";
        check(&RULE, &format!("FROM alpine:3.20\nADD --checksum=sha256:{commit}dd869a9b2945d1036d1dc68d https://example.org/a.tgz /a/\n"));
        check(&RULE, &format!("FROM alpine:3.20\nADD https://example.org/a.git#{commit}:folder /a/\n"));
        check(&RULE, &format!("FROM alpine:3.20\nADD git@example.org:a/b.git?branch=main&checksum={commit} /a/\n"));
    }

    #[test]
    fn what_is_not_fetched_is_silent() {
        check(&RULE, "FROM alpine:3.20\nADD rootfs.tar.gz /\nADD $URL /a\nADD https://$HOST/a /a\nCOPY https: /b\n");
        check(&RULE, "FROM alpine:3.20\nADD https://example.org/a.git#${COMMIT} /a\n");
    }

    #[test]
    fn another_front_end_may_mean_something_else() {
        check(&RULE, "# syntax=example.org/front-end\nFROM alpine:3.20\nADD https://example.org/a /a\n");
    }
}
