//! What a fixture says of its locks, and every way in which a snapshot says something else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use loiter::snapshot::{
    Hold, HoldKind, LocationId, LockState, ObjectKind, Snapshot, StackStatus, Task, TaskState, WaitObject,
};
use serde::Deserialize;

/// A lock (or wait group) of the fixture.
#[derive(Debug, Clone, Deserialize)]
pub struct Lock {
    pub scenario: String,
    kind: String,
    address: String,
    state: String,
    count: u32,
    holders: Option<Vec<Holder>>,
    waiters: Option<Vec<u64>>,
    perhaps: Option<Vec<u64>>,
}

/// A goroutine that holds it.
#[derive(Debug, Clone, Deserialize)]
pub struct Holder {
    pub id: u64,
    how: String,
    function: String,
}

/// Something that a snapshot says wrongly of a lock. The text has neither addresses nor ids, so that
/// the same failure in several programs is recognized.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    pub scenario: String,
    pub text: String,
    /// It says too little, about a goroutine that may have run on while it was read.
    pub excused: bool,
}

impl Lock {
    /// Address of the lock itself.
    pub fn address(&self) -> u64 {
        u64::from_str_radix(self.address.trim_start_matches("0x"), 16).expect("addresses are hexadecimal")
    }

    pub fn holders(&self) -> &[Holder] {
        self.holders.as_deref().unwrap_or(&[])
    }

    pub fn waiters(&self) -> &[u64] {
        self.waiters.as_deref().unwrap_or(&[])
    }

    fn kind(&self) -> ObjectKind {
        match self.kind.as_str() {
            "mutex" => ObjectKind::Mutex,
            "rw-mutex" => ObjectKind::RwMutex,
            "wait-group" => ObjectKind::WaitGroup,
            other => panic!("no kind of lock: {other}"),
        }
    }

    fn state(&self) -> LockState {
        match self.state.as_str() {
            "exclusive" => LockState::Exclusive,
            "shared" => LockState::Shared(self.count),
            "outstanding" => LockState::Outstanding(self.count),
            other => panic!("no state of a lock: {other}"),
        }
    }

    /// Do all goroutines that are to wait for it do so?
    pub fn is_waited_for(&self, snapshot: &Snapshot) -> bool {
        let waiting = |id: &u64| {
            let task = snapshot.tasks.iter().find(|task| task.id == Some(*id));
            task.is_some_and(|task| self.has_waiter(snapshot, task))
        };
        self.waiters().iter().all(waiting)
    }

    fn is_at(&self, object: &WaitObject) -> bool {
        object.address == self.address()
            && matches!(object.kind, ObjectKind::Mutex | ObjectKind::RwMutex | ObjectKind::WaitGroup)
    }

    fn has_waiter(&self, snapshot: &Snapshot, task: &Task) -> bool {
        snapshot.waits_of(task).iter().any(|wait| self.is_at(&snapshot.objects[wait.object.index()]))
    }
}

impl Holder {
    fn how(&self) -> HoldKind {
        match self.how.as_str() {
            "exclusive" => HoldKind::Exclusive,
            "shared" => HoldKind::Shared,
            other => panic!("no way to hold a lock: {other}"),
        }
    }
}

/// Every wrong word about locks in a snapshot.
pub fn failures(snapshot: &Snapshot, locks: &[Lock]) -> Vec<Failure> {
    let tasks: BTreeMap<u64, &Task> = snapshot.tasks.iter().filter_map(|t| Some((t.id?, t))).collect();
    // What is held, by address.
    let mut held: BTreeMap<u64, Vec<(&Task, Hold)>> = BTreeMap::new();
    for task in &snapshot.tasks {
        for hold in snapshot.holds_of(task) {
            let object = snapshot.objects[hold.object.index()];
            held.entry(object.address).or_default().push((task, *hold));
        }
    }
    let mut found = Vec::new();
    for lock in locks {
        let held = held.remove(&lock.address()).unwrap_or_default();
        let mut check = Check { snapshot, tasks: &tasks, lock, found: &mut found };
        check.object();
        check.waiters();
        check.holders(&held);
        check.perhaps(&held);
    }
    for (task, hold) in held.into_values().flatten() {
        let text = format!("{:?} by {}, a lock that is not known", hold.how, stack(snapshot, task));
        found.push(Failure { scenario: "no scenario".to_owned(), text, excused: false });
    }
    found
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    tasks: &'a BTreeMap<u64, &'a Task>,
    lock: &'a Lock,
    found: &'a mut Vec<Failure>,
}

