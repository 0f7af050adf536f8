//! What reports look like, at 80 and at 100 columns, and that no target can speak to the terminal.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use loiter::analysis::each::each;
use loiter::analysis::group::group;
use loiter::analysis::{Filter, GroupKey, Pattern, SortBy};
use loiter::report::go::{self, GoOptions};
use loiter::report::json;
use loiter::report::text::{self, TextOptions};
use loiter::snapshot::{Snapshot, Span};
use proptest::prelude::*;

#[path = "common/expected.rs"]
mod expected;
mod samples;

use expected::check;

fn grouped(snapshot: &Snapshot, filter: &Filter, key: &str, options: &TextOptions) -> String {
    let key: GroupKey = key.parse().unwrap();
    let grouped = group(snapshot, filter, &key, SortBy::Count, None);
    let mut out = Vec::new();
    text::groups(snapshot, &grouped, &key, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn each_text(snapshot: &Snapshot, filter: &Filter, options: &TextOptions) -> String {
    let each = each(snapshot, filter, SortBy::Id, None);
    let mut out = Vec::new();
    text::each(snapshot, &each, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn go_text(snapshot: &Snapshot, filter: &Filter) -> String {
    let each = each(snapshot, filter, SortBy::Id, None);
    let mut out = Vec::new();
    let options = GoOptions { all_frames: filter.all_frames, labels: true };
    go::write(snapshot, &each.tasks, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json_text(snapshot: &Snapshot, filter: &Filter, key: Option<&str>) -> String {
    let mut out = Vec::new();
    match key {
        Some(key) => {
            let key: GroupKey = key.parse().unwrap();
            let grouped = group(snapshot, filter, &key, SortBy::Count, None);
            json::groups(snapshot, &grouped, &key, &mut out).unwrap();
        }
        None => {
            let each = each(snapshot, filter, SortBy::Id, None);
            json::each(snapshot, &each, filter.all_frames, &mut out).unwrap();
        }
    }
    String::from_utf8(out).unwrap()
}

fn options(width: usize) -> TextOptions {
    TextOptions { width, ..TextOptions::default() }
}

/// Few enough tasks to be read one by one.
fn few() -> Filter {
    Filter { ids: vec![1, 3, 20, 40, 50, 51, 52, 1000, 3003], system: true, ..Filter::default() }
}

#[test]
fn groups_at_100_columns() {
    check("groups-100", &grouped(&samples::server(), &Filter::default(), "stack", &options(100)));
}

#[test]
fn groups_at_80_columns() {
    let text = grouped(&samples::server(), &Filter::default(), "stack", &options(80));
    check("groups-80", &text);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn groups_in_colour() {
    let options = TextOptions { color: true, ..options(100) };
    check("groups-colour", &grouped(&samples::server(), &Filter::default(), "stack", &options));
}

#[test]
fn groups_with_everything() {
    let options =
        TextOptions { verbose: true, full_paths: true, time: true, all_frames: true, ..options(100) };
    let filter = Filter { system: true, all_frames: true, ..Filter::default() };
    check("groups-verbose", &grouped(&samples::server(), &filter, "stack", &options));
}

#[test]
fn groups_by_other_things() {
    let text = ["function", "state", "creator", "label:route", "waits-on"]
        .map(|key| {
            let filter = Filter { ids: (1..200).chain(3000..4000).collect(), ..Filter::default() };
            grouped(&samples::server(), &filter, key, &options(100))
        })
        .join("\n");
    check("groups-by", &text);
}

#[test]
fn each_task() {
    check("each-100", &each_text(&samples::server(), &few(), &options(100)));
    check("each-80", &each_text(&samples::server(), &few(), &options(80)));
}

#[test]
fn go_format() {
    check("go", &go_text(&samples::server(), &few()));
}

#[test]
fn json_formats() {
    for (name, text) in [
        ("groups-json", json_text(&samples::server(), &Filter::default(), Some("stack"))),
        ("each-json", json_text(&samples::server(), &few(), None)),
    ] {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        check(name, &serde_json::to_string_pretty(&value).unwrap());
    }
}

#[test]
fn what_is_left_out_is_said() {
    let snapshot = samples::server();
    let filter = Filter { creators: vec![Pattern::anywhere("fetch")], ..Filter::default() };
    let grouped = group(&snapshot, &Filter::default(), &GroupKey::Stack, SortBy::Age, Some(2));
    let mut out = Vec::new();
    text::groups(&snapshot, &grouped, &GroupKey::Stack, &options(100), &mut out).unwrap();
    let each = each(&snapshot, &filter, SortBy::Id, Some(1));
    text::each(&snapshot, &each, &options(100), &mut out).unwrap();
    check("left-out", &String::from_utf8(out).unwrap());
}

#[test]
fn hostile_strings_are_shown_as_text() {
    let snapshot = samples::hostile();
    let options = TextOptions { verbose: true, full_paths: true, ..options(100) };
    let all = Filter::default();
    let mut texts: Vec<String> = ["stack", "function", "state", "creator", "label:x", "waits-on"]
        .map(|key| grouped(&snapshot, &all, key, &options))
        .into();
    texts.push(each_text(&snapshot, &all, &options));
    texts.push(go_text(&snapshot, &all));
    check("hostile", &texts.join("\n"));
    texts.push(json_text(&snapshot, &all, Some("stack")));
    texts.push(json_text(&snapshot, &all, None));
    texts.push(text::headline(&snapshot));
    for text in texts {
        // headline() is one of the texts that a caller has to escape.
        let text = if text.ends_with('\n') { text } else { loiter::report::escape(&text).into_owned() };
        let bad = |c: char| c.is_control() && c != '\n' && c != '\t' || "\u{202e}\u{200b}\u{9b}".contains(c);
        assert!(!text.chars().any(bad), "{text:?}");
    }
    // And JSON gives back exactly what was there.
    let value: serde_json::Value = serde_json::from_str(&json_text(&snapshot, &all, None)).unwrap();
    assert_eq!(value["snapshot"]["target"]["name"], snapshot.header.target.name);
}

#[test]
fn who_holds_the_locks_is_said() {
    let snapshot = samples::convoy();
    let all = Filter::default();
    for width in [100, 80] {
        let text = grouped(&snapshot, &all, "stack", &options(width));
        check(&format!("convoy-groups-{width}"), &text);
    }
    let few = Filter { ids: vec![1, 7, 12, 99, 100, 200, 210, 220, 221, 222, 223, 224, 240], ..all.clone() };
    check("convoy-each", &each_text(&snapshot, &few, &options(100)));
    let whole = grouped(&snapshot, &all, "stack", &TextOptions { full_paths: true, ..options(300) });
    assert!(whole.contains("held by goroutine 99: main.(*store).refresh /home/ci/api/cmd/"), "{whole}");
    assert!(whole.contains("(unlocks it after main.(*store).refresh /home/ci/api/cmd/"), "{whole}");
    check("convoy-waits-on", &grouped(&snapshot, &all, "waits-on", &options(100)));
    let value: serde_json::Value =
        serde_json::from_str(&json_text(&snapshot, &all, Some("waits-on"))).unwrap();
    let groups = value["groups"].as_array().unwrap();
    let locks: Vec<_> = (groups.iter())
        .map(|group| serde_json::json!({"key": group["key"], "waits": group["waits"], "holds": group["holds"]}))
        .collect();
    check("convoy-json", &serde_json::to_string_pretty(&locks).unwrap());
}

#[test]
fn without_locks_and_holders_nothing_is_said_of_them() {
    let mut snapshot = samples::convoy();
    snapshot.holds.clear();
    snapshot.objects.iter_mut().for_each(|object| object.lock = None);
    snapshot.tasks.iter_mut().for_each(|task| task.holds = Span::default());
    let text = grouped(&snapshot, &Filter::default(), "waits-on", &options(100))
        + &each_text(&snapshot, &Filter::default(), &options(100));
    for word in ["held", "holds", "hold", "Done", "itself", "handed"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
}

proptest! {
    #[test]
    fn any_snapshot_can_be_shown(
        seed in proptest::collection::vec((0_u64..9, any::<u64>(), any::<u8>()), 0..40),
        texts in proptest::collection::vec(any::<String>(), 1..4),
    ) {
        let snapshot = samples::from_numbers(&seed, &texts);
        let all = Filter { system: true, ..Filter::default() };
        let texts = [
            grouped(&snapshot, &all, "stack", &options(80)),
            grouped(&snapshot, &all, "waits-on", &options(80)),
            each_text(&snapshot, &all, &options(80)),
            json_text(&snapshot, &all, Some("waits-on")),
            json_text(&snapshot, &all, None),
        ];
        for text in texts {
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
