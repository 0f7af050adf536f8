//! Finds the writer of each line of a log, and what that writer put around it.
//!
//! Several writers may write to one log at the same time, line by line. Each has its own reader ([`Stream`]), so
//! that no line gets into another writer's goroutine. The text before and after its lines is learnt at the header
//! of a goroutine from the following lines ([`Held`]); the header is held back until then.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::super::go_dump::{Cut, DumpGoroutine};
use super::super::go_header::{header_in, is_cut_header};
use super::super::go_lines::Line;
use super::super::noise;
use super::GoLog;
use super::collect::{Beginning, Dumps};
use super::crash::{self, Crash, OF_FIELDS, Said};
use super::loose::Loose;
use super::prefix::{Prefix, Suffix, timestamp};
use super::records::{Record, Sink};
use super::stream::{Order, Stream};
use super::wrap::{AHEAD, Held, Known, OneLine, key};

/// Writers whose goroutines are read at the same time.
const MAX_STREAMS: usize = 32;
/// Shapes of prefixes that are remembered.
const MAX_KNOWN: usize = 1024;
/// This many lines after the last header, nothing more is expected.
const INTEREST: u64 = 4096;

/// The readers of all writers.
#[derive(Default)]
pub(super) struct Streams<'a> {
    streams: Vec<Stream>,
    dumps: Dumps,
    crash: Crash,
    held: Option<Held<'a>>,
    known: FxHashMap<String, Known>,
    loose: Loose,
    /// The number of the message that the lines come from.
    message: u64,
    /// Lines since the last one that began a goroutine or described a crash.
    since: Option<u64>,
    other_lines: u64,
    pub(super) order: Order,
}

impl<'a> Sink<'a> for Streams<'a> {
    fn record(&mut self, record: Record<'a>) {
        let Record { text, time_ns, writer } = record;
        if memchr::memchr(b'\n', text.as_bytes()).is_none() {
            self.line(OneLine { text, time_ns, writer, message: None });
            return;
        }
        self.message += 1;
        self.between_messages(&writer);
        let message = Some(self.message);
        match text {
            Cow::Borrowed(text) => {
                for line in text.lines() {
                    self.line(OneLine { text: line.into(), time_ns, writer: Rc::clone(&writer), message });
                }
            }
            Cow::Owned(text) => {
                for line in text.lines() {
                    let text = line.to_owned().into();
                    self.line(OneLine { text, time_ns, writer: Rc::clone(&writer), message });
                }
            }
        }
        self.between_messages(&writer);
    }

    fn interested(&self) -> bool {
        self.held.is_some() || self.since.is_some_and(|lines| lines < INTEREST)
    }

    fn finish(&mut self, half_a_line: &str) {
        self.decide_held(true);
        for nth in 0..self.streams.len() {
            self.finish_stream(nth, half_a_line);
        }
        self.streams.clear();
    }
}

impl<'a> Streams<'a> {
    /// The result.
    pub(super) fn into_log(self) -> GoLog {
        let mut log = self.dumps.finish();
        log.dump.other_lines = self.other_lines;
        if !log.dump.goroutines.is_empty() {
            log.dump.stray_lines += self.loose.lines;
        }
        log
    }

    fn line(&mut self, line: OneLine<'a>) {
        if self.held.is_some() {
            self.hold(line);
        } else {
            self.process(line);
        }
    }

    fn hold(&mut self, line: OneLine<'a>) {
        if let Some(held) = &mut self.held {
            held.following.push(line);
            if held.following.len() >= AHEAD {
                self.decide_held(false);
            }
        }
    }

