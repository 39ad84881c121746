//! Making connections for a pool.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgmq_core::Settings;
use pgmq_core::backend::Generation;
use pgmq_driver_tokio_postgres::{Statements, Tls, config, connect_limit};
use tokio_postgres::{Client, Config};

use crate::bound::sealed::Clients;
use crate::{Error, Session, Transaction};

/// What a pool has to be able to do so that a queue can use it: whatever makes clients of this driver.
///
/// [`Manager`] does, and so does the one of the crate `bb8-postgres`.
pub trait ManageClients: bb8::ManageConnection<Connection: Clients, Error: Into<Error>> {}

impl<M: bb8::ManageConnection<Connection: Clients, Error: Into<Error>>> ManageClients for M {}

/// A client of the driver's, as a [`Manager`] makes it, with the statements that stay prepared on it.
///
/// It is used like the driver's: `session.transaction().await`.
#[derive(Debug)]
pub struct PooledClient {
    /// In a box, because each operation moves it out of the pool and back.
    client: Box<Client>,
    /// None where nothing is to stay prepared.
    pub(crate) statements: Option<Box<Statements>>,
    ended_idle: Arc<AtomicBool>,
}

impl PooledClient {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        let (client, statements) = self.parts();
        Transaction::begin(client, statements).await
    }

    /// The driver's client, and the statements that stay prepared on it.
    pub(crate) fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
        (&mut self.client, self.statements.as_deref())
    }

    /// Whether the server ended the connection while it had nothing to answer. What was asked too late for that was never sent.
    pub(crate) fn ended_idle(&self) -> bool {
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

/// Makes connections for a pool of this crate's own, or for one of yours.
///
/// It encrypts by the TLS feature that is compiled in, as `sslmode` says, and gives up when the server does not complete a
/// connection within the time-out for connecting.
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
    /// That of the statements, if they are to stay prepared.
    generation: Option<Arc<Generation>>,
}

impl Manager {
    /// Connects by a URL or libpq connection string, which goes to the driver's own parser, but for what it says of TLS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), when the driver does not take the URL, or TLS is
    /// required and not compiled in.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::of(&Settings::from_url(url))
    }

    pub(crate) fn of(settings: &Settings) -> Result<Self, Error> {
        let (config, tls) = config(settings)?;
        let keeps_statements = settings.prepared_statements == Some(true);
        Ok(Self { config, tls, generation: keeps_statements.then(Arc::default) })
    }

    /// Whether statements stay prepared on the connections, as
    /// [`Builder::prepared_statements`](crate::Builder::prepared_statements) says; they do not unless told.
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
        let (client, connection) = within(connect_limit(&self.config), connect).await??;
        let ended_idle = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&ended_idle);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // The server's report ends the connection itself only if there is no question that it could be the answer to.
            if let Err(error) = connection.as_mut().await {
                noted.store(error.as_db_error().is_some(), Ordering::Release);
            }
            // Dropped after that is noted, it tells those who wait.
        });
        let statements = self.generation.clone().map(Statements::of).map(Box::new);
        Ok(PooledClient { client: Box::new(client), statements, ended_idle })
    }

    async fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        Ok(client.check_connection().await?)
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        client.is_closed() || GIVEN_UP.get()
    }
}

thread_local! {
    /// Whether the connection that this thread is giving back is not to be used again.
    static GIVEN_UP: Cell<bool> = const { Cell::new(false) };
}

/// Gives back a connection that does not answer, or may not be used again. It may look as if it were in order, so the pool is told; a
/// pool of other connections than a [`Manager`]'s finds that out by itself, or does not.
pub(crate) fn give_up<M: ManageClients>(session: Session<M>) {
    GIVEN_UP.set(true);
    // The pool asks at once, on this thread.
    drop(session);
    GIVEN_UP.set(false);
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver shows no password.
        f.debug_struct("Manager").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The time-outs of the driver end with the TCP connection; a server may take that and then say nothing.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let text = format!("the server did not complete the connection within {limit:?}");
        Error::Client(pgmq_core::Error::new(pgmq_core::ErrorKind::Connection, text))
    })
}
