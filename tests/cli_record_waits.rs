//! `loiter record --mode off-cpu`: many short waits, and whose they are.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use loiter::recording::{Clock, Recording, Sample, Whose, file};
use tempfile::TempDir;

mod common;
#[path = "sampler/program.rs"]
mod program;

use common::{Fixture, Flavour, QUICK_VERSIONS, Toolchain, build};
use program::Program;

const LOITER: &str = env!("CARGO_BIN_EXE_loiter");
/// A user without any rights.
const NOBODY: u32 = 65534;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn loiter(arguments: &[&str]) -> Output {
    Command::new(LOITER).args(arguments).output().unwrap()
}

/// Runs `loiter record` with more arguments; it must succeed. The recording that it wrote.
fn record(directory: &Path, arguments: &[&str]) -> Recording {
    let path = directory.join("r.loiter");
    let mut all = vec!["record", "-o", path.to_str().unwrap()];
    all.extend(arguments);
    let output = loiter(&all);
    assert!(output.status.success(), "{}", text(&output.stderr));
    file::load(&path).unwrap()
}

/// The same for as long as is needed until there is enough to judge: the first of these times on most machines, and longer
/// where the program or loiter waits for a CPU.
fn record_enough(
    directory: &Path,
    arguments: &[&str],
    times: [&str; 3],
    is_enough: impl Fn(&Recording) -> bool,
) -> Recording {
    let record = |time| record(directory, &[arguments, &["-d", time]].concat());
    let mut recording = record(times[0]);
    for time in &times[1..] {
        if is_enough(&recording) {
            break;
        }
        recording = record(*time);
    }
    recording
}

/// The functions of a sample's stack, innermost first.
fn names<'r>(recording: &'r Recording, sample: &Sample) -> Vec<&'r str> {
    let code = &recording.code;
    let stack = sample.stack.map(|stack| code.stack(stack)).unwrap_or_default();
    let frames = stack.iter().flat_map(|id| &code.locations[id.index()].frames);
    frames.map(|frame| code.function_name(frame.function)).collect()
}

fn off_cpu(recording: &Recording) -> impl Iterator<Item = &Sample> {
    recording.samples.iter().filter(|sample| sample.clock == Clock::OffCpu)
}

/// Waits and their time, as far as a condition holds.
fn sum<'r>(samples: impl Iterator<Item = &'r Sample>, is_meant: impl Fn(&Sample) -> bool) -> (u64, u64) {
    let add = |(count, ns), sample: &Sample| (count + sample.count, ns + sample.weight_ns);
    samples.filter(|sample| is_meant(sample)).fold((0, 0), add)
}

/// Waits in a function.
fn waits_in(recording: &Recording, function: &str) -> u64 {
    sum(off_cpu(recording), |sample| names(recording, sample).contains(&function)).0
}

