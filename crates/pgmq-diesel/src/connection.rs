//! The connections that a queue can be bound to.

use diesel::PgConnection;

/// A connection that a queue can be bound to, in a transaction or not: a `PgConnection`, or a session from
/// the pool.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use super::PgConnection;

    /// A connection that queries run on.
    pub trait Bind {
        fn connection(&mut self) -> &mut PgConnection;
    }

    impl Bind for PgConnection {
        fn connection(&mut self) -> &mut PgConnection {
            self
        }
    }
}
