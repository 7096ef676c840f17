//! Who depends on whom, and whether anything depends on itself.

use std::collections::BTreeMap;

use super::names::Path;

/// Rules by path, and what each uses.
#[derive(Default)]
pub(super) struct Graph {
    by_path: BTreeMap<Path, usize>,
    paths: Vec<Path>,
    uses: Vec<Vec<usize>>,
}

impl Graph {
    /// The node of a path, made if there is none.
    pub(super) fn node(&mut self, path: &Path) -> usize {
        if let Some(node) = self.by_path.get(path) {
            return *node;
        }
        let node = self.paths.len();
        self.by_path.insert(path.clone(), node);
        self.paths.push(path.clone());
        self.uses.push(Vec::new());
        node
    }

    /// The node of exactly this path.
    pub(super) fn exact(&self, path: &[String]) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Every node a reader of `path` may depend on: what it lies in, and what lies in it.
    pub(super) fn touched(&self, path: &[String]) -> Vec<usize> {
        let above = (1..path.len()).filter_map(|end| self.exact(path.get(..end)?));
        let below = self
            .by_path
            .range::<[String], _>((std::ops::Bound::Included(path), std::ops::Bound::Unbounded))
            .take_while(|(other, _)| other.starts_with(path))
            .map(|(_, node)| *node);
        above.chain(below).collect()
    }

    pub(super) fn add_use(&mut self, user: usize, used: usize) {
        if let Some(uses) = self.uses.get_mut(user) {
            uses.push(used);
        }
    }

    pub(super) fn path(&self, node: usize) -> &[String] {
        self.paths.get(node).map_or(&[], Vec::as_slice)
    }

    /// How many nodes the longest way has, each using the next. There must be no cycle.
    pub(super) fn longest_way(&self) -> usize {
        let mut longest: Vec<Option<usize>> = vec![None; self.paths.len()];
        for root in 0..self.paths.len() {
            let mut pending = vec![root];
            while let Some(node) = pending.last().copied() {
                let uses = self.uses.get(node).map_or(&[][..], Vec::as_slice);
                let below = |used: &usize| longest.get(*used).copied().flatten();
                if let Some(used) = uses.iter().find(|used| below(used).is_none()) {
                    pending.push(*used);
                    continue;
                }
                let own = uses.iter().filter_map(below).max().unwrap_or(0).saturating_add(1);
                if let Some(place) = longest.get_mut(node) {
                    *place = Some(own);
                }
                pending.pop();
            }
        }
        longest.into_iter().flatten().max().unwrap_or(0)
    }

    /// A cycle, if there is one: the nodes in order, the first of them not repeated.
    pub(super) fn cycle(&self) -> Option<Vec<usize>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Never,
            OnTheWay,
            Done,
        }
        let mut seen = vec![Seen::Never; self.paths.len()];
        for root in 0..self.paths.len() {
            if seen.get(root) != Some(&Seen::Never) {
                continue;
            }
            let mut way: Vec<(usize, usize)> = vec![(root, 0)];
            while let Some((node, next)) = way.last_mut() {
                let node = *node;
                if *next == 0
                    && let Some(mark) = seen.get_mut(node)
                {
                    *mark = Seen::OnTheWay;
                }
                let used = self.uses.get(node).and_then(|uses| uses.get(*next)).copied();
                *next = next.saturating_add(1);
                match used.map(|used| (used, seen.get(used).copied())) {
                    Some((used, Some(Seen::OnTheWay))) => {
                        return Some(way.iter().map(|(node, _)| *node).skip_while(|node| *node != used).collect());
                    }
                    Some((used, Some(Seen::Never))) => way.push((used, 0)),
                    Some(_) => {}
                    None => {
                        if let Some(mark) = seen.get_mut(node) {
                            *mark = Seen::Done;
                        }
                        way.pop();
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(dotted: &str) -> Path {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_reader_touches_what_is_above_and_below() {
        let mut graph = Graph::default();
        for name in ["a.b", "a.b.c", "a.bc", "a.b.c.d", "x"] {
            graph.node(&path(name));
        }
        let touched = |dotted| {
            let mut names: Vec<_> =
                graph.touched(&path(dotted)).into_iter().map(|node| graph.path(node).join(".")).collect();
            names.sort();
            names
        };
        assert_eq!(touched("a.b.c"), ["a.b", "a.b.c", "a.b.c.d"]);
        assert_eq!(touched("a"), ["a.b", "a.b.c", "a.b.c.d", "a.bc"]);
        assert!(touched("a.q").is_empty());
    }

    proptest! {
        #[test]
        fn uses_that_only_point_forward_are_no_cycle(
            uses in prop::collection::vec((0_usize..30, 0_usize..30), 0..80),
            back in prop::option::of((0_usize..30, 0_usize..30)),
        ) {
            let mut graph = Graph::default();
            for index in 0..30 {
                graph.node(&vec![index.to_string()]);
            }
            for (from, to) in &uses {
                if from < to {
                    graph.add_use(*from, *to);
                }
            }
            prop_assert!(graph.cycle().is_none());
            if let Some((a, b)) = back {
                let (low, high) = (a.min(b), a.max(b));
                graph.add_use(low, high);
                graph.add_use(high, low);
                let cycle = graph.cycle().unwrap();
                for (index, node) in cycle.iter().enumerate() {
                    let next = cycle[(index + 1) % cycle.len()];
                    prop_assert!(graph.uses[*node].contains(&next));
                }
            }
        }
    }
}
