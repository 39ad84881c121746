//! The helpers of the tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_sqlx::{Builder, PGMQueue};
use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::runtime::Runtime;

/// The longest time that a test waits for a condition.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test, inside a runtime, on a database with PGMQ and the queue `q` in it.
pub(crate) fn on_a_database(test: impl AsyncFnOnce(&Database)) {
    outside_of_runtimes(|database| runtime().block_on(test(database)));
}

/// Runs a test, outside a runtime, on a database with PGMQ and the queue `q` in it.
pub(crate) fn outside_of_runtimes(test: impl FnOnce(&Database)) {
    // Shared by all tests. The server ends with the process.
    static SERVER: LazyLock<Server> =
        LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
    let server = &*SERVER;
    let database = server.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    test(&database);
}

/// A runtime on the current thread: its tasks run only inside `block_on`.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A pool in addition to the queue's.
pub(crate) async fn second_pool(database: &Database) -> PgPool {
    PgPool::connect(database.url()).await.unwrap()
}

/// Waits until a query returns `true`.
pub(crate) async fn wait_until(pool: &PgPool, query: &'static str) {
    let started = Instant::now();
    while !sqlx::query_scalar::<_, bool>(query).fetch_one(pool).await.unwrap() {
        assert!(started.elapsed() < LIMIT, "never came true: {query}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The URL of a database with more settings.
pub(crate) fn with(database: &Database, settings: &str) -> String {
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{settings}")
}

/// The address of a database's server.
fn address(database: &Database) -> SocketAddr {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut server = (options.get_host(), options.get_port()).to_socket_addrs().unwrap();
    server.next().unwrap()
}

/// The URL of a database through a proxy that listens at `addr`.
fn url_through(database: &Database, addr: SocketAddr) -> String {
    with(database, &format!("host={}&port={}&sslmode=disable", addr.ip(), addr.port()))
}

/// A proxy in front of a database, and a builder that connects through it.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let proxy = Proxy::start(address(database)).unwrap();
    let url = url_through(database, proxy.addr());
    (proxy, PGMQueue::builder().url(url))
}

/// A proxy that can hold the answers of a database back. Its threads end with the process.
#[derive(Default)]
pub(crate) struct Relay {
    /// The number of connections so far.
    connections: AtomicUsize,
    /// The number of connections, counted from the oldest, that get no answers.
    silent: AtomicUsize,
    /// The number of answers that still pass, if there is a limit.
    passing: Mutex<Option<usize>>,
}

impl Relay {
    /// Begins to listen, and returns the URL.
    pub(crate) fn start(database: &Database) -> (Arc<Self>, String) {
        let upstream = address(database);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = url_through(database, listener.local_addr().unwrap());
        let relay = Arc::new(Self::default());
        let accepting = Arc::clone(&relay);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(upstream).unwrap();
                let nth = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || forward(from, to, || ()));
                let relay = Arc::clone(&accepting);
                thread::spawn(move || forward(server, client, || relay.wait(nth)));
            }
        });
        (relay, url)
    }

    /// Holds back the answers to the present connections.
    pub(crate) fn hold(&self) {
        self.silent.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Holds back all answers after the next ones, of present and of later connections.
    pub(crate) fn hold_after(&self, answers: usize) {
        *self.passing.lock().unwrap() = Some(answers);
    }

    /// Passes the answers on, including those that were held back.
    pub(crate) fn release(&self) {
        self.silent.store(0, Ordering::SeqCst);
        *self.passing.lock().unwrap() = None;
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn wait(&self, nth: usize) {
        while nth < self.silent.load(Ordering::SeqCst) || !self.passes() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn passes(&self) -> bool {
        match &mut *self.passing.lock().unwrap() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, wait: impl Fn()) {
    to.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        wait();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
