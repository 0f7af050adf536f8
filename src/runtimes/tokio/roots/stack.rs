//! The stack of a thread, and whether the thread stayed where it was.

use std::sync::Arc;

use super::super::chain::Seen;
use super::super::running;
use super::names::Role;
use super::{Doing, Reader, Root};
use crate::process::registers::dwarf::FROM_GENERAL;
use crate::process::{Blocked, Target};
use crate::runtimes::ReadOptions;
use crate::snapshot::{SnapshotBuilder, StackStatus};
use crate::symbols::native::{NativeFrame, StackBytes};
use crate::symbols::types::{Activation, Frame, Machine};

/// A thread at one moment.
pub(super) struct Look {
    pub(super) tid: u32,
    /// Its stack, from the stack pointer on.
    pub(super) base: u64,
    pub(super) bytes: Vec<u8>,
    /// Where it waits in the kernel. None: it had to be stopped.
    blocked: Option<Blocked>,
}

impl Look {
    /// Looks at a thread. Also its innermost frame.
    pub(super) fn at(
        target: &dyn Target,
        options: &ReadOptions,
        tid: u32,
        into: &mut SnapshotBuilder,
    ) -> Option<(Look, NativeFrame)> {
        if let Some(blocked) = target.blocked_at(tid) {
            let (base, bytes) = (blocked.sp.next_multiple_of(8), running::read(target, blocked.sp));
            let frame = NativeFrame::innermost(blocked.pc, blocked.sp, None);
            return Some((Look { tid, base, bytes, blocked: Some(blocked) }, frame));
        }
        let (bytes, registers) = running::stack_of(target, options, tid, into)?;
        let registers = registers?;
        let look = Look { tid, base: registers.sp.next_multiple_of(8), bytes, blocked: None };
        Some((look, NativeFrame::with_registers(&registers)))
    }
}

impl Reader<'_> {
    /// Whether nobody can have polled a future since its memory was read: its thread did not run, or it is, at a moment when
    /// the memory is still the same, in the same call and polls nothing.
    pub(super) fn is_same(&mut self, stack: &Stack, root: &Root, seen: &Seen) -> bool {
        if let Some(blocked) = stack.look.blocked {
            return seen.is_unchanged(self.target) && self.target.blocked_at(stack.look.tid) == Some(blocked);
        }
        let (target, mut same, mut then) = (self.target, false, None);
        let stopped = target.with_stopped_thread(stack.look.tid, &mut |registers| {
            same = seen.is_unchanged(target);
            then = Some((*registers, running::read(target, registers.sp)));
        });
        let (Ok(_), true, Some((registers, bytes))) = (stopped, same, then) else { return false };
        let base = registers.sp.next_multiple_of(8);
        let look = Look { tid: stack.look.tid, base, bytes, blocked: None };
        let now = self.unwound(look, NativeFrame::with_registers(&registers));
        now.rests(root.address)
    }
}

/// One call of a function.
pub(super) struct Call<'a> {
    pub(super) frame: &'a NativeFrame,
    pub(super) bytes: StackBytes<'a>,
}

impl Machine for Call<'_> {
    fn register(&self, number: u16) -> Option<u64> {
        let nth = FROM_GENERAL.iter().position(|own| *own == usize::from(number))?;
        self.frame.general(nth)
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.bytes.word(address)
    }
}

/// A function on a stack.
pub(super) struct Step {
    pub(super) role: Role,
    pub(super) name: String,
    /// The number of the frame that it is in.
    pub(super) frame: usize,
    /// What debug information says: the number of the image, the frame, and which of its functions this is.
    pub(super) said: Option<(usize, Arc<Frame>, usize)>,
}

impl Step {
    pub(super) fn function(&self) -> Option<(usize, &Frame, &Activation)> {
        let (image, frame, nth) = self.said.as_ref()?;
        Some((*image, frame, frame.functions.get(*nth)?))
    }
}

/// The stack of one thread.
pub(super) struct Stack {
    pub(super) look: Look,
    /// The innermost first.
    pub(super) frames: Vec<NativeFrame>,
    pub(super) status: StackStatus,
    /// The functions, the innermost first.
    pub(super) steps: Vec<Step>,
}

/// A call of `block_on`, which is several functions.
pub(super) struct Block {
    /// The numbers of its innermost and of its outermost function.
    pub(super) begin: usize,
    pub(super) last: usize,
    /// The number of the function that pins the future.
    pub(super) pins: Option<usize>,
    /// Where the frame of this function ends.
    pub(super) address: u64,
    pub(super) doing: Doing,
    /// How many frames are inside of what polls it.
    pub(super) inside: usize,
}

impl Stack {
    pub(super) fn bytes(&self) -> StackBytes<'_> {
        StackBytes { base: self.look.base, bytes: &self.look.bytes }
    }

    /// Where what was read of the stack ends.
    pub(super) fn end(&self) -> u64 {
        self.look.base.saturating_add(self.look.bytes.len() as u64)
    }

    /// Every call of `block_on`, the innermost first.
    pub(super) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let is_in = |step: &Step| matches!(step.role, Role::Pins | Role::Blocks);
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            let (begin, mut last) = (at, at);
            at += 1;
            if !is_in(step) {
                continue;
            }
            while let Some(step) = self.steps.get(at).filter(|step| is_in(step) || step.role == Role::Between)
            {
                if is_in(step) {
                    last = at;
                }
                at += 1;
            }
            blocks.push(self.block(begin, last));
        }
        blocks
    }

    fn block(&self, begin: usize, last: usize) -> Block {
        // Where several threads want to drive one runtime, a future of Tokio's own polls another one: the outer one counts.
        let pins =
            (begin..=last).rev().find(|nth| self.steps.get(*nth).is_some_and(|step| step.role == Role::Pins));
        let frame = self.steps.get(pins.unwrap_or(last)).map_or(0, |step| step.frame);
        // It ends where its caller's begins.
        let end = self.frames.get(frame + 1).or_else(|| self.frames.get(frame));
        let (doing, inside) = self.doing(pins.unwrap_or(begin));
        Block { begin, last, pins, address: end.map_or(0, |frame| frame.sp), doing, inside }
    }

    /// What the thread does with a future, by what the function that pins it has called. Also how many frames are inside of
    /// that.
    fn doing(&self, pins: usize) -> (Doing, usize) {
        let inside = self.steps.get(..pins).unwrap_or_default();
        let decides = |step: &&Step| matches!(step.role, Role::Rests | Role::Polls | Role::Other);
        match inside.iter().rev().find(decides) {
            Some(step) if step.role == Role::Rests => (Doing::Rests, step.frame),
            Some(step) if step.role == Role::Polls => (Doing::Polled, step.frame),
            Some(step) => (Doing::Polled, step.frame.saturating_add(1)),
            None => (Doing::Unknown, 0),
        }
    }

    /// Whether the future with this address rests.
    fn rests(&self, address: u64) -> bool {
        self.blocks().iter().any(|block| block.address == address && block.doing == Doing::Rests)
    }
}
