//! A build before and after a change: files, Dockerfile, arguments.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// A file or folder of the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    /// None is a folder.
    pub content: Option<String>,
}

/// All that goes into one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    pub dockerfile: String,
    pub files: BTreeMap<String, Entry>,
    pub arguments: BTreeMap<String, String>,
}

/// The ignore file of a build context; a file of it like any other.
pub const IGNORE_FILE: &str = ".dockerignore";

/// The folder of the build context of a case that stands in `folder`, whose name no other case has.
///
/// The context has the same name. buildx tells contexts apart by the last part of their path only (build/opt.go:869
/// of docker/buildx 461836ba), so that the builder would keep two of one name in one place and take a file for
/// unchanged if the other has one of the same path, size and time.
pub fn context(folder: &Path) -> PathBuf {
    folder.join(folder.file_name().unwrap_or_default())
}

/// Two builds, one after the other.
#[derive(Debug, Clone)]
pub struct Case {
    pub before: Inputs,
    pub after: Inputs,
    /// Files that are written anew although nothing about them changes.
    pub touched: bool,
}

impl Inputs {
    /// The text of the ignore file.
    pub fn ignore_text(&self) -> &str {
        self.files.get(IGNORE_FILE).and_then(|it| it.content.as_deref()).unwrap_or("")
    }

    /// Brings a folder into this state. What is there in this form already is left alone, unless
    /// `touch` asks to write it again.
    pub fn write(&self, folder: &Path, earlier: Option<&Inputs>, touch: bool) -> io::Result<()> {
        let context = context(folder);
        fs::create_dir_all(&context)?;
        fs::write(folder.join("Dockerfile"), &self.dockerfile)?;
        for path in earlier.iter().flat_map(|it| it.files.keys().rev()).filter(|it| !self.files.contains_key(*it)) {
            let path = context.join(path);
            if path.is_dir() { fs::remove_dir(path)? } else { fs::remove_file(path)? }
        }
        for (path, entry) in &self.files {
            let place = context.join(path);
            let kept = earlier.and_then(|it| it.files.get(path));
            match &entry.content {
                None => fs::create_dir_all(&place)?,
                Some(content) if touch || kept.is_none_or(|it| it.content != entry.content) => fs::write(&place, content)?,
                Some(_) => {}
            }
            fs::set_permissions(&place, fs::Permissions::from_mode(entry.mode))?;
        }
        Ok(())
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.dockerfile.trim_end())?;
        for (name, value) in &self.arguments {
            writeln!(f, "--build-arg {name}={value}")?;
        }
        for (path, entry) in &self.files {
            writeln!(f, "{path} {:o} {:?}", entry.mode, entry.content)?;
        }
        Ok(())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "== before\n{}== after, as far as it differs", self.before)?;
        let (before, after) = (self.before.to_string(), self.after.to_string());
        let only = |one: &str, other: &str, mark: char| -> String {
            one.lines().filter(|line| !other.lines().any(|it| it == *line)).map(|it| format!("{mark} {it}\n")).collect()
        };
        write!(f, "{}{}", only(&before, &after, '-'), only(&after, &before, '+'))
    }
}
