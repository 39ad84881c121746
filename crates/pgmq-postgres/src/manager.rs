//! The manager that makes connections for a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgmq_core::backend::{CacheGeneration, OpenConnections, Settings, TransactionModes};
use pgmq_driver_tokio_postgres::{StatementCache, config, connect_limit};
use postgres::Client;

use crate::client::OwnedClient;
use crate::connect::Connector;
use crate::connection::sealed::{Bind, Clients};
use crate::error::Error;
use crate::run::ConnRef;
use crate::transaction::Transaction;

/// A connection manager whose pool a queue can use: any manager that makes clients of this driver.
///
/// [`Manager`] is one, and so is the manager of the crate `r2d2_postgres`.
pub trait ManageClients: r2d2::ManageConnection<Connection: Clients, Error: Into<Error>> {}

impl<M: r2d2::ManageConnection<Connection: Clients, Error: Into<Error>>> ManageClients for M {}

/// A client of the driver that a [`Manager`] made, with its cache of prepared statements.
///
/// Use it like the driver's client: `session.query("SELECT 1", &[])`.
pub struct PooledClient {
    client: OwnedClient,
    /// `None` if statements are not cached.
    statements: Option<Box<StatementCache>>,
    /// The time at which the connection was last known to be usable: at first, that of its making.
    usable_at: Instant,
}

impl PooledClient {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, postgres::Error> {
        let (client, statements) = self.parts();
        Transaction::begin(client, statements, TransactionModes::default())
    }

    /// Checks that the server answers within `timeout`. The pool discards a connection that does not answer.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn is_valid(&mut self, timeout: Duration) -> Result<(), postgres::Error> {
        self.client.check(timeout)
    }
}

#[expect(private_interfaces, reason = "the trait cannot be named outside this crate")]
impl Bind for PooledClient {
    fn conn(&mut self) -> ConnRef<'_> {
        let (client, statements) = self.parts();
        ConnRef { runner: client, statements }
    }
}

impl Clients for PooledClient {
    fn parts(&mut self) -> (&mut Client, Option<&StatementCache>) {
        (&mut self.client, self.statements.as_deref())
    }

    fn usable_at(&mut self) -> Option<&mut Instant> {
        Some(&mut self.usable_at)
    }

    fn discard(&mut self) -> bool {
        self.client.discard();
        true
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

impl fmt::Debug for PooledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient").finish_non_exhaustive()
    }
}

/// Makes connections, for a queue's pool or for your own pool.
///
/// Connections are encrypted as `sslmode` asks, by the TLS feature that is compiled in. Connecting fails if
/// the server does not complete the connection within the connect timeout.
///
/// ```no_run
/// use pgmq_postgres::{Error, Manager, PGMQueue, r2d2::Pool};
///
/// # fn example() -> Result<(), Error> {
/// let manager = Manager::new("postgres://app@localhost/shop?connect_timeout=3")?;
/// let pool = Pool::builder().max_size(4).test_on_check_out(false).build(manager)?;
/// let queue = PGMQueue::from(pool);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manager {
    connector: Connector,
    /// The number of connections that are open.
    pub(crate) open: OpenConnections,
    /// The generation of the prepared statements; `None` if they are not cached.
    generation: Option<Arc<CacheGeneration>>,
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
        let limit = connect_limit(&config);
        let caches_statements = settings.prepared_statements == Some(true);
        let generation = caches_statements.then(Arc::default);
        let connector = Connector::new(config.into(), tls, limit);
        Ok(Self { connector, open: OpenConnections::default(), generation })
    }

    /// Sets whether connections cache prepared statements; see
    /// [`Builder::prepared_statements`](crate::Builder::prepared_statements). The default is `false`.
    #[must_use]
    pub fn prepared_statements(self, prepared: bool) -> Self {
        Self { generation: prepared.then(Arc::default), ..self }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = PooledClient;
    type Error = Error;

    fn connect(&self) -> Result<PooledClient, Error> {
        let client = self.connector.begin(String::new(), Some(self.open.count()))?.finish()?;
        let statements = self.generation.clone().map(StatementCache::new).map(Box::new);
        Ok(PooledClient { client, statements, usable_at: Instant::now() })
    }

    fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        Ok(client.is_valid(self.connector.answer_limit())?)
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        client.client.is_broken()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration has text of the connection string.
        f.debug_struct("Manager").finish_non_exhaustive()
    }
}
