//! The text that `runtime.Stack`, a goroutine profile with debug=2, SIGQUIT and a crash give.
//!
//! Grammar after `goroutineheader`, `traceback2` and `printcreatedby` of Go's `runtime/traceback.go`,
//! 1.19 to 1.27.

use std::borrow::Cow;

use super::quoted::unquote;

/// A dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoDump {
    /// The goroutines in the order of the text; the one that wrote the dump comes first.
    pub goroutines: Vec<DumpGoroutine>,
    /// Lines that belong to no goroutine (the reason of a crash, log lines) or make no sense.
    pub other_lines: u64,
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
    /// What else the header says, as it stands there: "synctest bubble 3", "gp=0xc000002380".
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
    /// The code address, where the dump gives it.
    pub pc: Option<u64>,
    /// The arguments were not printed: in all likelihood the function was inlined.
    pub inlined: bool,
}

/// Where frames were left out, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elided {
    /// That many frames stand before the gap.
    pub after: usize,
    /// How many were left out. Before Go 1.21 it does not say.
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

impl GoDump {
    /// Reads a dump out of `text`.
    pub fn parse(text: &[u8]) -> GoDump {
        let mut dump = GoDump::default();
        let mut current: Option<DumpGoroutine> = None;
        let mut lines = text.split(|&b| b == b'\n').map(decode).peekable();
        while let Some(line) = lines.next() {
            if let Some(goroutine) = header(&line) {
                dump.goroutines.extend(current.replace(goroutine));
                continue;
            }
            if line.is_empty() {
                dump.goroutines.extend(current.take());
                continue;
            }
            let Some(goroutine) = &mut current else {
                dump.other_lines += 1;
                continue;
            };
            // Every frame is two lines; the second one is indented.
            let place = lines.next_if(|next| next.starts_with('\t'));
            if !goroutine.take(&line, place.as_deref()) {
                dump.other_lines += 1 + u64::from(place.is_some());
            }
        }
        dump.goroutines.extend(current);
        dump
    }
}

fn decode(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
}

impl DumpGoroutine {
    /// Takes a line and the indented one below it. False if they make no sense here.
    fn take(&mut self, line: &str, place: Option<&str>) -> bool {
        if line == "\tgoroutine running on other thread; stack unavailable" {
            self.unavailable = true;
            return place.is_none();
        }
        if let Some(gap) = line.strip_prefix("...") {
            return place.is_none() && self.take_gap(gap);
        }
        // Whatever follows (the stacks of ancestors, registers after a crash) is not this one's.
        if self.created_by.is_some() || line.starts_with('\t') {
            return false;
        }
        if let Some(pc) = line.strip_prefix("non-Go function at pc=") {
            self.frames.push(DumpFrame { pc: number(pc), ..DumpFrame::default() });
            return place.is_none();
        }
        let Some(place) = place.and_then(Place::parse) else {
            return false;
        };
        if let Some(creator) = line.strip_prefix("created by ") {
            let (function, goroutine) = match creator.rsplit_once(" in goroutine ") {
                Some((function, id)) if id.parse::<u64>().is_ok() => (function, id.parse().ok()),
                _ => (creator, None),
            };
            self.created_by = Some(CreatedBy {
                function: function.to_owned(),
                goroutine,
                file: place.file.to_owned(),
                line: place.line,
                offset: place.offset,
            });
            return true;
        }
        let (function, arguments) = split_arguments(line);
        self.frames.push(DumpFrame {
            function: if function == "non-Go function" { "" } else { function }.to_owned(),
            file: place.file.to_owned(),
            line: place.line,
            offset: place.offset,
            pc: place.pc,
            inlined: arguments == Some("..."),
        });
        true
    }

    fn take_gap(&mut self, gap: &str) -> bool {
        let count = match gap.strip_suffix(" frames elided...") {
            Some("additional") => None,
            Some(count) => match count.parse() {
                Ok(count) => Some(count),
                Err(_) => return false,
            },
            None => return false,
        };
        self.elided = Some(Elided { after: self.frames.len(), count });
        true
    }
}

/// `goroutine 7 gp=0x1 m=2 mp=0x3 [chan receive (scan), 3 minutes, locked to thread] {a: b}:`
fn header(line: &str) -> Option<DumpGoroutine> {
    let rest = line.strip_prefix("goroutine ")?.strip_suffix(':')?;
    let (before, rest) = rest.split_once(" [")?;
    let (inside, labels_text) = split_labels(rest)?;
    let mut before = before.split(' ');
    let mut goroutine = DumpGoroutine { id: before.next()?.parse().ok()?, ..DumpGoroutine::default() };
    goroutine.attributes.extend(before.map(str::to_owned));
    if !labels_text.is_empty() {
        goroutine.labels = Some(labels(labels_text)?);
    }

    let mut inside = inside.split(", ");
    let mut state = inside.next()?;
    while let Some(shorter) = state.strip_suffix(" (scan)").or_else(|| state.strip_suffix(" (leaked)")) {
        goroutine.scan |= state.ends_with("(scan)");
        goroutine.leaked |= state.ends_with("(leaked)");
        state = shorter;
    }
    goroutine.state = state.to_owned();
    for attribute in inside {
        if attribute == "locked to thread" {
            goroutine.locked = true;
        } else if let Some(Ok(minutes)) = attribute.strip_suffix(" minutes").map(str::parse) {
            goroutine.wait_minutes = minutes;
        } else {
            goroutine.attributes.push(attribute.to_owned());
        }
    }
    Some(goroutine)
}

/// What stands after the opening bracket, taken apart into state and labels: `sleep]`,
/// `sleep] {a: b}` as from Go 1.27 on, `sleep labels:{"a": "b"}]` as in 1.26. Labels may hold
/// brackets; states do not.
fn split_labels(rest: &str) -> Option<(&str, &str)> {
    let (inside, after) = rest.split_once(']')?;
    match inside.find(" labels:{") {
        Some(at) => Some((rest.get(..at)?, rest.get(at + " labels:".len()..)?.strip_suffix(']')?)),
        None if after.is_empty() => Some((inside, after)),
        None => Some((inside, after.strip_prefix(' ')?)),
    }
}

/// `{key: value, "k 2": "v 2"}`
fn labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut labels = Vec::new();
    loop {
        let (key, after) = label_word(rest)?;
        let (value, after) = label_word(after.strip_prefix(": ")?)?;
        labels.push((key, value));
        match after.strip_prefix(", ") {
            Some(more) => rest = more,
            None => return after.is_empty().then_some(labels),
        }
    }
}

/// What needs no quoting has neither colons nor commas in it.
fn label_word(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return unquote(text);
    }
    let end = text.find([':', ',']).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((word.to_owned(), rest))
}

/// `main.f(0x1, {0x2, ...})` without and within its last pair of parentheses. Argument values hold
/// no parentheses; names do: `net.(*conn).Read(...)`. Foreign frames have no arguments.
fn split_arguments(line: &str) -> (&str, Option<&str>) {
    match line.strip_suffix(')').and_then(|line| line.rsplit_once('(')) {
        Some((function, arguments)) => (function, Some(arguments)),
        None => (line, None),
    }
}

/// `\t/src/file.go:12 +0x1d fp=0x1 sp=0x2 pc=0x3`
struct Place<'a> {
    file: &'a str,
    line: u32,
    offset: Option<u64>,
    pc: Option<u64>,
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut place = Place { file: "", line: 0, offset: None, pc: None };
        let mut rest = text.strip_prefix('\t')?;
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
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "go_text_tests.rs"]
mod tests;
