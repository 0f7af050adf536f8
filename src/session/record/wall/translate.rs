//! Turns the tables of one reading into those of the recording: each string, location and stack once for each reading,
//! however many tasks have it.

use rustc_hash::FxHashMap;

use crate::code::{
    CodeBuilder, CodeTables, Frame, FunctionId, Image, ImageId, LabelSetId, Location, LocationId, StackId,
    StrId,
};
use crate::recording::{MAX_STACKED, RecordingBuilder, SampledTask};
use crate::snapshot::{Snapshot, Task};

/// What a task's sample takes from the tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Translated {
    pub(super) labels: Option<LabelSetId>,
    pub(super) reason: Option<StrId>,
    pub(super) stack: Option<StackId>,
}

/// The tables of the present reading, translated as far as they were needed.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Every location of the recording that readings had. It is looked for by its contents: the code at an address may
    /// change.
    known: FxHashMap<Place, LocationId>,
    runtimes: Vec<u8>,
    /// The runtimes of the recording before this one are of other programs.
    pub(super) first_runtime: usize,
    strings: Column<StrId>,
    functions: Column<FunctionId>,
    locations: Column<LocationId>,
    stacks: Column<StackId>,
    label_sets: Column<LabelSetId>,
}

/// The contents of a [`Location`].
type Place = (Option<u64>, Option<ImageId>, Option<u32>, Box<[Frame]>);

/// For each row of a table of the reading: its row in the recording.
#[derive(Debug)]
struct Column<T>(Vec<Option<T>>);

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column(Vec::new())
    }
}

impl<T: Copy> Column<T> {
    fn begin(&mut self, rows: usize) {
        self.0.clear();
        self.0.resize(rows, None);
    }

    fn get(&self, row: usize) -> Option<T> {
        self.0.get(row).copied().flatten()
    }

    fn set(&mut self, row: usize, value: T) -> T {
        if let Some(slot) = self.0.get_mut(row) {
            *slot = Some(value);
        }
        value
    }
}

impl Tables {
    /// A reading begins.
    pub(super) fn begin(&mut self, snapshot: &Snapshot, builder: &mut RecordingBuilder) {
        let code = &snapshot.code;
        self.strings.begin(code.strings.len());
        self.functions.begin(code.functions.len());
        self.locations.begin(code.locations.len());
        self.stacks.begin(code.stacks.len());
        self.label_sets.begin(code.label_sets.len());
        self.runtimes.clear();
        // A runtime that cannot be read now is missing in the reading.
        let known = &mut builder.header.runtimes;
        let mut from = self.first_runtime;
        for runtime in &snapshot.header.runtimes {
            let is_it = |one: &&crate::snapshot::RuntimeInfo| {
                (&one.name, &one.version, &one.module) == (&runtime.name, &runtime.version, &runtime.module)
            };
            let at = known.iter().skip(from).position(|one| is_it(&one)).map(|at| from + at);
            let at = at.unwrap_or_else(|| {
                known.push(runtime.clone());
                known.len() - 1
            });
            from = at + 1;
            self.runtimes.push(u8::try_from(at).unwrap_or(u8::MAX));
        }
    }

    /// The number of a runtime in the recording.
    pub(super) fn runtime(&self, number: u8) -> u8 {
        self.runtimes.get(usize::from(number)).copied().unwrap_or(number)
    }

    /// What a task's sample takes from the tables.
    pub(super) fn of(
        &mut self,
        task: &Task,
        snapshot: &Snapshot,
        builder: &mut RecordingBuilder,
    ) -> Translated {
        let (from, into) = (&snapshot.code, &mut builder.code);
        Translated {
            labels: task.labels.map(|id| self.labels(id, from, into)),
            reason: task.reason.map(|id| self.string(id, from, into)),
            stack: task.stack.and_then(|id| self.stack(id, from, into)),
        }
    }

    /// A task as the recording knows it.
    pub(super) fn task(
        &mut self,
        task: &Task,
        runtime: u8,
        snapshot: &Snapshot,
        builder: &mut RecordingBuilder,
    ) -> SampledTask {
        let (from, into) = (&snapshot.code, &mut builder.code);
        SampledTask {
            runtime,
            id: task.id,
            address: task.address,
            creator: task.creator.map(|id| self.location(id, from, into)),
            entry: task.entry.and_then(|id| self.function(id, from, into)),
            system: task.system,
        }
    }

    fn string(&mut self, id: StrId, from: &CodeTables, into: &mut CodeBuilder) -> StrId {
        if let Some(known) = self.strings.get(id.index()) {
            return known;
        }
        let string = into.string(from.str(id));
        self.strings.set(id.index(), string)
    }

    fn function(&mut self, id: FunctionId, from: &CodeTables, into: &mut CodeBuilder) -> Option<FunctionId> {
        if let Some(known) = self.functions.get(id.index()) {
            return Some(known);
        }
        let function = from.functions.get(id.index())?;
        let (name, package) = (from.str(function.name), from.str(function.package));
        let function = into.function_with(name, package, function.kind, function.role);
        Some(self.functions.set(id.index(), function))
    }

    fn image(&mut self, id: ImageId, from: &CodeTables, into: &mut CodeBuilder) -> Option<ImageId> {
        let image = from.images.get(id.index())?;
        let path = self.string(image.path, from, into);
        let build_id = image.build_id.map(|id| self.string(id, from, into));
        Some(into.image(Image { path, build_id, ..*image }))
    }

    fn location(&mut self, id: LocationId, from: &CodeTables, into: &mut CodeBuilder) -> LocationId {
        if let Some(known) = self.locations.get(id.index()) {
            return known;
        }
        let nothing = Location::default();
        let location = from.locations.get(id.index()).unwrap_or(&nothing);
        let image = location.image.and_then(|id| self.image(id, from, into));
        let frames: Box<[Frame]> = location
            .frames
            .iter()
            .filter_map(|frame| {
                let function = self.function(frame.function, from, into)?;
                Some(Frame { function, file: self.string(frame.file, from, into), line: frame.line })
            })
            .collect();
        let place: Place = (location.address, image, location.offset, frames);
        let found = self.known.get(&place).copied().unwrap_or_else(|| {
            let frames = place.3.to_vec();
            let id = into.location(Location { address: place.0, image, offset: place.2, frames });
            self.known.insert(place, id);
            id
        });
        self.locations.set(id.index(), found)
    }

    /// None if there are too many different stacks.
    fn stack(&mut self, id: StackId, from: &CodeTables, into: &mut CodeBuilder) -> Option<StackId> {
        if let Some(known) = self.stacks.get(id.index()) {
            return Some(known);
        }
        let locations = from.stack(id).iter().map(|id| self.location(*id, from, into)).collect();
        match into.stack_within(locations, MAX_STACKED) {
            Some(stack) => Some(self.stacks.set(id.index(), stack)),
            None => {
                into.warn("stacks of readings are left out: there were too many different ones".to_owned());
                None
            }
        }
    }

    fn labels(&mut self, id: LabelSetId, from: &CodeTables, into: &mut CodeBuilder) -> LabelSetId {
        if let Some(known) = self.label_sets.get(id.index()) {
            return known;
        }
        let pairs = from.label_sets.get(id.index()).map_or(&[][..], |set| &set.pairs);
        let pairs: Vec<_> =
            pairs.iter().map(|(k, v)| (self.string(*k, from, into), self.string(*v, from, into))).collect();
        self.label_sets.set(id.index(), into.label_set(&pairs))
    }
}
