//! `pgmq-tokio`.

use anyhow::Result;
use pgmq_tokio::{Error, PGMQueue};
use tokio_postgres::types::Type;

use crate::client::{INSERT, QUEUE};
use crate::clients::ours::back_end::BackEnd;
use crate::payload::Order;

impl BackEnd for PGMQueue {
    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32, prepared: bool) -> Result<Self> {
        let builder = Self::builder().url(url).pool_size(connections);
        Ok(builder.prepared_statements(prepared).connect().await?)
    }

    fn for_task(&self, _: usize) -> Self {
        self.clone()
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let id = self.transaction(async |transaction| {
            transaction.execute_typed(INSERT, &[(&order.customer, Type::TEXT)]).await?;
            self.with(transaction).send(QUEUE, order).await
        });
        Ok::<_, anyhow::Error>(id.await.map_err(|error: Error| error)?)
    }
}
