//! Unwinding Go stacks by the line table's pcsp values, with frame pointers where those end.
//!
//! No I/O: the caller gives the bytes of the stack. Source: `src/runtime/traceback.go`
//! (`unwinder.resolveInternal`, `next`) of Go 1.19 to 1.27.

use rustc_hash::FxHashMap;

use super::arch::{MAX_ADDRESS, RETURN_ADDRESS_SIZE};
use super::module::Module;
use crate::process::bytes::u64_at;
use crate::snapshot::StackStatus;

/// Code addresses that an unwinder remembers.
const MAX_SEEN: usize = 1 << 20;

/// A code address in a stack, and how it is looked up.
///
/// A return address belongs to the line of the call before it; an address at which something
/// interrupted the code belongs to its own line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CodeAddress(u64);

impl CodeAddress {
    /// The address after a call.
    pub(super) fn after_call(pc: u64) -> Self {
        CodeAddress((pc & MAX_ADDRESS) << 1)
    }

    /// The address of the instruction that was about to run.
    pub(super) fn interrupted(pc: u64) -> Self {
        CodeAddress((pc & MAX_ADDRESS) << 1 | 1)
    }

    pub(super) fn pc(self) -> u64 {
        self.0 >> 1
    }

    pub(super) fn is_interrupted(self) -> bool {
        self.0 & 1 == 1
    }

    /// The address to look lines up by, given the start of its function.
    pub(super) fn lookup(self, entry: u64) -> u64 {
        if self.is_interrupted() || self.pc() <= entry { self.pc() } else { self.pc() - 1 }
    }
}

/// Some bytes of a stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    /// Address of the first byte.
    pub(super) base: u64,
    /// The bytes, up to the end of the stack.
    pub(super) bytes: &'a [u8],
    /// The stack continues above the bytes that were read.
    pub(super) cut: bool,
}

impl Window<'_> {
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        u64_at(self.bytes, at)
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) pc: u64,
    pub(super) sp: u64,
    pub(super) bp: u64,
    /// The pc was taken from a thread's registers, not saved by a call.
    pub(super) interrupted: bool,
}

/// What the line table says of a code address, as far as unwinding needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code {
    /// The first address of its function.
    pub(super) entry: u64,
    /// Bytes from the stack pointer to the return address.
    pub(super) delta: u64,
    /// The stack ends here: goexit, mstart and the like.
    pub(super) top: bool,
    /// It is `goexit`: the stack is a goroutine's, and ends here.
    pub(super) exit: bool,
    /// Changes the stack pointer in ways that the table does not describe.
    pub(super) writes_sp: bool,
    /// Was called by a signal handler, at any instruction, not by a call instruction.
    injected: bool,
    pub(super) switch: Switch,
    /// Written in assembly, which may use the g register for something else.
    pub(super) assembly: bool,
}

/// How a function switches between stacks. Source: `src/runtime/asm_amd64.s` of Go 1.19 to 1.27.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    /// It does not.
    No,
    /// `systemstack`: from a goroutine's stack to the system stack; the frame pointer is kept.
    System,
    /// `mcall`: leaves a goroutine for the scheduler.
    Scheduler,
    /// `morestack`: leaves a goroutine to give it a larger stack.
    Grow,
    /// `asmcgocall`: from a goroutine to C on the system stack; saves which goroutine.
    Foreign,
    /// `cgocallback`: from C to a goroutine's stack; keeps both unwindable.
    Callback,
    /// `gogo`: from the scheduler to a goroutine.
    Resume,
    /// `sigtramp`: the kernel called it for a signal.
    Signal,
    /// `sigreturn`: `sigtramp` has returned to it. The kernel takes up what was interrupted. With libc, that has its own.
    SignalEnd,
}

