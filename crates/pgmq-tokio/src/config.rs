//! Connecting: the builder of a queue and its pool.

use pgmq_core::backend::{LastConnectError, Settings};
use pgmq_driver_tokio_postgres::{Attempts, Pools};

use crate::error::Error;
use crate::manager::Manager;
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
        let manager = Manager::from_settings(&settings)?;
        // A pool retries and does not report the reason, so the first connection is made outside it.
        let client = manager.connect_once().await?;
        let last_connect_error = LastConnectError::default();
        let attempts = Attempts::default();
        let connections = manager.connections();
        let manager =
            manager.retrying(attempts.clone(), settings.acquire_timeout, last_connect_error.clone());
        let pool_settings = settings.clone();
        let pools = Pools::own(attempts, move || build_pool(&pool_settings, manager.clone()));
        // Cannot fail, because a new pool has room for a connection.
        let _ = pools.current().add(client);
        let installs = settings.install_extension;
        let queue = PGMQueue::new(pools, settings, last_connect_error, connections);
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

fn build_pool(settings: &Settings, manager: Manager) -> Pool {
    bb8::Pool::builder()
        .max_size(settings.pool_size)
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        // The manager retries, and records the errors that the pool would only log.
        .retry_connection(false)
        .build_unchecked(manager)
}

#[cfg(test)]
mod tests {
    use pgmq_driver_tokio_postgres::{config, listen_config};
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
                    shown.debug(&Manager::from_settings(&builder.settings).unwrap());
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
