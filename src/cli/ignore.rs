//! The ignore file.
//!
//! Without an option, it is read from the current directory. That may belong to another user, who wants to hide
//! tasks. So the file must belong to the user or to root; otherwise it is skipped, with a message.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::{CliError, Result};
use super::output::tell;
use crate::analysis::leaks::{self, IgnoreFile};
use crate::full_text;

/// The file that is read if there is one.
const IGNORE_FILE: &str = ".loiterignore";
/// Larger files are not lists of patterns, bytes: 1 MiB.
const MAX_SIZE: u64 = 1 << 20;

/// Reads the file that the user named, or else the default one if it exists.
pub(in crate::cli) fn read(named: Option<&Path>) -> Result<Option<IgnoreFile>> {
    // As elsewhere, it means no file.
    if named == Some(Path::new("/dev/null")) {
        return Ok(None);
    }
    let path = named.unwrap_or(Path::new(IGNORE_FILE));
    let text = match contents(path, named.is_none()) {
        Ok(text) => text,
        Err(Refused::Missing) if named.is_none() => return Ok(None),
        Err(refused) if named.is_none() => {
            tell(&format!("{IGNORE_FILE} is left out: {}", refused.why()));
            return Ok(None);
        }
        Err(Refused::Io(source)) => return Err(CliError::Io { what: path.display().to_string(), source }),
        Err(refused) => return Err(CliError::Usage(format!("{}: {}", path.display(), refused.why()))),
    };
    let wrong = |why| CliError::Usage(format!("{}: {why}", path.display()));
    let text = String::from_utf8(text).map_err(|_| wrong("it is not text in UTF-8".to_owned()))?;
    let patterns = leaks::parse_file(&text).map_err(|error| wrong(full_text(&error)))?;
    Ok(Some(IgnoreFile { path: path.display().to_string(), patterns }))
}

/// Why a file is not read.
pub(in crate::cli) enum Refused {
    Missing,
    NoFile,
    TooLarge,
    /// It belongs to this user.
    Stranger(u32),
    /// Other users may write to it.
    Open,
    Io(io::Error),
}

impl Refused {
    pub(in crate::cli) fn why(&self) -> String {
        match self {
            Refused::Missing => "it is not there".to_owned(),
            Refused::NoFile => "it is no regular file".to_owned(),
            Refused::TooLarge => format!("it is larger than {} MiB", MAX_SIZE >> 20),
            Refused::Stranger(uid) => format!(
                "it belongs to user {uid}, who may not want everything to be found (--ignore-file {IGNORE_FILE} takes \
                 it all the same)"
            ),
            Refused::Open => format!(
                "everybody may write to it (chmod o-w {IGNORE_FILE}, or --ignore-file {IGNORE_FILE} to take it all \
                 the same)"
            ),
            Refused::Io(error) => error.to_string(),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Refused::Missing,
            _ => Refused::Io(error),
        }
    }
}

/// Its contents. `trusted_only`: only if it belongs to the user or to root, and so does a link to it.
pub(in crate::cli) fn contents(path: &Path, trusted_only: bool) -> Result<Vec<u8>, Refused> {
    if trusted_only {
        let link = fs::symlink_metadata(path)?;
        if link.is_symlink() {
            belongs(&link)?;
        }
    }
    // A pipe of that name must not make loiter wait, nor a terminal become its controlling one.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(|error| {
        // A dangling link is not a missing file: it was intended.
        if fs::symlink_metadata(path).is_ok() { Refused::Io(error) } else { error.into() }
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Refused::NoFile);
    }
    if trusted_only {
        belongs(&metadata)?;
        if metadata.mode() & 0o002 != 0 {
            return Err(Refused::Open);
        }
    }
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_SIZE { Err(Refused::TooLarge) } else { Ok(text) }
}

/// Whether it belongs to the user or to root.
fn belongs(metadata: &Metadata) -> Result<(), Refused> {
    let own = nix::unistd::geteuid().as_raw();
    // With sudo, the user is the one who called it.
    let sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).filter(|_| own == 0);
    if [Some(0), Some(own), sudo].contains(&Some(metadata.uid())) {
        Ok(())
    } else {
        Err(Refused::Stranger(metadata.uid()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn why(path: &Path, trusted_only: bool) -> String {
        contents(path, trusted_only)
            .map_or_else(|refused| refused.why(), |text| format!("{} bytes", text.len()))
    }

    #[test]
    fn only_small_regular_files_of_the_user_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(IGNORE_FILE);
        assert_eq!(why(&path, true), "it is not there");
        fs::write(&path, "main.f").unwrap();
        assert_eq!(why(&path, true), "6 bytes");
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert_eq!(why(&link, true), "6 bytes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(why(&path, true).contains("everybody may write"));
        assert_eq!(why(&path, false), "6 bytes");
        fs::write(&path, vec![b'#'; (MAX_SIZE + 1) as usize]).unwrap();
        assert_eq!(why(&path, false), "it is larger than 1 MiB");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for (to, expected) in [
            (Path::new("/dev/zero"), "no regular file"),
            (&pipe, "no regular file"),
            (directory.path(), "no regular file"),
            (Path::new("/nonexistent"), "No such file"),
        ] {
            fs::remove_file(&link).unwrap();
            symlink(to, &link).unwrap();
            for trusted_only in [true, false] {
                assert!(why(&link, trusted_only).contains(expected), "{to:?}: {}", why(&link, trusted_only));
            }
        }
    }
}
