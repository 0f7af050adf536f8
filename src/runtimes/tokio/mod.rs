//! Tasks of Tokio in an ordinary program, which gives no help: any build since Tokio 1.28, stripped too.
//!
//! How one reading works: `find` knows the vtables of all types of tasks, `scan` finds every header that names one,
//! `owned` reads the schedulers that the headers name and checks the number of tasks by theirs, `names` says what type a
//! task is, and `convert` turns all of it into the model. `scheduled_io` says which tasks wait for which descriptors, `roots`
//! finds the futures that threads block on, `version` says which Tokio it is.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::Result;
use crate::process::{Image, Target, TargetError};
use crate::runtimes::executors;
use crate::runtimes::{Attached, Attribute, FoundRuntimes, Pause, ReadOptions};
use crate::snapshot::{RuntimeInfo, SnapshotBuilder};
use crate::symbols::native::NativeCode;

mod chain;
mod convert;
mod drops;
mod figures;
mod find;
mod kinds;
mod names;
mod owned;
mod places;
mod roots;
mod running;
mod sampling;
mod scan;
mod scheduled_io;
mod timers;
mod version;
mod workers;

use chain::{Chains, Figures};
use convert::{ChainReader, Converter};
use figures::{coverage, figures, starved};
use kinds::FutureType;
use names::Name;
use owned::{Kind, Scheduler};
use scan::{Header, Known, state};
use version::Version;

/// Tasks of one type whose chains are read before a reading that stops the program.
const REHEARSED: usize = 256;
/// `OwnedTasks` has counts from this minor version on.
const COUNTS_SINCE: u32 = 36;

/// Tokio in a target.
pub(super) struct Tokio {
    images: Vec<Image>,
    known: Known,
    versions: Vec<Version>,
    learned: Mutex<Learned>,
}

/// What readings have learned so far.
#[derive(Default)]
struct Learned {
    types: FxHashMap<u32, FutureType>,
    /// The names of all types of tasks according to symbols, by the index of the vtable.
    names: Option<Vec<Option<names::Name>>>,
    code: Option<NativeCode>,
    /// What is to be said of other executors, once that was looked for.
    executors: Option<Option<String>>,
    /// Those of each image.
    chains: Option<Vec<Chains>>,
    roots: roots::Known,
    schedulers: Vec<Scheduler>,
    /// Tasks without a waker in the last reading: address and id, in order.
    stuck: Vec<(u64, u64)>,
}

/// Finds Tokio in a target.
pub(super) fn probe(target: &dyn Target, found: &mut FoundRuntimes) -> Result<()> {
    let (mut images, mut vtables) = (Vec::new(), Vec::new());
    for image in target.images()? {
        let own = find::vtables(target, &image)?;
        if !own.is_empty() {
            tracing::debug!("{} has {} vtables of Tokio's tasks", image.path, own.len());
            images.push(image);
            vtables.extend(own);
        }
    }
    if vtables.is_empty() {
        return Ok(());
    }
    if found.exports_tokio {
        found.left_out.extend(executors::not_read_besides(&mut NativeCode::of(target)?));
        found.notes.push(
            "Tokio's tasks are shown as the program's task registry lists them; those that it does not list are not \
             read from memory"
                .to_owned(),
        );
        return Ok(());
    }
    let mut versions: Vec<_> = images.iter().flat_map(|image| version::versions(target, image)).collect();
    versions.sort_unstable();
    versions.dedup();
    found.add(Tokio { images, known: Known::new(vtables), versions, learned: Mutex::default() });
    Ok(())
}

/// What is known about a target that has no vtables of tasks: one line.
pub(super) fn absence(target: &dyn Target) -> String {
    let images = target.images().unwrap_or_default();
    let newest = images.iter().flat_map(|image| version::versions(target, image)).max();
    let oldest = version::OLDEST_KNOWN;
    match newest {
        Some((minor, patch)) if minor < oldest => {
            format!("its Tokio 1.{minor}.{patch} is too old: tasks are read since 1.{oldest}")
        }
        _ => "no image has vtables of Tokio's tasks".to_owned(),
    }
}

impl Tokio {
    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> Option<String> {
        self.versions.last().map(|(minor, patch)| format!("tokio 1.{minor}.{patch}"))
    }

