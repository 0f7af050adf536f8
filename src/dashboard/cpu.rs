//! CPU sampling, as the dashboard knows it.

use std::sync::Arc;

use crate::session::ProgramId;
use crate::session::record::CpuTimes;

/// How sampling goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sampling {
    /// It was not asked for.
    #[default]
    Off,
    /// It is not possible.
    Failed {
        /// Why, in one line.
        why: String,
        /// The reason and what helps, a line each.
        remedy: Vec<String>,
    },
    /// It has begun, and nothing is known yet.
    Starting,
    /// It goes on.
    On,
    /// The program has ended or was replaced. Sampling goes on with the next one that is read.
    Waiting,
}

/// What is known of CPU sampling.
#[derive(Debug, Clone, Default)]
pub struct Cpu {
    /// How it goes.
    pub sampling: Sampling,
    /// The number of the last sampler. What others say is out of date.
    pub turn: u32,
    /// The program that it samples.
    pub of: Option<ProgramId>,
    /// What it said last.
    pub latest: Option<Arc<CpuTimes>>,
    /// What is shown: the same, unless the picture is frozen.
    pub shown: Option<Arc<CpuTimes>>,
}

impl Cpu {
    /// It was asked for, and may give something.
    pub fn is_on(&self) -> bool {
        matches!(self.sampling, Sampling::Starting | Sampling::On | Sampling::Waiting)
    }
}
