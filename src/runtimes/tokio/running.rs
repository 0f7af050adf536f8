//! Which thread runs a task, and its stack.
//!
//! The function that polls a task has the address of its header on its thread's stack. So the stacks of all threads are
//! searched for the headers of running tasks. One that is on several stacks is on none: who runs it is unknown.

use rustc_hash::FxHashMap;

use super::find::Vtable;
use super::scan::{Header, state};
use crate::code::LocationId;
use crate::process::bytes::words;
use crate::process::calls::name;
use crate::process::{Moment, Registers, Target, TargetError, ThreadCall};
use crate::runtimes::{NativeStacks, Pause, ReadOptions};
use crate::snapshot::{SnapshotBuilder, StackStatus, SystemCall};
use crate::symbols::native::NativeCode;

/// Bytes searched of one stack.
const MAX_STACK: u64 = 256 << 10;
/// Threads examined in one reading.
const MAX_THREADS: usize = 4096;
const PAGE: u64 = 4096;
/// Offset of the vtable's address in a header.
const VTABLE: u64 = 16;
/// Where Tokio's functions that poll a task are, whatever its type.
const POLLING: [&str; 4] = [
    "tokio::runtime::task::raw::",
    "tokio::runtime::task::core::",
    "tokio::runtime::task::harness::",
    "tokio::runtime::blocking::task::BlockingTask<",
];

/// A thread that runs tasks.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) tid: u32,
    pub(super) locations: Vec<LocationId>,
    pub(super) status: StackStatus,
    /// The system call that it is blocked in: so does the task block it.
    call: Option<ThreadCall>,
}

impl Thread {
    /// Says which system call the task with this row is in, if its thread is in one. Rows must come in order.
    pub(super) fn add_call(&self, row: usize, into: &mut SnapshotBuilder) {
        let (Some(call), Ok(task)) = (&self.call, u32::try_from(row)) else { return };
        let known = name(call.number).filter(|_| !call.foreign).map(str::to_owned);
        let name = into.code.string(&known.unwrap_or_else(|| format!("system call {}", call.number)));
        let kernel_function = call.kernel_function.as_ref().map(|function| into.code.string(function));
        let ThreadCall { number, arguments, age, foreign, .. } = *call;
        let number = if foreign { SystemCall::FOREIGN } else { number };
        into.links.calls.push(SystemCall { task, name, number, arguments, kernel_function, age });
    }
}

/// The threads that run these tasks, by the address of the task's header. `code` is that of the target, as far as it is
/// known.
///
/// # Errors
/// If the target cannot be read.
pub(super) fn threads(
    target: &dyn Target,
    options: &ReadOptions,
    running: &[Header],
    vtables: &[Vtable],
    code: &mut Option<NativeCode>,
    into: &mut SnapshotBuilder,
) -> Result<FxHashMap<u64, Thread>, TargetError> {
    if running.is_empty() {
        return Ok(FxHashMap::default());
    }
    let known = match code.take() {
        Some(known) => known,
        None => NativeCode::of(target)?.kept_in(options.cache.as_deref()),
    };
    let mut stacks = NativeStacks::with(known, target);
    let found = find(target, options, (running, vtables), &mut stacks, into);
    *code = Some(stacks.into_code());
    found
}

