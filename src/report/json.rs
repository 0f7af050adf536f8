//! JSON for programs.
//!
//! Each format has a module and a man page: [`groups`] and [`each`] are in loiter-stacks-json(5). Addresses are
//! strings of hexadecimal, because many JSON readers keep only 53 bits of a number. Characters that do not print
//! are written as `\u` escapes, so the documents are also safe on a terminal.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

use super::escape::is_printable;
use crate::analysis::frames::{creator_frame, holding_frame};
use crate::analysis::signature::SignatureFrame;
use crate::snapshot::*;

mod baseline;
mod diff;
mod evidence;
mod findings;
mod fleet;
mod gate;
mod head;
mod links;
mod recording;
mod recording_diff;
mod stacks;
mod waits;
mod why;

pub use diff::diff;
pub use findings::findings;
pub use fleet::fleet;
pub use gate::gate;
pub use recording::recording;
pub use recording_diff::recording_diff;
pub use stacks::{each, groups};
pub use why::{why_causes, why_chains};

/// Version of all of loiter's JSON formats. It is raised when a change could break a reader; the man page of each
/// format says what changed.
pub const VERSION: u32 = 2;

/// Writes any value as one line of JSON that is safe on a terminal.
///
/// # Errors
/// Those of `out`.
pub fn write(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Printable))?;
    out.write_all(b"\n")
}

/// Compact JSON with unprintable characters escaped.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| !is_printable(c)) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// An age: nanoseconds, and whether that is only a lower bound.
#[derive(Serialize)]
struct AgeOut {
    ns: Option<u64>,
    or_more: bool,
}

/// A place in the source, as a signature has it.
#[derive(Serialize)]
struct PlaceOut<'a> {
    function: &'a str,
    package: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> PlaceOut<'a> {
    fn new(place: &'a SignatureFrame) -> Self {
        PlaceOut {
            function: &place.function,
            package: known(&place.package),
            file: known(&place.file),
            line: Some(place.line).filter(|&line| line != 0),
        }
    }
}

/// A place in the source, as a snapshot has it: a creator, a frame.
#[derive(Serialize)]
struct CreatorOut<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

fn hex(address: u64) -> String {
    format!("{address:#x}")
}

/// A text; empty means unknown.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<Age> for AgeOut {
    fn from(age: Age) -> Self {
        AgeOut { ns: age.nanos(), or_more: matches!(age, Age::AtLeast(_)) }
    }
}

impl<'a> CreatorOut<'a> {
    fn new(snapshot: &'a Snapshot, creator: Option<LocationId>) -> Self {
        CreatorOut::of(snapshot, creator.and_then(|id| creator_frame(snapshot, id)))
    }

    /// The place from which a lock will be unlocked.
    fn unlocks(snapshot: &'a Snapshot, location: LocationId) -> Self {
        CreatorOut::of(snapshot, holding_frame(snapshot, location))
    }

    fn of(snapshot: &'a Snapshot, frame: Option<Frame>) -> Self {
        match frame {
            Some(frame) => CreatorOut {
                function: known(snapshot.function_name(frame.function)),
                file: known(snapshot.str(frame.file)),
                line: frame.known_line(),
            },
            None => CreatorOut { function: None, file: None, line: None },
        }
    }
}
