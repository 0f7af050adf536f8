//! Go: its wait reasons (`waitReasonStrings` in `src/runtime/runtime2.go`), and the functions of its runtime and
//! its standard library.
//!
//! Known wait objects decide; then the wait reason; then, for sources without both (profiles), the names of
//! the innermost functions.

use rustc_hash::FxHashMap;

use super::rust;
use crate::snapshot::{
    Begins, Channel, FunctionId, FunctionRole, Layer, ObjectKind, Snapshot, StackId, StrId, Task, TaskState,
    Wait, WaitClass, WaitObject, WaitOp,
};

/// The class that a wait reason shows. None if it does not show what is waited for.
pub fn reason(text: &str) -> Option<WaitClass> {
    Some(match text {
        "" => return None,
        "select (no cases)" => WaitClass::NoCases,
        r if r.ends_with("(nil chan)") => WaitClass::NilChannel,
        r if r.starts_with("chan send") => WaitClass::Send,
        r if r.starts_with("chan receive") => WaitClass::Receive,
        r if r.starts_with("select") => WaitClass::Select,
        "sleep" => WaitClass::Sleep,
        r if r.starts_with("sync.Mutex") || r.starts_with("sync.RWMutex") => WaitClass::Lock,
        "sync.WaitGroup.Wait" => WaitClass::WaitGroup,
        "sync.Cond.Wait" => WaitClass::Cond,
        "semacquire" => WaitClass::Semaphore,
        "IO wait" => WaitClass::Io,
        "syscall" => WaitClass::Call,
        r if is_of_runtime(r) => WaitClass::Runtime,
        _ => return None,
    })
}

/// The collector and other work for all goroutines.
fn is_of_runtime(reason: &str) -> bool {
    ["GC ", "force gc", "finalizer wait", "cleanup wait", "flushing proc caches", "wait for GC cycle"]
        .iter()
        .any(|start| reason.starts_with(start))
}

/// Is this, or can this be, the wait reason of a lock, a wait group or a condition variable?
pub fn is_of_lock(reason: &str) -> bool {
    reason.starts_with("sync.") || reason == "semacquire"
}

/// The wait reason of a goroutine that is blocked on a coroutine.
pub const COROUTINE: &str = "coroutine";

/// The element type of timer and ticker channels.
pub const MOMENT: &str = "time.Time";

/// The class that a goroutine's wait objects show. None if there are none, or they do not show it.
pub fn objects<'a>(
    waits: &[Wait],
    objects: &[WaitObject],
    text: impl Fn(StrId) -> &'a str,
) -> Option<WaitClass> {
    let object = |wait: &Wait| objects.get(wait.object.index());
    let element = |object: &WaitObject| object.channel.and_then(|channel| channel.element).map(&text);
    // The channel of a timer or ticker has room for one value.
    let is_timer = |object: &WaitObject| {
        matches!(object.channel, Some(Channel { cap: 1, .. })) && element(object) == Some(MOMENT)
    };
    match waits {
        [] => None,
        [wait] => {
            let object = object(wait)?;
            Some(match (object.kind, wait.op) {
                (ObjectKind::Channel, WaitOp::Send) => WaitClass::Send,
                (ObjectKind::Channel, _) if is_timer(object) => WaitClass::Timer,
                (ObjectKind::Channel, _) if element(object) == Some("struct {}") => WaitClass::Signal,
                (ObjectKind::Channel, _) => WaitClass::Receive,
                (ObjectKind::Mutex | ObjectKind::RwMutex, _) => WaitClass::Lock,
                (ObjectKind::WaitGroup, _) => WaitClass::WaitGroup,
                (ObjectKind::Cond, _) => WaitClass::Cond,
                (ObjectKind::Semaphore, _) => WaitClass::Semaphore,
                (ObjectKind::Task, _) => WaitClass::Join,
                // Only the reason shows the operation.
                (
                    ObjectKind::Other
                    | ObjectKind::Descriptor
                    | ObjectKind::Timer
                    | ObjectKind::Futex
                    | ObjectKind::Process
                    | ObjectKind::Coroutine,
                    _,
                ) => return None,
            })
        }
        several => {
            let timer = several.iter().filter_map(object).any(is_timer);
            Some(if timer { WaitClass::Timer } else { WaitClass::Select })
        }
    }
}

