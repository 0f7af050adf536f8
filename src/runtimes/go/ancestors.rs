//! The goroutines that a goroutine descends from, which the runtime keeps with `GODEBUG=tracebackancestors=N`.
//!
//! Sources: `ancestorInfo` in `src/runtime/runtime2.go`; `saveAncestors` in `proc.go`, which makes a list for each
//! new goroutine and never changes it; `tracebackPCs` in `traceback.go` (`gentraceback` before 1.21): each address of
//! such a stack is a return address that stands for one frame, an inlined one included. The same holds from Go 1.19 to
//! 1.27. The runtime's own printing of ancestors looks the return address itself up, which may be in the next function.

use rustc_hash::FxHashMap;

use super::buffers::Buffers;
use super::resolve::Resolver;
use super::{Go, GoError};
use crate::process::bytes::word;
use crate::process::{Range, Target, TargetError};
use crate::snapshot::{Ancestor, LocationId, SnapshotBuilder, StackId};

/// Size of `ancestorInfo`: a slice of addresses, an id, an address.
const INFO: usize = 40;
/// Size of a slice.
const SLICE: usize = 24;
/// Ancestors of one goroutine that are read. loiter asks the runtime for 20 of them.
const MAX_ANCESTORS: usize = 64;
/// Addresses of one stack that are read. `tracebackInnerFrames` is 50, and was 100 before 1.21.
const MAX_FRAMES: usize = 128;
/// Ancestors of all goroutines together, and bytes of their different stacks. More are left out, and that is said.
const MAX_ROWS: usize = 1 << 21;
const MAX_BYTES: usize = 64 << 20;
/// Structs that are read together.
const BATCH: usize = 4_096;

/// A goroutine that has a list of ancestors.
struct Listed {
    /// Its number in the builder.
    task: u32,
    /// Where the list is, and how many ancestors it has.
    list: (u64, usize),
}

/// An ancestor as it is in memory.
#[derive(Debug, Clone, Copy)]
struct Info {
    task: u32,
    generation: u32,
    pcs: (u64, usize),
    goid: u64,
    gopc: u64,
}

/// Adds the ancestors of the goroutines from `first` on. Nothing if the runtime keeps none.
pub(super) fn find(
    go: &Go,
    target: &dyn Target,
    resolver: &mut Resolver<'_>,
    first: usize,
    into: &mut SnapshotBuilder,
) -> Result<(), GoError> {
    let Some(offset) = go.offsets.g_ancestors else {
        into.links
            .unknown
            .push("where goroutines have their ancestors is not known for this version".to_owned());
        return Ok(());
    };
    let mut buffers = Buffers::default();
    let listed = lists(target, &mut buffers, (go.offsets.g_goid, offset), first, into)?;
    let mut infos = infos(target, &mut buffers, &listed)?;
    let mut left_out = infos.len().saturating_sub(MAX_ROWS);
    infos.truncate(MAX_ROWS);
    let stacks = stacks(target, &mut buffers, &infos, &mut left_out, resolver, into)?;
    for info in infos {
        into.links.ancestors.push(Ancestor {
            task: info.task,
            generation: info.generation,
            id: (info.goid != 0).then_some(info.goid),
            stack: stacks.get(&info.pcs).copied(),
            creator: if info.goid == 1 { None } else { resolver.after_call(info.gopc, &mut into.code) },
        });
    }
    if left_out > 0 {
        into.links
            .unknown
            .push(format!("{left_out} ancestors of goroutines were left out: there are too many"));
    }
    Ok(())
}

