//! A flame graph as SVG that opens in any browser, drawn by inferno: its layout, zoom and search.
//!
//! inferno identifies a frame by its name alone, and splits names, titles and colours at separators. So it gets
//! numbers instead of names; `rewrite.rs` then inserts the names, figures and colours of these nodes into the
//! drawing. No text of the target passes through inferno.

use std::fmt::Write as _;
use std::io::{self, Write};

use inferno::flamegraph::{self, Direction, Options, color::BackgroundColor};

use super::super::escape::escape;
use super::super::units::thousands;
use super::{Caption, Colors};
use crate::analysis::flame::{Flame, NodeId};

mod rewrite;

/// At most this many frames are drawn: about 8 MB, which browsers still open in seconds.
const MAX_FRAMES: usize = 20_000;

/// The appearance of a graph.
#[derive(Debug, Clone, Copy)]
pub struct SvgOptions {
    /// What colours mean.
    pub colors: Colors,
    /// From the top down (an icicle graph).
    pub inverted: bool,
}

/// Which frames are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// The drawn frames, in preorder. The ancestors of each are among them.
    pub kept: Vec<NodeId>,
    /// How many frames with a width are not drawn.
    pub left_out: u64,
    /// Frames narrower than this are left out, percent.
    pub min_width: f64,
    /// Whether that is more than requested, because there are too many frames.
    pub raised: bool,
}

impl Cut {
    /// Leaves out frames narrower than `min_width` percent, and more if there would still be too many frames.
    pub fn new(flame: &Flame, min_width: f64) -> Self {
        Cut::with(flame, min_width, MAX_FRAMES)
    }

    fn with(flame: &Flame, min_width: f64, max: usize) -> Self {
        let all = flame.node(NodeId::ALL).width;
        // A frame without a width cannot be drawn.
        let mut threshold = ((all as f64 * min_width / 100.0).ceil() as u64).clamp(1, all.max(1));
        let mut widths: Vec<u64> =
            flame.nodes.iter().map(|node| node.width).filter(|&width| width >= threshold).collect();
        let raised = widths.len() > max;
        if raised {
            // Leaves out the widest frame that does not fit, and all frames that are no wider.
            let (_, widest_out, _) = widths.select_nth_unstable_by(max, |a, b| b.cmp(a));
            threshold = (*widest_out + 1).min(all);
        }
        let kept: Vec<_> = flame.ids().filter(|&id| flame.node(id).width >= threshold).collect();
        let wide = flame.nodes.iter().filter(|node| node.width > 0).count();
        let percent = if raised { threshold as f64 * 100.0 / all as f64 } else { min_width };
        // If all stacks are equally wide, each could be as wide as everything.
        let kept: Vec<_> = kept.into_iter().take(max).collect();
        let left_out = wide.saturating_sub(kept.len()) as u64;
        Cut { kept, left_out, min_width: percent, raised }
    }

    /// "1,204 frames narrower than 0.01 % left out (--min-width 0 keeps them)". None if there are none.
    pub fn note(&self) -> Option<String> {
        let hint = if self.raised {
            format!("a graph has room for {}", thousands(MAX_FRAMES as u64))
        } else {
            "--min-width 0 keeps them".to_owned()
        };
        (self.left_out > 0).then(|| {
            let frames = super::count(self.left_out, "frame");
            format!("{frames} narrower than {} % left out ({hint})", percent(self.min_width))
        })
    }
}