/// The class of a wait without the stack: from the state, the wait reason and the wait objects.
pub fn without_stack(
    task: &Task,
    reason: Option<WaitClass>,
    objects: impl FnOnce() -> Option<WaitClass>,
) -> WaitClass {
    match task.state {
        _ if task.leaked => WaitClass::Leaked,
        TaskState::Running | TaskState::Runnable | TaskState::Preempted | TaskState::Finished => {
            WaitClass::Nothing
        }
        TaskState::Syscall => WaitClass::Call,
        TaskState::Waiting | TaskState::Unknown => {
            let unknown =
                if task.state == TaskState::Waiting { WaitClass::Other } else { WaitClass::Unknown };
            match reason {
                Some(forever) if forever.never_ends() => forever,
                reason => objects().or(reason).unwrap_or(unknown),
            }
        }
    }
}

/// What the functions of a stack show about a wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct StackFacts {
    /// What the innermost functions wait for, if nothing else shows it.
    innermost: Option<WaitClass>,
    /// It notices when the channel is closed, like a loop over it.
    range: bool,
    accept: bool,
    network: bool,
    /// For one function: it is the runtime's, and dumps omit it.
    hidden: bool,
}

impl StackFacts {
    /// Refines this class, which is known without the stack.
    #[must_use]
    pub fn refine(self, class: WaitClass) -> WaitClass {
        match class {
            WaitClass::Receive if self.range => WaitClass::Range,
            WaitClass::Io | WaitClass::Call if self.accept => WaitClass::Accept,
            WaitClass::Io | WaitClass::Call if self.network => WaitClass::Network,
            // Locks consist of semaphores, and older versions give semaphores as the wait reason.
            WaitClass::Semaphore => match self.innermost {
                Some(lock @ (WaitClass::Lock | WaitClass::WaitGroup | WaitClass::Cond)) => lock,
                _ => class,
            },
            WaitClass::Other | WaitClass::Unknown => {
                // Reads and writes are distinguished as above.
                let found = self.innermost.unwrap_or(class);
                if found == WaitClass::Io { self.refine(found) } else { found }
            }
            class => class,
        }
    }
}

/// The number of innermost functions that are examined for the wait, without the runtime's functions, so that
/// a stack gives the same result with and without them.
const INNERMOST: usize = 12;

/// The total number of functions that are examined: a stack of runtime functions may be deep.
const MOST_SEEN: usize = 64;

/// Reads stacks. Each function is examined once.
#[derive(Debug, Default)]
pub struct StackReader {
    functions: Vec<Option<StackFacts>>,
}

impl StackReader {
    /// What the functions of a stack show, innermost first; `name` returns the name and the package of each.
    pub fn read<'n>(
        &mut self,
        functions: impl Iterator<Item = FunctionId>,
        name: impl Fn(FunctionId) -> (&'n str, &'n str),
    ) -> StackFacts {
        let mut facts = StackFacts::default();
        // The numbers of functions that were counted and examined.
        let (mut counted, mut seen) = (0, 0);
        for id in functions {
            let one = self.function(id, &name);
            // A call that a handler makes may wait for something other than the surrounding connection.
            if counted == INNERMOST || seen == MOST_SEEN {
                break;
            }
            facts.network |= one.network;
            facts.accept |= one.accept;
            if counted < INNERMOST / 2 {
                facts.range |= one.range;
                // An outer function shows better what the inner one is for: a lock, not a semaphore.
                if one.innermost.is_some() && facts.innermost.is_none_or(|class| class == WaitClass::Io) {
                    facts.innermost = one.innermost;
                }
            }
            counted += usize::from(!one.hidden);
            seen += 1;
        }
        facts
    }

    fn function<'n>(
        &mut self,
        id: FunctionId,
        name: impl Fn(FunctionId) -> (&'n str, &'n str),
    ) -> StackFacts {
        if self.functions.len() <= id.index() {
            self.functions.resize(id.index() + 1, None);
        }
        let Some(slot) = self.functions.get_mut(id.index()) else { return StackFacts::default() };
        *slot.get_or_insert_with(|| {
            let (name, package) = name(id);
            function(name, package)
        })
    }
}

/// What one function shows about a stack that it is on.
fn function(name: &str, package: &str) -> StackFacts {
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
        accept: rust::accepts(name),
        network: matches!(package, "net" | "net/http" | "crypto/tls") || rust::is_network(name),
        hidden: package == "runtime",
    }
}

