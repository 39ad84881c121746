//! A queue on a connection of the user's own.

use std::cell::RefCell;
use std::sync::Arc;

use pgmq_core::prelude::*;
use pgmq_core::{ErrorKind, Learned, Output, Plan, Queue, Statement};
use pgmq_driver_tokio_postgres::Statements;
use postgres::Client;

use crate::run::Target;
use crate::{Error, ManageClients, PooledClient, Session, Transaction};

/// The queue on a connection or in a transaction of your own: what it does commits and rolls back with the rest.
///
/// Made by [`PGMQueue::with`](crate::PGMQueue::with).
///
/// Nothing is tried twice here: an error of the server leaves a transaction unusable, as always in Postgres.
pub struct BoundQueue<'c> {
    /// The driver wants it exclusively, and the methods take `&self`, as those of a queue over a pool do.
    target: RefCell<Target<'c>>,
    learned: Arc<Learned>,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(target: Target<'c>, learned: Arc<Learned>) -> Self {
        Self { target: RefCell::new(target), learned }
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
                let mut target = self.target.try_borrow_mut().map_err(|_| {
                    let text = "the connection is in use by the operation that is being decoded";
                    pgmq_core::Error::new(ErrorKind::InvalidArgument, text).during(query.context())
                })?;
                let form = query.form(&self.learned, false);
                target.run(&query, form).map_err(|failed| failed.error)
            }
        }
    }
}

impl std::fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}

/// A connection that a queue can be bound to: a client, a transaction, or a session from the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

#[expect(private_interfaces, reason = "the trait cannot be named outside of this crate")]
pub(crate) mod sealed {
    use super::{Client, ManageClients, PooledClient, Session, Statements, Target, Transaction};

    pub trait Bind {
        fn target(&mut self) -> Target<'_>;
    }

    /// What pools hold.
    pub trait Clients: Bind + Send {
        /// The client, and the statements that stay prepared on it.
        fn parts(&mut self) -> (&mut Client, Option<&Statements>);

        fn client(&mut self) -> &mut Client {
            self.parts().0
        }
    }

    impl Clients for Client {
        fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
            (self, None)
        }
    }

    impl Clients for PooledClient {
        fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
            PooledClient::parts(self)
        }
    }

    impl Bind for PooledClient {
        fn target(&mut self) -> Target<'_> {
            let (client, statements) = self.parts();
            Target { runner: client, statements }
        }
    }

    impl Bind for Client {
        fn target(&mut self) -> Target<'_> {
            Target { runner: self, statements: None }
        }
    }

    impl Bind for Transaction<'_> {
        fn target(&mut self) -> Target<'_> {
            Target { statements: self.statements, runner: &mut **self }
        }
    }

    impl Bind for postgres::Transaction<'_> {
        fn target(&mut self) -> Target<'_> {
            Target { runner: self, statements: None }
        }
    }

    impl<M: ManageClients> Bind for Session<M> {
        fn target(&mut self) -> Target<'_> {
            (**self).target()
        }
    }
}
