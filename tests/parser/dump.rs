//! Prints what is read of Dockerfiles, for `compare.py`: standard input has one text a line, as a
//! JSON string, and standard output one object a line.

use layerwise::syntax::dockerfile::{Heredoc, Instruction, pairs, read};
use layerwise::text::{Document, Language};
use serde_json::{Value, json};
use std::io::BufRead;

fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        println!("{}", source(&text));
    }
    Ok(())
}

fn source(text: &str) -> Value {
    let document = Document::new(Language::Dockerfile, text);
    let Some(tree) = document.tree() else { return Value::Null };
    let source = read(text, tree);
    let has_error = tree.root_node().has_error();
    let line_feeds: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let instructions: Vec<Value> = source.instructions.iter().map(|it| instruction(text, &line_feeds, it, source.escape)).collect();
    json!({"error": has_error, "escape": source.escape, "instructions": instructions})
}

fn instruction(text: &str, line_feeds: &[usize], it: &Instruction, escape: char) -> Value {
    let pairs = pairs(it, escape).into_iter().map(|it| [it.name.text, it.value.map(|it| it.text).unwrap_or_default()]);
    json!({
        "keyword": it.keyword,
        "start": line(line_feeds, it.lines.start),
        "end": line(line_feeds, it.lines.end.saturating_sub(1).max(it.lines.start)),
        "flags": it.flags.iter().map(|it| it.span.of(text)).collect::<Vec<_>>(),
        "values": it.flags.iter().map(|it| (&it.name, it.value.as_ref().map(|it| &it.text))).collect::<Vec<_>>(),
        "arguments": it.arguments.text,
        "words": it.words(escape).into_iter().map(|it| it.text).collect::<Vec<_>>(),
        "json": it.json.as_ref().map(|it| it.iter().map(|it| &it.text).collect::<Vec<_>>()),
        "heredocs": it.heredocs.iter().map(|it| heredoc(text, it)).collect::<Vec<_>>(),
        "trigger": it.trigger.as_ref().map(|it| instruction(text, line_feeds, it, escape)),
        "pairs": pairs.collect::<Vec<_>>(),
    })
}

fn heredoc(text: &str, it: &Heredoc) -> Value {
    json!({"name": it.name, "content": it.body.of(text), "closed": it.closed, "chomp": it.chomp, "expand": it.expand})
}

/// The line of an offset, from 1.
fn line(line_feeds: &[usize], offset: usize) -> usize {
    line_feeds.partition_point(|it| *it < offset) + 1
}
