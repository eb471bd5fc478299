//! The rules: what is wrong, where, why, and what to do.
//!
//! A rule is a function in a table. It looks at a view of one file, which has all that is known of
//! it and of the files it refers to, and reports to [`Findings`].

mod churn;
mod freshness;
mod generated;
mod suppress;

mod branch_only_cache_scope;
mod broad_stage_copy;
mod broken_link_copy;
mod cache_export_without_buildx;
mod cache_export_without_import;
mod cache_import_without_export;
mod cache_location_mismatch;
mod cache_ref_is_image_tag;
mod cache_without_runtime_token;
mod comment_in_block_scalar;
mod compose_file_as_dockerfile;
mod context_without_checkout;
mod copy_before_install;
mod copy_before_system_packages;
mod copy_without_link;
mod defeated_cache_mount;
mod diverging_builds;
mod early_arg;
mod emulated_build_stage;
mod epoch_before_workdir;
mod fatal_cache_export;
mod floating_base_image;
mod floating_builder_image;
mod folder_as_base_image;
mod frozen_command_output;
mod git_context_surprise;
mod growing_local_cache;
mod inline_cache_for_stages;
mod install_without_index_update;
mod joined_cache_entries;
mod late_cleanup;
mod layer_cache_without_restore_keys;
mod matrix_blind_cache_scope;
mod min_cache_mode;
mod misplaced_cache_mount;
mod misplaced_directive;
mod missing_build_cache;
mod missing_cache_mount;
mod missing_dockerfile;
mod missing_ignore_file;
mod missing_target;
mod moving_fetch;
mod no_cache_with_cache;
mod output_in_cache_mount;
mod per_run_cache_scope;
mod pull_request_cache_export;
mod recursive_chown_layer;
mod retired_cache_api;
mod secret_in_build_arg;
mod shared_cache_scope;
mod shared_platform_cache_mount;
mod split_index_update;
mod static_layer_cache_key;
mod undeclared_build_arg;
mod unfrozen_install;
mod unlocked_cache_mount;
mod unrestorable_cache_scope;
mod unused_arg;
mod unverified_remote_add;
mod volatile_arg_before_run;
mod volatile_env_before_run;
mod volatile_metadata_before_run;
mod weak_ignore_file;
mod whole_context_mount;
mod workflow_named_cache_scope;

#[cfg(test)]
pub(crate) mod testing;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, FileSpan, Fix, Level, Note};
use crate::dockerfile::moves::Refusal;
use crate::edit::Span;
use crate::snapshot::Snapshot;
use crate::view::{DockerfileView, TargetsView, View, WorkflowView};
use std::sync::Arc;

pub use suppress::{Naming, naming};

/// A rule.
pub struct Rule {
    /// In kebab case, after the bad pattern.
    pub name: &'static str,
    /// Its level, unless configuration or a finding says another.
    pub level: Level,
    /// Its page, in Markdown.
    pub doc: &'static str,
    /// Whether it offers fixes.
    pub fixes: bool,
    /// What it looks at.
    pub check: Check,
}

/// What a rule looks at. The runner matches on it, so that a new kind cannot be forgotten.
pub enum Check {
    /// A Dockerfile with its stages, contexts and the builds of it.
    Dockerfile(fn(&DockerfileView<'_>, &mut Findings<'_>)),
    /// A workflow with its builds and the Dockerfiles of them.
    Workflow(fn(&WorkflowView<'_>, &mut Findings<'_>)),
    /// A Dockerfile, and a workflow whose part in it shows there.
    Both(fn(&DockerfileView<'_>, &mut Findings<'_>), fn(&WorkflowView<'_>, &mut Findings<'_>)),
    /// A workflow, and the targets of a bake or compose file.
    Builds(fn(&WorkflowView<'_>, &mut Findings<'_>), fn(&TargetsView<'_>, &mut Findings<'_>)),
    /// Nothing: what it is about is found by the runner itself.
    Runner,
}

