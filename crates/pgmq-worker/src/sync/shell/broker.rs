//! The database as the sync shell sees it: the few operations of a worker, without the type of the back end.

use std::time::Duration;

use pgmq_core::{Claim, Message, Notification, RawJson};

use crate::shell::broker::Throttles;
use crate::shell::change::Change;
use crate::shell::fault::DatabaseError;

/// The operations of a worker. They block.
pub(crate) trait Broker: Send + Sync {
    /// Reads messages.
    fn claim(&self, queue: &str, qty: usize, vt: Duration) -> Result<Vec<Message<RawJson>>, DatabaseError>;

    /// Changes messages, and returns the ids of those that were there, and whose claim was current where it
    /// counts.
    fn settle(&self, queue: &str, change: &Change) -> Result<Vec<i64>, DatabaseError>;

    /// Extends leases, and returns the ids of those that were current.
    fn extend(&self, queue: &str, claims: &[Claim], vt: Duration) -> Result<Vec<i64>, DatabaseError>;

    /// The time until the next message becomes visible.
    fn next_due(&self, queue: &str) -> Result<Option<Duration>, DatabaseError>;

    /// Returns `true` if the queue exists.
    fn exists(&self, queue: &str) -> Result<bool, DatabaseError>;

    /// Creates a queue, if it does not exist.
    fn create(&self, queue: &str) -> Result<(), DatabaseError>;

    /// The throttle of the notifications of each queue that notifies.
    fn throttles(&self) -> Result<Throttles, DatabaseError>;

    /// Gives a queue the throttle that a crash of the server has taken. Returns `true` if it was missing.
    fn repair_notify(&self, queue: &str, throttle: Duration) -> Result<bool, DatabaseError>;

    /// Makes a queue notify.
    fn enable_notify(&self, queue: &str, throttle: Duration) -> Result<(), DatabaseError>;

    /// Listens to the queues.
    fn listen(&self, queues: &[String]) -> Result<Box<dyn Listener>, DatabaseError>;
}

/// A listener, without the type of the back end.
pub(crate) trait Listener: Send {
    /// Waits for the next notification; `None` if there is none within this time.
    fn next(&mut self, time: Duration) -> Result<Option<Notification>, DatabaseError>;
}
