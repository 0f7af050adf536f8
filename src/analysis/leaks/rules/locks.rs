//! Tasks that wait for locks, and who probably holds them.
//!
//! A lock does not say who holds it, and a snapshot does not hold the values on stacks. What is known:
//! the functions in which tasks wait for the lock. Whoever holds it is most likely in one of the same
//! functions, further on, and has been there for at least as long as the oldest waiter waits. Where such
//! tasks themselves wait for other locks of the kind, they probably wait for each other.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Claim, Rule, many, time};
use crate::analysis::frames::shown_frames;
use crate::analysis::leaks::finding::{Holder, Sample, Sureness};
use crate::analysis::leaks::scene::Scene;
use crate::analysis::leaks::wait::Waits;
use crate::analysis::series::Member;
use crate::analysis::signature::Place;
use crate::snapshot::{FunctionId, ObjectId, ObjectKind, Snapshot, StackId, State, WaitOp};

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

/// Locks that are waited for in the same functions, and what is known of them.
struct Crowd {
    /// Kinds of tasks that wait for them, the largest first: indices into [`Scene::kinds`].
    kinds: Vec<usize>,
    /// The locks, where their addresses are known.
    locks: FxHashMap<ObjectId, Lock>,
    /// How many wait.
    waiters: u64,
    /// The longest that one of them stands still, nanoseconds.
    standing_ns: u64,
    /// Tasks in the same functions that wait for no lock: they may hold one.
    outsiders: Vec<Outsider>,
    /// Tasks in the same functions that wait for a lock of another crowd.
    insiders: u64,
}

#[derive(Default)]
struct Lock {
    waiters: u64,
    readers: u64,
    writers: u64,
}

struct Outsider {
    task: u32,
    /// It has stood still for as long as the oldest waiter.
    still: bool,
}

/// A task that waits for a lock.
struct Waiter<'a> {
    kind: usize,
    task: u32,
    member: Option<&'a Member>,
    lock: Option<(ObjectId, WaitOp)>,
}

/// Functions of locks themselves: whoever calls them is who waits.
fn is_lock_code(name: &str) -> bool {
    [
        "sync.",
        "internal/sync.",
        "runtime.",
        "tokio::sync",
        "std::sync",
        "parking_lot",
        "lock_api",
        "async_lock",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix) || name.strip_prefix('<').is_some_and(|n| n.starts_with(prefix)))
}

/// The function that waits for a lock, given the task's stack. The name of an await is no function: it has
/// no package.
fn locker(snapshot: &Snapshot, stack: StackId) -> Option<FunctionId> {
    let locations = &snapshot.stacks.get(stack.index())?.locations;
    let frames = shown_frames(snapshot, locations, false);
    let callers: Vec<FunctionId> = (frames.iter())
        .map(|shown| shown.frame.function)
        .filter(|&function| !is_lock_code(snapshot.function_name(function)))
        .collect();
    let has_package = |id: &&FunctionId| {
        snapshot.functions.get(id.index()).is_some_and(|function| !snapshot.str(function.package).is_empty())
    };
    callers.iter().find(has_package).or(callers.first()).copied()
}

/// All waiting for locks, put together by the functions in which that happens.
fn survey(scene: &Scene<'_>) -> Vec<Crowd> {
    let snapshot = scene.snapshot;
    let waiters = waiters(scene);
    if waiters.is_empty() {
        return Vec::new();
    }
    let mut lockers: FxHashMap<StackId, Option<FunctionId>> = FxHashMap::default();
    let mut functions: FxHashMap<ObjectId, Vec<FunctionId>> = FxHashMap::default();
    let mut function_of = |waiter: &Waiter<'_>| {
        let stack = scene.task(waiter.task)?.stack?;
        *lockers.entry(stack).or_insert_with(|| locker(snapshot, stack))
    };
    for waiter in &waiters {
        let (Some((lock, _)), Some(function)) = (waiter.lock, function_of(waiter)) else { continue };
        let list = functions.entry(lock).or_default();
        if !list.contains(&function) {
            list.push(function);
        }
    }
    functions.values_mut().for_each(|list| list.sort_unstable());
    // Sorted, so that the outcome does not depend on hashes.
    let mut crowds: BTreeMap<Vec<FunctionId>, Vec<&Waiter<'_>>> = BTreeMap::new();
    for waiter in &waiters {
        let key = match waiter.lock.and_then(|(lock, _)| functions.get(&lock)) {
            Some(list) => list.clone(),
            None => function_of(waiter).into_iter().collect(),
        };
        crowds.entry(key).or_default().push(waiter);
    }
    let inside = Inside::new(scene, crowds.keys().flatten().copied().collect());
    let waiting: FxHashSet<u32> = waiters.iter().map(|waiter| waiter.task).collect();
    (crowds.iter()).map(|(functions, waiters)| crowd(scene, functions, waiters, &inside, &waiting)).collect()
}