/// Declares a rule; its doc comment is its page.
macro_rules! declare_rule {
    ($(#[doc = $doc:literal])* $visibility:vis static $id:ident = { name: $name:literal, level: $level:expr, fixes: $fixes:literal, check: $check:expr $(,)? }) => {
        $(#[doc = $doc])*
        $visibility static $id: $crate::rules::Rule = $crate::rules::Rule {
            name: $name,
            level: $level,
            doc: concat!($($doc, "\n"),*),
            fixes: $fixes,
            check: $check,
        };
    };
}
pub(crate) use declare_rule;

/// Every rule there is, in the order of the documentation.
pub static ALL: &[&Rule] = &[
    &copy_before_install::COPY_BEFORE_INSTALL,
    &copy_before_system_packages::COPY_BEFORE_SYSTEM_PACKAGES,
    &volatile_arg_before_run::VOLATILE_ARG_BEFORE_RUN,
    &volatile_env_before_run::VOLATILE_ENV_BEFORE_RUN,
    &early_arg::EARLY_ARG,
    &unused_arg::UNUSED_ARG,
    &volatile_metadata_before_run::VOLATILE_METADATA_BEFORE_RUN,
    &split_index_update::SPLIT_INDEX_UPDATE,
    &install_without_index_update::INSTALL_WITHOUT_INDEX_UPDATE,
    &late_cleanup::LATE_CLEANUP,
    &missing_cache_mount::MISSING_CACHE_MOUNT,
    &unlocked_cache_mount::UNLOCKED_CACHE_MOUNT,
    &defeated_cache_mount::DEFEATED_CACHE_MOUNT,
    &misplaced_cache_mount::MISPLACED_CACHE_MOUNT,
    &shared_platform_cache_mount::SHARED_PLATFORM_CACHE_MOUNT,
    &output_in_cache_mount::OUTPUT_IN_CACHE_MOUNT,
    &floating_base_image::FLOATING_BASE_IMAGE,
    &missing_ignore_file::MISSING_IGNORE_FILE,
    &weak_ignore_file::WEAK_IGNORE_FILE,
    &unfrozen_install::UNFROZEN_INSTALL,
    &secret_in_build_arg::SECRET_IN_BUILD_ARG,
    &frozen_command_output::FROZEN_COMMAND_OUTPUT,
    &moving_fetch::MOVING_FETCH,
    &whole_context_mount::WHOLE_CONTEXT_MOUNT,
    &recursive_chown_layer::RECURSIVE_CHOWN_LAYER,
    &unverified_remote_add::UNVERIFIED_REMOTE_ADD,
    &copy_without_link::COPY_WITHOUT_LINK,
    &broad_stage_copy::BROAD_STAGE_COPY,
    &broken_link_copy::BROKEN_LINK_COPY,
    &emulated_build_stage::EMULATED_BUILD_STAGE,
    &folder_as_base_image::FOLDER_AS_BASE_IMAGE,
    &epoch_before_workdir::EPOCH_BEFORE_WORKDIR,
    &misplaced_directive::MISPLACED_DIRECTIVE,
    &missing_build_cache::MISSING_BUILD_CACHE,
    &cache_export_without_import::CACHE_EXPORT_WITHOUT_IMPORT,
    &cache_import_without_export::CACHE_IMPORT_WITHOUT_EXPORT,
    &cache_location_mismatch::CACHE_LOCATION_MISMATCH,
    &shared_cache_scope::SHARED_CACHE_SCOPE,
    &matrix_blind_cache_scope::MATRIX_BLIND_CACHE_SCOPE,
    &min_cache_mode::MIN_CACHE_MODE,
    &inline_cache_for_stages::INLINE_CACHE_FOR_STAGES,
    &cache_export_without_buildx::CACHE_EXPORT_WITHOUT_BUILDX,
    &per_run_cache_scope::PER_RUN_CACHE_SCOPE,
    &branch_only_cache_scope::BRANCH_ONLY_CACHE_SCOPE,
    &pull_request_cache_export::PULL_REQUEST_CACHE_EXPORT,
    &workflow_named_cache_scope::WORKFLOW_NAMED_CACHE_SCOPE,
    &unrestorable_cache_scope::UNRESTORABLE_CACHE_SCOPE,
    &diverging_builds::DIVERGING_BUILDS,
    &growing_local_cache::GROWING_LOCAL_CACHE,
    &static_layer_cache_key::STATIC_LAYER_CACHE_KEY,
    &layer_cache_without_restore_keys::LAYER_CACHE_WITHOUT_RESTORE_KEYS,
    &retired_cache_api::RETIRED_CACHE_API,
    &compose_file_as_dockerfile::COMPOSE_FILE_AS_DOCKERFILE,
    &missing_dockerfile::MISSING_DOCKERFILE,
    &undeclared_build_arg::UNDECLARED_BUILD_ARG,
    &context_without_checkout::CONTEXT_WITHOUT_CHECKOUT,
    &missing_target::MISSING_TARGET,
    &git_context_surprise::GIT_CONTEXT_SURPRISE,
    &comment_in_block_scalar::COMMENT_IN_BLOCK_SCALAR,
    &cache_ref_is_image_tag::CACHE_REF_IS_IMAGE_TAG,
    &fatal_cache_export::FATAL_CACHE_EXPORT,
    &cache_without_runtime_token::CACHE_WITHOUT_RUNTIME_TOKEN,
    &no_cache_with_cache::NO_CACHE_WITH_CACHE,
    &joined_cache_entries::JOINED_CACHE_ENTRIES,
    &floating_builder_image::FLOATING_BUILDER_IMAGE,
    &suppress::UNUSED_SUPPRESSION,
];

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    ALL.iter().find(|it| it.name == name).copied()
}

impl Rule {
    /// The first line of its page.
    pub fn summary(&self) -> &'static str {
        self.doc.trim().lines().next().unwrap_or("").trim_end_matches('.')
    }

    /// Its page, without the space that every line of a doc comment begins with, and with the
    /// headings one level below the rule's name.
    pub fn page(&self) -> String {
        let lines = self.doc.lines().map(|it| it.strip_prefix(' ').unwrap_or(it));
        lines.map(|it| if it.starts_with("## ") { format!("#{it}\n") } else { format!("{it}\n") }).collect()
    }
}

