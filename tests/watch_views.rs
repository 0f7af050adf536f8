//! What the dashboard looks like: every view at 80x24 and at 160x50, colours where they mean something,
//! and the picture in the README.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use loiter::__test::dashboard::pick::draw as draw_picker;
use loiter::__test::dashboard::pick::{Asked, Picker, Row};
use loiter::__test::dashboard::state::Source;
use loiter::__test::dashboard::update::Event;
use loiter::__test::dashboard::view::Theme;
use loiter::session::ProgramId;
use loiter::session::record::{CpuNews, CpuNs, CpuTimes, TaskCpu};
use loiter::snapshot::{Snapshot, TaskState};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEventKind};
use ratatui::style::{Color, Modifier};

#[path = "common/expected.rs"]
mod expected;
#[path = "watch_support/leaking.rs"]
mod leaking;
mod samples;
#[path = "watch_support/mod.rs"]
mod support;

use expected::check;
use support::{Dashboard, line};

const READINGS: u64 = 48;

/// A dashboard that has watched a leaking server for a while.
fn dashboard(width: u16, height: u16) -> Dashboard {
    let mut dashboard = Dashboard::new(width, height);
    (0..READINGS).for_each(|n| dashboard.read(leaking::reading(n, READINGS)));
    dashboard
}

#[test]
fn every_view() {
    for (width, height) in [(80, 24), (160, 50)] {
        let mut dashboard = dashboard(width, height);
        let see = |name: &str, dashboard: &Dashboard| {
            let screen = dashboard.screen();
            for text in screen.lines() {
                assert!(unicode_width::UnicodeWidthStr::width(text) <= width.into(), "{name}: {text}");
            }
            check(&format!("watch-{name}-{width}"), &screen);
        };
        see("overview", &dashboard);
        dashboard.press("2");
        see("groups", &dashboard);
        dashboard.press("3");
        see("tasks", &dashboard);
        dashboard.press("4");
        see("creators", &dashboard);
        dashboard.press("5");
        dashboard.key(KeyCode::Down);
        dashboard.key(KeyCode::Down);
        see("flame", &dashboard);
        dashboard.press("6");
        see("findings", &dashboard);
        dashboard.press("7");
        see("scheduler", &dashboard);
        dashboard.press("?");
        see("help", &dashboard);
    }
}

/// Where a text stands on the screen.
fn find(buffer: &Buffer, text: &str) -> (u16, u16) {
    for y in 0..buffer.area.height {
        let line = line(buffer, y);
        if let Some(at) = line.find(text) {
            return (line[..at].chars().count() as u16, y);
        }
    }
    panic!("no {text} on the screen");
}

/// What a sampler could say of the leaking server.
fn cpu_times(program: ProgramId) -> CpuTimes {
    let ns = |ms: u64| CpuNs { window: ms * 1_000_000, total: ms * 9_000_000 };
    let task = |id, ms| TaskCpu { runtime: 0, id, collects: false, ns: ns(ms) };
    let sampled = |id| leaking::reading(READINGS - 1, READINGS).tasks.iter().any(|task| task.id == Some(id));
    assert!([1, 50, 3000].into_iter().any(sampled), "ids of the sample have changed");
    CpuTimes {
        program,
        runtimes: leaking::reading(0, READINGS).header.runtimes.into_iter().map(|it| it.name).collect(),
        covers: ns(10_000),
        tasks: vec![
            task(1, 30),
            task(41, 400),
            task(50, 3_120),
            task(51, 2_900),
            task(900_000, 760),
            TaskCpu { collects: true, ..task(900_001, 1_210) },
        ],
        scheduler: ns(290),
        native: ns(20),
        unknown: ns(30),
        used_ns: Some(8_900_000_000),
        own_ns: 41_000_000,
        rate_hz: 99,
        event: "cpu-clock",
        kernel: true,
        samples: 7_980,
        lost: 0,
        threads_missed: 0,
        reduced: Vec::new(),
    }
}

