//! Examines one goroutine: which of the locks that others wait for does it hold?
//!
//! Its frames are run ahead from the innermost outwards, as the goroutine will continue. An unlock without a
//! lock on the path before it unlocks a lock that is held now.

use rustc_hash::FxHashMap;

use super::code::{OpenDefers, Unknown};
use super::lookahead::{Ahead, Deferred, Goroutine, Taken};
use crate::process::bytes::word;
use crate::process::paged::PagedMemory;
use crate::runtimes::go::arch::state::{CpuState, Known, Value, World};
use crate::runtimes::go::offsets::Offsets;
use crate::runtimes::go::sync::{LockOp, is_waiting_code, waits_for_lock};
use crate::runtimes::go::unwind::{CodeAddress, Window};

/// Code addresses that are remembered.
const MAX_PARTS: usize = 1 << 20;
/// Deferred calls of one goroutine that are read.
const MAX_DEFERRED: usize = 1024;
/// Locks that one goroutine is found to hold.
const MAX_HELD: usize = 256;

/// A frame of a stack: where its code continues, and with which stack pointer.
#[derive(Debug, Clone, Copy)]
pub(in crate::runtimes::go) struct Frame {
    pub(in crate::runtimes::go) pc: CodeAddress,
    pub(in crate::runtimes::go) sp: u64,
}

/// A lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) lock: u64,
    pub(super) shared: bool,
    /// The frame that will unlock it.
    pub(super) pc: CodeAddress,
}

/// What code on a stack does with locks, by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It waits, or is in the middle of taking a lock.
    Waits,
    /// It takes a lock.
    Takes,
    /// It may unlock something.
    Unlocks,
    /// `runtime.deferreturn`: runs what its caller deferred.
    Defers,
    /// `runtime.asyncPreempt`: restores the registers of its interrupted caller.
    Restores,
    /// Panics or exits: its caller does not continue, but the caller's deferred calls are run.
    Leaves,
    /// Nothing.
    Nothing,
}

/// What code does with locks, computed once for each address: code does not change.
#[derive(Debug, Default)]
pub(super) struct Parts {
    known: FxHashMap<CodeAddress, Part>,
}

impl Parts {
    pub(super) fn of(&mut self, pc: CodeAddress, ahead: &mut Ahead<'_>) -> Part {
        if let Some(&known) = self.known.get(&pc) {
            return known;
        }
        if ahead.is_out_of_budget() {
            return Part::Nothing;
        }
        let part = part(pc, ahead);
        if ahead.text.is_out_of_budget() {
            // The result may be incomplete; another reading does better.
            return part;
        }
        if self.known.len() >= MAX_PARTS {
            self.known.clear();
        }
        self.known.insert(pc, part);
        part
    }
}

fn part(pc: CodeAddress, ahead: &mut Ahead<'_>) -> Part {
    let Some(function) = ahead.text.find(pc.pc()) else { return Part::Nothing };
    match function.name.as_str() {
        "runtime.deferreturn" => Part::Defers,
        "runtime.asyncPreempt" => Part::Restores,
        "runtime.gopanic" | "runtime.Goexit" => Part::Leaves,
        name if matches!(LockOp::of(name), Some(LockOp::Lock { .. })) || waits_for_lock(name) => Part::Takes,
        name if is_waiting_code(name) => Part::Waits,
        _ => {
            let outlook = ahead.run(pc.pc(), CpuState::behind_call(0), &[], &mut Unknown);
            if outlook.more || !outlook.held.is_empty() { Part::Unlocks } else { Part::Nothing }
        }
    }
}

impl Goroutine for Unknown {
    fn deferred(&mut self, _: u64, _: usize) -> Deferred {
        Deferred::Unknown
    }
}

/// A goroutine that does not move.
pub(in crate::runtimes::go) struct StoppedGoroutine<'l, 'a> {
    memory: &'l mut PagedMemory<'a>,
    offsets: &'l Offsets,
    stack: Window<'l>,
    /// The address of its struct.
    g: u64,
    /// The list of its deferred calls, once it was read: stack pointer and closure, newest first.
    deferred: Option<Vec<(u64, u64)>>,
}

