//! Which entry of `.eh_frame` describes an address.

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, ParsedEhFrameHdr, UnwindSection};

pub(super) type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Finds entries of `.eh_frame`. Addresses are those in the file.
#[derive(Debug, Clone)]
pub(super) enum Index {
    /// The image's own table, `.eh_frame_hdr`, in which the linker sorted the entries.
    Table(Vec<u8>),
    /// Made from the entries, for programs that are linked statically: their unwinder needs no table. Ascending: where
    /// code begins, and where its entry is.
    Made(Vec<(u64, u32)>),
}

impl Default for Index {
    fn default() -> Index {
        Index::Made(Vec::new())
    }
}

impl Index {
    /// Makes one of the entries. What is behind a malformed one is left out.
    pub(super) fn make(section: &EhFrame<Reader<'_>>, bases: &BaseAddresses) -> Index {
        let mut found = Vec::new();
        let mut entries = section.entries(bases);
        while let Ok(Some(entry)) = entries.next() {
            if let gimli::CieOrFde::Fde(partial) = entry
                && let Ok(fde) = partial.parse(EhFrame::cie_from_offset)
                && let Ok(offset) = u32::try_from(fde.offset())
            {
                found.push((fde.initial_address(), offset));
            }
        }
        found.sort_unstable();
        Index::Made(found)
    }

    /// The offset of the entry that may describe an address. `start` is where `.eh_frame` begins.
    pub(super) fn offset(&self, address: u64, bases: &BaseAddresses, start: u64) -> Option<usize> {
        match self {
            Index::Table(bytes) => {
                let index = parse(bytes, bases)?;
                let entry = index.table()?.lookup(address, bases).ok()?;
                // Not `pointer_to_offset`, which subtracts unchecked.
                usize::try_from(entry.direct().ok()?.checked_sub(start)?).ok()
            }
            Index::Made(entries) => {
                let behind = entries.partition_point(|(start, _)| *start <= address);
                usize::try_from(entries.get(behind.checked_sub(1)?)?.1).ok()
            }
        }
    }

    /// The bytes that it occupies.
    pub(super) fn size(&self) -> usize {
        match self {
            Index::Table(bytes) => bytes.len(),
            Index::Made(entries) => size_of_val(entries.as_slice()),
        }
    }
}

/// Reads the beginning of a table.
pub(super) fn parse<'a>(index: &'a [u8], bases: &BaseAddresses) -> Option<ParsedEhFrameHdr<Reader<'a>>> {
    EhFrameHdr::new(index, LittleEndian).parse(bases, 8).ok()
}
