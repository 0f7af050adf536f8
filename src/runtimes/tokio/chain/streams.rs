//! What streams of futures-util poll: a stream, futures that were made of it, or both.

use super::branches::Found;
use super::leaves::SetKind;
use super::names;
use super::sets;
use super::stream_kinds::StreamKind;
use super::values::{Value, Values};
use super::walk::{Branches, End, Walk};

/// Futures at one place that are followed.
const MAX_BRANCHES: usize = 64;

impl Walk<'_, '_> {
    /// What a stream polls.
    pub(super) fn stream(&mut self, kind: StreamKind, own: Value, depth: usize) -> Branches {
        let Some(layouts) = self.chains.layouts.as_mut() else { return Branches::Of(End::Gaps(None)) };
        let mut values = Values { layouts, window: self.window };
        let found = match kind {
            StreamKind::InTurn(name) => in_turn(&mut values, own, name),
            StreamKind::Concurrent(queue, most, any) => concurrent(&mut values, own, (queue, most, any)),
            StreamKind::Until => until(&mut values, own),
        };
        match found {
            Some(found) => self.branches(&found, depth),
            None => Branches::Of(End::Gaps(None)),
        }
    }
}

fn in_turn(values: &mut Values<'_, '_>, own: Value, name: &str) -> Option<Found> {
    let future = direct(values, own, name)?;
    let only = match optional(values, future)? {
        Some(future) => future,
        None => direct(values, own, "stream")?,
    };
    Some(Found { word: "", futures: vec![Some(only)], is_set: false, total: 1 })
}

fn until(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let future = direct(values, own, "fut")?;
    let mut futures = vec![Some(direct(values, own, "stream")?)];
    futures.extend(optional(values, future)?.map(Some));
    let total = futures.len() as u64;
    Some(Found { word: "select", futures, is_set: false, total })
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
    if let Some(stream) = rest(values, own)?.filter(|_| has_room) {
        total = total.saturating_add(1);
        if futures.len() < MAX_BRANCHES {
            futures.push(Some(stream));
        }
    }
    Some(Found { word: SetKind::Unordered.word(), futures, is_set: true, total })
}

/// The stream, unless it is over: a `Fuse` or an `Option`.
fn rest(values: &mut Values<'_, '_>, own: Value) -> Option<Option<Value>> {
    let stream = direct(values, own, "stream")?;
    let Some(done) = direct(values, stream, "done") else { return optional(values, stream) };
    let is_done = values.window.number(done.at, 1)? != 0;
    let inner = direct(values, stream, "stream")?;
    Some((!is_done).then_some(inner))
}

/// A member of the value itself.
pub(super) fn direct(values: &mut Values<'_, '_>, own: Value, name: &str) -> Option<Value> {
    let found = values.layouts.types.get(own.of)?;
    let member = found.members.iter().find(|member| member.name == name)?;
    Some(Value { of: member.of, at: own.at.wrapping_add(member.offset) })
}

/// What is in an `Option`.
pub(super) fn optional(values: &mut Values<'_, '_>, own: Value) -> Option<Option<Value>> {
    let found = values.layouts.types.get(own.of)?;
    let variant = values.variant(&found, own.at)?;
    let inside = values.layouts.types.get(variant.of)?;
    match names::last(&inside.name) {
        "None" => Some(None),
        "Some" => {
            let member = inside.members.first()?;
            Some(Some(Value { of: member.of, at: variant.at.wrapping_add(member.offset) }))
        }
        _ => None,
    }
}
