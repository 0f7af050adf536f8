//! The line that begins a goroutine in a dump.
//!
//! Grammar after `goroutineheader` of Go's `runtime/traceback.go`, 1.12 to 1.27.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::go_dump::DumpGoroutine;
use super::quoted::unquote;

/// Wait reasons that are different reasons within a synctest bubble (`waitReasonSynctest...`).
const DURABLE: [&str; 4] = ["chan receive", "chan send", "select", "sync.WaitGroup.Wait"];

/// Bytes that are searched for the end of a header that does not end its line.
const LONGEST: usize = 4096;

/// Every header contains it, after "g" or "G".
static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("oroutine "));

/// Finds the header of a goroutine in a line: where it begins and ends.
pub(super) fn header_in(line: &str) -> Option<(usize, usize, DumpGoroutine)> {
    /// Text before the header may contain the word a few times, and text after it may look like a header's end.
    const TRIES: usize = 8;
    let trimmed = line.trim_end();
    let bytes = trimmed.as_bytes();
    if trimmed.starts_with("goroutine ")
        && let Some(goroutine) = header(trimmed)
    {
        return Some((0, trimmed.len(), goroutine));
    }
    for at in WORD.find_iter(bytes).take(TRIES) {
        let at = at.checked_sub(1).filter(|&at| matches!(bytes.get(at), Some(b'g' | b'G')))?;
        let text = trimmed.get(at..)?;
        if let Some(goroutine) = header(text) {
            return Some((at, trimmed.len(), goroutine));
        }
        let near = text.get(..text.floor_char_boundary(LONGEST))?;
        let ends = near.rmatch_indices(':').map(|(end, _)| end).filter(|&end| {
            end.checked_sub(1).and_then(|last| near.as_bytes().get(last)).is_some_and(|b| b"]}".contains(b))
        });
        for end in ends.take(TRIES) {
            if let Some(goroutine) = near.get(..=end).and_then(header) {
                return Some((at, at + end + 1, goroutine));
            }
        }
    }
    None
}

/// goleak's wording: `Goroutine 62 in state select, with main.f on top of the stack:`
fn in_words(line: &str) -> Option<DumpGoroutine> {
    let rest = line.strip_prefix("Goroutine ")?.strip_suffix(" on top of the stack:")?;
    let (id, rest) = rest.split_once(" in state ")?;
    let (state, _) = rest.rsplit_once(", with ")?;
    let id = id.parse().ok()?;
    Some(DumpGoroutine { id, state: state.to_owned(), ..DumpGoroutine::default() })
}

/// Is it the beginning of a goroutine's first line, without the end of that line?
pub(super) fn is_cut_header(text: &str) -> bool {
    const WORD: &str = "goroutine ";
    let Some(rest) = text.strip_prefix(WORD) else { return !text.is_empty() && WORD.starts_with(text) };
    // The attributes of the goroutine or its state follow the id.
    let after_id = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let goes_on = ["", " "].contains(&after_id) || after_id.starts_with(" [") || after_id.starts_with(" g");
    (after_id.len() < rest.len() || rest.is_empty()) && goes_on && header(text).is_none()
}

/// `goroutine 7 gp=0x1 m=2 mp=0x3 [chan receive (scan), 3 minutes, locked to thread] {a: b}:`
pub(super) fn header(line: &str) -> Option<DumpGoroutine> {
    let Some(rest) = line.strip_prefix("goroutine ") else { return in_words(line) };
    let rest = rest.strip_suffix(':')?;
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
    loop {
        let mark = |mark| state.strip_suffix(mark).filter(|state| !state.is_empty());
        let (shorter, flag) = if let Some(shorter) = mark(" (scan)") {
            (shorter, &mut goroutine.scan)
        } else if let Some(shorter) = mark(" (leaked)") {
            (shorter, &mut goroutine.leaked)
        } else if let Some(shorter) = mark(" (durable)") {
            (shorter, &mut goroutine.durable)
        } else {
            break;
        };
        *flag = true;
        // Some reasons include the mark.
        if goroutine.durable && DURABLE.contains(&shorter) {
            break;
        }
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

/// Splits the text after the opening bracket into state and labels: `sleep]`, `sleep] {a: b}` from Go 1.27
/// on, `sleep labels:{"a": "b"}]` in 1.26. Labels may contain brackets; states do not.
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

/// Unquoted words contain neither colons nor commas.
fn label_word(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        return unquote(text);
    }
    let end = text.find([':', ',']).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((word.to_owned(), rest))
}
