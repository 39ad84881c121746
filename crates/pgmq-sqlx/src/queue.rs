//! The queue over a pool.

use std::sync::Arc;

use pgmq_core::backend::Attempt;
use pgmq_core::prelude::*;
use pgmq_core::{
    AsyncQueue, Channels, ErrorKind, Failure, Installation, Learned, Output, Plan, Query, QueueError,
    Settings, Statement,
};
use sqlx::Connection as _;

use crate::bound::Connection;
use crate::config::{Losses, Server};
use crate::run::{Busy, Prepared, RunError, run, run_whole};
use crate::{BoundQueue, Builder, Error, Listener};

/// A pool of connections of this driver.
pub type Pool = sqlx::PgPool;

/// A connection out of the pool, which it goes back to when it is dropped.
pub type Session = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// A transaction of this driver.
pub type Transaction<'c> = sqlx::Transaction<'c, sqlx::Postgres>;

/// PGMQ over a pool of connections.
///
/// Every operation takes a connection from the pool, makes one round trip, and gives the connection back. Clones share the
/// pool.
#[derive(Debug, Clone)]
pub struct PGMQueue {
    pool: Pool,
    learned: Arc<Learned>,
    settings: Arc<Settings>,
    losses: Losses,
    prepared: Arc<Prepared>,
    /// There if the pool was made here: whoever has the last of these closes it.
    own: Option<Arc<()>>,
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

    pub(crate) fn own(pool: Pool, settings: Settings, losses: Losses, prepared: Prepared) -> Self {
        let (settings, prepared) = (Arc::new(settings), Arc::new(prepared));
        Self { pool, learned: Arc::default(), settings, losses, prepared, own: Some(Arc::default()) }
    }

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
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Takes a connection of the driver's own type out of the pool, for work beside the queue. It may be one that died while it
    /// was idle, which its first use then finds out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`], when none becomes free in time; [`ErrorKind::Connection`], when none can be made.
    pub async fn session(&self) -> Result<Session, Error> {
        self.pool.acquire().await.map_err(|error| self.not_acquired(error))
    }

