//! Line tables of real programs, against what Go's own tools and runtime make of them.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use loiter::__test::formats::go_names::{TypeArguments, display_name};
use loiter::__test::symbols::pclntab::{FuncKind, Pclntab};
use object::{Object, ObjectSection, ObjectSymbol};

#[path = "go_tables/toolchains.rs"]
mod toolchains;

use toolchains::Toolchain;

const CALLS: &str = include_str!("go_tables/calls.go");

/// A binary's line table and its text symbols.
struct Binary {
    table: Pclntab,
    text_symbols: HashMap<u64, Vec<String>>,
}

fn open(path: &Path, toolchain: &Toolchain) -> Binary {
    let bytes = std::fs::read(path).expect("the binary");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let symbol = |names: &[&str]| {
        let found = elf.symbols().find(|s| s.name().is_ok_and(|name| names.contains(&name)));
        found.unwrap_or_else(|| panic!("no symbol {names:?}")).address()
    };
    let from = |address: u64| {
        let section = elf
            .sections()
            .find(|s| (s.address()..s.address() + s.size()).contains(&address))
            .expect("a section");
        section.data().expect("its bytes")[(address - section.address()) as usize..].to_vec()
    };
    let table = Pclntab::parse(
        from(symbol(&["runtime.pclntab"])),
        symbol(&["runtime.text"]),
        from(symbol(&["go:func.*", "go.func.*"])),
    )
    .expect("a line table")
    .for_go(toolchain.minor);
    let mut text_symbols: HashMap<u64, Vec<String>> = HashMap::new();
    for symbol in elf.symbols().filter(|s| s.kind() == object::SymbolKind::Text) {
        text_symbols.entry(symbol.address()).or_default().push(symbol.name().expect("a name").to_owned());
    }
    Binary { table, text_symbols }
}

