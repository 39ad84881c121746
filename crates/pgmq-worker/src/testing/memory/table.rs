//! The tables of one queue, and what PGMQ's functions do to them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) reads: i32,
    pub(super) enqueued_at: DateTime<Utc>,
    pub(super) last_read_at: Option<DateTime<Utc>>,
    pub(super) vt: DateTime<Utc>,
    pub(super) payload: Box<[u8]>,
    pub(super) headers: Option<Box<[u8]>>,
}

/// A message that is to be stored.
pub(super) struct New {
    pub(super) payload: Box<[u8]>,
    pub(super) headers: Option<Box<[u8]>>,
}

/// The notifications of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notify {
    pub(super) throttle_ms: i32,
    pub(super) last: DateTime<Utc>,
}

/// A queue, with its archive.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) created_at: DateTime<Utc>,
    pub(super) messages: BTreeMap<i64, Stored>,
    pub(super) archive: BTreeMap<i64, (Stored, DateTime<Utc>)>,
    pub(super) last_id: i64,
    pub(super) notify: Option<Notify>,
}

impl Table {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            created_at: now,
            messages: BTreeMap::new(),
            archive: BTreeMap::new(),
            last_id: 0,
            notify: None,
        }
    }

    /// Stores a message, and returns its id.
    pub(super) fn send(&mut self, new: New, visible_at: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
        self.last_id += 1;
        let New { payload, headers } = new;
        let stored =
            Stored { reads: 0, enqueued_at: now, last_read_at: None, vt: visible_at, payload, headers };
        self.messages.insert(self.last_id, stored);
        self.last_id
    }

    /// Returns `true` if an insert notifies now: the first one does, and the throttle silences those that
    /// follow.
    pub(super) fn notifies(&mut self, now: DateTime<Utc>) -> bool {
        let Some(notify) = &mut self.notify else { return false };
        let throttle = TimeDelta::milliseconds(notify.throttle_ms.into());
        let is_due = now.signed_duration_since(notify.last) >= throttle;
        if is_due {
            notify.last = now;
        }
        is_due
    }

    /// The ids of the messages that are visible, in their order.
    pub(super) fn visible(&self, qty: usize, now: DateTime<Utc>) -> Vec<i64> {
        let visible = self.messages.iter().filter(|(_, message)| message.vt <= now);
        visible.map(|(&id, _)| id).take(qty).collect()
    }

    /// Reads visible messages, which hides them.
    pub(super) fn read(&mut self, qty: usize, vt: i32, now: DateTime<Utc>) -> Vec<(i64, Stored)> {
        let ids = self.visible(qty, now);
        ids.into_iter().filter_map(|id| Some((id, self.read_one(id, vt, now)?))).collect()
    }

    /// Reads a message, visible or not.
    pub(super) fn read_one(&mut self, id: i64, vt: i32, now: DateTime<Utc>) -> Option<Stored> {
        let message = self.messages.get_mut(&id)?;
        message.reads = message.reads.saturating_add(1);
        message.last_read_at = Some(now);
        message.vt = later(now, vt.into());
        Some(message.clone())
    }

    /// Removes messages by their ids, and returns those that were there.
    pub(super) fn take(&mut self, ids: &[i64]) -> Vec<(i64, Stored)> {
        let mut taken: Vec<_> =
            ids.iter().filter_map(|id| self.messages.remove(id).map(|message| (*id, message))).collect();
        taken.sort_unstable_by_key(|(id, _)| *id);
        taken
    }

    /// Moves messages to the archive, and returns the ids of those that were there.
    pub(super) fn archive(&mut self, ids: &[i64], now: DateTime<Utc>) -> Vec<i64> {
        let taken = self.take(ids);
        taken
            .into_iter()
            .map(|(id, message)| {
                self.archive.insert(id, (message, now));
                id
            })
            .collect()
    }

    /// Returns `true` if the read is the last one of its message.
    pub(super) fn is_current(&self, id: i64, reads: i64) -> bool {
        self.messages.get(&id).is_some_and(|message| i64::from(message.reads) == reads)
    }

    /// Sets the time from which a message is visible. Returns `true` if it is there.
    pub(super) fn hide(&mut self, id: i64, vt: DateTime<Utc>) -> bool {
        self.messages.get_mut(&id).map(|message| message.vt = vt).is_some()
    }
}

/// The time after a number of seconds; the last time that there is if it does not fit.
pub(super) fn later(now: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    TimeDelta::try_seconds(seconds)
        .and_then(|seconds| now.checked_add_signed(seconds))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
