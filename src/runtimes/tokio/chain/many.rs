//! The chains of many tasks at once, on several threads. A way that is new is walked once, by the types of the debug
//! information, and remembered; others go it again.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use super::super::scan::state;
use super::replay::{Outcome, Replay, Replayed};
use super::routes::Part;
use super::walk::Walk;
use super::window::{Window, Windows};
use super::{Asked, Chain, Chains, Moved, Template};
use crate::process::Memory;

/// How often a future is read if its task runs meanwhile.
const ATTEMPTS: usize = 3;
/// How often memory that many chains lack is read at a time. What is deeper is read for each chain alone.
const ROUNDS: usize = 6;
/// Tasks that are walked at a time. A task that runs meanwhile has to be read again.
const WALKED: usize = 128;
/// Tasks that go known ways at a time.
const AT_A_TIME: usize = 512;
/// How often new ways are looked for, and how many are learned at a time. Tasks of which none is known then are walked.
const ROUNDS_OF_LESSONS: usize = 64;
const LESSONS: usize = 4 << 10;

/// What is known of the chain of one task.
#[derive(Debug, Clone)]
pub(in super::super) enum Found {
    /// The layout of its future is unknown.
    Unknown,
    /// It ran meanwhile, however often its future was read.
    Moved,
    /// It is the one with this number. Where its values begin.
    Known(u32, usize),
    /// One of its own, with its values.
    Own(Arc<Template>, Vec<u64>),
}

/// The chains of some tasks.
#[derive(Debug, Default)]
pub(in super::super) struct FoundChains {
    pub(in super::super) each: Vec<Found>,
    /// The values of known chains.
    pub(in super::super) kept: Vec<u64>,
}

