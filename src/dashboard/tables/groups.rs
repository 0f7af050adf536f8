//! The groups, and how they changed.

use std::cmp::Reverse;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::memory::{Changed, Memory, difference};
use super::{CpuTable, Picture};
use crate::analysis::apart::apart;
use crate::analysis::filter::Selection;
use crate::analysis::frames::{creator_frame, frame_name, user_frame};
use crate::analysis::group::{Common, Grouped, group_selected};
use crate::analysis::modules::Owners;
use crate::analysis::{Group, GroupKey, SortBy};
use crate::dashboard::query::{GroupSort, Query};
use crate::report::text::{group_state, group_title};
use crate::session::record::CpuNs;
use crate::snapshot::{Age, Frame, Snapshot};

/// At most this many groups are computed; the total is reported.
pub const MAX_GROUPS: usize = 10_000;

/// The groups of a picture.
#[derive(Debug, Clone, Default)]
pub struct GroupTable {
    /// In the requested order.
    pub rows: Vec<GroupRow>,
    /// How many groups there are, including those without a row.
    pub total: u64,
    /// Changes cover this much time, nanoseconds. None: there is nothing to compare with yet.
    pub window_ns: Option<u64>,
}

/// A group.
#[derive(Debug, Clone)]
pub struct GroupRow {
    /// The same in every picture.
    pub key: u64,
    /// The group. It has no tasks if all have gone since the mark; then its other fields are those of the
    /// marked snapshot, and their ids mean nothing.
    pub group: Group,
    /// The change of the number of tasks since then. None: nothing to compare with.
    pub change: Option<i64>,
    /// Growth a minute.
    pub per_minute: Option<f64>,
    /// The longest time that any of its tasks has been in its state.
    pub oldest: Age,
    /// CPU time of its tasks. None if it is not sampled, or cannot be known.
    pub cpu: Option<CpuNs>,
    /// The share of their time in which its tasks are running or ready to run, part of 1. None if it is not asked
    /// for, or not known yet.
    pub active: Option<f64>,
    /// Why they wait, or what they do. Raw from the target, like the other texts.
    pub state: String,
    /// Its name: for equal stacks the function that the user looks for, else what its tasks share.
    pub name: String,
    /// The innermost function, if all tasks are at one place.
    pub at: String,
    /// File and line of the place that created them, if there is only one.
    pub creator: String,
}

impl GroupRow {
    /// How many tasks it has.
    pub fn count(&self) -> u64 {
        self.group.count
    }
}

/// Computes the groups of the selected tasks.
pub(super) fn table(
    picture: &Picture,
    query: &Query,
    selection: &Selection,
    cpu: Option<&CpuTable>,
    memory: &mut Memory,
) -> GroupTable {
    let snapshot = &*picture.snapshot;
    let grouped = grouped(snapshot, query, selection);
    let total = grouped.total_groups;
    let one = |group| row(snapshot, &picture.owners, picture.oldest(&group), group);
    let mut rows: Vec<GroupRow> = grouped.groups.into_iter().map(one).collect();
    tell_apart(picture, &mut rows);
    let of = (query.key.clone(), query.wanted.text.clone(), query.system, picture.life);
    let elapsed = picture.point().and_then(|point| point.elapsed_ns);
    memory.add(of, picture.number, elapsed, rows.iter().map(|row| (row.key, row.count())));
    let window = memory.until(picture.number);
    for row in &mut rows {
        row.cpu = cpu.and_then(|cpu| cpu.sum(picture, &row.group.tasks));
        if query.group_sort == GroupSort::Active {
            row.active = picture.active(&row.group.tasks);
        }
        let Changed { change, per_minute } = window.changed(row.key);
        (row.change, row.per_minute) = (change, per_minute);
    }
    let mut window_ns = window.span_ns();
    if let Some(mark) = &query.mark {
        compare(&mut rows, &mark.snapshot, query);
        window_ns = elapsed.zip(mark.elapsed_ns).map(|(now, then)| now.abs_diff(then));
    }
    sort(&mut rows, query);
    GroupTable { rows, total, window_ns }
}

fn grouped(snapshot: &Snapshot, query: &Query, selection: &Selection) -> Grouped {
    let by = match query.group_sort {
        GroupSort::Count | GroupSort::Change | GroupSort::Rate => SortBy::Count,
        GroupSort::Cpu | GroupSort::Active => SortBy::Count,
        GroupSort::Age => SortBy::Age,
        GroupSort::Name => SortBy::Name,
    };
    group_selected(snapshot, selection, false, &query.key, by, Some(MAX_GROUPS))
}

fn row(snapshot: &Snapshot, owners: &Owners, oldest: Age, group: Group) -> GroupRow {
    let function =
        |frame: Option<Frame>| frame.map(|f| frame_name(snapshot, f).into_owned()).unwrap_or_default();
    let name = match group.common {
        Common::Stack => function(user_frame(snapshot, owners, &group.frames).map(|f| f.frame)),
        _ => group_title(snapshot, &group),
    };
    let creator = group.creators.only().flatten().and_then(|id| creator_frame(snapshot, id));
    GroupRow {
        key: key(snapshot, &group),
        change: None,
        per_minute: None,
        oldest,
        cpu: None,
        active: None,
        state: group_state(snapshot, &group),
        at: function(group.frames.first().map(|f| f.frame)),
        name: if name.is_empty() { "(stack unknown)".to_owned() } else { name },
        creator: creator.map(|frame| place(snapshot, frame)).unwrap_or_default(),
        group,
    }
}

