//! Cancel requests to a server that offers TLS.

use std::time::Duration;

use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use pgmq_diesel_async::{PGMQueue, PollOptions, Pool, RawJson, bb8};
use pgmq_test_server::TlsServer;

use crate::support::{NO_POLL, runtime, wait_until_within};

#[test]
fn a_poll_on_a_pool_without_tls_is_cancelled_on_a_server_that_offers_tls() {
    if !TlsServer::is_possible() {
        return;
    }
    let tls = TlsServer::start().unwrap();
    let database = tls.server().create_database().unwrap();
    database.execute("SELECT pgmq.create('q')").unwrap();
    runtime().block_on(async {
        let manager = AsyncDieselConnectionManager::new(database.url());
        let pool: Pool = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
        let queue = PGMQueue::from(pool);
        let options = PollOptions::new().timeout(Duration::from_secs(600)).interval(Duration::from_secs(60));
        let poll = queue.read_with_poll::<RawJson>("q", 30, 1, &options);
        assert!(tokio::time::timeout(Duration::from_millis(300), poll).await.is_err());
        queue.close().await;
        wait_until_within(&database, NO_POLL, Duration::from_secs(2)).await;
    });
}
