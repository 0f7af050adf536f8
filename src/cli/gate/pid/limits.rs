//! Watches a process, and says what trips.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::command::{Commands, OnTrip};
use super::learn::{NAP, is_over};
use super::progress::Progress;
use super::said::Said;
use super::{PidArgs, Plan, recall, report};
use crate::analysis::trip::{Event, Sample, Sampler, Watch};
use crate::cli::error::{CliError, Result};
use crate::cli::exit::Exit;
use crate::cli::gate::outputs::OutputArgs;
use crate::cli::output::{Output, tell};
use crate::cli::signals::stop_on_first_signal;
use crate::report::text::{task_noun, who};
use crate::report::trip::{self, Begin, CommandEnd, Lines};
use crate::report::units::count;
use crate::session::trip::{Follower, Kin, Seen, State, StateFile, Who};
use crate::snapshot::Snapshot;
use crate::source::Source;

pub(super) fn run(
    args: &PidArgs,
    exit_code: u8,
    cache: Option<PathBuf>,
    outputs: &OutputArgs,
    source: &Source,
    plan: Plan,
    output: &Output,
) -> Result {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_first_signal(&stop)?;
    let state = args.state.as_deref().map(recall::open).transpose()?;
    let (file, state) = state.map_or((None, None), |(file, state)| (Some(file), state));
    let state = state.unwrap_or_default();
    if args.max_tasks.is_none() && args.max_growth.is_none() && state.learned.is_none() {
        let problem = match &args.state {
            Some(path) => format!("nothing was learned in {}: begin with --learn, or give", path.display()),
            None => "give a limit:".to_owned(),
        };
        return Err(CliError::Usage(format!(
            "{problem} --max-tasks, --max-growth, or --state with what --learn wrote"
        )));
    }
    let every = Duration::from_nanos(plan.rules.every_ns);
    let follower = Follower::open(source, Some(&stop), every, cache)?;
    let commands = args
        .on_trip
        .as_ref()
        .map(|command| Commands::new(OnTrip { command: command.clone(), shell: args.shell }));
    let gate = Gate {
        args,
        exit_code,
        outputs,
        output,
        plan,
        file,
        state,
        commands,
        stop: &stop,
        said: Said::default(),
        sampler: Sampler::default(),
        watched: None,
    };
    gate.run(follower)
}

/// A process that is being watched.
struct Watched {
    watch: Watch,
    who: Who,
    lines: Lines,
    noun: String,
    last: Box<Snapshot>,
    /// The number of periods that were known when the state was saved.
    saved: (u64, u64),
}

struct Gate<'a> {
    args: &'a PidArgs,
    exit_code: u8,
    outputs: &'a OutputArgs,
    output: &'a Output,
    plan: Plan,
    file: Option<StateFile>,
    state: State,
    commands: Option<Commands>,
    stop: &'a AtomicBool,
    said: Said,
    sampler: Sampler,
    watched: Option<Watched>,
}

