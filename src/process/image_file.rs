//! The bytes of an image, read from a file that may change, or whose file system may not answer.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{Result, TargetError, slow_files, sys};

/// Bytes read at a time from a file that is not in memory: one piece must come within the wait limit.
const PIECE: usize = 1 << 20;
/// Bytes that are searched at a time. A multiple of the length of a symbol.
const BLOCK: usize = 192 << 10;
/// All reads of one file together wait at most this long.
const MAX_WAIT_MS: u64 = 60_000;

/// The file with the bytes of an image.
///
/// It is read with pread and never mapped: if the target truncates the file meanwhile, the result must be an
/// error, not a SIGBUS.
#[derive(Debug)]
pub struct ImageFile {
    /// How the file was reached: "/proc/4242/map_files/...", for messages.
    pub opened_as: String,
    /// The root of the file system that it is from: "/proc/4242/root". Empty for that of loiter.
    pub(super) root: String,
    pub(super) file: Arc<File>,
    len: u64,
    /// When it was changed last, as its file system said when it was opened: seconds and nanoseconds.
    modified: Option<(i64, i64)>,
    /// Something of it could not be read.
    has_failed: AtomicBool,
    /// How long reads have waited so far, milliseconds.
    waited_ms: AtomicU64,
}

impl ImageFile {
    /// Opens an ordinary file.
    ///
    /// # Errors
    /// It cannot be opened, or is a device, a pipe or similar.
    pub fn open(path: impl AsRef<Path>) -> Result<ImageFile> {
        let path = path.as_ref();
        let opened_as = path.display().to_string();
        Self::open_io(path).map_err(|source| TargetError::io(format!("open {opened_as}"), source))
    }

    /// The same, without the name in the error. A file system that does not answer is given up.
    pub(super) fn open_io(path: &Path) -> io::Result<ImageFile> {
        let path = path.to_owned();
        slow_files::within(move || Self::open_now(&path))
    }

    fn open_now(path: &Path) -> io::Result<ImageFile> {
        // Checked before it is opened: opening a pipe or a device may block or have an effect.
        let is_file = |metadata: &std::fs::Metadata| {
            if metadata.is_file() { Ok(()) } else { Err(io::Error::other("not an ordinary file")) }
        };
        is_file(&std::fs::metadata(path)?)?;
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
        let found = file.metadata()?;
        is_file(&found)?;
        let opened_as = path.display().to_string();
        let modified = Some((found.mtime(), found.mtime_nsec()));
        Ok(ImageFile { len: found.len(), modified, ..ImageFile::new(opened_as, file) })
    }

    fn new(opened_as: String, file: File) -> ImageFile {
        ImageFile {
            opened_as,
            root: String::new(),
            file: Arc::new(file),
            len: 0,
            modified: None,
            has_failed: AtomicBool::new(false),
            waited_ms: AtomicU64::new(0),
        }
    }

    /// The same file, as one of the file system with this root.
    pub(super) fn with_root(self, root: String) -> ImageFile {
        ImageFile { root, ..self }
    }

    /// A file in memory with these bytes.
    pub(super) fn of_bytes(opened_as: &str, bytes: &[u8]) -> io::Result<ImageFile> {
        let mut file = File::from(memfd_create(opened_as, MFdFlags::MFD_CLOEXEC)?);
        file.write_all(bytes)?;
        Ok(ImageFile { len: bytes.len() as u64, ..ImageFile::new(opened_as.to_owned(), file) })
    }

    /// Length of the file when it was opened, bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty file is no case of its own here")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When it was changed last, seconds and nanoseconds. None if it is no file of a file system.
    pub(crate) fn modified(&self) -> Option<(i64, i64)> {
        self.modified
    }

    /// Whether all that was read of it until now is what it had when it was opened, and nothing failed.
    pub(crate) fn is_intact(&self) -> bool {
        let file = Arc::clone(&self.file);
        let now = || self.wait(move || file.metadata());
        let is_same = |now: std::fs::Metadata| {
            now.len() == self.len && Some((now.mtime(), now.mtime_nsec())) == self.modified
        };
        !self.has_failed.load(Ordering::Relaxed) && now().is_ok_and(is_same)
    }

