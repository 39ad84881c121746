//! The interface between the suite and a back end.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use pgmq_core::{AsyncQueue, Installation, Notification, Observer, QueueError, TransactionOptions};

use crate::kit::{
    case::QueueCase,
    context::TestContext,
    failure::{Failure, Outcome},
    runtime::{Runtime, Task},
};

/// The public API of a back end's crate, as the suite calls it.
///
/// [`client!`](crate::client) implements this trait. Except for the last method, each method calls the back
/// end's method of the same name.
pub trait Client: 'static {
    /// Runs the back end's futures.
    type Runtime: Runtime;
    /// The back end's error.
    type Error: QueueError + From<pgmq_core::Error>;
    /// `PGMQueue`, in [`Blocking`](crate::Blocking) if the back end blocks.
    type Queue: AsyncQueue<Error = Self::Error> + Clone + Debug + Send + Sync + 'static;
    /// An adapter around `Builder`.
    type Builder: Builder<Queue = Self::Queue, Error = Self::Error>;
    /// The driver's pool.
    type Pool: Clone;
    /// A pooled connection.
    type Session: Send + 'static;
    /// An adapter around `Listener`.
    type Listener: Listener<Error = Self::Error> + Send + 'static;

    /// Calls `PGMQueue::builder`.
    fn builder() -> Self::Builder;
    /// Calls `Builder::from_env`.
    fn builder_from_env() -> Result<Self::Builder, Self::Error>;
    /// Calls `PGMQueue::connect`.
    fn connect(url: &str) -> impl Future<Output = Result<Self::Queue, Self::Error>>;
    /// Calls `PGMQueue::from_env`.
    fn from_env() -> impl Future<Output = Result<Self::Queue, Self::Error>>;
    /// Creates a queue over the user's pool, by `From`.
    fn from_pool(pool: Self::Pool) -> Self::Queue;
    /// Calls `with_listen_url`.
    fn with_listen_url(queue: Self::Queue, url: &str) -> Self::Queue;
    /// Calls `with_observer`.
    fn with_observer(queue: Self::Queue, observer: Arc<dyn Observer>) -> Self::Queue;
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
    /// Runs a case on `queue.with(..)` of a session.
    fn on_session(
        queue: &Self::Queue,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;
}

