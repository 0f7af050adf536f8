//! Reads format 1.

use std::io::Read;

use super::super::FileError;
use super::super::budget::{Budget, Refused};
pub(crate) use super::super::columns::byte;
use super::super::columns::{BadColumn, ColumnReader};
use super::table_reader::TableReader;
use super::*;

/// Reads everything that follows the version.
pub(in super::super) fn read(from: &mut impl Read) -> Result<Snapshot, FileError> {
    let header = read_header(from)?;
    let mut compressed = Vec::new();
    from.read_to_end(&mut compressed).map_err(|e| FileError::io("cannot read the snapshot", e))?;
    let mut tables = TableReader::new(&compressed, header.tables)?;
    let strings = tables.next(&tables::STRINGS, read_strings)?;
    let functions = tables.next(&tables::FUNCTIONS, read_functions)?;
    let images = tables.next(&tables::IMAGES, read_images)?;
    let locations = tables.next(&tables::LOCATIONS, read_locations)?;
    let stacks = tables.next(&tables::STACKS, read_stacks)?;
    let label_sets = tables.next(&tables::LABEL_SETS, read_label_sets)?;
    let objects = tables.next(&tables::OBJECTS, read_objects)?;
    let waits = tables.next(&tables::WAITS, read_waits)?;
    let holds = tables.next(&tables::HOLDS, read_holds)?;
    let mut tasks = tables.next(&tables::TASKS, read_tasks)?;
    if tables.comes(tables::TWINS.name) {
        for (row, twins) in tables.next(&tables::TWINS, read_twins)? {
            let task = usize::try_from(row).ok().and_then(|row| tasks.get_mut(row));
            task.ok_or_else(|| FileError::damaged("its table of twins makes no sense"))?.twins = twins;
        }
    }
    let links = super::links::read(&mut tables)?;
    let (budget, unknown) = tables.finish()?;
    let counted = header.tasks;
    let mut header = Header::from(header.snapshot);
    header.warnings.extend(unknown);
    let snapshot = Snapshot {
        header,
        code: CodeTables { strings, functions, images, locations, stacks, label_sets },
        objects,
        waits,
        holds,
        links,
        tasks,
    };
    check(&snapshot, budget, counted)?;
    Ok(snapshot)
}

/// Validates the snapshot and charges what its parts share. One walk over the tasks does it all: they are
/// hundreds of megabytes for a million.
fn check(snapshot: &Snapshot, budget: Budget, counted: u64) -> Result<(), FileError> {
    snapshot.validate_tables()?;
    let mut texts = budget.charge_shared(&snapshot.header.runtimes, &snapshot.code)?;
    let mut checks = TaskChecks::new(snapshot);
    for (row, task) in snapshot.tasks.iter().enumerate() {
        checks.check(row, task)?;
        texts.add(task);
    }
    if checks.tasks() != counted {
        return Err(FileError::damaged("its header and its table of tasks disagree about their number"));
    }
    texts.check("tasks")
}

pub(crate) fn read_strings(
    mut strings: Vec<String>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    budget: &mut Budget,
) -> Result<Vec<String>, Refused> {
    let [mut lengths, mut text] = columns;
    for _ in 0..rows {
        let bytes = text.raw(lengths.plain()?)?;
        strings.push(budget.text(std::str::from_utf8(bytes).map_err(|_| BadColumn)?)?);
    }
    Ok(strings)
}

