//! Where output goes: stdout for data, stderr for the rest.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;

use super::error::{CliError, Result};
use super::pager;
use super::stderr::Stderr;
use super::trace::Sentences;
use crate::report::escape;
use crate::report::text::TextOptions;
use crate::snapshot::file;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR or CLICOLOR=0 is set; everywhere if CLICOLOR_FORCE is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Size that is assumed if standard output is not a terminal.
const DEFAULT_WIDTH: usize = 100;
const DEFAULT_HEIGHT: usize = 24;
/// Text that is longer than this, in bytes, is not passed to a pager.
const MAX_PAGED: usize = 256 << 20;

/// The appearance of output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// Colours on stdout.
    pub(super) color: bool,
    /// When to use colours, elsewhere.
    pub(super) choice: Color,
    /// Columns of stdout.
    pub(super) width: usize,
    /// stdout is a terminal.
    pub(super) terminal: bool,
    /// How often `-v` was given.
    pub(super) verbose: u8,
}

impl Output {
    /// Finds out about stdout.
    pub(super) fn new(choice: Color, verbose: u8) -> Self {
        let stdout = io::stdout();
        let color = match choice {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => AutoStream::choice(&stdout) != ColorChoice::Never,
        };
        let terminal = stdout.is_terminal();
        let size = terminal_size::terminal_size_of(&stdout).filter(|_| terminal);
        let width = size.map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0).max(40));
        Output { color, choice, width, terminal, verbose }
    }

    /// The appearance of text, as far as stdout and -v decide.
    pub(super) fn text_options(&self) -> TextOptions {
        let verbose = self.verbose > 0;
        TextOptions {
            width: self.width,
            color: self.color,
            full_paths: verbose,
            verbose,
            ..TextOptions::default()
        }
    }

    /// Colours on stderr.
    pub(super) fn color_of_stderr(&self) -> bool {
        match self.choice {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => AutoStream::choice(&io::stderr()) != ColorChoice::Never,
        }
    }

    /// The pager for text that is longer than the terminal. None if standard output is not a terminal.
    pub(super) fn pager(&self) -> Option<String> {
        pager::wanted().filter(|_| self.terminal)
    }

    /// Lines of the terminal.
    pub(super) fn height(&self) -> usize {
        let size = terminal_size::terminal_size_of(io::stdout()).filter(|_| self.terminal);
        size.map_or(DEFAULT_HEIGHT, |(_, height)| usize::from(height.0).max(10))
    }

    /// Calls `with` with stdout, buffered.
    pub(super) fn write(&self, with: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let outcome = with(&mut out).and_then(|()| out.flush());
        if outcome.is_err() {
            // Dropping the writer would try to flush again.
            let _ = out.into_parts();
        }
        outcome
    }

    /// The same for text that people read: in a pager, if the user has set one and the text is longer than the
    /// terminal.
    pub(super) fn page(&self, with: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let Some(pager) = self.pager() else { return self.write(with) };
        let mut text = Vec::new();
        with(&mut text)?;
        let lines = text.iter().filter(|&&byte| byte == b'\n').count();
        if lines < self.height() || text.len() > MAX_PAGED || !pager::show(&pager, &text)? {
            return self.write(|out| out.write_all(&text));
        }
        Ok(())
    }
}

/// Whether this file name means standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Calls `with` with a file, buffered: a temporary one, which takes the name if all goes well.
/// `permissions` are [`file::PRIVATE`] or [`file::SHARED`]. Returns its size in bytes.
pub(super) fn save(
    path: &Path,
    permissions: u32,
    with: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> Result<u64> {
    let write = |file: &mut File| {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        with(&mut out)?;
        out.flush()
    };
    file::replace(path, permissions, write)
        .map_err(|source| CliError::Io { what: format!("cannot write {}", path.display()), source })?;
    Ok(std::fs::metadata(path).map_or(0, |metadata| metadata.len()))
}

/// Prints a message for the user on stderr, escaped.
pub(super) fn tell(text: &str) {
    // If stderr is closed, the message is lost.
    let _ = Stderr.write_all(format!("{}\n", escape(text)).as_bytes());
}

/// Sends the library's traces to stderr, as sentences with times. `-v`: information; `-vv`: each step and its
/// result; `-vvv`: everything.
pub(super) fn trace(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .event_format(Sentences::new())
        .with_writer(|| Safe(Stderr));
    // It can only fail if there is a subscriber already.
    let _ = subscriber.try_init();
}

/// Escapes what is written, line by line.
struct Safe<W>(W);

impl<W: Write> Write for Safe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let lines: String = text.lines().map(|line| format!("{}\n", escape(line))).collect();
        self.0.write_all(lines.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_escaped() {
        let mut out = Vec::new();
        Safe(&mut out).write_all("a\x1b[31m\u{202e}\n".as_bytes()).expect("memory can be written");
        assert_eq!(out, b"a\\x1b[31m\\u{202e}\n");
    }
}
