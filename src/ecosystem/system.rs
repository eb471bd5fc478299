//! Package managers of operating systems: apt, apk, dnf and its kin, zypper.
//!
//! Their packages run scripts and write all over the system, but not where applications live
//! (docs/facts.md B.3).

use super::arguments::{Flags, Means, Tool, switch, valued, verb};
use super::manifest::Collector;
use super::{Action, Manager, Obstacle, Role};
use crate::effects::Place;
use crate::shell::Word;

/// Folders of applications that packages of a system never write to (docs/facts.md B.3).
pub const APPLICATION_FOLDERS: &[&str] = &["/app", "/code", "/src", "/usr/src/app", "/workspace"];

const APT: &[Flags] = &[
    switch("-y --yes --assume-yes -q -qq --quiet -V --verbose-versions -f --fix-broken -m --fix-missing --ignore-missing", Means::Nothing),
    switch("--no-install-recommends --install-recommends --no-install-suggests --install-suggests --no-upgrade --only-upgrade", Means::Nothing),
    switch("--allow-unauthenticated --allow-downgrades --allow-remove-essential --allow-change-held-packages --force-yes", Means::Nothing),
    switch("--reinstall --purge --auto-remove --autoremove --no-remove --trivial-only --allow-insecure-repositories", Means::Nothing),
    switch("--allow-releaseinfo-change --no-show-upgraded --show-progress -u --without-new-pkgs --with-new-pkgs -d --download-only", Means::Nothing),
    switch("-q=0 -q=1 -q=2 -qqy -yqq", Means::Nothing),
    valued("-t --target-release --default-release -a --host-architecture", Means::Nothing),
    valued("-o --option", Means::Setting),
];
const NO_FLAGS: &[Flags] = &[];

const APK: &[Flags] = &[
    switch("--no-cache", Means::NoCache),
    switch("-q --quiet -v --verbose -U --update-cache --no-progress --no-interactive -f --force --force-refresh --no-check-certificate", Means::Nothing),
    switch("-u --upgrade -l --latest --clean-protected --allow-untrusted --purge --wait --initdb --no-chown -i --interactive", Means::Nothing),
    switch("--force-overwrite --force-old-apk --force-broken-world --force-non-repository --available -a --prune --no-network", Means::Nothing),
    valued("-t --virtual --wait --cache-max-age --timeout", Means::Nothing),
    valued("-X --repository --repositories-file --keys-dir", Means::Path(Role::File)),
    valued("-p --root", Means::Path(Role::Output)),
];

const DNF: &[Flags] = &[
    switch("-y --assumeyes -q --quiet -v --verbose -b --best --nobest --nodocs --refresh --allowerasing --skip-broken --nogpgcheck -C", Means::Nothing),
    switch("--cacheonly --noautoremove --obsoletes --security --bugfix --color=never --noplugins -x --no-allow-downgrade --skip-unavailable", Means::Nothing),
    valued(
        "--setopt --enablerepo --disablerepo --enable-repo --disable-repo --repo --repoid --exclude --excludepkgs --releasever --forcearch --arch",
        Means::Nothing,
    ),
    valued("-d -e --debuglevel --errorlevel -R --advisory --rpmverbosity --color --disableplugin --enableplugin", Means::Nothing),
    valued("-c --config", Means::Path(Role::File)),
    valued("--installroot", Means::Path(Role::Output)),
];

const ZYPPER: &[Flags] = &[
    switch("-n --non-interactive -q --quiet -v --verbose -y --no-confirm --no-recommends --recommends -l --auto-agree-with-licenses", Means::Nothing),
    switch("--no-gpg-checks --gpg-auto-import-keys --no-refresh -f --force --force-resolution --allow-downgrade --oldpackage --replacefiles", Means::Nothing),
    switch("--no-cd --allow-vendor-change --allow-unsigned-rpm --capability -C -a --all -s --services --details", Means::Nothing),
    valued("-t --type -r --repo --from --download --plus-content -x --plus-repo", Means::Nothing),
    valued("--root -R --installroot", Means::Path(Role::Output)),
];

