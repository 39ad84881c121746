//! A server that accepts connections and does not answer.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use pgmq_postgres::postgres::Config;
use pgmq_postgres::postgres::config::Host;
use pgmq_postgres::r2d2::ManageConnection;
use pgmq_postgres::{ErrorKind, Manager, PGMQueue};
use pgmq_test_server::Server;
use pgmq_test_server::proxy::Proxy;

/// Much longer than any step here should take, and much shorter than the timeouts of the operating system.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn attempts_to_connect_are_limited_in_time_and_number() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let manager = Manager::new(format!("postgres://nobody@127.0.0.1:{port}/none?connect_timeout=1")).unwrap();
    let started = Instant::now();
    let attempts: Vec<_> = (0..12)
        .map(|_| {
            let manager = manager.clone();
            thread::spawn(move || manager.connect().map(drop).unwrap_err())
        })
        .collect();
    let errors: Vec<_> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
    assert!(started.elapsed() < SOON);
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Connection), "{errors:?}");
    let refused = errors.iter().filter(|error| error.to_string().contains("attempts to connect"));
    assert_eq!(refused.count(), 4, "{errors:?}");
}

#[test]
fn a_connection_that_does_not_answer_is_discarded_without_waiting_for_it() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let config: Config = database.url().parse().unwrap();
    let proxy = Proxy::start(address(&config)).unwrap();
    let password = String::from_utf8(config.get_password().unwrap().to_vec()).unwrap();
    let queue = PGMQueue::builder()
        .host("127.0.0.1")
        .port(proxy.addr().port())
        .database(database.name())
        .username(config.get_user().unwrap())
        .password(password)
        .pool_size(2)
        .connect_timeout(Duration::from_secs(1))
        .connect()
        .unwrap();
    queue.create_queue("q").unwrap();
    // Of two acquired connections one is lost, which casts doubt on the other.
    let (mut first, mut second) = (queue.session().unwrap(), queue.session().unwrap());
    let pid: i32 = second.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    first.batch_execute("SELECT").unwrap();
    drop(second);
    database.execute(&format!("SELECT pg_terminate_backend({pid})")).unwrap();
    // The first attempt may run into the lost connection.
    queue.send("q", &1).or_else(|_| queue.send("q", &1)).unwrap();
    drop(first);

    proxy.freeze();
    let started = Instant::now();
    drop(queue.session().unwrap());
    assert!(started.elapsed() < SOON);
    proxy.thaw();
    assert_eq!(queue.read::<i32>("q", 30).unwrap().unwrap().message, 1);
}

fn address(config: &Config) -> SocketAddr {
    let [Host::Tcp(host), ..] = config.get_hosts() else { panic!("the server has no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap()
}
