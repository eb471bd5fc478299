use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::plan::{Plan, Step};
use crate::dockerfile::{Kind, Run};
use crate::ecosystem::{self, Action, Manager, quiet};
use crate::edit::{Edit, EditSet, Span};
use crate::facts;
use crate::shell::Join;
use crate::view::DockerfileView;
use std::collections::BTreeMap;

declare_rule! {
    /// Packages are installed from an index that another layer brings, or that is not there.
    ///
    /// `apt-get install` takes versions from the index that the last `apt-get update` left. When this
    /// instruction runs again, the layers above it come from the cache, and their index is as old
    /// as they are: it names versions that are no longer on the server. Where an earlier instruction
    /// removes the index, or the image has none, the install fails at once.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
    /// RUN apt-get install -y jq
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM debian:12.9-slim
    /// RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
    /// RUN apt-get update && apt-get install -y jq && rm -rf /var/lib/apt/lists/*
    /// ```
    ///
    /// All that rely on the same index are one finding. An update in an instruction of its own is
    /// `split-index-update`. Silent where a cache mount
    /// brings the index, for files on disk, and where a script or an image that is not known may
    /// have updated it.
    ///
    /// ## Fix safety
    ///
    /// The update may bring newer packages, so that the fix is not safe.
    pub(crate) static INSTALL_WITHOUT_INDEX_UPDATE = {
        name: "install-without-index-update",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        // All that rely on the same index have one cause.
        let mut by_index: BTreeMap<Index, Vec<Stale<'_>>> = BTreeMap::new();
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let Some(install) = stale_install(plan, index, step, run) else { continue };
            let Some(index_of) = index_before(plan, index) else { continue };
            let span = if run.shell_form { run.command.span(install.span) } else { step.instruction.span };
            by_index.entry(index_of).or_default().push(Stale { run, install, span });
        }
        for (index_of, stale) in by_index {
            let Some((first, others)) = stale.split_first() else { continue };
            report(plan, index_of, first, others, view, findings);
        }
    }
}

/// An install that does not update the index.
struct Stale<'s> {
    run: &'s Run,
    install: &'s ecosystem::Step,
    /// In the file.
    span: Span,
}

fn report(plan: &Plan<'_>, index_of: Index, first: &Stale<'_>, others: &[Stale<'_>], view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    let (message, note) = match index_of {
        Index::Removed(at) => ("which an earlier instruction removed", Some((at, "the index is removed here"))),
        Index::Old(at) => ("and relies on that of an earlier instruction, which gets old", Some((at, "the index is of this instruction"))),
        Index::None => ("and the base image has none", None),
    };
    let mut finding = findings.report(first.span, format!("`{}` does not update the index, {message}", first.install.display));
    if let Some((at, note)) = note {
        finding = finding.note(plan.steps[at].instruction.span, note);
    }
    for other in others {
        finding = finding.note(other.span, "neither does this one");
    }
    let cleans = matches!(index_of, Index::Removed(_));
    drop(finding.maybe_fix(|| {
        let edits: Option<Vec<Vec<Edit>>> = std::iter::once(first).chain(others).map(|it| with_update(it.run, it.install, cleans)).collect();
        Some(view.suggestion("Update the index first", EditSet::new(edits?.concat()).ok()?))
    }));
}

/// An install from the index in a RUN that does not update it before.
fn stale_install<'s>(plan: &Plan<'_>, index: usize, step: &'s Step<'_>, run: &Run) -> Option<&'s ecosystem::Step> {
    // A mount brings its own index, shared with those that update it.
    if plan.cache_mounts(index, run).iter().any(|it| it.covers("/var/lib/apt/lists")) || run.mounts.iter().any(|it| it.kind() == "bind") {
        return None;
    }
    let of_apt = |it: &&ecosystem::Step| it.manager == Manager::Apt && matches!(it.action, Action::UpdateIndex | Action::InstallSystem);
    let install = step.installs.iter().filter(of_apt).find(|it| it.action == Action::UpdateIndex || installs_by_name(it))?;
    let before = run.script.commands.iter().take_while(|it| it.span != install.span);
    let may_update = |it: &crate::shell::Command| {
        let is_step = step.installs.iter().any(|step| step.span == it.span);
        !is_step && !it.words.first().is_none_or(|it| quiet::is_program(facts::name(&it.text)))
    };
    (install.action == Action::InstallSystem && run.script.opaque.is_none() && !before.clone().any(may_update)).then_some(install)
}

/// Whether it takes packages by name from the index.
fn installs_by_name(step: &ecosystem::Step) -> bool {
    let verbs = ["install", "build-dep", "satisfy", "reinstall"];
    let is_file = |text: &str| text.contains('/') || text.ends_with(".deb");
    step.action == Action::InstallSystem
        && verbs.iter().any(|it| step.display.ends_with(it))
        && step.operands.iter().any(|it| !is_file(&it.text) && !it.computed)
}

