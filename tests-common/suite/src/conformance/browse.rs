//! Reading without hiding: metrics, `peek`, `get` and the archive.

use chrono::TimeDelta;
use pgmq_core::{AsyncQueue, Message, RawJson, SendBatchOptions, SendOptions};
use serde_json::{Value, json};

use crate::kit::{
    check::{ids, payloads, sorted},
    context::{QUEUE, QueueUnderTest},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { browse:
    everywhere [metrics] the_metrics_of_an_empty_queue_have_no_ages;
    everywhere [metrics] metrics_count_present_messages_and_all_messages_ever_sent;
    everywhere [metrics_all] metrics_all_returns_the_metrics_of_each_queue;
    everywhere [peek] peek_returns_the_next_messages_and_hides_none;
    everywhere [get] get_finds_visible_and_hidden_messages;
    everywhere [read_archive] the_archive_is_read_page_by_page;
    everywhere [requeue_archived] requeued_messages_are_new_and_keep_their_order;
    everywhere [requeue_archived] requeueing_skips_ids_that_are_not_in_the_archive;
}

async fn the_metrics_of_an_empty_queue_have_no_ages(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let before = queue.context.now()?;
    let metrics = queue.metrics(QUEUE).await?;
    assert_eq!(metrics.queue_name, QUEUE);
    assert_eq!(
        (metrics.queue_length, metrics.total_messages, metrics.queue_visible_length),
        (0, 0, queue.context.has_pgmq("1.5.0").then_some(0))
    );
    assert_eq!((metrics.newest_msg_age_sec, metrics.oldest_msg_age_sec), (None, None));
    assert_eq!(metrics.default_partition_length, None);
    assert!((metrics.scrape_time - before).abs() < TimeDelta::seconds(10), "{metrics:?}, {before}");
    Ok(())
}

async fn metrics_count_present_messages_and_all_messages_ever_sent(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.send_with(QUEUE, &0, &SendOptions::new().delay(600)).await?;
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    queue.delete(QUEUE, sent[0]).await?;
    queue.archive(QUEUE, sent[1]).await?;
    let metrics = queue.metrics(QUEUE).await?;
    assert_eq!((metrics.queue_length, metrics.total_messages), (2, 4));
    if !queue.in_transaction {
        // The server counts the messages that are visible at the start of the transaction.
        assert_eq!(metrics.queue_visible_length, queue.context.has_pgmq("1.5.0").then_some(1));
        queue
            .context
            .execute("UPDATE pgmq.q_q SET enqueued_at = now() - interval '1 hour' WHERE msg_id = 1")?;
        let metrics = queue.metrics(QUEUE).await?;
        let [newest, oldest] = [metrics.newest_msg_age_sec.unwrap(), metrics.oldest_msg_age_sec.unwrap()];
        assert!((0..60).contains(&newest) && (3600..3660).contains(&oldest), "{metrics:?}");
    }
    Ok(())
}

async fn metrics_all_returns_the_metrics_of_each_queue(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_queue("other").await?;
    queue.send_batch(QUEUE, &[1, 2]).await?;
    queue.send_batch("other", &[1, 2, 3]).await?;
    let mut all = queue.metrics_all().await?;
    all.sort_by(|a, b| a.queue_name.cmp(&b.queue_name));
    let seen: Vec<_> =
        all.iter().map(|metrics| (metrics.queue_name.as_str(), metrics.queue_length)).collect();
    assert_eq!(seen, [("other", 3), (QUEUE, 2)]);
    if queue.in_transaction {
        // Within a transaction the server's time stands still.
        assert_eq!(all, [queue.metrics("other").await?, queue.metrics(QUEUE).await?]);
    }
    Ok(())
}

async fn peek_returns_the_next_messages_and_hides_none(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &["a", "b", "c", "d"]).await?;
    queue.set_vt::<String>(QUEUE, sent[1], 600).await?;
    let peeked = queue.peek::<String>(QUEUE, 2).await?;
    assert_eq!(ids(&peeked), [sent[0], sent[2]]);
    assert_eq!((peeked[0].read_ct, peeked[0].last_read_at), (0, None));
    assert_eq!(ids(&queue.peek::<String>(QUEUE, 10).await?), [sent[0], sent[2], sent[3]]);
    assert_eq!(payloads(queue.read_batch::<String>(QUEUE, 0, 10).await?), ["a", "c", "d"]);
    Ok(())
}

