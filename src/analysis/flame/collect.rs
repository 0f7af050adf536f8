//! Counts tasks by stack, and turns each distinct stack into a list of names.

use rustc_hash::FxHashMap;

use super::names::{Name, NameId, NameKind, Names};
use super::{Doing, FlameOptions, Picked, Reason, Root, Roots, Weight};
use crate::analysis::frames::{creator_frame, frame_name, shown_frames};
use crate::analysis::group::Ages;
use crate::snapshot::*;

/// At most this many frames of a very deep stack are kept, half of them at each end; more if all frames are
/// asked for.
const MAX_DEPTH: usize = 256;
const MAX_DEPTH_ALL: usize = 2048;

/// At most this many reasons are distinguished. No runtime has that many, but a lying program could.
const MAX_REASONS: usize = 255;

/// Which of two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// The earlier one, for comparison.
    Was,
    /// The one that is shown.
    Now,
}

/// What was counted in one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Tasks that passed the filter.
    pub tasks: u64,
    /// Tasks without any condition.
    pub considered: u64,
    /// Tasks that would have passed but are the runtime's own.
    pub hidden_system: u64,
    /// Tasks whose weight (age, bytes) is unknown: they have no width.
    pub without_weight: u64,
    /// Tasks whose stack is unknown.
    pub without_stack: u64,
    /// Tasks whose very deep stacks lost their middle.
    pub shortened: u64,
}

/// Rows between the row of all tasks and the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rows {
    /// The runtime, if there are several.
    pub(super) runtime: Option<NameId>,
    /// What [`FlameOptions::root`] asks for.
    pub(super) root: Option<NameId>,
}

impl Rows {
    /// The rows that exist, from the root up.
    pub(super) fn names(self) -> impl Iterator<Item = NameId> {
        self.runtime.into_iter().chain(self.root)
    }

    /// How many rows these and `other` have in common, from the root up.
    pub(super) fn shared(self, other: Rows) -> usize {
        self.names().zip(other.names()).take_while(|(mine, others)| mine == others).count()
    }
}

/// Tasks that have the same place in the tree and the same reason.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack {
    /// The rows between the row of all tasks and the frames.
    pub(super) rows: Rows,
    /// The frames above: index into [`Stacks::paths`].
    pub(super) path: u32,
    /// Index of the reason.
    pub(super) reason: u32,
    pub(super) side: Side,
    pub(super) count: u64,
    pub(super) weight: u64,
    pub(super) oldest: Age,
}

/// Everything that was counted.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    pub(super) names: Vec<Name>,
    /// The name of the row of all tasks.
    pub(super) all: NameId,
    pub(super) reasons: Vec<Reason>,
    /// Frames in the order in which they are stacked up.
    pub(super) paths: Vec<Vec<NameId>>,
    pub(super) stacks: Vec<Stack>,
    pub(super) was: Totals,
    pub(super) now: Totals,
}

/// The key that tasks are counted by: everything that decides their place and their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    runtime: u8,
    /// Creator, set of labels or thread plus one, 0 for none, as the root row needs it.
    root: u64,
    stack: Option<StackId>,
    status: StackStatus,
    /// The entry function, if there is no stack.
    entry: Option<FunctionId>,
    state: TaskState,
    reason: Option<StrId>,
}

/// Tasks of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    count: u64,
    /// Nanoseconds or bytes or tasks.
    weight: u128,
    without_weight: u64,
    ages: Ages,
    /// What they wait for: the plainest class. None if there is no task yet.
    waits: Option<WaitClass>,
}

/// Collects stacks of one or two snapshots.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    options: &'a FlameOptions,
    names: Names,
    all: u32,
    reasons: Vec<Reason>,
    reason_index: FxHashMap<String, u32>,
    /// The names of all runtimes, even if their tasks do not pass the filter; at most 256 in each snapshot.
    runtimes: Vec<String>,
    /// Paths as numbers that are not yet ids, as in `stacks`; runtimes are indices into `runtimes`.
    paths: Vec<Vec<NameId>>,
    stacks: Vec<Stack>,
    was: Totals,
    now: Totals,
}

impl<'a> Collector<'a> {
    pub(super) fn new(options: &'a FlameOptions) -> Self {
        let mut names = Names::default();
        let all = names.row("all");
        Collector {
            options,
            names,
            all,
            reasons: Vec::new(),
            reason_index: FxHashMap::default(),
            runtimes: Vec::new(),
            paths: Vec::new(),
            stacks: Vec::new(),
            was: Totals::default(),
            now: Totals::default(),
        }
    }

