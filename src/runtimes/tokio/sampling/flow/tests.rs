use proptest::prelude::*;

use super::*;

const START: u64 = 0x1000;
const PUSH_RBX: &[u8] = &[0x53];
const POP_RBX: &[u8] = &[0x5b];
const PUSH_RBP: &[u8] = &[0x55];
const MOV_RBP_RSP: &[u8] = &[0x48, 0x89, 0xe5];
const MOV_RBX_RDI: &[u8] = &[0x48, 0x89, 0xfb];
const MOV_RDI_RAX: &[u8] = &[0x48, 0x89, 0xc7];
/// `mov [rsp + 8], rdi`, `mov [rsp + 8], rsi`, `mov dword [rsp + 12], esi`.
const STORE: &[u8] = &[0x48, 0x89, 0x7c, 0x24, 8];
const STORE_OTHER: &[u8] = &[0x48, 0x89, 0x74, 0x24, 8];
const STORE_HALF: &[u8] = &[0x89, 0x74, 0x24, 12];
const SUB_RSP_24: &[u8] = &[0x48, 0x83, 0xec, 24];
const ADD_RSP_24: &[u8] = &[0x48, 0x83, 0xc4, 24];
/// `and rsp, -64`.
const ALIGN: &[u8] = &[0x48, 0x83, 0xe4, 0xc0];
/// `lea rbx, [rdi + 32]`, `xor ebx, ebx`, `test esi, esi`.
const LEA_RBX: &[u8] = &[0x48, 0x8d, 0x5f, 32];
const XOR_EBX: &[u8] = &[0x31, 0xdb];
const TEST: &[u8] = &[0x85, 0xf6];
/// Calls of the next instruction: no code of this test is run.
const CALL: &[u8] = &[0xe8, 0, 0, 0, 0];
const RET: &[u8] = &[0xc3];
/// `lea rax, [rip + 0x1000]`, `movsxd rcx, [rax + rsi * 4]`, `add rcx, rax`, `jmp rcx`.
const SWITCH: &[u8] =
    &[0x48, 0x8d, 0x05, 0, 0x10, 0, 0, 0x48, 0x63, 0x0c, 0xb0, 0x48, 0x01, 0xc1, 0xff, 0xe1];

/// What the tests say of the program.
#[derive(Default)]
struct Told {
    table: Vec<u64>,
    returned: Option<i64>,
}

impl Surroundings for Told {
    fn constant(&mut self, _: u64) -> Option<u64> {
        None
    }

    fn table(&mut self, _: u64, _: bool, _: (u64, u64)) -> Option<Vec<u64>> {
        Some(self.table.clone()).filter(|table| !table.is_empty())
    }

    fn returned(&mut self, _: u64, _: &[(usize, i64)]) -> Option<i64> {
        self.returned
    }
}

/// What is known where the last call of a function returns to, and the call.
fn at_last_call(parts: &[&[u8]], told: &mut Told) -> Option<(State, Call)> {
    let code = parts.concat();
    let flow = Flow::of(&code, START, &[(7, 0)], told)?;
    let last = parts.iter().rposition(|part| *part == CALL).expect("has a call");
    let behind: usize = parts.iter().take(last + 1).map(|part| part.len()).sum();
    flow.calling(START + behind as u64, told)
}

fn rbx(parts: &[&[u8]]) -> Value {
    at_last_call(parts, &mut Told::default()).map_or(Value::Unknown, |(state, _)| state.get(3))
}

fn slots(parts: &[&[u8]]) -> Vec<(Place, i64)> {
    at_last_call(parts, &mut Told::default()).map_or(Vec::new(), |(state, _)| state.slots().to_vec())
}

