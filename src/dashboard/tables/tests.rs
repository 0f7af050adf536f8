//! Trends, the tree of creators, and what hostile snapshots can do to it.

use super::memory::{Memory, difference};
use super::*;
use crate::analysis::GroupKey;
use crate::dashboard::query::CreatorSort;
use crate::session::SessionView;
use crate::snapshot::{self, SnapshotBuilder, Task};

const SECOND: u64 = 1_000_000_000;

/// Tasks given as (id, parent), each started with the function of its id modulo 3.
fn family(tasks: &[(u64, u64)], second: u64) -> Arc<Snapshot> {
    let mut builder = SnapshotBuilder::new();
    builder.header.taken_at_ns = Some(1_000 * SECOND + second * SECOND);
    for &(id, parent) in tasks {
        let name = format!("f{}", id % 3);
        let entry = Some(builder.code.function(&name, "", snapshot::FunctionKind::Normal));
        let reason = Some(builder.code.string(&name));
        builder.task(Task {
            id: Some(id),
            address: id * 8,
            state: snapshot::TaskState::Waiting,
            reason,
            parent: (parent > 0).then_some(parent),
            entry,
            ..Task::default()
        });
    }
    Arc::new(builder.finish())
}

fn tree(tasks: &[(u64, u64)]) -> Vec<String> {
    let snapshot = family(tasks, 0);
    let all: Vec<u32> = (0..snapshot.tasks.len() as u32).collect();
    let tree = creators::tree(&snapshot, &all, None, CreatorSort::Count);
    assert_eq!(tree.nodes.iter().map(|node| node.own).sum::<u64>(), tasks.len() as u64);
    let line = |node: &TreeNode| {
        format!("{}{} {}/{}", " ".repeat(node.depth.into()), node.name, node.own, node.total)
    };
    tree.nodes.iter().map(line).collect()
}

#[test]
fn counts_roll_up() {
    let told = tree(&[(3, 0), (4, 3), (7, 3), (5, 4), (8, 7), (11, 7), (6, 99)]);
    assert_eq!(told, ["f0 2/7", " f1 2/5", "  f2 3/3"]);
}

#[test]
fn lies_about_parents_make_no_loop() {
    assert_eq!(tree(&[(3, 3)]), ["f0 1/1"]);
    let told = tree(&[(3, 4), (4, 5), (5, 3)]);
    assert_eq!(told.len(), 3, "{told:?}");
    // A line of ancestors that never ends.
    let long: Vec<(u64, u64)> = (1..1000).map(|id| (id, id - 1)).collect();
    assert!(tree(&long).len() <= 65);
}

#[test]
fn growth_is_said_of_what_was_watched_long_enough() {
    let mut album = SessionView::new(false);
    let mut memory = Memory::default();
    let query = Arc::new(Query { view: View::Groups, key: GroupKey::State, ..Query::default() });
    let mut last = Tables::default();
    for second in 0..7 {
        // Two more per second with f0; a constant number with f1.
        let tasks: Vec<_> = (1..=2 * second + 1).map(|n| (n * 3, 0)).chain([(1, 0), (4, 0)]).collect();
        let picture = Arc::new(album.add(family(&tasks, second)));
        last = compute(&picture, &query, None, &mut memory);
        let row = last.groups.rows.iter().find(|row| row.name == "f0").unwrap();
        assert_eq!(row.per_minute.is_some(), second >= 2, "{second}");
        assert_eq!(row.change, (second > 0).then(|| 2 * second as i64));
    }
    let rate = |name: &str| last.groups.rows.iter().find(|row| row.name == name).unwrap().per_minute.unwrap();
    assert!((rate("f0") - 120.0).abs() < 1e-6);
    assert!(rate("f1").abs() < 1e-6);
    assert_eq!(last.groups.window_ns, Some(6 * SECOND));

    // Another filter counts other tasks: it starts over.
    let wanted = crate::dashboard::filter_query::Wanted::parse("reason:f0").unwrap();
    let query = Query { wanted: Arc::new(wanted), ..(*query).clone() };
    let tables = compute(&last.picture, &Arc::new(query), None, &mut memory);
    assert!(tables.groups.rows.iter().all(|row| row.change.is_none()));
}

#[test]
fn differences_do_not_overflow() {
    assert_eq!(difference(u64::MAX, 0), i64::MAX);
    assert_eq!(difference(0, u64::MAX), i64::MIN);
    assert_eq!(difference(3, 5), -2);
}
