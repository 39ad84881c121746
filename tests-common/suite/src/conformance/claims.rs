//! Changing messages that are claimed.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use pgmq_core::{AsyncQueue, Claim, ErrorKind, Message, Move, RawJson, SendOptions};
use serde_json::{Value, json};

use crate::kit::{
    backend::Backend,
    check::{Stopwatch, fails_as, ids, whole_micros},
    context::{QUEUE, QueueUnderTest, TestContext},
    failure::{Failure, Outcome, error_chain},
    table::cases,
};

cases! { claims:
    everywhere [hold] hold_extends_and_releases_what_is_claimed;
    everywhere [hold] a_claim_is_stale_after_the_next_read;
    everywhere [hold_each] hold_each_hides_each_message_for_its_own_time;
    everywhere [move_batch] move_batch_keeps_payloads_and_replaces_headers_on_request;
    everywhere [move_batch] move_batch_within_a_queue_moves_to_its_end;
    everywhere [move_batch] move_batch_delays_by_a_span_or_to_a_point_in_time;
    everywhere [forward] forward_replaces_a_message_by_one_in_another_queue;
    everywhere [hold, hold_each, move_batch, forward] a_stale_claim_changes_nothing;
    everywhere [hold, hold_each, move_batch] no_claims_send_no_request;
    everywhere [next_due] next_due_is_the_time_until_a_message_becomes_visible;
    standalone [move_batch, forward] a_missing_target_loses_nothing;
    standalone [move_batch, forward] a_trigger_that_filters_messages_loses_none;
    standalone [hold, hold_each, move_batch, forward] a_claim_is_compared_again_after_a_read_under_way;
}

/// Reads the next message, and returns it.
async fn read(queue: &impl AsyncQueue) -> Result<Message<RawJson>, Failure> {
    Ok(queue.read::<RawJson>(QUEUE, 600).await?.expect("a message is visible"))
}

async fn hold_extends_and_releases_what_is_claimed(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    let claims: Vec<_> = queue.read_batch::<i32>(QUEUE, 600, 3).await?.iter().map(Message::claim).collect();
    assert_eq!(claims, [Claim::new(1, 1), Claim::new(2, 1), Claim::new(3, 1)]);
    let watch = Stopwatch::start(queue.context)?;
    // The ids are in their order, whatever that of the claims is, and no claim counts twice.
    let asked = [claims[2], claims[0], claims[2]];
    assert_eq!(queue.hold(QUEUE, &asked, Duration::from_millis(1_000_500)).await?, [1, 3]);
    if !queue.counts_from_transaction_start() {
        watch.is_counted_from_now(queue.get::<i32>(QUEUE, 3).await?.unwrap().vt, 1001)?;
    }
    assert_eq!(queue.hold(QUEUE, &claims[..2], 0).await?, [1, 2]);
    assert_eq!(ids(&queue.peek::<i32>(QUEUE, 10).await?), [1, 2]);
    let message = queue.get::<i32>(QUEUE, 1).await?.unwrap();
    assert_eq!((message.read_ct, message.message), (1, 1), "holding is not reading");
    Ok(())
}

async fn a_claim_is_stale_after_the_next_read(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.send(QUEUE, &1).await?;
    let first = queue.read::<i32>(QUEUE, 0).await?.unwrap().claim();
    let second = read(&**queue).await?.claim();
    assert_eq!((first, second), (Claim::new(1, 1), Claim::new(1, 2)));
    assert!(queue.hold(QUEUE, &[first], 0).await?.is_empty());
    assert!(queue.peek::<i32>(QUEUE, 1).await?.is_empty(), "the message is still hidden");
    assert_eq!(queue.hold(QUEUE, &[first, second], 0).await?, [1]);
    Ok(())
}

