//! Operations whose futures are dropped.

use std::time::{Duration, Instant};

use pgmq_sqlx::{Error, PGMQueue, PollOptions, RawJson};
use sqlx::Connection;

use crate::support::{Relay, on_a_database, second_pool, wait_until, with};

const FOREVER: Duration = Duration::from_secs(600);

/// Polls on the only connection of a pool, and drops the future.
async fn drop_a_poll(queue: &PGMQueue) {
    let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
    let poll = queue.read_with_poll::<RawJson>("q", 30, 10, &options);
    let polled = tokio::time::timeout(Duration::from_millis(200), poll).await;
    assert!(polled.is_err(), "the queue is empty, so the poll waits");
}

const NO_POLL_RUNS: &str = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%read_with_poll%')";

#[test]
fn a_dropped_poll_stops_and_claims_nothing() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let started = Instant::now();
        drop_a_poll(&queue).await;
        // The pool makes another connection long before the poll would have ended.
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 0);
        // The server notices that its client is gone.
        wait_until(&second_pool(database).await, NO_POLL_RUNS).await;
        let id = queue.send("q", &1).await.unwrap();
        let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, 1));
        assert!(started.elapsed() < FOREVER / 20);
    });
}

#[test]
fn a_transaction_whose_closure_drops_a_statement_and_fails_returns_at_once() {
    on_a_database(async |database| {
        // A limit of connecting that is longer than any operation of the test.
        let builder = PGMQueue::builder().url(database.url()).pool_size(1).connect_timeout(FOREVER);
        let queue = builder.connect().await.unwrap();
        let failing = queue.transaction(async |transaction| {
            queue.with(transaction).send("q", &1).await?;
            let sleep = sqlx::query("SELECT pg_sleep(600)").execute(&mut **transaction);
            tokio::time::timeout(Duration::from_millis(200), sleep).await.expect_err("the server sleeps");
            Err::<(), _>(Error::from(sqlx::Error::RowNotFound))
        });
        let failed = tokio::time::timeout(FOREVER / 20, failing).await.expect("the error is returned");
        failed.unwrap_err();
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 0);
        let asleep = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_sleep%')";
        wait_until(&second_pool(database).await, asleep).await;
    });
}

#[test]
fn the_url_can_set_the_interval_at_which_the_server_checks_its_client() {
    on_a_database(async |database| {
        for (url, expected) in [
            (database.url().to_owned(), "250ms"),
            (with(database, "options=-c%20client_connection_check_interval%3D7s"), "7s"),
        ] {
            let queue = PGMQueue::connect(&url).await.unwrap();
            let shown = sqlx::query_scalar::<_, String>("SHOW client_connection_check_interval");
            assert_eq!(shown.fetch_one(queue.pool()).await.unwrap(), expected);
        }
    });
}

#[test]
fn all_futures_can_be_spawned() {
    on_a_database(async |database| {
        let queue = PGMQueue::connect(database.url()).await.unwrap();
        queue.enable_notify("q").await.unwrap();
        let mut listener = queue.listen(&["q"]).await.unwrap();
        let notified = tokio::spawn(async move { listener.next_timeout(FOREVER).await });
        let sent = tokio::spawn(async move {
            let id = queue.transaction(async |transaction| {
                sqlx::query("SELECT 1").execute(&mut **transaction).await?;
                queue.with(transaction).send("q", &1).await
            });
            let id = id.await?;
            let mut session = queue.session().await?;
            queue.with(&mut session).delete("q", id).await
        });
        assert!(sent.await.unwrap().unwrap());
        assert!(notified.await.unwrap().unwrap().is_some());
    });
}

#[test]
fn a_dropped_operation_leaves_the_pool_usable() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        queue.send_batch("q", &vec!["x".repeat(10_000); 100]).await.unwrap();
        for pause in 0..20 {
            let peek = queue.peek::<RawJson>("q", 100);
            // Drops the operation before it is sent, while it waits, or amid the rows.
            let _ = tokio::time::timeout(Duration::from_micros(pause * 200), peek).await;
            assert_eq!(queue.peek::<String>("q", 1).await.unwrap().len(), 1);
        }
    });
}

/// A queue with one idle connection.
async fn idle(url: String) -> PGMQueue {
    let queue = PGMQueue::builder().url(url).pool_size(1).connect().await.unwrap();
    queue.session().await.unwrap().release().await;
    queue
}

/// Polls a future for a moment, and drops it while it waits for the server.
async fn drop_in_flight<T>(work: impl Future<Output = Result<T, Error>>) {
    let done = tokio::time::timeout(Duration::from_millis(200), work).await;
    assert!(done.is_err(), "the server has answered");
}

#[test]
fn a_transaction_that_is_dropped_while_it_begins_swallows_no_later_operation() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = idle(url).await;
        relay.hold();
        drop_in_flight(queue.transaction(async |transaction| queue.with(transaction).send("q", &0).await))
            .await;
        relay.release();
        queue.send("q", &1).await.unwrap();
        let seen = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pgmq.q_q");
        assert_eq!(seen.fetch_one(&second_pool(database).await).await.unwrap(), 1);
    });
}

#[test]
fn an_operation_that_is_dropped_while_its_transaction_begins_swallows_no_later_statement() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = PGMQueue::connect(&format!("{url}&statement-cache-capacity=0")).await.unwrap();
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        relay.hold();
        drop_in_flight(queue.with(&mut connection).send("q", &0)).await;
        relay.release();
        sqlx::query("SELECT pgmq.send('q', '1')").execute(&mut connection).await.unwrap();
        let seen = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pgmq.q_q");
        assert_eq!(seen.fetch_one(&second_pool(database).await).await.unwrap(), 1);
    });
}

#[test]
fn a_dropped_operation_frees_its_place_in_the_pool_although_the_server_is_silent() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = idle(url).await;
        relay.hold();
        drop_in_flight(queue.send("q", &0)).await;
        // The pool makes a new connection, which gets answers.
        queue.send("q", &1).await.unwrap();
    });
}
