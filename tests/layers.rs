//! Who may know whom: imports lead downwards only and never in a circle, and `ARCHITECTURE.md` says the same.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "layers/circles.rs"]
mod circles;
#[path = "layers/modules.rs"]
mod modules;
#[path = "layers/tokens.rs"]
mod tokens;

use circles::Arrows;
use modules::Crate;

/// The rooms (the modules at the root of the crate), the highest first, and the rooms that each one knows.
/// A room knows only rooms that stand below it here.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "dashboard",
            "session",
            "report",
            "analysis",
            "source",
            "runtimes",
            "error",
            "import",
            "sampler",
            "process",
            "cache",
            "recording",
            "snapshot",
            "ending",
            "cause",
        ],
    ),
    ("dashboard", &["session", "report", "analysis", "process", "snapshot", "code", "ending", "cause"]),
    (
        "session",
        &[
            "analysis",
            "source",
            "runtimes",
            "error",
            "sampler",
            "process",
            "recording",
            "snapshot",
            "code",
            "cause",
        ],
    ),
    ("report", &["analysis", "formats", "recording", "snapshot", "code"]),
    ("analysis", &["words", "recording", "snapshot", "code"]),
    ("source", &["runtimes", "error", "import", "process", "recording", "snapshot", "cause"]),
    (
        "runtimes",
        &[
            "error",
            "symbols",
            "words",
            "formats",
            "process",
            "cache",
            "recording",
            "snapshot",
            "code",
            "cause",
        ],
    ),
    ("error", &["import", "process", "recording", "snapshot", "cause"]),
    ("import", &["formats", "words", "recording", "snapshot", "code", "cause"]),
    ("symbols", &["formats", "process", "cache", "cause"]),
    ("formats", &["words", "code"]),
    ("words", &["snapshot", "code"]),
    ("sampler", &["process", "cause"]),
    ("process", &["snapshot", "cause"]),
    ("cache", &["snapshot"]),
    ("recording", &["snapshot", "code", "cause"]),
    ("snapshot", &["code", "ending", "cause"]),
    ("code", &[]),
    ("ending", &[]),
    ("cause", &[]),
];

/// A module at the root that is no room: it only passes on what tests need.
const NO_ROOM: &str = "__test";

/// Where the table stands in `ARCHITECTURE.md`.
const BEGIN: &str = "<!-- The table of tests/layers.rs, which compares the two. -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// Arrows between rooms that are drawn but not allowed, and allowed but not drawn.
fn differences(rooms: &[(&str, &[&str])], source: &Crate, drawn: &Arrows) -> Vec<String> {
    let mut found = Vec::new();
    let listed: BTreeSet<String> = rooms.iter().map(|(room, _)| (*room).to_owned()).collect();
    let unlisted = source.rooms();
    let unlisted = unlisted.difference(&listed).filter(|room| *room != NO_ROOM);
    found.extend(unlisted.map(|room| format!("{room} is not in the table\n")));
    found.extend(listed.difference(&source.rooms()).map(|room| format!("there is no room {room}\n")));
    let allows =
        |from: &str, to: &str| rooms.iter().any(|(room, knows)| *room == from && knows.contains(&to));
    for ((from, to), imports) in drawn {
        if !allows(from, to) {
            let lines: String = imports.iter().map(circles::line).collect();
            found.push(format!("{from} must not know {to}:\n{lines}"));
        }
    }
    for (i, (from, knows)) in rooms.iter().enumerate() {
        for to in *knows {
            if !rooms[i..].iter().skip(1).any(|(room, _)| room == to) {
                found.push(format!(
                    "the table has an arrow from {from} to {to}, which does not stand below it\n"
                ));
            }
            if !drawn.contains_key(&((*from).to_owned(), (*to).to_owned())) {
                found.push(format!("{from} no longer knows {to}: take it out of the table\n"));
            }
        }
    }
    found
}

fn circles_of(source: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for (parent, arrows) in circles::arrows(&source.imports()) {
        for circle in circles::circles(&arrows) {
            let names: Vec<&str> = circle.iter().map(String::as_str).collect();
            let place = if parent.is_empty() { "the crate".to_owned() } else { parent.join("::") };
            let lines = circles::describe(&circle, &arrows);
            found.push(format!("{} import one another in {place}:\n{lines}", names.join(", ")));
        }
    }
    found
}

fn read(src: &str) -> Crate {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(src);
    Crate::read(&|path| std::fs::read_to_string(root.join(path)).ok())
}

