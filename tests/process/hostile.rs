//! Files that lie: errors, never a panic, and no allocation that they can blow up.

use std::sync::OnceLock;

use loiter::process::{self, Image};
use proptest::prelude::*;

use crate::core::gcore;
use crate::support::{program, start};

/// Everything that can be asked of an ELF file.
fn ask_image(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("ours");
    let Ok(image) = Image::from_file(file.path()) else { return };
    let _ = image.segments();
    let _ = image.build_id();
    for symbols in [image.symbols(), image.dynamic_symbols()].into_iter().flatten() {
        let _ = symbols.iter().map(|symbol| symbol.name.len()).sum::<usize>();
    }
    for section in image.sections().unwrap_or_default().iter().take(100) {
        let _ = image.section_data(&section.name, 1 << 20);
    }
}

/// Everything that can be asked of a core file.
fn ask_core(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("ours");
    let Ok(core) = process::open_core(file.path(), None) else { return };
    let mappings = core.mappings().expect("they were read already");
    assert!(mappings.windows(2).all(|pair| pair[0].end <= pair[1].start));
    let addresses =
        mappings.iter().take(100).flat_map(|m| [m.start, m.end - 1, m.end, m.start.wrapping_sub(1)]);
    for address in addresses.chain([0, u64::MAX, u64::MAX - 8]) {
        let _ = core.read(address, &mut [0; 16]);
    }
    for tid in core.threads().expect("they were read already").into_iter().take(100) {
        let _ = core.with_stopped_thread(tid, &mut |_| ());
    }
    for image in core.images().expect("they were opened already") {
        let _ = image.sections();
    }
}

/// The first part of a real file, with its headers, and the last, with its sections.
fn cut_down(bytes: &[u8]) -> Vec<u8> {
    bytes.get(..bytes.len().min(64 << 10)).unwrap_or_default().to_vec()
}

fn real_core() -> &'static [u8] {
    static CORE: OnceLock<Vec<u8>> = OnceLock::new();
    CORE.get_or_init(|| {
        let process = start(program(), &["spin"]);
        cut_down(&std::fs::read(gcore(&process, "dump-hostile")).expect("it is there"))
    })
}

fn real_program() -> &'static [u8] {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM.get_or_init(|| std::fs::read(program()).expect("it is there"))
}

/// Changes some words of a file; low offsets, where headers are, more often.
fn change(bytes: &[u8], changes: &[(u32, u64, bool)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &(at, value, low) in changes {
        let at = at as usize % if low { 1024 } else { bytes.len() };
        let value = value.to_le_bytes();
        for (to, from) in bytes.iter_mut().skip(at & !3).zip(value) {
            *to = from;
        }
    }
    bytes
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0u64..64, Just(u64::MAX), Just(1 << 63), Just(0xffff_ffff), 0u64..1 << 20]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), is_elf: bool) {
        if is_elf {
            let head = b"\x7fELF\x02\x01\x01";
            let len = bytes.len().min(head.len());
            bytes[..len].copy_from_slice(&head[..len]);
        }
        ask_image(&bytes);
        ask_core(&bytes);
    }

    #[test]
    fn a_program_with_wrong_words(changes in prop::collection::vec((any::<u32>(), value(), any::<bool>()), 1..20)) {
        ask_image(&change(real_program(), &changes));
    }

    #[test]
    fn a_core_file_with_wrong_words(changes in prop::collection::vec((any::<u32>(), value(), any::<bool>()), 1..20)) {
        ask_core(&change(real_core(), &changes));
    }
}
