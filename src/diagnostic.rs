//! What a rule says: a diagnostic, its notes, and fixes that are safe only by proof.

use crate::dockerfile::flags::FlagEdit;
use crate::dockerfile::mounts::MountEdit;
use crate::dockerfile::moves::Move;
use crate::edit::{self, EditSet, Span};
use crate::workflow::repair::CacheEdit;
use std::sync::Arc;

/// How bad it is; also the level that configuration sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Not reported.
    Off,
    /// An opportunity.
    Hint,
    /// Slower than it could be.
    Info,
    /// Layers are rebuilt that need not be.
    Warning,
    /// The build breaks, or the cache can never work.
    Error,
}

impl Level {
    /// The word for it in output and configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Off => "off",
            Level::Hint => "hint",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }

    /// The level of a word.
    pub fn of(word: &str) -> Option<Level> {
        [Level::Off, Level::Hint, Level::Info, Level::Warning, Level::Error].into_iter().find(|it| it.word() == word)
    }
}

/// A span of a certain file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileSpan {
    /// Absolute path of the file.
    pub path: Arc<str>,
    /// Where in it.
    pub span: Span,
}

/// A second place that explains the first: the consequence, or what stands in the way of a fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub at: FileSpan,
    /// What is to be seen there.
    pub message: String,
}

/// A finding of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is, configuration taken into account.
    pub level: Level,
    /// The cause: the thing to change.
    pub at: FileSpan,
    /// What is wrong, lower case, no full stop.
    pub message: String,
    /// Consequences and obstacles.
    pub notes: Vec<Note>,
    /// Repairs, the best first.
    pub fixes: Vec<Fix>,
    /// Where the cause lies outside the file: the absolute path of the file to make or to change. Findings of a
    /// rule in several files that have the same are one.
    pub elsewhere: Option<Arc<str>>,
}

/// Whether a fix may be applied without being looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Safety {
    /// To be looked at first.
    Unsafe,
    /// The image's files and configuration stay the same, or only cache options change.
    Safe,
}

/// The edits of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdits {
    /// Absolute path.
    pub path: Arc<str>,
    /// What changes.
    pub edits: EditSet,
    /// Whether the file does not exist yet; the edits are then of an empty text.
    pub create: bool,
}

/// More fixes than any stage has.
const MAX_SEQUENCE: usize = 100;

/// A repair. Its fields are private, so that no rule can call one safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    title: String,
    safety: Safety,
    /// Whether it is nothing but moves of instructions.
    reorders: bool,
    files: Vec<FileEdits>,
}

impl Fix {
    fn safe(title: impl Into<String>, path: Arc<str>, edits: EditSet, reorders: bool) -> Fix {
        Fix { title: title.into(), safety: Safety::Safe, reorders, files: vec![FileEdits { path, edits, create: false }] }
    }

    /// A reordering that was proven by [`crate::dockerfile::moves`].
    pub fn reordering(title: impl Into<String>, path: Arc<str>, proven: Move) -> Fix {
        Fix::safe(title, path, proven.into_edits(), true)
    }

    /// An edit of cache mounts that was proven by [`crate::dockerfile::mounts`]. The title has to say
    /// what is another in the image then.
    pub fn mounting(title: impl Into<String>, path: Arc<str>, proven: MountEdit) -> Fix {
        Fix::safe(title, path, proven.into_edits(), false)
    }

    /// An edit of flags that was proven by [`crate::dockerfile::flags`].
    pub fn flags(title: impl Into<String>, path: Arc<str>, proven: FlagEdit) -> Fix {
        Fix::safe(title, path, proven.into_edits(), false)
    }

    /// An edit of cache options only, made by [`crate::workflow::repair`].
    pub fn cache_options(title: impl Into<String>, path: Arc<str>, proven: CacheEdit) -> Fix {
        Fix::safe(title, path, proven.into_edits(), false)
    }

    /// Fixes of one file, one after the other, as one: `next` is given the text that those before
    /// leave, and says what is to follow. It is as safe as the least safe of them. `None` where
    /// there is none.
    pub fn sequence(title: impl Into<String>, path: Arc<str>, text: &str, mut next: impl FnMut(&str) -> Option<Fix>) -> Option<Fix> {
        let mut safety = Safety::Safe;
        let mut after = text.to_owned();
        for _ in 0..MAX_SEQUENCE {
            let Some(fix) = next(&after) else { break };
            safety = safety.min(fix.safety);
            for edits in fix.files.iter().filter(|it| it.path == path) {
                after = edits.edits.apply(&after);
            }
        }
        let edits = edit::between(text, &after);
        (!edits.is_empty()).then(|| Fix { title: title.into(), safety, reorders: false, files: vec![FileEdits { path, edits, create: false }] })
    }

    /// Any other edit.
    pub fn unproven(title: impl Into<String>, files: Vec<FileEdits>) -> Fix {
        Fix { title: title.into(), safety: Safety::Unsafe, reorders: false, files }
    }

    /// Says that it changes a generated file: whoever applies it has to change what the file is made of.
    pub fn mark_generated(&mut self) {
        self.title.push_str(" (the file says that it is generated)");
        self.safety = Safety::Unsafe;
    }

    /// The same fix under another title.
    pub fn titled(self, title: impl Into<String>) -> Fix {
        Fix { title: title.into(), ..self }
    }

    /// Whether it is nothing but proven moves of instructions.
    pub fn reorders(&self) -> bool {
        self.reorders
    }

    /// What it does, in the imperative.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it may be applied unseen.
    pub fn safety(&self) -> Safety {
        self.safety
    }

    /// What it changes.
    pub fn files(&self) -> &[FileEdits] {
        &self.files
    }
}
