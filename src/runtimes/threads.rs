//! The threads of a process as tasks, as far as the kernel tells what they do: for programs without a runtime that
//! loiter knows. Nothing is stopped, and no stack is read.

use std::collections::{BTreeMap, BTreeSet};

mod children;
mod mutex;

use self::children::Children;
use super::{Attached, ReadOptions};
use crate::Result;
use crate::process::calls::{self, Awaited, Child, Until};
use crate::process::descriptors::watched_by;
use crate::process::proc::Stat;
use crate::process::{Target, ThreadCall};
use crate::snapshot::{
    Descriptor, DescriptorKind, Hold, HoldKind, LockState, ObjectId, ObjectKind, Protocol, RuntimeInfo,
    Scheduler, SnapshotBuilder, SocketState, StackStatus, SystemCall, Task, TaskState, Timer, TimerKind,
    TimerState, Wait, WaitClass, WaitOp,
};

/// More threads are not read.
const MAX_THREADS: usize = 1 << 16;
/// More descriptors that one thread waits for are left out.
const MAX_AWAITED: usize = 1024;

/// The threads of a process.
#[derive(Debug)]
pub(super) struct Threads;

impl Attached for Threads {
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo> {
        Ok(RuntimeInfo {
            name: "native".to_owned(),
            version: None,
            flavour: Vec::new(),
            task_noun: "thread".to_owned(),
            module: None,
            modules: Vec::new(),
            age_meaning: Some("the time since the thread last ran".to_owned()),
            provenance: vec!["threads and system calls, as the kernel lists them".to_owned()],
            scheduler: Scheduler {
                threads: u32::try_from(target.threads()?.len()).ok(),
                ..Scheduler::default()
            },
            heap: None,
        })
    }

    fn count_tasks(&self, target: &dyn Target) -> Result<u64> {
        Ok(target.threads()?.len() as u64)
    }

    fn read(
        &self,
        target: &dyn Target,
        _options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()> {
        let tids = target.threads()?;
        let left_out = tids.len().saturating_sub(MAX_THREADS);
        if left_out > 0 {
            into.header.reading.missing += left_out as u64;
        }
        let mut reading = Reading::new(target, into);
        let mut all = Vec::with_capacity(tids.len().min(MAX_THREADS));
        for &tid in tids.iter().take(MAX_THREADS) {
            all.extend(reading.thread(tid, runtime));
        }
        reading.finish(all)
    }
}

/// A thread that was read.
struct Thread {
    tid: u32,
    task: Task,
    call: Option<ThreadCall>,
    awaited: Awaited,
    waits: Vec<Wait>,
}

/// One reading of all threads.
struct Reading<'a> {
    target: &'a dyn Target,
    pid: u32,
    into: &'a mut SnapshotBuilder,
    /// Descriptors that threads wait for.
    fds: BTreeSet<u32>,
    /// Locks by the thread that holds them.
    held: BTreeMap<u32, BTreeSet<ObjectId>>,
    children: Children,
}

impl<'a> Reading<'a> {
    fn new(target: &'a dyn Target, into: &'a mut SnapshotBuilder) -> Self {
        let pid = target.info().pid.unwrap_or(0);
        let (fds, held) = (BTreeSet::new(), BTreeMap::new());
        Reading { target, pid, into, fds, held, children: Children::new(pid, target.pid_inside() != pid) }
    }

    /// Reads a thread. None if it has ended.
    fn thread(&mut self, tid: u32, runtime: u8) -> Option<Thread> {
        let Ok(stat) = Stat::read_thread(self.pid, tid) else {
            self.into.header.reading.ended += 1;
            return None;
        };
        let call = if matches!(stat.state, 'S' | 'D') { self.target.call_of(tid) } else { None };
        let task = Task {
            runtime,
            id: Some(tid.into()),
            thread: Some(tid),
            locked_to_thread: true,
            stack_status: StackStatus::Unknown,
            state: state(stat.state),
            labels: Some(self.into.code.labels([("name", stat.comm.as_str())])),
            ..Task::default()
        };
        let mut thread = Thread { tid, task, call, awaited: Awaited::Unknown, waits: Vec::new() };
        if let Some(call) = thread.call.clone() {
            thread.task.age = call.age;
            thread.task.mark = Some(call.sleeps);
            let name = call_name(&call);
            thread.task.reason = Some(self.into.code.string(&name));
            thread.awaited = calls::awaited(&call, self.target);
            thread.waits = self.waits(&thread, &call);
        }
        Some(thread)
    }