/// The address of a rule's page.
pub fn url(rule: &str) -> String {
    format!("https://github.com/layerwise/layerwise/blob/main/docs/rules.md#{rule}")
}

/// The page of every rule, as `docs/rules.md` has them.
pub fn documentation() -> String {
    let mut res = String::from(
        "# Rules\n\n<!-- Generated from src/rules: `UPDATE=1 cargo test --test tidy`. -->\n\n| rule | level | fix | finds |\n| --- | --- | --- | --- |\n",
    );
    for rule in ALL {
        let fixes = if rule.fixes { "yes" } else { "" };
        res.push_str(&format!("| [{0}](#{0}) | {1} | {fixes} | {2} |\n", rule.name, rule.level.word(), rule.summary()));
    }
    res.push_str("\nIn a file whose first comments say that it is generated, or is not to be edited, no fix is safe.\n");
    for rule in ALL {
        res.push_str(&format!("\n## {}\n\n{}\n", rule.name, rule.page().trim()));
    }
    res
}

/// What the rules find in one file, in order of place and rule.
pub fn run(snapshot: &Snapshot, path: &str, config: &Config, repairs: Repairs) -> Vec<Diagnostic> {
    let Some(view) = View::new(snapshot, path, config) else { return Vec::new() };
    if matches!(view, View::Workflow(_)) && !snapshot.runs(path) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for rule in ALL.iter().filter(|it| config.level(it.name, it.level) != Level::Off) {
        let mut findings = Findings { rule, repairs, config, path: view.path(), found: &mut found };
        match (&rule.check, &view) {
            (Check::Dockerfile(check) | Check::Both(check, _), View::Dockerfile(view)) => check(view, &mut findings),
            (Check::Workflow(check) | Check::Both(_, check) | Check::Builds(check, _), View::Workflow(view)) => check(view, &mut findings),
            (Check::Builds(_, check), View::Targets(view)) => check(view, &mut findings),
            (Check::Dockerfile(_) | Check::Workflow(_) | Check::Both(..) | Check::Builds(..) | Check::Runner, _) => {}
        }
    }
    let mut res = suppress::apply(&view, found, config);
    generated::withhold(snapshot, &mut res);
    res.sort_by(|a, b| (a.at.span, a.rule, &a.message).cmp(&(b.at.span, b.rule, &b.message)));
    res
}

/// What a rule says of a Dockerfile, for another rule that goes by it: whatever the configuration has the level be, and
/// without repairs.
fn reported(rule: &'static Rule, view: &DockerfileView<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let config = Config::default();
    let mut findings = Findings { rule, repairs: Repairs::Late, config: &config, path: &view.path, found: &mut found };
    if let Check::Dockerfile(check) | Check::Both(check, _) = &rule.check {
        check(view, &mut findings);
    }
    found
}

/// Whether repairs are made: they often take longer than to find what is wrong, and who only shows
/// what is wrong does not need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repairs {
    /// All of them.
    Made,
    /// Only those that are a part of the finding, because their proof says what stands in the way.
    Late,
}

/// Where a rule reports to.
pub struct Findings<'a> {
    rule: &'static Rule,
    repairs: Repairs,
    config: &'a Config,
    path: &'a Arc<str>,
    found: &'a mut Vec<Diagnostic>,
}

/// A finding that is being put together. It is reported when it is dropped.
pub struct Finding<'f, 'a> {
    findings: &'f mut Findings<'a>,
    diagnostic: Diagnostic,
}

impl<'a> Findings<'a> {
    /// Reports at a place of the file that is looked at.
    pub fn report<'f>(&'f mut self, span: Span, message: impl Into<String>) -> Finding<'f, 'a> {
        let at = FileSpan { path: self.path.clone(), span };
        let diagnostic =
            Diagnostic { rule: self.rule.name, level: self.rule.level, at, message: message.into(), notes: Vec::new(), fixes: Vec::new(), elsewhere: None };
        Finding { findings: self, diagnostic }
    }

    /// Whether an export to GitHub's cache that a fix writes has to say that the build may go on
    /// without it: else another rule would ask for that next.
    fn asks_for_lenience(&self, push: Option<bool>) -> bool {
        let rule = &fatal_cache_export::FATAL_CACHE_EXPORT;
        push != Some(false) && self.config.level(rule.name, rule.level) != Level::Off
    }

    /// What configuration says.
    pub fn config(&self) -> &'a Config {
        self.config
    }
}

