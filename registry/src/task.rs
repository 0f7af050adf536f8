//! Registering a task and reporting its state. Independent of any runtime.

use std::panic;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;

use crate::current::{self, InTask, Wait};
use crate::format::{Entry, Kind, Location, NO_SLOT, State, WaitReason};
use crate::names::Name;
use crate::places;
use crate::registry::Registry;
use crate::seqlock;

/// The data of a task for its registration.
///
/// The place of the spawn is where [`Registration::new`] was called, and the parent is the task that the
/// calling thread runs; both can be overridden.
///
/// ```
/// use loiter_registry::{Registration, WaitReason};
///
/// let queue = Vec::<u32>::new();
/// let mut task = Registration::new().name("worker").register();
/// task.run(|| { /* some work */ });
/// task.waiting_for(WaitReason::ChannelReceive, &queue);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is registered before `register`"]
pub struct Registration {
    registry: &'static Registry,
    location: Option<&'static Location>,
    parent: u64,
    name: Option<&'static str>,
    type_name: &'static str,
    kind: Kind,
    task_header: u64,
}

impl Registration {
    /// A task that the caller spawns.
    #[track_caller]
    pub fn new() -> Registration {
        Registration::spawned_at(panic::Location::caller())
    }

    /// A task whose place of spawn was recorded by other code.
    pub fn spawned_at(caller: &'static panic::Location<'static>) -> Registration {
        Registration {
            registry: Registry::main(),
            location: places::of_caller(caller, ""),
            parent: current::current_id().unwrap_or(0),
            name: None,
            type_name: "",
            kind: Kind::Async,
            task_header: 0,
        }
    }

    /// Gives the task a name. Names made at run time are kept for ever: give tasks that do the same the same
    /// name, not a new one each.
    pub fn name(mut self, name: impl Into<Name>) -> Registration {
        self.name = name.into().get();
        self
    }

    /// Sets the type of its future or function.
    pub fn type_name(mut self, name: &'static str) -> Registration {
        self.type_name = name;
        self
    }

    /// Sets the type of its future or function to `T`.
    pub fn type_of<T: ?Sized>(self) -> Registration {
        self.type_name(std::any::type_name::<T>())
    }

    /// Sets the kind of task.
    pub fn kind(mut self, kind: Kind) -> Registration {
        self.kind = kind;
        self
    }

    /// Sets the task that started it; None if no task did.
    pub fn parent(mut self, id: Option<u64>) -> Registration {
        self.parent = id.unwrap_or(0);
        self
    }

    /// Puts it into `registry` instead of the main one. Parents are searched in the same registry.
    pub fn registry(mut self, registry: &'static Registry) -> Registration {
        self.registry = registry;
        self
    }

    /// Sets the address of the runtime's own structure for the task.
    pub fn task_header(mut self, address: u64) -> Registration {
        self.task_header = address;
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn suggest_runtime(&self, kind: crate::format::RuntimeKind) {
        self.registry.suggest_runtime(kind);
    }

    /// Registers the task: from now on readers see it. About 20 ns; never blocks.
    #[inline]
    pub fn register(self) -> Task {
        let Some(entry) = self.registry.take() else { return Task { entry: Some(&NOWHERE) } };
        self.fill(entry, self.registry.issue_id());
        Task { entry: Some(entry) }
    }

    /// Turns a free entry into that of this task. The fields of the polls are written while `seq` is odd, so
    /// no reader mistakes it for the previous task of the entry, whose id is still there.
    #[inline]
    fn fill(&self, entry: &Entry, id: u64) {
        let name = self.name.unwrap_or("");
        seqlock::write(&entry.seq, || {
            if entry.id.load(Relaxed) != 0 {
                entry.generation.store(entry.generation.load(Relaxed).wrapping_add(1), Relaxed);
            }
            entry.id.store(id, Relaxed);
            entry.parent_id.store(self.parent, Relaxed);
            entry.spawned_ns.store(self.registry.now(), Relaxed);
            entry.location.store(address_of(self.location), Relaxed);
            entry.type_name.store(self.type_name.as_ptr().cast_mut(), Relaxed);
            entry.name.store(name.as_ptr().cast_mut(), Relaxed);
            entry.type_name_len.store(self.type_name.len() as u32, Relaxed);
            entry.name_len.store(name.len() as u32, Relaxed);
            self.fill_rest(entry);
            seqlock::write(&entry.poll_seq, || {
                entry.state.store(State::Created as u32, Relaxed);
                entry.polls.store(0, Relaxed);
                entry.last_poll_start_ns.store(0, Relaxed);
                entry.last_poll_end_ns.store(0, Relaxed);
                entry.wait_address.store(0, Relaxed);
                entry.wait_location.store(ptr::null_mut(), Relaxed);
                entry.wait_reason.store(0, Relaxed);
                entry.thread.store(0, Relaxed);
                entry.busy_ns.store(0, Relaxed);
            });
        });
    }

    /// Fields that are mostly the same as for the previous task: a cache line that is not written stays with
    /// every thread that reads it.
    #[inline(always)]
    fn fill_rest(&self, entry: &Entry) {
        if entry.task_header.load(Relaxed) != self.task_header {
            entry.task_header.store(self.task_header, Relaxed);
        }
        if entry.kind.load(Relaxed) != self.kind as u32 {
            entry.kind.store(self.kind as u32, Relaxed);
        }
        if entry.chain_last.load(Relaxed) != NO_SLOT {
            entry.chain_last.store(NO_SLOT, Relaxed);
        }
    }
}

impl Default for Registration {
    #[track_caller]
    fn default() -> Self {
        Registration::new()
    }
}

fn address_of(location: Option<&'static Location>) -> *mut Location {
    location.map_or(ptr::null_mut(), |at| ptr::from_ref(at).cast_mut())
}

/// A registered task: its owner reports what the task does. Dropping it reports that the task is over.
///
/// If the registry's limit was reached, the task is not in it and all of this does nothing.
#[derive(Debug)]
pub struct Task {
    /// [`NOWHERE`]: the registry was full. None: it is over.
    entry: Option<&'static Entry>,
}

/// The entry of tasks that have none, so that [`Task`] is one word.
static NOWHERE: Entry = Entry::new();

impl Task {
    /// One that is over.
    pub(crate) const OVER: Task = Task { entry: None };

