//! Making connections for a pool.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_core::backend::Generation;
use pgmq_core::{ErrorKind, Settings};
use pgmq_driver_tokio_postgres::{Statements, Tls, config, connect_limit};
use postgres::{Client, Config};

use crate::bound::sealed::Clients;
use crate::{Error, Session, Transaction};

/// What a pool has to be able to do so that a queue can use it: whatever makes clients of this driver.
///
/// [`Manager`] does, and so does the one of the crate `r2d2_postgres`.
pub trait ManageClients: r2d2::ManageConnection<Connection: Clients, Error: Into<Error>> {}

impl<M: r2d2::ManageConnection<Connection: Clients, Error: Into<Error>>> ManageClients for M {}

/// A client of the driver's, as a [`Manager`] makes it, with the statements that stay prepared on it.
///
/// It is used like the driver's: `session.query("SELECT 1", &[])`.
pub struct PooledClient {
    /// In a box, because each operation moves it out of the pool and back.
    client: Box<Client>,
    /// None where nothing is to stay prepared.
    statements: Option<Box<Statements>>,
}

impl PooledClient {
    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub fn transaction(&mut self) -> Result<Transaction<'_>, postgres::Error> {
        let (client, statements) = self.parts();
        Transaction::begin(client, statements)
    }

    /// The driver's client, and the statements that stay prepared on it.
    pub(crate) fn parts(&mut self) -> (&mut Client, Option<&Statements>) {
        (&mut self.client, self.statements.as_deref())
    }
}

impl Deref for PooledClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl fmt::Debug for PooledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient").finish_non_exhaustive()
    }
}

/// Makes connections for a pool of this crate's own, or for one of yours.
///
/// It encrypts by the TLS feature that is compiled in, as `sslmode` says, and gives up when the server does not complete a
/// connection within the time-out for connecting.
///
/// ```no_run
/// use pgmq_postgres::{Error, Manager, PGMQueue, r2d2::Pool};
///
/// # fn example() -> Result<(), Error> {
/// let manager = Manager::new("postgres://app@localhost/shop?connect_timeout=3")?;
/// let pool = Pool::builder().max_size(4).test_on_check_out(false).build(manager)?;
/// let queue = PGMQueue::from(pool);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Manager {
    config: Config,
    tls: Tls,
    limit: Duration,
    attempts: Attempts,
    /// That of the statements, if they are to stay prepared.
    generation: Option<Arc<Generation>>,
}

impl Manager {
    /// Connects by a URL or libpq connection string, which goes to the driver's own parser, but for what it says of TLS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when the driver does not take the URL, or TLS is required and not compiled in.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::of(&Settings::from_url(url))
    }

    pub(crate) fn of(settings: &Settings) -> Result<Self, Error> {
        let (config, tls) = config(settings)?;
        let limit = connect_limit(&config);
        let keeps_statements = settings.prepared_statements == Some(true);
        let generation = keeps_statements.then(Arc::default);
        Ok(Self { config: config.into(), tls, limit, attempts: Attempts::default(), generation })
    }

    /// Whether statements stay prepared on the connections, as
    /// [`Builder::prepared_statements`](crate::Builder::prepared_statements) says; they do not unless told.
    #[must_use]
    pub fn prepared_statements(self, prepared: bool) -> Self {
        Self { generation: prepared.then(Arc::default), ..self }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = PooledClient;
    type Error = Error;

    fn connect(&self) -> Result<PooledClient, Error> {
        let greeting = String::new();
        let connecting = Connecting::begin(&self.attempts, self.limit, &self.config, &self.tls, greeting)?;
        let client = Box::new(connecting.finish()?);
        let statements = self.generation.clone().map(Statements::of).map(Box::new);
        Ok(PooledClient { client, statements })
    }

    fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        Ok(client.is_valid(self.limit)?)
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        client.is_closed() || GIVEN_UP.get()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver shows no password.
        f.debug_struct("Manager").field("config", &self.config).finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether the connection that this thread is giving back is not to be used again.
    static GIVEN_UP: Cell<bool> = const { Cell::new(false) };
}

