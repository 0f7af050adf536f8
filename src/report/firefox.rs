//! The processed profile format of the Firefox Profiler (profiler.firefox.com), version 55.
//!
//! Sources: `src/types/profile.ts` and `docs-developer/CHANGELOG-formats.md` of github.com/firefox-devtools/profiler. The
//! Profiler upgrades older versions by itself.
//!
//! A process with a track for each thread, and one with a track for each kind of task. The tracks of tasks show when
//! the tasks ran and, as markers, what they waited for. A recording without samples on CPU has its readings there.

use std::cmp::Reverse;
use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;

use super::{escape, json};
use crate::analysis::Filter;
use crate::analysis::recorded::{By, Recorded, group, splitting_label};
use crate::recording::{Clock, Recording, Sample, ThreadRow};
use crate::snapshot::TaskState;

mod tables;

use tables::{File, MarkerData, Meta, Tables, Track, TrackHead};

/// Tracks of each process, and the markers of all: more would be too slow to look at. Those with the most time are kept.
const MOST_TRACKS: usize = 256;
const MOST_MARKERS: usize = 200_000;

/// Writes a recording, compressed with gzip as `.json.gz`. `recorded` is the view of the same recording. Returns how
/// many waits were left out because there were too many.
///
/// # Errors
/// Those of `out`.
pub fn write(
    recording: &Recording,
    recorded: &Recorded,
    filter: &Filter,
    out: impl Write,
) -> io::Result<u64> {
    let mut buffered = BufWriter::with_capacity(1 << 18, GzEncoder::new(out, Compression::fast()));
    let left_out = write_raw(recording, recorded, filter, &mut buffered)?;
    buffered.into_inner()?.finish()?.flush()?;
    Ok(left_out)
}

/// The same without compression.
///
/// # Errors
/// Those of `out`.
pub fn write_raw(
    recording: &Recording,
    recorded: &Recorded,
    filter: &Filter,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut passes = vec![false; recorded.rows.len()];
    for clock in recorded.clocks() {
        for nth in recorded.select(clock, filter).tasks {
            passes.get_mut(nth as usize).into_iter().for_each(|passes| *passes = true);
        }
    }
    let samples: Vec<(u32, &Sample)> = (recorded.row_of.iter().copied().zip(&recording.samples))
        .filter(|&(row, _)| passes.get(row as usize) == Some(&true))
        .collect();
    let least = shortest_marker(&samples);
    let mut tracks = threads(recorded, &samples, least.0);
    tracks.extend(kinds(recorded, &samples, filter, least.0));
    if tracks.is_empty() {
        tracks.push(others(recorded, "tasks", "nothing").nothing());
    }
    let head = &recording.header;
    let period = head.clocks.iter().find_map(|info| info.period_ns).unwrap_or(10_000_000);
    let product = escape(&head.target.name).into_owned();
    let meta = Meta::new(ms(period), product, ms(head.started_at_ns.unwrap_or(0)));
    json::write(&File::new(meta, tracks), out)?;
    Ok(least.1)
}

/// Nanoseconds as the Profiler's milliseconds.
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// Does a sample show as a marker? Waits do, and what had to wait for a CPU or a worker.
fn is_wait(sample: &Sample) -> bool {
    match sample.clock {
        Clock::Cpu => false,
        Clock::OffCpu => true,
        Clock::Wall => sample.reason.is_some() || sample.state != TaskState::Running,
    }
}

/// Waits shorter than this get no marker, and how many these are.
fn shortest_marker(samples: &[(u32, &Sample)]) -> (u64, u64) {
    let waits = samples.iter().filter(|(_, sample)| is_wait(sample));
    let mut longest: Vec<u64> = waits.map(|(_, sample)| sample.weight_ns).collect();
    if longest.len() <= MOST_MARKERS {
        return (0, 0);
    }
    longest.sort_unstable_by_key(|&ns| Reverse(ns));
    // All waits that are as long as the first one that does not fit are left out.
    let least = longest.get(MOST_MARKERS).map_or(0, |ns| ns.saturating_add(1));
    (least, longest.iter().filter(|&&ns| ns < least).count() as u64)
}