/// Waits that have no owner because too many came at once, or because a loaded machine did not read them in time.
fn excused(recording: &Recording) -> u64 {
    let waits = recording.header.warnings.iter().filter(|warning| warning.contains("no owner"));
    waits.map(|warning| warning.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn every_short_wait_has_the_stack_that_it_began_with() {
    let program = Program::start(&["naps"]);
    let directory = tempfile::tempdir().unwrap();
    let pid = program.pid().to_string();
    let functions = ["nap", "pings", "pongs"];
    let has_all = |recording: &Recording| {
        let (all, _) = sum(off_cpu(recording), |_| true);
        all > 100 && functions.into_iter().all(|function| waits_in(recording, function) > 10)
    };
    let arguments = [pid.as_str(), "--mode", "off-cpu"];
    let recording = record_enough(directory.path(), &arguments, ["1s", "5s", "30s"], has_all);
    let (waits, time) = sum(off_cpu(&recording), |_| true);
    let (unknown, unowned) = sum(off_cpu(&recording), |sample| sample.whose == Whose::Unknown);
    assert!(waits > 100, "{waits}");
    assert!(unknown <= waits / 50 + excused(&recording), "{unknown} of {waits} waits");
    assert!(unowned <= time / 20 || excused(&recording) > 0, "{unowned} of {time} ns");
    for function in functions {
        let is_it = |sample: &Sample| names(&recording, sample).contains(&function);
        let (waits, _) = sum(off_cpu(&recording), is_it);
        assert!(waits > 10, "{function}: {waits}");
        let whole = off_cpu(&recording).filter(|sample| is_it(sample)).all(|sample| {
            names(&recording, sample).iter().any(|name| name.contains("clone"))
                && sample.whose == Whose::Native
        });
        assert!(whole, "{function}: from the thread's beginning on");
    }
    let report = loiter(&["stacks", directory.path().join("r.loiter").to_str().unwrap()]);
    assert!(!text(&report.stdout).contains("waited for 5 ms"), "{}", text(&report.stdout));
}

#[test]
fn with_the_kernel_the_stacks_say_how_they_wait() {
    let program = Program::start(&["naps"]);
    let directory = tempfile::tempdir().unwrap();
    let pid = program.pid().to_string();
    let arguments = [pid.as_str(), "--mode", "off-cpu", "--kernel"];
    let recording = record_enough(directory.path(), &arguments, ["500ms", "5s", "30s"], |recording| {
        waits_in(recording, "nap") > 20
    });
    let in_kernel = |sample: &Sample| {
        let names = names(&recording, sample);
        let nap = names.iter().position(|name| *name == "nap");
        nap.is_some_and(|nap| {
            names[..nap].iter().any(|name| name.contains("nanosleep") && name.contains("_sys_"))
        })
    };
    let naps = waits_in(&recording, "nap");
    let (asleep, _) = sum(off_cpu(&recording), in_kernel);
    assert!(asleep * 10 >= naps * 8 && asleep > 10, "{asleep} of {naps}");
}

#[test]
fn goroutines_that_wait_in_the_kernel_for_a_moment_are_seen() {
    let burners = build(&Toolchain::get(QUICK_VERSIONS[1]), common::Program::Burners, Flavour::Plain);
    let fixture = Fixture::start(&burners, &["waits"]);
    let directory = tempfile::tempdir().unwrap();
    // Naps, and those of known goroutines. What was before the first reading of the goroutines is not known.
    let counts = |recording: &Recording| {
        let late = |sample: &Sample| sample.at_ns > recording.header.duration_ns / 2;
        let nap = |sample: &Sample| late(sample) && names(recording, sample).contains(&"main.nap");
        let of_task = |sample: &Sample| match sample.whose {
            Whose::Task(row) => recording.tasks[row.index()].id.is_some(),
            _ => false,
        };
        let (naps, _) = sum(off_cpu(recording), nap);
        let (owned, _) = sum(off_cpu(recording), |sample| nap(sample) && of_task(sample));
        (naps, owned)
    };
    let is_right = |(naps, owned): (u64, u64)| naps > 100 && owned * 10 >= naps * 7;
    let pid = fixture.pid().to_string();
    // On a slow machine the first reading takes longer, and the naps are fewer.
    let recording =
        record_enough(directory.path(), &[&pid, "--mode", "off-cpu"], ["4s", "15s", "60s"], |recording| {
            is_right(counts(recording))
        });
    let (naps, owned) = counts(&recording);
    assert!(is_right((naps, owned)), "{owned} of {naps}");
}

/// Without rights only threads that are blocked for long are looked at, and the report says so.
#[test]
fn without_rights_waits_without_an_owner_are_counted() {
    assert!(nix::unistd::geteuid().is_root(), "this test takes away root's rights: run it as root");
    let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap();
    assert_eq!(paranoid.trim(), "2", "this test needs the kernel's default of perf_event_paranoid");
    let directory: TempDir = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let copy = |name: &str, from: &Path| {
        let path = directory.path().join(name);
        fs::copy(from, &path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    };
    let (own_loiter, program) = (copy("loiter", Path::new(LOITER)), copy("program", program::built()));
    let mut command = Command::new(&program);
    command.arg("naps").uid(NOBODY).gid(NOBODY);
    let program = Program::run(command);
    let pid = program.pid().to_string();
    let record = |time: &str| {
        let mut command = Command::new(&own_loiter);
        command.args(["record", &pid, "-d", time, "--mode", "off-cpu"]);
        command.current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap()
    };
    let mut output = record("500ms");
    // Where the program gets no CPU meanwhile, nothing is recorded.
    for time in ["5s", "30s"] {
        if output.status.success() {
            break;
        }
        output = record(time);
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.contains("has no known owner") && report.contains("CAP_PERFMON"), "{report}");
}

/// Readings of 100,000 goroutines take longer than the rings of the sampler last.
#[test]
fn nothing_is_lost_while_many_goroutines_are_read() {
    let fixtures = build(&Toolchain::get(QUICK_VERSIONS[1]), common::Program::Fixtures, Flavour::Stripped);
    let fixture = Fixture::start_with(&fixtures, &["parked", "spinners"], &[("COUNT", "100000")]);
    let directory = tempfile::tempdir().unwrap();
    let pid = fixture.pid().to_string();
    let arguments = [&pid, "-d", "3s", "--mode", "all", "-F", "999", "--max-cpu", "100%"];
    let mut recording = record(directory.path(), &arguments);
    // The rings last for a fifth of a second. A machine that gives loiter no CPU for longer loses samples: then once more.
    for _ in 0..4 {
        if recording.header.coverage.lost == 0 {
            break;
        }
        recording = record(directory.path(), &arguments);
    }
    let coverage = &recording.header.coverage;
    assert!(coverage.readings > 0 && coverage.samples > 100, "{coverage:?}");
    assert_eq!((coverage.lost, coverage.malformed), (0, 0), "{coverage:?}");
    let of_wall = recording.samples.iter().filter(|sample| sample.clock == Clock::Wall);
    assert!(of_wall.count() > 100_000);
}
