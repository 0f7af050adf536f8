//! Snapshots made by hand, for tests and benches.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    reason = "each test file uses a part of it"
)]

use loiter::snapshot::*;
use loiter::words;

/// A copy of something with other values in these fields. The structs of the model may get more fields, so that
/// literals of them do not compile outside of the crate.
macro_rules! with {
    ($base:expr; $($field:ident $(: $value:expr)?),* $(,)?) => {{
        let mut made = $base;
        $(made.$field = $crate::samples::with!(@ $field $($value)?);)*
        made
    }};
    (@ $field:ident) => { $field };
    (@ $field:ident $value:expr) => { $value };
}
pub(crate) use with;

mod convoy;
mod links;
pub mod recording;

pub use convoy::convoy;

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// A frame: function, package, kind, file, line.
pub type F = (&'static str, &'static str, FunctionKind, &'static str, u32);

pub use FunctionKind::{Internal, Normal};

pub const FETCH: &str = "/home/ci/api/internal/fetch/fetch.go";
pub const SERVER: &str = "/usr/local/go/src/net/http/server.go";
pub const PROC: &str = "/usr/local/go/src/runtime/proc.go";

pub const GOPARK: F = ("runtime.gopark", "runtime", Internal, PROC, 424);
pub const GOEXIT: F = ("runtime.goexit", "runtime", Internal, "/usr/local/go/src/runtime/asm_amd64.s", 1700);

/// A builder that knows how to add frames.
pub struct Maker {
    pub builder: SnapshotBuilder,
    next_address: u64,
}

impl Maker {
    pub fn new() -> Self {
        let mut builder = SnapshotBuilder::new();
        builder.header = header();
        Maker { builder, next_address: 0x48_0000 }
    }

    /// The snapshot, its tasks classified as the reader of a dump does it.
    pub fn finish(self) -> Snapshot {
        let mut snapshot = self.builder.finish();
        words::go::classify(&mut snapshot);
        snapshot
    }

    /// One location; the frames before the last one are inlined into it.
    pub fn location(&mut self, frames: &[F]) -> LocationId {
        let frames = frames
            .iter()
            .map(|&(name, package, kind, file, line)| {
                let role = words::go::role(name, package);
                let function = self.builder.code.function_with(name, package, kind, role);
                self.builder.code.frame(function, file, line)
            })
            .collect();
        self.next_address += 0x40;
        self.builder.code.location(Location::at(self.next_address, Some(0x1d), frames))
    }

    /// A stack in which nothing is inlined.
    pub fn stack(&mut self, frames: &[F]) -> StackId {
        let locations = frames.iter().map(|&frame| self.location(&[frame])).collect();
        self.builder.code.stack(locations)
    }

    /// A task that waits.
    pub fn waiting(&mut self, id: u64, reason: &str, age: Age, stack: StackId) -> Task {
        with!(task(id);
            state: TaskState::Waiting,
            reason: Some(self.builder.code.string(reason)),
            age,
            stack: Some(stack),
            stack_status: StackStatus::Complete,
        )
    }

    pub fn channel(
        &mut self,
        address: u64,
        cap: u64,
        senders: u32,
        receivers: u32,
        element: &str,
    ) -> ObjectId {
        self.builder.object(ObjectKind::Channel, address, |b| {
            let element = (!element.is_empty()).then(|| b.code.string(element));
            Some(with!(Channel::default(); len: cap, cap, closed: false, senders, receivers, more: false, element))
        })
    }

    pub fn wait(&mut self, op: WaitOp, object: ObjectId) -> Span {
        self.builder.waits([Wait { op, object }])
    }
}

/// A task of which only the id and the address are known.
pub fn task(id: u64) -> Task {
    with!(Task::default();
        id: Some(id),
        address: 0xc0_0000_0000 + id * 0x200,
        parent: Some(1),
        stack_bytes: 8192,
    )
}

pub fn header() -> Header {
    with!(Header::default();
        loiter: "0.1.0".to_owned(),
        taken_at_ns: Some(1_795_000_000_000_000_000),
        monotonic_ns: Some(900 * HOUR),
        target: with!(TargetInfo::default();
            source: SourceKind::Process,
            pid: Some(4242),
            name: "api-server".to_owned(),
            command: vec!["/srv/api-server".to_owned(), "--listen".to_owned(), ":8080".to_owned()],
            exe: Some("/srv/api-server".to_owned()),
            build_id: Some("abcdef".to_owned()),
            start_ticks: Some(12345),
            age_ns: Some(3 * HOUR + 12 * MINUTE),
            host: Some("web1".to_owned()),
        ),
        runtimes: vec![with!(RuntimeInfo::default();
            name: "go".to_owned(),
            version: Some("go1.24.3".to_owned()),
            flavour: vec!["stripped".to_owned()],
            task_noun: "goroutine".to_owned(),
            module: Some("example.com/api".to_owned()),
            modules: Vec::new(),
            age_meaning: Some("since the garbage collector first saw it waiting, so at least that long".to_owned()),
            provenance: vec!["allgs: operands of runtime.forEachGRace".to_owned()],
            scheduler: with!(Scheduler::default();
                workers: vec![
                    Worker::new(0, "running", 2),
                    Worker::new(1, "idle", 0),
                ],
                worker_noun: "P".to_owned(),
                max_workers: Some(2),
                global_queue: Some(0),
                threads: Some(9),
                idle_threads: Some(5),
                tasks_created: Some(84_133),
                structs_made: Some(1_426),
            ),
            heap: Some(with!(Heap::default();
                in_use: Some(212 << 20),
                next_gc: Some(256 << 20),
                collections: Some(431),
                last_pause_ns: Some(84_000),
            )),
        )],
        reading: with!(Reading::default(); duration_ns: 6_200_000),
        process: with!(ProcessFigures::default();
            threads: Some(14),
            open_files: Some(141),
            open_files_limit: Some(1024),
            rss: Some(388 << 20),
            cpu_ns: Some(93 * SECOND),
            cpus_allowed: Some(4),
            cgroup_cpu_milli: Some(2500),
            cgroup_memory: Some(512 << 20),
        ),
        warnings: Vec::new(),
    )
}

/// A server with a leak, a few of everything.
pub fn server() -> Snapshot {
    let mut m = Maker::new();
    fetchers(&mut m);
    connections(&mut m);
    selects(&mut m);
    lockers(&mut m);
    others(&mut m);
    m.finish()
}

/// 1,204 senders, each on a channel of its own.
fn fetchers(m: &mut Maker) {
    let stack = m.stack(&[
        GOPARK,
        ("runtime.chansend", "runtime", Internal, "/usr/local/go/src/runtime/chan.go", 283),
        ("runtime.chansend1", "runtime", Internal, "/usr/local/go/src/runtime/chan.go", 161),
        ("fetch.fetchAll.func1", "example.com/api/internal/fetch", Normal, FETCH, 88),
        GOEXIT,
    ]);
    let creator = m.location(&[("fetch.fetchAll", "example.com/api/internal/fetch", Normal, FETCH, 84)]);
    for n in 0..1204 {
        let channel = m.channel(0xc0_1000_0000 + n * 0x60, 0, 1, 0, "fetch.Result");
        let waits = m.wait(WaitOp::Send, channel);
        let task = m.waiting(1000 + n, "chan send", Age::AtLeast(41 * MINUTE), stack);
        m.builder.task(with!(task; creator: Some(creator), waits));
    }
}

/// 128 connections in two routes, in two stacks that differ in one address only.
fn connections(m: &mut Maker) {
    let frames = [
        GOPARK,
        (
            "internal/poll.runtime_pollWait",
            "internal/poll",
            Normal,
            "/usr/local/go/src/runtime/netpoll.go",
            351,
        ),
        ("net.(*conn).Read", "net", Normal, "/usr/local/go/src/net/net.go", 189),
        ("net/http.(*connReader).backgroundRead", "net/http", Normal, SERVER, 690),
        GOEXIT,
    ];
    let stacks = [m.stack(&frames), m.stack(&frames)];
    let creator = m.location(&[("net/http.(*Server).Serve", "net/http", Normal, SERVER, 3285)]);
    for (n, stack) in (0..128).zip(stacks.into_iter().cycle()) {
        let route = if n % 4 == 3 { "/v1/orders" } else { "/v1/users" };
        let labels = m.builder.code.labels([("route", route)]);
        let age = 2 * SECOND + n * n * SECOND * 2 / 3;
        let task = m.waiting(3000 + n, "IO wait", Age::Exactly(age), stack);
        m.builder.task(with!(task; creator: Some(creator), labels: Some(labels)));
    }
}

/// Workers that wait for work or for the end.
fn selects(m: &mut Maker) {
    let run = m.location(&[
        ("worker.(*Pool).next", "example.com/api/worker", Normal, "/home/ci/api/worker/pool.go", 31),
        ("worker.run", "example.com/api/worker", Normal, "/home/ci/api/worker/pool.go", 40),
    ]);
    let (park, select) = (
        m.location(&[GOPARK]),
        m.location(&[("runtime.selectgo", "runtime", Internal, "/usr/local/go/src/runtime/select.go", 335)]),
    );
    let exit = m.location(&[GOEXIT]);
    let stack = m.builder.code.stack(vec![park, select, run, exit]);
    let pool =
        [("worker.(*Pool).Start", "example.com/api/worker", Normal, "/home/ci/api/worker/pool.go", 22)];
    let creator = m.location(&pool);
    let done = m.channel(0xc0_0002_0000, 0, 0, 12, "struct {}");
    let jobs = m.channel(0xc0_0003_0000, 64, 0, 12, "worker.Job");
    for n in 0..12 {
        let receive = |object| Wait { op: WaitOp::Receive, object };
        let waits = m.builder.waits([receive(jobs), receive(done)]);
        let task = m.waiting(20 + n, "select", Age::Exactly(SECOND / 5 + n * SECOND / 40), stack);
        m.builder.task(with!(task; creator: Some(creator), waits));
    }
}

/// Three that wait for one mutex.
fn lockers(m: &mut Maker) {
    let stack = m.stack(&[
        GOPARK,
        ("sync.(*Mutex).Lock", "sync", Normal, "/usr/local/go/src/sync/mutex.go", 46),
        ("main.(*cache).get", "main", Normal, "/home/ci/api/cmd/api-server/cache.go", 77),
        ("main.refresh", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 131),
        GOEXIT,
    ]);
    let creator = m.location(&[("main.main", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 58)]);
    let mutex = m.builder.object(ObjectKind::Mutex, 0xc0_0001_2040, |_| None);
    for n in 0..3 {
        let waits = m.wait(WaitOp::Lock, mutex);
        let task = m.waiting(40 + n, "sync.Mutex.Lock", Age::Unknown, stack);
        m.builder.task(with!(task; creator: Some(creator), waits));
    }
}

/// The main goroutine, a running one, one in a system call, a torn one, and two of the runtime's own.
fn others(m: &mut Maker) {
    let stack = m.stack(&[
        GOPARK,
        ("main.main", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 64),
        ("runtime.main", "runtime", Internal, PROC, 283),
        GOEXIT,
    ]);
    let main = m.waiting(1, "chan receive", Age::AtLeast(3 * HOUR), stack);
    let channel = m.channel(0xc0_0004_0000, 1, 0, 1, "os.Signal");
    let waits = m.wait(WaitOp::Receive, channel);
    m.builder.task(with!(main; parent: None, waits, locked_to_thread: true));

    let creator = m.location(&[("main.main", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 60)]);
    m.builder.task(with!(task(50);
        state: TaskState::Running,
        thread: Some(4250),
        creator: Some(creator),
        stack_status: StackStatus::Running,
    ));
    let syscall = m.stack(&[
        ("syscall.Syscall6", "syscall", Normal, "/usr/local/go/src/syscall/syscall_linux.go", 91),
        ("main.tail", "main", Normal, "/home/ci/api/cmd/api-server/tail.go", 19),
        GOEXIT,
    ]);
    m.builder.task(with!(task(51);
        state: TaskState::Syscall,
        thread: Some(4251),
        creator: Some(creator),
        stack: Some(syscall),
        stack_status: StackStatus::Complete,
        age: Age::Exactly(90 * SECOND),
    ));
    m.builder.task(with!(task(52);
        state: TaskState::Waiting,
        stack_status: StackStatus::Torn,
        creator: Some(creator),
    ));
    let sweep = m.stack(&[
        GOPARK,
        ("runtime.bgsweep", "runtime", Internal, "/usr/local/go/src/runtime/mgcsweep.go", 317),
        GOEXIT,
    ]);
    for id in [3, 4] {
        let task = m.waiting(id, "GC sweep wait", Age::Unknown, sweep);
        m.builder.task(with!(task; system: true));
    }
}

/// Whose every string tries to do something to the terminal.
pub fn hostile() -> Snapshot {
    let mut m = Maker::new();
    let evil = "\x1b[31mred\x1b]0;title\x07\r\nnext\u{202e}txt.exe\u{9b}31m\u{200b}";
    let header = &mut m.builder.header;
    let text = || evil.to_owned();
    header.loiter = text();
    header.target.name = text();
    header.target.command = vec![text()];
    header.target.exe = Some(text());
    header.target.build_id = Some(text());
    header.target.host = Some(text());
    header.warnings = vec![text()];
    let runtime = &mut header.runtimes[0];
    runtime.name = text();
    runtime.version = Some(text());
    runtime.flavour = vec![text()];
    runtime.task_noun = text();
    runtime.module = Some(text());
    runtime.age_meaning = Some(text());
    runtime.provenance = vec![text()];
    runtime.scheduler.worker_noun = text();
    runtime.scheduler.workers[0].status = text();
    let frame: F = (
        "\x1b[31mf\x1b]0;title\x07\r\nnext\u{202e}txt.exe\u{9b}",
        "\x1b[31mpkg\u{202e}",
        Normal,
        "/a/\x1b[31mb\u{202e}/c\nd.go",
        3,
    );
    let stack = m.stack(&[frame, frame]);
    let creator = m.location(&[frame]);
    let labels = m.builder.code.labels([(evil, evil)]);
    let channel = m.channel(0x10, 0, 1, 0, evil);
    let waits = m.wait(WaitOp::Receive, channel);
    let task = m.waiting(7, evil, Age::Exactly(SECOND), stack);
    let entry = m.builder.code.function(evil, evil, Normal);
    // It holds what another one waits for.
    let lock = m.builder.object(ObjectKind::Mutex, 0x20, |_| None);
    let holds = m.builder.holds([Hold { object: lock, how: HoldKind::Exclusive, location: Some(creator) }]);
    let behind = with!(task; waits: m.wait(WaitOp::Lock, lock));
    m.builder.task(with!(behind; id: Some(8)));
    m.builder.task(with!(task;
        creator: Some(creator),
        labels: Some(labels),
        entry: Some(entry),
        waits,
        holds,
    ));
    m.finish()
}

/// `n` parked tasks in a few stacks, each waiting on a channel of its own.
pub fn many(n: u64) -> Snapshot {
    let mut m = Maker::new();
    let mut stacks = Vec::new();
    for line in 0..16 {
        stacks.push(m.stack(&[
            GOPARK,
            ("main.work", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 100 + line),
            ("main.loop", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 90),
            GOEXIT,
        ]));
    }
    let creator = m.location(&[("main.main", "main", Normal, "/home/ci/api/cmd/api-server/main.go", 58)]);
    m.builder.reserve_tasks(n as usize);
    // A small generator, so that addresses are as irregular as a heap's.
    let mut random = 0x1234_5678_9abc_def0_u64;
    for id in 0..n {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = random >> 44;
        let channel = m.channel(0xc1_0000_0000 + id * 96, 0, 1, 0, "int");
        let waits = m.wait(WaitOp::Send, channel);
        let stack = stacks[(noise % 16) as usize];
        let task = m.waiting(id + 1, "chan send", Age::AtLeast(noise % 8 * MINUTE + MINUTE), stack);
        m.builder.task(with!(task;
            creator: Some(creator),
            waits,
            address: 0xc0_0000_0000 + id * 448 + noise % 4 * 8192,
        ));
    }
    m.finish()
}

/// A small snapshot with everything in it, from numbers.
pub fn from_numbers(seed: &[(u64, u64, u8)], texts: &[String]) -> Snapshot {
    use FunctionKind::{Fault, Foreign, Panic, Wrapper};
    let mut m = Maker::new();
    for (n, &(a, b, c)) in seed.iter().enumerate() {
        let text = texts.get(n % texts.len().max(1)).map_or("", String::as_str);
        let kind = [Normal, Internal, Wrapper, Panic, Foreign, Fault][c as usize % 6];
        let role = FunctionRole {
            layer: [Layer::Application, Layer::Standard, Layer::Base, Layer::Lock, Layer::Machinery]
                [b as usize % 5],
            begins: [Begins::Nothing, Begins::Task, Begins::Program, Begins::Package][a as usize % 4],
        };
        let function = m.builder.code.function_with(text, text, kind, role);
        let frame = m.builder.code.frame(function, text, b as u32);
        let address = (c % 3 > 0).then_some(a);
        let image = (c & 64 > 0).then(|| {
            let path = m.builder.code.string(text);
            m.builder.code.image(Image::new(path, (c & 16 > 0).then_some(path), a.min(b), a.max(b), b))
        });
        let location = with!(Location::default();
            address,
            image,
            offset: (c & 32 > 0).then_some(b as u32),
            frames: vec![frame; 1 + c as usize % 4],
        );
        let location = m.builder.code.location(location);
        let stack = m.builder.code.stack(vec![location; c as usize % 7]);
        let labels = m.builder.code.labels([(text, text)]);
        let channel = with!(Channel::default();
            len: a,
            cap: b,
            closed: c & 1 > 0,
            senders: a as u32,
            receivers: b as u32,
            more: c & 2 > 0,
            element: (c & 4 > 0).then(|| m.builder.code.string(text)),
        );
        let object = m.builder.object(ObjectKind::Channel, a, |_| (c & 8 > 0).then_some(channel));
        let waits = m.builder.waits(vec![Wait { op: WaitOp::Lock, object }; c as usize % 3]);
        let lock =
            [LockState::Free, LockState::Exclusive, LockState::Shared(b as u32), LockState::Outstanding(7)];
        m.builder.set_lock_state(object, lock[c as usize % 4]);
        let how = [HoldKind::Exclusive, HoldKind::Shared, HoldKind::Perhaps][c as usize % 3];
        let hold = Hold { object, how, location: (c & 12 > 0).then_some(location) };
        let holds = m.builder.holds(vec![hold; c as usize % 2]);
        let state =
            [TaskState::Running, TaskState::Syscall, TaskState::Finished, TaskState::Unknown][c as usize % 4];
        if c & 128 > 0 {
            links::add(&mut m, (a, b, c), n as u32, object, text);
        }
        let reason = m.builder.code.string(text);
        m.builder.task(with!(Task::default();
            runtime: 0,
            id: (c & 1 > 0).then_some(a),
            address: b,
            state,
            reason: (c & 2 > 0).then_some(reason),
            wait_class: WaitClass::ALL[b as usize % WaitClass::ALL.len()],
            age: [Age::Unknown, Age::AtLeast(a), Age::Exactly(b)][c as usize % 3],
            lifetime_ns: (c & 6 > 0).then_some(b),
            polls: (c & 10 > 0).then_some(a),
            mark: (c & 48 > 0).then_some(b),
            parent: (c & 4 > 0).then_some(b),
            creator: (c & 8 > 0).then_some(location),
            entry: (c & 16 > 0).then_some(function),
            labels: (c & 32 > 0).then_some(labels),
            thread: (c & 64 > 0).then_some(a as u32),
            locked_to_thread: c & 128 > 0,
            system: c & 3 > 0,
            leaked: c & 5 > 0,
            stack: (c & 9 > 0).then_some(stack),
            stack_status: [StackStatus::Torn, StackStatus::Gaps, StackStatus::Complete][c as usize % 3],
            stack_bytes: a,
            waits,
            holds,
            twins: if c & 1 == 0 && waits.is_empty() && holds.is_empty() { b % 1000 } else { 0 },
        ));
    }
    m.builder.finish()
}
