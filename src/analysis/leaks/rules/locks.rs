//! Tasks that wait for locks, and who probably holds them.
//!
//! A lock does not say who holds it, and a snapshot does not hold the values on stacks. What is known:
//! the functions in which tasks wait for the lock. Whoever holds it is most likely in one of the same
//! functions, further on, and has been there for at least as long as the oldest waiter waits. Where such
//! tasks themselves wait for other locks of the kind, they probably wait for each other.

use super::{Claim, Rule, many, time};
use crate::analysis::leaks::finding::{Holder, Sample, Sureness};
use crate::analysis::leaks::scene::Scene;
use crate::analysis::signature::Place;
use crate::snapshot::State;

mod survey;

use survey::{Crowd, Outsider, survey};

/// Holders that are named.
const NAMED: usize = 3;
/// Waiters for one lock that are worth a word even if it goes round.
const CROWD: u64 = 10;
/// Readings in each of which they must be there.
const READINGS: usize = 4;

/// Tasks wait for locks of each other.
pub(super) struct Deadlock;
/// Tasks wait for one lock.
pub(super) struct Convoy;

impl Rule for Deadlock {
    fn name(&self) -> &'static str {
        "deadlock"
    }

    fn checks(&self) -> &'static str {
        "tasks stand still waiting for locks, and whoever could hold them waits for such locks, too"
    }

    fn check(&self, scene: &Scene<'_>) -> Vec<Claim> {
        survey(scene).iter().filter(|crowd| crowd.is_circle()).filter_map(|c| c.deadlock(scene)).collect()
    }
}

impl Rule for Convoy {
    fn name(&self) -> &'static str {
        "lock"
    }

    fn checks(&self) -> &'static str {
        "tasks stand still waiting for a lock that its holder does not give back"
    }

    fn check(&self, scene: &Scene<'_>) -> Vec<Claim> {
        survey(scene).iter().filter(|crowd| !crowd.is_circle()).filter_map(|c| c.convoy(scene)).collect()
    }
}

impl Crowd {
    /// Whoever could hold the locks waits for a lock.
    fn is_circle(&self) -> bool {
        self.outsiders.is_empty() && (self.locks.len() > 1 || self.insiders > 0)
    }

    /// Does it stand still, rather than go on slowly? And what says so.
    fn stands(&self, scene: &Scene<'_>) -> Option<Sureness> {
        let growing =
            self.kinds.iter().filter_map(|&nth| scene.kinds.get(nth)).filter_map(|k| scene.growing(k)).max();
        let old = self.standing_ns >= scene.options.min_age_ns;
        match growing {
            Some(Sureness::Likely) => Some(Sureness::Likely),
            _ if old => Some(Sureness::Likely),
            Some(weak) => Some(weak),
            None if scene.is_single() && self.waiters >= CROWD && self.standing_ns == 0 => {
                Some(Sureness::Suspect)
            }
            None => self.always(scene).map(|_| Sureness::Suspect),
        }
    }

    /// Some of the waiters do get the lock: none of them is old, and they do not become more.
    fn goes_round(&self, scene: &Scene<'_>) -> bool {
        let kinds = || self.kinds.iter().filter_map(|&nth| scene.kinds.get(nth));
        self.standing_ns < scene.options.min_age_ns && kinds().all(|kind| kind.growth.is_none())
    }

    /// How many wait for the one lock in every reading, if that is always a crowd.
    fn always(&self, scene: &Scene<'_>) -> Option<u64> {
        let mut counts: Vec<u64> = vec![0; scene.series.points().len()];
        for track in self.kinds.iter().filter_map(|&nth| scene.kinds.get(nth)?.track) {
            counts.iter_mut().zip(&track.steps).for_each(|(count, step)| *count += step.count);
        }
        let least = counts.iter().copied().min().filter(|&least| least >= CROWD)?;
        (self.locks.len() == 1 && counts.len() >= READINGS).then_some(least)
    }

    fn since(&self) -> Option<String> {
        (self.standing_ns > 0)
            .then(|| format!("the first of them has stood still for at least {}", time(self.standing_ns)))
    }

