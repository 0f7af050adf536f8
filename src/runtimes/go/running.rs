//! Reading goroutines that run. Their saved registers are old, so each goroutine's thread is stopped while
//! its registers and its stack are read. A thread that would not stop, because the kernel holds it in a call, is read
//! where it is.

use std::time::Duration;

use super::arch;
use super::goroutine::{Goroutine, Raw, status};
use super::read::{Reader, keep};
use super::threads::thread_of;
use super::unwind::{CodeAddress, Start};
use crate::cause::full_text;
use crate::process::registers::{FRAME_POINTER, STACK_POINTER};
use crate::process::{Blocked, Registers, TargetError};
use crate::snapshot::{Reading, StackStatus};

/// The result of reading a running goroutine.
pub(super) enum Running {
    /// It was read.
    Read(Goroutine),
    /// It no longer runs: read it as a parked one.
    Moved,
    /// It ended.
    Ended,
}

/// How many threads were stopped, and the longest hold.
#[derive(Debug, Default)]
pub(super) struct Stops {
    pub(super) threads: u32,
    pub(super) longest: Duration,
    /// Why a thread that still runs its goroutine was not stopped: the first such reason.
    pub(super) refused: Option<String>,
}

impl Stops {
    /// Counts a stop; a thread that was stopped anyway was not held.
    pub(super) fn add(&mut self, held: Duration) {
        self.threads += u32::from(!held.is_zero());
        self.longest = self.longest.max(held);
    }

    pub(super) fn note(&self, reading: &mut Reading) {
        reading.threads_stopped += self.threads;
        reading.longest_thread_stop_ns = reading.longest_thread_stop_ns.max(self.longest.as_nanos() as u64);
    }
}

/// Reads the goroutine at `address`. With `may_stop` false its stack stays unknown.
pub(super) fn read(
    reader: &mut Reader<'_>,
    address: u64,
    may_stop: bool,
    stops: &mut Stops,
) -> Result<Running, TargetError> {
    let Some(raw) = current(reader, address)? else { return Ok(Running::Ended) };
    if raw.is_over() {
        return Ok(Running::Ended);
    }
    if raw.status != status::RUNNING {
        return Ok(Running::Moved);
    }
    let mut goroutine = Goroutine::without_stack(raw, StackStatus::Running);
    goroutine.thread = thread_of(reader.target, reader.offsets.m_procid, raw.m);
    let Some(thread) = goroutine.thread else { return Ok(Running::Read(goroutine)) };
    let target = reader.target;
    if let Some(at) = target.held_at(thread)
        && let Some(found) = read_held(reader, goroutine, at)?
    {
        return Ok(found);
    }
    if !may_stop {
        return Ok(Running::Read(goroutine));
    }
    let mut outcome = Ok(Running::Moved);
    let held = target.with_stopped_thread(thread, &mut |registers| {
        outcome = read_at(reader, goroutine, &Place::of(registers));
    });
    match held {
        Ok(held) => {
            stops.add(held);
            outcome
        }
        // It ended, did not stop in time, or has another debugger.
        Err(error) => {
            tracing::debug!(thread, error = full_text(&error), "a thread was not stopped");
            if !current(reader, address)?.is_some_and(|now| now.same_as(&raw)) {
                return Ok(Running::Moved);
            }
            // It ran when it was looked at before, and is in such a call now.
            if let Some(at) = target.held_at(thread)
                && let Some(found) = read_held(reader, goroutine, at)?
            {
                return Ok(found);
            }
            stops.refused.get_or_insert_with(|| full_text(&error));
            Ok(Running::Read(goroutine))
        }
    }
}

/// A goroutine that does not hold still: all but its stack. None if it has ended.
pub(super) fn as_it_is(reader: &Reader<'_>, address: u64) -> Result<Option<Goroutine>, TargetError> {
    let raw = current(reader, address)?.filter(|raw| !raw.is_over());
    Ok(raw.map(|raw| {
        let mut goroutine = Goroutine::without_stack(raw, StackStatus::Torn);
        if raw.status == status::RUNNING {
            goroutine.thread = thread_of(reader.target, reader.offsets.m_procid, raw.m);
        }
        goroutine
    }))
}

fn current(reader: &Reader<'_>, address: u64) -> Result<Option<Raw>, TargetError> {
    Raw::read(reader.target, address, reader.offsets)
}

/// Where a thread is.
struct Place {
    pc: u64,
    /// All registers; only the stack pointer if the others are unknown.
    general: [u64; 16],
    all_known: bool,
}

impl Place {
    fn of(registers: &Registers) -> Place {
        Place { pc: registers.pc, general: registers.general, all_known: true }
    }

    /// The kernel tells only these two of a thread that is not stopped.
    fn known_only(pc: u64, sp: u64) -> Place {
        let mut general = [0; 16];
        general[STACK_POINTER] = sp;
        Place { pc, general, all_known: false }
    }
}

/// Reads a goroutine whose thread the kernel holds in a call. None if the thread went on meanwhile.
fn read_held(
    reader: &mut Reader<'_>,
    goroutine: Goroutine,
    at: Blocked,
) -> Result<Option<Running>, TargetError> {
    let Some(thread) = goroutine.thread else { return Ok(None) };
    let found = read_at(reader, goroutine, &Place::known_only(at.pc, at.sp))?;
    Ok((reader.target.blocked_at(thread) == Some(at)).then_some(found))
}

