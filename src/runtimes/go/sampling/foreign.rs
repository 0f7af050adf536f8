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
use super::trace::Tracer;
use crate::process::{Target, monotonic_ns};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::unwind::Start;
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
#[derive(Default)]
pub(super) struct ForeignCalls {
    known: FxHashMap<u32, Known>,
}

impl Tracer<'_> {
    /// The frames of a goroutine that was in a call of C on this thread at a time. None if it is not certain that they
    /// were its frames then.
    pub(super) fn callers_in_go(
        &mut self,
        tid: u32,
        machine: &Machine,
        goroutine: u64,
        at_ns: u64,
    ) -> Option<(Vec<Place>, StackStatus)> {
        let mut known = self.foreign.known.remove(&tid);
        if known.as_ref().is_none_or(|known| known.read_ns <= at_ns) {
            known = self.read_call(machine, known);
        }
        let known = known?;
        let certain = known.call.at(at_ns).flatten().filter(|call| call.goroutine == goroutine);
        let callers = known.callers.as_ref().filter(|(call, ..)| certain == Some(*call));
        let found = callers.map(|(_, places, status)| (places.clone(), *status));
        if self.foreign.known.len() >= MAX_THREADS {
            self.foreign.known.clear();
        }
        self.foreign.known.insert(tid, known);
        found
    }

    /// Reads which call a thread is in now, and the frames if it is a new one.
    fn read_call(&mut self, machine: &Machine, known: Option<Known>) -> Option<Known> {
        let (go, target) = (self.go, self.target);
        let begin = monotonic_ns();
        let unwinder = &self.unwinder;
        let is_foreign = |call: &Call| unwinder.is_function(call.pc, "runtime.cgocall");
        let mut call = current(go, target, machine).filter(is_foreign);
        let mut callers = known.as_ref().and_then(|known| known.callers.clone());
        if let Some(now) = call.filter(|now| callers.as_ref().is_none_or(|(call, ..)| call != now)) {
            callers = self.read_callers(now).map(|(places, status)| (now, places, status));
            // It must have been this call's stack while it was read.
            call = current(go, target, machine).filter(|again| *again == now);
        }
        let end = monotonic_ns();
        let mut known =
            known.unwrap_or_else(|| Known { call: Runs::new(call, begin, end), read_ns: 0, callers: None });
        if known.read_ns != 0 {
            known.call.note(call, begin, end);
        }
        (known.read_ns, known.callers) = (begin, callers.filter(|(of, ..)| Some(*of) == call));
        Some(known)
    }

    fn read_callers(&mut self, call: Call) -> Option<(Vec<Place>, StackStatus)> {
        let len = call.stack_hi.checked_sub(call.sp).filter(|len| *len <= MAX_STACK)?;
        let bytes = self.target.read_vec(call.sp, usize::try_from(len).ok()?).ok()?;
        let mut places = Vec::new();
        let start = Start { pc: call.pc, sp: call.sp, bp: 0, interrupted: false };
        let status = self.walk_known(start, &bytes, &mut places);
        Some((places, status))
    }
}

/// The call of C that a thread is in. None if it is in none, or that changed while it was read.
fn current(go: &Go, target: &dyn Target, machine: &Machine) -> Option<Call> {
    let offsets = &go.offsets;
    let field = |offset: u64| target.read_u64(machine.m.checked_add(offset)?).ok();
    let number = field(offsets.m_ncgocall?)?;
    let goroutine = field(offsets.m_curg)?;
    let raw = Raw::read(target, goroutine, offsets).ok()??;
    let (pc, sp) = raw.left_at()?;
    let is_whole = raw.m == machine.m && raw.on_stack(sp) && field(offsets.m_ncgocall?)? == number;
    is_whole.then_some(Call { m: machine.m, number, goroutine, stack_hi: raw.stack_hi, pc, sp })
}
