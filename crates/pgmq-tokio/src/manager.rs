//! The manager that makes connections for a pool.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgmq_core::backend::{CacheGeneration, Settings};
use pgmq_driver_tokio_postgres::{StatementCache, Tls, config, connect_limit};
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
#[derive(Debug)]
pub struct PooledClient {
    /// Boxed, because each operation moves the connection out of the pool and back.
    client: Box<Client>,
    /// `None` if statements are not cached.
    pub(crate) statements: Option<Box<StatementCache>>,
    /// Set once the server has ended the connection while no request was pending. A later request was never
    /// sent.
    ended_idle: Arc<AtomicBool>,
}

impl PooledClient {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        let (client, statements) = Clients::parts(self);
        Transaction::begin(client, statements).await
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl Bind for PooledClient {
    fn conn(&self) -> ConnRef<'_> {
        ConnRef { client: self, statements: self.statements.as_deref() }
    }
}

impl Clients for PooledClient {
    fn client(&self) -> &Client {
        self
    }

    fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
        (&mut self.client, self.statements.as_deref())
    }

    fn ended_idle(&self) -> bool {
        self.ended_idle.load(Ordering::Acquire)
    }
}

impl Deref for PooledClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
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
}

impl Manager {
    /// A manager that connects by a URL or libpq connection string. The driver's own parser reads it, except
    /// for the settings of TLS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if the driver does not accept the
    /// URL, or TLS is required and not compiled in.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::from_settings(&Settings::from_url(url))
    }

    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, Error> {
        let (config, tls) = config(settings)?;
        let caches_statements = settings.prepared_statements == Some(true);
        Ok(Self { config, tls, generation: caches_statements.then(Arc::default) })
    }

    /// Sets whether connections cache prepared statements; see
    /// [`Builder::prepared_statements`](crate::Builder::prepared_statements). The default is `false`.
    #[must_use]
    pub fn prepared_statements(self, prepared: bool) -> Self {
        Self { generation: prepared.then(Arc::default), ..self }
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = PooledClient;
    type Error = Error;

    async fn connect(&self) -> Result<PooledClient, Error> {
        let connect = self.config.connect(self.tls.clone());
        let (client, connection) = timeout(connect_limit(&self.config), connect).await??;
        let ended_idle = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&ended_idle);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // The connection itself returns the server's report only if no request is pending; otherwise that
            // request gets the report.
            if let Err(error) = connection.as_mut().await {
                noted.store(error.as_db_error().is_some(), Ordering::Release);
            }
            // Dropping the connection wakes the tasks that wait for it, so the store comes first.
        });
        let statements = self.generation.clone().map(StatementCache::new).map(Box::new);
        Ok(PooledClient { client: Box::new(client), statements, ended_idle })
    }

    async fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        Ok(client.check_connection().await?)
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        client.is_closed() || IS_DISCARDED.get()
    }
}

thread_local! {
    /// Set while this thread releases a connection that the pool must discard.
    pub(crate) static IS_DISCARDED: Cell<bool> = const { Cell::new(false) };
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver's `Debug` shows no password.
        f.debug_struct("Manager").field("config", &self.config).finish_non_exhaustive()
    }
}