const APT_VERBS: &[super::arguments::Verb] = &[
    verb("update", Action::UpdateIndex, NO_FLAGS),
    verb("install|upgrade|dist-upgrade|full-upgrade|build-dep|reinstall|safe-upgrade|satisfy", Action::InstallSystem, NO_FLAGS),
    verb("remove|purge|autoremove|autopurge", Action::InstallSystem, NO_FLAGS),
    verb("clean|autoclean|auto-clean|distclean|dist-clean", Action::Clean, NO_FLAGS),
];

/// Commands of the package managers of systems (docs/facts.md B.8).
pub(super) const TOOLS: &[Tool] = &[
    Tool { manager: Manager::Apt, programs: "apt-get apt aptitude", verbs: APT_VERBS, flags: APT, default: None, otherwise: Action::Other },
    Tool {
        manager: Manager::Apk,
        programs: "apk",
        verbs: &[
            verb("update", Action::UpdateIndex, NO_FLAGS),
            verb("add|upgrade|fix|del", Action::InstallSystem, NO_FLAGS),
            verb("cache clean|cache purge", Action::Clean, NO_FLAGS),
        ],
        flags: APK,
        default: None,
        otherwise: Action::Other,
    },
    Tool {
        manager: Manager::Dnf,
        programs: "dnf dnf5 yum microdnf tdnf",
        verbs: &[
            verb("makecache|check-update", Action::UpdateIndex, NO_FLAGS),
            verb("install|in|upgrade|update|distro-sync|reinstall|groupinstall|remove|erase|autoremove|swap", Action::InstallSystem, NO_FLAGS),
            verb("group install|module install|module enable|module disable|module reset", Action::InstallSystem, NO_FLAGS),
            verb("clean all|clean metadata|clean packages|clean dbcache|clean expire-cache", Action::Clean, NO_FLAGS),
        ],
        flags: DNF,
        default: None,
        otherwise: Action::Other,
    },
    Tool {
        manager: Manager::Zypper,
        programs: "zypper",
        verbs: &[
            verb("refresh|ref", Action::UpdateIndex, NO_FLAGS),
            verb("install|in|update|up|patch|dist-upgrade|dup|remove|rm", Action::InstallSystem, NO_FLAGS),
            verb("clean|cc", Action::Clean, NO_FLAGS),
        ],
        flags: ZYPPER,
        default: None,
        otherwise: Action::Other,
    },
];

/// All of the image but for the folders of applications.
pub(super) fn system() -> Place {
    Place::Tree { root: "/".to_owned(), holes: APPLICATION_FOLDERS.iter().map(|it| (*it).to_owned()).collect() }
}

pub(super) fn footprint(collector: &mut Collector<'_>) -> Result<(), Obstacle> {
    let step = collector.step;
    if let Some(word) = step.operands.iter().find(|it| may_name_a_file(it)) {
        return Err(Obstacle::in_script(word.span, format!("`{}` may name a file", word.text)));
    }
    if let Some(path) = step.paths.iter().find(|it| !is_remote(&it.path)) {
        return Err(Obstacle::in_script(path.span, format!("`{}` takes the path `{}`", step.display, path.path)));
    }
    // `-o Dir::…=path` moves what apt reads and writes.
    if let Some(word) = step.values(Means::Setting).find(|it| it.computed || it.text.contains("Dir") || it.text.contains('/')) {
        return Err(Obstacle::in_script(word.span, format!("`{}` takes the option `{}`", step.display, word.text)));
    }
    collector.reads(system());
    collector.writes(system());
    Ok(())
}

fn is_remote(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://") || path.starts_with('@')
}

/// Whether a package on the command line may be a file. A variable at the start may hold any
/// path; behind the name of a package it is a version.
fn may_name_a_file(word: &Word) -> bool {
    let text = word.text.as_str();
    word.computed || text.starts_with(['$', '.', '/', '~']) || is_archive(text) && !is_remote(text) || word.glob && text.contains('/')
}

