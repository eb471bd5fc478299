//! The builders without BuildKit: which steps run again if one instruction of a file changes.

use crate::case::{self, Inputs};
use crate::judge::outcomes;
use layerwise::dockerfile::key::Keys;
use layerwise::dockerfile::rebuild::Fate;
use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// An instruction before and after an edit. Below it stand a command and a copy.
const EDITS: &[(&str, &str)] = &[
    ("LABEL a=1", "LABEL a=2"),
    ("EXPOSE 80", "EXPOSE 81"),
    ("CMD [\"a\"]", "CMD [\"b\"]"),
    ("ENTRYPOINT [\"a\"]", "ENTRYPOINT [\"b\"]"),
    ("HEALTHCHECK CMD a", "HEALTHCHECK CMD b"),
    ("STOPSIGNAL TERM", "STOPSIGNAL KILL"),
    ("VOLUME /a", "VOLUME /b"),
    ("MAINTAINER a", "MAINTAINER b"),
    ("ONBUILD RUN a", "ONBUILD RUN b"),
    ("ENV A=1", "ENV A=2"),
    ("ARG A=1", "ARG A=2"),
    ("WORKDIR /a", "WORKDIR /b"),
    ("WORKDIR /", "WORKDIR /tmp"),
    ("USER root", "USER 1000"),
    ("SHELL [\"/bin/sh\", \"-c\"]", "SHELL [\"/bin/sh\", \"-ec\"]"),
    ("RUN true", "RUN true again"),
    ("COPY a.txt /a/", "COPY b.txt /a/"),
    ("LABEL a=1", "# a remark\nLABEL a=1"),
];

/// Build arguments that are passed, then others; the file declares `A`.
type Arguments = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);
const ARGUMENTS: &[Arguments] = &[(&[("A", "1")], &[("A", "2")]), (&[("A", "1")], &[("A", "1")]), (&[], &[("A", "1")])];

/// The values of these are in no key of the classic builder. That one is passed at all is: the
/// command is recorded with the number of arguments. buildah records them like any other.
const PROXIES: Arguments = (&[("HTTP_PROXY", "http://p")], &[("HTTP_PROXY", "http://q")]);

#[test]
fn the_classic_builder_runs_what_is_below_a_change() {
    let arguments = [ARGUMENTS, &[PROXIES]].concat();
    compare("docker", &arguments, |folder, inputs| {
        let mut command = Command::new("docker");
        command.args(["build", "--network=host", "--force-rm"]);
        with_inputs(command, folder, inputs)
    });
}

#[test]
fn buildah_runs_what_is_below_a_change() {
    compare("buildah", ARGUMENTS, |folder, inputs| {
        let mut command = Command::new("buildah");
        command.args(["bud", "--layers", "--pull-never", "--network=host", "--signature-policy"]).arg(env::var_os("LAYERWISE_POLICY").unwrap());
        with_inputs(command, folder, inputs)
    });
}

fn with_inputs(mut command: Command, folder: &Path, inputs: &Inputs) -> Command {
    command.arg("--file").arg(folder.join("Dockerfile"));
    for (name, value) in &inputs.arguments {
        command.args(["--build-arg", &format!("{name}={value}")]);
    }
    command.arg(case::context(folder));
    command
}

fn compare(builder: &str, arguments: &[Arguments], command: impl Fn(&Path, &Inputs) -> Command) {
    let file = |instruction: &str| format!("FROM docker.io/library/busybox:1.36\n{instruction}\nRUN echo late\nCOPY a.txt /late/\n");
    let edits = EDITS.iter().map(|(before, after)| ((file(before), &[][..]), (file(after), &[][..])));
    let arguments = arguments.iter().map(|(before, after)| ((file("ARG A"), *before), (file("ARG A"), *after)));
    let mut wrong = Vec::new();
    for (before, after) in edits.chain(arguments) {
        let folder = tempfile::tempdir().unwrap();
        let [before, after] = [before, after].map(|(dockerfile, arguments)| inputs(dockerfile, arguments, folder.path()));
        before.write(folder.path(), None, false).unwrap();
        steps(&mut command(folder.path(), &before));
        after.write(folder.path(), Some(&before), false).unwrap();
        let ran = steps(&mut command(folder.path(), &after));
        let fates = outcomes(&before, &after, Keys::Chain).into_iter().map(|it| it.fate).collect::<Vec<_>>();
        // What stands below the change: an ARG that changes may be taken for the old one itself.
        let below = |it: &[Fate]| it[it.len() - 2..].to_vec();
        let ran: Vec<Fate> = ran.into_iter().map(|it| if it { Fate::Runs } else { Fate::Cached }).collect();
        if below(&fates) != below(&ran) {
            wrong.push(format!("{after}the model says {fates:?}, {builder} {ran:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The folder's name in a file keeps the caches of all cases apart.
fn inputs(dockerfile: String, arguments: &[(&str, &str)], folder: &Path) -> Inputs {
    let dockerfile = dockerfile.replace("echo late", &format!("echo {}", folder.display()));
    let file = |name: &str| (name.to_owned(), crate::case::Entry { mode: 0o644, content: Some(format!("{name} {}\n", folder.display())) });
    let arguments: BTreeMap<String, String> = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Inputs { dockerfile, files: [file("a.txt"), file("b.txt")].into(), arguments }
}

/// Whether each step of a build ran; both builders number the steps and say where they use the cache.
fn steps(command: &mut Command) -> Vec<bool> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let mut res = Vec::new();
    for line in output.stdout.split(|it| *it == b'\n').chain(output.stderr.split(|it| *it == b'\n')).map(String::from_utf8_lossy) {
        if line.to_ascii_uppercase().starts_with("STEP ") {
            res.push(true);
        } else if line.contains("Using cache")
            && let Some(last) = res.last_mut()
        {
            *last = false;
        }
    }
    res
}
