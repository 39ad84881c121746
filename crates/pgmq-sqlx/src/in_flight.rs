//! The guard of a session with a request in flight.

use sqlx::PgConnection;

use crate::pool::Session;

/// A session with a statement or a transaction in flight.
///
/// If the future that waits for the server is dropped, the connection is closed. Otherwise the session would
/// return to the pool only once the server has answered, which may never happen. Until then a poll would hide
/// messages that no caller gets, and a transaction may have begun without the driver's knowledge.
pub(crate) struct InFlight {
    /// `Some` until the session is released.
    session: Option<Session>,
}

impl InFlight {
    pub(crate) fn new(session: Session) -> Self {
        Self { session: Some(session) }
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        #[expect(
            clippy::expect_used,
            reason = "only `release` and `drop` take the session, and both end the guard"
        )]
        self.session.as_mut().expect("the session is there until it is released")
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

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(session) = &mut self.session {
            session.close_on_drop();
        }
    }
}