impl Gate<'_> {
    fn run(mut self, mut follower: Follower) -> Result {
        let (begin, span) = (Instant::now(), Duration::from_nanos(self.plan.span_ns));
        let mut progress = Progress::new(begin, span);
        loop {
            let due = follower.wait(|left| {
                if self.stop.load(Ordering::Relaxed) || is_over(begin, span, self.plan, left) {
                    return ControlFlow::Break(());
                }
                if let Some(watched) = &self.watched {
                    let tasks = count(watched.last.task_count(), &watched.noun);
                    progress.show(&format!("watching {}", watched.who.name), &tasks);
                }
                thread::sleep(left.min(NAP));
                ControlFlow::Continue(None)
            });
            progress.clear();
            self.commands_that_ended(false)?;
            if !due {
                break;
            }
            match follower.read() {
                Seen::Reading { snapshot, another } => self.reading(snapshot, another)?,
                Seen::Missed(trouble) if !self.stop.load(Ordering::Relaxed) => self.said.trouble(&trouble),
                Seen::Missed(_) => break,
                Seen::Ended(trouble) if self.watched.is_none() => return Err(trouble.into()),
                Seen::Ended(trouble) => {
                    self.said.trouble(&trouble);
                    break;
                }
            }
            if begin.elapsed() >= span {
                break;
            }
        }
        if self.stop.load(Ordering::Relaxed) {
            tell("stopped early");
        }
        self.end(begin.elapsed())
    }

    fn reading(&mut self, snapshot: Box<Snapshot>, another: bool) -> Result {
        self.said.reading(&who(&snapshot.header));
        if another {
            self.sampler = Sampler::default();
        }
        let Some(sample) = self.sampler.sample(&snapshot) else { return Ok(()) };
        match &mut self.watched {
            None => self.begin(&snapshot, &sample)?,
            Some(watched) if another => {
                let now = Who::of(&snapshot.header);
                let build = match watched.who.kin(&now) {
                    Kin::OtherBuild => ", from another build",
                    Kin::OtherProgram => ", as another program",
                    Kin::Same | Kin::OtherProcess => "",
                };
                tell(&format!(
                    "{} was started again{build}: rows of periods begin anew",
                    who(&snapshot.header)
                ));
                watched.watch.another_process();
                watched.who = now;
            }
            Some(_) => {}
        }
        let Some(watched) = &mut self.watched else { return Ok(()) };
        watched.last = snapshot;
        let events = watched.watch.read(&sample);
        let judged = watched.watch.judged();
        let known = (judged.periods, judged.missed);
        // Before a command runs: whatever happens next, it is run once for a trip.
        if known != watched.saved || !events.is_empty() {
            watched.saved = known;
            self.save()?;
        }
        if events.is_empty() { Ok(()) } else { self.report(&events, &sample) }
    }

    fn begin(&mut self, snapshot: &Snapshot, sample: &Sample) -> Result {
        let who = Who::of(&snapshot.header);
        let watch = recall::watch(self.plan.rules, self.args.state.as_deref(), &self.state, &who)?;
        let lines = Lines::new(snapshot);
        let begin = Begin { snapshot, now: sample, watch: &watch, span_ns: self.plan.span_ns };
        self.output.write(|out| match self.outputs.is_json() {
            false => trip::begin(&begin, &self.output.text_options(), out),
            true => lines.begin(&begin, out),
        })?;
        let noun = task_noun(snapshot).to_owned();
        let last = Box::new(snapshot.clone());
        self.watched = Some(Watched { watch, who, lines, noun, last, saved: (0, 0) });
        Ok(())
    }

    /// Says what has tripped or recovered, and has it reported.
    fn report(&mut self, events: &[Event], sample: &Sample) -> Result {
        let Some(watched) = &self.watched else { return Ok(()) };
        let tripped = events.iter().any(|event| matches!(event, Event::Tripped(_)));
        let folder = if tripped { self.folder(watched, events, sample) } else { None };
        let shown = folder.as_ref().map(|folder| folder.display().to_string());
        let rules = watched.watch.rules();
        self.output.write(|out| {
            for event in events {
                match self.outputs.is_json() {
                    false => trip::event(
                        event,
                        rules,
                        &watched.noun,
                        shown.as_deref(),
                        &self.output.text_options(),
                        out,
                    ),
                    true => watched.lines.event(event, rules, shown.as_deref(), out),
                }?;
            }
            Ok(())
        })?;
        if let Some(commands) = self.commands.as_mut().filter(|_| tripped) {
            let sentences = events.iter().filter_map(|event| trip::sentence(event, &watched.noun));
            commands.run(folder, sentences.collect::<Vec<_>>().join("; "));
        }
        Ok(())
    }

    /// The folder with the report of trips. None if there is to be none, or none could be made, which is said.
    fn folder(&self, watched: &Watched, events: &[Event], sample: &Sample) -> Option<PathBuf> {
        if self.outputs.keep().is_none() && self.commands.is_none() {
            return None;
        }
        let what = report::Trips {
            snapshot: &watched.last,
            watch: &watched.watch,
            now: sample,
            events,
            span_ns: self.plan.span_ns,
        };
        match report::write(self.outputs.keep(), &what) {
            Ok(folder) => Some(folder),
            Err(problem) => {
                tell(&format!("there is no report of this trip: {problem}"));
                None
            }
        }
    }

    fn save(&mut self) -> Result {
        let (Some(file), Some(watched)) = (&mut self.file, &self.watched) else { return Ok(()) };
        self.state.watched = Some(watched.who.clone());
        self.state.memory = watched.watch.memory().clone();
        recall::save(file, &self.state)
    }

    /// Says how commands ended. `all`: waits until all have.
    fn commands_that_ended(&mut self, all: bool) -> Result {
        let Some(commands) = &mut self.commands else { return Ok(()) };
        let ended = if all { commands.wait() } else { commands.ended() };
        ended.iter().try_for_each(|end| self.command(end))
    }

    fn command(&self, end: &CommandEnd) -> Result {
        let Some(watched) = &self.watched else { return Ok(()) };
        self.output.write(|out| match self.outputs.is_json() {
            false => trip::command(end, &self.output.text_options(), out),
            true => watched.lines.command(end, out),
        })?;
        Ok(())
    }

    fn end(mut self, took: Duration) -> Result {
        self.save()?;
        self.commands_that_ended(true)?;
        let Some(watched) = &self.watched else {
            return Err(CliError::Usage("there was no reading of the process".to_owned()));
        };
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.output.write(|out| match self.outputs.is_json() {
            false => trip::end(&watched.watch, took_ns, &watched.noun, &self.output.text_options(), out),
            true => watched.lines.end(&watched.watch, took_ns, out),
        })?;
        let problem = match watched.watch.judged().trips {
            0 if !watched.watch.memory().is_tripped() => return Ok(()),
            0 => "a limit that was exceeded earlier has not recovered".to_owned(),
            _ => "a limit was exceeded".to_owned(),
        };
        Err(CliError::Message { problem, remedy: Vec::new(), exit: Exit::Gate(self.exit_code) })
    }
}
