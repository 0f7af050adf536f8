//! Chains in made-up systems.

use std::sync::Arc;

use super::*;
use crate::snapshot::*;

pub(crate) mod counts;

/// A process under construction. Tasks are added in the order of their ids.
pub(crate) struct Made {
    pub(crate) pid: u32,
    pub(crate) name: &'static str,
    pub(crate) builder: SnapshotBuilder,
    pub(crate) tasks: Vec<(Task, Vec<Wait>, Vec<Hold>)>,
}

impl Made {
    pub(crate) fn new(pid: u32, name: &'static str) -> Self {
        let mut builder = SnapshotBuilder::new();
        builder.header.target.pid = Some(pid);
        builder.header.target.name = name.to_owned();
        builder.header.taken_at_ns = Some(1_700_000_000_000_000_000 + u64::from(pid) * 1_000_000);
        builder.header.monotonic_ns = Some(1_000_000_000_000);
        builder.header.reading.duration_ns = 2_000_000;
        builder.header.runtimes = vec![RuntimeInfo {
            name: "go".to_owned(),
            version: Some("go1.26".to_owned()),
            task_noun: "goroutine".to_owned(),
            ..RuntimeInfo::default()
        }];
        Made { pid, name, builder, tasks: Vec::new() }
    }

    /// Adds a task that waits at a function. Its row.
    pub(crate) fn task(&mut self, function: &str, class: WaitClass) -> u32 {
        let row = self.tasks.len() as u32;
        let code = &mut self.builder.code;
        let id = code.function(function, "main", FunctionKind::Normal);
        let frame = code.frame(id, "/src/main/main.go", 10 + (function.len() as u32));
        let location = code.location(Location::in_source(vec![frame]));
        let stack = code.stack(vec![location]);
        let task = Task {
            id: Some(u64::from(row) + 1),
            address: 0xc000 + u64::from(row) * 0x200,
            state: TaskState::Waiting,
            wait_class: class,
            reason: Some(code.string(class.words())),
            age: Age::AtLeast(41_000_000_000),
            mark: Some(7),
            stack: Some(stack),
            stack_status: StackStatus::Complete,
            ..Task::default()
        };
        self.tasks.push((task, Vec::new(), Vec::new()));
        row
    }

    pub(crate) fn state(&mut self, row: u32, state: TaskState) {
        self.tasks[row as usize].0.state = state;
    }

    pub(crate) fn object(&mut self, kind: ObjectKind, address: u64) -> ObjectId {
        let channel = (kind == ObjectKind::Channel).then(Channel::default);
        self.builder.object(kind, address, |_| channel)
    }

    pub(crate) fn waits(&mut self, row: u32, op: WaitOp, object: ObjectId) {
        self.tasks[row as usize].1.push(Wait { op, object });
    }

    pub(crate) fn holds(&mut self, row: u32, how: HoldKind, object: ObjectId) {
        self.tasks[row as usize].2.push(Hold { object, how, location: None });
    }

    pub(crate) fn acts(&mut self, row: u32, action: Action, certainty: Certainty, object: ObjectId) {
        let by = By::Task(row);
        let actor = Actor { object, by, action, certainty, location: None, hops: 0 };
        self.builder.links.actors.push(actor);
    }

    /// Everything was searched for actors of an object.
    pub(crate) fn searched(&mut self, object: ObjectId) {
        let searched = Searched { object, all_tasks: true, other_roots: true, is_global: false };
        self.builder.links.searched.push(searched);
    }

    /// A task waits for a descriptor of this kind.
    pub(crate) fn reads(&mut self, row: u32, op: WaitOp, fd: u32, kind: DescriptorKind, inode: u64) {
        let object = self.object(ObjectKind::Descriptor, fd.into());
        self.waits(row, op, object);
        let mut descriptor = Descriptor::new(fd);
        descriptor.kind = kind;
        descriptor.file = Some(file(inode));
        descriptor.read_deadline = Deadline::None;
        if kind == DescriptorKind::Socket {
            descriptor.socket = Some(Socket {
                protocol: Protocol::Tcp,
                local: Endpoint::Inet(format!("10.0.0.1:{fd}").parse().unwrap()),
                peer: Endpoint::Inet("10.0.0.7:8080".parse().unwrap()),
                state: SocketState::Established,
                receive_queue: Some(0),
                idle_receive_ns: Some(41_000_000_000),
                received_bytes: Some(100),
                ..Socket::default()
            });
        }
        self.builder.links.descriptors.push(descriptor);
    }

