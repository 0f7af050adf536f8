//! What leads from waiting goroutines to their causes: descriptors with their deadlines, timers. The program says
//! itself what its goroutines wait for.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{
    Action, By, Certainty, Context, Deadline, DescriptorKind, ObjectKind, Snapshot, Task, Timer, TimerKind,
    TimerState, Wait, WaitObject, WaitOp,
};
use serde::Deserialize;

const MILLISECOND: i64 = 1_000_000;

/// As by default, but a slow machine has the time for all links.
fn options() -> ReadOptions {
    ReadOptions { links: Duration::from_secs(120), ..ReadOptions::default() }
}

/// A time of the program: between two looks at the clock.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Moment {
    none: bool,
    earliest: i64,
    latest: i64,
}

impl Moment {
    /// The clock was read before and after the call that set the time, and the runtime reads it twice itself.
    fn is(self, at: u64) -> bool {
        let slack = self.latest - self.earliest + MILLISECOND;
        (self.earliest - slack..=self.latest + slack).contains(&(at as i64))
    }

    fn is_deadline(self, deadline: Deadline) -> bool {
        match deadline {
            Deadline::None => self.none,
            Deadline::At(at) => !self.none && self.is(at),
            _ => false,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct ExpectedTimer {
    state: String,
    at: Moment,
    period: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct Waiter {
    id: u64,
    what: String,
    op: String,
    kind: String,
    address: String,
    read_deadline: Option<Moment>,
    write_deadline: Option<Moment>,
    timer: Option<ExpectedTimer>,
    context: Option<Box<ExpectedContext>>,
    call: String,
}

#[derive(Debug, Clone, Deserialize)]
struct ExpectedContext {
    #[serde(rename = "type")]
    type_name: String,
    /// Empty for one that is not behind a pointer.
    address: String,
    deadline: Moment,
    cancelled: Option<bool>,
    parent: Option<Box<ExpectedContext>>,
}

impl Waiter {
    fn address(&self) -> Option<u64> {
        u64::from_str_radix(self.address.strip_prefix("0x")?, 16).ok()
    }
}

/// A snapshot of the program, and what it says of itself.
struct Seen {
    snapshot: Snapshot,
    waiters: Vec<Waiter>,
    /// How long it took to come to rest, nanoseconds.
    settled_ns: i64,
}

impl Seen {
    fn of(version: &str, flavour: Flavour, subjects: &[&str], variables: &[(&str, &str)]) -> Seen {
        let program = build(&Toolchain::get(version), Program::Waiting, flavour);
        let mut fixture = Fixture::start_with(&program, subjects, variables);
        let target = process::open_pid(fixture.pid()).unwrap();
        let snapshot = runtimes::snapshot(target.as_ref(), &options()).unwrap();
        let waiters = serde_json::from_value(fixture.ask("waiters")).unwrap();
        Seen { snapshot, waiters, settled_ns: fixture.ready()["settled_ns"].as_i64().unwrap() }
    }

    fn task(&self, waiter: &Waiter) -> Result<&Task, String> {
        let task = self.snapshot.tasks.iter().find(|task| task.id == Some(waiter.id));
        task.ok_or_else(|| "the goroutine is missing".to_owned())
    }

    /// The wait that the program speaks of: the only one, but for a select.
    fn wait(&self, waiter: &Waiter) -> Result<(Wait, WaitObject), String> {
        let waits = self.snapshot.waits_of(self.task(waiter)?);
        let all = waits.iter().map(|wait| (*wait, self.snapshot.objects[wait.object.index()]));
        let seen: Vec<_> = all.collect();
        let is_it = |(wait, object): &&(Wait, WaitObject)| {
            wait.op.name() == waiter.op
                && object.kind.name() == waiter.kind
                && waiter.address().is_none_or(|address| object.address == address)
        };
        seen.iter().find(is_it).copied().ok_or_else(|| format!("it waits for {seen:x?}"))
    }

    /// What is wrong with each waiter of which `check` says something.
    fn check(&self, what: &str, check: impl Fn(&Waiter) -> Result<bool, String>) -> usize {
        let mut wrong = Vec::new();
        let mut checked = 0;
        for waiter in &self.waiters {
            match check(waiter) {
                Ok(is) => checked += usize::from(is),
                Err(problem) => wrong.push(format!("{} {waiter:?}\n    {problem}", waiter.what)),
            }
        }
        assert!(
            wrong.is_empty(),
            "{} {:?}",
            common::compare::report(what, &wrong),
            self.snapshot.links.unknown
        );
        checked
    }
}

fn descriptors(version: &str, flavour: Flavour) {
    let seen = Seen::of(version, flavour, &["descriptors"], &[]);
    let checked = seen.check(version, |waiter| {
        let (Some(read), Some(write)) = (waiter.read_deadline, waiter.write_deadline) else {
            return Ok(false);
        };
        let (_, object) = seen.wait(waiter)?;
        let row = seen.snapshot.descriptor_of(&object).ok_or("there is no row for its descriptor")?;
        let same = read.is_deadline(row.read_deadline)
            && write.is_deadline(row.write_deadline)
            && row.kind == if waiter.what == "pipe" { DescriptorKind::Pipe } else { DescriptorKind::Socket };
        if same { Ok(true) } else { Err(format!("the descriptor is {row:?}")) }
    });
    assert_eq!(checked, 16, "{version}");
    assert_eq!(seen.snapshot.links.unknown, [] as [&str; 0], "{version}");
}

matrix!(descriptors_and_deadlines_are_those_of_the_program, descriptors, quick: [Plain, Stripped, PieStripped], spread: [Cgo, CgoStripped, CgoPie]);

fn sleeps(version: &str, flavour: Flavour) {
    let seen = Seen::of(version, flavour, &["timers"], &[]);
    let checked = seen.check(version, |waiter| {
        let Some(timer) = waiter.timer.as_ref().filter(|timer| timer.state == "sleep") else {
            return Ok(false);
        };
        let (wait, _) = seen.wait(waiter)?;
        let row = seen.snapshot.timer_of(wait.object).ok_or("its timer is missing")?;
        let latest = timer.at.earliest + seen.settled_ns;
        match *row {
            Timer { kind: TimerKind::Sleep, state: TimerState::At(at), period_ns: 0, .. }
                if (timer.at.earliest..=latest).contains(&(at as i64)) =>
            {
                Ok(true)
            }
            _ => Err(format!("its timer is {row:?}")),
        }
    });
    assert_eq!(checked, 2, "{version}");
}

matrix!(sleepers_wake_when_they_said, sleeps, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);

/// The timers of channels. `variables`: those of the program.
fn timers_with(version: &str, flavour: Flavour, variables: &[(&str, &str)]) {
    let seen = Seen::of(version, flavour, &["timers"], variables);
    let checked = seen.check(version, |waiter| {
        let Some(timer) = waiter.timer.as_ref().filter(|timer| timer.state != "sleep") else {
            return Ok(false);
        };
        let (wait, _) = seen.wait(waiter)?;
        let row = seen.snapshot.timer_of(wait.object).ok_or("its timer is missing")?;
        let same = match row.state {
            TimerState::At(at) => timer.state == "at" && timer.at.is(at) && row.period_ns == timer.period,
            TimerState::Stopped => timer.state == "stopped",
            _ => false,
        };
        if same && row.kind == TimerKind::Channel { Ok(true) } else { Err(format!("its timer is {row:?}")) }
    });
    assert_eq!(checked, 8, "{version}");
    assert_eq!(seen.snapshot.links.unknown, [] as [&str; 0], "{version}");
}

fn timers(version: &str, flavour: Flavour) {
    timers_with(version, flavour, &[]);
    // As programs are whose go.mod names an older Go: their channels do not name their timers. Go 1.27 refuses it.
    if ["1.23", "1.24", "1.25", "1.26"].contains(&version) {
        timers_with(version, flavour, &[("GODEBUG", "asynctimerchan=1")]);
    }
}

matrix!(timers_of_channels_fire_when_the_program_said, timers, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);

/// How a context differs from what the program says.
fn difference(snapshot: &Snapshot, seen: &Context, expected: &ExpectedContext) -> Option<String> {
    let name = seen.type_name.map_or("", |name| snapshot.str(name));
    let deadline = match seen.deadline {
        TimerState::At(at) => !expected.deadline.none && expected.deadline.is(at),
        TimerState::Stopped => expected.deadline.none,
        TimerState::Unknown => expected.deadline.none && !name.starts_with("context."),
        _ => false,
    };
    let address = expected.address.strip_prefix("0x").and_then(|text| u64::from_str_radix(text, 16).ok());
    // Contexts without contents share an address.
    let is_root = expected.parent.is_none();
    let same = name == expected.type_name
        && (is_root || address.is_none_or(|address| address == seen.address))
        && deadline
        && seen.cancelled == expected.cancelled
        && seen.is_root == is_root;
    if !same {
        return Some(format!("{seen:?} ({name})\n    but the program has {expected:?}"));
    }
    let parent = seen.parent.map(|parent| &snapshot.links.contexts[parent as usize]);
    match (parent, &expected.parent) {
        (None, None) => None,
        (Some(seen), Some(expected)) => difference(snapshot, seen, expected),
        other => Some(format!("the parent of {name} is {other:?}")),
    }
}

fn contexts(version: &str, flavour: Flavour) {
    let seen = Seen::of(version, flavour, &["contexts"], &[]);
    let checked = seen.check(version, |waiter| {
        let (wait, _) = seen.wait(waiter)?;
        match (seen.snapshot.context_of(wait.object), &waiter.context) {
            (None, None) => Ok(true),
            // The program does not know how it is made.
            (Some(context), None) if waiter.what == "signal" => {
                let is_cancel =
                    context.type_name.map(|name| seen.snapshot.str(name)) == Some("context.cancelCtx");
                if is_cancel { Ok(true) } else { Err(format!("{context:?}")) }
            }
            (Some(context), Some(expected)) => {
                difference(&seen.snapshot, context, expected).map_or(Ok(true), Err)
            }
            (seen, _) => Err(format!("its context is {seen:?}")),
        }
    });
    assert_eq!(checked, if version == "1.19" { 7 } else { 9 }, "{version}");
}

matrix!(contexts_and_their_parents_are_those_of_the_program, contexts, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);

fn functions(version: &str, flavour: Flavour) {
    let program = build(&Toolchain::get(version), Program::Waiting, flavour);
    let mut fixture = Fixture::start(&program, &["functions"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let options = ReadOptions { actors: Duration::from_secs(60), ..options() };
    let snapshot = runtimes::snapshot(target.as_ref(), &options).unwrap();
    let waiters: Vec<Waiter> = serde_json::from_value(fixture.ask("waiters")).unwrap();
    let seen = Seen { snapshot, waiters, settled_ns: 0 };
    let checked = seen.check(version, |waiter| {
        let (wait, _) = seen.wait(waiter)?;
        let expected = if waiter.what.starts_with("closed") { Action::Close } else { Action::Send };
        let at = waiter.timer.as_ref().unwrap().at;
        let actors = seen.snapshot.actors_of(wait.object);
        let mut by_timers = actors.iter().filter(|actor| matches!(actor.by, By::Timer(_)));
        let (Some(actor), None) = (by_timers.next(), by_timers.next()) else {
            return Err(format!("its actors are {actors:?}"));
        };
        let location = &seen.snapshot.code.locations[actor.location.ok_or("no location")?.index()];
        let function = seen.snapshot.code.functions[location.frames[0].function.index()].name;
        let named = seen.snapshot.str(function).starts_with("main.functions.");
        let same = matches!(actor.by, By::Timer(when) if at.is(when))
            && actor.action == expected
            && actor.certainty != Certainty::Sure
            && named;
        if same { Ok(true) } else { Err(format!("{actor:?}")) }
    });
    assert_eq!(checked, 2, "{version}");
}

matrix!(functions_of_timers_that_have_the_channel_are_found, functions, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);

fn calls(version: &str, flavour: Flavour) {
    let seen = Seen::of(version, flavour, &["calls"], &[]);
    let checked = seen.check(version, |waiter| {
        if waiter.call.is_empty() {
            return Ok(false);
        }
        let number = seen.snapshot.tasks.iter().position(|task| task.id == Some(waiter.id));
        let number = number.ok_or("the goroutine is missing")? as u32;
        let row = seen.snapshot.call_of(number).ok_or("its call is missing")?;
        let name = seen.snapshot.str(row.name);
        // Some versions wait for epoll with a mask of signals.
        if name.replace("epoll_pwait", "epoll_wait") != waiter.call {
            return Err(format!("it is in {name}"));
        }
        let (_, object) = seen.wait(waiter)?;
        if waiter.kind == "descriptor" && seen.snapshot.descriptor_of(&object).is_none() {
            return Err("there is no row for its descriptor".to_owned());
        }
        Ok(true)
    });
    assert_eq!(checked, 7, "{version}");
}

matrix!(system_calls_and_what_they_wait_for_are_known, calls, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);

/// Goroutines that send to each other without end: what is said of a descriptor is never wrong.
fn busy(version: &str, flavour: Flavour) {
    let program = build(&Toolchain::get(version), Program::Waiting, flavour);
    let mut fixture = Fixture::start(&program, &["pingpong"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let fds: HashMap<String, u64> = serde_json::from_value(fixture.ask("fds")).unwrap();
    assert_eq!(fds.len(), 400, "{version}");
    let readable = runtimes::Readable::find(target.as_ref()).unwrap();
    let (mut edges, mut readings) = (0, 0);
    while edges < 2000 && readings < 50 {
        readings += 1;
        let snapshot = readable.read(target.as_ref(), &ReadOptions::default()).unwrap();
        for task in &snapshot.tasks {
            let Some(&fd) = task.id.and_then(|id| fds.get(&id.to_string())) else { continue };
            for wait in snapshot.waits_of(task) {
                let object = snapshot.objects[wait.object.index()];
                assert_eq!(
                    (object.kind, object.address),
                    (ObjectKind::Descriptor, fd),
                    "{version}: {task:?}"
                );
                assert!(matches!(wait.op, WaitOp::Read | WaitOp::Write), "{version}: {wait:?}");
                edges += 1;
            }
        }
    }
    assert!(edges > 0, "{version}: no goroutine of a busy program was seen to wait");
}

matrix!(descriptors_of_a_busy_program_are_never_wrong, busy, quick: [Plain], spread: [Stripped, PieStripped]);
