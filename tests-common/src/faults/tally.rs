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
    /// How many messages were sent, confirmed or in doubt.
    pub messages: u64,
    /// How many calls were left in doubt: sends, reads, pops, and the rest.
    pub in_doubt: [u64; 4],
    /// How many messages a read in doubt had hidden. All of them came back.
    pub hidden: usize,
    /// How many messages a pop in doubt had lost.
    pub popped: usize,
    /// How many calls failed, by kind and SQLSTATE, or were given up.
    pub errors: BTreeMap<String, u64>,
    /// How long it took at most until every worker worked again, in milliseconds.
    pub back_after: u128,
    /// How long it took at most until the listener heard again, in milliseconds.
    pub heard_after: u128,
    /// By how many KiB the process had grown between the first fault and the end.
    pub grown: i64,
}
