//! What the innermost future of a chain waits for, by its type and the functions around it.
//!
//! Source: the sources of tokio 1.28 to 1.54, futures-util 0.3, futures-channel 0.3, hyper 0.14 and 1, hyper-util 0.1,
//! tower 0.4 and 0.5, tracing 0.1, tokio-stream 0.1, tokio-util 0.7, async-channel 2, flume 0.11.

use crate::snapshot::{ObjectKind, WaitClass, WaitOp};

/// A future that awaits no other, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeafKind {
    /// `tokio::time::Sleep`.
    Sleep,
    /// The next tick of `tokio::time::Interval`.
    Tick,
    /// The receiver of a one-shot channel.
    Oneshot,
    /// Permits of a semaphore, which Tokio's locks and bounded channels are made of.
    Acquire,
    /// A notification, which Tokio's watch channels are made of.
    Notified,
    /// The end of another task.
    Join,
    /// A broadcast channel.
    Broadcast,
    /// The receiver of a channel.
    Mpsc,
    /// The receiver itself, which code written by hand polls.
    Receiver,
    /// A channel of another library, to receive.
    Receive,
    /// The same, to send.
    Send,
    /// A signal of the operating system.
    Signal,
    /// A set of tasks.
    JoinSet,
    /// A token that is cancelled.
    Cancelled,
    /// The tasks of a tracker.
    Tracker,
    /// A descriptor that is ready.
    Readiness,
    /// The body of a message of HTTP, which a connection reads.
    Body,
    /// A connection of HTTP, whose socket is read and written.
    Connection,
    /// Reading from something.
    Read,
    /// Writing to something.
    Write,
    /// The other tasks' turn.
    Yield,
    /// Nothing.
    Pending,
    /// It is ready.
    Ready,
}

const BY_TYPE: &[(&str, LeafKind)] = &[
    ("tokio::time::sleep::Sleep", LeafKind::Sleep),
    ("tokio::sync::oneshot::Receiver", LeafKind::Oneshot),
    ("futures_channel::oneshot::Receiver", LeafKind::Oneshot),
    ("tokio::sync::batch_semaphore::Acquire", LeafKind::Acquire),
    ("tokio::sync::notify::Notified", LeafKind::Notified),
    ("tokio::sync::notify::OwnedNotified", LeafKind::Notified),
    ("tokio::sync::broadcast::Recv", LeafKind::Broadcast),
    ("tokio::runtime::task::join::JoinHandle", LeafKind::Join),
    ("tokio::runtime::io::scheduled_io::Readiness", LeafKind::Readiness),
    ("tokio::task::yield_now::yield_now::{async_fn#0}::YieldNow", LeafKind::Yield),
    ("core::future::pending::Pending", LeafKind::Pending),
    ("futures_util::future::pending::Pending", LeafKind::Pending),
    ("core::future::ready::Ready", LeafKind::Ready),
    ("futures_util::future::ready::Ready", LeafKind::Ready),
    ("futures_channel::mpsc::Receiver", LeafKind::Mpsc),
    ("futures_channel::mpsc::UnboundedReceiver", LeafKind::Mpsc),
    ("tokio_stream::wrappers::mpsc_bounded::ReceiverStream", LeafKind::Mpsc),
    ("tokio_stream::wrappers::mpsc_unbounded::UnboundedReceiverStream", LeafKind::Mpsc),
    ("tokio_stream::wrappers::interval::IntervalStream", LeafKind::Tick),
    ("tokio_stream::wrappers::task::JoinSetStream", LeafKind::JoinSet),
    ("tokio_util::sync::cancellation_token::WaitForCancellationFuture", LeafKind::Cancelled),
    ("tokio_util::sync::cancellation_token::WaitForCancellationFutureOwned", LeafKind::Cancelled),
    ("tokio_util::task::task_tracker::TaskTrackerWaitFuture", LeafKind::Tracker),
    ("async_channel::Recv", LeafKind::Receive),
    ("async_channel::Send", LeafKind::Send),
    ("flume::async::RecvFut", LeafKind::Receive),
    ("flume::async::RecvStream", LeafKind::Receive),
    ("flume::async::SendFut", LeafKind::Send),
    ("hyper::client::dispatch::Receiver", LeafKind::Mpsc),
    ("hyper::proto::h1::conn::Conn", LeafKind::Connection),
    ("hyper::proto::h2::server::Server", LeafKind::Connection),
    ("hyper_util::server::conn::auto::ReadVersion", LeafKind::Connection),
];

