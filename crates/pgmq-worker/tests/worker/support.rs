//! The helpers of the tests.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pgmq_test_server::{Database, Server};
use pgmq_tokio::PGMQueue;

/// The longest time that a test waits for a condition.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a database with PGMQ and the queue `q` in it, on a runtime with threads.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database, PGMQueue)) {
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = PGMQueue::builder().url(database.url()).pool_size(6).connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        test(&database, queue.clone()).await;
        queue.close().await;
    });
}

/// Waits until a condition holds.
pub(crate) async fn wait_until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < LIMIT, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a queue is empty.
pub(crate) async fn wait_until_empty(queue: &PGMQueue, name: &str) {
    wait_until("the queue is empty", async || queue.metrics(name).await.unwrap().queue_length == 0).await;
}
