//! Inside a Tokio runtime, where the driver cannot run its own.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::time::{Duration, Instant};

use pgmq_postgres::r2d2::Pool;
use pgmq_postgres::{ErrorKind, Manager, PGMQueue};
use pgmq_test_server::{Database, Server};
use tokio::runtime::{Builder, Runtime};

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread().build().unwrap(), Builder::new_multi_thread().build().unwrap()]
}

/// Runs `test` on a database, and asserts that it leaves no connection behind.
fn leaves_no_connection(test: impl Fn(&Database, &Runtime)) {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    for runtime in runtimes() {
        let database = server.create_database().unwrap();
        test(&database, &runtime);
        let others = "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()); END $$";
        let started = Instant::now();
        while let Err(error) = database.execute(others) {
            assert!(started.elapsed() < Duration::from_secs(20), "connections are left: {error}");
        }
    }
}

#[test]
fn queues_and_sessions_can_be_dropped() {
    leaves_no_connection(|database, runtime| {
        let queue = PGMQueue::connect(database.url()).unwrap();
        queue.create_queue("q").unwrap();
        let (first, second) = (queue.session().unwrap(), queue.session().unwrap());
        runtime.block_on(async { drop(first) });
        queue.send("q", &1).unwrap();
        runtime.block_on(async {
            drop(queue);
            drop(second);
        });

        let queue = PGMQueue::connect(database.url()).unwrap();
        runtime.block_on(async { queue.close() });
        let task = PGMQueue::connect(database.url()).unwrap();
        runtime.block_on(runtime.spawn(async { drop(task) })).unwrap();
    });
}

#[test]
fn a_pool_of_the_users_can_be_dropped() {
    leaves_no_connection(|database, runtime| {
        let pool = Pool::builder().max_size(3).build(Manager::new(database.url()).unwrap()).unwrap();
        let queue = PGMQueue::from(pool);
        let mut lost = queue.session().unwrap();
        lost.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").unwrap_err();
        runtime.block_on(async {
            drop(lost);
            drop(queue);
        });
    });
}

#[test]
fn a_transaction_can_be_dropped_and_is_rolled_back() {
    leaves_no_connection(|database, runtime| {
        let queue = PGMQueue::connect(database.url()).unwrap();
        queue.create_queue("q").unwrap();
        let mut session = queue.session().unwrap();
        let mut transaction = session.transaction().unwrap();
        queue.with(&mut transaction).send("q", &1).unwrap();
        let mut savepoint = transaction.savepoint("here").unwrap();
        queue.with(&mut savepoint).send("q", &2).unwrap();
        runtime.block_on(async { drop(savepoint) });
        assert_eq!(queue.with(&mut transaction).metrics("q").unwrap().queue_length, 1);
        runtime.block_on(async { drop(transaction) });
        assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 0);
    });
}

#[test]
fn a_listener_can_be_dropped() {
    leaves_no_connection(|database, runtime| {
        let queue = PGMQueue::connect(database.url()).unwrap();
        let (idle, mut waiting) = (queue.listen(&["q"]).unwrap(), queue.listen(&["q"]).unwrap());
        assert_eq!(waiting.next_timeout(Duration::from_millis(10)).unwrap(), None);
        runtime.block_on(async {
            drop(idle);
            drop(waiting);
        });
    });
}

#[test]
fn an_operation_inside_async_code_fails_with_advice() {
    leaves_no_connection(|database, runtime| {
        let queue = PGMQueue::connect(database.url()).unwrap();
        queue.create_queue("q").unwrap();
        let mut session = queue.session().unwrap();
        let mut listener = queue.listen(&["q"]).unwrap();
        let errors = runtime.block_on(async {
            [
                queue.send("q", &1).unwrap_err(),
                queue.session().map(drop).unwrap_err(),
                queue.transaction(|_| Ok::<_, pgmq_postgres::Error>(())).unwrap_err(),
                queue.with(&mut session).send("q", &1).unwrap_err(),
                listener.next_timeout(Duration::ZERO).unwrap_err(),
            ]
        });
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.to_string().contains("spawn_blocking"), "{error}");
        }
        // Blocking is allowed there.
        let elsewhere = queue.clone();
        runtime.block_on(runtime.spawn_blocking(move || elsewhere.send("q", &1).unwrap())).unwrap();
    });
}
