//! The contents of a Go dump.

/// A dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoDump {
    /// The goroutines in the order of the text; the goroutine that wrote the dump comes first.
    pub goroutines: Vec<DumpGoroutine>,
    /// Lines that belong to no goroutine (the reason of a crash, log lines) or make no sense.
    pub other_lines: u64,
    /// Stack lines whose goroutine is missing: those before the first header of a dump that begins in the middle, of
    /// the crashed thread if Go gives it no header, or below a damaged header. They are included in `other_lines`.
    pub stray_lines: u64,
    /// The number of stray lines before the first goroutine.
    pub strays_first: u64,
    /// It ends where no dump ends.
    pub cut: Option<Cut>,
}

/// Where a dump was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In the middle of its last goroutine.
    InGoroutine,
    /// In the first line of another goroutine, which is not among its goroutines.
    InHeader,
}

/// One goroutine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpGoroutine {
    /// Its id.
    pub id: u64,
    /// State or wait reason: "running", "chan receive (nil chan)".
    pub state: String,
    /// How long it has been blocked at least, minutes. 0 if under a minute or unknown.
    pub wait_minutes: u64,
    /// It is locked to its thread.
    pub locked: bool,
    /// The runtime has proved that it will never run again.
    pub leaked: bool,
    /// The garbage collector was looking at its stack.
    pub scan: bool,
    /// It waits for something of its own synctest bubble.
    pub durable: bool,
    /// The header's other attributes, verbatim: "synctest bubble 3", "gp=0xc000002380".
    pub attributes: Vec<String>,
    /// Labels; Go prints them from 1.26 on. None if the header has none.
    pub labels: Option<Vec<(String, String)>>,
    /// It ran on another thread: there is no stack.
    pub unavailable: bool,
    /// Its frames, innermost first.
    pub frames: Vec<DumpFrame>,
    /// Frames were left out.
    pub elided: Option<Elided>,
    /// The place where it was started.
    pub created_by: Option<CreatedBy>,
    /// Lines within it that were not understood: frames may be missing.
    pub lost_lines: u64,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DumpFrame {
    /// Function, with "[...]" for type arguments; "panic" for `runtime.gopanic`. Empty for
    /// foreign code without symbols.
    pub function: String,
    /// Source file. Empty if unknown.
    pub file: String,
    /// Line. 0 if unknown.
    pub line: u32,
    /// The code address less the function's start. None for inlined frames and at the very start.
    pub offset: Option<u64>,
    /// The code address, if the dump gives it.
    pub pc: Option<u64>,
    /// It has no code address of its own: it was inlined into the next one.
    pub inlined: bool,
    /// It is foreign code (C).
    pub foreign: bool,
}

/// Where frames were left out, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elided {
    /// The number of frames before the gap.
    pub after: usize,
    /// How many were left out. Dumps before Go 1.21 do not say.
    pub count: Option<u64>,
}

/// The place where a goroutine was started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreatedBy {
    /// Function.
    pub function: String,
    /// Id of the goroutine that started it. None before Go 1.21.
    pub goroutine: Option<u64>,
    /// Source file.
    pub file: String,
    /// Line.
    pub line: u32,
    /// The return address less the function's start.
    pub offset: Option<u64>,
}
