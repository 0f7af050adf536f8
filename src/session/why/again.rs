//! The second readings: what is still the same held at one moment together.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::ends::Known;
use super::follow::{follow, system};
use super::seen::{Refused, Seen, same_tasks};
use super::{Inquiry, InquiryStep, OnStep, Outcome};
use crate::analysis::why::{Cause, Chain, System, Unknown, Why};
use crate::process::TargetError;
use crate::process::proc::Stat;
use crate::runtimes::ReadOptions;
use crate::snapshot::Snapshot;
use crate::source::{self, SourceError};

/// The process that was asked about, and its first reading.
type Asked = Option<(u32, Option<Arc<Snapshot>>)>;

/// Of all causes, these many are wanted without anything that moves.
const FOREMOST: usize = 5;

/// Reads every process again, and everything anew if something in the way moved.
pub(super) fn read_again(
    mut inquiry: Inquiry,
    from: Option<&[u32]>,
    mut known: Known,
    on_step: &mut OnStep<'_>,
) -> source::Result<Outcome> {
    let asked: Asked =
        inquiry.seen.first().filter(|_| inquiry.of_one).map(|seen| (seen.pid, seen.first.clone()));
    // Who is going to act is taken from the first readings.
    let second = ReadOptions { actors: std::time::Duration::ZERO, ..inquiry.options.read.clone() };
    let mut retries = 0;
    loop {
        on_step(InquiryStep::ReadsAgain(inquiry.seen.len()));
        each(&mut inquiry, |seen| seen.read_again(&second));
        known.confirm(&inquiry.search_limit());
        if let Some((pid, _)) = asked.as_ref().filter(|(pid, _)| !is_first(&inquiry.seen, *pid)) {
            let what = source::describe(*pid);
            return Err(SourceError::Target { what, source: TargetError::NoProcess { pid: *pid }.into() });
        }
        let mut system = system(&inquiry.seen, &known);
        let rows = rows_now(&inquiry, &asked, from);
        let is_over = retries >= inquiry.options.retries || inquiry.is_late();
        if is_over || !moves(&system, rows.as_deref()) {
            system.left_out = without_repetitions(inquiry.left_out);
            for seen in inquiry.seen.iter().filter(|seen| is_stopped(seen.pid)) {
                system.stopped.push(seen.pid);
                system.left_out.push(format!(
                    "pid {} ({}) is stopped, by a signal or a debugger: nothing in it goes on until it is continued",
                    seen.pid, seen.name
                ));
            }
            system.asked = usize::from(inquiry.of_one);
            return Ok(Outcome { system, from: rows.unwrap_or_default(), retries });
        }
        retries += 1;
        let first = inquiry.options.read.clone();
        each(&mut inquiry, |seen| seen.read(&first));
        // What moved may wait for something else by now, whose other ends were not asked for.
        let rows = rows_now(&inquiry, &asked, from);
        known = follow(&mut inquiry, rows.as_deref(), on_step);
    }
}

/// The tasks that are followed, as rows of the present first reading of the process that was asked about. `asked`: that process
/// and its reading in which they are the rows `from`.
fn rows_now(inquiry: &Inquiry, asked: &Asked, from: Option<&[u32]>) -> Option<Vec<u32>> {
    let before = asked.as_ref().and_then(|(_, first)| first.as_ref());
    let now = inquiry.seen.first().and_then(|seen| seen.first.as_ref());
    let rows = |rows: &[u32]| before.zip(now).map(|(before, now)| same_tasks(before, rows, now));
    from.map(|from| rows(from).unwrap_or_default())
}

/// Of several searches.
fn without_repetitions(sentences: Vec<String>) -> Vec<String> {
    let mut once = FxHashSet::default();
    sentences.into_iter().filter(|sentence| once.insert(sentence.clone())).collect()
}

/// Whether a process is stopped as a whole (proc(5): T by a signal, t by a debugger).
fn is_stopped(pid: u32) -> bool {
    Stat::read(pid).is_ok_and(|stat| matches!(stat.state, 'T' | 't'))
}

fn is_first(seen: &[Seen], pid: u32) -> bool {
    seen.first().is_some_and(|seen| seen.pid == pid)
}

/// Reads each process. One that cannot be read any more is left out.
fn each(inquiry: &mut Inquiry, mut read: impl FnMut(&mut Seen) -> crate::Result<()>) {
    let options = &inquiry.options;
    let mut left_out = Vec::new();
    let mut read = |seen: &mut Seen| if options.is_stopped() { Ok(()) } else { read(seen) };
    inquiry.seen.retain_mut(|seen| match read(seen) {
        Ok(()) => true,
        Err(error) => {
            left_out.extend(Refused::new(seen.pid, error).sentence());
            false
        }
    });
    inquiry.left_out.extend(left_out);
}

/// Whether something that is asked for moved between the readings.
fn moves(system: &System, from: Option<&[u32]>) -> bool {
    let why = Why::new(system);
    let moved =
        |chain: &Chain| matches!(chain.cause(), Some((_, Cause::WentOn | Cause::Unknown(Unknown::Moved))));
    match from {
        Some(rows) => why.of_tasks(0, rows).iter().any(moved),
        None => why.causes().causes.iter().take(FOREMOST).any(|found| moved(&found.chain)),
    }
}
