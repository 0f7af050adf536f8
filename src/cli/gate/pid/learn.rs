//! Learns how many tasks a process usually has.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::said::Said;
use super::{PidArgs, Plan, recall};
use crate::analysis::trip::{Learner, Sampler};
use crate::cli::error::{CliError, Result};
use crate::cli::gate::outputs::OutputArgs;
use crate::cli::output::{Output, tell};
use crate::cli::signals::stop_on_first_signal;
use crate::report::text::{task_noun, who};
use crate::report::trip::{self, Lesson, Lines};
use crate::report::units::{count, duration};
use crate::session::trip::{Follower, Kin, Seen, State, Who};
use crate::snapshot::Snapshot;
use crate::source::Source;

/// How long a sleep may delay the user's request to stop.
pub(super) const NAP: Duration = Duration::from_millis(50);

pub(super) fn run(
    args: &PidArgs,
    cache: Option<PathBuf>,
    outputs: &OutputArgs,
    source: &Source,
    plan: Plan,
    output: &Output,
) -> Result {
    let Some(path) = &args.state else {
        return Err(CliError::Usage("--learn needs a file: --state FILE".to_owned()));
    };
    let stop = Arc::new(AtomicBool::new(false));
    let every = Duration::from_nanos(plan.rules.every_ns);
    let mut follower = Follower::open(source, Some(&stop), every, cache)?;
    stop_on_first_signal(&stop)?;
    let (mut file, before) = recall::open(path)?;
    let (learner, last) = read(&mut follower, plan, &stop)?;
    let of = Who::of(&last.header);
    let old = before.as_ref().and_then(|state| Some(&state.learned.as_ref()?.0));
    if let Some(old) = old.filter(|old| old.kin(&of) == Kin::OtherProgram) {
        tell(&format!("what {} had learned of {} is replaced", path.display(), old.name));
    }
    let baseline = learner.finish().map_err(|few| CliError::Usage(few.to_string()))?;
    let took = baseline.to_ns.saturating_sub(baseline.from_ns);
    if took + plan.rules.every_ns * 2 < plan.span_ns {
        tell(&format!("learned for {}, and not for {}", duration(took), duration(plan.span_ns)));
    }
    // What has tripped did so by other thresholds.
    let state = State { learned: Some((of, baseline.clone())), ..State::default() };
    recall::save(&mut file, &state)?;
    let name = path.display().to_string();
    let lesson = Lesson { snapshot: &last, baseline: &baseline, rules: &plan.rules, file: &name };
    output.write(|out| match outputs.is_json() {
        false => trip::learned(&lesson, &output.text_options(), out),
        true => Lines::new(&last).learned(&lesson, out),
    })?;
    Ok(())
}

/// Reads until the time is over, the process ends, or the user stops it.
fn read(follower: &mut Follower, plan: Plan, stop: &AtomicBool) -> Result<(Learner, Snapshot)> {
    let (begin, span) = (Instant::now(), Duration::from_nanos(plan.span_ns));
    let (mut learner, mut last) = (Learner::default(), None::<Box<Snapshot>>);
    let mut sampler = Sampler::default();
    let (mut progress, mut said) = (Progress::new(begin, span), Said::default());
    loop {
        let due = follower.wait(|left| {
            if stop.load(Ordering::Relaxed) || is_over(begin, span, plan, left) {
                return ControlFlow::Break(());
            }
            if let Some(last) = &last {
                let tasks = count(last.task_count(), task_noun(last));
                progress.show(&format!("learning {}", last.header.target.name), &tasks);
            }
            thread::sleep(left.min(NAP));
            ControlFlow::Continue(None)
        });
        progress.clear();
        if !due {
            break;
        }
        match follower.read() {
            Seen::Reading { snapshot, another } => {
                said.reading(&who(&snapshot.header));
                if another {
                    tell(&format!(
                        "{} was started again: both processes are learned from",
                        who(&snapshot.header)
                    ));
                }
                sampler.sample(&snapshot).iter().for_each(|sample| learner.add(sample));
                last = Some(snapshot);
            }
            Seen::Missed(trouble) if !stop.load(Ordering::Relaxed) => said.trouble(&trouble),
            Seen::Missed(_) => break,
            Seen::Ended(trouble) if last.is_none() => return Err(trouble.into()),
            Seen::Ended(trouble) => {
                said.trouble(&trouble);
                break;
            }
        }
        if begin.elapsed() >= span {
            break;
        }
    }
    match last {
        Some(last) => Ok((learner, *last)),
        None => Err(CliError::Usage("there was no reading to learn from".to_owned())),
    }
}

/// Whether the time is over: the reading that is due at its end is waited for.
pub(super) fn is_over(begin: Instant, span: Duration, plan: Plan, left: Duration) -> bool {
    let grace = Duration::from_nanos(plan.rules.every_ns) / 2;
    !left.is_zero() && begin.elapsed() > span.saturating_add(grace)
}
