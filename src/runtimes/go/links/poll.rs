//! From a goroutine in IO wait to the descriptor that it waits for.
//!
//! The runtime keeps a `pollDesc` for each descriptor; it names the goroutine that waits to read and the one that
//! waits to write. `internal/poll.runtime_pollWait` has its address as argument, and keeps that in the first word of
//! its caller's frame. A `pollDesc` is accepted only if it contains its own address and names the goroutine.

use rustc_hash::{FxHashMap, FxHashSet};

use super::layout::PollLayout;
use super::parked::{Parked, Structs};
use crate::process::TargetError;
use crate::process::bytes::{word, words};
use crate::runtimes::go::Go;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::stacks::{StackNumber, TaskStacks};
use crate::runtimes::go::unwind::{CodeAddress, Unwinder};
use crate::snapshot::{Deadline, WaitOp};

/// Bytes of a stack that are searched where the frames do not lead to the `pollDesc`.
const SEARCHED: usize = 2048;
/// Goroutines of one batch whose stacks are searched.
const MAX_SEARCHED: usize = 256;
/// The functions of the wait are among this many innermost frames.
const DEPTH: usize = 24;

/// A descriptor that a goroutine waits for, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Polled {
    pub(super) fd: u32,
    pub(super) op: WaitOp,
    pub(super) read_deadline: Deadline,
    pub(super) write_deadline: Deadline,
    pub(super) identity: Identity,
}

/// What stays as long as a descriptor is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    /// The address of its `pollDesc`.
    address: u64,
    fd: u64,
    sequence: u64,
}

/// What the code addresses of a stack say about its wait.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Bytes from the stack pointer to the word that has the address of the `pollDesc`.
    slot: Option<u64>,
    accepts: bool,
    connects: bool,
}

/// Finds descriptors; each distinct stack is examined once.
pub(super) struct Polls<'a> {
    go: &'a Go,
    layout: PollLayout,
    unwinder: Unwinder<'a>,
    places: FxHashMap<StackNumber, Place>,
}

impl<'a> Polls<'a> {
    /// None if the layout of a `pollDesc` is not known.
    pub(super) fn new(go: &'a Go) -> Option<Self> {
        let layout = go.links.poll?;
        let unwinder = Unwinder::new(&go.modules, DEPTH);
        Some(Polls { go, layout, unwinder, places: FxHashMap::default() })
    }

    /// The descriptors of goroutines in IO wait.
    pub(super) fn of(
        &mut self,
        parked: Vec<Parked>,
        stacks: TaskStacks<'_>,
        structs: &mut Structs<'_>,
    ) -> Result<Vec<(Parked, Option<Polled>)>, TargetError> {
        let places: Vec<Place> = parked.iter().map(|parked| self.place(parked.task, stacks)).collect();
        let slots: Vec<u64> = parked
            .iter()
            .zip(&places)
            .map(|(parked, place)| {
                let (_, sp, _) = parked.raw.parked_at();
                let slot = place.slot.and_then(|offset| sp.checked_add(offset));
                slot.filter(|slot| parked.raw.on_stack(*slot)).unwrap_or(0)
            })
            .collect();
        let candidates = structs.words(&slots)?.into_iter().map(|word| word.unwrap_or(0)).collect();
        let mut found = self.verified(&parked, &places, candidates, structs)?;
        self.search(&parked, &places, &mut found, structs)?;
        Ok(parked.into_iter().zip(found).collect())
    }

    /// For each goroutine the address of a struct that may be its `pollDesc`.
    fn verified(
        &self,
        parked: &[Parked],
        places: &[Place],
        candidates: Vec<u64>,
        structs: &mut Structs<'_>,
    ) -> Result<Vec<Option<Polled>>, TargetError> {
        let mut found = vec![None; parked.len()];
        structs.each(&candidates, self.layout.size, |i, bytes| {
            found[i] = self.layout.parse(candidates[i], bytes, &parked[i].raw, places[i]);
        })?;
        Ok(found)
    }

