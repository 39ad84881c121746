//! Connecting: the builder of a queue and its pool.

use pgmq_core::backend::Settings;
use sqlx::Connection;
use sqlx::postgres::PgPoolOptions;

use crate::error::Error;
use crate::losses::Losses;
use crate::panics::catch;
use crate::pool::{DriverState, Pool};
use crate::queue::PGMQueue;
use crate::server::{Server, watch_client};
use crate::timeout::timeout;

/// Builds a queue with its own pool. Created by [`PGMQueue::builder`].
///
/// Settings that are not given come from the variables `PGHOST`, `PGUSER`, `PGPASSWORD`, ... and from the
/// password file, as usual for this driver.
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
        let mut settings = self.settings;
        let server = Server::from_settings(&settings)?;
        settings.connect_timeout = server.limit;
        let losses = Losses::default();
        let pool = build_pool(&settings, &server, losses.clone());
        server.reach(&pool).await?;
        let installs = settings.install_extension;
        let queue = PGMQueue::new(pool, settings, DriverState { losses, prepared: server.prepared });
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

fn build_pool(settings: &Settings, server: &Server, losses: Losses) -> Pool {
    let limit = server.limit;
    PgPoolOptions::new()
        .max_connections(settings.pool_size)
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(watch_client(connection)))
        .before_acquire(move |connection, idle| {
            let may_be_lost = losses.may_concern(idle.idle_for);
            Box::pin(async move {
                // A connection that does not answer in time is lost as well.
                Ok(!may_be_lost
                    || timeout(limit, catch(connection.ping())).await.is_ok_and(|pong| pong.is_ok()))
            })
        })
        .connect_lazy_with(server.options.clone())
}

#[cfg(test)]
mod tests {
    use pgmq_core::backend::conninfo::percent;
    use pgmq_test_suite::secrets::search;
    use sqlx::ConnectOptions;
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn no_text_of_a_connection_string_is_shown() {
        // The driver logs the parameters that it does not know, and the search finds that.
        let logged = std::panic::catch_unwind(|| {
            search(|text, _| {
                format!("postgres:///?unknown={}", percent(text)).parse::<PgConnectOptions>().is_ok()
            })
        });
        assert!(logged.is_err());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut connects = 20;
        let accepted = search(|text, shown| {
            let builder = PGMQueue::builder().url(text).listen_url(text);
            shown.debug(&builder);
            if let Err(error) = Server::for_listening(&builder.settings, text) {
                shown.error(&error);
            }
            match Server::from_settings(&builder.settings) {
                Err(error) => {
                    shown.error(&error);
                    false
                }
                Ok(server) => {
                    let closed = server.options.clone().host("127.0.0.1").port(1);
                    shown.error(&Error::from(runtime.block_on(closed.connect()).unwrap_err()));
                    let queue = runtime
                        .block_on(async { PGMQueue::from(PgPoolOptions::new().connect_lazy_with(closed)) });
                    shown.debug(&queue);
                    // `connect` waits for a moment before it reports that a port is closed.
                    let is_closed =
                        server.options.get_host() == "127.0.0.1" && server.options.get_port() == 1;
                    if is_closed && connects > 0 {
                        connects -= 1;
                        shown.error(&runtime.block_on(builder.connect()).unwrap_err());
                    }
                    true
                }
            }
        });
        assert!(accepted > 0);
    }
}
