//! Lines of text with columns and colours.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::escape::escape;

/// Counts and names at the head of something.
pub const HEAD: Style = Style::new().bold();
/// States and reasons.
pub const STATE: Style = AnsiColor::Yellow.on_default();
/// Less important things: files, hints.
pub const DIM: Style = Style::new().dimmed();
/// Labels of lines: "created by", "labels".
pub const TITLE: Style = AnsiColor::Cyan.on_default();
/// Warnings.
pub const WARN: Style = AnsiColor::Red.on_default().bold();
/// Everything else.
pub const PLAIN: Style = Style::new();

/// How wide text is on a terminal, columns. Text must have been escaped.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Decides where text that is too long for a line is broken.
struct Breaks {
    /// Columns of a line.
    limit: usize,
    /// Indentation of the lines after the first, columns.
    indent: usize,
    /// Columns between two pieces of a line.
    separator: usize,
    /// Where the next piece begins.
    at: usize,
}

impl Breaks {
    /// Whether a new line begins before each piece. A piece that is too long for any line is not broken.
    fn before_each(mut self, widths: impl Iterator<Item = usize>) -> impl Iterator<Item = bool> {
        widths.enumerate().map(move |(nth, width)| {
            let end = self.at + if nth > 0 { self.separator } else { 0 } + width;
            let new_line = nth > 0 && end > self.limit;
            self.at = if new_line { self.indent + width } else { end };
            new_line
        })
    }
}

/// Breaks text into lines of at most `columns`; lines after the first have `indent` columns less. Raw text stays
/// raw: its words are as wide as they are when escaped.
#[cfg(any(test, feature = "dashboard"))]
pub fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    wrapped_from(text, 0, columns, indent)
}

/// The same for text that begins at a column of its first line.
pub fn wrapped_from(text: &str, at: usize, columns: usize, indent: usize) -> Vec<String> {
    let widths = text.split(' ').map(|word| width(&escape(word)));
    let breaks = Breaks { limit: columns, indent, separator: 1, at };
    let mut lines: Vec<String> = Vec::new();
    for (word, new_line) in text.split(' ').zip(breaks.before_each(widths)) {
        match lines.last_mut().filter(|_| !new_line) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line under construction. All text put into it is escaped.
#[derive(Debug)]
pub struct Line {
    text: String,
    width: usize,
    color: bool,
}

impl Line {
    /// An empty line, with or without colours.
    pub fn new(color: bool) -> Self {
        Line { text: String::new(), width: 0, color }
    }

    /// Its width so far, columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Adds text.
    pub fn push(&mut self, style: Style, text: &str) -> &mut Self {
        let text = escape(text);
        self.width += width(&text);
        if self.color && style != PLAIN && !text.is_empty() {
            self.text.push_str(&format!("{style}{text}{style:#}"));
        } else {
            self.text.push_str(&text);
        }
        self
    }

    /// Adds spaces up to a column; at least `gap` of them.
    pub fn pad(&mut self, column: usize, gap: usize) -> &mut Self {
        let spaces = column.saturating_sub(self.width).max(gap);
        self.text.extend(std::iter::repeat_n(' ', spaces));
        self.width += spaces;
        self
    }

    /// Adds text so that it ends at a column.
    pub fn right(&mut self, style: Style, text: &str, column: usize) -> &mut Self {
        let column = column.saturating_sub(width(&escape(text)));
        self.pad(column, 0).push(style, text)
    }

    /// Writes the line without trailing spaces, and empties it.
    pub fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        self.width = 0;
        Ok(())
    }

    /// Adds text and writes the line; continues in a new, indented line before a word that would end beyond
    /// `limit`.
    pub fn wrap_text(
        &mut self,
        style: Style,
        text: &str,
        indent: usize,
        limit: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let words: Vec<_> = text.split(' ').map(|word| (style, word.to_owned())).collect();
        self.wrap(&words, " ", indent, limit, out)
    }

    /// Adds pieces with `separator` between them and writes the line; continues in a new, indented line before
    /// a piece that would end beyond `limit`.
    pub fn wrap(
        &mut self,
        pieces: &[(Style, String)],
        separator: &str,
        indent: usize,
        limit: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let widths = pieces.iter().map(|(_, piece)| width(&escape(piece)));
        let breaks = Breaks { limit, indent, separator: width(separator), at: self.width };
        // Neighbours of one style are added together, to switch colours only once.
        let (mut run, mut run_style) = (String::new(), PLAIN);
        for (nth, ((style, piece), new_line)) in pieces.iter().zip(breaks.before_each(widths)).enumerate() {
            if new_line {
                run.push_str(separator.trim_end());
                self.push(run_style, &std::mem::take(&mut run)).write(out)?;
                self.pad(indent, 0);
            } else if nth > 0 {
                run.push_str(separator);
            }
            if *style != run_style {
                self.push(run_style, &std::mem::take(&mut run));
                run_style = *style;
            }
            run.push_str(piece);
        }
        self.push(run_style, &run);
        self.write(out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn written(with: impl FnOnce(&mut Line, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        with(&mut Line::new(false), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_count_what_the_terminal_shows() {
        let text = written(|line, out| {
            line.push(HEAD, "東京").pad(6, 1).push(PLAIN, "|").write(out).unwrap();
            line.push(HEAD, "\x1b").pad(6, 1).push(PLAIN, "|").write(out).unwrap();
            line.right(HEAD, "12", 6).push(PLAIN, "|  ").write(out).unwrap();
            line.push(HEAD, "longer").pad(4, 2).push(PLAIN, "|").write(out).unwrap();
        });
        assert_eq!(text, "東京  |\n\\x1b  |\n    12|\nlonger  |\n");
    }

    #[test]
    fn long_lists_wrap() {
        let pieces = ["one", "two", "three"].map(|p| (PLAIN, p.to_owned()));
        let text = written(|line, out| line.push(PLAIN, "a: ").wrap(&pieces, ", ", 3, 12, out).unwrap());
        assert_eq!(text, "a: one, two,\n   three\n");
    }

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 9, 0), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 3, 0), ["one", "two", "three"]);
        assert_eq!(wrapped("ab cd ef gh", 5, 2), ["ab cd", "ef", "gh"]);
        assert_eq!(wrapped("\x1b\x1b a", 5, 0), ["\x1b\x1b", "a"]);
        assert_eq!(wrapped("", 5, 0), [""]);
    }

    #[test]
    fn pieces_of_one_style_switch_colours_once() {
        let pieces = [(DIM, "a"), (DIM, "b"), (PLAIN, "c")].map(|(s, p)| (s, p.to_owned()));
        let mut out = Vec::new();
        Line::new(true).wrap(&pieces, " ", 0, 80, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\x1b[2ma b \x1b[0mc\n");
    }

    #[test]
    fn colours_only_where_wanted() {
        let mut out = Vec::new();
        Line::new(true).push(HEAD, "x").push(PLAIN, "y").write(&mut out).unwrap();
        assert_eq!(out, b"\x1b[1mx\x1b[0my\n");
    }
}
