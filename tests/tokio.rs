//! Tasks of Tokio in real programs, compared with what the programs know of them themselves.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use loiter::process;
use loiter::runtimes::{self, Pause, ReadOptions, Readable};
use loiter::snapshot::{Snapshot, Task, TaskState};

mod common;

use common::{
    BookedTask, TOKIO_ASKED, TOKIO_VERSIONS, TokioFixture, TokioFlavour, amount, asked_versions, full_matrix,
};

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn read(pid: u32) -> Snapshot {
    let target = process::open_pid(pid).unwrap();
    let snapshot = runtimes::snapshot(&*target, &ReadOptions::default()).unwrap();
    assert_eq!(snapshot.validate(), Ok(()));
    snapshot
}

fn label(snapshot: &Snapshot, task: &Task, name: &str) -> Option<String> {
    let labels =
        task.labels.map(|set| snapshot.code.label_sets[set.index()].pairs.as_slice()).unwrap_or_default();
    labels
        .iter()
        .find(|(key, _)| snapshot.str(*key) == name)
        .map(|(_, value)| snapshot.str(*value).to_owned())
}

/// The tasks that are not the runtime's own, by id. Futures of `block_on` have none.
fn by_id(snapshot: &Snapshot) -> BTreeMap<u64, Task> {
    let own = snapshot.tasks.iter().filter(|task| !task.system);
    let tasks: Vec<_> = own.filter_map(|task| Some((task.id?, *task))).collect();
    let map: BTreeMap<_, _> = tasks.iter().copied().collect();
    assert_eq!(
        map.len(),
        tasks.len(),
        "each id once: {:?}",
        tasks.iter().map(|task| task.0).collect::<Vec<_>>()
    );
    map
}

/// The state that the books have of a task, in the words of a snapshot.
fn state(task: &BookedTask) -> TaskState {
    task.state.parse().unwrap()
}

/// Since this minor version, Tokio with its unstable features keeps where tasks were spawned (1.46.0,
/// src/runtime/task/raw.rs).
const PLACES_SINCE: u32 = 46;

fn minor(version: &str) -> u32 {
    version.split('.').nth(1).unwrap().parse().unwrap()
}

/// Members of a JoinSet, and what else is no task of the books.
const UNBOOKED: [&str; 1] = ["member"];

/// Reads until every booked task has its state, all others wait, and there are so many others and workers: tasks need a
/// moment to get there, and some end soon after the start.
fn settled(
    fixture: &mut TokioFixture,
    others: Option<(usize, usize)>,
) -> (BTreeMap<u64, BookedTask>, Snapshot) {
    let began = Instant::now();
    loop {
        let (books, snapshot) = (fixture.books(), read(fixture.pid()));
        let tasks = by_id(&snapshot);
        let wrong = |task: &&BookedTask| tasks.get(&task.id).is_none_or(|found| found.state != state(task));
        let mut unbooked = tasks.iter().filter(|(id, _)| !books.contains_key(id));
        let rests = unbooked.all(|(_, task)| task.state == TaskState::Waiting);
        match books.values().find(wrong) {
            None if rests && others.is_none_or(|others| others == rest(&books, &snapshot))
                || began.elapsed() > PATIENCE =>
            {
                return (books, snapshot);
            }
            None => std::thread::sleep(Duration::from_millis(10)),
            Some(_) if began.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            Some(task) => panic!("{task:?} is read as {:?}", tasks.get(&task.id)),
        }
    }
}

/// How many tasks are not in the books, and how many workers there are.
fn rest(books: &BTreeMap<u64, BookedTask>, snapshot: &Snapshot) -> (usize, usize) {
    let workers = snapshot.tasks.iter().filter(|task| task.system).count();
    (by_id(snapshot).keys().filter(|id| !books.contains_key(id)).count(), workers)
}

/// The name that a booked task should have, and a beginning of it where symbols do not tell more.
fn is_named(name: &str, task: &BookedTask) -> bool {
    // "books::waits::generic<String, u8>::{async fn}" of "books::waits::generic<alloc::string::String, u8>::{{closure}}".
    let path = |text: &str| {
        let plain = text.replace("{{closure}}", "{").replace("alloc::string::", "");
        // "<api::Service as api::Job>::run", and "<api::Service>::run" in symbols of the newer kind.
        let plain = match plain.strip_prefix('<').and_then(|rest| rest.split_once(" as ")) {
            Some((own, rest)) => {
                format!("{own}::{}", rest.split_once(">::").map_or("", |(_, name)| name))
            }
            None => plain,
        };
        let plain = plain.trim_start_matches('<').replacen(">::", "::", usize::from(plain.starts_with('<')));
        let end = plain.find(['{', '<']).unwrap_or(plain.len());
        plain[..end].trim_end_matches("::").to_owned()
    };
    let expected = path(&task.type_name);
    match expected.as_str() {
        "" | "core::pin::Pin" => !name.is_empty(),
        expected => path(name) == expected,
    }
}

