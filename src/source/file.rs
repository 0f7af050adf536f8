//! Files and standard input, recognised by their first bytes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::compressed::{self, Contents};
use super::{Input, OpenOptions, Opened, Result, SourceError, process};
use crate::import::{self, Imported};
use crate::process::Target;
use crate::recording::{self, Recording};
use crate::snapshot::{Snapshot, file};

/// The largest dump that is read: dumps are kept in memory whole.
pub(super) const MAX_DUMP: u64 = 1 << 30;
/// The largest core file that is decompressed.
const MAX_CORE: u64 = 64 << 30;

/// Reads a file.
pub(super) fn read(path: &Path, options: &OpenOptions) -> Result<Input> {
    Named::of(path).read(open_file(path)?, options)
}

/// Reads standard input.
pub(super) fn read_stdin(options: &OpenOptions) -> Result<Input> {
    Named::stdin().read(io::stdin().lock(), options)
}

/// Opens a core file.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Target>> {
    Named::of(path).open_core(open_file(path)?, options)
}

/// The same from standard input.
pub(super) fn open_stdin(options: &OpenOptions) -> Result<Box<dyn Target>> {
    Named::stdin().open_core(io::stdin().lock(), options)
}

fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| SourceError::Io { what: path.display().to_string(), source })
}

/// A file or stream that is read, and its names.
struct Named<'a> {
    path: Option<&'a Path>,
    /// In messages.
    shown: String,
    /// Replaces the program's name if a dump does not contain it.
    name: String,
}

impl<'a> Named<'a> {
    fn of(path: &'a Path) -> Self {
        let shown = path.display().to_string();
        let name = path.file_name().map_or(shown.clone(), |name| name.to_string_lossy().into_owned());
        Named { path: Some(path), shown, name }
    }

    fn stdin() -> Self {
        Named { path: None, shown: "standard input".to_owned(), name: "standard input".to_owned() }
    }

    fn failed(&self, source: io::Error) -> SourceError {
        SourceError::Io { what: self.shown.clone(), source }
    }

    fn read(&self, from: impl Read, options: &OpenOptions) -> Result<Input> {
        let contents = compressed::open(from).map_err(|error| self.failed(error))?;
        if contents.start == file::MAGIC {
            let snapshot = file::read(contents.reader)
                .map_err(|source| SourceError::File { path: self.shown.clone(), source })?;
            return Ok(Input::Snapshot(Opened { snapshot, saved: true }));
        }
        if contents.start == recording::file::MAGIC {
            let found = recording::file::read(contents.reader);
            return found
                .map(Input::Recording)
                .map_err(|source| SourceError::Recording { path: self.shown.clone(), source });
        }
        if is_core(&contents) {
            let core = self.core(contents, options)?;
            return process::read_core(core.as_ref(), &self.shown, options).map(Input::Snapshot);
        }
        let bytes = read_bounded(contents.reader).map_err(|error| self.failed(error))?;
        let found = import::read_any(&bytes)
            .map_err(|source| SourceError::Dump { what: self.shown.clone(), source: source.into() })?;
        Ok(match found {
            Imported::Dump(dump) => {
                Input::Snapshot(Opened { snapshot: named(dump.snapshot, &self.name), saved: true })
            }
            Imported::Recording(recording) => Input::Recording(named_recording(recording, &self.name)),
        })
    }

    fn open_core(&self, from: impl Read, options: &OpenOptions) -> Result<Box<dyn Target>> {
        let contents = compressed::open(from).map_err(|error| self.failed(error))?;
        if is_core(&contents) {
            self.core(contents, options)
        } else {
            Err(SourceError::NotATarget { what: self.shown.clone() })
        }
    }

    fn core(&self, contents: Contents<'_>, options: &OpenOptions) -> Result<Box<dyn Target>> {
        match self.path.filter(|_| !contents.compressed) {
            Some(path) => process::open_core(path, &self.shown, options),
            None => {
                let spooled = spool(contents).map_err(|error| self.failed(error))?;
                let path = format!("/proc/self/fd/{}", spooled.as_raw_fd());
                process::open_core(path.as_ref(), &self.shown, options)
            }
        }
    }
}

fn is_core(contents: &Contents<'_>) -> bool {
    contents.start.starts_with(b"\x7fELF")
}

/// All bytes of a dump.
fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_DUMP + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DUMP {
        return Err(io::Error::other(format!("larger than {} MiB: too large for a dump", MAX_DUMP >> 20)));
    }
    Ok(bytes)
}

/// Dumps do not name the program: the file name replaces it.
pub(super) fn named(mut snapshot: Snapshot, name: &str) -> Snapshot {
    if snapshot.header.target.name.is_empty() {
        snapshot.header.target.name = name.to_owned();
    }
    snapshot
}

/// The same for a profile of time.
pub(super) fn named_recording(mut recording: Recording, name: &str) -> Recording {
    if recording.header.target.name.is_empty() {
        recording.header.target.name = name.to_owned();
    }
    recording
}

/// Core files are read at random: a core file that is compressed or comes from a pipe is written to a
/// temporary file without a name, with holes for zeros.
fn spool(contents: Contents<'_>) -> io::Result<File> {
    let no_room = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("cannot decompress it to {}: {error}", std::env::temp_dir().display()),
        )
    };
    let mut file = tempfile::tempfile().map_err(no_room)?;
    let mut from = contents.reader.take(MAX_CORE + 1);
    let mut block = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let n = fill(&mut from, &mut block)?;
        let Some(bytes) = block.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
        length += n as u64;
        if length > MAX_CORE {
            return Err(io::Error::other(format!("larger than {} GiB when decompressed", MAX_CORE >> 30)));
        }
        if bytes.iter().all(|&byte| byte == 0) {
            file.seek(SeekFrom::Current(n as i64)).map_err(no_room)?;
        } else {
            file.write_all(bytes).map_err(no_room)?;
        }
    }
    file.set_len(length).map_err(no_room)?;
    Ok(file)
}

/// Reads until the buffer is full or the input ends.
fn fill(from: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn spooled_files_have_holes_and_the_right_length() {
        let mut bytes = vec![0; 300_000];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[200_000] = 7;
        let contents = compressed::open(&bytes[..]).unwrap();
        let mut file = spool(contents).unwrap();
        file.rewind().unwrap();
        assert_eq!(io::read_to_string(file).unwrap().into_bytes(), bytes);
    }
}