    #[inline(always)]
    pub(crate) fn is_over(&self) -> bool {
        self.entry.is_none()
    }

    /// Its entry, if it has one.
    #[inline(always)]
    fn entry(&self) -> Option<&'static Entry> {
        self.entry.filter(|entry| !ptr::eq(*entry, &NOWHERE))
    }

    /// The task of the main registry whose entry has this number. A caller that stores numbers must make sure
    /// that a task has one owner at a time.
    #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
    pub(crate) fn numbered(number: u32) -> Option<Task> {
        Registry::main().entry(number).map(|entry| Task { entry: Some(entry) })
    }

    /// The number of its entry, which is one of the main registry.
    #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
    pub(crate) fn number(&self) -> Option<u32> {
        self.entry().map(|entry| entry.number.load(Relaxed))
    }

    /// Its id. None if the registry was full.
    pub fn id(&self) -> Option<u64> {
        self.entry().map(|entry| entry.id.load(Relaxed))
    }

    /// It begins to run on this thread.
    #[inline]
    pub fn running(&mut self) {
        let Some(entry) = self.entry() else { return };
        let now = Registry::of(entry).poll_now();
        seqlock::write(&entry.poll_seq, || {
            entry.state.store(State::Running as u32, Relaxed);
            entry.polls.store(entry.polls.load(Relaxed) + 1, Relaxed);
            entry.last_poll_start_ns.store(now, Relaxed);
            entry.thread.store(current::thread(), Relaxed);
        });
    }

    /// It stopped running and waits for something unknown.
    pub fn waiting(&mut self) {
        self.stopped(State::Waiting, Wait::default());
    }

    /// It stopped running and waits for `object`: a channel, a lock or anything with an address that other
    /// tasks can wait for too.
    pub fn waiting_for<T: ?Sized>(&mut self, reason: WaitReason, object: *const T) {
        let address = object.cast::<()>().addr() as u64;
        self.stopped(State::Waiting, Wait { reason, address, text: None });
    }

    /// The same, with a reason in the program's own words. `place` is a static made by
    /// [`place!`](crate::place); its name is the reason.
    pub fn waiting_at<T: ?Sized>(&mut self, place: &'static Location, object: *const T) {
        let address = object.cast::<()>().addr() as u64;
        let wait = Wait { reason: WaitReason::Unknown, address, text: Some(place) };
        self.stopped(State::Waiting, wait);
    }

    /// It does not run, but could.
    pub fn ready(&mut self) {
        self.stopped(State::Ready, Wait::default());
    }

    /// Its work is over. Readers see it as finished until the `Task` is dropped.
    pub fn finished(&mut self) {
        self.stopped(State::Finished, Wait::default());
    }

    /// Runs a part of it: until `part` is over, it is running, and is the current task of this thread. Then
    /// it waits for what a future in it has reported.
    pub fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        self.running();
        let result = {
            let _current = self.enter();
            part()
        };
        self.stop();
        result
    }

    #[inline(always)]
    pub(crate) fn enter(&self) -> InTask {
        InTask::enter(self.entry())
    }

    /// The end of a poll that was not the last.
    #[inline(always)]
    pub(crate) fn stop(&mut self) {
        self.stopped(State::Waiting, current::take_wait().unwrap_or_default());
    }

    #[inline]
    fn stopped(&mut self, state: State, wait: Wait) {
        let Some(entry) = self.entry() else { return };
        let now = Registry::of(entry).poll_now();
        seqlock::write(&entry.poll_seq, || {
            if entry.state.load(Relaxed) == State::Running as u32 {
                let ran = now.saturating_sub(entry.last_poll_start_ns.load(Relaxed));
                entry.busy_ns.store(entry.busy_ns.load(Relaxed).wrapping_add(ran), Relaxed);
                entry.last_poll_end_ns.store(now, Relaxed);
            }
            entry.state.store(state as u32, Relaxed);
            entry.wait_reason.store(wait.reason as u32, Relaxed);
            entry.wait_address.store(wait.address, Relaxed);
            entry.wait_location.store(address_of(wait.text), Relaxed);
        });
    }
}

impl Drop for Task {
    #[inline]
    fn drop(&mut self) {
        let Some(entry) = self.entry() else { return };
        // Its identity stays until the entry is used again: state 0 says that it is over.
        seqlock::write(&entry.poll_seq, || entry.state.store(State::Free as u32, Relaxed));
        crate::at::clear(entry);
        Registry::of(entry).give_back(entry);
    }
}