pub(crate) fn read_functions(
    mut list: Vec<Function>,
    rows: usize,
    columns: [ColumnReader<'_>; 4],
    _: &mut Budget,
) -> Result<Vec<Function>, Refused> {
    let [mut names, mut packages, mut kinds, mut roles] = columns;
    for _ in 0..rows {
        let role = byte(roles.plain()?)?;
        list.push(Function {
            name: StrId(names.delta_u32()?),
            package: StrId(packages.delta_u32()?),
            kind: function_kind(byte(kinds.plain()?)?)?,
            role: FunctionRole { layer: layer(role & 7)?, begins: begins(role >> 3)? },
        });
    }
    Ok(list)
}

pub(crate) fn read_images(
    mut images: Vec<Image>,
    rows: usize,
    columns: [ColumnReader<'_>; 5],
    _: &mut Budget,
) -> Result<Vec<Image>, Refused> {
    let [mut paths, mut build_ids, mut starts, mut sizes, mut offsets] = columns;
    for _ in 0..rows {
        let path = StrId(paths.plain_u32()?);
        let build_id = build_ids.optional()?.map(StrId);
        let start = starts.delta()?;
        let end = start.checked_add(sizes.plain()?).ok_or(BadColumn)?;
        images.push(Image { path, build_id, start, end, offset: offsets.plain()? });
    }
    Ok(images)
}

pub(crate) fn read_locations(
    mut locations: Vec<Location>,
    rows: usize,
    columns: [ColumnReader<'_>; 8],
    budget: &mut Budget,
) -> Result<Vec<Location>, Refused> {
    let [mut known, mut addresses, mut images, mut offsets, mut depths, mut functions, mut files, mut lines] =
        columns;
    for _ in 0..rows {
        let address = if known.plain()? != 0 { Some(addresses.delta()?) } else { None };
        let image = images.optional()?.map(ImageId);
        let offset = offsets.optional()?;
        let frames = list(depths.plain()?, functions.remaining(), budget, || {
            Ok(Frame {
                function: FunctionId(functions.delta_u32()?),
                file: StrId(files.delta_u32()?),
                line: lines.plain_u32()?,
            })
        })?;
        locations.push(Location { address, image, offset, frames });
    }
    Ok(locations)
}

pub(crate) fn read_stacks(
    mut stacks: Vec<Stack>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    budget: &mut Budget,
) -> Result<Vec<Stack>, Refused> {
    let [mut depths, mut ids] = columns;
    for _ in 0..rows {
        let (depth, most) = (depths.plain()?, ids.remaining());
        let locations = list(depth, most, budget, || Ok(LocationId(ids.delta_u32()?)))?;
        stacks.push(Stack { locations });
    }
    Ok(stacks)
}

pub(crate) fn read_label_sets(
    mut sets: Vec<LabelSet>,
    rows: usize,
    columns: [ColumnReader<'_>; 3],
    budget: &mut Budget,
) -> Result<Vec<LabelSet>, Refused> {
    let [mut lengths, mut keys, mut values] = columns;
    for _ in 0..rows {
        let pairs = list(lengths.plain()?, keys.remaining(), budget, || {
            Ok((StrId(keys.plain_u32()?), StrId(values.delta_u32()?)))
        })?;
        sets.push(LabelSet { pairs });
    }
    Ok(sets)
}

fn read_objects(
    mut objects: Vec<WaitObject>,
    rows: usize,
    columns: [ColumnReader<'_>; 8],
    _: &mut Budget,
) -> Result<Vec<WaitObject>, Refused> {
    let [mut flags, mut addresses, mut lens, mut caps, mut senders, mut receivers, mut elements, mut locks] =
        columns;
    for _ in 0..rows {
        let flag = byte(flags.plain()?)?;
        let channel = if flag & object_flag::CHANNEL != 0 {
            Some(Channel {
                len: lens.plain()?,
                cap: caps.plain()?,
                closed: flag & object_flag::CLOSED != 0,
                senders: senders.plain_u32()?,
                receivers: receivers.plain_u32()?,
                more: flag & object_flag::MORE != 0,
                element: elements.optional()?.map(StrId),
            })
        } else {
            None
        };
        objects.push(WaitObject {
            kind: object_kind(flag & 7 | (flag & object_flag::KIND_8) >> 3)?,
            address: addresses.delta()?,
            channel,
            lock: lock_state(locks.plain()?)?,
        });
    }
    Ok(objects)
}

fn read_waits(
    mut waits: Vec<Wait>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    _: &mut Budget,
) -> Result<Vec<Wait>, Refused> {
    let [mut ops, mut objects] = columns;
    for _ in 0..rows {
        waits.push(Wait { op: wait_op(byte(ops.plain()?)?)?, object: ObjectId(objects.delta_u32()?) });
    }
    Ok(waits)
}

fn read_holds(
    mut holds: Vec<Hold>,
    rows: usize,
    columns: [ColumnReader<'_>; 3],
    _: &mut Budget,
) -> Result<Vec<Hold>, Refused> {
    let [mut kinds, mut objects, mut locations] = columns;
    for _ in 0..rows {
        holds.push(Hold {
            how: hold_kind(byte(kinds.plain()?)?)?,
            object: ObjectId(objects.delta_u32()?),
            location: locations.optional()?.map(LocationId),
        });
    }
    Ok(holds)
}

fn read_tasks(
    mut tasks: Vec<Task>,
    rows: usize,
    columns: [ColumnReader<'_>; 22],
    _: &mut Budget,
) -> Result<Vec<Task>, Refused> {
    let [
        mut flags,
        mut states,
        mut runtimes,
        mut ids,
        mut addresses,
        mut ages,
        mut reasons,
        mut parents,
        mut creators,
        mut entries,
        mut labels,
        mut threads,
        mut stacks,
        mut stack_bytes,
        mut wait_starts,
        mut wait_lengths,
        mut lifetimes,
        mut polls,
        mut marks,
        mut hold_starts,
        mut hold_lengths,
        mut wait_classes,
    ] = columns;
    for _ in 0..rows {
        let flag = u16::try_from(flags.plain()?).map_err(|_| BadColumn)?;
        let both = byte(states.plain()?)?;
        let age = match (flag & task_flag::AGE_AT_LEAST != 0, flag & task_flag::AGE_EXACTLY != 0) {
            (false, false) => Age::Unknown,
            (true, false) => Age::AtLeast(ages.delta()?),
            (false, true) => Age::Exactly(ages.delta()?),
            (true, true) => return Err(Refused::Senseless),
        };
        tasks.push(Task {
            runtime: byte(runtimes.plain()?)?,
            id: if flag & task_flag::ID != 0 { Some(ids.delta()?) } else { None },
            address: addresses.delta()?,
            state: state(both & 7)?,
            reason: reasons.optional()?.map(StrId),
            wait_class: wait_class(byte(wait_classes.plain()?)?)?,
            age,
            lifetime_ns: if flag & task_flag::LIFETIME != 0 { Some(lifetimes.delta()?) } else { None },
            polls: if flag & task_flag::POLLS != 0 { Some(polls.plain()?) } else { None },
            mark: if flag & task_flag::MARK != 0 { Some(marks.plain()?) } else { None },
            parent: if flag & task_flag::PARENT != 0 { Some(parents.delta()?) } else { None },
            creator: creators.optional()?.map(LocationId),
            entry: entries.optional()?.map(FunctionId),
            labels: labels.optional()?.map(LabelSetId),
            thread: threads.optional()?,
            locked_to_thread: flag & task_flag::LOCKED != 0,
            system: flag & task_flag::SYSTEM != 0,
            leaked: flag & task_flag::LEAKED != 0,
            stack: stacks.optional()?.map(StackId),
            stack_status: stack_status(both >> 3)?,
            stack_bytes: stack_bytes.delta()?,
            waits: Span { start: wait_starts.delta_u32()?, len: wait_lengths.plain_u32()? },
            holds: Span { start: hold_starts.delta_u32()?, len: hold_lengths.plain_u32()? },
            twins: 0,
        });
    }
    Ok(tasks)
}

/// Rows of the table of tasks, with the number of twins of each.
fn read_twins(
    mut all: Vec<(u64, u64)>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    _: &mut Budget,
) -> Result<Vec<(u64, u64)>, Refused> {
    let [mut numbers, mut twins] = columns;
    for _ in 0..rows {
        all.push((numbers.delta()?, twins.plain()?));
    }
    Ok(all)
}

/// Reads a list of `len` entries, each at least one byte of the `most` bytes that are left of a column.
fn list<T>(
    len: u64,
    most: usize,
    budget: &mut Budget,
    mut entry: impl FnMut() -> Result<T, BadColumn>,
) -> Result<Vec<T>, Refused> {
    let len = usize::try_from(len).ok().filter(|&len| len <= most).ok_or(BadColumn)?;
    let mut list = budget.list(len)?;
    for _ in 0..len {
        list.push(entry()?);
    }
    Ok(list)
}
