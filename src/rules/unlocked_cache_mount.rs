use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::Kind;
use crate::dockerfile::caches::CacheMount;
use crate::dockerfile::mounts::is_cache_of;
use crate::ecosystem::{Manager, ecosystem};
use crate::view::DockerfileView;

declare_rule! {
    /// A cache mount of a package manager that locks its cache may be written by two builds at once.
    ///
    /// A cache mount is shared by all builds of a builder, and by all platforms of one build.
    /// apt locks its folders: the second build that comes to them fails with "could not get lock".
    /// With `sharing=locked` it waits.
    ///
    /// ```dockerfile,bad
    /// FROM debian:12.9-slim
    /// RUN --mount=type=cache,target=/var/lib/apt/lists apt-get update && apt-get install -y git
    /// ```
    ///
    /// ```dockerfile,fixed
    /// FROM debian:12.9-slim
    /// RUN --mount=type=cache,target=/var/lib/apt/lists,sharing=locked apt-get update && apt-get install -y git
    /// ```
    ///
    /// Managers whose caches are safe to share need no lock, and `sharing=private` gives each build
    /// a cache of its own.
    ///
    /// ```dockerfile,good
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json ./
    /// RUN --mount=type=cache,target=/root/.npm npm ci
    /// ```
    ///
    /// For managers that only wait for each other, or spoil a download now and then (dnf, zypper,
    /// Yarn 1, Gradle), the finding is an `info`.
    ///
    /// ## Fix safety
    ///
    /// What is in a cache mount, and who waits for it, is no part of the image. The instruction
    /// runs once more, since its text changes.
    pub(crate) static UNLOCKED_CACHE_MOUNT = {
        name: "unlocked-cache-mount",
        level: Level::Warning,
        fixes: true,
        check: Check::Dockerfile(check),
    }
}

/// Managers whose caches are locked, or spoilt by two writers (docs/facts.md DF14).
const LOCKING: &[Manager] = &[Manager::Apt, Manager::Dnf, Manager::Zypper, Manager::Yarn, Manager::Gradle];

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    for plan in view.plans() {
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            let mounts: Vec<CacheMount<'_>> = plan.cache_mounts(index, run).into_iter().filter(|it| manager(it).is_some()).collect();
            let Some((first, manager)) = mounts.iter().find_map(|it| Some((it, manager(it)?))) else { continue };
            let target = first.target.as_deref().unwrap_or_default();
            let (level, message) = match manager {
                Manager::Apt => (Level::Warning, format!("two builds at once fail over the lock in `{target}`: this cache mount is not locked")),
                _ => (Level::Info, format!("two builds at once may spoil the {} cache in `{target}`: this cache mount is not locked", ecosystem(manager).name)),
            };
            let mut finding = findings.report(first.flag.span, message).level(level);
            for other in mounts.iter().filter(|it| it.flag.span != first.flag.span) {
                finding = finding.note(other.flag.span, "neither is this one");
            }
            let proven = view.prove(plan.stage, |it| it.lock_mounts(&view.source, index, &mounts));
            drop(match proven {
                Ok(proven) => finding.fix(view.mounting("Let one build at a time use it", proven)),
                Err(refusal) => finding.refused(&refusal),
            });
        }
    }
}

/// The manager that needs a lock on a shared mount.
fn manager(mount: &CacheMount<'_>) -> Option<Manager> {
    let target = mount.target.as_deref()?;
    // Another stage's files, or a cache that is only read, are not written.
    let is_written = mount.mount.get("from").is_none() && !mount.mount.has("readonly") && !mount.mount.has("ro");
    LOCKING.iter().copied().find(|it| is_written && mount.is_shared() && is_locking(*it, target))
}

fn is_locking(manager: Manager, target: &str) -> bool {
    // The cache of a project of Yarn is another matter.
    is_cache_of(manager, target) && (manager != Manager::Yarn || target.ends_with("/.cache/yarn"))
}

