//! The frame pointer of a thread whose stack pointer alone is known.
//!
//! Functions compiled with frame pointers (whole distributions are) find their frame by the frame pointer.
//! Such a frame has a fixed size unless the function allocates stack as it runs, so its code shows how far
//! above the stack pointer the frame begins. x86-64 only.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Functions with more code than this are not examined, bytes.
pub(super) const MAX_CODE: usize = 64 << 10;

/// Bytes from the stack pointer at `pc` to where the frame pointer points. `code` is all code of the
/// function, from `start` on. None unless the distance is the same everywhere in the function, except at its
/// beginning and its ends.
pub(super) fn frame_pointer_offset(code: &[u8], start: u64, pc: u64) -> Option<u64> {
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    // How far the stack pointer is below the return address, and whether `pc` has been reached.
    let (mut depth, mut in_prologue, mut saved, mut set) = (0u64, true, false, false);
    let mut arrived = false;
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return None;
        }
        arrived |= instruction.ip() == pc;
        // The frame must be complete at `pc`.
        in_prologue &= !arrived;
        match instruction.mnemonic() {
            Mnemonic::Push if in_prologue && instruction.op0_kind() == OpKind::Register => {
                saved |= depth == 0 && instruction.op0_register() == Register::RBP;
                depth = depth.checked_add(8)?;
            }
            Mnemonic::Sub if in_prologue && changes_sp(&instruction) => {
                depth = depth.checked_add(immediate(&instruction)?)?;
            }
            Mnemonic::Mov if in_prologue && sets_frame_pointer(&instruction) => {
                if set || !saved || depth != 8 {
                    return None;
                }
                set = true;
            }
            // Ends of the function undo its beginning.
            Mnemonic::Pop | Mnemonic::Leave if !in_prologue => {}
            Mnemonic::Add | Mnemonic::Lea if !in_prologue && set && restores_sp(&instruction) => {}
            Mnemonic::Push
            | Mnemonic::Pop
            | Mnemonic::Leave
            | Mnemonic::Enter
            | Mnemonic::Pushfq
            | Mnemonic::Popfq => {
                return None;
            }
            _ if changes_sp(&instruction) => return None,
            _ => {}
        }
        in_prologue &= !branches(&instruction);
    }
    (arrived && set).then(|| depth.checked_sub(8)).flatten()
}

fn sets_frame_pointer(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Mov_rm64_r64 | Code::Mov_r64_rm64)
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == Register::RBP
        && instruction.op1_register() == Register::RSP
}

/// Whether the next instruction that runs may be another one than the following.
fn branches(instruction: &Instruction) -> bool {
    matches!(instruction.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
        || matches!(instruction.mnemonic(), Mnemonic::Jmp | Mnemonic::Call | Mnemonic::Ret | Mnemonic::Ud2)
}

/// Whether the stack or the frame pointer is an operand that may be written.
fn changes_sp(instruction: &Instruction) -> bool {
    let is_pointer = |operand: u32| {
        use Register::{BP, BPL, EBP, ESP, RBP, RSP, SP, SPL};
        instruction.op_kind(operand) == OpKind::Register
            && matches!(instruction.op_register(operand), RSP | RBP | ESP | EBP | SP | BP | SPL | BPL)
    };
    let only_read = matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test);
    let exchanged = matches!(instruction.mnemonic(), Mnemonic::Xchg | Mnemonic::Xadd | Mnemonic::Cmpxchg);
    let written = if exchanged { instruction.op_count() } else { instruction.op_count().min(1) };
    !only_read && (0..written).any(is_pointer)
}

/// `add rsp, n` or `lea rsp, [rbp - n]`, which end functions.
fn restores_sp(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP
        && (instruction.mnemonic() == Mnemonic::Add && immediate(instruction).is_some()
            || instruction.memory_base() == Register::RBP && instruction.memory_index() == Register::None)
}

/// The positive constant that is added or subtracted.
fn immediate(instruction: &Instruction) -> Option<u64> {
    let is_sp = instruction.op0_register() == Register::RSP;
    let constant = matches!(
        instruction.op1_kind(),
        OpKind::Immediate8 | OpKind::Immediate8to64 | OpKind::Immediate32 | OpKind::Immediate32to64
    );
    (is_sp && constant).then(|| instruction.immediate(1)).filter(|value| i64::try_from(*value).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH_RBP: &[u8] = &[0x55];
    const MOV_RBP_RSP: &[u8] = &[0x48, 0x89, 0xe5];
    const PUSH_RBX: &[u8] = &[0x53];
    const SUB_RSP_24: &[u8] = &[0x48, 0x83, 0xec, 0x18];
    const SUB_RSP_RAX: &[u8] = &[0x48, 0x29, 0xc4];
    const CALL: &[u8] = &[0xe8, 0, 0, 0, 0];
    const NOP: &[u8] = &[0x90];
    const LEAVE_RET: &[u8] = &[0xc9, 0xc3];

    /// The offset after the first call.
    fn offset(parts: &[&[u8]]) -> Option<u64> {
        let code = parts.concat();
        let call = parts.iter().position(|part| *part == CALL).expect("has a call");
        let at = parts.iter().take(call + 1).map(|part| part.len() as u64).sum::<u64>();
        frame_pointer_offset(&code, 0x1000, 0x1000 + at)
    }

    #[test]
    fn fixed_frames() {
        assert_eq!(offset(&[PUSH_RBP, MOV_RBP_RSP, CALL, LEAVE_RET]), Some(0));
        assert_eq!(offset(&[PUSH_RBP, MOV_RBP_RSP, PUSH_RBX, SUB_RSP_24, NOP, CALL, LEAVE_RET]), Some(32));
        let end_bracket = &[0xf3, 0x0f, 0x1e, 0xfa];
        assert_eq!(offset(&[end_bracket, PUSH_RBP, MOV_RBP_RSP, SUB_RSP_24, CALL, LEAVE_RET]), Some(24));
    }

    #[test]
    fn frames_that_are_not_fixed() {
        assert_eq!(offset(&[PUSH_RBP, MOV_RBP_RSP, SUB_RSP_RAX, CALL, LEAVE_RET]), None);
        assert_eq!(offset(&[PUSH_RBP, MOV_RBP_RSP, CALL, SUB_RSP_24, LEAVE_RET]), None, "arguments");
        assert_eq!(offset(&[PUSH_RBP, MOV_RBP_RSP, CALL, PUSH_RBX, LEAVE_RET]), None, "arguments");
        assert_eq!(offset(&[PUSH_RBX, MOV_RBP_RSP, CALL, LEAVE_RET]), None, "rbp was not saved first");
        assert_eq!(offset(&[PUSH_RBP, CALL, LEAVE_RET]), None, "no frame pointer");
        assert_eq!(offset(&[CALL, PUSH_RBP, MOV_RBP_RSP, LEAVE_RET]), None, "the frame comes later");
    }

    #[test]
    fn an_address_between_instructions_and_garbage() {
        let code = [PUSH_RBP, MOV_RBP_RSP, CALL, LEAVE_RET].concat();
        assert_eq!(frame_pointer_offset(&code, 0x1000, 0x1002), None);
        assert_eq!(frame_pointer_offset(&[0x06, 0x06], 0x1000, 0x1001), None);
        assert_eq!(frame_pointer_offset(&[], 0x1000, 0x1000), None);
    }
}
