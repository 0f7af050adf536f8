//! Systems of processes that wait for each other, made up, with the truth about them.

use crate::common::random::Random;

/// A program that takes a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// In Go of this version, stripped or not.
    Go(&'static str, bool),
    /// In C.
    C,
    /// In Rust, with a registry of its tasks.
    Registered,
}

/// The programs that systems are made of.
const PROGRAMS: [Program; 7] = [
    Program::Go("1.19", false),
    Program::Go("1.19", true),
    Program::Go("1.23", true),
    Program::Go("1.27", false),
    Program::Go("1.27", true),
    Program::C,
    Program::Registered,
];

/// A process of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) program: Program,
    /// What it has besides its tasks.
    pub(crate) lines: Vec<String>,
    pub(crate) tasks: Vec<Task>,
    /// A process in whose network namespace it runs.
    pub(crate) namespace: Option<u32>,
    /// Its standard input and output are pipes from and to others.
    reads_pipe: bool,
    writes_pipe: bool,
}

/// A task of a process.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) name: String,
    duties: String,
    wait: String,
}

impl Task {
    pub(crate) fn line(&self) -> String {
        format!("task {}{} wait {}", self.name, self.duties, self.wait)
    }
}

/// A task, by its process and its place there.
pub(crate) type Place = (usize, usize);

/// Who waits for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) how: How,
}

/// What one task waits for and another one will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum How {
    Mutex,
    DeferredMutex,
    /// A reader waits for a writer.
    Writer,
    /// A writer waits for a reader.
    Reader,
    /// A channel is full.
    Full,
    /// A channel is empty, and somebody will send.
    Empty,
    /// A channel is to be closed.
    Close,
    Group,
    Context,
    Tcp,
    Unix,
    Fifo,
    Pipe,
    /// The other end does not read.
    Blocked,
    /// The other end has not been accepted.
    Unaccepted,
}

impl How {
    const HERE: [How; 9] = [
        How::Mutex,
        How::DeferredMutex,
        How::Writer,
        How::Reader,
        How::Full,
        How::Empty,
        How::Close,
        How::Group,
        How::Context,
    ];

    /// It leads to another process.
    pub(crate) fn leads_away(self) -> bool {
        !How::HERE.contains(&self)
    }
}

/// How much of an edge loiter's rules can know (docs/limits.md), whatever it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Knowable {
    /// The task that is waited for.
    Task,
    /// The process that it belongs to.
    Process,
}

/// A system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) processes: Vec<Process>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) fifos: Vec<String>,
    /// Whose output is whose input.
    pub(crate) pipes: Vec<(usize, usize)>,
    joints: usize,
    objects: usize,
}

impl Plan {
    /// A process, without tasks.
    pub(crate) fn process(&mut self, program: Program) -> usize {
        let empty = Process {
            program,
            lines: Vec::new(),
            tasks: Vec::new(),
            namespace: None,
            reads_pipe: false,
            writes_pipe: false,
        };
        self.processes.push(empty);
        self.processes.len() - 1
    }

    /// A task that sleeps until it is given something else to wait for.
    pub(crate) fn task(&mut self, process: usize) -> Place {
        let tasks = &mut self.processes[process].tasks;
        let name = format!("p{process}t{}", tasks.len());
        tasks.push(Task { name, duties: String::new(), wait: "sleep".to_owned() });
        (process, tasks.len() - 1)
    }

    fn at(&mut self, place: Place) -> &mut Task {
        &mut self.processes[place.0].tasks[place.1]
    }

    /// What a task waits for at the end.
    pub(crate) fn waits(&mut self, task: Place, wait: &str) {
        self.at(task).wait = wait.to_owned();
    }

    /// Removes all duties of a task.
    pub(crate) fn without_duties(&mut self, task: Place) {
        self.at(task).duties.clear();
    }

    /// Adds a duty around all others of a task.
    pub(crate) fn duty(&mut self, task: Place, duty: &str) {
        self.at(task).duties.insert_str(0, &format!(" {duty}"));
    }

    pub(crate) fn add(&mut self, process: usize, line: String) {
        self.processes[process].lines.push(line);
    }

