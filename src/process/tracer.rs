//! The tracer: a small process that stops threads, and lets them go whatever happens.
//!
//! The kernel ties a stopped thread to its tracer. If the tracer were a thread of loiter, a stop of loiter
//! (SIGSTOP, Ctrl-Z) would stop the target too. So the tracer is a separate process in a separate session. It
//! lets go when told to, when the deadline of the stop passes, and when loiter is gone. If it is killed, the
//! kernel lets go; if it is stopped, the kernel kills it at the deadline. It is created with the first stop
//! of a target. It shares loiter's memory instead of copying it, so it costs as much as a thread, however
//! large loiter is. It serves one stop after another.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::proc::Stat;
use super::{Result, TargetError, sys};

mod orders;
mod process;
mod raw;

use orders::{Answer, Block, Order, Shared};
pub(super) use orders::{Outcome, Thread};
use process::Start;

/// The stack of the tracer process, bytes, above an inaccessible page.
const STACK: usize = 128 << 10;
const GUARD: usize = 4096;
/// If the tracer does not answer this long after a deadline, it is ended, unless it only waits for a CPU.
const GRACE: Duration = Duration::from_secs(2);
/// How long it may wait for a CPU. Its end would need one, too.
const STARVED: Duration = Duration::from_secs(30);
/// While threads are about to stop, it is asked this often whether they still can.
const ASKED: Duration = Duration::from_millis(5);
/// How long a tracer that is told to end may take.
const LAST_ORDER: Duration = Duration::from_millis(200);
/// How long it may take after it was killed.
const END: Duration = Duration::from_secs(1);

/// The tracers of this process, so that they are recognised and end with it. A caller that takes one from
/// here waits for its end.
static OURS: Mutex<Vec<Own>> = Mutex::new(Vec::new());

struct Own {
    pid: libc::pid_t,
    line: Weak<Line>,
}

fn ours() -> MutexGuard<'static, Vec<Own>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process is a tracer of this loiter.
pub(super) fn is_ours(pid: u64) -> bool {
    ours().iter().any(|own| u64::try_from(own.pid) == Ok(pid))
}

/// Lets go of everything that is held, for good: for the end of a program whose readers may still be at work.
/// The end of the program does the same; this also waits until it is done.
#[cfg(feature = "cli")]
pub(crate) fn end_all_stops() {
    let all = std::mem::take(&mut *ours());
    for own in all {
        own.end();
    }
}

impl Own {
    /// Ends the process and waits until it has ended. False if it hangs in the kernel.
    fn end(self) -> bool {
        if let Some(line) = self.line.upgrade() {
            line.tell(orders::END);
        }
        if self.has_ended_within(LAST_ORDER) {
            return true;
        }
        // SAFETY: kill takes two integers. The process is our child and was not waited for, so the pid is
        // still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        self.has_ended_within(END)
    }

    fn has_ended_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        loop {
            // SAFETY: no status is requested. A single positive pid is named.
            match unsafe { libc::waitpid(self.pid, ptr::null_mut(), libc::__WALL | libc::WNOHANG) } {
                0 => {}
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => return true,
            }
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
    }
}

/// Memory for a stack, unmapped on drop.
#[derive(Debug)]
struct Stack(NonNull<c_void>);

// SAFETY: no other code uses this memory; the tracer process that runs on it ends before it is unmapped.
unsafe impl Send for Stack {}

