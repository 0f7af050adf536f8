//! Which goroutine a sampled moment of a thread belongs to, and the stack of that moment.
//!
//! [`trace`] unwinds a moment, [`elsewhere`] what is not Go code. [`evidence`] holds what the moment proves: by the g
//! register, the stack that the thread is on, the chain out of the system stack, the goroutine that `asmcgocall` saved.
//! [`goroutines`] knows which goroutine used a struct at what time, and where its stack was; [`runs`] says what two
//! readings prove of the time between them, [`collector`] whether stacks may have been moved back and forth. [`spared`] keeps
//! readings of everything seldom.
//! [`texts`] reads what labels say. [`threads`] finds the Ms of threads. [`chain`] and [`calls`] follow the kernel's chain
//! of frame pointers where the copied stack ends; [`foreign`] reads the callers of C that has no such chain. [`blocked`]
//! reads threads that do not run.

use rustc_hash::FxHashMap;

mod blocked;
mod calls;
mod chain;
mod collector;
mod elsewhere;
mod evidence;
mod foreign;
mod goroutines;
mod runs;
mod spared;
mod texts;
mod threads;
mod trace;

use super::Go;
use super::arch::G_REGISTER;
use super::labels::LabelSets;
use super::resolve::Resolver;
use crate::Result;
use crate::code::{CodeBuilder, LabelSetId, LocationId};
use crate::process::{Moment, Registers, Target};
use crate::recording::SampledTask;
use crate::runtimes::native::{NativeLocations, NativePlace};
use crate::runtimes::{Attribute, Claim, Owner};
use crate::snapshot::StackStatus;
use crate::symbols::native::NativeCode;
use evidence::{Place, Ran};
use texts::LabelTexts;
use trace::Tracer;

/// Says whose moments are.
pub(super) struct Attribution<'a> {
    go: &'a Go,
    target: &'a dyn Target,
    runtime: u8,
    tracer: Tracer<'a>,
    names: Names<'a>,
    labels: LabelTexts<'a>,
    system: FxHashMap<u64, bool>,
}

impl<'a> Attribution<'a> {
    pub(super) fn new(go: &'a Go, target: &'a dyn Target, native: NativeCode, runtime: u8) -> Self {
        Attribution {
            go,
            target,
            runtime,
            tracer: Tracer::new(go, target, native),
            names: Names { go, resolver: Resolver::new(&go.modules), native: NativeLocations::with_lines() },
            labels: LabelTexts::new(target, go.build.minor, go.offsets.g_labels as u64),
            system: FxHashMap::default(),
        }
    }

    /// The goroutine that used a struct at a time, as far as it is known which one that was.
    fn task(&mut self, goroutine: u64, at_ns: u64, places: &[Place], into: &mut CodeBuilder) -> SampledTask {
        let Some(identity) = self.tracer.goroutines.identity(goroutine, at_ns) else {
            return self.some_task(places, into);
        };
        let resolver = &mut self.names.resolver;
        let entry = resolver.entry(identity.startpc, into);
        let is_system = || resolver.is_system(identity.startpc, || false);
        let system = entry.is_some() && *self.system.entry(identity.startpc).or_insert_with(is_system);
        SampledTask {
            runtime: self.runtime,
            id: Some(identity.goid),
            address: goroutine,
            // The first goroutine was started by the runtime's start-up code, not by a statement.
            creator: (identity.goid != 1).then(|| resolver.creator(identity.gopc, into)).flatten(),
            entry,
            system,
        }
    }

    /// Some goroutine, of which only the function is known that its stack begins with.
    fn some_task(&mut self, places: &[Place], into: &mut CodeBuilder) -> SampledTask {
        let mut task = SampledTask { runtime: self.runtime, ..SampledTask::default() };
        let first = match places {
            [.., Place::Go(first), Place::Go(exit)] if self.tracer.is_exit(exit.pc()) => first.pc(),
            [.., Place::Within(first), Place::Go(exit)] if self.tracer.is_exit(exit.pc()) => *first,
            _ => return task,
        };
        if !self.tracer.switches(first) {
            let resolver = &mut self.names.resolver;
            task.entry = resolver.entry(first, into);
            task.system = resolver.is_system(first, || false);
        }
        task
    }

    /// The labels of the goroutine with this struct at a time. None if they are not known; Some(None) if it had none.
    fn labels(&mut self, goroutine: u64, at_ns: u64, into: &mut CodeBuilder) -> Option<Option<LabelSetId>> {
        let address = self.tracer.goroutines.labels(goroutine, at_ns)?;
        if address == 0 {
            return Some(None);
        }
        self.labels.of((goroutine, address), into).map(Some)
    }

    fn owner(
        &mut self,
        goroutine: u64,
        at_ns: u64,
        places: &[Place],
        into: &mut CodeBuilder,
    ) -> (Owner, bool) {
        let task = self.task(goroutine, at_ns, places, into);
        let labels = task.id.and_then(|_| self.labels(goroutine, at_ns, into));
        (Owner::Task(task, labels.flatten()), labels.is_some())
    }
}

