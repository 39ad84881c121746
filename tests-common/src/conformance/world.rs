//! What a case gets: a queue, and the database behind it.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use pgmq_core::{AsyncQueue, QueueError};
use postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::{Backend, Builder, Failure, Outcome, Pooled, check::beside};
use crate::server::{Database, Pooler, Poolers, Server, TlsServer};

/// A queue that is there, and empty, in the database of every case.
pub const Q: &str = "q";

/// The limit of what is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// How many connections to a database a pooler has, which it takes by turns.
pub(super) const SESSIONS: usize = 3;

/// The server, and a database that one case has for itself.
pub struct World<'s> {
    server: &'s Server,
    database: Database,
    poolers: Option<&'s Poolers>,
    tls: Option<&'s TlsServer>,
    /// The URL of the database through one of them, if the queues are to work through it.
    pooled_url: Option<String>,
    config: Config,
    hidden_sqlstates: &'static [&'static str],
    /// A connection beside the queue's.
    beside: Mutex<Option<Client>>,
}

impl<'s> World<'s> {
    pub(super) fn new<B: Backend>(server: &'s Server) -> Result<Self, Failure> {
        let database = server.create_database()?;
        let config: Config = database.url().parse()?;
        let hidden_sqlstates = B::HIDDEN_SQLSTATES;
        let world = Self {
            server,
            database,
            poolers: None,
            tls: None,
            pooled_url: None,
            config,
            hidden_sqlstates,
            beside: Mutex::new(None),
        };
        // A case that waits for what never comes fails, instead of standing still.
        let database = world.database.name();
        world.execute(&format!(
            "ALTER DATABASE \"{database}\" SET statement_timeout = '60s'; SELECT pgmq.create('{Q}')"
        ))?;
        Ok(world)
    }

    /// A world with poolers, through one of which its queues work.
    pub(super) fn among<B: Backend>(
        server: &'s Server,
        poolers: &'s Poolers,
        route: Option<&Pooler>,
    ) -> Result<Self, Failure> {
        let mut world = Self::new::<B>(server)?;
        world.poolers = Some(poolers);
        world.pooled_url = route.map(|pooler| world.through(pooler)).transpose()?;
        Ok(world)
    }

    /// A world on a server that speaks TLS.
    pub(super) fn on_tls<B: Backend>(tls: &'s TlsServer) -> Result<Self, Failure> {
        let mut world = Self::new::<B>(tls.server())?;
        world.tls = Some(tls);
        Ok(world)
    }

