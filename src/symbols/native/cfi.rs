//! The rules of an image's `.eh_frame` for getting from a frame to its caller.
//!
//! Found as C's own unwinder does, by the program header of `.eh_frame_hdr` (section names may be missing), or by the
//! section's name in programs that have no such header because they are linked statically.
//! Source: System V ABI, AMD64 supplement; Linux Standard Base, "Exception Frames".

use gimli::{
    BaseAddresses, CfaRule, EhFrame, Encoding, FrameDescriptionEntry, LittleEndian, Register, RegisterRule,
    UnwindContext, UnwindSection,
};

use super::index::{self, Index, Reader};
use super::{epilogue, prologue};
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
    /// The function ends here: registers that were kept below the stack pointer have been restored.
    pub(super) is_end: bool,
}

/// The unwind tables of one image. Addresses are those in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Cfi {
    index: Index,
    entries: Vec<u8>,
    /// The address where `entries` begin.
    start: u64,
    bases: BaseAddresses,
}

impl Cfi {
    /// Reads the tables of an image, `max` bytes at most. None if it has none.
    pub(super) fn load(image: &Image, max: usize) -> Option<Cfi> {
        let segments = image.segments().ok()?;
        let Some(header) = segments.iter().find(|segment| segment.kind == PT_GNU_EH_FRAME) else {
            return Cfi::load_section(image, max);
        };
        let index = read(image, header, header.address, max)?;
        let base = header.address.wrapping_sub(image.bias);
        let bases = BaseAddresses::default().set_eh_frame_hdr(base);
        let start = index::parse(&index, &bases)?.eh_frame_ptr().direct().ok()?;
        let address = start.wrapping_add(image.bias);
        let load = segments
            .iter()
            .find(|s| s.kind == PT_LOAD && s.address <= address && address - s.address < s.file_size)?;
        let entries = read(image, load, address, max.checked_sub(index.len())?)?;
        Some(Cfi { index: Index::Table(index), entries, start, bases: bases.set_eh_frame(start) })
    }

    /// The same without a header. The index needs less room than the entries.
    pub(super) fn load_section(image: &Image, max: usize) -> Option<Cfi> {
        let sections = image.sections().ok()?;
        let section = sections.iter().find(|section| section.name == ".eh_frame")?;
        let entries = image.section_data(&section.name, max / 2).ok()??;
        let start = section.address.wrapping_sub(image.bias);
        let bases = BaseAddresses::default().set_eh_frame(start);
        let index = Index::make(&EhFrame::new(&entries, LittleEndian), &bases);
        Some(Cfi { index, entries, start, bases })
    }

    /// The same tables with changed bytes.
    #[cfg(test)]
    pub(super) fn changed(&self, change: impl Fn(&mut Vec<u8>)) -> Cfi {
        let mut changed = self.clone();
        if let Index::Table(index) = &mut changed.index {
            change(index);
        }
        change(&mut changed.entries);
        changed
    }

    /// The same with an index that is made of the entries.
    #[cfg(test)]
    pub(super) fn indexed_anew(&self) -> Cfi {
        Cfi { index: Index::make(&self.section(), &self.bases), ..self.clone() }
    }

    /// The bytes that it occupies.
    pub(super) fn size(&self) -> usize {
        self.index.size() + self.entries.len()
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
        let is_end = address == pc
            && byte_before(image, pc).is_some_and(epilogue::may_follow_pop)
            && code(image, fde.initial_address(), fde.len())
                .is_some_and(|code| epilogue::is_end(&code, fde.initial_address(), pc));
        (registers.len() <= MAX_RULES).then(|| Rules {
            cfa,
            registers,
            encoding: fde.cie().encoding(),
            is_signal: fde.is_signal_trampoline(),
            frame_pointer_offset,
            is_end,
        })
    }

    /// The entry that describes the code at an address.
    fn found(&self, address: u64) -> Option<FrameDescriptionEntry<Reader<'_>>> {
        let offset = self.index.offset(address, &self.bases, self.start)?;
        if offset >= self.entries.len() {
            return None;
        }
        let fde =
            self.section().fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset).ok()?;
        let is_short = fde.entry_len() <= MAX_ENTRY && fde.cie().entry_len() <= MAX_ENTRY;
        (is_short && fde.contains(address)).then_some(fde)
    }
}

/// The code of a function.
fn code(image: &Image, start: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|len| *len <= prologue::MAX_CODE)?;
    bytes_of(image, start, len)
}

/// The byte of code before an address.
fn byte_before(image: &Image, pc: u64) -> Option<u8> {
    bytes_of(image, pc.checked_sub(1)?, 1)?.first().copied()
}

/// Bytes of an image's file, all of them, from an address in the file.
fn bytes_of(image: &Image, start: u64, len: usize) -> Option<Vec<u8>> {
    let start = start.wrapping_add(image.bias);
    let segments = image.segments().ok()?;
    let load = segments
        .iter()
        .find(|s| s.kind == PT_LOAD && s.address <= start && start - s.address < s.file_size)?;
    read(image, load, start, len).filter(|bytes| bytes.len() == len)
}

/// Up to `max` bytes of a segment's file, from an address on.
fn read(image: &Image, segment: &Segment, address: u64, max: usize) -> Option<Vec<u8>> {
    let skip = address.checked_sub(segment.address)?;
    let offset = segment.offset.checked_add(skip)?;
    let room = image.file.len().checked_sub(offset)?;
    let len = segment.file_size.checked_sub(skip)?.min(room).min(max as u64);
    image.file.read_at(offset, usize::try_from(len).ok()?).ok()
}
