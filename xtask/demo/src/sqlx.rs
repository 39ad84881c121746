//! The parts of the story that depend on the driver of `pgmq-sqlx`.

use std::time::Duration;

use anyhow::Result;
use pgmq_core::{Installation, Notification};
use pgmq_sqlx::{Listener, PGMQueue};
use pgmq_worker::{Finished, Job};

use crate::application::Application;
use crate::employer::AsyncShop;
use crate::shop::{ORDERS, Order, Payment};

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
        let create = "CREATE TABLE sales (item text NOT NULL, quantity bigint NOT NULL)";
        sqlx::query(create).execute(self.pool()).await?;
        Ok(())
    }

    async fn count_sales(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM sales").fetch_one(self.pool()).await?)
    }

    async fn find_sale(&self, item: &str) -> Result<Order> {
        let sql = "SELECT item, quantity FROM sales WHERE item = $1";
        let (item, quantity) = sqlx::query_as(sql).bind(item).fetch_one(self.pool()).await?;
        Ok(Order { item, quantity })
    }

    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64> {
        self.transaction(async |transaction| {
            let sql = "INSERT INTO sales (item, quantity) VALUES ($1, $2)";
            let insert = sqlx::query(sql).bind(&order.item).bind(order.quantity);
            insert.execute(&mut **transaction).await?;
            let id = self.with(transaction).send(ORDERS, order).await?;
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
        self.transaction(async |transaction| {
            let sql = "INSERT INTO sales (item, quantity) VALUES ($1, $2)";
            let insert = sqlx::query(sql).bind(&job.item).bind(job.quantity);
            insert.execute(&mut **transaction).await?;
            Ok(job.finish_in(&self.with(transaction)).await?)
        })
        .await
    }
}
