//! Profiles of time: Go's own are read as `go tool pprof` reads them, loiter's as the recording that they were written
//! from.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use loiter::ErrorKind;
use loiter::analysis::Filter;
use loiter::analysis::recorded::Recorded;
use loiter::code::LocationId;
use loiter::import::{self, Imported};
use loiter::recording::{self, Clock, Recording, Sample, Whose};
use loiter::report::pprof;
use loiter::snapshot::{SourceKind, StackStatus, TaskState};
use loiter::source::{self, Input, OpenOptions, Source};

mod common;
mod samples;

use common::{Flavour, Program, QUICK_VERSIONS, Toolchain, build};

/// The profiles of a program that a version of Go has built.
fn profiles(toolchain: &Toolchain) -> tempfile::TempDir {
    let program = build(toolchain, Program::Profiled, Flavour::Plain);
    let directory = tempfile::tempdir().unwrap();
    assert!(Command::new(program).arg(directory.path()).status().unwrap().success());
    directory
}

fn recording(path: &Path) -> Recording {
    match source::open_any(&Source::File(path.to_owned()), &OpenOptions::default()).unwrap() {
        Input::Recording(recording) => recording,
        Input::Snapshot(_) => panic!("{} is a snapshot", path.display()),
    }
}

fn opened(path: &Path) -> Result<(), source::SourceError> {
    source::open(&Source::File(path.to_owned()), &OpenOptions::default()).map(|_| ())
}

/// Nanoseconds by function: of its own, and with what it calls.
type Times = BTreeMap<String, (u64, u64)>;

fn names(recording: &Recording, id: LocationId) -> impl Iterator<Item = &str> {
    let frames = &recording.code.locations[id.index()].frames;
    frames.iter().map(|frame| recording.code.function_name(frame.function))
}

fn times(recording: &Recording) -> Times {
    let mut times = Times::new();
    for sample in &recording.samples {
        let stack = recording.code.stack(sample.stack.unwrap());
        let all: Vec<&str> = stack.iter().flat_map(|&id| names(recording, id)).collect();
        times.entry(all[0].to_owned()).or_default().0 += sample.weight_ns;
        for name in all.into_iter().collect::<BTreeSet<_>>() {
            times.entry(name.to_owned()).or_default().1 += sample.weight_ns;
        }
    }
    times
}

/// What `go tool pprof -top` says: total, and times by function.
fn top(toolchain: &Toolchain, path: &Path) -> (u64, Times) {
    let arguments = ["-top", "-unit=ns", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0"];
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).chain([path.as_os_str()]).collect();
    let output = toolchain.pprof(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let ns = |text: &str| text.trim_end_matches("ns").parse::<u64>().unwrap();
    let total = text.lines().find_map(|line| line.split_once("% of ")?.1.strip_suffix(" total")).unwrap();
    let (_, rows) = text.split_once("cum%\n").unwrap();
    let rows = rows.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[5].to_owned(), (ns(words[0]), ns(words[3])))
    });
    (ns(total), rows.collect())
}

fn total(recording: &Recording) -> u64 {
    recording.samples.iter().map(|sample| sample.weight_ns).sum()
}

/// The outermost function of a sample's stack.
fn root<'r>(recording: &'r Recording, sample: &Sample) -> &'r str {
    let &last = recording.code.stack(sample.stack.unwrap()).last().unwrap();
    names(recording, last).last().unwrap()
}

fn labels(recording: &Recording, sample: &Sample) -> Vec<(String, String)> {
    let set = sample.labels.map(|id| &recording.code.label_sets[id.index()].pairs);
    let text = |id| recording.code.str(id).to_owned();
    set.into_iter().flatten().map(|&(key, value)| (text(key), text(value))).collect()
}

#[test]
fn gos_cpu_profile_has_the_times_that_gos_tool_shows() {
    for version in QUICK_VERSIONS {
        let toolchain = Toolchain::get(version);
        let directory = profiles(&toolchain);
        let path = directory.path().join("cpu.pb.gz");
        let read = recording(&path);
        assert_eq!(read.header.warnings, [""; 0]);
        assert_eq!(read.header.target.source, SourceKind::Profile);
        assert!(read.header.target.exe.as_ref().is_some_and(|exe| exe.contains("profiled-go")));
        let found = read.header.runtimes[0].version.clone();
        assert!(found.is_none_or(|found| toolchain.full_version.starts_with(&found)));
        assert!(read.header.started_at_ns.is_some() && read.header.duration_ns > 0);
        let clock = &read.header.clocks[0];
        assert_eq!(
            (clock.clock, clock.period_ns, clock.event.as_str()),
            (Clock::Cpu, Some(10_000_000), "cpu/nanoseconds")
        );

        let (theirs_total, theirs) = top(&toolchain, &path);
        assert_eq!(total(&read), theirs_total, "{version}");
        assert_eq!(read.header.coverage.cpu_sampled_ns, theirs_total);
        assert_eq!(read.header.coverage.samples * 10_000_000, theirs_total);
        let ours = times(&read);
        assert!(ours.contains_key("main.hash"), "{ours:?}");
        assert_eq!(ours, theirs, "{version}");
    }
}

