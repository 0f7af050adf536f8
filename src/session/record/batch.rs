//! What one drain of the sampler gave. Runtimes look at the whole batch before they say whose each moment is.

use rustc_hash::FxHashMap;

use super::moments::Moments;
use crate::process::{Moment, Registers};
use crate::sampler::off_cpu::{Interval, OffCpu};
use crate::sampler::{Record, Sampler};

/// Samples and events of some milliseconds, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Of threads that run.
    pub(super) samples: Moments,
    /// Of threads that leave their CPU.
    pub(super) departures: Moments,
    /// For threads that are about to leave their CPU: the place in `departures`.
    leaving: FxHashMap<u32, usize>,
    pub(super) events: Vec<Event>,
    /// All that happened before this time is in this batch or in an earlier one.
    pub(super) until_ns: u64,
}

/// Where the stack ends that a thread with these registers is on, as far as that is known.
pub(super) type StackEnd<'a> = dyn Fn(&Registers) -> Option<u64> + 'a;

/// The ends of no stacks are known.
pub(super) fn no_stack_end(_: &Registers) -> Option<u64> {
    None
}

/// A moment without the memory beyond its stack, which the kernel copies along: to copy 16 KiB once more costs several times
/// what the rest of a sample costs to read.
fn cut<'m>(moment: Moment<'m>, stack_end: &StackEnd<'_>) -> Moment<'m> {
    let len = stack_end(&moment.registers).and_then(|end| end.checked_sub(moment.registers.sp));
    let stack = len.and_then(|len| moment.stack.get(..usize::try_from(len).ok()?));
    Moment { stack: stack.unwrap_or(moment.stack), ..moment }
}

/// Code that was mapped, perhaps in the place of other code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped {
    /// CLOCK_MONOTONIC, nanoseconds.
    pub(super) at_ns: u64,
    /// First address.
    pub(super) start: u64,
    /// The address after the last one.
    pub(super) end: u64,
}

/// What happened to a thread or to the process.
#[derive(Debug)]
pub(super) enum Event {
    /// A thread left its CPU. `departure`: the sample that was taken then, if there is one.
    Out { tid: u32, at_ns: u64, preempted: bool, departure: Option<usize> },
    /// A thread got a CPU again.
    OffCpu(Interval),
    /// Code was mapped.
    Mapped(Mapped),
    /// A thread was started.
    Started { tid: u32 },
    /// A thread ended.
    Ended { tid: u32 },
    /// A thread has another name.
    Named { tid: u32, name: String },
    /// The process became another program.
    Executed { tid: u32, at_ns: u64, name: String },
}

impl Batch {
    /// One in which nothing happened until a time.
    pub(super) fn empty(until_ns: u64) -> Batch {
        Batch { until_ns, ..Batch::default() }
    }

    /// Nothing is in it any more; its memory is used again.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.departures.clear();
        self.leaving.clear();
        self.events.clear();
    }

    /// Takes what the sampler has.
    pub(super) fn fill(
        &mut self,
        sampler: &mut Sampler,
        mut off_cpu: Option<&mut OffCpu>,
        stack_end: &StackEnd<'_>,
    ) {
        self.until_ns = sampler.now_ns();
        sampler.drain(&mut |record| {
            let interval = off_cpu.as_mut().and_then(|off_cpu| off_cpu.take(&record));
            self.events.extend(interval.map(Event::OffCpu));
            self.add(&record, stack_end);
        });
    }

    fn add(&mut self, record: &Record<'_>, stack_end: &StackEnd<'_>) {
        let event = match *record {
            Record::Sample { moment, weight_ns, .. } => {
                self.samples.push(&cut(moment, stack_end), weight_ns);
                return;
            }
            Record::Departs { moment } => {
                let nth = self.departures.push(&cut(moment, stack_end), 0);
                self.leaving.insert(moment.tid, nth);
                return;
            }
            Record::SwitchedOut { tid, at_ns, preempted } => {
                let departure = self.leaving.remove(&tid);
                Event::Out { tid, at_ns, preempted, departure }
            }
            // A switch may be among what was lost, so that what is waiting for one may be of an earlier one.
            Record::Lost { .. } => return self.leaving.clear(),
            Record::Mapped { executable: true, at_ns, address, len, .. } => {
                Event::Mapped(Mapped { at_ns, start: address, end: address.saturating_add(len) })
            }
            Record::Started { tid, .. } => Event::Started { tid },
            Record::Ended { tid, .. } => Event::Ended { tid },
            Record::Named { tid, at_ns, name, is_exec: true } => {
                Event::Executed { tid, at_ns, name: String::from_utf8_lossy(name).into_owned() }
            }
            Record::Named { tid, name, .. } => {
                Event::Named { tid, name: String::from_utf8_lossy(name).into_owned() }
            }
            _ => return,
        };
        self.events.push(event);
    }

    /// Nothing happened.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.departures.is_empty() && self.events.is_empty()
    }

    /// Bytes of what is in it, about.
    pub(super) fn bytes(&self) -> usize {
        self.samples.bytes() + self.departures.bytes() + size_of_val(self.events.as_slice())
    }

    /// Bytes of memory that it has for more, about.
    pub(super) fn room(&self) -> usize {
        self.samples.room() + self.departures.room() + self.events.capacity() * size_of::<Event>()
    }

    /// The code that was mapped.
    pub(super) fn mapped(&self) -> impl Iterator<Item = Mapped> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Mapped(mapped) = event { Some(*mapped) } else { None })
    }

    /// When the process became another program. None if it did not.
    pub(super) fn executed_ns(&self) -> Option<u64> {
        let at = |event: &Event| if let Event::Executed { at_ns, .. } = event { Some(*at_ns) } else { None };
        self.events.iter().filter_map(at).next_back()
    }

    /// Drops what happened to threads after the process became another program.
    pub(super) fn end_at_exec(&mut self) {
        let last = self.events.iter().rposition(|event| matches!(event, Event::Executed { .. }));
        self.events.truncate(last.map_or(self.events.len(), |last| last + 1));
    }

    /// Takes the samples from a time on.
    pub(super) fn split_off(&mut self, at_ns: u64) -> Batch {
        Batch { samples: self.samples.split_off(at_ns), ..Batch::default() }
    }
}
