//! What recordings look like: as text at 80 and at 100 columns, as flame graphs, profiles and JSON.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use loiter::report::pprof;

use loiter::analysis::recorded::diff::{Compared, diff};
use loiter::analysis::recorded::{By, Recorded, Shape};
use loiter::analysis::{Filter, Pattern};
use loiter::recording::{Clock, Recording, Whose};
use loiter::report::flame::{Caption, folded, speedscope};
use loiter::report::text::recording::{self, RecordingOptions};
use loiter::report::{firefox, json, markdown};
use loiter::snapshot::SourceKind;

mod common;
mod samples;

use common::expected::check;
use common::{QUICK_VERSIONS, Toolchain};
use samples::recording::{hostile, server};

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn report(recorded: &Recorded, filter: &Filter, options: &RecordingOptions) -> String {
    text(|out| recording::recording(recorded, filter, options, out))
}

fn options(width: usize) -> RecordingOptions {
    RecordingOptions { width, ..RecordingOptions::default() }
}

fn all_clocks() -> Recorded {
    Recorded::new(&server(&Clock::ALL, 0))
}

/// Nothing of a target drives the terminal.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}')
}

#[test]
fn the_report_at_100_and_at_80_columns() {
    let recorded = all_clocks();
    let wide = report(&recorded, &Filter::default(), &options(100));
    check("recording-100", &wide);
    let narrow = report(&recorded, &Filter::default(), &options(80));
    check("recording-80", &narrow);
    for (text, width) in [(wide, 100), (narrow, 80)] {
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        assert!(text.lines().count() <= 48, "{text}");
    }
}

#[test]
fn the_report_of_each_clock_alone() {
    for clock in Clock::ALL {
        let recorded = Recorded::new(&server(&[clock], 0));
        check(&format!("recording-{}", clock.name()), &report(&recorded, &Filter::default(), &options(100)));
    }
}

#[test]
fn time_by_everything_that_it_can_be_grouped_by() {
    let recorded = all_clocks();
    let mut text = String::new();
    for by in ["kind", "label:route", "creator", "function", "state", "thread", "task"] {
        let by: By = by.parse().unwrap();
        let options = RecordingOptions { by, top: Some(4), ..options(100) };
        let report = report(&recorded, &Filter::default(), &options);
        let table = report.split("\n\n").nth(1).unwrap();
        text.push_str(&format!("{table}\n\n"));
    }
    check("recording-groups", &text);
    assert!("labels".parse::<By>().is_err() && "label:".parse::<By>().is_err());
}

#[test]
fn filters_are_those_of_snapshots() {
    let recorded = all_clocks();
    let functions = vec![Pattern::anywhere("json")];
    let labels = vec![("route".to_owned(), Some("/users".to_owned()))];
    let filter = Filter { functions, labels, ..Filter::default() };
    check("recording-filter", &report(&recorded, &filter, &options(100)));
    let none = Filter { ids: vec![1], ..Filter::default() };
    assert!(report(&recorded, &none, &options(100)).contains("no sample passes the filter"));
}

