#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;
use crate::snapshot::*;

const SECOND: u64 = 1_000_000_000;

/// Builds snapshots from stacks given outermost first: "main.a;main.b".
#[derive(Default)]
struct Maker {
    builder: SnapshotBuilder,
}

impl Maker {
    fn new() -> Self {
        let mut maker = Maker::default();
        maker.builder.header.runtimes.push(RuntimeInfo {
            name: "go".to_owned(),
            module: Some("example.com/api".to_owned()),
            ..RuntimeInfo::default()
        });
        maker
    }

    fn location(&mut self, name: &str, line: u32) -> LocationId {
        let package = name.rsplit_once('.').map_or("", |(package, _)| package);
        let function = self.builder.code.function(name, package, FunctionKind::Normal);
        let frames = vec![self.builder.code.frame(function, "f.go", line)];
        self.builder.code.location(Location::in_source(frames))
    }

    /// A waiting task; the line makes stacks of equal names distinct.
    fn task(&mut self, stack: &str, line: u32, reason: &str, age: Age) -> &mut Task {
        let locations = stack.split(';').rev().map(|name| self.location(name, line)).collect();
        let stack = Some(self.builder.code.stack(locations));
        let reason = Some(self.builder.code.string(reason));
        let (state, stack_status) = (TaskState::Waiting, StackStatus::Complete);
        self.push(Task { state, reason, age, stack, stack_status, ..Task::default() })
    }

    fn push(&mut self, task: Task) -> &mut Task {
        self.builder.task(task);
        let last = self.builder.task_count() - 1;
        self.builder.task_mut(last)
    }

    fn finish(self) -> Snapshot {
        self.builder.finish()
    }
}

/// The tree, one node a line, indented: name, width, and the output of `more`.
fn drawn(flame: &Flame, more: impl Fn(NodeId) -> String) -> Vec<String> {
    let line = |id| {
        let node = flame.node(id);
        let indent = " ".repeat(node.depth as usize);
        format!("{indent}{} {}{}", flame.name(id).text, node.width, more(id))
    };
    flame.ids().map(line).collect()
}

fn with(root: &str, weight: Weight) -> FlameOptions {
    FlameOptions { root: root.parse().unwrap(), weight, ..FlameOptions::default() }
}

fn sample() -> Snapshot {
    let mut m = Maker::new();
    m.task("main.run;main.b", 1, "select", Age::Exactly(2 * SECOND)).stack_bytes = 2048;
    m.task("main.run;main.a", 1, "chan send", Age::AtLeast(5 * SECOND)).thread = Some(7);
    m.task("main.run;main.a", 2, "select", Age::Exactly(5 * SECOND)).stack_bytes = 4096;
    m.task("main.run", 3, "sleep", Age::Unknown);
    m.push(Task { state: TaskState::Running, stack_status: StackStatus::Running, ..Task::default() });
    m.finish()
}

#[test]
fn stacks_are_added_up_by_the_names_of_their_functions() {
    let flame = flame(&sample(), &Filter::default(), &FlameOptions::default());
    let figures = |id| {
        let reasons: Vec<_> =
            flame.reasons_of(id).into_iter().map(|(r, n)| format!("{} {n}", flame.reason(r))).collect();
        format!(", {}, {:?}", reasons.join(" "), flame.node(id).now.oldest)
    };
    assert_eq!(
        drawn(&flame, figures),
        [
            "all 5, select 2 chan send 1 running 1 sleep 1, AtLeast(5000000000)",
            " (stack not read: running) 1, running 1, Unknown",
            " main.run 4, select 2 chan send 1 sleep 1, AtLeast(5000000000)",
            "  main.a 2, chan send 1 select 1, AtLeast(5000000000)",
            "  main.b 1, select 1, Exactly(2000000000)",
        ]
    );
    assert_eq!((flame.totals.tasks, flame.totals.without_stack), (5, 1));
    let children: Vec<_> = flame.children(NodeId(2)).map(|id| flame.name(id).text.as_str()).collect();
    assert_eq!(children, ["main.a", "main.b"]);
    let path: Vec<_> = flame.path(NodeId(3)).iter().map(|id| id.0).collect();
    assert_eq!(path, [2, 3]);
    assert_eq!(flame.path(NodeId::ALL), [NodeId::ALL]);
    let stacks: Vec<_> = flame.stacks().map(|(id, now, _)| (id.0, now.count)).collect();
    assert_eq!(stacks, [(1, 1), (2, 1), (3, 2), (4, 1)]);
}

