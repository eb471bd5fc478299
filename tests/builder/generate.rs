//! Small builds and changes of them, made at random.
//!
//! A [`Sketch`] is what shrinks: numbers that choose from tables. [`Sketch::case`] makes files and
//! Dockerfiles of it, and takes care that the builder accepts both (what is copied by name is there).

use crate::case::{Case, Entry, IGNORE_FILE, Inputs};
use layerwise::dockerfile::ignore;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A build and its change.
#[derive(Debug, Clone)]
pub struct Sketch {
    stages: Vec<StageSketch>,
    ignore: usize,
    arguments: Vec<usize>,
    change: Change,
}

#[derive(Debug, Clone)]
struct StageSketch {
    base: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Copy {
        source: usize,
        target: usize,
        flags: [usize; 4],
        add: bool,
    },
    CopyFrom {
        stage: usize,
        source: usize,
        target: usize,
        flags: [usize; 4],
    },
    Heredoc {
        target: usize,
        flags: [usize; 4],
        text: usize,
    },
    Run {
        command: usize,
        mounts: Vec<usize>,
        stage: usize,
        network: bool,
    },
    /// An instruction without a layer, or WORKDIR.
    Other(usize),
}

#[derive(Debug, Clone)]
enum Change {
    /// Of the file of that number; what, and a choice for it.
    File(usize, FileChange),
    Touch,
    /// The argument of that number, or none, is passed instead.
    Arguments(Vec<usize>),
    Ignore(usize),
    /// In that stage, at that step.
    Replace(usize, usize, Step),
    Insert(usize, usize, Step),
    Remove(usize, usize),
    Swap(usize, usize),
}

#[derive(Debug, Clone, Copy)]
enum FileChange {
    Edit,
    Mode(usize),
    Rename,
    Add,
    Delete,
}

/// The files of every context, with modes.
const FILES: &[(&str, u32)] = &[
    ("a.txt", 0o644),
    ("b.txt", 0o644),
    ("c.md", 0o600),
    ("src/x.rs", 0o644),
    ("src/y.rs", 0o755),
    ("src/deep/z.md", 0o644),
    ("src/deep/w.rs", 0o644),
    ("lib/m.js", 0o644),
    ("docs/r.md", 0o640),
];
const FOLDERS: &[&str] = &["src", "src/deep", "lib", "docs", "empty"];
const MODES: &[u32] = &[0o600, 0o644, 0o755, 0o777];
const IGNORE_FILES: &[&str] =
    &["", "*.md\n", "**/*.md\n!docs/r.md\n", "src/deep\n", "src\n!src/deep/z.md\n", "# nothing\n", "*\n!src\n!*.txt\n", ".dockerignore\n"];
/// What is copied; several words are several sources.
const SOURCES: &[&str] = &[
    "a.txt",
    "src",
    ".",
    "b.txt",
    "src/",
    "*.txt",
    "src/x.rs",
    "src/deep",
    "a.txt b.txt",
    "s*",
    "src/*.rs",
    "*/*.md",
    "./lib/m.js",
    "lib docs",
    "src/*",
    "*",
    "?.txt",
    "none*",
    "empty",
    "c.md",
];
const TARGETS: &[&str] = &["/d1/", "/d2/", "d3/", "/d1/sub/", "/d4/$V/", "./"];
/// Each flag of a copy by its values; the first is none.
const CHOWN: &[&str] = &["", "", "", "--chown=1000:1000", "--chown=33", "--chown=www-data"];
const CHMOD: &[&str] = &["", "", "", "--chmod=755", "--chmod=u=rwX,go=rX"];
const EXCLUDE: &[&str] =
    &["", "", "", "--exclude=*.md", "--exclude=**/*.md", "--exclude=deep", "--exclude=x.rs --exclude=*.txt", "--exclude=deep --exclude=!deep/z.md"];
