//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::pg::PgConnection;
use diesel::r2d2::{ConnectionManager, PoolError, PooledConnection};
use pgmq_core::backend::{Attempt, Refusals};
use pgmq_core::prelude::*;
use pgmq_core::{
    Channels, ErrorKind, Failure, Installation, Learned, Output, Plan, Query, Queue, QueueError, Settings,
    Statement,
};

use crate::bound::Connection;
use crate::conninfo::listen_conninfo;
use crate::run::{RunError, is_kept, run};
use crate::session::{FRESH, Losses, can_run, give_up};
use crate::transaction::Level;
use crate::{BoundQueue, Builder, Error, Listener};

/// A pool of connections of this driver.
pub type Pool = diesel::r2d2::Pool<ConnectionManager<PgConnection>>;

/// A connection out of the pool, which it goes back to when it is dropped.
pub type Session = PooledConnection<ConnectionManager<PgConnection>>;

/// PGMQ over a pool of connections.
///
/// Every operation takes a connection from the pool, makes one round trip, and gives the connection back. Clones share the
/// pool.
#[derive(Clone)]
pub struct PGMQueue {
    pool: Pool,
    shared: Arc<Shared>,
}

/// What the clones of a queue have in common, beside the pool.
#[derive(Debug, Default)]
struct Shared {
    learned: Arc<Learned>,
    settings: Settings,
    refusals: Refusals<diesel::r2d2::Error>,
    losses: Losses,
}

impl PGMQueue {
    /// Connects to a URL or libpq connection string, with a pool of 10 connections, and makes sure that PGMQ is there.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses; [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be
    /// created.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Self::builder().url(url).connect()
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
    pub fn from_env() -> Result<Self, Error> {
        let settings = Settings::from_vars(|name| std::env::var(name))?;
        Builder::new(settings).connect()
    }

    pub(crate) fn own(pool: Pool, settings: Settings, refusals: Refusals<diesel::r2d2::Error>) -> Self {
        Self { pool, shared: Arc::new(Shared { settings, refusals, ..Shared::default() }) }
    }

    /// Makes sure that PGMQ is there: creates the extension, where it is not and the server offers it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is neither there nor can be created.
    pub fn init(&self) -> Result<(), Error> {
        pgmq_core::init(self, &self.shared.learned)
    }

    /// Says how PGMQ is installed and which version it is, by a look into the catalogue: no DDL, no locks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInstalled`], when PGMQ is not there.
    pub fn version(&self) -> Result<Installation, Error> {
        pgmq_core::version(self)
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
    pub fn session(&self) -> Result<Session, Error> {
        self.acquire(Duration::ZERO)
    }

    /// Takes a connection out of the pool, and looks at it if it was not handed out for so long.
    fn acquire(&self, fresh: Duration) -> Result<Session, Error> {
        // Each turn leaves one fewer. Where new ones are lost as well, the operation says why.
        let mut turns = self.pool.max_size();
        loop {
            let started = Instant::now();
            let mut session = self.pool.get().map_err(|error| self.not_acquired(error, started))?;
            if self.shared.losses.can_use(&mut session, fresh) || turns == 0 {
                return Ok(session);
            }
            turns -= 1;
            give_up(session);
        }
    }

    /// The queue on a connection or in a transaction of your own.
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
        BoundQueue::new(connection.connection(), Arc::clone(&self.shared.learned))
    }

