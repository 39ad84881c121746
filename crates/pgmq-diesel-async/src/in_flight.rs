//! The guard of a session with a query in flight, and the cancel request.

use diesel_async::AsyncPgConnection;

use crate::pool::{Session, Shared, discard};
use crate::run::sync;
use crate::timeout::timeout;

/// Makes a future that asks the server, over a separate connection, to cancel the statement in flight on a
/// connection. If the request does not reach the server, the statement goes on until its own end.
pub(crate) fn cancel(
    connection: &AsyncPgConnection,
    shared: &Shared,
) -> impl Future<Output = ()> + Send + use<> {
    let (token, tls) = (connection.cancel_token(), shared.driver.tls.clone());
    let limit = shared.settings.connect_timeout;
    async move {
        let _ = timeout(limit, token.cancel_query(tls)).await;
    }
}

/// A session with a query in flight.
///
/// If the future that waits for the server is dropped, the session is released once the server has answered,
/// because the next caller would otherwise wait behind that query, and discarded if the server does not
/// answer in time. A poll is cancelled on the server: it would otherwise go on waiting, and hide messages
/// that no caller gets. Its session is then discarded in any case: if the poll had just ended by itself, the
/// late cancel request would hit the next statement on the connection.
pub(crate) struct InFlight<'q> {
    /// `Some` until the session is released.
    session: Option<Session>,
    is_cancelled_on_drop: bool,
    shared: &'q Shared,
}

impl<'q> InFlight<'q> {
    /// Guards a session whose query is left to end by itself if the future is dropped.
    pub(crate) fn new(session: Session, shared: &'q Shared) -> Self {
        Self { session: Some(session), is_cancelled_on_drop: false, shared }
    }

    /// Sets whether the server is asked to cancel the query if the future is dropped.
    pub(crate) fn cancelled_on_drop(mut self, is_cancelled: bool) -> Self {
        self.is_cancelled_on_drop = is_cancelled;
        self
    }

    pub(crate) fn conn(&self) -> &AsyncPgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        self.session.as_deref().expect("the session is there until it is released")
    }

    /// Ends the guard, once the server has answered.
    pub(crate) fn release(mut self) -> Session {
        #[expect(
            clippy::expect_used,
            reason = "only this method and `drop` take the session, and both end the guard"
        )]
        self.session.take().expect("the session is there until it is released")
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let cancelling = self.is_cancelled_on_drop.then(|| cancel(&session, self.shared));
        let limit = self.shared.settings.connect_timeout;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let was_cancelled = cancelling.is_some();
                if let Some(cancelling) = cancelling {
                    cancelling.await;
                }
                if timeout(limit, sync(&session)).await.is_err() || was_cancelled {
                    discard(session);
                }
            });
        }
    }
}
