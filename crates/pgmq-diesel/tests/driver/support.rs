//! The helpers of the tests.

use std::net::ToSocketAddrs;
use std::sync::LazyLock;

use pgmq_diesel::{Builder, PGMQueue};
use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use postgres::Config;
use postgres::config::Host;

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl FnOnce(&Database)) {
    // All tests share one server, which stops with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    test(&database);
}

/// A queue with a pool of one connection.
pub(crate) fn connect(database: &Database) -> PGMQueue {
    PGMQueue::builder().url(database.url()).pool_size(1).connect().unwrap()
}

/// A proxy in front of a database, and a builder that connects through it with one connection.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let config: Config = database.url().parse().unwrap();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        other => panic!("{other:?} is not a TCP host"),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let proxy = Proxy::start((host, port).to_socket_addrs().unwrap().next().unwrap()).unwrap();
    let builder = PGMQueue::builder().host(proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(config.get_user().unwrap()).database(database.name());
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec()).unwrap();
    (proxy, builder.password(password).pool_size(1))
}
