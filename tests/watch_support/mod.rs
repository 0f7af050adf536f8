//! The dashboard without a terminal: readings go in, keys are pressed, the screen is read.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use loiter::__test::dashboard::SessionView;
use loiter::__test::dashboard::finder;
use loiter::__test::dashboard::query::Query;
use loiter::__test::dashboard::state::{AppState, Source};
use loiter::__test::dashboard::tables::{Memory, compute};
use loiter::__test::dashboard::update::{ChainNews, Command, Event, update};
use loiter::__test::dashboard::view::{Theme, draw};
use loiter::session::ProgramId;
use loiter::session::why::InquiryOptions;
use loiter::snapshot::Snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent};

/// Everything but the terminal, the reader and its clock.
pub struct Dashboard {
    pub state: AppState,
    pub theme: Theme,
    album: SessionView,
    memory: Memory,
    /// The program that the next readings are of.
    pub program: Option<ProgramId>,
    /// What was to be done outside and is not done here.
    pub commands: Vec<Command>,
}

impl Dashboard {
    pub fn new(width: u16, height: u16) -> Self {
        let mut state = AppState::new(Query::default(), Duration::from_millis(500), Source::Waiting);
        state.size = (width, height);
        let theme = Theme { color: true, ascii: false };
        Dashboard {
            state,
            theme,
            album: SessionView::thorough(false),
            memory: Memory::default(),
            program: None,
            commands: Vec::new(),
        }
    }

    /// A reading that took 12 ms.
    pub fn read(&mut self, snapshot: Snapshot) {
        let mut picture = self.album.add(Arc::new(snapshot));
        picture.took = Duration::from_millis(12);
        picture.program = self.program;
        self.event(Event::Source(Source::Live));
        self.event(Event::Picture(Arc::new(picture)));
    }

    pub fn event(&mut self, event: Event) {
        for command in update(&mut self.state, event) {
            match (&command, &self.state.picture) {
                (Command::Compute, Some(picture)) => {
                    let cpu = self.state.cpu.shown.clone();
                    let tables = compute(picture, &self.state.query, cpu.as_ref(), &mut self.memory);
                    self.event(Event::Tables(Arc::new(tables)));
                }
                (&Command::Follow(Some(turn)), _) => {
                    let question = self.state.chain.as_ref().expect("there is a question").question.clone();
                    let news = match finder::answer(&question, InquiryOptions::default(), &mut |_| {}) {
                        Ok(answer) => ChainNews::Found(Arc::new(answer)),
                        Err(why) => ChainNews::Failed(why),
                    };
                    self.event(Event::Chain(turn, news));
                }
                _ => self.commands.push(command),
            }
        }
    }

    pub fn key(&mut self, code: KeyCode) {
        self.event(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    pub fn control(&mut self, c: char) {
        self.event(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)));
    }

    /// Types characters.
    pub fn press(&mut self, keys: &str) {
        keys.chars().for_each(|c| self.key(KeyCode::Char(c)));
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.press(text);
        self.key(KeyCode::Enter);
    }

    pub fn mouse(&mut self, kind: ratatui::crossterm::event::MouseEventKind, column: u16, row: u16) {
        self.event(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    }

    pub fn buffer(&self) -> Buffer {
        let (width, height) = self.state.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory cannot fail");
        terminal.draw(|frame| draw(frame, &self.state, self.theme)).expect("memory cannot fail");
        terminal.backend().buffer().clone()
    }

    /// The screen as text.
    pub fn screen(&self) -> String {
        let buffer = self.buffer();
        let mut lines: Vec<String> = (0..buffer.area.height).map(|y| line(&buffer, y)).collect();
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A line of the screen, without spaces at its end. What a wide character covers is left out.
pub fn line(buffer: &Buffer, y: u16) -> String {
    let mut text = String::new();
    let mut covered = 0;
    for x in 0..buffer.area.width {
        let symbol = buffer[(x, y)].symbol();
        if covered > 0 {
            covered -= 1;
            continue;
        }
        covered = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
        text.push_str(symbol);
    }
    text.trim_end().to_owned()
}
