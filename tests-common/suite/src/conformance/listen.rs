//! What a listener gets.

use std::time::{Duration, Instant};

use pgmq_core::{AsyncQueue, ErrorKind, Notification, NotifyOptions, QueueError};
use pgmq_test_server::{Server, outside_of_runtimes};

use crate::kit::{
    backend::{Backend, Builder, Listener},
    check::fails_as,
    context::{QUEUE, TestContext},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { listen:
    direct [enable_notify_with] a_listener_is_told_of_each_insert;
    direct [enable_notify] a_listener_is_told_of_an_insert_with_the_throttle_that_is_usual;
    direct [update_notify] a_throttle_holds_back_what_comes_too_soon;
    direct [disable_notify] a_listener_hears_no_more_of_a_queue_that_is_silenced;
    direct [] a_listener_hears_of_its_queues_and_of_no_others;
    direct [] a_busy_queue_does_not_drown_a_quiet_one_out;
    direct [] a_queue_with_capitals_and_odd_characters_notifies;
    direct [] a_listener_is_an_iterator_or_a_stream;
    direct [] a_listener_without_news_returns_in_time;
    direct [] a_rolled_back_message_is_no_news;
    direct [] a_listener_reconnects_says_so_and_hears_again;
    direct [] a_listener_that_is_refused_says_so_and_goes_on_trying;
    direct [] a_listener_survives_a_restart_of_the_server;
    direct [list_notify_throttles] a_queue_that_a_crash_has_silenced_is_read_by_looking_and_notifies_once_enabled_again;
    direct [] a_listener_takes_no_connection_of_the_pool;
    direct [] a_listener_can_have_a_url_of_its_own;
    direct [] a_dropped_listener_closes_its_connection;
    direct [] listening_to_nothing_or_to_no_queue_is_refused;
}

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn inserted(queue: &str) -> Option<Notification> {
    Some(Notification::Inserted { queue: queue.to_owned() })
}

/// Connects, and has the queue `q` notify at each insert.
async fn notifying<B: Backend>(context: &TestContext<'_>) -> Result<B::Queue, Failure> {
    let queue = B::connect(context.url()).await?;
    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    Ok(queue)
}

async fn a_listener_is_told_of_each_insert<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    for n in 0..3 {
        queue.send(QUEUE, &n).await?;
        assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    }
    // Sent by anyone, and in one go: the server folds notifications of one transaction into one.
    context.execute("SELECT pgmq.send_batch('q', ARRAY['1', '2', '3']::jsonb[])")?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

async fn a_listener_is_told_of_an_insert_with_the_throttle_that_is_usual<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = B::connect(context.url()).await?;
    queue.enable_notify(QUEUE).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_busy_queue_does_not_drown_a_quiet_one_out<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    queue.create_queue("quiet").await?;
    queue.enable_notify_with("quiet", &NotifyOptions::new()).await?;
    let mut listener = B::listen(&queue, &[QUEUE, "quiet"]).await?;
    for n in 0..300 {
        queue.send(QUEUE, &n).await?;
    }
    queue.send("quiet", &1).await?;
    for _ in 0..=300 {
        match listener.next_timeout(LIMIT).await? {
            event if event == inserted("quiet") => return Ok(()),
            event => assert_eq!(event, inserted(QUEUE)),
        }
    }
    panic!("the quiet queue was never heard of");
}

async fn a_throttle_holds_back_what_comes_too_soon<B: Backend>(context: &TestContext<'_>) -> Outcome {
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

async fn a_listener_hears_no_more_of_a_queue_that_is_silenced<B: Backend>(
    context: &TestContext<'_>,
) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    queue.disable_notify(QUEUE).await?;
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

async fn a_listener_hears_of_its_queues_and_of_no_others<B: Backend>(context: &TestContext<'_>) -> Outcome {
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

async fn a_listener_without_news_returns_in_time<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    let started = Instant::now();
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    assert!(started.elapsed() >= SHORT && started.elapsed() < LIMIT, "{:?}", started.elapsed());
    Ok(())
}

async fn a_rolled_back_message_is_no_news<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    context.execute("BEGIN; SELECT pgmq.send('q', '1'); ROLLBACK")?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    Ok(())
}

const LISTENING: &str = "query LIKE 'LISTEN %'";

async fn a_listener_reconnects_says_so_and_hears_again<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = notifying::<B>(context).await?;
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    for _ in 0..2 {
        context.terminate(LISTENING)?;
        // If nobody listens at this moment, only the reconnection tells of it.
        context.execute("SELECT pgmq.send('q', '1')")?;
        assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));
        queue.send(QUEUE, &2).await?;
        assert_eq!(next_insert(&mut listener).await?, inserted(QUEUE));
    }
    Ok(())
}

/// The next notification of an insert; the first message may have come after the listener was back, and be told of, too.
async fn next_insert(listener: &mut impl Listener) -> Result<Option<Notification>, Failure> {
    let next = listener.next_timeout(LIMIT).await?;
    while listener.next_timeout(SHORT).await? == next {}
    Ok(next)
}

async fn a_listener_that_is_refused_says_so_and_goes_on_trying<B: Backend>(
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
            // It may have been refused more than once in the meantime.
            Err(error) => {
                assert!(context.has_sqlstate(&error, "55000") && started.elapsed() < LIMIT, "{error}")
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

async fn a_queue_that_a_crash_has_silenced_is_read_by_looking_and_notifies_once_enabled_again<B: Backend>(
    _: &TestContext<'_>,
) -> Outcome {
    let Some(server) = outside_of_runtimes(Server::durable)? else { return Ok(()) };
    let context = TestContext::new::<B>(&server)?;
    let queue = notifying::<B>(&context).await?;
    assert_eq!(queue.list_notify_throttles().await?.len(), 1);
    let mut listener = B::listen(&queue, &[QUEUE]).await?;
    B::sleep(B::IDLE).await;
    outside_of_runtimes(|| server.stop_at_once().and_then(|()| server.start()))?;
    assert_eq!(listener.next_timeout(LIMIT).await?, Some(Notification::Reconnected));

    // The trigger is still there, and finds nothing that it is to do.
    let throttles = match queue.list_notify_throttles().await {
        // A server that crashes tells nobody: this was the connection from before.
        Err(error) if error.kind() == ErrorKind::Connection => queue.list_notify_throttles().await,
        throttles => throttles,
    };
    assert!(throttles?.is_empty());
    queue.send(QUEUE, &1).await?;
    assert_eq!(listener.next_timeout(SHORT).await?, None);
    assert_eq!(queue.read::<i32>(QUEUE, 600).await?.map(|message| message.message), Some(1));

    queue.enable_notify_with(QUEUE, &NotifyOptions::new()).await?;
    queue.send(QUEUE, &2).await?;
    assert_eq!(listener.next_timeout(LIMIT).await?, inserted(QUEUE));
    Ok(())
}

async fn a_listener_takes_no_connection_of_the_pool<B: Backend>(context: &TestContext<'_>) -> Outcome {
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

async fn a_listener_can_have_a_url_of_its_own<B: Backend>(context: &TestContext<'_>) -> Outcome {
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
        assert!(started.elapsed() < LIMIT, "it is still there");
        // Gives a runtime the chance to see to it.
        queue.list_queues().await?;
    }
    Ok(())
}

async fn listening_to_nothing_or_to_no_queue_is_refused<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = B::connect(context.url()).await?;
    for none in [&[][..], &["q", ""], &["x'; DROP TABLE y; --"]] {
        let result = B::listen(&queue, none).await.map(|_| ());
        fails_as(ErrorKind::InvalidArgument, result);
    }
    Ok(())
}
