use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::Plan;
use crate::dockerfile::{Copy, Frontend, Kind, Run};
use crate::edit::Span;
use crate::effects::Place;
use crate::facts;
use crate::shell::{Command, Word};
use crate::view::DockerfileView;
use std::collections::HashSet;

declare_rule! {
    /// Owner or mode of copied files are changed in a layer of their own.
    ///
    /// A layer holds whole files: `chown -R` puts every file that it changes into the image a second
    /// time, and does it again whenever one of them changes. A copy can give its files the owner
    /// and the mode at once.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN useradd app
    /// WORKDIR /app
    /// COPY . .
    /// RUN chown -R app:app /app
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN useradd app
    /// WORKDIR /app
    /// RUN chown app:app /app
    /// COPY --chown=app:app . .
    /// ```
    ///
    /// Left alone are folders below the copied one, single files of text, `chmod` that only lets read or
    /// run, which changes few files, files that their copy has given an owner already, files that a
    /// command removes or moves away before, and a program that the same instruction gives capabilities.
    ///
    /// Below `/etc` it is an information only: configuration is small.
    ///
    /// Where commands have made files in the folder as well, run them as that user: `USER app`
    /// above them leaves nothing to change.
    ///
    /// ## Fix safety
    ///
    /// Safe if `chown` is all that the instruction does, it names user and group, the copies bring all
    /// there is in the folder, and nothing runs in between. A folder that WORKDIR made keeps a `chown`
    /// of its own: a copy does not change the owner of what is there. Otherwise the fix is unsafe, or
    /// there is none.
    pub(crate) static RECURSIVE_CHOWN_LAYER = {
        name: "recursive-chown-layer",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let changes = run.script.commands.iter().flat_map(|it| changes(plan, index, run, it));
            let Some(change) = changes.min_by_key(Change::is_of_configuration) else { continue };
            let program = change.program;
            let message = format!("`{program} -R` puts all of `{}` into the image a second time, on every change of it", change.folder);
            let finding = findings
                .report(change.span, message)
                .note(plan.steps[change.copy].instruction.span, format!("`--{program}` can do it here, without another layer"));
            let finding = if change.is_of_configuration() { finding.level(Level::Info) } else { finding };
            if program != "chown" {
                continue;
            }
            drop(match view.prove(plan.stage, |it| it.own_copies(&view.source, index)) {
                Ok(proven) => finding.fix(view.reflagging("Copy with `--chown`", proven)),
                Err(refusal) => finding.unproven(&refusal).maybe_fix(|| Some(view.suggestion("Copy with `--chown`", plan.suggest_owner(&view.source, index)?))),
            });
        }
    }
}

/// A command that changes all that a copy has brought.
struct Change {
    program: &'static str,
    span: Span,
    folder: String,
    /// The last copy into the folder.
    copy: usize,
}

impl Change {
    /// Whether it changes configuration, which is small.
    fn is_of_configuration(&self) -> bool {
        facts::is_below(&self.folder, "/etc")
    }
}

fn changes(plan: &Plan<'_>, index: usize, run: &Run, command: &Command) -> Vec<Change> {
    let program = match command.program() {
        Some("chown") => "chown",
        Some("chmod") => "chmod",
        _ => return Vec::new(),
    };
    let words = command.invocation().map_or(&[][..], |it| it.arguments());
    let is_recursive = |it: &Word| it.text == "--recursive" || (it.text.starts_with('-') && !it.text.starts_with("--") && it.text.contains('R'));
    let mut operands = words.iter().filter(|it| !it.text.starts_with('-'));
    let Some(mode) = operands.next().map(|it| it.text.as_str()) else { return Vec::new() };
    // With `--from` it changes what has another owner than it should, which may be little.
    let changes_all = if program == "chown" { !matches!(mode, "root" | "root:root" | "0" | "0:0") } else { !only_lets_read(mode) };
    if !words.iter().any(is_recursive) || words.iter().any(|it| it.text.starts_with("--from")) || !changes_all {
        return Vec::new();
    }
    // Behind `cd` a relative path is not known.
    let moves = run.script.commands.iter().any(|it| matches!(it.program(), Some("cd" | "pushd")));
    let step = &plan.steps[index];
    let mut res = Vec::new();
    for operand in operands.filter(|it| it.literal().is_some() && (it.text.starts_with('/') || !moves)) {
        let Some(folder) = step.state.path(&operand.text, plan.dockerfile.escape).filter(|it| it != "/") else { continue };
        if run.script.commands.iter().any(|it| sets_capabilities(it, &operand.text)) {
            continue;
        }
        let last = (0..index).rev().find(|it| brings_below(plan, *it, &folder, program, mode));
        if let Some(copy) = last.filter(|it| !is_taken_away(plan, *it, index, command.span)) {
            res.push(Change { program, span: run.command.span(command.span), folder, copy });
        }
    }
    res
}

