//! Go's line tables: whatever the bytes, every lookup ends without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loiter::__test::symbols::pclntab::Pclntab;

fuzz_target!(|data: &[u8]| {
    // The first byte says how much of the rest is funcdata.
    let Some((&share, data)) = data.split_first() else { return };
    let (funcdata, table) = data.split_at(data.len() * usize::from(share) / 512);
    let Ok(table) = Pclntab::parse(table.to_vec(), 0x40_0000, funcdata.to_vec()) else { return };
    for func in table.functions().take(64) {
        let last = func.end().saturating_sub(1);
        for pc in [func.entry(), func.entry() + 1, func.entry().midpoint(last), last] {
            let _ = (func.sp_delta(pc), func.file_line(pc), func.pcdata(0, pc), table.find(pc));
            assert!(!func.inline_frames(pc).is_empty());
        }
        let _ = (func.display_name(), func.kind(), func.args_size(), func.start_line());
    }
    let _ = (table.funcdata_hint(), table.by_names(&["runtime.goexit", "runtime.main"]));
});
