//! The option that leaves the cache folder alone.

use std::path::PathBuf;

use clap::Args;

use crate::cache;

/// Whether what is known from earlier readings is used.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CacheArgs {
    /// Read all debug information anew, and keep nothing of it for the next time
    ///
    /// What was found out of the debug information of a Rust program is kept by build id in $XDG_CACHE_HOME/loiter, or
    /// in ~/.cache/loiter, so that the next reading of the same build need not read it again. The folder is private and
    /// has no more than 256 MiB. It may be removed at any time.
    #[arg(long)]
    no_cache: bool,
}

impl CacheArgs {
    /// The cache folder, if it is used.
    pub(in crate::cli) fn folder(&self) -> Option<PathBuf> {
        if self.no_cache { None } else { cache::default_folder() }
    }
}
