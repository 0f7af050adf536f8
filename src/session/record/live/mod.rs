//! CPU time of tasks while they are watched: a sampler on a thread of its own, whose samples are added up by task.
//!
//! It writes nothing and keeps no samples: see [`tally`]. It follows one program; when the process ends or becomes another
//! program, it says so and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

mod tally;

use super::batch::{Batch, Mapped};
use super::looks::Looks;
use super::{LITTLE_CPU_NS, RecordError, STACK};
use crate::analysis::lore;
use crate::analysis::pattern::Pattern;
use crate::cause::full_text;
use crate::code::CodeBuilder;
use crate::process::{self, Moment, Target, thread_cpu_time};
use crate::runtimes::{Attribute, Owner, Readable};
use crate::sampler::usage::CpuTime;
use crate::sampler::{Event, Hurry, Sampler, SamplerOptions};
use crate::session::process::ProgramId;
use tally::{Sums, Tally, TaskId, Used, Whose};

/// Samples of a running thread in a second.
const RATE_HZ: u32 = 99;
/// How often the sums are handed over.
const TELL: Duration = Duration::from_millis(500);
/// Shares of a shorter window say too little, nanoseconds.
const SHORTEST_NS: u64 = 1_000_000_000;
/// After this many samples the names that were read for them are forgotten: a program could make up new ones for ever.
const SAMPLES_OF_NAMES: usize = 50_000;

/// What a sampler says.
#[derive(Debug, Clone)]
pub enum CpuNews {
    /// CPU time up to now. Comes some times a second.
    Times(Arc<CpuTimes>),
    /// The program has ended or was replaced. There will be no more news.
    Over,
    /// The program cannot be sampled. There will be no more news.
    Failed {
        /// Why, in one line.
        why: String,
        /// The reason and what helps, a line each.
        remedy: Vec<String>,
    },
}

/// CPU time in the window, and in total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuNs {
    /// In the last ten seconds, or since the sampler began; nanoseconds.
    pub window: u64,
    /// Since the sampler began, or since there were too many tasks to remember; nanoseconds.
    pub total: u64,
}

impl CpuNs {
    fn add(&mut self, other: CpuNs) {
        self.window += other.window;
        self.total += other.total;
    }
}

impl std::iter::Sum for CpuNs {
    fn sum<I: Iterator<Item = CpuNs>>(all: I) -> CpuNs {
        let mut sum = CpuNs::default();
        all.for_each(|one| sum.add(one));
        sum
    }
}

/// A task that was sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCpu {
    /// The number of its runtime.
    pub runtime: u8,
    /// The runtime's id for it.
    pub id: u64,
    /// It collects garbage.
    pub collects: bool,
    /// Its time.
    pub ns: CpuNs,
}

/// CPU time by task. Bounded: it has the tasks that were sampled in the window, and the sums of some tens of
/// thousands of others.
#[derive(Debug, Clone)]
pub struct CpuTimes {
    /// The program that was sampled.
    pub program: ProgramId,
    /// The names of its runtimes, by number.
    pub runtimes: Vec<String>,
    /// What the window and the totals cover, nanoseconds.
    pub covers: CpuNs,
    /// The tasks with samples, sorted by runtime and id.
    pub tasks: Vec<TaskCpu>,
    /// Schedulers of runtimes.
    pub scheduler: CpuNs,
    /// Threads that run no tasks.
    pub native: CpuNs,
    /// Not known whose.
    pub unknown: CpuNs,
    /// CPU time that the process used in the window, as the kernel counts it, nanoseconds. Only user code, if only
    /// that is sampled. None if the process is gone.
    pub used_ns: Option<u64>,
    /// CPU time that the thread of the sampler used in the window, nanoseconds.
    pub own_ns: u64,
    /// Samples a second of a thread that runs.
    pub rate_hz: u32,
    /// What raises a sample: "cpu-clock".
    pub event: &'static str,
    /// Time in the kernel is sampled, too.
    pub kernel: bool,
    /// Samples since the beginning.
    pub samples: u64,
    /// Records that were lost since the beginning, or made no sense.
    pub lost: u64,
    /// Threads that are not sampled, because of a limit.
    pub threads_missed: u64,
    /// What had to be reduced, a sentence each.
    pub reduced: Vec<String>,
}

impl CpuTimes {
    /// The window is long enough to speak of shares.
    pub fn is_enough(&self) -> bool {
        self.covers.window >= SHORTEST_NS
    }

    /// The time of all samples.
    pub fn all(&self) -> CpuNs {
        let tasks = self.tasks.iter().map(|task| task.ns);
        tasks.chain([self.scheduler, self.native, self.unknown]).sum()
    }

    /// CPU time that samples of the window stand for, in percent of what the process used. None if it used too little
    /// to say.
    pub fn coverage(&self) -> Option<f64> {
        let used = self.used_ns.filter(|&used| used >= LITTLE_CPU_NS)?;
        Some(self.all().window as f64 * 100.0 / used as f64)
    }
}

