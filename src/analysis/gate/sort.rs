//! Sorts the tasks of the last reading into those that were left and those that are fine.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::charge::Charger;
use super::{Leak, Standing, Terms, Unjudged, Verdict, order, stale};
use crate::analysis::baseline::{Kind, program_of};
use crate::analysis::leaks::context::Context;
use crate::analysis::leaks::evidence::{RestName, Why};
use crate::analysis::leaks::left::Claims;
use crate::analysis::leaks::task_group::{LeftOut, TaskGroup};
use crate::analysis::leaks::{Options, Rest, Silenced, series_options};
use crate::analysis::{Pattern, Series, lore};
use crate::snapshot::{Begins, Snapshot, StackStatus, Task, TaskState, count_tasks};

/// The task that ends the program, as [`RestName::Known`] names it.
const ENDING: [&str; 2] = ["task that ends the program", "tasks that end the program"];
const ENDING_WHY: &str = "the program ends where it is";

pub(super) fn sort(readings: &[Arc<Snapshot>], last: &Arc<Snapshot>, terms: &Terms) -> Verdict {
    let (program, is_test) = program_of(&last.header);
    let Open { snapshot: open, ending, unsettled } = open(last, terms);
    let options = Options {
        ignore: terms.ignore.clone(),
        ignore_file: terms.ignore_file.clone(),
        ..Options::default()
    };
    // Growth is no matter here, so that one reading is enough for the rules.
    let series = Series::of(series_options(), [Arc::new(open)]);
    let Some(snapshot) = series.last() else {
        return Verdict { unjudged: vec![Unjudged::NoReading], ..Verdict::default() };
    };
    let context = Context::new(&series, snapshot, &options);
    let mut sorted = Sorted::new(&context);
    sorted.rest(ending, RestName::Known(ENDING), Why::UsuallyParked(ENDING_WHY));
    let mut leaks = sorted.leaks(&context, terms, &program);
    order(&mut leaks);
    let left_out = |why: LeftOut| {
        context.kinds.iter().filter(|kind| kind.left_out == Some(why)).map(TaskGroup::count).sum::<u64>()
    };
    Verdict {
        header: Some(last.header.clone()),
        stale: stale(&program, &leaks, terms),
        program,
        is_test,
        readings: readings.len(),
        span_ns: span_ns(readings),
        noun: noun(last),
        tasks: count_tasks(last.tasks.iter().filter(|task| !task.system)),
        ended: ended(readings),
        unjudged: unjudged(readings, last, &sorted.left, unsettled),
        leaks,
        ignored: left_out(LeftOut::Ignored),
        silenced: terms
            .ignore_file
            .as_ref()
            .map(|file| Silenced { path: file.path.clone(), tasks: left_out(LeftOut::IgnoredByFile) }),
        fine: sorted.fine,
        watched: None,
    }
}

/// A snapshot without the tasks that are not judged. Rows stay the same: those tasks are marked as the runtime's.
struct Open {
    snapshot: Snapshot,
    /// Tasks that end the program.
    ending: u64,
    /// Tasks that ran or were about to run when the program was frozen.
    unsettled: u64,
}

fn open(last: &Snapshot, terms: &Terms) -> Open {
    let mut open = Open { snapshot: last.clone(), ending: 0, unsettled: 0 };
    let mut endings = Endings::new(last);
    let hidden = Hidden::of(last, terms.ending);
    for task in open.snapshot.tasks.iter_mut().filter(|task| !task.system) {
        let ends = match terms.ending {
            Some(thread) if task.thread == Some(thread) => true,
            _ if is_main(last, task) => true,
            _ if hidden == Hidden::One && may_run_anywhere(task) => true,
            _ => endings.has(last, task),
        };
        let moves =
            terms.is_frozen && is_moving(task) || hidden == Hidden::OneOfSeveral && may_run_anywhere(task);
        if ends {
            open.ending = open.ending.saturating_add(task.count());
        } else if moves {
            open.unsettled = open.unsettled.saturating_add(task.count());
        }
        task.system = ends || moves || task.state == TaskState::Finished;
    }
    open
}

