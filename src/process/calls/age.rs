//! Since when a thread sleeps.
//!
//! The kernel tells when a thread last ran, on the clock of the scheduler of one CPU. That clock stands still while a
//! virtual CPU does not run, so it is compared only with itself: what it shows now, less what it showed when the thread
//! went to sleep, is the least time that has passed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::sched;
use crate::process::proc;
use crate::snapshot::Age;

/// What a clock showed is used again for this long: an age is too low by that much at most.
const FRESH: Duration = Duration::from_millis(50);

/// What the clock of each CPU showed, and when; None where loiter may not run.
type Clocks = FxHashMap<usize, (Instant, Option<u64>)>;

static CLOCKS: Mutex<Option<Clocks>> = Mutex::new(None);

/// How long ago a sleeping thread ran last.
pub(super) fn of_thread(pid: u32, tid: u32) -> Age {
    let known = || {
        let folder = format!("/proc/{pid}/task/{tid}");
        let before = last_cpu(&proc::read_text(format!("{folder}/stat")).ok()?)?;
        let ran = sched::last_ran(&format!("{folder}/sched"))?;
        let now = clock(before, ran)?;
        Some(Age::AtLeast(now.saturating_sub(ran)))
    };
    known().unwrap_or_default()
}

/// The CPU on which a thread last ran: field 39 of its stat file (proc(5)), whose third one is the first after the name.
fn last_cpu(stat: &str) -> Option<usize> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(39 - 3)?.parse().ok()
}

/// What the clock of a CPU shows, at least; not less than `least` if it is known to be past that.
fn clock(cpu: usize, least: u64) -> Option<u64> {
    let mut clocks = CLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let clocks = clocks.get_or_insert_default();
    if let Some(&(at, shown)) = clocks.get(&cpu) {
        let is_usable = shown.is_none_or(|shown| shown >= least);
        if at.elapsed() < FRESH && is_usable {
            return shown;
        }
    }
    let shown = sched::clock_of(cpu).ok();
    clocks.insert(cpu, (Instant::now(), shown));
    shown
}
