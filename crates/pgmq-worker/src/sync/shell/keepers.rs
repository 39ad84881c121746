//! The threads that talk to the database for a lane: two read, two settle, one extends leases, so that a
//! slow settlement never keeps a lease from being extended.

use std::io;
use std::sync::Arc;

use async_channel::Sender;
use log::{error, warn};
use pgmq_core::ErrorKind;

use crate::chain::Chain;
use crate::machine::command::Look;
use crate::machine::event::Event;
use crate::panics::caught_in;
use crate::shell::change::Change;
use crate::shell::fault::{DatabaseError, Failed};
use crate::shell::lane::Lane;
use crate::shell::requests::Settling;
use crate::sync::shell::broker::Broker;
use crate::sync::shell::limit::{receive, wait};
use crate::sync::shell::spawn::spawn as spawn_thread;

/// The number of threads that look at the queue.
const LOOKERS: usize = 2;
/// The number of threads that settle.
const SETTLERS: usize = 2;

/// Spawns the threads of a lane.
pub(crate) fn spawn(lane: &Arc<Lane>, broker: &Arc<dyn Broker>) -> io::Result<()> {
    let keeper = || Keeper::new(lane, broker);
    let (timed, alive) = (Arc::clone(lane), lane.channels.alive());
    spawn_thread(lane.clock(), "pgmq-timer", move || timer(&timed, alive))?;
    let keeping = keeper();
    spawn_thread(lane.clock(), "pgmq-beat", move || beat(keeping))?;
    for _ in 0..LOOKERS {
        let keeping = keeper();
        spawn_thread(lane.clock(), "pgmq-look", move || look(keeping))?;
    }
    for _ in 0..SETTLERS {
        let keeping = keeper();
        spawn_thread(lane.clock(), "pgmq-settle", move || settle(keeping))?;
    }
    Ok(())
}

/// The things that a thread needs to talk to the database.
struct Keeper {
    lane: Arc<Lane>,
    broker: Arc<dyn Broker>,
    alive: Option<Sender<()>>,
}

impl Keeper {
    fn new(lane: &Arc<Lane>, broker: &Arc<dyn Broker>) -> Self {
        Self { lane: Arc::clone(lane), broker: Arc::clone(broker), alive: lane.channels.alive() }
    }

    /// Calls the database. A call cannot be dropped, so a stop does not wait for it: the thread counts as
    /// ended meanwhile.
    fn call<T>(
        &mut self,
        what: &str,
        call: impl FnOnce(&dyn Broker, &Lane) -> Result<T, DatabaseError>,
    ) -> Result<T, Failed> {
        self.alive = None;
        let answer = caught_in(|| call(&*self.broker, &self.lane));
        self.alive = self.lane.channels.alive();
        let queue = self.lane.queue();
        match answer {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                warn!("queue {queue}: cannot {what}: {}", Chain(&error));
                Err(Failed::Database(error))
            }
            // A panic of one call must not end the thread, and with it the lane.
            Err(panic) => {
                error!("queue {queue}: cannot {what}: the back end panicked: {panic}");
                Err(Failed::NoAnswer)
            }
        }
    }
}

/// Lets the machine look at the clock when it asked for it.
fn timer(lane: &Arc<Lane>, _alive: Option<Sender<()>>) {
    let rearm = &lane.channels.rearm.1;
    loop {
        let at = lane.tick();
        if wait(lane.clock(), at, rearm.recv()).is_some_and(|rearmed| rearmed.is_err()) {
            return;
        }
    }
}

fn look(mut keeper: Keeper) {
    let lane = Arc::clone(&keeper.lane);
    while receive(lane.clock(), &lane.channels.looks.1).is_ok() {
        while let Some((look, asked)) = lane.next_look() {
            match look {
                Look::Claim { id, qty, vt } => {
                    match keeper.call("read", |broker, lane| broker.claim(lane.queue(), qty, vt)) {
                        Ok(messages) => lane.claimed(id, messages, qty, asked, vt),
                        Err(failed) => lane.claim_failed(id, &failed),
                    }
                }
                Look::Due => {
                    match keeper.call("look for messages", |broker, lane| broker.next_due(lane.queue())) {
                        Ok(due) => lane.tell(Event::Due(due)),
                        Err(failed) => lane.due_failed(&failed),
                    }
                }
            }
        }
    }
}

fn beat(mut keeper: Keeper) {
    let lane = Arc::clone(&keeper.lane);
    while receive(lane.clock(), &lane.channels.extensions.1).is_ok() {
        while let Some(beat) = lane.next_beat() {
            let extend =
                |broker: &dyn Broker, lane: &Lane| broker.extend(lane.queue(), &beat.claims, beat.vt);
            let answer = keeper.call("extend leases", extend);
            lane.extended(&beat, answer);
        }
    }
}

fn settle(mut keeper: Keeper) {
    let lane = Arc::clone(&keeper.lane);
    while receive(lane.clock(), &lane.channels.settlements.1).is_ok() {
        while let Some(settling) = lane.next_settlement() {
            let answer = keeper.call("settle messages", |broker, lane| change(lane, broker, &settling));
            lane.settled(&settling, answer);
        }
    }
}

/// Settles. A dead-letter queue that is missing is created first.
fn change(lane: &Lane, broker: &dyn Broker, settling: &Settling) -> Result<Vec<i64>, DatabaseError> {
    let source = &lane.parts.source;
    let change = Change::of(settling, source);
    match broker.settle(&source.queue, &change) {
        Err(error) if error.kind() == ErrorKind::QueueNotFound => match &change {
            Change::Move { to, .. } if **to == *source.dead_letter_queue => {
                broker.create(to)?;
                broker.settle(&source.queue, &change)
            }
            _ => Err(error),
        },
        answer => answer,
    }
}