    /// Tries every word of the innermost frames of goroutines without a descriptor.
    fn search(
        &self,
        parked: &[Parked],
        places: &[Place],
        found: &mut [Option<Polled>],
        structs: &mut Structs<'_>,
    ) -> Result<(), TargetError> {
        let without: Vec<usize> =
            (0..parked.len()).filter(|&i| found[i].is_none()).take(MAX_SEARCHED).collect();
        for i in without {
            let raw = &parked[i].raw;
            let (_, sp, _) = raw.parked_at();
            let len = usize::try_from(raw.stack_hi.saturating_sub(sp)).unwrap_or(0).min(SEARCHED);
            let Ok(bytes) = structs.memory.read_vec(sp, len) else { continue };
            let on_stack = raw.stack_lo..raw.stack_hi;
            let candidates: FxHashSet<u64> = words(&bytes)
                .filter(|word| *word >= 4096 && word.is_multiple_of(8) && !on_stack.contains(word))
                .collect();
            let candidates: Vec<u64> = candidates.into_iter().collect();
            structs.each(&candidates, self.layout.size, |nth, bytes| {
                let polled = self.layout.parse(candidates[nth], bytes, raw, places[i]);
                found[i] = found[i].or(polled);
            })?;
        }
        Ok(())
    }

    fn place(&mut self, task: usize, stacks: TaskStacks<'_>) -> Place {
        let Some(number) = stacks.number(task) else { return Place::default() };
        if let Some(place) = self.places.get(&number) {
            return *place;
        }
        let place = self.look(stacks.of(task));
        self.places.insert(number, place);
        place
    }

    fn look(&mut self, stack: &[CodeAddress]) -> Place {
        let mut place = Place::default();
        // Bytes from the stack pointer to that of the frame; None behind a frame of unknown size.
        let mut behind = Some(0u64);
        for pc in stack.iter().take(DEPTH) {
            let function = self.go.modules.iter().find_map(|module| module.pclntab.find(pc.pc()));
            let code = self.unwinder.code(pc.pc()).filter(|code| !code.writes_sp);
            behind = behind.and_then(|sum| sum.checked_add(code?.delta)?.checked_add(8));
            let Some(function) = function else { continue };
            for frame in function.inline_frames(pc.lookup(function.entry())) {
                match &*frame.name {
                    "internal/poll.runtime_pollWait" => place.slot = place.slot.or(behind),
                    "internal/poll.(*FD).Accept" => place.accepts = true,
                    "internal/poll.(*FD).WaitWrite" | "net.(*netFD).connect" => place.connects = true,
                    _ => {}
                }
            }
        }
        place
    }
}

/// Which of these descriptors have not been closed since.
pub(super) fn still_open(
    layout: &PollLayout,
    known: &[Identity],
    structs: &mut Structs<'_>,
) -> Result<Vec<bool>, TargetError> {
    let addresses: Vec<u64> = known.iter().map(|identity| identity.address).collect();
    let mut open = vec![false; known.len()];
    structs.each(&addresses, layout.size, |i, bytes| {
        open[i] = layout.identity(addresses[i], bytes) == known[i];
    })?;
    Ok(open)
}

impl PollLayout {
    /// What identifies the `pollDesc` at an address, by its bytes.
    pub(super) fn identity(&self, address: u64, bytes: &[u8]) -> Identity {
        Identity { address, fd: word(bytes, self.fd), sequence: word(bytes, self.sequence) }
    }

    /// The descriptor of the `pollDesc` at this address, if it is one and the goroutine waits for it.
    fn parse(&self, address: u64, bytes: &[u8], waiter: &Raw, place: Place) -> Option<Polled> {
        let get = |at| word(bytes, at);
        let (reads, writes) = (get(self.rg) == waiter.address, get(self.wg) == waiter.address);
        if address == 0 || get(self.own) != address || reads == writes {
            return None;
        }
        // The kernel's descriptors are positive ints.
        let fd = i32::try_from(get(self.fd)).ok().and_then(|fd| u32::try_from(fd).ok())?;
        let op = match () {
            () if reads && place.accepts => WaitOp::Accept,
            () if reads => WaitOp::Read,
            () if place.connects => WaitOp::Connect,
            () => WaitOp::Write,
        };
        let (read_deadline, write_deadline) = (deadline(get(self.rd)), deadline(get(self.wd)));
        let identity = self.identity(address, bytes);
        Some(Polled { fd, op, read_deadline, write_deadline, identity })
    }
}

