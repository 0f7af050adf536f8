//! What one task did: its present state, since when, and what it did before.

use std::cmp::Ordering;

/// States and wait reasons that are kept apart for one task. The rest is added up.
pub(super) const KINDS_OF_TASK: usize = 4;

/// The number of a kind; [`OTHER`] if it is not kept apart.
pub(super) type KindId = u16;
pub(super) const OTHER: KindId = KindId::MAX;

/// What one task did, in one half of the time that is kept, before it came to be in its present state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    kinds: [KindId; KINDS_OF_TASK],
    seconds: [f32; KINDS_OF_TASK],
    /// In kinds that have no place of their own.
    other: f32,
}

impl Default for Part {
    fn default() -> Self {
        Part { kinds: [OTHER; KINDS_OF_TASK], seconds: [0.0; KINDS_OF_TASK], other: 0.0 }
    }
}

impl Part {
    pub(super) fn add(&mut self, kind: KindId, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let free = |(known, time): (&KindId, &f32)| *known == kind || (*known == OTHER && *time == 0.0);
        let at = self.kinds.iter().zip(&self.seconds).position(free).filter(|_| kind != OTHER);
        match at {
            Some(at) => {
                self.kinds[at] = kind;
                self.seconds[at] += seconds as f32;
            }
            None => self.other += seconds as f32,
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (KindId, f64)> {
        let kept = self.kinds.iter().zip(&self.seconds).map(|(&kind, &time)| (kind, f64::from(time)));
        kept.chain([(OTHER, f64::from(self.other))]).filter(|&(_, time)| time > 0.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.each().next().is_none()
    }
}

/// The earlier half of the time that is kept, and the later one.
pub(super) type Parts = [Part; 2];

/// What the tasks of a snapshot are sorted by: runtime, id and address.
type Identity = (u8, Option<u64>, u64);

/// A task. Most stay in one state for long: since when is all that is kept of them. There may be a hundred thousand, and each
/// reading makes them anew, so they are small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Followed {
    /// 0 if it has none.
    pub(super) id: u64,
    pub(super) address: u64,
    /// Number of the reading that was the first to find it.
    pub(super) first: u32,
    /// Number of the reading since which it is in its present state.
    pub(super) since: u32,
    /// What it did before: an index into the table of those, or [`NO_PAST`].
    pub(super) past: u32,
    /// Its present state.
    pub(super) kind: KindId,
    pub(super) runtime: u8,
    pub(super) has_id: bool,
}

pub(super) const NO_PAST: u32 = u32::MAX;

impl Followed {
    pub(super) fn identity(&self) -> Identity {
        (self.runtime, self.has_id.then_some(self.id), self.address)
    }
}

/// The tasks of the reading before that were not asked for yet.
pub(super) struct Before<'a> {
    pub(super) tasks: &'a [Followed],
}

impl<'a> Before<'a> {
    /// A task, if it was there. Asked for tasks in ascending order.
    pub(super) fn of(&mut self, identity: Identity) -> Option<&'a Followed> {
        let (_, id, address) = identity;
        if id.is_none() && address == 0 {
            return None;
        }
        while let [first, rest @ ..] = self.tasks {
            match first.identity().cmp(&identity) {
                Ordering::Less => self.tasks = rest,
                Ordering::Equal => return Some(first),
                Ordering::Greater => break,
            }
        }
        None
    }
}
