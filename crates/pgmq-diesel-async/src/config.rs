//! Connecting.

use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use pgmq_core::backend::Refusals;
use pgmq_core::{ErrorKind, QueueError, Settings};
use pgmq_driver_tokio_postgres::{Tls, config, connect_limit};
use tokio_postgres::Config;

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
        if settings.prepared_statements == Some(false) {
            return Err(always_prepares().into());
        }
        let (config, tls) = config(&settings)?;
        let endpoint = Endpoint::new(config, tls.clone());
        let refusals = Refusals::default();
        let pool = pool_of(&settings, endpoint.clone(), refusals.clone());
        // The pool would try again and again, and then not say why; so the first connection is made here.
        let connection = endpoint.connect().await?;
        // A pool that was just made has room.
        let _ = pool.add(connection);
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, refusals, tls);
        if init {
            queue.init().await?;
        }
        Ok(queue)
    }
}

fn pool_of(settings: &Settings, endpoint: Endpoint, refusals: Refusals<Error>) -> Pool {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |_| {
        let (endpoint, refusals) = (endpoint.clone(), refusals.clone());
        Box::pin(async move { endpoint.connect().await.or_else(|error| refuse(error, &refusals)) })
    });
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .build_unchecked(AsyncDieselConnectionManager::new_with_config("", config))
}

fn always_prepares() -> pgmq_core::Error {
    let text = "prepared_statements(false) cannot be had: diesel-async prepares all statements; behind a pooler in transaction mode \
                that knows nothing of those, use another back end";
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
}

/// Keeps what the pool would only log.
fn refuse<C>(error: Error, refusals: &Refusals<Error>) -> ConnectionResult<C> {
    let refused = ConnectionError::BadConnection(error.to_string());
    refusals.note(error.kind(), error);
    Err(refused)
}

/// Where connections are made to, and how.
#[derive(Clone)]
pub(crate) struct Endpoint {
    config: Config,
    tls: Tls,
    /// How long connecting may take in all.
    pub(crate) limit: Duration,
}

impl Endpoint {
    pub(crate) fn new(config: Config, tls: Tls) -> Self {
        let limit = connect_limit(&config);
        Self { config, tls, limit }
    }

    pub(crate) async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
        };
        within(self.limit, connecting).await?
    }
}

/// The time-outs of the driver end with the TCP connection; a server may take that and then say nothing.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let text = format!("the server did not complete the connection within {limit:?}");
        Error::Client(pgmq_core::Error::new(pgmq_core::ErrorKind::Connection, text))
    })
}
