//! Transactions whose closure leaves a statement running.

use std::time::{Duration, Instant};

use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use pgmq_diesel_async::{Error, PGMQueue, PollOptions, Pool, RawJson, bb8};
use tokio::time::timeout;

use crate::support::{NO_POLL, on_a_database, wait_until_within};

const SHORT: Duration = Duration::from_millis(200);
const FOREVER: Duration = Duration::from_secs(600);

fn forever() -> PollOptions {
    PollOptions::new().timeout(FOREVER).interval(FOREVER / 10)
}

#[derive(Debug)]
struct TooLate;

impl From<Error> for TooLate {
    fn from(error: Error) -> Self {
        panic!("{error}")
    }
}

#[test]
fn a_transaction_whose_closure_drops_a_poll_and_fails_is_cancelled() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let options = forever();
        let started = Instant::now();
        let failed = queue.transaction(async |connection| {
            let queue = queue.with(connection);
            queue.send("q", &1).await?;
            queue.pop::<i32>("q").await?;
            let poll = queue.read_with_poll::<RawJson>("q", 30, 1, &options);
            timeout(SHORT, poll).await.map(drop).map_err(|_| TooLate)
        });
        failed.await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let sent = timeout(Duration::from_secs(5), queue.send("q", &2)).await;
        assert_eq!(sent.expect("the session is free again").unwrap(), 2);
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    });
}

#[test]
fn a_transaction_that_is_dropped_while_it_rolls_back_is_cancelled() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let options = forever();
        let failed = queue.transaction(async |connection| {
            let poll = queue.with(connection);
            let poll = poll.read_with_poll::<RawJson>("q", 30, 1, &options);
            timeout(SHORT, poll).await.map(drop).map_err(|_| TooLate)
        });
        // Over while the rollback waits behind the poll.
        let _ = timeout(SHORT * 2, failed).await;
        let sent = timeout(Duration::from_secs(5), queue.send("q", &2)).await;
        assert_eq!(sent.expect("the session is free again").unwrap(), 1);
        wait_until_within(database, NO_POLL, Duration::from_secs(5)).await;
    });
}

#[test]
fn a_savepoint_whose_closure_drops_a_poll_and_fails_keeps_diesels_test_transaction() {
    on_a_database(async |database| {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.custom_setup = Box::new(|url| {
            let url = url.to_owned();
            Box::pin(async move {
                let mut connection = AsyncPgConnection::establish(&url).await?;
                let begun = connection.begin_test_transaction().await;
                begun.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(connection)
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(database.url(), config);
        let pool: Pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        queue.send("q", &1).await.unwrap();
        let failed = queue.transaction(async |connection| {
            queue.with(connection).send("q", &2).await?;
            let poll = queue.with(connection);
            let poll = poll.pop::<RawJson>("q");
            timeout(Duration::ZERO, poll).await.map(drop).map_err(|_| TooLate)
        });
        failed.await.unwrap_err();
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
        assert_eq!(queue.pool().state().statistics.connections_closed_broken, 0);
    });
}

#[test]
fn everything_is_shared_among_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<PGMQueue>();
    is_shared::<pgmq_diesel_async::Listener>();
    is_shared::<Error>();
}