async fn get_finds_visible_and_hidden_messages(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let headers = json!({"h": true});
    let visible = queue.send_with(QUEUE, &json!({"n": 1}), &SendOptions::new().headers(&headers)).await?;
    let hidden = queue.send_with(QUEUE, &json!({"n": 2}), &SendOptions::new().delay(600)).await?;
    let got = queue.get::<Value>(QUEUE, visible).await?.unwrap();
    let mut expected = Message::new(visible, json!({"n": 1}));
    (expected.enqueued_at, expected.vt) = (got.enqueued_at, got.vt);
    expected.headers = Some(r#"{"h": true}"#.parse()?);
    assert_eq!(got, expected);
    assert_eq!(queue.get::<Value>(QUEUE, hidden).await?.unwrap().message, json!({"n": 2}));
    assert!(queue.get::<Value>(QUEUE, 999).await?.is_none());
    assert_eq!(queue.read::<Value>(QUEUE, 30).await?.unwrap().read_ct, 1);
    Ok(())
}

async fn the_archive_is_read_page_by_page(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3, 4, 5]).await?;
    for id in sent.iter().rev() {
        queue.archive(QUEUE, *id).await?;
    }
    let (mut seen, mut pages, mut after) = (Vec::new(), 0, 0);
    loop {
        let page = queue.read_archive::<i32>(QUEUE, after, 2).await?;
        let Some(last) = page.last() else { break };
        after = last.message.msg_id;
        pages += 1;
        seen.extend(page.into_iter().map(|archived| archived.message.message));
    }
    assert_eq!((seen, pages), (vec![1, 2, 3, 4, 5], 3));
    Ok(())
}

async fn requeued_messages_are_new_and_keep_their_order(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let headers = [Some(json!({"n": 1})), None, Some(json!({"n": 3}))];
    let text = "12345678901234567890.12345";
    let messages: Vec<RawJson> =
        ["1", text, "3"].iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let sent =
        queue.send_batch_with(QUEUE, &messages, &SendBatchOptions::new().headers(headers.clone())).await?;
    queue.read_batch::<RawJson>(QUEUE, 600, 10).await?;
    queue.archive_batch(QUEUE, &sent).await?;
    let new = queue.requeue_archived(QUEUE, &[sent[2], sent[0], sent[1]]).await?;
    assert_eq!(new, [4, 5, 6]);
    let requeued = queue.read_batch::<RawJson>(QUEUE, 30, 10).await?;
    assert_eq!(ids(&requeued), new);
    for ((message, original), headers) in requeued.iter().zip(&messages).zip(&headers) {
        assert_eq!((&message.message, message.read_ct), (original, 1));
        let came: Option<Value> = message.headers.as_ref().map(RawJson::parse).transpose()?;
        assert_eq!(&came, headers);
    }
    assert!(queue.read_archive::<RawJson>(QUEUE, 0, 10).await?.is_empty());
    Ok(())
}

async fn requeueing_skips_ids_that_are_not_in_the_archive(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    queue.archive(QUEUE, sent[0]).await?;
    assert_eq!(queue.requeue_archived(QUEUE, &[sent[1], 999, sent[0], sent[0]]).await?, [4]);
    let left: Result<Vec<_>, Failure> = Ok(ids(&queue.peek::<i32>(QUEUE, 10).await?));
    assert_eq!(sorted(left?), [2, 3, 4]);
    assert!(queue.requeue_archived(QUEUE, &[sent[0]]).await?.is_empty());
    Ok(())
}