/// A kind of collection of futures that are polled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetKind {
    /// `FuturesUnordered`.
    Unordered,
    /// `SelectAll` of streams.
    Streams,
    /// `StreamMap`.
    StreamMap,
    /// `join_all` and `try_join_all`.
    JoinAll,
    /// `select_all` and `select_ok`.
    SelectAll,
}

impl SetKind {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            SetKind::Unordered => "set of futures",
            SetKind::Streams | SetKind::StreamMap => "set of streams",
            SetKind::JoinAll => "join",
            SetKind::SelectAll => "select",
        }
    }
}

/// Types that can be waited for and that are no futures.
const RESOURCES: &[&str] = &[
    "tokio::io::poll_evented::PollEvented",
    "tokio::io::async_fd::AsyncFd",
    "tokio::sync::mpsc::bounded::Receiver",
    "tokio::sync::mpsc::unbounded::UnboundedReceiver",
    "tokio::sync::mpsc::chan::Rx",
    "tokio::sync::watch::Receiver",
    "tokio::sync::broadcast::Receiver",
    "tokio::time::interval::Interval",
    "tokio::task::join_set::JoinSet",
    BODY,
];

/// Variants of enums with one future, whose other members are not what they wait for.
const VARIANTS: &[(&str, &str, &str)] = &[
    ("hyper_util::server::conn::auto::ConnState", "ReadVersion", "read_version"),
    ("futures_util::future::future::map::Map", "Incomplete", "future"),
];

/// Structs around one future, whose other members are not what they wait for first.
const WRAPPERS: &[(&str, &str)] = &[
    ("tracing::instrument::Instrumented", "inner"),
    ("futures_util::abortable::Abortable", "task"),
    ("tokio::task::local::RunUntil", "future"),
    ("tower::limit::concurrency::future::ResponseFuture", "inner"),
    ("tokio_util::codec::framed::Framed", "inner"),
    ("tokio_util::codec::framed_impl::FramedImpl", "inner"),
    ("tokio_util::codec::framed_read::FramedRead", "inner"),
    ("tokio_util::codec::framed_write::FramedWrite", "inner"),
    ("tokio_util::sync::mpsc::PollSender", "acquire"),
    ("tokio_util::sync::poll_semaphore::PollSemaphore", "permit_fut"),
    ("tokio_util::task::task_tracker::TrackedFuture", "future"),
    ("tokio_util::time::delay_queue::DelayQueue", "delay"),
    ("http_body_util::combinators::collect::Collect", "body"),
    ("http_body_util::combinators::frame::Frame", "__0"),
];

/// Structs whose members are polled together.
const TOGETHER: &[(&str, &str)] = &[
    ("futures_util::future::join::Join", "join"),
    ("futures_util::future::try_join::TryJoin", "try_join"),
    ("tokio::time::timeout::Timeout", TIMEOUT),
    ("tokio_util::sync::cancellation_token::RunUntilCancelledFuture", "select"),
    ("tokio_util::sync::cancellation_token::RunUntilCancelledFutureOwned", "select"),
    ("tower::timeout::future::ResponseFuture", TIMEOUT),
];
/// A body that a connection of hyper reads: it is polled through others, which are known.
const BODY: &str = "hyper::body::incoming::Incoming";
/// The connections of HTTP/1 of hyper.
pub(super) const HTTP: &str = "hyper::proto::h1::dispatch::Dispatcher";
/// A future and the time that ends waiting for it.
pub(super) const TIMEOUT: &str = "timeout";
/// A future that is dropped when it has ended.
pub(super) const FUSE: &str = "futures_util::future::future::fuse::Fuse";
/// What is around most pointers to futures, and adds nothing.
pub(super) const PIN: &str = "core::pin::Pin";
/// The word for futures that code written by hand holds. Which of them it polls, and whether it waits for one or for all, is
/// not known.
pub(super) const BY_HAND: &str = "polled by hand";

