//! A queue as Postgres keeps it: visibility timeouts, numbers of reads, and ids that are never used twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgmq_core::Claim;

use crate::machine::command::Settlement;

/// A message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The time from which it is visible.
    pub(super) vt: Instant,
    /// The number of reads.
    pub(super) reads: i32,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// The messages.
    pub(super) rows: BTreeMap<i64, Row>,
    /// The last id.
    pub(super) last: i64,
    /// `true` while the queue does not exist.
    pub(super) is_missing: bool,
    /// The number of messages in the dead-letter queue.
    pub(super) buried: usize,
}

impl Server {
    /// Sends a message.
    pub(super) fn send(&mut self, vt: Instant) {
        self.last += 1;
        self.rows.insert(self.last, Row { vt, reads: 0 });
    }

    /// Reads visible messages.
    pub(super) fn read(&mut self, qty: usize, vt: Duration, now: Instant) -> Vec<Claim> {
        let visible = self.rows.iter_mut().filter(|(_, row)| row.vt <= now).take(qty);
        let read = visible.map(|(&id, row)| {
            row.reads += 1;
            row.vt = now + vt;
            Claim::new(id, row.reads)
        });
        read.collect()
    }

    /// The time until the next message becomes visible.
    pub(super) fn next_due(&self, now: Instant) -> Option<Duration> {
        self.rows.values().map(|row| row.vt.saturating_duration_since(now)).min()
    }

    /// The message, if the claim is current.
    fn current(&mut self, claim: Claim) -> Option<&mut Row> {
        self.rows.get_mut(&claim.msg_id).filter(|row| row.reads == claim.read_ct)
    }

    /// Extends leases.
    pub(super) fn extend(&mut self, claims: &[Claim], vt: Duration, now: Instant) -> Vec<i64> {
        let held = claims.iter().filter(|&&claim| self.current(claim).map(|row| row.vt = now + vt).is_some());
        held.map(|claim| claim.msg_id).collect()
    }

    /// Settles messages.
    pub(super) fn settle(&mut self, what: &Settlement, now: Instant) -> Vec<i64> {
        match what {
            Settlement::Delete(claims) | Settlement::Archive(claims) => {
                let ids = claims.iter().map(|claim| claim.msg_id);
                ids.filter(|id| self.rows.remove(id).is_some()).collect()
            }
            Settlement::Hold(each) => {
                let held = each
                    .iter()
                    .filter(|(claim, time)| self.current(*claim).map(|row| row.vt = now + *time).is_some());
                held.map(|(claim, _)| claim.msg_id).collect()
            }
            Settlement::Resend { claims, after } => {
                let gone = self.take(claims);
                gone.iter().for_each(|_| self.send(now + *after));
                gone
            }
            Settlement::Bury(claims) => {
                let gone = self.take(claims);
                self.buried += gone.len();
                gone
            }
            Settlement::Forward(claim) => self.take(&[*claim]),
        }
    }

    /// Removes the messages whose claims are current.
    fn take(&mut self, claims: &[Claim]) -> Vec<i64> {
        let ids = claims.iter().filter(|&&claim| self.current(claim).is_some()).map(|claim| claim.msg_id);
        let ids: Vec<i64> = ids.collect();
        self.rows.retain(|id, _| !ids.contains(id));
        ids
    }

    /// Drops the queue and creates it: ids begin at 1 once more.
    pub(super) fn recreate(&mut self) {
        self.rows.clear();
        self.last = 0;
        self.is_missing = false;
    }
}