    pub(crate) fn snapshot(self) -> Snapshot {
        let mut builder = self.builder;
        for (task, waits, holds) in self.tasks {
            let waits = builder.waits(waits);
            let holds = builder.holds(holds);
            builder.task(Task { waits, holds, ..task });
        }
        let snapshot = builder.finish();
        assert_eq!(snapshot.validate(), Ok(()));
        snapshot
    }

    /// Read twice, with nothing moving.
    pub(crate) fn seen(self) -> SeenProcess {
        let (pid, name) = (self.pid, self.name.to_owned());
        let first = self.snapshot();
        let mut second = first.clone();
        second.header.taken_at_ns = second.header.taken_at_ns.map(|at| at + 100_000_000);
        SeenProcess { pid, name, first: Arc::new(first), second: Some(Arc::new(second)) }
    }
}

pub(crate) fn file(inode: u64) -> FileId {
    FileId { device: 8, inode }
}

pub(crate) fn open(pid: u32, name: &str, fd: u32, inode: u64, access: &str) -> OpenEnd {
    let access = Access { read: access.contains('r'), write: access.contains('w') };
    OpenEnd { file: file(inode), pid, process: name.to_owned(), fd, access }
}

pub(crate) fn system(
    processes: Vec<SeenProcess>,
    mut ends: Vec<OpenEnd>,
    peers: &[(u64, OtherEnd)],
) -> System {
    ends.sort_by_key(|end| end.file);
    System {
        processes,
        ends: Ends { open: ends, unreadable: Vec::new(), is_whole: true },
        peers: peers.iter().map(|(of, to)| Peer { of: file(*of), to: to.clone() }).collect(),
        ..System::default()
    }
}

pub(crate) fn socket(inode: u64) -> OtherEnd {
    OtherEnd::Socket { file: file(inode), unread: Some(0) }
}

/// Why a task of the first process waits.
fn cause_of(system: &System, row: u32) -> Cause {
    let why = Why::new(system);
    let chains = why.of_tasks(0, &[row]);
    chains[0].cause().unwrap().1.clone()
}

/// A task of another process, at the end of the example of the manual: a lock, its holder, a connection, a channel
/// and a pipe.
pub(crate) fn example() -> System {
    let mut api = Made::new(900, "api");
    let store = api.object(ObjectKind::Mutex, 0xc0_0001_2040);
    let holder = api.task("main.(*store).refresh", WaitClass::Network);
    api.holds(holder, HoldKind::Exclusive, store);
    api.reads(holder, WaitOp::Read, 9, DescriptorKind::Socket, 501);
    for _ in 0..1204 {
        let waiter = api.task("main.(*store).get", WaitClass::Lock);
        api.waits(waiter, WaitOp::Lock, store);
    }
    let mut inventory = Made::new(911, "inventory");
    let channel = inventory.object(ObjectKind::Channel, 0xc0_0003_00e0);
    let serve = inventory.task("main.serve", WaitClass::Send);
    inventory.waits(serve, WaitOp::Send, channel);
    let hub = inventory.task("main.(*hub).run", WaitClass::Io);
    inventory.acts(hub, Action::Receive, Certainty::Likely, channel);
    inventory.reads(hub, WaitOp::Read, 5, DescriptorKind::Pipe, 88121);
    let end = inventory.object(ObjectKind::Descriptor, 7);
    inventory.acts(serve, Action::Unknown, Certainty::Perhaps, end);
    let mut sh = Made::new(920, "sh");
    sh.builder.header.runtimes[0] =
        RuntimeInfo { name: "native".to_owned(), task_noun: "thread".to_owned(), ..RuntimeInfo::default() };
    let thread = sh.task("wait4", WaitClass::Call);
    sh.state(thread, TaskState::Syscall);
    let (name, function) = (sh.builder.code.string("wait4"), sh.builder.code.string("do_wait"));
    sh.builder.links.calls.push(SystemCall {
        task: thread,
        name,
        number: 61,
        arguments: [0; 6],
        kernel_function: Some(function),
        age: Age::Unknown,
    });
    let ends = vec![
        open(900, "api", 9, 501, "rw"),
        open(911, "inventory", 7, 502, "rw"),
        open(911, "inventory", 5, 88121, "r"),
        open(920, "sh", 1, 88121, "w"),
    ];
    let processes = vec![api.seen(), inventory.seen(), sh.seen()];
    system(processes, ends, &[(501, socket(502)), (502, socket(501))])
}

