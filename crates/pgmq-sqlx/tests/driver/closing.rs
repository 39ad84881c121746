//! Connections that are released or closed while the server is silent.

use std::time::{Duration, Instant};

use pgmq_sqlx::{Builder, PGMQueue, PollOptions, RawJson};
use pgmq_test_server::Database;

use crate::support::{Relay, on_a_database, outside_of_runtimes, runtime, second_pool, wait_until};

const LIMIT: Duration = Duration::from_secs(1);
/// Long enough for one attempt after `LIMIT`, and shorter than the defaults of the timeouts.
const SOON: Duration = Duration::from_secs(8);

fn builder(url: &str) -> Builder {
    PGMQueue::builder().url(url).pool_size(1).connect_timeout(LIMIT).acquire_timeout(SOON)
}

#[test]
fn a_session_that_is_released_on_a_silent_connection_frees_its_place_in_the_pool() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = builder(&url).connect().await.unwrap();
        let session = queue.session().await.unwrap();
        relay.hold();
        drop(session);
        // The pool makes a new connection, which gets answers.
        queue.send("q", &1).await.unwrap();
    });
}

#[test]
fn an_operation_frees_its_place_in_the_pool_although_the_server_falls_silent_after_its_answer() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = builder(&url).connect().await.unwrap();
        queue.send("q", &1).await.unwrap();
        // On this thread, the task that releases the connection has not run yet.
        relay.hold();
        queue.send("q", &2).await.unwrap();
        queue.transaction(async |transaction| queue.with(transaction).send("q", &3).await).await.unwrap();
        relay.hold();
        queue.send("q", &4).await.unwrap();
    });
}

#[test]
fn a_session_whose_poll_goes_on_frees_its_place_in_the_pool() {
    on_a_database(async |database| {
        let queue = builder(database.url()).connect().await.unwrap();
        let mut session = queue.session().await.unwrap();
        let forever = Duration::from_secs(600);
        let options = PollOptions::new().timeout(forever).interval(forever / 10);
        let bound = queue.with(&mut session);
        let poll = bound.read_with_poll::<RawJson>("q", 30, 1, &options);
        assert!(tokio::time::timeout(LIMIT / 5, poll).await.is_err());
        drop(bound);
        drop(session);
        queue.send("q", &1).await.unwrap();
        assert!(queue.read::<i32>("q", 30).await.unwrap().is_some(), "the poll has claimed the message");
    });
}

/// Waits until the server has no session of the test except for the given number.
async fn wait_for_sessions(database: &Database, left: u32) {
    let query = format!(
        "SELECT count(*) = {left} FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    );
    wait_until(&second_pool(database).await, query.leak()).await;
}

#[test]
fn close_waits_no_longer_than_the_connect_timeout_for_sessions_in_use() {
    on_a_database(async |database| {
        let queue = builder(database.url()).pool_size(3).connect().await.unwrap();
        let sessions = [queue.session().await.unwrap(), queue.session().await.unwrap()];
        let in_use = queue.session().await.unwrap();
        for session in sessions {
            session.release().await;
        }
        let started = Instant::now();
        queue.close().await;
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        wait_for_sessions(database, 1).await;
        drop(in_use);
        wait_for_sessions(database, 0).await;
    });
}

#[test]
fn close_waits_no_longer_than_the_connect_timeout_for_a_silent_server() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let queue = builder(&url).connect().await.unwrap();
        let session = queue.session().await.unwrap();
        relay.hold();
        drop(session);
        // The task that releases the connection begins to wait for the server.
        tokio::task::yield_now().await;
        let started = Instant::now();
        queue.close().await;
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        wait_for_sessions(database, 0).await;
    });
}

#[test]
fn nothing_is_left_on_the_server_if_the_program_ends_after_close() {
    outside_of_runtimes(|database| {
        let runtime = runtime();
        runtime.block_on(async {
            let queue = builder(database.url()).pool_size(3).connect().await.unwrap();
            let options = PollOptions::new().timeout(Duration::from_secs(600));
            let poll = queue.read_with_poll::<RawJson>("q", 30, 1, &options);
            let transaction = queue.transaction(async |transaction| {
                sqlx::query("SELECT pg_sleep(600)").execute(&mut **transaction).await.map(drop)?;
                Ok::<_, pgmq_sqlx::Error>(())
            });
            let both = futures_util::future::join(poll, transaction);
            assert!(tokio::time::timeout(LIMIT / 5, both).await.is_err());
            queue.close().await;
        });
        drop(runtime);
        self::runtime().block_on(wait_for_sessions(database, 0));
    });
}
