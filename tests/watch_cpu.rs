//! CPU time while a Go program is watched: whose it is, and that nothing of the sampler is left when it is off.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use loiter::__test::dashboard::query::{GroupSort, Query, View};
use loiter::__test::dashboard::tables::{Memory, Tables, compute};
use loiter::session::record::{CpuNews, CpuTimes, LiveCpu};
use loiter::session::{ProgramId, Session, SessionOptions, SessionView};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod common;
#[path = "common/server.rs"]
mod server;
#[path = "watch_support/terminal.rs"]
mod terminal;

use common::{Fixture, Flavour, Program, Toolchain, amount, build};
use server::Server;
use terminal::Terminal;

fn burners() -> Fixture {
    Fixture::start(&build(&Toolchain::get("1.27"), Program::Burners, Flavour::Stripped), &["all"])
}

/// What is left of a sampler in a process: its perf events and its threads.
fn left(pid: u32) -> (usize, usize) {
    let entries = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().flatten();
    let is_event = |path: &std::path::Path| path.to_string_lossy().contains("perf_event");
    let events = entries("fd").filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = entries("task").filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    (events.filter(|path| is_event(path)).count(), names.filter(|name| name.trim() == "loiter-cpu").count())
}

fn counts(fixture: &mut Fixture) -> BTreeMap<char, f64> {
    let answer = fixture.ask("work");
    ['a', 'b', 'c'].map(|kind| (kind, answer[kind.to_string()].as_f64().unwrap())).into()
}

/// The groups by kind, with the CPU time that a sampler found.
fn tables(session: &mut Session, view: &mut SessionView, times: &Arc<CpuTimes>) -> Tables {
    assert!(session.wait(|left| {
        thread::sleep(left);
        ControlFlow::Continue(None)
    }));
    let mut picture = view.add(Arc::new(session.read().unwrap()));
    picture.program = session.program();
    let key = "label:kind".parse().unwrap();
    let query = Query { view: View::Groups, key, group_sort: GroupSort::Cpu, ..Query::default() };
    compute(&Arc::new(picture), &Arc::new(query), Some(times), &mut Memory::default())
}

#[test]
fn groups_have_the_cpu_time_of_their_work() {
    let mut fixture = burners();
    let pid = fixture.pid();
    let mut session = Session::open(&pid.to_string().parse().unwrap(), SessionOptions::default()).unwrap();
    let mut view = SessionView::new(false);
    let (out, heard) = mpsc::channel();
    let before = counts(&mut fixture);
    let cpu = LiveCpu::start(ProgramId::of(pid).unwrap(), move |news| _ = out.send(news)).unwrap();
    let wanted = u64::from(amount("LOITER_SAMPLES", 1200, 5000));
    let times = loop {
        match heard.recv().unwrap() {
            CpuNews::Times(times) if times.samples >= wanted => break times,
            CpuNews::Times(_) => assert!(left(std::process::id()).0 > 0),
            other => panic!("{other:?}"),
        }
    };
    let after = counts(&mut fixture);
    let tables = tables(&mut session, &mut view, &times);
    let table = tables.cpu.as_ref().unwrap();
    let rows = &tables.groups.rows;
    let total = |kind: char| {
        let row =
            rows.iter().find(|row| row.name.ends_with(kind) && row.cpu.is_some_and(|cpu| cpu.total > 0));
        row.unwrap_or_else(|| panic!("no row of {kind}: {rows:#?}")).cpu.unwrap().total as f64
    };
    // The group that works most stands first.
    assert!(rows[0].name.ends_with('a'), "{rows:#?}");
    // Each piece of work is the same for all kinds, so CPU time is as work is.
    let work = |kind: &char| after[kind] - before[kind];
    let (pieces, ns): (f64, f64) = ['a', 'b', 'c']
        .iter()
        .fold((0.0, 0.0), |(pieces, ns), kind| (pieces + work(kind), ns + total(*kind)));
    let samples = ns * f64::from(times.rate_hz) / 1e9;
    for kind in ['a', 'b', 'c'] {
        let (share, expected) = (total(kind) / ns, work(&kind) / pieces);
        let interval = 2.58 * (expected * (1.0 - expected) / samples).sqrt() + 0.02;
        eprintln!("{kind}: {share:.3} of the CPU time of {samples:.0} samples, {expected:.3} of the work");
        assert!((share - expected).abs() <= interval, "{kind} has {share:.3}, not {expected:.3}");
    }
    // Everything is accounted for, and the kernel counts the same.
    let sum = table.tasks.window + table.collectors.window + table.absent.window;
    let rest = times.scheduler.window + times.native.window + times.unknown.window;
    assert_eq!(sum + rest, times.all().window);
    assert!(times.unknown.total as f64 <= 0.03 * times.all().total as f64, "{times:#?}");
    let covered = times.coverage().unwrap();
    eprintln!("{covered:.1} % covered, {:?} own", Duration::from_nanos(times.own_ns));
    if times.lost == 0 {
        assert!((80.0..=120.0).contains(&covered), "{covered} % covered");
    }
    // Off is off.
    cpu.stop();
    assert_eq!(left(std::process::id()), (0, 0));
}

