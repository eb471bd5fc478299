use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Copy, Frontend, Image, Instruction, Kind, line_end};
use crate::edit::{Edit, EditSet, Span};
use crate::facts;
use crate::shell::Word;
use crate::view::DockerfileView;

declare_rule! {
    /// A linked copy cannot work, or damages the image.
    ///
    /// With `--link` the files are copied to an empty file system, which is then laid over what the
    /// stage has. There is no `/etc/passwd` there, so that `--chown` with a name fails. And there
    /// are no links: the folders above the destination are made anew, and where one of them is a
    /// symbolic link in the image, as `/bin` is in current Debian, Ubuntu and Fedora, a folder with
    /// nothing but the copied file takes its place.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN useradd app
    /// COPY --link --chown=app:app . /app
    /// ```
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// COPY --link tool /bin/tool
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// RUN useradd -u 1000 app
    /// COPY --link --chown=1000:1000 . /app
    /// COPY --link tool /usr/local/bin/tool
    /// ```
    ///
    /// With `--chmod` the builder takes no notice of `--link`, which is an information only; a copy
    /// to `/tmp`, which takes from everybody but root the right to write there, is a warning.
    ///
    /// ## Fix safety
    ///
    /// Unsafe: the build fails, or makes another image, before. The fix takes `--link` away.
    pub(crate) static BROKEN_LINK_COPY = {
        name: "broken-link-copy",
        level: Level::Error,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// Links of a file system whose programs all live below `/usr`.
const MERGED: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Links of every distribution that is current.
const VOLATILE: &[&str] = &["/var/run", "/var/lock"];

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Copy(copy) = &step.instruction.kind else { continue };
            if !copy.link {
                continue;
            }
            let at = flag_span(step.instruction, "link").unwrap_or(step.instruction.span);
            let finding = if step.instruction.flags.iter().any(|it| it.name == "chmod") {
                findings.report(at, "`--link` has no effect together with `--chmod`").level(Level::Info)
            } else if let Some(owner) = named_owner(copy) {
                let at = flag_span(step.instruction, "chown").unwrap_or(at);
                findings.report(at, format!("a linked copy cannot look up the name `{owner}`: the build fails"))
            } else if let Some(damage) = damage(plan, index, copy) {
                let finding = findings.report(copy.destination.span, damage.message);
                let finding = if damage.is_partial { finding.level(Level::Warning) } else { finding };
                match damage.cause {
                    Some(cause) => finding.note(cause, "the link is made here"),
                    None => finding,
                }
            } else {
                continue;
            };
            drop(finding.maybe_fix(|| without_link(view, step.instruction).map(|it| view.suggestion("Copy without `--link`", it))));
        }
    }
}

fn flag_span(instruction: &Instruction, name: &str) -> Option<Span> {
    instruction.flags.iter().rev().find(|it| it.name == name).map(|it| it.span)
}

/// The name in `--chown` that only a file of the image can tell. Root is known without one.
fn named_owner(copy: &Copy) -> Option<&str> {
    let owner = copy.chown.as_deref().filter(|it| !it.contains('$'))?;
    let is_known = |it: &str| it.is_empty() || it == "root" || it.bytes().all(|it| it.is_ascii_digit());
    owner.split(':').find(|it| !is_known(it))
}

/// What a linked copy does to the image.
struct Damage {
    message: String,
    /// The instruction that makes the link.
    cause: Option<Span>,
    /// Whether the rest of the folder stays usable.
    is_partial: bool,
}

fn damage(plan: &Plan<'_>, index: usize, copy: &Copy) -> Option<Damage> {
    let destination = plan.destination(index)?;
    let replaced = |link: &str| format!("`{link}` is a symbolic link in the image, and a linked copy puts a folder in its place");
    let of_base = MERGED.iter().filter(|_| is_merged(plan)).chain(VOLATILE.iter().filter(|_| plan.image().is_some_and(is_distribution)));
    let mut touched = folders_made(plan, index, copy, destination);
    // Whatever lands on the link itself takes its place, be it a file.
    if let Some(link) = of_base.copied().find(|link| *link == destination || touched.iter().any(|it| it == link)) {
        return Some(Damage { message: replaced(link), cause: None, is_partial: false });
    }
    if let Some((link, cause)) = links_before(plan, index).find(|(link, _)| touched.iter().any(|it| it == link)) {
        return Some(Damage { message: replaced(&link), cause: Some(cause), is_partial: false });
    }
    touched.retain(|it| it == "/tmp" || it == "/var/tmp");
    let folder = touched.first().filter(|_| plan.image().is_some())?;
    Some(Damage { message: format!("a linked copy makes `{folder}` anew, where only root may write then"), cause: None, is_partial: true })
}

