//! The parts that the tests share.

use std::net::ToSocketAddrs;
use std::sync::LazyLock;

use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use pgmq_tokio::tokio_postgres::Config;
use pgmq_tokio::tokio_postgres::config::Host;
use pgmq_tokio::{Builder, PGMQueue};

/// Runs a test on a database with PGMQ and the queue `q`.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    // All tests share one server, which ends with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(&database));
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
