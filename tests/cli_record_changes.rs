//! `loiter record` while its process changes: it becomes another program, ends, maps and unmaps code; and loiter itself is
//! killed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loiter::recording::{Clock, End, Recording, Sample, Whose, file};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod common;
#[path = "sampler/program.rs"]
mod program;

use common::{Fixture, Flavour, QUICK_VERSIONS, Toolchain, build};
use program::Program;

const LOITER: &str = env!("CARGO_BIN_EXE_loiter");
/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
const MODES: [&str; 4] = ["cpu", "off-cpu", "wall", "all"];

fn burners(version: &str) -> PathBuf {
    build(&Toolchain::get(version), common::Program::Burners, Flavour::Plain)
}

/// loiter, recording. It is killed in the end.
struct Recorder {
    child: Child,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Recorder {
    fn start(pid: u32, mode: &str) -> Recorder {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.loiter");
        let mut command = Command::new(LOITER);
        command.args(["record", &pid.to_string(), "-d", "1h", "--mode", mode, "-F", "499", "-o"]).arg(&path);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        Recorder { child, path, _directory: directory }
    }

    /// Waits until it has recorded something: it has its perf events, or has read tasks, and then for a while.
    fn settle(&mut self, mode: &str, while_: Duration) {
        let pid = self.child.id();
        let opened = |what: &str| {
            let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            links.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|to| to.to_string_lossy().contains(what))
        };
        let what = if mode == "wall" { "/mem" } else { "perf_event" };
        while !opened(what) {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(while_);
    }

    /// What it wrote, when it has ended by itself.
    fn wait(mut self) -> Recording {
        let status = self.child.wait().unwrap();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut stderr).unwrap();
        assert!(status.success(), "{stderr}");
        file::load(&self.path).unwrap()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clocks(mode: &str) -> Vec<Clock> {
    if mode == "all" { Clock::ALL.to_vec() } else { vec![Clock::from_name(mode).unwrap()] }
}

fn of(recording: &Recording, clock: Clock) -> impl Iterator<Item = &Sample> {
    recording.samples.iter().filter(move |sample| sample.clock == clock)
}

/// Whether each clock has samples, and the runtime of the program was found.
fn is_whole(recording: &Recording, mode: &str) -> bool {
    recording.header.runtimes.len() == 1
        && clocks(mode).into_iter().all(|clock| of(recording, clock).next().is_some())
}

/// How long is recorded: longer where a slow machine needs longer to read the program, and to get a CPU.
const TIMES: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(50)];

/// Functions of a stack, innermost first.
fn names<'r>(recording: &'r Recording, sample: &Sample) -> Vec<&'r str> {
    let code = &recording.code;
    let stack = sample.stack.map(|stack| code.stack(stack)).unwrap_or_default();
    let frames = stack.iter().flat_map(|id| &code.locations[id.index()].frames);
    frames.map(|frame| code.function_name(frame.function)).collect()
}

