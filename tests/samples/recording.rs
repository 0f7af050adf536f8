//! A recording made by hand: an api server with two routes, workers, a collector, native threads and all clocks.

use loiter::code::{CodeBuilder, LabelSetId, StackId};
use loiter::recording::*;
use loiter::snapshot::*;
use loiter::words;

use super::{F, GOEXIT, GOPARK, Internal, Normal, PROC, SECOND, header, with};

const MS: u64 = 1_000_000;
/// Time between two samples at 99 Hz.
const PERIOD: u64 = 10_101_010;

const ENCODE: &str = "/usr/local/go/src/encoding/json/encode.go";
const MAIN: &str = "/home/ci/api/main.go";
const STORE: &str = "/home/ci/api/store/store.go";

const SERVE: F = ("main.serve", "main", Normal, MAIN, 40);
const CONN: F = ("net/http.(*conn).serve", "net/http", Normal, super::SERVER, 2102);
const LISTEN: F = ("net/http.(*Server).Serve", "net/http", Normal, super::SERVER, 3285);
const MARSHAL: F = ("encoding/json.(*encodeState).marshal", "encoding/json", Normal, ENCODE, 297);
const STRING: F = ("encoding/json.appendString[go.shape.[]uint8]", "encoding/json", Normal, ENCODE, 993);
const MALLOC: F = ("runtime.mallocgc", "runtime", Internal, "/usr/local/go/src/runtime/malloc.go", 1022);
const LOCK: F = ("sync.(*Mutex).Lock", "sync", Normal, "/usr/local/go/src/sync/mutex.go", 46);
const GET: F = ("example.com/api/store.(*Store).Get", "example.com/api/store", Normal, STORE, 88);
const RUN: F =
    ("example.com/api/worker.run", "example.com/api/worker", Normal, "/home/ci/api/worker/w.go", 31);
const START: F =
    ("example.com/api/worker.Start", "example.com/api/worker", Normal, "/home/ci/api/worker/w.go", 12);
const MARK: F = ("runtime.gcBgMarkWorker", "runtime", Internal, "/usr/local/go/src/runtime/mgc.go", 1200);
const DRAIN: F = ("runtime.gcDrain", "runtime", Internal, "/usr/local/go/src/runtime/mgcmark.go", 1100);
const SCHEDULE: F = ("runtime.findRunnable", "runtime", Internal, PROC, 3100);
const COMPRESS: F = ("ZSTD_compressBlock_fast", "", FunctionKind::Foreign, "", 0);

/// Builds recordings.
pub struct Recorder {
    pub builder: RecordingBuilder,
    next_address: u64,
}

impl Recorder {
    pub fn new() -> Self {
        let head = header();
        let mut builder = RecordingBuilder::new();
        builder.header = with!(RecordingHeader::default();
            loiter: head.loiter,
            started_at_ns: head.taken_at_ns,
            duration_ns: 10 * SECOND,
            target: head.target,
            runtimes: head.runtimes,
            process: with!(ProcessFigures::default(); cpus_allowed: Some(2)),
        );
        Recorder { builder, next_address: 0x48_0000 }
    }

    pub fn code(&mut self) -> &mut CodeBuilder {
        &mut self.builder.code
    }

    fn function(&mut self, (name, package, kind, _, _): F) -> FunctionId {
        let role = words::go::role(name, package);
        self.code().function_with(name, package, kind, role)
    }

    pub fn location(&mut self, frame: F) -> LocationId {
        let function = self.function(frame);
        let frame = self.code().frame(function, frame.3, frame.4);
        self.next_address += 0x40;
        let address = self.next_address;
        self.code().location(Location::at(address, Some(0x1d), vec![frame]))
    }

    pub fn stack(&mut self, frames: &[F]) -> StackId {
        let locations = frames.iter().map(|&frame| self.location(frame)).collect();
        self.code().stack(locations)
    }

    /// A task with this id, start function and creator.
    pub fn task(&mut self, id: u64, entry: F, creator: Option<F>) -> Whose {
        let creator = creator.map(|creator| self.location(creator));
        let entry = Some(self.function(entry));
        let address = 0xc0_0000_0000 + id * 0x200;
        let system = entry.is_some() && creator.is_none();
        let task = with!(SampledTask::default(); id: Some(id), address, creator, entry, system);
        Whose::Task(self.builder.task(task))
    }

    pub fn thread(&mut self, tid: u32, name: &str) -> Option<ThreadRow> {
        let name = Some(self.code().string(name));
        self.builder.thread(SampledThread::new(tid, name))
    }

