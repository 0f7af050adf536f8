//! What Go tests leave behind, and which test started it: real test binaries, held where they would end, compared with
//! the runtime's own traceback.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "gate_judge/program.rs"]
mod program;
#[path = "gate_judge/traceback.rs"]
mod traceback;

use std::collections::BTreeMap;

use loiter::analysis::baseline::Baseline;
use loiter::analysis::baseline::file::{parse, write};
use loiter::analysis::gate::{Standing, Terms, Verdict, Way, judge};
use loiter::report::gate::{annotations, junit, sarif, summary, text};
use loiter::report::json;
use loiter::report::roots::Roots;
use loiter::report::text::TextOptions;
use program::Held;
use serde_json::Value;
use traceback::{Shown, Traceback, is_same, read_ancestors};

/// For each test, or "" for none: how many tasks are charged to it, and how.
fn charges(verdict: &Verdict) -> BTreeMap<String, (u64, Vec<Option<Way>>)> {
    let mut all: BTreeMap<String, (u64, Vec<Option<Way>>)> = BTreeMap::new();
    for charge in verdict.leaks.iter().flat_map(|leak| &leak.charges) {
        let (test, way) = match &charge.test {
            Some((test, way)) => (test.clone(), Some(*way)),
            None => (String::new(), None),
        };
        let sum = all.entry(test).or_default();
        sum.0 += charge.tasks;
        sum.1.push(way);
    }
    all.values_mut().for_each(|(_, ways)| ways.sort_unstable());
    all
}

fn ancestors_as_the_runtime_prints_them(version: &str) {
    let held = Held::start(version, &[], &[("GODEBUG", "tracebackancestors=20")]);
    let snapshot = held.read();
    let ours = read_ancestors(&snapshot);
    let printed = Traceback::parse(&held.quit());
    let (mut compared, mut exact) = (0, 0);
    for (goroutine, ancestors) in &printed.ancestors {
        // Goroutines of the runtime are printed too, and not asked for here.
        let Some(task) = snapshot.tasks.iter().find(|task| task.id == Some(*goroutine) && !task.system)
        else {
            continue;
        };
        let none = Vec::new();
        let ours = ours.get(goroutine).unwrap_or(&none);
        let ids = |all: &[Shown]| all.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids(ours), ids(ancestors), "{version}: {task:?}");
        for ((_, ours), (_, printed)) in ours.iter().zip(ancestors) {
            let same = ours.iter().zip(printed).all(|(ours, printed)| is_same(ours, printed));
            assert!(same && ours.len() == printed.len(), "{version}: {ours:?} {printed:?}");
            exact += ours.iter().zip(printed).filter(|(ours, printed)| ours == printed).count();
            compared += ours.len();
        }
    }
    assert!(compared > 100, "{version}: only {compared} frames were compared");
    assert!(exact * 10 > compared * 8, "{version}: {exact} of {compared}");
}

#[test]
fn ancestors_of_go_1_19() {
    ancestors_as_the_runtime_prints_them("1.19");
}

#[test]
fn ancestors_of_go_1_23() {
    ancestors_as_the_runtime_prints_them("1.23");
}

#[test]
fn ancestors_of_go_1_27() {
    ancestors_as_the_runtime_prints_them("1.27");
}

#[test]
fn every_leak_is_charged_to_its_test_with_ancestors() {
    let held = Held::start("1.27", &[], &[("GODEBUG", "tracebackancestors=20")]);
    let verdict = judge(&[held.read()], &Terms::default());
    let charges = charges(&verdict);
    for (test, tasks, way) in [
        ("TestClosure", 1, Way::Frame),
        ("TestArgument", 1, Way::Frame),
        ("TestHelper", 1, Way::Ancestor),
        ("TestFar", 1, Way::Ancestor),
        ("TestParts", 2, Way::Ancestor),
        ("TestLabel", 1, Way::Ancestor),
        ("TestNilChannel", 1, Way::Frame),
        ("TestMutex", 1, Way::Frame),
        ("TestTicker", 1, Way::Frame),
        ("TestListener", 1, Way::Frame),
        ("TestEndsLater", 1, Way::Frame),
    ] {
        let (found, ways) = charges.get(test).unwrap_or_else(|| panic!("{test}: {charges:?}"));
        assert_eq!((*found, ways.first()), (tasks, Some(&Some(way))), "{test}");
    }
    assert_eq!(charges.len(), 11, "{charges:?}");
    assert_eq!(verdict.program, "ex.com/gate");
    assert!(verdict.is_test && verdict.fails() && verdict.has_left());
}

