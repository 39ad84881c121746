//! The server: the driver's options for it, and the first connection.

use std::pin::pin;
use std::time::Duration;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use pgmq_core::backend::Settings;
use pgmq_core::{Action, ErrorKind, statement};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::error::Error;
use crate::panics::catch;
use crate::pool::{Pool, Session};
use crate::run::PreparedMode;
use crate::timeout::{timeout, unanswered};
use crate::tls::TlsFiles;
use crate::url::{connect_timeout, pairs, refused, to_url};

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
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        let mut server = match &settings.url {
            Some(url) => Self::from_url(url, settings.connect_timeout)?,
            None => Self::new(PgConnectOptions::new(), settings.connect_timeout)?,
        };
        let mut options = server.options;
        if let Some(host) = &settings.host {
            options = options.host(host);
        }
        if let Some(port) = settings.port {
            options = options.port(port);
        }
        if let Some(database) = &settings.database {
            options = options.database(database);
        }
        if let Some(username) = &settings.username {
            options = options.username(username);
        }
        if let Some(password) = &settings.password {
            options = options.password(password);
        }
        if let Some(name) = &settings.application_name {
            options = options.application_name(name);
        }
        match settings.prepared_statements {
            Some(true) if server.prepared.is_off() => {
                // The URL has switched the cache off.
                options = options.statement_cache_capacity(CACHE_CAPACITY);
                server.prepared = PreparedMode::on();
            }
            Some(false) => {
                options = options.statement_cache_capacity(0);
                server.prepared = PreparedMode::off();
            }
            Some(true) | None => {}
        }
        server.options = options;
        Ok(server)
    }

    /// The server of a URL or libpq string, whose own limit for connecting overrides `limit`.
    pub(crate) fn from_url(text: &str, limit: Duration) -> Result<Self, Error> {
        let url = to_url(text)?;
        let (url, tls) = TlsFiles::take(&url)?;
        let options = url.parse().map_err(|error: sqlx::Error| refused().because(error))?;
        let options = tls.apply(options, &url)?;
        let limit = connect_timeout(&url)?.unwrap_or(limit);
        let switches_off = pairs(&url).any(|pair| pair == ("statement-cache-capacity", "0"));
        let prepared = if switches_off { PreparedMode::off() } else { PreparedMode::on() };
        Ok(Self { prepared, ..Self::new(options, limit)? })
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
