//! The messages of a lane that the machine knows by their claims alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::AbortHandle;
use pgmq_core::Claim;

use crate::dead_letter::Burial;
use crate::machine::command::Settlement;
use crate::meta::Meta;
use crate::verdict::Kept;

/// A message in flight.
pub(crate) struct Held {
    pub(crate) job: Arc<Meta>,
    /// The things that its settlement needs.
    pub(crate) kept: Kept,
    /// Stops its handler, if that runs.
    pub(crate) abort: Option<AbortHandle>,
}

/// The messages in flight, by their claims.
#[derive(Default)]
pub(crate) struct HeldMessages(HashMap<Claim, Held>);

impl HeldMessages {
    pub(crate) fn extend(&mut self, jobs: impl IntoIterator<Item = Arc<Meta>>) {
        for job in jobs {
            // A claim that is here already is that of a queue which was created again. The machine leaves the
            // second message to its lease.
            self.0.entry(job.claim()).or_insert(Held { job, kept: Kept::Nothing, abort: None });
        }
    }

    pub(crate) fn get(&self, claim: Claim) -> Option<&Held> {
        self.0.get(&claim)
    }

    pub(crate) fn get_mut(&mut self, claim: Claim) -> Option<&mut Held> {
        self.0.get_mut(&claim)
    }

    pub(crate) fn remove(&mut self, claim: Claim) {
        self.0.remove(&claim);
    }

    /// Removes messages, and returns them.
    pub(crate) fn take(&mut self, claims: &[Claim]) -> Vec<Held> {
        claims.iter().filter_map(|claim| self.0.remove(claim)).collect()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The time by which an extension of these leases is late: the machine extends a lease when a third of it
    /// is over.
    pub(crate) fn lateness(&self, claims: &[Claim], vt: Duration) -> Duration {
        let left = claims.iter().filter_map(|claim| Some(self.0.get(claim)?.job.lease_left())).min();
        left.map_or(Duration::ZERO, |left| (vt * 2 / 3).saturating_sub(left))
    }

    /// Keeps a reason for a message that is buried without a verdict of its handler.
    pub(crate) fn exhaust(&mut self, claim: Claim) {
        if let Some(held) = self.0.get_mut(&claim)
            && !matches!(held.kept, Kept::Burial(_))
        {
            held.kept = Kept::Burial(Burial::unfinished(&held.job));
        }
    }

    /// The messages of a settlement, if its statement needs more than their claims.
    pub(crate) fn needed_by(&self, what: &Settlement) -> Vec<(Arc<Meta>, Kept)> {
        match what {
            Settlement::Delete(_) | Settlement::Archive(_) | Settlement::Hold(_) => Vec::new(),
            Settlement::Resend { .. } | Settlement::Bury(_) | Settlement::Forward(_) => {
                let held = what.claims().into_iter().filter_map(|claim| self.0.get(&claim));
                held.map(|held| (Arc::clone(&held.job), held.kept.clone())).collect()
            }
        }
    }
}
