//! CPU time of the tasks of a picture.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Picture;
use crate::report::units::percent;
use crate::session::record::{CpuNs, CpuTimes};
use crate::snapshot::Task;

/// CPU time of the tasks of a picture, and what is no task's of it.
#[derive(Debug, Clone)]
pub struct CpuTable {
    /// What the sampler said.
    pub times: Arc<CpuTimes>,
    /// By the task's index in the picture; only tasks with samples.
    by_task: FxHashMap<u32, CpuNs>,
    /// Tasks of the picture that do not collect garbage.
    pub tasks: CpuNs,
    /// Tasks that collect garbage.
    pub collectors: CpuNs,
    /// Tasks that have ended, or began after the reading.
    pub absent: CpuNs,
}

impl CpuTable {
    /// None if the times are of another program than the picture, or cover too little.
    pub(super) fn new(picture: &Picture, times: &Arc<CpuTimes>) -> Option<CpuTable> {
        let runtimes = &picture.snapshot.header.runtimes;
        let same_runtimes = || runtimes.iter().map(|runtime| &runtime.name).eq(&times.runtimes);
        if picture.program != Some(times.program) || !times.is_enough() || !same_runtimes() {
            return None;
        }
        let mut table = CpuTable {
            times: Arc::clone(times),
            by_task: FxHashMap::default(),
            tasks: CpuNs::default(),
            collectors: CpuNs::default(),
            absent: CpuNs::default(),
        };
        let tasks = &picture.snapshot.tasks;
        for sampled in &times.tasks {
            let key = (sampled.runtime, Some(sampled.id));
            let at = tasks.partition_point(|task| (task.runtime, task.id) < key);
            let is_there = tasks.get(at).is_some_and(|task| (task.runtime, task.id) == key);
            if is_there {
                table.by_task.insert(at as u32, sampled.ns);
            }
            let sum = match (sampled.collects, is_there) {
                (true, _) => &mut table.collectors,
                (false, true) => &mut table.tasks,
                (false, false) => &mut table.absent,
            };
            *sum = [*sum, sampled.ns].into_iter().sum();
        }
        Some(table)
    }

    /// The time of a task. None if it cannot be known.
    pub fn of(&self, task: &Task, index: u32) -> Option<CpuNs> {
        task.id?;
        Some(self.by_task.get(&index).copied().unwrap_or_default())
    }

    /// The time of some tasks together. None if it cannot be known of each one, or if there are none.
    pub fn sum(&self, picture: &Picture, tasks: &[u32]) -> Option<CpuNs> {
        let of = |&index: &u32| self.of(picture.snapshot.tasks.get(index as usize)?, index);
        if tasks.is_empty() { None } else { tasks.iter().map(of).sum() }
    }

    /// "41 %": a time of the window as a share of one CPU.
    pub fn share(&self, ns: CpuNs) -> String {
        percent(ns.window, self.times.covers.window)
    }

    /// "40 %": the same since the beginning.
    pub fn total_share(&self, ns: CpuNs) -> String {
        percent(ns.total, self.times.covers.total)
    }

    /// Time that is no task's of the program in this reading: whose it is, in words, with its share of one CPU. What
    /// has no time is left out.
    pub fn rest(&self) -> Vec<String> {
        let all = [
            ("garbage collection", self.collectors),
            ("scheduler", self.times.scheduler),
            ("native threads", self.times.native),
            ("tasks not in this reading", self.absent),
            ("not attributed", self.times.unknown),
        ];
        let used = all.into_iter().filter(|(_, ns)| ns.window > 0);
        used.map(|(name, ns)| format!("{name} {}", self.share(ns))).collect()
    }
}
