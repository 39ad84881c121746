//! The queue over a pool.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{PoolError as Refusal, PoolableConnection};
use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{
    self, Channels, FailureClass, LastConnectError, Next, Observing, Retry, Settings, TransactionModes,
};
use pgmq_core::{
    AsyncListen, AsyncQueue, ErrorKind, Failure, Installation, Observer, Output, PoolError, Query,
    TransactionOptions, statement,
};
use pgmq_driver_tokio_postgres::{Pools, Tls, listen_config};

use crate::bound::BoundQueue;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::in_flight::InFlight;
use crate::listen::Listener;
use crate::pool::{Acquired, DriverState, Pool, Session, Shared, discard};
use crate::run::{RunError, run, server_replied};
use crate::transaction::{Ended, OpenTransaction, is_in_transaction};

/// PGMQ over a pool of connections.
///
/// Every operation acquires a connection from the pool, makes one round trip, and releases the connection.
/// Clones share the pool. The async methods return futures that are [`Send`], so operations can be spawned.
#[derive(Clone)]
pub struct PGMQueue {
    /// Shared by the handles alone: the last one that is dropped closes the pool.
    pools: Arc<Pools<Pool>>,
    shared: Arc<Shared>,
    /// The URL of [`with_listen_url`](Self::with_listen_url).
    listen_url: Option<Arc<str>>,
    observing: Observing,
}

impl PGMQueue {
    pub(crate) fn new(
        pools: Pools<Pool>,
        settings: Settings,
        last_connect_error: LastConnectError<Error>,
        tls: Tls,
    ) -> Self {
        let observing = Observing::new(&settings);
        let driver = DriverState::new(pools.current(), tls);
        let shared = Arc::new(Shared::new(settings, last_connect_error, driver));
        Self { pools: Arc::new(pools), shared, listen_url: None, observing }
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
        self.pools.current()
    }