/// The dashboard with CPU sampling.
fn sampling(width: u16, height: u16) -> Dashboard {
    let mut dashboard = dashboard(width, height);
    let program = ProgramId::of(std::process::id()).unwrap();
    dashboard.program = Some(program);
    dashboard.read(leaking::reading(READINGS - 1, READINGS));
    dashboard.press("c");
    dashboard.event(Event::Cpu(dashboard.state.cpu.turn, CpuNews::Times(Arc::new(cpu_times(program)))));
    dashboard.press("1");
    dashboard
}

#[test]
fn cpu_in_every_view_that_has_it() {
    for (width, height) in [(80, 24), (100, 30)] {
        let mut dashboard = sampling(width, height);
        let see = |name: &str, dashboard: &Dashboard| {
            check(&format!("watch-cpu-{name}-{width}"), &dashboard.screen())
        };
        see("overview", &dashboard);
        // Count, change, growth, age, CPU.
        dashboard.press("2ssss");
        see("groups", &dashboard);
        dashboard.press("3ss");
        see("tasks", &dashboard);
        dashboard.key(KeyCode::Enter);
        see("task", &dashboard);
        dashboard.press("4s");
        see("creators", &dashboard);
        dashboard.press("7");
        see("scheduler", &dashboard);
        dashboard.press("2c2");
        assert!(!dashboard.screen().contains("CPU 99 Hz") && !dashboard.screen().contains(" CPU "));
    }
}

#[test]
fn cpu_that_is_not_known_is_said_to_be_so() {
    let mut dashboard = sampling(100, 30);
    let program = dashboard.program.unwrap();
    let say = |dashboard: &mut Dashboard, change: &dyn Fn(&mut CpuTimes)| {
        let mut times = cpu_times(program);
        change(&mut times);
        dashboard.event(Event::Cpu(dashboard.state.cpu.turn, CpuNews::Times(Arc::new(times))));
        dashboard.read(leaking::reading(READINGS - 1, READINGS));
        dashboard.screen()
    };
    dashboard.press("2");
    let is_unknown = |screen: &str| screen.lines().any(|line| line.contains("1,204       ?"));
    // Half a second; another program; other runtimes than those of the reading.
    assert!(is_unknown(&say(&mut dashboard, &|times| times.covers.window = 500_000_000)));
    assert!(is_unknown(&say(&mut dashboard, &|times| times.runtimes.push("tokio".to_owned()))));
    let screen = say(&mut dashboard, &|times| times.used_ns = Some(1_000_000));
    assert!(screen.contains("covers ?") && screen.contains("costs 0.4 % of a core"), "{screen}");
    let screen = say(&mut dashboard, &|times| (times.kernel, times.lost) = (false, 12));
    assert!(screen.contains("CPU 99 Hz user code") && screen.contains("lost 12"), "{screen}");

    dashboard.event(Event::Cpu(dashboard.state.cpu.turn, CpuNews::Over));
    assert!(dashboard.screen().contains("CPU: waiting for the next program"));
    dashboard.press("cc");
    assert!(dashboard.screen().contains("CPU: starting"), "{}", dashboard.screen());
    let remedy = [
        "kernel.perf_event_paranoid is 4: this kernel allows perf events only with CAP_PERFMON.",
        "Try: sudo loiter, or give loiter CAP_PERFMON.",
    ];
    let remedy = remedy.map(str::to_owned).to_vec();
    let why = "perf_event_open(cpu-clock) on the threads of pid 4242: EACCES (permission denied)".to_owned();
    dashboard.event(Event::Cpu(dashboard.state.cpu.turn, CpuNews::Failed { why, remedy }));
    check("watch-cpu-refused-100", &dashboard.screen());
}

#[test]
fn a_recording_of_readings_has_no_sampler() {
    let mut dashboard = dashboard(80, 24);
    dashboard.event(Event::Source(Source::Replay { at: 2, of: 9 }));
    dashboard.press("c");
    assert!(dashboard.screen().contains("these are recorded readings"), "{}", dashboard.screen());
    assert!(dashboard.commands.is_empty());
}

