//! The rules of an image's `.eh_frame` for getting from a frame to its caller.
//!
//! Found as C's own unwinder does, by the program header of `.eh_frame_hdr` (section names may be missing).
//! Source: System V ABI, AMD64 supplement; Linux Standard Base, "Exception Frames".

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, Encoding, EndianSlice, FrameDescriptionEntry, LittleEndian,
    ParsedEhFrameHdr, Register, RegisterRule, UnwindContext, UnwindSection,
};

use super::prologue;
use crate::process::registers::dwarf;
use crate::process::{Image, Segment};

/// `p_type` of the program header that leads to `.eh_frame_hdr`.
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PT_LOAD: u32 = 1;
const FRAME_POINTER: Register = Register(dwarf::FRAME_POINTER as u16);
/// Descriptions of one function that are longer than this are not read: their instructions are executed, and
/// a malicious file may have any number of them.
const MAX_ENTRY: usize = 64 << 10;
/// Registers that a function may have rules for; it saves six at most.
const MAX_RULES: usize = 32;

pub(super) type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// How to get from the frame of a function to its caller's, at one address.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The canonical frame address: the stack pointer before the call.
    pub(super) cfa: CfaRule<usize>,
    /// Where the caller's registers are, for those that differ from this frame's.
    pub(super) registers: Box<[(Register, RegisterRule<usize>)]>,
    pub(super) encoding: Encoding,
    /// The kernel made the frame for a signal, so its caller was not executing a call.
    pub(super) is_signal: bool,
    /// Bytes from the stack pointer to the frame pointer, if the frame is found by the frame pointer and the
    /// code of the function shows the distance.
    pub(super) frame_pointer_offset: Option<u64>,
}

/// The unwind tables of one image. Addresses are those in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Cfi {
    index: Vec<u8>,
    entries: Vec<u8>,
    /// The address where `entries` begin.
    start: u64,
    bases: BaseAddresses,
}

impl Cfi {
    /// Reads the tables of an image, `max` bytes at most. None if it has none.
    pub(super) fn load(image: &Image, max: usize) -> Option<Cfi> {
        let segments = image.segments().ok()?;
        let header = segments.iter().find(|segment| segment.kind == PT_GNU_EH_FRAME)?;
        let index = read(image, header, header.address, max)?;
        let base = header.address.wrapping_sub(image.bias);
        let bases = BaseAddresses::default().set_eh_frame_hdr(base);
        let start = parse(&index, &bases)?.eh_frame_ptr().direct().ok()?;
        let address = start.wrapping_add(image.bias);
        let load = segments
            .iter()
            .find(|s| s.kind == PT_LOAD && s.address <= address && address - s.address < s.file_size)?;
        let entries = read(image, load, address, max.checked_sub(index.len())?)?;
        Some(Cfi { index, entries, start, bases: bases.set_eh_frame(start) })
    }

    /// The same tables with changed bytes.
    #[cfg(test)]
    pub(super) fn changed(&self, change: impl Fn(&mut Vec<u8>)) -> Cfi {
        let mut changed = self.clone();
        change(&mut changed.index);
        change(&mut changed.entries);
        changed
    }

    /// The bytes that it occupies.
    pub(super) fn size(&self) -> usize {
        self.index.len() + self.entries.len()
    }

    pub(super) fn section(&self) -> EhFrame<Reader<'_>> {
        EhFrame::new(&self.entries, LittleEndian)
    }

    /// The address where the code begins that has the same entry as an address: a function, or a part of one.
    pub(super) fn entry(&self, address: u64) -> Option<u64> {
        self.found(address).map(|found| found.initial_address())
    }

    /// Where that code begins, and how long it is, bytes.
    pub(super) fn extent(&self, address: u64) -> Option<(u64, u64)> {
        self.found(address).map(|found| (found.initial_address(), found.len()))
    }

    /// The rules at an address: that of `pc`, or of the call before it.
    pub(super) fn rules(
        &self,
        address: u64,
        pc: u64,
        image: &Image,
        context: &mut UnwindContext<usize>,
    ) -> Option<Rules> {
        let (section, fde) = (self.section(), self.found(address)?);
        let row = fde.unwind_info_for_address(&section, &self.bases, context, address).ok()?;
        let registers: Box<[_]> = row.registers().take(MAX_RULES + 1).cloned().collect();
        let cfa = row.cfa().clone();
        let by_frame_pointer = cfa == CfaRule::RegisterAndOffset { register: FRAME_POINTER, offset: 16 };
        let frame_pointer_offset = by_frame_pointer
            .then(|| code(image, fde.initial_address(), fde.len()))
            .flatten()
            .and_then(|code| prologue::frame_pointer_offset(&code, fde.initial_address(), pc));
        (registers.len() <= MAX_RULES).then(|| Rules {
            cfa,
            registers,
            encoding: fde.cie().encoding(),
            is_signal: fde.is_signal_trampoline(),
            frame_pointer_offset,
        })
    }

    /// The entry that describes the code at an address.
    fn found(&self, address: u64) -> Option<FrameDescriptionEntry<Reader<'_>>> {
        let index = parse(&self.index, &self.bases)?;
        let table = index.table()?;
        let entry = table.lookup(address, &self.bases).ok()?;
        // Not `pointer_to_offset`, which subtracts unchecked.
        let offset = usize::try_from(entry.direct().ok()?.checked_sub(self.start)?).ok()?;
        if offset >= self.entries.len() {
            return None;
        }
        let fde =
            self.section().fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset).ok()?;
        let is_short = fde.entry_len() <= MAX_ENTRY && fde.cie().entry_len() <= MAX_ENTRY;
        (is_short && fde.contains(address)).then_some(fde)
    }
}

fn parse<'a>(index: &'a [u8], bases: &BaseAddresses) -> Option<ParsedEhFrameHdr<Reader<'a>>> {
    EhFrameHdr::new(index, LittleEndian).parse(bases, 8).ok()
}

/// The code of a function.
fn code(image: &Image, start: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|len| *len <= prologue::MAX_CODE)?;
    let start = start.wrapping_add(image.bias);
    let segments = image.segments().ok()?;
    let load = segments
        .iter()
        .find(|s| s.kind == PT_LOAD && s.address <= start && start - s.address < s.file_size)?;
    read(image, load, start, len).filter(|code| code.len() == len)
}

/// Up to `max` bytes of a segment's file, from an address on.
fn read(image: &Image, segment: &Segment, address: u64, max: usize) -> Option<Vec<u8>> {
    let skip = address.checked_sub(segment.address)?;
    let offset = segment.offset.checked_add(skip)?;
    let room = image.file.len().checked_sub(offset)?;
    let len = segment.file_size.checked_sub(skip)?.min(room).min(max as u64);
    image.file.read_at(offset, usize::try_from(len).ok()?).ok()
}
