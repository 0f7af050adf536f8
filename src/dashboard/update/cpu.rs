//! CPU sampling: on, off, and on again for the next program.

use super::{Command, complain, tell};
use crate::dashboard::cpu::{Cpu, Sampling};
use crate::dashboard::query::{GroupSort, TaskSort};
use crate::dashboard::state::{AppState, Source};
use crate::session::ProgramId;
use crate::session::record::CpuNews;

/// Readings that are further apart than this do not bring new CPU times to the screen often enough.
const OFTEN: std::time::Duration = std::time::Duration::from_secs(1);

/// Turns it on or off.
pub(super) fn toggle(state: &mut AppState) -> Vec<Command> {
    if state.cpu.is_on() {
        state.cpu = Cpu { turn: state.cpu.turn, ..Cpu::default() };
        without_order(state);
        tell(state, "CPU sampling is off");
        return vec![Command::Sample(None), Command::Compute];
    }
    match program(state) {
        Ok(program) => {
            tell(state, "CPU sampling is on; c turns it off");
            begin(state, program)
        }
        Err(why) => {
            complain(state, why);
            Vec::new()
        }
    }
}

/// The program that can be sampled, or why there is none.
fn program(state: &AppState) -> Result<ProgramId, &'static str> {
    match (&state.source, &state.latest) {
        (Source::Replay { .. } | Source::Opening { .. }, _) => {
            Err("these are recorded readings: CPU can be sampled only while a process runs")
        }
        (Source::File, _) => Err("this is a saved snapshot: CPU can be sampled only while a process runs"),
        (Source::Ended(_), _) => Err("the process has ended: there is nothing to sample"),
        (_, None) => Err("nothing has been read yet"),
        (_, Some(picture)) => {
            picture.program.ok_or("CPU can be sampled only in a process of this machine, not over http")
        }
    }
}

fn begin(state: &mut AppState, program: ProgramId) -> Vec<Command> {
    let turn = state.cpu.turn.wrapping_add(1);
    let shown = state.cpu.shown.take().filter(|_| state.frozen);
    state.cpu = Cpu { sampling: Sampling::Starting, turn, of: Some(program), latest: None, shown };
    vec![Command::Sample(Some((turn, program)))]
}

/// Nothing is sorted by what is not known.
fn without_order(state: &mut AppState) {
    if state.query.group_sort == GroupSort::Cpu || state.query.task_sort == TaskSort::Cpu {
        state.ask(|query| {
            (query.group_sort, query.task_sort) = (GroupSort::default(), TaskSort::default());
        });
    }
}

/// A reading came: if it is of another program than the one that is sampled, sampling goes on there.
pub(super) fn follow(state: &mut AppState) -> Vec<Command> {
    let program = state.latest.as_ref().and_then(|picture| picture.program);
    match program.filter(|&program| state.cpu.is_on() && state.cpu.of != Some(program)) {
        Some(program) => begin(state, program),
        None => Vec::new(),
    }
}

/// A sampler says something.
pub(super) fn hear(state: &mut AppState, turn: u32, news: CpuNews) -> Vec<Command> {
    if turn != state.cpu.turn || !state.cpu.is_on() {
        return Vec::new();
    }
    match news {
        CpuNews::Times(times) => {
            state.cpu.sampling = Sampling::On;
            state.cpu.latest = Some(times);
            if state.frozen {
                return Vec::new();
            }
            state.cpu.shown.clone_from(&state.cpu.latest);
            // The next reading brings it to the screen, unless that is long in coming.
            let is_due = state.tables.cpu.is_none() || state.interval > OFTEN;
            return if is_due { vec![Command::Compute] } else { Vec::new() };
        }
        CpuNews::Over => state.cpu.sampling = Sampling::Waiting,
        CpuNews::Failed { why, remedy } => {
            let helps = remedy.iter().find(|line| line.starts_with("Try")).cloned();
            complain(state, helps.unwrap_or_else(|| format!("CPU cannot be sampled: {why}")));
            state.cpu = Cpu { sampling: Sampling::Failed { why, remedy }, turn, ..Cpu::default() };
            without_order(state);
        }
    }
    vec![Command::Compute]
}
