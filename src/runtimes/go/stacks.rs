//! Every distinct stack once, shared by the threads that read.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::unwind::CodeAddress;

/// Number of a stack in a [`Stacks`].
pub(super) type StackNumber = u32;

/// A distinct stack, innermost address first.
pub(super) type Stack = Arc<[CodeAddress]>;

/// Code addresses kept in all, 8 bytes each. A program that does not lie stays far below.
const MAX_ADDRESSES: usize = 1 << 24;
/// Frames kept of a stack that arrives when there is no more room.
const FRAMES_WHEN_FULL: usize = 32;

/// Every distinct stack once.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    numbers: FxHashMap<Stack, StackNumber>,
    /// The stacks in the order of their numbers.
    all: Vec<Stack>,
    addresses: usize,
}

impl Table {
    fn add(&mut self, stack: Stack) -> StackNumber {
        let number = self.all.len() as StackNumber;
        self.addresses += stack.len();
        self.all.push(Arc::clone(&stack));
        self.numbers.insert(stack, number);
        number
    }
}

impl Stacks {
    /// The number of a stack, and how many of its frames were kept.
    fn number(&self, stack: &[CodeAddress]) -> (StackNumber, usize) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let full = table.addresses + stack.len() > MAX_ADDRESSES;
        let stack = if full { &stack[..stack.len().min(FRAMES_WHEN_FULL)] } else { stack };
        let known = table.numbers.get(stack).copied();
        (known.unwrap_or_else(|| table.add(stack.into())), stack.len())
    }

    fn table(&mut self) -> &mut Table {
        self.table.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many stacks there are, and how many addresses in them.
    pub(super) fn size(&mut self) -> (usize, usize) {
        let table = self.table();
        (table.all.len(), table.addresses)
    }

    /// Removes the stacks that are not `used`; returns the new numbers of the others.
    pub(super) fn keep(&mut self, used: &[bool]) -> Vec<Option<StackNumber>> {
        let old = std::mem::take(self.table());
        let used = used.iter().copied().chain(std::iter::repeat(false));
        let keep = |(stack, used): (Stack, bool)| used.then(|| self.table().add(stack));
        old.all.into_iter().zip(used).map(keep).collect()
    }

    /// The stack with this number.
    pub(super) fn get(&self, number: StackNumber) -> Option<Stack> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.all.get(number as usize).map(Arc::clone)
    }

    /// The stacks in the order of their numbers.
    pub(super) fn list(&self) -> Vec<Stack> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }
}

/// The stacks that the tasks of one reading have. The snapshot's own stacks say less: there, two are one if they differ only in
/// whether the innermost function was interrupted or has called another.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskStacks<'a> {
    /// Number of the first task of the runtime in the builder.
    pub(super) first_task: usize,
    /// The numbers of the tasks' stacks.
    pub(super) numbers: &'a [Option<StackNumber>],
    /// Every stack.
    pub(super) all: &'a [Stack],
}

impl<'a> TaskStacks<'a> {
    /// The number of a task's stack. `task`: its number in the builder.
    pub(super) fn number(self, task: usize) -> Option<StackNumber> {
        *self.numbers.get(task.checked_sub(self.first_task)?)?
    }

    /// A task's stack; empty if it has none.
    pub(super) fn of(self, task: usize) -> &'a [CodeAddress] {
        self.number(task).and_then(|number| self.all.get(number as usize)).map_or(&[], |stack| stack)
    }
}

/// One thread's access to a [`Stacks`]: asks it only about stacks that are new to this thread.
#[derive(Debug)]
pub(super) struct StackCache<'a> {
    shared: &'a Stacks,
    known: FxHashMap<Box<[CodeAddress]>, StackNumber>,
}

impl<'a> StackCache<'a> {
    pub(super) fn new(shared: &'a Stacks) -> Self {
        StackCache { shared, known: FxHashMap::default() }
    }

    /// The number of a stack, and how many of its frames were kept: fewer than it has only when
    /// there is no more room.
    pub(super) fn number(&mut self, stack: &[CodeAddress]) -> (StackNumber, usize) {
        if let Some(&number) = self.known.get(stack) {
            return (number, stack.len());
        }
        let (number, kept) = self.shared.number(stack);
        if kept == stack.len() {
            self.known.insert(stack.into(), number);
        }
        (number, kept)
    }
}
