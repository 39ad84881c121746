//! `pgmq-diesel`.

use anyhow::Result;
use diesel::prelude::*;
use pgmq_diesel::{Error, PGMQueue};

use crate::client::QUEUE;
use crate::clients::ours::back_end::{BackEnd, Blocking};
use crate::clients::schema::sales;
use crate::payload::Order;

impl BackEnd for Blocking<PGMQueue> {
    const IS_BLOCKING: bool = true;

    async fn connect(url: &str, connections: u32, _: bool) -> Result<Self> {
        Ok(Self(PGMQueue::builder().url(url).pool_size(connections).connect()?))
    }

    fn for_task(&self, _: usize) -> Self {
        Self(self.0.clone())
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let id = self.0.transaction(|connection| {
            diesel::insert_into(sales::table)
                .values(sales::customer.eq(&order.customer))
                .execute(connection)?;
            self.0.with(connection).send(QUEUE, order)
        });
        Ok(id.map_err(|error: Error| error)?)
    }
}
