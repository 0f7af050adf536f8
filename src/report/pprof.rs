//! Profiles as protocol buffers, for `go tool pprof` and all other readers.
//!
//! They match what Go's `runtime/pprof` writes for its goroutine profile (proto.go, printCountProfile): the
//! same sample type, the same frames (all of the runtime's except `runtime.goexit`, no compiler adapters), so
//! that the two can be compared. What loiter knows of single tasks is in the labels of the samples
//! (`fields::own` of the reader), so each task with an id is a sample. Tasks without an id are counted together
//! if all that is known of them is equal.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;

mod recording;
mod strings;

pub use recording::{write_recording, write_recording_raw};

use self::strings::{Keys, Strings};
use super::places::{Place, places};
use super::text::task_noun;
use crate::analysis::frames::creator_frame;
use crate::analysis::lore::go as lore;
use crate::formats::go_functions;
use crate::formats::pprof::fields::{self, own};
use crate::formats::pprof::wire::{put_bytes, put_number, put_varint};
use crate::snapshot::file::header_to_json;
use crate::snapshot::*;

/// This many bytes are compressed at a time.
const BUFFER: usize = 1 << 18;

/// Writes some tasks (indices into [`Snapshot::tasks`]), compressed with gzip as `.pb.gz` files are.
///
/// # Errors
/// Those of `out`.
pub fn write(snapshot: &Snapshot, tasks: &[u32], out: impl Write) -> io::Result<()> {
    // In large pieces: a profile consists of millions of small writes.
    let mut buffered = BufWriter::with_capacity(BUFFER, GzEncoder::new(out, Compression::fast()));
    write_raw(snapshot, tasks, &mut buffered)?;
    buffered.into_inner()?.finish()?.flush()
}

/// Writes some tasks (indices into [`Snapshot::tasks`]) without compression.
///
/// # Errors
/// Those of `out`.
pub fn write_raw(snapshot: &Snapshot, tasks: &[u32], out: impl Write) -> io::Result<()> {
    let mut profile = Profile::new(snapshot, out);
    profile.write_types()?;
    profile.write_samples(tasks)?;
    profile.write_tables()
}

/// What a task is doing, and why.
type Doing = (TaskState, Option<StrId>, WaitClass);

/// A profile under construction.
struct Profile<'a, W> {
    snapshot: &'a Snapshot,
    /// The comment with the header, for loiter's own reader, if it is not a snapshot's.
    header: Option<String>,
    out: W,
    strings: Strings<'a>,
    keys: Keys,
    goexit: Option<StrId>,
    /// The encoded locations of each stack.
    stacks: Vec<Option<Vec<u8>>>,
    /// The encoded labels of each set.
    label_sets: Vec<Option<Vec<u8>>>,
    /// The encoded labels that say what tasks are doing.
    doing: FxHashMap<Doing, Vec<u8>>,
    /// The encoded labels of each creator: its function and place.
    creators: FxHashMap<LocationId, Vec<u8>>,
    location_ids: FxHashMap<Place, u64>,
    locations: Vec<Place>,
    function_ids: FxHashMap<(FunctionId, StrId), u64>,
    functions: Vec<(FunctionId, StrId)>,
    /// A message, and a nested one.
    message: Vec<u8>,
    inner: Vec<u8>,
}

impl<'a, W: Write> Profile<'a, W> {
    fn new(snapshot: &'a Snapshot, out: W) -> Self {
        let mut strings = Strings::new(snapshot);
        let keys = Keys::new(&mut strings);
        let goexit = snapshot.code.strings.iter().position(|name| name == lore::OUTERMOST);
        Profile {
            snapshot,
            header: None,
            out,
            strings,
            keys,
            goexit: goexit.map(|at| StrId(at as u32)),
            stacks: vec![None; snapshot.code.stacks.len()],
            label_sets: vec![None; snapshot.code.label_sets.len()],
            doing: FxHashMap::default(),
            creators: FxHashMap::default(),
            location_ids: FxHashMap::default(),
            locations: Vec::new(),
            function_ids: FxHashMap::default(),
            functions: Vec::new(),
            message: Vec::new(),
            inner: Vec::new(),
        }
    }

