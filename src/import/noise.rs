//! Lines within a dump that are not part of a goroutine.

/// Levels at the beginning of log lines.
const LEVELS: [&str; 17] = [
    "INFO", "WARN", "WARNING", "ERROR", "ERR", "DEBUG", "TRACE", "FATAL", "PANIC", "INF", "WRN", "DBG",
    "ERRO", "DEBU", "NOTICE", "CRITICAL", "SEVERE",
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Is it a complete line of a logger? Another writer wrote it to the same place; nothing is lost.
pub(super) fn is_log_line(line: &str) -> bool {
    let line = line.trim_start();
    let first = line.split_whitespace().next().unwrap_or_default();
    let rest = line.get(first.len()..).unwrap_or_default().trim_start();
    if rest.is_empty() {
        return false;
    }
    let bare = first.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    first.starts_with("{\"")
        || is_moment(bare)
        || is_klog(first)
        || LEVELS.iter().any(|level| bare.eq_ignore_ascii_case(level))
            && (bare.len() < first.len() || bare.bytes().all(|b| b.is_ascii_uppercase()))
        || MONTHS.contains(&bare) && rest.starts_with(|c: char| c.is_ascii_digit())
        || rest.starts_with("| ")
        || first.len() > 2 && first.starts_with('[') && first.ends_with(']') && first != "[...]"
        || ["level=", "time=", "ts=", "msg=", "lvl=", "t="].iter().any(|key| first.starts_with(key))
}

/// Is it a sentence that the program wrote into its dump, and not a piece of a frame? Notes that lines
/// were cut are sentences, too, but do not count.
pub(super) fn is_prose(line: &str) -> bool {
    let line = line.trim();
    let of_a_frame =
        ["0x", ".go:", "…", "created by ", "goroutine ", "non-Go "].iter().any(|part| line.contains(part));
    let left_out = ["snip", "omitted", "elided", "truncated", "skipped", "more lines", "removed", "redacted"]
        .iter()
        .any(|word| line.to_ascii_lowercase().contains(word));
    let marked = line.starts_with(['.', '[', '<', '(']);
    let words =
        line.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 2);
    !of_a_frame && !left_out && !marked && words.count() >= 2
}

/// A word of digits with separators like a date or a time: "2026/11/21", "10:00:00.5".
pub(super) fn is_moment(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digits = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let held = (bytes.iter().enumerate())
        .filter(|&(at, b)| match b {
            b':' => digits(at.checked_sub(1).and_then(|at| bytes.get(at))) && digits(bytes.get(at + 1)),
            b'-' | b'/' => {
                at >= 2 && digits(bytes.get(at - 1)) && digits(bytes.get(at - 2)) && digits(bytes.get(at + 1))
            }
            _ => false,
        })
        .count();
    let plausible = |b: &u8| b.is_ascii_digit() || b":-/.,+TZtz_".contains(b);
    bytes.len() >= 5
        && held >= 1
        && digits(bytes.first())
        && bytes.iter().all(plausible)
        && (held >= 2 || bytes.len() <= 12)
}

/// "E0217" before "10:11:44.300188", as Kubernetes logs.
fn is_klog(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|level| b"IWEFDV".contains(&level))
        && matches!(word.len(), 5 | 7)
        && bytes.all(|b| b.is_ascii_digit())
}

/// Is it a message of the runtime in the middle of a stack, or something else that belongs to a stack? The
/// stack continues below it.
pub(super) fn is_note(line: &str) -> bool {
    let line = line.trim_start();
    ["runtime: ", "stack: frame={", "fatal error: ", "panic: ", "[signal ", "PC=", "signal arrived during "]
        .iter()
        .any(|beginning| line.starts_with(beginning))
        || is_words_of_memory(line)
}

/// `0x000000c0003b1778:  0x0000000001674b98  ...`
fn is_words_of_memory(line: &str) -> bool {
    let Some((address, _)) = line.strip_prefix("0x").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    address.len() >= 8 && address.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What follows a goroutine and belongs to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The frames below it are not of a listed goroutine: the runtime's own stack, ancestors.
    Frames,
    /// A race detector report begins.
    Race,
    /// Anything else: the exit status, registers.
    Nothing,
}

/// Is it a line after which a goroutine does not continue?
pub(super) fn after(line: &str) -> Option<After> {
    let text = line.trim_start();
    if text.starts_with("[originating from goroutine ") || text == "runtime stack:" {
        return Some(After::Frames);
    }
    if text.starts_with("WARNING: DATA RACE") {
        return Some(After::Race);
    }
    // It is written in one piece with the stack of another goroutine below it.
    if text.contains("http: panic serving ") || text.contains("http2: panic serving ") {
        return Some(After::Nothing);
    }
    let ends =
        ["exit status ", "signal: ", "FAIL\t", "ok  \t", "--- FAIL", "=== ", "rax ", "eax ", "r0  ", "trap "]
            .iter()
            .any(|beginning| text.starts_with(beginning))
            || ["FAIL", "-----", "]", "==================", "```", "EOF"].contains(&text)
            || is_register(text);
    ends.then_some(After::Nothing)
}

/// `rip    0x46c1a1`, `x0      0x0`
fn is_register(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let (Some(name), Some(value)) = (words.next(), words.next()) else { return false };
    name.len() <= 7
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && value.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_loggers() {
        for line in [
            "2026/11/21 10:00:00 GET /users 200 (12ms)",
            "{\"level\":\"info\",\"msg\":\"request done\"}x y",
            "db-1  | checkpoint complete (wal.go:12)",
            "W1121 10:00:00.000000    123 file.go:12] slow",
            "10:00:00.123 something",
            "[10:00:00] x",
            "INFO done",
            "[info] done",
            "time=2026-11-21T10:00:00Z level=info msg=x",
            "Nov 21 10:00:00 host app[1]: x",
        ] {
            assert!(is_log_line(line), "{line}");
        }
        for line in
            ["f(x)", "...", "[...]", "<snip>", "cc, 0xc04202bf1c, ...)", "main.f(0x1)", "er.go:30 +0x8b"]
        {
            assert!(!is_log_line(line), "{line}");
        }
    }

    #[test]
    fn sentences() {
        for line in ["GET /v1/users 200 12ms", "cache: 120 entries", "worker(3): nothing to do"] {
            assert!(is_prose(line), "{line}");
        }
        for line in
            ["f(x)", "... 20 more frames", "[snip 3 lines]", "many lines omitted", "cc, 0xc04202bf1c, ...)"]
        {
            assert!(!is_prose(line), "{line}");
        }
    }

    #[test]
    fn what_ends_a_goroutine() {
        assert_eq!(after("exit status 2"), Some(After::Nothing));
        assert_eq!(after("rip    0x46c1a1"), Some(After::Nothing));
        assert_eq!(after("[originating from goroutine 17]:"), Some(After::Frames));
        assert_eq!(after("WARNING: DATA RACE"), Some(After::Race));
        assert_eq!(after("main.f(0x1)"), None);
    }
}
