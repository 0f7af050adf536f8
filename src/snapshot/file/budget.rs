//! What a snapshot file may cost: one account for everything in it.
//!
//! A few bytes can decompress to endless rows, and a million tasks can share one long stack. So every table
//! is charged to the account before memory is taken for it, and shared entries are charged for each use. The
//! account depends on the file's size: real data does not compress as well as a bomb.

use super::FileError;
use crate::snapshot::*;

/// Memory allowed for any file, however small: 512 MiB, about two million tasks.
const FREE: u64 = 512 << 20;
/// Additional memory for each byte of the file. Real files need 50 to 250.
const RATIO: u64 = 1024;
/// The most memory for a file, however large: 16 GiB, about sixty million tasks.
const MAX: u64 = 16 << 30;

/// Text allowed for all tasks together, for any file, however small: 8 GiB.
const FREE_TEXT: u64 = 8 << 30;
/// Additional text of all tasks for each byte of the file. Real files reach 5000.
const TEXT_RATIO: u64 = 1 << 14;

/// The heap cost of a separate list besides its entries, bytes.
const HEAP: u64 = 32;
/// The cost of each use of a frame or label besides its text, bytes.
const USE: u64 = 64;
/// Names of runtimes and nouns are in every printed line: longer ones are refused, bytes.
const MAX_NOUN: usize = 4096;

/// Why rows are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They make no sense.
    Senseless,
    /// They would take more memory than the file may cost.
    TooLarge,
    /// This machine does not have that much memory.
    NoMemory,
}

impl From<super::columns::BadColumn> for Refused {
    fn from(_: super::columns::BadColumn) -> Self {
        Refused::Senseless
    }
}

/// The account.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Its initial size, bytes of memory.
    pub(super) limit: u64,
    left: u64,
    /// Bytes of text that all tasks together may have.
    text: u64,
}

impl Budget {
    /// The account for a file of this many bytes.
    pub(crate) fn new(file: u64) -> Self {
        let limit = file.saturating_mul(RATIO).saturating_add(FREE).min(MAX);
        Budget { limit, left: limit, text: file.saturating_mul(TEXT_RATIO).saturating_add(FREE_TEXT) }
    }

    /// Takes this many bytes from it.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), Refused> {
        self.left = self.left.checked_sub(bytes).ok_or(Refused::TooLarge)?;
        Ok(())
    }

    /// A list with room for `len` entries, charged.
    pub(crate) fn list<T>(&mut self, len: usize) -> Result<Vec<T>, Refused> {
        let bytes = (len as u64).checked_mul(size_of::<T>() as u64).ok_or(Refused::TooLarge)?;
        self.charge(bytes.saturating_add(if len > 0 { HEAP } else { 0 }))?;
        let mut list = Vec::new();
        list.try_reserve_exact(len).map_err(|_| Refused::NoMemory)?;
        Ok(list)
    }

    /// A copy of a text, charged.
    pub(crate) fn text(&mut self, text: &str) -> Result<String, Refused> {
        let mut bytes = self.list::<u8>(text.len())?;
        bytes.extend_from_slice(text.as_bytes());
        // It is a copy of valid text.
        String::from_utf8(bytes).map_err(|_| Refused::Senseless)
    }

    /// The file error for refused rows.
    pub(super) fn explain(&self, refused: Refused, table: &'static str) -> FileError {
        match refused {
            Refused::Senseless => FileError::damaged(format!("its table of {table} makes no sense")),
            Refused::TooLarge => self.too_large(format!("its table of {table}, with those before it,")),
            Refused::NoMemory => FileError::TooLarge {
                problem: format!("this machine has no memory for its table of {table}"),
            },
        }
    }

    fn too_large(&self, what: String) -> FileError {
        let limit = self.limit >> 20;
        FileError::TooLarge { problem: format!("{what} would take more than {limit} MiB of memory") }
    }

    /// Charges entries that tables share, once per use. The tables were validated. Returns the account of the rows that
    /// use them: tasks, samples.
    pub(crate) fn charge_shared<'a>(
        mut self,
        runtimes: &[RuntimeInfo],
        code: &'a CodeTables,
    ) -> Result<TaskTexts<'a>, FileError> {
        for runtime in runtimes {
            let longest = [&runtime.name, &runtime.task_noun, &runtime.scheduler.worker_noun];
            if longest.iter().any(|text| text.len() > MAX_NOUN) {
                return Err(FileError::damaged("a runtime's name or noun is absurdly long"));
            }
        }
        let uses = Uses::new(code);
        for stack in &uses.stacks {
            // Analysis expands every distinct stack once.
            if self.charge(*stack).is_err() {
                return Err(self.too_large("the frames of its stacks".to_owned()));
            }
        }
        Ok(TaskTexts { uses, limit: self.text, total: 0 })
    }
}

/// The account of the entries that tasks or samples share.
#[derive(Debug)]
pub(crate) struct TaskTexts<'a> {
    uses: Uses<'a>,
    /// Bytes of text that all rows together may have.
    limit: u64,
    total: u64,
}

impl TaskTexts<'_> {
    /// Adds the entries that a task uses.
    pub(crate) fn add(&mut self, task: &Task) {
        self.total = self.total.saturating_add(self.uses.task(task));
    }

    /// Checks the sum; `rows` is the word for what was added.
    pub(crate) fn check(&self, rows: &str) -> Result<(), FileError> {
        if self.total <= self.limit {
            return Ok(());
        }
        let limit = self.limit >> 30;
        Err(FileError::TooLarge {
            problem: format!("stacks and labels of all its {rows} are more than {limit} GiB of text"),
        })
    }
}

/// The cost of each use of an entry, bytes.
#[derive(Debug)]
struct Uses<'a> {
    code: &'a CodeTables,
    locations: Vec<u64>,
    stacks: Vec<u64>,
    labels: Vec<u64>,
}

impl<'a> Uses<'a> {
    fn new(code: &'a CodeTables) -> Self {
        let sum = |costs: &mut dyn Iterator<Item = u64>| costs.fold(0, u64::saturating_add);
        let text = |id: StrId| code.str(id).len() as u64;
        let function = |id: FunctionId| {
            let function = code.functions.get(id.index());
            function.map_or(0, |function| text(function.name).saturating_add(text(function.package)))
        };
        let frame = |frame: &Frame| USE + function(frame.function).saturating_add(text(frame.file));
        let locations: Vec<u64> =
            code.locations.iter().map(|place| sum(&mut place.frames.iter().map(frame))).collect();
        let place = |id: &LocationId| locations.get(id.index()).copied().unwrap_or(0);
        let stacks = code.stacks.iter().map(|stack| sum(&mut stack.locations.iter().map(place))).collect();
        let pair = |&(key, value): &(StrId, StrId)| USE + text(key).saturating_add(text(value));
        let labels = code.label_sets.iter().map(|set| sum(&mut set.pairs.iter().map(pair))).collect();
        Uses { code, locations, stacks, labels }
    }

    fn task(&self, task: &Task) -> u64 {
        let at = |costs: &[u64], index: Option<usize>| {
            index.and_then(|index| costs.get(index)).copied().unwrap_or(0)
        };
        let entry = task.entry.map_or(0, |id| self.code.function_name(id).len() as u64);
        let reason = task.reason.map_or(0, |id| self.code.str(id).len() as u64);
        at(&self.stacks, task.stack.map(StackId::index))
            .saturating_add(at(&self.locations, task.creator.map(LocationId::index)))
            .saturating_add(at(&self.labels, task.labels.map(LabelSetId::index)))
            .saturating_add(entry)
            .saturating_add(reason)
    }
}
