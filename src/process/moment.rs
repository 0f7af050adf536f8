//! What a thread did at one moment, as a sampler catches it: registers, and copies of what is on its stack.

use super::{Blocked, Registers};
use crate::process::registers::STACK_POINTER;

/// What a thread did at one moment. The target ran on: by now its memory may say something else.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The thread, in loiter's pid namespace.
    pub tid: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub at_ns: u64,
    /// The registers of the user's code: where it runs, or where it entered the kernel. The base of thread-local
    /// storage is not among what a sampler gets: it is 0.
    pub registers: Registers,
    /// It ran in the kernel.
    pub in_kernel: bool,
    /// Return addresses by frame pointers, innermost first, as the kernel collected them. The first is the
    /// program counter. In code without frame pointers they lack frames, or are wrong.
    pub chain: &'a [u64],
    /// Code addresses in the kernel, innermost first. Empty if they were not asked for.
    pub kernel_chain: &'a [u64],
    /// A copy of the stack from the stack pointer up, as much as was asked for and was there. On a small stack
    /// it contains other memory behind the stack's end.
    pub stack: &'a [u8],
}

impl<'a> Moment<'a> {
    /// A thread that waits in the kernel. Of its registers only two are known; the others are 0. `stack`: what its
    /// stack holds, from the stack pointer up.
    pub fn blocked(tid: u32, at: Blocked, stack: &'a [u8]) -> Self {
        let mut general = [0; 16];
        general[STACK_POINTER] = at.sp;
        let registers = Registers { pc: at.pc, sp: at.sp, general, ..Registers::default() };
        Moment { tid, at_ns: 0, registers, in_kernel: true, chain: &[], kernel_chain: &[], stack }
    }
}
