//! Connections outside the pool.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use pgmq_core::ErrorKind;

use crate::error::Error;

/// Connects. libpq enforces the timeout, from the TCP connection to the end of the login.
pub(crate) fn establish(conninfo: &str) -> Result<PgConnection, Error> {
    PgConnection::establish(conninfo).map_err(|error| Error::connecting(error, Some(conninfo)))
}

/// Connects, and runs the SQL of `greeting`.
pub(crate) fn greet(conninfo: &str, greeting: &str) -> Result<PgConnection, Error> {
    let mut connection = establish(conninfo)?;
    connection.batch_execute(greeting)?;
    Ok(connection)
}

/// A connection that is being made, on a dedicated thread, because libpq blocks the thread that connects.
pub(crate) struct Connecting(Receiver<Result<PgConnection, Error>>);

impl Connecting {
    /// Starts to connect, and to run the SQL of `greeting`.
    pub(crate) fn start(conninfo: String, greeting: String) -> Result<Self, Error> {
        let (sender, connection) = sync_channel(1);
        // Sending fails only if the receiver was dropped, and then no caller wants the connection any more.
        let run = move || drop(sender.send(greet(&conninfo, &greeting)));
        thread::Builder::new().name("pgmq-connect".to_owned()).spawn(run).map_err(|error| {
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
