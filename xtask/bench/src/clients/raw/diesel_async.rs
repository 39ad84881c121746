//! `diesel-async`.

use anyhow::Result;
use diesel::ExpressionMethods;
use diesel_async::{AsyncConnection, AsyncConnectionCore, AsyncPgConnection, RunQueryDsl};
use futures_util::TryStreamExt;
use pgmq_core::{Output, RawJson, Statement, statement};
use tokio::sync::{Mutex, MutexGuard};

use crate::client::{BenchClient, QUEUE, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::raw::diesel::{found, fragment, id, message, one, query_of};
use crate::clients::raw::message::RawMessage;
use crate::clients::schema::sales;
use crate::payload::Order;

/// diesel-async with the statements of this workspace, which it prepares at their first run on a connection.
pub(crate) struct RawDieselAsync(ConnectionSlots<Mutex<AsyncPgConnection>>);

impl RawDieselAsync {
    async fn connection(&self) -> MutexGuard<'_, AsyncPgConnection> {
        self.0.mine().lock().await
    }
}

impl BenchClient for RawDieselAsync {
    type Message = RawMessage;

    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        let mut slots = Vec::new();
        for _ in 0..connections {
            slots.push(Mutex::new(AsyncPgConnection::establish(url).await?));
        }
        Ok(Self(ConnectionSlots::new(slots)))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task))
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        one(load(&mut *self.connection().await, statement::send(QUEUE, order), id).await?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        load(&mut *self.connection().await, statement::send_batch(QUEUE, orders), id).await
    }

    async fn read(&self) -> Result<Option<RawMessage>> {
        let read = statement::read::<RawJson>(QUEUE, VT);
        Ok(load(&mut *self.connection().await, read, message).await?.pop())
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<RawMessage>> {
        load(&mut *self.connection().await, statement::read_batch::<RawJson>(QUEUE, VT, qty), message).await
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        one(load(&mut *self.connection().await, statement::delete(QUEUE, id), found).await?)
    }

    async fn delete_batch(&self, ids: &[i64]) -> Result<Vec<i64>> {
        load(&mut *self.connection().await, statement::delete_batch(QUEUE, ids), id).await
    }

    async fn pop(&self) -> Result<Option<RawMessage>> {
        let pop = statement::pop::<RawJson>(QUEUE);
        Ok(load(&mut *self.connection().await, pop, message).await?.pop())
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        self.connection()
            .await
            .transaction(async |connection| {
                diesel::insert_into(sales::table)
                    .values(sales::customer.eq(&order.customer))
                    .execute(connection)
                    .await?;
                one(load(connection, statement::send(QUEUE, order), id).await?)
            })
            .await
    }
}

async fn load<O: Output, T>(
    connection: &mut AsyncPgConnection,
    statement: Statement<'_, O>,
    decode: impl Fn(&<AsyncPgConnection as AsyncConnectionCore>::Row<'_, '_>) -> Result<T>,
) -> Result<Vec<T>> {
    let query = query_of(statement)?;
    let rows = AsyncConnectionCore::load(connection, fragment(&query)).await?;
    rows.map_err(anyhow::Error::from).and_then(async |row| decode(&row)).try_collect().await
}
