//! What the tests have in common.

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

/// The limit of what is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    // One for all of them: it goes with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let database = SERVER.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(&database));
}

/// A queue with a pool of one connection.
pub(crate) async fn connect(database: &Database) -> PGMQueue {
    PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap()
}

/// Waits until the server says yes to a question.
pub(crate) async fn wait_until(database: &Database, question: &str) {
    let mut beside = AsyncPgConnection::establish(database.url()).await.unwrap();
    let started = Instant::now();
    while !ask(&mut beside, question).await {
        assert!(started.elapsed() < LIMIT, "never came true: {question}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask(connection: &mut AsyncPgConnection, question: &str) -> bool {
    use diesel_async::RunQueryDsl;

    diesel::select(diesel::dsl::sql::<Bool>(question)).get_result(connection).await.unwrap()
}

/// A proxy before a database, and how to connect through it with one connection.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let config: Config = database.url().parse().unwrap();
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        other => panic!("{other:?} is no address"),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let proxy = Proxy::start((host, port).to_socket_addrs().unwrap().next().unwrap()).unwrap();
    let builder = PGMQueue::builder().host(proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(config.get_user().unwrap()).database(database.name());
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec()).unwrap();
    (proxy, builder.password(password).pool_size(1))
}
