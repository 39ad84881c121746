//! What the tests have in common.

use std::net::ToSocketAddrs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pgmq_sqlx::{Builder, PGMQueue};
use sqlx::postgres::{PgConnectOptions, PgPool};
use tests_common::proxy::Proxy;
use tests_common::server::{Database, Server};

/// The limit of what is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    // One for all of them: it goes with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let server = &*SERVER;
    let database = server.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(&database));
}

/// A pool beside the queue's.
pub(crate) async fn beside(database: &Database) -> PgPool {
    PgPool::connect(database.url()).await.unwrap()
}

/// Waits until the server says yes to a question.
pub(crate) async fn wait_until(beside: &PgPool, question: &'static str) {
    let started = Instant::now();
    while !sqlx::query_scalar::<_, bool>(question).fetch_one(beside).await.unwrap() {
        assert!(started.elapsed() < LIMIT, "never came true: {question}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The URL of a database with more settings.
pub(crate) fn with(database: &Database, settings: &str) -> String {
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{settings}")
}

/// A proxy before a database, and how to connect through it.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut server = (options.get_host(), options.get_port()).to_socket_addrs().unwrap();
    let proxy = Proxy::start(server.next().unwrap()).unwrap();
    let (host, port) = (proxy.addr().ip(), proxy.addr().port());
    let url = with(database, &format!("host={host}&port={port}&sslmode=disable"));
    (proxy, PGMQueue::builder().url(url))
}
