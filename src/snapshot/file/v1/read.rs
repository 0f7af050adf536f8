//! Reads format 1.

use std::io::Read;

use super::super::FileError;
use super::super::columns::{BadColumn, ColumnReader};
use super::*;

/// The tables are refused beyond this, decompressed: 16 GiB.
const MAX_TABLES: u64 = 16 << 30;
/// Up to here the tables may be compressed as well as can be: 64 MiB, which is about a million tasks.
const FREE_TABLES: u64 = 64 << 20;
/// Beyond [`FREE_TABLES`], bytes of tables for each byte of the file. Real files reach 20 to 100.
const MAX_RATIO: u64 = 4096;
/// A column is read in steps of this many bytes, so that memory is taken for what is really there.
const STEP: usize = 16 << 20;

/// Reads everything that follows the version.
pub(in super::super) fn read(from: &mut impl Read) -> Result<Snapshot, FileError> {
    let header = read_header(from)?;
    let mut compressed = Vec::new();
    from.read_to_end(&mut compressed).map_err(|e| FileError::io("cannot read the snapshot", e))?;
    let mut tables = TableReader::new(&compressed)?;
    let strings = tables.next(read_strings)?;
    let functions = tables.next(read_functions)?;
    let locations = tables.next(read_locations)?;
    let stacks = tables.next(read_stacks)?;
    let label_sets = tables.next(read_label_sets)?;
    let objects = tables.next(read_objects)?;
    let waits = tables.next(read_waits)?;
    let holds = tables.next(read_holds)?;
    let mut tasks = tables.next(read_tasks)?;
    if header.tasks > tasks.len() as u64 {
        for (row, twins) in tables.next(read_twins)? {
            let task = usize::try_from(row).ok().and_then(|row| tasks.get_mut(row));
            task.ok_or_else(|| FileError::damaged("its table of twins makes no sense"))?.twins = twins;
        }
    }
    tables.finish()?;
    if count_tasks(&tasks) != header.tasks {
        return Err(FileError::damaged("its header and its table of tasks disagree about their number"));
    }
    let header = header.snapshot;
    Ok(Snapshot { header, strings, functions, locations, stacks, label_sets, objects, waits, holds, tasks })
}

/// Reads table after table out of the compressed part.
struct TableReader<'a> {
    decoder: zstd::Decoder<'static, &'a [u8]>,
    /// Bytes that may still be decompressed.
    budget: u64,
    /// How many tables have been read.
    done: usize,
}

