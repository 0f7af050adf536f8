//! Evidence in words: each clause is made here, for every format.
//!
//! Texts may contain names from the target: escape before printing.

use super::units::{count, duration, thousands};
use super::waiting;
use crate::analysis::leaks::Finding;
use crate::analysis::leaks::WaitClass;
use crate::analysis::leaks::evidence::{CpuLimit, Evidence, Flow, ObjectWaits, Outlived};
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::Module;

mod cause;
mod locks;
mod rest;

pub use cause::{Meaning, meaning};
pub use rest::{rest_name, why};

/// Every clause of a finding's evidence, the surest rule's first.
pub fn because(finding: &Finding) -> Vec<String> {
    let all = finding.hits.iter().flat_map(|hit| &hit.because);
    all.map(|one| evidence(one, Tasks::of(finding))).collect()
}

/// The tasks that a clause is about.
#[derive(Debug, Clone, Copy)]
pub struct Tasks<'a> {
    /// What they are called.
    pub noun: &'a str,
    /// There is a single one.
    pub is_one: bool,
}

impl<'a> Tasks<'a> {
    /// Those of a finding.
    pub fn of(finding: &'a Finding) -> Self {
        Tasks { noun: &finding.noun, is_one: finding.now == 1 }
    }

    /// The word for one task or for several.
    fn pick(self, one: &'static str, several: &'static str) -> &'static str {
        if self.is_one { one } else { several }
    }
}

/// One piece of evidence as a clause: "60 were created and none ended".
pub fn evidence(evidence: &Evidence, tasks: Tasks<'_>) -> String {
    let noun = tasks.noun;
    match evidence {
        Evidence::NilChannel => "the channel is nil, and a nil channel blocks forever".to_owned(),
        Evidence::NoCases => "a select without cases blocks forever".to_owned(),
        Evidence::ProvedByRuntime => "the runtime has proved that nothing can wake them any more".to_owned(),
        Evidence::Rise { first, now, confidence } => rise(*first, *now, *confidence),
        Evidence::Flow(flow) => self::flow(*flow),
        Evidence::EndsUnknown => {
            format!("how many ended is unknown, because the source does not identify single {noun}s")
        }
        Evidence::LifelongRise { process_age_ns } => {
            format!(
                "this rate explains their number over the whole life of the process ({})",
                duration(*process_age_ns)
            )
        }
        Evidence::YoungProcess { process_age_ns } => format!(
            "the process is only {} old, so {noun}s that live longer than that look the same",
            duration(*process_age_ns)
        ),
        Evidence::NoneWoke => tasks
            .pick(
                "it is sleeping or waiting for a timer, and did not wake up while watched",
                "each is sleeping or waiting for a timer, and none woke up while watched",
            )
            .to_owned(),
        Evidence::UsuallyParked { what, why } => {
            format!("{} are normally parked: {why}", rest::with_noun(what, noun))
        }
        Evidence::FewExpected { what } => {
            format!("a program normally has only a few {}", rest::with_noun(what, noun))
        }
        Evidence::Runnable => waits_for(WaitClass::Nothing, tasks),
        Evidence::Waits(waits) => self::waits(waits),
        Evidence::WaitsFor(class) => waits_for(*class, tasks),
        Evidence::Blocked { tasks: 1, at_least_ns } if tasks.is_one => {
            format!("it has been blocked for at least {}", duration(*at_least_ns))
        }
        Evidence::Blocked { tasks: 1, at_least_ns } => {
            format!("1 of them has been blocked for at least {}", duration(*at_least_ns))
        }
        Evidence::Blocked { tasks, at_least_ns } => {
            format!("{} of them have been blocked for at least {}", thousands(*tasks), duration(*at_least_ns))
        }
        Evidence::Ended { tasks: many, at_least_ns } => format!(
            "{} ended at least {} ago",
            if tasks.is_one { "it".to_owned() } else { format!("{} of them", thousands(*many)) },
            duration(*at_least_ns)
        ),
        Evidence::DueIn { at_least_ns, .. } => format!(
            "{} for nothing but a timer that is due in {}",
            tasks.pick("it waits", "each waits"),
            duration(*at_least_ns)
        ),
        Evidence::AgeUnknown { .. } => {
            format!("how long {} been waiting is unknown", tasks.pick("it has", "they have"))
        }
        Evidence::OutstandingDone { calls, groups } => {
            let calls = count(*calls, "outstanding Done call");
            format!(
                "{} with {calls}",
                if *groups == 1 { "a wait group".to_owned() } else { count(*groups, "wait group") }
            )
        }
        Evidence::UnreadBodies => {
            let which = tasks.pick("the", "each");
            format!("{which} connection waits for its response body to be read or closed")
        }
        Evidence::WritersGrow { tasks } => {
            format!("the writers of these connections grow in number, too ({})", thousands(*tasks))
        }
        Evidence::StartedByModule(module) => {
            let them = tasks.pick("it", "them");
            format!("{} starts {them}, not the program's own code", self::module(module))
        }
        Evidence::Outlived(outlived) => self::outlived(*outlived, tasks.is_one),
        Evidence::FewerEnded { ended, expected } => format!(
            "{} of the first reading ended, where {expected:.0} would have at the rate of newer ones",
            if *ended == 0 { "none".to_owned() } else { thousands(*ended) }
        ),
        Evidence::Lock(lock) => locks::evidence(lock, noun),
        Evidence::Workers { workers, worker, cpu_milli, limit } => format!(
            "{} for {} that {}",
            count(*workers, worker),
            cpus(*cpu_milli),
            match limit {
                CpuLimit::Affinity => "its CPU affinity allows",
                CpuLimit::Cgroup => "its cgroup grants",
            }
        ),
        Evidence::AlwaysBusy { tasks, readings, function, ids } => format!(
            "{} ran or waited for a worker in each of the last {} readings{}",
            busy(*tasks, function.as_deref(), noun),
            thousands(*readings),
            such_as(*tasks, ids)
        ),
        Evidence::BlocksWorker { tasks, readings, function, ids } => format!(
            "{} kept a worker in the same system call in each of the last {} readings{}",
            busy(*tasks, function.as_deref(), noun),
            thousands(*readings),
            such_as(*tasks, ids)
        ),
        Evidence::RunQueue { readings, of, at_least } => format!(
            "at least {} waited to run in {} of {} readings",
            count(*at_least, noun),
            thousands(*readings),
            thousands(*of)
        ),
    }
}

