//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use pgmq_core::backend::Attempt;
use pgmq_core::{Form, Output, Query};
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, Connection, Either, Executor, PgConnection};

use crate::wire::{SqlxRow, arguments};
use crate::{Error, Session};

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

impl RunError {
    fn new<O: Output>(query: &Query<'_, O>, error: sqlx::Error, is_complete: bool) -> Self {
        let report =
            error.as_database_error().and_then(|report| report.try_downcast_ref::<PgDatabaseError>());
        let attempt = match report {
            Some(report) if !is_complete && is_about_a_prepared_statement(report) => Attempt::StalePlan,
            Some(report) => Attempt::of_report(report.code(), report.message(), is_complete),
            None => Attempt::Failed,
        };
        Self { attempt, error: Error::during(query.context())(error) }
    }
}

/// Whether the server's own machinery has found fault with a prepared statement, rather than a function in it: PGMQ has changed
/// since, so that it would return other columns; or it was deallocated; or a pooler has given us the connection of another.
fn is_about_a_prepared_statement(report: &PgDatabaseError) -> bool {
    let routines = ["RevalidateCachedQuery", "FetchPreparedStatement", "StorePreparedStatement"];
    ["0A000", "26000", "42P05"].contains(&report.code())
        && report.routine().is_some_and(|routine| routines.contains(&routine))
}

/// Whether statements stay prepared on the connections, for the next time that they are run.
///
/// The driver does so unless it is told to keep none, and then still gives them names, and never takes them back. So where it
/// keeps none, statements go without names.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    is_off: AtomicBool,
}

impl Prepared {
    pub(crate) fn off(is_off: bool) -> Self {
        Self { is_off: AtomicBool::new(is_off) }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed)
    }

    /// Learns from a connection on which a statement was prepared that was to stay there.
    fn learn(&self, connection: &PgConnection) {
        if connection.cached_statements_size() == 0 {
            self.is_off.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs one form of a query. A statement that stays prepared is one round trip, but for the first time on a connection.
pub(crate) async fn run<O: Output>(
    connection: &mut PgConnection,
    prepared: &Prepared,
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    let failed = |error, is_complete| RunError::new(query, error, is_complete);
    let arguments = arguments(query.params()).map_err(|error| failed(sqlx::Error::Encode(error), false))?;
    let stays = !prepared.is_off();
    let statement = sqlx::query_with(AssertSqlSafe(form.text), arguments).persistent(stays);
    let mut rows = query.rows();
    let mut is_complete = false;
    let ran = {
        let mut arriving = connection.fetch_many(statement);
        loop {
            match poll_fn(|cx| arriving.as_mut().poll_next(cx)).await {
                Some(Ok(Either::Right(row))) => rows.push(SqlxRow(row)),
                Some(Ok(Either::Left(_))) => is_complete = true,
                Some(Err(error)) => break Err(failed(error, is_complete)),
                None => break Ok(()),
            }
        }
    };
    match ran {
        Ok(()) if stays => prepared.learn(connection),
        // Kept, it would fail each time. If the driver cannot forget it, the connection is not in order, and fails again.
        Err(RunError { attempt: Attempt::StalePlan, .. }) => {
            prepared.learn(connection);
            drop(connection.clear_cached_statements().await);
        }
        _ => {}
    }
    ran?;
    rows.finish(|| query.context())
        .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
}

/// Runs one form of a query in a transaction of its own.
///
/// Where no statement stays prepared, the driver prepares and runs it in two round trips, and a pooler between us may give
/// them to two of its connections, unless they are in one transaction.
pub(crate) async fn run_whole<O: Output>(
    connection: &mut PgConnection,
    prepared: &Prepared,
    query: &Query<'_, O>,
    form: Form<'_>,
) -> Result<O, RunError> {
    // Where it was not begun, nothing was committed; where it was, it may have been.
    let mut begin = Begin { connection, is_complete: false };
    let mut transaction =
        begin.connection.begin().await.map_err(|error| RunError::new(query, error, false))?;
    begin.is_complete = true;
    let ran = run(&mut transaction, prepared, query, form).await;
    match &ran {
        // What does not decode was done all the same.
        Ok(_) | Err(RunError { error: Error::Client(_), .. }) => {
            transaction.commit().await.map_err(|error| RunError::new(query, error, true))?;
        }
        Err(_) => drop(transaction),
    }
    ran
}

/// The beginning of a transaction. If it is given up, the driver does not know that the server may have begun all the same,
/// and whatever is done on the connection from then on would never be committed. So a rollback is sent behind it.
struct Begin<'c> {
    connection: &'c mut PgConnection,
    is_complete: bool,
}

impl Drop for Begin<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            // Looking at this once queues the statement, which is all that is wanted. What comes next on the connection reads
            // its answer first. It begins no transaction, so the driver, which is told that it does, counts none.
            drop(self.connection.begin_with("ROLLBACK").now_or_never());
        }
    }
}

/// A session that is at work. If the future that waits for it is dropped, the connection is closed: else the session would come
/// back only when the server has answered, which it may never do. A poll would hide messages that nobody gets meanwhile, and a
/// transaction may have been begun without the driver knowing.
pub(crate) struct Busy {
    /// There until it is released.
    session: Option<Session>,
}

impl Busy {
    pub(crate) fn new(session: Session) -> Self {
        Self { session: Some(session) }
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "it is taken only by `release` and by `drop`, which end this")]
        self.session.as_mut().expect("the session is there until it is released")
    }

    /// The work has ended.
    pub(crate) fn release(mut self) -> Session {
        #[expect(clippy::expect_used, reason = "it is taken only here and by `drop`, which end this")]
        self.session.take().expect("the session is there until it is released")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.close_on_drop();
        }
    }
}
