//! What a waiting goroutine waits for, from its own struct: `g.waiting` is a list of sudogs, one for each
//! channel of a select. From Go 1.26 on it also lists semaphores and condition variables. Source:
//! `src/runtime/chan.go`, `select.go`, `sema.go`.

use super::buffers::Buffers;
use super::goroutine::{Goroutine, Raw, status};
use super::offsets::Offsets;
use crate::process::bytes::word;
use crate::process::{Memory, TargetError};
use crate::snapshot::WaitOp;

/// A select has at most this many cases (`selectgo`).
const MAX_CASES: usize = 1 << 16;
/// Waits kept for one chunk of goroutines.
const MAX_WAITS: usize = 1 << 20;
/// Sudogs of one channel queue that are walked to find out which queue it is.
const MAX_QUEUE_WALK: usize = 256;

/// One thing that a goroutine waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum RawWait {
    Channel {
        op: WaitOp,
        address: u64,
        /// None if the memory there makes no sense as a channel.
        detail: Option<RawChannel>,
    },
    /// A semaphore or a condition variable: the wait reason and the stack say which.
    Address(u64),
}

impl RawWait {
    /// A channel that cannot change while a goroutine waits for it: a receiver waits only while the channel is open and
    /// empty, a sender while it is open and full. An operation on it that changes that wakes the goroutine first, or,
    /// when it is closed, as the next thing.
    pub(super) fn stays(&self) -> bool {
        match self {
            RawWait::Channel { op, detail: Some(channel), .. } => match op {
                WaitOp::Receive => !channel.closed && channel.len == 0,
                WaitOp::Send => !channel.closed && channel.len == channel.cap,
                _ => false,
            },
            RawWait::Channel { detail: None, .. } => false,
            RawWait::Address(_) => true,
        }
    }
}

/// Reads channels again: their numbers and addresses. Returns what is in them now.
pub(super) fn channels_again(
    memory: &dyn Memory,
    offsets: &Offsets,
    buffers: &mut Buffers,
    wanted: &[(u32, u64)],
) -> Result<Vec<(u32, Option<RawChannel>)>, TargetError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let channels = read_channels(memory, offsets, buffers, wanted.iter().map(|(_, address)| *address))?;
    let now = |&(number, address): &(u32, u64)| {
        let at = channels.binary_search_by_key(&address, |(address, _)| *address);
        (number, at.ok().and_then(|at| channels[at].1).map(|(channel, _)| channel))
    };
    Ok(wanted.iter().map(now).collect())
}

/// A channel at the moment of reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawChannel {
    pub(super) len: u64,
    pub(super) cap: u64,
    pub(super) closed: bool,
    pub(super) element_type: u64,
}

/// The first receiver and the first sender that wait for a channel; 0 for none.
#[derive(Debug, Clone, Copy)]
struct Queues {
    receivers: u64,
    senders: u64,
}

/// A channel with its queues.
type QueuedChannel = (RawChannel, Queues);

impl RawChannel {
    fn parse(bytes: &[u8], o: &Offsets) -> Option<QueuedChannel> {
        let half = |at: usize| word(bytes, at) as u32;
        let channel = RawChannel {
            len: word(bytes, o.hchan_qcount),
            cap: word(bytes, o.hchan_dataqsiz),
            closed: half(o.hchan_closed) != 0,
            element_type: word(bytes, o.hchan_elemtype),
        };
        let queues = Queues { receivers: word(bytes, o.hchan_recvq), senders: word(bytes, o.hchan_sendq) };
        let plausible = channel.len <= channel.cap && channel.cap < 1 << 48 && half(o.hchan_closed) <= 1;
        plausible.then_some((channel, queues))
    }
}

/// A sudog of a goroutine.
#[derive(Debug, Clone, Copy)]
struct Sudog {
    /// Index of the goroutine in its batch.
    owner: usize,
    address: u64,
    channel: u64,
    elem: u64,
    waitlink: u64,
}

/// Reads what these goroutines wait for and adds it to `into`.
pub(super) fn read(
    memory: &dyn Memory,
    offsets: &Offsets,
    buffers: &mut Buffers,
    goroutines: &mut [Goroutine],
    into: &mut Vec<RawWait>,
) -> Result<(), TargetError> {
    let mut sudogs = read_sudogs(memory, offsets, buffers, goroutines)?;
    if sudogs.is_empty() {
        return Ok(());
    }
    // Rounds appended one sudog of each goroutine after the other; a stable sort keeps their order.
    sudogs.sort_by_key(|s| s.owner);
    let channels = read_channels(memory, offsets, buffers, sudogs.iter().map(|s| s.channel))?;
    for sudog in sudogs {
        let wait = match channels.binary_search_by_key(&sudog.channel, |(address, _)| *address) {
            _ if sudog.channel == 0 => RawWait::Address(sudog.elem),
            Ok(at) => {
                let detail = channels[at].1;
                let op =
                    detail.map_or(WaitOp::Wait, |(_, queues)| operation(memory, offsets, &sudog, queues));
                RawWait::Channel { op, address: sudog.channel, detail: detail.map(|(channel, _)| channel) }
            }
            Err(_) => RawWait::Channel { op: WaitOp::Wait, address: sudog.channel, detail: None },
        };
        let waits = &mut goroutines[sudog.owner].waits;
        if waits.is_empty() {
            waits.start = into.len() as u32;
        }
        waits.len += 1;
        into.push(wait);
    }
    Ok(())
}

