//! Which folder is that of a user.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

/// The folder of this user: `loiter` in `$XDG_CACHE_HOME` or in `~/.cache`. With the rights of another user, such as root's
/// by sudo, it is that user's: never in a folder of somebody else.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = |home: PathBuf| home.join(".cache");
    let named = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(of_home));
    let own = || Some(of_home(User::from_uid(geteuid()).ok()??.dir));
    let folder = |cache: PathBuf| Some(cache.join("loiter")).filter(|path| is_own(path));
    named.and_then(folder).or_else(|| own().and_then(folder))
}

/// Whether a folder is this user's or, if there is none, the one that it would be made in.
fn is_own(path: &Path) -> bool {
    let found = path.ancestors().find_map(|path| fs::metadata(path).ok());
    found.is_some_and(|found| found.uid() == geteuid().as_raw())
}
