//! Listeners whose connection goes silent.

use std::time::Duration;

use pgmq_sqlx::{Listener, Notification, NotifyOptions, PGMQueue};
use pgmq_test_server::Database;

use crate::support::{Relay, on_a_database};

const INTERVAL: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(20);

fn inserted() -> Option<Notification> {
    Some(Notification::inserted("q"))
}

/// A queue on a healthy network that notifies of each insert, and its listener behind a relay.
async fn behind(url: &str, limit: Duration, database: &Database) -> (PGMQueue, Listener) {
    let builder = PGMQueue::builder().url(database.url()).listen_url(url).connect_timeout(limit);
    let queue = builder.listener_check_interval(INTERVAL).connect().await.unwrap();
    queue.enable_notify_with("q", &NotifyOptions::new()).await.unwrap();
    let listener = queue.listen(&["q"]).await.unwrap();
    (queue, listener)
}

#[test]
fn a_listener_on_a_silent_connection_reconnects() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let (queue, mut listener) = behind(&url, Duration::from_secs(1), database).await;
        for _ in 0..2 {
            relay.hold();
            assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), Some(Notification::Reconnected));
            queue.send("q", &1).await.unwrap();
            assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), inserted());
        }
    });
}

#[test]
fn a_listener_on_a_quiet_connection_stays_connected() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let (queue, mut listener) = behind(&url, Duration::from_secs(1), database).await;
        let connections = relay.connections();
        assert_eq!(listener.next_timeout(INTERVAL * 5).await.unwrap(), None);
        // The time between calls counts as well.
        tokio::time::sleep(INTERVAL * 2).await;
        queue.send("q", &1).await.unwrap();
        assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), inserted());
        assert_eq!(relay.connections(), connections);
    });
}

#[test]
fn a_notification_that_arrives_while_the_listener_checks_the_server_is_kept() {
    on_a_database(async |database| {
        let (relay, url) = Relay::start(database);
        let (queue, mut listener) = behind(&url, LIMIT, database).await;
        relay.hold();
        // The server writes the notification before it answers the check.
        queue.send("q", &1).await.unwrap();
        assert_eq!(listener.next_timeout(INTERVAL * 3).await.unwrap(), None);
        relay.release();
        assert_eq!(listener.next_timeout(LIMIT).await.unwrap(), inserted());
        assert_eq!(listener.next_timeout(INTERVAL).await.unwrap(), None);
    });
}

#[test]
fn listeners_queues_and_sessions_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Listener>();
    is_shared::<PGMQueue>();
    is_shared::<pgmq_sqlx::Session>();
    is_shared::<pgmq_sqlx::BoundQueue<'_>>();
    is_shared::<pgmq_sqlx::Builder>();
    is_shared::<pgmq_sqlx::Error>();
}
