//! Reading.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use pgmq_core::{
    AsyncQueue, ErrorKind, Message, PollOptions, RawJson, ReadOptions, SendBatchOptions, SendOptions,
};
use serde_json::{Value, json};

use crate::kit::{
    backend::Backend,
    check::{fails_as, ids, is_hidden_for, payloads, sorted},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome},
    table::cases,
};

cases! { read:
    everywhere [read] read_hides_the_message_for_vt;
    everywhere [read] read_of_an_empty_queue_is_none;
    everywhere [read] read_counts_the_reads_and_records_the_time_of_the_last;
    everywhere [read, read_batch, read_with, read_with_poll] a_visibility_timeout_of_zero_hides_for_no_time;
    everywhere [read, read_batch, read_with, read_with_poll, read_grouped, read_grouped_rr, read_grouped_head]
        a_duration_as_the_timeout_is_rounded_up_to_whole_seconds;
    everywhere [read_batch] read_batch_returns_at_most_qty_in_the_order_of_ids;
    everywhere [read_batch, read_with, read_with_poll, pop_batch, set_vt_batch]
        messages_are_returned_in_the_order_of_ids_regardless_of_the_servers_order;
    pool [pop, read, get, set_vt] a_message_with_an_infinite_timeout_is_not_lost;
    everywhere [read_with] read_with_defaults_to_one_message_for_thirty_seconds;
    everywhere [read_with] read_with_takes_a_condition_on_the_payload;
    everywhere [read_with_poll] read_with_poll_returns_present_messages_immediately;
    everywhere [read_with_poll, read_grouped_with_poll, read_grouped_rr_with_poll,
        read_grouped_head_with_poll]
        polls_return_nothing_after_their_timeout;
    everywhere [read_with_poll, read_grouped_with_poll, read_grouped_rr_with_poll,
        read_grouped_head_with_poll]
        polls_return_a_message_as_soon_as_it_is_visible;
    everywhere [read_with_poll, read_grouped_with_poll, read_grouped_rr_with_poll,
        read_grouped_head_with_poll]
        a_poll_with_a_timeout_of_zero_reads_once;
    everywhere [read_with_poll] read_with_poll_takes_a_condition_on_the_payload;
    everywhere [read_with_poll, read_grouped_with_poll, read_grouped_rr_with_poll,
        read_grouped_head_with_poll]
        a_poll_with_an_interval_of_zero_is_refused;
    everywhere [read_grouped_with_poll, read_grouped_rr_with_poll, read_grouped_head_with_poll]
        a_grouped_poll_refuses_a_condition;
    everywhere [read_grouped, read_grouped_with_poll] a_grouped_read_takes_the_group_of_the_oldest_first;
    everywhere [read_grouped_rr, read_grouped_rr_with_poll]
        a_round_robin_read_alternates_between_groups_in_the_servers_order;
    everywhere [read_grouped, read_grouped_head]
        grouped_reads_are_returned_in_the_order_of_ids_regardless_of_the_servers_order;
    everywhere [read_grouped_head, read_grouped_head_with_poll] a_head_read_takes_the_oldest_of_each_group;
    everywhere [read_grouped, read_grouped_rr, read_grouped_head] no_group_is_read_past_a_hidden_message;
    everywhere [pop] pop_removes_what_it_returns;
    everywhere [pop_batch] pop_batch_removes_up_to_qty_in_the_order_of_ids;
    everywhere [read_batch, read_with, read_with_poll, read_grouped, read_grouped_with_poll, read_grouped_rr,
        read_grouped_rr_with_poll, read_grouped_head, read_grouped_head_with_poll, pop_batch, peek,
        read_archive]
        a_quantity_of_zero_returns_nothing_and_sends_no_request;
    standalone [read, delete] no_message_is_read_by_two_consumers;
    everywhere [read] raw_json_is_the_unchanged_text_of_the_server;
    everywhere [read, pop, get, peek] a_message_that_is_null_in_sql_decodes_as_json_null;
}

