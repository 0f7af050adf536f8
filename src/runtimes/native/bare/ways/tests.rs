use proptest::prelude::*;

use super::*;

const START: u64 = 0x1000;
const PUSH_RBP: &[u8] = &[0x55];
const POP_RBP: &[u8] = &[0x5d];
const PUSH_RBX: &[u8] = &[0x53];
const POP_RBX: &[u8] = &[0x5b];
const PUSH_8: &[u8] = &[0x6a, 0x08];
const POP_RCX: &[u8] = &[0x59];
const SUB_RSP_24: &[u8] = &[0x48, 0x83, 0xec, 0x18];
const ADD_RSP_24: &[u8] = &[0x48, 0x83, 0xc4, 0x18];
const SUB_RSP_RAX: &[u8] = &[0x48, 0x29, 0xc4];
const ALIGN_RSP: &[u8] = &[0x48, 0x83, 0xe4, 0xf0];
const MOV_RBP_RSP: &[u8] = &[0x48, 0x89, 0xe5];
const MOV_RBP_RDI: &[u8] = &[0x48, 0x89, 0xfd];
const MOV_RSP_RSI: &[u8] = &[0x48, 0x89, 0xf4];
const LEA_RSP_RBP_MINUS_8: &[u8] = &[0x48, 0x8d, 0x65, 0xf8];
const XOR_EBP: &[u8] = &[0x31, 0xed];
const XOR_EAX: &[u8] = &[0x31, 0xc0];
const LEAVE: &[u8] = &[0xc9];
const SYSCALL: &[u8] = &[0x0f, 0x05];
const CALL: &[u8] = &[0xe8, 0, 1, 0, 0];
const RET: &[u8] = &[0xc3];
/// Over five bytes.
const JE_5: &[u8] = &[0x74, 5];
const JMP_5: &[u8] = &[0xeb, 5];
const JMP_RAX: &[u8] = &[0xff, 0xe0];

/// What is known before the part with this number, or in the call that is the part before it.
fn at(parts: &[&[u8]], nth: usize, is_interrupted: bool) -> Option<State> {
    let code = parts.concat();
    let pc = START + parts[..nth].iter().map(|part| part.len() as u64).sum::<u64>();
    let end = START + code.len() as u64;
    Ways::of(&code, START, &mut |address| (START..end).contains(&address))?.at(pc, is_interrupted)
}

fn before(parts: &[&[u8]], nth: usize) -> Option<(Option<u64>, Pointer, Option<u64>)> {
    at(parts, nth, true).map(|state| (state.depth, state.frame_pointer, state.saved))
}

#[test]
fn what_is_pushed_and_popped() {
    use Pointer::{Callers, Unknown};
    let parts =
        [PUSH_RBP, PUSH_RBX, MOV_RBP_RDI, SUB_RSP_24, SYSCALL, XOR_EAX, ADD_RSP_24, POP_RBX, POP_RBP, RET];
    let expected = [
        (0, Callers, None),
        (8, Callers, Some(8)),
        (16, Callers, Some(8)),
        (16, Unknown, Some(8)),
        (40, Unknown, Some(8)),
        (40, Unknown, Some(8)),
        (40, Unknown, Some(8)),
        (16, Unknown, Some(8)),
        (8, Unknown, Some(8)),
        (0, Callers, None),
    ];
    for (nth, (depth, pointer, saved)) in expected.into_iter().enumerate() {
        assert_eq!(before(&parts, nth), Some((Some(depth), pointer, saved)), "{nth}");
    }
}

#[test]
fn calls_and_their_arguments() {
    let parts = [SUB_RSP_24, PUSH_8, CALL, POP_RCX, ADD_RSP_24, CALL];
    assert_eq!(at(&parts, 3, false).unwrap().depth, Some(32));
    assert_eq!(at(&parts, 6, false).unwrap().depth, Some(0), "it never returns: nothing is behind it");
    assert_eq!(at(&parts, 2, false), None, "no call is before it");
    assert_eq!(at(&parts, 6, true), None);
    assert_eq!(at(&[SYSCALL, RET], 1, false), None, "the kernel is no function that is called");
}

#[test]
fn frames_by_the_frame_pointer() {
    let by = |depth, saved| Some((depth, Pointer::Stack(8), saved));
    let parts =
        [PUSH_RBP, MOV_RBP_RSP, PUSH_RBX, SUB_RSP_RAX, CALL, LEA_RSP_RBP_MINUS_8, POP_RBX, POP_RBP, RET];
    assert_eq!(before(&parts, 4), by(None, Some(8)));
    assert_eq!(before(&parts, 6), by(Some(16), Some(8)));
    assert_eq!(before(&parts, 8), Some((Some(0), Pointer::Callers, None)));
    let parts = [PUSH_RBP, MOV_RBP_RSP, ALIGN_RSP, CALL, LEAVE, RET];
    assert_eq!(before(&parts, 3), by(None, Some(8)));
    assert_eq!(before(&parts, 5), Some((Some(0), Pointer::Callers, None)));
}

#[test]
fn ways_that_meet() {
    let same = [PUSH_RBP, JE_5, CALL, SYSCALL, POP_RBP, RET];
    assert_eq!(before(&same, 3), Some((Some(8), Pointer::Callers, Some(8))));
    let differ = [JE_5, PUSH_RBP, SUB_RSP_24, SYSCALL, RET];
    assert_eq!(before(&differ, 3), Some((None, Pointer::Callers, None)));
    let behind_a_jump = [PUSH_RBX, JE_5, POP_RBX, JMP_5, JMP_RAX, SYSCALL, RET];
    assert_eq!(before(&behind_a_jump, 5), Some((Some(8), Pointer::Callers, None)));
    assert_eq!(before(&[JMP_RAX, SYSCALL], 1), None, "not reached");
}

#[test]
fn the_first_function_of_a_thread() {
    let parts = [XOR_EBP, ALIGN_RSP, CALL];
    assert_eq!(before(&parts, 2), Some((None, Pointer::Nothing, None)));
    assert_eq!(at(&parts, 3, false).unwrap().frame_pointer, Pointer::Nothing);
}

#[test]
fn other_stacks_are_unknown() {
    assert_eq!(before(&[MOV_RSP_RSI, SYSCALL], 1).unwrap().0, None);
    assert_eq!(before(&[POP_RBX, SYSCALL], 1).unwrap().0, None, "more than there is");
    assert_eq!(before(&[LEAVE, SYSCALL], 1), Some((None, Pointer::Unknown, None)));
}

proptest! {
    #[test]
    fn any_code(code in proptest::collection::vec(any::<u8>(), 0..400), pc in START..START + 400) {
        if let Some(ways) = Ways::of(&code, START, &mut |_| true) {
            prop_assert!(ways.len() <= code.len());
            let _ = (ways.at(pc, true), ways.at(pc, false));
        }
    }

    /// Whatever meets whatever: following it ends.
    #[test]
    fn any_instructions(parts in proptest::collection::vec(
        proptest::sample::select(vec![
            PUSH_RBP, POP_RBP, PUSH_RBX, POP_RBX, SUB_RSP_24, ADD_RSP_24, SUB_RSP_RAX, MOV_RBP_RSP, LEAVE, CALL, JE_5,
            &[0x74, 0xf0], &[0xeb, 0xe0], LEA_RSP_RBP_MINUS_8, XOR_EBP, SYSCALL,
        ]),
        0..60,
    )) {
        let code = parts.concat();
        prop_assert!(Ways::of(&code, START, &mut |_| true).is_some_and(|ways| ways.len() <= code.len()));
    }
}
