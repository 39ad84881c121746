//! The connections that a queue can be bound to.

use diesel_async::AsyncPgConnection;

/// A connection that a queue can be bound to: one of Diesel's, in a transaction or not, a session from the
/// pool, or a shared reference to one of these.
pub trait Connection: sealed::Bind {}

impl<C: sealed::Bind> Connection for C {}

pub(crate) mod sealed {
    use super::AsyncPgConnection;

    /// A connection that queries run on.
    pub trait Bind {
        fn conn(&self) -> &AsyncPgConnection;
    }

    impl Bind for AsyncPgConnection {
        fn conn(&self) -> &AsyncPgConnection {
            self
        }
    }

    impl<B: Bind> Bind for &B {
        fn conn(&self) -> &AsyncPgConnection {
            B::conn(self)
        }
    }
}
