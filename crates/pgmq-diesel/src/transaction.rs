//! Transactions that Diesel's transaction manager tracks, so that Diesel's own transactions nest in them.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use pgmq_core::ErrorKind;
use pgmq_core::backend::{BEGIN, COMMIT, TransactionModes, savepoint_takes_no_options};

use crate::error::Error;

/// An open transaction, by its level in Diesel's transaction manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenTransaction {
    /// A transaction of the server.
    Outermost,
    /// A savepoint. The sessions of Diesel's pools for tests are in a transaction from the start.
    Nested,
}

impl OpenTransaction {
    pub(crate) fn begin(connection: &mut PgConnection, modes: TransactionModes) -> Result<Self, Error> {
        let begin = modes.begin();
        match AnsiTransactionManager::begin_transaction_sql(connection, begin.as_deref().unwrap_or(BEGIN)) {
            Ok(()) => Ok(Self::Outermost),
            Err(diesel::result::Error::AlreadyInTransaction) if begin.is_some() => {
                Err(savepoint_takes_no_options().into())
            }
            Err(diesel::result::Error::AlreadyInTransaction) => {
                AnsiTransactionManager::begin_transaction(connection)?;
                Ok(Self::Nested)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn commit(self, connection: &mut PgConnection) -> Result<(), Error> {
        match self {
            // After each command, Diesel asks libpq for the state of the transaction, so it notices that this
            // one ended.
            Self::Outermost => {
                is_in_transaction(connection)?;
                let committed = connection.batch_execute(COMMIT);
                if committed.is_err() {
                    self.roll_back(connection);
                }
                committed.map_err(Error::committing)
            }
            // The server itself refuses to release a savepoint if that is not possible, and Diesel then rolls
            // back.
            Self::Nested => Ok(AnsiTransactionManager::commit_transaction(connection)?),
        }
    }

    /// Rolls back. If that fails, the transaction is already over, or the pool discards the connection.
    pub(crate) fn roll_back(self, connection: &mut PgConnection) {
        let mut is_rolled_back = AnsiTransactionManager::rollback_transaction(connection).is_ok();
        // The closure may have left its own savepoints open.
        while is_rolled_back && self == Self::Outermost {
            is_rolled_back = AnsiTransactionManager::rollback_transaction(connection).is_ok();
        }
    }
}

/// Fails if the closure itself has ended the transaction: the server would accept the commit, and do nothing.
fn is_in_transaction(connection: &mut PgConnection) -> Result<(), Error> {
    // In a transaction, Diesel refuses to begin one before it sends anything. There is no other way to ask
    // Diesel.
    match AnsiTransactionManager::begin_transaction_sql(connection, BEGIN) {
        Err(diesel::result::Error::AlreadyInTransaction) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            AnsiTransactionManager::rollback_transaction(connection)?;
            let text = "the closure has ended the transaction itself; return `Ok` to commit or `Err` to roll back instead";
            Err(pgmq_core::Error::new(ErrorKind::InvalidArgument, text).into())
        }
    }
}
