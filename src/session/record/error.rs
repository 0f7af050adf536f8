//! Why a recording could not be made.

use crate::cause::ErrorKind;
use crate::sampler::SamplerError;

/// Why a recording could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The process cannot be read.
    #[error(transparent)]
    Target(#[from] crate::Error),
    /// The process cannot be sampled.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// Samples stand for less than a hundredth of the CPU time that the process used.
    #[error("the samples stand for {sampled_ms} ms of the {used_ms} ms of CPU time that the process used")]
    NothingCovered {
        /// CPU time that samples stand for, milliseconds.
        sampled_ms: u64,
        /// CPU time that the process used, milliseconds.
        used_ms: u64,
    },
    /// There was no sample: the process did nothing, or the recording ended too early.
    #[error("there was nothing to record: no thread ran for as long as the time between two samples")]
    Empty,
}

impl RecordError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RecordError::Target(error) => error.kind(),
            RecordError::Sampler(error) => error.kind(),
            RecordError::NothingCovered { .. } => ErrorKind::NotReadable,
            RecordError::Empty => ErrorKind::NotReadable,
        }
    }
}