    /// What a thread waits for.
    fn waits(&mut self, thread: &Thread, call: &ThreadCall) -> Vec<Wait> {
        match &thread.awaited {
            Awaited::Descriptors { any, more, .. } => {
                if *more {
                    self.left_out(thread.tid, "descriptors");
                }
                self.descriptors(thread.tid, any.iter().copied())
            }
            Awaited::Poll { fd, .. } => {
                let set = watched_by(self.pid, *fd);
                let ops = set.iter().flat_map(|watched| {
                    let ops = [watched.read.then_some(WaitOp::Read), watched.write.then_some(WaitOp::Write)];
                    ops.into_iter().flatten().map(|op| (watched.fd, op))
                });
                let inside = self.descriptors(thread.tid, ops);
                // An empty set, or one that may not be read.
                if inside.is_empty() {
                    self.descriptors(thread.tid, [(*fd, WaitOp::Wait)].into_iter())
                } else {
                    inside
                }
            }
            Awaited::FileLock { fd, op } => self.descriptors(thread.tid, [(*fd, *op)].into_iter()),
            Awaited::Futex { address, is_lock, .. } => vec![self.futex(thread.tid, call, *address, *is_lock)],
            Awaited::Child(child) => self.child(thread.tid, *child),
            Awaited::Time(until) => vec![self.sleep(call, *until)],
            Awaited::Open { path } => {
                let path = calls::path(self.target, *path);
                self.unknown(format!(
                    "thread {} waits to open {path}: nothing is followed from there",
                    thread.tid
                ));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn descriptors(&mut self, tid: u32, wanted: impl Iterator<Item = (u32, WaitOp)>) -> Vec<Wait> {
        let mut wanted: Vec<(u32, WaitOp)> = wanted.take(MAX_AWAITED + 1).collect();
        if wanted.len() > MAX_AWAITED {
            wanted.truncate(MAX_AWAITED);
            self.left_out(tid, "descriptors");
        }
        let mut waits = Vec::with_capacity(wanted.len());
        for (fd, op) in wanted {
            self.fds.insert(fd);
            waits.push(Wait { op, object: self.into.object(ObjectKind::Descriptor, fd.into(), |_| None) });
        }
        waits
    }

    /// The word of memory that a thread waits for: a mutex if it names its owner.
    fn futex(&mut self, tid: u32, call: &ThreadCall, address: u64, is_lock: bool) -> Wait {
        let owner = if is_lock {
            mutex::owner_of_pi(self.target, address)
        } else {
            mutex::owner(self.target, address)
        };
        let owner =
            owner.and_then(|inside| self.target.thread_from_inside(inside)).filter(|&owner| owner != tid);
        // The words are of this call only if the thread still sleeps in it.
        let is_same = self.target.blocked_at(tid).is_some_and(|now| now.sleeps == call.sleeps);
        let Some(owner) = owner.filter(|_| is_same) else {
            let object = self.into.object(ObjectKind::Futex, address, |_| None);
            return Wait { op: WaitOp::Wait, object };
        };
        let object = self.into.object(ObjectKind::Mutex, address, |_| None);
        self.into.set_lock_state(object, LockState::Exclusive);
        self.held.entry(owner).or_default().insert(object);
        Wait { op: WaitOp::Lock, object }
    }

    fn child(&mut self, tid: u32, child: Child) -> Vec<Wait> {
        let pids = match child {
            Child::Pid(inside) => self.children.outside(inside).into_iter().collect(),
            Child::Descriptor(fd) => {
                let found = self.target.descriptors(&[fd]).unwrap_or_default();
                let process = found.first().and_then(|descriptor| descriptor.process);
                let Some(process) = process else {
                    return self.descriptors(tid, [(fd, WaitOp::Wait)].into_iter());
                };
                vec![process]
            }
            _ => self.children.all().to_vec(),
        };
        if pids.len() > MAX_AWAITED {
            self.left_out(tid, "processes");
        }
        let wait = |pid: &u32| {
            let object = self.into.object(ObjectKind::Process, (*pid).into(), |_| None);
            Wait { op: WaitOp::Wait, object }
        };
        pids.iter().take(MAX_AWAITED).map(wait).collect()
    }

    /// A thread that only sleeps: its timer is where it keeps the time.
    fn sleep(&mut self, call: &ThreadCall, until: Until) -> Wait {
        let [first, _, third, ..] = call.arguments;
        let address = if calls::name(call.number) == Some("clock_nanosleep") { third } else { first };
        let object = self.into.object(ObjectKind::Timer, address, |_| None);
        let state = match until {
            Until::At(at) => TimerState::At(at),
            _ => TimerState::Unknown,
        };
        self.into.links.timers.push(Timer { object, kind: TimerKind::Sleep, state, period_ns: 0 });
        Wait { op: WaitOp::Wait, object }
    }

    fn left_out(&mut self, tid: u32, what: &str) {
        self.unknown(format!("thread {tid} waits for more than {MAX_AWAITED} {what}: the rest is left out"));
    }

    fn unknown(&mut self, sentence: String) {
        const MAX_SENTENCES: usize = 64;
        if self.into.links.unknown.len() < MAX_SENTENCES {
            self.into.links.unknown.push(sentence);
        }
    }

    /// Adds everything that was read to the snapshot.
    fn finish(self, all: Vec<Thread>) -> Result<()> {
        let fds: Vec<u32> = self.fds.iter().copied().collect();
        let (mut kinds, mut writable) = (BTreeMap::new(), BTreeSet::new());
        match self.target.descriptors(&fds) {
            Ok(descriptors) => {
                kinds.extend(descriptors.iter().map(|descriptor| (descriptor.fd, descriptor.kind)));
                let all = descriptors.iter().filter(|descriptor| is_writable(descriptor));
                writable.extend(all.map(|descriptor| descriptor.fd));
                self.into.links.descriptors.extend(descriptors);
            }
            Err(error) if fds.is_empty() => tracing::debug!("no descriptors: {error}"),
            Err(error) => self.into.links.unknown.push(format!("descriptors cannot be read: {error}")),
        }
        let mut held = self.held;
        for Thread { tid, mut task, call, awaited, mut waits } in all {
            if let Awaited::Poll { .. } = awaited {
                let fd =
                    |wait: &Wait| self.into.objects().get(wait.object.index()).map(|object| object.address);
                waits.retain(|wait| {
                    let fd = fd(wait).and_then(|fd| u32::try_from(fd).ok());
                    wait.op != WaitOp::Write || fd.is_none_or(|fd| !writable.contains(&fd))
                });
            }
            task.wait_class = wait_class(task.state, &awaited, &waits, &kinds);
            if self.into.room_for_waits(waits.len()) {
                task.waits = self.into.waits(waits);
            }
            let locks = held.remove(&tid).unwrap_or_default();
            let hold = |object| Hold { object, how: HoldKind::Exclusive, location: None };
            task.holds = self.into.holds(locks.into_iter().map(hold));
            let row = u32::try_from(self.into.task_count()).unwrap_or(u32::MAX);
            if let Some(call) = call {
                let name = self.into.code.string(&call_name(&call));
                let kernel_function = call.kernel_function.map(|function| self.into.code.string(&function));
                let ThreadCall { number, arguments, age, foreign, .. } = call;
                let number = if foreign { SystemCall::FOREIGN } else { number };
                let call = SystemCall { task: row, name, number, arguments, kernel_function, age };
                self.into.links.calls.push(call);
            }
            self.into.task(task);
        }
        Ok(())
    }
}

/// Whether a connection can be written to. A thread whose event loop watches it for that (edge-triggered, as nginx does)
/// does not wait for it.
fn is_writable(descriptor: &Descriptor) -> bool {
    descriptor.socket.as_ref().is_some_and(|socket| {
        socket.protocol == Protocol::Tcp
            && matches!(socket.state, SocketState::Established | SocketState::CloseWait)
            && socket.send_queue == Some(0)
            && !socket.peer_full
    })
}

/// The name of a system call: "read", or "system call 999".
fn call_name(call: &ThreadCall) -> String {
    if call.foreign {
        return format!("system call {} of another machine", call.number);
    }
    calls::name(call.number).map_or_else(|| format!("system call {}", call.number), str::to_owned)
}

/// The state with this letter (proc(5)).
fn state(letter: char) -> TaskState {
    match letter {
        'R' => TaskState::Running,
        'S' | 'D' | 'I' => TaskState::Waiting,
        'T' | 't' => TaskState::Preempted,
        'Z' | 'X' | 'x' => TaskState::Finished,
        _ => TaskState::Unknown,
    }
}

fn wait_class(
    state: TaskState,
    awaited: &Awaited,
    waits: &[Wait],
    kinds: &BTreeMap<u32, DescriptorKind>,
) -> WaitClass {
    if state != TaskState::Waiting {
        return if state == TaskState::Unknown { WaitClass::Unknown } else { WaitClass::Nothing };
    }
    match awaited {
        Awaited::Descriptors { any, .. } => match any.as_slice() {
            [] => WaitClass::Sleep,
            [(_, WaitOp::Accept)] => WaitClass::Accept,
            [(_, WaitOp::Connect)] => WaitClass::Network,
            [(fd, _)] if kinds.get(fd) == Some(&DescriptorKind::Socket) => WaitClass::Network,
            _ => WaitClass::Io,
        },
        Awaited::Poll { .. } | Awaited::Open { .. } => WaitClass::Io,
        Awaited::Futex { .. } if waits.iter().any(|wait| wait.op == WaitOp::Lock) => WaitClass::Lock,
        Awaited::Futex { .. } | Awaited::Signal => WaitClass::Other,
        Awaited::Child(_) => WaitClass::Join,
        Awaited::FileLock { .. } => WaitClass::Lock,
        Awaited::Time(_) => WaitClass::Sleep,
        _ => WaitClass::Call,
    }
}
