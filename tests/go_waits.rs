//! What goroutines wait for: the addresses, capacities and element types that the program itself
//! knows.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;

use common::{Fixture, Flavour, Program, Toolchain, build, matrix};
use loiter::process;
use loiter::runtimes::{self, ReadOptions};
use loiter::snapshot::{ObjectKind, Snapshot, Task, Wait};
use serde::Deserialize;

/// What a goroutine of the fixture says it will wait for.
#[derive(Debug, Clone, Deserialize)]
struct Waiter {
    id: u64,
    waits: Option<Vec<Expected>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Expected {
    op: String,
    kind: String,
    address: String,
    cap: u64,
    element: String,
}

impl Expected {
    fn address(&self) -> u64 {
        u64::from_str_radix(self.address.trim_start_matches("0x"), 16).unwrap()
    }
}

/// (op, kind, address), in order.
type Key = (String, String, u64);

/// What a task waits for inside the program. `tests/go_links.rs` compares the rest.
fn seen(snapshot: &Snapshot, task: &Task) -> Vec<(Key, Wait)> {
    let mut seen: Vec<_> = snapshot
        .waits_of(task)
        .iter()
        .map(|wait| (snapshot.objects[wait.object.index()], wait))
        .filter(|(object, _)| {
            !matches!(object.kind, ObjectKind::Descriptor | ObjectKind::Timer | ObjectKind::Process)
        })
        .map(|(object, wait)| {
            ((wait.op.name().to_owned(), object.kind.name().to_owned(), object.address), *wait)
        })
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    seen
}

fn check(version: &str, flavour: Flavour) {
    let toolchain = Toolchain::get(version);
    let what = format!("{} {flavour:?}", toolchain.full_version);
    let mut fixture = Fixture::start(&build(&toolchain, Program::Fixtures, flavour), &["all"]);
    let target = process::open_pid(fixture.pid()).unwrap();
    let snapshot = runtimes::snapshot(target.as_ref(), &ReadOptions::default()).unwrap();
    let waiters: Vec<Waiter> = serde_json::from_value(fixture.ask("waits")).unwrap();
    assert!(waiters.len() > 40, "{what}");

    let mut on_channel: HashMap<(u64, &str), u32> = HashMap::new();
    for expected in waiters.iter().flat_map(|w| w.waits.iter().flatten()) {
        *on_channel.entry((expected.address(), expected.op.as_str())).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for waiter in &waiters {
        let Some(task) = snapshot.tasks.iter().find(|t| t.id == Some(waiter.id)) else {
            wrong.push(format!("goroutine {} is missing", waiter.id));
            continue;
        };
        let mut expected = waiter.waits.clone().unwrap_or_default();
        expected.sort_by_key(|e| (e.op.clone(), e.kind.clone(), e.address()));
        let seen = seen(&snapshot, task);
        let keys: Vec<Key> = expected.iter().map(|e| (e.op.clone(), e.kind.clone(), e.address())).collect();
        // The second writer of an RWMutex waits for the mutex that is its first field.
        let as_mutex: Vec<Key> =
            keys.iter().cloned().map(|(op, kind, at)| (op, kind.replace("rw-mutex", "mutex"), at)).collect();
        let found: Vec<Key> = seen.iter().map(|(key, _)| key.clone()).collect();
        if found != keys && found != as_mutex {
            wrong.push(format!("goroutine {}\n    loiter   {found:x?}\n    program  {keys:x?}", waiter.id));
            continue;
        }
        for (expected, (_, wait)) in expected.iter().zip(&seen) {
            wrong.extend(channel_differences(&snapshot, waiter.id, expected, wait, &on_channel));
        }
    }
    assert!(wrong.is_empty(), "{}", common::compare::report(&what, &wrong));
}

fn channel_differences(
    snapshot: &Snapshot,
    id: u64,
    expected: &Expected,
    wait: &Wait,
    on_channel: &HashMap<(u64, &str), u32>,
) -> Option<String> {
    if expected.kind != "channel" {
        return None;
    }
    let Some(channel) = snapshot.objects[wait.object.index()].channel else {
        return Some(format!("goroutine {id}: the channel was not read"));
    };
    let waiting = |op| on_channel.get(&(expected.address(), op)).copied().unwrap_or(0);
    // Whoever waits to send finds it full, whoever waits to receive finds it empty.
    let len = if expected.op == "send" { expected.cap } else { 0 };
    let known = (len, expected.cap, false, waiting("send"), waiting("receive"));
    let read = (channel.len, channel.cap, channel.closed, channel.senders, channel.receivers);
    if read != known {
        return Some(format!(
            "goroutine {id}: (len, cap, closed, senders, receivers)\n    loiter   {read:?}\n    program  {known:?}"
        ));
    }
    match channel.element {
        Some(element) if snapshot.str(element) != expected.element => Some(format!(
            "goroutine {id}: element {} in loiter, {} in the program",
            snapshot.str(element),
            expected.element
        )),
        _ => None,
    }
}

matrix!(what_goroutines_wait_for_is_read, check, quick: [Plain, PieStripped], spread: [Stripped, Cgo]);