/// Samples the CPU time of a program until it is dropped. Then its thread ends by itself, soon, and its perf events with
/// it.
#[derive(Debug)]
pub struct LiveCpu {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LiveCpu {
    /// Begins. `tell` hears what happens, on the sampler's thread: it must not take long.
    ///
    /// # Errors
    /// There is no room for another thread.
    pub fn start(
        program: ProgramId,
        mut tell: impl FnMut(CpuNews) + Send + 'static,
    ) -> std::io::Result<LiveCpu> {
        let stop = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&stop);
        let thread = thread::Builder::new().name("loiter-cpu".to_owned()).spawn(move || {
            match sample(program, &its, &mut tell) {
                Err(error) if !is_gone(&error) => {
                    let remedy = if let RecordError::Sampler(error) = &error { error.remedy() } else { &[] };
                    // What another command does instead helps nobody here.
                    let remedy = remedy.iter().filter(|line| !line.contains("--mode")).cloned().collect();
                    tell(CpuNews::Failed { why: full_text(&error), remedy });
                }
                _ if its.load(Ordering::Relaxed) => {}
                _ => tell(CpuNews::Over),
            }
        })?;
        Ok(LiveCpu { stop, thread: Some(thread) })
    }

    /// Ends it, and waits until its thread and its perf events are gone.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for LiveCpu {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn is_gone(error: &RecordError) -> bool {
    match error {
        RecordError::Target(error) => error.is_gone(),
        RecordError::Sampler(crate::sampler::SamplerError::Target(error)) => error.is_gone(),
        _ => false,
    }
}

/// Samples a program until it is over or `stop` is set.
fn sample(program: ProgramId, stop: &AtomicBool, tell: &mut dyn FnMut(CpuNews)) -> Result<(), RecordError> {
    let target = process::open_pid(program.pid()).map_err(crate::Error::from)?;
    let readable = Readable::find(target.as_ref())?;
    let _hurry = Hurry::begin();
    let options = SamplerOptions {
        rate_hz: RATE_HZ,
        event: Event::CpuClock,
        stack_bytes: STACK,
        ..SamplerOptions::default()
    };
    let mut sampler = Sampler::attach(program.pid(), &options)?;
    // From here on, the records say if another program begins.
    if !program.runs(target.as_ref()) {
        return Ok(());
    }
    let mut tally = Tally::new(sampler.begun_ns(), used(program));
    let mut owners = Owners::new(target.as_ref(), &readable)?;
    let (mut looks, mut told) = (Looks::new(RATE_HZ), Instant::now());
    let (mut batch, mut has_ended) = (Batch::default(), false);
    while !stop.load(Ordering::Relaxed) && !has_ended {
        has_ended = sampler.wait(looks.interval());
        batch.clear();
        batch.fill(&mut sampler, None, &|registers| {
            owners.runtimes.iter().find_map(|runtime| runtime.stack_end(registers))
        });
        if batch.executed_ns().is_some() {
            return Ok(());
        }
        tally.go_on(sampler.now_ns(), || used(program));
        let missed = owners.add(&batch, &mut tally)?;
        looks.done(batch.mapped().next().is_some(), batch.samples.len(), missed);
        if told.elapsed() >= TELL {
            told = Instant::now();
            let sums = tally.sums(sampler.now_ns());
            tell(CpuNews::Times(Arc::new(times(program, &sampler, &owners, &sums))));
        }
    }
    Ok(())
}

fn used(program: ProgramId) -> Used {
    // Every Linux has this clock.
    let own = thread_cpu_time();
    Used { process: CpuTime::of(program.pid()), own_ns: own.as_nanos() as u64 }
}

fn times(program: ProgramId, sampler: &Sampler, owners: &Owners<'_>, sums: &Sums) -> CpuTimes {
    let (facts, tally) = (sampler.facts(), sampler.tally());
    let now = used(program);
    let process = sums.before.process.zip(now.process).map(|(before, now)| now.since(before));
    let of =
        |whose| sums.times.get(&whose).map(|&[window, total]| CpuNs { window, total }).unwrap_or_default();
    let task = |(&whose, &[window, total]): (&Whose, &[u64; 2])| {
        let (Whose::Task((runtime, id)) | Whose::Collector((runtime, id))) = whose else { return None };
        let collects = matches!(whose, Whose::Collector(_));
        Some(TaskCpu { runtime, id, collects, ns: CpuNs { window, total } })
    };
    let mut tasks: Vec<TaskCpu> = sums.times.iter().filter_map(task).collect();
    tasks.sort_unstable_by_key(|task| (task.runtime, task.id));
    // Its start function may have been unknown at first.
    tasks.dedup_by(|more, task| {
        let is_same = (more.runtime, more.id) == (task.runtime, task.id);
        if is_same {
            task.ns.add(more.ns);
            task.collects |= more.collects;
        }
        is_same
    });
    CpuTimes {
        program,
        runtimes: owners.names.clone(),
        covers: CpuNs { window: sums.window_ns, total: sums.total_ns },
        tasks,
        scheduler: of(Whose::Scheduler),
        native: of(Whose::Native),
        unknown: of(Whose::Unknown),
        used_ns: process.map(|used| if facts.kernel { used.total_ns } else { used.user_ns() }),
        own_ns: now.own_ns.saturating_sub(sums.before.own_ns),
        rate_hz: RATE_HZ,
        event: facts.event.unwrap_or_default(),
        kernel: facts.kernel,
        samples: tally.samples,
        lost: tally.lost.saturating_add(tally.malformed),
        threads_missed: tally.threads_missed,
        reduced: facts.reduced.clone(),
    }
}

