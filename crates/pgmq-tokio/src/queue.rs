//! The queue over a pool.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{
    self, Channels, FailureClass, LastConnectError, Next, Observing, Retry, Settings, TransactionModes,
};
use pgmq_core::{
    AsyncListen, AsyncQueue, ErrorKind, Failure, Installation, Observer, Output, PoolError, Query,
    TransactionOptions, statement,
};
use pgmq_driver_tokio_postgres::{Background, Pools, ends_session, listen_config};

use crate::bound::BoundQueue;
use crate::connection::Connection;
use crate::connection::sealed::Clients;
use crate::error::Error;
use crate::in_flight::{InFlight, discard};
use crate::listen::Listener;
use crate::manager::{ManageClients, Manager};
use crate::pool::{Acquired, DriverState, Pool, Session, Shared};
use crate::run::{ConnRef, RunError};
use crate::transaction::{Ended, Transaction};

/// PGMQ over a pool of connections.
///
/// Every operation acquires a connection from the pool, makes one round trip, and releases the connection.
/// Clones share the pool. The async methods return futures that are [`Send`], so operations can be spawned.
///
/// `M` is the manager that makes the pool's connections, and rarely has to be named: it differs from the
/// default only for your own pool with another manager.
pub struct PGMQueue<M: ManageClients = Manager> {
    /// Shared by the handles alone: the last one that is dropped closes the pool.
    pools: Arc<Pools<Pool<M>>>,
    shared: Arc<Shared>,
    /// The tasks of the pool's connections, and a reference that is dead once the pool is closed; `None` for
    /// your own pool.
    connections: Option<(Background, Weak<()>)>,
    /// The URL of [`with_listen_url`](Self::with_listen_url).
    listen_url: Option<Arc<str>>,
    observing: Observing,
}

impl PGMQueue {
    pub(crate) fn new(
        pools: Pools<Pool>,
        settings: Settings,
        last_connect_error: LastConnectError<Error>,
        connections: (Background, Weak<()>),
    ) -> Self {
        let observing = Observing::new(&settings);
        let driver = DriverState::new(pools.current());
        let shared = Arc::new(Shared::new(settings, last_connect_error, driver));
        Self { pools: Arc::new(pools), shared, connections: Some(connections), listen_url: None, observing }
    }
}

/// Connections, transactions and listeners.
impl<M: ManageClients> PGMQueue<M> {
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
    pub fn pool(&self) -> &Pool<M> {
        self.pools.current()
    }