/// A track for each thread: what it ran, and when it was off CPU.
fn threads(recorded: &Recorded, samples: &[(u32, &Sample)], least: u64) -> Vec<Track> {
    let mut by_thread: FxHashMap<Option<ThreadRow>, u64> = FxHashMap::default();
    let of_thread = |sample: &Sample| matches!(sample.clock, Clock::Cpu | Clock::OffCpu);
    for (_, sample) in samples.iter().filter(|(_, sample)| of_thread(sample)) {
        let time = by_thread.entry(sample.thread).or_default();
        *time = time.saturating_add(if sample.clock == Clock::Cpu { sample.weight_ns } else { 0 });
    }
    let mut order: Vec<_> = by_thread.into_iter().collect();
    order.sort_unstable_by_key(|&(thread, time)| (Reverse(time), thread.is_none(), thread));
    order.truncate(MOST_TRACKS);
    let tracks = order.iter().enumerate().map(|(nth, &(row, _))| {
        let thread = row.and_then(|row| recorded.threads.get(row.index()));
        let name = thread.and_then(|thread| thread.name).map(|id| recorded.snapshot.str(id));
        let name = match name {
            Some(name) if !name.is_empty() => escape(name).into_owned(),
            _ => thread.map_or("threads not known".to_owned(), |thread| format!("thread {}", thread.tid)),
        };
        let tid = thread.map_or(0, |thread| thread.tid).to_string();
        Tables::new(recorded, TrackHead::new(recorded, "threads", name, tid, nth == 0))
    });
    let mut tracks: Vec<_> = tracks.collect();
    let at: FxHashMap<_, _> = order.iter().enumerate().map(|(nth, &(thread, _))| (thread, nth)).collect();
    let mut other = others(recorded, "threads", "other threads");
    let has_times = has_times(samples);
    for &(row, sample) in samples.iter().filter(|(_, sample)| of_thread(sample)) {
        let nth = at.get(&sample.thread).copied();
        let track = nth.and_then(|nth| tracks.get_mut(nth)).unwrap_or(&mut other);
        if sample.clock == Clock::Cpu {
            add(track, sample, has_times);
        } else if sample.weight_ns >= least {
            track.marker(sample, data(recorded, row, sample));
        }
    }
    tracks.push(other);
    tracks.into_iter().filter_map(Tables::finish).collect()
}

/// A track for each kind of task (and label): what its tasks ran, and what they waited for.
fn kinds(recorded: &Recorded, samples: &[(u32, &Sample)], filter: &Filter, least: u64) -> Vec<Track> {
    let split = splitting_label(recorded, filter);
    let groups = group(recorded, filter, &By::Kind, split.as_deref());
    let has_cpu = recorded.clocks().contains(&Clock::Cpu);
    let stack_clock = if has_cpu { Clock::Cpu } else { Clock::Wall };
    let mut of_row = vec![usize::MAX; recorded.rows.len()];
    let mut tracks = Vec::new();
    for (nth, group) in groups.iter().take(MOST_TRACKS).enumerate() {
        for &row in group.rows.iter().flatten() {
            of_row.get_mut(row as usize).into_iter().for_each(|slot| *slot = nth);
        }
        let mut name = recorded.name(group.subject);
        if let Some((key, value)) = split.as_ref().zip(group.label) {
            name.push_str(&format!(" {key}={}", recorded.snapshot.str(value)));
        }
        let (name, tid) = (escape(&name).into_owned(), format!("kind {nth}"));
        tracks.push(Tables::new(recorded, TrackHead::new(recorded, "tasks", name, tid, nth == 0)));
    }
    let mut other = others(recorded, "tasks", "other tasks");
    let has_times = has_times(samples);
    for &(row, sample) in samples {
        let nth = of_row.get(row as usize).copied().unwrap_or(usize::MAX);
        let track = tracks.get_mut(nth).unwrap_or(&mut other);
        if sample.clock == stack_clock {
            add(track, sample, has_times);
        }
        if sample.clock == Clock::Wall && is_wait(sample) && sample.weight_ns >= least {
            track.marker(sample, data(recorded, row, sample));
        }
    }
    tracks.push(other);
    tracks.into_iter().filter_map(Tables::finish).collect()
}

/// Adds a sample to a track. Profiles of other programs have no times: there nothing is known of when something ran.
fn add(track: &mut Tables<'_>, sample: &Sample, has_times: bool) {
    if has_times && sample.clock == Clock::Cpu { track.ran(sample) } else { track.sample(sample) }
}

/// Are there times at all?
fn has_times(samples: &[(u32, &Sample)]) -> bool {
    samples.iter().any(|(_, sample)| sample.at_ns != 0)
}

/// The track of what has no track of its own.
fn others<'a>(recorded: &'a Recorded, process: &str, name: &str) -> Tables<'a> {
    let tid = format!("other {process}");
    Tables::new(recorded, TrackHead::new(recorded, process, name.to_owned(), tid, false))
}

/// Who waited.
fn data(recorded: &Recorded, row: u32, sample: &Sample) -> MarkerData {
    let snapshot = &recorded.snapshot;
    let task = recorded.snapshot.tasks.get(row as usize);
    let id = task.and_then(|task| task.id);
    let noun = super::runtime_names::task_noun(snapshot);
    let set = sample.labels.and_then(|id| snapshot.code.label_sets.get(id.index()));
    let pairs = set.map_or(&[][..], |set| &set.pairs);
    let labels: Vec<_> =
        pairs.iter().map(|&(key, value)| format!("{}={}", snapshot.str(key), snapshot.str(value))).collect();
    MarkerData {
        kind: "wait",
        task: id.map_or(String::new(), |id| escape(&format!("{noun} {id}")).into_owned()),
        state: sample.state.name(),
        labels: escape(&labels.join(", ")).into_owned(),
        cause: None,
    }
}
