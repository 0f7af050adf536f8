//! Words about ends.

use super::*;
use crate::analysis::waits::WaitTable;
use crate::analysis::why::tests::{Made, file};
use crate::report::text::wait_sentences;
use crate::snapshot::{Age, Context, FileId, Timer, TimerKind, WaitClass};

const NOW: u64 = 1_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

#[test]
fn moments_are_before_and_behind() {
    for (at, text) in [
        (NOW + 3 * SECOND, "in 3 s"),
        (NOW, "in 0 s"),
        (NOW - 4_000_000, "now"),
        (NOW - 2 * SECOND, "2 s ago"),
        (u64::MAX, "in 213,503 d"),
    ] {
        assert_eq!(moment(at, Some(NOW)), text);
    }
    assert_eq!(moment(NOW, None), "at a time that is not known");
}

#[test]
fn descriptors_have_the_names_that_people_know() {
    let made = |kind, name: Option<&str>, inode: Option<u64>| {
        let mut descriptor = Descriptor::new(7);
        (descriptor.kind, descriptor.name) = (kind, name.map(str::to_owned));
        descriptor.file = inode.map(file);
        super::name(&descriptor)
    };
    assert_eq!(made(DescriptorKind::Unknown, None, None), "descriptor 7");
    assert_eq!(made(DescriptorKind::Pipe, None, Some(88121)), "pipe:[88121]");
    assert_eq!(made(DescriptorKind::Socket, None, Some(9)), "socket:[9]");
    assert_eq!(made(DescriptorKind::Terminal, Some("/dev/pts/3"), Some(6)), "/dev/pts/3");
    assert_eq!(made(DescriptorKind::Poll, None, None), "event loop 7");
    let mut unix = Descriptor::new(7);
    unix.socket = Some(Socket {
        protocol: Protocol::UnixStream,
        local: Endpoint::Unix("/run/x.sock".to_owned()),
        ..Socket::default()
    });
    assert_eq!(super::name(&unix), "unix /run/x.sock");
}

#[test]
fn silence_is_said_as_far_as_it_is_known() {
    let facts = |received, idle| {
        let mut descriptor = Descriptor::new(1);
        descriptor.read_deadline = Deadline::At(NOW + 3 * SECOND);
        descriptor.socket =
            Some(Socket { received_bytes: received, idle_receive_ns: idle, ..Socket::default() });
        super::facts(&descriptor, WaitOp::Read, Some(NOW)).join(", ")
    };
    let deadline = "read deadline in 3 s";
    assert_eq!(facts(Some(5), Some(41 * SECOND)), format!("{deadline}, nothing received for 41 s"));
    let never = "nothing received since it was connected";
    assert_eq!(facts(Some(0), Some(41 * SECOND)), format!("{deadline}, {never} 41 s ago"));
    assert_eq!(facts(Some(0), None), format!("{deadline}, {never}"));
    assert_eq!(facts(None, None), deadline);
    let mut blocked = Descriptor::new(1);
    blocked.write_deadline = Deadline::None;
    blocked.socket = Some(Socket { send_queue: Some(4096), peer_full: true, ..Socket::default() });
    let text = super::facts(&blocked, WaitOp::Write, Some(NOW)).join(", ");
    assert_eq!(text, "no write deadline, 4.0 KiB not acknowledged, the other end does not read");
}

/// What is said of all tasks of a process.
fn said(made: Made) -> Vec<String> {
    let snapshot = made.snapshot();
    let waits = WaitTable::new(&snapshot).summarize(snapshot.tasks.iter());
    wait_sentences(&snapshot, &waits, false)
}

#[test]
fn one_descriptor_is_named_and_many_are_counted() {
    let readers = |n: u32| {
        let mut made = Made::new(1, "a");
        for fd in 1..=n {
            let row = made.task("main.read", WaitClass::Network);
            made.reads(row, WaitOp::Read, fd, DescriptorKind::Socket, fd.into());
        }
        made
    };
    let one = "reads from tcp 10.0.0.1:1 -> 10.0.0.7:8080, no read deadline, nothing received for 41 s";
    assert_eq!(said(readers(1)), [one]);
    let mut many = readers(128);
    many.builder.links.descriptors[5].read_deadline = Deadline::At(NOW + 3 * SECOND);
    many.builder.links.descriptors[6].socket.as_mut().unwrap().idle_receive_ns = Some(2 * SECOND);
    assert_eq!(
        said(many),
        ["reads from 128 sockets, 1 with a read deadline, the next in 3 s, nothing received for 2 s to 41 s"]
    );
    // Nothing is known of them.
    let mut unknown = readers(2);
    unknown.builder.links.descriptors.clear();
    assert_eq!(said(unknown), ["reads from 2 descriptors"]);
    let mut unknown = readers(1);
    unknown.builder.links.descriptors.clear();
    assert_eq!(said(unknown), ["reads from descriptor 1"]);
}

