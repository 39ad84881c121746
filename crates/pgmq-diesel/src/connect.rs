//! Connections outside the pool: making and checking them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use pgmq_core::ErrorKind;
use pgmq_core::backend::PING;

use crate::error::Error;

/// Connects. libpq enforces the timeout, from the TCP connection to the end of the login.
pub(crate) fn establish(conninfo: &str) -> Result<PgConnection, Error> {
    PgConnection::establish(conninfo).map_err(Error::connecting)
}

/// Connects, and runs the SQL of `greeting`.
pub(crate) fn greet(conninfo: &str, greeting: &str) -> Result<PgConnection, Error> {
    let mut connection = establish(conninfo)?;
    connection.batch_execute(greeting)?;
    Ok(connection)
}

/// An attempt to connect or to check a connection, on a dedicated thread, because libpq blocks the thread
/// that waits for the server.
pub(crate) struct Attempt(Receiver<Result<PgConnection, Error>>);

impl Attempt {
    /// Starts to connect, and to run the SQL of `greeting`.
    pub(crate) fn connect(conninfo: String, greeting: String) -> Result<Self, Error> {
        Self::begin("pgmq-connect", move || greet(&conninfo, &greeting))
    }

    /// Starts to check that the server answers on a connection. libpq has no limit for that, so the caller
    /// has to stop waiting.
    pub(crate) fn check(mut connection: PgConnection) -> Result<Self, Error> {
        Self::begin("pgmq-check", move || {
            connection.batch_execute(PING)?;
            Ok(connection)
        })
    }

    fn begin(
        name: &str,
        work: impl FnOnce() -> Result<PgConnection, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, connection) = sync_channel(1);
        // Sending fails only if the receiver was dropped, and then no caller wants the connection any more.
        let run = move || drop(sender.send(work()));
        thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            failed("the thread that connects could not be started; raise the limit for threads")
                .because(error)
        })?;
        Ok(Self(connection))
    }

    /// Waits for the connection up to `timeout`; `None` if connecting takes longer.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Result<PgConnection, Error>> {
        match self.0.recv_timeout(timeout) {
            Ok(connected) => Some(connected),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(failed("the thread that connects has panicked; see its message").into()))
            }
        }
    }
}

fn failed(text: &str) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
