//! A graph of files, and the circles in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Arrows between files, each with the names that make it.
#[derive(Debug, Default)]
pub(super) struct Graph {
    arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Files that can all be reached from each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Circle {
    pub(super) files: Vec<String>,
    /// One of the shortest ways round: the first file is not repeated at the end.
    pub(super) shortest: Vec<String>,
}

impl Graph {
    pub(super) fn add(&mut self, from: &str, to: &str, name: &str) {
        if from != to {
            let arrows = self.arrows.entry(from.to_owned()).or_default();
            arrows.entry(to.to_owned()).or_default().insert(name.to_owned());
        }
    }

    /// The names that `from` takes from `to`.
    pub(super) fn names(&self, from: &str, to: &str) -> impl Iterator<Item = &str> {
        self.arrows.get(from).and_then(|arrows| arrows.get(to)).into_iter().flatten().map(String::as_str)
    }

    /// The strongly connected components of more than one file.
    pub(super) fn circles(&self) -> Vec<Circle> {
        let reach: BTreeMap<_, _> = self.arrows.keys().map(|file| (file, self.distances(file))).collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (&file, reached) in &reach {
            let returns = |other: &&String| reach.get(other).is_some_and(|back| back.contains_key(file));
            let mut files: Vec<_> = reached.keys().filter(returns).cloned().collect();
            if files.len() < 2 || !seen.insert(files.clone()) {
                continue;
            }
            files.sort();
            let shortest = files.iter().filter_map(|file| self.shortest_from(file)).min_by_key(Vec::len);
            circles.push(Circle { shortest: shortest.unwrap_or_default(), files });
        }
        circles
    }

    /// The files that can be reached, each with the file before it on a shortest way. `start` itself is among
    /// them only if a way leads back to it.
    fn distances(&self, start: &str) -> BTreeMap<String, String> {
        let mut before: BTreeMap<String, String> = BTreeMap::new();
        let mut queue = VecDeque::from([start.to_owned()]);
        while let Some(file) = queue.pop_front() {
            for next in self.arrows.get(&file).into_iter().flat_map(BTreeMap::keys) {
                if !before.contains_key(next) {
                    before.insert(next.clone(), file.clone());
                    queue.push_back(next.clone());
                }
            }
        }
        before
    }

    fn shortest_from(&self, start: &str) -> Option<Vec<String>> {
        let before = self.distances(start);
        let mut way = Vec::new();
        let mut at = before.get(start)?;
        while at != start {
            way.push(at.clone());
            at = before.get(at)?;
        }
        way.push(start.to_owned());
        way.reverse();
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        arrows.iter().for_each(|(from, to)| graph.add(from, to, "Name"));
        graph
    }

    #[test]
    fn a_graph_without_a_way_back_has_no_circle() {
        assert_eq!(graph(&[("a", "b"), ("b", "c"), ("a", "c"), ("a", "a")]).circles(), []);
    }

    #[test]
    fn each_circle_is_found_once_with_its_shortest_way() {
        let graph = graph(&[
            ("a", "b"),
            ("b", "c"),
            ("c", "d"),
            ("d", "a"),
            ("c", "b"),
            ("e", "f"),
            ("f", "e"),
            ("a", "e"),
        ]);
        let circles: Vec<_> = graph
            .circles()
            .into_iter()
            .map(|circle| (circle.files.join(" "), circle.shortest.join(" ")))
            .collect();
        assert_eq!(circles, [("a b c d".to_owned(), "b c".to_owned()), ("e f".to_owned(), "e f".to_owned())]);
    }
}