/// The folders that a copy makes anew: those above what it brings. What it brings to `/` itself is
/// known of the build context alone.
fn folders_made(plan: &Plan<'_>, index: usize, copy: &Copy, destination: &str) -> Vec<String> {
    let mut res = Vec::new();
    let names_folder = copy.destination.text.ends_with('/') || copy.sources.len() > 1;
    let mut folder = if names_folder { destination } else { facts::parent(destination) };
    while folder != "/" {
        res.push(folder.to_owned());
        folder = facts::parent(folder);
    }
    let mut brought = |folder: &str| {
        let entries = plan.context.list(folder).unwrap_or_default();
        res.extend(entries.into_iter().filter(|(_, it)| *it == facts::Entry::Folder).map(|(name, _)| facts::join(destination, &name)));
    };
    if copy.from.is_none() && (destination == "/" || destination == "/var") {
        let sources = plan.sources(index);
        sources.iter().filter(|it| plan.context.entry(it) == Some(Some(facts::Entry::Folder))).for_each(|it| brought(it));
    }
    res
}

/// Symbolic links that commands before `index` make, each with the command's place.
fn links_before<'p>(plan: &'p Plan<'_>, index: usize) -> impl Iterator<Item = (String, Span)> + 'p {
    plan.steps[..index].iter().flat_map(move |step| {
        let run = match &step.instruction.kind {
            Kind::Run(run) => Some(run),
            _ => None,
        };
        run.into_iter().flat_map(|run| run.script.commands.iter().map(move |it| (run, it))).filter_map(move |(run, command)| {
            if command.program() != Some("ln") || command.depth > 0 {
                return None;
            }
            let words: Option<Vec<&str>> = command.words.iter().map(Word::literal).collect();
            let words = words?;
            let is_symbolic = words.iter().any(|it| it.starts_with('-') && !it.starts_with("--") && it.contains('s'));
            let operands: Vec<&&str> = words.iter().skip(1).filter(|it| !it.starts_with('-')).collect();
            // Into a folder, the link has the name of what it leads to.
            let [_, link] = operands[..] else { return None };
            if !is_symbolic || link.ends_with('/') {
                return None;
            }
            Some((step.state.path(link, plan.dockerfile.escape)?, run.command.span(command.span)))
        })
    })
}

fn is_merged(plan: &Plan<'_>) -> bool {
    plan.image().is_some_and(has_merged_folders)
}

/// Whether an image is one of those whose `/bin` is a link: Debian 12 and later, Ubuntu 20.04 and
/// later, Fedora and its kin (<https://wiki.debian.org/UsrMerge>). Official images name the release
/// they stand on.
fn has_merged_folders(image: &Image) -> bool {
    let (Some(name), Some((_, tag, _))) = (image.official(), image.parts()) else { return false };
    let tag = tag.unwrap_or("latest");
    let number = || tag.split(['.', '-']).next().and_then(|it| it.parse::<u32>().ok());
    let release = tag.split('-').any(|it| matches!(it, "bookworm" | "trixie" | "jammy" | "noble"));
    match name {
        "debian" => release || number().is_some_and(|it| it >= 12) || matches!(tag, "latest" | "stable" | "stable-slim"),
        "ubuntu" => release || number().is_some_and(|it| it >= 20) || matches!(tag, "latest" | "focal"),
        "fedora" | "rockylinux" | "almalinux" | "archlinux" | "amazonlinux" | "oraclelinux" | "centos" => true,
        _ => release,
    }
}

/// Whether an image is a distribution, or stands on one that its tag names.
fn is_distribution(image: &Image) -> bool {
    has_merged_folders(image) || image.official().is_some_and(|it| matches!(it, "debian" | "ubuntu" | "alpine"))
}

