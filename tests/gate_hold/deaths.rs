//! loiter's own processes are killed at random moments: the program ends with its own status.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::common::{amount, random::Random};
use crate::{gate, newest, stderr};

/// What names the processes of one run: all of them inherit it.
const MARK: &str = "LOITER_TEST_RUN";

/// The processes of a run that are not the program, by name: the keeper has a name of its own.
fn helpers(mark: &str, program: u32) -> Vec<(u32, bool)> {
    let wanted = format!("{MARK}={mark}");
    let of_run = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environment.split(|byte| *byte == 0).find(|text| *text == wanted.as_bytes())?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some((pid, name.trim() == "gatekeeper"))
    };
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != program).filter_map(of_run).collect()
}

/// Kills the keeper or the worker after a while, as often as the environment says.
fn kill_one(keeper: bool) {
    let (program, mut random) = (newest(), Random::new(if keeper { 7 } else { 8 }));
    let (runs, mut run, mut killed) = (amount("LOITER_GATE_KILLS", 20, 100), 0, 0);
    // On a slow machine the helpers come later.
    while run < runs || killed == 0 {
        let moments = 60_000_u64 << (run / runs.max(1)).min(8);
        let mark = format!("{}-{keeper}-{run}", std::process::id());
        // It is held for about as long as it runs.
        let mut command = gate(&["--settle", "50ms"], &program, &["exit", "20", "5"]);
        let child = command.env(MARK, &mark).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(moments)));
        // One alone: before the keeper has its name, two are called like the worker.
        let found = helpers(&mark, child.id()).into_iter().find(|(_, is_keeper)| *is_keeper == keeper);
        if let Some((pid, _)) = found {
            killed += u32::from(kill(Pid::from_raw(pid as i32), Signal::SIGKILL).is_ok());
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(5), "run {run}: {}", stderr(&output));
        run += 1;
    }
}

#[test]
fn the_program_ends_although_the_worker_is_killed() {
    kill_one(false);
}

#[test]
fn the_program_ends_although_the_keeper_is_killed() {
    kill_one(true);
}

#[test]
fn the_worker_does_the_keepers_work() {
    let program = newest().canonicalize().unwrap();
    let mark = format!("{}-first", std::process::id());
    let mut command = gate(&[], &program, &["graceful", "2", "0"]);
    let child = command.env(MARK, &mark).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The keeper has its name before the program begins.
    let keeper = loop {
        let found = helpers(&mark, child.id()).into_iter().find(|(_, is_keeper)| *is_keeper);
        let begun = fs::read_link(format!("/proc/{}/exe", child.id())).is_ok_and(|exe| exe == program);
        if let (Some((pid, _)), true) = (found, begun) {
            break pid;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    kill(Pid::from_raw(keeper as i32), Signal::SIGKILL).unwrap();
    let mut child = child;
    let mut line = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("left 2 goroutines"), "{}", stderr(&output));
}

#[test]
fn a_traced_program_ends_although_loiter_is_killed() {
    // The program is left to the nearest process that asks for that, which can wait for it then.
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let (program, mut random) = (newest(), Random::new(9));
    let program = program.to_str().unwrap();
    // The shell tells its pid, and becomes the program.
    let arguments = ["-c", "echo $$; exec \"$@\"", "sh", program, "exit", "20", "5"];
    let mut orphans = 0;
    for run in 0..amount("LOITER_GATE_KILLS", 20, 100) {
        let mut command = gate(&["--how", "ptrace"], Path::new("/bin/sh"), &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        // Half of them before or after the program begins, half of them after.
        if run % 2 == 1 {
            out.read_line(&mut told).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
        // Until all of them have closed it.
        out.read_to_string(&mut told).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.signal() != Some(9) {
            assert_eq!(output.status.code(), Some(5), "run {run}: {}", stderr(&output));
        } else if let Ok(pid) = told.trim().parse() {
            let pid = Pid::from_raw(pid);
            // If loiter was killed after it had seen the end, nobody is left to wait for.
            match waitpid(pid, None) {
                Ok(ended) => assert_eq!(ended, WaitStatus::Exited(pid, 5), "run {run}"),
                Err(error) => assert_eq!(error, nix::errno::Errno::ECHILD, "run {run}"),
            }
            orphans += 1;
        }
    }
    assert!(orphans > 0, "none was hit");
}
