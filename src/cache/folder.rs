//! The folder: whether it is to be trusted, and how large it becomes.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::unistd::geteuid;

use super::answers::MAX_FILE;
use crate::snapshot::file::{PRIVATE, replace};

/// Bytes of all files together.
const MAX_FOLDER: u64 = 256 << 20;
/// Files that are looked at.
const MAX_FILES: usize = 1 << 16;
/// How the names of the files end.
pub(super) const ENDING: &str = ".answers";
/// How the names begin that files have while they are written, and for how long that is at most.
const UNFINISHED: (&str, Duration) = (".loiter-", Duration::from_secs(3600));
/// Others may write it.
const WRITABLE: u32 = 0o022;

/// Whether nobody but this user and root can have written something.
fn is_trusted(found: &Metadata) -> bool {
    let owner = found.uid();
    (owner == 0 || owner == geteuid().as_raw()) && found.mode() & WRITABLE == 0
}

/// Whether a folder can be used: it is trusted, or does not exist yet.
pub(super) fn is_usable(folder: &Path) -> bool {
    match fs::metadata(folder) {
        Ok(found) => found.is_dir() && is_trusted(&found),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Reads a file, and notes that it was used.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = file.metadata().ok()?;
    let is_right = found.is_file() && is_trusted(&found) && found.len() <= MAX_FILE as u64;
    let mut bytes = Vec::with_capacity(is_right.then_some(found.len() as usize)?);
    (&file).take(MAX_FILE as u64).read_to_end(&mut bytes).ok()?;
    let _ = file.set_modified(SystemTime::now());
    Some(bytes)
}

/// Writes a file, whole or not at all, and removes those that were not used for longest.
///
/// # Errors
/// The folder is not to be trusted, or cannot be written.
pub(super) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if !is_usable(folder) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write it"));
    }
    replace(&folder.join(name), PRIVATE, |file: &mut File| file.write_all(bytes))?;
    trim(folder, MAX_FOLDER)
}

/// Removes the files that were not used for longest until the rest has no more than so many bytes.
fn trim(folder: &Path, max: u64) -> io::Result<()> {
    let now = SystemTime::now();
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_FILES) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Another loiter may have removed it.
        let Ok(found) = entry.metadata() else { continue };
        let Ok(used) = found.modified() else { continue };
        let is_left = name.starts_with(UNFINISHED.0)
            && now.duration_since(used).is_ok_and(|since| since > UNFINISHED.1);
        if is_left && found.is_file() {
            let _ = fs::remove_file(entry.path());
        } else if name.ends_with(ENDING) && found.is_file() {
            files.push((used, found.len(), entry.path()));
        }
    }
    files.sort_unstable();
    let mut size: u64 = files.iter().map(|(_, len, _)| len).sum();
    for (_, len, path) in files {
        if size <= max {
            break;
        }
        let _ = fs::remove_file(path);
        size -= len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn set_used(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn the_folder_is_private_and_bounded() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        for (nth, name) in ["1.answers", "2.answers", "3.answers", "other"].into_iter().enumerate() {
            write(&folder, name, &[0; 100]).unwrap();
            set_used(&folder.join(name), nth as u64);
        }
        fs::write(folder.join(".loiter-left"), "").unwrap();
        set_used(&folder.join(".loiter-left"), 1);
        fs::write(folder.join(".loiter-new"), "").unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.join("other")).unwrap().mode() & 0o777, 0o600);
        // Reading one makes it the last one that was used.
        assert_eq!(read(&folder.join("1.answers")).map(|bytes| bytes.len()), Some(100));
        trim(&folder, 200).unwrap();
        assert_eq!(names(&folder), [".loiter-new", "1.answers", "3.answers", "other"]);
        trim(&folder, 199).unwrap();
        assert_eq!(names(&folder), [".loiter-new", "1.answers", "other"]);
    }

    #[test]
    fn what_others_can_write_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        write(&folder, "1.answers", b"abc").unwrap();
        let file = folder.join("1.answers");
        let set_mode =
            |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(read(&file).is_some() && is_usable(&folder) && is_usable(&root.path().join("none")));
        for mode in [0o620, 0o602] {
            set_mode(&file, mode);
            assert!(read(&file).is_none());
        }
        set_mode(&file, 0o600);
        symlink("1.answers", folder.join("2.answers")).unwrap();
        assert!(read(&folder.join("2.answers")).is_none());
        assert!(read(&folder).is_none());
        assert!(!is_usable(&file));
        for mode in [0o720, 0o702] {
            set_mode(&folder, mode);
            assert!(!is_usable(&folder));
            assert!(write(&folder, "3.answers", b"").is_err());
        }
    }

    #[test]
    fn a_file_of_any_length_is_read_but_not_a_longer_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("1.answers");
        let file = File::create(&path).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        file.set_len(MAX_FILE as u64 + 1).unwrap();
        assert!(read(&path).is_none());
        file.set_len(0).unwrap();
        assert_eq!(read(&path), Some(Vec::new()));
    }
}