/// Takes the flag away, with the blanks behind it.
fn without_link(view: &DockerfileView<'_>, instruction: &Instruction) -> Option<EditSet> {
    let flags: Vec<Span> = instruction.flags.iter().filter(|it| it.name == "link").map(|it| it.span).collect();
    let with_blanks = |flag: &Span| {
        let rest = view.source.get(flag.end..line_end(&view.source, flag.end)).unwrap_or("");
        Span::new(flag.start, flag.end + rest.len() - rest.trim_start_matches([' ', '\t']).len())
    };
    EditSet::new(flags.iter().map(|it| Edit::delete(with_blanks(it))).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::BROKEN_LINK_COPY as RULE;
    use crate::rules::testing::{check, check_unsafe_fix};

    #[test]
    fn a_name_cannot_be_looked_up() {
        check_unsafe_fix(
            &RULE,
            "
FROM node:22.11
COPY --link --chown=node:node . /app
            ^^^^^^^^^^^^^^^^^ error: a linked copy cannot look up the name `node`: the build fails
",
            "
FROM node:22.11
COPY --chown=node:node . /app
",
        );
        check(
            &RULE,
            "
FROM node:22.11
COPY --link --chown=1000:node . /app
            ^^^^^^^^^^^^^^^^^ error: a linked copy cannot look up the name `node`: the build fails
",
        );
    }

    #[test]
    fn numbers_root_and_variables_are_silent() {
        for owner in ["1000", "1000:1000", "root", "root:root", "0:root", "$USER", "${UID}:${GID}"] {
            check(&RULE, &format!("FROM node:22.11\nCOPY --link --chown={owner} . /app\n"));
        }
        check(&RULE, "FROM node:22.11\nCOPY --chown=node:node . /app\nCOPY --link=false --chown=node . /b\n");
    }

    #[test]
    fn chmod_turns_it_off() {
        check(
            &RULE,
            "
FROM node:22.11
COPY --link --chmod=755 --chown=node:node a /app/
     ^^^^^^ info: `--link` has no effect together with `--chmod`
",
        );
    }

    #[test]
    fn a_link_of_the_distribution_is_replaced() {
        check(
            &RULE,
            "
FROM debian:bookworm-slim
COPY --link tool /bin/tool
                 ^^^^^^^^^ error: `/bin` is a symbolic link in the image, and a linked copy puts a folder in its place
",
        );
        check(
            &RULE,
            "
FROM alpine:3.20
COPY --link socket /var/run/app/
                   ^^^^^^^^^^^^^ error: `/var/run` is a symbolic link in the image, and a linked copy puts a folder in its place
",
        );
    }

    #[test]
    fn what_lands_on_the_link_itself_replaces_it() {
        check(
            &RULE,
            "
FROM fedora:41
COPY --link lib /lib
                ^^^^ error: `/lib` is a symbolic link in the image, and a linked copy puts a folder in its place
",
        );
    }

    #[test]
    fn a_root_with_such_folders_is_known_by_its_files() {
        check(
            &RULE,
            "
#- rootfs/bin/tool
#- rootfs/etc/tool
#- Dockerfile
FROM ubuntu:24.04
COPY --link rootfs/ /
                    ^ error: `/bin` is a symbolic link in the image, and a linked copy puts a folder in its place
",
        );
        check(&RULE, "#- rootfs/usr/bin/tool\n#- Dockerfile\nFROM ubuntu:24.04\nCOPY --link rootfs/ /\n");
        check(&RULE, "#- rootfs/bin/tool\n#- Dockerfile\nFROM scratch\nCOPY --link rootfs/ /\n");
        check(&RULE, "FROM ubuntu:24.04\nCOPY --link --from=busybox:1.37 / /\n");
    }

    #[test]
    fn a_link_that_a_command_makes_is_replaced() {
        check(
            &RULE,
            "
FROM alpine:3.20
RUN mkdir /data && ln -s /data /srv/app
                   ^^^^^^^^^^^^^^^^^^^^ note: the link is made here
COPY --link site /srv/app/site
                 ^^^^^^^^^^^^^ error: `/srv/app` is a symbolic link in the image, and a linked copy puts a folder in its place
",
        );
        check(&RULE, "FROM alpine:3.20\nRUN ln -s /data /srv/other\nCOPY --link site /srv/app/site\n");
        check(&RULE, "FROM alpine:3.20\nRUN ln /data /srv/app\nCOPY --link site /srv/app/site\n");
    }

    #[test]
    fn the_folder_for_everybody_is_made_anew() {
        check(
            &RULE,
            "
FROM alpine:3.20
COPY --link a /tmp/a
              ^^^^^^ warning: a linked copy makes `/tmp` anew, where only root may write then
",
        );
        check(&RULE, "FROM scratch\nCOPY --link a /tmp/a\n");
    }

    #[test]
    fn a_real_folder_is_silent() {
        for from in ["alpine:3.20", "debian:11", "debian:bullseye-slim", "node:22.11-alpine", "example.org/debian:12", "scratch"] {
            check(&RULE, &format!("FROM {from}\nCOPY --link tool /bin/tool\n"));
        }
        check(&RULE, "FROM debian:12\nCOPY --link tool /usr/bin/tool\nCOPY tool /bin/tool\nCOPY --link . /binary\nCOPY --link lib /app/lib\n");
    }
}