/// What `record` records in as little time as is enough.
fn with_time(mode: &str, record: impl Fn(Duration) -> Recording) -> Recording {
    let mut recording = record(TIMES[0]);
    for time in &TIMES[1..] {
        if is_whole(&recording, mode) {
            break;
        }
        recording = record(*time);
    }
    recording
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

#[test]
fn a_process_that_becomes_another_program_ends_its_recording_in_each_mode() {
    let program = burners(QUICK_VERSIONS[1]);
    let record = |mode: &str, time| {
        let mut fixture = Fixture::start(&program, &["all"]);
        let pid = fixture.pid();
        let mut recorder = Recorder::start(pid, mode);
        recorder.settle(mode, time);
        fixture.ask(&format!("exec {} waits", program.display()));
        let recording = recorder.wait();
        assert_ne!(state(pid), 'T', "{mode}");
        recording
    };
    for mode in MODES {
        let recording = with_time(mode, |time| record(mode, time));
        assert_eq!(recording.header.end, End::Replaced, "{mode}");
        assert_eq!(recording.header.runtimes.len(), 1, "{mode}");
        assert_eq!(recording.header.target.command.last().map(String::as_str), Some("all"), "{mode}");
        for clock in clocks(mode) {
            assert!(of(&recording, clock).count() > 0, "{mode}: {clock:?}");
        }
        let of_next = |sample: &&Sample| names(&recording, sample).contains(&"main.nap");
        assert_eq!(recording.samples.iter().filter(of_next).count(), 0, "{mode}: of the next program");
    }
}

#[test]
fn a_process_that_ends_ends_its_recording_in_each_mode() {
    let program = burners(QUICK_VERSIONS[0]);
    let record = |mode: &str, time| {
        let fixture = Fixture::start(&program, &["all"]);
        let mut recorder = Recorder::start(fixture.pid(), mode);
        recorder.settle(mode, time);
        drop(fixture);
        recorder.wait()
    };
    for mode in MODES {
        let recording = with_time(mode, |time| record(mode, time));
        assert_eq!(recording.header.end, End::TargetEnded, "{mode}");
        for clock in clocks(mode) {
            assert!(of(&recording, clock).count() > 0, "{mode}: {clock:?}");
        }
    }
}

/// A program that loiter started becomes another one: tasks belong to the runtime of the program that they were in.
#[test]
fn programs_one_after_another_keep_their_runtimes() {
    let mut recording = two_programs(TIMES[0]);
    for time in &TIMES[1..] {
        // Each clock has samples of tasks of both.
        let has = |clock, runtime| {
            of(&recording, clock).any(|sample| runtime_of(&recording, sample) == Some(runtime))
        };
        if [Clock::Cpu, Clock::Wall].into_iter().all(|clock| has(clock, 0) && has(clock, 1)) {
            break;
        }
        recording = two_programs(*time);
    }
    let versions: Vec<_> =
        recording.header.runtimes.iter().map(|runtime| runtime.version.as_deref()).collect();
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(versions[0] != versions[1], "{versions:?}");
    let warnings = &recording.header.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("was another program before")), "{warnings:?}");
    for clock in [Clock::Cpu, Clock::Wall] {
        // Whose samples are, and when.
        let mut ends = [None; 2];
        let mut begins = [None; 2];
        for sample in of(&recording, clock) {
            let Some(runtime) = runtime_of(&recording, sample) else { continue };
            let (begin, end) = (&mut begins[runtime], &mut ends[runtime]);
            *begin = Some(begin.unwrap_or(u64::MAX).min(sample.at_ns));
            *end = Some(end.unwrap_or(0).max(sample.at_ns));
        }
        assert!(ends[0].unwrap() <= begins[1].unwrap(), "{clock:?}: {begins:?} {ends:?}");
    }
}

/// The number of the runtime whose task a sample is of.
fn runtime_of(recording: &Recording, sample: &Sample) -> Option<usize> {
    let Whose::Task(row) = sample.whose else { return None };
    Some(usize::from(recording.tasks[row.index()].runtime))
}

/// Records the two programs, each for so long.
fn two_programs(time: Duration) -> Recording {
    let [first, last] = QUICK_VERSIONS.map(burners);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.loiter");
    let mut command = Command::new(LOITER);
    command.args(["record", "--mode", "all", "-F", "499", "-o"]).arg(&path).arg("--").arg(&first).arg("all");
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut hears = |what: &str| assert!(lines.any(|line| line.starts_with(what)), "{what}");
    hears("ready");
    std::thread::sleep(time);
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "exec {} all", last.display()).unwrap();
    hears("exec ");
    hears("ready");
    std::thread::sleep(time);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    file::load(&path).unwrap()
}

/// loiter cannot clean up after itself when it is killed: nothing of it may stay.
#[test]
fn killing_loiter_leaves_the_process_as_it_was() {
    let fixture = Fixture::start(&burners(QUICK_VERSIONS[1]), &["all"]);
    let pid = fixture.pid();
    let mut recorder = Recorder::start(pid, "all");
    recorder.settle("all", Duration::from_secs(1));
    recorder.child.kill().unwrap();
    recorder.child.wait().unwrap();
    // The process that holds threads for loiter sees loiter's end, and lets go, as soon as it gets a CPU.
    let begin = Instant::now();
    while is_held(pid) {
        assert!(begin.elapsed() < PATIENCE, "it is still traced or stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It can be recorded again. A machine on which loiter waits long for a CPU loses samples: then once more.
    let record = || {
        let mut recorder = Recorder::start(pid, "all");
        recorder.settle("all", Duration::from_secs(1));
        kill(Pid::from_raw(recorder.child.id().cast_signed()), Signal::SIGINT).unwrap();
        let header = recorder.wait().header;
        (header.end, header.coverage.lost)
    };
    let mut recorded = record();
    for _ in 0..4 {
        if recorded.1 == 0 {
            break;
        }
        recorded = record();
    }
    assert_eq!(recorded, (End::Interrupted, 0));
}

/// Whether a thread of the process is traced or stopped.
fn is_held(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path());
    // A thread may have ended meanwhile.
    let mut all = threads.filter_map(|thread| fs::read_to_string(thread.join("status")).ok());
    all.any(|status| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        field("TracerPid:") != "0" || field("State:").starts_with(['T', 't'])
    })
}

