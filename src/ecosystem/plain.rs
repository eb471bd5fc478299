//! Plain commands that stand beside installs: they make folders, print, and clean up.

use super::arguments::discards;
use super::manifest::Collector;
use super::{Action, Manager, NamedPath, Obstacle, Role, Step, outside};
use crate::effects::Place;
use crate::facts::{is_below, join, parent};
use crate::shell::{Command, Word};
use crate::volatility::Cost;

/// What a command does to the paths on its command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing.
    Nothing,
    /// Makes or changes them.
    Writes,
    /// Removes them.
    Removes,
    /// The last is made, to point at the one before it.
    Links,
}

struct Plain {
    program: &'static str,
    /// Letters of flags that change nothing of this.
    letters: &'static str,
    /// Long flags that change nothing of this.
    long: &'static [&'static str],
    /// Operands before the paths.
    operands: usize,
    does: Does,
}

const fn plain(program: &'static str, letters: &'static str, operands: usize, does: Does) -> Plain {
    Plain { program, letters, long: &[], operands, does }
}

/// Commands of POSIX and coreutils, as their manuals describe them.
const COMMANDS: &[Plain] = &[
    plain("echo", "neE", 0, Does::Nothing),
    plain("printf", "", 0, Does::Nothing),
    plain("true", "", 0, Does::Nothing),
    plain(":", "", 0, Does::Nothing),
    plain("set", "euxo", 0, Does::Nothing),
    plain("uname", "amsrnpo", 0, Does::Nothing),
    plain("whoami", "", 0, Does::Nothing),
    plain("id", "ugnG", 0, Does::Nothing),
    plain("sleep", "", 0, Does::Nothing),
    plain("yes", "", 0, Does::Nothing),
    plain("sync", "", 0, Does::Nothing),
    plain("which", "", 0, Does::Nothing),
    plain("type", "", 0, Does::Nothing),
    plain("hash", "", 0, Does::Nothing),
    // Only where it asks for a program: else it is a wrapper.
    plain("command", "", 0, Does::Nothing),
    Plain { program: "mkdir", letters: "pvm", long: &["--parents", "--verbose"], operands: 0, does: Does::Writes },
    plain("touch", "", 0, Does::Writes),
    plain("chmod", "Rvcf", 1, Does::Writes),
    plain("chown", "Rvcfh", 1, Does::Writes),
    Plain { program: "rm", letters: "rRfvd", long: &["--recursive", "--force"], operands: 0, does: Does::Removes },
    plain("rmdir", "pv", 0, Does::Removes),
    plain("ln", "sfnvT", 0, Does::Links),
];

/// Folders that hold nothing but caches, lists and logs of package managers (docs/facts.md B.2, B.9).
const CACHES: &[&str] = &[
    "/var/lib/apt/lists",
    "/var/cache",
    "/var/log",
    "/tmp",
    "/var/tmp",
    "/root/.cache",
    "/root/.npm",
    "/root/.gem",
    "/root/.composer/cache",
    "/root/.gradle/caches",
    "/root/.cargo/registry",
    "/usr/local/share/.cache",
    "/usr/share/doc",
    "/usr/share/man",
    "~/.cache",
    "~/.npm",
];

/// What a plain command is; `None` for one that is not known.
pub(super) fn recognise(command: &Command) -> Option<Step> {
    let invocation = command.invocation()?;
    let program = invocation.program()?;
    if let Some(step) = virtual_environment(command, program, invocation.arguments()) {
        return Some(step);
    }
    let known = COMMANDS.iter().find(|it| it.program == program)?;
    let mut step = empty_step(command, program);
    if !invocation.plain {
        step.unknown.push((command.span, command.words.first()?.text.to_string()));
    }
    let mut operands: Vec<&Word> = Vec::new();
    let takes_paths = known.does != Does::Nothing;
    for word in invocation.arguments() {
        if takes_paths && word.text.starts_with('-') && word.text.len() > 1 {
            if !is_known_flag(known, &word.text) {
                step.unknown.push((word.span, word.text.to_string()));
            }
        } else if known.does == Does::Nothing && word.computed {
            step.unknown.push((word.span, word.text.to_string()));
        } else {
            operands.push(word);
        }
    }
    for word in touched(known, invocation.arguments(), &operands) {
        take_path(word, role(known.does), &mut step);
    }
    redirects(command, &mut step);
    if known.does == Does::Removes && !step.paths.is_empty() && step.paths.iter().all(|it| is_cache(&it.path)) {
        step.action = Action::Clean;
    }
    Some(step)
}

