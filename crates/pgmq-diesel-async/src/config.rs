//! Connecting: the builder of a queue and its pool.

use diesel::ConnectionError;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use pgmq_core::ErrorKind;
use pgmq_core::backend::{LastConnectError, Settings};
use pgmq_driver_tokio_postgres::{Attempts, NotConnected, Pools, config};

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::pool::Pool;
use crate::queue::PGMQueue;

/// Builds a queue with its own pool. Created by [`PGMQueue::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    pgmq_core::settings_methods!();

    /// Connects, and creates the extension if PGMQ is missing, unless `install_extension(false)` is set.
    ///
    /// # Errors
    ///
    /// Immediately with the server's reason, if the server refuses the connection, and after the timeouts, if
    /// it does not answer.
    pub async fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        if settings.prepared_statements == Some(false) {
            return Err(always_prepares().into());
        }
        let (config, tls) = config(&settings)?;
        let endpoint = Endpoint::new(config, tls.clone());
        // A pool retries and does not report the reason, so the first connection is made outside it.
        let connection = endpoint.connect().await?;
        let last_connect_error = LastConnectError::default();
        let attempts = Attempts::default();
        let pool_settings = settings.clone();
        let (pool_attempts, pool_errors) = (attempts.clone(), last_connect_error.clone());
        let pools = Pools::own(attempts, move || {
            build_pool(&pool_settings, endpoint.clone(), pool_attempts.clone(), pool_errors.clone())
        });
        // Cannot fail, because a new pool has room for a connection.
        let _ = pools.current().add(connection);
        let installs = settings.install_extension;
        let queue = PGMQueue::new(pools, settings, last_connect_error, tls);
        if installs {
            queue.init().await?;
        }
        Ok(queue)
    }
}

/// Connecting.
impl PGMQueue {
    /// Connects by a URL or libpq connection string, with a pool of up to 10 connections, and creates the
    /// extension if PGMQ is missing.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses the connection;
    /// [`ErrorKind::NotInstalled`](crate::ErrorKind::NotInstalled), if PGMQ is missing and cannot be created.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url).connect().await
    }

    /// A builder, for other settings than those of [`connect`](Self::connect).
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Connects by environment variables: `DATABASE_URL`, or otherwise `PG_HOST`, `PG_PORT`, `PG_DATABASE`,
    /// `PG_USERNAME` and `PG_PASSWORD`. `PG_INIT_EXTENSION=false` skips the creation of the extension.
    /// [`Builder::from_env`] combines them with other settings.
    ///
    /// # Errors
    ///
    /// Fails as [`connect`](Self::connect) does, and with
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if a variable is not valid.
    pub async fn from_env() -> Result<Self, Error> {
        Builder::from_env()?.connect().await
    }
}

fn build_pool(
    settings: &Settings,
    endpoint: Endpoint,
    attempts: Attempts,
    last_connect_error: LastConnectError<Error>,
) -> Pool {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    let limit = settings.acquire_timeout;
    config.custom_setup = Box::new(move |_| {
        let (endpoint, attempts) = (endpoint.clone(), attempts.clone());
        let last_connect_error = last_connect_error.clone();
        Box::pin(async move {
            let record = |error: Error| last_connect_error.record(error.kind(), error);
            let connected = attempts.connect(limit, || endpoint.connect(), record).await;
            connected.map_err(|NotConnected| {
                let text = "the pool has not connected in time; look at the errors of the operations";
                ConnectionError::BadConnection(text.to_owned())
            })
        })
    });
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        // The closure above retries, and records the errors that the pool would only log.
        .retry_connection(false)
        .build_unchecked(AsyncDieselConnectionManager::new_with_config("", config))
}

fn always_prepares() -> pgmq_core::Error {
    let text = "prepared_statements(false) is not possible, because diesel-async prepares all statements; behind a pooler in \
                transaction mode that does not support prepared statements, use another back end";
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use pgmq_driver_tokio_postgres::listen_config;
    use pgmq_test_suite::secrets::search;
    use tokio_postgres::Config;
    use tokio_postgres::config::Host;

    use super::*;

    #[test]
    fn no_text_of_a_connection_string_is_shown() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let accepted = search(|text, shown| {
            let builder = PGMQueue::builder().url(text).listen_url(text);
            shown.debug(&builder);
            if let Err(error) = listen_config(&builder.settings, Some(text)) {
                shown.error(&error);
            }
            match config(&builder.settings) {
                Err(error) => {
                    shown.error(&error);
                    false
                }
                Ok((config, _)) => {
                    if is_closed(&config) {
                        shown.error(&runtime.block_on(builder.connect()).unwrap_err());
                    }
                    true
                }
            }
        });
        assert!(accepted > 0);
    }

    /// Returns `true` for the address to which nothing is sent, because its port is closed.
    fn is_closed(config: &Config) -> bool {
        config.get_hosts() == [Host::Tcp("127.0.0.1".to_owned())] && config.get_ports() == [1]
    }
}
