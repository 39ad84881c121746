//! `pgmq-sqlx`.

use anyhow::Result;
use pgmq_sqlx::{Error, PGMQueue};

use crate::client::{INSERT, QUEUE};
use crate::clients::ours::back_end::BackEnd;
use crate::payload::Order;

impl BackEnd for PGMQueue {
    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32, _: bool) -> Result<Self> {
        Ok(Self::builder().url(url).pool_size(connections).connect().await?)
    }

    fn for_task(&self, _: usize) -> Self {
        self.clone()
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let id = self.transaction(async |transaction| {
            sqlx::query(INSERT).bind(&order.customer).execute(&mut **transaction).await?;
            self.with(transaction).send(QUEUE, order).await
        });
        Ok(id.await.map_err(|error: Error| error)?)
    }
}
