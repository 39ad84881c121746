//! The report of an experiment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Prefix of a line with a report.
const PREFIX: &str = "faults: ";

/// The numbers of an experiment.
///
/// `cargo xtask test --faults` reads them from standard output, so the names of the JSON fields are stable.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Name of the fault.
    pub fault: String,
    /// Number of injections.
    pub strikes: u32,
    /// Number of messages that were sent and confirmed.
    pub messages: usize,
    /// Number of calls that were left in doubt: sends, reads, pops, and other calls.
    pub in_doubt: [u64; 4],
    /// Number of messages that were hidden by a read in doubt. All of them came back.
    pub hidden: usize,
    /// Number of messages that were lost by a pop in doubt.
    pub popped: usize,
    /// Number of failed calls, by kind and SQLSTATE, and of cancelled calls.
    pub errors: BTreeMap<String, u64>,
    /// Longest time until every worker had succeeded again, in milliseconds.
    pub back_after: u64,
    /// Longest time until the listener was notified again, in milliseconds.
    pub heard_after: u64,
    /// Growth of the process between the first injection and the end, in KiB.
    pub grown: i64,
}

impl Report {
    /// Adds the numbers of another experiment. Of durations and growth, the larger one is kept.
    pub fn add(&mut self, other: &Self) {
        self.strikes += other.strikes;
        self.messages += other.messages;
        self.in_doubt.iter_mut().zip(other.in_doubt).for_each(|(sum, more)| *sum += more);
        self.hidden += other.hidden;
        self.popped += other.popped;
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.back_after = self.back_after.max(other.back_after);
        self.heard_after = self.heard_after.max(other.heard_after);
        self.grown = self.grown.max(other.grown);
    }
}

/// Prints reports, a line each: the prefix `faults: ` and an object in JSON.
pub(crate) fn print(reports: &[Report]) {
    for report in reports {
        println!("{PREFIX}{}", serde_json::to_string(report).expect("numbers and names are JSON"));
    }
}

/// Parses a line that contains a report; `None` for any other line.
#[must_use]
pub fn parse(line: &str) -> Option<Report> {
    serde_json::from_str(line.strip_prefix(PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn the_names_of_the_fields_are_stable() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut expected = [
            "fault",
            "strikes",
            "messages",
            "in_doubt",
            "hidden",
            "popped",
            "errors",
            "back_after",
            "heard_after",
            "grown",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
