//! Every distinct stack once, shared by the threads that read.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::unwind::CodeAddress;

/// Number of a stack in a [`Stacks`].
pub(super) type StackNumber = u32;

/// Every distinct stack once.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    numbers: Mutex<FxHashMap<Box<[CodeAddress]>, StackNumber>>,
}

impl Stacks {
    fn number(&self, stack: &[CodeAddress]) -> StackNumber {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.get(stack) {
            return number;
        }
        let number = numbers.len() as StackNumber;
        numbers.insert(stack.into(), number);
        number
    }

    /// The stacks in the order of their numbers.
    pub(super) fn into_vec(self) -> Vec<Box<[CodeAddress]>> {
        let numbers = self.numbers.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = numbers.into_iter().collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        all.into_iter().map(|(stack, _)| stack).collect()
    }
}

/// One thread's way to a [`Stacks`]: asks it only about stacks that this thread has not met.
#[derive(Debug)]
pub(super) struct StackCache<'a> {
    shared: &'a Stacks,
    known: FxHashMap<Box<[CodeAddress]>, StackNumber>,
}

impl<'a> StackCache<'a> {
    pub(super) fn new(shared: &'a Stacks) -> Self {
        StackCache { shared, known: FxHashMap::default() }
    }

    pub(super) fn number(&mut self, stack: &[CodeAddress]) -> StackNumber {
        if let Some(&number) = self.known.get(stack) {
            return number;
        }
        let number = self.shared.number(stack);
        self.known.insert(stack.into(), number);
        number
    }
}
