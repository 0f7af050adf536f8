//! Texts and places of a registry: they never change, so each is read once, many at a time.

use rustc_hash::FxHashMap;

use super::entries::Batch;
use super::layout::{Bytes, LocationLayout, Text};
use super::texts::Texts;
use crate::code::{CodeBuilder, StrId};
use crate::process::{Memory, Range, TargetError};

/// A text is read up to this length, and marked as cut if it is longer.
const MAX_TEXT: u32 = 4096;
/// All texts of a registry together, bytes; later texts stay unknown.
const MAX_TEXTS: usize = 256 << 20;
/// Places of a registry.
const MAX_PLACES: usize = 1 << 20;

/// A place in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) file: Option<StrId>,
    /// The function, or the name given to the place.
    pub(super) name: Option<StrId>,
    pub(super) line: u32,
}

/// Texts and places that have been read.
#[derive(Debug)]
pub(super) struct Places {
    layout: LocationLayout,
    places: FxHashMap<u64, Place>,
    texts: Texts,
    /// Bytes of texts that may still be read.
    budget: usize,
    /// Texts and places left out because there were too many.
    pub(super) left_out: u64,
    ranges: Vec<Range>,
    ok: Vec<bool>,
    bytes: Vec<u8>,
}

impl Places {
    pub(super) fn new(layout: LocationLayout) -> Self {
        Places {
            layout,
            places: FxHashMap::default(),
            texts: Texts::default(),
            budget: MAX_TEXTS,
            left_out: 0,
            ranges: Vec::new(),
            ok: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// The text; None if it is empty or cannot be read.
    pub(super) fn text(&self, text: Text) -> Option<StrId> {
        self.texts.get(text).flatten()
    }

    /// The place; None if there is none or it cannot be read.
    pub(super) fn place(&self, address: u64) -> Option<Place> {
        self.places.get(&address).copied().filter(|place| *place != Place::default())
    }

    /// Reads the texts and places of a batch that are not known yet.
    pub(super) fn learn(
        &mut self,
        memory: &dyn Memory,
        batch: &Batch,
        into: &mut CodeBuilder,
    ) -> Result<(), TargetError> {
        let mut places = Vec::new();
        let mut texts = Vec::new();
        for entry in &batch.entries {
            self.want_place(entry.location, &mut places);
            self.want_place(entry.doing.map_or(0, |doing| doing.wait_location), &mut places);
            self.want_text(entry.type_name, &mut texts);
            self.want_text(entry.name, &mut texts);
        }
        for &address in &batch.places {
            self.want_place(address, &mut places);
        }
        let read = self.read_places(memory, &places)?;
        for (_, file, name, _) in &read {
            self.want_text(*file, &mut texts);
            self.want_text(*name, &mut texts);
        }
        self.read_texts(memory, &texts, into)?;
        for (address, file, name, line) in read {
            let place = Place { file: self.text(file), name: self.text(name), line };
            self.places.insert(address, place);
        }
        Ok(())
    }

    fn want_place(&mut self, address: u64, wanted: &mut Vec<u64>) {
        if address == 0 || self.places.contains_key(&address) {
            return;
        }
        if self.places.len() >= MAX_PLACES {
            self.left_out += 1;
            return;
        }
        self.places.insert(address, Place::default());
        wanted.push(address);
    }

    fn want_text(&mut self, text: Text, wanted: &mut Vec<Text>) {
        if text.address == 0 || text.len == 0 || self.texts.get(text).is_some() {
            return;
        }
        let len = text.len.min(MAX_TEXT) as usize;
        // The memory of the tables counts too.
        let Some(budget) = self.budget.checked_sub(len + 64) else {
            self.left_out += 1;
            return;
        };
        self.budget = budget;
        self.texts.want(text);
        wanted.push(text);
    }

    /// Address, file, name and line of places.
    fn read_places(
        &mut self,
        memory: &dyn Memory,
        addresses: &[u64],
    ) -> Result<Vec<(u64, Text, Text, u32)>, TargetError> {
        let layout = self.layout;
        let mut read = Vec::with_capacity(addresses.len());
        if layout.size == 0 {
            return Ok(read);
        }
        for some in addresses.chunks(4096) {
            self.ranges.clear();
            self.ranges.extend(some.iter().map(|&address| Range { address, len: layout.size }));
            self.fill(memory)?;
            for ((&address, bytes), &ok) in
                some.iter().zip(self.bytes.chunks_exact(layout.size)).zip(&self.ok)
            {
                if !ok {
                    continue;
                }
                let bytes = Bytes(bytes);
                let text = |address: Option<usize>, len: Option<usize>| Text {
                    address: address.map_or(0, |at| bytes.u64(at)),
                    len: len.map_or(0, |at| bytes.u32(at)),
                };
                let line = layout.line.map_or(0, |at| bytes.u32(at));
                read.push((
                    address,
                    text(layout.file, layout.file_len),
                    text(layout.name, layout.name_len),
                    line,
                ));
            }
        }
        Ok(read)
    }

    fn read_texts(
        &mut self,
        memory: &dyn Memory,
        texts: &[Text],
        into: &mut CodeBuilder,
    ) -> Result<(), TargetError> {
        for some in texts.chunks(4096) {
            self.ranges.clear();
            let range = |text: &Text| Range { address: text.address, len: text.len.min(MAX_TEXT) as usize };
            self.ranges.extend(some.iter().map(range));
            self.fill(memory)?;
            let mut rest = self.bytes.as_slice();
            for ((text, range), &ok) in some.iter().zip(&self.ranges).zip(&self.ok) {
                let Some((bytes, after)) = rest.split_at_checked(range.len) else { break };
                rest = after;
                if !ok {
                    continue;
                }
                let mut shown = String::from_utf8_lossy(bytes);
                if text.len > MAX_TEXT {
                    shown.to_mut().push('…');
                }
                let id = into.string(&shown);
                self.texts.set(*text, id);
            }
        }
        Ok(())
    }

    /// Reads the ranges, one after another.
    fn fill(&mut self, memory: &dyn Memory) -> Result<(), TargetError> {
        let total = self.ranges.iter().map(|range| range.len).sum();
        self.bytes.resize(total, 0);
        self.ok.clear();
        self.ok.resize(self.ranges.len(), false);
        memory.read_many(&self.ranges, &mut self.bytes, &mut self.ok)
    }
}