    fn deadlock(&self, scene: &Scene<'_>) -> Option<Claim> {
        let sureness = match self.stands(scene)? {
            Sureness::Likely => Sureness::Stuck,
            weaker => weaker,
        };
        let mut because = vec![format!(
            "{} for {}, and whoever else is in the same functions waits for a lock, too",
            if self.waiters == 1 { "1 waits".to_owned() } else { format!("{} wait", self.waiters) },
            many(self.locks.len() as u64, "lock")
        )];
        because.extend(self.since());
        let mixed = self.locks.values().filter(|lock| lock.readers > 0 && lock.writers > 0).count();
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

    fn convoy(&self, scene: &Scene<'_>) -> Option<Claim> {
        let stands = self.stands(scene)?;
        let locks = self.locks.len() as u64;
        let mut because = vec![match (locks, self.waiters) {
            (0, n) => format!(
                "{} for locks whose addresses are unknown",
                if n == 1 { "1 waits".into() } else { format!("{n} wait") }
            ),
            (1, 1) => "1 waits for a lock".to_owned(),
            (1, n) => format!("{n} wait for one lock"),
            (locks, n) => format!("{n} wait for {}", many(locks, "lock")),
        }];
        because.extend(self.since());
        because.extend(self.always(scene).map(|least| format!("in every reading {least} or more waited")));
        let still: Vec<&Outsider> = self.outsiders.iter().filter(|outsider| outsider.still).collect();
        let moving = self.outsiders.len() - still.len();
        let (sureness, cause, next) = if self.goes_round(scene) && !scene.is_single() {
            (
                Sureness::Suspect,
                "it is given from one to the next, but held for too long or too often",
                "do less under the lock, or divide it",
            )
        } else if self.outsiders.is_empty() {
            because.push("no other task is to be seen in the functions that take it".to_owned());
            let sureness = if stands == Sureness::Likely { Sureness::Stuck } else { stands };
            (
                sureness,
                "nobody is to be seen who could unlock it: a return without Unlock, a task that locks twice, or a \
                 holder in another function",
                "defer Unlock right after Lock; look for returns and panics between them, and for callers that hold \
                 the lock already",
            )
        } else if !still.is_empty() {
            because.push(format!("{} in the same functions and as long without moving", is_are(still.len())));
            let sureness = if stands == Sureness::Likely { Sureness::Stuck } else { stands };
            (
                sureness,
                "its probable holder waits for something else and keeps the lock meanwhile",
                "look at what the holder waits for; do not hold a lock while waiting for something that can take long",
            )
        } else {
            because.push(format!("{} in the same functions and may hold it", is_are(moving)));
            let long_and_growing =
                self.kinds.iter().filter_map(|&k| scene.kinds.get(k)).any(|k| k.growth.is_some());
            let sureness = if long_and_growing { stands } else { Sureness::Suspect };
            (sureness, "the lock is held for too long or too often", "do less under the lock, or divide it")
        };
        let named = if still.is_empty() { self.outsiders.iter().collect() } else { still };
        let holders = named.iter().take(NAMED).filter_map(|outsider| holder(scene, outsider.task)).collect();
        Some(Claim {
            kinds: self.kinds.clone(),
            holders,
            ..Claim::of(0, sureness, because).meaning(cause, next)
        })
    }
}

fn is_are(n: usize) -> String {
    if n == 1 { "1 other task is".to_owned() } else { format!("{n} other tasks are") }
}

fn holder(scene: &Scene<'_>, index: u32) -> Option<Holder> {
    let task = scene.task(index)?;
    let kind = scene.kinds.iter().find(|kind| kind.tasks.binary_search(&index).is_ok());
    let what = match task.reason {
        Some(reason) => scene.snapshot.str(reason).to_owned(),
        None => {
            if task.state == State::Unknown {
                String::new()
            } else {
                task.state.name().to_owned()
            }
        }
    };
    let at: Option<Place> = kind.and_then(|kind| kind.at).cloned();
    Some(Holder { task: Sample { id: task.id, address: task.address }, what, at })
}
