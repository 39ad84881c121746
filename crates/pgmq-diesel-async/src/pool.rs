//! The pool, its sessions, and the state that the clones of a queue share.

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::bb8::PooledConnection;
use pgmq_core::backend::{self, CacheGeneration};
use pgmq_driver_tokio_postgres::{Background, FairPermits, Permit, Tls};

use crate::connection::sealed::Bind;
use crate::error::Error;
use crate::run::mark_broken;

/// A pool of connections of this driver. The type is diesel-async's own, so the application's existing pool
/// can be used.
pub type Pool = diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session = PooledConnection<'static, AsyncPgConnection>;

/// The state that the clones of a queue share.
pub(crate) type Shared = backend::Shared<Error, DriverState>;

/// The part of the shared state that only this driver needs.
pub(crate) struct DriverState {
    /// One permit for each connection of the pool.
    pub(crate) permits: FairPermits,
    /// The generation of the prepared statements, also of those on connections that the queue is bound to.
    pub(crate) generation: CacheGeneration,
    /// The tasks that clean up after dropped futures and listeners.
    pub(crate) background: Background,
    /// The encryption of cancel requests, which use their own connections. A pool that the user supplied does
    /// not expose its encryption, so its cancel requests are not encrypted.
    pub(crate) tls: Tls,
}

impl DriverState {
    pub(crate) fn new(pool: &Pool, tls: Tls) -> Self {
        Self {
            permits: FairPermits::new(pool.config().max_size),
            generation: CacheGeneration::default(),
            background: Background::default(),
            tls,
        }
    }
}

/// A session, and the permit with which it was acquired. The fields are dropped in this order.
pub(crate) struct Acquired<'q> {
    pub(crate) session: Session,
    /// Released after the session, so that the next task in the line finds the session in the pool.
    pub(crate) permit: Option<Permit<'q>>,
}

/// Releases a connection that may not be used again, although it may look open. The pool discards it.
pub(crate) fn discard(mut session: Session) {
    mark_broken(&mut session);
    drop(session);
}

impl Bind for PooledConnection<'_, AsyncPgConnection> {
    fn conn(&self) -> &AsyncPgConnection {
        self
    }
}
