//! Ends of functions, where registers have been restored already.
//!
//! Compilers do not say so: the rules at the end of a function still lead to the place where a register was kept, which
//! is below the stack pointer by then, and so in no copy of the stack. x86-64 only.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

/// Whether the code before an address may end with a `pop` or `leave`: its last byte.
pub(super) fn may_follow_pop(byte: u8) -> bool {
    matches!(byte, 0x58..=0x5f | 0xc9)
}

/// Is `pc` in the end of a function: behind a `pop`, with nothing but others before the function is left? `code` is all
/// code of the function, from `start` on.
pub(super) fn is_end(code: &[u8], start: u64, pc: u64) -> bool {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() && decoder.ip() < pc {
        decoder.decode_out(&mut instruction);
    }
    if decoder.ip() != pc || !restores(&instruction) {
        return false;
    }
    let leaves = |instruction: &Instruction| match instruction.flow_control() {
        FlowControl::Return | FlowControl::IndirectBranch => true,
        FlowControl::UnconditionalBranch => {
            let target = instruction.near_branch_target();
            !(start..start.saturating_add(code.len() as u64)).contains(&target)
        }
        _ => false,
    };
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if !restores(&instruction) {
            return leaves(&instruction);
        }
    }
    false
}

fn restores(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Pop | Mnemonic::Leave)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POP_RBX: &[u8] = &[0x5b];
    const POP_R12: &[u8] = &[0x41, 0x5c];
    const ADD_RSP: &[u8] = &[0x48, 0x83, 0xc4, 0x18];
    const RET: &[u8] = &[0xc3];
    const JUMP_BACK: &[u8] = &[0xeb, 0xf0];
    const JUMP_FAR: &[u8] = &[0xe9, 0, 1, 0, 0];

    /// Whether each part is in an end.
    fn ends(parts: &[&[u8]]) -> Vec<bool> {
        let code = [&[0x90; 32], parts.concat().as_slice()].concat();
        let mut pc = 0x1000 + 32;
        let mut end = |part: &&[u8]| {
            let found = may_follow_pop(code[pc - 0x1001]) && is_end(&code, 0x1000, pc as u64);
            pc += part.len();
            found
        };
        parts.iter().map(&mut end).collect()
    }

    #[test]
    fn ends_begin_behind_the_first_pop() {
        assert_eq!(ends(&[ADD_RSP, POP_RBX, POP_R12, RET]), [false, false, true, true]);
        assert_eq!(ends(&[POP_RBX, JUMP_FAR]), [false, true], "a call at the end");
        assert_eq!(ends(&[&[0xc9], RET, POP_RBX]), [false, true, false], "leave");
    }

    #[test]
    fn what_only_looks_like_an_end() {
        assert_eq!(ends(&[POP_RBX, JUMP_BACK]), [false, false], "the function goes on");
        assert_eq!(ends(&[POP_RBX, ADD_RSP, RET]), [false; 3], "arguments were taken away");
        assert_eq!(ends(&[POP_RBX, POP_R12]), [false; 2], "no code follows");
        // mov al, 0x5b
        assert_eq!(ends(&[&[0xb0, 0x5b], RET]), [false; 2], "the last byte alone is that of a pop");
        assert!(!is_end(&[0x41, 0x5c, 0xc3], 0x1000, 0x1001), "between instructions");
        assert!(!is_end(&[], 0x1000, 0x1000) && !is_end(RET, 0x1000, 0x2000));
    }
}
