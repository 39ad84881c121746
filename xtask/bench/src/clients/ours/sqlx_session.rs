//! `pgmq-sqlx` on sessions that are kept, which shows the cost of sqlx's pool.

use anyhow::Result;
use pgmq_core::{AsyncQueue, Output, Query};
use pgmq_sqlx::{Error, PGMQueue, Session};
use sqlx::Connection;
use tokio::sync::Mutex;

use crate::client::{INSERT, QUEUE};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::ours::back_end::BackEnd;
use crate::payload::Order;

/// A queue, and all sessions of its pool.
pub(crate) struct SqlxSession {
    queue: PGMQueue,
    sessions: ConnectionSlots<Mutex<Session>>,
}

impl AsyncQueue for SqlxSession {
    type Error = Error;

    async fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        let mut session = self.sessions.mine().lock().await;
        self.queue.with(&mut *session).run_query(query).await
    }
}

impl BackEnd for SqlxSession {
    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32, _: bool) -> Result<Self> {
        let queue = PGMQueue::builder().url(url).pool_size(connections).connect().await?;
        let mut sessions = Vec::new();
        for _ in 0..connections {
            sessions.push(Mutex::new(queue.session().await?));
        }
        Ok(Self { queue, sessions: ConnectionSlots::new(sessions) })
    }

    fn for_task(&self, task: usize) -> Self {
        Self { queue: self.queue.clone(), sessions: self.sessions.for_task(task) }
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let mut session = self.sessions.mine().lock().await;
        let mut transaction = session.begin().await?;
        sqlx::query(INSERT).bind(&order.customer).execute(&mut *transaction).await?;
        let id = self.queue.with(&mut transaction).send(QUEUE, order).await?;
        transaction.commit().await?;
        Ok(id)
    }
}
