//! Reads a live process again and again, on time.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::leaks;
use crate::analysis::{Series, SeriesOptions};
use crate::cli::error::{CliError, Result};
use crate::cli::output::tell;
use crate::full_text;
use crate::process::{self, Target, TargetError};
use crate::report::escape;
use crate::report::units::duration;
use crate::runtimes::{ReadOptions, Readable};
use crate::snapshot::Snapshot;
use crate::source::{Program, ReadArgs, Source, Successor, describe, find_successor, options};

/// How long a sleep may keep the user waiting who wants to stop.
const NAP: Duration = Duration::from_millis(50);
/// How long the end of a program may take to be known, once its memory is gone.
const DYING: Duration = Duration::from_secs(2);
/// Counts of so many readings are kept, so that a watch of days does not grow for ever.
const KEPT: usize = 2_000;
/// More readings than this are more than anybody wants, and more than times are kept for.
const MOST: u64 = 1_000_000;
/// Readings follow each other no faster than this, nanoseconds.
const SHORTEST: u64 = 10_000_000;
/// Unless told otherwise, they are not further apart than this, nanoseconds,
const USUAL: u64 = 5_000_000_000;
/// and there are at least so many in the time that is given: growth needs four, and is surer with a few more.
const ENOUGH: u64 = 7;

/// When a process is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    every: Duration,
    /// How many times in all.
    readings: u64,
}

impl Times {
    /// From the first reading to the last one `span` nanoseconds pass, `every` nanoseconds between two; if that is
    /// not given, few enough for [`ENOUGH`] readings.
    pub(super) fn new(span: u64, every: Option<u64>) -> Result<Self> {
        let usage = |text: &str| Err(CliError::Usage(text.to_owned()));
        let every = every.unwrap_or_else(|| (span / (ENOUGH - 1)).clamp(SHORTEST, USUAL));
        if every < SHORTEST {
            return usage("--every must be 10ms or more");
        }
        if span > 0 && span < every {
            return usage("--for is shorter than --every: there would be one reading only");
        }
        let readings = span / every + 1;
        if readings > MOST {
            return usage("that would be more than a million readings: raise --every");
        }
        Ok(Times { every: Duration::from_nanos(every), readings })
    }
}

/// What is read again and again.
pub(super) enum Watched<'a> {
    /// A process, and what schedules tasks in it.
    Process {
        what: String,
        target: Box<dyn Target>,
        runtimes: Readable,
        options: ReadOptions,
        /// Loiter has started it.
        program: Option<&'a Program>,
    },
    /// An address that serves profiles.
    Address { source: &'a Source, how: &'a ReadArgs },
}

impl<'a> Watched<'a> {
    /// What `source` means, if it is something alive.
    pub(super) fn new(source: &'a Source, how: &'a ReadArgs, times: Times) -> Result<Option<Self>> {
        match source.resolve()? {
            Source::Pid(pid) => Self::process(pid, how, times, None).map(Some),
            Source::Address(_) => Ok(Some(Watched::Address { source, how })),
            Source::File(_) | Source::Stdin | Source::Name(_) => Ok(None),
        }
    }

    /// A program that was just started, as soon as it can be read.
    pub(super) fn program(program: &'a Program, how: &ReadArgs, times: Times) -> Result<Self> {
        program.wait_until_readable()?;
        Self::process(program.pid(), how, times, Some(program))
    }

    fn process(pid: u32, how: &ReadArgs, times: Times, program: Option<&'a Program>) -> Result<Self> {
        let what = describe(pid);
        let failed = |source| CliError::Target { what: what.clone(), source };
        let target = process::open_pid(pid).map_err(|error| failed(error.into()))?;
        let runtimes = Readable::find(target.as_ref()).map_err(failed)?;
        Ok(Watched::Process { what, target, runtimes, options: options(how).paced(times.every), program })
    }

    /// What is known of the end of the process, which was there when `seen`.
    fn epitaph(&self, seen: Instant) -> String {
        let Watched::Process { target, program, .. } = self else { return String::new() };
        if let Some(program) = program {
            return program.ended_within(DYING).map_or_else(String::new, |how| format!(": {how}"));
        }
        match find_successor(target.info(), None, seen) {
            Successor::Pid(pid) => format!("; it was started again as pid {pid}, which was not read"),
            Successor::Nobody | Successor::Several(_) => String::new(),
        }
    }

