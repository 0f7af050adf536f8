//! The file that keeps what was learned of a program, and what a watch remembers.
//!
//! It is read whole and written whole, by a rename. A lock on it (flock(2)) shows that another loiter uses it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Who;
use crate::analysis::trip::{Baseline, Memory};
use crate::snapshot::file::{PRIVATE, replace};

mod v1;

/// Larger files are no state, bytes: 16 MiB.
const MAX_SIZE: u64 = 16 << 20;
/// The file may be replaced while it is opened, this often.
const ATTEMPTS: u32 = 10;

/// What is known of a program.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// What was learned, and of which process.
    pub learned: Option<(Who, Baseline)>,
    /// The process that was watched last.
    pub watched: Option<Who>,
    /// What the watch remembers.
    pub memory: Memory,
}

/// Why a state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a regular file.
    #[error("it is no regular file")]
    NoFile,
    /// Too large.
    #[error("it is larger than {} MiB", MAX_SIZE >> 20)]
    TooLarge,
    /// Another loiter has it open.
    #[error("another loiter uses it")]
    InUse,
    /// Not a state.
    #[error("it is no state of loiter gate")]
    NoState(#[source] serde_json::Error),
    /// Not a state, or a damaged one.
    #[error("it is no state of loiter gate: {0}")]
    Wrong(&'static str),
    /// Of a later loiter.
    #[error("it has version {0}, and this loiter knows version {known}", known = v1::VERSION)]
    Version(u32),
}

/// An open state file. While this exists, no other loiter opens the file.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Holds the lock. None: there is no file yet.
    lock: Option<File>,
}

impl StateFile {
    /// Opens a file, which need not exist yet: then the state is None.
    ///
    /// # Errors
    /// Another loiter uses it, it cannot be read, or it is not a state.
    pub fn open(path: &Path) -> Result<(StateFile, Option<State>), StateError> {
        let found = match locked(path) {
            Ok(file) => file,
            Err(StateError::Io(error)) if error.kind() == ErrorKind::NotFound => {
                return Ok((StateFile { path: path.to_owned(), lock: None }, None));
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        (&found).take(MAX_SIZE + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_SIZE {
            return Err(StateError::TooLarge);
        }
        let state = v1::read(&text)?;
        Ok((StateFile { path: path.to_owned(), lock: Some(found) }, Some(state)))
    }

    /// The path that it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file: it then has this state, or the one before if this fails.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&mut self, state: &State) -> io::Result<()> {
        let text = v1::write(state)?;
        let mut lock = None;
        replace(&self.path, PRIVATE, |file| {
            file.write_all(&text)?;
            // Its lock is there before its name.
            let copy = file.try_clone()?;
            lock = copy.try_lock().is_ok().then_some(copy);
            io::Result::Ok(())
        })?;
        self.lock = lock;
        Ok(())
    }
}

/// Opens the file of this name, with a lock.
fn locked(path: &Path) -> Result<File, StateError> {
    for _ in 0..ATTEMPTS {
        // A pipe of that name must not make loiter wait, nor a terminal become its controlling one.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(StateError::NoFile);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        // Its user may have replaced it, and ended, meanwhile.
        let named = fs::metadata(path)?;
        if (named.dev(), named.ino()) == (metadata.dev(), metadata.ino()) {
            return Ok(file);
        }
    }
    Err(StateError::InUse)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
