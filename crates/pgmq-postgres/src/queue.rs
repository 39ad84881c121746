//! The queue over a pool.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fallible_iterator::FallibleIterator;
use pgmq_core::backend::{Attempt, Refusals};
use pgmq_core::prelude::*;
use pgmq_core::{
    Channels, ErrorKind, Failure, Installation, Learned, Output, Plan, Query, Queue, QueueError, Settings,
    Statement,
};
use pgmq_driver_tokio_postgres::{connect_limit, listen_config};

use crate::bound::Connection;
use crate::bound::sealed::{Bind, Clients};
use crate::manager::give_up;
use crate::run::RunError;
use crate::{BoundQueue, Builder, Error, Listener, ManageClients, Manager, Transaction};

/// A pool of connections of this driver.
pub type Pool<M = Manager> = r2d2::Pool<M>;

/// A connection out of the pool, which it goes back to when it is dropped.
pub type Session<M = Manager> = r2d2::PooledConnection<M>;

/// PGMQ over a pool of connections.
///
/// Every operation takes a connection from the pool, makes one round trip, and gives the connection back. Clones share the
/// pool.
///
/// `M` makes the pool's connections, and need not be named: it is only other than the default for a pool of your own whose
/// connections are made by something else.
pub struct PGMQueue<M: ManageClients = Manager> {
    pool: Pool<M>,
    shared: Arc<Shared>,
}

/// What the clones of a queue have in common, beside the pool.
#[derive(Debug, Default)]
struct Shared {
    learned: Arc<Learned>,
    settings: Settings,
    refusals: Refusals<Error>,
    /// How many connections were found to be lost.
    losses: AtomicU64,
}

/// When a connection was last known to be good, and how many losses there had been by then.
struct GoodAt {
    losses: u64,
    time: Instant,
}

/// For how long a connection is taken to be as it was. A look takes up to a millisecond, the tick of the driver's timer; in a pool
/// that is busy, no connection is idle for long enough to be looked at.
const FRESH: Duration = Duration::from_millis(100);

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

    pub(crate) fn own(pool: Pool, settings: Settings, refusals: Refusals<Error>) -> Self {
        Self { pool, shared: Arc::new(Shared { settings, refusals, ..Shared::default() }) }
    }
}

impl<M: ManageClients> PGMQueue<M> {
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
    pub fn pool(&self) -> &Pool<M> {
        &self.pool
    }

    /// Takes a connection out of the pool, for work beside the queue. It is used like the driver's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], when none becomes free in time; [`ErrorKind::Connection`], when none can be made.
    pub fn session(&self) -> Result<Session<M>, Error> {
        loop {
            let started = Instant::now();
            let mut session = self.pool.get().map_err(|error| self.not_acquired(error, started))?;
            if self.is_good(&mut session) {
                return Ok(session);
            }
            // The pool drops it: each turn leaves one fewer.
            give_up(session);
        }
    }

    /// Whether a connection can be used. Nobody watches a connection of this driver while it is idle: so after one was lost, those
    /// that are older are asked once, and only then; and what was idle for a while is looked at, which asks nobody.
    fn is_good(&self, session: &mut Session<M>) -> bool {
        let losses = self.shared.losses.load(Ordering::Relaxed);
        let good_at = r2d2::PooledConnection::extensions(session).get::<GoodAt>();
        let (known, is_fresh) =
            good_at.map_or((0, false), |good_at| (good_at.losses, good_at.time.elapsed() < FRESH));
        let client = session.client();
        let is_good = !client.is_closed()
            && if known != losses {
                client.is_valid(self.shared.settings.connect_timeout).is_ok()
            } else {
                is_fresh || client.notifications().timeout_iter(Duration::ZERO).next().is_ok()
            };
        if is_good {
            let good_at = GoodAt { losses, time: Instant::now() };
            let extensions = r2d2::PooledConnection::extensions_mut(session);
            match extensions.get_mut() {
                Some(known) => *known = good_at,
                None => drop(extensions.insert(good_at)),
            }
        }
        is_good
    }

