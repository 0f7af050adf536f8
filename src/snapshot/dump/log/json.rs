//! Log lines that are JSON objects: a line of the program in one of the usual fields, or a whole dump
//! in any field.

use serde_json::{Map, Value};

use super::is_dump;
use super::prefix::moment;

/// Fields that hold what the program wrote, by the usual loggers and collectors.
const MESSAGES: [&str; 8] = ["log", "message", "msg", "MESSAGE", "textPayload", "line", "body", "text"];
/// Fields that hold when.
const TIMES: [&str; 5] = ["time", "timestamp", "ts", "@timestamp", "receiveTimestamp"];
/// Objects in objects are searched this deep.
const MAX_DEPTH: usize = 6;

/// What a line of JSON holds.
pub(super) struct Found {
    /// Texts that are dumps by themselves.
    pub(super) dumps: Vec<String>,
    /// What the program wrote, if it is not one of them.
    pub(super) message: Option<String>,
    /// Nanoseconds since the Unix epoch. 0 if unknown.
    pub(super) time_ns: u64,
}

/// Reads a line. None if it is no JSON object.
pub(super) fn read(text: &str) -> Option<Found> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let time = TIMES.iter().find_map(|key| object.get(*key)?.as_str().and_then(moment));
    let mut dumps = Vec::new();
    object.values().for_each(|value| collect(value, 0, &mut dumps));
    let message = if dumps.is_empty() { message(&object, 0) } else { None };
    Some(Found { dumps, message, time_ns: time.unwrap_or(0) })
}

fn collect(value: &Value, depth: usize, into: &mut Vec<String>) {
    match value {
        Value::String(text) if is_dump(text) => into.push(text.clone()),
        Value::Array(values) if depth < MAX_DEPTH => {
            values.iter().for_each(|value| collect(value, depth + 1, into));
        }
        Value::Object(values) if depth < MAX_DEPTH => {
            values.values().for_each(|value| collect(value, depth + 1, into));
        }
        _ => {}
    }
}

fn message(object: &Map<String, Value>, depth: usize) -> Option<String> {
    let direct = MESSAGES.iter().find_map(|key| object.get(*key)?.as_str());
    if let Some(text) = direct {
        return Some(text.to_owned());
    }
    let inner =
        ["jsonPayload", "fields", "event", "data"].iter().find_map(|key| object.get(*key)?.as_object());
    inner.filter(|_| depth < MAX_DEPTH).and_then(|inner| message(inner, depth + 1))
}
