//! What the entries of a registry name, in the code tables: functions, places in the source, labels.

use rustc_hash::FxHashMap;

use super::codes;
use super::places::Places;
use crate::code::{CodeBuilder, Frame, FunctionId, FunctionKind, LabelSetId, Location, LocationId, StrId};
use crate::process::Target;
use crate::runtimes::images::Images;
use crate::words::rust as words;

/// The basis of labels: the name and the kind of a task.
type Labelled = (Option<StrId>, u32);

/// Turns what entries name into the code tables, each once.
pub(super) struct Names<'a> {
    pub(super) places: Places,
    images: Images<'a>,
    locations: FxHashMap<u64, LocationId>,
    /// By the name of the type: the function and its outermost frame.
    entries: FxHashMap<StrId, (FunctionId, LocationId)>,
    /// The labels of the previous task: neighbours often have the same.
    labels: Option<(Labelled, Option<LabelSetId>)>,
    name_key: Option<StrId>,
}

impl<'a> Names<'a> {
    pub(super) fn new(target: &'a dyn Target, places: Places) -> Self {
        Names {
            places,
            images: Images::new(target),
            locations: FxHashMap::default(),
            entries: FxHashMap::default(),
            labels: None,
            name_key: None,
        }
    }

    /// The labels for a given name and for an unusual kind.
    pub(super) fn labels(
        &mut self,
        name: Option<StrId>,
        kind: u32,
        into: &mut CodeBuilder,
    ) -> Option<LabelSetId> {
        if let Some((_, set)) = self.labels.filter(|(last, _)| *last == (name, kind)) {
            return set;
        }
        let kind_label = codes::kind(kind).map(|kind| (into.string("kind"), into.string(kind)));
        let name_label = name.map(|name| (self.name_key(into), name));
        let set = match (kind_label, name_label) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(into.label_set(&[one])),
            (Some(kind), Some(name)) => Some(into.label_set(&[kind, name])),
        };
        self.labels = Some(((name, kind), set));
        set
    }

    /// The key of the label that is a task's name.
    fn name_key(&mut self, into: &mut CodeBuilder) -> StrId {
        *self.name_key.get_or_insert_with(|| into.string("name"))
    }

    /// The function that a task was started with, from the name of its type, and its frame.
    pub(super) fn entry_function(&mut self, name: StrId, into: &mut CodeBuilder) -> (FunctionId, LocationId) {
        *self.entries.entry(name).or_insert_with(|| {
            let name = into.text(name).to_owned();
            let function = function(&name, into);
            let frame = into.frame(function, "", 0);
            (function, into.location(Location::in_source(vec![frame])))
        })
    }

    /// A place in the source: of a spawn or an await.
    pub(super) fn location(&mut self, address: u64, into: &mut CodeBuilder) -> Option<LocationId> {
        if let Some(&known) = self.locations.get(&address) {
            return Some(known);
        }
        let place = self.places.place(address)?;
        let name = place.name.map_or(String::new(), |name| into.text(name).to_owned());
        let function = function(&name, into);
        let file = place.file.unwrap_or_else(|| into.string(""));
        let frame = Frame { function, file, line: place.line };
        // The description of a place is data of the image that contains the place.
        let image = self.images.at(address, into);
        let id = into.location(Location { image, ..Location::in_source(vec![frame]) });
        self.locations.insert(address, id);
        Some(id)
    }
}

fn function(name: &str, into: &mut CodeBuilder) -> FunctionId {
    into.function_with(name, words::module(name), FunctionKind::Normal, words::role(name))
}
