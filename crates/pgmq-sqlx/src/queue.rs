//! The queue over a pool.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{
    self, CHECK_TRANSACTION, Channels, LastConnectError, Next, Observing, Retry, Settings, TransactionModes,
};
use pgmq_core::{
    AsyncListen, AsyncQueue, ErrorKind, Failure, Installation, Observer, Output, Query, TransactionOptions,
    statement,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::bound::BoundQueue;
use crate::connection::Connection;
use crate::error::Error;
use crate::in_flight::InFlight;
use crate::listen::Listener;
use crate::panics::catch;
use crate::pool::{DriverState, Pool, Session, Shared, Transaction, discard};
use crate::run::{RunError, run, run_in_transaction};
use crate::server::Server;
use crate::timeout::timeout;

/// The time within which the server answers a rollback, unless it runs a statement still.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(1);

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
    observing: Observing,
    /// Counts the handles of a pool that a builder made, so that the last one can close it. `None` for the
    /// user's pool.
    handles: Option<Arc<()>>,
}

impl PGMQueue {
    pub(crate) fn new(pool: Pool, settings: Settings, driver: DriverState) -> Self {
        let observing = Observing::new(&settings);
        let shared = Arc::new(Shared::new(settings, LastConnectError::default(), driver));
        Self { pool, shared, listen_url: None, observing, handles: Some(Arc::default()) }
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
    /// The connection may have died while it was idle, which only its first use finds out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub async fn session(&self) -> Result<Session, Error> {
        let acquired = catch(self.pool.acquire()).await;
        let connection = acquired.map_err(|error| self.not_acquired(error))?;
        Ok(Session::new(connection, self.shared.settings.connect_timeout))
    }

