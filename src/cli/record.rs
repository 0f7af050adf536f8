//! `loiter record`: sample a process for a while.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;

use super::error::{CliError, Result};
use super::exit;
use super::filter::FilterArgs;
use super::format::{FormatArgs, PrintFormat};
use super::output::{Output, tell};
use super::parse;
use super::recorded::{self, RecordingFormat, Shown};
use super::signals::stop_on_signals;
use super::source::{CacheArgs, process_source};
use crate::analysis::recorded::By;
use crate::recording::{Clock, Recording};
use crate::sampler::{Event, MAX_RATE_HZ, SamplerError};
use crate::session::record::{Clocks, Progress, RecordError, RecordOptions, Recorded, Recorder};
use crate::source::{Program, ProgramOutput, Source, SourceError, describe};

/// How long a process is recorded, unless told otherwise.
const DURATION: Duration = Duration::from_secs(10);

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
    #[arg(value_name = "PROCESS", value_parser = process_source, required_unless_present = "program")]
    process: Option<Source>,

    /// How long to record; Ctrl-C ends it early and keeps what there is [default: 10s, or to the end of PROGRAM]
    #[arg(short, long, value_name = "DURATION", value_parser = parse::duration)]
    duration: Option<u64>,

    /// Samples per second of a thread that runs
    #[arg(short = 'F', long, value_name = "HZ", default_value_t = 99, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_RATE_HZ)))]
    frequency: u32,

    /// What to record: cpu, off-cpu, wall or all
    ///
    /// cpu: samples of threads that run, each with its task. off-cpu: how long threads do not run, whether they
    /// are blocked or wait for a CPU, and where; with the right to sample the kernel each wait has its task and
    /// its stack, without only waits of 5 ms and more. wall: readings of all tasks, by state and wait reason. all: all three
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

    #[command(flatten)]
    cache: CacheArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// What time is grouped by: kind, label:KEY, creator, function, state, thread or task
    ///
    /// kind: the function that a task was started with, and what started it. In a flame graph this is the row at
    /// the root; without the option there is none.
    #[arg(long, value_name = "KEY", help_heading = "Output")]
    group_by: Option<By>,

    /// Rows in each table of the report [default: as many as fit on a screen]
    #[arg(long, value_name = "N", help_heading = "Output")]
    top: Option<usize>,

    /// The file to write; without it, a report is printed
    ///
    /// The ending of its name chooses the format: .loiter keeps everything, for all other commands; .svg is a
    /// flame graph; .pb.gz a profile for go tool pprof; .json.gz is for the Firefox Profiler
    /// (profiler.firefox.com); .speedscope.json for speedscope.app; .folded has lines of
    /// "function;function nanoseconds"; .json, .md and .txt are the report.
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    #[command(flatten)]
    format: FormatArgs<Format>,

    /// Start this program and record it from its first instruction to its end
    #[arg(last = true, value_name = "PROGRAM", num_args = 1.., conflicts_with = "process")]
    program: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}

impl PrintFormat for Format {
    const JSON: Self = Format::Json;
    const HELP: &'static str = "Format of the printed report: text, json or markdown";
    const MORE: &'static str =
        "json is described in loiter-record-json(5). markdown is for an issue or the summary of a CI run.";
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

pub(super) fn run(args: &Args, output: &Output) -> Result {
    let file = args.output.as_deref();
    let file = file.map(|path| Ok::<_, CliError>((path, RecordingFormat::of(path)?))).transpose()?;
    let shown =
        Shown { filter: args.filter.filter(), by: args.group_by.clone(), top: args.top, ..Shown::default() };
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop)?;
    let recording = args.record(&stop)?;
    match (file, args.format.format()) {
        (Some((path, format)), _) => {
            recorded::write(&recording, &shown, format, path, output)?;
            recording.header.warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        }
        (None, Format::Text) => recorded::print(&recording, &shown, output)?,
        (None, Format::Json) => recorded::print_json(&recording, &shown, output)?,
        (None, Format::Markdown) => recorded::print_markdown(&recording, &shown, output)?,
    }
    Ok(())
}

impl Args {
    /// Records the process, or the program that it starts.
    fn record(&self, stop: &Arc<AtomicBool>) -> Result<Recording> {
        let options = self.options(stop);
        let Some((program, arguments)) = self.program.split_first() else {
            let process = self.process.as_ref().map(Source::resolve).transpose()?;
            let Some(Source::Pid(pid)) = process else {
                return Err(CliError::Usage("give the pid or the name of a process".to_owned()));
            };
            let mut line = ProgressLine::new(&options, true);
            let failed = |error| cannot_record(pid, error);
            let recorder = Recorder::attach(Recorded::Process(pid), &options).map_err(failed)?;
            return recorder.record(&mut |progress| line.show(progress)).map_err(failed);
        };
        let attach = |pid| {
            Recorder::attach(Recorded::Program(pid), &options).map_err(|error| cannot_record(pid, error))
        };
        let started = Program::start_met(program, arguments, ProgramOutput::Stderr, attach)?;
        let (program, recorder) = started?;
        // The output of the program would mix with it.
        let mut line = ProgressLine::new(&options, false);
        let recording = recorder.record(&mut |progress| line.show(progress));
        let recording = recording.map_err(|error| cannot_record(program.pid(), error))?;
        tell(&program.end().to_string());
        Ok(recording)
    }

    fn options(&self, stop: &Arc<AtomicBool>) -> RecordOptions {
        let unlimited = !self.program.is_empty() && self.duration.is_none();
        RecordOptions {
            clocks: self.mode.clocks(),
            rate_hz: self.frequency,
            event: match self.event {
                EventArg::CpuClock => Event::CpuClock,
                EventArg::Cycles => Event::Cycles,
            },
            kernel: self.kernel,
            duration: (!unlimited).then(|| self.duration.map_or(DURATION, Duration::from_nanos)),
            max_cpu: self.max_cpu,
            cache: self.cache.folder(),
            stop: Arc::clone(stop),
            ..RecordOptions::default()
        }
    }
}

fn cannot_record(pid: u32, error: RecordError) -> CliError {
    let what = describe(pid);
    match error {
        RecordError::Target(source) => SourceError::Target { what, source }.into(),
        RecordError::Sampler(SamplerError::Target(error)) => {
            SourceError::Target { what, source: error.into() }.into()
        }
        error => CliError::Record { what, source: Box::new(error) },
    }
}

/// One line on stderr while the user waits, if stderr is a terminal.
struct ProgressLine {
    shown: bool,
    whole: Option<Duration>,
    written: bool,
}

impl ProgressLine {
    fn new(options: &RecordOptions, allowed: bool) -> Self {
        let shown = allowed && io::stderr().is_terminal();
        ProgressLine { shown, whole: options.duration, written: false }
    }

    fn show(&mut self, progress: &Progress) {
        if !self.shown {
            return;
        }
        let time = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let mut text = format!("recording: {}", time(progress.elapsed));
        text.extend(self.whole.map(|whole| format!(" of {}", time(whole))));
        text += &format!(", {} samples, {} lost", progress.samples, progress.lost);
        text.extend(progress.coverage.map(|share| format!(", {share:.0} % of its CPU time")));
        text += " (Ctrl-C ends it early)";
        // Progress that cannot be shown is no loss.
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
        let _ = io::stderr().flush();
        self.written = true;
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.written {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
