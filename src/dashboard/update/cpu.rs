//! CPU sampling: on, off, and on again for the next program.

use super::{Command, complain, tell};
use crate::dashboard::cpu::{Cpu, Sampling};
use crate::dashboard::query::{CreatorSort, GroupSort, TaskSort};
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
        Ok(Some(program)) => {
            tell(state, "CPU sampling is on; c turns it off");
            begin(state, program)
        }
        Ok(None) => {
            tell(state, "CPU sampling starts with the first reading; c turns it off");
            state.cpu.sampling = Sampling::Starting;
            vec![Command::Compute]
        }
        Err(why) => {
            complain(state, why);
            Vec::new()
        }
    }
}

const NOT_HERE: &str = "CPU can be sampled only in a process of this machine, not over http";

/// The program that can be sampled, or why there is none. It is not known before the first reading.
fn program(state: &AppState) -> Result<Option<ProgramId>, &'static str> {
    match (&state.source, &state.latest) {
        (Source::Replay { .. } | Source::Opening { .. }, _) => {
            Err("these are recorded readings: CPU can be sampled only while a process runs")
        }
        (Source::File, _) => Err("this is a saved snapshot: CPU can be sampled only while a process runs"),
        (Source::Ended(_), _) => Err("the process has ended: there is nothing to sample"),
        (_, None) => Ok(None),
        (_, Some(picture)) => picture.program.map(Some).ok_or(NOT_HERE),
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
    if state.query.creator_sort == CreatorSort::Cpu {
        state.ask(|query| query.creator_sort = CreatorSort::default());
    }
}

