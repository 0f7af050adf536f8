use super::*;

/// Memory in which a few words are known.
struct Words(Vec<(u64, u64)>);

impl World for Words {
    fn word(&mut self, address: u64) -> Value {
        let number = self.0.iter().find(|(at, _)| *at == address)?.1;
        Some(Known { number, firm: address < 0x2000 })
    }
}

const SP: u64 = 0x1000;

/// Runs code that only goes forward.
fn run(code: &[u8], words: &[(u64, u64)]) -> (CpuState, Option<Step>) {
    let (mut machine, mut at, mut world) = (Machine::new(), 0, Words(words.to_vec()));
    let mut state = CpuState::behind_call(SP);
    while at < code.len() {
        let (step, len) = machine.step(code, at, 0x9000 + at as u64, &mut state, &mut world).unwrap();
        at += len as usize;
        if step != Step::Next {
            return (state, Some(step));
        }
    }
    (state, None)
}

#[test]
fn what_is_loaded_from_the_stack_is_followed() {
    // mov rax,[rsp+0x28]; inc qword [rax+0x38]; mov rax,[rax+0x30]; lock xadd [rax+0x18],ebx
    let code = [
        0x48, 0x8b, 0x44, 0x24, 0x28, 0x48, 0xff, 0x40, 0x38, 0x48, 0x8b, 0x40, 0x30, 0xf0, 0x0f, 0xc1, 0x58,
        0x18,
    ];
    let (_, step) = run(&code, &[(SP + 0x28, 0x7000), (0x7030, 0x8000)]);
    let address = Some(Known { number: 0x8018, firm: false });
    assert_eq!(step, Some(Step::Atomic(Atomic { address, size: 4, conditional: false })));
    let (_, step) = run(&code, &[(SP + 0x28, 0x7000)]);
    assert_eq!(step, Some(Step::Atomic(Atomic { address: None, size: 4, conditional: false })));
}

#[test]
fn what_is_written_to_the_stack_is_remembered() {
    // lea rax,[rip+0x10]; mov [rsp+8],rax; mov rdx,[rsp+8]; call rdx
    let code = [
        0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 0x08, 0x48, 0x8b, 0x54, 0x24, 0x08, 0xff,
        0xd2,
    ];
    let (_, step) = run(&code, &[(SP + 8, 1)]);
    assert_eq!(step, Some(Step::Call(constant(0x9017), Origin::Closure)));
    // mov byte [rsp+8],1 changes one byte of it.
    let more = [&code[..12], &[0xc6, 0x44, 0x24, 0x08, 1], &code[12..]].concat();
    assert_eq!(run(&more, &[]).1, Some(Step::Call(constant(0x9001), Origin::Closure)));
}

#[test]
fn frames_move_the_stack_pointer() {
    // push rbp; mov rbp,rsp; sub rsp,0x28; lea rax,[rsp+8]; add rsp,0x28; pop rbp; ret
    let code = [
        0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x28, 0x48, 0x8d, 0x44, 0x24, 0x08, 0x48, 0x83, 0xc4, 0x28,
        0x5d, 0xc3,
    ];
    let (state, step) = run(&code, &[]);
    assert_eq!((step, state.stack_pointer()), (Some(Step::Return), constant(SP)));
    assert_eq!(state.argument(), constant(SP - 0x28));
}

fn holds(to: u64, firm: Option<bool>, now: Option<bool>) -> Option<Step> {
    Some(Step::Branch(to, Condition { firm, now }))
}

#[test]
fn only_what_nobody_else_changes_decides_a_branch() {
    // cmp byte [rsp+0xf],0; je +0
    let code = [0x80, 0x7c, 0x24, 0x0f, 0x00, 0x74, 0x00];
    let branch = |word: Option<u64>| {
        let words: Vec<_> = word.map(|word| (SP + 8, word)).into_iter().collect();
        run(&code, &words).1
    };
    assert_eq!(branch(Some(0)), holds(0x9007, Some(true), Some(true)));
    assert_eq!(branch(Some(1 << 56)), holds(0x9007, Some(false), Some(false)));
    assert_eq!(branch(None), holds(0x9007, None, None));
    // mov rax,[rsp]; cmp qword [rax],0; je +0: what is on the heap may change.
    let code = [0x48, 0x8b, 0x04, 0x24, 0x48, 0x83, 0x38, 0x00, 0x74, 0x00];
    assert_eq!(run(&code, &[(SP, 0x7000), (0x7000, 0)]).1, holds(0x900a, None, Some(true)));
}

