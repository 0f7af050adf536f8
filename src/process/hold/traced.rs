//! Holding by a trace, for where the filter is refused: loiter is the parent and tracer of the program.
//!
//! Only the main thread is traced. Whatever ends the process, SIGKILL and crashes included, the main thread stops in
//! `PTRACE_EVENT_EXIT` (ptrace(2)) while the memory is still there; the other threads are gone then. If loiter is
//! killed, the kernel lets the program go, and it runs on. Signals that are sent to loiter go on to the program;
//! signals of the terminal reach both without help.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::{ForkResult, Pid, getpid};

use super::super::proc;
use super::worker::Event;
use super::{Command, HoldError, allow_reader, check_alone};

/// Signals that end or inform a program, and are passed on. Those of job control stop loiter as they stop the program.
const PASSED: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
];
/// `PTRACE_EVENT_STOP` of `linux/ptrace.h`.
const EVENT_STOP: i32 = 128;
/// How long the other threads may take to notice that the process ends.
const ENDING: Duration = Duration::from_millis(200);
/// How long it is tried to trace the process again after its main thread was replaced (execve in another thread).
const AGAIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With this status.
    Exited(u8),
    /// By this signal.
    Signaled(i32),
}

/// A program that loiter has started and traces.
#[derive(Debug)]
pub(crate) struct Traced {
    child: Pid,
    /// The number of an error, if the program could not be started.
    failed: io::PipeReader,
    before: libc::sigset_t,
    signals: libc::sigset_t,
    /// The main thread stands in its last stop.
    is_held: bool,
    /// Its main thread was traced until this moment.
    lost: Option<Instant>,
    end: Option<End>,
}

