//! Everything about Go code that depends on the machine. Today that is x86-64; another machine is
//! another file with these functions.

use iced_x86::{Decoder, DecoderOptions, OpKind};

/// Return addresses stand on the stack and are this many bytes.
pub(super) const RETURN_ADDRESS_SIZE: u64 = 8;

/// Highest address that a process can map.
pub(super) const MAX_ADDRESS: u64 = (1 << 47) - 1;

/// Addresses of data that machine code refers to, each as often as it does, in order.
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

/// Where the kernel puts the interrupted registers when it calls a signal handler, from the first
/// byte of `ucontext_t`: (pc, sp, frame pointer). Source: Linux `arch/x86/include/uapi/asm/sigcontext.h`.
pub(super) const UCONTEXT_PC_SP_BP: (u64, u64, u64) = (168, 160, 120);

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
    fn stops_at_garbage() {
        assert!(data_references(&[0x06, 0x48, 0x8b, 0x05, 0, 0, 0, 0], 0).is_empty());
    }
}
