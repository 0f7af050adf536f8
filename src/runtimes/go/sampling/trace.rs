//! The stack of a moment, and what it proves about whose it is.
//!
//! A thread's code may have changed stacks on the way to where it is: from a goroutine's stack to the thread's system
//! stack (`systemstack`, C, the vDSO's clock), or to the signal stack. Each part is unwound by its own tables. The
//! goroutine is named by what the stacks and registers hold, never by what the target's memory says now.
//! Source: `src/runtime/asm_amd64.s`, `src/runtime/sys_linux_amd64.s` of Go 1.19 to 1.27.

use rustc_hash::FxHashMap;

use super::calls::{Calls, Link};
use super::chain;
use super::evidence::{MAX_FRAMES, Place, Trace, Tracing};
use super::foreign::ForeignCalls;
use super::goroutines::{Goroutines, OnStack};
use super::threads::Machines;
use crate::process::registers::FRAME_POINTER;
use crate::process::{Moment, Target, monotonic_ns};
use crate::runtimes::go::unwind::{Code, CodeAddress, Start, Switch, Unwinder, Window};
use crate::runtimes::go::{Go, arch};
use crate::snapshot::StackStatus;
use crate::symbols::native::{NativeCode, NativeFrame};

/// Changes of stacks in one moment. A signal in C that a goroutine called in a callback has five.
const MAX_PARTS: usize = 16;

/// Function literals whose surrounding functions are looked up. The runtime has some dozens on system stacks.
const MAX_ENCLOSERS: usize = 256;

/// The shortest time between two readings of the target's images, nanoseconds.
const IMAGES_NS: u64 = 2_000_000_000;

/// Traces moments of the threads of a target.
pub(super) struct Tracer<'a> {
    go: &'a Go,
    pub(super) goroutines: Goroutines<'a>,
    pub(super) machines: Machines<'a>,
    pub(super) native: NativeCode,
    pub(super) unwinder: Unwinder<'a>,
    calls: Calls<'a>,
    pub(super) foreign: ForeignCalls<'a>,
    /// By function literal: the function around it.
    enclosers: FxHashMap<u64, Option<u64>>,
    /// Code was met that is in no known image.
    pub(super) unknown_code: bool,
    /// Images are not read again before this time.
    next_images_ns: u64,
    /// Before 1.22 `asmcgocall` saved its goroutine further up.
    pub(super) old_slot: bool,
}