/// "3 tasks in app::run".
fn busy(tasks: u64, function: Option<&str>, noun: &str) -> String {
    let place = function.map(|name| format!(" in {name}")).unwrap_or_default();
    format!("{}{place}", count(tasks, noun))
}

/// " (such as 3, 4)"; empty without ids.
fn such_as(tasks: u64, ids: &[u64]) -> String {
    let named: Vec<String> = ids.iter().map(u64::to_string).collect();
    match named.is_empty() {
        true => String::new(),
        false => format!(" ({} {})", if tasks == 1 { "id" } else { "such as" }, named.join(", ")),
    }
}

fn rise(first: u64, now: u64, confidence: Option<f64>) -> String {
    let rising = confidence.map(|part| (part * 100.0).floor().clamp(0.0, 99.0));
    let rising = rising.map(|percent| format!(" (rising with {percent} % confidence)")).unwrap_or_default();
    format!("up from {} to {}{rising}", thousands(first), thousands(now))
}

/// "590 were created and none ended", "60 were created or came from elsewhere, 3 ended or moved on".
fn flow(flow: Flow) -> String {
    let came = flow.created.saturating_add(flow.arrived);
    let went = flow.ended.saturating_add(flow.left);
    let were = if came == 1 { "was" } else { "were" };
    let came = match (flow.created, flow.arrived) {
        (_, 0) => format!("{} {were} created", thousands(came)),
        (0, _) => format!("{} came from elsewhere", thousands(came)),
        _ => format!("{} {were} created or came from elsewhere", thousands(came)),
    };
    match (flow.ended, flow.left) {
        (0, 0) => format!("{came} and none ended"),
        (_, 0) => format!("{came}, {} ended", thousands(went)),
        (0, _) => format!("{came}, {} moved on", thousands(went)),
        _ => format!("{came}, {} ended or moved on", thousands(went)),
    }
}