#[test]
fn registers_that_a_call_keeps() {
    assert_eq!(rbx(&[PUSH_RBX, MOV_RBX_RDI, CALL, CALL, POP_RBX, RET]), Value::Header(0));
    assert_eq!(rbx(&[PUSH_RBX, LEA_RBX, CALL, POP_RBX, RET]), Value::Header(32));
    assert_eq!(rbx(&[PUSH_RBX, MOV_RBX_RDI, XOR_EBX, CALL, POP_RBX, RET]), Value::Unknown);
    let (state, call) = at_last_call(&[CALL, RET], &mut Told::default()).expect("it can be followed");
    assert!(state.registers.iter().all(|value| !matches!(value, Value::Header(_))), "rdi is not kept");
    assert_eq!(call.arguments, [(7, 0)], "but passed on");
}

#[test]
fn a_place_counts_only_if_every_way_agrees() {
    // je over the next instruction
    let over = |bytes: &[u8]| vec![0x74, bytes.len() as u8];
    let jump = over(XOR_EBX);
    assert_eq!(rbx(&[PUSH_RBX, MOV_RBX_RDI, TEST, &jump, XOR_EBX, CALL, POP_RBX, RET]), Value::Unknown);
    let jump = over(MOV_RBX_RDI);
    assert_eq!(rbx(&[PUSH_RBX, MOV_RBX_RDI, TEST, &jump, MOV_RBX_RDI, CALL, RET]), Value::Header(0));
    // A loop that loses it: jne back to the call.
    let back = [0x75, (-9_i8).cast_unsigned()];
    assert_eq!(rbx(&[MOV_RBX_RDI, CALL, XOR_EBX, &back, RET]), Value::Unknown);
}

#[test]
fn words_of_the_stack() {
    let at = |aligned, offset| (Place { aligned, offset }, 0);
    assert_eq!(slots(&[SUB_RSP_24, STORE, CALL, ADD_RSP_24, RET]), [at(false, -16)]);
    assert_eq!(slots(&[SUB_RSP_24, STORE, STORE_OTHER, CALL, ADD_RSP_24, RET]), []);
    assert_eq!(slots(&[SUB_RSP_24, STORE, STORE_HALF, CALL, ADD_RSP_24, RET]), []);
    assert_eq!(slots(&[PUSH_RBP, MOV_RBP_RSP, ALIGN, SUB_RSP_24, STORE, CALL, RET]), [at(true, -16)]);
}

#[test]
fn a_table_of_jumps_is_followed() {
    let parts = [PUSH_RBX, MOV_RBX_RDI, SWITCH, CALL, RET, XOR_EBX, CALL, RET];
    let first = START + (PUSH_RBX.len() + MOV_RBX_RDI.len() + SWITCH.len()) as u64;
    let second = first + (CALL.len() + RET.len()) as u64;
    let behind = |table: &[u64], call: u64| {
        let mut told = Told { table: table.to_vec(), ..Told::default() };
        let flow = Flow::of(&parts.concat(), START, &[(7, 0)], &mut told)?;
        Some(flow.calling(call + CALL.len() as u64, &mut told)?.0.get(3))
    };
    assert_eq!(behind(&[first, second], first), Some(Value::Header(0)));
    assert_eq!(behind(&[first, second], second + XOR_EBX.len() as u64), Some(Value::Unknown));
    assert_eq!(behind(&[second], first), None, "nothing leads there");
    assert_eq!(behind(&[], first), None, "where it leads is unknown");
}

#[test]
fn what_a_function_returns_is_passed_on() {
    let parts = [CALL, MOV_RDI_RAX, CALL, RET];
    let arguments = |returned| {
        let told = &mut Told { returned, ..Told::default() };
        at_last_call(&parts, told).map(|(_, call)| call.arguments)
    };
    assert_eq!(arguments(Some(0)), Some(vec![(7, 0)]));
    assert_eq!(arguments(Some(16)), Some(vec![(7, 16)]));
    assert_eq!(arguments(None), Some(vec![]));
}

proptest! {
    #[test]
    fn any_code(bytes in prop::collection::vec(any::<u8>(), 0..400), pc in START..START + 400) {
        let mut told = Told { table: vec![START + 3, START + 90], returned: Some(1) };
        if let Some(flow) = Flow::of(&bytes, START, &[(7, 0)], &mut told) {
            let _ = (flow.before(pc, &mut told), flow.calling(pc, &mut told));
        }
    }
}
