//! Events, and how they change the state. No drawing, no input or output: actions for the outside are returned
//! as commands.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use super::copy;
use super::filter_query::Wanted;
use super::keys::{self, Action};
use super::layout::{areas, tabs};
use super::query::{CreatorSort, GroupSort, Mark, TaskKey, TaskSort, View, Within, next};
use super::state::{AppState, Input, List, Message, Pane, Prompt, Source};
use super::tables::{GroupRow, Tables};
use crate::session::record::CpuNews;
use crate::session::{Picture, ProgramId};

mod chain;
mod cpu;
mod frames;
mod mouse;
mod prompt;

pub use chain::ChainNews;
pub(super) use prompt::edit;

/// An event.
#[derive(Debug, Clone)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse was moved, clicked or turned.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal now has this many columns and lines.
    Resize(u16, u16),
    /// A reading.
    Picture(Arc<Picture>),
    /// What the views show has been worked out.
    Tables(Arc<Tables>),
    /// The status of reading.
    Source(Source),
    /// This much time has passed since the last reading arrived.
    Quiet(Duration),
    /// The sampler of this number says something.
    Cpu(u32, CpuNews),
    /// The search of this number for why tasks wait says something.
    Chain(u32, ChainNews),
    /// A file was written, or not.
    Wrote(Result<String, String>),
}

/// An action to be carried out outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Leave.
    Quit,
    /// Stop until the shell continues it.
    Suspend,
    /// Redraw the screen.
    Redraw,
    /// Compute what the views show.
    Compute,
    /// Read at this interval from now on.
    Interval(Duration),
    /// Show another reading of a replay: this many forward, or back.
    Seek(i64),
    /// Sample the CPU time of this program, by a sampler of this number; or sample nothing.
    Sample(Option<(u32, ProgramId)>),
    /// Look for the answer to the question of the chain that is shown, by a search of this number; or give it up.
    Follow(Option<u32>),
    /// Write a file.
    Write(What),
    /// Hand this text to the terminal's clipboard.
    Copy(String),
}

/// What is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The snapshot that is shown.
    Snapshot,
    /// The groups as text, as they are filtered, grouped and sorted.
    Report,
    /// The flame graph, as it is filtered.
    Flame,
}

/// The intervals at which a target can be read, the shortest first.
const INTERVALS: [u64; 9] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// Changes the state; returns what is to be done.
pub fn update(state: &mut AppState, event: Event) -> Vec<Command> {
    match event {
        Event::Key(key) => on_key(state, key),
        Event::Mouse(mouse) => mouse::on_mouse(state, mouse),
        Event::Paste(text) => prompt::paste(state, &text),
        Event::Resize(width, height) => {
            state.size = (width, height);
            keep_in_sight(state);
            Vec::new()
        }
        Event::Picture(picture) => {
            state.latest = Some(Arc::clone(&picture));
            state.quiet = Duration::ZERO;
            let mut commands = cpu::follow(state);
            if state.frozen && state.picture.is_some() {
                return commands;
            }
            state.picture = Some(picture);
            commands.push(Command::Compute);
            commands
        }
        Event::Tables(tables) => {
            take_tables(state, tables);
            Vec::new()
        }
        Event::Source(source) => {
            state.source = source;
            Vec::new()
        }
        Event::Quiet(quiet) => {
            state.quiet = quiet;
            Vec::new()
        }
        Event::Cpu(turn, news) => cpu::hear(state, turn, news),
        Event::Chain(turn, news) => {
            chain::hear(state, turn, news);
            keep_in_sight(state);
            Vec::new()
        }
        Event::Wrote(outcome) => {
            match outcome {
                Ok(text) => tell(state, text),
                Err(text) => complain(state, text),
            }
            Vec::new()
        }
    }
}

fn tell(state: &mut AppState, text: impl Into<String>) {
    state.message = Some(Message { text: text.into(), error: false });
}

fn complain(state: &mut AppState, text: impl Into<String>) {
    state.message = Some(Message { text: text.into(), error: true });
}

/// Takes new tables; the selection stays on the same row, even if that moved.
fn take_tables(state: &mut AppState, tables: Arc<Tables>) {
    let group = state.tables.groups.rows.get(state.cursors.groups.at).map(|row| row.key);
    let task = state.task_at(state.cursors.tasks.at);
    let branch = state.branches().get(state.cursors.creators.at).copied();
    let branch = branch.and_then(|at| state.tables.creators.nodes.get(at)).map(|node| node.key);
    state.tables = tables;
    let moved = |from: usize, to: Option<usize>| to.unwrap_or(from);
    // The first line shows the largest group: the selection stays there.
    if let Some(key) = group.filter(|_| state.cursors.groups.at > 0) {
        let found = state.tables.groups.rows.iter().position(|row| row.key == key);
        state.cursors.groups.at = moved(state.cursors.groups.at, found);
    }
    if let Some(key) = task.filter(|_| state.cursors.tasks.at > 0) {
        let index = key.find(&state.tables.picture);
        let found = index.and_then(|index| state.tables.tasks.order.iter().position(|&task| task == index));
        state.cursors.tasks.at = moved(state.cursors.tasks.at, found);
    }
    if let Some(key) = branch.filter(|_| state.cursors.creators.at > 0) {
        let is = |&at: &usize| state.tables.creators.nodes.get(at).is_some_and(|node| node.key == key);
        let found = state.branches().iter().position(is);
        state.cursors.creators.at = moved(state.cursors.creators.at, found);
    }
    keep_in_sight(state);
}

