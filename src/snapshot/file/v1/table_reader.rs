//! Reads the tables from the compressed part of a file, in the order in which its header lists them.

use std::io::{self, BufRead, Read};
use std::vec::IntoIter;

use lz4_flex::frame::{Error as Lz4Error, FrameDecoder};

use super::super::FileError;
use super::super::budget::{Budget, Refused};
use super::super::columns::ColumnReader;
use super::tables::{self, Listed, Table};

/// The limit on decompressed tables: 16 GiB.
pub(crate) const MAX_TABLES: u64 = 16 << 30;
/// Decompressed bytes for each byte of the file: LZ4's maximum. Real files reach 10 to 100.
pub(crate) const MAX_RATIO: u64 = 255;
/// Memory for a column is taken in steps of this many bytes, so that it is taken only for existing data.
const STEP: usize = 16 << 20;
/// A header that lists more tables, or more columns of one table, makes no sense.
const MAX_LISTED: usize = 256;
/// Unknown tables and columns that are named; a longer name is cut to this many characters.
const MAX_NAMED: usize = 8;
const MAX_NAME: usize = 40;

/// Reads table after table.
pub(crate) struct TableReader<'a> {
    decoder: FrameDecoder<Compressed<'a>>,
    /// Bytes that may still be decompressed.
    left: u64,
    /// The memory that the rows may take.
    budget: Budget,
    /// The tables that the header lists and that were not read yet.
    listed: IntoIter<Listed>,
    /// Tables and columns that were skipped.
    unknown: Vec<String>,
}

