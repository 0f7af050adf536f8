//! Reads a dump line by line, and accounts for each line: part of a stack, blank, from something else, or not
//! understood. Lines that are not understood within a goroutine are counted in that goroutine.
//!
//! Grammar after `traceback2` and `printcreatedby` of Go's `runtime/traceback.go`, 1.12 to 1.27. A frame is
//! two lines: the call, and below it, indented, its source location.

use super::go_call::{Place, creator_of, is_call, is_call_of_c, name_of_damaged, split_arguments};
use super::go_dump::{CreatedBy, Cut, DumpFrame, DumpGoroutine, Elided, GoDump};
use super::go_header::{header, is_cut_header};
use super::noise::{self, After};

/// Frames kept of one goroutine; Go prints far fewer.
const MAX_FRAMES: usize = 100_000;
/// At most this many lines that make no sense are kept to be joined to others.
const MAX_ODD: usize = 4;
/// Longer lines are not kept.
const MAX_ODD_LENGTH: usize = 4096;

/// What Go prints in place of the stack of a goroutine that it could not stop.
pub(super) const ON_OTHER_THREAD: &str = "goroutine running on other thread; stack unavailable";

/// Functions of the runtime that nothing calls.
const OUTERMOST: [&str; 8] = [
    "runtime.goexit",
    "runtime.main",
    "runtime.mstart",
    "runtime.mstart1",
    "runtime.rt0_go",
    "runtime.morestack",
    "runtime.systemstack",
    "runtime.mcall",
];

/// What a line turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The first line of a goroutine.
    Header,
    /// It belongs to a goroutine.
    Part,
    /// It is empty.
    Blank,
    /// It belongs to no goroutine, or makes no sense.
    Other,
}

/// Reads a dump line by line.
#[derive(Debug, Default)]
pub(super) struct DumpReader {
    finished: Vec<DumpGoroutine>,
    current: Option<DumpGoroutine>,
    /// A call that waits for the line with its source location.
    call: Option<String>,
    /// The lines since the last part of a goroutine, which made no sense: pieces of a broken line, the name
    /// of a foreign function, or lines from something else.
    odd: Vec<String>,
    /// The last source location, if it may be incomplete.
    short_place: Option<String>,
    /// A line that should have been a header: its first piece, or a damaged header.
    no_header: Option<String>,
    other_lines: u64,
    /// The last goroutine has ended.
    ended: bool,
    /// It ended early: its last line lacks the end, or the next line. Nothing came since.
    ended_early: bool,
    blanks: Blanks,
    strays: Strays,
}

/// Blank lines that some tool put between all lines of a dump.
#[derive(Debug, Default)]
struct Blanks {
    /// This many after each line mean nothing.
    usual: usize,
    /// The same, once as many follow the call as followed the header.
    perhaps: usize,
    /// Blank lines since the last line that was not blank.
    now: usize,
}

/// Stack lines that belong to no goroutine with a header.
#[derive(Debug, Default)]
struct Strays {
    lines: u64,
    call: bool,
    /// They are known to be something else: ancestors, the runtime's own stack, a race report.
    known: Option<After>,
}

impl DumpReader {
    /// Takes one line, without its line feed.
    pub(super) fn line(&mut self, line: &str) -> Line {
        let line = line.trim_end();
        if line.is_empty() {
            return self.blank();
        }
        if let Some(goroutine) = header(line) {
            return self.begin(goroutine);
        }
        let kind = self.text(line);
        self.blanks.now = 0;
        kind
    }

    /// Takes a line, neither a header nor empty, if it is simply the next line of the goroutine.
    pub(super) fn line_if_part(&mut self, line: &str) -> bool {
        let line = line.trim_end();
        let simple = self.odd.is_empty()
            && self.no_header.is_none()
            && self.blanks.perhaps == 0
            && self.blanks.now == 0;
        simple && !line.is_empty() && self.part(line)
    }

    /// Takes a line without the writer's prefix: the second piece of a broken line, or another writer's line.
    pub(super) fn piece(&mut self, line: &str) {
        if noise::is_log_line(line) || noise::is_prose(line) {
            self.other_lines += 1;
        } else if !self.odd.is_empty()
            || self.call.as_ref().is_some_and(|call| call.starts_with("created by "))
        {
            self.keep_odd(line);
        } else if !self.completes_place(line) {
            self.other_lines += 1;
        }
    }

