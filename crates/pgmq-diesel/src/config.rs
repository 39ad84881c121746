//! Connecting.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::r2d2::ConnectionManager;
use diesel::{Connection, PgConnection, r2d2};
use pgmq_core::backend::Refusals;
use pgmq_core::{ErrorKind, Settings};
use pgmq_driver_diesel::{connecting_kind_of, kind_of};

use crate::conninfo::conninfo;
use crate::{Error, PGMQueue, Pool};

/// Sets up a queue with a pool of its own. Made by [`PGMQueue::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pgmq_core::settings_methods!();

    /// Connects, and makes sure that PGMQ is there unless told not to.
    ///
    /// # Errors
    ///
    /// At once when the server refuses, with the server's reason, and within the time-outs when it does not answer.
    pub fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let conninfo = conninfo(&settings)?;
        // The pool would try again and again, and then not say why; so the first connection is made here.
        drop(establish(&conninfo)?);
        let refusals = Refusals::default();
        let pool = pool_of(&settings, ConnectionManager::new(conninfo), refusals.clone());
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals);
        if init {
            queue.init()?;
        }
        Ok(queue)
    }
}

fn pool_of(
    settings: &Settings,
    manager: ConnectionManager<PgConnection>,
    refusals: Refusals<r2d2::Error>,
) -> Pool {
    let builder = match settings.prepared_statements {
        Some(false) => r2d2::Pool::builder().connection_customizer(Box::new(KeepNoStatements)),
        _ => r2d2::Pool::builder(),
    };
    builder
        .max_size(settings.pool_size)
        .min_idle(Some(0))
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_handler(Box::new(Sink(refusals)))
        .build_unchecked(manager)
}

/// Has Diesel prepare no statement under a name.
#[derive(Debug)]
struct KeepNoStatements;

impl r2d2::CustomizeConnection<PgConnection, r2d2::Error> for KeepNoStatements {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), r2d2::Error> {
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        Ok(())
    }
}

/// Keeps what the pool would only log.
#[derive(Debug)]
struct Sink(Refusals<r2d2::Error>);

impl r2d2::HandleError<r2d2::Error> for Sink {
    fn handle_error(&self, error: r2d2::Error) {
        let kind = match &error {
            r2d2::Error::ConnectionError(error) => connecting_kind_of(error),
            r2d2::Error::QueryError(error) => kind_of(error),
        };
        self.0.note(kind, error);
    }
}

/// Connects. libpq sees to the time-out, from the TCP connection to the end of the log-in.
fn establish(conninfo: &str) -> Result<PgConnection, Error> {
    PgConnection::establish(conninfo).map_err(|error| Error::connecting(error, Some(conninfo)))
}

/// Connects, and runs `greeting`.
pub(crate) fn greet(conninfo: &str, greeting: &str) -> Result<PgConnection, Error> {
    let mut connection = establish(conninfo)?;
    connection.batch_execute(greeting)?;
    Ok(connection)
}

/// A connection in the making, by a thread of its own, since libpq does not let go of the one that it connects on.
pub(crate) struct Connecting(Receiver<Result<PgConnection, Error>>);

impl Connecting {
    /// Begins to connect, and to run `greeting`.
    pub(crate) fn begin(conninfo: String, greeting: String) -> Result<Self, Error> {
        let (sender, connection) = sync_channel(1);
        // Nobody takes it any more when those who wanted it have gone.
        let run = move || drop(sender.send(greet(&conninfo, &greeting)));
        thread::Builder::new()
            .name("pgmq-connect".to_owned())
            .spawn(run)
            .map_err(|error| failed("no thread could be started to connect").because(error))?;
        Ok(Self(connection))
    }

    /// Waits this long; `None` if it needs longer.
    pub(crate) fn wait(&self, wait: Duration) -> Option<Result<PgConnection, Error>> {
        match self.0.recv_timeout(wait) {
            Ok(connected) => Some(connected),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(failed("the thread that connected has panicked").into()))
            }
        }
    }
}

fn failed(text: &str) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
