//! The tables of a profile: columns of equal length that refer to each other by index. The names of members are the
//! format's.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::ms;
use crate::analysis::ShownFrame;
use crate::analysis::recorded::Recorded;
use crate::recording::Sample;
use crate::report::escape;
use crate::snapshot::{Frame, FunctionKind, Layer, StackId};

/// A whole profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    meta: Meta,
    libs: [(); 0],
    threads: Vec<Track>,
    pages: [(); 0],
    profiler_overhead: [(); 0],
    counters: [(); 0],
}

impl File {
    /// A profile with these tracks.
    pub(super) fn new(meta: Meta, threads: Vec<Track>) -> Self {
        File { meta, libs: [], threads, pages: [], profiler_overhead: [], counters: [] }
    }
}

/// What holds for a whole profile.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    categories: [CategoryOut; 4],
    debug: bool,
    extensions: Extensions,
    interval: f64,
    preprocessed_profile_version: u32,
    process_type: u32,
    product: String,
    sample_units: SampleUnits,
    start_time: f64,
    symbolicated: bool,
    paused_ranges: [(); 0],
    version: u32,
    uses_only_one_stack_type: bool,
    source_code_is_not_on_searchfox: bool,
    marker_schema: [Schema; 1],
    #[serde(rename = "importedFrom")]
    imported_from: &'static str,
}

impl Meta {
    /// The time between two samples, the name of the program, and the start, milliseconds since the Unix epoch.
    pub(super) fn new(interval: f64, product: String, start_time: f64) -> Self {
        Meta {
            categories: Category::ALL.map(Category::out),
            debug: false,
            extensions: Extensions::default(),
            interval,
            preprocessed_profile_version: 55,
            process_type: 0,
            product,
            sample_units: SampleUnits { time: "ms", event_delay: "ms", cpu_delta: "µs" },
            start_time,
            symbolicated: true,
            paused_ranges: [],
            version: 24,
            uses_only_one_stack_type: true,
            source_code_is_not_on_searchfox: true,
            marker_schema: [Schema::WAIT],
            imported_from: concat!("loiter ", env!("CARGO_PKG_VERSION")),
        }
    }
}

#[derive(Debug, Serialize, Default)]
struct Extensions {
    length: u32,
    #[serde(rename = "baseURL")]
    base_url: [(); 0],
    id: [(); 0],
    name: [(); 0],
}

#[derive(Debug, Serialize)]
struct SampleUnits {
    time: &'static str,
    #[serde(rename = "eventDelay")]
    event_delay: &'static str,
    #[serde(rename = "threadCPUDelta")]
    cpu_delta: &'static str,
}

/// Whose code a frame is: what the Profiler colours by. The grey one is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Category {
    Other,
    Program,
    Runtime,
    Native,
}

#[derive(Debug, Serialize)]
struct CategoryOut {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

impl Category {
    const ALL: [Category; 4] = [Category::Other, Category::Program, Category::Runtime, Category::Native];

    fn out(self) -> CategoryOut {
        let (name, color) = match self {
            Category::Other => ("Other", "grey"),
            Category::Program => ("Program", "blue"),
            Category::Runtime => ("Runtime", "yellow"),
            Category::Native => ("Native", "orange"),
        };
        CategoryOut { name, color, subcategories: ["Other"] }
    }
}

/// How the Profiler shows a kind of marker.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Schema {
    name: &'static str,
    display: [&'static str; 2],
    chart_label: &'static str,
    tooltip_label: &'static str,
    table_label: &'static str,
    fields: [Field; 3],
}

#[derive(Debug, Serialize)]
struct Field {
    key: &'static str,
    label: &'static str,
    format: &'static str,
}

impl Schema {
    const WAIT: Schema = Schema {
        name: "wait",
        display: ["marker-chart", "marker-table"],
        chart_label: "{marker.name}",
        tooltip_label: "{marker.name}",
        table_label: "{marker.data.task} {marker.data.labels}",
        fields: [
            Field { key: "task", label: "Task", format: "string" },
            Field { key: "state", label: "State", format: "string" },
            Field { key: "labels", label: "Labels", format: "string" },
        ],
    };
}

/// The data of a wait.
#[derive(Debug, Serialize)]
pub(super) struct MarkerData {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) task: String,
    pub(super) state: &'static str,
    pub(super) labels: String,
    /// Where it waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cause>,
}

