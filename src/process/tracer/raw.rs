//! System calls without errno.
//!
//! The tracer process ([`super::process`]) shares loiter's memory but is not a thread of it, so it has no
//! thread-local storage of its own: writes by libc would go to another thread's. These functions touch
//! nothing but their arguments. All of this is for x86-64.

use std::arch::asm;

use nix::errno::Errno;

use crate::process::registers::WORDS;

/// The result of waiting for a traced thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// Nothing yet.
    Nothing,
    /// It is stopped, and this signal (0: none) has to be delivered when it is let go.
    Stopped(i32),
    /// It has ended, or is no longer ours.
    Gone,
}

/// Calls the kernel.
///
/// # Safety
/// The arguments must be right for the call: what they point to is read and written by the kernel.
unsafe fn call(number: libc::c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: the kernel's calling convention: it changes rax, rcx and r11 and nothing else; its effect on
    // memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        Err(Errno::from_raw(result.unsigned_abs() as i32))
    } else {
        Ok(result.unsigned_abs())
    }
}

/// 0 and negative numbers mean groups of processes to several calls.
fn raw_pid(pid: u32) -> Result<usize, Errno> {
    i32::try_from(pid).ok().filter(|&pid| pid > 0).map(|pid| pid as usize).ok_or(Errno::ESRCH)
}

fn ptrace(request: libc::c_uint, tid: u32, data: usize) -> Result<(), Errno> {
    let tid = raw_pid(tid)?;
    // SAFETY: only requests without pointers come here: seize, interrupt and detach.
    unsafe { call(libc::SYS_ptrace, [request as usize, tid, 0, data, 0, 0]) }.map(drop)
}

/// Becomes the tracer of a thread without stopping it.
pub(super) fn seize(tid: u32) -> Result<(), Errno> {
    ptrace(libc::PTRACE_SEIZE, tid, 0)
}