async fn read_hides_the_message_for_vt(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let id = queue.send(QUEUE, &json!({"n": 1})).await?;
    let message = queue.read::<Value>(QUEUE, 30).await?.unwrap();
    is_hidden_for(queue.context, &message, 30);
    let mut expected = Message::new(id, json!({"n": 1}));
    (expected.enqueued_at, expected.vt, expected.read_ct) = (message.enqueued_at, message.vt, 1);
    expected.last_read_at = message.last_read_at;
    assert_eq!(message, expected);
    assert!(queue.read::<Value>(QUEUE, 30).await?.is_none());
    assert_eq!(queue.get::<Value>(QUEUE, id).await?, Some(expected));
    Ok(())
}

async fn read_of_an_empty_queue_is_none(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert!(queue.read::<Value>(QUEUE, 30).await?.is_none());
    assert!(queue.pop::<Value>(QUEUE).await?.is_none());
    assert!(queue.read_batch::<Value>(QUEUE, 30, 10).await?.is_empty());
    Ok(())
}

async fn read_counts_the_reads_and_records_the_time_of_the_last(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    assert_eq!(queue.get::<i32>(QUEUE, id).await?.unwrap().last_read_at, None);
    let mut last = queue.context.now()?;
    for count in 1..=3 {
        let message = queue.read::<i32>(QUEUE, 0).await?.unwrap();
        assert_eq!((message.msg_id, message.read_ct), (id, count));
        assert_eq!(message.last_read_at.is_some(), queue.context.has_pgmq("1.10.0"));
        let read_at = message.last_read_at.unwrap_or(last);
        assert!(last <= read_at, "{last}, {message:?}");
        last = read_at;
    }
    Ok(())
}

async fn a_visibility_timeout_of_zero_hides_for_no_time(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    assert_eq!(queue.read::<i32>(QUEUE, 0).await?.unwrap().msg_id, id);
    assert_eq!(queue.read::<i32>(QUEUE, Duration::ZERO).await?.unwrap().msg_id, id);
    assert_eq!(ids(&queue.read_batch::<i32>(QUEUE, 0, 1).await?), [id]);
    assert_eq!(ids(&queue.read_with::<i32>(QUEUE, &ReadOptions::new().vt(0)).await?), [id]);
    let message = queue.read_with_poll::<i32>(QUEUE, 0, 1, &PollOptions::new()).await?;
    is_hidden_for(queue.context, &message[0], 0);
    assert!(queue.read::<i32>(QUEUE, 30).await?.is_some());
    Ok(())
}

async fn a_duration_as_the_timeout_is_rounded_up_to_whole_seconds(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let id = queue.send(QUEUE, &1).await?;
    for (vt, seconds) in [
        (Duration::from_nanos(1), 1),
        (Duration::from_millis(900), 1),
        (Duration::from_millis(2_001), 3),
        (Duration::from_secs(7), 7),
    ] {
        let mut read = vec![queue.read::<i32>(QUEUE, vt).await?.unwrap()];
        give_back(queue, id).await?;
        read.extend(queue.read_batch::<i32>(QUEUE, vt, 1).await?);
        give_back(queue, id).await?;
        read.extend(queue.read_with::<i32>(QUEUE, &ReadOptions::new().vt(vt)).await?);
        give_back(queue, id).await?;
        read.extend(queue.read_with_poll::<i32>(QUEUE, vt, 1, &PollOptions::new()).await?);
        give_back(queue, id).await?;
        read.extend(queue.read_grouped::<i32>(QUEUE, vt, 1).await?);
        give_back(queue, id).await?;
        read.extend(queue.read_grouped_rr::<i32>(QUEUE, vt, 1).await?);
        give_back(queue, id).await?;
        read.extend(queue.read_grouped_head::<i32>(QUEUE, vt, 1).await?);
        give_back(queue, id).await?;
        assert_eq!(read.len(), 7);
        for message in read {
            is_hidden_for(queue.context, &message, seconds);
        }
    }
    Ok(())
}

