//! Listeners, and the notifications that they receive.

use std::{
    net::ToSocketAddrs,
    time::{Duration, Instant},
};

use pgmq_core::{AsyncQueue, ErrorKind, Notification, NotifyOptions, QueueError};
use pgmq_test_server::{
    Server, outside_of_runtimes,
    proxy::{Direction, Flight, Proxy},
};

use crate::kit::{
    backend::{Backend, Builder, Listener},
    check::fails_as,
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome},
    parts::Parts,
    table::cases,
};

cases! { listen:
    direct [enable_notify_with] a_listener_is_notified_of_each_insert;
    direct [enable_notify] a_listener_is_notified_of_an_insert_with_the_default_throttle;
    direct [update_notify] a_throttle_suppresses_notifications_within_its_interval;
    direct [disable_notify] disable_notify_ends_the_notifications_of_a_queue;
    direct [] a_listener_is_notified_of_its_queues_only;
    direct [] a_busy_queue_does_not_suppress_notifications_of_a_quiet_queue;
    direct [] a_listener_reconnects_when_its_connection_has_gone_silent;
    direct [] a_queue_with_capitals_and_odd_characters_notifies;
    direct [] a_listener_is_an_iterator_or_a_stream;
    direct [] next_timeout_returns_in_time_without_a_notification;
    direct [] a_rolled_back_message_does_not_notify;
    direct [] a_listener_reconnects_reports_it_and_is_notified_again;
    direct [] a_listener_whose_connections_are_closed_at_once_reconnects_with_backoff;
    direct [] a_refused_listener_reports_the_error_and_keeps_reconnecting;
    direct [] a_listener_survives_a_restart_of_the_server;
    direct [list_notify_throttles, repair_notify] after_a_crash_a_queue_notifies_again_once_repaired;
    direct [] a_listener_uses_no_connection_of_the_pool;
    direct [] a_listener_can_use_a_separate_url;
    direct [] a_dropped_listener_closes_its_connection;
    direct [] listening_to_no_queue_or_an_invalid_name_is_refused;
}

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn inserted(queue: &str) -> Option<Notification> {
    Some(Notification::inserted(queue))
}

/// Connects, and enables notifications of each insert into the queue `q`.
async fn notifying<B: Backend>(context: &TestContext<'_>) -> Result<B::Queue, Failure> {
    let queue = B::connect(context.url()).await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    Ok(queue)
}

async fn a_listener_is_notified_of_each_insert<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    for n in 0..3 {
        queue.send(QUEUE, &n).await?;
        assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    }
    // Messages of other clients notify as well. The server merges the notifications of one transaction.
    context.execute("SELECT pgmq.send_batch('q', ARRAY['1', '2', '3']::jsonb[])")?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

async fn a_listener_is_notified_of_an_insert_with_the_default_throttle<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::connect(context.url()).await?;
    queue.enable_notify(QUEUE).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_busy_queue_does_not_suppress_notifications_of_a_quiet_queue<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    queue.create_queue("quiet").await?;
    queue.enable_notify_with("quiet", &NotifyOptions::new()).await?;
    let (proxy, builder) = proxied::<B>(context)?;
    let mut listener = B::listen(&builder.connect().await?, &[QUEUE, "quiet"]).await?;
    for n in 0..300 {
        queue.send(QUEUE, &n).await?;
    }
    queue.send("quiet", &1).await?;
    let has_arrived = || {
        let channel = b"pgmq.q_quiet.INSERT\0";
        let has_it = |flight: &Flight| flight.bytes.windows(channel.len()).any(|bytes| bytes == channel);
        proxy.flights().iter().filter(|flight| flight.direction == Direction::ToClient).any(has_it)
    };
    let started = Instant::now();
    while !has_arrived() {
        assert!(started.elapsed() < LIMIT, "the quiet queue has not notified");
        B::sleep(Duration::from_millis(10)).await;
    }
    // All notifications have arrived, except perhaps those of the last chunk. One notification of the busy
    // queue was pending, and one more may come with that chunk.
    let mut events = Vec::new();
    while events.last() != Some(&inserted("quiet")) {
        events.push(listener.next_timeout(LIMIT).await?);
        assert!(events.len() <= 3, "{events:?}");
    }
    assert!(events.iter().rev().skip(1).all(|event| *event == inserted(QUEUE)), "{events:?}");
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

