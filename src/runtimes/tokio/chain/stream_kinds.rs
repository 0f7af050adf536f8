//! Streams and sinks of libraries that poll a stream or a sink, futures that were made of it, or several at once.
//!
//! Source: futures-util 0.3, src/stream, src/sink, src/future/select.rs and src/future/future/shared.rs; tokio-stream 0.1,
//! src/stream_ext.

use crate::symbols::types::Member;

/// What a stream polls. A member is over if it is an empty `Option` or a `Fuse` that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// The first of the members with these names that is there and not over.
    InTurn(&'static [&'static str]),
    /// The futures of a queue, and the stream while there are fewer of them than a number. The names of the queue and of that
    /// number; whether 0 stands for any number.
    Concurrent(&'static str, &'static str, bool),
    /// The stream, until a future ends.
    Until,
    /// The members with these names that are not over, together. The word for it.
    Together(&'static str, [&'static str; 2]),
    /// Two streams, each until an item of it is there.
    Zip,
    /// The futures of a pair.
    Pair,
    /// A stream, until a timer fires. The name of the flag that says whether the timer counts, if there is one.
    Limited(Option<&'static str>),
    /// The stream after a delay.
    Delayed,
    /// A sink if there is an item for it in the member with this name, otherwise a stream, and perhaps the sink.
    Forward(&'static str),
    /// A future that several tasks wait for.
    Shared,
}

const TWO_STREAMS: StreamKind = StreamKind::Together("select", ["stream1", "stream2"]);

const OF_FUTURES: &[(&str, StreamKind)] = &[
    ("stream::stream::buffer_unordered::BufferUnordered", StreamKind::Concurrent(QUEUE, "max", false)),
    ("stream::stream::buffered::Buffered", StreamKind::Concurrent(QUEUE, "max", false)),
    ("stream::stream::chain::Chain", StreamKind::InTurn(&["first", "second"])),
    (
        "stream::stream::flatten_unordered::FlattenUnorderedWithFlowController",
        StreamKind::Concurrent("inner_streams", "limit", true),
    ),
    (
        "stream::stream::for_each_concurrent::ForEachConcurrent",
        StreamKind::Concurrent("futures", "limit", true),
    ),
    ("stream::stream::forward::Forward", StreamKind::Forward("buffered_item")),
    ("stream::stream::take_until::TakeUntil", StreamKind::Until),
    ("stream::stream::zip::Zip", StreamKind::Zip),
    (
        "stream::try_stream::try_buffer_unordered::TryBufferUnordered",
        StreamKind::Concurrent(QUEUE, "max", false),
    ),
    ("stream::try_stream::try_buffered::TryBuffered", StreamKind::Concurrent(QUEUE, "max", false)),
    (
        "stream::try_stream::try_for_each_concurrent::TryForEachConcurrent",
        StreamKind::Concurrent("futures", "limit", true),
    ),
    ("stream::select::Select", TWO_STREAMS),
    ("stream::select_with_strategy::SelectWithStrategy", TWO_STREAMS),
    ("sink::send_all::SendAll", StreamKind::Forward("buffered")),
    ("future::future::shared::Shared", StreamKind::Shared),
    ("future::select::Select", StreamKind::Pair),
    ("future::try_select::TrySelect", StreamKind::Pair),
];
const QUEUE: &str = "in_progress_queue";

const OF_TOKIO: &[(&str, StreamKind)] = &[
    ("chain::Chain", StreamKind::InTurn(&["a", "b"])),
    ("merge::Merge", StreamKind::Together("select", ["a", "b"])),
    ("timeout::Timeout", StreamKind::Limited(Some("poll_deadline"))),
    ("chunks_timeout::ChunksTimeout", StreamKind::Limited(None)),
    ("timeout_repeating::TimeoutRepeating", StreamKind::Limited(None)),
    ("throttle::Throttle", StreamKind::Delayed),
];

/// Where streams are that poll futures which they made of a stream's items, or that stream: all that are not listed above.
const STREAMS: &[&str] =
    &["futures_util::stream::stream::", "futures_util::stream::try_stream::", "tokio_stream::stream_ext::"];
/// How they call these: the futures come first.
const IN_TURN: StreamKind = StreamKind::InTurn(&["future", "pending_fut", "pending", "next", "stream"]);
/// The same for sinks, whose items are made by futures.
const SINKS: &str = "futures_util::sink::";
const INTO_SINK: StreamKind = StreamKind::InTurn(&["state", "feed", "sink"]);

impl StreamKind {
    /// Whether it says of many types how they poll what is inside, if anything is.
    pub(super) fn is_general(self) -> bool {
        self == IN_TURN || self == INTO_SINK
    }
}

/// What a type polls, by its name without parameters and its members.
pub(super) fn by_type(base: &str, members: &[Member]) -> Option<StreamKind> {
    let find = |prefix: &str, kinds: &[(&str, StreamKind)]| {
        let name = base.strip_prefix(prefix)?;
        kinds.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind)
    };
    let has = |names: &[&str]| members.iter().any(|member| names.contains(&member.name.as_str()));
    let listed = find("futures_util::", OF_FUTURES).or_else(|| find("tokio_stream::stream_ext::", OF_TOKIO));
    if listed.is_some() {
        // Before futures-util 0.3.18, `Select` was what `SelectWithStrategy` is now.
        return listed.filter(|kind| *kind != TWO_STREAMS || has(&["stream1"]));
    }
    if STREAMS.iter().any(|prefix| base.starts_with(prefix)) && has(&["stream"]) {
        return Some(IN_TURN);
    }
    // What has a stream, too, goes its own way.
    (base.starts_with(SINKS) && has(&["feed", "sink"]) && !has(&["stream"])).then_some(INTO_SINK)
}