#[test]
fn a_chain_through_three_processes_ends_in_a_system_call() {
    let system = example();
    let why = Why::new(&system);
    let chains = why.of_tasks(0, &(1..1205).collect::<Vec<_>>());
    assert_eq!(chains.len(), 1);
    assert_eq!(chains[0].steps[0].count, 1204);
    assert_eq!(chains[0].cause().unwrap().1, &Cause::InCall);
    assert_eq!(why.graph().moved(), 0);
    let answer = why.causes();
    // All of them depend on one system call, but the thread that is in it depends on nothing else.
    assert_eq!(answer.causes[0].tasks, 1208);
    assert_eq!(answer.causes[0].chain, chains[0]);
    assert_eq!((answer.causes.len(), answer.usual, answer.waiting), (1, 0, 1208));
    let mut system = example();
    system.asked = 1;
    let answer = Why::new(&system).causes();
    assert_eq!((answer.causes[0].tasks, answer.waiting), (1208, 1205));
}

#[test]
fn a_cycle_across_three_processes_is_found() {
    let mut processes = Vec::new();
    for (pid, name) in [(1, "a"), (2, "b"), (3, "c")] {
        let mut made = Made::new(pid, name);
        let row = made.task("main.main", WaitClass::Io);
        made.reads(row, WaitOp::Read, 3, DescriptorKind::Pipe, pid.into());
        processes.push(made.seen());
    }
    // Each reads from its own pipe, which the next one writes.
    let ends = (1..4)
        .flat_map(|pid| {
            let next = pid % 3 + 1;
            [open(pid, "p", 3, pid.into(), "r"), open(next, "p", 4, pid.into(), "w")]
        })
        .collect();
    let mut system = system(processes, ends, &[]);
    let why = Why::new(&system);
    let chain = &why.of_tasks(0, &[0])[0];
    assert_eq!(chain.cause().unwrap().1, &Cause::Cycle { forever: true, open: false });
    assert_eq!(chain.cycle.len(), 3);
    assert_eq!(why.causes().causes[0].tasks, 3);
    // Another process might have an end.
    system.ends.unreadable = vec![77];
    assert_eq!(cause_of(&system, 0), Cause::Cycle { forever: false, open: false });
}

#[test]
fn what_moves_between_the_readings_makes_no_chain() {
    let mut system = example();
    let mut second = (*system.processes[0].first).clone();
    second.tasks[0].mark = Some(8);
    system.processes[0].second = Some(Arc::new(second));
    let why = Why::new(&system);
    assert_eq!(why.graph().moved(), 1);
    let chain = &why.of_tasks(0, &[1])[0];
    // It holds the lock in both readings, but where it was it is no more.
    assert_eq!(chain.cause().unwrap().1, &Cause::WentOn);
    // Data came through the connection.
    let mut system = example();
    let mut second = (*system.processes[0].first).clone();
    second.links.descriptors[0].socket.as_mut().unwrap().received_bytes = Some(101);
    system.processes[0].second = Some(Arc::new(second));
    assert!(matches!(cause_of(&system, 1), Cause::Unknown(Unknown::Moved)));
}

