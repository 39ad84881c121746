//! The messages of a lane that the machine knows by their claims alone.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::Utc;
use futures_util::future::AbortHandle;
use pgmq_core::{Claim, Move};

use crate::dead_letter::{Burial, buried_headers};
use crate::machine::command::Settlement;
use crate::meta::Meta;
use crate::shell::broker::Change;
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
    pub(crate) fn insert(&mut self, job: Arc<Meta>) {
        // A claim that is here already is that of a queue which was created again. The machine leaves the
        // second message to its lease.
        self.0.entry(job.claim()).or_insert(Held { job, kept: Kept::Nothing, abort: None });
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

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps a reason for a message that is buried without a verdict of its handler.
    pub(crate) fn exhaust(&mut self, claim: Claim) {
        if let Some(held) = self.0.get_mut(&claim)
            && !matches!(held.kept, Kept::Burial(_))
        {
            held.kept = Kept::Burial(Burial::unfinished(&held.job));
        }
    }

    /// The change of a settlement, with all that its statement needs.
    pub(crate) fn change(&self, what: &Settlement, dead_letter_queue: &str, queue: &str) -> Change {
        match what {
            Settlement::Delete(claims) => Change::Delete(ids(claims)),
            Settlement::Archive(claims) => Change::Archive(ids(claims)),
            Settlement::Hold(holds) => Change::Hold(holds.clone()),
            Settlement::Resend { claims, after } => {
                let moves = claims.iter().map(|claim| self.resent(*claim)).collect();
                Change::Move { to: queue.to_owned(), moves, after: *after }
            }
            Settlement::Bury(claims) => {
                let moves = claims.iter().map(|claim| self.buried(*claim)).collect();
                Change::Move { to: dead_letter_queue.to_owned(), moves, after: std::time::Duration::ZERO }
            }
            Settlement::Forward(claim) => match self.0.get(claim).map(|held| &held.kept) {
                Some(Kept::Forward { to, message, options }) => Change::Forward {
                    claim: *claim,
                    to: to.clone(),
                    message: message.clone(),
                    options: options.clone(),
                },
                // The verdict came with the message, so this is not reached. The message comes again.
                _ => Change::Hold(vec![(*claim, std::time::Duration::ZERO)]),
            },
        }
    }

    /// The claims of a settlement.
    pub(crate) fn claims_of(&self, what: &Settlement) -> Vec<Claim> {
        match what {
            Settlement::Hold(holds) => holds.iter().map(|(claim, _)| *claim).collect(),
            Settlement::Delete(claims)
            | Settlement::Archive(claims)
            | Settlement::Resend { claims, .. }
            | Settlement::Bury(claims) => claims.clone(),
            Settlement::Forward(claim) => vec![*claim],
        }
    }

    fn resent(&self, claim: Claim) -> Move {
        match self.0.get(&claim).map(|held| &held.kept) {
            Some(Kept::Headers(headers)) => Move::new(claim).headers(headers),
            _ => Move::new(claim),
        }
    }

    fn buried(&self, claim: Claim) -> Move {
        let Some(Held { job, kept, .. }) = self.0.get(&claim) else { return Move::new(claim) };
        match kept {
            Kept::Burial(burial) => Move::new(claim).headers(&buried_headers(job, burial, Utc::now())),
            _ => {
                let burial = Burial::unfinished(job);
                Move::new(claim).headers(&buried_headers(job, &burial, Utc::now()))
            }
        }
    }
}

fn ids(claims: &[Claim]) -> Vec<i64> {
    claims.iter().map(|claim| claim.msg_id).collect()
}
