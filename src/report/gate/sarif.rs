//! SARIF 2.1.0, as GitHub's code scanning reads it: a result for each kind that was left.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::block;
use super::words::{all_unjudged, charged, heading, seen};
use crate::analysis::gate::{Leak, Standing, Verdict};
use crate::analysis::leaks::{RULES, Sureness};
use crate::report::escape;
use crate::report::evidence::meaning;
use crate::report::roots::{Place, Roots};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The rule of everything for which no surer rule has a reason.
const LEFT: (&str, &str) =
    ("left", "tasks are left at the end of the program that nobody will end, and are not known to be fine");
/// What to do about any of them.
const HELP: &str = "The message says where the tasks were started, what they wait for, and what to do. The snapshot that \
    loiter gate --keep writes shows the rest: loiter stacks, loiter leaks and loiter why read it.";
/// Results of one run that GitHub takes are 25,000; no more than this many are written, the gravest first.
const MAX_RESULTS: usize = 5_000;

/// Writes the log. `version` is loiter's.
///
/// # Errors
/// Those of `out`.
pub fn sarif(verdict: &Verdict, roots: &Roots, version: &str, out: &mut dyn Write) -> io::Result<()> {
    let leaks: Vec<&Leak> = verdict.leaks.iter().take(MAX_RESULTS).collect();
    let mut rules: Vec<&str> = leaks.iter().map(|leak| rule(leak)).chain([LEFT.0]).collect();
    rules.sort_unstable();
    rules.dedup();
    let results: Vec<Value> = leaks.iter().map(|leak| result(verdict, leak, &rules, roots)).collect();
    let notes: Vec<Value> = notes(verdict)
        .into_iter()
        .map(|text| json!({ "level": "warning", "message": { "text": escape(&text) } }))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "loiter",
                "semanticVersion": version,
                "rules": rules.iter().map(|id| rule_of(id)).collect::<Vec<_>>(),
            } },
            "automationDetails": { "id": format!("loiter-gate/{}/", escape(&verdict.program)) },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": verdict.readings > 0,
                "toolExecutionNotifications": notes,
            }],
            "results": results,
        }],
    });
    crate::report::json::write(&log, out)
}

fn notes(verdict: &Verdict) -> Vec<String> {
    let mut notes = all_unjudged(verdict);
    if let Some(more) = verdict.leaks.len().checked_sub(MAX_RESULTS).filter(|&more| more > 0) {
        notes.push(format!("{more} kinds of tasks are left out: there are too many"));
    }
    notes
}

/// The rule of a kind: that of `loiter leaks` which is sure of it, so that it does not depend on how many there are.
fn rule(leak: &Leak) -> &'static str {
    let sure = leak.finding.hits.iter().find(|hit| hit.sureness > Sureness::Suspect);
    sure.map_or(LEFT.0, |hit| hit.rule)
}

fn rule_of(id: &str) -> Value {
    let checks = RULES.iter().find(|rule| rule.name() == id).map_or(LEFT.1, |rule| rule.checks());
    json!({
        "id": id,
        "name": id,
        "shortDescription": { "text": checks },
        "fullDescription": { "text": checks },
        "help": { "text": HELP },
        "defaultConfiguration": { "level": "error" },
    })
}

fn result(verdict: &Verdict, leak: &Leak, rules: &[&str], roots: &Roots) -> Value {
    let id = rule(leak);
    let mut text = format!("{}. Charged to: {}.", heading(leak), charged(leak));
    if let Some(seen) = seen(verdict, leak) {
        text.push_str(&format!(" Found {seen}."));
    }
    if let Some(meaning) = leak.finding.cause.map(meaning) {
        text.push_str(&format!(" {}; {}.", meaning.cause, meaning.next));
    }
    let fingerprint = fingerprint(verdict, leak);
    let mut result = json!({
        "ruleId": id,
        "ruleIndex": rules.iter().position(|rule| *rule == id),
        "level": if matches!(leak.standing, Standing::Known(_)) { "note" } else { "error" },
        "message": { "text": escape(&text) },
        "locations": [location(leak, &place_of(verdict, leak, roots))],
        "partialFingerprints": {
            "loiterKind/v1": fingerprint,
            "primaryLocationLineHash": format!("{fingerprint}:1"),
        },
        "properties": { "tasks": leak.finding.now, "details": block(verdict, leak) },
    });
    if let (Standing::Known(line), Some(map)) = (&leak.standing, result.as_object_mut()) {
        let why = if line.comment.is_empty() { "it is in the baseline" } else { &line.comment };
        map.insert(
            "suppressions".to_owned(),
            json!([{ "kind": "external", "status": "accepted", "justification": escape(why) }]),
        );
    }
    result
}

/// GitHub refuses a log with a result that has no place. What was started outside of the repository is at the file that
/// names the module, or at one that is named after the program.
fn place_of(verdict: &Verdict, leak: &Leak, roots: &Roots) -> Place {
    let module = || match roots.module.as_ref()?.1.as_str() {
        "" => Some("go.mod".to_owned()),
        directory => Some(format!("{directory}/go.mod")),
    };
    let program = || match verdict.program.trim_matches('/') {
        "" => "program".to_owned(),
        name => name.to_owned(),
    };
    roots.place(leak).unwrap_or_else(|| Place { path: module().unwrap_or_else(program), line: 1 })
}

fn location(leak: &Leak, Place { path, line }: &Place) -> Value {
    let mut location = serde_json::Map::new();
    let physical = json!({
        "artifactLocation": { "uri": uri(path), "uriBaseId": "%SRCROOT%" },
        "region": { "startLine": line },
    });
    location.insert("physicalLocation".to_owned(), physical);
    let function = leak.finding.parts.iter().find_map(|part| part.at.as_ref()).map(|at| &*at.function);
    if let Some(function) = function.filter(|function| !function.is_empty()) {
        let logical = json!([{ "fullyQualifiedName": escape(function), "kind": "function" }]);
        location.insert("logicalLocations".to_owned(), logical);
    }
    Value::Object(location)
}

/// A relative path as a URI: what is not plain is encoded.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/@+,".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// The same in every run for the same kind of the same program: of text only, without lines and numbers of closures.
fn fingerprint(verdict: &Verdict, leak: &Leak) -> String {
    let kind = &leak.kind;
    let mut hash = Fnv::default();
    for text in [&verdict.program, &kind.function, &kind.creator, &kind.reason] {
        hash.add(text.as_bytes());
        hash.add(&[0xff]);
    }
    format!("{:016x}", hash.0)
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