/// A proxy, and a builder of a queue that connects through it.
fn proxied<B: Backend>(context: &TestContext<'_>) -> Result<(Proxy, B::Builder), Failure> {
    let parts = Parts::new(context);
    let server = (parts.host.as_str(), parts.port).to_socket_addrs()?.next();
    let proxy = Proxy::start(server.expect("a host has an address"))?;
    let builder = B::builder().host(&proxy.addr().ip().to_string()).port(proxy.addr().port());
    let builder = builder.username(&parts.user).password(&parts.password).database(context.name());
    Ok((proxy, builder.pool_size(1)))
}

async fn a_listener_reconnects_when_its_connection_has_gone_silent<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let (proxy, builder) = proxied::<B>(context)?;
    let builder = builder.connect_timeout(Duration::from_millis(500)).listener_check_interval(SHORT);
    let mut listener = B::listen(&builder.connect().await?, &[QUEUE]).await?;
    // While the server answers, a quiet listener keeps its connection.
    assert_eq!(listener.next_timeout(4 * SHORT).await?, None);
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));

    proxy.freeze();
    assert_eq!(listener.next_timeout(Duration::from_secs(5)).await?, None);
    // The first connection works again, but the listener has dropped it.
    proxy.thaw();
    assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));
    queue.send(QUEUE, &2).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_listener_whose_connections_are_closed_at_once_reconnects_with_backoff<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    /// The shortest pauses after five losses: 50 ms, doubled each time, with a jitter of up to a quarter.
    const PAUSES: Duration = Duration::from_millis((50 + 100 + 200 + 400 + 800) * 3 / 4);

    let (proxy, builder) = proxied::<B>(context)?;
    let mut listener = B::listen(&builder.connect().await?, &[QUEUE]).await?;
    let started = Instant::now();
    for _ in 0..5 {
        proxy.cut();
        assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));
    }
    assert!(started.elapsed() >= PAUSES, "{:?}", started.elapsed());
    Ok(())
}

async fn a_throttle_suppresses_notifications_within_its_interval<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.update_notify(QUEUE, Duration::from_secs(3600)).await?;
    for n in 0..3 {
        queue.send(QUEUE, &n).await?;
    }
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    queue.update_notify(QUEUE, Duration::ZERO).await?;
    queue.send(QUEUE, &4).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn disable_notify_ends_the_notifications_of_a_queue<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.disable_notify(QUEUE).await?;
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

async fn a_listener_is_notified_of_its_queues_only<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    for name in ["one", "two"] {
        queue.create_queue(name).await?;
        queue.enable_notify_with(name, &NotifyOptions::new()).await?;
    }
    let mut both = B::listen(&queue, &["one", "two"]).await?;
    let mut second = B::listen(&queue, &["two"]).await?;
    for name in [QUEUE, "one", "two"] {
        queue.send(name, &1).await?;
    }
    assert_eq!(both.next_timeout(LIMIT).await?, inserted("one"));
    assert_eq!(both.next_timeout(LIMIT).await?, inserted("two"));
    assert_eq!(both.next_timeout(SHORT).await?, None);
    assert_eq!(second.next_timeout(LIMIT).await?, inserted("two"));
    assert_eq!(second.next_timeout(Duration::ZERO).await?, None);
    Ok(())
}

async fn a_queue_with_capitals_and_odd_characters_notifies<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(context.url()).await?;
    for (name, folded) in
        [("MyQ", "myq"), ("Größe \"X\"", "größe \"x\""), ("with-hyphen.dot", "with-hyphen.dot")]
    {
        queue.create_queue(name).await?;
        queue.enable_notify_with(name, &NotifyOptions::new()).await?;
        let mut listener = B::listen(&queue, &[name]).await?;
        queue.send(name, &1).await?;
        assert_eq!(listener.next_timeout(LIMIT).await?, inserted(folded));
    }
    Ok(())
}

async fn a_listener_is_an_iterator_or_a_stream<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    for n in 0..2 {
        queue.send(QUEUE, &n).await?;
        assert_eq!(listener.next().await.transpose()?, inserted(QUEUE));
    }
    Ok(())
}

async fn next_timeout_returns_in_time_without_a_notification<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    let started = Instant::now();
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    assert!(started.elapsed() >= SHORT && started.elapsed() < LIMIT, "{:?}", started.elapsed());
    Ok(())
}

async fn a_rolled_back_message_does_not_notify<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    context.execute("BEGIN; SELECT pgmq.send('q', '1'); ROLLBACK")?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

const LISTENING: &str = "query LIKE 'LISTEN %'";