/// Appends to equal names what distinguishes the groups: a caller, a callee, or a place.
fn tell_apart(picture: &Picture, rows: &mut [GroupRow]) {
    let snapshot = &*picture.snapshot;
    let names: Vec<_> = rows.iter().map(|row| (&row.name, &row.state, &row.creator)).collect();
    let told = apart(&names, |nth| {
        let frames = rows.get(nth).map_or(&[][..], |row| &row.group.frames);
        let user = user_frame(snapshot, &picture.owners, frames);
        let at = frames.iter().position(|frame| Some(*frame) == user).unwrap_or(0);
        let (callees, callers) = frames.split_at(at);
        let below = callers.iter().map(|shown| format!(" in {}", frame_name(snapshot, shown.frame)));
        let above = callees.iter().rev().map(|shown| format!(" at {}", frame_name(snapshot, shown.frame)));
        let places = callers.iter().chain(callees).map(|shown| format!(" {}", place(snapshot, shown.frame)));
        below.chain(above).chain(places).collect()
    });
    for (row, told) in rows.iter_mut().zip(told) {
        row.name.push_str(&told.unwrap_or_default());
    }
}

/// "fetch.go:84".
fn place(snapshot: &Snapshot, frame: Frame) -> String {
    let path = snapshot.str(frame.file);
    let file = path.rsplit('/').next().unwrap_or(path);
    match (file, frame.line) {
        ("", _) => frame_name(snapshot, frame).into_owned(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    }
}

/// A key that is equal for the same group of another snapshot: made of text.
fn key(snapshot: &Snapshot, group: &Group) -> u64 {
    let mut hasher = FxHasher::default();
    std::mem::discriminant(&group.common).hash(&mut hasher);
    match &group.common {
        Common::Stack => {
            for shown in &group.frames {
                frame_name(snapshot, shown.frame).hash(&mut hasher);
                (snapshot.str(shown.frame.file), shown.frame.line).hash(&mut hasher);
            }
            group_state(snapshot, group).hash(&mut hasher);
            let creator = group.creators.only().flatten().and_then(|id| creator_frame(snapshot, id));
            creator.map(|frame| (frame_name(snapshot, frame), frame.line)).hash(&mut hasher);
        }
        Common::Creator(id) => {
            let frame = id.and_then(|id| creator_frame(snapshot, id));
            frame.map(|f| (frame_name(snapshot, f), snapshot.str(f.file), f.line)).hash(&mut hasher);
        }
        Common::WaitsOn(objects) => {
            for object in objects.iter().filter_map(|id| snapshot.objects.get(id.index())) {
                (object.kind, object.address).hash(&mut hasher);
            }
        }
        Common::Function(_) | Common::State(..) | Common::Label(_) => {
            group_title(snapshot, group).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Sets changes relative to a snapshot; adds the groups that have gone since.
fn compare(rows: &mut Vec<GroupRow>, then: &Snapshot, query: &Query) {
    let selection = query.wanted.select(then, query.system);
    let before = grouped(then, query, &selection).groups;
    let mut before: FxHashMap<u64, Group> =
        before.into_iter().map(|group| (key(then, &group), group)).collect();
    for row in &mut *rows {
        let count = before.remove(&row.key).map_or(0, |group| group.count);
        row.change = Some(difference(row.count(), count));
    }
    let owners = Owners::new(then);
    for group in before.into_values() {
        let count = group.count;
        let mut gone = row(then, &owners, Age::Unknown, group);
        gone.group.tasks.clear();
        gone.group.count = 0;
        gone.change = Some(difference(0, count));
        rows.push(gone);
    }
}

fn sort(rows: &mut [GroupRow], query: &Query) {
    let nanos = |row: &GroupRow| row.oldest.nanos();
    match query.group_sort {
        GroupSort::Count => rows.sort_by_key(|row| (Reverse(row.count()), Reverse(nanos(row)), row.key)),
        GroupSort::Change => rows.sort_by_key(|row| (Reverse(row.change), Reverse(row.count()), row.key)),
        GroupSort::Rate => rows.sort_by(|a, b| {
            let rate = |row: &GroupRow| row.per_minute.unwrap_or(f64::NEG_INFINITY);
            rate(b).total_cmp(&rate(a)).then(b.count().cmp(&a.count())).then(a.key.cmp(&b.key))
        }),
        GroupSort::Cpu => {
            rows.sort_by_key(|row| (Reverse(row.cpu.map(|cpu| cpu.window)), Reverse(row.count()), row.key))
        }
        GroupSort::Active => rows.sort_by(|a, b| {
            let active = |row: &GroupRow| row.active.unwrap_or(-1.0);
            active(b).total_cmp(&active(a)).then(b.count().cmp(&a.count())).then(a.key.cmp(&b.key))
        }),
        GroupSort::Age => rows.sort_by_key(|row| (Reverse(nanos(row)), Reverse(row.count()), row.key)),
        GroupSort::Name => rows.sort_by(|a, b| a.name.cmp(&b.name).then(b.count().cmp(&a.count()))),
    }
    if query.reverse {
        rows.reverse();
    }
}

/// The heading of a group by this key.
pub(in crate::dashboard) fn heading(key: &GroupKey) -> String {
    match key {
        GroupKey::Stack => "GROUP".to_owned(),
        GroupKey::Function => "FUNCTION".to_owned(),
        GroupKey::State => "REASON".to_owned(),
        GroupKey::Creator => "CREATOR".to_owned(),
        GroupKey::Label(key) => format!("LABEL {key}"),
        GroupKey::WaitsOn => "WAITS ON".to_owned(),
    }
}
