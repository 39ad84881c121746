//! Connecting: the builder of a queue and its pool.

use diesel::connection::CacheSize;
use diesel::r2d2::ConnectionManager;
use diesel::{Connection, PgConnection, r2d2};
use pgmq_core::backend::{LastConnectError, OpenConnection, OpenConnections, Settings};
use pgmq_driver_diesel::{connecting_kind_of, kind_of};

use crate::connect::establish;
use crate::conninfo::conninfo;
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
    pub fn connect(self) -> Result<PGMQueue, Error> {
        let settings = self.settings;
        let conninfo = conninfo(&settings)?;
        // A pool retries and does not report the reason, so the first connection is made outside it.
        drop(establish(&conninfo)?);
        let last_connect_error = LastConnectError::default();
        let open = OpenConnections::default();
        let pool =
            build_pool(&settings, ConnectionManager::new(conninfo), last_connect_error.clone(), open.count());
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

fn build_pool(
    settings: &Settings,
    manager: ConnectionManager<PgConnection>,
    last_connect_error: LastConnectError<r2d2::Error>,
    entry: OpenConnection,
) -> Pool {
    let caches_statements = settings.prepared_statements != Some(false);
    r2d2::Pool::builder()
        .max_size(settings.pool_size)
        .min_idle(Some(0))
        .connection_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_on_check_out(false)
        .connection_customizer(Box::new(PoolCustomizer { caches_statements, _entry: entry }))
        .error_handler(Box::new(ErrorRecorder(last_connect_error)))
        .build_unchecked(manager)
}

/// Belongs to the pool, and lives as long as the pool does.
#[derive(Debug)]
struct PoolCustomizer {
    /// `false` if Diesel must prepare no statement under a name.
    caches_statements: bool,
    /// Counts the pool itself as open while a thread of the pool still has a handle to it, such as for an
    /// attempt to connect.
    _entry: OpenConnection,
}

impl r2d2::CustomizeConnection<PgConnection, r2d2::Error> for PoolCustomizer {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), r2d2::Error> {
        if !self.caches_statements {
            connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        Ok(())
    }
}

/// Records the errors that the pool would only log.
#[derive(Debug)]
struct ErrorRecorder(LastConnectError<r2d2::Error>);

impl r2d2::HandleError<r2d2::Error> for ErrorRecorder {
    fn handle_error(&self, error: r2d2::Error) {
        let kind = match &error {
            r2d2::Error::ConnectionError(error) => connecting_kind_of(error),
            r2d2::Error::QueryError(error) => kind_of(error, None),
        };
        self.0.record(kind, error);
    }
}

#[cfg(test)]
mod tests {
    use pgmq_test_suite::secrets::search;

    use super::*;
    use crate::conninfo::listen_conninfo;

    #[test]
    fn no_text_of_a_connection_string_is_shown() {
        let accepted = search(|text, shown| {
            let builder = PGMQueue::builder().url(text).listen_url(text);
            shown.debug(&builder);
            if let Err(error) = listen_conninfo(&builder.settings, Some(text)) {
                shown.error(&error);
            }
            match conninfo(&builder.settings) {
                Err(error) => {
                    shown.error(&error);
                    false
                }
                Ok(conninfo) => {
                    shown.debug(&ConnectionManager::<PgConnection>::new(&conninfo));
                    // libpq parses the string when it connects. Of several values it uses the last, so these
                    // have it look up no host, and connect to a closed port.
                    let closed = "host='127.0.0.1' hostaddr='127.0.0.1' port='1'";
                    shown.error(&establish(&format!("{conninfo} {closed}")).err().unwrap());
                    if conninfo.contains("host='127.0.0.1'") && conninfo.contains("port='1'") {
                        shown.error(&builder.connect().unwrap_err());
                    }
                    true
                }
            }
        });
        assert!(accepted > 0);
    }
}
