//! What a connection of HTTP/1 polls: its socket, and beside it the service's future, the queue of requests, or a body.
//!
//! Source: hyper 0.14 and 1, src/proto/h1/dispatch.rs.

use super::branches::Found;
use super::layout::Shape;
use super::values::{Value, Values, direct, optional};
use super::walk::{Branches, End, Walk};

impl Walk<'_, '_> {
    /// What a connection of HTTP/1 polls together.
    pub(super) fn http(&mut self, own: Value, depth: usize) -> Branches {
        let Some(layouts) = self.chains.layouts.as_mut() else { return Branches::Of(End::Gaps(None)) };
        match connection(&mut Values { layouts, window: self.window }, own) {
            Some(found) => self.branches(&found, depth),
            None => Branches::Of(End::Gaps(None)),
        }
    }
}

/// The futures that a connection polls together.
fn connection(values: &mut Values<'_, '_>, own: Value) -> Option<Found> {
    let mut futures = Vec::new();
    let dispatch = direct(values, own, "dispatch")?;
    match direct(values, dispatch, "in_flight") {
        // A server: the answer to the request that it has read.
        Some(answer) => futures.extend(boxed(values, answer)?),
        None => futures.extend(next_request(values, dispatch)?),
    }
    // A body that is whole at once polls nothing.
    if let Some(body) = direct(values, own, "body_rx").and_then(|body| boxed(values, body)).flatten()
        && !matches!(values.layouts.shape(body.of), Shape::Unknown { has_futures: false })
    {
        futures.push(body);
    }
    futures.push(direct(values, own, "conn")?);
    let total = futures.len() as u64;
    Some(Found { word: "http", futures: futures.into_iter().map(Some).collect(), is_set: false, total })
}

/// The queue of a client, unless a request is under way or none can come.
fn next_request(values: &mut Values<'_, '_>, dispatch: Value) -> Option<Option<Value>> {
    let callback = direct(values, dispatch, "callback")?;
    let closed = direct(values, dispatch, "rx_closed")?;
    let queue = direct(values, dispatch, "rx")?;
    let is_free = optional(values, callback)?.is_none() && values.window.number(closed.at, 1)? == 0;
    Some(is_free.then_some(queue))
}

/// What is in a `Pin<Box<Option<T>>>`.
fn boxed(values: &mut Values<'_, '_>, pinned: Value) -> Option<Option<Value>> {
    let pointer = direct(values, pinned, "pointer").or_else(|| direct(values, pinned, "__pointer"))?;
    let inside = values.behind(pointer)?;
    optional(values, inside)
}
