//! Streams of futures-util that poll a stream, futures that were made of it, or both.
//!
//! Source: futures-util 0.3, src/stream/stream and src/stream/try_stream.

/// What a stream polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// The future that is in the member with this name, or the stream if there is none.
    InTurn(&'static str),
    /// The futures of a queue, and the stream while there are fewer of them than a number. The names of the queue and of that
    /// number; whether 0 stands for any number.
    Concurrent(&'static str, &'static str, bool),
    /// The stream, until a future ends.
    Until,
}

const KINDS: &[(&str, StreamKind)] = &[
    ("stream::for_each::ForEach", StreamKind::InTurn("future")),
    ("stream::then::Then", StreamKind::InTurn("future")),
    ("stream::fold::Fold", StreamKind::InTurn("future")),
    ("stream::filter::Filter", StreamKind::InTurn("pending_fut")),
    ("stream::filter_map::FilterMap", StreamKind::InTurn("pending")),
    ("stream::skip_while::SkipWhile", StreamKind::InTurn("pending_fut")),
    ("stream::take_while::TakeWhile", StreamKind::InTurn("pending_fut")),
    ("try_stream::try_for_each::TryForEach", StreamKind::InTurn("future")),
    ("try_stream::and_then::AndThen", StreamKind::InTurn("future")),
    ("try_stream::or_else::OrElse", StreamKind::InTurn("future")),
    ("stream::buffer_unordered::BufferUnordered", StreamKind::Concurrent("in_progress_queue", "max", false)),
    ("stream::buffered::Buffered", StreamKind::Concurrent("in_progress_queue", "max", false)),
    (
        "try_stream::try_buffer_unordered::TryBufferUnordered",
        StreamKind::Concurrent("in_progress_queue", "max", false),
    ),
    ("stream::for_each_concurrent::ForEachConcurrent", StreamKind::Concurrent("futures", "limit", true)),
    (
        "try_stream::try_for_each_concurrent::TryForEachConcurrent",
        StreamKind::Concurrent("futures", "limit", true),
    ),
    ("stream::take_until::TakeUntil", StreamKind::Until),
];

/// What a type polls, by its name without parameters.
pub(super) fn by_type(base: &str) -> Option<StreamKind> {
    let name = base.strip_prefix("futures_util::stream::")?;
    KINDS.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind)
}