impl Stack {
    fn new() -> io::Result<Stack> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK);
        // SAFETY: a new mapping, which replaces no other.
        let at = unsafe { libc::mmap(ptr::null_mut(), STACK + GUARD, protection, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Stack(NonNull::new(at).ok_or(io::ErrorKind::OutOfMemory)?);
        // SAFETY: the lowest page of the mapping just made.
        if unsafe { libc::mprotect(at, GUARD, libc::PROT_NONE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// Stacks grow downwards.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.0.as_ptr().byte_add(STACK + GUARD) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: this mapping was made in `new` and is no longer used.
        unsafe { libc::munmap(self.0.as_ptr(), STACK + GUARD) };
    }
}

/// What the tracer process reads while it runs. All of it is kept if the end of the process was not seen.
struct Lent {
    stack: Stack,
    start: Box<Start>,
    _shared: Arc<Shared>,
    blocks: Vec<Arc<Block>>,
}

// SAFETY: `start` has pointers to `shared`, which lives as long; the rest may be sent.
unsafe impl Send for Lent {}

/// The connection to a tracer process.
#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    shared: Arc<Shared>,
}

impl Line {
    /// Sends an order that is not answered. If the tracer is gone, nothing is held.
    fn tell(&self, what: u32) {
        let order = Order { what, patience_ms: 0, deadline_ns: 0, block: 0 };
        let _ = raw::send(self.socket.as_raw_fd(), &order);
    }
}

/// Tells a tracer to let go, from any thread.
#[derive(Debug, Clone)]
pub(super) struct Remote(Arc<Line>);

impl Remote {
    /// Whether it is the same tracer.
    pub(super) fn is(&self, other: &Remote) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether it has let go before it was asked to.
    pub(super) fn has_let_go(&self) -> bool {
        self.0.shared.let_go.load(Ordering::SeqCst)
    }

    /// Tells it to let go.
    pub(super) fn let_go(&self) {
        self.0.tell(orders::LET_GO);
    }
}

/// A tracer process.
pub(super) struct Tracer {
    pid: libc::pid_t,
    line: Arc<Line>,
    lent: Option<Lent>,
    /// It has announced its end, or the connection is broken.
    over: bool,
    /// It did not answer in time.
    silent: bool,
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("pid", &self.pid).field("over", &self.over).finish_non_exhaustive()
    }
}

extern "C" fn main(start: *mut c_void) -> libc::c_int {
    // SAFETY: loiter keeps what is lent until this process has ended.
    unsafe { process::run(&*start.cast::<Start>()) }
}

impl Tracer {
    /// Starts a tracer process.
    pub(super) fn start() -> Result<Tracer> {
        let failed = |source| TargetError::io("start the tracer process", source);
        let (socket, its) = socket_pair().map_err(failed)?;
        // Older kernels have no pidfd: then only the socket shows that loiter has ended.
        let loiter = sys::pidfd_open(std::process::id()).ok();
        let shared = Arc::new(Shared::default());
        let start = Box::new(Start {
            shared: Arc::as_ptr(&shared),
            socket: its.as_raw_fd(),
            loiter: loiter.as_ref().map_or(-1, AsRawFd::as_raw_fd),
            loiter_pid: std::process::id(),
        });
        let stack = Stack::new().map_err(failed)?;
        let lent = Lent { stack, start, _shared: Arc::clone(&shared), blocks: Vec::new() };
        let argument = ptr::from_ref::<Start>(&lent.start).cast_mut().cast();
        // The new process must never run a signal handler of loiter's.
        let mask = raw::block_signals();
        // SAFETY: `main` runs on its own stack and touches nothing of this thread; what it reads is kept in
        // `lent` until its end has been seen. Its end sends no signal, so code that waits for its own
        // children never meets it.
        let pid = unsafe { libc::clone(main, lent.stack.top(), libc::CLONE_VM, argument) };
        let error = io::Error::last_os_error();
        raw::set_signal_mask(mask);
        if pid < 0 {
            return Err(failed(error));
        }
        let line = Arc::new(Line { socket, shared });
        ours().push(Own { pid, line: Arc::downgrade(&line) });
        let mut tracer = Tracer { pid, line, lent: Some(lent), over: false, silent: false };
        match tracer.answer(sys::monotonic_ns(), &|| false) {
            Some(Answer { errno: 0, .. }) => Ok(tracer),
            Some(Answer { errno: libc::ECHILD, .. }) => Err(failed(io::Error::other(
                "children of this process are in another pid namespace, where its targets have other ids",
            ))),
            Some(answer) => Err(failed(io::Error::from_raw_os_error(answer.errno))),
            None => Err(failed(io::Error::other("it ended at once"))),
        }
    }

