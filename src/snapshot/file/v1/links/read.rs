//! Reads these tables.

use super::super::super::FileError;
use super::super::super::budget::{Budget, Refused};
use super::super::super::columns::{BadColumn, ColumnReader, byte};
use super::super::table_reader::{ReadRows, TableReader};
use super::super::tables::{self, Table};
use super::super::{stack_status, wait_class};
use super::codes::*;
use super::{context_flag, descriptor_flag, handles_flag, searched_flag, socket_flag};
use crate::snapshot::*;

/// Reads the tables that are there.
pub(in super::super) fn read(tables: &mut TableReader<'_>) -> Result<Links, FileError> {
    let mut descriptors = optional(tables, &tables::DESCRIPTORS, read_descriptors)?;
    for (row, socket) in optional(tables, &tables::SOCKETS, read_sockets)? {
        let of = usize::try_from(row).ok().and_then(|row| descriptors.get_mut(row));
        of.ok_or_else(|| FileError::damaged("its table of sockets makes no sense"))?.socket = Some(socket);
    }
    Ok(Links {
        descriptors,
        timers: optional(tables, &tables::TIMERS, read_timers)?,
        contexts: optional(tables, &tables::CONTEXTS, read_contexts)?,
        calls: optional(tables, &tables::CALLS, read_calls)?,
        actors: optional(tables, &tables::ACTORS, read_actors)?,
        searched: optional(tables, &tables::SEARCHED, read_searched)?,
        unknown: optional(tables, &tables::UNKNOWN, read_unknown)?,
        ancestors: optional(tables, &tables::ANCESTORS, read_ancestors)?,
        branches: optional(tables, &tables::BRANCHES, read_branches)?,
        handles: optional(tables, &tables::HANDLES, read_handles)?,
    })
}

fn optional<T, const N: usize>(
    tables: &mut TableReader<'_>,
    table: &Table<N>,
    rows_of: ReadRows<T, N>,
) -> Result<Vec<T>, FileError> {
    if tables.comes(table.name) { tables.next(table, rows_of) } else { Ok(Vec::new()) }
}

/// The value of a column of values that are not all known.
fn known(
    flags: u8,
    bit: u8,
    value: impl FnOnce() -> Result<u64, BadColumn>,
) -> Result<Option<u64>, BadColumn> {
    (flags & bit != 0).then(value).transpose()
}

