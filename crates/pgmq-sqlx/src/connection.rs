//! The connections that a queue can be bound to.

use sqlx::PgConnection;

/// A connection that a queue can be bound to: a connection, a transaction, or a session from the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use super::PgConnection;

    /// A connection that queries run on.
    pub trait Bind {
        fn conn(&mut self) -> &mut PgConnection;
    }

    impl Bind for PgConnection {
        fn conn(&mut self) -> &mut PgConnection {
            self
        }
    }
}