/// Scrolls all lists so that the selection is visible.
fn keep_in_sight(state: &mut AppState) {
    if let Some(list) = state.list() {
        let (len, height) = (state.len(list), usize::from(areas(state).rows.height));
        let cursor = state.cursor(list);
        cursor.go(cursor.at, len, height);
    }
}

fn on_key(state: &mut AppState, key: KeyEvent) -> Vec<Command> {
    if state.prompt.is_some() {
        return prompt::on_key(state, key);
    }
    state.message = None;
    let Some(action) = keys::lookup(key) else { return Vec::new() };
    if state.help.is_some() {
        return on_help(state, action);
    }
    act(state, action, key)
}

/// Handles a key while the help is shown.
fn on_help(state: &mut AppState, action: Action) -> Vec<Command> {
    let line = state.help.unwrap_or(0);
    // Scrolling stops at the last useful line.
    let last = keys::BINDINGS.len();
    state.help = match action {
        Action::Up => Some(line.saturating_sub(1)),
        Action::Down => Some((line + 1).min(last)),
        Action::PageUp | Action::Top => Some(0),
        Action::PageDown | Action::Bottom => Some((line + 10).min(last)),
        _ => None,
    };
    match action {
        Action::Quit => vec![Command::Quit],
        Action::Suspend => vec![Command::Suspend],
        Action::Redraw => vec![Command::Redraw],
        _ => Vec::new(),
    }
}

fn act(state: &mut AppState, action: Action, key: KeyEvent) -> Vec<Command> {
    match action {
        Action::Quit => return vec![Command::Quit],
        Action::Suspend => return vec![Command::Suspend],
        Action::Redraw => return vec![Command::Redraw],
        Action::Help => state.help = Some(0),
        Action::Back => return back(state),
        Action::NextView => return go(state, next(&View::ALL, state.query.view)),
        Action::PreviousView => {
            let all = View::ALL.len();
            let at = (state.query.view.position() + all - 1) % all;
            return View::ALL.get(at).map_or(Vec::new(), |&view| go(state, view));
        }
        Action::View => {
            let digit = key.code.as_char().and_then(|c| c.to_digit(10)).unwrap_or(0) as usize;
            let view = digit.checked_sub(1).and_then(|at| View::ALL.get(at));
            return view.map_or(Vec::new(), |&view| go(state, view));
        }
        Action::Up | Action::Down | Action::Left | Action::Right | Action::Enter
            if state.query.view == View::Flame =>
        {
            return frames::walk(state, action);
        }
        Action::Up => step(state, -1),
        Action::Down => step(state, 1),
        Action::PageUp => step(state, -page(state)),
        Action::PageDown => step(state, page(state)),
        Action::Top => step(state, i64::MIN),
        Action::Bottom => step(state, i64::MAX),
        Action::Left => return left(state),
        Action::Right | Action::Enter => return open(state),
        Action::Filter => state.prompt = Some(Prompt::Filter(Input::new(&state.query.wanted.text))),
        Action::GroupBy => return prompt::ask_key(state),
        Action::Sort => return sort(state),
        Action::Reverse => return reverse(state),
        Action::System => {
            state.ask(|query| query.system = !query.system);
            return vec![Command::Compute];
        }
        Action::Pane => {
            state.pane = next(&[Pane::Small, Pane::Half, Pane::Large], state.pane);
            keep_in_sight(state);
        }
        Action::Freeze => return freeze(state),
        Action::Cpu => return cpu::toggle(state),
        Action::Copy => return copy(state),
        Action::Why => return chain::ask(state),
        Action::Mark => return mark(state),
        Action::Unmark => {
            state.ask(|query| query.mark = None);
            tell(state, "mark forgotten");
            return vec![Command::Compute];
        }
        Action::Write if state.picture.is_some() => state.prompt = Some(Prompt::Write),
        Action::Write => complain(state, "nothing has been read yet"),
        Action::Slower => return interval(state, true),
        Action::Faster => return interval(state, false),
        Action::Earlier => return seek(state, -1),
        Action::Later => return seek(state, 1),
        Action::MuchEarlier => return seek(state, -10),
        Action::MuchLater => return seek(state, 10),
    }
    Vec::new()
}

