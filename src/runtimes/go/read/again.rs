//! Reading goroutines again: of those that have not run since the last reading, only the structs.

use super::Reader;
use crate::process::TargetError;
use crate::runtimes::go::chunk::Chunk;
use crate::runtimes::go::goroutine::Raw;
use crate::runtimes::go::last::{Open, Piece, Row};
use crate::runtimes::go::proof::{self, Reasons, Since, Verdict};
use crate::runtimes::go::waits;

/// What a reading knows of the one before, for all threads.
#[derive(Debug)]
pub(in super::super) struct Again<'a> {
    pub(in super::super) reasons: &'a Reasons,
    pub(in super::super) since: Since,
    /// Goroutines that look the same are worth a proof by the runtime's count.
    pub(in super::super) counts: bool,
    /// There will be another reading.
    pub(in super::super) keep: bool,
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
        waits::again(self.target, self.offsets, &mut self.buffers, &mut piece.waits, self.still)?;
        let changed = self.compare(piece, again, &mut chunk)?;
        if !piece.open.is_empty() && again.since.nobody_wrapped(self.target, false) {
            piece.close(&mut chunk);
        }
        let pending = self.read_rest(changed, &mut chunk)?;
        self.retry(pending, &mut chunk)?;
        if again.keep {
            piece.keep(&chunk, again.reasons);
        }
        Ok(chunk)
    }

    /// Reads the structs of a piece. Those of goroutines that have run, or may have, are returned; their rows are
    /// removed.
    fn compare(
        &mut self,
        piece: &mut Piece,
        again: &Again<'_>,
        chunk: &mut Chunk,
    ) -> Result<Vec<Raw>, TargetError> {
        let offsets = self.offsets;
        let Piece { addresses, rows, open, .. } = piece;
        let (mut changed, mut explained, mut found, mut next) = (Vec::new(), 0, 0, 0);
        open.clear();
        chunk.same.reserve(rows.len());
        self.buffers.read_structs(self.target, addresses, offsets.g_size, |at, bytes| {
            let raw = Raw::parse(addresses[at], bytes, offsets);
            if raw.is_blank() {
                return;
            }
            found += 1;
            forget(rows, next, at);
            next = at + 1;
            let Some(slot) = rows.get_mut(at) else { return changed.push(raw) };
            let verdict = slot.as_ref().map_or(Verdict::Changed, |row| {
                explained += proof::added_to_count(&row.raw, &raw);
                proof::judge(&row.raw, &raw, again.reasons)
            });
            match (verdict, slot) {
                (Verdict::Same, Some(row)) => {
                    row.stays(raw.waitsince);
                    chunk.same.push(at as u32);
                }
                (Verdict::LooksSame, Some(_)) if again.counts => {
                    open.push(Open { at: at as u32, since: raw.waitsince });
                }
                (_, slot) => {
                    *slot = None;
                    changed.push(raw);
                }
            }
        })?;
        let end = rows.len();
        forget(rows, next, end);
        chunk.missing += (addresses.len() - found) as u64;
        again.since.explain(explained);
        Ok(changed)
    }

    /// Reads the goroutines of a piece that are still open, after all others.
    pub(in super::super) fn open(
        &mut self,
        piece: &mut Piece,
        again: &Again<'_>,
    ) -> Result<Chunk, TargetError> {
        // All that others explain is explained now: what was read before may be proved.
        if again.since.nobody_wrapped(self.target, true) {
            let mut chunk = Chunk::default();
            piece.close(&mut chunk);
            return Ok(chunk);
        }
        let open = std::mem::take(&mut piece.open);
        let mut addresses = Vec::with_capacity(open.len());
        for at in open.iter().map(|open| open.at as usize) {
            addresses.extend(piece.addresses.get(at));
            forget(&mut piece.rows, at, at + 1);
        }
        let chunk = self.read(&addresses)?;
        if again.keep {
            piece.keep(&chunk, again.reasons);
        }
        Ok(chunk)
    }
}

/// Removes rows of goroutines that are not there any more, or may have run.
fn forget(rows: &mut [Option<Row>], from: usize, to: usize) {
    rows.get_mut(from..to).unwrap_or_default().fill(None);
}

impl Piece {
    /// The open goroutines have not run: adds them to the chunk.
    fn close(&mut self, chunk: &mut Chunk) {
        for open in std::mem::take(&mut self.open) {
            if let Some(Some(row)) = self.rows.get_mut(open.at as usize) {
                row.stays(open.since);
                chunk.same.push(open.at);
            }
        }
    }
}
