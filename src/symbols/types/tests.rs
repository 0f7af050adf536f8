use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(600);

/// 1 is a compilation unit; 2 a struct with a name and a size; 3 a variant part; 4 a member with a name, a type anywhere in
/// the file, and an offset; 5 a variant with a value; 6 a number's type with a name and a size; 7 a function with an address
/// and another entry that says more; 8 one with a name and an entry that says more; 9 one with a name and a parameter;
/// 10 a type parameter.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0, //
    2, 0x13, 1, 0x03, 0x08, 0x0b, 0x0b, 0, 0, //
    3, 0x33, 1, 0, 0, //
    4, 0x0d, 0, 0x03, 0x08, 0x49, 0x10, 0x38, 0x0b, 0, 0, //
    5, 0x19, 1, 0x16, 0x0b, 0, 0, //
    6, 0x24, 0, 0x03, 0x08, 0x0b, 0x0b, 0, 0, //
    7, 0x2e, 0, 0x11, 0x01, 0x31, 0x10, 0, 0, //
    8, 0x2e, 0, 0x47, 0x10, 0, 0, //
    9, 0x2e, 1, 0x03, 0x08, 0, 0, //
    10, 0x2f, 0, 0x03, 0x08, 0x49, 0x10, 0, 0, //
    0,
];

/// A unit of DWARF 4 with these entries, and with code from this address on.
fn unit(address: u64, entries: &[u8]) -> Vec<u8> {
    let head = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes(), &[8]].concat();
    let own = [&[1][..], &address.to_le_bytes(), &0x100_u32.to_le_bytes()].concat();
    let len = (head.len() + own.len() + entries.len() + 1) as u32;
    [&len.to_le_bytes()[..], &head, &own, entries, &[0]].concat()
}

/// Bytes of a unit before its entries.
const BEFORE: usize = 4 + 7 + 13;

#[test]
fn what_is_in_other_files_is_noticed() {
    let is_split = |attributes: &[u8], info: &[u8]| {
        let abbreviations = [&[1, 0x11, 0][..], attributes, &[0, 0, 0]].concat();
        let head = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes(), &[8, 1]].concat();
        let len = (head.len() + info.len()) as u32;
        let info = [&len.to_le_bytes()[..], &head, info].concat();
        let mut types = Types::of_sections([(".debug_info", info), (".debug_abbrev", abbreviations)], LIMIT);
        assert_eq!(types.function(0x1000), None);
        types.is_incomplete()
    };
    // DW_AT_GNU_dwo_id as 8 bytes; DW_AT_high_pc as 8 bytes.
    assert!(is_split(&[0xb1, 0x42, 0x07], &[1; 8]));
    assert!(!is_split(&[0x12, 0x07], &[1; 8]));
}

fn named(kind: u8, name: &str, rest: &[u8]) -> Vec<u8> {
    [&[kind][..], name.as_bytes(), &[0], rest].concat()
}

fn reference(at: usize) -> [u8; 4] {
    (at as u32).to_le_bytes()
}

#[test]
fn types_and_names_of_other_units() {
    // The first unit has a number's type, and a function in three entries, of which the last one is in the second unit.
    let number = named(6, "u16", &[2]);
    let second = unit(0x1000, &[]).len() + number.len() + 13 + 5;
    let code = [&[7][..], &0x1000_u64.to_le_bytes(), &reference(BEFORE + number.len() + 13)].concat();
    let declared = second + BEFORE;
    let middle = [&[8][..], &reference(declared)].concat();
    let first = unit(0x1000, &[number, code, middle].concat());
    assert_eq!(first.len(), second);

    let parameter = |of: usize| named(10, "T", &reference(of));
    let function = [named(9, "poll<Machine>", &[]), parameter(0), vec![0]].concat();
    let machine = declared + function.len();
    let function = [named(9, "poll<Machine>", &[]), parameter(machine), vec![0]].concat();
    let state = named(4, "__state", &[&reference(BEFORE)[..], &[6]].concat());
    let variant = [vec![5, 3], named(4, "3", &[&reference(BEFORE)[..], &[1]].concat()), vec![0]].concat();
    let structure = [named(2, "Machine", &[8]), vec![3], state, variant, vec![0, 0]].concat();
    let info = [first, unit(0x2000, &[function, structure].concat())].concat();

    let mut types =
        Types::of_sections([(".debug_info", info), (".debug_abbrev", ABBREVIATIONS.to_vec())], LIMIT);
    let function = types.function(0x1000).unwrap();
    assert_eq!(function.name, "poll<Machine>");
    let machine = types.get(function.parameters[0].of).unwrap();
    assert_eq!((&*machine.name, machine.size), ("Machine", 8));
    let variants = machine.variants.as_ref().unwrap();
    assert_eq!((variants.discriminant, variants.discriminant_name.as_str()), (Some((6, 2)), "__state"));
    assert_eq!(variants.of(Some(3)).unwrap().member.offset, 1);
}
