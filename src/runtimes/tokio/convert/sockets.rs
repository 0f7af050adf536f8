//! What tasks wait for whose chains do not say it, if it is descriptors.
//!
//! A waker may be left of a wait that is over: who reads until something else happens, and then waits for something else,
//! leaves one. So a task waits for descriptors for certain only if nothing else can wake it: each waker is a reference to the
//! task, and the task counts its references.

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::scan::{Header, state};
use super::super::scheduled_io::{self, Waiter};
use super::{Converter, full_text, state_of};
use crate::process::TargetError;
use crate::process::bytes::word;
use crate::runtimes::ReadOptions;
use crate::snapshot::{
    Descriptor, DescriptorKind, ObjectKind, SnapshotBuilder, Socket, SocketState, StackStatus, Task,
    TaskState, Wait, WaitClass, WaitOp,
};

/// What begins the reason of a task that something else may wake.
const PERHAPS: &str = "perhaps ";

impl Converter<'_> {
    /// Adds the descriptors that tasks wait for of which nothing else is known. After `tasks`, before anything else is added.
    pub(in super::super) fn sockets(
        &mut self,
        headers: &[Header],
        options: &ReadOptions,
        into: &mut SnapshotBuilder,
    ) -> Result<(), TargetError> {
        let Some(pid) = self.target.info().pid else { return Ok(()) };
        if options.links.is_zero() || self.target.is_static() {
            return Ok(());
        }
        let first = self.first;
        let row_of = |address: u64, into: &SnapshotBuilder| {
            let rows = into.tasks().get(first..).unwrap_or_default();
            rows.binary_search_by_key(&address, |task| task.address).ok().map(|row| first + row)
        };
        let is_unknown = |header: &&Header| {
            let task = row_of(header.address, into).and_then(|row| into.tasks().get(row));
            header.owner != 0 && state_of(header) == TaskState::Waiting && task.is_some_and(lacks_descriptors)
        };
        let unknown: FxHashMap<u64, &Header> =
            headers.iter().filter(is_unknown).map(|header| (header.address, header)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let is_task = |address| unknown.contains_key(&address);
        let Some(mut found) = scheduled_io::waiters(self.target, pid, options.repeated, is_task)? else {
            let left_out = "the program has very many descriptors: which tasks wait for which is not read";
            into.links.unknown.push(left_out.to_owned());
            return Ok(());
        };
        let at_rest = self.at_rest(&found, &unknown)?;
        found.retain(|waiter| at_rest.contains(&waiter.task));
        let known = self.known_descriptors(&found, into)?;
        found.retain(|waiter| match known.get(&waiter.fd) {
            Some(facts) => facts.inode.zip(waiter.inode).is_none_or(|(now, then)| now == then),
            // It is closed, or nothing is known of any.
            None => known.is_empty(),
        });
        for of_task in found.chunk_by(|one, other| one.task == other.task) {
            let Some((waiter, row)) = of_task.first().and_then(|one| Some((one, row_of(one.task, into)?)))
            else {
                continue;
            };
            let Some(header) = unknown.get(&waiter.task) else { continue };
            // Each waker is a reference; so are the list and the `JoinHandle`.
            let others = 1 + u64::from(header.has(state::JOIN_INTEREST));
            let is_all = header.references() == others + of_task.len() as u64;
            Self::add_waits(row, of_task, is_all, &known, into);
        }
        Ok(())
    }

    /// The tasks that are still as their headers were read.
    fn at_rest(
        &self,
        found: &[Waiter],
        headers: &FxHashMap<u64, &Header>,
    ) -> Result<FxHashSet<u64>, TargetError> {
        let all: FxHashSet<u64> = found.iter().map(|waiter| waiter.task).collect();
        if self.still {
            return Ok(all);
        }
        let all: Vec<(u64, ())> = all.into_iter().map(|address| (address, ())).collect();
        let mut at_rest = FxHashSet::default();
        scheduled_io::each(self.target, &all, 8, |(address, ()), bytes| {
            if headers.get(address).is_some_and(|header| header.state == word(bytes, 0)) {
                at_rest.insert(*address);
            }
        })?;
        Ok(at_rest)
    }

    /// What the kernel says of the descriptors.
    fn known_descriptors(
        &self,
        found: &[Waiter],
        into: &mut SnapshotBuilder,
    ) -> Result<FxHashMap<u32, Facts>, TargetError> {
        let mut all: Vec<u32> = found.iter().map(|waiter| waiter.fd).collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            return Ok(FxHashMap::default());
        }
        let known = match self.target.descriptors(&all) {
            Ok(known) => known,
            Err(error @ TargetError::Ended { .. }) => return Err(error),
            Err(error) => {
                into.links
                    .unknown
                    .push(format!("what the descriptors are is unknown: {}", full_text(&error)));
                return Ok(FxHashMap::default());
            }
        };
        let facts = known.iter().map(|descriptor| (descriptor.fd, Facts::of(descriptor))).collect();
        into.links.descriptors.extend(known);
        Ok(facts)
    }

    /// Says what a task waits for. `is_all`: nothing else can wake it.
    fn add_waits(
        row: usize,
        of_task: &[Waiter],
        is_all: bool,
        known: &FxHashMap<u32, Facts>,
        into: &mut SnapshotBuilder,
    ) {
        let facts = |waiter: &Waiter| known.get(&waiter.fd).copied().unwrap_or_default();
        let mut words: Vec<(&str, WaitClass)> = of_task.iter().map(|waiter| facts(waiter).words()).collect();
        words.sort_unstable_by_key(|(word, _)| *word);
        words.dedup();
        let text = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let reason = if is_all { text } else { format!("{PERHAPS}{text}") };
        let is_news = |task: &Task| task.reason.is_none() || is_all && ends_early(task);
        if into.tasks().get(row).is_some_and(is_news) {
            let reason = into.code.string(&reason);
            let task = into.task_mut(row);
            task.reason = Some(reason);
            task.wait_class = match words[..] {
                [(_, class)] if is_all => class,
                _ if is_all => WaitClass::Select,
                _ => WaitClass::Unknown,
            };
        }
        if !is_all || !into.room_for_waits(of_task.len()) {
            return;
        }
        let waits: Vec<Wait> = of_task
            .iter()
            .map(|waiter| {
                let op = if facts(waiter).listens { WaitOp::Accept } else { waiter.op };
                Wait { op, object: into.object(ObjectKind::Descriptor, waiter.fd.into(), |_| None) }
            })
            .collect();
        into.task_mut(row).waits = into.waits(waits);
    }
}

