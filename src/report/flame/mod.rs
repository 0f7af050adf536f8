//! Flame graphs: the words about a frame, the same in every format.

#[cfg(feature = "svg")]
use super::escape::escape;
#[cfg(feature = "svg")]
use super::units::age;
use super::units::{bytes, count, duration, precise, thousands};
use crate::analysis::flame::{Flame, NodeId, Weight};
use crate::analysis::recorded::Recorded;
use crate::recording::Clock;
use crate::snapshot::Snapshot;

pub mod folded;
mod palette;
pub mod picture;
pub mod speedscope;
#[cfg(feature = "svg")]
pub mod svg;

pub use palette::Colors;

/// At most this many reasons are named in a tooltip; the rest is added up.
#[cfg(feature = "svg")]
const REASONS: usize = 6;

/// The caption of a graph, and what its tasks are called.
#[derive(Debug, Clone)]
pub struct Caption {
    /// What was read: "api-server (pid 4242, go1.24.3, stripped)". Not escaped.
    pub title: String,
    /// "goroutine". Not escaped.
    pub noun: String,
}

impl Caption {
    /// The caption of a snapshot's graph, or of the difference between two.
    pub fn new(snapshot: &Snapshot, before: Option<&Snapshot>) -> Self {
        let who = super::text::who(&snapshot.header);
        let title = match before.map(|before| &before.header) {
            None => who,
            Some(before)
                if before.target.pid != snapshot.header.target.pid || before.taken_at_ns.is_none() =>
            {
                format!("{who} compared with {}", super::text::who(before))
            }
            Some(before) => format!("{who} since {}", super::text::moment(before.taken_at_ns)),
        };
        Caption { title, noun: super::text::task_noun(snapshot).to_owned() }
    }

    /// The caption of a recording's graph of one clock, or of the difference between two recordings.
    pub fn of_recording(recorded: &Recorded, before: Option<&Recorded>, clock: Clock) -> Self {
        let what = match clock {
            Clock::Cpu => "CPU time",
            Clock::OffCpu => "time off CPU",
            _ => "time of all tasks",
        };
        let who = super::text::who(&recorded.snapshot.header);
        let span = |recorded: &Recorded| precise(recorded.header.duration_ns);
        let title = match before {
            None => format!("{who}: {what} in {}", span(recorded)),
            Some(before) => format!("{who}: {what} in {}, then in {}", span(before), span(recorded)),
        };
        Caption { title, noun: "sample".to_owned() }
    }

    /// "1,204 goroutines", "824 -> 1,204 goroutines", and the meaning of the width.
    fn subtitle(&self, flame: &Flame) -> String {
        let tasks = count(flame.totals.tasks, &self.noun);
        let all = NodeId::ALL;
        match (flame.was_totals, flame.weight) {
            (None, Weight::Tasks) => tasks,
            (None, Weight::Seconds) => {
                format!("{tasks}, width: time waited, {} in total", weighed(flame, all))
            }
            (None, Weight::Bytes) => {
                format!("{tasks}, width: stack memory, {} in total", weighed(flame, all))
            }
            (None, Weight::Time) => format!("{} in {tasks}", weighed(flame, all)),
            (Some(was), Weight::Time) => {
                let width = "width: the larger of before and now";
                format!(
                    "{} in {} -> {} in {tasks}, {width}",
                    amount(flame, flame.was(all).weight),
                    thousands(was.tasks),
                    weighed(flame, all)
                )
            }
            (Some(was), weight) => {
                let of = match weight {
                    Weight::Tasks | Weight::Time => "",
                    Weight::Seconds => " of the waiting times",
                    Weight::Bytes => " of the stack memory",
                };
                format!("{} -> {tasks}, width: the larger{of} of before and now", thousands(was.tasks))
            }
        }
    }
}

/// Why there is nothing to draw, if so: no task, or none with a weight.
pub fn nothing(flame: &Flame, noun: &str) -> Option<String> {
    if flame.node(NodeId::ALL).width > 0 {
        return None;
    }
    let tasks = flame.totals.tasks + flame.was_totals.map_or(0, |was| was.tasks);
    Some(match flame.weight {
        _ if tasks == 0 => format!("nothing to draw: there are no {noun}s"),
        Weight::Seconds => {
            format!("nothing to draw: {} of unknown age (use --weight tasks)", count(tasks, noun))
        }
        Weight::Time => format!("nothing to draw: {} without any time", count(tasks, noun)),
        _ => format!("nothing to draw: {} of unknown stack size (use --weight tasks)", count(tasks, noun)),
    })
}

/// Sentences about what the graph does not show.
pub fn notes(flame: &Flame, snapshot: &Snapshot, noun: &str) -> Vec<String> {
    let totals = flame.totals;
    let mut notes = Vec::new();
    if totals.hidden_system > 0 {
        let tasks = count(totals.hidden_system, &format!("system {noun}"));
        notes.push(format!("{tasks} hidden (--system shows them)"));
    }
    if totals.without_weight > 0 {
        let what = if flame.weight == Weight::Seconds { "age" } else { "stack size" };
        notes.push(format!("{} of unknown {what}, not drawn", count(totals.without_weight, noun)));
    }
    if totals.shortened > 0 {
        let tasks = count(totals.shortened, noun);
        notes
            .push(format!("{tasks} with very deep stacks: middle frames left out (--all-frames shows more)"));
    }
    if flame.left_out > 0 {
        notes.push(format!("too many frames: {} left out", thousands(flame.left_out)));
    }
    notes.extend(snapshot.header.warnings.iter().map(|warning| format!("warning: {warning}")));
    notes
}

