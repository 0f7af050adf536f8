//! Records what a process does over a while.
//!
//! A [`Recorder`] samples a process by perf events (`sampler`), asks its runtimes whose each sample is, and reads all tasks
//! at intervals. Everything goes into one [`Recording`], on one clock. A [`LiveCpu`] samples while a process is watched,
//! and keeps sums only.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod attribution;
mod batch;
#[cfg(feature = "test-support")]
mod batches;
mod code_changes;
mod drain;
mod earlier;
mod error;
mod finish;
mod live;
mod looks;
mod moments;
mod off_cpu;
mod options;
mod threads;
mod wall;

#[cfg(feature = "test-support")]
#[doc(hidden)]
pub use batches::Batches;
pub use error::RecordError;
pub use live::{CpuNews, CpuNs, CpuTimes, LiveCpu, TaskCpu};
pub use options::{Clocks, Progress, RecordOptions};

use super::pace::cpu_time;
use super::process::is_another;
use crate::cause::full_text;
use crate::process::{self, Registers, Target, beginning, begun, monotonic_ns};
use crate::recording::{Clock, End, Recording, RecordingBuilder, Sample};
use crate::runtimes::{NativeStacks, ReadOptions, Readable};
use crate::sampler::usage::CpuTime;
use crate::sampler::{Hurry, Sampler, SamplerError, SamplerOptions};
use crate::snapshot::{RuntimeInfo, TaskState};
use attribution::Attribution;
use batch::{Batch, Event, StackEnd, no_stack_end};
use drain::Drain;
use earlier::Earlier;
use looks::SOON;
use off_cpu::Waits;
use threads::Threads;
use wall::{Made, Reader};
pub use wall::{Wall, WallOptions};

/// How often the caller hears how far it is.
const PROGRESS: Duration = Duration::from_millis(200);
/// Bytes of the stack that are copied with each sample: what a runtime has on its system stacks takes up to 3 KiB, and
/// native code without frame pointers up to 11 KiB for 40 frames.
const STACK: u32 = 16 << 10;
/// A process that used less CPU time than this says nothing about coverage: the kernel counts in ticks of 10 ms.
const LITTLE_CPU_NS: u64 = 100_000_000;
/// A program that was just started may take this long to have a runtime.
const START: Duration = Duration::from_secs(1);
/// Batches of a program that is starting. What is sampled beyond that is attributed without its runtime.
const MAX_PENDING: usize = 256;
/// Bytes of stacks of threads that left their CPU, in those batches. Where later waits begin is not known.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// Runtimes of all programs that a process was, one after another.
const MAX_RUNTIMES: usize = 128;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// A process that runs. The recording ends when it becomes another program.
    Process(u32),
    /// A program that was just started and has not become itself yet: it is followed when it does.
    Program(u32),
}

impl Recorded {
    fn pid(self) -> u32 {
        let (Recorded::Process(pid) | Recorded::Program(pid)) = self;
        pid
    }
}

/// Whether an error says that there are no perf events, not that there is no process.
fn is_of_events(error: &SamplerError) -> bool {
    !matches!(error, SamplerError::Options { .. } | SamplerError::Target(_))
}

/// The runtimes of a program. None if it has none: its threads can be sampled all the same.
fn find_runtimes(target: &dyn Target, options: &RecordOptions) -> crate::Result<Option<Readable>> {
    match Readable::find(target) {
        Ok(readable) => Ok(Some(readable)),
        Err(crate::Error::NoRuntime { .. }) if options.clocks.need_sampler() => Ok(None),
        Err(error) => Err(error),
    }
}

fn sampler_options(options: &RecordOptions) -> SamplerOptions {
    SamplerOptions {
        rate_hz: options.rate_hz,
        event: options.event,
        cpu: options.clocks.cpu,
        switches: options.clocks.off_cpu,
        departures: options.clocks.off_cpu,
        kernel: options.kernel,
        stack_bytes: STACK,
        every_cpu: None,
    }
}