/// Gives back a connection that does not answer. It may look as if it were open, so the pool is told; a pool of other
/// connections than a [`Manager`]'s finds that out by itself, or does not.
pub(crate) fn give_up<M: ManageClients>(session: Session<M>) {
    GIVEN_UP.set(true);
    // The pool asks at once, on this thread.
    drop(session);
    GIVEN_UP.set(false);
}

/// Closes what the pool lets go of. The driver says good-bye to the server, and waits until that has answered all that it was
/// asked: a connection that does not answer is left to a thread.
#[derive(Debug)]
pub(crate) struct Release;

impl r2d2::CustomizeConnection<PooledClient, Error> for Release {
    fn on_release(&self, client: PooledClient) {
        if !client.is_closed() && GIVEN_UP.get() {
            // Where no thread can be had, the client is dropped with the closure, and waits here.
            let close = thread::Builder::new().name("pgmq-close".to_owned()).spawn(move || drop(client));
            drop(close);
        }
    }
}

/// How many attempts to connect are under way. A server that takes connections and says nothing keeps each of them waiting, for
/// as long as it likes; so there are never many.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<AtomicUsize>);

impl Attempts {
    const MOST: usize = 8;

    fn begin(&self) -> Result<Attempt, Error> {
        let attempt = Attempt(Arc::clone(&self.0));
        if self.0.fetch_add(1, Ordering::Relaxed) < Self::MOST {
            return Ok(attempt);
        }
        let text = format!(
            "the server has not answered {} attempts to connect, which still wait for it",
            Self::MOST
        );
        Err(failed(text).into())
    }
}

/// An attempt to connect, until it is dropped.
struct Attempt(Arc<AtomicUsize>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in the making, by a thread of its own. The time-outs of the driver end with the TCP connection; a server may
/// take that and then say nothing, so the wait is for a thread that waits for it.
pub(crate) struct Connecting {
    client: Receiver<Result<Client, Error>>,
    started: Instant,
    limit: Duration,
}

impl Connecting {
    /// Begins to connect, and to run `greeting` on the connection if it is not empty.
    pub(crate) fn begin(
        attempts: &Attempts,
        limit: Duration,
        config: &Config,
        tls: &Tls,
        greeting: String,
    ) -> Result<Self, Error> {
        let attempt = attempts.begin()?;
        let (sender, client) = sync_channel(1);
        let (config, tls) = (config.clone(), tls.clone());
        let connect = move || {
            let mut client = config.connect(tls)?;
            if !greeting.is_empty() {
                client.batch_execute(&greeting)?;
            }
            Ok(client)
        };
        // Nobody takes it any more when the limit is over.
        let run = move || {
            drop(sender.send(connect()));
            drop(attempt);
        };
        thread::Builder::new()
            .name("pgmq-connect".to_owned())
            .spawn(run)
            .map_err(|error| failed("no thread could be started to connect").because(error))?;
        Ok(Self { client, started: Instant::now(), limit })
    }

    /// Waits this long, or up to the limit; `None` if it needs longer and has time left.
    pub(crate) fn wait(&self, wait: Duration) -> Option<Result<Client, Error>> {
        let left = self.limit.saturating_sub(self.started.elapsed());
        match self.client.recv_timeout(wait.min(left)) {
            Ok(connected) => Some(connected),
            Err(RecvTimeoutError::Timeout) if left > wait => None,
            Err(RecvTimeoutError::Timeout) => {
                let text = format!("the server did not complete the connection within {:?}", self.limit);
                Some(Err(failed(text).into()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(failed("the thread that connected has panicked").into()))
            }
        }
    }

    /// Waits up to the limit.
    pub(crate) fn finish(self) -> Result<Client, Error> {
        self.wait(self.limit)
            .unwrap_or_else(|| Err(failed("the server did not complete the connection in time").into()))
    }
}

fn failed(text: impl Into<String>) -> pgmq_core::Error {
    pgmq_core::Error::new(ErrorKind::Connection, text)
}
