//! The registers of x86-64, as the kernel, instructions and DWARF number them. Another machine begins here;
//! ARCHITECTURE.md lists what else depends on it.

use super::Registers;

/// Words in `struct user_regs_struct` (sys/user.h): what PTRACE_GETREGSET with NT_PRSTATUS gives and what the
/// NT_PRSTATUS notes of core files contain.
pub(super) const WORDS: usize = 27;

/// Offset of these words in `struct elf_prstatus` (sys/procfs.h), bytes.
pub(super) const PRSTATUS_OFFSET: usize = 112;

/// Number of the stack pointer in [`Registers::general`].
pub(crate) const STACK_POINTER: usize = 4;
/// Number of the frame pointer in [`Registers::general`].
pub(crate) const FRAME_POINTER: usize = 5;

/// Numbers of registers in DWARF: System V ABI, AMD64 supplement, figure 3.36.
pub(crate) mod dwarf {
    /// The frame pointer, rbp.
    pub(crate) const FRAME_POINTER: usize = 6;
    /// The stack pointer, rsp.
    pub(crate) const STACK_POINTER: usize = 7;
    /// Where a frame returns to.
    pub(crate) const RETURN_ADDRESS: usize = 16;
    /// DWARF's numbers of the general registers, in the order in which instructions number them.
    pub(crate) const FROM_GENERAL: [usize; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    /// Registers that a function leaves as they were unless its rules say otherwise: rbx, rbp, r12 to r15.
    pub(crate) const CALLEE_SAVED: [usize; 6] = [3, FRAME_POINTER, 12, 13, 14, 15];
}

impl Registers {
    /// Picks the needed registers from the kernel's set.
    pub(super) fn from_words(words: &[u64; WORDS]) -> Registers {
        // In the order in which instructions number them: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
        let general = [10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0].map(|at| words[at]);
        Registers { pc: words[16], sp: words[19], bp: words[4], tls: words[21], general }
    }
}