/// Every task that waits for a lock and that the user wants to hear of.
fn waiters<'a>(scene: &Scene<'a>) -> Vec<Waiter<'a>> {
    let mut waiters = Vec::new();
    for (nth, kind) in scene.kinds.iter().enumerate() {
        if kind.waits != Waits::Lock || kind.left_out.is_some() {
            continue;
        }
        let followed: FxHashMap<u32, &Member> = scene.members(kind).map(|m| (m.task, m)).collect();
        for &task in &kind.tasks {
            let lock = scene.task(task).and_then(|t| match scene.snapshot.waits_of(t) {
                [wait] => Some((wait.object, wait.op)),
                _ => None,
            });
            let is_lock = |id: ObjectId| {
                let object = scene.snapshot.objects.get(id.index());
                object.is_some_and(|o| matches!(o.kind, ObjectKind::Mutex | ObjectKind::RwMutex))
            };
            let lock = lock.filter(|&(id, _)| is_lock(id));
            waiters.push(Waiter { kind: nth, task, member: followed.get(&task).copied(), lock });
        }
    }
    waiters
}

/// Tasks that have one of some functions on their stack.
struct Inside<'a> {
    /// The stacks that each function is on.
    stacks: FxHashMap<FunctionId, Vec<StackId>>,
    /// The tasks with each of these stacks.
    tasks: FxHashMap<StackId, Vec<u32>>,
    /// Those of them that are followed.
    members: FxHashMap<u32, &'a Member>,
}

impl<'a> Inside<'a> {
    fn new(scene: &Scene<'a>, functions: FxHashSet<FunctionId>) -> Self {
        let snapshot = scene.snapshot;
        let mut stacks: FxHashMap<FunctionId, Vec<StackId>> = FxHashMap::default();
        let mut tasks: FxHashMap<StackId, Vec<u32>> = FxHashMap::default();
        for (nth, stack) in (0..).zip(&snapshot.stacks) {
            let locations = stack.locations.iter().filter_map(|id| snapshot.locations.get(id.index()));
            for frame in locations.flat_map(|location| &location.frames) {
                if functions.contains(&frame.function) {
                    tasks.entry(StackId(nth)).or_default();
                    let list = stacks.entry(frame.function).or_default();
                    if list.last() != Some(&StackId(nth)) {
                        list.push(StackId(nth));
                    }
                }
            }
        }
        for (index, task) in (0..).zip(&snapshot.tasks) {
            if let Some(list) = task.stack.and_then(|stack| tasks.get_mut(&stack)) {
                list.push(index);
            }
        }
        let inside = |member: &&Member| {
            scene.task(member.task).and_then(|t| t.stack).is_some_and(|stack| tasks.contains_key(&stack))
        };
        let members = scene.series.members().iter().filter(inside).map(|m| (m.task, m)).collect();
        Inside { stacks, tasks, members }
    }

    /// The tasks in one of these functions, each once, in the order of the snapshot.
    fn of(&self, functions: &[FunctionId]) -> Vec<u32> {
        let stacks = functions.iter().filter_map(|function| self.stacks.get(function)).flatten();
        let mut tasks: Vec<u32> =
            stacks.filter_map(|stack| self.tasks.get(stack)).flatten().copied().collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}

fn crowd(
    scene: &Scene<'_>,
    functions: &[FunctionId],
    waiters: &[&Waiter<'_>],
    inside: &Inside<'_>,
    waiting: &FxHashSet<u32>,
) -> Crowd {
    let mut locks: FxHashMap<ObjectId, Lock> = FxHashMap::default();
    let mut own: FxHashSet<u32> = FxHashSet::default();
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut standing_ns, mut since) = (0, u32::MAX);
    for waiter in waiters {
        own.insert(waiter.task);
        *counts.entry(waiter.kind).or_default() += 1;
        standing_ns = standing_ns.max(scene.standing_ns(waiter.task, waiter.member));
        since = since.min(waiter.member.map_or(u32::MAX, |member| member.still_since));
        if let Some((id, op)) = waiter.lock {
            let lock = locks.entry(id).or_default();
            lock.waiters += 1;
            lock.readers += u64::from(op == WaitOp::ReadLock);
            lock.writers += u64::from(op == WaitOp::Lock);
        }
    }
    let mut kinds: Vec<usize> = counts.keys().copied().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(counts.get(kind).copied()));
    let (mut outsiders, mut insiders) = (Vec::new(), 0);
    for index in inside.of(functions) {
        if own.contains(&index) {
            continue;
        }
        if waiting.contains(&index) {
            insiders += 1;
            continue;
        }
        let member = inside.members.get(&index);
        // Whoever came later than the oldest waiter cannot be the one that keeps it waiting.
        if member.is_some_and(|member| since != u32::MAX && member.first_seen > since) {
            continue;
        }
        let still = member.is_some_and(|member| since != u32::MAX && member.still_since <= since);
        outsiders.push(Outsider { task: index, still });
    }
    Crowd { kinds, locks, waiters: waiters.len() as u64, standing_ns, outsiders, insiders }
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
