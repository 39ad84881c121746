//! What a trial has counted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The numbers of a trial.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The fault.
    pub fault: String,
    /// How often it struck.
    pub strikes: u32,
    /// How many messages were sent and confirmed.
    pub messages: usize,
    /// How many calls were left in doubt: sends, reads, pops, and the rest.
    pub in_doubt: [u64; 4],
    /// How many messages a read in doubt had hidden. All of them came back.
    pub hidden: usize,
    /// How many messages a pop in doubt had lost.
    pub popped: usize,
    /// How many calls failed, by kind and SQLSTATE, or were given up.
    pub errors: BTreeMap<String, u64>,
    /// How long it took at most until every worker worked again, in milliseconds.
    pub back_after: u64,
    /// How long it took at most until the listener heard again, in milliseconds.
    pub heard_after: u64,
    /// By how many KiB the process had grown between the first fault and the end.
    pub grown: i64,
}

impl Tally {
    /// Adds the numbers of another trial; of times, the longer one counts.
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
