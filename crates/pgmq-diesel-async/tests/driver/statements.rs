//! Prepared statements in Diesel's cache.

use diesel::connection::CacheSize;
use diesel::sql_types::BigInt;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use pgmq_diesel_async::{ErrorKind, PGMQueue, Pool, bb8};

use crate::support::{connect, on_a_database};

/// A change of the table as an upgrade of PGMQ makes it.
const ADD_A_COLUMN: &str = "ALTER TABLE pgmq.q_q ADD COLUMN more text";

/// The number of PGMQ's prepared statements on the only connection of a pool.
async fn prepared(queue: &PGMQueue) -> i64 {
    use diesel_async::RunQueryDsl;

    let count = "(SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%pgmq.%' \
                 AND statement NOT LIKE '%pg_prepared_statements%')";
    let count = diesel::select(diesel::dsl::sql::<BigInt>(count));
    count.get_result(&mut queue.session().await.unwrap()).await.unwrap()
}

#[test]
fn a_statement_that_was_prepared_before_pgmq_changed_is_prepared_again() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(3).connect().await.unwrap();
        let id = queue.send("q", &1).await.unwrap();
        let mut sessions =
            [queue.session().await.unwrap(), queue.session().await.unwrap(), queue.session().await.unwrap()];
        for session in &mut sessions {
            assert!(queue.with(session).get::<i32>("q", id).await.unwrap().is_some());
        }
        drop(sessions);
        database.execute(ADD_A_COLUMN).unwrap();
        for _ in 0..4 {
            assert!(queue.get::<i32>("q", id).await.unwrap().is_some());
        }
    });
}

#[test]
fn a_stale_statement_fails_once_in_a_transaction() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        let id = queue.send("q", &1).await.unwrap();
        assert!(queue.get::<i32>("q", id).await.unwrap().is_some());
        database.execute(ADD_A_COLUMN).unwrap();
        let get = async || {
            queue.transaction(async |connection| queue.with(connection).get::<i32>("q", id).await).await
        };
        let error = get().await.unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, Some("0A000")));
        assert!(error.is_transient());
        assert!(get().await.unwrap().is_some());
    });
}

#[test]
fn a_stale_statement_fails_on_one_session_and_is_prepared_again_on_the_others() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(2).connect().await.unwrap();
        let id = queue.send("q", &1).await.unwrap();
        let mut sessions = [queue.session().await.unwrap(), queue.session().await.unwrap()];
        for session in &mut sessions {
            assert!(queue.with(session).get::<i32>("q", id).await.unwrap().is_some());
        }
        database.execute(ADD_A_COLUMN).unwrap();
        let [first, second] = &mut sessions;
        let error = queue.with(first).get::<i32>("q", id).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(queue.with(first).get::<i32>("q", id).await.unwrap().is_some());
        // The other session prepares the statement again without a failure, also in Diesel's own
        // transactions.
        let got = second.transaction(async |connection| queue.with(connection).get::<i32>("q", id).await);
        assert!(got.await.unwrap().is_some());
    });
}

#[test]
fn a_deallocated_statement_is_prepared_again_and_fails_once_in_a_transaction() {
    on_a_database(async |database| {
        let queue = connect(database).await;
        for deallocate in ["DEALLOCATE ALL", "DISCARD ALL"] {
            let deallocate = async || {
                queue.session().await.unwrap().batch_execute(deallocate).await.unwrap();
            };
            let send = async || {
                queue.transaction(async |connection| queue.with(connection).send("q", &1).await).await
            };
            queue.send("q", &1).await.unwrap();
            deallocate().await;
            queue.send("q", &1).await.unwrap();
            deallocate().await;
            let error = send().await.unwrap_err();
            assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, Some("26000")));
            assert!(error.is_transient());
            send().await.unwrap();
        }
        assert_eq!(queue.metrics("q").await.unwrap().queue_length, 6);
    });
}

#[test]
fn a_pool_that_caches_no_statements_leaves_none_on_the_server() {
    on_a_database(async |database| {
        let mut config = ManagerConfig::<AsyncPgConnection>::default();
        config.custom_setup = Box::new(|url| {
            let url = url.to_owned();
            Box::pin(async move {
                let mut connection = AsyncPgConnection::establish(&url).await?;
                connection.set_prepared_statement_cache_size(CacheSize::Disabled);
                Ok(connection)
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(database.url(), config);
        let pool: Pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
        for (queue, cached) in [(PGMQueue::from(pool), 0), (connect(database).await, 3)] {
            queue.send("q", &1).await.unwrap();
            assert!(queue.pop::<i32>("q").await.unwrap().is_some());
            queue.metrics("q").await.unwrap();
            queue.metrics("q").await.unwrap();
            assert_eq!(prepared(&queue).await, cached);
        }
    });
}
