//! Reading goroutines again: of those that have not run since the last reading, only the structs and their channels.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Reader;
use crate::process::TargetError;
use crate::runtimes::go::chunk::Chunk;
use crate::runtimes::go::goroutine::{Goroutine, Raw};
use crate::runtimes::go::last::{Piece, Row};
use crate::runtimes::go::proof::{Reasons, Since, Verdict};
use crate::runtimes::go::waits::{self, KeptWait, RawWait};
use crate::snapshot::Span;

/// What a reading knows of the one before, for all threads.
#[derive(Debug)]
pub(in super::super) struct Again<'a> {
    pub(in super::super) reasons: &'a Reasons,
    pub(in super::super) since: Since,
    /// Goroutines that look the same are worth a proof by the runtime's count.
    pub(in super::super) counts: bool,
    /// There will be another reading.
    pub(in super::super) keep: bool,
    /// How many goroutines are held back until a proof is tried once more.
    pub(in super::super) held: AtomicUsize,
}

/// No more goroutines than this are held back, some 250 bytes each. Beyond that they are read again.
const MAX_HELD: usize = 1 << 17;

/// Goroutines that have not run, before they are added to a chunk.
struct Same<'a> {
    piece: &'a Piece,
    /// What the waits of the piece are now.
    waits: Vec<RawWait>,
    /// Positions in the piece of those that were added: they are the first of the chunk.
    added: Vec<u32>,
}

impl Reader<'_> {
    /// Reads the goroutines of a piece. Those that only look the same stay open if other goroutines' structs may
    /// help to prove that they are.
    pub(in super::super) fn piece(
        &mut self,
        piece: &mut Piece,
        again: &Again<'_>,
    ) -> Result<Chunk, TargetError> {
        let mut chunk = Chunk::default();
        piece.rows.resize(if again.keep || !piece.rows.is_empty() { piece.addresses.len() } else { 0 }, None);
        // Before the structs: a goroutine that waits until then keeps its channels alive.
        let waits = waits::again(self.target, self.offsets, &mut self.buffers, &piece.waits)?;
        let raws = self.structs(&piece.addresses, &mut chunk)?;
        chunk.goroutines.reserve(raws.len());
        let (mut changed, mut alike) = (Vec::new(), Vec::new());
        let mut same = Same { waits, piece, added: Vec::with_capacity(raws.len()) };
        let (mut at, mut explained) = (0, 0);
        for raw in raws {
            while same.piece.addresses.get(at as usize).is_some_and(|address| *address < raw.address) {
                at += 1;
            }
            let Some(row) = same.piece.row(at) else {
                changed.push(raw);
                continue;
            };
            explained += row.seen.counted(&raw);
            match row.seen.judge(&raw, again.reasons) {
                Verdict::Same => same.add(at, &raw, &mut chunk),
                Verdict::LooksSame if again.counts => alike.push((at, raw)),
                Verdict::LooksSame | Verdict::Changed => changed.push(raw),
            }
        }
        again.since.explain(explained);
        if !alike.is_empty() && again.since.nobody_wrapped(self.target, false) {
            alike.drain(..).for_each(|(at, raw)| same.add(at, &raw, &mut chunk));
        }
        let added = std::mem::take(&mut same.added);
        let all = again.held.fetch_add(alike.len(), Ordering::Relaxed).saturating_add(alike.len());
        let held = (!alike.is_empty() && all <= MAX_HELD).then(|| {
            let mut held = Chunk::default();
            alike.iter().for_each(|(at, raw)| same.add(*at, raw, &mut held));
            held
        });
        let open = alike.into_iter().map(|(at, _)| at).collect();
        let pending = self.read_rest(changed, &mut chunk)?;
        self.retry(pending, &mut chunk)?;
        piece.keep(&chunk, &added, Some(open), again);
        piece.held = held;
        Ok(chunk)
    }

    /// Reads the goroutines of a piece that are still open, after all others.
    pub(in super::super) fn open(
        &mut self,
        piece: &mut Piece,
        again: &Again<'_>,
    ) -> Result<Chunk, TargetError> {
        let mut chunk = Chunk::default();
        let open = std::mem::take(&mut piece.open);
        // All that others explain is explained now: what was read before may be proved.
        if let Some(held) = piece.held.take()
            && again.since.nobody_wrapped(self.target, true)
        {
            piece.keep(&held, &open, None, again);
            return Ok(held);
        }
        let waits = waits::again(self.target, self.offsets, &mut self.buffers, &piece.waits)?;
        let addresses: Vec<u64> =
            open.iter().filter_map(|at| piece.addresses.get(*at as usize).copied()).collect();
        let raws = self.structs(&addresses, &mut chunk)?;
        let proved = again.since.nobody_wrapped(self.target, true);
        let mut changed = Vec::new();
        let mut same = Same { waits, piece, added: Vec::new() };
        for raw in raws {
            let at = same.piece.addresses.binary_search(&raw.address).unwrap_or(usize::MAX) as u32;
            let verdict = same.piece.row(at).map(|row| row.seen.judge(&raw, again.reasons));
            match verdict {
                Some(Verdict::Same) => same.add(at, &raw, &mut chunk),
                Some(Verdict::LooksSame) if proved => same.add(at, &raw, &mut chunk),
                _ => changed.push(raw),
            }
        }
        let added = same.added;
        let pending = self.read_rest(changed, &mut chunk)?;
        self.retry(pending, &mut chunk)?;
        piece.keep(&chunk, &added, None, again);
        Ok(chunk)
    }
}

impl Same<'_> {
    /// Adds the goroutine at a position as it was, with what its struct says now.
    fn add(&mut self, at: u32, raw: &Raw, chunk: &mut Chunk) {
        let Some(row) = self.piece.row(at) else { return };
        let mut goroutine = Goroutine::without_stack(*raw, row.stack_status);
        goroutine.stack = Some(row.stack);
        goroutine.waits = Span::append(&mut chunk.waits, row.waits.slice(&self.waits).iter().copied());
        (goroutine.unchanged, goroutine.settled) = (true, row.unchanged);
        chunk.goroutines.push(goroutine);
        self.added.push(at);
    }
}

impl Piece {
    /// Keeps what was read for the next reading. In the first round that is all that is known of the piece, apart from
    /// the goroutines that are `open`. `added`: the positions of the chunk's first goroutines.
    fn keep(&mut self, chunk: &Chunk, added: &[u32], open: Option<Vec<u32>>, again: &Again<'_>) {
        if !again.keep {
            (self.rows, self.waits) = (Vec::new(), Vec::new());
        }
        if let Some(open) = &open {
            let (rows, waits) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.waits));
            self.rows = vec![None; rows.len()];
            for at in open.iter().map(|at| *at as usize) {
                if let (Some(Some(row)), Some(slot)) = (rows.get(at), self.rows.get_mut(at)) {
                    let waits = row.waits.slice(&waits).iter().copied();
                    *slot = Some(Row { waits: Span::append(&mut self.waits, waits), ..*row });
                }
            }
        }
        let mut added = added.iter().map(|at| *at as usize);
        for goroutine in &chunk.goroutines {
            let at = added.next().or_else(|| self.addresses.binary_search(&goroutine.raw.address).ok());
            if let Some(slot) = at.and_then(|at| self.rows.get_mut(at)) {
                let waits = goroutine.waits.slice(&chunk.waits).iter().map(KeptWait::from);
                let waits = Span::append(&mut self.waits, waits);
                *slot = Row::of(goroutine, again.reasons).map(|row| Row { waits, ..row });
            }
        }
        self.open = open.unwrap_or_default();
    }
}
