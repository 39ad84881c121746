//! A transaction that Diesel knows of, so that its own nest in it.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;
use diesel::prelude::QueryResult;
use pgmq_core::ErrorKind;
use pgmq_core::backend::COMMIT;

use crate::Error;

/// What a transaction is to Diesel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Outermost,
    /// A savepoint. The sessions of Diesel's pools for tests are in a transaction from the first.
    Nested,
}

impl Level {
    pub(crate) fn begin(connection: &mut PgConnection) -> QueryResult<Self> {
        match AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN") {
            Ok(()) => Ok(Self::Outermost),
            Err(diesel::result::Error::AlreadyInTransaction) => {
                AnsiTransactionManager::begin_transaction(connection).map(|()| Self::Nested)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn commit(self, connection: &mut PgConnection) -> Result<(), Error> {
        match self {
            // Diesel sees by what libpq knows of the transaction after each command that this one has ended it.
            Self::Outermost => {
                is_in_transaction(connection)?;
                let committed = connection.batch_execute(COMMIT);
                if committed.is_err() {
                    self.roll_back(connection);
                }
                Ok(committed?)
            }
            // Here the server refuses by itself what cannot be, and Diesel rolls back.
            Self::Nested => Ok(AnsiTransactionManager::commit_transaction(connection)?),
        }
    }

    /// Where this fails, there is no transaction any more, or the pool drops the connection.
    pub(crate) fn roll_back(self, connection: &mut PgConnection) {
        let mut is_rolled_back = AnsiTransactionManager::rollback_transaction(connection).is_ok();
        // The closure may have left savepoints of its own behind.
        while is_rolled_back && self == Self::Outermost {
            is_rolled_back = AnsiTransactionManager::rollback_transaction(connection).is_ok();
        }
    }
}

/// Fails where the closure has ended the transaction by itself: the server would take the commit, and do nothing.
fn is_in_transaction(connection: &mut PgConnection) -> Result<(), Error> {
    // In a transaction, Diesel refuses to begin one before it sends anything; and that is the only way to ask it.
    match AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN") {
        Err(diesel::result::Error::AlreadyInTransaction) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => {
            AnsiTransactionManager::rollback_transaction(connection)?;
            let text = "the closure has ended the transaction by itself; leave that to its result";
            Err(pgmq_core::Error::new(ErrorKind::InvalidArgument, text).into())
        }
    }
}
