//! A transaction that Diesel knows of, so that Diesel's own transactions nest in it.

use diesel::result::QueryResult;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use pgmq_core::ErrorKind;
use pgmq_core::backend::COMMIT;

use crate::error::Error;
use crate::in_flight::cancel;
use crate::pool::Shared;
use crate::run::mark_broken;

type Manager = AnsiTransactionManager;

/// A transaction that was begun.
///
/// If the future that runs it is dropped, the pool discards the connection, because the connection is in a
/// transaction. But the server would notice that only when the statement in flight ends, and would keep the
/// locks until then. So the server is asked to cancel the statement.
pub(crate) struct OpenTransaction<'s> {
    connection: &'s mut AsyncPgConnection,
    /// 1, or more for a savepoint in a surrounding transaction, such as Diesel's test transaction.
    depth: u32,
    shared: &'s Shared,
    /// `true` until the user's closure has ended.
    is_open: bool,
}

impl<'s> OpenTransaction<'s> {
    pub(crate) async fn begin(
        connection: &'s mut AsyncPgConnection,
        shared: &'s Shared,
    ) -> Result<Self, Error> {
        Manager::begin_transaction(connection).await?;
        let depth = depth(connection)?;
        Ok(Self { connection, depth, shared, is_open: true })
    }

    /// Runs a closure in the transaction, and commits or rolls back.
    pub(crate) async fn run<R, E: From<Error>>(
        mut self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let done = work(self.connection).await;
        self.is_open = false;
        match done {
            Ok(done) => self.commit().await.map(|()| done).map_err(E::from),
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let depth = depth(self.connection)?;
        if depth != self.depth || was_interrupted(self.connection) {
            self.roll_back().await;
            return Err(unfinished(depth).into());
        }
        if depth > 1 {
            return Ok(Manager::commit_transaction(self.connection).await?);
        }
        // Diesel's own commit would not notice that the transaction has failed.
        let mut connection = &*self.connection;
        match connection.batch_execute(COMMIT).await {
            Ok(()) => {
                *Manager::transaction_manager_status_mut(self.connection) = Default::default();
                Ok(())
            }
            Err(error) => {
                self.roll_back().await;
                Err(Error::committing(error))
            }
        }
    }

    /// Rolls back, together with all transactions that were begun inside. If that fails, the connection is
    /// unusable, and the pool discards it; the server then rolls back.
    async fn roll_back(&mut self) {
        while depth(self.connection).is_ok_and(|depth| depth >= self.depth) {
            if was_interrupted(self.connection) {
                mark_broken(self.connection);
            } else if Manager::rollback_transaction(self.connection).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        if !self.is_open || self.depth > 1 {
            return;
        }
        let cancelling = cancel(self.connection, self.shared);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(cancelling);
        }
    }
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
