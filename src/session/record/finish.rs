//! How far a recording is, and its end: what the samples cover, and what the user should know about them.

use super::drain::{Drain, Drained};
use super::{LITTLE_CPU_NS, Progress, RecordError, Recorder};
use crate::recording::{Clock, ClockInfo, Recording, SAMPLED_SWITCHES, SWITCHES};
use crate::sampler::{SamplerFacts, Tally};
use crate::session::pace::cpu_time;

impl Recorder<'_> {
    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        let tally = self.drain.as_ref().map(Drain::tally).unwrap_or_default();
        let used = self.cpu_used().filter(|&used| used >= LITTLE_CPU_NS);
        Progress {
            elapsed: self.begin.elapsed(),
            samples: tally.samples,
            lost: tally.lost,
            readings: self.readings,
            coverage: used.map(|used| self.sampled_ns as f64 * 100.0 / used as f64),
        }
    }

    /// CPU time that the process has used since the recording began, as far as it is sampled, nanoseconds.
    fn cpu_used(&self) -> Option<u64> {
        let used = self.used?.since(self.before?);
        let kernel = self.drain.as_ref().is_some_and(|drain| drain.facts().kernel);
        Some(if kernel { used.total_ns } else { used.user_ns() })
    }

    /// The finished recording. One that covers nothing is an error, not a file.
    pub(super) fn finish(mut self) -> Result<Recording, RecordError> {
        let (used, is_sampled) = (self.cpu_used(), self.drain.is_some());
        if let Some(drain) = self.drain.take() {
            let Drained { facts, tally, off_cpu, end_ns } = drain.finish();
            if let Some((waits, off_cpu)) = self.waits.take().zip(off_cpu) {
                waits.finish(off_cpu, end_ns, &mut self.threads, &mut self.builder);
            }
            self.ended.get_or_insert(end_ns.saturating_sub(self.start_ns));
            self.cover(&facts, tally, used);
        }
        let header = &mut self.builder.header;
        // It ended before it could be opened.
        if header.target.pid.is_none() {
            let pid = self.what.pid();
            header.target.pid = Some(pid);
            header.target.name = self.threads.name(pid).unwrap_or_default().to_owned();
        }
        header.duration_ns = self.ended.unwrap_or_else(|| self.begin.elapsed().as_nanos() as u64);
        header.cost.cpu_ns = Some(cpu_time().saturating_sub(self.own).as_nanos() as u64);
        let coverage = &header.coverage;
        let used = coverage.cpu_ns.unwrap_or(0);
        if is_sampled
            && self.options.clocks.cpu
            && used >= LITTLE_CPU_NS
            && coverage.cpu_sampled_ns < used / 100
        {
            let ms = |ns: u64| ns / 1_000_000;
            return Err(RecordError::NothingCovered {
                sampled_ms: ms(coverage.cpu_sampled_ns),
                used_ms: ms(used),
            });
        }
        if self.builder.sample_rows() == 0 {
            return Err(RecordError::Empty);
        }
        Ok(self.builder.finish())
    }

    /// What the samples cover, what was lost, how they were taken.
    fn cover(&mut self, facts: &SamplerFacts, tally: Tally, used: Option<u64>) {
        let header = &mut self.builder.header;
        if self.options.clocks.cpu {
            header.clocks.push(ClockInfo {
                clock: Clock::Cpu,
                event: facts.event.unwrap_or("none").to_owned(),
                period_ns: Some(facts.period_ns),
                wanted_period_ns: None,
                kernel: facts.kernel,
                every_cpu: facts.every_cpu,
            });
        }
        if self.options.clocks.off_cpu {
            let event = if facts.departures { SAMPLED_SWITCHES } else { SWITCHES };
            let (event, kernel, every_cpu) = (event.to_owned(), facts.kernel, facts.every_cpu);
            header.clocks.push(ClockInfo {
                clock: Clock::OffCpu,
                event,
                kernel,
                every_cpu,
                ..ClockInfo::default()
            });
        }
        let coverage = &mut header.coverage;
        coverage.cpu_ns = used;
        coverage.kernel_not_sampled_ns = (self.before.zip(self.used).filter(|_| !facts.kernel))
            .map(|(before, now)| now.since(before).kernel_ns);
        coverage.cpu_sampled_ns = self.sampled_ns;
        coverage.samples = tally.samples;
        coverage.lost = tally.lost;
        coverage.malformed = tally.malformed;
        header.warnings.extend(facts.reduced.iter().cloned());
        if tally.departures_paused_ns > 0 {
            let percent = tally.departures_paused_ns.saturating_mul(100) / self.ended.unwrap_or(0).max(1);
            header.warnings.push(format!(
                "threads left their CPUs so often that where they began to wait was not sampled for {} % of the time",
                percent.clamp(1, 100)
            ));
        }
        if tally.departures_lost > 0 {
            let lost = tally.departures_lost;
            header
                .warnings
                .push(format!("{lost} waits may have no owner: where they began was not read in time"));
        }
    }
}