    /// Runs a closure in a transaction: commits when it returns `Ok`, and rolls back when it returns `Err` or panics.
    ///
    /// If the closure returns `Ok` although a statement in it failed, nothing can be committed any more, and that is an error.
    /// Diesel's own `transaction` nests inside, by a savepoint.
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
    /// The closure's, or those of taking a connection, beginning and committing.
    pub fn transaction<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut PgConnection) -> Result<R, E>,
    ) -> Result<R, E> {
        let (mut session, level) = self.begin()?;
        match work(&mut session) {
            Ok(done) => match level.commit(&mut session) {
                Ok(()) => Ok(done),
                Err(error) => {
                    self.is_loss(&error);
                    Err(error.into())
                }
            },
            Err(error) => {
                level.roll_back(&mut session);
                Err(error)
            }
        }
    }

    /// Begins a transaction; elsewhere, if the connection is lost, since nothing has been begun then.
    fn begin(&self) -> Result<(Session, Level), Error> {
        let mut may_move = true;
        loop {
            let mut session = self.acquire(FRESH)?;
            let error = match Level::begin(&mut session) {
                Ok(level) => return Ok((session, level)),
                Err(error) => Error::from(error),
            };
            if !self.is_loss(&error) || !may_move {
                return Err(error);
            }
            may_move = false;
            give_up(session);
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
    pub fn listen(&self, queues: &[&str]) -> Result<Listener, Error> {
        let channels = Channels::new(queues)?;
        Listener::connect(listen_conninfo(&self.shared.settings)?, channels)
    }

    /// Has [`listen`](Self::listen) connect by this URL: for a queue made from a pool of your own.
    #[must_use]
    pub fn listening_by(self, url: impl Into<String>) -> Self {
        let mut settings = Settings::clone(&self.shared.settings);
        settings.listen_url = Some(url.into());
        let (learned, refusals) = (Arc::clone(&self.shared.learned), self.shared.refusals.clone());
        let shared = Shared { learned, settings, refusals, losses: Losses::default() };
        Self { pool: self.pool, shared: Arc::new(shared) }
    }

    /// Gives up this handle. The pool's connections are closed once the last handle to it is gone; those of a pool of your
    /// own are yours.
    pub fn close(self) {
        drop(self);
    }

    fn not_acquired(&self, error: PoolError, started: Instant) -> Error {
        use diesel::r2d2::Error as Refused;

        let waited = self.pool.connection_timeout();
        match (Error::from(error), self.shared.refusals.since(started)) {
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

    /// Whether an error is the loss of a connection.
    fn is_loss(&self, error: &Error) -> bool {
        let is_loss = error.kind() == ErrorKind::Connection;
        if is_loss {
            self.shared.losses.note();
        }
        is_loss
    }

    /// Runs a query on a pooled connection; once more on another one, or in an older form, where it is sure that the server
    /// committed nothing.
    fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut session = self.acquire(FRESH)?;
        let (mut may_move, mut may_prepare) = (true, true);
        let (mut lacks, mut turns) = (None, self.pool.max_size());
        loop {
            let form = if lacks.is_some() { query.oldest() } else { query.form(&self.shared.learned, true) };
            while is_kept(form) && !can_run(&mut session, form.text) && turns > 0 {
                turns -= 1;
                self.shared.losses.note();
                give_up(session);
                session = self.acquire(FRESH)?;
            }
            let RunError { attempt, error } = match run(&mut session, query, form) {
                Ok(output) => {
                    form.since.inspect(|&version| self.shared.learned.has(version));
                    lacks.inspect(|&version| self.shared.learned.lacks(version));
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            let is_loss = self.is_loss(&error);
            match (attempt, form.since) {
                (Attempt::UnknownFunction, Some(version)) => lacks = Some(version),
                (Attempt::StalePlan, _) if may_prepare => may_prepare = false,
                (Attempt::NotCommitted, _) if may_move => {
                    may_move = false;
                    give_up(session);
                    session = self.acquire(FRESH)?;
                }
                _ => {
                    if is_loss {
                        give_up(session);
                    }
                    return Err(error);
                }
            }
        }
    }
}

impl PGMQueue {
    pgmq_core::operations!(pgmq_core::inherent_methods);
}

impl Queue for PGMQueue {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => self.run_pooled(&query),
        }
    }
}

impl From<Pool> for PGMQueue {
    /// Uses a pool of your own as it is.
    fn from(pool: Pool) -> Self {
        Self { pool, shared: Arc::default() }
    }
}

impl fmt::Debug for PGMQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
