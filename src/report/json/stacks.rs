//! Groups and single tasks as JSON, described in loiter-stacks-json(5).

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::head::{ImageOut, SnapshotOut};
use super::links::{AncestorOut, CallOut, LinksOut};
use super::waits::{HoldOut, HoldSummaryOut, WaitOut, WaitSummaryOut};
use super::{AgeOut, CreatorOut, VERSION, hex, known, write};
use crate::analysis::branches::{Branches, of_tasks};
use crate::analysis::frames::{creator_frame, frame_name, location, shown_frames, user_frame};
use crate::analysis::group::{Ages, Common};
use crate::analysis::modules::Owners;
use crate::analysis::tally::Tally;
use crate::analysis::{Each, Group, GroupKey, Grouped, ShownFrame};
use crate::snapshot::*;

/// Name of the format of stacks.
const FORMAT: &str = "loiter-stacks";

/// Writes groups.
///
/// # Errors
/// Those of `out`.
pub fn groups(snapshot: &Snapshot, grouped: &Grouped, key: &GroupKey, out: &mut dyn Write) -> io::Result<()> {
    let owners = Owners::new(snapshot);
    write(
        &GroupsDocument {
            head: Head::new(snapshot, grouped.total_tasks, grouped.hidden_system),
            group_by: key.to_string(),
            total_groups: grouped.total_groups,
            groups: Sequence::new(grouped.groups.iter().map(|group| GroupOut::new(snapshot, &owners, group))),
        },
        out,
    )
}

/// Writes single tasks.
///
/// # Errors
/// Those of `out`.
pub fn each(snapshot: &Snapshot, each: &Each, all_frames: bool, out: &mut dyn Write) -> io::Result<()> {
    let owners = Owners::new(snapshot);
    let tasks = each.tasks.iter().filter_map(|&index| Some((index, snapshot.tasks.get(index as usize)?)));
    write(
        &EachDocument {
            head: Head::new(snapshot, each.total_tasks, each.hidden_system),
            tasks: Sequence::new(
                tasks.map(|(row, task)| TaskOut::new(snapshot, &owners, (row, task), all_frames)),
            ),
        },
        out,
    )
}

/// Serializes an iterator without collecting it first. It can be used once.
struct Sequence<I>(RefCell<Option<I>>);

impl<I> Sequence<I> {
    fn new(items: I) -> Self {
        Sequence(RefCell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Sequence<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.borrow_mut().take().into_iter().flatten())
    }
}

#[derive(Serialize)]
struct GroupsDocument<'a, S> {
    #[serde(flatten)]
    head: Head<'a>,
    group_by: String,
    total_groups: u64,
    groups: S,
}

#[derive(Serialize)]
struct EachDocument<'a, S> {
    #[serde(flatten)]
    head: Head<'a>,
    tasks: S,
}

#[derive(Serialize)]
struct Head<'a> {
    format: &'static str,
    version: u32,
    snapshot: SnapshotOut<'a>,
    images: Vec<ImageOut<'a>>,
    total_tasks: u64,
    matching_tasks: u64,
    hidden_system_tasks: u64,
    links: Option<LinksOut<'a>>,
}

impl<'a> Head<'a> {
    fn new(snapshot: &'a Snapshot, matching_tasks: u64, hidden_system_tasks: u64) -> Self {
        Head {
            format: FORMAT,
            version: VERSION,
            snapshot: SnapshotOut::from(&snapshot.header),
            images: snapshot.code.images.iter().map(|image| ImageOut::new(snapshot, image)).collect(),
            total_tasks: snapshot.task_count(),
            matching_tasks,
            hidden_system_tasks,
            links: LinksOut::new(snapshot),
        }
    }
}

#[derive(Serialize)]
struct GroupOut<'a> {
    key: KeyOut<'a>,
    count: u64,
    runtimes: Vec<Counted<RuntimeOut<'a>>>,
    states: Vec<Counted<StateOut>>,
    reasons: Vec<Counted<ReasonOut<'a>>>,
    age: AgesOut,
    created_by: Vec<Counted<CreatorOut<'a>>>,
    labels: Vec<Counted<LabelOut<'a>>>,
    locked_to_thread: u64,
    leaked: u64,
    system: u64,
    stack_bytes: u64,
    example: ExampleOut,
    at: Option<CreatorOut<'a>>,
    stack_status: Vec<Counted<StatusOut>>,
    stack: Vec<FrameOut<'a>>,
    /// None if they differ from task to task.
    #[serde(skip_serializing_if = "is_empty")]
    branches: Option<Vec<BranchOut<'a>>>,
    waits: Vec<WaitSummaryOut<'a>>,
    holds: Vec<HoldSummaryOut<'a>>,
}

/// What the tasks of a group share.
#[derive(Serialize)]
#[serde(untagged)]
enum KeyOut<'a> {
    Text(Cow<'a, str>),
    Addresses(Vec<String>),
    Nothing(()),
}

