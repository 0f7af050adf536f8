//! Recorded readings that the user can step through.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::history::Point;
use super::picture::{Picture, SessionView};
use crate::analysis::modules::Owners;
use crate::full_text;
use crate::snapshot::file::{self, FileError};

/// Bytes for how long each task of each reading has been still, and what it did before. Beyond that, only what the runtime says is shown.
const MAX_PROVED: usize = 128 << 20;

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The directory cannot be read.
    #[error("cannot read {}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no snapshot in the directory.
    #[error(
        "there is no snapshot in {0} (loiter watch PID --record {0} makes some)",
        directory.display()
    )]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// A snapshot cannot be read.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// There are fewer readings.
    #[error("there is no such reading")]
    NoReading,
}

/// A recording. Only one of its snapshots is in memory at a time.
#[derive(Debug)]
pub struct Replay {
    left: std::vec::IntoIter<PathBuf>,
    of: usize,
    album: Option<SessionView>,
    /// Pictures without their snapshots.
    pictures: Vec<(PathBuf, Picture)>,
    points: Vec<Arc<Point>>,
    proved: usize,
    unreadable: Vec<ReplayError>,
}

/// The snapshots in a directory, in the order in which they were taken.
///
/// # Errors
/// The directory cannot be read, or there is no snapshot in it.
pub fn recorded(directory: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    let entries = fs::read_dir(directory)
        .map_err(|source| ReplayError::Directory { directory: directory.to_owned(), source })?;
    let mut files = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|extension| extension != "loiter") || !path.is_file() {
            continue;
        }
        // Unreadable files are reported when the recording is opened.
        let taken = File::open(&path).ok().and_then(|file| file::preview(file).ok());
        files.push((taken.and_then(|preview| preview.header.taken_at_ns), path));
    }
    files.sort();
    if files.is_empty() {
        return Err(ReplayError::Empty { directory: directory.to_owned() });
    }
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

impl Replay {
    /// A recording of these files in the order in which they were taken; `system`: the runtime's own tasks
    /// count too. [`Replay::open_next`] then opens them one by one.
    pub fn new(files: Vec<PathBuf>, system: bool) -> Self {
        Replay {
            of: files.len(),
            left: files.into_iter(),
            album: Some(SessionView::thorough(system)),
            pictures: Vec::new(),
            points: Vec::new(),
            proved: 0,
            unreadable: Vec::new(),
        }
    }

    /// Opens the next file. Returns how many files were opened so far, and how many there are. None after the
    /// last one.
    pub fn open_next(&mut self) -> Option<(usize, usize)> {
        let Some(path) = self.left.next() else {
            self.album = None;
            return None;
        };
        match (file::load(&path), &mut self.album) {
            (Ok(snapshot), Some(album)) => {
                let mut picture = album.add(Arc::new(snapshot));
                self.points.extend(picture.points.back().cloned());
                (picture.snapshot, picture.points) = Default::default();
                let times = picture.times.as_ref().map_or(0, |times| times.bytes());
                self.proved += picture.proved_ns.len() * 8 + times;
                if self.proved > MAX_PROVED {
                    (picture.proved_ns, picture.times) = (Arc::default(), None);
                }
                self.pictures.push((path, picture));
            }
            (Err(error), _) => self.unreadable.push(ReplayError::File { path, source: error }),
            (Ok(_), None) => {}
        }
        Some((self.of - self.left.len(), self.of))
    }

    /// Whether none of the opened files can be read.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// How many readings there are.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Which files could not be read: the first one and why, and how many more.
    pub fn problem(&self) -> Option<String> {
        let first = self.unreadable.first()?;
        let more = match self.unreadable.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("left out: {}{more}", full_text(first)))
    }

    /// The picture of a reading.
    ///
    /// # Errors
    /// Its file can no longer be read, or there are fewer readings.
    pub fn picture(&self, at: usize) -> Result<Picture, ReplayError> {
        let (path, picture) = self.pictures.get(at).ok_or(ReplayError::NoReading)?;
        let snapshot = file::load(path).map_err(|source| ReplayError::File { path: path.clone(), source })?;
        let points = self.points.get(..=at).unwrap_or(&self.points);
        let points = points.iter().cloned().collect();
        let owners = Arc::new(Owners::new(&snapshot));
        Ok(Picture { snapshot: Arc::new(snapshot), owners, points, ..picture.clone() })
    }
}
