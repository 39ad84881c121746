//! The story: a tea shop processes its orders through a queue.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::TimeDelta;
use pgmq_core::{Message, Notification, PollOptions, RawJson, SendBatchOptions};
use serde_json::json;

use crate::application::Application;
use crate::page::Page;
use crate::shop::{DEAD_LETTERS, ORDERS, Order, Payment, order};
use crate::worker;

/// Runs the story on an empty database with PGMQ in it.
pub(super) async fn tell<A: Application>(url: &str, page: &mut Page) -> Result<()> {
    page.step("connect");
    let queue = A::connect(url).await?;
    page.note(queue.version().await?.to_string());

    page.step("create a queue");
    queue.create_queue(ORDERS).await?;
    let queues = queue.list_queues().await?;
    let names: Vec<_> = queues.iter().map(|queue| queue.queue_name.as_str()).collect();
    page.note(format!("the queues are now: {}", names.join(", ")));

    page.step("send a message");
    let first = queue.send(ORDERS, &order("green tea", 2)).await?;
    page.note(format!("the message has the id {first}"));

    page.step("send a batch, with headers and a delay");
    let orders = [order("black tea", 1), order("oolong", 3), order("a cup", 18)];
    let customers = [Some(json!({"customer": "Ada"})), None, Some(json!({"customer": "Grace"}))];
    let options = SendBatchOptions::new().delay(Duration::from_secs(1)).headers(customers);
    let batch = queue.send_batch_with(ORDERS, &orders, &options).await?;
    let metrics = queue.metrics(ORDERS).await?;
    page.note(format!("messages {batch:?}, which stay hidden for a second"));
    let visible = metrics.queue_visible_length.map_or("some".to_owned(), |visible| visible.to_string());
    page.note(format!("the queue holds {} messages, {visible} of them visible", metrics.queue_length));

    page.step("read a message");
    let message = queue.read::<Order>(ORDERS, 30).await?.context("there should be a message")?;
    ensure!(message.msg_id == first, "read message {} before message {first}", message.msg_id);
    ensure!(message.message == order("green tea", 2), "the order differs from the one that was sent");
    page.note(describe(&message)?);
    page.note(format!("hidden from other readers for {}", hidden(&message)));

    page.step("extend its visibility timeout");
    let message = queue.set_vt::<Order>(ORDERS, first, 120).await?.context("the message should be there")?;
    page.note(format!("hidden for {}", hidden(&message)));

    page.step("delete it");
    let (deleted, again) = (queue.delete(ORDERS, first).await?, queue.delete(ORDERS, first).await?);
    ensure!(deleted && !again, "a message should be deleted once, and not twice");
    page.note(format!("deleted: {deleted}; a second time: {again}"));

    page.step("wait for two of the delayed messages");
    let started = Instant::now();
    let messages = queue.read_with_poll::<Order>(ORDERS, 30, 2, &PollOptions::new()).await?;
    ensure!(ids(&messages) == batch[..2], "read messages {:?} instead of {:?}", ids(&messages), &batch[..2]);
    page.note(format!("the poll returned them after {:.0} ms", milliseconds(started)));
    for message in &messages {
        page.note(describe(message)?);
    }

    page.step("archive them");
    let archived = queue.archive_batch(ORDERS, &ids(&messages)).await?;
    let archive = queue.read_archive::<RawJson>(ORDERS, 0, 10).await?;
    ensure!(archive.len() == 2, "the archive holds {} messages", archive.len());
    page.note(format!("messages {archived:?} are in the archive"));

    page.step("pop the last one");
    let message = queue.pop::<Order>(ORDERS).await?.context("there should be a message")?;
    page.note(describe(&message)?);
    ensure!(queue.metrics(ORDERS).await?.queue_length == 0, "the queue should be empty");

    page.step("send to a topic");
    queue.bind_topic(ORDERS, "shop.*.placed").await?;
    for key in ["shop.london.placed", "shop.london.closed"] {
        let queues = queue.send_topic(key, &order("darjeeling", 1)).await?;
        page.note(format!("{key} reaches {queues} of 1 queues"));
    }
    let message = queue.pop::<Order>(ORDERS).await?.context("the topic should have reached the queue")?;
    page.note(describe(&message)?);

    page.step("wait for a notification");
    queue.enable_notify(ORDERS).await?;
    let mut listener = queue.listen(ORDERS).await?;
    let started = Instant::now();
    let sent = queue.send(ORDERS, &order("white tea", 1)).await?;
    let notified = A::next(&mut listener, Duration::from_secs(10)).await?;
    let Some(Notification::Inserted { queue: name, .. }) = notified else {
        bail!("received {notified:?} instead of a notification of a message")
    };
    page.note(format!(
        "notified of message {sent} in {name}, {:.1} ms after sending it",
        milliseconds(started)
    ));
    queue.purge(ORDERS).await?;

    page.step("commit a row and a message together");
    queue.create_sales().await?;
    let sold = queue.sell(&order("matcha", 1), Payment::Accepted).await?;
    let both = (queue.count_sales().await?, queue.metrics(ORDERS).await?.queue_length);
    ensure!(both == (1, 1), "there are {} rows and {} messages, instead of one of each", both.0, both.1);
    page.note(format!("the table of sales has its row, and the queue has message {sold}"));

    page.step("roll both back");
    let refusal =
        queue.sell(&order("a teapot", 1), Payment::Declined).await.err().context("it should have failed")?;
    let both = (queue.count_sales().await?, queue.metrics(ORDERS).await?.queue_length);
    ensure!(
        both == (1, 1),
        "there are {} rows and {} messages, instead of one of each as before",
        both.0,
        both.1
    );
    page.note(format!("{refusal}: no row was added, and no message"));

    queue.purge(ORDERS).await?;
    worker::tell(&queue, page).await?;

    page.step("drop the queues");
    for name in [ORDERS, DEAD_LETTERS] {
        let dropped = queue.drop_queue(name).await?;
        ensure!(dropped && !queue.queue_exists(name).await?, "the queue {name} should be gone");
    }
    page.note("the queues and their archives no longer exist");
    queue.close().await;
    Ok(())
}

fn ids<T>(messages: &[Message<T>]) -> Vec<i64> {
    messages.iter().map(|message| message.msg_id).collect()
}

/// A message in readable form.
fn describe(message: &Message<Order>) -> Result<String> {
    let payload = serde_json::to_string(&message.message)?;
    let headers = message.headers.as_ref().map(|headers| format!(", headers {headers}")).unwrap_or_default();
    let age = message.last_read_at.map(|read| (read - message.enqueued_at).num_milliseconds());
    let age = age.map(|age| format!(", read {age} ms after it was sent")).unwrap_or_default();
    Ok(format!("message {}: {payload}{headers}{age}", message.msg_id))
}

/// The time for which a message stays hidden.
fn hidden(message: &Message<Order>) -> String {
    let hidden = message.last_read_at.map(|read| message.vt - read);
    hidden.map_or("some time".to_owned(), |time: TimeDelta| format!("{:.0} s", time.as_seconds_f64()))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
