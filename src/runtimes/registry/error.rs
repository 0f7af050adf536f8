//! What can go wrong with a registry.

use crate::process::TargetError;

/// Why a registry cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The target cannot be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A format that this loiter does not know.
    #[error("its format is {major}.{minor}; this loiter reads {known}.x")]
    Version {
        /// Changes with every change that older readers cannot ignore.
        major: u16,
        /// Changes with every other change.
        minor: u16,
        /// The major version that this loiter reads.
        known: u16,
    },
    /// The registry's data contradict the format.
    #[error("{0}")]
    Malformed(String),
}

impl RegistryError {
    /// The library's error, naming the registry.
    pub(super) fn of(self, registry: &str) -> crate::Error {
        match self {
            RegistryError::Target(error) if !error.is_absent() => error.into(),
            other => crate::Error::Runtime { runtime: registry.to_owned(), source: other.into() },
        }
    }
}
