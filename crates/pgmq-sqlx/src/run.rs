//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether a query that failed outside of a transaction may have had an effect.
///
/// The server says that a command is complete before it commits. So where its own report of its end (a FATAL error) comes
/// without "complete" before it, nothing was committed: that is proof, where a connection that just breaks leaves a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The server has no such function: an older form of the call may do.
    UnknownFunction,
    /// The server ended the session and committed nothing: another connection may do.
    NotCommitted,
    /// The statement is not on the server as it was prepared, and nothing was done: prepared anew, it may do.
    Outdated,
    /// The query may have been committed, or would fail again.
    Failed,
}

impl Attempt {
    fn new(error: &sqlx::Error, is_complete: bool) -> Self {
        let Some(report) = error.as_database_error().and_then(|report| report.try_downcast_ref()) else {
            return Self::Failed;
        };
        let report: &PgDatabaseError = report;
        match report.code() {
            _ if is_complete => Self::Failed,
            // A function that a trigger misses is none of PGMQ's.
            "42883" if report.message().contains("pgmq.") => Self::UnknownFunction,
            "57P01" | "57P02" | "57P05" => Self::NotCommitted,
            // PGMQ has changed since, so that the statement would return other columns; or it was deallocated; or a pooler
            // has given us the connection of another.
            "0A000" | "26000" | "42P05" if is_about_a_prepared_statement(report) => Self::Outdated,
            _ => Self::Failed,
        }
    }
}

/// Whether the server's own machinery has found fault with a prepared statement, rather than a function in it.
fn is_about_a_prepared_statement(report: &PgDatabaseError) -> bool {
    let routines = ["RevalidateCachedQuery", "FetchPreparedStatement", "StorePreparedStatement"];
    report.routine().is_some_and(|routine| routines.contains(&routine))
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
    let failed = |error: sqlx::Error, is_complete: bool| RunError {
        attempt: Attempt::new(&error, is_complete),
        error: Error::during(query.context())(error),
    };
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
        Err(RunError { attempt: Attempt::Outdated, .. }) => {
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
    let failed = |attempt| move |error| RunError { attempt, error: Error::during(query.context())(error) };
    // Nothing has been begun then, so that it can be begun elsewhere.
    let begun = connection.begin().await;
    let mut transaction = begun.map_err(|error| failed(begin_attempt(&error))(error))?;
    let ran = run(&mut transaction, prepared, query, form).await;
    match &ran {
        // What does not decode was done all the same.
        Ok(_) | Err(RunError { error: Error::Client(_), .. }) => {
            transaction.commit().await.map_err(failed(Attempt::Failed))?;
        }
        Err(_) => drop(transaction),
    }
    ran
}

fn begin_attempt(error: &sqlx::Error) -> Attempt {
    match Attempt::new(error, false) {
        Attempt::NotCommitted => Attempt::NotCommitted,
        _ => Attempt::Failed,
    }
}

/// A session that runs a statement. If the future that waits for a poll is dropped, the connection is closed: else the
/// session would come back only when the poll ends, and the server would hide messages that nobody gets.
pub(crate) struct Busy {
    /// There until it is released.
    session: Option<Session>,
    is_poll: bool,
}

impl Busy {
    pub(crate) fn new(session: Session, is_poll: bool) -> Self {
        Self { session: Some(session), is_poll }
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "it is taken only by `release` and by `drop`, which end this")]
        self.session.as_mut().expect("the session is there until it is released")
    }

    /// The statement has ended.
    pub(crate) fn release(mut self) -> Session {
        #[expect(clippy::expect_used, reason = "it is taken only here and by `drop`, which end this")]
        self.session.take().expect("the session is there until it is released")
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|_| self.is_poll) {
            session.close_on_drop();
        }
    }
}