    /// Acquires a connection of the driver's own type from the pool, for your own statements.
    /// Dropping the session releases it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub async fn session(&self) -> Result<Session, Error> {
        self.acquire().await.map(|acquired| acquired.session)
    }

    /// Acquires a session, waiting in FIFO order.
    async fn acquire(&self) -> Result<Acquired<'_>, Error> {
        let started = Instant::now();
        let permits = &self.shared.driver.permits;
        if let Some(permit) = permits.try_acquire() {
            // The pool enforces the timeout by itself.
            let mut session = self.pooled().await.map_err(|error| self.not_acquired(error, started))?;
            if !session.is_broken() {
                return Ok(Acquired { session, permit: Some(permit) });
            }
        }
        let left = self.pool().config().connection_timeout.saturating_sub(started.elapsed());
        let acquiring = async { (permits.acquire().await, self.next_session().await) };
        match tokio::time::timeout(left, acquiring).await {
            Ok((permit, session)) => Ok(Acquired { session: session?, permit }),
            Err(_) => Err(self.not_acquired(bb8::RunError::TimedOut, started)),
        }
    }

    /// Takes a session out of the pool, without waiting for a permit.
    async fn next_session(&self) -> Result<Session, Error> {
        // The driver notices when an idle connection is closed, and the pool discards a broken connection
        // when it is released. Connections that the pool makes meanwhile are
        // returned as they are.
        let mut idle = self.pool().state().connections;
        loop {
            let started = Instant::now();
            let mut session = self.pooled().await.map_err(|error| self.not_acquired(error, started))?;
            if idle == 0 || !session.is_broken() {
                return Ok(session);
            }
            idle -= 1;
        }
    }

    /// Takes a session out of the pool as it is.
    async fn pooled(&self) -> Result<Session, bb8::RunError<Refusal>> {
        let mut getting = pin!(self.pools.usable(close_idle).get_owned());
        if let Some(attempts) = self.pools.attempts() {
            attempts.ask();
            match poll_fn(|cx| Poll::Ready(getting.as_mut().poll(cx))).await {
                Poll::Ready(session) => return session,
                // The pool may have spawned a task that connects.
                Poll::Pending => attempts.expect(),
            }
        }
        getting.await
    }

    /// Exchanges a session that must not be used again for another one.
    async fn replace<'q>(&self, acquired: Acquired<'q>) -> Result<Acquired<'q>, Error> {
        let Acquired { session, permit } = acquired;
        discard(session);
        let started = Instant::now();
        let next = tokio::time::timeout(self.pool().config().connection_timeout, self.next_session());
        match next.await {
            Ok(session) => Ok(Acquired { session: session?, permit }),
            Err(_) => Err(self.not_acquired(bb8::RunError::TimedOut, started)),
        }
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
        BoundQueue::new(connection.conn(), Arc::clone(&self.shared), self.observing.clone())
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
    /// # diesel::table! { orders (id) { id -> BigInt } }
    /// # async fn example(queue: pgmq_diesel_async::PGMQueue) -> Result<(), pgmq_diesel_async::Error> {
    /// use diesel_async::RunQueryDsl;
    /// use pgmq_diesel_async::{IsolationLevel, TransactionOptions};
    ///
    /// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
    /// queue.transaction_with(&options, async |connection| {
    ///     diesel::insert_into(orders::table).default_values().execute(connection).await?;
    ///     queue.with(connection).send("orders", "created").await
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`transaction`](Self::transaction), and an error of kind
    /// [`ErrorKind::InvalidArgument`] if the session is in a transaction already, such as Diesel's test
    /// transaction: a savepoint takes no options.
    pub async fn transaction_with<R, E: From<Error>>(
        &self,
        options: &TransactionOptions,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let modes = TransactionModes::from(options);
        let acquired = self.acquire().await?;
        let mut in_flight = InFlight::new(acquired, &self.shared);
        let mut retry = Retry::new(&self.shared.server, 1);
        let (done, ended) = loop {
            // Diesel's test transaction ends with its connection, so a savepoint in it is left to end.
            let is_outermost = !is_in_transaction(in_flight.conn_mut());
            in_flight = in_flight.cancelled_on_drop(is_outermost);
            let error = match OpenTransaction::begin(in_flight.conn_mut(), modes).await {
                Ok(transaction) => break transaction.run(work).await,
                Err(error) => error,
            };
            let acquired = in_flight.release();
            let is_lost = error.kind() == ErrorKind::Connection;
            if !is_lost || retry.reconnect() == Next::Discard {
                // The server may have ended the session with an error of any kind. But Diesel's test
                // transaction outlives a savepoint that is refused.
                if is_lost || is_outermost {
                    discard(acquired.session);
                }
                return Err(error.into());
            }
            // Nothing was begun, so the transaction can begin on another connection.
            let acquired = self.replace(acquired).await?;
            in_flight = InFlight::new(acquired, &self.shared);
        };
        match ended {
            Ended::Answered if done.is_err() && !self.accepts_writes(in_flight.conn()).await => {
                discard(in_flight.release().session);
            }
            Ended::Answered => drop(in_flight.release()),
            Ended::Lost => discard(in_flight.release().session),
            // Cancels the statement that is running.
            Ended::Unanswered => drop(in_flight),
        }
        done
    }

    /// Returns `true` if a connection may be used again after a transaction on it has failed.
    ///
    /// The reason is known only to the closure. A server that refuses writes, which it may do only for a
    /// while, would refuse them on this connection for as long as the pool keeps it.
    async fn accepts_writes(&self, connection: &AsyncPgConnection) -> bool {
        let queue = BoundQueue::new(connection, Arc::clone(&self.shared), Observing::default());
        let asking = queue.run(statement::accepts_writes());
        // A server that falls silent must not keep the closure's error from the caller.
        let answer = tokio::time::timeout(self.shared.settings.connect_timeout, asking).await;
        matches!(answer, Ok(Ok(true)))
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
            let background = self.shared.driver.background.clone();
            let endpoint = Endpoint::new(config, tls);
            Listener::connect(endpoint, channels, settings.listener_check_interval, background).await
        }
    }

    /// Sets the URL that [`listen`](Self::listen) connects to, for a queue over your own pool.
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

    /// Drops this handle.
    ///
    /// The background work has ended when this returns: the server has stopped what dropped futures had
    /// begun, and dropped listeners are disconnected. The last handle of a pool that the queue made itself
    /// closes the pool and its connections; sessions and clones of the [`pool`](Self::pool) that you hold
    /// keep it open. A pool that you supplied stays open.
    ///
    /// Call this before the runtime ends: a poll whose future was dropped would otherwise keep running on the
    /// server, and hide messages that no consumer gets. The wait is limited by the connect timeout.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_diesel_async::PGMQueue, shutdown: impl Future<Output = ()>) {
    /// use std::pin::pin;
    /// use pgmq_diesel_async::{PollOptions, RawJson};
    ///
    /// let options = PollOptions::new();
    /// // Drops the poll when the program has to end.
    /// let poll = async { queue.read_with_poll::<RawJson>("orders", 30, 10, &options).await };
    /// futures_util::future::select(pin!(poll), pin!(shutdown)).await;
    /// queue.close().await;
    /// # }
    /// ```
    pub async fn close(self) {
        let Self { pools, shared, .. } = self;
        let limit = shared.settings.connect_timeout;
        let background = shared.driver.background.clone();
        drop(shared);
        let attempts = pools.attempts().cloned();
        let is_last = Arc::into_inner(pools).map(drop).is_some();
        let ended = async {
            background.ended().await;
            if let (true, Some(attempts)) = (is_last, attempts) {
                attempts.ended().await;
            }
            // Lets the pool's tasks end, and then the driver's, which close the connections. The driver hides
            // its tasks, so that their end cannot be awaited.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        };
        // A network that is silent must not keep the program from ending.
        let _ = tokio::time::timeout(limit, ended).await;
    }

    fn not_acquired(&self, error: bb8::RunError<Refusal>, started: Instant) -> Error {
        let waited = self.pool().config().connection_timeout;
        match (error, self.shared.last_connect_error.take_since(started)) {
            (bb8::RunError::User(error), _) => error.into(),
            (bb8::RunError::TimedOut, Some((_, Some(refusal)))) => refusal.after(waited),
            (bb8::RunError::TimedOut, refused) => {
                let kind = refused.map_or(ErrorKind::Timeout, |(kind, _)| kind);
                let timed_out = PoolError::new(bb8::RunError::<Refusal>::TimedOut);
                Error::Pool(Failure::new(kind, timed_out).after(waited))
            }
        }
    }
}

