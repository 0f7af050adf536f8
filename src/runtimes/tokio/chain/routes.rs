//! The ways that walks went, so that they are gone again without looking at types.
//!
//! What a walk finds depends on the type of the task and on the numbers that it reads, on nothing else. So each reading is a
//! junction: where it is read, relative to a pointer that was read before, and which way the walk went by what was there. A task
//! that goes the same way at each junction has the same chain, but for the numbers that were only kept.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::template::Template;
use super::way::{Step, Way, What};

/// Junctions that are remembered of one image.
const MAX_JUNCTIONS: usize = 1 << 19;
/// Parts of the chains at their ends.
const MAX_PARTS: usize = 1 << 20;
/// Ways from one junction.
const MAX_WAYS: usize = 128;
/// Parts that are closer are read as one, bytes.
const CLOSE: u64 = 128;
/// Bytes that are read at one pointer.
const MAX_EXTENT: u64 = 8 << 10;

/// A part of what is read at a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Offset of its begin and its end.
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// A place where ways part.
#[derive(Debug)]
pub(super) struct Junction {
    pub(super) step: Step,
    /// What there was, and where the way goes on.
    ways: Vec<(u64, Next)>,
    /// What is read at the pointer that this one reads.
    pub(super) parts: Vec<Part>,
}

/// Where a way goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Number of a junction.
    To(u32),
    /// Number of the chain that it ends with.
    End(u32),
}

impl Junction {
    /// Where it goes on after this outcome.
    pub(super) fn next(&self, outcome: u64) -> Option<Next> {
        self.ways.iter().find(|(known, _)| *known == outcome).map(|(_, next)| *next)
    }
}

/// Where the ways of a type of task begin.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) first: Next,
    /// What is read of the task.
    pub(super) parts: Vec<Part>,
}

/// The ways of the types of tasks of one image.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// By the address of the vtable.
    roots: FxHashMap<u64, Root>,
    junctions: Vec<Junction>,
    ends: Vec<Arc<Template>>,
    /// Parts of the chains.
    parts: usize,
}

impl Routes {
    pub(super) fn root(&self, vtable: u64) -> Option<&Root> {
        self.roots.get(&vtable)
    }

    pub(super) fn junction(&self, nth: u32) -> Option<&Junction> {
        self.junctions.get(nth as usize)
    }

    pub(super) fn end(&self, nth: u32) -> Option<&Arc<Template>> {
        self.ends.get(nth as usize)
    }

    /// Remembers the way of a walk that ended with a chain. `always`: what is read of each such task in any case. Whether it is
    /// known now.
    pub(super) fn learn(&mut self, vtable: u64, always: &[Part], way: &Way, end: &Arc<Template>) -> bool {
        let room = self.junctions.len().saturating_add(way.turns.len()) <= MAX_JUNCTIONS
            && self.parts.saturating_add(end.size()) <= MAX_PARTS;
        if way.is_lost || !end.is_repeatable() || way.turns.is_empty() || !room {
            return false;
        }
        let Ok((mut path, is_new)) = self.known(vtable, way) else { return false };
        if !is_new {
            return true;
        }
        let first = self.junctions.len() as u32;
        let end_number = self.ends.len() as u32;
        self.ends.push(Arc::clone(end));
        self.parts += end.size();
        let new: Vec<_> = way.turns.iter().skip(path.len()).collect();
        let mut nth = first;
        for (step, outcome) in &new {
            path.push(nth);
            nth += 1;
            let is_last = nth == first + new.len() as u32;
            let next = if is_last { Next::End(end_number) } else { Next::To(nth) };
            self.junctions.push(Junction {
                step: step.clone(),
                ways: vec![(*outcome, next)],
                parts: Vec::new(),
            });
        }
        let next = if new.is_empty() { Next::End(end_number) } else { Next::To(first) };
        let last_known = path.len() - new.len();
        match last_known.checked_sub(1).and_then(|last| Some((way.turns.get(last)?, *path.get(last)?))) {
            Some(((_, outcome), last)) => {
                if let Some(junction) = self.junctions.get_mut(last as usize) {
                    junction.ways.push((*outcome, next));
                }
            }
            None => {
                let mut parts = Vec::new();
                always.iter().for_each(|part| add(&mut parts, *part));
                self.roots.insert(vtable, Root { first: next, parts });
            }
        }
        self.widen(vtable, way, &path);
        true
    }

    /// The junctions on a way that are known, and whether it leaves them anywhere. An error if it cannot be remembered.
    fn known(&self, vtable: u64, way: &Way) -> Result<(Vec<u32>, bool), ()> {
        let mut known = Vec::new();
        let Some(root) = self.roots.get(&vtable) else { return Ok((known, true)) };
        let mut next = root.first;
        for (step, outcome) in &way.turns {
            let Next::To(nth) = next else { return Err(()) };
            let junction = self.junctions.get(nth as usize).filter(|junction| junction.step == *step);
            let junction = junction.ok_or(())?;
            known.push(nth);
            match junction.next(*outcome) {
                Some(other) => next = other,
                None if junction.ways.len() >= MAX_WAYS => return Err(()),
                None => return Ok((known, true)),
            }
        }
        if matches!(next, Next::End(_)) { Ok((known, false)) } else { Err(()) }
    }

    /// Notes what a way, along these junctions, reads at its sources.
    fn widen(&mut self, vtable: u64, way: &Way, path: &[u32]) {
        // The junction that reads each source; for the task there is none.
        let mut readers: Vec<Option<u32>> = vec![None];
        for ((step, outcome), nth) in way.turns.iter().zip(path) {
            let Step::Read { at, size, what } = step else { continue };
            let parts = match readers.get(at.from.0 as usize) {
                Some(Some(reader)) => self.junctions.get_mut(*reader as usize).map(|it| &mut it.parts),
                Some(None) => self.roots.get_mut(&vtable).map(|root| &mut root.parts),
                None => None,
            };
            if let Some(parts) = parts {
                add(parts, Part { begin: at.offset, end: at.offset.saturating_add(u64::from(*size)) });
            }
            if matches!((what, outcome), (What::Pointer, 1) | (What::Kept | What::Counted, _)) {
                readers.push(Some(*nth));
            }
        }
    }
}

/// Adds a part to others, unless they would be too much.
fn add(parts: &mut Vec<Part>, part: Part) {
    let mut all = parts.clone();
    all.push(part);
    all.sort_unstable_by_key(|part| part.begin);
    all.dedup_by(|next, before| {
        let is_close = next.begin <= before.end.saturating_add(CLOSE);
        if is_close {
            before.end = before.end.max(next.end);
        }
        is_close
    });
    if all.iter().map(|part| part.end - part.begin).sum::<u64>() <= MAX_EXTENT {
        *parts = all;
    }
}
