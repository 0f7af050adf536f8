//! Small snapshot files that would cost a lot: each is refused, or every command reads it in bounds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use loiter::snapshot::*;
use loiter::snapshot::{file, file::FileError};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

mod samples;
mod watch_support;

/// Memory that a command may ask for, in all, KiB: whatever it is given to read.
const MEMORY: u64 = 3 << 20;

/// A table: rows, and its columns.
struct Table(u64, Vec<Column>);

/// A column of a table.
#[derive(Clone)]
enum Column {
    /// So many times one byte.
    Run(u8, u64),
    Bytes(Vec<u8>),
}

use Column::{Bytes, Run};

/// A column of plain values.
fn plain(values: impl IntoIterator<Item = u64>) -> Column {
    let mut bytes = Vec::new();
    for mut value in values {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }
    Bytes(bytes)
}

fn none() -> Column {
    Run(0, 0)
}

/// A snapshot file of these tables, of which those at the front are given and the rest are empty.
fn file_of(tasks: u64, header: &serde_json::Value, tables: &[Table]) -> Vec<u8> {
    let listed: Vec<_> = file::tables()
        .into_iter()
        .take(tables.len())
        .map(|(name, columns)| serde_json::json!({"name": name, "columns": columns}))
        .collect();
    let json = serde_json::json!({
        "format": "loiter-snapshot", "version": 1, "tasks": tasks, "tables": listed, "snapshot": header,
    })
    .to_string();
    let mut bytes = file::MAGIC.to_vec();
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend((json.len() as u32).to_le_bytes());
    bytes.extend(json.as_bytes());
    let frame = FrameInfo::new().block_size(BlockSize::Max4MB).content_checksum(true);
    let mut out = FrameEncoder::with_frame_info(frame, bytes);
    for Table(rows, columns) in tables {
        out.write_all(&rows.to_le_bytes()).unwrap();
        for column in columns {
            match column {
                Run(byte, len) => {
                    out.write_all(&len.to_le_bytes()).unwrap();
                    let block = [*byte; 1 << 16];
                    let mut left = *len as usize;
                    while left > 0 {
                        let n = left.min(block.len());
                        out.write_all(&block[..n]).unwrap();
                        left -= n;
                    }
                }
                Bytes(bytes) => {
                    out.write_all(&(bytes.len() as u64).to_le_bytes()).unwrap();
                    out.write_all(bytes).unwrap();
                }
            }
        }
    }
    out.finish().unwrap()
}

/// The header of a snapshot of a Go program, whose tasks are called `noun`.
fn go_of(noun: &str) -> serde_json::Value {
    let mut snapshot = Snapshot::default();
    let mut runtime = RuntimeInfo::default();
    (runtime.name, runtime.task_noun) = ("go".to_owned(), noun.to_owned());
    snapshot.header.runtimes.push(runtime);
    let mut bytes = Vec::new();
    file::write(&snapshot, &mut bytes).unwrap();
    let len = u32::from_le_bytes(bytes[10..14].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[14..14 + len]).unwrap();
    header["snapshot"].take()
}

fn go() -> serde_json::Value {
    go_of("goroutine")
}

/// The tables in the order in which they stand in the file.
struct Tables {
    strings: Table,
    functions: Table,
    images: Table,
    locations: Table,
    stacks: Table,
    labels: Table,
    objects: Table,
    waits: Table,
    holds: Table,
    tasks: Table,
}

impl Default for Tables {
    fn default() -> Self {
        let empty = |columns| Table(0, vec![none(); columns]);
        Tables {
            strings: Table(1, vec![Bytes(vec![6]), Bytes(b"main.f".to_vec())]),
            functions: Table(1, vec![Run(0, 1); 4]),
            images: empty(5),
            // One frame.
            locations: Table(
                1,
                vec![
                    Run(0, 1),
                    none(),
                    Run(0, 1),
                    Run(0, 1),
                    Bytes(vec![1]),
                    Run(0, 1),
                    Run(0, 1),
                    Run(0, 1),
                ],
            ),
            stacks: empty(2),
            labels: empty(3),
            objects: empty(8),
            waits: empty(2),
            holds: empty(3),
            tasks: empty(22),
        }
    }
}

impl Tables {
    fn file(self, header: &serde_json::Value) -> Vec<u8> {
        let tasks = self.tasks.0;
        let all = [
            self.strings,
            self.functions,
            self.images,
            self.locations,
            self.stacks,
            self.labels,
            self.objects,
            self.waits,
            self.holds,
            self.tasks,
        ];
        file_of(tasks, header, &all)
    }
}

