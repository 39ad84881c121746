//! Connecting: the builder of a queue and its pool.

use pgmq_core::backend::{LastConnectError, Settings};

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
    pub fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let manager = Manager::from_settings(&settings)?;
        // A pool retries and does not report the reason, so the first connection is made outside it.
        drop(r2d2::ManageConnection::connect(&manager)?);
        let last_connect_error = LastConnectError::default();
        let open = manager.open.clone();
        let pool = build_pool(&settings, manager, last_connect_error.clone());
        let installs = settings.install_extension;
        let queue = PGMQueue::new(pool, settings, last_connect_error, open);
        if installs {
            queue.init()?;
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
    pub fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url).connect()
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
    pub fn from_env() -> Result<Self, Error> {
        Builder::from_env()?.connect()
    }
}

fn build_pool(settings: &Settings, manager: Manager, last_connect_error: LastConnectError<Error>) -> Pool {
    r2d2::Pool::builder()
        .max_size(settings.pool_size)
        .min_idle(Some(0))
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .error_handler(Box::new(ErrorRecorder(last_connect_error)))
        .build_unchecked(manager)
}

/// Records the errors that the pool would only log.
#[derive(Debug)]
struct ErrorRecorder(LastConnectError<Error>);

impl r2d2::HandleError<Error> for ErrorRecorder {
    fn handle_error(&self, error: Error) {
        self.0.record(error.kind(), error);
    }
}

#[cfg(test)]
mod tests {
    use pgmq_driver_tokio_postgres::{config, listen_config};
    use pgmq_test_suite::secrets::search;
    use postgres::Config;
    use postgres::config::Host;

    use super::*;

    #[test]
    fn no_text_of_a_connection_string_is_shown() {
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
                    let config = Config::from(config);
                    shown.debug(&Manager::from_settings(&builder.settings).unwrap());
                    if is_closed(&config) {
                        shown.error(&builder.connect().unwrap_err());
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
