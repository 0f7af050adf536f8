//! Writes format 1.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::super::FileError;
use super::super::columns::ColumnWriter;
pub(crate) use super::rows::Rows;
use super::*;

/// Writes everything that follows the version.
pub(in super::super) fn write(snapshot: &Snapshot, into: &mut impl Write) -> Result<(), FileError> {
    let failed = |e| FileError::io("cannot write the snapshot", e);
    // One walk over the tasks answers both: they are hundreds of megabytes for a million.
    let count = snapshot.task_count();
    let counted = count > snapshot.tasks.len() as u64;
    let links = super::links::write(&snapshot.links);
    let has_rows = |name: &str| links.iter().any(|(table, _)| *table == name);
    let optional = tables::optional();
    let is_there = |name: &str| {
        !optional.contains(&name) || if name == tables::TWINS.name { counted } else { has_rows(name) }
    };
    let header = HeadOfFile {
        format: FORMAT.to_owned(),
        version: 1,
        tasks: count,
        tables: tables::all().into_iter().filter(|table| is_there(&table.name)).collect(),
        snapshot: HeadOfSnapshot::from(&snapshot.header),
    };
    let json = serde_json::to_vec(&header).map_err(FileError::damaged)?;
    let len = u32::try_from(json.len()).ok().filter(|&len| len <= MAX_HEADER);
    let len = len.ok_or_else(|| FileError::damaged("its header is too long"))?;
    into.write_all(&len.to_le_bytes()).map_err(failed)?;
    into.write_all(&json).map_err(failed)?;

    // The encoder and every reader allocate one or two blocks.
    let block = if snapshot.tasks.len() > 10_000 { BlockSize::Max1MB } else { BlockSize::Max64KB };
    // Checksums of the compressed blocks cost a tenth of one of the content.
    let frame = FrameInfo::new().block_size(block).block_mode(BlockMode::Linked).block_checksums(true);
    let mut out = FrameEncoder::with_frame_info(frame, into);
    let tables = [
        write_strings(&snapshot.code.strings),
        write_functions(&snapshot.code.functions),
        write_images(&snapshot.code.images),
        write_locations(&snapshot.code.locations),
        write_stacks(&snapshot.code.stacks),
        write_label_sets(&snapshot.code.label_sets),
    ];
    for table in tables {
        table.write(&mut out)?;
    }
    write_objects(&snapshot.objects).write(&mut out)?;
    write_waits(&snapshot.waits).write(&mut out)?;
    write_holds(&snapshot.holds).write(&mut out)?;
    write_tasks(&snapshot.tasks).write(&mut out)?;
    if counted {
        write_twins(&snapshot.tasks).write(&mut out)?;
    }
    for (_, rows) in links {
        rows.write(&mut out)?;
    }
    out.finish().map_err(|e| failed(e.into()))?;
    Ok(())
}

pub(crate) fn write_strings(strings: &[String]) -> Rows {
    let [mut lengths, mut text] = [ColumnWriter::default(), ColumnWriter::default()];
    for string in strings {
        lengths.plain(string.len() as u64);
        text.raw(string.as_bytes());
    }
    Rows::new(tables::STRINGS, strings.len(), [lengths, text])
}

pub(crate) fn write_functions(functions: &[Function]) -> Rows {
    let [mut names, mut packages, mut kinds, mut roles] = [(); 4].map(|()| ColumnWriter::default());
    for function in functions {
        names.delta(function.name.0.into());
        packages.delta(function.package.0.into());
        kinds.plain(function_kind_code(function.kind).into());
        roles.plain((layer_code(function.role.layer) | begins_code(function.role.begins) << 3).into());
    }
    Rows::new(tables::FUNCTIONS, functions.len(), [names, packages, kinds, roles])
}

pub(crate) fn write_images(images: &[Image]) -> Rows {
    let mut columns = [(); 5].map(|()| ColumnWriter::default());
    let [paths, build_ids, starts, sizes, offsets] = &mut columns;
    for image in images {
        paths.plain(image.path.0.into());
        build_ids.optional(image.build_id.map(|id| id.0));
        starts.delta(image.start);
        sizes.plain(image.end.wrapping_sub(image.start));
        offsets.plain(image.offset);
    }
    Rows::new(tables::IMAGES, images.len(), columns)
}

pub(crate) fn write_locations(locations: &[Location]) -> Rows {
    let mut columns = [(); 8].map(|()| ColumnWriter::default());
    let [known, addresses, images, offsets, depths, functions, files, lines] = &mut columns;
    for location in locations {
        known.plain(location.address.is_some().into());
        if let Some(address) = location.address {
            addresses.delta(address);
        }
        images.optional(location.image.map(|id| id.0));
        offsets.optional(location.offset);
        depths.plain(location.frames.len() as u64);
        for frame in &location.frames {
            functions.delta(frame.function.0.into());
            files.delta(frame.file.0.into());
            lines.plain(frame.line.into());
        }
    }
    Rows::new(tables::LOCATIONS, locations.len(), columns)
}

pub(crate) fn write_stacks(stacks: &[Stack]) -> Rows {
    let [mut depths, mut locations] = [ColumnWriter::default(), ColumnWriter::default()];
    for stack in stacks {
        depths.plain(stack.locations.len() as u64);
        for location in &stack.locations {
            locations.delta(location.0.into());
        }
    }
    Rows::new(tables::STACKS, stacks.len(), [depths, locations])
}

