//! A slot: a task that runs one handler after the other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use futures_util::future::{Abortable, Either, select};
use log::{debug, error, warn};
use pgmq_core::Claim;

use crate::erased::Registered;
use crate::failure::{Failure, Reason};
use crate::machine::command::CancelReason;
use crate::machine::event::{Event, Verdict};
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::{caught, caught_in};
use crate::retry::Dice;
use crate::shell::lane::Lane;
use crate::shell::limit::within;
use crate::shell::requests::Work;
use crate::verdict::{Kept, rule};

/// Adds a slot to a lane.
pub(crate) fn add(lane: &Arc<Lane>) {
    lane.parts.spawner.spawn(run(Arc::clone(lane), lane.channels.alive()));
}

/// Runs the handlers of a lane until the lane has stopped.
async fn run(lane: Arc<Lane>, _alive: Option<Sender<()>>) {
    let mut dice = Dice::new(fastrand::u64(..));
    while let Ok(Work { jobs, abort }) = lane.channels.work.1.recv().await {
        // The handler's future is dropped inside of `caught`, since dropping it may panic as well.
        let ended = caught(async { Abortable::new(handle(&lane, &jobs), abort).await.ok() }).await;
        let outcomes = match ended {
            Ok(outcomes) => outcomes,
            Err(panic) => Some(jobs.iter().map(|_| Outcome::from(panic.clone())).collect()),
        };
        let events = match outcomes {
            Some(outcomes) => jobs
                .iter()
                .zip(outcomes)
                .map(|(job, outcome)| decide(&lane, job, outcome, &mut dice))
                .collect(),
            // The stop has dropped the handler.
            None => jobs.iter().map(|job| released(job)).collect(),
        };
        lane.returned(events);
    }
}

/// Runs the handler, and drops it if it does not end in time after it was cancelled.
async fn handle(lane: &Arc<Lane>, jobs: &[Arc<Meta>]) -> Vec<Outcome> {
    let handling = pin!(async {
        match &lane.parts.handler {
            Registered::One(handler) => {
                let mut outcomes = Vec::with_capacity(jobs.len());
                for job in jobs {
                    if let Some(timeout) = handler.rules(job).and_then(|rules| rules.timeout) {
                        lane.tell(Event::Timeout { claim: job.claim(), timeout });
                    }
                    outcomes.push(handler.handle(Arc::clone(job)).await);
                }
                outcomes
            }
            Registered::Batch(handler) => handler.handle_batch(jobs.to_vec()).await,
        }
    });
    let handling = match select(handling, pin!(cancelled(jobs))).await {
        Either::Left((outcomes, _)) => return outcomes,
        Either::Right(((), handling)) => handling,
    };
    if jobs.iter().any(|job| job.cancel_reason() == Some(CancelReason::Shutdown)) {
        // The stop has a grace of its own, at the end of which it drops the handler.
        return handling.await;
    }
    match within(lane.parts.settings.grace_of_handlers(), handling).await {
        Some(outcomes) => outcomes,
        None => jobs.iter().map(|job| dropped(job)).collect(),
    }
}

/// Waits until all messages of a call are cancelled.
async fn cancelled(jobs: &[Arc<Meta>]) {
    for job in jobs {
        job.cancelled().await;
    }
}

/// The outcome of a message whose handler was dropped because it did not end in time.
fn dropped(job: &Meta) -> Outcome {
    error!("queue {}: the handler of message {} did not end, and is dropped", job.queue(), job.id());
    match job.cancel_reason() {
        Some(CancelReason::TimedOut) => {
            let why = "the handler did not end within its timeout and the grace after it";
            Failure::from(why).because(Reason::Timeout).into()
        }
        // Another worker has the message.
        _ => Outcome::retry(),
    }
}

/// The event of a message whose handler the stop has dropped: another worker may begin at once.
fn released(job: &Meta) -> (Claim, Kept, Event) {
    let claim = job.claim();
    (claim, Kept::Nothing, Event::Returned { claim, verdict: Verdict::Hold(Duration::ZERO) })
}

fn decide(lane: &Lane, job: &Arc<Meta>, outcome: Outcome, dice: &mut Dice) -> (Claim, Kept, Event) {
    let ruling = caught_in(|| {
        let ruling = rule(outcome, job, lane.parts.settings.policy(lane.parts.handler.rules(job)), dice);
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