/// `n` equal tasks; a column of which nothing is said holds zeros.
fn tasks(n: u64, labels: u8, stack: u8, wait: Option<u64>) -> Table {
    let lengths = wait.map_or(Run(0, n), |len| plain((0..n).map(|_| len)));
    let zeros = || Run(0, n);
    let columns = vec![
        zeros(),
        zeros(),
        zeros(),
        none(),
        zeros(),
        none(),
        zeros(),
        none(),
        zeros(),
        zeros(),
        Run(labels, n),
        zeros(),
        Run(stack, n),
        zeros(),
        zeros(),
        lengths,
        none(),
        none(),
        none(),
        zeros(),
        zeros(),
        zeros(),
    ];
    Table(n, columns)
}

/// Stacks that all go through the first location: `n` of that depth.
fn stacks(n: u64, depth: u64) -> Table {
    Table(n, vec![plain((0..n).map(|_| depth)), Run(0, n * depth)])
}

/// Files that must be refused, with a part of the reason.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let channel =
        || Table(1, vec![Bytes(vec![0]), Run(0, 1), none(), none(), none(), none(), none(), Run(0, 1)]);
    let mut all = vec![
        (
            "rows",
            Tables { tasks: tasks(5_000_000, 0, 0, None), ..Tables::default() }.file(&go()),
            "too large: its table of tasks",
        ),
        (
            "strings",
            Tables { strings: Table(35_000_000, vec![Run(0, 35_000_000), none()]), ..Tables::default() }
                .file(&go()),
            "too large: its table of strings",
        ),
        (
            "stacks",
            Tables { stacks: Table(40_000_000, vec![Run(0, 40_000_000), none()]), ..Tables::default() }
                .file(&go()),
            "too large: its table of stacks",
        ),
        (
            "labels",
            Tables {
                labels: Table(40_000_000, vec![Run(0, 40_000_000), none(), none()]),
                ..Tables::default()
            }
            .file(&go()),
            "",
        ),
        (
            "waits that overlap",
            Tables {
                objects: channel(),
                waits: Table(10_000, vec![Run(0, 10_000), Run(0, 10_000)]),
                tasks: tasks(10_000, 0, 0, Some(10_000)),
                ..Tables::default()
            }
            .file(&go()),
            "wait for more than the table of waits has",
        ),
        (
            "a location of many frames in many stacks",
            Tables {
                locations: Table(
                    1,
                    vec![
                        Run(0, 1),
                        none(),
                        Run(0, 1),
                        Run(0, 1),
                        plain([1 << 20]),
                        Run(0, 1 << 20),
                        Run(0, 1 << 20),
                        Run(0, 1 << 20),
                    ],
                ),
                stacks: stacks(10_000, 1),
                ..Tables::default()
            }
            .file(&go()),
            "too large: the frames of its stacks",
        ),
        (
            "a deep stack of every task",
            Tables { stacks: stacks(1, 100_000), tasks: tasks(1_000_000, 0, 1, None), ..Tables::default() }
                .file(&go()),
            "GiB of text",
        ),
        (
            "a long name in a stack of every task",
            Tables {
                strings: Table(1, vec![plain([30 << 20]), Run(b'x', 30 << 20)]),
                stacks: stacks(1, 10),
                tasks: tasks(10_000, 0, 1, None),
                ..Tables::default()
            }
            .file(&go()),
            "",
        ),
        (
            "labels of every task",
            Tables {
                labels: Table(1, vec![plain([1_000_000]), Run(0, 1_000_000), Run(0, 1_000_000)]),
                tasks: tasks(100_000, 1, 0, None),
                ..Tables::default()
            }
            .file(&go()),
            "GiB of text",
        ),
    ];
    let noun = go_of(&"x".repeat(60_000));
    all.push((
        "a noun",
        Tables { tasks: tasks(10, 0, 0, None), ..Tables::default() }.file(&noun),
        "absurdly long",
    ));
    all
}

/// Files that may be read, and what each has much of.
fn bearable() -> Vec<(&'static str, Vec<u8>)> {
    let snapshot = |snapshot: Snapshot| {
        let mut bytes = Vec::new();
        file::write(&snapshot, &mut bytes).unwrap();
        bytes
    };
    let mut workers = samples::server();
    let worker = |id| Worker::new(id, format!("status {id}"), 1);
    workers.header.runtimes[0].scheduler.workers = (0..20_000).map(worker).collect();
    vec![
        ("types of elements", snapshot(elements(10_000))),
        ("reasons and labels", snapshot(reasons(5_000))),
        ("workers", snapshot(workers)),
        (
            "tasks with a deep stack",
            Tables { stacks: stacks(1, 100_000), tasks: tasks(2, 0, 1, None), ..Tables::default() }
                .file(&go()),
        ),
        (
            "equal tasks",
            Tables { stacks: stacks(1, 30), tasks: tasks(10_000, 0, 1, None), ..Tables::default() }
                .file(&go()),
        ),
    ]
}

