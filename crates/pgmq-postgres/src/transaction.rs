//! Transactions on the connections of a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};

use pgmq_core::backend::COMMIT;
use pgmq_driver_tokio_postgres::Statements;
use postgres::{Client, Error};

/// The driver's transaction, on a connection of a pool.
///
/// It is used like the driver's, and can be given to whatever takes a reference to that; to generic functions as
/// `&mut **transaction`. It differs in two things: the queue that is bound to it has its statements stay prepared, where they do
/// on the pool; and it cannot be committed if a statement in it has failed, which the driver's `commit` takes for a success.
///
/// Dropped before it is committed, it is rolled back.
pub struct Transaction<'c> {
    transaction: postgres::Transaction<'c>,
    /// Those of the connection, if any stay prepared on it.
    pub(crate) statements: Option<&'c Statements>,
    is_savepoint: bool,
}

impl<'c> Transaction<'c> {
    pub(crate) fn begin(client: &'c mut Client, statements: Option<&'c Statements>) -> Result<Self, Error> {
        Ok(Self { transaction: client.transaction()?, statements, is_savepoint: false })
    }

    /// Commits; a savepoint becomes a part of the transaction that it is in.
    ///
    /// # Errors
    ///
    /// The driver's. With SQLSTATE `25P02`, a statement in it has failed: nothing is committed.
    pub fn commit(mut self) -> Result<(), Error> {
        if self.is_savepoint {
            return self.transaction.commit();
        }
        self.transaction.batch_execute(COMMIT)?;
        // It holds nothing but a borrow, and would roll back what is committed.
        std::mem::forget(self.transaction);
        Ok(())
    }

    /// Rolls back; a savepoint, what has been done since it was set.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback()
    }

    /// Sets a savepoint, for a transaction in the transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let transaction = self.transaction.transaction()?;
        Ok(Transaction { transaction, statements: self.statements, is_savepoint: true })
    }

    /// Sets a savepoint of this name, for a transaction in the transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn savepoint(&mut self, name: impl Into<String>) -> Result<Transaction<'_>, Error> {
        let transaction = self.transaction.savepoint(name)?;
        Ok(Transaction { transaction, statements: self.statements, is_savepoint: true })
    }
}

impl<'c> Deref for Transaction<'c> {
    type Target = postgres::Transaction<'c>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("is_savepoint", &self.is_savepoint).finish_non_exhaustive()
    }
}
