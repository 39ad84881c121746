//! The context of a case: a queue, and the database behind it.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use pgmq_core::{AsyncQueue, QueueError};
use pgmq_test_server::{Database, Pooler, Poolers, Server, TlsServer, outside_of_runtimes};
use postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::kit::failure::{Failure, Outcome};

/// The queue in the database of every case. The queue is empty when the case begins.
pub const QUEUE: &str = "q";

/// The longest time that a condition is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// The number of connections that a pooler has to a database, and uses in turn.
pub(crate) const SESSIONS: usize = 3;

/// The database of one case, and its server.
pub struct TestContext<'s> {
    server: &'s Server,
    database: Database,
    poolers: Option<&'s Poolers>,
    tls: Option<&'s TlsServer>,
    /// The URL of the database through a pooler, if the queues have to use one.
    pooled_url: Option<String>,
    config: Config,
    hidden_sqlstates: &'static [&'static str],
    /// A connection that is independent of the queue's connections.
    observer: Mutex<Option<Client>>,
}

impl<'s> TestContext<'s> {
    /// Creates a database with an empty queue [`QUEUE`].
    pub(crate) fn create(
        server: &'s Server,
        hidden_sqlstates: &'static [&'static str],
    ) -> Result<Self, Failure> {
        let database = server.create_database()?;
        let config: Config = database.url().parse()?;
        let context = Self {
            server,
            database,
            poolers: None,
            tls: None,
            pooled_url: None,
            config,
            hidden_sqlstates,
            observer: Mutex::new(None),
        };
        // The timeout makes a case fail that waits in vain, instead of hanging.
        let database = context.database.name();
        context.execute(&format!(
            "ALTER DATABASE \"{database}\" SET statement_timeout = '60s'; SELECT pgmq.create('{QUEUE}')"
        ))?;
        Ok(context)
    }

    /// Adds the poolers of the run, and a route through one of them for [`url`](Self::url).
    pub(crate) fn with_poolers(
        mut self,
        poolers: &'s Poolers,
        route: Option<&Pooler>,
    ) -> Result<Self, Failure> {
        self.poolers = Some(poolers);
        self.pooled_url = route.map(|pooler| self.url_through(pooler)).transpose()?;
        Ok(self)
    }

    /// Adds the server that speaks TLS, which the database has to be on.
    pub(crate) fn with_tls(mut self, tls: &'s TlsServer) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The server that speaks TLS, and its clients' files.
    pub(crate) fn tls(&self) -> &'s TlsServer {
        self.tls.expect("only cases about TLS use this")
    }

    /// The poolers of this run.
    pub(crate) fn poolers(&self) -> &'s Poolers {
        self.poolers.expect("only cases about poolers use this")
    }

    /// The URL of the database through a pooler, which then has [several connections](SESSIONS) to the
    /// database.
    pub(crate) fn url_through(&self, pooler: &Pooler) -> Result<String, Failure> {
        let url = pooler.url_of(self.name());
        outside_of_runtimes(|| {
            // The pooler opens one connection for each of the concurrent transactions.
            let clients = (0..SESSIONS).map(|_| Client::connect(&url, NoTls));
            let mut clients = clients.collect::<Result<Vec<_>, _>>()?;
            clients.iter_mut().try_for_each(|client| client.batch_execute("BEGIN"))?;
            clients.iter_mut().try_for_each(|client| client.batch_execute("COMMIT"))
        })?;
        Ok(url)
    }

    /// The server.
    pub fn server(&self) -> &'s Server {
        self.server
    }

    /// The URL of the database; through a pooler if the case has to use one.
    pub fn url(&self) -> &str {
        self.pooled_url.as_deref().unwrap_or_else(|| self.direct_url())
    }

    /// The URL of the database without a pooler.
    pub fn direct_url(&self) -> &str {
        self.database.url()
    }

    /// Returns `true` if [`url`](Self::url) leads through a pooler.
    pub fn is_pooled(&self) -> bool {
        self.pooled_url.is_some()
    }

    /// The URL of the database with settings for its sessions, such as `-c lock_timeout=100`.
    ///
    /// Never through a pooler, where all clients share the sessions.
    pub fn url_with(&self, options: &str) -> String {
        let url = self.direct_url();
        if !url.starts_with("postgres") {
            return format!("{url} options='{options}'");
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        let options = options.replace(' ', "%20").replace('=', "%3D");
        format!("{url}{separator}options={options}")
    }

    /// Address, user and password of the database.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// Returns `true` if PGMQ has this version, or a newer one.
    pub fn has_pgmq(&self, version: &str) -> bool {
        self.server.pgmq_version() >= version.parse().expect("the text is a version")
    }

    /// Returns `true` if the database has pg_partman.
    pub fn has_partman(&self) -> bool {
        self.server.has_partman()
    }

    /// Returns `true` if an error has this SQLSTATE, or none if the back end's driver hides it.
    pub fn has_sqlstate(&self, error: &impl QueueError, sqlstate: &str) -> bool {
        error.sqlstate() == Some(sqlstate).filter(|sqlstate| !self.hidden_sqlstates.contains(sqlstate))
    }

    /// Asserts [`has_sqlstate`](Self::has_sqlstate).
    #[track_caller]
    pub fn assert_sqlstate(&self, error: &impl QueueError, sqlstate: &str) {
        assert!(self.has_sqlstate(error, sqlstate), "{:?} is not {sqlstate}: {error}", error.sqlstate());
    }

    /// Runs statements on a connection that is independent of the queue.
    #[track_caller]
    pub fn execute(&self, sql: &str) -> Outcome {
        Ok(self.observe(|client| client.batch_execute(sql))?)
    }

    /// Queries one value, as text, on a connection that is independent of the queue. NULL is an empty text.
    #[track_caller]
    pub fn query_value(&self, sql: &str) -> Result<String, Failure> {
        let messages = self.observe(|client| client.simple_query(sql))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.unwrap_or_default().to_owned())
    }

    /// The server's current time.
    #[track_caller]
    pub fn now(&self) -> Result<DateTime<Utc>, Failure> {
        Ok(self
            .query_value("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.USOF:00')")?
            .parse()?)
    }

    /// Waits until a query returns `t`.
    #[track_caller]
    pub fn wait_until(&self, query: &str) -> Outcome {
        let started = Instant::now();
        while self.query_value(query)? != "t" {
            assert!(started.elapsed() < LIMIT, "never became true: {query}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until another session waits for a lock, and has waited long enough for the server's deadlock
    /// check, which runs once per wait, after a second. So a later deadlock fails the caller and not that
    /// session.
    #[track_caller]
    pub fn wait_until_another_session_is_blocked(&self) -> Outcome {
        self.wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '1500 ms')",
        )
    }

    /// Runs statements on a new thread and a new connection.
    pub fn execute_in_background(&self, sql: String) -> BackgroundStatements {
        let config = self.config.clone();
        BackgroundStatements(thread::spawn(move || config.connect(NoTls)?.batch_execute(&sql)))
    }

    /// Makes the database reject or accept new connections.
    #[track_caller]
    pub fn accept_connections(&self, accept: bool) -> Outcome {
        let mut elsewhere: Config = self.server.url().parse()?;
        elsewhere.application_name("accept_connections");
        let sql = format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS {accept}", self.name());
        Ok(outside_of_runtimes(|| elsewhere.connect(NoTls)?.batch_execute(&sql))?)
    }

    /// Ends all other sessions in the database that satisfy `condition`, and waits until they are gone.
    #[track_caller]
    pub fn terminate(&self, condition: &str) -> Outcome {
        let matching = format!(
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({condition})"
        );
        // Waits for these process ids, since the same clients may have reconnected in the meantime.
        let ended = self.query_value(&format!(
            "SELECT array_agg(pid) FILTER (WHERE pg_terminate_backend(pid)) {matching}"
        ))?;
        let ended = if ended.is_empty() { "{}" } else { &ended };
        self.wait_until(&format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY ('{ended}'::integer[]))"
        ))
    }

    /// Uses the independent connection, outside any runtime, in which the blocking client would panic.
    fn observe<T: Send>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send,
    ) -> Result<T, postgres::Error> {
        let work = || {
            let mut observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner);
            let client = match &mut *observer {
                Some(client) if !client.is_closed() => client,
                slot => {
                    let mut client = self.config.connect(NoTls)?;
                    client.batch_execute("SET lock_timeout = '10s'; SET timezone = 'UTC'")?;
                    slot.insert(client)
                }
            };
            work(client)
        };
        outside_of_runtimes(work)
    }
}

