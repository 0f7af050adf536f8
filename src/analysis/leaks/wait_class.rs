//! What keeps a task waiting, in the terms that leak rules think in.
//!
//! What the snapshot knows of the things waited for decides; then the words of the runtime; then, for
//! sources that have neither (profiles), the names of the innermost functions.

use crate::snapshot::{
    Channel, FunctionId, ObjectKind, Snapshot, Stack, Task, TaskState, Wait, WaitObject, WaitOp,
};

/// What keeps a task waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitClass {
    /// Nobody knows.
    Unknown,
    /// Nothing: it runs or could run.
    Nothing,
    /// It waits for something that cannot come: a channel that is nil.
    NilChannel,
    /// It waits for nothing at all: a select without cases.
    NoCases,
    /// The runtime itself has proved that it will never run again.
    Leaked,
    /// To send on a channel.
    Send,
    /// For the next value of a channel, or its end.
    Range,
    /// For a value of a channel.
    Receive,
    /// For a channel that carries no values: it tells by being closed, like that of a context.
    Signal,
    /// For one of several channels.
    Select,
    /// For a timer or ticker, perhaps beside other things.
    Timer,
    /// For time to pass.
    Sleep,
    /// For a lock.
    Lock,
    /// For a wait group to come to zero.
    WaitGroup,
    /// For a condition variable or a notification.
    Cond,
    /// For a semaphore.
    Semaphore,
    /// For another task to end.
    Join,
    /// For a connection to be accepted.
    Accept,
    /// For a peer on the network.
    Network,
    /// For a file, a pipe or a device.
    Io,
    /// For a system call or foreign code to come back.
    Call,
    /// For something else.
    Other,
}

impl WaitClass {
    /// It will never run again, whatever happens.
    pub fn never_ends(self) -> bool {
        matches!(self, WaitClass::NilChannel | WaitClass::NoCases | WaitClass::Leaked)
    }

    /// In words, for sources that have none of their own.
    pub fn words(self) -> &'static str {
        match self {
            WaitClass::Unknown => "unknown",
            WaitClass::Nothing => "running",
            WaitClass::NilChannel => "nil channel",
            WaitClass::NoCases => "select without cases",
            WaitClass::Leaked => "leaked",
            WaitClass::Send => "channel send",
            WaitClass::Range | WaitClass::Receive | WaitClass::Signal => "channel receive",
            WaitClass::Select => "select",
            WaitClass::Timer => "timer",
            WaitClass::Sleep => "sleep",
            WaitClass::Lock => "lock",
            WaitClass::WaitGroup => "wait group",
            WaitClass::Cond => "condition variable",
            WaitClass::Semaphore => "semaphore",
            WaitClass::Join => "join",
            WaitClass::Accept => "accept",
            WaitClass::Network => "network",
            WaitClass::Io => "I/O",
            WaitClass::Call => "system call",
            WaitClass::Other => "waiting",
        }
    }
}

/// What the functions of a stack say.
#[derive(Debug, Clone, Copy, Default)]
struct StackFacts {
    /// What the innermost functions wait for, where nothing else tells.
    innermost: Option<WaitClass>,
    /// It is told when the channel is closed, as a loop over it is.
    range: bool,
    accept: bool,
    network: bool,
}

/// Classifies the tasks of one snapshot. What depends on the stack is worked out once for each.
#[derive(Debug)]
pub(super) struct Classifier<'a> {
    snapshot: &'a Snapshot,
    stacks: Vec<StackFacts>,
}

impl<'a> Classifier<'a> {
    /// For the tasks of `snapshot`.
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let functions: Vec<StackFacts> = (0..snapshot.code.functions.len())
            .map(|at| of_function(snapshot, FunctionId(at as u32)))
            .collect();
        let stacks = snapshot.code.stacks.iter().map(|stack| of_stack(snapshot, &functions, stack)).collect();
        Classifier { snapshot, stacks }
    }

    /// What keeps `task` waiting.
    pub(super) fn of(&self, task: &Task) -> WaitClass {
        if task.leaked {
            return WaitClass::Leaked;
        }
        let facts = task.stack.and_then(|id| self.stacks.get(id.index())).copied().unwrap_or_default();
        let reason = task.reason.map_or("", |id| self.snapshot.str(id));
        match task.state {
            TaskState::Running | TaskState::Runnable | TaskState::Preempted | TaskState::Finished => {
                return WaitClass::Nothing;
            }
            TaskState::Syscall if facts.accept => return WaitClass::Accept,
            TaskState::Syscall if facts.network => return WaitClass::Network,
            TaskState::Syscall => return WaitClass::Call,
            TaskState::Waiting | TaskState::Unknown => {}
        }
        let by_reason = by_reason(reason, facts);
        if by_reason.is_some_and(WaitClass::never_ends) {
            return by_reason.unwrap_or(WaitClass::Other);
        }
        let waits = self.snapshot.waits_of(task);
        self.by_objects(waits, facts).or(by_reason).or(facts.innermost).unwrap_or(match task.state {
            TaskState::Waiting => WaitClass::Other,
            _ => WaitClass::Unknown,
        })
    }

    fn by_objects(&self, waits: &[Wait], facts: StackFacts) -> Option<WaitClass> {
        let object = |wait: &Wait| self.snapshot.objects.get(wait.object.index());
        match waits {
            [] => None,
            [wait] => self.by_object(wait.op, object(wait)?, facts),
            several => {
                let timer = |wait: &Wait| object(wait).is_some_and(|o| self.is_timer(o));
                Some(if several.iter().any(timer) { WaitClass::Timer } else { WaitClass::Select })
            }
        }
    }

    fn by_object(&self, op: WaitOp, object: &WaitObject, facts: StackFacts) -> Option<WaitClass> {
        Some(match (object.kind, op) {
            (ObjectKind::Channel, WaitOp::Send) => WaitClass::Send,
            (ObjectKind::Channel, _) if self.is_timer(object) => WaitClass::Timer,
            (ObjectKind::Channel, _) if self.element(object) == Some("struct {}") => WaitClass::Signal,
            (ObjectKind::Channel, _) if facts.range => WaitClass::Range,
            (ObjectKind::Channel, _) => WaitClass::Receive,
            (ObjectKind::Mutex | ObjectKind::RwMutex, _) => WaitClass::Lock,
            (ObjectKind::WaitGroup, _) => WaitClass::WaitGroup,
            (ObjectKind::Cond, _) => WaitClass::Cond,
            (ObjectKind::Semaphore, _) => WaitClass::Semaphore,
            // What is done with it, only the reason says.
            (ObjectKind::Other, _) => return None,
        })
    }

    fn element(&self, object: &WaitObject) -> Option<&str> {
        object.channel.and_then(|channel| channel.element).map(|id| self.snapshot.str(id))
    }

    /// The channel of a timer or ticker has room for one moment.
    fn is_timer(&self, object: &WaitObject) -> bool {
        matches!(object.channel, Some(Channel { cap: 1, .. })) && self.element(object) == Some("time.Time")
    }
}

