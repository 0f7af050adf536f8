//! Which acts are met on every way through code: a graph of the places that were visited.

/// The ways through a piece of code. Node 0 is its beginning.
#[derive(Debug)]
pub(super) struct Ways {
    /// The acts met before each node is reached, as bits.
    met: Vec<u64>,
    edges: Vec<(u32, u32)>,
    /// The acts met on every way that ended.
    on_all: u64,
    /// A way ends without a return.
    ends: bool,
    has_return: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Ways { met: vec![0], edges: Vec::new(), on_all: u64::MAX, ends: false, has_return: false }
    }
}

impl Ways {
    /// A new node, reached after these acts.
    pub(super) fn node(&mut self, met: u64) -> u32 {
        self.met.push(met);
        (self.met.len() - 1) as u32
    }

    /// A way leads from one node to another.
    pub(super) fn edge(&mut self, from: u32, to: u32) {
        self.edges.push((from, to));
    }

    /// A way returns after these acts.
    pub(super) fn returns(&mut self, met: u64) {
        self.has_return = true;
        self.on_all &= met;
    }

    /// A way ends after these acts, without a return.
    pub(super) fn ends(&mut self, met: u64) {
        self.ends = true;
        self.on_all &= met;
    }

    /// Does every way lead to a return?
    pub(super) fn all_return(&self) -> bool {
        self.has_return && !self.ends && self.endless().is_none()
    }

    /// The acts that are met on every way, those included that never end.
    pub(super) fn on_all(&self) -> u64 {
        let endless = self.endless();
        if !self.has_return && !self.ends && endless.is_none() {
            return 0;
        }
        self.on_all & endless.unwrap_or(u64::MAX)
    }

    /// The acts met before every cycle. None if there is no cycle.
    fn endless(&self) -> Option<u64> {
        // Nodes without a way to them are taken away, again and again; cycles remain, and what follows them.
        let mut incoming = vec![0_u32; self.met.len()];
        let mut following: Vec<Vec<u32>> = vec![Vec::new(); self.met.len()];
        for &(from, to) in &self.edges {
            if let (Some(count), Some(list)) =
                (incoming.get_mut(to as usize), following.get_mut(from as usize))
            {
                *count += 1;
                list.push(to);
            }
        }
        let mut free: Vec<u32> =
            (0..).zip(&incoming).filter(|(_, count)| **count == 0).map(|(node, _)| node).collect();
        let mut gone = vec![false; self.met.len()];
        while let Some(node) = free.pop() {
            gone[node as usize] = true;
            for &to in &following[node as usize] {
                let count = &mut incoming[to as usize];
                *count -= 1;
                if *count == 0 {
                    free.push(to);
                }
            }
        }
        let rest = gone.iter().zip(&self.met).filter(|(gone, _)| !**gone).map(|(_, met)| *met);
        rest.reduce(|all, met| all & met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_ways_do_is_on_all() {
        let mut ways = Ways::default();
        let (left, right) = (ways.node(0b01), ways.node(0b11));
        ways.edge(0, left);
        ways.edge(0, right);
        ways.returns(0b01);
        ways.returns(0b11);
        assert_eq!((ways.on_all(), ways.all_return()), (0b01, true));
        ways.ends(0b10);
        assert_eq!((ways.on_all(), ways.all_return()), (0, false));
    }

    #[test]
    fn a_loop_may_never_end() {
        let mut ways = Ways::default();
        let (head, behind) = (ways.node(0b01), ways.node(0b11));
        for (from, to) in [(0, head), (head, head), (head, behind)] {
            ways.edge(from, to);
        }
        ways.returns(0b11);
        assert_eq!((ways.on_all(), ways.all_return()), (0b01, false));
    }

    #[test]
    fn nothing_is_sure_where_nothing_is_known() {
        assert_eq!(Ways::default().on_all(), 0);
        assert!(!Ways::default().all_return());
    }
}
