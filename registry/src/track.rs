//! A future that is a registered task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::future::FutureOfTask;
use crate::task::Registration;

/// Registers a future as a task from now until it is finished or dropped. Its place of spawn is the caller's,
/// its parent the task that runs now. For any executor:
///
/// ```
/// # fn spawn<F: Future>(_: F) {}
/// spawn(loiter_registry::track(async { /* ... */ }));
/// ```
#[track_caller]
pub fn track<F: Future>(future: F) -> Tracked<F> {
    Registration::new().track(future)
}

impl Registration {
    /// Registers a future as a task, with the data set so far.
    #[inline]
    pub fn track<F: Future>(self, future: F) -> Tracked<F> {
        self.type_of::<F>().track_as_is(future)
    }

    /// The same, without changing the type.
    #[inline]
    pub(crate) fn track_as_is<F: Future>(self, future: F) -> Tracked<F> {
        Tracked { both: FutureOfTask::new(future, self.register()) }
    }
}

pin_project! {
    /// A future that is a registered task. Made by [`track`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F> {
        #[pin]
        both: FutureOfTask<F>,
    }
}

impl<F> std::fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked").field("task", self.both.task()).finish_non_exhaustive()
    }
}

impl<F> Tracked<F> {
    /// Id of the task. None if the registry was full, or the task is over.
    pub fn id(&self) -> Option<u64> {
        self.both.task().id()
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut both = self.project().both;
        let Some((future, task)) = both.as_mut().parts() else {
            panic!("a tracked future was polled after it was finished");
        };
        task.running();
        let current = task.enter();
        let result = future.poll(cx);
        drop(current);
        if result.is_ready() {
            both.end();
        } else {
            task.stop();
        }
        result
    }
}
