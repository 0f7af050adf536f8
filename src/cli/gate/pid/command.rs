//! Runs the command for a trip.
//!
//! One command after the other, on a thread of its own, while the process is read on. Nothing is left running: after
//! the time limit the command is killed; and when it has ended, so is what it has started and left in its process
//! group. If loiter itself is killed, the kernel ends the command.

use std::io::{self, PipeReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::ending::Unfinished;
use crate::process;
use crate::report::trip::CommandEnd;
use crate::source::Tail;

/// How long a command may run.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// The command of `--on-trip`.
#[derive(Debug, Clone)]
pub(super) struct OnTrip {
    pub(super) command: String,
    /// A shell runs it.
    pub(super) shell: bool,
}

/// A trip.
struct Job {
    report: Option<PathBuf>,
    sentence: String,
}

/// Commands that run, and will.
#[derive(Debug)]
pub(super) struct Commands {
    jobs: Option<Sender<Job>>,
    ended: Receiver<CommandEnd>,
}

impl Commands {
    pub(super) fn new(on_trip: OnTrip) -> Self {
        let (jobs, todo) = channel::<Job>();
        let (done, ended) = channel();
        // The kernel ends a command when the thread that started it ends.
        thread::spawn(move || {
            for job in todo {
                if done.send(run(&on_trip, &job, LIMIT)).is_err() {
                    break;
                }
            }
        });
        Commands { jobs: Some(jobs), ended }
    }

    /// Has the command run for a trip.
    pub(super) fn run(&mut self, report: Option<PathBuf>, sentence: String) {
        // The thread lives as long as this sender.
        self.jobs.iter().for_each(|jobs| {
            let _ = jobs.send(Job { report: report.clone(), sentence: sentence.clone() });
        });
    }

    /// The commands that have ended since the last call.
    pub(super) fn ended(&self) -> Vec<CommandEnd> {
        self.ended.try_iter().collect()
    }

    /// Waits for all commands. No other one can be run after this.
    pub(super) fn wait(&mut self) -> Vec<CommandEnd> {
        self.jobs = None;
        self.ended.iter().collect()
    }
}

fn run(on_trip: &OnTrip, job: &Job, limit: Duration) -> CommandEnd {
    let begin = Instant::now();
    let report = job.report.as_deref();
    let (how, succeeded, output) = match start(on_trip, report, &job.sentence) {
        Ok((child, pipe)) => {
            let output = Tail::of(pipe);
            let (how, succeeded) = watch(child, limit);
            (how, succeeded, output.lines(|| true))
        }
        Err(error) => (format!("it cannot be started: {error}"), false, Vec::new()),
    };
    let took_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    CommandEnd { command: on_trip.command.clone(), how, succeeded, took_ns, output }
}

fn start(on_trip: &OnTrip, report: Option<&Path>, sentence: &str) -> io::Result<(Child, PipeReader)> {
    let mut command = if on_trip.shell {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(&on_trip.command).arg("loiter");
        shell
    } else {
        let mut words = on_trip.command.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    };
    let (reader, writer) = io::pipe()?;
    command.args(report).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    // Names of the target are in the sentence: it must not get the better of a terminal or a log.
    command.env("LOITER_TRIP", &*crate::report::escape(sentence));
    match report {
        Some(report) => command.env("LOITER_REPORT", report),
        None => command.env_remove("LOITER_REPORT"),
    };
    let child = process::end_with_us(&mut command).spawn()?;
    Ok((child, reader))
}

/// Waits for the end of a command, and ends everything of it. Returns how it ended, and whether that is well.
fn watch(mut child: Child, limit: Duration) -> (String, bool) {
    let begin = Instant::now();
    let note = Unfinished::child(child.id());
    let pid = Pid::from_raw(child.id().cast_signed());
    // It is not waited for yet: its pid stays that of its group.
    let over = || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(pid), flags), Ok(WaitStatus::StillAlive))
    };
    while !over() && begin.elapsed() < limit {
        thread::sleep(LOOK);
    }
    let killed = !over();
    // The group may be gone already.
    let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
    let status = child.wait();
    drop(note);
    match status {
        Ok(_) if killed => (format!("killed, because it ran for {} s", limit.as_secs()), false),
        Ok(status) => (describe(status), status.success()),
        Err(error) => (format!("its end is not known: {error}"), false),
    }
}

/// "exit status 1", "SIGSEGV".
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(Ok(signal))) => signal.to_string(),
        (None, _) => status.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn ended(command: &str, shell: bool, limit: Duration) -> CommandEnd {
        let job = Job { report: Some("/tmp/a report".into()), sentence: "all\x1b[31m: 3".to_owned() };
        run(&OnTrip { command: command.to_owned(), shell }, &job, limit)
    }

    #[test]
    fn a_command_gets_the_report_without_a_shell() {
        let end = ended("printf %s| a;b $HOME", false, LIMIT);
        assert_eq!((end.how.as_str(), end.succeeded), ("exit status 0", true));
        assert_eq!(end.output, ["a;b|$HOME|/tmp/a report|"]);
        let end = ended("/no/such/command now", false, LIMIT);
        assert!(end.how.starts_with("it cannot be started: No such file") && !end.succeeded, "{end:?}");
    }

    #[test]
    fn a_shell_runs_it_if_asked() {
        let end = ended("echo \"$1\"; echo $LOITER_REPORT >&2; echo \"$LOITER_TRIP\"; exit 3", true, LIMIT);
        assert_eq!((end.how.as_str(), end.succeeded), ("exit status 3", false));
        assert_eq!(end.output, ["/tmp/a report", "/tmp/a report", "all\\x1b[31m: 3"]);
        assert_eq!(ended("kill -USR1 $$", true, LIMIT).how, "SIGUSR1");
    }

    #[test]
    fn nothing_is_left_running() {
        // It ignores SIGTERM, and has a child that outlives it. On a slow machine it needs longer to say anything.
        let script = "trap '' TERM; sleep 1000 & echo $!; wait";
        let limits = [300, 5_000, 60_000].map(Duration::from_millis);
        let mut ends = limits.into_iter().map(|limit| ended(script, true, limit));
        let end = ends.find(|end| !end.output.is_empty()).unwrap();
        assert!(end.how.starts_with("killed, because it ran for"), "{end:?}");
        let child: i32 = end.output.concat().trim().parse().unwrap();
        gone(child);
        let end = ended("sleep 1000 & echo $!", true, LIMIT);
        assert!(end.succeeded);
        gone(end.output.concat().trim().parse().unwrap());
    }

    /// Waits until a killed process is gone, or is only waited for.
    fn gone(pid: i32) {
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !state().is_empty() && !state().contains(") Z ") {
            thread::sleep(LOOK);
        }
    }

    #[test]
    fn the_end_of_the_output_is_kept() {
        let end = ended("seq 1 20000", true, LIMIT);
        assert_eq!(end.output.len(), 20);
        assert_eq!(end.output.last().map(String::as_str), Some("20000"));
    }
}
