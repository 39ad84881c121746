//! Operations on a session that the server has terminated.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bb8_postgres::PostgresConnectionManager;
use pgmq_tokio::bb8::{ManageConnection, Pool};
use pgmq_tokio::tokio_postgres::{self, Client, NoTls};
use pgmq_tokio::{Error, ErrorKind, PGMQueue};

use crate::fake_server::{FakeServer, message};
use crate::support::{on_a_database, runtime};

/// Terminates all other sessions of the database, and waits until they have ended.
const TERMINATE_SESSIONS: &str = "DO $$ BEGIN \
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid(); END $$";

#[test]
fn an_operation_that_races_with_a_termination_runs_on_another_session() {
    on_a_database(async |database| {
        let queue = PGMQueue::builder().url(database.url()).pool_size(1).connect().await.unwrap();
        // The driver's task and this one share a thread, and each yield lets the driver's task advance by one
        // step. The operation therefore starts before the task notices the end, just then, and afterwards.
        for yields in 0..5 {
            queue.send("q", &yields).await.unwrap();
            database.execute(TERMINATE_SESSIONS).unwrap();
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            assert_eq!(queue.pop::<i32>("q").await.unwrap().unwrap().message, yields);
        }
    });
}

#[test]
fn an_operation_moves_to_another_session_without_waiting_for_the_end_of_the_old_one() {
    // The connections stay open, as if the network had lost the server's last packets.
    let report = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0";
    let server = FakeServer::start(message(b'E', report));
    runtime().block_on(async {
        let builder = server.builder().connect_timeout(Duration::from_secs(20));
        let queue = builder.connect().await.unwrap();
        let started = Instant::now();
        let error = queue.send("q", &1).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("57P01"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_eq!(server.logins.load(Ordering::Relaxed), 2, "the operation has moved once");
        assert_eq!(queue.pool().state().connections, 0, "the pool keeps no terminated session");
        server.until_logouts(2).await;
    });
}

#[test]
fn a_session_that_the_server_ends_for_any_reason_is_discarded_and_the_call_is_not_repeated_on_it() {
    // PgBouncer's own reports, and those of a server that it passes on to waiting clients, have no field `V`.
    const SERVERS: &str = "SFATAL\0VFATAL";
    const POOLERS: &str = "SFATAL";
    for (severity, sqlstate, reason, is_in_doubt) in [
        (SERVERS, "40001", "terminating connection due to conflict with recovery", false),
        (SERVERS, "XX000", "invalid memory", false),
        (POOLERS, "08P01", "query_wait_timeout", false),
        (POOLERS, "08P01", "query_timeout", true),
        (POOLERS, "28P01", "password authentication failed for user \"app\"", false),
        (POOLERS, "3D000", "database \"app\" does not exist", false),
        (POOLERS, "53300", "sorry, too many clients already", false),
        (POOLERS, "57P03", "the database system is starting up", false),
    ] {
        let report = format!("{severity}\0C{sqlstate}\0M{reason}\0\0");
        let server = FakeServer::start(message(b'E', report.as_bytes()));
        runtime().block_on(async {
            let queue = server.builder().connect().await.unwrap();
            let error = queue.send("q", &1).await.unwrap_err();
            assert_eq!(error.sqlstate(), Some(sqlstate), "{error}");
            assert_eq!(error.is_in_doubt(), is_in_doubt, "{reason}");
            assert_eq!(server.logins.load(Ordering::Relaxed), 1, "{reason}");
            assert_eq!(queue.pool().state().connections, 0, "{reason}");
        });
    }
}

#[test]
fn a_session_that_the_server_ends_at_begin_is_discarded() {
    for (severity, sqlstate, reason, kind) in [
        ("SFATAL", "08P01", "query_wait_timeout", ErrorKind::Timeout),
        (
            "SFATAL\0VFATAL",
            "40001",
            "terminating connection due to conflict with recovery",
            ErrorKind::Conflict,
        ),
        ("SFATAL\0VFATAL", "XX000", "invalid memory", ErrorKind::Database),
    ] {
        let report = format!("{severity}\0C{sqlstate}\0M{reason}\0\0");
        let server = FakeServer::start(message(b'E', report.as_bytes()));
        runtime().block_on(async {
            let queue = server.builder().connect().await.unwrap();
            let begun = queue.transaction(async |_| -> Result<(), Error> { panic!("nothing was begun") });
            let error = begun.await.unwrap_err();
            assert_eq!((error.sqlstate(), error.kind()), (Some(sqlstate), kind), "{error}");
            assert_eq!(queue.pool().state().connections, 0, "{reason}");
        });
    }
}

/// A manager that takes every connection for a working one.
struct Trusting(PostgresConnectionManager<NoTls>);

impl ManageConnection for Trusting {
    type Connection = Client;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        self.0.connect().await
    }

    async fn is_valid(&self, _: &mut Client) -> Result<(), tokio_postgres::Error> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Client) -> bool {
        false
    }
}

#[test]
fn a_manager_that_trusts_closed_connections_does_not_make_operations_hang() {
    on_a_database(async |database| {
        let manager = Trusting(PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls));
        let pool = Pool::builder().max_size(2).test_on_check_out(false).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        let session = queue.session().await.unwrap();
        database.execute(TERMINATE_SESSIONS).unwrap();
        while !session.is_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(session);
        let sent = tokio::time::timeout(Duration::from_secs(5), queue.send("q", &1)).await;
        let error = sent.expect("the operation ends").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error}");
    });
}
