//! Cancel requests to a server that offers TLS.

use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use pgmq_test_server::{Database, TlsServer};
use pgmq_tokio::bb8::Pool;
use pgmq_tokio::tokio_postgres::NoTls;
use pgmq_tokio::{ManageClients, PGMQueue, PollOptions, RawJson};

use crate::support::{runtime, wait_until};

const NO_POLL: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%read_with_poll%')";

/// Drops a poll on a queue over the user's pool, and checks that the poll ends.
async fn check_cancels<M: ManageClients>(pool: Pool<M>, database: &Database) {
    let queue = PGMQueue::from(pool);
    let options = PollOptions::new().timeout(Duration::from_secs(600)).interval(Duration::from_secs(60));
    let poll = queue.read_with_poll::<RawJson>("q", 30, 1, &options);
    assert!(tokio::time::timeout(Duration::from_millis(300), poll).await.is_err());
    queue.close().await;
    wait_until(database, NO_POLL, Duration::from_secs(2));
}

/// Runs a test on a database of a server that offers TLS, if this machine can run one.
fn on_a_server_with_tls(test: impl AsyncFnOnce(&Database, &TlsServer)) {
    if !TlsServer::is_possible() {
        return;
    }
    let tls = TlsServer::start().unwrap();
    let database = tls.server().create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    runtime().block_on(test(&database, &tls));
}

#[test]
fn a_poll_on_a_pool_without_tls_is_cancelled_on_a_server_that_offers_tls() {
    on_a_server_with_tls(async |database, _| {
        let manager = PostgresConnectionManager::new(database.url().parse().unwrap(), NoTls);
        let pool = Pool::builder().max_size(1).build(manager).await.unwrap();
        check_cancels(pool, database).await;
    });
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[test]
fn a_poll_on_a_pool_of_this_crates_manager_is_cancelled_with_tls() {
    on_a_server_with_tls(async |database, tls| {
        let separator = if database.url().contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{separator}sslmode=verify-ca&sslrootcert={}",
            database.url(),
            tls.authority().display()
        );
        let manager = pgmq_tokio::Manager::new(url.replace(' ', "%20").replace('\'', "%27")).unwrap();
        let pool = Pool::builder().max_size(1).build(manager).await.unwrap();
        check_cancels(pool, database).await;
    });
}
