//! Tokio's spawn functions and `JoinSet` with registration of the tasks that they spawn.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use loiter_registry::tokio as tasks;
//!
//! let answer = tasks::spawn_named("adder", async { 1 + 1 });
//! assert_eq!(answer.await.unwrap(), 2);
//! # }
//! ```

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic;

use tokio::runtime::Handle;
use tokio::task::{self, AbortHandle, JoinHandle};

use crate::format::{Kind, RuntimeKind};
use crate::names::Name;
use crate::task::Registration;

/// [`tokio::spawn`](task::spawn()), registered.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Builder::new().spawn(future)
}

/// [`spawn`], with a name for the task.
#[track_caller]
pub fn spawn_named<F>(name: impl Into<Name>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Builder::new().name(name).spawn(future)
}

/// [`tokio::task::spawn_local`], registered.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Builder::new().spawn_local(future)
}

/// [`tokio::task::spawn_blocking`], registered.
#[track_caller]
pub fn spawn_blocking<F, R>(job: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Builder::new().spawn_blocking(job)
}

/// A task to be spawned, with its registration data.
#[derive(Debug, Clone)]
#[must_use = "nothing is spawned yet"]
pub struct Builder {
    registration: Registration,
}

impl Default for Builder {
    #[track_caller]
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// A task that the caller spawns.
    #[track_caller]
    pub fn new() -> Builder {
        let registration = Registration::spawned_at(panic::Location::caller());
        registration.suggest_runtime(RuntimeKind::Tokio);
        Builder { registration }
    }

    /// The registration data of a task that is spawned in another way.
    pub fn from_registration(registration: Registration) -> Builder {
        Builder { registration }
    }

    /// Gives it a name.
    pub fn name(self, name: impl Into<Name>) -> Builder {
        Builder { registration: self.registration.name(name) }
    }

    /// Spawns a future on the current runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let future = self.registration.track(future);
        unseen_by_hooks(|| task::spawn(future))
    }

    /// Spawns a future on a given runtime.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let future = self.registration.track(future);
        unseen_by_hooks(|| runtime.spawn(future))
    }

    /// Spawns a future on the current `LocalSet`.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let future = self.registration.kind(Kind::Local).track(future);
        unseen_by_hooks(|| task::spawn_local(future))
    }

    /// Runs a job on Tokio's threads for blocking work.
    #[track_caller]
    pub fn spawn_blocking<F, R>(self, job: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let job = self.blocking(job);
        unseen_by_hooks(|| task::spawn_blocking(job))
    }

    fn blocking<F, R>(self, job: F) -> impl FnOnce() -> R + Send + 'static
    where
        F: FnOnce() -> R + Send + 'static,
    {
        let mut task = self.registration.kind(Kind::Blocking).type_of::<F>().register();
        move || task.run(job)
    }
}

/// Tokio's own hooks, if they are installed, ignore the tasks spawned here.
#[inline(always)]
#[track_caller]
fn unseen_by_hooks<R>(spawn: impl FnOnce() -> R) -> R {
    #[cfg(all(feature = "tokio-hooks", tokio_unstable))]
    let _registered = crate::hooks::Registered::mark();
    spawn()
}

/// Tokio's [`JoinSet`](task::JoinSet) with registration of the tasks spawned on it. All other methods are Tokio's.
#[derive(Debug)]
pub struct JoinSet<T> {
    inner: task::JoinSet<T>,
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> JoinSet<T> {
        JoinSet { inner: task::JoinSet::new() }
    }

    /// Tokio's own set.
    pub fn into_inner(self) -> task::JoinSet<T> {
        self.inner
    }
}

impl<T: 'static> JoinSet<T> {
    /// Spawns a future on the set.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_with(Builder::new(), future)
    }

    /// Spawns a future on the set, with a name.
    #[track_caller]
    pub fn spawn_named<F>(&mut self, name: impl Into<Name>, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_with(Builder::new().name(name), future)
    }

    /// Spawns a future on the set, as configured by the builder.
    #[track_caller]
    pub fn spawn_with<F>(&mut self, builder: Builder, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let future = builder.registration.track(future);
        unseen_by_hooks(|| self.inner.spawn(future))
    }

    /// Spawns a future on the set and on the current `LocalSet`.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        let future = Builder::new().registration.kind(Kind::Local).track(future);
        unseen_by_hooks(|| self.inner.spawn_local(future))
    }

    /// Runs a job on Tokio's threads for blocking work.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, job: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        let job = Builder::new().blocking(job);
        unseen_by_hooks(|| self.inner.spawn_blocking(job))
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        JoinSet::new()
    }
}

impl<T> Deref for JoinSet<T> {
    type Target = task::JoinSet<T>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl<T> DerefMut for JoinSet<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}