#[test]
fn one_reading_proves_nothing_of_several_processes() {
    let mut system = example();
    assert_eq!(Why::new(&system).graph().weakest_proof(), Proof::Twice);
    system.processes[1].second = None;
    assert_eq!(Why::new(&system).graph().weakest_proof(), Proof::Once);
    system.processes.truncate(1);
    let mut frozen = (*system.processes[0].first).clone();
    frozen.header.reading.mode = ReadMode::Frozen;
    system.processes[0].first = Arc::new(frozen);
    system.processes[0].second = None;
    assert_eq!(Why::new(&system).graph().weakest_proof(), Proof::Stopped);
}

/// One process with one task that waits as `make` says.
fn alone(make: impl FnOnce(&mut Made, u32)) -> System {
    let mut made = Made::new(1, "a");
    let row = made.task("main.main", WaitClass::Receive);
    make(&mut made, row);
    system(vec![made.seen()], Vec::new(), &[])
}

#[test]
fn chains_end_where_nothing_is_known() {
    let nothing = alone(|_, _| {});
    assert_eq!(cause_of(&nothing, 0), Cause::Unknown(Unknown::Object));
    let channel = |made: &mut Made, row| {
        let channel = made.object(ObjectKind::Channel, 0x10);
        made.waits(row, WaitOp::Receive, channel);
        channel
    };
    let unknown = alone(|made, row| _ = channel(made, row));
    assert_eq!(cause_of(&unknown, 0), Cause::Unknown(Unknown::NotSearched));
    let nobody = alone(|made, row| {
        let channel = channel(made, row);
        made.searched(channel);
    });
    assert_eq!(cause_of(&nobody, 0), Cause::DeadEnd(Dead::Nobody));
    let global = alone(|made, row| {
        let channel = channel(made, row);
        made.searched(channel);
        made.builder.links.searched[0].is_global = true;
    });
    assert_eq!(cause_of(&global, 0), Cause::Unknown(Unknown::Global));
    let lock = alone(|made, row| {
        let lock = made.object(ObjectKind::Mutex, 0x10);
        made.waits(row, WaitOp::Lock, lock);
    });
    assert_eq!(cause_of(&lock, 0), Cause::Unknown(Unknown::Holder));
}

#[test]
fn what_waits_for_signals_waits_as_usual() {
    let on = |element: &'static str| {
        alone(|made, row| {
            let element = Some(made.builder.code.string(element));
            let channel = Some(Channel { element, ..Channel::default() });
            let channel = made.builder.object(ObjectKind::Channel, 0x10, |_| channel);
            made.waits(row, WaitOp::Receive, channel);
            made.searched(channel);
            made.builder.links.searched[0].is_global = true;
        })
    };
    let (signals, others) = (on("os.Signal"), on("main.Signal"));
    assert_eq!(cause_of(&signals, 0), Cause::Signal);
    assert_eq!(Why::new(&signals).causes().usual, 1);
    assert_eq!(cause_of(&others, 0), Cause::Unknown(Unknown::Global));
}

#[test]
fn a_main_function_that_never_ends_is_usual() {
    let mut made = Made::new(1, "server");
    let main = made.task("main.main", WaitClass::NoCases);
    let role = crate::code::FunctionRole { begins: crate::code::Begins::Program, ..Default::default() };
    let begin = made.builder.code.function_with("runtime.main", "runtime", FunctionKind::Normal, role);
    made.tasks[main as usize].0.entry = Some(begin);
    made.task("main.worker", WaitClass::NoCases);
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let why = Why::new(&system);
    let answer = why.causes();
    assert_eq!((answer.usual, answer.causes.len()), (1, 1));
    assert_ne!(answer.causes[0].chain.steps[0].node, why.graph().task_node(0, main).unwrap());
}