impl Check<'_> {
    fn fail(&mut self, text: String) {
        self.found.push(Failure { scenario: self.lock.scenario.clone(), text, excused: false });
    }

    fn object(&mut self) {
        let objects: Vec<_> = self.snapshot.objects.iter().filter(|o| self.lock.is_at(o)).collect();
        let Some(object) = objects.iter().find(|object| object.kind == self.lock.kind()) else {
            return self.fail(format!("the lock is not there, only {objects:?}"));
        };
        if object.lock != Some(self.lock.state()) {
            self.fail(format!("state {:?}, not {:?}", object.lock, self.lock.state()));
        }
    }

    fn waiters(&mut self) {
        let known: BTreeSet<u64> = self.lock.waiters().iter().copied().collect();
        assert_eq!(known.len(), self.lock.waiters().len(), "a waiter stands there twice");
        for id in &known {
            match self.tasks.get(id) {
                None => self.fail("a waiter is missing altogether".to_owned()),
                Some(task) if !self.lock.has_waiter(self.snapshot, task) => {
                    let text = stack(self.snapshot, task);
                    self.fail(format!("does not wait for it: {text}"));
                }
                Some(_) => {}
            }
        }
        for task in &self.snapshot.tasks {
            let is_known = task.id.is_some_and(|id| known.contains(&id));
            if !is_known && self.lock.has_waiter(self.snapshot, task) {
                let text = stack(self.snapshot, task);
                self.fail(format!("waits for it too: {text}"));
            }
        }
    }

    /// Exactly the true holders, each in the right way and once.
    fn holders(&mut self, held: &[(&Task, Hold)]) {
        let sure = |hold: &Hold| hold.how != HoldKind::Perhaps;
        for (task, hold) in held.iter().filter(|(_, hold)| sure(hold)) {
            let text = stack(self.snapshot, task);
            match self.lock.holders().iter().find(|holder| task.id == Some(holder.id)) {
                None => self.fail(format!("{:?} by one that does not hold it: {text}", hold.how)),
                Some(holder) if hold.how != holder.how() => {
                    self.fail(format!("{:?}, not {:?}, by {text}", hold.how, holder.how()));
                }
                Some(holder) => self.location(task, hold, holder),
            }
        }
        for holder in self.lock.holders() {
            let times = held.iter().filter(|(task, h)| sure(h) && task.id == Some(holder.id)).count();
            let task = self.tasks.get(&holder.id).copied();
            let text = task.map_or("nowhere".to_owned(), |task| stack(self.snapshot, task));
            if times != 1 {
                self.fail(format!("found {times} times, the holder {} at {text}", holder.function));
                let moves = |task: &Task| {
                    task.stack_status != StackStatus::Complete
                        || matches!(
                            task.state,
                            TaskState::Running | TaskState::Runnable | TaskState::Preempted
                        )
                };
                if let Some(last) = self.found.last_mut() {
                    last.excused = times == 0 && task.is_some_and(moves);
                }
            }
        }
    }

    fn location(&mut self, task: &Task, hold: &Hold, holder: &Holder) {
        let Some(id) = hold.location else {
            return self.fail("a holder without a place".to_owned());
        };
        if !self.snapshot.stack_of(task).contains(&id) {
            return self.fail(format!("its place is not on its stack: {}", place(self.snapshot, id)));
        }
        if !functions(self.snapshot, id).any(|name| is_function(name, &holder.function)) {
            let text = place(self.snapshot, id);
            self.fail(format!("goes on from {text}, not from {}", holder.function));
        }
    }

    /// Only for a lock without a holder, and never one that waits for it.
    fn perhaps(&mut self, held: &[(&Task, Hold)]) {
        let sure = held.iter().any(|(_, hold)| hold.how != HoldKind::Perhaps);
        let mut named = BTreeSet::new();
        for (task, hold) in held.iter().filter(|(_, hold)| hold.how == HoldKind::Perhaps) {
            let text = stack(self.snapshot, task);
            if sure {
                self.fail(format!("perhaps by {text}, though its holder was found"));
            }
            if self.lock.has_waiter(self.snapshot, task) {
                self.fail(format!("perhaps by one that waits for it: {text}"));
            }
            if hold.location.is_some() {
                self.fail(format!("perhaps, but with a place: {text}"));
            }
            if !named.insert(task.id) {
                self.fail(format!("perhaps, twice: {text}"));
            }
        }
        for id in self.lock.perhaps.iter().flatten() {
            if !named.contains(&Some(*id)) {
                self.fail("has its address on its stack and is not named".to_owned());
            }
        }
    }
}