    /// Decides on the header that was held back, and continues with the lines that followed it.
    fn decide_held(&mut self, at_end: bool) {
        let mut waiting = VecDeque::new();
        while let Some(held) = self.held.take() {
            let known = held.learn(self.crash.goes_on(&held.header.text, &held.header.writer));
            if self.known.len() < MAX_KNOWN {
                let (before, after) = held.around();
                self.known.insert(key(before, after), known.clone());
            }
            let Held { header, at, end, goroutine, following } = held;
            self.take_header(header, at, end, goroutine, known);
            for line in following.into_iter().rev() {
                waiting.push_front(line);
            }
            while let Some(line) = waiting.pop_front() {
                self.process(line);
                if let Some(held) = &mut self.held {
                    let room = AHEAD.min(waiting.len());
                    held.following.extend(waiting.drain(..room));
                    break;
                }
            }
            let enough = |held: &Held<'_>| at_end || held.following.len() >= AHEAD;
            if waiting.is_empty() && !self.held.as_ref().is_some_and(enough) {
                break;
            }
        }
    }

    fn process(&mut self, line: OneLine<'a>) {
        if let Some(since) = &mut self.since {
            *since += 1;
        }
        if self.is_plain_part(&line) {
            return;
        }
        let Some((at, end, goroutine)) = header_in(&line.text) else {
            self.other_line(&line);
            return;
        };
        let (before, after) =
            (line.text.get(..at).unwrap_or_default(), line.text.get(end..).unwrap_or_default().trim_end());
        let in_panic = !before.is_empty() && self.crash.goes_on(&line.text, &line.writer);
        if before.is_empty() && after.is_empty() {
            let known = Known::Wrap { prefix: Prefix::default(), suffix: false };
            self.take_header(line, at, end, goroutine, known);
            return;
        }
        let known = if in_panic { None } else { self.known.get(&key(before, after)).cloned() };
        match known {
            Some(known) => self.take_header(line, at, end, goroutine, known),
            None => self.held = Some(Held { header: line, at, end, goroutine, following: Vec::new() }),
        }
    }

    /// The common case, a dump by itself: the next line of its goroutine.
    fn is_plain_part(&mut self, line: &OneLine<'a>) -> bool {
        let [stream] = &mut self.streams[..] else { return false };
        if stream.prefix.len() > 0
            || !stream.suffix.is_empty()
            || !stream.reader.within()
            || stream.writer != line.writer
            || line.text.starts_with("goroutine ")
            || line.text.starts_with('{')
            || line.text.is_empty()
        {
            return false;
        }
        let kind = stream.reader.line_if_part(&line.text);
        if kind {
            self.since = Some(0);
            stream.after_part(&line.text, &mut self.order);
            stream.keep_finished(None, &mut self.dumps);
        }
        kind
    }

    fn take_header(
        &mut self,
        line: OneLine<'a>,
        at: usize,
        end: usize,
        goroutine: DumpGoroutine,
        known: Known,
    ) {
        let (before, after) =
            (line.text.get(..at).unwrap_or_default(), line.text.get(end..).unwrap_or_default());
        let Known::Wrap { prefix: learnt, suffix } = known else {
            if !self.crash.take_more(&line.text, &line.writer) {
                self.other_line(&line);
            }
            return;
        };
        let mut prefix = Prefix::learn(before);
        prefix.truncate(learnt.len());
        // The moving numbers are known; the others are this line's own.
        prefix.move_like(&learnt);
        let suffix = if suffix { Suffix::learn(after) } else { Suffix::default() };
        let nth = self.stream(&line.writer, prefix, suffix);
        let time_ns = if line.time_ns == 0 { timestamp(before) } else { line.time_ns };
        self.begin(nth, goroutine, time_ns, line.message);
    }

    /// The stream of a writer: a known one, or a new one.
    fn stream(&mut self, writer: &Rc<str>, prefix: Prefix, suffix: Suffix) -> usize {
        let same = |stream: &Stream| {
            stream.writer == *writer && stream.suffix == suffix && stream.prefix.same_writer(&prefix)
        };
        if let Some(nth) = self.streams.iter().rposition(same) {
            // The most recently used stream comes last.
            let stream = self.streams.remove(nth);
            self.streams.push(stream);
            return self.streams.len() - 1;
        }
        if self.streams.len() == MAX_STREAMS {
            self.finish_stream(0, "");
            self.streams.remove(0);
        }
        let own = prefix.name();
        let names =
            [writer.trim_start_matches(OF_FIELDS), own.as_str()].into_iter().filter(|name| !name.is_empty());
        let name = names.collect::<Vec<_>>().join(" ");
        self.streams.push(Stream::new(Rc::clone(writer), prefix, suffix, name));
        self.streams.len() - 1
    }

