//! A queue on a connection of the user's own.

use std::sync::Arc;

use pgmq_core::prelude::*;
use pgmq_core::{AsyncQueue, Learned, Output, Plan, Statement};
use pgmq_driver_tokio_postgres::Statements;
use tokio_postgres::Client;

use crate::run::Target;
use crate::{Error, ManageClients, PooledClient, Transaction};

/// The queue on a connection or in a transaction of your own: what it does commits and rolls back with the rest.
///
/// Made by [`PGMQueue::with`](crate::PGMQueue::with). Operations that are polled together travel together: the driver sends
/// them one behind the other, without waiting for answers in between.
///
/// Nothing is tried twice here: an error of the server leaves a transaction unusable, as always in Postgres.
pub struct BoundQueue<'c> {
    target: Target<'c>,
    learned: Arc<Learned>,
}

impl<'c> BoundQueue<'c> {
    pub(crate) fn new(target: Target<'c>, learned: Arc<Learned>) -> Self {
        Self { target, learned }
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
                self.target.run(&query, form).await.map_err(|failed| failed.error)
            }
        }
    }
}

impl std::fmt::Debug for BoundQueue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundQueue").finish_non_exhaustive()
    }
}

/// A connection that a queue can be bound to: a client, a transaction, a session from the pool, or a shared reference to a
/// client or transaction.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

#[expect(private_interfaces, reason = "the trait cannot be named outside of this crate")]
pub(crate) mod sealed {
    use super::{Client, ManageClients, PooledClient, Statements, Target, Transaction};

    pub trait Bind {
        fn target(&self) -> Target<'_>;
    }

    /// What pools hold.
    pub trait Clients: Bind + Send + Sync {
        fn client(&self) -> &Client;

        /// The client, and the statements that stay prepared on it.
        fn parts(&mut self) -> (&mut Client, Option<&Statements>);

        /// Whether it is known that what failed because the connection is closed was never sent.
        fn ended_idle(&self) -> bool {
            false
        }
    }

    impl Clients for Client {
        fn client(&self) -> &Client {
            self
        }

        fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
            (self, None)
        }
    }

    impl Clients for PooledClient {
        fn client(&self) -> &Client {
            self
        }

        fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
            PooledClient::parts(self)
        }

        fn ended_idle(&self) -> bool {
            PooledClient::ended_idle(self)
        }
    }

    impl Bind for PooledClient {
        fn target(&self) -> Target<'_> {
            Target { client: self, statements: self.statements.as_deref() }
        }
    }

    impl Bind for Client {
        fn target(&self) -> Target<'_> {
            Target { client: self, statements: None }
        }
    }

    impl Bind for Transaction<'_> {
        fn target(&self) -> Target<'_> {
            Target { client: self.client(), statements: self.statements }
        }
    }

    impl Bind for tokio_postgres::Transaction<'_> {
        fn target(&self) -> Target<'_> {
            Target { client: self.client(), statements: None }
        }
    }

    impl<M: ManageClients> Bind for bb8::PooledConnection<'_, M> {
        fn target(&self) -> Target<'_> {
            (**self).target()
        }
    }

    impl<B: Bind> Bind for &B {
        fn target(&self) -> Target<'_> {
            B::target(self)
        }
    }
}