#[cfg(test)]
mod tests {
    use super::UNLOCKED_CACHE_MOUNT as RULE;
    use crate::rules::testing::{check, check_fix};

    #[test]
    fn both_mounts_of_apt_are_one_finding() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/cache/apt \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: two builds at once fail over the lock in `/var/cache/apt`: this cache mount is not locked
    --mount=type=cache,target=/var/lib/apt,sharing=shared \\
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: neither is this one
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update && apt-get install -y git
",
            "
FROM debian:12.9
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt,sharing=locked \\
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update && apt-get install -y git
",
        );
    }

    #[test]
    fn the_fields_may_stand_in_any_order_and_be_quoted() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
RUN --mount=target=/var/lib/apt/lists,id=a,type=cache apt-get update && apt-get install -y git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: two builds at once fail over the lock in `/var/lib/apt/lists`: this cache mount is not locked
RUN --mount=\"type=cache,dst=/var/lib/apt/lists\" apt-get update && apt-get install -y curl
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: two builds at once fail over the lock in `/var/lib/apt/lists`: this cache mount is not locked
",
            "
FROM debian:12.9
RUN --mount=target=/var/lib/apt/lists,id=a,type=cache,sharing=locked apt-get update && apt-get install -y git
RUN --mount=\"type=cache,dst=/var/lib/apt/lists,sharing=locked\" apt-get update && apt-get install -y curl
",
        );
    }

    #[test]
    fn dnf_waits_and_gradle_spoils() {
        check_fix(
            &RULE,
            "
FROM fedora:41
RUN --mount=type=cache,target=/var/cache/libdnf5 dnf install -y git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: two builds at once may spoil the dnf cache in `/var/cache/libdnf5`: this cache mount is not locked
RUN --mount=type=cache,target=/root/.gradle ./gradlew build
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ info: two builds at once may spoil the Gradle cache in `/root/.gradle`: this cache mount is not locked
",
            "
FROM fedora:41
RUN --mount=type=cache,target=/var/cache/libdnf5,sharing=locked dnf install -y git
RUN --mount=type=cache,target=/root/.gradle,sharing=locked ./gradlew build
",
        );
    }

    #[test]
    fn a_target_in_a_variable_is_followed() {
        check_fix(
            &RULE,
            "
FROM debian:12.9
ARG LISTS=/var/lib/apt/lists
RUN --mount=type=cache,target=$LISTS apt-get update && apt-get install -y git
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: two builds at once fail over the lock in `/var/lib/apt/lists`: this cache mount is not locked
#- .github/workflows/a.yml
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: docker build .
",
            "
FROM debian:12.9
ARG LISTS=/var/lib/apt/lists
RUN --mount=type=cache,target=$LISTS,sharing=locked apt-get update && apt-get install -y git
",
        );
    }

    #[test]
    fn what_is_locked_or_private_or_needs_no_lock_is_silent() {
        for mount in [
            "type=cache,target=/var/cache/apt,sharing=locked",
            "type=cache,target=/var/lib/apt,sharing=private",
            "type=cache,target=/var/lib/apt,sharing=$SHARING",
            "type=cache,target=/var/lib/apt,readonly",
            "type=cache,target=$UNKNOWN",
            "type=cache,target=/root/.cache/pip",
            "type=cache,target=/root/.npm",
            "type=cache,target=/go/pkg/mod",
            "type=cache,target=/app/.yarn/cache",
            "type=bind,target=/var/lib/apt",
            "type=tmpfs,target=/var/lib/apt/lists",
        ] {
            check(&RULE, &format!("FROM debian:12.9\nRUN --mount={mount} apt-get update && apt-get install -y git\n"));
        }
    }

    #[test]
    fn a_stage_that_no_build_reaches_is_silent() {
        let workflow = crate::rules::testing::build_step("context: .");
        check(&RULE, &format!("{workflow}#- Dockerfile\nFROM debian:12.9 AS a\nRUN --mount=type=cache,target=/var/lib/apt apt-get update\nFROM debian:12.9\n"));
    }
}