    /// The schedulers that are known, or those of the tasks that a search finds.
    fn schedulers(&self, target: &dyn Target) -> Result<Vec<Scheduler>, TargetError> {
        let slots = owned::has_slots(&self.versions);
        let known = self.learned().schedulers.clone();
        if !known.is_empty() {
            return Ok(owned::again(target, &known, slots));
        }
        let all = scan::scan(target, &self.known, NonZeroUsize::MIN)?;
        Ok(owned::schedulers(target, &all.headers, slots))
    }

    /// A scheduler without counts is a `LocalSet` where every other one has them.
    fn tell_local_sets(&self, schedulers: &mut [Scheduler]) {
        let counted = self.versions.first().is_some_and(|(minor, _)| *minor >= COUNTS_SINCE);
        for scheduler in schedulers.iter_mut().filter(|scheduler| counted && scheduler.kind == Kind::Unknown)
        {
            scheduler.kind = Kind::LocalSet;
        }
    }

    /// Learns the types of tasks that were not met before.
    fn learn(
        &self,
        target: &dyn Target,
        headers: &[Header],
        options: &ReadOptions,
        learned: &mut Learned,
    ) -> Result<(), TargetError> {
        let Learned { types, names, code, chains, .. } = learned;
        let mut new: Vec<u32> =
            headers.iter().map(|header| header.vtable).collect::<FxHashSet<_>>().into_iter().collect();
        new.retain(|vtable| !types.contains_key(vtable));
        new.sort_unstable();
        for index in new {
            let Some(vtable) = self.known.vtables.get(index as usize) else { continue };
            let code = code_of(code, target, options)?;
            let chains = chains.get_or_insert_with(|| self.open(options));
            let kind = chains
                .iter_mut()
                .enumerate()
                .find_map(|(image, chains)| Some((image, chains.future(vtable.poll)?)));
            let name = match &kind {
                Some((_, kind)) => Some(Name::of_type(&kind.name)),
                None => {
                    let names = names.get_or_insert_with(|| self.names(target, code));
                    names.get(index as usize).cloned().flatten()
                }
            };
            let place = code.place(vtable.poll).0;
            types.insert(index, FutureType { name, place, kind });
        }
        Ok(())
    }

    /// The names of all types of tasks according to symbols.
    fn names(&self, target: &dyn Target, code: &mut NativeCode) -> Vec<Option<Name>> {
        let polls: Vec<u64> = self.known.vtables.iter().map(|vtable| vtable.poll).collect();
        let of_polls = names::of_symbols(code, &polls);
        match of_polls.iter().any(Option::is_some) {
            true => of_polls,
            false => drops::names(target, code, &self.known.vtables),
        }
    }

    fn open(&self, options: &ReadOptions) -> Vec<Chains> {
        let open =
            |image: &Image| Chains::open(image, options.debug_file.as_deref(), options.cache.as_deref());
        self.images.iter().map(open).collect()
    }

    /// The vtables of the jobs of the blocking pools that are workers of multi-thread runtimes.
    fn workers(&self, headers: &[Header], learned: &Learned, schedulers: &[Scheduler]) -> FxHashSet<u32> {
        let named: FxHashSet<u32> = learned
            .types
            .iter()
            .filter(|(_, known)| known.name.as_ref().is_some_and(|name| name.is_worker))
            .map(|(vtable, _)| *vtable)
            .collect();
        let is_named =
            |header: &&Header| learned.types.get(&header.vtable).is_some_and(|known| known.name.is_some());
        let blocking = |header: &&Header| header.owner == 0 && header.has(state::RUNNING);
        if !named.is_empty() || headers.iter().filter(blocking).all(|header| is_named(&header)) {
            return named;
        }
        // Where names are unknown: a runtime starts its workers before anything else, and they run for as long as it exists.
        let workers: usize = schedulers.iter().map(|scheduler| scheduler.queues.len()).sum();
        let mut jobs: FxHashMap<u32, (u64, usize)> = FxHashMap::default();
        for header in headers.iter().filter(blocking).filter(|header| !is_named(header)) {
            let job = jobs.entry(header.vtable).or_insert((u64::MAX, 0));
            *job = (job.0.min(header.id), job.1 + 1);
        }
        let first = jobs.into_iter().min_by_key(|(_, (id, _))| *id);
        first
            .filter(|(_, (_, count))| workers > 0 && *count >= workers)
            .map(|(vtable, _)| vtable)
            .into_iter()
            .collect()
    }
}