#[test]
fn sixteen_bytes_are_moved_at_once() {
    // movups xmm0,[rsp]; movups [rsp+0x20],xmm0; mov rax,[rsp+0x28]; movups [rsp+0x20],xmm15; mov rcx,[rsp+0x28]
    let code = [
        0x0f, 0x10, 0x04, 0x24, 0x0f, 0x11, 0x44, 0x24, 0x20, 0x48, 0x8b, 0x44, 0x24, 0x28, 0x44, 0x0f, 0x11,
        0x7c, 0x24, 0x20, 0x48, 0x8b, 0x4c, 0x24, 0x28,
    ];
    let (state, _) = run(&code, &[(SP, 1), (SP + 8, 2)]);
    assert_eq!(state.argument(), constant(2));
    assert_eq!(state.get(Register::RCX), constant(0));
}

#[test]
fn how_a_function_was_loaded_is_known() {
    // mov rax,[rdx]; call rax
    assert_eq!(run(&[0x48, 0x8b, 0x02, 0xff, 0xd0], &[]).1, Some(Step::Call(None, Origin::Closure)));
    // mov rcx,[rcx+0x20]; call rcx
    assert_eq!(
        run(&[0x48, 0x8b, 0x49, 0x20, 0xff, 0xd1], &[]).1,
        Some(Step::Call(None, Origin::SecondMethod))
    );
}

#[test]
fn what_an_unknown_instruction_changes_is_unknown() {
    // mov rax,[rsp]; bswap rax
    let (state, _) = run(&[0x48, 0x8b, 0x04, 0x24, 0x48, 0x0f, 0xc8], &[(SP, 1)]);
    assert_eq!(state.argument(), None);
    // A write of 32 bits clears the upper half: mov rax,[rsp]; mov eax,eax
    let (state, _) = run(&[0x48, 0x8b, 0x04, 0x24, 0x89, 0xc0], &[(SP, u64::MAX)]);
    assert_eq!(state.argument(), constant(0xffff_ffff));
}

#[test]
fn garbage_is_no_instruction() {
    let mut state = CpuState::behind_call(SP);
    let mut world = Words(Vec::new());
    for (code, at) in [(&[0x06][..], 0), (&[], 0), (&[0x90], 5)] {
        assert_eq!(Machine::new().step(code, at, 0, &mut state, &mut world), None);
    }
}

proptest::proptest! {
    /// Code and memory are the target's: whatever they hold, every step ends and nothing panics.
    #[test]
    fn any_code_can_be_run(code: Vec<u8>, words: Vec<(u64, u64)>, registers: [u64; 16]) {
        let (mut machine, mut world) = (Machine::new(), Words(words));
        for mut state in [CpuState::behind_call(u64::MAX), CpuState::with_registers(&registers)] {
            let mut at = 0;
            while let Some((_, len)) = machine.step(&code, at, at as u64, &mut state, &mut world) {
                at += len as usize;
            }
        }
    }

    /// Random bytes are mostly short instructions; these have operands that are computed with.
    #[test]
    fn any_arithmetic_can_be_run(
        steps: Vec<(proptest::sample::Index, u8, u64)>,
        registers: [u64; 16],
    ) {
        const OPCODES: [&[u8]; 12] = [
            &[0x48, 0x01], &[0x66, 0x29], &[0x38], &[0x4c, 0x8b], &[0x88], &[0x48, 0x8d], &[0x0f, 0xb6],
            &[0x48, 0x63], &[0x48, 0xd3], &[0x48, 0x0f, 0xaf], &[0x0f, 0x10], &[0x48, 0x0f, 0x44],
        ];
        let mut code = Vec::new();
        for (opcode, operands, displacement) in steps {
            code.extend(opcode.get(&OPCODES).iter());
            code.push(operands);
            code.extend(displacement.to_le_bytes());
        }
        let mut state = CpuState::with_registers(&registers);
        let (mut machine, mut world, mut at) = (Machine::new(), Words(vec![(0, 1)]), 0);
        while let Some((_, len)) = machine.step(&code, at, at as u64, &mut state, &mut world) {
            at += len as usize;
        }
    }
}
