//! The tables of a profile that samples refer to, unconverted.

use super::{PprofError, UnusualFunction};
use crate::cause::About;
use crate::formats::pprof::fields::{function, line, location, mapping, own, profile, value_type};
use crate::formats::pprof::wire::{Fields, Value};
use crate::recording::{self, RecordingHeader};
use crate::snapshot::Header;
use crate::snapshot::file::header_from_json;

/// Rows of each table.
const MAX_STRINGS: usize = 1 << 24;
const MAX_ROWS: usize = 1 << 22;
/// Total lines of all locations.
const MAX_LINES: usize = 1 << 24;
/// Sample types; real profiles have at most four.
const MAX_SAMPLE_TYPES: usize = 64;
/// Mappings: the kernel's default limit for a process is 65,530.
const MAX_MAPPINGS: usize = 1 << 17;
/// Comments.
const MAX_COMMENTS: usize = 1 << 10;

/// A table whose rows are found by id.
#[derive(Debug)]
pub(super) struct ById<T> {
    rows: Vec<(u64, T)>,
}

impl<T> ById<T> {
    fn new(mut rows: Vec<(u64, T)>, what: &str) -> Result<Self, PprofError> {
        rows.sort_by_key(|&(id, _)| id);
        if rows.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return Err(PprofError::damaged(format!("two {what} have the same id")));
        }
        Ok(ById { rows })
    }

    /// The position of the row with this id among [`ById::rows`].
    pub(super) fn position(&self, id: u64) -> Option<usize> {
        // Ids are nearly always 1, 2, 3.
        let guess = usize::try_from(id.wrapping_sub(1)).ok();
        guess
            .filter(|&guess| self.rows.get(guess).is_some_and(|row| row.0 == id))
            .or_else(|| self.rows.binary_search_by_key(&id, |row| row.0).ok())
    }

    /// The rows in order of id.
    pub(super) fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().map(|(_, row)| row)
    }
}

/// A function.
#[derive(Debug, Clone, Copy)]
pub(super) struct FunctionRow {
    pub(super) name: u64,
    pub(super) file: u64,
}

/// A mapping: the memory range of a part of a file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MappingRow {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) offset: u64,
    pub(super) file: u64,
    pub(super) build_id: u64,
}

/// A location.
#[derive(Debug)]
pub(super) struct LocationRow {
    /// Id of its mapping. 0 if it has none.
    pub(super) mapping: u64,
    /// 0 if unknown.
    pub(super) address: u64,
    /// Id of the function, and line.
    pub(super) lines: Vec<(u64, u64)>,
}

/// The tables of a profile.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    strings: Vec<&'a [u8]>,
    pub(super) functions: ById<FunctionRow>,
    pub(super) locations: ById<LocationRow>,
    /// Type and unit of each sample value.
    pub(super) sample_types: Vec<(u64, u64)>,
    /// The mappings, in the profile's order: the first one is the executable.
    pub(super) mappings: Vec<(u64, MappingRow)>,
    /// Nanoseconds since the Unix epoch. None if unknown.
    pub(super) taken_at_ns: Option<u64>,
    /// How long it took, nanoseconds. 0 if unknown.
    pub(super) duration_ns: u64,
    /// Type and unit of the period.
    pub(super) period_type: (u64, u64),
    /// 0 if there is none.
    pub(super) period: u64,
    comments: Vec<u64>,
}

impl<'a> Tables<'a> {
    pub(super) fn read(raw: &'a [u8]) -> Result<Self, PprofError> {
        let (mut functions, mut locations) = (Vec::new(), Vec::new());
        let mut tables = Tables {
            strings: Vec::new(),
            functions: ById { rows: Vec::new() },
            locations: ById { rows: Vec::new() },
            sample_types: Vec::new(),
            mappings: Vec::new(),
            taken_at_ns: None,
            duration_ns: 0,
            period_type: (0, 0),
            period: 0,
            comments: Vec::new(),
        };
        let mut lines = 0;
        for field in Fields::of(raw) {
            let (number, value) = field?;
            match number {
                profile::STRING_TABLE => {
                    push(&mut tables.strings, value.bytes()?, MAX_STRINGS, "strings")?;
                }
                profile::SAMPLE_TYPE => {
                    let row = pair(value, value_type::TYPE, value_type::UNIT)?;
                    push(&mut tables.sample_types, row, MAX_SAMPLE_TYPES, "sample types")?;
                }
                profile::MAPPING => {
                    push(&mut tables.mappings, read_mapping(value)?, MAX_MAPPINGS, "mappings")?;
                }
                profile::FUNCTION => {
                    push(&mut functions, read_function(value)?, MAX_ROWS, "functions")?;
                }
                profile::LOCATION => {
                    let row = read_location(value, &mut lines)?;
                    push(&mut locations, row, MAX_ROWS, "locations")?;
                }
                profile::TIME_NANOS => tables.taken_at_ns = Some(value.number()?).filter(|&ns| ns != 0),
                profile::DURATION_NANOS => tables.duration_ns = value.number()?,
                profile::PERIOD_TYPE => {
                    tables.period_type = pair(value, value_type::TYPE, value_type::UNIT)?;
                }
                profile::PERIOD => tables.period = value.number()?,
                profile::COMMENT => {
                    let mut all = Vec::new();
                    value.numbers(|comment| all.push(comment))?;
                    for comment in all {
                        push(&mut tables.comments, comment, MAX_COMMENTS, "comments")?;
                    }
                }
                _ => {}
            }
        }
        if tables.strings.first().is_none_or(|first| !first.is_empty()) {
            return Err(PprofError::damaged("its string table does not begin with an empty string"));
        }
        tables.functions = ById::new(functions, "functions")?;
        tables.locations = ById::new(locations, "locations")?;
        Ok(tables)
    }

