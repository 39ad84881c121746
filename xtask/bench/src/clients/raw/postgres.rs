//! `postgres`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use postgres::types::Type;
use postgres::{Client, NoTls, Statement};

use crate::client::{BenchClient, INSERT, QUEUE, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::raw::json::Jsonb;
use crate::clients::raw::message::RawMessage;
use crate::clients::raw::sql::SQL;
use crate::clients::raw::tokio::{ids, message};
use crate::payload::Order;

/// `postgres` with the statements of this workspace.
pub(crate) struct RawPostgres(ConnectionSlots<Mutex<Ready>>);

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

impl RawPostgres {
    fn ready(&self) -> MutexGuard<'_, Ready> {
        self.0.mine().lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BenchClient for RawPostgres {
    type Message = RawMessage;

    const IS_BLOCKING: bool = true;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        let mut slots = Vec::new();
        for _ in 0..connections {
            let mut client = Client::connect(url, NoTls)?;
            slots.push(Mutex::new(Ready {
                send: client.prepare(SQL.send)?,
                send_batch: client.prepare(SQL.send_batch)?,
                read: client.prepare(SQL.read)?,
                read_batch: client.prepare(SQL.read_batch)?,
                delete: client.prepare(SQL.delete)?,
                delete_batch: client.prepare(SQL.delete_batch)?,
                pop: client.prepare(SQL.pop)?,
                client,
            }));
        }
        Ok(Self(ConnectionSlots::new(slots)))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task))
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        let mut ready = self.ready();
        let Ready { client, send, .. } = &mut *ready;
        Ok(client.query_one(send, &[&QUEUE, &Jsonb(order)])?.try_get(0)?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        let mut ready = self.ready();
        let Ready { client, send_batch, .. } = &mut *ready;
        let orders: Vec<_> = orders.iter().map(Jsonb).collect();
        ids(&client.query(send_batch, &[&QUEUE, &orders])?)
    }

    async fn read(&self) -> Result<Option<RawMessage>> {
        let mut ready = self.ready();
        let Ready { client, read, .. } = &mut *ready;
        let vt = i32::try_from(VT)?;
        client.query_opt(read, &[&QUEUE, &vt])?.as_ref().map(message).transpose()
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<RawMessage>> {
        let mut ready = self.ready();
        let Ready { client, read_batch, .. } = &mut *ready;
        let (vt, qty) = (i32::try_from(VT)?, i32::try_from(qty)?);
        let rows = client.query(read_batch, &[&QUEUE, &vt, &qty])?;
        rows.iter().map(message).collect()
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        let mut ready = self.ready();
        let Ready { client, delete, .. } = &mut *ready;
        let row = client.query_one(delete, &[&QUEUE, &id])?;
        Ok(row.try_get(0)?)
    }

    async fn delete_batch(&self, deleted: &[i64]) -> Result<Vec<i64>> {
        let mut ready = self.ready();
        let Ready { client, delete_batch, .. } = &mut *ready;
        ids(&client.query(delete_batch, &[&QUEUE, &deleted])?)
    }

    async fn pop(&self) -> Result<Option<RawMessage>> {
        let mut ready = self.ready();
        let Ready { client, pop, .. } = &mut *ready;
        client.query_opt(pop, &[&QUEUE])?.as_ref().map(message).transpose()
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        let mut ready = self.ready();
        let Ready { client, send, .. } = &mut *ready;
        let mut transaction = client.transaction()?;
        transaction.execute_typed(INSERT, &[(&order.customer, Type::TEXT)])?;
        let id = transaction.query_one(send, &[&QUEUE, &Jsonb(order)])?.try_get(0)?;
        transaction.commit()?;
        Ok(id)
    }
}
