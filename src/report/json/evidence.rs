//! Evidence, causes and reasons as JSON: one object each, with `kind`, its fields and the sentence as `text`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::PlaceOut;
use crate::analysis::leaks::Cause;
use crate::analysis::leaks::evidence::{
    CpuLimit, CycleStep, Doubt, Evidence, Flow, LockEvidence, LockName, LockUse, ObjectWaits, Outlived,
    Outlook, Steady, TaskName, Why,
};
use crate::analysis::signature::SignatureFrame;
use crate::report::evidence::{self, Tasks};

/// Something that was seen or concluded.
#[derive(Serialize)]
pub(super) struct Fact {
    kind: &'static str,
    #[serde(flatten)]
    fields: Map<String, Value>,
    text: String,
}

impl Fact {
    fn new(kind: &'static str, fields: Value, text: String) -> Self {
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        Fact { kind, fields, text }
    }

    /// One piece of evidence.
    pub(super) fn evidence(one: &Evidence, tasks: Tasks<'_>) -> Self {
        let (kind, fields) = evidence_fields(one);
        Fact::new(kind, fields, evidence::evidence(one, tasks))
    }

    /// A cause.
    pub(super) fn cause(cause: Cause) -> Self {
        let meaning = evidence::meaning(cause);
        Fact::new(meaning.cause_kind, Value::Null, meaning.cause.to_owned())
    }

    /// The advice for a cause.
    pub(super) fn next(cause: Cause) -> Self {
        let meaning = evidence::meaning(cause);
        Fact::new(meaning.next_kind, Value::Null, meaning.next.to_owned())
    }

    /// Why tasks are not a finding.
    pub(super) fn why(why: &Why, noun: &str) -> Self {
        let (kind, fields) = why_fields(why);
        Fact::new(kind, fields, evidence::why(why, noun))
    }
}

fn evidence_fields(evidence: &Evidence) -> (&'static str, Value) {
    match evidence {
        Evidence::NilChannel => ("nil-channel", Value::Null),
        Evidence::NoCases => ("no-cases", Value::Null),
        Evidence::ProvedByRuntime => ("proved-by-runtime", Value::Null),
        Evidence::Rise { first, now, confidence } => {
            ("rise", json!({"first": first, "now": now, "confidence": confidence}))
        }
        Evidence::Flow(flow) => ("flow", flow_fields(*flow)),
        Evidence::EndsUnknown => ("ends-unknown", Value::Null),
        Evidence::LifelongRise { process_age_ns } => {
            ("lifelong-rise", json!({"process_age_ns": process_age_ns}))
        }
        Evidence::YoungProcess { process_age_ns } => {
            ("young-process", json!({"process_age_ns": process_age_ns}))
        }
        Evidence::NoneWoke => ("none-woke", Value::Null),
        Evidence::UsuallyParked { what, why } => ("usually-parked", json!({"what": what, "why": why})),
        Evidence::FewExpected { what } => ("few-expected", json!({"what": what})),
        Evidence::Runnable => ("runnable", Value::Null),
        Evidence::Waits(waits) => ("waits", waits_fields(waits)),
        Evidence::WaitsFor(class) => ("waits-for", json!({"class": class.words()})),
        Evidence::Blocked { tasks, at_least_ns } => {
            ("blocked", json!({"tasks": tasks, "at_least_ns": at_least_ns}))
        }
        Evidence::Ended { tasks, at_least_ns } => {
            ("ended", json!({"tasks": tasks, "at_least_ns": at_least_ns}))
        }
        Evidence::DueIn { tasks, at_least_ns } => {
            ("due-in", json!({"tasks": tasks, "at_least_ns": at_least_ns}))
        }
        Evidence::AgeUnknown { tasks } => ("age-unknown", json!({"tasks": tasks})),
        Evidence::OutstandingDone { calls, groups } => {
            ("outstanding-done", json!({"calls": calls, "wait_groups": groups}))
        }
        Evidence::UnreadBodies => ("unread-bodies", Value::Null),
        Evidence::WritersGrow { tasks } => ("writers-grow", json!({"tasks": tasks})),
        Evidence::StartedByModule(module) => {
            ("started-by-module", json!({"path": module.path, "version": module.version}))
        }
        Evidence::Outlived(outlived) => ("outlived", outlived_fields(*outlived)),
        Evidence::FewerEnded { ended, expected } => {
            ("fewer-ended", json!({"ended": ended, "expected": expected}))
        }
        Evidence::Lock(lock) => lock_fields(lock),
        Evidence::Workers { workers, worker, cpu_milli, limit } => {
            let limit = match limit {
                CpuLimit::Affinity => "affinity",
                CpuLimit::Cgroup => "cgroup",
            };
            ("workers", json!({"workers": workers, "worker": worker, "cpu_milli": cpu_milli, "limit": limit}))
        }
        Evidence::AlwaysBusy { tasks, readings, function, ids } => {
            ("always-busy", json!({"tasks": tasks, "readings": readings, "function": function, "ids": ids}))
        }
        Evidence::BlocksWorker { tasks, readings, function, ids } => {
            ("blocks-worker", json!({"tasks": tasks, "readings": readings, "function": function, "ids": ids}))
        }
        Evidence::RunQueue { readings, of, at_least } => {
            ("run-queue", json!({"readings": readings, "of": of, "at_least": at_least}))
        }
    }
}