    fn begin(&mut self, nth: usize, goroutine: DumpGoroutine, time_ns: u64, message: Option<u64>) {
        let Some(stream) = self.streams.get_mut(nth) else { return };
        self.since = Some(0);
        if stream.reader.awaits_place() || self.loose.lines > 0 && self.loose.call {
            self.order.backward += 1;
        }
        let cut = stream.reader.cut(true);
        let kind = stream.reader.begin(goroutine);
        if kind == Line::Header {
            self.begun(nth, cut, time_ns, message);
        }
    }

    /// The reader of a stream has taken a header.
    fn begun(&mut self, nth: usize, cut: Option<Cut>, time_ns: u64, message: Option<u64>) {
        let mut crash = self.take_crash(nth);
        let Some(stream) = self.streams.get_mut(nth) else { return };
        stream.keep_finished(cut, &mut self.dumps);
        stream.at_header = true;
        if std::mem::take(&mut stream.another_thread) {
            crash.said.clear();
            stream.junk = false;
        }
        if !crash.said.is_empty() {
            stream.dumps.end(&stream.name, &mut self.dumps);
        }
        let first_of_message = message.is_some_and(|message| message != stream.message);
        stream.message = message.unwrap_or(0);
        let strays = stream.reader.take_strays() + self.loose.take();
        let beginning = Beginning {
            said: crash.said,
            time_ns: if crash.time_ns == 0 { time_ns } else { crash.time_ns },
            apart: std::mem::take(&mut stream.junk) || first_of_message,
            strays,
        };
        stream.dumps.begin(beginning, &stream.name, &mut self.dumps);
    }

    /// The messages of a stream's writer since the last goroutine.
    fn take_crash(&mut self, nth: usize) -> Said {
        let Some(stream) = self.streams.get(nth) else { return Said::default() };
        let of_another = |line: &str| {
            let others = self.streams.iter().enumerate().filter(|(other, _)| *other != nth);
            others.map(|(_, other)| other).any(|other| {
                other.writer == stream.writer
                    && !other.prefix.name().is_empty()
                    && other.prefix.strip_all(line).is_some()
            })
        };
        self.crash.take(&stream.writer, &stream.prefix, &stream.suffix, of_another)
    }

    /// Any line that is not a header.
    fn other_line(&mut self, line: &OneLine<'a>) {
        let found = (self.streams.iter().enumerate())
            .filter(|(_, stream)| stream.writer == line.writer)
            .filter_map(|(nth, stream)| {
                let rest = stream.prefix.strip_all(&line.text)?;
                let rest = if stream.suffix.is_empty() { rest } else { stream.suffix.strip(rest)? };
                Some((stream.prefix.len(), nth, rest))
            })
            .max_by_key(|&(words, nth, _)| (words, nth));
        let crash = crash::find(&line.text);
        if crash.is_none() && self.crash.take_more(&line.text, &line.writer) {
            return;
        }
        let Some((_, nth, rest)) = found else {
            self.unowned(line);
            return;
        };
        let rest = without_placeholder(rest);
        let is_crash = crash.is_some_and(|at| rest.len() == line.text.len() - at);
        let Some(stream) = self.streams.get_mut(nth) else { return };
        if stream.reader.within() {
            if !is_crash || noise::after(rest).is_some() {
                self.line_of_dump(nth, rest, line);
            }
        } else if crash.is_none() {
            self.crash.another_line();
            match stream.between(rest) {
                Line::Header => self.begun(nth, None, line.time_ns, line.message),
                _ => stream.after_part(rest, &mut self.order),
            }
        }
        if let Some(at) = crash {
            self.crash_line(line, at);
        }
    }

