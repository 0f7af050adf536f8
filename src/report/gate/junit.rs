//! JUnit XML, as Ant and Jenkins read it: a suite for the program, a case for each test that left tasks.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::block;
use super::words::{all_unjudged, heading, headline, ignored};
use crate::analysis::gate::{Leak, Verdict};
use crate::report::escape;

/// The case of tasks that no test can be charged with.
const NO_TEST: &str = "(no test)";
/// The case that is there if nothing failed, so that a report is never without one.
const GATE: &str = "loiter gate";
/// A report larger than this is of no use: the rest of the texts is left out, and that is said.
const MAX_TEXT: usize = 8 << 20;

/// Writes the report. `time` is when the program ended, like "2026-11-26T23:53:14", without a zone.
///
/// # Errors
/// Those of `out`.
pub fn junit(verdict: &Verdict, time: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut cases: BTreeMap<&str, Vec<&Leak>> = BTreeMap::new();
    for leak in verdict.failures() {
        let mut tests: Vec<&str> = leak.charges.iter().map(|charge| name(charge.test.as_ref())).collect();
        tests.dedup();
        tests.into_iter().for_each(|test| cases.entry(test).or_default().push(leak));
    }
    let (failures, skipped) = (cases.len(), usize::from(cases.is_empty() && was_not_judged(verdict)));
    let program = attribute(&verdict.program);
    let host =
        verdict.header.as_ref().and_then(|header| header.target.host.as_deref()).unwrap_or("localhost");
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>")?;
    writeln!(
        out,
        "  <testsuite name=\"{program}\" package=\"{program}\" id=\"0\" tests=\"{}\" failures=\"{failures}\" \
         errors=\"0\" skipped=\"{skipped}\" time=\"0\" timestamp=\"{}\" hostname=\"{}\">",
        failures.max(1),
        attribute(time),
        attribute(host),
    )?;
    writeln!(out, "    <properties/>")?;
    let mut room = MAX_TEXT;
    for (test, leaks) in &cases {
        case(verdict, test, leaks, &mut room, out)?;
    }
    if cases.is_empty() {
        write!(out, "    <testcase classname=\"{program}\" name=\"{GATE}\" time=\"0\"")?;
        match skipped {
            0 => writeln!(out, "/>")?,
            _ => writeln!(out, "><skipped message=\"{}\"/></testcase>", attribute(&headline(verdict)))?,
        }
    }
    let notes: Vec<String> = all_unjudged(verdict)
        .into_iter()
        .chain(ignored(verdict).into_iter().map(|text| format!("left out: {text}")))
        .collect();
    writeln!(out, "    <system-out>{}</system-out>", content(&headline(verdict)))?;
    let notes: Vec<String> = notes.iter().map(|note| content(note)).collect();
    writeln!(out, "    <system-err>{}</system-err>", notes.join("\n"))?;
    writeln!(out, "  </testsuite>\n</testsuites>")
}

/// The end was not read, so that nothing can be said to be right.
fn was_not_judged(verdict: &Verdict) -> bool {
    verdict.readings == 0 || verdict.header.as_ref().is_none_or(|header| header.runtimes.is_empty())
}

fn name(test: Option<&(String, crate::analysis::gate::Way)>) -> &str {
    test.map_or(NO_TEST, |(test, _)| test.as_str())
}

fn case(
    verdict: &Verdict,
    test: &str,
    leaks: &[&Leak],
    room: &mut usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (first, more) = (leaks.first(), leaks.len().saturating_sub(1));
    let mut message = first.map(|leak| heading(leak)).unwrap_or_default();
    if more > 0 {
        message.push_str(&format!(" (and {more} more)"));
    }
    writeln!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"0\">",
        attribute(&verdict.program),
        attribute(test)
    )?;
    write!(out, "      <failure type=\"leak\" message=\"{}\">", attribute(&message))?;
    for leak in leaks {
        let text = block(verdict, leak);
        if text.len() > *room {
            write!(out, "(the rest is left out: the report would be too large)")?;
            break;
        }
        *room -= text.len();
        write!(out, "{}", lines(&text))?;
    }
    writeln!(out, "</failure>\n    </testcase>")
}

/// Text in an attribute.
fn attribute(text: &str) -> String {
    content(text).replace('"', "&quot;").replace('\'', "&apos;")
}

/// Text between tags, on one line.
fn content(text: &str) -> String {
    lines(&escape(text))
}

/// Text that is escaped already, with its line ends.
fn lines(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