async fn give_back(queue: &QueueUnderTest<'_, impl AsyncQueue>, id: i64) -> Outcome {
    queue.set_vt::<RawJson>(QUEUE, id, 0).await?.unwrap();
    Ok(())
}

async fn read_batch_returns_at_most_qty_in_the_order_of_ids(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3, 4, 5]).await?;
    assert_eq!(ids(&queue.read_batch::<i32>(QUEUE, 30, 2).await?), sent[..2]);
    assert_eq!(ids(&queue.read_batch::<i32>(QUEUE, 30, 10).await?), sent[2..]);
    assert!(queue.read_batch::<i32>(QUEUE, 30, 10).await?.is_empty());
    Ok(())
}

async fn messages_are_returned_in_the_order_of_ids_regardless_of_the_servers_order(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &(0..200).collect::<Vec<i32>>()).await?;
    // An update moves a row within the table, so the server finds the rows in the order of these updates.
    let shuffled: Vec<i64> = (0..200).map(|n| sent[n * 77 % 200]).collect();
    for id in &shuffled {
        queue.set_vt::<i32>(QUEUE, *id, 0).await?;
    }
    assert_eq!(ids(&queue.set_vt_batch::<i32>(QUEUE, &shuffled, 0).await?), sent);
    assert_eq!(ids(&queue.read_batch::<i32>(QUEUE, 0, 200).await?), sent);
    assert_eq!(ids(&queue.read_with::<i32>(QUEUE, &ReadOptions::new().vt(0).qty(200)).await?), sent);
    assert_eq!(ids(&queue.read_with_poll::<i32>(QUEUE, 0, 200, &PollOptions::new()).await?), sent);
    assert_eq!(ids(&queue.peek::<i32>(QUEUE, 200).await?), sent);
    assert_eq!(ids(&queue.pop_batch::<i32>(QUEUE, 200).await?), sent);
    Ok(())
}

async fn read_with_defaults_to_one_message_for_thirty_seconds(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    let read = queue.read_with::<i32>(QUEUE, &ReadOptions::new()).await?;
    assert_eq!(ids(&read), sent[..1]);
    is_hidden_for(queue.context, &read[0], 30);
    let read = queue.read_with::<i32>(QUEUE, &ReadOptions::new().vt(5).qty(2)).await?;
    assert_eq!(ids(&read), sent[1..]);
    is_hidden_for(queue.context, &read[1], 5);
    Ok(())
}

async fn read_with_takes_a_condition_on_the_payload(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue
        .send_batch(
            QUEUE,
            &[
                json!({"kind": "a", "n": 1}),
                json!({"kind": "b"}),
                json!({"kind": "a", "n": 3}),
                json!("it's a"),
            ],
        )
        .await?;
    let options = ReadOptions::new().vt(0).qty(10);
    let of_kind = |kind: Value| options.clone().conditional(&kind);
    assert_eq!(
        ids(&queue.read_with::<Value>(QUEUE, &of_kind(json!({"kind": "a"}))).await?),
        [sent[0], sent[2]]
    );
    assert_eq!(
        ids(&queue.read_with::<Value>(QUEUE, &of_kind(json!({"kind": "a", "n": 3}))).await?),
        [sent[2]]
    );
    assert_eq!(ids(&queue.read_with::<Value>(QUEUE, &of_kind(json!("it's a"))).await?), [sent[3]]);
    assert!(queue.read_with::<Value>(QUEUE, &of_kind(json!({"kind": "c"}))).await?.is_empty());
    // An empty object matches every message.
    assert_eq!(ids(&queue.read_with::<Value>(QUEUE, &of_kind(json!({}))).await?), sent);
    assert_eq!(queue.get::<Value>(QUEUE, sent[1]).await?.unwrap().read_ct, 1);
    Ok(())
}