    fn read(&self, stop: &Arc<AtomicBool>) -> Result<Snapshot> {
        match self {
            Watched::Process { what, target, runtimes, options, .. } => {
                let options = ReadOptions { stop: Some(Arc::clone(stop)), ..options.clone() };
                let failed = |source| CliError::Target { what: what.clone(), source };
                runtimes.read(target.as_ref(), &options).map_err(failed)
            }
            Watched::Address { source, how } => how.open(source).map(|opened| opened.snapshot),
        }
    }
}

/// Reads as often as asked for. Ctrl-C ends it early, and so does the end of the process; what was read
/// until then is returned.
///
/// # Errors
/// If not even one reading was possible, or a later one fails for another reason than the end of the
/// process.
pub(super) fn watch(watched: &Watched<'_>, times: Times) -> Result<Series> {
    let stop = on_signals()?;
    let mut series = Series::new(SeriesOptions { keep: Some(KEPT), ..leaks::series_options() });
    // What a program of our own prints would stand in the middle of it.
    let quiet = matches!(watched, Watched::Process { program: Some(_), .. });
    let mut progress = Progress::new(times, quiet);
    let begin = Instant::now();
    let (mut late, mut seen) = (Late::default(), begin);
    let mut missing = Vec::new();
    for number in 0..times.readings {
        let due = times.every * u32::try_from(number).unwrap_or(u32::MAX);
        if !sleep_until(begin + due, &stop, &mut progress, &series) {
            progress.clear();
            tell("stopped early");
            break;
        }
        let came = Instant::now();
        if came > begin + due + times.every / 2 {
            late.add(times.every);
        }
        match watched.read(&stop) {
            Ok(snapshot) => {
                seen = Instant::now();
                late.last = Some((seen - came, Duration::from_nanos(snapshot.header.reading.holders_ns)));
                series.push(snapshot);
            }
            Err(_) if series.readings() > 0 && stop.load(Ordering::Relaxed) => {
                progress.clear();
                tell("stopped early");
                break;
            }
            // It may answer again, and what has been read is not thrown away.
            Err(error) if series.readings() > 0 && does_not_answer(&error) => missing.push(error),
            Err(error) if series.readings() > 0 && has_ended(&error) => {
                progress.clear();
                let after = duration(begin.elapsed().as_nanos() as u64);
                tell(&match error {
                    CliError::Address { .. } => {
                        format!("no more readings after {after}: {}", full_text(&error))
                    }
                    _ => format!("the process has ended after {after}{}", watched.epitaph(seen)),
                });
                break;
            }
            Err(error) => {
                progress.clear();
                return Err(error);
            }
        }
    }
    progress.clear();
    if let Some(error) = missing.first() {
        tell(&format!("{} of {} readings failed: {}", missing.len(), times.readings, full_text(error)));
    }
    if let Some(why) = late.why() {
        tell(&format!("{} of {} readings came late: {why}", late.readings, series.readings()));
    }
    Ok(series)
}

/// Readings that came late, and what made them so.
#[derive(Default)]
struct Late {
    readings: u64,
    /// Those that had to wait until the one before had ended.
    behind: u64,
    /// How long the last reading took, and the search for holders of locks in it.
    last: Option<(Duration, Duration)>,
    /// The longest of those that others had to wait for.
    longest: (Duration, Duration),
}

impl Late {
    fn add(&mut self, every: Duration) {
        self.readings += 1;
        if let Some(last) = self.last.filter(|(took, _)| *took > every) {
            self.behind += 1;
            self.longest = self.longest.max(last);
        }
    }

    fn why(&self) -> Option<String> {
        let (took, holders) = self.longest;
        let text = |time: Duration| duration(time.as_nanos() as u64);
        match self.readings {
            0 => None,
            // That it was late and nothing of ours was in its way leaves the machine.
            late if self.behind * 2 < late => Some("this machine is busy".to_owned()),
            _ if holders * 2 > took => Some(format!(
                "a reading takes up to {}, {} of it to look for holders of locks; raise --every",
                text(took),
                text(holders)
            )),
            _ => Some(format!("a reading takes up to {}; raise --every", text(took))),
        }
    }
}

/// There is nobody to be read any more. Of an address nobody can know why.
fn has_ended(error: &CliError) -> bool {
    use TargetError::{Ended, NoProcess, Zombie};
    match error {
        CliError::Target { source: crate::Error::Target(error), .. } => {
            matches!(error, NoProcess { .. } | Ended { .. } | Zombie { .. })
        }
        CliError::Address { .. } => true,
        _ => false,
    }
}

