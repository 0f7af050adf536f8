//! Converts the samples of a profile into the tasks of a snapshot.

use rustc_hash::{FxHashMap, FxHashSet};

use super::labels::{Labels, Place};
use super::tables::Tables;
use super::{Limits, PprofError, UnusualFunction};
use crate::formats::go_functions;
use crate::formats::pprof::fields::{profile, sample};
use crate::formats::pprof::wire::Fields;
use crate::import::go_code;
use crate::snapshot::*;
use crate::words;

/// Total locations of all distinct stacks.
const MAX_STACKED: usize = 1 << 26;
/// The number of frames that Go's runtime keeps of a stack: 32 up to 1.22, 128 later.
const GO_DEPTHS: [usize; 2] = [32, 128];

/// Turns samples into tasks.
pub(super) struct Samples<'t, 'a> {
    tables: &'t Tables<'a>,
    into: SnapshotBuilder,
    /// The index of the sample value that counts tasks.
    value: usize,
    /// loiter wrote the profile.
    own: bool,
    /// All of its tasks are leaked.
    leaked: bool,
    most: Limits,
    /// Tasks so far.
    tasks: u64,
    /// The model's location for each location of the profile.
    locations: Vec<LocationId>,
    labels: Labels<'t, 'a>,
    unusual: Vec<UnusualFunction>,
    creators: FxHashMap<Place, LocationId>,
    /// The number of distinct stacks so far, and of their locations.
    stacks: (usize, usize),
}

impl<'t, 'a> Samples<'t, 'a> {
    /// Reads all samples.
    pub(super) fn read(raw: &'a [u8], tables: &'t Tables<'a>, most: Limits) -> Result<Snapshot, PprofError> {
        let header = tables.header()?;
        let own = header.is_some();
        let (value, leaked) = if own { (0, false) } else { count_of_goroutines(tables)? };
        let mut unusual = tables.unusual_functions()?;
        unusual.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
        let mut samples = Samples {
            tables,
            into: SnapshotBuilder::new(),
            value,
            own,
            leaked,
            most,
            tasks: 0,
            locations: Vec::new(),
            labels: Labels::new(tables, own),
            unusual,
            creators: FxHashMap::default(),
            stacks: (0, 0),
        };
        samples.into.header = samples.header(header)?;
        samples.add_locations()?;
        for field in Fields::of(raw) {
            let (number, value) = field?;
            if number == profile::SAMPLE {
                samples.sample(value.bytes()?)?;
            }
        }
        let mut snapshot = samples.into.finish();
        correct_faults(&mut snapshot);
        if !own {
            words::go::classify(&mut snapshot);
            mark_cut_stacks(&mut snapshot);
            tell_single_ones(&mut snapshot);
        }
        Ok(snapshot)
    }

    fn header(&self, written: Option<Header>) -> Result<Header, PprofError> {
        let mut header = match written {
            Some(header) => header,
            None => self.gos_header()?,
        };
        header.target.source = SourceKind::Profile;
        if header.runtimes.is_empty() {
            header.runtimes = go_code::header(SourceKind::Profile, None).runtimes;
        }
        Ok(header)
    }

