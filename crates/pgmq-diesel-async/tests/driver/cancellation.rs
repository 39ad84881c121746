//! Cancellation: operations and transactions whose future is dropped.

use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use pgmq_diesel_async::{Error, ErrorKind, PGMQueue, PollOptions, RawJson};

use crate::support::{NO_POLL, connect, on_a_database, wait_until};

const FOREVER: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(200);

fn forever() -> PollOptions {
    PollOptions::new().timeout(FOREVER).interval(FOREVER / 10)
}

const NO_TRANSACTION: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL)";

/// Checks that the queue works, and that it is empty otherwise.
async fn check_works(queue: &PGMQueue) {
    let id = queue.send("q", &1).await.unwrap();
    let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
    assert_eq!((message.msg_id, message.read_ct), (id, 1));
    assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    assert!(queue.delete("q", id).await.unwrap());
}

#[test]
fn a_dropped_poll_stops_and_claims_nothing() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let started = Instant::now();
        let options = forever();
        let dropped =
            tokio::time::timeout(SHORT, queue.read_with_poll::<RawJson>("q", 30, 10, &options)).await;
        assert!(dropped.is_err(), "there was nothing to read");
        // The pool has room for a connection again long before the poll would have ended.
        check_works(&queue).await;
        assert!(started.elapsed() < FOREVER / 20);
        let statistics = queue.pool().state().statistics;
        assert_eq!(
            statistics.connections_created, 1,
            "a late cancel request could hit the next statement on the old connection"
        );
    });
}

#[test]
fn a_dropped_operation_leaves_its_connection_usable() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        queue.send_batch("q", &vec!["x".repeat(10_000); 100]).await.unwrap();
        for pause in 0..20 {
            let peek = queue.peek::<RawJson>("q", 100);
            // Dropped before the query is sent, while it waits, or amid the rows.
            let _ = tokio::time::timeout(Duration::from_micros(pause * 200), peek).await;
            assert_eq!(queue.peek::<String>("q", 1).await.unwrap().len(), 1);
        }
        assert_eq!(
            queue.pool().state().statistics.connections_created,
            0,
            "the first connection ran all operations"
        );
    });
}

#[test]
fn no_operation_waits_behind_a_dropped_one() {
    on_a_database(async |database| {
        let builder = PGMQueue::builder().url(database.url()).pool_size(1).connect_timeout(SHORT * 10);
        let queue = builder.connect().await.unwrap();
        queue.create_queue("other").await.unwrap();
        let mut other = AsyncPgConnection::establish(database.url()).await.unwrap();
        other.batch_execute("BEGIN; LOCK TABLE pgmq.q_q").await.unwrap();
        assert!(tokio::time::timeout(SHORT, queue.send("q", &1)).await.is_err(), "the table is locked");
        let sent = tokio::time::timeout(FOREVER / 20, queue.send("other", &1)).await;
        assert_eq!(sent.unwrap().unwrap(), 1);
    });
}

#[test]
fn a_dropped_transaction_stops_and_is_rolled_back() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let started = Instant::now();
        let options = forever();
        let work = queue.transaction(async |connection| {
            let queue = queue.with(connection);
            queue.send("q", &1).await?;
            queue.pop::<i32>("q").await?;
            queue.read_with_poll::<RawJson>("q", 30, 10, &options).await
        });
        assert!(tokio::time::timeout(SHORT, work).await.is_err(), "there was nothing to read");
        wait_until(database, NO_POLL).await;
        check_works(&queue).await;
        assert!(started.elapsed() < FOREVER / 20);
    });
}

#[test]
fn a_transaction_that_is_dropped_at_any_point_leaves_nothing_half_done() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let mut committed = 0;
        for pause in 0..40 {
            let work = queue.transaction(async |connection| {
                let queue = queue.with(connection);
                queue.send("q", &1).await?;
                queue.send("q", &2).await
            });
            let done = tokio::time::timeout(Duration::from_micros(pause * 150), work).await;
            wait_until(database, NO_TRANSACTION).await;
            let length = queue.metrics("q").await.unwrap().queue_length;
            match done {
                Ok(done) => {
                    done.unwrap();
                    assert_eq!(length, committed + 2);
                }
                // Dropped while the server commits, the transaction may have been committed or not.
                Err(_) => assert!(length == committed || length == committed + 2, "{length}"),
            }
            committed = length;
        }
    });
}

/// Begins a transaction of Diesel's inside another one, sends in it, and drops it.
async fn drop_inside(queue: &PGMQueue, connection: &mut AsyncPgConnection) {
    let inner = connection.transaction(async |connection| {
        queue.with(connection).send("q", "inside").await?;
        std::future::pending::<Result<(), Error>>().await
    });
    assert!(tokio::time::timeout(SHORT, inner).await.is_err());
}

#[test]
fn a_transaction_in_which_a_nested_one_was_dropped_commits_nothing() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let done = queue.transaction(async |connection| {
            queue.with(connection).send("q", "outside").await?;
            drop_inside(&queue, connection).await;
            Ok::<_, Error>(())
        });
        let error = done.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("nothing was committed"), "{error}");
        check_works(&queue).await;
    });
}

#[test]
fn a_transaction_that_fails_after_a_nested_one_was_dropped_rolls_back_both() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let done = queue.transaction(async |connection| {
            queue.with(connection).send("q", "outside").await?;
            drop_inside(&queue, connection).await;
            queue.with(connection).send("missing", &1).await
        });
        assert_eq!(done.await.unwrap_err().kind(), ErrorKind::QueueNotFound);
        assert_eq!(queue.pool().state().connections, 1);
        check_works(&queue).await;
    });
}
