//! Stacks, merged, from the top down.

use ratatui::style::{Color, Modifier};

use super::Cut;
use super::text::age;
use super::theme::Canvas;
use crate::analysis::flame::{Doing, Flame, NameKind, NodeId, Weight};
use crate::dashboard::flame::{Cell, cells, top_row};
use crate::dashboard::layout::Areas;
use crate::dashboard::state::AppState;
use crate::report::text::task_noun;
use crate::report::units::{bytes, count, duration, thousands};
use crate::snapshot::{TaskState, WaitClass};

/// Draws the graph, and describes the selected frame.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &AppState, areas: &Areas) {
    let dim = canvas.theme.dim();
    let Some(flame) = &state.tables.flame else {
        canvas.put(2, areas.rows.y, areas.rows.width, "adding stacks up ...", dim);
        return;
    };
    let noun = task_noun(&state.tables.picture.snapshot);
    let what = match flame.weight {
        Weight::Tasks => format!("width: {noun}s"),
        Weight::Seconds => "width: time waited".to_owned(),
        Weight::Bytes => "width: memory of stacks".to_owned(),
        Weight::Time => "width: time".to_owned(),
    };
    let order = if state.tables.query.flame.reverse { "innermost first" } else { "outermost first" };
    let hint = "Enter: zoom, Esc: out, s: width, r: reverse";
    let mut text = format!("{what}, {order}");
    if flame.is_difference() {
        text.push_str(", compared with the mark");
    }
    if flame.left_out > 0 {
        text.push_str(&format!(", {} frames left out", thousands(flame.left_out)));
    }
    let x = canvas.put(1, areas.body.y, areas.body.width, &text, dim);
    if usize::from(x) + hint.len() + 3 < areas.body.width.into() {
        canvas.right(0, areas.body.y, areas.body.width.saturating_sub(1), hint, dim);
    }
    let zoomed = state.frame.zoomed(flame);
    if flame.node(zoomed).width == 0 {
        canvas.put(2, areas.rows.y, areas.rows.width, "nothing to draw: no frame here has any width", dim);
        return;
    }
    let selected = state.frame.find(flame);
    let top = top_row(&state.frame, areas.rows.height.into());
    for cell in cells(flame, zoomed, areas.rows.width) {
        let Some(row) = cell.row.checked_sub(top).filter(|&row| row < areas.rows.height.into()) else {
            continue;
        };
        draw_cell(canvas, flame, &cell, areas.rows.y + row as u16, cell.node == selected);
    }
    describe(canvas, state, flame, selected, areas);
}

fn draw_cell(canvas: &mut Canvas<'_>, flame: &Flame, cell: &Cell, y: u16, selected: bool) {
    let mut style = canvas.theme.frame(color(flame, cell.node));
    if selected {
        style = style.add_modifier(Modifier::REVERSED | Modifier::BOLD);
    }
    // The first column separates neighbours.
    let edge = canvas.theme.pick("▏", "|");
    canvas.raw(cell.x, y, 1, edge, style);
    if cell.width > 1 {
        let name = canvas.theme.fit(&flame.name(cell.node).text, usize::from(cell.width) - 1, Cut::Start);
        // Three columns of a name say nothing.
        let name = if cell.width > 3 { name } else { String::new() };
        let padded = format!("{name:<width$}", width = usize::from(cell.width) - 1);
        canvas.raw(cell.x + 1, y, cell.width - 1, &padded, style);
    }
}

/// What most of the tasks wait for; in a difference, whether it grew (yellow) or shrank (blue).
fn color(flame: &Flame, node: NodeId) -> Color {
    if flame.is_difference() {
        return match flame.node(node).now.weight.cmp(&flame.was(node).weight) {
            std::cmp::Ordering::Greater => Color::Yellow,
            std::cmp::Ordering::Less => Color::Blue,
            std::cmp::Ordering::Equal => Color::Gray,
        };
    }
    if flame.name(node).kind == NameKind::Row {
        return Color::Gray;
    }
    let reasons = flame.reasons_of(node);
    let Some(&(reason, _)) = reasons.first() else { return Color::Gray };
    match flame.doing(reason) {
        Doing::State(TaskState::Running | TaskState::Runnable) => Color::LightRed,
        Doing::State(TaskState::Syscall) => Color::LightBlue,
        Doing::State(_) => Color::LightCyan,
        Doing::Waits(class) => match class {
            WaitClass::NilChannel
            | WaitClass::Send
            | WaitClass::Range
            | WaitClass::Receive
            | WaitClass::Signal => Color::LightYellow,
            WaitClass::Select | WaitClass::NoCases => Color::LightGreen,
            WaitClass::Lock | WaitClass::WaitGroup | WaitClass::Cond | WaitClass::Semaphore => {
                Color::LightMagenta
            }
            WaitClass::Accept | WaitClass::Network | WaitClass::Io | WaitClass::Call => Color::LightBlue,
            _ => Color::LightCyan,
        },
    }
}

/// Two lines about the selected frame.
fn describe(canvas: &mut Canvas<'_>, state: &AppState, flame: &Flame, node: NodeId, areas: &Areas) {
    let (name, figures) = (flame.name(node), flame.node(node));
    let noun = task_noun(&state.tables.picture.snapshot);
    let head = canvas.theme.head();
    let all = flame.node(NodeId::ALL).width.max(1);
    let share = figures.width as f64 * 100.0 / all as f64;
    let weight = match flame.weight {
        Weight::Seconds => format!(", {}", duration(figures.now.weight.saturating_mul(1_000_000))),
        Weight::Bytes => format!(", {}", bytes(figures.now.weight)),
        Weight::Time => format!(", {}", duration(figures.now.weight)),
        Weight::Tasks => String::new(),
    };
    let mut facts = vec![format!("{}{weight}", count(figures.now.count, noun)), format!("{share:.1} %")];
    if flame.is_difference() {
        facts.push(format!("{} at the mark", thousands(flame.was(node).count)));
    }
    if figures.now.oldest.nanos().is_some() {
        facts.push(format!("oldest {}", age(figures.now.oldest)));
    }
    let reasons = flame.reasons_of(node);
    let reasons =
        reasons.iter().take(4).map(|&(reason, n)| format!("{} {}", flame.reason(reason), thousands(n)));
    facts.extend(reasons);
    let file = if name.file.is_empty() { String::new() } else { format!("  {}", name.file) };
    let (y, wide) = (areas.pane.y, areas.pane.width.saturating_sub(2));
    canvas.cell(1, y, wide, &format!("{}{file}", name.text), head, Cut::End);
    canvas.cell(1, y + 1, wide, &facts.join(", "), Default::default(), Cut::End);
}
