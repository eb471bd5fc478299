//! What the bytes of the fuzzer mean: a text, and edits that are typed into it.

use super::conditions::Files;
use layerwise::edit::{Edit, Span};

/// The most edits of one input.
const MOST: usize = 3;

/// Longer texts only take time.
const LONGEST: usize = 1 << 14;

/// The text, and edits of it at character boundaries. The end of the text says what they are, so that
/// any file is a seed.
pub fn read(data: &[u8]) -> Option<(&str, Vec<Edit>)> {
    let whole = std::str::from_utf8(data).ok().filter(|it| it.len() <= LONGEST)?;
    let mut text = whole.to_owned();
    let mut edits = Vec::new();
    for numbers in data.rchunks_exact(4).take(MOST) {
        let [high, low, length, piece] = [numbers[0], numbers[1], numbers[2], numbers[3]].map(usize::from);
        let start = text.floor_char_boundary((high << 8 | low) % (text.len() + 1));
        let end = text.floor_char_boundary(start + length % 24).max(start);
        // What is typed stands in the text already, so that the fuzzer finds it.
        let from = whole.floor_char_boundary(piece * whole.len() / 256);
        let to = whole.floor_char_boundary(from + piece % 16).max(from);
        let edit = Edit::replace(Span::new(start, end), &whole[from..to]);
        text.replace_range(start..end, &edit.insert);
        edits.push(edit);
    }
    Some((whole, edits))
}

/// A file among others.
pub fn workspace(path: &str, text: &str, others: &[(&str, &str)]) -> Files {
    others.iter().chain([&(path, text)]).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}
