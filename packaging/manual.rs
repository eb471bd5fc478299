//! Writes the man pages and the completions of shells into a folder: `cargo run --example manual -- FOLDER`.

use clap::Command;
use clap_complete::Shell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What the options do not say.
const EXIT_STATUS: &str = r#".SH "EXIT STATUS"
.TP
.B 0
Nothing was found at the failing level or above.
.TP
.B 1
Something was found.
.TP
.B 2
Wrong usage, input that cannot be read, or a fault of layerwise itself; a message says which.
"#;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: manual FOLDER"))?;
    let (pages, completions) = (Path::new(&folder).join("man"), Path::new(&folder).join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut with_rule_names(layerwise::cli::command()), "layerwise", &completions)?;
    }
    let mut command = layerwise::cli::command();
    command.build();
    write_pages(&command, &pages)
}

/// The command line with a closed list of rules, which shells can complete.
fn with_rule_names(command: Command) -> Command {
    let names = || layerwise::rules::ALL.iter().map(|it| it.name).collect::<Vec<_>>();
    command
        .mut_subcommand("explain", |it| it.mut_arg("rule", |it| it.value_parser(names())))
        .mut_subcommand("check", |it| it.mut_args(|it| if matches!(it.get_id().as_str(), "select" | "ignore") { it.value_parser(names()) } else { it }))
}

/// A page for a command and each one below it.
fn write_pages(command: &Command, folder: &Path) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).source(concat!("Layerwise ", env!("CARGO_PKG_VERSION"))).manual("User Commands");
    let mut file = File::create(folder.join(page.get_filename()))?;
    page.render(&mut file)?;
    if command.get_name() == "check" {
        file.write_all(EXIT_STATUS.as_bytes())?;
    }
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| write_pages(it, folder))
}