    /// Adds tasks of a snapshot.
    pub(super) fn add(&mut self, picked: Picked<'_>, all_frames: bool, side: Side) {
        let Picked { snapshot, selection, roots, .. } = picked;
        let mut totals = Totals {
            tasks: selection.count,
            considered: selection.considered,
            hidden_system: selection.hidden_system,
            ..Totals::default()
        };
        for number in (0..=u8::MAX).take(snapshot.header.runtimes.len()) {
            self.runtime(snapshot, number);
        }
        let mut paths = Paths::new(snapshot, all_frames, self.options.reverse);
        for (key, sum) in self.count(picked) {
            let runtime = Some(NameId(self.runtime(snapshot, key.runtime)));
            let rows = Rows { runtime, root: self.root(snapshot, &key, roots).map(NameId) };
            let frames = paths.of(&key, &mut self.names, &mut self.paths);
            totals.without_weight += sum.without_weight;
            totals.without_stack += if frames.unknown { sum.count } else { 0 };
            totals.shortened += if frames.shortened { sum.count } else { 0 };
            let per_unit = if self.options.weight == Weight::Seconds { 1_000_000 } else { 1 };
            let weight = u64::try_from(sum.weight / per_unit).unwrap_or(u64::MAX);
            let reason = match key.reason {
                Some(id) => self.reason(snapshot.str(id), Doing::Waits(sum.waits.unwrap_or_default())),
                None => self.reason(key.state.name(), Doing::State(key.state)),
            };
            let oldest = sum.ages.oldest;
            self.stacks.push(Stack {
                rows,
                path: frames.path,
                reason,
                side,
                count: sum.count,
                weight,
                oldest,
            });
        }
        match side {
            Side::Was => self.was = totals,
            Side::Now => self.now = totals,
        }
    }

    /// Counts tasks by key. A task costs one look-up, and none if it is like the one before.
    fn count(&self, picked: Picked<'_>) -> Vec<(Key, Sum)> {
        let Picked { snapshot, selection, times, roots } = picked;
        let mut sums: Vec<(Key, Sum)> = Vec::new();
        let mut index: FxHashMap<Key, u32> = FxHashMap::default();
        let mut last: Option<(Key, u32)> = None;
        for &row in &selection.tasks {
            let Some(task) = snapshot.tasks.get(row as usize) else { continue };
            let named = roots.map(|roots| roots.of.get(row as usize).copied());
            let key = self.key(task, named);
            let nth = match last {
                Some((same, nth)) if same == key => nth,
                _ => *index.entry(key).or_insert_with(|| {
                    sums.push((key, Sum::default()));
                    sums.len() as u32 - 1
                }),
            };
            last = Some((key, nth));
            let Some((_, sum)) = sums.get_mut(nth as usize) else { continue };
            let weight = match self.options.weight {
                Weight::Tasks => Some(1),
                Weight::Seconds => task.age.nanos(),
                Weight::Bytes => Some(task.stack_bytes).filter(|&bytes| bytes > 0),
                Weight::Time => times.get(row as usize).copied(),
            };
            let count = task.count();
            sum.count = sum.count.saturating_add(count);
            // A time is that of all tasks of a row.
            let times = if self.options.weight == Weight::Time { 1 } else { count };
            let weight_of_all = u128::from(weight.unwrap_or(0)).saturating_mul(times.into());
            sum.weight = sum.weight.saturating_add(weight_of_all);
            sum.without_weight = sum.without_weight.saturating_add(if weight.is_none() { count } else { 0 });
            sum.ages.add(task);
            sum.waits = Some(sum.waits.map_or(task.wait_class, |waits| plainer(waits, task.wait_class)));
        }
        sums
    }

    /// `named`: the row at the root, if it is given by name.
    fn key(&self, task: &Task, named: Option<Option<u32>>) -> Key {
        let root = match (named, &self.options.root) {
            (Some(named), _) => named,
            (None, Root::None | Root::State) => None,
            (None, Root::Creator) => task.creator.map(|id| id.0),
            (None, Root::Label(_)) => task.labels.map(|id| id.0),
            (None, Root::Thread) => task.thread,
        };
        Key {
            runtime: task.runtime,
            root: root.map_or(0, |root| u64::from(root) + 1),
            stack: task.stack,
            status: task.stack_status,
            entry: if task.stack.is_none() { task.entry } else { None },
            state: task.state,
            reason: task.reason,
        }
    }

