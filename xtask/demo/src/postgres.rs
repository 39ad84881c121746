//! The parts of the story that depend on the driver of `pgmq-postgres`.

use std::time::Duration;

use anyhow::Result;
use pgmq_core::{Installation, Notification};
use pgmq_postgres::{Listener, PGMQueue};
use pgmq_worker::Finished;
use pgmq_worker::sync::Job;

use crate::application::Application;
use crate::blocking::Blocking;
use crate::employer::SyncShop;
use crate::shop::{ORDERS, Order, Payment};

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
        let mut session = self.0.session()?;
        session.batch_execute("CREATE TABLE sales (item text NOT NULL, quantity bigint NOT NULL)")?;
        Ok(())
    }

    async fn count_sales(&self) -> Result<i64> {
        let mut session = self.0.session()?;
        Ok(session.query_one("SELECT count(*) FROM sales", &[])?.try_get(0)?)
    }

    async fn find_sale(&self, item: &str) -> Result<Order> {
        let mut session = self.0.session()?;
        let row = session.query_one("SELECT item, quantity FROM sales WHERE item = $1", &[&item])?;
        Ok(Order { item: row.try_get(0)?, quantity: row.try_get(1)? })
    }

    async fn sell(&self, order: &Order, payment: Payment) -> Result<i64> {
        self.0.transaction(|transaction| {
            let sql = "INSERT INTO sales (item, quantity) VALUES ($1, $2)";
            transaction.execute(sql, &[&order.item, &order.quantity])?;
            let id = self.0.with(transaction).send(ORDERS, order)?;
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
        self.transaction(|transaction| {
            let sql = "INSERT INTO sales (item, quantity) VALUES ($1, $2)";
            transaction.execute(sql, &[&job.item, &job.quantity])?;
            Ok(job.finish_in(&self.with(transaction))?)
        })
    }
}
