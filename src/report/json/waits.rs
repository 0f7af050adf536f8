//! What tasks wait for and what they hold.

use serde::Serialize;

use super::{CreatorOut, hex};
use crate::analysis::locks::{HeldLocks, HoldSummary, Holder};
use crate::analysis::waits::{Descriptors, TimedBy, Times, WaitSummary};
use crate::snapshot::*;

#[derive(Serialize)]
pub(super) struct WaitSummaryOut<'a> {
    op: &'static str,
    kind: &'static str,
    element: Option<&'a str>,
    alternative: bool,
    waits: u64,
    objects: u64,
    address: Option<String>,
    waiters: Option<u64>,
    cap: Option<[u64; 2]>,
    len: Option<[u64; 2]>,
    closed: Option<u64>,
    without_peer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    senders_alive: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<(u64, u64)>,
    descriptors: Option<DescriptorsOut>,
    times: Option<TimesOut>,
    lock: Option<LockOut>,
    outstanding: Option<(u32, u32)>,
    own: u64,
    writers: u64,
    unheld: u64,
    held: Vec<HeldOut>,
    holders_total: u64,
    holders: Vec<HolderOut<'a>>,
}

/// What several descriptors have in common.
#[derive(Serialize)]
struct DescriptorsOut {
    known: u64,
    kind: &'static str,
    deadlines: u64,
    next_deadline_monotonic_ns: Option<u64>,
    idle_ns: Option<(u64, u64)>,
    closed: u64,
}

/// When time ends waits.
#[derive(Serialize)]
struct TimesOut {
    by: &'static str,
    known: u64,
    monotonic_ns: Option<(u64, u64)>,
    stopped: u64,
}

impl From<Descriptors> for DescriptorsOut {
    fn from(all: Descriptors) -> Self {
        DescriptorsOut {
            known: all.known,
            kind: all.kind.name(),
            deadlines: all.deadlines,
            next_deadline_monotonic_ns: all.next_deadline,
            idle_ns: all.idle_ns,
            closed: all.closed,
        }
    }
}

impl From<Times> for TimesOut {
    fn from(times: Times) -> Self {
        let by = match times.by {
            TimedBy::Sleep => "sleep",
            TimedBy::Timer => "timer",
            TimedBy::Context => "context",
        };
        TimesOut { by, known: times.known, monotonic_ns: times.span, stopped: times.stopped }
    }
}

/// How many of the locks are held in one way, and by how many tasks.
#[derive(Serialize)]
struct HeldOut {
    how: &'static str,
    objects: u64,
    holders: u64,
    or_more: bool,
}

#[derive(Serialize)]
struct HolderOut<'a> {
    id: Option<u64>,
    address: Option<String>,
    how: &'static str,
    at: Option<CreatorOut<'a>>,
}

#[derive(Serialize)]
pub(super) struct HoldSummaryOut<'a> {
    how: &'static str,
    kind: &'static str,
    tasks: u64,
    objects: u64,
    address: Option<String>,
    waiters: u64,
    at: Option<CreatorOut<'a>>,
}

#[derive(Serialize)]
pub(super) struct WaitOut<'a> {
    op: &'static str,
    kind: &'static str,
    address: String,
    /// For a task: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<u64>,
    channel: Option<ChannelOut<'a>>,
    /// Handles that can send on a channel, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    senders_alive: Option<u64>,
    /// Elements in a channel without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<u64>,
    lock: Option<LockOut>,
}

#[derive(Serialize)]
pub(super) struct HoldOut<'a> {
    kind: &'static str,
    address: String,
    how: &'static str,
    at: Option<CreatorOut<'a>>,
}

#[derive(Serialize)]
struct LockOut {
    state: &'static str,
    count: Option<u32>,
}

#[derive(Serialize)]
struct ChannelOut<'a> {
    element: Option<&'a str>,
    len: u64,
    cap: u64,
    closed: bool,
    senders: u32,
    receivers: u32,
    more: bool,
}

