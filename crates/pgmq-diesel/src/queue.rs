//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::pg::PgConnection;
use pgmq_core::backend::prelude::*;
use pgmq_core::backend::{
    self, Channels, LastConnectError, Next, Observing, OpenConnections, Retry, Settings, TransactionModes,
};
use pgmq_core::{
    ErrorKind, Failure, Installation, Listen, Observer, Output, Query, Queue, TransactionOptions, statement,
};

use crate::bound::BoundQueue;
use crate::connection::Connection;
use crate::conninfo::listen_conninfo;
use crate::error::Error;
use crate::listen::Listener;
use crate::pool::{DriverState, LONGEST_WAIT, Losses, Pool, Session, Shared, discard};
use crate::run::{RunError, is_cached, run};
use crate::session::{FRESH, can_run, can_use};
use crate::transaction::OpenTransaction;

/// PGMQ over a pool of connections.
///
/// Every operation acquires a connection from the pool, makes one round trip, and releases the connection.
/// Clones share the pool.
#[derive(Clone)]
pub struct PGMQueue {
    pool: Pool,
    shared: Arc<Shared>,
    /// The URL of [`with_listen_url`](Self::with_listen_url).
    listen_url: Option<Arc<str>>,
    observing: Observing,
}

impl PGMQueue {
    pub(crate) fn new(
        pool: Pool,
        settings: Settings,
        last_connect_error: LastConnectError<diesel::r2d2::Error>,
        open: OpenConnections,
    ) -> Self {
        let observing = Observing::new(&settings);
        let driver = DriverState { losses: Losses::default(), open: Some(open) };
        let shared = Shared::new(settings, last_connect_error, driver);
        Self { pool, shared: Arc::new(shared), listen_url: None, observing }
    }
}

/// Connections, transactions and listeners.
impl PGMQueue {
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
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Acquires a connection of the driver's own type from the pool, for your own statements.
    /// Dropping the session releases it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], if none becomes free in time; [`ErrorKind::Connection`], if none can be made.
    pub fn session(&self) -> Result<Session, Error> {
        // A connection for the user is checked in any case.
        self.acquire(Duration::ZERO)
    }

    /// Acquires a session, and checks its connection if that was last handed out at least `fresh` ago.
    fn acquire(&self, fresh: Duration) -> Result<Session, Error> {
        let started = Instant::now();
        // Each discard leaves one connection fewer. If new ones are lost as well, the operation reports the
        // reason.
        let mut discards_left = self.pool.max_size();
        loop {
            let mut session = self.take(started)?;
            if can_use(&mut session, &self.shared.driver, fresh) || discards_left == 0 {
                return Ok(session);
            }
            discards_left -= 1;
            discard(session);
            if started.elapsed() >= self.pool.connection_timeout() {
                let text = "the server answered on no connection in time; retry later";
                return Err(pgmq_core::Error::new(ErrorKind::Connection, text).into());
            }
        }
    }

    /// Takes a connection from the pool, which may be lost. The pool wakes no waiter when it discards a lost
    /// connection, so the wait is in several parts.
    fn take(&self, started: Instant) -> Result<Session, Error> {
        if let Some(session) = self.pool.try_get() {
            return Ok(session);
        }
        let mut refused = None;
        loop {
            let left = self.pool.connection_timeout().saturating_sub(started.elapsed());
            match self.pool.get_timeout(left.min(LONGEST_WAIT)) {
                Ok(session) => return Ok(session),
                Err(error) if left <= LONGEST_WAIT => {
                    return Err(self.not_acquired(refused.unwrap_or_else(|| error.into()), started));
                }
                // The pool reports the reason to one waiter, once.
                Err(error) => {
                    let error = Error::from(error);
                    refused = Some(error).filter(|error| error.kind() == ErrorKind::Connection).or(refused);
                }
            }
        }
    }

    /// Exchanges a lost session for another one.
    fn replace(&self, session: Session) -> Result<Session, Error> {
        discard(session);
        self.acquire(FRESH)
    }

