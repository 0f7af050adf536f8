//! Chains through several processes on the screen, and what hostile answers do to it.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::analysis::why::tests::{Made, example, system};
use crate::dashboard::finder::{answer, worded};
use crate::dashboard::query::{Query, View};
use crate::dashboard::state::{AppState, Source};
use crate::dashboard::tables::{Memory, compute};
use crate::dashboard::update::{ChainNews, Command, Event, update};
use crate::dashboard::view::{Theme, draw};
use crate::session::SessionView;
use crate::session::why::InquiryOptions;
use crate::snapshot::{HoldKind, ObjectId, ObjectKind, WaitClass, WaitOp};

/// The dashboard of the first process of a system. A live question is answered with the whole system.
struct Bench {
    state: AppState,
    system: Arc<System>,
    memory: Memory,
    commands: Vec<Command>,
}

impl Bench {
    fn new(system: System, size: (u16, u16)) -> Self {
        let query = Query { view: View::Tasks, ..Query::default() };
        let mut state = AppState::new(query, Duration::from_millis(500), Source::Live);
        state.size = size;
        let mut picture = SessionView::new(false).add(Arc::clone(&system.processes[0].first));
        picture.program = Some(ProgramId::made_up(900));
        let memory = Memory::default();
        let mut bench = Bench { state, system: Arc::new(system), memory, commands: Vec::new() };
        bench.event(Event::Picture(Arc::new(picture)));
        bench
    }

    fn event(&mut self, event: Event) {
        for command in update(&mut self.state, event) {
            match (&command, &self.state.picture) {
                (Command::Compute, Some(picture)) => {
                    let tables = compute(picture, &self.state.query, None, &mut self.memory);
                    self.event(Event::Tables(Arc::new(tables)));
                }
                _ => self.commands.push(command),
            }
        }
    }

