//! Type descriptors and DWARF: whatever the bytes, looking for layouts ends without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::__test::go::dwarf::{self, DebugSections};
use loiter::__test::go::types::TypeImage;

fuzz_target!(|data: &[u8]| {
    let image = TypeImage::new(0x40_0000, data.to_vec());
    for layout in image.structs().values() {
        assert!(layout.fields.values().all(|field| field.end() <= layout.size));
    }
    for at in (0..data.len() as u64).step_by(8) {
        let _ = image.type_name(0x40_0000 + at);
    }
    let (abbrev, info) = data.split_at(data.len() / 4);
    let _ = dwarf::structs(DebugSections { info, abbrev }, &["g", "semTable"]);
});
