//! Colours with a meaning that is the same in every run.

use super::super::escape::escape;
use super::of_reason;
use crate::analysis::flame::{Doing, Flame, Name, NameKind, NodeId};
use crate::snapshot::{TaskState, WaitClass};

/// The meaning of a frame's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colors {
    /// What most of its tasks wait for; the fewer they are, the paler.
    #[default]
    Reason,
    /// The package of the function: warm colours for the program's own.
    Package,
}

/// A colour that black text can be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) u8, pub(super) u8, pub(super) u8);

const NEUTRAL: Rgb = Rgb(0xe2, 0xe2, 0xe2);
const UNKNOWN: Rgb = Rgb(0xc4, 0xc4, 0xc4);
/// Blue and orange are distinguishable with red-green colour blindness.
const GROWN: Rgb = Rgb(0xf0, 0x8a, 0x24);
const SHRUNK: Rgb = Rgb(0x4d, 0x9d, 0xe0);
const SAME: Rgb = Rgb(0xe8, 0xe8, 0xe8);

/// How much darker than its colour a frame is at most, and in how many steps.
#[cfg(any(test, feature = "svg"))]
const DARKEST: f64 = 0.12;
#[cfg(feature = "svg")]
const SHADES: u64 = 4;

/// Colours of states and waits.
const RUNNING: Rgb = Rgb(0xe8, 0x74, 0x3b);
const RUNNABLE: Rgb = Rgb(0xf7, 0xb2, 0x6a);
const CALL: Rgb = Rgb(0xb3, 0x9d, 0xdb);
const SELECT: Rgb = Rgb(0x6f, 0xcf, 0xb0);
const SEND: Rgb = Rgb(0xf2, 0xd6, 0x3c);
const RECEIVE: Rgb = Rgb(0xc3, 0xd8, 0x6e);
const TIME: Rgb = Rgb(0xb4, 0xc2, 0xd0);
const LOCK: Rgb = Rgb(0xe2, 0x8f, 0x9f);
const RUNTIME: Rgb = Rgb(0xc9, 0xb8, 0xa6);
const IO: Rgb = Rgb(0x85, 0xc5, 0xf0);

/// The colour of a frame.
pub(super) fn color(flame: &Flame, id: NodeId, colors: Colors) -> Rgb {
    if flame.is_difference() {
        return change_color(flame.was(id).weight, flame.node(id).now.weight);
    }
    let name = flame.name(id);
    match (name.kind, colors) {
        (NameKind::Unknown, _) => UNKNOWN,
        (NameKind::Row, Colors::Package) => NEUTRAL,
        (NameKind::Function, Colors::Package) => package_color(name),
        (_, Colors::Reason) => {
            let reasons = flame.reasons_of(id);
            let all: u64 = reasons.iter().map(|&(_, count)| count).sum();
            reasons.first().map_or(UNKNOWN, |&(reason, count)| {
                mix(
                    NEUTRAL,
                    reason_color(flame.doing(reason), flame.reason(reason)),
                    count as f64 / all.max(1) as f64,
                )
            })
        }
    }
}

/// The colour of a frame, slightly darkened depending on its name. This separates neighbours of one colour
/// without a line, which would hide frames that are narrower than a line.
#[cfg(feature = "svg")]
pub(super) fn shaded(flame: &Flame, id: NodeId, colors: Colors) -> Rgb {
    let step = (hash(&flame.name(id).text) >> 32) % (SHADES + 1);
    mix(color(flame, id, colors), Rgb(0, 0, 0), DARKEST * step as f64 / SHADES as f64)
}

/// Orange for growth, blue for shrinking; the larger the share, the stronger.
fn change_color(was: u64, now: u64) -> Rgb {
    let larger = was.max(now);
    if was == now || larger == 0 {
        return SAME;
    }
    let share = now.abs_diff(was) as f64 / larger as f64;
    mix(SAME, if now > was { GROWN } else { SHRUNK }, 0.25 + 0.75 * share)
}

/// The colour of what tasks do; if that has none, one derived from the runtime's words for it.
fn reason_color(doing: Doing, text: &str) -> Rgb {
    match doing {
        Doing::State(TaskState::Running) => RUNNING,
        Doing::State(TaskState::Runnable | TaskState::Preempted) => RUNNABLE,
        Doing::State(TaskState::Syscall) | Doing::Waits(WaitClass::Call) => CALL,
        Doing::State(TaskState::Finished) | Doing::Waits(WaitClass::Runtime) => RUNTIME,
        Doing::State(TaskState::Unknown) => UNKNOWN,
        Doing::Waits(WaitClass::Select | WaitClass::NoCases) => SELECT,
        Doing::Waits(WaitClass::Send | WaitClass::NilChannel) => SEND,
        Doing::Waits(WaitClass::Range | WaitClass::Receive | WaitClass::Signal) => RECEIVE,
        Doing::Waits(WaitClass::Timer | WaitClass::Sleep) => TIME,
        Doing::Waits(WaitClass::Lock | WaitClass::WaitGroup | WaitClass::Cond | WaitClass::Semaphore) => LOCK,
        Doing::Waits(WaitClass::Accept | WaitClass::Network | WaitClass::Io) => IO,
        Doing::State(TaskState::Waiting) | Doing::Waits(_) => by_words(text),
    }
}

