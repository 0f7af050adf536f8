//! One batch of samples after another, as a recording takes them: for benchmarks.

use super::attribution::Attribution;
use super::batch::Batch;
use super::looks::Looks;
use super::threads::Threads;
use super::{RecordError, RecordOptions, sampler_options};
use crate::process::{Target, begun, monotonic_ns};
use crate::recording::{Recording, RecordingBuilder};
use crate::runtimes::Readable;
use crate::sampler::Sampler;

/// Takes the samples of a process batch by batch.
pub struct Batches<'a> {
    sampler: Sampler,
    attribution: Attribution<'a>,
    threads: Threads,
    builder: RecordingBuilder,
    looks: Looks,
    /// Used again.
    batch: Batch,
}

impl<'a> Batches<'a> {
    /// Begins to sample a process.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn begin(target: &'a dyn Target, readable: &'a Readable, rate_hz: u32) -> Result<Self, RecordError> {
        let pid = target.info().pid.unwrap_or(0);
        let options = RecordOptions { rate_hz, ..RecordOptions::default() };
        let mut attribution = Attribution::new(target, monotonic_ns(), begun(pid))?;
        attribution.learn(readable, 0)?;
        Ok(Batches {
            sampler: Sampler::attach(pid, &sampler_options(&options))?,
            attribution,
            threads: Threads::new(pid),
            builder: RecordingBuilder::new(),
            looks: Looks::new(rate_hz),
            batch: Batch::default(),
        })
    }

    /// Waits as long as a recording does before it takes a batch.
    pub fn wait(&mut self) {
        self.sampler.wait(self.looks.interval());
    }

    /// Takes a batch: reads it, says whose the samples are, unwinds, adds them to the recording. Returns how many samples
    /// it had.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn take(&mut self) -> Result<usize, RecordError> {
        self.batch.clear();
        self.batch.fill(&mut self.sampler, None, &|registers| self.attribution.stack_end(registers));
        let missed = self.attribution.missed();
        // Of code that is mapped meanwhile nobody asks here.
        self.attribution.add(&self.batch, &mut |_| Vec::new(), &mut self.threads, &mut self.builder)?;
        self.attribution.is_done_with(&self.batch);
        let samples = self.batch.samples.len();
        let missed = self.attribution.missed().saturating_sub(missed);
        self.looks.done(self.batch.mapped().next().is_some(), samples, missed);
        Ok(samples)
    }

    /// What was recorded.
    pub fn finish(mut self) -> Recording {
        self.attribution.finish(&mut self.builder);
        self.builder.finish()
    }
}
