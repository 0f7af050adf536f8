//! Writes these tables.

use super::super::super::columns::ColumnWriter;
use super::super::rows::Rows;
use super::super::tables;
use super::super::{stack_status_code, wait_class_code};
use super::codes::*;
use super::{context_flag, descriptor_flag, handles_flag, searched_flag, socket_flag};
use crate::snapshot::*;

/// The tables that have rows, with their names, in file order.
pub(in super::super) fn write(links: &Links) -> Vec<(&'static str, Rows)> {
    let tables = [
        (tables::DESCRIPTORS.name, descriptors(&links.descriptors)),
        (tables::SOCKETS.name, sockets(&links.descriptors)),
        (tables::TIMERS.name, timers(&links.timers)),
        (tables::CONTEXTS.name, contexts(&links.contexts)),
        (tables::CALLS.name, calls(&links.calls)),
        (tables::ACTORS.name, actors(&links.actors)),
        (tables::SEARCHED.name, searched(&links.searched)),
        (tables::UNKNOWN.name, unknown(&links.unknown)),
        (tables::ANCESTORS.name, ancestors(&links.ancestors)),
        (tables::BRANCHES.name, branches(&links.branches)),
        (tables::HANDLES.name, handles(&links.handles)),
    ];
    tables.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
}

fn flag(is: bool, flag: u8) -> u8 {
    if is { flag } else { 0 }
}

/// Adds a text to the two columns of its length and its bytes.
fn text(lengths: &mut ColumnWriter, texts: &mut ColumnWriter, text: &str) {
    lengths.plain(text.len() as u64);
    texts.raw(text.as_bytes());
}

fn descriptors(descriptors: &[Descriptor]) -> Rows {
    let mut columns = [(); 13].map(|()| ColumnWriter::default());
    let [
        numbers,
        kinds,
        flags,
        name_lengths,
        names,
        devices,
        inodes,
        reads,
        read_times,
        writes,
        write_times,
        expiries,
        processes,
    ] = &mut columns;
    for descriptor in descriptors {
        numbers.delta(descriptor.fd.into());
        kinds.plain(descriptor_kind_code(descriptor.kind).into());
        let flags_of = flag(descriptor.access.read, descriptor_flag::READ)
            | flag(descriptor.access.write, descriptor_flag::WRITE)
            | flag(descriptor.name.is_some(), descriptor_flag::NAME)
            | flag(descriptor.file.is_some(), descriptor_flag::FILE)
            | flag(descriptor.expires_ns.is_some(), descriptor_flag::EXPIRES);
        flags.plain(flags_of.into());
        if let Some(name) = &descriptor.name {
            text(name_lengths, names, name);
        }
        if let Some(file) = descriptor.file {
            devices.delta(file.device);
            inodes.delta(file.inode);
        }
        write_deadline(reads, read_times, descriptor.read_deadline);
        write_deadline(writes, write_times, descriptor.write_deadline);
        if let Some(expires) = descriptor.expires_ns {
            expiries.delta(expires);
        }
        processes.optional(descriptor.process);
    }
    Rows::new(tables::DESCRIPTORS, descriptors.len(), columns)
}

fn sockets(descriptors: &[Descriptor]) -> Rows {
    let mut columns = [(); 18].map(|()| ColumnWriter::default());
    let [
        rows,
        flags,
        protocols,
        states,
        local_kinds,
        local_lengths,
        locals,
        peer_kinds,
        peer_lengths,
        peers,
        receive_queues,
        send_queues,
        idle_receives,
        idle_sends,
        received,
        sent,
        peer_inodes,
        namespaces,
    ] = &mut columns;
    let mut count = 0;
    for (row, socket) in (0..).zip(descriptors).filter_map(|(row, d)| Some((row, d.socket.as_ref()?))) {
        count += 1;
        rows.delta(row);
        let mut known = flag(socket.peer_full, socket_flag::PEER_FULL);
        protocols.plain(protocol_code(socket.protocol).into());
        states.plain(socket_state_code(socket.state).into());
        let end = |end: &Endpoint,
                   kinds: &mut ColumnWriter,
                   lengths: &mut ColumnWriter,
                   texts: &mut ColumnWriter| {
            let (kind, end) = endpoint_text(end);
            kinds.plain(kind);
            text(lengths, texts, &end);
        };
        end(&socket.local, local_kinds, local_lengths, locals);
        end(&socket.peer, peer_kinds, peer_lengths, peers);
        receive_queues.optional(socket.receive_queue);
        send_queues.optional(socket.send_queue);
        let mut figure = |value: Option<u64>, column: &mut ColumnWriter, bit| {
            if let Some(value) = value {
                column.plain(value);
                known |= bit;
            }
        };
        figure(socket.idle_receive_ns, idle_receives, socket_flag::IDLE_RECEIVE);
        figure(socket.idle_send_ns, idle_sends, socket_flag::IDLE_SEND);
        figure(socket.received_bytes, received, socket_flag::RECEIVED);
        figure(socket.sent_bytes, sent, socket_flag::SENT);
        figure(socket.peer_inode, peer_inodes, socket_flag::PEER_INODE);
        figure(socket.namespace, namespaces, socket_flag::NAMESPACE);
        flags.plain(known.into());
    }
    Rows::new(tables::SOCKETS, count, columns)
}

