//! What a program left behind at its end, as JSON; described in loiter-gate-json(5).

use std::io::{self, Write};

use serde::Serialize;

use super::baseline::LineOut;
use super::findings::{FindingOut, RestOut, SilencedOut, all_ignored};
use super::head::SnapshotOut;
use super::{VERSION, known};
use crate::analysis::gate::{Charge, Leak, Seen, Standing, Unjudged, Verdict, Watched, Way};
use crate::report::finding::SourceLines;
use crate::report::roots::Roots;

/// Name of the format.
const FORMAT: &str = "loiter-gate";

/// Writes what a program left behind.
///
/// # Errors
/// Those of `out`.
pub fn gate(
    verdict: &Verdict,
    source: SourceLines<'_>,
    roots: &Roots,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = Document {
        format: FORMAT,
        version: VERSION,
        last: verdict.header.as_ref().map(SnapshotOut::from),
        program: &verdict.program,
        is_test: verdict.is_test,
        fails: verdict.fails(),
        readings: verdict.readings,
        span_ns: verdict.span_ns,
        tasks: verdict.tasks,
        ended: verdict.ended,
        leaks: verdict.leaks.iter().map(|leak| LeakOut::new(leak, source, roots)).collect(),
        fine: verdict.fine.iter().map(|rest| RestOut::new(rest, &verdict.noun)).collect(),
        ignored_tasks: all_ignored(verdict.ignored, verdict.silenced.as_ref()),
        ignore_file: SilencedOut::new(verdict.silenced.as_ref()),
        stale: verdict.stale.iter().map(LineOut::new).collect(),
        unjudged: verdict.unjudged.iter().map(UnjudgedOut::new).collect(),
        watched: verdict.watched.as_ref().map(WatchedOut::new),
    };
    super::write(&document, out)
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    last: Option<SnapshotOut<'a>>,
    program: &'a str,
    is_test: bool,
    fails: bool,
    readings: usize,
    span_ns: Option<u64>,
    tasks: u64,
    ended: u64,
    leaks: Vec<LeakOut<'a>>,
    fine: Vec<RestOut>,
    ignored_tasks: u64,
    ignore_file: Option<SilencedOut<'a>>,
    stale: Vec<LineOut<'a>>,
    unjudged: Vec<UnjudgedOut<'a>>,
    watched: Option<WatchedOut<'a>>,
}

#[derive(Serialize)]
struct WatchedOut<'a> {
    readings: u32,
    span_ns: Option<u64>,
    failed: u32,
    trouble: Option<&'a str>,
    cpu_ns: u64,
    left_out: u64,
}

#[derive(Serialize)]
struct SeenOut {
    readings: u32,
    first_ns: Option<u64>,
    last_ns: Option<u64>,
}

#[derive(Serialize)]
struct LeakOut<'a> {
    standing: &'static str,
    kind: KindOut<'a>,
    baseline: Option<LineOut<'a>>,
    is_left: bool,
    seen: Option<SeenOut>,
    place: Option<PlaceInRepository>,
    charges: Vec<ChargeOut<'a>>,
    finding: FindingOut<'a>,
}

#[derive(Serialize)]
struct KindOut<'a> {
    function: Option<&'a str>,
    creator: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct PlaceInRepository {
    path: String,
    line: u32,
}

#[derive(Serialize)]
struct ChargeOut<'a> {
    test: Option<&'a str>,
    by: Option<&'static str>,
    tasks: u64,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct UnjudgedOut<'a> {
    kind: &'static str,
    count: Option<u64>,
    text: Option<&'a str>,
}

impl<'a> LeakOut<'a> {
    fn new(leak: &'a Leak, source: SourceLines<'_>, roots: &Roots) -> Self {
        let (standing, line) = match &leak.standing {
            Standing::New => ("new", None),
            Standing::Known(line) => ("known", Some(line)),
            Standing::Expired(line) => ("expired", Some(line)),
        };
        LeakOut {
            standing,
            kind: KindOut {
                function: known(&leak.kind.function),
                creator: known(&leak.kind.creator),
                reason: known(&leak.kind.reason),
            },
            baseline: line.map(LineOut::new),
            is_left: leak.is_left,
            seen: leak.seen.map(|Seen { readings, first_ns, last_ns }| SeenOut {
                readings,
                first_ns,
                last_ns,
            }),
            place: roots.place(leak).map(|place| PlaceInRepository { path: place.path, line: place.line }),
            charges: leak.charges.iter().map(ChargeOut::new).collect(),
            finding: FindingOut::new(&leak.finding, Some(source)),
        }
    }
}

impl<'a> ChargeOut<'a> {
    fn new(charge: &'a Charge) -> Self {
        let by = charge.test.as_ref().map(|(_, way)| match way {
            Way::Frame => "frame",
            Way::Creator => "creator",
            Way::Entry => "entry",
            Way::Parent => "parent",
            Way::Ancestor => "ancestor",
            Way::Label => "label",
            Way::Only => "only",
        });
        let place = charge.place.as_ref();
        ChargeOut {
            test: charge.test.as_ref().map(|(test, _)| test.as_str()),
            by,
            tasks: charge.tasks,
            file: place.map(|(file, _)| file.as_str()),
            line: place.map(|(_, line)| *line),
        }
    }
}

impl<'a> WatchedOut<'a> {
    fn new(watched: &'a Watched) -> Self {
        let Watched { readings, span_ns, failed, cpu_ns, left_out, .. } = *watched;
        WatchedOut { readings, span_ns, failed, trouble: watched.trouble.as_deref(), cpu_ns, left_out }
    }
}

impl<'a> UnjudgedOut<'a> {
    fn new(unjudged: &'a Unjudged) -> Self {
        let (kind, count, text) = match unjudged {
            Unjudged::NoReading => ("no-reading", None, None),
            Unjudged::EndNotRead => ("end-not-read", None, None),
            Unjudged::NoRuntime => ("no-runtime", None, None),
            Unjudged::Missing(n) => ("missing", Some(*n), None),
            Unjudged::NoStack(n) => ("no-stack", Some(*n), None),
            Unjudged::Unsettled(n) => ("unsettled", Some(*n), None),
            Unjudged::Changed => ("changed", None, None),
            Unjudged::Warning(text) => ("warning", None, Some(text.as_str())),
        };
        UnjudgedOut { kind, count, text }
    }
}
