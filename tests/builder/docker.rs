//! Builds with the real builder.

use crate::case::{self, Inputs};
use crate::progress::{self, Steps};
use std::path::Path;
use std::process::{Command, Stdio};

/// Builds `inputs`, which stand in `folder`, and says which steps ran.
///
/// # Errors
///
/// What the builder said, if it failed.
pub fn build(folder: &Path, inputs: &Inputs) -> Result<Steps, String> {
    // By itself, it starts in half the time that `docker buildx` takes.
    let mut command = Command::new("docker-buildx");
    command.args(["build", "--progress=rawjson", "--network=host", "--output=type=cacheonly", "--provenance=false"]);
    command.arg("--file").arg(folder.join("Dockerfile"));
    command.arg("--secret").arg(format!("id=word,src={}", folder.join("Dockerfile").display()));
    for (name, value) in &inputs.arguments {
        command.args(["--build-arg", &format!("{name}={value}")]);
    }
    let output = command.arg(case::context(folder)).stdin(Stdio::null()).output().map_err(|it| format!("docker-buildx does not start: {it}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(log.lines().filter(|it| !it.starts_with('{')).collect::<Vec<_>>().join("\n"));
    }
    Ok(progress::read(&log))
}