pub(crate) fn write_label_sets(sets: &[LabelSet]) -> Rows {
    let [mut lengths, mut keys, mut values] = [(); 3].map(|()| ColumnWriter::default());
    for set in sets {
        lengths.plain(set.pairs.len() as u64);
        for (key, value) in &set.pairs {
            keys.plain(key.0.into());
            values.delta(value.0.into());
        }
    }
    Rows::new(tables::LABEL_SETS, sets.len(), [lengths, keys, values])
}

fn write_objects(objects: &[WaitObject]) -> Rows {
    let mut columns = [(); 8].map(|()| ColumnWriter::with_capacity(objects.len()));
    let [flags, addresses, lens, caps, senders, receivers, elements, locks] = &mut columns;
    for object in objects {
        let kind = object_kind_code(object.kind);
        let mut flag = kind & 7 | (kind & 8) << 3;
        if let Some(channel) = &object.channel {
            flag |= object_flag::CHANNEL;
            flag |= if channel.closed { object_flag::CLOSED } else { 0 };
            flag |= if channel.more { object_flag::MORE } else { 0 };
            lens.plain(channel.len);
            caps.plain(channel.cap);
            senders.plain(channel.senders.into());
            receivers.plain(channel.receivers.into());
            elements.optional(channel.element.map(|id| id.0));
        }
        flags.plain(flag.into());
        addresses.delta(object.address);
        locks.plain(lock_code(object.lock));
    }
    Rows::new(tables::OBJECTS, objects.len(), columns)
}

fn write_waits(waits: &[Wait]) -> Rows {
    let [mut ops, mut objects] = [(); 2].map(|()| ColumnWriter::with_capacity(waits.len()));
    for wait in waits {
        ops.plain(wait_op_code(wait.op).into());
        objects.delta(wait.object.0.into());
    }
    Rows::new(tables::WAITS, waits.len(), [ops, objects])
}

fn write_holds(holds: &[Hold]) -> Rows {
    let [mut kinds, mut objects, mut locations] = [(); 3].map(|()| ColumnWriter::default());
    for hold in holds {
        kinds.plain(hold_kind_code(hold.how).into());
        objects.delta(hold.object.0.into());
        locations.optional(hold.location.map(|id| id.0));
    }
    Rows::new(tables::HOLDS, holds.len(), [kinds, objects, locations])
}

fn write_tasks(tasks: &[Task]) -> Rows {
    let mut columns = [(); 22].map(|()| ColumnWriter::with_capacity(tasks.len()));
    let [
        flags,
        states,
        runtimes,
        ids,
        addresses,
        ages,
        reasons,
        parents,
        creators,
        entries,
        labels,
        threads,
        stacks,
        stack_bytes,
        wait_starts,
        wait_lengths,
        lifetimes,
        polls,
        marks,
        hold_starts,
        hold_lengths,
        wait_classes,
    ] = &mut columns;
    for task in tasks {
        let mut flag = 0;
        flag |= if task.locked_to_thread { task_flag::LOCKED } else { 0 };
        flag |= if task.system { task_flag::SYSTEM } else { 0 };
        flag |= if task.leaked { task_flag::LEAKED } else { 0 };
        if let Some(id) = task.id {
            flag |= task_flag::ID;
            ids.delta(id);
        }
        if let Some(parent) = task.parent {
            flag |= task_flag::PARENT;
            parents.delta(parent);
        }
        match task.age {
            Age::Unknown => {}
            Age::AtLeast(ns) => {
                flag |= task_flag::AGE_AT_LEAST;
                ages.delta(ns);
            }
            Age::Exactly(ns) => {
                flag |= task_flag::AGE_EXACTLY;
                ages.delta(ns);
            }
        }
        if let Some(ns) = task.lifetime_ns {
            flag |= task_flag::LIFETIME;
            lifetimes.delta(ns);
        }
        if let Some(count) = task.polls {
            flag |= task_flag::POLLS;
            polls.plain(count);
        }
        if let Some(mark) = task.mark {
            flag |= task_flag::MARK;
            marks.plain(mark);
        }
        flags.plain(flag.into());
        states.plain((state_code(task.state) | stack_status_code(task.stack_status) << 3).into());
        runtimes.plain(task.runtime.into());
        addresses.delta(task.address);
        reasons.optional(task.reason.map(|id| id.0));
        creators.optional(task.creator.map(|id| id.0));
        entries.optional(task.entry.map(|id| id.0));
        labels.optional(task.labels.map(|id| id.0));
        threads.optional(task.thread);
        stacks.optional(task.stack.map(|id| id.0));
        stack_bytes.delta(task.stack_bytes);
        wait_starts.delta(task.waits.start.into());
        wait_lengths.plain(task.waits.len.into());
        hold_starts.delta(task.holds.start.into());
        hold_lengths.plain(task.holds.len.into());
        wait_classes.plain(wait_class_code(task.wait_class).into());
    }
    Rows::new(tables::TASKS, tasks.len(), columns)
}

/// The rows that stand for several tasks.
fn write_twins(tasks: &[Task]) -> Rows {
    let [mut rows, mut twins] = [(); 2].map(|()| ColumnWriter::default());
    let counted = tasks.iter().zip(0..).filter(|(task, _)| task.twins > 0);
    let count = counted.clone().count();
    for (task, row) in counted {
        rows.delta(row);
        twins.plain(task.twins);
    }
    Rows::new(tables::TWINS, count, [rows, twins])
}
