//! The header of format 1, with its own structs, so that the model can change without changing the format.
//!
//! The names of the members below are the format: do not rename them. Unknown values are null. From the first
//! release on, a new member must be an `Option` or have a default, because older files do not have it.

use serde::{Deserialize, Serialize};

use crate::recording::{Clock, ClockInfo, Cost, Coverage, End, RecordingHeader};
use crate::snapshot::file::v1::head::{ProcessRow, RuntimeRow, TargetRow, convert, names};
use crate::snapshot::file::v1::tables::Listed;

/// Everything before the tables.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadOfFile {
    pub(super) format: String,
    pub(super) version: u16,
    /// Rows of the table of samples.
    pub(super) samples: u64,
    pub(super) tables: Vec<Listed>,
    pub(super) recording: HeadOfRecording,
}

/// What was recorded, how, what it covers, what was lost and what it cost.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadOfRecording {
    loiter: String,
    started_at_ns: Option<u64>,
    duration_ns: u64,
    target: TargetRow,
    runtimes: Vec<RuntimeRow>,
    process: ProcessRow,
    clocks: Vec<ClockRow>,
    coverage: CoverageRow,
    cost: CostRow,
    end: EndName,
    time_step_ns: u64,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClockName {
    Cpu,
    OffCpu,
    Wall,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EndName {
    Elapsed,
    Interrupted,
    TargetEnded,
    Replaced,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClockRow {
    clock: ClockName,
    event: String,
    period_ns: Option<u64>,
    wanted_period_ns: Option<u64>,
    kernel: bool,
    every_cpu: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct CoverageRow {
    cpu_ns: Option<u64>,
    cpu_sampled_ns: u64,
    kernel_not_sampled_ns: Option<u64>,
    samples: u64,
    lost: u64,
    malformed: u64,
    readings: u64,
    readings_failed: u64,
    tasks_started: Option<u64>,
    tasks_ended: Option<u64>,
    started_seen: Option<u64>,
    lived_ns: Option<u64>,
    seen_ns: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CostRow {
    cpu_ns: Option<u64>,
    threads_stopped: u64,
    longest_thread_stop_ns: u64,
}

names!(ClockName = Clock { Cpu: Cpu, OffCpu: OffCpu, Wall: Wall });
names!(
    EndName =
        End { Elapsed: Elapsed, Interrupted: Interrupted, TargetEnded: TargetEnded, Replaced: Replaced }
);

convert!(
    HeadOfRecording = RecordingHeader {
        loiter: loiter,
        started_at_ns: started_at_ns,
        duration_ns: duration_ns,
        target: target as into,
        runtimes: runtimes as list,
        process: process as into,
        clocks: clocks as list,
        coverage: coverage as into,
        cost: cost as into,
        end: end as into,
        time_step_ns: time_step_ns,
        warnings: warnings,
    }
);
convert!(
    ClockRow = ClockInfo {
        clock: clock as into,
        event: event,
        period_ns: period_ns,
        wanted_period_ns: wanted_period_ns,
        kernel: kernel,
        every_cpu: every_cpu,
    }
);
convert!(
    CoverageRow = Coverage {
        cpu_ns: cpu_ns,
        cpu_sampled_ns: cpu_sampled_ns,
        kernel_not_sampled_ns: kernel_not_sampled_ns,
        samples: samples,
        lost: lost,
        malformed: malformed,
        readings: readings,
        readings_failed: readings_failed,
        tasks_started: tasks_started,
        tasks_ended: tasks_ended,
        started_seen: started_seen,
        lived_ns: lived_ns,
        seen_ns: seen_ns,
    }
);
convert!(
    CostRow = Cost {
        cpu_ns: cpu_ns,
        threads_stopped: threads_stopped,
        longest_thread_stop_ns: longest_thread_stop_ns,
    }
);