/// A small percentage with its significant digits.
fn percent(value: f64) -> String {
    let text = if value < 1.0 { format!("{value:.4}") } else { format!("{value:.1}") };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Writes a graph. There must be something to draw (see [`super::nothing`]).
///
/// # Errors
/// Those of `out`; [`io::ErrorKind::InvalidData`] if there is nothing to draw.
pub fn write(
    flame: &Flame,
    cut: &Cut,
    caption: &Caption,
    options: &SvgOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut inferno = Options::default();
    inferno.title = escape(&caption.title).into_owned();
    // Reserves the place of the legend.
    inferno.subtitle = Some(String::new());
    inferno.count_name = "tasks".to_owned();
    inferno.name_type = String::new();
    inferno.no_sort = true;
    // Narrow frames were left out already.
    inferno.min_width = 0.0;
    inferno.bgcolors = Some(BackgroundColor::Flat((0xff, 0xff, 0xff).into()));
    inferno.direction = if options.inverted { Direction::Inverted } else { Direction::Straight };
    let lines = lines(flame, &cut.kept);
    let mut drawn = Vec::new();
    flamegraph::from_lines(&mut inferno, lines.lines(), &mut drawn)?;
    rewrite::rewrite(&drawn, &rewrite::Frames { flame, cut, caption, options }, out)
}

/// Folded stacks of numbers: the positions of nodes in `kept`, in preorder and of equal length, so
/// that they are sorted.
fn lines(flame: &Flame, kept: &[NodeId]) -> String {
    // The width of each node without its children.
    let mut own: Vec<u64> = kept.iter().map(|&id| flame.node(id).width).collect();
    let mut open: Vec<usize> = Vec::new();
    for (nth, &id) in kept.iter().enumerate() {
        let node = flame.node(id);
        open.truncate(node.depth as usize);
        if let Some(parent) = open.last().and_then(|&parent| own.get_mut(parent)) {
            *parent = parent.saturating_sub(node.width);
        }
        open.push(nth);
    }
    let mut lines = String::new();
    let mut path = String::new();
    for (nth, (&id, &own)) in kept.iter().zip(&own).enumerate().skip(1) {
        let depth = flame.node(id).depth as usize;
        path.truncate((depth - 1) * NUMBER);
        // Writing to a string does not fail.
        let _ = write!(path, "{nth:05x};");
        if own > 0 {
            let _ = writeln!(lines, "{} {own}", path.trim_end_matches(';'));
        }
    }
    if let Some(rest) = own.first().filter(|&&rest| rest > 0) {
        let _ = writeln!(lines, "{FILLER} {rest}");
    }
    lines
}

/// Length of a number with its semicolon.
const NUMBER: usize = 6;

/// Replaces first rows that are left out; sorted behind all numbers.
const FILLER: &str = "rest";

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::analysis::Filter;
    use crate::analysis::flame::{FlameOptions, flame};
    use crate::snapshot::*;

    /// `n` stacks main.all;main.<i>, the i-th with i + 1 tasks.
    fn stairs(n: u32) -> Flame {
        let mut builder = SnapshotBuilder::new();
        builder.header.runtimes.push(RuntimeInfo { name: "go".to_owned(), ..RuntimeInfo::default() });
        let location = |builder: &mut SnapshotBuilder, name: &str| {
            let function = builder.code.function(name, "main", FunctionKind::Normal);
            let frames = vec![builder.code.frame(function, "", 0)];
            builder.code.location(Location::in_source(frames))
        };
        let outer = location(&mut builder, "main.all");
        let task = crate::snapshot::Task::default();
        for i in 0..n {
            let inner = location(&mut builder, &format!("main.{i:04}"));
            let stack = Some(builder.code.stack(vec![inner, outer]));
            for _ in 0..=i {
                builder.task(Task { stack, stack_status: StackStatus::Complete, ..task });
            }
        }
        flame(&builder.finish(), &Filter::default(), &FlameOptions::default())
    }

    #[test]
    fn narrow_frames_are_left_out() {
        let flame = stairs(4);
        let cut = Cut::with(&flame, 0.01, 100);
        assert_eq!((cut.kept.len(), cut.left_out, cut.raised), (6, 0, false));
        assert_eq!(cut.note(), None);
        // 1, 2, 3 and 4 of 10.
        let cut = Cut::with(&flame, 25.0, 100);
        assert_eq!((cut.kept.len(), cut.left_out), (4, 2));
        assert_eq!(cut.note().unwrap(), "2 frames narrower than 25 % left out (--min-width 0 keeps them)");
        let cut = Cut::with(&flame, 0.0, 4);
        assert_eq!((cut.kept.len(), cut.left_out, cut.raised), (4, 2, true));
        assert_eq!(cut.note().unwrap(), "2 frames narrower than 30 % left out (a graph has room for 20,000)");
    }

    #[test]
    fn stacks_of_numbers_add_up_to_the_whole() {
        let flame = stairs(3);
        let all = Cut::with(&flame, 0.0, 100);
        assert_eq!(lines(&flame, &all.kept), "00001;00002 1\n00001;00003 2\n00001;00004 3\n");
        let some = Cut::with(&flame, 50.0, 100);
        assert_eq!(lines(&flame, &some.kept), "00001 3\n00001;00002 3\n");
        let root = Cut { kept: vec![NodeId::ALL], ..some };
        assert_eq!(lines(&flame, &root.kept), "rest 6\n");
    }
}
