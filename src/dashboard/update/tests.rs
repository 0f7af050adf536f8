//! Keys, as a table; and the effects of other events.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::dashboard::query::Query;
use crate::dashboard::tables::{Memory, compute};
use crate::dashboard::task_detail::Row;
use crate::session::SessionView;
use crate::snapshot::{self, Snapshot, SnapshotBuilder, Task};

/// `n` tasks, created by the first, in groups of ten by reason.
fn snapshot(n: u64) -> Snapshot {
    let mut builder = SnapshotBuilder::new();
    builder.header.taken_at_ns = Some(1_000_000_000);
    for id in 1..=n {
        let reason = Some(builder.code.string(&format!("reason {}", id / 10)));
        builder.task(Task {
            id: Some(id),
            address: id * 8,
            state: snapshot::TaskState::Waiting,
            reason,
            parent: (id > 1).then_some(1),
            ..Task::default()
        });
    }
    builder.finish()
}

struct Bench {
    state: AppState,
    memory: Memory,
    album: SessionView,
    commands: Vec<Command>,
}

impl Bench {
    fn new() -> Self {
        let state = AppState::new(Query::default(), Duration::from_millis(500), Source::Live);
        let mut bench =
            Bench { state, memory: Memory::default(), album: SessionView::new(false), commands: Vec::new() };
        bench.read(95);
        bench
    }

    fn read(&mut self, n: u64) {
        let picture = self.album.add(Arc::new(snapshot(n)));
        self.event(Event::Picture(Arc::new(picture)));
    }

    fn event(&mut self, event: Event) {
        for command in update(&mut self.state, event) {
            match (&command, &self.state.picture) {
                (Command::Compute, Some(picture)) => {
                    let tables =
                        compute(picture, &self.state.query, self.state.cpu.shown.as_ref(), &mut self.memory);
                    self.event(Event::Tables(Arc::new(tables)));
                }
                _ => self.commands.push(command),
            }
        }
    }

