//! A program that loiter starts, reads, and ends when loiter ends.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tail::Tail;
use super::{Result, SourceError};
use crate::process;
use crate::runtimes::Readable;

/// loiter gives up on a program that is not readable within this time.
const START: Duration = Duration::from_secs(10);
/// A program that does not end within this time after SIGTERM is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Said in place of the pid of a program that could not be started.
const NOBODY: u32 = 0;

/// Where the output of a program goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramOutput {
    /// To loiter's standard error: both the program's standard output and its standard error.
    Stderr,
    /// Its end is kept, because a dashboard uses the terminal: see [`Program::last_lines`].
    Kept,
}

/// A program that loiter has started. Dropping this ends it.
#[derive(Debug)]
pub struct Program {
    /// The program as the user named it: "./server".
    name: String,
    pid: u32,
    child: Mutex<Child>,
    /// The end of its output, if that could not be shown.
    output: Option<Tail>,
}

impl Program {
    /// Starts a program. Its standard input is loiter's, unless that is a terminal. Signals from the keyboard
    /// (Ctrl-C) do not reach it.
    ///
    /// The kernel ends the program when the thread that called this ends: call it from a thread that lives as
    /// long as the program is needed.
    ///
    /// # Errors
    /// [`SourceError::Io`] if it cannot be started.
    pub fn start(file: &OsStr, arguments: &[OsString], output: ProgramOutput) -> Result<Program> {
        let failed = |source| could_not_start(file, source);
        Self::start_as(file, arguments, output, |command| command.spawn().map_err(failed))
    }

    /// The same, but before the first instruction of the program `meet` is called with its pid, in another thread.
    ///
    /// # Errors
    /// [`SourceError::Io`] if it cannot be started. If `meet` fails, the program is not started.
    pub fn start_met<T: Send, E: Send>(
        file: &OsStr,
        arguments: &[OsString],
        output: ProgramOutput,
        meet: impl FnOnce(u32) -> Result<T, E> + Send,
    ) -> Result<Result<(Program, T), E>> {
        let failed = |source| could_not_start(file, source);
        let mut met = None;
        let started = Self::start_as(file, arguments, output, |command| {
            let (mut there, child_there) = io::pipe().map_err(failed)?;
            let (child_go, mut go) = io::pipe().map_err(failed)?;
            let mut nobody_there = child_there.try_clone().map_err(failed)?;
            let meeting = process::Meeting { there: child_there, go: child_go, starter: go.as_raw_fd() };
            process::meet_before_exec(command, meeting);
            // The call that starts it returns only when it has become itself.
            thread::scope(|scope| {
                let meet = scope.spawn(|| {
                    let mut pid = [0; 4];
                    there.read_exact(&mut pid).ok()?;
                    let outcome = meet(Some(u32::from_ne_bytes(pid)).filter(|&pid| pid != NOBODY)?);
                    if outcome.is_ok() {
                        // It fails if the program was ended meanwhile, which the start then says.
                        let _ = go.write_all(&[1]);
                    }
                    drop(go);
                    Some(outcome)
                });
                let child = command.spawn();
                // If there is no child, nobody else says anything.
                let _ = nobody_there.write_all(&NOBODY.to_ne_bytes());
                met = meet.join().ok().flatten();
                child.map_err(failed)
            })
        });
        match met {
            Some(Err(error)) => Ok(Err(error)),
            Some(Ok(met)) => Ok(Ok((started?, met))),
            None => Err(started.err().unwrap_or_else(|| failed(io::ErrorKind::Interrupted.into()))),
        }
    }

    fn start_as(
        file: &OsStr,
        arguments: &[OsString],
        output: ProgramOutput,
        spawn: impl FnOnce(&mut Command) -> Result<Child>,
    ) -> Result<Program> {
        let name = file.to_string_lossy().into_owned();
        let failed = |source| could_not_start(file, source);
        let mut command = Command::new(file);
        // In its own process group, Ctrl-C does not reach it, and it could not read a terminal.
        command.args(arguments).process_group(0);
        if io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        let mut tail = None;
        if output == ProgramOutput::Kept {
            let (reader, writer) = io::pipe().map_err(failed)?;
            command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
            tail = Some(reader);
        } else {
            command.stdout(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?);
        }
        process::let_us_trace(process::end_with_us(&mut command));
        let child = spawn(&mut command)?;
        // Closes our write end of the pipe, so that the reader sees its end.
        drop(command);
        let output = tail.map(Tail::of);
        Ok(Program { name, pid: child.id(), child: Mutex::new(child), output })
    }