/// Says whose samples are, as the runtimes of the program know it.
struct Owners<'a> {
    target: &'a dyn Target,
    readable: &'a Readable,
    /// The names of the runtimes, by number.
    names: Vec<String>,
    /// The start functions of tasks that collect garbage, by the runtime's number.
    collectors: Vec<Vec<Pattern>>,
    runtimes: Vec<Box<dyn Attribute + 'a>>,
    code: CodeBuilder,
    /// Samples since the code is known.
    samples: usize,
    /// Tasks that are known to collect garbage, or not to.
    known: FxHashMap<TaskId, bool>,
}

impl<'a> Owners<'a> {
    fn new(target: &'a dyn Target, readable: &'a Readable) -> Result<Self, RecordError> {
        let names: Vec<String> = readable
            .infos(target)
            .into_iter()
            .map(|info| info.map(|info| info.name).unwrap_or_default())
            .collect();
        let patterns =
            |name: &String| lore::of(name).collectors.iter().map(|name| Pattern::whole(name)).collect();
        Ok(Owners {
            target,
            readable,
            collectors: names.iter().map(patterns).collect(),
            names,
            runtimes: readable.attributions(target, 0)?,
            code: CodeBuilder::new(),
            samples: 0,
            known: FxHashMap::default(),
        })
    }

    /// Adds the samples of a batch. Returns of how many it is not known whose they are.
    fn add(&mut self, batch: &Batch, tally: &mut Tally) -> Result<u64, RecordError> {
        if self.samples >= SAMPLES_OF_NAMES {
            self.runtimes = self.readable.attributions(self.target, 0)?;
            (self.code, self.samples) = (CodeBuilder::new(), 0);
            self.known.clear();
        }
        let mapped: Vec<Mapped> = batch.mapped().collect();
        if !mapped.is_empty() {
            // An error shows up where the mappings are needed.
            let _ = self.target.mappings();
            self.runtimes.iter_mut().for_each(|runtime| runtime.renew_code());
        }
        let moments: Vec<Moment<'_>> = batch.samples.iter().map(|(moment, _)| moment).collect();
        for runtime in &mut self.runtimes {
            runtime.refresh(&moments, &mut self.code)?;
        }
        let mut missed = 0;
        for (moment, weight_ns) in batch.samples.iter() {
            // What was there before is not known any more.
            let is_of_old_code = mapped.iter().any(|mapped| {
                let range = mapped.start..mapped.end;
                let mut addresses = moment.chain.iter().chain([&moment.registers.pc]);
                mapped.at_ns > moment.at_ns && addresses.any(|address| range.contains(address))
            });
            let whose = if is_of_old_code { Whose::Unknown } else { self.whose(&moment) };
            missed += u64::from(whose == Whose::Unknown);
            tally.add(moment.at_ns, whose, weight_ns);
            self.samples += 1;
        }
        Ok(missed)
    }

    fn whose(&mut self, moment: &Moment<'_>) -> Whose {
        let claim = self.runtimes.iter_mut().find_map(|runtime| runtime.whose(moment, &mut self.code));
        match claim.map(|claim| claim.owner) {
            None => Whose::Native,
            Some(Owner::Scheduler) => Whose::Scheduler,
            Some(Owner::Unknown) => Whose::Unknown,
            Some(Owner::Task(task, _)) => {
                let Some(id) = task.id else { return Whose::Unknown };
                let (key, entry) = ((task.runtime, id), task.entry.filter(|_| task.system));
                let collects = || {
                    let entry = entry.and_then(|entry| self.code.function_at(entry));
                    let name = entry.map(|entry| self.code.text(entry.name)).unwrap_or_default();
                    let patterns = self.collectors.get(usize::from(task.runtime));
                    patterns.is_some_and(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
                };
                match *self.known.entry(key).or_insert_with(collects) {
                    true => Whose::Collector(key),
                    false => Whose::Task(key),
                }
            }
        }
    }
}