/// What `go tool addr2line` says of each address: function, file:line.
fn addr2line(toolchain: &Toolchain, binary: &Path, addresses: &[u64]) -> Vec<(String, String)> {
    let mut command = toolchain.command();
    command.args(["tool", "addr2line"]).arg(binary).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("go tool addr2line");
    let mut stdin = child.stdin.take().expect("its input");
    let lines: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("go tool addr2line");
    writer.join().expect("the writer").expect("to write to it");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

#[test]
fn functions_and_lines_are_those_of_go_s_tools() {
    for toolchain in toolchains::all() {
        for (name, flags) in [("calls", &[][..]), ("calls-pie", &["-buildmode=pie"][..])] {
            let path = toolchain.build(CALLS, name, flags);
            let binary = open(&path, &toolchain);
            check_functions(&binary, toolchain.minor);
            check_lines(&binary, &toolchain, &path);
        }
    }
}

fn check_functions(binary: &Binary, minor: u32) {
    let table = &binary.table;
    assert!(table.len() > 1000, "1.{minor}: {} functions", table.len());
    assert_eq!(table.functions().count(), table.len());
    let style = if minor < 27 { TypeArguments::OneGroup } else { TypeArguments::TwoGroups };
    for func in table.functions() {
        let name = func.name().replace('·', ".");
        // Up to 1.20 the table holds the short form. The ABI is the linker's own business.
        let symbols = binary.text_symbols.get(&func.entry());
        let known = symbols.is_none_or(|names| {
            let mut names = names.iter().map(|name| name.trim_end_matches(".abi0"));
            names.any(|symbol| symbol == name || display_name(symbol, style) == name)
        });
        assert!(known, "1.{minor}: {func:?} is {symbols:?} in the symbol table");
        assert_eq!(table.find(func.entry()), Some(func));
        assert_eq!(table.find(func.end() - 1), Some(func));
        // Every address up to the padding has a frame size and a place.
        let code = (func.entry()..func.end()).take_while(|&pc| func.covers(pc)).count();
        if code > 0 {
            let last = func.entry() + code as u64 - 1;
            assert!(func.sp_delta(last).is_some() && func.file_line(last).is_some(), "1.{minor}: {func:?}");
            assert_eq!(func.sp_delta(func.entry()), Some(0), "1.{minor}: {func:?}");
        }
    }
    let kinds = ["runtime.goexit", "runtime.systemstack", "runtime.gopanic", "runtime.main", "main.main"];
    let found = table.by_names(&kinds).into_iter().map(|func| func.expect("the function").kind());
    let expected =
        [FuncKind::Goexit, FuncKind::Systemstack, FuncKind::Gopanic, FuncKind::RuntimeMain, FuncKind::Normal];
    assert_eq!(found.collect::<Vec<_>>(), expected, "1.{minor}");
    let goexit = table.by_name("runtime.goexit").expect("goexit");
    assert!(goexit.is_top_frame() && goexit.is_asm());
    let wrapper = table.by_name("main.embeds.show").or(table.by_name("main.(*embeds).show"));
    assert!(wrapper.expect("a method wrapper").is_wrapper(), "1.{minor}");
    let start = table.by_name("main.main").expect("main").start_line();
    let line = CALLS.lines().position(|line| line.starts_with("func main()")).expect("main") as u32 + 1;
    assert_eq!(start, (minor >= 20).then_some(line), "1.{minor}");
}

fn check_lines(binary: &Binary, toolchain: &Toolchain, path: &Path) {
    let ours = binary.table.functions().filter(|f| f.name_bytes().starts_with(b"main."));
    let some = binary.table.functions().step_by(23).chain(ours);
    let addresses: Vec<u64> = some
        .flat_map(|func| (func.entry()..func.end()).step_by(7).take(40).filter(move |&pc| func.covers(pc)))
        .collect();
    for (&pc, (name, place)) in addresses.iter().zip(addr2line(toolchain, path, &addresses)) {
        if place == "?:0" {
            continue; // some versions of it know nothing of the very first function
        }
        let func = binary.table.find(pc).expect("a function");
        let (file, line) = func.file_line(pc).expect("a place");
        let name = name.trim_end_matches(".abi0");
        let shown = display_name(name, TypeArguments::OneGroup);
        // addr2line spells names as the symbol table does.
        assert!(
            func.name().replace('·', ".") == name
                || func.name() == shown
                || binary.text_symbols[&func.entry()].len() > 1,
            "1.{}: {pc:#x} is in {func:?}, not {name}",
            toolchain.minor
        );
        assert_eq!(format!("{file}:{line}"), place, "1.{}: {pc:#x} in {func:?}", toolchain.minor);
    }
}

/// What `calls.go` prints of one frame: its return address, then its name and place.
type Printed = (u64, String, String);

fn printed(path: &Path) -> Vec<Printed> {
    let output = Command::new(path).output().expect("to run it");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let mut frames = Vec::new();
    let mut pc = 0;
    for line in text.lines() {
        match line.split_once(' ').expect("two words") {
            ("physical", hex) => {
                pc = u64::from_str_radix(hex.trim_start_matches("0x"), 16).expect("an address")
            }
            (_, frame) => {
                let (place, name) = frame.split_once(' ').expect("a place and a name");
                frames.push((pc, name.to_owned(), place.to_owned()));
            }
        }
    }
    frames
}

#[test]
fn inlined_frames_are_those_of_the_runtime() {
    for toolchain in toolchains::all() {
        let path = toolchain.build(CALLS, "calls", &[] as &[&str]);
        let binary = open(&path, &toolchain);
        let frames = printed(&path);
        let mut at = 0;
        let mut inlined = 0;
        while at < frames.len() {
            // Return addresses are looked up one lower. What the runtime gives for the callers of
            // an inlined call are made-up addresses, which are skipped with the frames they stand for.
            let pc = frames[at].0 - 1;
            let func = binary.table.find(pc).expect("a function");
            for frame in func.inline_frames(pc) {
                if frame.kind.is_wrapper() && frames.get(at).is_none_or(|printed| printed.1 != frame.name) {
                    continue;
                }
                let (_, name, place) = &frames[at];
                assert_eq!(&*frame.display_name(), display_name(name, TypeArguments::OneGroup));
                assert_eq!(format!("{}:{}", frame.file, frame.line), *place, "1.{}", toolchain.minor);
                at += 1;
                inlined += usize::from(frame.inlined);
            }
        }
        assert!(at > 40 && inlined >= 4, "1.{}: {at} frames, {inlined} inlined", toolchain.minor);
    }
}