#[test]
fn time_of_tasks_without_id_is_said() {
    let mut made = server(&[Clock::Cpu], 0);
    let remark = |made: &Recording| {
        let report = report(&Recorded::new(made), &Filter::default(), &options(200));
        let remark = report.lines().find(|line| line.contains("of tasks without id")).map(str::to_owned);
        remark.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(remark(&made), None);
    let of = |made: &Recording, nth: Option<usize>| -> u64 {
        let is_of = |whose| matches!(whose, Whose::Task(row) if nth.is_none_or(|nth| row.index() == nth));
        made.samples.iter().filter(|sample| is_of(sample.whose)).map(|sample| sample.weight_ns).sum()
    };
    let nth = (0..made.tasks.len()).find(|&nth| !made.tasks[nth].system && of(&made, Some(nth)) > 0).unwrap();
    made.tasks[nth].id = None;
    let all: u64 = made.samples.iter().map(|sample| sample.weight_ns).sum();
    let share = of(&made, Some(nth)) as f64 * 100.0 / all as f64;
    let said = remark(&made).unwrap();
    let number: f64 = said.split(' ').next().unwrap().parse().unwrap();
    assert!((number - share).abs() <= 0.5, "{said}, {share}");
    // Profiles of others have no ids at all.
    made.header.target.source = SourceKind::Profile;
    assert_eq!(remark(&made), None);
}

#[test]
fn an_empty_recording_says_so() {
    let recorded = Recorded::new(&server(&[], 0));
    check("recording-empty", &report(&recorded, &Filter::default(), &options(100)));
}

#[test]
fn two_recordings_by_share() {
    let (before, now) =
        (Recorded::new(&server(&[Clock::Cpu], 0)), Recorded::new(&server(&[Clock::Cpu], 150)));
    let compare = |now: &Recorded, compared| {
        let diff = diff(&before, now, Clock::Cpu, &Filter::default(), &compared).unwrap();
        text(|out| recording::diff(&before, now, &diff, &options(100), out))
    };
    check("recording-diff", &compare(&now, Compared::Function));
    check("recording-diff-groups", &compare(&now, Compared::Group(By::Kind)));
    assert!(compare(&before, Compared::Cumulative).contains("no real difference"));
    assert!(diff(&before, &now, Clock::Wall, &Filter::default(), &Compared::Function).is_none());
}

#[test]
fn recordings_as_markdown() {
    let recorded = all_clocks();
    let write = |recorded: &Recorded, by: &By, top| {
        text(|out| markdown::recording(recorded, &Filter::default(), by, top, out))
    };
    check("recording-markdown", &write(&recorded, &By::Kind, None));
    let by_label = write(&recorded, &"label:route".parse().unwrap(), Some(2));
    assert!(by_label.contains("| `route` |") && by_label.contains("more row"), "{by_label}");
    assert!(write(&Recorded::new(&server(&[], 0)), &By::Kind, None).contains("nothing was sampled"));
    let (before, now) =
        (Recorded::new(&server(&[Clock::Cpu], 0)), Recorded::new(&server(&[Clock::Cpu], 150)));
    let compare = |now: &Recorded| {
        let diff = diff(&before, now, Clock::Cpu, &Filter::default(), &Compared::Function).unwrap();
        text(|out| markdown::recording_diff(&before, now, &diff, None, out))
    };
    check("recording-markdown-diff", &compare(&now));
    assert!(compare(&before).contains("No real difference"));
    // Each row of a table has as many cells as its head, whatever the target says.
    let nasty = write(&Recorded::new(&hostile()), &By::Kind, None);
    assert!(is_harmless(&nasty), "{nasty}");
    for table in nasty.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let widths: Vec<_> = table.lines().map(cells).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
    assert!(!nasty.contains("<script") || nasty.contains("`"), "{nasty}");
}

#[test]
fn flame_graphs_of_recordings() {
    let recorded = all_clocks();
    let mut lines = String::new();
    for (clock, by) in [(Clock::Cpu, Some(By::Kind)), (Clock::Wall, Some(By::State)), (Clock::OffCpu, None)] {
        let flame = recorded.flame(clock, &Filter::default(), by.as_ref(), Shape::default());
        lines.push_str(&format!("{clock:?}\n{}\n", text(|out| folded::write(&flame, out))));
    }
    check("recording-folded", &lines);
    let flame = recorded.flame(Clock::Cpu, &Filter::default(), None, Shape { samples: true, reverse: true });
    check("recording-folded-samples", &text(|out| folded::write(&flame, out)));
    let caption = Caption::of_recording(&recorded, None, Clock::Cpu);
    let json: serde_json::Value =
        serde_json::from_str(&text(|out| speedscope::write(&flame, &caption, out))).unwrap();
    assert_eq!(json["profiles"][0]["endValue"], 604);
}

#[test]
fn a_hostile_target_cannot_speak() {
    let recorded = Recorded::new(&hostile());
    for width in [20, 80] {
        for by in ["kind", "task", "thread", "creator", "function", "state"] {
            let options = RecordingOptions { by: by.parse().unwrap(), ..options(width) };
            let text = report(&recorded, &Filter::default(), &options);
            assert!(is_harmless(&text), "{text:?}");
        }
    }
    let compared = diff(&recorded, &recorded, Clock::Cpu, &Filter::default(), &Compared::Function).unwrap();
    assert!(is_harmless(&text(|out| recording::diff(&recorded, &recorded, &compared, &options(80), out))));
    for clock in Clock::ALL {
        let flame = recorded.flame(clock, &Filter::default(), Some(&By::Kind), Shape::default());
        assert!(is_harmless(&text(|out| folded::write(&flame, out))));
        let caption = Caption::of_recording(&recorded, Some(&recorded), clock);
        assert!(is_harmless(&text(|out| speedscope::write(&flame, &caption, out))));
    }
}

#[test]
fn json_has_what_the_report_shows() {
    let recorded = all_clocks();
    let json = text(|out| json::recording(&recorded, &Filter::default(), &By::Kind, Some(3), out));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings
        .bind(|| insta::assert_snapshot!("recording-json", serde_json::to_string_pretty(&value).unwrap()));
    let harmless =
        text(|out| json::recording(&Recorded::new(&hostile()), &Filter::default(), &By::Task, None, out));
    assert!(is_harmless(&harmless) && serde_json::from_str::<serde_json::Value>(&harmless).is_ok());
}

/// Every column of a table has its length, and every index is one of the table that it refers to.
fn check_track(track: &serde_json::Value, categories: usize) {
    let table = |name: &str| &track[name];
    let length = |name: &str| table(name)["length"].as_u64().unwrap() as usize;
    for name in
        ["frameTable", "funcTable", "markers", "nativeSymbols", "resourceTable", "samples", "stackTable"]
    {
        for (column, values) in table(name).as_object().unwrap() {
            if let Some(values) = values.as_array() {
                assert_eq!(values.len(), length(name), "{name}.{column}");
            }
        }
    }
    let strings = track["stringArray"].as_array().unwrap();
    assert!(strings.iter().all(|text| is_harmless(text.as_str().unwrap())));
    let below = |name: &str, column: &str, limit: usize| {
        for value in table(name)[column].as_array().unwrap() {
            assert!(
                value.is_null() || (value.as_u64().unwrap() as usize) < limit,
                "{name}.{column}: {value}"
            );
        }
    };
    below("frameTable", "func", length("funcTable"));
    below("frameTable", "category", categories);
    below("frameTable", "subcategory", 1);
    below("funcTable", "name", strings.len());
    below("funcTable", "fileName", strings.len());
    below("markers", "name", strings.len());
    below("markers", "category", categories);
    below("samples", "stack", length("stackTable"));
    below("stackTable", "frame", length("frameTable"));
    // A stack comes after its callers.
    for (nth, prefix) in table("stackTable")["prefix"].as_array().unwrap().iter().enumerate() {
        assert!(prefix.is_null() || (prefix.as_u64().unwrap() as usize) < nth);
    }
    let times: Vec<f64> =
        table("samples")["time"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    assert!(times.is_sorted());
}

fn firefox_json(recording: &Recording) -> serde_json::Value {
    let recorded = Recorded::new(recording);
    let mut packed = Vec::new();
    let left_out = firefox::write(recording, &recorded, &Filter::default(), &mut packed).unwrap();
    assert_eq!(left_out, 0);
    let mut json = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut json).unwrap();
    assert!(is_harmless(&json));
    serde_json::from_str(&json).unwrap()
}

#[test]
fn the_firefox_profiler_finds_every_index() {
    for recording in [server(&Clock::ALL, 0), server(&[Clock::Wall], 0), hostile(), server(&[], 0)] {
        let json = firefox_json(&recording);
        let categories = json["meta"]["categories"].as_array().unwrap();
        assert!(categories.iter().any(|category| category["color"] == "grey"));
        json["threads"].as_array().unwrap().iter().for_each(|track| check_track(track, categories.len()));
    }
    let json = firefox_json(&server(&Clock::ALL, 0));
    let tracks: Vec<_> = (json["threads"].as_array().unwrap().iter())
        .map(|track| {
            let count = |table: &str| track[table]["length"].as_u64().unwrap();
            format!(
                "{} / {}: {} samples, {} markers",
                track["processName"].as_str().unwrap(),
                track["name"].as_str().unwrap(),
                count("samples"),
                count("markers")
            )
        })
        .collect();
    check("recording-firefox-tracks", &tracks.join("\n"));
    // All CPU time is there, by thread and by task.
    for process in ["api-server: threads", "api-server: tasks"] {
        let of = json["threads"].as_array().unwrap().iter().filter(|track| track["processName"] == process);
        let weights = of.flat_map(|track| track["samples"]["weight"].as_array().unwrap());
        let sum: f64 = weights.map(|weight| weight.as_f64().unwrap()).sum();
        assert!((sum - 604.0 * 10.101_01).abs() < 1e-6, "{process}: {sum}");
    }
}

#[test]
fn go_tool_pprof_shows_recordings_without_a_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = all_clocks();
    let path = directory.path().join("all.pb.gz");
    let mut bytes = Vec::new();
    pprof::write_recording(&recorded, &Filter::default(), &mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    for version in QUICK_VERSIONS {
        let toolchain = Toolchain::get(version);
        let run = |arguments: &[&str]| {
            let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
            all.push(path.as_os_str());
            let output = toolchain.pprof(&all);
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && complaints.is_empty(),
                "{version} {arguments:?}: {complaints}"
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let top = run(&["-top"]);
        assert!(top.contains("Type: cpu") && top.contains("Duration: 10s"), "{top}");
        let marshal = top.lines().find(|line| line.ends_with("json.(*encodeState).marshal")).unwrap();
        // Of 604 samples 84 are in it, and 277 with what it calls.
        assert!(marshal.contains("848.48ms") && marshal.contains("2797.98ms"), "{marshal}");
        assert!(run(&["-peek", "mallocgc"]).contains("encoding/json.appendString"));
        let tags = run(&["-tags"]);
        for key in ["route", "thread", "whose", "created_by", "state", "id"] {
            assert!(tags.contains(&format!(" {key}: Total")), "{key}: {tags}");
        }
        assert!(run(&["-top", "-sample_index=wall"]).contains("Type: wall"));
        assert!(run(&["-top", "-sample_index=off-cpu"]).contains("Type: off-cpu"));
        assert!(run(&["-top", "-sample_index=samples"]).contains("Type: samples"));
        let lock = run(&["-top", "-sample_index=wall", "-tagfocus=wait_reason=sync.Mutex.Lock"]);
        assert!(lock.contains("Store).Get"), "{lock}");
    }
}

#[test]
fn profiles_of_recordings_have_all_their_time() {
    for recording in [server(&Clock::ALL, 0), hostile(), server(&[], 0)] {
        let recorded = Recorded::new(&recording);
        let (mut raw, mut packed) = (Vec::new(), Vec::new());
        pprof::write_recording_raw(&recorded, &Filter::default(), &mut raw).unwrap();
        pprof::write_recording(&recorded, &Filter::default(), &mut packed).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(raw, unpacked);
        assert_eq!(sums(&raw).len(), (2 * recorded.clocks().len()).max(1), "a value for each type");
        for (sums, clock) in sums(&raw).chunks(2).zip(recorded.clocks()) {
            let all = recorded.sum(&recorded.select(clock, &Filter::default()).tasks);
            let all = [all.samples, all.ns].map(|value| value.min(i64::MAX as u64));
            assert_eq!(sums, all, "{clock:?}");
        }
    }
}

/// The sums of the values of all samples, by sample type.
fn sums(profile: &[u8]) -> Vec<u64> {
    let mut sums: Vec<u64> = Vec::new();
    let mut types = 0;
    for (field, bytes) in fields(profile) {
        types += usize::from(field == 1);
        let Some((_, values)) =
            (field == 2).then(|| fields(bytes).into_iter().find(|&(field, _)| field == 2)).flatten()
        else {
            continue;
        };
        let (mut rest, mut nth) = (values, 0);
        while !rest.is_empty() {
            let value = varint(&mut rest);
            sums.resize(sums.len().max(nth + 1), 0);
            sums[nth] = sums[nth].saturating_add(value).min(i64::MAX as u64);
            nth += 1;
        }
    }
    sums.resize(types, 0);
    sums
}

/// The fields of a message that have a length.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = varint(&mut message);
        if key & 7 == 2 {
            let (bytes, rest) = message.split_at(value as usize);
            fields.push((key >> 3, bytes));
            message = rest;
        }
    }
    fields
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, after) = rest.split_first().unwrap();
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if *first < 0x80 {
            break;
        }
    }
    value
}

