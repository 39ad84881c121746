//! The guard of a session with a request in flight.

use pgmq_driver_tokio_postgres::StatementCache;
use tokio_postgres::Client;

use crate::connection::sealed::{Bind, Clients};
use crate::manager::ManageClients;
use crate::pool::{Session, Shared, discard};
use crate::run::ConnRef;
use crate::timeout::timeout;

/// A session with a statement or a transaction in flight.
///
/// If the future that waits for the server is dropped, the session is released once the server has answered,
/// and discarded if it does not answer in time. Work that may take long is cancelled on the server: a poll,
/// which would otherwise go on waiting and hide messages that no caller gets, or whatever statement a
/// transaction runs. The session is then discarded as well: if the work had just ended by itself, a late
/// cancel request would hit the next statement on the connection.
pub(crate) struct InFlight<'q, M: ManageClients> {
    /// `Some` until the session is released.
    session: Option<Session<M>>,
    is_cancelled_on_drop: bool,
    shared: &'q Shared,
}

impl<'q, M: ManageClients> InFlight<'q, M> {
    /// Guards a session. If the future is dropped, the statement runs to its end.
    pub(crate) fn new(session: Session<M>, shared: &'q Shared) -> Self {
        Self { session: Some(session), is_cancelled_on_drop: false, shared }
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
        self.session.as_deref().expect("the session is there until it is released").conn()
    }

    /// The client, and its cache of prepared statements.
    pub(crate) fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        self.session.as_mut().expect("the session is there until it is released").parts()
    }

    /// Ends the guard, once the server has answered.
    pub(crate) fn release(mut self) -> Session<M> {
        #[expect(
            clippy::expect_used,
            reason = "only this method and `drop` take the session, and both end the guard"
        )]
        self.session.take().expect("the session is there until it is released")
    }
}

impl<M: ManageClients> Drop for InFlight<'_, M> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let tls = &self.shared.driver.tls;
        let cancel = self.is_cancelled_on_drop.then(|| (session.client().cancel_token(), tls.clone()));
        let limit = self.shared.settings.connect_timeout;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let was_cancelled = cancel.is_some();
                let answered = timeout(limit, async {
                    if let Some((token, tls)) = cancel {
                        // If the request does not reach the server, the work runs to its end.
                        let _ = token.cancel_query(tls).await;
                    }
                    // The server answers this once the work in flight has ended.
                    session.client().check_connection().await
                });
                if !matches!(answered.await, Ok(Ok(()))) || was_cancelled {
                    discard(session);
                }
            });
        }
    }
}