    fn gos_header(&self) -> Result<Header, PprofError> {
        let tables = self.tables;
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

    fn add_locations(&mut self) -> Result<(), PprofError> {
        let tables = self.tables;
        let mut functions = Vec::new();
        for row in tables.functions.rows() {
            let (name, file) = (tables.text(row.name)?, tables.text(row.file)?);
            let function = self.function(&name, &file);
            functions.push((function, self.into.code.string(&file)));
        }
        let images = self.images()?;
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
                let function = go_functions::add_foreign(&mut self.into, &go_functions::nameless(address));
                frames.push(self.into.code.frame(function, "", 0));
            }
            let image = images.get(&row.mapping).copied().filter(|_| address.is_some());
            let location = Location { address, image, offset: None, frames };
            self.locations.push(self.into.code.location(location));
        }
        Ok(())
    }

    /// The images that correspond to mappings, by their ids. A mapping without a range or a file does not
    /// locate code.
    fn images(&mut self) -> Result<FxHashMap<u64, ImageId>, PprofError> {
        let tables = self.tables;
        let used: FxHashSet<u64> = tables.locations.rows().map(|row| row.mapping).collect();
        let mut images = FxHashMap::default();
        for &(id, row) in tables.mappings.iter().filter(|(id, _)| used.contains(id)) {
            let (path, build_id) = (tables.text(row.file)?, tables.text(row.build_id)?);
            if row.start >= row.end || path.is_empty() {
                continue;
            }
            let code = &mut self.into.code;
            let build_id = (!build_id.is_empty()).then(|| code.string(&build_id));
            let path = code.string(&path);
            images.insert(
                id,
                code.image(Image { path, build_id, start: row.start, end: row.end, offset: row.offset }),
            );
        }
        Ok(images)
    }

    fn function(&mut self, name: &str, file: &str) -> FunctionId {
        let found = self.unusual.binary_search_by(|f| (f.name.as_str(), f.file.as_str()).cmp(&(name, file)));
        match found.ok().and_then(|at| self.unusual.get(at)) {
            Some(f) => self.into.code.function_with(
                name,
                &f.package,
                f.kind,
                FunctionRole { layer: f.layer, begins: f.begins },
            ),
            None => go_functions::add_function(&mut self.into, name, file),
        }
    }

    fn sample(&mut self, message: &'a [u8]) -> Result<(), PprofError> {
        let mut stack = Vec::new();
        let (mut count, mut nth, mut unknown) = (0, 0, None);
        self.labels.clear();
        for field in Fields::of(message) {
            let (number, value) = field?;
            match number {
                sample::LOCATION => value.numbers(|id| {
                    let known = self.tables.locations.position(id).and_then(|at| self.locations.get(at));
                    match known {
                        Some(&location) if stack.len() <= MAX_STACKED => stack.push(location),
                        Some(_) => {}
                        None => unknown = Some(id),
                    }
                })?,
                sample::VALUE => value.numbers(|value| {
                    if nth == self.value {
                        count = value.cast_signed();
                    }
                    nth += 1;
                })?,
                sample::LABEL => self.labels.add(value.bytes()?, &mut self.into)?,
                _ => {}
            }
        }
        if let Some(id) = unknown {
            return Err(PprofError::damaged(format!("there is no location {id}")));
        }
        let count = u64::try_from(count).map_err(|_| PprofError::Difference)?;
        self.tasks = self.tasks.saturating_add(count);
        if self.tasks > self.most.tasks {
            return Err(PprofError::TooManyTasks { limit: self.most.tasks });
        }
        let task = self.task(stack, count)?;
        if task.id.is_none() {
            self.into.counted(task, count);
            return Ok(());
        }
        self.into.task(task);
        if self.into.task_count() > self.most.rows {
            return Err(PprofError::TooManyTasks { limit: self.most.rows as u64 });
        }
        Ok(())
    }

    /// The tasks that the sample counts.
    fn task(&mut self, stack: Vec<LocationId>, count: u64) -> Result<Task, PprofError> {
        let has_stack = !stack.is_empty() || !self.own;
        let stack = if has_stack { Some(self.stack(stack)?) } else { None };
        let labels = self.labels.program(&mut self.into)?;
        let said = self.labels.said();
        let creator = said.creator.map(|place| self.creator(place)).transpose()?;
        let stack_status = match said.stack_status {
            Some(status) => status,
            None if has_stack => StackStatus::Complete,
            None => StackStatus::Unknown,
        };
        Ok(Task {
            runtime: said.runtime,
            // Several tasks cannot have the same id.
            id: said.id.filter(|_| count == 1),
            state: said.state,
            reason: said.reason,
            wait_class: said.wait_class,
            age: said.age,
            parent: said.parent,
            creator,
            labels,
            locked_to_thread: said.locked,
            system: said.system,
            leaked: said.leaked || self.leaked,
            stack,
            stack_status,
            ..Task::default()
        })
    }

    fn stack(&mut self, locations: Vec<LocationId>) -> Result<StackId, PprofError> {
        let depth = locations.len();
        let id = self.into.code.stack(locations);
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
    fn creator(&mut self, place: Place) -> Result<LocationId, PprofError> {
        if let Some(&known) = self.creators.get(&place) {
            return Ok(known);
        }
        let (name, at) = (self.tables.text(place.function)?, self.tables.text(place.at)?);
        let (file, line) = at.rsplit_once(':').unwrap_or((&at, ""));
        let function = self.function(&name, file);
        let frame = self.into.code.frame(function, file, line.parse().unwrap_or(0));
        let id = self.into.code.location(Location::in_source(vec![frame]));
        self.creators.insert(place, id);
        Ok(id)
    }
}

