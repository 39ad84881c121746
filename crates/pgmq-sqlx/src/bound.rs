//! A queue on a connection of the user's own.

use std::sync::Arc;

use futures_util::lock::Mutex;
use pgmq_core::prelude::*;
use pgmq_core::{AsyncQueue, Learned, Output, Plan, Statement};
use sqlx::{Connection as _, PgConnection};

use crate::run::{Prepared, run, run_whole};
use crate::{Error, Session, Transaction};

/// The queue on a connection or in a transaction of your own: what it does commits and rolls back with the rest.
///
/// Made by [`PGMQueue::with`](crate::PGMQueue::with). Operations that are polled together take turns, so
/// one that is kept and not polled holds up the others: poll them together, or drop them.
///
/// Begin transactions by the driver's own `begin`: it does not see one that was begun by a statement of your own, and where
/// statements do not stay prepared, an operation in that would commit it.
///
/// Nothing is tried twice here: an error of the server leaves a transaction unusable, as always in Postgres.
pub struct BoundQueue<'c> {
    /// The driver wants it exclusively, and the methods take `&self`, as those of a queue over a pool do.
    connection: Mutex<&'c mut PgConnection>,
    learned: Arc<Learned>,
    prepared: Arc<Prepared>,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(
        connection: &'c mut PgConnection,
        learned: Arc<Learned>,
        prepared: Arc<Prepared>,
    ) -> Self {
        Self { connection: Mutex::new(connection), learned, prepared }
    }
}

impl BoundQueue<'_> {
    pgmq_core::operations!(pgmq_core::inherent_async_methods);
}

impl AsyncQueue for BoundQueue<'_> {
    type Error = Error;

    async fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => {
                let form = query.form(&self.learned, false);
                let mut connection = self.connection.lock().await;
                // Outside of a transaction, a pooler may part what belongs together.
                let ran = match self.prepared.is_off() && !connection.is_in_transaction() {
                    false => run(&mut connection, &self.prepared, &query, form).await,
                    true => run_whole(&mut connection, &self.prepared, &query, form).await,
                };
                ran.map_err(|failed| failed.error)
            }
        }
    }
}

impl std::fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}

/// A connection that a queue can be bound to: a connection, a transaction, or a session from the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use super::{PgConnection, Session, Transaction};

    pub trait Bind {
        fn connection(&mut self) -> &mut PgConnection;
    }

    impl Bind for PgConnection {
        fn connection(&mut self) -> &mut PgConnection {
            self
        }
    }

    impl Bind for Transaction<'_> {
        fn connection(&mut self) -> &mut PgConnection {
            self
        }
    }

    impl Bind for Session {
        fn connection(&mut self) -> &mut PgConnection {
            self
        }
    }
}
