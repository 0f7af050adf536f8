//! JSON: lines of the program in one of the usual fields, or a whole dump in any field; in objects, arrays of
//! them, and whatever tools wrap around both.

use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::super::crash;
use super::super::prefix::moment;
use super::escaped;
use super::is_dump;

/// Fields with the program's output, in the usual loggers and collectors.
pub(super) const MESSAGES: [&str; 19] = [
    "log",
    "message",
    "msg",
    "MESSAGE",
    "textPayload",
    "@message",
    "_raw",
    "line",
    "body",
    "text",
    "Output",
    "Line",
    "Message",
    "content",
    "Body",
    "_msg",
    "output",
    "stderr",
    "event",
];
/// Fields with the time.
pub(super) const TIMES: [&str; 10] = [
    "time",
    "timestamp",
    "ts",
    "@timestamp",
    "receiveTimestamp",
    "Time",
    "Timestamp",
    "_time",
    "__REALTIME_TIMESTAMP",
    "eventTime",
];
/// Fields that name the writer.
pub(super) const WRITERS: [&str; 20] = [
    "pod",
    "pod_name",
    "podName",
    "kubernetes.pod_name",
    "kubernetes.pod.name",
    "container",
    "container_name",
    "containerName",
    "container_id",
    "instance",
    "host",
    "hostname",
    "host.name",
    "_HOSTNAME",
    "_PID",
    "Package",
    "logStreamName",
    "@logStream",
    "pid",
    "container.id",
];
/// Objects that contain some of these fields.
const WRITERS_IN: [&str; 9] =
    ["kubernetes", "resource", "labels", "stream", "pod", "container", "host", "process", "metadata"];
/// Nested objects are searched this deep.
const MAX_DEPTH: usize = 12;

/// A text that the program wrote.
pub(super) struct Piece {
    pub(super) text: String,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
    pub(super) writer: Rc<str>,
}

/// Takes pieces one by one.
pub(super) type Pieces<'p> = &'p mut dyn FnMut(Piece);

/// Reads an object or an array. False if it is neither.
pub(super) fn read(text: &str, into: Pieces<'_>) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return false };
    if !value.is_object() && !value.is_array() {
        return false;
    }
    walk(&value, 0, &Rc::from(""), 0, into);
    true
}

/// Reads a document of many lines, or several in a row, without keeping all of it. On failure, returns the
/// line of the first error.
pub(super) fn document(text: &[u8], into: Pieces<'_>) -> Result<(), usize> {
    let mut from_line = 0;
    let mut rest = text;
    loop {
        let start = rest.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(rest.len());
        from_line += memchr::memchr_iter(b'\n', rest.get(..start).unwrap_or_default()).count();
        rest = rest.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let mut reader = Counted { from: rest, read: 0 };
        let mut deserializer = serde_json::Deserializer::from_reader(&mut reader);
        if let Err(error) = (Walk { into: &mut *into, depth: 0 }).deserialize(&mut deserializer) {
            return Err(from_line + error.line().saturating_sub(1));
        }
        drop(deserializer);
        // The end of an object or an array needs no look-ahead.
        let read = reader.read;
        let taken = rest.get(..read).unwrap_or_default();
        from_line += memchr::memchr_iter(b'\n', taken).count();
        rest = rest.get(read..).unwrap_or_default();
        rest = rest.strip_prefix(b",").unwrap_or(rest);
    }
}

/// Gives bytes one at a time, so that no more are consumed than needed.
struct Counted<'a> {
    from: &'a [u8],
    read: usize,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let (Some(byte), Some(room)) = (self.from.get(self.read), buf.first_mut()) else { return Ok(0) };
        *room = *byte;
        self.read += 1;
        Ok(1)
    }
}

/// Walks through a document and finishes the elements of arrays one by one.
struct Walk<'p> {
    into: &'p mut dyn FnMut(Piece),
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    /// The part of the value that the caller still has to examine.
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        /// Arrays of plain values are kept up to this length: lines of a stack, bytes.
        const MAX_KEPT: usize = 1 << 20;
        let mut kept = Vec::new();
        while let Some(element) = elements.next_element::<Value>()? {
            if element.is_object() || element.is_array() && self.depth == 0 {
                walk(&element, 0, &Rc::from(""), self.depth + 1, self.into);
            } else if kept.len() < MAX_KEPT {
                kept.push(element);
            }
        }
        if self.depth == 0 {
            walk(&Value::Array(std::mem::take(&mut kept)), 0, &Rc::from(""), 0, self.into);
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Walk { into: &mut *self.into, depth: self.depth + 1 })?;
            object.insert(key, value);
        }
        if self.depth == 0 {
            walk(&Value::Object(std::mem::take(&mut object)), 0, &Rc::from(""), 0, self.into);
        }
        Ok(Value::Object(object))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

fn walk(value: &Value, time_ns: u64, writer: &Rc<str>, depth: usize, into: Pieces<'_>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Object(object) => {
            let time_ns = TIMES.iter().find_map(|key| time(object.get(*key)?)).unwrap_or(time_ns);
            let own = writer_of(object, 0);
            let writer = if own.is_empty() { writer } else { &Rc::from(own) };
            of_object(object, time_ns, writer, depth, into);
        }
        Value::Array(values) => {
            if let Some(text) = lines_of(values) {
                into(Piece { text, time_ns, writer: Rc::clone(writer) });
            } else if let Some(object) = named_fields(values) {
                walk(&Value::Object(object), time_ns, writer, depth + 1, into);
            } else if let [Value::String(at), Value::String(text), ..] = &values[..]
                && let Some(ns) = number_time(at)
            {
                // Loki's form.
                into(Piece { text: text.clone(), time_ns: ns, writer: Rc::clone(writer) });
            } else {
                values.iter().for_each(|value| walk(value, time_ns, writer, depth + 1, into));
            }
        }
        _ => {}
    }
}