/// A single reading has failed, which says nothing about the next one.
fn does_not_answer(error: &CliError) -> bool {
    use TargetError::{LetGo, NoAnswer};
    matches!(error, CliError::Target { source: crate::Error::Target(NoAnswer { .. } | LetGo { .. }), .. })
}

/// Set by Ctrl-C and SIGTERM. A second one ends loiter.
fn on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal finds the flag unset and passes the first handler.
        let second =
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
        let first = second.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        first.map_err(|source| CliError::Io { what: "cannot watch for signals".to_owned(), source })?;
    }
    Ok(stop)
}

/// Waits for a moment. False if the user wants to stop.
fn sleep_until(at: Instant, stop: &AtomicBool, progress: &mut Progress, series: &Series) -> bool {
    loop {
        if stop.load(Ordering::Relaxed) {
            // Without any reading there is nothing to say: read once.
            return series.readings() == 0;
        }
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        progress.show(series);
        thread::sleep(left.min(NAP));
    }
}

/// One line on stderr while the user waits, if that is a terminal.
struct Progress {
    shown: bool,
    times: Times,
    begin: Instant,
    last: Option<Instant>,
}

impl Progress {
    fn new(times: Times, quiet: bool) -> Self {
        Progress { shown: io::stderr().is_terminal() && !quiet, times, begin: Instant::now(), last: None }
    }

    fn show(&mut self, series: &Series) {
        let Some(point) = series.points().back().filter(|_| self.shown) else { return };
        if self.last.is_some_and(|last| last.elapsed() < Duration::from_millis(250)) {
            return;
        }
        self.last = Some(Instant::now());
        let total =
            self.times.every * u32::try_from(self.times.readings.saturating_sub(1)).unwrap_or(u32::MAX);
        let left = total.saturating_sub(self.begin.elapsed());
        // A line that wraps cannot be taken back.
        let name: String = point.header.target.name.chars().take(24).collect();
        let text = format!(
            "watching {}: reading {} of {}, {} tasks, {} left (Ctrl-C ends it early)",
            escape(&name),
            series.readings(),
            self.times.readings,
            point.tasks,
            duration(left.as_nanos() as u64),
        );
        // Progress that cannot be shown is no loss.
        let _ = write!(io::stderr(), "\r\x1b[K{text}");
        let _ = io::stderr().flush();
    }

    fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_from_the_time() {
        let times = |ms: u64| {
            let times = Times::new(ms * 1_000_000, None).unwrap();
            (times.readings, times.every.as_millis())
        };
        assert_eq!(times(30_000), (7, 5_000));
        assert_eq!(times(3_000), (7, 500));
        assert_eq!(times(1_000), (7, 166));
        assert_eq!(times(20_000), (7, 3_333));
        assert_eq!(times(600_000), (121, 5_000));
        // Nobody can be read faster than that.
        assert_eq!(times(30), (4, 10));
        assert_eq!(times(0), (1, 10));
        assert!(Times::new(u64::MAX, None).is_err());
    }

    #[test]
    fn what_makes_readings_late() {
        let ms = Duration::from_millis;
        let after = |reading: (u64, u64)| {
            let mut late = Late { last: Some((ms(reading.0), ms(reading.1))), ..Late::default() };
            late.add(ms(100));
            late.why().unwrap()
        };
        assert_eq!(after((20, 10)), "this machine is busy");
        assert_eq!(after((250, 0)), "a reading takes up to 250 ms; raise --every");
        assert!(after((250, 200)).contains("200 ms of it to look for holders of locks"));
        assert_eq!(Late::default().why(), None);
    }

    #[test]
    fn times_make_sense() {
        let readings =
            |span: u64, every: u64| Times::new(span * 1_000_000, Some(every * 1_000_000)).map(|t| t.readings);
        assert_eq!(readings(30_000, 5_000).unwrap(), 7);
        assert_eq!(readings(0, 5_000).unwrap(), 1);
        assert_eq!(readings(12_000, 5_000).unwrap(), 3);
        assert!(readings(1_000, 5_000).is_err());
        assert!(readings(1_000, 0).is_err());
        assert!(readings(u64::MAX / 1_000_000, 10).is_err());
    }
}
