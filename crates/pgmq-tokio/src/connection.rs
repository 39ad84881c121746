//! The connections that a queue can be bound to.

use tokio_postgres::Client;

use crate::run::ConnRef;

/// A connection that a queue can be bound to: a client, a transaction, a session from the pool, or a shared
/// reference to a client or transaction.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

#[expect(private_interfaces, reason = "the traits cannot be named outside this crate")]
pub(crate) mod sealed {
    use pgmq_driver_tokio_postgres::{StatementCache, Tls};

    use super::{Client, ConnRef};

    /// A connection that queries run on.
    pub trait Bind {
        fn conn(&self) -> ConnRef<'_>;
    }

    /// A connection that a pool holds.
    pub trait Clients: Bind + Send + Sync {
        fn client(&self) -> &Client;

        /// The client, and its cache of prepared statements.
        fn parts(&mut self) -> (&mut Client, Option<&StatementCache>);

        /// Returns `true` if a request that failed with a closed connection is known not to have been sent.
        fn ended_idle(&self) -> bool {
            false
        }

        /// Asks the server, over a separate connection, to cancel the statement in flight. If the request
        /// does not reach the server, the statement runs to its end.
        fn cancel(&self) -> impl Future<Output = ()> + Send;

        /// Makes the pool discard the connection when it is released, although it may look open. Returns
        /// `false` if the pool's manager does not notice before the driver does.
        fn discard(&mut self) -> bool {
            false
        }

        /// Closes the connection at once, although the server has not answered.
        fn abort(&self) {}
    }

    impl Clients for Client {
        fn client(&self) -> &Client {
            self
        }

        async fn cancel(&self) {
            // The manager does not expose its encryption.
            Tls::disabled().cancel(&self.cancel_token()).await;
        }

        fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
            (self, None)
        }
    }

    impl Bind for Client {
        fn conn(&self) -> ConnRef<'_> {
            ConnRef { client: self, statements: None }
        }
    }

    impl Bind for tokio_postgres::Transaction<'_> {
        fn conn(&self) -> ConnRef<'_> {
            ConnRef { client: self.client(), statements: None }
        }
    }

    impl<B: Bind> Bind for &B {
        fn conn(&self) -> ConnRef<'_> {
            B::conn(self)
        }
    }
}
