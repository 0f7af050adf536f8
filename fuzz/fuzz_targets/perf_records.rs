//! Rings of perf events: whatever is in them, every record is read within its bounds, and reading ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::__test::sampler::{Body, Layout, read};

/// The process whose records are read.
const PID: u32 = 7;

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, split], bytes)) = data.split_first_chunk() else { return };
    let layout = Layout { moments: flags & 1 != 0, stack: flags & 2 != 0 };
    let mut ring = bytes.to_vec();
    // Not every input has to find the process by chance: in a sample it follows the event and the address.
    if flags & 4 != 0 {
        if let Some(pid) = ring.get_mut(24..28) {
            pid.copy_from_slice(&PID.to_le_bytes());
        }
    }
    let (first, second) = ring.split_at(usize::from(split).min(ring.len()));
    let mut taken = 0;
    read(first, second, PID, layout, &mut |_, body| {
        taken += 8;
        if let Body::Sample { chain, kernel_chain, stack, .. } = body {
            taken += 8 * (chain.len() + kernel_chain.len()) + stack.len();
        }
    });
    assert!(taken <= ring.len(), "no byte is read twice");
});
