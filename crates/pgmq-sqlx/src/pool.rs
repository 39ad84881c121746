//! The pool, its sessions, and the state that the clones of a queue share.

use pgmq_core::backend;
use sqlx::PgConnection;

use crate::connection::sealed::Bind;
use crate::error::Error;
use crate::losses::Losses;
use crate::run::PreparedMode;

/// A pool of connections of this driver.
pub type Pool = sqlx::PgPool;

/// A connection that was acquired from the pool. Dropping it releases it.
pub type Session = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// A transaction of this driver.
pub type Transaction<'c> = sqlx::Transaction<'c, sqlx::Postgres>;

/// The state that the clones of a queue share. Its `last_connect_error` stays empty: the driver's pool
/// returns a refusal by itself, and gives no access to the errors after which it tries again.
pub(crate) type Shared = backend::Shared<Error, DriverState>;

/// The part of the shared state that only this driver needs.
#[derive(Debug, Default)]
pub(crate) struct DriverState {
    pub(crate) losses: Losses,
    pub(crate) prepared: PreparedMode,
}

/// Releases a connection that must not be used again, and that the pool therefore closes.
pub(crate) fn discard(mut session: Session) {
    session.close_on_drop();
}

impl Bind for Session {
    fn conn(&mut self) -> &mut PgConnection {
        self
    }
}

impl Bind for Transaction<'_> {
    fn conn(&mut self) -> &mut PgConnection {
        self
    }
}
