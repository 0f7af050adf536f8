//! Files that were written once: they are read as ever, and what is written today has the tables that are
//! documented.
//!
//! `LOITER_BLESS=1 cargo test --test file` writes the JSON anew, and those snapshots that are not there. Until the
//! first release a snapshot may be deleted and so written anew; after it they stay as they are.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use loiter::analysis::each::each;
use loiter::analysis::{Filter, SortBy};
use loiter::report::json;
use serde_json::Value;

use super::*;
use crate::samples::{GOEXIT, GOPARK, Internal, Maker, Normal, SECOND, with};

const STORE: &str = "/home/ci/api/store.go";
const LOCK: samples::F = ("sync.(*Mutex).Lock", "sync", Normal, "/usr/local/go/src/sync/mutex.go", 46);

/// The tables that are there only if they have rows.
const OPTIONAL: [&str; 12] = [
    "twins",
    "descriptors",
    "sockets",
    "timers",
    "contexts",
    "calls",
    "actors",
    "searched",
    "unknown",
    "ancestors",
    "branches",
    "handles",
];

/// The snapshots, each with its name.
fn snapshots() -> [(&'static str, Snapshot); 7] {
    [
        ("go", go()),
        ("registry", registry()),
        ("counted", counted()),
        ("links", links()),
        ("ancestors", ancestors()),
        ("branches", branches()),
        ("handles", handles()),
    ]
}

/// A Go program: a select on two channels, a lock that one goroutine holds, labels, a goroutine of the runtime,
/// one whose stack was not read, code in two images.
fn go() -> Snapshot {
    let mut m = Maker::new();
    m.builder.header.warnings = vec!["a warning".to_owned()];
    m.builder.header.runtimes[0].modules = vec![
        Module::new("example.com/api", Some("(devel)".to_owned())),
        Module::new("example.com/lib", None),
    ];
    let creator = m.location(&[("main.main", "main", Normal, "/home/ci/api/main.go", 58)]);
    let run: samples::F = ("main.(*Store).Run", "main", Normal, STORE, 40);

    let stack =
        m.stack(&[GOPARK, ("runtime.selectgo", "runtime", Internal, samples::PROC, 327), run, GOEXIT]);
    let (bytes, done) =
        (m.channel(0xc0_0010_0000, 4, 1, 2, "[]uint8"), m.channel(0xc0_0010_0060, 0, 0, 1, "struct {}"));
    let receive = |object| Wait { op: WaitOp::Receive, object };
    let waits = m.builder.waits([receive(bytes), receive(done)]);
    let labels = m.builder.code.labels([("request", "7"), ("tenant", "acme")]);
    let role = FunctionRole { layer: Layer::Standard, begins: Begins::Task };
    let entry = m.builder.code.function_with("main.(*Store).Run", "main", Normal, role);
    let task = m.waiting(7, "select", Age::AtLeast(120 * SECOND), stack);
    m.builder.task(with!(task; creator: Some(creator), entry: Some(entry), labels: Some(labels), waits, mark: Some(0x305), wait_class: WaitClass::Select));

    let lock = m.builder.object(ObjectKind::Mutex, 0xc0_0020_0000, |_| None);
    m.builder.set_lock_state(lock, LockState::Exclusive);
    let stack = m.stack(&[LOCK, ("main.(*Store).Put", "main", Normal, STORE, 71), run, GOEXIT]);
    let task = m.waiting(8, "sync.Mutex.Lock", Age::Unknown, stack);
    let waits = m.wait(WaitOp::Lock, lock);
    m.builder.task(with!(task; creator: Some(creator), waits, parent: Some(7)));
    let unlocks = m.location(&[("main.(*Store).Flush", "main", Normal, STORE, 90)]);
    let holds = m.builder.holds([Hold { object: lock, how: HoldKind::Exclusive, location: Some(unlocks) }]);
    let stack = m.stack(&[("write", "", FunctionKind::Foreign, "/usr/lib/libc.so.6", 0), run, GOEXIT]);
    m.builder.task(with!(samples::task(9);
        state: TaskState::Syscall,
        thread: Some(4250),
        locked_to_thread: true,
        stack: Some(stack),
        stack_status: StackStatus::Truncated,
        holds,
    ));
    let group = m.builder.object(ObjectKind::WaitGroup, 0xc0_0030_0000, |_| None);
    m.builder.set_lock_state(group, LockState::Outstanding(3));
    let waits = m.wait(WaitOp::Wait, group);
    let holds = m.builder.holds([Hold { object: lock, how: HoldKind::Perhaps, location: None }]);
    let task = with!(samples::task(10); state: TaskState::Waiting, stack_status: StackStatus::Torn);
    m.builder.task(with!(task; waits, holds));
    m.builder
        .task(with!(samples::task(2); system: true, leaked: true, parent: None, age: Age::Exactly(SECOND)));
    images(&mut m);
    m.builder.finish()
}

/// Puts every second location into a library and the rest into the executable.
fn images(m: &mut Maker) {
    let code = &mut m.builder.code;
    let (exe, library) = (code.string("/srv/api-server"), code.string("/usr/lib/libc.so.6"));
    let build_id = code.string("abcdef");
    let first = code.locations().iter().filter_map(|location| location.address).min().unwrap();
    let exe = code.image(Image::new(exe, Some(build_id), first & !0xfff, 1 << 40, 0x1000));
    let library = code.image(Image::new(library, None, first & !0xfff, 1 << 40, 0x26000));
    for id in 0..code.locations().len() as u32 {
        code.set_image(LocationId(id), if id % 2 == 0 { exe } else { library });
    }
}

/// A Go program with a task registry as its second runtime: await places without addresses, polls, lifetimes.
fn registry() -> Snapshot {
    let mut m = Maker::new();
    let mut runtime = RuntimeInfo::default();
    runtime.name = "registry".to_owned();
    runtime.version = Some("loiter-registry 0.1.0".to_owned());
    runtime.flavour = vec!["tokio".to_owned()];
    runtime.task_noun = "task".to_owned();
    runtime.scheduler = with!(Scheduler::default(); tasks_created: Some(12), structs_made: Some(4));
    m.builder.header.runtimes.push(runtime);
    let mut place = |name: &str, file: &str, line| {
        let function = m.builder.code.function(name, "jobs", Normal);
        let frame = m.builder.code.frame(function, file, line);
        m.builder.code.location(Location::in_source(vec![frame]))
    };
    let (inner, outer) = (place("read line", "src/main.rs", 31), place("jobs::serve::{async}", "", 0));
    let creator = place("jobs::main", "src/main.rs", 12);
    let stack = m.builder.code.stack(vec![inner, outer]);
    let labels = m.builder.code.labels([("name", "reader")]);
    let lock = m.builder.object(ObjectKind::Semaphore, 0x7f00_0000_1000, |_| None);
    let waits = m.wait(WaitOp::Wait, lock);
    let task = m.waiting(1, "socket", Age::Exactly(5 * SECOND), stack);
    m.builder.task(with!(task;
        parent: None,
        creator: Some(creator),
        labels: Some(labels),
        runtime: 1,
        lifetime_ns: Some(60 * SECOND),
        polls: Some(9),
        stack_bytes: 0,
        waits,
    ));
    let done = with!(Task::default(); runtime: 1, id: Some(2), state: TaskState::Finished, polls: Some(0), parent: Some(1));
    m.builder.task(with!(done; stack: Some(stack), stack_status: StackStatus::Gaps));
    m.builder.finish()
}

/// A profile that counts goroutines: nothing is known of the process, and one row stands for many tasks.
fn counted() -> Snapshot {
    let mut m = Maker::new();
    let target =
        with!(TargetInfo::default(); source: SourceKind::Profile, name: "goroutine.pb.gz".to_owned());
    let runtime = with!(RuntimeInfo::default(); name: "go".to_owned(), task_noun: "goroutine".to_owned());
    m.builder.header = with!(Header::default(); loiter: "0.1.0".to_owned(), target, runtimes: vec![runtime]);
    let stack = m.stack(&[GOPARK, ("main.wait", "main", Normal, "/home/ci/api/main.go", 12), GOEXIT]);
    let task = with!(Task::default(); stack: Some(stack), stack_status: StackStatus::Complete);
    m.builder.counted(task, 20_000);
    let labels = m.builder.code.labels([("tenant", "acme")]);
    m.builder.counted(with!(task; labels: Some(labels)), 3);
    m.builder.finish()
}

/// Tasks with everything that leads to causes of their waits.
fn links() -> Snapshot {
    let numbers: Vec<_> = (0..24)
        .map(|n: u64| (n * 0x1234_5679 + 1, n * 77 + 3, (n * 11) as u8 | 128 | (n % 2) as u8))
        .collect();
    samples::from_numbers(&numbers, &["one".to_owned(), "two".to_owned(), "three".to_owned()])
}

/// A goroutine that a test's goroutine started, which has ended.
fn ancestors() -> Snapshot {
    let mut m = Maker::new();
    let creator =
        m.location(&[("testing.(*T).Run", "testing", Normal, "/usr/local/go/src/testing/testing.go", 1934)]);
    let test = m.stack(&[("main.TestPut", "main", Normal, STORE, 12), GOEXIT]);
    let stack = m.stack(&[GOPARK, ("main.put", "main", Normal, STORE, 44), GOEXIT]);
    let first = m.waiting(1, "chan receive", Age::Unknown, stack);
    m.builder.task(first);
    let task = m.waiting(9, "chan send", Age::Unknown, stack);
    m.builder.task(with!(task; parent: Some(8)));
    let ancestor = |generation, id, stack, creator| Ancestor { task: 1, generation, id, stack, creator };
    m.builder.links.ancestors =
        vec![ancestor(1, Some(8), Some(test), Some(creator)), ancestor(2, Some(1), None, None)];
    m.builder.finish()
}

/// A task that selects: a branch with branches of its own, one that waits for another task, and one that is over.
fn branches() -> Snapshot {
    let mut m = Maker::new();
    let outer = m.stack(&[("api::serve::{async fn}", "api", Normal, "/home/ci/src/serve.rs", 12)]);
    let inner = m.stack(&[("api::next::{async fn}", "api", Normal, "/home/ci/src/next.rs", 40)]);
    let joined = m.waiting(3, "sleep", Age::Unknown, outer);
    m.builder.task(joined);
    let timer = m.builder.object(ObjectKind::Timer, 0x7100, |_| None);
    let ends = m.builder.object(ObjectKind::Task, 0x7200, |_| None);
    let wait = |object| Wait { op: WaitOp::Wait, object };
    let waits = m.builder.waits([wait(timer), wait(ends)]);
    let task = m.waiting(7, "select: sleep, task join, done", Age::Unknown, outer);
    m.builder.task(with!(task; waits: waits));
    let reasons = ["select: sleep, task join", "sleep", "task join", "done"];
    let [select, sleep, join, done] = reasons.map(|reason| Some(m.builder.code.string(reason)));
    let (all, first, second) = (waits, Span { len: 1, ..waits }, Span { start: waits.start + 1, len: 1 });
    let branch = |number, depth, (nth, of), reason, (stack, stack_status), wait_class, waits| Branch {
        task: 1,
        number,
        depth,
        nth,
        of,
        stack,
        stack_status,
        reason,
        wait_class,
        waits,
    };
    let (whole, part) = ((Some(inner), StackStatus::Complete), (None, StackStatus::Gaps));
    m.builder.links.branches = vec![
        branch(0, 1, (1, 2), select, whole, WaitClass::Select, all),
        branch(1, 2, (1, 70), sleep, part, WaitClass::Sleep, first),
        branch(2, 2, (2, 70), join, whole, WaitClass::Join, second),
        branch(3, 1, (2, 2), done, part, WaitClass::Nothing, Span::default()),
    ];
    let (by, action, certainty) = (By::Task(0), Action::End, Certainty::Sure);
    m.builder.links.actors = vec![Actor { object: ends, by, action, certainty, location: None, hops: 0 }];
    m.builder.finish()
}

/// Tasks that wait for channels whose handles are counted: one with a limit, and one without.
fn handles() -> Snapshot {
    let mut m = Maker::new();
    let stack = m.stack(&[("api::serve::{async fn}", "api", Normal, "/home/ci/src/serve.rs", 12)]);
    let limited = m.channel(0x7100, 16, 0, 1, "");
    let limitless = m.builder.object(ObjectKind::Channel, 0x7200, |_| None);
    for (id, object) in [(3, limited), (7, limitless)] {
        let waits = m.wait(WaitOp::Receive, object);
        let task = m.waiting(id, "mpsc receive", Age::Unknown, stack);
        m.builder.task(with!(task; waits: waits));
    }
    m.builder.links.handles = vec![
        Handles { object: limited, senders: 2, queued: None },
        Handles { object: limitless, senders: 1, queued: Some(3) },
    ];
    m.builder.finish()
}

/// Everything that `loiter stacks --each --json` tells, laid out for people.
fn json_of(snapshot: &Snapshot) -> String {
    let filter = Filter { system: true, all_frames: true, ..Filter::default() };
    let mut out = Vec::new();
    json::each(snapshot, &each(snapshot, &filter, SortBy::Id, None), true, &mut out).unwrap();
    let value: Value = serde_json::from_slice(&out).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

#[test]
fn files_that_were_written_once_are_read_as_ever() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/snapshots");
    for (name, snapshot) in snapshots() {
        let path = directory.join(format!("v1-{name}.loiter"));
        let bless = env::var_os("LOITER_BLESS").is_some();
        if bless && !path.exists() {
            fs::write(&path, bytes(&snapshot)).unwrap();
        }
        let read = file::load(&path).unwrap();
        read.validate().unwrap();
        let (json, expected) = (json_of(&read), path.with_extension("json"));
        if bless {
            fs::write(&expected, &json).unwrap();
        }
        let there = fs::read_to_string(&expected).unwrap();
        assert!(there == json, "{} differs: run this test with LOITER_BLESS=1", expected.display());
        // What it is read as can be written and read again.
        assert_eq!(file::read(&bytes(&read)[..]).unwrap(), read);
    }
}

/// The header of a file, and where its tables begin.
fn header_of(file: &[u8]) -> (Value, usize) {
    let end = 14 + u32::from_le_bytes(file[10..14].try_into().unwrap()) as usize;
    (serde_json::from_slice(&file[14..end]).unwrap(), end)
}

/// The tables that a file lists, with their columns.
fn listed(file: &[u8]) -> Vec<(String, Vec<String>)> {
    let (header, _) = header_of(file);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let columns = |table: &Value| table["columns"].as_array().unwrap().iter().map(text).collect();
    header["tables"].as_array().unwrap().iter().map(|table| (text(&table["name"]), columns(table))).collect()
}

/// The tables in loiter-snapshot(5), with their columns.
fn documented() -> Vec<(String, Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/loiter-snapshot.5");
    let page = fs::read_to_string(page).unwrap();
    let (_, tables) = page.split_once(".SH TABLES\n").unwrap();
    let (tables, _) = tables.split_once("\n.SH ").unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut begins = false;
    for line in tables.lines() {
        if let Some(name) = line.strip_prefix(".SS ") {
            found.push((name.to_owned(), Vec::new()));
        } else if let (true, Some(name), Some(table)) = (begins, line.strip_prefix(".B "), found.last_mut()) {
            table.1.push(name.to_owned());
        }
        begins = line == ".TP";
    }
    found
}

#[test]
fn the_man_page_lists_the_tables_that_are_written() {
    assert_eq!(documented(), file::tables());
    let with = |names: &[&str]| {
        let always = |name: &str| !OPTIONAL.contains(&name) || names.contains(&name);
        file::tables().into_iter().filter(|(name, _)| always(name)).collect::<Vec<_>>()
    };
    assert_eq!(listed(&bytes(&go())), with(&[]));
    assert_eq!(listed(&bytes(&counted())), with(&["twins"]));
    assert_eq!(listed(&bytes(&ancestors())), with(&["ancestors"]));
    assert_eq!(listed(&bytes(&branches())), with(&["actors", "branches"]));
    assert_eq!(listed(&bytes(&handles())), with(&["handles"]));
    assert_eq!(listed(&bytes(&links())), with(&OPTIONAL));
}

/// Every column of the format has something in it in one of the files: what is empty in all of them could change
/// unnoticed.
#[test]
fn no_column_is_empty_in_all_golden_files() {
    let mut empty: BTreeSet<String> = BTreeSet::new();
    let mut full: BTreeSet<String> = BTreeSet::new();
    for (name, _) in snapshots() {
        let path = format!("{}/fixtures/snapshots/v1-{name}.loiter", env!("CARGO_MANIFEST_DIR"));
        let file = fs::read(path).unwrap();
        let (_, start) = header_of(&file);
        let tables = decompress(&file[start..]);
        let mut at = 0;
        for (table, columns) in listed(&file) {
            at += 8;
            for column in columns {
                let len = u64::from_le_bytes(tables[at..at + 8].try_into().unwrap()) as usize;
                let content = &tables[at + 8..at + 8 + len];
                at += 8 + len;
                let name = format!("{table}.{column}");
                if content.iter().any(|&byte| byte != 0) {
                    full.insert(name)
                } else {
                    empty.insert(name)
                };
            }
        }
        assert_eq!(at, tables.len());
    }
    let never: Vec<_> = empty.difference(&full).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// A file with this header and these tables.
fn assembled(header: &Value, tables: &[u8]) -> Vec<u8> {
    let json = serde_json::to_vec(header).unwrap();
    let mut file = file::MAGIC.to_vec();
    file.extend(1_u16.to_le_bytes());
    file.extend((json.len() as u32).to_le_bytes());
    file.extend(json);
    file.extend(compress(tables));
    file
}

#[test]
fn tables_and_columns_of_a_newer_loiter_are_skipped_and_said() {
    let good = bytes(&go());
    let (mut header, start) = header_of(&good);
    let mut tables = decompress(&good[start..]);
    // The last table gets one more column, and another table follows.
    header["tables"].as_array_mut().unwrap().last_mut().unwrap()["columns"]
        .as_array_mut()
        .unwrap()
        .push("mood".into());
    tables.extend(3_u64.to_le_bytes());
    tables.extend(b"abc");
    header["tables"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({"name": "dreams", "columns": ["x", "y"]}));
    tables.extend(1_u64.to_le_bytes());
    for column in [&b"x"[..], b""] {
        tables.extend((column.len() as u64).to_le_bytes());
        tables.extend(column);
    }
    header["snapshot"]["weather"] = "fine".into();
    let read = file::read(&assembled(&header, &tables)[..]).unwrap();
    let said = "a newer loiter wrote this file: the column mood of the table of tasks, the table of dreams are left \
                out, as this loiter does not know them";
    assert_eq!(read.header.warnings, ["a warning", said]);
    let mut expected = go();
    expected.header.warnings.push(said.to_owned());
    assert_eq!(read, expected);
    for cut in 1..30 {
        let error = file::read(&assembled(&header, &tables[..tables.len() - cut])[..]).unwrap_err();
        assert!(matches!(error, FileError::Truncated { part: "tables" }), "{cut}: {error}");
    }
}

#[test]
fn files_of_earlier_builds_and_changed_bytes_are_told_as_such() {
    let good = bytes(&go());
    let (mut header, start) = header_of(&good);
    let mut changed = good.clone();
    // The last byte of the last block. Its checksum and the end mark of the frame follow.
    let last = changed.len() - 9;
    changed[last] ^= 1;
    let said = |bytes: &[u8]| loiter::full_text(&file::read(bytes).unwrap_err());
    assert_eq!(said(&changed), "the snapshot is damaged: its tables do not match their checksum");
    changed[start] ^= 1;
    assert_eq!(
        said(&changed),
        "the snapshot is damaged: its tables are not compressed with LZ4, or are changed"
    );
    let tables = decompress(&good[start..]);
    header.as_object_mut().unwrap().remove("tables");
    let earlier = said(&assembled(&header, &tables));
    assert!(earlier.starts_with("written by a build from before the first release"), "{earlier}");
}

#[test]
fn a_list_of_tables_that_makes_no_sense_is_refused() {
    let good = bytes(&go());
    let (header, start) = header_of(&good);
    let tables = decompress(&good[start..]);
    let error = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut header = header.clone();
        change(header["tables"].as_array_mut().unwrap());
        loiter::full_text(&file::read(&assembled(&header, &tables)[..]).unwrap_err())
    };
    let damaged = |problem: &str| format!("the snapshot is damaged: {problem}");
    assert_eq!(error(&Vec::clear), damaged("it has no table of strings"));
    assert_eq!(error(&|tables| tables.swap(0, 1)), damaged("its table of functions is in the wrong place"));
    assert_eq!(
        error(&|tables| tables[0]["columns"] = Value::Array(vec![])),
        damaged("its table of strings has other columns")
    );
    assert_eq!(
        error(&|tables| tables.push(tables[0].clone())),
        damaged("its table of strings is in the wrong place")
    );
    let many = |tables: &mut Vec<Value>| *tables = vec![tables[0].clone(); 300];
    assert_eq!(error(&many), damaged("its header lists too many tables or columns"));
}
