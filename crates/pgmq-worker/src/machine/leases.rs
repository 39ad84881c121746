//! Leases, grouped by the time at which they end: the messages of one claim or one extension end together.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::machine::store::Key;

/// Leases by their end.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// The leases that end at the same time.
    ends: BTreeMap<Instant, Group>,
}

/// Leases that end at the same time.
#[derive(Debug, Default)]
struct Group {
    /// The number of leases that count.
    live: usize,
    /// The messages, with some whose lease is no longer in the group, or is in it twice.
    keys: Vec<Key>,
}

impl Leases {
    /// Adds a lease.
    pub(super) fn add(&mut self, end: Instant, key: Key) {
        let group = self.ends.entry(end).or_default();
        group.live += 1;
        group.keys.push(key);
    }

    /// Removes a lease.
    pub(super) fn remove(&mut self, end: Instant) {
        if let Some(group) = self.ends.get_mut(&end) {
            group.live -= 1;
            if group.live == 0 {
                self.ends.remove(&end);
            }
        }
    }

    /// The first end.
    pub(super) fn first(&self) -> Option<Instant> {
        self.ends.first_key_value().map(|(&end, _)| end)
    }

    /// The messages whose leases end by then, with some others: the caller has to look at each.
    pub(super) fn until(&self, end: Instant) -> Vec<(Instant, Key)> {
        let groups = self.ends.range(..=end);
        groups.flat_map(|(&end, group)| group.keys.iter().map(move |&key| (end, key))).collect()
    }
}
