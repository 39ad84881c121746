//! The clients of this workspace, as an application uses them: over their pools.

mod diesel;
mod diesel_async;
mod postgres;
mod sqlx;
mod sqlx_session;
mod tokio;

use std::future::{Future, ready};

use anyhow::Result;
use pgmq_core::{AsyncQueue, Message, Output, Queue, Statement};

pub(crate) use self::sqlx_session::SqlxSession;
use crate::contestant::{Contestant, QUEUE, Received, VT};
use crate::payload::Order;

/// What an application does by its driver, beside the operations on queues.
pub(crate) trait BackEnd: AsyncQueue + Send + Sync + 'static {
    const IS_BLOCKING: bool;

    /// Connects, with prepared statements if they are asked for; else as the builder does by itself.
    fn connect(url: &str, connections: u32, prepared: bool) -> impl Future<Output = Result<Self>> + Send
    where
        Self: Sized;

    fn for_task(&self, task: usize) -> Self;

    fn enqueue(&self, order: &Order) -> impl Future<Output = Result<i64>> + Send;
}

/// A back end as a contestant: the operations are the same for all.
pub(crate) struct Ours<Q, const PREPARED: bool = false>(Q);

impl<Q: BackEnd, const PREPARED: bool> Contestant for Ours<Q, PREPARED> {
    type Message = Message<Order>;

    const IS_BLOCKING: bool = Q::IS_BLOCKING;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        Ok(Self(Q::connect(url, connections, PREPARED).await?))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task))
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        Ok(self.0.send(QUEUE, order).await?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        Ok(self.0.send_batch(QUEUE, orders).await?)
    }

    async fn read(&self) -> Result<Option<Message<Order>>> {
        Ok(self.0.read(QUEUE, VT).await?)
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<Message<Order>>> {
        Ok(self.0.read_batch(QUEUE, VT, qty).await?)
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        Ok(self.0.delete(QUEUE, id).await?)
    }

    async fn delete_batch(&self, ids: &[i64]) -> Result<Vec<i64>> {
        Ok(self.0.delete_batch(QUEUE, ids).await?)
    }

    async fn pop(&self) -> Result<Option<Message<Order>>> {
        Ok(self.0.pop(QUEUE).await?)
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        self.0.enqueue(order).await
    }
}

impl Received for Message<Order> {
    fn id(&self) -> i64 {
        self.msg_id
    }
}

/// A blocking client whose futures have done their work before they are returned.
pub(crate) struct Blocking<Q>(Q);

impl<Q: Queue> AsyncQueue for Blocking<Q> {
    type Error = Q::Error;

    fn run<O: Output>(
        &self,
        statement: Statement<'_, O>,
    ) -> impl Future<Output = Result<O, Q::Error>> + Send {
        ready(self.0.run(statement))
    }
}
