//! The pool, its sessions, and the state that the clones of a queue share.

use pgmq_core::backend;
use pgmq_driver_tokio_postgres::{FairPermits, Tls};

use crate::connection::sealed::Bind;
use crate::error::Error;
use crate::manager::{IS_DISCARDED, ManageClients, Manager};
use crate::run::ConnRef;

/// A pool of connections of this driver.
pub type Pool<M = Manager> = bb8::Pool<M>;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session<M = Manager> = bb8::PooledConnection<'static, M>;

/// The state that the clones of a queue share.
pub(crate) type Shared = backend::Shared<Error, DriverState>;

/// The part of the shared state that only this driver needs.
pub(crate) struct DriverState {
    /// One permit for each connection of the pool.
    pub(crate) permits: FairPermits,
    /// The encryption of cancel requests, which use their own connections. A pool that the user supplied does
    /// not expose its encryption, so cancel requests are not encrypted then.
    pub(crate) tls: Tls,
}

impl DriverState {
    pub(crate) fn new<M: ManageClients>(pool: &Pool<M>, tls: Tls) -> Self {
        Self { permits: FairPermits::new(pool.config().max_size), tls }
    }
}

/// Releases a connection that must not be used again, although it may look open. The pool of a [`Manager`]
/// discards it; a pool with another manager may or may not notice by itself.
pub(crate) fn discard<M: ManageClients>(session: Session<M>) {
    IS_DISCARDED.set(true);
    // The pool asks the manager before `drop` returns, on this thread.
    drop(session);
    IS_DISCARDED.set(false);
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl<M: ManageClients> Bind for bb8::PooledConnection<'_, M> {
    fn conn(&self) -> ConnRef<'_> {
        (**self).conn()
    }
}
