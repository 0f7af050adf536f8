//! The code that the tracer process runs.
//!
//! The tracer shares loiter's memory but is not a thread of loiter: a stop signal or the end of loiter does
//! not reach it. It has no thread-local storage of its own. So nothing here allocates, prints, panics or
//! calls libc, and only [`raw`] calls the kernel.

use std::ptr;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::orders::{self, Answer, Block, Order, Outcome, Shared};
use super::raw::{self, Timer, Waited};

/// How often the state of threads is checked without a pause, because a thread that runs on another CPU stops
/// within microseconds. After that there is a pause between checks: the thread may need our CPU to stop on,
/// and unlike yielding, sleeping makes us one of the next to get it back.
const SPINS: u32 = 30;
const WAIT_PAUSE_NS: u64 = 10_000;
/// If this process does not let go at the deadline (because it was stopped), the kernel kills it this much
/// later, which lets go.
const GRACE_NS: u64 = 500_000_000;

/// What the tracer process is started with.
pub(super) struct Start {
    pub(super) shared: *const Shared,
    /// Its end of the socket.
    pub(super) socket: i32,
    /// A descriptor of loiter's process; -1 where the kernel has none.
    pub(super) loiter: i32,
    pub(super) loiter_pid: u32,
}

/// Runs the tracer process.
///
/// # Safety
/// `start` must be valid until the process has ended. The blocks that it is given must be valid until they
/// have been released.
pub(super) unsafe fn run(start: &Start) -> ! {
    raw::block_signals();
    raw::new_session();
    raw::set_name(c"loiter-tracer");
    // Its pauses while threads are held are short.
    raw::sleep_precisely();
    raw::close_others([start.socket, start.loiter]);
    // SAFETY: by the caller's promise.
    let shared = unsafe { &*start.shared };
    let timer = match Timer::deadly() {
        // In a pid namespace of its own, it would know the threads by other numbers.
        Ok(_) if raw::parent() != start.loiter_pid as usize => Err(Errno::ECHILD),
        timer => timer,
    };
    let errno = timer.map_or_else(|errno| errno as i32, |_| 0);
    let answer = Answer { what: orders::READY, errno, ..Answer::NONE };
    if raw::send(start.socket, &answer).is_ok()
        && let Ok(timer) = timer
    {
        Tracer { start, shared, timer, holding: None, last: ptr::null() }.work();
    }
    raw::exit();
}

/// Since when threads are held, and until when.
#[derive(Clone, Copy)]
struct Holding {
    since_ns: u64,
    deadline_ns: u64,
}

impl Holding {
    fn is_late(self) -> bool {
        raw::monotonic_ns() >= self.deadline_ns
    }
}

struct Tracer<'a> {
    start: &'a Start,
    shared: &'a Shared,
    timer: Timer,
    holding: Option<Holding>,
    /// The block of the last order; the earlier ones are linked from it.
    last: *const Block,
}

/// What was received.
enum News {
    Order(Order),
    /// The deadline has passed.
    Late,
    /// Loiter is gone.
    Alone,
}

