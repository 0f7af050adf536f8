//! Layouts of the runtime's structs: the type descriptors of running programs, their DWARF and the
//! checked-in table have to agree, for every toolchain. `LOITER_BLESS=1` writes the table anew.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use loiter::__test::go::dwarf::{self, DebugSections};
use loiter::__test::go::layout::Layouts;
use loiter::__test::go::layout_table::{self, EXACT, WANTED};
use loiter::__test::go::structs::{LayoutSource, Structs};
use loiter::__test::go::types::TypeImage;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};

#[path = "go_tables/toolchains.rs"]
mod toolchains;

use toolchains::Toolchain;

const CALLS: &str = include_str!("go_tables/calls.go");

/// What DWARF says of the structs that the table holds.
fn from_dwarf(binary: &Path) -> Structs {
    let bytes = std::fs::read(binary).expect("the binary");
    let elf = object::File::parse(&*bytes).expect("an ELF file");
    let section =
        |name| elf.section_by_name(name).expect("a section").uncompressed_data().expect("its bytes");
    let (info, abbrev) = (section(".debug_info"), section(".debug_abbrev"));
    let names: Vec<&str> = WANTED.iter().map(|(name, _)| *name).collect();
    dwarf::structs(DebugSections { info: &info, abbrev: &abbrev }, &names)
}

/// A program that waits.
struct Waiting(Child);

impl Waiting {
    fn start(binary: &Path) -> Self {
        let mut child = Command::new(binary).arg("wait").stdout(Stdio::piped()).spawn().expect("to run it");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        assert!(output.lines().any(|line| line.is_ok_and(|line| line == "ready")));
        Waiting(child)
    }

    /// Its types, from its memory.
    fn types(&self, binary: &Path) -> TypeImage {
        let bytes = std::fs::read(binary).expect("the binary");
        let elf = object::File::parse(&*bytes).expect("an ELF file");
        let symbol = |name: &str| {
            elf.symbols().find(|s| s.name() == Ok(name)).unwrap_or_else(|| panic!("no {name}")).address()
        };
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.0.id())).expect("its mappings");
        let name = binary.to_str().expect("a plain path");
        let mapping = maps.lines().find(|line| line.ends_with(name)).expect("a mapping of the binary");
        let first = mapping.split('-').next().expect("an address");
        let first = u64::from_str_radix(first, 16).expect("an address");
        // Go's position-independent programs ask for addresses from 0x400000 on as well.
        let asked = elf.segments().map(|segment| segment.address()).min().expect("a segment");
        let bias = first - asked;
        let (start, end) = (symbol("runtime.types"), symbol("runtime.etypes"));
        let mut types = vec![0; (end - start) as usize];
        let memory = std::fs::File::open(format!("/proc/{}/mem", self.0.id())).expect("its memory");
        memory.read_exact_at(&mut types, start + bias).expect("its types");
        TypeImage::new(start + bias, types)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_table_is_what_toolchains_have() {
    let toolchains = toolchains::all();
    let mut versions = BTreeMap::new();
    for toolchain in &toolchains {
        let binary = toolchain.build(CALLS, "calls", &[] as &[&str]);
        let structs = layout_table::wanted(&from_dwarf(&binary));
        for name in ["g", "m", "p", "sudog", "hchan", "schedt", "semTable", "mheap", "mspan", "moduledata"] {
            assert!(structs.contains_key(name), "1.{}: no {name} in DWARF", toolchain.minor);
        }
        versions.insert(toolchain.minor, structs);
    }
    if std::env::var_os("LOITER_BLESS").is_some() {
        assert_eq!(
            versions.keys().copied().collect::<Vec<_>>(),
            EXACT,
            "blessing needs a toolchain of each version"
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runtimes/go/layout_table.txt");
        std::fs::write(path, layout_table::render(&versions)).expect("to write the table");
        return;
    }
    for (minor, structs) in versions {
        let (source, table) = layout_table::for_go(Some(minor));
        assert_eq!(source, LayoutSource::Table { minor, exact: true });
        for (name, layout) in &structs {
            assert_eq!(table.get(name), Some(layout), "1.{minor}: {name}");
        }
        assert_eq!(table.len(), structs.len(), "1.{minor}");
    }
}

#[test]
fn descriptors_agree_with_dwarf() {
    for toolchain in toolchains::all() {
        for (name, flags) in [("calls", &[][..]), ("calls-pie", &["-buildmode=pie"][..])] {
            check_descriptors(&toolchain, name, flags);
        }
    }
}

fn check_descriptors(toolchain: &Toolchain, name: &str, flags: &[&str]) {
    let binary = toolchain.build(CALLS, name, flags);
    let minor = toolchain.minor;
    let described = Waiting::start(&binary).types(&binary).structs();
    for name in ["g", "gobuf", "m", "p", "sudog", "hchan", "mspan"] {
        assert!(described.contains_key(name), "1.{minor}: no {name} among {:?}", described.keys());
    }
    let dwarf = from_dwarf(&binary);
    let mut compared = 0;
    for (name, layout) in &described {
        if let Some(other) = dwarf.get(name) {
            assert_eq!(layout, other, "1.{minor}: {name}");
            compared += layout.fields.len();
        }
    }
    assert!(compared > 300, "1.{minor}: {compared} fields");
    for path in ["sched.sp", "stack.lo", "atomicstatus", "goid", "waitreason", "m"] {
        assert!(described["g"].fields.contains_key(path), "1.{minor}: g.{path}");
    }

    let layouts = Layouts::gather(described, || Some(dwarf), Some(minor));
    assert!(layouts.warnings().is_empty(), "1.{minor}: {:?}", layouts.warnings());
    assert_eq!(layouts.source("g"), Some(LayoutSource::Descriptors));
    let elem = layouts.offset("sudog", "elem");
    assert_eq!(elem, Some(if minor < 26 { 24 } else { 32 }), "1.{minor}");
    assert_eq!(layouts.field("semTable", "entry").map(|entry| entry.size), Some(64), "1.{minor}");
}