/// Whether a command gives a program capabilities, which a copy cannot do: then it is in this layer anyway.
fn sets_capabilities(command: &Command, path: &str) -> bool {
    command.program() == Some("setcap") && command.words.iter().any(|it| it.text == path)
}

/// Whether a mode asks for what files of a repository have, or only makes files executable: the few
/// that it changes make a small layer.
fn only_lets_read(mode: &str) -> bool {
    mode.split(',').all(|it| match (it.split_once('+'), it.split_once('-')) {
        (Some((who, what)), _) => {
            let of_owner = who == "u";
            who.bytes().all(|it| b"ugoa".contains(&it)) && what.bytes().all(|it| b"rxX".contains(&it) || of_owner && it == b'w')
        }
        (None, Some((who, what))) => !who.is_empty() && who.bytes().all(|it| b"go".contains(&it)) && what == "w",
        (None, None) => false,
    })
}

/// Whether a copy brings a folder, or a program, to `folder` or below it, and leaves to the command
/// what its flag could do.
fn brings_below(plan: &Plan<'_>, index: usize, folder: &str, program: &str, mode: &str) -> bool {
    let step = &plan.steps[index];
    let Kind::Copy(copy) = &step.instruction.kind else { return false };
    let is_below = |it: &Place| matches!(it, Place::Tree { root, .. } if facts::is_below(root, folder));
    let flag = step.instruction.flags.iter().find(|it| it.name == program).and_then(|it| it.value.as_ref());
    let is_done = flag.is_some_and(|it| it.text == mode || program == "chown");
    let brings_much = plan.sources(index).iter().any(|it| !is_small(plan, copy, it));
    !copy.heredoc && !is_done && brings_much && step.effects.writes.iter().any(is_below)
}

/// Whether commands between the copy `from` and the one at `until` in the step `index` remove or move
/// away all that was copied: a package that is installed, or a script for another folder.
fn is_taken_away(plan: &Plan<'_>, from: usize, index: usize, until: Span) -> bool {
    let Kind::Copy(copy) = &plan.steps[from].instruction.kind else { return false };
    let runs = (from + 1..=index).filter_map(|at| match &plan.steps[at].instruction.kind {
        Kind::Run(run) => Some((at, run)),
        _ => None,
    });
    let before = runs.flat_map(|(at, run)| run.script.commands.iter().filter(move |it| at < index || it.span.end <= until.start));
    let taken: HashSet<&str> = before.flat_map(taken_away).map(|it| facts::name(it.text.trim_end_matches('/'))).collect();
    let is_taken = |it: &str| taken.contains(facts::name(it.trim_end_matches('/')));
    // One source may have another name in the image.
    let is_renamed = copy.sources.len() == 1 && !copy.destination.text.ends_with('/') && is_taken(&copy.destination.text);
    is_renamed || (!copy.sources.is_empty() && copy.sources.iter().all(|it| is_taken(&it.text)))
}

/// What `rm` and `mv` take from where it is.
fn taken_away(command: &Command) -> Vec<&Word> {
    let words = command.invocation().map_or(&[][..], |it| it.arguments());
    let mut operands: Vec<&Word> = words.iter().filter(|it| !it.text.starts_with('-')).collect();
    match command.program() {
        Some("rm") => operands,
        Some("mv") => {
            operands.pop();
            operands
        }
        _ => Vec::new(),
    }
}

/// Whether a source is one file of text or configuration.
fn is_small(plan: &Plan<'_>, copy: &Copy, source: &str) -> bool {
    const SMALL: &[&str] =
        &["cfg", "conf", "css", "env", "html", "ini", "js", "json", "lock", "md", "mod", "py", "sh", "sum", "toml", "ts", "txt", "xml", "yaml", "yml"];
    let entry = if copy.from.is_none() { plan.context.entry(source).flatten() } else { None };
    match entry {
        Some(facts::Entry::File) => true,
        Some(_) => false,
        None => facts::name(source).rsplit_once('.').is_some_and(|(_, it)| SMALL.contains(&it)),
    }
}

#[cfg(test)]
mod tests {
    use super::RECURSIVE_CHOWN_LAYER as RULE;
    use crate::rules::testing::{check, check_fix, check_unsafe_fix, check_without_fix, marked};

