//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use pgmq_core::backend::{Attempt, Refusals};
use pgmq_core::prelude::*;
use pgmq_core::{
    AsyncQueue, Channels, ErrorKind, Failure, Installation, Learned, Output, Plan, Query, QueueError,
    Settings, Statement,
};
use pgmq_driver_tokio_postgres::{Tls, Turn, Turns, listen_config};

use crate::bound::Connection;
use crate::bound::sealed::Clients;
use crate::manager::within;
use crate::run::{Busy, RunError};
use crate::{BoundQueue, Builder, Error, Listener, ManageClients, Manager, Transaction};

/// A pool of connections of this driver.
pub type Pool<M = Manager> = bb8::Pool<M>;

/// A connection out of the pool, which it goes back to when it is dropped.
pub type Session<M = Manager> = bb8::PooledConnection<'static, M>;

/// PGMQ over a pool of connections.
///
/// Every operation takes a connection from the pool, makes one round trip, and gives the connection back. Clones share the
/// pool.
///
/// `M` makes the pool's connections, and need not be named: it is only other than the default for a pool of your own whose
/// connections are made by something else.
pub struct PGMQueue<M: ManageClients = Manager> {
    pool: Pool<M>,
    turns: Turns,
    learned: Arc<Learned>,
    settings: Arc<Settings>,
    refusals: Refusals<Error>,
    /// How to reach the server beside the pool. A pool of the user's own does not say; then it is tried in the clear.
    tls: Tls,
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
        Self { pool, turns, learned: Arc::default(), settings: Arc::new(settings), refusals, tls }
    }
}

impl<M: ManageClients> PGMQueue<M> {
    /// Makes sure that PGMQ is there: creates the extension, where it is not and the server offers it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be created.
    pub async fn init(&self) -> Result<(), Error> {
        pgmq_core::init_async(self, &self.learned).await
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
    pub fn pool(&self) -> &Pool<M> {
        &self.pool
    }

    /// Takes a connection out of the pool, for work beside the queue. It is used like the driver's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], when none becomes free in time; [`ErrorKind::Connection`], when none can be made.
    pub async fn session(&self) -> Result<Session<M>, Error> {
        self.acquire().await.map(|(_, session)| session)
    }

    /// Takes a session when it is our turn.
    async fn acquire(&self) -> Result<(Option<Turn<'_>>, Session<M>), Error> {
        let started = Instant::now();
        if let Some(turn) = self.turns.take_free() {
            // The pool keeps to the time-out by itself.
            let session = self.pool.get_owned().await.map_err(|error| self.not_acquired(error, started))?;
            if !session.client().is_closed() {
                return Ok((Some(turn), session));
            }
        }
        let left = self.pool.config().connection_timeout.saturating_sub(started.elapsed());
        let acquiring = async { (self.turns.take().await, self.next_session().await) };
        match tokio::time::timeout(left, acquiring).await {
            Ok((turn, session)) => Ok((turn, session?)),
            Err(_) => Err(self.not_acquired(bb8::RunError::TimedOut, started)),
        }
    }

    /// Takes a session out of the pool, whoever else waits for one.
    async fn next_session(&self) -> Result<Session<M>, Error> {
        loop {
            let started = Instant::now();
            let session = self.pool.get_owned().await.map_err(|error| self.not_acquired(error, started))?;
            // The driver notices while a connection is idle that it was closed. The pool takes such a one back, and away;
            // each turn of this loop leaves one fewer.
            if !session.client().is_closed() {
                return Ok(session);
            }
        }
    }

    /// The queue on a connection or in a transaction of your own. Where there is only a shared reference to it, that does too:
    /// `queue.with(&mut &client)`.
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
        BoundQueue::new(connection.target(), Arc::clone(&self.learned))
    }