    /// Reads `len` bytes at `offset`.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(self.malformed(format!(
                "is cut: {len} bytes at offset {offset:#x} lie behind its end at {:#x}",
                self.len
            )));
        }
        let mut bytes = vec![0; len];
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub fn read_into(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let read = self.fill(offset, buf);
        if read.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        read
    }

    /// Reads a part of the file one piece after another, so that it never is in memory as a whole. All but the first begin
    /// with the last `overlap` bytes of the one before.
    ///
    /// # Errors
    /// The file ends before, or cannot be read.
    pub(crate) fn in_pieces(
        &self,
        offset: u64,
        len: u64,
        overlap: usize,
        with: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let mut buffer = vec![0; BLOCK.saturating_add(overlap)];
        let (mut at, mut kept) = (0, 0);
        while at < len {
            let end = kept + (len - at).min(BLOCK as u64) as usize;
            let Some(fresh) = buffer.get_mut(kept..end) else { break };
            self.read_into(offset.saturating_add(at), fresh)?;
            at += fresh.len() as u64;
            with(buffer.get(..end).unwrap_or_default());
            kept = overlap.min(end);
            buffer.copy_within(end - kept..end, 0);
        }
        Ok(())
    }

    fn fill(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_some(offset.saturating_add(done as u64), rest) {
                Ok(0) => return Err(self.malformed("has become shorter while it was read")),
                Ok(n) => done += n,
                Err(source) => {
                    return Err(TargetError::io(format!("read {}", self.opened_as), source));
                }
            }
        }
        Ok(())
    }

    /// Reads the beginning of `buf`: at once what is in memory, else a piece of it, as long as the file
    /// system answers in time.
    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if let Ok(n) = sys::pread_cached(&self.file, buf, offset) {
            return Ok(n);
        }
        let file = Arc::clone(&self.file);
        let len = buf.len().min(PIECE);
        let bytes = self.wait(move || {
            let mut bytes = vec![0; len];
            let n = sys::pread(&file, &mut bytes, offset)?;
            bytes.truncate(n);
            Ok(bytes)
        })?;
        for (to, from) in buf.iter_mut().zip(&bytes) {
            *to = *from;
        }
        Ok(bytes.len())
    }

    /// Start and end of the next bytes at or after `from` that are not a hole; None if there are none. A file
    /// system without holes has data everywhere.
    pub(crate) fn next_data(&self, from: u64) -> Option<(u64, u64)> {
        let file = Arc::clone(&self.file);
        let found = self.wait(move || sys::next_data(&file, from));
        found.unwrap_or(Some((from, self.len))).filter(|(start, end)| start < end)
    }

    /// Runs `work`, unless this file has already taken too long.
    fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.waited_ms.load(Ordering::Relaxed) >= MAX_WAIT_MS {
            return Err(slow_files::no_answer());
        }
        let begun = Instant::now();
        let done = slow_files::within(work);
        let late = done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
        // A file that did not answer once is not read again.
        let waited = if late { MAX_WAIT_MS } else { begun.elapsed().as_millis() as u64 };
        self.waited_ms.fetch_add(waited, Ordering::Relaxed);
        done
    }

    /// `len`, or less if the file ends before; None if it ends before `offset`.
    pub(super) fn room(&self, offset: u64, len: u64) -> Option<usize> {
        let room = self.len.checked_sub(offset)?.min(len);
        usize::try_from(room).ok()
    }

    pub(super) fn malformed(&self, problem: impl Into<String>) -> TargetError {
        TargetError::Malformed { path: self.opened_as.clone(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_with_an_overlap() {
        let bytes: Vec<u8> = (0..2 * BLOCK + 1000).map(|nth| (nth / 7 % 251) as u8).collect();
        let file = ImageFile::of_bytes("pieces", &bytes).unwrap();
        for (len, overlap) in [(bytes.len() - 5, 0), (bytes.len() - 5, 64), (10, 64), (BLOCK, 3), (0, 1)] {
            let (mut found, mut pieces) = (Vec::new(), 0);
            let mut with = |piece: &[u8]| {
                let again = overlap.min(found.len());
                assert!(found.ends_with(&piece[..again]));
                found.extend_from_slice(&piece[again..]);
                pieces += 1;
            };
            file.in_pieces(5, len as u64, overlap, &mut with).unwrap();
            assert_eq!(found, bytes[5..5 + len]);
            assert_eq!(pieces, len.div_ceil(BLOCK));
        }
        assert!(file.in_pieces(5, bytes.len() as u64, 0, &mut |_| {}).is_err(), "it is cut");
        assert!(file.in_pieces(u64::MAX, 2, 0, &mut |_| {}).is_err());
    }
}
