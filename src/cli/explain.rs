//! The pages of the rules, on a terminal.

use super::{Console, Error, Status, color, find_rule};
use crate::rules;

/// Prints the page of a rule.
pub fn page(name: &str, console: &mut Console<'_>) -> Result<Status, Error> {
    let rule = find_rule(name)?;
    let mut pen = Pen { colors: console.color };
    let level = pen.paint(color(rule.level), rule.level.word());
    writeln!(console.output, "{} ({level})\n", pen.paint("\x1b[1m", rule.name))?;
    write!(console.output, "{}", pen.render(rule.doc))?;
    writeln!(console.output, "\n{}", rules::url(rule.name))?;
    Ok(Status::Clean)
}

/// Prints names, levels and summaries of all rules.
pub fn list(console: &mut Console<'_>) -> Result<Status, Error> {
    let mut pen = Pen { colors: console.color };
    let width = rules::ALL.iter().map(|it| it.name.len()).max().unwrap_or(0);
    for rule in rules::ALL {
        let level = pen.paint(color(rule.level), &format!("{:7}", rule.level.word()));
        let summary = rule.summary().split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(console.output, "{:width$}  {level}  {}", rule.name, pen.inline(&summary))?;
    }
    Ok(Status::Clean)
}

/// Writes Markdown as a terminal shows it best.
struct Pen {
    colors: bool,
}

impl Pen {
    fn paint(&mut self, style: &str, text: &str) -> String {
        if self.colors { format!("{style}{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Headings in bold, code set in, all else as it is written.
    fn render(&mut self, markdown: &str) -> String {
        let mut res = String::new();
        let mut code = false;
        for line in markdown.trim().lines() {
            let line = line.trim_end();
            if let Some(info) = line.trim_start().strip_prefix("```") {
                code = !code;
                // The second word of a fence says what the example shows.
                if let Some((_, what)) = info.split_once(',').filter(|_| code) {
                    res.push_str(&format!("    {}\n", self.paint("\x1b[2m", &format!("({what})"))));
                }
            } else if code {
                let line = if line.is_empty() { String::new() } else { format!("    {}", self.paint("\x1b[36m", line)) };
                res.push_str(&(line + "\n"));
            } else if line.starts_with('#') {
                let title = line.trim_start_matches('#').trim();
                res.push_str(&(self.paint("\x1b[1m", title) + "\n"));
            } else {
                res.push_str(&(self.inline(line) + "\n"));
            }
        }
        res
    }

    /// Code in colour; without colours it keeps its marks. Links keep their text and address.
    fn inline(&mut self, text: &str) -> String {
        if !self.colors {
            return text.to_owned();
        }
        let parts = text.split('`').enumerate();
        parts.map(|(index, it)| if index % 2 == 1 { self.paint("\x1b[36m", it) } else { it.to_owned() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_read_easily() {
        let page = "First `x`.\n\n```dockerfile,bad\nFROM a\n```\n\n## Fix safety\n\nNone.\n";
        assert_eq!(Pen { colors: false }.render(page), "First `x`.\n\n    (bad)\n    FROM a\n\nFix safety\n\nNone.\n");
        let colored = Pen { colors: true }.render(page);
        assert!(colored.contains("First \x1b[36mx\x1b[0m.") && colored.contains("\x1b[1mFix safety\x1b[0m"), "{colored:?}");
    }
}
