//! The parts of a moment's stack that are not Go's: C that a goroutine called, the vDSO, signals.

use super::chain;
use super::evidence::{Place, Tracing};
use super::trace::Tracer;
use crate::process::Registers;
use crate::process::registers::{FRAME_POINTER, STACK_POINTER};
use crate::runtimes::go::arch;
use crate::runtimes::go::unwind::{Code, CodeAddress, Start, Switch};
use crate::runtimes::native::status_of;
use crate::snapshot::StackStatus;
use crate::symbols::native::{NativeFrame, NoCaller, StackBytes};

impl Tracer<'_> {
    /// C was called by a goroutine, which `asmcgocall` saved beside the depth of its stack; or by the scheduler.
    pub(super) fn foreign_call(
        &mut self,
        tracing: &mut Tracing<'_>,
        frame: &NativeFrame,
        code: Code,
    ) -> Option<NativeFrame> {
        let (depth, saved) = self.saved_call(tracing, frame.sp);
        tracing.push(Place::Go(CodeAddress::after_call(frame.pc)));
        match (depth, saved) {
            // It was called on the system stack; the depth is the stack pointer there.
            (Some(sp), Some(0)) if sp > frame.sp => {
                tracing.places.pop();
                let bp = frame.general(FRAME_POINTER).unwrap_or(0);
                let start = Start { pc: frame.pc, sp, bp, interrupted: false };
                let side = self.side_at(tracing, sp, None, false);
                self.walk(tracing, start, side)
            }
            (Some(_), Some(goroutine)) if self.goroutines.is_struct(goroutine) => {
                tracing.name(goroutine);
                match frame.general(FRAME_POINTER).filter(|bp| chain::from(tracing.moment, *bp).is_some()) {
                    Some(bp) => self.by_chain(tracing, code, bp),
                    None => {
                        let status = self.callers(tracing, goroutine).unwrap_or(StackStatus::Truncated);
                        tracing.ends(status)
                    }
                }
            }
            _ => tracing.ends(StackStatus::Broken),
        }
    }

    /// What `asmcgocall` saved above its stack pointer: the depth of the goroutine's stack, and the goroutine.
    fn saved_call(&self, tracing: &Tracing<'_>, sp: u64) -> (Option<u64>, Option<u64>) {
        let first = if self.old_slot { 40 } else { 0 };
        let word = |offset: u64| tracing.word(sp.checked_add(first + offset)?);
        (word(0), word(8))
    }

    /// Adds the callers of C that a goroutine called, as far as they are certain. Returns the state of their stack.
    fn callers(&mut self, tracing: &mut Tracing<'_>, goroutine: u64) -> Option<StackStatus> {
        let machine = tracing.machine?;
        let thread = (tracing.moment.tid, &machine);
        let at = tracing.moment.at_ns;
        let (places, status) = self.foreign.callers(&mut self.unwinder, thread, goroutine, at)?;
        tracing.is_goroutine |= places.last().is_some_and(|place| match place {
            Place::Go(address) => self.is_exit(address.pc()),
            Place::Within(_) | Place::Native(_) => false,
        });
        places.into_iter().for_each(|place| tracing.push(place));
        Some(status)
    }

    /// C code could not be unwound. If the thread's system stack begins with a call of `asmcgocall`, it is that call.
    /// Adds its callers, and returns the state of their stack if they are certain.
    fn base_call(&mut self, tracing: &mut Tracing<'_>, from: u64) -> Option<StackStatus> {
        let room = if self.old_slot { 64 } else { 16 };
        let sp = tracing.machine?.g0.sched_sp.checked_sub(room)? & !15;
        let returned = tracing.word(sp.checked_sub(8).filter(|at| *at >= from)?)?;
        self.unwinder.code(returned).filter(|code| code.switch == Switch::Foreign)?;
        let (Some(_), Some(goroutine)) = self.saved_call(tracing, sp) else { return None };
        self.goroutines.is_struct(goroutine).then(|| tracing.name(goroutine))?;
        tracing.push(Place::Go(CodeAddress::after_call(returned)));
        self.callers(tracing, goroutine)
    }

    /// A signal interrupted the thread: goes on where it did. `context` is where the kernel saved that.
    pub(super) fn interrupted(&mut self, tracing: &mut Tracing<'_>, context: u64) -> Option<NativeFrame> {
        let from = usize::try_from(context.checked_sub(tracing.moment.registers.sp)?).ok()?;
        let found = tracing.moment.stack.get(from..).and_then(arch::saved_context);
        let Some((pc, general)) = found else { return tracing.ends(StackStatus::Truncated) };
        let (sp, bp) = (general[STACK_POINTER], general[FRAME_POINTER]);
        Some(NativeFrame::with_registers(&Registers { pc, sp, bp, tls: 0, general }))
    }

    /// Unwinds code that is not Go's, until it is Go's.
    pub(super) fn native(
        &mut self,
        tracing: &mut Tracing<'_>,
        mut frame: NativeFrame,
    ) -> Option<NativeFrame> {
        let stack = StackBytes { base: tracing.moment.registers.sp, bytes: tracing.moment.stack };
        while !tracing.is_full() {
            tracing.push(Place::Native((&frame).into()));
            self.unknown_code |= self.native.image(frame.lookup()).is_none();
            frame = match self.native.step(&frame, stack) {
                Ok(caller) if self.unwinder.code(caller.pc).is_some() => return Some(caller),
                Ok(caller) => caller,
                Err(why) => {
                    if why != NoCaller::Outermost {
                        tracing.go_code |= tracing.machine.is_some();
                        if let Some(status) = self.base_call(tracing, frame.sp) {
                            tracing.gaps = true;
                            return tracing.ends(status);
                        }
                    }
                    return tracing.ends(status_of(why));
                }
            };
        }
        None
    }
}
