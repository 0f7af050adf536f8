//! Decompresses zstd: frame after frame, as the format allows, and compares each checksum.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The contents of a zstd file. Windows larger than 128 MiB are refused, as `zstd -d` does.
pub(super) struct ZstdReader<R> {
    source: BufReader<R>,
    frame: FrameDecoder,
}

impl<R: Read> ZstdReader<R> {
    pub(super) fn new(source: R) -> Self {
        ZstdReader { source: BufReader::new(source), frame: FrameDecoder::new() }
    }

    /// Begins the next frame, if there is one. Skippable frames are skipped.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = self.source.by_ref().take(u64::from(length));
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Compares the checksum of a frame that was read to its end, if the frame has one.
    fn verify(&self) -> io::Result<()> {
        let written = self.frame.get_checksum_from_data();
        if written.is_some() && written != self.frame.get_calculated_checksum() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame is wrong"));
        }
        Ok(())
    }
}

impl<R: Read> Read for ZstdReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let n = self.frame.read(buf)?;
            if n > 0 {
                return Ok(n);
            }
            if !self.frame.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                self.frame.decode_blocks(&mut self.source, some).map_err(io::Error::other)?;
                continue;
            }
            self.verify()?;
            if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}
