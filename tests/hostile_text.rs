//! Hostile text in every string of a snapshot: no command and no format lets it drive a terminal or a page.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use loiter::snapshot::{Snapshot, file};
use serde_json::Value;

mod samples;
mod watch_support;

/// What drives terminals: escapes, C1 controls, line ends, NUL, what turns the direction of text, what has no
/// width.
const TERMINAL: &str = "\x1b[31mred\x1b]0;title\x07\0\r\nnext\tline\x0b\x0c\x7f\u{9b}31m\u{85}\u{202e}txt\u{2066}\u{200b}\u{2028}\u{feff}";
/// What means something to Markdown, HTML, XML, JSON, folded stacks, shells.
const MARKUP: &str = "</title></text><script>alert(1)</script>]]><!--&lt;&#x3c;`x` ``` |a|b| [l](http://e.example/) \
                      ![i](http://e.example/i) <http://e.example/> http://e.example www.e.example *b* _i_ ~~s~~ $m$ \\\
                      \n# heading\n\n- list\n> quote\n```\n<b onclick=x>;7 \";\",'\u{2028}";

/// The name of a file, with as much of it as a name may have.
const NAME: &str = "evil\x1b[31m\n\u{202e}`<b>.loiter";

/// The texts, each with a name.
fn texts() -> [(&'static str, String); 3] {
    // Nouns may be 4096 bytes long.
    [
        ("terminal", TERMINAL.to_owned()),
        ("markup", MARKUP.to_owned()),
        ("long", format!("long\x1b{}", "é`|<".repeat(500))),
    ]
}

/// Puts the text into every string.
fn poison(mut snapshot: Snapshot, text: &str) -> Snapshot {
    // The header is JSON in a file.
    let mut bytes = Vec::new();
    file::write(&snapshot, &mut bytes).unwrap();
    let len_before = u32::from_le_bytes(bytes[10..14].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[14..14 + len_before]).unwrap();
    let header_text = &mut header["snapshot"];
    // What is a list may hold more than there is.
    header_text["warnings"] = serde_json::json!(["w", "x"]);
    header_text["runtimes"][0]["modules"] = serde_json::json!([{"path": "m", "version": "v"}]);
    replace(header_text, text);
    let header = serde_json::to_vec(&header).unwrap();
    let len = (header.len() as u32).to_le_bytes();
    bytes.splice(10..14 + len_before, [&len[..], &header].concat());
    snapshot.header = file::read(&bytes[..]).unwrap().header;
    for (nth, string) in snapshot.code.strings.iter_mut().enumerate() {
        *string = format!("{text}{nth}");
    }
    snapshot
}

fn replace(value: &mut Value, text: &str) {
    match value {
        Value::String(old) => *old = text.to_owned(),
        Value::Array(list) => list.iter_mut().for_each(|one| replace(one, text)),
        // Those are words of loiter.
        Value::Object(fields) => {
            let fields = fields.iter_mut().filter(|(name, _)| !["source", "mode"].contains(&name.as_str()));
            fields.for_each(|(_, one)| replace(one, text));
        }
        _ => {}
    }
}

/// Two snapshots of one process in which something grows, and one of locks.
fn write_files(directory: &Path, text: &str) {
    // Not too many, because the text is long.
    let few = |id: Option<u64>| id.is_none_or(|id| !(1040..3000).contains(&id) && id < 3040);
    let mut before = samples::server();
    before.tasks.retain(|task| few(task.id) && task.id.is_none_or(|id| !(1020..2000).contains(&id)));
    let mut after = samples::server();
    after.tasks.retain(|task| few(task.id));
    *after.header.taken_at_ns.as_mut().unwrap() += 600 * samples::SECOND;
    *after.header.monotonic_ns.as_mut().unwrap() += 600 * samples::SECOND;
    for (name, snapshot) in [("a.loiter", before), ("b.loiter", after), (NAME, samples::convoy())] {
        file::save(&poison(snapshot, text), &directory.join(name)).unwrap();
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loiter"));
    for variable in ["CLICOLOR_FORCE", "NO_COLOR", "CLICOLOR"] {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(directory).output().unwrap()
}

/// Nothing in it drives a terminal.
fn assert_harmless(what: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| panic!("{what}: {error}"));
    // Go's own formats have tabs.
    let tabs = what.contains("--to");
    let bad = |c: char| {
        c.is_control() && !(tabs && c == '\t') && c != '\n'
            || "\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}".contains(c)
    };
    if let Some(at) = text.find(bad) {
        let around: String =
            text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
        panic!("{what}: {:?} after {around:?}", text[at..].chars().next());
    }
    text
}

const TEXT: [&[&str]; 21] = [
    &["stacks", "b.loiter"],
    &["stacks", "b.loiter", "-v", "--system", "--all-frames"],
    &["stacks", "b.loiter", "--each", "-v"],
    &["stacks", "b.loiter", "--group-by", "creator"],
    &["stacks", "b.loiter", "--group-by", "function"],
    &["stacks", "b.loiter", "--group-by", "state"],
    &["stacks", "b.loiter", "--group-by", "waits-on"],
    &["stacks", "b.loiter", "--function", "nothing"],
    &["stacks", NAME, "-v"],
    &["stacks", NAME, "--group-by", "waits-on"],
    &["diff", "a.loiter", "b.loiter"],
    &["diff", "a.loiter", "b.loiter", "-v", "--all"],
    &["diff", "a.loiter", NAME],
    &["leaks", "a.loiter", "b.loiter", "-v"],
    &["leaks", "b.loiter", "--ignore", "red"],
    &["leaks", "b.loiter", "--baseline", "a.loiter"],
    &["leaks", "b.loiter", "--ignore-file", "ignore\x1b`<b>"],
    &["leaks", NAME, "-v"],
    &["leaks", "--fleet", "a.loiter", "b.loiter", NAME],
    &["convert", "b.loiter", "-", "--to", "profile"],
    &["convert", "b.loiter", "-", "--to", "go"],
];

const JSON: [&[&str]; 9] = [
    &["stacks", "b.loiter", "--json"],
    &["stacks", "b.loiter", "--json", "--each"],
    &["stacks", NAME, "--json"],
    &["diff", "a.loiter", "b.loiter", "--json"],
    &["leaks", "a.loiter", "b.loiter", "--json", "--ignore-file", "ignore\x1b`<b>"],
    &["leaks", NAME, "--json"],
    &["leaks", "--fleet", "a.loiter", NAME, "--json"],
    &["convert", "b.loiter", "-", "--to", "json"],
    &["flame", "b.loiter", "--format", "speedscope"],
];

const MARKDOWN: [&[&str]; 6] = [
    &["diff", "a.loiter", "b.loiter", "--format", "markdown"],
    &["leaks", "a.loiter", "b.loiter", "--format", "markdown"],
    &["leaks", "b.loiter", "--format", "markdown", "--ignore", "1", "--baseline", "a.loiter"],
    &["leaks", "b.loiter", "--format", "markdown", "--ignore-file", "ignore\x1b`<b>"],
    &["leaks", NAME, "--format", "markdown"],
    &["leaks", "--fleet", "a.loiter", "b.loiter", NAME, "--format", "markdown"],
];

/// Runs every command of a list over every text.
fn every(commands: &[&[&str]], check: impl Fn(&str, &str)) {
    for (kind, text) in texts() {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), &text);
        fs::write(directory.path().join("ignore\x1b`<b>"), "function:1\nfunction:2\n").unwrap();
        for arguments in commands {
            let what = format!("{kind}: {arguments:?}");
            let output = run(directory.path(), arguments);
            let told = assert_harmless(&format!("{what}: stderr"), &output.stderr);
            assert!(output.status.success(), "{what}: {told}");
            check(&what, &assert_harmless(&what, &output.stdout));
        }
    }
}

