//! What streams and sinks of libraries poll: a stream, futures that were made of it, several of them, or a sink.

use super::branches::Found;
use super::leaves::{self, SetKind};
use super::names;
use super::sets;
use super::stream_kinds::StreamKind;
use super::values::{Value, Values, direct, optional};
use super::walk::{Branches, End, Walk};

/// Futures at one place that are followed.
const MAX_BRANCHES: usize = 64;

/// What is over, as `stream_kinds` says.
const FUSE: &str = "futures_util::stream::stream::fuse::Fuse";
const OPTIONS: [&str; 2] = ["core::option::Option", "tokio_stream::stream_ext::fuse::Fuse"];
/// `InternalState` of `SelectWithStrategy`: which of its streams are over.
const LEFT_FINISHED: u64 = 1;
const RIGHT_FINISHED: u64 = 2;
/// The state of a `Shared` that no task polls just now.
const IDLE: u64 = 0;

impl Walk<'_, '_> {
    /// What a stream polls.
    pub(super) fn stream(&mut self, kind: StreamKind, own: Value, depth: usize) -> Branches {
        let Some(found) = self.find(kind, own) else { return Branches::Of(End::Gaps(None)) };
        match found.futures.as_slice() {
            [Some(inside), Some(timer)] if found.word == leaves::TIMEOUT => {
                Branches::Limited((inside.of, inside.at), *timer)
            }
            _ => self.branches(&found, depth),
        }
    }

    fn find(&mut self, kind: StreamKind, own: Value) -> Option<Found> {
        let layouts = self.chains.layouts.as_mut()?;
        let values = &mut Values { layouts, window: self.window };
        match kind {
            StreamKind::InTurn(names) => in_turn(values, own, names),
            StreamKind::Concurrent(queue, most, any) => concurrent(values, own, (queue, most, any)),
            StreamKind::Until => until(values, own),
            StreamKind::Together(word, names) => together(values, own, word, names),
            StreamKind::Zip => zip(values, own),
            StreamKind::Pair => pair(values, own),
            StreamKind::Limited(flag) => limited(values, own, flag),
            StreamKind::Delayed => {
                let has_delayed = direct(values, own, "has_delayed")?;
                let is_over = values.window.number(has_delayed.at, 1)? != 0;
                direct(values, own, if is_over { "stream" } else { "delay" }).map(only)
            }
            StreamKind::Forward(item) => {
                let item = direct(values, own, item)?;
                let sink = live(values, own, "sink")??;
                if optional(values, item)?.is_some() {
                    return Some(only(sink));
                }
                let Some(stream) = live(values, own, "stream")? else { return Some(only(sink)) };
                // The sink may have something left to write: that is its own matter, and not known here.
                self.may_wait_elsewhere = true;
                Some(only(stream))
            }
            StreamKind::Shared => shared(values, own),
        }
    }
}

/// A future that is polled alone.
fn only(future: Value) -> Found {
    all("", vec![future])
}

/// Futures that are polled together.
fn all(word: &'static str, futures: Vec<Value>) -> Found {
    let total = futures.len() as u64;
    Found { word, futures: futures.into_iter().map(Some).collect(), is_set: false, total }
}

fn in_turn(values: &mut Values<'_, '_>, own: Value, names: &[&str]) -> Option<Found> {
    let found = values.layouts.types.get(own.of)?;
    let has = |name: &str| found.members.iter().any(|member| member.name == name);
    for name in names.iter().filter(|name| has(name)) {
        if let Some(future) = live(values, own, name)? {
            return Some(only(future));
        }
    }
    Some(all("", Vec::new()))
}

fn until(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let future = direct(values, own, "fut")?;
    let mut futures = vec![direct(values, own, "stream")?];
    futures.extend(optional(values, future)?);
    Some(all("select", futures))
}

