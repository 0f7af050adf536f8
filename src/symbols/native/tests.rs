use gimli::{CfaRule, Encoding, Format, Register, RegisterRule, UnwindExpression};

use super::cfi::{Cfi, Rules};
use super::loaded::MAX_TABLES;
use super::*;

const RBP: Register = Register(6);
const RSP: Register = Register(7);
const RETURN_ADDRESS: Register = Register(16);

fn rules(cfa: CfaRule<usize>, registers: Vec<(Register, RegisterRule<usize>)>) -> Rules {
    Rules {
        cfa,
        registers: registers.into(),
        encoding: Encoding { address_size: 8, format: Format::Dwarf32, version: 1 },
        is_signal: false,
        frame_pointer_offset: None,
        is_end: false,
    }
}

fn by_sp(offset: i64) -> CfaRule<usize> {
    CfaRule::RegisterAndOffset { register: RSP, offset }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn expression(code: &[u8]) -> (Cfi, UnwindExpression<usize>) {
    let cfi = Cfi::default().changed(|bytes| bytes.extend_from_slice(code));
    (cfi, UnwindExpression { offset: 0, length: code.len() })
}

#[test]
fn registers_of_the_caller() {
    let bytes = words(&[7, 0x5555, 0x4000_0010, 9]);
    let stack = StackBytes { base: 0x1000, bytes: &bytes };
    let frame = NativeFrame::innermost(0x4000, 0x1000, None);
    assert_eq!(frame.lookup(), 0x4000);
    let saved = vec![(RETURN_ADDRESS, RegisterRule::Offset(-8)), (RBP, RegisterRule::Offset(-16))];
    let (cfi, _) = expression(&[]);
    let caller = frame.caller(&rules(by_sp(24), saved), &cfi, stack).unwrap();
    assert_eq!((caller.pc, caller.sp, caller.lookup()), (0x4000_0010, 0x1018, 0x4000_000f));
    // It is known now, so the caller of a function that needs it can be found.
    let by_bp = CfaRule::RegisterAndOffset { register: RBP, offset: -0x5555 + 0x1020 };
    assert_eq!(frame.caller(&rules(by_bp.clone(), Vec::new()), &cfi, stack), Err(NoCaller::Unknown));
    let outer = caller.caller(&rules(by_bp, vec![(RETURN_ADDRESS, RegisterRule::Offset(-8))]), &cfi, stack);
    assert_eq!(outer.map(|frame| (frame.pc, frame.sp)), Ok((9, 0x1020)));
}

#[test]
fn ends() {
    let bytes = words(&[0x40, 0]);
    let stack = StackBytes { base: 0x1000, bytes: &bytes };
    let frame = NativeFrame::innermost(0x4000, 0x1000, None);
    let (cfi, _) = expression(&[]);
    let next = |cfa, rule| frame.caller(&rules(cfa, vec![(RETURN_ADDRESS, rule)]), &cfi, stack);
    assert!(next(by_sp(8), RegisterRule::Offset(-8)).is_ok());
    assert_eq!(next(by_sp(8), RegisterRule::Undefined), Err(NoCaller::Outermost), "the outermost function");
    assert_eq!(next(by_sp(16), RegisterRule::Offset(-8)), Err(NoCaller::Outermost), "no address");
    assert_eq!(next(by_sp(0), RegisterRule::Offset(0)), Err(NoCaller::Unknown), "no progress");
    assert_eq!(next(by_sp(i64::MIN), RegisterRule::Offset(-8)), Err(NoCaller::Unknown), "overflow");
    assert_eq!(next(by_sp(64), RegisterRule::Offset(-8)), Err(NoCaller::Cut), "not read");
    assert_eq!(next(by_sp(8), RegisterRule::Offset(i64::MAX)), Err(NoCaller::Unknown), "not read");
}

#[test]
fn expressions() {
    let bytes = words(&[0x1008, 0x77]);
    let stack = StackBytes { base: 0x1000, bytes: &bytes };
    let frame = NativeFrame::innermost(0x4000, 0x1000, None);
    let cfa_of = |code: &[u8]| {
        let (cfi, expression) = expression(code);
        let rules = rules(CfaRule::Expression(expression), vec![(RETURN_ADDRESS, RegisterRule::Constant(5))]);
        frame.caller(&rules, &cfi, stack).ok().map(|caller| caller.sp)
    };
    // DW_OP_breg7 16; DW_OP_breg7 0, DW_OP_deref.
    assert_eq!(cfa_of(&[0x77, 16]), Some(0x1010));
    assert_eq!(cfa_of(&[0x77, 0, 0x06]), Some(0x1008));
    assert_eq!(cfa_of(&[0x73, 0]), None, "rbx is not known");
    assert_eq!(cfa_of(&[0x2f, 0xfd, 0xff]), None, "DW_OP_skip -3 never ends");
    assert_eq!(cfa_of(&[0x12, 0x2f, 0xfc, 0xff]), None, "DW_OP_dup, skip -4");
    assert_eq!(cfa_of(&[]), None);
    assert_eq!(cfa_of(&[0xff]), None);
}

/// At the end of a function, a register that was restored is the caller's; its old place is in no copy of the stack.
#[test]
fn registers_that_were_restored() {
    let bytes = words(&[0x4000_0010]);
    let stack = StackBytes { base: 0x1000, bytes: &bytes };
    let frame = NativeFrame::innermost(0x4000, 0x1000, Some(0x1234));
    let (cfi, _) = expression(&[]);
    let saved = vec![(RETURN_ADDRESS, RegisterRule::Offset(-8)), (RBP, RegisterRule::Offset(-16))];
    let elsewhere = rules(by_sp(8), saved);
    let end = Rules { is_end: true, ..elsewhere.clone() };
    let kept = |rules| frame.caller(rules, &cfi, stack).unwrap().general(5);
    assert_eq!((kept(&end), kept(&elsewhere)), (Some(0x1234), None));
}

/// An index that is made of the entries finds what the linker's table finds.
#[test]
fn an_index_without_a_table() {
    let image = Image::from_file("/proc/self/exe").unwrap();
    let by_table = Cfi::load(&image, MAX_TABLES).unwrap();
    let made = Cfi::load_section(&image, MAX_TABLES).unwrap();
    let symbols = image.symbols().unwrap();
    let mut found = 0;
    for symbol in symbols.iter().take(20_000) {
        for address in [symbol.address.wrapping_sub(1), symbol.address, symbol.address + symbol.size] {
            assert_eq!(made.extent(address), by_table.extent(address), "{address:#x}");
            found += u32::from(made.extent(address).is_some());
        }
    }
    assert!(found > 10_000, "{found}");
}

/// The tables of the test program itself, whole and damaged.
#[test]
fn real_tables_and_damaged_ones() {
    let image = Image::from_file("/proc/self/exe").unwrap();
    let cfi = Cfi::load(&image, MAX_TABLES).unwrap();
    let symbols = image.symbols().unwrap();
    let functions: Vec<_> = symbols.iter().filter(|s| s.kind == 2 && s.size > 64).take(2000).collect();
    assert!(functions.len() > 1000, "{} functions", functions.len());
    let mut context = UnwindContext::new();
    let mut code = NativeCode::new(vec![image.clone()]);
    let mut known = 0;
    for symbol in &functions {
        let middle = symbol.address + symbol.size / 2;
        known += u32::from(cfi.rules(middle, middle, &image, &mut context).is_some());
        let function = code.function(middle).unwrap();
        assert!(function.start <= middle && !function.name.is_empty());
    }
    assert!(known > 990, "rules for {known}");

    let random = std::cell::Cell::new(0x9e37_79b9_7f4a_7c15_u64);
    let next = || {
        random.set(random.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
        random.get() as usize >> 16
    };
    for round in 0..40 {
        let damaged = cfi.changed(|bytes| {
            for _ in 0..bytes.len() / (16 << (round % 6)) {
                // The first bytes say how to read the table; if they are damaged, nothing more is read.
                let at = (next() % bytes.len()).max(8);
                bytes[at] = next() as u8;
            }
        });
        for symbol in functions.iter().step_by(5) {
            let _ = damaged.rules(symbol.address, symbol.address, &image, &mut context);
        }
        let made = damaged.indexed_anew();
        for symbol in functions.iter().step_by(5) {
            let _ = made.rules(symbol.address, symbol.address, &image, &mut context);
        }
    }
}
