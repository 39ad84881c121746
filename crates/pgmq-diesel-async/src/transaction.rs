//! A transaction that Diesel knows of, so that Diesel's own transactions nest in it.

use std::time::Duration;

use diesel::result::QueryResult;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use pgmq_core::ErrorKind;
use pgmq_core::backend::{COMMIT, TransactionModes, savepoint_takes_no_options};

use crate::error::Error;
use crate::run::mark_broken;

type Manager = AnsiTransactionManager;

/// The time within which the server answers a rollback, unless it runs a statement still.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);

/// The state of the connection after a transaction.
pub(crate) enum Ended {
    /// The server has answered all requests.
    Answered,
    /// The server may run a statement that the closure has dropped.
    Unanswered,
    /// The connection is of no further use.
    Lost,
}

/// A transaction that was begun.
pub(crate) struct OpenTransaction<'s> {
    connection: &'s mut AsyncPgConnection,
    /// 1, or more for a savepoint in a surrounding transaction, such as Diesel's test transaction.
    depth: u32,
}

impl<'s> OpenTransaction<'s> {
    pub(crate) async fn begin(
        connection: &'s mut AsyncPgConnection,
        modes: TransactionModes,
    ) -> Result<Self, Error> {
        match modes.begin() {
            None => Manager::begin_transaction(connection).await?,
            Some(_) if is_in_transaction(connection) => return Err(savepoint_takes_no_options().into()),
            Some(begin) => Manager::begin_transaction_sql(connection, &begin).await?,
        }
        let depth = depth(connection)?;
        Ok(Self { connection, depth })
    }

    /// Runs a closure in the transaction, and commits or rolls back.
    pub(crate) async fn run<R, E: From<Error>>(
        mut self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<R, E>,
    ) -> (Result<R, E>, Ended) {
        let error = match work(self.connection).await {
            Ok(done) => match self.commit().await {
                Ok(()) => return (Ok(done), Ended::Answered),
                Err(error) => {
                    let ended = self.roll_back_in_time().await;
                    // Diesel hides if the server has ended the session with its report. Only if the session
                    // still works is the report certain to be the server's reply to COMMIT.
                    let is_open = self.depth == 1 && !matches!(ended, Ended::Answered);
                    let error = if is_open { error.in_doubt() } else { error };
                    return (Err(error.into()), ended);
                }
            },
            Err(error) => error,
        };
        (Err(error), self.roll_back_in_time().await)
    }

    async fn roll_back_in_time(&mut self) -> Ended {
        tokio::time::timeout(ROLLBACK_LIMIT, self.roll_back()).await.unwrap_or(Ended::Unanswered)
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let depth = depth(self.connection)?;
        if depth != self.depth || was_interrupted(self.connection) {
            return Err(unfinished(depth).into());
        }
        if depth > 1 {
            return Ok(Manager::commit_transaction(self.connection).await?);
        }
        // Diesel's own commit would not notice that the transaction has failed.
        let mut connection = &*self.connection;
        connection.batch_execute(COMMIT).await.map_err(Error::committing)?;
        *Manager::transaction_manager_status_mut(self.connection) = Default::default();
        Ok(())
    }

    /// Rolls back, together with all transactions that were begun inside. If that fails, the connection is
    /// unusable, and the pool discards it; the server then rolls back.
    async fn roll_back(&mut self) -> Ended {
        while depth(self.connection).is_ok_and(|depth| depth >= self.depth) {
            if was_interrupted(self.connection) {
                mark_broken(self.connection);
                return Ended::Unanswered;
            }
            if Manager::rollback_transaction(self.connection).await.is_err() {
                return Ended::Lost;
            }
        }
        Ended::Answered
    }
}

/// Returns `true` if the next statement on this connection is in a transaction.
pub(crate) fn is_in_transaction(connection: &mut AsyncPgConnection) -> bool {
    depth(connection).is_ok_and(|depth| depth > 0)
}

/// The number of transactions that the next statement on this connection is in.
fn depth(connection: &mut AsyncPgConnection) -> QueryResult<u32> {
    let depth = Manager::transaction_manager_status_mut(connection).transaction_depth()?;
    Ok(depth.map_or(0, u32::from))
}

/// Returns `true` if a future was dropped while it began or ended a transaction, which leaves open whether it
/// did.
fn was_interrupted(connection: &mut AsyncPgConnection) -> bool {
    // Diesel's answer is also `true` for a connection in a transaction, so the status is taken away while it
    // is asked.
    let status = std::mem::take(Manager::transaction_manager_status_mut(connection));
    let was_interrupted = Manager::is_broken_transaction_manager(connection);
    *Manager::transaction_manager_status_mut(connection) = status;
    was_interrupted
}

fn unfinished(depth: u32) -> pgmq_core::Error {
    let text = match depth {
        0 => {
            "the closure has ended the transaction itself; return `Ok` to commit or `Err` to roll back instead"
        }
        _ => "a nested transaction was dropped before its end, so nothing was committed; return its error",
    };
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
}