async fn read_with_poll_returns_present_messages_immediately(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    let started = Instant::now();
    let read = queue
        .read_with_poll::<i32>(QUEUE, 30, 2, &PollOptions::new().timeout(Duration::from_secs(30)))
        .await?;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(ids(&read), sent[..2]);
    is_hidden_for(queue.context, &read[0], 30);
    Ok(())
}

/// The result of each kind of poll for the same arguments: plain, grouped, round robin, head.
async fn all_polls<Queue: AsyncQueue>(
    queue: &QueueUnderTest<'_, Queue>,
    qty: u32,
    options: &PollOptions,
) -> [Result<Vec<Message<RawJson>>, Queue::Error>; 4] {
    [
        queue.read_with_poll(QUEUE, 0, qty, options).await,
        queue.read_grouped_with_poll(QUEUE, 0, qty, options).await,
        queue.read_grouped_rr_with_poll(QUEUE, 0, qty, options).await,
        queue.read_grouped_head_with_poll(QUEUE, 0, qty, options).await,
    ]
}

async fn polls_return_nothing_after_their_timeout(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let started = Instant::now();
    // Each timeout is rounded up to a second.
    let options = PollOptions::new().timeout(Duration::from_millis(200)).interval(Duration::from_millis(50));
    for read in all_polls(queue, 1, &options).await {
        assert!(read?.is_empty());
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(20), "{took:?}");
    Ok(())
}

async fn polls_return_a_message_as_soon_as_it_is_visible(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let options = PollOptions::new().timeout(Duration::from_secs(30)).interval(Duration::from_millis(20));
    let soon = |now| SendOptions::new().delay(now + TimeDelta::milliseconds(300));
    let id = queue.send_with(QUEUE, &1, &soon(queue.context.now()?)).await?;
    for poll in 0..4 {
        let visible_at = queue.context.now()? + TimeDelta::milliseconds(300);
        queue.set_vt::<i32>(QUEUE, id, visible_at).await?.unwrap();
        let read: Vec<Message<i32>> = match poll {
            0 => queue.read_with_poll(QUEUE, 60, 5, &options).await?,
            1 => queue.read_grouped_with_poll(QUEUE, 60, 5, &options).await?,
            2 => queue.read_grouped_rr_with_poll(QUEUE, 60, 5, &options).await?,
            _ => queue.read_grouped_head_with_poll(QUEUE, 60, 5, &options).await?,
        };
        assert_eq!(ids(&read), [id]);
        is_hidden_for(queue.context, &read[0], 60);
        let read_at = read[0].last_read_at.unwrap();
        assert!(
            read_at >= visible_at && read_at < visible_at + TimeDelta::seconds(10),
            "{visible_at}, {read_at}"
        );
    }
    Ok(())
}

async fn a_poll_with_a_timeout_of_zero_reads_once(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let options = PollOptions::new().timeout(Duration::ZERO);
    for read in all_polls(queue, 5, &options).await {
        assert!(read?.is_empty());
    }
    let sent = queue.send_batch(QUEUE, &[1, 2]).await?;
    let [plain, grouped, round_robin, head] = all_polls(queue, 5, &options).await;
    assert_eq!(ids(&plain?), sent);
    assert_eq!(sorted(ids(&grouped?)), sent);
    assert_eq!(ids(&round_robin?), sent);
    assert_eq!(ids(&head?), sent[..1]);
    let conditional = options.conditional(&json!(2));
    assert_eq!(ids(&queue.read_with_poll::<i32>(QUEUE, 0, 5, &conditional).await?), sent[1..]);
    Ok(())
}

