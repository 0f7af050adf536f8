//! Reads a live process repeatedly, on time.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::analysis::leaks;
use crate::analysis::{Series, SeriesOptions};
use crate::cli::error::{CliError, Result};
use crate::cli::exit::Exit;
use crate::cli::output::tell;
use crate::cli::signals::stop_on_signals;
use crate::cli::source::{ReadArgs, warn_of_stop};
use crate::full_text;
use crate::report::escape;
use crate::report::units::duration;
use crate::runtimes::ReadOptions;
use crate::session::{Pacing, Session, SessionOptions, Trouble};
use crate::source::{Program, Source, SourceError, Successor};

/// How long a sleep may delay the user's request to stop.
const NAP: Duration = Duration::from_millis(50);
/// Counts of this many readings are kept, so that a watch of days does not grow forever.
const KEPT: usize = 2_000;
/// More readings than this are not useful, and more than times are kept for.
const MOST: u64 = 1_000_000;
/// Readings are at least this far apart, nanoseconds.
const SHORTEST: u64 = 10_000_000;
/// Unless told otherwise, they are at most this far apart, nanoseconds,
const USUAL: u64 = 5_000_000_000;
/// and there are at least this many in the given time: growth needs four, and is surer with a few more.
const ENOUGH: u64 = 7;

/// When a process is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    every: Duration,
    /// How many times in all.
    readings: u64,
}

impl Times {
    /// The first and the last reading are `span` nanoseconds apart, with `every` nanoseconds between two; if
    /// that is not given, the interval is short enough for [`ENOUGH`] readings.
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

/// A target that is read repeatedly.
pub(super) struct Watched {
    session: Session,
    /// Set by Ctrl-C and SIGTERM.
    stop: Arc<AtomicBool>,
    times: Times,
    /// Loiter has started the process.
    started: bool,
}

impl Watched {
    /// The target that `source` means, if it is alive.
    pub(super) fn new(source: &Source, how: &ReadArgs, times: Times) -> Result<Option<Self>> {
        if matches!(source, Source::File(_) | Source::Stdin) {
            return Ok(None);
        }
        how.check(source)?;
        warn_of_stop(source);
        let stop = Arc::new(AtomicBool::new(false));
        let session = Session::open(source, options(how, times, &stop))?;
        Ok(Some(Watched { session, stop, times, started: false }))
    }

    /// A program that was just started, as soon as it can be read.
    pub(super) fn program(program: &Arc<Program>, how: &ReadArgs, times: Times) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let session = Session::of_program(program, options(how, times, &stop))?;
        Ok(Watched { session, stop, times, started: true })
    }
}

fn options(how: &ReadArgs, times: Times, stop: &Arc<AtomicBool>) -> SessionOptions {
    SessionOptions {
        read: ReadOptions { stop: Some(Arc::clone(stop)), ..how.options().read },
        interval: Some(times.every),
        pacing: Pacing::OnTime,
        // Tasks of two processes are not compared with each other.
        restart: false,
    }
}

/// Reads as often as requested. Ctrl-C or the end of the process ends it early; the readings until then are
/// returned.
///
/// # Errors
/// If not even one reading was possible, or a later one fails for another reason than the end of the
/// process.
pub(super) fn watch(watched: &mut Watched) -> Result<Series> {
    let Watched { session, stop, times, started } = watched;
    stop_on_signals(stop)?;
    let mut series = Series::new(SeriesOptions { keep: Some(KEPT), ..leaks::series_options() });
    // The output of a program that loiter started would mix with it.
    let mut progress = Progress::new(*times, *started);
    let begin = Instant::now();
    let (mut late, mut missing) = (Late::default(), Vec::new());
    for nth in 1..=times.readings {
        if nth == times.readings {
            // What the tasks of one finding wait for may be another one.
            session.look_for_actors();
        }
        if !session.wait(|left| nap(left, stop, &mut progress, &series)) {
            progress.clear();
            tell("stopped early");
            break;
        }
        let came = Instant::now();
        let read = session.read();
        if session.late() > times.every / 2 {
            late.add(times.every);
        }
        let trouble = match read {
            Ok(_) if session.programs() > 1 => {
                progress.clear();
                let after = duration(begin.elapsed().as_nanos() as u64);
                tell(&format!("the process has become another program after {after}, which was not read"));
                break;
            }
            Ok(snapshot) => {
                let holders = Duration::from_nanos(snapshot.header.reading.holders_ns);
                late.last = Some((came.elapsed(), holders));
                series.push(snapshot);
                continue;
            }
            Err(trouble) => trouble,
        };
        if series.readings() > 0 && stop.load(Ordering::Relaxed) {
            progress.clear();
            tell("stopped early");
            break;
        }
        let trouble = match trouble {
            // It may answer again, and the readings so far are kept.
            Trouble::Unreadable(error) if series.readings() > 0 && error.is_no_answer() => {
                missing.push(*error);
                continue;
            }
            trouble => trouble,
        };
        progress.clear();
        match epitaph(&trouble, begin.elapsed()).filter(|_| series.readings() > 0) {
            Some(text) => tell(&text),
            None => return Err(trouble.into()),
        }
        break;
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

/// What is known of the end of the readings. None if they have not ended. Why an address stopped answering
/// cannot be known.
fn epitaph(trouble: &Trouble, after: Duration) -> Option<String> {
    let after = duration(after.as_nanos() as u64);
    let more = match trouble {
        Trouble::Unreadable(error) => {
            return matches!(**error, SourceError::Address { .. })
                .then(|| format!("no more readings after {after}: {}", full_text(error.as_ref())));
        }
        Trouble::ProgramEnded { how: Some(how), .. } => format!(": {how}"),
        Trouble::Ended { successor: Successor::Pid(pid), .. } => {
            format!("; it was started again as pid {pid}, which was not read")
        }
        _ => String::new(),
    };
    Some(format!("the process has ended after {after}{more}"))
}

/// No reading was possible.
impl From<Trouble> for CliError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unreadable(error) => (*error).into(),
            trouble => {
                CliError::Message { problem: full_text(&trouble), remedy: Vec::new(), exit: Exit::NoProcess }
            }
        }
    }
}

/// Late readings, and their causes.
#[derive(Default)]
struct Late {
    readings: u64,
    /// Readings that had to wait for the end of the previous one.
    behind: u64,
    /// How long the last reading took, and the search for holders of locks in it.
    last: Option<(Duration, Duration)>,
    /// The longest reading that others had to wait for.
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
            // If it was late and nothing of loiter was in its way, the machine is the cause.
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

/// Sleeps for a moment. Breaks if the user wants to stop.
fn nap(
    left: Duration,
    stop: &AtomicBool,
    progress: &mut Progress,
    series: &Series,
) -> ControlFlow<(), Option<Duration>> {
    if stop.load(Ordering::Relaxed) && series.readings() > 0 {
        return ControlFlow::Break(());
    }
    if !left.is_zero() {
        progress.show(series);
        thread::sleep(left.min(NAP));
    }
    ControlFlow::Continue(None)
}

/// One line on stderr while the user waits, if stderr is a terminal.
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
        // A line that wraps cannot be erased.
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
        // No process can be read faster than that.
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