fn is_archive(text: &str) -> bool {
    [".deb", ".rpm", ".apk"].iter().any(|it| text.ends_with(it))
}

#[cfg(test)]
mod tests {
    use super::system;
    use crate::ecosystem::tests::{attempt, footprint_of, refusal};
    use crate::effects::Place;

    #[test]
    fn an_install_stays_away_from_applications() {
        for script in [
            "apt-get update && apt-get install -y --no-install-recommends curl git=1:2.* && rm -rf /var/lib/apt/lists/*",
            "apt-get -qqy install curl=$CURL_VERSION",
            "apt-get install -yq libfoo-dev -t bookworm-backports -o Acquire::Retries=3",
            "DEBIAN_FRONTEND=noninteractive apt-get install -y tzdata && apt-get clean && apt-get autoremove -y",
            "apk add --no-cache --virtual .build-deps gcc musl-dev",
            "apk update && apk add git && rm -rf /var/cache/apk/*",
            "dnf install -y --setopt=install_weak_deps=False git && dnf clean all",
            "yum -y install https://example.com/x.rpm",
            "microdnf install -y git",
            "zypper --non-interactive install git && zypper clean --all",
            "set -eux; apt-get update; apt-get install -y curl; rm -rf /var/lib/apt/lists/* /tmp/*",
        ] {
            let needs = attempt(script, &[], &[]).unwrap_or_else(|it| panic!("{script}: {it:?}"));
            assert!(needs.writes.contains(&system()), "{script}");
            let copy = Place::tree("/app");
            assert!(!needs.writes.iter().chain(&needs.reads).any(|it| it.touches(&copy)), "{script}");
            assert!(needs.writes.iter().any(|it| it.touches(&Place::tree("/etc/x"))), "{script}");
        }
    }

    #[test]
    fn what_may_name_a_file_stands_in_the_way() {
        for script in [
            "apt-get install -y ./x.deb",
            "apt-get install -y x.deb",
            "apt-get install -y $(cat packages.txt)",
            "apt-get install -y $PACKAGES",
            "apt-get install -y \"${PACKAGES}\"",
            "apt-get install -y `cat x`",
            "apt-get install -o Dir::Etc=x curl",
            "apt-get install -c conf curl",
            "apt-get install -y < list",
            "apk add --allow-untrusted ./x.apk",
            "apk add -X ./repo x",
            "dnf install -y --installroot /app x",
            "dnf install -y x.rpm",
            "yum localinstall x.rpm",
            "apt-get frobnicate",
            "sudo apt-get install curl",
            "apt-get update && curl x | bash",
            "apt-get update && dpkg -i x.deb",
            "apt-get install curl && useradd x",
        ] {
            assert!(!refusal(script, &[]).starts_with("not refused"), "{script}");
        }
        assert_eq!(refusal("apt-get install -y ./x.deb", &[]), "`./x.deb` may name a file");
    }

    #[test]
    fn plain_commands_say_what_they_write() {
        assert_eq!(footprint_of("mkdir -p data /app/logs /srv/x", &[]), "needs nothing; writes /srv/x/ data/ logs/");
        assert_eq!(footprint_of("ln -s /app/cli /usr/local/bin/cli", &[]), "needs nothing; writes /usr/local/bin/cli/");
        assert_eq!(footprint_of("echo x > y && echo z", &[]), "needs nothing; writes y/");
        assert_eq!(footprint_of("rm -rf src/*.c ~/.cache", &[]), "needs nothing; writes src/");
        assert_eq!(footprint_of("chmod -R 755 bin", &[]), "needs nothing; writes bin/");
        for script in ["rm -rf $DIR", "echo $(cat x)", "mkdir -p a$(b)", "rm --one-file-system x", "cat x", "echo > $X"] {
            assert!(!refusal(script, &[]).starts_with("not refused"), "{script}");
        }
    }
}