/// Reasons of a set of futures that are named.
const MAX_REASONS: usize = 8;

/// The leaf that a type is, by its name without parameters.
pub(super) fn by_type(base: &str) -> Option<LeafKind> {
    if base == BODY {
        return Some(LeafKind::Body);
    }
    if let Some((_, kind)) = BY_TYPE.iter().find(|(name, _)| *name == base) {
        return Some(*kind);
    }
    let what = base.strip_prefix("tokio::io::util::")?.rsplit("::").next()?;
    match what {
        _ if what.starts_with("Read") && !what.ends_with("Half") => Some(LeafKind::Read),
        "Write" | "WriteAll" | "WriteBuf" | "WriteAllBuf" | "WriteVectored" | "Flush" | "Shutdown" => {
            Some(LeafKind::Write)
        }
        _ => None,
    }
}

/// The kind of collection of futures that a type is, by its name without parameters.
pub(super) fn set_by_type(base: &str) -> Option<SetKind> {
    if base == "tokio_stream::stream_map::StreamMap" {
        return Some(SetKind::StreamMap);
    }
    match base.strip_prefix("futures_util::")? {
        "stream::futures_unordered::FuturesUnordered" | "stream::futures_ordered::FuturesOrdered" => {
            Some(SetKind::Unordered)
        }
        "stream::select_all::SelectAll" => Some(SetKind::Streams),
        "future::join_all::JoinAll" | "future::try_join_all::TryJoinAll" => Some(SetKind::JoinAll),
        "future::select_all::SelectAll" | "future::select_ok::SelectOk" => Some(SetKind::SelectAll),
        _ => None,
    }
}

/// The leaf that a closure is which a library polls, by the closure's name.
pub(super) fn by_closure(name: &str) -> Option<LeafKind> {
    let is = |prefix: &str, part: &str| name.starts_with(prefix) && name.contains(part);
    match () {
        () if is("tokio::sync::mpsc::", "::recv") => Some(LeafKind::Mpsc),
        () if is("tokio::task::join_set::", "::join_next") => Some(LeafKind::JoinSet),
        () if is("tokio::time::interval::", "::tick") => Some(LeafKind::Tick),
        () if is("tokio::signal::", "::recv") => Some(LeafKind::Signal),
        () => None,
    }
}

/// Whether a closure polls its method's own object alone, by the closure's name.
pub(super) fn polls_itself(name: &str) -> bool {
    name.starts_with("tokio_stream::stream_map::") && name.contains("::next_many")
}

