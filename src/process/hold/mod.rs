//! Holding a program at its end, while its memory is still there.
//!
//! *In place* ([`fork`]): the process that the caller started becomes the program, so that pid, parent, group, terminal
//! and wait status are the program's own. Before that, it forks a keeper and a worker, each in a session of its own,
//! and installs a filter that turns the call which ends a process (`exit_group`) into a question to the keeper
//! (`filter`). The keeper tells the worker, the worker reads the program and says go on. Whatever happens to one of
//! them, the other one answers; if both are gone, the call fails for ever. Both end when the last process with the
//! filter has ended.
//!
//! *Traced* (`traced`): where the filter is refused. loiter stays the parent and traces the main thread, which stops
//! when the process is about to end.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execvpe, getpid};

mod apart;
mod begun;
mod desk;
mod filter;
mod keeper;
mod line;
mod shared;
mod status;
mod traced;
mod worker;

use desk::Desk;
use line::{Line, Received};
use shared::Page;
pub(crate) use traced::{End, Traced, end_as};
pub(crate) use worker::{Event, Worker};

/// The name of the keeper. It is not that of loiter: whoever ends all of loiter's processes by name leaves it.
const KEEPER: &std::ffi::CStr = c"gatekeeper";

/// Why a program cannot be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// The kernel refuses the filter.
    #[error("the kernel refuses the seccomp filter")]
    Refused(#[source] Errno),
    /// The program may not be traced.
    #[error("the program may not be traced")]
    Untraced(#[source] Errno),
    /// The processes that accompany the program could not be started.
    #[error("cannot start the processes that accompany the program")]
    Helpers(#[from] io::Error),
    /// One of the processes that accompany the program was killed before the program began.
    #[error("a process that is to accompany the program was killed")]
    Killed,
    /// The program could not be started.
    #[error("cannot start {program}")]
    Program {
        /// As it was named.
        program: String,
        /// Why.
        #[source]
        errno: Errno,
    },
}

impl From<Errno> for HoldError {
    fn from(errno: Errno) -> Self {
        HoldError::Helpers(errno.into())
    }
}

/// The program that is to be run.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    file: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Command {
    /// A program with its arguments, the first of which is its name, and with the environment of loiter, in which
    /// `changed` replaces or adds variables.
    ///
    /// # Errors
    /// There is no program, or a text has a NUL byte.
    pub(crate) fn new(words: &[OsString], changed: &[(OsString, OsString)]) -> Result<Command, HoldError> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        let file = words.first().ok_or(Errno::EINVAL)?;
        let kept = std::env::vars_os().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let variables = kept.chain(changed.iter().cloned());
        let environment = variables.map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            text(&name)
        });
        Ok(Command {
            file: text(file)?,
            arguments: words.iter().map(|word| text(word)).collect::<Result<_, _>>()?,
            environment: environment.collect::<Result<_, _>>()?,
        })
    }

    /// Becomes the program. Returns only if that fails.
    fn execute(&self) -> HoldError {
        begun::restore();
        let errno = match execvpe(&self.file, &self.arguments, &self.environment) {
            Err(errno) => errno,
            Ok(never) => match never {},
        };
        HoldError::Program { program: self.file.to_string_lossy().into_owned(), errno }
    }
}

/// Which process the caller is, after [`fork`].
#[derive(Debug)]
pub(crate) enum Side {
    /// The process that the caller of loiter started: it is to become the program.
    Program(Program),
    /// The worker.
    Worker(Worker),
}

/// The process that becomes the program.
#[derive(Debug)]
pub(crate) struct Program {
    worker: Line,
}

impl Program {
    /// Becomes the program. Returns only if that fails: then the worker knows, and this process ends as usual.
    pub(crate) fn execute(self, command: &Command) -> HoldError {
        let error = command.execute();
        // If the worker is gone, nothing waits for this process.
        let _ = self.worker.send(&[0; 4]);
        error
    }
}

/// How often the keeper and the worker are forked, if one of them is killed before both are ready.
const ATTEMPTS: usize = 4;

/// Forks the keeper and the worker, and installs the filter. `limit`: a call is never held longer than this.
///
/// # Errors
/// [`HoldError::Refused`] if the kernel refuses the filter: nothing has changed then. This process has other threads.
pub(crate) fn fork(limit: Duration) -> Result<Side, HoldError> {
    for _ in 1..ATTEMPTS {
        match fork_once(limit) {
            Err(HoldError::Killed) => {}
            other => return other,
        }
    }
    fork_once(limit)
}

