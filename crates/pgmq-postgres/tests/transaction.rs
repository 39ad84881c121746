//! Transactions of sessions: those of the driver, and the additions of this crate.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use pgmq_postgres::postgres::error::SqlState;
use pgmq_postgres::{PGMQueue, Session};
use pgmq_test_server::{Database, Server};

fn queue_on(database: &Database) -> PGMQueue {
    let builder = PGMQueue::builder().url(database.url()).pool_size(1).prepared_statements(true);
    let queue = builder.connect().unwrap();
    queue.create_queue("q").unwrap();
    queue
}

/// The number of prepared statements of a session that send messages.
fn prepared(session: &mut Session) -> i64 {
    let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT pgmq.send%'";
    session.query_typed(count, &[]).unwrap().first().unwrap().get(0)
}

#[test]
fn a_sessions_transaction_uses_cached_statements_and_reports_a_failed_commit() {
    let server = Server::obtain().unwrap_or_else(|error| panic!("{error:?}"));
    let database = server.create_database().unwrap();
    let queue = queue_on(&database);
    let mut session = queue.session().unwrap();

    // A transaction uses the cached statements, and so do a savepoint and a nested transaction in it.
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

    // The driver's own transaction has no access to the cache.
    let mut transaction = session.build_transaction().start().unwrap();
    queue.with(&mut transaction).send("q", &4).unwrap();
    transaction.commit().unwrap();
    assert_eq!(prepared(&mut session), 1);
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);

    // Committing a failed transaction is an error.
    let mut transaction = session.transaction().unwrap();
    queue.with(&mut transaction).send("q", &5).unwrap();
    transaction.batch_execute("SELECT 1 / 0").unwrap_err();
    let error = transaction.commit().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);

    // A dropped transaction is rolled back.
    let mut transaction = session.transaction().unwrap();
    queue.with(&mut transaction).send("q", &6).unwrap();
    drop(transaction);
    assert_eq!(queue.with(&mut session).metrics("q").unwrap().queue_length, 3);
}
