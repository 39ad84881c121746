//! The parts of the story that depend on the driver of `pgmq-diesel`.

use std::time::Duration;

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use pgmq_core::{Installation, Notification};
use pgmq_diesel::{Listener, PGMQueue};

use crate::blocking::Blocking;
use crate::story::{Application, ORDERS, Order, Payment};

diesel::table! {
    sales (id) {
        id -> BigInt,
        item -> Text,
        quantity -> BigInt,
    }
}

impl Application for Blocking<PGMQueue> {
    type Listener = Listener;

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(PGMQueue::connect(url)?))
    }

    async fn version(&self) -> Result<Installation> {
        Ok(self.0.version()?)
    }

    async fn listen(&self, queue: &str) -> Result<Listener> {
        Ok(self.0.listen(&[queue])?)
    }

    async fn next(listener: &mut Listener, limit: Duration) -> Result<Option<Notification>> {
        Ok(listener.next_timeout(limit)?)
    }

    async fn create_sales(&self) -> Result<()> {
        let create = "CREATE TABLE sales \
                      (id bigserial PRIMARY KEY, item text NOT NULL, quantity bigint NOT NULL)";
        self.0.session()?.batch_execute(create)?;
        Ok(())
    }

    async fn count_sales(&self) -> Result<i64> {
        Ok(sales::table.count().get_result(&mut self.0.session()?)?)
    }

    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64> {
        self.0.transaction(|connection| {
            let sale = (sales::item.eq(&order.item), sales::quantity.eq(order.quantity));
            diesel::insert_into(sales::table).values(sale).execute(connection)?;
            let id = self.0.with(connection).send(ORDERS, order)?;
            payment.settle()?;
            Ok(id)
        })
    }

    async fn close(self) {
        self.0.close();
    }
}
