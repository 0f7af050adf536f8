//! The Go callers of C code that keeps no frame pointers: neither the copied stack nor the kernel's chain has them.
//!
//! They are in the memory of the goroutine's stack, which does not change while the call lasts, but may have been another
//! call's when the sample was taken. What proves that it is the same one is the number of calls that the thread has begun
//! (`ncgocall` of its M, which `runtime.cgocall` raises; `src/runtime/cgocall.go` of Go 1.19 to 1.27): two readings, one
//! before the sample and one after it, find the same number and the same place on the goroutine's stack. So only calls
//! that last for some readings have their callers.

use rustc_hash::FxHashMap;

use super::evidence::Place;
use super::runs::Runs;
use super::threads::Machine;
use crate::process::{Target, monotonic_ns};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::unwind::{Start, Unwinder, Window};
use crate::snapshot::StackStatus;

/// Threads that are remembered.
const MAX_THREADS: usize = 1 << 12;
/// The callers of a goroutine with more stack than this are left out, bytes.
const MAX_STACK: u64 = 256 << 10;

/// A call of C by a goroutine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    m: u64,
    /// How many calls the thread had begun.
    number: u64,
    goroutine: u64,
    /// Where the goroutine's stack ends, and where it was left.
    stack_hi: u64,
    pc: u64,
    sp: u64,
}

/// What is known of a thread.
struct Known {
    call: Runs<Option<Call>>,
    read_ns: u64,
    /// The frames of the goroutine in this call.
    callers: Option<(Call, Vec<Place>, StackStatus)>,
}

/// The calls of C that threads are in.
pub(super) struct ForeignCalls<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    known: FxHashMap<u32, Known>,
}

impl<'a> ForeignCalls<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target) -> Self {
        ForeignCalls { go, target, known: FxHashMap::default() }
    }

    /// The frames of a goroutine that was in a call of C on this thread at a time. None if it is not certain that they
    /// were its frames then.
    pub(super) fn callers(
        &mut self,
        unwinder: &mut Unwinder<'_>,
        (tid, machine): (u32, &Machine),
        goroutine: u64,
        at_ns: u64,
    ) -> Option<(Vec<Place>, StackStatus)> {
        let mut known = self.known.remove(&tid);
        if known.as_ref().is_none_or(|known| known.read_ns <= at_ns) {
            known = Some(self.read(unwinder, machine, known));
        }
        let known = known?;
        let certain = known.call.at(at_ns).flatten().filter(|call| call.goroutine == goroutine);
        let callers = known.callers.as_ref().filter(|(call, ..)| certain == Some(*call));
        let found = callers.map(|(_, places, status)| (places.clone(), *status));
        if self.known.len() >= MAX_THREADS {
            self.known.clear();
        }
        self.known.insert(tid, known);
        found
    }

    /// Reads which call a thread is in now, and the frames if it is a new one.
    fn read(&self, unwinder: &mut Unwinder<'_>, machine: &Machine, known: Option<Known>) -> Known {
        let begin = monotonic_ns();
        let mut call = self.current(machine).filter(|call| {
            unwinder.code(call.pc).is_some() && unwinder.is_function(call.pc, "runtime.cgocall")
        });
        let mut callers = known.as_ref().and_then(|known| known.callers.clone());
        if let Some(now) = call.filter(|now| callers.as_ref().is_none_or(|(call, ..)| call != now)) {
            callers = self.frames(unwinder, now).map(|(places, status)| (now, places, status));
            // It must have been this call's stack while it was read.
            call = self.current(machine).filter(|again| *again == now);
        }
        let end = monotonic_ns();
        let callers = callers.filter(|(of, ..)| Some(*of) == call);
        let mut runs = known.map_or(Runs::new(call, begin, end), |known| known.call);
        runs.note(call, begin, end);
        Known { call: runs, read_ns: begin, callers }
    }

    fn frames(&self, unwinder: &mut Unwinder<'_>, call: Call) -> Option<(Vec<Place>, StackStatus)> {
        let len = call.stack_hi.checked_sub(call.sp).filter(|len| *len <= MAX_STACK)?;
        let bytes = self.target.read_vec(call.sp, usize::try_from(len).ok()?).ok()?;
        let mut places = Vec::new();
        let start = Start { pc: call.pc, sp: call.sp, bp: 0, interrupted: false };
        let window = Window { base: call.sp, bytes: &bytes, cut: false };
        let status = unwinder.trace(start, window, &mut |pc, _| places.push(Place::Go(pc))).status;
        Some((places, status))
    }

    /// The call of C, or of the system, that a thread is in. None if it is in none, or that changed while it was read.
    fn current(&self, machine: &Machine) -> Option<Call> {
        let offsets = &self.go.offsets;
        let field = |offset: u64| self.target.read_u64(machine.m.checked_add(offset)?).ok();
        let number = field(offsets.m_ncgocall?)?;
        let goroutine = field(offsets.m_curg)?;
        let raw = Raw::read(self.target, goroutine, offsets).ok()??;
        let (pc, sp) = raw.left_at()?;
        let is_whole = raw.m == machine.m && raw.on_stack(sp) && field(offsets.m_ncgocall?)? == number;
        is_whole.then_some(Call { m: machine.m, number, goroutine, stack_hi: raw.stack_hi, pc, sp })
    }
}