async fn read_with_poll_takes_a_condition_on_the_payload(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[json!({"kind": "a"}), json!({"kind": "b"})]).await?;
    let options = PollOptions::new().timeout(Duration::from_secs(1)).interval(Duration::from_millis(50));
    let only_b = options.clone().conditional(&json!({"kind": "b"}));
    assert_eq!(ids(&queue.read_with_poll::<Value>(QUEUE, 60, 10, &only_b).await?), sent[1..]);
    assert!(queue.read_with_poll::<Value>(QUEUE, 60, 10, &only_b).await?.is_empty());
    let no_condition = options.conditional(&json!({}));
    assert_eq!(ids(&queue.read_with_poll::<Value>(QUEUE, 60, 10, &no_condition).await?), sent[..1]);
    Ok(())
}

async fn a_poll_with_an_interval_of_zero_is_refused(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    for read in all_polls(queue, 1, &PollOptions::new().interval(Duration::ZERO)).await {
        let error = fails_as(ErrorKind::InvalidArgument, read);
        assert!(error.to_string().contains("interval"), "{error}");
    }
    for options in [PollOptions::new().timeout(Duration::MAX), PollOptions::new().interval(Duration::MAX)] {
        for read in all_polls(queue, 1, &options).await {
            fails_as(ErrorKind::InvalidArgument, read);
        }
    }
    Ok(())
}

async fn a_grouped_poll_refuses_a_condition(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[json!(1)]).await?;
    let [plain, grouped @ ..] = all_polls(queue, 1, &PollOptions::new().conditional(&json!(1))).await;
    assert_eq!(ids(&plain?), sent);
    for read in grouped {
        fails_as(ErrorKind::InvalidArgument, read);
    }
    Ok(())
}

/// Sends a message to each of these groups, and returns the ids.
async fn send_to_groups(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
    groups: &str,
) -> Result<Vec<i64>, Failure> {
    let headers = groups.chars().map(|group| Some(json!({"x-pgmq-group": group.to_string()})));
    let payloads: Vec<_> = groups.chars().collect();
    Ok(queue.send_batch_with(QUEUE, &payloads, &SendBatchOptions::new().headers(headers)).await?)
}

async fn a_grouped_read_takes_the_group_of_the_oldest_first(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let options = PollOptions::new().timeout(Duration::from_secs(10));
    send_to_groups(queue, "abaab").await?;
    let first = queue.read_grouped::<char>(QUEUE, 60, 4).await?;
    assert_eq!(sorted(ids(&first)), [1, 2, 3, 4], "all of a, and one of b");
    for message in &first {
        is_hidden_for(queue.context, message, 60);
    }
    queue.set_vt_batch::<char>(QUEUE, &ids(&first), 0).await?;
    let group: Vec<char> = payloads(queue.read_grouped_with_poll(QUEUE, 60, 3, &options).await?);
    assert_eq!(group, ['a', 'a', 'a']);
    let rest: Vec<char> = payloads(queue.read_grouped_with_poll(QUEUE, 60, 3, &options).await?);
    assert_eq!(rest, ['b', 'b']);
    Ok(())
}

async fn a_round_robin_read_alternates_between_groups_in_the_servers_order(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let options = PollOptions::new().timeout(Duration::from_secs(10));
    let sent = send_to_groups(queue, "aaabbc").await?;
    let read = queue.read_grouped_rr::<char>(QUEUE, 60, 10).await?;
    assert_eq!(ids(&read), [1, 4, 6, 2, 5, 3]);
    assert_eq!(read.iter().map(|message| message.message).collect::<String>(), "abcaba");
    queue.set_vt_batch::<char>(QUEUE, &sent, 0).await?;
    let some = queue.read_grouped_rr_with_poll::<char>(QUEUE, 60, 4, &options).await?;
    assert_eq!(ids(&some), [1, 4, 6, 2]);
    is_hidden_for(queue.context, &some[0], 60);
    Ok(())
}

async fn a_head_read_takes_the_oldest_of_each_group(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let options = PollOptions::new().timeout(Duration::from_secs(10));
    send_to_groups(queue, "aaabbc").await?;
    assert_eq!(sorted(ids(&queue.read_grouped_head::<char>(QUEUE, 60, 2).await?)), [1, 4]);
    assert_eq!(ids(&queue.read_grouped_head_with_poll::<char>(QUEUE, 60, 10, &options).await?), [6]);
    queue.delete(QUEUE, 1).await?;
    assert_eq!(ids(&queue.read_grouped_head::<char>(QUEUE, 60, 10).await?), [2]);
    Ok(())
}