/// A reading came: if it is the first, or of another program than the one that is sampled, sampling begins
/// there.
pub(super) fn follow(state: &mut AppState) -> Vec<Command> {
    let program = state.latest.as_ref().and_then(|picture| picture.program);
    match program {
        _ if !state.cpu.is_on() => Vec::new(),
        Some(program) if state.cpu.of != Some(program) => begin(state, program),
        None if state.cpu.of.is_none() => {
            state.cpu.sampling = Sampling::Off;
            complain(state, NOT_HERE);
            Vec::new()
        }
        _ => Vec::new(),
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
            // One cause and one remedy; the view of the process has all of it.
            let mut lines = remedy.iter();
            let cause = lines.next().unwrap_or(&why);
            let helps = lines.clone().find(|line| line.starts_with("Try")).or_else(|| lines.next());
            let helps = helps.map(|line| format!(" {line}")).unwrap_or_default();
            complain(state, format!("CPU cannot be sampled: {cause}{helps}"));
            state.cpu = Cpu { sampling: Sampling::Failed { why, remedy }, turn, ..Cpu::default() };
            without_order(state);
        }
    }
    vec![Command::Compute]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::dashboard::query::{Query, View};
    use crate::dashboard::update::{Event, update};
    use crate::session::Picture;
    use crate::session::record::{CpuNs, CpuTimes};

    fn press(state: &mut AppState, c: char) -> Vec<Command> {
        update(state, Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)))
    }

    fn read(state: &mut AppState, program: ProgramId) -> Vec<Command> {
        let picture = Picture { program: Some(program), ..Picture::default() };
        update(state, Event::Picture(Arc::new(picture)))
    }

    fn watched(program: ProgramId) -> AppState {
        let mut state = AppState::new(Query::default(), Duration::from_millis(500), Source::Live);
        read(&mut state, program);
        state
    }

    fn times(program: ProgramId, samples: u64) -> CpuNews {
        CpuNews::Times(Arc::new(CpuTimes {
            program,
            runtimes: Vec::new(),
            covers: CpuNs { window: 10_000_000_000, total: 10_000_000_000 },
            tasks: Vec::new(),
            scheduler: CpuNs::default(),
            native: CpuNs::default(),
            unknown: CpuNs::default(),
            used_ns: None,
            own_ns: 0,
            rate_hz: 99,
            event: "cpu-clock",
            kernel: true,
            samples,
            lost: 0,
            threads_missed: 0,
            reduced: Vec::new(),
        }))
    }

    fn shown(state: &AppState) -> Option<u64> {
        state.cpu.shown.as_ref().map(|times| times.samples)
    }

    #[test]
    fn the_key_turns_it_on_and_off() {
        let program = ProgramId::made_up(7);
        let mut state = watched(program);
        assert_eq!(press(&mut state, 'c'), [Command::Sample(Some((1, program)))]);
        assert_eq!(state.cpu.sampling, Sampling::Starting);
        assert_eq!(update(&mut state, Event::Cpu(1, times(program, 5))), [Command::Compute]);
        assert_eq!((&state.cpu.sampling, shown(&state)), (&Sampling::On, Some(5)));
        state.ask(|query| (query.view, query.group_sort) = (View::Groups, GroupSort::Cpu));
        assert_eq!(press(&mut state, 'c'), [Command::Sample(None), Command::Compute]);
        assert_eq!((&state.cpu.sampling, shown(&state)), (&Sampling::Off, None));
        assert_eq!(state.query.group_sort, GroupSort::Count);
        // What the sampler said meanwhile comes too late.
        update(&mut state, Event::Cpu(1, times(program, 6)));
        assert_eq!((&state.cpu.sampling, shown(&state)), (&Sampling::Off, None));
        assert_eq!(press(&mut state, 'c'), [Command::Sample(Some((2, program)))]);
        update(&mut state, Event::Cpu(1, times(program, 7)));
        assert_eq!(shown(&state), None);
    }

    #[test]
    fn the_order_by_cpu_is_there_while_it_is_sampled() {
        let mut state = watched(ProgramId::made_up(7));
        state.ask(|query| query.view = View::Groups);
        let orders = |state: &mut AppState| {
            let mut names = Vec::new();
            while names.len() < 8 {
                press(state, 's');
                names.push(state.query.group_sort.name());
            }
            names
        };
        assert!(!orders(&mut state).contains(&"CPU"));
        press(&mut state, 'c');
        assert!(orders(&mut state).contains(&"CPU"));
        // The same for creators.
        press(&mut state, '4');
        press(&mut state, 's');
        assert_eq!(state.query.creator_sort, CreatorSort::Cpu);
        press(&mut state, 'c');
        assert_eq!(state.query.creator_sort, CreatorSort::Count);
        press(&mut state, 's');
        assert_eq!(state.query.creator_sort, CreatorSort::Count);
        assert!(state.message.as_ref().is_some_and(|message| message.error));
    }

    #[test]
    fn it_goes_on_with_the_next_program() {
        let (first, second) = (ProgramId::made_up(7), ProgramId::made_up(8));
        let mut state = watched(first);
        press(&mut state, 'c');
        update(&mut state, Event::Cpu(1, times(first, 5)));
        assert_eq!(read(&mut state, first), [Command::Compute]);
        update(&mut state, Event::Cpu(1, CpuNews::Over));
        assert_eq!(state.cpu.sampling, Sampling::Waiting);
        // The last reading of the first program may come later than its end.
        assert_eq!(read(&mut state, first), [Command::Compute]);
        assert_eq!(read(&mut state, second), [Command::Sample(Some((2, second))), Command::Compute]);
        assert_eq!((&state.cpu.sampling, shown(&state)), (&Sampling::Starting, None));
        // The reading may also notice it before the sampler.
        assert_eq!(read(&mut state, first), [Command::Sample(Some((3, first))), Command::Compute]);
        update(&mut state, Event::Cpu(2, CpuNews::Over));
        assert_eq!(state.cpu.sampling, Sampling::Starting);
    }

    #[test]
    fn a_frozen_screen_keeps_its_figures() {
        let program = ProgramId::made_up(7);
        let mut state = watched(program);
        press(&mut state, 'c');
        update(&mut state, Event::Cpu(1, times(program, 5)));
        press(&mut state, ' ');
        assert_eq!(update(&mut state, Event::Cpu(1, times(program, 6))), []);
        assert_eq!(shown(&state), Some(5));
        assert_eq!(read(&mut state, ProgramId::made_up(8)).len(), 1);
        assert_eq!(shown(&state), Some(5));
        press(&mut state, ' ');
        assert_eq!(shown(&state), None);
    }

    #[test]
    fn what_cannot_be_sampled_says_so() {
        let program = ProgramId::made_up(7);
        let mut state = watched(program);
        press(&mut state, 'c');
        let remedy = vec!["It is 4.".to_owned(), "Try: sudo loiter.".to_owned()];
        let news = CpuNews::Failed { why: "perf_event_open: EACCES".to_owned(), remedy };
        update(&mut state, Event::Cpu(1, news));
        assert!(matches!(state.cpu.sampling, Sampling::Failed { .. }));
        let said = state.message.as_ref().unwrap().text.clone();
        assert_eq!(said, "CPU cannot be sampled: It is 4. Try: sudo loiter.");
        // The next reading does not try again; the key does.
        assert_eq!(read(&mut state, ProgramId::made_up(8)), [Command::Compute]);
        assert_eq!(press(&mut state, 'c').len(), 1);

        for source in [Source::File, Source::Replay { at: 0, of: 2 }, Source::Ended("it ended".to_owned())] {
            let mut state = watched(program);
            state.source = source;
            assert_eq!(press(&mut state, 'c'), []);
            assert!(state.message.as_ref().is_some_and(|message| message.error));
            assert_eq!(state.cpu.sampling, Sampling::Off);
        }
        let mut state = AppState::new(Query::default(), Duration::from_millis(500), Source::Live);
        update(&mut state, Event::Picture(Arc::default()));
        assert_eq!(press(&mut state, 'c'), []);
        assert!(state.message.unwrap().text.contains("not over http"));
    }

    #[test]
    fn it_may_be_asked_for_before_the_first_reading() {
        let fresh = || AppState::new(Query::default(), Duration::from_millis(500), Source::Live);
        let program = ProgramId::made_up(7);
        let mut state = fresh();
        assert_eq!(press(&mut state, 'c'), [Command::Compute]);
        assert_eq!(state.cpu.sampling, Sampling::Starting);
        assert_eq!(read(&mut state, program), [Command::Sample(Some((1, program))), Command::Compute]);
        // It can be taken back.
        let mut state = fresh();
        press(&mut state, 'c');
        press(&mut state, 'c');
        assert_eq!(read(&mut state, program), [Command::Compute]);
        // Only then is it known that there is nothing to sample.
        let mut state = fresh();
        press(&mut state, 'c');
        assert_eq!(update(&mut state, Event::Picture(Arc::default())), [Command::Compute]);
        assert_eq!(state.cpu.sampling, Sampling::Off);
        assert!(state.message.unwrap().text.contains("not over http"));
    }
}