    fn key(&mut self, code: KeyCode) {
        self.event(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    /// Answers the question of the chain that is shown.
    fn answer(&mut self) {
        let found = match self.state.chain.as_ref().unwrap().question.clone() {
            Question::Tasks { rows, picture, .. } => {
                worded(Arc::clone(&self.system), (0, &rows), picture.life)
            }
            question => answer(&question, InquiryOptions::default(), &mut |_| {}).unwrap(),
        };
        self.event(Event::Chain(self.state.chain_turn, ChainNews::Found(Arc::new(found))));
    }

    fn screen(&self) -> String {
        let mut terminal = Terminal::new(TestBackend::new(self.state.size.0, self.state.size.1)).unwrap();
        let theme = Theme { color: true, ascii: false };
        terminal.draw(|frame| draw(frame, &self.state, theme)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
    }
}

/// Compares with `snapshots/NAME.snap`. `INSTA_UPDATE=always` writes it anew.
#[track_caller]
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_chain_leads_through_processes_and_back() {
    for size in [(80, 24), (120, 30)] {
        let mut bench = Bench::new(example(), size);
        // The second task waits for the lock of the first one.
        bench.key(KeyCode::Down);
        bench.key(KeyCode::Char('w'));
        assert_eq!(bench.commands, [Command::Follow(Some(1))]);
        bench.event(Event::Chain(1, ChainNews::Step("reading pid 911 (inventory)".to_owned())));
        check(&format!("watch-chain-looks-{}", size.0), &bench.screen());
        bench.answer();
        check(&format!("watch-chain-processes-{}", size.0), &bench.screen());
        // Down to the other process.
        while !bench.screen().contains("Enter: why goroutine 1 of pid 911 inventory waits") {
            bench.key(KeyCode::Down);
        }
        bench.key(KeyCode::Enter);
        bench.answer();
        check(&format!("watch-chain-onward-{}", size.0), &bench.screen());
        // There it is not asked again, but its chain is followed further.
        bench.key(KeyCode::Char('w'));
        assert!(bench.state.message.take().unwrap().error);
        bench.key(KeyCode::Enter);
        bench.answer();
        assert!(bench.screen().contains("why goroutine 2 of pid 911 inventory waits"), "{}", bench.screen());
        bench.key(KeyCode::Esc);
        assert!(bench.screen().contains("why goroutine 1 of pid 911 inventory waits"), "{}", bench.screen());
        bench.key(KeyCode::Esc);
        assert!(bench.screen().contains("goroutine 2 waits to lock mutex"), "{}", bench.screen());
        // To the holder, a task of the watched process: in detail.
        bench.key(KeyCode::Home);
        bench.key(KeyCode::Enter);
        assert!(bench.screen().contains("main.(*store).refresh"), "{}", bench.screen());
        assert!(bench.state.chain.is_none() && bench.state.query.task.is_some());
        bench.key(KeyCode::Esc);
        bench.key(KeyCode::Esc);
        assert!(bench.state.chain.is_none() && bench.state.query.task.is_none());
    }
}

#[test]
fn what_comes_too_late_is_dropped() {
    let mut bench = Bench::new(example(), (80, 24));
    bench.key(KeyCode::Char('w'));
    bench.key(KeyCode::Esc);
    bench.key(KeyCode::Down);
    bench.key(KeyCode::Char('w'));
    assert_eq!(bench.commands, [Some(1), None, Some(2)].map(Command::Follow));
    bench.event(Event::Chain(1, ChainNews::Failed("it is late".to_owned())));
    assert!(bench.state.chain.as_ref().unwrap().is_looking());
    bench.event(Event::Chain(2, ChainNews::Failed("permission denied".to_owned())));
    let screen = bench.screen();
    assert!(screen.contains("why goroutine 2 waits was not found: permission denied"), "{screen}");
    // Once more.
    bench.key(KeyCode::Char('w'));
    assert_eq!(bench.commands.last(), Some(&Command::Follow(Some(3))));
}

#[test]
fn what_ended_is_asked_of_the_last_reading() {
    let live = |bench: &Bench| match &bench.state.chain.as_ref().unwrap().question {
        Question::Tasks { live, .. } => live.is_some(),
        Question::Onward { .. } => false,
    };
    let mut bench = Bench::new(example(), (80, 24));
    bench.key(KeyCode::Char('w'));
    assert!(live(&bench));
    bench.key(KeyCode::Esc);
    for source in [Source::Ended("it ended".to_owned()), Source::File, Source::Replay { at: 0, of: 2 }] {
        bench.event(Event::Source(source));
        bench.key(KeyCode::Char('w'));
        assert!(!live(&bench));
        let question = bench.state.chain.as_ref().unwrap().question.clone();
        let found = answer(&question, InquiryOptions::default(), &mut |_| {}).unwrap();
        let missing = |note: &Note| note.warns && note.text.contains("one saved reading of one process");
        assert!(found.notes.iter().any(missing), "{:?}", found.notes);
        bench.key(KeyCode::Esc);
    }
}

/// A chain of 5,000 locks: what is left out of it is said, and places to go back to are bounded.
#[test]
fn long_chains_stay_bounded() {
    let mut made = Made::new(1, "a");
    let mut before: Option<ObjectId> = None;
    for nth in 0..5_000 {
        let row = made.task("main.wait", WaitClass::Lock);
        if let Some(lock) = before {
            made.waits(row, WaitOp::Lock, lock);
        }
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        made.holds(row, HoldKind::Exclusive, lock);
        before = Some(lock);
    }
    let mut bench = Bench::new(system(vec![made.seen()], Vec::new(), &[]), (80, 24));
    bench.key(KeyCode::End);
    bench.key(KeyCode::Char('w'));
    bench.answer();
    let lines = bench.state.chain.as_ref().unwrap().lines(80);
    assert!(lines.len() < 4 * ROWS, "{}", lines.len());
    assert!(lines.iter().any(|(row, _)| row.text().contains("more steps (loiter why -v shows them)")));
    bench.key(KeyCode::PageDown);
    for _ in 0..20 {
        bench.key(KeyCode::Enter);
        bench.key(KeyCode::Char('w'));
        bench.answer();
    }
    assert!(bench.state.visited.len() <= 9, "{}", bench.state.visited.len());
}
