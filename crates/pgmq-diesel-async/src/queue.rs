//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{PoolableConnection, bb8::RunError as AcquireError};
use pgmq_core::backend::{Attempt, Generation, Refusals};
use pgmq_core::prelude::*;
use pgmq_core::{
    AsyncQueue, Channels, ErrorKind, Failure, Installation, Learned, Output, Plan, Query, QueueError,
    Settings, Statement,
};
use pgmq_driver_tokio_postgres::{Tls, Turn, Turns, listen_config};

use crate::bound::Connection;
use crate::config::{Endpoint, within};
use crate::run::{Busy, Stop, condemn, run, settle, was_answered};
use crate::transaction::Begun;
use crate::{BoundQueue, Builder, Error, Listener};

/// A pool of connections of this driver: Diesel's own type, so the pool that an application has already will do.
pub type Pool = diesel_async::pooled_connection::bb8::Pool<AsyncPgConnection>;

/// A connection out of the pool, which it goes back to when it is dropped.
pub type Session = diesel_async::pooled_connection::bb8::PooledConnection<'static, AsyncPgConnection>;

/// PGMQ over a pool of connections.
///
/// Every operation takes a connection from the pool, makes one round trip, and gives the connection back. Clones share the
/// pool.
#[derive(Clone)]
pub struct PGMQueue {
    pool: Pool,
    turns: Turns,
    known: Arc<Known>,
    settings: Arc<Settings>,
    refusals: Refusals<Error>,
    /// How to reach the server beside the pool. A pool of the user's own does not say; then it is tried in the clear.
    tls: Tls,
}

/// What the pool knows, and shares with all that is bound to its connections.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The server's version of PGMQ.
    pub(crate) learned: Learned,
    /// That of the statements that are prepared.
    pub(crate) generation: Generation,
}

impl PGMQueue {
    /// Connects to a URL or libpq connection string, with a pool of 10 connections, and makes sure that PGMQ is there.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses; [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be
    /// created.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url).connect().await
    }

    /// Connects with settings of your own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Connects by environment variables: `DATABASE_URL`, or else `PG_HOST`, `PG_PORT`, `PG_DATABASE`, `PG_USERNAME` and
    /// `PG_PASSWORD`. `PG_INIT_EXTENSION=false` leaves out making sure that PGMQ is there.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect), and when a variable cannot be read.
    pub async fn from_env() -> Result<Self, Error> {
        let settings = Settings::from_vars(|name| std::env::var(name))?;
        Builder::new(settings).connect().await
    }

    pub(crate) fn own(pool: Pool, settings: Settings, refusals: Refusals<Error>, tls: Tls) -> Self {
        let turns = Turns::of(pool.config().max_size);
        Self { pool, turns, known: Arc::default(), settings: Arc::new(settings), refusals, tls }
    }
}

impl PGMQueue {
    /// Makes sure that PGMQ is there: creates the extension, where it is not and the server offers it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be created.
    pub async fn init(&self) -> Result<(), Error> {
        pgmq_core::init_async(self, &self.known.learned).await
    }

    /// Says how PGMQ is installed and which version it is, by a look into the catalogue: no DDL, no locks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is not there.
    pub async fn version(&self) -> Result<Installation, Error> {
        pgmq_core::version_async(self).await
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes a connection of the driver's own type out of the pool, for work beside the queue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], when none becomes free in time; [`ErrorKind::Connection`], when none can be made.
    pub async fn session(&self) -> Result<Session, Error> {
        self.acquire().await.map(|(_, session)| session)
    }

    /// Takes a session when it is our turn.
    async fn acquire(&self) -> Result<(Option<Turn<'_>>, Session), Error> {
        let started = Instant::now();
        if let Some(turn) = self.turns.take_free() {
            // The pool keeps to the time-out by itself.
            let session = self.pool.get_owned().await;
            let mut session = session.map_err(|error| self.not_acquired(error, started))?;
            if !session.is_broken() {
                return Ok((Some(turn), session));
            }
        }
        let left = self.pool.config().connection_timeout.saturating_sub(started.elapsed());
        let acquiring = async { (self.turns.take().await, self.next_session().await) };
        match tokio::time::timeout(left, acquiring).await {
            Ok((turn, session)) => Ok((turn, session?)),
            Err(_) => Err(self.not_acquired(AcquireError::TimedOut, started)),
        }
    }

    /// Takes a session out of the pool, whoever else waits for one.
    async fn next_session(&self) -> Result<Session, Error> {
        // The driver notices while a connection is idle that it was closed. The pool takes such a one back, and away. Those
        // that it makes meanwhile are handed out as they are.
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

    /// The queue on a connection or in a transaction of your own. Where there is only a shared reference to it, that does too:
    /// `queue.with(&mut &connection)`.
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
        BoundQueue::new(connection.target(), Arc::clone(&self.known))
    }

    /// Runs a closure in a transaction: commits when it returns `Ok`, and rolls back when it returns `Err` or is dropped.
    ///
    /// If the closure returns `Ok` although a statement in it failed, nothing can be committed any more, and that is an error.
    /// Diesel's own `connection.transaction(..)` nests in it, as a savepoint.
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
    /// The closure's, or those of taking a connection, beginning and committing.
    pub async fn transaction<R, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let (_turn, mut session) = self.acquire().await?;
        let mut may_move = true;
        loop {
            let error = match Begun::begin(&mut session, self.stop()).await {
                Ok(begun) => return begun.run(work).await,
                Err(error) => error,
            };
            // Nothing has been begun, so it can be begun elsewhere.
            if error.kind() != ErrorKind::Connection || !may_move {
                return Err(error.into());
            }
            may_move = false;
            let _ = within(self.settings.connect_timeout, settle(&session)).await;
            drop(session);
            session = self.next_session().await?;
        }
    }

