//! The database of a test, and the proxy between the worker and the server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use pgmq_postgres::PGMQueue;
use pgmq_test_server::proxy::Proxy;
use pgmq_test_server::{Database, Server};
use postgres::config::Host;
use postgres::{Client, Config, NoTls};

/// The name of the sessions that do not belong to the worker.
pub(crate) const TEST: &str = "test";
/// The longest time that a test waits for a condition.
const LIMIT: Duration = Duration::from_secs(60);

/// A database with the queues `q`, `q_dlq` and `next`, and the table `effects`.
pub(crate) struct Bed {
    pub(crate) proxy: Proxy,
    /// A client that does not go through the proxy.
    pub(crate) queue: PGMQueue,
    config: Config,
    // Dropped last, as the drop needs a database without sessions.
    pub(crate) database: Database,
}

/// The numbers of messages by the place where they are, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) queue: Vec<i64>,
    pub(crate) archive: Vec<i64>,
    pub(crate) dead: Vec<i64>,
    pub(crate) next: Vec<i64>,
    /// The numbers that handlers have written in their transactions.
    pub(crate) effects: Vec<i64>,
}

impl Bed {
    pub(crate) fn create() -> Self {
        static SERVER: LazyLock<Server> =
            LazyLock::new(|| Server::obtain().unwrap_or_else(|error| panic!("{error:?}")));
        let database = SERVER.create_database().unwrap();
        database.execute("SELECT pgmq.create(name) FROM unnest('{q,q_dlq,next}'::text[]) AS name").unwrap();
        database.execute("CREATE TABLE effects (number bigint)").unwrap();
        let config: Config = database.url().parse().unwrap();
        let proxy = Proxy::start(address(&config)).unwrap();
        let queue =
            PGMQueue::builder().url(database.url()).pool_size(2).application_name(TEST).connect().unwrap();
        Self { proxy, queue, config, database }
    }

    /// The connection string of the way through the proxy, for a role and its password.
    pub(crate) fn through_proxy_as(&self, user: &str, password: &str) -> String {
        let name = self.database.name();
        let port = self.proxy.addr().port();
        format!(
            "host=127.0.0.1 port={port} dbname={name} user={user} password={password} sslmode=disable \
             tcp_user_timeout=1000"
        )
    }

    /// The connection string of the way through the proxy.
    pub(crate) fn through_proxy(&self) -> String {
        let password = String::from_utf8(self.config.get_password().unwrap_or_default().to_vec()).unwrap();
        self.through_proxy_as(self.config.get_user().unwrap(), &password)
    }

    /// A connection that does not go through the proxy.
    pub(crate) fn client(&self) -> Client {
        self.config.connect(NoTls).unwrap()
    }

    /// Sends messages with these numbers.
    pub(crate) fn send(&self, numbers: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let numbers: Vec<_> = numbers.into_iter().collect();
        self.queue.send_batch("q", &numbers).unwrap()
    }

    pub(crate) fn books(&self) -> Books {
        let mut client = self.client();
        let mut numbers = |of: &str| -> Vec<i64> {
            let rows = client.query(&format!("SELECT {of} ORDER BY 1"), &[]).unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        };
        Books {
            queue: numbers("message::bigint FROM pgmq.q_q"),
            archive: numbers("message::bigint FROM pgmq.a_q"),
            dead: numbers("message::bigint FROM pgmq.q_q_dlq"),
            next: numbers("message::bigint FROM pgmq.q_next"),
            effects: numbers("number FROM effects"),
        }
    }

    /// The number of messages in a queue.
    pub(crate) fn length(&self, queue: &str) -> i64 {
        self.queue.metrics(queue).unwrap().queue_length
    }

    /// Waits until the queue is empty.
    pub(crate) fn wait_until_empty(&self) {
        wait_until("the queue is empty", || self.length("q") == 0);
    }
}

fn address(config: &Config) -> SocketAddr {
    let [Host::Tcp(host), ..] = config.get_hosts() else { panic!("the server has no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap()
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