    /// What the server that speaks TLS has for its clients.
    pub(super) fn tls(&self) -> &'s TlsServer {
        self.tls.expect("only cases about TLS ask for it")
    }

    /// The poolers of this run.
    pub(super) fn poolers(&self) -> &'s Poolers {
        self.poolers.expect("only cases that need poolers ask for them")
    }

    /// The URL of the database through a pooler. That has [several connections](SESSIONS) to it from then on.
    pub(super) fn through(&self, pooler: &Pooler) -> Result<String, Failure> {
        let url = pooler.url_of(self.name());
        beside(|| {
            // One for each transaction that is open at the same time.
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

    /// The URL of the database, which leads through a pooler if the world is behind one.
    pub fn url(&self) -> &str {
        self.pooled_url.as_deref().unwrap_or_else(|| self.direct_url())
    }

    /// The URL of the database that goes round any pooler.
    pub fn direct_url(&self) -> &str {
        self.database.url()
    }

    /// Whether the URL leads through a pooler.
    pub fn is_pooled(&self) -> bool {
        self.pooled_url.is_some()
    }

    /// Connects to the database, as the back end's documentation says for the pooler if there is one.
    pub async fn connect<B: Backend>(&self) -> Result<B::Queue, Failure> {
        if self.is_pooled() { self.connect_with::<B>(10).await } else { Ok(B::connect(self.url()).await?) }
    }

    /// The same, with a pool of so many connections.
    pub async fn connect_with<B: Backend>(&self, pool_size: u32) -> Result<B::Queue, Failure> {
        let builder = B::builder().url(self.url()).pool_size(pool_size);
        let builder = match B::BEHIND_POOLERS {
            Pooled::BySwitch if self.is_pooled() => builder.prepared_statements(false),
            _ => builder,
        };
        Ok(builder.connect().await?)
    }

    /// The URL of the database with settings for its sessions, such as `-c lock_timeout=100`. It goes round any pooler: there, a
    /// session belongs to all clients.
    pub fn url_with(&self, options: &str) -> String {
        let url = self.direct_url();
        if !url.starts_with("postgres") {
            return format!("{url} options='{options}'");
        }
        let separator = if url.contains('?') { '&' } else { '?' };
        let options = options.replace(' ', "%20").replace('=', "%3D");
        format!("{url}{separator}options={options}")
    }

    /// Where and as whom to connect, in parts.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        self.database.name()
    }

    /// Whether its PGMQ is of this version, or newer.
    pub fn has(&self, version: &str) -> bool {
        self.server.pgmq_version() >= version.parse().expect("it is a version")
    }

    /// Whether the database has pg_partman.
    pub fn has_partman(&self) -> bool {
        self.server.has_partman()
    }

    /// Whether an error has this SQLSTATE: that, or none from a back end whose driver hides it.
    pub fn is_sqlstate(&self, error: &impl QueueError, sqlstate: &str) -> bool {
        error.sqlstate() == Some(sqlstate).filter(|sqlstate| !self.hidden_sqlstates.contains(sqlstate))
    }

    /// Checks [that](Self::is_sqlstate).
    #[track_caller]
    pub fn has_sqlstate(&self, error: &impl QueueError, sqlstate: &str) {
        assert!(self.is_sqlstate(error, sqlstate), "{:?} is not {sqlstate}: {error}", error.sqlstate());
    }

    /// Runs statements beside the queue, on a connection of their own.
    #[track_caller]
    pub fn execute(&self, sql: &str) -> Outcome {
        Ok(self.beside(|client| client.batch_execute(sql))?)
    }

    /// Asks beside the queue for one value, as text; NULL is empty.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> Result<String, Failure> {
        let messages = self.beside(|client| client.simple_query(sql))?;
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        Ok(row.unwrap_or_default().to_owned())
    }

    /// What time it is on the server.
    #[track_caller]
    pub fn now(&self) -> Result<DateTime<Utc>, Failure> {
        Ok(self.ask("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.USOF:00')")?.parse()?)
    }

    /// Waits until the server says `t` to a question.
    #[track_caller]
    pub fn wait_until(&self, question: &str) -> Outcome {
        let started = Instant::now();
        while self.ask(question)? != "t" {
            assert!(started.elapsed() < LIMIT, "never came true: {question}");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until somebody else waits for a lock, and is not the one that a deadlock will fail: the server looks for them once
    /// per wait, after a second.
    #[track_caller]
    pub fn wait_until_another_is_stuck(&self) -> Outcome {
        self.wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '1500 ms')",
        )
    }

    /// Runs statements meanwhile, on a thread and a connection of their own.
    pub fn meanwhile(&self, sql: String) -> Meanwhile {
        let config = self.config.clone();
        Meanwhile(thread::spawn(move || config.connect(NoTls)?.batch_execute(&sql)))
    }

    /// Lets nobody connect to the database any more, or lets everybody.
    #[track_caller]
    pub fn accept_connections(&self, accept: bool) -> Outcome {
        let mut elsewhere: Config = self.server.url().parse()?;
        elsewhere.application_name("accept_connections");
        let sql = format!("ALTER DATABASE \"{}\" ALLOW_CONNECTIONS {accept}", self.name());
        Ok(beside(|| elsewhere.connect(NoTls)?.batch_execute(&sql))?)
    }

    /// Ends the sessions of all others in the database that `condition` is true of, and waits until they are gone.
    #[track_caller]
    pub fn terminate(&self, condition: &str) -> Outcome {
        let those = format!(
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND ({condition})"
        );
        // By their numbers, as the same clients may be back before it is looked.
        let ended =
            self.ask(&format!("SELECT array_agg(pid) FILTER (WHERE pg_terminate_backend(pid)) {those}"))?;
        let ended = if ended.is_empty() { "{}" } else { &ended };
        self.wait_until(&format!(
            "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY ('{ended}'::integer[]))"
        ))
    }

    /// Works on a connection beside the queue's, and outside of any runtime, in which that client would panic.
    fn beside<T: Send>(
        &self,
        work: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send,
    ) -> Result<T, postgres::Error> {
        let work = || {
            let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
            let client = match &mut *beside {
                Some(client) if !client.is_closed() => client,
                slot => {
                    let mut client = self.config.connect(NoTls)?;
                    client.batch_execute("SET lock_timeout = '10s'; SET timezone = 'UTC'")?;
                    slot.insert(client)
                }
            };
            work(client)
        };
        beside(work)
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        let beside = self.beside.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        super::check::beside(|| drop(beside));
    }
}

/// Statements that run meanwhile.
pub struct Meanwhile(thread::JoinHandle<Result<(), postgres::Error>>);

impl Meanwhile {
    /// Waits for their end.
    #[track_caller]
    pub fn end(self) -> Outcome {
        Ok(self.0.join().expect("nothing there panics")?)
    }
}

/// The queue that a case is about, and the world around it.
pub struct Subject<'a, Q> {
    queue: &'a Q,
    /// The database behind the queue.
    pub world: &'a World<'a>,
    /// Whether the queue works inside a transaction, which nobody beside it sees.
    pub in_transaction: bool,
}

impl<'a, Q: AsyncQueue> Subject<'a, Q> {
    /// A queue on its pool, or on a connection outside of transactions.
    pub fn new(queue: &'a Q, world: &'a World<'a>) -> Self {
        Self { queue, world, in_transaction: false }
    }

    /// Whether `pop` and `set_vt` count from the time at which the transaction began, as they did before PGMQ 1.5.
    pub fn counts_from_the_beginning(&self) -> bool {
        self.in_transaction && !self.world.has("1.5.0")
    }

    /// A queue inside a transaction.
    pub fn in_transaction(queue: &'a Q, world: &'a World<'a>) -> Self {
        Self { queue, world, in_transaction: true }
    }
}

impl<Q> Deref for Subject<'_, Q> {
    type Target = Q;

    fn deref(&self) -> &Q {
        self.queue
    }
}
