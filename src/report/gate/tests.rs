//! Reports on programs with hostile names are what their readers accept.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::analysis::gate::{Terms, Unjudged, judge};
use crate::report::roots::Roots;
use crate::snapshot::*;

/// Names that end texts, tags, commands and terminals early, and characters that XML does not have.
const HOSTILE: [&str; 8] = [
    "main.]]><!--",
    "main.\u{1b}[2J\u{0}\u{7}",
    "main.\n::error::x%0A,:",
    "main.\"'&amp;<b>",
    "main.\u{fffe}\u{ffff}",
    "main.\u{202e}abc",
    "main.TestX.func1 | ` \\",
    "main.\u{10ffff}\r\t",
];

/// Each name starts tasks, is where they are, and is a file.
fn hostile() -> Verdict {
    let mut builder = SnapshotBuilder::new();
    builder.header.target.host = Some("ho<st\u{1}".to_owned());
    builder.header.runtimes.push(RuntimeInfo {
        name: "go".to_owned(),
        task_noun: "gorou\"tine".to_owned(),
        module: Some("ex.com/a]]>\u{b}b.test".to_owned()),
        ..RuntimeInfo::default()
    });
    builder.header.warnings.push("a warning ]]> \u{1b}".to_owned());
    for (id, name) in (1..).zip(HOSTILE) {
        let role = crate::words::go::role(name, "main");
        let function = builder.code.function_with(name, "main", FunctionKind::Normal, role);
        let frame = builder.code.frame(function, &format!("/src/{name}.go"), 7);
        let location = builder.code.location(Location::in_source(vec![frame]));
        let reason = builder.code.string(name);
        let stack = builder.code.stack(vec![location]);
        builder.task(Task {
            id: Some(id),
            stack_status: StackStatus::Complete,
            state: TaskState::Waiting,
            wait_class: WaitClass::Send,
            stack: Some(stack),
            creator: Some(location),
            reason: Some(reason),
            ..Task::default()
        });
    }
    let verdict = judge(&[Arc::new(builder.finish())], &Terms::default());
    assert_eq!(verdict.leaks.len(), HOSTILE.len());
    verdict
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

type Names = &'static [&'static str];

/// Elements of a JUnit report: the attributes that must be there, those that may, and the children. It is what Jenkins
/// asks for (`junit-10.xsd` of its xUnit plugin), and what Ant asks for besides.
const ELEMENTS: [(&str, Names, Names, Names); 8] = [
    ("testsuites", &[], &["name", "time", "tests", "failures", "errors"], &["testsuite"]),
    (
        "testsuite",
        &["name", "package", "id", "tests", "failures", "errors", "time", "timestamp", "hostname"],
        &["skipped"],
        &["properties", "testcase", "system-out", "system-err"],
    ),
    ("properties", &[], &[], &["property"]),
    ("testcase", &["name", "classname", "time"], &[], &["skipped", "failure"]),
    ("failure", &["type", "message"], &[], &[]),
    ("skipped", &[], &["type", "message"], &[]),
    ("system-out", &[], &[], &[]),
    ("system-err", &[], &[], &[]),
];

fn check_junit(text: &str) {
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    for node in root.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let (_, must, may, children) =
            ELEMENTS.iter().find(|(of, ..)| *of == name).unwrap_or_else(|| panic!("{name}"));
        let attributes: BTreeSet<&str> = node.attributes().map(|one| one.name()).collect();
        assert!(must.iter().all(|one| attributes.contains(one)), "{name}: {attributes:?}");
        assert!(
            attributes.iter().all(|one| must.contains(one) || may.contains(one)),
            "{name}: {attributes:?}"
        );
        let inside: Vec<&str> =
            node.children().filter(roxmltree::Node::is_element).map(|one| one.tag_name().name()).collect();
        assert!(inside.iter().all(|one| children.contains(one)), "{name}: {inside:?}");
        if name == "testsuite" {
            // Ant wants them in this order.
            let order: Vec<_> = inside.iter().map(|one| children.iter().position(|it| it == one)).collect();
            assert!(order.is_sorted(), "{inside:?}");
            let count =
                |what: &str| node.descendants().filter(|one| one.has_tag_name(what)).count().to_string();
            for (attribute, what) in [("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")]
            {
                assert_eq!(node.attribute(attribute), Some(count(what).as_str()), "{attribute}");
            }
        }
    }
}

#[test]
fn junit_is_what_jenkins_and_ant_read() {
    let mut verdict = hostile();
    let time = "2026-11-26T23:53:14";
    check_junit(&written(|out| junit(&verdict, time, out)));
    verdict.leaks.clear();
    check_junit(&written(|out| junit(&verdict, time, out)));
    let unread = Verdict { unjudged: vec![Unjudged::NoReading], ..Verdict::default() };
    let report = written(|out| junit(&unread, time, out));
    check_junit(&report);
    assert!(report.contains("<skipped "), "{report}");
}

/// What GitHub asks of a log: <https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>.
fn check_sarif(log: &str, results: usize) {
    let log: Value = serde_json::from_str(log).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len(), "each rule once");
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(rule[text]["text"].as_str().is_some_and(|text| !text.is_empty()), "{text}: {rule}");
        }
    }
    assert_eq!(run["results"].as_array().unwrap().len(), results);
    for result in run["results"].as_array().unwrap() {
        assert!(ids.contains(result["ruleId"].as_str().unwrap()), "{result}");
        assert!(["note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
        // Without a place, GitHub refuses the whole log.
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap_or_else(|| panic!("{result}"));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/@+,%".contains(c);
        assert!(!uri.is_empty() && !uri.starts_with('/') && uri.chars().all(is_plain), "{uri}");
        assert!(place["region"]["startLine"].as_u64() >= Some(1), "{result}");
        assert!(result["partialFingerprints"]["primaryLocationLineHash"].is_string());
    }
}

#[test]
fn sarif_is_what_github_takes() {
    let verdict = hostile();
    let inside = Roots { repository: Some("/src".to_owned()), module: None };
    let module = Some(("ex.com/other".to_owned(), "go".to_owned()));
    let outside = Roots { repository: Some("/elsewhere".to_owned()), module };
    for roots in [inside, outside, Roots::default()] {
        check_sarif(&written(|out| sarif(&verdict, &roots, "1.2.3", out)), HOSTILE.len());
    }
    check_sarif(&written(|out| sarif(&Verdict::default(), &Roots::default(), "1.2.3", out)), 0);
}

#[test]
fn names_neither_end_a_command_nor_reach_a_terminal() {
    let verdict = hostile();
    let roots = Roots { repository: Some("/src".to_owned()), module: None };
    let commands = written(|out| annotations(&verdict, &roots, out));
    assert!(commands.lines().all(|line| line.starts_with("::error ")), "{commands}");
    assert_eq!(commands.lines().count(), HOSTILE.len());
    let page = summary(&verdict, &roots, 1 << 20).unwrap();
    let shown = written(|out| text(&verdict, &|_| None, &TextOptions::default(), out));
    for written in [&commands, &page, &shown] {
        let odd = |c: char| c.is_control() && c != '\n' || ['\u{202e}', '\u{fffe}', '\u{ffff}'].contains(&c);
        assert!(!written.contains(odd), "{written:?}");
    }
}
