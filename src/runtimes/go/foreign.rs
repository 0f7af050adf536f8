//! The C part of the stacks of goroutines that called C and have not returned.
//!
//! C runs on the thread's system stack (that of g0), which `asmcgocall` switched to. Above the frames of C,
//! `asmcgocall` saved the calling goroutine. If unwinding arrives at exactly that place, the frames before it
//! belong to the call. Source: `asmcgocall` in `src/runtime/asm_amd64.s` and `cgocall` in
//! `src/runtime/cgocall.go` of Go 1.19 to 1.27.

use rustc_hash::FxHashSet;

use super::goroutine::Raw;
use super::running::Stops;
use super::{Go, GoError};
use crate::cause::full_text;
use crate::code::{CodeBuilder, LocationId};
use crate::process::{Registers, Target};
use crate::runtimes::Pause;
use crate::runtimes::native::NativeLocations;
use crate::symbols::native::{NativeCode, NativeFrame, StackBytes};
use crate::symbols::pclntab::Func;

/// Frames of C in one stack; a deeper C part is left out whole.
const MAX_FRAMES: usize = 256;
/// Bytes of C's stack that are read.
const MAX_STACK: u64 = 1 << 20;
/// What `asmcgocall` puts on the system stack, with the bytes that align it.
const HEAD: u64 = 128;
/// How often a thread may wake and sleep again while its stack is read.
const ATTEMPTS: usize = 8;

/// Finds the C part of stacks.
pub(super) struct Foreign<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    pause: Pause,
    code: NativeCode,
    locations: NativeLocations,
    stack: Vec<u8>,
    /// The threads that were examined. A thread is in one call at a time, so a target that names one thread
    /// for many goroutines lies, and costs no more than one that does not.
    seen: FxHashSet<u32>,
    /// Counts the threads that had to be stopped.
    pub(super) stops: Stops,
}

/// A thread in C at one moment; the bytes of its stack are in [`Foreign::stack`].
#[derive(Debug, Clone, Copy)]
struct Caught {
    innermost: NativeFrame,
    /// Where the system stack ends for C: the bytes read end here.
    end: u64,
}