impl Drop for TestContext<'_> {
    fn drop(&mut self) {
        let observer = self.observer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        outside_of_runtimes(|| drop(observer));
    }
}

/// Statements that run in the background.
pub struct BackgroundStatements(thread::JoinHandle<Result<(), postgres::Error>>);

impl BackgroundStatements {
    /// Waits for the statements' end.
    #[track_caller]
    pub fn join(self) -> Outcome {
        Ok(self.0.join().expect("the thread does not panic")?)
    }
}

/// The queue that a case is about, and its context. Derefs to the queue.
pub struct QueueUnderTest<'a, Q> {
    queue: &'a Q,
    /// The database behind the queue.
    pub context: &'a TestContext<'a>,
    /// `true` if the queue works inside a transaction, whose effects no other session sees.
    pub in_transaction: bool,
}

impl<'a, Q: AsyncQueue> QueueUnderTest<'a, Q> {
    /// A queue on a pool, or on a connection without a transaction.
    pub fn new(queue: &'a Q, context: &'a TestContext<'a>) -> Self {
        Self { queue, context, in_transaction: false }
    }

    /// Returns `true` if `pop` and `set_vt` use the start time of the transaction as the current time, as
    /// they did before PGMQ 1.5. A message that was sent in the same transaction is then not visible to
    /// `pop`.
    pub fn counts_from_transaction_start(&self) -> bool {
        self.in_transaction && !self.context.has_pgmq("1.5.0")
    }

    /// A queue inside a transaction.
    pub fn in_transaction(queue: &'a Q, context: &'a TestContext<'a>) -> Self {
        Self { queue, context, in_transaction: true }
    }
}

impl<Q> Deref for QueueUnderTest<'_, Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        self.queue
    }
}