#[test]
fn coroutines_wait_and_are_waited_for() {
    let pulled = |make: &dyn Fn(&mut Made, u32, ObjectId)| {
        alone(|made, row| {
            let coroutine = made.object(ObjectKind::Coroutine, 0xc0);
            made.waits(row, WaitOp::Receive, coroutine);
            let generator = made.task("main.generate", WaitClass::NilChannel);
            make(made, generator, coroutine);
        })
    };
    let stuck = pulled(&|made, row, of| made.acts(row, Action::Yield, Certainty::Sure, of));
    assert_eq!(cause_of(&stuck, 0), Cause::DeadEnd(Dead::NilChannel));
    let why = Why::new(&stuck);
    assert!(!why.graph().is_alive(why.graph().task_node(0, 0).unwrap()), "it depends on what never ends");
    // Whoever is blocked on it may have been resumed meanwhile.
    let mut moving = stuck;
    let mut second = (*moving.processes[0].first).clone();
    second.tasks[1].mark = Some(8);
    moving.processes[0].second = Some(Arc::new(second));
    assert_eq!(cause_of(&moving, 0), Cause::Unknown(Unknown::Moved));

    let rests = |make: &dyn Fn(&mut Made, ObjectId)| {
        alone(|made, row| {
            let coroutine = made.object(ObjectKind::Coroutine, 0xc0);
            made.waits(row, WaitOp::Resume, coroutine);
            made.searched(coroutine);
            make(made, coroutine);
        })
    };
    assert_eq!(cause_of(&rests(&|_, _| ()), 0), Cause::DeadEnd(Dead::Nobody));
    let resumed = rests(&|made, of| {
        let consumer = made.task("main.consume", WaitClass::NoCases);
        made.acts(consumer, Action::Resume, Certainty::Likely, of);
    });
    assert_eq!(cause_of(&resumed, 0), Cause::DeadEnd(Dead::NoCases));
}

#[test]
fn timers_and_deadlines_end_waits() {
    let at = 1_003_000_000_000;
    let timer = |state| {
        alone(move |made, row| {
            let object = made.object(ObjectKind::Channel, 0x10);
            made.waits(row, WaitOp::Receive, object);
            made.searched(object);
            let timer = Timer { object, kind: TimerKind::Channel, state, period_ns: 0 };
            made.builder.links.timers.push(timer);
        })
    };
    assert_eq!(cause_of(&timer(TimerState::At(at)), 0), Cause::Time(at));
    assert_eq!(cause_of(&timer(TimerState::Stopped), 0), Cause::DeadEnd(Dead::StoppedTimer));
    assert_eq!(cause_of(&timer(TimerState::Fake), 0), Cause::SomeTime);
    // The nearest deadline above a context counts, even if contexts are their own parents.
    let context = alone(|made, row| {
        let object = made.object(ObjectKind::Channel, 0x10);
        made.waits(row, WaitOp::Receive, object);
        let context = |object, deadline, parent| Context {
            object,
            address: 1,
            type_name: None,
            deadline,
            cancelled: Some(false),
            parent,
            is_root: false,
        };
        made.builder.links.contexts.extend([
            context(Some(object), TimerState::At(at + 5), Some(1)),
            context(None, TimerState::At(at), Some(0)),
        ]);
    });
    assert_eq!(cause_of(&context, 0), Cause::Time(at));
}

#[test]
fn a_select_is_blocked_only_if_all_of_its_cases_are() {
    let mut made = Made::new(1, "a");
    let select = made.task("main.loop", WaitClass::Select);
    let dead = made.object(ObjectKind::Channel, 0x10);
    made.searched(dead);
    made.waits(select, WaitOp::Receive, dead);
    let lock = made.object(ObjectKind::Mutex, 0x20);
    let waiter = made.task("main.wait", WaitClass::Lock);
    made.waits(waiter, WaitOp::Lock, lock);
    made.holds(select, HoldKind::Exclusive, lock);
    let single = system(vec![Made { tasks: made.tasks.clone(), ..made }.seen()], Vec::new(), &[]);
    assert_eq!(cause_of(&single, waiter), Cause::DeadEnd(Dead::Nobody));
    let mut made = Made::new(1, "a");
    let select = made.task("main.loop", WaitClass::Select);
    let (dead, ticker) = (made.object(ObjectKind::Channel, 0x10), made.object(ObjectKind::Channel, 0x30));
    made.searched(dead);
    made.waits(select, WaitOp::Receive, dead);
    made.waits(select, WaitOp::Receive, ticker);
    let state = TimerState::At(7);
    made.builder.links.timers.push(Timer { object: ticker, kind: TimerKind::Channel, state, period_ns: 9 });
    let both = system(vec![made.seen()], Vec::new(), &[]);
    assert_eq!(cause_of(&both, select), Cause::Time(7));
}

