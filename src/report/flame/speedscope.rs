//! The file format of speedscope (<https://www.speedscope.app/file-format-schema.json>).

use std::io::{self, Write};

use serde::Serialize;

use super::super::{escape, json};
use super::Caption;
use crate::analysis::flame::{Figures, Flame, Weight};

/// Writes one profile, or two for a difference: before and now.
///
/// # Errors
/// Those of `out`.
pub fn write(flame: &Flame, caption: &Caption, out: &mut dyn Write) -> io::Result<()> {
    let name = escape(&caption.title);
    let frames = flame.names.iter().map(|name| Frame {
        name: escape(&name.text).into_owned(),
        file: Some(escape(&name.file).into_owned()).filter(|file| !file.is_empty()),
    });
    let profiles = if flame.is_difference() {
        vec![profile(flame, "now", |now, _| now), profile(flame, "before", |_, was| was)]
    } else {
        vec![profile(flame, &name, |now, _| now)]
    };
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: concat!("loiter ", env!("CARGO_PKG_VERSION")),
        name: &name,
        active_profile_index: 0,
        shared: Shared { frames: frames.collect() },
        profiles,
    };
    json::write(&file, out)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    active_profile_index: u32,
    shared: Shared,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// A list of stacks, each a list of frame indices, outermost first, and their weights.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<u32>>,
    weights: Vec<u64>,
}

fn profile(flame: &Flame, name: &str, pick: impl Fn(Figures, Figures) -> Figures) -> Profile {
    let stacks: Vec<_> = (flame.stacks())
        .map(|(id, now, was)| (id, pick(now, was).weight))
        .filter(|&(_, weight)| weight > 0)
        .collect();
    let path = |id| flame.path(id).into_iter().map(|node| flame.node(node).name.0).collect();
    Profile {
        kind: "sampled",
        name: name.to_owned(),
        unit: match flame.weight {
            Weight::Tasks => "none",
            Weight::Seconds => "milliseconds",
            Weight::Bytes => "bytes",
            Weight::Time => "nanoseconds",
        },
        start_value: 0,
        end_value: stacks.iter().map(|&(_, weight)| weight).fold(0, u64::saturating_add),
        samples: stacks.iter().map(|&(id, _)| path(id)).collect(),
        weights: stacks.iter().map(|&(_, weight)| weight).collect(),
    }
}
