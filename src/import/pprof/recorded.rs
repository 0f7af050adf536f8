//! Converts the samples of a profile of time into a recording.
//!
//! Profiles add samples up: they have no times of single samples, and the recording says so by its time step, which
//! is its whole duration.

use super::code::{Code, MAX_STACKED, correct_faults};
use super::go_whose::{self, Root};
use super::labels::{Labels, Said};
use super::measures::{Measure, Measures};
use super::tables::Tables;
use super::{Limits, PprofError, head};
use crate::code::{LocationId, StackId};
use crate::formats::pprof::fields::{own, profile, sample};
use crate::formats::pprof::wire::Fields;
use crate::recording::{
    Clock, ClockInfo, Recording, RecordingBuilder, RecordingHeader, Sample, SampledTask, SampledThread, Whose,
};
use crate::snapshot::{SourceKind, StackStatus, TaskState, WaitClass};

/// Turns samples into those of a recording.
pub(super) struct Recorded<'t, 'a> {
    tables: &'t Tables<'a>,
    into: RecordingBuilder,
    measures: Measures,
    /// loiter wrote the profile.
    own: bool,
    /// Go wrote it.
    go: bool,
    code: Code<'t, 'a>,
    labels: Labels<'t, 'a>,
    /// A sample's stack begins in a function that releases a lock.
    unlocks: bool,
}

impl<'t, 'a> Recorded<'t, 'a> {
    /// Reads all samples. None if the profile measures no time.
    pub(super) fn read(
        raw: &'a [u8],
        tables: &'t Tables<'a>,
        most: Limits,
    ) -> Result<Option<Recording>, PprofError> {
        let measures = Measures::read(tables)?;
        if measures.known.is_empty() {
            return Ok(None);
        }
        let written = tables.recording_header()?;
        let own = written.is_some();
        let mut into = RecordingBuilder::new();
        let code = Code::read(tables, &mut into.code)?;
        let go = !own && head::is_go(tables)?;
        into.header = header(tables, written, go)?;
        let labels = Labels::new(tables, own);
        let mut recorded = Recorded { tables, into, measures, own, go, code, labels, unlocks: false };
        let mut samples = 0_usize;
        for field in Fields::of(raw) {
            let (number, value) = field?;
            if number == profile::SAMPLE {
                samples += 1;
                if samples > most.rows {
                    return Err(PprofError::TooManySamples { limit: most.rows });
                }
                recorded.sample(value.bytes()?)?;
            }
        }
        recorded.finish().map(Some)
    }

