//! From the bytes of any kind of dump to a snapshot.

use std::cmp::Reverse;

use super::{DumpError, GoLog, GoProfile, encoding, log, looks, pprof};
use crate::recording::Recording;
use crate::snapshot::{Snapshot, TaskState, WaitClass};

/// A profile identifies itself within these first bytes.
const BEGINNING: usize = 64 << 10;

/// `net/http/pprof` silently cuts the text of debug=2 at this length.
const GO_CUTS_AT: usize = 64 << 20;

/// The runtime's message when nothing can run any more (`checkdead` in `src/runtime/proc.go`, 1.12 to 1.27).
const DEADLOCK: &str = "fatal error: all goroutines are asleep - deadlock!";

/// The result of reading a dump.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadDump {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// A part of the dump is missing: the snapshot says so too, in a warning.
    pub cut: bool,
}

/// What a file of another program became.
#[derive(Debug, Clone, PartialEq)]
pub enum Imported {
    /// A snapshot of tasks.
    Dump(ReadDump),
    /// A recording: the file is a profile of time.
    Recording(Recording),
}

/// Makes a snapshot of a dump like [`read`], or a recording of a pprof profile of time (on a CPU, off CPU, or passed).
///
/// The caller fills in the name and host of the process.
///
/// # Errors
/// [`DumpError`] if it contains nothing of the kind.
pub fn read_any(bytes: &[u8]) -> Result<Imported, DumpError> {
    if !pprof::looks_like_pprof(bytes) {
        return read(bytes).map(Imported::Dump);
    }
    Ok(match pprof::read_any(bytes, pprof::Limits::default())? {
        pprof::Profile::Tasks(snapshot) => Imported::Dump(ReadDump { snapshot, cut: false }),
        pprof::Profile::Time(recording) => Imported::Recording(recording),
    })
}

/// Makes a snapshot of a dump: a pprof profile of goroutines, the text of one (debug=1), or text that
/// contains goroutines (debug=2, a crash, a log).
///
/// The caller fills in the name and host of the process.
///
/// # Errors
/// [`DumpError`] if it contains nothing of the kind.
pub fn read(bytes: &[u8]) -> Result<ReadDump, DumpError> {
    if pprof::looks_like_pprof(bytes) {
        return Ok(ReadDump { snapshot: pprof::read(bytes)?, cut: false });
    }
    if looks::is_of_perf(bytes) {
        return Err(DumpError::PerfData);
    }
    let text = encoding::decode(bytes);
    let beginning = text.get(..text.len().min(BEGINNING)).unwrap_or_default();
    let beginning = String::from_utf8_lossy(beginning);
    let kind = beginning.lines().find_map(profile_kind);
    if let Some(kind) = kind.filter(|kind| !matches!(*kind, "goroutine" | "goroutineleak")) {
        return Err(DumpError::OtherProfile { kind: kind.to_owned() });
    }
    let profile = counted(&text);
    let log = GoLog::of_text(&text);
    if let Some(profile) = profile.as_ref().filter(|profile| tells_more(profile, &log)) {
        let mut snapshot = Snapshot::try_from(profile)?;
        if let one @ 1.. = log.dump.goroutines.len() {
            let warning =
                format!("the input also has {one} goroutine printed by itself (debug=2, a crash): left out");
            snapshot.header.warnings.push(warning);
        }
        return Ok(ReadDump { snapshot, cut: profile.is_cut() });
    }
    if log.dump.goroutines.is_empty() {
        return Err(DumpError::NoGoroutine { begins: looks::describe(bytes, &text) });
    }
    let cut = log.dump.cut.is_some();
    let doubts = looks::doubts(&text, &log.dump);
    let mut snapshot = of_log(log);
    if let Some(profile) = profile.filter(|profile| !profile.stacks.is_empty()) {
        snapshot.header.warnings.push(format!(
            "the input also has a profile that counts {} goroutines (debug=1), without ids and states: left out",
            profile.counted()
        ));
    }
    snapshot.header.warnings.extend(doubts);
    if bytes.len() == GO_CUTS_AT {
        snapshot.header.warnings.push(
            "the dump is exactly 64 MiB long: Go cuts dumps at this length without a notice, so goroutines are missing"
                .to_owned(),
        );
    }
    Ok(ReadDump { snapshot, cut: cut || bytes.len() == GO_CUTS_AT })
}

/// The profile with debug=1 in a text, at any position.
fn counted(bytes: &[u8]) -> Option<GoProfile> {
    // Other texts do not deserve a second look at each line.
    let counts = |rest: &[u8]| rest.starts_with(b" 0x");
    let titled = || String::from_utf8_lossy(bytes).contains("profile: total ");
    let looks_like_one = bytes.split(|&b| b == b'@').skip(1).any(counts) || titled();
    if !looks_like_one {
        return None;
    }
    // Most profiles are written verbatim; otherwise each line is read as a log's.
    let plain = GoProfile::parse(bytes);
    let whole = |profile: &GoProfile| profile.is_certain() && !profile.is_cut() && profile.other_lines == 0;
    if whole(&plain) && !plain.kind.is_empty() {
        return Some(plain);
    }
    let found = log::profiles(bytes).into_iter().chain([plain]).filter(GoProfile::is_certain);
    found.max_by_key(|found| {
        (whole(found), !found.kind.is_empty(), found.counted(), Reverse(found.other_lines))
    })
}

/// Single goroutines tell more: their ids, states and ages. But a crash prints only one.
fn tells_more(profile: &GoProfile, log: &GoLog) -> bool {
    match log.dump.goroutines.len() {
        0 => true,
        1 => profile.counted() > 1,
        _ => false,
    }
}

