//! Connecting.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pgmq_core::driver::tokio_postgres::{Tls, config, connect_limit};
use pgmq_core::{ErrorKind, Settings};
use postgres::{Client, Config};
use r2d2_postgres::PostgresConnectionManager;

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
        let (driver_config, tls) = config(&settings)?;
        let config = Config::from(driver_config.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        drop(connect_within(connect_limit(&driver_config), &config, &tls)?);
        let refusals = Refusals::default();
        let pool = pool_of(&settings, PostgresConnectionManager::new(config, tls), refusals.clone());
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals);
        if init {
            queue.init()?;
        }
        Ok(queue)
    }
}

fn pool_of(settings: &Settings, manager: PostgresConnectionManager<Tls>, refusals: Refusals) -> Pool {
    r2d2::Pool::builder()
        .max_size(settings.pool_size)
        .min_idle(Some(0))
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_handler(Box::new(refusals))
        .build_unchecked(manager)
}

/// The last reason why the pool could not make a connection, which it would turn into text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Option<postgres::Error>>>);

impl Refusals {
    pub(crate) fn take(&self) -> Option<postgres::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl r2d2::HandleError<postgres::Error> for Refusals {
    fn handle_error(&self, error: postgres::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Connects, and gives up after `limit`. The time-outs of the driver end with the TCP connection; a server may take that
/// and then say nothing, so the wait is for a thread that waits for it.
pub(crate) fn connect_within(limit: Duration, config: &Config, tls: &Tls) -> Result<Client, Error> {
    let (sender, receiver) = sync_channel(1);
    let (config, tls) = (config.clone(), tls.clone());
    let connect = move || {
        // Nobody takes it any more when the limit is over.
        let _ = sender.send(config.connect(tls));
    };
    let failed = |text: String| Error::Client(pgmq_core::Error::new(ErrorKind::Connection, text));
    thread::Builder::new()
        .name("pgmq-connect".to_owned())
        .spawn(connect)
        .map_err(|error| failed(format!("no thread could be started to connect: {error}")))?;
    match receiver.recv_timeout(limit) {
        Ok(connected) => Ok(connected?),
        Err(RecvTimeoutError::Timeout) => {
            Err(failed(format!("the server did not complete the connection within {limit:?}")))
        }
        Err(RecvTimeoutError::Disconnected) => {
            Err(failed("the thread that connected has panicked".to_owned()))
        }
    }
}
