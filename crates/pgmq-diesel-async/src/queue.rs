//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{PoolError, PoolableConnection};
use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{self, Channels, LastConnectError, Next, Retry, Settings};
use pgmq_core::{AsyncListen, AsyncQueue, ErrorKind, Failure, Installation, Output, Query};
use pgmq_driver_tokio_postgres::{Permit, Tls, listen_config};

use crate::bound::BoundQueue;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::in_flight::InFlight;
use crate::listen::Listener;
use crate::pool::{DriverState, Pool, Session, Shared, discard};
use crate::run::{RunError, run, server_replied, sync};
use crate::timeout::timeout;
use crate::transaction::OpenTransaction;

/// PGMQ over a pool of connections.
///
/// Every operation acquires a connection from the pool, makes one round trip, and releases the connection.
/// Clones share the pool. The async methods return futures that are [`Send`], so operations can be spawned.
#[derive(Clone)]
pub struct PGMQueue {
    pool: Pool,
    shared: Arc<Shared>,
    /// The URL of [`with_listen_url`](Self::with_listen_url).
    listen_url: Option<Arc<str>>,
}

impl PGMQueue {
    pub(crate) fn new(
        pool: Pool,
        settings: Settings,
        last_connect_error: LastConnectError<Error>,
        tls: Tls,
    ) -> Self {
        let driver = DriverState::new(&pool, tls);
        Self { pool, shared: Arc::new(Shared::new(settings, last_connect_error, driver)), listen_url: None }
    }
}

/// Connections, transactions and listeners.
impl PGMQueue {
    /// Creates the extension if PGMQ is missing and the server offers it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing and cannot be created.
    pub async fn init(&self) -> Result<(), Error> {
        backend::init_async(self, &self.shared.server).await
    }

    /// Reads the source and the version of the PGMQ installation from the system catalogue: no DDL, no
    /// locks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing.
    pub async fn version(&self) -> Result<Installation, Error> {
        backend::version_async(self).await
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Acquires a connection of the driver's own type from the pool, for your own statements.
    /// Dropping the session releases it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub async fn session(&self) -> Result<Session, Error> {
        self.acquire().await.map(|(_, session)| session)
    }

    /// Acquires a session, waiting in FIFO order.
    async fn acquire(&self) -> Result<(Option<Permit<'_>>, Session), Error> {
        let started = Instant::now();
        let permits = &self.shared.driver.permits;
        if let Some(permit) = permits.try_acquire() {
            // The pool enforces the timeout by itself.
            let session = self.pool.get_owned().await;
            let mut session = session.map_err(|error| self.not_acquired(error, started))?;
            if !session.is_broken() {
                return Ok((Some(permit), session));
            }
        }
        let left = self.pool.config().connection_timeout.saturating_sub(started.elapsed());
        let acquiring = async { (permits.acquire().await, self.next_session().await) };
        match tokio::time::timeout(left, acquiring).await {
            Ok((permit, session)) => Ok((permit, session?)),
            Err(_) => Err(self.not_acquired(bb8::RunError::TimedOut, started)),
        }
    }

    /// Takes a session out of the pool, without waiting for a permit.
    async fn next_session(&self) -> Result<Session, Error> {
        // The driver notices when an idle connection is closed, and the pool discards a broken connection
        // when it is released. Connections that the pool makes meanwhile are returned as they are.
        let mut idle = self.pool.state().connections;
        loop {
            let started = Instant::now();
            let session = self.pool.get_owned().await;
            let mut session = session.map_err(|error| self.not_acquired(error, started))?;
            if idle == 0 || !session.is_broken() {
                return Ok(session);
            }
            idle -= 1;
        }
    }

    /// Waits until the server has ended a session whose end it has announced.
    async fn await_end(&self, connection: &AsyncPgConnection) {
        // Only once the connection has ended does the driver tell what its last report was about.
        let _ = timeout(self.shared.settings.connect_timeout, sync(connection)).await;
    }

