//! `sqlx`, which prepares a statement at its first run on a connection, and keeps it.

use anyhow::Result;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::{Mutex, MutexGuard};

use crate::client::{BenchClient, INSERT, QUEUE, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::raw::message::RawMessage;
use crate::clients::raw::sql::SQL;
use crate::payload::Order;

/// `sqlx` with the statements of this workspace.
pub(crate) struct RawSqlx(ConnectionSlots<Mutex<PgConnection>>);

impl RawSqlx {
    async fn connection(&self) -> MutexGuard<'_, PgConnection> {
        self.0.mine().lock().await
    }
}

impl BenchClient for RawSqlx {
    type Message = RawMessage;

    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        let mut slots = Vec::new();
        for _ in 0..connections {
            slots.push(Mutex::new(PgConnection::connect(url).await?));
        }
        Ok(Self(ConnectionSlots::new(slots)))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task))
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        let query = sqlx::query_scalar(SQL.send).bind(QUEUE).bind(Json(order));
        Ok(query.fetch_one(&mut *self.connection().await).await?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        let orders: Vec<_> = orders.iter().map(Json).collect();
        let query = sqlx::query_scalar(SQL.send_batch).bind(QUEUE).bind(orders);
        Ok(query.fetch_all(&mut *self.connection().await).await?)
    }

    async fn read(&self) -> Result<Option<RawMessage>> {
        let query = sqlx::query(SQL.read).bind(QUEUE).bind(i32::try_from(VT)?);
        let row = query.fetch_optional(&mut *self.connection().await).await?;
        row.as_ref().map(message).transpose()
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<RawMessage>> {
        let query = sqlx::query(SQL.read_batch).bind(QUEUE).bind(i32::try_from(VT)?);
        let query = query.bind(i32::try_from(qty)?);
        let rows = query.fetch_all(&mut *self.connection().await).await?;
        rows.iter().map(message).collect()
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        let query = sqlx::query_scalar(SQL.delete).bind(QUEUE).bind(id);
        Ok(query.fetch_one(&mut *self.connection().await).await?)
    }

    async fn delete_batch(&self, ids: &[i64]) -> Result<Vec<i64>> {
        let query = sqlx::query_scalar(SQL.delete_batch).bind(QUEUE).bind(ids);
        Ok(query.fetch_all(&mut *self.connection().await).await?)
    }

    async fn pop(&self) -> Result<Option<RawMessage>> {
        let query = sqlx::query(SQL.pop).bind(QUEUE);
        let row = query.fetch_optional(&mut *self.connection().await).await?;
        row.as_ref().map(message).transpose()
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let mut connection = self.connection().await;
        let mut transaction = connection.begin().await?;
        sqlx::query(INSERT).bind(&order.customer).execute(&mut *transaction).await?;
        let query = sqlx::query_scalar(SQL.send).bind(QUEUE).bind(Json(order));
        let id = query.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(id)
    }
}

fn message(row: &PgRow) -> Result<RawMessage> {
    let Json(order) = row.try_get("message")?;
    Ok(RawMessage::new(row.try_get("msg_id")?, order))
}
