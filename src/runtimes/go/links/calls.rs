//! The system calls that goroutines are in, and what they wait for there.
//!
//! A goroutine's own wait reason is an old one while it is in a call: its thread tells. The thread must be the
//! goroutine's before and after it is asked, and its stack pointer just below the place where the goroutine left Go's
//! code, unless that place is a call of C.

use super::Search;
use super::descriptors::Known;
use super::parked::Parked;
use crate::process::calls::{Awaited, Child, awaited, name, path};
use crate::process::{TargetError, ThreadCall};
use crate::runtimes::go::threads::thread_of;
use crate::snapshot::{ObjectKind, SystemCall, Wait, WaitOp};

/// Goroutines examined together: few, so that they hardly move meanwhile.
const TOGETHER: usize = 64;
/// Bytes of stack between the caller of a system call and the instruction that makes it.
const MAX_DISTANCE: u64 = 4096;
/// Descriptors that one call waits for at most.
const MAX_DESCRIPTORS: usize = 256;

impl Search<'_, '_> {
    /// The system calls of goroutines.
    pub(super) fn calls(&mut self) -> Result<(), TargetError> {
        let tasks = &self.scope.candidates.calling;
        let mut left_out = 0;
        for together in tasks.chunks(TOGETHER) {
            if self.budget.is_over() {
                left_out += together.len();
                continue;
            }
            let parked = self.structs.parked(together, self.into)?;
            let found =
                parked.into_iter().filter_map(|parked| Some((parked, self.call_of(&parked)?))).collect();
            let found = self.structs.unmoved(found)?;
            for (parked, call) in found {
                if self.is_on_its_thread(&parked) {
                    self.add_call(parked.task, call)?;
                }
            }
        }
        if left_out > 0 {
            self.into.links.unknown.push(format!(
                "the system calls of {left_out} of {} goroutines are unknown: they were left out for lack of time",
                tasks.len()
            ));
        }
        Ok(())
    }

    /// The call that the goroutine's thread is in, if the goroutine made it.
    fn call_of(&mut self, parked: &Parked) -> Option<ThreadCall> {
        if !self.is_on_its_thread(parked) {
            return None;
        }
        let raw = &parked.raw;
        let call = self.target.call_of(self.into.tasks().get(parked.task)?.thread?)?;
        let below = raw.syscallsp.checked_sub(call.sp).is_some_and(|distance| distance <= MAX_DISTANCE);
        let made_it = raw.on_stack(call.sp) && below;
        (made_it || self.resolver.is_cgocall(raw.syscallpc)).then_some(call)
    }

    /// Is the thread of the task still the goroutine's?
    fn is_on_its_thread(&self, parked: &Parked) -> bool {
        let (m, offsets) = (parked.raw.m, &self.go.offsets);
        let current = self.target.read_u64(m.wrapping_add(offsets.m_curg)).ok();
        let thread = self.into.tasks().get(parked.task).and_then(|task| task.thread);
        current == Some(parked.raw.address) && thread_of(self.target, offsets.m_procid, m) == thread
    }

    fn add_call(&mut self, task: usize, call: ThreadCall) -> Result<(), TargetError> {
        let waits = self.awaited(task, &call)?;
        let into = &mut *self.into;
        let name = match name(call.number) {
            Some(name) => into.code.string(name),
            None => into.code.string(&format!("system call {}", call.number)),
        };
        let kernel_function = call.kernel_function.map(|function| into.code.string(&function));
        let Ok(row) = u32::try_from(task) else { return Ok(()) };
        into.links.calls.push(SystemCall {
            task: row,
            name,
            number: call.number,
            arguments: call.arguments,
            kernel_function,
            age: call.age,
        });
        self.add_waits(task, &waits, call.sleeps);
        Ok(())
    }

    /// What a call waits for: objects by kind and address, and how.
    fn awaited(
        &mut self,
        task: usize,
        call: &ThreadCall,
    ) -> Result<Vec<(WaitOp, ObjectKind, u64)>, TargetError> {
        let on_descriptor = |fd: u32, op| vec![(op, ObjectKind::Descriptor, u64::from(fd))];
        Ok(match awaited(call, self.target) {
            Awaited::Descriptors { any, .. } => any
                .into_iter()
                .take(MAX_DESCRIPTORS)
                .map(|(fd, op)| (op, ObjectKind::Descriptor, u64::from(fd)))
                .collect(),
            Awaited::Poll { fd, .. } => on_descriptor(fd, WaitOp::Wait),
            Awaited::FileLock { fd, op } => on_descriptor(fd, op),
            Awaited::Open { path } => {
                self.opens(task, path);
                Vec::new()
            }
            Awaited::Futex { address, is_lock, .. } => {
                let op = if is_lock { WaitOp::Lock } else { WaitOp::Wait };
                vec![(op, ObjectKind::Futex, address)]
            }
            Awaited::Child(Child::Pid(pid)) if self.has_our_pids() => {
                vec![(WaitOp::Wait, ObjectKind::Process, u64::from(pid))]
            }
            Awaited::Child(Child::Descriptor(fd)) => match self.process_of(fd)? {
                Some(pid) => vec![(WaitOp::Wait, ObjectKind::Process, u64::from(pid))],
                None => on_descriptor(fd, WaitOp::Wait),
            },
            _ => Vec::new(),
        })
    }

    /// A task waits to open a path: there is no descriptor yet.
    fn opens(&mut self, task: usize, address: u64) {
        const MAX_SENTENCES: usize = 64;
        let path = path(self.target, address);
        let Some(id) = self.into.tasks().get(task).and_then(|task| task.id) else { return };
        if self.into.links.unknown.len() < MAX_SENTENCES {
            let sentence = format!("goroutine {id} waits to open {path}: nothing is followed from there");
            self.into.links.unknown.push(sentence);
        }
    }

    /// Does the target use the same pids as loiter?
    fn has_our_pids(&self) -> bool {
        self.target.info().pid == Some(self.target.pid_inside())
    }

    /// The process behind a pidfd, as loiter sees it.
    fn process_of(&self, fd: u32) -> Result<Option<u32>, TargetError> {
        match self.target.descriptors(&[fd]) {
            Ok(rows) => Ok(rows.into_iter().find(|row| row.fd == fd).and_then(|row| row.process)),
            Err(error @ TargetError::Ended { .. }) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A task waits for any of these in a system call.
    fn add_waits(&mut self, task: usize, waits: &[(WaitOp, ObjectKind, u64)], sleeps: u64) {
        let thread = self.into.task_mut(task).thread;
        if !self.into.task_mut(task).waits.is_empty() || !self.into.room_for_waits(waits.len()) {
            return;
        }
        let mut rows = Vec::with_capacity(waits.len());
        for &(op, kind, address) in waits {
            rows.push(Wait { op, object: self.into.object(kind, address, |_| None) });
            if let (ObjectKind::Descriptor, Ok(fd)) = (kind, u32::try_from(address)) {
                let known = self.descriptors.entry(fd).or_insert_with(|| Known::new(fd));
                known.called = thread.map(|thread| (thread, sleeps));
            }
        }
        let waits = self.into.waits(rows);
        self.into.task_mut(task).waits = waits;
    }
}
