//! Reads a dump line by line, and bears with lines of something else in between.
//!
//! Grammar after `traceback2` and `printcreatedby` of Go's `runtime/traceback.go`, 1.12 to 1.27. A
//! frame is two lines: the call, and below it, indented, its place.

use super::go_header::header;
use super::go_text::{CreatedBy, DumpFrame, DumpGoroutine, Elided, GoDump};

/// Frames kept of one goroutine; what Go prints stays far below.
const MAX_FRAMES: usize = 100_000;

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The first one of a goroutine.
    Header,
    /// It belongs to a goroutine.
    Part,
    /// Nothing is on it.
    Blank,
    /// It belongs to none, or makes no sense.
    Other,
}

/// Reads a dump line by line.
#[derive(Debug, Default)]
pub(super) struct DumpReader {
    finished: Vec<DumpGoroutine>,
    current: Option<DumpGoroutine>,
    /// A call that waits for the line with its place.
    call: Option<String>,
    /// The line before this one, which made no sense: the name of a foreign function, perhaps.
    odd: Option<String>,
    other_lines: u64,
    /// The last goroutine came to its end.
    ended: bool,
}

impl DumpReader {
    /// Takes one line, without its line feed.
    pub(super) fn line(&mut self, line: &str) -> Line {
        let line = line.trim_end();
        if let Some(goroutine) = header(line) {
            self.close();
            self.current = Some(goroutine);
            self.ended = false;
            return Line::Header;
        }
        if line.is_empty() {
            self.close();
            self.ended = true;
            return Line::Blank;
        }
        if self.part(line) {
            return Line::Part;
        }
        self.drop_odd();
        self.odd = Some(line.to_owned());
        Line::Other
    }

    /// Is a goroutine being read of which more may come?
    pub(super) fn within(&self) -> bool {
        self.current.is_some()
    }

    /// The goroutines that were read since this was last asked.
    pub(super) fn take_finished(&mut self) -> std::vec::Drain<'_, DumpGoroutine> {
        self.finished.drain(..)
    }

    /// Nothing more comes. `whole_line`: the last line had a line feed.
    pub(super) fn finish(mut self, whole_line: bool) -> GoDump {
        let cut = self.is_cut(whole_line);
        self.close();
        GoDump { goroutines: self.finished, other_lines: self.other_lines, cut }
    }

    /// Would the text end within a goroutine if it ended here?
    pub(super) fn is_cut(&self, whole_line: bool) -> bool {
        if !whole_line && self.odd.as_ref().is_some_and(|line| line.starts_with("goroutine")) {
            return true;
        }
        let Some(goroutine) = self.current.as_ref().filter(|_| !self.ended) else { return false };
        if self.call.is_some() {
            return true;
        }
        let Some(last) = goroutine.frames.last() else {
            return !goroutine.unavailable;
        };
        let half_a_line = !whole_line && last.offset.is_none() && !last.inlined && !last.foreign;
        // Only the first goroutine and those that C code made have no creator.
        let outermost = goroutine.id <= 1 || last.function.starts_with("runtime.");
        !outermost || half_a_line
    }

    fn close(&mut self) {
        self.drop_odd();
        self.other_lines += u64::from(self.call.take().is_some());
        self.finished.extend(self.current.take());
    }

    fn drop_odd(&mut self) {
        self.other_lines += u64::from(self.odd.take().is_some());
    }

    /// Takes a line that belongs to the current goroutine. False if it does not.
    fn part(&mut self, line: &str) -> bool {
        let Some(goroutine) = &mut self.current else { return false };
        let text = line.trim_start();
        if goroutine.frames.len() >= MAX_FRAMES {
            goroutine.elided = Some(Elided { after: MAX_FRAMES, count: None });
            return false;
        }
        if text == "goroutine running on other thread; stack unavailable" {
            goroutine.unavailable = true;
        } else if let Some(elided) = text.strip_prefix("...").and_then(|gap| gap_of(gap, goroutine)) {
            goroutine.elided = Some(elided);
        } else if let Some(pc) = text.strip_prefix("non-Go function at pc=").and_then(number) {
            goroutine.frames.push(DumpFrame { pc: Some(pc), foreign: true, ..DumpFrame::default() });
        } else if let Some(place) =
            Place::parse(text).filter(|place| text.len() < line.len() || place.is_sure())
        {
            return self.place(&place);
        } else if is_call(text) {
            self.other_lines += u64::from(self.call.replace(text.to_owned()).is_some());
        } else {
            return false;
        }
        self.drop_odd();
        true
    }

    /// Joins a place to the call above it.
    fn place(&mut self, place: &Place<'_>) -> bool {
        let Some(goroutine) = &mut self.current else { return false };
        let has_code = place.offset.is_some() || place.pc.is_some();
        // Frames of C have an address, but nothing to measure its offset from, and no arguments.
        if let Some(name) = self.odd.take_if(|_| place.pc.is_some() && place.offset.is_none()) {
            let function = if name == "non-Go function" { String::new() } else { name };
            goroutine.frames.push(DumpFrame { function, foreign: true, ..place.frame() });
            return true;
        }
        let Some(call) = self.call.take() else { return false };
        self.drop_odd();
        let Some(goroutine) = &mut self.current else { return false };
        if let Some(creator) = call.strip_prefix("created by ") {
            goroutine.created_by = Some(creator_of(creator, place));
            // Whatever follows (the stacks of ancestors, registers after a crash) is not this one's.
            self.close();
            self.ended = true;
        } else {
            let (function, arguments) = split_arguments(&call);
            let inlined = arguments == Some("...") && !has_code;
            goroutine.frames.push(DumpFrame { function: function.to_owned(), inlined, ..place.frame() });
        }
        true
    }
}

