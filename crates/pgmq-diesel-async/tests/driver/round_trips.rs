//! The round trips that the guide documents.

use futures_util::future::{join_all, try_join};
use pgmq_diesel_async::{ErrorKind, PGMQueue};
use pgmq_test_server::proxy::{Direction, Proxy};

use crate::support::{on_a_database, through_a_proxy};

/// The messages of each flight to the server since the last call.
fn sent_flights(proxy: &Proxy) -> Vec<String> {
    let flights = proxy.flights();
    proxy.reset();
    let to_server = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    to_server.map(|flight| flight.messages().into_iter().collect()).collect()
}

/// Bind, execute, sync.
const RUN: &str = "BES";
/// Parse, describe, sync.
const PREPARE: &str = "PDS";
/// A simple query, such as `BEGIN`.
const QUERY: &str = "Q";

async fn connect(builder: pgmq_diesel_async::Builder, proxy: &Proxy) -> PGMQueue {
    let queue = builder.connect().await.unwrap();
    sent_flights(proxy);
    queue
}

#[test]
fn an_operation_takes_one_round_trip_and_one_more_the_first_time() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = connect(builder, &proxy).await;
        queue.send("q", &1).await.unwrap();
        assert_eq!(sent_flights(&proxy), [PREPARE, RUN]);
        queue.send("q", &2).await.unwrap();
        assert_eq!(sent_flights(&proxy), [RUN]);
    });
}

#[test]
fn a_transaction_takes_two_round_trips_more_than_its_statements() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = connect(builder, &proxy).await;
        for expected in [vec![QUERY, PREPARE, RUN, RUN, QUERY], vec![QUERY, RUN, RUN, QUERY]] {
            let sent = queue.transaction(async |connection| {
                let queue = queue.with(connection);
                queue.send("q", &1).await?;
                queue.send("q", &2).await
            });
            sent.await.unwrap();
            assert_eq!(sent_flights(&proxy), expected);
        }
    });
}

const NUMBERS: [i32; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

#[test]
fn operations_that_are_polled_together_are_pipelined() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = connect(builder, &proxy).await;
        let sent = queue.transaction(async |connection| {
            let queue = queue.with(connection);
            queue.send("q", &0).await?;
            sent_flights(&proxy);
            let sent = join_all(NUMBERS.iter().map(|n| queue.send("q", n))).await;
            assert_eq!(sent_flights(&proxy), [RUN.repeat(16)]);
            sent.into_iter().collect::<Result<Vec<_>, _>>()
        });
        assert_eq!(sent.await.unwrap(), (2..=17).collect::<Vec<_>>());
    });
}

#[test]
fn each_pipelined_operation_has_its_own_result() {
    on_a_database(async |database| {
        let (_proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let bound = queue.with(&mut session);
        let (sent, missing) = tokio::join!(bound.send("q", &1), bound.send("missing", &1));
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::QueueNotFound);
        let (read, none) = try_join(bound.read::<i32>("q", 30), bound.read::<i32>("q", 30)).await.unwrap();
        assert_eq!((read.unwrap().msg_id, none), (sent.unwrap(), None));
    });
}

#[test]
fn a_connection_that_was_lost_is_an_error_once_and_then_replaced() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.pool_size(3).connect().await.unwrap();
        let sessions = [queue.session().await, queue.session().await, queue.session().await];
        assert!(sessions.iter().all(Result::is_ok));
        drop(sessions);
        proxy.cut();
        // The driver may or may not have noticed the cut by now. If it has not, the operation fails with a
        // clear error.
        if let Err(error) = queue.send("q", &1).await {
            assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        }
        for n in 2..10 {
            queue.send("q", &n).await.unwrap();
        }
    });
}
