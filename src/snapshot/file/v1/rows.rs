//! A table on its way into a file.

use std::io::Write;

use super::super::FileError;
use super::super::columns::ColumnWriter;
use super::tables::Table;

/// A table ready to be written.
pub(crate) struct Rows {
    rows: usize,
    columns: Vec<Vec<u8>>,
}

impl Rows {
    pub(crate) fn new<const N: usize>(_: Table<N>, rows: usize, columns: [ColumnWriter; N]) -> Self {
        Rows { rows, columns: columns.into_iter().map(ColumnWriter::into_bytes).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(crate) fn write(self, out: &mut impl Write) -> Result<(), FileError> {
        let failed = |e| FileError::io("cannot write the snapshot", e);
        out.write_all(&(self.rows as u64).to_le_bytes()).map_err(failed)?;
        for column in self.columns {
            out.write_all(&(column.len() as u64).to_le_bytes()).map_err(failed)?;
            out.write_all(&column).map_err(failed)?;
        }
        Ok(())
    }
}
