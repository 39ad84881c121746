//! The database of a trial.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use pgmq_postgres::PGMQueue;
use pgmq_test_server::{Database, Server};
use postgres::{Client, NoTls};

/// A database with queues.
pub(crate) struct Bed {
    pub(crate) queue: PGMQueue,
    // Dropped last, as the drop needs a database without sessions.
    pub(crate) database: Database,
}

impl Bed {
    /// Creates a database with queues, which is prepared by these statements.
    pub(crate) fn create(queues: &[&str], sql: &str) -> Self {
        static SERVER: LazyLock<Server> =
            LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
        Self::create_on(&SERVER, queues, sql)
    }

    /// Creates such a database on a server.
    pub(crate) fn create_on(server: &Server, queues: &[&str], sql: &str) -> Self {
        let database = server.create_database().unwrap();
        database.execute(sql).unwrap();
        let queue = PGMQueue::builder().url(database.url()).pool_size(2).connect().unwrap();
        for name in queues {
            queue.create_queue(name).unwrap();
        }
        Self { queue, database }
    }

    pub(crate) fn client(&self) -> Client {
        self.database.url().parse::<postgres::Config>().unwrap().connect(NoTls).unwrap()
    }

    /// The numbers that a query returns.
    pub(crate) fn numbers(&self, query: &str) -> Vec<i64> {
        let rows = self.client().query(query, &[]).unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The number that a query returns.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.numbers(query).remove(0)
    }

    pub(crate) fn length(&self, queue: &str) -> i64 {
        self.queue.metrics(queue).unwrap().queue_length
    }
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, limit: Duration, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "never came true within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
