//! Transactions on the connections of a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use pgmq_core::ErrorKind;
use pgmq_core::backend::{COMMIT, TransactionModes};
use pgmq_driver_tokio_postgres::{StatementCache, isolation_level};
use tokio_postgres::{Client, Error};

use crate::connection::sealed::Bind;
use crate::run::ConnRef;

/// The time within which the server answers a rollback, unless it runs a statement still.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);

/// The state of the connection after a transaction.
pub(crate) enum Ended {
    /// The server has answered all requests.
    Answered,
    /// The server has not answered the rollback, as it runs a statement that the closure has dropped.
    Unanswered,
    /// The connection is of no further use.
    Lost,
}

/// The driver's transaction, on a connection of a pool.
///
/// Use it like the driver's transaction, also where a function takes a reference to that type; pass it to
/// generic functions as `&mut **transaction`. It differs in two ways: a queue that is bound to it uses the
/// connection's cache of prepared statements, if the pool has one; and `commit` fails if a statement in the
/// transaction has failed, whereas the driver's `commit` reports success.
///
/// A transaction that is dropped before it is committed is rolled back.
pub struct Transaction<'c> {
    transaction: tokio_postgres::Transaction<'c>,
    /// The connection's cache of prepared statements, if it has one.
    pub(crate) statements: Option<&'c StatementCache>,
    is_savepoint: bool,
}

impl<'c> Transaction<'c> {
    pub(crate) async fn begin(
        client: &'c mut Client,
        statements: Option<&'c StatementCache>,
        modes: TransactionModes,
    ) -> Result<Self, Error> {
        let mut builder = client.build_transaction();
        if let Some(level) = modes.isolation {
            builder = builder.isolation_level(isolation_level(level));
        }
        if let Some(read_only) = modes.read_only {
            builder = builder.read_only(read_only);
        }
        if let Some(deferrable) = modes.deferrable {
            builder = builder.deferrable(deferrable);
        }
        Ok(Self { transaction: builder.start().await?, statements, is_savepoint: false })
    }

    /// Runs the closure, and commits if it succeeds, or rolls back.
    pub(crate) async fn run<R, E: From<crate::error::Error>>(
        mut self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> (Result<R, E>, Ended) {
        let error = match work(&mut self).await {
            Ok(done) => {
                let Err(error) = self.commit().await else { return (Ok(done), Ended::Answered) };
                let error = crate::error::Error::committing(error);
                let is_lost = error.kind() == ErrorKind::Connection;
                return (Err(error.into()), if is_lost { Ended::Lost } else { Ended::Answered });
            }
            Err(error) => error,
        };
        let ended = match tokio::time::timeout(ROLLBACK_LIMIT, self.rollback()).await {
            Ok(Ok(())) => Ended::Answered,
            Ok(Err(_)) => Ended::Lost,
            Err(_) => Ended::Unanswered,
        };
        (Err(error), ended)
    }

    /// Commits. A savepoint becomes part of the transaction around it.
    ///
    /// # Errors
    ///
    /// The driver's. With SQLSTATE `25P02`, a statement in the transaction has failed, and nothing is
    /// committed.
    pub async fn commit(self) -> Result<(), Error> {
        if self.is_savepoint {
            return self.transaction.commit().await;
        }
        self.transaction.batch_execute(COMMIT).await?;
        // `Drop` would send ROLLBACK after our COMMIT. The value owns nothing, so forgetting it leaks
        // nothing.
        std::mem::forget(self.transaction);
        Ok(())
    }

    /// Rolls back. A savepoint rolls back only the work since it was set.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback().await
    }

    /// Sets a savepoint: a nested transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let transaction = self.transaction.transaction().await?;
        Ok(Transaction { transaction, statements: self.statements, is_savepoint: true })
    }

    /// Sets a savepoint with this name: a nested transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn savepoint(&mut self, name: impl Into<String>) -> Result<Transaction<'_>, Error> {
        let transaction = self.transaction.savepoint(name).await?;
        Ok(Transaction { transaction, statements: self.statements, is_savepoint: true })
    }
}

impl<'c> Deref for Transaction<'c> {
    type Target = tokio_postgres::Transaction<'c>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl Bind for Transaction<'_> {
    fn conn(&self) -> ConnRef<'_> {
        ConnRef { client: self.client(), statements: self.statements }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("is_savepoint", &self.is_savepoint).finish_non_exhaustive()
    }
}
