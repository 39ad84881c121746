//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{
    self, Channels, LastConnectError, Next, Observing, OpenConnections, Retry, Settings, TransactionModes,
};
use pgmq_core::{
    ErrorKind, Failure, Installation, Listen, Observer, Output, Query, Queue, TransactionOptions, statement,
};
use pgmq_driver_tokio_postgres::{connect_limit, ends_session, listen_config};

use crate::bound::BoundQueue;
use crate::connect::Connector;
use crate::connection::Connection;
use crate::connection::sealed::{Bind, Clients};
use crate::error::Error;
use crate::listen::Listener;
use crate::manager::{ManageClients, Manager};
use crate::pool::{DriverState, LONGEST_WAIT, Losses, Pool, Session, Shared, discard};
use crate::run::{ConnRef, RunError};
use crate::runtime::check_may_block;
use crate::transaction::Transaction;

/// PGMQ over a pool of connections.
///
/// Every operation acquires a connection from the pool, makes one round trip, and releases the connection.
/// Clones share the pool.
///
/// In async code, operations fail with [`ErrorKind::InvalidArgument`], because the driver cannot work there:
/// use `pgmq-tokio`, or `tokio::task::spawn_blocking`. A queue can be dropped anywhere.
///
/// `M` is the manager that makes the pool's connections, and rarely has to be named: it differs from the
/// default only for your own pool with another manager.
pub struct PGMQueue<M: ManageClients = Manager> {
    pool: Pool<M>,
    shared: Arc<Shared>,
    /// The URL of [`with_listen_url`](Self::with_listen_url).
    listen_url: Option<Arc<str>>,
    observing: Observing,
}

impl PGMQueue {
    pub(crate) fn new(
        pool: Pool,
        settings: Settings,
        last_connect_error: LastConnectError<Error>,
        open: OpenConnections,
    ) -> Self {
        let observing = Observing::new(&settings);
        let driver = DriverState { losses: Losses::default(), open };
        let shared = Shared::new(settings, last_connect_error, driver);
        Self { pool, shared: Arc::new(shared), listen_url: None, observing }
    }
}

/// Connections, transactions and listeners.
impl<M: ManageClients> PGMQueue<M> {
    /// Creates the extension if PGMQ is missing and the server offers it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing and cannot be created.
    pub fn init(&self) -> Result<(), Error> {
        backend::init(self, &self.shared.server)
    }

    /// Reads the source and the version of the PGMQ installation from the system catalogue: no DDL, no
    /// locks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], if PGMQ is missing.
    pub fn version(&self) -> Result<Installation, Error> {
        backend::version(self)
    }

    /// The pool.
    pub fn pool(&self) -> &Pool<M> {
        &self.pool
    }