/// Two processes whose tasks read from each other. The second one has this many other tasks.
fn both_read(others: usize) -> System {
    let mut processes = Vec::new();
    for (pid, inode) in [(1, 11), (2, 12)] {
        let mut made = Made::new(pid, "p");
        let row = made.task("main.main", WaitClass::Network);
        (0..if pid == 2 { others } else { 0 }).for_each(|_| _ = made.task("main.other", WaitClass::Sleep));
        made.reads(row, WaitOp::Read, 3, DescriptorKind::Socket, inode);
        processes.push(made.seen());
    }
    let ends = vec![open(1, "p", 3, 11, "rw"), open(2, "p", 3, 12, "rw")];
    system(processes, ends, &[(11, socket(12)), (12, socket(11))])
}

#[test]
fn both_ends_that_wait_for_each_other_are_a_deadlock_only_if_nobody_else_is_there() {
    assert_eq!(cause_of(&both_read(0), 0), Cause::Cycle { forever: true, open: false });
    assert_eq!(cause_of(&both_read(1), 0), Cause::BothWait);
    // Data is on its way.
    let mut system = both_read(1);
    let mut second = (*system.processes[1].first).clone();
    second.links.descriptors[0].socket.as_mut().unwrap().receive_queue = Some(5);
    system.processes[1].first = Arc::new(second);
    let graph = Graph::new(&system);
    assert!(graph.moved() > 0);
    assert_eq!(cause_of(&system, 0), Cause::Unknown(Unknown::WhichTask));
}

#[test]
fn a_connection_that_was_not_accepted_leads_to_the_listener() {
    let mut client = Made::new(1, "client");
    let row = client.task("main.main", WaitClass::Network);
    client.reads(row, WaitOp::Read, 3, DescriptorKind::Socket, 11);
    let mut server = Made::new(2, "server");
    server.task("main.busy", WaitClass::Sleep);
    server.task("main.other", WaitClass::Sleep);
    let ends = vec![open(1, "client", 3, 11, "rw"), open(2, "server", 4, 20, "rw")];
    let peers = [(11, OtherEnd::NotAccepted { listener: file(20) })];
    let system = system(vec![client.seen(), server.seen()], ends, &peers);
    assert!(matches!(cause_of(&system, row), Cause::Unknown(Unknown::WhichTask)));
}

#[test]
fn a_million_tasks_on_one_lock_are_one_group() {
    let mut made = Made::new(1, "a");
    let lock = made.object(ObjectKind::Mutex, 0x10);
    let holder = made.task("main.hold", WaitClass::Sleep);
    made.holds(holder, HoldKind::Exclusive, lock);
    let row = made.task("main.wait", WaitClass::Lock);
    made.waits(row, WaitOp::Lock, lock);
    let waiter = made.tasks.last().unwrap().clone();
    made.tasks.extend((3..1_000_002).map(|id| {
        let mut next = waiter.clone();
        next.0.id = Some(id);
        next
    }));
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let answer = Why::new(&system).causes();
    assert_eq!(answer.causes[0].tasks, 1_000_001);
    assert_eq!(answer.causes[0].chain.steps.len(), 3);
}

#[test]
fn long_chains_are_followed_without_recursion() {
    let mut made = Made::new(1, "a");
    let mut before: Option<ObjectId> = None;
    for nth in 0..10_000 {
        let row = made.task("main.wait", WaitClass::Lock);
        if let Some(lock) = before {
            made.waits(row, WaitOp::Lock, lock);
        }
        let lock = made.object(ObjectKind::Mutex, 0x1000 + 8 * nth);
        made.holds(row, HoldKind::Exclusive, lock);
        before = Some(lock);
    }
    let system = system(vec![made.seen()], Vec::new(), &[]);
    let why = Why::new(&system);
    let chain = why.of_tasks(0, &[9_999]).remove(0);
    assert_eq!(chain.steps.len(), 2 * 9_999 + 1);
    assert_eq!(why.causes().causes[0].tasks, 10_000);
}

