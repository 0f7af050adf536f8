//! The meaning of the words in the kernel's register set. All machine-dependent code of this part of the
//! program is here; today that is x86-64.

use super::Registers;

/// Words in `struct user_regs_struct` (sys/user.h): what PTRACE_GETREGSET with NT_PRSTATUS gives and what the
/// NT_PRSTATUS notes of core files contain.
pub(super) const WORDS: usize = 27;

/// Offset of these words in `struct elf_prstatus` (sys/procfs.h), bytes.
pub(super) const PRSTATUS_OFFSET: usize = 112;

impl Registers {
    /// Picks the needed registers from the kernel's set.
    pub(super) fn from_words(words: &[u64; WORDS]) -> Registers {
        // In the order in which instructions number them: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
        let general = [10, 11, 12, 5, 19, 4, 13, 14, 9, 8, 7, 6, 3, 2, 1, 0].map(|at| words[at]);
        Registers { pc: words[16], sp: words[19], bp: words[4], g: words[1], tls: words[21], general }
    }
}