fn lock_fields(evidence: &LockEvidence) -> (&'static str, Value) {
    match evidence {
        LockEvidence::Waiters { tasks, locks, lock: name } => {
            ("lock-waiters", json!({"tasks": tasks, "locks": locks, "lock": name.map(lock)}))
        }
        LockEvidence::LongestWait { at_least_ns } => ("longest-wait", json!({"at_least_ns": at_least_ns})),
        LockEvidence::SeenWaiting { at_least_ns } => ("seen-waiting", json!({"at_least_ns": at_least_ns})),
        LockEvidence::Guards { tasks, at_least_ns } => {
            ("guards", json!({"tasks": tasks, "at_least_ns": at_least_ns}))
        }
        LockEvidence::AlwaysWaiting { at_least } => ("always-waiting", json!({"at_least": at_least})),
        LockEvidence::FreeLocks { locks } => ("free-locks", json!({"locks": locks})),
        LockEvidence::HandedOver { lock } => ("handed-over", json!({"lock": lock.name()})),
        LockEvidence::Readers { readers, found, blocked_by_writer } => {
            ("readers", json!({"readers": readers, "found": found, "blocked_by_writer": blocked_by_writer}))
        }
        LockEvidence::AllWait { tasks, locks } => ("all-wait", json!({"tasks": tasks, "locks": locks})),
        LockEvidence::HoldersGuessed => ("holders-guessed", Value::Null),
        LockEvidence::ReadersAndWriters { locks } => ("readers-and-writers", json!({"locks": locks})),
        LockEvidence::Cycle { steps, more_tasks } => {
            let steps: Vec<Value> = steps.iter().map(step).collect();
            ("cycle", json!({"steps": steps, "more_tasks": more_tasks}))
        }
        LockEvidence::SelfWait { task: waiter, lock: name, wants, held, unlocks } => (
            "self-wait",
            json!({
                "task": task(waiter), "lock": lock(*name), "wants": lock_use(*wants), "held": lock_use(*held),
                "unlocks_at": unlocks.as_ref().map(place),
            }),
        ),
        LockEvidence::ReadTwice { task: reader, lock: name, unlocks, writer } => (
            "read-twice",
            json!({
                "task": task(reader), "lock": lock(*name), "unlocks_at": unlocks.as_ref().map(place),
                "writer": task(writer),
            }),
        ),
        LockEvidence::MoreCycles { cycles, tasks } => {
            ("more-cycles", json!({"cycles": cycles, "tasks": tasks}))
        }
        LockEvidence::AlsoWait { tasks } => ("also-wait", json!({"tasks": tasks})),
        LockEvidence::WithoutHolder { locks, of } => ("without-holder", json!({"locks": locks, "of": of})),
        LockEvidence::MoreHolders { tasks } => ("more-holders", json!({"tasks": tasks})),
        LockEvidence::HoldersBlockedForever { tasks, of } => {
            ("holders-blocked-forever", json!({"tasks": tasks, "of": of}))
        }
        LockEvidence::HoldersStill { tasks, of, at_least_ns, or_next } => (
            "holders-still",
            json!({"tasks": tasks, "of": of, "at_least_ns": at_least_ns, "or_next": or_next}),
        ),
        LockEvidence::HoldersMove { of } => ("holders-move", json!({"of": of})),
        LockEvidence::InSameFunctions { tasks, still } => {
            ("in-same-functions", json!({"tasks": tasks, "still": still}))
        }
        LockEvidence::AddressOnStacks { tasks } => ("address-on-stacks", json!({"tasks": tasks})),
        LockEvidence::NoUnlocker => ("no-unlocker", Value::Null),
        LockEvidence::NobodyElse => ("nobody-else", Value::Null),
    }
}