impl Switch {
    fn of(name: &str) -> Self {
        match name {
            "runtime.systemstack" => Switch::System,
            "runtime.mcall" => Switch::Scheduler,
            "runtime.morestack" | "runtime.morestack_noctxt" => Switch::Grow,
            "runtime.asmcgocall" | "runtime.asmcgocall_landingpad" => Switch::Foreign,
            "runtime.cgocallback" => Switch::Callback,
            "runtime.gogo" | "gogo" => Switch::Resume,
            "runtime.sigtramp" | "runtime.cgoSigtramp" => Switch::Signal,
            "runtime.sigreturn" | "runtime.sigreturn__sigaction" => Switch::SignalEnd,
            _ => Switch::No,
        }
    }
}

/// Where a walk ended: its last frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) status: StackStatus,
    /// Where the last frame continues. Not Go code if the walk left Go code.
    pub(super) pc: u64,
    /// Its stack pointer there.
    pub(super) sp: u64,
    /// Its frame pointer there; 0 if unknown.
    pub(super) bp: u64,
}

/// Unwinds stacks of one module; remembers every code address it has seen.
#[derive(Debug)]
pub(super) struct Unwinder<'a> {
    modules: &'a [Module],
    seen: FxHashMap<u64, Option<Code>>,
    max_depth: usize,
    check: FramePointers,
    /// Only the line table counts: frame pointers do not lead on where it ends. Where the bytes end, the stack is
    /// truncated, though the rest may be on another stack.
    strict: bool,
}

/// How often the frame pointer was where the frame sizes of the line table put it. The two are independent.
/// Few disagreements are normal (a function interrupted before it set up its frame); many mean that one of
/// them is misread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FramePointers {
    pub(super) agree: u64,
    pub(super) disagree: u64,
}

impl<'a> Unwinder<'a> {
    pub(super) fn new(modules: &'a [Module], max_depth: usize) -> Self {
        Unwinder {
            modules,
            seen: FxHashMap::default(),
            max_depth: max_depth.max(1),
            check: FramePointers::default(),
            strict: false,
        }
    }

    /// An unwinder that ends where the line table ends, and at functions that switch stacks.
    pub(super) fn strict(modules: &'a [Module], max_depth: usize) -> Self {
        Unwinder { strict: true, ..Unwinder::new(modules, max_depth) }
    }

    /// The cross-check of everything that was unwound so far.
    pub(super) fn frame_pointers(&self) -> FramePointers {
        self.check
    }

    /// Is this an address in the function with that name?
    pub(super) fn is_function(&self, pc: u64, name: &str) -> bool {
        self.modules.iter().find_map(|m| m.pclntab.find(pc)).is_some_and(|f| f.name() == name)
    }

    /// What the line table says of an address. None if there is no Go code.
    pub(super) fn code(&mut self, pc: u64) -> Option<Code> {
        if let Some(code) = self.seen.get(&pc) {
            return *code;
        }
        if self.seen.len() >= MAX_SEEN {
            self.seen.clear();
        }
        let code = self.look_up(pc);
        self.seen.insert(pc, code);
        code
    }

    fn look_up(&self, pc: u64) -> Option<Code> {
        let function = self
            .modules
            .iter()
            .find_map(|m| m.pclntab.find(pc))
            .filter(|f| f.is_top_frame() || f.covers(pc))?;
        let top = function.is_top_frame();
        // A function without a pcsp table is not Go code; only the top of a stack needs none.
        let delta = match function.sp_delta(pc) {
            Some(delta) => u64::try_from(delta).ok()?,
            None if top => 0,
            None => return None,
        };
        let name = function.name();
        Some(Code {
            entry: function.entry(),
            delta,
            top,
            exit: top && name == "runtime.goexit",
            writes_sp: function.is_sp_write(),
            injected: is_injected(&name),
            switch: Switch::of(&name),
            assembly: function.is_asm(),
        })
    }

    /// Is this an address in Go code?
    pub(super) fn is_code(&mut self, pc: u64) -> bool {
        self.code(pc).is_some()
    }

    /// Walks from `start` to the outermost frame and appends each address to `out`.
    pub(super) fn unwind(
        &mut self,
        start: Start,
        stack: Window<'_>,
        out: &mut Vec<CodeAddress>,
    ) -> StackStatus {
        self.walk(start, stack, &mut |pc, _| out.push(pc))
    }