impl<'l, 'a> StoppedGoroutine<'l, 'a> {
    pub(in crate::runtimes::go) fn new(
        memory: &'l mut PagedMemory<'a>,
        offsets: &'l Offsets,
        stack: Window<'l>,
        g: u64,
    ) -> Self {
        StoppedGoroutine { memory, offsets, stack, g, deferred: None }
    }
}

impl World for StoppedGoroutine<'_, '_> {
    fn word(&mut self, address: u64) -> Value {
        match address.checked_sub(self.stack.base).and_then(|at| usize::try_from(at).ok()) {
            Some(at) if at.saturating_add(8) <= self.stack.bytes.len() => {
                Some(Known { number: word(self.stack.bytes, at), firm: true })
            }
            _ => self.memory.word(address).map(|number| Known { number, firm: false }),
        }
    }
}

impl Goroutine for StoppedGoroutine<'_, '_> {
    fn deferred(&mut self, stack_pointer: u64, nth: usize) -> Deferred {
        let of_function = |(sp, closure): &(u64, u64)| (*sp == stack_pointer).then_some(*closure);
        let nth = self.list().iter().filter_map(of_function).nth(nth);
        nth.map_or(Deferred::None, Deferred::Call)
    }
}

impl StoppedGoroutine<'_, '_> {
    pub(in crate::runtimes::go) fn list(&mut self) -> &[(u64, u64)] {
        if self.deferred.is_none() {
            let mut list = Vec::new();
            // As far as it can be read.
            let _ = self.read_list(&mut list);
            self.deferred = Some(list);
        }
        self.deferred.as_deref().unwrap_or_default()
    }

    /// Source: `src/runtime/panic.go` (`deferproc`, `deferreturn`): calls in loops, and all others that the
    /// compiler did not turn into code at the function's end. None if the rest of the list cannot be read.
    fn read_list(&mut self, list: &mut Vec<(u64, u64)>) -> Option<()> {
        let o = self.offsets;
        let (head, at_sp, at_fn, link) = (o.g_defer?, o.defer_sp?, o.defer_fn?, o.defer_link?);
        let mut record = self.number(self.g.wrapping_add(head))?;
        for _ in 0..MAX_DEFERRED {
            if record == 0 {
                break;
            }
            let sp = self.number(record.wrapping_add(at_sp))?;
            // A record without a closure heads a separate list: calls deferred within a loop over a function.
            let closure = self.number(record.wrapping_add(at_fn))?;
            if closure != 0 {
                list.push((sp, closure));
            }
            record = self.number(record.wrapping_add(link))?;
        }
        Some(())
    }

    /// The closures on the goroutine's list that the function with this stack pointer deferred.
    pub(in crate::runtimes::go) fn all_deferred(&mut self, stack_pointer: u64) -> Vec<u64> {
        let own = |(sp, closure): &(u64, u64)| (*sp == stack_pointer).then_some(*closure);
        self.list().iter().filter_map(own).take(MAX_HELD).collect()
    }

    /// The closures that a frame deferred and that have not been run; a byte of the frame says which. Only
    /// those with code at the function's end. `end` is the stack pointer with which the frame's caller
    /// continues.
    ///
    /// Source: `FUNCDATA_OpenCodedDeferInfo`, `src/cmd/compile/internal/ssagen/ssa.go` (`emitOpenDeferInfo`).
    pub(in crate::runtimes::go) fn deferred_in_code(&mut self, layout: &OpenDefers, end: u64) -> Vec<u64> {
        // Below the return address and the caller's frame pointer.
        let variables = end.wrapping_sub(16);
        let at = variables.wrapping_sub(layout.bits);
        let Some(word) = self.number(at & !7) else { return Vec::new() };
        let bits = word >> (8 * (at & 7)) & 0xff;
        (0..8)
            .filter(|nth| bits >> nth & 1 == 1)
            .filter_map(|nth| layout.slots.get(nth))
            .filter_map(|slot| self.number(variables.wrapping_sub(*slot)))
            .filter(|closure| *closure != 0)
            .collect()
    }

    fn number(&mut self, address: u64) -> Option<u64> {
        self.word(address).map(|word| word.number)
    }
}