/// The descriptor that the way of a task goes through first.
fn first_descriptor(system: &System) -> u32 {
    let why = Why::new(system);
    let chain = why.graph().chain(why.graph().task_node(0, 0).unwrap());
    why.graph().descriptor(chain.steps[1].node).unwrap().fd
}

/// An event loop with a client, to whom it owes an answer, and a server, from which it waits for one.
#[test]
fn an_event_loop_waits_for_the_answer_that_is_missing() {
    let mut proxy = Made::new(900, "proxy");
    let worker = proxy.task("main.loop", WaitClass::Io);
    proxy.reads(worker, WaitOp::Read, 5, DescriptorKind::Socket, 501);
    proxy.reads(worker, WaitOp::Read, 6, DescriptorKind::Socket, 502);
    for (descriptor, sent) in proxy.builder.links.descriptors.iter_mut().zip([0, 80]) {
        let socket = descriptor.socket.as_mut().unwrap();
        (socket.sent_bytes, socket.idle_send_ns) = (Some(sent), Some(5));
    }
    let ends = vec![open(7, "client", 3, 601, "rw"), open(8, "server", 4, 602, "rw")];
    let peers = [(501, socket(601)), (502, socket(602))];
    assert_eq!(first_descriptor(&system(vec![proxy.seen()], ends, &peers)), 6);
}

#[test]
fn a_chain_begins_with_what_was_asked() {
    let (mut asked, mut other) = (Made::new(900, "asked"), Made::new(901, "other"));
    let reader = asked.task("main.read", WaitClass::Io);
    asked.reads(reader, WaitOp::Read, 5, DescriptorKind::Pipe, 501);
    let lock = other.object(ObjectKind::Mutex, 0x50);
    let holder = other.task("main.hold", WaitClass::Call);
    other.holds(holder, HoldKind::Exclusive, lock);
    for _ in 0..9 {
        let waiter = other.task("main.wait", WaitClass::Lock);
        other.waits(waiter, WaitOp::Lock, lock);
    }
    let end = other.object(ObjectKind::Descriptor, 4);
    other.acts(holder, Action::Send, Certainty::Sure, end);
    let ends = vec![open(901, "other", 4, 501, "w")];
    let mut system = system(vec![asked.seen(), other.seen()], ends, &[]);
    system.asked = 1;
    let why = Why::new(&system);
    let answer = why.causes();
    let found = &answer.causes[0];
    assert_eq!(found.tasks, 11, "{found:?}");
    assert_eq!(why.graph().process_of(found.chain.steps[0].node), Some(0));
}

#[test]
fn things_of_the_kernel_say_what_they_wait_for() {
    let of = |kind, name: &str| {
        let mut made = Made::new(900, "api");
        let task = made.task("main.wait", WaitClass::Io);
        made.reads(task, WaitOp::Read, 5, kind, 501);
        made.builder.links.descriptors[0].name = Some(name.to_owned());
        cause_of(&system(vec![made.seen()], Vec::new(), &[]), task)
    };
    assert_eq!(of(DescriptorKind::Other, "anon_inode:inotify"), Cause::Files);
    assert_eq!(of(DescriptorKind::Other, "anon_inode:[signalfd]"), Cause::Signal);
    assert_eq!(of(DescriptorKind::Other, "anon_inode:[io_uring]"), Cause::Unknown(Unknown::Waker));
    assert_eq!(of(DescriptorKind::Other, "inotify"), Cause::Unknown(Unknown::Waker), "a path is no name");
    assert_eq!(of(DescriptorKind::Terminal, "/dev/pts/3"), Cause::Terminal);
}