impl Attribute for Attribution<'_> {
    fn refresh(&mut self, moments: &[Moment<'_>], _into: &mut CodeBuilder) -> Result<()> {
        if moments.is_empty() {
            return Ok(());
        }
        if self.tracer.renew_images(self.target) {
            self.names.native.renew();
        }
        self.tracer.machines.refresh(moments.iter().map(|moment| moment.tid));
        let named = moments.iter().map(|moment| moment.registers.general[G_REGISTER]);
        let goroutines = &mut self.tracer.goroutines;
        goroutines.refresh(named.clone())?;
        self.labels.refresh(named.filter_map(|one| Some((one, goroutines.latest_labels(one)?))));
        Ok(())
    }

    fn stack_end(&self, registers: &Registers) -> Option<u64> {
        self.tracer.goroutines.latest_stack_end(registers.general[G_REGISTER], registers.sp)
    }

    fn renew_code(&mut self) {
        if self.tracer.native.renew(self.target).is_ok() {
            self.names.native.renew();
        }
    }

    fn finish(&mut self, into: &mut CodeBuilder) {
        self.names.native.finish(&mut self.tracer.native, into);
    }

    fn whose(&mut self, moment: &Moment<'_>, into: &mut CodeBuilder) -> Option<Claim> {
        let trace = self.tracer.trace(moment);
        let (owner, labels_known) = match trace.ran {
            Ran::Native => return None,
            Ran::SomeGoroutine => (Owner::Task(self.some_task(&trace.places, into), None), false),
            Ran::Goroutine(goroutine) => self.owner(goroutine, moment.at_ns, &trace.places, into),
            Ran::Scheduler => (Owner::Scheduler, true),
            Ran::Unknown => (Owner::Unknown, false),
        };
        let stack = self.names.locations(&trace.places, &mut self.tracer, into);
        Some(Claim { owner, labels_known, stack, frames: None, stack_status: trace.status })
    }

    fn blocked(&mut self, tid: u32, _since_ns: u64, into: &mut CodeBuilder) -> Option<Claim> {
        let found = blocked::read(self.go, self.target, &mut self.tracer, tid)?;
        let (owner, labels_known) = match found.goroutine {
            Some(raw) => self.owner_now(&raw, into),
            None => (Owner::Scheduler, true),
        };
        let stack = self.names.locations(&found.places, &mut self.tracer, into);
        // Only if it has not run since may all this be put together.
        let still = self.target.blocked_at(tid) == Some(found.at);
        still.then_some(Claim { owner, labels_known, stack, frames: None, stack_status: found.status })
    }
}

impl Attribution<'_> {
    /// The goroutine of a thread that does not run, so that the goroutine cannot change.
    fn owner_now(&mut self, raw: &super::goroutine::Raw, into: &mut CodeBuilder) -> (Owner, bool) {
        let resolver = &mut self.names.resolver;
        let task = SampledTask {
            runtime: self.runtime,
            id: Some(raw.goid),
            address: raw.address,
            creator: (raw.goid != 1).then(|| resolver.creator(raw.gopc, into)).flatten(),
            entry: resolver.entry(raw.startpc, into),
            system: resolver.is_system(raw.startpc, || false),
        };
        let mut labels = LabelSets::new(self.target, self.go.build.minor);
        (Owner::Task(task, labels.of(raw.labels, into)), true)
    }
}

/// Turns places into locations, each once.
struct Names<'a> {
    go: &'a Go,
    resolver: Resolver<'a>,
    native: NativeLocations,
}

impl Names<'_> {
    fn locations(
        &mut self,
        places: &[Place],
        tracer: &mut Tracer<'_>,
        into: &mut CodeBuilder,
    ) -> Vec<LocationId> {
        places.iter().map(|place| self.location(place, tracer, into)).collect()
    }

    fn location(&mut self, place: &Place, tracer: &mut Tracer<'_>, into: &mut CodeBuilder) -> LocationId {
        match place {
            Place::Go(address) => self.resolver.location(*address, into),
            Place::Within(entry) => self.resolver.within(*entry, into),
            Place::Native(place) => self.native(*place, tracer, into),
        }
    }

    fn native(&mut self, place: NativePlace, tracer: &mut Tracer<'_>, into: &mut CodeBuilder) -> LocationId {
        let go = self.go;
        let in_go = |address: u64| go.function(address).map(|f| (f.name().into_owned(), f.entry()));
        self.native.of(place, &mut tracer.native, in_go, into)
    }
}

/// What was found of a thread that does not run.
struct Found {
    /// None if it runs no goroutine.
    goroutine: Option<super::goroutine::Raw>,
    places: Vec<Place>,
    status: StackStatus,
    at: crate::process::Blocked,
}