/// Asks a seized thread to stop, without any signal.
pub(super) fn interrupt(tid: u32) -> Result<(), Errno> {
    ptrace(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped thread go, delivering `signal` to it unless that is 0.
pub(super) fn detach(tid: u32, signal: i32) -> Result<(), Errno> {
    ptrace(libc::PTRACE_DETACH, tid, signal as usize)
}

/// The general registers of a stopped thread, as the words of `user_regs_struct`.
pub(super) fn registers(tid: u32) -> Result<[u64; WORDS], Errno> {
    const NT_PRSTATUS: usize = 1;
    let tid = raw_pid(tid)?;
    let mut words = [0u64; WORDS];
    let mut into = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size_of_val(&words) };
    let arguments = [libc::PTRACE_GETREGSET as usize, tid, NT_PRSTATUS, &raw mut into as usize, 0, 0];
    // SAFETY: `into` describes exactly `words`, which lives through the call; the kernel writes
    // at most `iov_len` bytes, and any bytes make valid u64.
    unsafe { call(libc::SYS_ptrace, arguments) }?;
    // A thread in 32-bit mode gives a smaller set with another meaning.
    if into.iov_len == size_of_val(&words) { Ok(words) } else { Err(Errno::ENOTSUP) }
}

/// Checks, without waiting, whether a traced thread has stopped or ended.
pub(super) fn wait(tid: u32) -> Waited {
    let Ok(tid) = raw_pid(tid) else { return Waited::Gone };
    let mut status: libc::c_int = 0;
    let options = (libc::__WALL | libc::WNOHANG) as usize;
    // SAFETY: `status` is a valid c_int to write to, and no usage is requested. A single positive tid is
    // named, so this reaps no child of other code.
    match unsafe { call(libc::SYS_wait4, [tid, &raw mut status as usize, options, 0, 0, 0]) } {
        Ok(0) | Err(Errno::EINTR) => Waited::Nothing,
        Ok(_) if libc::WIFSTOPPED(status) => Waited::Stopped(signal_to_deliver(status)),
        Ok(_) | Err(_) => Waited::Gone,
    }
}

/// The signal that a ptrace stop has taken from the thread. Only a signal-delivery stop has one; the stops
/// made by PTRACE_INTERRUPT and the group stops carry an event number above it.
fn signal_to_deliver(status: libc::c_int) -> i32 {
    if status >> 16 == 0 { libc::WSTOPSIG(status) } else { 0 }
}

/// CLOCK_MONOTONIC, nanoseconds.
pub(super) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let arguments = [libc::CLOCK_MONOTONIC as usize, &raw mut time as usize, 0, 0, 0, 0];
    // SAFETY: `time` is a valid timespec to write to.
    if unsafe { call(libc::SYS_clock_gettime, arguments) }.is_err() {
        return 0;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

fn timespec(ns: u64) -> libc::timespec {
    libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}

/// Sleeps.
pub(super) fn sleep_ns(ns: u64) {
    let time = timespec(ns);
    // SAFETY: `time` is a valid timespec, and the time left after a signal is not requested.
    let _ = unsafe { call(libc::SYS_nanosleep, [&raw const time as usize, 0, 0, 0, 0, 0]) };
}

/// Waits until one of the descriptors is ready, for at most `ns`. Returns which of them are.
pub(super) fn poll<const N: usize>(descriptors: [i32; N], ns: Option<u64>) -> [bool; N] {
    let mut polled = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let time = timespec(ns.unwrap_or(0));
    let limit = ns.map_or(0, |_| &raw const time as usize);
    // SAFETY: `polled` is N pollfds; `time` lives through the call; no signal mask is given.
    let ready = unsafe { call(libc::SYS_ppoll, [polled.as_mut_ptr() as usize, N, limit, 0, 8, 0]) };
    polled.map(|one| ready.is_ok_and(|ready| ready > 0) && one.revents != 0)
}

/// Sends one packet. No signal is raised if the other side is gone.
pub(super) fn send<T: Copy>(socket: i32, packet: &T) -> Result<(), Errno> {
    let (at, len) = (std::ptr::from_ref(packet) as usize, size_of::<T>());
    // SAFETY: `packet` is `len` bytes that live through the call.
    unsafe { call(libc::SYS_sendto, [socket as usize, at, len, libc::MSG_NOSIGNAL as usize, 0, 0]) }.map(drop)
}

/// Receives a packet of the size of `packet`, without waiting. EAGAIN: there is none yet. EPIPE: the other
/// side is gone.
///
/// # Safety
/// Any bytes must make a valid `T`.
pub(super) unsafe fn receive<T: Copy>(socket: i32, packet: &mut T) -> Result<(), Errno> {
    let (at, len) = (std::ptr::from_mut(packet) as usize, size_of::<T>());
    // SAFETY: `packet` is `len` bytes to write to; what is written is valid by the caller's promise.
    match unsafe { call(libc::SYS_recvfrom, [socket as usize, at, len, libc::MSG_DONTWAIT as usize, 0, 0]) }?
    {
        n if n == len => Ok(()),
        _ => Err(Errno::EPIPE),
    }
}

/// Blocks every signal that can be blocked, in the calling thread only. Returns the previous mask.
pub(super) fn block_signals() -> u64 {
    set_signal_mask(u64::MAX)
}

/// Sets which signals are blocked in the calling thread. Returns the previous mask.
pub(super) fn set_signal_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    let arguments =
        [libc::SIG_SETMASK as usize, &raw const mask as usize, &raw mut old as usize, size_of::<u64>(), 0, 0];
    // SAFETY: the kernel's signal set is 64 bits; both words live through the call.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, arguments) };
    old
}

/// Leaves the terminal's session, so that its signals do not reach this process.
pub(super) fn new_session() {
    // SAFETY: no argument.
    let _ = unsafe { call(libc::SYS_setsid, [0; 6]) };
}

/// Sets the name that ps shows.
pub(super) fn set_name(name: &std::ffi::CStr) {
    let arguments = [libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel reads up to 16 bytes of a string that ends with NUL.
    let _ = unsafe { call(libc::SYS_prctl, arguments) };
}

/// Stops the kernel from lengthening sleeps, by default up to 50 microseconds, to save wakeups.
pub(super) fn sleep_precisely() {
    // SAFETY: the argument is a number.
    let _ = unsafe { call(libc::SYS_prctl, [libc::PR_SET_TIMERSLACK as usize, 1, 0, 0, 0, 0]) };
}

/// The process that created this one; 0 if that is in another pid namespace.
pub(super) fn parent() -> usize {
    // SAFETY: no argument.
    unsafe { call(libc::SYS_getppid, [0; 6]) }.unwrap_or(0)
}

/// Closes all descriptors of this process except two.
pub(super) fn close_others(keep: [i32; 2]) {
    const MOST: usize = 1 << 16;
    let [a, b] = keep;
    let (low, high) = (a.min(b).max(0) as usize, a.max(b).max(0) as usize);
    let last = u32::MAX as usize;
    for (first, end) in [(0, low.wrapping_sub(1)), (low + 1, high.wrapping_sub(1)), (high + 1, last)] {
        if end == usize::MAX || first > end {
            continue;
        }
        // SAFETY: descriptors are numbers; no other code uses those of this process.
        if unsafe { call(libc::SYS_close_range, [first, end, 0, 0, 0, 0]) }.is_ok() {
            continue;
        }
        // Before Linux 5.9.
        for fd in first..end.saturating_add(1).min(MOST) {
            // SAFETY: as above.
            let _ = unsafe { call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]) };
        }
    }
}

/// A timer of this process that kills it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer(i32);

impl Timer {
    /// Creates a timer that does not run yet.
    pub(super) fn deadly() -> Result<Timer, Errno> {
        // SAFETY: all zeros is a valid sigevent.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        let mut id: libc::c_int = 0;
        let arguments =
            [libc::CLOCK_MONOTONIC as usize, &raw mut event as usize, &raw mut id as usize, 0, 0, 0];
        // SAFETY: `event` and `id` live through the call.
        unsafe { call(libc::SYS_timer_create, arguments) }?;
        Ok(Timer(id))
    }

    /// Sets it to expire at `at` (CLOCK_MONOTONIC, nanoseconds), or never (0).
    pub(super) fn set(self, at: u64) -> Result<(), Errno> {
        let never = timespec(0);
        let time = libc::itimerspec { it_interval: never, it_value: timespec(at) };
        let arguments = [self.0 as usize, libc::TIMER_ABSTIME as usize, &raw const time as usize, 0, 0, 0];
        // SAFETY: `time` lives through the call; the old value is not requested.
        unsafe { call(libc::SYS_timer_settime, arguments) }.map(drop)
    }
}

/// Ends this process.
pub(super) fn exit() -> ! {
    loop {
        // SAFETY: it does not return.
        let _ = unsafe { call(libc::SYS_exit_group, [0; 6]) };
    }
}
