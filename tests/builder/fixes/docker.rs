//! Builds with the real builder: what comes out, and which steps ran.

use crate::image::{self, Tree};
use crate::progress::{self, Steps};
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to build.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// The Dockerfile; its ignore file may stand beside it.
    pub dockerfile: PathBuf,
    /// The folder of the context.
    pub context: PathBuf,
    /// The stage; the last one if there is none.
    pub target: Option<String>,
    /// Build arguments.
    pub arguments: Vec<(String, String)>,
    /// Images by the names that the Dockerfile has for them.
    pub images: Vec<(String, String)>,
    /// Whether every step runs.
    pub no_cache: bool,
}

/// What a build makes.
pub struct Image {
    pub files: Tree,
    pub configuration: Value,
}

impl Build {
    fn command(&self, log: &Path) -> Result<Command, String> {
        let log = File::create(log).map_err(|it| it.to_string())?;
        // By itself, it starts in half the time that `docker buildx` takes.
        let mut command = Command::new("docker-buildx");
        command.args(["build", "--progress=rawjson", "--network=host", "--provenance=false"]);
        command.arg("--file").arg(&self.dockerfile);
        if let Some(target) = &self.target {
            command.args(["--target", target]);
        }
        if self.no_cache {
            command.arg("--no-cache");
        }
        for (name, value) in &self.arguments {
            command.args(["--build-arg", &format!("{name}={value}")]);
        }
        for (name, image) in &self.images {
            command.args(["--build-context", &format!("{name}=docker-image://{image}")]);
        }
        command.arg(&self.context).stdin(Stdio::null()).stderr(log);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.dockerfile.with_extension("log")
    }

    /// Builds, and says which steps ran.
    ///
    /// # Errors
    /// What the builder said, if it failed.
    pub fn run(&self) -> Result<Steps, String> {
        let log = self.log();
        let status = self.command(&log)?.arg("--output=type=cacheonly").status().map_err(|it| it.to_string())?;
        let text = fs::read_to_string(log).map_err(|it| it.to_string())?;
        if status.success() { Ok(progress::read(&text)) } else { Err(said(&text)) }
    }

    /// Builds, and takes the result out of the engine, which knows it as `name` from then on.
    ///
    /// # Errors
    /// What the builder said, if it failed.
    pub fn export(&self, name: &str) -> Result<Image, String> {
        let log = self.log();
        let mut command = self.command(&log)?;
        // The archive has the files with all that can be said of them, but no configuration.
        command.arg("--output=type=tar,dest=-").arg(format!("--output=type=image,unpack=false,name={name}"));
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|it| it.to_string())?;
        let files = child.stdout.take().map(image::read);
        let status = child.wait().map_err(|it| it.to_string())?;
        if !status.success() {
            return Err(said(&fs::read_to_string(log).map_err(|it| it.to_string())?));
        }
        let files = files.ok_or("no output")?.map_err(|it| format!("the archive cannot be read: {it}"))?;
        Ok(Image { files, configuration: image::configuration(&inspect(name)?) })
    }
}

/// What the engine says of an image. It is asked without a `docker` in between, which takes longer to start than this.
fn inspect(name: &str) -> Result<Value, String> {
    let host = env::var("DOCKER_HOST").map_err(|it| format!("DOCKER_HOST: {it}"))?;
    let mut stream = UnixStream::connect(host.trim_start_matches("unix://")).map_err(|it| format!("{host}: {it}"))?;
    let mut answer = String::new();
    let asked = write!(stream, "GET /images/{name}/json HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
    asked.map_err(|it| format!("{host}: {it}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer: {answer}"))?;
    serde_json::from_str(body).map_err(|it| format!("{it}: {body}"))
}

/// The part of a log that is for people: output of commands and the builder's last word.
fn said(log: &str) -> String {
    let mut res = String::new();
    for line in log.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            res.push_str(line);
            res.push('\n');
            continue;
        };
        for part in event["vertexes"].as_array().into_iter().flatten() {
            if let Some(error) = part["error"].as_str().filter(|it| !it.is_empty()) {
                res.push_str(&format!("{}: {error}\n", part["name"].as_str().unwrap_or_default()));
            }
        }
        for part in event["logs"].as_array().into_iter().flatten() {
            res.push_str(&part["data"].as_str().map(decoded).unwrap_or_default());
        }
    }
    res
}

/// Text in base 64, as JSON has the output of commands.
fn decoded(text: &str) -> String {
    let digit = |it: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|known| *known == it);
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(|it| it as u32).collect();
    let bytes = digits.chunks(4).flat_map(|part| {
        let bits = part.iter().fold(0, |all, it| (all << 6) | it) << (6 * (4 - part.len()));
        bits.to_be_bytes().into_iter().skip(1).take(part.len().saturating_sub(1))
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_of_any_length_is_read() {
        assert_eq!((decoded("YQ=="), decoded("YWI="), decoded("YWJj"), decoded("YWJjZA==")), ("a".into(), "ab".into(), "abc".into(), "abcd".into()));
    }
}