    /// The number of a runtime's name. The name has no version, so that two versions can be compared.
    fn runtime(&mut self, snapshot: &Snapshot, number: u8) -> u32 {
        let name = snapshot.header.runtimes.get(usize::from(number)).map_or("", |runtime| &runtime.name);
        let name = if name.is_empty() { "(runtime unknown)" } else { name };
        let known = self.runtimes.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.runtimes.push(name.to_owned());
            self.runtimes.len() - 1
        });
        at as u32
    }

    /// The row that [`FlameOptions::root`] asks for.
    fn root(&mut self, snapshot: &Snapshot, key: &Key, roots: Option<Roots<'_>>) -> Option<u32> {
        let id = key.root.checked_sub(1).and_then(|id| u32::try_from(id).ok());
        if let Some(roots) = roots {
            let name = id.and_then(|id| roots.names.get(id as usize));
            return Some(self.names.row(name.map_or("", String::as_str)));
        }
        match &self.options.root {
            Root::None => None,
            Root::State => Some(self.names.row(key.reason.map_or(key.state.name(), |id| snapshot.str(id)))),
            Root::Creator => {
                let frame = id.and_then(|id| creator_frame(snapshot, LocationId(id)));
                Some(match frame.map(|frame| frame_name(snapshot, frame)) {
                    Some(name) if !name.is_empty() => self.names.row(&format!("created by {name}")),
                    _ => self.names.row("(creator unknown)"),
                })
            }
            Root::Label(wanted) => {
                let set = id.and_then(|id| snapshot.code.label_sets.get(id as usize));
                let pair = set.and_then(|set| set.pairs.iter().find(|(key, _)| snapshot.str(*key) == wanted));
                Some(match pair {
                    Some(&(_, value)) => self.names.row(&format!("{wanted}={}", snapshot.str(value))),
                    None => self.names.row(&format!("(no label {wanted})")),
                })
            }
            Root::Thread => Some(match id {
                Some(thread) => self.names.row(&format!("thread {thread}")),
                None => self.names.row("(on no thread)"),
            }),
        }
    }

    fn reason(&mut self, text: &str, doing: Doing) -> u32 {
        if let Some(&known) = self.reason_index.get(text) {
            if let Some(Reason { doing: Doing::Waits(waits), .. }) = self.reasons.get_mut(known as usize)
                && let Doing::Waits(more) = doing
            {
                *waits = plainer(*waits, more);
            }
            return known;
        }
        let (text, doing) = if self.reasons.len() < MAX_REASONS {
            (text, doing)
        } else {
            ("(other reasons)", Doing::Waits(WaitClass::Other))
        };
        if let Some(&known) = self.reason_index.get(text) {
            return known;
        }
        let next = self.reasons.len() as u32;
        self.reasons.push(Reason { text: text.to_owned(), doing });
        self.reason_index.insert(text.to_owned(), next);
        next
    }

    /// What was collected, names in alphabetical order. A single runtime has no row of its own: it would be as
    /// wide as the row of all tasks.
    pub(super) fn finish(mut self) -> Stacks {
        let rows: Vec<u32> = match self.runtimes.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|name| self.names.row(name)).collect(),
        };
        let (names, ids) = self.names.sort();
        let id = |number: NameId| ids.get(number.index()).copied().unwrap_or_default();
        let (mut paths, mut stacks) = (self.paths, self.stacks);
        paths.iter_mut().flatten().for_each(|name| *name = id(*name));
        for stack in &mut stacks {
            let Rows { runtime, root } = stack.rows;
            let row = runtime.and_then(|at| rows.get(at.index()));
            stack.rows = Rows { runtime: row.map(|&row| id(NameId(row))), root: root.map(id) };
        }
        let all = id(NameId(self.all));
        Stacks { names, all, reasons: self.reasons, paths, stacks, was: self.was, now: self.now }
    }
}

/// Which of two classes represents tasks with the same reason: that of an ordinary wait, even if some of the
/// tasks are special.
fn plainer(a: WaitClass, b: WaitClass) -> WaitClass {
    let rank = |class: WaitClass| (class.never_ends() || class == WaitClass::Unknown, class);
    if rank(b) < rank(a) { b } else { a }
}

/// The names of a stack.
#[derive(Debug, Clone, Copy, Default)]
struct Frames {
    /// Index into [`Stacks::paths`].
    path: u32,
    unknown: bool,
    shortened: bool,
}

/// Turns stacks into names, each once.
struct Paths<'a> {
    snapshot: &'a Snapshot,
    all_frames: bool,
    reverse: bool,
    /// Number of the name of each function, [`u32::MAX`] until it is needed.
    functions: Vec<u32>,
    known: FxHashMap<(Option<StackId>, StackStatus, Option<FunctionId>), Frames>,
}

