//! What a profile that loiter did not write says of the process.

use super::PprofError;
use super::tables::Tables;
use crate::import::go_code;
use crate::snapshot::{Header, SourceKind};

/// The header for a profile of a Go program.
pub(super) fn of_go(tables: &Tables<'_>) -> Result<Header, PprofError> {
    let mut version = None;
    for row in tables.functions.rows() {
        version = go_code::version_in(&tables.text(row.file)?);
        if version.is_some() {
            break;
        }
    }
    let mut header = go_code::header(SourceKind::Profile, version);
    header.taken_at_ns = tables.taken_at_ns;
    let (_, executable) = tables.mappings.first().copied().unwrap_or_default();
    let known =
        |index| tables.text(index).map(|text| Some(text.into_owned()).filter(|text| !text.is_empty()));
    let target = &mut header.target;
    target.exe = known(executable.file)?;
    let exe = target.exe.as_deref().unwrap_or_default();
    target.name = exe.rsplit('/').next().unwrap_or_default().to_owned();
    target.build_id = known(executable.build_id)?;
    Ok(header)
}

/// Is it a profile of a Go program? Its functions are in Go's files.
pub(super) fn is_go(tables: &Tables<'_>) -> Result<bool, PprofError> {
    for row in tables.functions.rows() {
        if tables.bytes(row.file)?.ends_with(b".go") {
            return Ok(true);
        }
    }
    Ok(false)
}
