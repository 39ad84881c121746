//! The trait of everything that is compared: a way to use PGMQ from Rust.

use std::future::Future;

use anyhow::Result;

use crate::payload::Order;

/// The queue of all clients.
pub(crate) const QUEUE: &str = "bench";

/// The visibility timeout in seconds: longer than any measurement.
pub(crate) const VT: u32 = 3600;

/// An insert into the table of the application, by a transaction that also sends.
pub(crate) const INSERT: &str = "INSERT INTO sales (customer) VALUES ($1::text)";

/// A connected client, which uses [`QUEUE`].
///
/// Blocking clients do their work before they return the future, which is then ready; see
/// [`Engine`](crate::engine::Engine).
pub(crate) trait BenchClient: Send + Sync + Sized + 'static {
    /// The message that a read returns.
    type Message: Received + Send;

    /// `true` if the client blocks the thread while it waits.
    const IS_BLOCKING: bool;

    /// Connects, with a pool of `connections` connections, or with that number of connections without a pool.
    fn connect(url: &str, connections: u32) -> impl Future<Output = Result<Self>> + Send;

    /// A handle for one of the tasks that share the connections.
    fn for_task(&self, task: usize) -> Self;

    /// Sends a message, and returns its id.
    fn send(&self, order: &Order) -> impl Future<Output = Result<i64>> + Send;

    /// Sends messages, and returns their ids.
    fn send_batch(&self, orders: &[Order]) -> impl Future<Output = Result<Vec<i64>>> + Send;

    /// Reads a message, and hides it for [`VT`].
    fn read(&self) -> impl Future<Output = Result<Option<Self::Message>>> + Send;

    /// Reads up to `qty` messages, and hides them for [`VT`].
    fn read_batch(&self, qty: u32) -> impl Future<Output = Result<Vec<Self::Message>>> + Send;

    /// Deletes a message, and returns `true` if it existed.
    fn delete(&self, id: i64) -> impl Future<Output = Result<bool>> + Send;

    /// Deletes messages, and returns the ids of those that existed.
    fn delete_batch(&self, ids: &[i64]) -> impl Future<Output = Result<Vec<i64>>> + Send;

    /// Reads and deletes a message.
    fn pop(&self) -> impl Future<Output = Result<Option<Self::Message>>> + Send;

    /// Runs [`INSERT`] and sends, in one transaction.
    fn enqueue(&self, order: &Order) -> impl Future<Output = Result<i64>> + Send;
}

/// A message that was read, with its payload decoded.
pub(crate) trait Received {
    fn id(&self) -> i64;
}