    /// A goroutine begins.
    pub(super) fn begin(&mut self, goroutine: DumpGoroutine) -> Line {
        self.blanks = Blanks { usual: self.blanks.usual, ..Blanks::default() };
        self.no_header = None;
        let untouched = self.call.is_none() && self.odd.is_empty();
        let same = |known: &&mut DumpGoroutine| {
            known.id == goroutine.id
                && known.state == goroutine.state
                && known.frames.is_empty()
                && !known.unavailable
        };
        if let Some(known) = self.current.as_mut().filter(same).filter(|_| untouched) {
            // The same header twice.
            *known = goroutine;
            self.other_lines += 1;
            return Line::Part;
        }
        self.close();
        self.ended_early = false;
        self.strays.known = None;
        self.strays.call = false;
        self.current = Some(goroutine);
        self.ended = false;
        Line::Header
    }

    /// Is a goroutine being read that may continue?
    pub(super) fn within(&self) -> bool {
        self.current.is_some()
    }

    /// Does a call wait for its source location?
    pub(super) fn awaits_place(&self) -> bool {
        self.call.is_some() || self.strays.call
    }

    /// The goroutines that were read since the last call.
    pub(super) fn take_finished(&mut self) -> std::vec::Drain<'_, DumpGoroutine> {
        self.finished.drain(..)
    }

    /// Stack lines that belonged to no goroutine so far.
    pub(super) fn strays(&self) -> u64 {
        self.strays.lines
    }

    /// Stack lines that belonged to no goroutine since the last call.
    pub(super) fn take_strays(&mut self) -> u64 {
        std::mem::take(&mut self.strays.lines)
    }

    /// Nothing more comes. `whole_line`: the last line had a line feed.
    pub(super) fn finish(mut self, whole_line: bool) -> GoDump {
        let cut = self.cut(whole_line);
        self.end_of_text(whole_line);
        GoDump {
            goroutines: self.finished,
            other_lines: self.other_lines,
            stray_lines: self.strays.lines,
            cut,
            ..GoDump::default()
        }
    }

    /// Nothing more comes. A call without its source location marks where the text was cut, and so does half a line.
    pub(super) fn end_of_text(&mut self, whole_line: bool) {
        let half = if whole_line { None } else { self.odd.pop() };
        self.other_lines += u64::from(self.call.take().is_some()) + u64::from(half.is_some());
        self.end();
    }

    /// The goroutine has ended, whatever follows.
    pub(super) fn end(&mut self) {
        self.close();
        self.ended = true;
        self.blanks.perhaps = 0;
    }

    /// Where would the text be cut if it ended here?
    pub(super) fn cut(&self, whole_line: bool) -> Option<Cut> {
        let mut last = self.no_header.iter().chain(self.odd.last());
        if !whole_line && last.any(|line| is_cut_header(line)) {
            return Some(Cut::InHeader);
        }
        (self.is_within(whole_line) || !whole_line && self.ended_early).then_some(Cut::InGoroutine)
    }

    fn is_within(&self, whole_line: bool) -> bool {
        let Some(goroutine) = self.current.as_ref().filter(|_| !self.ended) else { return false };
        let creator = self.odd.last().is_some_and(|line| line.starts_with("created by"));
        if self.call.is_some() || !whole_line && creator {
            return true;
        }
        let Some(last) = goroutine.frames.last() else {
            return !goroutine.unavailable;
        };
        let half_a_line = !whole_line && last.offset.is_none() && !last.inlined && !last.foreign;
        // Only the first goroutine and goroutines made by C code have no creator.
        let outermost = goroutine.id <= 1 || last.function.starts_with("runtime.");
        !outermost || half_a_line
    }

    fn blank(&mut self) -> Line {
        self.blanks.now += 1;
        self.no_header = None;
        self.strays.call = false;
        let begun = |goroutine: &DumpGoroutine| goroutine.frames.is_empty() && !goroutine.unavailable;
        let usual = self.blanks.now <= self.blanks.usual;
        let perhaps = self.current.as_ref().is_some_and(begun) && self.odd.is_empty();
        if !usual && !perhaps {
            if self.strays.known == Some(After::Frames) {
                self.strays.known = None;
            }
            self.ended_early |= self.is_within(true);
            self.end();
        }
        Line::Blank
    }

    fn text(&mut self, line: &str) -> Line {
        if let Some(piece) = self.no_header.take()
            && let Some(goroutine) = header(&(piece + line))
        {
            self.other_lines = self.other_lines.saturating_sub(1);
            return self.begin(goroutine);
        }
        if self.current.is_some() && self.doubts_blanks(line) {
            self.end();
        }
        if self.current.is_none() {
            return self.stray(line);
        }
        if self.part(line) {
            return Line::Part;
        }
        if self.current.is_none() {
            return self.stray(line);
        }
        if let Some(after) = noise::after(line) {
            self.end();
            self.other_lines += 1;
            self.strays.known = Some(after).filter(|&after| after != After::Nothing);
            return Line::Other;
        }
        if line.starts_with("goroutine ") {
            // The following lines are the stack of another goroutine.
            self.end();
            self.no_header = Some(line.to_owned());
            self.other_lines += 1;
            return Line::Other;
        }
        if noise::is_log_line(line) || noise::is_note(line) || noise::is_prose(line) {
            self.other_lines += 1;
            return Line::Other;
        }
        if self.completes_place(line) {
            return Line::Part;
        }
        self.keep_odd(line);
        Line::Other
    }

    /// Do the blank lines after the header end the goroutine? Not if all lines of the dump are that far apart.
    /// Otherwise the lines below them are not this goroutine's.
    fn doubts_blanks(&mut self, line: &str) -> bool {
        let Some(goroutine) = &self.current else { return false };
        if !goroutine.frames.is_empty() || goroutine.unavailable {
            return false;
        }
        let now = self.blanks.now;
        if self.call.is_none() {
            if now > self.blanks.usual {
                self.blanks.perhaps = now;
            }
            let text = line.trim_start();
            if text.starts_with("non-Go function") {
                self.blanks.usual = now;
            }
            let fits =
                is_call(text) || text.starts_with(ON_OTHER_THREAD) || text.starts_with("non-Go function");
            return now > self.blanks.usual && !fits;
        }
        if self.blanks.perhaps == 0 || !self.odd.is_empty() {
            return false;
        }
        let sure = now == self.blanks.perhaps;
        if sure {
            self.blanks.usual = now;
        } else if let Some(call) = self.call.take() {
            // The call belonged to another goroutine, too.
            self.end();
            self.stray(&call);
        }
        self.blanks.perhaps = 0;
        !sure
    }

    fn close(&mut self) {
        let odd = self.odd.len() as u64;
        self.other_lines += odd + u64::from(self.call.is_some());
        let call = self.call.take();
        self.ended_early |= call.is_some();
        if let Some(mut goroutine) = self.current.take() {
            if let Some(function) = call.as_deref().and_then(|call| call.strip_prefix("created by ")) {
                goroutine.created_by = Some(creator_of(function, None));
                goroutine.lost_lines += 1;
            } else {
                goroutine.lost_lines += u64::from(call.is_some());
            }
            if !is_whole(&goroutine) || goroutine.frames.is_empty() {
                goroutine.lost_lines += odd;
            }
            goroutine.frames.shrink_to_fit();
            self.finished.push(goroutine);
        }
        self.odd.clear();
        self.short_place = None;
    }

    fn keep_odd(&mut self, line: &str) {
        if self.odd.len() == MAX_ODD || line.len() > MAX_ODD_LENGTH {
            self.lose(1);
            return;
        }
        self.odd.push(line.to_owned());
    }

    /// This many lines of the goroutine were not understood.
    fn lose(&mut self, lines: u64) {
        self.other_lines += lines;
        if let Some(goroutine) = &mut self.current {
            goroutine.lost_lines += lines;
        }
    }

    fn lose_odd(&mut self) {
        if !self.odd.is_empty() {
            self.lose(self.odd.len() as u64);
            self.odd.clear();
        }
    }

    /// Takes a line that belongs to the current goroutine. False if it does not.
    fn part(&mut self, line: &str) -> bool {
        let Some(goroutine) = &mut self.current else { return false };
        let text = line.trim_start();
        if goroutine.frames.len() >= MAX_FRAMES {
            goroutine.elided = Some(Elided { after: MAX_FRAMES, count: None });
            return false;
        }
        if text.starts_with(ON_OTHER_THREAD) {
            goroutine.unavailable = true;
        } else if let Some(elided) = text.strip_prefix("...").and_then(|gap| gap_of(gap, goroutine)) {
            goroutine.elided = Some(elided);
        } else if let Some(pc) = text.strip_prefix("non-Go function at pc=").and_then(super::go_call::number)
        {
            goroutine.frames.push(DumpFrame { pc: Some(pc), foreign: true, ..DumpFrame::default() });
        } else if let Some(place) = Place::parse(text)
            .filter(|place| (text.len() < line.len() && place.is_plausible()) || place.is_sure())
        {
            return self.place(line, &place);
        } else if is_call(text) {
            return self.begin_call(text);
        } else {
            return false;
        }
        self.short_place = None;
        self.lose_odd();
        true
    }

    /// A call; its source location comes next.
    fn begin_call(&mut self, text: &str) -> bool {
        let Some(goroutine) = &self.current else { return false };
        let creator = text.starts_with("created by ");
        // Frames of another goroutine whose first line is missing.
        if !creator && (goroutine.unavailable || is_below_outermost(goroutine, text)) {
            self.end();
            return false;
        }
        if creator && goroutine.id == 1 {
            self.take_back_other_frames();
            return false;
        }
        self.short_place = None;
        let lost = self.call.replace(text.to_owned()).is_some();
        self.lose(u64::from(lost));
        self.lose_odd();
        true
    }

    /// The first goroutine has no creator: frames below main.main belong to another goroutine.
    fn take_back_other_frames(&mut self) {
        if let Some(goroutine) = &mut self.current {
            match goroutine.frames.iter().position(|frame| frame.function == "main.main") {
                Some(main) => {
                    let others = goroutine.frames.drain(main + 1..).count() as u64;
                    self.strays.lines += 2 * others;
                    self.other_lines += 2 * others;
                }
                // The beginning of the other goroutine cannot be found.
                None => goroutine.lost_lines += 1,
            }
        }
        self.end();
    }

    /// Joins a source location to the call above it.
    fn place(&mut self, line: &str, place: &Place<'_>) -> bool {
        let Some(goroutine) = &mut self.current else { return false };
        let has_code = place.offset.is_some() || place.pc.is_some();
        // C frames have an address, but no offset (there is no start to measure from) and no arguments.
        if place.pc.is_some()
            && place.offset.is_none()
            && self.call.is_none()
            && let Some(name) = self.odd.pop()
        {
            let function = if name == "non-Go function" { String::new() } else { name };
            goroutine.frames.push(DumpFrame { function, foreign: true, ..place.frame() });
            self.lose_odd();
            return true;
        }
        let mut odd = std::mem::take(&mut self.odd);
        // A broken source location: its second piece may look like a whole one.
        let of_place = odd.iter().position(|odd| odd.starts_with(char::is_whitespace)).unwrap_or(odd.len());
        let pieces = odd.split_off(of_place);
        let joined = pieces.concat() + line;
        let whole = (!pieces.is_empty()).then(|| Place::parse(joined.trim_start())).flatten();
        let place = whole.as_ref().unwrap_or(place);
        if whole.is_none() && !pieces.is_empty() {
            // Its call's own source location was among them.
            let call = u64::from(self.call.take().is_some());
            self.lose((odd.len() + pieces.len()) as u64 + 1 + call);
            return true;
        }
        let mut lost = odd.len() as u64;
        if let Some(call) = self.call.take() {
            let joined = call.clone() + &odd.concat();
            if !odd.is_empty() && call.starts_with("created by ") && is_call(&joined) {
                self.call = Some(joined);
                lost = 0;
            } else if odd.len() > 1 {
                self.lose(lost + 2);
                return true;
            } else {
                self.call = Some(call);
            }
        } else if !odd.is_empty() && is_call(odd.concat().trim()) {
            self.call = Some(odd.concat().trim().to_owned());
            lost = 0;
        } else if let [only] = &odd[..]
            && is_call_of_c(only, place)
        {
            self.call = Some(only.trim().to_owned());
            lost = 0;
        } else if let Some(name) = odd.first().and_then(|odd| name_of_damaged(odd)) {
            self.call = Some(name);
        } else {
            self.lose(lost + 1);
            return true;
        }
        self.lose(lost);
        if place.offset.is_none() && place.pc.is_none() {
            self.short_place = Some(line.to_owned());
        }
        self.finish_frame(place, has_code)
    }

    /// The source location of the waiting call.
    fn finish_frame(&mut self, place: &Place<'_>, has_code: bool) -> bool {
        let (Some(call), Some(goroutine)) = (self.call.take(), &mut self.current) else { return false };
        if let Some(creator) = call.strip_prefix("created by ") {
            goroutine.created_by = Some(creator_of(creator, Some(place)));
            // Some tools leave out all offsets.
            let usual = goroutine.frames.iter().any(|frame| frame.offset.is_some());
            self.ended_early = usual && place.offset.is_none() && place.pc.is_none();
            // What follows (the stacks of ancestors, registers after a crash) is not this goroutine's.
            self.end();
        } else {
            let (function, arguments) = split_arguments(&call);
            let inlined = arguments == Some("...") && !has_code;
            goroutine.frames.push(DumpFrame { function: function.to_owned(), inlined, ..place.frame() });
        }
        true
    }

    /// A source location without an offset may be the first piece of a broken one.
    fn completes_place(&mut self, piece: &str) -> bool {
        let Some(first) = self.short_place.take() else { return false };
        let whole = first + piece;
        let Some(place) = Place::parse(whole.trim_start()).filter(|place| place.offset.is_some()) else {
            return false;
        };
        let Some(last) = self.current.as_mut().and_then(|goroutine| goroutine.frames.last_mut()) else {
            return false;
        };
        let function = std::mem::take(&mut last.function);
        *last = DumpFrame { function, ..place.frame() };
        true
    }

    /// A line outside of any goroutine.
    fn stray(&mut self, line: &str) -> Line {
        self.other_lines += 1;
        self.ended_early = false;
        if let Some(after) = noise::after(line) {
            let over = self.strays.known == Some(After::Race) && line.trim_start().starts_with("=====");
            self.strays.known = if over || after != After::Nothing { Some(after) } else { self.strays.known };
            self.strays.known = self.strays.known.filter(|&known| known != After::Nothing);
            self.strays.call = false;
            return Line::Other;
        }
        if line.starts_with("goroutine ") {
            self.no_header = Some(line.to_owned());
        }
        let text = line.trim_start();
        if self.strays.known.is_none() {
            let place = Place::parse(text).filter(|place| place.is_plausible());
            let sure = place.as_ref().is_some_and(|place| place.offset.is_some() && place.is_sure());
            if place.is_some() && self.strays.call || sure {
                self.strays.lines += 1 + u64::from(self.strays.call);
                self.strays.call = false;
            } else {
                self.strays.call = is_call(text);
            }
        }
        Line::Other
    }
}

