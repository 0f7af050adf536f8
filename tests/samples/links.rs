//! What leads from waiting tasks to their causes, from numbers.

use loiter::snapshot::*;

use super::{Maker, with};

/// Adds a row to each table, with what the numbers say.
pub fn add(m: &mut Maker, (a, b, c): (u64, u64, u8), task: u32, object: ObjectId, text: &str) {
    let name = m.builder.code.string(text);
    let location = m
        .builder
        .code
        .locations()
        .len()
        .checked_sub(1)
        .map(|last| LocationId((a % (last as u64 + 1)) as u32));
    let links = &mut m.builder.links;
    let some = |bit: u8, value: u64| (c & bit > 0).then_some(value);
    let time =
        [TimerState::Unknown, TimerState::Stopped, TimerState::At(a), TimerState::Fake][c as usize % 4];
    let deadline =
        |n: u64| [Deadline::Unknown, Deadline::None, Deadline::At(n), Deadline::Expired][(n % 4) as usize];
    let end = |n: u64| match n % 5 {
        0 => Endpoint::Unknown,
        1 => Endpoint::None,
        2 => Endpoint::Inet((std::net::Ipv4Addr::from(n as u32), n as u16).into()),
        3 => Endpoint::Inet((std::net::Ipv6Addr::from(u128::from(n) << 40), n as u16).into()),
        _ => Endpoint::Unix(text.to_owned()),
    };
    let protocols = [
        Protocol::Other,
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::UnixStream,
        Protocol::UnixDatagram,
        Protocol::UnixSequence,
        Protocol::Netlink,
    ];
    let states = [
        SocketState::Unknown,
        SocketState::Established,
        SocketState::SynSent,
        SocketState::SynReceived,
        SocketState::FinWait1,
        SocketState::FinWait2,
        SocketState::TimeWait,
        SocketState::Close,
        SocketState::CloseWait,
        SocketState::LastAck,
        SocketState::Listen,
        SocketState::Closing,
    ];
    let socket = with!(Socket::default();
        protocol: protocols[a as usize % protocols.len()],
        local: end(a),
        peer: end(b),
        state: states[b as usize % states.len()],
        receive_queue: some(1, a).map(|n| n as u32),
        send_queue: some(2, b).map(|n| n as u32),
        idle_receive_ns: some(4, a),
        idle_send_ns: some(8, b),
        received_bytes: some(16, a),
        sent_bytes: some(32, b),
        peer_full: c & 64 > 0,
        peer_inode: some(128, a),
        namespace: some(3, b),
    );
    links.descriptors.push(with!(Descriptor::new(b as u32);
        kind: DescriptorKind::NAMES[a as usize % DescriptorKind::NAMES.len()].0,
        name: (c & 1 > 0).then(|| text.to_owned()),
        file: (c & 2 > 0).then_some(FileId { device: a, inode: b }),
        access: Access { read: c & 4 > 0, write: c & 8 > 0 },
        socket: (c & 16 > 0).then_some(socket),
        read_deadline: deadline(a),
        write_deadline: deadline(b),
        expires_ns: some(32, a),
        process: some(64, b).map(|n| n as u32),
    ));
    let kind = if c & 1 > 0 { TimerKind::Sleep } else { TimerKind::Channel };
    links.timers.push(Timer { object, kind, state: time, period_ns: b });
    links.contexts.push(Context {
        object: (c & 1 > 0).then_some(object),
        address: a,
        type_name: (c & 2 > 0).then_some(name),
        deadline: time,
        cancelled: [None, Some(true), Some(false)][c as usize % 3],
        parent: (c & 4 > 0).then(|| (b % (links.contexts.len() as u64 + 1)) as u32),
        is_root: c & 8 > 0,
    });
    links.ancestors.push(Ancestor {
        task,
        generation: c.into(),
        id: (c & 1 > 0).then_some(a.max(1)),
        stack: None,
        creator: None,
    });
    links.branches.push(Branch {
        task,
        number: a as u32,
        depth: c.into(),
        nth: a,
        of: b,
        stack: None,
        stack_status: if c & 1 > 0 { StackStatus::Gaps } else { StackStatus::Complete },
        reason: (c & 2 > 0).then_some(name),
        wait_class: if c & 4 > 0 { WaitClass::Join } else { WaitClass::Nothing },
        waits: Span::default(),
    });
    links.calls.push(SystemCall {
        task,
        name,
        number: a as u32,
        arguments: [a, b, 0, u64::MAX, a ^ b, u64::from(c)],
        kernel_function: (c & 16 > 0).then_some(name),
        age: [Age::Unknown, Age::AtLeast(a), Age::Exactly(b)][c as usize % 3],
    });
    let actions = [
        Action::Send,
        Action::Receive,
        Action::Close,
        Action::Cancel,
        Action::Done,
        Action::Signal,
        Action::End,
        Action::Unknown,
    ];
    links.actors.push(Actor {
        object,
        by: if c & 1 > 0 { By::Task(task) } else { By::Timer(b) },
        action: actions[a as usize % actions.len()],
        certainty: [Certainty::Sure, Certainty::Likely, Certainty::Perhaps][b as usize % 3],
        location: location.filter(|_| c & 2 > 0),
        hops: c,
    });
    links.handles.push(Handles { object, senders: a, queued: (c & 1 > 0).then_some(b) });
    links.searched.push(Searched {
        object,
        all_tasks: c & 1 > 0,
        other_roots: c & 2 > 0,
        is_global: c & 4 > 0,
    });
    links.unknown.push(text.to_owned());
}