/// The profile's subject as its line names it: the text formats of `runtime/pprof`.
fn profile_kind(line: &str) -> Option<&str> {
    if let Some((kind, total)) = line.split_once(" profile: total ") {
        let word =
            !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
        return (word && total.trim_end().parse::<u64>().is_ok()).then_some(kind);
    }
    let beginnings = [("heap profile: ", "heap"), ("--- contention:", "block"), ("--- mutex:", "mutex")];
    beginnings.into_iter().find(|(beginning, _)| line.starts_with(beginning)).map(|(_, kind)| kind)
}

fn of_log(mut log: GoLog) -> Snapshot {
    let cut = log.dump.cut.is_some();
    let mut snapshot = Snapshot::from(std::mem::take(&mut log.dump));
    snapshot.header.taken_at_ns = Some(log.taken_at_ns).filter(|&ns| ns != 0);
    let mut warnings: Vec<_> = log.said.iter().map(|said| format!("the program printed: {said}")).collect();
    if log.dumps.len() > 1 {
        let of = if cut { "the last one (none is complete)" } else { "the last complete one" };
        let largest = log.dumps.iter().copied().max().unwrap_or(0);
        let by = match (log.writers.len(), log.writer.as_str()) {
            (0 | 1, _) => String::new(),
            (_, "") => format!(
                ", by {} writers: {}",
                log.writers.len(),
                log.writers.join(", ").trim_matches([',', ' '])
            ),
            (_, writer) => format!(", by {writer}; others are by {}", others(&log.writers, writer)),
        };
        warnings.push(format!(
            "the input has {} dumps, the largest with {largest} goroutines: this is {of}{by}",
            log.dumps.len()
        ));
    }
    if log.reversed {
        warnings.push("the lines are in reverse order, newest first: they were read from the end".to_owned());
    }
    // By default a crash prints only the goroutine that crashed.
    if let ([only], false) = (&snapshot.tasks[..], log.said.is_empty())
        && only.state == TaskState::Running
    {
        warnings.push(
            "the program printed only the goroutine that crashed: with GOTRACEBACK=all it prints all of them"
                .to_owned(),
        );
    }
    if log.said.iter().any(|said| said == DEADLOCK) {
        let waiting =
            snapshot.tasks.iter_mut().filter(|task| task.state == TaskState::Waiting && !task.system);
        waiting.for_each(|task| (task.leaked, task.wait_class) = (true, WaitClass::Leaked));
    }
    warnings.append(&mut snapshot.header.warnings);
    snapshot.header.warnings = warnings;
    snapshot
}

/// The names of the other writers.
fn others(writers: &[String], writer: &str) -> String {
    let name = |name: &String| if name.is_empty() { "no name".to_owned() } else { name.clone() };
    writers.iter().filter(|other| *other != writer).map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tells_kinds_apart() {
        let profile = read(b"goroutine profile: total 2\n2 @ 0x1\n").unwrap().snapshot;
        assert_eq!(profile.task_count(), 2);
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("heap profile: 1: 2 [3: 4] @ heap/1\n"), "a profile of heap, not of goroutines");
        assert_eq!(error("threadcreate profile: total 8\n"), "a profile of threadcreate, not of goroutines");
        assert_eq!(error("\n\n"), "no goroutine was found: it is empty");
        assert_eq!(error("<html>"), "no goroutine was found: it is a page of HTML");
        assert_eq!(error("\nhello\n"), "no goroutine was found: its first line is \"hello\"");
        assert_eq!(error("\x7f\0"), "no goroutine was found: it is not text");
    }

    #[test]
    fn counted_stacks_in_logs() {
        let plain = "goroutine profile: total 3\n2 @ 0x4b 0x99\n# labels: {\"a\":\"b\"}\n\
            #\t0x4a\tmain.wait+0x2b\t/src/x.go:12\n\n1 @ 0x6b 0x99\n#\t0x6a\tmain.other+0x2b\t/src/x.go:13\n";
        let json =
            |line: &str, key: &str| serde_json::json!({ key: line, "level": "info" }).to_string() + "\n";
        let utf16: Vec<u8> =
            "\u{feff}".encode_utf16().chain(plain.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let stamped = |line: &str| format!("2026-11-21T10:00:00.5Z stderr F {line}\n");
        let same = read(plain.as_bytes()).unwrap().snapshot;
        for text in [
            utf16,
            json(plain, "msg").into_bytes(),
            plain.lines().map(|line| json(line, "message")).collect::<String>().into_bytes(),
            plain.lines().map(|line| json(&format!("{line}\n"), "log")).collect::<String>().into_bytes(),
            plain.lines().map(stamped).collect::<String>().into_bytes(),
        ] {
            let found = read(&text).unwrap();
            assert!(!found.cut, "{}", String::from_utf8_lossy(&text));
            assert_eq!(found.snapshot.header.warnings, [""; 0], "{}", String::from_utf8_lossy(&text));
            assert_eq!(found.snapshot.tasks, same.tasks, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn a_deadlock_of_everything_is_a_proof() {
        let goroutine = "goroutine 1 [chan receive]:\nmain.main()\n\t/x.go:1 +0x1\n";
        let leaked =
            |said: &str| read(format!("{said}\n\n{goroutine}").as_bytes()).unwrap().snapshot.tasks[0].leaked;
        assert!(leaked(DEADLOCK));
        assert!(!leaked("fatal error: concurrent map writes"));
        assert!(!leaked(&format!("panic: {DEADLOCK}")));
    }

    #[test]
    fn says_what_was_in_the_log() {
        let text = "panic: a\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\nexit status 2\n";
        let warnings = read(text.as_bytes()).unwrap().snapshot.header.warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let warnings = read(text.repeat(2).as_bytes()).unwrap().snapshot.header.warnings;
        assert!(warnings[1].starts_with("the input has 2 dumps"), "{warnings:?}");
    }
}
