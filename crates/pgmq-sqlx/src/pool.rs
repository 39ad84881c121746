//! The pool, its sessions, and the state that the clones of a queue share.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use pgmq_core::backend;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tokio::runtime::Handle;

use crate::connection::sealed::Bind;
use crate::error::Error;
use crate::losses::Losses;
use crate::run::PreparedMode;
use crate::timeout::timeout;

/// A pool of connections of this driver.
pub type Pool = sqlx::PgPool;

/// A connection that was acquired from the pool. Dropping it releases it.
///
/// A session derefs to the driver's connection: pass `&mut *session` to sqlx.
///
/// When a session is released, the driver tests its connection by a round trip, in a task. A connection that
/// does not answer within the connect timeout is closed, which frees its place in the pool. A session can be
/// dropped outside its runtime, too. After the end of the runtime, dropping it closes its connection.
pub struct Session {
    /// `Some` until the session is released, or taken apart.
    connection: Option<PoolConnection<Postgres>>,
    /// `None` on other runtimes than Tokio. They are global, so that the driver finds them anywhere.
    runtime: Option<Handle>,
    /// The limit for the test of a released connection.
    limit: Duration,
    closes_on_drop: bool,
}

impl Session {
    /// Wraps a connection that was acquired on the current runtime.
    pub(crate) fn new(connection: PoolConnection<Postgres>, limit: Duration) -> Self {
        let runtime = Handle::try_current().ok();
        Self { connection: Some(connection), runtime, limit, closes_on_drop: false }
    }

    /// Closes the connection when the session is dropped, instead of releasing it.
    ///
    /// The connection is closed at once and without a message to the server, which rolls back a transaction,
    /// and stops a statement when it next checks its client.
    pub fn close_on_drop(&mut self) {
        self.closes_on_drop = true;
    }

    /// Revokes [`close_on_drop`](Self::close_on_drop).
    pub(crate) fn keep_on_drop(&mut self) {
        self.closes_on_drop = false;
    }

    /// Releases the connection, and waits until it is in the pool again, or closed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_sqlx::PGMQueue) -> Result<(), pgmq_sqlx::Error> {
    /// let mut session = queue.session().await?;
    /// queue.with(&mut session).send("orders", "created").await?;
    /// session.release().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn release(mut self) {
        let limit = self.limit;
        if !self.closes_on_drop
            && let Some(releasing) = self.begin_release()
        {
            // A connection whose release is dropped is closed.
            let _ = timeout(limit, releasing).await;
        }
    }

    /// Returns the driver's own pooled connection, whose release has no limit, and which has to be dropped
    /// inside its runtime.
    pub fn into_inner(mut self) -> PoolConnection<Postgres> {
        #[expect(
            clippy::expect_used,
            reason = "only this method, `release` and `drop` take the connection, and all end the session"
        )]
        self.connection.take().expect("the connection is there until the session ends")
    }

    /// Takes the connection for its release. Dropping the future closes the connection and frees its place
    /// in the pool, without a task.
    fn begin_release(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        // The driver spawns tasks when an empty pooled connection is dropped, if the pool has a minimum.
        let _runtime = self.runtime.as_ref().map(Handle::enter);
        let mut connection = self.connection.take()?;
        Some(connection.return_to_pool())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.runtime.is_none() && !self.closes_on_drop {
            // The driver releases the connection.
            return;
        }
        let limit = self.limit;
        let Some(releasing) = self.begin_release() else { return };
        match &self.runtime {
            // If the runtime has ended, it drops the task at once.
            Some(runtime) if !self.closes_on_drop => {
                runtime.spawn(async move { tokio::time::timeout(limit, releasing).await });
            }
            _ => drop(releasing),
        }
    }
}

impl Deref for Session {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `into_inner`, `release` and `drop` take the connection, and all end the session"
        )]
        self.connection.as_ref().expect("the connection is there until the session ends")
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `into_inner`, `release` and `drop` take the connection, and all end the session"
        )]
        self.connection.as_mut().expect("the connection is there until the session ends")
    }
}

impl AsMut<PgConnection> for Session {
    fn as_mut(&mut self) -> &mut PgConnection {
        self
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

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
