//! Files and standard input: what they are stands in them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::compressed::{self, Contents};
use super::{Opened, ReadArgs, process};
use crate::cli::error::{CliError, Result};
use crate::import;
use crate::snapshot::{Snapshot, file};

/// The largest dump that is read: they are kept in memory whole.
pub(super) const MAX_DUMP: u64 = 1 << 30;
/// The largest core file that is decompressed.
const MAX_CORE: u64 = 64 << 30;

/// Reads a file.
pub(super) fn read(path: &Path, how: &ReadArgs) -> Result<Opened> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|source| CliError::Io { what: shown.clone(), source })?;
    let name = path.file_name().map_or(shown.clone(), |name| name.to_string_lossy().into_owned());
    read_from(file, Some(path), &shown, &name, how)
}

/// Reads standard input.
pub(super) fn read_stdin(how: &ReadArgs) -> Result<Opened> {
    read_from(io::stdin().lock(), None, "standard input", "standard input", how)
}

fn read_from(
    from: impl Read,
    path: Option<&Path>,
    shown: &str,
    name: &str,
    how: &ReadArgs,
) -> Result<Opened> {
    let failed = |source| CliError::Io { what: shown.to_owned(), source };
    let contents = compressed::open(from).map_err(failed)?;
    if contents.start == file::MAGIC {
        let snapshot = file::read(contents.reader)
            .map_err(|source| CliError::File { path: shown.to_owned(), source })?;
        return Ok(Opened { snapshot, saved: true });
    }
    if contents.start.starts_with(b"\x7fELF") {
        return match path.filter(|_| !contents.compressed) {
            Some(path) => process::read_core(path, shown, how),
            None => {
                let spooled = spool(contents).map_err(failed)?;
                let path = format!("/proc/self/fd/{}", spooled.as_raw_fd());
                process::read_core(path.as_ref(), shown, how)
            }
        };
    }
    let bytes = read_bounded(contents.reader).map_err(failed)?;
    let found = import::read(&bytes)
        .map_err(|source| CliError::Dump { what: shown.to_owned(), source: source.into() })?;
    Ok(Opened { snapshot: named(found.snapshot, name), saved: true })
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

/// Dumps do not name the program: the file does.
pub(super) fn named(mut snapshot: Snapshot, name: &str) -> Snapshot {
    if snapshot.header.target.name.is_empty() {
        snapshot.header.target.name = name.to_owned();
    }
    snapshot
}

/// Core files are read at random: one that is compressed or comes from a pipe is written to a temporary
/// file without a name, with holes where there are zeros.
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

/// Reads until the buffer is full or nothing more comes.
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
