//! Reading goroutines again: of those that have not run since the last reading, only the structs.

use super::Reader;
use crate::process::TargetError;
use crate::runtimes::go::chunk::Chunk;
use crate::runtimes::go::goroutine::{Glance, Raw};
use crate::runtimes::go::known::Known;
use crate::runtimes::go::piece::{Open, Piece, Seen};
use crate::runtimes::go::proof::{Judge, Since, Verdict};
use crate::runtimes::go::waits;

/// What a reading knows of the one before, for all threads.
#[derive(Debug)]
pub(in super::super) struct Again<'a> {
    pub(in super::super) judge: &'a Judge,
    pub(in super::super) known: &'a Known,
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
        piece.seen.resize(if again.keep || !piece.seen.is_empty() { piece.addresses.len() } else { 0 }, None);
        // Before the structs: a goroutine that waits until then keeps its channels alive.
        let channels = again.known.channels(piece, self.still);
        chunk.channels = waits::channels_again(self.target, self.offsets, &mut self.buffers, &channels)?;
        let changed = self.compare(piece, again, &mut chunk)?;
        if !piece.open.is_empty() && again.since.nobody_wrapped(self.target, false) {
            piece.close(&mut chunk);
        }
        let pending = self.read_rest(changed, &mut chunk)?;
        self.retry(pending, &mut chunk)?;
        Ok(chunk)
    }

    /// Reads the structs of a piece. Those of goroutines that have run, or may have, are returned; what was known of
    /// them is forgotten.
    fn compare(
        &mut self,
        piece: &mut Piece,
        again: &Again<'_>,
        chunk: &mut Chunk,
    ) -> Result<Vec<Raw>, TargetError> {
        let offsets = self.offsets;
        let Piece { addresses, seen, open, .. } = piece;
        let (mut changed, mut explained, mut found, mut next) = (Vec::new(), 0, 0, 0);
        open.clear();
        chunk.same.reserve(seen.len());
        self.buffers.read_structs(self.target, addresses, offsets.g_size, |at, bytes| {
            let glance = Glance::parse(bytes, offsets);
            if glance.parked.is_blank() {
                return;
            }
            found += 1;
            forget(seen, next, at);
            next = at + 1;
            let mut slot = seen.get_mut(at);
            if let Some(Some(seen)) = &mut slot {
                explained += seen.look.added_to_count(&glance.parked);
                match again.judge.verdict(&seen.look, &glance) {
                    Verdict::Same => return chunk.same.push(seen.stays(glance.waitsince)),
                    Verdict::LooksSame if again.counts => {
                        return open.push(Open { at: at as u32, since: glance.waitsince });
                    }
                    Verdict::LooksSame | Verdict::Changed => {}
                }
            }
            if let Some(slot) = slot {
                *slot = None;
            }
            changed.push(Raw::parse(addresses[at], bytes, offsets));
        })?;
        let end = seen.len();
        forget(seen, next, end);
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
            forget(&mut piece.seen, at, at + 1);
        }
        self.read(&addresses)
    }
}

/// Forgets goroutines that are not there any more, or may have run.
fn forget(seen: &mut [Option<Seen>], from: usize, to: usize) {
    seen.get_mut(from..to).unwrap_or_default().fill(None);
}

impl Piece {
    /// The open goroutines have not run: adds them to the chunk.
    fn close(&mut self, chunk: &mut Chunk) {
        for open in std::mem::take(&mut self.open) {
            if let Some(Some(seen)) = self.seen.get_mut(open.at as usize) {
                chunk.same.push(seen.stays(open.since));
            }
        }
    }
}
