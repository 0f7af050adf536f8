//! Files with lists of known kinds of tasks: baselines.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::baseline::file::{self, MAX_SIZE};
use crate::analysis::baseline::{Baseline, Kind, Said};
use crate::cli::error::{CliError, Result};
use crate::cli::ignore::contents;
use crate::cli::output::save;
use crate::full_text;
use crate::report::escape::is_printable;
use crate::report::units::count;
use crate::snapshot::file::SHARED;

/// How long the lock of another gate is waited for. It is held for as long as it takes to write a small file.
const PATIENCE: Duration = Duration::from_secs(10);
const NAP: Duration = Duration::from_millis(5);

/// What became of the lines of one program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Renewed {
    program: String,
    /// Kinds that the list names now.
    kinds: u64,
    /// Those that it did not name before.
    new: u64,
    /// Lines that went.
    gone: u64,
}

/// "5 kinds of ex.com/api: 2 new; 1 line went".
impl fmt::Display for Renewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Renewed { program, kinds, new, gone } = self;
        write!(f, "{} of {program}: {new} new; {} went", count(*kinds, "kind"), count(*gone, "line"))
    }
}

/// Whether a file begins as baselines do that loiter has written. What cannot be read does not.
pub(super) fn is_list(path: &Path) -> bool {
    // A pipe of that name must not make loiter wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let Ok(file) = file else { return false };
    let mut beginning = Vec::new();
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file
        && file.take(file::MAGIC.len() as u64).read_to_end(&mut beginning).is_ok()
        && file::is_baseline(&beginning)
}

/// Reads a baseline.
pub(super) fn read(path: &Path) -> Result<Baseline> {
    let wrong = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let bytes = contents(path, false).map_err(|refused| wrong(refused.why()))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(wrong(format!("it is larger than {} MiB", MAX_SIZE >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text in UTF-8".to_owned()))?;
    file::parse(&text).map_err(|error| wrong(full_text(&error)))
}

/// The same, or None if there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Baseline>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

/// Makes a file the baseline of what programs left now, each with its kinds. It is read anew, because others may have
/// written to it.
pub(super) fn renew(path: &Path, found: &[(String, Vec<Kind>)]) -> Result<Vec<Renewed>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let _lock = lock(directory)?;
    let mut baseline = read_if_there(path)?.unwrap_or_default();
    let mut all = Vec::new();
    for (program, kinds) in found {
        let new = kinds.iter().filter(|kind| baseline.says(program, kind, None) == Said::New).count() as u64;
        let gone = baseline.unneeded(program, kinds) as u64;
        all.push(Renewed { program: program.clone(), kinds: kinds.len() as u64, new, gone });
        baseline.renew(program, kinds);
    }
    let text = file::write(&baseline, &is_printable);
    if text.lines().count() > file::MAX_LINES || text.len() as u64 > MAX_SIZE {
        let problem = format!("{}: it would be too large to be read again", path.display());
        return Err(CliError::Usage(problem));
    }
    save(path, SHARED, |out| out.write_all(text.as_bytes()))?;
    Ok(all)
}

/// Locks a directory against other gates: a file that is replaced cannot be locked itself. The lock ends with the file.
fn lock(directory: &Path) -> Result<File> {
    let failed = |source| CliError::Io { what: format!("cannot lock {}", directory.display()), source };
    let file = File::open(directory).map_err(failed)?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => thread::sleep(NAP),
            Err(TryLockError::WouldBlock) => return Err(failed(ErrorKind::WouldBlock.into())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn kind(function: &str) -> Kind {
        Kind { function: function.to_owned(), creator: "main.go".to_owned(), reason: "select".to_owned() }
    }

    #[test]
    fn gates_that_write_at_the_same_time_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline");
        thread::scope(|scope| {
            for nth in 0..8 {
                let path = &path;
                scope.spawn(move || renew(path, &[(format!("p{nth}"), vec![kind("main.f")])]).unwrap());
            }
        });
        let baseline = read(&path).unwrap();
        assert_eq!(baseline.sections.len(), 8);
        let found = [("p3".to_owned(), vec![]), ("p8".to_owned(), vec![kind("main.f"), kind("main.g")])];
        let renewed: Vec<String> = renew(&path, &found).unwrap().iter().map(Renewed::to_string).collect();
        assert_eq!(renewed, ["0 kinds of p3: 0 new; 1 line went", "2 kinds of p8: 2 new; 0 lines went"]);
        // The first one, whichever gate that was, may stay for the comment at the beginning of the file.
        let kept = read(&path).unwrap().sections;
        assert_eq!(kept.iter().filter(|section| !section.lines.is_empty()).count(), 8);
        assert!(is_list(&path) && !is_list(directory.path()) && !is_list(Path::new("/dev/null")));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn mistakes_name_the_file_and_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline");
        assert!(read_if_there(&path).unwrap().is_none());
        let problem = |path: &Path| full_text(&read(path).unwrap_err());
        assert!(problem(&path).ends_with("baseline: it is not there"));
        fs::write(&path, "a | b | c\nd\n").unwrap();
        assert!(problem(&path).contains("baseline: line 2: use FUNCTION | CREATOR | REASON"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(problem(&path).ends_with("it is not text in UTF-8"));
        assert!(renew(&path, &[]).is_err() && !is_list(&path));
        assert_eq!(fs::read(&path).unwrap(), [0xff, 0xfe]);
    }
}
