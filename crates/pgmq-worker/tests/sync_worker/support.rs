//! The helpers of the tests.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use pgmq_postgres::PGMQueue;
use pgmq_test_server::{Database, Server};

/// The longest time that a test waits for a condition.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl FnOnce(&Database, PGMQueue)) {
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    let queue = PGMQueue::builder().url(database.url()).pool_size(8).connect().unwrap();
    queue.create_queue("q").unwrap();
    test(&database, queue.clone());
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a queue is empty.
pub(crate) fn wait_until_empty(queue: &PGMQueue, name: &str) {
    wait_until("the queue is empty", || queue.metrics(name).unwrap().queue_length == 0);
}
