//! Builds with the real builder, and reads which steps it ran.

use crate::case::Inputs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// A step by the name of its stage and its number in the stage, as the progress shows them. Where
/// there is one stage only, it shows no name.
pub type Place = (String, usize);

/// The steps of a build.
pub type Steps = BTreeMap<Place, Shown>;

/// Builds `inputs`, which stand in `folder`.
///
/// # Errors
///
/// What the builder said, if it failed.
pub fn build(folder: &Path, inputs: &Inputs) -> Result<Steps, String> {
    let mut command = Command::new("docker");
    command.args(["buildx", "build", "--progress=rawjson", "--network=host", "--output=type=cacheonly", "--provenance=false"]);
    command.arg("--file").arg(folder.join("Dockerfile"));
    command.arg("--secret").arg(format!("id=word,src={}", folder.join("Dockerfile").display()));
    for (name, value) in &inputs.arguments {
        command.args(["--build-arg", &format!("{name}={value}")]);
    }
    let output = command.arg(folder.join("context")).stdin(Stdio::null()).output().map_err(|it| format!("docker does not start: {it}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(log.lines().filter(|it| !it.starts_with('{')).collect::<Vec<_>>().join("\n"));
    }
    Ok(read(&log))
}

/// What the progress shows of one step.
#[derive(Debug, Default)]
pub struct Shown {
    has_inputs: bool,
    /// By the moment it was started: whether anything was done then. Nothing is if the cache has the
    /// step, or if a search for its key is broken off, because another one was faster
    /// (`sharedOp.CalcSlowCache` in solver/jobs.go of moby/buildkit), which is shown as an error.
    started: BTreeMap<String, bool>,
}

impl Shown {
    /// Whether it ran. To look for the key of a step without inputs counts as a start of its own
    /// (`sharedOp.CacheMap`, there).
    pub fn ran(&self) -> bool {
        self.started.values().filter(|it| **it).count() > usize::from(!self.has_inputs)
    }
}

/// Reads the progress, one JSON value a line. A step is shown again with each change of its state.
fn read(log: &str) -> Steps {
    let mut shown = Steps::new();
    for event in log.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok()) {
        for vertex in event["vertexes"].as_array().into_iter().flatten() {
            let Some(place) = vertex["name"].as_str().and_then(place) else { continue };
            let step = shown.entry(place).or_default();
            step.has_inputs |= vertex["inputs"].as_array().is_some_and(|it| !it.is_empty());
            if let Some(started) = vertex["started"].as_str() {
                let nothing_done = vertex["cached"] == true || vertex["error"].as_str().is_some_and(|it| !it.is_empty());
                step.started.insert(started.to_owned(), !nothing_done);
            }
        }
    }
    shown
}

/// The place of `[stage 2/3] COPY a b`. The second step of a linked copy, which only lays the layer
/// on top, has the number of the first; it is left out.
fn place(name: &str) -> Option<Place> {
    let (bracket, text) = name.strip_prefix('[')?.split_once("] ")?;
    let mut words = bracket.split_whitespace();
    let number = words.next_back()?.split_once('/')?.0.parse().ok()?;
    let stage = words.next().unwrap_or_default();
    (!text.starts_with("LINK ")).then(|| (stage.to_owned(), number))
}
