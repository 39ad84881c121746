//! The tasks that talk to the database for a lane: two read, two settle, one extends leases, so that a slow
//! settlement never keeps a lease from being extended.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use futures_util::future::{Either, select};
use log::{error, warn};
use pgmq_core::ErrorKind;

use crate::chain::Chain;
use crate::machine::command::Look;
use crate::machine::event::Event;
use crate::panics::caught;
use crate::shell::broker::Broker;
use crate::shell::change::Change;
use crate::shell::fault::{DatabaseError, Failed};
use crate::shell::lane::Lane;
use crate::shell::limit::Timer;
use crate::shell::requests::Settling;
use crate::shell::spawn::Spawner;
use crate::shell::turn::next_turn;

/// The number of tasks that look at the queue.
const LOOKERS: usize = 2;
/// The number of tasks that settle.
const SETTLERS: usize = 2;
/// The limit of a call. A call that takes longer is dropped, and counts as in doubt.
const LIMIT: Duration = Duration::from_secs(20);
/// The limits of an extension, which is a sixth of the visibility timeout: two extensions may fail.
const SHORTEST_BEAT: Duration = Duration::from_secs(1);
const LONGEST_BEAT: Duration = Duration::from_secs(10);

/// Spawns the tasks of a lane.
pub(crate) fn spawn(lane: &Arc<Lane>, broker: &Arc<dyn Broker>, spawner: &Spawner) {
    let (lane, broker, alive) = (|| Arc::clone(lane), || Arc::clone(broker), || lane.channels.alive());
    spawner.spawn(timer(lane(), alive()));
    spawner.spawn(beat(lane(), broker(), alive()));
    for _ in 0..LOOKERS {
        spawner.spawn(look(lane(), broker(), alive()));
    }
    for _ in 0..SETTLERS {
        spawner.spawn(settle(lane(), broker(), alive()));
    }
}

/// Lets the machine look at the clock when it asked for it.
async fn timer(lane: Arc<Lane>, _alive: Option<Sender<()>>) {
    let rearm = &lane.channels.rearm.1;
    let mut timer = Timer::new(lane.clock());
    loop {
        let is_open = match lane.tick() {
            Some(at) => match select(pin!(rearm.recv()), pin!(timer.until(at))).await {
                Either::Left((rearmed, _)) => rearmed.is_ok(),
                Either::Right(_) => true,
            },
            None => rearm.recv().await.is_ok(),
        };
        if !is_open {
            return;
        }
    }
}

async fn look(lane: Arc<Lane>, broker: Arc<dyn Broker>, _alive: Option<Sender<()>>) {
    let mut limit = Limit::new(&lane, LIMIT);
    while lane.channels.looks.1.recv().await.is_ok() {
        while let Some((look, asked)) = lane.next_look() {
            let queue = lane.queue();
            match look {
                Look::Claim { id, qty, vt } => {
                    match limit.call(&lane, "read", broker.claim(queue, qty, vt)).await {
                        Ok(messages) => lane.claimed(id, messages, qty, asked, vt),
                        Err(failed) => lane.claim_failed(id, &failed),
                    }
                }
                Look::Due => match limit.call(&lane, "look for messages", broker.next_due(queue)).await {
                    Ok(due) => lane.tell(Event::Due(due)),
                    Err(failed) => lane.due_failed(&failed),
                },
            }
        }
    }
}

async fn beat(lane: Arc<Lane>, broker: Arc<dyn Broker>, _alive: Option<Sender<()>>) {
    let limit = (lane.parts.settings.visibility_timeout() / 6).clamp(SHORTEST_BEAT, LONGEST_BEAT);
    let mut limit = Limit::new(&lane, limit);
    while lane.channels.extensions.1.recv().await.is_ok() {
        while let Some(beat) = lane.next_beat() {
            let extending = broker.extend(lane.queue(), &beat.claims, beat.vt);
            let answer = limit.call(&lane, "extend leases", extending).await;
            lane.extended(&beat, answer);
        }
    }
}

async fn settle(lane: Arc<Lane>, broker: Arc<dyn Broker>, _alive: Option<Sender<()>>) {
    let mut limit = Limit::new(&lane, LIMIT);
    while lane.channels.settlements.1.recv().await.is_ok() {
        // Handlers that are about to end go into the same statement.
        next_turn().await;
        while let Some(settling) = lane.next_settlement() {
            let answer = limit.call(&lane, "settle messages", change(&lane, &*broker, &settling)).await;
            lane.settled(&settling, answer);
        }
    }
}

/// Settles. A dead-letter queue that is missing is created first.
async fn change(lane: &Lane, broker: &dyn Broker, settling: &Settling) -> Result<Vec<i64>, DatabaseError> {
    let source = &lane.parts.source;
    let change = Change::of(settling, source);
    match broker.settle(&source.queue, &change).await {
        Err(error) if error.kind() == ErrorKind::QueueNotFound => match &change {
            Change::Move { to, .. } if **to == *source.dead_letter_queue => {
                broker.create(to).await?;
                broker.settle(&source.queue, &change).await
            }
            _ => Err(error),
        },
        answer => answer,
    }
}

/// The limit of a task's calls.
struct Limit {
    time: Duration,
    timer: Timer,
}

impl Limit {
    fn new(lane: &Lane, time: Duration) -> Self {
        Self { time, timer: Timer::new(lane.clock()) }
    }

    /// Calls the database. The call ends within the limit, and when the lane has stopped.
    async fn call<T>(
        &mut self,
        lane: &Lane,
        what: &str,
        call: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, Failed> {
        let limit = self.time;
        let calling = pin!(self.timer.within(limit, caught(call)));
        let answer = match select(calling, pin!(lane.channels.stopped.1.recv())).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => return Err(Failed::Stopped),
        };
        match answer {
            Some(Ok(Ok(result))) => Ok(result),
            Some(Ok(Err(error))) => {
                warn!("queue {}: cannot {what}: {}", lane.queue(), Chain(&error));
                Err(Failed::Database(error))
            }
            // A panic of one call must not end the task, and with it the lane.
            Some(Err(panic)) => {
                error!("queue {}: cannot {what}: the back end panicked: {panic}", lane.queue());
                Err(Failed::NoAnswer)
            }
            None => {
                warn!("queue {}: cannot {what}: the server did not answer within {limit:?}", lane.queue());
                Err(Failed::NoAnswer)
            }
        }
    }
}
