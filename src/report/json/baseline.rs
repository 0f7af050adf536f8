//! Lines of a baseline, as JSON; described in loiter-gate-json(5).

use serde::Serialize;

use super::known;
use crate::analysis::baseline::Line;

#[derive(Serialize)]
pub(super) struct LineOut<'a> {
    number: usize,
    function: &'a str,
    creator: &'a str,
    reason: &'a str,
    until: Option<String>,
    comment: Option<&'a str>,
}

impl<'a> LineOut<'a> {
    pub(super) fn new(line: &'a Line) -> Self {
        LineOut {
            number: line.number,
            function: line.function.text(),
            creator: line.creator.text(),
            reason: line.reason.text(),
            until: line.until.map(|until| until.to_string()),
            comment: known(&line.comment),
        }
    }
}