/// The examination of one goroutine.
pub(super) struct Look<'l, 'm, 'a> {
    pub(super) goroutine: StoppedGoroutine<'m, 'a>,
    pub(super) ahead: &'l mut Ahead<'a>,
    pub(super) parts: &'l mut Parts,
    /// The locks that it waits for or will take before it continues.
    pub(super) taken: Vec<Taken>,
    /// The registers of its innermost frame, where they are known.
    pub(super) state: Option<CpuState>,
}

impl Look<'_, '_, '_> {
    /// The locks that the goroutine holds, and whether all of its frames were examined.
    pub(super) fn held(mut self, frames: &[Frame]) -> (Vec<Held>, bool) {
        let mut held: Vec<Held> = Vec::new();
        let (mut waiting, mut left) = (true, false);
        for (nth, frame) in frames.iter().enumerate() {
            if self.ahead.is_out_of_budget() {
                return (held, false);
            }
            let state = self.state.take();
            let caller = frames.get(nth + 1);
            let part = self.parts.of(frame.pc, self.ahead);
            let mut pc = frame.pc;
            let found = match part {
                Part::Takes if waiting && self.taken.is_empty() => {
                    self.taken.push(Taken::Unknown);
                    continue;
                }
                Part::Takes | Part::Waits => continue,
                Part::Leaves => {
                    left = true;
                    continue;
                }
                Part::Restores => {
                    let state = CpuState::behind_call(frame.sp);
                    self.state = self.ahead.run(frame.pc.pc(), state, &[], &mut self.goroutine).returned;
                    continue;
                }
                _ if left => {
                    left = false;
                    self.leaves(*frame, caller)
                }
                Part::Defers => {
                    let Some(caller) = caller else { continue };
                    pc = caller.pc;
                    let closures = self.goroutine.all_deferred(caller.sp);
                    self.closures(&closures, frame.sp)
                }
                Part::Nothing if !frame.pc.is_interrupted() => Vec::new(),
                Part::Unlocks | Part::Nothing => self.goes_on(*frame, state),
            };
            waiting = false;
            for (lock, shared) in found {
                if held.len() < MAX_HELD && !held.iter().any(|held| held.lock == lock) {
                    held.push(Held { lock, shared, pc });
                }
            }
        }
        (held, !self.ahead.text.is_out_of_budget())
    }

    /// What a frame unlocks when it continues.
    fn goes_on(&mut self, frame: Frame, state: Option<CpuState>) -> Vec<(u64, bool)> {
        let pc = frame.pc.pc();
        if frame.pc.is_interrupted() && self.ahead.text.is_locking(pc) {
            // Did it get the lock? Only the processor's flags say so.
            self.taken.push(Taken::Unknown);
        }
        let state = state.unwrap_or_else(|| CpuState::behind_call(frame.sp));
        let outlook = self.ahead.run(pc, state, &self.taken, &mut self.goroutine);
        if outlook.cut || outlook.returned.is_none() {
            for one in outlook.taken {
                if !self.taken.contains(&one) {
                    self.taken.push(one);
                }
            }
        } else {
            self.taken = outlook.taken;
        }
        outlook.held
    }

    /// What a frame unlocks if it does not continue, because of a panic or because the goroutine ends: only
    /// its deferred calls are run.
    fn leaves(&mut self, frame: Frame, caller: Option<&Frame>) -> Vec<(u64, bool)> {
        let mut closures = self.goroutine.all_deferred(frame.sp);
        let layout = self.ahead.text.open_defers(frame.pc.pc());
        if let (Some(layout), Some(caller)) = (layout, caller) {
            closures.append(&mut self.goroutine.deferred_in_code(&layout, caller.sp));
        }
        self.closures(&closures, frame.sp)
    }

    /// What these closures unlock if they run below a frame.
    fn closures(&mut self, closures: &[u64], stack_pointer: u64) -> Vec<(u64, bool)> {
        const BELOW: u64 = 1 << 12;
        self.ahead.run_closures(closures, stack_pointer.wrapping_sub(BELOW), &self.taken, &mut self.goroutine)
    }
}
