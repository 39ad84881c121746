//! Connections that are lost without a report from the server.

use pgmq_sqlx::{ErrorKind, PGMQueue};
use pgmq_test_server::proxy::Proxy;

use crate::support::{on_a_database, through_a_proxy};

/// A queue behind a proxy, with three connections that are idle.
async fn with_three_connections(database: &pgmq_test_server::Database) -> (Proxy, PGMQueue) {
    let (proxy, builder) = through_a_proxy(database);
    let queue = builder.pool_size(3).connect().await.unwrap();
    let sessions = [queue.session().await, queue.session().await, queue.session().await];
    for session in sessions {
        session.unwrap().release().await;
    }
    assert_eq!((queue.pool().size(), queue.pool().num_idle()), (3, 3));
    (proxy, queue)
}

#[test]
fn after_one_loss_the_other_connections_are_checked_before_they_are_used() {
    on_a_database(async |database| {
        let (proxy, queue) = with_three_connections(database).await;
        proxy.cut();
        // Nothing proves that the server has not stored this message, so the operation is not retried.
        let error = queue.send("q", &1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        for n in 2..10 {
            queue.send("q", &n).await.unwrap();
        }
    });
}

#[test]
fn a_transaction_begins_on_another_connection_if_the_first_one_was_lost() {
    on_a_database(async |database| {
        let (proxy, queue) = with_three_connections(database).await;
        proxy.cut();
        queue.transaction(async |transaction| queue.with(transaction).send("q", &1).await).await.unwrap();
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    });
}
