use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::context::Passed;
use crate::dockerfile::plan::{Plan, has_word};
use crate::dockerfile::{Frontend, Kind, Variable};
use crate::ecosystem::Action;
use crate::view::DockerfileView;

declare_rule! {
    /// A secret is passed as a build argument.
    ///
    /// The value is a part of the cache key of every later `RUN`, so that a token that is renewed, or
    /// is another one on every run, makes all of them run again; and it can be read in the history of
    /// the build. A secret mount is in neither.
    ///
    /// ```dockerfile,bad
    /// FROM node:22.11-slim
    /// ARG NPM_TOKEN
    /// WORKDIR /app
    /// COPY package.json package-lock.json .npmrc ./
    /// RUN npm ci
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM node:22.11-slim
    /// WORKDIR /app
    /// COPY package.json package-lock.json .npmrc ./
    /// RUN --mount=type=secret,id=npm_token,env=NPM_TOKEN npm ci
    /// ```
    ///
    /// Names decide, as they do for BuildKit's own check, but for those that end up in what is
    /// delivered to browsers (`NEXT_PUBLIC_…`, `VITE_…`), and for arguments with a default, which is
    /// then no secret, unless a workflow passes one of its secrets. An argument that no command can
    /// use is left alone.
    ///
    /// ## Fix safety
    ///
    /// There is no fix: whoever builds has to pass the secret in another way.
    pub(crate) static SECRET_IN_BUILD_ARG = {
        name: "secret-in-build-arg",
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
        for (index, step) in plan.own() {
            let Kind::Arg(variables) = &step.instruction.kind else { continue };
            for variable in variables {
                let Some(passed) = secret(plan, variable) else { continue };
                let Some(user) = user(plan, index, &variable.name) else { continue };
                let message = format!("`{}` is in the cache key of all commands below it, and in the history of the build", variable.name);
                let mut finding = findings.report(variable.span, message);
                if let Some(passed) = passed {
                    let of_run = ["secrets.github_token", "github.token"].iter().any(|it| passed.text.to_ascii_lowercase().contains(it));
                    let what = if of_run { "this token is another one on every run" } else { "the secret is passed here" };
                    finding = finding.note_in(passed.path.clone(), passed.span, what);
                }
                finding.note(plan.steps[user].instruction.span, "a mount can give it to this command alone: `--mount=type=secret`");
            }
        }
    }
}

/// Whether an argument is a secret: `Some` with the build that passes it, where one is known.
fn secret<'p>(plan: &'p Plan<'_>, variable: &Variable) -> Option<Option<&'p Passed>> {
    if !is_secret_name(&variable.name) {
        return None;
    }
    let of_secrets = |it: &&Passed| {
        let text = it.text.to_ascii_lowercase();
        text.contains("${{") && (text.contains("secrets.") || text.contains("github.token"))
    };
    if let Some(passed) = plan.context.passed(&variable.name).find(of_secrets) {
        return Some(Some(passed));
    }
    // A default that says something is a value for everybody.
    let default = plan.dockerfile.default_of(variable).unwrap_or_default();
    let is_empty = default.trim_matches(['"', '\'']).is_empty();
    // Where the builds are known, they say whether one is passed.
    (is_empty && plan.context.passed.is_none()).then_some(None)
}

