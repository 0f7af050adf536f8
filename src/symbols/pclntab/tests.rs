//! Small tables made by hand. Real ones are in `tests/go_pclntab.rs`.

use proptest::prelude::*;

use super::*;

const TEXT: u64 = 0x40_0000;

/// The parts of a hand-made table.
struct Maker {
    format: Format,
    names: Vec<u8>,
    pctab: Vec<u8>,
    /// Start, record.
    functions: Vec<(u32, Vec<u8>)>,
    end: u32,
}

impl Maker {
    fn new(format: Format) -> Self {
        Maker { format, names: vec![0], pctab: vec![0], functions: Vec::new(), end: 0 }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.bytes());
        self.names.push(0);
        at
    }

    /// A pc table from (value, bytes) pairs.
    fn values(&mut self, values: &[(i32, u8)]) -> u32 {
        let at = self.pctab.len() as u32;
        let mut previous = -1;
        for &(value, length) in values {
            let change = value - previous;
            previous = value;
            self.pctab.extend([((change << 1) ^ (change >> 31)) as u8, length]);
        }
        self.pctab.push(0);
        at
    }

    /// A function of 16 bytes: 8 with no frame, 8 with one of 32 bytes, in which the call that is
    /// record 0 of the inline tree is inlined.
    fn function(&mut self, name: &str, id: u8, flag: u8) {
        let entry = self.end;
        self.end += 32;
        let name = self.name(name);
        let pcsp = self.values(&[(0, 8), (32, 8)]);
        let file = self.values(&[(1, 16)]);
        let line = self.values(&[(20, 8), (30, 8)]);
        let inline = self.values(&[(-1, 8), (0, 8)]);
        let mut words = vec![entry, name, ARGS_SIZE, 0, pcsp, file, line, 3, 0];
        if self.format >= Format::Go120 {
            words.push(19);
        }
        words.push(u32::from_le_bytes([id, flag, 0, 4]));
        words.extend([0, 0, inline]);
        words.extend([u32::MAX, u32::MAX, u32::MAX, 8]);
        self.functions.push((entry, words.into_iter().flat_map(u32::to_le_bytes).collect()));
    }

    fn bytes(&self) -> Vec<u8> {
        let files = b"\0main.go\0other.go\0";
        let units: Vec<u8> = [1u32, 9].into_iter().flat_map(u32::to_le_bytes).collect();
        let mut index = Vec::new();
        let mut records: Vec<u8> = Vec::new();
        let index_len = self.functions.len() * 8 + 4;
        for (entry, record) in &self.functions {
            index.extend(entry.to_le_bytes());
            index.extend(((index_len + records.len()) as u32).to_le_bytes());
            records.extend(record);
        }
        index.extend(self.end.to_le_bytes());
        index.extend(records);
        let magic = if self.format >= Format::Go120 { MAGIC_1_20 } else { MAGIC_1_18 };
        let mut bytes = magic.to_le_bytes().to_vec();
        bytes.extend([0, 0, 1, 8]);
        let sections = [&self.names[..], &units, files, &self.pctab, &index];
        let mut header = vec![self.functions.len() as u64, 2, 0];
        let mut at = HEADER;
        for section in sections {
            header.push(at as u64);
            at += section.len();
        }
        bytes.extend(header.into_iter().flat_map(u64::to_le_bytes));
        sections.into_iter().for_each(|section| bytes.extend(section));
        bytes
    }
}

const ARGS_SIZE: u32 = 24;

/// Two functions and the wrapper's landmark, with an inline tree in which "main.inner" is called.
fn made(format: Format) -> (Vec<u8>, Vec<u8>) {
    let mut maker = Maker::new(format);
    maker.function("main.main", 0, 0);
    maker.function("runtime.goexit", 7, 5);
    maker.function("runtime.systemstack_switch", 21, 2);
    let inner = maker.name("main.inner[go.shape.int]");
    let mut tree = vec![0u8; 8];
    match format {
        // parent, id, padding; file, line; name; place of the call
        Format::Go118 => {
            for word in [22 << 16, 0, 0, inner, 2] {
                tree.extend(u32::to_le_bytes(word));
            }
        }
        Format::Go120 => {
            for word in [22, inner, 2, 5] {
                tree.extend(u32::to_le_bytes(word));
            }
        }
    }
    (maker.bytes(), tree)
}

fn parsed(format: Format) -> Pclntab {
    let (bytes, funcdata) = made(format);
    Pclntab::parse(bytes, TEXT, funcdata).expect("a good table")
}

#[test]
fn functions_are_found_by_their_addresses() {
    let table = parsed(Format::Go120);
    assert_eq!((table.len(), table.text_range()), (3, TEXT..TEXT + 96));
    for (pc, name) in [
        (TEXT - 1, None),
        (TEXT, Some("main.main")),
        (TEXT + 31, Some("main.main")),
        (TEXT + 32, Some("runtime.goexit")),
        (TEXT + 95, Some("runtime.systemstack_switch")),
        (TEXT + 96, None),
        (u64::MAX, None),
        (0, None),
    ] {
        let found = table.find(pc).map(|func| func.name().into_owned());
        assert_eq!(found.as_deref(), name, "{pc:#x}");
    }
}

