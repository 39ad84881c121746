//! A queue on a connection of the user's own.

use std::cell::RefCell;
use std::sync::Arc;

use diesel::PgConnection;
use pgmq_core::prelude::*;
use pgmq_core::{ErrorKind, Learned, Output, Plan, Queue, Statement};

use crate::run::run;
use crate::{Error, Session};

/// The queue on a connection or in a transaction of your own: what it does commits and rolls back with the rest.
///
/// Made by [`PGMQueue::with`](crate::PGMQueue::with).
///
/// Nothing is tried twice here: an error of the server leaves a transaction unusable, as always in Postgres.
pub struct BoundQueue<'c> {
    /// The driver wants it exclusively, and the methods take `&self`, as those of a queue over a pool do.
    connection: RefCell<&'c mut PgConnection>,
    learned: Arc<Learned>,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, learned: Arc<Learned>) -> Self {
        Self { connection: RefCell::new(connection), learned }
    }
}

impl BoundQueue<'_> {
    pgmq_core::operations!(pgmq_core::inherent_methods);
}

impl Queue for BoundQueue<'_> {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => {
                // Only a message type whose decoding uses the queue itself could come here twice.
                let mut connection = self.connection.try_borrow_mut().map_err(|_| {
                    let text = "the connection is in use by the operation that is being decoded";
                    pgmq_core::Error::new(ErrorKind::InvalidArgument, text).during(query.context())
                })?;
                let form = query.form(&self.learned, false);
                run(&mut connection, &query, form).map_err(|failed| failed.error)
            }
        }
    }
}

impl std::fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}

/// A connection that a queue can be bound to, in a transaction or not: a `PgConnection`, or a session from the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use super::{PgConnection, Session};

    pub trait Bind {
        fn connection(&mut self) -> &mut PgConnection;
    }

    impl Bind for PgConnection {
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