impl Attached for Tokio {
    fn info(&self, target: &dyn Target) -> Result<RuntimeInfo> {
        let mut flavour = Vec::new();
        if self.known.vtables.iter().any(|vtable| vtable.spawned_at.is_some()) {
            flavour.push("unstable".to_owned());
        }
        let mut schedulers = self.schedulers(target)?;
        self.tell_local_sets(&mut schedulers);
        let mut provenance = vec![format!(
            "{} vtables of tasks in {}",
            self.known.vtables.len(),
            self.images.iter().map(|image| image.path.as_str()).collect::<Vec<_>>().join(", ")
        )];
        provenance.extend(schedulers.iter().filter_map(|scheduler| {
            let live = scheduler.counts?.live;
            Some(format!("{} {}: its list counts {live} tasks", scheduler.kind.name(), scheduler.owner))
        }));
        Ok(RuntimeInfo {
            name: "tokio".to_owned(),
            version: self.name(),
            flavour,
            task_noun: "task".to_owned(),
            provenance,
            scheduler: figures(&schedulers, &[]),
            ..RuntimeInfo::default()
        })
    }

    fn count_tasks(&self, target: &dyn Target) -> Result<u64> {
        let all = scan::scan(target, &self.known, NonZeroUsize::MIN)?;
        Ok(all.headers.iter().filter(|header| !header.has(state::COMPLETE)).count() as u64)
    }

    /// Reads debug information, and finds out which ways chains go: of some tasks of each type.
    fn prepare(&self, target: &dyn Target, options: &ReadOptions) -> Result<()> {
        let mut scan = scan::scan(target, &self.known, options.threads)?;
        let mut learned = self.learned();
        self.learn(target, &scan.headers, options, &mut learned)?;
        let Learned { types, chains, .. } = &mut *learned;
        let mut of_type: FxHashMap<u32, usize> = FxHashMap::default();
        scan.headers.retain(|header| {
            let seen = of_type.entry(header.vtable).or_default();
            *seen += 1;
            *seen <= REHEARSED
        });
        let images = chains.as_mut().map_or(&mut [] as &mut [_], |chains| chains);
        let (known, threads) = (&self.known, options.threads);
        ChainReader { target, known, types, images, still: false, threads }.read(&scan.headers);
        if options.pause == Pause::Everything {
            // What is on the stacks now is not kept, but it has been looked up.
            let options = ReadOptions { pause: Pause::RunningThreads, ..options.clone() };
            self.roots(target, &options, &mut learned, &mut SnapshotBuilder::new())?;
        }
        keep(&mut learned, options);
        Ok(())
    }

    fn read(
        &self,
        target: &dyn Target,
        options: &ReadOptions,
        runtime: u8,
        into: &mut SnapshotBuilder,
    ) -> Result<()> {
        let mut learned = self.learned();
        let learned = &mut *learned;
        // It may have mapped other code since the last reading.
        learned.code.as_mut().map(|code| code.renew(target)).transpose()?;
        let slots = owned::has_slots(&self.versions);
        let before = owned::again(target, &learned.schedulers, slots);
        let mut scan = scan::scan(target, &self.known, options.threads)?;
        learned.schedulers = owned::schedulers(target, &scan.headers, slots);
        self.tell_local_sets(&mut learned.schedulers);
        self.learn(target, &scan.headers, options, learned)?;
        let own = self.own_figures(target, &scan.headers, learned);
        let (missing, lines) = coverage(&before, &learned.schedulers, &scan.headers);
        let reading = &mut into.header.reading;
        reading.missing = reading.missing.saturating_add(missing);
        let workers = self.workers(&scan.headers, learned, &learned.schedulers);
        if let Some(info) = into.header.runtimes.get_mut(usize::from(runtime)) {
            info.provenance.truncate(1);
            info.provenance.extend(lines);
            info.scheduler = figures(&learned.schedulers, &own);
            info.provenance.extend(timers::lines(&learned.schedulers, &own, target.monotonic_ns()));
            into.header.warnings.extend(starved(&learned.schedulers, &own));
        }
        self.warn(&scan, into);
        let roots = self.roots(target, options, learned, into)?;
        if let Some(info) = into.header.runtimes.get_mut(usize::from(runtime)) {
            info.provenance.push(roots.line());
        }
        // Both may be in one program.
        let code = code_of(&mut learned.code, target, options)?;
        let others = learned.executors.get_or_insert_with(|| executors::not_read_besides(code));
        into.header.warnings.extend(others.clone());
        let stuck = std::mem::take(&mut learned.stuck);
        let Learned { types, schedulers, chains, code, .. } = learned;
        let images = chains.as_mut().map_or(&mut [] as &mut [_], |chains| chains);
        let lack = lack(images);
        let is_blind = schedulers.is_empty() && types.values().all(|known| known.name.is_none());
        let mut converter = Converter::new(target, &self.known, types, schedulers, &stuck, runtime);
        converter.still = target.is_static() || options.pause == Pause::Everything;
        // Workers are always running, and hidden: their threads are not asked for.
        let runs = |header: &&Header| header.has(state::RUNNING) && !workers.contains(&header.vtable);
        let running: Vec<Header> = scan.headers.iter().filter(runs).copied().collect();
        converter.threads = running::threads(target, options, &running, &self.known.vtables, code, into)?;
        converter.workers = match workers.is_empty() {
            true => workers::by_stacks(&running, &converter.threads, is_blind, into),
            false => workers,
        };
        into.reserve_tasks(scan.headers.len());
        converter.first = into.task_count();
        let (known, still, threads) = (&self.known, converter.still, options.threads);
        let chains = ChainReader { target, known, types, images, still, threads };
        converter.tasks(&scan.headers, chains, into);
        converter.sockets(&scan.headers, options, into)?;
        let first = converter.first;
        converter.roots(roots.found, into);
        converter.finish(options, into)?;
        // Where nobody awaits, nothing is missing.
        if into.tasks().get(first..).unwrap_or_default().iter().any(|task| !task.system) {
            into.header.warnings.extend(lack);
        }
        if options.repeated {
            scan.headers.retain(Header::has_no_waker);
            learned.stuck = scan.headers.iter().map(|header| (header.address, header.id)).collect();
        }
        // A program that was stopped as a whole must not wait for this: what is known was kept before it was.
        if options.pause != Pause::Everything || target.is_static() {
            keep(learned, options);
        }
        Ok(())
    }