const LINK: &[&str] = &["", "", "--link"];
const COMMANDS: &[&str] = &[
    "true",
    "cat /seed/word",
    "echo $V $A",
    "echo one > /tmp/one-$(id -u)",
    "cat /proc/sys/kernel/random/uuid > /tmp/new-$(id -u)",
    "[\"true\"]",
    "[ \"true\" ,\"x\"]",
    "<<EOF\ntrue\necho $V\nEOF",
    "<<EOF\n#!/bin/sh\necho script\nEOF",
    "cat <<EOF\ntext\nEOF",
    "true \\\n  # a remark\n  a",
    "  true",
];
const MOUNTS: &[&str] = &[
    "type=cache,target=/c",
    "type=cache,id=one,target=/c",
    "type=cache,id=two,target=/c",
    "type=cache,target=/c,sharing=locked",
    "type=cache,target=/c,uid=1000",
    "type=cache,target=c",
    "type=bind,source=a.txt,target=/m",
    "type=bind,source=b.txt,target=/m",
    "type=bind,target=/m",
    "type=bind,source=src,target=/n,rw",
    "target=/n,source=src/deep",
    "type=secret,id=word",
    "type=secret,id=word,required=true,target=/s",
    "type=tmpfs,target=/t",
    "type=bind,from=STAGE,source=/seed,target=/f",
    "type=bind,from=STAGE,target=/g",
    "type=bind,source=/src/$A,target=/n",
];
const OTHERS: &[&str] = &[
    "ENV V=v1",
    "ENV V=v2",
    "ENV W=$V-x V=v3",
    "ENV W=w V=v1",
    "ARG A",
    "ARG A=a1",
    "ARG A=a2",
    "ARG V=v1",
    "ARG G",
    "ARG B=$A-$V",
    "ARG HTTP_PROXY",
    "ARG TARGETARCH",
    "WORKDIR /w",
    "WORKDIR sub",
    "WORKDIR /",
    "WORKDIR /w$V",
    "USER 1000",
    "USER www-data",
    "USER root",
    "SHELL [\"/bin/sh\", \"-c\"]",
    "SHELL [\"/bin/sh\", \"-ec\"]",
    "SHELL [\"/bin/busybox\", \"sh\", \"-c\"]",
    "LABEL a=1",
    "LABEL a=2 b=$V",
    "EXPOSE 80",
    "CMD [\"a\"]",
    "CMD b",
    "ENTRYPOINT [\"a\"]",
    "HEALTHCHECK CMD true",
    "STOPSIGNAL TERM",
    "VOLUME /v",
    "MAINTAINER me",
    "ONBUILD RUN false",
    "# a remark",
    "",
];
/// What is passed; two of one name are two values.
const ARGUMENTS: &[(&str, &str)] =
    &[("A", "a1"), ("A", "a9"), ("V", "v1"), ("V", "v9"), ("G", "g9"), ("NONE", "n"), ("HTTP_PROXY", "http://p"), ("SOURCE_DATE_EPOCH", "7")];
const NAMES: usize = 64;

/// Builds at random.
pub fn sketch() -> impl Strategy<Value = Sketch> {
    let stage = (0..NAMES, vec(step(), 1..6)).prop_map(|(base, steps)| StageSketch { base, steps });
    (vec(stage, 1..4), 0..NAMES, vec(0..NAMES, 0..3), change()).prop_map(|(stages, ignore, arguments, change)| Sketch { stages, ignore, arguments, change })
}