#[derive(Serialize)]
struct Counted<T> {
    #[serde(flatten)]
    value: T,
    count: u64,
}

#[derive(Serialize)]
struct RuntimeOut<'a> {
    runtime: &'a str,
    runtime_number: u8,
}

#[derive(Serialize)]
struct StateOut {
    state: &'static str,
}

#[derive(Serialize)]
struct ReasonOut<'a> {
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct StatusOut {
    status: &'static str,
}

#[derive(Serialize)]
struct LabelOut<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct ExampleOut {
    id: Option<u64>,
    address: Option<String>,
}

#[derive(Serialize)]
struct AgesOut {
    youngest: AgeOut,
    oldest: AgeOut,
    unknown: u64,
}

#[derive(Serialize)]
struct FrameOut<'a> {
    function: &'a str,
    package: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    address: Option<String>,
    image: Option<u32>,
    offset_in_file: Option<String>,
    inlined: bool,
}

#[derive(Serialize)]
struct TaskOut<'a> {
    /// How many equal tasks this is, if the source does not distinguish them.
    count: u64,
    runtime: &'a str,
    runtime_number: u8,
    id: Option<u64>,
    address: Option<String>,
    state: &'static str,
    reason: Option<&'a str>,
    wait_class: &'static str,
    age: AgeOut,
    lifetime_ns: Option<u64>,
    polls: Option<u64>,
    parent: Option<u64>,
    created_by: Option<CreatorOut<'a>>,
    entry: Option<&'a str>,
    labels: Vec<LabelOut<'a>>,
    thread: Option<u32>,
    locked_to_thread: bool,
    system: bool,
    leaked: bool,
    at: Option<CreatorOut<'a>>,
    stack_status: &'static str,
    stack_bytes: Option<u64>,
    stack: Vec<FrameOut<'a>>,
    waits: Vec<WaitOut<'a>>,
    holds: Vec<HoldOut<'a>>,
    call: Option<CallOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<BranchOut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<AncestorOut<'a>>,
}

/// One of the futures that a task polls together.
#[derive(Serialize)]
struct BranchOut<'a> {
    depth: u32,
    nth: u64,
    of: u64,
    reason: Option<&'a str>,
    wait_class: &'static str,
    stack_status: &'static str,
    stack: Vec<FrameOut<'a>>,
    waits: Vec<WaitOut<'a>>,
}

fn branches<'a>(snapshot: &'a Snapshot, branches: &[Branch], all_frames: bool) -> Vec<BranchOut<'a>> {
    let out = |branch: &Branch| {
        let locations = branch.stack.map_or(&[][..], |id| snapshot.code.stack(id));
        let waits = snapshot.waits_of_branch(branch);
        BranchOut {
            depth: branch.depth,
            nth: branch.nth,
            of: branch.of,
            reason: branch.reason.map(|id| snapshot.str(id)),
            wait_class: branch.wait_class.name(),
            stack_status: branch.stack_status.name(),
            stack: frames(snapshot, &shown_frames(snapshot, locations, all_frames)),
            waits: waits.iter().filter_map(|&wait| WaitOut::new(snapshot, wait)).collect(),
        }
    };
    branches.iter().map(out).collect()
}

fn is_empty<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(Vec::is_empty)
}

fn counted<T: Copy, U>(tally: &Tally<T>, out: impl Fn(T) -> U) -> Vec<Counted<U>> {
    tally.entries.iter().map(|&(value, count)| Counted { value: out(value), count }).collect()
}

impl From<Ages> for AgesOut {
    fn from(ages: Ages) -> Self {
        AgesOut { youngest: ages.youngest.into(), oldest: ages.oldest.into(), unknown: ages.unknown }
    }
}

/// The frame that the user looks for.
fn at<'a>(snapshot: &'a Snapshot, owners: &Owners, shown: &[ShownFrame]) -> Option<CreatorOut<'a>> {
    user_frame(snapshot, owners, shown).map(|at| CreatorOut::of(snapshot, Some(at.frame)))
}

fn frames<'a>(snapshot: &'a Snapshot, frames: &[ShownFrame]) -> Vec<FrameOut<'a>> {
    let package =
        |id: FunctionId| snapshot.code.functions.get(id.index()).map_or("", |f| snapshot.str(f.package));
    (frames.iter())
        .map(|shown| {
            let place = location(snapshot, shown.location);
            FrameOut {
                function: snapshot.function_name(shown.frame.function),
                package: known(package(shown.frame.function)),
                file: known(snapshot.str(shown.frame.file)),
                line: shown.frame.known_line(),
                address: place.and_then(|place| place.address).map(hex),
                image: place.and_then(|place| place.image).map(|image| image.0),
                offset_in_file: place.and_then(|place| snapshot.code.offset_in_file(place)).map(hex),
                inlined: shown.inlined,
            }
        })
        .collect()
}

