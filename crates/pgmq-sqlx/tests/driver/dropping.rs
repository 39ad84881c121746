//! Futures, sessions and listeners that are dropped outside their runtime, or after its end.

use std::time::Duration;

use pgmq_sqlx::{Error, PGMQueue, PollOptions, RawJson};
use pgmq_test_server::Database;
use tokio::runtime::Runtime;

use crate::support::{Relay, outside_of_runtimes, runtime, second_pool, wait_until};

const FOREVER: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(200);
/// Longer than any operation takes, and shorter than the timeouts of the pool.
const SOON: Duration = Duration::from_secs(8);

/// A queue with a single connection.
async fn connect(database: &Database) -> PGMQueue {
    PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap()
}

/// Polls a future for a moment, and returns `true` if it still waits.
fn waits<T>(runtime: &Runtime, work: impl Future<Output = Result<T, Error>>) -> bool {
    let done = runtime.block_on(async { tokio::time::timeout(SHORT, work).await });
    done.is_err()
}

/// Polls a future for a moment, in which it does not end.
fn begin<T>(runtime: &Runtime, work: impl Future<Output = Result<T, Error>>) {
    assert!(waits(runtime, work), "the work waits for the server");
}

/// Drops a call outside its runtime after each answer of the server for which it waits.
fn drop_after_each_answer<T, F>(runtime: &Runtime, relay: &Relay, call: impl Fn() -> F)
where
    F: Future<Output = Result<T, Error>>,
{
    for answers in 0.. {
        relay.hold_after(answers);
        let mut call = Box::pin(call());
        let waits = waits(runtime, call.as_mut());
        drop(call);
        relay.release();
        if !waits {
            assert!(answers > 3, "the call has waited for {answers} answers only");
            return;
        }
    }
}

/// Asserts that the only place in the pool is free.
fn assert_usable(runtime: &Runtime, queue: &PGMQueue) {
    let sent = runtime.block_on(async { tokio::time::timeout(SOON, queue.send("q", &1)).await });
    sent.unwrap().unwrap();
}

/// Waits until the server has ended all sessions of the test, on another runtime.
fn wait_until_no_session_is_left(database: &Database) {
    runtime().block_on(async {
        let none = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')";
        wait_until(&second_pool(database).await, none).await;
    });
}

#[test]
fn a_listener_that_is_dropped_outside_a_runtime_closes_its_connection() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let listener = runtime.block_on(async {
            let queue = connect(database).await;
            let listener = queue.listen(&["q"]).await.unwrap();
            queue.close().await;
            listener
        });
        drop(listener);
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_listener_that_is_dropped_after_its_runtime_closes_its_connection() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let mut listener = runtime.block_on(async {
            let queue = connect(database).await;
            queue.listen(&["q"]).await.unwrap()
        });
        assert_eq!(runtime.block_on(listener.next_timeout(SHORT)).unwrap(), None);
        drop(runtime);
        drop(listener);
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_listener_that_is_dropped_amid_its_wait_outside_a_runtime_closes_its_connection() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let (queue, mut listener) = runtime.block_on(async {
            let queue = connect(database).await;
            let listener = queue.listen(&["q"]).await.unwrap();
            (queue, listener)
        });
        let mut wait = Box::pin(async move { listener.next_timeout(FOREVER).await });
        begin(&runtime, wait.as_mut());
        drop(wait);
        drop((queue, runtime));
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_call_of_listen_that_is_dropped_outside_a_runtime_closes_its_connection() {
    outside_of_runtimes(|database| {
        let (relay, url) = Relay::start(database);
        let runtime = runtime();
        let queue = runtime.block_on(connect(database)).with_listen_url(&url);
        drop_after_each_answer(&runtime, &relay, || queue.listen(&["q"]));
        drop((queue, runtime));
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_poll_that_is_dropped_outside_its_runtime_frees_its_place_in_the_pool() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let mut poll = Box::pin(queue.read_with_poll::<RawJson>("q", 30, 10, &options));
        begin(&runtime, poll.as_mut());
        drop(poll);
        assert_usable(&runtime, &queue);
        let message = runtime.block_on(queue.read::<i32>("q", 30)).unwrap().unwrap();
        assert_eq!(message.read_ct, 1, "the poll has claimed nothing");
    });
}

#[test]
fn a_poll_that_is_dropped_after_its_runtime_stops() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let mut poll = Box::pin(queue.read_with_poll::<RawJson>("q", 30, 10, &options));
        begin(&runtime, poll.as_mut());
        drop(runtime);
        drop(poll);
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_transaction_that_is_dropped_outside_its_runtime_is_rolled_back() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let mut transaction = Box::pin(queue.transaction(async |transaction| {
            queue.with(transaction).send("q", &0).await?;
            std::future::pending::<Result<(), Error>>().await
        }));
        begin(&runtime, transaction.as_mut());
        drop(transaction);
        assert_usable(&runtime, &queue);
        assert_eq!(runtime.block_on(queue.metrics("q")).unwrap().queue_length, 1);
    });
}

#[test]
fn a_session_can_be_dropped_outside_its_runtime() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let session = runtime.block_on(queue.session()).unwrap();
        drop(session);
        assert_usable(&runtime, &queue);
        // On a thread without a runtime, while the runtime goes on.
        let session = runtime.block_on(queue.session()).unwrap();
        std::thread::spawn(move || drop(session)).join().unwrap();
        assert_usable(&runtime, &queue);
    });
}

#[test]
fn a_session_that_is_dropped_after_its_runtime_closes_its_connection() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let session = runtime.block_on(queue.session()).unwrap();
        drop(runtime);
        drop(session);
        assert_eq!(queue.pool().size(), 0, "the place in the pool is free");
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_session_of_a_pool_with_a_minimum_can_be_dropped_outside_its_runtime() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let (queue, session) = runtime.block_on(async {
            let options = sqlx::postgres::PgPoolOptions::new().min_connections(1).max_connections(1);
            let queue = PGMQueue::from(options.connect(database.url()).await.unwrap());
            let session = queue.session().await.unwrap();
            (queue, session)
        });
        drop(session);
        assert_usable(&runtime, &queue);
        let mut session = runtime.block_on(queue.session()).unwrap();
        session.close_on_drop();
        drop(runtime);
        drop(session);
        drop(queue);
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_call_of_connect_can_be_dropped_outside_its_runtime() {
    outside_of_runtimes(|database| {
        let (relay, url) = Relay::start(database);
        let runtime = runtime();
        drop_after_each_answer(&runtime, &relay, || PGMQueue::connect(&url));
        drop(runtime);
        wait_until_no_session_is_left(database);
    });
}

#[test]
fn a_queue_can_be_dropped_outside_its_runtime() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        let queue = runtime.block_on(connect(database));
        let other = runtime.block_on(connect(database));
        drop(queue);
        drop(runtime);
        drop(other);
        wait_until_no_session_is_left(database);
    });
}
