//! The database as the async shell sees it: the few operations of a worker, without the type of the back end.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use pgmq_core::{Claim, Message, Notification, RawJson};

use crate::shell::change::Change;
use crate::shell::fault::DatabaseError;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The throttles of queues, by their names.
pub(crate) type Throttles = Vec<(String, Duration)>;

/// The operations of a worker.
pub(crate) trait Broker: Send + Sync {
    /// Reads messages.
    fn claim<'a>(
        &'a self,
        queue: &'a str,
        qty: usize,
        vt: Duration,
    ) -> BoxFuture<'a, Result<Vec<Message<RawJson>>, DatabaseError>>;

    /// Changes messages, and returns the ids of those that were there, and whose claim was current where it
    /// counts.
    fn settle<'a>(
        &'a self,
        queue: &'a str,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Vec<i64>, DatabaseError>>;

    /// Extends leases, and returns the ids of those that were current.
    fn extend<'a>(
        &'a self,
        queue: &'a str,
        claims: &'a [Claim],
        vt: Duration,
    ) -> BoxFuture<'a, Result<Vec<i64>, DatabaseError>>;

    /// The time until the next message becomes visible.
    fn next_due<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Option<Duration>, DatabaseError>>;

    /// Returns `true` if the queue exists.
    fn exists<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<bool, DatabaseError>>;

    /// Creates a queue, if it does not exist.
    fn create<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<(), DatabaseError>>;

    /// The throttle of the notifications of each queue that notifies.
    fn throttles(&self) -> BoxFuture<'_, Result<Throttles, DatabaseError>>;

    /// Gives a queue the throttle that a crash of the server has taken. Returns `true` if it was missing.
    fn repair_notify<'a>(
        &'a self,
        queue: &'a str,
        throttle: Duration,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>>;

    /// Makes a queue notify.
    fn enable_notify<'a>(
        &'a self,
        queue: &'a str,
        throttle: Duration,
    ) -> BoxFuture<'a, Result<(), DatabaseError>>;

    /// Listens to the queues.
    fn listen<'a>(&'a self, queues: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Listener>, DatabaseError>>;
}

/// A listener, without the type of the back end.
pub(crate) trait Listener: Send {
    /// Waits for the next notification.
    fn next(&mut self) -> BoxFuture<'_, Result<Notification, DatabaseError>>;
}
