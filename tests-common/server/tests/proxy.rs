//! The recording proxy against a server that echoes, and against Postgres.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};

use pgmq_test_server::{
    Server,
    proxy::{
        Direction::{ToClient, ToServer},
        Moment, Proxy,
    },
};
use postgres::{Config, NoTls, config::Host};
#[cfg(target_os = "linux")]
use socket2::SockRef;

/// Starts a server that sends every byte back, on any number of connections.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    addr
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn call(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = vec![0; request.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, request);
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn chunks_in_one_direction_are_one_flight() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    call(&mut stream, b"one");
    call(&mut stream, b"two");
    let flights = proxy.flights();
    let sent: Vec<_> = flights.iter().map(|flight| (flight.direction, flight.bytes.as_slice())).collect();
    assert_eq!(
        sent,
        [(ToServer, b"one".as_slice()), (ToClient, b"one"), (ToServer, b"two"), (ToClient, b"two")]
    );
    assert_eq!(proxy.round_trips(), 2);

    proxy.reset();
    assert_eq!(proxy.round_trips(), 0);
    // Larger than a buffer, so it arrives in several chunks, and the echo may start in between.
    call(&mut stream, &vec![7; 20_000]);
    let sum = |direction| -> usize {
        proxy.flights().iter().filter(|flight| flight.direction == direction).map(|f| f.bytes.len()).sum()
    };
    assert_eq!((sum(ToServer), sum(ToClient)), (20_000, 20_000));
}

#[test]
fn cut_closes_connections_and_accepts_new_ones() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut first = connect(&proxy);
    call(&mut first, b"x");
    proxy.cut();
    assert!(is_closed(&mut first));
    call(&mut connect(&proxy), b"y");
}

#[cfg(target_os = "linux")]
#[test]
fn a_swallowed_connection_stays_silent_and_nothing_acknowledges_its_bytes() {
    let proxy = Proxy::start(echo()).unwrap();
    let (mut idle, mut busy) = (connect(&proxy), connect(&proxy));
    call(&mut idle, b"x");
    call(&mut busy, b"x");
    assert_eq!(proxy.swallowed().unwrap(), 0);
    proxy.swallow().unwrap();
    assert_eq!(proxy.swallowed().unwrap(), 2);
    SockRef::from(&busy).set_tcp_user_timeout(Some(Duration::from_millis(300))).unwrap();
    busy.write_all(b"lost").unwrap();
    assert_eq!(
        busy.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::TimedOut,
        "the client's system ends the connection"
    );
    // Not even the end of the server's stream comes through.
    idle.shutdown(std::net::Shutdown::Write).unwrap();
    idle.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);

    let mut later = connect(&proxy);
    call(&mut later, b"y");
    assert_eq!(proxy.swallowed().unwrap(), 0, "one was closed, and one has failed");
    proxy.close_swallowed();
    idle.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(is_closed(&mut idle));
    call(&mut later, b"z");
}

#[test]
fn dropping_closes_everything() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    call(&mut stream, b"x");
    let addr = proxy.addr();
    let started = Instant::now();
    drop(proxy);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn bytes_held_back_by_a_frozen_proxy_arrive_later() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    proxy.freeze();
    stream.write_all(b"x").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "nothing comes through");
    proxy.thaw();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    proxy.freeze();
    proxy.cut();
    assert!(is_closed(&mut stream));
}

#[test]
fn a_client_is_closed_if_the_server_is_not_reachable() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start(unused).unwrap();
    assert!(is_closed(&mut connect(&proxy)));
}

#[test]
fn a_shut_proxy_closes_all_connections_until_it_is_opened_again() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut first = connect(&proxy);
    call(&mut first, b"x");
    proxy.shut();
    assert!(is_closed(&mut first));
    assert!(is_closed(&mut connect(&proxy)));
    proxy.reopen();
    call(&mut connect(&proxy), b"y");
}

#[test]
fn a_connection_is_cut_before_or_after_a_request() {
    let server = Server::obtain().unwrap();
    let database = server.create_empty_database().unwrap();
    database.execute("CREATE TABLE done (id int)").unwrap();
    let config: Config = database.url().parse().unwrap();
    let (proxy, through) = proxy_of(&config);
    let mut witness = config.connect(NoTls).unwrap();
    for (moment, rows) in [(Moment::Before, 0), (Moment::After, 1)] {
        let mut client = through.connect(NoTls).unwrap();
        let cuts = proxy.cuts();
        proxy.cut_at("INSERT", moment, 1);
        client.batch_execute("SELECT 1").unwrap();
        assert!(client.batch_execute("INSERT INTO done VALUES (1)").is_err());
        assert!(client.is_closed());
        assert_eq!(proxy.cuts(), cuts + 1);
        let done: i64 = witness.query_one("SELECT count(*) FROM done", &[]).unwrap().get(0);
        assert_eq!(done, rows, "{moment:?}");
    }
    let mut client = through.connect(NoTls).unwrap();
    client.batch_execute("INSERT INTO done VALUES (1)").unwrap();
}

/// A proxy in front of a server, and the settings to connect through the proxy.
fn proxy_of(config: &Config) -> (Proxy, Config) {
    let proxy = Proxy::start(address(config)).unwrap();
    let mut through = Config::new();
    through.host("127.0.0.1").port(proxy.addr().port()).dbname(config.get_dbname().unwrap_or("postgres"));
    through.user(config.get_user().unwrap()).password(config.get_password().unwrap());
    (proxy, through)
}

#[test]
fn messages_of_postgres_are_recognized_by_type() {
    let server = Server::obtain().unwrap();
    let config: Config = server.url().parse().unwrap();
    let (proxy, through) = proxy_of(&config);
    let mut client = through.connect(NoTls).unwrap();

    proxy.reset();
    client.simple_query("SELECT 1").unwrap();
    assert_eq!(proxy.round_trips(), 1);
    let messages: Vec<_> = proxy.flights().iter().map(|flight| flight.messages()).collect();
    assert_eq!(messages, [vec!['Q'], vec!['T', 'D', 'C', 'Z']]);

    // Prepares, then executes.
    proxy.reset();
    client.query("SELECT $1::int", &[&1]).unwrap();
    assert_eq!(proxy.round_trips(), 2);
    assert_eq!(proxy.flights()[0].messages(), ['P', 'D', 'S']);
}

fn address(config: &Config) -> SocketAddr {
    let [Host::Tcp(host), ..] = config.get_hosts() else { panic!("the server has no host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap()
}

#[test]
fn delayed_bytes_arrive_later() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    let delay = Duration::from_millis(50);
    proxy.delay(delay);
    let started = Instant::now();
    call(&mut stream, b"slow");
    assert!(started.elapsed() >= 2 * delay, "once each way");
}

#[test]
fn a_half_closed_connection_still_works_in_the_other_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
    for direction in [ToServer, ToClient] {
        let mut client = connect(&proxy);
        client.write_all(b"!").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut [0]).unwrap();
        proxy.half_close(direction);
        let (closed, open) = match direction {
            ToServer => (&mut server, &mut client),
            ToClient => (&mut client, &mut server),
        };
        assert!(is_closed(closed));
        closed.write_all(b"?").unwrap();
        let mut answer = [0];
        open.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"?");
        proxy.cut();
    }
}