fn check(version: &str, flavour: TokioFlavour) {
    let mut fixture = TokioFixture::start(version, flavour, &["waits", "states"]);
    let (books, snapshot) = settled(&mut fixture, Some((2, 2 + 1 + 2)));
    let tasks = by_id(&snapshot);
    let name = |task: &Task| task.entry.map_or("", |entry| snapshot.function_name(entry)).to_owned();

    // The same tasks: all of the books, and no others but those that the books leave out.
    let others: Vec<_> =
        tasks.iter().filter(|(id, _)| !books.contains_key(id)).map(|(_, task)| name(task)).collect();
    let is_known = |name: &String| UNBOOKED.iter().any(|known| name.contains(known));
    if flavour.names_all() {
        assert!(others.iter().all(is_known), "{version} {flavour:?}: {others:?}");
    }
    assert_eq!(others.len(), 2, "{version} {flavour:?}: {others:?}");

    let mut named = 0;
    for (id, booked) in &books {
        let task = &tasks[id];
        let about = format!("{version} {flavour:?} {booked:?}: {} {task:?}", name(task));
        assert_eq!(task.state, state(booked), "{about}");
        assert_eq!(label(&snapshot, task, "cancelled").is_some(), booked.cancelled, "{about}");
        let kind = label(&snapshot, task, "kind");
        assert_eq!(kind.as_deref() == Some("blocking"), booked.kind == "blocking", "{about}");
        // A name is right or unknown.
        let unnamed = [" of ", "future"].iter().any(|word| name(task).contains(word));
        assert!(unnamed || task.state == TaskState::Running || is_named(&name(task), booked), "{about}");
        named += usize::from(!unnamed);
        if flavour.names_all() {
            assert!(!unnamed, "{about}");
        }
        let place = task.creator.map(|id| {
            let frame = snapshot.code.locations[id.index()].frames[0];
            (snapshot.str(frame.file).to_owned(), frame.line)
        });
        let has_places = flavour == TokioFlavour::Unstable && minor(version) >= PLACES_SINCE;
        assert_eq!(place, has_places.then(|| (booked.file.clone(), booked.line)), "{about}");
    }
    // Many futures of the fixture have equal code that drops them, which names none of them.
    let has_names = flavour.names_all() || flavour.has_types() || flavour == TokioFlavour::Symbols;
    assert!(
        !has_names || named * 3 > books.len(),
        "{version} {flavour:?}: {named} of {} are named",
        books.len()
    );
    check_runtimes(&snapshot, flavour, &books, &tasks, &format!("{version} {flavour:?}"));
    check_wakers(&fixture, &books, &format!("{version} {flavour:?}"));

    let info = &snapshot.header.runtimes[0];
    if flavour.has_types() {
        let queued = books.values().filter(|task| ["global queue", "not driven"].contains(&&*task.subject));
        let (scheduler, about) = (&info.scheduler, format!("{version} {flavour:?} {:?}", info.scheduler));
        assert_eq!(scheduler.global_queue, Some(queued.count() as u64), "{about}");
        // Three workers run tasks that never end.
        let idle = scheduler.workers.iter().filter(|worker| worker.status == "idle").count();
        assert!(idle <= 2 && scheduler.workers.len() == 5, "{about}");
        // The workers, two threads that run jobs, and none that waits for one.
        assert_eq!((scheduler.threads, scheduler.idle_threads), (Some(5 + 2), Some(0)), "{about}");
        let starved =
            snapshot.header.warnings.iter().filter(|warning| warning.contains("is starved: 4 jobs wait"));
        assert_eq!(starved.count(), 1, "{:?}", snapshot.header.warnings);
    }
    if flavour == TokioFlavour::Unstable {
        let mut theirs: Vec<u32> = fixture.metrics().into_iter().flat_map(|runtime| runtime.queues).collect();
        let mut ours: Vec<u32> = info.scheduler.workers.iter().map(|worker| worker.queue).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "{version} {flavour:?}: the workers' own queues");
        assert!(ours.iter().any(|queue| *queue > 0), "{ours:?}");
    }
    let ended = tasks.values().filter(|task| task.state == TaskState::Finished);
    assert!(ended.clone().all(|task| task.reason.map(|id| snapshot.str(id)) == Some("finished, not joined")));
    assert_eq!(ended.count(), 2, "{version} {flavour:?}: their handles are kept");
    assert_eq!((info.name.as_str(), info.version.clone()), ("tokio", Some(format!("tokio {version}"))));
    let workers = snapshot.tasks.iter().filter(|task| task.system).count();
    assert_eq!(workers, 2 + 1 + 2, "{version} {flavour:?}: the workers of all multi-thread runtimes");
}

