//! The contexts behind channels that goroutines wait for.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::Search;
use super::contexts::{Contexts, Program, RawContext};
use crate::process::TargetError;
use crate::process::bytes::words;
use crate::runtimes::go::Go;
use crate::snapshot::{Context, ObjectId, WaitObject, WaitOp};

/// Channels examined together.
const TOGETHER: usize = 64;
/// Goroutines whose stacks are searched for one channel's context.
const WAITERS: usize = 2;
/// Bytes of one stack that are searched.
const MAX_STACK: u64 = 16 << 10;

impl Search<'_, '_> {
    /// Finds the contexts that close the channels that tasks receive nothing from but their end.
    pub(super) fn contexts(&mut self) -> Result<(), TargetError> {
        let mut channels = self.channels_of("struct {}");
        channels.retain(|(_, object)| {
            object.channel.is_some_and(|channel| channel.cap == 0 && !channel.closed && channel.receivers > 0)
        });
        let layout = if channels.is_empty() { None } else { self.go.contexts() };
        let Some(layout) = layout else { return Ok(()) };
        // The channels that most goroutines wait for come first.
        channels.sort_by_key(|(id, object)| (Reverse(object.channel.map(|channel| channel.receivers)), *id));
        let waiters = self.waiters(&channels);
        let mut contexts = {
            let Go { types, modules, links, .. } = self.go;
            Contexts::new(Program { types, modules, timer: links.timer }, layout, self.target)
        };
        let mut found: FxHashMap<u32, ObjectId> = FxHashMap::default();
        let mut left_out = 0;
        for together in channels.chunks(TOGETHER) {
            if self.budget.is_over() {
                left_out += together.len();
                continue;
            }
            self.search(together, &waiters, &mut contexts, &mut found)?;
        }
        self.add_contexts(contexts.all, &found);
        if left_out > 0 {
            self.into.links.unknown.push(format!(
                "whether {left_out} of {} channels belong to contexts is unknown: they were left out for lack of time",
                channels.len()
            ));
        }
        Ok(())
    }

    /// Some of the tasks that wait for each channel.
    fn waiters(&self, channels: &[(ObjectId, WaitObject)]) -> FxHashMap<ObjectId, Vec<usize>> {
        let mut waiters: FxHashMap<ObjectId, Vec<usize>> =
            channels.iter().map(|(id, _)| (*id, Vec::new())).collect();
        let enough = |(_, object): &(ObjectId, WaitObject)| {
            object.channel.map_or(0, |channel| channel.receivers as usize).min(WAITERS)
        };
        let mut wanted: usize = channels.iter().map(enough).sum();
        for (number, task) in self.into.tasks().iter().enumerate().skip(self.scope.stacks.first_task) {
            if wanted == 0 {
                break;
            }
            for wait in self.into.waits_of(task).iter().filter(|wait| wait.op == WaitOp::Receive) {
                if let Some(of) = waiters.get_mut(&wait.object).filter(|of| of.len() < WAITERS) {
                    of.push(number);
                    wanted = wanted.saturating_sub(1);
                }
            }
        }
        waiters
    }

    /// Searches the stacks of some channels' waiters.
    fn search(
        &mut self,
        channels: &[(ObjectId, WaitObject)],
        waiters: &FxHashMap<ObjectId, Vec<usize>>,
        contexts: &mut Contexts<'_>,
        found: &mut FxHashMap<u32, ObjectId>,
    ) -> Result<(), TargetError> {
        let tasks = channels.iter().filter_map(|(id, _)| waiters.get(id)).flatten();
        let mut tasks: Vec<usize> = tasks.copied().collect();
        tasks.sort_unstable();
        tasks.dedup();
        let parked = self.structs.parked(&tasks, self.into)?;
        let parked: FxHashMap<usize, _> =
            parked.into_iter().map(|parked| (parked.task, parked.raw)).collect();
        contexts.forget_memory();
        for (id, object) in channels {
            let raws = waiters.get(id).into_iter().flatten().filter_map(|task| parked.get(task));
            for raw in raws {
                let (_, sp, _) = raw.parked_at();
                let len = raw.stack_hi.saturating_sub(sp).min(MAX_STACK) as usize;
                let Ok(bytes) = self.target.read_vec(sp, len) else { continue };
                if let Some(number) = contexts.of_channel(object.address, words(&bytes).collect()) {
                    found.insert(number, *id);
                    break;
                }
            }
        }
        Ok(())
    }

    fn add_contexts(&mut self, all: Vec<RawContext>, found: &FxHashMap<u32, ObjectId>) {
        let first = self.into.links.contexts.len() as u32;
        for (number, raw) in (0..).zip(all) {
            let type_name = raw.type_name.map(|name| self.into.code.string(&name));
            self.into.links.contexts.push(Context {
                object: found.get(&number).copied(),
                address: raw.address,
                type_name,
                deadline: raw.deadline,
                cancelled: raw.cancelled,
                parent: raw.parent.map(|parent| first + parent),
                is_root: raw.is_root,
            });
        }
    }
}
