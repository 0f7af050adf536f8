//! Converts the code of a profile: its functions, mappings, locations and stacks.

use rustc_hash::{FxHashMap, FxHashSet};

use super::labels::Place;
use super::tables::Tables;
use super::{PprofError, UnusualFunction};
use crate::code::*;
use crate::formats::go_functions;

/// Total locations of all distinct stacks.
pub(super) const MAX_STACKED: usize = 1 << 26;

/// The code of a profile as the model has it.
pub(super) struct Code<'t, 'a> {
    tables: &'t Tables<'a>,
    unusual: Vec<UnusualFunction>,
    /// The model's location for each location of the profile.
    locations: Vec<LocationId>,
    creators: FxHashMap<Place, LocationId>,
    /// The number of distinct stacks so far, and of their locations.
    stacks: (usize, usize),
}

impl<'t, 'a> Code<'t, 'a> {
    /// Adds all functions and locations.
    pub(super) fn read(tables: &'t Tables<'a>, into: &mut CodeBuilder) -> Result<Self, PprofError> {
        let mut unusual = tables.unusual_functions()?;
        unusual.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        let (locations, creators) = (Vec::new(), FxHashMap::default());
        let mut code = Code { tables, unusual, locations, creators, stacks: (0, 0) };
        code.add_locations(into)?;
        Ok(code)
    }

    fn add_locations(&mut self, into: &mut CodeBuilder) -> Result<(), PprofError> {
        let tables = self.tables;
        let mut functions = Vec::new();
        for row in tables.functions.rows() {
            let (name, file) = (tables.text(row.name)?, tables.text(row.file)?);
            let function = self.function(&name, &file, into);
            functions.push((function, into.string(&file)));
        }
        let images = self.images(into)?;
        for row in tables.locations.rows() {
            // The profile has the return address less one; the model has return addresses.
            let address = (row.address != 0).then(|| row.address.saturating_add(1));
            let mut frames = Vec::with_capacity(row.lines.len().max(1));
            for &(function, line) in &row.lines {
                let &(function, file) = (tables.functions.position(function))
                    .and_then(|at| functions.get(at))
                    .ok_or_else(|| PprofError::damaged(format!("there is no function {function}")))?;
                frames.push(Frame { function, file, line: u32::try_from(line).unwrap_or(0) });
            }
            if frames.is_empty() {
                let function = go_functions::add_foreign(into, &go_functions::nameless(address));
                frames.push(into.frame(function, "", 0));
            }
            let image = images.get(&row.mapping).copied().filter(|_| address.is_some());
            let location = Location { address, image, offset: None, frames };
            self.locations.push(into.location(location));
        }
        Ok(())
    }

    /// The images that correspond to mappings, by their ids. A mapping without a range or a file does not
    /// locate code.
    fn images(&self, into: &mut CodeBuilder) -> Result<FxHashMap<u64, ImageId>, PprofError> {
        let tables = self.tables;
        let used: FxHashSet<u64> = tables.locations.rows().map(|row| row.mapping).collect();
        let mut images = FxHashMap::default();
        for &(id, row) in tables.mappings.iter().filter(|(id, _)| used.contains(id)) {
            let (path, build_id) = (tables.text(row.file)?, tables.text(row.build_id)?);
            if row.start >= row.end || path.is_empty() {
                continue;
            }
            let build_id = (!build_id.is_empty()).then(|| into.string(&build_id));
            let path = into.string(&path);
            images.insert(
                id,
                into.image(Image { path, build_id, start: row.start, end: row.end, offset: row.offset }),
            );
        }
        Ok(images)
    }

    fn function(&self, name: &str, file: &str, into: &mut CodeBuilder) -> FunctionId {
        let found = self.unusual.binary_search_by(|f| (f.name.as_str(), f.file.as_str()).cmp(&(name, file)));
        match found.ok().and_then(|at| self.unusual.get(at)) {
            Some(f) => into.function_with(
                name,
                &f.package,
                f.kind,
                FunctionRole { layer: f.layer, begins: f.begins },
            ),
            None => go_functions::add_function(into, name, file),
        }
    }

    /// The location with this id in the profile.
    pub(super) fn location(&self, id: u64) -> Option<LocationId> {
        self.tables.locations.position(id).and_then(|at| self.locations.get(at)).copied()
    }

    /// The id of a stack.
    pub(super) fn stack(
        &mut self,
        locations: Vec<LocationId>,
        into: &mut CodeBuilder,
    ) -> Result<StackId, PprofError> {
        let depth = locations.len();
        let id = into.stack(locations);
        if id.index() == self.stacks.0 {
            self.stacks = (self.stacks.0 + 1, self.stacks.1 + depth);
            if self.stacks.1 > MAX_STACKED {
                return Err(PprofError::damaged(format!(
                    "its stacks have more than {MAX_STACKED} locations"
                )));
            }
        }
        Ok(id)
    }

    /// The location of the place where a task was started.
    pub(super) fn creator(&mut self, place: Place, into: &mut CodeBuilder) -> Result<LocationId, PprofError> {
        if let Some(&known) = self.creators.get(&place) {
            return Ok(known);
        }
        let (name, at) = (self.tables.text(place.function)?, self.tables.text(place.at)?);
        let (file, line) = at.rsplit_once(':').unwrap_or((&at, ""));
        let function = self.function(&name, file, into);
        let frame = into.frame(function, file, line.parse().unwrap_or(0));
        let id = into.location(Location::in_source(vec![frame]));
        self.creators.insert(place, id);
        Ok(id)
    }
}

/// Faulting code made no call: its address is exact in the profile.
pub(super) fn correct_faults(code: &mut CodeTables) {
    let faults: FxHashSet<LocationId> = (code.stacks.iter())
        .flat_map(|stack| stack.locations.windows(2))
        .filter_map(|pair| match pair {
            &[callee, place] if go_functions::raises_fault(code, callee) => Some(place),
            _ => None,
        })
        .collect();
    for id in faults {
        let location = code.locations.get_mut(id.index());
        if let Some(address) = location.and_then(|location| location.address.as_mut()) {
            *address = address.saturating_sub(1);
        }
    }
}
