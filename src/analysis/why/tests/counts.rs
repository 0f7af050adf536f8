//! Every task is counted once, in made-up graphs with cycles, several roots and ways that meet.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What one task does: its function, what it waits for, what it holds, and how many equal tasks there are if it does
/// neither.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    function: usize,
    waits: Vec<usize>,
    holds: Vec<usize>,
    twins: u64,
    class: usize,
    acts: Option<usize>,
}

/// Locks and channels of each process.
const OBJECTS: usize = 6;
const FUNCTIONS: [&str; 4] = ["main.one", "main.two", "main.three", "main.four"];
const CLASSES: [WaitClass; 5] =
    [WaitClass::Lock, WaitClass::Select, WaitClass::Sleep, WaitClass::NilChannel, WaitClass::Network];

/// One to three processes. Each reads from a pipe that the next one writes to.
pub(crate) fn plans() -> impl Strategy<Value = Vec<Vec<Plan>>> {
    let things = |most| prop::collection::vec(0..OBJECTS, 0..most);
    let task = (0..FUNCTIONS.len(), things(3), things(3), 0..3_u64, 0..8_usize, prop::option::of(0..OBJECTS));
    let plan = task.prop_map(|(function, waits, holds, twins, class, acts)| Plan {
        function,
        waits,
        holds,
        twins,
        class: class.min(CLASSES.len() - 1),
        acts,
    });
    prop::collection::vec(prop::collection::vec(plan, 1..24), 1..4)
}

/// `alike`: tasks share functions. Otherwise each has one of its own, so that no two are equal.
pub(crate) fn planned(plans: &[Vec<Plan>], alike: bool) -> System {
    let pipe = |process: usize| 700 + process as u64;
    let mut processes = Vec::new();
    let mut ends = Vec::new();
    for (process, tasks) in plans.iter().enumerate() {
        let mut made = Made::new(process as u32 + 1, "p");
        // The last ones are channels.
        let objects: Vec<ObjectId> = (0..OBJECTS)
            .map(|nth| if nth < 4 { ObjectKind::Mutex } else { ObjectKind::Channel })
            .zip((0x100..).step_by(8))
            .map(|(kind, address)| made.object(kind, address))
            .collect();
        for (nth, plan) in tasks.iter().enumerate() {
            let own = format!("main.own{nth}");
            let function = if alike { FUNCTIONS[plan.function] } else { own.as_str() };
            let row = made.task(function, CLASSES[plan.class]);
            for &wait in &plan.waits {
                let op = if wait < 4 { WaitOp::Lock } else { WaitOp::Receive };
                made.waits(row, op, objects[wait]);
            }
            // One holder for each lock.
            let taken = |lock: usize| tasks.iter().take(nth).any(|other| other.holds.contains(&lock));
            let holds: BTreeSet<usize> = plan.holds.iter().copied().filter(|&lock| lock < 4).collect();
            for &lock in holds.iter().filter(|&&lock| !taken(lock)) {
                made.holds(row, HoldKind::Exclusive, objects[lock]);
            }
            if let Some(channel) = plan.acts.filter(|&nth| nth >= 4) {
                made.acts(row, Action::Send, Certainty::Likely, objects[channel]);
            }
            if plan.class == 4 && plan.waits.is_empty() {
                made.reads(row, WaitOp::Read, 20 + nth as u32, DescriptorKind::Pipe, pipe(process));
            } else if plan.waits.is_empty() && holds.is_empty() && plan.acts.is_none() {
                made.tasks[row as usize].0.id = None;
                made.tasks[row as usize].0.twins = plan.twins;
            }
        }
        let next = process as u32 % plans.len() as u32 + 1;
        ends.push(open(process as u32 + 1, "p", 3, pipe(process), "r"));
        ends.push(open(next, "p", 4, pipe(process), "w"));
        processes.push(made.seen());
    }
    system(processes, ends, &[])
}

