//! The parts of the story that depend on the driver of `pgmq-diesel`.

use std::time::Duration;

use anyhow::Result;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use pgmq_core::{Installation, Notification};
use pgmq_diesel::{Listener, PGMQueue};
use pgmq_worker::Finished;
use pgmq_worker::sync::Job;

use crate::application::Application;
use crate::blocking::Blocking;
use crate::employer::SyncShop;
use crate::shop::{ORDERS, Order, Payment};

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

    async fn find_sale(&self, item: &str) -> Result<Order> {
        let sale = sales::table.filter(sales::item.eq(item)).select((sales::item, sales::quantity));
        let (item, quantity) = sale.first(&mut self.0.session()?)?;
        Ok(Order { item, quantity })
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

impl SyncShop for PGMQueue {
    fn book(&self, job: &Job<Order>) -> Result<Finished> {
        self.transaction(|connection| {
            let sale = (sales::item.eq(&job.item), sales::quantity.eq(job.quantity));
            diesel::insert_into(sales::table).values(sale).execute(connection)?;
            Ok(job.finish_in(&self.with(connection))?)
        })
    }
}