impl<'a> Paths<'a> {
    fn new(snapshot: &'a Snapshot, all_frames: bool, reverse: bool) -> Self {
        let functions = vec![u32::MAX; snapshot.code.functions.len()];
        Paths { snapshot, all_frames, reverse, functions, known: FxHashMap::default() }
    }

    fn of(&mut self, key: &Key, names: &mut Names, paths: &mut Vec<Vec<NameId>>) -> Frames {
        let place = (key.stack, key.status, key.entry);
        if let Some(frames) = self.known.get(&place) {
            return *frames;
        }
        let (path, unknown, shortened) = self.make(key, names);
        let frames = Frames { path: paths.len() as u32, unknown, shortened };
        paths.push(path);
        self.known.insert(place, frames);
        frames
    }

    /// The names of a stack, whether it is unknown, and whether its middle was left out.
    fn make(&mut self, key: &Key, names: &mut Names) -> (Vec<NameId>, bool, bool) {
        let snapshot = self.snapshot;
        let locations =
            key.stack.and_then(|id| snapshot.code.stacks.get(id.index())).map_or(&[][..], |s| &s.locations);
        let shown = shown_frames(snapshot, locations, self.all_frames);
        let mut path = Vec::with_capacity(shown.len().min(MAX_DEPTH) + 1);
        // Outermost first. A missing outer part becomes a frame of its own, so that the stack's frames are not
        // taken for the ones where tasks begin.
        let unknown = shown.is_empty();
        let note = match key.status {
            StackStatus::Torn if unknown => Some("(stack unknown: changed while it was read)"),
            StackStatus::Missing if unknown => Some("(stack could not be read)"),
            StackStatus::Running if unknown => Some("(stack not read: running)"),
            _ if unknown => Some("(stack unknown)"),
            StackStatus::Truncated => Some("(outer frames not read: too many)"),
            StackStatus::Broken => Some("(outer frames not found)"),
            StackStatus::Missing => Some("(outer frames could not be read)"),
            StackStatus::Gaps => Some("(some frames not kept by the source)"),
            StackStatus::Complete | StackStatus::Unknown | StackStatus::Torn | StackStatus::Running => None,
        };
        if unknown && let Some(entry) = key.entry {
            path.push(NameId(self.function(entry, names)));
        }
        path.extend(note.map(|note| NameId(names.unknown(note))));
        let max = if self.all_frames { MAX_DEPTH_ALL } else { MAX_DEPTH };
        let left_out = shown.len().saturating_sub(max);
        for (nth, frame) in shown.iter().rev().enumerate() {
            if left_out > 0 && nth == max / 2 {
                path.push(NameId(names.unknown("(frames left out: very deep)")));
            }
            if left_out == 0 || !(max / 2..max / 2 + left_out).contains(&nth) {
                path.push(NameId(self.frame(frame.frame, names)));
            }
        }
        if self.reverse {
            path.reverse();
        }
        (path, unknown, left_out > 0)
    }

    fn frame(&mut self, frame: Frame, names: &mut Names) -> u32 {
        if self.snapshot.function_name(frame.function).is_empty() {
            let text = frame_name(self.snapshot, frame).into_owned();
            return names.add(Name { text, kind: NameKind::Function, ..Name::default() });
        }
        match self.functions.get(frame.function.index()) {
            Some(&number) if number != u32::MAX => number,
            _ => self.named(frame.function, self.snapshot.str(frame.file), names),
        }
    }

    fn function(&mut self, id: FunctionId, names: &mut Names) -> u32 {
        match self.functions.get(id.index()) {
            Some(&number) if number != u32::MAX => number,
            _ => self.named(id, "", names),
        }
    }

    fn named(&mut self, id: FunctionId, file: &str, names: &mut Names) -> u32 {
        let snapshot = self.snapshot;
        let package = snapshot.code.functions.get(id.index()).map_or("", |f| snapshot.str(f.package));
        let number = names.add(Name {
            text: snapshot.function_name(id).to_owned(),
            kind: NameKind::Function,
            package: package.to_owned(),
            file: file.to_owned(),
            own: is_own(snapshot, package),
        });
        if let Some(slot) = self.functions.get_mut(id.index()) {
            *slot = number;
        }
        number
    }
}

/// Whether a package belongs to the program's own module. The package with a program's entry is called main.
fn is_own(snapshot: &Snapshot, package: &str) -> bool {
    let inside = |module: &str| {
        let rest = package.strip_prefix(module);
        !module.is_empty()
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with("::"))
    };
    package == "main"
        || snapshot.header.runtimes.iter().any(|runtime| runtime.module.as_deref().is_some_and(inside))
}
