//! The parts that the tests share.

use std::net::ToSocketAddrs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use diesel::sql_types::Bool;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use pgmq_diesel_async::tokio_postgres::Config;
use pgmq_diesel_async::tokio_postgres::config::Host;
use pgmq_diesel_async::{Builder, PGMQueue};
use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use tokio::runtime::Runtime;

/// The limit for waiting.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// No poll runs.
pub(crate) const NO_POLL: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%read_with_poll%')";

/// A database with PGMQ and the queue `q` in it.
pub(crate) fn database() -> Database {
    // All tests share one server, which ends with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    database
}

/// A runtime on the calling thread.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    runtime().block_on(test(&database()));
}

/// A queue with a pool of one connection.
pub(crate) async fn connect(database: &Database) -> PGMQueue {
    PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap()
}

/// Waits until an SQL condition is true.
pub(crate) async fn wait_until(database: &Database, condition: &str) {
    wait_until_within(database, condition, LIMIT).await;
}

/// Waits until an SQL condition is true.
pub(crate) async fn wait_until_within(database: &Database, condition: &str, limit: Duration) {
    let mut observer = AsyncPgConnection::establish(database.url()).await.unwrap();
    let started = Instant::now();
    while !is_true(&mut observer, condition).await {
        assert!(started.elapsed() < limit, "not true within {limit:?}: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_true(connection: &mut AsyncPgConnection, condition: &str) -> bool {
    use diesel_async::RunQueryDsl;

    diesel::select(diesel::dsl::sql::<Bool>(condition)).get_result(connection).await.unwrap()
}

/// A proxy in front of a database, and a builder that connects through the proxy, with one connection.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let config: Config = database.url().parse().unwrap();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        other => panic!("{other:?} is not the address of a host"),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let proxy = Proxy::start((host, port).to_socket_addrs().unwrap().next().unwrap()).unwrap();
    let builder = PGMQueue::builder().host(proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(config.get_user().unwrap()).database(database.name());
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec()).unwrap();
    (proxy, builder.password(password).pool_size(1))
}