/// Whether the task that ends the program may be one whose thread is not known, as in programs without symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    /// It is known by its thread, or ends in another way.
    No,
    /// Only one runs on a thread that is not known.
    One,
    /// Several do, and which of them ends the program is not known.
    OneOfSeveral,
}

impl Hidden {
    fn of(last: &Snapshot, ending: Option<u32>) -> Hidden {
        let mut tasks = last.tasks.iter();
        if ending.is_none() || tasks.any(|task| task.thread == ending) {
            return Hidden::No;
        }
        match last.tasks.iter().filter(|task| may_run_anywhere(task)).count() {
            0 => Hidden::No,
            1 => Hidden::One,
            _ => Hidden::OneOfSeveral,
        }
    }
}

fn may_run_anywhere(task: &Task) -> bool {
    !task.system && task.state == TaskState::Running && task.thread.is_none()
}

/// Whether it is what the main thread itself does, as in Tokio's `block_on`: when that is over, the program ends.
fn is_main(last: &Snapshot, task: &Task) -> bool {
    task.id.is_none() && task.thread.is_some() && task.thread == last.header.target.pid
}

/// Whether it ran, or was about to run. A task in a system call waits there.
fn is_moving(task: &Task) -> bool {
    matches!(task.state, TaskState::Running | TaskState::Runnable | TaskState::Preempted)
}

/// Which functions end the program. Each stack is looked at once.
struct Endings {
    /// For each runtime.
    patterns: Vec<Vec<Pattern>>,
    stacks: Vec<Option<bool>>,
}

impl Endings {
    fn new(snapshot: &Snapshot) -> Self {
        let runtimes = &snapshot.header.runtimes;
        let of = |name: &str| lore::of(name).endings.iter().map(|text| Pattern::whole(text)).collect();
        Endings {
            patterns: runtimes.iter().map(|runtime| of(&runtime.name)).collect(),
            stacks: vec![None; snapshot.code.stacks.len()],
        }
    }

    fn has(&mut self, snapshot: &Snapshot, task: &Task) -> bool {
        let Some(stack) = task.stack else { return false };
        let patterns = self.patterns.get(usize::from(task.runtime)).map_or(&[][..], |all| all);
        if let Some(Some(known)) = self.stacks.get(stack.index()) {
            return *known;
        }
        let locations = snapshot.code.stack(stack).iter();
        let mut frames = locations
            .filter_map(|location| snapshot.code.locations.get(location.index()))
            .flat_map(|location| &location.frames);
        let ends = frames.any(|frame| {
            let name = snapshot.function_name(frame.function);
            patterns.iter().any(|pattern| pattern.matches(name))
        });
        if let Some(slot) = self.stacks.get_mut(stack.index()) {
            *slot = Some(ends);
        }
        ends
    }
}

/// The tasks of the last reading.
struct Sorted {
    /// Groups that were left, by what names them in a baseline.
    kinds: BTreeMap<Kind, Vec<usize>>,
    /// Rows of the tasks in these groups.
    left: FxHashSet<u32>,
    fine: Vec<Rest>,
}

impl Sorted {
    fn new(context: &Context<'_>) -> Self {
        let mut sorted = Sorted { kinds: BTreeMap::new(), left: FxHashSet::default(), fine: Vec::new() };
        for (nth, kind) in context.kinds.iter().enumerate().filter(|(_, kind)| kind.left_out.is_none()) {
            match kind.known.filter(|known| known.lasts) {
                Some(known) => {
                    sorted.rest(kind.count(), RestName::Known(known.names), Why::UsuallyParked(known.why));
                }
                None if is_of_init(kind) => {
                    sorted.rest(kind.count(), RestName::OfInit, Why::StartedOnce(None));
                }
                None => {
                    sorted.left.extend(&kind.tasks);
                    sorted.kinds.entry(kind.kind()).or_default().push(nth);
                }
            }
        }
        sorted.fine.sort_by_key(|rest| Reverse(rest.count));
        sorted
    }