    /// Its pid. While this value exists, no other process gets that pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until its runtime can be read, for a limited time.
    ///
    /// # Errors
    /// It ended before, or cannot be read for a reason other than that it is still starting.
    pub fn wait_until_readable(&self) -> Result<()> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let found = process::open_pid(self.pid).map_err(crate::Error::from);
            let error = match found.and_then(|target| Readable::find(target.as_ref()).map(|_| ())) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let Some(how) = self.ended() {
                let program = self.name.clone();
                return Err(SourceError::ProgramEnded { program, how, output: self.last_lines() });
            }
            // A script may still become the program that it starts.
            let may_pass = error.is_gone()
                || matches!(error, crate::Error::Starting { .. } | crate::Error::NoRuntime { .. });
            if !may_pass || begin.elapsed() >= START {
                let what = format!("pid {} ({}, started by loiter)", self.pid, self.name);
                return Err(SourceError::Target { what, source: error });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// How it ended: "exit status 1", "SIGSEGV". None while it runs.
    pub fn ended(&self) -> Option<String> {
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        status.ok().flatten().map(describe)
    }

    /// The same, after waiting if necessary: its memory disappears shortly before it has ended.
    pub fn ended_within(&self, patience: Duration) -> Option<String> {
        let begin = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || begin.elapsed() >= patience {
                return ended;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it, if it still runs: with SIGTERM and, if it still runs after 5 s, with SIGKILL.
    pub fn end(&self) -> ProgramEnd {
        let said = |how| ProgramEnd { name: self.name.clone(), pid: self.pid, how };
        if let Some(how) = self.ended() {
            return said(End::Before(how));
        }
        let begin = Instant::now();
        // Only loiter waits for it: until then its pid is not reused.
        let signalled = kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGTERM);
        while signalled.is_ok() && begin.elapsed() < FAREWELL {
            if let Some(how) = self.ended() {
                return said(End::Asked(how));
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        said(match child.kill().and_then(|()| child.wait()) {
            Ok(_) => End::Killed,
            Err(error) => End::Failed(error),
        })
    }

    /// The last lines that it printed, if they were [kept](ProgramOutput::Kept).
    pub fn last_lines(&self) -> Vec<String> {
        let Some(output) = &self.output else { return Vec::new() };
        output.lines(|| self.ended().is_some())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a program ended. Displayed, it is a sentence with its name and pid.
#[derive(Debug)]
pub struct ProgramEnd {
    name: String,
    pid: u32,
    how: End,
}

#[derive(Debug)]
enum End {
    /// By itself.
    Before(String),
    /// After SIGTERM.
    Asked(String),
    /// After SIGKILL.
    Killed,
    /// It may still run.
    Failed(io::Error),
}

impl fmt::Display for ProgramEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgramEnd { name, pid, how } = self;
        match how {
            End::Before(how) => write!(f, "{name} (pid {pid}) has ended: {how}"),
            End::Asked(how) => write!(f, "{name} (pid {pid}), which loiter had started, is ended: {how}"),
            End::Killed => {
                let within = FAREWELL.as_secs();
                write!(f, "{name} (pid {pid}) did not end within {within} s of SIGTERM and was killed")
            }
            End::Failed(error) => write!(f, "{name} (pid {pid}) could not be ended: {error}"),
        }
    }
}

fn could_not_start(file: &OsStr, source: io::Error) -> SourceError {
    SourceError::Io { what: format!("cannot start {}", file.to_string_lossy()), source }
}

/// "exit status 1", "SIGSEGV, core dumped".
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.to_string());
            if status.core_dumped() { format!("{name}, core dumped") } else { name }
        }
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn start(script: &str) -> Program {
        Program::start("sh".as_ref(), &["-c".into(), script.into()], ProgramOutput::Stderr).unwrap()
    }

    fn outcome(program: &Program) -> String {
        loop {
            if let Some(how) = program.ended() {
                return how;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn its_end_is_reported() {
        assert_eq!(outcome(&start("exit 3")), "exit status 3");
        assert_eq!(outcome(&start("kill -USR1 $$")), "SIGUSR1");
        let ended = start("exit 3").wait_until_readable().unwrap_err();
        assert!(ended.to_string().contains("sh has ended before it could be read: exit status 3"), "{ended}");
    }

    #[test]
    fn it_ends_with_us() {
        let program = start("exec sleep 1000");
        let pid = program.pid();
        assert!(program.ended().is_none());
        let end = program.end().to_string();
        assert!(end.contains(&format!("sh (pid {pid})")) && end.ends_with("SIGTERM"), "{end}");
        let program = start("exec sleep 1000");
        let directory = format!("/proc/{}", program.pid());
        assert!(std::path::Path::new(&directory).exists());
        drop(program);
        assert!(!std::path::Path::new(&directory).exists());
    }

    #[test]
    fn it_is_met_before_its_first_instruction() {
        let meet = |pid: u32| {
            let exe = std::fs::read_link(format!("/proc/{pid}/exe")).map_err(|e| e.to_string())?;
            let own = std::env::current_exe().map_err(|e| e.to_string())?;
            if exe == own { Ok(pid) } else { Err(format!("it is {} already", exe.display())) }
        };
        let quick = |file: &str| Program::start_met(file.as_ref(), &[], ProgramOutput::Stderr, meet);
        let (program, met) = quick("true").unwrap().unwrap();
        assert_eq!((program.pid(), outcome(&program)), (met, "exit status 0".to_owned()));
        let error = crate::full_text(&quick("/no/such/program").unwrap_err());
        assert!(error.starts_with("cannot start /no/such/program: No such file"), "{error}");
        let refused =
            Program::start_met("false".as_ref(), &[], ProgramOutput::Stderr, |_| Err::<(), _>("no"));
        assert_eq!(refused.unwrap().unwrap_err(), "no");
    }

    #[test]
    fn what_cannot_be_started_is_reported() {
        let start = Program::start("/no/such/program".as_ref(), &[], ProgramOutput::Kept);
        let error = crate::full_text(&start.unwrap_err());
        assert!(error.starts_with("cannot start /no/such/program: No such file"), "{error}");
    }
}