    pub fn cpu(&mut self, at_ns: u64, whose: Whose, labels: Option<LabelSetId>, stack: StackId, thread: u32) {
        let thread = self.thread(thread, "api-server");
        self.builder.sample(with!(Sample::default();
            at_ns,
            whose,
            thread,
            labels,
            state: TaskState::Running,
            stack: Some(stack),
            stack_status: StackStatus::Complete,
            count: 1,
            weight_ns: PERIOD));
    }

    pub fn waits(
        &mut self,
        clock: Clock,
        span: (u64, u64),
        whose: Whose,
        wait: (&str, WaitClass),
        stack: StackId,
    ) {
        let reason = (!wait.0.is_empty()).then(|| self.code().string(wait.0));
        let (at_ns, weight_ns) = span;
        self.builder.sample(with!(Sample::default();
            at_ns,
            clock,
            whose,
            state: if reason.is_some() { TaskState::Waiting } else { TaskState::Runnable },
            reason,
            wait_class: wait.1,
            stack: Some(stack),
            stack_status: StackStatus::Complete,
            count: 1,
            weight_ns));
    }
}

/// What a recording of all clocks for ten seconds may look like. `more`: how many more samples of marshalling, in
/// thousandths of those of the routes.
pub fn server(clocks: &[Clock], more: u64) -> Recording {
    let mut r = Recorder::new();
    let routes =
        ["/orders", "/users"].map(|route| Some(r.code().labels([("route", route), ("tenant", "a")])));
    let serve: Vec<_> = (0..8).map(|n| r.task(100 + n, CONN, Some(LISTEN))).collect();
    let workers: Vec<_> = (0..4).map(|n| r.task(20 + n, RUN, Some(START))).collect();
    let collectors: Vec<_> = (0..2).map(|n| r.task(4 + n, MARK, None)).collect();
    let marshal = r.stack(&[MARSHAL, SERVE, CONN, GOEXIT]);
    let string = r.stack(&[STRING, MARSHAL, SERVE, CONN, GOEXIT]);
    let malloc = r.stack(&[MALLOC, STRING, MARSHAL, SERVE, CONN, GOEXIT]);
    let lock = r.stack(&[GOPARK, LOCK, GET, SERVE, CONN, GOEXIT]);
    let read = r.stack(&[GOPARK, GET, SERVE, CONN, GOEXIT]);
    let work = r.stack(&[RUN, GOEXIT]);
    let idle = r.stack(&[GOPARK, RUN, GOEXIT]);
    let mark = r.stack(&[DRAIN, MARK, GOEXIT]);
    let schedule = r.stack(&[SCHEDULE]);
    let compress = r.stack(&[COMPRESS]);
    let has = |clock| clocks.contains(&clock);
    if has(Clock::Cpu) {
        let total = 604;
        for n in 0..total {
            let at = n * 16 * MS;
            let pick = n * 7919 % 1000;
            let route = routes[usize::from(n % 3 == 0)];
            let task = serve[(n % 8) as usize];
            match pick {
                0..140 => r.cpu(at, task, route, marshal, 4242),
                140..300 => r.cpu(at, task, route, string, 4243),
                300..420 => r.cpu(at, task, route, malloc, 4242),
                420..640 => r.cpu(at, workers[(n % 4) as usize], None, work, 4244),
                640..830 => r.cpu(at, collectors[(n % 2) as usize], None, mark, 4245),
                830..900 => r.cpu(at, Whose::Scheduler, None, schedule, 4243),
                900..960 => {
                    r.thread(4300, "zstd_worker");
                    r.cpu(at, Whose::Native, None, compress, 4300);
                }
                _ => r.cpu(at, Whose::Unknown, None, malloc, 4245),
            }
        }
        for n in 0..more {
            r.cpu(n * 9 * MS, serve[0], routes[0], marshal, 4242);
        }
        let info = with!(ClockInfo::default(); clock: Clock::Cpu, event: "cpu-clock".to_owned(),
            period_ns: Some(PERIOD), every_cpu: true);
        r.builder.header.clocks.push(info);
        r.builder.header.coverage.cpu_ns = Some(6_150 * MS);
        r.builder.header.coverage.cpu_sampled_ns = (total + more) * PERIOD;
        r.builder.header.coverage.samples = total + more;
        r.builder.header.coverage.kernel_not_sampled_ns = Some(310 * MS);
    }
    if has(Clock::Wall) {
        for reading in 0..400_u64 {
            let span = (reading * 25 * MS, 25 * MS);
            for (n, &task) in serve.iter().enumerate() {
                let pick = (reading * 31 + n as u64 * 17) % 100;
                let labels = routes[usize::from(n % 3 == 0)];
                let (wait, stack) = match pick {
                    0..38 => (("sync.Mutex.Lock", WaitClass::Lock), lock),
                    38..69 => (("IO wait", WaitClass::Network), read),
                    _ => (("", WaitClass::Unknown), marshal),
                };
                let reason = (!wait.0.is_empty()).then(|| r.code().string(wait.0));
                let state = match (pick, reason) {
                    (_, Some(_)) => TaskState::Waiting,
                    (69..87, _) => TaskState::Running,
                    _ => TaskState::Runnable,
                };
                r.builder.sample(with!(Sample::default();
                    at_ns: span.0,
                    clock: Clock::Wall,
                    whose: task,
                    labels,
                    state,
                    reason,
                    wait_class: wait.1,
                    stack: Some(stack),
                    stack_status: StackStatus::Complete,
                    count: 1,
                    weight_ns: span.1));
            }
            for (n, &task) in workers.iter().enumerate() {
                let busy = (reading + n as u64) % 7 < 2;
                let (wait, stack) = match busy {
                    true => (("", WaitClass::Unknown), work),
                    false => (("chan receive", WaitClass::Receive), idle),
                };
                r.waits(Clock::Wall, span, task, wait, stack);
            }
        }
        let info = with!(ClockInfo::default(); clock: Clock::Wall, event: "readings".to_owned(),
            period_ns: Some(25 * MS), wanted_period_ns: Some(PERIOD));
        r.builder.header.clocks.push(info);
        let coverage = &mut r.builder.header.coverage;
        (coverage.readings, coverage.readings_failed) = (400, 2);
        (coverage.tasks_started, coverage.tasks_ended) = (Some(8_214), Some(8_190));
        (coverage.started_seen, coverage.lived_ns, coverage.seen_ns) =
            (Some(5_120), Some(123 * SECOND), Some(120 * SECOND));
    }
    if has(Clock::OffCpu) {
        for n in 0..120_u64 {
            let (at, whose) = (n * 80 * MS, workers[(n % 4) as usize]);
            let wait = if n % 10 == 0 { ("", WaitClass::Unknown) } else { ("futex", WaitClass::Call) };
            r.waits(Clock::OffCpu, (at, 60 * MS + n * 1000), whose, wait, idle);
            r.waits(Clock::OffCpu, (at, 79 * MS), Whose::Scheduler, ("futex", WaitClass::Call), schedule);
        }
        let info = with!(ClockInfo::default(); clock: Clock::OffCpu, event: "switch records".to_owned(),
            every_cpu: true);
        r.builder.header.clocks.push(info);
    }
    r.builder.header.cost = with!(Cost::default(); cpu_ns: Some(38 * MS), threads_stopped: 41,
        longest_thread_stop_ns: 61_000);
    r.builder.finish()
}