fn step() -> impl Strategy<Value = Step> {
    let flags = || [0..NAMES, 0..NAMES, 0..NAMES, 0..NAMES];
    let copy = (0..NAMES, 0..NAMES, flags(), proptest::bool::weighted(0.2));
    let from = (0..NAMES, 0..NAMES, 0..NAMES, flags());
    let run = (0..NAMES, vec(0..NAMES, 0..3), 0..NAMES, proptest::bool::weighted(0.1));
    prop_oneof![
        4 => (0..NAMES).prop_map(Step::Other),
        4 => copy.prop_map(|(source, target, flags, add)| Step::Copy { source, target, flags, add }),
        2 => from.prop_map(|(stage, source, target, flags)| Step::CopyFrom { stage, source, target, flags }),
        1 => (0..NAMES, flags(), 0..NAMES).prop_map(|(target, flags, text)| Step::Heredoc { target, flags, text }),
        3 => run.prop_map(|(command, mounts, stage, network)| Step::Run { command, mounts, stage, network }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let file = prop_oneof![
        3 => Just(FileChange::Edit),
        1 => (0..NAMES).prop_map(FileChange::Mode),
        1 => Just(FileChange::Rename),
        1 => Just(FileChange::Add),
        1 => Just(FileChange::Delete),
    ];
    let at = || (0..NAMES, 0..NAMES);
    prop_oneof![
        6 => (0..NAMES, file).prop_map(|(index, change)| Change::File(index, change)),
        1 => Just(Change::Touch),
        2 => vec(0..NAMES, 0..3).prop_map(Change::Arguments),
        2 => (0..NAMES).prop_map(Change::Ignore),
        4 => (at(), step()).prop_map(|((stage, index), step)| Change::Replace(stage, index, step)),
        2 => (at(), step()).prop_map(|((stage, index), step)| Change::Insert(stage, index, step)),
        1 => at().prop_map(|(stage, index)| Change::Remove(stage, index)),
        1 => at().prop_map(|(stage, index)| Change::Swap(stage, index)),
    ]
}

fn pick<T: Copy>(table: &[T], choice: usize) -> T {
    table[choice % table.len()]
}

impl Sketch {
    /// The case of this sketch; `nonce` is in every layer.
    pub fn case(&self, nonce: &str) -> Case {
        let mut changed = self.clone();
        changed.change_builds();
        let mut after = files(nonce, pick(IGNORE_FILES, changed.ignore));
        if let Change::File(index, change) = self.change {
            change_file(&mut after, index, change, nonce);
        }
        let before = files(nonce, pick(IGNORE_FILES, self.ignore));
        // A path that only one of the builds has is never copied by name.
        let is_seen = |path: &str| is_seen(&before, path) && is_seen(&after, path);
        let texts = [self, &changed].map(|it| Writer { nonce, is_seen: &is_seen, stages: Vec::new() }.dockerfile(it));
        let [first, second] = texts;
        let inputs = |dockerfile, files, sketch: &Sketch| Inputs { dockerfile, files, arguments: sketch.arguments() };
        Case { before: inputs(first, before.clone(), self), after: inputs(second, after.clone(), &changed), touched: matches!(self.change, Change::Touch) }
    }

    fn change_builds(&mut self) {
        let n_stages = self.stages.len();
        match self.change.clone() {
            Change::File(..) | Change::Touch => {}
            Change::Arguments(arguments) => self.arguments = arguments,
            Change::Ignore(ignore) => self.ignore = ignore,
            Change::Replace(stage, index, step) => {
                let steps = &mut self.stages[stage % n_stages].steps;
                let index = index % steps.len();
                steps[index] = step;
            }
            Change::Insert(stage, index, step) => {
                let steps = &mut self.stages[stage % n_stages].steps;
                let index = index % (steps.len() + 1);
                steps.insert(index, step);
            }
            Change::Remove(stage, index) => {
                let steps = &mut self.stages[stage % n_stages].steps;
                let index = index % steps.len();
                steps.remove(index);
            }
            Change::Swap(stage, index) => {
                let steps = &mut self.stages[stage % n_stages].steps;
                let (one, other) = (index % steps.len(), (index + 1) % steps.len());
                steps.swap(one, other);
            }
        }
    }

    fn arguments(&self) -> BTreeMap<String, String> {
        self.arguments.iter().map(|it| pick(ARGUMENTS, *it)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn files(nonce: &str, ignore: &str) -> BTreeMap<String, Entry> {
    let file = |path: &str, mode: u32| (path.to_owned(), Entry { mode, content: Some(format!("{path} {nonce}\n")) });
    let mut res: BTreeMap<String, Entry> = FILES.iter().map(|(path, mode)| file(path, *mode)).collect();
    res.extend(FOLDERS.iter().map(|it| ((*it).to_owned(), Entry { mode: 0o755, content: None })));
    if !ignore.is_empty() {
        res.insert(IGNORE_FILE.to_owned(), Entry { mode: 0o644, content: Some(ignore.to_owned()) });
    }
    res
}

fn change_file(files: &mut BTreeMap<String, Entry>, index: usize, change: FileChange, nonce: &str) {
    let (path, _) = pick(FILES, index);
    let near = path.replace(".", "2.");
    match change {
        FileChange::Edit => files.get_mut(path).unwrap().content = Some(format!("edited {nonce}\n")),
        FileChange::Mode(choice) => {
            // Folders have modes as well.
            let paths: Vec<&String> = files.keys().collect();
            let path = paths[index % paths.len()].clone();
            files.get_mut(&path).unwrap().mode = if files[&path].content.is_some() { pick(MODES, choice) } else { pick(&[0o700, 0o755, 0o775], choice) };
        }
        FileChange::Rename => {
            let entry = files.remove(path).unwrap();
            files.insert(near, entry);
        }
        FileChange::Add => drop(files.insert(near, Entry { mode: 0o644, content: Some(format!("added {nonce}\n")) })),
        FileChange::Delete => drop(files.remove(path)),
    }
}

/// Whether the builder finds `path` in a context.
fn is_seen(files: &BTreeMap<String, Entry>, path: &str) -> bool {
    let ignore = ignore::parse(files.get(IGNORE_FILE).and_then(|it| it.content.as_deref()).unwrap_or("")).unwrap();
    let below = format!("{path}/");
    files.keys().any(|it| (it == path || it.starts_with(&below)) && !ignore.excludes(it))
}

/// Writes the Dockerfile of a sketch.
struct Writer<'a> {
    nonce: &'a str,
    is_seen: &'a dyn Fn(&str) -> bool,
    /// What is known of the stages so far.
    stages: Vec<Written>,
}

#[derive(Clone, Default)]
struct Written {
    is_scratch: bool,
    /// Folders that copies surely made.
    made: Vec<String>,
}

impl Writer<'_> {
    fn dockerfile(mut self, sketch: &Sketch) -> String {
        let mut res = "ARG G=g1\nARG IMAGE=busybox:1.36\n".to_owned();
        for (index, stage) in sketch.stages.iter().enumerate() {
            let base = stage.base % 8;
            let (text, mut written) = match base {
                0 if index > 0 => (format!("FROM s{} AS s{index}\n", index - 1), self.stages[index - 1].clone()),
                1 if index > 0 => (format!("FROM s0 AS s{index}\n"), self.stages[0].clone()),
                2 => (format!("FROM scratch AS s{index}\n"), Written { is_scratch: true, made: Vec::new() }),
                3 => (format!("FROM $IMAGE AS s{index}\n"), Written::default()),
                _ => (format!("FROM busybox:1.36 AS s{index}\n"), Written::default()),
            };
            res += &text;
            if !text.starts_with("FROM s") || written.is_scratch && written.made.is_empty() {
                // Two stages in five begin alike, so that the builder merges them.
                let name = if stage.base % 5 < 2 { 0 } else { index };
                res += &format!("WORKDIR /case-{}-{name}\nCOPY <<EOF /seed/word\n{}\nEOF\n", self.nonce, self.nonce);
                written.made.push("/seed".to_owned());
            }
            for step in &stage.steps {
                if let Some(line) = self.step(step, &mut written) {
                    res += &line;
                    res.push('\n');
                }
            }
            self.stages.push(written);
        }
        res
    }

    fn step(&self, step: &Step, written: &mut Written) -> Option<String> {
        match step {
            Step::Other(choice) => Some(pick(OTHERS, *choice).to_owned()),
            Step::Copy { source, target, flags, add } => {
                let sources: Vec<&str> = pick(SOURCES, *source).split(' ').filter(|it| self.can_copy(it)).collect();
                if sources.is_empty() {
                    return None;
                }
                let target = self.target(*target, *flags);
                let keyword = if *add { "ADD" } else { "COPY" };
                Some(format!("{keyword} {}{} {target}", self.flags(*flags, written), sources.join(" ")))
            }
            Step::CopyFrom { stage, source, target, flags } => {
                let from = self.stages.len().checked_sub(1 + stage % self.stages.len().max(1))?;
                let made = &self.stages[from].made;
                let sources = ["/seed/word", "/seed", "/d1*", "/d2*", "/tmp*", "/d?/*.rs"];
                let source = match source % 3 {
                    0 if !made.is_empty() => made[source / 3 % made.len()].as_str(),
                    _ => pick(&sources, *source),
                };
                Some(format!("COPY --from=s{from} {}{source} {}", self.flags(*flags, written), self.target(*target, *flags)))
            }
            Step::Heredoc { target, flags, text } => {
                let marker = pick(&["<<note", "<<'note'", "<<\"note\""], *text);
                let text = pick(&["text", "value $V", "${A:-none}"], *text);
                Some(format!("COPY {}{marker} {}\n{text} {}\nnote", self.flags([flags[0], flags[1], 0, flags[3]], written), pick(TARGETS, *target), self.nonce))
            }
            Step::Run { .. } if written.is_scratch => None,
            Step::Run { command, mounts, stage, network } => {
                let mounts: Vec<String> = mounts.iter().filter_map(|it| self.mount(pick(MOUNTS, *it), *stage)).collect();
                // Two mounts at one place are an error.
                let target = |it: &String| it.split(',').find_map(|it| it.strip_prefix("target=")).map(str::to_owned);
                let mounts: Vec<&String> =
                    mounts.iter().enumerate().filter(|(index, it)| !mounts[..*index].iter().any(|other| target(other) == target(it))).map(|it| it.1).collect();
                let flags: String = mounts.iter().map(|it| format!("--mount={it} ")).collect();
                Some(format!("RUN {flags}{}{}", if *network { "--network=none " } else { "" }, pick(COMMANDS, *command)))
            }
        }
    }

    /// A linked copy stands on nothing that has a word of this case, so that its target has to.
    fn target(&self, choice: usize, flags: [usize; 4]) -> String {
        let target = pick(TARGETS, choice);
        if pick(LINK, flags[0]).is_empty() { target.to_owned() } else { format!("{target}{}/", self.nonce) }
    }

    fn can_copy(&self, source: &str) -> bool {
        let path = source.trim_start_matches("./").trim_end_matches('/');
        source == "." || source.contains(['*', '?']) || (self.is_seen)(path)
    }

    fn flags(&self, choices: [usize; 4], written: &Written) -> String {
        let link = pick(LINK, choices[0]);
        let mut chown = pick(CHOWN, choices[1]);
        // A linked copy, and one onto nothing, has no list of users.
        if chown.ends_with("www-data") && (!link.is_empty() || written.is_scratch) {
            chown = "";
        }
        let words = [link, chown, pick(EXCLUDE, choices[2]), pick(CHMOD, choices[3])];
        words.iter().filter(|it| !it.is_empty()).map(|it| format!("{it} ")).collect()
    }

    /// A mount, if what it names is there.
    fn mount(&self, text: &str, stage: usize) -> Option<String> {
        if text.contains("STAGE") {
            let from = self.stages.len().checked_sub(1 + stage % self.stages.len().max(1))?;
            return (!self.stages[from].made.is_empty()).then(|| text.replace("STAGE", &format!("s{from}")));
        }
        let source = text.split(',').find_map(|it| it.strip_prefix("source=")).unwrap_or("");
        (source.is_empty() || source.contains('$') || (self.is_seen)(source)).then(|| text.to_owned())
    }
}