#[test]
fn text_is_harmless() {
    every(&TEXT, |what, text| assert!(!text.is_empty(), "{what}"));
}

#[test]
fn json_is_json() {
    every(&JSON, |what, text| {
        serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    });
}

#[test]
fn markdown_means_nothing_but_what_loiter_says() {
    every(&MARKDOWN, |what, text| {
        let mut fence: Option<&str> = None;
        let mut cells = 0;
        for line in text.lines() {
            let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
            match fence {
                Some(open) => {
                    if line == open {
                        fence = None;
                    }
                    continue;
                }
                None if ticks.len() >= 3 => {
                    assert_eq!(&line[ticks.len()..], "text", "{what}: {line}");
                    fence = Some(ticks);
                    continue;
                }
                None => {}
            }
            assert_plain(what, line);
            // A row has as many cells as the one before.
            let bars = line.replace("\\\\", "").replace("\\|", "").matches('|').count();
            assert!(bars == 0 || cells == 0 || bars == cells, "{what}: {line}");
            cells = bars;
        }
        assert_eq!(fence, None, "{what}: a block is not closed");
    });
}

/// Outside of code nothing of the line means anything.
fn assert_plain(what: &str, line: &str) {
    let (mut rest, mut outside) = (line, String::new());
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            rest = rest.get(2..).unwrap_or_default();
        } else if c == '`' {
            let after = rest.trim_start_matches('`');
            let run = &rest[..rest.len() - after.len()];
            // The code ends at a run of the same length.
            let (mut from, mut end) = (0, None);
            while let Some(at) = after[from..].find('`').map(|at| at + from) {
                let length = after[at..].len() - after[at..].trim_start_matches('`').len();
                from = at + length;
                if length == run.len() {
                    end = Some(from);
                    break;
                }
            }
            let end = end.unwrap_or_else(|| panic!("{what}: code is not closed: {line}"));
            rest = &after[end..];
        } else {
            outside.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    for mark in ["<", "](", "![", "://", "www.", "**", "~~", "@e", "$m"] {
        assert!(!outside.contains(mark), "{what}: {mark} in {line}");
    }
}