/// What the index is that an install finds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Index {
    /// An earlier instruction removed it.
    Removed(usize),
    /// An earlier instruction updated it, and installed with it.
    Old(usize),
    /// The image has none, and nothing made one.
    None,
}

/// What is left of the index above a step; `None` where that is not known, or another rule's.
fn index_before(plan: &Plan<'_>, index: usize) -> Option<Index> {
    for (at, step) in plan.steps[..index].iter().enumerate().rev() {
        let Kind::Run(run) = &step.instruction.kind else { continue };
        let apt = |action: Action| step.installs.iter().any(|it| it.manager == Manager::Apt && it.action == action);
        if updates_for_files(step, run) {
            return Some(Index::Old(at));
        }
        if removes_index(step) {
            return Some(Index::Removed(at));
        }
        if apt(Action::UpdateIndex) {
            let mounted = plan.cache_mounts(at, run).iter().any(|it| it.covers("/var/lib/apt/lists"));
            return match (mounted, apt(Action::InstallSystem)) {
                (true, _) => Some(Index::None),
                (false, true) => Some(Index::Old(at)),
                // An update of its own.
                (false, false) => None,
            };
        }
        if may_update(run) {
            return None;
        }
    }
    let image = plan.image()?;
    matches!(image.official()?, "debian" | "ubuntu" | "buildpack-deps" | "node" | "python" | "golang" | "rust" | "ruby" | "php").then_some(Index::None)
}

/// Whether a RUN that is not understood may update the index.
fn may_update(run: &Run) -> bool {
    let known = |it: &crate::shell::Command| {
        let is_step = run.reading.steps.iter().any(|step| step.span == it.span && step.action != Action::Build);
        is_step || it.words.first().is_none_or(|it| quiet::is_program(facts::name(&it.text)))
    };
    run.script.opaque.is_some() || !run.script.commands.iter().all(known)
}

/// Whether `apt-file update`, which updates the index of apt as well (apt-file(1), since version 3), is its
/// last word on the index.
fn updates_for_files(step: &Step<'_>, run: &Run) -> bool {
    let updates =
        |it: &&crate::shell::Command| it.program() == Some("apt-file") && it.invocation().is_some_and(|it| it.arguments().iter().any(|it| it.text == "update"));
    let last = run.script.commands.iter().rev().find(updates);
    last.is_some_and(|last| !step.installs.iter().any(|it| it.span.start > last.span.start && removes(it)))
}

/// Whether a command removes the index.
fn removes(step: &ecosystem::Step) -> bool {
    let is_index = |path: &str| facts::is_below(path.trim_end_matches("/*"), "/var/lib/apt/lists");
    step.paths.iter().any(|it| it.role == ecosystem::Role::Removed && is_index(&it.path))
}

/// Whether its last word on the index is to remove it.
fn removes_index(step: &Step<'_>) -> bool {
    let says = |it: &&ecosystem::Step| removes(it) || (it.manager == Manager::Apt && it.action == Action::UpdateIndex);
    step.installs.iter().rev().find(says).is_some_and(|it| it.manager != Manager::Apt)
}

/// Updates before the install, and removes the index behind it where others do.
fn with_update(run: &Run, install: &ecosystem::Step, cleans: bool) -> Option<Vec<Edit>> {
    let program = install.display.split(' ').next()?;
    let is_list = run.script.commands.iter().all(|it| it.depth == 0 && matches!(it.joined, Join::First | Join::And));
    if !run.shell_form || !is_list || run.command.text.contains('#') {
        return None;
    }
    let mut edits = vec![Edit::insert(run.command.span(install.span).start, format!("{program} update && "))];
    if cleans {
        let last = run.script.commands.last()?;
        edits.push(Edit::insert(run.command.span(last.span).end, " && rm -rf /var/lib/apt/lists/*"));
    }
    Some(edits)
}

#[cfg(test)]
mod tests {
    use super::INSTALL_WITHOUT_INDEX_UPDATE as RULE;
    use crate::rules::testing::{check, check_unsafe_fix, check_without_fix};

