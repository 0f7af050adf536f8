//! Convoys: tasks that wait for locks in the same functions. Are they blocked, or do they proceed slowly?

use super::super::Claim;
use super::Study;
use super::collect::Convoy;
use super::describe::lock_name;
use super::graph::{Held, Lock};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{Cause, Evidence, LockEvidence};
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::{LockState, ObjectId};

/// Waiters for one lock that are worth a finding even if the lock changes hands.
const CONVOY: u64 = 10;
/// They must be there in each of this many readings.
const READINGS: usize = 4;

/// Blocked tasks are stuck if no task that could unblock them was found.
pub(super) fn stuck(stands: Sureness) -> Sureness {
    if stands == Sureness::Likely { Sureness::Stuck } else { stands }
}

impl Convoy<'_> {
    /// Every task that could hold the locks waits for a lock.
    pub(super) fn is_cycle(&self, study: &Study<'_, '_>) -> bool {
        let all = self.outsiders.is_empty() && (self.locks.len() > 1 || self.insiders > 0);
        // If locks say that they are held, their holders were searched for.
        let looked = self.states(study).next().is_some();
        let touched = || self.perhaps(study).any(|(_, held)| study.graph.waits(held.task));
        let mixed = || self.mixed() > 0;
        let guarded = self.perhaps(study).any(|(_, held)| held.is_guard());
        all && !guarded && self.holders(study).next().is_none() && (!looked || touched() || mixed())
    }

    pub(super) fn known<'b>(&self, study: &'b Study<'_, '_>) -> impl Iterator<Item = (ObjectId, &'b Lock)> {
        self.locks.iter().filter_map(|lock| Some((lock.object, study.graph.lock(lock.object)?)))
    }

    pub(super) fn states(&self, study: &Study<'_, '_>) -> impl Iterator<Item = LockState> {
        self.known(study).filter_map(|(_, lock)| lock.state)
    }

    pub(super) fn holders<'b>(&self, study: &'b Study<'_, '_>) -> impl Iterator<Item = (ObjectId, &'b Held)> {
        self.known(study).flat_map(|(object, lock)| lock.holders.iter().map(move |held| (object, held)))
    }

    pub(super) fn perhaps<'b>(&self, study: &'b Study<'_, '_>) -> impl Iterator<Item = (ObjectId, &'b Held)> {
        self.known(study).flat_map(|(object, lock)| lock.perhaps.iter().map(move |held| (object, held)))
    }

    /// How sure it is that they are blocked, and do not just proceed slowly. None if nothing says so.
    pub(super) fn stands(&self, context: &Context<'_>) -> Option<Sureness> {
        let growing = self
            .kinds
            .iter()
            .filter_map(|&nth| context.kinds.get(nth))
            .filter_map(|k| context.growing(k))
            .max();
        let old = self.standing_ns >= context.options.min_age_ns;
        match growing {
            Some(Sureness::Likely) => Some(Sureness::Likely),
            _ if old => Some(Sureness::Likely),
            Some(weak) => Some(weak),
            None if context.is_single() && self.waiters >= CONVOY && self.standing_ns == 0 => {
                Some(Sureness::Suspect)
            }
            None => self.always(context).map(|_| Sureness::Suspect),
        }
    }

    /// The lock changes hands: none of the waiters is old, and they do not grow.
    pub(super) fn changes_hands(&self, context: &Context<'_>) -> bool {
        let kinds = || self.kinds.iter().filter_map(|&nth| context.kinds.get(nth));
        self.standing_ns < context.options.min_age_ns && kinds().all(|kind| kind.growth.is_none())
    }

    /// How many wait for the one lock in every reading, if that is always a convoy.
    fn always(&self, context: &Context<'_>) -> Option<u64> {
        let mut counts: Vec<u64> = vec![0; context.series.points().len()];
        for track in self.kinds.iter().filter_map(|&nth| context.kinds.get(nth)?.track) {
            counts.iter_mut().zip(&track.steps).for_each(|(count, step)| *count += step.count);
        }
        let least = counts.iter().copied().min().filter(|&least| least >= CONVOY)?;
        // Groups are counted in each reading, locks are not: most of the tasks must wait for this lock.
        let all: u64 =
            self.kinds.iter().filter_map(|&nth| context.kinds.get(nth)).map(|kind| kind.count()).sum();
        let most = 2 * self.waiters > all;
        (self.locks.len() == 1 && most && counts.len() >= READINGS).then_some(least)
    }

    fn longest_wait(&self) -> Option<Evidence> {
        let at_least_ns = self.standing_ns;
        (at_least_ns > 0).then_some(Evidence::Lock(LockEvidence::LongestWait { at_least_ns }))
    }

    /// The number of locks that both readers and writers wait for: a reader may read twice.
    pub(super) fn mixed(&self) -> usize {
        self.locks.iter().filter(|lock| lock.readers > 0 && lock.writers > 0).count()
    }

    /// How many wait for what, and since when.
    pub(super) fn evidence(&self, study: &Study<'_, '_>) -> Vec<Evidence> {
        let lock = match self.locks.as_slice() {
            [only] => lock_name(study, only.object),
            _ => None,
        };
        let waiters = LockEvidence::Waiters { tasks: self.waiters, locks: self.locks.len() as u64, lock };
        let always = self.always(study.context).map(|at_least| LockEvidence::AlwaysWaiting { at_least });
        let all = [Some(Evidence::Lock(waiters)), self.longest_wait(), always.map(Evidence::Lock)];
        all.into_iter().flatten().collect()
    }

    /// The state that the lock itself records.
    pub(super) fn says(&self, study: &Study<'_, '_>) -> Option<Evidence> {
        let [only] = self.locks.as_slice() else {
            let locks = self.states(study).filter(|state| *state == LockState::Free).count() as u64;
            return (locks > 0).then_some(Evidence::Lock(LockEvidence::FreeLocks { locks }));
        };
        let lock = study.graph.lock(only.object)?;
        match lock.state? {
            LockState::Free => Some(Evidence::Lock(LockEvidence::HandedOver { lock: lock.kind })),
            LockState::Shared(n) => Some(Evidence::Lock(LockEvidence::Readers {
                readers: n.into(),
                found: lock.holders.len() as u64,
                blocked_by_writer: only.readers > 0 && only.writers > 0,
            })),
            LockState::Exclusive | LockState::Outstanding(_) => None,
        }
    }

    /// What the functions say about locks whose holders are not known.
    pub(super) fn deadlock(&self, study: &Study<'_, '_>) -> Option<Claim> {
        let sureness = stuck(self.stands(study.context)?);
        let all = LockEvidence::AllWait { tasks: self.waiters, locks: self.locks.len() as u64 };
        let mut because = vec![Evidence::Lock(all)];
        because.extend(self.longest_wait());
        because.push(Evidence::Lock(LockEvidence::HoldersGuessed));
        let locks = self.mixed() as u64;
        because.extend((locks > 0).then_some(Evidence::Lock(LockEvidence::ReadersAndWriters { locks })));
        let claim = Claim { kinds: self.kinds.clone(), ..Claim::of(0, sureness, because) };
        Some(claim.meaning(Cause::LockOrderGuessed))
    }
}
