//! A slot: a task that runs one handler after the other.

use std::sync::Arc;

use async_channel::Sender;
use futures_util::future::Abortable;
use log::{debug, warn};
use pgmq_core::Claim;

use crate::erased::{Handle, Registered};
use crate::failure::{Failure, Reason};
use crate::machine::command::CancelReason;
use crate::machine::event::Event;
use crate::meta::Meta;
use crate::outcome::Outcome;
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
        let outcomes = Abortable::new(handle(&lane, &jobs), abort).await;
        let events = match outcomes {
            Ok(outcomes) => jobs
                .iter()
                .zip(outcomes)
                .map(|(job, outcome)| decide(&lane, job, outcome, &mut dice))
                .collect(),
            Err(_) => jobs.iter().map(|job| dropped(&lane, job, &mut dice)).collect(),
        };
        lane.returned(events);
    }
}

async fn handle(lane: &Lane, jobs: &[Arc<Meta>]) -> Vec<Outcome> {
    match &lane.parts.handler {
        Registered::One(handler) => {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs {
                outcomes.push(handle_in_time(lane, &**handler, job).await);
            }
            outcomes
        }
        Registered::Batch(handler) => handler.handle_batch(jobs.to_vec()).await,
    }
}

/// Runs a handler that has a timeout of its own, shorter than that of the queue.
async fn handle_in_time(lane: &Lane, handler: &dyn Handle, job: &Arc<Meta>) -> Outcome {
    let mut handling = handler.handle(Arc::clone(job));
    let Some(timeout) = handler.rules(job).and_then(|rules| rules.timeout) else { return handling.await };
    if let Some(outcome) = within(timeout, &mut handling).await {
        return outcome;
    }
    job.cancel(CancelReason::TimedOut);
    match within(lane.parts.settings.grace_of_handlers(), handling).await {
        Some(outcome) => outcome,
        None => timed_out(),
    }
}

fn timed_out() -> Outcome {
    let why = "the handler did not end within its timeout and the grace after it";
    Failure::from(why).because(Reason::Timeout).into()
}

/// The event of a message whose handler was dropped: by the stop of the worker, or because it had not ended
/// in time.
fn dropped(lane: &Lane, job: &Arc<Meta>, dice: &mut Dice) -> (Claim, Kept, Event) {
    match job.cancel_reason() {
        Some(CancelReason::TimedOut) => decide(lane, job, timed_out(), dice),
        _ => {
            let claim = job.claim();
            (claim, Kept::Nothing, Event::Abandoned { claim, is_stopped: true })
        }
    }
}

fn decide(lane: &Lane, job: &Arc<Meta>, outcome: Outcome, dice: &mut Dice) -> (Claim, Kept, Event) {
    let ruling = rule(outcome, job, lane.parts.settings.policy(lane.parts.handler.rules(job)), dice);
    if let Some(failure) = &ruling.failure {
        warn!("queue {}: message {} failed: {failure}", job.queue(), job.id());
    } else {
        debug!("queue {}: message {} ends as {:?}", job.queue(), job.id(), ruling.verdict);
    }
    let claim = job.claim();
    (claim, ruling.kept, Event::Returned { claim, verdict: ruling.verdict })
}
