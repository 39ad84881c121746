//! `tokio-postgres`.

use std::marker::PhantomData;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, NoTls, Row, Statement};

use crate::client::{BenchClient, INSERT, QUEUE, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::raw::json::Jsonb;
use crate::clients::raw::message::RawMessage;
use crate::clients::raw::sql::SQL;
use crate::payload::Order;

/// `tokio-postgres`, with one way of calling `pgmq.send`.
pub(crate) struct RawTokio<S>(ConnectionSlots<Mutex<Ready>>, PhantomData<S>);

/// A way of calling `pgmq.send`.
pub(crate) trait SendCall: Send + Sync + 'static {
    fn sql() -> &'static str;

    fn send(
        client: &Client,
        prepared: &Statement,
        order: &Order,
    ) -> impl Future<Output = Result<Row, Error>> + Send;
}

/// The call of the clients of this workspace.
pub(crate) struct OurSql;

impl SendCall for OurSql {
    fn sql() -> &'static str {
        SQL.send
    }

    async fn send(client: &Client, prepared: &Statement, order: &Order) -> Result<Row, Error> {
        client.query_one(prepared, &[&QUEUE, &Jsonb(order)]).await
    }
}

/// The call of the official client.
pub(crate) struct OfficialSql;

impl SendCall for OfficialSql {
    fn sql() -> &'static str {
        "SELECT * FROM pgmq.send(queue_name=>$1::text, msg=>$2::jsonb, headers=>$3::jsonb, delay=>$4::int)"
    }

    async fn send(client: &Client, prepared: &Statement, order: &Order) -> Result<Row, Error> {
        client.query_one(prepared, &[&QUEUE, &Jsonb(order), &Jsonb(()), &0]).await
    }
}

/// A connection with its statements.
struct Ready {
    client: Client,
    send: Statement,
    send_batch: Statement,
    read: Statement,
    read_batch: Statement,
    delete: Statement,
    delete_batch: Statement,
    pop: Statement,
}

async fn connected(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // The client reports the end of the connection as well.
    tokio::spawn(connection);
    Ok(client)
}

impl<S> RawTokio<S> {
    async fn ready(&self) -> MutexGuard<'_, Ready> {
        self.0.mine().lock().await
    }
}

impl<S: SendCall> BenchClient for RawTokio<S> {
    type Message = RawMessage;

    const IS_BLOCKING: bool = false;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        let mut slots = Vec::new();
        for _ in 0..connections {
            let client = connected(url).await?;
            slots.push(Mutex::new(Ready {
                send: client.prepare(S::sql()).await?,
                send_batch: client.prepare(SQL.send_batch).await?,
                read: client.prepare(SQL.read).await?,
                read_batch: client.prepare(SQL.read_batch).await?,
                delete: client.prepare(SQL.delete).await?,
                delete_batch: client.prepare(SQL.delete_batch).await?,
                pop: client.prepare(SQL.pop).await?,
                client,
            }));
        }
        Ok(Self(ConnectionSlots::new(slots), PhantomData))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task), PhantomData)
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        let ready = self.ready().await;
        Ok(S::send(&ready.client, &ready.send, order).await?.try_get(0)?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        let ready = self.ready().await;
        let orders: Vec<_> = orders.iter().map(Jsonb).collect();
        ids(&ready.client.query(&ready.send_batch, &[&QUEUE, &orders]).await?)
    }

    async fn read(&self) -> Result<Option<RawMessage>> {
        let ready = self.ready().await;
        let vt = i32::try_from(VT)?;
        ready.client.query_opt(&ready.read, &[&QUEUE, &vt]).await?.as_ref().map(message).transpose()
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<RawMessage>> {
        let ready = self.ready().await;
        let (vt, qty) = (i32::try_from(VT)?, i32::try_from(qty)?);
        let rows = ready.client.query(&ready.read_batch, &[&QUEUE, &vt, &qty]).await?;
        rows.iter().map(message).collect()
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        let ready = self.ready().await;
        let row = ready.client.query_one(&ready.delete, &[&QUEUE, &id]).await?;
        Ok(row.try_get(0)?)
    }

    async fn delete_batch(&self, deleted: &[i64]) -> Result<Vec<i64>> {
        let ready = self.ready().await;
        ids(&ready.client.query(&ready.delete_batch, &[&QUEUE, &deleted]).await?)
    }

    async fn pop(&self) -> Result<Option<RawMessage>> {
        let ready = self.ready().await;
        ready.client.query_opt(&ready.pop, &[&QUEUE]).await?.as_ref().map(message).transpose()
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let mut ready = self.ready().await;
        let Ready { client, send, .. } = &mut *ready;
        let transaction = client.transaction().await?;
        transaction.execute_typed(INSERT, &[(&order.customer, Type::TEXT)]).await?;
        let id = S::send(transaction.client(), send, order).await?.try_get(0)?;
        transaction.commit().await?;
        Ok(id)
    }
}

/// The only column of each row.
pub(super) fn ids(rows: &[Row]) -> Result<Vec<i64>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) fn message(row: &Row) -> Result<RawMessage> {
    let Jsonb(order) = row.try_get("message")?;
    Ok(RawMessage::new(row.try_get("msg_id")?, order))
}