/// What is known of a descriptor.
#[derive(Debug, Clone, Copy, Default)]
struct Facts {
    is_socket: bool,
    listens: bool,
    /// Its own inode, if the kernel gives it one.
    inode: Option<u64>,
}

impl Facts {
    fn of(descriptor: &Descriptor) -> Facts {
        let is_listening = |socket: &Socket| socket.state == SocketState::Listen;
        // What has no inode of its own is identified in other ways.
        let has_own = !matches!(descriptor.kind, DescriptorKind::Event | DescriptorKind::Terminal);
        Facts {
            inode: descriptor.file.filter(|_| has_own).map(|file| file.inode),
            is_socket: descriptor.kind == DescriptorKind::Socket,
            listens: descriptor.socket.as_ref().is_some_and(is_listening),
        }
    }

    /// The reason of a task that waits for it.
    fn words(self) -> (&'static str, WaitClass) {
        match self {
            Facts { listens: true, .. } => ("accept", WaitClass::Accept),
            Facts { is_socket: true, .. } => ("network I/O", WaitClass::Network),
            Facts { .. } => ("I/O", WaitClass::Io),
        }
    }
}

/// Whether it is unknown what a task waits for, or which descriptor it is.
fn lacks_descriptors(task: &Task) -> bool {
    let is_of_some = matches!(task.wait_class, WaitClass::Io | WaitClass::Network) && task.waits.is_empty();
    task.reason.is_none() || ends_early(task) || is_of_some
}

/// Whether its chain ends at a future of which only the type is known, which is its reason.
fn ends_early(task: &Task) -> bool {
    task.stack_status == StackStatus::Gaps && task.wait_class == WaitClass::Other && task.waits.is_empty()
}