#[test]
fn a_sample_of_gos_cpu_profile_is_of_the_goroutines_that_its_stack_shows() {
    for version in QUICK_VERSIONS {
        let toolchain = Toolchain::get(version);
        let read = recording(&profiles(&toolchain).path().join("cpu.pb.gz"));
        let (mut known, mut cut) = (0, 0);
        for sample in &read.samples {
            assert_eq!((sample.clock, sample.state), (Clock::Cpu, TaskState::Running));
            let root = root(&read, sample);
            match sample.whose {
                Whose::Task(task) => {
                    let task = read.tasks[task.index()];
                    assert_eq!(read.code.function_name(task.entry.unwrap()), root);
                    if root == "main.worker" {
                        assert!(!task.system);
                        // Both workers look at the time that they have used; only one hashes here.
                        let stack = read.code.stack(sample.stack.unwrap());
                        let has = |wanted: &str| {
                            stack.iter().any(|&at| names(&read, at).any(|name| name == wanted))
                        };
                        let hashes = has("main.hash");
                        // It has its label a little after it begins, and has it no more in the end.
                        if !hashes && !has("main.used") && labels(&read, sample).is_empty() {
                            continue;
                        }
                        known += 1;
                        let routes: &[&str] = if hashes { &["/orders"] } else { &["/orders", "/users"] };
                        let [(key, value)] = labels(&read, sample).try_into().unwrap();
                        assert!(key == "route" && routes.contains(&value.as_str()), "{value}");
                    }
                }
                _ if root == "main.deep" => {
                    cut += 1;
                    assert_eq!((sample.whose, sample.stack_status), (Whose::Unknown, StackStatus::Truncated));
                    assert_eq!(labels(&read, sample), [("route".to_owned(), "/users".to_owned())]);
                }
                _ => assert!(root.starts_with("runtime"), "{root}"),
            }
        }
        assert!(known > 0 && cut > 0, "{version}: {known} {cut}");
    }
}

#[test]
fn gos_block_profile_is_time_off_cpu_and_its_mutex_profile_is_refused() {
    for version in QUICK_VERSIONS {
        let toolchain = Toolchain::get(version);
        let directory = profiles(&toolchain);
        let path = directory.path().join("block.pb.gz");
        let read = recording(&path);
        assert_eq!(read.header.warnings.len(), 1, "{:?}", read.header.warnings);
        let (theirs_total, theirs) = top(&toolchain, &path);
        assert_eq!((total(&read), times(&read)), (theirs_total, theirs));
        assert!(read.samples.iter().all(|s| (s.clock, s.state) == (Clock::OffCpu, TaskState::Waiting)));
        let waits = times(&read);
        for function in ["main.lockUp", "main.receive"] {
            assert!(waits[function].1 >= 20_000_000, "{waits:?}");
        }

        let error = |name: &str| {
            let path = directory.path().join(name);
            loiter::full_text(&source::open_any(&Source::File(path), &OpenOptions::default()).unwrap_err())
        };
        assert!(error("mutex.pb.gz").contains("a mutex profile"), "{}", error("mutex.pb.gz"));
        assert!(error("heap.pb.gz").contains("a profile of alloc_objects/count"), "{}", error("heap.pb.gz"));
        opened(&directory.path().join("goroutine.pb.gz")).unwrap();
        let wants_snapshot = opened(&path).unwrap_err();
        assert_eq!(wants_snapshot.kind(), ErrorKind::Unsupported);
        assert!(wants_snapshot.to_string().contains("is a recording"), "{wants_snapshot}");
    }
}

#[test]
fn a_recording_that_was_saved_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.loiter");
    let made = samples::recording::server(&Clock::ALL, 0);
    recording::file::save(&made, &path).unwrap();
    assert_eq!(recording(&path), made);
    assert!(opened(&path).unwrap_err().to_string().ends_with(
        "a.loiter is a recording: it says where time went, not which tasks there were at one moment"
    ));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let error = loiter::full_text(&opened(&path).unwrap_err());
    assert!(error.ends_with("the recording is cut short: it ends in its tables"), "{error}");
}

/// Weight and count by clock, by whose time it is and by labels.
fn sums(recording: &Recording) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for sample in &recording.samples {
        let task = match sample.whose {
            Whose::Task(task) => format!("task {:?}", recording.tasks[task.index()].id),
            other => format!("{other:?}"),
        };
        let tid = sample.thread.map(|row| recording.threads[row.index()].tid);
        let reason = sample.reason.map(|id| recording.code.str(id));
        let labels = labels(recording, sample);
        let key = format!("{} {task} {tid:?} {:?} {reason:?} {labels:?}", sample.clock.name(), sample.state);
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + sample.count, sum.1 + sample.weight_ns);
    }
    sums
}

#[test]
fn what_loiter_writes_as_a_profile_it_reads_as_a_recording() {
    let made = samples::recording::server(&Clock::ALL, 0);
    let mut bytes = Vec::new();
    let filter = Filter { system: true, ..Filter::default() };
    pprof::write_recording_raw(&Recorded::new(&made), &filter, &mut bytes).unwrap();
    let Imported::Recording(read) = import::read_any(&bytes).unwrap() else { panic!("a snapshot") };
    assert_eq!(sums(&read), sums(&made));
    let mut header = made.header.clone();
    header.target.source = SourceKind::Profile;
    header.time_step_ns = header.duration_ns;
    assert_eq!(read.header, header);
}
