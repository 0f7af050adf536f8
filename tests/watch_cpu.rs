//! CPU time while a Go program is watched: whose it is, and that nothing of the sampler is left when it is off.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

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
    let is_covered = |covered: f64| (80.0..=120.0).contains(&covered);
    let is_known = |times: &CpuTimes| times.unknown.total as f64 <= 0.03 * times.all().total as f64;
    // Where the sampler had to wait for a CPU, CPU time and samples of the window do not fit each other, and some samples have
    // no owner any more. A later window is right, and among more samples those are few.
    let mut tries = 0;
    let times = loop {
        match heard.recv().unwrap() {
            CpuNews::Times(times) if times.samples >= wanted => {
                tries += 1;
                if tries > 100 || is_known(&times) && times.coverage().is_some_and(is_covered) {
                    break times;
                }
            }
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
        // By chance, it is exceeded less than once in a million times.
        let interval = 4.0 * (expected * (1.0 - expected) / samples).sqrt() + 0.02;
        eprintln!("{kind}: {share:.3} of the CPU time of {samples:.0} samples, {expected:.3} of the work");
        assert!((share - expected).abs() <= interval, "{kind} has {share:.3}, not {expected:.3}");
    }
    // Everything is accounted for, and the kernel counts the same.
    let sum = table.tasks.window + table.collectors.window + table.absent.window;
    let rest = times.scheduler.window + times.native.window + times.unknown.window;
    assert_eq!(sum + rest, times.all().window);
    assert!(is_known(&times), "{times:#?}");
    let covered = times.coverage().unwrap();
    eprintln!("{covered:.1} % covered, {:?} own", Duration::from_nanos(times.own_ns));
    if times.lost == 0 {
        assert!(is_covered(covered), "{covered} % covered");
    }
    // Off is off. A thread that has ended is in the list of threads for a moment.
    cpu.stop();
    let begin = Instant::now();
    while left(std::process::id()) != (0, 0) {
        assert!(begin.elapsed() < terminal::PATIENCE, "{:?} are left", left(std::process::id()));
        thread::sleep(Duration::from_millis(5));
    }
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

/// Forbids perf events to a command, as the filters of containers do.
fn forbid_perf_events(command: &mut Command) {
    const LOAD_NUMBER: u16 = 0x20;
    const IS_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let steps = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(IS_EQUAL, 0, 1, u32::try_from(libc::SYS_perf_event_open).unwrap()),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut steps = steps;
        let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
        // SAFETY: `program` describes `steps`, which the kernel only reads. Both calls are allowed after fork.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: `install` only makes two system calls.
    unsafe { command.pre_exec(install) };
}

#[test]
fn a_refusal_names_one_cause_and_one_remedy() {
    let fixture = burners();
    let pid = fixture.pid().to_string();
    let arguments = [pid.as_str(), "--interval", "200ms"];
    for columns in [80, 120] {
        let directory = std::env::temp_dir();
        let mut terminal = Terminal::start_by(columns, 24, &directory, &arguments, forbid_perf_events);
        terminal.shows("● live 0.2 s");
        terminal.press("c");
        let screen = terminal.shows("CPU cannot be sampled: loiter runs under a seccomp filter");
        // All of it, whatever the width.
        let flat = terminal
            .until("the remedy", |screen| screen.contains("seccomp=FILE"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        for words in
            ["which forbids perf_event_open. The default filters of containers do.", "--cap-add PERFMON"]
        {
            assert!(flat.contains(words), "no {words:?}:\n{screen}");
        }
        assert!(!flat.contains("--mode"), "{flat}");
        // The next key takes it away. The first line stays.
        terminal.press("2");
        terminal.until("no message", |screen| screen.contains("PER MIN") && !screen.contains("seccomp=FILE"));
        terminal.shows("CPU cannot be sampled: ");
        // Everything else works.
        terminal.shows("main.burnA");
        terminal.press("q");
        assert!(terminal.wait().success());
        terminal.assert_restored();
    }
}

/// A user without capabilities watches a program of its own.
#[test]
fn an_ordinary_user_samples_or_is_told_why_not() {
    const NOBODY: u32 = 65534;
    assert!(nix::unistd::geteuid().is_root(), "this test must be able to become another user");
    let program = build(&Toolchain::get("1.27"), Program::Burners, Flavour::Stripped);
    let mut command = Command::new(program);
    command.arg("all").current_dir("/").uid(NOBODY).gid(NOBODY);
    let own = Owned(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let pid = own.0.id().to_string();
    let as_nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    let mut terminal = Terminal::start_by(120, 24, Path::new("/"), &[&pid, "--interval", "200ms"], as_nobody);
    terminal.shows("● live 0.2 s");
    terminal.press("2c");
    let level: i32 =
        fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap().trim().parse().unwrap();
    match level {
        ..2 => drop(terminal.shows("CPU 99 Hz")),
        2 => drop(terminal.shows("CPU 99 Hz user code")),
        _ => {
            let refused = format!("CPU cannot be sampled: kernel.perf_event_paranoid is {level}");
            terminal.shows(&refused);
            terminal.shows("Try: sudo loiter, or give loiter CAP_PERFMON.");
        }
    }
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
    // The program of another user cannot be watched at all, which is said before the screen changes.
    let others = self::burners();
    let pid = others.pid().to_string();
    let mut terminal = Terminal::start_by(120, 24, Path::new("/"), &[&pid], as_nobody);
    assert_eq!(terminal.wait().code(), Some(3));
    terminal.until_text("belongs to another user (root; loiter runs as nobody)");
    terminal.until_text("Try: sudo loiter, or give loiter CAP_SYS_PTRACE.");
    terminal.assert_restored();
}

/// A program that is killed when this goes.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
    // That of the first program ends by itself, soon.
    let child = terminal.child.id();
    terminal.until("one sampler", |_| left(child).1 == 1);
    terminal.press("q");
    assert!(terminal.wait().success());
    terminal.assert_restored();
}
