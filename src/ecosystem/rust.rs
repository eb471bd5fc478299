//! Cargo, cargo-chef and rustup.
//!
//! Facts: docs/facts.md B.8; <https://doc.rust-lang.org/cargo/reference/config.html>,
//! <https://github.com/LukeMathWalker/cargo-chef>.

use super::arguments::{Flags, Means, Tool, Verb, frozen, switch, valued, verb};
use super::manifest::Collector;
use super::{Action, Manager, Obstacle, Role, up_to_root};
use crate::effects::Place;
use crate::facts::join;

const NONE: &[Flags] = &[];

const CARGO: &[Flags] = &[
    switch("--locked", Means::Frozen),
    switch("--frozen", Means::Frozen),
    switch("--offline --release -r -q --quiet -v --verbose -vv --all-features --no-default-features --workspace --all --force -f", Means::Nothing),
    switch("--bins --tests --all-targets --examples --lib --no-track --debug --no-build --check --zigbuild", Means::Nothing),
    valued("-j --jobs --profile --features -F --target --color --config -p --package --bin --version --vers --tag --rev --branch --registry", Means::Nothing),
    valued("--git --index -Z --disable-telemetry --example", Means::Nothing),
    valued("--path --manifest-path", Means::Path(Role::Local)),
    valued("--recipe-path", Means::Path(Role::File)),
    valued("--root --target-dir", Means::Path(Role::Output)),
];

const CARGO_VERBS: &[Verb] = &[
    verb("fetch", Action::InstallDependencies, NONE),
    frozen("chef cook", Action::InstallDependencies, NONE),
    frozen("install|binstall|install-update", Action::InstallNamed, &[switch("-y --no-confirm", Means::Nothing)]),
    frozen("clean|cache", Action::Clean, NONE),
];

const RUSTUP_VERBS: &[Verb] = &[frozen(
    "target add|target install|component add|toolchain install|toolchain add|default|update|set profile|install|override set|show|show active-toolchain",
    Action::InstallNamed,
    NONE,
)];

/// Commands of Cargo and rustup.
pub(super) const TOOLS: &[Tool] = &[
    Tool { manager: Manager::Cargo, programs: "cargo", verbs: CARGO_VERBS, flags: CARGO, default: None, otherwise: Action::Build },
    Tool {
        manager: Manager::Cargo,
        programs: "rustup",
        verbs: RUSTUP_VERBS,
        flags: &[
            switch("--no-self-update --force -q --quiet -v --verbose --allow-downgrade", Means::Nothing),
            valued("--toolchain --profile -c --component -t --target", Means::Nothing),
        ],
        default: None,
        otherwise: Action::Other,
    },
];

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    collector.touches_outside();
    settings(collector)?;
    for path in step.paths.iter().filter(|it| it.role == Role::Output) {
        collector.writes(Place::tree(join(collector.folder, &path.path)));
    }
    if let Some(path) = step.paths.iter().find(|it| it.role == Role::Local) {
        return Err(Obstacle::in_script(path.span, format!("`{}` takes the sources in `{}`", step.display, path.path)));
    }
    match step.action {
        Action::InstallDependencies if step.display.ends_with("cook") => cook(collector),
        Action::InstallDependencies => Err(collector.obstacle(format!("`{}` reads the sources of all targets", step.display))),
        Action::Clean => {
            collector.writes(Place::tree(join(collector.folder, "target")));
            Ok(())
        }
        _ => named(collector),
    }
}

/// Toolchain and configuration, from here up.
fn settings(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    for folder in up_to_root(collector.folder) {
        for name in ["rust-toolchain", "rust-toolchain.toml", ".cargo/config", ".cargo/config.toml"] {
            collector.exists(&join(&folder, name))?;
        }
    }
    Ok(())
}

fn named(collector: &Collector<'_>) -> Result<(), Obstacle> {
    match collector.step.operands.iter().find(|it| it.computed || it.text.starts_with(['.', '/', '$', '~'])) {
        Some(word) => Err(Obstacle::in_script(word.span, format!("`{}` may name a folder", word.text))),
        None => Ok(()),
    }
}

/// Cooking makes a skeleton of the project in the working directory: manifests, and empty sources
/// in the place of the real ones.
fn cook(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let recipe = collector.step.paths.iter().find(|it| it.role == Role::File).map_or("recipe.json", |it| it.path.as_str());
    collector.exists(&join(collector.folder, recipe))?;
    collector.reads(Place::File(join(collector.folder, recipe)));
    collector.writes(Place::tree(collector.folder));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::tests::{footprint_of, refusal, step};
    use crate::ecosystem::{Action, Manager};

    #[test]
    fn tools_are_installed_without_the_project() {
        assert_eq!(footprint_of("cargo install cargo-chef --locked", &[("Cargo.toml", "")]), "needs nothing; writes nothing");
        assert_eq!(
            footprint_of("cargo install --git https://x/y --tag v1 y", &[("rust-toolchain.toml", ""), (".cargo/config.toml", "")]),
            "needs .cargo/config.toml rust-toolchain.toml; writes nothing"
        );
        assert_eq!(footprint_of("rustup target add x86_64-unknown-linux-musl && rustup component add clippy", &[]), "needs nothing; writes nothing");
    }

    #[test]
    fn cooking_takes_the_whole_folder() {
        assert_eq!(footprint_of("cargo chef cook --release --recipe-path recipe.json", &[]), "needs nothing; writes /");
    }

    #[test]
    fn what_reads_sources_stands_in_the_way() {
        let files = [("Cargo.toml", ""), ("Cargo.lock", "")];
        assert_eq!(refusal("cargo fetch --locked", &files), "`cargo fetch` reads the sources of all targets");
        for script in [
            "cargo build --release",
            "cargo test",
            "cargo install --path .",
            "cargo chef prepare",
            "cargo install $X",
            "cargo run",
            "cargo vendor",
            "rustup frob",
        ] {
            assert!(!refusal(script, &files).starts_with("not refused"), "{script}");
        }
        let built = step("cargo build --release --locked").map(|it| (it.manager, it.action, it.display, it.frozen));
        assert_eq!(built, Some((Manager::Cargo, Action::Build, "cargo build".to_owned(), true)));
    }
}
