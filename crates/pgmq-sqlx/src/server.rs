//! The server: the driver's options for it, and the first connection.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use pgmq_core::backend::Settings;
use pgmq_core::backend::conninfo::ConnInfo;
use pgmq_core::{Action, ErrorKind, statement};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::error::Error;
use crate::panics::catch;
use crate::pool::{Pool, Session};
use crate::run::PreparedMode;
use crate::timeout::{timeout, unanswered};
use crate::tls::TlsFiles;
use crate::url::{DIALECT, driver_options};

/// The driver's default.
const CACHE_CAPACITY: usize = 100;

/// The server that connections are made to.
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// The limit for connecting.
    pub(crate) limit: Duration,
    /// The mode that the URL or the settings ask for.
    pub(crate) prepared: PreparedMode,
}

impl Server {
    /// The server that the settings name, for a pool.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Error> {
        Self::build(ConnInfo::from_settings(settings, &DIALECT)?, settings)
    }

    /// The server of `listen_url`, with the settings for what the URL does not contain.
    pub(crate) fn for_listening(settings: &Settings, listen_url: &str) -> Result<Self, Error> {
        Self::build(ConnInfo::for_listening(settings, Some(listen_url), &DIALECT)?, settings)
    }

    fn build(mut info: ConnInfo, settings: &Settings) -> Result<Self, Error> {
        let limit = info.take_connect_timeout().unwrap_or(settings.connect_timeout);
        let (tls, sets_mode) = (TlsFiles::take(&mut info)?, info.get("sslmode").is_some());
        let switches_off = info.get("statement-cache-capacity") == Some("0");
        let options = tls.apply(driver_options(info)?, sets_mode)?;
        let mut server = Self::new(options, limit)?;
        match (settings.prepared_statements, switches_off) {
            (Some(true), true) => {
                // The URL has switched the cache off.
                server.options = server.options.statement_cache_capacity(CACHE_CAPACITY);
            }
            (Some(false), _) => {
                server.options = server.options.statement_cache_capacity(0);
                server.prepared = PreparedMode::off();
            }
            (None, true) => server.prepared = PreparedMode::off(),
            (Some(true) | None, false) => {}
        }
        Ok(server)
    }

    /// The server that a pool connects to.
    pub(crate) fn from_pool(pool: &Pool, limit: Duration) -> Result<Self, Error> {
        Self::new(pool.connect_options().as_ref().clone(), limit)
    }

    fn new(options: PgConnectOptions, limit: Duration) -> Result<Self, Error> {
        if options.get_host().contains(',') {
            return Err(invalid("there are several hosts, and this driver connects to one; give one").into());
        }
        // Polls are slow on purpose, so the driver's log of slow statements would report nothing but them.
        let options = options.log_slow_statements(log::LevelFilter::Off, Duration::ZERO);
        Ok(Self { options, limit, prepared: PreparedMode::on() })
    }

    /// Makes the first connection of a pool.
    ///
    /// A pool retries if the server does not answer or has no room, and then does not report the reason. So
    /// if connecting takes long, a second connection outside the pool finds the reason out.
    pub(crate) async fn reach(&self, pool: &Pool) -> Result<(), Error> {
        const LONG: Duration = Duration::from_millis(250);
        let connecting = async {
            let first = pin!(catch(pool.acquire()));
            let second = pin!(async {
                Delay::new(LONG).await;
                catch(self.options.connect()).await
            });
            let acquired = match select(first, second).await {
                Either::Left((acquired, _)) => acquired,
                Either::Right((Err(refusal), _)) => Err(refusal),
                Either::Right((Ok(connection), first)) => {
                    // The server has accepted the second connection, which is all that it is for.
                    let _ = connection.close().await;
                    first.await
                }
            };
            Session::new(acquired?, self.limit).release().await;
            Ok(())
        };
        timeout(self.limit, connecting).await?.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => unanswered(pool.options().get_acquire_timeout()),
            // The driver has no separate error for TLS that is required and not compiled in, so its text has
            // to do.
            sqlx::Error::Tls(cause) if self.asks_for_tls() && cause.to_string().contains("without TLS") => {
                let text = "sslmode asks for an encrypted connection, and TLS is not compiled in; switch on one of the cargo \
                            features \"tls-rustls-ring-native-roots\" and \"tls-native-tls\" of sqlx";
                invalid(text).because(sqlx::Error::Tls(cause)).into()
            }
            error => Error::connecting(error),
        })
    }

    fn asks_for_tls(&self) -> bool {
        use PgSslMode as Mode;

        matches!(self.options.get_ssl_mode(), Mode::Require | Mode::VerifyCa | Mode::VerifyFull)
    }
}

fn invalid(text: &str) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text)
}

/// Makes the server check, while it runs a statement, that this client is still connected.
pub(crate) async fn watch_client(connection: &mut PgConnection) -> sqlx::Result<()> {
    let Action::Run(query) = statement::watch_client().into_action() else { return Ok(()) };
    match sqlx::raw_sql(AssertSqlSafe(query.sql())).execute(connection).await {
        // Some servers cannot check their clients.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
