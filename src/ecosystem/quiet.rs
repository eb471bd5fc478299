//! Programs that read no variable of a project, whatever files they touch.
//!
//! A command that is not understood may read any file and any variable. Of these programs it is
//! known that they read the variables of docs/facts.md B.10 and those that their words expand, and no
//! other: a build argument with the commit can be declared below them.

use super::table::COMMON_VARIABLES;
use super::{Action, Manager, Step};
use crate::shell::{Command, Script};
use std::collections::HashSet;
use std::sync::LazyLock;

/// coreutils, busybox and the tools of base systems, by their manuals.
const PROGRAMS: &[&str] = &[
    ":",
    "[",
    "addgroup",
    "adduser",
    "apt-key",
    "apt-mark",
    "awk",
    "base64",
    "basename",
    "bunzip2",
    "bzip2",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "cut",
    "curl",
    "cd",
    "date",
    "delgroup",
    "deluser",
    "df",
    "dirname",
    "dpkg",
    "dpkg-reconfigure",
    "du",
    "echo",
    "exit",
    "export",
    "false",
    "find",
    "fc-cache",
    "getent",
    "gpg",
    "grep",
    "groupadd",
    "groupdel",
    "groupmod",
    "gunzip",
    "gzip",
    "head",
    "id",
    "install",
    "ldconfig",
    "ln",
    "locale-gen",
    "localedef",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "passwd",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "rpm",
    "sed",
    "set",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "shopt",
    "sleep",
    "sort",
    "stat",
    "strip",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "truncate",
    "type",
    "ulimit",
    "umask",
    "uname",
    "uniq",
    "unlink",
    "unxz",
    "unzip",
    "update-alternatives",
    "update-ca-certificates",
    "update-locale",
    "useradd",
    "userdel",
    "usermod",
    "wc",
    "wget",
    "which",
    "whoami",
    "xz",
    "zip",
];

/// Constructs of the shell that run nothing but the commands that the script lists.
const PLAIN_CONSTRUCTS: &[&str] = &["a condition", "a loop"];

/// Whether a script, each command with what is known of it, is sure to read no variable but those
/// its words expand and [`reads_variable`] knows.
pub(super) fn reads_known_variables(script: &Script, known: &[Option<Step>]) -> bool {
    let followed = script.opaque.is_none_or(|(_, what)| PLAIN_CONSTRUCTS.contains(&what));
    followed && !script.commands.is_empty() && script.commands.iter().zip(known).all(|(command, step)| is_quiet(command, step.as_ref()))
}

fn is_quiet(command: &Command, step: Option<&Step>) -> bool {
    let targets = command.redirects.iter().map(|it| &it.target);
    let values = command.assignments.iter().map(|it| &it.1);
    let computed = command.words.iter().chain(targets).chain(values).any(|it| it.computed);
    let known = match command.words.first() {
        None => true,
        Some(word) => (word.variables.is_empty() && is_program(crate::facts::name(&word.text))) || step.is_some_and(is_system_step),
    };
    known && !computed && !prints_variables(command)
}

/// `export -p`, and `set` alone: they print whatever variables there are.
fn prints_variables(command: &Command) -> bool {
    match command.words.as_slice() {
        [word] => matches!(word.text.as_str(), "export" | "set"),
        [word, flag, ..] => word.text == "export" && flag.text.starts_with('-'),
        [] => false,
    }
}

/// Whether a program is one that reads no variable of a project.
pub fn is_program(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| PROGRAMS.iter().copied().collect());
    NAMES.contains(name)
}

/// Package managers of systems run scripts of packages, which know nothing of a project.
fn is_system_step(step: &Step) -> bool {
    is_system(step.manager) && step.action != Action::Build
}

fn is_system(manager: Manager) -> bool {
    matches!(manager, Manager::Apt | Manager::Apk | Manager::Dnf | Manager::Zypper)
}

/// Whether such a script may read `name` without naming it.
pub fn reads_variable(name: &str) -> bool {
    let system = super::table::ALL.iter().filter(|it| is_system(it.manager)).flat_map(|it| it.environment);
    COMMON_VARIABLES.iter().chain(system).any(|it| super::names(it, name))
}

#[cfg(test)]
mod tests {
    use crate::shell::parse;

    #[test]
    fn no_variable_of_a_project_is_read_unnamed() {
        for name in ["GIT_SHA", "COMMIT_SHA", "BUILD_DATE", "VERSION", "NuGetToken"] {
            assert!(!super::reads_variable(name), "{name}");
        }
        for name in ["HTTPS_PROXY", "DEBIAN_FRONTEND", "GIT_DIR", "LD_PRELOAD"] {
            assert!(super::reads_variable(name), "{name}");
        }
    }

    fn is_quiet(text: &str) -> bool {
        crate::ecosystem::read(&parse(text)).quiet
    }

    #[test]
    fn plain_commands_read_no_variable_of_a_project() {
        for text in [
            "addgroup -g 911 abc && mkdir -p /app",
            "apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*",
            "if [ -f /x ]; then rm /x; fi",
            "/bin/mkdir /a",
            "curl -fsSL https://example.com/a | tar -xz",
            "export DEBIAN_FRONTEND=noninteractive && apt-get install -y git",
            "umask 022; ulimit -n 1024; : && mkdir /a",
        ] {
            assert!(is_quiet(text), "{text}");
        }
    }

    #[test]
    fn anything_else_may() {
        for text in [
            "make",
            "./build.sh",
            "npm ci",
            "sh -c 'x'",
            "echo $(git rev-parse HEAD)",
            "curl https://example.com | sh",
            "eval x",
            "",
            "cat <<< $(env)",
            "export > /a",
            "export -p | tee /a",
            "set > /a",
            "export A=$(env)",
        ] {
            assert!(!is_quiet(text), "{text}");
        }
    }
}