/// The task that a node is about.
fn about(graph: &Graph<'_>, node: NodeId) -> Option<NodeId> {
    match graph.node(node)? {
        Node::Task { .. } => Some(node),
        Node::Across(task) => Some(task),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_task_is_counted_once(plans in plans()) {
        for alike in [true, false] {
            let system = planned(&plans, alike);
            let why = Why::new(&system);
            let answer = why.causes();
            let waiting: u64 = (why.graph().tasks())
                .filter(|(_, task)| matches!(task.state, TaskState::Waiting | TaskState::Syscall))
                .map(|(_, task)| task.count())
                .sum();
            let of_causes: u64 = answer.causes.iter().map(|found| found.tasks).sum();
            prop_assert_eq!(answer.waiting, waiting);
            prop_assert_eq!(of_causes + answer.usual + answer.moving, waiting);
            let mut grouped = BTreeSet::new();
            for found in &answer.causes {
                let tasks: u64 = found.groups.iter().map(|group| group.tasks).sum();
                prop_assert_eq!(tasks, found.tasks);
                prop_assert!(found.groups.iter().all(|group| group.unnamed <= group.tasks));
                prop_assert!(found.groups.iter().all(|group| grouped.insert(group.task)));
                // What the chain says at the beginning is about tasks that it does not name again, and that are not
                // counted below it.
                let first = &found.chain.steps[0];
                let own = found.groups.iter().find(|group| group.task == first.node).unwrap();
                prop_assert!(first.count <= own.tasks);
                prop_assert_eq!(own.unnamed, 0);
                let later: BTreeSet<NodeId> = found.chain.steps[1..]
                    .iter()
                    .filter_map(|step| about(why.graph(), step.node))
                    .filter(|&node| node != first.node)
                    .collect();
                if alike {
                    continue;
                }
                // No two tasks are equal: each group is one row, which the chain names, or which is left.
                for group in &found.groups {
                    let is_named = group.task == first.node || later.contains(&group.task);
                    prop_assert_eq!(group.unnamed, if is_named { 0 } else { group.tasks });
                }
            }
        }
    }

    /// The chains of some tasks stand for each of them at most once.
    #[test]
    fn chains_of_some_tasks_stand_for_each_once(plans in plans(), repeats in 1..3_usize) {
        let system = planned(&plans, true);
        let why = Why::new(&system);
        let all: Vec<u32> = (0..plans[0].len() as u32).collect();
        let chains = why.of_tasks(0, &all.repeat(repeats));
        let tasks: u64 = system.processes[0].first.tasks.iter().map(Task::count).sum();
        let first: u64 = chains.iter().map(|chain| chain.steps[0].count).sum();
        prop_assert!(first <= tasks);
        for chain in &chains {
            let members: BTreeSet<NodeId> = chain.cycle.iter().copied().collect();
            prop_assert_eq!(members.len(), chain.cycle.len(), "a cycle names each task once");
        }
        // Alone, each task stands for itself.
        for row in all {
            let chain = why.of_tasks(0, &[row]).remove(0);
            prop_assert_eq!(chain.steps[0].count, system.processes[0].first.tasks[row as usize].count());
        }
    }
}

/// Three tasks in a cycle of locks, and one more that waits for the first lock. All four are equal, or the one is not.
#[test]
fn the_tasks_of_a_cycle_are_not_counted_below_it() {
    for function in ["main.transfer", "main.audit"] {
        let mut made = Made::new(1, "a");
        let locks: Vec<ObjectId> = (0..3).map(|nth| made.object(ObjectKind::Mutex, 0x10 + 8 * nth)).collect();
        for nth in 0..3 {
            let row = made.task("main.transfer", WaitClass::Lock);
            made.holds(row, HoldKind::Exclusive, locks[nth]);
            made.waits(row, WaitOp::Lock, locks[(nth + 1) % 3]);
        }
        let waiter = made.task(function, WaitClass::Lock);
        made.waits(waiter, WaitOp::Lock, locks[0]);
        let system = system(vec![made.seen()], Vec::new(), &[]);
        let why = Why::new(&system);
        let found = &why.causes().causes[0];
        let first = &found.chain.steps[0];
        assert_eq!((found.tasks, first.count, found.chain.cycle.len()), (4, 1, 3));
        let unnamed: Vec<(u64, u64)> =
            found.groups.iter().map(|group| (group.tasks, group.unnamed)).collect();
        assert_eq!(unnamed, [(3, 0), (1, 1)]);
        // Asked about some of them: the cycle is one chain.
        assert_eq!(why.of_tasks(0, &[2, 0, 1]).len(), 1);
        assert_eq!(why.of_tasks(0, &[0, 1, 2, 3]).len(), 2);
    }
}

/// Equal tasks, each of which holds what the next one waits for: the chain names them, and its beginning does not
/// count them again.
#[test]
fn a_chain_through_equal_tasks_counts_each_once() {
    let mut made = Made::new(1, "a");
    let mut before: Option<ObjectId> = None;
    for nth in 0..10 {
        let row = made.task("main.wait", if nth == 0 { WaitClass::Sleep } else { WaitClass::Lock });
        if let Some(lock) = before {
            made.waits(row, WaitOp::Lock, lock);
        }
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        made.holds(row, HoldKind::Exclusive, lock);
        before = Some(lock);
    }
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let why = Why::new(&system);
    let found = &why.causes().causes[0];
    let unnamed: u64 = found.groups.iter().map(|group| group.unnamed).sum();
    assert_eq!((found.tasks, found.chain.steps[0].count, found.chain.things, unnamed), (10, 9, 9, 0));
    let chain = &why.of_tasks(0, &[1, 5, 9])[0];
    assert_eq!((chain.steps[0].count, chain.things), (3, 3));
}

#[test]
fn a_task_that_waits_for_a_thing_in_two_ways_is_one_waiter() {
    let mut made = Made::new(1, "a");
    let channel = made.object(ObjectKind::Channel, 0x10);
    let select = made.task("main.loop", WaitClass::Select);
    made.waits(select, WaitOp::Send, channel);
    made.waits(select, WaitOp::Receive, channel);
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let graph = Graph::new(&system);
    let node = graph.edges_of(graph.task_node(0, 0).unwrap())[0].to;
    assert_eq!((graph.edges().len(), graph.waiters(node)), (2, 1));
}
