//! Finishing messages: deleting, archiving, and changing the visibility timeout.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use pgmq_core::{AsyncQueue, RawJson, SendOptions};
use serde_json::{Value, json};

use crate::kit::{
    check::{Stopwatch, ids, sorted, whole_micros},
    context::{QUEUE, QueueUnderTest},
    failure::Outcome,
    table::cases,
};

cases! { finish:
    everywhere [delete] delete_returns_true_only_if_the_message_existed;
    everywhere [delete_batch] delete_batch_returns_the_ids_that_existed;
    everywhere [archive, read_archive] archive_moves_a_message_with_all_its_fields;
    everywhere [archive] archive_returns_true_only_if_the_message_existed;
    everywhere [archive_batch] archive_batch_returns_the_ids_that_existed;
    everywhere [delete_batch, archive_batch, set_vt_batch, requeue_archived]
        an_empty_list_of_ids_sends_no_request;
    everywhere [set_vt] set_vt_takes_a_duration_seconds_and_a_point_in_time;
    everywhere [set_vt] set_vt_to_zero_or_the_past_makes_a_message_visible_immediately;
    everywhere [set_vt] set_vt_of_a_missing_message_is_none;
    everywhere [set_vt] set_vt_changes_nothing_else;
    everywhere [set_vt_batch] set_vt_batch_takes_a_duration_seconds_and_a_point_in_time;
    everywhere [set_vt_batch] set_vt_batch_returns_the_messages_that_existed_in_the_order_of_ids;
}

async fn delete_returns_true_only_if_the_message_existed(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2]).await?;
    assert!(queue.delete(QUEUE, sent[0]).await?);
    assert!(!queue.delete(QUEUE, sent[0]).await?);
    assert!(!queue.delete(QUEUE, i64::MAX).await?);
    queue.read::<i32>(QUEUE, 600).await?.unwrap();
    assert!(queue.delete(QUEUE, sent[1]).await?, "a hidden message can be deleted");
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    assert!(queue.read_archive::<i32>(QUEUE, 0, 10).await?.is_empty());
    Ok(())
}

async fn delete_batch_returns_the_ids_that_existed(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3, 4]).await?;
    let deleted = queue.delete_batch(QUEUE, &[sent[2], 999, sent[0], sent[0], -1]).await?;
    assert_eq!(sorted(deleted), [sent[0], sent[2]]);
    assert_eq!(ids(&queue.peek::<i32>(QUEUE, 10).await?), [sent[1], sent[3]]);
    assert!(queue.delete_batch(QUEUE, &[999]).await?.is_empty());
    Ok(())
}

async fn archive_moves_a_message_with_all_its_fields(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let options = SendOptions::new().headers(&json!({"h": 1}));
    let id = queue.send_with(QUEUE, &json!({"a": 1.50}), &options).await?;
    let read = queue.read::<RawJson>(QUEUE, 60).await?.unwrap();
    let watch = Stopwatch::start(queue.context)?;
    assert!(queue.archive(QUEUE, id).await?);
    assert!(queue.get::<RawJson>(QUEUE, id).await?.is_none());
    let archived = queue.read_archive::<RawJson>(QUEUE, 0, 10).await?;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].message, read);
    if queue.in_transaction {
        assert!(archived[0].archived_at < watch.started(), "the time is the start of the transaction");
    } else {
        watch.is_counted_from_now(archived[0].archived_at, 0)?;
    }
    Ok(())
}

async fn archive_returns_true_only_if_the_message_existed(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    assert!(queue.archive(QUEUE, id).await?);
    assert!(!queue.archive(QUEUE, id).await?);
    assert!(!queue.archive(QUEUE, -1).await?);
    assert_eq!(queue.read_archive::<i32>(QUEUE, 0, 10).await?.len(), 1);
    Ok(())
}

async fn archive_batch_returns_the_ids_that_existed(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3, 4]).await?;
    let archived = queue.archive_batch(QUEUE, &[sent[3], 999, sent[1], sent[1]]).await?;
    assert_eq!(sorted(archived), [sent[1], sent[3]]);
    assert_eq!(ids(&queue.peek::<i32>(QUEUE, 10).await?), [sent[0], sent[2]]);
    let archive: Vec<_> = queue
        .read_archive::<i32>(QUEUE, 0, 10)
        .await?
        .into_iter()
        .map(|archived| archived.message.message)
        .collect();
    assert_eq!(archive, [2, 4]);
    Ok(())
}

