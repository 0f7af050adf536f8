//! Lines of source files that are on this machine.
//!
//! The path comes from the target, which might name any file. So only regular files of moderate size with the
//! name of a source are read, and only one line of them is shown.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustc_hash::FxHashMap;

use crate::analysis::signature::SignatureFrame;

/// Larger files are left alone, bytes.
const MAX_FILE: u64 = 4 << 20;
/// Longer lines are left out, characters.
const MAX_LINE: usize = 160;
/// Endings of the names of sources.
const SOURCES: [&str; 8] = ["go", "rs", "c", "h", "cc", "cpp", "py", "s"];

/// Lines of files, each read once.
#[derive(Debug, Default)]
pub(in crate::cli) struct Lines {
    files: RefCell<FxHashMap<String, Option<String>>>,
}

impl Lines {
    /// The line at a place, without surrounding space. None if the file is not here.
    pub(in crate::cli) fn at(&self, place: &SignatureFrame) -> Option<String> {
        let mut files = self.files.borrow_mut();
        let text = files.entry(place.file.to_string()).or_insert_with(|| read(&place.file)).as_deref()?;
        let line = text.lines().nth(usize::try_from(place.line).ok()?.checked_sub(1)?)?.trim();
        (!line.is_empty() && line.chars().count() <= MAX_LINE).then(|| line.to_owned())
    }
}

fn read(path: &str) -> Option<String> {
    let path = Path::new(path);
    let ending = path.extension()?.to_str()?;
    if !path.is_absolute() || !SOURCES.contains(&ending) {
        return None;
    }
    // A pipe of that name must not make loiter wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_sources_that_are_here() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("a.go"), "package a\n\n\tgo f()\n").unwrap();
        std::fs::write(path("secret"), "one\ntwo\n").unwrap();
        let lines = Lines::default();
        let at = |file: &str, line| {
            lines.at(&SignatureFrame { file: file.into(), line, ..SignatureFrame::default() })
        };
        assert_eq!(at(&path("a.go"), 3).as_deref(), Some("go f()"));
        assert_eq!(at(&path("a.go"), 2), None);
        assert_eq!(at(&path("a.go"), 0), None);
        assert_eq!(at(&path("a.go"), 99), None);
        assert_eq!(at(&path("secret"), 1), None);
        assert_eq!(at(&path("b.go"), 1), None);
        assert_eq!(at("a.go", 1), None);
        assert_eq!(at("/dev/null", 1), None);
    }
}
