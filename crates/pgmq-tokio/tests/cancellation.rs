//! What becomes of an operation whose future is dropped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use pgmq_tokio::tokio_postgres::Config;
use pgmq_tokio::tokio_postgres::config::Host;
use pgmq_tokio::{PGMQueue, PollOptions, RawJson};
use tests_common::proxy::Proxy;
use tests_common::server::Server;

const FOREVER: Duration = Duration::from_secs(600);

#[test]
fn a_poll_that_is_given_up_stops_and_claims_nothing() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        queue.create_queue("q").await.unwrap();

        let started = Instant::now();
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let poll = queue.read_with_poll::<RawJson>("q", 30, 10, &options);
        let given_up = tokio::time::timeout(Duration::from_millis(200), poll).await;
        assert!(given_up.is_err(), "there was nothing to read");

        // The only connection comes back long before the poll would have ended, and works.
        let id = queue.send("q", &1).await.unwrap();
        let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, 1));
        assert!(started.elapsed() < FOREVER / 20);
    });
    runtime.block_on(async { tokio::task::yield_now().await });
}

#[test]
fn an_operation_that_is_given_up_on_a_silent_server_does_not_keep_its_place_in_the_pool() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let config: Config = database.url().parse().unwrap();
    let proxy = Proxy::start(address(&config)).unwrap();
    let builder = PGMQueue::builder()
        .host("127.0.0.1")
        .port(proxy.addr().port())
        .database(database.name())
        .username(config.get_user().unwrap())
        .password(String::from_utf8(config.get_password().unwrap().to_vec()).unwrap())
        .pool_size(1)
        .connect_timeout(Duration::from_secs(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = builder.connect().await.unwrap();
        queue.create_queue("q").await.unwrap();
        proxy.freeze();
        let given_up = tokio::time::timeout(Duration::from_millis(100), queue.send("q", &1)).await;
        assert!(given_up.is_err(), "nobody answers");
        // The pool lets go of it when the time to answer is over.
        let started = Instant::now();
        while queue.pool().state().connections > 0 {
            assert!(started.elapsed() < Duration::from_secs(20), "the connection is kept");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.thaw();
        queue.send("q", &2).await.unwrap();
    });
}

fn address(config: &Config) -> SocketAddr {
    let [Host::Tcp(host), ..] = config.get_hosts() else { panic!("the server has no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap()
}
