//! What descriptors that tasks wait for have in common, and when time ends waits.

use rustc_hash::FxHashMap;

use crate::analysis::contexts::{Above, above};
use crate::snapshot::{
    Deadline, DescriptorKind, ObjectId, Snapshot, SocketState, TimerKind, TimerState, WaitOp,
};

/// What several descriptors have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// How many are known more closely. The rest counts these.
    pub known: u64,
    /// What they are. [`DescriptorKind::Unknown`] if they differ.
    pub kind: DescriptorKind,
    /// How many of the waits end at a deadline.
    pub deadlines: u64,
    /// The next one, nanoseconds on CLOCK_MONOTONIC.
    pub next_deadline: Option<u64>,
    /// The shortest and the longest time in which nothing was received, nanoseconds.
    pub idle_ns: Option<(u64, u64)>,
    /// How many connections the other end has closed.
    pub closed: u64,
}

/// When time ends some waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// What ends them.
    pub by: TimedBy,
    /// How many of the objects have a known time.
    pub known: u64,
    /// The first and the last of the times, nanoseconds on CLOCK_MONOTONIC.
    pub span: Option<(u64, u64)>,
    /// How many timers are stopped.
    pub stopped: u64,
}

/// What ends waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimedBy {
    /// A timer that wakes a sleeping task.
    Sleep,
    /// A timer that sends on a channel.
    Timer,
    /// The deadline of a context.
    Context,
}

impl Descriptors {
    /// Of these objects. None if nothing is known of any.
    pub(super) fn of(snapshot: &Snapshot, objects: &[ObjectId], op: WaitOp) -> Option<Self> {
        let all = objects.iter().filter_map(|id| {
            let descriptor = snapshot.descriptor_of(snapshot.objects.get(id.index())?)?;
            let deadline = match op {
                WaitOp::Write | WaitOp::Connect => descriptor.write_deadline,
                _ => descriptor.read_deadline,
            };
            let socket = descriptor.socket.as_ref();
            Some(Descriptors {
                known: 1,
                kind: descriptor.kind,
                deadlines: u64::from(matches!(deadline, Deadline::At(_) | Deadline::Expired)),
                next_deadline: if let Deadline::At(at) = deadline { Some(at) } else { None },
                idle_ns: socket.and_then(|socket| socket.idle_receive_ns).map(|ns| (ns, ns)),
                closed: u64::from(socket.is_some_and(|socket| socket.state == SocketState::CloseWait)),
            })
        });
        all.reduce(Descriptors::and)
    }

    fn and(self, other: Self) -> Self {
        Descriptors {
            known: self.known + other.known,
            kind: if self.kind == other.kind { self.kind } else { DescriptorKind::Unknown },
            deadlines: self.deadlines + other.deadlines,
            next_deadline: self.next_deadline.into_iter().chain(other.next_deadline).min(),
            idle_ns: wider(self.idle_ns, other.idle_ns),
            closed: self.closed + other.closed,
        }
    }
}

impl Times {
    /// Of these objects. `contexts`: rows of contexts by their channels. None if there is neither a timer nor a
    /// context.
    pub(super) fn of(
        snapshot: &Snapshot,
        objects: &[ObjectId],
        contexts: &FxHashMap<ObjectId, u32>,
    ) -> Option<Self> {
        if snapshot.links.timers.is_empty() && contexts.is_empty() {
            return None;
        }
        let all = objects.iter().filter_map(|id| {
            let context = contexts.get(id).and_then(|&row| snapshot.links.contexts.get(row as usize));
            let (by, state) = match (snapshot.timer_of(*id), context) {
                (Some(timer), _) if timer.kind == TimerKind::Sleep => (TimedBy::Sleep, timer.state),
                (Some(timer), _) => (TimedBy::Timer, timer.state),
                (None, Some(context)) => {
                    let Above { deadline, .. } = above(snapshot, context);
                    (TimedBy::Context, deadline.map_or(TimerState::Unknown, TimerState::At))
                }
                (None, None) => return None,
            };
            let at = if let TimerState::At(at) = state { Some(at) } else { None };
            Some(Times {
                by,
                known: u64::from(at.is_some()),
                span: at.map(|at| (at, at)),
                stopped: u64::from(state == TimerState::Stopped),
            })
        });
        all.reduce(Times::and)
    }

    fn and(self, other: Self) -> Self {
        Times {
            // Of timers and contexts together, only the timers are named.
            by: if self.by == TimedBy::Context { other.by } else { self.by },
            known: self.known + other.known,
            span: wider(self.span, other.span),
            stopped: self.stopped + other.stopped,
        }
    }
}

/// The span of both.
fn wider(a: Option<(u64, u64)>, b: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (known, None) | (None, known) => known,
    }
}
