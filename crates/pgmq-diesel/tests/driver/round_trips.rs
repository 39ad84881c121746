//! The numbers of round trips that the guide states, and the handling of lost connections.

use pgmq_diesel::{ErrorKind, PGMQueue};
use pgmq_test_server::proxy::{Direction, Proxy};

use crate::support::{on_a_database, through_a_proxy};

/// The messages of each flight to the server since the last call.
fn requests(proxy: &Proxy) -> Vec<String> {
    let flights = proxy.flights();
    proxy.reset();
    let to_server = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    to_server.map(|flight| flight.messages().into_iter().collect()).collect()
}

/// Bind, describe, execute, sync.
const RUN: &str = "BDES";
/// Parse, sync.
const PREPARE: &str = "PS";
/// A simple query, such as `BEGIN`.
const QUERY: &str = "Q";

fn connect(database: &pgmq_test_server::Database, connections: u32) -> (Proxy, PGMQueue) {
    let (proxy, builder) = through_a_proxy(database);
    let queue = builder.pool_size(connections).connect().unwrap();
    requests(&proxy);
    (proxy, queue)
}

#[test]
fn an_operation_is_one_round_trip_and_three_on_its_first_run_on_a_connection() {
    on_a_database(|database| {
        let (proxy, queue) = connect(database, 1);
        queue.send("q", &1).unwrap();
        assert_eq!(requests(&proxy), [QUERY, PREPARE, RUN]);
        queue.send("q", &2).unwrap();
        assert_eq!(requests(&proxy), [RUN]);
    });
}

#[test]
fn a_transaction_adds_two_round_trips_to_its_statements() {
    on_a_database(|database| {
        let (proxy, queue) = connect(database, 1);
        for expected in [vec![QUERY, PREPARE, RUN, RUN, QUERY], vec![QUERY, RUN, RUN, QUERY]] {
            let sent = queue.transaction(|connection| {
                let queue = queue.with(connection);
                queue.send("q", &1)?;
                queue.send("q", &2)
            });
            sent.unwrap();
            assert_eq!(requests(&proxy), expected);
        }
    });
}

#[test]
fn cut_connections_cause_one_error_and_are_then_replaced() {
    on_a_database(|database| {
        let (proxy, queue) = connect(database, 3);
        let mut sessions = [queue.session(), queue.session(), queue.session()].map(Result::unwrap);
        for session in &mut sessions {
            queue.with(session).metrics("q").unwrap();
        }
        drop(sessions);
        // r2d2 hands out the most recent connection, and `metrics` is already prepared on it.
        queue.metrics("q").unwrap();
        proxy.cut();
        let error = queue.metrics("q").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection);
        assert!(error.is_transient());
        for n in 1..10 {
            assert_eq!(queue.send("q", &n).unwrap(), n);
        }
    });
}

#[test]
fn a_cut_session_is_not_handed_out() {
    on_a_database(|database| {
        let (proxy, queue) = connect(database, 3);
        let sessions = [queue.session(), queue.session(), queue.session()].map(Result::unwrap);
        drop(sessions);
        proxy.cut();
        let mut session = queue.session().unwrap();
        assert_eq!(queue.with(&mut session).send("q", &1).unwrap(), 1);
    });
}
