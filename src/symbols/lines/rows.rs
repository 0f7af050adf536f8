//! The line table of a compilation unit.

use gimli::Unit;

use super::patience::Patience;
use super::sections::{InFile, Reader};

/// Rows of one unit at most.
const MAX_ROWS: usize = 4 << 20;
/// The parts of a path are cut at this length.
const MAX_PART: usize = 4 << 10;

/// One row of a line table: this line begins at this address.
#[derive(Debug, Clone, Copy)]
struct Row {
    address: u64,
    /// Number of the file; None where a sequence of rows ends.
    file: Option<u32>,
    /// 0 if the code belongs to no line.
    line: u32,
}

/// The rows of a unit in order of address.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    /// The rows of a unit, as far as they can be read.
    pub(super) fn read(unit: &Unit<Reader<'_>>, patience: &mut Patience) -> Rows {
        let mut rows = Vec::new();
        let _ = read(unit, &mut rows, patience);
        // Where one sequence ends and another begins, the beginning counts.
        rows.sort_by_key(|row| (row.address, row.file.is_some()));
        rows.shrink_to_fit();
        Rows(rows)
    }

    /// The file number and the line of an address. None if the table does not say.
    pub(super) fn at(&self, address: u64) -> Option<(u64, u32)> {
        let behind = self.0.partition_point(|row| row.address <= address);
        let row = self.0.get(behind.checked_sub(1)?)?;
        Some((u64::from(row.file?), row.line))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn read(unit: &Unit<Reader<'_>>, into: &mut Vec<Row>, patience: &mut Patience) -> Option<()> {
    let mut rows = unit.line_program.clone()?.rows();
    // Whether the sequence belongs to code that the linker left out: it begins at 0.
    let (mut begins, mut is_dead) = (true, false);
    while let Some((_, row)) = rows.next_row().ok()? {
        patience.check()?;
        if begins {
            is_dead = row.address() == 0;
        }
        begins = row.end_sequence();
        if is_dead {
            continue;
        }
        if into.len() >= MAX_ROWS {
            return None;
        }
        let file = u32::try_from(row.file_index()).ok().filter(|_| !row.end_sequence());
        let line = row.line().and_then(|line| u32::try_from(line.get()).ok()).unwrap_or(0);
        into.push(Row { address: row.address(), file, line });
    }
    Some(())
}

/// The path of a file of a unit's line table.
pub(in crate::symbols) fn file(unit: InFile<'_, '_>, number: u64) -> Option<String> {
    let header = unit.line_program.as_ref()?.header();
    let file = header.file(number)?;
    let mut path = unit.comp_dir.map(text).unwrap_or_default();
    // Directory 0 is that of the unit.
    if file.directory_index() != 0 {
        let folder = file.directory(header).and_then(|folder| unit.line_string(folder));
        path = joined(path, &text(folder?));
    }
    Some(joined(path, &text(unit.line_string(file.path_name())?)))
}

fn joined(folder: String, path: &str) -> String {
    if folder.is_empty() || path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", folder.trim_end_matches('/'))
}

/// Text of a file, cut.
pub(in crate::symbols) fn text(bytes: Reader<'_>) -> String {
    let bytes = bytes.slice();
    String::from_utf8_lossy(bytes.get(..MAX_PART).unwrap_or(bytes)).into_owned()
}
