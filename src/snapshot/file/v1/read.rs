//! Reads format 1.

use std::io::{self, Read};

use lz4_flex::frame::FrameDecoder;

use super::super::FileError;
use super::super::budget::{Budget, Refused};
use super::super::columns::{BadColumn, ColumnReader};
use super::*;

/// The tables are refused beyond this, decompressed: 16 GiB.
const MAX_TABLES: u64 = 16 << 30;
/// Bytes of tables for each byte of the file: LZ4 gets no further. Real files reach 10 to 100.
const MAX_RATIO: u64 = 255;
/// A column is read in steps of this many bytes, so that memory is taken for what is really there.
const STEP: usize = 16 << 20;

/// Reads everything that follows the version.
pub(in super::super) fn read(from: &mut impl Read) -> Result<Snapshot, FileError> {
    let header = read_header(from)?;
    let mut compressed = Vec::new();
    from.read_to_end(&mut compressed).map_err(|e| FileError::io("cannot read the snapshot", e))?;
    let mut tables = TableReader::new(&compressed);
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
    let budget = tables.finish()?;
    if count_tasks(&tasks) != header.tasks {
        return Err(FileError::damaged("its header and its table of tasks disagree about their number"));
    }
    let header = header.snapshot;
    let snapshot = Snapshot {
        header,
        code: CodeTables { strings, functions, locations, stacks, label_sets },
        objects,
        waits,
        holds,
        tasks,
    };
    budget.charge_shared(&snapshot)?;
    Ok(snapshot)
}

/// Reads table after table out of the compressed part.
struct TableReader<'a> {
    decoder: FrameDecoder<Compressed<'a>>,
    /// Bytes that may still be decompressed.
    left: u64,
    /// What the rows may take in memory.
    budget: Budget,
    /// How many tables have been read.
    done: usize,
}

/// Takes columns apart into the rows of a table, for which there is room.
type ReadRows<T, const N: usize> =
    fn(Vec<T>, usize, [ColumnReader<'_>; N], &mut Budget) -> Result<Vec<T>, Refused>;

impl<'a> TableReader<'a> {
    fn new(compressed: &'a [u8]) -> Self {
        let size = compressed.len() as u64;
        let left = size.saturating_mul(MAX_RATIO).min(MAX_TABLES);
        let decoder = FrameDecoder::new(Compressed { rest: compressed, ended: false });
        TableReader { decoder, left, budget: Budget::new(size), done: 0 }
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
        // Every table's first column has at least one byte a row.
        let first = columns.first().map_or(0, Vec::len);
        let rows = usize::try_from(rows).ok().filter(|&rows| rows <= first).ok_or(Refused::Senseless);
        let budget = &mut self.budget;
        rows.and_then(|rows| {
            let columns = columns.each_ref().map(|column| ColumnReader::new(column));
            rows_of(budget.list(rows)?, rows, columns, budget)
        })
        .map_err(|refused| self.budget.explain(refused, table))
    }

    fn number(&mut self) -> Result<u64, FileError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn column(&mut self) -> Result<Vec<u8>, FileError> {
        let len = self.number()?;
        if len > self.left {
            return Err(FileError::damaged("its tables claim to be absurdly long"));
        }
        self.left -= len;
        let mut left = len as usize;
        let mut bytes = Vec::new();
        while left > 0 {
            let start = bytes.len();
            let step = left.min(STEP);
            let no_memory = |_| {
                self.budget.explain(Refused::NoMemory, TABLES.get(self.done).copied().unwrap_or_default())
            };
            bytes.try_reserve(step).map_err(no_memory)?;
            bytes.resize(start + step, 0);
            self.fill(bytes.get_mut(start..).unwrap_or_default())?;
            left -= step;
        }
        Ok(bytes)
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), FileError> {
        self.decoder.read_exact(buf).map_err(decompressing)
    }

    /// Checks that the frame ends here, which compares its checksum, and that nothing follows. Gives what is
    /// left of the account.
    fn finish(mut self) -> Result<Budget, FileError> {
        let more = self.decoder.read(&mut [0]).map_err(decompressing)?;
        let compressed = self.decoder.into_inner();
        if more > 0 || !compressed.rest.is_empty() {
            return Err(FileError::damaged("something follows its tables"));
        }
        // The decoder takes the end of the file for the end of the frame, if it comes between two blocks.
        if compressed.ended {
            return Err(FileError::Truncated { part: "tables" });
        }
        Ok(self.budget)
    }
}

/// The compressed bytes. It notes whether more was asked for than is there.
struct Compressed<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl Read for Compressed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.rest.read(buf)?;
        self.ended |= n == 0 && !buf.is_empty();
        Ok(n)
    }
}

/// What a failure of the decompressor means.
fn decompressing(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Truncated { part: "tables" },
        _ => FileError::damaged(error),
    }
}

fn read_strings(
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

fn read_functions(
    mut list: Vec<Function>,
    rows: usize,
    columns: [ColumnReader<'_>; 3],
    _: &mut Budget,
) -> Result<Vec<Function>, Refused> {
    let [mut names, mut packages, mut kinds] = columns;
    for _ in 0..rows {
        list.push(Function {
            name: StrId(names.delta_u32()?),
            package: StrId(packages.delta_u32()?),
            kind: function_kind(byte(kinds.plain()?)?)?,
        });
    }
    Ok(list)
}

fn read_locations(
    mut locations: Vec<Location>,
    rows: usize,
    columns: [ColumnReader<'_>; 7],
    budget: &mut Budget,
) -> Result<Vec<Location>, Refused> {
    let [mut known, mut addresses, mut offsets, mut depths, mut functions, mut files, mut lines] = columns;
    for _ in 0..rows {
        let address = if known.plain()? != 0 { Some(addresses.delta()?) } else { None };
        let offset = offsets.plain_u32()?;
        let frames = list(depths.plain()?, functions.remaining(), budget, || {
            Ok(Frame {
                function: FunctionId(functions.delta_u32()?),
                file: StrId(files.delta_u32()?),
                line: lines.plain_u32()?,
            })
        })?;
        locations.push(Location { address, offset, frames });
    }
    Ok(locations)
}

fn read_stacks(
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

fn read_label_sets(
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
            kind: object_kind(flag & 7)?,
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
    columns: [ColumnReader<'_>; 21],
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

/// Rows of the table of tasks, and how many twins each has.
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

fn byte(value: u64) -> Result<u8, BadColumn> {
    u8::try_from(value).map_err(|_| BadColumn)
}

/// Reads a list of `len` entries, each of which takes at least one of the `most` bytes that are left of a
/// column.
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