    /// How many strings there are.
    pub(super) fn string_count(&self) -> usize {
        self.strings.len()
    }

    /// A string's bytes.
    pub(super) fn bytes(&self, index: u64) -> Result<&'a [u8], PprofError> {
        (usize::try_from(index).ok().and_then(|index| self.strings.get(index)).copied())
            .ok_or_else(|| PprofError::damaged(format!("there is no string {index}")))
    }

    /// A string.
    pub(super) fn text(&self, index: u64) -> Result<std::borrow::Cow<'a, str>, PprofError> {
        self.bytes(index).map(String::from_utf8_lossy)
    }

    /// The first index of this string in the table.
    pub(super) fn find(&self, text: &str) -> Option<u64> {
        self.strings.iter().position(|&string| string == text.as_bytes()).map(|at| at as u64)
    }

    /// The header of the snapshot that loiter wrote the profile from; None if another program wrote it.
    pub(super) fn header(&self) -> Result<Option<Header>, PprofError> {
        let Some(json) = self.comment(own::HEADER)? else { return Ok(None) };
        header_from_json(json)
            .map(Some)
            .map_err(|e| PprofError::damaged(About::new(format!("comment {}", own::HEADER.trim()), e)))
    }

    /// The header of the recording that loiter wrote the profile from; None if it wrote it from something else, or
    /// another program did.
    pub(super) fn recording_header(&self) -> Result<Option<RecordingHeader>, PprofError> {
        let mark = own::recording::HEADER;
        let Some(json) = self.comment(mark)? else { return Ok(None) };
        recording::file::header_from_json(json)
            .map(Some)
            .map_err(|e| PprofError::damaged(About::new(format!("comment {}", mark.trim()), e)))
    }

    /// The functions whose kind and package the name does not show.
    pub(super) fn unusual_functions(&self) -> Result<Vec<UnusualFunction>, PprofError> {
        let Some(json) = self.comment(own::FUNCTIONS)? else { return Ok(Vec::new()) };
        serde_json::from_slice(json)
            .map_err(|e| PprofError::damaged(About::new(format!("comment {}", own::FUNCTIONS.trim()), e)))
    }

    /// The rest of the first comment that begins with `mark`.
    fn comment(&self, mark: &str) -> Result<Option<&'a [u8]>, PprofError> {
        for &comment in &self.comments {
            if let Some(rest) = self.bytes(comment)?.strip_prefix(mark.as_bytes()) {
                return Ok(Some(rest));
            }
        }
        Ok(None)
    }
}

fn push<T>(table: &mut Vec<T>, row: T, most: usize, what: &str) -> Result<(), PprofError> {
    if table.len() >= most {
        return Err(PprofError::damaged(format!("it has more than {most} {what}")));
    }
    table.push(row);
    Ok(())
}

/// Two numbers in a message.
fn pair(message: Value<'_>, first: u32, second: u32) -> Result<(u64, u64), PprofError> {
    let mut found = (0, 0);
    for field in Fields::of(message.bytes()?) {
        let (number, value) = field?;
        if number == first {
            found.0 = value.number()?;
        } else if number == second {
            found.1 = value.number()?;
        }
    }
    Ok(found)
}

fn read_mapping(message: Value<'_>) -> Result<(u64, MappingRow), PprofError> {
    let (mut id, mut row) = (0, MappingRow::default());
    for field in Fields::of(message.bytes()?) {
        let (number, value) = field?;
        match number {
            mapping::ID => id = value.number()?,
            mapping::START => row.start = value.number()?,
            mapping::LIMIT => row.end = value.number()?,
            mapping::OFFSET => row.offset = value.number()?,
            mapping::FILENAME => row.file = value.number()?,
            mapping::BUILD_ID => row.build_id = value.number()?,
            _ => {}
        }
    }
    Ok((id, row))
}

fn read_function(message: Value<'_>) -> Result<(u64, FunctionRow), PprofError> {
    let (mut id, mut row) = (0, FunctionRow { name: 0, file: 0 });
    let mut system_name = 0;
    for field in Fields::of(message.bytes()?) {
        let (number, value) = field?;
        match number {
            function::ID => id = value.number()?,
            function::NAME => row.name = value.number()?,
            function::SYSTEM_NAME => system_name = value.number()?,
            function::FILENAME => row.file = value.number()?,
            _ => {}
        }
    }
    if row.name == 0 {
        row.name = system_name;
    }
    Ok((id, row))
}

fn read_location(message: Value<'_>, lines: &mut usize) -> Result<(u64, LocationRow), PprofError> {
    let (mut id, mut row) = (0, LocationRow { mapping: 0, address: 0, lines: Vec::new() });
    for field in Fields::of(message.bytes()?) {
        let (number, value) = field?;
        match number {
            location::ID => id = value.number()?,
            location::MAPPING => row.mapping = value.number()?,
            location::ADDRESS => row.address = value.number()?,
            location::LINE => {
                *lines += 1;
                if *lines > MAX_LINES {
                    return Err(PprofError::damaged(format!("it has more than {MAX_LINES} lines")));
                }
                row.lines.push(pair(value, line::FUNCTION, line::LINE)?);
            }
            _ => {}
        }
    }
    Ok((id, row))
}
