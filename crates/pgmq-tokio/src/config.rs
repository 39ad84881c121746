//! Connecting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bb8_postgres::PostgresConnectionManager;
use pgmq_core::Settings;
use pgmq_core::driver::tokio_postgres::{Tls, config, connect_limit};

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
    pub async fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let (config, tls) = config(&settings)?;
        let limit = connect_limit(&config);
        let manager = PostgresConnectionManager::new(config, tls);
        let refusals = Refusals::default();
        let pool = pool_of(&settings, manager.clone(), refusals.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        let connect = bb8::ManageConnection::connect(&manager);
        let client = within(limit, connect).await??;
        // A pool that was just made has room.
        let _ = pool.add(client);
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals);
        if init {
            queue.init().await?;
        }
        Ok(queue)
    }
}

fn pool_of(settings: &Settings, manager: PostgresConnectionManager<Tls>, refusals: Refusals) -> Pool {
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_sink(Box::new(refusals))
        .build_unchecked(manager)
}

/// The last reason why the pool could not make a connection, and when: the pool tries again, and then says only that it
/// took too long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Option<(Instant, tokio_postgres::Error)>>>);

impl Refusals {
    /// The last reason, if it is from after `started`.
    pub(crate) fn since(&self, started: Instant) -> Option<tokio_postgres::Error> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.filter(|(at, _)| *at >= started).map(|(_, error)| error)
    }
}

impl bb8::ErrorSink<tokio_postgres::Error> for Refusals {
    fn sink(&self, error: tokio_postgres::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error));
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<tokio_postgres::Error>> {
        Box::new(self.clone())
    }
}

/// The time-outs of the driver end with the TCP connection; a server may take that and then say nothing.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let text = format!("the server did not complete the connection within {limit:?}");
        Error::Client(pgmq_core::Error::new(pgmq_core::ErrorKind::Connection, text))
    })
}