    /// Binds the queue to your own connection or transaction.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: pgmq_diesel::PGMQueue) -> Result<(), pgmq_diesel::Error> {
    /// use diesel::prelude::*;
    ///
    /// let mut session = queue.session()?;
    /// session.transaction(|connection| {
    ///     diesel::sql_query("INSERT INTO orders DEFAULT VALUES").execute(connection)?;
    ///     queue.with(connection).send("orders", "created")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with<'c, C: Connection>(&self, connection: &'c mut C) -> BoundQueue<'c> {
        BoundQueue::new(connection.connection(), Arc::clone(&self.shared), self.observing.clone())
    }

    /// Runs a closure in a transaction, which commits if the closure returns `Ok`, and rolls back otherwise.
    ///
    /// A panic in the closure rolls back as well.
    /// If the closure returns `Ok` although a statement in it failed, nothing is committed, and the result is
    /// an error. Diesel's own `transaction` nests inside, as a savepoint.
    ///
    /// The closure runs at most once. Operations on the queue itself, without
    /// [`with`](Self::with), use another connection and are not part of the transaction.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(queue: pgmq_diesel::PGMQueue) -> Result<(), pgmq_diesel::Error> {
    /// use diesel::prelude::*;
    ///
    /// queue.transaction(|connection| {
    ///     diesel::sql_query("INSERT INTO orders DEFAULT VALUES").execute(connection)?;
    ///     queue.with(connection).send("orders", "created")
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
        work: impl FnOnce(&mut PgConnection) -> Result<R, E>,
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
    /// # fn example(queue: pgmq_diesel::PGMQueue) -> Result<(), pgmq_diesel::Error> {
    /// use diesel::prelude::*;
    /// use pgmq_diesel::{IsolationLevel, TransactionOptions};
    ///
    /// let options = TransactionOptions::new().isolation(IsolationLevel::Serializable);
    /// queue.transaction_with(&options, |connection| {
    ///     diesel::sql_query("INSERT INTO orders DEFAULT VALUES").execute(connection)?;
    ///     queue.with(connection).send("orders", "created")
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`transaction`](Self::transaction), and an error of kind
    /// [`ErrorKind::InvalidArgument`] if the session is in a transaction already, such as Diesel's test
    /// transaction: a savepoint takes no options.
    pub fn transaction_with<R, E: From<Error>>(
        &self,
        options: &TransactionOptions,
        work: impl FnOnce(&mut PgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let (mut session, transaction) = self.begin(options.into())?;
        let done = match work(&mut session) {
            Ok(done) => match transaction.commit(&mut session) {
                Ok(()) => Ok(done),
                Err(error) => {
                    self.record_loss(&error);
                    Err(error.into())
                }
            },
            Err(error) => {
                transaction.roll_back(&mut session);
                Err(error)
            }
        };
        // A refusal that the closure has ignored fails the commit.
        if done.is_err() && !self.accepts_writes(&mut session) {
            discard(session);
        }
        done
    }

    /// Returns `true` if a connection may be used again after a transaction on it has failed.
    ///
    /// The reason is known only to the closure. A server that refuses writes, which it may do only for a
    /// while, would refuse them on this connection for as long as the pool keeps it.
    fn accepts_writes(&self, connection: &mut PgConnection) -> bool {
        let queue = BoundQueue::new(connection, Arc::clone(&self.shared), Observing::default());
        let answer = queue.run(statement::accepts_writes()).inspect_err(|error| {
            self.record_loss(error);
        });
        matches!(answer, Ok(true))
    }

    /// Begins a transaction, and again on another connection if the first one is lost.
    fn begin(&self, modes: TransactionModes) -> Result<(Session, OpenTransaction), Error> {
        let mut session = self.acquire(FRESH)?;
        let mut retry = Retry::new(&self.shared.server, 1);
        loop {
            let error = match OpenTransaction::begin(&mut session, modes) {
                Ok(transaction) => return Ok((session, transaction)),
                Err(error) => error,
            };
            // Nothing was begun, so the transaction can begin on another connection.
            if !self.record_loss(&error) {
                return Err(error);
            }
            discard(session);
            if retry.reconnect() == Next::Discard {
                return Err(error);
            }
            session = self.acquire(FRESH)?;
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
    pub fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Listener, Error> {
        let channels = Channels::new(queues)?;
        let settings = &self.shared.settings;
        let listen_url = self.listen_url.as_deref().or(settings.listen_url.as_deref());
        let conninfo = listen_conninfo(settings, listen_url)?;
        Listener::connect(conninfo, channels, settings.listener_check_interval, settings.connect_timeout)
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
        if let Some(shared) = Arc::into_inner(shared)
            && let Some(open) = shared.driver.open
        {
            open.wait_until_closed(shared.settings.connect_timeout);
        }
    }

    fn not_acquired(&self, error: Error, started: Instant) -> Error {
        use diesel::r2d2::Error as Refused;

        let waited = self.pool.connection_timeout();
        match (error, self.shared.last_connect_error.take_since(started)) {
            (_, Some((kind, Some(Refused::ConnectionError(refusal))))) => {
                Error::Connect(Failure::new(kind, refusal).after(waited))
            }
            (_, Some((kind, Some(Refused::QueryError(refusal))))) => {
                Error::Driver(Failure::new(kind, refusal).after(waited))
            }
            (Error::Pool(failure), refused) => {
                let kind = refused.map_or(failure.kind(), |(kind, _)| kind);
                Error::Pool(Failure::new(kind, failure.into_cause()).after(waited))
            }
            (other, _) => other,
        }
    }

    /// Records a lost connection if the error reports one. Returns `true` if it does.
    fn record_loss(&self, error: &Error) -> bool {
        let is_loss = error.kind() == ErrorKind::Connection;
        if is_loss {
            self.shared.driver.losses.record();
        }
        is_loss
    }
}

pgmq_core::operations!([pgmq_core::inherent_methods] { example "pgmq_diesel" impl [] PGMQueue });

impl PGMQueue {
    /// Runs a query on a pooled connection, and again where the server is known to have committed nothing.
    fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut session = self.acquire(FRESH)?;
        let mut retry = Retry::new(&self.shared.server, 1).of(query.call());
        let mut discards_left = self.pool.max_size();
        loop {
            let variant = retry.variant(query);
            // Here the query was not sent, so these reconnects are not counted as retries of it.
            while is_cached(variant) && !can_run(&mut session, variant.text) && discards_left > 0 {
                discards_left -= 1;
                self.shared.driver.losses.record();
                session = self.replace(session)?;
            }
            let RunError { class, error } = match run(&mut session, query, variant) {
                Ok(output) => {
                    retry.succeeded(variant);
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            self.record_loss(&error);
            match retry.after(class, variant) {
                Next::UseOlderVariant | Next::Reprepare | Next::Repeat => {}
                Next::Reconnect => session = self.replace(session)?,
                Next::Discard => {
                    discard(session);
                    return Err(error);
                }
                Next::Fail => return Err(error),
            }
        }
    }
}

impl Queue for PGMQueue {
    type Error = Error;

    fn run_query<O: Output>(&self, mut query: Query<'_, O>) -> Result<O, Error> {
        let mut observed = self.observing.begin(&mut query);
        let result = observed.run(|| self.run_pooled(&query));
        observed.end(&query, result)
    }
}

impl Listen for PGMQueue {
    type Listener = Listener;

    fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Listener, Error> {
        self.listen(queues)
    }
}

impl From<Pool> for PGMQueue {
    /// Uses your own pool as it is.
    fn from(pool: Pool) -> Self {
        Self {
            pool,
            shared: Arc::new(Shared::for_users_pool(DriverState::default())),
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