#[test]
fn time_by_state_rests_on_some_readings() {
    let mut dashboard = Dashboard::new(100, 30);
    (0..4).for_each(|n| dashboard.read(leaking::reading(n, READINGS)));
    assert!(dashboard.screen().contains("too few readings yet (3)"), "{}", dashboard.screen());
    (4..10).for_each(|n| dashboard.read(leaking::reading(n, READINGS)));
    let screen = dashboard.screen();
    assert!(screen.contains("chan send 87 %") && screen.contains("4 s, 9 readings"), "{screen}");
    // By the share of time running or ready to run.
    dashboard.press("2ssss");
    let screen = dashboard.screen();
    assert!(screen.contains("ACTIVE") && screen.contains("  100 % running"), "{screen}");
}

#[test]
fn colours_mean_something_and_never_alone() {
    let mut dashboard = dashboard(120, 40);
    dashboard.press("2G");
    let buffer = dashboard.buffer();
    let style = |text: &str| {
        let at = find(&buffer, text);
        buffer[at].style()
    };
    // What grows is red, states are yellow, what is selected is reversed.
    assert_eq!(style("+329").fg, Some(Color::Red));
    assert_eq!(style("chan send").fg, Some(Color::Yellow));
    let selected = find(&buffer, "▶");
    assert!(buffer[selected].modifier.contains(Modifier::REVERSED));
    assert_eq!(style("● live").fg, Some(Color::Green));
    assert!(style("2 Groups").add_modifier.contains(Modifier::REVERSED));

    dashboard.press("6");
    let buffer = dashboard.buffer();
    let (x, y) = find(&buffer, "LIKELY");
    assert_eq!(buffer[(x, y)].fg, Color::Yellow);

    dashboard.theme.color = false;
    for view in ["1", "2", "3", "4", "5", "6", "7"] {
        dashboard.press(view);
        let buffer = dashboard.buffer();
        let plain = |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
        assert!(buffer.content.iter().all(plain), "colours in view {view} with NO_COLOR");
    }
}

#[test]
fn ascii_is_ascii() {
    let mut dashboard = dashboard(100, 30);
    dashboard.read(wide_characters());
    dashboard.theme.ascii = true;
    for view in ["1", "2", "3", "4", "5", "6", "7", "?"] {
        dashboard.press(view);
        assert!(dashboard.screen().is_ascii(), "{}", dashboard.screen());
    }
}

/// Names in characters that are two columns wide, and some that combine.
fn wide_characters() -> Snapshot {
    let mut snapshot = samples::server();
    for text in &mut snapshot.code.strings {
        *text = text.replace("fetchAll", "取得する全部").replace("worker", "e\u{301}quipe");
    }
    snapshot
}

#[test]
fn wide_characters_keep_their_columns() {
    let mut dashboard = Dashboard::new(80, 24);
    dashboard.read(wide_characters());
    dashboard.press("2");
    let screen = dashboard.screen();
    check("watch-wide-80", &screen);
}

#[test]
fn a_target_cannot_speak_to_the_terminal() {
    let mut dashboard = Dashboard::new(120, 40);
    dashboard.read(samples::hostile());
    for keys in ["1", "2", "p", "p", "3", "4", "5", "6", "7"] {
        dashboard.press(keys);
        let screen = dashboard.screen();
        assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
        assert!(!screen.contains('\u{202e}') && !screen.contains('\u{200b}'), "{screen:?}");
    }
    dashboard.press("3");
    dashboard.key(KeyCode::Enter);
    for key in ["3", "w"] {
        dashboard.press(key);
        let screen = dashboard.screen();
        assert!(screen.contains("\\x1b[31m"), "{key}: {screen}");
        assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
    }
}

#[test]
fn tiny_terminals_do_not_matter() {
    for (width, height) in [(1, 1), (2, 3), (10, 4), (20, 5), (40, 6), (80, 8), (300, 7)] {
        let mut dashboard = dashboard(width, height);
        for keys in ["1", "2", "p", "p", "3", "4", "5", "6", "7", "?", "?", "3w", "1", "/", "W"] {
            dashboard.press(keys);
            dashboard.screen();
        }
    }
}

