//! Extending leases while their messages wait, run or are finished and not yet settled.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::command::{BatchId, Extend};
use crate::machine::flight::Flight;
use crate::machine::message::{State, Upkeep};
use crate::machine::store::Key;
use crate::machine::time::{after, backoff};

/// The number of messages of one extension at most.
const MOST: usize = 1_000;
/// The wait after a first failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The extension in flight, and the failures before it.
#[derive(Debug, Default)]
pub(super) struct Beats {
    /// The extension in flight.
    in_flight: Option<Beat>,
    /// The time before which no other is tried, after a failure.
    not_before: Option<Instant>,
    /// The number of failures in a row.
    failures: u32,
}

/// An extension in flight.
#[derive(Debug)]
struct Beat {
    /// Its number.
    id: BatchId,
    /// The time at which it was given.
    asked: Instant,
    /// The messages.
    keys: Vec<Key>,
}

impl Beats {
    /// The time of the next beat, unless one is in flight.
    pub(super) fn next_at(&self, flight: &Flight) -> Option<Instant> {
        if self.in_flight.is_some() {
            return None;
        }
        // A third after the lease began, so that two more beats may fail.
        let due = flight.kept.first()?.checked_sub(flight.config.vt * 2 / 3)?;
        Some(self.not_before.map_or(due, |at| due.max(at)))
    }

    /// The next extension, if one is due. All that would be due soon go along.
    pub(super) fn next(&mut self, flight: &mut Flight, now: Instant) -> Option<Extend> {
        if self.next_at(flight)? > now {
            return None;
        }
        let vt = flight.config.vt;
        let mut keys = Vec::new();
        let mut claims = Vec::new();
        for (end, key) in flight.kept.until(now + vt * 5 / 6) {
            let Some(message) = flight.store.get_mut(key) else { continue };
            if message.upkeep == Upkeep::Kept && message.expires == end && !message.is_extending {
                message.is_extending = true;
                keys.push(key);
                claims.push(message.claim);
                if keys.len() == MOST {
                    break;
                }
            }
        }
        let id = flight.batch();
        self.in_flight = Some(Beat { id, asked: now, keys });
        Some(Extend { batch: id, claims, vt })
    }

    /// Extends the leases of the messages that are alive. Returns `true` if the answer was awaited.
    pub(super) fn extended(&mut self, flight: &mut Flight, id: BatchId, alive: &[i64], now: Instant) -> bool {
        let Some(beat) = self.remove(id) else { return false };
        self.failures = 0;
        self.not_before = None;
        let end = after(beat.asked, flight.config.vt);
        let alive: Option<HashSet<i64>> =
            (alive.len() != beat.keys.len()).then(|| alive.iter().copied().collect());
        for key in beat.keys {
            let Some(message) = flight.store.get_mut(key) else { continue };
            message.is_extending = false;
            let (Claim { msg_id, .. }, upkeep) = (message.claim, message.upkeep);
            if alive.as_ref().is_some_and(|alive| !alive.contains(&msg_id)) {
                flight.lose(key, now);
            } else if matches!(upkeep, Upkeep::Kept | Upkeep::Left) {
                flight.set_lease(key, upkeep, end);
            }
        }
        true
    }

    /// Tries again later. Returns `true` if the answer was awaited.
    pub(super) fn failed(&mut self, flight: &mut Flight, id: BatchId, now: Instant) -> bool {
        let Some(beat) = self.remove(id) else { return false };
        for key in beat.keys {
            if let Some(message) = flight.store.get_mut(key) {
                message.is_extending = false;
            }
        }
        self.failures = self.failures.saturating_add(1);
        // Often enough to have several attempts before the leases end.
        let wait = backoff(FIRST_WAIT, self.failures, flight.config.vt / 12);
        self.not_before = Some(after(now, wait));
        true
    }

    /// Removes the extension that was answered.
    fn remove(&mut self, id: BatchId) -> Option<Beat> {
        self.in_flight.take_if(|beat| beat.id == id)
    }

    /// Returns `true` if the message may start: its lease lasts, even if the next beat fails.
    pub(super) fn is_fresh(flight: &Flight, key: Key, now: Instant) -> bool {
        let message = flight.store.get(key);
        message.is_some_and(|m| m.state == State::Ready && m.expires > now + flight.config.vt / 3)
    }
}
