use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::{Base, Frontend, Kind};
use crate::view::DockerfileView;

declare_rule! {
    /// A folder of files is the base image of a stage.
    ///
    /// A build may give a name to another context, and `FROM` takes that name for an image. If it is
    /// a folder, the builder makes up another key for it on every build, so that nothing that stands
    /// on it is ever reused. A copy goes by the content of the files.
    ///
    /// ```dockerfile,bad
    /// #- docker-bake.hcl
    /// target "app" {
    ///   contexts = { base = "./rootfs" }
    /// }
    /// #- Dockerfile
    /// FROM base
    /// RUN make
    /// ```
    ///
    /// ```dockerfile,good
    /// #- docker-bake.hcl
    /// target "app" {
    ///   contexts = { base = "./rootfs" }
    /// }
    /// #- Dockerfile
    /// FROM scratch
    /// COPY --from=base . /
    /// RUN make
    /// ```
    ///
    /// Contexts that are images, targets or repositories are left alone.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: an image has configuration, and a folder has none.
    pub(crate) static FOLDER_AS_BASE_IMAGE = {
        name: "folder-as-base-image",
        level: Level::Warning,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        let Base::Image(image) = &view.dockerfile.stages[plan.stage].base else { continue };
        let stands_on_it = |it: &crate::dockerfile::Instruction| matches!(it.kind, Kind::Run(_) | Kind::Copy(_));
        if !view.dockerfile.stages[plan.stage].instructions.iter().any(stands_on_it) {
            continue;
        }
        let named = view.callers.iter().find_map(|caller| {
            let contexts = &caller.build.build.contexts;
            let (_, value) = contexts.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(&image.text))?;
            value.known().is_some_and(|it| is_folder(&it)).then_some((caller, value))
        });
        let Some((caller, value)) = named else { continue };
        findings.report(image.span, format!("`{}` is a folder, which has another key on every build: nothing below is reused", image.text)).note_in(
            caller.path.clone(),
            value.span,
            "the folder is named here",
        );
    }
}

/// Whether a context is a folder on disk.
fn is_folder(context: &str) -> bool {
    let context = context.trim();
    let is_other = ["target:", "service:", "git@"].iter().any(|it| context.starts_with(it)) || context.contains("://");
    !context.is_empty() && !is_other
}

#[cfg(test)]
mod tests {
    use super::FOLDER_AS_BASE_IMAGE as RULE;
    use crate::rules::testing::{build_step, check};

    #[test]
    fn a_folder_of_a_workflow_has_another_key_on_every_build() {
        check(
            &RULE,
            "
#- Dockerfile
FROM base
     ^^^^ warning: `base` is a folder, which has another key on every build: nothing below is reused
RUN make
#- .github/workflows/ci.yml
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: docker/build-push-action@v7
        with:
          context: .
          build-contexts: base=./rootfs
                               ^^^^^^^^ note: the folder is named here
",
        );
    }

    fn with(context: &str, dockerfile: &str) -> String {
        format!("#- Dockerfile\n{dockerfile}{}", build_step(&format!("context: .\nbuild-contexts: base={context}")))
    }

    #[test]
    fn other_contexts_have_keys_of_their_own() {
        for context in ["docker-image://alpine:3.20", "target:base", "oci-layout:///a", "https://example.org/a.git", "git@example.org:a", "${{ inputs.base }}"]
        {
            check(&RULE, &with(context, "FROM base\nRUN make\n"));
        }
    }

    #[test]
    fn a_copy_goes_by_the_content() {
        check(&RULE, &with("./rootfs", "FROM scratch\nCOPY --from=base . /\nRUN make\n"));
    }

    #[test]
    fn nothing_stands_on_it() {
        check(&RULE, &with("./rootfs", "FROM base AS files\nFROM alpine:3.20\nCOPY --from=files / /\n"));
    }

    #[test]
    fn an_image_of_another_name_is_none() {
        check(&RULE, &with("./rootfs", "FROM basement\nRUN make\n"));
    }
}