    /// The queue on a connection or in a transaction of your own.
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
        BoundQueue::new(connection.target(), Arc::clone(&self.shared.learned))
    }

    /// Runs a closure in a transaction: commits when it returns `Ok`, and rolls back when it returns `Err` or panics.
    ///
    /// If the closure returns `Ok` although a statement in it failed, nothing can be committed any more, and that is an error.
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
    /// The closure's, or those of taking a connection, beginning and committing.
    pub fn transaction<R, E: From<Error>>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut session = self.session()?;
        let mut may_move = true;
        loop {
            let (client, statements) = session.parts();
            let error = match Transaction::begin(client, statements) {
                Ok(mut transaction) => {
                    let done = work(&mut transaction)?;
                    transaction.commit().map_err(Error::from)?;
                    return Ok(done);
                }
                Err(error) => Error::from(error),
            };
            // Nothing has been begun, so it can be begun elsewhere.
            if !self.is_loss(&error) || !may_move {
                return Err(error.into());
            }
            may_move = false;
            drop(session);
            session = self.session()?;
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
        let (config, tls) = listen_config(&self.shared.settings)?;
        let limit = connect_limit(&config);
        Listener::connect(config.into(), tls, channels, limit)
    }

    /// Has [`listen`](Self::listen) connect by this URL: for a queue made from a pool of your own.
    #[must_use]
    pub fn listening_by(self, url: impl Into<String>) -> Self {
        let mut settings = Settings::clone(&self.shared.settings);
        settings.listen_url = Some(url.into());
        let (learned, refusals) = (Arc::clone(&self.shared.learned), self.shared.refusals.clone());
        let losses = AtomicU64::new(self.shared.losses.load(Ordering::Relaxed));
        Self { pool: self.pool, shared: Arc::new(Shared { learned, settings, refusals, losses }) }
    }

    /// Gives up this handle. The pool's connections are closed once the last handle to it is gone; those of a pool of your
    /// own are yours.
    pub fn close(self) {
        drop(self);
    }

    fn not_acquired(&self, error: r2d2::Error, started: Instant) -> Error {
        let waited = self.pool.connection_timeout();
        match (Error::from(error), self.shared.refusals.since(started)) {
            (_, Some((_, Some(refusal)))) => refusal.after(waited),
            (Error::Pool(failure), refused) => {
                let kind = refused.map_or(failure.kind(), |(kind, _)| kind);
                Error::Pool(Failure::new(kind, failure.into_cause()).after(waited))
            }
            (other, _) => other,
        }
    }

    /// Whether an error is the loss of a connection, which casts doubt on the others.
    fn is_loss(&self, error: &Error) -> bool {
        let is_loss = error.kind() == ErrorKind::Connection;
        self.shared.losses.fetch_add(u64::from(is_loss), Ordering::Relaxed);
        is_loss
    }

    /// Runs a query on a pooled connection; once more on another one, or in an older form, where it is sure that the server
    /// committed nothing.
    fn run_pooled<O: Output>(&self, query: &Query<'_, O>) -> Result<O, Error> {
        let mut session = self.session()?;
        let mut may_move = true;
        let mut may_prepare = true;
        let mut lacks = None;
        loop {
            let form = if lacks.is_some() { query.oldest() } else { query.form(&self.shared.learned, true) };
            let RunError { attempt, error } = match session.target().run(query, form) {
                Ok(output) => {
                    form.since.inspect(|&version| self.shared.learned.has(version));
                    lacks.inspect(|&version| self.shared.learned.lacks(version));
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            self.is_loss(&error);
            match (attempt, form.since) {
                (Attempt::UnknownFunction, Some(version)) => lacks = Some(version),
                (Attempt::StalePlan, _) if may_prepare => may_prepare = false,
                (Attempt::NotCommitted, _) if may_move => {
                    may_move = false;
                    drop(session);
                    session = self.session()?;
                }
                _ => return Err(error),
            }
        }
    }
}

impl<M: ManageClients> PGMQueue<M> {
    pgmq_core::operations!(pgmq_core::inherent_methods);
}

impl<M: ManageClients> Queue for PGMQueue<M> {
    type Error = Error;

    fn run<O: Output>(&self, statement: Statement<'_, O>) -> Result<O, Error> {
        match statement.plan() {
            Plan::Settled(settled) => Ok(settled?),
            Plan::Query(query) => self.run_pooled(&query),
        }
    }
}

impl<M: ManageClients> From<Pool<M>> for PGMQueue<M> {
    /// Uses a pool of your own as it is.
    fn from(pool: Pool<M>) -> Self {
        Self { pool, shared: Arc::default() }
    }
}

impl<M: ManageClients> Clone for PGMQueue<M> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<M: ManageClients> fmt::Debug for PGMQueue<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PGMQueue").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