/// A client waits for a proxy, whose only thread waits for it, too, and for a server that never answers.
#[test]
fn an_event_loop_is_followed_to_what_it_waits_for() {
    let (mut client, mut proxy) = (Made::new(899, "client"), Made::new(900, "proxy"));
    let mut server = Made::new(901, "server");
    let reader = client.task("main.get", WaitClass::Io);
    client.reads(reader, WaitOp::Read, 3, DescriptorKind::Socket, 601);
    let worker = proxy.task("main.loop", WaitClass::Io);
    proxy.reads(worker, WaitOp::Read, 5, DescriptorKind::Socket, 501);
    proxy.reads(worker, WaitOp::Read, 6, DescriptorKind::Socket, 502);
    for (descriptor, sent) in proxy.builder.links.descriptors.iter_mut().zip([0, 80]) {
        let socket = descriptor.socket.as_mut().unwrap();
        (socket.sent_bytes, socket.idle_send_ns) = (Some(sent), Some(5));
    }
    let (lock, end) = (server.object(ObjectKind::Mutex, 0x50), server.object(ObjectKind::Descriptor, 4));
    let (handler, holder) =
        (server.task("main.serve", WaitClass::Lock), server.task("main.hold", WaitClass::Call));
    server.waits(handler, WaitOp::Lock, lock);
    server.acts(handler, Action::Send, Certainty::Likely, end);
    server.holds(holder, HoldKind::Exclusive, lock);
    let ends = vec![
        open(899, "client", 3, 601, "rw"),
        open(900, "proxy", 5, 501, "rw"),
        open(901, "server", 4, 602, "rw"),
    ];
    let peers = [(601, socket(501)), (501, socket(601)), (502, socket(602))];
    let system = system(vec![client.seen(), proxy.seen(), server.seen()], ends, &peers);
    let why = Why::new(&system);
    let chain = why.of_tasks(0, &[reader]).remove(0);
    let (at, cause) = chain.cause().unwrap();
    assert_eq!((why.graph().process_of(at), cause), (Some(2), &Cause::InCall), "{chain:#?}");
    // Nothing is said to be for ever: the client might send something more.
    assert!((0..3).all(|process| why.graph().is_alive(why.graph().task_node(process, 0).unwrap())));
}

/// Two tasks read from a named pipe that their process has open for both: neither is the one that would write.
#[test]
fn readers_of_one_pipe_do_not_wait_for_each_other() {
    let mut made = Made::new(1, "a");
    for nth in 0..2 {
        let row = made.task("main.read", WaitClass::Io);
        if nth == 1 {
            let other = made.object(ObjectKind::Channel, 0x10);
            made.waits(row, WaitOp::Receive, other);
        }
        made.reads(row, WaitOp::Read, 3, DescriptorKind::Fifo, 11);
    }
    made.builder.links.descriptors.truncate(1);
    let system = system(vec![made.seen()], vec![open(1, "a", 3, 11, "rw")], &[]);
    assert_eq!(cause_of(&system, 0), Cause::Unknown(Unknown::WhichTask));
}

#[test]
fn a_socket_without_a_peer_waits_for_datagrams_of_anybody() {
    let of = |protocol, state, peer| {
        let mut made = Made::new(1, "a");
        let row = made.task("main.serve", WaitClass::Network);
        made.reads(row, WaitOp::Read, 3, DescriptorKind::Socket, 11);
        let socket = made.builder.links.descriptors[0].socket.as_mut().unwrap();
        (socket.protocol, socket.state, socket.peer) = (protocol, state, peer);
        cause_of(&system(vec![made.seen()], Vec::new(), &[]), row)
    };
    let far = Endpoint::Inet("10.0.0.7:53".parse().unwrap());
    assert_eq!(of(Protocol::Udp, SocketState::Close, Endpoint::None), Cause::Clients);
    assert_eq!(of(Protocol::UnixDatagram, SocketState::Close, Endpoint::None), Cause::Clients);
    assert_eq!(of(Protocol::Udp, SocketState::Established, far), Cause::Unknown(Unknown::FarEnd));
    assert_eq!(of(Protocol::Tcp, SocketState::Close, Endpoint::None), Cause::Unknown(Unknown::FarEnd));
}
