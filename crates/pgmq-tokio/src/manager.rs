//! The manager that makes connections for a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use pgmq_core::ErrorKind;
use pgmq_core::backend::{CacheGeneration, LastConnectError, Settings, TransactionModes};
use pgmq_driver_tokio_postgres::{
    Attempts, Background, NotConnected, StatementCache, Tls, config, resolved_limit,
};
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config};

use crate::connection::sealed::{Bind, Clients};
use crate::error::Error;
use crate::run::ConnRef;
use crate::timeout::timeout;
use crate::transaction::Transaction;

/// A connection manager whose pool a queue can use: any manager that makes clients of this driver.
///
/// [`Manager`] is one, and so is the manager of the crate `bb8-postgres`.
pub trait ManageClients: bb8::ManageConnection<Connection: Clients, Error: Into<Error>> {}

impl<M: bb8::ManageConnection<Connection: Clients, Error: Into<Error>>> ManageClients for M {}

/// A client of the driver that a [`Manager`] made, with its cache of prepared statements.
///
/// Use it like the driver's client: `session.transaction().await`.
pub struct PooledClient {
    /// Boxed, because each operation moves the connection out of the pool and back.
    inner: Box<Inner>,
}

struct Inner {
    client: Client,
    /// `None` if statements are not cached.
    statements: Option<StatementCache>,
    /// Set once the server has ended the connection while no request was pending. A later request was never
    /// sent.
    ended_idle: Arc<AtomicBool>,
    /// The encryption of cancel requests, which use their own connections.
    tls: Tls,
    /// The task that drives the connection.
    driver: AbortHandle,
    /// `true` if the pool must not use the connection again.
    is_discarded: bool,
}

impl PooledClient {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        let (client, statements) = Clients::parts(self);
        Transaction::begin(client, statements, TransactionModes::default()).await
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl Bind for PooledClient {
    fn conn(&self) -> ConnRef<'_> {
        ConnRef { client: self, statements: self.inner.statements.as_ref() }
    }
}

impl Clients for PooledClient {
    fn client(&self) -> &Client {
        self
    }

    fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
        (&mut self.inner.client, self.inner.statements.as_ref())
    }

    fn ended_idle(&self) -> bool {
        self.inner.ended_idle.load(Ordering::Acquire)
    }

    async fn cancel(&self) {
        self.inner.tls.cancel(&self.cancel_token()).await;
    }

    fn discard(&mut self) -> bool {
        self.inner.is_discarded = true;
        true
    }

    fn abort(&self) {
        self.inner.driver.abort();
    }
}

impl Deref for PooledClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.inner.client
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.inner.client
    }
}

impl fmt::Debug for PooledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient").field("client", &self.inner.client).finish_non_exhaustive()
    }
}

/// Makes connections, for a queue's pool or for your own pool.
///
/// Connections are encrypted as `sslmode` asks, by the TLS feature that is compiled in. Connecting fails if
/// the server does not complete the connection within the connect timeout.
///
/// ```no_run
/// use pgmq_tokio::{Error, Manager, PGMQueue, bb8::Pool};
///
/// # async fn example() -> Result<(), Error> {
/// let manager = Manager::new("postgres://app@localhost/shop?connect_timeout=3")?;
/// let pool = Pool::builder().max_size(4).test_on_check_out(false).build(manager).await?;
/// let queue = PGMQueue::from(pool);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manager {
    config: Config,
    tls: Tls,
    /// The generation of the prepared statements; `None` if they are not cached.
    generation: Option<Arc<CacheGeneration>>,
    /// The tasks that drive the connections.
    connections: Background,
    /// Dropped together with the pools that have this manager or a clone of it.
    alive: Arc<()>,
    /// The retries for the pool of a queue; `None` for a pool that retries by itself.
    retries: Option<Retries>,
}

/// The retries of a pool that a queue made itself.
#[derive(Clone)]
struct Retries {
    attempts: Attempts,
    /// The time after which an attempt ends, when no operation that caused it waits any more.
    limit: Duration,
    last_connect_error: LastConnectError<Error>,
}

impl Manager {
    /// A manager that connects by a URL or libpq connection string.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if the driver does not take the
    /// string, or TLS is required and not compiled in.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::from_settings(&Settings::from_url(url))
    }

    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Error> {
        let (config, tls) = config(settings)?;
        let caches_statements = settings.prepared_statements == Some(true);
        Ok(Self {
            config,
            tls,
            generation: caches_statements.then(Arc::default),
            connections: Background::default(),
            alive: Arc::default(),
            retries: None,
        })
    }

    /// The manager for a pool that leaves it to the manager to retry.
    pub(crate) fn retrying(
        self,
        attempts: Attempts,
        limit: Duration,
        last_connect_error: LastConnectError<Error>,
    ) -> Self {
        Self { retries: Some(Retries { attempts, limit, last_connect_error }), ..self }
    }

    /// Sets whether connections cache prepared statements; see
    /// [`Builder::prepared_statements`](crate::Builder::prepared_statements). The default is `false`.
    #[must_use]
    pub fn prepared_statements(self, prepared: bool) -> Self {
        Self { generation: prepared.then(Arc::default), ..self }
    }

    /// The tasks of the connections, and a reference that is dead once no pool has this manager.
    pub(crate) fn connections(&self) -> (Background, Weak<()>) {
        (self.connections.clone(), Arc::downgrade(&self.alive))
    }

    /// Makes a connection, or fails with the reason.
    pub(crate) async fn connect_once(&self) -> Result<PooledClient, Error> {
        let connect = self.config.connect(self.tls.clone());
        let (client, connection) = timeout(resolved_limit(&self.config).await, connect).await??;
        let ended_idle = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&ended_idle);
        let driver = self.connections.spawn(async move {
            let mut connection = pin!(connection);
            // The connection itself returns the server's report only if no request is pending; otherwise that
            // request gets the report.
            if let Err(error) = connection.as_mut().await {
                noted.store(error.as_db_error().is_some(), Ordering::Release);
            }
            // Dropping the connection wakes the tasks that wait for it, so the store comes first.
        });
        let statements = self.generation.clone().map(StatementCache::new);
        let tls = self.tls.clone();
        let inner = Inner { client, statements, ended_idle, tls, driver, is_discarded: false };
        Ok(PooledClient { inner: Box::new(inner) })
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = PooledClient;
    type Error = Error;

    async fn connect(&self) -> Result<PooledClient, Error> {
        let Some(Retries { attempts, limit, last_connect_error }) = &self.retries else {
            return self.connect_once().await;
        };
        let record = |error: Error| last_connect_error.record(error.kind(), error);
        let connected = attempts.connect(*limit, || self.connect_once(), record).await;
        connected.map_err(|NotConnected| {
            let text = "the pool has not connected in time; look at the errors of the operations";
            Error::Client(pgmq_core::Error::new(ErrorKind::Connection, text))
        })
    }

    async fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        Ok(client.check_connection().await?)
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        client.is_closed() || client.inner.is_discarded
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration has text of the connection string.
        f.debug_struct("Manager").finish_non_exhaustive()
    }
}