    /// Writes a field of the profile with the given contents.
    fn put(&mut self, field: u32, contents: &[u8]) -> io::Result<()> {
        self.put_head(field, contents.len())?;
        self.out.write_all(contents)
    }

    /// Writes the message as a field of the profile.
    fn put_message(&mut self, field: u32) -> io::Result<()> {
        self.put_head(field, self.message.len())?;
        self.out.write_all(&self.message)
    }

    fn put_head(&mut self, field: u32, len: usize) -> io::Result<()> {
        self.inner.clear();
        put_varint(&mut self.inner, u64::from(field) << 3 | 2);
        put_varint(&mut self.inner, len as u64);
        self.out.write_all(&self.inner)
    }

    /// What is counted: goroutines, one each.
    fn write_types(&mut self) -> io::Result<()> {
        let (noun, unit) = (self.strings.text(task_noun(self.snapshot)), self.strings.text("count"));
        let mut counted = Vec::new();
        put_number(&mut counted, fields::value_type::TYPE, noun);
        put_number(&mut counted, fields::value_type::UNIT, unit);
        self.put(fields::profile::PERIOD_TYPE, &counted)?;
        let mut numbers = Vec::new();
        put_number(&mut numbers, fields::profile::PERIOD, 1);
        put_number(&mut numbers, fields::profile::TIME_NANOS, self.snapshot.header.taken_at_ns.unwrap_or(0));
        self.out.write_all(&numbers)?;
        self.put(fields::profile::SAMPLE_TYPE, &counted)
    }

    fn write_samples(&mut self, tasks: &[u32]) -> io::Result<()> {
        let snapshot = self.snapshot;
        // Samples of tasks without an id, encoded except for the count; in their first order.
        let mut counts: FxHashMap<Vec<u8>, usize> = FxHashMap::default();
        let mut counted: Vec<(Vec<u8>, u64)> = Vec::new();
        for task in tasks.iter().filter_map(|&index| snapshot.tasks.get(index as usize)) {
            self.message.clear();
            if task.id.is_some() {
                put_number(&mut self.message, fields::sample::VALUE, 1);
                self.encode_task(task);
                self.put_message(fields::profile::SAMPLE)?;
                continue;
            }
            self.encode_task(task);
            match counts.get(&self.message).and_then(|&at| counted.get_mut(at)) {
                Some((_, count)) => *count = count.saturating_add(task.count()),
                None => {
                    counts.insert(self.message.clone(), counted.len());
                    counted.push((self.message.clone(), task.count()));
                }
            }
        }
        drop(counts);
        counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        for (sample, count) in counted {
            self.message.clear();
            put_number(&mut self.message, fields::sample::VALUE, count);
            self.message.extend_from_slice(&sample);
            self.put_message(fields::profile::SAMPLE)?;
        }
        Ok(())
    }

    /// Appends everything except the count to the message.
    fn encode_task(&mut self, task: &Task) {
        let start = self.message.len();
        if let Some(stack) = task.stack {
            self.encode_stack(stack);
        }
        let has_stack = self.message.len() > start;
        if let Some(id) = task.id {
            self.put_number_label(self.keys.id, id, self.keys.id);
        }
        self.encode_doing((task.state, task.reason, task.wait_class));
        if let Some(age) = task.age.nanos() {
            self.put_number_label(self.keys.wait_seconds, age / 1_000_000_000, self.keys.seconds);
        }
        if let Some(creator) = task.creator {
            self.encode_creator(creator);
        }
        if let Some(parent) = task.parent {
            self.put_number_label(self.keys.parent, parent, self.keys.id);
        }
        let usual = if has_stack { StackStatus::Complete } else { StackStatus::Unknown };
        if task.stack_status != usual {
            let status = self.strings.text(task.stack_status.name());
            self.put_label(self.keys.stack, status);
        }
        let facts =
            [(task.leaked, own::LEAKED), (task.locked_to_thread, own::LOCKED), (task.system, own::SYSTEM)];
        for (_, fact) in facts.into_iter().filter(|&(is, _)| is) {
            let fact = self.strings.text(fact);
            self.put_label(self.keys.is, fact);
        }
        if task.runtime != 0 {
            self.put_number_label(self.keys.runtime, task.runtime.into(), self.keys.runtime);
        }
        if let Some(labels) = task.labels {
            self.encode_labels(labels);
        }
    }

