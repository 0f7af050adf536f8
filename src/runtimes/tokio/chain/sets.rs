//! Collections of futures that are polled together.
//!
//! Source: futures-util 0.3, src/stream/futures_unordered, src/future/join_all.rs, try_join_all.rs, select_all.rs and
//! select_ok.rs; tokio-stream 0.1, src/stream_map.rs.

use super::leaves::SetKind;
use super::values::{Value, Values, direct};

/// The futures of a collection.
pub(super) struct Futures {
    /// Those that were read.
    pub(super) futures: Vec<Value>,
    /// How many there are.
    pub(super) total: u64,
}

/// The futures of a collection, `most` at most. None if they cannot be read.
pub(super) fn futures(
    values: &mut Values<'_, '_>,
    kind: SetKind,
    own: Value,
    most: usize,
) -> Option<Futures> {
    match kind {
        SetKind::Unordered | SetKind::Streams => unordered(values, own, most),
        SetKind::SelectAll => {
            let inner = values.member(own, "inner")?;
            vector(values, inner, most)
        }
        SetKind::StreamMap => {
            let entries = direct(values, own, "entries")?;
            let mut found = vector(values, entries, most)?;
            // A key and a stream each.
            for entry in &mut found.futures {
                *entry = direct(values, *entry, "__1")?;
            }
            Some(found)
        }
        SetKind::JoinAll => {
            // There are two variants: a few futures are in a slice, many are in a queue.
            if let Some(queue) = values.member(own, "in_progress_queue") {
                return unordered(values, queue, most);
            }
            let elements = values.member(own, "elems")?;
            let data = values.member(elements, "data_ptr")?;
            let first = values.behind(data)?;
            let length = values.member(elements, "length")?;
            let total = values.window.number(length.at, 8)?;
            list(values, first, total, most)
        }
    }
}

/// The elements of a `Vec`.
fn vector(values: &mut Values<'_, '_>, own: Value, most: usize) -> Option<Futures> {
    let of = values.parameter(own, "T")?;
    let data = values.member(own, "pointer")?;
    let at = values.window.pointer(data.at)?;
    let len = values.member(own, "len")?;
    let total = values.window.number(len.at, 8)?;
    list(values, Value { of, at }, total, most)
}

/// The elements of a slice, given the first one.
fn list(values: &mut Values<'_, '_>, first: Value, total: u64, most: usize) -> Option<Futures> {
    let size = values.layouts.types.get(first.of)?.size;
    let element = |nth: u64| Some(Value { of: first.of, at: first.at.wrapping_add(size.checked_mul(nth)?) });
    let futures = (0..total.min(most as u64)).map(element).collect::<Option<_>>()?;
    Some(Futures { futures, total })
}

/// The futures of a `FuturesUnordered`: a list, whose first element knows how long it is.
fn unordered(values: &mut Values<'_, '_>, own: Value, most: usize) -> Option<Futures> {
    let mut futures = Vec::new();
    let head = values.member(own, "head_all")?;
    let mut next = values.target(head)?;
    let total = match next {
        Some(first) => {
            let length = values.member(first, "len_all")?;
            values.window.number(length.at, 8)?
        }
        None => 0,
    };
    while let Some(task) = next.filter(|_| futures.len() < most) {
        futures.push(values.member(task, "future")?);
        let link = values.member(task, "next_all")?;
        next = values.target(link)?;
    }
    Some(Futures { futures, total })
}