/// What `pollDesc.rd` and `wd` mean.
fn deadline(value: u64) -> Deadline {
    /// Set for a time too far away to be represented.
    const NEVER: i64 = i64::MAX;
    match value as i64 {
        0 | NEVER => Deadline::None,
        past if past < 0 => Deadline::Expired,
        at => Deadline::At(at as u64),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::layout::LinkLayout;
    use super::*;
    use crate::runtimes::go::layout::Layouts;
    use crate::runtimes::go::offsets::Offsets;
    use crate::runtimes::go::structs::Structs as Known;

    const G: u64 = 0xc000_0000;
    const AT: u64 = 0x7f00_0000;

    struct Made {
        layout: PollLayout,
        waiter: Raw,
        bytes: Vec<u8>,
    }

    impl Made {
        /// The goroutine waits to read from descriptor 5.
        fn new(minor: u32) -> Self {
            let layouts = Layouts::gather(Known::new(), || None, Some(minor));
            let layout = LinkLayout::new(&layouts).poll.unwrap();
            let offsets = Offsets::new(&layouts).unwrap();
            let waiter = Raw::parse(G, &vec![0; offsets.g_size], &offsets);
            let mut made = Made { layout, waiter, bytes: vec![0; layout.size] };
            for (at, value) in [(layout.fd, 5), (layout.rg, G), (layout.own, AT)] {
                made.set(at, value);
            }
            made
        }

        fn set(&mut self, at: usize, value: u64) {
            self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }

        fn parse(&self, place: Place) -> Option<Polled> {
            self.layout.parse(AT, &self.bytes, &self.waiter, place)
        }
    }

    #[test]
    fn what_is_no_poll_desc_of_the_goroutine_is_not_accepted() {
        for minor in [19, 21, 23, 27] {
            let made = |set: &dyn Fn(&mut Made)| {
                let mut made = Made::new(minor);
                set(&mut made);
                made.parse(Place::default())
            };
            assert_eq!(made(&|_| ()).unwrap().fd, 5);
            assert_eq!(made(&|m| m.set(m.layout.own, AT + 8)), None, "of another place");
            assert_eq!(made(&|m| m.set(m.layout.rg, G + 8)), None, "of another goroutine");
            assert_eq!(made(&|m| m.set(m.layout.rg, 1)), None, "ready");
            assert_eq!(made(&|m| m.set(m.layout.wg, G)), None, "both ways at once");
            for absurd in [u64::MAX, 1 << 31, 1 << 32 | 5, u64::MAX - 3] {
                assert_eq!(made(&|m| m.set(m.layout.fd, absurd)), None, "{absurd:#x}");
            }
        }
    }

    #[test]
    fn operations_and_deadlines() {
        let mut made = Made::new(27);
        let (accepts, connects) =
            (Place { accepts: true, ..Place::default() }, Place { connects: true, ..Place::default() });
        made.set(made.layout.rd, 77);
        made.set(made.layout.wd, u64::MAX);
        let polled = made.parse(Place::default()).unwrap();
        let expected = (WaitOp::Read, Deadline::At(77), Deadline::Expired);
        assert_eq!((polled.op, polled.read_deadline, polled.write_deadline), expected);
        assert_eq!(
            (made.parse(accepts).unwrap().op, made.parse(connects).unwrap().op),
            (WaitOp::Accept, WaitOp::Read)
        );
        made.set(made.layout.rg, 0);
        made.set(made.layout.wg, G);
        assert_eq!(
            (made.parse(accepts).unwrap().op, made.parse(connects).unwrap().op),
            (WaitOp::Write, WaitOp::Connect)
        );
        assert_eq!([0, i64::MAX as u64].map(deadline), [Deadline::None; 2]);
    }
}