/// Tasks in one stack, each on a channel with a type of its own.
fn elements(n: u64) -> Snapshot {
    let mut m = samples::Maker::new();
    let stack = m.stack(&[("main.f", "main", samples::Normal, "/main.go", 1)]);
    for id in 0..n {
        let channel = m.channel(0x1000 + id * 96, 0, 1, 0, &format!("type{id}"));
        let waits = m.wait(WaitOp::Send, channel);
        let task = m.waiting(id, "chan send", Age::AtLeast(samples::HOUR), stack);
        m.builder.task(samples::with!(task; waits));
    }
    m.finish()
}

/// Tasks of which each has a reason, a label and a stack of its own.
fn reasons(n: u64) -> Snapshot {
    let mut m = samples::Maker::new();
    let inner = m.location(&[("main.f", "main", samples::Normal, "/main.go", 1)]);
    for id in 0..n {
        let text = format!("reason {id}");
        let labels = m.builder.code.labels([(text.as_str(), text.as_str())]);
        let function = m.builder.code.function(&format!("main.f{id}"), "main", samples::Normal);
        let frame = m.builder.code.frame(function, "/main.go", id as u32);
        let outer = m.builder.code.location(Location::at(id * 16, None, vec![frame]));
        let stack = m.builder.code.stack(vec![inner, outer]);
        let task = m.waiting(id, &text, Age::AtLeast(samples::HOUR), stack);
        m.builder.task(samples::with!(task; labels: Some(labels), creator: Some(outer)));
    }
    m.finish()
}

/// Runs loiter with bounded memory. What it prints is not kept.
fn run(directory: &Path, arguments: &str) -> Output {
    let script = format!("ulimit -v {MEMORY}; exec {} {arguments}", env!("CARGO_BIN_EXE_loiter"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(directory).stdout(Stdio::null()).output().unwrap()
}

/// Every command and format over `bomb.loiter`.
const COMMANDS: [&str; 16] = [
    "stacks bomb.loiter",
    "stacks bomb.loiter -v --all-frames",
    "stacks bomb.loiter --json",
    "stacks bomb.loiter --group-by creator",
    "stacks bomb.loiter --group-by waits-on",
    "diff bomb.loiter bomb.loiter",
    "diff bomb.loiter bomb.loiter --json",
    "leaks bomb.loiter bomb.loiter",
    "leaks bomb.loiter --json",
    "leaks bomb.loiter --format markdown",
    "flame bomb.loiter -o out.svg",
    "convert bomb.loiter out.loiter",
    "convert bomb.loiter out.pb.gz",
    "convert bomb.loiter out.json",
    "convert bomb.loiter out.txt",
    "convert bomb.loiter --to profile out",
];

fn written(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("bomb.loiter");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn bombs_are_refused_before_they_cost_anything() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes, reason) in refused() {
        assert!(bytes.len() < 700_000, "{name}: {} bytes", bytes.len());
        let error = file::read(&bytes[..]).map(|_| ()).expect_err(name);
        assert!(matches!(
            error,
            FileError::TooLarge { .. } | FileError::Damaged { .. } | FileError::Truncated { .. }
        ));
        let text = loiter::full_text(&error);
        assert!(text.contains(reason), "{name}: {text}");
        written(directory.path(), &bytes);
        let output = run(directory.path(), "stacks bomb.loiter");
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
    }
}

#[test]
fn every_command_reads_what_is_large_in_bounds() {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in bearable() {
        written(directory.path(), &bytes);
        for command in COMMANDS {
            let start = std::time::Instant::now();
            let output = run(directory.path(), command);
            eprintln!("{name}: {} bytes: {command}: {:?} {}", bytes.len(), start.elapsed(), output.status);
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), None, "{name}: {command}: {told}");
            assert_eq!(output.status.code(), Some(0), "{name}: {command}: {told}");
        }
    }
}

#[test]
fn the_dashboard_shows_what_is_large() {
    for (_, bytes) in bearable() {
        let mut dashboard = watch_support::Dashboard::new(120, 40);
        dashboard.read(file::read(&bytes[..]).unwrap());
        for view in "12345678".chars() {
            dashboard.press(&view.to_string());
            dashboard.screen();
        }
    }
}
