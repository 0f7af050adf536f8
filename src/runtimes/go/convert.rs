//! One reading from end to end. Threads read goroutines in chunks; the calling thread turns the results into
//! [`tasks`] as they arrive, then reads running goroutines through their threads. What needs every stack is
//! added to the [`draft`] in stages: which [`helpers`] run the program's code, the [`locks`] that goroutines
//! wait for, their holders ([`held`]), and the [`stacks`] themselves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

mod draft;
mod held;
mod helpers;
mod in_c;
mod locks;
mod stacks;
mod tasks;

use draft::Draft;
use tasks::Tasks;

use super::read::{CHUNK, Chunk, Reader};
use super::running::{self, Running, Stops};
use super::stacks::{StackCache, Stacks};
use super::unwind::Unwinder;
use super::{Go, GoError, list};
use crate::process::{Target, TargetError};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::{SnapshotBuilder, StackStatus};

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
    let mut addresses = list.addresses;
    addresses.retain(|address| *address != 0 && address % 8 == 0);
    addresses.sort_unstable();
    addresses.dedup();
    tracing::debug!("the list of goroutines has {} entries", addresses.len());

    let still = target.is_static() || options.pause == Pause::Everything;
    let found = Stacks::default();
    let reader = || {
        let unwinder = Unwinder::new(&go.modules, options.max_depth);
        Reader::new(target, &go.offsets, unwinder, StackCache::new(&found), still)
    };
    let mut draft = Draft::new(go, target, options, into.task_count());
    let mut tasks = Tasks::new(runtime, &mut draft, into);
    tasks.into.reserve_tasks(addresses.len());
    let running = read_parked(&addresses, options.threads.get(), reader, &mut tasks)?;
    tracing::debug!("parked goroutines are read; {} are running or have just run", running.len());
    read_running(running, options, &mut reader(), &mut tasks)?;
    let stopped = into.header.reading.threads_stopped;
    tracing::debug!("running goroutines are read; {stopped} threads were stopped for this, one at a time");

    draft.stacks = found.into_vec();
    helpers::run(&mut draft, into);
    locks::run(&mut draft, into);
    held::run(&mut draft, into)?;
    stacks::run(&mut draft, into)
}

/// Reads all goroutines that do not run, on several threads; returns the addresses of the running ones.
fn read_parked<'a>(
    addresses: &[u64],
    threads: usize,
    reader: impl Fn() -> Reader<'a> + Sync,
    tasks: &mut Tasks<'_, '_>,
) -> Result<Vec<u64>, GoError> {
    let next = AtomicUsize::new(0);
    let mut running = Vec::new();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Result<Chunk, TargetError>>(2 * threads);
        for _ in 0..threads.min(addresses.len().div_ceil(CHUNK)).max(1) {
            let (sender, next, reader) = (sender.clone(), &next, &reader);
            scope.spawn(move || {
                let mut reader = reader();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = addresses.chunks(CHUNK).nth(number) else { break };
                    // After an error elsewhere the receiver is gone.
                    if sender.send(reader.read(chunk)).is_err() {
                        break;
                    }
                }
                tracing::trace!(frame_pointers = ?reader.unwinder.frame_pointers(), "parked goroutines read");
            });
        }
        drop(sender);
        for chunk in receiver {
            tasks.chunk(chunk?, &mut running);
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
    // It runs at every reading, but never while its thread is stopped.
    for address in running {
        if let Running::Read(mut goroutine) = running::read(reader, address, false, &mut stops)? {
            goroutine.stack_status = StackStatus::Torn;
            tasks.into.header.reading.torn += 1;
            tasks.goroutine(&goroutine, &[]);
        }
    }
    if let Some(problem) = &stops.refused {
        let warning = format!("a running goroutine's stack was not read: {problem}");
        tasks.into.header.warnings.push(warning);
    }
    stops.note(&mut tasks.into.header.reading);
    Ok(())
}