fn of_object(object: &Map<String, Value>, time_ns: u64, writer: &Rc<str>, depth: usize, into: Pieces<'_>) {
    let message = MESSAGES.iter().find_map(|key| text_of(object.get(*key)?));
    let mut dumps = Vec::new();
    let inner = |value: &Value| value.is_object() || value.is_array();
    let nested = |value: &Value| value.is_object() || value.as_array().is_some_and(|v| v.iter().any(inner));
    let own = object.values().filter(|value| message.is_some() || !nested(value));
    own.for_each(|value| collect(value, 0, &mut dumps));
    let mut piece = |text: String| into(Piece { text, time_ns, writer: Rc::clone(writer) });
    if !dumps.is_empty() {
        if let Some(said) = message.as_deref().and_then(|message| said(message, object)) {
            piece(said);
        }
        dumps.into_iter().for_each(piece);
    } else if let Some(message) = message {
        piece(message);
    } else {
        object.values().for_each(|value| walk(value, time_ns, writer, depth + 1, into));
    }
}

/// The program's message next to a dump: "Observed a panic", with the field that says which.
fn said(message: &str, object: &Map<String, Value>) -> Option<String> {
    if is_dump(message) || message.contains('\n') {
        return None;
    }
    let at = crash::find(message)?;
    let what = ["panic", "panicGoValue", "error", "err", "reason", "r"];
    let what = what.iter().find_map(|key| object.get(*key)?.as_str().filter(|text| !text.contains('\n')));
    let message = message.get(at..)?;
    Some(match what {
        Some(what) if !message.contains(what) => format!("{message}: {what}"),
        _ => message.to_owned(),
    })
}

/// The text of a field; some loggers write bytes as numbers.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => bytes_of(values),
        _ => None,
    }
}

/// Looks for dumps in a value.
fn collect(value: &Value, depth: usize, into: &mut Vec<String>) {
    match value {
        Value::String(text) if is_dump(text) => into.push(text.clone()),
        Value::String(text) => into.extend(escaped::in_base64(text)),
        Value::Array(values) if depth < MAX_DEPTH => {
            if let Some(text) = lines_of(values).or_else(|| bytes_of(values).filter(|text| is_dump(text))) {
                into.push(text);
                return;
            }
            values.iter().for_each(|value| collect(value, depth + 1, into));
        }
        Value::Object(values) if depth < MAX_DEPTH => {
            values.values().for_each(|value| collect(value, depth + 1, into));
        }
        _ => {}
    }
}

/// An array with the lines of a dump.
fn lines_of(values: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
    let text = lines.filter(|lines| lines.len() > 2)?.join("\n");
    is_dump(&text).then_some(text)
}

/// An array of bytes that are text.
fn bytes_of(values: &[Value]) -> Option<String> {
    let bytes: Option<Vec<u8>> = values.iter().map(|value| u8::try_from(value.as_u64()?).ok()).collect();
    String::from_utf8(bytes.filter(|bytes| bytes.len() > 1)?).ok()
}

/// `[{"field": "@message", "value": "..."}]`, as CloudWatch's queries return it.
fn named_fields(values: &[Value]) -> Option<Map<String, Value>> {
    let field = |value: &Value| {
        let name = value.get("field")?.as_str()?.to_owned();
        Some((name, value.get("value")?.clone()))
    };
    let fields: Option<Map<_, _>> = values.iter().map(field).collect();
    fields.filter(|fields| !fields.is_empty())
}

fn writer_of(object: &Map<String, Value>, depth: usize) -> String {
    let mut names: Vec<String> = Vec::new();
    let keys: &[&str] = if depth == 0 { &WRITERS } else { &WRITERS_NESTED };
    for key in keys {
        match object.get(*key) {
            Some(Value::String(name)) if !name.is_empty() => names.push(name.clone()),
            Some(Value::Number(number)) => names.push(number.to_string()),
            _ => {}
        }
    }
    if depth < 3 {
        let inner = WRITERS_IN.iter().filter_map(|key| object.get(*key)?.as_object());
        names.extend(inner.map(|object| writer_of(object, depth + 1)).filter(|name| !name.is_empty()));
    }
    names.dedup();
    names.join("/")
}

/// The names of these fields within an object about the writer.
const WRITERS_NESTED: [&str; 14] = [
    "pod",
    "pod_name",
    "podName",
    "container",
    "container_name",
    "containerName",
    "container_id",
    "instance",
    "host",
    "hostname",
    "name",
    "id",
    "pid",
    "namespace_name",
];

/// A time, as text or as a number.
pub(super) fn time(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => moment(text).or_else(|| number_time(text)),
        Value::Number(number) => match number.as_u64() {
            Some(number) => scaled(number),
            None => number.as_f64().filter(|s| (1e9..1e11).contains(s)).map(|s| (s * 1e9) as u64),
        },
        _ => None,
    }
}

pub(super) fn number_time(text: &str) -> Option<u64> {
    (text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit())).then(|| scaled(text.parse().ok()?))?
}

/// Seconds, milliseconds, microseconds or nanoseconds since the Unix epoch, distinguished by size.
fn scaled(number: u64) -> Option<u64> {
    let unit = match number {
        1_000_000_000..=99_999_999_999 => 1_000_000_000,
        1_000_000_000_000..=99_999_999_999_999 => 1_000_000,
        1_000_000_000_000_000..=99_999_999_999_999_999 => 1000,
        1_000_000_000_000_000_000.. => 1,
        _ => return None,
    };
    number.checked_mul(unit)
}
