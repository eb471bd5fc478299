//! An image as files and configuration, and how two of them differ.

use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

/// The files of an image, by path without a leading `/`.
pub type Tree = BTreeMap<String, Node>;

/// Larger contents are told apart, but not shown.
const SHOWN: u64 = 2000;

/// What an archive says of a path, but for its times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The type letter of the archive: file, folder, link …
    kind: u8,
    mode: u64,
    owner: (u64, u64),
    /// Where a symbolic or hard link leads.
    link: String,
    /// Numbers of a device.
    device: (u64, u64),
    xattrs: BTreeMap<String, Vec<u8>>,
    size: u64,
    hash: u64,
    text: Option<String>,
}

impl Node {
    /// Whether the two are the same but for their contents.
    pub fn is_alike(&self, other: &Node) -> bool {
        let outside = |it: &Node| Node { size: 0, hash: 0, text: None, ..it.clone() };
        outside(self) == outside(other)
    }
}

/// Reads an archive in the POSIX form, which is what BuildKit writes.
pub fn read(mut archive: impl Read) -> io::Result<Tree> {
    let mut tree = Tree::new();
    let mut extended: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut block = [0; 512];
    loop {
        archive.read_exact(&mut block)?;
        if block.iter().all(|it| *it == 0) {
            io::copy(&mut archive, &mut io::sink())?;
            return Ok(tree);
        }
        let kind = block[156];
        let size = extended.get("size").map_or_else(|| number(&block[124..136]), |it| String::from_utf8_lossy(it).parse().unwrap_or(0));
        let body = archive.by_ref().take(size);
        if kind == b'x' {
            extended = records(body)?;
        } else {
            let (path, node) = entry(&block, size, body, &std::mem::take(&mut extended))?;
            tree.insert(path, node);
        }
        io::copy(&mut archive.by_ref().take(size.next_multiple_of(512) - size), &mut io::sink())?;
    }
}

fn entry(block: &[u8; 512], size: u64, mut body: impl Read, extended: &BTreeMap<String, Vec<u8>>) -> io::Result<(String, Node)> {
    let long = |name: &str| extended.get(name).map(|it| String::from_utf8_lossy(it).into_owned());
    let id = |name: &str, at: usize| long(name).and_then(|it| it.parse().ok()).unwrap_or_else(|| number(&block[at..at + 8]));
    let short = match text(&block[345..500]) {
        prefix if prefix.is_empty() => text(&block[..100]),
        prefix => format!("{prefix}/{}", text(&block[..100])),
    };
    let mut node = Node {
        kind: block[156],
        mode: number(&block[100..108]) & 0o7777,
        owner: (id("uid", 108), id("gid", 116)),
        link: long("linkpath").unwrap_or_else(|| text(&block[157..257])),
        device: (number(&block[329..337]), number(&block[337..345])),
        size,
        ..Node::default()
    };
    for (name, value) in extended {
        if let Some(name) = name.strip_prefix("SCHILY.xattr.") {
            node.xattrs.insert(name.to_owned(), value.clone());
        }
    }
    let mut hasher = DefaultHasher::new();
    let mut start = Vec::new();
    body.by_ref().take(SHOWN).read_to_end(&mut start)?;
    start.hash(&mut hasher);
    let mut part = vec![0; 1 << 16];
    let mut filled = 0;
    // Whole parts only: what one call reads says nothing about the content.
    loop {
        let count = body.read(&mut part[filled..])?;
        filled += count;
        if count == 0 || filled == part.len() {
            part[..filled].hash(&mut hasher);
            filled = 0;
        }
        if count == 0 {
            break;
        }
    }
    node.hash = hasher.finish();
    node.text = String::from_utf8(start).ok().filter(|_| size <= SHOWN);
    let path = long("path").unwrap_or(short);
    Ok((path.trim_start_matches("./").trim_end_matches('/').to_owned(), node))
}

/// `LENGTH NAME=VALUE` and a line ending, again and again.
fn records(mut body: impl Read) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)?;
    let mut rest = &bytes[..];
    let mut res = BTreeMap::new();
    while let Some(space) = rest.iter().position(|it| *it == b' ') {
        let length: usize = String::from_utf8_lossy(&rest[..space]).parse().map_err(io::Error::other)?;
        let record = &rest[space + 1..length - 1];
        let equals = record.iter().position(|it| *it == b'=').ok_or_else(|| io::Error::other("a record without a name"))?;
        res.insert(String::from_utf8_lossy(&record[..equals]).into_owned(), record[equals + 1..].to_vec());
        rest = &rest[length..];
    }
    Ok(res)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|it| *it == 0).next().unwrap_or_default()).into_owned()
}

/// Octal digits, or what does not fit into them in binary.
fn number(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().fold(u64::from(field[0] & 0x7f), |all, it| (all << 8) | u64::from(*it));
    }
    u64::from_str_radix(text(field).trim(), 8).unwrap_or(0)
}

/// How two trees differ, a line for each path.
pub fn differences(before: &Tree, after: &Tree) -> Vec<(String, String)> {
    let mut res = Vec::new();
    for (path, old) in before {
        match after.get(path) {
            None => res.push((path.clone(), "is gone".to_owned())),
            Some(new) if new != old => res.push((path.clone(), difference(old, new))),
            Some(_) => {}
        }
    }
    res.extend(after.keys().filter(|it| !before.contains_key(*it)).map(|it| (it.clone(), "is new".to_owned())));
    res
}

fn difference(old: &Node, new: &Node) -> String {
    match (&old.text, &new.text) {
        (Some(old), Some(new)) if old != new => format!("has another content:\n--- before\n{old}\n--- after\n{new}\n---"),
        _ => {
            let plain = |it: &Node| Node { text: None, ..it.clone() };
            format!("was {:?}, is {:?}", plain(old), plain(new))
        }
    }
}

/// The configuration of an image, as far as two builds of the same have it in common: neither times nor history, nor
/// names of layers.
pub fn configuration(image: &Value) -> Value {
    let mut config = image["Config"].clone();
    // A container has no order of variables.
    if let Some(variables) = config["Env"].as_array_mut() {
        variables.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    serde_json::json!({"config": config, "os": image["Os"], "architecture": image["Architecture"], "author": image["Author"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_any_length_are_read() {
        let read = records(&b"12 path=a b\n27 SCHILY.xattr.user.x=a=\n\n"[..]).unwrap();
        assert_eq!(read["path"], b"a b");
        assert_eq!(read["SCHILY.xattr.user.x"], b"a=\n");
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), 0o644);
        assert_eq!(number(&[0x80, 0, 0, 1, 0, 0, 0, 1]), (1 << 32) + 1);
    }
}
