//! The connections that a queue can be bound to.

use postgres::Client;

use crate::run::ConnRef;

/// A connection that a queue can be bound to: a client, a transaction, or a session from the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

#[expect(private_interfaces, reason = "the traits cannot be named outside this crate")]
pub(crate) mod sealed {
    use std::time::Instant;

    use pgmq_driver_tokio_postgres::StatementCache;

    use super::{Client, ConnRef};

    /// A connection that queries run on.
    pub trait Bind {
        fn conn(&mut self) -> ConnRef<'_>;
    }

    /// A connection that a pool holds.
    pub trait Clients: Bind + Send {
        /// The client, and its cache of prepared statements.
        fn parts(&mut self) -> (&mut Client, Option<&StatementCache>);

        fn client(&mut self) -> &mut Client {
            self.parts().0
        }

        /// The time at which the connection was last known to be usable, if the connection records it.
        fn usable_at(&mut self) -> Option<&mut Instant> {
            None
        }

        /// Makes the pool discard the connection when it is released. Returns `false` if the connection
        /// cannot be marked so.
        fn discard(&mut self) -> bool {
            false
        }
    }

    impl Clients for Client {
        fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
            (self, None)
        }
    }

    impl Bind for Client {
        fn conn(&mut self) -> ConnRef<'_> {
            ConnRef { runner: self, statements: None }
        }
    }

    impl Bind for postgres::Transaction<'_> {
        fn conn(&mut self) -> ConnRef<'_> {
            ConnRef { runner: self, statements: None }
        }
    }
}