#[test]
fn from_a_group_to_its_tasks_to_one_and_to_its_neighbours() {
    let mut dashboard = dashboard(100, 30);
    dashboard.press("2");
    dashboard.line("/reason:Mutex");
    assert!(dashboard.screen().contains("3 of 1,341 goroutines, 1 group"), "{}", dashboard.screen());
    dashboard.key(KeyCode::Enter);
    dashboard.key(KeyCode::Down);
    dashboard.key(KeyCode::Enter);
    check("watch-task-100", &dashboard.screen());
    // Down to the first of the two others, and over to it.
    while dashboard.state.closeup()[dashboard.state.cursors.closeup.at].link.is_none() {
        dashboard.key(KeyCode::Down);
    }
    dashboard.key(KeyCode::Enter);
    assert!(dashboard.screen().contains("goroutine 40"), "{}", dashboard.screen());
    dashboard.key(KeyCode::Esc);
    assert!(dashboard.screen().contains("goroutine 41"), "{}", dashboard.screen());
    for _ in 0..2 {
        dashboard.key(KeyCode::Esc);
    }
    assert!(dashboard.screen().contains("1 group"));
    dashboard.key(KeyCode::Esc);
    assert!(dashboard.screen().contains("8 groups"), "{}", dashboard.screen());
}

#[test]
fn the_mark_shows_what_changed_since() {
    let mut dashboard = Dashboard::new(100, 30);
    dashboard.read(leaking::reading(0, READINGS));
    dashboard.press("2m");
    let mut later = leaking::reading(20, READINGS);
    later.tasks.retain(|task| task.state != TaskState::Syscall);
    dashboard.read(later);
    let screen = dashboard.screen();
    assert!(screen.contains("+140") && screen.contains("changes since the mark"), "{screen}");
    // The one in a system call is gone; it is still there to be seen.
    let gone = screen.lines().find(|line| line.contains("main.tail")).unwrap();
    assert!(gone.contains(" 0 ") && gone.contains("-1"), "{screen}");
    dashboard.press("5");
    assert!(dashboard.screen().contains("compared with the mark"));
    dashboard.press("M2");
    assert!(!dashboard.screen().contains("main.tail"), "{}", dashboard.screen());
}

#[test]
fn frozen_it_stands_still_and_reading_goes_on() {
    let mut dashboard = Dashboard::new(80, 24);
    dashboard.read(leaking::reading(0, READINGS));
    dashboard.press("2 ");
    let before = dashboard.screen();
    assert!(before.contains("frozen 11:06:40"), "{before}");
    dashboard.read(leaking::reading(40, READINGS));
    assert_eq!(dashboard.screen(), before);
    dashboard.press(" ");
    assert!(dashboard.screen().contains("1,292 goroutines"), "{}", dashboard.screen());
}

#[test]
fn how_reading_goes_is_said() {
    let mut dashboard = dashboard(80, 24);
    let notice = |dashboard: &Dashboard| dashboard.screen().lines().nth(3).unwrap().to_owned();
    dashboard.event(Event::Source(Source::Ended("process 4242 ended while it was being read".to_owned())));
    assert!(notice(&dashboard).contains("ended while it was being read; this is the last reading"));
    assert!(dashboard.screen().contains("■ ended"));
    dashboard.event(Event::Source(Source::Trouble("process_vm_readv: EPERM".to_owned())));
    assert!(notice(&dashboard).contains("EPERM; retrying"));
    dashboard.event(Event::Source(Source::Replay { at: 2, of: 9 }));
    assert!(dashboard.screen().contains("3/9"));
    assert!(dashboard.screen().contains("2026-11-18 11:07:03 UTC"), "{}", dashboard.screen());
    dashboard.event(Event::Source(Source::Live));
    dashboard.event(Event::Quiet(std::time::Duration::from_secs(7)));
    assert!(dashboard.screen().contains("reading for 7 s"), "{}", dashboard.screen());

    let mut slow = Dashboard::new(80, 24);
    slow.read(leaking::reading(0, READINGS));
    slow.read(leaking::reading(3, READINGS));
    assert!(slow.screen().contains("slower: 1.5 s"), "{}", slow.screen());

    let nothing = Dashboard::new(80, 24);
    assert!(nothing.screen().contains("attaching"));
}

