//! The guard of a session with a request in flight.

use std::time::Duration;

use pgmq_core::backend::END_SESSION;
use pgmq_driver_tokio_postgres::{OwnedPermit, StatementCache};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use crate::connection::sealed::{Bind, Clients};
use crate::manager::ManageClients;
use crate::pool::{Acquired, DriverState, Session, Shared};
use crate::run::ConnRef;

/// A session with a statement or a transaction in flight.
///
/// If the future that waits for the server is dropped, the session is released once the server has answered,
/// and discarded if it does not answer in time. Work that may take long is cancelled on the server: a poll,
/// which would otherwise go on waiting and hide messages that no caller gets, or whatever statement a
/// transaction runs. The session is then discarded as well: if the work had just ended by itself, a late
/// cancel request would hit the next statement on the connection.
pub(crate) struct InFlight<'q, M: ManageClients> {
    /// `Some` until the session is released.
    acquired: Option<Acquired<'q, M>>,
    is_cancelled_on_drop: bool,
    /// The runtime of the future, which may be dropped elsewhere.
    runtime: Option<Handle>,
    shared: &'q Shared,
}

impl<'q, M: ManageClients> InFlight<'q, M> {
    /// Guards a session. If the future is dropped, the statement runs to its end.
    pub(crate) fn new(acquired: Acquired<'q, M>, shared: &'q Shared) -> Self {
        let runtime = Handle::try_current().ok();
        Self { acquired: Some(acquired), is_cancelled_on_drop: false, runtime, shared }
    }

    /// Sets whether the server is asked to cancel the work if the future is dropped.
    pub(crate) fn cancelled_on_drop(mut self, is_cancelled: bool) -> Self {
        self.is_cancelled_on_drop = is_cancelled;
        self
    }

    pub(crate) fn conn(&self) -> ConnRef<'_> {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        self.acquired.as_ref().expect("the session is there until it is released").session.conn()
    }

    /// The client, and its cache of prepared statements.
    pub(crate) fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        self.acquired.as_mut().expect("the session is there until it is released").session.parts()
    }

    /// Ends the guard, once the server has answered.
    pub(crate) fn release(mut self) -> Acquired<'q, M> {
        #[expect(
            clippy::expect_used,
            reason = "only this method and `drop` take the session, and both end the guard"
        )]
        self.acquired.take().expect("the session is there until it is released")
    }
}

impl<M: ManageClients> Drop for InFlight<'_, M> {
    fn drop(&mut self) {
        let Some(acquired) = self.acquired.take() else { return };
        let driver = &self.shared.driver;
        let unanswered = Unanswered::new(acquired, driver, self.runtime.clone());
        let limit = self.shared.settings.connect_timeout;
        if let Some(runtime) = &self.runtime {
            driver.background.spawn_on(runtime, unanswered.settle(limit, self.is_cancelled_on_drop));
        }
    }
}

/// Discards a session that must not be used again, although it may look open.
///
/// A manager that notices only closed connections would hand it out again. The server therefore ends the
/// session first, which keeps its place in the pool until then, and its permit.
pub(crate) fn discard<M: ManageClients>(mut acquired: Acquired<'_, M>, driver: &DriverState) {
    // Left to itself, the driver keeps the connection open until the server has answered all requests.
    acquired.session.abort();
    if acquired.session.discard() || acquired.session.client().is_closed() {
        return;
    }
    let runtime = Handle::try_current().ok();
    let unanswered = Unanswered::new(acquired, driver, runtime.clone());
    if let Some(runtime) = runtime {
        driver.background.spawn_on(&runtime, unanswered.end());
    }
}

/// A session for which the server works, although no caller waits for it, with its permit. Unless the server
/// answers, which it cannot once the runtime has ended, the connection is closed.
struct Unanswered<M: ManageClients> {
    session: Option<Session<M>>,
    /// Released after the session.
    _permit: Option<OwnedPermit>,
    runtime: Option<Handle>,
}

impl<M: ManageClients> Unanswered<M> {
    fn new(acquired: Acquired<'_, M>, driver: &DriverState, runtime: Option<Handle>) -> Self {
        let Acquired { session, permit } = acquired;
        let permit = permit.map(|permit| driver.permits.detach(permit));
        Self { session: Some(session), _permit: permit, runtime }
    }

    /// Waits for the server's answer, after a cancel request if it `is_cancelled`, and releases the session.
    async fn settle(mut self, limit: Duration, is_cancelled: bool) {
        let Some(session) = &mut self.session else { return };
        // A late cancel request would hit the next statement on the connection.
        let ends_session = is_cancelled && !session.discard();
        let answer = tokio::time::timeout(limit, async {
            if is_cancelled {
                session.cancel().await;
            }
            // The server answers this once the work in flight has ended.
            ends_session || session.client().check_connection().await.is_ok()
        });
        let has_answered = answer.await == Ok(true);
        if ends_session {
            self.end().await;
        } else if has_answered {
            drop(self.session.take());
        }
    }

    /// Has the server end the session, and releases it once its connection is closed.
    ///
    /// There is no limit: the server ends the session once the work in flight has ended, and if the session
    /// was released before, it would end under the next caller.
    async fn end(mut self) {
        let Some(session) = &self.session else { return };
        // A late cancel request may hit one of the two statements.
        for _ in 0..2 {
            let _ = session.client().batch_execute(END_SESSION).await;
        }
        // Fails once the driver has seen the end.
        let _ = session.client().check_connection().await;
        drop(self.session.take());
    }
}

impl<M: ManageClients> Drop for Unanswered<M> {
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        // The pool may connect again, for which it needs a runtime.
        let _context = self.runtime.as_ref().map(Handle::enter);
        session.abort();
        session.discard();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test panics")]

    use bb8_postgres::PostgresConnectionManager;
    use pgmq_test_server::Server;
    use tokio_postgres::NoTls;

    use super::*;

    #[test]
    fn a_session_is_kept_until_it_ends_although_the_cancel_request_had_no_effect() {
        let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
        let database = server.create_database().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
            let pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
            let session = pool.get_owned().await.unwrap();
            let work = session.client().batch_execute(
                "DO $$ BEGIN PERFORM pg_sleep(1); \
                 EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(1); END $$",
            );
            assert!(tokio::time::timeout(Duration::from_millis(100), work).await.is_err());
            let unanswered =
                Unanswered { session: Some(session), _permit: None, runtime: Handle::try_current().ok() };
            unanswered.settle(Duration::from_millis(100), true).await;
            assert_eq!(pool.state().connections, 0, "the pool has a session that is about to end");
        });
    }
}