/// Whether a closure's variable has a future that `join!` of futures-util polls: `_fut0`.
pub(super) fn is_joined(name: &str) -> bool {
    let number = name.strip_prefix("_fut");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a type is the receiver of one of Tokio's channels, which can be polled itself.
pub(super) fn is_receiver(base: &str) -> bool {
    matches!(base, "tokio::sync::mpsc::bounded::Receiver" | "tokio::sync::mpsc::unbounded::UnboundedReceiver")
}

/// Whether a type can be waited for, though it is no future.
pub(super) fn is_resource(base: &str) -> bool {
    RESOURCES.contains(&base)
}

/// Whether a type is a closure that polls.
pub(super) fn is_poll_fn(base: &str) -> bool {
    const POLL_FNS: [&str; 3] = [
        "core::future::poll_fn::PollFn",
        "tokio::future::poll_fn::PollFn",
        "futures_util::future::poll_fn::PollFn",
    ];
    POLL_FNS.contains(&base)
}

/// Whether a type is a future of which nothing is left once it is done, as in `join!`.
pub(super) fn is_maybe_done(base: &str) -> bool {
    const MAYBE_DONE: [&str; 3] = [
        "tokio::future::maybe_done::MaybeDone",
        "futures_util::future::maybe_done::MaybeDone",
        "futures_util::future::try_maybe_done::TryMaybeDone",
    ];
    MAYBE_DONE.contains(&base)
}

/// Whether a type has any number of others, which are not followed.
pub(super) fn is_collection(base: &str) -> bool {
    const COLLECTIONS: [&str; 3] = ["alloc::vec::", "alloc::collections::", "std::collections::"];
    COLLECTIONS.iter().any(|path| base.starts_with(path))
}

/// The member with the future of a known wrapper.
pub(super) fn wrapped(base: &str) -> Option<&'static str> {
    WRAPPERS.iter().find(|(name, _)| *name == base).map(|(_, member)| *member)
}

/// The member with the future of a variant of an enum, if it is known.
pub(super) fn of_variant(base: &str, variant: &str) -> Option<&'static str> {
    let is_it = |(of, name, _): &&(&str, &str, &str)| *of == base && *name == variant;
    VARIANTS.iter().find(is_it).map(|(.., member)| *member)
}

/// The word for a struct whose members are polled together.
pub(super) fn together(base: &str) -> Option<&'static str> {
    let name = base.trim_end_matches(|digit: char| digit.is_ascii_digit());
    TOGETHER.iter().find(|(other, _)| *other == name).map(|(_, word)| *word)
}

/// What a leaf waits for, in the model's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) reason: &'static str,
    pub(super) class: WaitClass,
    /// What the task wants to do, with what.
    pub(super) wait: Option<(WaitOp, ObjectKind)>,
}

