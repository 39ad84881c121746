//! Queues, futures and listeners that outlive the runtime that they were used on.

use std::future::poll_fn;
use std::net::TcpListener;
use std::pin::pin;
use std::time::{Duration, Instant};

use pgmq_test_server::Database;
use pgmq_test_server::proxy::Proxy;
use pgmq_tokio::{Notification, NotifyOptions, PGMQueue, PollOptions, RawJson};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::support::{LIMIT, database, runtime, through_a_proxy, wait_until};

const SHORT: Duration = Duration::from_millis(200);
const FOREVER: Duration = Duration::from_secs(600);

fn forever() -> PollOptions {
    PollOptions::new().timeout(FOREVER).interval(FOREVER / 10)
}

const NO_POLL: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%read_with_poll%')";

const NO_SESSION: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND application_name = 'closing')";

fn connect(runtime: &Runtime, database: &Database) -> PGMQueue {
    let builder = PGMQueue::builder().url(database.url()).pool_size(1).application_name("closing");
    runtime.block_on(builder.connect()).unwrap()
}

#[test]
fn a_poll_that_is_dropped_before_close_stops_although_the_runtime_ends() {
    let database = database();
    let runtime = runtime();
    let queue = connect(&runtime, &database);
    runtime.block_on(async {
        let options = forever();
        assert!(timeout(SHORT, queue.read_with_poll::<RawJson>("q", 30, 1, &options)).await.is_err());
        queue.close().await;
    });
    drop(runtime);
    wait_until(&database, NO_POLL, Duration::from_secs(2));
    wait_until(&database, NO_SESSION, Duration::from_secs(2));
}

#[test]
fn a_transaction_that_is_dropped_before_close_stops_although_the_runtime_ends() {
    let database = database();
    let runtime = runtime();
    let queue = connect(&runtime, &database);
    runtime.block_on(async {
        let work = queue.transaction(async |transaction| {
            transaction.batch_execute("LOCK TABLE pgmq.q_q; SELECT pg_sleep(600)").await?;
            Ok::<_, pgmq_tokio::Error>(())
        });
        assert!(timeout(SHORT, work).await.is_err());
        queue.close().await;
    });
    drop(runtime);
    wait_until(&database, NO_SESSION, Duration::from_secs(2));
}

#[test]
fn close_waits_until_the_connections_have_ended() {
    let database = database();
    let runtime = runtime();
    let queue = connect(&runtime, &database);
    runtime.block_on(async {
        queue.send("q", &1).await.unwrap();
        let listener = queue.listen(&["q"]).await.unwrap();
        drop(listener);
        queue.close().await;
        let metrics = tokio::runtime::Handle::current().metrics();
        // The task of the pool that closes idle connections ends at its next check.
        assert!(metrics.num_alive_tasks() <= 1, "{} tasks", metrics.num_alive_tasks());
    });
}