fn gap_of(gap: &str, goroutine: &DumpGoroutine) -> Option<Elided> {
    let count = match gap.strip_suffix(" frames elided...")? {
        "additional" => None,
        count => Some(count.parse().ok()?),
    };
    Some(Elided { after: goroutine.frames.len(), count })
}

/// Does the goroutine end where goroutines end? Then the following lines were something else's.
fn is_whole(goroutine: &DumpGoroutine) -> bool {
    let outermost = |frame: &DumpFrame| {
        frame.foreign
            || OUTERMOST.contains(&frame.function.as_str())
            || goroutine.id == 0
            || goroutine.id <= 1 && (frame.function == "main.main" || frame.function.contains(".init"))
    };
    goroutine.created_by.is_some() || goroutine.unavailable || goroutine.frames.last().is_some_and(outermost)
}

/// Is it the call of a function that cannot have called the frame above it? Only the runtime and package main
/// call main.main; nothing calls the outermost functions of stacks.
fn is_below_outermost(goroutine: &DumpGoroutine, call: &str) -> bool {
    match goroutine.frames.last().map(|last| last.function.as_str()) {
        Some("main.main") => !call.starts_with("runtime.") && !call.starts_with("main."),
        Some("runtime.goexit" | "runtime.rt0_go") => true,
        Some("runtime.mstart") => !call.starts_with("runtime."),
        _ => false,
    }
}

impl CreatedBy {
    /// A creator with only a name.
    pub(super) fn named(function: &str, goroutine: Option<u64>) -> Self {
        CreatedBy { function: function.to_owned(), goroutine, ..CreatedBy::default() }
    }
}
