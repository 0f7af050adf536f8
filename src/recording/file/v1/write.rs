//! Writes format 1.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use super::*;
use crate::recording::{Sample, SampledTask, SampledThread};
use crate::snapshot::file::columns::ColumnWriter;
use crate::snapshot::file::v1::write::{
    Rows, write_functions, write_images, write_label_sets, write_locations, write_stacks, write_strings,
};
use crate::snapshot::file::v1::{stack_status_code, state_code, wait_class_code};

/// Writes everything that follows the version.
pub(in super::super) fn write(recording: &Recording, into: &mut impl Write) -> Result<(), FileError> {
    let failed = |e| FileError::io("cannot write the recording", e);
    let header = HeadOfFile {
        format: FORMAT.to_owned(),
        version: 1,
        samples: recording.samples.len() as u64,
        tables: tables::all(),
        recording: HeadOfRecording::from(&recording.header),
    };
    let json = serde_json::to_vec(&header).map_err(FileError::damaged)?;
    let len = u32::try_from(json.len()).ok().filter(|&len| len <= MAX_HEADER);
    let len = len.ok_or_else(|| FileError::damaged("its header is too long"))?;
    into.write_all(&len.to_le_bytes()).map_err(failed)?;
    into.write_all(&json).map_err(failed)?;

    // The encoder and every reader allocate one or two blocks.
    let block = if recording.samples.len() > 10_000 { BlockSize::Max1MB } else { BlockSize::Max64KB };
    let frame = FrameInfo::new().block_size(block).block_mode(BlockMode::Linked).block_checksums(true);
    let mut out = FrameEncoder::with_frame_info(frame, into);
    let code = &recording.code;
    let tables = [
        write_strings(&code.strings),
        write_functions(&code.functions),
        write_images(&code.images),
        write_locations(&code.locations),
        write_stacks(&code.stacks),
        write_label_sets(&code.label_sets),
        write_threads(&recording.threads),
        write_tasks(&recording.tasks),
        write_samples(&recording.samples),
    ];
    for table in tables {
        table.write(&mut out)?;
    }
    out.finish().map_err(|e| failed(e.into()))?;
    Ok(())
}

fn write_threads(threads: &[SampledThread]) -> Rows {
    let [mut tids, mut names] = [ColumnWriter::default(), ColumnWriter::default()];
    for thread in threads {
        tids.delta(thread.tid.into());
        names.optional(thread.name.map(|id| id.0));
    }
    Rows::new(tables::THREADS, threads.len(), [tids, names])
}

fn write_tasks(tasks: &[SampledTask]) -> Rows {
    let mut columns = [(); 6].map(|()| ColumnWriter::with_capacity(tasks.len()));
    let [flags, runtimes, ids, addresses, creators, entries] = &mut columns;
    for task in tasks {
        let mut flag = if task.system { task_flag::SYSTEM } else { 0 };
        if let Some(id) = task.id {
            flag |= task_flag::ID;
            ids.delta(id);
        }
        flags.plain(flag.into());
        runtimes.plain(task.runtime.into());
        addresses.delta(task.address);
        creators.optional(task.creator.map(|id| id.0));
        entries.optional(task.entry.map(|id| id.0));
    }
    Rows::new(tables::TASKS, tasks.len(), columns)
}

fn write_samples(samples: &[Sample]) -> Rows {
    let mut columns = [(); 11].map(|()| ColumnWriter::with_capacity(samples.len()));
    let [kinds, times, tasks, threads, labels, states, reasons, wait_classes, stacks, counts, weights] =
        &mut columns;
    for sample in samples {
        kinds.plain((clock_code(sample.clock) | whose_code(sample.whose) << 3).into());
        times.delta(sample.at_ns);
        if let Whose::Task(task) = sample.whose {
            tasks.delta(task.0.into());
        }
        threads.optional(sample.thread.map(|row| row.0));
        labels.optional(sample.labels.map(|id| id.0));
        states.plain((state_code(sample.state) | stack_status_code(sample.stack_status) << 3).into());
        reasons.optional(sample.reason.map(|id| id.0));
        wait_classes.plain(wait_class_code(sample.wait_class).into());
        stacks.optional(sample.stack.map(|id| id.0));
        counts.plain(sample.count);
        weights.delta(sample.weight_ns);
    }
    Rows::new(tables::SAMPLES, samples.len(), columns)
}
