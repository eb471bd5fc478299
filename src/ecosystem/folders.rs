//! Patterns of folders: members of workspaces.

use super::manifest::Collector;
use super::{Listing, Obstacle};
use crate::facts::join;
use std::collections::BTreeSet;

/// How many folders a set of patterns may look into.
const MAX_VISITED: usize = 5000;
/// How many patterns are followed.
const MAX_PATTERNS: usize = 500;
/// How deep `**` goes.
const MAX_DEPTH: usize = 12;

/// Finds the folders below `root` that any of `patterns` matches and no pattern that starts with
/// `!` does.
///
/// # Errors
///
/// A pattern with more than `*`, `?` and `**`, or a folder whose content is not known.
pub(super) fn matching(collector: &Collector<'_>, root: &str, patterns: &[String]) -> Result<BTreeSet<String>, Obstacle> {
    if patterns.len() > MAX_PATTERNS {
        return Err(collector.obstacle("the workspace has too many patterns to follow"));
    }
    let mut walk = Walk { collector, visited: 0, found: BTreeSet::new() };
    for pattern in patterns.iter().filter(|it| !it.starts_with('!')) {
        let parts = parts_of(collector, pattern)?;
        walk.descend(root, &parts, 0)?;
    }
    let mut found = walk.found;
    for pattern in patterns.iter().filter_map(|it| it.strip_prefix('!')) {
        let parts = parts_of(collector, pattern)?;
        found.retain(|folder| !crate::facts::relative(folder, root).is_some_and(|it| matches(&parts, &it.split('/').collect::<Vec<_>>())));
    }
    Ok(found)
}

fn parts_of(collector: &Collector<'_>, pattern: &str) -> Result<Vec<String>, Obstacle> {
    if pattern.contains(['{', '[', '(', '\\', '$']) || pattern.contains("..") || pattern.starts_with('/') {
        return Err(collector.obstacle(format!("the pattern `{pattern}` is not followed")));
    }
    let mut parts: Vec<String> = pattern.split('/').filter(|it| !it.is_empty() && *it != ".").map(str::to_owned).collect();
    parts.dedup_by(|a, b| a == "**" && b == "**");
    Ok(parts)
}

struct Walk<'a> {
    collector: &'a Collector<'a>,
    visited: usize,
    found: BTreeSet<String>,
}

impl Walk<'_> {
    fn descend(&mut self, folder: &str, parts: &[String], depth: usize) -> Result<(), Obstacle> {
        let Some((first, rest)) = parts.split_first() else {
            self.found.insert(folder.to_owned());
            return Ok(());
        };
        self.visited += 1;
        if self.visited > MAX_VISITED || depth > MAX_DEPTH {
            return Err(self.collector.obstacle("the workspace has too many folders to look through"));
        }
        if !first.contains(['*', '?']) {
            return self.descend(&join(folder, first), rest, depth + 1);
        }
        if first == "**" {
            self.descend(folder, rest, depth + 1)?;
        }
        for name in self.folders_in(folder)? {
            let below = join(folder, &name);
            if first == "**" {
                self.descend(&below, parts, depth + 1)?;
            } else if matches_part(first, &name) {
                self.descend(&below, rest, depth + 1)?;
            }
        }
        Ok(())
    }

    fn folders_in(&self, folder: &str) -> Result<Vec<String>, Obstacle> {
        match self.collector.files.list(folder) {
            Listing::Known(children) => {
                Ok(children.into_iter().filter(|it| it.is_folder && it.name != "node_modules" && it.name != ".git").map(|it| it.name).collect())
            }
            Listing::Absent => Ok(Vec::new()),
            Listing::Unknown => Err(self.collector.obstacle(format!("what is in `{}` is not known", self.collector.shown(folder)))),
        }
    }
}

/// Whether a path matches a pattern, part by part.
fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        (Some((first, rest)), Some((name, below))) => matches_part(first, name) && matches(rest, below),
        _ => false,
    }
}

/// Whether a name matches a pattern of `*` and `?`.
pub(super) fn matches_part(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(it) if *it == '?' || *it == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star.as_mut() {
                Some((back, from)) => {
                    *from += 1;
                    at = *back + 1;
                    seen = *from;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|it| *it == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in
            [("*", "a", true), ("a*c", "abbc", true), ("a*c", "abb", false), ("?", "é", true), ("a?", "a", false), ("**", "x", true), ("*-*", "a-b-c", true)]
        {
            assert_eq!(matches_part(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_match_part_by_part() {
        let check = |pattern: &str, path: &str| matches(&pattern.split('/').map(str::to_owned).collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>());
        assert!(check("packages/*", "packages/a"));
        assert!(!check("packages/*", "packages/a/b"));
        assert!(check("packages/**", "packages/a/b"));
        assert!(check("**/test", "a/b/test"));
        assert!(!check("**/test", "a/b/tests"));
    }
}