/// The stack of a marker.
#[derive(Debug, Serialize)]
pub(super) struct Cause {
    time: f64,
    stack: u32,
}

/// What a track is of.
#[derive(Debug)]
pub(super) struct TrackHead {
    name: String,
    process: String,
    pid: String,
    tid: String,
    main: bool,
    end_ns: u64,
}

impl TrackHead {
    /// A track of one of the two processes, "threads" or "tasks".
    pub(super) fn new(recorded: &Recorded, process: &str, name: String, tid: String, main: bool) -> Self {
        let target = &recorded.header.target;
        TrackHead {
            name,
            process: format!("{}: {process}", escape(&target.name)),
            pid: format!("{} {process}", target.pid.unwrap_or(0)),
            tid,
            main,
            end_ns: recorded.header.duration_ns,
        }
    }
}

/// A track: the Profiler calls it a thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Track {
    frame_table: FrameTable,
    func_table: FuncTable,
    markers: Markers,
    name: String,
    is_main_thread: bool,
    native_symbols: NativeSymbols,
    paused_ranges: [(); 0],
    pid: String,
    process_name: String,
    process_shutdown_time: Option<f64>,
    process_startup_time: f64,
    process_type: &'static str,
    register_time: f64,
    resource_table: ResourceTable,
    samples: Samples,
    stack_table: StackTable,
    string_array: Vec<String>,
    tid: String,
    unregister_time: Option<f64>,
    show_markers_in_timeline: bool,
}

#[derive(Debug, Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FrameTable {
    length: u32,
    address: Vec<i32>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    func: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<u32>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

#[derive(Debug, Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct FuncTable {
    length: u32,
    name: Vec<u32>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    resource: Vec<i32>,
    file_name: Vec<Option<u32>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

#[derive(Debug, Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: u32,
    category: Vec<u32>,
    data: Vec<MarkerData>,
    end_time: Vec<f64>,
    name: Vec<u32>,
    phase: Vec<u32>,
    start_time: Vec<f64>,
}

#[derive(Debug, Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: u32,
    address: [(); 0],
    function_size: [(); 0],
    lib_index: [(); 0],
    name: [(); 0],
}

#[derive(Debug, Serialize, Default)]
struct ResourceTable {
    length: u32,
    lib: [(); 0],
    name: [(); 0],
    host: [(); 0],
    #[serde(rename = "type")]
    kind: [(); 0],
}

#[derive(Debug, Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: u32,
    weight_type: &'static str,
    stack: Vec<Option<u32>>,
    time: Vec<f64>,
    weight: Vec<f64>,
    /// Microseconds on a CPU since the sample before. Without it the Profiler takes a thread to be always busy.
    #[serde(rename = "threadCPUDelta", skip_serializing_if = "Option::is_none")]
    cpu_delta: Option<Vec<f64>>,
}

#[derive(Debug, Serialize, Default)]
struct StackTable {
    length: u32,
    prefix: Vec<Option<u32>>,
    frame: Vec<u32>,
}

/// Phase of a marker with a start and an end.
const INTERVAL: u32 = 1;

/// A track under construction.
pub(super) struct Tables<'a> {
    recorded: &'a Recorded,
    head: TrackHead,
    strings: Vec<String>,
    string_index: FxHashMap<String, u32>,
    frames: FrameTable,
    /// None: a frame that says that the stack is not known.
    frame_index: FxHashMap<Option<Frame>, u32>,
    funcs: FuncTable,
    func_index: FxHashMap<(String, String), u32>,
    stacks: StackTable,
    stack_index: FxHashMap<(Option<u32>, u32), u32>,
    known: FxHashMap<Option<StackId>, u32>,
    samples: Samples,
    /// When the last sample was.
    last_ns: Option<u64>,
    markers: Markers,
}