fn read_sudogs(
    memory: &dyn Memory,
    offsets: &Offsets,
    buffers: &mut Buffers,
    goroutines: &[Goroutine],
) -> Result<Vec<Sudog>, TargetError> {
    let waiting = |raw: &Raw| raw.waiting != 0 && matches!(raw.status, status::WAITING | status::LEAKED);
    let mut found: Vec<Sudog> = Vec::new();
    let mut next: Vec<(u64, usize)> = goroutines
        .iter()
        .enumerate()
        .filter(|(_, g)| waiting(&g.raw))
        .map(|(i, g)| (g.raw.waiting, i))
        .collect();
    for _ in 0..MAX_CASES {
        if next.is_empty() || found.len() + next.len() > MAX_WAITS {
            break;
        }
        next.sort_unstable();
        let addresses: Vec<u64> = next.iter().map(|(address, _)| *address).collect();
        let begin = found.len();
        buffers.read_structs(memory, &addresses, offsets.sudog_size, |i, bytes| {
            let owner = next[i].1;
            // A sudog that was freed and reused belongs to another goroutine.
            if word(bytes, offsets.sudog_g) == goroutines[owner].raw.address {
                found.push(Sudog {
                    owner,
                    address: addresses[i],
                    channel: word(bytes, offsets.sudog_c),
                    elem: word(bytes, offsets.sudog_elem),
                    waitlink: word(bytes, offsets.sudog_waitlink),
                });
            }
        })?;
        // Only a select links several; a semaphore's waitlink is the queue of its other waiters.
        let more = |s: &&Sudog| s.channel != 0 && s.waitlink != 0 && s.waitlink != s.address;
        next = found[begin..].iter().filter(more).map(|s| (s.waitlink, s.owner)).collect();
    }
    Ok(found)
}

/// These channels, in ascending order.
fn read_channels(
    memory: &dyn Memory,
    offsets: &Offsets,
    buffers: &mut Buffers,
    addresses: impl Iterator<Item = u64>,
) -> Result<Vec<(u64, Option<QueuedChannel>)>, TargetError> {
    let mut addresses: Vec<u64> = addresses.filter(|channel| *channel != 0).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut channels: Vec<_> = addresses.iter().map(|address| (*address, None)).collect();
    buffers.read_structs(memory, &addresses, offsets.hchan_size, |i, bytes| {
        channels[i].1 = RawChannel::parse(bytes, offsets);
    })?;
    Ok(channels)
}

/// Does the goroutine send or receive? That depends on the queue that its sudog is in. Both queues
/// of one channel have waiters only where a select both sends and receives on it.
fn operation(memory: &dyn Memory, offsets: &Offsets, sudog: &Sudog, queues: Queues) -> WaitOp {
    match (queues.receivers, queues.senders) {
        (_, 0) => WaitOp::Receive,
        (0, _) => WaitOp::Send,
        (receivers, senders) => {
            let mut at = sudog.address;
            for _ in 0..MAX_QUEUE_WALK {
                if at == receivers {
                    return WaitOp::Receive;
                }
                if at == senders {
                    return WaitOp::Send;
                }
                match memory.read_u64(at.wrapping_add(offsets.sudog_prev as u64)) {
                    Ok(previous) if previous != 0 => at = previous,
                    _ => break,
                }
            }
            WaitOp::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stays_as_long_as_a_goroutine_has_to_wait_for_it() {
        let wait = |op, len, cap, closed| {
            let detail = Some(RawChannel { len, cap, closed, element_type: 0 });
            RawWait::Channel { op, address: 8, detail }.stays()
        };
        assert!(wait(WaitOp::Receive, 0, 0, false) && wait(WaitOp::Receive, 0, 5, false));
        assert!(wait(WaitOp::Send, 0, 0, false) && wait(WaitOp::Send, 5, 5, false));
        // It is about to run, or the memory was reused.
        assert!(!wait(WaitOp::Receive, 1, 5, false) && !wait(WaitOp::Receive, 0, 5, true));
        assert!(!wait(WaitOp::Send, 4, 5, false) && !wait(WaitOp::Send, 5, 5, true));
        // Who knows for what it waits.
        assert!(!wait(WaitOp::Wait, 0, 0, false));
        assert!(!RawWait::Channel { op: WaitOp::Receive, address: 8, detail: None }.stays());
    }
}