impl<'a> WaitSummaryOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, wait: &WaitSummary) -> Self {
        let only = wait.only.and_then(|id| snapshot.objects.get(id.index()));
        let locks = wait.locks.as_ref();
        let held = || locks.into_iter().flat_map(|locks| &locks.held);
        let holder = |holder: &Holder| HolderOut::new(snapshot, holder);
        WaitSummaryOut {
            op: wait.op.name(),
            kind: wait.kind.name(),
            element: wait.element.map(|id| snapshot.str(id)),
            alternative: wait.alternative,
            waits: wait.waits,
            objects: wait.objects,
            address: only.map(|object| hex(object.address)),
            waiters: wait.only.map(|_| wait.waiters),
            cap: wait.channels.map(|c| c.cap.into()),
            len: wait.channels.map(|c| c.len.into()),
            closed: wait.channels.map(|c| c.closed),
            without_peer: wait.channels.map(|c| c.without_peer),
            senders_alive: wait.senders.map(|senders| senders.alive),
            queued: wait.senders.and_then(|senders| senders.queued),
            descriptors: wait.descriptors.map(DescriptorsOut::from),
            times: wait.times.map(TimesOut::from),
            lock: locks.and_then(|locks| locks.state).map(LockOut::from),
            outstanding: locks.and_then(|locks| locks.outstanding),
            own: locks.map_or(0, |locks| locks.own),
            writers: locks.map_or(0, |locks| locks.writers),
            unheld: locks.map_or(0, |locks| locks.unheld),
            held: held().map(HeldOut::from).collect(),
            holders_total: held().map(|held| held.total).sum(),
            holders: held().flat_map(|held| &held.holders).filter_map(holder).collect(),
        }
    }
}

impl<'a> HoldOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, hold: Hold) -> Option<Self> {
        let object = snapshot.objects.get(hold.object.index())?;
        Some(HoldOut {
            kind: object.kind.name(),
            address: hex(object.address),
            how: hold.how.name(),
            at: hold.location.map(|id| CreatorOut::unlocks(snapshot, id)),
        })
    }
}

impl From<LockState> for LockOut {
    fn from(state: LockState) -> Self {
        let (state, count) = match state {
            LockState::Free => ("free", None),
            LockState::Exclusive => ("exclusive", None),
            LockState::Shared(count) => ("shared", Some(count)),
            LockState::Outstanding(count) => ("outstanding", Some(count)),
        };
        LockOut { state, count }
    }
}

impl<'a> WaitOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, wait: Wait) -> Option<Self> {
        let object = snapshot.objects.get(wait.object.index())?;
        let channel = object.channel.map(|channel| ChannelOut {
            element: channel.element.map(|id| snapshot.str(id)),
            len: channel.len,
            cap: channel.cap,
            closed: channel.closed,
            senders: channel.senders,
            receivers: channel.receivers,
            more: channel.more,
        });
        let handles = snapshot.handles_of(wait.object);
        let lock = object.lock.map(LockOut::from);
        let joined = || snapshot.joined_task(wait.object).filter(|_| object.kind == ObjectKind::Task);
        Some(WaitOut {
            op: wait.op.name(),
            kind: object.kind.name(),
            address: hex(object.address),
            task: joined().and_then(|row| snapshot.tasks.get(row as usize)?.id),
            channel,
            senders_alive: handles.map(|handles| handles.senders),
            queued: handles.and_then(|handles| handles.queued),
            lock,
        })
    }
}

impl From<&HeldLocks> for HeldOut {
    fn from(held: &HeldLocks) -> Self {
        HeldOut { how: held.how.name(), objects: held.objects, holders: held.total, or_more: held.more }
    }
}

impl<'a> HolderOut<'a> {
    fn new(snapshot: &'a Snapshot, holder: &Holder) -> Option<Self> {
        let task = snapshot.tasks.get(holder.task as usize)?;
        Some(HolderOut {
            id: task.id,
            address: task.known_address().map(hex),
            how: holder.how.name(),
            at: holder.location.map(|id| CreatorOut::unlocks(snapshot, id)),
        })
    }
}

impl<'a> HoldSummaryOut<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, hold: &HoldSummary) -> Self {
        let only = hold.only.and_then(|id| snapshot.objects.get(id.index()));
        HoldSummaryOut {
            how: hold.how.name(),
            kind: hold.kind.name(),
            tasks: hold.tasks,
            objects: hold.objects,
            address: only.map(|object| hex(object.address)),
            waiters: hold.waiters,
            at: hold.location.map(|id| CreatorOut::unlocks(snapshot, id)),
        }
    }
}