#[test]
fn weights() {
    for (weight, all, without) in
        [(Weight::Tasks, 5, 0), (Weight::Seconds, 12_000, 2), (Weight::Bytes, 6144, 3)]
    {
        let flame = flame(&sample(), &Filter::default(), &with("none", weight));
        assert_eq!((flame.node(NodeId::ALL).width, flame.totals.without_weight), (all, without));
        assert_eq!(flame.node(NodeId::ALL).now.count, 5);
    }
}

#[test]
fn runtimes_have_rows_where_there_are_several() {
    let with_runtimes = |names: &[&str], tasks: &[u8]| {
        let mut m = Maker::default();
        let info = |name: &&str| RuntimeInfo { name: (*name).to_owned(), ..RuntimeInfo::default() };
        m.builder.header.runtimes.extend(names.iter().map(info));
        for &runtime in tasks {
            m.task("main.a", 1, "select", Age::Unknown).runtime = runtime;
        }
        m.finish()
    };
    let tree = |snapshot: &Snapshot, root: &str| {
        drawn(&flame(snapshot, &Filter::default(), &with(root, Weight::Tasks)), |_| String::new())
    };
    let both = with_runtimes(&["go", "tokio"], &[0, 1, 1]);
    assert_eq!(tree(&both, "none"), ["all 3", " go 1", "  main.a 1", " tokio 2", "  main.a 2"]);
    let rows = ["all 3", " go 1", "  select 1", "   main.a 1", " tokio 2", "  select 2", "   main.a 2"];
    assert_eq!(tree(&both, "state"), rows);
    // Which runtime the tasks belong to must be visible even if only one of the runtimes has tasks.
    assert_eq!(tree(&with_runtimes(&["go", "tokio"], &[1]), "none"), ["all 1", " tokio 1", "  main.a 1"]);
    // Tasks of a runtime that the snapshot does not list do not count as tasks of the listed one.
    let stray = with_runtimes(&["go"], &[0, 5]);
    assert_eq!(tree(&stray, "none"), ["all 2", " (runtime unknown) 1", "  main.a 1", " go 1", "  main.a 1"]);
    let one = with_runtimes(&["go"], &[0]);
    assert_eq!(tree(&one, "state"), ["all 1", " select 1", "  main.a 1"]);
    assert!(
        flame(&one, &Filter::default(), &FlameOptions::default()).names.iter().all(|name| name.text != "go")
    );
    // A difference has rows if the two snapshots together have several runtimes.
    let difference = difference(&one, &both, &Filter::default(), &FlameOptions::default());
    let rows = drawn(&difference, |_| String::new());
    assert_eq!(rows, ["all 3", " go 1", "  main.a 1", " tokio 2", "  main.a 2"]);
}

#[test]
fn root_rows() {
    let rows = |root: &str| {
        let flame = flame(&sample(), &Filter::default(), &with(root, Weight::Tasks));
        let rows = flame.ids().filter(|&id| flame.node(id).depth == 1);
        rows.map(|id| format!("{} {}", flame.name(id).text, flame.node(id).width)).collect::<Vec<_>>()
    };
    assert_eq!(rows("state"), ["chan send 1", "running 1", "select 2", "sleep 1"]);
    assert_eq!(rows("thread"), ["(on no thread) 4", "thread 7 1"]);
    assert_eq!(rows("creator"), ["(creator unknown) 5"]);
    assert_eq!(rows("label:x"), ["(no label x) 5"]);
    for bad in ["", "label:", "stack"] {
        assert!(bad.parse::<Root>().is_err(), "{bad}");
    }
    for good in ["none", "state", "creator", "label:a b", "thread"] {
        assert_eq!(good.parse::<Root>().unwrap().to_string(), good);
    }
}

