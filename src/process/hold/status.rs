//! The status that a held program ends with: an argument of the held call.
//!
//! To change it, the thread is stopped on its way out of the call. It is told to make the call again
//! (`ERESTARTNOINTR`), and does so whatever happens to loiter: with its own status as long as nothing was changed.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::super::{calls, proc};
use super::desk::Desk;
use super::filter::{Answer, Call};

/// The thread needs a CPU to come out of its call.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(200);

/// The status with which this thread is about to end the process.
pub(super) fn of(pid: u32, tid: u32) -> Option<u8> {
    let line = proc::read_text(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
    let call = calls::parse(&line).filter(|call| i64::from(call.number) == libc::SYS_exit_group)?;
    // The kernel keeps the lowest eight bits.
    call.arguments.first().map(|status| *status as u8)
}

/// Changes the status of a held call, which is then made again.
pub(super) fn change(desk: &Desk, call: Call, status: u8) -> Result<(), Errno> {
    let thread = Pid::from_raw(i32::try_from(call.tid).map_err(|_| Errno::ESRCH)?);
    ptrace::seize(thread, Options::empty())?;
    ptrace::interrupt(thread)?;
    super::filter::answer(&desk.listener, call.id, Answer::Again)?;
    wait_for_stop(thread)?;
    let mut registers = ptrace::getregs(thread)?;
    let is_held = i64::try_from(registers.orig_rax) == Ok(libc::SYS_exit_group);
    if is_held {
        registers.rdi = u64::from(status);
        ptrace::setregs(thread, registers)?;
    }
    ptrace::detach(thread, None)?;
    if is_held { Ok(()) } else { Err(Errno::EINVAL) }
}

fn wait_for_stop(thread: Pid) -> Result<(), Errno> {
    let begun = Instant::now();
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
    loop {
        match waitpid(thread, Some(flags)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)) => return Ok(()),
            Ok(_) => return Err(Errno::ESRCH),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if begun.elapsed() > PATIENCE {
            return Err(Errno::ETIMEDOUT);
        }
        std::thread::sleep(PAUSE);
    }
}
