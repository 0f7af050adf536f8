//! Nothing that is unfinished stays when loiter is ended: files, directories, servers; and the limit on the
//! size of files is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use loiter::snapshot::file;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

mod samples;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
const ENDING: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGXCPU,
    Signal::SIGALRM,
    Signal::SIGPROF,
];

/// Those that whoever started the test does not ignore, as shells do for what runs in the background.
fn ending() -> Vec<Signal> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(mask, 16).unwrap();
    ENDING.into_iter().filter(|&signal| ignored >> (signal as i32 - 1) & 1 == 0).collect()
}

fn loiter(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    command.args(arguments).current_dir(directory).env("TMPDIR", directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn wait(child: &mut Child) -> std::process::ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Numbers that look like chance, and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn a_signal_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.loiter");
    file::save(&samples::many(20_000), &path).unwrap();
    // How long it takes here, and a little more. It may have to wait for a CPU: the shortest of three counts.
    let time = || {
        let begin = Instant::now();
        let converted = loiter(directory.path(), &["convert", "in.loiter", "out.loiter"]).status();
        assert!(converted.unwrap().success());
        begin.elapsed().as_micros() as u64 * 5 / 4
    };
    let takes = (0..3).map(|_| time()).min().unwrap();
    let mut random = Random(1);
    let (signals, mut ended) = (ending(), 0);
    for (nth, out) in ["out.loiter", "out.pb.gz", "out.json", "out.txt"].iter().cycle().enumerate() {
        if nth >= 200 && ended > 20 {
            break;
        }
        let out = &*format!("{nth}-{out}");
        if nth % 2 > 0 {
            fs::write(directory.path().join(out), "old").unwrap();
        }
        let mut child = loiter(directory.path(), &["convert", "in.loiter", out]).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.below(takes)));
        let signal = signals[nth % signals.len()];
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let status = wait(&mut child);
        if status.code().is_none() {
            assert_eq!(status.signal(), Some(signal as i32));
            ended += 1;
        }
        let hidden: Vec<_> =
            names(directory.path()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{out} {signal}: {hidden:?}");
        let _ = fs::remove_file(directory.path().join(out));
    }
}

#[test]
fn too_large_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    file::save(&samples::many(20_000), &directory.path().join("in.loiter")).unwrap();
    for arguments in
        ["convert in.loiter out.json", "flame in.loiter -o out.svg", "stacks in.loiter --each > out.txt"]
    {
        let script = format!("ulimit -f 8; exec {} {arguments}", env!("CARGO_BIN_EXE_loiter"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {:?} {told}", output.status);
        assert!(told.contains("File too large"), "{arguments}: {told}");
        let _ = fs::remove_file(directory.path().join("out.txt"));
        assert_eq!(names(directory.path()), ["in.loiter"], "{arguments}");
    }
}

#[test]
fn the_tour_leaves_nothing_when_it_is_ended() {
    let mut random = Random(7);
    for (nth, signal) in ending().into_iter().chain([Signal::SIGTERM; 4]).enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = loiter(directory.path(), &["demo"]);
        // A group of its own, so that only the tour gets the signal.
        let mut child = command.process_group(0).spawn().unwrap();
        let begin = Instant::now();
        // At first as soon as there is something, then at any moment.
        while names(directory.path()).is_empty() {
            assert!(begin.elapsed() < PATIENCE && child.try_wait().unwrap().is_none());
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(random.below(1 + nth as u64 * 300)));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(wait(&mut child).signal(), Some(signal as i32), "{signal}");
        assert_eq!(names(directory.path()), [""; 0], "{signal}");
        let group = child.id();
        // Its server and whatever command was running are in its group.
        let begin = Instant::now();
        while members(group) > 0 {
            assert!(begin.elapsed() < PATIENCE, "something of the tour still runs");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Processes of a group that have not ended.
fn members(group: u32) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect();
        (fields.first()? != "Z" && *fields.get(2)? == group.to_string()).then_some(())
    });
    processes.count()
}