    /// Binds the queue to your own connection or transaction.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_sqlx::PGMQueue) -> Result<(), pgmq_sqlx::Error> {
    /// let mut transaction = queue.pool().begin().await?;
    /// sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut *transaction).await?;
    /// queue.with(&mut transaction).send("orders", "created").await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<'c, C: Connection>(&self, connection: &'c mut C) -> BoundQueue<'c> {
        BoundQueue::new(connection.conn(), Arc::clone(&self.shared), self.observing.clone())
    }

    /// Runs a closure in a transaction, which commits if the closure returns `Ok`, and rolls back otherwise.
    ///
    /// A panic in the closure, or dropping the future, rolls back as well.
    /// If the closure returns `Ok` although a statement in it failed, nothing is committed, and the result is
    /// an error. The result is an error also if a statement of the closure, such as `ROLLBACK`, has ended the
    /// transaction. Finding that out takes one round trip more than the driver's own `commit`.
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
    /// # async fn example(queue: pgmq_sqlx::PGMQueue) -> Result<(), pgmq_sqlx::Error> {
    /// queue.transaction(async |transaction| {
    ///     sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut **transaction).await?;
    ///     queue.with(transaction).send("orders", "created").await
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
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.transaction_with(&TransactionOptions::new(), work).await
    }

    /// Runs a closure in a transaction with these options, such as an isolation level, and is otherwise like
    /// [`transaction`](Self::transaction).
    ///
    /// A closure that fails with [`ErrorKind::Conflict`] can be run again, in another call.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_sqlx::PGMQueue) -> Result<(), pgmq_sqlx::Error> {
    /// use pgmq_sqlx::{IsolationLevel, TransactionOptions};
    ///
    /// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
    /// queue.transaction_with(&options, async |transaction| {
    ///     sqlx::query("INSERT INTO orders DEFAULT VALUES").execute(&mut **transaction).await?;
    ///     queue.with(transaction).send("orders", "created").await
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`transaction`](Self::transaction).
    pub async fn transaction_with<R, E: From<Error>>(
        &self,
        options: &TransactionOptions,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let modes = TransactionModes::from(options);
        let mut retry = Retry::new(&self.shared.server, self.reconnects());
        loop {
            // Guarded also while the transaction begins: the driver would send no rollback if this future
            // were dropped.
            let mut in_flight = match self.session().await {
                Ok(session) => InFlight::new(session),
                Err(error) => {
                    self.not_begun(error, &mut retry)?;
                    continue;
                }
            };
            let transaction = match begin(in_flight.conn(), modes).await {
                Ok(transaction) => transaction,
                Err(error) => {
                    self.not_begun(error.into(), &mut retry)?;
                    continue;
                }
            };
            let done = complete(transaction, work).await;
            let is_usable = done.is_ok() || self.accepts_writes(in_flight.conn()).await;
            let session = in_flight.release();
            if !is_usable {
                // The reason may be a loss, which casts doubt on all other connections.
                self.shared.driver.losses.record();
                discard(session);
            }
            return done;
        }
    }

    /// Returns `true` if a connection may be used again after a transaction on it has failed.
    ///
    /// The reason is known only to the closure. A server that refuses writes, which it may do only for a
    /// while, would refuse them on this connection for as long as the pool keeps it.
    async fn accepts_writes(&self, connection: &mut PgConnection) -> bool {
        let queue = BoundQueue::new(connection, Arc::clone(&self.shared), Observing::default());
        let asking = queue.run(statement::accepts_writes());
        // The driver rolls back first. A server that is silent, or that still runs a statement which the
        // closure has dropped, must not keep the closure's error from the caller.
        matches!(timeout(ROLLBACK_LIMIT, asking).await, Ok(Ok(true)))
    }

    /// Returns `Ok` if the transaction can begin on another connection: nothing was begun, and the connection
    /// was lost.
    fn not_begun(&self, error: Error, retry: &mut Retry<'_>) -> Result<(), Error> {
        let timed_out =
            matches!(&error, Error::Driver(failure) if matches!(failure.cause(), sqlx::Error::PoolTimedOut));
        if error.kind() != ErrorKind::Connection || timed_out || retry.reconnect() == Next::Discard {
            return Err(error);
        }
        self.shared.driver.losses.record();
        Ok(())
    }

    /// Listens for messages sent to these queues, on a dedicated connection that reconnects when it is lost.
    ///
    /// Notifications must be enabled on the queues: see [`enable_notify`](Self::enable_notify).
    ///
    /// # Errors
    ///
    /// The connection cannot be made.
    pub fn listen<S: AsRef<str>>(
        &self,
        queues: &[S],
    ) -> impl Future<Output = Result<Listener, Error>> + Send + use<'_, S> {
        // The future must not borrow the names, which need not be `Sync`.
        let channels = Channels::new(queues);
        async move {
            let channels = channels?;
            let settings = &self.shared.settings;
            let server = match self.listen_url.as_deref().or(settings.listen_url.as_deref()) {
                Some(url) => Server::for_listening(settings, url)?,
                None => Server::from_pool(&self.pool, settings.connect_timeout)?,
            };
            Listener::connect(server, channels, settings.listener_check_interval).await
        }
    }

    /// Sets the URL that [`listen`](Self::listen) connects to, for a queue over your own pool. Without such
    /// a URL, `listen` connects like the pool.
    #[must_use]
    pub fn with_listen_url(self, url: impl Into<String>) -> Self {
        Self { listen_url: Some(url.into().into()), ..self }
    }

    /// Sets the observer of the operations of this handle, of its clones, and of the queues that it binds.
    /// An [`Arc`] of an observer is one as well.
    #[must_use]
    pub fn with_observer(self, observer: impl Observer) -> Self {
        Self { observing: self.observing.by(observer), ..self }
    }

    /// Drops this handle. The pool closes with its last handle, also for tasks that have cloned
    /// [`pool`](Self::pool), and this method then returns once its connections are closed, or after the
    /// connect timeout. A session that is in use longer is closed when it is dropped. A pool that you
    /// supplied stays open.
    pub async fn close(self) {
        if self.handles.and_then(Arc::into_inner).is_none() {
            return;
        }
        // The call itself closes the pool for all its handles, also if this future is dropped or the limit is
        // over. The future would only wait for that.
        let _closed = CloseOnDrop(&self.pool);
        let closing = async {
            // The driver closes idle connections only after all others.
            while let Some(connection) = self.pool.try_acquire() {
                let _ = connection.close().await;
            }
            self.pool.close().await;
        };
        let _ = timeout(self.shared.settings.connect_timeout, closing).await;
    }

    fn not_acquired(&self, error: sqlx::Error) -> Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return Error::connecting(error);
        }
        let options = self.pool.options();
        // A pool with room for more has waited for a new connection, not for a free one.
        let has_room = self.pool.size() < options.get_max_connections();
        let kind = if has_room { ErrorKind::Connection } else { ErrorKind::Timeout };
        Error::Driver(Failure::new(kind, error).after(options.get_acquire_timeout()))
    }

    /// The number of times that work may move to another connection. After one loss, the builder's pool
    /// checks the other connections before it hands them out. In the user's pool, all connections may be
    /// lost.
    fn reconnects(&self) -> u32 {
        if self.handles.is_some() { 1 } else { self.pool.size() + 1 }
    }
}