    /// Acquires a connection of the driver's own type from the pool, for your own statements.
    /// Dropping the session releases it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub fn session(&self) -> Result<Session<M>, Error> {
        check_may_block()?;
        let started = Instant::now();
        // Each discard leaves one connection fewer. If new ones are lost as well, the operation reports the
        // reason.
        let mut discards_left = self.pool.max_size();
        loop {
            let mut session = self.take(started)?;
            let limit = || self.time_left(started).min(self.shared.settings.connect_timeout);
            let Err(error) = self.shared.driver.losses.check(&mut session, limit) else {
                return Ok(session);
            };
            if discards_left == 0 {
                return Ok(session);
            }
            discards_left -= 1;
            // The server does not answer, so it cannot be asked to end the session.
            discard(session, Duration::ZERO);
            if self.time_left(started).is_zero() {
                let waited = self.pool.connection_timeout();
                return Err(Error::Driver(Failure::new(ErrorKind::Connection, error).after(waited)));
            }
        }
    }

    /// Takes a connection from the pool, which may be lost. The pool wakes no waiter when it discards a lost
    /// connection, so the wait is in several parts.
    fn take(&self, started: Instant) -> Result<Session<M>, Error> {
        if let Some(session) = self.pool.try_get() {
            return Ok(session);
        }
        let mut refused = None;
        loop {
            let left = self.time_left(started);
            match self.pool.get_timeout(left.min(LONGEST_WAIT)) {
                Ok(session) => return Ok(session),
                Err(error) if left <= LONGEST_WAIT => {
                    return Err(self.not_acquired(refused.unwrap_or_else(|| error.into()), started));
                }
                // The pool reports the reason to one waiter, once.
                Err(error) => {
                    refused = Some(Error::from(error))
                        .filter(|error| error.kind() == ErrorKind::Connection)
                        .or(refused);
                }
            }
        }
    }

    /// Releases a connection that must not be used again.
    fn discard(&self, session: Session<M>) {
        discard(session, self.shared.settings.connect_timeout);
    }

    /// The rest of the acquire timeout.
    fn time_left(&self, started: Instant) -> Duration {
        self.pool.connection_timeout().saturating_sub(started.elapsed())
    }

    /// Binds the queue to your own connection or transaction.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: pgmq_postgres::PGMQueue) -> Result<(), pgmq_postgres::Error> {
    /// let mut session = queue.session()?;
    /// let mut transaction = session.transaction()?;
    /// transaction.execute("INSERT INTO orders DEFAULT VALUES", &[])?;
    /// queue.with(&mut transaction).send("orders", "created")?;
    /// transaction.commit()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<'c, C: Connection>(&self, connection: &'c mut C) -> BoundQueue<'c> {
        BoundQueue::new(connection.conn(), Arc::clone(&self.shared), self.observing.clone())
    }

    /// Runs a closure in a transaction, which commits if the closure returns `Ok`, and rolls back otherwise.
    ///
    /// A panic in the closure rolls back as well.
    /// If the closure returns `Ok` although a statement in it failed, nothing is committed, and the result is
    /// an error.
    ///
    /// The closure runs at most once. Operations on the queue itself, without
    /// [`with`](Self::with), use another connection and are not part of the transaction.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: pgmq_postgres::PGMQueue) -> Result<(), pgmq_postgres::Error> {
    /// queue.transaction(|transaction| {
    ///     transaction.execute("INSERT INTO orders DEFAULT VALUES", &[])?;
    ///     queue.with(transaction).send("orders", "created")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the closure, or of acquiring the connection, of `BEGIN` or of `COMMIT`.
    pub fn transaction<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.transaction_with(&TransactionOptions::new(), work)
    }

    /// Runs a closure in a transaction with these options, such as an isolation level, and is otherwise like
    /// [`transaction`](Self::transaction).
    ///
    /// A closure that fails with [`ErrorKind::Conflict`] can be run again, in another call.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: pgmq_postgres::PGMQueue) -> Result<(), pgmq_postgres::Error> {
    /// use pgmq_postgres::{IsolationLevel, TransactionOptions};
    ///
    /// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
    /// queue.transaction_with(&options, |transaction| {
    ///     transaction.execute("INSERT INTO orders DEFAULT VALUES", &[])?;
    ///     queue.with(transaction).send("orders", "created")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`transaction`](Self::transaction).
    pub fn transaction_with<R, E: From<Error>>(
        &self,
        options: &TransactionOptions,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let modes = TransactionModes::from(options);
        let mut session = self.session()?;
        let mut retry = Retry::new(&self.shared.server, 1);
        let done = loop {
            let (client, statements) = session.parts();
            let error = match Transaction::begin(client, statements, modes) {
                Ok(transaction) => break self.complete(transaction, work),
                Err(error) => error,
            };
            if !ends_session(&error) {
                // Such as a standby that cannot begin a transaction with these options.
                return Err(Error::from(error).into());
            }
            let error = Error::from(error);
            self.discard(session);
            // Nothing was begun, so the transaction can begin on another connection.
            if !self.is_loss(&error) || retry.reconnect() == Next::Discard {
                return Err(error.into());
            }
            session = self.session()?;
        };
        if done.is_err() && !self.accepts_writes(session.conn()) {
            self.discard(session);
        }
        done
    }

    /// Runs the closure and commits. If either fails, dropping the transaction rolls it back.
    fn complete<R, E: From<Error>>(
        &self,
        mut transaction: Transaction<'_>,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let done = work(&mut transaction)?;
        transaction.commit().map_err(Error::committing).inspect_err(|error| {
            self.is_loss(error);
        })?;
        Ok(done)
    }

    /// Returns `true` if a connection may be used again after a transaction on it has failed.
    ///
    /// The reason is known only to the closure. A server that refuses writes, which it may do only for a
    /// while, would refuse them on this connection for as long as the pool keeps it.
    fn accepts_writes(&self, connection: ConnRef<'_>) -> bool {
        let queue = BoundQueue::new(connection, Arc::clone(&self.shared), Observing::default());
        let answer = queue.run(statement::accepts_writes()).inspect_err(|error| {
            self.is_loss(error);
        });
        matches!(answer, Ok(true))
    }

    /// Listens for messages sent to these queues, on a dedicated connection that reconnects when it is lost.
    ///
    /// Notifications must be enabled on the queues: see [`enable_notify`](Self::enable_notify).
    ///
    /// # Errors
    ///
    /// The connection cannot be made; [`ErrorKind::InvalidArgument`], if the queue uses your own pool, which
    /// does not tell how to connect: set the URL by [`with_listen_url`](Self::with_listen_url).
    pub fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Listener, Error> {
        check_may_block()?;
        let channels = Channels::new(queues)?;
        let settings = &self.shared.settings;
        let listen_url = self.listen_url.as_deref().or(settings.listen_url.as_deref());
        let (config, tls) = listen_config(settings, listen_url)?;
        let limit = connect_limit(&config);
        let connector = Connector::new(config.into(), tls, limit);
        Listener::connect(connector, channels, settings.listener_check_interval)
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

    /// Drops this handle. The last handle closes the pool, and waits until its connections are closed;
    /// sessions and clones of the [`pool`](Self::pool) that you hold keep it open. A pool that you supplied
    /// stays open.
    ///
    /// The wait is limited by the connect timeout.
    pub fn close(self) {
        let Self { pool, shared, .. } = self;
        drop(pool);
        // `None` while there are other handles.
        if let Some(shared) = Arc::into_inner(shared) {
            shared.driver.open.wait_until_closed(shared.settings.connect_timeout);
        }
    }

    fn not_acquired(&self, error: Error, started: Instant) -> Error {
        let waited = self.pool.connection_timeout();
        match (error, self.shared.last_connect_error.take_since(started)) {
            (_, Some((_, Some(refusal)))) => refusal.after(waited),
            (Error::Pool(failure), refused) => {
                let kind = refused.map_or(failure.kind(), |(kind, _)| kind);
                Error::Pool(Failure::new(kind, failure.into_cause()).after(waited))
            }
            (other, _) => other,
        }
    }

    /// Returns `true` if an error is the loss of a connection, and counts it.
    fn is_loss(&self, error: &Error) -> bool {
        let is_loss = error.kind() == ErrorKind::Connection;
        if is_loss {
            self.shared.driver.losses.record();
        }
        is_loss
    }
}

