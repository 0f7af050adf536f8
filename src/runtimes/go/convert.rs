//! One reading from end to end. Threads read goroutines in chunks; the calling thread turns the results into
//! [`tasks`] with their [`stacks`] as they arrive, then reads running goroutines through their threads. What needs every
//! stack is added to the [`draft`] in stages: which [`helpers`] run the program's code, the [`locks`] that goroutines wait for,
//! the descriptors and timers ([`links`]), the locks' holders ([`held`]), who is going to act ([`actors`]), and what is [in C
//! code](in_c).

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
use super::chunk::{CHUNK, Chunk};
use super::goroutine::Goroutine;
use super::known::{Known, News, Place};
use super::last::LastReading;
use super::piece::Piece;
use super::proof::Since;
use super::read::{Again, Reader};
use super::running::{self, Running, Stops};
use super::stacks::StackCache;
use super::unwind::Unwinder;
use super::waits::RawWait;
use super::{Go, GoError, list};
use crate::process::{Target, TargetError};
use crate::runtimes::{Pause, ReadOptions};
use crate::snapshot::SnapshotBuilder;

/// How often a goroutine may switch from running to parked and back while it is read.
const RUNNING_ROUNDS: usize = 4;
/// Pieces with little news that are handed over at a time: to wake the receiver costs more than to take over a piece.
const TOGETHER: usize = 16;

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

    let LastReading { pieces, known, stacks: found, run_count, labels, count_fails, objects, .. } = &mut last;
    // Before anything is read: what happens from now on counts for the next reading.
    let before = std::mem::replace(run_count, go.run_count.and_then(|count| count.read(target)));
    let again = Again {
        judge: &go.judge,
        known: &*known,
        since: Since::new(go.run_count, before),
        counts: before.is_some() && count_fails.may_try(),
        keep: options.repeated,
    };
    let still = target.is_static() || options.pause == Pause::Everything;
    let reader = || {
        let unwinder = Unwinder::new(&go.modules, options.max_depth);
        Reader::new(target, &go.offsets, unwinder, StackCache::new(found), still)
    };
    let mut draft = Draft::new(go, target, options, found, into);
    draft.stacks.reserve(goroutines);
    let tasks = Tasks::new(runtime, std::mem::take(labels), &mut draft, into);
    tasks.into.reserve_tasks(goroutines);
    tasks.into.reserve_objects(*objects);
    let is_first = known.is_empty();
    let keep = options.repeated || !is_first;
    let mut inbox = Inbox { tasks, known, news: known.no_news(), is_first, keep, running: Vec::new() };
    let threads = options.threads.get();
    read_parked((0..).zip(&mut *pieces), threads, &reader, &mut inbox, |r, piece| r.piece(piece, &again))?;
    let open = (0..).zip(&mut *pieces).filter(|(_, piece)| !piece.open.is_empty());
    read_parked(open, threads, &reader, &mut inbox, |r, piece| r.open(piece, &again))?;
    tracing::debug!("parked goroutines are read; {} are running or have just run", inbox.running.len());
    read_running(options, &mut reader(), &mut inbox)?;
    count_fails.note(again.since.has_failed());
    let Inbox { mut tasks, news, .. } = inbox;
    if keep {
        known.advance(news, pieces, &go.judge, |goroutine, waits| {
            if !is_first {
                tasks.goroutine(goroutine, waits);
            }
        });
    }
    *objects = tasks.into.objects().len();
    let unchanged = tasks.unchanged;
    if options.repeated {
        *labels = tasks.into_labels();
    }
    let stopped = into.header.reading.threads_stopped;
    tracing::debug!(unchanged, "goroutines are read; {stopped} threads were stopped for this, one at a time");

    draft.stacks.complete();
    helpers::run(&mut draft, into);
    locks::run(&mut draft, into);
    links::run(&mut draft, into)?;
    if options.ancestors {
        ancestors::find(go, target, &mut draft.resolver, draft.first_task, into)?;
    }
    held::run(&mut draft, into)?;
    actors::run(&mut draft, into)?;
    in_c::run(&mut draft, into)?;
    drop(draft);
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

/// Takes what is read of goroutines. In a first reading they become tasks at once; when goroutines are read again, most have
/// not run, and all become tasks at the end, in their order.
struct Inbox<'k, 'd, 'a> {
    tasks: Tasks<'d, 'a>,
    known: &'k Known,
    news: News,
    is_first: bool,
    /// The news are needed: at the end, or for the next reading.
    keep: bool,
    /// Addresses of running goroutines.
    running: Vec<u64>,
}

