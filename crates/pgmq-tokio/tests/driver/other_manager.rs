//! A pool with another manager than this crate's.

use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use pgmq_tokio::bb8::Pool;
use pgmq_tokio::tokio_postgres::NoTls;
use pgmq_tokio::{ErrorKind, PGMQueue, PollOptions, RawJson};

use crate::support::on_a_database;

#[test]
fn a_queue_works_over_a_pool_with_another_manager() {
    on_a_database(async |database| {
        let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(2).test_on_check_out(false).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool.clone());
        queue.init().await.unwrap();
        let sent = queue.transaction(async |transaction| queue.with(transaction).send("q", &1).await).await;
        let mut session = queue.session().await.unwrap();
        let message = queue.with(&mut session).read::<i32>("q", 30).await.unwrap().unwrap();
        assert_eq!((message.msg_id, message.message), (sent.unwrap(), 1));
        drop(session);
        queue.close().await;
        assert!(pool.get().await.is_ok(), "closing the queue leaves the user's pool open");
    });
}

#[test]
fn a_connection_whose_poll_was_cancelled_is_not_used_again() {
    on_a_database(async |database| {
        let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(1).test_on_check_out(false).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        let process = async || {
            let session = queue.session().await.unwrap();
            session.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0)
        };
        let before = process().await;
        let options = PollOptions::new().timeout(Duration::from_secs(60));
        let poll = queue.read_with_poll::<RawJson>("q", 30, 1, &options);
        tokio::time::timeout(Duration::from_millis(200), poll).await.unwrap_err();
        assert_ne!(process().await, before);
        queue.send("q", &1).await.unwrap();
    });
}

const MAKE_READ_ONLY: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";

#[test]
fn a_connection_that_refuses_writes_is_not_used_again() {
    on_a_database(async |database| {
        let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(1).test_on_check_out(false).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        let leave = async |sql: &str| {
            let session = queue.session().await.unwrap();
            session.batch_execute(sql).await.unwrap();
        };
        let make_read_only = async || leave(MAKE_READ_ONLY).await;
        make_read_only().await;
        queue.send("q", &1).await.unwrap();

        // The server refuses some statements in a failed transaction, and to another role.
        leave("BEGIN READ ONLY").await;
        queue.send("q", &1).await.unwrap();
        queue.send("q", &1).await.unwrap();
        let role = format!("guest_of_{}", database.name());
        leave(&format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA pgmq TO {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO {role}; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA pgmq TO {role}; SET ROLE {role}; {MAKE_READ_ONLY}"
        ))
        .await;
        queue.send("q", &1).await.unwrap();
        leave(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;

        make_read_only().await;
        let send =
            async || queue.transaction(async |transaction| queue.with(transaction).send("q", &2).await).await;
        assert_eq!(send().await.unwrap_err().kind(), ErrorKind::ReadOnly);
        send().await.unwrap();
    });
}

#[test]
fn a_connection_that_stays_read_only_is_replaced_once() {
    on_a_database(async |database| {
        let name = database.name();
        database.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).unwrap();
        let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(1).test_on_check_out(false).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        assert_eq!(queue.send("q", &1).await.unwrap_err().kind(), ErrorKind::ReadOnly);
        let reset = format!("ALTER DATABASE {name} SET default_transaction_read_only = off");
        database.execute(&format!("BEGIN READ WRITE; {reset}; COMMIT")).unwrap();
        queue.send("q", &1).await.unwrap();
    });
}