fn by_reason(reason: &str, facts: StackFacts) -> Option<WaitClass> {
    Some(match reason {
        "" => return None,
        "select (no cases)" => WaitClass::NoCases,
        r if r.ends_with("(nil chan)") => WaitClass::NilChannel,
        r if r.starts_with("chan send") || r.starts_with("channel send") => WaitClass::Send,
        r if r.starts_with("chan receive") || r.starts_with("channel receive") => {
            if facts.range {
                WaitClass::Range
            } else {
                WaitClass::Receive
            }
        }
        r if r.starts_with("select") => WaitClass::Select,
        "sleep" => WaitClass::Sleep,
        "lock" | "read lock" | "write lock" => WaitClass::Lock,
        r if r.starts_with("sync.Mutex") || r.starts_with("sync.RWMutex") => WaitClass::Lock,
        "sync.WaitGroup.Wait" => WaitClass::WaitGroup,
        "sync.Cond.Wait" | "notification" => WaitClass::Cond,
        "semacquire" | "semaphore" => WaitClass::Semaphore,
        "join" => WaitClass::Join,
        "IO wait" | "read" | "write" | "I/O" => match facts {
            StackFacts { accept: true, .. } => WaitClass::Accept,
            StackFacts { network: true, .. } => WaitClass::Network,
            _ => WaitClass::Io,
        },
        "blocking call" | "syscall" => WaitClass::Call,
        _ => return None,
    })
}

/// What one function says about a stack that it is on.
fn of_function(snapshot: &Snapshot, id: FunctionId) -> StackFacts {
    let name = snapshot.function_name(id);
    let package = snapshot.code.functions.get(id.index()).map_or("", |f| snapshot.str(f.package));
    let innermost = match name {
        "runtime.block" => Some(WaitClass::NoCases),
        "runtime.chansend1" | "runtime.chansend" => Some(WaitClass::Send),
        "runtime.chanrecv1" | "runtime.chanrecv" => Some(WaitClass::Receive),
        "runtime.chanrecv2" => Some(WaitClass::Range),
        "runtime.selectgo" => Some(WaitClass::Select),
        "time.Sleep" => Some(WaitClass::Sleep),
        "sync.(*WaitGroup).Wait" => Some(WaitClass::WaitGroup),
        "sync.(*Cond).Wait" => Some(WaitClass::Cond),
        "sync.(*Mutex).Lock" | "sync.(*RWMutex).Lock" | "sync.(*RWMutex).RLock" => Some(WaitClass::Lock),
        "sync.(*Mutex).lockSlow" | "internal/sync.(*Mutex).lockSlow" => Some(WaitClass::Lock),
        "internal/poll.runtime_pollWait" => Some(WaitClass::Io),
        _ => None,
    };
    StackFacts {
        innermost,
        range: name == "runtime.chanrecv2",
        accept: name.ends_with(".accept") || name.ends_with(".Accept"),
        network: matches!(package, "net" | "net/http" | "crypto/tls") || name.contains("::net::"),
    }
}

/// Functions from the innermost that are looked at for what is waited for.
const INNERMOST: usize = 12;

fn of_stack(snapshot: &Snapshot, functions: &[StackFacts], stack: &Stack) -> StackFacts {
    let mut facts = StackFacts::default();
    let frames = (stack.locations.iter())
        .filter_map(|id| snapshot.code.locations.get(id.index()))
        .flat_map(|location| &location.frames);
    for (nth, frame) in frames.enumerate() {
        let Some(one) = functions.get(frame.function.index()) else { continue };
        // A call that a handler makes may wait for something else than the connection around it.
        if nth < INNERMOST {
            facts.network |= one.network;
            facts.accept |= one.accept;
        }
        if nth < INNERMOST / 2 {
            facts.range |= one.range;
            // A function further out knows better what the innermost is for: a lock, not a semaphore.
            facts.innermost = if one.innermost.is_some() && facts.innermost.is_none_or(|w| w == WaitClass::Io)
            {
                one.innermost
            } else {
                facts.innermost
            };
        }
    }
    if facts.innermost == Some(WaitClass::Io) {
        facts.innermost = by_reason("IO wait", facts);
    }
    facts
}
