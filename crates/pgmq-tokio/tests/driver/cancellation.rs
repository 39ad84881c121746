//! Cancellation: operations and transactions whose future is dropped.

use std::time::{Duration, Instant};

use pgmq_tokio::{PGMQueue, PollOptions, RawJson};

use crate::support::{on_a_database, through_a_proxy};

const FOREVER: Duration = Duration::from_secs(600);

fn forever() -> PollOptions {
    PollOptions::new().timeout(FOREVER).interval(FOREVER / 10)
}

#[test]
fn a_dropped_poll_stops_and_claims_nothing() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let first = backend_pid(&queue).await;
        let started = Instant::now();
        let options = forever();
        let poll = queue.read_with_poll::<RawJson>("q", 30, 10, &options);
        let dropped = tokio::time::timeout(Duration::from_millis(200), poll).await;
        assert!(dropped.is_err(), "there was nothing to read");

        // The pool has a free connection again long before the poll would have ended.
        let id = queue.send("q", &1).await.unwrap();
        let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, 1));
        assert!(started.elapsed() < FOREVER / 20);
        assert_ne!(
            backend_pid(&queue).await,
            first,
            "a late cancel request could hit the next statement on the old connection"
        );
    });
}

#[test]
fn a_dropped_transaction_stops_and_is_rolled_back() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let first = backend_pid(&queue).await;
        let started = Instant::now();
        let options = forever();
        let work = queue.transaction(async |transaction| {
            let queue = queue.with(transaction);
            queue.send("q", &1).await?;
            queue.pop::<i32>("q").await?;
            queue.read_with_poll::<RawJson>("q", 30, 10, &options).await
        });
        let dropped = tokio::time::timeout(Duration::from_millis(200), work).await;
        assert!(dropped.is_err(), "there was nothing to read");
        let id = queue.send("q", &2).await.unwrap();
        let messages = queue.read_batch::<i32>("q", 30, 10).await.unwrap();
        assert_eq!(messages.iter().map(|message| message.msg_id).collect::<Vec<_>>(), [id]);
        assert!(started.elapsed() < FOREVER / 20);
        assert_ne!(
            backend_pid(&queue).await,
            first,
            "a late cancel request could hit the next statement on the old connection"
        );
    });
}

#[test]
fn a_transaction_that_is_dropped_at_any_point_leaves_nothing_half_done() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let mut committed = 0;
        for pause in 0..40 {
            let work = queue.transaction(async |transaction| {
                let queue = queue.with(transaction);
                queue.send("q", &1).await?;
                queue.send("q", &2).await
            });
            let done = tokio::time::timeout(Duration::from_micros(pause * 150), work).await;
            // The pool's only connection is free once the server has finished the work in flight.
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

#[test]
fn a_transaction_that_is_dropped_on_a_silent_server_frees_its_place_in_the_pool() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect_timeout(Duration::from_secs(1)).connect().await.unwrap();
        let work = queue.transaction(async |transaction| {
            proxy.freeze();
            queue.with(transaction).send("q", &1).await
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(100), work).await.is_err(),
            "the server has answered"
        );
        until_discarded(&queue).await;
        proxy.thaw();
        queue.send("q", &2).await.unwrap();
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    });
}

/// Waits until the pool has discarded its connection, after the timeout for the server's answer.
async fn until_discarded(queue: &PGMQueue) {
    let started = Instant::now();
    while queue.pool().state().connections > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "the connection is still in the pool");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The process id of the server's end of the pool's only connection.
async fn backend_pid(queue: &PGMQueue) -> i32 {
    let session = queue.session().await.unwrap();
    session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[test]
fn an_operation_that_is_dropped_on_a_silent_server_frees_its_place_in_the_pool() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect_timeout(Duration::from_secs(1)).connect().await.unwrap();
        proxy.freeze();
        let dropped = tokio::time::timeout(Duration::from_millis(100), queue.send("q", &1)).await;
        assert!(dropped.is_err(), "the server has answered");
        until_discarded(&queue).await;
        proxy.thaw();
        queue.send("q", &2).await.unwrap();
    });
}
