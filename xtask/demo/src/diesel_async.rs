//! The parts of the story that depend on the driver of `pgmq-diesel-async`.

use std::time::Duration;

use anyhow::Result;
use diesel::prelude::*;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use pgmq_core::{Installation, Notification};
use pgmq_diesel_async::{Listener, PGMQueue};
use pgmq_worker::{Finished, Job};

use crate::application::Application;
use crate::employer::AsyncShop;
use crate::shop::{ORDERS, Order, Payment};

diesel::table! {
    sales (id) {
        id -> BigInt,
        item -> Text,
        quantity -> BigInt,
    }
}

impl Application for PGMQueue {
    type Listener = Listener;

    async fn connect(url: &str) -> Result<Self> {
        Ok(Self::connect(url).await?)
    }

    async fn version(&self) -> Result<Installation> {
        Ok(self.version().await?)
    }

    async fn listen(&self, queue: &str) -> Result<Listener> {
        Ok(self.listen(&[queue]).await?)
    }

    async fn next(listener: &mut Listener, limit: Duration) -> Result<Option<Notification>> {
        Ok(listener.next_timeout(limit).await?)
    }

    async fn create_sales(&self) -> Result<()> {
        let create = "CREATE TABLE sales \
                      (id bigserial PRIMARY KEY, item text NOT NULL, quantity bigint NOT NULL)";
        self.session().await?.batch_execute(create).await?;
        Ok(())
    }

    async fn count_sales(&self) -> Result<i64> {
        Ok(sales::table.count().get_result(&mut self.session().await?).await?)
    }

    async fn find_sale(&self, item: &str) -> Result<Order> {
        let sale = sales::table.filter(sales::item.eq(item)).select((sales::item, sales::quantity));
        let (item, quantity) = sale.first(&mut self.session().await?).await?;
        Ok(Order { item, quantity })
    }

    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64> {
        self.transaction(async |connection| {
            let sale = (sales::item.eq(&order.item), sales::quantity.eq(order.quantity));
            diesel::insert_into(sales::table).values(sale).execute(connection).await?;
            let id = self.with(connection).send(ORDERS, order).await?;
            payment.settle()?;
            Ok(id)
        })
        .await
    }

    async fn close(self) {
        self.close().await;
    }
}

impl AsyncShop for PGMQueue {
    async fn book(self, job: Job<Order>) -> Result<Finished> {
        self.transaction(async |connection| {
            let sale = (sales::item.eq(&job.item), sales::quantity.eq(job.quantity));
            diesel::insert_into(sales::table).values(sale).execute(connection).await?;
            Ok(job.finish_in(&self.with(connection)).await?)
        })
        .await
    }
}