/// "each waits to send on its own channel of int (unbuffered, no receiver waiting)".
fn waits(waits: &ObjectWaits) -> String {
    let own = waits.objects == waits.waits;
    let one = waiting::verb(waits.op, waits.selects, false);
    let several = waiting::verb(waits.op, waits.selects, true);
    let of = if waits.element.is_empty() { String::new() } else { format!(" of {}", waits.element) };
    let kind = waiting::object(waits.object);
    let mut text = match (own, waits.objects) {
        (true, 1) => format!("it {one} a {kind}{of}"),
        (true, _) => format!("each {one} its own {kind}{of}"),
        (false, 1) => format!("all {several} one {kind}{of}"),
        (false, n) => format!("they {several} {}{of}", waiting::objects(waits.object, n)),
    };
    let mut facts: Vec<String> = Vec::new();
    if let Some(channels) = &waits.channels {
        facts.extend(waiting::channel_facts(waits.op, waits.objects, channels));
    }
    if let Some(senders) = &waits.senders {
        facts.extend(waiting::sender_facts(waits.op, waits.objects, senders));
    }
    if !facts.is_empty() {
        text.push_str(&format!(" ({})", facts.join(", ")));
    }
    text
}

/// What they wait for, if the objects are not known: "it waits for a timer", "they wait for a timer".
fn waits_for(class: WaitClass, tasks: Tasks<'_>) -> String {
    let (who, wait, are) = if tasks.is_one { ("it", "waits", "is") } else { ("they", "wait", "are") };
    let what = match class {
        WaitClass::Join => "for other tasks to end",
        WaitClass::Timer => "for a timer",
        WaitClass::Network => "for a network peer",
        WaitClass::Accept => "for connections",
        WaitClass::Io => "for a file, a pipe or a device",
        WaitClass::Send => "to send on a channel",
        WaitClass::Range | WaitClass::Receive | WaitClass::Signal => "to receive from a channel",
        WaitClass::Lock => "for a lock",
        WaitClass::WaitGroup => "for a wait group",
        WaitClass::Cond => "for a condition variable",
        WaitClass::Semaphore => "for a semaphore",
        WaitClass::NilChannel => "on a nil channel",
        WaitClass::Runtime => "for the runtime's own work",
        WaitClass::Select => {
            return format!("{who} {} on several channels", tasks.pick("selects", "select"));
        }
        WaitClass::Sleep => return format!("{who} {are} sleeping"),
        WaitClass::Call if tasks.is_one => return "it is in a system call or foreign code".to_owned(),
        WaitClass::Call => return "they are in system calls or foreign code".to_owned(),
        WaitClass::NoCases => return format!("{who} {are} in a select without cases"),
        WaitClass::Nothing => return format!("{who} {are} running or ready to run"),
        WaitClass::Leaked | WaitClass::Other | WaitClass::Unknown => {
            return format!("what {who} {wait} for is unknown");
        }
    };
    format!("{who} {wait} {what}")
}

/// "2 of them have been blocked for at least 4 min, while 50 others started at the same place ended within 10 s".
/// `is_one`: there are no others.
fn outlived(outlived: Outlived, is_one: bool) -> String {
    let who = match outlived.tasks {
        1 if is_one => "it has".to_owned(),
        1 => "1 of them has".to_owned(),
        n => format!("{} of them have", thousands(n)),
    };
    format!(
        "{who} been blocked for at least {}, while {} started at the same place ended within {}",
        duration(outlived.at_least_ns),
        count(outlived.others, "other"),
        duration(outlived.others_within_ns)
    )
}

/// How long the readings took, rounded, because punctual readings may come a little early.
pub(super) fn span(ns: u64) -> String {
    duration(ns.saturating_add(100_000_000))
}

/// "module example.com/lib v1.2.0".
fn module(module: &Module) -> String {
    format!("module {module}")
}

/// "2.5 CPUs".
fn cpus(milli: u64) -> String {
    let text = if milli.is_multiple_of(1_000) {
        thousands(milli / 1_000)
    } else {
        format!("{:.1}", milli as f64 / 1_000.0)
    };
    format!("{text} CPU{}", if milli == 1_000 { "" } else { "s" })
}

/// "main.(*cache).Refresh cache.go:41".
fn named_place(place: &SignatureFrame) -> String {
    let file = place.file.rsplit('/').next().unwrap_or_default();
    match (file, place.line) {
        ("", _) => place.function.to_string(),
        (file, 0) => format!("{} {file}", place.function),
        (file, line) => format!("{} {file}:{line}", place.function),
    }
}

#[cfg(test)]
mod tests;