    /// Makes every task of `from` wait for `to`. Those that lead to another process have one in `from`.
    pub(crate) fn link(&mut self, from: &[Place], to: Place, how: How, random: &mut Random) {
        if how.leads_away() {
            self.link_away(from[0], to, how);
        } else {
            self.link_here(from, to, how, random);
        }
        self.edges.extend(from.iter().map(|&from| Edge { from, to, how }));
    }

    fn link_here(&mut self, from: &[Place], to: Place, how: How, random: &mut Random) {
        self.objects += 1;
        let object = format!("o{}", self.objects);
        let room = random.below(4);
        let (kind, wait, duty) = match how {
            How::Mutex => ("mutex".to_owned(), "lock", "unlock"),
            How::DeferredMutex => ("mutex".to_owned(), "lock", "defer-unlock"),
            How::Writer => ("rwmutex".to_owned(), "read-lock", "unlock-writer"),
            How::Reader => ("rwmutex".to_owned(), "write-lock", "unlock-reader"),
            How::Full => (format!("full {room}"), "send", "receive"),
            How::Empty => (format!("empty {room}"), "receive", "send"),
            How::Close => ("empty 0".to_owned(), "receive", "close"),
            How::Group => ("group".to_owned(), "group", "done"),
            How::Context => ("context".to_owned(), "context", "cancel"),
            away => panic!("{away:?} leads to another process"),
        };
        self.add(to.0, format!("object {object} {kind}"));
        for &task in from {
            self.waits(task, &format!("{wait} {object}"));
        }
        self.duty(to, &format!("{duty} {object}"));
    }

    fn link_away(&mut self, from: Place, to: Place, how: How) {
        self.joints += 1;
        let joint = format!("j{}", self.joints);
        let (wait, duty) = match how {
            How::Blocked => ("write", "read"),
            How::Unaccepted => ("read", "accept"),
            _ => ("read", "write"),
        };
        let (kind, mine, other) = match how {
            How::Unaccepted => ("tcp", "dial", "hold"),
            How::Tcp | How::Blocked if self.joints.is_multiple_of(2) => ("tcp", "listen", "dial"),
            How::Tcp | How::Blocked => ("tcp", "dial", "listen"),
            How::Unix if self.joints.is_multiple_of(2) => ("unix", "listen", "dial"),
            How::Unix => ("unix", "dial", "listen"),
            How::Fifo => ("fifo", "read", "write"),
            How::Pipe => ("stdin", "-", "-"),
            here => panic!("{here:?} stays in its process"),
        };
        if how == How::Fifo {
            self.fifos.push(joint.clone());
        }
        if how == How::Pipe {
            self.pipes.push((to.0, from.0));
            self.processes[from.0].reads_pipe = true;
            self.processes[to.0].writes_pipe = true;
        }
        self.add(from.0, format!("joint {joint} {kind} {mine}"));
        let kind = if how == How::Pipe { "stdout" } else { kind };
        self.add(to.0, format!("joint {joint} {kind} {other}"));
        self.waits(from, &format!("{wait} {joint}"));
        self.duty(to, &format!("{duty} {joint}"));
    }

    /// Connects two tasks of different processes. Returns the name of the connection.
    pub(crate) fn join(&mut self, [one, other]: [Place; 2], kind: &str) -> String {
        self.joints += 1;
        let joint = format!("j{}", self.joints);
        self.add(one.0, format!("joint {joint} {kind} dial"));
        self.add(other.0, format!("joint {joint} {kind} listen"));
        joint
    }

    /// How much of an edge can be known: what the runtime of the task that is waited for lets see, not what was found.
    pub(crate) fn knowable(&self, edge: &Edge) -> Knowable {
        match (self.processes[edge.to.0].program, edge.how) {
            // The runtime does not poll standard output, so that no task of it leads to its descriptor.
            (Program::Go(..), How::Pipe) => Knowable::Process,
            (Program::Go(..), _) => Knowable::Task,
            // A mutex of C has the id of its owner. Who is going to use a descriptor is in no thread's state.
            (Program::C, How::Mutex) => Knowable::Task,
            (Program::C | Program::Registered, _) => Knowable::Process,
        }
    }