async fn hold_each_hides_each_message_for_its_own_time(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.send_batch(QUEUE, &[1, 2, 3]).await?;
    let claims: Vec<_> = queue.read_batch::<i32>(QUEUE, 600, 3).await?.iter().map(Message::claim).collect();
    let watch = Stopwatch::start(queue.context)?;
    let holds = [(claims[1], 0.into()), (claims[0], 50.into()), (Claim::new(3, 9), 0.into())];
    assert_eq!(queue.hold_each(QUEUE, &holds).await?, [1, 2]);
    assert_eq!(ids(&queue.peek::<i32>(QUEUE, 10).await?), [2]);
    if !queue.counts_from_transaction_start() {
        watch.is_counted_from_now(queue.get::<i32>(QUEUE, 1).await?.unwrap().vt, 50)?;
    }
    fails_as(ErrorKind::InvalidArgument, queue.hold_each(QUEUE, &[(claims[0], (-1).into())]).await);
    Ok(())
}

async fn move_batch_keeps_payloads_and_replaces_headers_on_request(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    const OTHER: &str = "other";
    queue.create_queue(OTHER).await?;
    queue.send(OTHER, &0).await?;
    let payload: RawJson = r#"{"price": 1.50, "big": 12345678901234567890.5}"#.parse()?;
    let options = SendOptions::new().headers(&json!({"trace": 7}));
    for _ in 0..2 {
        queue.send_with(QUEUE, &payload, &options).await?;
    }
    queue.send(QUEUE, &Value::Null).await?;
    let read = queue.read_batch::<RawJson>(QUEUE, 600, 3).await?;
    let [plain, replaced, null] = [0, 1, 2].map(|n: usize| read[n].claim());
    let buried = json!({"reason": "exhausted"});
    let moves = [Move::new(null), Move::new(replaced).headers(&buried), plain.into(), plain.into()];
    let moved = queue.move_batch(QUEUE, "Other", &moves, 0).await?;
    let moved: Vec<_> = moved.iter().map(|moved| (moved.msg_id, moved.new_id)).collect();
    assert_eq!(moved, [(1, 2), (2, 3), (3, 4)], "in the order of the ids, and each message once");
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);

    let arrived = queue.read_batch::<RawJson>(OTHER, 0, 10).await?;
    assert_eq!(ids(&arrived), [1, 2, 3, 4]);
    assert!(arrived.iter().all(|message| message.read_ct == 1), "{arrived:?}");
    assert_eq!(arrived[1].message, read[0].message);
    assert_eq!(arrived[1].headers, read[0].headers);
    assert_eq!(arrived[2].message, read[1].message);
    assert_eq!(arrived[2].parse_headers::<Value>()?, Some(buried));
    assert_eq!((arrived[3].message.get(), &arrived[3].headers), ("null", &None));
    Ok(())
}

async fn move_batch_within_a_queue_moves_to_its_end(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.send_batch(QUEUE, &[1, 2]).await?;
    let first = read(&**queue).await?.claim();
    let moved = queue.move_batch(QUEUE, QUEUE, &[first.into()], 0).await?;
    assert_eq!((moved[0].msg_id, moved[0].new_id), (1, 3));
    let left = queue.read_batch::<i32>(QUEUE, 0, 10).await?;
    assert_eq!(left.iter().map(|message| message.message).collect::<Vec<_>>(), [2, 1]);
    // The claim is that of a message that is gone, so a repetition moves nothing.
    assert!(queue.move_batch(QUEUE, QUEUE, &[first.into()], 0).await?.is_empty());
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 2);
    Ok(())
}

async fn move_batch_delays_by_a_span_or_to_a_point_in_time(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.send_batch(QUEUE, &[1, 2]).await?;
    let watch = Stopwatch::start(queue.context)?;
    let moved = queue.move_batch(QUEUE, QUEUE, &[read(&**queue).await?.claim().into()], 100).await?;
    watch.is_counted_from_now(queue.get::<i32>(QUEUE, moved[0].new_id).await?.unwrap().vt, 100)?;
    let at = whole_micros(Utc::now() + TimeDelta::hours(1));
    let moved = queue.move_batch(QUEUE, QUEUE, &[read(&**queue).await?.claim().into()], at).await?;
    assert_eq!(queue.get::<i32>(QUEUE, moved[0].new_id).await?.unwrap().vt, at);
    Ok(())
}

