//! Goes known ways in many tasks at a time: their memory is read in few calls, as far as the ways need it, and once more at the
//! end.

use super::super::scan::state;
use super::Asked;
use super::routes::{Next, Part, Root, Routes};
use super::way::{Spot, Step, What};
use super::window::{number, read};
use crate::process::{Memory, Range};

/// How often memory is read for tasks at a time. Ways over more pointers are not gone here.
const ROUNDS: usize = 32;
/// Bytes that are read for some tasks at most.
const MAX_BYTES: usize = 64 << 20;

/// Where the way of a task led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// To the chain with this number. The values that were kept begin here.
    End(u32, usize),
    /// To a junction that does not know how to go on: its number, and what was there. None: no way of this type is known.
    Unknown(Option<(u32, u64)>),
    /// The task moved, or its memory cannot be read like this.
    Other,
}

/// What was found of some tasks.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) outcomes: Vec<Outcome>,
    /// The values that were kept.
    pub(super) kept: Vec<u64>,
}

/// Something that was read, or the task itself.
#[derive(Debug, Clone, Copy)]
struct Source {
    value: u64,
    /// The junction that read it. None: the task.
    reader: Option<u32>,
    /// Where the bytes that it points to begin. None: they were not read yet.
    at: Option<usize>,
}

/// The way of one task.
#[derive(Debug, Default)]
struct Run<'r> {
    root: Option<&'r Root>,
    next: Option<Next>,
    sources: Vec<Source>,
    /// Sources whose bytes were asked for.
    asked_for: usize,
    /// The bytes that were used: where, and how many.
    used: Vec<(usize, u8)>,
    outcome: Option<Outcome>,
}

/// A place in the bytes that were read.
enum Place {
    At(usize),
    NotYet,
    Never,
}

/// Goes the ways of tasks. What it needs for that is kept for the next ones.
pub(super) struct Replay<'r> {
    routes: &'r Routes,
    memory: &'r dyn Memory,
    /// Nothing moves.
    still: bool,
    runs: Vec<Run<'r>>,
    bytes: Vec<u8>,
    again: Vec<u8>,
    ranges: Vec<Range>,
    /// The run that each range is for.
    owners: Vec<usize>,
}