fn fork_once(limit: Duration) -> Result<Side, HoldError> {
    check_alone()?;
    let program = getpid();
    let page = Page::new()?;
    let (to_keeper, from_program) = Line::pair()?;
    let (to_worker, of_program) = Line::pair()?;
    let (keeper_end, worker_end) = Line::pair()?;
    // SAFETY: this process has one thread, so no lock is held by another one.
    if let ForkResult::Parent { child } = unsafe { nix::unistd::fork() }? {
        drop((from_program, of_program, keeper_end, worker_end));
        wait_for(child)?;
        return prepare(to_keeper, to_worker).map(Side::Program);
    }
    // The process between: what it forks has no parent that the program could wait for.
    // SAFETY: as above.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            let ends = [to_keeper, to_worker, of_program, worker_end];
            ends.into_iter().for_each(Line::leave);
            be_keeper(program, page, &from_program, keeper_end, limit);
            std::process::exit(0)
        }
        Ok(ForkResult::Parent { .. }) => {}
        Err(errno) => std::process::exit(errno as i32),
    }
    // SAFETY: as above.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => {
            [to_keeper, to_worker, from_program, keeper_end].into_iter().for_each(Line::leave);
            be_worker(program, page, of_program, worker_end, limit).map(Side::Worker)
        }
        Ok(ForkResult::Parent { .. }) => std::process::exit(0),
        Err(errno) => std::process::exit(errno as i32),
    }
}

/// A process with other threads must not be forked: one of them may hold a lock.
fn check_alone() -> Result<(), HoldError> {
    // Without it, nothing of the program could be read either.
    let threads = fs::read_dir("/proc/self/task")
        .map_err(|_| io::Error::other("/proc is not there, or is that of another PID namespace"))?;
    if threads.count() == 1 { Ok(()) } else { Err(io::Error::other("this process has other threads").into()) }
}

/// Waits for the process between. Its status is the number of an error.
fn wait_for(child: Pid) -> Result<(), HoldError> {
    loop {
        match waitpid(child, None) {
            // ECHILD: the caller of loiter has set SIGCHLD to be ignored.
            Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::Exited(_, errno)) => return Err(Errno::from_raw(errno).into()),
            Ok(_) => return Err(HoldError::Killed),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The keeper, from beginning to end.
fn be_keeper(program: Pid, page: Page, from_program: &Line, worker: Line, limit: Duration) {
    apart::leave_session();
    apart::rename(KEEPER);
    apart::silence(&[0, 1, 2]);
    apart::keep_only(&[from_program.raw(), worker.raw()]);
    let _ = std::env::set_current_dir("/");
    // From here on it has its own name. If the program's process is gone, there is nobody to tell.
    let _ = from_program.send(&[0]);
    let Some(listener) = from_program.receive_descriptor() else { return };
    let desk = Desk { listener, program: program.as_raw().unsigned_abs(), page };
    keeper::keep(&desk, worker, limit);
}

/// The worker until it has the listener. Ends if the program's process is gone.
fn be_worker(
    program: Pid,
    page: Page,
    of_program: Line,
    keeper: Line,
    limit: Duration,
) -> Result<Worker, HoldError> {
    apart::leave_session();
    apart::volunteer();
    apart::silence(&[0, 1]);
    apart::keep_only(&[of_program.raw(), keeper.raw()]);
    // If the program's process is gone, there is nobody to tell.
    let _ = of_program.send(&std::process::id().to_ne_bytes());
    let Some(listener) = of_program.receive_descriptor() else { std::process::exit(0) };
    let desk = Desk { listener, program: program.as_raw().unsigned_abs(), page };
    Worker::new(desk, keeper, of_program, limit)
}

/// Installs the filter and hands its listener over, once both are there to take it.
fn prepare(keeper: Line, worker: Line) -> Result<Program, HoldError> {
    let Received::Message(pid) = worker.receive::<4>(true) else {
        return Err(HoldError::Killed);
    };
    let Received::Message([_]) = keeper.receive(true) else {
        return Err(HoldError::Killed);
    };
    allow_reader(u32::from_ne_bytes(pid));
    let listener = filter::install().map_err(HoldError::Refused)?;
    // Who is gone receives nothing; the other one does its work.
    let _ = keeper.send_descriptor(&listener);
    let _ = worker.send_descriptor(&listener);
    drop((keeper, listener));
    if !filter::probe() {
        // The end of this process would not be answered either.
        eprintln!("loiter: the processes that were to hold the program's end were ended");
        filter::end_unfiltered(2);
    }
    Ok(Program { worker })
}

/// Lets this process be read and stopped, where Yama allows that only to parents. The program inherits it.
fn allow_reader(pid: u32) {
    // SAFETY: PR_SET_PTRACER takes a number and touches no memory. Without Yama it fails, and is not needed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::c_ulong::from(pid), 0usize, 0usize, 0usize) };
}
