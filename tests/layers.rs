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
const ROOMS: &[(&str, &[&str])] = &[];

/// Where the table stands in `ARCHITECTURE.md`.
const BEGIN: &str = "<!-- The table of tests/layers.rs, which compares the two. -->\n";
const END: &str = "<!-- End of the table. -->\n";

/// Arrows between rooms that are drawn but not allowed, and allowed but not drawn.
fn differences(rooms: &[(&str, &[&str])], source: &Crate, drawn: &Arrows) -> Vec<String> {
    let mut found = Vec::new();
    let listed: BTreeSet<String> = rooms.iter().map(|(room, _)| (*room).to_owned()).collect();
    found.extend(source.rooms().difference(&listed).map(|room| format!("{room} is not in the table\n")));
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
    circles::arrows(&source.imports()).remove(&Vec::new()).unwrap_or_default()
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