fn find(
    target: &dyn Target,
    options: &ReadOptions,
    (running, vtables): (&[Header], &[Vtable]),
    stacks: &mut NativeStacks,
    into: &mut SnapshotBuilder,
) -> Result<FxHashMap<u64, Thread>, TargetError> {
    let mut found: FxHashMap<u64, Vec<usize>> =
        running.iter().map(|header| (header.address, Vec::new())).collect();
    let mut threads: Vec<Thread> = Vec::new();
    for tid in target.threads()?.into_iter().take(MAX_THREADS) {
        let before = target.blocked_at(tid).map(|blocked| blocked.sleeps);
        let Some((bytes, registers)) = stack_of(target, options, tid, into) else { continue };
        let mut on_it: Vec<u64> = Vec::new();
        for word in words(&bytes) {
            if found.contains_key(&word) && !on_it.contains(&word) {
                on_it.push(word);
            }
        }
        if on_it.is_empty() {
            continue;
        }
        let (locations, status) = match registers {
            Some(registers) => {
                let moment = Moment {
                    tid,
                    at_ns: 0,
                    registers,
                    in_kernel: false,
                    chain: &[],
                    kernel_chain: &[],
                    stack: &bytes,
                };
                stacks.stack(&moment, &mut into.code)
            }
            None => stacks.blocked(target, tid, &mut into.code).unwrap_or((Vec::new(), StackStatus::Running)),
        };
        let polling = polling(&locations, into);
        if polling.is_none() && is_named(&locations, into) {
            // What is left of an earlier call: this thread polls no task.
            continue;
        }
        let locations = match polling {
            // A task that polls others itself (`block_on` within a task) has their frames, too.
            Some(outside) if on_it.len() == 1 && outside > 0 => locations.into_iter().take(outside).collect(),
            _ => locations,
        };
        for header in on_it {
            found.entry(header).or_default().push(threads.len());
        }
        // It has not left the call since the stack was read.
        let call = target.call_of(tid).filter(|call| registers.is_none() && before == Some(call.sleeps));
        threads.push(Thread { tid, locations, status, call });
    }
    // One that has ended meanwhile may have left its address where it did not run.
    let runs = |address: u64| {
        let header = running.iter().find(|header| header.address == address)?;
        let (now, vtable) =
            (target.read_u64(address).ok()?, target.read_u64(address.checked_add(VTABLE)?).ok()?);
        (now & state::RUNNING != 0 && vtables.get(header.vtable as usize)?.address == vtable).then_some(())
    };
    let only = |(header, threads_of): (u64, Vec<usize>)| match threads_of[..] {
        [one] => runs(header).and_then(|()| Some((header, threads.get(one)?.clone()))),
        _ => None,
    };
    Ok(found.into_iter().filter_map(only).collect())
}

/// The place of the innermost function of Tokio that polls a task: what is outside of it belongs to the executor. None if no
/// such function has a name.
fn polling(locations: &[LocationId], into: &SnapshotBuilder) -> Option<usize> {
    locations.iter().position(|id| {
        names(*id, into).any(|name| {
            let name = name.trim_start_matches('<');
            POLLING.iter().any(|polling| name.starts_with(polling))
        })
    })
}

/// Whether the program's own functions have names: those of shared libraries always have some.
fn is_named(locations: &[LocationId], into: &SnapshotBuilder) -> bool {
    locations.iter().any(|id| names(*id, into).any(|name| name.contains("::")))
}

/// The names of the functions of a location.
pub(super) fn names(id: LocationId, into: &SnapshotBuilder) -> impl Iterator<Item = &str> {
    let frames = into.code.locations().get(id.index()).map(|location| location.frames.as_slice());
    frames.unwrap_or_default().iter().map(|frame| into.code.function_name(frame.function))
}

/// The stack of a thread, from its stack pointer on. With its registers if it had to be stopped.
pub(super) fn stack_of(
    target: &dyn Target,
    options: &ReadOptions,
    tid: u32,
    into: &mut SnapshotBuilder,
) -> Option<(Vec<u8>, Option<Registers>)> {
    if let Some(blocked) = target.blocked_at(tid) {
        return Some((read(target, blocked.sp), None));
    }
    if options.pause == Pause::Nothing {
        return None;
    }
    let mut stopped = None;
    let held = target
        .with_stopped_thread(tid, &mut |registers| {
            stopped = Some((read(target, registers.sp), Some(*registers)));
        })
        .ok()?;
    let reading = &mut into.header.reading;
    reading.threads_stopped += u32::from(!held.is_zero());
    reading.longest_thread_stop_ns = reading.longest_thread_stop_ns.max(held.as_nanos() as u64);
    stopped
}

/// The words of a stack from an address on, as far as it is mapped.
pub(super) fn read(target: &dyn Target, sp: u64) -> Vec<u8> {
    let start = sp.next_multiple_of(8);
    let mut bytes = Vec::new();
    for (from, to) in target.present(start, start.saturating_add(MAX_STACK)) {
        // What is used of a stack has no holes.
        if from != start.saturating_add(bytes.len() as u64) {
            break;
        }
        let mut at = from;
        while at < to {
            let len = (PAGE - at % PAGE).min(to - at);
            let Ok(more) = target.read_vec(at, len as usize) else { return bytes };
            bytes.extend(more);
            at += len;
        }
    }
    bytes
}