/// Runs loiter in a directory. Its exit code, standard output and standard error.
fn loiter(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loiter"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn commands_take_recordings() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for (name, more) in [("a.loiter", 0), ("b.loiter", 150)] {
        loiter::recording::file::save(&server(&Clock::ALL, more), &here.join(name)).unwrap();
    }
    let shows = |arguments: &[&str], text: &str| {
        let (code, out, err) = loiter(here, arguments);
        assert!(code == 0 && out.contains(text), "{arguments:?}: {out}{err}");
    };
    let refuses = |arguments: &[&str], text: &str| {
        let (code, out, err) = loiter(here, arguments);
        assert!(code == 2 && err.contains(text) && out.is_empty(), "{arguments:?}: {out}{err}");
    };
    shows(&["stacks", "a.loiter"], "WHERE TIME GOES");
    shows(&["stacks", "a.loiter", "--group-by", "thread"], "thread 4243 api-server");
    shows(&["stacks", "a.loiter", "--json", "--group-by", "label:route"], "\"group_by\":\"label:route\"");
    refuses(&["stacks", "a.loiter", "--group-by", "waits-on"], "is for snapshots");
    refuses(&["stacks", "a.loiter", "--each"], "this is a recording");
    shows(&["flame", "a.loiter", "--format", "folded", "--root", "kind"], "garbage collection;");
    shows(&["flame", "a.loiter", "--format", "folded", "--clock", "wall", "--root", "state"], "IO wait;");
    shows(&["flame", "a.loiter", "--format", "folded", "--weight", "samples"], "worker.run 133\n");
    shows(&["flame", "b.loiter", "--diff", "a.loiter", "--format", "speedscope"], "\"name\":\"before\"");
    refuses(&["flame", "a.loiter", "--format", "folded", "--weight", "bytes"], "--weight time or samples");
    shows(&["diff", "a.loiter", "b.loiter"], "encoding/json.(*encodeState).marshal");
    shows(&["diff", "a.loiter", "a.loiter", "--group-by", "kind"], "no real difference");
    shows(&["diff", "a.loiter", "b.loiter", "--json"], "\"real\":true");
    refuses(&["diff", "a.loiter", "b.loiter", "--group-by", "line"], "is for snapshots");
    for ending in ["loiter", "pb.gz", "json", "json.gz", "speedscope.json", "svg", "folded", "txt"] {
        let name = format!("x.{ending}");
        let (code, _, err) = loiter(here, &["convert", "a.loiter", &name]);
        assert!(code == 0 && fs::metadata(here.join(&name)).unwrap().len() > 100, "{ending}: {err}");
    }
    // loiter's own profile is read back as the recording that it was.
    shows(&["stacks", "x.pb.gz"], "garbage collection");
    shows(&["stacks", "x.loiter"], "WHERE TIME GOES");
    refuses(&["convert", "a.loiter", "x.gz"], "Use a name that ends in");
    assert!(!here.join("x.gz").exists());
}