/// The lists of the goroutines. A goroutine that has ended since it was read has another id, or none.
fn lists(
    target: &dyn Target,
    buffers: &mut Buffers,
    (goid, ancestors): (usize, usize),
    first: usize,
    into: &SnapshotBuilder,
) -> Result<Vec<Listed>, TargetError> {
    let begin = goid.min(ancestors);
    let size = goid.max(ancestors) + 8 - begin;
    let tasks = into.tasks().iter().enumerate().skip(first).filter(|(_, task)| !task.system);
    let mut asked: Vec<(u64, u32, u64)> = tasks
        .filter_map(|(row, task)| {
            let at = task.address.checked_add(begin as u64)?;
            Some((at, u32::try_from(row).ok()?, task.id?))
        })
        .collect();
    asked.sort_unstable();
    let mut pointers = Vec::new();
    for batch in asked.chunks(BATCH) {
        let addresses: Vec<u64> = batch.iter().map(|asked| asked.0).collect();
        buffers.read_structs(target, &addresses, size, |nth, bytes| {
            let (_, row, id) = batch[nth];
            let pointer = word(bytes, ancestors - begin);
            if word(bytes, goid - begin) == id && pointer != 0 {
                pointers.push((pointer, row));
            }
        })?;
    }
    pointers.sort_unstable();
    let mut listed = Vec::new();
    for batch in pointers.chunks(BATCH) {
        let addresses: Vec<u64> = batch.iter().map(|pointer| pointer.0).collect();
        buffers.read_structs(target, &addresses, SLICE, |nth, bytes| {
            let len = usize::try_from(word(bytes, 8)).unwrap_or(usize::MAX).min(MAX_ANCESTORS);
            listed.push(Listed { task: batch[nth].1, list: (word(bytes, 0), len) });
        })?;
    }
    Ok(listed)
}

/// The ancestors in these lists.
fn infos(target: &dyn Target, buffers: &mut Buffers, listed: &[Listed]) -> Result<Vec<Info>, TargetError> {
    let mut infos = Vec::new();
    for batch in listed.chunks(BATCH / 16) {
        buffers.ranges.clear();
        buffers.ranges.extend(batch.iter().map(|one| Range { address: one.list.0, len: one.list.1 * INFO }));
        buffers.read(target)?;
        let mut at = 0;
        for (one, is_read) in batch.iter().zip(&buffers.ok) {
            let bytes = &buffers.bytes[at..at + one.list.1 * INFO];
            at += bytes.len();
            if !is_read {
                continue;
            }
            infos.extend((1..).zip(bytes.chunks_exact(INFO)).map(|(generation, bytes)| Info {
                task: one.task,
                generation,
                pcs: (word(bytes, 0), usize::try_from(word(bytes, 8)).unwrap_or(0).min(MAX_FRAMES)),
                goid: word(bytes, SLICE),
                gopc: word(bytes, SLICE + 8),
            }));
        }
        if infos.len() > MAX_ROWS {
            break;
        }
    }
    Ok(infos)
}

/// The stacks of ancestors, each read once: descendants of one goroutine share them.
fn stacks(
    target: &dyn Target,
    buffers: &mut Buffers,
    infos: &[Info],
    left_out: &mut usize,
    resolver: &mut Resolver<'_>,
    into: &mut SnapshotBuilder,
) -> Result<FxHashMap<(u64, usize), StackId>, TargetError> {
    let mut wanted: Vec<(u64, usize)> = infos.iter().map(|info| info.pcs).filter(|pcs| pcs.1 > 0).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let most = MAX_BYTES / (MAX_FRAMES * 8);
    *left_out += wanted.len().saturating_sub(most);
    wanted.truncate(most);
    let mut stacks = FxHashMap::default();
    for batch in wanted.chunks(BATCH / 16) {
        buffers.ranges.clear();
        buffers.ranges.extend(batch.iter().map(|&(address, len)| Range { address, len: len * 8 }));
        buffers.read(target)?;
        let mut at = 0;
        for (&pcs, is_read) in batch.iter().zip(&buffers.ok) {
            let bytes = &buffers.bytes[at..at + pcs.1 * 8];
            at += bytes.len();
            if *is_read {
                let pcs_of = bytes.chunks_exact(8).map(|bytes| word(bytes, 0));
                let locations: Vec<LocationId> =
                    pcs_of.filter_map(|pc| resolver.after_call(pc, &mut into.code)).collect();
                stacks.insert(pcs, into.code.stack(locations));
            }
        }
    }
    Ok(stacks)
}