async fn an_empty_list_of_ids_sends_no_request(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    // The queue is missing, so a request would fail.
    assert!(queue.delete_batch("missing", &[]).await?.is_empty());
    assert!(queue.archive_batch("missing", &[]).await?.is_empty());
    assert!(queue.set_vt_batch::<Value>("missing", &[], 30).await?.is_empty());
    assert!(queue.requeue_archived("missing", &[]).await?.is_empty());
    Ok(())
}

async fn set_vt_takes_a_duration_seconds_and_a_point_in_time(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    if queue.counts_from_transaction_start() {
        let set = queue.set_vt::<i32>(QUEUE, id, 100).await?.unwrap();
        assert!(set.vt <= queue.context.now()? + TimeDelta::seconds(100), "{set:?}");
        return Ok(());
    }
    let watch = Stopwatch::start(queue.context)?;
    watch.is_counted_from_now(queue.set_vt::<i32>(QUEUE, id, 100).await?.unwrap().vt, 100)?;
    let duration = queue.set_vt::<i32>(QUEUE, id, Duration::from_secs(200)).await?.unwrap();
    watch.is_counted_from_now(duration.vt, 200)?;
    let rounded = queue.set_vt::<i32>(QUEUE, id, Duration::from_millis(299_001)).await?.unwrap();
    watch.is_counted_from_now(rounded.vt, 300)?;
    let delta = queue.set_vt::<i32>(QUEUE, id, TimeDelta::seconds(400)).await?.unwrap();
    watch.is_counted_from_now(delta.vt, 400)?;
    let at = whole_micros(Utc::now() + TimeDelta::seconds(500));
    assert_eq!(queue.set_vt::<i32>(QUEUE, id, at).await?.unwrap().vt, at);
    assert_eq!(queue.get::<i32>(QUEUE, id).await?.unwrap().vt, at);
    Ok(())
}

async fn set_vt_to_zero_or_the_past_makes_a_message_visible_immediately(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    queue.read::<i32>(QUEUE, 600).await?.unwrap();
    queue.set_vt::<i32>(QUEUE, id, 0).await?.unwrap();
    queue.read::<i32>(QUEUE, 600).await?.unwrap();
    let past = whole_micros(Utc::now() - TimeDelta::days(365));
    assert_eq!(queue.set_vt::<i32>(QUEUE, id, past).await?.unwrap().vt, past);
    assert_eq!(queue.read::<i32>(QUEUE, 600).await?.unwrap().read_ct, 3);
    Ok(())
}

async fn set_vt_of_a_missing_message_is_none(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert!(queue.set_vt::<i32>(QUEUE, 999, 30).await?.is_none());
    assert!(queue.set_vt::<i32>(QUEUE, 999, Utc::now()).await?.is_none());
    Ok(())
}

async fn set_vt_changes_nothing_else(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let id = queue.send_with(QUEUE, &json!([1]), &SendOptions::new().headers(&json!({"h": 1}))).await?;
    let mut read = queue.read::<Value>(QUEUE, 60).await?.unwrap();
    let set = queue.set_vt::<Value>(QUEUE, id, 600).await?.unwrap();
    assert!(set.vt > read.vt);
    read.vt = set.vt;
    assert_eq!(set, read);
    Ok(())
}

async fn set_vt_batch_takes_a_duration_seconds_and_a_point_in_time(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2]).await?;
    let watch = Stopwatch::start(queue.context)?;
    for message in queue.set_vt_batch::<i32>(QUEUE, &sent, 100).await? {
        watch.is_counted_from_now(message.vt, 100)?;
    }
    for message in queue.set_vt_batch::<i32>(QUEUE, &sent, Duration::from_millis(199_001)).await? {
        watch.is_counted_from_now(message.vt, 200)?;
    }
    let at = whole_micros(Utc::now() + TimeDelta::seconds(500));
    let set = queue.set_vt_batch::<i32>(QUEUE, &sent, at).await?;
    assert_eq!(set.iter().map(|message| message.vt).collect::<Vec<_>>(), [at, at]);
    assert!(queue.read::<i32>(QUEUE, 30).await?.is_none());
    Ok(())
}

async fn set_vt_batch_returns_the_messages_that_existed_in_the_order_of_ids(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    let set = queue.set_vt_batch::<i32>(QUEUE, &[sent[2], 999, sent[0], sent[2]], 600).await?;
    assert_eq!(ids(&set), [sent[0], sent[2]]);
    assert_eq!(ids(&queue.read_batch::<i32>(QUEUE, 30, 10).await?), [sent[1]]);
    assert!(queue.set_vt_batch::<i32>(QUEUE, &[999], Utc::now()).await?.is_empty());
    Ok(())
}
