//! The tasks that talk to the database for a lane: one reads, two settle, one extends leases, so that a slow
//! settlement never keeps a lease from being extended.

use std::sync::Arc;
use std::time::Duration;

use async_channel::Sender;
use futures_util::future::{Either, select};
use pgmq_core::ErrorKind;

use crate::machine::event::{Event, Fault};
use crate::shell::broker::Change;
use crate::shell::fault::DatabaseError;
use crate::shell::lane::{Lane, Parts};
use crate::shell::limit::{until, within};
use crate::shell::requests::{Look, Settling};

/// The number of tasks that settle.
const SETTLERS: usize = 2;
/// The shortest limit of a call. A call that takes longer is dropped, and counts as in doubt.
const SHORTEST_LIMIT: Duration = Duration::from_secs(10);

/// Spawns the tasks of a lane.
pub(crate) fn spawn(lane: &Arc<Lane>) {
    let limit = lane.parts.settings.visibility_timeout().max(SHORTEST_LIMIT);
    let (spawner, alive) = (&lane.parts.spawner, || lane.channels.alive());
    spawner.spawn(timer(Arc::clone(lane), alive()));
    spawner.spawn(look(Arc::clone(lane), alive(), limit));
    spawner.spawn(beat(Arc::clone(lane), alive(), limit));
    for _ in 0..SETTLERS {
        spawner.spawn(settle(Arc::clone(lane), alive(), limit));
    }
}

/// Lets the machine look at the clock when it asked for it.
async fn timer(lane: Arc<Lane>, _alive: Option<Sender<()>>) {
    let rearm = &lane.channels.rearm.1;
    loop {
        let is_open = match lane.tick() {
            Some(at) => {
                let (rearmed, time) = (std::pin::pin!(rearm.recv()), std::pin::pin!(until(at)));
                match select(rearmed, time).await {
                    Either::Left((rearmed, _)) => rearmed.is_ok(),
                    Either::Right(_) => true,
                }
            }
            None => rearm.recv().await.is_ok(),
        };
        if !is_open {
            return;
        }
    }
}

async fn look(lane: Arc<Lane>, _alive: Option<Sender<()>>, limit: Duration) {
    while let Ok(look) = lane.channels.looks.1.recv().await {
        let queue = lane.queue();
        match look {
            Look::Claim { qty, vt, asked } => {
                match within(limit, lane.parts.broker.claim(queue, qty, vt)).await {
                    Some(Ok(messages)) => lane.claimed(messages, asked, vt),
                    failed => lane.tell(Event::ClaimFailed(fault(&lane, "read", failed))),
                }
            }
            Look::Due => match within(limit, lane.parts.broker.next_due(queue)).await {
                Some(Ok(due)) => lane.tell(Event::Due(due)),
                failed => lane.tell(Event::DueFailed(fault(&lane, "look for messages", failed))),
            },
        }
    }
}

async fn beat(lane: Arc<Lane>, _alive: Option<Sender<()>>, limit: Duration) {
    while let Ok(beat) = lane.channels.beats.1.recv().await {
        let extending = lane.parts.broker.extend(lane.queue(), &beat.claims, beat.vt);
        let answer = match within(limit, extending).await {
            Some(Ok(alive)) => Some(alive),
            failed => {
                fault(&lane, "extend leases", failed);
                None
            }
        };
        lane.extended(&beat, answer);
    }
}

async fn settle(lane: Arc<Lane>, _alive: Option<Sender<()>>, limit: Duration) {
    while let Ok(settling) = lane.channels.changes.1.recv().await {
        let answer = match within(limit, change(&lane, &settling)).await {
            Some(Ok(hit)) => Ok(hit),
            failed => Err(fault(&lane, "settle messages", failed)),
        };
        lane.settled(&settling, answer);
    }
}

/// Settles. A dead-letter queue that is missing is created first.
async fn change(lane: &Lane, settling: &Settling) -> Result<Vec<i64>, DatabaseError> {
    let Parts { source, broker, .. } = &lane.parts;
    match broker.settle(&source.queue, &settling.change).await {
        Err(error) if error.kind() == ErrorKind::QueueNotFound => match &settling.change {
            Change::Move { to, .. } if **to == *source.dead_letter_queue => {
                broker.create(to).await?;
                broker.settle(&source.queue, &settling.change).await
            }
            _ => Err(error),
        },
        answer => answer,
    }
}

/// Logs a failure, and says if it passes by itself.
fn fault<T>(lane: &Lane, what: &str, failed: Option<Result<T, DatabaseError>>) -> Fault {
    match failed {
        Some(Err(error)) => {
            lane.log(what, &error);
            error.fault()
        }
        _ => {
            log::warn!("queue {}: cannot {what}: the server did not answer in time", lane.queue());
            Fault::Transient
        }
    }
}
