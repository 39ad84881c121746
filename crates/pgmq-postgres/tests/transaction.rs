//! Transactions of sessions: the driver's, and what this crate adds.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use pgmq_postgres::postgres::error::SqlState;
use pgmq_postgres::{PGMQueue, Session};
use pgmq_test_server::{Database, Server};

fn queue_on(database: &Database) -> PGMQueue {
    let builder = PGMQueue::builder().url(database.url()).pool_size(1).prepared_statements(true);
    let queue = builder.connect().unwrap();
    queue.create_queue("q").unwrap();
    queue
}

/// How many statements that send are prepared on a session.
fn prepared(session: &mut Session) -> i64 {
    let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT pgmq.send%'";
    session.query_typed(count, &[]).unwrap().first().unwrap().get(0)
}

#[test]
fn a_transaction_of_a_session_is_the_drivers_and_more() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let queue = queue_on(&database);
    let mut session = queue.session().unwrap();

    // What stays prepared serves in it, and in one that is in it.
    let mut transaction = session.transaction().unwrap();
    queue.with(&mut transaction).send("q", &1).unwrap();
    let mut savepoint = transaction.savepoint("here").unwrap();
    queue.with(&mut savepoint).send("q", &2).unwrap();
    savepoint.commit().unwrap();
    let mut inner = transaction.transaction().unwrap();
    queue.with(&mut inner).send("q", &3).unwrap();
    inner.rollback().unwrap();
    transaction.commit().unwrap();
    assert_eq!(prepared(&mut session), 1);

    // To the driver's own, it is not known.
    let mut transaction = session.build_transaction().start().unwrap();
    queue.with(&mut transaction).send("q", &4).unwrap();
    transaction.commit().unwrap();
    assert_eq!(prepared(&mut session), 1);
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);

    // One that has failed cannot be committed.
    let mut transaction = session.transaction().unwrap();
    queue.with(&mut transaction).send("q", &5).unwrap();
    transaction.batch_execute("SELECT 1 / 0").unwrap_err();
    let error = transaction.commit().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);

    // One that is dropped is rolled back.
    let mut transaction = session.transaction().unwrap();
    queue.with(&mut transaction).send("q", &6).unwrap();
    drop(transaction);
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);
}