    fn encode_doing(&mut self, doing: Doing) {
        if let Some(known) = self.doing.get(&doing) {
            self.message.extend_from_slice(known);
            return;
        }
        let start = self.message.len();
        let (state, reason, class) = doing;
        if state != TaskState::Unknown {
            let state = self.strings.text(state.name());
            self.put_label(self.keys.state, state);
        }
        if let Some(reason) = reason {
            let reason = self.strings.of(self.snapshot, reason);
            self.put_label(self.keys.wait_reason, reason);
        }
        if class != WaitClass::Unknown {
            let class = self.strings.text(class.name());
            self.put_label(self.keys.wait_class, class);
        }
        self.doing.insert(doing, self.encoded_from(start));
    }

    fn encode_creator(&mut self, id: LocationId) {
        if let Some(known) = self.creators.get(&id) {
            self.message.extend_from_slice(known);
            return;
        }
        let start = self.message.len();
        let snapshot = self.snapshot;
        let (function, at) = match creator_frame(snapshot, id) {
            Some(frame) => {
                let at = format!("{}:{}", snapshot.str(frame.file), frame.line);
                // The table of functions tells what the creator is, if its name does not.
                self.function_id(frame);
                (self.strings.text(snapshot.function_name(frame.function)), self.strings.text(at))
            }
            None => (0, 0),
        };
        self.put_label(self.keys.created_by, function);
        self.put_label(self.keys.created_at, at);
        self.creators.insert(id, self.encoded_from(start));
    }

    /// What was appended to the message since it had this length.
    fn encoded_from(&self, start: usize) -> Vec<u8> {
        self.message.get(start..).unwrap_or_default().to_vec()
    }

    fn put_label(&mut self, key: u64, text: u64) {
        self.inner.clear();
        put_number(&mut self.inner, fields::label::KEY, key);
        put_number(&mut self.inner, fields::label::STR, text);
        put_bytes(&mut self.message, fields::sample::LABEL, &self.inner);
    }

    fn put_number_label(&mut self, key: u64, number: u64, unit: u64) {
        self.inner.clear();
        put_number(&mut self.inner, fields::label::KEY, key);
        put_number(&mut self.inner, fields::label::NUM, number);
        put_number(&mut self.inner, fields::label::UNIT, unit);
        put_bytes(&mut self.message, fields::sample::LABEL, &self.inner);
    }

    fn encode_labels(&mut self, id: LabelSetId) {
        let snapshot = self.snapshot;
        if let Some(Some(known)) = self.label_sets.get(id.index()) {
            self.message.extend_from_slice(known);
            return;
        }
        let start = self.message.len();
        for &(key, value) in snapshot.code.label_sets.get(id.index()).map_or(&[][..], |set| &set.pairs) {
            let text = snapshot.str(key);
            let key = match own::is_taken(text) {
                true => self.strings.text(format!("{}{text}", own::PROGRAM)),
                false => self.strings.of(snapshot, key),
            };
            let value = self.strings.of(snapshot, value);
            self.put_label(key, value);
        }
        let encoded = self.encoded_from(start);
        if let Some(slot) = self.label_sets.get_mut(id.index()) {
            *slot = Some(encoded);
        }
    }

