//! What loiter writes for the Firefox Profiler, read by the Firefox Profiler: its authors publish it as a program for the
//! command line, which loads a file as the web page does.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use loiter::analysis::Filter;
use loiter::analysis::recorded::{Functions, Recorded, functions};
use loiter::recording::{Clock, Recording, Whose};
use loiter::report::firefox;
use loiter::snapshot::TaskState;
use serde_json::Value;
use tempfile::TempDir;

mod common;
mod samples;

use common::target_dir;
use samples::recording::{hostile, server};

/// A file that the Profiler has loaded.
struct Profiler {
    home: PathBuf,
    directory: TempDir,
}

impl Profiler {
    fn load(recording: &Recording) -> Profiler {
        let home = target_dir().join("toolchains/firefox-profiler");
        assert!(
            home.join("version").exists(),
            "no Firefox Profiler here: run `scripts/toolchains firefox-profiler`"
        );
        let profiler = Profiler { home, directory: tempfile::tempdir().unwrap() };
        let path = profiler.directory.path().join("recorded.json.gz");
        let out = File::create(&path).unwrap();
        firefox::write(recording, &Recorded::new(recording), &Filter::default(), out).unwrap();
        profiler.run(&["load".as_ref(), path.as_os_str()]);
        profiler
    }

    /// What it answers on standard output. It has a daemon, which has the file.
    fn run(&self, arguments: &[&std::ffi::OsStr]) -> String {
        let output = Command::new(self.home.join("node"))
            .arg(self.home.join("profiler-cli.js"))
            .args(arguments)
            .env("PROFILER_CLI_SESSION_DIR", self.directory.path().join("sessions"))
            // It never asks anybody for symbols, and has all the time that it needs.
            .env("PROFILER_CLI_NO_SYMBOLICATE", "1")
            .env("PROFILER_CLI_LOAD_TIMEOUT_MS", "600000")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaints}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn ask(&self, question: &str) -> Value {
        let words = question.split(' ').chain(["--json"]).map(AsRef::as_ref).collect::<Vec<_>>();
        let answer = self.run(&words);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{question}: {error}: {answer}"))
    }

    /// The tracks of threads, or those of tasks: the handle and what is said of each.
    fn tracks(&self, process: &str) -> Vec<(String, Value)> {
        let all = self.ask("thread list");
        let of = all["threads"].as_array().unwrap().iter();
        of.filter(|track| track["processName"].as_str().unwrap().ends_with(process))
            .map(|track| (track["threadHandle"].as_str().unwrap().to_owned(), track.clone()))
            .collect()
    }
}

impl Drop for Profiler {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run(&["stop".as_ref(), "--all".as_ref()]);
        }
    }
}

/// Milliseconds by name of function: own time, and with what it calls.
type Times = BTreeMap<String, [f64; 2]>;

fn add(times: &mut Times, name: &str, [own, all]: [f64; 2]) {
    let sum = times.entry(name.to_owned()).or_default();
    *sum = [sum[0] + own, sum[1] + all];
}

/// The times of functions in these tracks, as the Profiler has them.
fn shown(profiler: &Profiler, tracks: &[(String, Value)]) -> Times {
    let mut times = Times::new();
    for (handle, track) in tracks {
        let answer = profiler.ask(&format!("thread functions --thread {handle} --limit 100000"));
        let functions = answer["functions"].as_array().unwrap();
        assert_eq!(functions.len() as u64, answer["totalFunctionCount"].as_u64().unwrap(), "{track}");
        for function in functions {
            let time = |key: &str| function[key].as_f64().unwrap();
            add(&mut times, function["name"].as_str().unwrap(), [time("selfSamples"), time("totalSamples")]);
        }
    }
    times
}

/// The same, as loiter has them.
fn counted(recorded: &Recorded, clock: Clock) -> Times {
    let Functions { functions, without_stack, .. } = functions(recorded, clock, &Filter::default());
    let ms = |ns: u64| ns as f64 / 1e6;
    let mut times = Times::new();
    for time in functions {
        let name = recorded.snapshot.function_name(time.function);
        add(&mut times, name, [ms(time.flat.ns), ms(time.cumulative.ns)]);
    }
    if without_stack.ns > 0 {
        add(&mut times, "(stack unknown)", [ms(without_stack.ns); 2]);
    }
    times
}