    /// Adds tasks that are fine.
    fn rest(&mut self, count: u64, name: RestName, why: Why) {
        match self.fine.iter_mut().find(|rest| rest.name == name && rest.why == why) {
            Some(rest) => rest.count = rest.count.saturating_add(count),
            None if count > 0 => self.fine.push(Rest { name, why, count }),
            None => {}
        }
    }

    fn leaks(&self, context: &Context<'_>, terms: &Terms, program: &str) -> Vec<Leak> {
        let claims = Claims::new(context);
        let mut charger = Charger::new(context.snapshot, &terms.tests);
        let one = |(kind, groups): (&Kind, &Vec<usize>)| {
            let rows = groups.iter().filter_map(|&nth| context.kinds.get(nth)).flat_map(|group| &group.tasks);
            let rows: Vec<u32> = rows.copied().collect();
            let finding = claims.left(context, groups)?;
            let standing = Standing::of(kind, program, terms);
            let charges = charger.charges(&rows);
            Some(Leak { kind: kind.clone(), standing, is_left: true, seen: None, finding, charges })
        };
        self.kinds.iter().filter_map(one).collect()
    }
}

/// A package's initialisation started them: nothing ends them before the program ends.
fn is_of_init(kind: &TaskGroup<'_>) -> bool {
    // A proof by the runtime, or a wait that never ends, is not by design.
    !kind.waits.never_ends()
        && kind.signature.creator.as_ref().is_some_and(|creator| creator.role.begins == Begins::Package)
}

pub(super) fn noun(snapshot: &Snapshot) -> String {
    match snapshot.header.runtimes.as_slice() {
        [only] if !only.task_noun.is_empty() => only.task_noun.clone(),
        _ => "task".to_owned(),
    }
}

fn span_ns(readings: &[Arc<Snapshot>]) -> Option<u64> {
    let [first, .., last] = readings else { return None };
    last.header.monotonic_ns?.checked_sub(first.header.monotonic_ns?)
}

/// How many tasks of the first reading that belong to the program have ended since. 0 if tasks have no identity.
fn ended(readings: &[Arc<Snapshot>]) -> u64 {
    let [first, .., last] = readings else { return 0 };
    let key = |task: &Task| Some((task.runtime, task.id?));
    let there: FxHashSet<(u8, u64)> = last.tasks.iter().filter_map(key).collect();
    let open = first.tasks.iter().filter(|task| !task.system && task.state != TaskState::Finished);
    open.filter_map(key).filter(|key| !there.contains(key)).count() as u64
}

fn unjudged(
    readings: &[Arc<Snapshot>],
    last: &Snapshot,
    left: &FxHashSet<u32>,
    unsettled: u64,
) -> Vec<Unjudged> {
    let mut all = Vec::new();
    let header = &last.header;
    if header.runtimes.is_empty() {
        all.push(Unjudged::NoRuntime);
    }
    let names = |snapshot: &Arc<Snapshot>| {
        let runtimes = snapshot.header.runtimes.iter().map(|runtime| runtime.name.clone());
        (snapshot.header.target.exe.clone(), runtimes.collect::<Vec<_>>())
    };
    if readings.first().zip(readings.last()).is_some_and(|(first, last)| names(first) != names(last)) {
        all.push(Unjudged::Changed);
    }
    if unsettled > 0 {
        all.push(Unjudged::Unsettled(unsettled));
    }
    if header.reading.missing > 0 {
        all.push(Unjudged::Missing(header.reading.missing));
    }
    let rows = left.iter().filter_map(|&row| last.tasks.get(row as usize));
    let blind = count_tasks(rows.filter(|task| {
        matches!(task.stack_status, StackStatus::Torn | StackStatus::Running | StackStatus::Missing)
            || task.stack.is_none() && task.stack_status != StackStatus::Unknown
    }));
    if blind > 0 {
        all.push(Unjudged::NoStack(blind));
    }
    all.extend(header.warnings.iter().cloned().map(Unjudged::Warning));
    all
}
