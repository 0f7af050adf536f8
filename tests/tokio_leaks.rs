//! A Tokio program with mistakes of every kind, and its healthy twin, watched by the real binary.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

mod common;

use common::{TokioFixture, TokioFlavour, build_tokio_leaks};

/// How long a program is watched, seconds. On a busy machine the readings come late, and growth needs longer to be seen.
const WATCHES: [u32; 3] = [4, 12, 36];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokio_leaks/bugs.rs")
}

/// The functions of the source that say `rule:`, with the rule and how sure it is.
fn planted() -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(source()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let planted = lines.windows(2).filter_map(|pair| {
        let (rule, sureness) = pair[0].strip_prefix("/// rule: ")?.split_once(' ')?;
        let function = pair[1].strip_prefix("async fn ")?.split('(').next()?;
        Some((function.to_owned(), (rule.to_owned(), sureness.to_owned())))
    });
    planted.collect()
}

/// The line that ends with this comment.
fn line_of(comment: &str) -> u64 {
    let text = fs::read_to_string(source()).unwrap();
    1 + text.lines().position(|line| line.ends_with(comment)).unwrap() as u64
}

/// `min_age`: seconds.
fn leaks(pid: u32, seconds: u32, min_age: u32) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(["leaks", &pid.to_string(), "--for", &format!("{seconds}s"), "--every", "500ms"])
        .args(["--min-age", &format!("{min_age}s"), "--json", "--ignore-file", "/dev/null"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The functions of the fixture that a finding is about.
fn functions(finding: &Value) -> BTreeSet<String> {
    let frames = list(&finding["parts"]).iter().flat_map(|part| list(&part["stack"]));
    let names =
        frames.filter_map(|frame| frame["function"].as_str()?.strip_prefix("planted::")?.split("::").nth(1));
    names.map(|name| name.trim_end_matches("{async_fn}").to_owned()).collect()
}

/// The functions that a note about the scheduler names.
fn named_by(report: &Value, rule: &str) -> Vec<String> {
    let notes = list(&report["scheduler"]).iter().filter(|note| note["rule"] == rule);
    let because = notes.flat_map(|note| list(&note["because"]));
    because.filter_map(|because| because["function"].as_str().map(str::to_owned)).collect()
}

/// What is wrong with the findings about the planted mistakes.
fn wrong(report: &Value) -> Vec<String> {
    let (mut missing, mut wrong) = (planted(), Vec::new());
    for finding in list(&report["findings"]) {
        let rules: Vec<_> = list(&finding["rules"]).iter().filter_map(|hit| hit["rule"].as_str()).collect();
        let sureness = finding["sureness"].as_str();
        let functions = functions(finding);
        let about = functions.iter().find_map(|name| missing.remove(name));
        let said = format!("{functions:?}: {rules:?} {sureness:?}");
        match about {
            Some((of, how)) if rules.contains(&&*of) && sureness == Some(&how) => {}
            about => wrong.push(format!("{said}, not {about:?}")),
        }
    }
    wrong.extend(missing.into_iter().map(|bug| format!("{bug:?} is missing")));
    wrong.extend(wrong_notes(report));
    wrong
}

/// What is wrong with what is no finding about tasks that wait. It takes several readings, too.
fn wrong_notes(report: &Value) -> Vec<String> {
    let named =
        |rule: &str, function: &str| named_by(report, rule).iter().any(|name| name.contains(function));
    let mut wrong = Vec::new();
    for (rule, other, function) in [
        ("hot-loops", "blocked-workers", "bugs::never_yields"),
        ("blocked-workers", "hot-loops", "bugs::blocks"),
    ] {
        let said = (named(rule, function), named(other, function));
        if said != (true, false) {
            wrong.push(format!("{function}: {said:?}: {:#}", report["scheduler"]));
        }
    }
    let warnings = list(&report["last"]["warnings"]).iter().filter_map(Value::as_str);
    let starved = warnings.filter(|warning| warning.contains("is starved: 3 jobs wait")).count();
    if starved != 1 {
        wrong.push(format!("{starved} pools are starved"));
    }
    wrong
}

/// Each mistake is found by its rule, as sure as it can be, and nothing else is.
#[test]
fn planted_mistakes_are_found() {
    let program = build_tokio_leaks("1.54.1", TokioFlavour::Dev);
    let fixture = TokioFixture::start_program(&program, &["bugs"]);
    let mut report = Value::Null;
    for seconds in WATCHES {
        report = leaks(fixture.pid(), seconds, 1);
        if wrong(&report).is_empty() {
            break;
        }
    }
    assert_eq!(wrong(&report), Vec::<String>::new(), "{report:#}");

    // Who keeps the lock is named, with the await.
    let of = |name: &str| {
        let all = list(&report["findings"]).iter();
        all.clone().find(|finding| functions(finding).contains(name)).unwrap()
    };
    let [holder] = list(&of("waits_for_kept_lock")["holders"]) else { panic!("{report:#}") };
    assert_eq!(
        (&holder["how"], &holder["at"]["line"]),
        (&"perhaps".into(), &line_of("// holds").into()),
        "{holder:#}"
    );
    assert_eq!(holder["at"]["function"], "planted::bugs::keeps_lock::{async fn}", "{holder:#}");
    let crossed = list(&of("crosses")["holders"]);
    assert!(crossed.len() == 2 && crossed.iter().all(|holder| holder["deadlocked"] == true), "{crossed:#?}");
}

/// What looks like a mistake and is none.
#[test]
fn a_healthy_program_has_no_findings() {
    let program = build_tokio_leaks("1.54.1", TokioFlavour::Dev);
    let fixture = TokioFixture::start_program(&program, &["healthy"]);
    // By chance alone, a number may seem to grow.
    let is_chance = |finding: &&Value| {
        let rules: BTreeSet<_> =
            list(&finding["rules"]).iter().map(|hit| hit["rule"].as_str().unwrap()).collect();
        finding["sureness"] == "suspect" && rules == BTreeSet::from(["growing"])
    };
    // A program that gets no CPU time looks stuck; not for ever longer, though.
    let (mut found, mut blocked) = (Vec::new(), Vec::new());
    for seconds in WATCHES {
        let report = leaks(fixture.pid(), seconds, seconds / 2);
        assert!(report["tasks"].as_u64().unwrap() > 40, "{report:#}");
        blocked = named_by(&report, "blocked-workers");
        found = list(&report["findings"]).iter().filter(|finding| !is_chance(finding)).cloned().collect();
        if found.is_empty() && blocked.is_empty() {
            break;
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(blocked, Vec::<String>::new());
}