/// Closes the idle connections of a pool that was replaced.
fn close_idle(pool: &Pool) {
    let mut cx = Context::from_waker(Waker::noop());
    while pool.state().idle_connections > 0 {
        match pin!(pool.get_owned()).poll(&mut cx) {
            Poll::Ready(Ok(session)) => discard(session),
            _ => return,
        }
    }
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] {
    example "pgmq_diesel_async" impl [] captures [] [] PGMQueue
});

impl PGMQueue {
    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    async fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut acquired = self.acquire().await?;
        let mut retry = Retry::new(&self.shared.server, 1).of(query.call());
        loop {
            let variant = retry.variant(query);
            let in_flight = InFlight::new(acquired, &self.shared).cancelled_on_drop(query.call().is_poll());
            let ran = run(in_flight.conn(), query, variant, &self.shared.driver.generation).await;
            acquired = in_flight.release();
            let RunError { class, error } = match ran {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Repeat => {}
                // Diesel cannot drop the stale statements from its cache; they go with the connection.
                Next::Reprepare => acquired = self.replace(acquired).await?,
                Next::Reconnect => {
                    // A refusal to write is a reply in any case. Without a reply, the report only ended the
                    // connection, and the query may have been committed before.
                    if class == FailureClass::NotCommitted {
                        let limit = self.shared.settings.connect_timeout;
                        let mut ending = InFlight::new(acquired, &self.shared).cancelled_on_drop(true);
                        let has_replied = server_replied(ending.conn_mut(), limit).await;
                        acquired = ending.release();
                        if !has_replied {
                            discard(acquired.session);
                            return Err(error.in_doubt());
                        }
                    }
                    acquired = self.replace(acquired).await?;
                }
                Next::Discard => {
                    discard(acquired.session);
                    return Err(error.unless_proven(class));
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
        let driver = DriverState::new(&pool, Tls::disabled());
        let shared = Arc::new(Shared::for_users_pool(driver));
        Self {
            pools: Arc::new(Pools::users(pool)),
            shared,
            listen_url: None,
            observing: Observing::default(),
        }
    }
}

impl fmt::Debug for PGMQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