fn timers(timers: &[Timer]) -> Rows {
    let mut columns = [(); 5].map(|()| ColumnWriter::default());
    let [objects, kinds, states, times, periods] = &mut columns;
    for timer in timers {
        objects.delta(timer.object.0.into());
        kinds.plain(timer_kind_code(timer.kind).into());
        write_timer(states, times, timer.state);
        periods.plain(timer.period_ns);
    }
    Rows::new(tables::TIMERS, timers.len(), columns)
}

fn contexts(contexts: &[Context]) -> Rows {
    let mut columns = [(); 7].map(|()| ColumnWriter::default());
    let [flags, objects, addresses, types, deadlines, times, parents] = &mut columns;
    for context in contexts {
        let known = flag(context.is_root, context_flag::ROOT)
            | flag(context.cancelled == Some(true), context_flag::CANCELLED)
            | flag(context.cancelled == Some(false), context_flag::NOT_CANCELLED);
        flags.plain(known.into());
        objects.optional(context.object.map(|id| id.0));
        addresses.delta(context.address);
        types.optional(context.type_name.map(|id| id.0));
        write_timer(deadlines, times, context.deadline);
        parents.optional(context.parent);
    }
    Rows::new(tables::CONTEXTS, contexts.len(), columns)
}

fn calls(calls: &[SystemCall]) -> Rows {
    let mut columns = [(); 7].map(|()| ColumnWriter::default());
    let [tasks, names, numbers, arguments, functions, kinds, ages] = &mut columns;
    for call in calls {
        tasks.delta(call.task.into());
        names.plain(call.name.0.into());
        numbers.plain(call.number.into());
        call.arguments.iter().for_each(|argument| arguments.plain(*argument));
        functions.optional(call.kernel_function.map(|id| id.0));
        let (kind, age) = match call.age {
            Age::Unknown => (0, None),
            Age::AtLeast(age) => (1, Some(age)),
            Age::Exactly(age) => (2, Some(age)),
        };
        kinds.plain(kind);
        if let Some(age) = age {
            ages.plain(age);
        }
    }
    Rows::new(tables::CALLS, calls.len(), columns)
}

fn actors(actors: &[Actor]) -> Rows {
    let mut columns = [(); 7].map(|()| ColumnWriter::default());
    let [objects, tasks, times, actions, certainties, locations, hops] = &mut columns;
    for actor in actors {
        objects.delta(actor.object.0.into());
        match actor.by {
            By::Task(task) => tasks.optional(Some(task)),
            By::Timer(time) => {
                tasks.optional(None);
                times.delta(time);
            }
        }
        actions.plain(action_code(actor.action).into());
        certainties.plain(certainty_code(actor.certainty).into());
        locations.optional(actor.location.map(|id| id.0));
        hops.plain(actor.hops.into());
    }
    Rows::new(tables::ACTORS, actors.len(), columns)
}

fn ancestors(ancestors: &[Ancestor]) -> Rows {
    let mut columns = [(); 5].map(|()| ColumnWriter::default());
    let [tasks, generations, ids, stacks, creators] = &mut columns;
    for ancestor in ancestors {
        tasks.delta(ancestor.task.into());
        generations.plain(ancestor.generation.into());
        ids.plain(ancestor.id.unwrap_or(0));
        stacks.optional(ancestor.stack.map(|id| id.0));
        creators.optional(ancestor.creator.map(|id| id.0));
    }
    Rows::new(tables::ANCESTORS, ancestors.len(), columns)
}

fn branches(branches: &[Branch]) -> Rows {
    let mut columns = [(); 11].map(|()| ColumnWriter::default());
    let [tasks, numbers, depths, nths, ofs, stacks, statuses, reasons, classes, first_waits, wait_counts] =
        &mut columns;
    for branch in branches {
        tasks.delta(branch.task.into());
        numbers.plain(branch.number.into());
        depths.plain(branch.depth.into());
        nths.plain(branch.nth);
        ofs.plain(branch.of);
        stacks.optional(branch.stack.map(|id| id.0));
        statuses.plain(stack_status_code(branch.stack_status).into());
        reasons.optional(branch.reason.map(|id| id.0));
        classes.plain(wait_class_code(branch.wait_class).into());
        first_waits.delta(branch.waits.start.into());
        wait_counts.plain(branch.waits.len.into());
    }
    Rows::new(tables::BRANCHES, branches.len(), columns)
}

fn handles(handles: &[Handles]) -> Rows {
    let mut columns = [(); 4].map(|()| ColumnWriter::default());
    let [flags, objects, senders, queued] = &mut columns;
    for channel in handles {
        flags.plain(flag(channel.queued.is_some(), handles_flag::QUEUED).into());
        objects.delta(channel.object.0.into());
        senders.plain(channel.senders);
        queued.plain(channel.queued.unwrap_or(0));
    }
    Rows::new(tables::HANDLES, handles.len(), columns)
}

fn searched(searched: &[Searched]) -> Rows {
    let [mut objects, mut flags] = [(); 2].map(|()| ColumnWriter::default());
    for one in searched {
        objects.delta(one.object.0.into());
        let known = flag(one.all_tasks, searched_flag::ALL_TASKS)
            | flag(one.other_roots, searched_flag::OTHER_ROOTS)
            | flag(one.is_global, searched_flag::GLOBAL);
        flags.plain(known.into());
    }
    Rows::new(tables::SEARCHED, searched.len(), [objects, flags])
}

fn unknown(sentences: &[String]) -> Rows {
    let [mut lengths, mut texts] = [(); 2].map(|()| ColumnWriter::default());
    sentences.iter().for_each(|sentence| text(&mut lengths, &mut texts, sentence));
    Rows::new(tables::UNKNOWN, sentences.len(), [lengths, texts])
}