    fn encode_stack(&mut self, id: StackId) {
        if let Some(Some(known)) = self.stacks.get(id.index()) {
            self.message.extend_from_slice(known);
            return;
        }
        let snapshot = self.snapshot;
        let stack = snapshot.code.stacks.get(id.index()).map_or(&[][..], |stack| &stack.locations);
        let mut packed = Vec::new();
        for place in places(snapshot, stack) {
            if let Some(id) = self.location_id(place) {
                put_varint(&mut packed, id);
            }
        }
        let mut encoded = Vec::new();
        if !packed.is_empty() {
            put_bytes(&mut encoded, fields::sample::LOCATION, &packed);
        }
        self.message.extend_from_slice(&encoded);
        if let Some(slot) = self.stacks.get_mut(id.index()) {
            *slot = Some(encoded);
        }
    }

    /// The written frames of a place.
    fn frames(&self, place: Place) -> impl Iterator<Item = Frame> + use<'a, W> {
        let (snapshot, goexit) = (self.snapshot, self.goexit);
        let name = |frame: Frame| snapshot.code.functions.get(frame.function.index()).map(|f| f.name);
        place.frames(snapshot).filter(move |&frame| goexit.is_none() || name(frame) != goexit)
    }

    /// The id of a location; None if none of its frames is written.
    fn location_id(&mut self, place: Place) -> Option<u64> {
        if let Some(&known) = self.location_ids.get(&place) {
            return Some(known);
        }
        self.frames(place).next()?;
        self.locations.push(place);
        let id = self.locations.len() as u64;
        self.location_ids.insert(place, id);
        Some(id)
    }

    fn function_id(&mut self, frame: Frame) -> u64 {
        let key = (frame.function, frame.file);
        *self.function_ids.entry(key).or_insert_with(|| {
            self.functions.push(key);
            self.functions.len() as u64
        })
    }

    /// Everything that samples refer to; the strings last, because all other tables add to them.
    fn write_tables(mut self) -> io::Result<()> {
        let mappings = self.write_mappings()?;
        for (nth, place) in std::mem::take(&mut self.locations).into_iter().enumerate() {
            self.write_location(nth as u64 + 1, place, &mappings)?;
        }
        for (nth, (function, file)) in self.functions.clone().into_iter().enumerate() {
            let name = self.snapshot.code.functions.get(function.index()).map_or(StrId(u32::MAX), |f| f.name);
            let name = self.strings.of(self.snapshot, name);
            self.message.clear();
            put_number(&mut self.message, fields::function::ID, nth as u64 + 1);
            put_number(&mut self.message, fields::function::NAME, name);
            put_number(&mut self.message, fields::function::SYSTEM_NAME, name);
            let file = self.strings.of(self.snapshot, file);
            put_number(&mut self.message, fields::function::FILENAME, file);
            self.put_message(fields::profile::FUNCTION)?;
        }
        self.write_comments()?;
        for text in std::mem::take(&mut self.strings.texts) {
            self.put(fields::profile::STRING_TABLE, text.as_bytes())?;
        }
        self.out.flush()
    }

    /// The executable first, then the other images with locations. Returns the ids of the images' mappings.
    ///
    /// The executable is there even if it is not known where it is mapped: readers take the program's name and
    /// build id from it.
    fn write_mappings(&mut self) -> io::Result<FxHashMap<ImageId, u64>> {
        let snapshot = self.snapshot;
        let target = &snapshot.header.target;
        let used: BTreeSet<ImageId> =
            self.locations.iter().filter_map(|place| place.image(snapshot)).collect();
        let image = |id: ImageId| snapshot.code.images.get(id.index()).copied();
        let is_executable = |id: &ImageId| {
            target.exe.is_some() && target.exe.as_deref() == image(*id).map(|image| snapshot.str(image.path))
        };
        let executable = used.iter().copied().find(is_executable);
        let name = target.exe.as_deref().unwrap_or(&target.name);
        let name =
            (self.strings.text(name), self.strings.text(target.build_id.as_deref().unwrap_or_default()));
        match executable.and_then(image) {
            Some(image) => self.write_mapping(1, (image.start, image.end, image.offset), name)?,
            None => self.write_mapping(1, (0, 0, 0), name)?,
        }
        let mut ids: FxHashMap<ImageId, u64> = executable.map(|id| (id, 1)).into_iter().collect();
        let others = used.into_iter().filter(|&id| Some(id) != executable);
        for ((id, image), mapping) in others.filter_map(|id| Some((id, image(id)?))).zip(2..) {
            let build_id = image.build_id.map_or(0, |id| self.strings.of(snapshot, id));
            let name = (self.strings.of(snapshot, image.path), build_id);
            self.write_mapping(mapping, (image.start, image.end, image.offset), name)?;
            ids.insert(id, mapping);
        }
        Ok(ids)
    }

    /// A mapping: its range and offset in the file, then file and build id in the table of strings. Its code is
    /// marked as fully symbolized, so that no reader looks for its symbols.
    fn write_mapping(
        &mut self,
        id: u64,
        (start, end, offset): (u64, u64, u64),
        (file, build_id): (u64, u64),
    ) -> io::Result<()> {
        self.message.clear();
        for (field, number) in [
            (fields::mapping::ID, id),
            (fields::mapping::START, start),
            (fields::mapping::LIMIT, end),
            (fields::mapping::OFFSET, offset),
            (fields::mapping::FILENAME, file),
            (fields::mapping::BUILD_ID, build_id),
            (fields::mapping::HAS_FUNCTIONS, 1),
            (fields::mapping::HAS_FILENAMES, 1),
            (fields::mapping::HAS_LINE_NUMBERS, 1),
            (fields::mapping::HAS_INLINE_FRAMES, 1),
        ] {
            put_number(&mut self.message, field, number);
        }
        self.put_message(fields::profile::MAPPING)
    }

    fn write_location(
        &mut self,
        id: u64,
        place: Place,
        mappings: &FxHashMap<ImageId, u64>,
    ) -> io::Result<()> {
        self.message.clear();
        put_number(&mut self.message, fields::location::ID, id);
        if let Some(address) = place.call(self.snapshot) {
            if let Some(&mapping) = place.image(self.snapshot).and_then(|image| mappings.get(&image)) {
                put_number(&mut self.message, fields::location::MAPPING, mapping);
            }
            put_number(&mut self.message, fields::location::ADDRESS, address);
        }
        for frame in self.frames(place) {
            let function = self.function_id(frame);
            self.inner.clear();
            put_number(&mut self.inner, fields::line::FUNCTION, function);
            put_number(&mut self.inner, fields::line::LINE, frame.line.into());
            put_bytes(&mut self.message, fields::location::LINE, &self.inner);
        }
        self.put_message(fields::profile::LOCATION)
    }

    fn write_comments(&mut self) -> io::Result<()> {
        let snapshot = self.snapshot;
        let unusual: Vec<_> = (self.functions.iter())
            .filter_map(|&(id, file)| Some((snapshot.code.functions.get(id.index())?, file)))
            .map(|(f, file)| own::UnusualFunction {
                name: snapshot.str(f.name).to_owned(),
                file: snapshot.str(file).to_owned(),
                package: snapshot.str(f.package).to_owned(),
                kind: f.kind,
                layer: f.role.layer,
                begins: f.role.begins,
            })
            .filter(|f| {
                !go_functions::tells(
                    &f.name,
                    &f.file,
                    &f.package,
                    (f.kind, FunctionRole { layer: f.layer, begins: f.begins }),
                )
            })
            .collect();
        let header = match self.header.take() {
            Some(header) => header,
            None => format!("{}{}", own::HEADER, header_to_json(&snapshot.header).map_err(io::Error::other)?),
        };
        let mut comments = vec![header];
        if !unusual.is_empty() {
            comments.push(format!("{}{}", own::FUNCTIONS, serde_json::to_string(&unusual)?));
        }
        let mut packed = Vec::new();
        for comment in comments {
            put_varint(&mut packed, self.strings.text(comment));
        }
        self.put(fields::profile::COMMENT, &packed)
    }
}