fn why_fields(why: &Why) -> (&'static str, Value) {
    let steady = |steady: Option<Steady>| json!({"number": steady.map(steady_fields)});
    match why {
        Why::Undecided(doubt) => doubt_fields(doubt),
        Why::UsuallyParked(_) => ("usually-parked", Value::Null),
        Why::StartedOnce(number) => ("started-once", steady(*number)),
        Why::Runnable => ("runnable", Value::Null),
        Why::Timers(number) => ("timers", steady(Some(*number))),
        Why::Pool(number) => ("pool", steady(Some(*number))),
        Why::Number(number) => ("number", steady(Some(*number))),
        Why::NoOtherSign(number) => ("no-other-sign", steady(Some(*number))),
    }
}

fn steady_fields(steady: Steady) -> Value {
    match steady {
        Steady::NotGrowing { watched_ns } => json!({"kind": "not-growing", "watched_ns": watched_ns}),
        Steady::Balanced => json!({"kind": "balanced"}),
        Steady::EarlyOnesEnded => json!({"kind": "early-ones-ended"}),
        Steady::StoppedGrowing => json!({"kind": "stopped-growing"}),
    }
}

fn doubt_fields(doubt: &Doubt) -> (&'static str, Value) {
    match doubt {
        Doubt::NotCountedApart => ("not-counted-separately", Value::Null),
        Doubt::OneReading => ("one-reading", Value::Null),
        Doubt::FewReadings => ("few-readings", Value::Null),
        Doubt::TimesUnknown => ("times-unknown", Value::Null),
        Doubt::CameAtOnce { tasks } => ("came-at-once", json!({"tasks": tasks})),
        Doubt::PerhapsChance { flow, watched_ns } => {
            ("perhaps-chance", json!({"flow": flow_fields(*flow), "watched_ns": watched_ns}))
        }
        Doubt::NoneWoke { process_age_ns } => ("none-woke", json!({"process_age_ns": process_age_ns})),
        Doubt::Outlived(outlived, outlook) => {
            let outlook = match outlook {
                Outlook::TooFewEnded => "too-few-ended",
                Outlook::UpToPeer => "up-to-peer",
                Outlook::OldOnesEnd => "old-ones-end",
            };
            ("outlived", json!({"outlived": outlived_fields(*outlived), "but": outlook}))
        }
    }
}

fn flow_fields(flow: Flow) -> Value {
    json!({"created": flow.created, "arrived": flow.arrived, "ended": flow.ended, "left": flow.left})
}

fn outlived_fields(outlived: Outlived) -> Value {
    json!({
        "tasks": outlived.tasks, "at_least_ns": outlived.at_least_ns, "others": outlived.others,
        "others_within_ns": outlived.others_within_ns,
    })
}

fn waits_fields(waits: &ObjectWaits) -> Value {
    let pair = |(least, most): (u64, u64)| json!([least, most]);
    let channels = waits.channels.map(|channels| {
        json!({
            "cap": pair(channels.cap), "len": pair(channels.len), "closed": channels.closed,
            "without_peer": channels.without_peer, "peers": pair(channels.peers),
        })
    });
    let mut fields = json!({
        "op": waits.op.name(), "object": waits.object.name(), "element": Some(&waits.element).filter(|e| !e.is_empty()),
        "selects": waits.selects, "waits": waits.waits, "objects": waits.objects, "channels": channels,
    });
    if let Some(senders) = waits.senders {
        fields["senders"] = json!({"alive": pair(senders.alive), "queued": senders.queued.map(pair)});
    }
    fields
}

fn step(step: &CycleStep) -> Value {
    json!({
        "task": task(&step.task), "lock": lock(step.lock), "wants": lock_use(step.wants), "next": task(&step.next),
        "held": step.held.map(lock_use),
    })
}

fn task(task: &TaskName) -> Value {
    json!({"id": task.id, "address": format!("{:#x}", task.address), "function": task.function})
}

fn lock(lock: LockName) -> Value {
    json!({"kind": lock.kind.name(), "address": format!("{:#x}", lock.address)})
}

fn lock_use(lock_use: LockUse) -> &'static str {
    match lock_use {
        LockUse::Exclusive => "exclusive",
        LockUse::Shared => "shared",
        LockUse::Perhaps => "perhaps",
    }
}

fn place(place: &SignatureFrame) -> Value {
    json!(PlaceOut::new(place))
}