/// Two readings prove of some tasks that nothing can wake them: of no other ones.
fn check_wakers(fixture: &TokioFixture, books: &BTreeMap<u64, BookedTask>, about: &str) {
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let read = || readable.read(&*target, &ReadOptions::default()).unwrap();
    assert!(read().tasks.iter().all(|task| !task.leaked), "{about}: one reading proves nothing");
    let leaked: BTreeSet<u64> =
        by_id(&read()).into_iter().filter(|(_, task)| task.leaked).map(|(id, _)| id).collect();
    let of_books = books.values().filter(|task| leaked.contains(&task.id)).map(|task| task.subject.as_str());
    let subjects: BTreeSet<&str> = of_books.collect();
    assert_eq!(subjects, BTreeSet::from(["awaited", "pending"]), "{about}");
}

/// Tasks of one runtime have the same label, those of others another one.
fn check_runtimes(
    snapshot: &Snapshot,
    flavour: TokioFlavour,
    books: &BTreeMap<u64, BookedTask>,
    tasks: &BTreeMap<u64, Task>,
    about: &str,
) {
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (id, booked) in books.iter().filter(|(_, booked)| booked.kind != "blocking") {
        labels.entry(&booked.runtime).or_default().extend(label(snapshot, &tasks[id], "runtime"));
    }
    assert!(labels.values().all(|labels| labels.len() == 1), "{about}: {labels:?}");
    let different: BTreeSet<_> = labels.values().flatten().collect();
    assert_eq!(different.len(), labels.len(), "{about}: {labels:?}");
    let starts = |runtime: &str, kind: &str| {
        assert!(labels[runtime].iter().all(|label| label.starts_with(kind)), "{about}: {labels:?}");
    };
    let threaded = ["main", "full", "busy"];
    threaded.iter().for_each(|runtime| starts(runtime, "multi-thread"));
    for (runtime, labels) in labels.iter().filter(|(runtime, _)| !threaded.contains(runtime)) {
        let wrong = labels.iter().any(|label| label.starts_with("multi-thread"));
        assert!(!wrong, "{about}: {runtime}: {labels:?}");
    }
    if flavour.has_types() {
        starts("local", "local set");
        ["small", "blocking"].iter().for_each(|runtime| starts(runtime, "current-thread"));
    }
}

/// Each version once and each flavour once.
const QUICK: [(&str, TokioFlavour); 9] = [
    ("1.28.2", TokioFlavour::Symbols),
    ("1.36.0", TokioFlavour::Dev),
    ("1.40.0", TokioFlavour::Lines),
    ("1.44.2", TokioFlavour::Stripped),
    ("1.47.1", TokioFlavour::Mimalloc),
    ("1.54.1", TokioFlavour::Dev),
    ("1.54.1", TokioFlavour::Fat),
    ("1.54.1", TokioFlavour::V0),
    ("1.54.1", TokioFlavour::Unstable),
];

macro_rules! quick {
    ($($name:ident: $nth:literal,)*) => {
        mod tasks_equal_the_books {
            use super::*;

            $(#[test]
            fn $name() {
                let (version, flavour) = QUICK[$nth];
                check(version, flavour);
            })*
        }
    };
}

quick! {
    tokio_1_28_symbols: 0,
    tokio_1_36_dev: 1,
    tokio_1_40_lines: 2,
    tokio_1_44_stripped: 3,
    tokio_1_47_mimalloc: 4,
    tokio_1_54_dev: 5,
    tokio_1_54_fat: 6,
    tokio_1_54_v0: 7,
    tokio_1_54_unstable: 8,
}