    /// Listens for messages sent to these queues, on a connection of its own that is made anew when it is lost.
    ///
    /// The queues have to notify: see [`enable_notify`](Self::enable_notify).
    ///
    /// # Errors
    ///
    /// When the connection cannot be made; [`ErrorKind::InvalidArgument`], when the queue was made from a pool, which does
    /// not say how to connect: give it [`listening_by`](Self::listening_by) a URL.
    pub async fn listen(&self, queues: &[&str]) -> Result<Listener, Error> {
        let channels = Channels::new(queues)?;
        let (config, tls) = listen_config(&self.settings)?;
        Listener::connect(Endpoint::new(config, tls), channels).await
    }

    /// Has [`listen`](Self::listen) connect by this URL: for a queue made from a pool of your own.
    #[must_use]
    pub fn listening_by(self, url: impl Into<String>) -> Self {
        let mut settings = Settings::clone(&self.settings);
        settings.listen_url = Some(url.into());
        Self { settings: Arc::new(settings), ..self }
    }

    /// Gives up this handle. The pool's connections are closed once the last handle to it is gone; those of a pool of your
    /// own are yours.
    pub async fn close(self) {
        drop(self);
        // Lets the driver's tasks say good-bye to the server.
        tokio::task::yield_now().await;
    }

    fn stop(&self) -> Stop<'_> {
        Stop { tls: &self.tls, limit: self.settings.connect_timeout }
    }

    fn not_acquired(&self, error: AcquireError, started: Instant) -> Error {
        let waited = self.pool.config().connection_timeout;
        match (error, self.refusals.since(started)) {
            (error @ AcquireError::User(_), _) => error.into(),
            (_, Some((_, Some(refusal)))) => refusal.after(waited),
            (error, refused) => {
                let kind = refused.map_or(ErrorKind::Timeout, |(kind, _)| kind);
                Error::Pool(Failure::new(kind, error).after(waited))
            }
        }
    }

    /// Runs a query on a pooled connection; once more on another one, or in an older form, where it is sure that the server
    /// committed nothing.
    async fn run_pooled<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        let (_turn, mut session) = self.acquire().await?;
        let (mut may_move, mut may_prepare) = (true, true);
        let mut lacks = None;
        loop {
            let form = if lacks.is_some() { query.oldest() } else { query.form(&self.known.learned, true) };
            let busy = Busy::new(session, query.call().is_poll(), self.stop());
            let ran = run(busy.connection(), &query, form, &self.known.generation).await;
            session = busy.release();
            let failed = match ran {
                Ok(output) => {
                    form.since.inspect(|&version| self.known.learned.has(version));
                    lacks.inspect(|&version| self.known.learned.lacks(version));
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            match (failed.attempt, form.since) {
                (Attempt::UnknownFunction, Some(version)) => lacks = Some(version),
                (Attempt::StalePlan, _) if may_prepare => {
                    may_prepare = false;
                    // With what is of no use any more on it.
                    condemn(&mut session);
                    drop(session);
                    session = self.next_session().await?;
                }
                (Attempt::NotCommitted, _) if may_move => {
                    may_move = false;
                    // The server has said that it goes; once it has gone, the pool sees that too. Given back before, the
                    // connection would be handed out again.
                    let _ = within(self.settings.connect_timeout, settle(&session)).await;
                    if !was_answered(&mut session) {
                        return Err(failed.error);
                    }
                    drop(session);
                    session = self.next_session().await?;
                }
                _ => return Err(failed.error),
            }
        }
    }
}

impl PGMQueue {
    pgmq_core::operations!(pgmq_core::inherent_async_methods);
}

impl AsyncQueue for PGMQueue {
    type Error = Error;

    async fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => self.run_pooled(query).await,
        }
    }
}

impl From<Pool> for PGMQueue {
    /// Uses a pool of your own as it is.
    fn from(pool: Pool) -> Self {
        Self {
            turns: Turns::of(pool.config().max_size),
            pool,
            known: Arc::default(),
            settings: Arc::default(),
            refusals: Refusals::default(),
            tls: Tls::disabled(),
        }
    }
}

impl fmt::Debug for PGMQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.settings).finish_non_exhaustive()
    }
}
