//! Connecting.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_timer::Delay;
use futures_util::future::{Either, select};
use pgmq_core::{ErrorKind, Plan, Settings, statement};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::run::Prepared;
use crate::tls::TlsFiles;
use crate::{Error, PGMQueue, Pool};

/// Sets up a queue with a pool of its own. Made by [`PGMQueue::builder`].
///
/// What is not said is taken from the variables `PGHOST`, `PGUSER`, `PGPASSWORD`, ... and from the password file, as this
/// driver does.
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
        let mut settings = self.settings;
        let server = Server::of(&settings)?;
        settings.connect_timeout = server.limit;
        let losses = Losses::default();
        let pool = pool_of(&settings, &server, losses.clone());
        server.reach(&pool).await?;
        let init = settings.init;
        let queue = PGMQueue::own(pool, settings, losses, server.prepared);
        if init {
            queue.init().await?;
        }
        Ok(queue)
    }
}

/// The driver's own default.
const CACHE_CAPACITY: usize = 100;

/// Where and how to connect.
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// How long connecting may take.
    pub(crate) limit: Duration,
    /// What is said of statements.
    prepared: Prepared,
}

impl Server {
    fn of(settings: &Settings) -> Result<Self, Error> {
        settings.check()?;
        let mut server = match &settings.url {
            Some(url) => Self::parse(url, settings.connect_timeout)?,
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
        server.options = match settings.prepared_statements {
            Some(false) => options.statement_cache_capacity(0),
            // The URL may say otherwise.
            Some(true) if server.prepared.is_off() => options.statement_cache_capacity(CACHE_CAPACITY),
            _ => options,
        };
        if let Some(prepared) = settings.prepared_statements {
            server.prepared = Prepared::off(!prepared);
        }
        Ok(server)
    }

    /// Where to listen: by the URL for that, or else like the pool.
    pub(crate) fn to_listen(settings: &Settings, pool: &Pool) -> Result<Self, Error> {
        match &settings.listen_url {
            Some(url) => Self::parse(url, settings.connect_timeout),
            None => Self::new(pool.connect_options().as_ref().clone(), settings.connect_timeout),
        }
    }

    fn parse(text: &str, connect_timeout: Duration) -> Result<Self, Error> {
        let url = crate::url::url_of(text)?;
        let (url, tls) = TlsFiles::take(&url)?;
        let options = url.parse().map_err(|error: sqlx::Error| crate::url::refused().because(error))?;
        let options = tls.apply(options, &url)?;
        let limit = crate::url::connect_timeout(&url)?.unwrap_or(connect_timeout);
        let prepared =
            Prepared::off(crate::url::pairs(&url).any(|pair| pair == ("statement-cache-capacity", "0")));
        Ok(Self { prepared, ..Self::new(options, limit)? })
    }

    fn new(options: PgConnectOptions, limit: Duration) -> Result<Self, Error> {
        if options.get_host().contains(',') {
            return Err(invalid("there are several hosts, and this driver connects to one; give one").into());
        }
        // Nobody reads this log to learn that polls take long: it is what they are for.
        let options = options.log_slow_statements(log::LevelFilter::Off, Duration::ZERO);
        Ok(Self { options, limit, prepared: Prepared::default() })
    }

    /// Has a pool make its first connection.
    ///
    /// A pool tries again and again where nobody answers or the server has no room, and then does not say why. So if it takes
    /// long, a connection beside it finds out.
    pub(crate) async fn reach(&self, pool: &Pool) -> Result<(), Error> {
        const LONG: Duration = Duration::from_millis(250);
        let connecting = async {
            let first = pin!(pool.acquire());
            let beside = pin!(async {
                Delay::new(LONG).await;
                self.options.connect().await
            });
            match select(first, beside).await {
                Either::Left((acquired, _)) => acquired.map(drop),
                Either::Right((Err(refusal), _)) => Err(refusal),
                Either::Right((Ok(connection), first)) => {
                    // It has served its purpose, and the server has seen it.
                    let _ = connection.close().await;
                    first.await.map(drop)
                }
            }
        };
        within(self.limit, connecting).await?.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => unanswered(pool.options().get_acquire_timeout()),
            // The driver has no other word for an encryption that was asked for and not compiled in.
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

/// The driver has no time-out for connecting.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    match select(pin!(work), Delay::new(limit)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(unanswered(limit)),
    }
}

fn unanswered(limit: Duration) -> Error {
    let text = format!("the server did not complete the connection within {limit:?}");
    Error::Client(pgmq_core::Error::new(ErrorKind::Connection, text))
}

fn pool_of(settings: &Settings, server: &Server, losses: Losses) -> Pool {
    let limit = server.limit;
    PgPoolOptions::new()
        .max_connections(settings.pool_size)
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(settings.idle_timeout)
        .max_lifetime(settings.max_lifetime)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(watch_client(connection)))
        .before_acquire(move |connection, idle| {
            let may_be_lost = losses.were_within(idle.idle_for);
            Box::pin(async move {
                // Where nobody answers, it is lost too.
                Ok(!may_be_lost || within(limit, connection.ping()).await.is_ok_and(|pong| pong.is_ok()))
            })
        })
        .connect_lazy_with(server.options.clone())
}

/// Has the server look, while it works, whether this client is still there.
async fn watch_client(connection: &mut PgConnection) -> sqlx::Result<()> {
    let Plan::Query(query) = statement::watch_client().plan() else { return Ok(()) };
    match sqlx::raw_sql(AssertSqlSafe(query.sql())).execute(connection).await {
        // Some servers cannot.
        Ok(_) | Err(sqlx::Error::Database(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// When a connection was last lost. Those that were idle then are looked at before they are used again: what ended one has
/// often ended others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Losses(Arc<Mutex<Option<Instant>>>);

impl Losses {
    /// Notes that a connection has just been lost.
    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection was lost in this last span of time.
    fn were_within(&self, span: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() <= span)
    }
}