    /// The queue on a connection or in a transaction of your own.
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
        BoundQueue::new(connection.connection(), Arc::clone(&self.learned), Arc::clone(&self.prepared))
    }

    /// Runs a closure in a transaction: commits when it returns `Ok`, and rolls back when it returns `Err` or is dropped.
    ///
    /// If the closure returns `Ok` although a statement in it failed, nothing can be committed any more, and that is an error.
    /// To find out costs one round trip more than the driver's own `commit`.
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
    /// The closure's, or those of taking a connection, beginning and committing.
    pub async fn transaction<R, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut moves_left = self.moves();
        loop {
            // Closed if this future is dropped, also while it begins: the driver sends no rollback then.
            let mut busy = match self.session().await {
                Ok(session) => Busy::new(session),
                Err(error) => {
                    self.begin_elsewhere(error, &mut moves_left)?;
                    continue;
                }
            };
            let transaction = match busy.connection().begin().await {
                Ok(transaction) => transaction,
                Err(error) => {
                    self.begin_elsewhere(error.into(), &mut moves_left)?;
                    continue;
                }
            };
            let done = complete(transaction, work).await;
            drop(busy.release());
            return done;
        }
    }

    /// Nothing has been begun where that failed, so it can be begun elsewhere if the connection was lost.
    fn begin_elsewhere(&self, error: Error, moves_left: &mut u32) -> Result<(), Error> {
        let timed_out =
            matches!(&error, Error::Driver(failure) if matches!(failure.cause(), sqlx::Error::PoolTimedOut));
        if error.kind() != ErrorKind::Connection || timed_out || *moves_left == 0 {
            return Err(error);
        }
        self.losses.note();
        *moves_left -= 1;
        Ok(())
    }

    /// Listens for messages sent to these queues, on a connection of its own that is made anew when it is lost.
    ///
    /// The queues have to notify: see [`enable_notify`](Self::enable_notify).
    ///
    /// # Errors
    ///
    /// When the connection cannot be made.
    pub async fn listen(&self, queues: &[&str]) -> Result<Listener, Error> {
        let channels = Channels::new(queues)?;
        Listener::connect(Server::to_listen(&self.settings, &self.pool)?, channels).await
    }

    /// Has [`listen`](Self::listen) connect by this URL, instead of like the pool.
    #[must_use]
    pub fn listening_by(self, url: impl Into<String>) -> Self {
        let mut settings = Settings::clone(&self.settings);
        settings.listen_url = Some(url.into());
        Self { settings: Arc::new(settings), ..self }
    }

    /// Gives up this handle. If it was the last, the pool is closed, and this returns when its connections are: also for those
    /// who have cloned [`pool`](Self::pool). A pool of your own is left as it is.
    pub async fn close(self) {
        if self.own.and_then(Arc::into_inner).is_some() {
            self.pool.close().await;
        }
    }

    fn not_acquired(&self, error: sqlx::Error) -> Error {
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return Error::connecting(error);
        }
        let options = self.pool.options();
        // With room for more, it was not free ones that the pool waited for.
        let has_room = self.pool.size() < options.get_max_connections();
        let kind = if has_room { ErrorKind::Connection } else { ErrorKind::Timeout };
        Error::Driver(Failure::new(kind, error).after(options.get_acquire_timeout()))
    }

    /// How often something may be tried on another connection. Once one was lost, a pool of our own looks at the others before
    /// it hands them out; in another, all that there are may be lost.
    fn moves(&self) -> u32 {
        if self.own.is_some() { 1 } else { self.pool.size() + 1 }
    }

    /// Runs a query on a pooled connection; once more on another one, or in an older form, where it is sure that the server
    /// committed nothing.
    async fn run_pooled<O: Output>(&self, query: Query<'_, O>) -> Result<O, Error> {
        let mut session = self.session().await?;
        let mut moves_left = self.moves();
        let mut may_repeat = true;
        let mut lacks = None;
        loop {
            let form = if lacks.is_some() { query.oldest() } else { query.form(&self.learned, true) };
            let mut busy = Busy::new(session);
            let ran = match self.prepared.is_off() {
                false => run(busy.connection(), &self.prepared, &query, form).await,
                true => run_whole(busy.connection(), &self.prepared, &query, form).await,
            };
            session = busy.release();
            let RunError { attempt, error } = match ran {
                Ok(output) => {
                    form.since.inspect(|&version| self.learned.has(version));
                    lacks.inspect(|&version| self.learned.lacks(version));
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            if error.kind() == ErrorKind::Connection {
                self.losses.note();
                session.close_on_drop();
            }
            match (attempt, form.since) {
                (Attempt::UnknownFunction, Some(version)) => lacks = Some(version),
                (Attempt::StalePlan, _) if may_repeat => may_repeat = false,
                (Attempt::NotCommitted, _) if moves_left > 0 => {
                    moves_left -= 1;
                    drop(session);
                    session = self.session().await?;
                }
                _ => return Err(error),
            }
        }
    }
}

/// Does the work in a transaction and commits it. Otherwise it is rolled back when its connection is back in the pool.
async fn complete<R, E: From<Error>>(
    mut transaction: Transaction<'_>,
    work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let done = work(&mut transaction).await?;
    // On `COMMIT` alone, the server would roll a failed transaction back and say that all is well.
    sqlx::raw_sql("SELECT").execute(&mut *transaction).await.map_err(Error::from)?;
    transaction.commit().await.map_err(Error::from)?;
    Ok(done)
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
            pool,
            learned: Arc::default(),
            settings: Arc::default(),
            losses: Losses::default(),
            prepared: Arc::default(),
            own: None,
        }
    }
}
