//! The flame graph in cells: where each frame is, and how to move around in it.

use crate::analysis::flame::{Flame, NodeId};

/// The selected frame and the zoomed frame. Both are found by name in the next picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FramePath {
    /// Names from the row of all tasks (exclusive) to the selected frame.
    pub names: Vec<String>,
    /// This many of the first names lead to the frame that takes the whole width.
    pub zoom: usize,
}

/// A frame in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The frame.
    pub node: NodeId,
    /// Rows below the zoomed frame.
    pub row: usize,
    /// Where it begins.
    pub x: u16,
    /// How wide it is, at least 1.
    pub width: u16,
}

impl FramePath {
    /// The frame that these names lead to, or the last one that exists on the way.
    pub fn find(&self, flame: &Flame) -> NodeId {
        walk(flame, &self.names)
    }

    /// The frame that takes the whole width.
    pub fn zoomed(&self, flame: &Flame) -> NodeId {
        walk(flame, self.names.get(..self.zoom).unwrap_or(&self.names))
    }

    /// Selects a frame. The zoom stays, as long as the frame is inside it.
    pub fn select(&mut self, flame: &Flame, node: NodeId) {
        let path = flame.path(node).into_iter().filter(|&id| id != NodeId::ALL);
        self.names = path.map(|id| flame.name(id).text.clone()).collect();
        self.zoom = self.zoom.min(self.names.len());
    }
}

fn walk(flame: &Flame, names: &[String]) -> NodeId {
    let mut node = NodeId::ALL;
    for name in names {
        match flame.children(node).find(|&child| flame.name(child).text == *name) {
            Some(child) => node = child,
            None => break,
        }
    }
    node
}

/// The frames of `root` and below that are at least half a cell wide, in a window `columns` wide.
pub fn cells(flame: &Flame, root: NodeId, columns: u16) -> Vec<Cell> {
    let mut cells = Vec::new();
    let all = flame.node(root).width;
    if all == 0 || columns == 0 {
        return cells;
    }
    // Positions come from sums of widths, so that neighbours meet.
    let halves = |sum: u64| u128::from(sum) * u128::from(columns) * 2 / u128::from(all);
    let position = |sum: u64| halves(sum).div_ceil(2) as u16;
    let mut open = vec![(root, 0_u64, 0_usize)];
    while let Some((node, before, row)) = open.pop() {
        let (start, end) = (position(before), position(before.saturating_add(flame.node(node).width)));
        if start >= end {
            continue;
        }
        cells.push(Cell { node, row, x: start, width: end - start });
        let mut sum = before;
        for child in flame.children(node) {
            open.push((child, sum, row + 1));
            sum = sum.saturating_add(flame.node(child).width);
        }
    }
    cells.sort_by_key(|cell| (cell.row, cell.x));
    cells
}

/// The widest child of a frame.
pub fn widest_child(flame: &Flame, node: NodeId) -> Option<NodeId> {
    flame.children(node).max_by_key(|&child| flame.node(child).width)
}

/// The next frame to the right (or left) in the same row.
pub fn beside(cells: &[Cell], node: NodeId, right: bool) -> Option<NodeId> {
    let at = cells.iter().position(|cell| cell.node == node)?;
    let other = if right { cells.get(at + 1) } else { cells.get(at.checked_sub(1)?) };
    other.filter(|other| cells.get(at).is_some_and(|cell| cell.row == other.row)).map(|cell| cell.node)
}

/// The first row of a window of `height` rows in which the selected frame is visible.
pub fn top_row(path: &FramePath, height: usize) -> usize {
    let row = path.names.len().saturating_sub(path.zoom);
    (row + 1).saturating_sub(height.max(1))
}
