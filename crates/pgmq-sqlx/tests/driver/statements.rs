//! Statements that stay prepared, and statements that do not.

use pgmq_sqlx::{ErrorKind, PGMQueue, RawJson};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::support::{on_a_database, with};

/// The number of statements that are prepared on the only connection of a pool, except for the one that
/// counts them.
async fn prepared(pool: &PgPool) -> i64 {
    let count =
        "SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared_statements%'";
    sqlx::query_scalar(count).persistent(false).fetch_one(pool).await.unwrap()
}

/// Runs operations of all kinds.
async fn run_all_kinds(queue: &PGMQueue) {
    let ids = queue.send_batch("q", &[1, 2, 3]).await.unwrap();
    assert_eq!(queue.read_batch::<i32>("q", 0, 3).await.unwrap().len(), 3);
    assert_eq!(queue.read_batch::<String>("q", 0, 3).await.unwrap_err().undecoded().len(), 3);
    assert!(queue.archive("q", ids[0]).await.unwrap());
    assert_eq!(queue.send("missing", &1).await.unwrap_err().kind(), ErrorKind::QueueNotFound);
    assert_eq!(queue.read_archive::<RawJson>("q", ids[0] - 1, 10).await.unwrap().len(), 1);
    let inside = queue.transaction(async |transaction| {
        let queue = queue.with(transaction);
        queue.send("q", &4).await?;
        queue.pop_batch::<i32>("q", 10).await
    });
    assert_eq!(inside.await.unwrap().len(), 3);
    queue.purge("q").await.unwrap();
}

#[test]
fn a_url_can_switch_prepared_statements_off() {
    on_a_database(async |database| {
        let url = with(database, "statement-cache-capacity=0");
        let queue = PGMQueue::builder().url(url).pool_size(1).connect().await.unwrap();
        run_all_kinds(&queue).await;
        assert_eq!(prepared(queue.pool()).await, 0);

        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        run_all_kinds(&queue).await;
        assert!(prepared(queue.pool()).await > 5);
    });
}

#[test]
fn a_users_pool_without_a_statement_cache_is_detected() {
    on_a_database(async |database| {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let options = options.statement_cache_capacity(0);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let queue = PGMQueue::from(pool);
        run_all_kinds(&queue).await;
        run_all_kinds(&queue).await;
        // The first statement, by which the mode was detected, stays prepared.
        assert_eq!(prepared(queue.pool()).await, 1);
    });
}

#[test]
fn a_users_pool_without_a_statement_cache_is_detected_in_transactions() {
    on_a_database(async |database| {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let options = options.statement_cache_capacity(0);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let queue = PGMQueue::from(pool);
        for n in 0..10 {
            let sent = queue.transaction(async |transaction| queue.with(transaction).send("q", &n).await);
            sent.await.unwrap();
        }
        assert_eq!(prepared(queue.pool()).await, 1);
    });
}

#[test]
fn an_operation_whose_result_does_not_decode_has_its_effect() {
    on_a_database(async |database| {
        for url in [database.url().to_owned(), with(database, "statement-cache-capacity=0")] {
            let queue = PGMQueue::connect(&url).await.unwrap();
            queue.send("q", "no number").await.unwrap();
            let error = queue.pop::<i32>("q").await.unwrap_err();
            assert_eq!(error.into_undecoded().len(), 1);
            assert_eq!(queue.metrics("q").await.unwrap().queue_length, 0);
        }
    });
}

/// Changes the columns of a queue, as an upgrade of PGMQ does.
const ADD_A_COLUMN: &str = "ALTER TABLE pgmq.q_q ADD COLUMN more text";

#[test]
fn a_stale_statement_in_a_transaction_fails_once() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        let id = queue.send("q", &1).await.unwrap();
        assert!(queue.get::<i32>("q", id).await.unwrap().is_some());
        database.execute(ADD_A_COLUMN).unwrap();
        let get = async || {
            queue.transaction(async |transaction| queue.with(transaction).get::<i32>("q", id).await).await
        };
        let error = get().await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, Some("0A000")));
        assert!(get().await.unwrap().is_some());
    });
}
