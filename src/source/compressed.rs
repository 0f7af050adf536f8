//! Decompresses gzip and zstd data, recognised by its first bytes, within limits.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::zstd::ZstdReader;

/// Nested compression is followed this deep.
const MAX_LAYERS: usize = 3;
/// Compression never shrinks a dump by more than this factor.
const MAX_RATIO: u64 = 2000;
/// Below this size the ratio means nothing.
const RATIO_FROM: u64 = 16 << 20;
/// First bytes that identify the format.
const START: usize = 8;

/// The decompressed contents of a file or a pipe.
pub(super) struct Contents<'a> {
    /// Its first bytes, which `reader` returns too.
    pub(super) start: Vec<u8>,
    /// All of its bytes.
    pub(super) reader: Box<dyn Read + 'a>,
    /// It was compressed.
    pub(super) compressed: bool,
}

/// Removes any compression.
///
/// # Errors
/// The errors of `from`.
pub(super) fn open<'a>(from: impl Read + 'a) -> io::Result<Contents<'a>> {
    let read = Rc::new(Cell::new(0));
    let from = Metered { from, count: Rc::clone(&read) };
    let mut contents = peek(Box::new(BufReader::new(from)), false)?;
    for layer in 0.. {
        let reader: Box<dyn Read + 'a> = if contents.start.starts_with(&[0x1f, 0x8b]) {
            Box::new(MultiGzDecoder::new(contents.reader))
        } else if contents.start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(ZstdReader::new(contents.reader))
        } else {
            return Ok(contents);
        };
        if layer == MAX_LAYERS {
            break;
        }
        contents = peek(Box::new(Plausible { from: reader, given: 0, read: Rc::clone(&read) }), true)?;
    }
    Err(io::Error::other(format!("compressed more than {MAX_LAYERS} times over")))
}

fn peek<'a>(mut reader: Box<dyn Read + 'a>, compressed: bool) -> io::Result<Contents<'a>> {
    let mut start = Vec::with_capacity(START);
    reader.by_ref().take(START as u64).read_to_end(&mut start)?;
    Ok(Contents { reader: Box::new(Cursor::new(start.clone()).chain(reader)), start, compressed })
}

/// Counts the bytes that pass through it.
struct Metered<R> {
    from: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.count.set(self.count.get().saturating_add(n as u64));
        Ok(n)
    }
}

/// Fails when the output cannot be a compressed dump.
struct Plausible<R> {
    from: R,
    given: u64,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Plausible<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.given = self.given.saturating_add(n as u64);
        if self.given > RATIO_FROM && self.given / MAX_RATIO > self.read.get() {
            let problem = format!(
                "it becomes more than {MAX_RATIO} times as large when it is decompressed: not read any further"
            );
            return Err(io::Error::other(problem));
        }
        Ok(n)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zst(bytes: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(bytes, 3).unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        open(bytes)?.reader.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn takes_off_every_layer() {
        for bytes in [&b"some text, longer than the start"[..], b"x", b""] {
            for packed in [bytes.to_vec(), gz(bytes), zst(bytes), gz(&zst(bytes)), zst(&gz(&zst(bytes)))] {
                let contents = open(&packed[..]).unwrap();
                assert_eq!(contents.compressed, packed != bytes);
                assert_eq!(contents.start, bytes[..bytes.len().min(8)]);
                assert_eq!(read(&packed).unwrap(), bytes);
            }
        }
        assert_eq!(read(&[gz(b"a"), gz(b"b")].concat()).unwrap(), b"ab");
        // A skippable frame may be between two frames.
        let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
        assert_eq!(read(&[&zst(b"a")[..], skipped, &zst(b"b")].concat()).unwrap(), b"ab");
        assert!(read(&[&zst(b"a")[..], &skipped[..10]].concat()).is_err());
        assert!(read(&[&zst(b"a")[..], b"garbage"].concat()).is_err());
        assert!(read(&gz(&gz(&gz(&gz(b"a"))))).unwrap_err().to_string().contains("3 times over"));
    }

    #[test]
    fn damage_and_bombs_are_noticed() {
        let packed = gz(&b"text".repeat(1000));
        assert!(read(&packed[..packed.len() - 9]).is_err());
        let packed = zst(&b"text".repeat(1000));
        assert!(read(&packed[..packed.len() - 2]).is_err());
        let mut with_checksum = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        with_checksum.include_checksum(true).unwrap();
        with_checksum.write_all(b"text").unwrap();
        let mut packed = with_checksum.finish().unwrap();
        assert_eq!(read(&packed).unwrap(), b"text");
        *packed.last_mut().unwrap() ^= 1;
        assert!(read(&packed).unwrap_err().to_string().contains("checksum"));
        let bomb = zst(&vec![0; 64 << 20]);
        assert!(read(&bomb).unwrap_err().to_string().contains("times as large"));
    }
}
