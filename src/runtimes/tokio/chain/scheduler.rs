//! What a scheduler and its blocking pool say of themselves, by the types of the debug information.
//!
//! Source: tokio 1.28 to 1.54, src/runtime/scheduler/multi_thread/{handle, worker, idle}.rs, src/runtime/blocking/pool.rs,
//! src/runtime/driver.rs, src/runtime/time/mod.rs.

use super::super::find::Vtable;
use super::super::owned::Kind;
use super::super::scan::Header;
use super::values::{Value, Values};
use super::window::Windows;
use super::{Chains, FutureKind};
use crate::process::Memory;

/// More parked workers are not believed.
const MAX_WORKERS: u64 = 1 << 16;

/// Figures of one scheduler. None: unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Figures {
    /// Tasks in the queue that all workers share.
    pub(in super::super) global_queue: Option<u64>,
    /// The numbers of the workers that are parked.
    pub(in super::super) parked: Option<Vec<u64>>,
    /// The pool of threads that run blocking jobs, and the workers.
    pub(in super::super) pool: Option<Pool>,
    /// When its timers were to be looked at next, as it last went to wait: nanoseconds of CLOCK_MONOTONIC. Some(None): there is
    /// no timer.
    pub(in super::super) next_timer: Option<Option<u64>>,
}

/// The threads of a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Pool {
    pub(in super::super) threads: u64,
    /// Those that wait for a job.
    pub(in super::super) idle: u64,
    /// Jobs that wait for a thread.
    pub(in super::super) queued: u64,
    /// The most threads that there may be.
    pub(in super::super) most: u64,
}

impl Pool {
    /// Jobs wait, no thread is idle, and there may be no more of them.
    pub(in super::super) fn is_starved(&self) -> bool {
        self.queued > 0 && self.idle == 0 && self.threads >= self.most
    }
}

impl Chains {
    /// What kind the scheduler of a task is, by the name of its type. None if that is unknown.
    pub(in super::super) fn scheduler_kind(&mut self, kind: &FutureKind) -> Option<Kind> {
        kind_of(&self.layouts.as_mut()?.types.get(kind.scheduler?)?.name)
    }

    /// What the scheduler of a task says. None if its type is unknown.
    pub(in super::super) fn scheduler(
        &mut self,
        kind: &FutureKind,
        memory: &dyn Memory,
        (header, vtable): (&Header, &Vtable),
    ) -> Option<Figures> {
        let of = kind.scheduler?;
        let mut windows = Windows::default();
        windows.begin(std::iter::once((header.address, vtable.trailer)));
        windows.fetch(memory, &[0]);
        let mut window = windows.window(0, Some(memory))?;
        let layouts = self.layouts.as_mut()?;
        let mut values = Values { layouts, window: &mut window };
        let arc = Value { of, at: header.address.wrapping_add(vtable.scheduler).into() };
        let handle = values.shared(arc)?;
        Some(Figures {
            global_queue: global_queue(&mut values, handle),
            parked: parked(&mut values, handle),
            pool: pool(&mut values, handle),
            next_timer: next_timer(&mut values, handle),
        })
    }
}

/// Source: tokio, src/task/local.rs, src/runtime/scheduler/{current_thread, multi_thread}.
fn kind_of(name: &str) -> Option<Kind> {
    let path = name.strip_prefix("alloc::sync::Arc<tokio::")?;
    let kinds = [
        ("runtime::scheduler::multi_thread", Kind::MultiThread),
        ("runtime::scheduler::current_thread", Kind::CurrentThread),
        ("task::local::", Kind::LocalSet),
    ];
    kinds.into_iter().find(|(module, _)| path.starts_with(module)).map(|(_, kind)| kind)
}

fn global_queue(values: &mut Values<'_, '_>, handle: Value) -> Option<u64> {
    let shared = values.member(handle, "shared")?;
    // That of a current-thread runtime is a plain queue in tokio 1.28 (src/runtime/scheduler/current_thread.rs).
    let queue = match values.member(shared, "inject") {
        Some(inject) => inject,
        None => values.member(shared, "queue")?,
    };
    number(values, queue, "len")
}

/// The list of sleeping workers.
fn parked(values: &mut Values<'_, '_>, handle: Value) -> Option<Vec<u64>> {
    let sleepers = values.member(handle, "sleepers")?;
    let count = number(values, sleepers, "len").filter(|count| *count <= MAX_WORKERS)?;
    let first = number(values, sleepers, "pointer")?;
    (0..count).map(|nth| values.window.number(first.checked_add(nth * 8)?, 8)).collect()
}

fn pool(values: &mut Values<'_, '_>, handle: Value) -> Option<Pool> {
    let spawner = values.member(handle, "blocking_spawner")?;
    let inner = values.shared(spawner)?;
    Some(Pool {
        threads: number(values, inner, "num_threads")?,
        idle: number(values, inner, "num_idle_threads")?,
        queued: number(values, inner, "queue_depth")?,
        most: number(values, inner, "thread_cap")?,
    })
}

/// The time driver counts milliseconds from its start (src/runtime/time/{mod, source}.rs).
fn next_timer(values: &mut Values<'_, '_>, handle: Value) -> Option<Option<u64>> {
    let driver = values.member(handle, "driver")?;
    let time = values.member(driver, "time")?;
    let next = number(values, time, "next_wake")?;
    if next == 0 {
        return Some(None);
    }
    let start = values.member(time, "start_time")?;
    let seconds = number(values, start, "tv_sec")?;
    let nanos = values.member(start, "tv_nsec")?;
    let nanos = values.window.number(nanos.at, 4)?;
    let start = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Some(next.checked_mul(1_000_000)?.checked_add(start)?))
}

fn number(values: &mut Values<'_, '_>, of: Value, name: &str) -> Option<u64> {
    let member = values.member(of, name)?;
    values.window.number(member.at, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_scheduler_says_its_kind() {
        let kind = |path: &str| kind_of(&format!("alloc::sync::Arc<{path}, alloc::alloc::Global>"));
        assert_eq!(kind("tokio::runtime::scheduler::multi_thread::handle::Handle"), Some(Kind::MultiThread));
        assert_eq!(kind("tokio::runtime::scheduler::current_thread::Handle"), Some(Kind::CurrentThread));
        assert_eq!(kind("tokio::task::local::Shared"), Some(Kind::LocalSet));
        assert_eq!(kind("api::task::local::Shared"), None);
        assert_eq!(kind_of("tokio::runtime::blocking::schedule::BlockingSchedule"), None);
    }
}
