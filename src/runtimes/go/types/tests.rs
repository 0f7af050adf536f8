//! Hand-made images, and the effect of damage to them. Real images are in `tests/go_layouts.rs`.

use proptest::prelude::*;

use super::*;

pub(in crate::runtimes::go) const BASE: u64 = 0x50_0000;

/// An image that holds `runtime.g` with two fields; the first is a struct with one field.
pub(in crate::runtimes::go) struct Maker {
    pub(in crate::runtimes::go) bytes: Vec<u8>,
}

impl Maker {
    pub(in crate::runtimes::go) fn name(&mut self, flags: u8, text: &str) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.extend([flags, text.len() as u8]);
        self.bytes.extend(text.bytes());
        BASE + at
    }

    pub(in crate::runtimes::go) fn words(&mut self, words: &[u64]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.bytes.len() as u64;
        self.bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        BASE + at
    }

    pub(in crate::runtimes::go) fn header(kind: u8, flags: u8, size: u64, name: u64) -> [u64; 6] {
        let tags = u64::from(flags) << 32 | u64::from(kind) << 56;
        [size, 0, tags, 0, 0, name - BASE]
    }

    fn structure(&mut self, name: &str, size: u64, fields: &[(&str, u8, u64, u64)]) -> u64 {
        self.structure_of("runtime", name, size, fields)
    }

    pub(in crate::runtimes::go) fn structure_of(
        &mut self,
        package: &str,
        name: &str,
        size: u64,
        fields: &[(&str, u8, u64, u64)],
    ) -> u64 {
        let package = self.name(0, package);
        let name = self.name(0, name);
        let names: Vec<u64> = fields.iter().map(|(name, flags, ..)| self.name(*flags, name)).collect();
        let records: Vec<u64> =
            names.iter().zip(fields).flat_map(|(&name, &(_, _, ty, offset))| [name, ty, offset]).collect();
        let records = self.words(&records);
        let count = fields.len() as u64;
        let header = Self::header(25, EXTRA_STAR, size, name);
        self.words(&[&header[..], &[package, records, count, count]].concat())
    }
}

/// The image, and the addresses of `uint64` and `*runtime.gobuf` in it.
fn made() -> (Vec<u8>, u64, u64) {
    let mut maker = Maker { bytes: vec![0; 8] };
    let name = maker.name(0, "uint64");
    let word = maker.words(&Maker::header(11, 0, 8, name));
    let gobuf = maker.structure("*runtime.gobuf", 16, &[("sp", 0, word, 0), ("pc", 0, word, 8)]);
    let name = maker.name(0, "*runtime.gobuf");
    let pointer = maker.words(&[&Maker::header(22, 0, 8, name)[..], &[gobuf]].concat());
    let part = maker.structure("*runtime.part", 8, &[("inner", 0, word, 0)]);
    let fields = [
        ("sched", 0, gobuf, 0),
        ("part", 8, part, 16),
        ("_", 0, word, 24),
        ("atomicstatus", 0, word, 32),
        ("other", 0, pointer, 40),
    ];
    maker.structure("*runtime.g", 48, &fields);
    (maker.bytes, word, pointer)
}

#[test]
fn structs_are_found_and_flattened() {
    let structs = TypeImage::new(BASE, made().0).structs();
    assert_eq!(structs.keys().collect::<Vec<_>>(), ["g", "gobuf", "part"]);
    let fields: Vec<_> =
        structs["g"].fields.iter().map(|(path, f)| (path.as_str(), f.offset, f.size)).collect();
    assert_eq!(
        fields,
        [
            ("atomicstatus", 32, 8),
            ("inner", 16, 8),
            ("other", 40, 8),
            ("part", 16, 8),
            ("sched", 0, 16),
            ("sched.pc", 8, 8),
            ("sched.sp", 0, 8)
        ]
    );
    assert_eq!(structs["g"].size, 48);
}

#[test]
fn types_have_names() {
    let (bytes, word, pointer) = made();
    let image = TypeImage::new(BASE, bytes);
    assert_eq!((image.type_name(word).as_deref(), image.type_size(word)), (Some("uint64"), Some(8)));
    assert_eq!(image.type_name(pointer).as_deref(), Some("*runtime.gobuf"));
    for nowhere in [0, BASE - 8, word + 1, BASE + (1 << 30), u64::MAX] {
        assert_eq!(image.type_name(nowhere), None);
    }
}

#[test]
fn a_struct_that_holds_itself_ends() {
    let (mut bytes, word, _) = made();
    // Every field of type uint64 gets the type of its own struct.
    let hits: Vec<usize> = memmem::find_iter(&bytes, &word.to_le_bytes()).collect();
    let image = TypeImage::new(BASE, bytes.clone());
    let g = structs_at(&image, "*runtime.g");
    for at in hits {
        bytes[at..at + 8].copy_from_slice(&g.to_le_bytes());
    }
    let _ = TypeImage::new(BASE, bytes).structs();
}

fn structs_at(image: &TypeImage, name: &str) -> u64 {
    let name = (image.names(name)[0] - BASE) as u32;
    memmem::find_iter(&image.bytes, &name.to_le_bytes())
        .filter_map(|at| at.checked_sub(40).filter(|at| at % 8 == 0))
        .map(|at| BASE + at as u64)
        .last()
        .unwrap_or(BASE)
}

proptest! {
    #[test]
    fn damaged_images_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut bytes, word, pointer) = made();
        for (at, value) in changes {
            *at.get_mut(&mut bytes) = value;
        }
        bytes.truncate(cut.index(bytes.len() * 4));
        let image = TypeImage::new(BASE, bytes);
        let _ = (image.structs(), image.type_name(word), image.type_name(pointer));
    }

    #[test]
    fn a_base_at_the_end_of_memory(base in (u64::MAX - 2048)..) {
        let _ = TypeImage::new(base, made().0).structs();
    }
}