#[test]
fn creators_and_labels_are_rows() {
    let mut m = Maker::new();
    let creator = m.location("main.start", 9);
    let labels = m.builder.code.labels([("route", "/v1"), ("zone", "b")]);
    let task = m.task("main.a", 1, "select", Age::Unknown);
    (task.creator, task.labels) = (Some(creator), Some(labels));
    let snapshot = m.finish();
    let row = |root: &str| {
        let flame = flame(&snapshot, &Filter::default(), &with(root, Weight::Tasks));
        flame.name(NodeId(1)).text.clone()
    };
    assert_eq!(row("creator"), "created by main.start");
    assert_eq!(row("label:zone"), "zone=b");
}

#[test]
fn reversed_stacks_begin_where_tasks_wait() {
    let options = FlameOptions { reverse: true, ..FlameOptions::default() };
    let mut m = Maker::new();
    m.task("main.x;main.read", 1, "IO wait", Age::Unknown);
    m.task("main.y;main.read", 1, "IO wait", Age::Unknown);
    let flame = flame(&m.finish(), &Filter::default(), &options);
    let tree = drawn(&flame, |_| String::new());
    assert_eq!(tree, ["all 2", " main.read 2", "  main.x 1", "  main.y 1"]);
}

#[test]
fn a_difference_shows_what_was_born_and_what_is_gone() {
    let snapshot = |stacks: &[(&str, u32)]| {
        let mut maker = Maker::new();
        for &(stack, n) in stacks {
            (0..n).for_each(|_| _ = maker.task(stack, 1, "select", Age::Unknown));
        }
        maker.finish()
    };
    let before = snapshot(&[("main.a;main.gone", 3), ("main.a;main.stays", 2)]);
    let now = snapshot(&[("main.a;main.stays", 2), ("main.a;main.born", 4)]);
    let flame = difference(&before, &now, &Filter::default(), &FlameOptions::default());
    let tree = drawn(&flame, |id| format!(": {} -> {}", flame.was(id).count, flame.node(id).now.count));
    assert_eq!(
        tree,
        [
            "all 9: 5 -> 6",
            " main.a 9: 5 -> 6",
            "  main.born 4: 0 -> 4",
            "  main.gone 3: 3 -> 0",
            "  main.stays 2: 2 -> 2",
        ]
    );
    assert_eq!(flame.reasons_of(NodeId(3)).len(), 1);
    assert_eq!((flame.was_totals.unwrap().tasks, flame.totals.tasks), (5, 6));
}

#[test]
fn the_middle_of_very_deep_stacks_is_left_out() {
    let mut m = Maker::new();
    m.task(&["main.f"; 1000].join(";"), 1, "select", Age::Unknown);
    m.task(&["main.f"; 1001].join(";"), 1, "select", Age::Unknown);
    let flame = flame(&m.finish(), &Filter::default(), &FlameOptions::default());
    assert_eq!(flame.totals.shortened, 2);
    // The tree merges them: all, 256 frames, and the one that says so.
    assert_eq!(flame.nodes.len(), 1 + 256 + 1);
    assert!(flame.names.iter().any(|name| name.text == "(frames left out: very deep)"));
}

#[test]
fn missing_outer_frames_are_a_frame() {
    let mut m = Maker::new();
    m.task("main.a", 1, "select", Age::Unknown).stack_status = StackStatus::Broken;
    let entry = m.builder.code.function("main.start", "main", FunctionKind::Normal);
    m.push(Task { entry: Some(entry), ..Task::default() });
    let flame = flame(&m.finish(), &Filter::default(), &FlameOptions::default());
    let tree = drawn(&flame, |_| String::new());
    let wanted =
        ["all 2", " (outer frames not found) 1", "  main.a 1", " main.start 1", "  (stack unknown) 1"];
    assert_eq!(tree, wanted);
}

#[test]
fn the_programs_own_packages() {
    let mut m = Maker::new();
    m.task("main.a;example.com/api/x.f;example.com/apis.g;net.h", 1, "select", Age::Unknown);
    let flame = flame(&m.finish(), &Filter::default(), &FlameOptions::default());
    let own: Vec<_> = flame.names.iter().filter(|name| name.own).map(|name| name.text.as_str()).collect();
    assert_eq!(own, ["example.com/api/x.f", "main.a"]);
}