    /// A line within a goroutine, if it belongs there.
    fn line_of_dump(&mut self, nth: usize, text: &str, line: &OneLine<'a>) {
        let Some(stream) = self.streams.get_mut(nth) else { return };
        let cut = stream.reader.cut(true);
        match stream.reader.line(text) {
            Line::Other => {
                self.other_lines += 1;
                stream.after_part(text, &mut self.order);
            }
            Line::Part => {
                self.since = Some(0);
                stream.after_part(text, &mut self.order);
            }
            Line::Blank => {}
            Line::Header => {
                self.begun(nth, cut, line.time_ns, line.message);
                return;
            }
        }
        stream.keep_finished(None, &mut self.dumps);
    }

    /// A line of a writer whose goroutines were not seen so far.
    fn unowned(&mut self, line: &OneLine<'a>) {
        if let Some(at) = crash::find(&line.text) {
            self.crash_line(line, at);
            return;
        }
        self.crash.another_line();
        let text = line.text.trim_end();
        self.loose.line(text);
        let mut mine = self.streams.iter_mut().enumerate().filter(|(_, stream)| stream.writer == line.writer);
        let (Some((nth, stream)), None) = (mine.next(), mine.next()) else { return };
        if text.is_empty() {
            // Trailing blanks get lost, and with them a prefix that consists of blanks.
            if stream.reader.within() {
                self.line_of_dump(nth, "", line);
            }
        } else if stream.reader.within() {
            stream.reader.piece(text);
        } else {
            stream.junk = true;
        }
    }

    fn crash_line(&mut self, line: &OneLine<'a>, at: usize) {
        let time_ns = if line.time_ns == 0 { timestamp(&line.text) } else { line.time_ns };
        self.crash.add(&line.text, at, &line.writer, time_ns);
        self.since = Some(0);
    }

    /// A message of several lines begins or ends: no goroutine continues across this border.
    fn between_messages(&mut self, writer: &Rc<str>) {
        self.decide_held(true);
        for stream in self.streams.iter_mut().filter(|stream| stream.writer == *writer) {
            if stream.reader.within() && stream.prefix.len() == 0 {
                let cut = stream.reader.cut(true);
                stream.reader.end();
                stream.keep_finished(cut, &mut self.dumps);
            }
        }
    }

    /// Nothing more comes. `half_a_line`: the end of the text, if it is not a whole line.
    fn finish_stream(&mut self, nth: usize, half_a_line: &str) {
        let whole_line = half_a_line.is_empty();
        // The most recently used stream comes last.
        let is_last = nth + 1 == self.streams.len();
        let Some(stream) = self.streams.get_mut(nth) else { return };
        if stream.at_header && stream.reader.within() {
            let after_a_stack = self.loose.lines > 0 || stream.reader.strays() > 0;
            self.order.backward += u64::from(whole_line && after_a_stack);
        }
        let in_header = stream.prefix.strip_all(half_a_line).is_some_and(is_cut_header)
            || is_last && within_message(half_a_line).is_some_and(is_cut_header);
        let cut = if in_header { Some(Cut::InHeader) } else { stream.reader.cut(whole_line) };
        stream.reader.end_of_text(whole_line);
        stream.keep_finished(cut, &mut self.dumps);
        stream.dumps.cut(cut);
        let strays = stream.reader.take_strays();
        stream.dumps.strays(strays);
        stream.dumps.end(&stream.name, &mut self.dumps);
    }
}

/// The header in a line that is half a message, such as `{"log":"goroutine 5 [sel`.
fn within_message(line: &str) -> Option<&str> {
    let at = line.starts_with('{').then(|| line.rfind("\"goroutine ")).flatten()?;
    // With an escape or the end of the message, the header is whole.
    line.get(at + 1..).filter(|rest| !rest.contains(['\\', '"']))
}

/// Firefox shows this in place of an empty line.
fn without_placeholder(text: &str) -> &str {
    if text.trim() == "<empty string>" { "" } else { text }
}