/// Which kind of stack an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// A goroutine's, up to this address.
    Goroutine(u64),
    /// The thread's own.
    Own,
    Unknown,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target, native: NativeCode) -> Self {
        Tracer {
            go,
            goroutines: Goroutines::new(go, target),
            machines: Machines::new(go, target),
            native,
            unknown_code: false,
            next_images_ns: 0,
            unwinder: Unwinder::strict(&go.modules, MAX_FRAMES),
            calls: Calls::new(go, target),
            foreign: ForeignCalls::new(go, target),
            enclosers: FxHashMap::default(),
            old_slot: go.build.minor.is_some_and(|minor| minor < 22),
        }
    }

    /// Reads the target's images again if code was met that is in none. True if they were read.
    pub(super) fn renew_images(&mut self, target: &dyn Target) -> bool {
        if !self.unknown_code || monotonic_ns() < self.next_images_ns {
            return false;
        }
        self.unknown_code = false;
        self.next_images_ns = monotonic_ns().saturating_add(IMAGES_NS);
        self.native.renew(target).is_ok()
    }

    /// Unwinds a moment and finds out whose it is.
    pub(super) fn trace(&mut self, moment: &Moment<'_>) -> Trace {
        self.trace_from(moment, NativeFrame::with_registers(&moment.registers))
    }

    /// The same from an innermost frame, of which perhaps not all registers are known.
    pub(super) fn trace_from(&mut self, moment: &Moment<'_>, innermost: NativeFrame) -> Trace {
        let machine = self.machines.of(moment.tid).copied();
        let mut tracing = Tracing::new(moment, machine);
        if tracing.machine.is_none() {
            self.machines.note_missing(moment.tid);
        }
        let mut at = Some(innermost);
        for _ in 0..MAX_PARTS {
            let Some(frame) = at.filter(|_| !tracing.is_full()) else { break };
            at = match self.unwinder.code(frame.pc) {
                Some(code) => self.go(&mut tracing, &frame, code),
                None => self.native(&mut tracing, frame),
            };
        }
        tracing.finish()
    }

    /// Unwinds Go code on a stack whose bytes are all known.
    pub(super) fn walk_known(&mut self, start: Start, bytes: &[u8], places: &mut Vec<Place>) -> StackStatus {
        let window = Window { base: start.sp, bytes, cut: false };
        self.unwinder.trace(start, window, &mut |pc, _| places.push(Place::Go(pc))).status
    }

    /// Is this an address in the function that ends goroutines?
    pub(super) fn is_exit(&mut self, pc: u64) -> bool {
        self.unwinder.code(pc).is_some_and(|code| code.exit)
    }

    /// Is this an address in a function that leads from one stack to another?
    pub(super) fn switches(&mut self, pc: u64) -> bool {
        self.unwinder.code(pc).is_some_and(|code| code.switch != Switch::No)
    }

    /// Unwinds Go code, to where it ends or is no longer Go code.
    fn go(&mut self, tracing: &mut Tracing<'_>, frame: &NativeFrame, code: Code) -> Option<NativeFrame> {
        tracing.go_code = true;
        let mut side = self.side(tracing, frame, code);
        let bp = frame.general(FRAME_POINTER).unwrap_or(0);
        let mut start = Start { pc: frame.pc, sp: frame.sp, bp, interrupted: frame.is_interrupted };
        if code.switch == Switch::Foreign && !frame.is_interrupted {
            return self.foreign_call(tracing, frame, code);
        }
        if code.switch == Switch::SignalEnd && frame.is_interrupted {
            tracing.push(Place::Go(CodeAddress::interrupted(frame.pc)));
            return self.interrupted(tracing, frame.sp);
        }
        if code.writes_sp && code.switch == Switch::No {
            // Calls into the vDSO: the stack pointer proper is in r12 meanwhile.
            if let Some(proper) = behind(frame, code) {
                start.sp = proper;
                side = self.side_at(tracing, proper, frame.general(arch::G_REGISTER), true);
            }
        }
        if let (Side::Own | Side::Unknown, true) = (side, frame.is_interrupted) {
            let place = Place::Go(CodeAddress::interrupted(frame.pc));
            match code.switch {
                // Called on the system stack, it does not switch.
                Switch::System | Switch::Foreign if tracing.is_own(bp) => {}
                Switch::System | Switch::Foreign => {
                    tracing.push(place);
                    return self.on_goroutine(tracing, code, bp);
                }
                // The scheduler's g is in the register, but the stack is still the goroutine's.
                Switch::Scheduler if tracing.machine.is_some() && !tracing.is_own(frame.sp) => {}
                Switch::Scheduler => {
                    tracing.push(place);
                    tracing.scheduler = true;
                    return tracing.ends(StackStatus::Complete);
                }
                Switch::Grow | Switch::Callback | Switch::Resume => {
                    tracing.push(place);
                    return tracing.ends(StackStatus::Broken);
                }
                Switch::No | Switch::Signal | Switch::SignalEnd => {}
            }
        }
        if code.switch == Switch::Resume && matches!(side, Side::Goroutine(_)) {
            tracing.push(Place::Go(CodeAddress::interrupted(frame.pc)));
            return tracing.ends(StackStatus::Broken);
        }
        self.walk(tracing, start, side)
    }

    pub(super) fn walk(
        &mut self,
        tracing: &mut Tracing<'_>,
        start: Start,
        side: Side,
    ) -> Option<NativeFrame> {
        let window = window(tracing.moment, side);
        let Tracing { places, .. } = tracing;
        let end = self.unwinder.trace(start, window, &mut |pc, _| {
            if places.len() < MAX_FRAMES {
                places.push(Place::Go(pc));
            }
        });
        let Some(last) = self.unwinder.code(end.pc) else {
            // C that called Go, or nothing that is known.
            let known = end.pc != start.pc && self.native.image(end.pc).is_some();
            let caller = NativeFrame::returned(end.pc, end.sp, (end.bp != 0).then_some(end.bp));
            return if known { Some(caller) } else { tracing.ends(StackStatus::Broken) };
        };
        match (end.status, last.switch) {
            // The kernel left where `sigtramp` returns to, and the context behind it.
            (StackStatus::Complete, Switch::Signal) => {
                self.interrupted(tracing, end.sp.saturating_add(last.delta).saturating_add(8))
            }
            (StackStatus::Complete, _) => {
                tracing.is_goroutine |= self.is_exit(end.pc);
                let goroutine = matches!(side, Side::Goroutine(_)) || tracing.is_goroutine;
                tracing.scheduler |= !goroutine && tracing.named.is_none();
                tracing.ends(StackStatus::Complete)
            }
            (StackStatus::Broken, Switch::System) => self.on_goroutine(tracing, last, end.bp),
            (StackStatus::Broken, Switch::Grow) if self.schedules(tracing) => {
                tracing.scheduler = true;
                tracing.ends(StackStatus::Complete)
            }
            (StackStatus::Broken, Switch::Scheduler) => {
                tracing.scheduler = true;
                tracing.ends(StackStatus::Complete)
            }
            (StackStatus::Truncated, _) => {
                let slot = end.sp.saturating_add(last.delta);
                // The frame pointer is where the line table says that it must be. A function without a frame leaves its
                // caller's, unless it is assembly, which may use the register for something else.
                let kept = last.delta == 0 && !last.assembly;
                let joins = kept || slot.checked_sub(8) == Some(end.bp);
                match side {
                    Side::Goroutine(stack_end) if slot >= stack_end => tracing.ends(StackStatus::Broken),
                    _ if joins => self.by_chain(tracing, last, end.bp),
                    _ => tracing.ends(StackStatus::Truncated),
                }
            }
            (status, _) => tracing.ends(status),
        }
    }

    /// Does the stack look for another goroutine to run? One that was asked to make way does so in `morestack`.
    fn schedules(&self, tracing: &Tracing<'_>) -> bool {
        tracing.places.iter().any(|place| match place {
            Place::Go(address) => self.unwinder.is_function(address.pc(), "runtime.schedule"),
            Place::Within(_) | Place::Native(_) => false,
        })
    }

    /// Which stack a frame is on. Names the goroutine if it is on a goroutine's.
    fn side(&mut self, tracing: &mut Tracing<'_>, frame: &NativeFrame, code: Code) -> Side {
        self.side_at(tracing, frame.sp, frame.general(arch::G_REGISTER), !code.assembly)
    }

    /// The same for a stack pointer and the g register, if that is known.
    ///
    /// Compiled code has its goroutine in the register, whatever is known of stacks. Assembly may use the register for
    /// something else.
    pub(super) fn side_at(
        &mut self,
        tracing: &mut Tracing<'_>,
        sp: u64,
        g: Option<u64>,
        is_compiled: bool,
    ) -> Side {
        let at = tracing.moment.at_ns;
        let g = g.filter(|g| *g != 0);
        let register = g.filter(|g| self.goroutines.is_struct(*g) && !self.machines.is_own(*g));
        if tracing.is_own(sp) {
            // The vDSO's clock runs on the system stack, for the goroutine in the register.
            if let Some(goroutine) = register {
                tracing.name(goroutine);
            }
            return Side::Own;
        }
        if g.is_some_and(|g| self.machines.is_own(g)) && register.is_none() && tracing.machine.is_none() {
            return Side::Unknown;
        }
        let goroutine = match register.filter(|_| is_compiled) {
            Some(register) => Some(register),
            None => self.owner_of_stack(tracing, sp, register),
        };
        let Some(goroutine) = goroutine else { return Side::Unknown };
        tracing.name(goroutine);
        Side::Goroutine(self.goroutines.stack_end(goroutine, at, sp).unwrap_or(u64::MAX))
    }

    /// The goroutine whose stack an address is in. `register`: the one in the g register, if there is one.
    fn owner_of_stack(&mut self, tracing: &mut Tracing<'_>, sp: u64, register: Option<u64>) -> Option<u64> {
        let at = tracing.moment.at_ns;
        match self.goroutines.on_stack(sp, at) {
            OnStack::Of(one) if register.is_none_or(|other| other == one) => return Some(one),
            OnStack::Of(_) => {
                tracing.contradiction = true;
                return None;
            }
            OnStack::Uncertain => {}
            OnStack::Unowned => self.goroutines.note_unknown_stack(),
        }
        register.filter(|one| self.goroutines.may_be_on_stack(*one, sp, at))
    }

    /// Goes on where `systemstack` or `asmcgocall` left a goroutine's stack with this frame pointer.
    fn on_goroutine(&mut self, tracing: &mut Tracing<'_>, switch: Code, bp: u64) -> Option<NativeFrame> {
        match self.goroutines.on_stack(bp, tracing.moment.at_ns) {
            OnStack::Of(goroutine) => tracing.name(goroutine),
            OnStack::Uncertain => {}
            OnStack::Unowned if bp == 0 => {}
            OnStack::Unowned => self.goroutines.note_unknown_stack(),
        }
        self.by_chain(tracing, switch, bp)
    }

    /// Goes on by the kernel's chain, from the frame pointer of the innermost frame that is not in the copy.
    /// `callee` is the function that was reached.
    pub(super) fn by_chain(
        &mut self,
        tracing: &mut Tracing<'_>,
        callee: Code,
        bp: u64,
    ) -> Option<NativeFrame> {
        let Some(returns) = chain::from(tracing.moment, bp) else {
            return tracing.ends(StackStatus::Truncated);
        };
        let (mut callee, mut frameless) = (callee.entry, callee.delta == 0);
        for &pc in returns {
            let Some(code) = self.unwinder.code(pc) else { return tracing.ends(StackStatus::Broken) };
            match self.calls.link(callee, pc) {
                Link::Direct => {}
                Link::Indirect if frameless => {
                    // The goroutine's first function called `systemstack`.
                    if let Some(entry) = self.encloser(tracing).filter(|_| code.top) {
                        tracing.push(Place::Within(entry));
                    }
                    tracing.gaps = true;
                }
                Link::Indirect => {}
                Link::Through(place) => tracing.push(Place::Go(place)),
                Link::Within(entry) => {
                    tracing.push(Place::Within(entry));
                    tracing.gaps = true;
                }
            }
            tracing.push(Place::Go(CodeAddress::after_call(pc)));
            if code.top {
                tracing.is_goroutine |= self.is_exit(pc);
                return tracing.ends(StackStatus::Complete);
            }
            if code.switch == Switch::Scheduler {
                tracing.scheduler = true;
                return tracing.ends(StackStatus::Complete);
            }
            if tracing.is_full() {
                break;
            }
            (callee, frameless) = (code.entry, false);
        }
        tracing.ends(StackStatus::Truncated)
    }

    /// The function around the function literal that `systemstack` runs: `f` for `f.func1`.
    fn encloser(&mut self, tracing: &Tracing<'_>) -> Option<u64> {
        let [.., Place::Go(literal), Place::Go(_)] = tracing.places.as_slice() else { return None };
        let entry = self.unwinder.code(literal.pc())?.entry;
        if self.enclosers.len() >= MAX_ENCLOSERS && !self.enclosers.contains_key(&entry) {
            return None;
        }
        let go = self.go;
        *self.enclosers.entry(entry).or_insert_with(|| {
            let name = go.function(entry)?.name().into_owned();
            let (outer, number) = name.rsplit_once(".func")?;
            let is_literal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let named = || go.modules.iter().find_map(|module| module.pclntab.by_name(outer));
            named().filter(|_| is_literal).map(|function| function.entry())
        })
    }
}

/// The stack pointer proper of a function that keeps it in r12 while it is on another stack. None if it is not.
fn behind(frame: &NativeFrame, code: Code) -> Option<u64> {
    let bp = frame.general(FRAME_POINTER)?;
    let saved_at = |sp: u64| sp.checked_add(code.delta)?.checked_sub(8);
    let proper = frame.general(arch::SAVED_STACK_POINTER)?;
    (code.delta >= 8 && saved_at(frame.sp) != Some(bp) && saved_at(proper) == Some(bp)).then_some(proper)
}

/// The part of the copied stack that belongs to the stack itself.
fn window<'m>(moment: &Moment<'m>, side: Side) -> Window<'m> {
    let base = moment.registers.sp;
    let end = match side {
        Side::Goroutine(end) => end,
        // On threads that C made, the runtime knows the end of their stacks only roughly.
        Side::Own | Side::Unknown => u64::MAX,
    };
    let len = end.saturating_sub(base).min(moment.stack.len() as u64) as usize;
    Window { base, bytes: moment.stack.get(..len).unwrap_or_default(), cut: true }
}