#[test]
fn close_waits_for_no_connection_of_a_clone_or_a_session() {
    let database = database();
    let runtime = runtime();
    let queue = connect(&runtime, &database);
    runtime.block_on(async {
        let (clone, session) = (queue.clone(), queue.session().await.unwrap());
        let started = Instant::now();
        queue.close().await;
        drop(session);
        clone.send("q", &1).await.unwrap();
        let session = clone.session().await.unwrap();
        clone.close().await;
        session.batch_execute("SELECT").await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}

#[test]
fn a_clone_of_the_pool_connects_after_the_queue_is_closed() {
    let database = database();
    let runtime = runtime();
    runtime.block_on(async {
        let builder = PGMQueue::builder().url(database.url()).pool_size(2);
        let queue = builder.acquire_timeout(Duration::from_secs(5)).connect().await.unwrap();
        let pool = queue.pool().clone();
        queue.close().await;
        let _first = pool.get().await.unwrap();
        let second = pool.get().await.unwrap();
        second.batch_execute("SELECT").await.unwrap();
    });
}

/// Polls a future until nothing is left to do at once, and drops it where no runtime is entered.
fn start_and_drop_outside<F: Future>(runtime: &Runtime, future: F) {
    let mut future = Box::pin(future);
    assert!(runtime.block_on(async { timeout(SHORT, future.as_mut()).await.is_err() }));
    drop(future);
}

#[test]
fn an_operation_that_is_dropped_outside_of_its_runtime_is_cancelled() {
    let database = database();
    let runtime = runtime();
    let queue = connect(&runtime, &database);
    let options = forever();
    start_and_drop_outside(&runtime, queue.read_with_poll::<RawJson>("q", 30, 1, &options));
    let send = async { timeout(LIMIT, queue.send("q", &1)).await };
    runtime.block_on(send).expect("the session is free again").unwrap();
    wait_until(&database, NO_POLL, LIMIT);

    start_and_drop_outside(
        &runtime,
        queue.transaction(async |transaction| {
            transaction.batch_execute("SELECT pg_sleep(600)").await?;
            Ok::<_, pgmq_tokio::Error>(())
        }),
    );
    let send = async { timeout(LIMIT, queue.send("q", &1)).await };
    runtime.block_on(send).expect("the session is free again").unwrap();
}

#[test]
fn an_operation_that_is_dropped_after_its_runtime_leaves_the_pool_usable() {
    let database = database();
    let first = runtime();
    let queue = connect(&first, &database);
    let options = forever();
    let mut poll = Box::pin(queue.read_with_poll::<RawJson>("q", 30, 1, &options));
    assert!(first.block_on(async { timeout(SHORT, poll.as_mut()).await.is_err() }));
    drop(first);
    drop(poll);
    let second = runtime();
    second.block_on(async { timeout(LIMIT, queue.send("q", &1)).await }).unwrap().unwrap();
}

/// A queue whose pool has to connect, through a proxy that is silent.
fn connecting(runtime: &Runtime, database: &Database, size: u32) -> (Proxy, PGMQueue) {
    let (proxy, builder) = through_a_proxy(database);
    let builder = builder.pool_size(size).acquire_timeout(Duration::from_secs(10));
    let queue = runtime.block_on(builder.connect()).unwrap();
    runtime.block_on(async {
        let session = queue.session().await.unwrap();
        proxy.cut();
        while !session.is_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    proxy.freeze();
    (proxy, queue)
}

#[test]
fn a_pool_whose_runtime_ends_while_it_connects_works_on_the_next_runtime() {
    for size in [1, 4] {
        let database = database();
        let first = runtime();
        let (proxy, queue) = connecting(&first, &database, size);
        // The connection is gone, so the pool connects, which the silent network delays.
        let sent = first.block_on(async { timeout(SHORT, queue.send("q", &1)).await });
        assert!(sent.is_err(), "the network is silent: {sent:?}");
        drop(first);
        proxy.thaw();
        let second = runtime();
        let started = Instant::now();
        for n in 0..5 {
            second.block_on(queue.send("q", &n)).unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(
            queue.pool().state().connections > 0,
            "the pool that the queue shows is the one that it uses"
        );
    }
}

#[test]
fn a_pool_whose_runtime_ends_before_it_begins_to_connect_works_on_the_next_runtime() {
    let database = database();
    let first = runtime();
    let (proxy, queue) = connecting(&first, &database, 1);
    {
        let mut send = pin!(queue.send("q", &1));
        // Polled once, so that the pool's task is spawned and not run.
        let is_ready =
            first.block_on(poll_fn(|cx| std::task::Poll::Ready(send.as_mut().poll(cx).is_ready())));
        assert!(!is_ready);
    }
    drop(first);
    proxy.thaw();
    let second = runtime();
    let started = Instant::now();
    second.block_on(queue.send("q", &1)).unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_pool_whose_runtime_ends_while_the_server_refuses_works_on_the_next_runtime() {
    let database = database();
    let first = runtime();
    let (proxy, queue) = connecting(&first, &database, 1);
    let port = proxy.addr().port();
    drop(proxy);
    let sent = first.block_on(async { timeout(SHORT, queue.send("q", &1)).await });
    assert!(sent.is_err(), "the port is closed: {sent:?}");
    drop(first);
    // Takes the port again, so that the next attempt is refused at once only if there is one.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let second = runtime();
    let accepted = std::thread::spawn(move || listener.accept().map(drop));
    let _ = second.block_on(async { timeout(Duration::from_secs(5), queue.send("q", &1)).await });
    assert!(accepted.is_finished(), "nothing has connected");
    accepted.join().unwrap().unwrap();
}

#[test]
fn a_listener_whose_runtime_has_ended_says_so() {
    let database = database();
    let first = runtime();
    let queue = connect(&first, &database);
    first.block_on(queue.enable_notify_with("q", &NotifyOptions::new())).unwrap();
    let mut listener = first.block_on(queue.listen(&["q"])).unwrap();
    drop(first);
    let second = runtime();
    second.block_on(async {
        for _ in 0..2 {
            let error = listener.next_timeout(FOREVER).await.unwrap_err();
            assert!(error.to_string().contains("runtime"), "{error}");
            assert!(!error.is_transient(), "{error}");
        }
        use futures_util::StreamExt;
        assert!(listener.next().await.unwrap().unwrap_err().to_string().contains("runtime"));
        assert!(listener.next().await.is_none(), "a loop over the stream ends");
        // The queue itself works on the next runtime.
        let mut listener = queue.listen(&["q"]).await.unwrap();
        queue.send("q", &1).await.unwrap();
        let next = listener.next_timeout(LIMIT).await.unwrap();
        assert_eq!(next, Some(Notification::inserted("q")));
    });
}