#[test]
fn flame_graphs_are_well_formed_and_run_nothing_of_the_target() {
    let elements = |text: &str| {
        let document = roxmltree::Document::parse_with_options(
            text,
            roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
        )
        .unwrap();
        let count = |name: &str| document.descendants().filter(|node| node.tag_name().name() == name).count();
        let handlers = document
            .descendants()
            .flat_map(|node| node.attributes().map(|a| a.name().to_owned()).collect::<Vec<_>>());
        (
            ["script", "b", "a", "img", "foreignObject"].map(count),
            handlers.filter(|name| name.starts_with("on")).count(),
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let svg = |name: &str| {
        let output = run(directory.path(), &["flame", name, "-o", "out.svg"]);
        assert!(output.status.success(), "{}", assert_harmless("stderr", &output.stderr));
        assert_harmless(name, &fs::read(directory.path().join("out.svg")).unwrap())
    };
    file::save(&samples::server(), &directory.path().join("good.loiter")).unwrap();
    let good = elements(&svg("good.loiter"));
    for (kind, text) in texts() {
        write_files(directory.path(), &text);
        for name in ["b.loiter", NAME] {
            let bad = elements(&svg(name));
            assert_eq!((bad.0[0], &bad.0[1..], bad.1), (good.0[0], &good.0[1..], good.1), "{kind} {name}");
        }
        // A stack a line, and a number behind it.
        let output = run(directory.path(), &["flame", "b.loiter", "--format", "folded"]);
        for line in assert_harmless("folded", &output.stdout).lines() {
            let (_, number) = line.rsplit_once(' ').unwrap();
            assert!(number.parse::<u64>().is_ok(), "{kind}: {line}");
        }
    }
}

#[test]
fn files_are_read_as_they_were_written() {
    for (kind, text) in texts() {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), &text);
        for out in ["out.loiter", "out.pb.gz", "out.pb"] {
            let output = run(directory.path(), &["convert", "b.loiter", out]);
            assert!(output.status.success(), "{kind}: {}", assert_harmless("stderr", &output.stderr));
            let output = run(directory.path(), &["stacks", out, "-v"]);
            assert!(output.status.success(), "{kind}: {}", assert_harmless("stderr", &output.stderr));
            assert_harmless(out, &output.stdout);
        }
        // What goes wrong quotes names, too.
        let wrong: [([&str; 2], i32); 3] = [
            // It may be the name of a process.
            (["stacks", "not\x1b[31m\n\u{202e}"], 4),
            (["leaks", "a\x1b.loiter"], 2),
            (["convert", NAME], 2),
        ];
        for (arguments, code) in wrong {
            let output = run(directory.path(), &arguments);
            assert_eq!(output.status.code(), Some(code));
            assert_harmless("stderr", &output.stderr);
        }
    }
}

#[test]
fn the_dashboard_draws_nothing_that_drives_a_terminal() {
    for (kind, text) in texts() {
        for snapshot in [samples::server(), samples::convoy()] {
            let mut dashboard = watch_support::Dashboard::new(110, 40);
            dashboard.read(poison(snapshot, &text));
            for key in "12345678jjj".chars() {
                dashboard.press(&key.to_string());
                assert_harmless(&format!("{kind} {key}"), dashboard.screen().as_bytes());
                dashboard.line("");
                assert_harmless(&format!("{kind} {key} enter"), dashboard.screen().as_bytes());
                dashboard.key(ratatui::crossterm::event::KeyCode::Esc);
            }
        }
    }
}