/// What a leaf waits for. `around` are the library's functions around it, innermost first.
pub(super) fn words<'n>(kind: LeafKind, around: impl Iterator<Item = &'n str>) -> Words {
    let around: Vec<&str> = around.collect();
    let within = |part: &str| around.iter().any(|name| name.starts_with(part));
    let calls = |part: &str| around.iter().any(|name| name.contains(part));
    let words = |reason, class, wait| Words { reason, class, wait };
    let channel = |op| Some((op, ObjectKind::Channel));
    let descriptor = |op| Some((op, ObjectKind::Descriptor));
    match kind {
        LeafKind::Tick => words("interval tick", WaitClass::Timer, Some((WaitOp::Wait, ObjectKind::Timer))),
        LeafKind::Sleep => words("sleep", WaitClass::Sleep, Some((WaitOp::Wait, ObjectKind::Timer))),
        LeafKind::Oneshot => words("oneshot receive", WaitClass::Receive, channel(WaitOp::Receive)),
        LeafKind::Acquire if within("tokio::sync::mutex") => {
            words("mutex lock", WaitClass::Lock, Some((WaitOp::Lock, ObjectKind::Mutex)))
        }
        LeafKind::Acquire if within("tokio::sync::rwlock") && calls("::read") => {
            words("rwlock read", WaitClass::Lock, Some((WaitOp::ReadLock, ObjectKind::RwMutex)))
        }
        LeafKind::Acquire if within("tokio::sync::rwlock") => {
            words("rwlock write", WaitClass::Lock, Some((WaitOp::Lock, ObjectKind::RwMutex)))
        }
        LeafKind::Acquire if within("tokio::sync::mpsc") => {
            words("mpsc send", WaitClass::Send, channel(WaitOp::Send))
        }
        LeafKind::Acquire => {
            words("semaphore acquire", WaitClass::Semaphore, Some((WaitOp::Lock, ObjectKind::Semaphore)))
        }
        LeafKind::Notified if within("tokio::sync::barrier") => {
            words("barrier", WaitClass::Cond, Some((WaitOp::Wait, ObjectKind::Cond)))
        }
        LeafKind::Notified if within("tokio::sync::watch") && calls("closed") => {
            words("watch closed", WaitClass::Cond, Some((WaitOp::Wait, ObjectKind::Cond)))
        }
        LeafKind::Notified if within("tokio::sync::watch") => {
            words("watch change", WaitClass::Receive, Some((WaitOp::Wait, ObjectKind::Cond)))
        }
        LeafKind::Notified if within("tokio::sync::mpsc") => {
            words("mpsc closed", WaitClass::Cond, Some((WaitOp::Wait, ObjectKind::Cond)))
        }
        LeafKind::Notified => words("notify", WaitClass::Cond, Some((WaitOp::Wait, ObjectKind::Cond))),
        LeafKind::Join => words("task join", WaitClass::Join, Some((WaitOp::Wait, ObjectKind::Task))),
        LeafKind::Broadcast => words("broadcast receive", WaitClass::Receive, channel(WaitOp::Receive)),
        LeafKind::Mpsc | LeafKind::Receiver => {
            words("mpsc receive", WaitClass::Receive, channel(WaitOp::Receive))
        }
        LeafKind::Receive => words("channel receive", WaitClass::Receive, None),
        LeafKind::Send => words("channel send", WaitClass::Send, None),
        LeafKind::Signal => words("signal", WaitClass::Other, None),
        LeafKind::JoinSet => words("join set", WaitClass::Join, Some((WaitOp::Wait, ObjectKind::Task))),
        LeafKind::Cancelled => words("cancellation", WaitClass::Cond, Some((WaitOp::Wait, ObjectKind::Cond))),
        LeafKind::Tracker => words("task tracker", WaitClass::Join, Some((WaitOp::Wait, ObjectKind::Cond))),
        LeafKind::Readiness if calls("::accept") => {
            words("accept", WaitClass::Accept, descriptor(WaitOp::Accept))
        }
        LeafKind::Readiness if within("tokio::net::") => {
            let writes = calls("::writable") || calls("::send") || calls("::write") || calls("::connect");
            let op = if writes { WaitOp::Write } else { WaitOp::Read };
            words("network I/O", WaitClass::Network, descriptor(op))
        }
        LeafKind::Readiness => words("I/O", WaitClass::Io, descriptor(WaitOp::Read)),
        LeafKind::Body => words("http body", WaitClass::Network, None),
        LeafKind::Connection => words("network I/O", WaitClass::Network, descriptor(WaitOp::Read)),
        LeafKind::Read => words("read", WaitClass::Io, descriptor(WaitOp::Read)),
        LeafKind::Write => words("write", WaitClass::Io, descriptor(WaitOp::Write)),
        LeafKind::Yield => words("yield", WaitClass::Other, None),
        // Never a class that never ends: a task can also be woken by what is around this future, and be aborted.
        LeafKind::Pending => words("pending", WaitClass::Other, None),
        LeafKind::Ready => words("ready", WaitClass::Other, None),
    }
}

/// What several futures wait for that are polled together. `is_set`: their number differs from task to task.
pub(super) fn joined(word: &str, is_set: bool, reasons: &[String]) -> (String, WaitClass) {
    let class = if matches!(word, "join" | BY_HAND) { WaitClass::Other } else { WaitClass::Select };
    if !is_set {
        return (format!("{word}: {}", reasons.join(", ")), class);
    }
    let mut distinct: Vec<&str> = reasons.iter().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() > MAX_REASONS {
        distinct.truncate(MAX_REASONS);
        distinct.push("and others");
    }
    (format!("{word}: {}", distinct.join(", ")), class)
}

/// Whether a function is one of the library that a leaf is part of.
pub(super) fn is_library(name: &str) -> bool {
    name.starts_with("tokio::")
}
