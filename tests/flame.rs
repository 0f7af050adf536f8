//! Flame graphs in every format, from saved snapshots and from a real process.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::expected::check;
use loiter::analysis::Filter;
use loiter::analysis::flame::{Flame, FlameOptions, Weight, difference, flame};
use loiter::report::flame::picture::{self, PictureOptions};
use loiter::report::flame::svg::{self, Cut, SvgOptions};
use loiter::report::flame::{Caption, Colors, folded, notes, speedscope};
use loiter::snapshot::{Age, FunctionKind, Snapshot, file};
use samples::{F, MINUTE, Maker};
use tempfile::TempDir;

mod common;
mod samples;

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn by(root: &str, weight: Weight) -> FlameOptions {
    FlameOptions { root: root.parse().unwrap(), weight, reverse: false }
}

fn graph(snapshot: &Snapshot, options: &FlameOptions) -> (Flame, Caption) {
    (flame(snapshot, &Filter::default(), options), Caption::new(snapshot, None))
}

fn folded_text(flame: &Flame) -> String {
    text(|out| folded::write(flame, out).unwrap())
}

fn svg_text(flame: &Flame, caption: &Caption, colors: Colors, inverted: bool) -> String {
    let cut = Cut::new(flame, 0.0);
    text(|out| svg::write(flame, &cut, caption, &SvgOptions { colors, inverted }, out).unwrap())
}

fn picture_text(snapshot: &Snapshot, flame: &Flame, caption: &Caption, options: &PictureOptions) -> String {
    let notes = notes(flame, snapshot, &caption.noun);
    text(|out| picture::write(flame, caption, options, &notes, out).unwrap())
}

fn plain(width: usize) -> PictureOptions {
    PictureOptions { width, color: false, colors: Colors::Reason, min_width: 0.01 }
}

/// A line an element, and without what inferno brings.
fn readable(svg: &str) -> String {
    let (head, rest) = svg.split_once("<style").unwrap();
    let (_, body) = rest.split_once("</script>").unwrap();
    format!("{head}{body}").replace("><", ">\n<").replace("<g>\n", "<g>")
}

/// The server with fewer that fetch and more connections, an hour later without workers.
fn later() -> Snapshot {
    let mut snapshot = samples::server();
    *snapshot.header.taken_at_ns.as_mut().unwrap() += 60 * MINUTE;
    snapshot.tasks.retain(|task| !matches!(task.id, Some(20..40 | 1100..2300)));
    let born: Vec<_> = snapshot.tasks.iter().filter(|t| t.id.unwrap() >= 3000).copied().collect();
    snapshot.tasks.extend(born);
    snapshot
}

/// Names that try to end an element, an attribute, a string of a script, a line, a frame.
fn hostile() -> Snapshot {
    const NAMES: [&str; 14] = [
        "</text><script>alert(1)</script>",
        "</title></g></svg><script>alert(1)</script>",
        "\" onclick=\"alert(1)",
        "' onload='alert(1)",
        "]]><script>alert(1)</script><![CDATA[",
        "--><script>alert(1)</script><!--",
        "&lt;b&gt; &amp; &#x3c; &nope;",
        "a;b 12",
        "# comment 7",
        " (x) (y (z",
        "\x1b[31m\u{202e}\u{0}\u{fffe}\u{b}\r\n\t",
        "00001",
        "all (1 tasks, 100%)",
        "rest 5",
    ];
    let mut m = Maker::new();
    for (n, name) in NAMES.into_iter().enumerate() {
        let frame: F = (name, name, FunctionKind::Normal, name, 1);
        let inner: F = ("main.f", "main", FunctionKind::Normal, "f.go", 1);
        for frames in [[inner, frame], [frame, inner], [frame, frame]] {
            let stack = m.stack(&frames);
            let labels = m.builder.code.labels([(name, name)]);
            let task = m.waiting(n as u64, name, Age::Exactly(MINUTE), stack);
            let creator = Some(m.location(&[frame]));
            let task = samples::with!(task; creator, labels: Some(labels));
            m.builder.task(task);
        }
    }
    let runtime = &mut m.builder.header.runtimes[0];
    runtime.name = NAMES[0].to_owned();
    runtime.version = Some(NAMES[4].to_owned());
    runtime.task_noun = "gopher (</title>".to_owned();
    m.builder.header.target.name = NAMES[1].to_owned();
    m.finish()
}