    /// Ways in which a task of one process can wait for one of another.
    fn ways(&self, from: usize, to: usize) -> Vec<How> {
        let (from, to) = (&self.processes[from], &self.processes[to]);
        let mut ways = vec![How::Tcp, How::Unix];
        let named = |process: &Process| process.program != Program::Registered;
        if named(from) && named(to) {
            ways.push(How::Fifo);
            if !from.reads_pipe && !to.writes_pipe {
                ways.push(How::Pipe);
            }
        }
        if let (Program::Go(..), Program::Go(..)) = (from.program, to.program) {
            ways.extend([How::Blocked, How::Unaccepted]);
        }
        ways
    }

    /// A system of this many processes: chains of waits through all of them, which end somewhere or in a cycle.
    pub(crate) fn random(processes: usize, random: &mut Random) -> Plan {
        Plan::of(processes, &PROGRAMS, random)
    }

    /// The same of programs that can be put into network namespaces.
    pub(crate) fn random_in_namespaces(processes: usize, random: &mut Random) -> Plan {
        let with_addresses = PROGRAMS.into_iter().filter(|program| matches!(program, Program::Go(..)));
        Plan::of(processes, &with_addresses.collect::<Vec<_>>(), random)
    }

    fn of(processes: usize, programs: &[Program], random: &mut Random) -> Plan {
        let mut plan = Plan::default();
        for _ in 0..processes {
            plan.process(pick(random, programs));
        }
        // A cycle comes back to where it began, so that must be able to wait and to be waited for.
        plan.processes[0].program = Program::Go(pick(random, &["1.19", "1.23", "1.27"]), true);
        let chains = 1 + random.below(2);
        for _ in 0..chains {
            plan.chain(random);
        }
        plan.noise(random);
        plan
    }

    /// A chain of waits through all processes, in order.
    fn chain(&mut self, random: &mut Random) {
        let first = self.task(0);
        let mut at = first;
        for process in 0..self.processes.len() {
            if process > 0 {
                if self.processes[at.0].program == Program::Registered {
                    return;
                }
                let to = self.task(process);
                let ways = self.ways(at.0, process);
                self.link(&[at], to, pick(random, &ways), random);
                at = to;
            }
            for _ in 0..random.below(3) {
                at = self.step(at, random);
            }
        }
        match self.processes[at.0].program {
            Program::Registered => {}
            _ if at.0 != 0 && random.below(2) == 0 => {
                let ways = self.ways(at.0, 0);
                self.link(&[at], first, pick(random, &ways), random);
            }
            Program::Go(..) => {
                let end = pick(random, &["sleep", "timer", "forever"]);
                self.waits(at, end);
            }
            Program::C => {}
        }
    }

    /// A wait for another task of the same process, with others beside it.
    fn step(&mut self, at: Place, random: &mut Random) -> Place {
        let how = match self.processes[at.0].program {
            Program::Go(..) => pick(random, &How::HERE),
            Program::C => How::Mutex,
            Program::Registered => return at,
        };
        let to = self.task(at.0);
        let mut from = vec![at];
        for _ in 0..random.below(3) {
            from.push(self.task(at.0));
        }
        self.link(&from, to, how, random);
        to
    }

    /// Tasks that do the same with other objects, and have nothing to do with any chain.
    fn noise(&mut self, random: &mut Random) {
        for process in 0..self.processes.len() {
            if !matches!(self.processes[process].program, Program::Go(..)) {
                continue;
            }
            for _ in 0..random.below(6) {
                let task = self.task(process);
                self.objects += 1;
                let object = format!("o{}", self.objects);
                let (kind, duty) = pick(
                    random,
                    &[("empty 0", "send"), ("full 2", "receive"), ("empty 1", "close"), ("mutex", "unlock")],
                );
                self.add(process, format!("object {object} {kind}"));
                self.duty(task, &format!("{duty} {object}"));
            }
            if random.below(4) == 0 {
                self.add(process, "keep".to_owned());
            }
        }
    }
}

/// One of these.
pub(crate) fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}
