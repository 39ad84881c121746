//! The guard of a session with a request in flight.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use pgmq_driver_tokio_postgres::{OwnedPermit, Tls};
use tokio::runtime::Handle;

use crate::pool::{Acquired, Session, Shared, discard};
use crate::run::sync;

/// A session with a statement or a transaction in flight.
///
/// If the future that waits for the server is dropped, the session is released once the server has answered,
/// because the next caller would otherwise wait behind that work, and discarded if the server does not answer
/// in time. Work that may take long is cancelled on the server: a poll, which would otherwise go on waiting
/// and hide messages that no caller gets, or whatever statement a transaction runs. The session is then
/// discarded as well: if the work had just ended by itself, a late cancel request would hit the next
/// statement on the connection.
pub(crate) struct InFlight<'q> {
    /// `Some` until the session is released.
    acquired: Option<Acquired<'q>>,
    is_cancelled_on_drop: bool,
    /// The runtime of the future, which may be dropped elsewhere.
    runtime: Option<Handle>,
    shared: &'q Shared,
}

impl<'q> InFlight<'q> {
    /// Guards a session. If the future is dropped, the statement runs to its end.
    pub(crate) fn new(acquired: Acquired<'q>, shared: &'q Shared) -> Self {
        let runtime = Handle::try_current().ok();
        Self { acquired: Some(acquired), is_cancelled_on_drop: false, runtime, shared }
    }

    /// Sets whether the server is asked to cancel the work if the future is dropped.
    pub(crate) fn cancelled_on_drop(mut self, is_cancelled: bool) -> Self {
        self.is_cancelled_on_drop = is_cancelled;
        self
    }

    pub(crate) fn conn(&self) -> &AsyncPgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        let acquired = self.acquired.as_ref().expect("the session is there until it is released");
        &acquired.session
    }

    pub(crate) fn conn_mut(&mut self) -> &mut AsyncPgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        let acquired = self.acquired.as_mut().expect("the session is there until it is released");
        &mut acquired.session
    }

    /// Ends the guard, once the server has answered.
    pub(crate) fn release(mut self) -> Acquired<'q> {
        #[expect(
            clippy::expect_used,
            reason = "only this method and `drop` take the session, and both end the guard"
        )]
        self.acquired.take().expect("the session is there until it is released")
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Some(Acquired { session, permit }) = self.acquired.take() else { return };
        let driver = &self.shared.driver;
        let permit = permit.map(|permit| driver.permits.detach(permit));
        let unanswered =
            Unanswered { session: Some(session), _permit: permit, runtime: self.runtime.clone() };
        let limit = self.shared.settings.connect_timeout;
        let cancelling = self.is_cancelled_on_drop.then(|| driver.tls.clone());
        if let Some(runtime) = &self.runtime {
            driver.background.spawn_on(runtime, unanswered.settle(limit, cancelling));
        }
    }
}

/// A session whose future was dropped while the server worked for it, with its permit. Unless the server
/// answers, which it cannot once the runtime has ended, the connection is closed.
struct Unanswered {
    session: Option<Session>,
    /// Released after the session.
    _permit: Option<OwnedPermit>,
    runtime: Option<Handle>,
}

impl Unanswered {
    /// Waits for the server's answer, after a cancel request with the encryption `cancelling`, if there is
    /// one, and releases the session.
    async fn settle(mut self, limit: Duration, cancelling: Option<Tls>) {
        let Some(session) = &self.session else { return };
        let is_cancelled = cancelling.is_some();
        let answer = tokio::time::timeout(limit, async {
            if let Some(tls) = cancelling {
                tls.cancel(&session.cancel_token()).await;
            }
            // The server answers this once the work in flight has ended.
            sync(session).await;
        });
        if answer.await.is_err() {
            return;
        }
        match self.session.take() {
            Some(session) if is_cancelled => discard(session),
            // The pool notices a lost connection.
            session => drop(session),
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        // The pool may connect again, for which it needs a runtime.
        let _context = self.runtime.as_ref().map(Handle::enter);
        discard(session);
    }
}
