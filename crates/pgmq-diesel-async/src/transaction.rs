//! A transaction that Diesel knows of, so that its own nest in it.

use diesel::result::QueryResult;
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, SimpleAsyncConnection, TransactionManager};
use pgmq_core::ErrorKind;
use pgmq_core::backend::COMMIT;

use crate::Error;
use crate::run::{Stop, condemn};

type Manager = AnsiTransactionManager;

/// A transaction that was begun.
pub(crate) struct Begun<'s> {
    connection: &'s mut AsyncPgConnection,
    /// 1, unless there was a transaction around it, such as Diesel's test transaction; then it is a savepoint in that.
    depth: u32,
    stop: Stop<'s>,
    /// The user's closure runs, and has not come to its end.
    is_open: bool,
}

impl<'s> Begun<'s> {
    pub(crate) async fn begin(connection: &'s mut AsyncPgConnection, stop: Stop<'s>) -> Result<Self, Error> {
        Manager::begin_transaction(connection).await?;
        let depth = depth(connection)?;
        Ok(Self { connection, depth, stop, is_open: true })
    }

    /// Runs a closure in it, and ends it.
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
        if depth != self.depth || was_cut_off(self.connection) {
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
                Err(error.into())
            }
        }
    }

    /// Rolls it back, with all that was begun in it. Where that fails, the connection is of no use any more, and the pool
    /// closes it; then the server rolls back.
    async fn roll_back(&mut self) {
        while depth(self.connection).is_ok_and(|depth| depth >= self.depth) {
            if was_cut_off(self.connection) {
                condemn(self.connection);
            } else if Manager::rollback_transaction(self.connection).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Begun<'_> {
    /// Whoever waited for the transaction has gone. The pool closes the connection, since it is in a transaction; but the
    /// server would not notice before the statement ends that it is at, and keep its locks.
    fn drop(&mut self) {
        if !self.is_open || self.depth > 1 {
            return;
        }
        let stopped = self.stop.tell(self.connection.cancel_token());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(stopped);
        }
    }
}

/// How many transactions are around what comes next on this connection.
fn depth(connection: &mut AsyncPgConnection) -> QueryResult<u32> {
    let depth = Manager::transaction_manager_status_mut(connection).transaction_depth()?;
    Ok(depth.map_or(0, u32::from))
}

/// Whether a future was dropped that was about to begin or to end a transaction: then nobody knows whether it did.
fn was_cut_off(connection: &mut AsyncPgConnection) -> bool {
    // Diesel says so only together with being in a transaction; so for this question it is in none.
    let status = std::mem::take(Manager::transaction_manager_status_mut(connection));
    let was_cut_off = Manager::is_broken_transaction_manager(connection);
    *Manager::transaction_manager_status_mut(connection) = status;
    was_cut_off
}

fn unfinished(depth: u32) -> pgmq_core::Error {
    let text = match depth {
        0 => "the transaction was ended inside of its closure; leave that to the queue",
        _ => {
            "a transaction inside of this one was dropped before its end, so nothing was committed; return its error"
        }
    };
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
}
