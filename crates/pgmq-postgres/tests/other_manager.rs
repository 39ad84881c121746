//! A pool with another manager than this crate's.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use pgmq_postgres::postgres::NoTls;
use pgmq_postgres::r2d2::Pool;
use pgmq_postgres::{ErrorKind, PGMQueue};
use pgmq_test_server::Server;
use r2d2_postgres::PostgresConnectionManager;

#[test]
fn a_queue_works_over_a_pool_with_another_manager() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
    let pool = Pool::builder().max_size(2).test_on_check_out(false).build(manager).unwrap();
    let queue = PGMQueue::from(pool.clone());
    queue.init().unwrap();
    queue.create_queue("q").unwrap();
    let id = queue.transaction(|transaction| queue.with(transaction).send("q", &1)).unwrap();
    let mut session = queue.session().unwrap();
    let message = queue.with(&mut session).read::<i32>("q", 30).unwrap().unwrap();
    assert_eq!((message.msg_id, message.message), (id, 1));
    drop(session);
    queue.close();
    assert!(pool.get().is_ok(), "closing the queue leaves the user's pool open");
}

#[test]
fn a_session_that_refuses_writes_is_replaced_whatever_its_manager_notices() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
    let queue = PGMQueue::from(Pool::builder().max_size(1).build(manager).unwrap());
    let leave_read_only = || {
        let mut session = queue.session().unwrap();
        session.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY").unwrap();
    };
    let send = || queue.transaction(|transaction| queue.with(transaction).send("q", &1));

    leave_read_only();
    queue.send("q", &1).unwrap();
    // The server refuses to end a session in a failed transaction.
    queue.session().unwrap().batch_execute("BEGIN READ ONLY").unwrap();
    queue.send("q", &1).unwrap();
    queue.send("q", &1).unwrap();
    leave_read_only();
    assert_eq!(send().unwrap_err().kind(), ErrorKind::ReadOnly);
    send().unwrap();
}