    pub(super) fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.line))
    }

    /// Whether it accepts no more orders.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it has not answered in time.
    pub(super) fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether it can answer as soon as it gets a CPU: nobody has stopped or ended it.
    fn is_starved(&self) -> bool {
        let stat = u32::try_from(self.pid).ok().and_then(|pid| Stat::read(pid).ok());
        stat.is_some_and(|stat| matches!(stat.state, 'R' | 'S' | 'D'))
    }

    /// Prepares it for the next stop: nothing has been let go early.
    pub(super) fn begin(&self) {
        self.line.shared.let_go.store(false, Ordering::SeqCst);
    }

    /// Stops threads until `deadline_ns` (CLOCK_MONOTONIC) at the latest, and waits at most `patience` for
    /// each batch of them, and no longer if those that have not stopped are `hopeless`. None if the tracer is gone,
    /// and with it the stop.
    pub(super) fn stop(
        &mut self,
        tids: &[u32],
        patience: Duration,
        deadline_ns: u64,
        hopeless: &dyn Fn() -> bool,
    ) -> Option<()> {
        self.line.shared.hopeless.store(false, Ordering::Relaxed);
        let block = Block::new(tids);
        let order = Order {
            what: orders::STOP,
            patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
            deadline_ns,
            block: Arc::as_ptr(&block) as usize,
        };
        self.lent.as_mut()?.blocks.push(block);
        self.ask(&order, deadline_ns.saturating_add(patience.as_nanos() as u64), hopeless).map(drop)
    }

    /// The threads that it was last told to stop.
    pub(super) fn latest(&self) -> &[Thread] {
        self.lent.as_ref().and_then(|lent| lent.blocks.last()).map_or(&[], |block| &block.threads)
    }

    /// All threads that it was told to stop since it last let go.
    pub(super) fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.lent.iter().flat_map(|lent| &lent.blocks).flat_map(|block| &block.threads)
    }

    /// Lets everything go and returns how long threads were held. None if the tracer is gone, and with it the stop.
    pub(super) fn release(&mut self) -> Option<Duration> {
        let order = Order { what: orders::RELEASE, patience_ms: 0, deadline_ns: 0, block: 0 };
        let answer = self.ask(&order, sys::monotonic_ns(), &|| false);
        match answer {
            Some(Answer { ends: 0, .. }) => {
                if let Some(lent) = &mut self.lent {
                    lent.blocks.clear();
                }
            }
            // Threads that it could not detach are let go by its end.
            _ => self.end(),
        }
        answer.map(|answer| Duration::from_nanos(answer.held_ns))
    }

    fn ask(&mut self, order: &Order, deadline_ns: u64, hopeless: &dyn Fn() -> bool) -> Option<Answer> {
        if self.over || raw::send(self.line.socket.as_raw_fd(), order).is_err() {
            self.over = true;
            return None;
        }
        self.answer(deadline_ns, hopeless)
    }

    /// Waits for an answer until shortly after `deadline_ns`. It comes at once if what the tracer waits for is
    /// `hopeless`.
    fn answer(&mut self, deadline_ns: u64, hopeless: &dyn Fn() -> bool) -> Option<Answer> {
        let socket = self.line.socket.as_raw_fd();
        let begun = sys::monotonic_ns();
        let end = deadline_ns.max(begun).saturating_add(GRACE.as_nanos() as u64);
        let latest = end.saturating_add(STARVED.as_nanos() as u64);
        let mut answer = Answer::NONE;
        loop {
            // SAFETY: an answer is numbers without padding, and any numbers make one.
            let received = unsafe { raw::receive(socket, &mut answer) };
            let now = sys::monotonic_ns();
            match received {
                Ok(()) => {
                    self.over |= answer.ends != 0 || answer.errno != 0;
                    return Some(answer);
                }
                Err(Errno::EAGAIN | Errno::EINTR) if now < end || now < latest && self.is_starved() => {}
                Err(errno) => {
                    self.over = true;
                    self.silent = matches!(errno, Errno::EAGAIN | Errno::EINTR);
                    return None;
                }
            }
            // Not a busy loop: the tracer, and the thread that is to stop, need the CPUs.
            let [came] = raw::poll([socket], Some(ASKED.as_nanos() as u64));
            if !came && hopeless() {
                self.line.shared.hopeless.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Ends the process and waits until it has ended.
    fn end(&mut self) {
        self.over = true;
        let Some(lent) = self.lent.take() else { return };
        let own = {
            let mut ours = ours();
            ours.iter().position(|own| own.pid == self.pid).map(|at| ours.swap_remove(at))
        };
        if !own.is_some_and(Own::end) {
            // It hangs in the kernel and may still use what it was lent, or another thread is about to end it.
            std::mem::forget(lent);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Two ends of a connection that preserves packets and is not inherited by programs that loiter starts.
fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` is room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned these descriptors, and they have no other owner.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }).into())
}
