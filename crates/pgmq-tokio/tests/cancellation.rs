//! What becomes of an operation whose future is dropped.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::{Duration, Instant};

use pgmq_tokio::{PGMQueue, PollOptions, RawJson};
use tests_common::server::Server;

const FOREVER: Duration = Duration::from_secs(600);

#[test]
fn a_poll_that_is_given_up_stops_and_claims_nothing() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        queue.create_queue("q").await.unwrap();

        let started = Instant::now();
        let options = PollOptions::new().timeout(FOREVER).interval(FOREVER / 10);
        let poll = queue.read_with_poll::<RawJson>("q", 30, 10, &options);
        let given_up = tokio::time::timeout(Duration::from_millis(200), poll).await;
        assert!(given_up.is_err(), "there was nothing to read");

        // The only connection comes back long before the poll would have ended, and works.
        let id = queue.send("q", &1).await.unwrap();
        let message = queue.read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, 1));
        assert!(started.elapsed() < FOREVER / 20);
    });
    runtime.block_on(async { tokio::task::yield_now().await });
}