/// Whether a name is one of a secret: its last word says so.
fn is_secret_name(name: &str) -> bool {
    // Delivered to browsers, where nothing is secret.
    const PUBLIC: &[&str] = &["NEXT_PUBLIC", "VITE", "REACT_APP", "NUXT_PUBLIC", "GATSBY", "VUE_APP", "PUBLIC", "EXPO_PUBLIC", "NG_APP", "STORYBOOK"];
    const WORDS: &[&str] = &["TOKEN", "PASSWORD", "PASSWD", "SECRET", "SECRETS", "CREDENTIAL", "CREDENTIALS", "APIKEY", "PAT", "NETRC", "NPMRC"];
    // A key alone may be that of a signature, which everybody knows.
    const PAIRS: &[&str] = &["API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "SECRET_KEY", "SSH_KEY", "LICENSE_KEY", "DEPLOY_KEY", "ENCRYPTION_KEY", "NPM_AUTH"];
    let name = name.to_ascii_uppercase();
    let is_word = |word: &&str| name.strip_suffix(word).is_some_and(|it| it.is_empty() || it.ends_with('_'));
    let is_public = PUBLIC.iter().any(|it| name.strip_prefix(it).is_some_and(|it| it.starts_with('_')))
        || name.split('_').any(|it| matches!(it, "PUBLIC" | "PUBLISHABLE" | "ANON"));
    !is_public && (WORDS.iter().chain(PAIRS).any(is_word))
}

/// The first command that uses the argument, or may: one that names it, or a variable made of it, or
/// an install whose settings may.
fn user(plan: &Plan<'_>, index: usize, name: &str) -> Option<usize> {
    let mut names = vec![name.to_owned()];
    for (later, step) in plan.steps.iter().enumerate().skip(index + 1).filter(|(_, it)| it.stage == plan.steps[index].stage) {
        match &step.instruction.kind {
            Kind::Env(variables) | Kind::Arg(variables) if step.instruction.expansions.iter().any(|it| names.contains(&it.name)) => {
                names.extend(variables.iter().map(|it| it.name.clone()));
            }
            Kind::Run(run) => {
                let by_name = names.iter().any(|it| has_word(&run.command.text, it));
                let by_settings = step.installs.iter().any(|it| it.action == Action::InstallDependencies);
                // What is not known may read it, as a script of the project does.
                if by_name || by_settings || run.reading.obstacle.is_some() && !run.reading.quiet {
                    return Some(later);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::SECRET_IN_BUILD_ARG as RULE;
    use crate::rules::testing::{build_step, check};

    #[test]
    fn a_command_that_names_it_has_it_in_its_key() {
        check(
            &RULE,
            "
FROM debian:12.9
ARG GITLAB_TOKEN
    ^^^^^^^^^^^^ warning: `GITLAB_TOKEN` is in the cache key of all commands below it, and in the history of the build
RUN apt-get update && apt-get install -y git
RUN git clone https://x:$GITLAB_TOKEN@example.org/a.git
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: a mount can give it to this command alone: `--mount=type=secret`
",
        );
    }

    #[test]
    fn a_variable_that_is_made_of_it_counts() {
        check(
            &RULE,
            "
FROM ruby:3.3
ARG GEMS_PASSWORD=\"\"
    ^^^^^^^^^^^^^^^^ warning: `GEMS_PASSWORD` is in the cache key of all commands below it, and in the history of the build
ENV BUNDLE_GEMS=$GEMS_PASSWORD
RUN curl https://x:$BUNDLE_GEMS@example.org/a
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: a mount can give it to this command alone: `--mount=type=secret`
",
        );
    }

    #[test]
    fn a_secret_of_a_workflow_is_one_whatever_its_default() {
        check(
            &RULE,
            "
#- Dockerfile
FROM node:22.11
ARG TOKEN=none
    ^^^^^^^^^^ warning: `TOKEN` is in the cache key of all commands below it, and in the history of the build
RUN npm ci
^^^^^^^^^^ note: a mount can give it to this command alone: `--mount=type=secret`
#- .github/workflows/ci.yml
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: docker/build-push-action@v7
        with:
          context: .
          build-args: TOKEN=${{ secrets.GITHUB_TOKEN }}
                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ note: this token is another one on every run
",
        );
    }

    #[test]
    fn names_of_what_is_no_secret_are_silent() {
        for name in [
            "GPG_KEY",
            "NEXT_PUBLIC_API_KEY",
            "VITE_MAPS_TOKEN",
            "SUPABASE_ANON_KEY",
            "TOKENIZER",
            "KEYCLOAK_VERSION",
            "STRIPE_PUBLISHABLE_KEY",
            "AUTHOR",
            "PATH",
            "SECRET_NAME",
        ] {
            check(&RULE, &format!("FROM node:22.11\nARG {name}\nRUN curl example.org/${name}\n"));
        }
    }

    #[test]
    fn a_default_is_no_secret() {
        check(&RULE, "FROM ruby:3.3\nARG DB_PASSWORD=postgres\nRUN psql $DB_PASSWORD\n");
        check(&RULE, "ARG DB_PASSWORD=postgres\nFROM ruby:3.3\nARG DB_PASSWORD\nRUN psql $DB_PASSWORD\n");
    }

    #[test]
    fn an_argument_that_no_command_can_use_is_silent() {
        check(&RULE, "FROM ruby:3.3\nARG DB_PASSWORD\nRUN apt-get update && apt-get install -y git\nENV DB_PASSWORD=$DB_PASSWORD\n");
        check(&RULE, "FROM ruby:3.3\nRUN psql $DB_PASSWORD\nARG DB_PASSWORD\n");
    }

    #[test]
    fn a_mount_or_an_environment_variable_is_no_build_argument() {
        check(&RULE, "FROM node:22.11\nRUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN npm ci\nENV API_TOKEN=x\nRUN make\n");
    }

    #[test]
    fn builds_that_pass_none_say_so() {
        let workflow = build_step("context: .\nbuild-args: A=1");
        check(&RULE, &format!("#- Dockerfile\nFROM node:22.11\nARG NPM_TOKEN\nRUN npm ci\n{workflow}"));
    }
}
