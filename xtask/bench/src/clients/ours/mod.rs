//! The clients of this workspace, as an application uses them: over their pools.

mod back_end;
mod diesel;
mod diesel_async;
mod postgres;
mod sqlx;
mod sqlx_session;
mod tokio;

use anyhow::Result;
use pgmq_core::Message;

use self::back_end::BackEnd;
pub(crate) use self::back_end::Blocking;
pub(crate) use self::sqlx_session::SqlxSession;
use crate::client::{BenchClient, QUEUE, Received, VT};
use crate::payload::Order;

/// A back end as a client. The operations are the same for all back ends.
pub(crate) struct Ours<Q, const PREPARED: bool = false>(Q);

impl<Q: BackEnd, const PREPARED: bool> BenchClient for Ours<Q, PREPARED> {
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
