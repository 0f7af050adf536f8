//! What the last reading found of every goroutine, in the order of their ids.
//!
//! Readers look at goroutines in the order of their addresses, and most have not run: for these a [`Piece`] has all that is
//! needed to see that. Tasks are made of the rows here, in the order in which a snapshot has them. So each reading passes
//! once over the one and once over the other, and nothing has to be sorted.

use super::chunk::Same;
use super::goroutine::{Goroutine, Kept};
use super::piece::{Piece, Seen};
use super::proof::Judge;
use super::stacks::StackNumber;
use super::waits::{RawChannel, RawWait};
use crate::snapshot::{Span, StackStatus, ahead_mut};

/// Waits that may be left over from goroutines that have run since, on top of as many as are in use.
const SPARE_WAITS: usize = 4096;

/// What the last reading found of every goroutine.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// In the order of their ids.
    rows: Vec<Row>,
    /// What the goroutines wait for. Some may be left over from goroutines that have run since.
    waits: Vec<RawWait>,
    /// At this many waits the left-over ones are removed.
    many_waits: usize,
}

/// A position among the pieces: the number of a piece, and the number of the goroutine in it.
pub(super) type Place = (u32, u32);

/// One goroutine of the last reading, in two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Row {
    kept: Kept,
    stack: Option<StackNumber>,
    stack_status: StackStatus,
    /// Range in the waits.
    waits: Span,
    /// Where a [`Seen`] says whether it has run. None if it is always read anew.
    place: Option<Place>,
    /// It was not there any more. Its row stays for a while, so that others need not be moved.
    is_gone: bool,
}

/// What a reading has found so far.
#[derive(Debug, Default)]
pub(super) struct News {
    /// For each row whether its goroutine has not run.
    same: Vec<Option<Stay>>,
    fresh: Vec<Fresh>,
    /// What the fresh ones wait for.
    waits: Vec<RawWait>,
    /// What is in channels that were read again: their numbers among the waits of the last reading.
    channels: Vec<(u32, Option<RawChannel>)>,
}

/// A goroutine has not run since the last reading.
#[derive(Debug, Clone, Copy)]
struct Stay {
    since: i64,
    settled: bool,
}

/// A goroutine that was read anew.
#[derive(Debug)]
struct Fresh {
    goroutine: Goroutine,
    place: Option<Place>,
}

impl News {
    /// A goroutine has not run since the last reading.
    pub(super) fn same(&mut self, same: &Same) {
        if let Some(row) = self.same.get_mut(same.row as usize) {
            *row = Some(Stay { since: same.since, settled: same.settled });
        }
    }

    /// A goroutine was read anew. `place`: where it was found.
    pub(super) fn fresh(&mut self, goroutine: &Goroutine, waits: &[RawWait], place: Option<Place>) {
        let waits = Span::append(&mut self.waits, waits.iter().copied());
        self.fresh.push(Fresh { goroutine: Goroutine { waits, ..*goroutine }, place });
    }

    /// Channels were read again.
    pub(super) fn channels(&mut self, mut channels: Vec<(u32, Option<RawChannel>)>) {
        self.channels.append(&mut channels);
    }
}

impl Known {
    /// Nothing is known: this is the first reading.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// No news so far.
    pub(super) fn no_news(&self) -> News {
        News { same: vec![None; self.rows.len()], ..News::default() }
    }

    /// Where the labels of a goroutine are; 0 for none.
    pub(super) fn labels(&self, row: u32) -> u64 {
        self.rows.get(row as usize).map_or(0, |row| row.kept.labels)
    }