fn read_descriptors(
    mut list: Vec<Descriptor>,
    rows: usize,
    columns: [ColumnReader<'_>; 13],
    budget: &mut Budget,
) -> Result<Vec<Descriptor>, Refused> {
    let [
        mut numbers,
        mut kinds,
        mut flags,
        mut name_lengths,
        mut names,
        mut devices,
        mut inodes,
        mut reads,
        mut read_times,
        mut writes,
        mut write_times,
        mut expiries,
        mut processes,
    ] = columns;
    for _ in 0..rows {
        let mut descriptor = Descriptor::new(numbers.delta_u32()?);
        descriptor.kind = code(&mut kinds, descriptor_kind)?;
        let flags = byte(flags.plain()?)?;
        let is = |bit| flags & bit != 0;
        descriptor.access = Access { read: is(descriptor_flag::READ), write: is(descriptor_flag::WRITE) };
        if is(descriptor_flag::NAME) {
            descriptor.name = Some(budget.text(text(&mut name_lengths, &mut names)?)?);
        }
        if is(descriptor_flag::FILE) {
            descriptor.file = Some(FileId { device: devices.delta()?, inode: inodes.delta()? });
        }
        descriptor.read_deadline = deadline(&mut reads, &mut read_times)?;
        descriptor.write_deadline = deadline(&mut writes, &mut write_times)?;
        descriptor.expires_ns = known(flags, descriptor_flag::EXPIRES, || expiries.delta())?;
        descriptor.process = processes.optional()?;
        list.push(descriptor);
    }
    Ok(list)
}

fn read_sockets(
    mut list: Vec<(u64, Socket)>,
    rows: usize,
    columns: [ColumnReader<'_>; 18],
    budget: &mut Budget,
) -> Result<Vec<(u64, Socket)>, Refused> {
    let [
        mut numbers,
        mut flags,
        mut protocols,
        mut states,
        mut local_kinds,
        mut local_lengths,
        mut locals,
        mut peer_kinds,
        mut peer_lengths,
        mut peers,
        mut receive_queues,
        mut send_queues,
        mut idle_receives,
        mut idle_sends,
        mut received,
        mut sent,
        mut peer_inodes,
        mut namespaces,
    ] = columns;
    for _ in 0..rows {
        let flags = byte(flags.plain()?)?;
        let local = budget.text(text(&mut local_lengths, &mut locals)?)?;
        let peer = budget.text(text(&mut peer_lengths, &mut peers)?)?;
        let socket = Socket {
            protocol: code(&mut protocols, protocol)?,
            state: code(&mut states, socket_state)?,
            local: endpoint(local_kinds.plain()?, local)?,
            peer: endpoint(peer_kinds.plain()?, peer)?,
            receive_queue: receive_queues.optional()?,
            send_queue: send_queues.optional()?,
            idle_receive_ns: known(flags, socket_flag::IDLE_RECEIVE, || idle_receives.plain())?,
            idle_send_ns: known(flags, socket_flag::IDLE_SEND, || idle_sends.plain())?,
            received_bytes: known(flags, socket_flag::RECEIVED, || received.plain())?,
            sent_bytes: known(flags, socket_flag::SENT, || sent.plain())?,
            peer_full: flags & socket_flag::PEER_FULL != 0,
            peer_inode: known(flags, socket_flag::PEER_INODE, || peer_inodes.plain())?,
            namespace: known(flags, socket_flag::NAMESPACE, || namespaces.plain())?,
        };
        list.push((numbers.delta()?, socket));
    }
    Ok(list)
}

fn read_timers(
    mut list: Vec<Timer>,
    rows: usize,
    columns: [ColumnReader<'_>; 5],
    _: &mut Budget,
) -> Result<Vec<Timer>, Refused> {
    let [mut objects, mut kinds, mut states, mut times, mut periods] = columns;
    for _ in 0..rows {
        list.push(Timer {
            object: ObjectId(objects.delta_u32()?),
            kind: code(&mut kinds, timer_kind)?,
            state: timer(&mut states, &mut times)?,
            period_ns: periods.plain()?,
        });
    }
    Ok(list)
}

fn read_contexts(
    mut list: Vec<Context>,
    rows: usize,
    columns: [ColumnReader<'_>; 7],
    _: &mut Budget,
) -> Result<Vec<Context>, Refused> {
    let [mut flags, mut objects, mut addresses, mut types, mut deadlines, mut times, mut parents] = columns;
    for _ in 0..rows {
        let flags = byte(flags.plain()?)?;
        let cancelled = match (flags & context_flag::CANCELLED != 0, flags & context_flag::NOT_CANCELLED != 0)
        {
            (false, false) => None,
            (yes, no) if yes != no => Some(yes),
            _ => return Err(Refused::Senseless),
        };
        list.push(Context {
            object: objects.optional()?.map(ObjectId),
            address: addresses.delta()?,
            type_name: types.optional()?.map(StrId),
            deadline: timer(&mut deadlines, &mut times)?,
            cancelled,
            parent: parents.optional()?,
            is_root: flags & context_flag::ROOT != 0,
        });
    }
    Ok(list)
}

fn read_calls(
    mut list: Vec<SystemCall>,
    rows: usize,
    columns: [ColumnReader<'_>; 7],
    _: &mut Budget,
) -> Result<Vec<SystemCall>, Refused> {
    let [mut tasks, mut names, mut numbers, mut arguments, mut functions, mut kinds, mut ages] = columns;
    for _ in 0..rows {
        let mut six = [0; 6];
        for argument in &mut six {
            *argument = arguments.plain()?;
        }
        list.push(SystemCall {
            task: tasks.delta_u32()?,
            name: StrId(names.plain_u32()?),
            number: numbers.plain_u32()?,
            arguments: six,
            kernel_function: functions.optional()?.map(StrId),
            age: match kinds.plain()? {
                0 => Age::Unknown,
                1 => Age::AtLeast(ages.plain()?),
                2 => Age::Exactly(ages.plain()?),
                _ => return Err(Refused::Senseless),
            },
        });
    }
    Ok(list)
}

fn read_ancestors(
    mut list: Vec<Ancestor>,
    rows: usize,
    columns: [ColumnReader<'_>; 5],
    _: &mut Budget,
) -> Result<Vec<Ancestor>, Refused> {
    let [mut tasks, mut generations, mut ids, mut stacks, mut creators] = columns;
    for _ in 0..rows {
        list.push(Ancestor {
            task: tasks.delta_u32()?,
            generation: generations.plain_u32()?,
            // Ids begin at 1.
            id: Some(ids.plain()?).filter(|&id| id != 0),
            stack: stacks.optional()?.map(StackId),
            creator: creators.optional()?.map(LocationId),
        });
    }
    Ok(list)
}

fn read_branches(
    mut list: Vec<Branch>,
    rows: usize,
    columns: [ColumnReader<'_>; 11],
    _: &mut Budget,
) -> Result<Vec<Branch>, Refused> {
    let [
        mut tasks,
        mut numbers,
        mut depths,
        mut nths,
        mut ofs,
        mut stacks,
        mut statuses,
        mut reasons,
        mut classes,
        mut first_waits,
        mut wait_counts,
    ] = columns;
    for _ in 0..rows {
        list.push(Branch {
            task: tasks.delta_u32()?,
            number: numbers.plain_u32()?,
            depth: depths.plain_u32()?,
            nth: nths.plain()?,
            of: ofs.plain()?,
            stack: stacks.optional()?.map(StackId),
            stack_status: code(&mut statuses, stack_status)?,
            reason: reasons.optional()?.map(StrId),
            wait_class: code(&mut classes, wait_class)?,
            waits: Span { start: first_waits.delta_u32()?, len: wait_counts.plain_u32()? },
        });
    }
    Ok(list)
}

fn read_handles(
    mut list: Vec<Handles>,
    rows: usize,
    columns: [ColumnReader<'_>; 4],
    _: &mut Budget,
) -> Result<Vec<Handles>, Refused> {
    let [mut flags, mut objects, mut senders, mut queued] = columns;
    for _ in 0..rows {
        let flags = byte(flags.plain()?)?;
        let queued = queued.plain()?;
        list.push(Handles {
            object: ObjectId(objects.delta_u32()?),
            senders: senders.plain()?,
            queued: (flags & handles_flag::QUEUED != 0).then_some(queued),
        });
    }
    Ok(list)
}

fn read_actors(
    mut list: Vec<Actor>,
    rows: usize,
    columns: [ColumnReader<'_>; 7],
    _: &mut Budget,
) -> Result<Vec<Actor>, Refused> {
    let [mut objects, mut tasks, mut times, mut actions, mut certainties, mut locations, mut hops] = columns;
    for _ in 0..rows {
        list.push(Actor {
            object: ObjectId(objects.delta_u32()?),
            by: match tasks.optional()? {
                Some(task) => By::Task(task),
                None => By::Timer(times.delta()?),
            },
            action: code(&mut actions, action)?,
            certainty: code(&mut certainties, certainty)?,
            location: locations.optional()?.map(LocationId),
            hops: byte(hops.plain()?)?,
        });
    }
    Ok(list)
}

fn read_searched(
    mut list: Vec<Searched>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    _: &mut Budget,
) -> Result<Vec<Searched>, Refused> {
    let [mut objects, mut flags] = columns;
    for _ in 0..rows {
        let flags = byte(flags.plain()?)?;
        list.push(Searched {
            object: ObjectId(objects.delta_u32()?),
            all_tasks: flags & searched_flag::ALL_TASKS != 0,
            other_roots: flags & searched_flag::OTHER_ROOTS != 0,
            is_global: flags & searched_flag::GLOBAL != 0,
        });
    }
    Ok(list)
}

fn read_unknown(
    mut list: Vec<String>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    budget: &mut Budget,
) -> Result<Vec<String>, Refused> {
    let [mut lengths, mut texts] = columns;
    for _ in 0..rows {
        list.push(budget.text(text(&mut lengths, &mut texts)?)?);
    }
    Ok(list)
}
