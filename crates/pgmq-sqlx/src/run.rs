//! Running a query on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use pgmq_core::backend::{FailureClass, ROLLBACK};
use pgmq_core::{ErrorKind, Output, Query, SqlVariant};
use sqlx::{AssertSqlSafe, Connection, Either, Executor, PgConnection};

use crate::error::{Error, kind_of, server_report};
use crate::panics::{catch, catch_poll};
use crate::wire::{SqlxRow, arguments};

/// The error of a query, and its class.
pub(crate) struct RunError {
    pub(crate) class: FailureClass,
    pub(crate) error: Error,
}

impl RunError {
    fn new<O: Output>(query: &Query<'_, O>, error: sqlx::Error, is_complete: bool) -> Self {
        let class = match server_report(&error) {
            Some(report) => report.failure_class(is_complete),
            None if kind_of(&error, None) == ErrorKind::Connection => FailureClass::Lost,
            None => FailureClass::Other,
        };
        Self { class, error: Error::during(query.context(), class)(error) }
    }
}

/// The record of whether the connections keep statements prepared for the next run.
///
/// The driver keeps them unless its cache is switched off. With the cache off, it would still name them, and
/// never deallocate them. So once the cache is known to be off, statements are prepared without names.
#[derive(Debug, Default)]
pub(crate) struct PreparedMode {
    is_off: AtomicBool,
}

impl PreparedMode {
    /// The mode of connections with a statement cache.
    pub(crate) fn on() -> Self {
        Self::default()
    }

    /// The mode of connections without a statement cache.
    pub(crate) fn off() -> Self {
        Self { is_off: AtomicBool::new(true) }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// Switches to [`off`](Self::off) if the connection has not cached a statement that was prepared to stay.
    fn observe(&self, connection: &PgConnection) {
        if connection.cached_statements_size() == 0 {
            self.is_off.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs one variant of a query.
///
/// A statement that stays prepared takes one round trip. The first run of a text on a connection takes one
/// more.
pub(crate) async fn run<O: Output>(
    connection: &mut PgConnection,
    prepared: &PreparedMode,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
) -> Result<O, RunError> {
    let failed = |error, is_complete| RunError::new(query, error, is_complete);
    let arguments =
        arguments(query.params_of(variant)).map_err(|error| failed(sqlx::Error::Encode(error), false))?;
    let is_persistent = !prepared.is_off();
    let statement = sqlx::query_with(AssertSqlSafe(variant.text), arguments).persistent(is_persistent);
    let mut rows = query.rows();
    let mut is_complete = false;
    let ran = {
        let mut arriving = connection.fetch_many(statement);
        loop {
            match poll_fn(|cx| catch_poll(|| arriving.as_mut().poll_next(cx))).await {
                Some(Ok(Either::Right(row))) => rows.push(SqlxRow(row)),
                Some(Ok(Either::Left(_))) => is_complete = true,
                Some(Err(error)) => break Err(failed(error, is_complete)),
                None => break Ok(()),
            }
        }
    };
    match ran {
        Ok(()) if is_persistent => prepared.observe(connection),
        // A stale statement that stayed in the cache would fail each time. If the driver cannot clear the
        // cache, the connection is broken, and its next use fails as well.
        Err(RunError { class: FailureClass::StalePlan, .. }) => {
            prepared.observe(connection);
            drop(catch(connection.clear_cached_statements()).await);
        }
        _ => {}
    }
    ran?;
    rows.finish(|| query.context())
        .map_err(|error| RunError { class: FailureClass::Other, error: error.into() })
}

/// Runs one variant of a query in a transaction around it.
///
/// If no statement stays prepared, the driver prepares the statement in one round trip and runs it in
/// another. Outside a transaction, a pooler may run the two on different server sessions.
pub(crate) async fn run_in_transaction<O: Output>(
    connection: &mut PgConnection,
    prepared: &PreparedMode,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
) -> Result<O, RunError> {
    let mut open = OpenTransaction { connection, has_begun: false };
    // A failed BEGIN proves that nothing was committed, and a failed COMMIT proves nothing.
    let mut transaction =
        catch(open.connection.begin()).await.map_err(|error| RunError::new(query, error, false))?;
    open.has_begun = true;
    let ran = run(&mut transaction, prepared, query, variant).await;
    match &ran {
        // A result that does not decode has had its effect on the server.
        Ok(_) | Err(RunError { error: Error::Client(_), .. }) => {
            catch(transaction.commit()).await.map_err(|error| RunError::new(query, error, true))?;
        }
        Err(_) => drop(transaction),
    }
    ran
}

/// The guard of a transaction whose BEGIN is in flight.
///
/// If the future that waits for the answer is dropped, the server may have begun the transaction without the
/// driver's knowledge, and later statements on the connection would never be committed. So the guard sends a
/// ROLLBACK after the BEGIN.
struct OpenTransaction<'c> {
    connection: &'c mut PgConnection,
    /// `true` once the transaction has begun. From then on, the driver rolls back a dropped transaction.
    has_begun: bool,
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            // One poll is enough to queue the statement, and the next use of the connection reads the answer
            // first. The driver expects `begin_with` to begin a transaction, but ROLLBACK begins none, so the
            // driver counts none.
            drop(catch(self.connection.begin_with(ROLLBACK)).now_or_never());
        }
    }
}
