//! Goroutine profiles with debug=1 in logs.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::super::go_profile::{GoProfile, ProfileReader};
use super::records::{self, Record, Sink};

/// Each writer has its own reader.
#[derive(Default)]
struct Profiles {
    readers: FxHashMap<Rc<str>, ProfileReader>,
}

impl<'a> Sink<'a> for Profiles {
    fn record(&mut self, record: Record<'a>) {
        let reader = self.readers.entry(record.writer).or_default();
        record.text.split('\n').for_each(|line| reader.line(line));
    }

    fn interested(&self) -> bool {
        true
    }
}

/// The profiles in a text, one per writer, without what a log put around their lines.
pub(in super::super) fn profiles(text: &[u8]) -> Vec<GoProfile> {
    let mut profiles = Profiles::default();
    records::each(text, &mut profiles);
    profiles.readers.into_values().map(ProfileReader::finish).collect()
}