#[test]
fn folded_stacks() {
    let snapshot = samples::server();
    let (graph, _) = graph(&snapshot, &FlameOptions::default());
    check("flame-folded", &folded_text(&graph));
    let changes = difference(&snapshot, &later(), &Filter::default(), &by("state", Weight::Tasks));
    check("flame-folded-diff", &folded_text(&changes));
}

#[test]
fn speedscope_file() {
    let snapshot = samples::server();
    let (graph, caption) = graph(&snapshot, &by("creator", Weight::Seconds));
    let json = text(|out| speedscope::write(&graph, &caption, out).unwrap());
    check("flame-speedscope", &speedscope_checked(&json));

    let changes = difference(&snapshot, &later(), &Filter::default(), &FlameOptions::default());
    let json = text(|out| speedscope::write(&changes, &caption, out).unwrap());
    let value: serde_json::Value = serde_json::from_str(&speedscope_checked(&json)).unwrap();
    let totals: Vec<_> = (value["profiles"].as_array().unwrap().iter())
        .map(|profile| (profile["name"].as_str().unwrap(), profile["endValue"].as_u64().unwrap()))
        .collect();
    assert_eq!(totals, [("now", 363), ("before", 1351)]);
}

/// Checks what file-format-schema.json of speedscope 1.25 requires of a sampled profile, and what its
/// importer relies on. Returns the file in a form that can be read.
fn speedscope_checked(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames = value["shared"]["frames"].as_array().unwrap();
    for frame in frames {
        assert!(frame["name"].is_string());
        assert!(frame.get("file").is_none_or(serde_json::Value::is_string));
    }
    let profiles = value["profiles"].as_array().unwrap();
    assert!(value["activeProfileIndex"].as_u64().unwrap() < profiles.len() as u64);
    for profile in profiles {
        assert_eq!(profile["type"], "sampled");
        assert!(profile["name"].is_string());
        assert!(["none", "milliseconds", "bytes"].contains(&profile["unit"].as_str().unwrap()));
        assert_eq!(profile["startValue"], 0);
        let (samples, weights) =
            (profile["samples"].as_array().unwrap(), profile["weights"].as_array().unwrap());
        assert_eq!(samples.len(), weights.len());
        let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
        assert_eq!(profile["endValue"], sum);
        for index in samples.iter().flat_map(|sample| sample.as_array().unwrap()) {
            assert!((index.as_u64().unwrap() as usize) < frames.len());
        }
    }
    serde_json::to_string_pretty(&value).unwrap()
}

#[test]
fn svg_file() {
    let snapshot = samples::server();
    let (graph, caption) = graph(&snapshot, &FlameOptions::default());
    let svg = svg_text(&graph, &caption, Colors::Reason, false);
    check("flame-svg", &readable(&svg));
    // The same in every run.
    assert_eq!(svg, svg_text(&graph, &caption, Colors::Reason, false));
    assert_ne!(svg, svg_text(&graph, &caption, Colors::Package, false));
    let inverted = svg_text(&graph, &caption, Colors::Reason, true);
    assert!(inverted.contains("var inverted = true") && !svg.contains("var inverted = true"));
}

#[test]
fn svg_file_of_a_difference() {
    let (before, now) = (samples::server(), later());
    let changes = difference(&before, &now, &Filter::default(), &FlameOptions::default());
    let caption = Caption::new(&now, Some(&before));
    let svg = svg_text(&changes, &caption, Colors::Reason, false);
    check("flame-svg-diff", &readable(&svg));
}

