//! The figures of the guide: who speaks when.

use futures_util::future::try_join_all;
use pgmq_test_server::proxy::{Direction, Proxy};
use pgmq_tokio::PGMQueue;
use pgmq_tokio::tokio_postgres::error::SqlState;

use crate::support::{on_a_database, through_a_proxy};

/// The messages of each flight to the server since the last time.
fn asked(proxy: &Proxy) -> Vec<String> {
    let flights = proxy.flights();
    proxy.reset();
    let to_server = flights.iter().filter(|flight| flight.direction == Direction::ToServer);
    to_server.map(|flight| flight.messages().into_iter().collect()).collect()
}

/// Bind, execute, sync: of a statement that is prepared.
const RUN: &str = "BES";
/// Parse, describe, sync.
const PREPARE: &str = "PDS";
/// Parse, bind, describe, execute, sync: of a statement that is not.
const RUN_UNPREPARED: &str = "PBDES";

#[test]
fn an_operation_is_one_round_trip_also_the_first_time() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        asked(&proxy);
        for n in 0..2 {
            queue.send("q", &n).await.unwrap();
            assert_eq!(asked(&proxy), [RUN_UNPREPARED]);
        }
    });
}

#[test]
fn a_statement_that_stays_prepared_is_one_round_trip_more_the_first_time_only() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.prepared_statements(true).connect().await.unwrap();
        asked(&proxy);
        queue.send("q", &1).await.unwrap();
        assert_eq!(asked(&proxy), [PREPARE, RUN]);
        queue.send("q", &2).await.unwrap();
        assert_eq!(asked(&proxy), [RUN]);
        let mut session = queue.session().await.unwrap();
        queue.with(&mut session).send("q", &3).await.unwrap();
        assert_eq!(asked(&proxy), [RUN]);
    });
}

#[test]
fn what_stays_prepared_serves_in_transactions_too() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.prepared_statements(true).connect().await.unwrap();
        queue.send("q", &1).await.unwrap();
        asked(&proxy);
        queue.transaction(async |transaction| queue.with(transaction).send("q", &2).await).await.unwrap();
        assert_eq!(asked(&proxy), ["Q", RUN, "Q"]);

        // A transaction of a session's, and one in that.
        let mut session = queue.session().await.unwrap();
        let mut transaction = session.transaction().await.unwrap();
        let mut savepoint = transaction.savepoint("here").await.unwrap();
        queue.with(&mut savepoint).send("q", &3).await.unwrap();
        savepoint.commit().await.unwrap();
        let mut inner = transaction.transaction().await.unwrap();
        queue.with(&mut inner).send("q", &4).await.unwrap();
        inner.rollback().await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(asked(&proxy), ["Q", "Q", RUN, "Q", "Q", RUN, "Q", "Q"]);

        // To the driver's own transaction, the statements are not known.
        let mut transaction = session.build_transaction().start().await.unwrap();
        queue.with(&mut transaction).send("q", &5).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(asked(&proxy), ["Q", RUN_UNPREPARED, "Q"]);
        drop(session);
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 4);
    });
}

#[test]
fn a_transaction_that_has_failed_cannot_be_committed() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let mut transaction = session.transaction().await.unwrap();
        queue.with(&mut transaction).send("q", &1).await.unwrap();
        transaction.batch_execute("SELECT 1 / 0").await.unwrap_err();
        let error = transaction.commit().await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
        // The session is in order, and nothing was committed.
        let message = queue.with(&mut session).read::<i32>("q", 0).await.unwrap();
        assert!(message.is_none(), "{message:?}");
    });
}

#[test]
fn operations_that_are_polled_together_on_one_connection_travel_together() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let bound = queue.with(&mut session);
        asked(&proxy);
        let sent = try_join_all((0..16).map(|_| bound.send("q", &1)));
        let mut ids = sent.await.unwrap();
        let flights = asked(&proxy);
        assert!(flights.len() <= 4, "{flights:?}");
        ids.sort_unstable();
        assert_eq!(ids, (1..=16).collect::<Vec<_>>());
    });
}