    fn sample(&mut self, message: &'a [u8]) -> Result<(), PprofError> {
        let (mut stack, mut values, mut unknown) = (Vec::new(), Vec::new(), None);
        self.labels.clear();
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                sample::LOCATION => value.numbers(|id| match self.code.location(id) {
                    Some(location) if stack.len() <= MAX_STACKED => stack.push(location),
                    Some(_) => {}
                    None => unknown = Some(id),
                })?,
                sample::VALUE => value.numbers(|value| {
                    if values.len() < self.tables.sample_types.len() {
                        values.push(value);
                    }
                })?,
                sample::LABEL => self.labels.add(value.bytes()?, &mut self.into.code)?,
                _ => {}
            }
        }
        if let Some(id) = unknown {
            return Err(PprofError::damaged(format!("there is no location {id}")));
        }
        self.unlocks |= stack.first().is_some_and(|&leaf| is_unlock(leaf, &self.into));
        let mut sample = self.described(stack)?;
        for measure in &self.measures.known {
            let value = |index: usize| {
                let value = values.get(index).copied().unwrap_or(0).cast_signed();
                u64::try_from(value).map_err(|_| PprofError::Difference)
            };
            let time = value(measure.value)?;
            let count = measure.count.map(value).transpose()?;
            if time > 0 || (count.unwrap_or(0) > 0 && !measure.shares_count) {
                (sample.count, sample.weight_ns) = (count.unwrap_or(1), time.saturating_mul(measure.unit_ns));
                let sample = self.of_clock(measure.clock, sample);
                add(&mut self.into, sample, self.own);
            }
        }
        Ok(())
    }

    /// The sample with its clock, and the state that the clock shows if loiter did not write it.
    fn of_clock(&self, clock: Clock, sample: Sample) -> Sample {
        let (state, wait_class) = match clock {
            _ if self.own => (sample.state, sample.wait_class),
            Clock::Cpu => (TaskState::Running, WaitClass::Nothing),
            Clock::OffCpu if self.measures.delay => (TaskState::Waiting, WaitClass::Unknown),
            Clock::OffCpu | Clock::Wall => (TaskState::Unknown, WaitClass::Unknown),
        };
        Sample { clock, state, wait_class, ..sample }
    }

    /// A sample with everything except its clock and its values.
    fn described(&mut self, locations: Vec<LocationId>) -> Result<Sample, PprofError> {
        let root = if self.go { go_whose::root(&locations, &self.into.code) } else { Root::Unknown };
        let has_stack = !locations.is_empty();
        let stack = if has_stack { Some(self.code.stack(locations, &mut self.into.code)?) } else { None };
        let labels = self.labels.program(&mut self.into.code)?;
        let said = self.labels.said();
        let whose = if self.own { self.own_whose(&said)? } else { self.whose(root) };
        let thread = said.thread.and_then(|tid| self.into.thread(SampledThread::new(tid, None)));
        Ok(Sample {
            whose,
            thread,
            labels,
            state: said.state,
            reason: said.reason,
            wait_class: said.wait_class,
            stack,
            stack_status: self.status(&said, stack),
            ..Sample::default()
        })
    }

    fn status(&self, said: &Said, stack: Option<StackId>) -> StackStatus {
        match (said.stack_status, stack) {
            (Some(status), _) => status,
            (None, None) => StackStatus::Unknown,
            // What another profiler did to its stacks is not known. Go's cut stacks are marked at the end.
            (None, Some(_)) if self.own || self.go => StackStatus::Complete,
            (None, Some(_)) => StackStatus::Unknown,
        }
    }

    /// Whose a sample is in a profile of loiter's.
    fn own_whose(&mut self, said: &Said) -> Result<Whose, PprofError> {
        match said.whose {
            Some(own::recording::SCHEDULER) => return Ok(Whose::Scheduler),
            Some(own::recording::NATIVE) => return Ok(Whose::Native),
            Some(_) => return Ok(Whose::Unknown),
            None => {}
        }
        let creator = said.creator.map(|place| self.code.creator(place, &mut self.into.code)).transpose()?;
        let task = SampledTask {
            runtime: said.runtime,
            id: said.id,
            address: 0,
            creator,
            entry: None,
            system: said.system,
        };
        Ok(Whose::Task(self.into.task(task)))
    }

    fn whose(&mut self, root: Root) -> Whose {
        match root {
            Root::Entry { function, system } => {
                let task = SampledTask { entry: Some(function), system, ..SampledTask::default() };
                Whose::Task(self.into.task(task))
            }
            Root::Scheduler => Whose::Scheduler,
            Root::Native => Whose::Native,
            Root::Unknown => Whose::Unknown,
        }
    }

    fn finish(mut self) -> Result<Recording, PprofError> {
        if self.measures.delay && self.unlocks {
            return Err(PprofError::Unlocks);
        }
        let header = &mut self.into.header;
        if self.measures.delay {
            header.warnings.push(
                "Go's block profile: it adds up waiting since the program started, as far as the program's block \
                 profile rate let it see that"
                    .to_owned(),
            );
        }
        if !self.measures.unknown.is_empty() {
            let names = self.measures.unknown.join(", ");
            header
                .warnings
                .push(format!("these values of the profile are left out, as they are no time: {names}"));
        }
        if !self.own {
            header.clocks = self.measures.known.iter().map(clock_info).collect();
        }
        let duration_ns = header.duration_ns;
        let mut recording = self.into.finish();
        // The times of samples are not known.
        recording.header.time_step_ns = duration_ns.max(1);
        correct_faults(&mut recording.code);
        if self.go {
            let delay = self.measures.delay;
            let depths = if delay { &go_whose::BLOCK_DEPTHS[..] } else { &go_whose::CPU_DEPTHS };
            go_whose::mark_cut_stacks(&mut recording, depths);
        }
        Ok(recording)
    }
}

fn clock_info(measure: &Measure) -> ClockInfo {
    ClockInfo {
        clock: measure.clock,
        event: measure.name.clone(),
        period_ns: measure.period_ns,
        ..ClockInfo::default()
    }
}

fn header(
    tables: &Tables<'_>,
    written: Option<RecordingHeader>,
    go: bool,
) -> Result<RecordingHeader, PprofError> {
    if let Some(mut written) = written {
        written.target.source = SourceKind::Profile;
        return Ok(written);
    }
    let found = head::of_go(tables)?;
    Ok(RecordingHeader {
        loiter: found.loiter,
        started_at_ns: tables.taken_at_ns,
        duration_ns: tables.duration_ns,
        target: found.target,
        runtimes: if go { found.runtimes } else { Vec::new() },
        ..RecordingHeader::default()
    })
}

/// Adds a sample. The header of a profile that loiter wrote has the sums already.
fn add(into: &mut RecordingBuilder, sample: Sample, own: bool) {
    let coverage = &mut into.header.coverage;
    if sample.clock == Clock::Cpu && !own {
        coverage.samples = coverage.samples.saturating_add(sample.count);
        coverage.cpu_sampled_ns = coverage.cpu_sampled_ns.saturating_add(sample.weight_ns);
    }
    into.sample(sample);
}

/// Does the code release a lock? Go's mutex profile has the waiting of others there; its block profile has not.
fn is_unlock(leaf: LocationId, into: &RecordingBuilder) -> bool {
    let location = into.code.locations().get(leaf.index());
    location.is_some_and(|location| {
        location.frames.iter().any(|frame| {
            let name = into.code.function_at(frame.function).map_or("", |f| into.code.text(f.name));
            let last = name.rsplit('.').next().unwrap_or(name);
            matches!(last, "Unlock" | "RUnlock" | "unlock" | "unlock2" | "unlockSlow" | "unlockWithRank")
                || last == "_LostContendedRuntimeLock"
        })
    })
}