fn by_words(text: &str) -> Rgb {
    hue((hash(&text.to_ascii_lowercase()) % 24) as f64 * 15.0)
}

fn package_color(name: &Name) -> Rgb {
    if name.package.is_empty() {
        return UNKNOWN;
    }
    let hash = hash(&name.package);
    if name.own { hue(18.0 + (hash % 5) as f64 * 8.0) } else { hue(90.0 + (hash % 27) as f64 * 9.0) }
}

/// Names for the colours of a graph, the widest first, at most `max`. Escaped.
pub(super) fn legend(flame: &Flame, colors: Colors, max: usize) -> Vec<(Rgb, String)> {
    if flame.is_difference() {
        let entries = [(GROWN, "grown or born"), (SHRUNK, "shrunk or gone"), (SAME, "unchanged")];
        return entries.map(|(color, text)| (color, text.to_owned())).into();
    }
    match colors {
        Colors::Reason => (flame.reasons_of(NodeId::ALL).into_iter().take(max))
            .map(|(id, n)| {
                let reason = flame.reason(id);
                (reason_color(flame.doing(id), reason), format!("{} {}", escape(reason), of_reason(flame, n)))
            })
            .collect(),
        Colors::Package => packages(flame, max),
    }
}

/// The packages whose functions are widest; a function below one of its own package counts once.
fn packages(flame: &Flame, max: usize) -> Vec<(Rgb, String)> {
    let mut widths: std::collections::BTreeMap<&str, (u64, Rgb)> = std::collections::BTreeMap::new();
    for id in flame.ids() {
        let (node, name) = (flame.node(id), flame.name(id));
        if name.kind == NameKind::Function && flame.name(node.parent).package != name.package {
            let entry = widths.entry(&name.package).or_insert((0, package_color(name)));
            entry.0 = entry.0.saturating_add(node.width);
        }
    }
    let mut widest: Vec<_> = widths.into_iter().collect();
    widest.sort_by_key(|&(_, (width, _))| std::cmp::Reverse(width));
    let text =
        |package: &str| if package.is_empty() { "no package".into() } else { escape(package).into_owned() };
    widest.into_iter().take(max).map(|(package, (_, color))| (color, text(package))).collect()
}

/// FNV-1a: the same in every run and on every machine.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A light colour of this hue, degrees.
fn hue(degrees: f64) -> Rgb {
    let part = |shift: f64| {
        let k = (shift + degrees / 30.0) % 12.0;
        let value = 0.74 - 0.2 * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    Rgb(part(0.0), part(8.0), part(4.0))
}

fn mix(from: Rgb, to: Rgb, part: f64) -> Rgb {
    let channel =
        |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part.clamp(0.0, 1.0)).round() as u8;
    Rgb(channel(from.0, to.0), channel(from.1, to.1), channel(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The luminance of a colour, 0 to 1.
    fn luminance(Rgb(r, g, b): Rgb) -> f64 {
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn black_text_can_be_read_on_every_colour() {
        let hues = (0..360).map(|degrees| hue(f64::from(degrees)));
        let fixed = [
            RUNNING, RUNNABLE, CALL, SELECT, SEND, RECEIVE, TIME, LOCK, RUNTIME, IO, NEUTRAL, UNKNOWN, GROWN,
            SHRUNK, SAME,
        ];
        for color in hues.chain(fixed).map(|color| mix(color, Rgb(0, 0, 0), DARKEST)) {
            // The contrast that WCAG 2 requires for text (level AA).
            assert!((luminance(color) + 0.05) / 0.05 >= 4.5, "{color:?}");
        }
    }

    #[test]
    fn colours_tell_what_tasks_do_and_not_how_a_runtime_calls_it() {
        let waits = |class, text| reason_color(Doing::Waits(class), text);
        assert_eq!(waits(WaitClass::Send, "chan send"), waits(WaitClass::Send, "put"));
        assert_eq!(waits(WaitClass::Lock, "sync.Mutex.Lock"), waits(WaitClass::Lock, "read lock"));
        assert_ne!(waits(WaitClass::Send, "put"), waits(WaitClass::Receive, "put"));
        let state = |state| reason_color(Doing::State(state), "");
        assert_ne!(state(TaskState::Running), state(TaskState::Runnable));
        // What has no colour of its own gets one, and always the same.
        assert_eq!(waits(WaitClass::Other, "qqq"), hue((hash("qqq") % 24) as f64 * 15.0));
        assert_eq!(hash("qqq"), 0x70a4_3c19_52d7_b392);
    }

    #[test]
    fn changes_are_blue_and_orange() {
        assert_eq!(change_color(5, 5), SAME);
        assert_eq!(change_color(0, 0), SAME);
        assert_eq!(change_color(0, 5), GROWN);
        assert_eq!(change_color(5, 0), SHRUNK);
        let Rgb(r, _, b) = change_color(4, 5);
        assert!(r > b);
        let Rgb(r, _, b) = change_color(5, 4);
        assert!(r < b);
    }
}
