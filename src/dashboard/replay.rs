//! Readings that were recorded, gone through back and forth.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::history::Point;
use super::picture::{Picture, SessionView};
use crate::analysis::modules::Owners;
use crate::snapshot::file;

/// Bytes for how long each task of each reading has stood still. Beyond that, only what the runtime says
/// is shown.
const MAX_PROVED: usize = 128 << 20;

/// A recording. Only one snapshot of it is in memory at a time.
pub(super) struct Replay {
    left: std::vec::IntoIter<PathBuf>,
    of: usize,
    album: Option<SessionView>,
    /// Pictures without their snapshots.
    pictures: Vec<(PathBuf, Picture)>,
    points: Vec<Arc<Point>>,
    proved: usize,
    unreadable: Vec<String>,
}

/// The snapshots in a directory, in the order in which they were taken.
///
/// # Errors
/// The directory cannot be read, or there is none in it; in words.
pub fn snapshots(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = directory.display();
    let entries = fs::read_dir(directory).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut files = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_none_or(|extension| extension != "loiter") || !path.is_file() {
            continue;
        }
        // What cannot be read is said when the recording is opened.
        let taken = File::open(&path).ok().and_then(|file| file::preview(file).ok());
        files.push((taken.map_or(0, |preview| preview.header.taken_at_ns), path));
    }
    files.sort();
    if files.is_empty() {
        return Err(format!(
            "there is no snapshot in {shown} (loiter watch PID --record {shown} makes some)"
        ));
    }
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

impl Replay {
    pub(super) fn new(files: Vec<PathBuf>, system: bool) -> Self {
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

    /// Looks at the next file; gives how many of how many that were. None after the last.
    pub(super) fn open_next(&mut self) -> Option<(usize, usize)> {
        let Some(path) = self.left.next() else {
            self.album = None;
            return None;
        };
        match (file::load(&path), &mut self.album) {
            (Ok(snapshot), Some(album)) => {
                let mut picture = album.add(Arc::new(snapshot));
                self.points.extend(picture.points.back().cloned());
                (picture.snapshot, picture.points) = Default::default();
                self.proved += picture.proved_ns.len() * 8;
                if self.proved > MAX_PROVED {
                    picture.proved_ns = Vec::new();
                }
                self.pictures.push((path, picture));
            }
            (Err(error), _) => {
                self.unreadable.push(format!("{}: {}", path.display(), crate::full_text(&error)))
            }
            (Ok(_), None) => {}
        }
        Some((self.of - self.left.len(), self.of))
    }

    /// How many readings there are.
    pub(super) fn len(&self) -> usize {
        self.pictures.len()
    }

    /// What could not be read.
    pub(super) fn problem(&self) -> Option<String> {
        let first = self.unreadable.first()?;
        let more = match self.unreadable.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("left out: {first}{more}"))
    }

    /// The picture of a reading.
    pub(super) fn picture(&self, at: usize) -> Result<Picture, String> {
        let (path, picture) = self.pictures.get(at).ok_or("there is no such reading")?;
        let snapshot =
            file::load(path).map_err(|error| format!("{}: {}", path.display(), crate::full_text(&error)))?;
        let points = self.points.get(..=at).unwrap_or(&self.points);
        let points = points.iter().cloned().collect();
        let owners = Arc::new(Owners::new(&snapshot));
        Ok(Picture { snapshot: Arc::new(snapshot), owners, points, ..picture.clone() })
    }
}
