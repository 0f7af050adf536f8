//! Imports as arrows between neighbours: modules with the same parent.
//!
//! A module and what is inside of it are one house: arrows between a parent and its children do not count, in
//! neither direction. An arrow from deep inside of one module to deep inside of another one is an arrow
//! between the two neighbours in which they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Import, Path};

/// The arrows between the children of one module, each with the imports that draw it.
pub(crate) type Arrows = BTreeMap<(String, String), Vec<Import>>;

/// The arrows at every level, by the path of the parent.
pub(crate) fn arrows(imports: &BTreeSet<Import>) -> BTreeMap<Path, Arrows> {
    let mut levels: BTreeMap<Path, Arrows> = BTreeMap::new();
    for import in imports {
        let shared = import.from.iter().zip(&import.to).take_while(|(from, to)| from == to).count();
        let arrow = (import.from[shared].clone(), import.to[shared].clone());
        let level = levels.entry(import.from[..shared].to_vec()).or_default();
        level.entry(arrow).or_default().push(import.clone());
    }
    levels
}

/// The groups of neighbours that reach one another. There is none where nothing leads in a circle.
pub(crate) fn circles(arrows: &Arrows) -> Vec<BTreeSet<String>> {
    let names: BTreeSet<&str> = arrows.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        names.iter().map(|name| (*name, reach(arrows, name))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for name in names.iter().filter(|name| reached[*name].contains(*name)) {
        let mutual = reached[name].iter().filter(|other| reached[*other].contains(name));
        let circle: BTreeSet<String> = mutual.map(ToString::to_string).collect();
        if !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reach<'a>(arrows: &'a Arrows, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(at) = todo.pop() {
        for (_, to) in arrows.keys().filter(|(from, _)| from == at) {
            if reached.insert(to.as_str()) {
                todo.push(to);
            }
        }
    }
    reached
}

/// The imports that draw the arrows of a circle, a line each.
pub(crate) fn describe(circle: &BTreeSet<String>, arrows: &Arrows) -> String {
    let inside = arrows.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
    inside.flat_map(|(_, imports)| imports).map(line).collect()
}

/// One import, as a line.
pub(crate) fn line(import: &Import) -> String {
    format!("    {} -> {}\n", import.from.join("::"), import.to.join("::"))
}
