//! Which tasks created which.

use ratatui::style::{Modifier, Style};

use super::groups::cpu_cell;
use super::theme::Canvas;
use super::{Cut, select};
use crate::dashboard::layout::Areas;
use crate::dashboard::query::CreatorSort;
use crate::dashboard::state::AppState;
use crate::report::units::thousands;

/// Columns of the place at the right.
const PLACE: u16 = 22;
/// Columns of the counts.
const ALL: (u16, u16) = (1, 9);
const OWN: (u16, u16) = (12, 9);
/// Columns of a CPU time.
const CPU: u16 = 8;

/// Where the columns are whose place depends on the width.
struct Columns {
    /// CPU time with descendants, and without.
    cpu: [Option<u16>; 2],
    /// Where the names begin.
    tree: u16,
    /// How many columns the places have.
    place: u16,
}

impl Columns {
    fn new(width: u16, sampled: bool) -> Self {
        let behind = OWN.0 + OWN.1;
        let cpu = [sampled.then_some(behind), (sampled && width >= 96).then_some(behind + CPU)];
        let place = if width >= if sampled { 96 } else { 70 } { PLACE } else { 0 };
        Columns { cpu, tree: behind + CPU * cpu.iter().flatten().count() as u16 + 2, place }
    }
}

/// Draws the open branches.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let (y, width) = (areas.body.y, areas.body.width);
    let title = canvas.theme.title();
    let by_cpu = state.tables.query.creator_sort == CreatorSort::Cpu;
    let style = |is: bool| if is && state.cpu.is_on() { title.add_modifier(Modifier::BOLD) } else { title };
    let Columns { cpu, tree: begin, place } = Columns::new(width, state.cpu.is_on());
    canvas.right(ALL.0, y, ALL.1, "ALL TASKS", style(!by_cpu));
    canvas.right(OWN.0, y, OWN.1, "OWN", title);
    for (x, (heading, sorted)) in cpu.into_iter().zip([("ALL CPU", by_cpu), ("OWN CPU", false)]) {
        x.into_iter().for_each(|x| canvas.right(x, y, CPU, heading, style(sorted)));
    }
    let room = width.saturating_sub(begin + place + 1);
    canvas.put(begin, y, room, "ENTRY FUNCTION", title);
    if place > 0 {
        canvas.put(width - place, y, place, "CREATED AT", title);
    }
    let tree = &state.tables.creators;
    let (cursor, rows) = (state.cursors.creators, areas.rows);
    for (line, at) in state.branches().into_iter().enumerate().skip(cursor.top).take(rows.height.into()) {
        let Some(node) = tree.nodes.get(at) else { continue };
        let y = rows.y + (line - cursor.top) as u16;
        let theme = canvas.theme;
        canvas.right(ALL.0, y, ALL.1, &thousands(node.total), theme.head());
        canvas.right(OWN.0, y, OWN.1, &thousands(node.own), Style::new());
        for (x, ns) in cpu.into_iter().zip([node.total_cpu, node.cpu]) {
            let (text, style) = cpu_cell(state.tables.cpu.as_ref(), ns, theme);
            x.into_iter().for_each(|x| canvas.right(x, y, CPU, &text, style));
        }
        let mark = match (node.is_leaf(at), state.is_open(node)) {
            (true, _) => " ",
            (false, true) => theme.pick("▾", "-"),
            (false, false) => theme.pick("▸", "+"),
        };
        // Deep branches still leave room for their name.
        let indent = (node.depth * 2).min(room / 2);
        canvas.raw(begin + indent, y, 2, mark, theme.title());
        let start = begin + indent + 2;
        let columns = (begin + room).saturating_sub(start);
        let name = if node.depth == 0 && !node.creator.is_empty() {
            format!("{}  < {}", node.name, node.creator)
        } else {
            node.name.clone()
        };
        let cut = if node.depth == 0 { Cut::End } else { Cut::Start };
        canvas.cell(start, y, columns, &name, Style::new(), cut);
        if place > 0 {
            canvas.cell(width - place, y, place - 1, &node.place, theme.dim(), Cut::Start);
        }
        if line == cursor.at {
            select(canvas, y);
        }
    }
}