    fn attribution<'a>(
        &'a self,
        target: &'a dyn Target,
        runtime: u8,
    ) -> Result<Option<Box<dyn Attribute + 'a>>> {
        Ok(Some(Box::new(sampling::Attribution::new(self, target, runtime)?)))
    }
}

impl Tokio {
    /// What each scheduler says of itself, read through one of its tasks, whose type also tells for certain which kind it is.
    fn own_figures(
        &self,
        target: &dyn Target,
        headers: &[Header],
        learned: &mut Learned,
    ) -> Vec<Option<Figures>> {
        let Learned { types, chains, schedulers, .. } = learned;
        let mut figures = |scheduler: &mut Scheduler| {
            let is_own =
                |header: &&Header| header.owner == scheduler.owner && header.scheduler == scheduler.address;
            let header = headers.iter().find(is_own)?;
            let (image, kind) = types.get(&header.vtable)?.kind.as_ref()?;
            let chains = chains.as_mut()?.get_mut(*image)?;
            if let Some(known) = chains.scheduler_kind(kind) {
                scheduler.set_kind(known);
            }
            chains.scheduler(kind, target, (header, self.known.of(header)?))
        };
        schedulers.iter_mut().map(&mut figures).collect()
    }

    fn warn(&self, scan: &scan::Scan, into: &mut SnapshotBuilder) {
        let mut warnings: Vec<String> = version::warning(&self.versions).into_iter().collect();
        if scan.cut {
            warnings.push(
                "the program has more memory or tasks than loiter searches: the rest is left out".to_owned(),
            );
        }
        into.header.warnings.extend(warnings);
    }
}

/// The code of the target, which is found once.
fn code_of<'c>(
    known: &'c mut Option<NativeCode>,
    target: &dyn Target,
    options: &ReadOptions,
) -> Result<&'c mut NativeCode, TargetError> {
    match known {
        Some(code) => Ok(code),
        None => Ok(known.insert(NativeCode::of(target)?.kept_in(options.cache.as_deref()))),
    }
}

/// Keeps what was found out about types and functions for the next loiter.
fn keep(learned: &mut Learned, options: &ReadOptions) {
    learned.code.iter_mut().for_each(|code| code.keep(options.repeated));
    learned.chains.iter_mut().flatten().for_each(|chains| chains.keep(options.repeated));
}

/// Why it is not known where tasks await, if it is known of none.
fn lack(chains: &[Chains]) -> Option<String> {
    if chains.iter().any(Chains::is_over) {
        return Some(
            "the debug information is too large to be read in time: where some tasks await is unknown"
                .to_owned(),
        );
    }
    let mut lacks: Vec<String> = chains.iter().map(Chains::lack).collect::<Option<_>>()?;
    lacks.pop()
}
