//! How often something changes, what it varies with, and what running an instruction again costs.

use std::fmt;

/// How often an input of a cache key changes; ordered from never to always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Volatility {
    /// Cannot change: a digest, a literal.
    #[default]
    Pinned,
    /// A few times a year: a version, an ignore file, a system package list.
    Rarely,
    /// On some commits: manifests and lockfiles.
    Sometimes,
    /// On many commits: sources.
    Often,
    /// On every commit or every run.
    EveryCommit,
}

/// One thing that a value may vary with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// The commit that is built: `github.sha`, a timestamp of the commit, a tag made of it.
    Commit,
    /// The run: `github.run_id`, the time, a random number.
    Run,
    /// The day, the week or a longer time: a date. The runs of one day have it in common.
    Day,
    /// The branch, tag or pull request.
    Ref,
    /// The event that started the run.
    Event,
    /// A key of the job's matrix, in lower case.
    Matrix(String),
    /// An input of a called or dispatched workflow, or of a composite action.
    Input(String),
    /// The workflow, the job, the actor, the runner: constant for one job, but no name of an image.
    Workflow,
    /// Not known.
    Unknown,
}

/// The set of axes a value varies over; empty for a constant.
///
/// In order, and each once. There are few, and models hold thousands of such sets: a tree would take
/// ten times the memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Variance(Vec<Axis>);

impl Variance {
    /// The variance of a constant.
    pub fn constant() -> Variance {
        Variance::default()
    }

    /// Varies over one axis.
    pub fn over(axis: Axis) -> Variance {
        Variance(vec![axis])
    }

    /// Varies over all that either varies over.
    pub fn join(mut self, other: &Variance) -> Variance {
        for axis in &other.0 {
            if let Err(at) = self.0.binary_search(axis) {
                self.0.insert(at, axis.clone());
            }
        }
        self
    }

    /// Adds an axis.
    pub fn add(&mut self, axis: Axis) {
        if let Err(at) = self.0.binary_search(&axis) {
            self.0.insert(at, axis);
        }
    }

    /// Whether it varies over `axis`.
    pub fn has(&self, axis: &Axis) -> bool {
        self.0.contains(axis)
    }

    /// Whether it varies over an input.
    pub fn has_inputs(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Axis::Input(_)))
    }

    /// Whether it never varies.
    pub fn is_constant(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a part of it is not known.
    pub fn is_unknown(&self) -> bool {
        self.has(&Axis::Unknown)
    }

    /// Whether the value is another on every commit or run, or at least on every day, as far as is
    /// known.
    pub fn is_per_commit(&self) -> bool {
        self.has(&Axis::Commit) || self.has(&Axis::Run) || self.has(&Axis::Day)
    }

    /// The axes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Axis> {
        self.0.iter()
    }
}

/// What a variable of the environment varies with that every runner of GitHub sets; `None` for any
/// other.
pub fn of_runner(variable: &str) -> Option<Axis> {
    Some(match variable {
        "GITHUB_SHA" => Axis::Commit,
        "GITHUB_RUN_ID" | "GITHUB_RUN_NUMBER" | "GITHUB_RUN_ATTEMPT" => Axis::Run,
        "GITHUB_REF" | "GITHUB_REF_NAME" | "GITHUB_REF_TYPE" | "GITHUB_HEAD_REF" | "GITHUB_BASE_REF" => Axis::Ref,
        "GITHUB_EVENT_NAME" => Axis::Event,
        "GITHUB_WORKFLOW"
        | "GITHUB_WORKFLOW_REF"
        | "GITHUB_JOB"
        | "GITHUB_ACTOR"
        | "GITHUB_TRIGGERING_ACTOR"
        | "GITHUB_REPOSITORY"
        | "GITHUB_REPOSITORY_OWNER"
        | "GITHUB_SERVER_URL"
        | "GITHUB_WORKSPACE"
        | "RUNNER_OS"
        | "RUNNER_ARCH"
        | "RUNNER_TEMP"
        | "RUNNER_NAME" => Axis::Workflow,
        _ => return None,
    })
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axis::Commit => f.write_str("every commit"),
            Axis::Run => f.write_str("every run"),
            Axis::Day => f.write_str("every day"),
            Axis::Ref => f.write_str("every branch"),
            Axis::Event => f.write_str("every event"),
            Axis::Matrix(key) => write!(f, "`matrix.{key}`"),
            Axis::Input(name) => write!(f, "the input `{name}`"),
            Axis::Workflow => f.write_str("the workflow"),
            Axis::Unknown => f.write_str("something unknown"),
        }
    }
}

/// What running an instruction again costs; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cost {
    /// Image configuration only.
    Metadata,
    /// Copying files, or a command as cheap as that.
    Copy,
    /// Fetching packages.
    Download,
    /// Compiling, testing, or a command that is not known.
    Compile,
}