#[test]
fn what_a_record_says() {
    for format in [Format::Go118, Format::Go120] {
        let table = parsed(format);
        let func = table.by_name("runtime.goexit").expect("goexit");
        assert_eq!((func.entry(), func.end()), (TEXT + 32, TEXT + 64));
        assert!(func.is_top_frame() && func.is_asm() && !func.is_sp_write());
        assert_eq!((func.args_size(), func.kind()), (Some(24), FuncKind::Goexit));
        assert_eq!(func.start_line(), (format == Format::Go120).then_some(19));
        let pc = func.entry();
        assert_eq!(
            (func.sp_delta(pc), func.sp_delta(pc + 8), func.sp_delta(pc + 16)),
            (Some(0), Some(32), None)
        );
        assert!(func.covers(pc + 15) && !func.covers(pc + 16) && !func.covers(pc - 1));
        assert_eq!(func.file_line(pc + 8), Some(("other.go".into(), 30)));
        assert_eq!((func.pcdata(0, pc), func.pcdata(9, pc), func.pcdata(2, pc + 9)), (None, None, Some(0)));
        assert_eq!(
            (func.funcdata_offset(3), func.funcdata_offset(0), func.funcdata_offset(9)),
            (Some(8), None, None)
        );
    }
}

#[test]
fn inlined_calls() {
    for format in [Format::Go118, Format::Go120] {
        let table = parsed(format);
        let func = table.find(TEXT).expect("main");
        assert_eq!(func.inline_frames(TEXT).len(), 1);
        let frames = func.inline_frames(TEXT + 10);
        let brief: Vec<_> = frames.iter().map(|f| (f.display_name(), f.line, f.inlined, f.kind)).collect();
        assert_eq!(
            brief,
            [
                ("main.inner[...]".into(), 30, true, FuncKind::Wrapper),
                ("main.main".into(), 20, false, FuncKind::Normal)
            ]
        );
        let without = Pclntab::parse(made(format).0, TEXT, Vec::new()).expect("a good table");
        let frames = without.find(TEXT).expect("main").inline_frames(TEXT + 10);
        assert_eq!((frames.len(), &*frames[0].name, frames[0].line), (1, "main.main", 30));
        assert!(without.funcdata_hint() > 8);
    }
}

#[test]
fn a_tree_that_goes_round_ends() {
    let (bytes, mut funcdata) = made(Format::Go120);
    funcdata[16] = 10; // the call's place is within itself
    let table = Pclntab::parse(bytes, TEXT, funcdata).expect("a good table");
    assert!(table.find(TEXT).expect("main").inline_frames(TEXT + 10).len() <= 1001);
}

#[test]
fn several_names_at_once() {
    let table = parsed(Format::Go120);
    let found =
        table.by_names(&["runtime.goexit", "runtime.goexit2", "runtime.", "main.main", "runtime.goexit"]);
    let names: Vec<_> = found.iter().map(|f| f.map(|f| f.name().into_owned())).collect();
    assert_eq!(
        names,
        [Some("runtime.goexit".into()), None, None, Some("main.main".into()), Some("runtime.goexit".into())]
    );
    assert!(table.by_names(&[]).is_empty());
    assert_eq!(table.by_name(""), None);
}

#[test]
fn what_is_not_a_table() {
    let parse = |bytes: &[u8]| Pclntab::parse(bytes.to_vec(), TEXT, Vec::new()).map(|_| ());
    assert_eq!(parse(&[]), Err(PclntabError::Magic { magic: 0 }));
    assert_eq!(parse(b"\x7fELF and more"), Err(PclntabError::Magic { magic: 0x464c_457f }));
    let (good, _) = made(Format::Go120);
    let mut bad = good.clone();
    bad[7] = 4;
    assert_eq!(parse(&bad), Err(PclntabError::Machine { pointer_size: 4, quantum: 1 }));
    let mut bad = good.clone();
    bad[8..16].fill(0xff);
    assert_eq!(parse(&bad), Err(PclntabError::Truncated { what: "index of functions" }));
    let index = u64_at(&good, 8 + 7 * 8).expect("an offset") as usize;
    let mut bad = good.clone();
    bad[index + 8] = 0xff;
    assert_eq!(parse(&bad), Err(PclntabError::Unsorted { index: 1 }));
    for len in 0..good.len() {
        let _ = parse(&good[..len]);
    }
}

/// Calls every query on a table; it only has to end.
fn exercise(table: &Pclntab) {
    for func in table.functions().take(50) {
        for pc in (func.entry()..=func.end()).take(64) {
            let _ = (func.sp_delta(pc), func.file_line(pc), func.inline_frames(pc).len(), func.pcdata(1, pc));
            let _ = (table.find(pc), func.funcdata_offset(3), func.display_name(), func.kind());
        }
    }
    let _ = (table.funcdata_hint(), table.by_names(&["main.main", "main.mai"]));
}

proptest! {
    #[test]
    fn damaged_tables_do_no_harm(
        old in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let (mut bytes, mut funcdata) = made(if old { Format::Go118 } else { Format::Go120 });
        for (at, value) in changes {
            *at.get_mut(&mut bytes[8..]) = value;
            *at.get_mut(&mut funcdata) = value;
        }
        if let Ok(table) = Pclntab::parse(bytes, TEXT, funcdata) {
            exercise(&table);
        }
    }

    #[test]
    fn lookups_agree_with_a_walk(sizes in prop::collection::vec(0u32..20_000, 1..60), at in any::<prop::sample::Index>()) {
        let mut maker = Maker::new(Format::Go120);
        for size in sizes {
            maker.function("f", 0, 0);
            maker.end += size;
        }
        let table = Pclntab::parse(maker.bytes(), TEXT, Vec::new()).expect("a good table");
        let pc = TEXT + at.index(maker.end as usize) as u64;
        let walked = table.functions().find(|func| (func.entry()..func.end()).contains(&pc));
        prop_assert_eq!(table.find(pc), walked);
    }
}
