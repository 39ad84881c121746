//! `pgmq-postgres`.

use anyhow::Result;
use pgmq_postgres::{Error, PGMQueue};
use postgres::types::Type;

use crate::client::{INSERT, QUEUE};
use crate::clients::ours::back_end::{BackEnd, Blocking};
use crate::payload::Order;

impl BackEnd for Blocking<PGMQueue> {
    const IS_BLOCKING: bool = true;

    async fn connect(url: &str, connections: u32, prepared: bool) -> Result<Self> {
        let builder = PGMQueue::builder().url(url).pool_size(connections);
        Ok(Self(builder.prepared_statements(prepared).connect()?))
    }

    fn for_task(&self, _: usize) -> Self {
        Self(self.0.clone())
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let id = self.0.transaction(|transaction| {
            transaction.execute_typed(INSERT, &[(&order.customer, Type::TEXT)])?;
            self.0.with(transaction).send(QUEUE, order)
        });
        Ok(id.map_err(|error: Error| error)?)
    }
}
