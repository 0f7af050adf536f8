//! Finds the registries of a target: notes in its images point to them.

use memchr::memmem;

use crate::cause::full_text;
use crate::process::{Image, Target, TargetError};

/// `PT_NOTE` (elf.h).
const PT_NOTE: u32 = 4;
/// At most this much of a segment of notes is read.
const MAX_NOTES: u64 = 1 << 20;
/// Segments of notes examined in one image; compilers make one or two.
const MAX_SEGMENTS: usize = 16;
/// Bytes of notes examined in all images together.
const MAX_BYTES: u64 = 64 << 20;
/// Name size, descriptor size, type 1, and the padded name of the note; its descriptor follows.
const HEAD: &[u8] = b"\x07\0\0\0\x08\0\0\0\x01\0\0\0loiter\0\0";

/// A registry that a note points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noted {
    /// Where it is.
    pub(super) address: u64,
    /// Path of the image with the note.
    pub(super) image: String,
    /// Whether that is the main executable.
    pub(super) in_executable: bool,
}

/// The registries that the notes of all images point to.
pub(super) fn find(target: &dyn Target) -> Result<Vec<Noted>, TargetError> {
    let mut all = Vec::new();
    let mut left = MAX_BYTES;
    for image in target.images()? {
        let noted =
            |address| Noted { address, image: image.path.clone(), in_executable: image.is_executable };
        all.extend(of_image(target, &image, &mut left)?.into_iter().map(noted));
    }
    Ok(all)
}

/// The program headers come from the file. The notes come from memory: relocated or not, but never stripped.
fn of_image(target: &dyn Target, image: &Image, left: &mut u64) -> Result<Vec<u64>, TargetError> {
    let segments = match image.segments() {
        Ok(segments) => segments,
        Err(error) => {
            tracing::debug!("{} has no program headers: {}", image.path, full_text(&error));
            return Ok(Vec::new());
        }
    };
    let mut found = Vec::new();
    for segment in segments.iter().filter(|segment| segment.kind == PT_NOTE).take(MAX_SEGMENTS) {
        let len = segment.memory_size.min(segment.file_size).min(MAX_NOTES).min(*left);
        *left = left.saturating_sub(len);
        let len = usize::try_from(len).unwrap_or(0);
        match target.read_vec(segment.address, len) {
            Ok(bytes) => found.extend(parse(&bytes, segment.address)),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The registries that notes at `address` point to. The note is searched as bytes, not note by note: linkers
/// put notes of different alignment into one segment, and walking that goes wrong.
fn parse(bytes: &[u8], address: u64) -> impl Iterator<Item = u64> {
    memmem::find_iter(bytes, HEAD).filter(|at| at % 4 == 0).filter_map(move |at| {
        let descriptor = at + HEAD.len();
        let (value, _) = bytes.get(descriptor..)?.split_first_chunk::<8>()?;
        let from = address.wrapping_add(descriptor as u64);
        Some(from.wrapping_add_signed(i64::from_le_bytes(*value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_points_from_its_descriptor() {
        let mut bytes = b"\x04\0\0\0\x04\0\0\0\x05\0\0\0GNU\0abcd".to_vec();
        bytes.extend(HEAD);
        bytes.extend((-40_i64).to_le_bytes());
        bytes.extend(HEAD);
        assert_eq!(parse(&bytes, 0x1000).collect::<Vec<_>>(), [0x1000 + 40 - 40]);
    }

    #[test]
    fn notes_of_others_are_left_alone() {
        let other = b"\x07\0\0\0\x08\0\0\0\x02\0\0\0loiter\0\0abcdefgh";
        assert_eq!(parse(other, 0).count(), 0);
        let unaligned = [b"x", HEAD, &[0; 8]].concat();
        assert_eq!(parse(&unaligned, 0).count(), 0);
    }
}
