//! The summary: medians of ratios, by workload.

use crate::clients::Kind;
use crate::measure::Sample;
use crate::report::markdown::{heading, line, row};
use crate::rounds::{Measured, Outcome, on_or_off};
use crate::statistics::Spread;

/// A comparison of two kinds of clients.
struct Comparison {
    about: &'static str,
    /// The kind whose clients have the rows.
    of: &'static [Kind],
    /// The kind to compare with, over the same driver.
    with: fn(&Measured, &Measured) -> bool,
    what: fn(&Sample) -> Option<f64>,
}

const COMPARISONS: [Comparison; 3] = [
    Comparison {
        about: "Operations per second, of those of the bare driver",
        of: &[Kind::Ours, Kind::Official],
        with: |one, other| other.name == one.floor,
        what: |sample| Some(sample.per_second()),
    },
    Comparison {
        about: "Operations per second, of those of the official client over the same driver",
        of: &[Kind::Ours],
        with: |one, other| other.kind == Kind::Official && other.floor == one.floor,
        what: |sample| Some(sample.per_second()),
    },
    Comparison {
        about: "Processor time of the client by operation, of that of the bare driver",
        of: &[Kind::Ours, Kind::Official],
        with: |one, other| other.name == one.floor,
        what: |sample| Some(sample.cpu_per_operation()?.as_secs_f64()),
    },
];

/// The tables of all comparisons that have data.
pub(super) fn tables(out: &mut String, outcomes: &[Outcome]) {
    for comparison in &COMPARISONS {
        for synchronous_commit in [false, true] {
            let outcomes: Vec<_> = outcomes
                .iter()
                .filter(|outcome| outcome.setting.synchronous_commit == synchronous_commit)
                .collect();
            let lines = comparison.lines(&outcomes);
            if lines.is_empty() {
                continue;
            }
            let commit = on_or_off(synchronous_commit);
            line(out, &format!("\n## {}, `synchronous_commit = {commit}`\n", comparison.about));
            let workloads = outcomes.iter().map(|outcome| outcome.setting.workload.name);
            heading(out, &["client"].into_iter().chain(workloads).collect::<Vec<_>>());
            lines.iter().for_each(|cells| row(out, cells));
        }
    }
}

impl Comparison {
    /// A row for each client with a comparison in some workload: its name, and the median of each workload.
    fn lines(&self, outcomes: &[&Outcome]) -> Vec<Vec<String>> {
        let mut names: Vec<&str> = Vec::new();
        for one in outcomes.iter().flat_map(|outcome| &outcome.results) {
            if self.of.contains(&one.kind) && !names.contains(&one.name) {
                names.push(one.name);
            }
        }
        let lines = names.into_iter().filter_map(|name| {
            let medians: Vec<_> =
                outcomes.iter().map(|outcome| self.median(&outcome.results, name)).collect();
            let has_any = medians.iter().any(Option::is_some);
            let cells = medians.iter().map(|median| match median {
                Some(median) => format!("{median:.2}"),
                None => "-".to_owned(),
            });
            has_any.then(|| [name.to_owned()].into_iter().chain(cells).collect())
        });
        lines.collect()
    }

    fn median(&self, results: &[Measured], name: &str) -> Option<f64> {
        let one = results.iter().find(|result| result.name == name)?;
        let other = results.iter().find(|other| (self.with)(one, other))?;
        let values = |result: &Measured| result.samples.iter().map_while(self.what).collect::<Vec<_>>();
        Some(Spread::of_ratios(&values(one), &values(other))?.median)
    }
}