/// The guard of a pool that is being closed.
struct CloseOnDrop<'p>(&'p Pool);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        drop(self.0.close());
    }
}

async fn begin(conn: &mut PgConnection, modes: TransactionModes) -> sqlx::Result<Transaction<'_>> {
    match modes.begin() {
        None => catch(conn.begin()).await,
        // The statement consists of keywords alone.
        Some(begin) => catch(conn.begin_with(AssertSqlSafe(begin))).await,
    }
}

/// Runs the closure and commits. If either fails, the transaction is rolled back when its connection is in
/// the pool again.
async fn complete<R, E: From<Error>>(
    mut transaction: Transaction<'_>,
    work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let done = work(&mut transaction).await?;
    // On COMMIT alone, the server would report success in a failed transaction, and outside one.
    let checking = sqlx::raw_sql(CHECK_TRANSACTION).execute(&mut *transaction);
    catch(checking).await.map_err(cannot_commit)?;
    catch(transaction.commit()).await.map_err(Error::committing)?;
    Ok(done)
}

fn cannot_commit(error: sqlx::Error) -> Error {
    if error.as_database_error().is_none_or(|report| report.code().as_deref() != Some("25P01")) {
        return error.into();
    }
    let text =
        "the closure has ended the transaction itself; return `Ok` to commit or `Err` to roll back instead";
    pgmq_core::Error::new(ErrorKind::InvalidArgument, text).because(error).into()
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] { example "pgmq_sqlx" impl [] captures [] [] PGMQueue });

impl PGMQueue {
    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    async fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let DriverState { losses, prepared } = &self.shared.driver;
        let mut session = self.session().await?;
        let mut retry = Retry::new(&self.shared.server, self.reconnects()).of(query.call());
        loop {
            let variant = retry.variant(query);
            let mut in_flight = InFlight::new(session);
            let ran = match prepared.is_off() {
                false => run(in_flight.conn(), prepared, query, variant).await,
                true => run_in_transaction(in_flight.conn(), prepared, query, variant).await,
            };
            session = in_flight.release();
            let RunError { class, error } = match ran {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            if error.kind() == ErrorKind::Connection {
                losses.record();
            }
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Reprepare | Next::Repeat => {}
                Next::Reconnect => {
                    discard(session);
                    session = self.session().await?;
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

impl AsyncQueue for PGMQueue {
    type Error = Error;

    async fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let running = pin!(self.run_pooled(&query));
        let result = observed.watch(running).await;
        observed.end(&query, result)
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
        let shared = Arc::new(Shared::for_users_pool(DriverState::default()));
        Self { pool, shared, listen_url: None, observing: Observing::default(), handles: None }
    }
}

impl fmt::Debug for PGMQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.shared.settings;
        f.debug_struct("PGMQueue")
            .field("pool", &self.pool)
            .field("settings", settings)
            .finish_non_exhaustive()
    }
}
