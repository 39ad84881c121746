//! A queue on a connection of the user's own.

use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use pgmq_core::prelude::*;
use pgmq_core::{AsyncQueue, Output, Plan, Statement};

use crate::Error;
use crate::queue::Known;
use crate::run::run;

/// The queue on a connection or in a transaction of your own: what it does commits and rolls back with the rest.
///
/// Made by [`PGMQueue::with`](crate::PGMQueue::with). Operations that are polled together travel together: the driver sends
/// them one behind the other, without waiting for answers in between. One that was begun, and is then kept without being polled,
/// may block the others: the driver prepares one statement at a time. So poll them together, or drop what you do not wait for.
///
/// Nothing is tried twice here: an error of the server leaves a transaction unusable, as always in Postgres.
pub struct BoundQueue<'c> {
    connection: &'c AsyncPgConnection,
    known: Arc<Known>,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(connection: &'c AsyncPgConnection, known: Arc<Known>) -> Self {
        Self { connection, known }
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
                let form = query.form(&self.known.learned, false);
                let ran = run(self.connection, &query, form, &self.known.generation).await;
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

/// A connection that a queue can be bound to: one of Diesel's, whether a transaction was begun on it or not, a session from
/// the pool, or a shared reference to one of these.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use diesel_async::pooled_connection::bb8::PooledConnection;

    use super::AsyncPgConnection;

    pub trait Bind {
        fn target(&self) -> &AsyncPgConnection;
    }

    impl Bind for AsyncPgConnection {
        fn target(&self) -> &AsyncPgConnection {
            self
        }
    }

    impl Bind for PooledConnection<'_, AsyncPgConnection> {
        fn target(&self) -> &AsyncPgConnection {
            self
        }
    }

    impl<B: Bind> Bind for &B {
        fn target(&self) -> &AsyncPgConnection {
            B::target(self)
        }
    }
}