impl Traced {
    /// Starts the program.
    ///
    /// # Errors
    /// It may not be traced; this process has other threads. That it cannot be executed is seen later.
    pub(crate) fn start(command: &Command) -> Result<Traced, HoldError> {
        check_alone()?;
        let own = getpid();
        let (mut go, mut allow) = io::pipe()?;
        let (failed, mut fail) = io::pipe()?;
        let (signals, before) = block(&PASSED);
        // SAFETY: this process has one thread, so no lock is held by another one.
        let child = match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop((allow, failed));
                allow_reader(own.as_raw().unsigned_abs());
                if go.read_exact(&mut [0]).is_ok() {
                    set_mask(&before);
                    if let HoldError::Program { errno, .. } = command.execute() {
                        let _ = fail.write_all(&(errno as i32).to_ne_bytes());
                    }
                }
                std::process::exit(127)
            }
        };
        drop((go, fail));
        // Without the byte, the child ends by itself.
        seize(child).map_err(HoldError::Untraced)?;
        allow.write_all(&[0])?;
        Ok(Traced { child, failed, before, signals, is_held: false, lost: None, end: None })
    }

    /// The pid of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_raw().unsigned_abs()
    }

    /// Whether the program has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.look();
        self.end.is_some()
    }

    /// Waits for what happens to the program, no longer than until `deadline`.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Event {
        let was_held = self.is_held;
        loop {
            self.look();
            if self.end.is_some() {
                return Event::Ended;
            }
            if self.is_held && !was_held {
                return Event::Held(self.pid());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Event::TimedOut;
            }
            let pause = self.lost.map(|_| PAUSE);
            let nap = [left, pause].into_iter().flatten().min();
            if let Some((signal, from_kernel)) = next_signal(&self.signals, nap)
                && signal != libc::SIGCHLD
                && !from_kernel
            {
                self.signal(signal);
            }
            self.trace_again();
        }
    }

    /// Whether the program was executed: no error has arrived.
    pub(crate) fn was_started(&self) -> bool {
        let mut came = libc::pollfd { fd: self.failed.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `came` is one valid pollfd, and the count says one.
        let ready = unsafe { libc::poll(&raw mut came, 1, 0) };
        ready != 1 || came.revents & libc::POLLIN == 0
    }

    /// The status of the held program, if it ends by itself.
    pub(crate) fn status(&self) -> Option<u8> {
        let status = ptrace::getevent(self.child).ok()?;
        let status = i32::try_from(status).ok()?;
        libc::WIFEXITED(status).then_some(libc::WEXITSTATUS(status) as u8)
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: i32) {
        if self.end.is_none() {
            // SAFETY: kill takes two integers. The child was not waited for, so the pid is its own.
            unsafe { libc::kill(self.child.as_raw(), signal) };
        }
    }

    /// Lets the program end.
    pub(crate) fn let_go(&mut self) {
        if std::mem::take(&mut self.is_held) {
            resume(self.child, 0);
        }
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// [`HoldError::Program`] if it could not be started.
    pub(crate) fn finish(mut self, command: &Command) -> Result<End, HoldError> {
        loop {
            self.let_go();
            self.wait(None);
            let Some(end) = self.end else { continue };
            set_mask(&self.before);
            let mut errno = [0; 4];
            // A program that was started has closed the pipe.
            return match self.failed.read_exact(&mut errno) {
                Ok(()) => {
                    let errno = Errno::from_raw(i32::from_ne_bytes(errno));
                    Err(HoldError::Program { program: command.file.to_string_lossy().into_owned(), errno })
                }
                Err(_) => Ok(end),
            };
        }
    }

    /// Handles everything that the kernel has to tell of the program.
    fn look(&mut self) {
        while self.end.is_none() {
            let mut status = 0;
            let flags = libc::__WALL | libc::WNOHANG;
            // SAFETY: `status` is valid to write to. nix's waitpid refuses stops by real-time signals.
            let got = unsafe { libc::waitpid(self.child.as_raw(), &raw mut status, flags) };
            match got {
                0 => return,
                -1 if Errno::last() == Errno::EINTR => {}
                // It was waited for elsewhere: that cannot be, and there is nothing to wait for.
                -1 => self.end = Some(End::Exited(0)),
                _ => self.take(status),
            }
        }
    }

    fn take(&mut self, status: i32) {
        if libc::WIFEXITED(status) {
            self.end = Some(End::Exited(libc::WEXITSTATUS(status) as u8));
        } else if libc::WIFSIGNALED(status) {
            self.end = Some(End::Signaled(libc::WTERMSIG(status)));
        } else if libc::WIFSTOPPED(status) {
            let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
            match event {
                libc::PTRACE_EVENT_EXIT if is_ending(self.pid()) => self.is_held = true,
                libc::PTRACE_EVENT_EXIT => {
                    self.lost = Some(Instant::now());
                    resume(self.child, 0);
                }
                EVENT_STOP if signal != libc::SIGTRAP => listen(self.child),
                0 => resume(self.child, signal),
                _ => resume(self.child, 0),
            }
        }
    }

    /// The main thread was replaced by the thread that executed another program: that one is traced from here on.
    fn trace_again(&mut self) {
        let Some(lost) = self.lost else { return };
        if seize(self.child).is_ok() || lost.elapsed() > AGAIN {
            self.lost = None;
        }
    }
}

fn seize(child: Pid) -> Result<(), Errno> {
    ptrace::seize(child, Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_TRACEEXEC)
}

/// Whether the main thread's end is that of the process. It may also end alone, or because another thread executes
/// another program.
fn is_ending(pid: u32) -> bool {
    let begun = Instant::now();
    loop {
        let others = proc::threads(pid).unwrap_or_default().into_iter().filter(|tid| *tid != pid);
        let mut alive = others.filter(|&tid| is_alive(pid, tid)).peekable();
        if alive.peek().is_none() {
            return true;
        }
        if begun.elapsed() > ENDING {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether a thread lives, and was not told to end.
fn is_alive(pid: u32, tid: u32) -> bool {
    let Ok(status) = proc::read_text(format!("/proc/{pid}/task/{tid}/status")) else { return false };
    let is_dead = proc::field(&status, "State").is_some_and(|state| state.starts_with(['Z', 'X']));
    let pending = proc::field(&status, "SigPnd").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let is_killed = pending.unwrap_or(0) & (1 << (libc::SIGKILL - 1)) != 0;
    !is_dead && !is_killed
}

/// Lets a stopped thread run on, and gives it a signal, unless it is 0.
fn resume(thread: Pid, signal: i32) {
    let signal = signal as libc::c_long;
    // SAFETY: PTRACE_CONT takes a number and touches no memory. nix has no real-time signals.
    unsafe { libc::ptrace(libc::PTRACE_CONT, thread.as_raw(), ptr::null_mut::<libc::c_void>(), signal) };
}

/// Leaves a thread stopped by job control, until it is continued.
fn listen(thread: Pid) {
    // SAFETY: PTRACE_LISTEN takes no argument.
    unsafe { libc::ptrace(libc::PTRACE_LISTEN, thread.as_raw(), ptr::null_mut::<libc::c_void>(), 0) };
}

/// Blocks these signals and SIGCHLD. Returns them, and the mask from before.
fn block(signals: &[i32]) -> (libc::sigset_t, libc::sigset_t) {
    // SAFETY: the sets are ours, and sigemptyset makes valid ones of them before they are used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigemptyset(&raw mut before);
        for &signal in signals.iter().chain([&libc::SIGCHLD]) {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
        (set, before)
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` is a valid set, and the old one is not wanted.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// Waits for one of these signals. Returns it, and whether the kernel sent it: the terminal's signals, which reach the
/// program, too. None if none came in time.
fn next_signal(signals: &libc::sigset_t, limit: Option<Duration>) -> Option<(i32, bool)> {
    let limit = limit.unwrap_or(Duration::from_secs(3600));
    let time = libc::timespec {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_nsec: libc::c_long::from(limit.subsec_nanos()),
    };
    // SAFETY: zeros are a valid siginfo_t; the set, the information and the time live through the call.
    let (signal, from_kernel) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let signal = libc::sigtimedwait(signals, &raw mut info, &raw const time);
        (signal, info.si_code > 0)
    };
    (signal > 0).then_some((signal, from_kernel))
}

/// Ends this process as the program ended, without a core file of its own.
pub(crate) fn end_as(end: End) -> ! {
    let End::Signaled(signal) = end else {
        let End::Exited(status) = end else { std::process::exit(2) };
        std::process::exit(status.into())
    };
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls take numbers and structs that live through them; the action is the default one.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        libc::raise(signal);
    }
    std::process::exit(128 + signal)
}
