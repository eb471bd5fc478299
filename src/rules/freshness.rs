//! Instructions that are there to bring the state of today, which a layer from a cache keeps as it was.

use super::frozen_command_output::is_renewed;
use super::moving_fetch::MOVING_FETCH;
use super::reported;
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::ecosystem::{Action, Step};
use crate::edit::Span;
use crate::view::DockerfileView;

/// The commands that bring it, each with what a kept layer does to it, in order of the text: packages of the system are
/// upgraded, or what is fetched moves on, as `moving-fetch` has it. A tool without a version, of which that is an
/// information only, is seldom what a build is for.
pub(super) fn dated(view: &DockerfileView<'_>) -> Vec<(Span, String)> {
    let mut res = Vec::new();
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let upgrade = run.reading.steps.iter().find(|it| upgrades_all(it)).filter(|_| !is_renewed(plan, index, run));
            let message = |it: &Step| format!("`{}` upgrades packages once, and the cached layer keeps those", it.display);
            res.extend(upgrade.map(|it| (run.command.span(it.span), message(it))));
        }
    }
    res.extend(reported(&MOVING_FETCH, view).into_iter().filter(|it| it.level >= Level::Warning).map(|it| (it.at.span, it.message)));
    res.sort();
    res
}

/// Whether a command upgrades all packages of the system that have a newer version.
fn upgrades_all(step: &Step) -> bool {
    const VERBS: &[&str] = &["upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "update", "up", "dup", "distro-sync", "patch"];
    let is_upgrade = step.display.split(' ').nth(1).is_some_and(|it| VERBS.contains(&it));
    step.action == Action::InstallSystem && is_upgrade && step.operands.is_empty()
}