fn drawn(source: &Crate) -> Arrows {
    let mut arrows = circles::arrows(&source.imports()).remove(&Vec::new()).unwrap_or_default();
    arrows.retain(|(from, _), _| from != NO_ROOM);
    arrows
}

/// The table as it stands in `ARCHITECTURE.md`.
fn table(rooms: &[(&str, &[&str])]) -> String {
    let mut table = String::from("| room | knows |\n|---|---|\n");
    for (room, knows) in rooms {
        let knows: Vec<String> = knows.iter().map(|name| format!("`{name}`")).collect();
        let knows = if knows.is_empty() { "nobody".to_owned() } else { knows.join(", ") };
        table += &format!("| `{room}` | {knows} |\n");
    }
    table
}

/// A crate of one folder `low`, with these files added or put in place.
fn made_up(files: &[(&str, &str)]) -> Crate {
    let base = [
        ("lib.rs", "mod high; mod low;"),
        ("high.rs", "use crate::low::{First, second::Second};"),
        ("low/mod.rs", "mod first; mod second; pub use first::First;"),
        ("low/first.rs", "use super::second::Second; pub struct First(Second);"),
        ("low/second.rs", "pub struct Second;"),
    ];
    Crate::read(&|path| {
        let found = files.iter().chain(&base).find(|(name, _)| *name == path);
        found.map(|(_, text)| (*text).to_owned())
    })
}

const MADE_UP: &[(&str, &[&str])] = &[("high", &["low"]), ("low", &[])];

fn found_in(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let source = made_up(files);
    (differences(MADE_UP, &source, &drawn(&source)), circles_of(&source))
}

#[test]
fn an_arrow_upwards_is_found() {
    assert_eq!(found_in(&[]), (Vec::new(), Vec::new()));
    for upwards in [
        "use crate::high::Thing; pub struct Second;",
        "pub struct Second(crate::high::Thing);",
        "use super::super::high; pub struct Second(high::Thing);",
    ] {
        let (wrong, circles) = found_in(&[("low/second.rs", upwards)]);
        assert_eq!(wrong, ["low must not know high:\n    low::second -> high\n"], "{upwards}");
        assert_eq!(circles.len(), 1, "{upwards}");
    }
}

#[test]
fn a_circle_is_found_though_the_parent_passes_the_name_on() {
    for back in ["use super::first::First; pub struct Second;", "use super::First; pub struct Second;"] {
        let (wrong, circles) = found_in(&[("low/second.rs", back)]);
        assert!(wrong.is_empty(), "{wrong:?}");
        let circle = "first, second import one another in low:\n    low::first -> low::second\n    \
                      low::second -> low::first\n";
        assert_eq!(circles, [circle], "{back}");
    }
    let in_tests = "pub struct Second; #[cfg(test)] mod tests { use crate::low::First; use crate::high; }";
    assert_eq!(found_in(&[("low/second.rs", in_tests)]), (Vec::new(), Vec::new()), "tests do not count");
}

#[test]
fn what_the_table_has_too_much_or_too_little_is_found() {
    let (wrong, _) = found_in(&[("high.rs", ""), ("lib.rs", "mod high; mod low; mod new;"), ("new.rs", "")]);
    assert_eq!(wrong, ["new is not in the table\n", "high no longer knows low: take it out of the table\n"]);
    let source = made_up(&[]);
    let upside_down: &[(&str, &[&str])] = &[("low", &[]), ("high", &["low"])];
    assert_eq!(
        differences(upside_down, &source, &drawn(&source)),
        ["the table has an arrow from high to low, which does not stand below it\n"]
    );
}

#[test]
fn rooms_know_only_what_is_below_them() {
    let source = read("src");
    let found = differences(ROOMS, &source, &drawn(&source));
    assert!(found.is_empty(), "\n{}", found.concat());
}

#[test]
fn no_modules_import_one_another_in_a_circle() {
    let found = [circles_of(&read("src")), circles_of(&read("registry/src"))].concat();
    assert!(found.is_empty(), "\n{}", found.concat());
}

#[test]
fn the_page_has_the_same_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).expect("ARCHITECTURE.md is there");
    let begin = page.find(BEGIN).expect("the table begins") + BEGIN.len();
    let end = begin + page[begin..].find(END).expect("the table ends");
    assert_eq!(page[begin..end], table(ROOMS), "ARCHITECTURE.md and ROOMS differ");
}