    /// Keys by name: "Tab", "C-c", or the typed text.
    fn keys(&mut self, keys: &str) {
        for key in keys.split(' ') {
            let (code, modifiers) = match key {
                "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                "BackTab" => (KeyCode::BackTab, KeyModifiers::SHIFT),
                "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                "Space" => (KeyCode::Char(' '), KeyModifiers::NONE),
                "Up" => (KeyCode::Up, KeyModifiers::NONE),
                "Down" => (KeyCode::Down, KeyModifiers::NONE),
                "Left" => (KeyCode::Left, KeyModifiers::NONE),
                "Right" => (KeyCode::Right, KeyModifiers::NONE),
                "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
                "Home" => (KeyCode::Home, KeyModifiers::NONE),
                "End" => (KeyCode::End, KeyModifiers::NONE),
                "Backspace" => (KeyCode::Backspace, KeyModifiers::NONE),
                control if control.starts_with("C-") => {
                    (KeyCode::Char(control.chars().last().unwrap()), KeyModifiers::CONTROL)
                }
                text => {
                    for c in text.chars() {
                        self.event(Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
                    }
                    continue;
                }
            };
            self.event(Event::Key(KeyEvent::new(code, modifiers)));
        }
    }

    /// The visible state, in one line.
    fn tells(&self) -> String {
        let state = &self.state;
        let mut text = state.query.view.name().to_owned();
        if let Some(list) = state.list() {
            let (at, len) = (self.state.clone().cursor(list).at, state.len(list));
            text.push_str(&format!(" {}/{len}", at + 1));
        }
        let query = &state.query;
        let facts = [
            (query.task.is_some() && state.chain.is_none(), "close".to_owned()),
            (state.chain.is_some(), "chain".to_owned()),
            (query.within.is_some(), "within".to_owned()),
            (!query.wanted.is_empty(), format!("/{}", query.wanted.text)),
            (query.key != crate::analysis::GroupKey::Stack, format!("by {}", query.key)),
            (query.group_sort != GroupSort::Count, format!("sort {}", query.group_sort.name())),
            (query.task_sort != TaskSort::Id, format!("sort {}", query.task_sort.name())),
            (query.reverse, "reversed".to_owned()),
            (query.system, "system".to_owned()),
            (query.mark.is_some(), "marked".to_owned()),
            (state.frozen, "frozen".to_owned()),
            (state.help.is_some(), "help".to_owned()),
            (state.pane != Pane::Small, format!("{:?}", state.pane)),
            (matches!(state.prompt, Some(Prompt::Write)), "write?".to_owned()),
            (matches!(state.prompt, Some(Prompt::Filter(_))), "filter?".to_owned()),
            (matches!(state.prompt, Some(Prompt::GroupBy(_))), "group by?".to_owned()),
            (state.message.as_ref().is_some_and(|message| message.error), "error".to_owned()),
        ];
        for (is, fact) in facts {
            if is {
                text.push_str(&format!(", {fact}"));
            }
        }
        for command in &self.commands {
            text.push_str(&format!(", {command:?}"));
        }
        text
    }
}

#[test]
fn keys() {
    for (keys, outcome) in [
        ("q", "Overview, Quit"),
        ("C-c", "Overview, Quit"),
        ("C-z", "Overview, Suspend"),
        ("C-l", "Overview, Redraw"),
        ("2", "Groups 1/10"),
        ("3", "Tasks 1/95"),
        ("4", "Creators 1/2"),
        ("5", "Flame"),
        ("6", "Findings 1/0"),
        ("7", "Scheduler 1/0"),
        ("8", "Overview"),
        ("Tab", "Groups 1/10"),
        ("BackTab", "Scheduler 1/0"),
        ("Tab Tab Tab BackTab", "Tasks 1/95"),
        ("3 j Down", "Tasks 3/95"),
        ("3 jjj k Up", "Tasks 2/95"),
        ("3 k", "Tasks 1/95"),
        ("3 G", "Tasks 95/95"),
        ("3 End j", "Tasks 95/95"),
        ("3 G g", "Tasks 1/95"),
        ("3 G Home", "Tasks 1/95"),
        // 24 lines minus header, tabs, rule, heading and footer, minus the line that is shown on both pages.
        ("3 PgDn", "Tasks 18/95"),
        ("3 PgDn PgDn PgUp", "Tasks 18/95"),
        ("3 C-f C-b", "Tasks 1/95"),
        ("2 Enter", "Tasks 1/10, within"),
        ("2 l", "Tasks 1/10, within"),
        ("2 Right Left", "Groups 1/10"),
        ("2 Enter Enter", "Tasks 1/7, close, within"),
        ("2 Enter Enter h", "Tasks 1/10, within"),
        ("2 Enter Enter Esc Esc", "Groups 1/10"),
        ("2 G Enter", "Tasks 1/6, within"),
        ("3 j Enter", "Tasks 1/7, close"),
        // If there is nothing else to open, there is no holder to go to either.
        ("3 j Enter Enter", "Tasks 1/7, close"),
        ("1 y", "Overview, error"),
        ("7 y", "Scheduler 1/0, error"),
        // It is no process of this machine.
        ("c", "Overview, error"),
        // Its parent is on the last line.
        ("3 j Enter G Enter", "Tasks 1/100, close"),
        ("3 j Enter G Enter Esc", "Tasks 1/7, close"),
        ("4 h", "Creators 1/1"),
        ("4 h l", "Creators 1/2"),
        ("4 Enter", "Creators 1/1"),
        ("4 j h", "Creators 1/2"),
        ("/", "Overview, filter?"),
        ("/q", "Overview, filter?"),
        ("2 / Esc", "Groups 1/10"),
        ("2 /id:7 Enter", "Groups 1/1, /id:7"),
        ("2 /id:7 Enter Esc", "Groups 1/10"),
        ("2 /id:77 Backspace Enter", "Groups 1/1, /id:7"),
        ("2 /x Home End Backspace Enter", "Groups 1/10"),
        ("2 /nowhere Enter", "Groups 1/0, /nowhere"),
        ("2 /nothing:known Enter", "Groups 1/10, filter?"),
        ("2 b", "Groups 1/10, group by?"),
        ("2 b Tab Enter", "Groups 1/1, by function"),
        ("2 b Up Enter", "Groups 1/1, by waits-on"),
        ("2 b C-u state Enter", "Groups 1/10, by state"),
        ("2 b C-u nonsense Enter", "Groups 1/10, group by?"),
        ("5 b C-u thread Enter", "Flame"),
        ("b", "Overview, error"),
        ("2 s", "Groups 1/10, sort change"),
        ("2 ssssss", "Groups 1/10"),
        ("3 s", "Tasks 1/95, sort age"),
        ("3 ss", "Tasks 1/95, sort time running or runnable"),
        ("1 s", "Overview, error"),
        ("2 r", "Groups 1/10, reversed"),
        ("2 S", "Groups 1/10, system"),
        ("2 p", "Groups 1/10, Half"),
        ("2 ppp", "Groups 1/10"),
        ("Space", "Overview, frozen"),
        ("Space Space", "Overview"),
        ("m", "Overview, marked"),
        ("m M", "Overview"),
        ("W", "Overview, write?"),
        ("W s", "Overview, Write(Snapshot)"),
        ("W r", "Overview, Write(Report)"),
        ("W f", "Overview, Write(Flame)"),
        ("W x", "Overview"),
        // Nothing is selected there.
        ("w", "Overview, error"),
        ("4 w", "Creators 1/2, error"),
        ("2 w", "Tasks 1/1, chain, Follow(Some(1))"),
        ("3 w", "Tasks 1/1, chain, Follow(Some(1))"),
        // While it looks, the key changes nothing.
        ("3 ww", "Tasks 1/1, chain, Follow(Some(1))"),
        ("3 w Enter", "Tasks 1/1, chain, Follow(Some(1))"),
        ("3 w Esc", "Tasks 1/95, Follow(Some(1)), Follow(None)"),
        ("3 w Left", "Tasks 1/95, Follow(Some(1)), Follow(None)"),
        ("2 w Esc", "Groups 1/10, Follow(Some(1)), Follow(None)"),
        ("3 j Enter w Esc", "Tasks 1/7, close, Follow(Some(1)), Follow(None)"),
        ("3 w 4", "Creators 1/2, chain, Follow(Some(1))"),
        ("3 w 4 3", "Tasks 1/1, chain, Follow(Some(1))"),
        ("3 w 2 w", "Tasks 1/1, chain, Follow(Some(1)), Follow(None), Follow(Some(2))"),
        ("3 w 2 Enter", "Tasks 1/10, within, Follow(Some(1)), Follow(None)"),
        ("+", "Overview, Interval(1s)"),
        ("=", "Overview, Interval(1s)"),
        ("-", "Overview, Interval(200ms)"),
        ("---", "Overview, Interval(200ms), Interval(100ms)"),
        ("]", "Overview, error"),
        ("?", "Overview, help"),
        ("? ?", "Overview"),
        ("? j 2", "Overview"),
        ("? q", "Overview, help, Quit"),
        ("x", "Overview"),
    ] {
        let mut bench = Bench::new();
        bench.keys(keys);
        let told = bench.tells().replace(", help, Quit", ", Quit");
        assert_eq!(told, outcome.replace(", help, Quit", ", Quit"), "{keys}");
    }
}

#[test]
fn every_binding_is_in_the_help_once() {
    for binding in keys::BINDINGS {
        assert!(!binding.shown.is_empty() && !binding.what.is_empty());
        assert_eq!(keys::BINDINGS.iter().filter(|other| other.action == binding.action).count(), 1);
    }
}

#[test]
fn a_replay_is_gone_through() {
    let mut bench = Bench::new();
    bench.event(Event::Source(Source::Replay { at: 3, of: 9 }));
    bench.keys("[ ] { }");
    let seeks = [-1, 1, -10, 10].map(Command::Seek);
    assert_eq!(bench.commands, seeks);
    bench.keys("+");
    assert_eq!(bench.commands, seeks);
}

#[test]
fn what_is_selected_stays_selected() {
    let mut bench = Bench::new();
    bench.keys("3 jjjjj");
    let selected = bench.state.task_at(bench.state.cursors.tasks.at).unwrap();
    bench.read(40);
    assert_eq!(bench.state.task_at(bench.state.cursors.tasks.at), Some(selected));
    bench.keys("r");
    assert_eq!(bench.state.task_at(bench.state.cursors.tasks.at), Some(selected));
    // After it has ended, the line stays.
    bench.keys("r");
    bench.read(3);
    assert_eq!(bench.tells(), "Tasks 3/3");
}

#[test]
fn what_is_selected_is_copied() {
    let copied = |keys: &str| {
        let mut bench = Bench::new();
        bench.keys(keys);
        match bench.commands.pop() {
            Some(Command::Copy(text)) => text,
            other => panic!("{keys}: {other:?}"),
        }
    };
    assert!(copied("2 y").starts_with("10 tasks: reason "), "{}", copied("2 y"));
    assert_eq!(copied("3 j y"), " task 2  reason 0\n\n  stack unknown\n");
    assert!(copied("3 j Enter y").starts_with(" task 2  reason 0\n"), "{}", copied("3 j Enter y"));
    assert_eq!(copied("3 j Enter G y"), "1        reason 0");
    assert_eq!(copied("4 y"), "95 (function unknown)");
}

#[test]
fn a_task_that_ends_keeps_its_last_picture() {
    let mut bench = Bench::new();
    bench.keys("3 G Enter");
    let head = |bench: &Bench| bench.state.closeup().iter().take(2).map(Row::text).collect::<Vec<_>>();
    assert_eq!(head(&bench), [" task 95  reason 9  ", ""]);
    bench.read(90);
    assert_eq!(head(&bench)[0], " task 95  reason 9  ");
    assert!(
        head(&bench)[1].starts_with(" ended ")
            && head(&bench)[1].ends_with("this shows the last reading of it"),
        "{:?}",
        head(&bench)
    );
    // To its parent, which still lives, and back.
    bench.keys("G Enter");
    assert_eq!(head(&bench), [" task 1  reason 0  ", ""]);
    bench.read(80);
    bench.keys("Esc");
    assert_eq!(head(&bench)[0], " task 95  reason 9  ");
    assert!(head(&bench)[1].starts_with(" ended "), "{:?}", head(&bench));
    // A task that was never seen has no picture.
    bench.keys("Esc");
    assert!(bench.state.tables.closeup.is_none());
}

#[test]
fn text_is_pasted_and_bounded() {
    let mut bench = Bench::new();
    bench.keys("/");
    bench.event(Event::Paste(format!("id:7\n\x1b{}", "x".repeat(1000))));
    let Some(Prompt::Filter(input)) = &bench.state.prompt else { panic!("no prompt") };
    assert_eq!(input.text.len(), 500);
    assert!(input.text.starts_with("id:7x"));
}
