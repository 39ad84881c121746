//! The parts of the story that depend on the driver of `pgmq-tokio`.

use std::time::Duration;

use anyhow::Result;
use pgmq_core::{Installation, Notification};
use pgmq_tokio::{Listener, PGMQueue};
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
        let session = self.session().await?;
        session.batch_execute("CREATE TABLE sales (item text NOT NULL, quantity bigint NOT NULL)").await?;
        Ok(())
    }

    async fn count_sales(&self) -> Result<i64> {
        let session = self.session().await?;
        Ok(session.query_one("SELECT count(*) FROM sales", &[]).await?.try_get(0)?)
    }

    async fn find_sale(&self, item: &str) -> Result<Order> {
        let session = self.session().await?;
        let sql = "SELECT item, quantity FROM sales WHERE item = $1";
        let row = session.query_one(sql, &[&item]).await?;
        Ok(Order { item: row.try_get(0)?, quantity: row.try_get(1)? })
    }

    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64> {
        self.transaction(async |transaction| {
            let sql = "INSERT INTO sales (item, quantity) VALUES ($1, $2)";
            transaction.execute(sql, &[&order.item, &order.quantity]).await?;
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
            transaction.execute(sql, &[&job.item, &job.quantity]).await?;
            Ok(job.finish_in(&self.with(transaction)).await?)
        })
        .await
    }
}
