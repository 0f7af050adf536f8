//! Markdown to hand to others: one file a report.
//!
//! What a target says stands in code spans and code blocks only, where neither Markdown nor HTML means
//! anything.

use std::fmt::Write;

use super::escape::escape;

mod diff;
mod findings;

pub use diff::diff;
pub use findings::{findings, fleet};

/// Text of the target as a code span that is safe in a table, too.
pub fn code(text: &str) -> String {
    // A bar ends a cell of a table, even in code; and a backtick ends the code.
    let text = escape(text).replace('|', "\\|");
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    // A space is taken off at both ends where there is one at both.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
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
    fn nothing_gets_out_of_a_code_span() {
        assert_eq!(code("main.f"), "`main.f`");
        assert_eq!(code("a`b|c"), "``a`b\\|c``");
        assert_eq!(code("`x"), "`` `x ``");
        assert_eq!(code("a\nb\x1b"), "`a\\nb\\x1b`");
        assert_eq!(code(""), "");
        assert_eq!(block(&["```".to_owned(), "<b>".to_owned()]), "````text\n```\n<b>\n````\n");
    }
}