    /// Runs a closure in a transaction: commits when it returns `Ok`, and rolls back when it returns `Err` or is dropped.
    ///
    /// If the closure returns `Ok` although a statement in it failed, nothing can be committed any more, and that is an error.
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
    /// The closure's, or those of taking a connection, beginning and committing.
    pub async fn transaction<R, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (_turn, session) = self.acquire().await?;
        let hold = |session| Busy::new(session, true, &self.tls, self.settings.connect_timeout);
        let mut busy = hold(session);
        let mut may_move = true;
        let done = loop {
            let (client, statements) = busy.parts();
            let error = match Transaction::begin(client, statements).await {
                Ok(mut transaction) => match work(&mut transaction).await {
                    Ok(done) => {
                        break transaction
                            .commit()
                            .await
                            .map(|()| done)
                            .map_err(|error| Error::from(error).into());
                    }
                    // Dropped with this, the transaction is rolled back.
                    Err(error) => break Err(error),
                },
                Err(error) => Error::from(error),
            };
            let session = busy.release();
            // Nothing has been begun, so it can be begun elsewhere.
            if error.kind() != ErrorKind::Connection || !may_move {
                return Err(error.into());
            }
            may_move = false;
            let _ = within(self.settings.connect_timeout, session.client().check_connection()).await;
            drop(session);
            busy = hold(self.next_session().await?);
        };
        drop(busy.release());
        done
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
        Listener::connect(config, tls, channels).await
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

    fn not_acquired(&self, error: bb8::RunError<M::Error>, started: Instant) -> Error {
        let waited = self.pool.config().connection_timeout;
        match (error, self.refusals.since(started)) {
            (bb8::RunError::User(error), _) => error.into(),
            (bb8::RunError::TimedOut, Some((_, Some(refusal)))) => refusal.after(waited),
            (bb8::RunError::TimedOut, refused) => {
                let kind = refused.map_or(ErrorKind::Timeout, |(kind, _)| kind);
                Error::Pool(Failure::new(kind, bb8::RunError::TimedOut).after(waited))
            }
        }
    }

    /// Runs a query on a pooled connection; once more on another one, or in an older form, where it is sure that the server
    /// committed nothing.
    async fn run_pooled<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        let (_turn, mut session) = self.acquire().await?;
        let mut may_move = true;
        let mut may_prepare = true;
        let mut lacks = None;
        loop {
            let form = if lacks.is_some() { query.oldest() } else { query.form(&self.learned, true) };
            let limit = self.settings.connect_timeout;
            let busy = Busy::new(session, query.call().is_poll(), &self.tls, limit);
            let ran = busy.target().run(&query, form).await;
            session = busy.release();
            let RunError { attempt, error } = match ran {
                Ok(output) => {
                    form.since.inspect(|&version| self.learned.has(version));
                    lacks.inspect(|&version| self.learned.lacks(version));
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            // The server went while the connection was idle, and the query stayed here.
            let stayed = error.is_closed() && session.ended_idle();
            let attempt = if stayed { Attempt::NotCommitted } else { attempt };
            match (attempt, form.since) {
                (Attempt::UnknownFunction, Some(version)) => lacks = Some(version),
                (Attempt::StalePlan, _) if may_prepare => may_prepare = false,
                (Attempt::NotCommitted, _) if may_move => {
                    may_move = false;
                    // The server has said that it goes; once it has gone, the pool sees that too. Given back before, the
                    // connection would be handed out again.
                    let _ = within(self.settings.connect_timeout, session.client().check_connection()).await;
                    drop(session);
                    session = self.next_session().await?;
                }
                _ => return Err(error),
            }
        }
    }
}

impl<M: ManageClients> PGMQueue<M> {
    pgmq_core::operations!(pgmq_core::inherent_async_methods);
}

impl<M: ManageClients> AsyncQueue for PGMQueue<M> {
    type Error = Error;

    async fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => self.run_pooled(query).await,
        }
    }
}

impl<M: ManageClients> From<Pool<M>> for PGMQueue<M> {
    /// Uses a pool of your own as it is.
    fn from(pool: Pool<M>) -> Self {
        Self {
            turns: Turns::of(pool.config().max_size),
            pool,
            learned: Arc::default(),
            settings: Arc::default(),
            refusals: Refusals::default(),
            tls: Tls::disabled(),
        }
    }
}

impl<M: ManageClients> Clone for PGMQueue<M> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            turns: self.turns.clone(),
            learned: Arc::clone(&self.learned),
            settings: Arc::clone(&self.settings),
            refusals: self.refusals.clone(),
            tls: self.tls.clone(),
        }
    }
}

impl<M: ManageClients> fmt::Debug for PGMQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.settings).finish_non_exhaustive()
    }
}