/// Decides the wait class of every goroutine of a snapshot, for readers that do not know it when they make
/// the tasks. Each wait reason and each stack is examined once.
pub fn classify(snapshot: &mut Snapshot) {
    let mut tasks = std::mem::take(&mut snapshot.tasks);
    let code = &snapshot.code;
    let name = |id: FunctionId| {
        let function = code.functions.get(id.index());
        function.map_or(("", ""), |function| (code.str(function.name), code.str(function.package)))
    };
    let mut reader = StackReader::default();
    let mut stacks: FxHashMap<StackId, StackFacts> = FxHashMap::default();
    let mut reasons: FxHashMap<StrId, Option<WaitClass>> = FxHashMap::default();
    for task in &mut tasks {
        let said = task.reason.and_then(|id| *reasons.entry(id).or_insert_with(|| reason(code.str(id))));
        let waits = snapshot.waits_of(task);
        let class = without_stack(task, said, || objects(waits, &snapshot.objects, |id| code.str(id)));
        let facts = task.stack.map_or(StackFacts::default(), |id| {
            *stacks.entry(id).or_insert_with(|| {
                let locations = code.stack(id).iter().filter_map(|id| code.locations.get(id.index()));
                let functions = locations.flat_map(|location| &location.frames).map(|frame| frame.function);
                reader.read(functions, name)
            })
        });
        task.wait_class = facts.refine(class);
    }
    snapshot.tasks = tasks;
}

