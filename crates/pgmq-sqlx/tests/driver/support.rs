//! What the tests have in common.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_sqlx::{Builder, PGMQueue};
use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use sqlx::postgres::{PgConnectOptions, PgPool};

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

/// Where the server of a database is.
fn address(database: &Database) -> SocketAddr {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let mut server = (options.get_host(), options.get_port()).to_socket_addrs().unwrap();
    server.next().unwrap()
}

/// The URL of a database through something that listens here.
fn url_through(database: &Database, addr: SocketAddr) -> String {
    with(database, &format!("host={}&port={}&sslmode=disable", addr.ip(), addr.port()))
}

/// A proxy before a database, and how to connect through it.
pub(crate) fn through_a_proxy(database: &Database) -> (Proxy, Builder) {
    let proxy = Proxy::start(address(database)).unwrap();
    let url = url_through(database, proxy.addr());
    (proxy, PGMQueue::builder().url(url))
}

/// Stands before a database, and can hold its answers back. Its threads end with the process.
#[derive(Default)]
pub(crate) struct Relay {
    /// How many connections there have been, and to how many of them, the oldest, no answers are passed on.
    connections: AtomicUsize,
    silent: AtomicUsize,
}

impl Relay {
    /// Begins to listen, and says where.
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
                thread::spawn(move || pass_on(from, to, || ()));
                let relay = Arc::clone(&accepting);
                thread::spawn(move || pass_on(server, client, || relay.wait(nth)));
            }
        });
        (relay, url)
    }

    /// From now on, the present connections get no answers.
    pub(crate) fn hold(&self) {
        self.silent.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.silent.store(0, Ordering::SeqCst);
    }

    fn wait(&self, nth: usize) {
        while nth < self.silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, wait: impl Fn()) {
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