    /// Acquires a connection of the driver's own type from the pool, for your own statements.
    /// Dropping the session releases it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub async fn session(&self) -> Result<Session<M>, Error> {
        self.acquire().await.map(|acquired| acquired.session)
    }

    /// Acquires a session, waiting in FIFO order.
    async fn acquire(&self) -> Result<Acquired<'_, M>, Error> {
        let started = Instant::now();
        let permits = &self.shared.driver.permits;
        if let Some(permit) = permits.try_acquire() {
            // The pool enforces the timeout by itself.
            let session = self.pooled().await.map_err(|error| self.not_acquired(error, started))?;
            if !session.client().is_closed() {
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
    async fn next_session(&self) -> Result<Session<M>, Error> {
        // The driver notices when an idle connection is closed, and the pool discards a closed connection
        // when it is released, unless its manager trusts it. Connections that the pool makes meanwhile are
        // returned as they are.
        let mut idle = self.pool().state().connections;
        loop {
            let started = Instant::now();
            let session = self.pooled().await.map_err(|error| self.not_acquired(error, started))?;
            if idle == 0 || !session.client().is_closed() {
                return Ok(session);
            }
            idle -= 1;
        }
    }

    /// Takes a session out of the pool as it is.
    async fn pooled(&self) -> Result<Session<M>, bb8::RunError<M::Error>> {
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
    async fn replace<'q>(&self, acquired: Acquired<'q, M>) -> Result<Acquired<'q, M>, Error> {
        let Acquired { session, permit } = acquired;
        discard(Acquired { session, permit: None }, &self.shared.driver);
        let started = Instant::now();
        let next = tokio::time::timeout(self.pool().config().connection_timeout, self.next_session());
        match next.await {
            Ok(session) => Ok(Acquired { session: session?, permit }),
            Err(_) => Err(self.not_acquired(bb8::RunError::TimedOut, started)),
        }
    }

    /// Binds the queue to your own connection or transaction. A shared reference to it works as well:
    /// `queue.with(&mut &client)`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_tokio::PGMQueue) -> Result<(), pgmq_tokio::Error> {
    /// let mut session = queue.session().await?;
    /// let mut transaction = session.transaction().await?;
    /// transaction.execute("INSERT INTO orders DEFAULT VALUES", &[]).await?;
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
    /// an error.
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
    /// # async fn example(queue: pgmq_tokio::PGMQueue) -> Result<(), pgmq_tokio::Error> {
    /// queue.transaction(async |transaction| {
    ///     transaction.execute("INSERT INTO orders DEFAULT VALUES", &[]).await?;
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
    /// # async fn example(queue: pgmq_tokio::PGMQueue) -> Result<(), pgmq_tokio::Error> {
    /// use pgmq_tokio::{IsolationLevel, TransactionOptions};
    ///
    /// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
    /// queue.transaction_with(&options, async |transaction| {
    ///     transaction.execute("INSERT INTO orders DEFAULT VALUES", &[]).await?;
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
        let acquired = self.acquire().await?;
        let mut in_flight = InFlight::new(acquired, &self.shared).cancelled_on_drop(true);
        let mut retry = Retry::new(&self.shared.server, 1);
        let (done, ended) = loop {
            let (client, statements) = in_flight.parts();
            let error = match Transaction::begin(client, statements, modes).await {
                Ok(transaction) => break transaction.run(work).await,
                Err(error) => error,
            };
            let acquired = in_flight.release();
            if !ends_session(&error) {
                // Such as a standby that cannot begin a transaction with these options.
                return Err(Error::from(error).into());
            }
            let error = Error::from(error);
            // The server may have ended the session with an error of any kind.
            if error.kind() != ErrorKind::Connection || retry.reconnect() == Next::Discard {
                discard(acquired, &self.shared.driver);
                return Err(error.into());
            }
            // Nothing was begun, so the transaction can begin on another connection.
            let acquired = self.replace(acquired).await?;
            in_flight = InFlight::new(acquired, &self.shared).cancelled_on_drop(true);
        };
        match ended {
            Ended::Answered if done.is_err() && !self.accepts_writes(in_flight.conn()).await => {
                discard(in_flight.release(), &self.shared.driver);
            }
            Ended::Answered => drop(in_flight.release()),
            Ended::Lost => discard(in_flight.release(), &self.shared.driver),
            // Cancels the statement that is running.
            Ended::Unanswered => drop(in_flight),
        }
        done
    }

    /// Returns `true` if a connection may be used again after a transaction on it has failed.
    ///
    /// The reason is known only to the closure. A server that refuses writes, which it may do only for a
    /// while, would refuse them on this connection for as long as the pool keeps it.
    async fn accepts_writes(&self, connection: ConnRef<'_>) -> bool {
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
    ) -> impl Future<Output = Result<Listener, Error>> + Send + use<'_, S, M> {
        // The future must not borrow the names, which need not be `Sync`.
        let channels = Channels::new(queues);
        async move {
            let channels = channels?;
            let settings = &self.shared.settings;
            let listen_url = self.listen_url.as_deref().or(settings.listen_url.as_deref());
            let (config, tls) = listen_config(settings, listen_url)?;
            let background = self.shared.driver.background.clone();
            Listener::connect(config, tls, channels, settings.listener_check_interval, background).await
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
    /// closes the pool, and waits until its connections are closed; sessions and clones of the
    /// [`pool`](Self::pool) that you hold keep it open. A pool that you supplied stays open.
    ///
    /// Call this before the runtime ends: a poll whose future was dropped would otherwise keep running on the
    /// server, and hide messages that no consumer gets. The wait is limited by the connect timeout.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(queue: pgmq_tokio::PGMQueue, shutdown: impl Future<Output = ()>) {
    /// use std::pin::pin;
    /// use pgmq_tokio::{PollOptions, RawJson};
    ///
    /// let options = PollOptions::new();
    /// // Drops the poll when the program has to end.
    /// let poll = async { queue.read_with_poll::<RawJson>("orders", 30, 10, &options).await };
    /// futures_util::future::select(pin!(poll), pin!(shutdown)).await;
    /// queue.close().await;
    /// # }
    /// ```
    pub async fn close(self) {
        let Self { pools, shared, connections, .. } = self;
        let limit = shared.settings.connect_timeout;
        let background = shared.driver.background.clone();
        drop(shared);
        let attempts = pools.attempts().cloned();
        let is_last = Arc::into_inner(pools).map(drop).is_some();
        let ended = async {
            background.ended().await;
            let (true, Some(attempts), Some((connections, pool))) = (is_last, attempts, connections) else {
                return;
            };
            attempts.ended().await;
            // The pool's tasks own it until they end, which they may just be doing on another thread. A
            // clone of the pool owns it for longer.
            for _ in 0..POOL_YIELDS {
                if pool.strong_count() == 0 {
                    return connections.ended().await;
                }
                tokio::task::yield_now().await;
            }
        };
        // A network that is silent must not keep the program from ending.
        let _ = tokio::time::timeout(limit, ended).await;
    }

    fn not_acquired(&self, error: bb8::RunError<M::Error>, started: Instant) -> Error {
        let waited = self.pool().config().connection_timeout;
        match (error, self.shared.last_connect_error.take_since(started)) {
            (bb8::RunError::User(error), _) => error.into(),
            (bb8::RunError::TimedOut, Some((_, Some(refusal)))) => refusal.after(waited),
            (bb8::RunError::TimedOut, refused) => {
                let kind = refused.map_or(ErrorKind::Timeout, |(kind, _)| kind);
                let timed_out = PoolError::new(bb8::RunError::<tokio_postgres::Error>::TimedOut);
                Error::Pool(Failure::new(kind, timed_out).after(waited))
            }
        }
    }
}

