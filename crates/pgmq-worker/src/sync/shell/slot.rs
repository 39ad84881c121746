//! The slots of a sync lane: threads that run one handler after the other.

use std::sync::Arc;

use async_channel::Sender;

use crate::machine::event::Event;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::shell::ending::decide;
use crate::shell::lane::{Lane, Slots};
use crate::shell::requests::Work;
use crate::sync::erased::Registered;
use crate::sync::shell::limit::receive;
use crate::sync::shell::spawn::spawn;

/// The slots of a lane.
pub(crate) struct Threads {
    pub(crate) handler: Registered,
}

impl Slots for Threads {
    fn add(&self, lane: &Arc<Lane>) -> bool {
        let (lane, handler, alive) = (Arc::clone(lane), self.handler.clone(), lane.channels.alive());
        let clock = lane.clock().clone();
        spawn(&clock, "pgmq-slot", move || run(&lane, &handler, alive)).is_ok()
    }

    fn can_abort(&self) -> bool {
        false
    }
}

/// Runs the handlers of a lane until the lane has stopped.
fn run(lane: &Arc<Lane>, handler: &Registered, mut alive: Option<Sender<()>>) {
    let mut dice = lane.clock().dice();
    let mut work = lane.woken().work;
    loop {
        let Some(Work { jobs, .. }) = work else {
            if receive(lane.clock(), &lane.channels.starts.1).is_err() {
                return;
            }
            work = lane.woken().work;
            continue;
        };
        // A stop does not wait for code of the user, which may never end.
        drop(alive.take());
        let begun = lane.begin(&jobs);
        let outcomes = handle(lane, handler, &jobs);
        lane.handled(&jobs, begun);
        let decided = jobs.iter().zip(outcomes).map(|(job, outcome)| {
            decide(&lane.parts.settings, job, outcome, || handler.rules(job), &mut dice)
        });
        let endings = decided.collect();
        alive = lane.channels.alive();
        work = lane.returned(endings).work;
    }
}

fn handle(lane: &Arc<Lane>, handler: &Registered, jobs: &[Arc<Meta>]) -> Vec<Outcome> {
    match handler {
        Registered::One(handler) => {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs {
                if let Some(timeout) = handler.rules(job).and_then(|rules| rules.timeout) {
                    lane.tell(Event::Timeout { claim: job.claim(), timeout });
                }
                outcomes.push(handler.handle(Arc::clone(job)));
            }
            outcomes
        }
        Registered::Batch(handler) => handler.handle_batch(jobs.to_vec()),
    }
}
