use std::time::Duration;

use super::*;

const LIMIT: Duration = Duration::from_secs(600);
const NESTED: u8 = 3;
/// 1 is a compilation unit, 2 a function, 3 an inlined call; each has an address, a size, a name and children.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0, //
    2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0, //
    NESTED, 0x1d, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0, //
    0,
];

fn entry(kind: u8, begin: u64, size: u32, name: &str) -> Vec<u8> {
    [&[kind][..], &begin.to_le_bytes(), &size.to_le_bytes(), name.as_bytes(), &[0]].concat()
}

/// A unit of DWARF 4 with these entries.
fn unit(entries: &[u8]) -> Vec<u8> {
    let head = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes(), &[8]].concat();
    let len = (head.len() + entries.len()) as u32;
    [&len.to_le_bytes()[..], &head, entries].concat()
}

fn lines(info: Vec<u8>) -> Lines {
    Lines::of_sections([(".debug_info", info), (".debug_abbrev", ABBREVIATIONS.to_vec())])
}

fn names(lines: &mut Lines, address: u64) -> Vec<String> {
    lines.within(address, LIMIT).into_iter().map(|frame| frame.function.unwrap_or_default()).collect()
}

#[test]
fn inlined_calls_are_those_around_the_address() {
    let info = unit(
        &[
            entry(1, 0x1000, 0x100, "unit"),
            entry(2, 0x1000, 0x80, "outer"),
            entry(NESTED, 0x1010, 0x30, "first"),
            entry(NESTED, 0x1020, 0x10, "within first"),
            vec![0, 0],
            entry(NESTED, 0x1040, 0x10, "second"),
            vec![0],
            // A function within a function has its own code.
            entry(2, 0x1080, 0x10, "nested"),
            entry(NESTED, 0x1000, 0x100, "in nested"),
            vec![0, 0, 0, 0],
        ]
        .concat(),
    );
    let mut lines = lines(info);
    assert_eq!(names(&mut lines, 0x1000), ["outer"]);
    assert_eq!(names(&mut lines, 0x1010), ["first", "outer"]);
    assert_eq!(names(&mut lines, 0x1020), ["within first", "first", "outer"]);
    assert_eq!(names(&mut lines, 0x102f), ["within first", "first", "outer"]);
    assert_eq!(names(&mut lines, 0x1030), ["first", "outer"]);
    assert_eq!(names(&mut lines, 0x1040), ["second", "outer"]);
    assert_eq!(names(&mut lines, 0x1080), ["in nested", "nested"]);
    for nowhere in [0, 0xfff, 0x1090, 0x1100, u64::MAX] {
        assert_eq!(names(&mut lines, nowhere), [""; 0], "{nowhere:#x}");
    }
}

#[test]
fn calls_that_are_nested_without_end_are_given_up() {
    let nested = |depth: usize| {
        let mut entries = [entry(1, 0x1000, 0x100, "unit"), entry(2, 0x1000, 0x80, "outer")].concat();
        entries.extend(entry(NESTED, 0x1000, 0x80, "x").repeat(depth));
        entries.extend(vec![0; depth + 2]);
        lines(unit(&entries))
    };
    assert_eq!(names(&mut nested(100), 0x1000).len(), 101);
    assert_eq!(names(&mut nested(400_000), 0x1000).len(), 0, "the innermost call is not known");
}

#[test]
fn a_cut_unit_says_nothing_false() {
    let whole = unit(
        &[
            entry(1, 0x1000, 0x100, "unit"),
            entry(2, 0x1000, 0x80, "outer"),
            entry(NESTED, 0x1000, 0x80, "inner"),
            vec![0, 0, 0],
        ]
        .concat(),
    );
    for len in 0..whole.len() {
        let found = names(&mut lines(whole[..len].to_vec()), 0x1000);
        assert!(found.is_empty(), "{len} bytes: {found:?}");
    }
    assert_eq!(names(&mut lines(whole), 0x1000), ["inner", "outer"]);
}

#[test]
fn without_time_nothing_is_read() {
    let info = unit(&[entry(1, 0x1000, 0x100, "unit"), entry(2, 0x1000, 0x80, "f"), vec![0, 0]].concat());
    assert_eq!(lines(info.clone()).within(0x1000, Duration::ZERO), []);
    assert_eq!(names(&mut lines(info), 0x1000), ["f"]);
}