/// What a frame weighs now, with its unit.
fn weighed(flame: &Flame, id: NodeId) -> String {
    amount(flame, flame.node(id).now.weight)
}

fn amount(flame: &Flame, weight: u64) -> String {
    match flame.weight {
        Weight::Tasks => thousands(weight),
        Weight::Seconds => duration(weight.saturating_mul(1_000_000)),
        Weight::Bytes => bytes(weight),
        Weight::Time => precise(weight),
    }
}

/// A number of tasks with one reason, or their time: see [`Flame::reasons_of`].
fn of_reason(flame: &Flame, n: u64) -> String {
    if flame.weight == Weight::Time { precise(n) } else { thousands(n) }
}

/// "89.1 %" of the total.
fn share(flame: &Flame, id: NodeId) -> String {
    let (part, all) = (flame.node(id).now.weight, flame.node(NodeId::ALL).now.weight);
    let percent = if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 };
    if part > 0 && percent < 0.05 { "under 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// How a weight changed: "+380", "-3 min", "+0".
fn change(flame: &Flame, id: NodeId) -> String {
    let (was, now) = (flame.was(id).weight, flame.node(id).now.weight);
    let sign = if now < was { '-' } else { '+' };
    format!("{sign}{}", amount(flame, now.abs_diff(was)))
}

/// What a frame holds, in one line: "1,204 goroutines, 89.1 %, 41 min or more".
#[cfg(feature = "svg")]
fn facts(flame: &Flame, id: NodeId, noun: &str) -> String {
    let node = flame.node(id);
    let mut facts = vec![count(node.now.count, noun)];
    if flame.is_difference() {
        facts.push(format!("was {}", thousands(flame.was(id).count)));
    }
    match (flame.weight, flame.is_difference()) {
        (Weight::Tasks, false) => {}
        (_, false) => facts.push(weighed(flame, id)),
        (_, true) => facts.push(change(flame, id)),
    }
    facts.push(share(flame, id));
    let oldest = age(node.now.oldest);
    if !oldest.is_empty() {
        facts.push(format!("oldest {oldest}"));
    }
    facts.join(", ")
}

/// The tooltip of a frame, one line each, not escaped: its name, how many tasks, the change, their states, the
/// oldest.
#[cfg(feature = "svg")]
fn tooltip(flame: &Flame, id: NodeId, noun: &str) -> Vec<String> {
    let node = flame.node(id);
    let mut lines = vec![flame.name(id).text.clone()];
    let weight = match flame.weight {
        Weight::Tasks => String::new(),
        Weight::Seconds => format!(", waited {} in total", weighed(flame, id)),
        Weight::Bytes => format!(", {} of stacks", weighed(flame, id)),
        Weight::Time => format!(", {}", weighed(flame, id)),
    };
    lines.push(format!("{}{weight}, {} of all", count(node.now.count, noun), share(flame, id)));
    if flame.is_difference() {
        lines.push(comparison(flame, id));
    }
    let reasons = flame.reasons_of(id);
    let gone = if node.now.count == 0 { "was: " } else { "" };
    let mut parts: Vec<_> = reasons
        .iter()
        .take(REASONS)
        .map(|&(r, n)| format!("{} {}", flame.reason(r), of_reason(flame, n)))
        .collect();
    let rest: u64 = reasons.iter().skip(REASONS).map(|&(_, n)| n).sum();
    if rest > 0 {
        parts.push(format!("other {}", of_reason(flame, rest)));
    }
    lines.push(format!("{gone}{}", parts.join(", ")));
    let oldest = age(node.now.oldest);
    if !oldest.is_empty() {
        lines.push(format!("oldest: {oldest}"));
    }
    lines
}

/// "grown by 380 (+46.1 %): was 824", "gone: was 3", "new: 4, none before".
#[cfg(feature = "svg")]
fn comparison(flame: &Flame, id: NodeId) -> String {
    let (was, now) = (flame.was(id).weight, flame.node(id).now.weight);
    let by = amount(flame, now.abs_diff(was));
    let before = amount(flame, was);
    let percent = (now as f64 - was as f64) * 100.0 / was as f64;
    match (was, now) {
        (0, 0) => "neither before nor now".to_owned(),
        (0, _) => format!("new: {by}, none before"),
        (_, 0) => format!("gone: was {before}"),
        _ if now > was => format!("grown by {by} ({percent:+.1} %): was {before}"),
        _ if now < was => format!("shrunk by {by} ({percent:+.1} %): was {before}"),
        _ => format!("unchanged: was {before}"),
    }
}

/// The end of a name that fits into some columns, with two dots for the cut part. Escaped.
#[cfg(feature = "svg")]
fn tail(name: &str, columns: usize) -> String {
    let name = escape(name);
    let length = name.chars().count();
    if length <= columns {
        return name.into_owned();
    }
    if columns < 3 {
        return String::new();
    }
    let cut: String = name.chars().skip(length + 2 - columns).collect();
    format!("..{cut}")
}
