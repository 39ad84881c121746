//! Running a query on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use diesel_async::{
    AnsiTransactionManager, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use futures_core::Stream;
use pgmq_core::backend::{CacheGeneration, FailureClass};
use pgmq_core::{Output, Query, SqlVariant};
use pgmq_driver_diesel::{DieselQuery, DieselRow, failure_class};

use crate::error::Error;

/// The error of a query, and its class.
pub(crate) struct RunError {
    pub(crate) class: FailureClass,
    pub(crate) error: Error,
}

/// Runs one variant of a query in one round trip, once Diesel has prepared its text on this connection.
///
/// Diesel caches a prepared statement by its text, and goes on using it when the server no longer runs it.
/// Each generation has its own texts, so that every connection prepares its statements again.
pub(crate) async fn run<O: Output>(
    connection: &AsyncPgConnection,
    query: &Query<'_, O>,
    variant: SqlVariant<'_>,
    generation: &CacheGeneration,
) -> Result<O, RunError> {
    let current = generation.current();
    let statement = DieselQuery::new(variant, query.params_of(variant)).of_generation(current);
    let ran = load(connection, query, statement).await;
    if let Err(RunError { class: FailureClass::StalePlan, .. }) = &ran {
        generation.advance_from(current);
    }
    ran
}

async fn load<O: Output>(
    mut connection: &AsyncPgConnection,
    query: &Query<'_, O>,
    statement: DieselQuery<'_>,
) -> Result<O, RunError> {
    // The driver does not reveal whether the server has reported the command as complete. But a statement of
    // this crate that has had an effect returns at least one row, and the rows come before that report. So
    // without a row, nothing was completed that must not be done again. The one statement without rows, which
    // creates the extension, does so only if the extension is missing.
    let failed = |error: diesel::result::Error, has_row: bool| {
        let class = failure_class(&error, has_row);
        RunError { class, error: Error::during(query.context(), class)(error) }
    };
    let loading = connection.load(statement);
    let mut stream = loading.await.map_err(|error| failed(error, false))?;
    let mut rows = query.rows();
    let mut has_row = false;
    while let Some(row) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        rows.push(DieselRow::new(row.map_err(|error| failed(error, has_row))?));
        has_row = true;
    }
    rows.finish(|| query.context())
        .map_err(|error| RunError { class: FailureClass::Other, error: error.into() })
}

/// Waits for the server's reply to an empty query. The server sends it once all earlier requests on the
/// connection have ended.
pub(crate) async fn sync(mut connection: &AsyncPgConnection) {
    // The result does not matter: the pool notices a lost connection when it is released.
    let _ = connection.batch_execute("").await;
}

/// Makes the pool discard a connection when it is released.
pub(crate) fn mark_broken(connection: &mut AsyncPgConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(connection).set_in_error();
}

/// Returns `true` if the last report of the server on a connection that is ending was its reply to the last
/// request. Waits up to `limit` for the end, since only then is it certain.
///
/// The driver passes an error of the connection itself to the request that waits, in the same form as a
/// reply. A server that has replied, and then ends the session before the reply is read, therefore seems to
/// have ended the session without a reply. The driver's stream of notifications ends with the error of the
/// connection: if that error is the server's report, then the report was not a reply.
pub(crate) async fn server_replied(connection: &mut AsyncPgConnection, limit: Duration) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};

    if tokio::time::timeout(limit, sync(connection)).await.is_err() {
        return false;
    }
    let last_error = async {
        let mut stream = pin!(connection.notifications_stream());
        loop {
            match poll_fn(|cx| stream.as_mut().poll_next(cx)).await? {
                Ok(_) => {}
                Err(error) => return Some(error),
            }
        }
    };
    // The driver's task first closes the connection, then reports the error and then ends the stream, so the
    // stream may end a moment after the connection.
    match tokio::time::timeout(STREAM_LIMIT, last_error).await {
        Ok(Some(error)) => matches!(error, Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _)),
        // A client whose connection other code drives has no such stream, and no such error either.
        Ok(None) | Err(_) => true,
    }
}

/// The time within which the stream of notifications ends after its connection.
const STREAM_LIMIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test panics")]

    use diesel_async::AsyncConnection;
    use pgmq_core::statement::{self, Action};
    use pgmq_core::{PollOptions, RawJson};
    use pgmq_test_server::Server;

    use super::*;

    /// SQL that waits until `condition` is true of another session, and terminates that session.
    fn terminate_when(condition: &str) -> String {
        format!(
            "DO $$ BEGIN LOOP \
               PERFORM pg_stat_clear_snapshot(); \
               PERFORM pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND {condition}; \
               EXIT WHEN FOUND; \
               PERFORM pg_sleep(0.01); \
             END LOOP; END $$"
        )
    }

    #[test]
    fn a_session_that_ends_during_a_statement_is_distinguished_from_one_that_ends_after_it() {
        let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
        let database = server.create_database().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let connect = || runtime.block_on(AsyncPgConnection::establish(database.url())).unwrap();
        let Action::Run(create) = statement::create_queue("q").into_action() else {
            panic!("create_queue runs a query")
        };
        let generation = CacheGeneration::default();
        assert!(runtime.block_on(run(&connect(), &create, create.oldest_variant(), &generation)).is_ok());
        for (condition, during) in [("query LIKE '%read_with_poll%'", true), ("state = 'idle'", false)] {
            let mut connection = connect();
            std::thread::scope(|scope| {
                let termination = scope.spawn(|| database.execute(&terminate_when(condition)).unwrap());
                if during {
                    let options = PollOptions::new().timeout(Duration::from_secs(60));
                    let poll = statement::read_with_poll::<RawJson>("q", 30, 1, &options);
                    let Action::Run(query) = poll.into_action() else { panic!("a poll runs a query") };
                    let ran = run(&connection, &query, query.oldest_variant(), &generation);
                    assert_eq!(runtime.block_on(ran).err().unwrap().class, FailureClass::NotCommitted);
                }
                termination.join().unwrap();
            });
            let limit = Duration::from_secs(20);
            assert_eq!(runtime.block_on(server_replied(&mut connection, limit)), during);
        }
    }
}
