//! A database for a test.

use std::sync::LazyLock;

use pgmq_test_server::{Database, Server};
use pgmq_tokio::PGMQueue;

static SERVER: LazyLock<Server> =
    LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(PGMQueue)) {
    let database = database();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = PGMQueue::builder().url(database.url()).pool_size(6).connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        test(queue.clone()).await;
        queue.close().await;
    });
}

/// Runs a test on a database with PGMQ and the queue `q` in it, with a client that blocks.
pub(crate) fn on_a_database_sync(test: impl FnOnce(pgmq_postgres::PGMQueue)) {
    let database = database();
    let queue = pgmq_postgres::PGMQueue::builder().url(database.url()).pool_size(6).connect().unwrap();
    queue.create_queue("q").unwrap();
    test(queue.clone());
}

fn database() -> Database {
    SERVER.create_database().unwrap()
}