pgmq_core::operations!([pgmq_core::inherent_methods] {
    example "pgmq_postgres" impl [<M: ManageClients>] PGMQueue<M>
});

impl<M: ManageClients> PGMQueue<M> {
    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut session = self.session()?;
        let mut retry = Retry::new(&self.shared.server, 1).of(query.call());
        loop {
            let variant = retry.variant(query);
            let RunError { class, error } = match session.conn().run(query, variant) {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            self.is_loss(&error);
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Reprepare | Next::Repeat => {}
                Next::Reconnect => {
                    self.discard(session);
                    session = self.session()?;
                }
                Next::Discard => {
                    self.discard(session);
                    return Err(error);
                }
                Next::Fail => return Err(error),
            }
        }
    }
}

impl<M: ManageClients> Queue for PGMQueue<M> {
    type Error = Error;

    fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let result = observed.run(|| self.run_pooled(&query));
        observed.end(&query, result)
    }
}

impl<M: ManageClients> Listen for PGMQueue<M> {
    type Listener = Listener;

    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Listener, Error> {
        self.listen(queues)
    }
}

impl<M: ManageClients> From<Pool<M>> for PGMQueue<M> {
    /// Uses your own pool as it is.
    fn from(pool: Pool<M>) -> Self {
        Self {
            pool,
            shared: Arc::new(Shared::for_users_pool(DriverState::default())),
            listen_url: None,
            observing: Observing::default(),
        }
    }
}

impl<M: ManageClients> Clone for PGMQueue<M> {
    fn clone(&self) -> Self {
        let (shared, listen_url) = (Arc::clone(&self.shared), self.listen_url.clone());
        Self { pool: self.pool.clone(), shared, listen_url, observing: self.observing.clone() }
    }
}

impl<M: ManageClients> fmt::Debug for PGMQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
