//! Describes a text that cannot be read, and gives reasons to doubt what was read.

use super::{GoDump, encoding};

/// Characters quoted from a line that makes no sense.
const QUOTED: usize = 80;
/// Bytes that are examined.
const SAMPLE: usize = 1 << 20;

/// What perf's own files begin with, those that it writes to a pipe, too; the first on machines with the other order of
/// bytes (tools/perf/Documentation/perf.data-file-format.txt and tools/perf/util/header.c in the kernel's source).
const PERF_DATA: [&[u8]; 3] = [b"2ELIFREP", b"PERFILE2", b"PERFFILE"];

/// Words that identify a text, and its description.
const LOOKS: [(&str, &str); 24] = [
    ("WARNING: DATA RACE", "a report of Go's race detector, which lists no goroutines but two stacks"),
    ("found unexpected goroutines", "a goleak report"),
    ("Full thread dump", "a thread dump of a Java program"),
    ("Traceback (most recent call last)", "a traceback of a Python program"),
    ("thread 'main' panicked at", "a panic of a Rust program"),
    ("stack backtrace:", "a backtrace of a Rust program"),
    ("AddressSanitizer", "a report of a sanitizer"),
    ("ThreadSanitizer", "a report of a sanitizer"),
    ("Showing nodes accounting for", "what `go tool pprof` prints; read the profile itself"),
    ("Showing top ", "what `go tool pprof` prints; read the profile itself"),
    ("[Current thread is ", "what gdb prints"),
    ("(LWP ", "what gdb prints"),
    (" - User: ", "a list of goroutines by Delve, which has no stacks"),
    ("Goroutine 1 - ", "a list of goroutines by Delve, which has no stacks"),
    ("\"traceEvents\"", "a trace of events, not a dump"),
    ("go 1.2", "a trace of Go's execution tracer"),
    ("libgo/", "a dump of a program built by gccgo, which has another format"),
    ("Z29yb3V0aW5l", "an incomplete dump in base64"),
    ("cGFuaWM6", "an incomplete dump in base64"),
    ("\"memstats\"", "Go's expvar"),
    ("# TYPE go_goroutines", "Prometheus metrics, which count goroutines but have no stacks"),
    ("go_goroutines ", "Prometheus metrics, which count goroutines but have no stacks"),
    ("goroutine ", "text about goroutines, but without a header as Go writes it: \"goroutine 1 [running]:\""),
    ("panic: ", "a crash without stacks: the program ran with GOTRACEBACK=none or 0, or the log is cut"),
];

/// Is it a file of Linux's perf?
pub(super) fn is_of_perf(bytes: &[u8]) -> bool {
    PERF_DATA.iter().any(|magic| bytes.starts_with(magic))
}

/// Describes the text by its beginning; `bytes` is the text before decoding.
pub(super) fn describe(bytes: &[u8], text: &[u8]) -> String {
    let sample = String::from_utf8_lossy(text.get(..text.len().min(SAMPLE)).unwrap_or_default());
    if encoding::is_page(bytes) && !LOOKS.iter().any(|(words, _)| sample.contains(words)) {
        return "it is a page of HTML".to_owned();
    }
    let Some(line) = sample.lines().map(str::trim).find(|line| !line.is_empty()) else {
        return "it is empty".to_owned();
    };
    if line.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return "it is not text".to_owned();
    }
    let quoted: String = line.chars().take(QUOTED).collect();
    let more = if quoted.len() < line.len() { "..." } else { "" };
    let first = format!("its first line is \"{quoted}{more}\"");
    let looks = LOOKS.iter().find(|(words, _)| sample.contains(words)).map(|(_, looks)| *looks);
    match looks.or_else(|| stands_backward(&sample)) {
        Some(looks) => format!("it looks like {looks}; {first}"),
        None => first,
    }
}

/// Source locations precede calls if the lines were reversed.
fn stands_backward(sample: &str) -> Option<&'static str> {
    let created = sample.lines().skip(1).any(|line| line.contains("created by "));
    created.then_some("a part of a dump without the headers of its goroutines")
}

/// What was read but may be something else.
pub(super) fn doubts(text: &[u8], dump: &GoDump) -> Option<String> {
    let damaged = |dump: &GoDump| {
        dump.goroutines.iter().filter(|g| g.lost_lines > 0 && g.frames.is_empty()).count() * 2
            > dump.goroutines.len()
    };
    if !damaged(dump) {
        return None;
    }
    let sample = text.get(..text.len().min(SAMPLE)).unwrap_or_default();
    let gccgo = memchr::memmem::find(sample, b"libgo/").is_some() || bare_calls(sample) > 1;
    gccgo.then(|| {
        "this looks like a dump of a program built by gccgo: loiter does not read its stacks, because their calls have no arguments"
            .to_owned()
    })
}

/// Lines like `main.run` above a frame's source location.
fn bare_calls(sample: &[u8]) -> usize {
    let text = String::from_utf8_lossy(sample);
    let mut calls = 0;
    let mut name = false;
    for line in text.lines() {
        let place = line.starts_with(char::is_whitespace) && line.contains(".go:");
        calls += usize::from(place && name);
        name = line.contains('.') && !line.contains(['(', ' ', '\t', ':']);
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn what_it_looks_like() {
        for (text, says) in [
            ("==================\nWARNING: DATA RACE\n", "race detector"),
            ("x_test.go:40: found unexpected goroutines:\n", "goleak"),
            ("panic: x\n", "GOTRACEBACK"),
            ("# TYPE go_goroutines gauge\n", "Prometheus"),
        ] {
            assert!(describe(text.as_bytes(), text.as_bytes()).contains(says), "{text}");
        }
        assert_eq!(describe(b"", b"\nhello\n"), "its first line is \"hello\"");
    }
}
