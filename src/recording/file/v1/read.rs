//! Reads format 1.

use std::io::Read;

use super::*;
use crate::code::{CodeTables, FunctionId, LabelSetId, LocationId, StackId, StrId};
use crate::recording::{Sample, SampledTask, SampledThread, TaskRow, ThreadRow};
use crate::snapshot::Task;
use crate::snapshot::file::budget::{Budget, Refused};
use crate::snapshot::file::columns::ColumnReader;
use crate::snapshot::file::v1::read::{
    byte, read_functions, read_images, read_label_sets, read_locations, read_stacks, read_strings,
};
use crate::snapshot::file::v1::table_reader::TableReader;
use crate::snapshot::file::v1::tables as code_tables;
use crate::snapshot::file::v1::{stack_status, state, wait_class};

/// Reads everything that follows the version.
pub(in super::super) fn read(from: &mut impl Read) -> Result<Recording, FileError> {
    let header = read_header(from)?;
    let mut compressed = Vec::new();
    from.read_to_end(&mut compressed).map_err(|e| FileError::io("cannot read the recording", e))?;
    let mut tables = TableReader::new(&compressed, header.tables)?;
    let code = CodeTables {
        strings: tables.next(&code_tables::STRINGS, read_strings)?,
        functions: tables.next(&code_tables::FUNCTIONS, read_functions)?,
        images: tables.next(&code_tables::IMAGES, read_images)?,
        locations: tables.next(&code_tables::LOCATIONS, read_locations)?,
        stacks: tables.next(&code_tables::STACKS, read_stacks)?,
        label_sets: tables.next(&code_tables::LABEL_SETS, read_label_sets)?,
    };
    let threads = tables.next(&tables::THREADS, read_threads)?;
    let tasks = tables.next(&tables::TASKS, read_tasks)?;
    let samples = tables.next(&tables::SAMPLES, read_samples)?;
    let (budget, unknown) = tables.finish()?;
    if samples.len() as u64 != header.samples {
        return Err(FileError::damaged("its header and its table of samples disagree about their number"));
    }
    let mut header = RecordingHeader::from(header.recording);
    header.warnings.extend(unknown);
    let recording = Recording { header, code, threads, tasks, samples };
    recording.validate()?;
    charge_shared(&recording, budget)?;
    Ok(recording)
}

/// Charges the entries of tables that tasks and samples share, once for each use.
fn charge_shared(recording: &Recording, budget: Budget) -> Result<(), FileError> {
    let mut texts = budget.charge_shared(&recording.header.runtimes, &recording.code)?;
    for &SampledTask { creator, entry, .. } in &recording.tasks {
        texts.add(&Task { creator, entry, ..Task::default() });
    }
    for &Sample { stack, labels, reason, .. } in &recording.samples {
        texts.add(&Task { stack, labels, reason, ..Task::default() });
    }
    Ok(texts.check("samples")?)
}

fn read_threads(
    mut threads: Vec<SampledThread>,
    rows: usize,
    columns: [ColumnReader<'_>; 2],
    _: &mut Budget,
) -> Result<Vec<SampledThread>, Refused> {
    let [mut tids, mut names] = columns;
    for _ in 0..rows {
        threads.push(SampledThread { tid: tids.delta_u32()?, name: names.optional()?.map(StrId) });
    }
    Ok(threads)
}

fn read_tasks(
    mut tasks: Vec<SampledTask>,
    rows: usize,
    columns: [ColumnReader<'_>; 6],
    _: &mut Budget,
) -> Result<Vec<SampledTask>, Refused> {
    let [mut flags, mut runtimes, mut ids, mut addresses, mut creators, mut entries] = columns;
    for _ in 0..rows {
        let flag = byte(flags.plain()?)?;
        tasks.push(SampledTask {
            runtime: byte(runtimes.plain()?)?,
            id: if flag & task_flag::ID != 0 { Some(ids.delta()?) } else { None },
            address: addresses.delta()?,
            creator: creators.optional()?.map(LocationId),
            entry: entries.optional()?.map(FunctionId),
            system: flag & task_flag::SYSTEM != 0,
        });
    }
    Ok(tasks)
}

fn read_samples(
    mut samples: Vec<Sample>,
    rows: usize,
    columns: [ColumnReader<'_>; 11],
    _: &mut Budget,
) -> Result<Vec<Sample>, Refused> {
    let [
        mut kinds,
        mut times,
        mut tasks,
        mut threads,
        mut labels,
        mut states,
        mut reasons,
        mut wait_classes,
        mut stacks,
        mut counts,
        mut weights,
    ] = columns;
    for _ in 0..rows {
        let kind = byte(kinds.plain()?)?;
        let whose = match kind >> 3 {
            0 => Whose::Task(TaskRow(tasks.delta_u32()?)),
            1 => Whose::Scheduler,
            2 => Whose::Native,
            3 => Whose::Unknown,
            _ => return Err(Refused::Senseless),
        };
        let both = byte(states.plain()?)?;
        samples.push(Sample {
            at_ns: times.delta()?,
            clock: clock(kind & 7)?,
            whose,
            thread: threads.optional()?.map(ThreadRow),
            labels: labels.optional()?.map(LabelSetId),
            state: state(both & 7)?,
            reason: reasons.optional()?.map(StrId),
            wait_class: wait_class(byte(wait_classes.plain()?)?)?,
            stack: stacks.optional()?.map(StackId),
            stack_status: stack_status(both >> 3)?,
            count: counts.plain()?,
            weight_ns: weights.delta()?,
        });
    }
    Ok(samples)
}