    /// The channels that goroutines of this piece wait for and that are to be read again: their numbers and addresses.
    /// While the target runs, those are not read that cannot have changed. `still`: it does not run, and may have been
    /// stopped while it closes a channel.
    pub(super) fn channels(&self, piece: &mut Piece, still: bool) -> Vec<(u32, u64)> {
        let mut found = Vec::new();
        let Piece { seen, moving, .. } = piece;
        // Whether there are any, at this position.
        let mut add = |at: u32| {
            let row = seen.get(at as usize)?.as_ref().and_then(|seen| self.rows.get(seen.row as usize))?;
            let before = found.len();
            for (wait, number) in row.waits.slice(&self.waits).iter().zip(row.waits.start..) {
                if let RawWait::Channel { address, .. } = *wait
                    && (still || !wait.stays())
                {
                    found.push((number, address));
                }
            }
            (found.len() > before).then_some(())
        };
        if still {
            // What is read of them now may move later.
            *moving = (0..seen.len() as u32).collect();
        } else {
            moving.sort_unstable();
            moving.dedup();
        }
        moving.retain(|at| add(*at).is_some());
        found
    }

    /// Takes over what a reading has found, and calls `each` with every goroutine and what it waits for: in the order of
    /// their ids. Goroutines that are not in the news are gone.
    pub(super) fn advance(
        &mut self,
        news: News,
        pieces: &mut [Piece],
        judge: &Judge,
        mut each: impl FnMut(&Goroutine, &[RawWait]),
    ) {
        let News { same, fresh, waits, channels } = news;
        for (number, channel) in channels {
            if let Some(RawWait::Channel { detail, .. }) = self.waits.get_mut(number as usize) {
                *detail = channel;
            }
        }
        let (mut fresh, mut between, mut gone) = (in_order(&fresh).peekable(), Vec::new(), 0);
        for ((row, stay), number) in ahead_mut(&mut self.rows, size_of::<Row>()).zip(same).zip(0..) {
            let goid = row.kept.parked.goid;
            while let Some(one) = fresh.next_if(|fresh| fresh.goroutine.raw.goid < goid) {
                each(&one.goroutine, one.goroutine.waits.slice(&waits));
                between.push(one);
            }
            if let Some(stay) = stay {
                row.stays(stay.since);
                each(&row.goroutine(stay.settled), row.waits.slice(&self.waits));
            } else if let Some(one) = fresh.next_if(|fresh| fresh.goroutine.raw.goid == goid) {
                each(&one.goroutine, one.goroutine.waits.slice(&waits));
                *row = one.row(&waits, &mut self.waits);
                one.place_in(pieces, number, judge, &waits);
            } else {
                row.is_gone = true;
                gone += 1;
            }
        }
        if !between.is_empty() || gone > self.rows.len() / 4 {
            self.rows.retain(|row| !row.is_gone);
            self.merge(&between, &waits, pieces, judge);
        }
        for one in fresh {
            each(&one.goroutine, one.goroutine.waits.slice(&waits));
            self.append(one, &waits, pieces, judge);
        }
        self.forget_waits();
    }

    fn append(&mut self, one: &Fresh, waits: &[RawWait], pieces: &mut [Piece], judge: &Judge) {
        one.place_in(pieces, self.rows.len() as u32, judge, waits);
        let row = one.row(waits, &mut self.waits);
        self.rows.push(row);
    }

    /// Puts goroutines between the others. Both are in the order of their ids.
    fn merge(&mut self, between: &[&Fresh], waits: &[RawWait], pieces: &mut [Piece], judge: &Judge) {
        let before = std::mem::take(&mut self.rows);
        self.rows.reserve(before.len() + between.len());
        let mut between = between.iter().peekable();
        for row in before {
            while let Some(one) = between.next_if(|one| one.goroutine.raw.goid < row.kept.parked.goid) {
                self.append(one, waits, pieces, judge);
            }
            if let Some(seen) = row.seen_in(pieces) {
                seen.row = self.rows.len() as u32;
            }
            self.rows.push(row);
        }
        between.for_each(|one| self.append(one, waits, pieces, judge));
    }