/// The others: one build for each flavour that is in none of these and, with `LOITER_TOKIO=all` or the names of
/// versions, each of these with every flavour.
#[test]
#[ignore = "needs LOITER_MATRIX=full"]
fn more_flavours() {
    let is_quick = |pair: &(&str, TokioFlavour)| QUICK.contains(pair);
    let of = |version| TokioFlavour::ALL.map(|flavour| (version, flavour));
    let asked = asked_versions();
    let mut others: Vec<_> = asked.iter().flat_map(|version| of(*version)).collect();
    if asked.is_empty() {
        let newest = |flavour: TokioFlavour| QUICK.iter().all(|(_, quick)| *quick != flavour);
        others = of("1.54.1").into_iter().filter(|(_, flavour)| newest(*flavour)).collect();
    }
    others.retain(|pair| !is_quick(pair));
    let failed: Vec<_> = others
        .into_iter()
        .filter(|(version, flavour)| std::panic::catch_unwind(|| check(version, *flavour)).is_err())
        .collect();
    assert_eq!(failed, []);
}

#[test]
fn tasks_that_stay_are_in_every_snapshot_while_others_come_and_go() {
    let stay = amount("LOITER_TOKIO_TASKS", 20_000, 100_000);
    let subject = format!("many={stay}");
    let mut fixture = TokioFixture::start("1.54.1", TokioFlavour::V0, &[&subject, "churn"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let readable = Readable::find(&*target).unwrap();
    let (ids, ran) = fixture.crowd();
    assert_eq!(ids.len(), stay as usize);
    // Each one waits only when a worker has polled it.
    let began = Instant::now();
    loop {
        let snapshot = read(fixture.pid());
        let waiting = snapshot.tasks.iter().filter(|task| task.state == TaskState::Waiting);
        let waiting: BTreeSet<u64> = waiting.filter_map(|task| task.id).collect();
        if ids.iter().all(|id| waiting.contains(id)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "not all of them were polled");
        std::thread::sleep(Duration::from_millis(10));
    }
    for nth in 0..amount("LOITER_TOKIO_SNAPSHOTS", 8, 50) {
        let snapshot = readable.read(&*target, &ReadOptions::default()).unwrap();
        let mut found = BTreeMap::new();
        for task in snapshot.tasks.iter().filter(|task| !task.system) {
            let name = task.entry.map_or("", |entry| snapshot.function_name(entry));
            // The thread that spawned tasks has addresses of tasks on its stack, and runs none.
            let frames =
                snapshot.stack_of(task).iter().flat_map(|id| &snapshot.code.locations[id.index()].frames);
            let on_main = frames
                .map(|frame| snapshot.function_name(frame.function))
                .find(|name| *name == "books::main");
            assert_eq!(on_main, None, "reading {nth}: {task:?}");
            let known = ["member", "short", "churn"].iter().any(|known| name.contains(known));
            assert!(known, "reading {nth}: {name} {task:?}");
            found.insert(task.id.unwrap(), *task);
        }
        for id in &ids {
            let task = found.get(id).unwrap_or_else(|| panic!("reading {nth}: {id} is missing"));
            assert_eq!(task.state, TaskState::Waiting, "reading {nth}: {task:?}");
            assert_eq!(task.leaked, nth > 0, "it has no waker: {task:?}");
        }
        assert_eq!(snapshot.header.reading.missing, 0);
    }
    assert!(fixture.crowd().1 > ran, "tasks came and went meanwhile");
}

#[test]
fn a_frozen_reading_and_one_that_stops_nothing_find_the_same() {
    let mut fixture = TokioFixture::start("1.54.1", TokioFlavour::Dev, &["waits"]);
    let (books, _) = settled(&mut fixture, None);
    let target = process::open_pid(fixture.pid()).unwrap();
    for pause in [Pause::Everything, Pause::Nothing] {
        let snapshot = runtimes::snapshot(&*target, &common::reading(pause)).unwrap();
        let tasks = by_id(&snapshot);
        assert!(books.keys().all(|id| tasks.contains_key(id)), "{pause:?}");
    }
}

#[test]
fn workers_are_recognised_where_no_task_leads_to_them() {
    for (version, flavour) in [("1.28.2", TokioFlavour::Symbols), ("1.44.2", TokioFlavour::Stripped)] {
        let fixture = TokioFixture::start(version, flavour, &[]);
        let began = Instant::now();
        loop {
            let snapshot = read(fixture.pid());
            let workers = snapshot.tasks.iter().filter(|task| task.system).count();
            if (workers, snapshot.tasks.len()) == (2, 2) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{version} {flavour:?}: {:?}", snapshot.tasks);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_matrix_has_every_version_and_flavour() {
    let versions: BTreeSet<_> = QUICK.iter().map(|pair| pair.0).chain(TOKIO_ASKED).collect();
    assert_eq!(versions, BTreeSet::from(TOKIO_VERSIONS));
    assert!(QUICK.len() < 12 || full_matrix(), "the quick part must stay small");
}
