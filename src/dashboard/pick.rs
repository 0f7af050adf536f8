//! Lets the user choose a process to watch from a list of readable ones.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{
    self, Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::iterator::Signals;

use super::run::{Screen, terminal};
use super::state::{Cursor, Input};
use super::update::edit;
use super::view::Theme;
use crate::ending;

mod draw;

pub use draw::draw;

/// How often loiter checks whether processes have answered.
const TICK: Duration = Duration::from_millis(100);
/// Lines that one notch of the wheel moves.
const NOTCH: i64 = 3;

/// A process that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its pid.
    pub pid: u32,
    /// How long it has been running, nanoseconds.
    pub age_ns: u64,
    /// Its command line. Raw from the process, like the runtime.
    pub command: String,
    /// Its runtimes: "go1.24.3 stripped".
    pub runtime: String,
    /// Its tasks.
    pub tasks: u64,
}

/// What a process answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It can be read.
    Readable(Row),
    /// There is nothing to read.
    Nothing,
    /// It may not be read.
    Refused,
}

/// The result of choosing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picked {
    /// The process with this pid.
    Process(u32),
    /// None of them.
    Nothing,
    /// A signal that ends programs.
    Signal(i32),
}

/// What is known and what is chosen.
#[derive(Debug, Clone, Default)]
pub struct Picker {
    /// Columns and lines of the terminal.
    pub size: (u16, u16),
    /// The readable processes, by pid.
    pub rows: Vec<Row>,
    /// How many processes were asked.
    pub of: usize,
    /// How many have answered.
    pub answered: usize,
    /// How many of these cannot be read.
    pub refused: usize,
    /// The typed filter.
    pub filter: Input,
    /// The selected row among those that pass the filter.
    pub cursor: Cursor,
}

/// What a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is chosen.
    Picked(Picked),
    /// Stop until the shell continues it.
    Suspend,
    /// Redraw the screen.
    Redraw,
}

impl Picker {
    /// `of` processes are asked.
    pub fn new(of: usize, size: (u16, u16)) -> Self {
        Picker { of, size, ..Picker::default() }
    }

    /// Takes an answer. The selection stays.
    pub fn take(&mut self, asked: Asked) {
        self.answered += 1;
        match asked {
            Asked::Nothing => {}
            Asked::Refused => self.refused += 1,
            Asked::Readable(row) => {
                let selected = self.selected().map(|row| row.pid).filter(|_| self.cursor.at > 0);
                let at = self.rows.partition_point(|other| other.pid < row.pid);
                self.rows.insert(at, row);
                let found = selected.and_then(|pid| self.shown().iter().position(|row| row.pid == pid));
                self.go(found.unwrap_or(self.cursor.at));
            }
        }
    }

    /// The rows that pass the filter: they contain all of its words.
    pub fn shown(&self) -> Vec<&Row> {
        let words: Vec<String> = self.filter.text.split_whitespace().map(str::to_lowercase).collect();
        let passes = |row: &&Row| {
            let text = format!("{} {} {}", row.pid, row.runtime, row.command).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        self.rows.iter().filter(passes).collect()
    }

    fn selected(&self) -> Option<&Row> {
        self.shown().get(self.cursor.at).copied()
    }

    fn go(&mut self, at: usize) {
        let (len, height) = (self.shown().len(), usize::from(draw::rows(self.size).height));
        self.cursor.go(at, len, height);
    }

    fn step(&mut self, lines: i64) {
        let by = usize::try_from(lines.unsigned_abs()).unwrap_or(usize::MAX);
        let at = self.cursor.at;
        self.go(if lines < 0 { at.saturating_sub(by) } else { at.saturating_add(by) });
    }

    /// The terminal has another size.
    pub fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.go(self.cursor.at);
    }

    /// Handles a key: some keys move and choose, all others edit the filter.
    pub fn on_key(&mut self, key: KeyEvent) -> Option<Outcome> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let page = i64::from(draw::rows(self.size).height).max(2) - 1;
        match key.code {
            KeyCode::Enter => {
                return self.selected().map(|row| Outcome::Picked(Picked::Process(row.pid)));
            }
            KeyCode::Char('c') if control => return Some(Outcome::Picked(Picked::Nothing)),
            KeyCode::Char('z') if control => return Some(Outcome::Suspend),
            KeyCode::Char('l') if control => return Some(Outcome::Redraw),
            KeyCode::Esc if self.filter.text.is_empty() => return Some(Outcome::Picked(Picked::Nothing)),
            KeyCode::Esc => self.filter = Input::default(),
            KeyCode::Up => self.step(-1),
            KeyCode::Char('p') if control => self.step(-1),
            KeyCode::Down => self.step(1),
            KeyCode::Char('n') if control => self.step(1),
            KeyCode::PageUp => self.step(-page),
            KeyCode::PageDown => self.step(page),
            _ => {
                edit(&mut self.filter, key);
                self.go(0);
            }
        }
        self.go(self.cursor.at);
        None
    }

    /// Handles the mouse: a click selects, a click on the selected row chooses it; the wheel moves.
    pub fn on_mouse(&mut self, mouse: MouseEvent) -> Option<Outcome> {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.step(-NOTCH),
            MouseEventKind::ScrollDown => self.step(NOTCH),
            MouseEventKind::Down(MouseButton::Left) => {
                let line = usize::from(mouse.row.checked_sub(draw::rows(self.size).y)?) + self.cursor.top;
                if line >= self.shown().len() {
                    return None;
                }
                if line == self.cursor.at {
                    return self.selected().map(|row| Outcome::Picked(Picked::Process(row.pid)));
                }
                self.go(line);
            }
            _ => {}
        }
        None
    }
}