#[test]
fn sleeps_timers_and_contexts_say_when() {
    let timers = |kind, op, states: &[TimerState]| {
        let mut made = Made::new(1, "a");
        for (nth, &state) in states.iter().enumerate() {
            let row = made.task("main.sleep", WaitClass::Sleep);
            let object = made.object(kind, 0x10 * (nth as u64 + 1));
            made.waits(row, op, object);
            let kind = if kind == ObjectKind::Timer { TimerKind::Sleep } else { TimerKind::Channel };
            made.builder.links.timers.push(Timer { object, kind, state, period_ns: 0 });
        }
        said(made)
    };
    let at = |seconds: u64| TimerState::At(NOW + seconds * SECOND);
    let sleep = |states: &[TimerState]| timers(ObjectKind::Timer, WaitOp::Wait, states);
    assert_eq!(sleep(&[at(3)]), ["wakes in 3 s"]);
    assert_eq!(sleep(&[at(3), at(70), TimerState::Unknown]), ["wakes in 3 s to 1 min"]);
    assert_eq!(sleep(&[TimerState::Unknown]), ["wakes at a time that is not known"]);
    let channel = |states: &[TimerState]| timers(ObjectKind::Channel, WaitOp::Receive, states);
    let from = "waits to receive from channel 0x10, unbuffered, no sender waiting";
    assert_eq!(channel(&[at(3)]), [format!("{from}, fires in 3 s")]);
    assert_eq!(channel(&[TimerState::Stopped]), [format!("{from}, never fires: it is stopped")]);
    let many = "waits to receive from 2 channels, unbuffered, no sender waiting";
    assert_eq!(channel(&[at(3), at(9)]), [format!("{many}, 2 of timers that fire in 3 s to 9 s")]);
    let mut made = Made::new(1, "a");
    let row = made.task("main.wait", WaitClass::Signal);
    let object = made.object(ObjectKind::Channel, 0x10);
    made.waits(row, WaitOp::Receive, object);
    let type_name = Some(made.builder.code.string("context.timerCtx"));
    made.builder.links.contexts.push(Context {
        object: Some(object),
        address: 0xc0,
        type_name,
        deadline: at(5),
        cancelled: Some(false),
        parent: None,
        is_root: false,
    });
    assert_eq!(said(made), [format!("{from}, of context.timerCtx 0xc0, deadline in 5 s")]);
}

#[test]
fn system_calls_name_what_they_are_for() {
    let mut made = Made::new(1, "a");
    let mut descriptor = Descriptor::new(4);
    (descriptor.kind, descriptor.file) = (DescriptorKind::Pipe, Some(FileId { device: 1, inode: 7 }));
    let mut child = Descriptor::new(5);
    (child.kind, child.process) = (DescriptorKind::Process, Some(88));
    made.builder.links.descriptors.extend([descriptor, child]);
    let function = Some(made.builder.code.string("wait_for_partner"));
    let names = ["read", "wait4", "waitid", "openat"].map(|name| made.builder.code.string(name));
    let snapshot = made.snapshot();
    for (nth, number, arguments, text) in [
        (0, 0, [4, 0, 0], "read of pipe:[7]"),
        (0, 0, [9, 0, 0], "read (in wait_for_partner)"),
        (1, 61, [88, 0, 0], "wait4 for pid 88"),
        (1, 61, [u64::MAX, 0, 0], "wait4 for any child"),
        (2, 247, [1, 99, 0], "waitid for pid 99"),
        (2, 247, [3, 5, 0], "waitid for pid 88"),
        (3, 257, [0, 0, 0], "openat of a named pipe that no process has open for writing"),
        (3, 257, [0, 0, 0o100_001], "openat of a named pipe that no process has open for reading"),
        (3, 257, [0, 0, 2], "openat (in wait_for_partner)"),
    ] {
        let [a, b, c] = arguments;
        let one = SystemCall {
            task: 0,
            name: names[nth],
            number,
            arguments: [a, b, c, 0, 0, 0],
            kernel_function: function,
            age: Age::Unknown,
        };
        assert_eq!(call(&snapshot, &one), text);
    }
}
