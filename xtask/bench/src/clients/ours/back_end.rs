//! The trait of a back end in the bench, and its adapter for blocking clients.

use std::future::{Future, ready};

use anyhow::Result;
use pgmq_core::{AsyncQueue, Output, Query, Queue};

use crate::payload::Order;

/// The parts of a client that depend on its driver, in addition to the operations on queues.
pub(crate) trait BackEnd: AsyncQueue + Send + Sync + 'static {
    const IS_BLOCKING: bool;

    /// Connects, with prepared statements if `prepared` is set, and otherwise with the builder's default.
    fn connect(url: &str, connections: u32, prepared: bool) -> impl Future<Output = Result<Self>> + Send
    where
        Self: Sized;

    fn for_task(&self, task: usize) -> Self;

    fn enqueue(&self, order: &Order) -> impl Future<Output = Result<i64>> + Send;
}

/// A blocking client whose futures are ready when they are returned.
pub(crate) struct Blocking<Q>(pub(super) Q);

impl<Q: Queue> AsyncQueue for Blocking<Q> {
    type Error = Q::Error;

    fn run_query<O: Output>(&self, query: Query<'_, O>) -> impl Future<Output = Result<O, Q::Error>> + Send {
        ready(self.0.run_query(query))
    }
}