/// `machinery`: loiter gives the time of what the runtime calls to wait to the program's function, the Profiler does not.
fn assert_equal(shown: &Times, counted: &Times, machinery: &[&str]) {
    let names = shown.keys().filter(|name| !machinery.contains(&name.as_str()));
    assert!(names.eq(counted.keys()), "{shown:#?}\n{counted:#?}");
    for (name, [own, all]) in counted {
        let [its_own, its_all] = if machinery.is_empty() { shown[name] } else { [*own, shown[name][1]] };
        assert!(
            (own - its_own).abs() < 1e-3 && (all - its_all).abs() < 1e-3,
            "{name}: {shown:#?}\n{counted:#?}"
        );
    }
}

/// The CPU time of tracks, milliseconds.
fn cpu_ms(tracks: &[(String, Value)]) -> f64 {
    tracks.iter().map(|(_, track)| track["cpuMs"].as_f64().unwrap()).sum()
}

#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn it_shows_the_time_of_each_function_and_the_cpu_time_of_each_track() {
    let recording = server(&Clock::ALL, 0);
    let profiler = Profiler::load(&recording);
    let recorded = Recorded::new(&recording);
    let total = functions(&recorded, Clock::Cpu, &Filter::default()).total.ns as f64 / 1e6;
    for process in ["threads", "tasks"] {
        let tracks = profiler.tracks(process);
        assert_equal(&shown(&profiler, &tracks), &counted(&recorded, Clock::Cpu), &[]);
        assert!((cpu_ms(&tracks) - total).abs() < 1e-3, "{process}: {} of {total} ms", cpu_ms(&tracks));
    }

    // Without samples on CPU the readings are there, and nothing says how busy anything was.
    let recording = server(&[Clock::Wall], 0);
    let profiler = Profiler::load(&recording);
    let tracks = profiler.tracks("tasks");
    assert_equal(
        &shown(&profiler, &tracks),
        &counted(&Recorded::new(&recording), Clock::Wall),
        &["runtime.gopark"],
    );
    assert!(profiler.tracks("threads").is_empty() && cpu_ms(&tracks) == 0.0);
}

#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn it_shows_each_wait_with_its_stack() {
    let recording = server(&Clock::ALL, 0);
    let profiler = Profiler::load(&recording);
    for (process, clock) in [("threads", Clock::OffCpu), ("tasks", Clock::Wall)] {
        let (mut all, mut with_stack, mut ms) = (0, 0, 0.0);
        for (handle, _) in profiler.tracks(process) {
            let answer = profiler.ask(&format!("thread markers --thread {handle} --list --limit 100000"));
            let markers = answer["flatMarkers"].as_array().unwrap();
            assert_eq!(markers.len() as u64, answer["totalMarkerCount"].as_u64().unwrap());
            for marker in markers {
                (all, ms) = (all + 1, ms + marker["duration"].as_f64().unwrap());
                with_stack += u64::from(marker["hasStack"].as_bool().unwrap());
            }
        }
        let waits: Vec<_> = (recording.samples.iter())
            .filter(|sample| sample.clock == clock)
            // Idle threads are of no interest.
            .filter(|sample| sample.whose != Whose::Scheduler)
            .filter(|sample| clock == Clock::OffCpu || sample.state != TaskState::Running)
            .collect();
        let expected: u64 = waits.iter().map(|sample| sample.weight_ns).sum();
        let stacks = waits.iter().filter(|sample| sample.stack.is_some()).count() as u64;
        assert_eq!((all, with_stack), (waits.len(), stacks), "{process}");
        assert!(stacks > 0 && (ms - expected as f64 / 1e6).abs() < 1e-3, "{process}: {ms} of {expected} ns");
    }
}

#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn it_loads_hostile_and_empty_recordings() {
    for recording in [hostile(), server(&[], 0)] {
        let profiler = Profiler::load(&recording);
        let info = profiler.ask("profile info --all");
        let tracks = profiler.tracks("").len() as u64;
        assert_eq!(info["threadCount"].as_u64().unwrap(), tracks);
        for (handle, _) in profiler.tracks("") {
            profiler.ask(&format!("thread samples --thread {handle}"));
            profiler.ask(&format!("thread markers --thread {handle}"));
        }
    }
}
