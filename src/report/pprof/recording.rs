//! Recordings as profiles: CPU time like Go's own CPU profile (samples/count, cpu/nanoseconds), and time off CPU and
//! time of tasks as sample types of their own.

use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;

use super::{BUFFER, Profile};
use crate::analysis::Filter;
use crate::analysis::recorded::{Recorded, Row};
use crate::formats::pprof::fields::{self, own};
use crate::formats::pprof::wire::{put_bytes, put_number, put_varint};
use crate::recording::file::header_to_json;
use crate::recording::{Clock, Whose};

/// The sample types of a recording: each has a type, a unit and the clock that it is of.
type Kinds = Vec<(&'static str, &'static str, Clock)>;

/// Writes the rows that pass a filter, compressed with gzip as `.pb.gz` files are.
///
/// # Errors
/// Those of `out`.
pub fn write_recording(recorded: &Recorded, filter: &Filter, out: impl Write) -> io::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER, GzEncoder::new(out, Compression::fast()));
    write_recording_raw(recorded, filter, &mut buffered)?;
    buffered.into_inner()?.finish()?.flush()
}

/// The same without compression.
///
/// # Errors
/// Those of `out`.
pub fn write_recording_raw(recorded: &Recorded, filter: &Filter, out: impl Write) -> io::Result<()> {
    let mut profile = Profile::new(&recorded.snapshot, out);
    let header = header_to_json(&recorded.header).map_err(io::Error::other)?;
    profile.header = Some(format!("{}{header}", own::recording::HEADER));
    let kinds = kinds(&recorded.clocks());
    profile.write_clocks(recorded, &kinds)?;
    profile.write_rows(recorded, filter, &kinds)?;
    profile.write_tables()
}

/// What is written for these clocks. Readers show the default type first.
fn kinds(clocks: &[Clock]) -> Kinds {
    let mut kinds = Vec::new();
    for &clock in clocks {
        match clock {
            Clock::Cpu => kinds.extend([("samples", "count", clock), ("cpu", "nanoseconds", clock)]),
            Clock::OffCpu => kinds.extend([("waits", "count", clock), ("off-cpu", "nanoseconds", clock)]),
            Clock::Wall => kinds.extend([("readings", "count", clock), ("wall", "nanoseconds", clock)]),
        }
    }
    if kinds.is_empty() {
        kinds.push(("samples", "count", Clock::Cpu));
    }
    kinds
}

impl<W: Write> Profile<'_, W> {
    /// The types of the values, the period, the start and the duration.
    fn write_clocks(&mut self, recorded: &Recorded, kinds: &Kinds) -> io::Result<()> {
        for &(kind, unit, _) in kinds {
            let message = self.value_type(kind, unit);
            self.put(fields::profile::SAMPLE_TYPE, &message)?;
        }
        // Time on CPU if there is some, else the first time.
        let time = |name: &str| kinds.iter().find(|(kind, ..)| *kind == name);
        let main = time("cpu").or(time("wall")).or(time("off-cpu")).or(kinds.first()).copied();
        let (kind, unit, clock) = main.unwrap_or(("samples", "count", Clock::Cpu));
        let info = recorded.header.clocks.iter().find(|info| info.clock == clock);
        if let Some(period) = info.and_then(|info| info.period_ns) {
            let message = self.value_type(kind, unit);
            self.put(fields::profile::PERIOD_TYPE, &message)?;
            self.put_top(fields::profile::PERIOD, period)?;
        }
        self.put_top(fields::profile::TIME_NANOS, recorded.header.started_at_ns.unwrap_or(0))?;
        self.put_top(fields::profile::DURATION_NANOS, recorded.header.duration_ns)?;
        let default = self.strings.text(kind);
        self.put_top(fields::profile::DEFAULT_SAMPLE_TYPE, default)
    }

    fn value_type(&mut self, kind: &'static str, unit: &'static str) -> Vec<u8> {
        let (kind, unit) = (self.strings.text(kind), self.strings.text(unit));
        let mut message = Vec::new();
        put_number(&mut message, fields::value_type::TYPE, kind);
        put_number(&mut message, fields::value_type::UNIT, unit);
        message
    }

    fn put_top(&mut self, field: u32, number: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, field, number);
        self.out.write_all(&bytes)
    }

    /// A sample for all rows whose stacks and labels are equal.
    fn write_rows(&mut self, recorded: &Recorded, filter: &Filter, kinds: &Kinds) -> io::Result<()> {
        let mut index: FxHashMap<Vec<u8>, usize> = FxHashMap::default();
        let mut samples: Vec<Vec<u64>> = Vec::new();
        for clock in recorded.clocks() {
            for nth in recorded.select(clock, filter).tasks {
                let (row, task) =
                    (recorded.rows.get(nth as usize), recorded.snapshot.tasks.get(nth as usize));
                let (Some(row), Some(task)) = (row, task) else { continue };
                self.message.clear();
                self.encode_task(task);
                self.encode_owner(recorded, row);
                let at = match index.get(&self.message) {
                    Some(&at) => at,
                    None => {
                        samples.push(vec![0; kinds.len()]);
                        index.insert(self.message.clone(), samples.len() - 1);
                        samples.len() - 1
                    }
                };
                for (value, (_, unit, of)) in samples.get_mut(at).into_iter().flatten().zip(kinds) {
                    if *of == clock {
                        let more = if *unit == "count" { row.sum.samples } else { row.sum.ns };
                        // Values are signed.
                        *value = value.saturating_add(more).min(i64::MAX as u64);
                    }
                }
            }
        }
        let mut order: Vec<_> = index.into_iter().collect();
        order.sort_unstable_by_key(|&(_, at)| at);
        for (sample, at) in order {
            let mut packed = Vec::new();
            samples.get(at).into_iter().flatten().for_each(|&value| put_varint(&mut packed, value));
            self.message.clear();
            put_bytes(&mut self.message, fields::sample::VALUE, &packed);
            self.message.extend_from_slice(&sample);
            self.put_message(fields::profile::SAMPLE)?;
        }
        Ok(())
    }

    /// Labels for the thread, and for time that is no task's.
    fn encode_owner(&mut self, recorded: &Recorded, row: &Row) {
        let whose = match row.whose {
            Whose::Task(_) => None,
            Whose::Scheduler => Some(own::recording::SCHEDULER),
            Whose::Native => Some(own::recording::NATIVE),
            Whose::Unknown => Some(own::recording::UNKNOWN),
        };
        if let Some(whose) = whose {
            let (key, whose) = (self.strings.text(own::recording::WHOSE), self.strings.text(whose));
            self.put_label(key, whose);
        }
        if let Some(thread) = row.thread.and_then(|row| recorded.threads.get(row.index())) {
            let key = self.strings.text(own::recording::THREAD);
            self.put_number_label(key, thread.tid.into(), self.keys.id);
        }
    }
}