/// `name` is that function or a closure in it. The runtime leaves type arguments out.
fn is_function(name: &str, wanted: &str) -> bool {
    let name = without_arguments(name);
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn without_arguments(name: &str) -> String {
    match (name.find('['), name.rfind(']')) {
        (Some(first), Some(last)) => format!("{}[...]{}", &name[..first], &name[last + 1..]),
        _ => name.to_owned(),
    }
}

fn functions(snapshot: &Snapshot, id: LocationId) -> impl Iterator<Item = &str> {
    let frames = &snapshot.code.locations[id.index()].frames;
    frames.iter().map(|frame| snapshot.function_name(frame.function))
}

fn place(snapshot: &Snapshot, id: LocationId) -> String {
    functions(snapshot, id).collect::<Vec<_>>().join(" in ")
}

/// A task's state and the functions of its stack that are not the runtime's, in short.
pub fn stack(snapshot: &Snapshot, task: &Task) -> String {
    let names: Vec<&str> = snapshot
        .stack_of(task)
        .iter()
        .flat_map(|id| functions(snapshot, *id))
        .filter(|name| !name.starts_with("runtime."))
        .map(|name| name.strip_prefix("fixtures/holders.").unwrap_or(name))
        .collect();
    let mut text = format!("{:?} {:?} [", task.state, task.stack_status);
    for name in names.iter().take(6) {
        let _ = write!(text, " {name}");
    }
    text.push_str(if names.len() > 6 { " ... ]" } else { " ]" });
    text
}

/// All failures of many readings, each with where it came up.
#[derive(Debug, Default)]
pub struct Failures {
    /// By scenario and text.
    found: BTreeMap<(String, String), BTreeSet<String>>,
    /// Everywhere that was looked at.
    places: BTreeSet<String>,
}

impl Failures {
    pub fn add(&mut self, at: &str, failures: impl IntoIterator<Item = Failure>) {
        self.places.insert(at.to_owned());
        for failure in failures {
            self.found.entry((failure.scenario, failure.text)).or_default().insert(at.to_owned());
        }
    }

    /// Names of places; of those that begin with the same word only that word, if all are there.
    fn short(&self, places: &BTreeSet<String>) -> Vec<String> {
        let first = |place: &str| place.split(' ').next().unwrap_or_default().to_owned();
        let all_of = |word: &str| self.places.iter().filter(|p| first(p) == word).all(|p| places.contains(p));
        let mut names: Vec<String> = places
            .iter()
            .map(|place| if all_of(&first(place)) { first(place) } else { place.clone() })
            .collect();
        names.dedup();
        names
    }

    /// # Panics
    /// With all of them, if there is one.
    pub fn none(&self) {
        let mut text = String::new();
        for ((scenario, what), places) in &self.found {
            let _ = write!(text, "\n{scenario}: {what}");
            if places.len() < self.places.len() {
                let _ = write!(text, "\n        only in {}", self.short(places).join(", "));
            }
        }
        let scenarios: BTreeSet<&String> = self.found.keys().map(|(scenario, _)| scenario).collect();
        let (wrong, places) = (scenarios.len(), self.places.len());
        assert!(text.is_empty(), "{wrong} scenarios are wrong, everywhere of {places} if not said:{text}");
    }
}