impl<'r> Replay<'r> {
    pub(super) fn new(routes: &'r Routes, memory: &'r dyn Memory, still: bool) -> Replay<'r> {
        let (runs, bytes, again, ranges, owners) = Default::default();
        Replay { routes, memory, still, runs, bytes, again, ranges, owners }
    }

    /// Goes the ways of these tasks.
    pub(super) fn run(&mut self, asked: &[&Asked<'_>], into: &mut Replayed) {
        self.begin(asked);
        for _ in 0..ROUNDS {
            if !self.fetch() {
                break;
            }
            for (run, asked) in self.runs.iter_mut().zip(asked).filter(|(run, _)| run.outcome.is_none()) {
                run.outcome = run.go(self.routes, &self.bytes, asked);
            }
        }
        if !self.still {
            self.check();
        }
        for run in &self.runs {
            let kept = into.kept.len();
            let end = match run.outcome {
                Some(Outcome::End(end, _)) => self.routes.end(end).map(|template| (end, template)),
                _ => None,
            };
            into.outcomes.push(match end {
                Some((end, template)) => {
                    let values = template.kept.iter().map_while(|source| run.sources.get(source.0 as usize));
                    into.kept.extend(values.map(|source| source.value));
                    // Without all of its values, a chain would claim addresses that are none.
                    match into.kept.len() - kept == template.kept.len() {
                        true => Outcome::End(end, kept),
                        false => Outcome::Other,
                    }
                }
                None => run.outcome.unwrap_or(Outcome::Other),
            });
        }
    }

    fn begin(&mut self, asked: &[&Asked<'_>]) {
        self.bytes.clear();
        self.ranges.clear();
        self.owners.clear();
        self.runs.resize_with(asked.len(), Run::default);
        for (run, asked) in self.runs.iter_mut().zip(asked) {
            run.root = self.routes.root(asked.vtable.address);
            run.next = run.root.map(|root| root.first);
            run.outcome = run.root.is_none().then_some(Outcome::Unknown(None));
            run.sources.clear();
            run.sources.push(Source { value: asked.header.address, reader: None, at: None });
            run.asked_for = 0;
            run.used.clear();
        }
    }

    /// Reads what the runs need and do not have. Whether there was anything.
    fn fetch(&mut self) -> bool {
        let (first, begin) = (self.ranges.len(), self.bytes.len());
        let mut end = begin;
        for (nth, run) in self.runs.iter_mut().enumerate().filter(|(_, run)| run.outcome.is_none()) {
            let parts_of = |reader| parts(self.routes, run.root, reader);
            for source in run.sources.iter_mut().skip(run.asked_for) {
                let parts = parts_of(source.reader);
                source.at = Some(end).filter(|_| !parts.is_empty());
                for part in parts {
                    let len = usize::try_from(part.end - part.begin).unwrap_or(0);
                    self.ranges.push(Range { address: source.value.wrapping_add(part.begin), len });
                    self.owners.push(nth);
                    end += len;
                }
            }
            run.asked_for = run.sources.len();
        }
        if end == begin || end > MAX_BYTES {
            // What was asked for is not read.
            self.ranges.truncate(first);
            self.owners.truncate(first);
            return false;
        }
        self.bytes.resize(end, 0);
        let ranges = self.ranges.get(first..).unwrap_or_default();
        let ok = read(self.memory, ranges, self.bytes.get_mut(begin..).unwrap_or_default());
        for (owner, ok) in self.owners.iter().skip(first).zip(ok) {
            if let Some(run) = self.runs.get_mut(*owner).filter(|_| !ok) {
                run.outcome = Some(Outcome::Other);
            }
        }
        true
    }

    /// A task whose memory has changed since moved while it was read.
    fn check(&mut self) {
        self.again.clear();
        self.again.resize(self.bytes.len(), 0);
        let ok = read(self.memory, &self.ranges, &mut self.again);
        for (owner, ok) in self.owners.iter().zip(ok) {
            if let Some(run) = self.runs.get_mut(*owner).filter(|_| !ok) {
                run.outcome = Some(Outcome::Other);
            }
        }
        for run in self.runs.iter_mut().filter(|run| matches!(run.outcome, Some(Outcome::End(..)))) {
            let is_same = |&(at, size): &(usize, u8)| {
                let range = at..at + usize::from(size);
                self.bytes.get(range.clone()) == self.again.get(range)
            };
            if !run.used.iter().all(is_same) {
                run.outcome = Some(Outcome::Other);
            }
        }
    }
}

impl Run<'_> {
    /// Goes on as far as its memory was read. None: more of it is needed.
    fn go(&mut self, routes: &Routes, bytes: &[u8], asked: &Asked<'_>) -> Option<Outcome> {
        if self.used.is_empty() && !self.is_at_rest(routes, bytes, asked) {
            return Some(Outcome::Other);
        }
        loop {
            let nth = match self.next {
                Some(Next::To(nth)) => nth,
                Some(Next::End(end)) => return Some(Outcome::End(end, 0)),
                None => return Some(Outcome::Other),
            };
            let Some(junction) = routes.junction(nth) else { return Some(Outcome::Other) };
            let (outcome, source) = match &junction.step {
                Step::Read { at, size, what } => {
                    let stays = *what != What::Counted;
                    let number = match self.number(routes, bytes, (*at, *size), stays) {
                        Ok(number) => number,
                        Err(Place::NotYet) => return None,
                        Err(_) => return Some(Outcome::Other),
                    };
                    let is_source = match what {
                        What::Pointer => number != 0,
                        What::Kept | What::Counted => true,
                        _ => false,
                    };
                    (what.outcome(number), is_source.then_some(number))
                }
                Step::Same(one, other) => {
                    let Some((one, other)) = self.value(*one).zip(self.value(*other)) else {
                        return Some(Outcome::Other);
                    };
                    (u64::from(one == other), None)
                }
            };
            let Some(next) = junction.next(outcome) else {
                return Some(Outcome::Unknown(Some((nth, outcome))));
            };
            self.next = Some(next);
            self.sources.extend(source.map(|value| Source { value, reader: Some(nth), at: None }));
        }
    }

    /// Whether it is still the same task, and it does not run.
    fn is_at_rest(&mut self, routes: &Routes, bytes: &[u8], asked: &Asked<'_>) -> bool {
        let mut word = |offset: u64| {
            let at = Spot { from: super::word::Source::TASK, offset };
            self.number(routes, bytes, (at, 8), true).ok()
        };
        let same = word(16) == Some(asked.vtable.address) && word(asked.vtable.id) == Some(asked.header.id);
        same && word(0).is_some_and(|state| state & (state::RUNNING | state::COMPLETE) == 0)
    }

    fn value(&self, spot: Spot) -> Option<u64> {
        Some(self.sources.get(spot.from.0 as usize)?.value.wrapping_add(spot.offset))
    }

    /// `stays`: it must be the same at the end.
    fn number(
        &mut self,
        routes: &Routes,
        bytes: &[u8],
        (at, size): (Spot, u8),
        stays: bool,
    ) -> Result<u64, Place> {
        let place = match self.place(routes, at, size) {
            Place::At(place) => place,
            other => return Err(other),
        };
        let found = bytes.get(place..place + usize::from(size)).ok_or(Place::Never)?;
        if stays {
            self.used.push((place, size));
        }
        Ok(number(found))
    }

    fn place(&self, routes: &Routes, spot: Spot, size: u8) -> Place {
        let Some(source) = self.sources.get(spot.from.0 as usize) else { return Place::Never };
        let parts = parts(routes, self.root, source.reader);
        let Some(mut at) = source.at else {
            return if parts.is_empty() { Place::Never } else { Place::NotYet };
        };
        let end = spot.offset.saturating_add(u64::from(size));
        for part in parts {
            if part.begin <= spot.offset && end <= part.end {
                return Place::At(at + (spot.offset - part.begin) as usize);
            }
            at += (part.end - part.begin) as usize;
        }
        Place::Never
    }
}

/// What is read at a source.
fn parts<'r>(routes: &'r Routes, root: Option<&'r Root>, reader: Option<u32>) -> &'r [Part] {
    let found = match reader {
        Some(reader) => routes.junction(reader).map(|junction| &junction.parts),
        None => root.map(|root| &root.parts),
    };
    found.map_or(&[], |parts| parts)
}

#[cfg(test)]
mod tests;