    #[test]
    fn a_program_that_is_given_capabilities_is_in_the_layer_anyway() {
        check(&RULE, "FROM debian:12.9\nCOPY server /bin/server\nRUN chown -R app:app /bin/server && setcap cap_net_bind_service=+ep /bin/server\n");
        check(
            &RULE,
            "
FROM debian:12.9
COPY server /opt/server
^^^^^^^^^^^^^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R app:app /opt/server && setcap cap_net_bind_service=+ep /opt/server/bin/a
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/opt/server` into the image a second time, on every change of it
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this does more than change the owner of one folder
",
        );
    }

    #[test]
    fn what_is_removed_under_its_new_name_is_not_in_the_layer() {
        let from = "FROM debian:12.9\nRUN useradd u\n";
        check(
            &RULE,
            &format!("{from}COPY --from=org/b:1.2.3 /v.deb /opt/w.deb\nRUN apt-get install -y /opt/w.deb && rm -f /opt/w.deb\nRUN chown -R u:u /opt\n"),
        );
        check(&RULE, &format!("{from}COPY big /opt/huge\nRUN rm -rf /opt/huge\nRUN chown -R u:u /opt\n"));
        let copied = marked(
            &format!("{from}COPY big /opt/huge\nRUN rm -rf /opt/other\n"),
            "COPY big /opt/huge",
            "note: `--chown` can do it here, without another layer",
        );
        let found = "RUN chown -R u:u /opt\n    ^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/opt` into the image a second time, on every change of it\n^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: the base image may have files in `/opt`\n";
        check(&RULE, &format!("{copied}{found}"));
    }

    #[test]
    fn configuration_is_an_information() {
        check(
            &RULE,
            "
#- crontab/app

#- Dockerfile
FROM debian:12.9
COPY crontab /etc/cron.d
^^^^^^^^^^^^^^^^^^^^^^^^ note: `--chmod` can do it here, without another layer
RUN chmod -R 644 /etc/cron.d
    ^^^^^^^^^^^^^^^^^^^^^^^^ info: `chmod -R` puts all of `/etc/cron.d` into the image a second time, on every change of it
",
        );
    }

    #[test]
    fn what_is_changed_beside_configuration_counts() {
        let message = "warning: `chmod -R` puts all of `/opt/app` into the image a second time, on every change of it";
        for (before, command) in [("chmod -R 600 /etc/app && ", "chmod -R 600 /opt/app"), ("", "chmod -R 600 /etc/app /opt/app")] {
            let copies = "#- conf/a.conf\n\n#- src/a\n\n#- Dockerfile\nFROM debian:12.9\nCOPY conf /etc/app\nCOPY src /opt/app\n";
            let copied = marked(copies, "COPY src /opt/app", "note: `--chmod` can do it here, without another layer");
            check(&RULE, &marked(&format!("{copied}RUN {before}{command}\n"), command, message));
        }
    }

    #[test]
    fn copies_take_the_owner_themselves() {
        check_fix(
            &RULE,
            "
#- src/a
#- web/b
#- Dockerfile
FROM alpine:3.20
COPY src /app/src
ENV A=1
copy --chmod=755 web /app/web
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `--chown` can do it here, without another layer
# Theirs.
RUN chown -R 1000:1000 /app
    ^^^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
USER 1000
",
            "
FROM alpine:3.20
# Theirs.
COPY --chown=1000:1000 src /app/src
ENV A=1
copy --chown=1000:1000 --chmod=755 web /app/web
USER 1000
",
        );
    }

    #[test]
    fn a_folder_that_is_there_keeps_its_own_chown() {
        check_fix(
            &RULE,
            "
FROM node:22.11-slim
WORKDIR /app
COPY . .
^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R node:node .
    ^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
            "
FROM node:22.11-slim
WORKDIR /app
RUN chown node:node .
COPY --chown=node:node . .
",
        );
    }

    #[test]
    fn without_a_group_another_one_is_set() {
        check_unsafe_fix(
            &RULE,
            "
FROM node:22.11-slim
COPY . /app
^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R node /app
    ^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: `chown` leaves the group as it is, and `--chown` would not
",
            "
FROM node:22.11-slim
COPY --chown=node . /app
",
        );
    }

    #[test]
    fn what_a_command_has_made_is_changed_as_well() {
        check_without_fix(
            &RULE,
            "
FROM node:22.11-slim
WORKDIR /app
COPY . .
^^^^^^^^ note: `--chown` can do it here, without another layer
RUN npm run build
^^^^^^^^^^^^^^^^^ note: no safe fix: this may write to `/app`
RUN chown -R node:node /app
    ^^^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
        );
    }

    #[test]
    fn a_command_among_others_counts_but_has_no_fix() {
        check_without_fix(
            &RULE,
            "
FROM node:22.11-slim
COPY . /srv/app
^^^^^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN useradd x && chown -R x:x /srv/app
                 ^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/srv/app` into the image a second time, on every change of it
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this does more than change the owner of one folder
",
        );
    }

    #[test]
    fn a_home_may_be_made_there() {
        for command in ["useradd -m -b / app", "useradd -d /app app", "adduser -D -h /app app"] {
            check(
                &RULE,
                &format!(
                    "
FROM debian:12.9
RUN {command}
{} note: no safe fix: this may write to `/app`
COPY . /app
^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R 1:1 /app
    ^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
                    "^".repeat(command.len() + 4)
                ),
            );
        }
    }

    #[test]
    fn users_that_are_made_before_are_known_to_the_copy() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN groupadd -g 999 app && useradd -r -u 999 -g app app
COPY . /app
^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R app:app /app
    ^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
            "
FROM debian:12.9
RUN groupadd -g 999 app && useradd -r -u 999 -g app app
COPY --chown=app:app . /app
",
        );
    }

    #[test]
    fn a_user_that_is_made_between_is_not() {
        check_without_fix(
            &RULE,
            "
FROM debian:12.9
COPY . /app
^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN useradd app
^^^^^^^^^^^^^^^ note: no safe fix: this runs before the owner is changed
RUN chown -R app:app /app
    ^^^^^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
        );
    }

    #[test]
    fn an_unknown_base_image_may_have_files_there() {
        check_unsafe_fix(
            &RULE,
            "
FROM example.org/base:1.2
COPY . /app
^^^^^^^^^^^ note: `--chown` can do it here, without another layer
RUN chown -R 1:1 /app
    ^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: the base image may have files in `/app`
",
            "
FROM example.org/base:1.2
COPY --chown=1:1 . /app
",
        );
    }

    #[test]
    fn files_of_another_stage_have_owners_of_their_own() {
        check_without_fix(
            &RULE,
            "
FROM alpine:3.20 AS build
FROM alpine:3.20
COPY --from=build /out /app
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: `--chown` can do it here, without another layer
^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: no safe fix: this brings files whose owner is not known
RUN chown -R 1:1 /app
    ^^^^^^^^^^^^^^^^^ warning: `chown -R` puts all of `/app` into the image a second time, on every change of it
",
        );
    }

    #[test]
    fn modes_count_too() {
        check_without_fix(
            &RULE,
            "
FROM alpine:3.20
COPY . /app
^^^^^^^^^^^ note: `--chmod` can do it here, without another layer
RUN chmod -R 777 /app
    ^^^^^^^^^^^^^^^^^ warning: `chmod -R` puts all of `/app` into the image a second time, on every change of it
",
        );
    }

    #[test]
    fn little_or_nothing_is_changed() {
        for text in [
            "FROM php:8.3\nCOPY . /app\nRUN chown -R www-data:www-data /app/storage\n",
            "FROM php:8.3\nCOPY . /app\nRUN chown www-data:www-data /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN chown -R root:root /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN chown --from root:root -R app:app /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN chmod -R a+rX,u+x /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN chmod -R u+rwX,go+rX,go-w /app\n",
            "FROM php:8.3\nCOPY --chown=www-data:www-data . /app\nRUN make\nRUN chown -R www-data:www-data /app\n",
            "FROM php:8.3\nCOPY --chmod=755 . /app\nRUN chmod -R 755 /app\n",
            "FROM php:8.3\nCOPY app.conf /etc/app/default.conf\nRUN chown -R www-data /etc/app\n",
            "FROM php:8.3\nCOPY --from=build /out/a.json /out/b.sh /app/\nRUN chown -R www-data /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN chmod -R +x /app\n",
            "FROM php:8.3\nCOPY run.sh app.deb /tmp/\nRUN mv /tmp/run.sh /bin && dpkg -i /tmp/app.deb && rm /tmp/app.deb && chown -R app:app /tmp\n",
            "FROM php:8.3\nRUN mkdir /data && chown -R www-data:www-data /data\nCOPY . /app\n",
            "FROM php:8.3\nRUN chown -R www-data:www-data /app\nCOPY . /app\n",
            "FROM php:8.3\nCOPY . /app\nRUN cd /data && chown -R www-data:www-data .\n",
            "FROM php:8.3\nCOPY . /app\nRUN chown -R www-data:www-data $DATA\n",
            "#- run.sh\n#- Dockerfile\nFROM php:8.3\nCOPY run.sh /opt/app/\nRUN chmod -R 755 /opt/app\n",
            "# syntax=example.org/front-end\nFROM php:8.3\nCOPY . /app\nRUN chown -R www-data:www-data /app\n",
        ] {
            check(&RULE, text);
        }
    }
}
