//! Transactions whose closure leaves a statement running.

use std::time::{Duration, Instant};

use pgmq_tokio::{Error, PGMQueue, PollOptions, RawJson};
use tokio::time::timeout;

use crate::fake_server::{FakeServer, message};
use crate::support::{on_a_database, runtime, through_a_proxy};

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
        let failed = queue.transaction(async |transaction| {
            let queue = queue.with(transaction);
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
        let failed = queue.transaction(async |transaction| {
            let poll = queue.with(transaction);
            let poll = poll.read_with_poll::<RawJson>("q", 30, 1, &options);
            timeout(SHORT, poll).await.map(drop).map_err(|_| TooLate)
        });
        // Over while the rollback waits behind the poll.
        let _ = timeout(SHORT * 2, failed).await;
        let sent = timeout(Duration::from_secs(5), queue.send("q", &2)).await;
        assert_eq!(sent.expect("the session is free again").unwrap(), 1);
    });
}

#[test]
fn a_failed_transaction_keeps_its_connection_and_asks_once_if_it_accepts_writes() {
    on_a_database(async |database| {
        let (proxy, builder) = through_a_proxy(database);
        let queue = builder.connect().await.unwrap();
        queue.send("q", &1).await.unwrap();
        for _ in 0..3 {
            proxy.reset();
            let failed = queue.transaction(async |transaction| {
                queue.with(transaction).send("q", &1).await?;
                Err::<(), _>(TooLate)
            });
            failed.await.unwrap_err();
            assert_eq!(proxy.round_trips(), 4, "{:?}", proxy.flights());
        }
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
        assert_eq!(queue.pool().state().statistics.connections_created, 0);
    });
}

#[test]
fn a_server_that_falls_silent_after_a_rollback_leaves_no_connection_open() {
    let answer = |command: &[u8], state: &[u8]| [message(b'C', command), message(b'Z', state)].concat();
    let server = FakeServer::answering(vec![answer(b"BEGIN\0", b"T"), answer(b"ROLLBACK\0", b"I")]);
    runtime().block_on(async {
        let queue = server.builder().connect_timeout(Duration::from_secs(1)).connect().await.unwrap();
        let failed = queue.transaction(async |_| Err::<(), _>(TooLate));
        failed.await.unwrap_err();
        assert_eq!(queue.pool().state().connections, 0);
        server.until_logouts(1).await;
    });
}

#[test]
fn everything_can_be_spawned() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<PGMQueue>();
    is_shared::<pgmq_tokio::Listener>();
    is_shared::<Error>();
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let shared = queue.clone();
        let task = tokio::spawn(async move {
            shared
                .transaction(async |transaction| {
                    let row = transaction.query_one("SELECT 1", &[]).await?;
                    shared.with(transaction).send("q", &row.get::<_, i32>(0)).await
                })
                .await
        });
        assert_eq!(task.await.unwrap().unwrap(), 1);
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 1);
    });
}
