//! Connecting.

use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use pgmq_core::Settings;
use pgmq_core::driver::tokio_postgres::{Refusals, Tls, config, connect_limit, kind_of};

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
        let manager = PostgresConnectionManager::new(config, tls.clone());
        let refusals = Refusals::default();
        let pool = pool_of(&settings, manager.clone(), refusals.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        let connect = bb8::ManageConnection::connect(&manager);
        let client = within(limit, connect).await??;
        // A pool that was just made has room.
        let _ = pool.add(client);
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals, tls);
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
        .error_sink(Box::new(Sink(refusals)))
        .build_unchecked(manager)
}

/// Keeps what the pool would only log.
#[derive(Debug)]
struct Sink(Refusals);

impl bb8::ErrorSink<tokio_postgres::Error> for Sink {
    fn sink(&self, error: tokio_postgres::Error) {
        self.0.note(kind_of(&error), error);
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<tokio_postgres::Error>> {
        Box::new(Self(self.0.clone()))
    }
}

/// The time-outs of the driver end with the TCP connection; a server may take that and then say nothing.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let text = format!("the server did not complete the connection within {limit:?}");
        Error::Client(pgmq_core::Error::new(pgmq_core::ErrorKind::Connection, text))
    })
}
