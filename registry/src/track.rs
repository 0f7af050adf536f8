//! A future that is a registered task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::task::{Registration, Task};

/// Registers a future as a task from now until it is finished or dropped. Spawned at the caller's
/// place, by the task that runs now. For any executor:
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
    /// Registers a future as a task, as said so far.
    #[inline]
    pub fn track<F: Future>(self, future: F) -> Tracked<F> {
        self.type_of::<F>().track_as_is(future)
    }

    /// The same, leaving the type as it was said.
    #[inline]
    pub(crate) fn track_as_is<F: Future>(self, future: F) -> Tracked<F> {
        Tracked { inner: Some(future), task: self.register() }
    }
}

pin_project! {
    /// A future that is a registered task. Made by [`track`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Tracked<F> {
        #[pin]
        inner: Option<F>,
        task: Task,
    }

    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What the future runs while it is dropped still belongs to the task.
            if this.inner.is_some() {
                let _current = this.task.enter();
                this.inner.set(None);
            }
        }
    }
}

impl<F> Tracked<F> {
    /// Id of the task. None if the registry was full, or the task is over.
    pub fn id(&self) -> Option<u64> {
        self.task.id()
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let task = this.task;
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            panic!("a tracked future was polled after it was finished");
        };
        task.running();
        let current = task.enter();
        let result = inner.poll(cx);
        if result.is_ready() {
            this.inner.set(None);
            drop(current);
            *task = Task::NONE;
        } else {
            drop(current);
            task.stop();
        }
        result
    }
}
