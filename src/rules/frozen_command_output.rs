use super::{Check, Findings, declare_rule};
use crate::diagnostic::Level;
use crate::dockerfile::key::{ArgumentVolatility, argument_volatility};
use crate::dockerfile::plan::{Plan, Step, has_word};
use crate::dockerfile::{Frontend, Kind, Run};
use crate::edit::Span;
use crate::facts;
use crate::shell::{Command, Join, Redirect};
use crate::view::DockerfileView;
use crate::volatility::Volatility;

declare_rule! {
    /// The time, or something random, is put into the image by a command that runs once.
    ///
    /// The text of the command never changes, so that its layer is reused for ever: the moment of the
    /// first build stays the date of all later ones, and what was to be random is the same in all of
    /// them. Where the layer is made again after all, what is copied from it differs without need.
    /// Pass the value as a build argument, declared directly above the command, at the end of the stage.
    ///
    /// ```dockerfile,bad
    /// FROM alpine:3.20
    /// RUN date -u > /build-time
    /// ```
    ///
    /// ```dockerfile,good
    /// FROM alpine:3.20
    /// ARG BUILD_TIME
    /// RUN echo "$BUILD_TIME" > /build-time
    /// ```
    ///
    /// Left alone are commands below a copy of the sources, which run again when these change;
    /// those that use a build argument; output that is not kept, is a log, or is a moment that is given
    /// (`date -d`).
    ///
    /// ## Fix safety
    ///
    /// There is no fix: whoever builds has to pass the value.
    pub(crate) static FROZEN_COMMAND_OUTPUT = {
        name: "frozen-command-output",
        level: Level::Warning,
        fixes: false,
        check: Check::Dockerfile(check),
    }
}

/// What a command gives that is another on every run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Moment,
    Random,
}

/// Programs that put a value from their command line into what they make.
const STAMPING: &[&str] = &["sed", "go", "tee", "perl", "cmake", "dotnet", "mvn"];

fn check(view: &DockerfileView<'_>, findings: &mut Findings<'_>) {
    if view.dockerfile.frontend == Frontend::Foreign {
        return;
    }
    for plan in view.plans() {
        let above = plan.volatilities_above();
        let unknown = plan.steps.iter().position(|it| may_bring_sources(plan, it)).unwrap_or(plan.steps.len());
        for (index, step) in plan.own() {
            let Kind::Run(run) = &step.instruction.kind else { continue };
            // The moment of a fetch belongs to what was fetched.
            let Some((span, output)) = frozen(run).filter(|(_, it)| *it == Output::Random || !fetches(run)) else { continue };
            let again = above[index].max(plan.own_volatility(step)) >= Volatility::Often;
            if again || unknown < index || is_renewed(plan, index, run) {
                continue;
            }
            let what = match output {
                Output::Moment => "the cached layer keeps this moment for every later build",
                Output::Random => "the cached layer keeps this value for every later build",
            };
            findings.report(run.command.span(span), what);
        }
    }
}

/// Whether a copy takes a folder, or all, of the context by a variable that is not known.
fn may_bring_sources(plan: &Plan<'_>, step: &Step<'_>) -> bool {
    let Kind::Copy(copy) = &step.instruction.kind else { return false };
    let unknown = |text: &str| text.contains('$') && step.state.expand(text, plan.dockerfile.escape).is_none();
    copy.from_context() && copy.sources.iter().any(|it| unknown(&it.text) && !facts::name(&it.text).contains('.'))
}

/// Whether a command fetches something of its own.
pub(super) fn fetches(run: &Run) -> bool {
    run.script.commands.iter().any(|it| matches!(it.program(), Some("curl" | "wget" | "git" | "aria2c" | "rsync")))
}

/// Whether a build argument gives the command a new key on purpose: one that it uses, or one that
/// changes on every commit, or is there for nothing else.
pub(super) fn is_renewed(plan: &Plan<'_>, index: usize, run: &Run) -> bool {
    let renews = |name: &str| {
        let upper = name.to_ascii_uppercase();
        let buster = upper.contains("CACHE") || upper.contains("BUST") || upper.contains("REFRESH");
        has_word(&run.command.text, name) || buster || !matches!(argument_volatility(&plan.context, name, None), ArgumentVolatility::Quiet)
    };
    let declared = |it: &Step<'_>| matches!(&it.instruction.kind, Kind::Arg(variables) if variables.iter().any(|it| renews(&it.name)));
    plan.steps[..index].iter().any(declared)
}

/// The first pipeline whose output is kept and is another on every run.
fn frozen(run: &Run) -> Option<(Span, Output)> {
    let mut tainted: Vec<(&str, Output)> = Vec::new();
    let commands = &run.script.commands;
    let mut start = 0;
    while start < commands.len() {
        let piped = commands[start + 1..].iter().take_while(|it| it.joined == Join::Pipe).count();
        let pipeline = &commands[start..=start + piped];
        start += piped + 1;
        let found = pipeline.iter().find_map(|it| Some((it, output(it, &tainted)?)));
        let Some((command, output)) = found else { continue };
        if is_kept(pipeline) {
            return Some((command.span, output));
        }
        tainted.extend(command.assignments.iter().filter(|_| command.words.is_empty()).map(|(name, _)| (name.as_str(), output)));
    }
    None
}

