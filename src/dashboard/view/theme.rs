//! The appearance: colours if available, and characters that the terminal has.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::UnicodeWidthChar;

use crate::report::escape;
use crate::report::line::width;

/// The appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// With colours. No information is in colour alone.
    pub color: bool,
    /// With ASCII characters only.
    pub ascii: bool,
}

/// Which end of a text is cut off if it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dashboard) enum Cut {
    /// The beginning: the end of a function name says more.
    Start,
    /// The end.
    End,
}

impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Counts and names at the head of something.
    pub(in crate::dashboard) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// States and reasons.
    pub(in crate::dashboard) fn state(self) -> Style {
        self.fg(Color::Yellow)
    }

    /// Less important things.
    pub(in crate::dashboard) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Labels of lines, headings of columns.
    pub(in crate::dashboard) fn title(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// Failures, and what is stuck.
    pub(in crate::dashboard) fn warn(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What needs a look.
    pub(in crate::dashboard) fn notice(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// All is well.
    pub(in crate::dashboard) fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// Bars and cells of charts.
    pub(in crate::dashboard) fn chart(self) -> Style {
        self.fg(Color::Cyan)
    }

    /// The selection.
    pub(in crate::dashboard) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The tab of the current view.
    pub(in crate::dashboard) fn tab(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// More is red, less is green; the sign says the same.
    pub(in crate::dashboard) fn change(self, value: f64) -> Style {
        if value > 0.0 {
            self.fg(Color::Red)
        } else if value < 0.0 {
            self.fg(Color::Green)
        } else {
            self.dim()
        }
    }

    /// A frame of a flame graph: black on a colour; without colours, its first character separates it.
    pub(in crate::dashboard) fn frame(self, color: Color) -> Style {
        if self.color { Style::new().fg(Color::Black).bg(color) } else { Style::new() }
    }

    /// One of two characters.
    pub(in crate::dashboard) fn pick<T>(self, unicode: T, ascii: T) -> T {
        if self.ascii { ascii } else { unicode }
    }

    /// Text from any source, safe for this terminal.
    pub(in crate::dashboard) fn text(self, text: &str) -> String {
        let safe = escape(text);
        if !self.ascii || safe.is_ascii() {
            return safe.into_owned();
        }
        let mut ascii = String::with_capacity(safe.len());
        for c in safe.chars() {
            match c {
                c if c.is_ascii() => ascii.push(c),
                '→' => ascii.push_str("->"),
                '…' => ascii.push_str(".."),
                '·' => ascii.push('-'),
                '└' => ascii.push('`'),
                'µ' => ascii.push('u'),
                c => ascii.extend(c.escape_unicode()),
            }
        }
        ascii
    }

    /// Text in at most this many columns; a cut is marked.
    pub(in crate::dashboard) fn fit(self, text: &str, columns: usize, cut: Cut) -> String {
        let text = self.text(text);
        if width(&text) <= columns {
            return text;
        }
        let mark = self.pick("…", "..");
        let room = columns.saturating_sub(width(mark));
        let mut used = 0;
        let mut fits = |c: &char| {
            used += c.width().unwrap_or(0);
            used <= room
        };
        match cut {
            Cut::End => {
                text.chars().take_while(&mut fits).collect::<String>() + mark.get(..).unwrap_or_default()
            }
            Cut::Start => {
                let end: String = text.chars().rev().take_while(&mut fits).collect();
                mark.to_owned() + &end.chars().rev().collect::<String>()
            }
        }
    }
}

/// Puts things on the screen, clipped to the available columns.
pub(in crate::dashboard) struct Canvas<'a> {
    pub(in crate::dashboard) buffer: &'a mut Buffer,
    pub(in crate::dashboard) theme: Theme,
}

impl Canvas<'_> {
    /// Puts text at a place, in no more than `columns`; returns the column behind it.
    pub(in crate::dashboard) fn put(
        &mut self,
        x: u16,
        y: u16,
        columns: u16,
        text: &str,
        style: Style,
    ) -> u16 {
        let text = self.theme.text(text);
        self.raw(x, y, columns, &text, style)
    }

    /// The same for text that is known to be safe.
    pub(in crate::dashboard) fn raw(
        &mut self,
        x: u16,
        y: u16,
        columns: u16,
        text: &str,
        style: Style,
    ) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() {
            return x;
        }
        self.buffer.set_stringn(x, y, text, columns.into(), style).0
    }

    /// Puts text so that it fits its column.
    pub(in crate::dashboard) fn cell(
        &mut self,
        x: u16,
        y: u16,
        columns: u16,
        text: &str,
        style: Style,
        cut: Cut,
    ) {
        let text = self.theme.fit(text, columns.into(), cut);
        self.raw(x, y, columns, &text, style);
    }

    /// Puts text so that it ends at the right of its column.
    pub(in crate::dashboard) fn right(&mut self, x: u16, y: u16, columns: u16, text: &str, style: Style) {
        let text = self.theme.fit(text, columns.into(), Cut::Start);
        let start = x + columns.saturating_sub(width(&text) as u16);
        self.raw(start, y, columns, &text, style);
    }

    /// Draws a line over the whole width.
    pub(in crate::dashboard) fn rule(&mut self, y: u16) {
        let area = self.buffer.area;
        let line = self.theme.pick("─", "-").repeat(area.width.into());
        let style = self.theme.dim();
        self.raw(area.x, y, area.width, &line, style);
    }

    /// Restyles a whole line.
    pub(in crate::dashboard) fn highlight(&mut self, y: u16, style: Style) {
        let area = self.buffer.area;
        if y < area.bottom() {
            self.buffer.set_style(ratatui::layout::Rect { y, height: 1, ..area }, style);
        }
    }
}