impl Finding<'_, '_> {
    /// Another level than the rule's own; configuration still wins.
    pub fn level(mut self, level: Level) -> Self {
        self.diagnostic.level = level;
        self
    }

    /// The file to make or to change, where it is another than the one that is looked at: other files may say
    /// the same of it.
    pub fn elsewhere(mut self, path: impl Into<Arc<str>>) -> Self {
        self.diagnostic.elsewhere = Some(path.into());
        self
    }

    /// A second place in the same file.
    pub fn note(self, span: Span, message: impl Into<String>) -> Self {
        let path = self.findings.path.clone();
        self.note_in(path, span, message)
    }

    /// A place in another file.
    pub fn note_in(mut self, path: Arc<str>, span: Span, message: impl Into<String>) -> Self {
        self.diagnostic.notes.push(Note { at: FileSpan { path, span }, message: message.into() });
        self
    }

    /// A repair.
    pub fn fix(mut self, fix: Fix) -> Self {
        self.diagnostic.fixes.push(fix);
        self
    }

    /// There is no repair: says what stands in the way, where it stands.
    pub fn refused(self, refusal: &Refusal) -> Self {
        self.obstacle(refusal, "no fix")
    }

    /// The repair could not be proven, so that there is none or a suggestion: says why, where that is.
    pub fn unproven(self, refusal: &Refusal) -> Self {
        self.obstacle(refusal, "no safe fix")
    }

    fn obstacle(self, refusal: &Refusal, what: &str) -> Self {
        let message = format!("{what}: {}", refusal.reason);
        match &refusal.file {
            Some((path, span)) => self.note_in(path.as_str().into(), *span, message),
            None => self.note(refusal.span, message),
        }
    }

    /// A repair, if there is one. It is made only if somebody asked for repairs.
    pub fn maybe_fix(self, make: impl FnOnce() -> Option<Fix>) -> Self {
        let fix = if self.findings.repairs == Repairs::Made { make() } else { None };
        match fix {
            Some(fix) => self.fix(fix),
            None => self,
        }
    }
}

impl Drop for Finding<'_, '_> {
    fn drop(&mut self) {
        self.diagnostic.level = self.findings.config.level(self.diagnostic.rule, self.diagnostic.level);
        if self.diagnostic.level != Level::Off {
            self.findings.found.push(self.diagnostic.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_unique() {
        for (index, rule) in ALL.iter().enumerate() {
            assert!(rule.name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-'), "{}", rule.name);
            assert!(ALL[..index].iter().all(|it| it.name != rule.name), "{}", rule.name);
        }
    }

    #[test]
    fn pages_begin_with_a_summary_and_give_an_example() {
        for rule in ALL {
            assert!(!rule.summary().is_empty(), "{}", rule.name);
            assert!(rule.doc.contains(",bad\n"), "{} has no example", rule.name);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]
        /// Halves of steps, options and expressions in any order.
        #[test]
        fn no_workflow_makes_a_rule_panic(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "on: push\njobs:\n", "  a:\n    runs-on: ubuntu-latest\n", "    strategy: {matrix: {arch: [amd64, arm64]}}\n", "    steps:\n",
            "      - uses: docker/setup-buildx-action@v4\n", "      - uses: docker/build-push-action@v6\n        with:\n", "      - uses: actions/cache@v2\n",
            "          context: ${{ matrix.arch }}\n", "          file: docker-compose.yml\n", "          file: x/Dockerfile\n", "          cache-to: |\n",
            "          cache-from: type=gha\n", "          cache-to: type=gha\n", "            type=gha,scope=${{ github.sha }} # é\n", "            #x\n",
            "          cache-to: type=registry,ref=a:${{ github.sha }}\n", "          cache-from: ${{ github.workflow }}\n", "          cache-to: type=gha,scope=${{ github.workflow }}\n",
            "      - uses: docker/bake-action@v7\n        with: {files: docker-bake.hcl, set: '*.cache-to=type=gha'}\n", "      - run: docker buildx build --cache-to type=gha .\n", "\r\n", "{", "\"",
        ]), 0..20)) {
            let text: String = pieces.concat();
            testing::check_no_panic(&format!("#- docker-bake.hcl\ntarget \"default\" {{}}\n#- .github/workflows/a.yml\n{text}#- .github/workflows/b.yml\n{text}"));
        }
    }

    /// The examples of every page are what they say.
    #[test]
    fn examples_of_the_pages_hold() {
        for rule in ALL {
            testing::check_page(rule);
        }
    }
}
