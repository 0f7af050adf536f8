//! Files are written whole or not at all.
//!
//! A file has no name until it is finished (O_TMPFILE), so that no part of it stays, however loiter ends. If
//! the file system does not support that, it has a temporary name. An existing file is replaced by renaming,
//! so the finished file needs a temporary name for an instant. The program records both kinds of names in
//! `crate::ending`, and removes the files when a signal ends it.

use std::fs::{self, File, Metadata, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::linkat;

#[cfg(feature = "cli")]
use crate::ending::Unfinished;

/// Permissions of a file that only its owner can read.
pub const PRIVATE: u32 = 0o600;
/// Permissions of a file that everybody can read, within the umask.
pub const SHARED: u32 = 0o666;

/// The number of links followed to a file that does not exist yet.
const MAX_LINKS: u32 = 8;

/// Writes a file whole or not at all: half a file is never visible, and if it cannot be finished, nothing changes.
///
/// `permissions` are [`PRIVATE`] or [`SHARED`], minus the umask. A replaced file keeps its own permissions if
/// they are narrower. A symbolic link stays one: the file that it points to is written. A file that is not
/// regular (/dev/null, a pipe) is written to directly.
///
/// The data is not forced to the disk: a snapshot lost in a power failure can be taken again, and the reader
/// notices if it was cut short.
///
/// # Errors
/// The errors of `contents`, and those of the file.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    permissions: u32,
    contents: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let path = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::canonicalize(path)?,
        Ok(_) => return contents(&mut special(path, permissions)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => behind_links(path)?,
        // In directories where strangers can create links, the kernel does not follow them.
        Err(error) => return Err(error.into()),
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut draft = Draft::new(directory, permissions)?;
    contents(&mut draft.file)?;
    Ok(draft.publish(&path)?)
}

/// Opens a file that is not regular. It exists; with O_CREAT the kernel keeps loiter from pipes that
/// strangers put into /tmp.
fn special(path: &Path, permissions: u32) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).mode(permissions).open(path)
}

/// The name at the end of dangling links.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(to) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().map_or(to.clone(), |directory| directory.join(&to));
    }
    Err(Errno::ELOOP.into())
}

/// A file that is being written.
struct Draft<'a> {
    file: File,
    /// Its name, if it needs one.
    name: Option<Name>,
    directory: &'a Path,
    permissions: u32,
}

impl<'a> Draft<'a> {
    fn new(directory: &'a Path, permissions: u32) -> io::Result<Self> {
        let nameless = File::options()
            .read(true)
            .write(true)
            .mode(permissions)
            .custom_flags(libc::O_TMPFILE)
            .open(directory);
        if let Ok(file) = nameless {
            return Ok(Draft { file, name: None, directory, permissions });
        }
        let (name, file) = Name::create(directory, permissions)?;
        Ok(Draft { file, name: Some(name), directory, permissions })
    }

    /// Gives it its name.
    fn publish(mut self, path: &Path) -> io::Result<()> {
        let Some(name) = self.name.take() else { return self.publish_nameless(path) };
        narrow(&self.file, path)?;
        name.become_file(path)
    }

    fn publish_nameless(mut self, path: &Path) -> io::Result<()> {
        match link(&self.file, path) {
            Ok(()) => return Ok(()),
            Err(Errno::EEXIST) => {}
            Err(_) => return self.publish_copy(path),
        }
        narrow(&self.file, path)?;
        let name = Name::new(self.directory);
        match link(&self.file, &name.path) {
            Ok(()) => name.become_file(path),
            Err(_) => self.publish_copy(path),
        }
    }

    /// Used if a file without a name cannot be given one.
    fn publish_copy(&mut self, path: &Path) -> io::Result<()> {
        let (name, mut copy) = Name::create(self.directory, self.permissions)?;
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.file, &mut copy)?;
        narrow(&copy, path)?;
        name.become_file(path)
    }
}