    /// Binds the queue to your own connection or transaction. A shared reference to it works as well:
    /// `queue.with(&mut &connection)`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # diesel::table! { orders (id) { id -> BigInt } }
    /// # async fn example(queue: pgmq_diesel_async::PGMQueue) -> Result<(), pgmq_diesel_async::Error> {
    /// use diesel_async::{AsyncConnection, RunQueryDsl};
    ///
    /// let mut session = queue.session().await?;
    /// session.transaction(async |connection| {
    ///     diesel::insert_into(orders::table).default_values().execute(connection).await?;
    ///     queue.with(connection).send("orders", "created").await
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<'c, C: Connection>(&self, connection: &'c mut C) -> BoundQueue<'c> {
        BoundQueue::new(connection.conn(), Arc::clone(&self.shared))
    }

    /// Runs a closure in a transaction, which commits if the closure returns `Ok`, and rolls back otherwise.
    ///
    /// A panic in the closure, or dropping the future, rolls back as well.
    /// If the closure returns `Ok` although a statement in it failed, nothing is committed, and the result is
    /// an error. Diesel's own `connection.transaction(..)` nests in it, as a savepoint.
    ///
    /// The closure runs at most once. Operations on the queue itself, without
    /// [`with`](Self::with), use another connection and are not part of the transaction.
    ///
    /// Write the closure as `async |transaction| { .. }`. The form `|transaction| async { .. }` does not
    /// compile: "implementation of `AsyncFnOnce` is not general enough".
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # diesel::table! { orders (id) { id -> BigInt } }
    /// # async fn example(queue: pgmq_diesel_async::PGMQueue) -> Result<(), pgmq_diesel_async::Error> {
    /// use diesel_async::RunQueryDsl;
    ///
    /// queue.transaction(async |connection| {
    ///     diesel::insert_into(orders::table).default_values().execute(connection).await?;
    ///     queue.with(connection).send("orders", "created").await
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the closure, or of acquiring the connection, of `BEGIN` or of `COMMIT`.
    pub async fn transaction<R, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let (_permit, mut session) = self.acquire().await?;
        let mut retry = Retry::new(&self.shared.server, 1);
        loop {
            let error = match OpenTransaction::begin(&mut session, &self.shared).await {
                Ok(transaction) => return transaction.run(work).await,
                Err(error) => error,
            };
            // Nothing was begun, so the transaction can begin on another connection.
            if error.kind() != ErrorKind::Connection {
                return Err(error.into());
            }
            discard(session);
            if retry.reconnect() == Next::Discard {
                return Err(error.into());
            }
            session = self.next_session().await?;
        }
    }

    /// Listens for messages sent to these queues, on a dedicated connection that reconnects when it is lost.
    ///
    /// Notifications must be enabled on the queues: see [`enable_notify`](Self::enable_notify).
    ///
    /// # Errors
    ///
    /// The connection cannot be made; [`ErrorKind::InvalidArgument`], if the queue uses your own pool, which
    /// does not tell how to connect: set the URL by [`with_listen_url`](Self::with_listen_url).
    pub fn listen<S: AsRef<str>>(
        &self,
        queues: &[S],
    ) -> impl Future<Output = Result<Listener, Error>> + Send + use<'_, S> {
        // The future must not borrow the names, which need not be `Sync`.
        let channels = Channels::new(queues);
        async move {
            let channels = channels?;
            let settings = &self.shared.settings;
            let listen_url = self.listen_url.as_deref().or(settings.listen_url.as_deref());
            let (config, tls) = listen_config(settings, listen_url)?;
            Listener::connect(Endpoint::new(config, tls), channels).await
        }
    }

    /// Sets the URL that [`listen`](Self::listen) connects to, for a queue over your own pool.
    #[must_use]
    pub fn with_listen_url(self, url: impl Into<String>) -> Self {
        Self { listen_url: Some(url.into().into()), ..self }
    }

    /// Drops this handle. The pool closes with its last handle; a pool that you supplied stays open.
    pub async fn close(self) {
        drop(self);
        // Lets the driver's tasks send their goodbye to the server.
        tokio::task::yield_now().await;
    }

    fn not_acquired(&self, error: bb8::RunError<PoolError>, started: Instant) -> Error {
        let waited = self.pool.config().connection_timeout;
        match (error, self.shared.last_connect_error.take_since(started)) {
            (bb8::RunError::User(error), _) => error.into(),
            (bb8::RunError::TimedOut, Some((_, Some(refusal)))) => refusal.after(waited),
            (bb8::RunError::TimedOut, refused) => {
                let kind = refused.map_or(ErrorKind::Timeout, |(kind, _)| kind);
                Error::Pool(Failure::new(kind, bb8::RunError::TimedOut).after(waited))
            }
        }
    }
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] {
    example "pgmq_diesel_async" impl [] captures [] [] PGMQueue
});

impl AsyncQueue for PGMQueue {
    type Error = Error;

    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    async fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        let (_permit, mut session) = self.acquire().await?;
        let mut retry = Retry::new(&self.shared.server, 1);
        loop {
            let variant = retry.variant(&query);
            let in_flight = InFlight::new(session, &self.shared).cancelled_on_drop(query.call().is_poll());
            let ran = run(in_flight.conn(), &query, variant, &self.shared.driver.generation).await;
            session = in_flight.release();
            let RunError { class, error } = match ran {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Repeat => {}
                Next::Reprepare => {
                    // Diesel cannot drop the stale statements from its cache; they go with the connection.
                    discard(session);
                    session = self.next_session().await?;
                }
                Next::Reconnect => {
                    // A refusal to write is a reply in any case.
                    if error.kind() != ErrorKind::ReadOnly {
                        self.await_end(&session).await;
                        // Without a reply, the report only ended the connection, and the query may have been
                        // committed before.
                        if !server_replied(&mut session) {
                            discard(session);
                            return Err(error.in_doubt());
                        }
                    }
                    discard(session);
                    session = self.next_session().await?;
                }
                Next::Discard => {
                    discard(session);
                    return Err(error);
                }
                Next::Fail => return Err(error),
            }
        }
    }
}

impl AsyncListen for PGMQueue {
    type Listener = Listener;

    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> impl Future<Output = Result<Listener, Error>> + Send {
        self.listen(queues)
    }
}

impl From<Pool> for PGMQueue {
    /// Uses your own pool as it is.
    fn from(pool: Pool) -> Self {
        let driver = DriverState::new(&pool, Tls::disabled());
        Self { pool, shared: Arc::new(Shared::for_users_pool(driver)), listen_url: None }
    }
}

impl fmt::Debug for PGMQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