fn output(command: &Command, tainted: &[(&str, Output)]) -> Option<Output> {
    let words = || command.words.iter().chain(command.assignments.iter().map(|(_, it)| it));
    let program = command.program().unwrap_or("");
    let second = command.invocation().and_then(|it| it.arguments().first()).map_or("", |it| it.text.as_str());
    let is_given = |it: &str| it.contains("-d") || it.contains("--date") || it.contains("-r") || it.contains("SOURCE_DATE_EPOCH");
    if program == "date" && !words().any(|it| it.text.starts_with("-d") || it.text.starts_with("--") || it.text.starts_with("-r") || is_set(&it.text)) {
        return Some(Output::Moment);
    }
    if program == "uuidgen" || (program == "openssl" && second == "rand") || words().any(|it| it.text == "/dev/urandom") {
        return Some(Output::Random);
    }
    words().find_map(|word| {
        let text = word.text.as_str();
        let expanded = |name: &str| word.variables.iter().any(|it| it == name);
        if expanded("RANDOM")
            || (word.computed
                && ["$(uuidgen", "`uuidgen", "$(openssl rand", "`openssl rand", "/dev/urandom", "kernel/random/uuid"].iter().any(|it| text.contains(it)))
        {
            return Some(Output::Random);
        }
        if word.computed && ["$(date", "`date"].iter().any(|it| text.find(it).is_some_and(|at| !is_given(inside(&text[at + it.len()..])))) {
            return Some(Output::Moment);
        }
        tainted.iter().find(|(name, _)| expanded(name)).map(|it| it.1)
    })
}

/// The rest of a substitution.
fn inside(text: &str) -> &str {
    text.split([')', '`']).next().unwrap_or(text)
}

/// Whether `date` is given a moment to set.
fn is_set(word: &str) -> bool {
    word.starts_with("-s") || word.contains("SOURCE_DATE_EPOCH")
}

/// Whether the output of a pipeline ends up in a file of the image, or in what is built.
fn is_kept(pipeline: &[Command]) -> bool {
    let is_file = |it: &Redirect| {
        let target = it.target.text.as_str();
        let aside = ["/dev/", "/tmp/", "/var/log/", "/proc/"].iter().any(|it| target.starts_with(it)) || target.ends_with(".log");
        it.operator.contains('>') && !it.operator.ends_with('&') && !aside
    };
    let is_stamped = |it: &Command| it.program().is_some_and(|it| STAMPING.contains(&facts::name(it)));
    pipeline.iter().any(|it| it.redirects.iter().any(is_file) || is_stamped(it))
}

#[cfg(test)]
mod tests {
    use super::FROZEN_COMMAND_OUTPUT as RULE;
    use crate::rules::testing::check;

    /// A stage with one command, of which the part is found.
    fn found(command: &str, part: &str, what: &str) {
        let at = command.find(part).unwrap();
        let mark = format!("{}{} warning: the cached layer keeps this {what} for every later build", " ".repeat(4 + at), "^".repeat(part.len()));
        check(&RULE, &format!("FROM alpine:3.20\nRUN {command}\n{mark}\n"));
    }

    fn silent(lines: &str) {
        check(&RULE, &format!("FROM alpine:3.20\n{lines}\n"));
    }

    #[test]
    fn a_moment_in_a_file_is_that_of_the_first_build() {
        found("date > /built", "date > /built", "moment");
        found("echo built $(date +%F) >> /etc/motd", "echo built $(date +%F) >> /etc/motd", "moment");
        found("mkdir -p /a && echo \"`date -u`\" | tee /a/built", "echo \"`date -u`\"", "moment");
        found("NOW=$(date +%s); echo $NOW > /built", "echo $NOW > /built", "moment");
        found("sed -i \"s/@DATE@/$(date)/\" /etc/app.conf", "sed -i \"s/@DATE@/$(date)/\" /etc/app.conf", "moment");
    }

    #[test]
    fn a_random_value_is_the_same_for_all() {
        found("openssl rand -hex 32 > /secret", "openssl rand -hex 32 > /secret", "value");
        found("uuidgen > /etc/machine-id", "uuidgen > /etc/machine-id", "value");
        found("echo $RANDOM > /seed", "echo $RANDOM > /seed", "value");
        found("head -c 32 /dev/urandom | base64 > /key", "head -c 32 /dev/urandom", "value");
    }

    #[test]
    fn output_that_is_not_kept_is_silent() {
        for command in [
            "date",
            "echo $(date) && make",
            "date > /dev/null",
            "date >> /var/log/build.log",
            "echo start $(date) >&2",
            "curl -o /a https://example.org/?$RANDOM",
            "X=$(date) make",
            "update --date > /a",
        ] {
            silent(&format!("RUN {command}"));
        }
    }

    #[test]
    fn a_moment_that_is_given_is_silent() {
        silent("RUN date -d @0 > /built");
        silent("RUN echo $(date --date=@$SOURCE_DATE_EPOCH) > /built");
        silent("RUN date -r /etc/os-release > /built");
    }

    #[test]
    fn the_moment_of_a_fetch_belongs_to_it() {
        silent("RUN wget https://example.org/list.txt && date +%F > /list-date");
    }

    #[test]
    fn what_runs_again_with_the_sources_is_silent() {
        silent("COPY . /app\nRUN date > /built");
        silent("RUN --mount=type=bind,target=/app date > /built");
        silent("ENV SOURCES=.\nCOPY $SOURCES /app\nRUN date > /built");
        silent("COPY $SOURCES/app /app\nRUN date > /built");
    }

    #[test]
    fn what_an_argument_renews_is_silent() {
        silent("ARG CACHEBUST\nRUN date > /built");
        silent("ARG VERSION\nRUN echo $VERSION $(date) > /built");
        silent("ARG GIT_SHA\nRUN date > /built");
    }

    #[test]
    fn text_that_only_names_it_is_silent() {
        silent("RUN echo 'date > /built' > /usr/bin/stamp");
        silent("RUN echo update > /a && cat /etc/date > /b");
    }
}
