//! Which words of a frame hold pointers that its code still uses: the maps that the garbage collector follows.
//! Stripped binaries have them, too.
//!
//! Source: `src/runtime/stkframe.go` (`getStackMap`), `symtab.go` (`stackmap`), `mgcstack.go` of Go 1.19 to 1.27.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::process::Memory;
use crate::process::bytes::u32_at;
use crate::runtimes::go::module::Module;
use crate::runtimes::go::unwind::CodeAddress;
use crate::symbols::pclntab::Func;

/// `PCDATA_StackMapIndex`.
const STACK_MAP_INDEX: u32 = 1;
/// `FUNCDATA_ArgsPointerMaps`, `FUNCDATA_LocalsPointerMaps`, `FUNCDATA_StackObjects`.
const ARGUMENTS: u8 = 0;
const LOCALS: u8 = 1;
const OBJECTS: u8 = 2;
/// Words that one map covers.
const MAX_BITS: u32 = 1 << 16;
/// Maps of one function.
const MAX_MAPS: u32 = 1 << 20;
/// Objects of one frame.
const MAX_OBJECTS: u64 = 4096;
/// Code addresses that are remembered.
const MAX_KNOWN: usize = 1 << 18;

/// The places of a frame that may hold pointers, as distances from its stack pointer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// Words with live pointers, or nil.
    pub(super) live: Vec<u64>,
    /// Variables whose address is taken: their place and size. They are used if a live pointer leads there.
    pub(super) objects: Vec<(u64, u64)>,
    /// If not, no map is valid at this address, and every word of the frame is listed.
    pub(super) exact: bool,
}

/// The maps of the target's functions.
pub(super) struct StackMaps<'a> {
    modules: &'a [Module],
    memory: &'a dyn Memory,
    known: FxHashMap<CodeAddress, Rc<Slots>>,
}

impl<'a> StackMaps<'a> {
    pub(super) fn new(modules: &'a [Module], memory: &'a dyn Memory) -> Self {
        StackMaps { modules, memory, known: FxHashMap::default() }
    }

    /// The slots of a frame that continues at `pc`.
    pub(super) fn slots(&mut self, pc: CodeAddress) -> Rc<Slots> {
        if let Some(known) = self.known.get(&pc) {
            return Rc::clone(known);
        }
        let slots = Rc::new(self.read(pc).unwrap_or_default());
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(pc, Rc::clone(&slots));
        slots
    }

    fn read(&self, pc: CodeAddress) -> Option<Slots> {
        let (module, func) =
            self.modules.iter().find_map(|module| Some((module, module.pclntab.find(pc.pc())?)))?;
        let delta = u64::try_from(func.sp_delta(pc.pc())?).ok()?;
        let frame = Frame::new(delta);
        if pc.is_interrupted() {
            let words = (delta / 8).min(MAX_BITS.into());
            return Some(Slots { live: (0..words).map(|nth| 8 * nth).collect(), ..Slots::default() });
        }
        let index = func.pcdata(STACK_MAP_INDEX, pc.lookup(func.entry())).unwrap_or(-1);
        // -1 is the function's entry: map 0.
        let index = u32::try_from(index).unwrap_or(0);
        let data = |number| Some(module.data.gofunc.wrapping_add(func.funcdata_offset(number)?.into()));
        let mut live = Vec::new();
        if let Some(bits) = data(LOCALS).and_then(|at| self.bitmap(at, index)) {
            frame.locals(&bits, &mut live);
        }
        if let Some(bits) = data(ARGUMENTS).and_then(|at| self.bitmap(at, index)) {
            frame.arguments(&bits, &mut live);
        }
        let objects = data(OBJECTS).and_then(|at| self.objects(at, frame)).unwrap_or_default();
        Some(Slots { live, objects, exact: !is_conservative(&func) })
    }

    /// Map number `index` of those at an address.
    fn bitmap(&self, at: u64, index: u32) -> Option<Bits> {
        let header = self.memory.read_vec(at, 8).ok()?;
        let (place, len, bits) = bitmap_place(&header, index)?;
        Some(Bits { bytes: self.memory.read_vec(at.checked_add(place)?, len).ok()?, bits })
    }

    fn objects(&self, at: u64, frame: Frame) -> Option<Vec<(u64, u64)>> {
        let count = self.memory.read_u64(at).ok()?.min(MAX_OBJECTS);
        let records = self.memory.read_vec(at.checked_add(8)?, 16 * count as usize).ok()?;
        Some(objects(&records, frame))
    }
}

/// Code without maps of its own pointers is assembly; the collector scans nothing of it.
fn is_conservative(func: &Func<'_>) -> bool {
    func.is_asm()
}

