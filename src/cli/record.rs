//! `loiter record`: sample a process for a while.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::output::{Output, save, tell};
use super::parse;
use super::signals::stop_on_signals;
use crate::recording::{Clock, Recording};
use crate::report::escape;
use crate::report::units::{bytes, duration};
use crate::sampler::{Event, MAX_RATE_HZ};
use crate::session::record::{Clocks, Progress, RecordOptions, Recorded, record};
use crate::snapshot::file;
use crate::source::{Program, ProgramOutput, Source};

/// Sample a process for a while: which tasks use the CPU, and what the others wait for
///
/// Nothing is stopped, and the process needs no preparation. With root's rights, CAP_PERFMON or a
/// perf_event_paranoid of 0 or less, every CPU is sampled, and threads that live only briefly are seen, too.
/// Without, each thread is sampled, which the kernel allows for your own processes. The wall clock needs no
/// perf events.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP)]
pub(super) struct Args {
    /// A pid or the name of a process
    #[arg(value_name = "PROCESS", required_unless_present = "program")]
    process: Option<Source>,

    /// How long to record; Ctrl-C ends it early and keeps what there is [default: 10s, or to the end of PROGRAM]
    #[arg(short, long, value_name = "DURATION", value_parser = parse::duration)]
    duration: Option<u64>,

    /// Samples per second of a thread that runs
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 99, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE_HZ)))]
    frequency: u32,

    /// What to record: cpu, off-cpu, wall or all
    ///
    /// cpu: samples of threads that run, each with its task. off-cpu: how long threads do not run, and whether
    /// they are blocked or wait for a CPU. wall: readings of all tasks, by state and wait reason. all: all three
    /// on one clock.
    #[arg(long, value_enum, value_name = "MODE", default_value_t, hide_possible_values = true)]
    mode: Mode,

    /// What raises a sample: cpu-clock or cycles
    ///
    /// cpu-clock is a timer of the kernel and works everywhere. cycles counts what the processor did; most
    /// virtual machines lack it.
    #[arg(long, value_enum, value_name = "EVENT", default_value_t, hide_possible_values = true)]
    event: EventArg,

    /// Also keep the frames in the kernel, where that is allowed
    #[arg(long)]
    kernel: bool,

    /// The share of one core that the readings of the wall clock may take; they become rarer to stay below it
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = share)]
    max_cpu: f64,

    /// The file to write; without it, a report is printed
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Start this program and record it from its first instruction to its end
    #[arg(last = true, value_name = "PROGRAM", num_args = 1.., conflicts_with = "process")]
    program: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Mode {
    #[default]
    Cpu,
    OffCpu,
    Wall,
    All,
}

impl Mode {
    fn clocks(self) -> Clocks {
        match self {
            Mode::Cpu => Clocks::only(Clock::Cpu),
            Mode::OffCpu => Clocks::only(Clock::OffCpu),
            Mode::Wall => Clocks::only(Clock::Wall),
            Mode::All => Clocks::ALL,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum EventArg {
    #[default]
    CpuClock,
    Cycles,
}

/// Reads a share of a core: above 0 %, up to 100 %.
fn share(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.trim_end_matches('%').trim_end().parse().ok();
    match percent.filter(|percent| *percent > 0.0 && *percent <= 100.0) {
        Some(percent) => Ok(percent / 100.0),
        None => Err("use a percentage above 0, up to 100: 20%".to_owned()),
    }
}
