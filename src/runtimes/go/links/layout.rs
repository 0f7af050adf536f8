//! Where the structs keep what leads from a waiting goroutine to its cause. Source: `src/runtime/netpoll.go`
//! (`pollDesc`), `time.go` (`timer`, `timers`), `chan.go` (`hchan`) of Go 1.19 to 1.27.

use crate::runtimes::go::layout::Layouts;

/// Larger structs are not believed.
const MAX_SIZE: usize = 1 << 16;

/// Offsets in the structs behind waits. None where a struct or one of its fields is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct LinkLayout {
    pub(super) poll: Option<PollLayout>,
    pub(super) timer: Option<TimerLayout>,
    /// `g.timer`: the timer that wakes the goroutine from a sleep.
    pub(super) g_timer: Option<usize>,
    /// `g.sleepWhen`, from 1.23 on: when.
    pub(super) g_sleep_when: Option<usize>,
    /// `g.coroarg`, from 1.22 on: what a coroutine begins with.
    pub(super) g_coroarg: Option<usize>,
    /// `hchan.timer`, from 1.23 on.
    pub(super) hchan_timer: Option<usize>,
    pub(super) heap: Option<HeapLayout>,
}

/// `runtime.pollDesc`: a descriptor that the runtime waits for on behalf of goroutines.
#[derive(Debug, Clone, Copy)]
pub(super) struct PollLayout {
    pub(super) fd: usize,
    /// The goroutine that waits to read.
    pub(super) rg: usize,
    /// The goroutine that waits to write.
    pub(super) wg: usize,
    /// Deadlines: 0 for none, negative if expired, else nanoseconds on CLOCK_MONOTONIC.
    pub(super) rd: usize,
    pub(super) wd: usize,
    /// Its own address.
    pub(super) own: usize,
    /// Changes when the descriptor is closed; up to 1.20 also when a deadline is set.
    pub(super) sequence: usize,
    /// How much is read.
    pub(super) size: usize,
}

/// `runtime.timer`.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimerLayout {
    pub(super) when: usize,
    pub(super) period: usize,
    pub(super) f: usize,
    /// The second word of the argument.
    pub(super) data: usize,
    /// Up to 1.22: the new time of a timer that was modified or not yet started.
    pub(super) next_when: Option<usize>,
    /// Up to 1.22.
    pub(super) status: Option<usize>,
    /// From 1.24 on: it is of a clock that a test controls.
    pub(super) is_fake: Option<usize>,
    /// How much is read.
    pub(super) size: usize,
}

/// A P's heap of timers.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeapLayout {
    /// The slice, bytes from the start of the P.
    pub(super) slice: u64,
    /// Bytes of an entry; its first word is the timer's address.
    pub(super) entry: usize,
}

impl LinkLayout {
    /// Looks the offsets up.
    pub(in super::super) fn new(layouts: &Layouts) -> Self {
        let field = |name: &str, path: &str| {
            let offset = layouts.get(name)?.fields.get(path)?.offset;
            usize::try_from(offset).ok().filter(|offset| *offset < MAX_SIZE)
        };
        LinkLayout {
            poll: poll(&field),
            timer: timer(&field),
            g_timer: field("g", "timer"),
            g_sleep_when: field("g", "sleepWhen"),
            g_coroarg: field("g", "coroarg"),
            hchan_timer: field("hchan", "timer"),
            heap: heap(&field),
        }
    }
}

fn poll(field: &impl Fn(&str, &str) -> Option<usize>) -> Option<PollLayout> {
    let at = |path| field("pollDesc", path);
    let (fd, rg, wg) = (at("fd")?, at("rg")?, at("wg")?);
    let (rd, wd, own) = (at("rd")?, at("wd")?, at("self")?);
    let sequence = at("fdseq").or_else(|| at("rseq"))?;
    let size = end_of(&[fd, rg, wg, rd, wd, own, sequence]);
    Some(PollLayout { fd, rg, wg, rd, wd, own, sequence, size })
}

fn timer(field: &impl Fn(&str, &str) -> Option<usize>) -> Option<TimerLayout> {
    let at = |path| field("timer", path);
    let (when, period, f, data) = (at("when")?, at("period")?, at("f")?, at("arg")? + 8);
    let (next_when, status) = (at("nextwhen"), at("status"));
    let is_fake = at("isFake");
    let optional = [next_when, status, is_fake].map(|offset| offset.unwrap_or(0));
    let size = end_of(&[when, period, f, data]).max(end_of(&optional));
    Some(TimerLayout { when, period, f, data, next_when, status, is_fake, size })
}

/// Up to 1.22 a slice of pointers; then a struct with a slice of pairs of a pointer and a time.
fn heap(field: &impl Fn(&str, &str) -> Option<usize>) -> Option<HeapLayout> {
    match field("p", "timers.heap") {
        Some(slice) => Some(HeapLayout { slice: slice as u64, entry: 16 }),
        None => Some(HeapLayout { slice: field("p", "timers")? as u64, entry: 8 }),
    }
}

/// One past the last of the words at these offsets.
fn end_of(words: &[usize]) -> usize {
    words.iter().max().map_or(0, |last| last + 8)
}