impl<'a> Tables<'a> {
    pub(super) fn new(recorded: &'a Recorded, head: TrackHead) -> Self {
        Tables {
            recorded,
            head,
            strings: Vec::new(),
            string_index: FxHashMap::default(),
            frames: FrameTable::default(),
            frame_index: FxHashMap::default(),
            funcs: FuncTable::default(),
            func_index: FxHashMap::default(),
            stacks: StackTable::default(),
            stack_index: FxHashMap::default(),
            known: FxHashMap::default(),
            samples: Samples { weight_type: "tracing-ms", ..Samples::default() },
            last_ns: None,
            markers: Markers::default(),
        }
    }

    /// Adds a sample of a stack. Samples come in the order of their times.
    pub(super) fn sample(&mut self, sample: &Sample) {
        let stack = self.stack(sample.stack);
        self.row(Some(stack), sample.at_ns, sample.weight_ns);
    }

    /// Adds a sample of time on a CPU, which ends with the sample. Where nothing ran between two of them, a sample without
    /// a stack says so.
    pub(super) fn ran(&mut self, sample: &Sample) {
        let began = sample.at_ns.saturating_sub(sample.weight_ns);
        // The Profiler counts no time before the first sample, and shows no wait before it or after the last one.
        let last = self.last_ns.unwrap_or_else(|| self.rests(0));
        if began > last.saturating_add(sample.weight_ns / 2) {
            self.rests(began);
        }
        self.sample(sample);
        self.samples.cpu_delta.get_or_insert_default().push(sample.weight_ns as f64 / 1e3);
    }

    /// Nothing ran from the last sample to this time, which is returned.
    fn rests(&mut self, until_ns: u64) -> u64 {
        self.row(None, until_ns, 0);
        self.samples.cpu_delta.get_or_insert_default().push(0.0);
        until_ns
    }

    fn row(&mut self, stack: Option<u32>, at_ns: u64, weight_ns: u64) {
        self.last_ns = Some(at_ns);
        self.samples.length += 1;
        self.samples.stack.push(stack);
        self.samples.time.push(ms(at_ns));
        self.samples.weight.push(ms(weight_ns));
    }

    /// Adds a wait.
    pub(super) fn marker(&mut self, sample: &Sample, mut data: MarkerData) {
        data.cause = sample.stack.map(|id| Cause { time: ms(sample.at_ns), stack: self.stack(Some(id)) });
        let reason = sample.reason.map(|id| self.recorded.snapshot.str(id));
        let name = reason.filter(|reason| !reason.is_empty()).unwrap_or(sample.state.name());
        let name = self.string(name);
        let markers = &mut self.markers;
        markers.length += 1;
        markers.category.push(Category::Other as u32);
        markers.data.push(data);
        markers.start_time.push(ms(sample.at_ns));
        markers.end_time.push(ms(sample.at_ns.saturating_add(sample.weight_ns)));
        markers.name.push(name);
        markers.phase.push(INTERVAL);
    }

    /// The finished track. None if there is nothing on it.
    pub(super) fn finish(self) -> Option<Track> {
        let is_empty = self.samples.length == 0 && self.markers.length == 0;
        (!is_empty).then(|| self.track())
    }

    /// The finished track of a recording without anything: the Profiler does not load a file without tracks.
    pub(super) fn nothing(mut self) -> Track {
        self.rests(0);
        self.track()
    }

