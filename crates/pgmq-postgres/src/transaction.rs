//! Transactions on the connections of a pool.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::thread;

use pgmq_core::backend::{COMMIT, TransactionModes};
use pgmq_driver_tokio_postgres::{StatementCache, isolation_level};
use postgres::{Client, Error};

use crate::connection::sealed::Bind;
use crate::run::ConnRef;
use crate::runtime::is_in_runtime;

/// The driver's transaction, on a connection of a pool.
///
/// Use it like the driver's transaction, also where a function takes a reference to that type; pass it to
/// generic functions as `&mut **transaction`. It differs in two ways: a queue that is bound to it uses the
/// connection's cache of prepared statements, if the pool has one; and `commit` fails if a statement in the
/// transaction has failed, whereas the driver's `commit` reports success.
///
/// A transaction that is dropped before it is committed is rolled back.
pub struct Transaction<'c> {
    /// `None` only once the transaction has ended.
    transaction: Option<postgres::Transaction<'c>>,
    /// The connection's cache of prepared statements, if it has one.
    pub(crate) statements: Option<&'c StatementCache>,
    is_savepoint: bool,
}

impl<'c> Transaction<'c> {
    pub(crate) fn begin(
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
        Ok(Self { transaction: Some(builder.start()?), statements, is_savepoint: false })
    }

    /// Commits. A savepoint becomes part of the transaction around it.
    ///
    /// # Errors
    ///
    /// The driver's. With SQLSTATE `25P02`, a statement in the transaction has failed, and nothing is
    /// committed.
    pub fn commit(mut self) -> Result<(), Error> {
        if !self.is_savepoint {
            self.batch_execute(COMMIT)?;
        }
        match self.transaction.take() {
            Some(savepoint) if self.is_savepoint => savepoint.commit(),
            // The driver's `Drop` would send ROLLBACK after our COMMIT. The value owns nothing, so forgetting
            // it leaks nothing.
            transaction => {
                mem::forget(transaction);
                Ok(())
            }
        }
    }

    /// Rolls back. A savepoint rolls back only the work since it was set.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn rollback(mut self) -> Result<(), Error> {
        self.transaction.take().map_or(Ok(()), postgres::Transaction::rollback)
    }

    /// Sets a savepoint: a nested transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let statements = self.statements;
        let transaction = Some((**self).transaction()?);
        Ok(Transaction { transaction, statements, is_savepoint: true })
    }

    /// Sets a savepoint with this name: a nested transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn savepoint(&mut self, name: impl Into<String>) -> Result<Transaction<'_>, Error> {
        let statements = self.statements;
        let transaction = Some((**self).savepoint(name)?);
        Ok(Transaction { transaction, statements, is_savepoint: true })
    }
}

impl<'c> Deref for Transaction<'c> {
    type Target = postgres::Transaction<'c>;

    #[expect(clippy::expect_used, reason = "only the methods that consume the transaction take it")]
    fn deref(&self) -> &Self::Target {
        self.transaction.as_ref().expect("the transaction is there until it has ended")
    }
}

impl DerefMut for Transaction<'_> {
    #[expect(clippy::expect_used, reason = "only the methods that consume the transaction take it")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.transaction.as_mut().expect("the transaction is there until it has ended")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        if is_in_runtime() {
            // The driver rolls back in its own runtime, which it cannot do on this thread. If no thread can
            // be started, the transaction is dropped with the closure, on this thread.
            thread::scope(|scope| {
                let roll_back = thread::Builder::new().name("pgmq-rollback".to_owned());
                drop(roll_back.spawn_scoped(scope, move || drop(transaction)));
            });
        }
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl Bind for Transaction<'_> {
    fn conn(&mut self) -> ConnRef<'_> {
        ConnRef { statements: self.statements, runner: &mut **self }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("is_savepoint", &self.is_savepoint).finish_non_exhaustive()
    }
}
