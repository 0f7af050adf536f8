//! A bounded set of snapshots on disk.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::snapshot::Snapshot;
use crate::snapshot::file::{self, FileError};

/// File names begin and end like this; the time is in between.
const PREFIX: &str = "watch-";
const SUFFIX: &str = ".loiter";

/// Why a reading could not be kept on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlbumError {
    /// A reading could not be written.
    #[error("keeping {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// An old reading could not be removed. The new one was written.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Keeps the last readings in a directory: written atomically, named by time, the oldest removed if there are
/// too many or they take too much space.
#[derive(Debug)]
pub struct Album {
    directory: PathBuf,
    keep: usize,
    max_bytes: u64,
    /// The files with their sizes, the oldest first.
    files: VecDeque<(PathBuf, u64)>,
}

impl Album {
    /// Keeps `keep` readings that take `max_bytes` at most, in a directory that is created if necessary.
    /// Readings of an earlier recording in it count, and are removed in turn; other files are never touched.
    ///
    /// # Errors
    /// The directory cannot be made or read.
    pub fn open(directory: &Path, keep: usize, max_bytes: u64) -> io::Result<Album> {
        fs::create_dir_all(directory)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_ours) && entry.file_type()?.is_file() {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
        // By name, which means by time.
        files.sort();
        let (keep, directory) = (keep.max(1), directory.to_owned());
        Ok(Album { directory, keep, max_bytes, files: files.into() })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps a reading.
    ///
    /// # Errors
    /// It could not be written, or an old one not removed.
    pub fn keep(&mut self, snapshot: &Snapshot) -> Result<(), AlbumError> {
        let path = self.directory.join(name(snapshot.header.taken_at_ns.unwrap_or(0)));
        if let Err(error) = file::save(snapshot, &path) {
            return Err(AlbumError::Write { path, source: error });
        }
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if self.files.back().is_none_or(|(last, _)| *last != path) {
            self.files.push_back((path, size));
        }
        let bytes = |files: &VecDeque<(PathBuf, u64)>| files.iter().map(|(_, size)| size).sum::<u64>();
        // The last one stays, however large it is.
        while self.files.len() > self.keep || self.files.len() > 1 && bytes(&self.files) > self.max_bytes {
            let Some((oldest, _)) = self.files.pop_front() else { break };
            match fs::remove_file(&oldest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AlbumError::Remove { path: oldest, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// "watch-20261121T034500.123Z.loiter": sorted by name, they are sorted by time.
fn name(taken_at_ns: u64) -> String {
    let millis = i64::try_from(taken_at_ns / 1_000_000).unwrap_or_default();
    let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    format!("{PREFIX}{}.{:03}Z{SUFFIX}", time.strftime("%Y%m%dT%H%M%S"), millis.rem_euclid(1000))
}

/// Whether a name has exactly this form.
fn is_ours(name: &str) -> bool {
    let time = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    time.is_some_and(|time| {
        let digits =
            |at: usize, b: u8| matches!((at, b), (8, b'T') | (15, b'.') | (19, b'Z')) || b.is_ascii_digit();
        time.len() == 20 && time.bytes().enumerate().all(|(at, b)| digits(at, b))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn at(ms: u64) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.header.taken_at_ns = Some(1_795_000_000_000_000_000 + ms * 1_000_000);
        snapshot
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_go_and_strangers_stay() {
        let directory = tempfile::tempdir().unwrap();
        let stranger = directory.path().join("watch-of-mine.loiter");
        fs::write(&stranger, "mine").unwrap();
        let mut album = Album::open(directory.path(), 3, u64::MAX).unwrap();
        (0..5).for_each(|ms| album.keep(&at(ms * 250)).unwrap());
        let left = [
            "watch-20261118T110640.500Z.loiter",
            "watch-20261118T110640.750Z.loiter",
            "watch-20261118T110641.000Z.loiter",
            "watch-of-mine.loiter",
        ];
        assert_eq!(names(directory.path()), left);

        // The next recording continues with them.
        let mut album = Album::open(directory.path(), 2, u64::MAX).unwrap();
        album.keep(&at(9000)).unwrap();
        assert_eq!(names(directory.path()).len(), 3);

        let mut album = Album::open(directory.path(), 100, 1).unwrap();
        album.keep(&at(10_000)).unwrap();
        assert_eq!(names(directory.path()), ["watch-20261118T110650.000Z.loiter", "watch-of-mine.loiter"]);
    }
}