    /// Removes waits of goroutines that have run since, if there may be many.
    fn forget_waits(&mut self) {
        if self.waits.len() > self.many_waits {
            let all = std::mem::take(&mut self.waits);
            for row in self.rows.iter_mut().filter(|row| !row.is_gone) {
                row.waits = Span::append(&mut self.waits, row.waits.slice(&all).iter().copied());
            }
            self.many_waits = 2 * self.waits.len() + SPARE_WAITS;
        }
    }

    /// Marks the stacks that are in use.
    pub(super) fn mark_stacks(&self, used: &mut [bool]) {
        for number in self.rows.iter().filter(|row| !row.is_gone).filter_map(|row| row.stack) {
            if let Some(used) = used.get_mut(number as usize) {
                *used = true;
            }
        }
    }

    /// Stacks have got other numbers; None for those that are not in use.
    pub(super) fn renumber_stacks(&mut self, numbers: &[Option<StackNumber>]) {
        for row in &mut self.rows {
            row.stack = row.stack.and_then(|stack| numbers.get(stack as usize).copied().flatten());
        }
    }
}

/// In the order of their ids. They are large: only their numbers are sorted.
fn in_order(fresh: &[Fresh]) -> impl Iterator<Item = &Fresh> {
    let key = |fresh: &Fresh| (fresh.goroutine.raw.goid, fresh.goroutine.raw.address);
    let mut order: Vec<_> = fresh.iter().zip(0..).map(|(fresh, at)| (key(fresh), at)).collect();
    order.sort_unstable();
    order.into_iter().filter_map(|(_, at): (_, usize)| fresh.get(at))
}

impl Fresh {
    /// What is to be kept of it.
    fn row(&self, waits: &[RawWait], kept: &mut Vec<RawWait>) -> Row {
        let Goroutine { raw, stack, stack_status, .. } = self.goroutine;
        let place = self.kept_place();
        let waits = if place.is_some() { self.goroutine.waits.slice(waits) } else { &[] };
        let waits = Span::append(kept, waits.iter().copied());
        Row { kept: raw.kept(), stack, stack_status, waits, place, is_gone: false }
    }

    /// Where it was found. None if what was read of it is not worth keeping.
    fn kept_place(&self) -> Option<Place> {
        let Goroutine { stack, stack_status, .. } = self.goroutine;
        let is_whole =
            matches!(stack_status, StackStatus::Complete | StackStatus::Truncated | StackStatus::Broken);
        self.place.filter(|_| is_whole && stack.is_some())
    }

    /// Notes for the next reading what tells whether the goroutine has run. `number`: of its row.
    fn place_in(&self, pieces: &mut [Piece], number: u32, judge: &Judge, waits: &[RawWait]) {
        let Some((piece, at)) = self.kept_place() else { return };
        let Some(piece) = pieces.get_mut(piece as usize) else { return };
        if let Some(seen) = piece.seen.get_mut(at as usize) {
            *seen = judge.look(&self.goroutine.raw.glance()).map(|look| Seen::new(look, number));
            if seen.is_some() && self.goroutine.waits.slice(waits).iter().any(|wait| !wait.stays()) {
                piece.moving.push(at);
            }
        }
    }
}

impl Row {
    /// It has not run. `since`: what its `waitsince` is now.
    fn stays(&mut self, since: i64) {
        // Most stay as they are: memory that is not written need not be written back.
        if self.kept.waitsince != since {
            self.kept.waitsince = since;
        }
    }

    /// The goroutine, which has not run. `settled`: nor had it before the last reading.
    fn goroutine(&self, settled: bool) -> Goroutine {
        Goroutine {
            stack: self.stack,
            waits: self.waits,
            unchanged: true,
            settled,
            ..Goroutine::without_stack(self.kept.raw(), self.stack_status)
        }
    }

    fn seen_in<'p>(&self, pieces: &'p mut [Piece]) -> Option<&'p mut Seen> {
        let (piece, at) = self.place?;
        pieces.get_mut(piece as usize)?.seen.get_mut(at as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests;
