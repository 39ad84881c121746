//! Listeners whose connection is lost without a sign, or that are notified while they begin to listen.

use std::time::{Duration, Instant};

use pgmq_diesel_async::{Notification, NotifyOptions, PGMQueue};
use pgmq_test_server::proxy::Proxy;

use crate::support::{LIMIT, on_a_database, through_a_proxy};

const SHORT: Duration = Duration::from_millis(300);

fn inserted() -> Option<Notification> {
    Some(Notification::inserted("q"))
}

/// A queue that notifies, through a proxy, whose listeners check their connection often.
async fn notifying(database: &pgmq_test_server::Database) -> (Proxy, PGMQueue) {
    let (proxy, builder) = through_a_proxy(database);
    let builder = builder.listener_check_interval(SHORT).connect_timeout(SHORT);
    let queue = builder.connect().await.unwrap();
    queue.enable_notify_with("q", &NotifyOptions::new()).await.unwrap();
    (proxy, queue)
}

/// Returns `true` if a client has begun to log in since the record began.
fn logs_in(proxy: &Proxy) -> bool {
    proxy.flights().iter().any(|flight| flight.bytes.windows(5).any(|bytes| bytes == b"user\0"))
}

#[test]
fn a_listener_reconnects_when_its_connection_is_silently_lost() {
    on_a_database(async |database| {
        let (proxy, queue) = notifying(database).await;
        let mut listener = queue.listen(&["q"]).await.unwrap();
        proxy.reset();
        proxy.freeze();
        let started = Instant::now();
        while !logs_in(&proxy) {
            assert!(started.elapsed() < LIMIT, "the listener waits on the old connection");
            assert_eq!(listener.next_timeout(Duration::from_millis(20)).await.unwrap(), None);
        }
        proxy.thaw();
        assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), Some(Notification::Reconnected));
        database.execute("SELECT pgmq.send('q', '1')").unwrap();
        assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), inserted());
    });
}

#[test]
fn a_listener_whose_server_answers_stays_connected() {
    on_a_database(async |database| {
        let (proxy, queue) = notifying(database).await;
        let mut listener = queue.listen(&["q"]).await.unwrap();
        proxy.reset();
        assert_eq!(listener.next_timeout(SHORT * 5).await.unwrap(), None);
        assert!(proxy.round_trips() >= 2, "the listener has not asked the server: {:?}", proxy.flights());
        queue.send("q", &1).await.unwrap();
        assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), inserted());
    });
}