#[test]
fn without_ancestors_some_leaks_belong_to_the_package_and_some_end() {
    let mut held = Held::start("1.27", &["-trimpath", "-ldflags=-s -w"], &[]);
    let first = held.read();
    let before = judge(std::slice::from_ref(&first), &Terms::default());
    let charged = charges(&before);
    assert_eq!(charged["TestLabel"], (1, vec![Some(Way::Label)]));
    // TestHelper, TestFar and both parts of TestParts: nothing names them.
    assert_eq!(charged[""].0, 4, "{charged:?}");
    assert!(charged.contains_key("TestEndsLater"));
    held.settle();
    let readings = [first, held.read()];
    let after = judge(&readings, &Terms::default());
    assert_eq!((after.readings, after.ended), (2, 1));
    assert!(!charges(&after).contains_key("TestEndsLater"));
    let fine: Vec<String> = after.fine.iter().map(|rest| format!("{:?}", rest.name)).collect();
    for name in ["OfInit", "signal handler", "task that ends the program"] {
        assert!(fine.iter().any(|fine| fine.contains(name)), "{name}: {fine:?}");
    }
    outputs(&after);
    baseline(&readings, &after);
}

/// A kind whose test is known, and one whose test is not.
fn outputs(verdict: &Verdict) {
    let repository = program::sources().display().to_string();
    let roots = Roots {
        repository: Some(repository),
        // The program was built with -trimpath.
        module: Some(("ex.com/gate".to_owned(), String::new())),
    };
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    let shown = written(&|out| text(verdict, &|_| None, &TextOptions::default(), out).unwrap());
    for line in [
        "ex.com/gate left 10 goroutines of",
        "PROVEN",
        "TestTicker (on the stack)",
        "no test (nothing names one)",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    let report = written(&|out| junit(verdict, "2026-11-26T23:53:14", out).unwrap());
    let document = roxmltree::Document::parse(&report).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(suite.attribute("failures"), Some(cases.len().to_string().as_str()));
    assert_eq!(suite.attribute("name"), Some("ex.com/gate"));
    let names: Vec<_> = cases.iter().filter_map(|case| case.attribute("name")).collect();
    assert!(names.contains(&"TestMutex") && names.contains(&"(no test)"), "{names:?}");
    let order: Vec<_> =
        suite.children().filter(|node| node.is_element()).map(|n| n.tag_name().name()).collect();
    assert_eq!(
        (order.first(), order[order.len() - 2..].to_vec()),
        (Some(&"properties"), vec!["system-out", "system-err"])
    );

    let log = written(&|out| sarif(verdict, &roots, "1.2.3", out).unwrap());
    assert_eq!(log, written(&|out| sarif(verdict, &roots, "1.2.3", out).unwrap()));
    let log: Value = serde_json::from_str(&log).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), verdict.leaks.len());
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap_or_else(|| panic!("{result}"));
        assert!(
            ["gate.go", "gate_test.go"].contains(&uri) && place["region"]["startLine"].as_u64() > Some(0)
        );
        let rules = &log["runs"][0]["tool"]["driver"]["rules"];
        assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"], result["ruleId"]);
    }

    let lines = written(&|out| annotations(verdict, &roots, out).unwrap());
    let kinds = verdict.failures().count();
    assert_eq!(lines.lines().count(), kinds.min(10));
    assert!(lines.starts_with("::error file=gate_test.go,line="), "{lines}");
    let page = summary(verdict, &roots, 1 << 20).unwrap();
    assert!(page.contains("| PROVEN | 1 |") && page.len() < 1 << 20, "{page}");
    assert!(summary(verdict, &roots, 2_000).unwrap().len() <= 2_000);
    assert_eq!(summary(verdict, &roots, 10), None);

    let document = written(&|out| json::gate(verdict, &|_| None, &roots, out).unwrap());
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["fails"], &document["program"]), (&Value::Bool(true), &"ex.com/gate".into()));
    assert_eq!(document["leaks"].as_array().unwrap().len(), verdict.leaks.len());
}

/// What is in the baseline passes, what is new fails, and what is gone is stale.
fn baseline(readings: &[std::sync::Arc<loiter::snapshot::Snapshot>], verdict: &Verdict) {
    let mut all = Baseline::default();
    all.renew(&verdict.program, &verdict.kinds());
    let file = write(&all, &|c| !c.is_control());
    let terms = |file: &str, today: Option<&str>| Terms {
        baseline: Some(parse(file).unwrap()),
        today: today.map(|day| day.parse().unwrap()),
        ..Terms::default()
    };
    let known = judge(readings, &terms(&file, None));
    assert!(!known.fails() && !known.has_left() && known.stale.is_empty(), "{file}");
    assert_eq!(known.known().count(), verdict.leaks.len());

    let ticker = file.lines().find(|line| line.contains("TestTicker")).unwrap();
    let less = judge(readings, &terms(&file.replace(ticker, "gate.gone | * | select"), None));
    let failures: Vec<_> = less.failures().map(|leak| leak.kind.function.as_str()).collect();
    assert_eq!(failures, ["ex.com/gate.TestTicker.func*"]);
    assert_eq!(less.stale.len(), 1);

    let dated = file.replace(ticker, &format!("{ticker} | until 2026-11-30"));
    assert!(!judge(readings, &terms(&dated, Some("2026-11-30"))).fails());
    let late = judge(readings, &terms(&dated, Some("2026-12-01")));
    assert!(matches!(late.failures().next().unwrap().standing, Standing::Expired(_)));
}