async fn a_listener_reconnects_reports_it_and_is_notified_again<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    for _ in 0..2 {
        context.terminate(LISTENING)?;
        // While the listener is not connected, the reconnection is the only sign of a new message.
        context.execute("SELECT pgmq.send('q', '1')")?;
        assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));
        queue.send(QUEUE, &2).await?;
        assert_eq!(next_insert(&mut listener).await?, inserted(QUEUE));
    }
    Ok(())
}

/// The next notification of an insert. The first message may have been sent after the listener reconnected,
/// and notify as well.
async fn next_insert(listener: &mut impl Listener) -> Result<Option<Notification>, Failure> {
    let next = listener.next_timeout(LIMIT).await?;
    while listener.next_timeout(SHORT).await? == next {}
    Ok(next)
}

async fn a_refused_listener_reports_the_error_and_keeps_reconnecting<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    context.accept_connections(false)?;
    context.terminate(LISTENING)?;
    let refused = listener.next_timeout(LIMIT).await;
    context.accept_connections(true)?;
    let error = fails_as(ErrorKind::Database, refused);
    context.assert_sqlstate(&error, "55000");
    let started = Instant::now();
    loop {
        match listener.next_timeout(LIMIT).await {
            Ok(next) => break assert_eq!(next, Some(Notification::Reconnected)),
            // The listener may have been refused several times.
            Err(error) => {
                assert!(context.has_sqlstate(&error, "55000") && started.elapsed() < LIMIT, "{error}");
            }
        }
    }
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_listener_survives_a_restart_of_the_server<B: Backend>(_: &TestContext<'_>) -> Outcome {
    let Some(server) = outside_of_runtimes(Server::private)? else { return Ok(()) };
    let context = TestContext::new::<B>(&server)?;
    let queue = notifying::<B>(&context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    B::sleep(B::IDLE).await;
    outside_of_runtimes(|| server.restart())?;
    assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn after_a_crash_a_queue_notifies_again_once_repaired<B: Backend>(_: &TestContext<'_>) -> Outcome {
    let Some(server) = outside_of_runtimes(Server::durable)? else { return Ok(()) };
    let context = TestContext::new::<B>(&server)?;
    let queue = notifying::<B>(&context).await?;
    assert_eq!(queue.list_notify_throttles().await?.len(), 1);
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    B::sleep(B::IDLE).await;
    outside_of_runtimes(|| server.stop_at_once().and_then(|()| server.start()))?;
    assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));

    // The trigger still exists, and its settings are lost.
    let throttles = match queue.list_notify_throttles().await {
        // A crashing server does not notify its clients: this call used a dead connection.
        Err(error) if error.kind() == ErrorKind::Connection => queue.list_notify_throttles().await,
        throttles => throttles,
    };
    assert!(throttles?.is_empty());
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    assert_eq!(queue.read::<i32>(QUEUE, 600).await?.map(|message| message.message), Some(1));

    assert!(queue.repair_notify(QUEUE, Duration::ZERO).await?);
    queue.send(QUEUE, &2).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_listener_uses_no_connection_of_the_pool<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::builder().url(context.url()).pool_size(1).acquire_timeout(LIMIT).connect().await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(B::listen(&queue, &[QUEUE]).await?);
    }
    queue.send(QUEUE, &1).await?;
    for listener in &mut listeners {
        assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    }
    Ok(())
}

async fn a_listener_can_use_a_separate_url<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let own = context.url_with("-c application_name=listens_by_itself");
    let queue = B::builder().url(context.url()).listen_url(&own).connect().await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'listens_by_itself' \
                    AND datname = current_database()";
    assert_eq!(context.query_value(sessions)?, "1");
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_dropped_listener_closes_its_connection<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let listener = B::listen(&queue, &[QUEUE]).await?;
    let others =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {LISTENING}");
    assert_eq!(context.query_value(&others)?, "1");
    drop(listener);
    let started = Instant::now();
    while context.query_value(&others)? != "0" {
        assert!(started.elapsed() < LIMIT, "the session is still open");
        // Lets a runtime make progress.
        queue.list_queues().await?;
    }
    Ok(())
}

async fn listening_to_no_queue_or_an_invalid_name_is_refused<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::connect(context.url()).await?;
    for none in [&[][..], &["q", ""], &["x'; DROP TABLE y; --"]] {
        let result = B::listen(&queue, none).await.map(|_| ());
        fails_as(ErrorKind::InvalidArgument, result);
    }
    Ok(())
}