/// A recording whose target says harmful things everywhere.
pub fn hostile() -> Recording {
    let mut r = Recorder::new();
    const BAD: &str = "\u{1b}]0;x\u{7}\n<script>alert(\"1\")</script>; 7&\u{202e}\u{0}'";
    let bad: F = (BAD, BAD, Normal, BAD, 7);
    let stack = r.stack(&[bad, bad]);
    let task = r.task(1, bad, Some(bad));
    let labels = Some(r.code().labels([(BAD, BAD)]));
    let thread = r.thread(9, BAD);
    for (clock, whose) in [
        (Clock::Cpu, task),
        (Clock::Cpu, Whose::Native),
        (Clock::Wall, task),
        (Clock::OffCpu, task),
        (Clock::OffCpu, Whose::Native),
    ] {
        let reason = (clock != Clock::Cpu).then(|| r.code().string(BAD));
        let state = if reason.is_some() { TaskState::Waiting } else { TaskState::Running };
        let (stack, weight_ns) = (Some(stack), 10 * MS);
        let stack_status = StackStatus::Broken;
        r.builder.sample(with!(Sample::default();
            clock,
            whose,
            thread,
            labels,
            state,
            reason,
            stack,
            stack_status,
            count: 1,
            weight_ns));
    }
    // Indices of nothing.
    r.builder.sample(with!(Sample::default();
        whose: Whose::Task(TaskRow(77)),
        thread: Some(ThreadRow(77)),
        labels: Some(LabelSetId(77)),
        reason: Some(loiter::snapshot::StrId(7_777)),
        stack: Some(StackId(77)),
        count: u64::MAX,
        weight_ns: u64::MAX));
    r.builder.header.target.name = BAD.to_owned();
    r.builder.header.warnings.push("a warning".to_owned());
    r.builder.finish()
}
