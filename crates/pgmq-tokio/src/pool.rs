//! The pool, its sessions, and the state that the clones of a queue share.

use pgmq_core::backend;
use pgmq_driver_tokio_postgres::{Background, FairPermits, Permit};

use crate::connection::sealed::Bind;
use crate::error::Error;
use crate::manager::{ManageClients, Manager};
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
    /// The tasks that clean up after dropped futures and listeners.
    pub(crate) background: Background,
}

impl DriverState {
    pub(crate) fn new<M: ManageClients>(pool: &Pool<M>) -> Self {
        Self { permits: FairPermits::new(pool.config().max_size), background: Background::default() }
    }
}

/// A session, and the permit with which it was acquired. The fields are dropped in this order.
pub(crate) struct Acquired<'q, M: ManageClients> {
    pub(crate) session: Session<M>,
    /// Released after the session, so that the next task in the line finds the session in the pool.
    pub(crate) permit: Option<Permit<'q>>,
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl<M: ManageClients> Bind for bb8::PooledConnection<'_, M> {
    fn conn(&self) -> ConnRef<'_> {
        (**self).conn()
    }
}