fn together(
    values: &mut Values<'_, '_>,
    own: Value,
    word: &'static str,
    names: [&'static str; 2],
) -> Option<Found> {
    let finished = match direct(values, own, "internal_state") {
        Some(state) => values.window.number(state.at, 1)?,
        None => 0,
    };
    let mut futures = Vec::new();
    for (name, over) in names.into_iter().zip([LEFT_FINISHED, RIGHT_FINISHED]) {
        let future = live(values, own, name)?;
        futures.push(future.filter(|_| finished & over == 0));
    }
    Some(Found { word, total: futures.len() as u64, futures, is_set: false })
}

fn zip(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let mut futures = Vec::new();
    for (stream, queued) in [("stream1", "queued1"), ("stream2", "queued2")] {
        let queued = direct(values, own, queued)?;
        let is_there = optional(values, queued)?.is_some();
        futures.push(live(values, own, stream)?.filter(|_| !is_there));
    }
    Some(Found { word: "join", total: futures.len() as u64, futures, is_set: false })
}

fn pair(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let inner = direct(values, own, "inner")?;
    let Some(pair) = optional(values, inner)? else { return Some(all("select", Vec::new())) };
    let parts = ["__0", "__1"].map(|name| direct(values, pair, name));
    let [Some(first), Some(second)] = parts else { return None };
    Some(all("select", vec![first, second]))
}

/// The stream, and the timer if there is one.
fn limited(values: &mut Values<'_, '_>, own: Value, flag: Option<&str>) -> Option<Found> {
    let mut futures = vec![live(values, own, "stream")??];
    let counts = match flag {
        Some(flag) => {
            let flag = direct(values, own, flag)?;
            values.window.number(flag.at, 1)? != 0
        }
        None => true,
    };
    if counts {
        futures.extend(match direct(values, own, "interval") {
            Some(interval) => Some(direct(values, interval, "delay")?),
            None => live(values, own, "deadline")?,
        });
    }
    let word = if futures.len() > 1 { leaves::TIMEOUT } else { "" };
    Some(all(word, futures))
}

/// The future that a `Shared` has in common with others. None while another thread polls it.
fn shared(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let Some(inner) = live(values, own, "inner")? else { return Some(all("", Vec::new())) };
    let inner = values.shared(inner)?;
    let notifier = direct(values, inner, "notifier")?;
    let notifier = values.shared(notifier)?;
    let state = direct(values, notifier, "state")?;
    if values.window.number(state.at, 8)? != IDLE {
        return None;
    }
    let cell = direct(values, inner, "future_or_output")?;
    let cell = direct(values, cell, "value")?;
    let found = values.layouts.types.get(cell.of)?;
    let variant = values.variant(&found, cell.at)?;
    let inside = values.layouts.types.get(variant.of)?;
    if names::last(&inside.name) != "Future" {
        return None;
    }
    direct(values, variant, "__0").map(only)
}

fn concurrent(
    values: &mut Values<'_, '_>,
    own: Value,
    (queue, most, any): (&str, &str, bool),
) -> Option<Found> {
    let queue = direct(values, own, queue)?;
    let most = direct(values, own, most)?;
    let most = values.window.number(most.at, 8)?;
    let set = sets::futures(values, SetKind::Unordered, queue, MAX_BRANCHES)?;
    let mut futures: Vec<_> = set.futures.into_iter().map(Some).collect();
    let mut total = set.total;
    // What ended before those that were begun earlier.
    let waiting = match direct(values, queue, "queued_outputs") {
        Some(outputs) => {
            let len = values.member(outputs, "len")?;
            values.window.number(len.at, 8)?
        }
        None => 0,
    };
    let has_room = any && most == 0 || total.saturating_add(waiting) < most;
    let is_done = match direct(values, own, "is_stream_done") {
        Some(done) => values.window.number(done.at, 1)? != 0,
        None => false,
    };
    if let Some(stream) = live(values, own, "stream")?.filter(|_| has_room && !is_done) {
        total = total.saturating_add(1);
        if futures.len() < MAX_BRANCHES {
            futures.push(Some(stream));
        }
    }
    Some(Found { word: SetKind::Unordered.word(), futures, is_set: true, total })
}

/// What is in a member, unless it is over.
fn live(values: &mut Values<'_, '_>, own: Value, name: &str) -> Option<Option<Value>> {
    let member = direct(values, own, name)?;
    let found = values.layouts.types.get(member.of)?;
    let base = names::base(&found.name);
    if OPTIONS.contains(&base) {
        // The one of Tokio is a struct around an `Option`.
        let inner = direct(values, member, "stream").unwrap_or(member);
        return optional(values, inner);
    }
    if base != FUSE {
        return Some(Some(member));
    }
    let done = direct(values, member, "done")?;
    let is_done = values.window.number(done.at, 1)? != 0;
    let inner = direct(values, member, "stream")?;
    Some((!is_done).then_some(inner))
}
