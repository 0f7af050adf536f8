//! One reading from end to end. Threads read goroutines in chunks; the calling thread turns the results into
//! [`tasks`] as they arrive, then reads running goroutines through their threads. What needs every stack is
//! added to the [`draft`] in stages: which [`helpers`] run the program's code, the [`locks`] that goroutines
//! wait for, the descriptors and timers ([`links`]), the locks' holders ([`held`]), who is going to act ([`actors`]),
//! and the [`stacks`] themselves.

use std::sync::{Mutex, PoisonError, mpsc};

mod actors;
mod draft;
mod held;
mod helpers;
mod in_c;
mod links;
mod locks;
mod stacks;
mod tasks;

use draft::Draft;
use tasks::Tasks;

use super::ancestors;
use super::chunk::Chunk;
use super::last::{LastReading, Piece};
use super::proof::Since;
use super::read::{Again, Reader};
use super::running::{self, Running, Stops};
use super::stacks::StackCache;
use super::unwind::Unwinder;
use super::{Go, GoError, list};
use crate::process::{Target, TargetError};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::SnapshotBuilder;

/// How often a goroutine may switch from running to parked and back while it is read.
const RUNNING_ROUNDS: usize = 4;
/// Reads every goroutine into the snapshot.
pub(super) fn read(
    go: &Go,
    target: &dyn Target,
    options: &ReadOptions,
    runtime: u8,
    into: &mut SnapshotBuilder,
) -> Result<(), GoError> {
    let list = list::read(target, go.globals.allgptr, go.globals.allglen)?;
    into.header.reading.missing += list.missing;
    let mut last = take(go, options.max_depth);
    last.update(list.addresses);
    let goroutines = last.len();
    tracing::debug!("there are {goroutines} goroutine structs");

    let LastReading { pieces, stacks: found, run_count, labels, count_fails, objects, .. } = &mut last;
    // Before anything is read: what happens from now on counts for the next reading.
    let before = std::mem::replace(run_count, go.run_count.and_then(|count| count.read(target)));
    let again = Again {
        reasons: &go.reasons,
        since: Since::new(go.run_count, before),
        counts: before.is_some() && count_fails.may_try(),
        keep: options.repeated,
    };
    let still = target.is_static() || options.pause == Pause::Everything;
    let reader = || {
        let unwinder = Unwinder::new(&go.modules, options.max_depth);
        Reader::new(target, &go.offsets, unwinder, StackCache::new(found), still)
    };
    let mut draft = Draft::new(go, target, options, into);
    let mut tasks = Tasks::new(runtime, std::mem::take(labels), &mut draft, into);
    tasks.into.reserve_tasks(goroutines);
    tasks.into.reserve_objects(*objects);
    let threads = options.threads.get();
    let mut running =
        read_parked(&mut *pieces, threads, &reader, &mut tasks, |r, piece| r.piece(piece, &again))?;
    let open = pieces.iter_mut().filter(|piece| !piece.open.is_empty());
    running.append(&mut read_parked(open, threads, &reader, &mut tasks, |r, piece| r.open(piece, &again))?);
    let unchanged = tasks.unchanged;
    tracing::debug!(unchanged, "parked goroutines are read; {} are running or have just run", running.len());
    read_running(running, options, &mut reader(), &mut tasks)?;
    *objects = tasks.into.objects().len();
    if options.repeated {
        *labels = tasks.into_labels();
    }
    let stopped = into.header.reading.threads_stopped;
    tracing::debug!("running goroutines are read; {stopped} threads were stopped for this, one at a time");
    count_fails.note(again.since.has_failed());

    draft.stacks = last.stacks.list();
    helpers::run(&mut draft, into);
    locks::run(&mut draft, into);
    links::run(&mut draft, into)?;
    if options.ancestors {
        ancestors::find(go, target, &mut draft.resolver, draft.first_task, into)?;
    }
    held::run(&mut draft, into)?;
    actors::run(&mut draft, into)?;
    stacks::run(&mut draft, into)?;
    if options.repeated {
        last.compact();
        *go.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
    Ok(())
}

/// What the last reading kept. Another reading at the same time finds nothing.
fn take(go: &Go, max_depth: usize) -> LastReading {
    let last = go.last.lock().unwrap_or_else(PoisonError::into_inner).take();
    last.filter(|last| last.max_depth == max_depth).unwrap_or_else(|| LastReading::none(max_depth))
}

/// Reads all goroutines of these pieces that do not run, on several threads; returns the addresses of the running
/// ones.
fn read_parked<'a, 'p>(
    pieces: impl IntoIterator<Item = &'p mut Piece, IntoIter: Send>,
    threads: usize,
    reader: &(impl Fn() -> Reader<'a> + Sync),
    tasks: &mut Tasks<'_, '_>,
    read: impl Fn(&mut Reader<'a>, &mut Piece) -> Result<Chunk, TargetError> + Sync,
) -> Result<Vec<u64>, GoError> {
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut running = Vec::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<(Result<Chunk, TargetError>, &Piece)>(2 * threads);
        for _ in 0..threads {
            // The last ones may find that all is taken.
            let Some(first) = next() else { break };
            let (sender, next, read) = (sender.clone(), &next, &read);
            scope.spawn(move || {
                let mut reader = reader();
                let mut piece = Some(first);
                while let Some(some) = piece {
                    let chunk = read(&mut reader, some);
                    // After an error elsewhere the receiver is gone.
                    if sender.send((chunk, some)).is_err() {
                        break;
                    }
                    piece = next();
                }
                tracing::trace!(frame_pointers = ?reader.unwinder.frame_pointers(), "parked goroutines read");
            });
        }
        drop(sender);
        for (chunk, piece) in receiver {
            let chunk = chunk?;
            tasks.same(&chunk.same, piece);
            tasks.chunk(chunk, &mut running);
        }
        Ok(running)
    })
}

/// Reads running goroutines through their threads, and goroutines that turn out to be parked by now.
fn read_running(
    mut running: Vec<u64>,
    options: &ReadOptions,
    reader: &mut Reader<'_>,
    tasks: &mut Tasks<'_, '_>,
) -> Result<(), GoError> {
    let may_stop = options.pause != Pause::Nothing || reader.target.is_static();
    let mut stops = Stops::default();
    for round in 0..RUNNING_ROUNDS {
        let last = round + 1 == RUNNING_ROUNDS;
        let mut parked = Vec::new();
        for address in std::mem::take(&mut running) {
            match running::read(reader, address, may_stop && !last, &mut stops)? {
                Running::Read(goroutine) => tasks.goroutine(&goroutine, &[]),
                Running::Moved => parked.push(address),
                Running::Ended => tasks.into.header.reading.ended += 1,
            }
        }
        if parked.is_empty() {
            break;
        }
        parked.sort_unstable();
        tasks.into.header.reading.retried += parked.len() as u64;
        let chunk = reader.read(&parked)?;
        tasks.chunk(chunk, &mut running);
    }
    // It runs at every reading, but never while its thread is stopped, and may wait for a CPU just now.
    for address in running {
        match running::as_it_is(reader, address)? {
            Some(goroutine) => {
                tasks.into.header.reading.torn += 1;
                tasks.goroutine(&goroutine, &[]);
            }
            None => tasks.into.header.reading.ended += 1,
        }
    }
    if let Some(problem) = &stops.refused {
        let warning = format!("a running goroutine's stack was not read: {problem}");
        tasks.into.header.warnings.push(warning);
    }
    stops.note(&mut tasks.into.header.reading);
    Ok(())
}
