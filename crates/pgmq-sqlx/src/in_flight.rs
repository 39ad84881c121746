//! The guard of a session with a request in flight.

use sqlx::PgConnection;

use crate::pool::Session;

/// A session with a statement or a transaction in flight.
///
/// If the future that waits for the server is dropped, the connection is closed. Otherwise the session would
/// return to the pool only once the server has answered, which may never happen. Until then a poll would hide
/// messages that no caller gets, and a transaction may have begun without the driver's knowledge.
pub(crate) struct InFlight(Session);

impl InFlight {
    pub(crate) fn new(mut session: Session) -> Self {
        session.close_on_drop();
        Self(session)
    }

    pub(crate) fn conn(&mut self) -> &mut PgConnection {
        &mut self.0
    }

    /// Ends the guard, once the server has answered.
    pub(crate) fn release(mut self) -> Session {
        self.0.keep_on_drop();
        self.0
    }
}