/// First path elements of the standard library; no module may begin with them.
const STANDARD: &[&str] = &[
    "archive",
    "arena",
    "bufio",
    "builtin",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "type",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// Packages of the standard library below those that programs call.
const BASE: &[&str] =
    &["bufio", "context", "crypto/tls", "io", "net", "os", "runtime", "sync", "syscall", "time", "type"];

/// Is a package with this path, or with this first element, part of the standard library?
pub fn is_standard(package: &str) -> bool {
    STANDARD.contains(&package.split('/').next().unwrap_or(package))
}

/// The purpose of a function with this name and package.
pub fn role(name: &str, package: &str) -> FunctionRole {
    if package.is_empty() {
        return rust::role(name);
    }
    FunctionRole { layer: layer(name, package), begins: begins(name) }
}

fn layer(name: &str, package: &str) -> Layer {
    // Tests outside the package.
    let package = package.strip_suffix("_test").unwrap_or(package);
    let root = package.split('/').next().unwrap_or(package);
    if !is_standard(package) {
        return Layer::Application;
    }
    let is_machinery = package == "runtime"
        || package.starts_with("internal/runtime/")
        || package.starts_with("runtime/internal/")
        // "sync.runtime_Semacquire": a runtime function under another package's name.
        || name.contains(".runtime_");
    if is_machinery {
        Layer::Machinery
    } else if matches!(package, "sync" | "internal/sync") {
        Layer::Lock
    } else if BASE.contains(&package) || matches!(root, "internal" | "runtime" | "sync") {
        Layer::Base
    } else {
        Layer::Standard
    }
}

fn begins(name: &str) -> Begins {
    match name {
        "runtime.goexit" | "runtime.mstart" | "runtime.mcall" | "runtime.systemstack" => Begins::Task,
        "runtime.main" | "main.main" => Begins::Program,
        name if is_init(name) => Begins::Package,
        _ => Begins::Nothing,
    }
}

/// A function that runs when a package is initialised: "lib.init", "lib.init.0", "lib.init.0.func1".
fn is_init(function: &str) -> bool {
    let name = function.rsplit('/').next().unwrap_or(function);
    name.split('.').nth(1) == Some("init")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_functions() {
        for (name, package, layer) in [
            ("main.main", "main", Layer::Application),
            ("ex.com/api/fetch.Get", "ex.com/api/fetch", Layer::Application),
            ("net/http.(*conn).serve", "net/http", Layer::Standard),
            ("net/http_test.TestServe", "net/http_test", Layer::Standard),
            (
                "vendor/golang.org/x/net/http2/hpack.Do",
                "vendor/golang.org/x/net/http2/hpack",
                Layer::Standard,
            ),
            ("net.(*conn).Read", "net", Layer::Base),
            ("internal/poll.(*FD).Read", "internal/poll", Layer::Base),
            ("runtime/pprof.writeGoroutine", "runtime/pprof", Layer::Base),
            ("sync/atomic.AddInt64", "sync/atomic", Layer::Base),
            ("sync.(*Mutex).Lock", "sync", Layer::Lock),
            ("internal/sync.(*Mutex).lockSlow", "internal/sync", Layer::Lock),
            ("sync.runtime_Semacquire", "sync", Layer::Machinery),
            ("internal/poll.runtime_pollWait", "internal/poll", Layer::Machinery),
            ("runtime.gopark", "runtime", Layer::Machinery),
            ("main.runtime_wait", "main", Layer::Application),
            ("tokio::sync::mutex::Mutex::lock", "", Layer::Lock),
            ("pthread_cond_wait", "", Layer::Base),
        ] {
            assert_eq!(role(name, package).layer, layer, "{name}");
        }
    }

    #[test]
    fn what_begins_with_a_function() {
        for (name, expected) in [
            ("lib.init", Begins::Package),
            ("example.com/lib.init.0", Begins::Package),
            ("lib.init.0.func1", Begins::Package),
            ("lib.initialise", Begins::Nothing),
            ("init", Begins::Nothing),
            ("main.main", Begins::Program),
            ("main.main.func1", Begins::Nothing),
            ("runtime.main", Begins::Program),
            ("runtime.goexit", Begins::Task),
        ] {
            assert_eq!(begins(name), expected, "{name}");
        }
    }

    /// The class of a goroutine with this stack in a profile, innermost first.
    fn by_stack(stack: &[(&str, &str)], class: WaitClass) -> WaitClass {
        let name = |id: FunctionId| stack.get(id.index()).copied().unwrap_or_default();
        StackReader::default().read((0..stack.len() as u32).map(FunctionId), name).refine(class)
    }

    #[test]
    fn the_stack_says_what_nothing_else_says() {
        let unknown = |stack: &[(&str, &str)]| by_stack(stack, WaitClass::Unknown);
        let park = ("runtime.gopark", "runtime");
        assert_eq!(unknown(&[park, ("runtime.chanrecv2", "runtime")]), WaitClass::Range);
        assert_eq!(
            unknown(&[park, ("sync.runtime_Semacquire", "sync"), ("sync.(*WaitGroup).Wait", "sync")]),
            WaitClass::WaitGroup
        );
        let poll = ("internal/poll.runtime_pollWait", "internal/poll");
        assert_eq!(unknown(&[park, poll, ("os.(*File).Read", "os")]), WaitClass::Io);
        assert_eq!(unknown(&[park, poll, ("net.(*conn).Read", "net")]), WaitClass::Network);
        assert_eq!(unknown(&[poll, ("net.(*netFD).accept", "net")]), WaitClass::Accept);
        assert_eq!(unknown(&[("main.work", "main")]), WaitClass::Unknown);
        // A class that is known without the stack is only refined.
        let net = [poll, ("net.(*conn).Read", "net")];
        assert_eq!(by_stack(&net, WaitClass::Call), WaitClass::Network);
        assert_eq!(by_stack(&net, WaitClass::Lock), WaitClass::Lock);
        assert_eq!(by_stack(&[("runtime.chanrecv2", "runtime")], WaitClass::Receive), WaitClass::Range);
        assert_eq!(by_stack(&[("runtime.chanrecv2", "runtime")], WaitClass::Timer), WaitClass::Timer);
    }

    #[test]
    fn wait_reasons_of_every_version() {
        for (text, class) in [
            ("chan send", Some(WaitClass::Send)),
            ("chan send (synctest)", Some(WaitClass::Send)),
            ("chan receive (nil chan)", Some(WaitClass::NilChannel)),
            ("select (no cases)", Some(WaitClass::NoCases)),
            ("select", Some(WaitClass::Select)),
            ("select (durable)", Some(WaitClass::Select)),
            ("sync.RWMutex.RLock", Some(WaitClass::Lock)),
            ("sync.WaitGroup.Wait", Some(WaitClass::WaitGroup)),
            ("semacquire", Some(WaitClass::Semaphore)),
            ("GC assist wait", Some(WaitClass::Runtime)),
            ("force gc (idle)", Some(WaitClass::Runtime)),
            ("coroutine", None),
            ("", None),
        ] {
            assert_eq!(reason(text), class, "{text}");
        }
    }
}