impl Inbox<'_, '_, '_> {
    /// Takes one goroutine and what it waits for. `place`: where the next reading finds it.
    fn goroutine(&mut self, goroutine: &Goroutine, waits: &[RawWait], place: Option<Place>) {
        if self.is_first {
            self.tasks.goroutine(goroutine, waits);
        } else {
            self.tasks.meet(goroutine);
        }
        if self.keep {
            self.news.fresh(goroutine, waits, place);
        }
    }

    /// Takes goroutines that were read together: those of a piece, with its number, or some.
    fn chunk(&mut self, mut chunk: Chunk, of: Option<(u32, &Piece)>) {
        self.tasks.count(&chunk);
        self.running.append(&mut chunk.running);
        self.news.channels(chunk.channels);
        for same in &chunk.same {
            // Labels that were known before the last reading need not be read.
            if !same.settled {
                self.tasks.meet_labels(self.known.labels(same.row));
            }
            self.news.same(same);
        }
        // Most come in the order of their addresses.
        let mut next = 0;
        for goroutine in &chunk.goroutines {
            let at = of.and_then(|(_, piece)| piece.position(goroutine.raw.address, next));
            next = at.map_or(next, |at| at + 1);
            let place = of.zip(at).map(|((piece, _), at)| (piece, at as u32));
            self.goroutine(goroutine, goroutine.waits.slice(&chunk.waits), place);
        }
    }
}

/// What was read of a piece, with its number.
type FromPiece<'p> = (Result<Chunk, TargetError>, u32, &'p Piece);

/// Reads all goroutines of these pieces that do not run, on several threads.
fn read_parked<'a, 'p>(
    pieces: impl IntoIterator<Item = (u32, &'p mut Piece), IntoIter: Send>,
    threads: usize,
    reader: &(impl Fn() -> Reader<'a> + Sync),
    inbox: &mut Inbox<'_, '_, '_>,
    read: impl Fn(&mut Reader<'a>, &mut Piece) -> Result<Chunk, TargetError> + Sync,
) -> Result<(), GoError> {
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel::<Vec<FromPiece<'_>>>(2 * threads);
        for _ in 0..threads {
            // The last ones may find that all is taken.
            let Some(first) = next() else { break };
            let (sender, next, read) = (sender.clone(), &next, &read);
            scope.spawn(move || {
                let (mut reader, mut piece) = (reader(), Some(first));
                while piece.is_some() {
                    let (mut ready, mut goroutines) = (Vec::new(), 0);
                    while goroutines < CHUNK / 2
                        && ready.len() < TOGETHER
                        && let Some((number, some)) = piece.take()
                    {
                        let chunk = read(&mut reader, some);
                        goroutines += chunk.as_ref().map_or(0, |chunk| chunk.goroutines.len());
                        ready.push((chunk, number, &*some));
                        piece = next();
                    }
                    // After an error elsewhere the receiver is gone.
                    if sender.send(ready).is_err() {
                        break;
                    }
                }
                tracing::trace!(frame_pointers = ?reader.unwinder.frame_pointers(), "parked goroutines read");
            });
        }
        drop(sender);
        for (chunk, number, piece) in receiver.into_iter().flatten() {
            inbox.chunk(chunk?, Some((number, piece)));
        }
        Ok(())
    })
}

/// Reads running goroutines through their threads, and goroutines that turn out to be parked by now.
fn read_running(
    options: &ReadOptions,
    reader: &mut Reader<'_>,
    inbox: &mut Inbox<'_, '_, '_>,
) -> Result<(), GoError> {
    let may_stop = options.pause != Pause::Nothing || reader.target.is_static();
    let mut stops = Stops::default();
    for round in 0..RUNNING_ROUNDS {
        let last = round + 1 == RUNNING_ROUNDS;
        let mut parked = Vec::new();
        for address in std::mem::take(&mut inbox.running) {
            match running::read(reader, address, may_stop && !last, &mut stops)? {
                Running::Read(goroutine) => inbox.goroutine(&goroutine, &[], None),
                Running::Moved => parked.push(address),
                Running::Ended => inbox.tasks.into.header.reading.ended += 1,
            }
        }
        if parked.is_empty() {
            break;
        }
        parked.sort_unstable();
        inbox.tasks.into.header.reading.retried += parked.len() as u64;
        let chunk = reader.read(&parked)?;
        inbox.chunk(chunk, None);
    }
    // It runs at every reading, but never while its thread is stopped, and may wait for a CPU just now.
    for address in std::mem::take(&mut inbox.running) {
        match running::as_it_is(reader, address)? {
            Some(goroutine) => {
                inbox.tasks.into.header.reading.torn += 1;
                inbox.goroutine(&goroutine, &[], None);
            }
            None => inbox.tasks.into.header.reading.ended += 1,
        }
    }
    let header = &mut inbox.tasks.into.header;
    if let Some(problem) = &stops.refused {
        header.warnings.push(format!("a running goroutine's stack was not read: {problem}"));
    }
    stops.note(&mut header.reading);
    Ok(())
}
