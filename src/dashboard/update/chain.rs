//! Why tasks wait: asking, hearing the answer, and walking along it.

use std::sync::Arc;

use super::{Command, complain, look_at};
use crate::dashboard::chain::{Answer, ChainView, Goal, Question, Stage};
use crate::dashboard::query::{TaskKey, View};
use crate::dashboard::state::{AppState, List, Place, Source};
use crate::report::task_facts;
use crate::report::text::task_noun;
use crate::report::units::count;
use crate::session::Picture;

/// At most this many places are kept to go back to.
const PLACES: usize = 100;
/// At most this many chains among them: each may hold the readings of several processes.
const CHAINS: usize = 4;

/// What a search says.
#[derive(Debug, Clone)]
pub enum ChainNews {
    /// What it does at the moment.
    Step(String),
    /// It has found the answer.
    Found(Arc<Answer>),
    /// There is no answer: why.
    Failed(String),
}

/// Asks why the selected task waits, or the tasks of the selected group.
pub(super) fn ask(state: &mut AppState) -> Vec<Command> {
    if let Some(chain) = state.chain_shown() {
        return match &chain.question {
            _ if chain.is_looking() => Vec::new(),
            Question::Tasks { picture, rows, .. } => {
                let (picture, rows) = (Arc::clone(picture), rows.clone());
                state.chain = None;
                begin(state, question(state, picture, rows))
            }
            Question::Onward { .. } => {
                complain(state, "w looks again from the chain where the search began: Esc leads there");
                Vec::new()
            }
        };
    }
    match selected(state) {
        Some((picture, rows)) => {
            let asked = question(state, picture, rows);
            let here = state.place();
            let mut commands = leave(state);
            if state.query.view != View::Tasks {
                state.visited.clear();
            }
            here.into_iter().for_each(|place| remember(state, place));
            commands.extend(begin(state, asked));
            commands
        }
        None => {
            complain(state, "w says why a task waits: select one in view 3, or a group in view 2");
            Vec::new()
        }
    }
}

/// The tasks that are asked about: the selected one, or those of the selected group or finding.
fn selected(state: &AppState) -> Option<(Arc<Picture>, Vec<u32>)> {
    let tables = &state.tables;
    let of_picture =
        |rows: Vec<u32>| Some((Arc::clone(&tables.picture), rows)).filter(|(_, rows)| !rows.is_empty());
    match state.list()? {
        List::Tasks => of_picture(vec![*tables.tasks.order.get(state.cursors.tasks.at)?]),
        List::Groups => of_picture(tables.groups.rows.get(state.cursors.groups.at)?.group.tasks.clone()),
        List::Closeup => tables.closeup.as_ref().map(|closeup| (Arc::clone(&closeup.of), vec![closeup.task])),
        List::Findings => {
            let picture = state.picture.as_ref()?;
            let row = super::sample(state)?.find(picture)?;
            Some((Arc::clone(picture), vec![row]))
        }
        List::Creators | List::Scheduler | List::Chain => None,
    }
}

/// A question about tasks of a reading. If their program still runs, it is read again for it.
fn question(state: &AppState, picture: Arc<Picture>, rows: Vec<u32>) -> ChainView {
    let snapshot = &picture.snapshot;
    let name = match rows.as_slice() {
        &[row] => snapshot.tasks.get(row as usize).map(|task| task_facts::name(snapshot, task)),
        _ => None,
    };
    let name = name.unwrap_or_else(|| count(snapshot.count_of(&rows), task_noun(snapshot)));
    let is_read = matches!(state.source, Source::Live | Source::Trouble(_) | Source::Waiting);
    let latest = state.latest.as_ref().and_then(|latest| latest.program);
    let live = picture.program.filter(|program| is_read && latest == Some(*program));
    ChainView::new(name, Question::Tasks { picture, rows, live })
}

fn begin(state: &mut AppState, chain: ChainView) -> Vec<Command> {
    state.chain = Some(chain);
    state.chain_turn = state.chain_turn.wrapping_add(1);
    state.ask(|query| query.view = View::Tasks);
    vec![Command::Follow(Some(state.chain_turn)), Command::Compute]
}

/// A search says something.
pub(super) fn hear(state: &mut AppState, turn: u32, news: ChainNews) {
    let is_current = turn == state.chain_turn;
    if let Some(chain) = state.chain.as_mut().filter(|chain| is_current && chain.is_looking()) {
        chain.stage = match news {
            ChainNews::Step(step) => Stage::Looking(step),
            ChainNews::Found(answer) => Stage::Found(answer),
            ChainNews::Failed(why) => Stage::Failed(why),
        };
    }
}

/// Goes to the task that the selected line names, or the next one below.
pub(super) fn open(state: &mut AppState) -> Vec<Command> {
    let columns = state.size.0.into();
    let Some(chain) = &state.chain else { return Vec::new() };
    let Some(link) = chain.link(columns) else { return Vec::new() };
    let Stage::Found(answer) = &chain.stage else { return Vec::new() };
    let answer = Arc::clone(answer);
    let Some(here) = state.chain.take() else { return Vec::new() };
    remember(state, Place::Chain(Box::new(here)));
    match link.to {
        Goal::Task(key) => look_at(state, key),
        Goal::Chain { process, row } => {
            begin(state, ChainView::new(link.name, Question::Onward { answer, process, row }))
        }
    }
}

/// Closes the chain that is shown. A search that goes on is given up.
pub(super) fn leave(state: &mut AppState) -> Vec<Command> {
    match state.chain.take() {
        Some(chain) if chain.is_looking() => vec![Command::Follow(None)],
        _ => Vec::new(),
    }
}

/// Goes back to where the shown task or chain was reached from.
pub(super) fn back(state: &mut AppState) -> Vec<Command> {
    let mut commands = leave(state);
    state.cursors.closeup = Default::default();
    let task: Option<TaskKey> = match state.visited.pop() {
        Some(Place::Task(key)) => Some(key),
        Some(Place::Chain(chain)) => {
            state.chain = Some(*chain);
            None
        }
        Some(Place::View(view)) => {
            state.ask(|query| query.view = view);
            None
        }
        None => None,
    };
    state.ask(|query| query.task = task);
    commands.push(Command::Compute);
    commands
}

/// Keeps a place to go back to. Of too many, the oldest are dropped.
pub(super) fn remember(state: &mut AppState, place: Place) {
    state.visited.push(place);
    let chains = |places: &[Place]| places.iter().filter(|place| matches!(place, Place::Chain(_))).count();
    while state.visited.len() > PLACES || chains(&state.visited) > CHAINS {
        state.visited.remove(0);
    }
}