fn go(state: &mut AppState, view: View) -> Vec<Command> {
    // From another view the key leads to all tasks, not to those shown last.
    if view != state.query.view {
        state.ask(|query| query.view = view);
    }
    keep_in_sight(state);
    vec![Command::Compute]
}

/// A screen of the list, minus one line.
fn page(state: &AppState) -> i64 {
    i64::from(areas(state).rows.height).saturating_sub(1).max(1)
}

/// Moves in the current list.
fn step(state: &mut AppState, lines: i64) {
    let Some(list) = state.list() else { return };
    let (len, height) = (state.len(list), usize::from(areas(state).rows.height));
    let cursor = state.cursor(list);
    let by = usize::try_from(lines.unsigned_abs()).unwrap_or(usize::MAX);
    let at = if lines < 0 { cursor.at.saturating_sub(by) } else { cursor.at.saturating_add(by) };
    cursor.go(at, len, height);
}

/// Opens what is selected.
fn open(state: &mut AppState) -> Vec<Command> {
    match state.list() {
        None | Some(List::Scheduler) => Vec::new(),
        Some(List::Groups) => {
            let row = state.tables.groups.rows.get(state.cursors.groups.at);
            let Some(within) = row.filter(|row| row.count() > 0).map(within) else { return Vec::new() };
            state.cursors.tasks = Default::default();
            state.visited.clear();
            let mut commands = chain::leave(state);
            state.ask(|query| (query.view, query.within, query.task) = (View::Tasks, Some(within), None));
            commands.push(Command::Compute);
            commands
        }
        Some(List::Tasks) => match state.task_at(state.cursors.tasks.at) {
            Some(key) => look_at(state, key),
            None => Vec::new(),
        },
        Some(List::Closeup) => {
            let Some(lead) = state.lead() else { return Vec::new() };
            state.place().into_iter().for_each(|place| chain::remember(state, place));
            look_at(state, lead.to)
        }
        Some(List::Chain) => chain::open(state),
        Some(List::Creators) => {
            fold(state, None);
            Vec::new()
        }
        Some(List::Findings) => {
            let Some(key) = sample(state) else { return Vec::new() };
            state.ask(|query| (query.view, query.within) = (View::Tasks, None));
            let mut commands = chain::leave(state);
            commands.extend(look_at(state, key));
            commands
        }
    }
}

fn within(row: &GroupRow) -> Within {
    let name = if row.state.is_empty() || row.state == row.name {
        row.name.clone()
    } else {
        format!("{}, {}", row.name, row.state)
    };
    Within { key: row.key, name }
}

/// A task of the selected finding.
fn sample(state: &AppState) -> Option<TaskKey> {
    let finding = state.findings()?.findings.get(state.cursors.findings.at)?;
    let (sample, picture) = (finding.samples.first()?, state.picture.as_ref()?);
    let is = |task: &crate::snapshot::Task| task.id == sample.id && task.address == sample.address;
    let index = picture.snapshot.tasks.iter().position(is)?;
    TaskKey::of(picture, index as u32)
}

fn look_at(state: &mut AppState, key: TaskKey) -> Vec<Command> {
    state.cursors.closeup = Default::default();
    state.ask(|query| query.task = Some(key));
    vec![Command::Compute]
}

/// Folds or unfolds the selected branch; `to`: open or closed, or else toggle. Returns whether it changed.
fn fold(state: &mut AppState, to: Option<bool>) -> bool {
    let at = state.branches().get(state.cursors.creators.at).copied();
    let Some((at, node)) = at.and_then(|at| Some((at, state.tables.creators.nodes.get(at)?))) else {
        return false;
    };
    let (open, key) = (state.is_open(node), node.key);
    if node.is_leaf(at) || to == Some(open) {
        return false;
    }
    if !state.folded.remove(&key) {
        state.folded.insert(key);
    }
    keep_in_sight(state);
    true
}

fn left(state: &mut AppState) -> Vec<Command> {
    if state.query.view != View::Creators {
        return if matches!(state.list(), Some(List::Tasks | List::Closeup | List::Chain)) {
            back(state)
        } else {
            Vec::new()
        };
    }
    if fold(state, Some(false)) {
        return Vec::new();
    }
    // Moves to the parent branch.
    let branches = state.branches();
    let depth = |line: usize| {
        branches.get(line).and_then(|&at| state.tables.creators.nodes.get(at)).map_or(0, |node| node.depth)
    };
    let at = state.cursors.creators.at;
    let parent = (0..at).rev().find(|&line| depth(line) < depth(at));
    if let Some(parent) = parent {
        state.cursors.creators.at = parent;
        keep_in_sight(state);
    }
    Vec::new()
}

