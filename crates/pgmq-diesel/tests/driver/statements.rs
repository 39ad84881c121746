//! The statements that Diesel prepares and caches.

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::r2d2::{self, ConnectionManager, CustomizeConnection};
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, RunQueryDsl};
use pgmq_diesel::{ErrorKind, PGMQueue, Pool, QueueError};

use crate::support::{connect, on_a_database};

/// Changes the columns of a function, as an upgrade of PGMQ does.
const ADD_A_COLUMN: &str = "DROP FUNCTION pgmq.list_queues(); CREATE FUNCTION pgmq.list_queues() \
     RETURNS TABLE (queue_name text, is_partitioned boolean, is_unlogged boolean, created_at timestamptz, more text) \
     LANGUAGE sql AS $$ SELECT 'q', false, false, pg_catalog.now(), '' $$";

/// The number of PGMQ's statements that are prepared on the only connection of a pool.
fn prepared(queue: &PGMQueue) -> i64 {
    let count = "(SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%pgmq.%' \
                 AND statement NOT LIKE '%pg_prepared_statements%')";
    let count = diesel::select(diesel::dsl::sql::<BigInt>(count));
    count.get_result(&mut queue.session().unwrap()).unwrap()
}

#[test]
fn a_stale_statement_fails_once_in_a_transaction() {
    on_a_database(|database| {
        let queue = connect(database);
        assert_eq!(queue.list_queues().unwrap().len(), 1);
        database.execute(ADD_A_COLUMN).unwrap();
        let list = || queue.transaction(|connection| queue.with(connection).list_queues());
        let error = list().unwrap_err();
        assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, Some("0A000")));
        assert!(error.is_transient());
        assert_eq!(list().unwrap().len(), 1);
    });
}

#[test]
fn a_deallocated_statement_is_prepared_again_and_fails_once_in_a_transaction() {
    on_a_database(|database| {
        let queue = connect(database);
        for deallocate in ["DEALLOCATE ALL", "DISCARD ALL"] {
            let deallocate = || queue.session().unwrap().batch_execute(deallocate).unwrap();
            let send = || queue.transaction(|connection| queue.with(connection).send("q", &1));
            queue.send("q", &1).unwrap();
            deallocate();
            queue.send("q", &1).unwrap();
            deallocate();
            let error = send().unwrap_err();
            assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Conflict, Some("26000")));
            assert!(error.is_transient());
            send().unwrap();
        }
        assert_eq!(queue.metrics("q").unwrap().queue_length, 6);
    });
}

/// Disables Diesel's cache of prepared statements.
#[derive(Debug)]
struct DisableStatementCache;

impl CustomizeConnection<PgConnection, r2d2::Error> for DisableStatementCache {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), r2d2::Error> {
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        Ok(())
    }
}

#[test]
fn a_pool_that_caches_no_statements_leaves_none_on_the_server() {
    on_a_database(|database| {
        let manager = ConnectionManager::new(database.url());
        let customizer = Box::new(DisableStatementCache);
        let pool = Pool::builder().max_size(1).connection_customizer(customizer).build(manager).unwrap();
        for (queue, expected) in [(PGMQueue::from(pool), 0), (connect(database), 3)] {
            queue.send("q", &1).unwrap();
            assert!(queue.pop::<i32>("q").unwrap().is_some());
            queue.metrics("q").unwrap();
            queue.metrics("q").unwrap();
            assert_eq!(prepared(&queue), expected);
        }
    });
}

#[test]
fn statements_whose_text_names_a_queue_are_not_cached() {
    on_a_database(|database| {
        let queue = connect(database);
        for name in ["a", "b", "c"] {
            queue.create_queue(name).unwrap();
        }
        let before = prepared(&queue);
        for name in ["a", "b", "c"] {
            assert!(queue.peek::<i32>(name, 1).unwrap().is_empty());
            assert_eq!(queue.get::<i32>(name, 1).unwrap(), None);
        }
        assert_eq!(prepared(&queue), before);
    });
}