/// Where map number `index` is: bytes from the table's start, number of bytes, and number of bits.
fn bitmap_place(header: &[u8], index: u32) -> Option<(u64, usize, u32)> {
    let (count, bits) = (u32_at(header, 0)?, u32_at(header, 4)?);
    if index >= count || count > MAX_MAPS || bits > MAX_BITS {
        return None;
    }
    let len = bits.div_ceil(8);
    Some((8 + u64::from(len) * u64::from(index), len as usize, bits))
}

/// One map.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bits {
    bytes: Vec<u8>,
    bits: u32,
}

impl Bits {
    fn set(&self) -> impl Iterator<Item = u64> {
        let is_set =
            |bit: &u32| self.bytes.get((bit / 8) as usize).is_some_and(|byte| byte >> (bit % 8) & 1 == 1);
        (0..self.bits).filter(is_set).map(u64::from)
    }
}

/// Where the parts of a frame are, as distances from its stack pointer.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// End of the variables: above them are the caller's frame pointer and the return address.
    variables_end: u64,
    /// Above the return address.
    arguments: u64,
}

impl Frame {
    /// `delta`: bytes from the stack pointer to the return address.
    fn new(delta: u64) -> Self {
        Frame { variables_end: delta.saturating_sub(8), arguments: delta.saturating_add(8) }
    }

    fn locals(self, bits: &Bits, live: &mut Vec<u64>) {
        let start = self.variables_end.wrapping_sub(8 * u64::from(bits.bits));
        let inside = |at: &u64| *at < self.variables_end;
        live.extend(bits.set().map(|bit| start.wrapping_add(8 * bit)).filter(inside));
    }

    fn arguments(self, bits: &Bits, live: &mut Vec<u64>) {
        live.extend(bits.set().map(|bit| self.arguments.saturating_add(8 * bit)));
    }
}

/// Records `{off, size, ptrBytes int32; gcdataoff uint32}`. Negative offsets count from the end of the variables.
fn objects(records: &[u8], frame: Frame) -> Vec<(u64, u64)> {
    let (records, _) = records.as_chunks::<16>();
    records
        .iter()
        .filter_map(|record| {
            let offset = u32_at(record, 0)? as i32;
            let size = u64::from(u32_at(record, 4)?).min(8 * u64::from(MAX_BITS));
            let base = if offset < 0 { frame.variables_end } else { frame.arguments };
            Some((base.checked_add_signed(offset.into())?, size))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_slots() {
        // A frame of 0x30 bytes, the frame pointer included: variables end at 0x28.
        let frame = Frame::new(0x30);
        let bits = Bits { bytes: vec![0b101], bits: 3 };
        let mut live = Vec::new();
        frame.locals(&bits, &mut live);
        frame.arguments(&bits, &mut live);
        assert_eq!(live, [0x10, 0x20, 0x38, 0x48]);
    }

    #[test]
    fn maps_follow_each_other() {
        let header = [3, 0, 0, 0, 12, 0, 0, 0];
        assert_eq!(bitmap_place(&header, 0), Some((8, 2, 12)));
        assert_eq!(bitmap_place(&header, 2), Some((12, 2, 12)));
        assert_eq!(bitmap_place(&header, 3), None);
    }

    #[test]
    fn objects_are_below_or_above() {
        let mut record = Vec::new();
        for (offset, size) in [(-16_i32, 16_u32), (8, 8)] {
            record.extend(offset.to_le_bytes());
            record.extend(size.to_le_bytes());
            record.extend([0; 8]);
        }
        assert_eq!(objects(&record, Frame::new(0x30)), [(0x18, 16), (0x40, 8)]);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_it_ends_and_stays_small(
            header in proptest::collection::vec(any::<u8>(), 0..12),
            index: u32,
            records in proptest::collection::vec(any::<u8>(), 0..256),
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            bits in 0..=MAX_BITS,
            delta: u64,
        ) {
            if let Some((place, len, bits)) = bitmap_place(&header, index) {
                prop_assert!(place <= 8 + u64::from(MAX_MAPS) * u64::from(MAX_BITS / 8) && len as u32 <= MAX_BITS / 8);
                prop_assert!(bits <= MAX_BITS);
            }
            let frame = Frame::new(delta);
            prop_assert!(objects(&records, frame).len() <= records.len() / 16);
            let (bits, mut live) = (Bits { bytes, bits }, Vec::new());
            frame.locals(&bits, &mut live);
            prop_assert!(live.iter().all(|at| *at < delta));
            frame.arguments(&bits, &mut live);
            prop_assert!(live.len() <= 2 * 8 * bits.bytes.len());
        }
    }
}
