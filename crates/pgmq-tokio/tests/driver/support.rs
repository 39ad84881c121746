//! The parts that the tests share.

use std::net::ToSocketAddrs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use pgmq_tokio::tokio_postgres::config::Host;
use pgmq_tokio::tokio_postgres::{Config, NoTls};
use pgmq_tokio::{Builder, PGMQueue};
use tokio::runtime::Runtime;

/// The limit for waiting.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A database with PGMQ and the queue `q`.
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

/// Runs a test on a database with PGMQ and the queue `q`.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    runtime().block_on(test(&database()));
}

/// Waits until an SQL condition is true, on a thread with its own runtime and connection.
pub(crate) fn wait_until(database: &Database, condition: &str, limit: Duration) {
    let wait = async {
        let (client, connection) = Config::connect(&database.url().parse().unwrap(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let started = Instant::now();
        let query = format!("SELECT {condition}");
        while !client.query_one(&query, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(started.elapsed() < limit, "not true within {limit:?}: {condition}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(wait)).join()).unwrap();
}

/// A proxy in front of a database, and a builder that connects through the proxy, with one connection.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let config: Config = database.url().parse().unwrap();
    let [Host::Tcp(host), ..] = config.get_hosts() else { panic!("the server has no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let proxy = Proxy::start((host.as_str(), port).to_socket_addrs().unwrap().next().unwrap()).unwrap();
    let builder = PGMQueue::builder().host(proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(config.get_user().unwrap()).database(database.name());
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec()).unwrap();
    (proxy, builder.password(password).pool_size(1))
}