/// The rectangles of a graph: name, x, width, in inferno's own units.
fn rectangles(svg: &str) -> Vec<(String, u64, u64)> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(svg, options).unwrap();
    let frames = document.descendants().find(|node| node.attribute("id") == Some("frames")).unwrap();
    let number = |node: roxmltree::Node<'_, '_>, name: &str| {
        node.attribute(("http://github.com/jonhoo/inferno", name)).unwrap().parse().unwrap()
    };
    (frames.children().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "g"))))
        .map(|group| {
            let mut parts = group.children().filter(|node| node.is_element());
            let (title, rect, label) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            assert!(parts.next().is_none());
            let names = [title, rect, label].map(|node| node.tag_name().name().to_owned());
            assert_eq!(names, ["title", "rect", "text"]);
            let name = title.text().unwrap().rsplit_once(" (").unwrap().0;
            // The tooltip begins with the name, too.
            let tooltip = rect.first_element_child().unwrap().text().unwrap();
            assert_eq!(tooltip.lines().next().unwrap(), name);
            (name.to_owned(), number(rect, "x"), number(rect, "w"))
        })
        .collect()
}

#[test]
fn every_frame_is_drawn_as_wide_as_it_weighs() {
    let snapshot = samples::server();
    for options in [by("label:route", Weight::Tasks), by("none", Weight::Seconds), by("state", Weight::Bytes)]
    {
        let (graph, caption) = graph(&snapshot, &options);
        let drawn = rectangles(&svg_text(&graph, &caption, Colors::Reason, false));
        let mut widths: Vec<_> = drawn.into_iter().map(|(name, _, width)| (name, width)).collect();
        // inferno draws a frame when it ends, the tree has it where it begins.
        let with_width = graph.ids().filter(|&id| graph.node(id).width > 0);
        let mut wanted: Vec<_> =
            with_width.map(|id| (graph.name(id).text.clone(), graph.node(id).width)).collect();
        widths.sort();
        wanted.sort();
        assert_eq!(widths, wanted);
    }
}

#[test]
fn hostile_names_stay_text_in_svg() {
    let snapshot = hostile();
    let own = {
        let (graph, caption) = graph(&samples::server(), &FlameOptions::default());
        script(&svg_text(&graph, &caption, Colors::Reason, false))
    };
    for root in ["none", "state", "creator", "label:# comment 7"] {
        for (weight, reverse) in [(Weight::Tasks, false), (Weight::Seconds, true)] {
            let options = FlameOptions { reverse, ..by(root, weight) };
            let (graph, caption) = graph(&snapshot, &options);
            let svg = svg_text(&graph, &caption, Colors::Package, reverse);
            check_harmless(&svg, &own);
            assert_eq!(rectangles(&svg).len(), graph.nodes.len());
        }
    }
    let changes = difference(&snapshot, &hostile(), &Filter::default(), &FlameOptions::default());
    let caption = Caption::new(&snapshot, Some(&snapshot));
    check_harmless(&svg_text(&changes, &caption, Colors::Reason, false), &own);
}

/// The text of the only script.
fn script(svg: &str) -> String {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(svg, options).unwrap();
    let scripts: Vec<_> = document.descendants().filter(|n| n.tag_name().name() == "script").collect();
    assert_eq!(scripts.len(), 1);
    // Which way it grows is a variable of it.
    scripts[0].text().unwrap().replace("var inverted = true", "var inverted = false")
}

/// It is well-formed, has no element or attribute of its own that does anything, and no script but
/// inferno's.
fn check_harmless(svg: &str, own: &str) {
    assert_eq!(script(svg), own);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(svg, options).unwrap();
    let known =
        ["svg", "defs", "linearGradient", "stop", "style", "script", "rect", "text", "tspan", "g", "title"];
    for node in document.descendants() {
        if node.is_comment() {
            assert!(!node.text().unwrap().contains("alert"));
        }
        if !node.is_element() {
            continue;
        }
        assert!(known.contains(&node.tag_name().name()), "{:?}", node.tag_name());
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") || (name, value) == ("onload", "init(evt)"), "{name}={value}");
            assert!(!name.contains("href") && !value.contains("alert"), "{name}={value}");
        }
        let style = node.tag_name().name() == "style";
        assert!(!style || !node.text().unwrap().contains("alert"));
    }
    let odd = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{fffe}".contains(c);
    let foreign = svg.replace(own, "").replace('\t', "");
    assert!(!foreign.chars().any(odd));
}

