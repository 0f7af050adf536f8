//! Timers that tasks wait for.

use crate::snapshot::ids::ObjectId;

/// A timer that is a wait object, or that sends on one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The timer's wait object, or its channel's.
    pub object: ObjectId,
    /// What it is for.
    pub kind: TimerKind,
    /// When it fires.
    pub state: TimerState,
    /// Nanoseconds between two times that it fires. 0 if it fires once.
    pub period_ns: u64,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimerKind {
    /// It wakes a sleeping task.
    Sleep,
    /// It sends on a channel.
    Channel,
}

/// When a timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum TimerState {
    /// Not known.
    #[default]
    Unknown,
    /// There is none, or it is stopped: it never fires by itself.
    Stopped,
    /// At this time on the target machine's CLOCK_MONOTONIC, nanoseconds, as
    /// [`Header::monotonic_ns`](crate::snapshot::Header::monotonic_ns).
    At(u64),
    /// At a time of a clock that the program itself controls.
    Fake,
}
