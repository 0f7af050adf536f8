//! Markdown to hand to others: one file per report.
//!
//! Text of the target is only in code spans and code blocks, where neither Markdown nor HTML has a meaning.

use std::fmt::Write;

use super::escape::escape;

mod diff;
mod findings;
mod recording;

pub use diff::diff;
pub use findings::{findings, fleet};
pub use recording::{recording, recording_diff};

/// Text of the target as a code span that is safe in a table, too.
pub fn code(text: &str) -> String {
    // A bar ends a table cell, even in code.
    span(escape(text).replace('|', "\\|"))
}

/// The same outside of tables, where a bar means nothing.
pub fn code_in_text(text: &str) -> String {
    span(escape(text).into_owned())
}

/// Safe text between backticks: a backtick in it does not end the code.
fn span(text: String) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    // If there is a space at both ends, Markdown strips both.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// A sentence that contains names from the target (nouns, types, modules): characters with a meaning in
/// Markdown or HTML are escaped.
pub fn plain(text: &str) -> String {
    let mut safe = String::new();
    let text = escape(text);
    for (at, c) in text.char_indices() {
        let before = text.get(..at).unwrap_or_default();
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '|' | '#' | '!' | '~' | '$' | '@' => {
                safe.push('\\');
                safe.push(c);
            }
            // Text that looks like an address becomes a link automatically.
            ':' if text.get(at..).is_some_and(|rest| rest.starts_with("://")) => safe.push_str("\\:"),
            '.' if is_www(before) => safe.push_str("\\."),
            // At its beginning: a list, or the underline of a heading.
            '-' | '+' | '=' if at == 0 => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

fn is_www(before: &str) -> bool {
    let end = before.len().checked_sub(3).and_then(|start| before.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

/// Lines of the target as a block of code.
pub fn block(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| escape(line)).collect();
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let mut text = format!("{fence}text\n");
    for line in lines {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    }
    text + &fence + "\n"
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_mean_nothing() {
        assert_eq!(plain("<b>`x`|*y*"), "&lt;b&gt;\\`x\\`\\|\\*y\\*");
        assert_eq!(plain("http://a www.b c@d é.www.e"), "http\\://a www\\.b c\\@d é.www\\.e");
        assert_eq!(plain("- a - b\n# c"), "\\- a - b\\\\n\\# c");
        assert_eq!(plain("9 goroutines: 3 of them."), "9 goroutines: 3 of them.");
    }

    #[test]
    fn nothing_gets_out_of_a_code_span() {
        assert_eq!(code("main.f"), "`main.f`");
        assert_eq!(code("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`x"), "`` `x ``");
        assert_eq!(code("a\nb\x1b"), "`a\\nb\\x1b`");
        assert_eq!(code(""), "");
        assert_eq!(block(&["```".to_owned(), "<b>".to_owned()]), "````text\n```\n<b>\n````\n");
    }
}
