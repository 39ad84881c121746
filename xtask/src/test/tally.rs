//! The numbers of a fault trial, as the test programs print them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The start of a line with such numbers, which are JSON.
const START: &str = "faults: ";

/// The numbers of a trial. The names are those of the suite's JSON.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Tally {
    /// The fault.
    pub(super) fault: String,
    /// The number of injections.
    pub(super) strikes: u32,
    /// The number of messages whose send was confirmed.
    pub(super) messages: usize,
    /// The number of calls with an unknown outcome: sends, reads, pops, and the rest.
    pub(super) in_doubt: [u64; 4],
    /// The number of messages that a read with an unknown outcome has hidden. All of them became visible
    /// again.
    pub(super) hidden: usize,
    /// The number of messages that a pop with an unknown outcome has lost.
    pub(super) popped: usize,
    /// The number of failed or cancelled calls, by kind and SQLSTATE.
    pub(super) errors: BTreeMap<String, u64>,
    /// The longest time until every worker worked again, in milliseconds.
    pub(super) back_after: u64,
}

impl Tally {
    /// Reads a line; `None` if it does not begin as such a line.
    pub(super) fn read(line: &str) -> Option<Result<Self, serde_json::Error>> {
        line.strip_prefix(START).map(serde_json::from_str)
    }

    /// Adds the numbers of another trial; of times, the longer one counts.
    pub(super) fn add(&mut self, other: &Self) {
        self.strikes += other.strikes;
        self.messages += other.messages;
        self.in_doubt.iter_mut().zip(other.in_doubt).for_each(|(sum, more)| *sum += more);
        self.hidden += other.hidden;
        self.popped += other.popped;
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.back_after = self.back_after.max(other.back_after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_other_lines_are_not() {
        let line = r#"faults: {"fault": "a_crash", "strikes": 2, "messages": 100, "in_doubt": [1, 2, 3, 4], "hidden": 5,
            "popped": 6, "errors": {"Connection 57P01": 7}, "back_after": 80, "heard_after": 90, "grown": -1}"#;
        let mut tally = Tally::read(line).unwrap().unwrap();
        tally.add(&tally.clone());
        assert_eq!((tally.strikes, tally.messages, tally.in_doubt), (4, 200, [2, 4, 6, 8]));
        assert_eq!((tally.errors["Connection 57P01"], tally.back_after), (14, 80));
        assert!(Tally::read("test faults::a_crash ... ok").is_none());
        assert!(Tally::read("faults: none").unwrap().is_err());
    }
}