    #[test]
    fn an_index_that_is_removed_above() {
        check_unsafe_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the index is removed here
COPY a /a
RUN mkdir /x && apt-get install -y \\
                ^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, which an earlier instruction removed
    jq
",
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
COPY a /a
RUN mkdir /x && apt-get update && apt-get install -y \\
    jq && rm -rf /var/lib/apt/lists/*
",
        );
    }

    #[test]
    fn an_index_of_an_earlier_layer_gets_old() {
        check_unsafe_fix(
            &RULE,
            "
FROM registry.example.com/base:1
RUN apt update && apt install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the index is of this instruction
RUN apt install -y jq
    ^^^^^^^^^^^^^^^^^ warning: `apt install` does not update the index, and relies on that of an earlier instruction, which gets old
",
            "
FROM registry.example.com/base:1
RUN apt update && apt install -y git
RUN apt update && apt install -y jq
",
        );
    }

    #[test]
    fn an_index_that_apt_file_brings_is_of_an_earlier_layer() {
        check(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y apt-file && rm -rf /var/lib/apt/lists/*
RUN apt-file update
^^^^^^^^^^^^^^^^^^^ note: the index is of this instruction
COPY a /a
RUN apt-get install -y jq
    ^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, and relies on that of an earlier instruction, which gets old
",
        );
        check(&RULE, "FROM debian:12.9\nRUN apt-get update && apt-get install -y apt-file && apt-file update && apt-get install -y jq\n");
        check(&RULE, "FROM debian:12.9\nRUN apt-file update && apt-get install -y jq\n");
        check(&RULE, "FROM debian:12.9\nRUN apt-file search bin/jq\nRUN apt-get install -y jq\n");
    }

    #[test]
    fn one_index_is_one_finding() {
        check_unsafe_fix(
            &RULE,
            "
FROM registry.example.com/base:1
RUN apt update && apt install -y git
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the index is of this instruction
RUN apt install -y jq
    ^^^^^^^^^^^^^^^^^ warning: `apt install` does not update the index, and relies on that of an earlier instruction, which gets old
RUN apt install -y curl
    ^^^^^^^^^^^^^^^^^^^ note: neither does this one
",
            "
FROM registry.example.com/base:1
RUN apt update && apt install -y git
RUN apt update && apt install -y jq
RUN apt update && apt install -y curl
",
        );
    }

    #[test]
    fn an_image_without_an_index() {
        check_unsafe_fix(
            &RULE,
            "
FROM python:3.13
RUN apt-get install -y git
    ^^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, and the base image has none
",
            "
FROM python:3.13
RUN apt-get update && apt-get install -y git
",
        );
    }

    #[test]
    fn a_stage_goes_on_where_its_base_ends() {
        check(
            &RULE,
            "
FROM debian:12.9 AS base
RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the index is removed here
FROM base
RUN apt-get install -y jq
    ^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, which an earlier instruction removed
",
        );
    }

    #[test]
    fn an_index_in_a_mount_is_not_in_the_image() {
        check(
            &RULE,
            "
FROM registry.example.com/base:1
RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update && apt-get install -y git
RUN apt-get install -y jq
    ^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, and the base image has none
",
        );
    }

    #[test]
    fn only_a_plain_list_can_be_changed() {
        check_without_fix(
            &RULE,
            "
FROM python:3.13
RUN mkdir /x; apt-get install -y git
              ^^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, and the base image has none
",
        );
    }

    #[test]
    fn what_is_exported_updates_nothing() {
        check_unsafe_fix(
            &RULE,
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y curl make
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: the index is of this instruction
RUN export DEBIAN_FRONTEND=noninteractive && apt-get install -y checkinstall
                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: `apt-get install` does not update the index, and relies on that of an earlier instruction, which gets old
",
            "
FROM debian:12.9
RUN apt-get update && apt-get install -y curl make
RUN export DEBIAN_FRONTEND=noninteractive && apt-get update && apt-get install -y checkinstall
",
        );
    }

    #[test]
    fn an_index_that_is_new_or_not_known_is_silent() {
        for text in [
            "FROM debian:12.9\nRUN apt-get update && apt-get install -y git\n",
            "FROM debian:12.9\nRUN apt-get update\nRUN apt-get install -y git\n",
            "FROM registry.example.com/base:1\nRUN apt-get install -y git\n",
            "FROM debian:12.9\nRUN curl -fsSL https://deb.example.com/setup | bash -\nRUN apt-get install -y nodejs\n",
            "FROM debian:12.9\nRUN curl -fsSL https://deb.example.com/setup | bash - && apt-get install -y nodejs\n",
            "FROM debian:12.9\nCOPY setup.sh /\nRUN /setup.sh\nRUN apt-get install -y nodejs\n",
            "FROM debian:12.9\nRUN add-apt-repository ppa:x/y && apt-get install -y git\n",
            "FROM debian:12.9\nCOPY x.deb /\nRUN apt-get install -y /x.deb\n",
            "FROM debian:12.9\nRUN export A=1 && apt-get update && apt-get install -y git\n",
            "FROM debian:12.9\nRUN dpkg -i /x.deb || apt-get install -f -y\n",
            "FROM debian:12.9\nRUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get install -y git\n",
            "FROM debian:12.9\nRUN --mount=type=bind,from=lists,target=/var/lib/apt/lists apt-get install -y git\n",
            "FROM debian:12.9\nRUN apt-get purge -y git && apt-get autoremove -y\n",
            "FROM alpine:3.20\nRUN apk add git\n",
            "FROM fedora:41\nRUN dnf install -y git\n",
            "FROM debian:12.9\nRUN if [ ! -x /usr/bin/git ]; then apt-get install -y git; fi\n",
        ] {
            check(&RULE, text);
        }
    }
}
