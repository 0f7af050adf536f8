//! A future that ends with its task.

use std::mem::{self, ManuallyDrop};
use std::pin::Pin;

use crate::task::Task;

/// A future and its task, which end together. The task says whether the future is still there: an Option
/// would take another word in each task of the program, which is often one word too many for the allocator's
/// next smaller size.
pub(crate) struct FutureOfTask<F> {
    /// Present while `task` is not over.
    future: ManuallyDrop<F>,
    task: Task,
}

impl<F> FutureOfTask<F> {
    pub(crate) fn new(future: F, task: Task) -> Self {
        FutureOfTask { future: ManuallyDrop::new(future), task }
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// Both, unless they are over.
    #[inline(always)]
    pub(crate) fn parts(self: Pin<&mut Self>) -> Option<(Pin<&mut F>, &mut Task)> {
        // SAFETY: nothing is moved out of `this`.
        let this = unsafe { self.get_unchecked_mut() };
        if this.task.is_over() {
            return None;
        }
        // SAFETY: the future is pinned as `self` is: it is not moved before it is dropped, by `end`.
        Some((unsafe { Pin::new_unchecked(&mut *this.future) }, &mut this.task))
    }

    /// Drops the future, as the task, then the task.
    #[inline]
    pub(crate) fn end(self: Pin<&mut Self>) {
        // SAFETY: the future is dropped where it is, and the task may be moved.
        let this = unsafe { self.get_unchecked_mut() };
        // Marked as over before anything else, so that a future that panics is not dropped again.
        let task = mem::replace(&mut this.task, Task::OVER);
        if !task.is_over() {
            let _current = task.enter();
            // SAFETY: the task was not over, so the future is there; from now on it is marked as over.
            unsafe { ManuallyDrop::drop(&mut this.future) };
        }
    }
}

impl<F> Drop for FutureOfTask<F> {
    fn drop(&mut self) {
        // SAFETY: what is being dropped is not moved any more.
        unsafe { Pin::new_unchecked(self) }.end();
    }
}
