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

/// A [`RawWait`] without what may change while the goroutine waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeptWait {
    Channel(WaitOp, u64),
    Address(u64),
}

impl From<&RawWait> for KeptWait {
    fn from(wait: &RawWait) -> Self {
        match *wait {
            RawWait::Channel { op, address, .. } => KeptWait::Channel(op, address),
            RawWait::Address(address) => KeptWait::Address(address),
        }
    }
}

/// Reads the channels of goroutines that wait for them since the last reading.
pub(super) fn again(
    memory: &dyn Memory,
    offsets: &Offsets,
    buffers: &mut Buffers,
    kept: &[KeptWait],
) -> Result<Vec<RawWait>, TargetError> {
    let channels = kept.iter().filter_map(|wait| match wait {
        KeptWait::Channel(_, address) => Some(*address),
        KeptWait::Address(_) => None,
    });
    let channels = read_channels(memory, offsets, buffers, channels)?;
    let wait = |kept: &KeptWait| match *kept {
        KeptWait::Channel(op, address) => {
            let at = channels.binary_search_by_key(&address, |(address, _)| *address);
            RawWait::Channel { op, address, detail: at.ok().and_then(|at| channels[at].1) }
        }
        KeptWait::Address(address) => RawWait::Address(address),
    };
    Ok(kept.iter().map(wait).collect())
}

/// A channel at the moment of reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawChannel {
    pub(super) len: u64,
    pub(super) cap: u64,
    pub(super) closed: bool,
    pub(super) element_type: u64,
    recvq: u64,
    sendq: u64,
}

impl RawChannel {
    fn parse(bytes: &[u8], o: &Offsets) -> Option<Self> {
        let half = |at: usize| word(bytes, at) as u32;
        let channel = RawChannel {
            len: word(bytes, o.hchan_qcount),
            cap: word(bytes, o.hchan_dataqsiz),
            closed: half(o.hchan_closed) != 0,
            element_type: word(bytes, o.hchan_elemtype),
            recvq: word(bytes, o.hchan_recvq),
            sendq: word(bytes, o.hchan_sendq),
        };
        let plausible = channel.len <= channel.cap && channel.cap < 1 << 48 && half(o.hchan_closed) <= 1;
        plausible.then_some(channel)
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
                let op = detail.map_or(WaitOp::Wait, |c| operation(memory, offsets, &sudog, &c));
                RawWait::Channel { op, address: sudog.channel, detail }
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
) -> Result<Vec<(u64, Option<RawChannel>)>, TargetError> {
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
fn operation(memory: &dyn Memory, offsets: &Offsets, sudog: &Sudog, channel: &RawChannel) -> WaitOp {
    match (channel.recvq, channel.sendq) {
        (_, 0) => WaitOp::Receive,
        (0, _) => WaitOp::Send,
        (recvq, sendq) => {
            let mut at = sudog.address;
            for _ in 0..MAX_QUEUE_WALK {
                if at == recvq {
                    return WaitOp::Receive;
                }
                if at == sendq {
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