impl Chains {
    /// The chains of tasks that do not run. `still`: nothing moves.
    pub(in super::super) fn chains(
        &mut self,
        asked: &[Asked<'_>],
        memory: &dyn Memory,
        still: bool,
        threads: NonZeroUsize,
    ) -> FoundChains {
        let mut found = FoundChains { each: vec![Found::Unknown; asked.len()], kept: Vec::new() };
        let mut open: Vec<usize> = (0..asked.len()).collect();
        open.retain(|nth| asked.get(*nth).is_some_and(|asked| asked.kind.stage.is_some()));
        let mut slow = Vec::new();
        let mut lessons = 0;
        for _ in 0..ROUNDS_OF_LESSONS {
            if open.is_empty() || lessons >= LESSONS {
                break;
            }
            let unknown = self.replay(asked, &open, (memory, still, threads), &mut found, &mut slow);
            open.clear();
            for members in unknown {
                let Some((&first, others)) = members.split_first() else { continue };
                let Some(task) = asked.get(first) else { continue };
                lessons += 1;
                if lessons > LESSONS {
                    slow.extend(members);
                    continue;
                }
                let (chain, is_known) = self.chain(task, memory, still);
                if let Some(of_first) = found.each.get_mut(first) {
                    *of_first = chain;
                }
                let rest = if is_known { &mut open } else { &mut slow };
                rest.extend_from_slice(others);
            }
        }
        slow.append(&mut open);
        slow.sort_unstable();
        for slow in slow.chunks(WALKED) {
            let tasks: Vec<&Asked<'_>> = slow.iter().filter_map(|nth| asked.get(*nth)).collect();
            for (nth, chain) in slow.iter().zip(self.walked(&tasks, memory, still)) {
                if let Some(of_task) = found.each.get_mut(*nth) {
                    *of_task = chain;
                }
            }
        }
        found
    }

    /// Goes known ways. The tasks that came to the same unknown place, together; those that must be walked go into `slow`.
    fn replay(
        &self,
        asked: &[Asked<'_>],
        open: &[usize],
        (memory, still, threads): (&dyn Memory, bool, NonZeroUsize),
        found: &mut FoundChains,
        slow: &mut Vec<usize>,
    ) -> Vec<Vec<usize>> {
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let batches = open.len().div_ceil(AT_A_TIME);
        let work = || {
            let mut replay = Replay::new(&self.routes, memory, still);
            let (mut mine, mut own) = (Vec::new(), Replayed::default());
            while let Some(batch) = open.chunks(AT_A_TIME).nth(next.fetch_add(1, Ordering::Relaxed)) {
                let tasks: Vec<&Asked<'_>> = batch.iter().filter_map(|nth| asked.get(*nth)).collect();
                replay.run(&tasks, &mut own);
                mine.extend_from_slice(batch);
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).push((mine, own));
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.get().min(batches.max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let mut unknown: FxHashMap<_, Vec<usize>> = FxHashMap::default();
        for (tasks, mut own) in all.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let base = found.kept.len();
            found.kept.append(&mut own.kept);
            for (nth, outcome) in tasks.into_iter().zip(own.outcomes) {
                match outcome {
                    Outcome::End(end, kept) => {
                        if let Some(of_task) = found.each.get_mut(nth) {
                            *of_task = Found::Known(end, base + kept);
                        }
                    }
                    Outcome::Unknown(place) => {
                        let vtable = asked.get(nth).map_or(0, |asked| asked.vtable.address);
                        unknown.entry((vtable, place)).or_default().push(nth);
                    }
                    Outcome::Other => slow.push(nth),
                }
            }
        }
        let mut unknown: Vec<_> = unknown.into_iter().collect();
        unknown.sort_unstable();
        unknown.into_iter().map(|(_, tasks)| tasks).collect()
    }

    /// The chains of tasks that are walked together.
    fn walked(&mut self, asked: &[&Asked<'_>], memory: &dyn Memory, still: bool) -> Vec<Found> {
        let mut windows = std::mem::take(&mut self.windows);
        windows.begin(asked.iter().map(|asked| asked.extent()));
        let mut chains: Vec<_> = asked.iter().map(|_| Found::Unknown).collect();
        let mut open: Vec<usize> = (0..asked.len()).collect();
        for round in 0..=ROUNDS {
            windows.fetch(memory, &open);
            let at_once = (round == ROUNDS).then_some(memory);
            open.retain(|&nth| {
                let (Some(asked), Some(chain)) = (asked.get(nth), chains.get_mut(nth)) else { return false };
                let walked = windows.window(nth, at_once).map(|mut window| self.walk(asked, &mut window));
                if windows.is_lacking(nth) {
                    return true;
                }
                *chain = match (walked, windows.way(nth)) {
                    (Some(Ok(Some(chain))), Some(way)) => {
                        let (template, kept) = Template::of(chain, way);
                        Found::Own(Arc::new(template), kept)
                    }
                    (Some(Err(Moved)), _) => Found::Moved,
                    _ => Found::Unknown,
                };
                false
            });
        }
        let unchanged = if still { Vec::new() } else { windows.unchanged(memory) };
        self.windows = windows;
        for ((chain, asked), unchanged) in chains.iter_mut().zip(asked).zip(unchanged) {
            if !unchanged {
                *chain = self.chain(asked, memory, still).0;
            }
        }
        chains
    }

    /// The chain of one task, and whether its way is known now. Little time is between the two readings of it.
    fn chain(&mut self, asked: &Asked<'_>, memory: &dyn Memory, still: bool) -> (Found, bool) {
        let mut windows = Windows::default();
        for _ in 0..ATTEMPTS {
            windows.begin(std::iter::once(asked.extent()));
            windows.fetch(memory, &[0]);
            let Some(mut window) = windows.window(0, Some(memory)) else { break };
            let chain = match self.walk(asked, &mut window) {
                Ok(Some(chain)) => chain,
                Ok(None) => return (Found::Unknown, false),
                Err(Moved) => break,
            };
            if !still && windows.unchanged(memory) != [true] {
                continue;
            }
            let Some(way) = windows.way(0) else { break };
            let (template, kept) = Template::of(chain, way);
            let template = Arc::new(template);
            let id = asked.vtable.id;
            let always = [Part { begin: 0, end: 24 }, Part { begin: id, end: id.saturating_add(8) }];
            let is_known = self.routes.learn(asked.vtable.address, &always, way, &template);
            return (Found::Own(template, kept), is_known);
        }
        (Found::Moved, false)
    }

    /// Follows the future of a task in the memory that was read.
    fn walk(&mut self, asked: &Asked<'_>, window: &mut Window<'_>) -> Result<Option<Chain>, Moved> {
        let Asked { kind, header, vtable } = asked;
        let Some(stage) = kind.stage else { return Ok(None) };
        let (offset, of) = stage.future;
        let Some(begin) = vtable.stage().checked_next_multiple_of(stage.alignment) else { return Ok(None) };
        let task = window.task();
        let at = task.wrapping_add(begin);
        let (discriminant, size) = stage.discriminant;
        let value = window.number(at.wrapping_add(discriminant), size);
        let mut word = |offset: u64| window.aside(header.address.wrapping_add(offset), 8);
        // It is still the same task, it does not run and its future is there.
        let same = word(16) == Some(vtable.address) && word(vtable.id) == Some(header.id);
        let is_at_rest = same && word(0).is_some_and(|state| state & (state::RUNNING | state::COMPLETE) == 0);
        if !is_at_rest || !value.is_some_and(|value| stage.is_future(value)) {
            return Err(Moved);
        }
        Ok(Some(Walk::new(self, window).chain(of, at.wrapping_add(offset))))
    }
}