    fn track(mut self) -> Track {
        if self.samples.cpu_delta.is_some() && self.last_ns < Some(self.head.end_ns) {
            self.rests(self.head.end_ns);
        }
        Track {
            frame_table: self.frames,
            func_table: self.funcs,
            markers: self.markers,
            name: self.head.name,
            is_main_thread: self.head.main,
            native_symbols: NativeSymbols::default(),
            paused_ranges: [],
            pid: self.head.pid,
            process_name: self.head.process,
            process_shutdown_time: Some(ms(self.head.end_ns)),
            process_startup_time: 0.0,
            process_type: "default",
            register_time: 0.0,
            resource_table: ResourceTable::default(),
            samples: self.samples,
            stack_table: self.stacks,
            string_array: self.strings,
            tid: self.head.tid,
            unregister_time: Some(ms(self.head.end_ns)),
            show_markers_in_timeline: true,
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        let text = escape(text).into_owned();
        let next = self.strings.len() as u32;
        let id = *self.string_index.entry(text.clone()).or_insert(next);
        if id == next {
            self.strings.push(text);
        }
        id
    }

    /// The row of a stack: the one of its callers, then of its innermost frame.
    fn stack(&mut self, id: Option<StackId>) -> u32 {
        if let Some(&known) = self.known.get(&id) {
            return known;
        }
        let frames = id.map_or(Vec::new(), |id| self.recorded.frames(id, true));
        let mut at = None;
        for frame in frames.iter().rev() {
            at = Some(self.stack_row(at, Some(*frame)));
        }
        let row = at.unwrap_or_else(|| self.stack_row(None, None));
        self.known.insert(id, row);
        row
    }

    fn stack_row(&mut self, prefix: Option<u32>, frame: Option<ShownFrame>) -> u32 {
        let frame = self.frame(frame.map(|shown| shown.frame));
        let next = self.stacks.length;
        let row = *self.stack_index.entry((prefix, frame)).or_insert(next);
        if row == next {
            self.stacks.length += 1;
            self.stacks.prefix.push(prefix);
            self.stacks.frame.push(frame);
        }
        row
    }

    fn frame(&mut self, frame: Option<Frame>) -> u32 {
        if let Some(&known) = self.frame_index.get(&frame) {
            return known;
        }
        let func = self.func(frame);
        let category = frame.map_or(Category::Other, |frame| self.category(frame));
        let table = &mut self.frames;
        let row = table.length;
        table.length += 1;
        table.address.push(-1);
        table.inline_depth.push(0);
        table.category.push(category as u32);
        table.subcategory.push(0);
        table.func.push(func);
        table.native_symbol.push(None);
        table.inner_window_id.push(0);
        table.line.push(frame.and_then(Frame::known_line));
        table.column.push(None);
        self.frame_index.insert(frame, row);
        row
    }

    fn func(&mut self, frame: Option<Frame>) -> u32 {
        let snapshot = &self.recorded.snapshot;
        let name = frame.map_or("(stack unknown)", |frame| snapshot.function_name(frame.function));
        let name = if name.is_empty() { "(no name)" } else { name };
        let file = frame.map_or("", |frame| snapshot.str(frame.file));
        let key = (name.to_owned(), file.to_owned());
        if let Some(&known) = self.func_index.get(&key) {
            return known;
        }
        let name = self.string(name);
        let file = (!file.is_empty()).then(|| self.string(file));
        let table = &mut self.funcs;
        let row = table.length;
        table.length += 1;
        table.name.push(name);
        table.is_js.push(false);
        table.relevant_for_js.push(false);
        table.resource.push(-1);
        table.file_name.push(file);
        table.line_number.push(None);
        table.column_number.push(None);
        self.func_index.insert(key, row);
        row
    }

    fn category(&self, frame: Frame) -> Category {
        let function = self.recorded.snapshot.code.functions.get(frame.function.index());
        match function.map(|function| (function.kind, function.role.layer)) {
            None => Category::Other,
            Some((FunctionKind::Foreign, _)) => Category::Native,
            Some((FunctionKind::Internal | FunctionKind::Fault, _) | (_, Layer::Lock | Layer::Machinery)) => {
                Category::Runtime
            }
            Some(_) => Category::Program,
        }
    }
}