/// `python -m venv folder`.
fn virtual_environment(command: &Command, program: &str, arguments: &[Word]) -> Option<Step> {
    let is_python = program.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.') == "python";
    let [flag, module, rest @ ..] = arguments else { return None };
    if !is_python || flag.text != "-m" || !matches!(module.text.as_str(), "venv" | "virtualenv") {
        return None;
    }
    let mut step = empty_step(command, program);
    step.display = format!("{program} -m {}", module.text);
    for word in rest {
        match word.text.as_str() {
            "--system-site-packages" | "--clear" | "--upgrade-deps" | "--copies" | "--symlinks" | "--without-pip" => {}
            text if text.starts_with('-') => step.unknown.push((word.span, word.text.to_string())),
            _ => take_path(word, Role::Output, &mut step),
        }
    }
    redirects(command, &mut step);
    Some(step)
}

fn empty_step(command: &Command, program: &str) -> Step {
    Step {
        span: command.span,
        manager: Manager::Shell,
        action: Action::Other,
        display: program.to_owned(),
        cost: Cost::Copy,
        network: false,
        frozen: true,
        no_cache: false,
        unknown: Vec::new(),
        paths: Vec::new(),
        variables: command.variables().into_iter().map(str::to_owned).collect(),
        environment: Vec::new(),
        directory: String::new(),
        operands: Vec::new(),
        program_path: None,
        flags: Vec::new(),
    }
}

fn is_known_flag(known: &Plain, flag: &str) -> bool {
    known.long.contains(&flag) || !flag.starts_with("--") && flag.chars().skip(1).all(|it| known.letters.contains(it))
}

/// The operands that are changed. A hard link, or a link whose name is not written, is not
/// followed: all words are then taken for changed.
fn touched<'a>(known: &Plain, arguments: &[Word], operands: &[&'a Word]) -> Vec<&'a Word> {
    let is_symbolic = || arguments.iter().any(|it| it.text.starts_with('-') && it.text.contains('s'));
    match (known.does, operands) {
        (Does::Nothing, _) => Vec::new(),
        (Does::Links, [_, name]) if is_symbolic() => vec![name],
        _ => operands.iter().skip(known.operands).copied().collect(),
    }
}

fn role(does: Does) -> Role {
    if does == Does::Removes { Role::Removed } else { Role::Output }
}

/// A path with a variable or a computed part may be any path. A home folder is one outside the
/// project, whichever it is.
fn take_path(word: &Word, role: Role, step: &mut Step) {
    let is_home = word.text.starts_with("~/") || word.text.starts_with("$HOME/");
    let is_open = word.computed || !word.variables.iter().all(|it| is_home && it == "HOME") || word.text[..].contains("..") && is_home;
    if is_open {
        step.unknown.push((word.span, word.text.to_string()));
    } else {
        let path = word.text.replacen("$HOME/", "~/", 1);
        step.paths.push(NamedPath { span: word.span, path, role });
    }
}

fn redirects(command: &Command, step: &mut Step) {
    for redirect in command.redirects.iter().filter(|it| !discards(it)) {
        if redirect.operator.contains('>') {
            take_path(&redirect.target, Role::Output, step);
        } else {
            step.unknown.push((redirect.span, format!("{}{}", redirect.operator, redirect.target.text)));
        }
    }
}

fn is_cache(path: &str) -> bool {
    CACHES.iter().any(|it| is_below(path, it))
}

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    for path in &step.paths {
        let place = match (path.path.strip_prefix("~/"), collector.variable("HOME")) {
            (None, _) => affected(&join(collector.folder, &path.path)),
            (Some(rest), Some(Some(home))) => affected(&join(home, rest)),
            (Some(_), Some(None)) => return Err(Obstacle::in_script(path.span, "the home folder is not known")),
            (Some(_), None) => outside(collector.folder),
        };
        collector.writes(place);
    }
    Ok(())
}

/// The folder that a path lies in, up to its first pattern; the path itself if it has none.
fn affected(path: &str) -> Place {
    let mut folder = path;
    while folder.contains(['*', '?', '[']) {
        folder = parent(folder);
    }
    Place::tree(folder)
}