/// What inferno makes of folded stacks: the sum of their weights, the number of lines it ignored.
fn sum_by_inferno(folded: &str) -> u64 {
    let mut options = inferno::flamegraph::Options::default();
    let mut svg = Vec::new();
    inferno::flamegraph::from_lines(&mut options, sorted(folded), &mut svg).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    let (_, rest) = svg.split_once("total_samples=\"").unwrap();
    rest.split_once('"').unwrap().0.parse().unwrap()
}

fn sorted(folded: &str) -> Vec<&str> {
    let mut lines: Vec<_> = folded.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn inferno_reads_the_folded_stacks() {
    for snapshot in [samples::server(), hostile(), samples::hostile()] {
        for root in ["none", "state", "creator", "thread", "label:route"] {
            let (graph, _) = graph(&snapshot, &by(root, Weight::Tasks));
            let folded = folded_text(&graph);
            assert_eq!(sum_by_inferno(&folded), graph.totals.tasks, "{folded}");
            assert!(folded.lines().count() <= graph.totals.tasks as usize);
        }
        let changes = difference(&snapshot, &snapshot, &Filter::default(), &FlameOptions::default());
        let folded = folded_text(&changes);
        assert!(folded.lines().all(|line| line.rsplit(' ').take(2).all(|n| n.parse::<u64>().is_ok())));
        assert_eq!(sum_by_inferno(&folded), changes.totals.tasks);
    }
}

#[test]
fn picture_of_a_server() {
    let snapshot = samples::server();
    for width in [80, 120] {
        let (graph, caption) = graph(&snapshot, &by("state", Weight::Tasks));
        let text = picture_text(&snapshot, &graph, &caption, &plain(width));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        check(&format!("flame-text-{width}"), &text);
    }
    let (graph, caption) = graph(&snapshot, &by("none", Weight::Seconds));
    let options = PictureOptions { color: true, ..plain(100) };
    check("flame-text-colour", &picture_text(&snapshot, &graph, &caption, &options));
}

#[test]
fn picture_of_a_difference() {
    let (before, now) = (samples::server(), later());
    let changes = difference(&before, &now, &Filter::default(), &FlameOptions::default());
    let caption = Caption::new(&now, Some(&before));
    check("flame-text-diff", &picture_text(&now, &changes, &caption, &plain(100)));
}

#[test]
fn pictures_keep_their_columns_whatever_the_names() {
    let mut m = Maker::new();
    for (name, n) in [
        ("東京.東京東京東京東京東京", 7),
        ("main.\u{1b}[31m\u{202e}", 5),
        ("e\u{301}e\u{301}e\u{301}.x", 3),
        ("", 2),
    ] {
        let stack = m.stack(&[
            ("main.f", "main", FunctionKind::Normal, "f.go", 1),
            (name, "", FunctionKind::Normal, "", 0),
        ]);
        for id in 0..n {
            let task = m.waiting(id, "東", Age::Unknown, stack);
            m.builder.task(task);
        }
    }
    let snapshot = m.finish();
    let (graph, caption) = graph(&snapshot, &FlameOptions::default());
    for width in 40..130 {
        let text = picture_text(&snapshot, &graph, &caption, &plain(width));
        let boxes = text.lines().filter(|line| line.starts_with('['));
        assert_eq!(boxes.clone().count(), 3, "{text}");
        for line in boxes {
            assert_eq!(unicode_width::UnicodeWidthStr::width(line), width, "{text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    }
    check("flame-text-wide", &picture_text(&snapshot, &graph, &caption, &plain(60)));
}

/// A directory with a saved snapshot and a later one.
struct Saved {
    directory: TempDir,
}

impl Saved {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        file::save(&samples::server(), &directory.path().join("a.loiter")).unwrap();
        file::save(&later(), &directory.path().join("b.loiter")).unwrap();
        Saved { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs loiter in the directory.
    fn flame(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command.arg("flame").args(arguments).current_dir(self.directory.path());
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.flame(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Exit code and stderr.
    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.flame(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn the_name_of_the_file_says_the_format() {
    let saved = Saved::new();
    for (name, begin) in [
        ("x.svg", &b"<?xml"[..]),
        ("x.folded", b"(stack not read: running) 1\n"),
        ("x.json", b"{\"$schema\""),
        ("x.txt", b"api-server (pid 4242"),
        ("x.pb.gz", b"\x1f\x8b"),
    ] {
        let output = saved.flame(&["a.loiter", "-o", name]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{stderr}");
        assert!(stderr.contains(&format!("1,351 goroutines -> {name} (")), "{stderr}");
        assert!(fs::read(saved.path(name)).unwrap().starts_with(begin), "{name}");
        // For others to read, as far as the umask goes.
        assert_ne!(fs::metadata(saved.path(name)).unwrap().permissions().mode() & 0o600, 0);
    }
    let (code, stderr) = saved.failure(&["a.loiter", "-o", "x.png"]);
    assert!(code == 2 && stderr.contains("use --format with one of svg, folded"), "{stderr}");
    assert!(!saved.path("x.png").exists());
    for more in [&["--reverse"][..], &["--diff", "a.loiter"], &["--root", "state"]] {
        let (code, stderr) = saved.failure(&[&["a.loiter", "-o", "y.pprof"], more].concat());
        assert!(code == 2 && stderr.contains("a pprof file c"), "{stderr}");
    }
    // Nothing temporary is left.
    assert_eq!(fs::read_dir(saved.directory.path()).unwrap().count(), 7);
}

#[test]
fn without_a_terminal_the_format_must_be_chosen() {
    let saved = Saved::new();
    for arguments in [&["a.loiter"][..], &["a.loiter", "-o", "-"]] {
        let (code, stderr) = saved.failure(arguments);
        assert!(code == 2 && stderr.contains("standard output is not a terminal"), "{stderr}");
    }
    let folded = saved.stdout(&["a.loiter", "--format", "folded"]);
    assert_eq!(sum_by_inferno(&folded), 1351);
    assert_eq!(saved.stdout(&["a.loiter", "--format", "folded", "-o", "-"]), folded);
}

#[test]
fn on_a_terminal_the_picture_is_drawn() {
    let saved = Saved::new();
    let command = format!("stty cols 90 rows 30; {} flame a.loiter", env!("CARGO_BIN_EXE_loiter"));
    let run = |no_color: bool| {
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(saved.directory.path());
        script.env("TERM", "xterm-256color").env_remove("CLICOLOR").env_remove("CLICOLOR_FORCE");
        if no_color {
            script.env("NO_COLOR", "1");
        } else {
            script.env_remove("NO_COLOR");
        }
        let output = script.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
    };
    let text = run(true);
    let row = text.lines().find(|line| line.starts_with("[all")).unwrap();
    assert_eq!(row.len(), 90, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(run(false).contains("\u{1b}[48;5;"));
}

#[test]
fn filters_weights_and_roots() {
    let saved = Saved::new();
    let folded = |more: &[&str]| {
        let mut arguments = vec!["a.loiter", "--format", "folded"];
        arguments.extend(more);
        saved.stdout(&arguments)
    };
    assert_eq!(sum_by_inferno(&folded(&["--reason", "chan send"])), 1204);
    assert_eq!(sum_by_inferno(&folded(&["--function", "worker.run"])), 12);
    assert_eq!(sum_by_inferno(&folded(&["--system"])), 1353);
    assert_eq!(sum_by_inferno(&folded(&["--weight", "bytes"])), 1351 * 8192);
    assert!(folded(&["--all-frames"]).contains("runtime.goexit;"));
    let reversed = folded(&["--reverse", "--reason", "IO wait"]);
    assert!(reversed.starts_with("internal/poll.runtime_pollWait;net.(*conn).Read;"), "{reversed}");
    assert!(folded(&["--root", "label:route"]).contains("route=/v1/users;"));
    let output = saved.flame(&["a.loiter", "--format", "folded", "--weight", "seconds"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("5 goroutines of unknown age, not drawn"), "{stderr}");
    for bad in [["--root", "x"], ["--min-width", "-1"], ["--min-width", "nan"], ["--weight", "x"]] {
        let (code, _) = saved.failure(&["a.loiter", bad[0], bad[1]]);
        assert_eq!(code, 2, "{bad:?}");
    }
}

#[test]
fn nothing_to_draw_is_an_error_and_no_file() {
    let saved = Saved::new();
    let (code, stderr) = saved.failure(&["a.loiter", "--reason", "nobody", "-o", "x.svg"]);
    let (why, error) = stderr.split_once('\n').unwrap();
    assert_eq!((code, error), (2, "loiter: nothing to draw: there are no goroutines\n"));
    assert!(why.starts_with("no goroutine waits for 'nobody'; found: chan send (1,204)"), "{why}");
    let (code, stderr) =
        saved.failure(&["a.loiter", "--reason", "Mutex", "--weight", "seconds", "-o", "x.svg"]);
    assert!(code == 2 && stderr.contains("nothing to draw: 3 goroutines of unknown age"), "{stderr}");
    assert!(!saved.path("x.svg").exists());
}

#[test]
fn differences_of_files() {
    let saved = Saved::new();
    let text = saved.stdout(&["b.loiter", "--diff", "a.loiter", "--format", "text"]);
    assert!(text.contains("1,351 -> 363 goroutines"), "{text}");
    let svg = saved.stdout(&["b.loiter", "--diff", "a.loiter", "--format", "svg"]);
    let worker = rectangles(&svg).into_iter().find(|(name, ..)| name == "worker.run").unwrap();
    assert_eq!(worker.2, 12, "what is gone is still to be seen");
    assert!(svg.contains("gone: was 12"), "{svg}");
    let (code, stderr) = saved.failure(&["b.loiter", "--diff", "none.loiter", "--format", "svg"]);
    assert!(code == 2 && stderr.contains("none.loiter"), "{stderr}");
}

#[test]
fn enormous_graphs_are_cut_and_it_is_said() {
    let saved = Saved::new();
    let mut m = Maker::new();
    let names: Vec<String> = (0..30_000).map(|n| format!("main.f{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let function = m.builder.code.function(name, "main", FunctionKind::Normal);
        let frames = vec![m.builder.code.frame(function, "", 0)];
        let location = m.builder.code.location(loiter::snapshot::Location::in_source(frames));
        let stack = m.builder.code.stack(vec![location]);
        for _ in 0..=usize::from(n < 10_000) {
            let task = m.waiting(n as u64, "select", Age::Unknown, stack);
            m.builder.task(task);
        }
    }
    file::save(&m.finish(), &saved.path("big.loiter")).unwrap();
    let output = saved.flame(&["big.loiter", "--min-width", "0", "-o", "big.svg"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let said = "20,000 frames narrower than 0.005 % left out (a graph has room for 20,000)";
    assert!(stderr.contains(said), "{stderr}");
    let svg = fs::read_to_string(saved.path("big.svg")).unwrap();
    assert_eq!(rectangles(&svg).len(), 10_001);
}

#[test]
fn a_real_process() {
    use common::{Fixture, Flavour, Program, Toolchain, build};
    let program = build(&Toolchain::get("1.27"), Program::Fixtures, Flavour::Stripped);
    let fixture = Fixture::start(&program, &["channels", "locks"]);
    let saved = Saved::new();
    let pid = fixture.pid().to_string();
    let folded = saved.stdout(&[&pid, "--format", "folded"]);
    assert!(folded.lines().any(|line| line.starts_with("fixtures/channels.")), "{folded}");
    assert!(folded.contains("sync.(*Mutex).Lock"), "{folded}");
    let svg = saved.stdout(&[&pid, "--format", "svg", "--root", "creator", "--colors", "package"]);
    let drawn = rectangles(&svg);
    let all = drawn.iter().find(|(name, ..)| name == "all").unwrap();
    assert_eq!(all.2, sum_by_inferno(&folded));
    assert!(drawn.iter().any(|(name, ..)| name.starts_with("created by fixtures/channels.")), "{drawn:?}");
    // Two readings of a process in which nothing happens have the same colours and the same places.
    let again = saved.stdout(&[&pid, "--format", "svg", "--root", "creator", "--colors", "package"]);
    let fills = |svg: &str| -> Vec<String> {
        svg.split(" fill=\"rgb(").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
    };
    assert_eq!(fills(&svg), fills(&again));
}