/// The index of the sample value that counts goroutines, and whether all of them are leaked.
fn count_of_goroutines(tables: &Tables<'_>) -> Result<(usize, bool), PprofError> {
    let mut types = Vec::new();
    for (nth, &(name, unit)) in tables.sample_types.iter().enumerate() {
        match tables.bytes(name)? {
            b"goroutine" | b"goroutines" => return Ok((nth, false)),
            // The profile of that name, in Go 1.26 and later.
            b"goroutineleak" => return Ok((nth, true)),
            _ => types.push(format!("{}/{}", short(&tables.text(name)?), short(&tables.text(unit)?))),
        }
    }
    if types.is_empty() {
        return Err(PprofError::damaged("it has no sample types"));
    }
    Err(PprofError::OtherType { types: types.join(", ") })
}

/// If the runtime distinguishes goroutines by ids, the profile is equivalent to a dump of them, unless it was
/// merged from several processes.
fn tell_single_ones(snapshot: &mut Snapshot) {
    let identity = |task: &Task| task.id.map(|id| (task.runtime, id));
    let single = snapshot.tasks.iter().filter(|task| task.id.is_some()).count();
    let again = snapshot.tasks.windows(2).filter(|pair| match pair {
        [a, b] => identity(a).is_some() && identity(a) == identity(b),
        _ => false,
    });
    if let again @ 1.. = again.count() {
        snapshot.header.warnings.push(format!(
            "{again} goroutines have the id of another one: the profile was merged from several processes, so ids do \
             not identify its goroutines"
        ));
    } else if single > 0 && single == snapshot.tasks.len() {
        snapshot.header.target.source = SourceKind::Dump;
        let ages =
            go_code::header(SourceKind::Dump, None).runtimes.pop().and_then(|runtime| runtime.age_meaning);
        if let (Some(runtime), Some(ages)) = (snapshot.header.runtimes.first_mut(), ages) {
            runtime.age_meaning = Some(ages);
        }
    }
}

/// A text, cut to a message's size.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Faulting code made no call: its address is exact in the profile.
fn correct_faults(snapshot: &mut Snapshot) {
    let faults: FxHashSet<LocationId> = (snapshot.code.stacks.iter())
        .flat_map(|stack| stack.locations.windows(2))
        .filter_map(|pair| match pair {
            &[callee, place] if go_functions::raises_fault(snapshot, callee) => Some(place),
            _ => None,
        })
        .collect();
    for id in faults {
        let location = snapshot.code.locations.get_mut(id.index());
        if let Some(address) = location.and_then(|location| location.address.as_mut()) {
            *address = address.saturating_sub(1);
        }
    }
}

/// The runtime keeps a limited number of frames of a stack, and does not say that it cut some. If no
/// stack of the profile is deeper than one of its limits, the stacks that reach that limit were cut.
fn mark_cut_stacks(snapshot: &mut Snapshot) {
    let frames = |id: &LocationId| snapshot.code.locations.get(id.index()).map_or(0, |l| l.frames.len());
    // The runtime does not count frames that are inlined into the last frame kept.
    let depths: Vec<(usize, usize)> = (snapshot.code.stacks.iter())
        .map(|stack| {
            let all: usize = stack.locations.iter().map(frames).sum();
            (all, all.saturating_sub(stack.locations.last().map_or(0, frames).saturating_sub(1)))
        })
        .collect();
    let deepest = depths.iter().map(|depth| depth.1).max().unwrap_or(0);
    let Some(limit) = GO_DEPTHS.into_iter().find(|&limit| deepest <= limit) else { return };
    for task in &mut snapshot.tasks {
        let depth = task.stack.and_then(|id| depths.get(id.index()));
        if depth.is_some_and(|depth| depth.0 >= limit) {
            task.stack_status = StackStatus::Truncated;
        }
    }
}
