//! What one drain of the sampler gave. Runtimes look at the whole batch before they say whose each moment is.

use crate::process::{Moment, Registers};
use crate::sampler::off_cpu::{Interval, OffCpu};
use crate::sampler::{Record, Sampler};

/// Samples and events of some milliseconds, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Batch {
    samples: Vec<Sampled>,
    /// Addresses of all samples, one after another.
    addresses: Vec<u64>,
    /// Copies of stacks, one after another.
    stacks: Vec<u8>,
    pub(super) events: Vec<Event>,
}

/// A sample; its slices are ranges of the batch's tables.
#[derive(Debug)]
struct Sampled {
    tid: u32,
    at_ns: u64,
    registers: Registers,
    in_kernel: bool,
    chain: std::ops::Range<usize>,
    kernel_chain: std::ops::Range<usize>,
    stack: std::ops::Range<usize>,
    weight_ns: u64,
}

/// What happened to a thread or to the process.
#[derive(Debug)]
pub(super) enum Event {
    /// A thread left its CPU.
    Out { tid: u32, at_ns: u64, preempted: bool },
    /// A thread got a CPU again.
    OffCpu(Interval),
    /// Code was mapped.
    Mapped,
    /// A thread was started.
    Started { tid: u32 },
    /// A thread ended.
    Ended { tid: u32 },
    /// A thread has another name.
    Named { tid: u32, name: String },
    /// The process became another program.
    Executed { at_ns: u64 },
}

impl Batch {
    /// Takes what the sampler has.
    pub(super) fn fill(&mut self, sampler: &mut Sampler, mut off_cpu: Option<&mut OffCpu>) {
        self.samples.clear();
        self.addresses.clear();
        self.stacks.clear();
        self.events.clear();
        sampler.drain(&mut |record| {
            let interval = off_cpu.as_mut().and_then(|off_cpu| off_cpu.take(&record));
            self.events.extend(interval.map(Event::OffCpu));
            self.add(&record);
        });
    }

    fn add(&mut self, record: &Record<'_>) {
        let event = match *record {
            Record::Sample { moment, weight_ns, .. } => return self.sample(&moment, weight_ns),
            Record::SwitchedOut { tid, at_ns, preempted } => Event::Out { tid, at_ns, preempted },
            Record::Mapped { executable: true, .. } => Event::Mapped,
            Record::Started { tid, .. } => Event::Started { tid },
            Record::Ended { tid, .. } => Event::Ended { tid },
            Record::Named { at_ns, is_exec: true, .. } => Event::Executed { at_ns },
            Record::Named { tid, name, .. } => {
                Event::Named { tid, name: String::from_utf8_lossy(name).into_owned() }
            }
            _ => return,
        };
        self.events.push(event);
    }

    fn sample(&mut self, moment: &Moment<'_>, weight_ns: u64) {
        let chain = append(&mut self.addresses, moment.chain);
        let kernel_chain = append(&mut self.addresses, moment.kernel_chain);
        let stack = append(&mut self.stacks, moment.stack);
        let Moment { tid, at_ns, registers, in_kernel, .. } = *moment;
        self.samples.push(Sampled {
            tid,
            at_ns,
            registers,
            in_kernel,
            chain,
            kernel_chain,
            stack,
            weight_ns,
        });
    }

    /// The samples with their weights, nanoseconds.
    pub(super) fn moments(&self) -> impl Iterator<Item = (Moment<'_>, u64)> {
        self.samples.iter().map(|sampled| {
            let moment = Moment {
                tid: sampled.tid,
                at_ns: sampled.at_ns,
                registers: sampled.registers,
                in_kernel: sampled.in_kernel,
                chain: self.addresses.get(sampled.chain.clone()).unwrap_or_default(),
                kernel_chain: self.addresses.get(sampled.kernel_chain.clone()).unwrap_or_default(),
                stack: self.stacks.get(sampled.stack.clone()).unwrap_or_default(),
            };
            (moment, sampled.weight_ns)
        })
    }

    /// CPU time that the samples stand for, nanoseconds.
    pub(super) fn weight_ns(&self) -> u64 {
        self.samples.iter().fold(0, |sum, sampled| sum.saturating_add(sampled.weight_ns))
    }

    /// The code of the process changed: something was mapped.
    pub(super) fn has_new_code(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Mapped))
    }

    /// When the process became another program. None if it did not.
    pub(super) fn executed_ns(&self) -> Option<u64> {
        let at = |event: &Event| if let Event::Executed { at_ns } = event { Some(*at_ns) } else { None };
        self.events.iter().filter_map(at).next_back()
    }

    /// Drops what happened to threads after the process became another program.
    pub(super) fn end_at_exec(&mut self) {
        let last = self.events.iter().rposition(|event| matches!(event, Event::Executed { .. }));
        self.events.truncate(last.map_or(self.events.len(), |last| last + 1));
    }

    /// Takes the samples from a time on.
    pub(super) fn split_off(&mut self, at_ns: u64) -> Batch {
        let nth = self.samples.partition_point(|sampled| sampled.at_ns < at_ns);
        let samples = self.samples.split_off(nth);
        let (addresses, stacks) = (self.addresses.clone(), self.stacks.clone());
        Batch { samples, addresses, stacks, events: Vec::new() }
    }
}

/// Appends to a table and gives the range.
fn append<T: Copy>(table: &mut Vec<T>, more: &[T]) -> std::ops::Range<usize> {
    let start = table.len();
    table.extend_from_slice(more);
    start..table.len()
}