/// A recording that is being made. What the process does from [`Recorder::attach`] on is in it.
pub struct Recorder<'a> {
    what: Recorded,
    options: &'a RecordOptions,
    /// A process whose runtimes were found before it was sampled: finding them takes a while.
    found: Option<(Box<dyn Target>, Option<Readable>)>,
    /// What the sampler gives. None without perf events.
    drain: Option<Drain>,
    builder: RecordingBuilder,
    threads: Threads,
    /// Time off CPU, if it is recorded.
    waits: Option<Waits>,
    begin: Instant,
    /// When it began, CLOCK_MONOTONIC.
    start_ns: u64,
    told: Instant,
    /// What was sampled of a program that replaced another one in the middle of a batch.
    carried: Option<Batch>,
    /// What the kernel told the present program when it began: another one is noticed by it without a sampler, too.
    began: Option<u64>,
    /// How long it took until the sampler was stopped, nanoseconds. What was sampled by then is looked at afterwards.
    ended: Option<u64>,
    /// The program that the header describes last: when it began, and the number of its first runtime.
    described: Option<(u64, usize)>,
    /// A reading found that the process has ended.
    gone: bool,
    /// Readings of all tasks of the present program.
    readings: u64,
    /// CPU time that samples stand for, nanoseconds.
    sampled_ns: u64,
    /// CPU time of loiter and of the process when it began, and what was last read of the process.
    own: Duration,
    before: Option<CpuTime>,
    used: Option<CpuTime>,
}

/// How the recording of one program ended.
enum Over {
    /// The recording has ended.
    All(End),
    /// The process has become another program.
    Program,
}