/// Turns columns into the rows of a table; the list has room for them.
pub(crate) type ReadRows<T, const N: usize> =
    fn(Vec<T>, usize, [ColumnReader<'_>; N], &mut Budget) -> Result<Vec<T>, Refused>;

impl<'a> TableReader<'a> {
    /// Prepares to read the tables that the header lists.
    pub(crate) fn new(compressed: &'a [u8], listed: Vec<Listed>) -> Result<Self, FileError> {
        if listed.len() > MAX_LISTED || listed.iter().any(|table| table.columns.len() > MAX_LISTED) {
            return Err(FileError::damaged("its header lists too many tables or columns"));
        }
        let size = compressed.len() as u64;
        let left = size.saturating_mul(MAX_RATIO).min(MAX_TABLES);
        let decoder = FrameDecoder::new(Compressed { rest: compressed, ended: false });
        let (listed, unknown) = (listed.into_iter(), Vec::new());
        Ok(TableReader { decoder, left, budget: Budget::new(size), listed, unknown })
    }

    /// Is this table listed among those that were not read yet?
    pub(crate) fn comes(&self, name: &str) -> bool {
        self.listed.as_slice().iter().any(|table| table.name == name)
    }

    /// Reads this table. Unknown tables before it are skipped.
    pub(crate) fn next<T, const N: usize>(
        &mut self,
        table: &Table<N>,
        rows_of: ReadRows<T, N>,
    ) -> Result<Vec<T>, FileError> {
        let listed = loop {
            let Some(listed) = self.listed.next() else {
                return Err(FileError::damaged(format!("it has no table of {}", table.name)));
            };
            if listed.name == table.name {
                break listed;
            }
            self.skip_table(&listed)?;
        };
        if !listed.columns.iter().take(N).eq(table.columns.iter()) || listed.columns.len() < N {
            return Err(FileError::damaged(format!("its table of {} has other columns", table.name)));
        }
        let rows = self.number()?;
        let mut columns = [(); N].map(|()| Vec::new());
        for column in &mut columns {
            *column = self.column(table.name)?;
        }
        for name in listed.columns.iter().skip(N) {
            self.skip_column()?;
            self.unknown.push(format!("the column {} of the table of {}", short(name), table.name));
        }
        // Every table's first column has at least one byte per row.
        let first = columns.first().map_or(0, Vec::len);
        let rows = usize::try_from(rows).ok().filter(|&rows| rows <= first).ok_or(Refused::Senseless);
        let budget = &mut self.budget;
        rows.and_then(|rows| {
            let columns = columns.each_ref().map(|column| ColumnReader::new(column));
            rows_of(budget.list(rows)?, rows, columns, budget)
        })
        .map_err(|refused| self.budget.explain(refused, table.name))
    }

    /// Skips a table that this loiter does not know.
    fn skip_table(&mut self, listed: &Listed) -> Result<(), FileError> {
        if tables::all().iter().any(|known| known.name == listed.name) {
            return Err(FileError::damaged(format!("its table of {} is in the wrong place", listed.name)));
        }
        self.number()?;
        for _ in &listed.columns {
            self.skip_column()?;
        }
        self.unknown.push(format!("the table of {}", short(&listed.name)));
        Ok(())
    }

    fn number(&mut self) -> Result<u64, FileError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The length of a column; it must be within the limit.
    fn length(&mut self) -> Result<u64, FileError> {
        let len = self.number()?;
        if len > self.left {
            return Err(FileError::damaged("its tables claim to be absurdly long"));
        }
        self.left -= len;
        Ok(len)
    }

    fn column(&mut self, table: &'static str) -> Result<Vec<u8>, FileError> {
        let mut left = self.length()? as usize;
        let mut bytes = Vec::new();
        while left > 0 {
            let block = self.decoder.fill_buf().map_err(decompressing)?;
            if block.is_empty() {
                return Err(FileError::Truncated { part: "tables" });
            }
            let part = block.get(..left).unwrap_or(block);
            if part.len() > bytes.capacity() - bytes.len() {
                let step = left.min(STEP.max(part.len()));
                bytes.try_reserve(step).map_err(|_| self.budget.explain(Refused::NoMemory, table))?;
            }
            bytes.extend_from_slice(part);
            let len = part.len();
            self.decoder.consume(len);
            left -= len;
        }
        Ok(bytes)
    }

    fn skip_column(&mut self) -> Result<(), FileError> {
        let len = self.length()?;
        let skipped = io::copy(&mut (&mut self.decoder).take(len), &mut io::sink());
        match skipped.map_err(decompressing)? {
            all if all == len => Ok(()),
            _ => Err(FileError::Truncated { part: "tables" }),
        }
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), FileError> {
        self.decoder.read_exact(buf).map_err(decompressing)
    }

    /// Skips the remaining tables. Checks that the frame ends there, which compares its checksum, and that
    /// nothing follows. Returns the rest of the account, and a sentence on what was skipped.
    pub(crate) fn finish(mut self) -> Result<(Budget, Option<String>), FileError> {
        while let Some(listed) = self.listed.next() {
            self.skip_table(&listed)?;
        }
        let more = self.decoder.read(&mut [0]).map_err(decompressing)?;
        let compressed = self.decoder.into_inner();
        if more > 0 || !compressed.rest.is_empty() {
            return Err(FileError::damaged("something follows its tables"));
        }
        // Between two blocks, the decoder mistakes the end of the file for the end of the frame.
        if compressed.ended {
            return Err(FileError::Truncated { part: "tables" });
        }
        let more = self.unknown.len().saturating_sub(MAX_NAMED);
        self.unknown.truncate(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let unknown = (!self.unknown.is_empty()).then(|| {
            let what = self.unknown.join(", ");
            format!(
                "a newer loiter wrote this file: {what}{more} are left out, as this loiter does not know them"
            )
        });
        Ok((self.budget, unknown))
    }
}

/// The compressed bytes. It records whether more was requested than there is.
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

/// A name, cut to a message's size.
fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// The file error for a failure of the decompressor.
fn decompressing(error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Truncated { part: "tables" },
        _ => FileError::damaged(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(
                Lz4Error::ContentChecksumError | Lz4Error::BlockChecksumError | Lz4Error::HeaderChecksumError,
            ) => "its tables do not match their checksum",
            _ => "its tables are not compressed with LZ4, or are changed",
        }),
    }
}
