//! What becomes of an operation whose future is dropped.

use std::time::{Duration, Instant};

use pgmq_tokio::{PGMQueue, PollOptions, RawJson};

use crate::support::{on_a_database, through_a_proxy};

const FOREVER: Duration = Duration::from_secs(600);

fn forever() -> PollOptions {
    PollOptions::new().timeout(FOREVER).interval(FOREVER / 10)
}

#[test]
fn a_poll_that_is_given_up_stops_and_claims_nothing() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let first = server_process(&queue).await;
        let started = Instant::now();
        let options = forever();
        let poll = queue.read_with_poll::<RawJson>("q", 30, 10, &options);
        let given_up = tokio::time::timeout(Duration::from_millis(200), poll).await;
        assert!(given_up.is_err(), "there was nothing to read");

        // There is a place in the pool again long before the poll would have ended.
        let id = queue.send("q", &1).await.unwrap();
        let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, 1));
        assert!(started.elapsed() < FOREVER / 20);
        assert_ne!(server_process(&queue).await, first, "what the server was told might stop this too");
    });
}

#[test]
fn a_transaction_that_is_given_up_is_rolled_back_and_stops() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let first = server_process(&queue).await;
        let started = Instant::now();
        let options = forever();
        let work = queue.transaction(async |transaction| {
            let queue = queue.with(transaction);
            queue.send("q", &1).await?;
            queue.pop::<i32>("q").await?;
            queue.read_with_poll::<RawJson>("q", 30, 10, &options).await
        });
        let given_up = tokio::time::timeout(Duration::from_millis(200), work).await;
        assert!(given_up.is_err(), "there was nothing to read");
        let id = queue.send("q", &2).await.unwrap();
        let messages = queue.read_batch::<i32>("q", 30, 10).await.unwrap();
        assert_eq!(messages.iter().map(|message| message.msg_id).collect::<Vec<_>>(), [id]);
        assert!(started.elapsed() < FOREVER / 20);
        assert_ne!(server_process(&queue).await, first, "what the server was told might stop this too");
    });
}

#[test]
fn a_transaction_that_is_given_up_at_any_point_leaves_nothing_half_done() {
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
            // The only place in the pool is free when the server has done what was under way.
            let length = queue.metrics("q").await.unwrap().queue_length;
            match done {
                Ok(done) => {
                    done.unwrap();
                    assert_eq!(length, committed + 2);
                }
                // Given up while the server commits, it may have been either.
                Err(_) => assert!(length == committed || length == committed + 2, "{length}"),
            }
            committed = length;
        }
    });
}

#[test]
fn a_transaction_on_a_silent_server_does_not_keep_its_place_in_the_pool() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect_timeout(Duration::from_secs(1)).connect().await.unwrap();
        let work = queue.transaction(async |transaction| {
            proxy.freeze();
            queue.with(transaction).send("q", &1).await
        });
        assert!(tokio::time::timeout(Duration::from_millis(100), work).await.is_err(), "nobody answers");
        until_it_is_let_go(&queue).await;
        proxy.thaw();
        queue.send("q", &2).await.unwrap();
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    });
}

/// Waits until the pool has let go of its connection, when the time to answer is over.
async fn until_it_is_let_go(queue: &PGMQueue) {
    let started = Instant::now();
    while queue.pool().state().connections > 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "the connection is kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Which of the server's processes the only connection leads to.
async fn server_process(queue: &PGMQueue) -> i32 {
    let session = queue.session().await.unwrap();
    session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

#[test]
fn an_operation_that_is_given_up_on_a_silent_server_does_not_keep_its_place_in_the_pool() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect_timeout(Duration::from_secs(1)).connect().await.unwrap();
        proxy.freeze();
        let given_up = tokio::time::timeout(Duration::from_millis(100), queue.send("q", &1)).await;
        assert!(given_up.is_err(), "nobody answers");
        until_it_is_let_go(&queue).await;
        proxy.thaw();
        queue.send("q", &2).await.unwrap();
    });
}