impl<'a> Recorder<'a> {
    /// Begins a recording.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn attach(what: Recorded, options: &'a RecordOptions) -> Result<Self, RecordError> {
        if options.kernel {
            NativeStacks::prepare_kernel();
        }
        // Before anything is read of it.
        let began = begun(what.pid());
        let found = match what {
            Recorded::Process(pid) => {
                let target = process::open_pid(pid).map_err(crate::Error::from)?;
                let readable = find_runtimes(target.as_ref(), options)?;
                if let Some(readable) = &readable {
                    let read = ReadOptions { cache: options.cache.clone(), ..ReadOptions::default() };
                    readable.prepare(target.as_ref(), &read);
                }
                Some((target, readable))
            }
            Recorded::Program(_) => None,
        };
        let attach = || {
            let _hurry = Hurry::begin();
            let sampler = Sampler::attach(what.pid(), &sampler_options(options))?;
            // At once: what the process uses from now on is sampled.
            Ok::<_, SamplerError>((sampler, CpuTime::of(what.pid())))
        };
        let mut warning = None;
        let attached = match options.clocks.need_sampler().then(attach).transpose() {
            // The readings of all tasks need no perf events.
            Err(error) if options.clocks.wall && is_of_events(&error) => {
                warning = Some(format!("CPU time and time off CPU are not recorded: {}", full_text(&error)));
                None
            }
            other => other?,
        };
        let (sampler, before) = attached.unzip();
        let before = before.unwrap_or_else(|| CpuTime::of(what.pid()));
        let off_cpu = sampler.as_ref().filter(|_| options.clocks.off_cpu).map(Sampler::off_cpu);
        // The events were enabled a little earlier.
        let start_ns = sampler.as_ref().map_or_else(monotonic_ns, Sampler::begun_ns);
        let late = sampler.as_ref().map_or(0, |sampler| sampler.now_ns().saturating_sub(start_ns));
        let now = Instant::now();
        let begin = now.checked_sub(Duration::from_nanos(late)).unwrap_or(now);
        let waits = off_cpu.is_some().then(|| Waits::new(what.pid(), start_ns));
        let drain =
            sampler.map(|sampler| Drain::start(what.pid(), options.rate_hz, sampler, off_cpu)).transpose()?;
        let mut builder = RecordingBuilder::new();
        builder.header.warnings.extend(warning);
        Ok(Recorder {
            what,
            options,
            found,
            builder,
            threads: Threads::new(what.pid()),
            begin,
            start_ns,
            waits,
            drain,
            told: now,
            carried: None,
            began,
            ended: None,
            described: None,
            gone: false,
            readings: 0,
            sampled_ns: 0,
            own: cpu_time(),
            before,
            used: before,
        })
    }

    /// Records until the time is over, the user or the process ends it. `progress` is called some times a second.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn record(mut self, progress: &mut dyn FnMut(&Progress)) -> Result<Recording, RecordError> {
        self.run(progress)?;
        self.finish()
    }

    /// Records one program after another, until the end.
    fn run(&mut self, progress: &mut dyn FnMut(&Progress)) -> Result<(), RecordError> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.builder.header.loiter = env!("CARGO_PKG_VERSION").to_owned();
        self.builder.header.started_at_ns = Some(since_epoch.as_nanos() as u64);
        if let Some((target, readable)) = self.found.take() {
            let attribution = Attribution::new(target.as_ref(), self.start_ns, self.began)?;
            let over = self.attributed(target.as_ref(), readable.as_ref(), attribution, &[], progress)?;
            self.builder.header.end = match over {
                Over::Program => End::Replaced,
                Over::All(end) => end,
            };
            return Ok(());
        }
        let mut earlier = Earlier::default();
        self.builder.header.end = loop {
            self.began = begun(self.what.pid());
            let target = match process::open_pid(self.what.pid()) {
                Ok(target) => target,
                Err(error) if error.is_gone() && self.has_begun() => break self.last_of_it(),
                Err(error) => return Err(crate::Error::from(error).into()),
            };
            let rows = self.builder.sample_rows();
            if let Over::All(end) = self.program(target.as_ref(), progress)? {
                break end;
            }
            if self.builder.sample_rows() > rows && is_another(self.began, beginning(self.what.pid())) {
                earlier.push(target.info().name.clone());
            }
            if self.builder.header.runtimes.len() >= MAX_RUNTIMES {
                let text =
                    "the process became another program too often: the recording ends with one of them";
                self.builder.header.warnings.push(text.to_owned());
                break End::Replaced;
            }
        };
        self.builder.header.warnings.extend(earlier.text());
        Ok(())
    }

    /// Whether there was a process when the recording began: then its end is no error.
    fn has_begun(&self) -> bool {
        self.drain.is_some() && self.before.is_some()
    }

    /// Takes what is left of a process that has ended before it could be opened.
    fn last_of_it(&mut self) -> End {
        loop {
            let (batch, is_last) = self.next(true, &no_stack_end);
            self.unknown(&batch);
            if is_last {
                return End::TargetEnded;
            }
        }
    }

    /// Records a program that has just become itself, until it ends, becomes another one, or the recording is over.
    fn program(
        &mut self,
        target: &dyn Target,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Over, RecordError> {
        // Before it may have ended.
        let mut attribution = match Attribution::new(target, self.start_ns, self.began) {
            Ok(attribution) => attribution,
            Err(RecordError::Target(error)) if error.is_gone() && self.has_begun() => {
                return Ok(Over::All(self.last_of_it()));
            }
            Err(error) => return Err(error),
        };
        let mut pending: Vec<Batch> = self.carried.take().into_iter().collect();
        let readable = match self.wait_for_runtimes(target, &mut attribution, &mut pending)? {
            Ok(found) => found,
            Err(over) => {
                // Nothing is known of a program that is gone.
                pending.iter().for_each(|batch| self.unknown(batch));
                return Ok(over);
            }
        };
        self.attributed(target, readable.as_ref(), attribution, &pending, progress)
    }

    /// Readings of all tasks, if they are asked for and there is a runtime.
    fn wall(&self, readable: Option<&Readable>) -> Option<Wall> {
        readable.filter(|_| self.options.clocks.wall)?;
        let RecordOptions { reading_period: period, max_cpu, .. } = *self.options;
        let options = WallOptions { period, max_cpu, ..WallOptions::default() };
        Some(Wall::new(options, self.start_ns, monotonic_ns()))
    }

    /// Lets this thread run before others while it looks at samples.
    fn hurry(&self) -> Option<Hurry> {
        self.drain.is_some().then(Hurry::begin)
    }

    /// Adds a reading that was made. Returns whether the process is still the same program.
    fn add_reading(&mut self, wall: &mut Wall, made: Made) -> Result<bool, RecordError> {
        let is_same = !is_another(self.began, beginning(self.what.pid()));
        let read = wall.made(made, &mut self.builder, is_same);
        self.readings = wall.readings();
        self.gone |= read.as_ref().is_err_and(crate::Error::is_gone);
        match read {
            // What was read before is kept. The first reading says whether the process can be read at all.
            Err(error) if is_same && self.readings == 0 && !error.is_gone() => Err(error.into()),
            _ => Ok(is_same),
        }
    }

    /// Records a program whose runtimes are known. `pending`: what was sampled until they were found.
    fn attributed<'t>(
        &mut self,
        target: &'t dyn Target,
        readable: Option<&'t Readable>,
        mut attribution: Attribution<'t>,
        pending: &[Batch],
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Over, RecordError> {
        // A program may have begun between the time when it was opened and the record of that.
        let first = match self.described {
            Some((began, first)) if Some(began) == self.began => first,
            _ => self.builder.header.runtimes.len(),
        };
        self.described = self.began.map(|began| (began, first));
        self.describe(target, readable, first);
        match readable {
            Some(readable) => attribution.learn(readable, u8::try_from(first).unwrap_or(u8::MAX))?,
            None if self.options.clocks.wall => {
                let text =
                    "the wall clock is not recorded: the process holds no runtime whose tasks could be read";
                self.builder.header.warnings.push(text.to_owned());
            }
            None => {}
        }
        for batch in pending {
            self.take(batch, &mut attribution)?;
        }
        let mut wall = self.wall(readable).map(|wall| wall.after_runtimes(first));
        let over = std::thread::scope(|scope| {
            let reader = wall.as_mut().zip(readable).map(|(wall, readable)| {
                let reader = Reader::start(scope, target, readable, wall.read_options());
                (wall, reader)
            });
            self.follow(&mut attribution, reader, progress)
        })?;
        if let Some(wall) = wall {
            let end_ns = self.ended.map_or_else(monotonic_ns, |ended| self.start_ns.saturating_add(ended));
            wall.finish(&mut self.builder, end_ns);
        }
        attribution.finish(&mut self.builder);
        Ok(over)
    }

    /// Records a program until it ends, becomes another one, or the recording is over.
    fn follow(
        &mut self,
        attribution: &mut Attribution<'_>,
        mut readings: Option<(&mut Wall, Reader)>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Over, RecordError> {
        // The readings of all tasks are not so urgent.
        let mut hurry = self.hurry();
        loop {
            let mut end = self.end();
            let mut is_same = true;
            if let Some((wall, reader)) = &mut readings {
                if let Some(made) = reader.made() {
                    drop(hurry.take());
                    is_same = self.add_reading(wall, made)?;
                    hurry = self.hurry();
                }
                if is_same && end.is_none() && wall.due(monotonic_ns()).is_zero() {
                    reader.begin();
                }
                // A reading that has begun is waited for, unless the user wants no more.
                end = end.filter(|&end| end != End::Elapsed || !reader.is_busy());
            }
            let stack_end = |registers: &Registers| attribution.stack_end(registers);
            let (mut batch, is_last) = self.next(end.is_some(), &stack_end);
            if let Some(at_ns) = batch.executed_ns() {
                self.replaced(&mut batch, at_ns);
                return Ok(Over::Program);
            }
            let missed = attribution.missed();
            self.take(&batch, attribution)?;
            // Waits are asked about while they last, and code may be mapped in the place of other code.
            let is_urgent = self.waits.is_some() || batch.mapped().next().is_some();
            if let Some(drain) = &mut self.drain {
                drain.looked(batch, is_urgent, attribution.missed().saturating_sub(missed));
            }
            if !is_same && self.drain.is_none() {
                return Ok(Over::Program);
            }
            if let Some(end) = end.filter(|_| is_last) {
                return Ok(Over::All(end));
            }
            if self.told.elapsed() >= PROGRESS {
                self.told = Instant::now();
                self.used = CpuTime::of(self.what.pid()).or(self.used);
                progress(&self.progress());
            }
        }
    }

    /// Finds the runtimes of a program that is starting, if it has any; what is sampled until then goes to `pending`.
    /// `Err`: the recording of this program is over already.
    fn wait_for_runtimes(
        &mut self,
        target: &dyn Target,
        attribution: &mut Attribution<'_>,
        pending: &mut Vec<Batch>,
    ) -> Result<Result<Option<Readable>, Over>, RecordError> {
        let begin = Instant::now();
        loop {
            let may_come = begin.elapsed() < START;
            match find_runtimes(target, self.options) {
                Ok(None) | Err(crate::Error::NoRuntime { .. } | crate::Error::Starting { .. })
                    if may_come => {}
                // It became another program meanwhile: the record of that is still to come.
                Ok(_) if is_another(self.began, begun(self.what.pid())) => {
                    if self.drain.is_none() {
                        return Ok(Err(Over::Program));
                    }
                }
                Ok(readable) => return Ok(Ok(readable)),
                Err(error) if error.is_gone() && self.drain.is_some() => {}
                Err(error) => return Err(error.into()),
            }
            let (mut batch, is_last) = self.next(self.end().is_some(), &no_stack_end);
            if let Some(at_ns) = batch.executed_ns() {
                self.replaced(&mut batch, at_ns);
                return Ok(Err(Over::Program));
            }
            attribution.expect(&batch);
            let kept: usize = pending.iter().map(|batch| batch.departures.bytes()).sum();
            if kept > MAX_PENDING_BYTES {
                batch.departures.clear();
            }
            pending.push(batch);
            // It is over too early for more than threads and native stacks, or takes too long to start.
            if is_last || pending.len() >= MAX_PENDING {
                return Ok(Ok(None));
            }
        }
    }

    /// What the sampler gives next, and whether it is the last. `stop`: nothing more is sampled.
    fn next(&mut self, stop: bool, stack_end: &StackEnd<'_>) -> (Batch, bool) {
        let Some(drain) = &mut self.drain else {
            std::thread::sleep(SOON);
            return (Batch::default(), stop);
        };
        if stop {
            drain.stop();
            self.ended.get_or_insert(self.begin.elapsed().as_nanos() as u64);
        }
        let batch = drain.next(stack_end);
        self.used = drain.used().or(self.used);
        (batch, drain.is_over())
    }

    /// Adds the samples of a batch.
    fn take(&mut self, batch: &Batch, attribution: &mut Attribution<'_>) -> Result<(), RecordError> {
        batch.events.iter().for_each(|event| self.threads.note(event));
        self.sampled_ns = self.sampled_ns.saturating_add(batch.samples.weight_ns());
        let drain = &mut self.drain;
        let mut mapped =
            |until_ns| drain.as_mut().map(|drain| drain.mapped_until(until_ns)).unwrap_or_default();
        attribution.add(batch, &mut mapped, &mut self.threads, &mut self.builder)?;
        if let Some(waits) = &mut self.waits {
            waits.find(batch, attribution, &mut self.builder);
            waits.add(batch, &mut self.threads, &mut self.builder);
            waits.look(attribution, &mut self.builder);
        }
        attribution.is_done_with(batch);
        Ok(())
    }

    /// The process became another program within a batch. By now its memory says nothing of what was before, and
    /// little time has passed; what was after belongs to the next program.
    fn replaced(&mut self, batch: &mut Batch, at_ns: u64) {
        let after = batch.split_off(at_ns);
        match self.what {
            Recorded::Program(_) => self.carried = Some(after),
            Recorded::Process(_) => batch.end_at_exec(),
        }
        self.unknown(batch);
    }

    /// Adds the samples of a batch of which nothing is known but the thread.
    fn unknown(&mut self, batch: &Batch) {
        let is_exec = |event: &&Event| matches!(event, Event::Executed { .. });
        batch.events.iter().filter(|event| !is_exec(event)).for_each(|event| self.threads.note(event));
        if let Some(waits) = &mut self.waits {
            waits.add(batch, &mut self.threads, &mut self.builder);
        }
        self.sampled_ns = self.sampled_ns.saturating_add(batch.samples.weight_ns());
        for (moment, weight_ns) in batch.samples.iter() {
            let thread = self.threads.row(moment.tid, &mut self.builder);
            let at_ns = moment.at_ns.saturating_sub(self.start_ns);
            let (clock, state) = (Clock::Cpu, TaskState::Running);
            self.builder.sample(Sample {
                at_ns,
                clock,
                thread,
                state,
                count: 1,
                weight_ns,
                ..Sample::default()
            });
        }
        // What was before has the name of its own program.
        batch.events.iter().filter(is_exec).for_each(|event| self.threads.note(event));
    }

    /// Fills what the header says of a program. Of several, the header names the last one.
    /// Its runtimes are numbered from `first` on.
    fn describe(&mut self, target: &dyn Target, readable: Option<&Readable>, first: usize) {
        let header = &mut self.builder.header;
        header.target = target.info().clone();
        header.process = target.figures();
        if let Some(machine) = target.foreign_machine() {
            let text =
                format!("the program is built for {machine}: its functions, stacks and tasks are not known");
            header.warnings.push(text);
        }
        // Those of earlier programs stay: tasks refer to them.
        let infos = readable.map(|readable| readable.infos(target)).unwrap_or_default();
        for (number, info) in (first..).zip(infos) {
            let info = info.unwrap_or_else(|error| {
                header.warnings.push(full_text(&error));
                RuntimeInfo::default()
            });
            match header.runtimes.get_mut(number) {
                Some(known) => *known = info,
                None => header.runtimes.push(info),
            }
        }
    }

    /// Why the recording ends now. None: it goes on.
    fn end(&self) -> Option<End> {
        if self.gone || self.drain.as_ref().is_some_and(Drain::has_ended) {
            return Some(End::TargetEnded);
        }
        if self.options.stop.load(Ordering::Relaxed) {
            return Some(End::Interrupted);
        }
        let over = self.options.duration.is_some_and(|whole| self.begin.elapsed() >= whole);
        over.then_some(End::Elapsed)
    }
}