impl<'a> Foreign<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target, pause: Pause) -> Result<Self, GoError> {
        Ok(Foreign {
            go,
            target,
            pause,
            code: NativeCode::new(target.images()?),
            locations: NativeLocations::default(),
            stack: Vec::new(),
            seen: FxHashSet::default(),
            stops: Stops::default(),
        })
    }

    /// The C part of the stack of a goroutine on this thread, innermost first. Empty if it is uncertain, or
    /// if the goroutine has changed since `raw` was read.
    pub(super) fn locations(&mut self, raw: &Raw, thread: u32, into: &mut CodeBuilder) -> Vec<LocationId> {
        if !self.seen.insert(thread) {
            return Vec::new();
        }
        let frames = self.catch(raw, thread).and_then(|caught| self.unwind(raw, caught));
        let Foreign { go, code, locations, .. } = self;
        let in_go = |address: u64| go.function(address).map(|f| (f.name().into_owned(), f.entry()));
        let frames = frames.unwrap_or_default();
        frames.iter().map(|frame| locations.of(frame.into(), code, in_go, into)).collect()
    }

    /// Reads the stack of a thread, which is stopped only if it runs and may be stopped.
    fn catch(&mut self, raw: &Raw, thread: u32) -> Option<Caught> {
        let held_anyway = self.target.is_static() || self.pause == Pause::Everything;
        for _ in 0..ATTEMPTS {
            if held_anyway {
                return self.catch_stopped(raw, thread);
            }
            let Some(before) = self.target.blocked_at(thread) else {
                return if self.pause == Pause::Nothing { None } else { self.catch_stopped(raw, thread) };
            };
            let caught = self.read(raw, NativeFrame::innermost(before.pc, before.sp, None));
            if self.target.blocked_at(thread) == Some(before) {
                return caught;
            }
        }
        None
    }

    fn catch_stopped(&mut self, raw: &Raw, thread: u32) -> Option<Caught> {
        let mut caught = None;
        let target = self.target;
        let held = target.with_stopped_thread(thread, &mut |registers: &Registers| {
            let Registers { pc, sp, bp, .. } = *registers;
            caught = self.read(raw, NativeFrame::innermost(pc, sp, Some(bp)));
        });
        match held {
            Ok(held) => self.stops.add(held),
            Err(error) => {
                tracing::debug!(thread, error = full_text(&error), "a thread in C was not stopped");
                // It may have been resumed while it was read.
                caught = None;
            }
        }
        caught
    }

    /// Reads the system stack from the innermost frame to where `asmcgocall` began to use it, if the
    /// goroutine is still in the call that `raw` describes.
    fn read(&mut self, raw: &Raw, innermost: NativeFrame) -> Option<Caught> {
        let offsets = &self.go.offsets;
        let of_thread = |offset| self.target.read_u64(raw.m.checked_add(offset)?).ok();
        let now = Raw::read(self.target, raw.address, offsets).ok()??;
        if !now.same_as(raw) || now.m != raw.m || of_thread(offsets.m_curg)? != raw.address {
            return None;
        }
        let g0 = Raw::read(self.target, of_thread(offsets.m_g0)?, offsets).ok()??;
        let end = g0.sched_sp;
        let len = end.checked_sub(innermost.sp).filter(|len| *len <= MAX_STACK)?;
        self.stack.resize(usize::try_from(len).ok()?, 0);
        self.target.read(innermost.sp, &mut self.stack).ok()?;
        Some(Caught { innermost, end })
    }

    /// The frames of C, if they lead to the call of this goroutine.
    fn unwind(&mut self, raw: &Raw, caught: Caught) -> Option<Vec<NativeFrame>> {
        let Caught { innermost, end } = caught;
        let stack = StackBytes { base: innermost.sp, bytes: &self.stack };
        let is_call = |from: u64| {
            let mut words = (from..end).step_by(8).filter_map(|at| stack.word(at));
            end.saturating_sub(from) <= HEAD && words.any(|word| word == raw.address)
        };
        let (mut frames, mut frame) = (Vec::new(), innermost);
        while frames.len() < MAX_FRAMES {
            let function = self.go.function(frame.lookup());
            match function.as_ref().map(Func::name) {
                Some(name) if is_asmcgocall(&name) => {
                    return (!frames.is_empty() && is_call(frame.sp)).then_some(frames);
                }
                // The runtime itself, on its way into C or out of it, or called back by C.
                Some(_) if function.is_some_and(|f| is_go(&f)) => return None,
                _ => frames.push(frame),
            }
            frame = match self.code.caller(&frame, stack) {
                Some(caller) => caller,
                // Go's own linker leaves out C's unwind tables. But only Go calls these functions.
                None if function.is_some_and(|f| is_call_wrapper(&f.name())) => {
                    return is_call(end.saturating_sub(HEAD).max(frame.sp)).then_some(frames);
                }
                None => return None,
            };
        }
        None
    }
}

impl Go {
    /// The function in Go's line table, which includes C functions if Go's own linker linked them.
    pub(super) fn function(&self, pc: u64) -> Option<Func<'_>> {
        self.modules.iter().find_map(|m| m.pclntab.find(pc)).filter(|f| (f.entry()..f.end()).contains(&pc))
    }
}

/// The function that calls C, and from 1.22 on the function that it calls for this.
fn is_asmcgocall(name: &str) -> bool {
    matches!(name, "runtime.asmcgocall" | "runtime.asmcgocall_landingpad")
}

/// Functions that are not Go's have no table of stack pointer offsets.
fn is_go(function: &Func<'_>) -> bool {
    function.sp_delta(function.entry()).is_some()
}

/// `_cgo_1234abcd_Cfunc_name`, made by cgo for each C function that Go calls.
fn is_call_wrapper(name: &str) -> bool {
    let rest = name.strip_prefix("_cgo_").and_then(|rest| rest.split_once('_'));
    rest.is_some_and(|(_, rest)| rest.starts_with("Cfunc_") || rest.starts_with("C2func_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_by_name() {
        assert!(is_call_wrapper("_cgo_0123abcd_Cfunc_pauseForever"));
        assert!(is_call_wrapper("_cgo_0123abcd_C2func_getaddrinfo"));
        for name in ["_cgo_thread_start", "_cgoexp_0123_blockInGo", "pause", "_cgo_0123_Cfunction", "_cgo_"] {
            assert!(!is_call_wrapper(name), "{name}");
        }
    }
}
