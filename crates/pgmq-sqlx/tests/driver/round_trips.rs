//! The round trips that the guide promises.

use pgmq_sqlx::PGMQueue;
use pgmq_test_server::proxy::{Direction, Proxy};

use crate::support::{on_a_database, through_a_proxy, with};

/// The messages of each flight to the server since the last call.
fn requests(proxy: &Proxy) -> Vec<String> {
    let flights = proxy.flights();
    proxy.reset();
    let to_server = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    to_server.map(|flight| flight.messages().into_iter().collect()).collect()
}

/// Bind, execute, close the portal, sync.
const RUN: &str = "BECS";
/// Parse, describe, sync.
const PREPARE: &str = "PDS";
/// A sync alone: the pool tests a connection that was released.
const TEST: &str = "S";
/// A simple query, such as `BEGIN`.
const QUERY: &str = "Q";

/// A queue with one idle connection.
async fn idle(proxy: &Proxy, builder: pgmq_sqlx::Builder) -> PGMQueue {
    let queue = builder.pool_size(1).connect().await.unwrap();
    queue.session().await.unwrap().release().await;
    requests(proxy);
    queue
}

#[test]
fn an_operation_is_a_round_trip_and_its_connection_is_tested_when_it_is_released() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = idle(&proxy, builder).await;
        queue.send("q", &1).await.unwrap();
        assert_eq!(requests(&proxy), [PREPARE, RUN]);
        // With one connection, the next operation waits for the test. With more, it takes another one.
        queue.send("q", &2).await.unwrap();
        assert_eq!(requests(&proxy), [TEST, RUN]);
        queue.session().await.unwrap().release().await;
        assert_eq!(requests(&proxy), [TEST, TEST]);
    });
}

#[test]
fn on_a_session_an_operation_is_a_round_trip_and_nothing_else() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = idle(&proxy, builder).await;
        let mut session = queue.session().await.unwrap();
        let bound = queue.with(&mut session);
        bound.send("q", &1).await.unwrap();
        requests(&proxy);
        for n in 2..5 {
            bound.send("q", &n).await.unwrap();
        }
        assert_eq!(requests(&proxy), [RUN; 3]);
    });
}

#[test]
fn a_transaction_is_three_round_trips_more_than_its_statements() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = idle(&proxy, builder).await;
        for expected in
            [vec![QUERY, PREPARE, RUN, RUN, QUERY, QUERY], vec![TEST, QUERY, RUN, RUN, QUERY, QUERY]]
        {
            let sent = queue.transaction(async |transaction| {
                let queue = queue.with(transaction);
                queue.send("q", &1).await?;
                queue.send("q", &2).await
            });
            sent.await.unwrap();
            assert_eq!(requests(&proxy), expected);
        }
    });
}

#[test]
fn without_prepared_statements_an_operation_is_four_round_trips_and_in_a_transaction_two() {
    on_a_database(async |database| {
        let (proxy, _) = through_a_proxy(database);
        let (host, port) = (proxy.addr().ip(), proxy.addr().port());
        let settings = format!("host={host}&port={port}&sslmode=disable&statement-cache-capacity=0");
        let queue = idle(&proxy, PGMQueue::builder().url(with(database, &settings))).await;
        queue.send("q", &1).await.unwrap();
        assert_eq!(requests(&proxy), [QUERY, PREPARE, RUN, QUERY]);
        let sent = queue.transaction(async |transaction| queue.with(transaction).send("q", &1).await);
        sent.await.unwrap();
        assert_eq!(requests(&proxy), [TEST, QUERY, PREPARE, RUN, QUERY, QUERY]);
        let mut session = queue.session().await.unwrap();
        requests(&proxy);
        queue.with(&mut session).send("q", &1).await.unwrap();
        assert_eq!(requests(&proxy), [QUERY, PREPARE, RUN, QUERY]);
    });
}