async fn no_group_is_read_past_a_hidden_message(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    send_to_groups(queue, "aabb").await?;
    queue.set_vt::<char>(QUEUE, 1, 600).await?;
    assert_eq!(sorted(ids(&queue.read_grouped::<char>(QUEUE, 0, 10).await?)), [3, 4]);
    assert_eq!(ids(&queue.read_grouped_rr::<char>(QUEUE, 0, 10).await?), [3, 4]);
    assert_eq!(ids(&queue.read_grouped_head::<char>(QUEUE, 0, 10).await?), [3]);
    // A plain read ignores groups.
    assert_eq!(ids(&queue.read_batch::<char>(QUEUE, 0, 10).await?), [2, 3, 4]);
    Ok(())
}

async fn pop_removes_what_it_returns(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    let sent = queue.send_batch(QUEUE, &["a", "b"]).await?;
    if queue.counts_from_transaction_start() {
        assert!(
            queue.pop::<String>(QUEUE).await?.is_none(),
            "what was sent in the same transaction is not visible yet"
        );
        return Ok(());
    }
    let popped = queue.pop::<String>(QUEUE).await?.unwrap();
    assert_eq!((popped.msg_id, popped.message.as_str(), popped.read_ct), (sent[0], "a", 0));
    assert!(queue.get::<String>(QUEUE, sent[0]).await?.is_none());
    assert!(queue.read_archive::<String>(QUEUE, 0, 10).await?.is_empty());
    queue.read::<String>(QUEUE, 600).await?.unwrap();
    assert!(queue.pop::<String>(QUEUE).await?.is_none(), "a hidden message is not popped");
    Ok(())
}

async fn pop_batch_removes_up_to_qty_in_the_order_of_ids(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let sent = queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    assert_eq!(ids(&queue.pop_batch::<i32>(QUEUE, 2).await?), sent[..2]);
    assert_eq!(ids(&queue.pop_batch::<i32>(QUEUE, 2).await?), sent[2..]);
    assert!(queue.pop_batch::<i32>(QUEUE, 2).await?.is_empty());
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    Ok(())
}

async fn a_quantity_of_zero_returns_nothing_and_sends_no_request(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    // The queue is missing, so a request would fail.
    let none = "missing";
    let poll = PollOptions::new();
    assert!(queue.read_batch::<Value>(none, 30, 0).await?.is_empty());
    assert!(queue.read_with::<Value>(none, &ReadOptions::new().qty(0)).await?.is_empty());
    assert!(queue.read_with_poll::<Value>(none, 30, 0, &poll).await?.is_empty());
    assert!(queue.read_grouped::<Value>(none, 30, 0).await?.is_empty());
    assert!(queue.read_grouped_with_poll::<Value>(none, 30, 0, &poll).await?.is_empty());
    assert!(queue.read_grouped_rr::<Value>(none, 30, 0).await?.is_empty());
    assert!(queue.read_grouped_rr_with_poll::<Value>(none, 30, 0, &poll).await?.is_empty());
    assert!(queue.read_grouped_head::<Value>(none, 30, 0).await?.is_empty());
    assert!(queue.read_grouped_head_with_poll::<Value>(none, 30, 0, &poll).await?.is_empty());
    assert!(queue.pop_batch::<Value>(none, 0).await?.is_empty());
    assert!(queue.peek::<Value>(none, 0).await?.is_empty());
    assert!(queue.read_archive::<Value>(none, 0, 0).await?.is_empty());
    queue.send(QUEUE, &1).await?;
    assert!(queue.pop_batch::<Value>(QUEUE, 0).await?.is_empty());
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 1);
    Ok(())
}

