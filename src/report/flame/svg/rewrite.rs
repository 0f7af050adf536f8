//! Puts names, figures and colours into the graph that inferno has drawn from numbers.

use std::io::{self, Write};

use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

use super::super::super::escape::escape;
use super::super::palette::{Rgb, legend, shaded};
use super::super::{Caption, facts, tail, tooltip};
use super::{Cut, FILLER, SvgOptions};
use crate::analysis::flame::{Flame, NodeId};

/// Colours in the legend.
const LEGEND: usize = 7;

/// Characters of the legend that fit below the title.
const LEGEND_WIDTH: usize = 150;

/// Characters in the whole width of inferno's graph before it is fitted to the window.
const CHARACTERS: f64 = 1200.0 / (12.0 * 0.59);

/// Mouse events must reach the frame, which has the tooltip, behind its text.
const STYLE: &str = "\
#frames > g:hover rect { stroke:#000; stroke-width:1; }
#frames text { pointer-events:none; stroke:none; }
";

/// The meaning of the numbers in a drawing.
pub(super) struct Frames<'a> {
    pub(super) flame: &'a Flame,
    pub(super) cut: &'a Cut,
    pub(super) caption: &'a Caption,
    pub(super) options: &'a SvgOptions,
}

/// The reader's position in the drawing.
#[derive(Debug, Default)]
struct State {
    /// In the element that contains the frames.
    frames: bool,
    /// In a group: the frame that the group draws.
    group: Option<Group>,
}

/// A frame that is being drawn.
#[derive(Debug, Default)]
struct Group {
    /// None until its title has been read.
    node: Option<NodeId>,
    /// It only fills a gap, and is not drawn.
    filler: bool,
    /// Characters that fit into it.
    fits: usize,
}

/// Copies `drawn` to `out`, and replaces numbers by the names, figures and colours of the nodes.
pub(super) fn rewrite(drawn: &[u8], frames: &Frames<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut reader = Reader::from_reader(drawn);
    let mut out = Writer::new(out);
    let mut state = State::default();
    loop {
        let event = reader.read_event().map_err(io::Error::other)?;
        match event {
            Event::Eof => return Ok(()),
            event if state.frames => frame_event(event, &mut state, frames, &mut out)?,
            Event::Start(start) if has(&start, b"id", b"frames") => {
                state.frames = true;
                out.write_event(Event::Start(start))?;
            }
            Event::Start(start) if has(&start, b"id", b"subtitle") => {
                out.write_event(Event::Start(start))?;
                write_legend(frames, &mut out)?;
            }
            Event::End(end) if end.name().as_ref() == b"style" => {
                out.write_event(Event::Text(BytesText::new(STYLE)))?;
                out.write_event(Event::End(end))?;
            }
            event => out.write_event(event)?,
        }
    }
}

/// One event among the frames: `<g><title>0001a (...)</title><rect .../><text ...>...</text></g>`.
fn frame_event(
    event: Event<'_>,
    state: &mut State,
    frames: &Frames<'_>,
    out: &mut Writer<&mut dyn Write>,
) -> io::Result<()> {
    let Some(group) = &mut state.group else {
        match event {
            // It is written once its node is known.
            Event::Start(start) if start.name().as_ref() == b"g" => state.group = Some(Group::default()),
            Event::End(end) => {
                state.frames = false;
                out.write_event(Event::End(end))?;
            }
            event => out.write_event(event)?,
        }
        return Ok(());
    };
    match event {
        Event::Text(text) if group.node.is_none() && !group.filler => {
            let title = text.decode().map_err(io::Error::other)?;
            group.filler = title.starts_with(FILLER);
            if !group.filler {
                let node = numbered(&title, frames.cut)?;
                group.node = Some(node);
                out.write_event(Event::Start(BytesStart::new("g")))?;
                write_title(node, frames, out)?;
            }
        }
        Event::Empty(rect) if rect.name().as_ref() == b"rect" => {
            if let Some(node) = group.node {
                group.fits = write_rect(node, &rect, frames, out)?;
            }
        }
        Event::Start(start) if start.name().as_ref() == b"text" && group.node.is_some() => {
            out.write_event(Event::Start(start))?;
        }
        Event::End(end) if end.name().as_ref() == b"text" => {
            if let Some(node) = group.node {
                let label = tail(&frames.flame.name(node).text, group.fits);
                out.write_event(Event::Text(BytesText::new(&label)))?;
                out.write_event(Event::End(end))?;
            }
        }
        Event::End(end) if end.name().as_ref() == b"g" => {
            if group.node.is_some() {
                out.write_event(Event::End(end))?;
            }
            state.group = None;
        }
        // The rest belongs to the number.
        _ => {}
    }
    Ok(())
}