/// The number of times that a closing queue yields to the tasks of its pool: a fraction of a millisecond.
const POOL_YIELDS: u32 = 100;

/// Closes the idle connections of a pool that was replaced.
fn close_idle<M: ManageClients>(pool: &Pool<M>) {
    let mut cx = Context::from_waker(Waker::noop());
    while pool.state().idle_connections > 0 {
        match pin!(pool.get_owned()).poll(&mut cx) {
            Poll::Ready(Ok(mut session)) => {
                session.discard();
            }
            _ => return,
        }
    }
}

pgmq_core::operations!([pgmq_core::inherent_async_methods] {
    example "pgmq_tokio" impl [<M: ManageClients>] captures [] [M] PGMQueue<M>
});

impl<M: ManageClients> PGMQueue<M> {
    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    async fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut acquired = self.acquire().await?;
        let mut retry = Retry::new(&self.shared.server, 1).of(query.call());
        loop {
            let variant = retry.variant(query);
            let in_flight = InFlight::new(acquired, &self.shared).cancelled_on_drop(query.call().is_poll());
            let ran = in_flight.conn().run(query, variant).await;
            acquired = in_flight.release();
            let RunError { class, error } = match ran {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            // The server had ended the idle connection, so the driver never sent the query.
            let was_unsent = error.is_closed() && acquired.session.ended_idle();
            let (class, error) = match was_unsent {
                true => (FailureClass::NotCommitted, error.not_in_doubt()),
                false => (class, error),
            };
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Reprepare | Next::Repeat => {}
                Next::Reconnect => acquired = self.replace(acquired).await?,
                Next::Discard => {
                    discard(acquired, &self.shared.driver);
                    return Err(error);
                }
                Next::Fail => return Err(error),
            }
        }
    }
}

impl<M: ManageClients> AsyncQueue for PGMQueue<M> {
    type Error = Error;

    async fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let running = pin!(self.run_pooled(&query));
        let result = observed.watch(running).await;
        observed.end(&query, result)
    }
}

impl<M: ManageClients> AsyncListen for PGMQueue<M> {
    type Listener = Listener;

    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> impl Future<Output = Result<Listener, Error>> + Send {
        self.listen(queues)
    }
}

impl<M: ManageClients> From<Pool<M>> for PGMQueue<M> {
    /// Uses your own pool as it is.
    fn from(pool: Pool<M>) -> Self {
        let shared = Arc::new(Shared::for_users_pool(DriverState::new(&pool)));
        Self {
            pools: Arc::new(Pools::users(pool)),
            shared,
            connections: None,
            listen_url: None,
            observing: Observing::default(),
        }
    }
}

impl<M: ManageClients> Clone for PGMQueue<M> {
    fn clone(&self) -> Self {
        Self {
            pools: Arc::clone(&self.pools),
            shared: Arc::clone(&self.shared),
            connections: self.connections.clone(),
            listen_url: self.listen_url.clone(),
            observing: self.observing.clone(),
        }
    }
}

impl<M: ManageClients> fmt::Debug for PGMQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
