//! What the suite asks of a back end.

use std::{fmt::Debug, future::Future, pin::Pin, time::Duration};

use pgmq_core::{AsyncQueue, Installation, Notification, QueueError};

use super::{Failure, Outcome, QueueCase, World};

/// A back end, as the suite sees it. Each method does what its name says by the back end's method of the same name, or,
/// under *Of the driver*, by the driver alone.
pub trait Backend: 'static {
    /// The back end's error.
    type Error: QueueError + From<pgmq_core::Error>;
    /// An adapter around `PGMQueue`.
    type Queue: AsyncQueue<Error = Self::Error> + Clone + Debug + Send + Sync + 'static;
    /// An adapter around `Builder`.
    type Builder: Builder<Queue = Self::Queue, Error = Self::Error>;
    /// The driver's pool.
    type Pool: Clone;
    /// A pooled connection.
    type Session;
    /// An adapter around `Listener`.
    type Listener: Listener<Error = Self::Error> + Send + 'static;

    /// The SQLSTATEs of errors of the suite's that the driver hides: then an error says none.
    const HIDDEN_SQLSTATES: &'static [&'static str] = &[];
    /// What an error names that says how to have TLS: the crate's features for it.
    const TLS_FEATURES: &'static [&'static str] = &["rustls", "native-tls"];
    /// Whether operations block the thread, so that they cannot be given up.
    const BLOCKS: bool = false;
    /// Whether `sslmode=require` trusts a server no more than `verify-full` does.
    const REQUIRE_VERIFIES: bool = true;
    /// Whether the driver's pool says how to connect, so that a queue over one of the user's own listens without a URL.
    const LISTENS_FROM_ANY_POOL: bool = false;
    /// Whether the pool asks the server if a connection is alive when it comes back, after the operation has returned.
    const TESTS_ON_RETURN: bool = false;
    /// How many round trips a transaction takes beside its statements.
    const ROUND_TRIPS_OF_TRANSACTION: usize = 2;
    /// Whether a URL can name several servers, of which the one is taken that takes writes.
    const FOLLOWS_THE_PRIMARY: bool = true;
    /// How long a connection has to be idle for a loss of it to go unnoticed.
    const IDLE: Duration = Duration::ZERO;
    /// How many tasks or threads go on after a pool was dropped, for a while or as long as the process.
    const LINGERERS: usize = 0;
    /// How it works behind a pooler in transaction mode that knows nothing of prepared statements.
    const BEHIND_POOLERS: Pooled = Pooled::AsItIs;

    /// Runs a future to its end: on a runtime of its own, or by [`poll_once`](super::poll_once).
    fn block_on<T>(future: impl Future<Output = T>) -> T;
    /// Runs pieces of work side by side to their ends: as tasks of the runtime, or on a thread each.
    fn side_by_side<T: Send + 'static>(works: Vec<Work<T>>) -> impl Future<Output = Vec<T>>;

    /// Waits for a call up to a limit, and drops it then. What blocks cannot be dropped, and is waited for.
    fn within<T: Send>(
        limit: Duration,
        call: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Does nothing for a while.
    fn pause(time: Duration) -> impl Future<Output = ()> + Send;
    /// How many tasks the runtime has, if there is one.
    fn tasks() -> usize;

    /// Calls `PGMQueue::builder`.
    fn builder() -> Self::Builder;
    /// Calls `PGMQueue::connect`.
    fn connect(url: &str) -> impl Future<Output = Result<Self::Queue, Self::Error>>;
    /// Calls `PGMQueue::from_env`.
    fn from_env() -> impl Future<Output = Result<Self::Queue, Self::Error>>;
    /// Makes a queue from the user's own pool, by `From`.
    fn from_pool(pool: Self::Pool) -> Self::Queue;
    /// Calls `listening_by`.
    fn listening_by(queue: Self::Queue, url: &str) -> Self::Queue;
    /// Calls `init`.
    fn init(queue: &Self::Queue) -> impl Future<Output = Result<(), Self::Error>>;
    /// Calls `version`.
    fn version(queue: &Self::Queue) -> impl Future<Output = Result<Installation, Self::Error>>;
    /// Calls `pool`.
    fn pool(queue: &Self::Queue) -> &Self::Pool;
    /// Calls `session`.
    fn session(queue: &Self::Queue) -> impl Future<Output = Result<Self::Session, Self::Error>>;
    /// Calls `listen`.
    fn listen(queue: &Self::Queue, to: &[&str]) -> impl Future<Output = Result<Self::Listener, Self::Error>>;
    /// Calls `close`.
    fn close(queue: Self::Queue) -> impl Future<Output = ()>;
    /// Takes the steps inside `queue.transaction(..)`.
    fn transaction(
        queue: &Self::Queue,
        steps: &[Step],
    ) -> impl Future<Output = Result<(), UserError<Self::Error>>>;

    /// Runs a case on `queue.with(..)` of a transaction that is rolled back at the end.
    fn in_transaction(
        queue: &Self::Queue,
        world: &World<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;
    /// Runs a case on `queue.with(..)` of a session.
    fn on_session(
        queue: &Self::Queue,
        world: &World<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;
    /// Runs a case on `queue.with(..)` of a connection that the driver made.
    fn on_connection(
        queue: &Self::Queue,
        world: &World<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;

    // Of the driver

    /// Makes a pool of this size.
    fn driver_pool(url: &str, size: u32) -> impl Future<Output = Result<Self::Pool, Failure>>;
    /// How many connections a pool has open.
    fn connections(pool: &Self::Pool) -> u32;
    /// Runs a statement on a pooled connection.
    fn execute_on_pool(pool: &Self::Pool, sql: &str) -> impl Future<Output = Outcome>;
    /// Runs a statement on a session.
    fn execute_on_session(session: &mut Self::Session, sql: &str) -> impl Future<Output = Outcome>;
}

/// What runs beside other work, until it ends.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How a back end works behind a pooler in transaction mode that knows nothing of prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    /// It needs nothing for it: it prepares statements only if it is told to.
    AsItIs,
    /// It prepares statements, unless it is told not to.
    BySwitch,
    /// Not at all: the driver prepares its statements under names in any case. The cases go through a pooler that keeps
    /// statements, or round all of them where the version has none.
    No,
}

/// The setters of a back end's `Builder`; see [`builder_setters`](crate::builder_setters).
#[allow(missing_docs, reason = "they are those of `pgmq_core::settings_methods`")]
pub trait Builder: Sized {
    type Queue;
    type Error;

    fn url(self, url: &str) -> Self;
    fn host(self, host: &str) -> Self;
    fn port(self, port: u16) -> Self;
    fn database(self, database: &str) -> Self;
    fn username(self, username: &str) -> Self;
    fn password(self, password: &str) -> Self;
    fn application_name(self, name: &str) -> Self;
    fn listen_url(self, url: &str) -> Self;
    fn pool_size(self, connections: u32) -> Self;
    fn acquire_timeout(self, timeout: Duration) -> Self;
    fn connect_timeout(self, timeout: Duration) -> Self;
    fn idle_timeout(self, timeout: Duration) -> Self;
    fn max_lifetime(self, lifetime: Duration) -> Self;
    fn prepared_statements(self, prepared: bool) -> Self;
    fn init(self, init: bool) -> Self;
    fn connect(self) -> impl Future<Output = Result<Self::Queue, Self::Error>>;
}

/// A back end's `Listener`.
pub trait Listener {
    /// The back end's error.
    type Error: QueueError;

    /// Calls `next_timeout`.
    fn next_timeout(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<Notification>, Self::Error>> + Send;

    /// The next item of the iterator or stream that the listener is.
    fn next(&mut self) -> impl Future<Output = Option<Result<Notification, Self::Error>>>;
}

/// What a user does inside a transaction.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Runs a statement of the user's own, by the driver.
    Execute(&'static str),
    /// Sends a message `1` to this queue, on the transaction.
    Send(&'static str),
    /// The same, and ignores a failure.
    TryToSend(&'static str),
    /// Returns the user's own error.
    GiveUp,
    /// Panics.
    Panic,
}

/// An error of the user's own that can be one of the queue.
#[derive(Debug)]
pub enum UserError<E> {
    /// One of the queue.
    Queue(E),
    /// Another.
    GaveUp,
}

impl<E> From<E> for UserError<E> {
    fn from(error: E) -> Self {
        Self::Queue(error)
    }
}
