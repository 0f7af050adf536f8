//! The memory that a core file holds or refers to.

use std::sync::Arc;

use super::image_file::ImageFile;
use super::{Memory, Range, Result, TargetError};
use crate::cause::full_text;

pub(super) const PAGE: u64 = 4096;

/// A part of the address space whose bytes are in a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Bytes from `start` that are in `file`; the rest is the kernel's padding of the last page.
    pub(super) present: u64,
    pub(super) offset: u64,
    pub(super) file: Arc<ImageFile>,
}

/// The memory that a core file holds or refers to.
#[derive(Debug)]
pub(super) struct CoreMemory {
    /// What was dumped, ascending, without overlaps.
    pub(super) dumped: Vec<Piece>,
    /// Files that were mapped, for memory that was not dumped; in the same order.
    pub(super) mapped: Vec<Piece>,
    /// First and last address of everything that was mapped, present or not; in the same order.
    pub(super) known: Vec<(u64, u64)>,
}

/// The piece that contains an address.
pub(super) fn piece_at(pieces: &[Piece], address: u64) -> Option<&Piece> {
    let behind = pieces.partition_point(|piece| piece.start <= address);
    pieces.get(behind.checked_sub(1)?).filter(|piece| address < piece.end)
}

/// Sorts pieces, and drops those that overlap an earlier one.
pub(super) fn in_order(mut pieces: Vec<Piece>) -> Vec<Piece> {
    pieces.retain(|piece| piece.start < piece.end);
    pieces.sort_by_key(|piece| piece.start);
    let mut end = 0;
    pieces.retain(|piece| {
        let fits = piece.start >= end;
        if fits {
            end = piece.end;
        }
        fits
    });
    pieces
}

impl CoreMemory {
    /// Why the memory at an address cannot be read.
    fn absent(&self, address: u64, len: usize) -> TargetError {
        let behind = self.known.partition_point(|&(start, _)| start <= address);
        let known = behind.checked_sub(1).and_then(|at| self.known.get(at));
        if known.is_none_or(|&(_, end)| end <= address) {
            return TargetError::Unmapped { address, len };
        }
        TargetError::NotInCore { address, len, why: "it was left out when the file was written".to_owned() }
    }

    /// The parts of a range that are present, ascending.
    pub(super) fn present(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut at = start;
        let mut parts: Vec<(u64, u64)> = Vec::new();
        while at < end {
            let next = |pieces: &[Piece]| {
                pieces.get(pieces.partition_point(|piece| piece.start <= at)).map_or(end, |piece| piece.start)
            };
            let piece = piece_at(&self.dumped, at).or_else(|| piece_at(&self.mapped, at));
            let Some(piece) = piece else {
                at = next(&self.dumped).min(next(&self.mapped)).max(at.saturating_add(1)).min(end);
                continue;
            };
            // After its bytes in the file, a piece's page is padded with zeros; a cut file has less.
            let in_file = piece.file.len().saturating_sub(piece.offset).min(piece.present);
            let until = if in_file < piece.present { piece.start.saturating_add(in_file) } else { piece.end };
            let limit = match piece_at(&self.dumped, at) {
                Some(_) => end,
                None => next(&self.dumped).min(end),
            };
            let (from, until) = (at, until.min(limit));
            match parts.last_mut() {
                Some(last) if last.1 == from && from < until => last.1 = until,
                _ if from < until => parts.push((from, until)),
                _ => {}
            }
            at = piece.end.min(limit).max(at.saturating_add(1));
        }
        parts
    }

    /// Reads the beginning of `buf`, up to the end of a piece; returns how much.
    fn read_some(&self, address: u64, buf: &mut [u8]) -> Result<usize> {
        let len = buf.len();
        let unmapped = || TargetError::Unmapped { address, len };
        let not_there = |why: String| TargetError::NotInCore { address, len, why };
        let piece = piece_at(&self.dumped, address).or_else(|| piece_at(&self.mapped, address));
        let piece = piece.ok_or_else(|| self.absent(address, len))?;
        let skip = address - piece.start;
        let room = usize::try_from(piece.end - address).unwrap_or(usize::MAX).min(buf.len());
        let present = usize::try_from(piece.present.saturating_sub(skip)).unwrap_or(usize::MAX).min(room);
        let offset = piece.offset.checked_add(skip).ok_or_else(unmapped)?;
        let (data, filled) = buf.get_mut(..room).unwrap_or_default().split_at_mut(present);
        if !data.is_empty() {
            let end = offset.saturating_add(data.len() as u64);
            if end > piece.file.len() {
                return Err(not_there(format!(
                    "it is cut at {:#x}, and this would end at {end:#x}",
                    piece.file.len()
                )));
            }
            // A bad sector loses only its own memory.
            piece.file.read_into(offset, data).map_err(|error| not_there(full_text(&error)))?;
        }
        filled.fill(0);
        Ok(room)
    }
}

impl Memory for CoreMemory {
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let len = rest.len();
            let from = address.checked_add(done as u64).ok_or(TargetError::Unmapped { address, len })?;
            done += self.read_some(from, rest)?;
        }
        Ok(())
    }

    fn read_many(&self, ranges: &[Range], buf: &mut [u8], ok: &mut [bool]) -> Result<()> {
        ok.fill(false);
        let mut at = 0usize;
        for (range, ok) in ranges.iter().zip(ok) {
            let end = at.saturating_add(range.len);
            *ok = buf.get_mut(at..end).is_some_and(|into| self.read(range.address, into).is_ok());
            at = end;
        }
        Ok(())
    }
}

/// A mapping of a file, up to the page in which the file ends.
pub(super) fn piece_of(start: u64, end: u64, offset: u64, file: &Arc<ImageFile>) -> Piece {
    let present = file.len().saturating_sub(offset);
    let pages = present.checked_next_multiple_of(PAGE).unwrap_or(present);
    Piece { start, end: end.min(start.saturating_add(pages)), present, offset, file: Arc::clone(file) }
}
