//! Threads that do not run: which goroutine they run, and where.
//!
//! While a thread is blocked in the kernel, nothing changes the goroutine on it but the thread itself. So the memory
//! says what is true, if the thread has not run while it was read.

use super::Found;
use super::evidence::Place;
use super::trace::Tracer;
use crate::process::{Blocked, Moment, Registers, Target};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::unwind::Start;
use crate::snapshot::StackStatus;
use crate::symbols::native::NativeFrame;

/// No more of a stack is read, bytes.
const MAX_STACK: u64 = 1 << 20;
/// No more of a stack whose end is not known is read, bytes.
const UNKNOWN_STACK: u64 = 16 << 10;

/// Reads what a blocked thread runs. None if it is not blocked or runs no Go code. The caller checks that it has not
/// run meanwhile.
pub(super) fn read(go: &Go, target: &dyn Target, tracer: &mut Tracer<'_>, tid: u32) -> Option<Found> {
    let at = target.blocked_at(tid)?;
    let machine = tracer.machines.find(tid)?;
    let curg = target.read_u64(machine.m.checked_add(go.offsets.m_curg)?).ok()?;
    let goroutine = match curg {
        0 => None,
        curg => Some(Raw::read(target, curg, &go.offsets).ok()??),
    };
    if goroutine.as_ref().is_some_and(|raw| raw.is_over() || raw.m != machine.m) {
        return None;
    }
    let end = match &goroutine {
        Some(raw) if raw.on_stack(at.sp) => Some(raw.stack_hi),
        _ => machine.stack_end(at.sp),
    };
    let bytes = copy(target, at.sp, end)?;
    let (mut places, mut status) = (Vec::new(), StackStatus::Broken);
    if let Some(raw) = goroutine.filter(|raw| raw.on_stack(at.sp)) {
        let start = Start { pc: at.pc, sp: at.sp, bp: 0, interrupted: true };
        status = tracer.walk_known(start, &bytes, &mut places);
        return Some(Found { goroutine: Some(raw), places, status, at });
    }
    let moment = moment(tid, at, &bytes);
    let trace = tracer.trace_from(&moment, NativeFrame::innermost(at.pc, at.sp, None));
    let Some(raw) = goroutine else {
        return Some(Found { goroutine: None, places: trace.places, status: trace.status, at });
    };
    // The part on the thread's own stack, then the goroutine's, which waits for it.
    let joins = trace.places.last().is_some_and(|place| is_switch(place, tracer));
    let (pc, sp, bp) = raw.parked_at();
    if raw.on_stack(sp) {
        places.extend(trace.places.into_iter().filter(|place| !is_switch(place, tracer)));
        let bytes = copy(target, sp, Some(raw.stack_hi))?;
        status = tracer.walk_known(Start { pc, sp, bp, interrupted: false }, &bytes, &mut places);
    }
    if !joins && status == StackStatus::Complete {
        status = StackStatus::Gaps;
    }
    Some(Found { goroutine: Some(raw), places, status, at })
}

/// The functions that lead from a goroutine's stack to the thread's own.
fn is_switch(place: &Place, tracer: &mut Tracer<'_>) -> bool {
    match place {
        Place::Go(address) => tracer.switches(address.pc()),
        Place::Within(_) | Place::Native(_) => false,
    }
}

fn copy(target: &dyn Target, sp: u64, end: Option<u64>) -> Option<Vec<u8>> {
    let len = end.map_or(UNKNOWN_STACK, |end| end.saturating_sub(sp).min(MAX_STACK));
    target.read_vec(sp, usize::try_from(len).ok()?).ok()
}

fn moment(tid: u32, at: Blocked, stack: &[u8]) -> Moment<'_> {
    let mut general = [0; 16];
    general[crate::process::registers::STACK_POINTER] = at.sp;
    let registers = Registers { pc: at.pc, sp: at.sp, bp: 0, tls: 0, general };
    Moment { tid, at_ns: 0, registers, in_kernel: true, chain: &[], kernel_chain: &[], stack }
}
