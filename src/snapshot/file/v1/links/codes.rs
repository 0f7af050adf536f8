//! Numbers of the enums in these tables.

use super::super::super::columns::{BadColumn, ColumnReader, ColumnWriter, byte};
use crate::snapshot::*;

codes!(descriptor_kind_code, descriptor_kind, DescriptorKind {
    Unknown = 0, Socket = 1, Pipe = 2, Fifo = 3, File = 4, Directory = 5, Terminal = 6, Device = 7, Timer = 8,
    Event = 9, Poll = 10, Process = 11, Other = 12,
});
codes!(protocol_code, protocol, Protocol {
    Other = 0, Tcp = 1, Udp = 2, UnixStream = 3, UnixDatagram = 4, UnixSequence = 5, Netlink = 6,
});
codes!(socket_state_code, socket_state, SocketState {
    Unknown = 0, Established = 1, SynSent = 2, SynReceived = 3, FinWait1 = 4, FinWait2 = 5, TimeWait = 6,
    Close = 7, CloseWait = 8, LastAck = 9, Listen = 10, Closing = 11,
});
codes!(timer_kind_code, timer_kind, TimerKind { Sleep = 0, Channel = 1 });
codes!(action_code, action, Action {
    Unknown = 0, Send = 1, Receive = 2, Close = 3, Cancel = 4, Done = 5, Signal = 6, End = 7,
    Resume = 8, Yield = 9,
});
codes!(certainty_code, certainty, Certainty { Sure = 0, Likely = 1, Perhaps = 2 });

/// A number below, or the time of a state that has one.
const TIMED: u64 = 8;

/// Writes a number that says what is known, and a time for [`TIMED`].
fn write_timed(codes: &mut ColumnWriter, times: &mut ColumnWriter, code: u64, time: Option<u64>) {
    codes.plain(time.map_or(code, |_| TIMED));
    if let Some(time) = time {
        times.delta(time);
    }
}

pub(super) fn write_deadline(codes: &mut ColumnWriter, times: &mut ColumnWriter, deadline: Deadline) {
    let (code, time) = match deadline {
        Deadline::Unknown => (0, None),
        Deadline::None => (1, None),
        Deadline::Expired => (2, None),
        Deadline::At(time) => (TIMED, Some(time)),
    };
    write_timed(codes, times, code, time);
}

pub(super) fn deadline(
    codes: &mut ColumnReader<'_>,
    times: &mut ColumnReader<'_>,
) -> Result<Deadline, BadColumn> {
    match codes.plain()? {
        0 => Ok(Deadline::Unknown),
        1 => Ok(Deadline::None),
        2 => Ok(Deadline::Expired),
        TIMED => times.delta().map(Deadline::At),
        _ => Err(BadColumn),
    }
}

pub(super) fn write_timer(codes: &mut ColumnWriter, times: &mut ColumnWriter, state: TimerState) {
    let (code, time) = match state {
        TimerState::Unknown => (0, None),
        TimerState::Stopped => (1, None),
        TimerState::Fake => (2, None),
        TimerState::At(time) => (TIMED, Some(time)),
    };
    write_timed(codes, times, code, time);
}

pub(super) fn timer(
    codes: &mut ColumnReader<'_>,
    times: &mut ColumnReader<'_>,
) -> Result<TimerState, BadColumn> {
    match codes.plain()? {
        0 => Ok(TimerState::Unknown),
        1 => Ok(TimerState::Stopped),
        2 => Ok(TimerState::Fake),
        TIMED => times.delta().map(TimerState::At),
        _ => Err(BadColumn),
    }
}

/// The kind of an endpoint, and its text.
pub(super) fn endpoint_text(endpoint: &Endpoint) -> (u64, String) {
    match endpoint {
        Endpoint::Unknown => (0, String::new()),
        Endpoint::None => (1, String::new()),
        Endpoint::Inet(address) => (2, address.to_string()),
        Endpoint::Unix(path) => (3, path.clone()),
    }
}

pub(super) fn endpoint(code: u64, text: String) -> Result<Endpoint, BadColumn> {
    match (code, text.is_empty()) {
        (0, true) => Ok(Endpoint::Unknown),
        (1, true) => Ok(Endpoint::None),
        (2, _) => text.parse().map(Endpoint::Inet).map_err(|_| BadColumn),
        (3, _) => Ok(Endpoint::Unix(text)),
        _ => Err(BadColumn),
    }
}

/// The text of a column of texts.
pub(super) fn text<'c>(
    lengths: &mut ColumnReader<'_>,
    text: &mut ColumnReader<'c>,
) -> Result<&'c str, BadColumn> {
    std::str::from_utf8(text.raw(lengths.plain()?)?).map_err(|_| BadColumn)
}

pub(super) fn code<T>(
    column: &mut ColumnReader<'_>,
    from: impl Fn(u8) -> Result<T, BadColumn>,
) -> Result<T, BadColumn> {
    from(byte(column.plain()?)?)
}
