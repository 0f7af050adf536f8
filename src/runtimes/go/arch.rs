//! Everything about Go code that depends on the machine. Today that is x86-64; another machine needs another
//! file with these functions.

use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};

use crate::process::bytes::words;

mod alu;
pub(super) mod machine;
pub(super) mod state;

/// Size of a return address on the stack, bytes.
pub(super) const RETURN_ADDRESS_SIZE: u64 = 8;

/// Highest address that a process can map.
pub(super) const MAX_ADDRESS: u64 = (1 << 47) - 1;

/// Number of the register in which Go code keeps the current g (`src/cmd/compile/abi-internal.md`).
pub(super) const G_REGISTER: usize = 14;
/// Number of the register that keeps the stack pointer during calls into the vDSO
/// (`src/runtime/sys_linux_amd64.s`, `src/runtime/time_linux_amd64.s`).
pub(super) const SAVED_STACK_POINTER: usize = 12;

/// Addresses of data that machine code refers to, in order, with repetitions.
///
/// `code` starts at `address`. On x86-64 these are the RIP-relative memory operands.
pub(super) fn data_references(code: &[u8], address: u64) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            break;
        }
        let has_memory = (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
        if has_memory && instruction.is_ip_rel_memory_operand() {
            found.push(instruction.ip_rel_memory_address());
        }
    }
    found
}

/// The addresses that machine code calls directly, in order, with repetitions. `code` starts at `address`.
pub(super) fn calls(code: &[u8], address: u64) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut found = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.flow_control() == FlowControl::Call {
            found.push(instruction.near_branch_target());
        }
    }
    found
}

/// Finds in a signal stack's bytes where a signal interrupted a thread, and its registers there, in the order
/// in which instructions number them.
///
/// The kernel leaves a `ucontext_t` there, whose third to fifth word say which signal stack is set
/// up: its address, flags and size. Source: Linux `include/uapi/asm-generic/ucontext.h`,
/// `arch/x86/include/uapi/asm/sigcontext.h`.
pub(super) fn interrupted(bytes: &[u8], stack: u64, size: u64) -> Option<(u64, [u64; 16])> {
    let all: Vec<u64> = words(bytes).collect();
    let is_context = |context: &[u64]| context[STACK_ADDRESS] == stack && context[STACK_SIZE] == size;
    all.windows(CONTEXT).find(|context| is_context(context)).map(registers)
}

/// The same for bytes that begin with a `ucontext_t`.
pub(super) fn saved_context(bytes: &[u8]) -> Option<(u64, [u64; 16])> {
    let context: Vec<u64> = words(bytes.get(..8 * CONTEXT)?).collect();
    (context.len() == CONTEXT).then(|| registers(&context))
}

/// Words of a `ucontext_t` up to the program counter.
const CONTEXT: usize = RIP + 1;
const STACK_ADDRESS: usize = 2;
const STACK_SIZE: usize = 4;
/// rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
const GENERAL: [usize; 16] = [18, 19, 17, 16, 20, 15, 14, 13, 5, 6, 7, 8, 9, 10, 11, 12];
const RIP: usize = 21;

fn registers(context: &[u64]) -> (u64, [u64; 16]) {
    (context[RIP], GENERAL.map(|at| context[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_rip_relative_operands() {
        // mov rax, [rip+0x10]; lea rcx, [rip-1]; ret
        let code = [0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x48, 0x8d, 0x0d, 0xff, 0xff, 0xff, 0xff, 0xc3];
        assert_eq!(data_references(&code, 0x1000), [0x1017, 0x100d]);
    }

    #[test]
    fn finds_direct_calls() {
        // nop; call +2; ret; call rax
        let code = [0x90, 0xe8, 2, 0, 0, 0, 0xc3, 0xff, 0xd0];
        assert_eq!(calls(&code, 0x1000), [0x1008]);
    }

    #[test]
    fn stops_at_garbage() {
        assert!(data_references(&[0x06, 0x48, 0x8b, 0x05, 0, 0, 0, 0], 0).is_empty());
    }
}