/// Takes a column apart into rows of a table: the number of rows, then the columns.
type ReadRows<T, const N: usize> = fn(usize, [ColumnReader<'_>; N]) -> Result<Vec<T>, BadColumn>;

impl<'a> TableReader<'a> {
    fn new(compressed: &'a [u8]) -> Result<Self, FileError> {
        let budget = (compressed.len() as u64).saturating_mul(MAX_RATIO).saturating_add(FREE_TABLES);
        let decoder = zstd::Decoder::with_buffer(compressed)
            .map_err(|e| FileError::io("cannot decompress the snapshot", e))?
            .single_frame();
        Ok(TableReader { decoder, budget: budget.min(MAX_TABLES), done: 0 })
    }

    /// Reads the next table.
    fn next<T, const N: usize>(&mut self, rows_of: ReadRows<T, N>) -> Result<Vec<T>, FileError> {
        let rows = self.number()?;
        let mut columns = [(); N].map(|()| Vec::new());
        for column in &mut columns {
            *column = self.column()?;
        }
        let table = TABLES.get(self.done).copied().unwrap_or_default();
        self.done += 1;
        let damaged = |BadColumn| FileError::damaged(format!("its table of {table} makes no sense"));
        // Every table's first column has at least one byte a row.
        let first = columns.first().map_or(0, Vec::len);
        let rows = usize::try_from(rows).ok().filter(|&rows| rows <= first);
        let rows = rows.ok_or(BadColumn).map_err(damaged)?;
        rows_of(rows, columns.each_ref().map(|column| ColumnReader::new(column))).map_err(damaged)
    }

    fn number(&mut self) -> Result<u64, FileError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn column(&mut self) -> Result<Vec<u8>, FileError> {
        let len = self.number()?;
        if len > self.budget {
            return Err(FileError::damaged("its tables claim to be absurdly long"));
        }
        self.budget -= len;
        let mut left = len as usize;
        let mut bytes = Vec::new();
        while left > 0 {
            let start = bytes.len();
            let step = left.min(STEP);
            bytes.resize(start + step, 0);
            self.fill(bytes.get_mut(start..).unwrap_or_default())?;
            left -= step;
        }
        Ok(bytes)
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), FileError> {
        self.decoder.read_exact(buf).map_err(decompressing)
    }

    /// Checks that nothing follows, which also makes zstd look at its checksum.
    fn finish(mut self) -> Result<(), FileError> {
        let more = self.decoder.read(&mut [0]).map_err(decompressing)?;
        if more > 0 || !self.decoder.finish().is_empty() {
            return Err(FileError::damaged("something follows its tables"));
        }
        Ok(())
    }
}

/// What a failure of the decompressor means.
fn decompressing(error: std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => FileError::Truncated { part: "tables" },
        _ => FileError::damaged(error.to_string()),
    }
}

fn read_strings(rows: usize, columns: [ColumnReader<'_>; 2]) -> Result<Vec<String>, BadColumn> {
    let [mut lengths, mut text] = columns;
    (0..rows)
        .map(|_| {
            let bytes = text.raw(lengths.plain()?)?;
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadColumn)
        })
        .collect()
}

fn read_functions(rows: usize, columns: [ColumnReader<'_>; 3]) -> Result<Vec<Function>, BadColumn> {
    let [mut names, mut packages, mut kinds] = columns;
    (0..rows)
        .map(|_| {
            Ok(Function {
                name: StrId(names.delta_u32()?),
                package: StrId(packages.delta_u32()?),
                kind: function_kind(byte(kinds.plain()?)?)?,
            })
        })
        .collect()
}

fn read_locations(rows: usize, columns: [ColumnReader<'_>; 7]) -> Result<Vec<Location>, BadColumn> {
    let [mut known, mut addresses, mut offsets, mut depths, mut functions, mut files, mut lines] = columns;
    (0..rows)
        .map(|_| {
            let address = if known.plain()? != 0 { Some(addresses.delta()?) } else { None };
            let offset = offsets.plain_u32()?;
            let frames = list(depths.plain()?, &functions.clone(), || {
                Ok(Frame {
                    function: FunctionId(functions.delta_u32()?),
                    file: StrId(files.delta_u32()?),
                    line: lines.plain_u32()?,
                })
            })?;
            Ok(Location { address, offset, frames })
        })
        .collect()
}

fn read_stacks(rows: usize, columns: [ColumnReader<'_>; 2]) -> Result<Vec<Stack>, BadColumn> {
    let [mut depths, mut ids] = columns;
    (0..rows)
        .map(|_| {
            let locations = list(depths.plain()?, &ids.clone(), || Ok(LocationId(ids.delta_u32()?)))?;
            Ok(Stack { locations })
        })
        .collect()
}

fn read_label_sets(rows: usize, columns: [ColumnReader<'_>; 3]) -> Result<Vec<LabelSet>, BadColumn> {
    let [mut lengths, mut keys, mut values] = columns;
    (0..rows)
        .map(|_| {
            let pairs = list(lengths.plain()?, &keys.clone(), || {
                Ok((StrId(keys.plain_u32()?), StrId(values.delta_u32()?)))
            })?;
            Ok(LabelSet { pairs })
        })
        .collect()
}

fn read_objects(rows: usize, columns: [ColumnReader<'_>; 8]) -> Result<Vec<WaitObject>, BadColumn> {
    let [mut flags, mut addresses, mut lens, mut caps, mut senders, mut receivers, mut elements, mut locks] =
        columns;
    let mut objects = Vec::with_capacity(rows);
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
            kind: object_kind(flag & 7)?,
            address: addresses.delta()?,
            channel,
            lock: lock_state(locks.plain()?)?,
        });
    }
    Ok(objects)
}

fn read_waits(rows: usize, columns: [ColumnReader<'_>; 2]) -> Result<Vec<Wait>, BadColumn> {
    let [mut ops, mut objects] = columns;
    (0..rows)
        .map(|_| Ok(Wait { op: wait_op(byte(ops.plain()?)?)?, object: ObjectId(objects.delta_u32()?) }))
        .collect()
}

fn read_holds(rows: usize, columns: [ColumnReader<'_>; 3]) -> Result<Vec<Hold>, BadColumn> {
    let [mut kinds, mut objects, mut locations] = columns;
    (0..rows)
        .map(|_| {
            Ok(Hold {
                how: hold_kind(byte(kinds.plain()?)?)?,
                object: ObjectId(objects.delta_u32()?),
                location: locations.optional()?.map(LocationId),
            })
        })
        .collect()
}

fn read_tasks(rows: usize, columns: [ColumnReader<'_>; 21]) -> Result<Vec<Task>, BadColumn> {
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
    ] = columns;
    let mut tasks = Vec::with_capacity(rows);
    for _ in 0..rows {
        let flag = u16::try_from(flags.plain()?).map_err(|_| BadColumn)?;
        let both = byte(states.plain()?)?;
        let age = match (flag & task_flag::AGE_AT_LEAST != 0, flag & task_flag::AGE_EXACTLY != 0) {
            (false, false) => Age::Unknown,
            (true, false) => Age::AtLeast(ages.delta()?),
            (false, true) => Age::Exactly(ages.delta()?),
            (true, true) => return Err(BadColumn),
        };
        tasks.push(Task {
            runtime: byte(runtimes.plain()?)?,
            id: if flag & task_flag::ID != 0 { Some(ids.delta()?) } else { None },
            address: addresses.delta()?,
            state: state(both & 7)?,
            reason: reasons.optional()?.map(StrId),
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
            waits: (wait_starts.delta_u32()?, wait_lengths.plain_u32()?),
            holds: (hold_starts.delta_u32()?, hold_lengths.plain_u32()?),
            twins: 0,
        });
    }
    Ok(tasks)
}

/// Rows of the table of tasks, and how many twins each has.
fn read_twins(rows: usize, columns: [ColumnReader<'_>; 2]) -> Result<Vec<(u64, u64)>, BadColumn> {
    let [mut numbers, mut twins] = columns;
    (0..rows).map(|_| Ok((numbers.delta()?, twins.plain()?))).collect()
}

fn byte(value: u64) -> Result<u8, BadColumn> {
    u8::try_from(value).map_err(|_| BadColumn)
}

/// Reads a list of `len` entries, each of which takes at least one byte of `column`.
fn list<T>(
    len: u64,
    column: &ColumnReader<'_>,
    entry: impl FnMut() -> Result<T, BadColumn>,
) -> Result<Vec<T>, BadColumn> {
    let len = usize::try_from(len).ok().filter(|&len| len <= column.remaining()).ok_or(BadColumn)?;
    std::iter::repeat_with(entry).take(len).collect()
}
