//! The slots of an async lane: tasks that run one handler after the other.

use std::pin::pin;
use std::sync::Arc;

use async_channel::Sender;
use futures_util::future::{Abortable, Either, select};
use log::error;

use crate::erased::Registered;
use crate::failure::{Failure, Reason};
use crate::machine::command::CancelReason;
use crate::machine::event::Event;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::panics::caught;
use crate::shell::ending::{decide, released};
use crate::shell::lane::{Lane, Slots, Taken};
use crate::shell::limit::within;
use crate::shell::requests::Work;
use crate::shell::spawn::Spawner;
use crate::shell::turn::next_turn;

/// The number of handlers that a slot runs before it lets other tasks run.
const TURNS: u32 = 32;

/// The slots of a lane.
pub(crate) struct Tasks {
    pub(crate) handler: Registered,
    pub(crate) spawner: Spawner,
}

impl Slots for Tasks {
    fn add(&self, lane: &Arc<Lane>) -> bool {
        self.spawner.spawn(run(Arc::clone(lane), self.handler.clone(), lane.channels.alive()));
        true
    }

    fn can_abort(&self) -> bool {
        true
    }
}

/// Runs the handlers of a lane until the lane has stopped.
async fn run(lane: Arc<Lane>, handler: Registered, _alive: Option<Sender<()>>) {
    let mut dice = lane.clock().dice();
    let mut taken = lane.woken();
    let mut turns = 0_u32;
    loop {
        let Taken { work: Some(Work { jobs, abort }), has_woken } = taken else {
            if lane.channels.starts.1.recv().await.is_err() {
                return;
            }
            taken = lane.woken();
            continue;
        };
        // Handlers that never wait would keep the thread from the tasks that talk to the database, and one
        // that blocks it, from those that were woken just now.
        turns = turns.wrapping_add(1);
        if has_woken || turns.is_multiple_of(TURNS) {
            next_turn().await;
        }
        let begun = lane.begin(&jobs);
        // The handler's future is dropped inside of `caught`, since dropping it may panic as well.
        let ended = caught(async { Abortable::new(handle(&lane, &handler, &jobs), abort).await.ok() }).await;
        let outcomes = match ended {
            Ok(outcomes) => outcomes,
            Err(panic) => Some(jobs.iter().map(|_| Outcome::from(panic.clone())).collect()),
        };
        lane.handled(&jobs, begun);
        let events = match outcomes {
            Some(outcomes) => jobs
                .iter()
                .zip(outcomes)
                .map(|(job, outcome)| {
                    decide(&lane.parts.settings, job, outcome, || handler.rules(job), &mut dice)
                })
                .collect(),
            // The stop has dropped the handler.
            None => jobs.iter().map(|job| released(job)).collect(),
        };
        taken = lane.returned(events);
    }
}

/// Runs the handler, and drops it if it does not end in time after it was cancelled.
async fn handle(lane: &Arc<Lane>, handler: &Registered, jobs: &[Arc<Meta>]) -> Vec<Outcome> {
    let handling = pin!(async {
        match handler {
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
    match within(lane.clock(), lane.parts.settings.grace_of_handlers(), handling).await {
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
