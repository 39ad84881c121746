//! The round trips that the guide documents.

use futures_util::future::try_join_all;
use pgmq_test_server::proxy::{Direction, Proxy};
use pgmq_tokio::PGMQueue;
use pgmq_tokio::tokio_postgres::error::SqlState;

use crate::support::{on_a_database, through_a_proxy};

/// The messages of each flight to the server since the last call.
fn sent_flights(proxy: &Proxy) -> Vec<String> {
    let flights = proxy.flights();
    proxy.reset();
    let to_server = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    to_server.map(|flight| flight.messages().into_iter().collect()).collect()
}

/// Bind, execute, sync: runs a prepared statement.
const RUN: &str = "BES";
/// Parse, describe, sync: prepares a statement.
const PREPARE: &str = "PDS";
/// Parse, bind, describe, execute, sync: runs a statement that is not prepared.
const RUN_UNPREPARED: &str = "PBDES";

#[test]
fn an_operation_takes_one_round_trip_even_the_first_time() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        sent_flights(&proxy);
        for n in 0..2 {
            queue.send("q", &n).await.unwrap();
            assert_eq!(sent_flights(&proxy), [RUN_UNPREPARED]);
        }
    });
}

#[test]
fn a_cached_statement_takes_one_more_round_trip_the_first_time_only() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.prepared_statements(true).connect().await.unwrap();
        sent_flights(&proxy);
        queue.send("q", &1).await.unwrap();
        assert_eq!(sent_flights(&proxy), [PREPARE, RUN]);
        queue.send("q", &2).await.unwrap();
        assert_eq!(sent_flights(&proxy), [RUN]);
        let mut session = queue.session().await.unwrap();
        queue.with(&mut session).send("q", &3).await.unwrap();
        assert_eq!(sent_flights(&proxy), [RUN]);
    });
}

#[test]
fn transactions_use_the_cached_statements() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.prepared_statements(true).connect().await.unwrap();
        queue.send("q", &1).await.unwrap();
        sent_flights(&proxy);
        queue.transaction(async |transaction| queue.with(transaction).send("q", &2).await).await.unwrap();
        assert_eq!(sent_flights(&proxy), ["Q", RUN, "Q"]);

        // A session's transaction, with a savepoint and a nested transaction.
        let mut session = queue.session().await.unwrap();
        let mut transaction = session.transaction().await.unwrap();
        let mut savepoint = transaction.savepoint("here").await.unwrap();
        queue.with(&mut savepoint).send("q", &3).await.unwrap();
        savepoint.commit().await.unwrap();
        let mut inner = transaction.transaction().await.unwrap();
        queue.with(&mut inner).send("q", &4).await.unwrap();
        inner.rollback().await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(sent_flights(&proxy), ["Q", "Q", RUN, "Q", "Q", RUN, "Q", "Q"]);

        // The driver's own transaction has no access to the cache.
        let mut transaction = session.build_transaction().start().await.unwrap();
        queue.with(&mut transaction).send("q", &5).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(sent_flights(&proxy), ["Q", RUN_UNPREPARED, "Q"]);
        drop(session);
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 4);
    });
}

#[test]
fn committing_a_failed_transaction_is_an_error() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let mut transaction = session.transaction().await.unwrap();
        queue.with(&mut transaction).send("q", &1).await.unwrap();
        transaction.batch_execute("SELECT 1 / 0").await.unwrap_err();
        let error = transaction.commit().await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
        // The session is usable, and nothing was committed.
        let message = queue.with(&mut session).read::<i32>("q", 0).await.unwrap();
        assert!(message.is_none(), "{message:?}");
    });
}

#[test]
fn operations_that_are_polled_together_on_one_connection_are_pipelined() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let bound = queue.with(&mut session);
        sent_flights(&proxy);
        let sent = try_join_all((0..16).map(|_| bound.send("q", &1)));
        let mut ids = sent.await.unwrap();
        let flights = sent_flights(&proxy);
        assert!(flights.len() <= 4, "{flights:?}");
        ids.sort_unstable();
        assert_eq!(ids, (1..=16).collect::<Vec<_>>());
    });
}
