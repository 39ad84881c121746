//! The statements that Diesel prepares and caches.

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::r2d2::{self, ConnectionManager, CustomizeConnection};
use diesel::sql_types::BigInt;
use diesel::{Connection, PgConnection, RunQueryDsl};
use pgmq_diesel::{ErrorKind, PGMQueue, Pool};

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

/// Makes a function fail as a stale statement does, for a reason that preparing again does not mend.
const FAIL_AS_IF_STALE: &str = "CREATE OR REPLACE FUNCTION pgmq.purge_queue(queue_name text) RETURNS bigint \
     LANGUAGE plpgsql AS $$ BEGIN \
     RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'; END $$";

#[test]
fn a_disabled_cache_stays_disabled_and_an_enabled_one_enabled_after_a_stale_statement() {
    on_a_database(|database| {
        database.execute(FAIL_AS_IF_STALE).unwrap();
        let manager = ConnectionManager::new(database.url());
        let customizer = Box::new(DisableStatementCache);
        let pool = Pool::builder().max_size(1).connection_customizer(customizer).build(manager).unwrap();
        let builder = PGMQueue::builder().url(database.url()).pool_size(1).prepared_statements(false);
        for (queue, expected) in
            [(PGMQueue::from(pool), 0), (builder.connect().unwrap(), 0), (connect(database), 1)]
        {
            assert_eq!(queue.purge("q").unwrap_err().kind(), ErrorKind::Conflict);
            // Diesel has forgotten its statements, and prepares each of them again.
            queue.session().unwrap().batch_execute("DEALLOCATE ALL").unwrap();
            queue.send("q", &1).unwrap();
            assert_eq!(prepared(&queue), expected);
        }
    });
}

#[test]
fn a_disabled_cache_stays_disabled_after_a_stale_statement_in_a_transaction() {
    on_a_database(|database| {
        database.execute(FAIL_AS_IF_STALE).unwrap();
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).prepared_statements(false);
        let queue = queue.connect().unwrap();
        let purged = queue.transaction(|connection| queue.with(connection).purge("q"));
        assert_eq!(purged.unwrap_err().kind(), ErrorKind::Conflict);
        queue.send("q", &1).unwrap();
        assert_eq!(prepared(&queue), 0);
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