    /// Walks from `start` to the outermost frame. Calls `with` for each frame, with its stack pointer there.
    #[inline]
    pub(super) fn walk(
        &mut self,
        start: Start,
        stack: Window<'_>,
        with: &mut impl FnMut(CodeAddress, u64),
    ) -> StackStatus {
        self.trace(start, stack, with).status
    }

    /// The same; says where the walk ended.
    #[inline]
    pub(super) fn trace(
        &mut self,
        start: Start,
        stack: Window<'_>,
        with: &mut impl FnMut(CodeAddress, u64),
    ) -> End {
        let Start { mut pc, mut sp, mut bp, mut interrupted } = start;
        let mut depth = 0;
        let end = |status, pc, sp, bp| End { status, pc, sp, bp };
        loop {
            let innermost = depth == 0;
            let Some(code) = self.code(pc) else {
                // Assembly without tables, or not Go code: frame pointers may lead past it.
                if innermost || self.strict {
                    return end(StackStatus::Broken, pc, sp, bp);
                }
                match self.step_by_frame_pointer(sp, bp, stack) {
                    Some(next) => (pc, sp, bp) = next,
                    None => return end(end_of(stack, sp), pc, sp, bp),
                }
                continue;
            };
            if depth >= self.max_depth {
                return end(StackStatus::Truncated, pc, sp, bp);
            }
            depth += 1;
            with(if interrupted { CodeAddress::interrupted(pc) } else { CodeAddress::after_call(pc) }, sp);
            if code.top {
                return end(StackStatus::Complete, pc, sp, bp);
            }
            // An innermost function that writes its stack pointer has not done so yet if it was parked by the
            // stack check at its start. Further out nothing can be known.
            if code.writes_sp && code.switch != Switch::Callback && !innermost {
                let next = if self.strict { None } else { self.step_by_frame_pointer(sp, bp, stack) };
                match next {
                    Some(next) => (pc, sp, bp) = next,
                    None => return end(StackStatus::Broken, pc, sp, bp),
                }
                interrupted = false;
                continue;
            }
            let Some(slot) = sp.checked_add(code.delta) else {
                return end(StackStatus::Broken, pc, sp, bp);
            };
            let Some(caller) = stack.word(slot) else {
                let status = if self.strict { StackStatus::Truncated } else { end_of(stack, slot) };
                return end(status, pc, sp, bp);
            };
            // A function with a frame saved its caller's frame pointer below the return address.
            if code.delta >= 8 {
                match bp {
                    0 => {}
                    bp if bp == slot - 8 => self.check.agree += 1,
                    _ => self.check.disagree += 1,
                }
                // Before Go 1.21 a function makes room for its frame before it saves there.
                let not_yet_saved = innermost && interrupted && !code.assembly && bp > slot - 8;
                if !not_yet_saved {
                    bp = stack.word(slot - 8).unwrap_or(0);
                }
            }
            pc = caller;
            sp = slot + RETURN_ADDRESS_SIZE;
            interrupted = code.injected;
        }
    }

    /// The caller's (pc, sp, frame pointer) by the frame pointer alone, if that leads to code.
    fn step_by_frame_pointer(&mut self, sp: u64, bp: u64, stack: Window<'_>) -> Option<(u64, u64, u64)> {
        if bp < sp || !bp.is_multiple_of(8) {
            return None;
        }
        let pc = stack.word(bp.checked_add(8)?)?;
        let caller_bp = stack.word(bp)?;
        self.is_code(pc).then_some((pc, bp + 16, caller_bp))
    }
}

/// The unwinder left its bytes: the stack continues, or the unwinder is lost.
fn end_of(stack: Window<'_>, address: u64) -> StackStatus {
    let beyond = address >= stack.base.saturating_add(stack.bytes.len() as u64).saturating_sub(7);
    if stack.cut && beyond { StackStatus::Truncated } else { StackStatus::Broken }
}

/// Functions that the runtime makes look as if they were called, at any instruction.
fn is_injected(name: &str) -> bool {
    matches!(name, "runtime.sigpanic" | "runtime.sigpanic0" | "runtime.asyncPreempt" | "runtime.debugCallV2")
}