fn gap_of(gap: &str, goroutine: &DumpGoroutine) -> Option<Elided> {
    let count = match gap.strip_suffix(" frames elided...")? {
        "additional" => None,
        count => Some(count.parse().ok()?),
    };
    Some(Elided { after: goroutine.frames.len(), count })
}

fn creator_of(creator: &str, place: &Place<'_>) -> CreatedBy {
    let (function, goroutine) = match creator.rsplit_once(" in goroutine ") {
        Some((function, id)) if id.parse::<u64>().is_ok() => (function, id.parse().ok()),
        _ => (creator, None),
    };
    CreatedBy {
        function: function.to_owned(),
        goroutine,
        file: place.file.to_owned(),
        line: place.line,
        offset: place.offset,
    }
}

/// Does a line look like a call? Names hold no blanks but in type arguments; arguments are numbers.
fn is_call(line: &str) -> bool {
    if let Some(creator) = line.strip_prefix("created by ") {
        return !creator.is_empty();
    }
    let (function, Some(arguments)) = split_arguments(line) else { return false };
    let number = |c: char| c.is_ascii_hexdigit() || "x{}.,?_ ".contains(c);
    let plain = match (function.find('['), function.rfind(']')) {
        (Some(open), Some(close)) if open < close => function.get(..open).unwrap_or_default(),
        _ => function,
    };
    let made_by_compiler = ["type:", "type..", "go:"].iter().any(|prefix| function.starts_with(prefix));
    arguments.chars().all(number)
        && (function == "panic" || function.contains('.'))
        && (made_by_compiler || !plain.contains(' '))
}

/// `main.f(0x1, {0x2, ...})` without and within its last pair of parentheses. Argument values hold
/// no parentheses; names do: `net.(*conn).Read(...)`. Foreign frames have no arguments.
fn split_arguments(line: &str) -> (&str, Option<&str>) {
    match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((function, arguments)) => (function, Some(arguments)),
        None => (line, None),
    }
}

/// `/src/file.go:12 +0x1d fp=0x1 sp=0x2 pc=0x3`
struct Place<'a> {
    file: &'a str,
    line: u32,
    offset: Option<u64>,
    pc: Option<u64>,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut place = Place { file: "", line: 0, offset: None, pc: None };
        let mut rest = text;
        // From the end: paths may hold blanks and colons.
        loop {
            let (before, last) = rest.rsplit_once(' ').unwrap_or(("", rest));
            if let Some(pc) = last.strip_prefix("pc=").and_then(number) {
                place.pc = Some(pc);
            } else if let Some(offset) = last.strip_prefix('+').and_then(number) {
                place.offset = Some(offset);
            } else if last.strip_prefix("fp=").or_else(|| last.strip_prefix("sp=")).and_then(number).is_none()
            {
                break;
            }
            rest = before;
        }
        if let Some((file, line)) = rest.rsplit_once(':') {
            place.file = file;
            place.line = line.parse().ok()?;
            return Some(place);
        }
        (rest.is_empty() && place.pc.is_some()).then_some(place)
    }

    /// It is a place even where whatever kept the text took the indentation away.
    fn is_sure(&self) -> bool {
        let source = [".go", ".s", "<autogenerated>"].iter().any(|end| self.file.ends_with(end));
        self.offset.is_some() || source && (self.file.starts_with('/') || !self.file.contains(' '))
    }

    fn frame(&self) -> DumpFrame {
        DumpFrame {
            file: self.file.to_owned(),
            line: self.line,
            offset: self.offset,
            pc: self.pc,
            ..DumpFrame::default()
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