#[test]
fn a_sampler_ends_with_its_program() {
    let fixture = burners();
    let program = ProgramId::of(fixture.pid()).unwrap();
    let (out, heard) = mpsc::channel();
    let _cpu = LiveCpu::start(program, move |news| _ = out.send(news)).unwrap();
    assert!(matches!(heard.recv().unwrap(), CpuNews::Times(_)));
    kill(Pid::from_raw(fixture.pid() as i32), Signal::SIGKILL).unwrap();
    while let CpuNews::Times(_) = heard.recv().unwrap() {}
    // Nothing comes after its end.
    assert!(heard.recv().is_err());
    // The same pid, but not the same program.
    let (out, heard) = mpsc::channel();
    let other = ProgramId::of(std::process::id()).unwrap();
    let _cpu = LiveCpu::start(other, move |news| _ = out.send(news)).unwrap();
    match heard.recv().unwrap() {
        // This test is no Go program.
        CpuNews::Failed { why, .. } => {
            assert!(why.contains("no Go runtime") || why.contains("runtime"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_key_samples_and_stops() {
    let fixture = burners();
    let pid = fixture.pid().to_string();
    let mut terminal = Terminal::start(100, 30, &std::env::temp_dir(), &[&pid, "--interval", "200ms"]);
    terminal.shows("● live 0.2 s");
    assert_eq!(left(terminal.child.id()), (0, 0));
    terminal.press("2c");
    terminal.shows("CPU 99 Hz");
    terminal.until("a share of a CPU", |screen| {
        screen.lines().any(|line| line.contains("main.burnA") && line.contains(" %"))
    });
    assert!(left(terminal.child.id()).0 > 0);
    assert_eq!(left(terminal.child.id()).1, 1);
    terminal.press("7");
    terminal.shows("samples by cpu-clock");
    terminal.press("c");
    terminal.shows("CPU sampling is off");
    terminal.until("nothing", |screen| !screen.contains("CPU 99 Hz"));
    // It ends by itself, soon.
    let child = terminal.child.id();
    terminal.until("end of the sampler", |_| left(child) == (0, 0));
    // While it samples, loiter ends as always.
    terminal.press("c");
    terminal.shows("CPU 99 Hz");
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
    // And the program runs on.
    let mut fixture = fixture;
    assert!(counts(&mut fixture)[&'a'] > 0.0);
}

#[test]
fn sampling_goes_on_in_a_program_that_was_restarted() {
    let server = Server::new("sampled");
    let first = server.start();
    let mut terminal =
        Terminal::start(100, 30, &std::env::temp_dir(), &[&first.pid().to_string(), "--interval", "100ms"]);
    terminal.shows("live 0.1 s");
    terminal.press("c");
    terminal.shows("CPU 99 Hz");
    kill(Pid::from_raw(first.pid() as i32), Signal::SIGKILL).unwrap();
    terminal.shows("waiting for a new one");
    let second = server.start();
    terminal.shows(&format!("restarted as pid {}", second.pid()));
    terminal.press("7");
    terminal.shows("CPU 99 Hz");
    assert_eq!(left(terminal.child.id()).1, 1);
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}
