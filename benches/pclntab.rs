//! Reading a large program's line table, types and debugging information: the Go compiler itself,
//! of the newest toolchain (28 MB in Go 1.27).
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use loiter::__test::go::dwarf::{self, DebugSections};
use loiter::__test::go::layout_table::{self, WANTED};
use loiter::__test::go::types::TypeImage;
use loiter::__test::symbols::pclntab::Pclntab;
use object::{Object, ObjectSection, ObjectSymbol};

#[path = "../tests/go_tables/toolchains.rs"]
#[allow(dead_code, reason = "builds nothing here")]
mod toolchains;

/// What the runtime's reader looks for, more or less.
const NAMES: [&str; 8] = [
    "runtime.forEachGRace",
    "runtime.allgadd",
    "runtime.schedtrace",
    "runtime.findObject",
    "runtime.semacquire1",
    "runtime.goexit",
    "runtime.waitReason.String",
    "runtime.nothingOfTheKind",
];

fn tables(c: &mut Criterion) {
    let toolchain = toolchains::all().pop().unwrap();
    let bytes = std::fs::read(toolchain.root.join("pkg/tool/linux_amd64/compile")).unwrap();
    let elf = object::File::parse(&*bytes).unwrap();
    let symbol = |name: &str| elf.symbols().find(|s| s.name() == Ok(name)).unwrap().address();
    let from = |address: u64| {
        let holds = |s: &object::Section<'_, '_>| (s.address()..s.address() + s.size()).contains(&address);
        let section = elf.sections().find(holds).unwrap();
        section.data().unwrap()[(address - section.address()) as usize..].to_vec()
    };
    let (text, raw, funcdata) =
        (symbol("runtime.text"), from(symbol("runtime.pclntab")), from(symbol("go:func.*")));

    let mut group = c.benchmark_group("pclntab");
    let parse = |raw: Vec<u8>| Pclntab::parse(raw, text, Vec::new()).unwrap();
    group.bench_function("parse", |b| b.iter_batched(|| raw.clone(), parse, BatchSize::LargeInput));
    let table = Pclntab::parse(raw.clone(), text, funcdata).unwrap();
    println!("{} functions, {} MB of line table", table.len(), raw.len() >> 20);
    group.bench_function("funcdata_hint", |b| b.iter(|| table.funcdata_hint()));
    group.bench_function("by_names", |b| b.iter(|| table.by_names(black_box(&NAMES)).len()));

    // Addresses all over the text, in no order.
    let range = table.text_range();
    let mut pc = range.start;
    let mut next = move || {
        pc = pc.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        range.start + (pc >> 20) % (range.end - range.start)
    };
    group.bench_function("find", |b| b.iter(|| table.find(next()).map(|func| func.entry())));
    group.bench_function("find and sp_delta", |b| {
        b.iter(|| {
            let pc = next();
            table.find(pc).and_then(|func| func.sp_delta(pc))
        });
    });
    group.bench_function("find and inline_frames", |b| {
        b.iter(|| {
            let pc = next();
            table.find(pc).map(|func| func.inline_frames(pc).len())
        });
    });
    group.finish();

    let mut group = c.benchmark_group("layouts");
    let (start, end) = (symbol("runtime.types"), symbol("runtime.etypes"));
    let mut types = from(start);
    types.truncate((end - start) as usize);
    println!("{} KB of types", types.len() >> 10);
    let image = TypeImage::new(start, types);
    assert!(image.structs().contains_key("g"));
    group.bench_function("descriptors", |b| b.iter(|| image.structs().len()));
    group.bench_function("table", |b| b.iter(|| layout_table::for_go(Some(27)).1.len()));
    let section = |name| elf.section_by_name(name).and_then(|section| section.uncompressed_data().ok());
    if let (Some(info), Some(abbrev)) = (section(".debug_info"), section(".debug_abbrev")) {
        let names = WANTED.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let sections = DebugSections { info: &info, abbrev: &abbrev };
        println!("{} KB of debugging information", info.len() >> 10);
        group.bench_function("dwarf", |b| b.iter(|| dwarf::structs(sections, &names).len()));
    }
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
