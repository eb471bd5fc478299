//! What an instruction reads and writes, and when two instructions have to keep their order.

use std::fmt;

/// Something that an instruction can read or write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A file of the image, by absolute path.
    File(String),
    /// A folder of the image and all below it, but for the holes.
    Tree {
        /// Absolute path.
        root: String,
        /// Absolute paths below it that are left out, with all below them.
        holes: Vec<String>,
    },
    /// An environment variable or build argument.
    Env(String),
    /// The working directory.
    Directory,
    /// The user.
    User,
    /// The shell.
    Shell,
    /// A field of the image's configuration: `cmd`, `label`, …
    Config(String),
    /// Not understood: touches every other place.
    Anything,
}

impl Place {
    /// A whole folder.
    pub fn tree(root: impl Into<String>) -> Place {
        Place::Tree { root: root.into(), holes: Vec::new() }
    }

    /// Whether the two can be the same thing, in part or whole.
    pub fn touches(&self, other: &Place) -> bool {
        use Place::*;
        match (self, other) {
            // Configuration has no effect on the build, so that even an unknown command leaves it alone.
            (Config(a), Config(b)) => a == b,
            (Config(_), _) | (_, Config(_)) => false,
            (Anything, _) | (_, Anything) => true,
            (File(a), File(b)) => a == b || below(a, b) || below(b, a),
            (File(file), Tree { root, holes }) | (Tree { root, holes }, File(file)) => {
                (below(file, root) && !holes.iter().any(|it| below(file, it))) || below(root, file)
            }
            (Tree { root: a, holes: a_holes }, Tree { root: b, holes: b_holes }) => {
                (below(a, b) && !b_holes.iter().any(|it| below(a, it))) || (below(b, a) && !a_holes.iter().any(|it| below(b, it)))
            }
            (Env(a), Env(b)) => a == b,
            (Directory, Directory) | (User, User) | (Shell, Shell) => true,
            _ => false,
        }
    }
}

/// Whether `path` is `root` or lies below it.
fn below(path: &str, root: &str) -> bool {
    root == "/" || path.strip_prefix(root).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "`{path}`"),
            Place::Tree { root, .. } => write!(f, "files below `{root}`"),
            Place::Env(name) => write!(f, "the variable `{name}`"),
            Place::Directory => f.write_str("the working directory"),
            Place::User => f.write_str("the user"),
            Place::Shell => f.write_str("the shell"),
            Place::Config(field) => write!(f, "the image's `{field}`"),
            Place::Anything => f.write_str("something that is not understood"),
        }
    }
}

/// What an instruction reads and writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    /// What its result depends on.
    pub reads: Vec<Place>,
    /// What it changes.
    pub writes: Vec<Place>,
}

/// Why two instructions cannot change places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The later one reads what the earlier one writes.
    Needs(Place),
    /// The later one writes what the earlier one reads.
    Spoils(Place),
    /// Both write it; the last one wins.
    Races(Place),
}

impl Conflict {
    /// The place that both touch.
    pub fn place(&self) -> &Place {
        match self {
            Conflict::Needs(it) | Conflict::Spoils(it) | Conflict::Races(it) => it,
        }
    }
}

impl fmt::Display for Conflict {
    /// Said of the earlier instruction: "this …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::Needs(Place::Anything) | Conflict::Races(Place::Anything) => f.write_str("may write anything"),
            Conflict::Spoils(Place::Anything) => f.write_str("may read anything"),
            Conflict::Needs(it) => write!(f, "writes {it}, which the later instruction reads"),
            Conflict::Spoils(it) => write!(f, "reads {it}, which the later instruction writes"),
            Conflict::Races(it) => write!(f, "writes {it}, and so does the later instruction"),
        }
    }
}

impl Effects {
    /// The effects of something that is not understood.
    pub fn anything() -> Effects {
        Effects { reads: vec![Place::Anything], writes: vec![Place::Anything] }
    }

    /// Every reason for `self` to stay before `later`: Bernstein's conditions.
    pub fn conflicts(&self, later: &Effects) -> Vec<Conflict> {
        let mut res = Vec::new();
        meet(&self.writes, &later.reads, |it| res.push(Conflict::Needs(it)));
        meet(&self.reads, &later.writes, |it| res.push(Conflict::Spoils(it)));
        meet(&self.writes, &later.writes, |it| res.push(Conflict::Races(it)));
        res
    }
}

/// Calls `found` with the more telling of each two places that touch.
fn meet(earlier: &[Place], later: &[Place], mut found: impl FnMut(Place)) {
    for a in earlier {
        for b in later.iter().filter(|b| a.touches(b)) {
            let place = match (a, b) {
                (Place::Anything, _) | (_, Place::Anything) => &Place::Anything,
                // The whole image says less than any part of it.
                (a, Place::Tree { root, .. }) if root == "/" => a,
                (Place::Tree { .. }, b) => b,
                (a, _) => a,
            };
            found(place.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(reads: &[Place], writes: &[Place]) -> Effects {
        Effects { reads: reads.to_vec(), writes: writes.to_vec() }
    }

    #[test]
    fn a_hole_keeps_two_writers_apart() {
        let modules = Place::tree("/app/node_modules");
        let copy = |holes: &[&str]| effects(&[], &[Place::Tree { root: "/app".into(), holes: holes.iter().map(|it| (*it).to_owned()).collect() }]);
        let install = effects(&[], std::slice::from_ref(&modules));
        assert_eq!(copy(&[]).conflicts(&install), [Conflict::Races(modules)]);
        assert_eq!(copy(&["/app/node_modules"]).conflicts(&install), []);
        assert_eq!(copy(&["/app/node"]).conflicts(&install).len(), 1);
    }

    #[test]
    fn the_unknown_touches_all_but_configuration() {
        let config = effects(&[], &[Place::Config("label".into())]);
        assert_eq!(Effects::anything().conflicts(&config), []);
        assert_eq!(Effects::anything().conflicts(&effects(&[Place::User], &[])), [Conflict::Needs(Place::Anything)]);
    }

    #[test]
    fn a_file_in_the_place_of_a_parent_folder_is_a_conflict() {
        assert!(Place::File("/a".into()).touches(&Place::tree("/a/b")));
        assert!(!Place::File("/ab".into()).touches(&Place::tree("/a")));
    }
}
