//! The end of a handler, for the machine.

use std::time::Duration;

use log::{debug, error, warn};
use pgmq_core::Claim;

use crate::machine::event::{Event, Verdict};
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught_in;
use crate::queue::Queue;
use crate::retry::Dice;
use crate::rules::On;
use crate::verdict::{Kept, rule};

/// A message whose handler has ended, the things that its settlement needs, and the event.
pub(crate) type Ending = (Claim, Kept, Event);

/// Decides on a message whose handler has ended, by the rules of the handler and of the queue.
pub(crate) fn decide<'a>(
    settings: &Queue,
    job: &Meta,
    outcome: Outcome,
    rules: impl FnOnce() -> Option<&'a On>,
    dice: &mut Dice,
) -> Ending {
    let ruling = caught_in(|| {
        let ruling = rule(outcome, job, settings.policy(rules()), dice);
        match &ruling.failure {
            Some(failure) => warn!("queue {}: message {} failed: {failure}", job.queue(), job.id()),
            None => debug!("queue {}: message {} ends as {:?}", job.queue(), job.id(), ruling.verdict),
        }
        ruling
    });
    match ruling {
        Ok(ruling) => {
            let claim = job.claim();
            (claim, ruling.kept, Event::Returned { claim, verdict: ruling.verdict })
        }
        // The text of an error panics. The lease is left to the next worker.
        Err(panic) => {
            error!("queue {}: message {}: {panic}", job.queue(), job.id());
            released(job)
        }
    }
}

/// The event of a message whose handler has no outcome: another worker may begin at once.
pub(crate) fn released(job: &Meta) -> Ending {
    let claim = job.claim();
    (claim, Kept::Nothing, Event::Returned { claim, verdict: Verdict::Hold(Duration::ZERO) })
}
