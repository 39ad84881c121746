//! Running a statement on a connection: bind, send, decode the rows as they arrive.

use std::future::poll_fn;
use std::time::Duration;

use diesel_async::{
    AnsiTransactionManager, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection, TransactionManager,
};
use futures_core::Stream;
use pgmq_core::backend::{Attempt, Generation};
use pgmq_core::{Form, Output, Query};
use pgmq_driver_diesel::{DieselQuery, DieselRow, attempt_of};
use pgmq_driver_tokio_postgres::Tls;
use tokio_postgres::CancelToken;

use crate::config::within;
use crate::{Error, Session};

/// Why a query failed, and whether it may have had an effect.
pub(crate) struct RunError {
    pub(crate) attempt: Attempt,
    pub(crate) error: Error,
}

/// Runs one form of a query. One round trip, once Diesel has prepared its text on this connection.
///
/// Diesel keeps a statement prepared by its text, and goes on using it when the server does not run it any more. The text of a new
/// generation is another one, so each connection prepares it anew.
pub(crate) async fn run<O: Output>(
    connection: &AsyncPgConnection,
    query: &Query<'_, O>,
    form: Form<'_>,
    generation: &Generation,
) -> Result<O, RunError> {
    let current = generation.now();
    let statement = DieselQuery::new(form, query.params()).of_generation(current);
    let result = load(connection, query, statement).await;
    if let Err(RunError { attempt: Attempt::StalePlan, .. }) = &result {
        generation.end(current);
    }
    result
}

async fn load<O: Output>(
    mut connection: &AsyncPgConnection,
    query: &Query<'_, O>,
    statement: DieselQuery<'_>,
) -> Result<O, RunError> {
    // The driver does not say whether the server has reported that the command is complete. But a statement of ours that has
    // had an effect returns a row at least, and rows come before that report: so without a row, nothing was completed that
    // must not be done again. The one statement without rows, which creates the extension, does so only if it is not there.
    let failed = |error: diesel::result::Error, has_row: bool| RunError {
        attempt: attempt_of(&error, has_row),
        error: Error::during(query.context())(error),
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
        .map_err(|error| RunError { attempt: Attempt::Failed, error: error.into() })
}

/// Waits for an answer that the server gives once it is done with all that was asked before.
pub(crate) async fn settle(mut connection: &AsyncPgConnection) {
    // What it says does not matter: a connection that is lost is noticed where it is given back.
    let _ = connection.batch_execute("").await;
}

/// Has the pool close a connection instead of taking it back.
pub(crate) fn condemn(connection: &mut AsyncPgConnection) {
    AnsiTransactionManager::transaction_manager_status_mut(connection).set_in_error();
}

/// Whether the server's last words on a connection that has ended were an answer to what was asked last.
///
/// The driver reports an error of the connection itself to whoever waits, in the same form as an answer. A server that ends
/// a session after it has answered, while the answer is not looked at yet, would so seem to have ended it without. The
/// driver's stream of notifications ends with the error of the connection: if that is the server's report, then it
/// was not an answer.
pub(crate) fn was_answered(connection: &mut AsyncPgConnection) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};

    let mut stream = std::pin::pin!(connection.notifications_stream());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(item)) = stream.as_mut().poll_next(&mut cx) {
        if let Err(error) = item {
            return matches!(error, Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _));
        }
    }
    // There is no such stream for a client that somebody else drives, and then no such error either.
    true
}

/// How to tell the server to stop, and how long that and each answer may take.
#[derive(Clone, Copy)]
pub(crate) struct Stop<'q> {
    pub(crate) tls: &'q Tls,
    pub(crate) limit: Duration,
}

impl Stop<'_> {
    /// Tells the server, over a connection of its own. Where that cannot be, the statement ends by itself.
    pub(crate) fn tell(self, token: CancelToken) -> impl Future<Output = ()> + Send + use<> {
        let (tls, limit) = (self.tls.clone(), self.limit);
        async move {
            let _ = within(limit, token.cancel_query(tls)).await;
        }
    }
}

/// A session that runs a statement. If the future that waits for it is dropped, the session is not given back before the server
/// has answered: else whoever takes it next would wait behind that statement. If it does not answer in time, the pool closes it.
///
/// For a poll, the server is told to stop: else it would go on waiting, and hide messages that nobody gets. Then the pool closes the
/// session in any case: where the poll has just ended by itself, being told so late, the server would stop what comes next.
pub(crate) struct Busy<'q> {
    /// There until it is released.
    session: Option<Session>,
    is_poll: bool,
    stop: Stop<'q>,
}

impl<'q> Busy<'q> {
    pub(crate) fn new(session: Session, is_poll: bool, stop: Stop<'q>) -> Self {
        Self { session: Some(session), is_poll, stop }
    }

    pub(crate) fn connection(&self) -> &AsyncPgConnection {
        #[expect(clippy::expect_used, reason = "it is taken only by `release` and by `drop`, which end this")]
        self.session.as_deref().expect("the session is there until it is released")
    }

    /// The statement has ended.
    pub(crate) fn release(mut self) -> Session {
        #[expect(clippy::expect_used, reason = "it is taken only here and by `drop`, which end this")]
        self.session.take().expect("the session is there until it is released")
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        let stopped = self.is_poll.then(|| self.stop.tell(session.cancel_token()));
        let limit = self.stop.limit;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let is_told = stopped.is_some();
                if let Some(stopped) = stopped {
                    stopped.await;
                }
                if within(limit, settle(&session)).await.is_err() || is_told {
                    condemn(&mut session);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use diesel_async::AsyncConnection;
    use pgmq_core::{Plan, PollOptions, RawJson, statement};
    use pgmq_test_server::Server;

    use super::*;

    /// Ends the other sessions, when `condition` is true of one.
    fn end_when(condition: &str) -> String {
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
    fn the_end_of_a_session_during_a_statement_is_told_from_one_after_it() {
        let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
        let database = server.create_database().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let connect = || runtime.block_on(AsyncPgConnection::establish(database.url())).unwrap();
        let Plan::Query(create) = statement::create_queue("q").plan() else { panic!("it is a query") };
        assert!(runtime.block_on(run(&connect(), &create, create.oldest(), &Generation::default())).is_ok());
        for (condition, during) in [("query LIKE '%read_with_poll%'", true), ("state = 'idle'", false)] {
            let mut connection = connect();
            std::thread::scope(|scope| {
                let end = scope.spawn(|| database.execute(&end_when(condition)).unwrap());
                if during {
                    let options = PollOptions::new().timeout(std::time::Duration::from_secs(60));
                    let poll = statement::read_with_poll::<RawJson>("q", 30, 1, &options);
                    let Plan::Query(query) = poll.plan() else { panic!("it is a query") };
                    let generation = Generation::default();
                    let ran = runtime.block_on(run(&connection, &query, query.oldest(), &generation));
                    assert_eq!(ran.err().unwrap().attempt, Attempt::NotCommitted);
                }
                end.join().unwrap();
            });
            runtime.block_on(settle(&connection));
            assert_eq!(was_answered(&mut connection), during);
        }
    }
}