/// Removes permissions that the existing file of that name does not have.
fn narrow(file: &File, path: &Path) -> io::Result<()> {
    let mode = |metadata: Metadata| metadata.permissions().mode() & 0o777;
    let Ok(old) = fs::symlink_metadata(path) else { return Ok(()) };
    if !old.is_file() {
        return Ok(());
    }
    let (old, new) = (mode(old), mode(file.metadata()?));
    if new & old == new { Ok(()) } else { file.set_permissions(Permissions::from_mode(new & old)) }
}

fn link(file: &File, path: &Path) -> Result<(), Errno> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(AT_FDCWD, open.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)
}

/// The name of a file until it is finished. Dropping this removes the file.
struct Name {
    path: PathBuf,
    #[cfg(feature = "cli")]
    _note: Unfinished,
}

impl Name {
    /// A name that is not in use.
    fn new(directory: &Path) -> Self {
        let random = RandomState::new().hash_one(std::process::id());
        let path = directory.join(format!(".loiter-{random:016x}"));
        Name {
            #[cfg(feature = "cli")]
            _note: Unfinished::file(path.clone()),
            path,
        }
    }

    fn create(directory: &Path, permissions: u32) -> io::Result<(Self, File)> {
        let name = Self::new(directory);
        let file =
            File::options().read(true).write(true).create_new(true).mode(permissions).open(&name.path)?;
        Ok((name, file))
    }

    fn become_file(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // After renaming there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, permissions: u32, text: &str) -> io::Result<()> {
        replace(path, permissions, |file| file.write_all(text.as_bytes()))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn what_is_replaced_keeps_what_it_does_not_allow() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for (old, permissions, new) in
            [(0o600, SHARED, 0o600), (0o644, PRIVATE, 0o600), (0o640, SHARED, 0o640), (0o400, PRIVATE, 0o400)]
        {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(old)).unwrap();
            write(&path, permissions, "new").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
            assert_eq!(mode(&path), new, "{old:o} {permissions:o}");
            fs::remove_file(&path).unwrap();
        }
        write(&path, PRIVATE, "new").unwrap();
        assert_eq!((mode(&path), names(directory.path())), (0o600, 1));
    }

    #[test]
    fn what_cannot_be_finished_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let fail = |file: &mut File| file.write_all(b"half").and(Err(io::Error::other("no more")));
        assert!(replace(&path, PRIVATE, fail).is_err());
        assert_eq!(names(directory.path()), 0);
        fs::write(&path, "old").unwrap();
        assert!(replace(&path, PRIVATE, fail).is_err());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(directory.path())), ("old", 1));
    }

    #[test]
    fn links_stay_and_lead_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| directory.path().join(name));
        symlink("b", &a).unwrap();
        symlink(&c, &b).unwrap();
        for text in ["new", "newer"] {
            write(&a, PRIVATE, text).unwrap();
            assert_eq!(fs::read_to_string(&c).unwrap(), text);
            assert!(fs::symlink_metadata(&a).unwrap().is_symlink());
            assert_eq!(names(directory.path()), 3);
        }
        fs::remove_file(&c).unwrap();
        symlink("a", &c).unwrap();
        assert!(write(&a, PRIVATE, "round and round").is_err());
    }

    #[test]
    fn a_draft_with_a_name_becomes_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for old in [None, Some("old")] {
            let (name, mut file) = Name::create(directory.path(), PRIVATE).unwrap();
            file.write_all(b"new").unwrap();
            assert_eq!(names(directory.path()), 1 + usize::from(old.is_some()));
            let draft = Draft { file, name: Some(name), directory: directory.path(), permissions: PRIVATE };
            draft.publish(&path).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(directory.path())), ("new", 1));
            let mut draft = Draft::new(directory.path(), PRIVATE).unwrap();
            draft.file.write_all(b"copied").unwrap();
            draft.publish_copy(&path).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(directory.path())), ("copied", 1));
            drop(Name::create(directory.path(), PRIVATE).unwrap());
            assert_eq!(names(directory.path()), 1);
        }
    }
}
