//! The pool, its sessions, and the state that the clones of a queue share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::pg::PgConnection;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use pgmq_core::backend::{self, OpenConnections};

use crate::connection::sealed::Bind;

/// A pool of connections of this driver.
pub type Pool = diesel::r2d2::Pool<ConnectionManager<PgConnection>>;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session = PooledConnection<ConnectionManager<PgConnection>>;

/// The state that the clones of a queue share.
pub(crate) type Shared = backend::Shared<diesel::r2d2::Error, DriverState>;

/// The part of the shared state that only this driver needs.
#[derive(Debug, Default)]
pub(crate) struct DriverState {
    /// The losses of the pool's connections.
    pub(crate) losses: Losses,
    /// The number of connections of the queue's own pool; `None` for a pool of the user's.
    pub(crate) open: Option<OpenConnections>,
}

/// The number of a pool's connections that were found to be lost.
#[derive(Debug, Default)]
pub(crate) struct Losses(AtomicU64);

/// The longest wait for a pooled connection at a time. The pool wakes no waiter when it discards a lost
/// connection, but each wait begins by opening a connection if the pool has room for one.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_millis(500);

impl Losses {
    /// Counts a loss, which casts doubt on all other connections.
    pub(crate) fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of losses so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Releases a connection that must not be used again, and that the pool therefore discards.
pub(crate) fn discard(mut session: Session) {
    // The pool asks Diesel if a connection is broken, and Diesel asks its transaction manager.
    AnsiTransactionManager::transaction_manager_status_mut(&mut *session).set_in_error();
}

impl Bind for Session {
    fn connection(&mut self) -> &mut PgConnection {
        self
    }
}