/// Lets the user choose. `next` returns the answer of another process, or nothing if none has arrived; `of`:
/// how many will answer.
///
/// # Errors
/// Those of the terminal.
pub fn pick(
    of: usize,
    mut next: impl FnMut() -> Option<Asked>,
    theme: Theme,
    mouse: bool,
) -> io::Result<Picked> {
    ratatui::crossterm::style::force_color_output(theme.color);
    ending::signals_are_handled_elsewhere();
    let mut signals = Signals::new(ending::ending_signals().into_iter().chain([SIGTSTP, SIGCONT]))?;
    let screen = Screen::enter(mouse)?;
    let mut paper = terminal()?;
    let mut picker = Picker::new(of, (0, 0));
    loop {
        while let Some(asked) = next() {
            picker.take(asked);
        }
        let mut outcome = None;
        for signal in signals.pending() {
            outcome = Some(match signal {
                SIGTSTP => Outcome::Suspend,
                SIGCONT => {
                    screen.resume()?;
                    Outcome::Redraw
                }
                signal => Outcome::Picked(Picked::Signal(signal)),
            });
        }
        paper.draw(|frame| {
            let area = frame.area();
            picker.resize((area.width, area.height));
            draw(frame, &picker, theme);
        })?;
        if outcome.is_none() && event::poll(TICK)? {
            outcome = match event::read()? {
                TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => picker.on_key(key),
                TerminalEvent::Mouse(mouse) => picker.on_mouse(mouse),
                _ => None,
            };
        }
        match outcome {
            Some(Outcome::Picked(picked)) => return Ok(picked),
            Some(Outcome::Suspend) => {
                screen.suspend()?;
                paper = terminal()?;
                paper.clear()?;
            }
            Some(Outcome::Redraw) => paper.clear()?,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: u32, command: &str) -> Asked {
        let (runtime, command) = ("go1.24.3".to_owned(), command.to_owned());
        Asked::Readable(Row { pid, age_ns: 60_000_000_000, command, runtime, tasks: 7 })
    }

    fn picker() -> Picker {
        let mut picker = Picker::new(5, (80, 24));
        for asked in
            [row(30, "prometheus --a"), row(10, "etcd"), Asked::Refused, Asked::Nothing, row(20, "Caddy run")]
        {
            picker.take(asked);
        }
        picker
    }

    fn press(picker: &mut Picker, keys: &str) -> Option<Outcome> {
        let mut outcome = None;
        for key in keys.split(' ') {
            let code = match key {
                "Up" => KeyCode::Up,
                "Down" => KeyCode::Down,
                "PgDn" => KeyCode::PageDown,
                "PgUp" => KeyCode::PageUp,
                "Enter" => KeyCode::Enter,
                "Esc" => KeyCode::Esc,
                "Backspace" => KeyCode::Backspace,
                text => {
                    for c in text.chars() {
                        outcome = picker.on_key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
                    }
                    continue;
                }
            };
            outcome = picker.on_key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        outcome
    }

    #[test]
    fn keys_choose() {
        let process = |pid| Some(Outcome::Picked(Picked::Process(pid)));
        for (keys, outcome) in [
            ("Enter", process(10)),
            ("Down Enter", process(20)),
            ("Down Down Down Enter", process(30)),
            ("PgDn Enter", process(30)),
            ("PgDn PgUp Enter", process(10)),
            ("prom Enter", process(30)),
            ("cADDY Enter", process(20)),
            ("Down caddy Enter", process(20)),
            ("20 Enter", process(20)),
            ("nothing Enter", None),
            ("nothing Esc Enter", process(10)),
            ("q Backspace Enter", process(10)),
            ("q", None),
            ("Esc", Some(Outcome::Picked(Picked::Nothing))),
        ] {
            assert_eq!(press(&mut picker(), keys), outcome, "{keys}");
        }
    }

    #[test]
    fn what_is_selected_stays_selected_while_others_answer() {
        let mut picker = picker();
        press(&mut picker, "Down");
        picker.take(row(5, "first"));
        assert_eq!(press(&mut picker, "Enter"), Some(Outcome::Picked(Picked::Process(20))));
    }
}
