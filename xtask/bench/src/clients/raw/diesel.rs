//! `diesel`, with the parts that `diesel-async` shares.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use diesel::connection::{DefaultLoadingMode, LoadConnection};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::row::{Row, RowIndex};
use diesel::sql_types::{BigInt, Bool, Jsonb};
use pgmq_core::{Action, Output, Query, RawJson, ServerVersion, Statement, statement};
use pgmq_driver_diesel::{DieselQuery, Json};

use crate::client::{BenchClient, QUEUE, VT};
use crate::clients::connection_slots::ConnectionSlots;
use crate::clients::raw::message::RawMessage;
use crate::clients::schema::sales;
use crate::payload::Order;

/// Diesel with the statements of this workspace, which it prepares at their first run on a connection.
///
/// Diesel never keeps its `sql_query` prepared, so the statements are query fragments, as in the clients.
pub(crate) struct RawDiesel(ConnectionSlots<Mutex<PgConnection>>);

impl RawDiesel {
    fn connection(&self) -> MutexGuard<'_, PgConnection> {
        self.0.mine().lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BenchClient for RawDiesel {
    type Message = RawMessage;

    const IS_BLOCKING: bool = true;

    async fn connect(url: &str, connections: u32) -> Result<Self> {
        let slots = (0..connections).map(|_| Ok(Mutex::new(PgConnection::establish(url)?)));
        Ok(Self(ConnectionSlots::new(slots.collect::<Result<_>>()?)))
    }

    fn for_task(&self, task: usize) -> Self {
        Self(self.0.for_task(task))
    }

    async fn send(&self, order: &Order) -> Result<i64> {
        one(load(&mut self.connection(), statement::send(QUEUE, order), id)?)
    }

    async fn send_batch(&self, orders: &[Order]) -> Result<Vec<i64>> {
        load(&mut self.connection(), statement::send_batch(QUEUE, orders), id)
    }

    async fn read(&self) -> Result<Option<RawMessage>> {
        Ok(load(&mut self.connection(), statement::read::<RawJson>(QUEUE, VT), message)?.pop())
    }

    async fn read_batch(&self, qty: u32) -> Result<Vec<RawMessage>> {
        load(&mut self.connection(), statement::read_batch::<RawJson>(QUEUE, VT, qty), message)
    }

    async fn delete(&self, id: i64) -> Result<bool> {
        one(load(&mut self.connection(), statement::delete(QUEUE, id), found)?)
    }

    async fn delete_batch(&self, ids: &[i64]) -> Result<Vec<i64>> {
        load(&mut self.connection(), statement::delete_batch(QUEUE, ids), id)
    }

    async fn pop(&self) -> Result<Option<RawMessage>> {
        Ok(load(&mut self.connection(), statement::pop::<RawJson>(QUEUE), message)?.pop())
    }

    async fn enqueue(&self, order: &Order) -> Result<i64> {
        self.connection().transaction(|connection| {
            diesel::insert_into(sales::table)
                .values(sales::customer.eq(&order.customer))
                .execute(connection)?;
            one(load(connection, statement::send(QUEUE, order), id)?)
        })
    }
}

fn load<O: Output, T>(
    connection: &mut PgConnection,
    statement: Statement<'_, O>,
    decode: impl Fn(&<PgConnection as diesel::connection::LoadConnection>::Row<'_, '_>) -> Result<T>,
) -> Result<Vec<T>> {
    let query = query_of(statement)?;
    let rows = LoadConnection::<DefaultLoadingMode>::load(connection, fragment(&query))?;
    rows.map(|row| decode(&row?)).collect()
}

/// The query of a statement that has one.
pub(super) fn query_of<O: Output>(statement: Statement<'_, O>) -> Result<Query<'_, O>> {
    match statement.into_action() {
        Action::Run(query) => Ok(query),
        Action::Return(_) => bail!("the statement asks for nothing"),
    }
}

/// The newest variant of a query, as a fragment for Diesel.
pub(super) fn fragment<'q, O: Output>(query: &'q Query<'_, O>) -> DieselQuery<'q> {
    DieselQuery::new(query.variant_on_pool(&ServerVersion::default()), query.params())
}

/// The value of the only row.
pub(super) fn one<T>(mut values: Vec<T>) -> Result<T> {
    values.pop().context("the server returned no row")
}

pub(super) fn id<'r>(row: &impl Row<'r, Pg>) -> Result<i64> {
    row.get_value::<BigInt, _, _>(0).map_err(boxed)
}

pub(super) fn found<'r>(row: &impl Row<'r, Pg>) -> Result<bool> {
    row.get_value::<Bool, _, _>(0).map_err(boxed)
}

pub(super) fn message<'r>(row: &(impl Row<'r, Pg> + for<'n> RowIndex<&'n str>)) -> Result<RawMessage> {
    let Json(order) = row.get_value::<Jsonb, _, _>("message").map_err(boxed)?;
    Ok(RawMessage::new(row.get_value::<BigInt, _, _>("msg_id").map_err(boxed)?, order))
}

fn boxed(error: Box<dyn std::error::Error + Send + Sync>) -> anyhow::Error {
    anyhow::Error::from_boxed(error)
}
