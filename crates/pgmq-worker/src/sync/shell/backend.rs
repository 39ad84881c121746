//! The database of a sync back end.

use std::time::Duration;

use pgmq_core::{Claim, Listen, Message, Notification, NotifyOptions, Queue, RawJson};

use crate::shell::broker::Throttles;
use crate::shell::change::Change;
use crate::shell::fault::DatabaseError;
use crate::sync::shell::broker::{Broker, Listener};

/// A queue of a sync back end.
pub(crate) struct Backend<Q>(pub(crate) Q);

impl<Q: Listen + Send + Sync> Broker for Backend<Q> {
    fn claim(&self, queue: &str, qty: usize, vt: Duration) -> Result<Vec<Message<RawJson>>, DatabaseError> {
        let qty = u32::try_from(qty).unwrap_or(u32::MAX);
        self.0.read_batch::<RawJson>(queue, vt, qty).map_err(DatabaseError::new)
    }

    fn settle(&self, queue: &str, change: &Change) -> Result<Vec<i64>, DatabaseError> {
        settle(&self.0, queue, change).map_err(DatabaseError::new)
    }

    fn extend(&self, queue: &str, claims: &[Claim], vt: Duration) -> Result<Vec<i64>, DatabaseError> {
        self.0.hold(queue, claims, vt).map_err(DatabaseError::new)
    }

    fn next_due(&self, queue: &str) -> Result<Option<Duration>, DatabaseError> {
        self.0.next_due(queue).map_err(DatabaseError::new)
    }

    fn exists(&self, queue: &str) -> Result<bool, DatabaseError> {
        self.0.queue_exists(queue).map_err(DatabaseError::new)
    }

    fn create(&self, queue: &str) -> Result<(), DatabaseError> {
        self.0.create_queue(queue).map_err(DatabaseError::new)
    }

    fn throttles(&self) -> Result<Throttles, DatabaseError> {
        let all = self.0.list_notify_throttles().map_err(DatabaseError::new)?;
        Ok(all.into_iter().map(|one| (one.queue_name, one.interval)).collect())
    }

    fn repair_notify(&self, queue: &str, throttle: Duration) -> Result<bool, DatabaseError> {
        self.0.repair_notify(queue, throttle).map_err(DatabaseError::new)
    }

    fn enable_notify(&self, queue: &str, throttle: Duration) -> Result<(), DatabaseError> {
        let options = NotifyOptions::new().throttle(throttle);
        self.0.enable_notify_with(queue, &options).map_err(DatabaseError::new)
    }

    fn listen(&self, queues: &[String]) -> Result<Box<dyn Listener>, DatabaseError> {
        let listener = self.0.listen(queues).map_err(DatabaseError::new)?;
        Ok(Box::new(Listening(listener)))
    }
}

/// Makes a change of messages, and returns the ids of those that were there.
pub(crate) fn settle<Q: Queue>(queue: &Q, name: &str, change: &Change) -> Result<Vec<i64>, Q::Error> {
    match change {
        Change::Delete(ids) => queue.delete_batch(name, ids),
        Change::Archive(ids) => queue.archive_batch(name, ids),
        Change::Hold(holds) => {
            let holds: Vec<_> = holds.iter().map(|(claim, after)| (*claim, (*after).into())).collect();
            queue.hold_each(name, &holds)
        }
        Change::Move { to, moves, after } => {
            let moved = queue.move_batch(name, to, moves, *after)?;
            Ok(moved.into_iter().map(|moved| moved.msg_id).collect())
        }
        Change::Forward { claim, to, message, options } => {
            let sent = queue.forward(name, *claim, to, message, options)?;
            Ok(sent.map(|_| claim.msg_id).into_iter().collect())
        }
    }
}

struct Listening<L>(L);

impl<L: pgmq_core::Listening + Send> Listener for Listening<L> {
    fn next(&mut self, time: Duration) -> Result<Option<Notification>, DatabaseError> {
        self.0.next_timeout(time).map_err(DatabaseError::new)
    }
}