/// Closes what was opened last, or drops the filter.
fn back(state: &mut AppState) -> Vec<Command> {
    if state.query.view == View::Flame && state.frame.zoom > 0 {
        state.frame.zoom = 0;
        return Vec::new();
    }
    if matches!(state.list(), Some(List::Closeup | List::Chain)) {
        return chain::back(state);
    }
    if state.query.view == View::Tasks && state.query.within.is_some() {
        state.ask(|query| (query.view, query.within) = (View::Groups, None));
        return vec![Command::Compute];
    }
    if !state.query.wanted.is_empty() {
        state.ask(|query| query.wanted = Arc::new(Wanted::default()));
        return vec![Command::Compute];
    }
    Vec::new()
}

fn sort(state: &mut AppState) -> Vec<Command> {
    let view = state.query.view;
    let cpu = state.cpu.is_on();
    match view {
        View::Groups => {
            let all: Vec<_> = GroupSort::ALL.into_iter().filter(|&by| cpu || by != GroupSort::Cpu).collect();
            state.ask(|query| query.group_sort = next(&all, query.group_sort));
        }
        View::Tasks => {
            let all: Vec<_> = TaskSort::ALL.into_iter().filter(|&by| cpu || by != TaskSort::Cpu).collect();
            state.ask(|query| query.task_sort = next(&all, query.task_sort));
        }
        View::Creators if cpu => {
            let all = [CreatorSort::Count, CreatorSort::Cpu];
            state.ask(|query| query.creator_sort = next(&all, query.creator_sort));
        }
        View::Creators => {
            complain(state, "creators are sorted by the number of tasks; by CPU, too, while c samples it");
            return Vec::new();
        }
        View::Flame => {
            use crate::analysis::flame::Weight::{Bytes, Seconds, Tasks};
            state.ask(|query| query.flame.weight = next(&[Tasks, Seconds, Bytes], query.flame.weight));
        }
        _ => {
            complain(state, "this view has no order to change");
            return Vec::new();
        }
    }
    vec![Command::Compute]
}

fn reverse(state: &mut AppState) -> Vec<Command> {
    match state.query.view {
        View::Groups | View::Tasks => state.ask(|query| query.reverse = !query.reverse),
        View::Flame => state.ask(|query| query.flame.reverse = !query.flame.reverse),
        _ => return Vec::new(),
    }
    vec![Command::Compute]
}

fn freeze(state: &mut AppState) -> Vec<Command> {
    state.frozen = !state.frozen;
    if state.frozen {
        return Vec::new();
    }
    state.picture.clone_from(&state.latest);
    state.cpu.shown.clone_from(&state.cpu.latest);
    vec![Command::Compute]
}

fn copy(state: &mut AppState) -> Vec<Command> {
    let Some(copied) = copy::selected(state) else {
        complain(state, "nothing selected to copy");
        return Vec::new();
    };
    tell(state, copied.message());
    vec![Command::Copy(copied.text)]
}

fn mark(state: &mut AppState) -> Vec<Command> {
    let Some(picture) = &state.picture else {
        complain(state, "nothing has been read yet");
        return Vec::new();
    };
    let elapsed_ns = picture.point().and_then(|point| point.elapsed_ns);
    let mark = Mark { snapshot: Arc::clone(&picture.snapshot), elapsed_ns };
    state.ask(|query| query.mark = Some(mark));
    tell(state, "marked: showing changes from now on (M forgets the mark)");
    vec![Command::Compute]
}

fn interval(state: &mut AppState, longer: bool) -> Vec<Command> {
    if !matches!(state.source, Source::Live | Source::Waiting | Source::Trouble(_)) {
        complain(state, "only a live source can be read more or less often");
        return Vec::new();
    }
    let now = u64::try_from(state.interval.as_millis()).unwrap_or(u64::MAX);
    let other = if longer {
        INTERVALS.into_iter().find(|&ms| ms > now)
    } else {
        INTERVALS.into_iter().rev().find(|&ms| ms < now)
    };
    let Some(ms) = other else { return Vec::new() };
    state.interval = Duration::from_millis(ms);
    vec![Command::Interval(state.interval)]
}

fn seek(state: &mut AppState, by: i64) -> Vec<Command> {
    if matches!(state.source, Source::Replay { .. }) {
        return vec![Command::Seek(by)];
    }
    complain(state, "these keys move through a recording (loiter watch DIRECTORY)");
    Vec::new()
}

/// The view whose tab is at a column.
fn tab_at(state: &AppState, column: u16) -> Option<View> {
    let tabs = tabs(state);
    tabs.iter()
        .find(|(x, label, _)| (*x..*x + label.len() as u16).contains(&column))
        .map(|&(_, _, view)| view)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