#[test]
fn the_mouse_selects_opens_and_turns() {
    let mut dashboard = dashboard(80, 24);
    let click = MouseEventKind::Down(MouseButton::Left);
    let (x, y) = find(&dashboard.buffer(), "2 Groups");
    dashboard.mouse(click, x + 3, y);
    let (_, y) = find(&dashboard.buffer(), "worker.(*Pool).next");
    dashboard.mouse(click, 10, y);
    let selected = find(&dashboard.buffer(), "▶");
    assert_eq!(selected.1, y);
    dashboard.mouse(click, 10, y);
    assert!(dashboard.screen().contains("12 goroutines of worker.(*P"), "{}", dashboard.screen());
    dashboard.mouse(MouseEventKind::ScrollDown, 10, y);
    assert_eq!(dashboard.state.cursors.tasks.at, 3);
    dashboard.mouse(MouseEventKind::ScrollUp, 10, y);
    assert_eq!(dashboard.state.cursors.tasks.at, 0);
}

/// `LOITER_BLESS=1 cargo test --test watch_views` draws the picture in the README anew.
#[test]
fn the_picture_in_the_readme_is_current() {
    let mut dashboard = dashboard(104, 24);
    dashboard.press("2");
    let svg = svg(&dashboard.buffer());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watch.svg");
    if env::var_os("LOITER_BLESS").is_some() {
        fs::write(&path, &svg).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == svg, "docs/watch.svg is out of date: run this test with LOITER_BLESS=1");
}

