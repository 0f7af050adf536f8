//! Stops reading early what cannot be a dump.

use std::io::{self, Read};

/// Text without a goroutine in this many bytes is not a dump, though a crash may be at the end of a long log.
const TEXT: usize = 16 << 20;
/// Bytes that are examined to see whether binary data can be a profile.
const BINARY: usize = 4096;
/// Read at a time, bytes.
const STEP: usize = 64 << 10;
/// Every Go dump contains this word.
const WORD: &[u8] = b"goroutine";
/// The highest field number of profile.proto.
const LAST_FIELD: u64 = 15;

/// The bytes that were read.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) bytes: Vec<u8>,
    /// Reading stopped early, because it is not a dump.
    pub(super) stopped: bool,
}

/// Reads everything, or stops once it certainly is not a dump.
///
/// # Errors
/// The errors of `from`, and one if there is more than `most`.
pub(super) fn read(from: &mut dyn Read, most: u64) -> io::Result<Beginning> {
    let mut bytes = Vec::new();
    let mut may_be = false;
    loop {
        let before = bytes.len();
        if from.take(STEP as u64).read_to_end(&mut bytes)? == 0 {
            return Ok(Beginning { bytes, stopped: false });
        }
        if bytes.len() as u64 > most {
            return Err(io::Error::other(format!("larger than {} MiB: too large for a dump", most >> 20)));
        }
        if before == 0 && !is_text(&bytes) {
            if !is_profile(&bytes) {
                return Ok(Beginning { bytes, stopped: true });
            }
            may_be = true;
        }
        // The word may cross the border.
        may_be = may_be || has_word(bytes.get(before.saturating_sub(2 * WORD.len())..).unwrap_or_default());
        if !may_be && bytes.len() > TEXT {
            return Ok(Beginning { bytes, stopped: true });
        }
    }
}

/// The word, with one or two bytes per character.
fn has_word(bytes: &[u8]) -> bool {
    let wide: Vec<u8> = WORD.iter().flat_map(|&byte| [byte, 0]).collect();
    // With the high byte first, the last zero belongs to the next character.
    let wide = wide.get(..wide.len() - 1).unwrap_or_default();
    memchr::memmem::find(bytes, WORD).is_some() || memchr::memmem::find(bytes, wide).is_some()
}

/// Text has no zeros, except in UTF-16.
fn is_text(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..bytes.len().min(BINARY)).unwrap_or_default();
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let zeros = memchr::memchr_iter(0, bytes).count();
    let controls = bytes.iter().filter(|byte| matches!(byte, 1..=8 | 14..=26 | 28..=31)).count();
    // Every other byte is zero, or none is.
    let even = zeros * 3 > bytes.len() && zeros * 3 < bytes.len() * 2;
    wide || (zeros == 0 || even) && controls * 10 < bytes.len()
}

/// Does it begin with fields of profile.proto?
fn is_profile(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(..bytes.len().min(BINARY)).unwrap_or_default();
    let mut fields = 0;
    while !rest.is_empty() {
        let Some((tag, after)) = varint(rest) else { break };
        if !(1..=LAST_FIELD).contains(&(tag >> 3)) || !matches!(tag & 7, 0 | 2) {
            return false;
        }
        let Some((value, after)) = varint(after) else { break };
        fields += 1;
        let skip = if tag & 7 == 2 { value } else { 0 };
        let Some(next) = usize::try_from(skip).ok().and_then(|skip| after.get(skip..)) else { break };
        rest = next;
    }
    fields > 0
}

/// A number, seven bits per byte, and the bytes after it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (nth, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * nth as u32)?;
        if byte < 0x80 {
            return Some((value, bytes.get(nth + 1..)?));
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn endless(beginning: &[u8], byte: u8) -> Beginning {
        let mut from = beginning.chain(io::repeat(byte)).take(64 << 20);
        read(&mut from, 1 << 30).unwrap()
    }

    #[test]
    fn what_is_no_dump_is_not_read_to_its_end() {
        for (beginning, byte, most) in [
            (&b"<!DOCTYPE html><html>"[..], b'x', TEXT + STEP),
            (b"", 0, STEP),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 7, STEP),
            (b"\x7fELF\x02\x01\x01", 0, STEP),
            (b"\x8bloiter\n\x01\0", 1, STEP),
            (b"PK\x03\x04\x14\0\0\0", 200, STEP),
        ] {
            let read = endless(beginning, byte);
            assert!(read.stopped && read.bytes.len() <= most, "{beginning:?}: {}", read.bytes.len());
        }
    }

    #[test]
    fn what_may_be_a_dump_is_read() {
        let long = "a log\n".repeat(1 << 20) + "goroutine 1 [running]:\n";
        let wide: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let profile = [&[0x0a, 4, 8, 1, 16, 2, 0x12, 0x80, 0x80, 0x80, 8][..], &[0; 1 << 20]].concat();
        for bytes in [long.as_bytes(), &wide, &profile, b"goroutine profile: total 0\n", b"", b"nothing"] {
            let read = read(&mut &*bytes, 1 << 30).unwrap();
            assert_eq!((read.bytes.len(), read.stopped), (bytes.len(), false));
        }
        assert!(read(&mut io::repeat(b'g').take(100), 99).is_err());
    }
}