#[test]
fn a_tree_that_is_too_large_is_cut_and_still_adds_up() {
    let mut m = Maker::new();
    for stack in ["main.a;main.b", "main.a;main.c;main.d", "main.a;main.c;main.e", "main.f"] {
        m.task(stack, 1, "select", Age::Unknown);
        m.task(stack, 1, "sleep", Age::Unknown);
    }
    let snapshot = m.finish();
    let options = FlameOptions::default();
    let cut = |max| {
        let mut collector = collect::Collector::new(&options);
        let selection = Filter::default().select(&snapshot);
        let picked = Picked { snapshot: &snapshot, selection: &selection, times: &[], roots: None };
        collector.add(picked, false, collect::Side::Now);
        tree::build_within(max, collector.finish(), Weight::Tasks, false)
    };
    for (max, nodes, left_out) in [(1, 1, 6), (2, 2, 5), (4, 4, 3), (7, 7, 0)] {
        let tree = cut(max);
        assert_eq!((tree.nodes.len(), tree.left_out), (nodes, left_out), "{max}");
        assert_eq!((tree.node(NodeId::ALL).now.count, tree.node(NodeId::ALL).width), (8, 8));
        let ends: u64 = tree.stacks().map(|(_, now, _)| now.count).sum();
        assert_eq!(ends, 8);
    }
}

#[test]
fn there_is_no_end_of_reasons() {
    let mut m = Maker::new();
    for n in 0..1000 {
        m.task("main.a", 1, &format!("reason {n}"), Age::Unknown);
    }
    let flame = flame(&m.finish(), &Filter::default(), &FlameOptions::default());
    let reasons = flame.reasons_of(NodeId::ALL);
    assert_eq!((reasons.len(), reasons[0].1), (256, 745));
    assert_eq!(flame.reason(reasons[0].0), "(other reasons)");
}

#[test]
fn nothing_gives_a_tree_of_nothing() {
    let flame = flame(&Snapshot::default(), &Filter::default(), &FlameOptions::default());
    assert_eq!(drawn(&flame, |_| String::new()), ["all 0"]);
    assert_eq!(flame.children(NodeId::ALL).count(), 0);
    assert_eq!(flame.stacks().count(), 0);
}

proptest! {
    #[test]
    fn trees_add_up(stacks in prop::collection::vec(("[ab;]{0,6}", 0..3_u32, 0..4_u64), 0..40), reverse: bool) {
        let mut m = Maker::new();
        for (stack, line, age) in &stacks {
            m.task(stack, *line, ["select", "sleep"][*line as usize % 2], Age::Exactly(age * SECOND));
        }
        let snapshot = m.finish();
        for weight in [Weight::Tasks, Weight::Seconds] {
            let options = FlameOptions { reverse, ..with("state", weight) };
            let tree = difference(&snapshot, &snapshot, &Filter::default(), &options);
            prop_assert_eq!(tree.node(NodeId::ALL).now.count, stacks.len() as u64);
            let ends: u64 = tree.stacks().map(|(_, now, _)| now.weight).sum();
            prop_assert_eq!(tree.node(NodeId::ALL).width, ends);
            for id in tree.ids() {
                let node = tree.node(id);
                prop_assert_eq!(tree.was(id), node.now);
                let children: Vec<_> = tree.children(id).collect();
                prop_assert!(children.windows(2).all(|pair| tree.node(pair[0]).name < tree.node(pair[1]).name));
                prop_assert!(children.iter().all(|&child| tree.node(child).parent == id));
                let widths: u64 = children.iter().map(|&child| tree.node(child).width).sum();
                prop_assert!(widths <= node.width);
                let last = children.last().map_or(id.0 + 1, |&child| tree.node(child).end.0);
                prop_assert_eq!(node.end.0, last);
                let reasons: u64 = tree.reasons_of(id).iter().map(|&(_, count)| count).sum();
                prop_assert_eq!(reasons, node.now.count);
            }
        }
    }
}