async fn forward_replaces_a_message_by_one_in_another_queue(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    queue.create_queue("next").await?;
    queue.send_batch(QUEUE, &[1, 2]).await?;
    let first = read(&**queue).await?.claim();
    let plain = SendOptions::new();
    assert_eq!(queue.forward(QUEUE, first, "Next", "step two", &plain).await?, Some(1));
    assert_eq!(queue.forward(QUEUE, first, "next", "step two", &plain).await?, None);
    let second = read(&**queue).await?.claim();
    let watch = Stopwatch::start(queue.context)?;
    assert_eq!(queue.forward(QUEUE, second, "next", "later", &plain.clone().delay(60)).await?, Some(2));
    watch.is_counted_from_now(queue.get::<String>("next", 2).await?.unwrap().vt, 60)?;
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 0);
    assert_eq!(queue.read::<String>("next", 0).await?.unwrap().message, "step two");
    if queue.context.has_pgmq("1.5.0") {
        queue.send(QUEUE, &3).await?;
        let third = read(&**queue).await?.claim();
        let options = plain.headers(&json!({"trace": 7}));
        assert_eq!(queue.forward(QUEUE, third, "next", &3, &options).await?, Some(3));
        let arrived = queue.get::<i32>("next", 3).await?.unwrap();
        assert_eq!(arrived.parse_headers::<Value>()?, Some(json!({"trace": 7})));
    }
    Ok(())
}

async fn a_stale_claim_changes_nothing(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    queue.create_queue("other").await?;
    queue.send(QUEUE, &1).await?;
    let current = read(&**queue).await?;
    for stale in [Claim::new(1, 0), Claim::new(1, 2), Claim::new(2, 1), Claim::new(-1, i32::MAX)] {
        assert!(queue.hold(QUEUE, &[stale], 0).await?.is_empty());
        assert!(queue.hold_each(QUEUE, &[(stale, 0.into())]).await?.is_empty());
        if queue.context.has_pgmq("1.5.0") {
            assert!(queue.move_batch(QUEUE, "other", &[stale.into()], 0).await?.is_empty());
        }
        assert_eq!(queue.forward(QUEUE, stale, "other", &1, &SendOptions::new()).await?, None);
    }
    assert_eq!(queue.get::<RawJson>(QUEUE, 1).await?, Some(current));
    assert_eq!(queue.metrics("other").await?.total_messages, 0);
    Ok(())
}

async fn no_claims_send_no_request(queue: &QueueUnderTest<'_, impl AsyncQueue>) -> Outcome {
    assert!(queue.hold("missing", &[], 60).await?.is_empty());
    assert!(queue.hold_each("missing", &[]).await?.is_empty());
    assert!(queue.move_batch("missing", "other", &[], 0).await?.is_empty());
    Ok(())
}

async fn next_due_is_the_time_until_a_message_becomes_visible(
    queue: &QueueUnderTest<'_, impl AsyncQueue>,
) -> Outcome {
    assert_eq!(queue.next_due(QUEUE).await?, None);
    queue.send_with(QUEUE, &1, &SendOptions::new().delay(1000)).await?;
    let due = queue.next_due(QUEUE).await?.unwrap();
    assert!((900..=1000).contains(&due.as_secs()), "{due:?}");
    assert!(due.subsec_micros() > 0 || due.as_secs() < 1000, "the clock goes on: {due:?}");
    queue.send(QUEUE, &2).await?;
    assert_eq!(queue.next_due(QUEUE).await?, Some(Duration::ZERO));
    queue.read::<i32>(QUEUE, 100).await?.unwrap();
    let due = queue.next_due(QUEUE).await?.unwrap();
    assert!((50..=100).contains(&due.as_secs()), "{due:?}");
    fails_as(ErrorKind::InvalidArgument, queue.next_due("").await);
    Ok(())
}

