//! Strongly connected components.

/// The sets of nodes that lead to each other; each set comes after the sets that it leads to (Tarjan, without
/// recursion: chains can be long). `next` gives the successors of a node, all of them below `nodes`.
pub(super) fn components<'a>(nodes: usize, next: impl Fn(usize) -> &'a [usize]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut number = vec![NEW; nodes];
    let mut lowest = vec![NEW; nodes];
    let mut open = vec![false; nodes];
    let (mut path, mut found, mut count) = (Vec::new(), Vec::new(), 0);
    let mut work: Vec<(usize, usize)> = Vec::new();
    for start in 0..nodes {
        if number[start] != NEW {
            continue;
        }
        work.push((start, 0));
        while let Some((node, edge)) = work.last_mut() {
            let node = *node;
            if number[node] == NEW {
                (number[node], lowest[node], open[node]) = (count, count, true);
                count += 1;
                path.push(node);
            }
            if let Some(&to) = next(node).get(*edge) {
                *edge += 1;
                if number[to] == NEW {
                    work.push((to, 0));
                } else if open[to] {
                    lowest[node] = lowest[node].min(number[to]);
                }
                continue;
            }
            work.pop();
            if let Some(&(before, _)) = work.last() {
                lowest[before] = lowest[before].min(lowest[node]);
            }
            if lowest[node] == number[node] {
                let first = path.iter().rposition(|&other| other == node).unwrap_or(0);
                let component = path.split_off(first);
                component.iter().for_each(|&node| open[node] = false);
                found.push(component);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Which nodes lead to which, directly or indirectly.
    fn reachable(edges: &[Vec<usize>]) -> Vec<Vec<bool>> {
        let mut reach = vec![vec![false; edges.len()]; edges.len()];
        for (from, next) in edges.iter().enumerate() {
            next.iter().for_each(|&to| reach[from][to] = true);
        }
        for by in 0..edges.len() {
            for from in 0..edges.len() {
                for to in 0..edges.len() {
                    reach[from][to] |= reach[from][by] && reach[by][to];
                }
            }
        }
        reach
    }

    proptest! {
        #[test]
        fn components_lead_to_each_other_and_come_after_what_they_lead_to(
            edges in prop::collection::vec(prop::collection::vec(0_usize..12, 0..4), 12)
        ) {
            let reach = reachable(&edges);
            let found = components(edges.len(), |node| &edges[node]);
            let mut place = vec![usize::MAX; edges.len()];
            for (nth, component) in found.iter().enumerate() {
                for &node in component {
                    prop_assert_eq!(place[node], usize::MAX);
                    place[node] = nth;
                }
            }
            for a in 0..edges.len() {
                for b in 0..edges.len() {
                    let together = a == b || reach[a][b] && reach[b][a];
                    prop_assert_eq!(place[a] == place[b], together);
                    prop_assert!(!reach[a][b] || place[b] <= place[a]);
                }
            }
        }
    }
}
