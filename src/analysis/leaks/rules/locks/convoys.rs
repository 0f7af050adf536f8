//! Tasks that wait for locks in the same functions: do they stand still, and what is to be said of them.

use super::super::{Claim, many, time};
use super::Study;
use super::collect::Convoy;
use super::describe::lock_name;
use super::graph::{Held, Lock};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::finding::Sureness;
use crate::snapshot::{LockState, ObjectId};

/// Waiters for one lock that are worth a word even if it goes round.
const CROWD: u64 = 10;
/// Readings in each of which they must be there.
const READINGS: usize = 4;

/// Tasks that stand still are more than likely if nobody is to be seen who could move them.
pub(super) fn stuck(stands: Sureness) -> Sureness {
    if stands == Sureness::Likely { Sureness::Stuck } else { stands }
}

impl Convoy<'_> {
    /// Whoever could hold the locks waits for a lock.
    pub(super) fn is_circle(&self, study: &Study<'_, '_>) -> bool {
        let all = self.outsiders.is_empty() && (self.locks.len() > 1 || self.insiders > 0);
        // Where locks say that they are held, somebody has looked for their holders.
        let looked = self.states(study).next().is_some();
        let touched = || self.perhaps(study).any(|(_, held)| study.graph.waits(held.task));
        let mixed = || self.mixed() > 0;
        all && self.holders(study).next().is_none() && (!looked || touched() || mixed())
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

    /// Does it stand still, rather than go on slowly? And what says so.
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
            None if context.is_single() && self.waiters >= CROWD && self.standing_ns == 0 => {
                Some(Sureness::Suspect)
            }
            None => self.always(context).map(|_| Sureness::Suspect),
        }
    }

    /// Some of the waiters do get the lock: none of them is old, and they do not become more.
    pub(super) fn goes_round(&self, context: &Context<'_>) -> bool {
        let kinds = || self.kinds.iter().filter_map(|&nth| context.kinds.get(nth));
        self.standing_ns < context.options.min_age_ns && kinds().all(|kind| kind.growth.is_none())
    }

    /// How many wait for the one lock in every reading, if that is always a crowd.
    fn always(&self, context: &Context<'_>) -> Option<u64> {
        let mut counts: Vec<u64> = vec![0; context.series.points().len()];
        for track in self.kinds.iter().filter_map(|&nth| context.kinds.get(nth)?.track) {
            counts.iter_mut().zip(&track.steps).for_each(|(count, step)| *count += step.count);
        }
        let least = counts.iter().copied().min().filter(|&least| least >= CROWD)?;
        // Kinds are counted from reading to reading, locks are not: most of them have to wait for this one.
        let all: u64 =
            self.kinds.iter().filter_map(|&nth| context.kinds.get(nth)).map(|kind| kind.count()).sum();
        let most = 2 * self.waiters > all;
        (self.locks.len() == 1 && most && counts.len() >= READINGS).then_some(least)
    }

    fn since(&self) -> Option<String> {
        (self.standing_ns > 0)
            .then(|| format!("the first of them has stood still for at least {}", time(self.standing_ns)))
    }

    /// For how many of the locks both readers and writers wait: whoever reads may read for a second time.
    pub(super) fn mixed(&self) -> usize {
        self.locks.iter().filter(|lock| lock.readers > 0 && lock.writers > 0).count()
    }

    /// Who waits for what, and since when.
    pub(super) fn evidence(&self, study: &Study<'_, '_>) -> Vec<String> {
        let waits = if self.waiters == 1 { "1 waits".to_owned() } else { format!("{} wait", self.waiters) };
        let mut because = vec![match self.locks.as_slice() {
            [] if self.waiters == 1 => "1 waits for a lock whose address is unknown".to_owned(),
            [] => format!("{waits} for locks whose addresses are unknown"),
            [only] => format!("{waits} for {}", lock_name(study, only.object)),
            locks => format!("{waits} for {}", many(locks.len() as u64, "lock")),
        }];
        because.extend(self.since());
        because.extend(
            self.always(study.context).map(|least| format!("in every reading {least} or more waited")),
        );
        because
    }

    /// What the lock says of itself.
    pub(super) fn says(&self, study: &Study<'_, '_>) -> Option<String> {
        let [only] = self.locks.as_slice() else {
            let free = self.states(study).filter(|state| *state == LockState::Free).count();
            return (free > 0).then(|| {
                format!("{} of the locks {} free at this moment", free, if free == 1 { "is" } else { "are" })
            });
        };
        let lock = study.graph.lock(only.object)?;
        match lock.state? {
            LockState::Free => {
                Some("nobody holds it at this moment: it is being given to one of them".to_owned())
            }
            LockState::Shared(n) => {
                let verb = if n == 1 { "holds" } else { "hold" };
                let found = lock.holders.len();
                let found = match found {
                    0 => ", and none of them was found".to_owned(),
                    found if found < n as usize => {
                        format!(", {found} of which {} found", if found == 1 { "was" } else { "were" })
                    }
                    _ => String::new(),
                };
                let behind = if only.readers > 0 && only.writers > 0 {
                    "; a writer that waits holds back those who want to read"
                } else {
                    ""
                };
                Some(format!("{} {verb} it{found}{behind}", many(n.into(), "reader")))
            }
            LockState::Exclusive | LockState::Outstanding(_) => None,
        }
    }

    /// What the functions say of locks whose holders are not known.
    pub(super) fn deadlock(&self, study: &Study<'_, '_>) -> Option<Claim> {
        let sureness = stuck(self.stands(study.context)?);
        let mut because = vec![format!(
            "{} for {}, and whoever else is in the same functions waits for a lock, too",
            if self.waiters == 1 { "1 waits".to_owned() } else { format!("{} wait", self.waiters) },
            many(self.locks.len() as u64, "lock")
        )];
        because.extend(self.since());
        because.push("who holds these locks is a guess".to_owned());
        let mixed = self.mixed();
        if mixed > 0 {
            because.push(format!(
                "for {} both readers and writers wait: a task that takes a lock for reading twice deadlocks with a \
                 writer that comes in between",
                many(mixed as u64, "lock")
            ));
        }
        Some(Claim { kinds: self.kinds.clone(), ..Claim::of(0, sureness, because) }.meaning(
            "they probably wait for each other: locks are taken in different orders, or one is taken twice by one task",
            "take locks in one order everywhere (by address or name), and never lock again what the caller holds",
        ))
    }
}
