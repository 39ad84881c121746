//! Servers that accept connections and are of no use otherwise.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a failed test panics")]

use std::thread;
use std::time::{Duration, Instant};

use pgmq_postgres::r2d2::Pool;
use pgmq_postgres::{ErrorKind, Manager, Notification, PGMQueue};
use pgmq_test_server::fake::{Behaviour, FakeServer};

/// Runs `work` on a thread, and fails if it takes longer than `limit`.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = std::sync::mpsc::channel();
    thread::spawn(move || drop(sender.send(work())));
    done.recv_timeout(limit).expect("the work ends within its limit")
}

#[test]
fn a_server_that_refuses_all_requests_is_not_asked_in_a_loop() {
    let server = FakeServer::start(Behaviour::RefuseRequests).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false);
    let queue = builder.acquire_timeout(Duration::from_secs(1)).connect().unwrap();
    for _ in 0..3 {
        let queue = queue.clone();
        let error = within(Duration::from_secs(3), move || queue.send("q", &1).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    }
    assert!(server.accepted() < 10, "{} connections were made", server.accepted());
}

#[test]
fn the_acquire_timeout_bounds_the_checks_of_connections() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false).pool_size(3);
    let queue = builder.acquire_timeout(Duration::from_secs(1)).connect().unwrap();
    let mut sessions = [queue.session().unwrap(), queue.session().unwrap(), queue.session().unwrap()];
    for session in &mut sessions {
        session.batch_execute("").unwrap();
    }
    // The loss of a session casts doubt on the others, which then have to answer.
    let [lost, ..] = &mut sessions;
    server.set(Behaviour::RefuseRequests);
    lost.batch_execute("").unwrap_err();
    drop(sessions);
    queue.send("q", &1).unwrap_err();
    server.set(Behaviour::Silent);
    let error = within(Duration::from_secs(3), move || queue.session().map(drop).unwrap_err());
    assert!(error.is_transient(), "{error}");
}

#[test]
fn a_listener_waits_longer_after_each_failure_however_short_its_calls_are() {
    for behaviour in [Behaviour::RefuseLogin, Behaviour::Silent] {
        let server = FakeServer::start(Behaviour::Serve).unwrap();
        let builder = PGMQueue::builder().url(server.url()).install_extension(false);
        let queue = builder.connect_timeout(Duration::from_millis(50)).connect().unwrap();
        let mut listener = queue.listen(&["q"]).unwrap();
        let before = server.accepted();
        server.set(behaviour);
        server.cut();

        let started = Instant::now();
        let (mut errors, mut calls) = (0, 0);
        while started.elapsed() < Duration::from_secs(2) {
            calls += 1;
            match listener.next_timeout(Duration::from_millis(5)) {
                Ok(None) => {}
                Ok(Some(notification)) => panic!("{notification:?}"),
                Err(_) => errors += 1,
            }
        }
        let attempts = server.accepted() - before;
        assert!((2..12).contains(&attempts), "{attempts} attempts to reach a server that is {behaviour:?}");
        assert!(errors <= attempts, "{errors} errors of {attempts} attempts");
        // A call that returns at once would run thousands of times.
        assert!(calls < 600, "{calls} calls");
        server.set(Behaviour::Serve);
        let deadline = Instant::now() + Duration::from_secs(20);
        while listener.next_timeout(Duration::from_secs(20)).ok() != Some(Some(Notification::Reconnected)) {
            assert!(Instant::now() < deadline, "the listener reconnects");
        }
    }
}

#[test]
fn a_listener_that_loses_each_new_connection_does_not_reconnect_in_a_loop() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let queue = PGMQueue::builder().url(server.url()).install_extension(false).connect().unwrap();
    let mut listener = queue.listen(&["q"]).unwrap();
    let before = server.accepted();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        server.cut();
        drop(listener.next_timeout(Duration::from_millis(100)).unwrap());
    }
    let attempts = server.accepted() - before;
    assert!((2..12).contains(&attempts), "{attempts} attempts");
}

#[test]
fn a_listener_behind_silent_attempts_does_not_spin() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false);
    let queue = builder.connect_timeout(Duration::from_millis(20)).connect().unwrap();
    let mut listener = queue.listen(&["q"]).unwrap();
    server.set(Behaviour::Silent);
    server.cut();
    // Each attempt leaves a thread behind that waits for the server, up to a limit of such threads.
    let started = Instant::now();
    let mut calls = 0;
    while started.elapsed() < Duration::from_secs(12) {
        calls += 1;
        drop(listener.next_timeout(Duration::from_secs(1)));
    }
    assert!(calls < 60, "{calls} calls");
}

#[test]
fn a_listener_gives_the_server_the_connect_timeout_to_answer_a_check() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let builder = PGMQueue::builder().url(server.url()).install_extension(false);
    let builder = builder.listener_check_interval(Duration::from_millis(10));
    // Connecting as a whole may take twice as long.
    let queue = builder.connect_timeout(Duration::from_secs(4)).connect().unwrap();
    let mut listener = queue.listen(&["q"]).unwrap();
    let before = server.accepted();
    server.set(Behaviour::Silent);
    let started = Instant::now();
    while server.accepted() == before {
        assert!(started.elapsed() < Duration::from_secs(7), "the listener does not notice the loss");
        assert_eq!(listener.next_timeout(Duration::from_millis(10)).unwrap(), None);
    }
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn a_pool_of_the_users_discards_a_silent_connection_without_waiting_for_it() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let manager = Manager::new(format!("{}&connect_timeout=1", server.url())).unwrap();
    let pool = Pool::builder().max_size(1).test_on_check_out(true).build(manager).unwrap();
    server.set(Behaviour::Silent);
    let queue = PGMQueue::from(pool.clone());
    within(Duration::from_secs(10), move || pool.get_timeout(Duration::from_secs(1)).map(drop).unwrap_err());
    within(Duration::from_secs(1), move || queue.close());
}

#[test]
fn close_waits_for_connections_that_are_closing_within_the_connect_timeout() {
    let server = FakeServer::start(Behaviour::Serve).unwrap();
    let limit = Duration::from_secs(1);
    let builder = PGMQueue::builder().url(server.url()).install_extension(false).pool_size(2);
    let queue = builder.connect_timeout(limit).acquire_timeout(limit).connect().unwrap();
    let (mut lost, silent) = (queue.session().unwrap(), queue.session().unwrap());
    server.set(Behaviour::RefuseRequests);
    lost.batch_execute("").unwrap_err();
    drop(silent);
    drop(lost);
    queue.send("q", &1).unwrap_err();
    let clone = queue.clone();
    within(Duration::from_millis(500), move || clone.close());
    let mut session = queue.session().unwrap();
    server.set(Behaviour::Silent);
    // The driver waits for an answer before it closes the connection.
    session.is_valid(Duration::from_millis(10)).unwrap_err();
    drop(session);
    let started = Instant::now();
    within(Duration::from_secs(5), move || queue.close());
    assert!(started.elapsed() >= limit, "{:?}", started.elapsed());
}