impl<'a> GroupOut<'a> {
    fn new(snapshot: &'a Snapshot, owners: &Owners, group: &'a Group) -> Self {
        let example = group.tasks.first().and_then(|&index| snapshot.tasks.get(index as usize));
        GroupOut {
            key: KeyOut::new(snapshot, &group.common),
            count: group.count,
            runtimes: counted(&group.runtimes, |number| RuntimeOut {
                runtime: snapshot.header.runtimes.get(usize::from(number)).map_or("", |info| &info.name),
                runtime_number: number,
            }),
            states: counted(&group.states, |state| StateOut { state: state.name() }),
            reasons: counted(&group.reasons, |id| ReasonOut { reason: id.map(|id| snapshot.str(id)) }),
            age: group.ages.into(),
            created_by: counted(&group.creators, |id| CreatorOut::new(snapshot, id)),
            labels: counted(&group.labels, |(key, value)| LabelOut {
                key: snapshot.str(key),
                value: snapshot.str(value),
            }),
            locked_to_thread: group.locked,
            leaked: group.leaked,
            system: group.system,
            stack_bytes: group.stack_bytes,
            example: ExampleOut {
                id: example.and_then(|task| task.id),
                address: example.and_then(Task::known_address).map(hex),
            },
            at: at(snapshot, owners, &group.frames),
            stack_status: counted(&group.stack_statuses, |status| StatusOut { status: status.name() }),
            stack: frames(snapshot, &group.frames),
            branches: match of_tasks(snapshot, &group.tasks) {
                Branches::Same(same) => Some(branches(snapshot, same, false)),
                Branches::Differ => None,
            },
            waits: group.waits.iter().map(|wait| WaitSummaryOut::new(snapshot, wait)).collect(),
            holds: group.holds.iter().map(|hold| HoldSummaryOut::new(snapshot, hold)).collect(),
        }
    }
}

impl<'a> KeyOut<'a> {
    fn new(snapshot: &'a Snapshot, common: &Common) -> Self {
        let text = match common {
            Common::Stack => None,
            Common::Function(id) => id.map(|id| snapshot.function_name(id).into()),
            Common::State(state, reason) => Some(reason.map_or(state.name(), |id| snapshot.str(id)).into()),
            Common::Creator(id) => {
                id.and_then(|id| creator_frame(snapshot, id)).map(|frame| frame_name(snapshot, frame))
            }
            Common::Label(value) => value.map(|id| snapshot.str(id).into()),
            Common::WaitsOn(things) => {
                let address = |id: &ObjectId| snapshot.objects.get(id.index()).map(|o| hex(o.address));
                return KeyOut::Addresses(things.iter().filter_map(address).collect());
            }
        };
        text.map_or(KeyOut::Nothing(()), KeyOut::Text)
    }
}

impl<'a> TaskOut<'a> {
    fn new(snapshot: &'a Snapshot, owners: &Owners, (row, task): (u32, &Task), all_frames: bool) -> Self {
        let labels = task.labels.and_then(|id| snapshot.code.label_sets.get(id.index()));
        let shown = shown_frames(snapshot, snapshot.stack_of(task), all_frames);
        TaskOut {
            count: task.count(),
            runtime: snapshot.runtime_of(task).map_or("", |runtime| &runtime.name),
            runtime_number: task.runtime,
            id: task.id,
            address: task.known_address().map(hex),
            state: task.state.name(),
            reason: task.reason.map(|id| snapshot.str(id)),
            wait_class: task.wait_class.name(),
            age: task.age.into(),
            lifetime_ns: task.lifetime_ns,
            polls: task.polls,
            parent: task.parent,
            created_by: task.creator.map(|id| CreatorOut::new(snapshot, Some(id))),
            entry: task.entry.map(|id| snapshot.function_name(id)),
            labels: (labels.map_or(&[][..], |set| &set.pairs).iter())
                .map(|&(key, value)| LabelOut { key: snapshot.str(key), value: snapshot.str(value) })
                .collect(),
            thread: task.thread,
            locked_to_thread: task.locked_to_thread,
            system: task.system,
            leaked: task.leaked,
            at: at(snapshot, owners, &shown),
            stack_status: task.stack_status.name(),
            stack_bytes: task.known_stack_bytes(),
            stack: frames(snapshot, &shown),
            waits: snapshot.waits_of(task).iter().filter_map(|&wait| WaitOut::new(snapshot, wait)).collect(),
            holds: snapshot.holds_of(task).iter().filter_map(|&hold| HoldOut::new(snapshot, hold)).collect(),
            call: snapshot.call_of(row).map(|call| CallOut::new(snapshot, call)),
            branches: branches(snapshot, snapshot.branches_of(row), all_frames),
            ancestors: snapshot.ancestors_of(row).iter().map(|one| AncestorOut::new(snapshot, one)).collect(),
        }
    }
}