/// The thread does not run: does it still run this goroutine, and where?
fn read_at(reader: &mut Reader<'_>, mut goroutine: Goroutine, place: &Place) -> Result<Running, TargetError> {
    let before = goroutine.raw;
    let Some(now) = current(reader, before.address)? else { return Ok(Running::Ended) };
    let curg = reader.target.read_u64(before.m.wrapping_add(reader.offsets.m_curg)).unwrap_or(0);
    let same = now.status == status::RUNNING && now.goid == before.goid && now.m == before.m;
    if !same || curg != before.address {
        return Ok(Running::Moved);
    }
    goroutine.raw = now;
    let mut pcs = Vec::new();
    let status = unwind(reader, &now, place, &mut pcs)?;
    let without = if status == StackStatus::Missing { status } else { StackStatus::Running };
    keep(&mut goroutine, &mut reader.stacks, &pcs, status, without);
    Ok(Running::Read(goroutine))
}

/// Unwinds a running goroutine from the place of its thread. The thread may be on the goroutine's own
/// stack, the thread's system stack (g0) or signal stack, or in the vDSO, called from any of these.
fn unwind(
    reader: &mut Reader<'_>,
    raw: &Raw,
    place: &Place,
    out: &mut Vec<CodeAddress>,
) -> Result<StackStatus, TargetError> {
    let Place { mut pc, mut general, mut all_known } = *place;
    let sp = general[STACK_POINTER];
    if !raw.on_stack(sp)
        && let Some(interrupted) = signal_frame(reader, raw.m, sp)?
    {
        (pc, general) = interrupted;
        all_known = true;
    }
    let (sp, bp) = (general[STACK_POINTER], general[FRAME_POINTER]);
    let start = Start { pc, sp, bp, interrupted: true };
    reader.registers = (all_known && raw.on_stack(sp)).then_some(general);
    if raw.on_stack(sp) && reader.unwinder.is_code(pc) {
        return reader.unwind_held(start, raw.stack_hi, out);
    }
    // The vDSO (the clock) is called on the system stack; the M keeps its caller's place.
    if let Some((pc, sp)) = vdso_caller(reader, raw.m)
        && raw.on_stack(sp)
    {
        reader.registers = None;
        let start = Start { pc, sp, bp: 0, interrupted: false };
        return reader.unwind_held(start, raw.stack_hi, out);
    }
    if raw.on_stack(sp) {
        return reader.unwind_held(start, raw.stack_hi, out);
    }
    system_stack(reader, raw, start, out)?;
    // The caller of systemstack, mcall or morestack saved the goroutine's own place before.
    if !raw.on_stack(raw.sched_sp) {
        return Ok(StackStatus::Broken);
    }
    let start = Start { pc: raw.sched_pc, sp: raw.sched_sp, bp: raw.sched_bp, interrupted: false };
    reader.unwind_held(start, raw.stack_hi, out)
}

/// Frames on the system stack that the goroutine called through `systemstack`.
fn system_stack(
    reader: &mut Reader<'_>,
    raw: &Raw,
    start: Start,
    out: &mut Vec<CodeAddress>,
) -> Result<(), TargetError> {
    let g0 = reader.target.read_u64(raw.m.wrapping_add(reader.offsets.m_g0)).unwrap_or(0);
    let Some(g0) = current(reader, g0)? else { return Ok(()) };
    if !g0.on_stack(start.sp) {
        return Ok(());
    }
    reader.unwind_held(start, g0.stack_hi, out)?;
    match out.iter().position(|pc| reader.unwinder.is_function(pc.pc(), "runtime.systemstack")) {
        Some(at) => out.truncate(at),
        // The scheduler itself, about to start or leave the goroutine: not a part of its stack.
        None => out.clear(),
    }
    Ok(())
}

/// (pc, sp) of the Go code that called into the vDSO.
fn vdso_caller(reader: &Reader<'_>, m: u64) -> Option<(u64, u64)> {
    let read = |offset: u64| reader.target.read_u64(m.wrapping_add(offset)).ok().filter(|v| *v != 0);
    Some((read(reader.offsets.m_vdso_pc?)?, read(reader.offsets.m_vdso_sp?)?))
}

/// If the thread handles a signal: pc and registers where the signal interrupted it.
///
/// The kernel puts them on the signal stack in a context that also names that stack. The context is found by
/// this name, whatever the handler is doing.
fn signal_frame(reader: &Reader<'_>, m: u64, sp: u64) -> Result<Option<(u64, [u64; 16])>, TargetError> {
    /// Signal stacks have 32 KiB; those that C gave may be larger.
    const MAX_SIGNAL_STACK: u64 = 1 << 20;
    let Some(offset) = reader.offsets.m_gsignal else { return Ok(None) };
    let gsignal = reader.target.read_u64(m.wrapping_add(offset)).unwrap_or(0);
    let Some(gsignal) = current(reader, gsignal)? else { return Ok(None) };
    if !gsignal.on_stack(sp) {
        return Ok(None);
    }
    let len = (gsignal.stack_hi - sp).min(MAX_SIGNAL_STACK);
    let Ok(bytes) = reader.target.read_vec(sp, len as usize) else { return Ok(None) };
    Ok(arch::interrupted(&bytes, gsignal.stack_lo, gsignal.stack_hi - gsignal.stack_lo))
}
