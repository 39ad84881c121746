//! `pgmq-diesel-async`.

use anyhow::Result;
use diesel::ExpressionMethods;
use diesel_async::RunQueryDsl;
use pgmq_diesel_async::{Error, PGMQueue};

use crate::client::QUEUE;
use crate::clients::ours::back_end::BackEnd;
use crate::clients::schema::sales;
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
        let id = self.transaction(async |connection| {
            diesel::insert_into(sales::table)
                .values(sales::customer.eq(&order.customer))
                .execute(connection)
                .await?;
            self.with(connection).send(QUEUE, order).await
        });
        Ok(id.await.map_err(|error: Error| error)?)
    }
}
