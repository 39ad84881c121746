//! Deadlines, of which most are the same time away when they are set.

use std::collections::VecDeque;
use std::time::Instant;

use crate::machine::store::Key;

/// Deadlines in the order in which they end, which is mostly the order in which they are set.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The deadlines. Those of messages that have ended stay until they come to the front or are swept.
    queue: VecDeque<(Instant, Key)>,
}

impl Deadlines {
    /// Sets a deadline. Sweeps if most of the deadlines are void, so that a long timeout of quick handlers
    /// costs no memory.
    pub(super) fn set(&mut self, at: Instant, key: Key, live: usize, counts: impl Fn(Instant, Key) -> bool) {
        if self.queue.len() > 64 + 4 * live {
            self.queue.retain(|&(at, key)| counts(at, key));
        }
        match self.queue.back() {
            Some(&(last, _)) if last > at => {
                let place = self.queue.partition_point(|&(other, _)| other <= at);
                self.queue.insert(place, (at, key));
            }
            _ => self.queue.push_back((at, key)),
        }
    }

    /// Removes the first deadline if it is over.
    pub(super) fn next_over(&mut self, now: Instant) -> Option<(Instant, Key)> {
        match self.queue.front() {
            Some(&(at, key)) if at <= now => {
                self.queue.pop_front();
                Some((at, key))
            }
            _ => None,
        }
    }

    /// Removes void deadlines from the front.
    pub(super) fn trim(&mut self, counts: impl Fn(Instant, Key) -> bool) {
        while self.queue.front().is_some_and(|&(at, key)| !counts(at, key)) {
            self.queue.pop_front();
        }
    }

    /// The first deadline.
    pub(super) fn first(&self) -> Option<Instant> {
        self.queue.front().map(|&(at, _)| at)
    }
}
