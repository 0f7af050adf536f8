//! Every distinct stack once, shared by the threads that read.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::unwind::CodeAddress;

/// Number of a stack in a [`Stacks`].
pub(super) type StackNumber = u32;

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
    numbers: FxHashMap<Box<[CodeAddress]>, StackNumber>,
    addresses: usize,
}

impl Stacks {
    /// The number of a stack, and how many of its frames were kept.
    fn number(&self, stack: &[CodeAddress]) -> (StackNumber, usize) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let full = table.addresses + stack.len() > MAX_ADDRESSES;
        let stack = if full { &stack[..stack.len().min(FRAMES_WHEN_FULL)] } else { stack };
        if let Some(&number) = table.numbers.get(stack) {
            return (number, stack.len());
        }
        let number = table.numbers.len() as StackNumber;
        table.numbers.insert(stack.into(), number);
        table.addresses += stack.len();
        (number, stack.len())
    }

    /// The stacks in the order of their numbers.
    pub(super) fn into_vec(self) -> Vec<Box<[CodeAddress]>> {
        let table = self.table.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = table.numbers.into_iter().collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        all.into_iter().map(|(stack, _)| stack).collect()
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