async fn no_message_is_read_by_two_consumers<B: Backend>(context: &TestContext<'_>) -> Outcome {
    const MESSAGES: i64 = 300;
    let queue = context.connect::<B>().await?;
    queue.send_batch(QUEUE, &(0..MESSAGES).collect::<Vec<_>>()).await?;
    let work = || -> Result<Vec<i64>, Failure> {
        B::block_on(async {
            let queue = context.connect::<B>().await?;
            let mut seen = Vec::new();
            while let Some(message) = queue.read::<i64>(QUEUE, 600).await? {
                assert_eq!(message.read_ct, 1);
                assert!(queue.delete(QUEUE, message.msg_id).await?);
                seen.push(message.msg_id);
            }
            Ok(seen)
        })
    };
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Result<Vec<_>, _>>()
    })?;
    assert_eq!(sorted(seen.concat()), (1..=MESSAGES).collect::<Vec<_>>());
    Ok(())
}

async fn raw_json_is_the_unchanged_text_of_the_server(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let raw: RawJson = r#"{"b": 1.00, "a": [12345678901234567890.12345, "\u00e9"], "b": 2.50}"#.parse()?;
    queue.send_with(QUEUE, &raw, &SendOptions::new().headers(&raw)).await?;
    let message = queue.read::<RawJson>(QUEUE, 30).await?.unwrap();
    // The format of `jsonb`: keys in its order, the last of duplicate keys, all digits.
    let text = r#"{"a": [12345678901234567890.12345, "é"], "b": 2.50}"#;
    assert_eq!((message.message.get(), message.headers.as_ref().map(RawJson::get)), (text, Some(text)));
    Ok(())
}

async fn a_message_that_is_null_in_sql_decodes_as_json_null(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.context.execute("INSERT INTO pgmq.q_q (vt, message) VALUES (now() - interval '1 day', NULL)")?;
    assert_eq!(queue.get::<Value>(QUEUE, 1).await?.unwrap().message, Value::Null);
    assert_eq!(queue.peek::<RawJson>(QUEUE, 1).await?[0].message.get(), "null");
    assert_eq!(queue.read::<Option<i32>>(QUEUE, 0).await?.unwrap().message, None);
    if !queue.counts_from_transaction_start() {
        assert_eq!(queue.pop::<Option<String>>(QUEUE).await?.unwrap().message, None);
    }
    Ok(())
}

/// Asserts that an error carries these messages, each as the server has it.
async fn a_message_with_an_infinite_timeout_is_not_lost(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let parked = queue.send(QUEUE, "parked").await?;
    queue.context.execute("UPDATE pgmq.q_q SET vt = 'infinity'")?;
    let message = queue.get::<String>(QUEUE, parked).await?.unwrap();
    assert_eq!((message.message.as_str(), message.vt), ("parked", DateTime::<Utc>::MAX_UTC));
    assert_eq!(queue.read::<String>(QUEUE, 30).await?, None);
    queue.context.execute("UPDATE pgmq.q_q SET vt = '-infinity'")?;
    let message = queue.pop::<String>(QUEUE).await?.unwrap();
    assert_eq!((message.message.as_str(), message.vt), ("parked", DateTime::<Utc>::MIN_UTC));
    Ok(())
}

async fn grouped_reads_are_returned_in_the_order_of_ids_regardless_of_the_servers_order(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    let one = send_to_groups(queue, "aaaaaaaaaa").await?;
    let many = send_to_groups(queue, "bcdefgh").await?;
    // Updates in another order move the rows within the table.
    for id in many.iter().chain(&one).rev() {
        give_back(queue, *id).await?;
    }
    let heads: Vec<_> = [one[0]].into_iter().chain(many).collect();
    assert_eq!(ids(&queue.read_grouped_head::<Value>(QUEUE, 0, 100).await?), heads);
    assert_eq!(ids(&queue.read_grouped::<Value>(QUEUE, 0, 10).await?), one);
    Ok(())
}