async fn a_missing_target_loses_nothing<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect::<B>().await?;
    queue.send(QUEUE, &1).await?;
    let message = read(&queue).await?;
    let forward = queue.forward(QUEUE, message.claim(), "missing", &2, &SendOptions::new()).await;
    fails_as(ErrorKind::QueueNotFound, forward);
    if context.has_pgmq("1.5.0") {
        let moved = queue.move_batch(QUEUE, "missing", &[message.claim().into()], 0).await;
        fails_as(ErrorKind::QueueNotFound, moved);
    }
    assert_eq!(queue.get::<RawJson>(QUEUE, 1).await?, Some(message));
    Ok(())
}

/// Keeps the message `2` from the queue `other`.
const FILTER: &str = "CREATE FUNCTION filter() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN IF NEW.message = '2' THEN RETURN NULL; END IF; RETURN NEW; END $$; \
    CREATE TRIGGER filter BEFORE INSERT ON pgmq.q_other FOR EACH ROW EXECUTE FUNCTION filter()";

async fn a_trigger_that_filters_messages_loses_none<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect::<B>().await?;
    queue.create_queue("other").await?;
    context.execute(FILTER)?;
    queue.send_batch(QUEUE, &[1, 2]).await?;
    let claims: Vec<_> = queue.read_batch::<i32>(QUEUE, 600, 2).await?.iter().map(Message::claim).collect();
    let forwarded = queue.forward(QUEUE, claims[1], "other", &2, &SendOptions::new()).await;
    let error = error_chain(&forwarded.unwrap_err());
    assert!(error.contains("keeps message 2 from being forwarded"), "{error}");
    if context.has_pgmq("1.5.0") {
        let moves: Vec<_> = claims.iter().map(|claim| Move::from(*claim)).collect();
        let error = error_chain(&queue.move_batch(QUEUE, "other", &moves, 0).await.unwrap_err());
        assert!(error.contains("from being moved"), "{error}");
    }
    assert_eq!(queue.metrics(QUEUE).await?.queue_length, 2);
    assert_eq!(queue.metrics("other").await?.queue_length, 0);
    Ok(())
}

/// Reads message 1 in a transaction, which ends once another session waits for the message.
const OTHER_READ: &str = "BEGIN; SELECT pgmq.read('q', 600, 1); SELECT pg_advisory_xact_lock(1); \
    DO $$ BEGIN \
      WHILE NOT EXISTS (SELECT FROM pg_locks \
                        WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))) \
      LOOP PERFORM pg_sleep(0.01); END LOOP; \
    END $$; COMMIT";

const OTHER_HAS_READ: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

async fn a_claim_is_compared_again_after_a_read_under_way<B: Backend>(context: &TestContext<'_>) -> Outcome {
    let queue = context.connect::<B>().await?;
    queue.create_queue("other").await?;
    queue.send(QUEUE, &1).await?;
    for step in 0..4 {
        let claim = queue.read::<i32>(QUEUE, 0).await?.unwrap().claim();
        let other = context.execute_in_background(OTHER_READ.to_owned());
        context.wait_until(OTHER_HAS_READ)?;
        // The claim was current when the statement began, and is not when the other session commits.
        let changed = match step {
            0 => queue.hold(QUEUE, &[claim], 0).await?.len(),
            1 => queue.hold_each(QUEUE, &[(claim, 0.into())]).await?.len(),
            2 => usize::from(queue.forward(QUEUE, claim, "other", &2, &SendOptions::new()).await?.is_some()),
            _ if !context.has_pgmq("1.5.0") => 0,
            _ => queue.move_batch(QUEUE, "other", &[claim.into()], 0).await?.len(),
        };
        // Lets the other session end if nothing waited for it.
        if step == 3 && !context.has_pgmq("1.5.0") {
            queue.hold(QUEUE, &[claim], 0).await?;
        }
        other.join()?;
        assert_eq!(changed, 0, "step {step} used a stale claim");
        let message = queue.get::<i32>(QUEUE, 1).await?.expect("the message is still there");
        assert_eq!(message.read_ct, claim.read_ct + 1);
        assert!(queue.peek::<i32>(QUEUE, 1).await?.is_empty(), "the other session holds the message");
        assert_eq!(queue.metrics("other").await?.total_messages, 0);
        assert_eq!(queue.hold(QUEUE, &[message.claim()], 0).await?, [1]);
    }
    Ok(())
}