impl Tracer<'_> {
    fn work(&mut self) {
        loop {
            match self.listen() {
                News::Order(order) => {
                    let goes_on = match order.what {
                        orders::STOP => self.stop(&order),
                        orders::RELEASE => self.end_of_stop(),
                        orders::LET_GO => self.let_go_early(),
                        _ => {
                            self.let_go_early();
                            false
                        }
                    };
                    if !goes_on {
                        return;
                    }
                }
                News::Late if self.let_go_early() => {}
                News::Late => return,
                News::Alone => {
                    self.release();
                    return;
                }
            }
        }
    }

    /// Waits for news.
    fn listen(&self) -> News {
        let mut order = Order { what: 0, patience_ms: 0, deadline_ns: 0, block: 0 };
        loop {
            // SAFETY: an order is numbers without padding, and any numbers make one.
            match unsafe { raw::receive(self.start.socket, &mut order) } {
                Ok(()) => return News::Order(order),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => return News::Alone,
            }
            let mut left = None;
            // Once let go, nothing is left that could be late.
            if let Some(holding) = self.holding.filter(|_| !self.shared.let_go.load(Ordering::Relaxed)) {
                let now = raw::monotonic_ns();
                if now >= holding.deadline_ns {
                    return News::Late;
                }
                left = Some(holding.deadline_ns - now);
            }
            let [_, ended] = raw::poll([self.start.socket, self.start.loiter], left);
            if ended {
                return News::Alone;
            }
        }
    }

    /// Whether loiter has ended. Checked while the tracer waits for something else.
    fn is_alone(&self) -> bool {
        let [_, ended] = raw::poll([-1, self.start.loiter], Some(0));
        ended || raw::parent() != self.start.loiter_pid as usize
    }

    /// Stops threads. False if the tracer has to end.
    fn stop(&mut self, order: &Order) -> bool {
        if !self.shared.let_go.load(Ordering::Relaxed) {
            let since_ns = raw::monotonic_ns();
            let holding = *self.holding.get_or_insert(Holding { since_ns, deadline_ns: order.deadline_ns });
            // SAFETY: loiter keeps the block until everything has been released.
            let Some(block) = (unsafe { (order.block as *const Block).as_ref() }) else { return false };
            block.before.store(self.last.cast_mut(), Ordering::Relaxed);
            self.last = block;
            let armed = self.timer.set(holding.deadline_ns.saturating_add(GRACE_NS));
            for thread in &block.threads {
                // Nothing is held without a timer that ends it.
                let outcome = armed.map_or_else(Outcome::Refused, |()| seize(thread.tid));
                thread.set(outcome);
                if matches!(outcome, Outcome::Refused(_)) || holding.is_late() {
                    break;
                }
            }
            self.wait(block, holding, u64::from(order.patience_ms).saturating_mul(1_000_000));
        }
        self.answer(orders::STOPPED, 0, false)
    }

    /// Waits until every thread has stopped or ended, or the patience is over.
    fn wait(&self, block: &Block, holding: Holding, patience_ns: u64) {
        let begun = raw::monotonic_ns();
        let mut round = 0u32;
        while !self.look(block) {
            let now = raw::monotonic_ns();
            let hopeless = self.shared.hopeless.load(Ordering::Relaxed);
            if hopeless || now.saturating_sub(begun) > patience_ns || holding.is_late() {
                break;
            }
            round = round.wrapping_add(1);
            if round < SPINS {
                std::hint::spin_loop();
                continue;
            }
            raw::sleep_ns(WAIT_PAUSE_NS);
            if round.is_multiple_of(64) && self.is_alone() {
                break;
            }
        }
        // Threads of earlier orders that have stopped since.
        for block in Blocks(block.before.load(Ordering::Relaxed)) {
            self.look(block);
        }
    }

    /// Checks which threads of a block have stopped. True if none is still expected to.
    fn look(&self, block: &Block) -> bool {
        let mut all = true;
        for thread in block.threads.iter().filter(|thread| thread.outcome() == Outcome::Coming) {
            match raw::wait(thread.tid) {
                Waited::Nothing => all = false,
                Waited::Stopped(signal) => thread.stopped_by(signal, raw::registers(thread.tid)),
                Waited::Gone => thread.set(Outcome::Gone),
            }
        }
        all
    }

    /// The end of a stop that loiter requests.
    fn end_of_stop(&mut self) -> bool {
        let held = self.holding.map_or(0, |holding| holding.since_ns);
        let all = self.release();
        let held = if held == 0 { 0 } else { raw::monotonic_ns().saturating_sub(held) };
        self.holding = None;
        self.answer(orders::RELEASED, held, !all)
    }

    /// The end of a stop that loiter did not request: loiter is told before any thread moves.
    fn let_go_early(&mut self) -> bool {
        if self.holding.is_some() {
            self.shared.let_go.store(true, Ordering::SeqCst);
            // If some threads do not stop, only the end of this process lets them go.
            return self.release();
        }
        true
    }

    fn answer(&self, what: u32, held_ns: u64, ends: bool) -> bool {
        let answer = Answer { what, ends: ends.into(), held_ns, ..Answer::NONE };
        raw::send(self.start.socket, &answer).is_ok() && !ends
    }

    /// Lets all threads go. False if one has not stopped, or was killed while it was stopped: it cannot be
    /// detached, and the kernel does that when this process ends.
    fn release(&mut self) -> bool {
        let mut all = true;
        for block in Blocks(std::mem::replace(&mut self.last, ptr::null())) {
            self.look(block);
            for thread in &block.threads {
                match thread.outcome() {
                    Outcome::Stopped => all &= raw::detach(thread.tid, thread.signal()).is_ok(),
                    Outcome::Coming => all = false,
                    Outcome::Untouched | Outcome::Gone | Outcome::Refused(_) => {}
                }
            }
        }
        // If it cannot be disarmed, it must not fire in the next stop.
        all & self.timer.set(0).is_ok()
    }
}

/// Seizes and interrupts a thread.
fn seize(tid: u32) -> Outcome {
    match raw::seize(tid) {
        Ok(()) => {}
        Err(Errno::ESRCH) => return Outcome::Gone,
        Err(errno) => return Outcome::Refused(errno),
    }
    // From here on it has to be let go. A thread that cannot be interrupted has ended.
    let _ = raw::interrupt(tid);
    Outcome::Coming
}

/// A block and the blocks of earlier orders.
struct Blocks(*const Block);

impl Iterator for Blocks {
    type Item = &'static Block;

    fn next(&mut self) -> Option<&'static Block> {
        // SAFETY: loiter keeps all blocks of a stop until they have been released, and no caller keeps what
        // comes from here for longer.
        let block = unsafe { self.0.as_ref() }?;
        self.0 = block.before.load(Ordering::Relaxed);
        Some(block)
    }
}