/// A program that loads, runs and unloads two libraries in turn.
fn loads_libraries(directory: &Path) -> PathBuf {
    let source = |name: &str| {
        format!(
            "volatile unsigned long sink;\n\
             __attribute__((noinline)) void in_{name}(long n) {{ for (long i = 0; i < n; i++) sink = sink * 3 + i; }}\n\
             void enter(long n) {{ in_{name}(n); sink++; }}\n"
        )
    };
    for name in ["first", "second"] {
        let (file, library) = (directory.join(format!("{name}.c")), directory.join(format!("{name}.so")));
        fs::write(&file, source(name)).unwrap();
        let mut cc = Command::new("cc");
        let built = cc.args(["-O1", "-g", "-shared", "-fPIC", "-o"]).arg(library).arg(file).status();
        assert!(built.unwrap().success());
    }
    let main = r#"
        #include <dlfcn.h>
        #include <stdio.h>
        #include <stdlib.h>
        static void run(const char *library, long n) {
            void *handle = dlopen(library, RTLD_NOW);
            void (*enter)(long) = dlsym(handle, "enter");
            if (!enter) exit(3);
            enter(n);
            dlclose(handle);
        }
        __attribute__((noinline)) void call_first(void) { run("./first.so", 120000000); __asm__ volatile(""); }
        __attribute__((noinline)) void call_second(void) { run("./second.so", 200000000); __asm__ volatile(""); }
        int main(void) {
            puts("ready");
            fflush(stdout);
            for (;;) { call_first(); call_second(); }
        }
    "#;
    let (file, program) = (directory.join("main.c"), directory.join("main"));
    fs::write(&file, main).unwrap();
    let built = Command::new("cc").args(["-O1", "-g", "-o"]).arg(&program).arg(file).arg("-ldl").status();
    assert!(built.unwrap().success());
    program
}

#[test]
fn code_that_comes_and_goes_is_never_taken_for_other_code() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(loads_libraries(directory.path()));
    command.current_dir(directory.path());
    let program = Program::run(command);
    let mut seen = [[0_u64; 2]; 2];
    let mut unnamed = 0;
    for seconds in [6, 20, 60] {
        (seen, unnamed) = code_seen(program.pid(), Duration::from_secs(seconds));
        assert_eq!((seen[0][1], seen[1][0]), (0, 0), "{seen:?}: code of the other library");
        // Where the program gets little of a CPU it runs for longer.
        if seen[0][0] > 10 && seen[1][1] > 10 {
            break;
        }
    }
    assert!(seen[0][0] > 10 && seen[1][1] > 10, "{seen:?}, {unnamed} without a name");
}

/// For each of the two callers, how many samples are in each of the two libraries; and how many have no name.
fn code_seen(pid: u32, time: Duration) -> ([[u64; 2]; 2], u64) {
    let mut recorder = Recorder::start(pid, "cpu");
    recorder.settle("cpu", time);
    kill(Pid::from_raw(recorder.child.id().cast_signed()), Signal::SIGINT).unwrap();
    let recording = recorder.wait();
    let mut seen = [[0_u64; 2]; 2];
    let mut unnamed = 0;
    for sample in of(&recording, Clock::Cpu) {
        let names = names(&recording, sample);
        let has = |name: &str| names.contains(&name);
        let caller = if has("call_first") {
            0
        } else if has("call_second") {
            1
        } else {
            continue;
        };
        if has("in_first") || has("in_second") {
            seen[caller][usize::from(has("in_second"))] += sample.count;
        } else {
            unnamed += sample.count;
        }
    }
    eprintln!("{seen:?}, {unnamed} without a name of {}", recording.samples.len());
    (seen, unnamed)
}