/// A back end: its [`Client`], and the operations and properties that differ by driver.
pub trait Backend: Client {
    /// The SQLSTATEs among those that the suite raises that the driver hides: such an error has no SQLSTATE.
    const HIDDEN_SQLSTATES: &'static [&'static str] = &[];
    /// The crate's features for TLS, which an error about missing TLS has to name.
    const TLS_FEATURES: &'static [&'static str] = &["rustls", "native-tls"];
    /// `true` if `sslmode=require` verifies the server's certificate as `verify-full` does.
    const REQUIRE_VERIFIES: bool = true;
    /// `true` if the driver can compare an IPv6 address with those in a certificate. If not, it has to refuse
    /// the certificate.
    const VERIFIES_IPV6: bool = true;
    /// `true` if the driver's pool exposes how it connects, so that a queue over the user's pool can listen
    /// without a URL.
    const LISTENS_FROM_ANY_POOL: bool = false;
    /// `true` if the pool checks a connection that is returned, after the operation has returned.
    const TESTS_ON_RETURN: bool = false;
    /// Round trips of a transaction in addition to its statements.
    const ROUND_TRIPS_OF_TRANSACTION: usize = 2;
    /// `true` if a URL can name several servers, of which the driver selects the one that accepts writes.
    const FOLLOWS_THE_PRIMARY: bool = true;
    /// Time that a connection has to be idle for its loss to go unnoticed by the caller.
    const IDLE: Duration = Duration::ZERO;
    /// Number of tasks or threads that run on after a pool was dropped, for a while or as long as the
    /// process.
    const LINGERERS: usize = 0;
    /// Support for a pooler in transaction mode that does not know prepared statements.
    const BEHIND_POOLERS: Pooled = Pooled::AsItIs;

    /// Runs steps inside `queue.transaction(..)`.
    fn transaction(
        queue: &Self::Queue,
        steps: &[Step],
    ) -> impl Future<Output = Result<(), UserError<Self::Error>>> + Send;
    /// Runs steps inside `queue.transaction_with(..)`.
    fn transaction_with(
        queue: &Self::Queue,
        options: &TransactionOptions,
        steps: &[Step],
    ) -> impl Future<Output = Result<(), UserError<Self::Error>>> + Send;
    /// Runs a case on `queue.with(..)` of a transaction that is rolled back at the end.
    fn in_transaction(
        queue: &Self::Queue,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;
    /// Runs a case on `queue.with(..)` of a connection that the driver opened.
    fn on_connection(
        queue: &Self::Queue,
        context: &TestContext<'_>,
        case: &impl QueueCase,
    ) -> impl Future<Output = Outcome>;

    /// Creates a pool of this size, by the driver alone.
    fn driver_pool(url: &str, size: u32) -> impl Future<Output = Result<Self::Pool, Failure>>;
    /// The number of open connections of a pool.
    fn connections(pool: &Self::Pool) -> u32;
    /// Runs a statement on a pooled connection, by the driver alone.
    fn execute_on_pool(pool: &Self::Pool, sql: &str) -> impl Future<Output = Outcome>;
    /// Runs a statement on a session, by the driver alone.
    fn execute_on_session(session: &mut Self::Session, sql: &str) -> impl Future<Output = Outcome>;

    /// Runs a future to its end.
    fn block_on<T>(future: impl Future<Output = T>) -> T {
        Self::Runtime::block_on(future)
    }

    /// Runs tasks concurrently, and returns their results in order.
    fn join_all<T: Send + 'static>(tasks: Vec<Task<T>>) -> impl Future<Output = Vec<T>> {
        Self::Runtime::join_all(tasks)
    }

    /// Drops a call after `limit`, and returns `None` then. A blocking call cannot be dropped, and runs to
    /// its end.
    fn timeout<T: Send>(
        limit: Duration,
        call: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send {
        Self::Runtime::timeout(limit, call)
    }

    /// Waits for `time`.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
        Self::Runtime::sleep(time)
    }
}

/// Support of a back end for a pooler in transaction mode that does not know prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    /// Works with the defaults: statements are prepared only on request.
    AsItIs,
    /// Works with `prepared_statements(false)`: statements are prepared by default.
    BySwitch,
    /// Does not work: the driver always prepares its statements under names. The cases use a pooler that
    /// supports prepared statements, or connect directly if PgBouncer is too old for that.
    No,
}

/// The setters of a back end's `Builder`; [`client!`](crate::client) implements them.
#[allow(missing_docs, reason = "they are documented at `pgmq_core::settings_methods`")]
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
    fn listener_check_interval(self, interval: Duration) -> Self;
    fn prepared_statements(self, prepared: bool) -> Self;
    fn install_extension(self, install: bool) -> Self;
    fn observer(self, observer: Arc<dyn Observer>) -> Self;
    fn connect(self) -> impl Future<Output = Result<Self::Queue, Self::Error>>;
}

/// A back end's `Listener`; [`client!`](crate::client) implements it.
pub trait Listener {
    /// The back end's error.
    type Error: QueueError;

    /// Calls `next_timeout`.
    fn next_timeout(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Result<Option<Notification>, Self::Error>> + Send;

    /// The next item of the listener, which is an iterator or a stream.
    fn next(&mut self) -> impl Future<Output = Option<Result<Notification, Self::Error>>>;
}

/// A step of a user inside a transaction.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Runs a statement, by the driver alone.
    Execute(&'static str),
    /// Sends a message `1` to this queue, in the transaction.
    Send(&'static str),
    /// Sends this number to this queue, in the transaction.
    SendNumber(&'static str, u64),
    /// Sends a message `1` to this queue, and ignores a failure.
    TryToSend(&'static str),
    /// Returns [`UserError::GaveUp`].
    GiveUp,
    /// Panics.
    Panic,
}

/// An error of the user's code, which can contain an error of the queue.
#[derive(Debug)]
pub enum UserError<E> {
    /// An error of the queue.
    Queue(E),
    /// The user abandoned the transaction.
    GaveUp,
}

impl<E> From<E> for UserError<E> {
    fn from(error: E) -> Self {
        Self::Queue(error)
    }
}