/// The screen as a picture: a text for each run of cells of one style, on a dark ground.
fn svg(buffer: &Buffer) -> String {
    const CELL: (f64, f64) = (8.4, 18.0);
    let (columns, lines) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f64::from(columns) * CELL.0 + 20.0, f64::from(lines) * CELL.1 + 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <title>loiter watch</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#16181d\"/>\n"
    );
    for y in 0..lines {
        let mut x = 0;
        while x < columns {
            let style = buffer[(x, y)].style();
            let end = (x..columns).find(|&other| buffer[(other, y)].style() != style).unwrap_or(columns);
            let text: String = (x..end).map(|x| buffer[(x, y)].symbol()).collect();
            run(&mut svg, (x, end, y), &text, &buffer[(x, y)], CELL);
            x = end;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn run(
    svg: &mut String,
    (x, end, y): (u16, u16, u16),
    text: &str,
    cell: &ratatui::buffer::Cell,
    size: (f64, f64),
) {
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    let (left, top) = (10.0 + f64::from(x) * size.0, 10.0 + f64::from(y) * size.1);
    let width = f64::from(end - x) * size.0;
    let (mut ink, mut ground) = (color(cell.fg, "#d7dae0"), color(cell.bg, "#16181d"));
    if reversed {
        (ink, ground) = (ground, ink);
    }
    if ground != "#16181d" {
        writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{ground}\"/>",
            size.1
        )
        .unwrap();
    }
    if text.trim().is_empty() {
        return;
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let dim = if cell.modifier.contains(Modifier::DIM) { " fill-opacity=\"0.6\"" } else { "" };
    writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" fill=\"{ink}\"{weight}{dim} \
         xml:space=\"preserve\">{text}</text>",
        top + 13.5
    )
    .unwrap();
}

fn color(color: Color, default: &'static str) -> &'static str {
    match color {
        Color::Red => "#ff6b68",
        Color::Green => "#7ec699",
        Color::Yellow => "#e5c07b",
        Color::Blue => "#61afef",
        Color::Cyan => "#56b6c2",
        Color::Gray => "#abb2bf",
        Color::Black => "#000000",
        _ => default,
    }
}

#[test]
fn from_one_that_waits_to_the_holder_and_back() {
    let mut dashboard = Dashboard::new(100, 40);
    dashboard.read(samples::convoy());
    dashboard.press("2");
    check("watch-convoy-groups-100", &dashboard.screen());
    dashboard.press("3");
    dashboard.line("/id:100");
    dashboard.key(KeyCode::Enter);
    check("watch-convoy-waiter-100", &dashboard.screen());
    // Down to who holds it: the first that leads anywhere.
    let to_the_first_link = |dashboard: &mut Dashboard| {
        while dashboard.state.closeup()[dashboard.state.cursors.closeup.at].link.is_none() {
            dashboard.key(KeyCode::Down);
        }
        dashboard.key(KeyCode::Enter);
    };
    to_the_first_link(&mut dashboard);
    check("watch-convoy-holder-100", &dashboard.screen());
    // And over to the first that waits for it.
    to_the_first_link(&mut dashboard);
    assert!(dashboard.screen().contains("goroutine 100  sync.Mutex.Lock"), "{}", dashboard.screen());
    dashboard.key(KeyCode::Esc);
    assert!(dashboard.screen().contains("goroutine 99  chan receive"), "{}", dashboard.screen());
    dashboard.key(KeyCode::Esc);
    assert!(dashboard.screen().contains("goroutine 100  sync.Mutex.Lock"), "{}", dashboard.screen());
}

#[test]
fn enter_leads_to_the_holder_wherever_the_cursor_is() {
    for down in [0, 2, 5, 6] {
        let mut dashboard = Dashboard::new(100, 40);
        dashboard.read(samples::convoy());
        dashboard.press("3");
        dashboard.line("/id:100");
        dashboard.key(KeyCode::Enter);
        (0..down).for_each(|_| dashboard.key(KeyCode::Down));
        assert!(dashboard.screen().contains("Enter: holder goroutine 99 "), "{}", dashboard.screen());
        dashboard.key(KeyCode::Enter);
        assert!(dashboard.screen().contains("goroutine 99  chan receive"), "{}", dashboard.screen());
    }
    // A line that leads to another task leads there.
    let mut dashboard = Dashboard::new(100, 40);
    dashboard.read(samples::convoy());
    dashboard.press("3");
    dashboard.line("/id:100");
    dashboard.key(KeyCode::Enter);
    dashboard.press("G");
    let screen = dashboard.screen();
    assert!(screen.contains("Enter: goroutine ") && !screen.contains("Enter: holder"), "{screen}");
}

#[test]
fn a_chain_is_walked() {
    for (width, height) in [(80, 24), (120, 30)] {
        let mut dashboard = Dashboard::new(width, height);
        dashboard.read(samples::convoy());
        dashboard.press("3");
        dashboard.line("/id:100");
        dashboard.press("w");
        check(&format!("watch-chain-{width}"), &dashboard.screen());
        // The line of the task that is asked about leads to the next one.
        dashboard.key(KeyCode::Enter);
        assert!(dashboard.screen().contains("goroutine 99  chan receive"), "{}", dashboard.screen());
        dashboard.press("w");
        assert!(dashboard.screen().contains("goroutine 99 waits"), "{}", dashboard.screen());
        for text in ["goroutine 99  chan receive", "goroutine 100 waits to lock", "(1 goroutine)"] {
            dashboard.key(KeyCode::Esc);
            assert!(dashboard.screen().contains(text), "no {text}:\n{}", dashboard.screen());
        }
        // A group, and back to the groups.
        dashboard.key(KeyCode::Esc);
        dashboard.press("2w");
        assert!(dashboard.screen().contains(" goroutines wait to lock"), "{}", dashboard.screen());
        dashboard.key(KeyCode::Esc);
        assert!(dashboard.screen().contains("PER MIN"), "{}", dashboard.screen());
        // Words, not colours; and on any terminal.
        dashboard.theme = Theme { color: false, ascii: true };
        dashboard.press("w");
        assert!(
            dashboard.screen().is_ascii() && dashboard.screen().contains("` held by"),
            "{}",
            dashboard.screen()
        );
    }
}

/// The same program, started anew with another pid.
fn restarted(mut snapshot: Snapshot) -> Snapshot {
    *snapshot.header.target.pid.as_mut().unwrap() += 1;
    *snapshot.header.target.start_ticks.as_mut().unwrap() += 1_000_000;
    snapshot
}

#[test]
fn a_restart_is_said_and_breaks_the_charts() {
    for (width, height) in [(80, 24), (160, 50)] {
        let mut dashboard = Dashboard::new(width, height);
        (0..20).for_each(|n| dashboard.read(leaking::reading(n, READINGS)));
        dashboard.press("3");
        dashboard.line("/id:1000");
        dashboard.key(KeyCode::Enter);
        assert!(dashboard.screen().contains("goroutine 1000"), "{}", dashboard.screen());
        (20..40).for_each(|n| dashboard.read(restarted(leaking::reading(n, READINGS))));
        // The new process has a task with the same id, which is another one.
        let screen = dashboard.screen();
        assert!(
            screen.contains("ended 10 s ago with its process: this shows the last reading of it"),
            "{screen}"
        );
        dashboard.press("1");
        let screen = dashboard.screen();
        assert!(screen.contains("restarted as pid 4243 9 s ago"), "{screen}");
        // Nobody was born or ended with the restart.
        assert!(!screen.contains("not the same process"), "{screen}");
        check(&format!("watch-restarted-{width}"), &screen);
    }
}

#[test]
fn processes_to_choose_from() {
    for (width, height) in [(80, 24), (160, 50)] {
        let mut picker = Picker::new(60, (width, height));
        let processes = [
            (4242, "go1.24.3 stripped", 1_388, "/srv/api-server --listen :8080"),
            (
                4310,
                "go1.19.8 cgo",
                31,
                "prometheus --config.file=/etc/prometheus/prometheus.yml --web.listen-address=:9090",
            ),
            (5120, "tokio 1.47 + go1.22.1 stripped cgo", 20_000_000, "ingest \u{1b}[31m\u{202e}"),
        ];
        for (pid, runtime, tasks, command) in processes {
            let (runtime, command, age_ns) =
                (runtime.to_owned(), command.to_owned(), u64::from(pid) * 1_000_000_000);
            picker.take(Asked::Readable(Row { pid, age_ns, command, runtime, tasks }));
        }
        (0..7).for_each(|_| picker.take(Asked::Refused));
        picker.on_key(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        let draw = |picker: &Picker| {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            let theme = Theme { color: true, ascii: false };
            terminal.draw(|frame| draw_picker(frame, picker, theme)).unwrap();
            let buffer = terminal.backend().buffer().clone();
            (0..height).map(|y| line(&buffer, y) + "\n").collect::<String>()
        };
        check(&format!("watch-pick-{width}"), &draw(&picker));
        "nobody".chars().for_each(|c| _ = picker.on_key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
        assert!(draw(&picker).contains("no process matches the filter"));
    }
    // No size is too small for it.
    for size in [(1, 1), (3, 2), (20, 5), (40, 6)] {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| draw_picker(frame, &Picker::new(1, size), Theme::default())).unwrap();
    }
}

#[test]
fn holders_of_every_kind_are_listed() {
    let mut dashboard = Dashboard::new(80, 24);
    dashboard.read(samples::convoy());
    for (id, words) in [
        (201, &["holders of 0xc000014040: 2 goroutines", "reads chan receive", "2 of them were found"][..]),
        (210, &["possible holders of 0xc000015000: 1 goroutine", "perhaps chan receive"]),
        (220, &["holds it itself, and so waits for itself", "that 1 goroutine waits for"]),
        (1, &["2 outstanding Done calls"]),
    ] {
        dashboard.press("3");
        dashboard.line(&format!("/id:{id}"));
        dashboard.key(KeyCode::Enter);
        let screen = dashboard.screen();
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(word), "no {word:?} in\n{screen}");
        }
        dashboard.key(KeyCode::Esc);
        dashboard.key(KeyCode::Esc);
    }
}
