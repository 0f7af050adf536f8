//! Groups and tasks in one line each.

use std::io;

use super::super::line::{DIM, HEAD, PLAIN, STATE, width};
use super::super::task_facts;
use super::super::units::{age, thousands};
use super::{Page, group, stack};
use crate::analysis::apart::apart;
use crate::analysis::frames::{creator_frame, shown_frames, user_frame};
use crate::analysis::group::Common;
use crate::analysis::{Group, ShownFrame};
use crate::report::escape;
use crate::snapshot::{LocationId, Task};

/// Wider states do not widen the column for all lines.
const WIDEST_STATE: usize = 24;

/// A line: the columns, and where they end.
pub(super) struct Short {
    head: String,
    state: String,
    age: String,
    /// The function, and what distinguishes it from others of the same name.
    name: String,
    place: String,
    columns: [usize; 3],
}

/// Lines of groups: "1,204  chan send  >= 41 min  fetch.fetchAll.func1  fetch.go:88".
pub(super) fn groups(page: &Page<'_>, groups: &[Group]) -> Vec<Short> {
    let lines = groups.iter().map(|group| {
        let at = user_frame(page.snapshot, page.owners, &group.frames);
        let title = group::title(page.snapshot, group);
        // The common property comes first, then properties of only some of the tasks.
        let (state, name) = match group.common {
            Common::Stack | Common::State(..) => (title, name(page, at, None)),
            _ => (group::state(page.snapshot, group), title),
        };
        let place = if group.common == Common::Stack { at } else { None };
        let creator = group.creators.only().flatten();
        let line = Short::new(page, thousands(group.count), state, name, place).aged(group::age(group));
        (line, features(page, &group.frames, at, creator))
    });
    distinguished(lines.collect())
}

/// Lines of tasks: "goroutine 18  chan send  3 min  fetch.fetchAll.func1  fetch.go:88".
pub(super) fn tasks(page: &Page<'_>, tasks: &[&Task]) -> Vec<Short> {
    let lines = tasks.iter().map(|task| {
        let shown = shown_frames(page.snapshot, page.snapshot.stack_of(task), page.options.all_frames);
        let at = user_frame(page.snapshot, page.owners, &shown);
        let state = task_facts::doing(page.snapshot, task).to_owned();
        let name = name(page, at, task.entry.map(|id| page.snapshot.function_name(id)));
        // A row for several equal tasks has no id.
        let head = if task.count() > 1 { thousands(task.count()) } else { task_facts::id(task) };
        Short::new(page, head, state, name, at).aged(age(task.age))
    });
    aligned(lines.collect())
}

/// The function of a line.
fn name(page: &Page<'_>, at: Option<ShownFrame>, entry: Option<&str>) -> String {
    let name = at.map(|at| stack::function_name(page, at.frame)).or(entry);
    name.filter(|name| !name.is_empty()).unwrap_or("(stack unknown)").to_owned()
}

/// What may distinguish a stack from others with the same function: callers, then callees, then the creator.
fn features(
    page: &Page<'_>,
    frames: &[ShownFrame],
    at: Option<ShownFrame>,
    creator: Option<LocationId>,
) -> Vec<String> {
    let user = frames.iter().position(|frame| Some(*frame) == at).unwrap_or(0);
    let (callees, callers) = frames.split_at(user);
    let function = |frame: &ShownFrame| stack::function_name(page, frame.frame);
    let below = callers.iter().map(|frame| format!(" in {}", function(frame)));
    let above = callees.iter().rev().map(|frame| format!(" at {}", function(frame)));
    let creator = creator.and_then(|id| creator_frame(page.snapshot, id));
    let creator = creator
        .map(|frame| format!(" < {} {}", stack::function_name(page, frame), stack::place(page, frame)));
    let places = callers.iter().chain(callees).map(|frame| format!(" {}", stack::place(page, frame.frame)));
    below.chain(above).chain(creator).chain(places).collect()
}

fn distinguished(lines: Vec<(Short, Vec<String>)>) -> Vec<Short> {
    let (mut lines, features): (Vec<Short>, Vec<Vec<String>>) = lines.into_iter().unzip();
    let called: Vec<_> = lines.iter().map(|line| (&line.state, &line.name, &line.place)).collect();
    let additions = apart(&called, |nth| features.get(nth).cloned().unwrap_or_default());
    for (line, addition) in lines.iter_mut().zip(additions) {
        line.name.push_str(&addition.unwrap_or_default());
    }
    aligned(lines)
}

/// Makes the columns as wide as all of them need.
fn aligned(mut lines: Vec<Short>) -> Vec<Short> {
    let widest = |of: &dyn Fn(&Short) -> &str, most: usize| {
        lines.iter().map(|line| width(&escape(of(line))).min(most)).max().unwrap_or(0)
    };
    let head = widest(&|line| &line.head, usize::MAX).max(6);
    let state = head + 2 + widest(&|line| &line.state, WIDEST_STATE);
    let age = state + 2 + widest(&|line| &line.age, usize::MAX);
    lines.iter_mut().for_each(|line| line.columns = [head, state, age]);
    lines
}

impl Short {
    fn new(page: &Page<'_>, head: String, state: String, name: String, at: Option<ShownFrame>) -> Self {
        let place = at.map(|at| stack::place(page, at.frame)).unwrap_or_default();
        Short { head, state, age: String::new(), name, place, columns: [0; 3] }
    }

    fn aged(mut self, age: String) -> Self {
        self.age = age;
        self
    }

    /// Writes the line; on a terminal only as much as fits.
    pub(super) fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let [head, state, age] = self.columns;
        let mut line = page.line();
        line.right(HEAD, &self.head, head).pad(head + 2, 2).push(STATE, &self.state);
        line.pad(state + 2, 2).push(PLAIN, &self.age).pad(age + 2, 2);
        let room = page.options.width.saturating_sub(line.width());
        let name = escape(&self.name);
        if page.options.cut && width(&name) > room {
            // The end of a name says more than its beginning.
            let mut end = name.len();
            let starts = name.char_indices().rev().map(|(at, _)| at);
            for at in starts.take_while(|&at| width(name.get(at..).unwrap_or_default()) < room) {
                end = at;
            }
            let end = name.get(end..).unwrap_or_default();
            line.push(PLAIN, &format!("…{end}"));
            return line.write(page.out);
        }
        line.push(PLAIN, &self.name);
        let place = width(&escape(&self.place)) + 2;
        if !self.place.is_empty() && (!page.options.cut || line.width() + place <= page.options.width) {
            line.push(PLAIN, "  ").push(DIM, &self.place);
        }
        line.write(page.out)
    }
}
