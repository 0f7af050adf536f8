//! DWARF of native code: whatever the bytes, every lookup ends without a panic, and in time.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use loiter::__test::symbols::lines::Lines;
use loiter::__test::symbols::types::{Machine, Types};

const SECTIONS: [&str; 8] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_line_str",
    ".debug_str",
    ".debug_addr",
    ".debug_ranges",
    ".debug_rnglists",
];

/// A call of which everything is known.
struct SomeCall;

impl Machine for SomeCall {
    fn register(&self, number: u16) -> Option<u64> {
        Some(0x7000 + u64::from(number))
    }

    fn word(&self, address: u64) -> Option<u64> {
        Some(!address)
    }
}

fuzz_target!(|data: &[u8]| {
    // The first bytes say how the rest is shared among the sections.
    let Some((shares, mut rest)) = data.split_first_chunk::<8>() else { return };
    let mut sections = Vec::new();
    for (name, share) in SECTIONS.into_iter().zip(shares) {
        let (bytes, more) = rest.split_at(rest.len() * usize::from(*share) / 255);
        sections.push((name, bytes.to_vec()));
        rest = more;
    }
    let mut types = Types::of_sections(sections.clone(), Duration::from_secs(1));
    let mut lines = Lines::of_sections(sections);
    for address in [1, 0x1000, 0x1010, 0x1139, 0x40_1000, u64::MAX] {
        let frames = lines.within(address, Duration::from_secs(1));
        assert!(frames.len() <= 128);
    }
    for address in [0x1000, 0x1139, 0x40_1000] {
        if let Some(frame) = types.frame(address, |_| true) {
            for variable in frame.functions.iter().flat_map(|function| &function.variables) {
                frame.spot(variable, &SomeCall);
            }
        }
        let Some(function) = types.function(address) else { continue };
        let mut left: Vec<_> = function.parameters.iter().map(|parameter| parameter.of).collect();
        left.extend(function.first_argument);
        for _ in 0..1000 {
            let Some(id) = left.pop() else { break };
            types.awaits(id);
            let Some(found) = types.get(id) else { continue };
            types.beside(address, "tokio::runtime::task::core", "Stage", &found.name);
            left.extend(found.members.iter().map(|member| member.of));
            left.extend(
                found.variants.iter().flat_map(|variants| &variants.list).map(|variant| variant.member.of),
            );
        }
    }
});