/// The node whose number begins a title.
fn numbered(title: &str, cut: &Cut) -> io::Result<NodeId> {
    let number = title.split(' ').next().unwrap_or_default();
    let nth = if number == "all" { Some(0) } else { usize::from_str_radix(number, 16).ok() };
    (nth.and_then(|nth| cut.kept.get(nth)).copied())
        .ok_or_else(|| io::Error::other(format!("a frame of no node: {}", escape(title))))
}

/// The title, which is searched, and shown below the graph: "name (facts)". The script strips the last
/// parenthesis to get the name, so the facts must not contain one.
fn write_title(node: NodeId, frames: &Frames<'_>, out: &mut Writer<&mut dyn Write>) -> io::Result<()> {
    let name = escape(&frames.flame.name(node).text);
    let facts = facts(frames.flame, node, &frames.caption.noun).replace('(', "[").replace(')', "]");
    title(&format!("{name} ({})", escape(&facts)), out)
}

fn title(text: &str, out: &mut Writer<&mut dyn Write>) -> io::Result<()> {
    out.write_event(Event::Start(BytesStart::new("title")))?;
    out.write_event(Event::Text(BytesText::new(text)))?;
    out.write_event(Event::End(BytesEnd::new("title")))
}

/// The rectangle in its colour, with its own tooltip. Returns how many characters fit into it.
fn write_rect(
    node: NodeId,
    drawn: &BytesStart<'_>,
    frames: &Frames<'_>,
    out: &mut Writer<&mut dyn Write>,
) -> io::Result<usize> {
    let Rgb(r, g, b) = shaded(frames.flame, node, frames.options.colors);
    let fill = format!("rgb({r},{g},{b})");
    let mut rect = BytesStart::new("rect");
    let mut fits = 0;
    for attribute in drawn.attributes() {
        let attribute = attribute.map_err(io::Error::other)?;
        match attribute.key.as_ref() {
            b"fill" => rect.push_attribute(("fill", fill.as_str())),
            key => {
                if key == b"width" {
                    let percent: f64 = String::from_utf8_lossy(&attribute.value)
                        .trim_end_matches('%')
                        .parse()
                        .unwrap_or(0.0);
                    fits = (percent / 100.0 * CHARACTERS) as usize;
                }
                rect.push_attribute(attribute);
            }
        }
    }
    out.write_event(Event::Start(rect))?;
    let lines = tooltip(frames.flame, node, &frames.caption.noun);
    let lines: Vec<_> = lines.iter().map(|line| escape(line)).collect();
    title(&lines.join("\n"), out)?;
    out.write_event(Event::End(BytesEnd::new("rect")))?;
    Ok(fits)
}

/// "1,351 goroutines  ■ chan send 1,204  ■ IO wait 128".
fn write_legend(frames: &Frames<'_>, out: &mut Writer<&mut dyn Write>) -> io::Result<()> {
    let subtitle = escape(&frames.caption.subtitle(frames.flame)).into_owned();
    let mut left = LEGEND_WIDTH.saturating_sub(subtitle.chars().count());
    out.write_event(Event::Text(BytesText::new(&subtitle)))?;
    for (Rgb(r, g, b), text) in legend(frames.flame, frames.options.colors, LEGEND) {
        let Some(rest) = left.checked_sub(text.chars().count() + 4) else { break };
        left = rest;
        let fill = format!("fill:rgb({r},{g},{b});stroke:#777;stroke-width:0.5");
        let square = BytesStart::new("tspan").with_attributes([("dx", "12"), ("style", fill.as_str())]);
        out.write_event(Event::Start(square))?;
        out.write_event(Event::Text(BytesText::new("\u{25a0}")))?;
        out.write_event(Event::End(BytesEnd::new("tspan")))?;
        out.write_event(Event::Text(BytesText::new(&format!(" {text}"))))?;
    }
    Ok(())
}

fn has(start: &BytesStart<'_>, name: &[u8], value: &[u8]) -> bool {
    start.attributes().flatten().any(|a| a.key.as_ref() == name && a.value.as_ref() == value)
}
