//! `loiter record`: processes and programs, formats, rights, ends.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use loiter::recording::{Clock, End, Recording, Whose, file};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

#[path = "sampler/program.rs"]
mod program;

use program::Program;

const LOITER: &str = env!("CARGO_BIN_EXE_loiter");
/// A user without any rights.
const NOBODY: u32 = 65534;

fn loiter(arguments: &[&str]) -> Output {
    Command::new(LOITER).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `loiter record` with more arguments; it must succeed. The recording that it wrote.
fn record(directory: &Path, arguments: &[&str]) -> Recording {
    let path = directory.join("r.loiter");
    let output = Command::new(LOITER).arg("record").arg("-o").arg(&path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    file::load(&path).unwrap()
}

/// Runs `loiter` with a duration and more arguments. Where a slow machine leaves nothing to record in so short a time, it
/// takes longer.
fn record_something(arguments: &[&str]) -> Output {
    let mut output = loiter(&[arguments, &["-d", "200ms"]].concat());
    for time in ["2s", "20s"] {
        if !text(&output.stderr).contains("nothing to record") {
            break;
        }
        output = loiter(&[arguments, &["-d", time]].concat());
    }
    output
}

fn weight(recording: &Recording, clock: Clock) -> u64 {
    recording.samples.iter().filter(|sample| sample.clock == clock).map(|sample| sample.weight_ns).sum()
}

/// The program in a folder that everybody may read.
fn public(name: &str, from: &Path) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join(name);
    fs::copy(from, &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn a_process_is_recorded_on_every_clock_that_it_has() {
    let program = Program::start(&["spin", "1"]);
    let pid = program.pid().to_string();
    let directory = tempfile::tempdir().unwrap();
    let figures = |cpu: &Recording| (weight(cpu, Clock::Cpu), cpu.header.coverage.cpu_ns.unwrap());
    // On a loaded machine a second has few samples: ten of them are within chance.
    let is_near = |(sampled, used): (u64, u64)| {
        let margin = used / 10 + 10 * 1_000_000_000 / 499;
        sampled.abs_diff(used) < margin
    };
    let mut cpu = record(directory.path(), &[&pid, "-d", "1s", "-F", "499"]);
    // loiter may wait for a CPU between the end of the samples and the look at the process's clock.
    for _ in 0..4 {
        if is_near(figures(&cpu)) {
            break;
        }
        cpu = record(directory.path(), &[&pid, "-d", "1s", "-F", "499"]);
    }
    let (sampled, used) = figures(&cpu);
    assert_eq!(sampled, cpu.header.coverage.cpu_sampled_ns);
    assert!(is_near((sampled, used)), "{sampled} of {used} ns");
    assert_eq!((cpu.header.end, cpu.header.coverage.malformed), (End::Elapsed, 0));
    assert!(cpu.samples.iter().all(|sample| sample.whose == Whose::Native));
    let named = |name: &str| {
        let is = |id: &loiter::code::LocationId| {
            let location = &cpu.code.locations[id.index()];
            location.frames.iter().any(|frame| cpu.code.function_name(frame.function) == name)
        };
        cpu.samples.iter().filter(|sample| cpu.code.stack(sample.stack.unwrap()).iter().any(is)).count()
    };
    assert!(named("burn") * 10 > cpu.samples.len() * 9, "{} of {}", named("burn"), cpu.samples.len());

    let slept = || {
        let off = record(directory.path(), &[&pid, "-d", "1s", "--mode", "off-cpu"]);
        let main = off.threads.iter().position(|thread| thread.tid == program.pid()).unwrap();
        let of_main = off.samples.iter().filter(|s| s.thread.is_some_and(|row| row.index() == main));
        let waited: u64 = of_main.map(|sample| sample.weight_ns).sum();
        (waited, off.header.duration_ns)
    };
    let is_all = |(waited, whole): (u64, u64)| waited.abs_diff(whole) * 20 < whole;
    let mut sleep = slept();
    for _ in 0..4 {
        if is_all(sleep) {
            break;
        }
        sleep = slept();
    }
    let (waited, whole) = sleep;
    assert!(is_all(sleep), "the first thread sleeps for {waited} of {whole} ns");
}

#[test]
fn every_format_is_written_by_the_ending_of_the_name() {
    let program = Program::start(&["spin", "1"]);
    let pid = program.pid().to_string();
    let directory = tempfile::tempdir().unwrap();
    let begins: [(&str, &[u8]); 9] = [
        ("a.svg", b"<?xml"),
        ("a.folded", b""),
        ("a.speedscope.json", b"{"),
        ("a.json.gz", &[0x1f, 0x8b]),
        ("a.pb.gz", &[0x1f, 0x8b]),
        ("a.json", b"{"),
        ("a.txt", b"program"),
        ("a.md", b"# Where the time of `program"),
        ("a.loiter", b"\x8b"),
    ];
    for (name, start) in begins {
        let path = directory.path().join(name);
        let output = record_something(&["record", &pid, "-F", "499", "-o", path.to_str().unwrap()]);
        assert!(output.status.success() && output.stdout.is_empty(), "{name}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(name), "{}", text(&output.stderr));
        let contents = fs::read(&path).unwrap();
        assert!(contents.len() > 40 && contents.starts_with(start), "{name}: {contents:?}");
    }
    let output = loiter(&["record", &pid, "-d", "200ms", "-o", "a.xyz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(".speedscope.json"), "{}", text(&output.stderr));
    let output = record_something(&["record", &pid, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["format"], "loiter-record");
    let file = directory.path().join("a.loiter");
    let file = file.to_str().unwrap();
    for arguments in
        [&["stacks", file, "--format", "markdown"][..], &["diff", file, file, "--format", "markdown"]]
    {
        let output = loiter(arguments);
        assert!(output.status.success() && output.stdout.starts_with(b"# "), "{}", text(&output.stderr));
    }
}

#[test]
fn control_c_ends_a_recording_early_and_keeps_it() {
    let program = Program::start(&["spin", "1"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.loiter");
    let mut stderr = String::new();
    // On a slow machine it takes longer until there are samples.
    for time in [300, 3_000, 30_000].map(Duration::from_millis) {
        if interrupted(program.pid(), &path, time, &mut stderr) {
            break;
        }
    }
    assert!(path.exists(), "{stderr}");
    let recording = file::load(&path).unwrap();
    assert_eq!(recording.header.end, End::Interrupted);
    assert!(weight(&recording, Clock::Cpu) > 0);
}

/// Records a process, and ends that by Ctrl-C after so much time. Returns whether it succeeded; it may only fail because
/// there was nothing to record.
fn interrupted(pid: u32, path: &Path, time: Duration, stderr: &mut String) -> bool {
    let mut child = Command::new(LOITER)
        .args(["record", &pid.to_string(), "-d", "1h", "-F", "499", "-o"])
        .arg(path)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It has its handler, and rings, when it has a file of perf events open.
    let fds = format!("/proc/{}/fd", child.id());
    let samples = |fds: &str| {
        let links = fs::read_dir(fds).into_iter().flatten().flatten();
        links
            .filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.ends_with("anon_inode:[perf_event]")))
            .count()
    };
    while samples(&fds) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(time);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    stderr.clear();
    child.stderr.take().unwrap().read_to_string(stderr).unwrap();
    let succeeded = child.wait().unwrap().success();
    assert!(succeeded || stderr.contains("nothing to record"), "{stderr}");
    succeeded
}

#[test]
fn a_recording_lasts_as_long_as_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let recording = record(directory.path(), &["-F", "999", "--", "sh", "-c", busy]);
    assert_eq!(recording.header.end, End::TargetEnded);
    let (sampled, used) = (weight(&recording, Clock::Cpu), recording.header.coverage.cpu_ns.unwrap());
    assert!(sampled * 100 > used * 80, "{sampled} of {used} ns");

    let output = loiter(&["record", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("loiter: cannot start /no/such/program: No such file"));
    let output = loiter(&["record", "-F", "1", "--", "true"]);
    assert_eq!(output.status.code(), Some(2), "there is nothing in it");
    assert!(text(&output.stderr).contains("nothing to record"), "{}", text(&output.stderr));
}

#[test]
fn a_program_that_becomes_another_one_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    // For so long that loiter gets a CPU meanwhile, and sees its command.
    let busy = "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done";
    let script = format!("exec sh -c '{busy}'");
    let recording = record(directory.path(), &["-F", "999", "--", "sh", "-c", &script]);
    assert_eq!(recording.header.end, End::TargetEnded);
    assert!(recording.header.target.command.last().unwrap().starts_with("i=0"));
    let name =
        |thread: &loiter::recording::SampledThread| recording.code.str(thread.name.unwrap()).to_owned();
    assert!(recording.threads.iter().any(|thread| name(thread) == "sh"), "{:?}", recording.threads);
}

#[test]
fn an_ordinary_user_records_own_processes_and_hears_why_not_others() {
    assert!(nix::unistd::geteuid().is_root(), "this test takes away root's rights: run it as root");
    let (_directory, own_loiter) = public("loiter", Path::new(LOITER));
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new(&own_loiter);
        command.args(arguments).current_dir("/").uid(NOBODY).gid(NOBODY);
        command.output().unwrap()
    };
    let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let output = as_nobody(&["record", "-F", "999", "--json", "--", "sh", "-c", busy]);
    let paranoid: i32 =
        fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap().trim().parse().unwrap();
    if paranoid <= 2 {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(json.to_string().contains("\"every_cpu\":false") || paranoid <= 0, "{json}");
    } else {
        assert_eq!(output.status.code(), Some(3));
    }
    let others = Program::start(&["spin", "1"]);
    let output = as_nobody(&["record", &others.pid().to_string(), "-d", "200ms"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let told = text(&output.stderr);
    assert!(told.contains("user root") && told.lines().count() > 1, "{told}");
}

#[test]
fn what_cannot_be_recorded_is_said() {
    for (arguments, code, why) in [
        (&["record", "4294967295"][..], 4, "there is no process"),
        (&["record", "no-such-process-here"], 4, "no process is named"),
        (&["record", "Cargo.toml"], 4, "no process is named Cargo.toml"),
        (&["record", "-F", "0", "1"], 2, "'--frequency <HZ>'"),
        (&["record", "--max-cpu", "0", "1"], 2, "percentage"),
        (&["record"], 2, "PROCESS"),
    ] {
        let output = loiter(arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(why), "{arguments:?}: {told}");
        assert!(arguments != ["record", "Cargo.toml"] || !told.contains("no such file"), "{told}");
    }
}
